/* pretok.c: the steps of a pre-tokeniser and what becomes of their matches, as Hugging Face's `tokenizers` has them; and
 * what the hand-written functions have in common. Which functions there are is in pretok_known.c. */
#include "text/pretok.h"

#include <string.h>

#include "core/mem.h"
#include "text/normal.h"
#include "text/pretok_known.h"
#include "text/pretok_scan.h"

/* ---- characters ---- */

unsigned jt_scan_more(jt_scan *x, size_t i, size_t *w) {
    uint32_t cp;
    int k = jt_utf8_next(x->s + i, x->n - i, &cp);
    if (k) {
        *w = (size_t)k;
        return 1u << jt_unicode_class(cp);
    }
    /* The beginning of a character at the end of the text may be completed by more text. */
    unsigned char b = (unsigned char)x->s[i];
    size_t want = b >= 0xf0 && b <= 0xf4 ? 4 : b >= 0xe0 ? 3 : 2, have = 1;
    while (have < want && i + have < x->n && ((unsigned char)x->s[i + have] & 0xc0) == 0x80) have++;
    if (b >= 0xc2 && b <= 0xf4 && have < want && i + have == x->n) x->open = true;
    *w = 1;
    return JT_SET(OTHER);
}

uint32_t jt_scan_code(const jt_scan *x, size_t i) {
    uint32_t cp;
    return jt_utf8_next(x->s + i, x->n - i, &cp) ? cp : UINT32_MAX;
}

size_t jt_scan_white(const jt_scan *x, size_t at, size_t end, bool word_follows) {
    if (!word_follows) return end;
    size_t last = end - 1;
    while (last > at && ((unsigned char)x->s[last] & 0xc0) == 0x80) last--;
    return last > at ? last : end;
}

size_t jt_scan_contraction(jt_scan *x, size_t at, int how) {
    int a = jt_scan_byte(x, at + 1), b;
    if (how == JT_CONTRACT_FOLD && a == 0xc5) return jt_scan_byte(x, at + 2) == 0xbf ? 3 : 0;
    int fold = how == JT_CONTRACT_PLAIN ? 0 : 0x20;
    if (a >= 'A' && a <= 'Z') a |= fold;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if (a != 'r' && a != 'v' && a != 'l') return 0;
    b = jt_scan_byte(x, at + 2);
    if (b >= 'A' && b <= 'Z') b |= fold;
    return b == (a == 'l' ? 'l' : 'e') ? 3 : 0;
}

/* ---- making ---- */

typedef struct pretok_step {
    int kind, behaviour;
    bool invert;
    bool spelt;       /* the text is in GPT-2's alphabet by then, whose superscripts and fractions are numbers */
    jt_pretok_fn *fn; /* matches all of a text, one piece after the other; NULL: as `kind` says */
    jt_regex *regex;
    char *string;
    size_t string_n;
} pretok_step;

struct jt_pretok {
    jt_pretok_fn *whole;
    pretok_step *step;
    size_t n;
};

