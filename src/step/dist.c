/* dist.c: the distribution of the next token. Sums follow docs/numbers.md: a dense
 * dist is summed by the kernels' 16 accumulators over ids, a listed one in order. */
#include "step/dist.h"

#include <float.h>
#include <string.h>

#include "core/mem.h"
#include "tensor/scalar_math.h"

jt_status jt_dist_new(int vocab, const jt_kernels *k, jt_dist **out, jt_error *err) {
    if (vocab < 1) return jt_error_set(err, JT_INVALID, "a distribution over %d tokens; the vocabulary must have at least one", vocab);
    size_t n = (size_t)vocab;
    jt_dist *d = jt_alloc(1, sizeof *d);
    if (!d) return jt_nomem(err, "a distribution", 1, sizeof *d);
    *d = (jt_dist){.k = k, .vocab = vocab, .listed = true};
    d->own = jt_alloc_aligned(n, sizeof *d->own);
    d->cand = jt_alloc(n, sizeof *d->cand);
    d->tmp = jt_alloc(n, sizeof *d->tmp);
    d->where = jt_alloc(n, sizeof *d->where);
    d->e = jt_alloc_aligned(n + 16, sizeof *d->e);
    d->place = jt_alloc_aligned(n + 16, sizeof *d->place);
    d->value = jt_alloc_aligned(n + 16, sizeof *d->value);
    d->block = jt_alloc(2 * (n / JT_DIST_BLOCK + 1), sizeof *d->block);
    d->bits = jt_alloc(n / 64 + 1, sizeof *d->bits);
    d->bin = jt_alloc(JT_DIST_BINS, sizeof *d->bin);
    if (!d->own || !d->cand || !d->tmp || !d->where || !d->e || !d->place || !d->value || !d->block || !d->bits || !d->bin) {
        jt_dist_free(d);
        return jt_nomem(err, "a distribution over the vocabulary", n, 40);
    }
    d->x = d->own;
    *out = d;
    return JT_OK;
}

void jt_dist_free(jt_dist *d) {
    if (!d) return;
    jt_free(d->own), jt_free(d->cand), jt_free(d->tmp), jt_free(d->where), jt_free(d->e), jt_free(d->place), jt_free(d->value),
        jt_free(d->block), jt_free(d->bits), jt_free(d->bin);
    jt_free(d);
}

void jt_dist_changed(jt_dist *d) {
    d->sorted = d->made = 0;
    d->by_id = d->has_max = d->has_sum = d->has_entropy = false;
}

/* The first is told. */
static void dist_fault(jt_dist *d, int32_t id, const char *what) {
    if (!d->fault) d->fault = what, d->fault_id = id;
}

jt_status jt_dist_sound(const jt_dist *d, jt_error *err) {
    if (!d->fault) return JT_OK;
    return jt_error_set(err, JT_INVALID, "token %d: %s", (int)d->fault_id, d->fault);
}

jt_status jt_dist_load(jt_dist *d, const float *logits, jt_error *err) {
    if (d->top == d->block) d->top = NULL;
    int gone = 0, n = d->k->scan(logits, d->vocab, d->block) ? d->vocab : 0;
    for (int i = 0; i < n; i++) {
        if (!(logits[i] <= FLT_MAX))
            return jt_error_set(err, JT_INVALID, "the logit of token %d is %s; the model file may be damaged, or its numbers overflow", i,
                                logits[i] > 0 ? "infinite" : "not a number");
        gone += logits[i] < -FLT_MAX;
    }
    d->x = logits, d->count = d->vocab - gone, d->top = d->block, d->by = 0;
    d->listed = d->indexed = false, d->fault = NULL;
    jt_dist_changed(d);
    return JT_OK;
}

void jt_dist_load_list(jt_dist *d, const jt_cand *cand, int n) {
    memcpy(d->cand, cand, (size_t)n * sizeof *cand);
    d->listed = true, d->indexed = false, d->count = n, d->fault = NULL;
    jt_dist_changed(d);
}

void jt_dist_view(jt_dist *to, const jt_dist *from) {
    to->x = from->x, to->count = from->count, to->base = from->base, to->by = from->by;
    to->top = from->top ? to->block : NULL; /* its own: `from` may be loaded anew */
    if (from->top) memcpy(to->block, from->top, (size_t)((from->vocab + JT_DIST_BLOCK - 1) / JT_DIST_BLOCK) * sizeof *to->block);
    to->listed = to->indexed = false, to->fault = NULL;
    jt_dist_changed(to);
}

