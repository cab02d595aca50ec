/* regex_pattern.h: patterns as tokenizers write them, in the words of PCRE2. */
#ifndef JT_TEXT_REGEX_PATTERN_H
#define JT_TEXT_REGEX_PATTERN_H

#include "core/str.h"

/* Appends to `out`. `script`: a long name of a property is a script's, said so that newer versions of PCRE2 understand.
 * JT_UNSUPPORTED for a class that PCRE2 has no words for. */
jt_status jt_regex_pattern(const char *pattern, size_t n, bool script, jt_str *out, jt_error *err);

#endif
