/* table_vnni256_avx2.c: the AVX-VNNI variant of the kernel table, once for each encoding of vpdpbusd. All but the integer
 * products are the AVX2 kernels. */
#include "tensor/x86/avx2.h"

#define VNNI256_TABLE(encoding)                                                                                                            \
    {                                                                                                                                      \
        .name = "avxvnni", .panel_f32 = jt_avx2_panel_f32, .panel_i8 = jt_##encoding##_panel_i8, .panel_bf16 = jt_avx2_panel_bf16,         \
        .panel_pairs = jt_avx2_panel_pairs, .to_bf16 = jt_avx2_to_bf16, .panel_expand = jt_avx2_panel_expand,                              \
        .pack_panel = jt_avx2_pack_panel, .quant_write = jt_avx2_quant_write, .quantise = jt_avx2_quantise,                                \
        .block_sums = jt_avx2_block_sums, .rms_norm = jt_avx2_rms_norm, .add = jt_avx2_add, .swiglu = jt_avx2_swiglu,                      \
        .rope = jt_avx2_rope, .exp = jt_avx2_exp, .to_f16 = jt_avx2_to_f16, .from_f16 = jt_avx2_from_f16, .to_q8 = jt_avx2_to_q8,          \
        .conv = jt_avx2_conv, .recur = jt_avx2_recur, .attn_tile = jt_avx2_attn_tile, .attn_end = jt_avx2_attn_end, .max = jt_avx2_max,    \
        .sum_exp = jt_avx2_sum_exp, .scan = jt_avx2_scan, .collect = jt_avx2_collect, .clip = jt_avx2_clip,                                \
    }

#if JT_HAS_AVXVNNI
const jt_kernels jt_kernels_avxvnni = VNNI256_TABLE(avxvnni);
#endif
const jt_kernels jt_kernels_avxvnni_evex = VNNI256_TABLE(avxvnni_evex);

#undef VNNI256_TABLE
