/* Keys, groups and raw keys of slots on random tiny networks: TokenSelect (arXiv 2411.02886) as a strategy gives the plain
 * text when it may choose all keys, and else that of a state evaluated by hand, whatever runs beside it and however prompts
 * are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "core/mem.h"
#include "jeton/strategy.h"
#include "model/tiny_llama.h"

enum { VOCAB = 277, WIDTH = 64, PROMPT = 700, TOKENS = 6, ALL = PROMPT + 12, CONTEXT = 800, SHAPE = 333 };

static jt_engine *engine;
static jt_model *model, *narrow; /* the same, with an ubatch of 50 */
static jt_methods *mine;
static int32_t text[ALL];

static void ok(jt_status st, const jt_error *err) {
    if (st) fail_msg("%s: %s", jt_status_name(st), err->message);
}

/* ---- the strategies ---- */

#define SELECT(X, T)                                                                                                                       \
    X(T, INT, keys, 20, JT_RANGE(1, 4096), "chosen by their votes")                                                                        \
    X(T, INT, local, 16, JT_RANGE(1, 4096), "last ones before a chunk")                                                                    \
    X(T, INT, first, 4, JT_RANGE(0, 4096), "first ones")                                                                                   \
    X(T, INT, chunk, 48, JT_RANGE(1, 4096), "inputs of a chunk")
JT_PARAMS(token_select, SELECT)

static jt_status choose(void *self, jt_select *x) {
    const struct token_select *t = self;
    int old = jt_select_keys(x) - t->local, n = 0;
    if (t->first + t->keys >= old) return JT_OK;
    float q[WIDTH], *vote = jt_alloc((size_t)(old - t->first), sizeof *vote);
    int32_t *list = jt_alloc((size_t)(t->first + t->keys), sizeof *list);
    jt_status e = vote && list ? JT_OK : JT_NOMEM;
    if (e == JT_OK) {
        jt_select_mean_query(x, t->local, q);
        e = jt_select_vote(x, q, t->first, old, 1, vote);
    }
    if (e == JT_OK) {
        n = jt_select_top(vote, old - t->first, t->keys, list + t->first);
        for (int i = 0; i < n; i++) list[t->first + i] += t->first;
        for (int i = 0; i < t->first; i++) list[i] = i;
        e = jt_select_use(x, &(jt_keys){.depth = list, .n = t->first + n, .local = t->local, .renumber = 1});
    }
    jt_free(vote), jt_free(list);
    return e;
}

struct at {
    int at;
};

static float got[TOKENS][VOCAB];
static int n_got;

/* Logits of the long prompt's job. */
static void note(jt_work *w, const jt_out *o) {
    jt_dist *d = jt_work_prompt(w, JT_MAIN) == PROMPT && n_got < TOKENS ? jt_work_raw(w, o) : NULL;
    for (int32_t id = 0; d && id < VOCAB; id++) got[n_got][id] = jt_dist_logit(d, id);
    n_got += d != NULL;
}

static void attend(const void *par, jt_work *w) {
    const struct token_select *t = par;
    jt_work_keys(w, JT_MAIN, 0, &(jt_keys){.select = choose, .self = (void *)(uintptr_t)par}, 1);
    jt_work_group(w, JT_MAIN, 0, t->chunk);
}

static jt_status select_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct at *s = state;
    JT_BEGIN(s);
    attend(par, w);
    for (;;) {
        jt_work_next(w, JT_MAIN);
        JT_AWAIT(s);
        note(w, r->out);
        jt_work_say(w, JT_MAIN, jt_work_best(w, r->out));
    }
    JT_END(w);
}

static jt_status around_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct at *s = state;
    (void)r;
    JT_BEGIN(s);
    attend(par, w);
    jt_work_child(w, JT_MAIN, 0);
    JT_AWAIT(s);
    jt_work_yield(w, JT_MAIN, 0, NULL, 0);
    JT_END(w);
}

#define LISTED(X, T)                                                                                                                       \
    X(T, INT, local, 0, JT_RANGE(0, 4096), "last keys before a row; 0: all keys")                                                          \
    X(T, INT, chunk, 0, JT_RANGE(0, 4096), "inputs of a chunk")
JT_PARAMS(listed, LISTED)

