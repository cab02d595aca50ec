/* Opening models and evaluating: refusals that leave states as they were, forks, and failed allocations. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "jeton/model.h"
#include "tensor/engine.h"

static const char folder[] = FIXTURES "/hf-tiny/llama";
enum { VOCAB = 320, HIDDEN = 64, LAYERS = 3 };

struct setup {
    jt_engine *engine;
    jt_model *model;
};

static int begin(void **state) {
    struct setup *s = calloc(1, sizeof *s);
    *state = s;
    if (jt_engine_new_guarded(&(jt_engine_options){.threads = 2}, &s->engine, NULL)) return -1;
    return jt_model_open(s->engine, folder, &(jt_model_options){.activations = JT_ACT_FLOAT, .ubatch = 7}, &s->model, NULL);
}

static int end(void **state) {
    struct setup *s = *state;
    jt_model_free(s->model);
    jt_engine_free(s->engine);
    free(s);
    return 0;
}

static void fill(int32_t *ids, int n, int seed) {
    for (int i = 0; i < n; i++) ids[i] = (i * 31 + seed * 17 + 5) % VOCAB;
}

/* Logits of the last row of ids[0..n) on a state. */
static jt_status push(jt_model *m, jt_state *s, const int32_t *ids, int n, float *logits, jt_error *err) {
    jt_span span = {s, ids, n};
    jt_want want = {.row = n - 1, .logits = logits};
    return jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .want = &want, .n_want = logits ? 1 : 0}, err);
}

static jt_state *new_state(jt_model *m, int context) {
    jt_state *s;
    assert_int_equal(jt_state_new(m, context, &s, NULL), JT_OK);
    return s;
}

static void a_refused_batch_changes_nothing(void **state) {
    jt_model *m = ((struct setup *)*state)->model;
    int32_t ids[40];
    float before[VOCAB], after[VOCAB];
    jt_error err;
    fill(ids, 40, 1);
    jt_state *a = new_state(m, 33), *b = new_state(m, 64);
    assert_int_equal(push(m, a, ids, 20, NULL, &err), JT_OK);
    assert_int_equal(push(m, a, ids, 20, NULL, &err), JT_LIMIT);
    assert_non_null(strstr(err.message, "20 + 20 tokens exceed the declared context of 33"));
    ids[19] = VOCAB;
    assert_int_equal(push(m, b, ids, 20, NULL, &err), JT_INVALID);
    assert_non_null(strstr(err.message, "row 19: token id 320"));
    ids[19] = -1;
    assert_int_equal(push(m, b, ids, 20, NULL, &err), JT_INVALID);
    fill(ids, 40, 1);
    jt_span twice[2] = {{b, ids, 2}, {b, ids, 2}};
    assert_int_equal(jt_eval(m, &(jt_batch){.span = twice, .n_span = 2}, &err), JT_INVALID);
    assert_non_null(strstr(err.message, "same state"));
    jt_want order[2] = {{.row = 1}, {.row = 1}};
    jt_span one = {b, ids, 2};
    assert_int_equal(jt_eval(m, &(jt_batch){.span = &one, .n_span = 1, .want = order, .n_want = 2}, &err), JT_INVALID);
    assert_int_equal(jt_state_length(a), 20);
    assert_int_equal(jt_state_length(b), 0);
    assert_int_equal(push(m, a, ids + 20, 13, before, &err), JT_OK);
    assert_int_equal(push(m, b, ids, 33, after, &err), JT_OK);
    assert_memory_equal(before, after, sizeof before);
    jt_state_free(a), jt_state_free(b);
}

static int always(void *self) {
    (void)self;
    return 1;
}

static void a_cancelled_batch_changes_nothing(void **state) {
    jt_model *m = ((struct setup *)*state)->model;
    int32_t ids[20];
    fill(ids, 20, 2);
    jt_state *s = new_state(m, 64);
    jt_span span = {s, ids, 20};
    assert_int_equal(jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .cancelled = always}, NULL), JT_CANCELLED);
    assert_int_equal(jt_state_length(s), 0);
    jt_state_free(s);
}

static void forks_share_a_past_and_part(void **state) {
    jt_model *m = ((struct setup *)*state)->model;
    int32_t ids[100], other[10];
    float a[VOCAB], b[VOCAB], c[VOCAB];
    fill(ids, 100, 3), fill(other, 10, 9);
    for (int at = 30; at <= 66; at += 4) {
        jt_state *s = new_state(m, 128), *t, *fresh = new_state(m, 128);
        assert_int_equal(push(m, s, ids, at, NULL, NULL), JT_OK);
        assert_int_equal(jt_state_fork(s, &t, NULL), JT_OK);
        assert_int_equal(push(m, t, other, 10, a, NULL), JT_OK); /* the fork writes first */
        assert_int_equal(push(m, s, ids + at, 20, b, NULL), JT_OK);
        assert_int_equal(push(m, fresh, ids, at + 20, c, NULL), JT_OK);
        assert_memory_equal(b, c, sizeof b);
        assert_int_equal(jt_state_truncate(fresh, at, NULL), JT_OK);
        assert_int_equal(push(m, fresh, other, 10, c, NULL), JT_OK);
        assert_memory_equal(a, c, sizeof a);
        jt_state_free(s), jt_state_free(t), jt_state_free(fresh);
    }
}

