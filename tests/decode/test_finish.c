/* Jobs that are cancelled or out of time give the answers that their strategies have: each is the beginning of what it would
 * have become, and ends for the job's reason unless it had ended by itself. */
#include "harness.h"

static jt_methods *mine;

/* A strategy that loops over its child two tokens at a time, and one that never gives anything. */
struct loop {
    int at;
};

static jt_status loop_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct loop *s = state;
    (void)par;
    JT_BEGIN(s);
    do {
        jt_work_child(w, JT_MAIN, 2);
        JT_AWAIT(s);
        jt_work_forward(w, JT_MAIN);
    } while (!r->child->why);
    jt_work_done(w, r->child->why);
    return JT_OK;
    JT_END(w);
}

static jt_status miser_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    (void)par, (void)state, (void)r;
    jt_work_fork(w, 1, JT_MAIN, -1);
    jt_work_child(w, 1, 2); /* a new one, whatever became of the last */
    return JT_OK;
}

static const jt_method loops[] = {
    {.name = "loop", .kind = JT_STRATEGY, .state_size = sizeof(struct loop), .strategy = {.advance = loop_advance, .inner = true}},
    {.name = "miser", .kind = JT_STRATEGY, .state_size = sizeof(struct loop), .strategy = {.advance = miser_advance, .inner = true}},
};

/* What was given when the job was ended after so many rounds; reason END_NONE: by its time. */
static void stop_after(fake *f, const char *text, int rounds, jt_end_reason why, told *t) {
    jt_driver *d = driver_of(f);
    jt_pipeline *p = parse_with(text, mine);
    jt_request r = request_of(p, 4, 24);
    jt_job job;
    r.max_seconds = why == JT_END_TIME ? 1e6 : 0;
    assert_int_equal(jt_driver_submit(d, &r, &job, NULL), JT_OK);
    for (int k = 0; k < rounds; k++) jt_driver_round(d);
    if (why == JT_END_TIME)
        f->clock += 2e6;
    else
        jt_driver_cancel(d, job);
    finish_all(d, &job, t, 1);
    jt_driver_free(d);
    jt_pipeline_free(p);
    assert_int_equal(f->open, 0);
}

static void begins_as(const said *part, const said *whole) {
    assert_true(part->n <= whole->n);
    assert_memory_equal(part->id, whole->id, (size_t)part->n * sizeof *part->id);
    assert_memory_equal(part->raw, whole->raw, (size_t)part->n * sizeof *part->raw);
    assert_true(part->n_text <= whole->n_text);
}

static void unfinished_answers_are_given(void **state) {
    (void)state;
    static told whole, part;
    static const char *const text[] = {"parallel:4 > sample", "parallel:3 > loop > sample", "parallel:2 > loop > loop > sample | temp:0.8"};
    static const int answers[] = {4, 3, 2};
    fake f;
    fake_make(&f);
    for (int i = 0; i < 3; i++)
        for (int why = JT_END_TIME; why <= JT_END_CANCELLED; why += JT_END_CANCELLED - JT_END_TIME) {
            int most = 0;
            run_text(&f, text[i], mine, 4, 24, &whole);
            for (int rounds = 0; rounds < 30; rounds++) {
                stop_after(&f, text[i], rounds, (jt_end_reason)why, &part);
                assert_int_equal(part.reason, part.a[0].n == 24 ? JT_END_LENGTH : (jt_end_reason)why); /* or it was done */
                assert_int_equal(part.answers, rounds ? answers[i] : 0);
                for (int a = 0; a < part.answers; a++) {
                    begins_as(&part.a[a], &whole.a[a]);
                    assert_true((int)part.a[a].reason == why || part.a[a].n == 24);
                    if (rounds > 5) assert_true(part.a[a].n >= (rounds < 20 ? rounds - 2 : 20));
                    if (part.a[a].n > most) most = part.a[a].n;
                }
            }
            assert_int_equal(most, 24);
        }
    /* The best of what there is. */
    run_text(&f, "parallel:5 > sample", mine, 4, 24, &whole);
    for (int rounds = 1; rounds < 20; rounds++) {
        stop_after(&f, "best-of-n:5 > sample", rounds, JT_END_TIME, &part);
        assert_true(part.answers == 1 && part.a[0].reason == JT_END_TIME && part.reason == JT_END_TIME);
        assert_in_range(part.a[0].n, rounds - 1, rounds); /* a run that says nothing yet is not the best */
    }
    stop_after(&f, "miser > sample", 9, JT_END_TIME, &part);
    assert_true(part.reason == JT_END_TIME && part.answers == 0 && part.a[0].n == 0);
    stop_after(&f, "sample", 9, JT_END_CANCELLED, &part);
    run_text(&f, "sample", mine, 4, 24, &whole);
    begins_as(&part.a[0], &whole.a[0]);
    fake_free(&f);
}

/* Beams as they stand, the best first. */
static void beams_are_given_as_they_stand(void **state) {
    (void)state;
    static told part, whole;
    fake f;
    fake_make(&f);
    for (int rounds = 0; rounds < 12; rounds++) {
        stop_after(&f, "diverse-beam:beams=4,groups=1", rounds, JT_END_TIME, &part);
        assert_int_equal(part.answers, rounds > 1 ? 4 : part.answers);
        assert_int_equal(part.reason, JT_END_TIME);
        if (!part.answers) continue;
        int n = part.a[0].n;
        run_text(&f, "diverse-beam:beams=4,groups=1", mine, 4, n, &whole); /* the same search, limited to as many tokens */
        for (int a = 0; a < 4; a++) {
            same_said(&part.a[a], &whole.a[a]);
            assert_int_equal(part.a[a].note, whole.a[a].note);
            assert_int_equal(part.a[a].reason, JT_END_TIME);
        }
    }
    fake_free(&f);
}

static void failures_while_a_job_ends_are_clean(void **state) {
    (void)state;
    static const char *const text[] = {"parallel:3 > loop > sample", "diverse-beam:beams=4,groups=2", "best-of-n:3 > sample"};
    static told want, t;
    fake f;
    fake_make(&f);
    for (int i = 0; i < 3; i++) {
        jt_pipeline *p = parse_with(text[i], mine);
        jt_request r = request_of(p, 4, 24);
        for (long at = -1;; at++) {
            jt_driver *d = driver_of(&f);
            jt_job job;
            assert_int_equal(jt_driver_submit(d, &r, &job, NULL), JT_OK);
            for (int k = 0; k < 7; k++) jt_driver_round(d);
            jt_driver_cancel(d, job);
            if (at >= 0) alloc_fail_at(at);
            finish_all(d, &job, &t, 1);
            long asked = alloc_count();
            alloc_fail_at(-1);
            jt_driver_free(d);
            assert_int_equal(f.open, 0);
            assert_int_equal(t.reason, JT_END_CANCELLED);
            if (at < 0) want = t;
            for (int a = 0; a < t.answers; a++) begins_as(&t.a[t.order[a]], &want.a[t.order[a]]);
            if (at >= 0 && asked <= at) break;
        }
        assert_true(want.answers > 0);
        jt_pipeline_free(p);
    }
    fake_free(&f);
}

static int setup(void **state) {
    (void)state;
    return methods_with(&mine, loops, sizeof loops / sizeof *loops);
}

static int teardown(void **state) {
    (void)state;
    jt_methods_free(mine);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unfinished_answers_are_given),
        cmocka_unit_test(beams_are_given_as_they_stand),
        cmocka_unit_test(failures_while_a_job_ends_are_clean),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
