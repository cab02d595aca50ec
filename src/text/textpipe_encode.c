/* textpipe_encode.c: text to tokens through a pipeline (textpipe.h). */
#include <string.h>

#include "core/mem.h"
#include "text/bpe_rule.h"
#include "text/textpipe_inside.h"

/* One call's working memory. */
struct pipeline_run {
    const jt_tokenizer *t;
    const jt_textpipe *p;
    jt_flow text, part; /* part: what lies between two added tokens that are found after normalisation */
    jt_unigram_work unigram;
    jt_bpe_work *bpe;
    jt_str piece;
    size_t *end; /* of symbols */
    size_t end_cap;
    jt_tokens *out;
};

/* ---- models, each for one piece ---- */

static jt_status run_symbol(struct pipeline_run *r, size_t *n, uint32_t id, size_t begin, size_t end, jt_error *err) {
    jt_status s = jt_bpe_rule_room(r->bpe, *n + 1, err);
    if (!s) s = jt_grow((void **)&r->end, &r->end_cap, 2 * (*n + 1), sizeof *r->end, err);
    if (s) return s;
    r->bpe->symbol[*n].id = id;
    r->end[2 * *n] = begin, r->end[2 * *n + 1] = end;
    ++*n;
    return JT_OK;
}

static bool run_bytes_known(const jt_symbols *y, const char *s, size_t n) {
    bool all = y->bytes;
    for (size_t i = 0; i < n; i++) all = all && y->byte[(unsigned char)s[i]] != JT_NO_TOKEN;
    return all;
}

/* Hugging Face's order: an unknown token waits for the next known one, and is written before it. */
static jt_status run_symbols(struct pipeline_run *r, const char *s, size_t n, size_t base, jt_error *err) {
    const jt_symbols *y = &r->p->symbols;
    size_t count = 0, wait_begin = 0, wait_end = 0;
    bool wait = false;
    jt_status st = JT_OK;
    uint32_t whole = y->whole ? jt_words_get(&r->p->words, s, n) : JT_NO_TOKEN;
    if (whole != JT_NO_TOKEN) return jt_tokens_push(r->out, whole, base, base + n, err);
    for (size_t at = 0, end; at < n && !st; at = end) {
        int w = jt_utf8_next(s + at, n - at, NULL);
        end = at + (w ? (size_t)w : 1);
        jt_str_clear(&r->piece);
        if (at) jt_str_add(&r->piece, y->more.s, y->more.n);
        jt_str_add(&r->piece, s + at, end - at);
        if (end == n) jt_str_add(&r->piece, y->end.s, y->end.n);
        if ((st = jt_str_check(&r->piece, err))) break;
        uint32_t id = jt_words_get(&r->p->words, r->piece.s, r->piece.n);
        if (id == JT_NO_TOKEN && run_bytes_known(y, r->piece.s, r->piece.n)) {
            size_t extra = at ? y->more.n : 0;
            for (size_t i = 0; i < r->piece.n && !st; i++) {
                size_t k = at + (i < extra ? 0 : i - extra);
                if (k >= end) k = end - 1;
                st = run_symbol(r, &count, y->byte[(unsigned char)r->piece.s[i]], base + k, base + k + 1, err);
            }
            continue;
        }
        if (id == JT_NO_TOKEN && y->unk == JT_NO_TOKEN) continue;
        if (wait && !(id == JT_NO_TOKEN && y->fuse)) {
            st = run_symbol(r, &count, y->unk, base + wait_begin, base + wait_end, err);
            wait = false;
        }
        if (id != JT_NO_TOKEN) {
            if (!st) st = run_symbol(r, &count, id, base + at, base + end, err);
        } else {
            if (!wait) wait_begin = at;
            wait = true, wait_end = end;
        }
    }
    if (!st && wait) st = run_symbol(r, &count, y->unk, base + wait_begin, base + wait_end, err);
    if (st || !count) return st;
    jt_bpe_rule_ids(&r->t->bpe, count, r->bpe);
    for (size_t i = 0, next; i < count && !st; i = next) {
        next = r->bpe->symbol[i].next == UINT32_MAX ? count : r->bpe->symbol[i].next;
        st = jt_tokens_push(r->out, r->bpe->symbol[i].id, r->end[2 * i], r->end[2 * next - 1], err);
    }
    return st;
}

