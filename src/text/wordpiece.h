/* wordpiece.h: WordPiece (Schuster and Nakajima 2012; Wu et al. 2016, arXiv 1609.08144) as BERT uses it: the text is cleaned and
 * parted at white space and punctuation; each word becomes the longest token it begins with, then the longest
 * continuing ones; a word that cannot be told so is the unknown token. */
#ifndef JT_TEXT_WORDPIECE_H
#define JT_TEXT_WORDPIECE_H

#include "text/bpe.h"
#include "text/normal.h"
#include "text/tokenizer.h"
#include "text/trie.h"

typedef struct jt_wordpiece {
    jt_view *core;       /* by id: what the token stands for in a word; n = 0: nothing */
    jt_trie first, more; /* of tokens that begin words, and that go on */
    uint32_t unk;
    jt_wordpiece_options options;
} jt_wordpiece;

/* begins[id]: 1 where core[id] begins words, 0 where it goes on. `core` is taken over, also on failure. */
jt_status jt_wordpiece_init(jt_wordpiece *w, jt_view *core, const uint8_t *begins, size_t count, uint32_t unk,
                            const jt_wordpiece_options *o, jt_error *err);
void jt_wordpiece_free(jt_wordpiece *w);
/* Appends the tokens of s[0..n), which stands at `base` in the text. On failure `out` may hold some of them. */
jt_status jt_wordpiece_encode(const jt_wordpiece *w, const char *s, size_t n, size_t base, jt_tokens *out, jt_error *err);

#endif
