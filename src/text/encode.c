/* encode.c: text to tokens. Added tokens are cut out first (leftmost, then longest, as Hugging Face does), the text between
 * them is cut into pieces, each piece is encoded by itself. */
#include <string.h>

#include "text/vocab.h"

void jt_tokens_free(jt_tokens *t) {
    jt_free(t->t);
    *t = (jt_tokens){0};
}

/* The next added token at or after `at`: its id and where it begins, or JT_NO_TOKEN and n. */
static uint32_t next_added(const jt_added *a, const char *s, size_t n, size_t at, size_t *begin) {
    for (; a->any && at < n; at++) {
        if (!a->first[(unsigned char)s[at]]) continue;
        uint32_t id = jt_trie_longest(&a->trie, s + at, n - at);
        if (id == JT_NO_TOKEN) continue;
        *begin = at;
        return id;
    }
    *begin = n;
    return JT_NO_TOKEN;
}

static jt_status lost(const jt_tokenizer *t, const char *s, size_t n, size_t base, jt_error *err) {
    for (size_t i = 0; i < n; i++)
        if (t->bpe.byte[(unsigned char)s[i]] == JT_NO_TOKEN)
            return jt_error_set(err, JT_UNSUPPORTED, "byte 0x%02X at offset %zu has no token in this vocabulary; leave it out",
                                (unsigned char)s[i], base + i);
    return JT_OK;
}

jt_status jt_encode_part(const jt_tokenizer *t, const char *text, size_t n, size_t base, int flags, jt_bpe_work *w, jt_tokens *out,
                         jt_error *err) {
    const jt_added *added = flags & JT_PARSE_SPECIAL ? &t->all : &t->user;
    jt_pretok_fn *next = t->pretok->next;
    jt_status st;
    for (size_t at = 0; at < n;) {
        size_t stop;
        uint32_t id = next_added(added, text, n, at, &stop);
        if (flags & JT_EVERY_BYTE && !t->bpe.all_bytes && (st = lost(t, text + at, stop - at, base + at, err)) != JT_OK) return st;
        for (size_t end; at < stop; at = end) {
            end = next(text, stop, at);
            if ((st = jt_bpe_encode(&t->bpe, text + at, end - at, base + at, w, out, err)) != JT_OK) return st;
        }
        if (id == JT_NO_TOKEN) break;
        if ((st = jt_tokens_push(out, id, base + at, base + at + t->names[id].n, err)) != JT_OK) return st;
        at += t->names[id].n;
    }
    return JT_OK;
}

jt_status jt_encode(const jt_tokenizer *t, const char *text, size_t n, int flags, jt_tokens *out, jt_error *err) {
    if (n > (size_t)1 << 31)
        return jt_error_set(err, JT_LIMIT, "%zu bytes are too many to encode at once; cut the text into parts below 2 GiB", n);
    size_t before = out->n;
    jt_bpe_work w = {0};
    jt_status st = JT_OK;
    if (flags & JT_ADD_SPECIAL && t->add_bos) st = jt_tokens_push(out, (uint32_t)t->bos, 0, 0, err);
    if (st == JT_OK) st = jt_encode_part(t, text, n, 0, flags, &w, out, err);
    if (st == JT_OK && flags & JT_ADD_SPECIAL && t->add_eos) st = jt_tokens_push(out, (uint32_t)t->eos, n, n, err);
    jt_bpe_work_free(&w);
    if (st != JT_OK) out->n = before;
    return st;
}
