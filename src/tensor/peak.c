/* peak.c: measures arithmetic peaks, clock and read bandwidth of one thread. */
#include "tensor/peak.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "tensor/peak_loops.h"

static double peak_loop_int8_scalar(long rounds) {
    int32_t acc[4] = {0};
    for (long i = 0; i < rounds; i++)
        for (int j = 0; j < 4; j++) {
            int32_t w = (int32_t)i & 127;
            JT_KEEP("r", w);
            acc[j] += w * 3;
            JT_KEEP("r", acc[j]);
        }
    return 8 * (double)rounds;
}

static double peak_loop_float_scalar(long rounds) {
    float acc[4] = {0}, w = 0.5f;
    for (long i = 0; i < rounds; i++)
        for (int j = 0; j < 4; j++) {
            acc[j] = fmaf(acc[j], w, 1);
            JT_KEEP("m", acc[j]);
        }
    return 8 * (double)rounds;
}

static uint64_t read_loop_scalar(const void *p, size_t bytes) {
    uint64_t sum[4] = {0}, v[4];
    const char *at = p;
    for (size_t i = 0; i + sizeof v <= bytes; i += sizeof v) {
        memcpy(v, at + i, sizeof v);
        for (int j = 0; j < 4; j++) sum[j] += v[j];
    }
    return sum[0] ^ sum[1] ^ sum[2] ^ sum[3];
}

typedef struct peak_variant {
    const jt_kernels *k;
    double (*int8)(long), (*flt)(long);
    uint64_t (*read)(const void *, size_t);
    double int8_cycle, float_cycle;
    double (*bf16)(long); /* twice as many operations as of floats; NULL: products are made of floats */
} peak_variant;

static const peak_variant peak_variants[] = {
    {&jt_kernels_scalar, peak_loop_int8_scalar, peak_loop_float_scalar, read_loop_scalar, 4, 4},
#if defined(__x86_64__)
    {&jt_kernels_avx2, jt_peak_loop_int8_avx2, jt_peak_loop_float_avx2, jt_read_loop_avx2, 64, 32},
#if JT_HAS_AVXVNNI
    {&jt_kernels_avxvnni, jt_peak_loop_int8_avxvnni, jt_peak_loop_float_avx2, jt_read_loop_avx2, 128, 32},
#endif
    {&jt_kernels_avxvnni_evex, jt_peak_loop_int8_avxvnni_evex, jt_peak_loop_float_avx2, jt_read_loop_avx2, 128, 32},
#if JT_HAS_AVX512BF16
    {&jt_kernels_avx512bf16, jt_peak_loop_int8_avx512, jt_peak_loop_float_avx512, jt_read_loop_avx512, 256, 64,
     jt_peak_loop_bf16_avx512bf16},
#endif
    {&jt_kernels_avx512, jt_peak_loop_int8_avx512, jt_peak_loop_float_avx512, jt_read_loop_avx512, 256, 64},
#endif
#if defined(__aarch64__)
    {&jt_kernels_neon, jt_peak_loop_int8_neon, jt_peak_loop_float_neon, jt_read_loop_neon, 128, 32},
#endif
};

static const peak_variant *peak_variant_of(const jt_kernels *k) {
    for (size_t i = 1; i < sizeof peak_variants / sizeof *peak_variants; i++)
        if (peak_variants[i].k == k) return &peak_variants[i];
    return peak_variants;
}

static double peak_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The best rate of a loop over slices of the time given: what interrupts a slice does not count. */
static double peak_rate(double (*loop)(long), double seconds) {
    long rounds = 1000;
    double best = 0, end = peak_now() + seconds;
    do {
        double start = peak_now(), ops = loop(rounds), took = peak_now() - start;
        if (took < 1e-3) {
            rounds *= 2;
            continue;
        }
        if (ops / took > best) best = ops / took;
    } while (peak_now() < end || best == 0);
    return best;
}

double jt_peak_int8(const jt_kernels *k, double seconds) { return peak_rate(peak_variant_of(k)->int8, seconds); }
double jt_peak_float(const jt_kernels *k, double seconds) { return peak_rate(peak_variant_of(k)->flt, seconds); }
double jt_peak_bf16(const jt_kernels *k, double seconds) {
    const peak_variant *v = peak_variant_of(k);
    return peak_rate(v->bf16 ? v->bf16 : v->flt, seconds);
}

void jt_peak_per_cycle(const jt_kernels *k, double *int8, double *flt, double *bf16) {
    const peak_variant *v = peak_variant_of(k);
    *int8 = v->int8_cycle;
    *flt = v->float_cycle;
#if defined(__x86_64__)
    /* Zen 4 works on 512 bits with two halves of a port pair: one multiplication a cycle. */
    if (v->float_cycle == 64 && __builtin_cpu_is("amdfam19h")) *int8 /= 2, *flt /= 2;
#endif
    *bf16 = v->bf16 ? 2 * *flt : *flt;
}

static double clock_loop(long rounds) {
    uint64_t x = 0;
    for (long i = 0; i < rounds; i++) {
#define ADD                                                                                                                                \
    x += 1;                                                                                                                                \
    JT_KEEP("r", x);
        ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD
#undef ADD
    }
    return 16 * (double)rounds;
}

double jt_core_clock(double seconds) { return peak_rate(clock_loop, seconds); }

double jt_read_bandwidth(const jt_kernels *k, const void *buffer, size_t bytes, double seconds) {
    const peak_variant *v = peak_variant_of(k);
    double start = peak_now(), passed = 0, read = 0;
    do {
        uint64_t sum = v->read(buffer, bytes);
        JT_KEEP("r", sum);
        read += (double)bytes;
        passed = peak_now() - start;
    } while (passed < seconds);
    return read / passed;
}
