/* Attributes of slots on random tiny networks: rows are those of a state that is given the same taps, layers and adapter by
 * hand; requests with adapters of their own are answered together as alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "jeton/strategy.h"
#include "model/tiny_adapter.h"
#include "model/tiny_llama.h"

enum { VOCAB = 277, HIDDEN = 64, PROMPT = 300, AFTER = 12, ALL = PROMPT + AFTER, SHAPE = PROMPT - 20 };

static jt_engine *engine;
static jt_model *model;
static jt_adapter *adapter[2];
static jt_methods *mine;
static int32_t text[ALL];

static void ok(jt_status st, const jt_error *err) {
    if (st) fail_msg("%s: %s", jt_status_name(st), err->message);
}

static jt_driver *driver(void) {
    jt_error err;
    jt_driver *d;
    ok(jt_driver_new(model, &d, &err), &err);
    ok(jt_driver_add_adapter(d, "one", adapter[0], 1, &err), &err);
    ok(jt_driver_add_adapter(d, "two", adapter[1], 0.5f, &err), &err);
    return d;
}

/* ---- one slot, and one state by hand ---- */

static float vec[HIDDEN], got[AFTER + 3][VOCAB], want[AFTER + 3][VOCAB];
typedef struct seen {
    int position, layer, tag;
    float first, last;
} seen;
static seen got_row[4096], want_row[4096];
static int n_got, n_want;

static const int heads[] = {0, 2};
static jt_tap add(void) {
    return (jt_tap){.site = "residual", .op = JT_TAP_ADD, .layer_first = 1, .layer_end = 2, .value = 0.4f, .vec = vec};
}
static const jt_tap bias = {
    .site = "score", .op = JT_TAP_KEY_BIAS, .key_first = 3, .key_end = 90, .value = -2, .heads = heads, .n_heads = 2};
static const jt_tap look[2] = {{.site = "residual", .op = JT_TAP_CAPTURE, .row_first = SHAPE - 4, .row_end = PROMPT + 4, .tag = 5},
                               {.site = "query", .op = JT_TAP_CAPTURE, .layer_end = 1, .row_first = PROMPT + 2, .tag = 6}};
static const jt_layers low = {{1}};

struct wear {
    int at, n;
};

static void note(seen *to, int *n, int position, int layer, int tag, const float *x, int width) {
    assert_true(*n < 4096);
    to[(*n)++] = (seen){position, layer, tag, x[0], x[width - 1]};
}

static jt_status wear_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct wear *s = state;
    (void)par;
    JT_BEGIN(s);
    {
        jt_tap t[3] = {add(), look[0], look[1]}, u[3] = {bias, look[0], look[1]};
        jt_work_taps(w, JT_MAIN, 0, t, 3);
        jt_work_taps(w, JT_MAIN, SHAPE, u, 3);
        jt_work_adapter(w, JT_MAIN, 40, "one", 2);
        jt_work_adapter(w, JT_MAIN, PROMPT + 6, "two", 1);
        jt_work_layers(w, JT_MAIN, PROMPT + 3, &low);
        jt_work_layers(w, JT_MAIN, PROMPT + 9, NULL);
    }
    for (s->n = 0; s->n < AFTER; s->n++) {
        jt_work_next(w, JT_MAIN);
        JT_AWAIT(s);
        {
            jt_dist *d = jt_work_raw(w, r->out);
            jt_decision x = {.id = text[PROMPT + s->n], .position = PROMPT + s->n};
            for (int32_t id = 0; d && id < VOCAB; id++) got[s->n][id] = jt_dist_logit(d, id);
            for (int k = 0; k < r->n_captured; k++)
                note(got_row, &n_got, r->captured[k].position, r->captured[k].layer, r->captured[k].tag, r->captured[k].x,
                     r->captured[k].width);
            jt_work_push(w, JT_MAIN, &x);
        }
    }
    jt_work_truncate(w, JT_MAIN, PROMPT + 4); /* what was set ahead, when the slot was shorter, stays */
    jt_work_next(w, JT_MAIN);
    jt_work_fork(w, 1, JT_MAIN, 1);
    jt_work_adapter(w, 1, 0, NULL, 1);
    jt_work_taps(w, 1, 0, NULL, 0);
    jt_work_layers(w, 1, 0, NULL);
    jt_work_next(w, 1);
    JT_AWAIT(s);
    for (int k = 0; k < r->n_out; k++) {
        jt_dist *d = jt_work_raw(w, &r->out[k]);
        for (int32_t id = 0; d && id < VOCAB; id++) got[AFTER + k][id] = jt_dist_logit(d, id);
    }
    JT_END(w);
}

static const jt_method wear = {
    .name = "wear", .kind = JT_STRATEGY, .state_size = sizeof(struct wear), .strategy = {.advance = wear_advance}};

