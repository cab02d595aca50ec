/* stream.c: encoding text that arrives in pieces. Bytes are kept until nothing that follows could change their tokens:
 * until it is known where the piece that they are in ends, that they begin no added token, and what they compose to. */
#include <string.h>

#include "text/added.h"
#include "text/vocab.h"

enum { STREAM_SOON = 4096 }; /* kept bytes up to which all are looked at again whenever some arrive */

struct jt_encoder {
    const jt_tokenizer *t;
    int flags;
    bool begun;
    char *s; /* the bytes kept, which stand at `base` in the text */
    size_t n, cap, looked;
    size_t base;
    jt_bpe_work work;
    jt_normal from, to;
    jt_str composed;
};

jt_status jt_encoder_new(const jt_tokenizer *t, int flags, jt_encoder **out, jt_error *err) {
    jt_encoder *e = jt_alloc(1, sizeof *e);
    if (!e) return jt_nomem(err, "an encoder", 1, sizeof *e);
    e->t = t, e->flags = flags;
    e->work.pieces.ask = true;
    *out = e;
    return JT_OK;
}

void jt_encoder_free(jt_encoder *e) {
    if (!e) return;
    jt_bpe_work_free(&e->work);
    jt_normal_free(&e->from), jt_normal_free(&e->to);
    jt_str_free(&e->composed);
    jt_free(e->s);
    jt_free(e);
}

/* Could s[0..n) be the beginning of an added token, or of a longer one than it is? */
static bool added_begins(const jt_added *a, const char *s, size_t n) {
    uint32_t node = a->trie.root[(unsigned char)s[0]];
    for (size_t i = 1; node; i++) {
        uint32_t lo = a->trie.first[node], hi = a->trie.first[node + 1];
        if (i == n) return lo < hi;
        const uint8_t *p = hi > lo ? memchr(a->trie.label + lo, (unsigned char)s[i], hi - lo) : NULL;
        node = p ? (uint32_t)(p - a->trie.label) : 0;
    }
    return false;
}

/* Where in s[at..n) the first place is from which an added token may yet come. */
static size_t added_open(const jt_added *a, const char *s, size_t n, size_t at) {
    if (!a->any) return n;
    size_t i = n > a->longest && n - a->longest > at ? n - a->longest : at;
    while (i < n && !(a->first[(unsigned char)s[i]] && added_begins(a, s + i, n - i))) i++;
    return i;
}

/* Do the first k pieces, cut as a text of its own, stay what they are in the longer text? Patterns may look ahead to its end. */
static jt_status settled_alone(jt_encoder *e, const char *s, size_t k, bool *same, jt_error *err) {
    jt_pieces *w = &e->work.pieces;
    jt_pretok_fn *next = jt_pretok_whole(e->t->pretok);
    jt_piece last = w->p[k - 1];
    jt_status st = JT_OK;
    *same = true;
    if (next) {
        jt_scan x = {s, last.end, false};
        for (size_t i = k > 4 ? k - 4 : 0; i < k && *same; i++) *same = next(&x, w->p[i].begin) == w->p[i].end;
    } else if (!(st = jt_pretok_cut(e->t->pretok, s, last.end, w, err))) {
        *same = w->n == k && w->p[k - 1].begin == last.begin && w->p[k - 1].end == last.end;
    }
    return st;
}

/* How many bytes of the open text s[0..n), which are cut as they stand, no more text can change. */
static jt_status settled_pieces(jt_encoder *e, const char *s, size_t n, size_t *settled, jt_error *err) {
    enum { TRIES = 4 };
    jt_pieces *w = &e->work.pieces;
    size_t end[TRIES] = {0}, k = 0, open;
    bool same = false;
    jt_status st = jt_pretok_cut(e->t->pretok, s, n, w, err);
    *settled = 0;
    if (st) return st;
    for (open = w->open; k < w->n && w->p[k].end <= open; k++) {
    }
    for (size_t i = 0; i < TRIES && i < k; i++) end[i] = w->p[k - 1 - i].end;
    for (size_t i = 0; !st && i < TRIES && i < k && !same; i++) {
        if (i && !jt_pretok_whole(e->t->pretok)) st = jt_pretok_cut(e->t->pretok, s, n, w, err);
        if (!st) st = settled_alone(e, s, k - i, &same, err);
        if (same) *settled = end[i];
    }
    return st;
}

/* Where what s[0..n) composes to is known up to: the last character that composes with nothing before it, or past it if it
 * does so with nothing after it. */
static size_t settled_normal(const char *s, size_t n) {
    for (size_t i = n; i-- > 0;) {
        int w = ((unsigned char)s[i] & 0xc0) != 0x80 ? jt_utf8_next(s + i, n - i, NULL) : 0;
        unsigned char c = (unsigned char)s[i];
        if (!w || !jt_encode_plain(s + i, (size_t)w)) continue;
        return c < '<' || (c > '>' && c < 'A') ? i + 1 : i;
    }
    return 0;
}

