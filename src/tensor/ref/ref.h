/* ref.h: the scalar kernels, which say what every other variant must give (docs/numbers.md). See tensor/kernels.h. */
#ifndef JT_TENSOR_REF_H
#define JT_TENSOR_REF_H

#include "tensor/kernels.h"

void jt_ref_panel_f32(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy);
void jt_ref_panel_i8(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy);
void jt_ref_panel_bf16(const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy);
void jt_ref_panel_pairs(jt_panel_kind kind, const void *panel, int cols, void *out);
void jt_ref_to_bf16(const float *x, int n, uint16_t *y);
void jt_ref_panel_expand(jt_panel_kind kind, const void *panel, int cols, float *out);
void jt_ref_quant_write(const jt_quant_plan *p, const float *x, const float *importance, size_t blocks, unsigned char *out);
void jt_ref_pack_panel(const jt_format *f, const void *const rows[JT_PANEL], int cols, void *panel);
void jt_ref_quantise(const float *x, int cols, int8_t *q, float *d, float *s);
void jt_ref_block_sums(const int8_t *q, int cols, int by, int32_t *out);

void jt_ref_rms_norm(const float *x, const float *w, int n, float eps, float *y, float *inv);
void jt_ref_add(const float *a, const float *b, int n, float *y);
void jt_ref_swiglu(const float *g, const float *u, int n, float *y);
void jt_ref_rope(float *x, int heads, int dim, int rot, int interleaved, const float *c, const float *s);
void jt_ref_exp(const float *x, int n, float *y);
void jt_ref_to_f16(const float *x, int n, uint16_t *y);
void jt_ref_from_f16(const uint16_t *x, int n, float *y);
void jt_ref_to_q8(const float *x, int n, int8_t *q, uint16_t *d);
float jt_ref_max(const float *x, int n);
void jt_ref_sum_exp(const float *x, int n, float m, double *S, double *T);
int jt_ref_scan(const float *x, int n, float *top);
int jt_ref_collect(const float *x, int n, float lo, float hi, int most, int32_t *place, float *value);
void jt_ref_clip(const float *x, int n, float lo, float hi, float *y);

void jt_ref_conv(const float *const *x, const float *w, int stride, const float *bias, int taps, int n, float *y);
void jt_ref_recur(const jt_recur *r);

void jt_ref_attn_tile(const jt_attn_tile *t);
void jt_ref_attn_end(const float *acc, float l, int dim, float *out);

#endif
