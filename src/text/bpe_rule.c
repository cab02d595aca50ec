/* bpe_rule.c: see bpe_rule.h. Heap entries are rank << 32 | position, so the smallest is the lowest rank, leftmost; an
 * entry whose pair has changed since is passed over. */
#include "text/bpe_rule.h"

#include "core/mem.h"

typedef struct rule_heap {
    uint64_t *v;
    size_t n;
} rule_heap;

static void heap_put(rule_heap *h, uint64_t x) {
    size_t i = h->n++;
    for (; i && h->v[(i - 1) / 2] > x; i = (i - 1) / 2) h->v[i] = h->v[(i - 1) / 2];
    h->v[i] = x;
}

static uint64_t heap_take(rule_heap *h) {
    uint64_t top = h->v[0], x = h->v[--h->n];
    size_t i = 0;
    for (size_t c; (c = 2 * i + 1) < h->n; i = c) {
        if (c + 1 < h->n && h->v[c + 1] < h->v[c]) c++;
        if (h->v[c] >= x) break;
        h->v[i] = h->v[c];
    }
    h->v[i] = x;
    return top;
}

/* Room for n symbols and for every entry their merges can make: one a pair at first, two a merge. */
jt_status jt_bpe_rule_room(jt_bpe_work *w, size_t n, jt_error *err) {
    jt_status st = JT_OK;
    if (n > w->symbol_cap) st = jt_grow((void **)&w->symbol, &w->symbol_cap, n, sizeof *w->symbol, err);
    if (st == JT_OK && 3 * n > w->heap_cap) st = jt_grow((void **)&w->heap, &w->heap_cap, 3 * n, sizeof *w->heap, err);
    return st;
}

static void apply_rules(const jt_bpe *b, size_t n, jt_bpe_work *w, int32_t *last) {
    jt_bpe_symbol *sym = w->symbol;
    rule_heap h = {w->heap, 0};
    *last = -1;
    for (size_t i = 0; i < n; i++) {
        sym[i].prev = i ? (uint32_t)i - 1 : UINT32_MAX;
        sym[i].next = i + 1 < n ? (uint32_t)i + 1 : UINT32_MAX;
        int32_t r = i + 1 < n ? jt_bpe_rank(b, sym[i].id, sym[i + 1].id) : -1;
        if (r >= 0) heap_put(&h, (uint64_t)r << 32 | i);
    }
    while (h.n) {
        uint64_t e = heap_take(&h);
        uint32_t at = (uint32_t)e, rank = (uint32_t)(e >> 32), next = sym[at].next;
        if (sym[at].id == JT_NO_TOKEN || next == UINT32_MAX || jt_bpe_rank(b, sym[at].id, sym[next].id) != (int32_t)rank) continue;
        int32_t number = b->pair_rule ? jt_bpe_rule_of(b, sym[at].id, sym[next].id) : (int32_t)rank;
        const jt_bpe_rule *rule = &b->rule[number];
        *last = number;
        sym[at].id = rule->result, sym[next].id = JT_NO_TOKEN;
        sym[at].next = sym[next].next;
        if (sym[at].next != UINT32_MAX) {
            sym[sym[at].next].prev = at;
            int32_t r = jt_bpe_rank(b, sym[at].id, sym[sym[at].next].id);
            if (r >= 0) heap_put(&h, (uint64_t)r << 32 | at);
        }
        if (sym[at].prev != UINT32_MAX) {
            int32_t r = jt_bpe_rank(b, sym[sym[at].prev].id, sym[at].id);
            if (r >= 0) heap_put(&h, (uint64_t)r << 32 | sym[at].prev);
        }
    }
}

void jt_bpe_rule_ids(const jt_bpe *b, size_t n, jt_bpe_work *w) {
    int32_t last;
    apply_rules(b, n, w, &last);
}

/* Puts the symbols of s[0..n) into w->symbol from `from` on; the number after the last. */
static size_t put_symbols(const jt_bpe *b, const char *s, size_t n, jt_bpe_work *w, size_t from) {
    for (size_t i = 0; i < n;) i += jt_bpe_symbol_at(b, s + i, n - i, &w->symbol[from++].id);
    return from;
}

jt_status jt_bpe_rule_run(const jt_bpe *b, const char *s, size_t n, jt_bpe_work *w, int32_t *last, jt_error *err) {
    jt_status st = jt_bpe_rule_room(w, n, err);
    if (st != JT_OK) return st;
    apply_rules(b, put_symbols(b, s, n, w, 0), w, last);
    return JT_OK;
}

jt_status jt_bpe_rule_joins(const jt_bpe *b, uint32_t x, uint32_t y, jt_bpe_work *w, bool *yes, jt_error *err) {
    const jt_view *nx = &b->names[x], *ny = &b->names[y];
    int32_t last;
    jt_status st = jt_bpe_rule_room(w, nx->n + ny->n, err);
    if (st != JT_OK) return st;
    size_t mid = put_symbols(b, nx->s, nx->n, w, 0), n = put_symbols(b, ny->s, ny->n, w, mid);
    apply_rules(b, n, w, &last);
    *yes = w->symbol[0].id == x && w->symbol[0].next == mid && w->symbol[mid].id == y && w->symbol[mid].next == UINT32_MAX;
    return JT_OK;
}
