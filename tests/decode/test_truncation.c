/* The truncation samplers and the reshaping of logits: the worked examples of their cards,
 * slow double-precision rules on random distributions, alone and any two in both orders, and
 * what happens at the edges. The worked distribution is p = (0.50, 0.20, 0.15, 0.10, 0.05). */
#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stage_cases.h"

static const double worked[5] = {0.50, 0.20, 0.15, 0.10, 0.05};

static void load_worked(jt_dist *d) {
    static float x[5];
    for (int i = 0; i < 5; i++) x[i] = (float)log(worked[i]);
    cases_load(d, x);
}

static int kept_bits(jt_dist *d) {
    int bits = 0;
    for (int i = 0; i < jt_dist_vocab(d) && i < 30; i++)
        if (jt_dist_logit(d, i) > -INFINITY) bits |= 1 << i;
    return bits;
}

static int bits_of(const char *set) {
    int bits = 0;
    for (; *set; set++) bits |= 1 << (*set - '1');
    return bits;
}

/* Borders that a probability meets exactly stand a little below it: logits in single precision cannot say which side it is on. */
static void worked_examples(void **state) {
    (void)state;
    static const struct {
        const char *text, *kept; /* tokens are counted from 1, as the cards do */
    } t[] = {
        {"top-p:0.499", "1"},
        {"top-p:0.69", "12"},
        {"top-p:0.79", "123"},
        {"top-p:0.94", "1234"},
        {"min-p:0.199", "1234"},
        {"min-p:0.25", "123"},
        {"min-p:0.39", "12"},
        {"typical:0.19", "2"},
        {"typical:0.1999", "2"},
        {"typical:0.201", "23"},
        {"typical:0.3", "23"},
        {"typical:0.36", "123"},
        {"typical:0.5", "123"},
        {"typical:0.9", "1234"},
        {"typical:0.96", "12345"},
        {"typical:0.01,min-keep=2", "23"},
        {"typical:0,min-keep=4", "1234"},
        {"tfs:0.95", "1"},
        {"tfs:0.5", "1"},
        {"tfs:0.95,min-keep=2", "12"},
        {"tfs:1", "12345"},
        {"top-n-sigma:1", "1"},
        {"top-n-sigma:1.5", "12"},
        {"top-n-sigma:2", "123"},
        {"top-n-sigma:3.1", "12345"},
        {"top-n-sigma:1,min-keep=2", "12"},
        {"epsilon:0.04", "12345"},
        {"epsilon:0.06", "1234"},
        {"epsilon:0.12", "123"},
        {"epsilon:0.9", "1"},
        {"epsilon:0.9,min-keep=2", "12"},
        {"eta:0.3", "123"},
        {"eta:0.1", "1234"},
        {"eta:0.0003", "12345"},
        {"top-a:0.19", "12345"},
        {"top-a:0.21", "1234"},
        {"top-a:0.59", "123"},
        {"top-a:0.61", "12"},
        {"top-a:0.79", "12"},
        {"top-a:0.81", "1"},
        {"top-h:0.4", "1"},
        {"top-h:0.45", "12"},
        {"top-h:0.5", "12"},
        {"top-h:0.6", "12"},
        {"top-h:0.75", "123"},
        {"top-h:0.9", "1234"},
        {"top-h:1", "12345"},
        {"top-h:0.4,rule=hf", "1"},
        {"top-h:0.45,rule=hf", "1"},
        {"top-h:0.5,rule=hf", "1"},
        {"top-h:0.6,rule=hf", "12"},
        {"top-h:0.75,rule=hf", "123"},
        {"top-h:0.9,rule=hf", "1234"},
        {"xtc:probability=1,threshold=0.0999", "45"},
        {"xtc:probability=1,threshold=0.1499", "345"},
        {"xtc:probability=1,threshold=0.1999", "2345"},
        {"xtc:probability=1,threshold=0.3", "12345"},
        {"xtc:probability=1,threshold=0.6", "12345"},
        {"xtc:probability=0,threshold=0.0999", "12345"},
        {"xtc:probability=1,threshold=0.0999,min-keep=3", "12345"},
        {"xtc:probability=1,threshold=0", "5"},
    };
    jt_dist *d = cases_dist(5);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        load_worked(d);
        cases_run(t[i].text, d);
        if (kept_bits(d) != bits_of(t[i].kept)) fail_msg("%s keeps %x, not %s", t[i].text, (unsigned)kept_bits(d), t[i].kept);
        for (int k = 0; k < 5; k++)
            if (jt_dist_logit(d, k) > -INFINITY) assert_true(jt_dist_logit(d, k) == (float)log(worked[k]));
    }
    jt_dist_free(d);
}

