/* Jobs wait while the caches that they could need are more than the limit. */
#include "harness.h"

enum { BYTES = 10, NEED = (5 + 20 + 2 * JT_TILE) * BYTES }; /* of `hello` and 20 tokens on the fake model */

static jt_driver *limited(fake *f, uint64_t bytes) {
    fake_make(f);
    f->ev.token_bytes = BYTES;
    jt_driver *d = driver_of(f);
    jt_driver_set_cache(d, bytes);
    return d;
}

static void jobs_wait_and_say_the_same(void **state) {
    (void)state;
    enum { N = 7 };
    static told alone[N], beside[N];
    fake f;
    jt_pipeline *p = parse_with("temp:0.9", NULL);
    for (int i = 0; i < N; i++) {
        jt_driver *d = limited(&f, 0);
        jt_request r = request_of(p, (uint64_t)i, 20);
        jt_job job;
        assert_int_equal(jt_driver_submit(d, &r, &job, NULL), JT_OK);
        finish_all(d, &job, &alone[i], 1);
        jt_driver_free(d);
        fake_free(&f);
    }
    jt_driver *d = limited(&f, 2 * NEED + NEED / 2);
    jt_job job[N];
    jt_driver_counts c;
    for (int i = 0; i < N; i++) {
        jt_request r = request_of(p, (uint64_t)i, 20);
        assert_int_equal(jt_driver_submit(d, &r, &job[i], NULL), JT_OK);
    }
    jt_driver_stats(d, &c);
    assert_int_equal(c.waiting, N - 2);
    assert_int_equal(c.cache, 2 * NEED);
    memset(beside, 0, sizeof beside);
    int ended = 0;
    for (jt_event e;;) {
        assert_int_equal(jt_driver_next(d, &e, NULL), JT_OK);
        if (!e.job) break;
        int i = 0;
        while (job[i] != e.job) i++;
        told_note(&beside[i], &e);
        ended += e.kind == JT_EVENT_END;
        assert_true(i <= ended + 2); /* in order, two at a time */
        jt_driver_stats(d, &c);
        assert_true(c.cache <= 2 * NEED);
    }
    assert_int_equal(ended, N);
    jt_driver_stats(d, &c);
    assert_true(c.cache == 0 && c.waiting == 0 && c.sequences > c.evals);
    for (int i = 0; i < N; i++) {
        assert_int_equal(beside[i].a[0].n, 20);
        assert_memory_equal(beside[i].a[0].id, alone[i].a[0].id, sizeof alone[i].a[0].id);
    }
    jt_driver_free(d);
    assert_int_equal(f.open, 0);
    jt_pipeline_free(p);
    fake_free(&f);
}

static void branches_cost_what_they_keep(void **state) {
    (void)state;
    fake f;
    jt_job job;
    jt_driver_counts c;
    jt_driver *d = limited(&f, 0);
    jt_driver_free(d);
    f.ev.branch_bytes = 7000;
    d = driver_of(&f);
    jt_pipeline *p = parse_with("best-of-n:3 > sample", NULL);
    jt_request r = request_of(p, 1, 20);
    assert_int_equal(jt_driver_submit(d, &r, &job, NULL), JT_OK);
    jt_driver_stats(d, &c);
    assert_int_equal(c.cache, (5 + 3 * (20 + 2 * JT_TILE)) * BYTES + 3 * 7000);
    jt_driver_free(d);
    jt_pipeline_free(p);
    fake_free(&f);
}

static void what_never_fits_is_refused(void **state) {
    (void)state;
    fake f;
    jt_error err;
    jt_job job;
    jt_driver *d = limited(&f, NEED);
    jt_request r = request_of(NULL, 1, 20);
    assert_int_equal(jt_driver_submit(d, &r, &job, &err), JT_OK);
    r.max_tokens = 21;
    assert_int_equal(jt_driver_submit(d, &r, &job, &err), JT_LIMIT);
    assert_non_null(strstr(err.message, "21 of answer, 1 branches"));
    r.max_tokens = 0; /* up to the context */
    assert_int_equal(jt_driver_submit(d, &r, &job, &err), JT_LIMIT);
    jt_driver_set_cache(d, UINT64_MAX);
    assert_int_equal(jt_driver_submit(d, &r, &job, &err), JT_OK);
    jt_driver_free(d);
    fake_free(&f);
}

static void branches_and_models_count(void **state) {
    (void)state;
    fake f, g;
    jt_job job;
    jt_driver_counts c;
    jt_driver *d = limited(&f, 0);
    fake_make(&g);
    g.ev.token_bytes = 7;
    assert_int_equal(jt_driver_add_with(d, "large", &g.ev, NULL), JT_OK);
    const struct {
        const char *text;
        uint64_t need;
    } row[] = {
        {"greedy", NEED},
        {"parallel:n=3 > sample | temp:0.8", (5 + 3 * (20 + 2 * JT_TILE)) * BYTES},
        {"best-of-n:n=2 > best-of-n:n=3 > sample", (5 + 6 * (20 + 2 * JT_TILE)) * BYTES},
        {"diverse-beam:beams=4,groups=2", (5 + 8 * (20 + 2 * JT_TILE)) * BYTES},
        {"r2r:theta=1", (5 + 20 + 2 * JT_TILE) * (BYTES + 7)},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        jt_pipeline *p = parse_with(row[i].text, NULL);
        jt_request r = request_of(p, 1, 20);
        told t;
        assert_int_equal(jt_driver_submit(d, &r, &job, NULL), JT_OK);
        jt_driver_stats(d, &c);
        assert_int_equal(c.cache, row[i].need);
        finish_all(d, &job, &t, 1);
        jt_driver_stats(d, &c);
        assert_int_equal(c.cache, 0);
        jt_pipeline_free(p);
    }
    jt_driver_free(d);
    fake_free(&f), fake_free(&g);
}

/* A job that waits can be cancelled, and its time limit does not run. */
static void waiting_is_no_work(void **state) {
    (void)state;
    fake f;
    jt_driver *d = limited(&f, NEED);
    jt_job job[3];
    told t[3];
    for (int i = 0; i < 3; i++) {
        jt_request r = request_of(NULL, 1, 20);
        if (i == 2) r.max_seconds = 0.5;
        assert_int_equal(jt_driver_submit(d, &r, &job[i], NULL), JT_OK);
    }
    f.tick = 0.01; /* the first takes longer than half a second */
    jt_driver_cancel(d, job[1]);
    memset(t, 0, sizeof t);
    for (jt_event e;;) {
        assert_int_equal(jt_driver_next(d, &e, NULL), JT_OK);
        if (!e.job) break;
        int i = e.job == job[0] ? 0 : e.job == job[1] ? 1 : 2;
        told_note(&t[i], &e);
        if (i == 0 && e.kind == JT_EVENT_END) {
            assert_true(f.clock > 0.5);
            f.tick = 1e-4;
        }
    }
    assert_int_equal(t[0].reason, JT_END_LENGTH);
    assert_int_equal(t[1].reason, JT_END_CANCELLED);
    assert_int_equal(t[1].a[0].n, 0);
    assert_int_equal(t[2].reason, JT_END_LENGTH);
    assert_int_equal(t[2].a[0].n, 20);
    jt_driver_free(d);
    fake_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_wait_and_say_the_same), cmocka_unit_test(branches_cost_what_they_keep),
        cmocka_unit_test(what_never_fits_is_refused), cmocka_unit_test(branches_and_models_count),
        cmocka_unit_test(waiting_is_no_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
