/* textpipe_inside.h: a pipeline ready to run, shared by the files that build it (textpipe.c), run it (textpipe_encode.c) and make
 * text of its tokens (textpipe_decode.c). */
#ifndef JT_TEXT_TEXTPIPE_INSIDE_H
#define JT_TEXT_TEXTPIPE_INSIDE_H

#include "text/added.h"
#include "text/chars.h"
#include "text/flow.h"
#include "text/unigram.h"
#include "text/vocab.h"

/* The models of a pipeline, as far as they are not jt_bpe. */
typedef struct jt_symbols { /* BPE by its rule alone, for what jt_chars cannot do: symbols with a prefix or an end, or skipped */
    jt_view more, end;
    bool bytes, fuse, whole; /* whole: a piece that is a token is that token */
    uint32_t byte[256];
    uint32_t unk; /* JT_NO_TOKEN: what is unknown is skipped */
} jt_symbols;

/* How pieces become tokens. */
enum { JT_WAY_CHARS, JT_WAY_SYMBOLS, JT_WAY_UNIGRAM, JT_WAY_WORDPIECE, JT_WAY_WORDS, JT_WAY_LONGEST };

typedef struct jt_decode_stage {
    jt_decode_step step;
    jt_regex *regex;
} jt_decode_stage;

struct jt_textpipe {
    jt_stage *normal, *cut;
    size_t n_normal, n_cut;
    jt_view *spelt;            /* by id, as the model sees it; "" for special tokens */
    jt_view *written;          /* by id, as the file has them */
    jt_view *pattern;          /* by id, of added tokens: as they are looked for */
    uint8_t *flags;            /* by id, of added tokens: JT_ADDED_* */
    jt_added now[2], later[2]; /* before and after normalisation; [0]: those that are not special, [1]: all */

    int way;
    jt_words words; /* of `spelt`: SYMBOLS, WORDS */
    jt_chars chars;
    jt_symbols symbols;
    jt_unigram unigram;
    jt_trie first, more; /* WORDPIECE; LONGEST has the first alone */
    size_t most_chars;
    uint32_t unk;

    /* Pieces are spelt with a space for U+2581. If nothing else is to be done (`quick`), text without U+2581 goes to jt_chars as
     * it stands, with a space at its front as `scheme` says; `unless` there is one. */
    bool spaces, quick, unless, at_spaces;
    int scheme;

    jt_decode_stage *decode;
    size_t n_decode;
    bool lead; /* text begins with a space that the text did not have */
    jt_arena arena;
};

/* Fills t->pipe, t->names, t->types and t->bpe from s, which jt_tokenizer_new has checked. */
jt_status jt_textpipe_new(jt_tokenizer *t, const jt_tokenizer_spec *s, jt_error *err);
/* Makes the tables of added tokens; after the chat markers are known. */
jt_status jt_textpipe_added(jt_tokenizer *t, const jt_tokenizer_spec *s, jt_error *err);
void jt_textpipe_free(jt_textpipe *p);

/* What jt_encode_part does, for tokenizers with a pipeline. */
jt_status jt_textpipe_encode(const jt_tokenizer *t, const char *text, size_t n, size_t base, int flags, jt_bpe_work *w, jt_tokens *out,
                             jt_error *err);
/* Appends what the tokens are as text by the decoders. */
jt_status jt_textpipe_text(const jt_tokenizer *t, const int32_t *ids, size_t n, int special, jt_str *out, jt_error *err);

#endif