static void expect_p(const char *text, const double p[5]) {
    jt_dist *d = cases_dist(5);
    load_worked(d);
    cases_run(text, d);
    for (int i = 0; i < 5; i++)
        if (!(fabs(jt_dist_p(d, i) - p[i]) < 2e-5)) fail_msg("%s: p(%d) is %g", text, i + 1, jt_dist_p(d, i));
    jt_dist_free(d);
}

static void worked_probabilities(void **state) {
    (void)state;
    double q[5], sum = 0;
    expect_p("temp:0.5", (const double[5]){0.76923, 0.12308, 0.06923, 0.03077, 0.00769});
    expect_p("dyn-temp:t=1,range=0.5", (const double[5]){0.42017, 0.21078, 0.16974, 0.12508, 0.07423});
    expect_p("dyn-temp:t=0.5,range=0", (const double[5]){0.76923, 0.12308, 0.06923, 0.03077, 0.00769});
    expect_p("dyn-temp:t=0,range=0", (const double[5]){1, 0, 0, 0, 0});
    expect_p("dyn-temp:t=1.5,range=0.5,exponent=0", (const double[5]){0.33972, 0.21486, 0.18607, 0.15193, 0.10743}); /* temp:2 */
    for (int k = 1; k <= 3; k += 2) { /* curve 3 is the cubic alone */
        char text[60];
        for (int i = sum = 0; i < 5; i++) {
            double z = log(worked[i] / 0.5);
            sum += q[i] = exp(0.3 * (k == 1 ? -z * z : z * z * z));
        }
        for (int i = 0; i < 5; i++) q[i] /= sum;
        snprintf(text, sizeof text, "quadratic:0.3,curve=%d", k);
        expect_p(text, q);
    }
}

/* adaptive-p and mirostat as jobs see them: state that is opened, run and pushed. */
static void state_follows_what_was_chosen(void **state) {
    (void)state;
    static const float want[5] = {2.3333f, 4.1667f, 3.3333f, 2.3333f, 1.2121f};
    jt_dist *d = cases_dist(5);
    cases_stage c;
    cases_open(&c, "adaptive-p:target=0.3", 5);
    load_worked(d);
    cases_step(&c, d);
    for (int i = 0; i < 5; i++) assert_true(fabsf(jt_dist_logit(d, i) - want[i]) < 1e-4f);
    cases_push(&c, 0, 0.5, log(0.1)); /* w = 0.5 + 0.9 * 3 = 3.2, n = 1 + 0.9 * 10 = 10, target' = 0.6 - 0.32 */
    load_worked(d);
    cases_step(&c, d);
    for (int i = 0; i < 5; i++) {
        double z = fabs(worked[i] - 0.28) / 0.3;
        assert_true(fabs((double)jt_dist_logit(d, i) - (5 - 10 * z * z / (1 + z))) < 1e-4);
    }
    cases_close(&c);

    static const struct {
        double mu;
        int kept;
    } cut[] = {{2.0, 1}, {2.5, 2}, {3.0, 3}, {4.0, 4}, {4.4, 5}};
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        char text[60];
        snprintf(text, sizeof text, "mirostat-2:tau=%.17g", cut[i].mu / 2);
        cases_open(&c, text, 5);
        load_worked(d);
        cases_step(&c, d);
        assert_int_equal(jt_dist_count(d), cut[i].kept);
        cases_close(&c);
    }
    /* k is 2.4033 at mu 2 and 4.0696 at mu 3: the paper's code keeps round(k) + 1, llama.cpp what is below */
    for (int lc = 0; lc < 2; lc++)
        for (int mu = 2; mu <= 3; mu++) {
            char text[60];
            snprintf(text, sizeof text, "mirostat-1:tau=%g,lc=%s", mu / 2.0, lc ? "yes" : "no");
            cases_open(&c, text, 5);
            load_worked(d);
            cases_step(&c, d);
            assert_int_equal(jt_dist_count(d), mu == 2 ? (lc ? 2 : 3) : (lc ? 4 : 5));
            cases_close(&c);
        }
    /* mu = 2 - 0.5 * (surprise - 1): before the cut of a token of 1/4 it is 2 bits, after all stages of 1/2 one bit */
    for (int lc = 0; lc < 2; lc++)
        for (int version = 1; version <= 2; version++) {
            char text[60];
            snprintf(text, sizeof text, "mirostat-%d:tau=1,eta=0.5,lc=%s", version, lc ? "yes" : "no");
            cases_open(&c, text, 5);
            cases_push(&c, 1, 0.25, log(0.5));
            assert_true(fabs(*(double *)c.state - (lc ? 2.0 : 1.5)) < 1e-6);
            cases_push(&c, 1, 0, NAN); /* not decided by the stages: nothing is learned of it */
            assert_true(fabs(*(double *)c.state - (lc ? 2.0 : 1.5)) < 1e-6);
            cases_close(&c);
        }
    jt_dist_free(d);
}