static void hand_captured(void *self, int span, int node, int layer, int tag, const float *x, int width) {
    (void)self, (void)span;
    note(want_row, &n_want, node, layer, tag, x, width);
}

/* Row `p` evaluated alone with what is in force there. */
static void by_hand(jt_state *s, int p, bool worn, float *logits) {
    jt_error err;
    jt_tap t[3] = {add(), look[0], look[1]};
    if (p >= SHAPE) t[0] = bias;
    if (worn) ok(jt_state_set_taps(s, t, 3, &err), &err);
    jt_adapter *a = p < 40 ? NULL : adapter[p >= PROMPT + 6];
    if (worn) ok(jt_state_set_adapter(s, a, p >= PROMPT + 6 ? 0.5f : 2, &err), &err);
    jt_span span = {.state = s, .ids = &text[p], .n = 1, .layers = worn && p >= PROMPT + 3 && p < PROMPT + 9 ? &low : NULL};
    jt_want x = {.row = 0, .logits = logits};
    ok(jt_eval(model, &(jt_batch){.span = &span, .n_span = 1, .want = &x, .n_want = logits != NULL, .captured = hand_captured}, &err),
       &err);
}

/* Long prompts and others' answers beside it change nothing. */
static void rows_are_those_of_a_state_by_hand(void **state) {
    (void)state;
    jt_error err;
    jt_state *s;
    ok(jt_state_new(model, 400, &s, &err), &err);
    for (int p = 0; p < PROMPT + AFTER - 1; p++) by_hand(s, p, true, p >= PROMPT - 1 ? want[p - PROMPT + 1] : NULL);
    memcpy(want[AFTER], want[4], sizeof want[0]);
    jt_state_free(s);
    int rows = n_want;
    ok(jt_state_new(model, 400, &s, &err), &err);
    for (int p = 0; p < PROMPT + 4; p++) by_hand(s, p, false, want[AFTER + 1]);
    jt_state_free(s);
    for (int way = 0; way < 3; way++) {
        jt_driver *d = driver();
        jt_pipeline *p;
        jt_job job[4];
        ok(jt_pipeline_parse("wear", mine, &p, &err), &err);
        n_got = 0;
        memset(got, 0, sizeof got);
        jt_request r = {.prompt = text, .n_prompt = PROMPT, .pipeline = p, .context = 400, .max_tokens = 50};
        jt_request other = {.prompt = text, .n_prompt = 5 + 40 * (size_t)way, .context = 400, .max_tokens = 40, .adapter = "two"};
        for (int i = 0; i < way; i++) ok(jt_driver_submit(d, &other, &job[i], &err), &err);
        ok(jt_driver_submit(d, &r, &job[3], &err), &err);
        for (jt_event e;;) {
            ok(jt_driver_next(d, &e, &err), &err);
            if (e.message) fail_msg("%s", e.message);
            if (!e.job) break;
        }
        assert_memory_equal(got, want, (AFTER + 2) * sizeof want[0]);
        /* The end row is evaluated once more after truncation, and read again. */
        assert_true(n_got == rows && rows > 24 * 3);
        assert_memory_equal(got_row, want_row, (size_t)rows * sizeof *got_row);
        jt_driver_free(d);
        jt_pipeline_free(p);
    }
}

/* ---- requests ---- */

enum { N = 6, TOKENS = 24 };
typedef struct heard {
    int32_t id[4][TOKENS];
    float raw[4][TOKENS];
    int n[4];
} heard;

static const char *const how[N] = {"sample | temp:2", "parallel:3 > sample | temp:2", "greedy",
                                   "sample | temp:2", "diverse-beam:beams=4",         "sample | temp:2"};
static const char *const name[N] = {"one", "two", "one", NULL, "two", "two"};
static const float scale[N] = {0, 1, 2, 0, 0.5f, -1};

static void hear(jt_driver *d, const int *which, int n, heard *h) {
    jt_error err;
    jt_job job[N];
    jt_pipeline *p[N];
    memset(h, 0, (size_t)n * sizeof *h);
    for (int k = 0; k < n; k++) {
        int i = which[k];
        ok(jt_pipeline_parse(how[i], NULL, &p[k], &err), &err);
        jt_request r = {.prompt = text, .n_prompt = 20 + 11 * (size_t)(i % 3), .pipeline = p[k], .seed = 4, .max_tokens = TOKENS};
        r.context = 256, r.adapter = name[i], r.adapter_scale = scale[i];
        ok(jt_driver_submit(d, &r, &job[k], &err), &err);
    }
    for (jt_event e;;) {
        ok(jt_driver_next(d, &e, &err), &err);
        if (!e.job) break;
        int k = 0;
        while (job[k] != e.job) k++;
        if (e.message) fail_msg("%s", e.message);
        if (e.kind != JT_EVENT_TOKEN) continue;
        h[k].id[e.answer][h[k].n[e.answer]] = e.decision.id;
        h[k].raw[e.answer][h[k].n[e.answer]++] = e.decision.raw_logprob;
    }
    for (int k = 0; k < n; k++) jt_pipeline_free(p[k]);
}

