/* pack.h: weight matrices made ready for products.
 *
 * A matrix [rows][cols] is cut into panels of 16 rows (the last padded with
 * zeros), so that one vector lane works on one output and the chain of additions
 * of an output is the same for one activation row and for many. Packed panels
 * hold the integers and scales of the file unchanged; panel.h has their layout as numbers.
 *
 *   F32, F16, BF16   [cols][16] elements
 *   PAIRS            [(cols + 1) / 2][16][2] bfloat16 made of F32, F16 or BF16, for products in bfloat16; a column of zeros
 *                    after an odd number of them
 *   I8 (Q8_0)        per 32 columns: 8 groups of 4 columns, each [16 rows][4] signed bytes (512), then d[16] halfs (32)
 *   I4, I4M (Q4_0, Q4_1)  per 32 columns: 4 vectors [16 rows][4] bytes (256): byte (r, j) of vector v holds column
 *                    4v + j in its low and 16 + 4v + j in its high nibble, both as n in 0..15; then d[16] halfs,
 *                    and for I4M m[16] halfs
 *   I5, I5M (Q5_0, Q5_1)  per 32 columns: nibbles as in I4 (256) and 64 bytes [16 rows][4] after them: bit g of byte (r, j) is the
 *                    fifth bit of column 4g + j; then halfs as in I4, I4M. I5 has an offset of 16
 *   L4 (IQ4_NL)      as I4, but nibbles are places in the format's 16 values
 *   L4E, L4N (MXFP4, NVFP4)  the same with scales of 8 bits: [16] exponents, or [2][16] numbers (formats/nibbles.c)
 *   K4, K5 (Q4_K, Q5_K)  per 256 columns: d[16] and dmin[16] halfs, scales [8][16] and minima [8][16] bytes (320 together);
 *                    then 8 blocks of nibbles as in I4 (256), in K5 each with fifth bits as in I5 (64)
 *   K6 (Q6_K)        per 256 columns: d[16] halfs, 16 bytes unused, a float that d is multiplied by, to 64 bytes, and scales
 *                    [8][2][16] signed bytes (320 together); then 8 blocks of nibbles, each with two vectors [16 rows][4] (128)
 *                    after it: bits 2g and 2g + 1 of byte (r, j) of vector v are the high ones of column 16v + 4g + j;
 *                    integers are 0..63, with an offset of 32
 *   K3 (Q3_K)        the header of K6; 8 blocks of two such vectors with the low bits, and third bits as in I5; offset 4
 *   K2 (Q2_K)        per 256 columns: d and dmin as in K4, scales and minima [8][2][16] bytes each (576 together); then 8 blocks
 *                    of two bits (128)
 *   T2 (TQ1_0, TQ2_0)  the first 64 bytes of K6's header; then 8 blocks of two bits (128), with an offset of 1
 *   KL4 (IQ4_XS, IQ3_*), KL3 (IQ2_XXS, IQ1_S), KL3H (IQ2_XS, IQ2_S, IQ1_M)  the header of K6 with 16 values in the unused
 *                    bytes, in KL4 and KL3 with one scale for 32 columns [8][16] (192 together); 8 blocks of nibbles or of
 *                    three bits, which are places in those values
 *
 * A mapped matrix (no packed copy) is packed panel by panel into scratch when it is used. */
#ifndef JT_TENSOR_PACK_H
#define JT_TENSOR_PACK_H

#include "jeton/status.h"
#include "tensor/kernels.h"

typedef struct jt_matrix {
    const jt_format *format;
    int rows, cols;
    const void *data; /* rows as the file has them; owned by the weight file */
    size_t row_bytes;
    void *packed; /* panels, NULL when mapped */
    jt_panel_kind panel;
    size_t panel_bytes;
} jt_matrix;

/* Bytes of one packed panel; 0 when the format cannot be packed. */
size_t jt_panel_bytes(jt_panel_kind kind, int cols);
static inline int jt_matrix_panels(const jt_matrix *m) { return (m->rows + JT_PANEL - 1) / JT_PANEL; }

/* Fills `m` (nothing is allocated). JT_UNSUPPORTED when the format is not computed with, JT_INVALID when cols does not fit it. */
jt_status jt_matrix_init(jt_matrix *m, const jt_format *f, int rows, int cols, const void *data, jt_error *err);
/* For products in bfloat16 alone: panels become JT_PANEL_PAIRS, but those of quantised weights, which are expanded and rounded when
 * they are used. Before anything is packed. */
void jt_matrix_for_bf16(jt_matrix *m);
/* Allocates m->packed and packs panels [first, end) into it (call jt_matrix_pack_panels from several threads for speed). */
jt_status jt_matrix_alloc_packed(jt_matrix *m, jt_error *err);
void jt_matrix_pack_panels(const jt_kernels *k, jt_matrix *m, int first, int end);
void jt_matrix_free_packed(jt_matrix *m);

enum { JT_PASS_ROWS = 512 }; /* rows for which weights are read once */

/* Scratch bytes that one thread needs for jt_matmul with this matrix. */
size_t jt_matmul_scratch(const jt_matrix *m, jt_by by);
/* Outputs of panels [first, end) for all rows of `a`: y[r * ldy + o], o from 16 * first to min(16 * end, m->rows).
 * JT_BY_INT8 uses a->q, d, s (quantised formats only), JT_BY_BF16 a->b (matrices for bfloat16 only), JT_BY_FLOAT a->x (all
 * others). Each weight panel is read once for every 512 rows of `a`.
 * Gives the bytes of weights read, packed or as in the file. */
size_t jt_matmul(const jt_kernels *k, const jt_matrix *m, const jt_acts *a, jt_by by, int first, int end, float *y, int ldy, void *scratch);
/* The same, where y begins with output 16 * first. */
size_t jt_matmul_panels(const jt_kernels *k, const jt_matrix *m, const jt_acts *a, jt_by by, int first, int end, float *y, int ldy,
                        void *scratch);
/* The bias that int8 products with this matrix want of the rows of `a`, in `out` [rows][cols / 16]: for callers that go
 * through a matrix in several calls. NULL when they want none. */
const int32_t *jt_matmul_bias(const jt_kernels *k, const jt_matrix *m, const jt_acts *a, int32_t *out);
/* The least number of panels that is worth a thread's asking for them, with this many rows of activations: a small product is
 * cut into one part for each thread. */
int jt_matmul_least(const jt_matrix *m, int rows, int threads);
/* One row of the matrix as float32, exactly (embedding lookup). */
void jt_matrix_row(const jt_matrix *m, int row, float *out);

#endif
