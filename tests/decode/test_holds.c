/* What outlives an advance: dists that strategies hold, with the bits that they had, and objects that jobs share. */
#include "harness.h"

static jt_methods *mine;

/* ---- held dists ---- */

enum { STEPS = 24, PROBES = 5 };
struct grip {
    jt_hold hold;
    int position;
    int32_t first;
    double p[PROBES], sum;
};
struct keep {
    int at, step, n, gone;
    struct grip grip[2 * STEPS];
};

static int keep_refusal;
static const jt_driver *keep_driver;

static void keep_note(struct keep *s, const jt_out *o, jt_dist *d, jt_hold h) {
    if (!d || !h) return;
    struct grip *g = &s->grip[s->n++];
    *g = (struct grip){.hold = h, .position = o->position, .sum = jt_dist_log_sum(d)};
    g->first = jt_dist_count(d) ? jt_dist_top(d, 1)->id : -1;
    for (int k = 0; k < PROBES; k++) g->p[k] = jt_dist_p(d, k ? 40 * k : g->first < 0 ? 0 : g->first);
}

static void keep_check(jt_work *w, const struct grip *g) {
    jt_dist *d = jt_work_held(w, g->hold);
    if (!d) return;
    assert_true(jt_dist_log_sum(d) == g->sum);
    assert_int_equal(jt_dist_count(d) ? jt_dist_top(d, 1)->id : -1, g->first);
    for (int k = 0; k < PROBES; k++) assert_true(jt_dist_p(d, k ? 40 * k : g->first < 0 ? 0 : g->first) == g->p[k]);
}

/* Each step holds the staged and the model's dist of a follower's row or of its own; now and then it goes back. */
static jt_status keep_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct keep *s = state;
    (void)par;
    JT_BEGIN(s);
    jt_work_follow(w, 1, NULL, JT_MAIN);
    for (s->step = 0; s->step < STEPS; s->step++) {
        jt_work_next(w, (jt_slot)(s->step % 2));
        JT_AWAIT(s);
        {
            jt_dist *d = jt_work_staged(w, r->out);
            keep_note(s, r->out, d, jt_work_hold(w, r->out, NULL));
            d = jt_work_raw(w, r->out);
            keep_note(s, r->out, d, jt_work_hold(w, r->out, d));
            jt_decision made = jt_work_choose(w, r->out, 'a' + s->step);
            jt_work_push(w, JT_MAIN, &made);
            if (w->status != JT_OK) return JT_OK;
        }
        for (int i = 0; i < s->n; i++) keep_check(w, &s->grip[i]);
        if (s->step % 7 == 6) {
            int n = jt_work_length(w, JT_MAIN) - 3, keep = 0;
            jt_work_fork(w, 2, JT_MAIN, 1);
            jt_work_truncate(w, JT_MAIN, n);
            for (int i = 0; i < s->n; i++) keep_check(w, &s->grip[i]); /* the fork has them all */
            jt_work_drop(w, 2);
            for (int i = 0; i < s->n; i++)
                if (s->grip[i].position <= n)
                    s->grip[keep++] = s->grip[i];
                else
                    s->gone = s->grip[i].hold;
            s->n = keep;
        }
        if (s->step % 5 == 4 && s->n) jt_work_release(w, s->grip[--s->n].hold);
    }
    {
        jt_driver_counts c;
        jt_driver_stats(keep_driver, &c);
        assert_true(c.held > 0);
        for (int i = 0; i < s->n; i++) keep_check(w, &s->grip[i]);
        for (int i = 0; i < s->n; i++) jt_work_release(w, s->grip[i].hold);
        jt_driver_stats(keep_driver, &c);
        assert_int_equal(c.held, 0);
        if (keep_refusal) (void)jt_work_held(w, keep_refusal == 1 ? s->gone : s->grip[0].hold);
    }
    JT_END(w);
}

static const jt_method keep = {
    .name = "keep", .kind = JT_STRATEGY, .state_size = sizeof(struct keep), .strategy = {.advance = keep_advance}};

