/* engine.h: the worker threads and the kernels that models run on.
 *
 * An engine is made once and shared by any number of models; it must outlive
 * them. Results never depend on the number of threads nor on the kernels. */
#ifndef JETON_ENGINE_H
#define JETON_ENGINE_H

#include "jeton/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct jt_engine jt_engine;

typedef struct jt_engine_options {
    int threads;         /* 0: one per processor this process may use */
    const char *kernels; /* "scalar", "avx2", "avxvnni", "avx512", "avx512bf16", "neon"; NULL or "auto": the best that this processor has */
} jt_engine_options;

/* `o` may be NULL for the defaults. Free with jt_engine_free. Errors: JT_INVALID
 * (threads), JT_UNKNOWN or JT_UNSUPPORTED (kernels), JT_NOMEM. */
JT_API jt_status jt_engine_new(const jt_engine_options *o, jt_engine **out, jt_error *err);
JT_API void jt_engine_free(jt_engine *e);

JT_API int jt_engine_threads(const jt_engine *e);
/* The name of the kernel variant in use. */
JT_API const char *jt_engine_kernels(const jt_engine *e);
/* The kernel variants this build has, best first; false past the end. `*usable` tells whether this processor runs it. */
JT_API int jt_kernels_count(void);
JT_API const char *jt_kernels_name(int i, int *usable);

/* "0.1.0", and one line of compiler, flags and options of the build. */
JT_API const char *jt_version(void);
JT_API const char *jt_build_info(void);

#ifdef __cplusplus
}
#endif
#endif