static jt_status run_unknown(struct pipeline_run *r, size_t begin, size_t end, jt_error *err) {
    if (r->p->unk == JT_NO_TOKEN)
        return jt_error_set(err, JT_UNSUPPORTED, "the vocabulary has no token for a word of %zu bytes, and none for what is unknown",
                            end - begin);
    return jt_tokens_push(r->out, r->p->unk, begin, end, err);
}

static jt_status run_wordpiece(struct pipeline_run *r, const char *s, size_t n, size_t base, jt_error *err) {
    const jt_textpipe *p = r->p;
    size_t before = r->out->n, chars = 0;
    for (size_t i = 0; i < n; i++) chars += ((unsigned char)s[i] & 0xc0) != 0x80;
    jt_status st = JT_OK;
    for (size_t at = 0; at < n && !st && chars <= p->most_chars;) {
        uint32_t id = jt_trie_longest(at ? &p->more : &p->first, s + at, n - at);
        if (id == JT_NO_TOKEN) {
            chars = SIZE_MAX;
            break;
        }
        size_t len = p->spelt[id].n;
        st = jt_tokens_push(r->out, id, base + at, base + at + len, err);
        at += len;
    }
    if (st || chars <= p->most_chars) return st;
    r->out->n = before;
    return run_unknown(r, base, base + n, err);
}

static jt_status run_longest(struct pipeline_run *r, const char *s, size_t n, size_t base, jt_error *err) {
    jt_status st = JT_OK;
    for (size_t at = 0, len; at < n && !st; at += len) {
        uint32_t id = jt_trie_longest(&r->p->first, s + at, n - at);
        len = id == JT_NO_TOKEN ? 1 : r->p->spelt[id].n;
        st =
            id == JT_NO_TOKEN ? run_unknown(r, base + at, base + at + 1, err) : jt_tokens_push(r->out, id, base + at, base + at + len, err);
    }
    return st;
}

static jt_status run_piece(struct pipeline_run *r, const char *s, size_t n, size_t base, jt_error *err) {
    const jt_textpipe *p = r->p;
    uint32_t id;
    switch (p->way) {
    case JT_WAY_CHARS: return jt_chars_encode(&p->chars, s, n, base, p->at_spaces, r->bpe, r->out, err);
    case JT_WAY_SYMBOLS: return run_symbols(r, s, n, base, err);
    case JT_WAY_UNIGRAM: return jt_unigram_encode(&p->unigram, s, n, base, &r->unigram, r->out, err);
    case JT_WAY_WORDPIECE: return run_wordpiece(r, s, n, base, err);
    case JT_WAY_LONGEST: return run_longest(r, s, n, base, err);
    default:
        id = jt_words_get(&p->words, s, n);
        return id == JT_NO_TOKEN ? run_unknown(r, base, base + n, err) : jt_tokens_push(r->out, id, base, base + n, err);
    }
}

/* ---- steps ---- */

/* The pieces and tokens of all of f's text, whose spans are then those of the original. */
static jt_status run_flow(struct pipeline_run *r, jt_flow *f, jt_error *err) {
    size_t from = r->out->n;
    f->n = 0;
    jt_status s = jt_flow_piece(f, 0, f->text.n, err);
    for (size_t i = 0; i < r->p->n_cut && !s; i++) s = jt_stage_cut(&r->p->cut[i], f, err);
    for (size_t i = 0; i < f->n && !s; i++)
        s = run_piece(r, f->text.s + f->piece[i].begin, f->piece[i].end - f->piece[i].begin, f->piece[i].begin, err);
    for (size_t i = from; i < r->out->n && !s; i++) {
        jt_flow_span span = jt_flow_of(f, r->out->t[i].begin, r->out->t[i].end);
        r->out->t[i].begin = span.begin, r->out->t[i].end = span.end;
    }
    return s;
}

/* The part [begin, end) of the normalised text, as a text of its own. */
static jt_status run_part(struct pipeline_run *r, size_t begin, size_t end, jt_error *err) {
    jt_flow *f = &r->text, *g = &r->part;
    if (begin == end) return JT_OK;
    if (!begin && end == f->text.n) return run_flow(r, f, err);
    jt_status s = jt_flow_begin(g, f->text.s + begin, end - begin, f->from[begin].begin, err);
    if (s) return s;
    memcpy(g->from, f->from + begin, (end - begin) * sizeof *g->from);
    return run_flow(r, g, err);
}

