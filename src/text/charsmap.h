/* charsmap.h: SentencePiece's precompiled_charsmap: a map from strings to strings as a double array (Darts).
 *
 * Bytes: a little-endian u32, the size of the trie; the trie, u32 units; replacements, each ended by a NUL, to which a
 * leaf's value is the offset. A unit: bits 0-7 label, 8 whether a leaf follows, 9 whether the offset (bits 10-30) is shifted by
 * 8; the top bit marks a leaf, whose low 31 bits are the value. */
#ifndef JT_TEXT_CHARSMAP_H
#define JT_TEXT_CHARSMAP_H

#include "text/flow.h"

typedef struct jt_charsmap jt_charsmap;

/* `v` must outlive the map. JT_FORMAT if sizes do not fit together. */
jt_status jt_charsmap_new(jt_view v, jt_charsmap **out, jt_error *err);
void jt_charsmap_free(jt_charsmap *m);

/* Replaces the text's characters. As SentencePiece does it: at each place the longest string of the map, else the character;
 * a byte that is not UTF-8 is U+FFFD. `graphemes`: as Hugging Face does it: a grapheme of less than 6 bytes that begins with a
 * string of the map is replaced as a whole by what the shortest such string becomes; else its characters are, one by one. */
jt_status jt_charsmap_run(const jt_charsmap *m, jt_flow *f, bool graphemes, jt_error *err);

/* The end of the extended grapheme cluster (Unicode Standard Annex 29) that begins at s[at]; at < n. Flags and conjuncts
 * are left in parts, which are never shorter than 6 bytes when put together. */
size_t jt_grapheme_end(const char *s, size_t n, size_t at);

typedef struct jt_grapheme_run {
    uint32_t first, last;
    uint8_t kind; /* JT_GRAPHEME_* */
} jt_grapheme_run;
enum {
    JT_GRAPHEME_CONTROL = 1,
    JT_GRAPHEME_EXTEND, /* and spacing marks, which join what is before them as well */
    JT_GRAPHEME_ZWJ,
    JT_GRAPHEME_PREPEND,
    JT_GRAPHEME_L,
    JT_GRAPHEME_V,
    JT_GRAPHEME_T,
    JT_GRAPHEME_LV,
    JT_GRAPHEME_LVT,
    JT_GRAPHEME_PICTURE
};
extern const jt_grapheme_run jt_grapheme_table[]; /* ascending; Hangul syllables are not in it */
extern const size_t jt_grapheme_runs;

#endif
