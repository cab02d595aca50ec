/* trie.h: the longest of many byte strings that a text begins with.
 *
 * Nodes are numbered breadth first, so the children of a node lie together,
 * sorted by their byte, and end where those of the next node begin: nine bytes a
 * node. Built in time linear in the length of all strings. */
#ifndef JT_TEXT_TRIE_H
#define JT_TEXT_TRIE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "jeton/status.h"
#include "text/words.h"

typedef struct jt_trie {
    uint32_t root[256]; /* child of the root by byte; 0: none */
    uint32_t *first;    /* [nodes + 1]: first child */
    uint32_t *token;    /* [nodes]: the id that ends here, or JT_NO_TOKEN */
    uint8_t *label;     /* [nodes]: the byte that leads here */
    uint32_t nodes;
} jt_trie;

/* A trie of names[ids[0..count)], all different and not empty, together less than 2^31 bytes.
 * `shorter` (may be NULL) gets for each of the ids, at [id], the longest other one that it begins with, or JT_NO_TOKEN. */
jt_status jt_trie_init(jt_trie *t, const jt_view *names, const uint32_t *ids, size_t count, uint32_t *shorter, jt_error *err);
void jt_trie_free(jt_trie *t);

/* The longest string of the trie that s[0..n) begins with, or JT_NO_TOKEN; n >= 1. */
static inline uint32_t jt_trie_longest(const jt_trie *t, const char *s, size_t n) {
    uint32_t node = t->root[(unsigned char)s[0]], best = JT_NO_TOKEN;
    for (size_t i = 1; node; i++) {
        if (t->token[node] != JT_NO_TOKEN) best = t->token[node];
        if (i == n) break;
        uint32_t lo = t->first[node], hi = t->first[node + 1];
        uint8_t c = (uint8_t)s[i];
        node = 0;
        if (hi - lo > 8) {
            const uint8_t *p = memchr(t->label + lo, c, hi - lo);
            if (p) node = (uint32_t)(p - t->label);
        } else {
            for (uint32_t k = lo; k < hi; k++)
                if (t->label[k] == c) {
                    node = k;
                    break;
                }
        }
    }
    return best;
}

#endif
