/* kernels.c: chooses the table of kernels from the processor's features, asked at each call. */
#include "tensor/kernels.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

static int runs_avx2(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_F16C)) return 0;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
static int runs_avx512(void) {
    return runs_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
}
#if JT_HAS_AVX512BF16
static int runs_avx512bf16(void) {
    unsigned a, b, c, d;
    if (!runs_avx512() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || a < 1) return 0;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1) && jt_bf16_agrees(&jt_kernels_avx512bf16);
}
#endif
#if JT_HAS_AVXVNNI
static int runs_avxvnni(void) {
    unsigned a, b, c, d;
    if (!runs_avx2() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || a < 1) return 0;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}
#endif
#endif
#if defined(__aarch64__)
#include <sys/auxv.h>

/* NEON itself is always there. */
static int runs_neon(void) {
    enum { DOT_PRODUCT = 1 << 20 }; /* HWCAP_ASIMDDP of the kernel's <asm/hwcap.h> */
    return (getauxval(AT_HWCAP) & DOT_PRODUCT) != 0;
}
#endif
static int runs_always(void) { return 1; }

typedef struct kernel_variant {
    const jt_kernels *table;
    int (*runs)(void);
} kernel_variant;

/* Best first. Where two have one name the first that runs is taken. */
static const kernel_variant kernel_variants[] = {
#if defined(__x86_64__)
#if JT_HAS_AVX512BF16
    {&jt_kernels_avx512bf16, runs_avx512bf16},
#endif
    {&jt_kernels_avx512, runs_avx512},
#if JT_HAS_AVXVNNI
    {&jt_kernels_avxvnni, runs_avxvnni},
#endif
    {&jt_kernels_avxvnni_evex, runs_avx512},
    {&jt_kernels_avx2, runs_avx2},
#endif
#if defined(__aarch64__)
    {&jt_kernels_neon, runs_neon},
#endif
    {&jt_kernels_scalar, runs_always},
};

const jt_kernels *jt_kernels_pick(const char *name, int *known) {
    int best = !name || !strcmp(name, "auto");
    if (known) *known = best;
    for (size_t i = 0; i < sizeof kernel_variants / sizeof *kernel_variants; i++) {
        if (!best && strcmp(name, kernel_variants[i].table->name) != 0) continue;
        if (known) *known = 1;
        if (kernel_variants[i].runs()) return kernel_variants[i].table;
    }
    return NULL;
}
