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

/* Keeps what reaches `border`, and the first `least` in any case. */
static void trim_floor(jt_dist *d, float border, int least) {
    int n = 0, all = d->listed ? d->count : d->vocab;
    for (int i = 0; i < all; i++) n += (d->listed ? d->cand[i].logit : d->x[i]) >= border;
    if (n >= d->count) return;
    if (n <= least || d->listed || n <= d->vocab / TRIM_FEW) {
        jt_dist_cut(d, n > least ? n : least);
        return;
    }
    jt_dist_own(d);
    for (int i = 0; i < d->vocab; i++) d->own[i] = d->own[i] >= border ? d->own[i] : -INFINITY;
    d->count = n;
    jt_dist_changed(d);
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

void jt_dist_trim_near(jt_dist *d, double center, int least, trim_keep *keep, const void *par) {
    if (!d->count) return;
    jt_walk w;
    trim_sums s = trim_begin(d, JT_WALK_MASS, &w);
    double sum = 0;
    jt_dist_make(d, d->count);
    int down = 0, up, group = 0, kept = 0;
    while (down < d->count && (double)d->cand[down].logit >= center) down++;
    /* cand[up..down) are kept; those from `group` to up have the logit of the group that is being kept, the first `kept` of them are. */
    for (up = group = down;;) {
        int at;
        if (group + kept < up) {
            at = group + kept;
        } else {
            up = group, kept = 0;
            while (group && d->cand[group - 1].logit == d->cand[up - 1].logit) group--;
            bool above = up > 0, below = down < d->count;
            if (!above && !below) break;
            if (above && below) above = (double)d->cand[up - 1].logit - center <= center - (double)d->cand[down].logit;
            if (!above) group = up;
            at = above ? group : down;
        }
        w.id = d->cand[at].id, w.logit = d->cand[at].logit;
        w.p = (double)d->e[at] / s.all, w.lnp = trim_lnp(&s, w.logit, w.max), w.before = sum / s.all;
        if (w.i && w.i >= least && !keep(&w, par)) break;
        sum += (double)d->e[at];
        w.i++;
        if (at == down)
            down++;
        else
            kept++;
    }
    memmove(d->cand, d->cand + group, (size_t)kept * sizeof *d->cand);
    memmove(d->cand + kept, d->cand + up, (size_t)(down - up) * sizeof *d->cand);
    jt_dist_changed(d);
    d->listed = true, d->indexed = false, d->count = d->sorted = w.i;
}

/* ---- moments ---- */

void jt_dist_moments(jt_dist *d, double *mean, double *variance) {
    *mean = *variance = 0;
    if (!d->count) return;
    double by = (double)jt_dist_max(d), a[16] = {0}, b[16] = {0};
    if (d->listed) jt_dist_order(d, d->count);
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
