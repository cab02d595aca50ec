/* The dist against slow double-precision rules on random distributions. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "core/random.h"
#include "step/dist.h"

static const jt_kernels *kernels(void) {
    int known;
    return jt_kernels_pick(NULL, &known);
}

static jt_dist *make_dist(int vocab) {
    jt_dist *d = NULL;
    assert_int_equal(jt_dist_new(vocab, kernels(), &d, NULL), JT_OK);
    return d;
}

static double uniform(uint64_t seed, uint32_t a, uint32_t b) { return jt_random_u(&(jt_address){.seed = seed, .position = a, .index = b}); }

/* Kind 0: normal; 1: many ties; 2: some -inf; 3: one-hot; 4: uniform; 5: wide; 6: signed zeros. */
static void fill(float *x, int n, uint64_t seed) {
    int kind = (int)(seed % 7);
    for (int i = 0; i < n; i++) {
        double u = uniform(seed, (uint32_t)i, 0), v = uniform(seed, (uint32_t)i, 1);
        double normal = sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
        x[i] = kind == 1   ? (float)(int)(u * 4)
               : kind == 2 ? (v < 0.3 ? -INFINITY : (float)(3 * normal))
               : kind == 3 ? -INFINITY
               : kind == 4 ? 1.5f
               : kind == 5 ? (float)(normal * pow(10, 30 * v))
               : kind == 6 ? (u < 0.5 ? -0.0f : 0.0f)
                           : (float)(2 * normal);
    }
    if (kind == 3 || kind == 2) x[(int)(uniform(seed, 0, 2) * n)] = 2;
}

static const float *by;
static int in_order(const void *a, const void *b) {
    int i = *(const int *)a, j = *(const int *)b;
    if (by[i] != by[j]) return by[i] > by[j] ? -1 : 1;
    return i < j ? -1 : i > j;
}

static int sorted_ids(const float *x, int n, int *ref) {
    int live = 0;
    for (int i = 0; i < n; i++)
        if (x[i] > -INFINITY) ref[live++] = i;
    by = x;
    qsort(ref, (size_t)live, sizeof *ref, in_order);
    return live;
}

static void order_is_logit_down_then_id_up(void **state) {
    (void)state;
    static float x[70000];
    static int ref[70000];
    static const int sizes[] = {1, 2, 5, 47, 48, 49, 63, 64, 65, 130, 2000, 70000};
    for (uint64_t seed = 0; seed < 84; seed++) {
        int n = sizes[seed / 7];
        fill(x, n, seed);
        int live = sorted_ids(x, n, ref);
        jt_dist *d = make_dist(n);
        assert_int_equal(jt_dist_load(d, x, NULL), JT_OK);
        assert_int_equal(jt_dist_count(d), live);
        for (int want = 1;; want = 5 * want < live ? 5 * want : live) {
            const jt_cand *c = jt_dist_top(d, want);
            for (int i = 0; i < want; i++) {
                assert_int_equal(c[i].id, ref[i]);
                assert_memory_equal(&c[i].logit, &x[ref[i]], sizeof(float));
            }
            if (want == live) break;
        }
        jt_dist_free(d);
    }
}

static void sums_of(const float *x, int n, double *max, double *s, double *h) {
    *max = -INFINITY, *s = *h = 0;
    for (int i = 0; i < n; i++) *max = fmax(*max, (double)x[i]);
    for (int i = 0; i < n; i++) *s += exp((double)x[i] - *max);
    for (int i = 0; i < n; i++) {
        double p = exp((double)x[i] - *max) / *s;
        if (p > 0) *h -= p * log(p);
    }
}

