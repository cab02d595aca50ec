/* engine.h: what the public engine (jeton/engine.h) is made of. */
#ifndef JT_TENSOR_ENGINE_H
#define JT_TENSOR_ENGINE_H

#include <stdbool.h>

#include "core/mem.h"
#include "core/thread.h"
#include "jeton/engine.h"
#include "tensor/buffer.h"
#include "tensor/kernels.h"

/* What one thread has read, on a cache line of its own. */
typedef struct jt_streamed {
    _Alignas(JT_ALIGN) uint64_t bytes;
} jt_streamed;

struct jt_engine {
    jt_pool *pool;
    const jt_kernels *kernels;
    jt_backend *backend;
    jt_streamed *streamed; /* [threads] */
    bool unfused;          /* for comparisons: lists built from now on keep every operator */
};

/* Bytes of weight matrices that products of networks and heads have read (adapters not counted), since the engine was
 * made. For tests; not while the engine runs. */
uint64_t jt_engine_streamed(const jt_engine *e);
/* Called by thread `thread` of the pool, once for each matrix. */
static inline void jt_engine_count(const jt_engine *e, int thread, size_t bytes) { e->streamed[thread].bytes += bytes; }

/* As jt_engine_new, with a guarded backend (tests). */
jt_status jt_engine_new_guarded(const jt_engine_options *o, jt_engine **out, jt_error *err);

#endif
