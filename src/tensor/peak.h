/* peak.h: what one thread of this machine can do at most, measured.
 *
 * Each loop runs for about `seconds` and works from registers alone, with the
 * widest instructions of the kernel table `k`. Run one on every thread of a
 * pool and add the results to get the machine's figure. */
#ifndef JT_TENSOR_PEAK_H
#define JT_TENSOR_PEAK_H

#include <stddef.h>

#include "tensor/kernels.h"

/* 8-bit products accumulated in integers: operations a second (a multiplication and an addition are two). */
double jt_peak_int8(const jt_kernels *k, double seconds);
/* Float32 fused multiply-adds: operations a second (two each). */
double jt_peak_float(const jt_kernels *k, double seconds);
/* Products of bfloat16 added up in float32: operations a second (two each). That of floats where there is no instruction for it. */
double jt_peak_bf16(const jt_kernels *k, double seconds);
/* What the instructions of `k` do in one cycle on a core with two vector ports of `k`'s width that multiply (NEON: four):
 * int8, float and bfloat16 operations. A machine may do less (one port, narrower units) but hardly more. */
void jt_peak_per_cycle(const jt_kernels *k, double *int8, double *flt, double *bf16);
/* Cycles a second of the core now, from a chain of dependent additions, one a cycle. */
double jt_core_clock(double seconds);
/* Bytes a second of reading `bytes` (a multiple of 256, 64-byte aligned) at `buffer` again and again. Larger than
 * the caches, and written to before, it gives the memory's bandwidth. */
double jt_read_bandwidth(const jt_kernels *k, const void *buffer, size_t bytes, double seconds);

#endif
