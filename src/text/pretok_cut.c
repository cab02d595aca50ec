/* pretok_cut.c: patterns that leave characters over, which make pieces of their own between matches.
 *
 * deepseek3  \p{N}{1,3}, then [U+4E00-U+9FA5 U+3040-U+30FF]+, then between them and on the latter
 *            [!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*
 *            |\s*[\r\n]+|\s+(?!\S)|\s+
 * bloom       ?[^(\s|.,!?)]+ with U+2026, 3002, FF0C, 3001, 0964, 06D4 and 060C also in the brackets
 * viking     each number alone, and bloom between them: its words see them, so a space before one stands alone */
#include "text/pretok_scan.h"

/* ---- DeepSeek V3 ---- */

enum {
    DEEPSEEK_WORD = JT_SET_LETTER | JT_SET_MARK,
    DEEPSEEK_SIGN = JT_SET(PUNCT) | JT_SET(SYMBOL),
    DEEPSEEK_OTHER = JT_SET(OTHER) | JT_SET(DIGIT17)
};

static inline bool deepseek_cjk(const jt_scan *x, size_t i, size_t w) {
    if (w != 3) return false;
    const unsigned char *s = (const unsigned char *)x->s + i;
    unsigned u = (s[0] & 0xfu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu);
    return (u >= 0x4e00 && u <= 0x9fa5) || (u >= 0x3040 && u <= 0x30ff);
}

/* The class, where the text ends at a number and where Chinese characters and kana begin or, `inside` them, end. */
static inline unsigned deepseek_peek(jt_scan *x, size_t i, size_t *w, bool inside) {
    unsigned c = jt_scan_peek(x, i, w);
    return c & JT_SET_NUMBER || deepseek_cjk(x, i, *w) != inside ? (unsigned)JT_SET_END : c;
}

static inline size_t deepseek_run(jt_scan *x, size_t i, unsigned set, bool inside) {
    size_t w;
    while (deepseek_peek(x, i, &w, inside) & set) i += w;
    return i;
}

static inline bool deepseek_ascii(int b) { return (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z'); }

/* The last of the three expressions, on what the first two leave or on a match of the second. */
static inline size_t deepseek_main(jt_scan *x, size_t at, bool in) {
    size_t w, w2;
    unsigned c = deepseek_peek(x, at, &w, in), d;
    if (c & DEEPSEEK_WORD) return deepseek_run(x, at + w, DEEPSEEK_WORD, in);
    if (c & DEEPSEEK_SIGN) {
        if ((unsigned char)x->s[at] < 0x80 && deepseek_ascii(jt_scan_byte(x, at + 1))) {
            do at++;
            while (deepseek_ascii(jt_scan_byte(x, at + 1)));
            return at + 1;
        }
    } else if (!jt_scan_newline(x, at)) {
        d = deepseek_peek(x, at + w, &w2, in);
        if (d & DEEPSEEK_WORD) return deepseek_run(x, at + w + w2, DEEPSEEK_WORD, in);
        if (x->s[at] == ' ' && d & DEEPSEEK_SIGN) c = DEEPSEEK_SIGN;
        while (c & DEEPSEEK_OTHER) { /* left over up to what something matches */
            at += w;
            c = deepseek_peek(x, at, &w, in);
            if (!(c & DEEPSEEK_OTHER) || deepseek_peek(x, at + w, &w2, in) & DEEPSEEK_WORD) return at;
        }
    }
    if (c & DEEPSEEK_SIGN) {
        size_t end = deepseek_run(x, at + w, DEEPSEEK_SIGN, in);
        for (int b; !in && ((b = jt_scan_byte(x, end)) == '\n' || b == '\r');) end++;
        return end;
    }
    size_t end = at, line = 0;
    while (jt_scan_peek(x, end, &w) & JT_SET_SPACE) {
        if (jt_scan_newline(x, end)) line = end + 1;
        end += w;
    }
    return line ? line : jt_scan_white(x, at, end, !(deepseek_peek(x, end, &w, in) & JT_SET_END));
}

size_t jt_pretok_deepseek3(jt_scan *x, size_t at) {
    size_t w;
    unsigned c = jt_scan_peek(x, at, &w);
    if (c & JT_SET_NUMBER) {
        at += w;
        for (int i = 1; i < 3 && jt_scan_peek(x, at, &w) & JT_SET_NUMBER; i++) at += w;
        return at;
    }
    return deepseek_cjk(x, at, w) ? deepseek_main(x, at, true) : deepseek_main(x, at, false);
}

/* ---- BLOOM ---- */

/* Does the character at i, of class c, end a word of BLOOM's? */
static bool bloom_stop(const jt_scan *x, size_t i, unsigned c) {
    static const uint32_t more[] = {0x2026, 0x3002, 0xff0c, 0x3001, 0x964, 0x6d4, 0x60c};
    if (c & (JT_SET_SPACE | JT_SET_END)) return true;
    unsigned char b = (unsigned char)x->s[i];
    if (b < 0x80) return b == '(' || b == '|' || b == '.' || b == ',' || b == '!' || b == '?' || b == ')';
    uint32_t u = c & JT_SET(PUNCT) ? jt_scan_code(x, i) : 0;
    for (size_t k = 0; k < sizeof more / sizeof *more; k++)
        if (u == more[k]) return true;
    return false;
}

static inline size_t bloom(jt_scan *x, size_t at, unsigned single) {
    size_t w, w2, i = at;
    unsigned c = jt_scan_peek(x, at, &w);
    if (c & single) return at + w;
    for (bool gap = false;; gap = true) {
        size_t from = i;
        if (x->s[i] == ' ') {
            unsigned d = jt_scan_peek(x, i + 1, &w2);
            if (d & single && gap) return i;
            if (!(d & single) && !bloom_stop(x, i + 1, d)) i += w, c = d, w = w2;
        }
        if (!bloom_stop(x, i, c)) {
            if (gap) return from;
            do {
                i += w;
                c = jt_scan_peek(x, i, &w);
            } while (!(c & single) && !bloom_stop(x, i, c));
            return i;
        }
        i += w;
        c = jt_scan_peek(x, i, &w);
        if (c & (JT_SET_END | single)) return i;
    }
}

size_t jt_pretok_bloom(jt_scan *x, size_t at) { return bloom(x, at, 0); }
size_t jt_pretok_viking(jt_scan *x, size_t at) { return bloom(x, at, JT_SET_NUMBER); }
