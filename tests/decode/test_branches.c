/* Strategies with branches, trees and two models on random tiny networks: what the pages of states share must not show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "jeton/decode.h"
#include "jeton/strategy.h"
#include "model/tiny_llama.h"

enum { TOKENS = 40, ANSWERS = 8, VOCAB = 277 };

typedef struct heard {
    int32_t id[ANSWERS][TOKENS];
    float raw[ANSWERS][TOKENS];
    int n[ANSWERS];
    jt_end_reason reason;
} heard;

static void ok(jt_status st, const jt_error *err) {
    if (st) fail_msg("%s: %s", jt_status_name(st), err->message);
}

static jt_model *small, *large;
static jt_engine *engine;
static jt_methods *mine;

/* ---- guesses from what followed the token before, as a tree ---- */

struct lookup {
    int at, n;
    int32_t ids[256];
    jt_row row[7];
};
static int lookup_rounds;
static const int lookup_up[] = {JT_LAST, JT_LAST, 0, 0, 2, 1, 4};

static int32_t lookup_next(const struct lookup *s, int32_t id, int nth) {
    for (int i = s->n - 2; i >= 0; i--)
        if (s->ids[i] == id && nth-- == 0) return s->ids[i + 1];
    return (id * 7 + nth + 300) % VOCAB;
}

static jt_status lookup_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct lookup *s = state;
    (void)par;
    JT_BEGIN(s);
    jt_work_next(w, JT_MAIN);
    for (;;) {
        JT_AWAIT(s);
        {
            jt_row *row = s->row;
            int at = 0;
            jt_decision d = jt_work_decide(w, r->out, 0);
            lookup_rounds++;
            jt_work_emit(w, &d);
            s->ids[s->n++] = d.id;
            for (int k = 1; k < r->n_out; k++)
                if (lookup_up[k - 1] == at - 1 && row[k - 1].id == d.id) {
                    at = k, d = jt_work_decide(w, &r->out[k], 0);
                    jt_work_emit(w, &d);
                    s->ids[s->n++] = d.id;
                }
            if (r->n_out > 1) jt_work_keep(w, &r->out[at]);
            jt_work_push(w, JT_MAIN, &d);
            for (int k = 0; k < 7; k++) {
                int nth = 0;
                for (int q = 0; q < k; q++) nth += lookup_up[q] == lookup_up[k];
                row[k] = (jt_row){.slot = JT_MAIN, .parent = lookup_up[k], .want = JT_WANT_DIST};
                row[k].id = lookup_next(s, lookup_up[k] < 0 ? d.id : row[lookup_up[k]].id, nth);
                for (int q = 0; q < k; q++)
                    if (lookup_up[q] == lookup_up[k] && row[q].id == row[k].id) row[k].id = (row[k].id + 1) % VOCAB;
            }
            jt_work_next(w, JT_MAIN);
            jt_work_rows(w, row, 7);
        }
    }
    JT_END(w);
}

static const jt_method lookup = {
    .name = "lookup", .kind = JT_STRATEGY, .state_size = sizeof(struct lookup), .strategy = {.advance = lookup_advance}};

/* ---- running ---- */

static jt_driver *driver(jt_model *m, jt_model *other) {
    jt_error err;
    jt_driver *d;
    ok(jt_driver_new(m, &d, &err), &err);
    if (other) ok(jt_driver_add_model(d, "large", other, &err), &err);
    return d;
}

static jt_job submit(jt_driver *d, const char *text, jt_pipeline **p, int prompt) {
    jt_error err;
    jt_job job;
    int32_t ids[150];
    ok(jt_pipeline_parse(text, mine, p, &err), &err);
    for (int k = 0; k < prompt; k++) ids[k] = (k * 37 + 11) % 100;
    jt_request r = {.prompt = ids, .n_prompt = (size_t)prompt, .pipeline = *p, .seed = 9, .max_tokens = TOKENS - 6, .context = 256};
    ok(jt_driver_submit(d, &r, &job, &err), &err);
    return job;
}

static void hear(jt_driver *d, const jt_job *job, heard *h, int n) {
    jt_error err;
    memset(h, 0, (size_t)n * sizeof *h);
    for (jt_event e;;) {
        ok(jt_driver_next(d, &e, &err), &err);
        if (!e.job) return;
        int i = 0;
        while (i < n && job[i] != e.job) i++;
        assert_true(i < n && e.answer < ANSWERS);
        if (e.kind == JT_EVENT_TOKEN)
            h[i].id[e.answer][h[i].n[e.answer]] = e.decision.id, h[i].raw[e.answer][h[i].n[e.answer]++] = e.decision.raw_logprob;
        if (e.kind == JT_EVENT_END) h[i].reason = e.reason;
        if (e.message) fail_msg("%s", e.message);
    }
}

static void run(jt_model *m, jt_model *other, const char *text, int prompt, heard *h) {
    jt_pipeline *p;
    jt_driver *d = driver(m, other);
    jt_job job = submit(d, text, &p, prompt);
    hear(d, &job, h, 1);
    assert_int_equal(h->reason, JT_END_LENGTH);
    jt_driver_free(d);
    jt_pipeline_free(p);
}

