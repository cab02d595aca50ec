/* jeton eval kl: how far two models, or two numeric modes of one, are apart on a text. */
#include <stdio.h>

#include "cli/command.h"
#include "cli/eval_text.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/session.h"
#include "core/file.h"

/* Reads "activations=float,kv-type=f32,lora=off" into `o` and *lora. */
static jt_status read_mode(const char *s, jt_model_options *o, bool *lora, jt_error *err) {
    while (*s) {
        size_t n = strcspn(s, ",");
        if (n == 16 && !memcmp(s, "activations=int8", n))
            o->activations = JT_ACT_INT8;
        else if (n == 17 && !memcmp(s, "activations=float", n))
            o->activations = JT_ACT_FLOAT;
        else if (n == 16 && !memcmp(s, "activations=bf16", n))
            o->activations = JT_ACT_BF16;
        else if (n == 11 && !memcmp(s, "kv-type=f16", n))
            o->kv_type = JT_KV_F16;
        else if (n == 11 && !memcmp(s, "kv-type=f32", n))
            o->kv_type = JT_KV_F32;
        else if (n == 12 && !memcmp(s, "kv-type=q8_0", n))
            o->kv_type = JT_KV_Q8_0;
        else if (n == 8 && !memcmp(s, "lora=off", n))
            *lora = false;
        else
            return jt_error_set(err, JT_INVALID,
                                "'%.*s' is no part of a numeric mode; choose from activations=int8, activations=float, "
                                "activations=bf16, kv-type=f32, kv-type=f16, kv-type=q8_0, lora=off",
                                (int)n, s);
        s += n;
        if (*s == ',' && *++s == 0)
            return jt_error_set(err, JT_INVALID, "a comma ends the numeric mode; take it away or name one more part");
    }
    return JT_OK;
}

/* Opens "MODEL" or "MODEL:mode"; a name that is a file as it stands has no mode. */
static int open_side(const jt_args *a, jt_engine *e, const char *arg, jt_model **out) {
    jt_model_options o = jt_session_model_options(a);
    bool lora = true;
    const char *colon = strrchr(arg, ':');
    jt_str name = {0};
    jt_error err;
    jt_str_puts(&name, arg);
    if (colon && strchr(colon, '=') && !jt_file_exists(arg)) {
        if (read_mode(colon + 1, &o, &lora, &err)) return jt_str_free(&name), jt_fail(&err);
        jt_str_clear(&name);
        jt_str_add(&name, arg, (size_t)(colon - arg));
    }
    int code = jt_str_check(&name, &err) ? jt_fail(&err) : jt_session_open_on(e, name.n ? jt_str_c(&name) : NULL, &o, out);
    jt_str_free(&name);
    jt_session_lora mine = {0};
    if (!code && lora) code = jt_session_adapt(a, *out, &mine);
    jt_adapter_free(mine.adapter);
    jt_str_free(&mine.path);
    return code;
}

/* Refuses models whose tokenizers cut the text differently: their rows would not face each other. */
static jt_status same_ids(const jt_model *b, const jt_eval_text *t, jt_error *err) {
    jt_eval_text other;
    if (!jt_model_tokenizer(b)) return JT_OK;
    jt_status st = jt_eval_text_again(b, t, &other, err);
    if (st) return st;
    size_t n = t->windows.n * (size_t)t->windows.length;
    if (other.windows.n != t->windows.n || memcmp(other.ids, t->ids, n * sizeof *t->ids) != 0)
        st = jt_error_set(err, JT_INVALID,
                          "the tokenizers of the two models cut the text differently, so their predictions cannot be compared");
    jt_eval_text_close(&other);
    return st;
}

static void print_text(const jt_kl_summary *k, const jt_windows *w, double seconds) {
    jt_out("KL(A || B)        %.6f +/- %.6f nats\n", k->mean, k->mean_error);
    jt_out("  percentiles    ");
    for (int i = 0; i < JT_KL_PERCENTILES - 1; i++) jt_out(" %g%% %.3g ", jt_kl_percentiles[i], k->percentile[i]);
    jt_out(" largest %.3g\n", k->percentile[JT_KL_PERCENTILES - 1]);
    jt_out("same top token    %.3f %% +/- %.3f\n", 100 * k->same_top, 100 * k->same_top_error);
    jt_out("perplexity A      %.4f\n", k->perplexity_a);
    jt_out("perplexity B      %.4f\n", k->perplexity_b);
    jt_out("ratio B / A       %.5f +/- %.5f\n", k->ratio, k->ratio_error);
    jt_out("logprob rms diff  %.6f\n", k->logprob_rms);
    jt_out("%zu tokens in %zu chunks of %d, %.1f s\n", k->rows, w->n, w->length, seconds);
}

static void number(jt_str *s, const char *key, double x) {
    jt_str_printf(s, ", \"%s\": ", key);
    jt_str_number(s, x);
}

