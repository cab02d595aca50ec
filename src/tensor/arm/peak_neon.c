/* peak_neon.c: measuring loops for NEON with sdot. */
#include "tensor/arm/neon.h"

#include "tensor/peak_loops.h"

enum { CHAINS_NEON = 16 };

double jt_peak_loop_int8_neon(long rounds) {
    int32x4_t acc[CHAINS_NEON];
    int8x16_t w = vdupq_n_s8(3), q = vdupq_n_s8(-5);
    JT_UNROLL
    for (int j = 0; j < CHAINS_NEON; j++) acc[j] = vdupq_n_s32(0);
    for (long i = 0; i < rounds; i++) {
        JT_UNROLL
        for (int j = 0; j < CHAINS_NEON; j++) {
            acc[j] = vdotq_s32(acc[j], w, q);
            JT_KEEP("w", acc[j]);
        }
    }
    return 32.0 * CHAINS_NEON * (double)rounds;
}

double jt_peak_loop_float_neon(long rounds) {
    float32x4_t acc[CHAINS_NEON], w = vdupq_n_f32(0.5f), x = vdupq_n_f32(1);
    JT_UNROLL
    for (int j = 0; j < CHAINS_NEON; j++) acc[j] = x;
    for (long i = 0; i < rounds; i++) {
        JT_UNROLL
        for (int j = 0; j < CHAINS_NEON; j++) {
            acc[j] = vfmaq_f32(x, acc[j], w);
            JT_KEEP("w", acc[j]);
        }
    }
    return 8.0 * CHAINS_NEON * (double)rounds;
}

uint64_t jt_read_loop_neon(const void *p, size_t bytes) {
    const char *at = p;
    uint64x2_t sum[4];
    JT_UNROLL
    for (int j = 0; j < 4; j++) sum[j] = vdupq_n_u64(0);
    for (size_t i = 0; i + 64 <= bytes; i += 64) {
        __builtin_prefetch(at + i + 2048);
        JT_UNROLL
        for (int j = 0; j < 4; j++) sum[j] = vaddq_u64(sum[j], vreinterpretq_u64_u8(vld1q_u8((const uint8_t *)at + i + 16 * j)));
    }
    return vaddvq_u64(vaddq_u64(vaddq_u64(sum[0], sum[1]), vaddq_u64(sum[2], sum[3])));
}