static jt_status run_normalised(struct pipeline_run *r, const char *s, size_t n, size_t base, int all, jt_error *err) {
    jt_flow *f = &r->text;
    const jt_textpipe *p = r->p;
    size_t at = 0, next = 0;
    jt_status st = jt_flow_begin(f, s, n, base, err);
    for (size_t i = 0; i < p->n_normal && !st; i++) st = jt_stage_normal(&p->normal[i], f, err);
    while (!st) {
        const char *text = jt_str_c(&f->text);
        jt_added_hit h = jt_added_next(&p->later[all], p->pattern, text, f->text.n, next, at);
        if (h.begin > at) st = run_part(r, at, h.begin, err);
        if (h.id == JT_NO_TOKEN || st) break;
        jt_flow_span span = h.begin < h.end ? jt_flow_of(f, h.begin, h.end) : (jt_flow_span){f->from[at - 1].end, f->from[at - 1].end};
        st = jt_tokens_push(r->out, h.id, span.begin, span.end, err);
        at = h.end, next = h.next;
    }
    return st;
}

/* ---- the quick way ---- */

static const char run_block[] = "\xe2\x96\x81"; /* U+2581 */

/* Text as it stands, with a space at its front or without. */
static jt_status run_quick(struct pipeline_run *r, const char *s, size_t n, size_t base, jt_error *err) {
    const jt_chars *c = &r->p->chars;
    bool front = r->p->scheme == JT_SCHEME_ALWAYS || (r->p->scheme == JT_SCHEME_FIRST && !base), known;
    size_t end = 0, from = r->out->n;
    if (!front || (r->p->unless && s[0] == ' ')) return jt_chars_encode(c, s, n, base, r->p->at_spaces, r->bpe, r->out, err);
    /* The run that begins with the space: the space alone, or up to where the text's first run ends. */
    jt_str_clear(&r->piece);
    jt_str_putc(&r->piece, ' ');
    jt_chars_end(c, s, n, 0, r->p->at_spaces, &known);
    if (known && !(r->p->at_spaces && s[0] == ' ') && c->joined[' '][(unsigned char)s[0] / 64] >> (unsigned char)s[0] % 64 & 1)
        end = jt_chars_end(c, s, n, 0, r->p->at_spaces, &known);
    jt_str_add(&r->piece, s, end);
    jt_status st = jt_str_check(&r->piece, err);
    if (!st) st = jt_chars_encode(c, r->piece.s, r->piece.n, 0, r->p->at_spaces, r->bpe, r->out, err);
    for (size_t i = from; i < r->out->n && !st; i++) {
        jt_token *k = &r->out->t[i];
        k->begin = base + (k->begin ? k->begin - 1 : 0), k->end = base + k->end - 1;
    }
    return st || end == n ? st : jt_chars_encode(c, s + end, n - end, base + end, r->p->at_spaces, r->bpe, r->out, err);
}

static jt_status run_gap(struct pipeline_run *r, const char *s, size_t n, size_t base, int all, jt_error *err) {
    if (!n) return JT_OK;
    if (r->p->quick && !r->p->later[all].any && !memmem(s, n, run_block, 3)) return run_quick(r, s, n, base, err);
    return run_normalised(r, s, n, base, all, err);
}

jt_status jt_textpipe_encode(const jt_tokenizer *t, const char *text, size_t n, size_t base, int flags, jt_bpe_work *w, jt_tokens *out,
                             jt_error *err) {
    struct pipeline_run r = {.t = t, .p = t->pipe, .bpe = w, .out = out};
    size_t from = out->n;
    int all = flags & JT_PARSE_SPECIAL ? 1 : 0;
    jt_status st = JT_OK;
    for (size_t at = 0, next = 0; !st;) {
        jt_added_hit h = jt_added_next(&t->pipe->now[all], t->pipe->pattern, text, n, next, at);
        if (h.begin > at) st = run_gap(&r, text + at, h.begin - at, base + at, all, err);
        if (h.id == JT_NO_TOKEN || st) break;
        st = jt_tokens_push(out, h.id, base + h.begin, base + h.end, err);
        at = h.end, next = h.next;
    }
    for (size_t i = from; i < out->n && !st && flags & JT_EVERY_BYTE; i++)
        if (out->t[i].id == (int32_t)t->pipe->unk && out->t[i].begin < out->t[i].end)
            st = jt_error_set(err, JT_UNSUPPORTED, "the bytes at offset %zu have no token in this vocabulary; leave them out",
                              out->t[i].begin);
    jt_flow_free(&r.text), jt_flow_free(&r.part);
    jt_unigram_work_free(&r.unigram);
    jt_str_free(&r.piece);
    jt_free(r.end);
    return st;
}
