/* Logits, hidden states and greedy continuations against public references: tiny models and SmolLM2 as Hugging Face
 * transformers computes them (tests/fixtures). SmolLM2 only when JETON_TEST_MODEL names its file; JETON_TEST_LONG=1 takes all
 * 20 chunks and 16 continuations instead of a few. */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "jeton/adapter.h"
#include "jeton/model.h"
#include "model/safetensors.h"
#include "score/score.h"

static const double LOGIT_BOUND = 2e-4; /* largest difference of a logit or hidden value on the tiny models */
static const double GAP = 1e-3;         /* below this gap of the two best logits either may be chosen */

static void ok(jt_status st, const jt_error *err) {
    if (st) fail_msg("%s: %s", jt_status_name(st), err->message);
}

static bool long_run(void) {
    const char *env = getenv("JETON_TEST_LONG");
    return env && *env && strcmp(env, "0") != 0;
}

static jt_model *open_model(jt_engine *e, const char *path, jt_activations act) {
    jt_error err;
    jt_model *m;
    ok(jt_model_open(e, path, &(jt_model_options){.activations = act}, &m, &err), &err);
    return m;
}

static jt_engine *open_engine(void) {
    jt_error err;
    jt_engine *e;
    ok(jt_engine_new(NULL, &e, &err), &err);
    return e;
}

static jt_state *open_state(jt_model *m, int context) {
    jt_error err;
    jt_state *s;
    ok(jt_state_new(m, context, &s, &err), &err);
    return s;
}

static jt_safetensors *open_tensors(const char *path) {
    jt_error err;
    jt_safetensors *f;
    ok(jt_safetensors_open(path, &f, &err), &err);
    return f;
}

static const jt_st_tensor *tensor(const jt_safetensors *f, const char *name) {
    const jt_st_tensor *t = jt_safetensors_tensor_named(f, name);
    if (!t) fail_msg("the fixture has no tensor %s", name);
    return t;
}

/* A whole tensor; free with free(). */
static float *floats(const jt_safetensors *f, const char *name) {
    jt_error err;
    const jt_st_tensor *t = tensor(f, name);
    float *x = malloc((size_t)t->elements * sizeof *x);
    assert_non_null(x);
    ok(jt_st_read_f32(t, 0, t->elements, x, &err), &err);
    return x;
}

static int32_t *integers(const jt_safetensors *f, const char *name, size_t *n) {
    jt_error err;
    const jt_st_tensor *t = tensor(f, name);
    int64_t *wide = malloc((size_t)t->elements * sizeof *wide);
    int32_t *x = malloc((size_t)t->elements * sizeof *x);
    assert_non_null(wide);
    assert_non_null(x);
    ok(jt_st_read_i64(t, 0, t->elements, wide, &err), &err);
    for (uint64_t i = 0; i < t->elements; i++) x[i] = (int32_t)wide[i];
    free(wide);
    if (n) *n = (size_t)t->elements;
    return x;
}

static double largest_difference(const float *a, const float *b, size_t n) {
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= most)) most = d; /* NaN too */
    }
    return most;
}

/* Continues `prompt` greedily; fails at a token that differs from ids[i] unless gap[i] allows either. */
static void same_greedy(jt_model *m, const int32_t *prompt, int n_prompt, const int32_t *ids, const float *gap, int n, const char *what) {
    jt_error err;
    jt_model_info info;
    jt_model_get_info(m, &info);
    jt_state *s = open_state(m, n_prompt + n);
    float *logits = malloc((size_t)info.vocab * sizeof *logits);
    assert_non_null(logits);
    for (int i = 0; i < n; i++) {
        jt_span span = {.state = s, .ids = i ? &ids[i - 1] : prompt, .n = i ? 1 : n_prompt};
        jt_want want = {.row = span.n - 1, .logits = logits};
        ok(jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .want = &want, .n_want = 1}, &err), &err);
        int32_t best = 0;
        for (int32_t t = 1; t < info.vocab; t++)
            if (logits[t] > logits[best]) best = t;
        if (best == ids[i]) continue;
        if ((double)gap[i] >= GAP)
            fail_msg("%s: token %d is %d, not %d, with a gap of %g", what, i, (int)best, (int)ids[i], (double)gap[i]);
        break;
    }
    free(logits);
    jt_state_free(s);
}

/* ---- tiny models ---- */

