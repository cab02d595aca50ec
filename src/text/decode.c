/* decode.c: tokens to text, at once or as a stream of whole characters. */
#include <string.h>

#include "core/str.h"
#include "text/textpipe_inside.h"
#include "text/vocab.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

jt_status jt_decode(const jt_tokenizer *t, const int32_t *ids, size_t n, int special, char **out, size_t *out_n, jt_error *err) {
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || (size_t)ids[i] >= t->vocab)
            return jt_error_set(err, JT_INVALID, "token %zu: id %d is outside the vocabulary of %zu tokens", i, ids[i], t->vocab);
        if (special || !jt_type_special(t->types[ids[i]])) bytes += t->names[ids[i]].n;
    }
    char *s = jt_alloc(bytes + 1, 1);
    if (!s) return jt_nomem(err, "the decoded text", bytes + 1, 1);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const jt_view *v = &t->names[ids[i]];
        if (!special && jt_type_special(t->types[ids[i]])) continue;
        memcpy(s + at, v->s, v->n);
        at += v->n;
    }
    if ((t->piece || (t->pipe && t->pipe->lead)) && bytes && s[0] == ' ') memmove(s, s + 1, bytes--); /* the space before the first word */
    *out = s, *out_n = bytes;
    return JT_OK;
}

/* A longest part of a character, or one byte, becomes U+FFFD. */
void jt_text_lossy(jt_str *o, const char *s, size_t n) {
    for (size_t at = 0; at < n;) {
        int w = jt_utf8_next(s + at, n - at, NULL);
        if (w) {
            jt_str_add(o, s + at, (size_t)w);
            at += (size_t)w;
            continue;
        }
        size_t part = 1;
        while (part < 3 && at + part < n && jt_utf8_whole(s + at, part + 1) == 0) part++;
        if (jt_utf8_whole(s + at, part) != 0) part = 1;
        jt_str_puts(o, "\xef\xbf\xbd");
        at += part;
    }
}

jt_status jt_decode_text(const jt_tokenizer *t, const int32_t *ids, size_t n, int special, char **out, size_t *out_n, jt_error *err) {
    jt_str s = {0};
    char *bytes;
    size_t k;
    jt_status st = jt_decode(t, ids, n, special, &bytes, &k, err);
    if (st) return st;
    bool first = true;
    if (t->piece && t->piece->options.tidy) {
        for (size_t i = 0; i < n && !st; i++) {
            jt_view v = t->names[ids[i]];
            if (!special && jt_type_special(t->types[ids[i]])) continue;
            if (first && v.n && v.s[0] == ' ') v.s++, v.n--;
            st = jt_text_tidy(&s, v, err);
            first = false;
        }
    } else if (t->pipe)
        st = jt_textpipe_text(t, ids, n, special, &s, err);
    else
        jt_text_lossy(&s, bytes, k);
    jt_free(bytes);
    jt_str_add(&s, "", 0);
    if (!st) st = jt_str_check(&s, err);
    if (st)
        jt_str_free(&s);
    else
        *out = s.s, *out_n = s.n;
    return st;
}

void jt_text_free(char *s) { jt_free(s); }

/* Byte i of what is held back followed by the token. */
static char byte_at(const jt_detok *d, const char *s, size_t i) { return i < (size_t)d->n ? d->held[i] : s[i - (size_t)d->n]; }

jt_status jt_detok_push(const jt_tokenizer *t, jt_detok *d, int32_t id, int special, char *out, size_t cap, size_t *n, jt_error *err) {
    size_t m, k = 0;
    const char *s = jt_token_bytes(t, id, &m);
    if (!special && jt_token_is_special(t, id)) m = 0;
    size_t all = (size_t)d->n + m, i = 0;
    while (i < all) {
        char c[4];
        size_t have = all - i < 4 ? all - i : 4;
        for (size_t j = 0; j < have; j++) c[j] = byte_at(d, s, i + j);
        size_t w = (size_t)jt_utf8_next(c, have, NULL);
        if (!w && have < 4 && jt_utf8_whole(c, have) == 0) break; /* later bytes may complete it */
        size_t wrote = w ? w : 3;
        if (k + wrote > cap)
            return jt_error_set(err, JT_LIMIT,
                                "room for %zu bytes of text is too little; 3 for each byte of the token and 9 more always do", cap);
        memcpy(out + k, w ? c : replacement, wrote);
        k += wrote;
        i += w ? w : 1;
    }
    char held[4] = {0};
    int left = 0;
    for (; i < all; i++) held[left++] = byte_at(d, s, i);
    memcpy(d->held, held, sizeof held);
    d->n = left;
    *n = k;
    return JT_OK;
}

size_t jt_detok_end(jt_detok *d, char out[10]) {
    size_t k = 0;
    for (int i = 0; i < d->n && i < 3; i++, k += 3) memcpy(out + k, replacement, 3);
    out[k] = 0;
    d->n = 0;
    return k;
}