static void check_sums(jt_dist *d, const float *x, int n) {
    double max, s, h, mass = 0;
    sums_of(x, n, &max, &s, &h);
    assert_true(fabs(jt_dist_log_sum(d) - (max + log(s))) < 1e-6 * (1 + fabs(max)));
    assert_true(fabs(jt_dist_entropy(d) - h) < 2e-6 * (1 + h));
    int32_t id = -1;
    for (int i = 0; i < n; i++) {
        double p = exp((double)x[i] - max) / s, lnp = (double)x[i] - max - log(s);
        assert_true(fabs(jt_dist_p(d, i) - p) < 8e-6 * p + 2e-38);
        if (x[i] > -INFINITY) {
            assert_true(fabs(jt_dist_lnp(d, i) - lnp) < 1e-6 * (1 + fabs(lnp)));
            id = jt_dist_next(d, id);
            assert_int_equal(id, i);
        } else {
            assert_true(jt_dist_lnp(d, i) == -INFINITY && jt_dist_p(d, i) == 0);
        }
    }
    assert_int_equal(jt_dist_next(d, id), -1);
    for (int i = 0; i < jt_dist_count(d); i++) mass += jt_dist_p_at(d, i);
    assert_true(fabs(mass - 1) < 1e-9);
}

static void sums_agree_with_double_precision(void **state) {
    (void)state;
    static float x[500];
    static int ref[500];
    for (uint64_t seed = 0; seed < 1000; seed++) {
        int n = 1 + (int)(uniform(seed, 9, 9) * 500);
        fill(x, n, seed);
        for (int i = 0; seed % 7 == 5 && i < n; i++) x[i] = fmodf(x[i], 40);
        int live = sorted_ids(x, n, ref);
        jt_dist *d = make_dist(n);
        assert_int_equal(jt_dist_load(d, x, NULL), JT_OK);
        check_sums(d, x, n);
        if (live > 1) { /* the listed form */
            jt_dist_cut(d, live - 1);
            float kept = x[ref[live - 1]];
            x[ref[live - 1]] = -INFINITY;
            assert_true(kept > -INFINITY);
            check_sums(d, x, n);
        }
        jt_dist_free(d);
    }
}

/* Random changes on a dist and on a plain array that is sorted anew each time. */
static void changes_agree_with_a_plain_array(void **state) {
    (void)state;
    enum { V = 300 };
    float x[V];
    int ref[V];
    jt_dist *d = make_dist(V);
    for (uint64_t seed = 0; seed < 400; seed++) {
        float mine[V];
        fill(x, V, seed);
        memcpy(mine, x, sizeof x);
        assert_int_equal(jt_dist_load(d, x, NULL), JT_OK);
        for (uint32_t k = 0; k < 40; k++) {
            double u = uniform(seed, k, 5);
            int id = (int)(uniform(seed, k, 6) * V), live = sorted_ids(mine, V, ref);
            assert_int_equal(jt_dist_count(d), live);
            if (u < 0.2) assert_int_equal(live ? jt_dist_top(d, 1)->id : -1, live ? ref[0] : -1);
            if (u < 0.4) {
                jt_dist_add(d, id, 0.5f);
                mine[id] += 0.5f;
            } else if (u < 0.6) {
                jt_dist_add(d, id, -INFINITY);
                mine[id] = -INFINITY;
            } else if (u < 0.7) {
                jt_dist_set(d, id, 1);
                if (mine[id] > -INFINITY) mine[id] = 1;
            } else if (u < 0.9 && live > 1) {
                int n = live - live / 8;
                jt_dist_cut(d, n);
                for (int i = n; i < live; i++) mine[ref[i]] = -INFINITY;
            } else {
                jt_dist_divide(d, 2);
                for (int i = 0; i < V; i++) mine[i] /= 2;
            }
            float l = jt_dist_logit(d, id);
            assert_memory_equal(&l, &mine[id], sizeof l);
        }
    }
    jt_dist_free(d);
}

