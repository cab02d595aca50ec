/* vocab.h: the inside of a jt_tokenizer, shared by the files of src/text. */
#ifndef JT_TEXT_VOCAB_H
#define JT_TEXT_VOCAB_H

#include "core/mem.h"
#include "text/added.h"
#include "text/bpe.h"
#include "text/pretok.h"
#include "text/tokenizer.h"
#include "text/trie.h"
#include "text/wordpiece.h"
#include "text/words.h"

enum {
    JT_TOKEN_MOST_BYTES = 16384, /* of one token's written form; real ones stay below 1,000 */
    JT_VOCAB_MOST = 1 << 24      /* tokens, and merges */
};

struct jt_tokenizer {
    jt_arena strings;
    jt_view *names; /* bytes of each id: what it stands for in the text */
    uint8_t *types; /* JT_TOKEN_* */
    uint8_t *ends;  /* 1: ends an answer */
    size_t vocab;
    jt_bpe bpe;
    jt_words find;           /* by bytes; special tokens before others */
    jt_added user, all;      /* user-defined ones; these and control and unknown ones */
    const jt_preset *preset; /* NULL: the cutting was given by steps */
    jt_pretok *pretok;
    jt_wordpiece *piece;      /* NULL: not the WordPiece of BERT */
    struct jt_textpipe *pipe; /* NULL: byte-level BPE that only cuts, or `piece` */
    uint8_t *added_flags;     /* by id: JT_ADDED_*; NULL: none has any */
    bool nfc;
    int32_t bos, eos;
    bool add_bos, add_eos;
    jt_template_item *single, *pair; /* what stands around a text, and two; n = 0: as bos, eos, add_bos and add_eos say */
    size_t n_single, n_pair;
    struct jt_chat *chat; /* NULL: no template that this build reads; then chat_why says why */
    char chat_why[240];
};

/* Special: CONTROL and UNKNOWN. */
static inline bool jt_type_special(int type) { return type == JT_TOKEN_CONTROL || type == JT_TOKEN_UNKNOWN; }

/* GPT-2's spelling of bytes (byte_level.c). Writes the bytes that s[0..n) spells to out (room for n) and returns how many,
 * or SIZE_MAX if some character is not in the alphabet. */
size_t jt_byte_level_read(const char *s, size_t n, char *out);
/* The spelling of s[0..n), at most 2 n bytes; returns how many. */
size_t jt_byte_level_write(const char *s, size_t n, char *out);

/* The character of a byte. */
uint32_t jt_byte_level_char(unsigned char b);

/* Reads a chat template (chat.c), or notes why it cannot be. To be called before the tables of added tokens are made: the
 * template's markers become control tokens, which plain text never gives. Fails for want of memory only. */
jt_status jt_chat_find(jt_tokenizer *t, jt_view text, jt_error *err);
void jt_chat_free(struct jt_chat *c);

/* The two tokens that merge number r names; false if it is not two tokens (tokenizer.c). */
bool jt_merge_parts(const jt_tokenizer_spec *s, size_t r, jt_view *left, jt_view *right);

/* Appends what BERT's decoder makes of one token: spaces before signs go, and the like (textpipe_decode.c). */
jt_status jt_text_tidy(jt_str *o, jt_view v, jt_error *err);

/* Appends s[0..n) with U+FFFD for each longest part of a character, or byte, that is not UTF-8 (decode.c). */
void jt_text_lossy(jt_str *o, const char *s, size_t n);

/* jt_encode without the check of sizes, `base` added to all spans (encode.c). On failure `out` may have grown. */
jt_status jt_encode_part(const jt_tokenizer *t, const char *text, size_t n, size_t base, int flags, jt_bpe_work *w, jt_tokens *out,
                         jt_error *err);

/* Appends what stands before all of a text, or after it. */
jt_status jt_encode_around(const jt_tokenizer *t, bool after, size_t at, jt_tokens *out, jt_error *err);
/* Is text that is composed (NFC) as it stands? False also for some that is. */
bool jt_encode_plain(const char *s, size_t n);

#endif
