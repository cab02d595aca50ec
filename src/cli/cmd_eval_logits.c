/* jeton eval logits: logits, and hidden states if asked, of given ids as a
 * safetensors file: the door by which any engine is compared with this one. */
#include <stdio.h>

#include "cli/command.h"
#include "cli/eval_ids.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "model/safetensors.h"

enum { ROWS = 64 }; /* evaluated, and held in memory, at a time */

typedef struct dump {
    jt_model *model;
    jt_model_info info;
    const jt_eval_ids *in;
    jt_st_writer *out;
    float *logits;   /* [ROWS][vocab] */
    float *residual; /* [layers + 1][ROWS][hidden], NULL when not asked */
    jt_progress bar;
} dump;

static jt_status create(dump *d, const char *path, jt_error *err) {
    int hidden = d->residual ? d->info.layers + 1 : 0;
    uint64_t n = d->in->rows, t = (uint64_t)d->in->length;
    jt_st_spec *spec = jt_alloc((size_t)hidden + 1, sizeof *spec);
    char(*name)[24] = jt_alloc((size_t)hidden + 1, sizeof *name);
    jt_status st = spec && name ? JT_OK : jt_nomem(err, "the list of tensors", (size_t)hidden + 1, sizeof *spec);
    if (!st) {
        spec[0] = (jt_st_spec){.name = "logits", .dtype = "F32", .n_dims = 3, .dim = {n, t, (uint64_t)d->info.vocab}};
        for (int k = 0; k < hidden; k++) {
            snprintf(name[k], sizeof *name, "hidden.%d", k);
            spec[k + 1] = (jt_st_spec){.name = name[k], .dtype = "F32", .n_dims = 3, .dim = {n, t, (uint64_t)d->info.hidden}};
        }
        st = jt_st_create(path, spec, (size_t)hidden + 1, &d->out, err);
    }
    jt_free(spec);
    jt_free(name);
    return st;
}

/* Ids [from, from + n) of a row, and what they give to the file. */
static jt_status piece(dump *d, jt_state *s, const int32_t *ids, int n, jt_error *err) {
    jt_want want[ROWS];
    for (int r = 0; r < n; r++) want[r] = (jt_want){.row = r, .logits = d->logits + (size_t)r * (size_t)d->info.vocab};
    jt_span span = {.state = s, .ids = ids, .n = n};
    jt_batch batch = {.span = &span, .n_span = 1, .want = want, .n_want = n, .residual = d->residual, .cancelled = jt_interrupt_asked};
    jt_status st = jt_eval(d->model, &batch, err);
    if (st) return st;
    size_t rows = (size_t)n * sizeof(float), hidden = (size_t)d->info.hidden;
    st = jt_st_write(d->out, 0, d->logits, rows * (size_t)d->info.vocab, err);
    for (int k = 0; d->residual && !st && k <= d->info.layers; k++)
        st = jt_st_write(d->out, (size_t)k + 1, d->residual + (size_t)k * (size_t)n * hidden, rows * hidden, err);
    return st;
}

static jt_status all_rows(dump *d, int context, jt_error *err) {
    jt_state *s;
    jt_status st = jt_state_new(d->model, context, &s, err);
    if (st) return st;
    for (size_t i = 0; !st && i < d->in->rows; i++) {
        st = jt_state_truncate(s, 0, err);
        for (int from = 0; !st && from < d->in->length; from += ROWS) {
            int n = d->in->length - from < ROWS ? d->in->length - from : ROWS;
            st = piece(d, s, d->in->ids + i * (size_t)d->in->length + from, n, err);
            jt_progress_set(&d->bar, ((double)i + (double)(from + n) / d->in->length) / (double)d->in->rows, NULL);
        }
    }
    jt_state_free(s);
    return st;
}

static jt_status write_all(dump *d, const char *path, bool hidden, int context, jt_error *err) {
    size_t v = (size_t)d->info.vocab, h = (size_t)(d->info.layers + 1) * (size_t)d->info.hidden;
    jt_status st = JT_OK;
    if (!(d->logits = jt_alloc(v, ROWS * sizeof(float)))) st = jt_nomem(err, "rows of logits", v, ROWS * sizeof(float));
    if (!st && hidden && !(d->residual = jt_alloc(h, ROWS * sizeof(float)))) st = jt_nomem(err, "hidden states", h, ROWS * sizeof(float));
    if (!st) st = create(d, path, err);
    if (!st) {
        jt_progress_begin(&d->bar, "evaluating");
        st = all_rows(d, context, err);
        jt_progress_end(&d->bar);
        if (st)
            jt_st_abandon(d->out);
        else
            st = jt_st_commit(d->out, err);
    }
    jt_free(d->logits);
    jt_free(d->residual);
    return st;
}

static int run(const jt_args *a) {
    const char *ids = jt_arg_text(a, "ids"), *path = jt_arg_text(a, "output");
    jt_session s;
    jt_eval_ids in = {0};
    jt_error err;
    if (!ids || !path) return jt_fail_usage(a, "give --ids FILE with the ids and -o FILE for the result");
    jt_interrupt_install();
    int code = jt_session_open(a, jt_arg_pos(a, 0), &s);
    if (code) return code;
    dump d = {.model = s.model, .in = &in};
    jt_model_get_info(s.model, &d.info);
    jt_status st = jt_eval_ids_read(ids, jt_arg_text(a, "tensor"), d.info.vocab, &in, &err);
    int context = jt_arg_int(a, "ctx") ? (int)jt_arg_int(a, "ctx") : in.length;
    bool writing = !st;
    if (!st) st = write_all(&d, path, jt_arg_flag(a, "hidden"), context, &err);
    jt_eval_ids_free(&in);
    jt_session_close(&s);
    if (st) code = jt_fail(&err);
    return writing && (st == JT_IO || st == JT_NOTFOUND) ? JT_EXIT_OUTPUT : code;
}

static const jt_opt opts[] = {
    {"ids", 0, JT_OPT_FILE, "FILE", NULL, 0, 0,
     "ids to evaluate: safetensors, or text with a line of ids each; - reads text from standard input"},
    {"output", 'o', JT_OPT_FILE, "FILE", NULL, 0, 0, "safetensors file to write"},
    {"tensor", 0, JT_OPT_TEXT, "NAME", "input_ids", 0, 0, "name of the tensor in a safetensors file of ids"},
    {"hidden", 0, JT_OPT_FLAG, NULL, NULL, 0, 0,
     "also write hidden.K, the residual stream entering layer K; the last leaves the last layer"},
    {0},
};
static const jt_pos pos[] = {
    {"MODEL", JT_POS_MODEL, false, false, "a GGUF file, a Hugging Face folder (a tokenizer is not needed) or a known name"},
    {0},
};
static const jt_example examples[] = {
    {"jeton eval logits smollm2 --ids ids.txt -o out.safetensors --activations float", "logits [N, T, V] for input_ids [N, T]"},
    {"echo 504 3575 282 | jeton eval logits smollm2 --ids - -o out.safetensors", "logits of one sequence"},
    {0},
};
const jt_command jt_cmd_eval_logits = {
    .name = "eval logits",
    .summary = "logits of given token ids as a safetensors file",
    .about =
        "Every row of ids is a sequence by itself, evaluated from an empty context. The file gets logits [N, T, V] in float32 and, with "
        "--hidden, hidden.K [N, T, D] for every layer. It is written as rows are evaluated, so memory does not grow with N and T.",
    .opt = opts,
    .model_options = true,
    .pos = pos,
    .example = examples,
    .run = run,
};
