/* vnni256_avx512.c: vpdpbusd on 256 bits in the encoding EVEX, for processors with AVX-512 VNNI. */
#include "tensor/peak_loops.h"

#define VNNI256(name) name##_avxvnni_evex
#define VNNI256_DPBUSD _mm256_dpbusd_epi32

#include "tensor/x86/products_i8_vnni256.h"

#include "tensor/x86/peak_vnni256.h"

void jt_avxvnni_evex_panel_i8(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    VNNI256(kind)(kind, panel, a, row, rows, y, ldy);
}

double jt_peak_loop_int8_avxvnni_evex(long rounds) { return VNNI256(peak_loop)(rounds); }

#undef VNNI256
#undef VNNI256_DPBUSD
