/* pretok_gpt.c: GPT-2's pattern and those made from it that do not tell capitals from small letters.
 *
 * gpt2      's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * smollm    each number character alone, then gpt2 on what lies between
 * llama3    (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 * qwen2     the same with \p{N}
 * qwen35    qwen2 with [\p{L}\p{M}] for \p{L} where it is wanted, [^\s\p{L}\p{M}\p{N}] for signs
 * minicpm5  three numbers at a time, then llama3 on what lies between
 * bailing   qwen2: its possessive operators and its single line break change nothing
 * cl100k    llama3 as tiktoken writes it, with \s++$ before \s*[\r\n]
 * seed      qwen2 without [\r\n]*
 * ufakzeka  qwen2 without contractions
 *
 * Alternatives are tried in order and repeat as often as they can, so each is a scan over runs of one class. */
#include "text/pretok_scan.h"

enum { GPT_SINGLE = JT_SET_NUMBER | JT_SET(DIGIT17) }; /* what "digits" sets apart */

/* gpt2; characters in `single` stand alone, and the text ends before them as far as the rest can see. */
static inline size_t gpt2(jt_scan *x, size_t at, unsigned single) {
    size_t w, w2;
    unsigned c = jt_scan_peek(x, at, &w), rest = JT_SET_REST & ~single;
    if (c & JT_SET_LETTER) return jt_scan_run(x, at + w, JT_SET_LETTER);
    if (x->s[at] == ' ') {
        unsigned d = jt_scan_peek(x, at + 1, &w2);
        if (d & JT_SET_LETTER) return jt_scan_run(x, at + 1 + w2, JT_SET_LETTER);
        if (d & rest) return jt_scan_run(x, at + 1 + w2, rest);
        if (d & JT_SET_NUMBER & ~single) return jt_scan_run(x, at + 1 + w2, JT_SET_NUMBER);
    }
    if (c & single) return at + w;
    if (c & JT_SET_NUMBER) return jt_scan_run(x, at + w, JT_SET_NUMBER);
    if (x->s[at] == '\'') {
        size_t k = jt_scan_contraction(x, at, JT_CONTRACT_PLAIN);
        if (k) return at + k;
    }
    if (c & rest) return jt_scan_run(x, at + w, rest);
    size_t end = jt_scan_run(x, at + w, JT_SET_SPACE);
    return jt_scan_white(x, at, end, !(jt_scan_peek(x, end, &w2) & (JT_SET_END | single)));
}

size_t jt_pretok_gpt2(jt_scan *x, size_t at) { return gpt2(x, at, 0); }
size_t jt_pretok_smollm(jt_scan *x, size_t at) { return gpt2(x, at, GPT_SINGLE); }

/* What the patterns after Llama 3's differ in. */
typedef struct gpt_shape {
    unsigned letter, rest; /* of words, and of signs */
    int numbers;           /* most numbers in a piece; 0: any */
    int contract;
    bool lines;       /* line breaks after signs belong to them */
    unsigned outside; /* cut out first, three at a time */
    bool tail;        /* white space at the end of the text is one piece, line breaks or not */
} gpt_shape;

static inline size_t shaped(jt_scan *x, size_t at, gpt_shape k) {
    size_t w, w2;
    unsigned c = jt_scan_peek(x, at, &w);
    if (c & k.letter) return jt_scan_run(x, at + w, k.letter);
    if (c & JT_SET_NUMBER) {
        if (!k.numbers) return jt_scan_run(x, at + w, JT_SET_NUMBER);
        at += w;
        for (int i = 1; i < k.numbers && jt_scan_peek(x, at, &w) & JT_SET_NUMBER; i++) at += w;
        return at;
    }
    if (k.contract && x->s[at] == '\'') {
        size_t n = jt_scan_contraction(x, at, k.contract);
        if (n) return at + n;
    }
    bool newline = jt_scan_newline(x, at);
    unsigned d = newline ? 0 : jt_scan_peek(x, at + w, &w2);
    if (d & k.letter) return jt_scan_run(x, at + w + w2, k.letter);
    if (c & k.rest || (x->s[at] == ' ' && d & k.rest)) {
        size_t end = jt_scan_run(x, at + w, k.rest);
        for (int b; k.lines && ((b = jt_scan_byte(x, end)) == '\n' || b == '\r');) end++;
        return end;
    }
    size_t end = at, line = 0; /* line: past the last line break in the white space */
    while (jt_scan_peek(x, end, &w) & JT_SET_SPACE) {
        if (jt_scan_newline(x, end)) line = end + 1;
        end += w;
    }
    if (k.tail && end == x->n) return end;
    return line ? line : jt_scan_white(x, at, end, !(jt_scan_peek(x, end, &w) & (JT_SET_END | k.outside)));
}

#define GPT_SHAPED(name, ...)                                                                                                              \
    size_t name(jt_scan *x, size_t at) { return shaped(x, at, (gpt_shape){__VA_ARGS__}); }
enum { GPT_WORD = JT_SET_LETTER | JT_SET_MARK, GPT_SIGNS = JT_SET_REST & ~JT_SET_MARK };
GPT_SHAPED(jt_pretok_llama3, JT_SET_LETTER, JT_SET_REST, 3, JT_CONTRACT_FOLD, true)
GPT_SHAPED(jt_pretok_llama3_ascii, JT_SET_LETTER, JT_SET_REST, 3, JT_CONTRACT_ASCII, true)
GPT_SHAPED(jt_pretok_qwen2, JT_SET_LETTER, JT_SET_REST, 1, JT_CONTRACT_FOLD, true)
GPT_SHAPED(jt_pretok_qwen2_ascii, JT_SET_LETTER, JT_SET_REST, 1, JT_CONTRACT_ASCII, true)
GPT_SHAPED(jt_pretok_qwen35, GPT_WORD, GPT_SIGNS, 1, JT_CONTRACT_FOLD, true)
GPT_SHAPED(jt_pretok_qwen35_ascii, GPT_WORD, GPT_SIGNS, 1, JT_CONTRACT_ASCII, true)
GPT_SHAPED(jt_pretok_minicpm5, JT_SET_LETTER, JT_SET_REST, 3, JT_CONTRACT_FOLD, true, JT_SET_NUMBER)
GPT_SHAPED(jt_pretok_cl100k, JT_SET_LETTER, JT_SET_REST, 3, JT_CONTRACT_FOLD, true, 0, true)
GPT_SHAPED(jt_pretok_seed, JT_SET_LETTER, JT_SET_REST, 1, JT_CONTRACT_FOLD, false)
GPT_SHAPED(jt_pretok_ufakzeka, JT_SET_LETTER, JT_SET_REST, 1, JT_CONTRACT_NONE, true)