/* How often XTC acts is its parameter: 20,000 addressed draws; the bound is six standard deviations. */
static void xtc_acts_as_often_as_it_is_told(void **state) {
    (void)state;
    enum { DRAWS = 20000 };
    static const double q[] = {0.1, 0.5, 0.9};
    jt_dist *d = cases_dist(5);
    for (int k = 0; k < 3; k++) {
        cases_stage c;
        char text[60];
        int acted = 0;
        snprintf(text, sizeof text, "xtc:probability=%g,threshold=0.099", q[k]);
        cases_open(&c, text, 5);
        for (int i = 0; i < DRAWS; i++) {
            load_worked(d);
            c.n = i;
            cases_step(&c, d);
            acted += jt_dist_count(d) == 2;
            assert_true(jt_dist_count(d) == 2 || jt_dist_count(d) == 5);
        }
        assert_true(fabs(acted - DRAWS * q[k]) < 6 * sqrt(DRAWS * q[k] * (1 - q[k])));
        cases_close(&c);
    }
    jt_dist_free(d);
}

/* ---- random distributions ---- */

static const slow_stage table[] = {
    {"temp:%.17g", slow_temp, 0.2, 3},
    {"top-k:%.0f", slow_top_k, 1, 60},
    {"top-k:%.0f,ties=keep", slow_top_k_ties, 1, 60},
    {"top-p:%.17g", slow_top_p, 0, 0.999},
    {"min-p:%.17g", slow_min_p, 0.0001, 1},
    {"top-a:%.17g", slow_top_a, 0.0001, 1},
    {"epsilon:%.17g", slow_epsilon, 0.0001, 0.3},
    {"eta:%.17g", slow_eta, 0.0001, 0.3},
    {"top-n-sigma:%.17g", slow_sigma, 0.1, 4},
    {"top-h:%.17g", slow_top_h, 0.1, 0.99},
    {"top-h:%.17g,rule=hf", slow_top_h_hf, 0.1, 0.99},
    {"tfs:%.17g", slow_tfs, 0.01, 0.99},
    {"typical:%.17g", slow_typical, 0.01, 0.99},
    {"xtc:probability=1,threshold=%.17g", slow_xtc, 0.001, 0.5},
    {"dyn-temp:t=1,range=%.17g", slow_dyn_temp, 0.05, 0.9},
    {"quadratic:%.17g,curve=1.5", slow_quadratic, 0.05, 2},
};
enum { STAGES = sizeof table / sizeof *table };

