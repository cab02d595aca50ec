/* added.h: added tokens, which are looked for in the text before anything is done to it.
 *
 * As Hugging Face tokenizers find them: leftmost, then longest; a token that must be a word by itself and is not is passed over
 * with its text; white space beside a token may belong to it. */
#ifndef JT_TEXT_ADDED_H
#define JT_TEXT_ADDED_H

#include "text/trie.h"

enum {
    JT_ADDED_WORD = 1,  /* not beside a character of a word */
    JT_ADDED_LEFT = 2,  /* takes the white space before it */
    JT_ADDED_RIGHT = 4, /* takes the white space after it */
    JT_ADDED_LATER = 8  /* is looked for after normalisation */
};

typedef struct jt_added {
    jt_trie trie;
    bool first[256]; /* bytes that one of them begins with */
    bool any;
    const uint8_t *flags; /* by id; the caller's; NULL: none has any */
    size_t longest;       /* bytes */
} jt_added;

typedef struct jt_added_hit {
    uint32_t id; /* JT_NO_TOKEN: none; then begin = end = n */
    size_t begin, end;
    size_t next; /* where to look for the next one; may lie before `end` */
} jt_added_hit;

/* Of names[ids[0..n)], all different and not empty. */
jt_status jt_added_init(jt_added *a, const jt_view *names, const uint32_t *ids, size_t n, const uint8_t *flags, jt_error *err);
void jt_added_free(jt_added *a);
/* The next one in s[0..n) whose text begins at or after `at`; white space it takes begins at or after `floor`. `names` as before. */
jt_added_hit jt_added_next(const jt_added *a, const jt_view *names, const char *s, size_t n, size_t at, size_t floor);

#endif
