/* peak_loops.h: the measuring loops of each instruction set, for peak.c.
 *
 * Each does `rounds` rounds of independent operations in registers and gives the
 * number of arithmetic operations done; a read loop gives a value that depends on
 * every byte. JT_KEEP hides a value from the compiler, so that nothing is left out. */
#ifndef JT_TENSOR_PEAK_LOOPS_H
#define JT_TENSOR_PEAK_LOOPS_H

#include <stddef.h>
#include <stdint.h>

#define JT_KEEP(constraint, value) __asm__ volatile("" : "+" constraint(value))

double jt_peak_loop_int8_avx2(long rounds);
double jt_peak_loop_float_avx2(long rounds);
uint64_t jt_read_loop_avx2(const void *p, size_t bytes);
double jt_peak_loop_int8_avxvnni(long rounds);
double jt_peak_loop_int8_avxvnni_evex(long rounds);
double jt_peak_loop_int8_avx512(long rounds);
double jt_peak_loop_float_avx512(long rounds);
double jt_peak_loop_bf16_avx512bf16(long rounds);
uint64_t jt_read_loop_avx512(const void *p, size_t bytes);
double jt_peak_loop_int8_neon(long rounds);
double jt_peak_loop_float_neon(long rounds);
uint64_t jt_read_loop_neon(const void *p, size_t bytes);

#endif