static jt_status step_init(pretok_step *p, const jt_cut *s, bool spelt, jt_error *err) {
    static const char words[] = "[\\w\\x{200c}\\x{200d}]+|[^\\w\\x{200c}\\x{200d}\\s]+";
    static const char three[] = "[0-9][0-9][0-9]"; /* the same in either spelling */
    const char *pattern = s->pattern.s;
    size_t n = s->pattern.n;
    *p = (pretok_step){.kind = s->kind, .behaviour = s->behaviour, .invert = s->invert};
    switch (s->kind) {
    case JT_CUT_DIGITS: p->spelt = spelt, p->behaviour = s->individual ? JT_CUT_ISOLATED : JT_CUT_CONTIGUOUS; break;
    case JT_CUT_SPACES: p->behaviour = JT_CUT_REMOVED; break;
    case JT_CUT_BERT: p->behaviour = JT_CUT_ISOLATED; break;
    case JT_CUT_BYTE_LEVEL: p->fn = jt_pretok_gpt2, p->behaviour = JT_CUT_ISOLATED; return JT_OK;
    case JT_CUT_WORDS: p->kind = JT_CUT_REGEX, p->behaviour = JT_CUT_REMOVED, p->invert = true, pattern = words, n = strlen(words); break;
    default: break;
    }
    if (spelt && s->kind != JT_CUT_DIGITS && !(pattern && n == strlen(three) && !memcmp(pattern, three, n)))
        return jt_error_set(err, JT_UNSUPPORTED, "pre_tokenizer: a step of this kind after ByteLevel is not supported");
    if (p->kind == JT_CUT_STRING) {
        if (!(p->string = jt_alloc(n + 1, 1))) return jt_nomem(err, "a pre-tokeniser", n, 1);
        memcpy(p->string, pattern, n);
        p->string_n = n;
        return JT_OK;
    }
    if (p->kind != JT_CUT_REGEX) return JT_OK;
    if (s->kind == JT_CUT_REGEX) p->fn = jt_pretok_known_step(s);
    if (p->fn) p->behaviour = JT_CUT_ISOLATED, p->invert = false;
    return p->fn ? JT_OK : jt_regex_new(pattern, n, &p->regex, err);
}

jt_status jt_pretok_new(const jt_cut *split, size_t n, jt_pretok **out, jt_error *err) {
    jt_pretok *p = jt_alloc(1, sizeof *p);
    if (!p) return jt_nomem(err, "a pre-tokeniser", 1, sizeof *p);
    jt_status st = JT_OK;
    if (!(p->whole = jt_pretok_known(split, n))) {
        if (!(p->step = jt_alloc(n, sizeof *p->step))) st = jt_nomem(err, "a pre-tokeniser", n, sizeof *p->step);
        bool spelt = false;
        for (size_t i = 0; !st && i < n; i++) {
            st = step_init(&p->step[p->n++], &split[i], spelt, err);
            spelt |= split[i].kind == JT_CUT_BYTE_LEVEL;
        }
        if (!st && n == 1) p->whole = p->step[0].fn;
    }
    if (st)
        jt_pretok_free(p);
    else
        *out = p;
    return st;
}

void jt_pretok_free(jt_pretok *p) {
    if (!p) return;
    for (size_t i = 0; i < p->n; i++) {
        jt_regex_free(p->step[i].regex);
        jt_free(p->step[i].string);
    }
    jt_free(p->step);
    jt_free(p);
}

jt_pretok_fn *jt_pretok_whole(const jt_pretok *p) { return p->whole; }

/* ---- cutting ---- */

void jt_pieces_free(jt_pieces *w) {
    jt_free(w->p), jt_free(w->other);
    jt_regex_work_free(&w->regex);
    *w = (jt_pieces){0};
}

static jt_status piece_add(jt_pieces *w, size_t begin, size_t end, jt_error *err) {
    jt_status st = JT_OK;
    if (w->n == w->cap) st = jt_grow((void **)&w->p, &w->cap, w->n + 1, sizeof *w->p, err);
    if (!st) w->p[w->n++] = (jt_piece){begin, end};
    return st;
}

/* Spans of one text, matches and what lies between them, on their way to pieces. */
typedef struct pretok_spans {
    jt_pieces *w;
    size_t first; /* pieces before those of this text */
    int behaviour;
    bool invert, was; /* was: the last span was a match */
    bool ask;         /* of the first step, if the caller asks: later ones cut texts that have ended */
} pretok_spans;

static jt_status span_add(pretok_spans *o, size_t begin, size_t end, bool match, jt_error *err) {
    jt_pieces *w = o->w;
    bool any = w->n > o->first, was = o->was, join = false;
    match ^= o->invert;
    if (begin == end) return JT_OK;
    o->was = match;
    if (o->behaviour == JT_CUT_REMOVED && match) return JT_OK;
    if (o->behaviour == JT_CUT_CONTIGUOUS) join = any && was == match;
    if (o->behaviour == JT_CUT_PREVIOUS) join = any && match && !was;
    if (o->behaviour == JT_CUT_NEXT) join = any && !match && was;
    if (!join) return piece_add(w, begin, end, err);
    w->p[w->n - 1].end = end;
    return JT_OK;
}

