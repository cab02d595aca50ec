/* unroll.h: full unrolling of the short loops over the rows of a register tile. */
#ifndef JT_TENSOR_UNROLL_H
#define JT_TENSOR_UNROLL_H

#if defined(__clang__)
#define JT_UNROLL _Pragma("clang loop unroll(full)")
#else
#define JT_UNROLL _Pragma("GCC unroll 32")
#endif
#define JT_INLINE static inline __attribute__((always_inline))

#endif