static void reductions_agree_with_the_logits(void **state) {
    jt_model *m = ((struct setup *)*state)->model;
    int32_t ids[12], targets[3] = {0, 7, 319};
    static float logits[12][VOCAB];
    double lp[12][3], lse[12], entropy[12];
    jt_want want[12];
    fill(ids, 12, 4);
    jt_state *s = new_state(m, 16);
    jt_span span = {s, ids, 12};
    for (int i = 0; i < 12; i++)
        want[i] = (jt_want){.row = i,
                            .logits = logits[i],
                            .targets = targets,
                            .n_targets = 3,
                            .target_logprob = lp[i],
                            .log_sum_exp = &lse[i],
                            .entropy = &entropy[i]};
    assert_int_equal(jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .want = want, .n_want = 12}, NULL), JT_OK);
    for (int i = 0; i < 12; i++) {
        long double sum = 0, h = 0;
        for (int v = 0; v < VOCAB; v++) sum += expl((long double)logits[i][v]);
        for (int v = 0; v < VOCAB; v++) h -= expl((long double)logits[i][v]) / sum * ((long double)logits[i][v] - logl(sum));
        /* exp in float32 has a relative error of 2^-23 per term, and so has the sum */
        assert_true(fabs(lse[i] - (double)logl(sum)) < 4e-7);
        assert_true(fabs(entropy[i] - (double)h) < 4e-6);
        for (int k = 0; k < 3; k++) assert_true(fabs(lp[i][k] - ((double)logits[i][targets[k]] - lse[i])) < 1e-12);
    }
    jt_state_free(s);
}

static void the_best_candidates_come_in_order(void **state) {
    jt_model *m = ((struct setup *)*state)->model;
    int32_t ids[3], best[VOCAB];
    float logits[VOCAB], top[VOCAB];
    jt_state *s = new_state(m, 16);
    fill(ids, 3, 6);
    for (int n = 1; n <= VOCAB; n += n < 20 ? 1 : 100) {
        jt_want w = {.row = 2, .logits = logits, .n_top = n, .top_ids = best, .top_logits = top};
        jt_span span = {s, ids, 3};
        assert_int_equal(jt_state_truncate(s, 0, NULL), JT_OK);
        assert_int_equal(jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .want = &w, .n_want = 1}, NULL), JT_OK);
        for (int i = 0; i < n; i++) {
            int above = 0;
            for (int v = 0; v < VOCAB; v++) above += logits[v] > logits[best[i]] || (logits[v] == logits[best[i]] && v < best[i]);
            assert_int_equal(above, i);
            assert_true(top[i] == logits[best[i]]);
        }
    }
    jt_error err;
    jt_span span = {s, ids, 3};
    jt_want bad = {.row = 0, .n_top = VOCAB + 1, .top_ids = best, .top_logits = top};
    assert_int_equal(jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .want = &bad, .n_want = 1}, &err), JT_INVALID);
    jt_state_free(s);
}

static void projecting_what_leaves_the_last_layer_gives_the_logits(void **state) {
    jt_model *m = ((struct setup *)*state)->model;
    enum { N = 20 };
    int32_t ids[N];
    static float residual[(LAYERS + 1) * N * HIDDEN], logits[N][VOCAB], again[N][VOCAB];
    jt_want w[N];
    fill(ids, N, 7);
    jt_state *s = new_state(m, 32);
    for (int i = 0; i < N; i++) w[i] = (jt_want){.row = i, .logits = logits[i]};
    jt_span span = {s, ids, N};
    assert_int_equal(jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .want = w, .n_want = N, .residual = residual}, NULL), JT_OK);
    for (int i = 0; i < N; i++) w[i].logits = again[i];
    assert_int_equal(jt_project(m, residual + LAYERS * N * HIDDEN, N, w, N, NULL), JT_OK);
    assert_memory_equal(logits, again, sizeof logits);
    jt_state_free(s);
}

static void every_failed_allocation_of_an_eval_is_clean(void **state) {
    (void)state;
    int32_t ids[70];
    float want[VOCAB], got[VOCAB];
    jt_engine *e;
    fill(ids, 70, 5);
    assert_int_equal(jt_engine_new(&(jt_engine_options){.threads = 2}, &e, NULL), JT_OK);
    bool failed = true;
    for (long i = 0; failed; i++) {
        jt_model *m;
        jt_error err = {0};
        assert_int_equal(jt_model_open(e, folder, NULL, &m, NULL), JT_OK);
        jt_state *s = new_state(m, 128);
        alloc_fail_at(i);
        jt_status f = push(m, s, ids, 70, got, &err);
        failed = alloc_count() > i;
        alloc_fail_at(-1);
        if (failed) {
            assert_int_equal(f, JT_NOMEM);
            assert_int_not_equal(err.message[0], 0);
            assert_int_equal(jt_state_length(s), 0);
            assert_int_equal(push(m, s, ids, 70, got, &err), JT_OK); /* the same call works afterwards */
        }
        if (i == 0) memcpy(want, got, sizeof want);
        assert_memory_equal(want, got, sizeof want);
        jt_state_free(s);
        jt_model_free(m);
    }
    jt_engine_free(e);
}

