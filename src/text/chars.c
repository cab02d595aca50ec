#include "text/chars.h"

#include "core/mem.h"
#include "core/str.h"
#include "text/bpe_rule.h"
#include "text/tokenizer.h"

enum { CODES = 0x110000 };

static size_t chars_width(const char *s, size_t n, uint32_t *cp) {
    *cp = (unsigned char)*s;
    if (*cp < 0x80) return 1;
    int w = jt_utf8_next(s, n, cp);
    if (!w) *cp = UINT32_MAX;
    return w ? (size_t)w : 1;
}

static bool chars_known(const jt_chars *c, uint32_t cp) { return cp < CODES && c->known[cp / 64] >> cp % 64 & 1; }

jt_status jt_chars_init(jt_chars *c, const uint8_t *part, size_t count, jt_error *err) {
    uint32_t cp;
    if (!(c->known = jt_alloc(CODES / 64, sizeof *c->known))) return jt_nomem(err, "the characters of a vocabulary", CODES / 64, 8);
    for (size_t i = 0; i < count; i++) {
        jt_view v = c->bpe->names[i];
        c->unused |= c->types[i] == JT_TOKEN_UNUSED;
        if (!part[i]) continue;
        size_t w = chars_width(v.s, v.n, &cp);
        if (w == v.n && cp < CODES) c->known[cp / 64] |= (uint64_t)1 << cp % 64;
        for (size_t at = w; at < v.n; at += w) {
            unsigned char a = (unsigned char)v.s[at - 1], b = (unsigned char)v.s[at];
            c->joined[a][b / 64] |= (uint64_t)1 << b % 64;
            w = chars_width(v.s + at, v.n - at, &cp);
        }
    }
    return JT_OK;
}

void jt_chars_free(jt_chars *c) {
    jt_free(c->known);
    *c = (jt_chars){0};
}

size_t jt_chars_end(const jt_chars *c, const char *s, size_t n, size_t at, bool spaces, bool *known) {
    uint32_t cp;
    at += chars_width(s + at, n - at, &cp);
    if (!(*known = chars_known(c, cp))) return at;
    while (at < n) {
        unsigned char a = (unsigned char)s[at - 1], b = (unsigned char)s[at];
        if (!(c->joined[a][b / 64] >> b % 64 & 1) || (spaces && b == ' ')) return at;
        size_t w = chars_width(s + at, n - at, &cp);
        if (!chars_known(c, cp)) return at;
        at += w;
    }
    return at;
}

/* A token that is not to be used becomes the two that it was made of, and they likewise. */
static jt_status chars_apart(const jt_chars *c, uint32_t id, size_t begin, size_t end, jt_tokens *out, jt_error *err) {
    const jt_bpe_token *t = &c->bpe->token[id];
    if (c->types[id] != JT_TOKEN_UNUSED || t->rank < 0) return jt_tokens_push(out, id, begin, end, err);
    size_t mid = begin + c->bpe->names[t->left].n;
    jt_status s = chars_apart(c, t->left, begin, mid, out, err);
    return s ? s : chars_apart(c, t->right, mid, end, out, err);
}

/* Depth is bounded by the characters of a token, and those of a vocabulary that has any are few. */
static jt_status chars_used(const jt_chars *c, jt_tokens *out, size_t from, jt_error *err) {
    size_t n = out->n - from;
    bool any = false;
    for (size_t i = from; i < out->n; i++) any |= c->types[out->t[i].id] == JT_TOKEN_UNUSED;
    if (!any) return JT_OK;
    jt_token *copy = jt_alloc(n, sizeof *copy);
    if (!copy) return jt_nomem(err, "tokens that are not to be used", n, sizeof *copy);
    for (size_t i = 0; i < n; i++) copy[i] = out->t[from + i];
    out->n = from;
    jt_status s = JT_OK;
    for (size_t i = 0; !s && i < n; i++) s = chars_apart(c, (uint32_t)copy[i].id, copy[i].begin, copy[i].end, out, err);
    jt_free(copy);
    return s;
}

/* A character that is in no token. */
static jt_status chars_unknown(const jt_chars *c, const char *s, size_t n, size_t base, bool first, jt_tokens *out, jt_error *err) {
    jt_status st = JT_OK;
    if (c->bytes || c->unk == JT_NO_TOKEN) {
        for (size_t i = 0; !st && i < n; i++)
            if (c->byte[(unsigned char)s[i]] != JT_NO_TOKEN)
                st = jt_tokens_push(out, c->byte[(unsigned char)s[i]], base + i, base + i + 1, err);
        return st;
    }
    jt_token *last = !first && c->fuse && out->n ? &out->t[out->n - 1] : NULL;
    if (last && last->id == (int32_t)c->unk && last->end == base) {
        last->end = base + n;
        return JT_OK;
    }
    return jt_tokens_push(out, c->unk, base, base + n, err);
}

jt_status jt_chars_run(const jt_chars *c, const char *s, size_t n, size_t base, bool known, bool first, jt_bpe_work *w, jt_tokens *out,
                       jt_error *err) {
    if (!known) return chars_unknown(c, s, n, base, first, out, err);
    size_t from = out->n;
    jt_status st = jt_bpe_encode(c->bpe, s, n, base, w, out, err);
    return st || !c->unused ? st : chars_used(c, out, from, err);
}

jt_status jt_chars_encode(const jt_chars *c, const char *s, size_t n, size_t base, bool spaces, jt_bpe_work *w, jt_tokens *out,
                          jt_error *err) {
    jt_status st = JT_OK;
    for (size_t at = 0, end; at < n && !st; at = end) {
        bool known;
        end = jt_chars_end(c, s, n, at, spaces, &known);
        st = jt_chars_run(c, s + at, end - at, base + at, known, !at, w, out, err);
    }
    return st;
}