static jt_status listed_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    static const int32_t depth[] = {0, 2};
    const struct listed *t = par;
    struct at *s = state;
    JT_BEGIN(s);
    if (t->local) jt_work_keys(w, JT_MAIN, 0, &(jt_keys){.depth = depth, .n = 2, .local = t->local}, 1);
    if (t->chunk) jt_work_group(w, JT_MAIN, 0, t->chunk);
    for (;;) {
        jt_work_next(w, JT_MAIN);
        JT_AWAIT(s);
        jt_work_say(w, JT_MAIN, jt_work_best(w, r->out));
    }
    JT_END(w);
}

/* ---- running them ---- */

typedef struct heard {
    int32_t id[TOKENS];
    float raw[TOKENS];
    int n;
    jt_end_reason reason;
    char message[500];
} heard;

static jt_driver *driver(jt_model *m) {
    jt_error err;
    jt_driver *d;
    ok(jt_driver_new(m, &d, &err), &err);
    return d;
}

static jt_pipeline *parse(const char *s) {
    jt_error err;
    jt_pipeline *p;
    ok(jt_pipeline_parse(s, mine, &p, &err), &err);
    return p;
}

static void listen(jt_driver *d, const jt_job *job, heard *h, int n) {
    memset(h, 0, (size_t)n * sizeof *h);
    for (jt_event e;;) {
        assert_int_equal(jt_driver_next(d, &e, NULL), JT_OK);
        if (!e.job) return;
        int k = 0;
        while (k < n && job[k] != e.job) k++;
        if (k == n) continue;
        if (e.kind == JT_EVENT_TOKEN) {
            assert_true(h[k].n < TOKENS);
            h[k].id[h[k].n] = e.decision.id, h[k].raw[h[k].n++] = e.decision.raw_logprob;
        } else if (e.kind == JT_EVENT_END) {
            h[k].reason = e.reason;
            if (e.message) snprintf(h[k].message, sizeof h[k].message, "%s", e.message);
        }
    }
}

static jt_request ask(const jt_pipeline *p, int n) {
    return (jt_request){.prompt = text, .n_prompt = (size_t)n, .pipeline = p, .context = CONTEXT, .max_tokens = TOKENS};
}

static void hear(jt_driver *d, const char *how, int n, heard *h) {
    jt_error err;
    jt_job job;
    jt_pipeline *p = parse(how);
    jt_request r = ask(p, n);
    n_got = 0;
    ok(jt_driver_submit(d, &r, &job, &err), &err);
    listen(d, &job, h, 1);
    jt_pipeline_free(p);
}

static void alone(jt_model *m, const char *how, int n, heard *h) {
    jt_driver *d = driver(m);
    hear(d, how, n, h);
    if (h->reason == JT_END_ERROR) fail_msg("%s: %s", how, h->message);
    assert_int_equal(h->n, TOKENS);
    jt_driver_free(d);
}

/* The inputs ids[0..n) as one group at the end of the state. */
static void evaluate(jt_state *s, const int32_t *ids, int n, float *logits) {
    jt_error err;
    static int32_t group[ALL];
    jt_span span = {.state = s, .ids = ids, .n = n, .group = group};
    jt_want want = {.row = n - 1, .logits = logits};
    ok(jt_eval(model, &(jt_batch){.span = &span, .n_span = 1, .want = &want, .n_want = logits != NULL}, &err), &err);
}

static jt_state *state_of(void) {
    jt_error err;
    jt_state *s;
    ok(jt_state_new_raw(model, CONTEXT, &s, &err), &err);
    return s;
}

static void by_hand(struct token_select *t, float want[TOKENS][VOCAB], int32_t *id) {
    jt_error err;
    jt_state *s = state_of();
    ok(jt_state_set_keys(s, &(jt_keys){.select = choose, .self = t}, 1, &err), &err);
    for (int p = 0, n; p < PROMPT; p += n) {
        n = PROMPT - p < t->chunk ? PROMPT - p : t->chunk;
        evaluate(s, text + p, n, want[0]);
    }
    for (int k = 0; k < TOKENS; k++) {
        id[k] = 0;
        for (int32_t i = 1; i < VOCAB; i++)
            if (want[k][i] > want[k][id[k]]) id[k] = i;
        if (k + 1 < TOKENS) evaluate(s, &id[k], 1, want[k + 1]);
    }
    jt_state_free(s);
}

/* ---- what is said ---- */

static void all_keys_are_the_plain_text(void **state) {
    (void)state;
    static heard plain, h;
    static const char *const how[] = {"select:keys=4096,chunk=100", "select:keys=4096,chunk=1", "around:keys=4096 > greedy", "listed",
                                      "listed:local=4096,chunk=64"};
    alone(model, "greedy", PROMPT, &plain);
    for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
        alone(model, how[i], PROMPT, &h);
        assert_memory_equal(&h, &plain, sizeof h);
    }
}