/* The logits of one sequence with the adapter that lies in the model's folder. */
static void tiny_adapted(jt_model *m, const jt_safetensors *f, const char *path, const int32_t *ids, int n) {
    jt_error err;
    jt_model_info info;
    jt_adapter *a;
    jt_model_get_info(m, &info);
    size_t vocab = (size_t)info.vocab;
    float *expected = floats(f, "lora_logits"), *logits = calloc((size_t)n * vocab, sizeof *logits);
    jt_want *want = calloc((size_t)n, sizeof *want);
    assert_non_null(logits);
    assert_non_null(want);
    ok(jt_adapter_open(m, path, &a, &err), &err);
    jt_state *s = open_state(m, n);
    ok(jt_state_set_adapter(s, a, 1, &err), &err);
    for (int i = 0; i < n; i++) want[i] = (jt_want){.row = i, .logits = logits + (size_t)i * vocab};
    jt_span span = {.state = s, .ids = ids, .n = n};
    ok(jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .want = want, .n_want = n}, &err), &err);
    double most = largest_difference(logits, expected, (size_t)n * vocab);
    print_message("  with an adapter: %.3g\n", most);
    assert_true(most <= LOGIT_BOUND);
    jt_state_free(s);
    jt_adapter_free(a);
    free(want);
    free(logits);
    free(expected);
}

static void tiny_at(const char *folder, const char *name) {
    char path[1024], key[32];
    jt_error err;
    jt_engine *e = open_engine();
    snprintf(path, sizeof path, "%s/%s/model.gguf", folder, name);
    if (access(path, R_OK)) snprintf(path, sizeof path, "%s/%s", folder, name);
    jt_model *m = open_model(e, path, JT_ACT_FLOAT);
    snprintf(path, sizeof path, "%s/%s/expected.safetensors", folder, name);
    jt_safetensors *f = open_tensors(path);
    jt_model_info info;
    jt_model_get_info(m, &info);
    size_t n;
    int32_t *ids = integers(f, "input_ids", &n);
    const jt_st_tensor *shape = tensor(f, "input_ids");
    int rows = (int)shape->dim[1], total = (int)n;
    size_t vocab = (size_t)info.vocab, hidden = (size_t)info.hidden;
    float *want_logits = floats(f, "logits"), *logits = calloc(n * vocab, sizeof *logits);
    float *residual = calloc((size_t)(info.layers + 1) * n * hidden, sizeof *residual);
    jt_want *want = calloc(n, sizeof *want);
    jt_span span[8];
    assert_non_null(logits);
    assert_non_null(residual);
    assert_non_null(want);
    assert_int_equal(tensor(f, "logits")->elements, n * vocab);
    int n_span = (int)shape->dim[0];
    assert_in_range(n_span, 1, 8);
    for (int i = 0; i < n_span; i++) span[i] = (jt_span){.state = open_state(m, rows), .ids = ids + i * rows, .n = rows};
    for (int i = 0; i < total; i++) want[i] = (jt_want){.row = i, .logits = logits + (size_t)i * vocab};
    ok(jt_eval(m, &(jt_batch){.span = span, .n_span = n_span, .want = want, .n_want = total, .residual = residual}, &err), &err);
    double most = largest_difference(logits, want_logits, n * vocab);
    print_message("%s: largest difference of a logit %.3g", name, most);
    assert_true(most <= LOGIT_BOUND);
    for (int k = 0; k < info.layers; k++) {
        snprintf(key, sizeof key, "hidden.%d", k);
        float *expected = floats(f, key);
        double d = largest_difference(residual + (size_t)k * n * hidden, expected, n * hidden);
        print_message(", %s %.3g", key, d);
        assert_true(d <= LOGIT_BOUND);
        free(expected);
    }
    print_message("\n");
    size_t n_generated;
    int32_t *generated = integers(f, "generated", &n_generated);
    float *gap = floats(f, "generated_gap");
    same_greedy(m, ids, 8, generated, gap, (int)n_generated, name);
    snprintf(path, sizeof path, "%s/%s/lora", folder, name);
    if (!access(path, R_OK)) tiny_adapted(m, f, path, ids, rows);
    for (int i = 0; i < n_span; i++) jt_state_free(span[i].state);
    free(generated);
    free(gap);
    free(want);
    free(residual);
    free(logits);
    free(want_logits);
    free(ids);
    jt_safetensors_free(f);
    jt_model_free(m);
    jt_engine_free(e);
}

static void tiny(const char *name) { tiny_at(FIXTURES, name); }