static void reading_never_changes_results(void **state) {
    (void)state;
    enum { V = 1000 };
    static float x[V];
    jt_dist *a = make_dist(V), *b = make_dist(V);
    for (uint64_t seed = 0; seed < 70; seed++) {
        fill(x, V, seed);
        assert_int_equal(jt_dist_load(a, x, NULL), JT_OK);
        assert_int_equal(jt_dist_load(b, x, NULL), JT_OK);
        jt_dist_top(b, 700), jt_dist_entropy(b), jt_dist_next(b, 4), jt_dist_draw(b, 0.999);
        jt_dist_divide(a, 0.7), jt_dist_divide(b, 0.7);
        jt_dist_log_sum(b), jt_dist_top(b, 3);
        jt_dist_cut(a, 400), jt_dist_cut(b, 400);
        jt_dist_next(b, 7), jt_dist_p(b, 9), jt_dist_entropy(b);
        double ea = jt_dist_entropy(a), eb = jt_dist_entropy(b), la = jt_dist_log_sum(a), lb = jt_dist_log_sum(b);
        assert_memory_equal(&ea, &eb, sizeof ea);
        assert_memory_equal(&la, &lb, sizeof la);
        for (int i = 0; i < 50; i++) assert_int_equal(jt_dist_draw(a, (i + 0.5) / 50), jt_dist_draw(b, (i + 0.5) / 50));
    }
    jt_dist_free(a), jt_dist_free(b);
}

static void copies_and_views_are_equal_and_apart(void **state) {
    (void)state;
    float x[5] = {1, 5, 3, 2, 4};
    jt_dist *a = make_dist(5), *b = make_dist(5);
    assert_int_equal(jt_dist_load(a, x, NULL), JT_OK);
    jt_dist_view(b, a);
    jt_dist_add(b, 1, -INFINITY);
    assert_int_equal(jt_dist_top(a, 1)->id, 1);
    assert_int_equal(jt_dist_top(b, 1)->id, 4);
    jt_dist_copy(a, b);
    assert_int_equal(jt_dist_count(a), 4);
    jt_dist_cut(b, 2);
    jt_dist_copy(a, b);
    jt_dist_add(b, 2, 10);
    assert_true(jt_dist_count(a) == 2 && jt_dist_top(a, 1)->id == 4 && jt_dist_top(b, 1)->id == 2);
    jt_dist_free(a), jt_dist_free(b);
}

static void dead_and_single_candidates(void **state) {
    (void)state;
    float x[4] = {1, 2, 3, 4};
    jt_dist *d = make_dist(4);
    assert_int_equal(jt_dist_load(d, x, NULL), JT_OK);
    jt_dist_cut(d, 0);
    assert_int_equal(jt_dist_count(d), 1);
    assert_int_equal(jt_dist_draw(d, 0.999999), 3);
    assert_true(jt_dist_p_at(d, 0) == 1 && jt_dist_entropy(d) == 0 && jt_dist_lnp(d, 3) == 0);
    jt_dist_add(d, 3, -INFINITY);
    assert_int_equal(jt_dist_count(d), 0);
    assert_int_equal(jt_dist_draw(d, 0.5), -1);
    assert_int_equal(jt_dist_next(d, -1), -1);
    assert_true(jt_dist_log_sum(d) == -INFINITY && jt_dist_entropy(d) == 0 && jt_dist_p(d, 3) == 0 && jt_dist_p_at(d, 0) == 0);
    jt_dist_divide(d, 2), jt_dist_cut(d, 3), jt_dist_add(d, 1, 1);
    assert_int_equal(jt_dist_count(d), 0);
    assert_int_equal(jt_dist_load(d, x, NULL), JT_OK);
    jt_dist_only(d, 1);
    assert_int_equal(jt_dist_top(d, 9)->id, 1);
    assert_int_equal(jt_dist_next(d, -1), 1);
    jt_dist_only(d, 2);
    assert_int_equal(jt_dist_count(d), 0);
    assert_true(jt_dist_logit(d, -1) == -INFINITY && jt_dist_logit(d, 4) == -INFINITY);
    jt_dist_free(d);
}

