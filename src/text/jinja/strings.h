/* strings.h: what methods and filters do to text. Characters are code points; white space and cases are Python's. */
#ifndef JT_TEXT_JINJA_STRINGS_H
#define JT_TEXT_JINJA_STRINGS_H

#include "text/jinja/value.h"

typedef enum jt_jcase { JT_J_LOWER, JT_J_UPPER, JT_J_TITLE, JT_J_FOLD, JT_J_CAPITAL, JT_J_SWAP } jt_jcase;
const jt_jstr *jt_jstr_case(jt_jrun *r, const jt_jstr *s, jt_jcase how);
/* `chars` NULL: white space. */
const jt_jstr *jt_jstr_strip(jt_jrun *r, const jt_jstr *s, const jt_jstr *chars, bool left, bool right);
/* At most `most` times, any number when that is negative. */
const jt_jstr *jt_jstr_replace(jt_jrun *r, const jt_jstr *s, const jt_jstr *from, const jt_jstr *to, int64_t most);
jt_jlist *jt_jstr_lines(jt_jrun *r, const jt_jstr *s, bool keep_ends);
/* To `width` characters; side '<' puts the fill (NULL: a space) at the right, '>' at the left, '^' at both. */
const jt_jstr *jt_jstr_pad(jt_jrun *r, const jt_jstr *s, int64_t width, const jt_jstr *fill, char side);
/* Every character has one of the JT_CHAR_ bits, and there is one. */
bool jt_jstr_all(const jt_jstr *s, unsigned kind);
/* No character of the kind `not`, and one of the kind `kind`. */
bool jt_jstr_cased(const jt_jstr *s, unsigned kind, unsigned not );

/* Places in bytes: behind the white space at `at`; of the next white space; before the white space that ends at `end`; of the
 * beginning of the word that ends at `end`. */
size_t jt_jspace_past(const jt_jstr *s, size_t at);
size_t jt_jspace_next(const jt_jstr *s, size_t at);
size_t jt_jspace_before(const jt_jstr *s, size_t end);
size_t jt_jspace_last(const jt_jstr *s, size_t end);

#endif
