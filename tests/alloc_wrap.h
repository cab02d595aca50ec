/* alloc_wrap.h: makes allocations of the program under test fail on demand, and counts live ones. */
#ifndef TESTS_ALLOC_WRAP_H
#define TESTS_ALLOC_WRAP_H

/* From now on the n-th allocation (0: the next) fails, once; n < 0: none fails. Counting starts anew. */
void alloc_fail_at(long n);
/* Allocations asked for since alloc_fail_at. */
long alloc_count(void);

#endif