static void same_answer(const heard *a, int i, const heard *b, int k) {
    assert_int_equal(a->n[i], b->n[k]);
    assert_memory_equal(a->id[i], b->id[k], sizeof a->id[i]);
    assert_memory_equal(a->raw[i], b->raw[k], sizeof a->raw[i]);
}

static void neutral_settings_are_the_plain_text(void **state) {
    (void)state;
    static heard a, b;
    static const struct {
        const char *method, *plain;
    } t[] = {{"diverse-beam:beams=1,groups=1", "greedy"},
             {"soft-thinking:mix=1,tau=0", "greedy"},
             {"best-of-n:1 > sample | temp:2", "sample | temp:2"},
             {"parallel:1 > greedy", "greedy"},
             {"r2r:theta=1e9 | temp:2", "temp:2"},
             {"lookup | temp:0.2 | repeat-penalty:1.1", "temp:0.2 | repeat-penalty:1.1"},
             {"best-of-n:1 > lookup | top-k:1", "top-k:1"}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        for (int prompt = 1; prompt < 100; prompt += 49) {
            run(small, large, t[i].method, prompt, &a);
            run(small, NULL, t[i].plain, prompt, &b);
            same_answer(&a, 0, &b, 0);
        }
    run(small, large, "r2r:theta=0 | temp:2", 33, &a);
    run(large, NULL, "temp:2", 33, &b);
    same_answer(&a, 0, &b, 0);
    lookup_rounds = 0;
    run(small, NULL, "lookup | top-k:1", 40, &a);
    assert_in_range(lookup_rounds, 1, TOKENS - 7); /* something was guessed right */
}

static void branches_do_not_depend_on_company(void **state) {
    (void)state;
    enum { N = 6 };
    static const char *const text[N] = {"parallel:5 > sample | temp:2",
                                        "diverse-beam:beams=6,groups=3",
                                        "r2r:theta=4 | temp:1.5",
                                        "soft-thinking:mix=6,tau=0,think=(temp:3 | top-k:30 | top-p:0.95 | min-p:0.001) | temp:2",
                                        "lookup | temp:0.3",
                                        "best-of-n:4 > r2r:theta=5 | temp:2"};
    static heard alone[N], got[N];
    for (int i = 0; i < N; i++) run(small, large, text[i], 20 + 20 * i, &alone[i]);
    for (int way = 0; way < 2; way++) {
        jt_driver *d = driver(small, large);
        jt_pipeline *p[N];
        jt_job job[N];
        for (int i = 0; i < N; i++) {
            int k = way ? N - 1 - i : i;
            job[k] = submit(d, text[k], &p[k], 20 + 20 * k);
        }
        hear(d, job, got, N);
        for (int i = 0; i < N; i++) assert_memory_equal(&got[i], &alone[i], sizeof *got);
        jt_driver_free(d);
        for (int i = 0; i < N; i++) jt_pipeline_free(p[i]);
    }
}

/* ---- rows with their own rank, place and layers, and inputs that are no ids ---- */

enum { ODD = 4, WIDE = 64 };
static float odd_row[ODD + 3][VOCAB];
static const int32_t odd_id[ODD] = {3, 9, 27, 81}, odd_rank[ODD] = {8, 8, 9, 12}, odd_place[ODD] = {8, 20, 9, 30};
static const int odd_up[ODD] = {JT_LAST, JT_LAST, 0, 2};
static const jt_layers odd_layers = {{1}}; /* the first alone */
static float odd_vec[WIDE];
static const int32_t odd_mix[3] = {5, 6, 7};
static const float odd_weight[3] = {0.5f, 0.25f, -0.25f};

struct odd {
    int at;
};

static void odd_copy(jt_work *w, const jt_out *o, int to) {
    jt_dist *d = jt_work_raw(w, o);
    for (int32_t id = 0; d && id < VOCAB; id++) odd_row[to][id] = jt_dist_logit(d, id);
}

static jt_status odd_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct odd *s = state;
    (void)par;
    JT_BEGIN(s);
    for (int k = 0; k < ODD; k++)
        jt_work_rows(w,
                     &(jt_row){.slot = JT_MAIN,
                               .parent = odd_up[k],
                               .id = odd_id[k],
                               .want = JT_WANT_DIST,
                               .rank = &odd_rank[k],
                               .place = &odd_place[k],
                               .layers = k % 2 ? &odd_layers : NULL},
                     1);
    JT_AWAIT(s);
    for (int k = 0; k < r->n_out; k++) odd_copy(w, &r->out[k], k);
    jt_work_keep(w, &r->out[2]); /* ranks stay; the path's two nodes go on as positions 8 and 9 */
    {
        jt_decision d = {.id = 1, .position = 10};
        jt_work_push(w, JT_MAIN, &d);
    }
    jt_work_next(w, JT_MAIN);
    JT_AWAIT(s);
    odd_copy(w, r->out, ODD);
    for (int k = 0; k < 2; k++) {
        jt_decision d = {.id = 2 + k, .position = 11 + k};
        jt_input in = k ? (jt_input){.vec = odd_vec} : (jt_input){.n = 3, .ids = odd_mix, .w = odd_weight};
        jt_work_push_input(w, JT_MAIN, &d, &in);
    }
    jt_work_fork(w, 1, JT_MAIN, 7);
    jt_work_next(w, 1);
    JT_AWAIT(s);
    odd_copy(w, r->out, ODD + 1);
    jt_work_next(w, JT_MAIN);
    JT_AWAIT(s);
    odd_copy(w, r->out, ODD + 2);
    {
        double u = jt_work_u(w, JT_MAIN, "a", 0);
        assert_true(u > 0 && u < 1 && u == jt_work_u(w, JT_MAIN, "a", 0));
        assert_true(u != jt_work_u(w, JT_MAIN, "a", 1) && u != jt_work_u(w, JT_MAIN, "b", 0) && u != jt_work_u(w, 1, "a", 0));
    }
    JT_END(w);
}

