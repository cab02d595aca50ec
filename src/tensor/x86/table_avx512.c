/* table_avx512.c: the AVX-512 variant of the kernel table, and that for processors which have vpdpbf16ps too. What waits for
 * memory or gains nothing from wider vectors is the AVX2 kernel. */
#include "tensor/x86/avx512.h"

#define AVX512_TABLE(variant)                                                                                                              \
    {                                                                                                                                      \
        .name = #variant, .panel_bf16 = jt_##variant##_panel_bf16, .panel_f32 = jt_avx512_panel_f32, .panel_i8 = jt_avx512_panel_i8,       \
        .pair_i8 = jt_avx512_pair_i8, .panel_pairs = jt_avx2_panel_pairs, .to_bf16 = jt_avx2_to_bf16,                                      \
        .panel_expand = jt_avx2_panel_expand, .pack_panel = jt_avx2_pack_panel, .quant_write = jt_avx2_quant_write,                        \
        .quantise = jt_avx2_quantise, .block_sums = jt_avx2_block_sums, .rms_norm = jt_avx2_rms_norm, .add = jt_avx2_add,                  \
        .swiglu = jt_avx512_swiglu, .rope = jt_avx2_rope, .exp = jt_avx512_exp, .to_f16 = jt_avx2_to_f16, .from_f16 = jt_avx2_from_f16,    \
        .to_q8 = jt_avx2_to_q8, .conv = jt_avx512_conv, .recur = jt_avx512_recur, .attn_tile = jt_avx512_attn_tile,                        \
        .attn_end = jt_avx2_attn_end, .max = jt_avx2_max, .sum_exp = jt_avx512_sum_exp, .scan = jt_avx2_scan,                              \
        .collect = jt_avx512_collect, .clip = jt_avx2_clip                                                                                 \
    }

const jt_kernels jt_kernels_avx512 = AVX512_TABLE(avx512);
#if JT_HAS_AVX512BF16
const jt_kernels jt_kernels_avx512bf16 = AVX512_TABLE(avx512bf16);
#endif

#undef AVX512_TABLE