static void tiny_temperatures_keep_the_best(void **state) {
    (void)state;
    float small[3] = {3, 1, 3.1f}, large[3] = {3e38f, 1, 3.1e38f};
    static const double t[] = {1e-5, 1e-30, 1e-300};
    jt_dist *d = make_dist(3);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 2; j++) {
            assert_int_equal(jt_dist_load(d, j ? large : small, NULL), JT_OK);
            jt_dist_divide(d, t[i]);
            assert_int_equal(jt_dist_count(d), 3);
            assert_int_equal(jt_dist_top(d, 1)->id, 2);
            assert_true(jt_dist_p(d, 2) == 1);
        }
    jt_dist_free(d);
}

static void broken_logits_are_named(void **state) {
    (void)state;
    float x[3] = {0, NAN, 0};
    jt_error err;
    jt_dist *d = make_dist(3);
    assert_int_equal(jt_dist_load(d, x, &err), JT_INVALID);
    assert_non_null(strstr(err.message, "the logit of token 1 is not a number"));
    x[1] = INFINITY;
    assert_int_equal(jt_dist_load(d, x, &err), JT_INVALID);
    assert_non_null(strstr(err.message, "the logit of token 1 is infinite"));
    jt_dist_free(d);
    assert_int_equal(jt_dist_new(0, kernels(), &d, &err), JT_INVALID);
}

struct seen {
    double p[4], before[4], entropy[4];
    int n;
};

static bool look(const jt_walk *w, const void *par) {
    struct seen *s = *(struct seen *const *)par;
    s->p[w->i] = w->p, s->before[w->i] = w->before, s->entropy[w->i] = w->entropy, s->n = w->i;
    return w->before < 0.65;
}

static void walks_see_mass_and_entropy(void **state) {
    (void)state;
    float x[4] = {logf(0.1f), logf(0.4f), logf(0.3f), logf(0.2f)};
    struct seen s = {0}, *p = &s;
    jt_dist *d = make_dist(4);
    assert_int_equal(jt_dist_load(d, x, NULL), JT_OK);
    assert_int_equal(jt_dist_walk(d, JT_WALK_MASS, look, &p), 2);
    assert_int_equal(s.n, 2);
    assert_true(fabs(s.p[1] - 0.3) < 1e-6 && fabs(s.before[1] - 0.4) < 1e-6 && fabs(s.before[2] - 0.7) < 1e-6);
    assert_true(fabs(s.entropy[2] - (-0.4 * log(0.4) - 0.3 * log(0.3))) < 1e-6);
    jt_dist_free(d);
}

static void draws_are_where_the_running_sum_says(void **state) {
    (void)state;
    float x[3] = {logf(0.2f), logf(0.5f), logf(0.3f)};
    jt_dist *d = make_dist(3);
    assert_int_equal(jt_dist_load(d, x, NULL), JT_OK);
    static const struct {
        double u;
        int id;
    } want[] = {{1e-17, 1}, {0.49, 1}, {0.51, 2}, {0.79, 2}, {0.81, 0}, {1 - 1e-16, 0}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) assert_int_equal(jt_dist_draw(d, want[i].u), want[i].id);
    jt_dist_free(d);
}

static void failed_allocations(void **state) {
    (void)state;
    for (long i = 0;; i++) {
        jt_dist *d = NULL;
        jt_error err = {0};
        alloc_fail_at(i);
        jt_status e = jt_dist_new(100, kernels(), &d, &err);
        alloc_fail_at(-1);
        if (e == JT_OK) {
            assert_true(i > 5);
            jt_dist_free(d);
            break;
        }
        assert_int_equal(e, JT_NOMEM);
        assert_true(err.message[0]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_is_logit_down_then_id_up),
        cmocka_unit_test(sums_agree_with_double_precision),
        cmocka_unit_test(changes_agree_with_a_plain_array),
        cmocka_unit_test(reading_never_changes_results),
        cmocka_unit_test(copies_and_views_are_equal_and_apart),
        cmocka_unit_test(dead_and_single_candidates),
        cmocka_unit_test(tiny_temperatures_keep_the_best),
        cmocka_unit_test(broken_logits_are_named),
        cmocka_unit_test(walks_see_mass_and_entropy),
        cmocka_unit_test(draws_are_where_the_running_sum_says),
        cmocka_unit_test(failed_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
