/* tokenizer.h: what a tokenizer is made from.
 *
 * A jt_tokenizer_spec is plain data that a loader fills (src/model from GGUF
 * metadata; others later) and that jt_tokenizer_new copies what it needs from:
 * nothing in the spec must outlive the call. jt_tokenizer_spec_init makes an empty
 * one: all zero, and -1 for what a file may leave out.
 *
 * GGUF keys (prefix "tokenizer.ggml.") are named beside the fields. Written
 * forms are as in the file: byte-level vocabularies spell bytes in GPT-2's
 * alphabet (space is U+0120), control and user-defined tokens stand as they are. */
#ifndef JT_TEXT_TOKENIZER_H
#define JT_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jeton/status.h"
#include "jeton/text.h"

typedef struct jt_view {
    const char *s; /* may hold NUL; need not be UTF-8 */
    size_t n;
} jt_view;

/* Values of token_type in GGUF. */
enum { JT_TOKEN_NORMAL = 1, JT_TOKEN_UNKNOWN = 2, JT_TOKEN_CONTROL = 3, JT_TOKEN_USER = 4, JT_TOKEN_UNUSED = 5, JT_TOKEN_BYTE = 6 };

/* How WordPiece sees text; all zero is read as what uncased BERT models do. */
typedef struct jt_wordpiece_options {
    bool given;                    /* false: the defaults */
    bool clean, cjk, strip, lower; /* BERT's normaliser: controls out, spaces around CJK characters, accents off, lower case */
    int most_chars;                /* a longer word is the unknown token; 0: 100 */
    jt_view more;                  /* what continuing tokens begin with; s NULL: they are plain, and those that begin a word have U+2581 */
    bool tidy;                     /* text of tokens is put right as BERT's decoder does (" ." becomes ".") */
} jt_wordpiece_options;

/* A step of cutting text into pieces, as tokenizer.json has them (pretok.h). */
enum {
    JT_CUT_REGEX,      /* Split: `pattern` is a regular expression */
    JT_CUT_STRING,     /* Split: `pattern` is found as it is */
    JT_CUT_DIGITS,     /* Digits: numbers, each alone if `individual` */
    JT_CUT_PUNCT,      /* Punctuation */
    JT_CUT_BYTE_LEVEL, /* ByteLevel with use_regex: GPT-2's pattern */
    JT_CUT_WORDS,      /* Whitespace: words and runs of signs; white space is removed */
    JT_CUT_SPACES,     /* WhitespaceSplit: white space is removed */
    JT_CUT_BERT        /* BertPreTokenizer: white space is removed, punctuation stands alone */
};
enum { JT_CUT_ISOLATED, JT_CUT_REMOVED, JT_CUT_PREVIOUS, JT_CUT_NEXT, JT_CUT_CONTIGUOUS }; /* what becomes of a match */
typedef struct jt_cut {
    int kind;
    jt_view pattern;
    int behaviour; /* of REGEX, STRING and PUNCT */
    bool invert;   /* what lies between matches counts as the match: of REGEX and STRING */
    bool individual;
} jt_cut;

/* A token of added_tokens. */
typedef struct jt_added_spec {
    int32_t id;
    jt_view content;
    bool single_word, lstrip, rstrip, normalized, special;
} jt_added_spec;

/* An item of a template of what stands around texts: a token, or a text. */
typedef struct jt_template_item {
    int32_t id; /* -1: text number `text`, 0 or 1 */
    int text;
} jt_template_item;

typedef struct jt_tokenizer_spec {
    jt_view model; /* model: "gpt2" is byte-level BPE, "bert" WordPiece */
    jt_view pre;   /* pre: "smollm", "gpt-2", ...; s NULL when the key is absent */

    const jt_cut *splits; /* how text is cut, in place of `pre`, where `cut` says so */
    size_t n_splits;
    bool cut;
    bool plain; /* `pre` says how text is cut, and nothing else of what is usual with it */
    int policy; /* JT_PRETOK_*: whose cutting `pre` means */

    const jt_view *tokens; /* tokens: written form of ids 0 .. vocab-1 */
    const int32_t *types;  /* token_type: JT_TOKEN_*, NULL when absent (all normal) */
    size_t vocab;          /* of tokens and of types */
    const jt_view *merges; /* merges: "a b" in order of rank */
    size_t n_merges;
    const int32_t *merge_rank;   /* not descending; merges of equal rank go from left to right; NULL: in their order */
    const jt_view *merges_right; /* not NULL: a merge is merges[i] and merges_right[i] */

    int32_t bos, eos, eot, eom, unk; /* bos_token_id, eos_, eot_, eom_, unknown_; -1 when absent */
    int add_bos, add_eos;            /* add_bos_token, add_eos_token: 0 or 1; -1 when absent: as the pre-tokeniser's models do */
    jt_wordpiece_options wordpiece;
    bool nfc;           /* text is composed first (Unicode's NFC) */
    bool ignore_merges; /* a piece that is a token is that token, whatever the merges say; on where `pre` implies it */

    const struct jt_textpipe_spec *pipe; /* not NULL: all but byte-level BPE that only cuts, and BERT (textpipe.h) */
    const jt_added_spec *added;          /* NULL: those that `types` says, without flags */
    size_t n_added;
    const jt_template_item *single, *pair; /* in place of add_bos and add_eos where n is not 0 */
    size_t n_single, n_pair;

    /* Of GGUF models "llama", "t5" and "rwkv". */
    const float *scores;                       /* scores */
    int add_space_prefix, remove_extra_spaces; /* add_space_prefix, remove_extra_whitespaces; -1 when absent */
    jt_view charsmap;                          /* precompiled_charsmap */

    jt_view chat_template; /* tokenizer.chat_template; s NULL when absent */
} jt_tokenizer_spec;

void jt_tokenizer_spec_init(jt_tokenizer_spec *s);

/* Makes a tokenizer. Errors: JT_UNSUPPORTED (another model or pre-tokeniser, by
 * name with those known), JT_FORMAT (ids out of range, a merge that names an
 * absent token, a type outside 1..6 ...), JT_LIMIT (a token of more than 16384
 * bytes, more than 2^24 tokens or merges), JT_NOMEM. */
jt_status jt_tokenizer_new(const jt_tokenizer_spec *s, jt_tokenizer **out, jt_error *err);

#endif
