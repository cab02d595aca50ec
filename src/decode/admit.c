/* admit.c: the memory of caches that a job could need, and who waits for it. Pages
 * are shared by branches up to the prompt's end; past it every branch that the
 * strategies may hold at once counts as if it shared nothing. */
#include "decode/driver.h"

static uint64_t admit_times(uint64_t a, uint64_t b) {
    uint64_t r;
    return jt_mul_u64(a, b, &r) ? r : UINT64_MAX;
}

static uint64_t admit_plus(uint64_t a, uint64_t b) {
    uint64_t r;
    return jt_add_u64(a, b, &r) ? r : UINT64_MAX;
}

static uint64_t admit_width(const jt_pipeline *p) {
    uint64_t width = 1;
    for (int i = 0; i < p->n_strategy; i++) {
        int (*f)(const void *par) = p->strategy[i].m->strategy.width;
        int n = f ? f(p->strategy[i].par) : 1;
        width = admit_times(width, n > 1 ? (uint64_t)n : 1);
    }
    return width;
}

/* Bytes of a token, or of a branch, on all models that the pipeline's methods ask, each once. */
static uint64_t admit_bytes(const jt_driver *d, const jt_live *j, bool branch) {
    const jt_pipeline *p = j->pipeline;
    bool used[JT_MODELS] = {true};
    uint64_t sum = 0;
    for (int i = 0; i < p->n_strategy + j->n_stage; i++) {
        const jt_method *m = i < p->n_strategy ? p->strategy[i].m : j->stage[i - p->n_strategy].m;
        int k = m->needs & JT_NEEDS_MODEL2 ? jt_driver_role(d, m->role ? m->role : "guide") : -1;
        if (k >= 0) used[k] = true;
    }
    if (j->prompt2) sum = branch ? d->model->ev.branch_bytes : d->model->ev.token_bytes;
    for (int i = 0; i < d->n_model; i++)
        if (used[i]) sum = admit_plus(sum, branch ? d->model[i].ev.branch_bytes : d->model[i].ev.token_bytes);
    return sum;
}

/* A branch fills whole pages, and writes a page of its own where it parts from others. */
jt_status jt_admit_check(const jt_driver *d, jt_live *j, int max_tokens, jt_error *err) {
    uint64_t prompt = (uint64_t)j->n_prompt, room = (uint64_t)j->context - prompt, width = admit_width(j->pipeline);
    uint64_t answer = max_tokens && (uint64_t)max_tokens < room ? (uint64_t)max_tokens : room;
    uint64_t tokens = admit_plus(prompt, admit_times(width, answer + 2 * JT_TILE));
    if (j->n_prompt2 > j->n_prompt) tokens = admit_plus(tokens, (uint64_t)(j->n_prompt2 - j->n_prompt));
    j->need = admit_times(admit_bytes(d, j, false), tokens);
    j->need = admit_plus(j->need, admit_times(admit_bytes(d, j, true), width));
    if (j->need > UINT64_MAX / (2 * JT_JOBS)) j->need = UINT64_MAX / (2 * JT_JOBS); /* sums of needs never overflow */
    if (!d->cache_most || j->need <= d->cache_most) return JT_OK;
    return jt_error_set(
        err, JT_LIMIT,
        "the job could need %.1f MiB of cache (%llu prompt tokens, %llu of answer, %llu branches) and the limit is %.1f MiB; "
        "lower max_tokens or the context, or raise the limit",
        (double)j->need / 1048576, (unsigned long long)prompt, (unsigned long long)answer, (unsigned long long)width,
        (double)d->cache_most / 1048576);
}

void jt_admit_waiting(jt_driver *d) {
    bool full = false; /* nobody overtakes the first that does not fit */
    for (jt_live *j = d->first; j; j = j->next) {
        if (j->admitted || j->end != JT_END_NONE) continue;
        if (jt_live_cancelled(d, j)) {
            jt_live_end(d, j, JT_END_CANCELLED);
            continue;
        }
        full |= d->cache_most && d->cache_held && d->cache_held + j->need > d->cache_most;
        if (full) continue;
        jt_prefix_pin(d, j);
        jt_prefix_give_way(d, j->need);
        d->cache_held += j->need;
        j->admitted = true;
        j->submitted = jt_driver_now(d);
        j->deadline = j->max_seconds > 0 ? j->submitted + j->max_seconds : INFINITY;
    }
}

void jt_driver_set_cache(jt_driver *d, uint64_t bytes) {
    d->cache_most = bytes;
    jt_prefix_give_way(d, 0);
}
