/* regex.h: regular expressions as tokenizer.json writes them (Oniguruma's syntax as far as PCRE2 has it). The only file
 * that knows PCRE2.
 *
 * Patterns and classes are Unicode's: \s is White_Space, ^ and $ match at lines, (?m) lets a dot match line breaks. A byte of
 * the text that is not UTF-8 counts as a character of no class. Patterns come from files: steps, depth and memory of
 * a match are bounded. */
#ifndef JT_TEXT_REGEX_H
#define JT_TEXT_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "jeton/status.h"

typedef struct jt_regex jt_regex; /* read-only after it is made: any number of threads may use it */

/* JT_FORMAT, with the place, for a pattern that cannot be read. */
jt_status jt_regex_new(const char *pattern, size_t n, jt_regex **out, jt_error *err);
void jt_regex_free(jt_regex *r);

/* Working memory of one call at a time; zero-initialised is ready. */
typedef struct jt_regex_work {
    void *match, *context, *stack;
    char *clean; /* the text with what is not UTF-8 replaced */
    size_t clean_cap;
} jt_regex_work;
void jt_regex_work_free(jt_regex_work *w);

/* To be called before matches in a text are asked for; *use is what to give to jt_regex_next in its stead. */
jt_status jt_regex_text(jt_regex_work *w, const char *s, size_t n, const char **use, jt_error *err);

typedef struct jt_regex_match {
    size_t begin, end;
    size_t group_begin, group_end; /* the first of the pattern's groups (of the first seven) that is not empty; without groups, all of it */
    bool found;
    bool open; /* more text at the end could change the answer; found out if asked for */
} jt_regex_match;
/* The leftmost match that begins at or after `at` in s[0..n), which comes from jt_regex_text; it may be empty. */
jt_status jt_regex_next(const jt_regex *r, jt_regex_work *w, const char *s, size_t n, size_t at, bool ask, jt_regex_match *m,
                        jt_error *err);

#endif
