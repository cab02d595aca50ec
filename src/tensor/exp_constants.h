/* exp_constants.h: the numbers of the float32 exponential, shared by all variants.
 *
 * e^x = 2^k e^r, k = x / log 2 rounded, r = x - k log 2 (two steps), and
 * e^r = 1 + r (1 + r (C2 + r (C3 + ...))), error below 4e-9 before rounding.
 * k is rounded by adding JT_EXP_ROUND: its low bits then are k's. Between
 * JT_EXP_MIN and JT_EXP_MAX the result is a normal number. */
#ifndef JT_TENSOR_EXP_CONSTANTS_H
#define JT_TENSOR_EXP_CONSTANTS_H

#define JT_EXP_MAX 0x1.62e42ep+6f
#define JT_EXP_MIN (-0x1.5d589ep+6f)
#define JT_EXP_LOG2E 0x1.715476p+0f
#define JT_EXP_ROUND 0x1.8p23f
#define JT_EXP_LN2_HI 0x1.62e430p-1f
#define JT_EXP_LN2_LO (-0x1.05c610p-29f)
#define JT_EXP_C2 0x1.fffff8p-2f
#define JT_EXP_C3 0x1.55548ep-3f
#define JT_EXP_C4 0x1.555b58p-5f
#define JT_EXP_C5 0x1.123b9ep-7f
#define JT_EXP_C6 0x1.687bf6p-10f

#endif
