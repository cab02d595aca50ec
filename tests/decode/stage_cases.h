/* stage_cases.h: running a pipeline's stages without a driver, random distributions, and slow
 * double-precision rules of the stages. A slow rule changes x in place, -inf being no
 * candidate, and says whether rounding could not have decided it either way. */
#ifndef TESTS_DECODE_STAGE_CASES_H
#define TESTS_DECODE_STAGE_CASES_H

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/random.h"
#include "decode/pipeline.h"
#include "step/dist.h"
#include "step/step.h"

enum { CASES_MOST = 3000 };

static inline double cases_uniform(uint64_t seed, uint32_t a, uint32_t b) {
    return jt_random_u(&(jt_address){.seed = seed, .position = a, .index = b});
}

static inline jt_dist *cases_dist(int vocab) {
    jt_dist *d = NULL;
    int known;
    assert_int_equal(jt_dist_new(vocab, jt_kernels_pick(NULL, &known), &d, NULL), JT_OK);
    return d;
}

static inline void cases_load(jt_dist *d, const float *x) { assert_int_equal(jt_dist_load(d, x, NULL), JT_OK); }

/* ---- one stage with its state ---- */

typedef struct cases_stage {
    jt_pipeline *p;
    const jt_node *node;
    void *state;
    int n; /* position */
} cases_stage;

static inline void cases_open(cases_stage *c, const char *text, int vocab) {
    jt_error err;
    *c = (cases_stage){0};
    if (jt_pipeline_parse(text, NULL, &c->p, &err) != JT_OK) fail_msg("%s: %s", text, err.message);
    c->node = c->p->stage;
    jt_setup u = {.vocab = vocab, .context = 100};
    c->state = calloc(1, c->node->m->state_size + 1);
    if (c->node->m->open) assert_int_equal(c->node->m->open(c->node->par, c->state, &u, &err), JT_OK);
}

static inline void cases_step(cases_stage *c, jt_dist *d) {
    jt_error err;
    jt_step s = {.method = c->node->m, .vocab = d->vocab, .n = c->n, .seed = 5, .err = &err};
    assert_int_equal(c->node->m->stage.run(c->node->par, c->state, d, &s), JT_OK);
}

/* The token `id` was chosen, which had probability `arrived` before the stage. */
static inline void cases_push(cases_stage *c, int32_t id, double arrived, double logprob) {
    jt_error err;
    jt_step s = {.method = c->node->m, .n = c->n, .arrived = arrived, .err = &err};
    jt_decision made = {.id = id, .position = c->n, .raw_logprob = (float)logprob, .logprob = (float)logprob};
    c->node->m->stage.push(c->node->par, c->state, &made, &s);
    c->n++;
}

static inline void cases_close(cases_stage *c) {
    free(c->state);
    jt_pipeline_free(c->p);
}

/* All stages of the text, each with its first state, at position 0. */
static inline void cases_run(const char *text, jt_dist *d) {
    cases_stage c;
    cases_open(&c, text, d->vocab);
    int n = c.p->n_stage;
    cases_close(&c);
    for (int i = 0; i < n; i++) {
        jt_error err;
        cases_open(&c, text, d->vocab);
        free(c.state);
        c.node = &c.p->stage[i];
        c.state = calloc(1, c.node->m->state_size + 1);
        jt_setup u = {.vocab = d->vocab, .context = 100};
        if (c.node->m->open) assert_int_equal(c.node->m->open(c.node->par, c.state, &u, &err), JT_OK);
        cases_step(&c, d);
        cases_close(&c);
    }
}

/* ---- random distributions ---- */

/* Seeds differ in kind: normal, ties, masked, one alone, all equal, very flat, very steep. */
static inline void cases_fill(float *x, int n, uint64_t seed) {
    int kind = (int)(seed % 9);
    for (int i = 0; i < n; i++) {
        double u = cases_uniform(seed, (uint32_t)i, 0), v = cases_uniform(seed, (uint32_t)i, 1);
        double normal = sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
        x[i] = kind == 1   ? (float)(int)(u * 6)
               : kind == 2 ? (v < 0.3 ? -INFINITY : (float)(3 * normal))
               : kind == 3 ? -INFINITY
               : kind == 4 ? 1.5f
               : kind == 5 ? (float)(0.3 * normal)
               : kind == 6 ? (float)(12 * normal)
                           : (float)(2 * normal);
    }
    if (kind == 3 || kind == 2) x[(int)(cases_uniform(seed, 0, 2) * n)] = 2;
}

/* ---- slow rules ---- */

typedef struct slow_stage {
    const char *text;
    bool (*run)(double v, float *x, int n);
    double low, high;
} slow_stage;

