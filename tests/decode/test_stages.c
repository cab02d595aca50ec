/* The stages against the worked examples of common-samplers.md, slow double-precision
 * rules on random distributions, and their own promises. The worked distribution is
 * p = (0.50, 0.20, 0.15, 0.10, 0.05) for tokens 0 to 4. */
#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "decode/pipeline.h"
#include "step/dist.h"
#include "step/step.h"

enum { MOST = 2000 };

static const double worked[5] = {0.50, 0.20, 0.15, 0.10, 0.05};

static double uniform(uint64_t seed, uint32_t a, uint32_t b) { return jt_random_u(&(jt_address){.seed = seed, .position = a, .index = b}); }

static jt_dist *make_dist(int vocab) {
    jt_dist *d = NULL;
    int known;
    assert_int_equal(jt_dist_new(vocab, jt_kernels_pick(NULL, &known), &d, NULL), JT_OK);
    return d;
}

static void load(jt_dist *d, const float *x) { assert_int_equal(jt_dist_load(d, x, NULL), JT_OK); }

/* Runs the pipeline's stages on d, with that history. */
static void run_with(const char *text, jt_dist *d, const int32_t *history, int n, int n_prompt) {
    static int32_t seen[MOST];
    static jt_count count[MOST];
    jt_pipeline *p;
    jt_error err;
    if (jt_pipeline_parse(text, NULL, &p, &err) != JT_OK) fail_msg("%s: %s", text, err.message);
    for (int i = 0; i < p->n_stage; i++) {
        const jt_method *m = p->stage[i].m;
        jt_step s = {
            .method = m, .vocab = d->vocab, .history = history, .n = n, .n_prompt = n_prompt, .seen = seen, .count = count, .err = &err};
        jt_setup u = {.vocab = d->vocab, .prompt = history, .n_prompt = n_prompt, .context = n + 16};
        size_t bytes = m->state_bytes ? m->state_bytes(p->stage[i].par, &u) : m->state_size;
        void *state = calloc(1, bytes + 1);
        if (m->open) assert_int_equal(m->open(p->stage[i].par, state, &u, &err), JT_OK);
        assert_int_equal(m->stage.run(p->stage[i].par, state, d, &s), JT_OK);
        free(state);
    }
    for (int i = 0; i < MOST; i++) assert_int_equal(seen[i], 0);
    jt_pipeline_free(p);
}

static void run(const char *text, jt_dist *d) { run_with(text, d, NULL, 0, 0); }

static void load_worked(jt_dist *d) {
    static float x[5];
    for (int i = 0; i < 5; i++) x[i] = (float)log(worked[i]);
    load(d, x);
}

static void expect_p(jt_dist *d, const double *p, int n, double within) {
    for (int i = 0; i < n; i++) assert_true(fabs(jt_dist_p(d, i) - p[i]) < within);
}

static void worked_examples(void **state) {
    (void)state;
    static const double half[5] = {0.76923, 0.12308, 0.06923, 0.03077, 0.00769}, two[5] = {0.33972, 0.21486, 0.18607, 0.15193, 0.10743};
    static const struct {
        const char *text;
        int kept;
    } cut[] = {{"top-p:0.49", 1},
               {"top-p:0.5001", 2},
               {"top-p:0.69", 2},
               {"top-p:0.79", 3},
               {"top-p:0.94", 4},
               {"top-p:0.96", 5},
               {"top-p:0", 1},
               {"top-p:0,min-keep=3", 3},
               {"min-p:0.19", 4},
               {"min-p:0.25", 3},
               {"min-p:0.39", 2},
               {"min-p:0.41", 1},
               {"min-p:1", 1},
               {"min-p:1,min-keep=2", 2},
               {"top-k:1", 1},
               {"top-k:3", 3},
               {"top-k:5", 5},
               {"top-k:9", 5},
               {"top-k:2,ties=keep", 2},
               {"temp:0", 1},
               {"temp:2 | top-p:0.54", 2},
               {"top-p:0.54 | temp:2", 2},
               {"temp:2 | top-p:0.56", 3}};
    jt_dist *d = make_dist(5);
    load_worked(d);
    assert_true(fabs(jt_dist_entropy(d) - 1.33307) < 1e-5);
    run("temp:0.5", d);
    expect_p(d, half, 5, 1e-5);
    load_worked(d);
    run("temp:2", d);
    expect_p(d, two, 5, 1e-5);
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        load_worked(d);
        run(cut[i].text, d);
        if (jt_dist_count(d) != cut[i].kept) fail_msg("%s kept %d", cut[i].text, jt_dist_count(d));
        for (int k = 0; k < cut[i].kept; k++) assert_true(jt_dist_logit(d, k) > -INFINITY);
    }
    jt_dist_free(d);
}

