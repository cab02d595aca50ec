/* regex_unicode.h: characters that are newer than the Unicode tables of an older PCRE2 (make_regex_unicode.py). */
#ifndef JT_TEXT_REGEX_UNICODE_H
#define JT_TEXT_REGEX_UNICODE_H

#include <stddef.h>
#include <stdint.h>

typedef struct jt_regex_new_chars {
    uint32_t first, last;
    char kind[3]; /* general category */
} jt_regex_new_chars;
extern const jt_regex_new_chars jt_regex_new_table[];
extern const size_t jt_regex_new_count;

#endif
