/* Scoring: hand-computed perplexities and divergences, windows against plain evaluation, cancelling, failed allocations. */
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

#include "alloc_wrap.h"
#include "model/tiny_llama.h"
#include "score/score.h"

static char path[] = "/tmp/jeton-score-XXXXXX";
static jt_engine *engine;
static jt_model *model, *other; /* one file, activations in 8 bits and in float */
static int32_t ids[600];

static void ok(jt_status st, const jt_error *err) {
    if (st) fail_msg("%s: %s", jt_status_name(st), err->message);
}

static int setup(void **unused) {
    (void)unused;
    jt_error err;
    tiny_llama t = tiny_llama_of(JT_Q8_0);
    int fd = mkstemp(path);
    if (fd < 0 || close(fd)) return -1;
    tiny_llama_write(path, &t);
    ok(jt_engine_new(&(jt_engine_options){.threads = 1}, &engine, &err), &err);
    ok(jt_model_open(engine, path, NULL, &model, &err), &err);
    ok(jt_model_open(engine, path, &(jt_model_options){.activations = JT_ACT_FLOAT}, &other, &err), &err);
    for (int i = 0; i < 600; i++) {
        uint32_t w[4], counter[4] = {(uint32_t)i, 0, 0, 0}, key[2] = {8, 8};
        jt_philox(counter, key, w);
        ids[i] = (int32_t)(w[0] % (uint32_t)t.vocab);
    }
    return 0;
}

static int teardown(void **unused) {
    (void)unused;
    jt_model_free(other);
    jt_model_free(model);
    jt_engine_free(engine);
    return unlink(path);
}

static void near(double got, double want, double bound) {
    if (!(fabs(got - want) <= bound)) fail_msg("%.17g is not %.17g", got, want);
}

static void test_perplexity(void **unused) {
    (void)unused;
    jt_perplexity p = {0};
    assert_true(isnan(jt_perplexity_value(&p)));
    jt_perplexity_add(&p, (double[]){-1}, 1);
    near(jt_perplexity_value(&p), 2.718281828459045, 1e-15);
    assert_true(isnan(jt_perplexity_error(&p)));
    jt_perplexity_add(&p, (double[]){-2, -3}, 2);
    assert_int_equal(p.tokens, 3);
    near(jt_perplexity_value(&p), 7.38905609893065, 1e-14);                      /* exp(2) */
    near(jt_perplexity_error(&p), 7.38905609893065 * 0.5773502691896258, 1e-13); /* sqrt of (2/3) / 2 */
}

static void test_divergence_of_rows(void **unused) {
    (void)unused;
    /* p = (1/2, 1/4, 1/4), q = (1/4, 1/4, 1/2): KL = (1/2) ln 2 - (1/4) ln 2. */
    const float a[3] = {(float)log(2.0) + 5, 5, 5}, b[3] = {-1, -1, (float)log(2.0) - 1};
    jt_kl_row r = jt_kl_compare(a, b, 3, 2);
    near(r.kl, 0.25 * log(2.0), 1e-7);
    near(r.logprob_a, log(0.25), 1e-7);
    near(r.logprob_b, log(0.5), 1e-7);
    assert_int_equal(r.top_a, 0);
    assert_int_equal(r.top_b, 2);
    r = jt_kl_compare(a, a, 3, 0);
    assert_true(r.kl == 0);
    /* A logit of minus infinity: no mass in A costs nothing, in B alone it costs everything. */
    const float gone[3] = {1, -INFINITY, 1}, here[3] = {1, 1, 1};
    near(jt_kl_compare(gone, here, 3, 0).kl, log(1.5), 1e-7);
    assert_true(isinf(jt_kl_compare(here, gone, 3, 0).kl));
    const float broken[3] = {1, NAN, 1};
    assert_true(isnan(jt_kl_compare(here, broken, 3, 0).kl));
}

