/* trim.c: walks through the candidates that end where a predicate says no, and the moments
 * of logits. A walk in order grows the order as it goes. One whose predicate looks at the
 * candidate's own logit needs none: the least logit that is kept is found by halving the
 * floats, and one pass keeps what reaches it. */
#include <float.h>
#include <string.h>

#include "step/dist.h"
#include "tensor/scalar_math.h"

/* A dense dist that keeps more than one in so many stays dense. */
enum { TRIM_FEW = 16 };
/* Bins of distances, and the vocabulary from which they are used. */
enum { NEAR_BINS = 1024, NEAR_LEAST = 1500 };

typedef bool trim_keep(const jt_walk *w, const void *par);

/* Sums that do not change on the way. */
typedef struct trim_sums {
    double all, ln_all;
} trim_sums;

static trim_sums trim_begin(jt_dist *d, int what, jt_walk *w) {
    trim_sums s = {0};
    *w = (jt_walk){.max = jt_dist_max(d)};
    if (what & JT_WALK_MASS) s.all = jt_dist_sum(d), s.ln_all = jt_log(s.all);
    return s;
}

static double trim_lnp(const trim_sums *s, float logit, float max) { return ((double)logit - (double)max) - s->ln_all; }

int jt_dist_walk(jt_dist *d, int what, trim_keep *keep, const void *par) {
    if (!d->count) return 0;
    jt_walk w;
    trim_sums s = trim_begin(d, what, &w);
    double sum = 0;
    for (w.i = 0; w.i < d->count; w.i++) {
        jt_dist_order(d, w.i + 1);
        w.id = d->cand[w.i].id, w.logit = d->cand[w.i].logit;
        if (what & JT_WALK_MASS) {
            jt_dist_make(d, w.i + 1);
            w.p = (double)d->e[w.i] / s.all;
            w.lnp = trim_lnp(&s, w.logit, w.max);
            w.before = sum / s.all;
        }
        if (w.i && !keep(&w, par)) break;
        if (what & JT_WALK_MASS) {
            sum += (double)d->e[w.i];
            if (w.p > 0) w.entropy -= w.p * w.lnp;
        }
    }
    return w.i;
}

/* ---- by the candidate's own logit ---- */

/* Floats as whole numbers in the same order, and back. */
static int64_t trim_rank(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u & 0x80000000u ? -(int64_t)(u & 0x7fffffffu) : (int64_t)u;
}