void jt_dist_copy(jt_dist *to, const jt_dist *from) {
    to->listed = from->listed, to->count = from->count, to->indexed = false, to->x = to->own, to->top = NULL;
    to->base = from->base, to->by = from->by, to->fault = NULL;
    jt_dist_changed(to);
    if (from->listed) {
        memcpy(to->cand, from->cand, (size_t)from->count * sizeof *to->cand);
        to->sorted = from->sorted;
    } else {
        memcpy(to->own, from->x, (size_t)from->vocab * sizeof *to->own);
    }
}

int jt_dist_count(const jt_dist *d) { return d->count; }
int jt_dist_vocab(const jt_dist *d) { return d->vocab; }

/* ---- reading ---- */

/* Where a listed candidate stands in cand, -1 if it is none. */
static int dist_find(jt_dist *d, int32_t id) {
    if (!d->indexed)
        for (int i = 0; i < d->count; i++) d->where[d->cand[i].id] = i;
    d->indexed = true;
    int i = d->where[id];
    return i >= 0 && i < d->count && d->cand[i].id == id ? i : -1;
}

float jt_dist_logit(jt_dist *d, int32_t id) {
    if (id < 0 || id >= d->vocab) return -INFINITY;
    if (!d->listed) return jt_dist_divided(d, d->x[id]);
    int i = dist_find(d, id);
    return i < 0 ? -INFINITY : d->cand[i].logit;
}

const jt_cand *jt_dist_top(jt_dist *d, int n) {
    jt_dist_order(d, n < d->count ? n : d->count);
    return d->cand;
}

float jt_dist_max(jt_dist *d) {
    if (!d->has_max) {
        if (d->listed) {
            jt_dist_order(d, 1);
            d->max = d->cand[0].logit;
        } else {
            d->max =
                jt_dist_divided(d, d->top ? d->k->max(d->top, (d->vocab + JT_DIST_BLOCK - 1) / JT_DIST_BLOCK) : d->k->max(d->x, d->vocab));
        }
        d->has_max = true;
    }
    return d->max;
}

void jt_dist_make(jt_dist *d, int n) {
    if (n <= d->made) return;
    float max = jt_dist_max(d);
    jt_dist_order(d, n);
    n = d->sorted < d->count ? d->sorted : d->count;
    for (int i = d->made; i < n; i++) d->e[i] = d->cand[i].logit - max;
    d->k->exp(d->e + d->made, n - d->made, d->e + d->made);
    d->made = n;
}

double jt_dist_sum(jt_dist *d) {
    if (d->has_sum) return d->sum;
    if (d->listed) {
        jt_dist_make(d, d->count);
        d->sum = 0;
        for (int i = 0; i < d->count; i++) d->sum += (double)d->e[i];
    } else {
        jt_dist_settle(d);
        d->k->sum_exp(d->x, d->vocab, jt_dist_max(d), &d->sum, NULL);
    }
    d->has_sum = true;
    return d->sum;
}

double jt_dist_entropy(jt_dist *d) {
    if (!d->count) return 0;
    if (d->has_entropy) return d->entropy;
    double s = 0, t = 0;
    if (!d->listed) jt_dist_settle(d);
    float max = jt_dist_max(d);
    if (d->listed) {
        s = jt_dist_sum(d);
        for (int i = 0; i < d->count; i++)
            if (d->e[i] > 0) t += (double)d->e[i] * ((double)d->cand[i].logit - (double)max);
    } else if (d->count == d->vocab) {
        d->k->sum_exp(d->x, d->vocab, max, &s, &t);
        d->sum = s, d->has_sum = true;
    } else { /* exp(-inf) * -inf is no number: the kernel gets the candidates alone */
        int n = 0;
        for (int i = 0; i < d->vocab; i++)
            if (d->x[i] >= -FLT_MAX) d->e[n++] = d->x[i];
        d->k->sum_exp(d->e, n, max, &s, &t);
        d->made = 0;
    }
    double h = jt_log(s) - t / s;
    d->entropy = h > 0 ? h : 0;
    d->has_entropy = true;
    return d->entropy;
}

double jt_dist_log_sum(jt_dist *d) { return d->count ? (double)jt_dist_max(d) + jt_log(jt_dist_sum(d)) : -INFINITY; }

