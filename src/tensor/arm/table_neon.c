/* table_neon.c: the NEON variant of the kernel table. */
#include "tensor/arm/neon.h"
#include "tensor/ref/ref.h"

const jt_kernels jt_kernels_neon = {
    .name = "neon",
    .panel_f32 = jt_neon_panel_f32,
    .panel_i8 = jt_neon_panel_i8,
    .panel_bf16 = jt_ref_panel_bf16,
    .panel_pairs = jt_ref_panel_pairs,
    .to_bf16 = jt_ref_to_bf16,
    .panel_expand = jt_neon_panel_expand,
    .pack_panel = jt_neon_pack_panel,
    .quant_write = jt_ref_quant_write,
    .quantise = jt_neon_quantise,
    .block_sums = jt_neon_block_sums,
    .rms_norm = jt_neon_rms_norm,
    .add = jt_neon_add,
    .swiglu = jt_neon_swiglu,
    .rope = jt_neon_rope,
    .exp = jt_neon_exp,
    .to_f16 = jt_neon_to_f16,
    .from_f16 = jt_neon_from_f16,
    .to_q8 = jt_neon_to_q8,
    .conv = jt_neon_conv,
    .recur = jt_neon_recur,
    .attn_tile = jt_neon_attn_tile,
    .attn_end = jt_neon_attn_end,
    .max = jt_neon_max,
    .sum_exp = jt_neon_sum_exp,
    .scan = jt_ref_scan,
    .collect = jt_ref_collect,
    .clip = jt_ref_clip,
};
