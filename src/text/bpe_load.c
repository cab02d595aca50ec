/* bpe_load.c: what must be known about a vocabulary before the search of bpe.h is exact.
 *
 * The rule is run over the bytes of every token. A token that it does not give
 * back is *improper*: no text ever encodes to it, so the search must not propose
 * it. A proper token is *irregular* if its last merge ranks no later than that of
 * one of its two parts, or a part is irregular: then ranks do not tell the order
 * in which merges happen, and the fast test for joining does not hold. */
#include <stdlib.h>

#include "core/mem.h"
#include "text/bpe.h"
#include "text/bpe_rule.h"

static jt_status hash_pairs(jt_bpe *b, const int32_t *rank, jt_error *err) {
    int bits = 4;
    while ((size_t)1 << bits < b->rules * 2) bits++;
    size_t slots = (size_t)1 << bits;
    b->pair_shift = 64 - bits, b->pair_mask = slots - 1;
    b->pair = jt_alloc(slots, sizeof *b->pair);
    b->pair_rank = jt_alloc(slots, sizeof *b->pair_rank);
    if (rank) b->pair_rule = jt_alloc(slots, sizeof *b->pair_rule);
    if (!b->pair || !b->pair_rank || (rank && !b->pair_rule)) return jt_nomem(err, "the table of merges", slots, sizeof *b->pair);
    for (size_t i = 0; i < slots; i++) b->pair[i] = UINT64_MAX;
    for (size_t r = 0; r < b->rules; r++) {
        uint64_t key = (uint64_t)b->rule[r].left << 32 | b->rule[r].right, i = key * 0x9e3779b97f4a7c15u >> b->pair_shift;
        while (b->pair[i & b->pair_mask] != key && b->pair[i & b->pair_mask] != UINT64_MAX) i++;
        b->pair[i & b->pair_mask] = key, b->pair_rank[i & b->pair_mask] = rank ? rank[r] : (int32_t)r;
        if (rank) b->pair_rule[i & b->pair_mask] = (int32_t)r;
    }
    return JT_OK;
}

