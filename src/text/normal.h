/* normal.h: text as code points that remember where they stood, and what normalisers do to them: canonical decomposition and
 * composition (Unicode Standard Annex 15), lower case, and the steps of BERT's normaliser.
 *
 * Tables are those of the reference tokenizers (make_normal_table.py), fixed here, so that ids never depend on which
 * Unicode library a machine has. */
#ifndef JT_TEXT_NORMAL_H
#define JT_TEXT_NORMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/str.h"
#include "jeton/status.h"

/* A character and the bytes [begin, end) of the original that it came from. */
typedef struct jt_normal_char {
    uint32_t cp;
    uint32_t ccc; /* its combining class, where jt_normal_nfd has been */
    size_t begin, end;
} jt_normal_char;

/* Zero-initialised is empty. */
typedef struct jt_normal {
    jt_normal_char *c;
    size_t n, cap;
} jt_normal;
void jt_normal_free(jt_normal *t);
jt_status jt_normal_push(jt_normal *t, uint32_t cp, size_t begin, size_t end, jt_error *err);
enum { JT_NORMAL_BYTE = 0x110000 };
/* The characters of s[0..n), which stands at `base`; a byte that is not UTF-8 is JT_NORMAL_BYTE and more. Replaces what was
 * there. */
jt_status jt_normal_read(jt_normal *t, const char *s, size_t n, size_t base, jt_error *err);

/* What BERT's normaliser and pre-tokeniser see in a character. */
enum {
    JT_NORMAL_GONE = 1,    /* removed when text is cleaned */
    JT_NORMAL_SPACE = 2,   /* a space when text is cleaned */
    JT_NORMAL_WHITE = 4,   /* parts words */
    JT_NORMAL_PUNCT = 8,   /* a word by itself */
    JT_NORMAL_CJK = 16,    /* gets spaces around it */
    JT_NORMAL_ACCENT = 32, /* a mark without width (Mn) */
    JT_NORMAL_MARK = 64    /* any mark (M*), as StripAccents sees them */
};
unsigned jt_normal_kind_of(uint32_t cp);
/* Lower case of a character: one, or two with *more set; else *more is 0. */
uint32_t jt_normal_lower_of(uint32_t cp, uint32_t *more);

/* `to` becomes the canonical decomposition of `from`, in canonical order. */
jt_status jt_normal_nfd(const jt_normal *from, jt_normal *to, jt_error *err);
/* The same of the compatibility decomposition (NFKD). */
jt_status jt_normal_nfkd(const jt_normal *from, jt_normal *to, jt_error *err);
/* Composes what one of the two has made, in place. */
void jt_normal_compose(jt_normal *t);

/* Appends a character's bytes. */
void jt_normal_write(uint32_t cp, jt_str *out);

/* ---- tables ---- */
typedef struct jt_normal_run {
    uint32_t first, last;
    int32_t step, by; /* every step-th character from first to last becomes itself plus by */
} jt_normal_run;
extern const uint64_t jt_normal_step[]; /* character, a, b (0: none) of 21 bits each, ascending */
extern const uint16_t jt_normal_pair[]; /* indexes of steps that compose again, ascending by a, then b */
extern const uint32_t jt_normal_ccc[];  /* where a class begins: character << 8 | class */
extern const uint32_t jt_normal_kind[]; /* the same of JT_NORMAL_* */
extern const jt_normal_run jt_normal_lower[];
extern const uint32_t jt_normal_compat[];    /* characters with a compatibility decomposition, ascending; that of number i is */
extern const uint16_t jt_normal_compat_at[]; /* from [i] to [i + 1] of */
extern const uint32_t jt_normal_compat_to[];
extern const size_t jt_normal_sizes[6]; /* of the first five tables in this order, and of jt_normal_compat */

#endif
