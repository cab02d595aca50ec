/* str.h: growing byte strings, and reading numbers without the locale.
 *
 * A jt_str zero-initialised is the empty string. `s` is NULL while nothing was
 * ever put in; otherwise s[n] is NUL. A failed append leaves the string as it
 * was and sets `failed`, so that a run of appends needs one check at the end. */
#ifndef JT_CORE_STR_H
#define JT_CORE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jeton/status.h"

typedef struct jt_str {
    char *s;
    size_t n, cap;
    bool failed;
} jt_str;

void jt_str_add(jt_str *b, const char *s, size_t n);
void jt_str_puts(jt_str *b, const char *s);
void jt_str_putc(jt_str *b, char c);
void jt_str_printf(jt_str *b, const char *fmt, ...) JT_PRINTF(2, 3);
/* s[0..n) as a JSON string with its quotes; bytes that are not valid UTF-8
 * become U+FFFD, one per byte. */
void jt_str_json(jt_str *b, const char *s, size_t n);
/* The shortest decimal that reads back as the same double; "null" if not finite. */
void jt_str_number(jt_str *b, double x);
void jt_str_clear(jt_str *b); /* empty, memory kept */
void jt_str_free(jt_str *b);
/* The contents, never NULL. */
const char *jt_str_c(const jt_str *b);
/* JT_NOMEM with a message if an append failed, else JT_OK. */
jt_status jt_str_check(const jt_str *b, jt_error *err);

/* Whole-string readers in the C locale: false unless all of s[0..n) is the number
 * and it fits. Doubles take the forms of strtod, "inf" and "-inf" included, NaN not. */
bool jt_read_i64(const char *s, size_t n, int64_t *out);
bool jt_read_u64(const char *s, size_t n, uint64_t *out);
bool jt_read_double(const char *s, size_t n, double *out);

/* Bytes of the UTF-8 character at s (1 to 4), or 0 if s[0..n) does not begin with
 * a valid one (overlong forms, surrogates and values past 10FFFF are invalid).
 * *cp (may be NULL) gets the code point. */
int jt_utf8_next(const char *s, size_t n, uint32_t *cp);
/* Length of the longest prefix of s[0..n) that does not end inside a character
 * that later bytes could still complete. */
size_t jt_utf8_whole(const char *s, size_t n);
/* Writes cp as UTF-8 (1 to 4 bytes) and returns the length. */
int jt_utf8_put(uint32_t cp, char out[4]);

/* Edit distance with transpositions, for "did you mean"; at most 64 bytes are compared. */
int jt_edit_distance(const char *a, const char *b);

#endif
