#include "tensor/engine.h"

#include <string.h>
#include <time.h>

#include "core/mem.h"
#include "core/str.h"

static jt_status no_kernels(const char *name, int known, jt_error *err) {
    char list[128] = "";
    size_t n = 0;
    int usable;
    for (int i = 0; i < jt_kernels_count(); i++) {
        const char *k = jt_kernels_name(i, &usable);
        if (usable && n + strlen(k) + 2 < sizeof list) n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", k);
    }
    return known ? jt_error_set(err, JT_UNSUPPORTED, "kernels=%s: this processor lacks their instructions; it runs %s", name, list)
                 : jt_error_set(err, JT_UNKNOWN, "kernels=%s: unknown; this build and processor have %s", name, list);
}

static jt_status open_engine(const jt_engine_options *o, bool guarded, jt_engine **out, jt_error *err) {
    jt_engine *e = jt_alloc(1, sizeof *e);
    if (!e) return jt_nomem(err, "engine", 1, sizeof *e);
    int known = 0;
    const char *name = o && o->kernels ? o->kernels : "auto";
    e->kernels = jt_kernels_pick(name, &known);
    jt_status s = e->kernels ? JT_OK : no_kernels(name, known, err);
    if (!s) s = jt_backend_new(guarded, &e->backend, err);
    if (!s) s = jt_pool_new(o ? o->threads : 0, &e->pool, err);
    if (!s && !(e->streamed = jt_alloc_aligned((size_t)jt_pool_threads(e->pool), sizeof *e->streamed)))
        s = jt_nomem(err, "engine", (size_t)jt_pool_threads(e->pool), sizeof *e->streamed);
    if (s) {
        jt_engine_free(e);
        return s;
    }
    *out = e;
    return JT_OK;
}

jt_status jt_engine_new(const jt_engine_options *o, jt_engine **out, jt_error *err) { return open_engine(o, false, out, err); }
jt_status jt_engine_new_guarded(const jt_engine_options *o, jt_engine **out, jt_error *err) { return open_engine(o, true, out, err); }

void jt_engine_free(jt_engine *e) {
    if (!e) return;
    jt_pool_free(e->pool);
    jt_backend_free(e->backend);
    jt_free(e->streamed), jt_free(e->time);
    jt_free(e);
}

uint64_t jt_engine_streamed(const jt_engine *e) {
    uint64_t sum = 0;
    for (int i = 0; i < jt_pool_threads(e->pool); i++) sum += e->streamed[i].bytes;
    return sum;
}

jt_status jt_engine_time(jt_engine *e, bool on, jt_error *err) {
    jt_free(e->time);
    e->time = NULL;
    if (on && !(e->time = jt_alloc(JT_OP_TIMES, sizeof *e->time))) return jt_nomem(err, "times of operators", JT_OP_TIMES, sizeof *e->time);
    return JT_OK;
}

void jt_engine_timed(const jt_engine *e, const char *name, double seconds) {
    for (int i = 0; i < JT_OP_TIMES; i++) {
        if (e->time[i].name && e->time[i].name != name) continue;
        e->time[i].name = name, e->time[i].seconds += seconds;
        return;
    }
}

double jt_engine_clock(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int jt_engine_threads(const jt_engine *e) { return jt_pool_threads(e->pool); }
const char *jt_engine_kernels(const jt_engine *e) { return e->kernels->name; }

static const char *const variants[] = {
#if defined(__x86_64__)
    "avx512bf16", "avx512", "avxvnni", "avx2",
#endif
#if defined(__aarch64__)
    "neon",
#endif
    "scalar"};

int jt_kernels_count(void) { return (int)(sizeof variants / sizeof *variants); }

const char *jt_kernels_name(int i, int *usable) {
    int known;
    if (i < 0 || i >= jt_kernels_count()) return NULL;
    if (usable) *usable = jt_kernels_pick(variants[i], &known) != NULL;
    return variants[i];
}
