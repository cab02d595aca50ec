/* thread.h: a pool of workers that run one function together.
 *
 * jt_pool_run calls fn(arg, i, n) once on each of the n threads, the caller
 * being thread 0, and returns when all have returned. Inside fn, jt_pool_barrier
 * waits until all n threads have come there. Waiting threads spin briefly and
 * then sleep; with more threads than processors they sleep at once. A pool runs
 * one function at a time: calls from several threads take turns. */
#ifndef JT_CORE_THREAD_H
#define JT_CORE_THREAD_H

#include "jeton/status.h"

typedef struct jt_pool jt_pool;
typedef void jt_pool_fn(void *arg, int thread, int threads);

/* threads >= 1; 0 means one per processor this process may use. At most 1024. */
jt_status jt_pool_new(int threads, jt_pool **out, jt_error *err);
int jt_pool_threads(const jt_pool *p);
void jt_pool_run(jt_pool *p, jt_pool_fn *fn, void *arg);
void jt_pool_barrier(jt_pool *p);
void jt_pool_free(jt_pool *p);

/* Processors that this process may use, at least 1. */
int jt_processors(void);

#endif