static void test_summary(void **unused) {
    (void)unused;
    jt_error err;
    jt_kl_row rows[5];
    for (int i = 0; i < 5; i++)
        rows[i] = (jt_kl_row){.kl = 5 - i, .logprob_a = -2, .logprob_b = -2 - (i == 0), .top_a = 1, .top_b = i < 4 ? 1 : 2};
    jt_kl_summary s;
    ok(jt_kl_summarise(rows, 5, &s, &err), &err);
    assert_int_equal(s.rows, 5);
    near(s.mean, 3, 1e-15);
    near(s.mean_error, sqrt(0.5), 1e-15);
    near(s.percentile[3], 3, 1e-15);   /* median */
    near(s.percentile[4], 4.6, 1e-14); /* 90 % between ranks 4 and 5 */
    near(s.percentile[JT_KL_PERCENTILES - 1], 5, 0);
    near(s.same_top, 0.8, 1e-15);
    near(s.same_top_error, 0.2, 1e-15);
    near(s.perplexity_a, exp(2.0), 1e-14);
    near(s.perplexity_b, exp(2.2), 1e-14);
    near(s.ratio, exp(0.2), 1e-15);
    near(s.ratio_error, exp(0.2) * sqrt(0.2 * 0.8 / 4), 1e-15);
    near(s.logprob_rms, sqrt(0.2), 1e-15);
}

/* ln p of every id after the first of one window, by one plain evaluation. */
static void plain(jt_model *m, const int32_t *w, int n, double *logprob, double *entropy) {
    jt_error err;
    jt_state *s;
    jt_want *want = calloc((size_t)n, sizeof *want);
    assert_non_null(want);
    ok(jt_state_new(m, n, &s, &err), &err);
    for (int i = 0; i < n - 1; i++)
        want[i] = (jt_want){.row = i, .targets = w + i + 1, .n_targets = 1, .target_logprob = logprob + i, .entropy = entropy + i};
    jt_span span = {.state = s, .ids = w, .n = n};
    ok(jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .want = want, .n_want = n - 1}, &err), &err);
    jt_state_free(s);
    free(want);
}

/* Many short windows in one batch, and one longer than a batch: the same numbers as plain evaluation. */
static void test_windows(void **unused) {
    (void)unused;
    static const struct { int length, first, n; } row[] = {{2, 0, 300}, {7, 3, 85}, {100, 0, 6}, {100, 98, 6}, {300, 150, 2}, {600, 5, 1}};
    jt_error err;
    static double got[600], bits[600], want[600], entropy[600];
    for (size_t k = 0; k < sizeof row / sizeof *row; k++) {
        jt_windows w = {.ids = ids, .n = (size_t)row[k].n, .length = row[k].length, .first = row[k].first};
        int scored = jt_windows_scored(&w);
        ok(jt_score_windows(model, &w, got, bits, NULL, &err), &err);
        for (int i = 0; i < row[k].n; i++) {
            plain(model, ids + i * w.length, w.length, want, entropy);
            assert_memory_equal(got + i * scored, want + w.first, (size_t)scored * sizeof *got);
            assert_memory_equal(bits + i * scored, entropy + w.first, (size_t)scored * sizeof *bits);
        }
    }
    jt_windows halves = jt_windows_halves(ids, 600, 100, 0);
    assert_int_equal(halves.n, 6);
    assert_int_equal(halves.first, 50);
    assert_int_equal(jt_windows_halves(ids, 599, 100, 0).n, 5);
    assert_int_equal(jt_windows_halves(ids, 600, 100, 2).n, 2);
    halves.n = 0;
    ok(jt_score_windows(model, &halves, got, NULL, NULL, &err), &err);
}

static void test_divergence_of_models(void **unused) {
    (void)unused;
    jt_error err;
    static jt_kl_row rows[600];
    static double a[600], b[600];
    static const int length[] = {100, 599};
    for (int k = 0; k < 2; k++) {
        jt_windows w = jt_windows_halves(ids, 600, length[k], 0);
        size_t n = w.n * (size_t)jt_windows_scored(&w);
        ok(jt_score_kl(model, other, &w, rows, NULL, &err), &err);
        ok(jt_score_windows(model, &w, a, NULL, NULL, &err), &err);
        ok(jt_score_windows(other, &w, b, NULL, NULL, &err), &err);
        for (size_t i = 0; i < n; i++) {
            near(rows[i].logprob_a, a[i], 1e-6); /* the library's float32 exponentials lie between */
            near(rows[i].logprob_b, b[i], 1e-6);
            assert_true(rows[i].kl > 0 && rows[i].kl < 0.5);
        }
        ok(jt_score_kl(other, other, &w, rows, NULL, &err), &err);
        for (size_t i = 0; i < n; i++) assert_true(rows[i].kl == 0 && rows[i].top_a == rows[i].top_b);
    }
}