static void folder_of(const char *folder) {
    DIR *d = opendir(folder);
    int found = 0;
    if (!d) fail_msg("%s: no such folder", folder);
    for (struct dirent *x; (x = readdir(d));) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%.200s/expected.safetensors", folder, x->d_name);
        if (!access(path, R_OK)) tiny_at(folder, x->d_name), found++;
    }
    closedir(d);
    assert_true(found > 0);
}

/* One model of each family, or more (tests/fixtures/families/ORIGIN.md). */
static void test_families(void **unused) {
    (void)unused;
    folder_of(FIXTURES "/families");
}

/* Other seeds and sizes: all models of the folder that JETON_TEST_TINY names; of those with a model.gguf, that. */
static void test_folder(void **unused) {
    (void)unused;
    const char *folder = getenv("JETON_TEST_TINY");
    if (!folder || !*folder) skip();
    folder_of(folder);
}

static void test_llama(void **unused) {
    (void)unused;
    tiny("hf-tiny/llama");
}

/* Mamba-2 and attention: one group and no positions; two groups, another convolution and rotary positions. */
static void test_hybrid(void **unused) {
    (void)unused;
    tiny("hybrid/one");
    tiny("hybrid/two");
}

/* ---- SmolLM2 ---- */

typedef struct smol {
    jt_engine *engine;
    jt_model *flt, *int8;
    jt_safetensors *file;
    int32_t *ids;     /* [20][512] */
    float *reference; /* [20][511]: ln p of the next token */
    int chunks;       /* looked at */
} smol;
enum { CHUNK = 512, ROWS = CHUNK - 1, CHUNKS = 20 };

static int open_smol(void **state) {
    static smol s;
    const char *path = getenv("JETON_TEST_MODEL");
    *state = &s;
    if (!path || !*path) return 0;
    s.engine = open_engine();
    s.flt = open_model(s.engine, path, JT_ACT_FLOAT);
    s.int8 = open_model(s.engine, path, JT_ACT_INT8);
    s.file = open_tensors(FIXTURES "/smollm2/reference.safetensors");
    s.ids = integers(s.file, "ids", NULL);
    s.reference = floats(s.file, "target_logprob");
    s.chunks = long_run() ? CHUNKS : 2;
    return 0;
}

static int close_smol(void **state) {
    smol *s = *state;
    free(s->reference);
    free(s->ids);
    jt_safetensors_free(s->file);
    jt_model_free(s->int8);
    jt_model_free(s->flt);
    jt_engine_free(s->engine);
    return 0;
}

static smol *need_smol(void **state) {
    smol *s = *state;
    if (!s->flt) skip();
    return s;
}

/* Mean of -ln p over the second half of every chunk, as perplexity. */
static double perplexity_of(const double *logprob, int chunks, int length, int first) {
    jt_perplexity p = {0};
    for (int c = 0; c < chunks; c++) jt_perplexity_add(&p, logprob + (size_t)c * (size_t)length + first, (size_t)(length - first));
    return jt_perplexity_value(&p);
}

static double reference_perplexity(const smol *s) {
    double *x = calloc((size_t)s->chunks * ROWS, sizeof *x);
    assert_non_null(x);
    for (int i = 0; i < s->chunks * ROWS; i++) x[i] = (double)s->reference[i];
    double p = perplexity_of(x, s->chunks, ROWS, CHUNK / 2);
    free(x);
    return p;
}

static void test_smol_logprobs(void **state) {
    smol *s = need_smol(state);
    jt_error err;
    jt_windows w = {.ids = s->ids, .n = (size_t)s->chunks, .length = CHUNK, .first = 0};
    double *logprob = calloc((size_t)s->chunks * ROWS, sizeof *logprob), most = 0;
    assert_non_null(logprob);
    ok(jt_score_windows(s->flt, &w, logprob, NULL, NULL, &err), &err);
    for (int i = 0; i < s->chunks * ROWS; i++) {
        double d = fabs(logprob[i] - (double)s->reference[i]);
        if (!(d <= most)) most = d;
    }
    double ppl = perplexity_of(logprob, s->chunks, ROWS, CHUNK / 2), expected = reference_perplexity(s);
    if (s->chunks == CHUNKS) assert_true(fabs(expected - 23.0116) < 5e-5); /* the published figure */
    print_message("float: perplexity %.4f (reference %.4f), largest difference of a logprob %.3g\n", ppl, expected, most);
    free(logprob);
    assert_true(most <= 2e-4);
    assert_true(fabs(ppl / expected - 1) <= 1e-4);
}

