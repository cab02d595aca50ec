/* Stages given as parameters: slots that decide by them, marks, and what is refused. */
#include "harness.h"

static uint64_t hash_of(const int32_t *ids, int from, int n) {
    uint64_t h = 99;
    for (int i = from; i < n; i++) h = jt_hash_u64(h, (uint64_t)ids[i]);
    return h;
}

/* A stage whose state is a hash of all decisions, compared with the history: it sees those that other stages made too. */
static jt_status proof_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    (void)par, (void)u, (void)err;
    *(uint64_t *)state = 99;
    return JT_OK;
}

static jt_status proof_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    int n;
    const int32_t *ids = jt_step_history(s, &n);
    (void)par, (void)d;
    assert_true(*(const uint64_t *)state == hash_of(ids, jt_step_prompt(s), n));
    return JT_OK;
}

static void proof_push(const void *par, void *state, const jt_decision *made, jt_step *s) {
    (void)par, (void)s;
    *(uint64_t *)state = jt_hash_u64(*(uint64_t *)state, (uint64_t)made->id);
}

static const jt_method proof = {.name = "proof",
                                .kind = JT_STAGE,
                                .needs = JT_NEEDS_HISTORY,
                                .state_size = sizeof(uint64_t),
                                .open = proof_open,
                                .stage = {.run = proof_run, .push = proof_push}};

/* A stage that draws: it leaves one candidate, by a random number of its own. */
static jt_status one_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    (void)par, (void)state;
    jt_dist_only(d, (int32_t)(jt_step_u(s, "one", 0) * 200));
    return JT_OK;
}
static const jt_method one = {.name = "one", .kind = JT_STAGE, .stage = {.run = one_run}};

static jt_status none_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    (void)par, (void)state, (void)s;
    jt_dist_only(d, -1);
    return JT_OK;
}
static const jt_method none = {.name = "none", .kind = JT_STAGE, .stage = {.run = none_run}};
static const jt_method second = {.name = "second", .kind = JT_STAGE, .needs = JT_NEEDS_MODEL2, .role = "tutor", .stage = {.run = none_run}};

/* ---- a strategy that changes its stages as it goes ---- */

struct turns_state {
    int at, n;
    double marked;
};

#define TURNS(X, T)                                                                                                                        \
    X(T, STAGES, other, JT_REQUIRED, JT_STAGES(NULL), "stages of every third token")                                                       \
    X(T, INT, back, 0, JT_RANGE(0, 10), "tokens taken back once, after ten")
JT_PARAMS(turns, TURNS)

static double turns_marked[64];

static jt_status turns_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    const struct turns *a = par;
    struct turns_state *s = state;
    JT_BEGIN(s);
    for (;; s->n++) {
        jt_work_stages(w, JT_MAIN, s->n % 3 == 2 ? &a->other : NULL);
        jt_work_next(w, JT_MAIN);
        JT_AWAIT(s);
        {
            jt_dist *d = jt_work_marked(w, r->out, "here");
            if (s->n < 64) turns_marked[s->n] = d ? jt_dist_entropy(d) : -1;
            jt_work_say(w, JT_MAIN, jt_work_decide(w, r->out, 0));
        }
        if (a->back && s->n == 9) {
            int n = jt_work_length(w, JT_MAIN);
            jt_decision d[10];
            for (int k = 0; k < a->back; k++) d[k] = (jt_decision){.id = 'a' + k, .position = n - a->back + k};
            jt_work_truncate(w, JT_MAIN, n - a->back);
            for (int k = 0; k < a->back; k++) jt_work_push(w, JT_MAIN, &d[k]);
        }
    }
    JT_END(w);
}

static const jt_method turns_row = {.name = "turns",
                                    .kind = JT_STRATEGY,
                                    JT_PARAMETERS(turns),
                                    .state_size = sizeof(struct turns_state),
                                    .strategy = {.advance = turns_advance}};

/* ---- a strategy whose branches have different stages ---- */

#define HALVES(X, T) X(T, STAGES, other, 0, JT_STAGES("temp:2"), "stages of the second answer")
JT_PARAMS(halves, HALVES)

static jt_status halves_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    const struct halves *a = par;
    struct turns_state *s = state;
    JT_BEGIN(s);
    jt_work_fork(w, 1, JT_MAIN, -1), jt_work_as_choice(w, 1, 1);
    jt_work_child(w, JT_MAIN, 4), jt_work_child(w, 1, 4);
    JT_AWAIT(s);
    jt_work_stages(w, 1, &a->other); /* in the child that runs already */
    jt_work_fork(w, 2, 1, -1);       /* the fork has them too */
    jt_work_child(w, JT_MAIN, 0), jt_work_child(w, 1, 0), jt_work_child(w, 2, 0);
    JT_AWAIT(s);
    for (int i = 0; i < 3; i++) jt_work_yield(w, r->child[i].slot, i, NULL, 0);
    JT_END(w);
}

static int halves_width(const void *par) {
    (void)par;
    return 3;
}