/* Runs the stages a, b (b < 0: one alone) both ways; whether rounding could not decide. */
static bool agrees(int a, int b, uint64_t seed, int n) {
    static float x[CASES_MOST], mine[CASES_MOST];
    char text[200] = "", part[100];
    bool clear = true;
    int live = 0;
    cases_fill(x, n, seed);
    memcpy(mine, x, (size_t)n * sizeof *x);
    for (int k = 0; k < (b < 0 ? 1 : 2); k++) {
        const slow_stage *s = &table[k ? b : a];
        double v = s->low + cases_uniform(seed, 5, (uint32_t)k) * (s->high - s->low);
        if (strstr(s->text, "%.0f")) v = floor(v);
        snprintf(part, sizeof part, s->text, v);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", k ? " | " : "", part);
        clear &= s->run(v, mine, n);
    }
    jt_dist *d = cases_dist(n);
    cases_load(d, x);
    cases_run(text, d);
    if (jt_dist_count(d) < 1) fail_msg("%s leaves nothing", text);
    for (int i = 0; clear && i < n; i++) {
        float got = jt_dist_logit(d, i);
        live += got > -INFINITY;
        if ((got > -INFINITY) != (mine[i] > -INFINITY) || (got > -INFINITY && fabsf(got - mine[i]) > 2e-5f * (1 + fabsf(mine[i]))))
            fail_msg("seed %d, %d tokens, %s: logit %d is %g, not %g", (int)seed, n, text, i, (double)got, (double)mine[i]);
    }
    assert_true(!clear || live == jt_dist_count(d));
    jt_dist_free(d);
    return clear;
}

static void each_agrees_with_its_slow_rule(void **state) {
    (void)state;
    for (int a = 0; a < STAGES; a++) {
        int clear = 0;
        for (uint64_t seed = 0; seed < 250; seed++)
            clear += agrees(a, -1, seed, 1 + (int)(cases_uniform(seed, 7, 7) * (seed % 10 ? 300 : CASES_MOST - 1)));
        if (clear < 150) fail_msg("%s: only %d of 250 could be decided", table[a].text, clear);
    }
}

static void any_two_agree_in_both_orders(void **state) {
    (void)state;
    for (int a = 0; a < STAGES; a++)
        for (int b = 0; b < STAGES; b++)
            for (uint64_t seed = 0; seed < 12; seed++)
                agrees(a, b, 1000 + 12 * (uint64_t)(a * STAGES + b) + seed, 1 + (int)(cases_uniform(seed, 7, 7) * 200));
}

static const char *const every[] = {"top-k:3",
                                    "top-k:1,ties=keep",
                                    "top-p:0.5",
                                    "min-p:0.5",
                                    "top-a:0.5",
                                    "epsilon:0.3",
                                    "eta:0.3",
                                    "top-n-sigma:1",
                                    "top-h:0.4",
                                    "top-h:0.4,rule=hf",
                                    "tfs:0.5",
                                    "typical:0.2",
                                    "xtc:probability=1,threshold=0.01",
                                    "temp:0.5",
                                    "dyn-temp",
                                    "quadratic",
                                    "mirostat-1:tau=0.5",
                                    "mirostat-2:tau=0.1",
                                    "adaptive-p:target=0.3"};

static void edges(void **state) {
    (void)state;
    float one[1] = {-7}, tied[40], masked[40], pair[2] = {3, -1e30f};
    for (int i = 0; i < 40; i++) tied[i] = 2.5f, masked[i] = i % 3 ? -INFINITY : (float)(i % 7);
    for (size_t i = 0; i < sizeof every / sizeof *every; i++) {
        jt_dist *d = cases_dist(1);
        cases_load(d, one);
        cases_run(every[i], d); /* one candidate stays */
        assert_true(jt_dist_count(d) == 1 && jt_dist_draw(d, 0.7) == 0);
        jt_dist_only(d, -1); /* dead stays dead */
        cases_run(every[i], d);
        assert_true(jt_dist_count(d) == 0 && jt_dist_draw(d, 0.7) == -1);
        jt_dist_free(d);

        d = cases_dist(40);
        cases_load(d, tied); /* equal candidates: what is kept are the first by id, and equal still */
        cases_run(every[i], d);
        assert_true(jt_dist_count(d) >= 1);
        bool xtc = !strncmp(every[i], "xtc", 3);
        for (int k = 0; k < 40; k++)
            if ((jt_dist_logit(d, k) > -INFINITY) != (xtc ? k >= 40 - jt_dist_count(d) : k < jt_dist_count(d)))
                fail_msg("%s keeps %d of 40 equal ones, and not the first", every[i], jt_dist_count(d));
        cases_load(d, masked); /* what is no candidate becomes none */
        cases_run(every[i], d);
        assert_true(jt_dist_count(d) >= 1);
        for (int k = 0; k < 40; k++) assert_true(k % 3 == 0 || jt_dist_logit(d, k) == -INFINITY);
        jt_dist_free(d);

        d = cases_dist(2);
        cases_load(d, pair); /* a candidate without probability */
        cases_run(every[i], d);
        assert_true(jt_dist_count(d) >= 1 && isfinite(jt_dist_logit(d, jt_dist_draw(d, 1))));
        jt_dist_free(d);
    }
    /* equal candidates: top-h keeps V^h, typical the share */
    jt_dist *d = cases_dist(40);
    static const struct {
        const char *text;
        int kept;
    } t[] = {{"top-h:0.5", 6},          {"top-h:0.5,rule=hf", 20}, {"typical:0.5", 20}, {"typical:0.51", 21}, {"epsilon:0.025", 40},
             {"top-k:3,ties=keep", 40}, {"top-n-sigma:0.001", 40}, {"top-a:1", 40},     {"top-p:0.26", 11}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        cases_load(d, tied);
        cases_run(t[i].text, d);
        if (jt_dist_count(d) != t[i].kept) fail_msg("%s keeps %d of 40 equal ones", t[i].text, jt_dist_count(d));
    }
    jt_dist_free(d);
}

