/* likelihood: the logprobs of given answers against the fixture's logits (transformers, float64), and against stages. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "jeton/decode.h"
#include "jeton/engine.h"
#include "model/safetensors.h"

enum { ROWS = 48, PROMPT = 6, ANSWERS = 5 };

static jt_engine *engine;
static jt_model *model;
static int vocab;
static int64_t ids[ROWS];
static float *logits; /* [ROWS][vocab], row t predicts ids[t + 1] */

static void ok(jt_status st, const jt_error *err) {
    if (st) fail_msg("%s", err->message);
}

static int setup(void **state) {
    jt_safetensors *f;
    jt_error err;
    (void)state;
    ok(jt_engine_new(&(jt_engine_options){.threads = 1}, &engine, &err), &err);
    ok(jt_model_open(engine, FIXTURES "/hf-tiny/llama", &(jt_model_options){.activations = JT_ACT_FLOAT, .kv_type = JT_KV_F32}, &model,
                     &err),
       &err);
    ok(jt_safetensors_open(FIXTURES "/hf-tiny/llama/expected.safetensors", &f, &err), &err);
    jt_model_info info;
    jt_model_get_info(model, &info);
    vocab = info.vocab;
    logits = calloc((size_t)ROWS * (size_t)vocab, sizeof *logits);
    assert_non_null(logits);
    ok(jt_st_read_i64(jt_safetensors_tensor_named(f, "input_ids"), 0, ROWS, ids, &err), &err);
    ok(jt_st_read_f32(jt_safetensors_tensor_named(f, "logits"), 0, (uint64_t)ROWS * (uint64_t)vocab, logits, &err), &err);
    jt_safetensors_free(f);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    free(logits);
    jt_model_free(model);
    jt_engine_free(engine);
    return 0;
}

static double expected(int row, int64_t id) {
    const float *x = logits + (size_t)row * (size_t)vocab;
    double max = -INFINITY, sum = 0;
    for (int i = 0; i < vocab; i++) max = fmax(max, (double)x[i]);
    for (int i = 0; i < vocab; i++) sum += exp((double)x[i] - max);
    return (double)x[id] - max - log(sum);
}

static bool first(int row, int64_t id) {
    const float *x = logits + (size_t)row * (size_t)vocab;
    for (int i = 0; i < vocab; i++)
        if (x[i] > x[id] || (x[i] == x[id] && i < id)) return false;
    return true;
}

typedef struct said {
    int32_t id[ANSWERS][ROWS];
    float raw[ANSWERS][ROWS], staged[ANSWERS][ROWS];
    int n[ANSWERS], note[ANSWERS], answers;
} said;

static jt_status ask(const char *decode, said *out, jt_error *err) {
    jt_driver *d = NULL;
    jt_pipeline *p = NULL;
    int32_t prompt[PROMPT];
    jt_job job = 0;
    memset(out, 0, sizeof *out);
    for (int i = 0; i < PROMPT; i++) prompt[i] = (int32_t)ids[i];
    jt_status s = jt_pipeline_parse(decode, NULL, &p, err);
    if (!s) s = jt_driver_new(model, &d, err);
    if (!s)
        s = jt_driver_submit(d, &(jt_request){.prompt = prompt, .n_prompt = PROMPT, .pipeline = p, .context = ROWS + 2, .ignore_end = 1},
                             &job, err);
    for (bool over = s; !over;) {
        jt_event e;
        if ((s = jt_driver_next(d, &e, err))) break;
        if (e.kind == JT_EVENT_TOKEN) {
            int a = e.answer, n = out->n[a]++;
            out->id[a][n] = e.decision.id, out->raw[a][n] = e.decision.raw_logprob, out->staged[a][n] = e.decision.logprob;
        } else if (e.kind == JT_EVENT_ANSWER) {
            assert_int_equal(e.n_note, 1);
            out->note[e.answer] = e.note[0], out->answers++;
        } else if (e.reason == JT_END_ERROR) {
            s = jt_error_set(err, JT_NOMEM, "%s", e.message);
        }
        over = e.kind == JT_EVENT_END;
    }
    jt_driver_free(d);
    jt_pipeline_free(p);
    return s;
}