static void ties_at_the_border(void **state) {
    (void)state;
    float x[6] = {1, 3, 2, 2, 2, 0};
    jt_dist *d = make_dist(6);
    load(d, x);
    run("top-k:3", d);
    assert_true(jt_dist_count(d) == 3 && jt_dist_logit(d, 2) == 2 && jt_dist_logit(d, 3) == 2 && jt_dist_logit(d, 4) == -INFINITY);
    load(d, x);
    run("top-k:2,ties=keep", d);
    assert_true(jt_dist_count(d) == 4 && jt_dist_logit(d, 4) == 2 && jt_dist_logit(d, 0) == -INFINITY);
    jt_dist_free(d);
}

static void penalties(void **state) {
    (void)state;
    static const int32_t history[] = {0, 1, 1, 3, 3, 3, 1}; /* the first three are the prompt */
    static const struct {
        const char *text;
        float want[5];
    } t[] = {
        {"repeat-penalty:2", {1, -2, 0, 1, -4}},
        {"repeat-penalty:2,window=3", {2, -2, 0, 1, -4}},
        {"repeat-penalty:2,window=0", {2, -1, 0, 2, -4}},
        {"repeat-penalty:2,window=-1", {1, -2, 0, 1, -4}},
        {"repeat-penalty:2,scope=output", {2, -2, 0, 1, -4}},
        {"repeat-penalty:0.5", {4, -0.5f, 0, 4, -4}},
        {"frequency-penalty:0.5", {2, -1.5f, 0, 0.5f, -4}},
        {"frequency-penalty:0.5,scope=all", {1.5f, -2.5f, 0, 0.5f, -4}},
        {"frequency-penalty:0.5,scope=all,window=5", {2, -2, 0, 0.5f, -4}},
        {"presence-penalty:0.5", {2, -1.5f, 0, 1.5f, -4}},
        {"presence-penalty:-2,scope=all", {4, 1, 0, 4, -4}},
        {"presence-penalty:0.5,window=1", {2, -1.5f, 0, 2, -4}},
        {"logit-bias:0=1.5,2=-3", {3.5f, -1, -3, 2, -4}},
    };
    float x[5] = {2, -1, 0, 2, -4};
    jt_dist *d = make_dist(5);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        load(d, x);
        run_with(t[i].text, d, history, 7, 3);
        for (int k = 0; k < 5; k++)
            if (jt_dist_logit(d, k) != t[i].want[k]) fail_msg("%s: logit %d is %g", t[i].text, k, (double)jt_dist_logit(d, k));
    }
    /* on log-probabilities the penalty multiplies, and a constant added to all logits changes nothing */
    for (int shift = 0; shift < 2; shift++) {
        float y[5];
        double p[5], lse = 0;
        for (int k = 0; k < 5; k++) y[k] = x[k] + (shift ? 7.0f : 0.0f), lse += exp((double)x[k]);
        lse = log(lse);
        load(d, y);
        run_with("repeat-penalty:2,base=logprobs", d, history, 7, 3);
        double s = 0;
        for (int k = 0; k < 5; k++) s += p[k] = exp((k == 0 || k == 1 || k == 3 ? 2 : 1) * ((double)x[k] - lse));
        for (int k = 0; k < 5; k++) p[k] /= s;
        expect_p(d, p, 5, 1e-6);
    }
    /* a ban, and what was removed stays so */
    load(d, x);
    run_with("logit-bias:0=-inf,3=-inf | logit-bias:0=50 | repeat-penalty:2 | frequency-penalty:-2 | presence-penalty:-2 | temp:0.5", d,
             history, 7, 3);
    assert_true(jt_dist_count(d) == 3 && jt_dist_logit(d, 0) == -INFINITY && jt_dist_logit(d, 3) == -INFINITY);
    jt_dist_free(d);
}

