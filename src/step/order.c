/* order.c: the order of candidates, grown by partial selection. Sorting is an
 * insertion sort for a few and a radix sort (least digit first, stable) for many. */
#include <float.h>
#include <string.h>

#include "step/dist.h"

enum { ORDER_FEW = 48, ORDER_FIRST = 32, ORDER_GROWTH = 4 };
static const float order_span = 50; /* logits below max - order_span share the last bin */

static bool cand_precedes(jt_cand a, jt_cand b) { return a.logit > b.logit || (a.logit == b.logit && a.id < b.id); }

/* Ascending in the key is descending in the logit; -0 is made +0, which it equals. */
static uint32_t cand_key(float x) {
    uint32_t u;
    x += 0.0f;
    memcpy(&u, &x, sizeof u);
    return u & 0x80000000u ? u : ~u & 0x7fffffffu;
}

static void cand_radix(jt_cand *a, jt_cand *tmp, int n, bool by_id) {
    for (int shift = 0; shift < 32; shift += 8) {
        int at[257] = {0};
        for (int i = 0; i < n; i++) at[((by_id ? (uint32_t)a[i].id : cand_key(a[i].logit)) >> shift & 255) + 1]++;
        for (int i = 0; i < 256; i++) at[i + 1] += at[i];
        for (int i = 0; i < n; i++) tmp[at[(by_id ? (uint32_t)a[i].id : cand_key(a[i].logit)) >> shift & 255]++] = a[i];
        memcpy(a, tmp, (size_t)n * sizeof *a);
    }
}

void jt_cand_sort(jt_cand *a, jt_cand *tmp, int n, bool id_sorted) {
    if (n > ORDER_FEW) {
        if (!id_sorted) cand_radix(a, tmp, n, true);
        cand_radix(a, tmp, n, false);
        return;
    }
    for (int i = 1; i < n; i++) {
        jt_cand c = a[i];
        int j = i;
        for (; j > 0 && cand_precedes(c, a[j - 1]); j--) a[j] = a[j - 1];
        a[j] = c;
    }
}

/* The m-th largest of x[0..n), 1 <= m <= n; reorders x (Hoare's selection, middle pivots of three). */
static float nth_largest(float *x, int n, int m) {
    int lo = 0, hi = n - 1;
    while (lo < hi) {
        float a = x[lo], b = x[lo + (hi - lo) / 2], c = x[hi];
        float pivot = a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
        int i = lo, j = hi;
        while (i <= j) {
            while (x[i] > pivot) i++;
            while (x[j] < pivot) j--;
            if (i > j) break;
            float t = x[i];
            x[i++] = x[j], x[j--] = t;
        }
        if (m - 1 <= j)
            hi = j;
        else if (m - 1 >= i)
            lo = i;
        else
            break;
    }
    return x[m - 1];
}

/* The least float that a waiting division makes equal to what it makes of x. */
static float order_alike(const jt_dist *d, float x) {
    if (d->by == 0) return x;
    float same = jt_dist_divided(d, x), below;
    while (x > -FLT_MAX && jt_dist_divided(d, below = nextafterf(x, -INFINITY)) == same) x = below;
    return x;
}

/* At least m candidates reach the m-th largest of the blocks' largest logits, and
 * they lie in the blocks that reach it. */
static int collect_blocks(jt_dist *d, int m) {
    int blocks = (d->vocab + JT_DIST_BLOCK - 1) / JT_DIST_BLOCK, n = 0;
    const float *top = jt_dist_blocks(d);
    float *copy = d->block + blocks;
    memcpy(copy, top, (size_t)blocks * sizeof *copy);
    float least = order_alike(d, nth_largest(copy, blocks, m));
    if (least < -FLT_MAX) least = -FLT_MAX;
    for (int b = 0; b < blocks; b++) {
        if (top[b] < least) continue;
        int end = (b + 1) * JT_DIST_BLOCK < d->vocab ? (b + 1) * JT_DIST_BLOCK : d->vocab;
        for (int i = b * JT_DIST_BLOCK; i < end; i++)
            if (d->x[i] >= least) d->cand[n++] = (jt_cand){.id = i, .logit = jt_dist_divided(d, d->x[i])};
    }
    return n;
}

/* Bins of equal width below the largest logit, counted; then the first bins that hold m. */
static int collect_bins(jt_dist *d, int m) {
    jt_dist_settle(d);
    float max = d->k->max(d->x, d->vocab), scale = JT_DIST_BINS / order_span, edge;
    int n = 0, sum = 0, last = 0;
    memset(d->bin, 0, JT_DIST_BINS * sizeof *d->bin);
    for (int i = 0; i < d->vocab; i++) {
        float b = (max - d->x[i]) * scale;
        d->bin[b < JT_DIST_BINS - 1 ? (int)b : JT_DIST_BINS - 1]++;
    }
    while (last < JT_DIST_BINS - 1 && (sum += (int)d->bin[last]) < m) last++;
    edge = last < JT_DIST_BINS - 1 ? (float)(last + 1) : INFINITY;
    for (int i = 0; i < d->vocab; i++)
        if ((max - d->x[i]) * scale < edge || (edge == INFINITY && d->x[i] >= -FLT_MAX))
            d->cand[n++] = (jt_cand){.id = i, .logit = d->x[i]};
    return n;
}

void jt_dist_order(jt_dist *d, int n) {
    if (n <= d->sorted) return;
    if (d->listed) {
        jt_cand_sort(d->cand, d->tmp, d->count, false);
        d->sorted = d->count, d->indexed = false;
        return;
    }
    int m = n, blocks = (d->vocab + JT_DIST_BLOCK - 1) / JT_DIST_BLOCK;
    if (m < ORDER_FIRST) m = ORDER_FIRST;
    if (m < ORDER_GROWTH * d->sorted) m = ORDER_GROWTH * d->sorted;
    if (m > d->count) m = d->count;
    int got = m <= blocks / 2 ? collect_blocks(d, m) : collect_bins(d, m);
    jt_cand_sort(d->cand, d->tmp, got, true);
    d->sorted = got;
}