/* The fixture's own text after the prompt, whole and in parts: one token, some, all of it, one of the best, all once more. */
static char *write_answers(char *at, size_t cap) {
    static const int n[ANSWERS] = {1, 7, ROWS - PROMPT, 1, 2};
    size_t used = (size_t)snprintf(at, cap, "likelihood:ids=\"");
    for (int a = 0; a < ANSWERS; a++) {
        if (a) used += (size_t)snprintf(at + used, cap - used, "; ");
        for (int i = 0; i < n[a]; i++) used += (size_t)snprintf(at + used, cap - used, " %d", (int)ids[PROMPT + i]);
    }
    snprintf(at + used, cap - used, "\"");
    return at;
}

static void logprobs_are_the_fixtures(void **state) {
    static const int n[ANSWERS] = {1, 7, ROWS - PROMPT, 1, 2};
    char text[1024];
    said s;
    jt_error err;
    (void)state;
    ok(ask(write_answers(text, sizeof text), &s, &err), &err);
    assert_int_equal(s.answers, ANSWERS);
    for (int a = 0; a < ANSWERS; a++) {
        int best = 0;
        assert_int_equal(s.n[a], n[a]);
        for (int i = 0; i < n[a]; i++) {
            assert_int_equal(s.id[a][i], ids[PROMPT + i]);
            assert_true(fabs((double)s.raw[a][i] - expected(PROMPT - 1 + i, ids[PROMPT + i])) < 2e-4);
            assert_true(s.raw[a][i] == s.staged[a][i]);
            best += first(PROMPT - 1 + i, ids[PROMPT + i]);
        }
        assert_int_equal(s.note[a], best);
    }
    for (int i = 0; i < 7; i++) assert_true(s.raw[1][i] == s.raw[2][i]); /* beside others, and in pieces: the same bits */
}

static void stages_are_seen(void **state) {
    char text[1100];
    said plain, warm;
    jt_error err;
    (void)state;
    write_answers(text, sizeof text);
    ok(ask(text, &plain, &err), &err);
    strncat(text, " | temp:2", 12);
    ok(ask(text, &warm, &err), &err);
    for (int i = 0; i < plain.n[2]; i++) {
        const float *x = logits + (size_t)(PROMPT - 1 + i) * (size_t)vocab;
        double max = -INFINITY, sum = 0;
        for (int k = 0; k < vocab; k++) max = fmax(max, (double)x[k]);
        for (int k = 0; k < vocab; k++) sum += exp(((double)x[k] - max) / 2);
        double want = ((double)x[ids[PROMPT + i]] - max) / 2 - log(sum);
        assert_true(plain.raw[2][i] == warm.raw[2][i]);
        assert_true(fabs((double)warm.staged[2][i] - want) < 2e-4);
    }
}

static void bad_answers_are_refused(void **state) {
    static const char *const bad[][2] = {
        {"likelihood:ids=\"\"", "answer 0 has no tokens"},
        {"likelihood:ids=\"1; ;2\"", "answer 1 has no tokens"},
        {"likelihood:ids=\"1 x\"", "'x'"},
        {"likelihood:ids=\"-1\"", "'-'"},
        {"likelihood:ids=\"99999999999999999999\"", "vocabulary"},
        {"likelihood", "ids"},
        {"likelihood:ids=\"1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\"", "context"},
    };
    said s;
    jt_error err;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_true(ask(bad[i][0], &s, &err) != JT_OK);
        if (!strstr(err.message, bad[i][1])) fail_msg("%s: %s", bad[i][0], err.message);
    }
}

static void memory_may_fail(void **state) {
    char text[1024];
    said s, want;
    jt_error err;
    (void)state;
    ok(ask(write_answers(text, sizeof text), &want, &err), &err);
    for (long i = 0;; i += i < 60 ? 1 : 13) { /* each one of the first, then some of the thousands */
        alloc_fail_at(i);
        jt_status st = ask(text, &s, &err);
        long asked = alloc_count();
        alloc_fail_at(-1);
        if (st) assert_int_equal(st, JT_NOMEM);
        if (!st) assert_memory_equal(s.raw, want.raw, sizeof s.raw);
        if (asked <= i) break;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logprobs_are_the_fixtures),
        cmocka_unit_test(stages_are_seen),
        cmocka_unit_test(bad_answers_are_refused),
        cmocka_unit_test(memory_may_fail),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
