/* try_line.h: a line of `jeton methods try`, {"logits": [...], "history": [...], ...}.
 *
 * Read without a document in between, since a line may hold some hundred thousand
 * numbers. A number is read as double and then rounded to float32, as Python does. */
#ifndef JT_CLI_TRY_LINE_H
#define JT_CLI_TRY_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jeton/status.h"

typedef struct jt_try_numbers {
    float *x;
    size_t n, cap;
    bool given;
} jt_try_numbers;

/* Zero-initialised is ready; memory is kept from line to line. */
typedef struct jt_try_line {
    jt_try_numbers logits, raw, second, hidden;
    int32_t *history;
    size_t n_history, cap_history;
    bool has_history;
    int64_t prompt, position, seed, choice, chosen; /* -1: not given */
} jt_try_line;

/* Reads s[0..n). In logits null, "-inf" and -Infinity are -INFINITY; what is no number or infinite is JT_INVALID, naming the token.
 * Names that are not known are JT_UNKNOWN with the nearest, and what is not JSON is JT_FORMAT with its byte. */
jt_status jt_try_line_read(const char *s, size_t n, jt_try_line *out, jt_error *err);
void jt_try_line_free(jt_try_line *l);

#endif
