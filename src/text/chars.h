/* chars.h: byte-pair encoding that begins with characters, as SentencePiece and Hugging Face's conversions of it do, and what
 * becomes of characters that the vocabulary does not have.
 *
 * Two neighbours that stand side by side in no token of the vocabulary are never merged, so text is cut between them; most
 * pieces are then words, which jt_bpe knows as a whole. */
#ifndef JT_TEXT_CHARS_H
#define JT_TEXT_CHARS_H

#include "text/bpe.h"

typedef struct jt_chars {
    jt_bpe *bpe;             /* the tokenizer's */
    uint64_t joined[256][4]; /* last byte of a character, first byte of the next: some token has them so */
    uint64_t *known;         /* a bit per code point */
    uint32_t byte[256];      /* <0xHH>, or JT_NO_TOKEN */
    bool bytes;              /* all of them are there and are used */
    bool fuse;               /* one unknown token for a run */
    bool unused;             /* there are tokens of type UNUSED, which are taken apart again */
    const uint8_t *types;    /* the tokenizer's */
    uint32_t unk;            /* JT_NO_TOKEN: none; then bytes */
} jt_chars;

/* `c` has its public settings; finds `joined` and `known` from the names that take part. */
jt_status jt_chars_init(jt_chars *c, const uint8_t *part, size_t count, jt_error *err);
void jt_chars_free(jt_chars *c);

/* The end of the run of characters from s[at] on, at < n, that must be encoded together; all known, or one that is not.
 * `spaces`: a space begins a run. */
size_t jt_chars_end(const jt_chars *c, const char *s, size_t n, size_t at, bool spaces, bool *known);
/* Appends the tokens of s[0..n). */
jt_status jt_chars_encode(const jt_chars *c, const char *s, size_t n, size_t base, bool spaces, jt_bpe_work *w, jt_tokens *out,
                          jt_error *err);
/* The same of one run that jt_chars_end has found; `first`: a run of unknown ones does not go on from before. */
jt_status jt_chars_run(const jt_chars *c, const char *s, size_t n, size_t base, bool known, bool first, jt_bpe_work *w, jt_tokens *out,
                       jt_error *err);

#endif