/* The same where text is composed before it is cut; pieces are then told in the original. */
static jt_status settled_composed(jt_encoder *e, const char *s, size_t n, size_t *settled, jt_error *err) {
    size_t last = settled_normal(s, n), open, at = 0;
    *settled = 0;
    if (!last) return JT_OK;
    if (jt_encode_plain(s, last)) return settled_pieces(e, s, last, settled, err);
    jt_status st = jt_normal_read(&e->from, s, last, 0, err);
    if (!st) st = jt_normal_nfd(&e->from, &e->to, err);
    if (st) return st;
    jt_normal_compose(&e->to);
    jt_str_clear(&e->composed);
    for (size_t i = 0; i < e->to.n; i++) jt_normal_write(e->to.c[i].cp, &e->composed);
    if ((st = jt_str_check(&e->composed, err)) || (st = settled_pieces(e, jt_str_c(&e->composed), e->composed.n, &open, err))) return st;
    size_t k = 0, begin;
    for (jt_str_clear(&e->composed); k < e->to.n && at < open; k++) {
        jt_normal_write(e->to.c[k].cp, &e->composed);
        at = e->composed.n;
    }
    begin = k < e->to.n ? e->to.c[k].begin : last;
    for (size_t i = 0; i < k; i++)
        if (e->to.c[i].end > begin) return JT_OK; /* characters changed places over the border */
    for (size_t i = k; i < e->to.n; i++)
        if (e->to.c[i].begin < begin) return JT_OK;
    *settled = begin;
    return JT_OK;
}

/* Words end at white space, whatever follows. */
static size_t settled_words(const char *s, size_t n) {
    while (n > 0 && s[n - 1] != ' ' && s[n - 1] != '\n') n--;
    return n ? n - 1 : 0;
}

/* How many of the bytes kept no more text can change. */
static jt_status encoder_settled(jt_encoder *e, size_t *settled, jt_error *err) {
    const jt_tokenizer *t = e->t;
    const jt_added *a = e->flags & JT_PARSE_SPECIAL ? &t->all : &t->user;
    *settled = 0;
    if (t->pipe || a->flags) return JT_OK;
    size_t open, at = 0;
    for (;;) {
        open = added_open(a, e->s, e->n, at);
        jt_added_hit h = jt_added_next(a, t->names, e->s, e->n, at, at);
        if (h.id == JT_NO_TOKEN || h.begin >= open) break;
        at = h.end;
    }
    const char *s = e->s + at;
    size_t n = open - at, k = 0;
    jt_status st = JT_OK;
    if (t->piece)
        k = settled_words(s, n);
    else if (n)
        st = (t->nfc ? settled_composed : settled_pieces)(e, s, n, &k, err);
    *settled = at + k;
    return st;
}

/* Encodes the first n of the bytes kept. */
static jt_status encoder_take(jt_encoder *e, size_t n, jt_tokens *out, jt_error *err) {
    jt_status st = JT_OK;
    if (!e->begun && e->flags & JT_ADD_SPECIAL) st = jt_encode_around(e->t, false, 0, out, err);
    if (!st && n) st = jt_encode_part(e->t, e->s, n, e->base, e->flags, &e->work, out, err);
    if (st) return st;
    e->begun = true;
    memmove(e->s, e->s + n, e->n - n);
    e->n -= n, e->base += n, e->looked = e->n;
    return JT_OK;
}

jt_status jt_encoder_push(jt_encoder *e, const char *s, size_t n, jt_tokens *out, jt_error *err) {
    size_t before = out->n, had = e->n, want, settled, taken = 0;
    jt_status st = JT_OK;
    if (!jt_add(e->n, n, &want) || want > (size_t)1 << 31)
        return jt_error_set(err, JT_LIMIT, "%zu bytes are too many to keep until their tokens are known; end the text before", e->n);
    if (want > e->cap && (st = jt_grow((void **)&e->s, &e->cap, want, 1, err))) return st;
    if (n) memcpy(e->s + e->n, s, n);
    e->n = want;
    /* A long stretch without an end to any piece is not gone through for each byte. */
    bool look = e->n < STREAM_SOON || e->n - e->looked >= e->looked / 4;
    for (settled = look; !st && settled;) {
        st = encoder_settled(e, &settled, err);
        if (!st) e->looked = e->n;
        if (!st && settled) st = encoder_take(e, settled, out, err);
        if (st && taken) return JT_OK; /* what is kept is looked at again with what comes */
        taken += settled;
    }
    if (st) e->n = had, out->n = before;
    return st;
}

jt_status jt_encoder_end(jt_encoder *e, jt_tokens *out, jt_error *err) {
    size_t before = out->n;
    bool begun = e->begun;
    jt_status st = JT_OK;
    if (!begun && e->flags & JT_ADD_SPECIAL) st = jt_encode_around(e->t, false, 0, out, err);
    if (!st && e->n) st = jt_encode_part(e->t, e->s, e->n, e->base, e->flags, &e->work, out, err);
    if (!st && e->flags & JT_ADD_SPECIAL) st = jt_encode_around(e->t, true, e->base + e->n, out, err);
    if (st) {
        out->n = before;
        return st;
    }
    e->n = e->base = e->looked = 0;
    e->begun = false;
    return JT_OK;
}