static void broken_logits_are_refused(void **state) {
    (void)state;
    static const float bad[] = {NAN, -NAN, INFINITY};
    jt_dist *d = cases_dist(300);
    static float x[300];
    jt_error err;
    for (int at = 0; at < 300; at += 23)
        for (int k = 0; k < 3; k++) {
            cases_fill(x, 300, 0);
            x[at] = bad[k];
            assert_int_equal(jt_dist_load(d, x, &err), JT_INVALID);
            char name[30];
            snprintf(name, sizeof name, "token %d is ", at);
            assert_non_null(strstr(err.message, name));
        }
    jt_dist_free(d);
}

static void neutral_settings_change_no_bit(void **state) {
    (void)state;
    static const char *const neutral[] = {"top-k:0",
                                          "top-p:1",
                                          "min-p:0",
                                          "top-a:0",
                                          "epsilon:0",
                                          "eta:0",
                                          "top-n-sigma:0",
                                          "top-h:1",
                                          "top-h:1,rule=hf",
                                          "tfs:1",
                                          "typical:1",
                                          "xtc:probability=0",
                                          "temp:1",
                                          "dyn-temp:t=1,range=0",
                                          "quadratic:0",
                                          "quadratic:0,curve=3",
                                          "adaptive-p:target=-1",
                                          "mirostat-1:tau=1000000",
                                          "mirostat-2:tau=1000000"};
    static float x[300];
    jt_dist *a = cases_dist(300), *b = cases_dist(300);
    for (uint64_t seed = 0; seed < 30; seed++)
        for (size_t k = 0; k < sizeof neutral / sizeof *neutral; k++)
            for (int cut = 0; cut < 2; cut++) {
                cases_fill(x, 300, seed);
                cases_load(a, x), cases_load(b, x);
                if (cut) cases_run("top-k:100", a), cases_run("top-k:100", b);
                cases_run(neutral[k], b);
                double ea = jt_dist_entropy(a), eb = jt_dist_entropy(b), la = jt_dist_log_sum(a), lb = jt_dist_log_sum(b);
                assert_true(jt_dist_count(a) == jt_dist_count(b) && a->listed == b->listed);
                assert_memory_equal(&ea, &eb, sizeof ea);
                assert_memory_equal(&la, &lb, sizeof la);
                for (int i = 0; i < 300; i++) {
                    float p = jt_dist_logit(a, i), q = jt_dist_logit(b, i);
                    assert_memory_equal(&p, &q, sizeof p);
                }
            }
    jt_dist_free(a), jt_dist_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(worked_examples),
        cmocka_unit_test(worked_probabilities),
        cmocka_unit_test(state_follows_what_was_chosen),
        cmocka_unit_test(xtc_acts_as_often_as_it_is_told),
        cmocka_unit_test(each_agrees_with_its_slow_rule),
        cmocka_unit_test(any_two_agree_in_both_orders),
        cmocka_unit_test(edges),
        cmocka_unit_test(broken_logits_are_refused),
        cmocka_unit_test(neutral_settings_change_no_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