/* Is the character at i one that the step sets apart? */
static bool step_takes(const pretok_step *p, const jt_scan *x, size_t i, unsigned c) {
    if (p->kind == JT_CUT_DIGITS) return c & (JT_SET_NUMBER | JT_SET(DIGIT17));
    if (p->kind == JT_CUT_SPACES) return c & JT_SET_SPACE;
    if ((unsigned char)x->s[i] < 0x80) return c & (JT_SET(PUNCT) | JT_SET(SYMBOL));
    return c != JT_SET_END && jt_normal_kind_of(jt_scan_code(x, i)) & JT_NORMAL_PUNCT;
}

/* Bytes that are numbers in GPT-2's alphabet: digits, and superscripts and fractions of Latin-1. */
static bool step_spelt(unsigned char b) {
    return (b >= '0' && b <= '9') || b == 0xb2 || b == 0xb3 || b == 0xb9 || (b >= 0xbc && b <= 0xbe);
}

/* Steps that look at single characters. *open: where what more text could change begins. */
static jt_status cut_chars(const pretok_step *p, jt_scan *x, size_t base, pretok_spans *o, size_t *open, jt_error *err) {
    jt_status st = JT_OK;
    size_t from = 0, w;
    for (size_t i = 0; !st && i < x->n; i += w) {
        unsigned c = jt_scan_peek(x, i, &w);
        if (p->spelt) w = 1, c = step_spelt((unsigned char)x->s[i]) ? JT_SET_NUMBER : JT_SET(OTHER);
        if (p->kind == JT_CUT_BERT && c & JT_SET_SPACE) {
            st = span_add(o, base + from, base + i, false, err);
            from = i + w;
        } else if (step_takes(p, x, i, c)) {
            st = span_add(o, base + from, base + i, false, err);
            if (!st) st = span_add(o, base + i, base + i + w, true, err);
            from = i + w;
        }
    }
    *open = from;
    return st ? st : span_add(o, base + from, base + x->n, false, err);
}

static jt_status cut_string(const pretok_step *p, jt_scan *x, size_t base, pretok_spans *o, size_t *open, jt_error *err) {
    jt_status st = JT_OK;
    size_t from = 0;
    while (!st && p->string_n) {
        const char *hit = from < x->n ? memmem(x->s + from, x->n - from, p->string, p->string_n) : NULL;
        if (!hit) break;
        size_t at = (size_t)(hit - x->s);
        st = span_add(o, base + from, base + at, false, err);
        if (!st) st = span_add(o, base + at, base + at + p->string_n, true, err);
        from = at + p->string_n;
    }
    *open = from;
    return st ? st : span_add(o, base + from, base + x->n, false, err);
}

/* The text without a character at its end that more text may complete. */
static size_t whole_chars(jt_scan *x) {
    size_t w;
    for (size_t i = x->n > 3 ? x->n - 3 : 0; i < x->n; i++) {
        x->open = false;
        if (jt_scan_peek(x, i, &w) & JT_SET(OTHER) && x->open) return i;
    }
    return x->n;
}

static jt_status cut_regex(const pretok_step *p, jt_scan *x, size_t base, pretok_spans *o, size_t *open, jt_error *err) {
    size_t from = 0, at = 0, last = SIZE_MAX, n = x->n; /* last: where a match ended */
    const char *s;
    if (o->ask) n = whole_chars(x);
    jt_status st = jt_regex_text(&o->w->regex, x->s, n, &s, err);
    *open = SIZE_MAX;
    while (!st && at <= n) {
        jt_regex_match m;
        if ((st = jt_regex_next(p->regex, &o->w->regex, s, n, at, o->ask, &m, err))) break;
        if (m.open && *open == SIZE_MAX) *open = from;
        if (!m.found) break;
        if (m.begin == m.end && m.end == last) { /* nothing, right after a match, is none */
            int k = at < n ? jt_utf8_next(s + at, n - at, NULL) : 1;
            at += k ? (size_t)k : 1;
            last = SIZE_MAX;
            continue;
        }
        st = span_add(o, base + from, base + m.begin, false, err);
        if (!st) st = span_add(o, base + m.begin, base + m.end, true, err);
        from = at = last = m.end;
    }
    if (*open > from) *open = from;
    return st ? st : span_add(o, base + from, base + x->n, false, err);
}

