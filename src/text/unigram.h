/* unigram.h: the unigram language model of SentencePiece (Kudo 2018, arXiv 1804.10959): of all ways to take a text apart into
 * pieces, the one with the highest sum of scores, by Viterbi. An unknown character scores 10 less than the worst piece;
 * neighbouring unknown ones are one token. Of equal sums the first found stays: shorter pieces from earlier places. */
#ifndef JT_TEXT_UNIGRAM_H
#define JT_TEXT_UNIGRAM_H

#include "text/bpe.h"

typedef struct jt_unigram {
    jt_trie trie;
    const jt_view *names; /* the caller's */
    double *score;        /* by id; float values unless in_double */
    double unknown;       /* score of an unknown character */
    bool in_double;       /* sums in double, as Hugging Face has them; else in float, as SentencePiece */
    bool bytes;           /* unknown ones become bytes */
    bool fuse;
    uint32_t byte[256];
    uint32_t unk; /* JT_NO_TOKEN: none */
} jt_unigram;

/* Working memory of one call at a time; zero-initialised is ready. */
typedef struct jt_unigram_work {
    struct jt_unigram_node *node;
    size_t cap;
} jt_unigram_work;
void jt_unigram_work_free(jt_unigram_work *w);

void jt_unigram_free(jt_unigram *u);
/* Appends the tokens of the piece s[0..n). JT_UNSUPPORTED where something is unknown and there is no token for that. */
jt_status jt_unigram_encode(const jt_unigram *u, const char *s, size_t n, size_t base, jt_unigram_work *w, jt_tokens *out, jt_error *err);

#endif
