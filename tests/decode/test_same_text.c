/* The same request gives the same text: alone, twice, beside others in any order, joining while they run, on other threads
 * and in smaller batches. Random tiny models; SmolLM2 too when JETON_TEST_MODEL names its file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "jeton/decode.h"
#include "model/hybrid_gguf.h"
#include "model/tiny_llama.h"
#include "model/windowed_folder.h"

enum { REQUESTS = 7, MOST = 48 };

typedef struct answer {
    int32_t id[MOST];
    float raw[MOST], staged[MOST];
    double u[MOST];
    int n;
    char text[2048];
    size_t n_text;
    jt_end_reason reason;
} answer;

static const struct {
    const char *pipeline;
    uint64_t seed;
    uint32_t choice;
    int prompt, tokens;
} row[REQUESTS] = {
    {"greedy", 0, 0, 5, 20},
    {"temp:0.9 | top-p:0.95", 1, 0, 40, 30},
    {"temp:0.9 | top-p:0.95", 1, 1, 40, 30}, /* another answer to the same request */
    {"temp:1.3 | top-k:20", 2, 0, 1, 25},
    {"min-p:0.02 | temp:1.1", 3, 0, 33, 8},
    {"repeat-penalty:1.3 | temp:0.7", 4, 0, 64, 40},
    {"greedy", 0, 0, 31, 35},
};

static jt_pipeline *pipeline[REQUESTS];

static void ok(jt_status st, const jt_error *err) {
    if (st) fail_msg("%s: %s", jt_status_name(st), err->message);
}

static void note(answer *a, const jt_event *e) {
    assert_true(a->n_text + e->n_text < sizeof a->text);
    memcpy(a->text + a->n_text, e->text, e->n_text);
    a->n_text += e->n_text;
    if (e->kind == JT_EVENT_END) {
        a->reason = e->reason;
        return;
    }
    assert_true(a->n < MOST);
    a->id[a->n] = e->decision.id;
    a->raw[a->n] = e->decision.raw_logprob;
    a->staged[a->n] = e->decision.logprob;
    a->u[a->n++] = e->decision.u;
}

static jt_job submit(jt_driver *d, int i, int vocab) {
    jt_error err;
    int32_t ids[MOST * 2];
    jt_job job;
    for (int k = 0; k < row[i].prompt; k++) ids[k] = (k * 37 + row[i].prompt * 11 + 3) % vocab;
    jt_request r = {.prompt = ids,
                    .n_prompt = (size_t)row[i].prompt,
                    .pipeline = pipeline[i],
                    .seed = row[i].seed,
                    .choice = row[i].choice,
                    .max_tokens = row[i].tokens,
                    .context = 256,
                    .ignore_end = 1};
    ok(jt_driver_submit(d, &r, &job, &err), &err);
    return job;
}

/* Runs order[0..n), each submitted as soon as the one before it has given `every` tokens (0: all at once); answers by number
 * of request. A request may stand in the order twice; then both answers must agree. */
static void run(jt_model *m, const int *order, int n, int every, answer *out) {
    jt_error err;
    jt_driver *d;
    jt_model_info info;
    jt_job job[2 * REQUESTS];
    answer *got = calloc((size_t)n, sizeof *got);
    bool had[REQUESTS] = {false};
    int submitted = 0;
    assert_non_null(got);
    jt_model_get_info(m, &info);
    ok(jt_driver_new(m, &d, &err), &err);
    for (;;) {
        while (submitted < n && (submitted == 0 || !every || got[submitted - 1].n >= every || got[submitted - 1].reason)) {
            job[submitted] = submit(d, order[submitted], info.vocab);
            submitted++;
        }
        jt_event e;
        ok(jt_driver_next(d, &e, &err), &err);
        if (!e.job) break;
        int i = 0;
        while (i < submitted && job[i] != e.job) i++;
        assert_true(i < submitted);
        note(&got[i], &e);
    }
    jt_driver_free(d);
    assert_int_equal(submitted, n);
    for (int i = 0; i < n; i++) {
        answer *a = &out[order[i]];
        assert_int_equal(got[i].reason, JT_END_LENGTH);
        if (had[order[i]]) assert_memory_equal(a, &got[i], sizeof *a);
        memcpy(a, &got[i], sizeof *a);
        had[order[i]] = true;
    }
    free(got);
}

static void same(const answer *a, const answer *b, const char *what) {
    for (int i = 0; i < REQUESTS; i++)
        if (memcmp(&a[i], &b[i], sizeof *a)) fail_msg("%s: the answer to request %d differs", what, i);
}

static jt_model *open_model(const char *path, int threads, int ubatch, jt_engine **e) {
    jt_error err;
    jt_model *m;
    ok(jt_engine_new(&(jt_engine_options){.threads = threads}, e, &err), &err);
    ok(jt_model_open(*e, path, &(jt_model_options){.ubatch = ubatch}, &m, &err), &err);
    return m;
}

