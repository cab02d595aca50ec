/* unicode.h: the class of a code point, as pre-tokenisers distinguish them.
 *
 * Classes are those of the references that models were trained with (Unicode
 * 16.0; see make_unicode_table.py), fixed here, so that ids never depend on
 * which Unicode library a machine has. */
#ifndef JT_TEXT_UNICODE_H
#define JT_TEXT_UNICODE_H

#include <stddef.h>
#include <stdint.h>

enum {
    JT_CLASS_OTHER = 0,   /* controls, format characters, unassigned; also each byte that is not UTF-8 */
    JT_CLASS_LETTER = 1,  /* Lm, Lo */
    JT_CLASS_MARK = 2,    /* M* */
    JT_CLASS_NUMBER = 3,  /* N* */
    JT_CLASS_PUNCT = 4,   /* P* */
    JT_CLASS_SYMBOL = 5,  /* S* */
    JT_CLASS_SPACE = 6,   /* White_Space, which holds all of Z* */
    JT_CLASS_DIGIT17 = 7, /* a number since Unicode 17.0: "other" to regular expressions, a digit to "digits" */
    JT_CLASS_UPPER = 8,   /* Lu, Lt */
    JT_CLASS_LOWER = 9    /* Ll */
};

extern const uint8_t jt_unicode_page[0x1100];
extern const uint64_t jt_unicode_block[][16];
extern const uint16_t jt_unicode_first[256]; /* by byte: 1 << class of an ASCII character; 0 for other bytes */

/* cp <= 0x10FFFF. */
static inline unsigned jt_unicode_class(uint32_t cp) {
    return (unsigned)(jt_unicode_block[jt_unicode_page[cp >> 8]][cp >> 4 & 15] >> (cp & 15) * 4) & 15;
}

#endif