static void few_keys_are_those_of_a_state_by_hand(void **state) {
    (void)state;
    static float want[TOKENS][VOCAB];
    static heard h[3], plain;
    static const int chunk[] = {1, 48, 300};
    jt_error err;
    alone(model, "greedy", PROMPT, &plain);
    for (int i = 0; i < 3; i++) {
        struct token_select t = {.keys = 20, .local = 16, .first = 4, .chunk = chunk[i]};
        int32_t id[TOKENS];
        char how[64], around[64];
        snprintf(how, sizeof how, "select:chunk=%d", chunk[i]);
        snprintf(around, sizeof around, "around:chunk=%d > greedy", chunk[i]);
        by_hand(&t, want, id);
        for (int way = 0; way < 5; way++) {
            bool fits = way < 4 || chunk[i] <= 50;
            jt_driver *d = driver(way < 4 ? model : narrow);
            jt_pipeline *p = parse(way == 3 ? around : how);
            jt_request r = ask(p, PROMPT), beside[2] = {ask(NULL, 5), ask(p, 150)};
            jt_job job[3] = {0};
            memset(got, 0, sizeof got), n_got = 0;
            for (int k = 0; k < way && k < 2; k++) ok(jt_driver_submit(d, &beside[k], &job[1 + k], &err), &err);
            if (way)
                for (jt_event e = {0}; e.kind != JT_EVENT_TOKEN;) ok(jt_driver_next(d, &e, &err), &err);
            ok(jt_driver_submit(d, &r, &job[0], &err), &err);
            listen(d, job, h, 3);
            if (fits)
                assert_memory_equal(h[0].id, id, sizeof id);
            else
                assert_non_null(strstr(h[0].message, "the strategy select: groups of 300 inputs; they are evaluated together, and ubatch "
                                                     "is 50"));
            if (way != 3 && fits) assert_memory_equal(got, want, sizeof want);
            if (fits) assert_memory_not_equal(h[0].raw, plain.raw, sizeof plain.raw);
            jt_driver_free(d);
            jt_pipeline_free(p);
        }
    }
}

/* ---- one slot with much, and one state by hand ---- */

static const int32_t some[] = {1, 40, 41, 300}, where[] = {7, 3, 90, 12}, few[] = {0, 5};
static const int second[] = {1};
static const jt_keys list_a[2] = {{.layer_first = 0, .layer_end = 1, .heads = second, .n_heads = 1, .depth = some, .n = 2, .local = 9},
                                  {.layer_first = 1, .layer_end = 2, .depth = few, .n = 2, .local = 5}};
static const jt_keys list_b = {.depth = some, .position = where, .n = 4, .local = 3}, list_c = {.depth = few, .n = 2, .local = 2};
static const int32_t twig_id[3] = {17, 18, 19}, twig_group[3] = {7, 7, 8}, twig_up[3] = {JT_LAST, 0, JT_LAST};

static void push(jt_work *w, int at, int32_t id) { jt_work_push(w, JT_MAIN, &(jt_decision){.id = id, .position = at}); }

static jt_status much_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct at *s = state;
    (void)par;
    JT_BEGIN(s);
    jt_work_keys(w, JT_MAIN, 0, list_a, 2);
    jt_work_keys(w, JT_MAIN, SHAPE, &list_b, 1);
    jt_work_keys(w, JT_MAIN, PROMPT + 3, NULL, 0);
    jt_work_group(w, JT_MAIN, 10, 37);
    jt_work_next(w, JT_MAIN);
    JT_AWAIT(s);
    note(w, r->out);
    for (int k = 0; k < 6; k++) push(w, PROMPT + k, text[PROMPT + k]);
    jt_work_group(w, JT_MAIN, PROMPT, 4);
    jt_work_next(w, JT_MAIN);
    JT_AWAIT(s);
    note(w, r->out);
    jt_work_truncate(w, JT_MAIN, PROMPT + 2); /* cuts the first of the groups */
    jt_work_keys(w, JT_MAIN, PROMPT + 2, &list_c, 1);
    for (int k = 2; k < 5; k++) push(w, PROMPT + k, text[k]);
    jt_work_next(w, JT_MAIN);
    JT_AWAIT(s);
    note(w, r->out);
    for (int k = 0; k < 3; k++)
        jt_work_rows(w, &(jt_row){.parent = twig_up[k], .id = twig_id[k], .group = &twig_group[k], .want = k ? JT_WANT_DIST : 0}, 1);
    JT_AWAIT(s);
    note(w, &r->out[0]);
    note(w, &r->out[1]);
    jt_work_keys(w, JT_MAIN, 320, NULL, 0); /* in the middle of a group, long evaluated */
    jt_work_next(w, JT_MAIN);
    JT_AWAIT(s);
    note(w, r->out);
    JT_END(w);
}

