/* jeton eval imatrix: how much each input of each matrix matters on a text, for writing fewer bits. */
#include "cli/command.h"
#include "cli/eval_text.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/session.h"
#include "core/file.h"
#include "model/imatrix.h"

static jt_status collect(const jt_args *a, const jt_session *s, const jt_eval_text *text, size_t *met, jt_error *err) {
    jt_imatrix_sums *sums = NULL;
    size_t rows = text->windows.n * (size_t)jt_windows_scored(&text->windows);
    double *logprob = jt_alloc(rows, sizeof *logprob);
    if (!logprob) return jt_nomem(err, "the logprobs of the text", rows, sizeof *logprob);
    jt_eval_watch watch = {.windows = &text->windows, .logprob = logprob};
    jt_status st = jt_imatrix_collect(s->model, &sums, err);
    jt_progress_begin(&watch.bar, "importance");
    if (!st) st = jt_score_windows(s->model, &text->windows, logprob, NULL, &(jt_watch){jt_eval_watch_step, &watch}, err);
    jt_progress_end(&watch.bar);
    if (!st) st = jt_imatrix_save(sums, jt_arg_text(a, "output"), jt_arg_pos(a, 1), text->windows.n, (uint64_t)text->windows.length, err);
    if (!st) *met = jt_imatrix_met(sums);
    jt_imatrix_stop(sums);
    jt_free(logprob);
    return st;
}

static int run(const jt_args *a) {
    jt_session s;
    jt_eval_text text = {0};
    jt_error err;
    size_t met = 0;
    if (!jt_arg_text(a, "output")) return jt_fail_usage(a, "eval imatrix needs a file to write: -o FILE");
    jt_interrupt_install();
    int code = jt_session_open(a, jt_arg_pos(a, 0), &s);
    if (code) return code;
    double start = jt_seconds();
    jt_status st = jt_eval_text_open(s.model, jt_arg_pos(a, 1), (int)jt_arg_int(a, "chunk"), (size_t)jt_arg_int(a, "chunks"), &text, &err);
    if (!st) st = collect(a, &s, &text, &met, &err);
    if (st)
        code = jt_fail(&err);
    else
        jt_out("%s: %zu matrices over %zu chunks of %d tokens, %.1f s\n", jt_arg_text(a, "output"), met, text.windows.n,
               text.windows.length, jt_seconds() - start);
    jt_eval_text_close(&text);
    jt_session_close(&s);
    return code;
}

static const jt_opt opts[] = {
    {"output", 'o', JT_OPT_FILE, "FILE", NULL, 0, 0, "the importance matrix to write, in llama.cpp's GGUF form"},
    JT_EVAL_CHUNK("tokens of a chunk; each is evaluated by itself"),
    {"chunks", 0, JT_OPT_INT, "N", "0", 0, 1e9, "evaluate at most this many chunks; 0 evaluates all"},
    {0},
};
static const jt_example examples[] = {
    {"jeton eval imatrix model-f16.gguf text.txt -o out.imatrix --activations float", "what --imatrix of jeton convert reads"},
    {0},
};
const jt_command jt_cmd_eval_imatrix = {
    .name = "eval imatrix",
    .summary = "how much each input of each matrix matters on a text",
    .about = "Adds up the squares of the numbers that each matrix inside the layers is multiplied with. The head and the embedding are "
             "left out, as llama.cpp does.",
    .opt = opts,
    .model_options = true,
    .pos = jt_eval_pos,
    .example = examples,
    .run = run,
};
