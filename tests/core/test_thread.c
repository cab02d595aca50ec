/* The thread pool: every thread once a run, barriers that hold, turns between callers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>
#include <stdatomic.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "core/thread.h"

enum { MOST = 8 };

struct once {
    atomic_int calls[MOST];
    atomic_int wrong;
    int threads;
};

static void count(void *arg, int thread, int threads) {
    struct once *o = arg;
    if (threads != o->threads || thread < 0 || thread >= threads)
        atomic_fetch_add(&o->wrong, 1);
    else
        atomic_fetch_add(&o->calls[thread], 1);
}

static void test_each_thread_once(void **state) {
    (void)state;
    for (int n = 1; n <= MOST; n++) {
        jt_pool *p;
        jt_error e;
        struct once o = {.threads = n};
        if (jt_pool_new(n, &p, &e)) fail_msg("%s", e.message);
        assert_int_equal(jt_pool_threads(p), n);
        for (int run = 0; run < 200; run++) jt_pool_run(p, count, &o);
        for (int i = 0; i < MOST; i++) assert_int_equal(o.calls[i], i < n ? 200 : 0);
        assert_int_equal(o.wrong, 0);
        jt_pool_free(p);
    }
}

/* Ordinary memory written before a barrier is read by all after it. */
struct phases {
    jt_pool *pool;
    int value[MOST], threads, rounds;
    atomic_int wrong;
};

static void in_phases(void *arg, int thread, int threads) {
    struct phases *p = arg;
    for (int round = 1; round <= p->rounds; round++) {
        p->value[thread] = round * 100 + thread;
        jt_pool_barrier(p->pool);
        for (int i = 0; i < threads; i++)
            if (p->value[i] != round * 100 + i) atomic_fetch_add(&p->wrong, 1);
        jt_pool_barrier(p->pool);
    }
}

static void test_barrier(void **state) {
    (void)state;
    for (int n = 1; n <= MOST; n++) {
        struct phases p = {.threads = n, .rounds = 150};
        assert_int_equal(jt_pool_new(n, &p.pool, NULL), JT_OK);
        for (int run = 0; run < 4; run++) {
            memset(p.value, 0, sizeof p.value);
            jt_pool_run(p.pool, in_phases, &p);
            assert_int_equal(p.wrong, 0);
        }
        jt_pool_free(p.pool);
    }
}

/* Several callers of one pool: each run is whole, none is lost. */
struct shared {
    jt_pool *pool;
    int sum, inside; /* guarded by the pool's turns */
    atomic_int wrong;
};

static void alone(void *arg, int thread, int threads) {
    struct shared *s = arg;
    (void)threads;
    if (thread == 0 && s->inside++) atomic_fetch_add(&s->wrong, 1);
    jt_pool_barrier(s->pool);
    if (thread == 0) s->sum++, s->inside--;
}

static void *caller(void *arg) {
    struct shared *s = arg;
    for (int i = 0; i < 100; i++) jt_pool_run(s->pool, alone, s);
    return NULL;
}

static void test_callers_take_turns(void **state) {
    (void)state;
    struct shared s = {0};
    pthread_t t[4];
    assert_int_equal(jt_pool_new(3, &s.pool, NULL), JT_OK);
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&t[i], NULL, caller, &s), 0);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    assert_int_equal(s.sum, 400);
    assert_int_equal(s.wrong, 0);
    jt_pool_free(s.pool);
}

static void test_limits(void **state) {
    (void)state;
    jt_pool *p = NULL;
    jt_error e;
    assert_true(jt_processors() >= 1);
    assert_int_equal(jt_pool_new(-1, &p, &e), JT_INVALID);
    assert_int_equal(jt_pool_new(1025, &p, &e), JT_INVALID);
    assert_non_null(strstr(e.message, "threads=1025"));
    assert_null(p);
    assert_int_equal(jt_pool_new(0, &p, &e), JT_OK);
    assert_int_equal(jt_pool_threads(p), jt_processors());
    jt_pool_free(p);
    jt_pool_free(NULL);
}

static void test_every_allocation_fails(void **state) {
    (void)state;
    jt_pool *p = NULL;
    long i = 0;
    for (;; i++) {
        jt_error e = {0};
        alloc_fail_at(i);
        jt_status s = jt_pool_new(4, &p, &e);
        alloc_fail_at(-1);
        if (s == JT_OK) break;
        assert_int_equal(s, JT_NOMEM);
        assert_true(e.message[0]);
        assert_null(p);
    }
    assert_true(i >= 5);
    struct once o = {.threads = 4};
    jt_pool_run(p, count, &o);
    assert_int_equal(o.calls[3], 1);
    jt_pool_free(p);
}

/* Parts in the order in which they are taken follow each other, leave nothing out, and are few. */
static void test_parts(void **state) {
    (void)state;
    static const int ns[] = {0, 1, 2, 5, 17, 36, 100, 8016}, leasts[] = {1, 2, 4, 9, 100000}, all[] = {1, 2, 3, 64};
    for (size_t a = 0; a < sizeof ns / sizeof *ns; a++)
        for (size_t b = 0; b < sizeof leasts / sizeof *leasts; b++)
            for (size_t c = 0; c < sizeof all / sizeof *all; c++) {
                int n = ns[a], least = leasts[b], threads = all[c], at = 0, parts = 0, first, end, before = n;
                jt_turns t;
                jt_turns_reset(&t);
                for (; jt_turns_part(&t, n, least, threads, &first, &end); at = end, parts++) {
                    assert_int_equal(first, at);
                    assert_true(end > first && end <= n);
                    assert_true(end - first >= least || end == n);
                    assert_true(end - first <= before);
                    before = end - first;
                }
                assert_int_equal(at, n);
                assert_true(threads > 1 || parts == (n > 0));
                assert_false(jt_turns_part(&t, n, least, threads, &first, &end));
                int bits = 0;
                for (int half = n; half; half /= 2) bits++;
                assert_true(parts <= threads * (2 * bits + 3));
            }
}

struct shared_parts {
    jt_turns turns;
    atomic_int item[1000];
};

static void take_parts(void *arg, int thread, int threads) {
    struct shared_parts *s = arg;
    int first, end;
    (void)thread;
    while (jt_turns_part(&s->turns, 1000, 3, threads, &first, &end))
        for (int i = first; i < end; i++) atomic_fetch_add(&s->item[i], 1);
}

/* Each item once, whoever takes it. */
static void test_threads_take_parts(void **state) {
    (void)state;
    static struct shared_parts s;
    jt_pool *p;
    assert_int_equal(jt_pool_new(4, &p, NULL), JT_OK);
    for (int run = 1; run <= 50; run++) {
        jt_turns_reset(&s.turns);
        jt_pool_run(p, take_parts, &s);
        for (int i = 0; i < 1000; i++) assert_int_equal(atomic_load(&s.item[i]), run);
    }
    jt_pool_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_thread_once),       cmocka_unit_test(test_barrier),
        cmocka_unit_test(test_callers_take_turns),     cmocka_unit_test(test_limits),
        cmocka_unit_test(test_every_allocation_fails), cmocka_unit_test(test_parts),
        cmocka_unit_test(test_threads_take_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
