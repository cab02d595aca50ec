/* bpe.h: byte-pair encoding in linear time.
 *
 * The reference rule: begin with single symbols, which are bytes or, in vocabularies that come from SentencePiece,
 * characters; among all adjacent pairs that
 * have a merge rule take the one of lowest rank, leftmost on a tie, replace it
 * by its result; repeat. Rules may share a rank. This file gives the same tokens without running it on
 * the text: a sequence of tokens is what the rule gives exactly when every two
 * neighbours are (two tokens "join"), so a greedy search for the longest token
 * that joins its predecessor, with backtracking and a note of positions where
 * nothing fits, finds it (crate bpe of github/rust-gems; DESIGN's card on
 * tokenizers). Whether two tokens join follows from the ranks of their last
 * merges, save for tokens whose derivation is not in order of rank; those are
 * found when the vocabulary is loaded and tried by the rule itself. */
#ifndef JT_TEXT_BPE_H
#define JT_TEXT_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jeton/text.h"
#include "text/pretok.h"
#include "text/trie.h"
#include "text/words.h"

typedef struct jt_bpe_rule {
    uint32_t left, right, result;
} jt_bpe_rule;

typedef struct jt_bpe_token {
    uint32_t left, right; /* of the last merge when the rule runs over the token's own bytes */
    int32_t rank;         /* of that merge; -1: a single symbol, or not derived */
    uint32_t shorter;     /* the longest other proper token that this one begins with */
    uint32_t n : 30;      /* bytes */
    uint32_t proper : 1;
    uint32_t irregular : 1;
} jt_bpe_token;

/* How a token takes part. */
enum {
    JT_BPE_NOT = 0,   /* not at all: names[id] is no byte string of the vocabulary */
    JT_BPE_RULES = 1, /* only as the result of merges */
    JT_BPE_WHOLE = 2  /* also for a piece that equals it, if merges are to be ignored there */
};

typedef struct jt_bpe {
    const jt_view *names; /* the caller's */
    uint32_t byte[256];   /* token of a single byte, or JT_NO_TOKEN */
    bool all_bytes;
    bool chars;        /* symbols are characters of UTF-8; those of several bytes: */
    jt_words symbols;  /* tokens of one character */
    jt_bpe_rule *rule; /* by rank */
    size_t rules;
    uint64_t *pair; /* hash of pairs: left << 32 | right, UINT64_MAX empty */
    int32_t *pair_rank;
    int32_t *pair_rule; /* the rule of a pair where ranks are shared; NULL: its rank is its number */
    int pair_shift;
    uint64_t pair_mask;
    jt_bpe_token *token;
    jt_trie proper; /* tokens that the rule gives for their own bytes */
    jt_words whole; /* pieces that are one token */
    uint32_t n_improper, n_irregular;
} jt_bpe;

/* How text is taken apart before the first merge, and which merges come first; all zero: bytes, in the order of the rules. */
typedef struct jt_bpe_how {
    bool chars;
    bool ignore_merges;
    const int32_t *rank; /* [rules], not descending; NULL: the number of the rule */
    bool only_rules;     /* nothing but jt_bpe_rule_ids is wanted: the vocabulary is not looked into */
} jt_bpe_how;

/* `part` is JT_BPE_* by id; names that take part are all different and not empty. Takes over `rule` (jt_alloc'ed, also
 * on failure); of two rules for the same pair the later counts. */
jt_status jt_bpe_init(jt_bpe *b, const jt_view *names, const uint8_t *part, size_t count, jt_bpe_rule *rule, size_t rules,
                      const jt_bpe_how *how, jt_error *err);
void jt_bpe_free(jt_bpe *b);

/* Working memory of one call at a time; zero-initialised is ready. */
typedef struct jt_bpe_work {
    struct jt_bpe_symbol *symbol;
    uint64_t *heap;
    uint64_t *dead; /* a bit per position: no token goes on from here */
    char *kept;     /* a piece without the bytes that have no token, and where those left were */
    size_t *place;
    size_t symbol_cap, heap_cap, dead_cap, kept_cap, place_cap;
    struct {
        uint32_t left, right, joins; /* joins: 0 not known, 1 no, 2 yes */
    } memo[64];
    jt_pieces pieces;
} jt_bpe_work;
void jt_bpe_work_free(jt_bpe_work *w);

/* Appends the tokens of the piece s[0..n), whose bytes stand at `base` in the text. Bytes without a token are left out as
 * if they were not there; characters without one the caller has taken out. On failure `out` may hold some of the tokens. */
jt_status jt_bpe_encode(const jt_bpe *b, const char *s, size_t n, size_t base, jt_bpe_work *w, jt_tokens *out, jt_error *err);

/* Appends one token. */
jt_status jt_tokens_push(jt_tokens *t, uint32_t id, size_t begin, size_t end, jt_error *err);

#endif