static jt_status print_json(jt_model *const m[2], const jt_kl_summary *k, const jt_windows *w, double seconds, jt_error *err) {
    jt_str s = {0};
    jt_str_puts(&s, "{\"kl\": ");
    jt_str_number(&s, k->mean);
    number(&s, "kl_error", k->mean_error);
    jt_str_puts(&s, ", \"kl_percentiles\": {");
    for (int i = 0; i < JT_KL_PERCENTILES; i++) {
        jt_str_printf(&s, "%s\"%g\": ", i ? ", " : "", jt_kl_percentiles[i]);
        jt_str_number(&s, k->percentile[i]);
    }
    jt_str_puts(&s, "}");
    number(&s, "same_top", k->same_top);
    number(&s, "same_top_error", k->same_top_error);
    number(&s, "perplexity_a", k->perplexity_a);
    number(&s, "perplexity_b", k->perplexity_b);
    number(&s, "perplexity_ratio", k->ratio);
    number(&s, "perplexity_ratio_error", k->ratio_error);
    number(&s, "logprob_rms", k->logprob_rms);
    jt_str_printf(&s, ", \"tokens\": %zu, \"chunk\": %d, \"chunks\": %zu", k->rows, w->length, w->n);
    number(&s, "seconds", seconds);
    for (int i = 0; i < 2; i++) {
        jt_str_puts(&s, i ? ", \"b\": {" : ", \"a\": {");
        jt_eval_mode_json(m[i], &s);
        jt_str_puts(&s, "}");
    }
    jt_str_puts(&s, "}\n");
    jt_status st = jt_str_check(&s, err);
    if (!st) jt_out_str(&s);
    jt_str_free(&s);
    return st;
}

static int compare(const jt_args *a, jt_model *const m[2]) {
    jt_eval_text text = {0};
    jt_kl_row *rows = NULL;
    jt_kl_summary sum;
    jt_error err;
    double start = 0;
    jt_status st = jt_eval_text_open(m[0], jt_arg_pos(a, 2), (int)jt_arg_int(a, "chunk"), (size_t)jt_arg_int(a, "chunks"), &text, &err);
    if (!st) st = same_ids(m[1], &text, &err);
    size_t n = st ? 0 : text.windows.n * (size_t)jt_windows_scored(&text.windows);
    if (!st && !(rows = jt_alloc(n, sizeof *rows))) st = jt_nomem(&err, "the rows of the text", n, sizeof *rows);
    if (!st) {
        jt_eval_watch watch = {.windows = &text.windows};
        start = jt_seconds();
        jt_progress_begin(&watch.bar, "divergence");
        st = jt_score_kl(m[0], m[1], &text.windows, rows, &(jt_watch){jt_eval_watch_step, &watch}, &err);
        jt_progress_end(&watch.bar);
    }
    if (!st) st = jt_kl_summarise(rows, n, &sum, &err);
    if (!st) {
        double seconds = jt_seconds() - start;
        if (jt_arg_flag(a, "json"))
            st = print_json(m, &sum, &text.windows, seconds, &err);
        else
            print_text(&sum, &text.windows, seconds);
    }
    jt_free(rows);
    jt_eval_text_close(&text);
    return st ? jt_fail(&err) : JT_EXIT_OK;
}

static int run(const jt_args *a) {
    jt_engine *e = NULL;
    jt_model *m[2] = {NULL, NULL};
    jt_error err;
    jt_engine_options eo = jt_session_engine_options(a);
    jt_interrupt_install();
    if (jt_engine_new(&eo, &e, &err)) return jt_fail(&err);
    int code = JT_EXIT_OK;
    for (int i = 0; i < 2 && !code; i++) code = open_side(a, e, jt_arg_pos(a, i), &m[i]);
    if (!code) code = compare(a, m);
    for (int i = 0; i < 2; i++) jt_model_free(m[i]);
    jt_engine_free(e);
    return code;
}

static const jt_opt opts[] = {
    {"chunk", 0, JT_OPT_INT, "N", "512", 2, 1 << 20, "tokens of a chunk; each is evaluated by itself and its second half compared"},
    {"chunks", 0, JT_OPT_INT, "N", "0", 0, 1e9, "compare at most this many chunks; 0 compares all"},
    {"json", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print one JSON object"},
    {0},
};
static const jt_pos pos[] = {
    {"A", JT_POS_MODEL, false, false, "the reference: a model, or a model and its numeric mode as MODEL:activations=float,kv-type=f32"},
    {"B", JT_POS_MODEL, false, false, "what is compared with it, in the same form"},
    {"TEXT", JT_POS_FILE, false, false, "the text, taken byte for byte; - reads standard input"},
    {0},
};
static const jt_example examples[] = {
    {"jeton eval kl smollm2:activations=float smollm2 wiki.test.raw --chunks 20", "what rounding activations to 8 bits costs"},
    {"jeton eval kl smollm2:lora=off smollm2 wiki.test.raw --lora my-adapter", "what an adapter changes"},
    {"jeton eval kl model-f16.gguf model-q4_0.gguf wiki.test.raw", "what a block format costs"},
    {0},
};
const jt_command jt_cmd_eval_kl = {
    .name = "eval kl",
    .summary = "divergence of two models or numeric modes on a text",
    .about =
        "Gives the mean over the second halves of the chunks of KL(A || B), the Kullback-Leibler divergence over the whole vocabulary, "
        "with its standard error and percentiles; how often both have the same best token; and the ratio of their perplexities.\n\n"
        "After a model's name, a colon and settings with commas between them choose its numeric mode: activations=int8, "
        "activations=float or activations=bf16, kv-type=f32, kv-type=f16 or kv-type=q8_0, lora=off for a side without the adapter of "
        "--lora. What is not "
        "said there is as the options of the command say. An empty "
        "name is the default model.",
    .opt = opts,
    .model_options = true,
    .pos = pos,
    .example = examples,
    .run = run,
};
