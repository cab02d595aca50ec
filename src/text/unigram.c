#include "text/unigram.h"

#include "core/mem.h"
#include "core/str.h"

typedef struct jt_unigram_node {
    double score;
    uint32_t id;
    uint32_t from; /* UINT32_MAX: nothing ends here */
} jt_unigram_node;

void jt_unigram_work_free(jt_unigram_work *w) {
    jt_free(w->node);
    *w = (jt_unigram_work){0};
}

void jt_unigram_free(jt_unigram *u) {
    jt_trie_free(&u->trie);
    jt_free(u->score);
    *u = (jt_unigram){0};
}

/* Sums in float are kept in doubles, which hold them exactly; volatile would do no more where each is rounded by the cast. */
static double unigram_sum(const jt_unigram *u, double a, double b) { return u->in_double ? a + b : (double)((float)a + (float)b); }

static void unigram_offer(jt_unigram_node *to, double score, uint32_t id, size_t from) {
    if (to->from != UINT32_MAX && !(score > to->score)) return;
    *to = (jt_unigram_node){score, id, (uint32_t)from};
}

static uint32_t unigram_child(const jt_trie *t, uint32_t node, uint8_t c) {
    uint32_t lo = t->first[node], hi = t->first[node + 1];
    const uint8_t *p = hi > lo ? memchr(t->label + lo, c, hi - lo) : NULL;
    return p ? (uint32_t)(p - t->label) : 0;
}

static void unigram_forward(const jt_unigram *u, const char *s, size_t n, jt_unigram_node *node) {
    for (size_t i = 0; i <= n; i++) node[i] = (jt_unigram_node){0, JT_NO_TOKEN, UINT32_MAX};
    for (size_t at = 0, width; at < n; at += width) {
        int w = jt_utf8_next(s + at, n - at, NULL);
        bool single = false;
        width = w ? (size_t)w : 1;
        uint32_t k = u->trie.root[(unsigned char)s[at]];
        for (size_t i = at + 1; k; i++) {
            uint32_t id = u->trie.token[k];
            if (id != JT_NO_TOKEN) {
                unigram_offer(&node[i], unigram_sum(u, node[at].score, u->score[id]), id, at);
                single |= i - at == width;
            }
            if (i == n) break;
            k = unigram_child(&u->trie, k, (uint8_t)s[i]);
        }
        if (!single) unigram_offer(&node[at + width], unigram_sum(u, node[at].score, u->unknown), JT_NO_TOKEN, at);
    }
}

static jt_status unigram_unknown(const jt_unigram *u, const char *s, size_t n, size_t base, bool known, jt_tokens *out, jt_error *err) {
    jt_status st = JT_OK;
    if (u->bytes && !known) {
        for (size_t i = 0; !st && i < n; i++) st = jt_tokens_push(out, u->byte[(unsigned char)s[i]], base + i, base + i + 1, err);
        return st;
    }
    if (u->unk == JT_NO_TOKEN)
        return jt_error_set(err, JT_UNSUPPORTED,
                            "the vocabulary has no token for the %zu bytes at offset %zu, and none for what is unknown", n, base);
    return jt_tokens_push(out, u->unk, base, base + n, err);
}

jt_status jt_unigram_encode(const jt_unigram *u, const char *s, size_t n, size_t base, jt_unigram_work *w, jt_tokens *out, jt_error *err) {
    jt_status st = jt_grow((void **)&w->node, &w->cap, n + 1, sizeof *w->node, err);
    if (st) return st;
    jt_unigram_node *node = w->node;
    unigram_forward(u, s, n, node);
    /* Turn the path round: node[from].score is no longer needed, its place takes where the next piece ends. */
    uint32_t next = UINT32_MAX;
    for (size_t at = n; at;) {
        uint32_t from = node[at].from, id = node[at].id;
        node[at].from = next, next = (uint32_t)at;
        node[at].score = (double)id;
        at = from;
    }
    for (size_t at = 0; next != UINT32_MAX && !st;) {
        size_t end = next;
        uint32_t id = (uint32_t)node[end].score;
        next = node[end].from;
        bool unknown = id == JT_NO_TOKEN || id == u->unk, known = id != JT_NO_TOKEN;
        if (!unknown) {
            st = jt_tokens_push(out, id, base + at, base + end, err);
        } else {
            while (u->fuse && next != UINT32_MAX) {
                id = (uint32_t)node[next].score;
                if (id != JT_NO_TOKEN && id != u->unk) break;
                known = false;
                end = next, next = node[end].from;
            }
            st = unigram_unknown(u, s + at, end - at, base + at, known, out, err);
        }
        at = end;
    }
    return st;
}
