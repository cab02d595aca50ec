/* thread.h: a pool of workers that run one function together.
 *
 * jt_pool_run calls fn(arg, i, n) once on each of the n threads, the caller
 * being thread 0, and returns when all have returned. Inside fn, jt_pool_barrier
 * waits until all n threads have come there. Waiting threads spin briefly and
 * then sleep; with more threads than processors they sleep at once. A pool runs
 * one function at a time: calls from several threads take turns. */
#ifndef JT_CORE_THREAD_H
#define JT_CORE_THREAD_H

#include <stdatomic.h>
#include <stdbool.h>

#include "jeton/status.h"

typedef struct jt_pool jt_pool;
typedef void jt_pool_fn(void *arg, int thread, int threads);

/* threads >= 1; 0 means one per processor this process may use. At most 1024. */
jt_status jt_pool_new(int threads, jt_pool **out, jt_error *err);
int jt_pool_threads(const jt_pool *p);
void jt_pool_run(jt_pool *p, jt_pool_fn *fn, void *arg);
void jt_pool_barrier(jt_pool *p);
void jt_pool_free(jt_pool *p);

/* Pieces of work that threads take in turn: how many are taken. Taking says nothing about what other threads have written. */
typedef struct jt_turns {
    _Alignas(64) atomic_int n;
} jt_turns;
static inline void jt_turns_reset(jt_turns *c) { atomic_store_explicit(&c->n, 0, memory_order_relaxed); }
/* The next of `pieces` pieces, each given once; -1 when none is left. */
int jt_turns_take(jt_turns *c, int pieces);
/* The next part [*first, *end) of n items for one of `threads` threads; false when none is left. Parts become smaller towards
 * the end, down to `least` items, so that all threads end together whatever held one of them up. */
bool jt_turns_part(jt_turns *c, int n, int least, int threads, int *first, int *end);

/* Processors that this process may use, at least 1. */
int jt_processors(void);

#endif
