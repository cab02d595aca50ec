/* encode.c: text to tokens. Added tokens are cut out first (leftmost, then longest, as Hugging Face does), the text between
 * them is cut into pieces, each piece is encoded by itself. */
#include <string.h>

#include "text/textpipe_inside.h"
#include "text/vocab.h"

void jt_tokens_free(jt_tokens *t) {
    jt_free(t->t);
    *t = (jt_tokens){0};
}

static jt_status lost(const jt_tokenizer *t, const char *s, size_t n, size_t base, jt_error *err) {
    for (size_t i = 0; i < n; i++)
        if (t->bpe.byte[(unsigned char)s[i]] == JT_NO_TOKEN)
            return jt_error_set(err, JT_UNSUPPORTED, "byte 0x%02X at offset %zu has no token in this vocabulary; leave it out",
                                (unsigned char)s[i], base + i);
    return JT_OK;
}

static jt_status encode_pieces(const jt_tokenizer *t, const char *s, size_t n, size_t base, jt_bpe_work *w, jt_tokens *out, jt_error *err) {
    jt_status st = JT_OK;
    jt_pretok_fn *next = jt_pretok_whole(t->pretok);
    jt_scan x = {s, n, false};
    for (size_t at = 0, end; next && at < n && st == JT_OK; at = end) {
        end = next(&x, at);
        st = jt_bpe_encode(&t->bpe, s + at, end - at, base + at, w, out, err);
    }
    if (next) return st;
    st = jt_pretok_cut(t->pretok, s, n, &w->pieces, err);
    for (size_t i = 0; i < w->pieces.n && st == JT_OK; i++) {
        jt_piece p = w->pieces.p[i];
        st = jt_bpe_encode(&t->bpe, s + p.begin, p.end - p.begin, base + p.begin, w, out, err);
    }
    return st;
}

/* The bytes of the original that the byte of composed text stands for: itself where its character kept its length, else all that
 * the character came from. */
static void place_char(const jt_normal_char *c, size_t width, jt_piece *place) {
    bool same = c->end - c->begin == width;
    for (size_t i = 0; i < width; i++) place[i] = same ? (jt_piece){c->begin + i, c->begin + i + 1} : (jt_piece){c->begin, c->end};
}

/* The same of text that is composed first; spans are then told in the original. */
static jt_status encode_composed(const jt_tokenizer *t, const char *s, size_t n, size_t base, jt_bpe_work *w, jt_tokens *out,
                                 jt_error *err) {
    jt_normal from = {0}, to = {0};
    jt_str text = {0};
    jt_piece *place = NULL;
    size_t before = out->n;
    jt_status st = jt_normal_read(&from, s, n, base, err);
    if (!st) st = jt_normal_nfd(&from, &to, err);
    if (!st) jt_normal_compose(&to);
    for (size_t i = 0; !st && i < to.n; i++) jt_normal_write(to.c[i].cp, &text);
    if (!st) st = jt_str_check(&text, err);
    if (!st && !(place = jt_alloc(text.n + 1, sizeof *place))) st = jt_nomem(err, "places of characters", text.n + 1, sizeof *place);
    if (!st) st = encode_pieces(t, jt_str_c(&text), text.n, 0, w, out, err);
    jt_str_clear(&text);
    for (size_t i = 0, at = 0; !st && i < to.n; at = text.n, i++) {
        jt_normal_write(to.c[i].cp, &text);
        place_char(&to.c[i], text.n - at, place + at);
    }
    for (size_t i = before; !st && i < out->n; i++) {
        jt_token *k = &out->t[i];
        k->end = place[k->end > k->begin ? k->end - 1 : k->begin].end;
        k->begin = place[k->begin].begin;
    }
    jt_normal_free(&from), jt_normal_free(&to);
    jt_str_free(&text);
    jt_free(place);
    return st;
}

/* Blocks of characters that neither decompose nor compose with what stands before them. */
static bool encode_settled(uint32_t c) {
    return c < 0x300 || (c >= 0x388 && c <= 0x482) || (c >= 0x488 && c <= 0x590) || (c >= 0x1e00 && c <= 0x1f70) ||
           (c >= 0x2002 && c <= 0x20cf) || (c >= 0x2e00 && c <= 0x3029) || (c >= 0x3030 && c <= 0x3098) || (c >= 0x309b && c <= 0xa66e) ||
           (c >= 0xabee && c <= 0xd7ff) || (c >= 0xe000 && c <= 0xf8ff);
}

