/* unroll.h: full unrolling of the short loops over the rows of a register tile. */
#ifndef JT_TENSOR_UNROLL_H
#define JT_TENSOR_UNROLL_H

#if defined(__clang__)
#define JT_UNROLL _Pragma("clang loop unroll(full)")
#else
#define JT_UNROLL _Pragma("GCC unroll 32")
#endif
/* Keeps integer additions as written: GCC would regroup them, and then lacks registers. */
#define JT_IN_ORDER(v) __asm__ volatile("" : "+x"(v))
/* What the caller promises by the kind of panel, where neither compiler nor analyzer can see it. */
#define JT_GIVEN(p)                                                                                                                        \
    do {                                                                                                                                   \
        if (!(p)) __builtin_unreachable();                                                                                                 \
    } while (0)
#define JT_INLINE static inline __attribute__((always_inline))

#endif