static void fill(float *x, int n, uint64_t seed) {
    int kind = (int)(seed % 5);
    for (int i = 0; i < n; i++) {
        double u = uniform(seed, (uint32_t)i, 0), v = uniform(seed, (uint32_t)i, 1);
        double normal = sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
        x[i] = kind == 1   ? (float)(int)(u * 4)
               : kind == 2 ? (v < 0.3 ? -INFINITY : (float)(3 * normal))
               : kind == 3 ? -INFINITY
               : kind == 4 ? 1.5f
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

/* One slow stage: x changes in place. Returns false where rounding may decide either way. */
typedef struct slow {
    int kind; /* 0 temp, 1 top-k, 2 top-p, 3 min-p, 4 repeat, 5 frequency, 6 presence */
    double value;
} slow;

static bool slow_run(slow s, float *x, int n, const int32_t *history, int len) {
    static int order[MOST];
    int live = 0, keep = 0;
    for (int i = 0; i < n; i++)
        if (x[i] > -INFINITY) order[live++] = i;
    by = x;
    qsort(order, (size_t)live, sizeof *order, in_order);
    double max = (double)x[order[0]], sum = 0, cum = 0;
    bool clear = true;
    for (int i = 0; i < live; i++) sum += exp((double)x[order[i]] - max);
    switch (s.kind) {
    case 0:
        for (int i = 0; i < n; i++) x[i] /= (float)s.value;
        return true;
    case 1: keep = (int)s.value; break;
    case 2:
        while (keep < live && cum < s.value) {
            cum += exp((double)x[order[keep++]] - max) / sum;
            clear &= fabs(cum - s.value) > 1e-5;
        }
        break;
    case 3:
        while (keep < live && exp((double)x[order[keep]] - max) >= s.value) {
            clear &= fabs(exp((double)x[order[keep]] - max) - s.value) > 1e-12;
            keep++;
        }
        break;
    default:
        for (int i = 0; i < n; i++) {
            int c = 0;
            for (int k = 0; k < len; k++) c += history[k] == i;
            double l = (double)x[i];
            if (!c || l == -INFINITY) continue;
            x[i] = (float)(s.kind == 4 ? (l > 0 ? l / s.value : l * s.value) : l + (double)(float)(-s.value * (s.kind == 5 ? c : 1)));
        }
        return true;
    }
    for (int i = keep < 1 ? 1 : keep; i < live; i++) x[order[i]] = -INFINITY;
    return clear;
}

static void slow_text(slow s, char out[64]) {
    static const char *const name[] = {"temp", "top-k", "top-p", "min-p", "repeat-penalty", "frequency-penalty", "presence-penalty"};
    snprintf(out, 64, "%s:%.17g%s", name[s.kind], s.value, s.kind < 4 ? "" : s.kind == 4 ? ",window=-1" : ",scope=all");
}

/* 1000 distributions, each under a random chain of one to four stages; the exact set and logits, and one candidate at least. */
static void chains_agree_with_slow_rules(void **state) {
    (void)state;
    static float x[MOST];
    int decided = 0;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        int n = 1 + (int)(uniform(seed, 7, 7) * (seed % 10 ? 200 : MOST - 1)), stages = 1 + (int)(uniform(seed, 1, 7) * 4), len = 60;
        int32_t history[60];
        char text[400] = "", one[64];
        bool clear = true;
        fill(x, n, seed);
        jt_dist *d = make_dist(n);
        float *mine = malloc((size_t)n * sizeof *mine);
        memcpy(mine, x, (size_t)n * sizeof *mine);
        for (int i = 0; i < len; i++) history[i] = (int32_t)(uniform(seed, (uint32_t)i, 8) * n);
        for (int i = 0; i < stages; i++) {
            double u = uniform(seed, (uint32_t)i, 9);
            slow s = {.kind = (int)(uniform(seed, (uint32_t)i, 10) * 7)};
            s.value = (double[]){0.1 + 2 * u, 1 + floor(u * 50), u * 0.999, u, 0.5 + u, 4 * u - 2, 4 * u - 2}[s.kind];
            slow_text(s, one);
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? " | " : "", one);
            clear &= slow_run(s, mine, n, history, len);
        }
        load(d, x);
        run_with(text, d, history, len, 10);
        assert_true(jt_dist_count(d) >= 1);
        decided += clear;
        for (int i = 0; clear && i < n; i++)
            if (jt_dist_logit(d, i) != mine[i])
                fail_msg("seed %d, %s: logit %d is %g, not %g", (int)seed, text, i, (double)jt_dist_logit(d, i), (double)mine[i]);
        free(mine);
        jt_dist_free(d);
    }
    assert_true(decided > 900);
}

