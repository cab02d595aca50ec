/* eval_ids.h: token ids from a file, a table of rows of equal length. */
#ifndef JT_CLI_EVAL_IDS_H
#define JT_CLI_EVAL_IDS_H

#include <stddef.h>
#include <stdint.h>

#include "jeton/status.h"

typedef struct jt_eval_ids {
    int32_t *ids; /* [rows][length] */
    size_t rows;
    int length;
} jt_eval_ids;

/* Reads `path`: a safetensors file with an integer tensor `tensor` of shape [N, T] or
 * [T], or else text ("-": standard input), a line of ids each with blanks or commas
 * between them; empty lines are passed over. Lines of unequal length, numbers that
 * are no ids and ids outside [0, vocab) are refused with their place. */
jt_status jt_eval_ids_read(const char *path, const char *tensor, int vocab, jt_eval_ids *out, jt_error *err);
void jt_eval_ids_free(jt_eval_ids *e);

#endif
