/* The stages against transformers' logits processors and llama.cpp's samplers, on 1,000
 * random distributions each (tests/fixtures/samplers). A case that rounding could decide
 * either way, by a slow rule in double precision, is passed over; there are few.
 *
 * Where the peers' rules differ at a border: llama.cpp's typical stops past the mass, not
 * at it; transformers' typical keeps every tie at its border; its epsilon and eta keep all
 * ties of the largest where nothing reaches the cut. Such cases are none of these: they
 * have ties only where both sides treat them alike. */
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

enum { CASES = 1000, VOCAB = 400 };

static uint64_t mix(uint64_t seed, uint64_t i) {
    uint64_t z = seed * 0x9E3779B97F4A7C15u + i * 0xD1B54A32D192ED03u + 0x632BE59BD9B4E019u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* The distribution of make.py; its size. */
static int peers_fill(float *x, uint64_t seed, bool ties) {
    static const int shift[] = {14, 13, 16, 14, 14};
    int kind = (int)(mix(seed, 1) % 5), n = 2 + (int)(mix(seed, 2) % 398);
    for (int i = 0; i < n; i++) {
        uint64_t z = mix(seed, 100 + (uint64_t)i);
        int s = (int)(z & 0xffff) + (int)(z >> 16 & 0xffff) + (int)(z >> 32 & 0xffff) + (int)(z >> 48) - 131070;
        x[i] = (float)s / (float)(1 << shift[kind]);
        if (kind == 4 && ties) x[i] = (float)((int)(x[i] * 2 + 64) - 64) / 2;
        if (kind == 3 && mix(seed, 1000 + (uint64_t)i) % 10 < 3) x[i] = -INFINITY;
    }
    x[mix(seed, 3) % (uint64_t)n] = 3;
    return n;
}

static double from_1025(int k) { return 0.25 + k / 1024.0; }
static double from_k(int k) { return 1 + k % 60; }
static double from_4100(int k) { return (k + 1) / 4100.0; }
static double from_16384(int k) { return (k + 1) / 16384.0; }
static double from_4200(int k) { return (k + 100) / 4200.0; }
static double from_8200(int k) { return (k + 1) / 8200.0; }
static double from_sigma(int k) { return (k + 40) / 1024.0; }
static double from_tau(int k) { return (k + 100) / 1024.0; }
static double from_range(int k) { return (k + 1) / 4200.0; }
static double from_4096(int k) { return k / 4096.0; }

static bool any(double v, float *x, int n) {
    (void)v, (void)x, (void)n;
    return true;
}

static bool surprise(double v, float *x, int n) { return slow_least(exp2(-2 * v), x, n); }

/* llama.cpp's cut of mirostat 1: clear where k is not near a whole number. */
static bool zipf(double v, float *x, int n) {
    const slow_order *o = slow_sort(x, n);
    double tb = 0, tt = 0;
    for (int i = 0; i < 99 && i + 1 < o->n; i++) {
        double t = log((i + 2.0) / (i + 1.0));
        tb += t * log(o->p[i] / o->p[i + 1]), tt += t * t;
    }
    double s = tb / tt, e = s - 1, k = pow(e * exp2(2 * v) / (1 - pow(n, -e)), 1 / s);
    return fabs(e) > 1e-3 && k < 1e6 && fabs(k - nearbyint(k)) > 1e-3 * k;
}

static const struct {
    const char *text;
    double (*parameter)(int k);
    bool (*clear)(double v, float *x, int n);
    bool ties, values, probabilities;
} stages[] = {
    {"temp:%.17g", from_1025, any, false, true, false},
    {"top-k:%.17g,ties=keep", from_k, any, true, false, false},
    {"top-p:%.17g", from_4100, slow_top_p, false, false, false},
    {"min-p:%.17g", from_4100, slow_min_p, true, false, false},
    {"typical:%.17g", from_4100, slow_typical, false, false, false},
    {"epsilon:%.17g", from_16384, slow_epsilon, false, false, false},
    {"eta:%.17g", from_16384, slow_eta, false, false, false},
    {"top-h:%.17g,rule=hf", from_4200, slow_top_h_hf, false, false, false},
    {"temp:%.17g", from_1025, any, false, true, false},
    {"top-k:%.17g", from_k, any, false, false, false},
    {"top-p:%.17g", from_4100, slow_top_p, false, false, false},
    {"min-p:%.17g", from_4100, slow_min_p, false, false, false},
    {"typical:%.17g", from_4100, slow_typical, false, false, false},
    {"xtc:probability=1,threshold=%.17g", from_8200, slow_xtc, false, false, false},
    {"top-n-sigma:%.17g", from_sigma, slow_sigma, false, false, false},
    {"mirostat-1:tau=%.17g,lc=yes", from_tau, zipf, false, false, false},
    {"mirostat-2:tau=%.17g,lc=yes", from_tau, surprise, false, false, false},
    {"dyn-temp:t=1,range=%.17g,exponent=1.5", from_range, any, false, true, false},
    {"adaptive-p:target=%.17g", from_4096, any, false, true, true},
};
enum { STAGES = sizeof stages / sizeof *stages };

static void check_kept(FILE *f, jt_dist *d, int n, bool clear, const char *text, uint64_t seed) {
    unsigned char r[6];
    uint32_t h = 0x811c9dc5u;
    assert_int_equal(fread(r, 1, 6, f), 6);
    for (int i = 0; i < n; i++)
        if (jt_dist_logit(d, i) > -INFINITY) h = (h ^ (uint32_t)(i & 255)) * 0x01000193u, h = (h ^ (uint32_t)(i >> 8)) * 0x01000193u;
    int kept = r[0] | r[1] << 8;
    uint32_t want = r[2] | (uint32_t)r[3] << 8 | (uint32_t)r[4] << 16 | (uint32_t)r[5] << 24;
    if (clear && (kept != jt_dist_count(d) || h != want))
        fail_msg("seed %d, %d tokens, %s: %d kept, not the peer's %d", (int)seed, n, text, jt_dist_count(d), kept);
}

static void check_values(FILE *f, jt_dist *d, int n, bool probabilities, const char *text, uint64_t seed) {
    float want[3], top = jt_dist_top(d, 1)->logit;
    assert_int_equal(fread(want, 4, 3, f), 3);
    for (int k = 0; k < 3; k++) {
        int id = (int)(mix(seed, 5 + (uint64_t)k) % (uint64_t)n);
        float l = jt_dist_logit(d, id), got = probabilities && l > -INFINITY ? (float)jt_dist_p(d, id) : l - top;
        if (!(got == want[k] || fabsf(got - want[k]) <= 2e-5f * (1 + fabsf(want[k]))))
            fail_msg("seed %d, %d tokens, %s: %g for id %d, not %g", (int)seed, n, text, (double)got, id, (double)want[k]);
    }
}

static void as_the_peers_do(void **state) {
    (void)state;
    static float x[VOCAB], slow[VOCAB];
    FILE *f = fopen(FIXTURES "/samplers/peers.bin", "rb");
    assert_non_null(f);
    for (uint64_t s = 0; s < STAGES; s++) {
        int compared = 0;
        for (uint64_t i = 0; i < CASES; i++) {
            uint64_t seed = s * CASES + i;
            int n = peers_fill(x, seed, stages[s].ties);
            double v = stages[s].parameter((int)(mix(seed, 4) % 4096));
            char text[80];
            snprintf(text, sizeof text, stages[s].text, v);
            memcpy(slow, x, sizeof x);
            bool clear = stages[s].clear(v, slow, n);
            jt_dist *d = cases_dist(n);
            cases_load(d, x);
            cases_run(text, d);
            if (stages[s].values)
                check_values(f, d, n, stages[s].probabilities, text, seed);
            else
                check_kept(f, d, n, clear, text, seed);
            compared += clear;
            jt_dist_free(d);
        }
        if (compared < CASES * 9 / 10) fail_msg("%s: only %d of %d could be compared", stages[s].text, compared, CASES);
    }
    assert_int_equal(fgetc(f), EOF);
    fclose(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_the_peers_do)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