static void neutral_settings_change_no_bit(void **state) {
    (void)state;
    static const char *const neutral[] = {"temp:1",
                                          "top-k:0",
                                          "top-p:1",
                                          "min-p:0",
                                          "repeat-penalty:1",
                                          "frequency-penalty:0,scope=all",
                                          "presence-penalty:0,scope=all",
                                          "logit-bias:1=0,2=0"};
    static const int32_t history[] = {0, 1, 2, 2, 1};
    static float x[300];
    jt_dist *a = make_dist(300), *b = make_dist(300);
    for (uint64_t seed = 0; seed < 50; seed++)
        for (size_t k = 0; k < sizeof neutral / sizeof *neutral; k++)
            for (int cut = 0; cut < 2; cut++) {
                fill(x, 300, seed);
                load(a, x), load(b, x);
                if (cut) run("top-k:100", a), run("top-k:100", b);
                run_with(neutral[k], b, history, 5, 2);
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

static void a_dead_distribution_stays_dead(void **state) {
    (void)state;
    static const char *const all[] = {"temp:0",
                                      "temp:2",
                                      "top-k:3",
                                      "top-k:1,ties=keep",
                                      "top-p:0.5",
                                      "min-p:0.5",
                                      "repeat-penalty:2",
                                      "repeat-penalty:2,base=logprobs",
                                      "frequency-penalty:1",
                                      "presence-penalty:1",
                                      "logit-bias:0=5"};
    static const int32_t history[] = {0, 1, 2};
    jt_dist *d = make_dist(5);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        load_worked(d);
        jt_dist_only(d, -1);
        run_with(all[i], d, history, 3, 1);
        assert_int_equal(jt_dist_count(d), 0);
        assert_int_equal(jt_dist_draw(d, 0.5), -1);
    }
    jt_dist_free(d);
}

/* Pearson's statistic of 100,000 addressed draws. The bound is the 1 - 1e-6 quantile of chi-square (Wilson and Hilferty's
 * form, exact to a few parts in a hundred from 1 degree of freedom on, and increased by a tenth for that), so that this
 * test of eight distributions would fail by chance once in 100,000 changes of the seed. */
static void draws_follow_the_distribution(void **state) {
    (void)state;
    enum { DRAWS = 100000 };
    static const char *const text[] = {
        "sample", "temp:0.5", "temp:2", "top-p:0.94", "min-p:0.19", "top-k:3", "temp:1.5 | top-k:4 | min-p:0.1"};
    static float x[400];
    static int seen[400];
    for (uint64_t t = 0; t < 8; t++) {
        int n = t == 7 ? 400 : 5, df = -1;
        jt_dist *d = make_dist(n);
        if (t == 7) {
            fill(x, n, 5);
            load(d, x);
        } else {
            load_worked(d);
            run(text[t], d);
        }
        memset(seen, 0, sizeof seen);
        for (uint32_t i = 0; i < DRAWS; i++)
            seen[jt_dist_draw(d, jt_random_u(&(jt_address){.seed = 1 + t, .position = i, .site = jt_random_site("sample", 0, "draw")}))]++;
        double chi = 0, rest = 0, rest_seen = 0;
        for (int i = 0; i < n; i++) {
            double expected = DRAWS * jt_dist_p(d, i);
            if (expected == 0) assert_int_equal(seen[i], 0);
            if (expected < 10) {
                rest += expected, rest_seen += seen[i];
                continue;
            }
            chi += (seen[i] - expected) * (seen[i] - expected) / expected, df++;
        }
        if (rest >= 10) chi += (rest_seen - rest) * (rest_seen - rest) / rest, df++;
        double v = 2.0 / (9 * df), bound = 1.1 * df * pow(1 - v + 4.7534 * sqrt(v), 3);
        if (!(chi < bound)) fail_msg("distribution %d: chi-square %g, bound %g", (int)t, chi, bound);
        jt_dist_free(d);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(worked_examples),
        cmocka_unit_test(ties_at_the_border),
        cmocka_unit_test(penalties),
        cmocka_unit_test(chains_agree_with_slow_rules),
        cmocka_unit_test(neutral_settings_change_no_bit),
        cmocka_unit_test(a_dead_distribution_stays_dead),
        cmocka_unit_test(draws_follow_the_distribution),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