static const jt_method halves_row = {.name = "halves",
                                     .kind = JT_STRATEGY,
                                     JT_PARAMETERS(halves),
                                     .state_size = sizeof(struct turns_state),
                                     .strategy = {.advance = halves_advance, .inner = true, .many = true, .width = halves_width}};

static jt_status stray_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    static const jt_stages_value mine = {.pipeline = (const jt_pipeline *)1, .text = ""};
    (void)par, (void)state, (void)r;
    jt_work_stages(w, JT_MAIN, &mine);
    return JT_OK;
}
static const jt_method stray = {.name = "stray", .kind = JT_STRATEGY, .strategy = {.advance = stray_advance}};

static jt_methods *mine;

static int setup(void **state) {
    (void)state;
    static const jt_method *const row[] = {&proof, &one, &none, &second, &turns_row, &halves_row, &stray};
    int failed = jt_methods_new(&mine, NULL) != JT_OK;
    for (size_t i = 0; !failed && i < sizeof row / sizeof *row; i++) failed = jt_methods_add(mine, row[i], NULL) != JT_OK;
    return failed;
}

static int teardown(void **state) {
    (void)state;
    jt_methods_free(mine);
    return 0;
}

/* The next token after ids[0..n) by a pipeline of its own. */
static int32_t next_alone(fake *f, const int32_t *ids, int n, const char *text) {
    static told t;
    jt_driver *d = driver_of(f);
    jt_pipeline *p = parse_with(text, mine);
    jt_request r = {.prompt = ids, .n_prompt = (size_t)n, .pipeline = p, .seed = 6, .max_tokens = 1, .ignore_end = 1};
    run_request(d, &r, &t);
    jt_driver_free(d);
    jt_pipeline_free(p);
    return t.a[0].id[0];
}

static void slots_decide_by_their_stages(void **state) {
    (void)state;
    static told t;
    fake f;
    fake_make(&f);
    for (int back = 0; back < 5; back += 4) {
        char text[200];
        snprintf(text, sizeof text, "turns:other=(proof | temp:3 | repeat-penalty:1.5),back=%d | temp:0.5 | proof", back);
        run_text(&f, text, mine, 6, 24, &t);
        assert_int_equal(t.a[0].n, 24);
        int32_t ids[64];
        memcpy(ids, hello, sizeof hello);
        for (int i = 0; i < 24; i++) {
            if (back && i == 10)
                for (int k = 0; k < back; k++) ids[5 + i - back + k] = 'a' + k;
            ids[5 + i] = next_alone(&f, ids, 5 + i, i % 3 == 2 ? "temp:3 | repeat-penalty:1.5" : "temp:0.5");
            assert_int_equal(t.a[0].id[i], ids[5 + i]);
        }
    }
    fake_free(&f);
}

static void branches_inherit_their_stages(void **state) {
    (void)state;
    static told t, plain;
    fake f;
    fake_make(&f);
    run_text(&f, "halves:other=(temp:3) > sample | temp:0.5", mine, 6, 20, &t);
    run_text(&f, "sample | temp:0.5", mine, 6, 20, &plain);
    same_said(&t.a[0], &plain.a[0]);
    assert_int_equal(t.answers, 3);
    same_said(&t.a[1], &t.a[2]);
    int32_t ids[64];
    memcpy(ids, hello, sizeof hello);
    for (int i = 0; i < 20; i++) {
        static told step;
        jt_driver *d = driver_of(&f);
        jt_pipeline *p = parse_with(i < 4 ? "temp:0.5" : "temp:3", NULL);
        jt_request r = {
            .prompt = ids, .n_prompt = (size_t)(5 + i), .pipeline = p, .seed = 6, .choice = 1, .max_tokens = 1, .ignore_end = 1};
        run_request(d, &r, &step);
        assert_int_equal(t.a[1].id[i], ids[5 + i] = step.a[0].id[0]);
        jt_driver_free(d);
        jt_pipeline_free(p);
    }
    fake_free(&f);
}

static void marks_show_what_stands_before_them(void **state) {
    (void)state;
    static told t;
    fake f;
    fake_make(&f);
    double at[5][24];
    static const char *const text[] = {"turns:other=() | temp:2 | mark:here | top-k:1", "turns:other=() | temp:2 | mark:there | top-k:1",
                                       "turns:other=() | mark:here | temp:2 | top-k:1", "turns:other=() | mark:here | mark:here | top-k:1",
                                       "turns:other=() | temp:2 | mark:\"here\" | top-k:1 | mark:here"};
    for (int i = 0; i < 5; i++) {
        run_text(&f, text[i], mine, 6, 24, &t);
        memcpy(at[i], turns_marked, sizeof at[i]);
    }
    for (int k = 0; k < 24; k++) {
        if (k % 3 == 2) continue; /* the other stages have no mark */
        assert_true(at[0][k] > 1 && at[0][k] > at[2][k] && at[2][k] == at[3][k] && at[4][k] == at[0][k]);
        assert_true(at[1][k] == 0); /* no such mark: after all of them */
    }
    fake_free(&f);
}

