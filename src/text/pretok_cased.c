/* pretok_cased.c: the patterns after o200k, which begin a new word at a capital that follows small letters.
 *
 *   word      [^\r\n\p{L}\p{N}]? U* W+ suffix | [^\r\n\p{L}\p{N}]? U+ W* suffix
 *             U = [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}], W = [\p{Ll}\p{Lm}\p{Lo}\p{M}]
 *   o200k     word with suffix = (?i:'s|'t|'re|'ve|'m|'ll|'d)?, then
 *             \p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
 *   tekken    the same without suffix, and with \p{N}
 *   kimi      \p{Han}+ first, U and W without \p{Han}, and [\r\n]* in place of [\r\n/]* */
#include "text/pretok_scan.h"

typedef struct cased_shape {
    int numbers, contract;
    bool slash, han;
} cased_shape;

/* \p{Han}, Unicode 16. */
static bool han_has(uint32_t c) {
    static const uint32_t range[][2] = {{0x2e80, 0x2e99},   {0x2e9b, 0x2ef3},   {0x2f00, 0x2fd5},   {0x3005, 0x3005},   {0x3007, 0x3007},
                                        {0x3021, 0x3029},   {0x3038, 0x303b},   {0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfa6d},
                                        {0xfa70, 0xfad9},   {0x16fe2, 0x16fe3}, {0x16ff0, 0x16ff1}, {0x20000, 0x2a6df}, {0x2a700, 0x2b739},
                                        {0x2b740, 0x2b81d}, {0x2b820, 0x2cea1}, {0x2ceb0, 0x2ebe0}, {0x2ebf0, 0x2ee5d}, {0x2f800, 0x2fa1d},
                                        {0x30000, 0x3134a}, {0x31350, 0x323af}};
    if (c < 0x2e80) return false;
    for (size_t i = 0; i < sizeof range / sizeof *range; i++)
        if (c <= range[i][1]) return c >= range[i][0];
    return false;
}

static inline bool han_at(const jt_scan *x, size_t i) { return i < x->n && (unsigned char)x->s[i] >= 0xe2 && han_has(jt_scan_code(x, i)); }

/* The end of the word whose letters begin at i, 0 if there is none. The first alternative gives back capitals until what
 * remains of U* is followed by one of W: that is behind the last character of both kinds, or all when small letters follow. */
static inline size_t cased_word(jt_scan *x, size_t i, bool han) {
    enum { BOTH = JT_SET(LETTER) | JT_SET_MARK, UPPER = BOTH | JT_SET(UPPER), LOWER = BOTH | JT_SET(LOWER) };
    size_t w, both = 0, from = i;
    unsigned c = jt_scan_peek(x, i, &w);
    for (; c & UPPER && !(han && han_at(x, i)); c = jt_scan_peek(x, i, &w)) {
        i += w;
        if (c & BOTH) both = i;
    }
    if (c & LOWER && !(han && han_at(x, i))) {
        do {
            i += w;
            c = jt_scan_peek(x, i, &w);
        } while (c & LOWER && !(han && han_at(x, i)));
        return i;
    }
    if (both) return both;
    return i > from ? i : 0;
}

static inline size_t cased(jt_scan *x, size_t at, cased_shape k) {
    size_t w, w2, end = 0;
    unsigned c = jt_scan_peek(x, at, &w);
    if (k.han && han_at(x, at)) {
        do at += w;
        while (jt_scan_peek(x, at, &w) != JT_SET_END && han_at(x, at));
        return at;
    }
    if (c & JT_SET_LETTER) {
        end = cased_word(x, at, k.han);
    } else if (!(c & JT_SET_NUMBER) && !jt_scan_newline(x, at)) {
        /* A mark before capitals alone is no prefix of them: without it, the first alternative still matches the mark. */
        end = cased_word(x, at + w, k.han);
        if (c & JT_SET_MARK) {
            size_t alone = cased_word(x, at, k.han);
            if (!end || alone == at + w) end = alone;
        }
    }
    if (end) return end + (k.contract && jt_scan_byte(x, end) == '\'' ? jt_scan_contraction(x, end, k.contract) : 0);
    if (c & JT_SET_NUMBER) {
        at += w;
        for (int i = 1; i < k.numbers && jt_scan_peek(x, at, &w) & JT_SET_NUMBER; i++) at += w;
        return at;
    }
    if (c & JT_SET_REST || (x->s[at] == ' ' && jt_scan_peek(x, at + 1, &w2) & JT_SET_REST)) {
        end = jt_scan_run(x, at + w, JT_SET_REST);
        for (int b; (b = jt_scan_byte(x, end)) == '\n' || b == '\r' || (k.slash && b == '/');) end++;
        return end;
    }
    size_t line = 0;
    end = at;
    while (jt_scan_peek(x, end, &w) & JT_SET_SPACE) {
        if (jt_scan_newline(x, end)) line = end + 1;
        end += w;
    }
    return line ? line : jt_scan_white(x, at, end, jt_scan_peek(x, end, &w) != JT_SET_END);
}

size_t jt_pretok_o200k(jt_scan *x, size_t at) { return cased(x, at, (cased_shape){3, JT_CONTRACT_FOLD, true, false}); }
size_t jt_pretok_tekken(jt_scan *x, size_t at) { return cased(x, at, (cased_shape){1, JT_CONTRACT_NONE, true, false}); }
size_t jt_pretok_kimi(jt_scan *x, size_t at) { return cased(x, at, (cased_shape){3, JT_CONTRACT_FOLD, false, true}); }