static const jt_method odd = {.name = "odd", .kind = JT_STRATEGY, .state_size = sizeof(struct odd), .strategy = {.advance = odd_advance}};

static void rows_and_inputs_are_those_of_an_eval(void **state) {
    (void)state;
    static float want[ODD + 2][VOCAB];
    jt_error err;
    jt_state *st;
    jt_pipeline *p;
    heard h;
    int32_t prompt[8];
    int32_t parent[ODD];
    jt_layers layers[ODD];
    jt_want wants[ODD];
    for (int k = 0; k < WIDE; k++) odd_vec[k] = (float)(k % 5 - 2) * 0.3f;
    jt_driver *d = driver(small, NULL);
    jt_job job = submit(d, "odd", &p, 8);
    hear(d, &job, &h, 1);
    jt_driver_free(d);
    jt_pipeline_free(p);

    for (int k = 0; k < 8; k++) prompt[k] = (k * 37 + 11) % 100;
    for (int k = 0; k < ODD; k++) {
        parent[k] = odd_up[k] < 0 ? 7 : 8 + odd_up[k];
        memset(&layers[k], 0xff, sizeof layers[k]);
        if (k % 2) layers[k] = odd_layers;
        wants[k] = (jt_want){.row = k, .logits = want[k]};
    }
    ok(jt_state_new(small, 256, &st, &err), &err);
    jt_span span = {.state = st, .ids = prompt, .n = 8};
    ok(jt_eval(small, &(jt_batch){.span = &span, .n_span = 1}, &err), &err);
    span = (jt_span){.state = st, .ids = odd_id, .n = ODD, .parent = parent, .rank = odd_rank, .position = odd_place, .layers = layers};
    ok(jt_eval(small, &(jt_batch){.span = &span, .n_span = 1, .want = wants, .n_want = ODD}, &err), &err);
    ok(jt_state_truncate_to(st, 8 + 2, &err), &err);
    int32_t one = 1;
    span = (jt_span){.state = st, .ids = &one, .n = 1};
    wants[0].logits = want[ODD];
    ok(jt_eval(small, &(jt_batch){.span = &span, .n_span = 1, .want = wants, .n_want = 1}, &err), &err);
    jt_input in[2] = {{.n = 3, .ids = odd_mix, .w = odd_weight}, {.vec = odd_vec}};
    span = (jt_span){.state = st, .ids = odd_mix, .n = 2, .input = in};
    wants[0].row = 1, wants[0].logits = want[ODD + 1];
    ok(jt_eval(small, &(jt_batch){.span = &span, .n_span = 1, .want = wants, .n_want = 1}, &err), &err);
    jt_state_free(st);
    for (int k = 0; k < ODD + 2; k++) assert_memory_equal(odd_row[k], want[k], sizeof want[k]);
    assert_memory_equal(odd_row[ODD + 2], want[ODD + 1], sizeof want[0]); /* the fork's inputs, and the slot's own */
}

static jt_model *open_one(jt_type type, uint32_t seed) {
    char path[] = "/tmp/jeton-branches-XXXXXX";
    jt_error err;
    jt_model *m;
    tiny_llama t = tiny_llama_of(JT_Q4_1);
    t.type = type, t.seed = seed;
    int fd = mkstemp(path);
    assert_true(fd >= 0 && close(fd) == 0);
    tiny_llama_write(path, &t);
    ok(jt_model_open(engine, path, NULL, &m, &err), &err);
    unlink(path);
    return m;
}

static int setup(void **state) {
    (void)state;
    jt_error err;
    ok(jt_engine_new(NULL, &engine, &err), &err);
    ok(jt_methods_new(&mine, &err), &err);
    ok(jt_methods_add(mine, &lookup, &err), &err);
    ok(jt_methods_add(mine, &odd, &err), &err);
    small = open_one(JT_Q4_1, 1), large = open_one(JT_Q8_0, 5);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    jt_model_free(small), jt_model_free(large);
    jt_methods_free(mine);
    jt_engine_free(engine);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(neutral_settings_are_the_plain_text),
                                       cmocka_unit_test(branches_do_not_depend_on_company),
                                       cmocka_unit_test(rows_and_inputs_are_those_of_an_eval)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