/* Text that is composed as it stands. */
bool jt_encode_plain(const char *s, size_t n) {
    for (size_t i = 0; i < n;) {
        uint32_t c;
        if ((unsigned char)s[i] < 0x80) {
            i++;
            continue;
        }
        int w = jt_utf8_next(s + i, n - i, &c);
        if (w && !encode_settled(c)) return false;
        i += w ? (size_t)w : 1;
    }
    return true;
}

jt_status jt_encode_part(const jt_tokenizer *t, const char *text, size_t n, size_t base, int flags, jt_bpe_work *w, jt_tokens *out,
                         jt_error *err) {
    const jt_added *added = flags & JT_PARSE_SPECIAL ? &t->all : &t->user;
    jt_status st;
    if (t->pipe) return jt_textpipe_encode(t, text, n, base, flags, w, out, err);
    for (size_t at = 0, next = 0;;) {
        jt_added_hit h = jt_added_next(added, t->names, text, n, next, at);
        size_t stop = h.begin;
        if (at < stop && t->piece) {
            if ((st = jt_wordpiece_encode(t->piece, text + at, stop - at, base + at, out, err)) != JT_OK) return st;
        } else if (at < stop) {
            if (flags & JT_EVERY_BYTE && !t->bpe.all_bytes && (st = lost(t, text + at, stop - at, base + at, err)) != JT_OK) return st;
            bool composed = t->nfc && !jt_encode_plain(text + at, stop - at);
            st = (composed ? encode_composed : encode_pieces)(t, text + at, stop - at, base + at, w, out, err);
            if (st != JT_OK) return st;
        }
        if (h.id == JT_NO_TOKEN) return JT_OK;
        if ((st = jt_tokens_push(out, h.id, base + h.begin, base + h.end, err)) != JT_OK) return st;
        at = h.end, next = h.next;
    }
}

/* Tokens of a template before its first text, or after its last. */
jt_status jt_encode_around(const jt_tokenizer *t, bool after, size_t at, jt_tokens *out, jt_error *err) {
    bool past = false;
    jt_status st = JT_OK;
    if (!t->n_single && (after ? t->add_eos : t->add_bos)) return jt_tokens_push(out, (uint32_t)(after ? t->eos : t->bos), at, at, err);
    for (size_t i = 0; i < t->n_single && !st; i++) {
        past |= t->single[i].id < 0;
        if (past == after && t->single[i].id >= 0) st = jt_tokens_push(out, (uint32_t)t->single[i].id, at, at, err);
    }
    return st;
}

jt_status jt_encode(const jt_tokenizer *t, const char *text, size_t n, int flags, jt_tokens *out, jt_error *err) {
    if (n > (size_t)1 << 31)
        return jt_error_set(err, JT_LIMIT, "%zu bytes are too many to encode at once; cut the text into parts below 2 GiB", n);
    size_t before = out->n;
    jt_bpe_work w = {0};
    jt_status st = JT_OK;
    if (flags & JT_ADD_SPECIAL) st = jt_encode_around(t, false, 0, out, err);
    if (st == JT_OK) st = jt_encode_part(t, text, n, 0, flags, &w, out, err);
    if (st == JT_OK && flags & JT_ADD_SPECIAL) st = jt_encode_around(t, true, n, out, err);
    jt_bpe_work_free(&w);
    if (st != JT_OK) out->n = before;
    return st;
}

jt_status jt_encode_pair(const jt_tokenizer *t, const char *a, size_t n_a, const char *b, size_t n_b, int flags, jt_tokens *out,
                         size_t *second, jt_error *err) {
    size_t before = out->n, n[2] = {n_a, n_b}, end = 0;
    const char *s[2] = {a, b};
    const jt_template_item usual[] = {{t->bos, 0}, {-1, 0}, {t->eos, 0}, {-1, 1}, {t->eos, 0}};
    const jt_template_item *item = t->n_pair ? t->pair : usual;
    size_t items = t->n_pair ? t->n_pair : sizeof usual / sizeof *usual;
    jt_status st = JT_OK;
    if (!t->n_pair && (t->bos < 0 || t->eos < 0))
        return jt_error_set(err, JT_UNSUPPORTED,
                            "the tokenizer has no tokens that stand before and after texts, so pairs cannot be told apart");
    *second = 0;
    for (size_t i = 0; i < items && !st; i++) {
        int k = item[i].text;
        if (item[i].id >= 0) {
            st = jt_tokens_push(out, (uint32_t)item[i].id, end, end, err);
        } else {
            if (k) *second = out->n - before;
            st = jt_encode(t, s[k], n[k], flags & ~JT_ADD_SPECIAL, out, err);
            end = n[k];
        }
    }
    if (st) out->n = before;
    return st;
}
