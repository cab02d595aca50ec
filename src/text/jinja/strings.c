#include "text/jinja/strings.h"

#include <string.h>

#include "text/jinja/chars.h"

/* The character at `at` (or that ends at `end`), and its bytes. */
static uint32_t char_at(const jt_jstr *s, size_t at, size_t *w) {
    uint32_t cp = 0;
    int n = jt_utf8_next(s->s + at, s->n - at, &cp);
    *w = n > 0 ? (size_t)n : 1;
    return cp;
}
static uint32_t char_before(const jt_jstr *s, size_t end, size_t *w) {
    size_t at = end - 1;
    while (at && ((unsigned char)s->s[at] & 0xc0) == 0x80) at--;
    uint32_t cp = char_at(s, at, w);
    *w = end - at;
    return cp;
}

static bool white_char(uint32_t cp) {
    return cp < 0x80 ? (cp >= 9 && cp <= 13) || (cp >= 28 && cp <= 32) : jt_char_kind(cp) & JT_CHAR_SPACE;
}

size_t jt_jspace_past(const jt_jstr *s, size_t at) {
    for (size_t w; at < s->n && white_char(char_at(s, at, &w)); at += w) {
    }
    return at;
}
size_t jt_jspace_next(const jt_jstr *s, size_t at) {
    for (size_t w; at < s->n && !white_char(char_at(s, at, &w)); at += w) {
    }
    return at;
}
size_t jt_jspace_before(const jt_jstr *s, size_t end) {
    for (size_t w; end && white_char(char_before(s, end, &w)); end -= w) {
    }
    return end;
}
size_t jt_jspace_last(const jt_jstr *s, size_t end) {
    for (size_t w; end && !white_char(char_before(s, end, &w)); end -= w) {
    }
    return end;
}

/* ---- case ---- */

/* A capital sigma at [at, at + 2) ends a word: a cased letter before it and none behind, whatever is between that does not count. */
static bool final_sigma(const jt_jstr *s, size_t at) {
    size_t w;
    bool before = false;
    for (size_t i = at; i;) {
        unsigned k = jt_char_kind(char_before(s, i, &w));
        i -= w;
        if (k & JT_CHAR_IGNORABLE) continue;
        before = k & JT_CHAR_CASED;
        break;
    }
    if (!before) return false;
    for (size_t i = at + 2; i < s->n; i += w) {
        unsigned k = jt_char_kind(char_at(s, i, &w));
        if (!(k & JT_CHAR_IGNORABLE)) return !(k & JT_CHAR_CASED);
    }
    return true;
}

static bool put_case(jt_jbuf *b, const jt_jstr *s, size_t at, uint32_t cp, jt_char_case to) {
    uint32_t o[3];
    int n = 1;
    if (to == JT_CHAR_TO_LOWER && cp == 0x3a3)
        o[0] = final_sigma(s, at) ? 0x3c2 : 0x3c3;
    else
        n = jt_char_map(cp, to, o);
    bool ok = true;
    for (int i = 0; ok && i < n; i++) ok = jt_jbuf_char(b, o[i], s->m && s->m[at]);
    return ok;
}

const jt_jstr *jt_jstr_case(jt_jrun *r, const jt_jstr *s, jt_jcase how) {
    jt_jbuf b = {.r = r};
    bool in_word = false;
    size_t w;
    if (!jt_jstep(r, s->n / 8)) return NULL;
    for (size_t i = 0; i < s->n; i += w) {
        uint32_t cp = char_at(s, i, &w);
        unsigned k = jt_char_kind(cp);
        jt_char_case to = how == JT_J_UPPER ? JT_CHAR_TO_UPPER : how == JT_J_FOLD ? JT_CHAR_TO_FOLD : JT_CHAR_TO_LOWER;
        if (how == JT_J_TITLE && !in_word) to = JT_CHAR_TO_TITLE;
        if (how == JT_J_CAPITAL && !i) to = JT_CHAR_TO_TITLE;
        if (how == JT_J_SWAP) to = k & JT_CHAR_UPPER ? JT_CHAR_TO_LOWER : JT_CHAR_TO_UPPER;
        bool leave = how == JT_J_SWAP && !(k & (JT_CHAR_UPPER | JT_CHAR_LOWER));
        if (!(leave ? jt_jbuf_part(&b, s, i, i + w) : put_case(&b, s, i, cp, to))) return NULL;
        in_word = k & JT_CHAR_CASED;
    }
    return jt_jbuf_end(&b);
}

bool jt_jstr_all(const jt_jstr *s, unsigned kind) {
    size_t w;
    for (size_t i = 0; i < s->n; i += w)
        if (!(jt_char_kind(char_at(s, i, &w)) & kind)) return false;
    return s->n != 0;
}

bool jt_jstr_cased(const jt_jstr *s, unsigned kind, unsigned not ) {
    size_t w;
    bool any = false;
    for (size_t i = 0; i < s->n; i += w) {
        unsigned k = jt_char_kind(char_at(s, i, &w));
        if (k & not ) return false;
        any = any || k & kind;
    }
    return any;
}

