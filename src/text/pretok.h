/* pretok.h: pre-tokenisers, which cut text into the pieces that BPE works on.
 *
 * Models name theirs by a string (GGUF: tokenizer.ggml.pre) that stands for a
 * regular expression of the tokenizer they were trained with. Each known one is
 * a hand-written function that gives the same pieces; every byte is in exactly
 * one piece. A byte that is not valid UTF-8 counts as one character of class
 * "other". */
#ifndef JT_TEXT_PRETOK_H
#define JT_TEXT_PRETOK_H

#include <stdbool.h>
#include <stddef.h>

#include "core/str.h"

/* The end of the piece of s[0..n) that begins at `at` < n, where `at` is 0 or the end of another piece. */
typedef size_t jt_pretok_fn(const char *s, size_t n, size_t at);

typedef struct jt_pretok {
    const char *name;
    jt_pretok_fn *next;
    bool ignore_merges; /* what the models that use it ask for, where their files do not say */
    bool add_bos;
    bool nfc; /* text is composed first */
} jt_pretok;

/* NULL if the name is not known. */
const jt_pretok *jt_pretok_find(const char *name, size_t n);
/* Appends the known names, separated by ", ". */
void jt_pretok_names(jt_str *out);

#endif
