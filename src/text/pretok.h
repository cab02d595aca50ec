/* pretok.h: pre-tokenisers, which cut text into the pieces that BPE works on.
 *
 * Models name theirs by a string (GGUF: tokenizer.ggml.pre) or give it as a
 * sequence of steps (tokenizer.json: pre_tokenizer), most of them a regular
 * expression each. A step cuts every piece of the step before as if it were a
 * text of its own. Patterns in wide use are hand-written functions that give the
 * same pieces in one pass; others go to PCRE2 (regex.h).
 *
 * A byte that is not valid UTF-8 counts as one character of class "other". Every
 * byte is in exactly one piece, save those that a step asks to remove. */
#ifndef JT_TEXT_PRETOK_H
#define JT_TEXT_PRETOK_H

#include <stdbool.h>
#include <stddef.h>

#include "core/str.h"
#include "text/regex.h"
#include "text/tokenizer.h"

/* What is known of models that use a name, where their files do not say. */
typedef struct jt_preset {
    const char *name;
    bool ignore_merges;
    bool add_bos;
    bool nfc; /* text is composed first */
} jt_preset;
/* NULL if the name is not known. */
const jt_preset *jt_pretok_find(const char *name, size_t n);
/* Appends the known names, separated by ", ". */
void jt_pretok_names(jt_str *out);

/* Read-only after it is made: any number of threads may use it. */
typedef struct jt_pretok jt_pretok;

enum { JT_PRETOK_HF = 0, JT_PRETOK_LLAMACPP = 1 }; /* whose cutting is meant where the two differ */

/* By name. JT_UNSUPPORTED, with the names nearest to it, for an unknown one. */
jt_status jt_pretok_named(const char *name, size_t n, int policy, jt_pretok **out, jt_error *err);
/* By steps; n = 0 leaves text whole. JT_FORMAT for a pattern that cannot be read. */
jt_status jt_pretok_new(const jt_cut *split, size_t n, jt_pretok **out, jt_error *err);
void jt_pretok_free(jt_pretok *p);

typedef struct jt_piece {
    size_t begin, end;
} jt_piece;

/* Pieces, and the working memory of one call at a time; zero-initialised is ready. */
typedef struct jt_pieces {
    jt_piece *p, *other;
    size_t n, cap, other_cap;
    jt_regex_work regex;
    bool ask;    /* set by the caller who wants to know `open` */
    size_t open; /* where the first piece begins that more text at the end could change; n if there is none */
} jt_pieces;
void jt_pieces_free(jt_pieces *w);

/* Replaces w->p[0..w->n) by the pieces of s[0..n), none of them empty. JT_LIMIT if a pattern of a file takes too many steps. */
jt_status jt_pretok_cut(const jt_pretok *p, const char *s, size_t n, jt_pieces *w, jt_error *err);

/* A text being scanned, and whether its end was looked at: if not, more text would change nothing. */
typedef struct jt_scan {
    const char *s;
    size_t n;
    bool open;
} jt_scan;
/* The end of the piece that begins at `at` < x->n, where `at` is 0 or the end of another piece. */
typedef size_t jt_pretok_fn(jt_scan *x, size_t at);
/* The hand-written function that does all of the cutting; NULL if there is none. */
jt_pretok_fn *jt_pretok_whole(const jt_pretok *p);
/* A place in s[0..n) after `at` where text may be cut without changing any piece: both sides give what the whole gives; n if
 * none is found. */
size_t jt_pretok_border(const jt_pretok *p, const char *s, size_t n, size_t at);

#endif