/* The order of candidates with their probabilities. */
typedef struct slow_order {
    int n, id[CASES_MOST];
    double p[CASES_MOST], entropy;
} slow_order;

static const float *slow_by;
static inline int slow_compare(const void *a, const void *b) {
    int i = *(const int *)a, j = *(const int *)b;
    if (slow_by[i] != slow_by[j]) return slow_by[i] > slow_by[j] ? -1 : 1;
    return i < j ? -1 : i > j;
}

static inline slow_order *slow_sort(const float *x, int n) {
    static slow_order o;
    double sum = 0;
    o.n = 0, o.entropy = 0;
    for (int i = 0; i < n; i++)
        if (x[i] > -INFINITY) o.id[o.n++] = i;
    slow_by = x;
    qsort(o.id, (size_t)o.n, sizeof *o.id, slow_compare);
    for (int i = 0; i < o.n; i++) sum += o.p[i] = exp((double)x[o.id[i]] - (double)x[o.id[0]]);
    for (int i = 0; i < o.n; i++) {
        o.p[i] /= sum;
        if (o.p[i] > 0) o.entropy -= o.p[i] * log(o.p[i]);
    }
    return &o;
}

static inline void slow_keep(float *x, const slow_order *o, int keep) {
    for (int i = keep < 1 ? 1 : keep; i < o->n; i++) x[o->id[i]] = -INFINITY;
}

/* Floats round: p in single precision is off by a few 1e-7, and sums over thousands by more. */
static inline bool slow_clear(double a, double b) { return fabs(a - b) > 3e-6 * (fabs(a) + fabs(b)) + 1e-12; }

static inline bool slow_temp(double v, float *x, int n) {
    for (int i = 0; i < n; i++) x[i] /= (float)v;
    return true;
}

static inline bool slow_top_k(double v, float *x, int n) {
    slow_keep(x, slow_sort(x, n), (int)v);
    return true;
}

static inline bool slow_top_k_ties(double v, float *x, int n) {
    const slow_order *o = slow_sort(x, n);
    int keep = (int)v;
    while (keep < o->n && x[o->id[keep]] == x[o->id[keep - 1]]) keep++;
    slow_keep(x, o, keep);
    return true;
}

static inline bool slow_top_p(double v, float *x, int n) {
    const slow_order *o = slow_sort(x, n);
    int keep = 0;
    bool clear = true;
    for (double cum = 0; keep < o->n && (cum < v || !keep); clear &= slow_clear(cum, v)) cum += o->p[keep++];
    slow_keep(x, o, keep);
    return clear;
}

/* Keeps p >= least. */
static inline bool slow_least(double least, float *x, int n) {
    const slow_order *o = slow_sort(x, n);
    int keep = 0;
    bool clear = true;
    for (int i = 0; i < o->n; i++) keep += o->p[i] >= least, clear &= slow_clear(o->p[i], least);
    slow_keep(x, o, keep);
    return clear;
}

static inline bool slow_min_p(double v, float *x, int n) { return slow_least(v * slow_sort(x, n)->p[0], x, n); }
static inline bool slow_top_a(double v, float *x, int n) {
    double p = slow_sort(x, n)->p[0];
    return slow_least(v * p * p, x, n);
}
static inline bool slow_epsilon(double v, float *x, int n) { return slow_least(v, x, n); }
static inline bool slow_eta(double v, float *x, int n) { return slow_least(fmin(v, sqrt(v) * exp(-slow_sort(x, n)->entropy)), x, n); }

static inline bool slow_sigma(double v, float *x, int n) {
    const slow_order *o = slow_sort(x, n);
    double mean = 0, var = 0, border;
    int keep = 0;
    bool clear = true;
    for (int i = 0; i < o->n; i++) mean += (double)x[o->id[i]] / o->n;
    for (int i = 0; i < o->n; i++) var += ((double)x[o->id[i]] - mean) * ((double)x[o->id[i]] - mean) / o->n;
    border = (double)x[o->id[0]] - v * sqrt(var);
    for (int i = 0; i < o->n; i++) {
        keep += (double)x[o->id[i]] >= border;
        clear &= x[o->id[i]] == x[o->id[0]] || slow_clear((double)x[o->id[i]], border);
    }
    slow_keep(x, o, keep);
    return clear;
}

static inline bool slow_top_h(double v, float *x, int n) {
    const slow_order *o = slow_sort(x, n);
    double g = 0, a = 0;
    int keep = 0;
    bool clear = true;
    for (; keep < o->n; keep++) {
        g += o->p[keep], a -= o->p[keep] > 0 ? o->p[keep] * log(o->p[keep]) : 0;
        clear &= !keep || slow_clear(a / g + log(g), v * o->entropy);
        if (keep && a / g + log(g) > v * o->entropy) break;
    }
    slow_keep(x, o, keep);
    return clear;
}