/* Holds all it is given, and never lets go. */
static jt_status hoard_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct keep *s = state;
    (void)par;
    JT_BEGIN(s);
    for (;;) {
        jt_work_next(w, JT_MAIN);
        JT_AWAIT(s);
        {
            jt_decision made = jt_work_best(w, r->out);
            (void)jt_work_hold(w, r->out, jt_work_raw(w, r->out));
            jt_work_push(w, JT_MAIN, &made);
            jt_work_emit(w, &made);
        }
    }
    JT_END(w);
}

static const jt_method hoard = {
    .name = "hoard", .kind = JT_STRATEGY, .state_size = sizeof(struct keep), .strategy = {.advance = hoard_advance}};

static void run_keep(fake *f, const char *text, uint64_t limit, told *t) {
    jt_driver *d = driver_of(f);
    jt_pipeline *p = parse_with(text, mine);
    jt_request r = request_of(p, 3, 60);
    keep_driver = d;
    jt_driver_set_cache(d, limit);
    run_request(d, &r, t);
    jt_driver_free(d);
    jt_pipeline_free(p);
    assert_int_equal(f->open, 0);
}

static void held_dists_have_the_bits_that_they_had(void **state) {
    (void)state;
    static told t;
    static const char *const text[] = {"keep", "keep | temp:0.7 | top-k:9", "keep | top-p:0.5 | logit-bias:97=-inf",
                                       "keep | logit-bias:97=-inf"};
    fake f;
    fake_make(&f);
    for (int i = 0; i < 4; i++) {
        keep_refusal = 0;
        run_keep(&f, text[i], 0, &t);
        if (t.reason == JT_END_ERROR) fail_msg("%s", t.message);
        for (keep_refusal = 1; keep_refusal < 3; keep_refusal++) {
            run_keep(&f, text[i], 0, &t);
            assert_int_equal(t.reason, JT_END_ERROR);
            assert_non_null(strstr(t.message, "the strategy keep reads a held distribution that is gone"));
        }
    }
    keep_refusal = 0;
    run_keep(&f, "hoard", 0, &t);
    assert_int_equal(t.reason, JT_END_LENGTH);
    run_keep(&f, "hoard", 20 * FAKE_VOCAB * sizeof(float), &t);
    assert_int_equal(t.reason, JT_END_ERROR);
    assert_int_equal(t.a[0].n, 20);
    assert_non_null(strstr(t.message, "the strategy hoard holds more distributions than the limit of 0.0 MiB"));
    fake_free(&f);
}

/* ---- objects that jobs share ---- */

static int shared_open, shared_most;
struct table {
    int jobs, calls;
    void *own;
};

static size_t table_size(const jt_setup *u) {
    assert_true(u->vocab == FAKE_VOCAB && !u->prompt && !u->tokenizer);
    return sizeof(struct table);
}
static jt_status table_open(void *shared, const jt_setup *u, jt_error *err) {
    struct table *t = shared;
    (void)u;
    t->own = jt_alloc(3, 8);
    if (!t->own) return jt_nomem(err, "a table", 3, 8);
    shared_open++;
    return JT_OK;
}
static void table_close(void *shared) {
    jt_free(((struct table *)shared)->own);
    shared_open--;
}

static jt_status count_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct keep *s = state;
    struct table *t = jt_work_shared(w);
    (void)par;
    assert_non_null(t);
    if (++t->calls > shared_most) shared_most = t->calls;
    JT_BEGIN(s);
    t->jobs++;
    for (;;) {
        jt_work_next(w, JT_MAIN);
        JT_AWAIT(s);
        jt_work_say(w, JT_MAIN, jt_work_best(w, r->out));
    }
    JT_END(w);
}

static jt_status look_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    struct table *t = jt_step_shared(s);
    (void)par, (void)state, (void)d;
    t->calls++;
    return JT_OK;
}
static void look_push(const void *par, void *state, const jt_decision *made, jt_step *s) {
    struct table *t = jt_step_shared(s);
    (void)par, (void)state, (void)made;
    t->jobs++;
}
static jt_status none_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    (void)par, (void)state, (void)d;
    return jt_step_shared(s) ? JT_INVALID : JT_OK;
}

