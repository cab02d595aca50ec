/* alloc_wrap.h: makes allocations of the program under test fail on demand, and counts them and their bytes. */
#ifndef TESTS_ALLOC_WRAP_H
#define TESTS_ALLOC_WRAP_H

#include <stddef.h>

/* From now on the n-th allocation (0: the next) fails, once; n < 0: none fails. Counting starts anew. */
void alloc_fail_at(long n);
/* Allocations asked for since alloc_fail_at, and their bytes. What is freed is not taken off: bytes are a bound from
 * above on what the program holds more. */
long alloc_count(void);
size_t alloc_bytes(void);

#endif