static inline bool slow_top_h_hf(double v, float *x, int n) {
    const slow_order *o = slow_sort(x, n);
    int m = o->n < 100 ? o->n : 100, keep = 0;
    double g = 0, h = 0, a = 0;
    bool clear = true;
    for (int i = 0; i < m; i++) g += o->p[i];
    for (int i = 0; i < m; i++) h -= o->p[i] > 0 ? o->p[i] / g * log(o->p[i] / g) : 0;
    for (; keep < m; keep++) {
        a -= o->p[keep] > 0 ? o->p[keep] / g * log(o->p[keep] / g) : 0;
        clear &= !keep || slow_clear(a, v * h);
        if (keep && a > v * h) break;
    }
    slow_keep(x, o, keep);
    return clear;
}

static inline bool slow_tfs(double v, float *x, int n) {
    static double bend[CASES_MOST];
    const slow_order *o = slow_sort(x, n);
    double all = 0, cum = 0;
    bool clear = true;
    if (o->n <= 2) return true;
    for (int i = 0; i < o->n - 2; i++) all += bend[i] = fabs(o->p[i] - 2 * o->p[i + 1] + o->p[i + 2]);
    clear = fabs(all - 1e-6) > 1e-7;
    for (int i = 0; i < o->n - 2; i++) {
        cum += all < 1e-6 ? 1.0 / (o->n - 2) : bend[i] / all;
        clear &= fabs(cum - v) > 1e-4;
        if (cum > v && i) {
            slow_keep(x, o, i);
            break;
        }
    }
    return clear;
}

static const double *slow_key;
static inline int slow_nearer(const void *a, const void *b) {
    int i = *(const int *)a, j = *(const int *)b; /* ranks */
    return slow_key[i] < slow_key[j] ? -1 : slow_key[i] > slow_key[j] ? 1 : i < j ? -1 : i > j;
}

static inline bool slow_typical(double v, float *x, int n) {
    static double key[CASES_MOST];
    static int rank[CASES_MOST];
    const slow_order *o = slow_sort(x, n);
    double cum = 0, lse = 0;
    int keep = 0;
    bool clear = true;
    for (int i = 0; i < o->n; i++) lse += exp((double)x[o->id[i]] - (double)x[o->id[0]]);
    lse = log(lse) + (double)x[o->id[0]];
    for (int i = 0; i < o->n; i++) key[i] = fabs(lse - (double)x[o->id[i]] - o->entropy), rank[i] = i;
    slow_key = key;
    qsort(rank, (size_t)o->n, sizeof *rank, slow_nearer);
    for (; keep < o->n && (cum < v || !keep); clear &= slow_clear(cum, v)) cum += o->p[rank[keep++]];
    /* Two on different sides at nearly the same distance; those that are alike are told apart by id. */
    for (int i = keep < o->n ? keep - 1 : o->n; i >= 0 && i < keep && keep < o->n; i++)
        clear &= fabs(key[rank[i]] - key[rank[keep]]) > 1e-4 || x[o->id[rank[i]]] == x[o->id[rank[keep]]];
    for (int i = 1; i < keep; i++) /* the same anywhere before, where the mass at the end may depend on it */
        clear &= fabs(key[rank[i]] - key[rank[i - 1]]) > 1e-5 || x[o->id[rank[i]]] == x[o->id[rank[i - 1]]] || keep == o->n || i < keep - 1;
    for (int i = keep; i < o->n; i++) x[o->id[rank[i]]] = -INFINITY;
    return clear;
}

static inline bool slow_xtc(double v, float *x, int n) {
    const slow_order *o = slow_sort(x, n);
    int top = 0;
    bool clear = true;
    for (int i = 0; i < o->n; i++) top += o->p[i] >= v, clear &= slow_clear(o->p[i], v);
    for (int i = 0; i + 1 < top; i++) x[o->id[i]] = -INFINITY;
    return clear;
}

static inline bool slow_dyn_temp(double v, float *x, int n) {
    const slow_order *o = slow_sort(x, n);
    if (o->n < 2) return true;
    double t = 1 - v + 2 * v * o->entropy / log(o->n);
    for (int i = 0; i < n; i++) x[i] = (float)((double)x[i] / t);
    return true;
}

static inline bool slow_quadratic(double v, float *x, int n) {
    double max = (double)x[slow_sort(x, n)->id[0]];
    for (int i = 0; i < n; i++)
        if (x[i] > -INFINITY) {
            double z = (double)x[i] - max;
            x[i] = (float)(max - v * 0.75 * z * z + v * 0.25 * z * z * z);
        }
    return true;
}

#endif
