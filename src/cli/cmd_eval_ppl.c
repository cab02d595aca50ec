/* jeton eval ppl: perplexity of a text by the rule of llama.cpp's perplexity tool. */
#include <math.h>

#include "cli/command.h"
#include "cli/eval_text.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/session.h"
#include "core/file.h"

typedef struct result {
    jt_perplexity ppl;
    const double *logprob;
    const jt_windows *windows;
    double seconds;
} result;

static int print_text(const jt_model *m, const result *r) {
    jt_model_info info;
    jt_model_get_info(m, &info);
    double rows = (double)r->windows->n * (double)(r->windows->length - 1);
    jt_out("perplexity %.4f +/- %.4f\n", jt_perplexity_value(&r->ppl), jt_perplexity_error(&r->ppl));
    jt_out("%llu tokens scored in %zu chunks of %d, %.1f s, %.1f tokens/s\n", (unsigned long long)r->ppl.tokens, r->windows->n,
           r->windows->length, r->seconds, rows / r->seconds);
    jt_out("%s: weights %s, activations %s, cache %s\n", info.name, info.weight_types, info.activations, info.kv_type);
    return JT_EXIT_OK;
}

static int print_json(const jt_model *m, const result *r, jt_error *err) {
    jt_str s = {0};
    size_t scored = (size_t)jt_windows_scored(r->windows);
    jt_perplexity running = {0};
    jt_str_puts(&s, "{\"perplexity\": ");
    jt_str_number(&s, jt_perplexity_value(&r->ppl));
    jt_str_puts(&s, ", \"perplexity_error\": ");
    jt_str_number(&s, jt_perplexity_error(&r->ppl));
    jt_str_puts(&s, ", \"nll\": ");
    jt_str_number(&s, r->ppl.sum / (double)r->ppl.tokens);
    jt_str_printf(&s, ", \"tokens\": %llu, \"chunk\": %d, \"chunks\": %zu, \"seconds\": ", (unsigned long long)r->ppl.tokens,
                  r->windows->length, r->windows->n);
    jt_str_number(&s, r->seconds);
    jt_str_puts(&s, ", ");
    jt_eval_mode_json(m, &s);
    jt_str_puts(&s, ", \"running\": [");
    for (size_t i = 0; i < r->windows->n; i++) {
        jt_perplexity_add(&running, r->logprob + i * scored, scored);
        if (i) jt_str_puts(&s, ", ");
        jt_str_number(&s, jt_perplexity_value(&running));
    }
    jt_str_puts(&s, "]}\n");
    int code = jt_str_check(&s, err) ? jt_fail(err) : (jt_out_str(&s), JT_EXIT_OK);
    jt_str_free(&s);
    return code;
}

static int run(const jt_args *a) {
    jt_session s;
    jt_eval_text text = {0};
    jt_error err;
    jt_interrupt_install();
    int code = jt_session_open(a, jt_arg_pos(a, 0), &s);
    if (code) return code;
    double *logprob = NULL;
    jt_status st = jt_eval_text_open(s.model, jt_arg_pos(a, 1), (int)jt_arg_int(a, "chunk"), (size_t)jt_arg_int(a, "chunks"), &text, &err);
    size_t rows = st ? 0 : text.windows.n * (size_t)jt_windows_scored(&text.windows);
    if (!st && !(logprob = jt_alloc(rows, sizeof *logprob))) st = jt_nomem(&err, "the logprobs of the text", rows, sizeof *logprob);
    if (!st) {
        result r = {.logprob = logprob, .windows = &text.windows};
        jt_eval_watch watch = {.windows = &text.windows, .logprob = logprob};
        double start = jt_seconds();
        jt_progress_begin(&watch.bar, "perplexity");
        st = jt_score_windows(s.model, &text.windows, logprob, NULL, &(jt_watch){jt_eval_watch_step, &watch}, &err);
        jt_progress_end(&watch.bar);
        r.seconds = jt_seconds() - start;
        if (!st) {
            jt_perplexity_add(&r.ppl, logprob, rows);
            code = jt_arg_flag(a, "json") ? print_json(s.model, &r, &err) : print_text(s.model, &r);
        }
    }
    if (st) code = jt_fail(&err);
    jt_free(logprob);
    jt_eval_text_close(&text);
    jt_session_close(&s);
    return code;
}

static const jt_opt opts[] = {
    JT_EVAL_CHUNK("tokens of a chunk; each is evaluated by itself and its second half scored"),
    {"chunks", 0, JT_OPT_INT, "N", "0", 0, 1e9, "score at most this many chunks; 0 scores all"},
    {"json", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print one JSON object with the key perplexity"},
    {0},
};
static const jt_example examples[] = {
    {"jeton eval ppl smollm2 wiki.test.raw --chunks 20", "perplexity over the first 20 chunks of 512 tokens"},
    {"jeton eval ppl smollm2 wiki.test.raw --activations float --json", "the same text in the float mode, as JSON"},
    {0},
};
const jt_command jt_cmd_eval_ppl = {
    .name = "eval ppl",
    .summary = "perplexity of a model on a text",
    .about = "The rule is that of llama.cpp's perplexity tool: the whole text is tokenised without special tokens and cut into chunks; "
             "each chunk is evaluated from an empty context and its second half is scored: with chunks of 512, positions 256 to 510 "
             "predict tokens 257 to 511. What is left after the last whole chunk is not used.\n\n"
             "The error given is the standard error with tokens taken as independent.",
    .opt = opts,
    .model_options = true,
    .pos = jt_eval_pos,
    .example = examples,
    .run = run,
};
