/* trie.c: building the trie of trie.h, one node after the other, breadth first.
 * Every node owns a range of the list of ids: the strings that begin with its
 * path. Ordering that range by the next byte gives the ranges of its children. */
#include "text/trie.h"

#include "core/mem.h"

typedef struct trie_range {
    uint32_t lo, hi;
    uint32_t seen; /* the nearest id at or above the parent */
} trie_range;

/* Orders ids[0..n) by the byte at `depth` of their names, equal ones staying as they are. */
static void order_by_byte(const jt_view *names, uint32_t *ids, uint32_t *spare, size_t n, size_t depth) {
    if (n <= 24) {
        for (size_t i = 1; i < n; i++) {
            uint32_t id = ids[i];
            uint8_t c = (uint8_t)names[id].s[depth];
            size_t j = i;
            for (; j && (uint8_t)names[ids[j - 1]].s[depth] > c; j--) ids[j] = ids[j - 1];
            ids[j] = id;
        }
        return;
    }
    uint32_t start[257] = {0};
    for (size_t i = 0; i < n; i++) start[(uint8_t)names[ids[i]].s[depth] + 1]++;
    for (size_t c = 0; c < 256; c++) start[c + 1] += start[c];
    for (size_t i = 0; i < n; i++) spare[start[(uint8_t)names[ids[i]].s[depth]]++] = ids[i];
    memcpy(ids, spare, n * sizeof *ids);
}

jt_status jt_trie_init(jt_trie *t, const jt_view *names, const uint32_t *ids, size_t count, uint32_t *shorter, jt_error *err) {
    size_t most = 2;
    for (size_t i = 0; i < count; i++) most += names[ids[i]].n;
    *t = (jt_trie){.first = jt_alloc(most, 4), .token = jt_alloc(most, 4), .label = jt_alloc(most, 1)};
    uint32_t *list = jt_alloc(count, 4), *spare = jt_alloc(count, 4);
    trie_range *of = jt_alloc(most, sizeof *of);
    jt_status st = JT_OK;
    if (!t->first || !t->token || !t->label || !list || !spare || !of) {
        st = jt_nomem(err, "the trie of tokens", most, sizeof *of);
        goto out;
    }
    if (count) memcpy(list, ids, count * sizeof *list);
    uint32_t nodes = 1, level = 1;
    size_t depth = 0;
    of[0] = (trie_range){0, (uint32_t)count, JT_NO_TOKEN};
    for (uint32_t k = 0; k < nodes; k++) {
        if (k == level) depth++, level = nodes;
        trie_range r = of[k];
        t->first[k] = nodes, t->token[k] = JT_NO_TOKEN;
        for (uint32_t i = r.lo; i < r.hi; i++) {
            if (names[list[i]].n != depth) continue;
            uint32_t id = list[i];
            list[i] = list[r.lo], list[r.lo++] = id;
            if (shorter) shorter[id] = r.seen;
            t->token[k] = r.seen = id;
            break;
        }
        order_by_byte(names, list + r.lo, spare, r.hi - r.lo, depth);
        for (uint32_t i = r.lo, j; i < r.hi; i = j) {
            uint8_t c = (uint8_t)names[list[i]].s[depth];
            for (j = i + 1; j < r.hi && (uint8_t)names[list[j]].s[depth] == c; j++) continue;
            if (k == 0) t->root[c] = nodes;
            t->label[nodes] = c;
            of[nodes++] = (trie_range){i, j, r.seen};
        }
    }
    t->first[nodes] = t->nodes = nodes;
    uint32_t *first = jt_realloc(t->first, nodes + 1, 4), *token = jt_realloc(t->token, nodes, 4);
    uint8_t *label = jt_realloc(t->label, nodes, 1);
    if (first) t->first = first;
    if (token) t->token = token;
    if (label) t->label = label;
out:
    jt_free(list), jt_free(spare), jt_free(of);
    if (st != JT_OK) jt_trie_free(t);
    return st;
}

void jt_trie_free(jt_trie *t) {
    jt_free(t->first), jt_free(t->token), jt_free(t->label);
    *t = (jt_trie){0};
}
