/* chars.h: what Python's str methods know of characters (Unicode 14.0, as in Python 3.11; make_chars_table.py). */
#ifndef JT_TEXT_JINJA_CHARS_H
#define JT_TEXT_JINJA_CHARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    JT_CHAR_PRINTABLE = 1,
    JT_CHAR_ALPHA = 2,
    JT_CHAR_DECIMAL = 4,
    JT_CHAR_DIGIT = 8,
    JT_CHAR_NUMERIC = 16,
    JT_CHAR_UPPER = 32,
    JT_CHAR_LOWER = 64,
    JT_CHAR_TITLE = 128,
    JT_CHAR_SPACE = 256,
    JT_CHAR_CASED = 512,
    JT_CHAR_IGNORABLE = 1024, /* does not count when the end of a word is looked for */
    JT_CHAR_NAME_START = 2048,
    JT_CHAR_NAME = 4096,
    JT_CHAR_ALNUM = JT_CHAR_ALPHA | JT_CHAR_DECIMAL | JT_CHAR_DIGIT | JT_CHAR_NUMERIC
};
unsigned jt_char_kind(uint32_t cp);
/* The value of a decimal digit, -1 for others. */
int jt_char_digit(uint32_t cp);

typedef enum jt_char_case { JT_CHAR_TO_LOWER, JT_CHAR_TO_UPPER, JT_CHAR_TO_TITLE, JT_CHAR_TO_FOLD } jt_char_case;
/* Writes the one to three characters that cp becomes and returns how many. */
int jt_char_map(uint32_t cp, jt_char_case to, uint32_t out[3]);

/* ---- tables ---- */
typedef struct jt_char_run {
    uint32_t first, last;
    int32_t step, by; /* every step-th character from first to last becomes itself plus by */
} jt_char_run;
typedef struct jt_char_more {
    uint32_t cp, kind, to[3]; /* 0: no more */
} jt_char_more;
extern const uint32_t jt_char_begin[]; /* where a run of equal kinds begins */
extern const uint16_t jt_char_bits[];
extern const jt_char_run jt_char_lower[], jt_char_upper[], jt_char_title[], jt_char_fold[];
extern const jt_char_more jt_char_multi[]; /* ascending */
extern const size_t jt_char_sizes[6];      /* of the tables, in this order; the first two have one */

#endif