/* Groups that begin at the positions of `begin` and are evaluated one by one. */
static void groups_by_hand(jt_state *s, const int32_t *ids, const int *begin, int n, float *logits) {
    for (int k = 0; k + 1 < n; k++) evaluate(s, ids + begin[k], begin[k + 1] - begin[k], logits);
}

static int begins(int *begin, int from, int end, int last) {
    int n = 0;
    for (int p = from; p < end; p++)
        if (p == from || p < 10 || (p - 10) % 37 == 0) begin[n++] = p;
    begin[n++] = last;
    return n;
}

static void attributes_change_between_groups(void **state) {
    (void)state;
    static float want[TOKENS][VOCAB];
    static int begin[PROMPT + 1];
    int32_t ids[ALL];
    jt_error err;
    jt_state *s = state_of();
    memcpy(ids, text, sizeof ids);
    ok(jt_state_set_keys(s, list_a, 2, &err), &err);
    groups_by_hand(s, ids, begin, begins(begin, 0, SHAPE, SHAPE), want[0]);
    ok(jt_state_set_keys(s, &list_b, 1, &err), &err);
    groups_by_hand(s, ids, begin, begins(begin, SHAPE, PROMPT, PROMPT), want[0]);
    evaluate(s, ids + PROMPT, 3, want[1]);
    ok(jt_state_set_keys(s, NULL, 0, &err), &err);
    evaluate(s, ids + PROMPT + 3, 1, want[1]);
    evaluate(s, ids + PROMPT + 4, 2, want[1]);
    ok(jt_state_truncate(s, PROMPT, &err), &err);
    ok(jt_state_set_keys(s, &list_b, 1, &err), &err);
    evaluate(s, ids + PROMPT, 2, want[2]);
    ok(jt_state_set_keys(s, &list_c, 1, &err), &err);
    for (int k = 2; k < 5; k++) ids[PROMPT + k] = text[k], evaluate(s, &text[k], 1, want[2]);
    const int end = PROMPT + 5;
    jt_span span = {.state = s, .ids = twig_id, .n = 3, .group = twig_group, .parent = (int32_t[]){end - 1, end, end - 1}};
    jt_want rows[2] = {{.row = 1, .logits = want[3]}, {.row = 2, .logits = want[4]}};
    ok(jt_eval(model, &(jt_batch){.span = &span, .n_span = 1, .want = rows, .n_want = 2}, &err), &err);
    jt_state_free(s);
    s = state_of();
    ok(jt_state_set_keys(s, list_a, 2, &err), &err);
    groups_by_hand(s, ids, begin, begins(begin, 0, 320, 320), want[5]);
    ok(jt_state_set_keys(s, NULL, 0, &err), &err);
    evaluate(s, ids + 320, end - 320, want[5]);
    jt_state_free(s);
    for (int way = 0; way < 2; way++) {
        jt_driver *d = driver(way ? narrow : model);
        heard h;
        hear(d, "much", PROMPT, &h);
        if (h.reason == JT_END_ERROR) fail_msg("%s", h.message);
        assert_int_equal(n_got, TOKENS);
        for (int k = 0; k < TOKENS; k++)
            if (memcmp(got[k], want[k], sizeof got[k]) != 0) fail_msg("result %d differs", k);
        jt_driver_free(d);
    }
}

/* ---- states kept after their jobs ---- */

static void kept_states_are_taken_up_in_the_same_mode_alone(void **state) {
    (void)state;
    enum { N = 7, FEW = 90 };
    static const char *const how[N] = {"greedy",         "listed",         "listed:local=12", "listed:local=13", "listed:local=12,chunk=7",
                                       "select:chunk=8", "listed:chunk=16"};
    static heard want[N], h;
    jt_driver_counts c;
    for (int i = 0; i < N; i++) alone(model, how[i], FEW, &want[i]);
    assert_memory_not_equal(&want[2], &want[3], sizeof h);
    assert_memory_not_equal(&want[2], &want[4], sizeof h);
    for (int first = 0; first < N; first++)
        for (int then = 0; then < N; then++) {
            jt_driver *d = driver(model);
            hear(d, how[first], FEW, &h);
            hear(d, how[then], FEW, &h);
            assert_memory_equal(&h, &want[then], sizeof h);
            jt_driver_stats(d, &c);
            assert_true((c.prefix_hits > 0) == (first == then && first < 4));
            jt_driver_free(d);
        }
}

