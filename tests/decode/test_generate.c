/* Answers of a real (tiny) model through the driver: the same under any threads, kernels, pieces and company, and unhurt by
 * failed allocations elsewhere. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "jeton/decode.h"

static const char folder[] = FIXTURES "/hf-tiny/llama";
enum { VOCAB = 320, JOBS = 4, TOKENS = 12 };
static const char *const text[JOBS] = {"greedy", "temp:0.9 | top-p:0.95", "repeat-penalty:1.2,window=-1 | temp:1.2 | min-p:0.01", "sample"};
static const int length[JOBS] = {3, 40, 190, 1};

typedef struct answer {
    int n;
    jt_end_reason reason;
    int32_t id[TOKENS];
    float raw[TOKENS], staged[TOKENS];
} answer;

typedef struct rig {
    jt_engine *engine;
    jt_model *model;
    jt_pipeline *pipeline[JOBS];
} rig;

static void rig_make(rig *r, int threads, const char *kernels, int ubatch) {
    jt_error err;
    if (jt_engine_new(&(jt_engine_options){.threads = threads, .kernels = kernels}, &r->engine, &err) != JT_OK ||
        jt_model_open(r->engine, folder, &(jt_model_options){.activations = JT_ACT_FLOAT, .ubatch = ubatch}, &r->model, &err) != JT_OK)
        fail_msg("%s", err.message);
    for (int i = 0; i < JOBS; i++) assert_int_equal(jt_pipeline_parse(text[i], NULL, &r->pipeline[i], NULL), JT_OK);
}

static void rig_free(rig *r) {
    for (int i = 0; i < JOBS; i++) jt_pipeline_free(r->pipeline[i]);
    jt_model_free(r->model);
    jt_engine_free(r->engine);
}

static jt_status submit(const rig *r, jt_driver *d, int which, jt_job *job) {
    int32_t ids[200];
    jt_error err = {0};
    for (int i = 0; i < length[which]; i++) ids[i] = (i * 31 + which * 17 + 5) % VOCAB;
    jt_request q = {.prompt = ids,
                    .n_prompt = (size_t)length[which],
                    .pipeline = r->pipeline[which],
                    .seed = 9,
                    .context = 256,
                    .max_tokens = TOKENS,
                    .trace = which == 2};
    jt_status s = jt_driver_submit(d, &q, job, &err);
    assert_true(s == JT_OK || err.message[0]);
    return s;
}

static void collect(jt_driver *d, const jt_job *job, answer *a) {
    memset(a, 0, JOBS * sizeof *a);
    for (jt_event e;;) {
        assert_int_equal(jt_driver_next(d, &e, NULL), JT_OK);
        if (!e.job) return;
        int i = 0;
        while (job[i] != e.job) i++;
        if (e.kind == JT_EVENT_END) {
            a[i].reason = e.reason;
            continue;
        }
        a[i].id[a[i].n] = e.decision.id, a[i].raw[a[i].n] = e.decision.raw_logprob, a[i].staged[a[i].n++] = e.decision.logprob;
    }
}

/* Those of `mask`, together. */
static void answers(const rig *r, unsigned mask, answer *a) {
    jt_driver *d;
    jt_job job[JOBS] = {0};
    assert_int_equal(jt_driver_new(r->model, &d, NULL), JT_OK);
    for (int i = JOBS - 1; i >= 0; i--)
        if (mask >> i & 1) assert_int_equal(submit(r, d, i, &job[i]), JT_OK);
    collect(d, job, a);
    jt_driver_free(d);
}

static void the_same_answers_everywhere(void **state) {
    (void)state;
    static const struct {
        int threads;
        const char *kernels;
        int ubatch;
    } way[] = {{1, "scalar", 512}, {2, "auto", 512}, {3, "auto", 7}, {1, "auto", 1}};
    answer alone[JOBS], a[JOBS];
    for (size_t w = 0; w < sizeof way / sizeof *way; w++) {
        rig r;
        rig_make(&r, way[w].threads, way[w].kernels, way[w].ubatch);
        for (int i = 0; i < JOBS; i++) {
            answers(&r, 1u << i, a);
            if (!w) alone[i] = a[i];
            assert_memory_equal(&a[i], &alone[i], sizeof *a);
            assert_true(a[i].reason == JT_END_LENGTH && a[i].n == TOKENS);
        }
        answers(&r, 15, a);
        assert_memory_equal(a, alone, sizeof a);
        answers(&r, 6, a);
        assert_memory_equal(a + 1, alone + 1, 2 * sizeof *a);
        rig_free(&r);
    }
}

static void failed_allocations(void **state) {
    (void)state;
    answer want[JOBS], a[JOBS];
    rig r;
    rig_make(&r, 1, "auto", 512);
    answers(&r, 5, want);
    int hurt = 0;
    for (long i = 0;; i++) {
        jt_driver *d = NULL;
        jt_job job[JOBS] = {0};
        alloc_fail_at(i);
        if (jt_driver_new(r.model, &d, NULL) == JT_OK) {
            jt_status s[JOBS] = {JT_OK};
            for (int k = 0; k < JOBS; k += 2) s[k] = submit(&r, d, k, &job[k]);
            collect(d, job, a);
            for (int k = 0; k < JOBS; k += 2) {
                assert_true(s[k] == JT_OK || s[k] == JT_NOMEM);
                if (s[k] != JT_OK || a[k].reason == JT_END_ERROR)
                    hurt++;
                else
                    assert_memory_equal(&a[k], &want[k], sizeof *a);
            }
        }
        long asked = alloc_count();
        alloc_fail_at(-1);
        jt_driver_free(d);
        if (asked <= i) break;
    }
    assert_true(hurt > 10);
    answers(&r, 5, a);
    assert_memory_equal(a, want, sizeof a);
    rig_free(&r);
}

static _Atomic jt_job unwanted;
static atomic_bool enough;

static void *cancel_unwanted(void *driver) {
    while (!atomic_load(&enough)) {
        jt_job id = atomic_exchange(&unwanted, 0);
        if (id) jt_driver_cancel(driver, id);
    }
    return NULL;
}

/* Another thread cancels jobs at whatever point they are; until some were, and some were not. What came is right. */
static void cancelling_from_another_thread(void **state) {
    (void)state;
    answer want[JOBS];
    rig r;
    jt_driver *d;
    pthread_t thread;
    int cancelled = 0;
    rig_make(&r, 1, "auto", 512);
    answers(&r, 1, want);
    assert_int_equal(jt_driver_new(r.model, &d, NULL), JT_OK);
    assert_int_equal(pthread_create(&thread, NULL, cancel_unwanted, d), 0);
    for (int k = 0; k < 40 || !cancelled; k++) {
        answer a[JOBS];
        jt_job job[JOBS] = {0};
        assert_int_equal(submit(&r, d, 0, &job[0]), JT_OK);
        if (k % 4) atomic_store(&unwanted, job[0]);
        collect(d, job, a);
        if (a[0].reason == JT_END_CANCELLED)
            cancelled++;
        else
            assert_memory_equal(&a[0], &want[0], sizeof *a);
        assert_memory_equal(a[0].id, want[0].id, (size_t)a[0].n * sizeof *a[0].id);
    }
    atomic_store(&enough, true);
    pthread_join(thread, NULL);
    jt_driver_free(d);
    rig_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_answers_everywhere),
        cmocka_unit_test(failed_allocations),
        cmocka_unit_test(cancelling_from_another_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
