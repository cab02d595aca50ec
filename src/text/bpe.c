/* bpe.c: the search of bpe.h for a piece's tokens. Loading is in bpe_load.c, the rule itself in bpe_rule.c. */
#include "text/bpe.h"

#include <assert.h>

#include "core/mem.h"
#include "text/bpe_rule.h"

jt_status jt_tokens_push(jt_tokens *t, uint32_t id, size_t begin, size_t end, jt_error *err) {
    if (t->n == t->cap) {
        jt_status st = jt_grow((void **)&t->t, &t->cap, t->n + 1, sizeof *t->t, err);
        if (st != JT_OK) return st;
    }
    t->t[t->n++] = (jt_token){(int32_t)id, begin, end};
    return JT_OK;
}

static jt_status joins(const jt_bpe *b, uint32_t x, uint32_t y, jt_bpe_work *w, bool *yes, jt_error *err) {
    if (!(b->token[x].irregular | b->token[y].irregular)) {
        *yes = jt_bpe_regular_joins(b, x, y, INT32_MAX);
        return JT_OK;
    }
    uint32_t slot = (x * 0x9e3779b1u ^ y * 0x85ebca77u) >> 26;
    if (w->memo[slot].joins == 0 || w->memo[slot].left != x || w->memo[slot].right != y) {
        jt_status st = jt_bpe_rule_joins(b, x, y, w, yes, err);
        if (st != JT_OK) return st;
        w->memo[slot].left = x, w->memo[slot].right = y, w->memo[slot].joins = *yes ? 2 : 1;
    }
    *yes = w->memo[slot].joins == 2;
    return JT_OK;
}

/* The search over bytes that all have a token. The tokens on out's stack from `bottom` on are what the rule gives for the
 * bytes before `at`, so a position from which nothing goes on is dead whatever led there, and each dies once. */
static jt_status search(const jt_bpe *b, const char *s, size_t n, size_t base, jt_bpe_work *w, jt_tokens *out, jt_error *err) {
    uint64_t few[4] = {0}, *dead = few;
    size_t words = n / 64 + 1, bottom = out->n, at = 0;
    jt_status st;
    if (words > sizeof few / sizeof *few) {
        if (words > w->dead_cap && (st = jt_grow((void **)&w->dead, &w->dead_cap, words, sizeof *w->dead, err)) != JT_OK) return st;
        dead = w->dead;
        memset(dead, 0, words * sizeof *dead);
    }
    uint32_t candidate = jt_trie_longest(&b->proper, s, n);
    for (;;) {
        for (; candidate != JT_NO_TOKEN; candidate = b->token[candidate].shorter) {
            size_t end = at + b->token[candidate].n;
            if (dead[end / 64] >> end % 64 & 1) continue;
            if (out->n == bottom) break;
            bool yes;
            if ((st = joins(b, (uint32_t)out->t[out->n - 1].id, candidate, w, &yes, err)) != JT_OK) return st;
            if (yes) break;
        }
        if (candidate != JT_NO_TOKEN) {
            size_t end = at + b->token[candidate].n;
            if ((st = jt_tokens_push(out, candidate, base + at, base + end, err)) != JT_OK) return st;
            if (end == n) return JT_OK;
            at = end;
            candidate = jt_trie_longest(&b->proper, s + at, n - at);
        } else {
            assert(out->n > bottom);
            dead[at / 64] |= (uint64_t)1 << at % 64;
            candidate = (uint32_t)out->t[--out->n].id;
            at -= b->token[candidate].n;
            candidate = b->token[candidate].shorter;
        }
    }
}

/* The search over what is left of a piece without the bytes that have no token; spans are given in the whole piece. */
static jt_status search_kept(const jt_bpe *b, const char *s, size_t n, size_t base, jt_bpe_work *w, jt_tokens *out, jt_error *err) {
    size_t kept = 0, from = out->n;
    jt_status st;
    if (n > w->kept_cap && (st = jt_grow((void **)&w->kept, &w->kept_cap, n, 1, err)) != JT_OK) return st;
    if (n > w->place_cap && (st = jt_grow((void **)&w->place, &w->place_cap, n, sizeof *w->place, err)) != JT_OK) return st;
    for (size_t i = 0; i < n; i++)
        if (b->byte[(unsigned char)s[i]] != JT_NO_TOKEN) w->kept[kept] = s[i], w->place[kept++] = base + i;
    if (!kept) return JT_OK;
    if ((st = search(b, w->kept, kept, 0, w, out, err)) != JT_OK) return st;
    for (size_t i = from; i < out->n; i++) {
        out->t[i].begin = w->place[out->t[i].begin];
        out->t[i].end = w->place[out->t[i].end - 1] + 1;
    }
    return JT_OK;
}

jt_status jt_bpe_encode(const jt_bpe *b, const char *s, size_t n, size_t base, jt_bpe_work *w, jt_tokens *out, jt_error *err) {
    uint32_t id = jt_words_get(&b->whole, s, n);
    if (id != JT_NO_TOKEN) return jt_tokens_push(out, id, base, base + n, err);
    if (!b->all_bytes && !b->chars)
        for (size_t i = 0; i < n; i++)
            if (b->byte[(unsigned char)s[i]] == JT_NO_TOKEN) return search_kept(b, s, n, base, w, out, err);
    return search(b, s, n, base, w, out, err);
}

void jt_bpe_work_free(jt_bpe_work *w) {
    jt_free(w->symbol), jt_free(w->heap), jt_free(w->dead), jt_free(w->kept), jt_free(w->place);
    jt_pieces_free(&w->pieces);
    *w = (jt_bpe_work){0};
}
