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

/* The time that the first thread spent in operators of one name, waiting for the others included. */
typedef struct jt_op_time {
    const char *name;
    double seconds;
} jt_op_time;
enum { JT_OP_TIMES = 48 };

struct jt_engine {
    jt_pool *pool;
    const jt_kernels *kernels;
    jt_backend *backend;
    jt_streamed *streamed; /* [threads] */
    jt_op_time *time;      /* [JT_OP_TIMES] where operators are timed; NULL: they are not */
    bool unfused;          /* for comparisons: lists built from now on keep every operator */
};

/* Bytes of weight matrices that products of networks and heads have read (adapters not counted), since the engine was
 * made. For tests; not while the engine runs. */
uint64_t jt_engine_streamed(const jt_engine *e);
/* Called by thread `thread` of the pool, once for each matrix. */
static inline void jt_engine_count(const jt_engine *e, int thread, size_t bytes) { e->streamed[thread].bytes += bytes; }

/* Begins to time operators anew, or stops. Not while the engine runs. JT_NOMEM. */
jt_status jt_engine_time(jt_engine *e, bool on, jt_error *err);
/* Adds to the time of operators of this name; names are compared by address. Called by the first thread. */
void jt_engine_timed(const jt_engine *e, const char *name, double seconds);
/* Seconds of a clock that only goes forward. */
double jt_engine_clock(void);

/* As jt_engine_new, with a guarded backend (tests). */
jt_status jt_engine_new_guarded(const jt_engine_options *o, jt_engine **out, jt_error *err);

#endif