static const jt_method tables[] = {
    {.name = "count",
     .kind = JT_STRATEGY,
     .state_size = sizeof(struct keep),
     .shared_size = table_size,
     .shared_open = table_open,
     .shared_close = table_close,
     .strategy = {.advance = count_advance}},
    {.name = "look",
     .kind = JT_STAGE,
     .shared_size = table_size,
     .shared_open = table_open,
     .shared_close = table_close,
     .stage = {.run = look_run, .push = look_push}},
    {.name = "none", .kind = JT_STAGE, .stage = {.run = none_run}},
};

static void objects_outlive_jobs(void **state) {
    (void)state;
    static told t[3];
    jt_job job[3];
    fake f;
    fake_make(&f);
    jt_driver *d = driver_of(&f), *other = driver_of(&f);
    jt_pipeline *p = parse_with("count | look | none | temp:0.5", mine);
    shared_most = 0;
    for (int round = 1; round < 4; round++) {
        jt_request r = request_of(p, 3, 6);
        for (int i = 0; i < 3; i++) assert_int_equal(jt_driver_submit(d, &r, &job[i], NULL), JT_OK);
        assert_int_equal(shared_open, 2);
        finish_all(d, job, t, 3);
        assert_int_equal(t[0].reason, JT_END_LENGTH);
        assert_int_equal(shared_most, round * 3 * 7); /* calls of all jobs */
    }
    jt_request r = request_of(p, 3, 6);
    run_request(other, &r, t);
    assert_int_equal(shared_most, 63); /* another driver has its own */
    assert_int_equal(shared_open, 4);
    jt_driver_free(d);
    assert_int_equal(shared_open, 2);
    jt_driver_free(other);
    assert_int_equal(shared_open, 0);
    jt_pipeline_free(p);
    fake_free(&f);
}

/* ---- little memory, and cancelling ---- */

static void failures_and_cancels_are_clean(void **state) {
    (void)state;
    static const char *const text[] = {"keep | top-k:30", "count | look"};
    static told want, t;
    fake f;
    fake_make(&f);
    keep_refusal = 0;
    for (int i = 0; i < 2; i++) {
        jt_pipeline *p = parse_with(text[i], mine);
        jt_request r = request_of(p, 2, 14);
        int failed = 0;
        for (long at = -1;; at++) {
            jt_job job = 0;
            jt_error err;
            jt_driver *d = driver_of(&f);
            keep_driver = d;
            if (at >= 0) alloc_fail_at(at);
            jt_status e = jt_driver_submit(d, &r, &job, &err);
            if (e != JT_OK && e != JT_NOMEM) fail_msg("%s", err.message);
            finish_all(d, &job, &t, 1);
            long asked = alloc_count();
            alloc_fail_at(-1);
            jt_driver_free(d);
            assert_int_equal(f.open + shared_open, 0);
            if (at < 0) want = t;
            if (at < 0) continue;
            if (job && t.reason != JT_END_ERROR) assert_memory_equal(&t, &want, sizeof want);
            failed += t.reason == JT_END_ERROR;
            if (t.reason == JT_END_ERROR && !strstr(t.message, "out of memory")) fail_msg("%s", t.message);
            if (asked <= at) break;
        }
        assert_true(failed > 5);
        for (int after = 0; after < 12; after++) {
            jt_driver *d = driver_of(&f);
            jt_job job;
            keep_driver = d;
            assert_int_equal(jt_driver_submit(d, &r, &job, NULL), JT_OK);
            for (int k = 0; k < after; k++) jt_driver_round(d);
            jt_driver_cancel(d, job);
            if (after % 2) finish_all(d, &job, &t, 1);
            jt_driver_free(d);
            assert_int_equal(f.open + shared_open, 0);
        }
        jt_pipeline_free(p);
    }
    fake_free(&f);
}

static int setup(void **state) {
    (void)state;
    if (jt_methods_new(&mine, NULL) != JT_OK) return 1;
    const jt_method *const all[] = {&keep, &hoard, &tables[0], &tables[1], &tables[2]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (jt_methods_add(mine, all[i], NULL) != JT_OK) return 1;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    jt_methods_free(mine);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(held_dists_have_the_bits_that_they_had),
        cmocka_unit_test(objects_outlive_jobs),
        cmocka_unit_test(failures_and_cancels_are_clean),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