static float trim_float(int64_t rank) {
    uint32_t u = rank < 0 ? (uint32_t)-rank | 0x80000000u : (uint32_t)rank;
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* The least logit that is kept, +inf if none is. */
static float trim_border(jt_dist *d, int what, trim_keep *keep, const void *par) {
    jt_walk w;
    trim_sums s = trim_begin(d, what, &w);
    int64_t no = trim_rank(-FLT_MAX) - 1, yes = trim_rank(w.max) + 1, none = yes;
    while (yes - no > 1) {
        int64_t mid = no + (yes - no) / 2;
        w.logit = trim_float(mid);
        w.lnp = trim_lnp(&s, w.logit, w.max);
        if (keep(&w, par))
            yes = mid;
        else
            no = mid;
    }
    return yes == none ? INFINITY : trim_float(yes);
}

/* cand[0..n) are all there are. */
static void trim_list(jt_dist *d, int n, bool by_id) {
    jt_dist_changed(d);
    if (by_id) jt_cand_sort(d->cand, d->tmp, n, true);
    d->listed = true, d->indexed = false, d->count = d->sorted = n;
}

/* Keeps what reaches `border`, and the first `least` in any case. */
static void trim_floor(jt_dist *d, float border, int least) {
    int n = 0, few = d->vocab / TRIM_FEW;
    if (!d->listed) {
        jt_dist_settle(d);
        n = d->k->collect(d->x, d->vocab, border, FLT_MAX, few, d->place, d->value);
        if (n > few) {
            n = 0;
            for (int i = 0; i < d->vocab; i++) n += d->x[i] >= border;
        }
    } else {
        for (int i = 0; i < d->count; i++) n += d->cand[i].logit >= border;
    }
    if (n >= d->count) return;
    if (n <= least || d->listed) {
        jt_dist_cut(d, n > least ? n : least);
    } else if (n <= few) {
        for (int i = 0; i < n; i++) d->cand[i] = (jt_cand){.id = d->place[i], .logit = d->value[i]};
        trim_list(d, n, true);
    } else {
        d->k->clip(d->x, d->vocab, border, FLT_MAX, d->own);
        d->x = d->own, d->top = NULL, d->count = n;
        jt_dist_changed(d);
    }
}

void jt_dist_trim(jt_dist *d, int what, int least, trim_keep *keep, const void *par) {
    if (!d->count) return;
    if (what & JT_WALK_OWN) {
        trim_floor(d, trim_border(d, what, keep, par), least);
    } else {
        int n = jt_dist_walk(d, what, keep, par);
        jt_dist_cut(d, n > least ? n : least);
    }
}

/* ---- in the order of the distance from a logit ---- */

/* Of c[0..n), in order, with exponentials e: moves those that are kept to the front, still in order; their number. `w` and
 * `sum` say what was kept before. Those kept lie around the center, all but some of the last ones of equal logits. */
static int near_walk(jt_cand *c, const float *e, int n, double center, jt_walk w, double sum, double all, int least, trim_keep *keep,
                     const void *par) {
    int down = 0, first = w.i, up, group, kept = 0, at;
    while (down < n && (double)c[down].logit >= center) down++;
    /* c[up..down) are kept; c[group..up) are of one logit, of which the first `kept` are. */
    for (up = group = down;; w.i++) {
        if (group + kept < up) {
            at = group + kept;
        } else {
            up = group, kept = 0;
            while (group && c[group - 1].logit == c[up - 1].logit) group--;
            bool above = up > 0;
            if (!above && down == n) break;
            if (above && down < n) above = (double)c[up - 1].logit - center <= center - (double)c[down].logit;
            if (!above) group = up;
            at = above ? group : down;
        }
        w.before = sum / all;
        if (w.i && w.i >= least && !keep(&w, par)) break;
        sum += (double)e[at];
        if (at == down)
            down++;
        else
            kept++;
    }
    memmove(c, c + group, (size_t)kept * sizeof *c);
    memmove(c + kept, c + up, (size_t)(down - up) * sizeof *c);
    return w.i - first;
}

/* Distances in bins, with the mass and number of candidates in each. */
typedef struct near_bins {
    double mass[NEAR_BINS], center, scale;
    int n[NEAR_BINS];
} near_bins;

static int near_bin(const near_bins *b, float logit) {
    double k = fabs((double)logit - b->center) * b->scale;
    return k < NEAR_BINS - 1 ? (int)k : NEAR_BINS - 1;
}

/* The bin in which keep() first says no, and what lies before it; NEAR_BINS: in none. */
static int near_border(const near_bins *b, double all, int least, trim_keep *keep, const void *par, jt_walk *w, double *sum) {
    for (int k = 0; k < NEAR_BINS; k++) {
        jt_walk next = {.i = w->i + b->n[k], .before = (*sum + b->mass[k]) / all};
        if (next.i && next.i >= least && !keep(&next, par)) return k;
        *w = next, *sum += b->mass[k];
    }
    return NEAR_BINS;
}

/* The first n of value and place, in bins before the border or in it, become the dist: those in it are few, and walked. */
static void near_take(jt_dist *d, const near_bins *b, int n, int border, double all, int least, trim_keep *keep, const void *par, jt_walk w,
                      double sum) {
    int inside = 0, at = 0;
    float lo = INFINITY, hi = -INFINITY, max = jt_dist_max(d);
    for (int i = 0; i < n; i++) {
        int k = near_bin(b, d->value[i]);
        jt_cand c = {.id = d->place[i], .logit = d->value[i]};
        if (k < border) {
            d->cand[inside++] = c;
            lo = fminf(lo, c.logit), hi = fmaxf(hi, c.logit);
        } else if (k == border) {
            d->tmp[at++] = c;
        }
    }
    jt_cand_sort(d->tmp, d->cand + inside, at, true);
    for (int i = 0; i < at; i++) d->e[i] = d->tmp[i].logit - max;
    d->k->exp(d->e, at, d->e);
    at = near_walk(d->tmp, d->e, at, b->center, w, sum, all, least, keep, par);
    jt_dist_changed(d);
    if (inside + at <= d->vocab / TRIM_FEW) {
        memcpy(d->cand + inside, d->tmp, (size_t)at * sizeof *d->cand);
        d->listed = true, d->indexed = false;
    } else {
        d->k->clip(d->x, d->vocab, lo, hi, d->own);
        for (int i = 0; i < at; i++) d->own[d->tmp[i].id] = d->tmp[i].logit;
        d->x = d->own, d->top = NULL;
    }
    d->count = inside + at;
}

/* Without a sort of all: what lies so low that all of it together is a fiftieth at most is left out, the rest put into bins.
 * False where that much does not do. */
static bool near_dense(jt_dist *d, double center, int least, trim_keep *keep, const void *par) {
    near_bins b = {.center = center};
    jt_walk w = {0};
    double all = jt_dist_sum(d), max = (double)jt_dist_max(d), sum = 0;
    double low = max + jt_log(all) - jt_log(50.0 * d->vocab);
    int n = d->k->collect(d->x, d->vocab, (float)low, FLT_MAX, d->vocab, d->place, d->value);
    if (n < least || n > d->vocab) return false;
    b.scale = NEAR_BINS / fmax(center - low, max - center);
    d->made = 0;
    for (int i = 0; i < n; i++) d->e[i] = d->value[i] - (float)max;
    d->k->exp(d->e, n, d->e);
    for (int i = 0; i < n; i++) {
        int k = near_bin(&b, d->value[i]);
        b.mass[k] += (double)d->e[i], b.n[k]++;
    }
    int border = near_border(&b, all, least, keep, par, &w, &sum);
    if (border >= NEAR_BINS - 1) return false;
    near_take(d, &b, n, border, all, least, keep, par, w, sum);
    return true;
}

void jt_dist_trim_near(jt_dist *d, double center, int least, trim_keep *keep, const void *par) {
    if (!d->count) return;
    double all = jt_dist_sum(d);
    if (!d->listed && d->vocab >= NEAR_LEAST && near_dense(d, center, least, keep, par)) return;
    jt_dist_make(d, d->count);
    trim_list(d, near_walk(d->cand, d->e, d->count, center, (jt_walk){0}, 0, all, least, keep, par), false);
}

/* ---- moments ---- */

void jt_dist_moments(jt_dist *d, double *mean, double *variance) {
    *mean = *variance = 0;
    if (!d->count) return;
    double by = (double)jt_dist_max(d), a[16] = {0}, b[16] = {0};
    if (d->listed) jt_dist_order(d, d->count);
    jt_dist_settle(d);
    for (int i = 0; i < (d->listed ? d->count : d->vocab); i++) {
        float x = d->listed ? d->cand[i].logit : d->x[i];
        double z = x < -FLT_MAX ? 0 : (double)x - by;
        a[i % 16] += z, b[i % 16] += z * z;
    }
    for (int h = 8; h; h /= 2)
        for (int j = 0; j < h; j++) a[j] += a[j + h], b[j] += b[j + h];
    double m = a[0] / d->count, v = b[0] / d->count - m * m;
    *mean = by + m;
    *variance = v > 0 ? v : 0;
}