static void every_failed_allocation_of_opening_is_clean(void **state) {
    (void)state;
    for (long i = 0;; i++) {
        jt_engine *e = NULL;
        jt_model *m = NULL;
        jt_error err = {0};
        alloc_fail_at(i);
        jt_status s = jt_engine_new(&(jt_engine_options){.threads = 3}, &e, &err);
        if (!s) s = jt_model_open(e, folder, NULL, &m, &err);
        bool failed = alloc_count() > i;
        alloc_fail_at(-1);
        if (!failed)
            assert_int_equal(s, JT_OK);
        else if (s)
            assert_int_not_equal(err.message[0], 0); /* an allocation of the C library itself may be optional */
        jt_model_free(m);
        jt_engine_free(e);
        if (!failed) break;
    }
}

/* Caches of fewer bits move the logits by little, and take the memory that jt_model_info says. */
static void cache_types_agree_within_their_rounding(void **state) {
    static const struct {
        jt_kv_type type;
        const char *name;
        unsigned bytes; /* 3 layers, 2 * 2 vectors of 16 */
        float most;
    } row[] = {{JT_KV_F32, "f32", 768, 0}, {JT_KV_F16, "f16", 384, 2e-3f}, {JT_KV_Q8_0, "q8_0", 216, 3e-2f}};
    jt_engine *e = ((struct setup *)*state)->engine;
    float logits[3][VOCAB];
    int32_t ids[90];
    fill(ids, 90, 3);
    for (int i = 0; i < 3; i++) {
        jt_model *m;
        jt_model_info info;
        jt_error err;
        jt_model_options o = {.activations = JT_ACT_FLOAT, .kv_type = row[i].type};
        assert_int_equal(jt_model_open(e, folder, &o, &m, NULL), JT_OK);
        jt_model_get_info(m, &info);
        assert_string_equal(info.kv_type, row[i].name);
        assert_int_equal(info.state_bytes_per_token, row[i].bytes);
        jt_state *s = new_state(m, 128);
        assert_int_equal(push(m, s, ids, 90, logits[i], &err), JT_OK);
        float far = 0, wide = 0;
        for (int k = 0; k < VOCAB; k++) far = fmaxf(far, fabsf(logits[i][k] - logits[0][k])), wide = fmaxf(wide, fabsf(logits[0][k]));
        print_message("          %s: logits up to %.3f move by at most %.2g\n", info.kv_type, (double)wide, (double)far);
        assert_true(far <= row[i].most && (i == 0 || far > 0));
        jt_state_free(s);
        jt_model_free(m);
    }
}

static void wrong_options_are_named(void **state) {
    jt_engine *e = ((struct setup *)*state)->engine;
    jt_model *m;
    jt_error err;
    assert_int_equal(jt_model_open(e, folder, &(jt_model_options){.ubatch = -1}, &m, &err), JT_INVALID);
    assert_non_null(strstr(err.message, "ubatch=-1"));
    assert_int_equal(jt_model_open(e, folder, &(jt_model_options){.kv_type = (jt_kv_type)9}, &m, &err), JT_INVALID);
    assert_non_null(strstr(err.message, "kv_type"));
    assert_int_equal(jt_model_open(e, FIXTURES "/nothing-here.gguf", NULL, &m, &err), JT_NOTFOUND);
    assert_non_null(strstr(err.message, "nothing-here.gguf"));
    assert_int_equal(jt_model_open(e, FIXTURES, NULL, &m, &err), JT_NOTFOUND);
    assert_non_null(strstr(err.message, "config.json"));
    assert_int_equal(jt_engine_new(&(jt_engine_options){.kernels = "avx9"}, &e, &err), JT_UNKNOWN);
    assert_non_null(strstr(err.message, "scalar"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_refused_batch_changes_nothing, begin, end),
        cmocka_unit_test_setup_teardown(a_cancelled_batch_changes_nothing, begin, end),
        cmocka_unit_test_setup_teardown(forks_share_a_past_and_part, begin, end),
        cmocka_unit_test_setup_teardown(reductions_agree_with_the_logits, begin, end),
        cmocka_unit_test_setup_teardown(the_best_candidates_come_in_order, begin, end),
        cmocka_unit_test_setup_teardown(projecting_what_leaves_the_last_layer_gives_the_logits, begin, end),
        cmocka_unit_test(every_failed_allocation_of_an_eval_is_clean),
        cmocka_unit_test(every_failed_allocation_of_opening_is_clean),
        cmocka_unit_test_setup_teardown(cache_types_agree_within_their_rounding, begin, end),
        cmocka_unit_test_setup_teardown(wrong_options_are_named, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