static jt_status cut_fn(jt_pretok_fn *fn, jt_scan *x, size_t base, jt_pieces *w, size_t *open, jt_error *err) {
    jt_status st = JT_OK;
    *open = x->n;
    for (size_t at = 0, end; !st && at < x->n; at = end) {
        x->open = false;
        end = fn(x, at);
        if (x->open && at < *open) *open = at;
        st = piece_add(w, base + at, base + end, err);
    }
    return st;
}

static jt_status cut_text(const pretok_step *p, const char *s, jt_piece t, bool ask, jt_pieces *w, size_t *open, jt_error *err) {
    jt_scan x = {s + t.begin, t.end - t.begin, false};
    pretok_spans o = {w, w->n, p->behaviour, p->invert, false, ask};
    jt_status st;
    if (p->fn) return cut_fn(p->fn, &x, t.begin, w, open, err);
    if (p->kind == JT_CUT_STRING)
        st = cut_string(p, &x, t.begin, &o, open, err);
    else if (p->kind == JT_CUT_REGEX)
        st = cut_regex(p, &x, t.begin, &o, open, err);
    else
        st = cut_chars(p, &x, t.begin, &o, open, err);
    /* A match may yet be joined to what stands before it. */
    if (!st && p->behaviour != JT_CUT_ISOLATED && p->behaviour != JT_CUT_REMOVED)
        for (size_t i = w->n; i-- > o.first && w->p[i].end >= *open + t.begin;) *open = w->p[i].begin - t.begin;
    return st;
}

jt_status jt_pretok_cut(const jt_pretok *p, const char *s, size_t n, jt_pieces *w, jt_error *err) {
    jt_status st = JT_OK;
    size_t open = 0;
    w->n = 0, w->open = n;
    if (!n) return JT_OK;
    if (p->whole) return cut_fn(p->whole, &(jt_scan){s, n, false}, 0, w, &w->open, err);
    w->open = 0;
    if ((st = piece_add(w, 0, n, err))) return st;
    for (size_t k = 0; !st && k < p->n; k++) {
        jt_piece *swap = w->p;
        size_t cap = w->cap, count = w->n;
        w->p = w->other, w->cap = w->other_cap, w->n = 0;
        w->other = swap, w->other_cap = cap;
        for (size_t i = 0; !st && i < count; i++) st = cut_text(&p->step[k], s, w->other[i], w->ask && !k, w, &open, err);
        if (!k) w->open = open;
    }
    return st;
}

/* ---- where long texts are parted ---- */

size_t jt_pretok_border(const jt_pretok *p, const char *s, size_t n, size_t at) {
    jt_scan x = {s, n, false};
    size_t w;
    for (size_t i = at < 2 ? 2 : at + 1; p->whole && i + 1 < n; i++) {
        unsigned here = jt_unicode_first[(unsigned char)s[i]], before = jt_unicode_first[(unsigned char)s[i - 1]];
        /* Before the space between two words: no pattern goes on over it, and none looks back. */
        if (s[i] == ' ' && before & JT_SET_LETTER && jt_unicode_first[(unsigned char)s[i + 1]] & JT_SET_LETTER) return i;
        /* After the line break that ends a line, before a letter. */
        if (s[i - 1] != '\n' || (here && !(here & JT_SET_LETTER)) || !(jt_scan_peek(&x, i, &w) & JT_SET_LETTER)) continue;
        size_t k = i - 2;
        while (k > 0 && i - k < 5 && ((unsigned char)s[k] & 0xc0) == 0x80) k--;
        if (!(jt_scan_peek(&x, k, &w) & JT_SET_SPACE)) return i;
    }
    return n;
}