/* Two stages of one name draw apart when they stand in different chains. */
static void chains_draw_apart(void **state) {
    (void)state;
    static told t;
    fake f;
    fake_make(&f);
    run_text(&f, "turns:other=(one) | one", mine, 6, 30, &t);
    int32_t ids[64];
    int same = 0;
    memcpy(ids, hello, sizeof hello);
    for (int i = 0; i < 30; i++) {
        int32_t id = next_alone(&f, ids, 5 + i, "one");
        if (i % 3 != 2) assert_int_equal(t.a[0].id[i], id);
        if (i % 3 == 2) same += t.a[0].id[i] == id;
        ids[5 + i] = t.a[0].id[i];
    }
    assert_true(same < 3);
    fake_free(&f);
}

static void traces_tell_the_stages_that_ran(void **state) {
    (void)state;
    fake f;
    fake_make(&f);
    jt_driver *d = driver_of(&f);
    jt_pipeline *p = parse_with("turns:other=(temp:3 | top-k:5 | top-p:0.9) | min-p:0.1", mine);
    jt_request r = request_of(p, 6, 12);
    jt_job job;
    r.trace = 1;
    assert_int_equal(jt_driver_submit(d, &r, &job, NULL), JT_OK);
    int n = 0;
    for (jt_event e;;) {
        assert_int_equal(jt_driver_next(d, &e, NULL), JT_OK);
        if (!e.job) break;
        if (e.kind != JT_EVENT_TOKEN) continue;
        assert_int_equal(e.n_stage, n % 3 == 2 ? 3 : 1);
        assert_string_equal(e.stage[e.n_stage - 1].method, n % 3 == 2 ? "top-p" : "min-p");
        n++;
    }
    assert_int_equal(n, 12);
    jt_driver_free(d);
    jt_pipeline_free(p);
    fake_free(&f);
}

static void what_cannot_be_is_refused_at_once(void **state) {
    (void)state;
    static told t;
    static const struct {
        const char *text, *message;
    } bad[] = {{"soft-thinking:think=(second)", "stage second needs a second model in the role \"tutor\""},
               {"soft-thinking:think=(logit-bias:\"two words\"=1)", "tokens of this model, not one"},
               {"best-of-n:2 > turns:(logit-bias:9999=1)", "outside of the vocabulary"}};
    fake f;
    jt_error err;
    jt_job job;
    fake_make(&f);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        jt_driver *d = driver_of(&f);
        jt_pipeline *p = parse_with(bad[i].text, mine);
        jt_request r = request_of(p, 6, 12);
        assert_int_not_equal(jt_driver_submit(d, &r, &job, &err), JT_OK);
        if (!strstr(err.message, bad[i].message)) fail_msg("%s: %s", bad[i].text, err.message);
        jt_driver_free(d);
        jt_pipeline_free(p);
        assert_int_equal(f.open, 0);
    }
    run_text(&f, "stray", mine, 6, 5, &t);
    assert_int_equal(t.reason, JT_END_ERROR);
    assert_non_null(strstr(t.message, "no parameter of the pipeline's"));
    run_text(&f, "soft-thinking:think=(none)", mine, 6, 5, &t);
    assert_int_equal(t.reason, JT_END_DEAD);
    assert_int_equal(t.a[0].n, 0);
    fake_free(&f);
}

static void failed_allocations_are_clean(void **state) {
    (void)state;
    static told want, t;
    static const char *const text[] = {"turns:other=(proof | temp:3 | dry:1),back=3 | temp:0.5 | proof",
                                       "halves:other=(top-k:5) > sample | temp:0.5"};
    fake f;
    fake_make(&f);
    for (int i = 0; i < 2; i++) {
        int hurt = 0;
        for (long at = -1;; at++) {
            jt_driver *d = driver_of(&f);
            jt_pipeline *p = parse_with(text[i], mine);
            jt_request r = request_of(p, 6, 14);
            jt_job job = 0;
            r.trace = 1;
            if (at >= 0) alloc_fail_at(at);
            jt_status e = jt_driver_submit(d, &r, &job, NULL);
            if (e == JT_OK) finish_all(d, &job, &t, 1);
            long asked = alloc_count();
            alloc_fail_at(-1);
            jt_driver_free(d);
            jt_pipeline_free(p);
            assert_int_equal(f.open, 0);
            if (at < 0) {
                want = t;
                continue;
            }
            if (e != JT_OK || t.reason == JT_END_ERROR)
                hurt++;
            else
                assert_memory_equal(&t, &want, sizeof t);
            if (asked <= at) break;
        }
        assert_true(hurt > 10);
    }
    fake_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_decide_by_their_stages),       cmocka_unit_test(branches_inherit_their_stages),
        cmocka_unit_test(marks_show_what_stands_before_them), cmocka_unit_test(chains_draw_apart),
        cmocka_unit_test(traces_tell_the_stages_that_ran),    cmocka_unit_test(what_cannot_be_is_refused_at_once),
        cmocka_unit_test(failed_allocations_are_clean),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