/* Logits of rows of chunk c, the last at `last`; free with free(). */
static float *logits_of(smol *s, int c, int last) {
    jt_error err;
    jt_model_info info;
    jt_model_get_info(s->flt, &info);
    float *logits = calloc((size_t)info.vocab, sizeof *logits);
    assert_non_null(logits);
    jt_state *st = open_state(s->flt, CHUNK);
    jt_span span = {.state = st, .ids = s->ids + c * CHUNK, .n = last + 1};
    jt_want want = {.row = last, .logits = logits};
    ok(jt_eval(s->flt, &(jt_batch){.span = &span, .n_span = 1, .want = &want, .n_want = 1}, &err), &err);
    jt_state_free(st);
    return logits;
}

static void test_smol_rows(void **state) {
    smol *s = need_smol(state);
    size_t n;
    int32_t *position = integers(s->file, "row_position", &n), *code = integers(s->file, "row_code", NULL);
    float *low = floats(s->file, "row_low"), *step = floats(s->file, "row_step");
    int vocab = (int)tensor(s->file, "row_code")->dim[1];
    float *expected = calloc((size_t)vocab, sizeof *expected);
    double most = 0;
    assert_non_null(expected);
    for (size_t i = 0; i < n / 2; i++) {
        int c = position[2 * i], row = position[2 * i + 1];
        float *logits = logits_of(s, c, row);
        for (int t = 0; t < vocab; t++) expected[t] = low[i] + step[i] * (float)(code[i * (size_t)vocab + (size_t)t] + 32768);
        double kl = jt_kl_compare(expected, logits, vocab, 0).kl;
        if (!(kl <= most)) most = kl;
        free(logits);
    }
    print_message("float: largest divergence of %zu whole rows %.3g\n", n / 2, most);
    free(expected);
    free(low);
    free(step);
    free(code);
    free(position);
    assert_true(most <= 1e-6);
}

static void test_smol_greedy(void **state) {
    smol *s = need_smol(state);
    int32_t *prompt = integers(s->file, "greedy_prompt", NULL), *ids = integers(s->file, "greedy_ids", NULL);
    float *gap = floats(s->file, "greedy_gap");
    int prompts = (int)tensor(s->file, "greedy_prompt")->dim[0], width = (int)tensor(s->file, "greedy_prompt")->dim[1];
    int n = (int)tensor(s->file, "greedy_ids")->dim[1];
    char what[32];
    for (int i = 0; i < prompts; i += long_run() ? 1 : 5) {
        int length = 0;
        while (length < width && prompt[i * width + length] >= 0) length++;
        snprintf(what, sizeof what, "continuation %d", i);
        same_greedy(s->flt, prompt + i * width, length, ids + i * n, gap + i * n, n, what);
    }
    free(prompt);
    free(ids);
    free(gap);
}

static void test_smol_int8(void **state) {
    smol *s = need_smol(state);
    jt_error err;
    jt_windows w = {.ids = s->ids, .n = (size_t)s->chunks, .length = CHUNK, .first = CHUNK / 2};
    size_t n = (size_t)s->chunks * (size_t)jt_windows_scored(&w);
    jt_kl_row *rows = calloc(n, sizeof *rows);
    jt_kl_summary k;
    assert_non_null(rows);
    ok(jt_score_kl(s->flt, s->int8, &w, rows, NULL, &err), &err);
    ok(jt_kl_summarise(rows, n, &k, &err), &err);
    free(rows);
    double expected = reference_perplexity(s);
    print_message("int8: KL %.5f +/- %.5f, same top %.2f %%, perplexity %.4f (%+.3f %%)\n", k.mean, k.mean_error, 100 * k.same_top,
                  k.perplexity_b, 100 * (k.perplexity_b / expected - 1));
    assert_true(k.mean > 0 && k.mean <= 0.0027);
    assert_true(k.same_top >= 0.96);
    if (s->chunks == CHUNKS) assert_true(fabs(k.perplexity_b / expected - 1) <= 0.0055);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folder),      cmocka_unit_test(test_llama),         cmocka_unit_test(test_families),
        cmocka_unit_test(test_hybrid),      cmocka_unit_test(test_smol_logprobs), cmocka_unit_test(test_smol_rows),
        cmocka_unit_test(test_smol_greedy), cmocka_unit_test(test_smol_int8),
    };
    return cmocka_run_group_tests(tests, open_smol, close_smol);
}