double jt_dist_p(jt_dist *d, int32_t id) {
    float l = jt_dist_logit(d, id);
    return l < -FLT_MAX ? 0 : (double)jt_expf(l - jt_dist_max(d)) / jt_dist_sum(d);
}

double jt_dist_lnp(jt_dist *d, int32_t id) {
    float l = jt_dist_logit(d, id);
    return l < -FLT_MAX ? -INFINITY : ((double)l - (double)jt_dist_max(d)) - jt_log(jt_dist_sum(d));
}

double jt_dist_p_at(jt_dist *d, int rank) {
    if (rank < 0 || rank >= d->count) return 0;
    jt_dist_make(d, rank + 1);
    return (double)d->e[rank] / jt_dist_sum(d);
}

int jt_dist_weights(jt_dist *d, int n, int32_t *ids, float *p) {
    double sum = 0;
    if (n > d->count) n = d->count;
    if (n < 1) return 0;
    jt_dist_make(d, n);
    for (int i = 0; i < n; i++) sum += (double)d->e[i];
    for (int i = 0; i < n; i++) ids[i] = d->cand[i].id, p[i] = (float)((double)d->e[i] / sum);
    return n;
}

int32_t jt_dist_next(jt_dist *d, int32_t id) {
    if (!d->listed) {
        for (int32_t i = id < -1 ? 0 : id + 1; i < d->vocab; i++)
            if (d->x[i] >= -FLT_MAX) return i;
        return -1;
    }
    if (!d->by_id) {
        memset(d->bits, 0, ((size_t)d->vocab / 64 + 1) * sizeof *d->bits);
        for (int i = 0; i < d->count; i++) d->bits[d->cand[i].id / 64] |= (uint64_t)1 << d->cand[i].id % 64;
        d->by_id = true;
    }
    int32_t i = id < -1 ? 0 : id + 1;
    if (i >= d->vocab) return -1;
    uint64_t word = d->bits[i / 64] & ~(uint64_t)0 << i % 64;
    for (int w = i / 64;; word = d->bits[++w]) {
        if (word) return w * 64 + __builtin_ctzll(word);
        if (w == d->vocab / 64) return -1;
    }
}

int32_t jt_dist_draw(jt_dist *d, double u) {
    if (!d->count) return -1;
    double sum = 0, want = u * jt_dist_sum(d);
    int last = 0;
    for (int i = 0; i < d->count; i++) {
        jt_dist_make(d, i + 1);
        sum += (double)d->e[i];
        if (d->e[i] > 0) last = i;
        if (sum >= want && d->e[i] > 0) break;
    }
    return d->cand[last].id;
}

/* ---- changing ---- */

static float dist_bounded(double x) { return x > FLT_MAX ? FLT_MAX : x < -FLT_MAX ? -FLT_MAX : (float)x; }

void jt_dist_own(jt_dist *d) {
    jt_dist_settle(d);
    if (d->x != d->own) memcpy(d->own, d->x, (size_t)d->vocab * sizeof *d->own);
    d->x = d->own, d->top = NULL;
}

void jt_dist_cut(jt_dist *d, int n) {
    if (n < 1) n = 1;
    if (n >= d->count) return;
    jt_dist_order(d, n);
    d->listed = true, d->count = d->sorted = n;
    d->indexed = d->by_id = d->has_sum = d->has_entropy = false;
    if (d->made > n) d->made = n;
}

void jt_dist_only(jt_dist *d, int32_t id) {
    float l = jt_dist_logit(d, id);
    d->listed = true, d->indexed = false;
    jt_dist_changed(d);
    d->count = l >= -FLT_MAX;
    d->cand[0] = (jt_cand){.id = id, .logit = l};
}

void jt_dist_set(jt_dist *d, int32_t id, float logit) {
    if (id < 0 || id >= d->vocab) return dist_fault(d, id, "it is outside of the vocabulary");
    if (isnan(logit)) return dist_fault(d, id, "its logit is set to what is not a number");
    bool gone = logit < -FLT_MAX;
    if (logit > FLT_MAX) logit = FLT_MAX;
    if (d->listed) {
        int i = dist_find(d, id);
        if (i < 0) return;
        if (gone) {
            d->cand[i] = d->cand[--d->count];
            d->where[d->cand[i].id] = i;
        } else {
            d->cand[i].logit = logit;
        }
    } else {
        if (d->x[id] < -FLT_MAX) return;
        jt_dist_own(d);
        d->own[id] = logit;
        d->count -= gone;
    }
    jt_dist_changed(d);
}

