/* pretok_scan.h: what hand-written pre-tokenisers are made of: characters as sets of one bit for their class, runs of a set,
 * and a note of whether the end of the text was looked at. */
#ifndef JT_TEXT_PRETOK_SCAN_H
#define JT_TEXT_PRETOK_SCAN_H

#include "text/pretok.h"
#include "text/unicode.h"

#define JT_SET(c) (1u << JT_CLASS_##c)
enum {
    JT_SET_LETTER = JT_SET(LETTER) | JT_SET(UPPER) | JT_SET(LOWER),
    JT_SET_MARK = JT_SET(MARK),
    JT_SET_NUMBER = JT_SET(NUMBER),
    JT_SET_SPACE = JT_SET(SPACE),
    JT_SET_REST = JT_SET(OTHER) | JT_SET(MARK) | JT_SET(PUNCT) | JT_SET(SYMBOL) | JT_SET(DIGIT17), /* [^\s\p{L}\p{N}] */
    JT_SET_END = 1 << 15
};

/* The set of a character that is not ASCII, or no character; *w is its width (pretok.c). */
unsigned jt_scan_more(jt_scan *x, size_t i, size_t *w);
/* The code point at i, or UINT32_MAX for what is none. */
uint32_t jt_scan_code(const jt_scan *x, size_t i);

/* The class of the character at i as a set, and its width in bytes. */
static inline unsigned jt_scan_peek(jt_scan *x, size_t i, size_t *w) {
    *w = 1;
    if (i >= x->n) {
        x->open = true;
        return JT_SET_END;
    }
    unsigned set = jt_unicode_first[(unsigned char)x->s[i]];
    return set ? set : jt_scan_more(x, i, w);
}

/* The byte at i, or -1 at the end. */
static inline int jt_scan_byte(jt_scan *x, size_t i) {
    if (i < x->n) return (unsigned char)x->s[i];
    x->open = true;
    return -1;
}

/* The end of the run of characters in `set` that begins at i. */
static inline size_t jt_scan_run(jt_scan *x, size_t i, unsigned set) {
    size_t w;
    while (jt_scan_peek(x, i, &w) & set) i += w;
    return i;
}

static inline bool jt_scan_newline(const jt_scan *x, size_t i) { return x->s[i] == '\n' || x->s[i] == '\r'; }

/* \s+(?!\S)|\s+ on the white space [at, end), given whether a word follows it: then its last character begins the next piece,
 * unless it is all there is. */
size_t jt_scan_white(const jt_scan *x, size_t at, size_t end, bool word_follows);

/* How 's, 't, 're, 've, 'm, 'll and 'd are told. */
enum {
    JT_CONTRACT_NONE,
    JT_CONTRACT_PLAIN, /* as written */
    JT_CONTRACT_ASCII, /* also in capitals */
    JT_CONTRACT_FOLD   /* also what folds to s in Unicode: U+017F */
};
/* Bytes of a contraction at `at`; 0 if there is none. */
size_t jt_scan_contraction(jt_scan *x, size_t at, int how);

/* ---- the functions by name; pretok_gpt.c, pretok_cased.c and pretok_cut.c say which pattern each stands for ---- */
jt_pretok_fn jt_pretok_gpt2, jt_pretok_smollm, jt_pretok_bloom, jt_pretok_viking, jt_pretok_deepseek3;

jt_pretok_fn jt_pretok_cl100k, jt_pretok_llama3, jt_pretok_llama3_ascii, jt_pretok_qwen2, jt_pretok_qwen2_ascii, jt_pretok_qwen35,
    jt_pretok_qwen35_ascii, jt_pretok_minicpm5, jt_pretok_seed, jt_pretok_ufakzeka;
jt_pretok_fn jt_pretok_o200k, jt_pretok_tekken, jt_pretok_kimi;

#endif
