/* textpipe.h: the pipeline of a tokenizer as tokenizer.json describes it: added tokens, normalisers, pre-tokenisers, model,
 * post-processor, decoders. What a loader fills is plain data (jt_textpipe_spec); tokenizer.h's spec points to it.
 *
 * Byte-level BPE whose text is only cut has a way of its own (encode.c) and no jt_textpipe. For all others a text goes
 * through these in order:
 *   1. added tokens that are not normalised are cut out of the text (added.h);
 *   2. what lies between them is normalised (flow.h: text that remembers where it came from);
 *   3. normalised added tokens are cut out of that;
 *   4. what is left is cut into pieces by the pre-tokenisers;
 *   5. the model gives the tokens of each piece, whose spans are then told in the original.
 * A span holds all bytes that a token's characters were made from; what a step puts in (a space at the front) has the
 * empty span before what follows it. */
#ifndef JT_TEXT_TEXTPIPE_H
#define JT_TEXT_TEXTPIPE_H

#include "text/tokenizer.h"

/* Normalisers, and the pre-tokenisers that change text. */
enum {
    JT_STEP_NFC,
    JT_STEP_NFD,
    JT_STEP_NFKC,
    JT_STEP_NFKD,
    JT_STEP_LOWER,
    JT_STEP_STRIP_ACCENTS, /* marks (M*) out */
    JT_STEP_NMT,
    JT_STEP_REPLACE,  /* a, or what the regular expression a matches, becomes b */
    JT_STEP_PREPEND,  /* a at the front of what is not empty */
    JT_STEP_STRIP,    /* white space off the `left` and the `right` */
    JT_STEP_BERT,     /* as `bert` says */
    JT_STEP_CHARSMAP, /* a is a SentencePiece precompiled_charsmap (charsmap.h); `graphemes`: as Hugging Face applies it */
    JT_STEP_COLLAPSE, /* SentencePiece's remove_extra_whitespaces: runs of spaces become one, none at either end */
    JT_STEP_BYTES,    /* each byte becomes its character of GPT-2's alphabet */
    /* pre-tokenisers */
    JT_STEP_SPLIT,     /* `split`, see pretok.h */
    JT_STEP_FIXED,     /* pieces of `count` characters */
    JT_STEP_METASPACE, /* spaces become a; a at the front as `scheme` says; `cut` before each a */
    JT_STEP_PREFIX     /* a space at the front of each piece that has none */
};
enum { JT_SCHEME_ALWAYS, JT_SCHEME_FIRST, JT_SCHEME_NEVER };

typedef struct jt_text_step {
    int kind; /* JT_STEP_* */
    jt_view a, b;
    bool regex, left, right, graphemes, cut;
    int scheme;
    int64_t count;
    jt_cut split;
    jt_wordpiece_options bert;
} jt_text_step;

/* Decoders: what becomes of the written forms of tokens when text is made of them. */
enum {
    JT_DECODE_BYTES,     /* ByteLevel */
    JT_DECODE_METASPACE, /* a -> space; the first token loses one at its front if `scheme` is not never */
    JT_DECODE_FALLBACK,  /* ByteFallback: runs of <0xHH> */
    JT_DECODE_REPLACE,   /* a (or a regular expression) -> b */
    JT_DECODE_FUSE,
    JT_DECODE_STRIP,     /* of a single character a, up to `start` at the front and `stop` at the end */
    JT_DECODE_WORDPIECE, /* a: prefix of continuing tokens; `cleanup` */
    JT_DECODE_SUFFIX,    /* BPEDecoder: a -> space, nothing at the end */
    JT_DECODE_CTC        /* a: pad, b: word delimiter, `cleanup` */
};
typedef struct jt_decode_step {
    int kind;
    jt_view a, b;
    bool regex, cleanup;
    int scheme;
    int64_t start, stop;
} jt_decode_step;

enum { JT_PIECES_BPE, JT_PIECES_SPM, JT_PIECES_UNIGRAM, JT_PIECES_WORDPIECE, JT_PIECES_WORDLEVEL, JT_PIECES_RWKV };

typedef struct jt_textpipe_spec {
    int model; /* JT_PIECES_* */

    const jt_text_step *normal, *cut;
    size_t n_normal, n_cut;
    const jt_decode_step *decode;
    size_t n_decode;

    const double *scores; /* [vocab], of SPM and UNIGRAM */
    size_t model_vocab;   /* tokens that the model itself has; those after it were added */
    bool in_double;       /* UNIGRAM: sums in double, as Hugging Face has them; else in float, as SentencePiece */
    bool user_later;      /* user-defined pieces are found in normalised text, as SentencePiece finds them */
    bool user_score_zero; /* UNIGRAM: user-defined pieces score 0, as llama.cpp has them */
    bool byte_fallback;   /* <0xHH> for what is unknown */
    bool fuse_unk;        /* one unknown token for a run of them */
    jt_view more, end;    /* continuing_subword_prefix, end_of_word_suffix */
    int64_t most_chars;   /* WORDPIECE */
} jt_textpipe_spec;

typedef struct jt_textpipe jt_textpipe;

#endif