/* ---- cutting and joining ---- */

static bool has_char(const jt_jstr *chars, const char *c, size_t w) {
    jt_jstr one = {.s = c, .n = w};
    return jt_jstr_find(chars, &one, 0) != SIZE_MAX;
}

const jt_jstr *jt_jstr_strip(jt_jrun *r, const jt_jstr *s, const jt_jstr *chars, bool left, bool right) {
    size_t from = 0, to = s->n, w;
    if (!chars) {
        if (left) from = jt_jspace_past(s, 0);
        if (right && from < to) to = jt_jspace_before(s, to);
        return jt_jstep(r, s->n / 64) ? jt_jstr_cut(r, s, from, to) : NULL;
    }
    if (!jt_jstep(r, (s->n / 16) * (chars->n / 16 + 1))) return NULL;
    for (; left && from < to; from += w) {
        char_at(s, from, &w);
        if (!has_char(chars, s->s + from, w)) break;
    }
    for (; right && from < to; to -= w) {
        char_before(s, to, &w);
        if (!has_char(chars, s->s + to - w, w)) break;
    }
    return jt_jstr_cut(r, s, from, to);
}

const jt_jstr *jt_jstr_replace(jt_jrun *r, const jt_jstr *s, const jt_jstr *from, const jt_jstr *to, int64_t most) {
    jt_jbuf b = {.r = r};
    size_t at = 0, w;
    if (!from->n) { /* before every character, and at the end */
        for (; most; most--) {
            if (!jt_jbuf_str(&b, to) || !jt_jstep(r, 1)) return NULL;
            if (at == s->n) break;
            char_at(s, at, &w);
            if (!jt_jbuf_part(&b, s, at, at + w)) return NULL;
            at += w;
        }
        return jt_jbuf_part(&b, s, at, s->n) ? jt_jbuf_end(&b) : NULL;
    }
    for (size_t next; most && (next = jt_jstr_find(s, from, at)) != SIZE_MAX; most--) {
        if (!jt_jbuf_part(&b, s, at, next) || !jt_jbuf_str(&b, to) || !jt_jstep(r, 1)) return NULL;
        at = next + from->n;
    }
    if (!at) return s;
    return jt_jbuf_part(&b, s, at, s->n) ? jt_jbuf_end(&b) : NULL;
}

/* Bytes of the line break at `at`, 0 if there is none. */
static size_t line_break(const jt_jstr *s, size_t at) {
    unsigned char c = (unsigned char)s->s[at];
    size_t left = s->n - at;
    if (c == '\r') return 1 + (left > 1 && s->s[at + 1] == '\n');
    if ((c >= '\n' && c <= '\f') || (c >= 0x1c && c <= 0x1e)) return 1;
    if (c == 0xc2 && left > 1 && (unsigned char)s->s[at + 1] == 0x85) return 2;
    if (left > 2 && (!memcmp(s->s + at, "\xe2\x80\xa8", 3) || !memcmp(s->s + at, "\xe2\x80\xa9", 3))) return 3;
    return 0;
}

jt_jlist *jt_jstr_lines(jt_jrun *r, const jt_jstr *s, bool keep_ends) {
    jt_jlist *l = jt_jlist_new(r, 0);
    size_t begin = 0;
    if (!l) return NULL;
    for (size_t i = 0; i < s->n;) {
        size_t w = line_break(s, i);
        if (!w && ++i < s->n) continue;
        const jt_jstr *one = jt_jstr_cut(r, s, begin, keep_ends ? i + w : i);
        if (!one || !jt_jstep(r, 1) || !jt_jlist_push(r, l, jt_jstring(one))) return NULL;
        begin = i += w;
    }
    return l;
}

const jt_jstr *jt_jstr_pad(jt_jrun *r, const jt_jstr *s, int64_t width, const jt_jstr *fill, char side) {
    jt_jbuf b = {.r = r};
    size_t more = width > (int64_t)s->len ? (size_t)width - s->len : 0;
    size_t left = side == '<' ? 0 : side == '>' ? more : more / 2 + (more & (size_t)width & 1);
    if (!more) return s;
    if (fill && fill->n == 1 && !fill->m)
        return jt_jbuf_fill(&b, fill->s[0], left) && jt_jbuf_str(&b, s) && jt_jbuf_fill(&b, fill->s[0], more - left) ? jt_jbuf_end(&b)
                                                                                                                     : NULL;
    if (!fill) return jt_jbuf_fill(&b, ' ', left) && jt_jbuf_str(&b, s) && jt_jbuf_fill(&b, ' ', more - left) ? jt_jbuf_end(&b) : NULL;
    for (size_t i = 0; i <= more; i++) {
        if (i == left && !jt_jbuf_str(&b, s)) return NULL;
        if (i < more && (!jt_jbuf_str(&b, fill) || !jt_jstep(r, 1))) return NULL;
    }
    return jt_jbuf_end(&b);
}