static void test_refused(void **unused) {
    (void)unused;
    jt_error err;
    double x[8];
    jt_kl_row rows[8];
    static const jt_windows bad[] = {{ids, 1, 1, 0}, {ids, 1, 4, -1}, {ids, 1, 4, 3}, {ids, SIZE_MAX / 2, 4, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(jt_score_windows(model, &bad[i], x, NULL, NULL, &err), JT_INVALID);
        assert_int_equal(jt_score_kl(model, other, &bad[i], rows, NULL, &err), JT_INVALID);
    }
    const int32_t outside[4] = {1, 2, 277, 3}, below[4] = {1, 2, 3, -1};
    jt_windows w = {.ids = outside, .n = 1, .length = 4, .first = 0};
    assert_int_equal(jt_score_windows(model, &w, x, NULL, NULL, &err), JT_INVALID);
    assert_int_equal(jt_score_kl(model, other, &w, rows, NULL, &err), JT_INVALID);
    w.ids = below;
    assert_int_equal(jt_score_windows(model, &w, x, NULL, NULL, &err), JT_INVALID);
    assert_int_equal(jt_score_kl(model, other, &w, rows, NULL, &err), JT_INVALID);
    char small[] = "/tmp/jeton-score-XXXXXX";
    tiny_llama t = tiny_llama_of(JT_F32);
    jt_model *little;
    int fd = mkstemp(small);
    assert_true(fd >= 0 && close(fd) == 0);
    tiny_llama_write(small, &t);
    ok(jt_model_open(engine, small, NULL, &little, &err), &err);
    w.ids = (const int32_t[]){1, 2, 3, 4};
    assert_int_equal(jt_score_kl(model, little, &w, rows, NULL, &err), JT_INVALID);
    assert_non_null(strstr(err.message, "277"));
    jt_model_free(little);
    unlink(small);
}

typedef struct counter {
    size_t last, calls, stop_at;
} counter;

static int count(void *self, size_t done) {
    counter *c = self;
    assert_true(done >= c->last);
    c->last = done;
    return ++c->calls == c->stop_at;
}

static void test_watch(void **unused) {
    (void)unused;
    jt_error err;
    static double x[600];
    static jt_kl_row rows[600];
    jt_windows w = jt_windows_halves(ids, 600, 100, 0);
    for (size_t stop = 0; stop < 3; stop++) {
        counter c = {.stop_at = stop}, d = c;
        jt_status st = jt_score_windows(model, &w, x, NULL, &(jt_watch){count, &c}, &err);
        assert_int_equal(st, stop && stop <= c.calls ? JT_CANCELLED : JT_OK);
        if (!stop) assert_int_equal(c.last, 6);
        st = jt_score_kl(model, other, &w, rows, &(jt_watch){count, &d}, &err);
        assert_int_equal(st, stop ? JT_CANCELLED : JT_OK);
        if (!stop) assert_int_equal(d.last, 6);
    }
}

/* Every allocation fails in turn: a clean error, and afterwards the same numbers as before. */
static void test_failed_allocations(void **unused) {
    (void)unused;
    jt_error err;
    static double want[600], got[600];
    static jt_kl_row rows[600], again[600];
    jt_kl_summary sum;
    jt_windows w = jt_windows_halves(ids, 600, 40, 3);
    size_t n = w.n * (size_t)jt_windows_scored(&w);
    ok(jt_score_windows(model, &w, want, NULL, NULL, &err), &err);
    ok(jt_score_kl(model, other, &w, rows, NULL, &err), &err);
    jt_status st = JT_NOMEM;
    for (long i = 0; st; i++) {
        alloc_fail_at(i);
        st = jt_score_windows(model, &w, got, NULL, NULL, &err);
        alloc_fail_at(-1);
        if (st) assert_int_equal(st, JT_NOMEM);
    }
    assert_memory_equal(got, want, n * sizeof *got);
    st = JT_NOMEM;
    for (long i = 0; st; i++) {
        alloc_fail_at(i);
        st = jt_score_kl(model, other, &w, again, NULL, &err);
        if (!st) st = jt_kl_summarise(again, n, &sum, &err);
        alloc_fail_at(-1);
        if (st) assert_int_equal(st, JT_NOMEM);
    }
    for (size_t i = 0; i < n; i++) assert_true(again[i].kl == rows[i].kl);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_perplexity), cmocka_unit_test(test_divergence_of_rows),   cmocka_unit_test(test_summary),
        cmocka_unit_test(test_windows),    cmocka_unit_test(test_divergence_of_models), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_watch),      cmocka_unit_test(test_failed_allocations),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