static void requests_with_adapters_are_answered_together_as_alone(void **state) {
    (void)state;
    static heard alone[N], got_all[N];
    static const int order[2][N] = {{0, 1, 2, 3, 4, 5}, {5, 3, 4, 1, 0, 2}};
    for (int i = 0; i < N; i++) {
        jt_driver *d = driver();
        hear(d, &i, 1, &alone[i]);
        jt_driver_free(d);
        assert_true(alone[i].n[0] > 0);
    }
    assert_memory_not_equal(&alone[0], &alone[3], sizeof *alone);
    assert_memory_not_equal(&alone[0], &alone[5], sizeof *alone);
    for (int way = 0; way < 2; way++) {
        jt_driver *d = driver();
        hear(d, order[way], N, got_all);
        for (int k = 0; k < N; k++) assert_memory_equal(&got_all[k], &alone[order[way][k]], sizeof *alone);
        jt_driver_free(d);
    }
}

/* What is kept after a job is taken up by those with the same adapter alone. */
static void kept_states_are_taken_up_with_the_same_adapter(void **state) {
    (void)state;
    static heard alone[N], again;
    jt_driver_counts c;
    jt_driver *d = driver();
    for (int i = 0; i < N; i++) hear(d, &i, 1, &alone[i]);
    jt_driver_free(d);
    for (int first = 0; first < N; first++)
        for (int second = 0; second < N; second++) {
            d = driver();
            hear(d, &first, 1, &again);
            hear(d, &second, 1, &again);
            jt_driver_stats(d, &c);
            assert_memory_equal(&again, &alone[second], sizeof again);
            if (first == second) assert_true(c.prefix_hits > 0);
            jt_driver_free(d);
        }
}

/* The model's own adapter is in force where none is named. */
static void the_models_adapter_stays(void **state) {
    (void)state;
    static heard named, own;
    jt_error err;
    jt_driver *d = driver();
    hear(d, (int[]){0}, 1, &named);
    jt_driver_free(d);
    ok(jt_model_set_adapter(model, adapter[0], 1, &err), &err);
    d = driver();
    hear(d, (int[]){3}, 1, &own);
    jt_driver_free(d);
    ok(jt_model_set_adapter(model, NULL, 1, &err), &err);
    assert_memory_equal(named.id, own.id, sizeof own.id);
    d = driver();
    hear(d, (int[]){0}, 1, &own);
    assert_memory_equal(&named, &own, sizeof own);
    assert_int_equal(jt_driver_add_adapter(d, "one", adapter[1], 1, &err), JT_INVALID);
    jt_driver_free(d);
}

static void path_of(char *path) {
    int fd = mkstemp(path);
    assert_true(fd >= 0 && close(fd) == 0);
}

static int setup(void **state) {
    (void)state;
    jt_error err;
    tiny_llama t = tiny_llama_of(JT_Q4_1);
    char path[] = "/tmp/jeton-attributes-XXXXXX", lora[] = "/tmp/jeton-attributes-XXXXXX";
    path_of(path), path_of(lora);
    ok(jt_engine_new(NULL, &engine, &err), &err);
    ok(jt_methods_new(&mine, &err), &err);
    ok(jt_methods_add(mine, &wear, &err), &err);
    tiny_llama_write(path, &t);
    ok(jt_model_open(engine, path, NULL, &model, &err), &err);
    for (int i = 0; i < 2; i++) {
        tiny_adapter_write(lora, &t, 3 + i, i ? 0x15 : 0x7f, JT_F32, (uint32_t)i + 3);
        ok(jt_adapter_open(model, lora, &adapter[i], &err), &err);
    }
    unlink(path), unlink(lora);
    for (int k = 0; k < ALL; k++) text[k] = (k * 37 + 11) % 200;
    for (int k = 0; k < HIDDEN; k++) vec[k] = (float)(k % 5 - 2) * 0.3f;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) jt_adapter_free(adapter[i]);
    jt_model_free(model);
    jt_methods_free(mine);
    jt_engine_free(engine);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_those_of_a_state_by_hand), cmocka_unit_test(requests_with_adapters_are_answered_together_as_alone),
        cmocka_unit_test(kept_states_are_taken_up_with_the_same_adapter), cmocka_unit_test(the_models_adapter_stays)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
