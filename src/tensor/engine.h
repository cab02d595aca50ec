/* engine.h: what the public engine (jeton/engine.h) is made of. */
#ifndef JT_TENSOR_ENGINE_H
#define JT_TENSOR_ENGINE_H

#include "core/thread.h"
#include "jeton/engine.h"
#include "tensor/buffer.h"
#include "tensor/kernels.h"

struct jt_engine {
    jt_pool *pool;
    const jt_kernels *kernels;
    jt_backend *backend;
};

/* As jt_engine_new, with a guarded backend (tests). */
jt_status jt_engine_new_guarded(const jt_engine_options *o, jt_engine **out, jt_error *err);

#endif
