/* table.c: the scalar variant of the kernel table. */
#include "tensor/ref/ref.h"

const jt_kernels jt_kernels_scalar = {
    .name = "scalar",
    .panel_f32 = jt_ref_panel_f32,
    .panel_i8 = jt_ref_panel_i8,
    .panel_bf16 = jt_ref_panel_bf16,
    .panel_pairs = jt_ref_panel_pairs,
    .to_bf16 = jt_ref_to_bf16,
    .panel_expand = jt_ref_panel_expand,
    .pack_panel = jt_ref_pack_panel,
    .quantise = jt_ref_quantise,
    .block_sums = jt_ref_block_sums,
    .rms_norm = jt_ref_rms_norm,
    .add = jt_ref_add,
    .swiglu = jt_ref_swiglu,
    .rope = jt_ref_rope,
    .exp = jt_ref_exp,
    .to_f16 = jt_ref_to_f16,
    .from_f16 = jt_ref_from_f16,
    .to_q8 = jt_ref_to_q8,
    .conv = jt_ref_conv,
    .recur = jt_ref_recur,
    .attn_tile = jt_ref_attn_tile,
    .attn_end = jt_ref_attn_end,
    .max = jt_ref_max,
    .sum_exp = jt_ref_sum_exp,
};
