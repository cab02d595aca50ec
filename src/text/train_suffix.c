/* train_suffix.c: substrings that repeat, from a sorted list of suffixes.
 *
 * Only the first most + 1 symbols of a suffix matter, so suffixes are sorted by these (multikey quicksort: Bentley and
 * Sedgewick 1997); substrings are the intervals of equal prefixes, found in one pass over the lengths that neighbours have in
 * common (Kasai et al. 2001; Abouelhoda, Kurtz and Ohlebusch 2004). */
#include "text/train.h"

typedef struct suffix_part {
    size_t begin, end;
    uint32_t depth;
} suffix_part;

typedef struct suffix_sort {
    const uint32_t *s;
    uint32_t *at;
    uint32_t most;
    suffix_part *stack;
    size_t n, cap;
} suffix_sort;

static jt_status suffix_push(suffix_sort *x, size_t begin, size_t end, uint32_t depth, jt_error *err) {
    jt_status st = JT_OK;
    if (end - begin < 2 || depth >= x->most) return JT_OK;
    if (x->n == x->cap) st = jt_grow((void **)&x->stack, &x->cap, x->n + 1, sizeof *x->stack, err);
    if (!st) x->stack[x->n++] = (suffix_part){begin, end, depth};
    return st;
}

static uint32_t middle(uint32_t a, uint32_t b, uint32_t c) {
    if (a < b) return b < c ? b : a < c ? c : a;
    return a < c ? a : b < c ? c : b;
}

static jt_status suffix_sort_run(suffix_sort *x, size_t n, jt_error *err) {
    jt_status st = suffix_push(x, 0, n, 0, err);
    while (!st && x->n) {
        suffix_part p = x->stack[--x->n];
        const uint32_t *s = x->s + p.depth;
        uint32_t *at = x->at, swap;
        uint32_t pivot = middle(s[at[p.begin]], s[at[p.begin + (p.end - p.begin) / 2]], s[at[p.end - 1]]);
        size_t lo = p.begin, hi = p.end, i = p.begin;
        while (i < hi) {
            uint32_t c = s[at[i]];
            if (c < pivot)
                swap = at[lo], at[lo++] = at[i], at[i++] = swap;
            else if (c > pivot)
                swap = at[--hi], at[hi] = at[i], at[i] = swap;
            else
                i++;
        }
        st = suffix_push(x, p.begin, lo, p.depth, err);
        if (!st) st = suffix_push(x, hi, p.end, p.depth, err);
        /* Behind a 0 nothing matters. */
        if (!st && pivot) st = suffix_push(x, lo, hi, p.depth + 1, err);
    }
    return st;
}

typedef struct suffix_open {
    size_t begin;
    uint32_t n;
} suffix_open;

static uint32_t suffix_common(const uint32_t *s, uint32_t a, uint32_t b, uint32_t most) {
    uint32_t n = 0;
    while (n < most && s[a + n] == s[b + n] && s[a + n]) n++;
    return n;
}

/* Intervals of the sorted list; one of length n is closed where its neighbour has less in common. */
static jt_status suffix_intervals(const uint32_t *s, const uint32_t *at, size_t n, uint32_t most, jt_repeat **out, size_t *out_n,
                                  jt_error *err) {
    suffix_open *stack = jt_alloc((size_t)most + 3, sizeof *stack);
    size_t depth = 1, cap = 0;
    jt_status st = stack ? JT_OK : jt_nomem(err, "repeats of a text", most, sizeof *stack);
    for (size_t i = 1; i <= n && !st; i++) {
        uint32_t common = i < n ? suffix_common(s, at[i - 1], at[i], most + 1) : 0;
        /* Where all of a prefix ends in 0, the common part goes on behind it, and is no repeat. */
        bool ends = i < n && common <= most && !s[at[i - 1] + common] && !s[at[i] + common];
        if (ends) common = most + 1;
        size_t begin = i - 1;
        while (stack[depth - 1].n > common && !st) {
            suffix_open o = stack[--depth];
            begin = o.begin;
            if (o.n < 2 || o.n > most) continue;
            if (*out_n == cap) st = jt_grow((void **)out, &cap, *out_n + 1, sizeof **out, err);
            if (!st) (*out)[(*out_n)++] = (jt_repeat){at[o.begin], o.n, (uint32_t)(i - o.begin)};
        }
        if (stack[depth - 1].n < common) stack[depth++] = (suffix_open){begin, common};
    }
    jt_free(stack);
    return st;
}

jt_status jt_repeats_find(const uint32_t *s, size_t n, uint32_t most, jt_repeat **out, size_t *out_n, jt_error *err) {
    suffix_sort x = {.s = s, .most = most + 1};
    size_t k = 0;
    *out = NULL, *out_n = 0;
    if (n > UINT32_MAX) return jt_error_set(err, JT_LIMIT, "different pieces of more than 2^32 characters");
    if (!(x.at = jt_alloc(n, sizeof *x.at))) return jt_nomem(err, "the suffixes of a text", n, sizeof *x.at);
    for (size_t i = 0; i < n; i++)
        if (s[i]) x.at[k++] = (uint32_t)i;
    jt_status st = suffix_sort_run(&x, k, err);
    if (!st) st = suffix_intervals(s, x.at, k, most, out, out_n, err);
    jt_free(x.at), jt_free(x.stack);
    if (st) jt_free(*out), *out = NULL, *out_n = 0;
    return st;
}