void jt_dist_add(jt_dist *d, int32_t id, float x) {
    if (id < 0 || id >= d->vocab) return dist_fault(d, id, "it is outside of the vocabulary");
    if (isnan(x)) return dist_fault(d, id, "what is added to its logit is not a number");
    float l = jt_dist_logit(d, id);
    if (l < -FLT_MAX) return;
    jt_dist_set(d, id, x < -FLT_MAX ? x : dist_bounded((double)l + (double)x));
}

float jt_dist_divided(const jt_dist *d, float x) {
    if (d->by == 0 || x < -FLT_MAX) return x;
    return dist_bounded((double)((x - d->base) / d->by));
}

static void dist_divide_16(const float *from, float base, float by, float *to) {
    float x[16], y[16];
    memcpy(x, from, sizeof x);
    for (int j = 0; j < 16; j++) y[j] = (x[j] - base) / by;
    for (int j = 0; j < 16; j++) y[j] = y[j] > FLT_MAX ? FLT_MAX : y[j];
    for (int j = 0; j < 16; j++) y[j] = y[j] < -FLT_MAX && x[j] >= -FLT_MAX ? -FLT_MAX : y[j];
    memcpy(to, y, sizeof y);
}

void jt_dist_settle(jt_dist *d) {
    int i = 0, rest = d->vocab % 16;
    if (d->listed || d->by == 0) return;
    for (; i + 16 <= d->vocab; i += 16) dist_divide_16(d->x + i, d->base, d->by, d->own + i);
    if (rest) {
        float tail[16] = {0};
        memcpy(tail, d->x + i, (size_t)rest * sizeof *tail);
        dist_divide_16(tail, d->base, d->by, tail);
        memcpy(d->own + i, tail, (size_t)rest * sizeof *tail);
    }
    d->x = d->own, d->top = NULL, d->by = 0;
}

const float *jt_dist_blocks(jt_dist *d) {
    if (!d->top) d->k->scan(d->x, d->vocab, d->block), d->top = d->block;
    return d->top;
}

void jt_dist_divide(jt_dist *d, double t) {
    if (!(t > 0)) return dist_fault(d, -1, "logits are divided by what is not above 0");
    if (!d->count || t == 1) return;
    if (!d->listed) jt_dist_settle(d);
    float base = t < 1e-4 ? jt_dist_max(d) : 0, by = (float)t;
    if (!(by > 0)) by = FLT_MIN;
    if (d->listed)
        for (int i = 0; i < d->count; i++) d->cand[i].logit = dist_bounded((double)((d->cand[i].logit - base) / by));
    else
        d->base = base, d->by = by;
    jt_dist_changed(d);
}

void jt_dist_drop(jt_dist *d, int n) {
    if (n > d->count - 1) n = d->count - 1;
    if (n < 1) return;
    jt_dist_order(d, n);
    if (d->listed) {
        memmove(d->cand, d->cand + n, (size_t)(d->count - n) * sizeof *d->cand);
        d->indexed = false;
    } else {
        jt_dist_own(d);
        for (int i = 0; i < n; i++) d->own[d->cand[i].id] = -INFINITY;
    }
    d->count -= n;
    jt_dist_changed(d);
}

void jt_dist_map(jt_dist *d, float (*f)(float logit, const void *par), const void *par) {
    int n = 0;
    if (!d->listed) jt_dist_own(d);
    for (int i = 0; i < (d->listed ? d->count : d->vocab); i++) {
        float x = d->listed ? d->cand[i].logit : d->own[i];
        if (x < -FLT_MAX) continue;
        x = f(x, par);
        if (isnan(x)) dist_fault(d, d->listed ? d->cand[i].id : i, "its logit is mapped to what is not a number");
        bool gone = !(x >= -FLT_MAX);
        if (x > FLT_MAX) x = FLT_MAX;
        if (!d->listed)
            d->own[i] = gone ? -INFINITY : x;
        else if (!gone)
            d->cand[n] = (jt_cand){.id = d->cand[i].id, .logit = x};
        n += !gone;
    }
    d->count = n, d->indexed = false;
    jt_dist_changed(d);
}