static void try_model(const char *path) {
    static answer alone[REQUESTS], got[REQUESTS];
    static const int forward[] = {0, 1, 2, 3, 4, 5, 6}, backward[] = {6, 5, 4, 3, 2, 1, 0}, mixed[] = {3, 6, 0, 5, 1, 4, 2};
    static const int twice[] = {4, 2, 2, 6, 5, 0, 3, 1, 0, 4};
    jt_engine *e;
    jt_model *m = open_model(path, 1, 0, &e);
    memset(alone, 0, sizeof alone);
    for (int i = 0; i < REQUESTS; i++) {
        run(m, &forward[i], 1, 0, alone);
        assert_int_equal(alone[i].n, row[i].tokens);
    }
    assert_memory_not_equal(alone[1].id, alone[2].id, sizeof alone[1].id);
    run(m, forward, REQUESTS, 0, got);
    same(alone, got, "beside others");
    run(m, backward, REQUESTS, 0, got);
    same(alone, got, "in another order");
    run(m, mixed, REQUESTS, 4, got);
    same(alone, got, "joining while others run");
    run(m, twice, 10, 0, got);
    same(alone, got, "beside itself");
    jt_model_free(m);
    jt_engine_free(e);
    m = open_model(path, 2, 3, &e);
    run(m, mixed, REQUESTS, 0, got);
    same(alone, got, "two threads, three rows at a time");
    jt_model_free(m);
    jt_engine_free(e);
}

/* A conversation of some turns on one driver, each also on a driver of its own that keeps nothing. */
static void try_talk(const char *path, jt_activations act, jt_kv_type kv) {
    jt_error err;
    jt_engine *e;
    jt_model *m;
    jt_model_info info;
    int32_t ids[256];
    size_t n = 0;
    int had = 0;
    ok(jt_engine_new(&(jt_engine_options){.threads = 1}, &e, &err), &err);
    ok(jt_model_open(e, path, &(jt_model_options){.activations = act, .kv_type = kv}, &m, &err), &err);
    jt_model_get_info(m, &info);
    jt_driver *d, *fresh;
    ok(jt_driver_new(m, &d, &err), &err);
    jt_driver_set_prefix(d, 64 << 20);
    for (int turn = 0; turn < 6; turn++) {
        answer got[2];
        memset(got, 0, sizeof got);
        if (turn == 4) n -= 31; /* taken back */
        for (int k = 0; k < 20; k++) ids[n++] = (k * 29 + turn * 7) % info.vocab;
        ok(jt_driver_new(m, &fresh, &err), &err);
        jt_driver_set_prefix(fresh, 0);
        for (int way = 0; way < 2; way++) {
            jt_job job;
            jt_driver *x = way ? fresh : d;
            jt_request r = {.prompt = ids, .n_prompt = n, .pipeline = pipeline[turn % 2 ? 1 : 5], .max_tokens = 12, .context = 256};
            r.ignore_end = 1, r.seed = 4;
            ok(jt_driver_submit(x, &r, &job, &err), &err);
            for (jt_event v;;) {
                ok(jt_driver_next(x, &v, &err), &err);
                if (!v.job) break;
                note(&got[way], &v);
                if (v.kind == JT_EVENT_END) assert_int_equal(v.reused_tokens, way ? 0 : turn == 4 ? (int)n - 20 : had);
            }
        }
        jt_driver_free(fresh);
        assert_memory_equal(&got[0], &got[1], sizeof *got);
        had = (int)n + got[0].n - 1;
        for (int k = 0; k < got[0].n; k++) ids[n++] = got[0].id[k];
    }
    jt_driver_free(d);
    jt_model_free(m);
    jt_engine_free(e);
}

static void test_tiny_models(void **unused) {
    (void)unused;
    static const jt_type type[] = {JT_Q4_1, JT_F32};
    for (int i = 0; i < 2; i++) {
        char path[] = "/tmp/jeton-text-XXXXXX";
        tiny_llama t = tiny_llama_of(type[i]);
        int fd = mkstemp(path);
        assert_true(fd >= 0 && close(fd) == 0);
        tiny_llama_write(path, &t);
        try_model(path);
        try_talk(path, JT_ACT_INT8, JT_KV_AUTO);
        try_talk(path, JT_ACT_FLOAT, JT_KV_AUTO);
        try_talk(path, JT_ACT_INT8, JT_KV_Q8_0);
        unlink(path);
    }
}

/* Layers with recurrences keep states of another kind; those with windows see a part of theirs. */
static void test_recurrences_and_windows(void **unused) {
    (void)unused;
    char path[] = "/tmp/jeton-text-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && close(fd) == 0);
    hybrid_write(FIXTURES "/hybrid/one", path, 1);
    try_talk(path, JT_ACT_INT8, JT_KV_AUTO);
    try_talk(path, JT_ACT_FLOAT, JT_KV_AUTO);
    unlink(path);
    char folder[] = "/tmp/jeton-text-XXXXXX";
    assert_non_null(mkdtemp(folder));
    windowed_write(folder, "\"sliding_window\": 33,");
    try_talk(folder, JT_ACT_INT8, JT_KV_AUTO);
    windowed_remove(folder);
}

static void test_real_model(void **unused) {
    (void)unused;
    const char *path = getenv("JETON_TEST_MODEL");
    if (!path || !*path) skip();
    try_model(path);
    try_talk(path, JT_ACT_INT8, JT_KV_AUTO);
}

static int setup(void **unused) {
    (void)unused;
    jt_error err;
    for (int i = 0; i < REQUESTS; i++) ok(jt_pipeline_parse(row[i].pipeline, NULL, &pipeline[i], &err), &err);
    return 0;
}

static int teardown(void **unused) {
    (void)unused;
    for (int i = 0; i < REQUESTS; i++) jt_pipeline_free(pipeline[i]);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tiny_models), cmocka_unit_test(test_recurrences_and_windows),
                                       cmocka_unit_test(test_real_model)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
