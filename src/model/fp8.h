/* fp8.h: weights in 8-bit floats (E4M3 of "FP8 Formats for Deep Learning", arXiv 2209.05433: four bits of exponent, three of
 * mantissa, no infinity) with a float scale for each tile, as DeepSeek-V3 is published (arXiv 2412.19437): NAME of dtype F8_E4M3
 * beside NAME_scale_inv [tiles down][tiles across]. A weight is the float32 product of both. */
#ifndef JT_MODEL_FP8_H
#define JT_MODEL_FP8_H

#include "model/config.h"
#include "model/safetensors.h"

typedef struct jt_fp8 {
    const uint8_t *data;
    const jt_st_tensor *scale;
    uint64_t rows, cols, tile_rows, tile_cols, across; /* tiles in a row */
} jt_fp8;

/* Whether a tensor is of that dtype and the model's settings say that there are scales. */
bool jt_fp8_is(const jt_config *c, const jt_st_tensor *t);
/* Finds and checks the scales of a matrix. */
jt_status jt_fp8_open(const jt_safetensors *f, const jt_config *c, const jt_st_tensor *t, jt_fp8 *out, jt_error *err);
/* The numbers of a row, [cols]. */
void jt_fp8_row(const jt_fp8 *w, uint64_t row, float *out);
/* One number. */
float jt_fp8_value(uint8_t bits);

#endif
