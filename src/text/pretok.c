/* pretok.c: the pre-tokenisers of GPT-2, SmolLM and Llama 3, without a regex engine.
 *
 * gpt2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * smollm  each number character alone, then gpt2 on what lies between
 * llama3  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 *
 * Alternatives are tried in order and repeat as often as they can, so each is a
 * scan over runs of one class. \s+(?!\S) gives back the last character of a run
 * of white space that a word follows; that character begins the next piece. */
#include "text/pretok.h"

#include <string.h>

#include "text/unicode.h"

enum { CLASS_END = 8 }; /* the class past the last character */

#define CLASS_SET(c) (1u << (c))
enum {
    SET_LETTER = CLASS_SET(JT_CLASS_LETTER),
    SET_NUMBER = CLASS_SET(JT_CLASS_NUMBER),
    SET_SPACE = CLASS_SET(JT_CLASS_SPACE),
    SET_SINGLE = SET_NUMBER | CLASS_SET(JT_CLASS_DIGIT17), /* what "digits" sets apart */
    SET_REST = CLASS_SET(JT_CLASS_OTHER) | CLASS_SET(JT_CLASS_MARK) | CLASS_SET(JT_CLASS_PUNCT) |
               CLASS_SET(JT_CLASS_SYMBOL) /* [^\s\p{L}\p{N}], less DIGIT17 */
};

/* The class of the character at i as a one-bit set, and its width in bytes. */
static inline unsigned peek(const char *s, size_t n, size_t i, size_t *width) {
    *width = 1;
    if (i >= n) return CLASS_SET(CLASS_END);
    unsigned char c = (unsigned char)s[i];
    if (c < 0x80) return CLASS_SET((unsigned)(jt_unicode_block[0][c >> 4] >> (c & 15) * 4) & 15);
    uint32_t cp;
    int w = jt_utf8_next(s + i, n - i, &cp);
    if (!w) return CLASS_SET(JT_CLASS_OTHER);
    *width = (size_t)w;
    return CLASS_SET(jt_unicode_class(cp));
}

/* The end of the run of characters in `set` that begins at i. */
static inline size_t class_run(const char *s, size_t n, size_t i, unsigned set) {
    size_t w;
    while (peek(s, n, i, &w) & set) i += w;
    return i;
}

/* Bytes of a contraction at s[0..n), which begins with an apostrophe; 0 if there is none. */
static size_t contraction(const char *s, size_t n, bool fold) {
    if (n < 2) return 0;
    char a = s[1], b = n > 2 ? s[2] : 0;
    if (fold) {
        if (n > 2 && a == '\xc5' && b == '\xbf') return 3; /* U+017F folds to s */
        if (a >= 'A' && a <= 'Z') a = (char)(a + 32);
        if (b >= 'A' && b <= 'Z') b = (char)(b + 32);
    }
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
    return 0;
}

/* \s+(?!\S)|\s+ on the white space [at, end), given whether a word follows it. */
static size_t white(const char *s, size_t n, size_t at, size_t end, bool word_follows) {
    if (!word_follows) return end;
    size_t last = end - 1, w;
    while (last > at && ((unsigned char)s[last] & 0xc0) == 0x80) last--;
    peek(s, n, at, &w);
    return end - at > w ? last : end;
}

/* gpt2; characters in `single` stand alone, and the text ends before them as far as the rest can see. */
static inline size_t gpt2(const char *s, size_t n, size_t at, unsigned single) {
    size_t w, w2;
    unsigned c = peek(s, n, at, &w), rest = SET_REST | (CLASS_SET(JT_CLASS_DIGIT17) & ~single);
    if (c & SET_LETTER) return class_run(s, n, at + w, SET_LETTER);
    if (c & single) return at + w;
    if (c & SET_NUMBER) return class_run(s, n, at + w, SET_NUMBER);
    if (s[at] == '\'') {
        size_t k = contraction(s + at, n - at, false);
        if (k) return at + k;
    }
    if (c & rest) return class_run(s, n, at + w, rest);
    unsigned d = peek(s, n, at + w, &w2);
    if (s[at] == ' ' && !(d & single)) {
        unsigned set = d & SET_LETTER ? (unsigned)SET_LETTER : d & SET_NUMBER ? (unsigned)SET_NUMBER : d & rest ? rest : 0;
        if (set) return class_run(s, n, at + w + w2, set);
    }
    size_t end = class_run(s, n, at + w, SET_SPACE);
    d = peek(s, n, end, &w2);
    return white(s, n, at, end, !(d & (CLASS_SET(CLASS_END) | single)));
}

static size_t pretok_gpt2(const char *s, size_t n, size_t at) { return gpt2(s, n, at, 0); }
static size_t pretok_smollm(const char *s, size_t n, size_t at) { return gpt2(s, n, at, SET_SINGLE); }

static size_t pretok_llama3(const char *s, size_t n, size_t at) {
    enum { SET_OTHER = SET_REST | CLASS_SET(JT_CLASS_DIGIT17) };
    size_t w, w2;
    unsigned c = peek(s, n, at, &w);
    if (c & SET_LETTER) return class_run(s, n, at + w, SET_LETTER);
    if (c & SET_NUMBER) {
        at += w;
        for (int i = 0; i < 2 && peek(s, n, at, &w) & SET_NUMBER; i++) at += w;
        return at;
    }
    if (s[at] == '\'') {
        size_t k = contraction(s + at, n - at, true);
        if (k) return at + k;
    }
    bool newline = s[at] == '\n' || s[at] == '\r';
    unsigned d = peek(s, n, at + w, &w2);
    if (!newline && d & SET_LETTER) return class_run(s, n, at + w + w2, SET_LETTER);
    if (c & SET_OTHER || (s[at] == ' ' && d & SET_OTHER)) {
        size_t end = class_run(s, n, at + w, SET_OTHER);
        while (end < n && (s[end] == '\n' || s[end] == '\r')) end++;
        return end;
    }
    size_t end = at, line = 0; /* line: past the last line break in the white space */
    while (peek(s, n, end, &w) & SET_SPACE) {
        if (s[end] == '\n' || s[end] == '\r') line = end + 1;
        end += w;
    }
    return line ? line : white(s, n, at, end, end < n);
}

static const jt_pretok presets[] = {
    {"smollm", pretok_smollm, false, false},  {"starcoder", pretok_smollm, false, false}, {"refact", pretok_smollm, false, false},
    {"gpt-2", pretok_gpt2, false, false},     {"phi-2", pretok_gpt2, false, false},       {"modern-bert", pretok_gpt2, false, false, true},
    {"llama-bpe", pretok_llama3, true, true}, {"llama-v3", pretok_llama3, true, true},    {"llama3", pretok_llama3, true, true},
};

const jt_pretok *jt_pretok_find(const char *name, size_t n) {
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        if (strlen(presets[i].name) == n && !memcmp(presets[i].name, name, n)) return &presets[i];
    return NULL;
}

void jt_pretok_names(jt_str *out) {
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        if (i) jt_str_puts(out, ", ");
        jt_str_puts(out, presets[i].name);
    }
}