/* Ids that take part, shortest first; *n of them. */
static uint32_t *by_length(const jt_view *names, const uint8_t *part, size_t count, size_t *n) {
    size_t longest = 0;
    for (size_t i = 0; i < count; i++)
        if (part[i] && names[i].n > longest) longest = names[i].n;
    size_t *start = jt_alloc(longest + 2, sizeof *start);
    uint32_t *ids = jt_alloc(count, sizeof *ids);
    *n = 0;
    if (!start || !ids) {
        jt_free(start), jt_free(ids);
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        if (part[i]) start[names[i].n + 1]++, ++*n;
    for (size_t i = 0; i <= longest; i++) start[i + 1] += start[i];
    for (size_t i = 0; i < count; i++)
        if (part[i]) ids[start[names[i].n]++] = (uint32_t)i;
    jt_free(start);
    return ids;
}

static bool symbols_known(const jt_bpe *b, const jt_view *v) {
    uint32_t id = 0;
    for (size_t i = 0; i < v->n && id != JT_NO_TOKEN;) i += jt_bpe_symbol_at(b, v->s + i, v->n - i, &id);
    return id != JT_NO_TOKEN;
}

/* Is a name one symbol? */
static bool symbol_alone(const jt_bpe *b, const jt_view *v) {
    return v->n == 1 || (b->chars && v->n <= 4 && (size_t)jt_utf8_next(v->s, v->n, NULL) == v->n);
}

static jt_status find_symbols(jt_bpe *b, const uint8_t *part, size_t count, jt_error *err) {
    size_t n = 0;
    for (int c = 0; c < 256; c++) b->byte[c] = JT_NO_TOKEN;
    for (size_t i = 0; i < count; i++) {
        if (part[i] && b->names[i].n == 1) b->byte[(unsigned char)b->names[i].s[0]] = (uint32_t)i;
        n += part[i] && symbol_alone(b, &b->names[i]);
    }
    b->all_bytes = true;
    for (int c = 0; c < 256; c++) b->all_bytes &= b->byte[c] != JT_NO_TOKEN;
    if (!b->chars) return JT_OK;
    jt_status st = jt_words_init(&b->symbols, b->names, n, err);
    for (size_t i = 0; !st && i < count; i++)
        if (part[i] && symbol_alone(b, &b->names[i])) jt_words_put(&b->symbols, (uint32_t)i);
    return st;
}

/* For each token the first of the rules that give it, or -1. */
static int32_t *first_rules(const jt_bpe *b, size_t count) {
    int32_t *first = jt_alloc(count, sizeof *first);
    for (size_t i = 0; first && i < count; i++) first[i] = -1;
    for (size_t r = b->rules; first && r-- > 0;)
        if (jt_bpe_rule_of(b, b->rule[r].left, b->rule[r].right) == (int32_t)r) first[b->rule[r].result] = (int32_t)r;
    return first;
}

/* Is the last merge over the token's own bytes that of the rule? A yes is certain: the rule comes after all that its parts
 * are made by, and nothing before it joins the two. A no is not. */
static bool made_by(const jt_bpe *b, int32_t rule) {
    if (rule < 0) return false;
    uint32_t l = b->rule[rule].left, r = b->rule[rule].right;
    int32_t rank = jt_bpe_rank(b, l, r);
    const jt_bpe_token *x = &b->token[l], *y = &b->token[r];
    return x->proper && y->proper && !x->irregular && !y->irregular && x->rank < rank && y->rank < rank &&
           jt_bpe_regular_joins(b, l, r, rank);
}

/* Fills b->token and leaves in ids[0..*proper) the proper ones. */
static jt_status analyse(jt_bpe *b, uint32_t *ids, size_t n, const int32_t *first, size_t *proper, jt_error *err) {
    jt_bpe_work w = {0};
    jt_status st = JT_OK;
    size_t kept = 0;
    for (size_t k = 0; k < n; k++) {
        uint32_t id = ids[k];
        const jt_view *v = &b->names[id];
        jt_bpe_token *t = &b->token[id];
        bool alone = symbol_alone(b, v);
        int32_t last = alone ? -1 : first[id];
        *t = (jt_bpe_token){JT_NO_TOKEN, JT_NO_TOKEN, -1, JT_NO_TOKEN, (uint32_t)v->n & 0x3fffffffu, 0, 0};
        if (!alone && !made_by(b, last)) {
            if (!symbols_known(b, v)) continue;
            if ((st = jt_bpe_rule_run(b, v->s, v->n, &w, &last, err)) != JT_OK) break;
            if (w.symbol[0].id != id || w.symbol[0].next != UINT32_MAX) continue;
        }
        ids[kept++] = id;
        t->proper = 1;
        if (last < 0) continue;
        t->left = b->rule[last].left, t->right = b->rule[last].right, t->rank = jt_bpe_rank(b, t->left, t->right);
        const jt_bpe_token *l = &b->token[t->left], *r = &b->token[t->right];
        t->irregular = l->irregular || r->irregular || t->rank <= l->rank || t->rank <= r->rank;
        b->n_irregular += t->irregular;
    }
    jt_bpe_work_free(&w);
    b->n_improper = (uint32_t)(n - kept);
    *proper = kept;
    return st;
}

jt_status jt_bpe_init(jt_bpe *b, const jt_view *names, const uint8_t *part, size_t count, jt_bpe_rule *rule, size_t rules,
                      const jt_bpe_how *how, jt_error *err) {
    *b = (jt_bpe){.names = names, .rule = rule, .rules = rules, .chars = how->chars};
    uint32_t *ids = NULL, *shorter = NULL;
    int32_t *first = NULL;
    size_t n, proper;
    jt_status st = hash_pairs(b, how->rank, err);
    if (st == JT_OK && !how->only_rules) st = find_symbols(b, part, count, err);
    if (st != JT_OK || how->only_rules) goto out;
    b->token = jt_alloc(count, sizeof *b->token);
    shorter = jt_alloc(count, sizeof *shorter);
    ids = by_length(names, part, count, &n);
    first = first_rules(b, count);
    if (!b->token || !shorter || !ids || !first) {
        st = jt_nomem(err, "the vocabulary", count, sizeof *b->token);
        goto out;
    }
    if ((st = analyse(b, ids, n, first, &proper, err)) != JT_OK) goto out;
    if ((st = jt_trie_init(&b->proper, names, ids, proper, shorter, err)) != JT_OK) goto out;
    if ((st = jt_words_init(&b->whole, names, how->ignore_merges ? n : proper, err)) != JT_OK) goto out;
    for (size_t k = 0; k < proper; k++) {
        b->token[ids[k]].shorter = shorter[ids[k]];
        jt_words_put(&b->whole, ids[k]);
    }
    for (size_t i = 0; how->ignore_merges && i < count; i++)
        if (part[i] == JT_BPE_WHOLE) jt_words_put(&b->whole, (uint32_t)i);
out:
    jt_free(ids), jt_free(shorter), jt_free(first);
    if (st != JT_OK) jt_bpe_free(b);
    return st;
}

void jt_bpe_free(jt_bpe *b) {
    jt_free(b->rule), jt_free(b->pair), jt_free(b->pair_rank), jt_free(b->pair_rule), jt_free(b->token);
    jt_trie_free(&b->proper);
    jt_words_free(&b->whole), jt_words_free(&b->symbols);
    *b = (jt_bpe){0};
}
