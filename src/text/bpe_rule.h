/* bpe_rule.h: the ranks of rules, the fast test for joining, and the reference rule of BPE run as it is written, for the
 * analysis of a vocabulary and the few pairs of tokens that the fast test cannot judge. O(n log n) by a heap. */
#ifndef JT_TEXT_BPE_RULE_H
#define JT_TEXT_BPE_RULE_H

#include "core/str.h"
#include "text/bpe.h"

/* The rank of the rule for the pair, or -1. */
static inline int32_t jt_bpe_rank(const jt_bpe *b, uint32_t left, uint32_t right) {
    uint64_t key = (uint64_t)left << 32 | right;
    for (uint64_t i = key * 0x9e3779b97f4a7c15u >> b->pair_shift;; i++) {
        uint64_t k = b->pair[i & b->pair_mask];
        if (k == key) return b->pair_rank[i & b->pair_mask];
        if (k == UINT64_MAX) return -1;
    }
}

/* The number of that rule, or -1. */
static inline int32_t jt_bpe_rule_of(const jt_bpe *b, uint32_t left, uint32_t right) {
    uint64_t key = (uint64_t)left << 32 | right;
    const int32_t *rule = b->pair_rule ? b->pair_rule : b->pair_rank;
    for (uint64_t i = key * 0x9e3779b97f4a7c15u >> b->pair_shift;; i++) {
        uint64_t k = b->pair[i & b->pair_mask];
        if (k == key) return rule[i & b->pair_mask];
        if (k == UINT64_MAX) return -1;
    }
}

/* The bytes of the symbol that s[0..n), n >= 1, begins with, and its token or JT_NO_TOKEN. */
static inline size_t jt_bpe_symbol_at(const jt_bpe *b, const char *s, size_t n, uint32_t *id) {
    int w = 1;
    *id = b->byte[(unsigned char)*s];
    if (b->chars && (unsigned char)*s >= 0x80) *id = (w = jt_utf8_next(s, n, NULL)) ? jt_words_get(&b->symbols, s, (size_t)w) : JT_NO_TOKEN;
    return w ? (size_t)w : 1;
}

/* Do the rules of rank below `limit` leave the bytes of x followed by those of y as [x, y]? For regular tokens. Undoes the
 * later of the two last merges at the border: a rule for the pair that faced each other then would have come before what was
 * undone if it ranks lower. */
static inline bool jt_bpe_regular_joins(const jt_bpe *b, uint32_t x, uint32_t y, int32_t limit) {
    for (;;) {
        int32_t r = jt_bpe_rank(b, x, y);
        if (r >= 0 && r < limit) return false;
        int32_t rx = b->token[x].rank, ry = b->token[y].rank;
        if (rx < 0 && ry < 0) return true;
        if (rx > ry) {
            limit = rx;
            x = b->token[x].right;
        } else {
            limit = ry + 1;
            y = b->token[y].left;
        }
    }
}

/* A symbol of the text while merges go on: a doubly linked list in an array. */
typedef struct jt_bpe_symbol {
    uint32_t id;         /* JT_NO_TOKEN: merged into the one before */
    uint32_t prev, next; /* UINT32_MAX: none */
} jt_bpe_symbol;

/* Runs the rule over s[0..n), n >= 1, all of whose symbols have a token; the result is the list in w->symbol from [0] on.
 * *last gets the number of the last rule, -1 if there was none. */
jt_status jt_bpe_rule_run(const jt_bpe *b, const char *s, size_t n, jt_bpe_work *w, int32_t *last, jt_error *err);

/* Room for n symbols in w->symbol, and for their merges. */
jt_status jt_bpe_rule_room(jt_bpe_work *w, size_t n, jt_error *err);
/* Runs the rule over the ids of w->symbol[0..n), n >= 1, which jt_bpe_rule_room has made room for. A symbol's number stays
 * that of the first one it was merged from. */
void jt_bpe_rule_ids(const jt_bpe *b, size_t n, jt_bpe_work *w);

/* Does the rule leave the bytes of x, then those of y, as [x, y]? */
jt_status jt_bpe_rule_joins(const jt_bpe *b, uint32_t x, uint32_t y, jt_bpe_work *w, bool *yes, jt_error *err);

#endif