/* ---- little memory, and cancelling ---- */

static void failures_and_cancels_are_clean(void **state) {
    (void)state;
    enum { SHORT = 45 };
    static heard want[2], h[2];
    jt_pipeline *p = parse("select:keys=4,local=4,first=1,chunk=16");
    jt_request r[2] = {ask(p, SHORT), ask(NULL, 20)};
    jt_error err;
    int failed = 0;
    for (long at = -1;; at++) {
        jt_job job[2] = {0};
        jt_driver *d = driver(model);
        if (at >= 0) alloc_fail_at(at);
        for (int k = 0; k < 2; k++) (void)jt_driver_submit(d, &r[k], &job[k], &err);
        listen(d, job, h, 2);
        long asked = alloc_count();
        alloc_fail_at(-1);
        jt_driver_free(d);
        for (int k = 0; k < 2; k++) {
            if (at < 0) want[k] = h[k];
            if (at < 0 && h[k].n != TOKENS) fail_msg("%s", h[k].message);
            if (at >= 0 && job[k] && h[k].reason != JT_END_ERROR) assert_memory_equal(&h[k], &want[k], sizeof *h);
            failed += job[k] && h[k].reason == JT_END_ERROR;
        }
        if (at >= 0 && asked <= at) break;
    }
    assert_true(failed > 10);
    for (int after = 0; after < TOKENS; after++) {
        jt_driver *d = driver(model);
        jt_job job[2];
        for (int k = 0; k < 2; k++) ok(jt_driver_submit(d, &r[k], &job[k], &err), &err);
        for (jt_event e = {0}; e.answer_tokens < after;) ok(jt_driver_next(d, &e, &err), &err);
        jt_driver_cancel(d, job[0]);
        jt_driver_free(d);
    }
    jt_pipeline_free(p);
}

static const jt_method method[] = {{.name = "select",
                                    .kind = JT_STRATEGY,
                                    .needs = JT_NEEDS_RAW_KEYS,
                                    JT_PARAMETERS(token_select),
                                    .state_size = sizeof(struct at),
                                    .strategy = {.advance = select_advance}},
                                   {.name = "around",
                                    .kind = JT_STRATEGY,
                                    .needs = JT_NEEDS_RAW_KEYS,
                                    JT_PARAMETERS(token_select),
                                    .state_size = sizeof(struct at),
                                    .strategy = {.advance = around_advance, .inner = true}},
                                   {.name = "listed",
                                    .kind = JT_STRATEGY,
                                    .needs = JT_NEEDS_RAW_KEYS,
                                    JT_PARAMETERS(listed),
                                    .state_size = sizeof(struct at),
                                    .strategy = {.advance = listed_advance}},
                                   {.name = "much",
                                    .kind = JT_STRATEGY,
                                    .needs = JT_NEEDS_RAW_KEYS,
                                    .state_size = sizeof(struct at),
                                    .strategy = {.advance = much_advance}}};

static int setup(void **state) {
    (void)state;
    jt_error err;
    tiny_llama t = tiny_llama_of(JT_Q4_1);
    jt_model_options o = {.kv_type = JT_KV_F32};
    char path[] = "/tmp/jeton-keys-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && close(fd) == 0);
    ok(jt_engine_new(NULL, &engine, &err), &err);
    ok(jt_methods_new(&mine, &err), &err);
    for (size_t i = 0; i < sizeof method / sizeof *method; i++) ok(jt_methods_add(mine, &method[i], &err), &err);
    tiny_llama_write(path, &t);
    ok(jt_model_open(engine, path, &o, &model, &err), &err);
    o.ubatch = 50;
    ok(jt_model_open(engine, path, &o, &narrow, &err), &err);
    unlink(path);
    for (int k = 0; k < ALL; k++) text[k] = (k * 37 + k / 11 + 11) % 200;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    jt_model_free(model), jt_model_free(narrow);
    jt_methods_free(mine);
    jt_engine_free(engine);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_keys_are_the_plain_text), cmocka_unit_test(few_keys_are_those_of_a_state_by_hand),
        cmocka_unit_test(attributes_change_between_groups), cmocka_unit_test(kept_states_are_taken_up_in_the_same_mode_alone),
        cmocka_unit_test(failures_and_cancels_are_clean)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
