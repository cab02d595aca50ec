/* imatrix.h: importance matrices: of each matrix, the mean square of every column's input over a text.
 *
 * Read in both forms that llama.cpp knows: a GGUF file with tensors NAME.in_sum2 and NAME.counts, and the older .dat. */
#ifndef JT_MODEL_IMATRIX_H
#define JT_MODEL_IMATRIX_H

#include "core/mem.h"
#include "jeton/status.h"

struct jt_convert_tensor;

/* Of one matrix: [experts][cols]. */
typedef struct jt_imatrix_row {
    const char *name; /* of the matrix in GGUF, "blk.0.attn_q.weight" */
    uint64_t cols, experts;
    const float *mean; /* of squares; 1 where nothing was counted */
} jt_imatrix_row;

typedef struct jt_imatrix jt_imatrix;
jt_status jt_imatrix_open(const char *path, jt_imatrix **out, jt_error *err);
/* The same from n bytes, either form. */
jt_status jt_imatrix_parse(const void *p, size_t n, jt_imatrix **out, jt_error *err);
void jt_imatrix_free(jt_imatrix *m);
size_t jt_imatrix_rows(const jt_imatrix *m);
const jt_imatrix_row *jt_imatrix_row_at(const jt_imatrix *m, size_t i);
const jt_imatrix_row *jt_imatrix_find(const jt_imatrix *m, const char *name);
/* Gives a tensor the weights of its columns, if the matrix has them; JT_INVALID when their number differs. */
jt_status jt_imatrix_weights(const jt_imatrix *m, struct jt_convert_tensor *t, jt_error *err);

/* ---- making one ---- */

struct jt_model;
struct jt_env;
struct jt_opnode;
typedef struct jt_imatrix_sums jt_imatrix_sums;
/* From now on the evals of the model add up the squares of what its matrices inside the layers are multiplied with. The
 * model must outlive *out. One at a time. */
jt_status jt_imatrix_collect(struct jt_model *m, jt_imatrix_sums **out, jt_error *err);
/* Writes what was added up, as llama.cpp's GGUF form; `text` and the numbers of chunks say what of. */
jt_status jt_imatrix_save(const jt_imatrix_sums *s, const char *path, const char *text, uint64_t chunks, uint64_t chunk, jt_error *err);
/* Matrices that were met. */
size_t jt_imatrix_met(const jt_imatrix_sums *s);
/* Ends the adding. NULL is fine. */
void jt_imatrix_stop(jt_imatrix_sums *s);
/* For eval: looks at the inputs of an operator. */
void jt_imatrix_watch(void *self, const struct jt_env *e, const struct jt_opnode *n);

#endif
