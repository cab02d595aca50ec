/* What begins alike is evaluated once, and nothing that is said changes by it. */
#include "harness.h"

enum { CONTEXT = 600, TALKS = 4, TURNS = 14 };

static void deep_fake(fake *f) {
    fake_make(f);
    f->ev.context = CONTEXT;
}

static jt_driver *keeping(fake *f, uint64_t bytes) {
    jt_driver *d = driver_of(f);
    jt_driver_set_prefix(d, bytes);
    return d;
}

static jt_driver_counts counts_of(const jt_driver *d) {
    jt_driver_counts c;
    jt_driver_stats(d, &c);
    return c;
}

/* One conversation: what a prompt is made of. */
typedef struct talk {
    int32_t id[CONTEXT];
    size_t n;
} talk;

static void talk_ask(talk *t, uint64_t seed, int n) {
    for (int i = 0; i < n; i++) t->id[t->n++] = 'a' + (int32_t)(jt_hash_u64(seed, (uint64_t)i) % 26);
}

static void talk_answer(talk *t, const told *a) {
    for (int i = 0; i < a->a[0].n; i++) t->id[t->n++] = a->a[0].id[i];
}

static jt_request talk_request(const talk *t, const jt_pipeline *p, int tokens) {
    return (jt_request){.prompt = t->id, .n_prompt = t->n, .pipeline = p, .seed = 3, .max_tokens = tokens, .ignore_end = 1};
}

/* What the request says on a driver of its own that shares nothing. */
static void alone(fake *f, fake *large, const jt_request *r, told *t) {
    uint64_t (*mode)(void *self, const jt_state *s) = f->ev.mode;
    f->ev.mode = NULL;
    if (large) large->ev.mode = NULL;
    jt_driver *d = driver_of(f);
    if (large) assert_int_equal(jt_driver_add_with(d, "large", &large->ev, NULL), JT_OK);
    run_request(d, r, t);
    assert_int_equal(counts_of(d).prefix_hits, 0);
    jt_driver_free(d);
    f->ev.mode = mode;
    if (large) large->ev.mode = mode;
}

static void a_turn_evaluates_only_what_is_new(void **state) {
    (void)state;
    static told t, want;
    fake f;
    deep_fake(&f);
    jt_driver *d = keeping(&f, 1 << 20);
    talk c = {.n = 0};
    jt_pipeline *p = parse_with("temp:0.9 | repeat-penalty:1.2", NULL);
    uint64_t rows = 0, had = 0;
    for (int turn = 0; turn < 8; turn++) {
        talk_ask(&c, (uint64_t)turn, 7 + turn);
        jt_request r = talk_request(&c, p, 9);
        jt_job job;
        assert_int_equal(jt_driver_submit(d, &r, &job, NULL), JT_OK);
        memset(&t, 0, sizeof t);
        for (jt_event e;;) {
            assert_int_equal(jt_driver_next(d, &e, NULL), JT_OK);
            if (!e.job) break;
            told_note(&t, &e);
            if (e.kind == JT_EVENT_END) assert_int_equal(e.reused_tokens, had);
        }
        alone(&f, NULL, &r, &want);
        assert_memory_equal(&t, &want, sizeof t);
        jt_driver_counts n = counts_of(d);
        assert_int_equal(n.rows - rows, c.n - had + 8); /* the last token of an answer is not evaluated */
        assert_int_equal(n.prefix_hits, turn);
        rows = n.rows, had = c.n + 8;
        talk_answer(&c, &t);
    }
    jt_pipeline_free(p);
    jt_driver_free(d);
    assert_int_equal(f.open, 0);
    fake_free(&f);
}

/* The second request is asked while, and after, the first is answered. */
static void branches_that_run_share_too(void **state) {
    (void)state;
    static told t[3], want;
    static const char *const text[] = {"best-of-n:5 > sample", "greedy", "parallel:3 > sample | temp:0.8"};
    fake f;
    deep_fake(&f);
    for (int long_prompt = 0; long_prompt < 2; long_prompt++) {
        jt_driver *d = keeping(&f, 0);
        talk c[3] = {{.n = 0}, {.n = 0}, {.n = 0}};
        jt_pipeline *p[3];
        jt_job job[3];
        f.ev.context = 800;
        for (int i = 0; i < 3; i++) {
            talk_ask(&c[i], 1, long_prompt ? 560 : 60), talk_ask(&c[i], 2 + (uint64_t)i, 12);
            p[i] = parse_with(text[i], NULL);
            jt_request r = talk_request(&c[i], p[i], 6);
            assert_int_equal(jt_driver_submit(d, &r, &job[i], NULL), JT_OK);
        }
        finish_all(d, job, t, 3);
        for (int i = 0; i < 3; i++) {
            jt_request r = talk_request(&c[i], p[i], 6);
            alone(&f, NULL, &r, &want);
            assert_memory_equal(&t[i], &want, sizeof *t);
        }
        jt_driver_counts n = counts_of(d);
        /* The common part once, each prompt's own part once; the last row of each of the nine prompts, and answers. */
        assert_true(n.rows <= (uint64_t)(long_prompt ? 560 : 60) + 3 * 12 + 9 + 9 * 5);
        assert_int_equal(n.prefix_hits, 8);
        assert_int_equal(n.prefix_bytes, 0);
        for (int i = 0; i < 3; i++) jt_pipeline_free(p[i]);
        jt_driver_free(d);
        assert_int_equal(f.open, 0);
    }
    fake_free(&f);
}

static const char *const pipelines[] = {"greedy",
                                        "temp:0.9 | top-p:0.9",
                                        "sample | dry:0.8 | repeat-penalty:1.3",
                                        "best-of-n:3 > sample",
                                        "parallel:2 > sample | temp:1.2",
                                        "diverse-beam:beams=4,groups=2",
                                        "soft-thinking:mix=4,length=3 | temp:0.7",
                                        "r2r:theta=2.3 | temp:0.8",
                                        "best-of-n:2 > r2r:theta=2.4 | top-k:9"};
enum { PIPELINES = sizeof pipelines / sizeof *pipelines };

static float larger_logit(const int32_t *ids, int n, int32_t id) { return fake_logit(ids, n, id ^ 1); }

/* Questions, forks, switches, answers taken back and given again, two at a time now and then. */
static void random_conversations_say_the_same(void **state) {
    (void)state;
    static told t[2], want;
    static talk c[TALKS];
    fake f, large;
    deep_fake(&f), deep_fake(&large);
    jt_tokenizer_free(large.tokenizer);
    large.ev.tokenizer = f.tokenizer, large.logit = larger_logit;
    f.ev.token_bytes = large.ev.token_bytes = 3;
    jt_pipeline *p[PIPELINES];
    for (int i = 0; i < PIPELINES; i++) p[i] = parse_with(pipelines[i], NULL);
    uint64_t hits = 0;
    for (uint64_t seed = 0; seed < 30; seed++) {
        static const uint64_t room[] = {1 << 20, 4000, 700, 96, 0};
        jt_driver *d = keeping(&f, room[seed % 5]);
        assert_int_equal(jt_driver_add_with(d, "large", &large.ev, NULL), JT_OK);
        if (seed % 3 == 0) jt_driver_set_cache(d, 30000);
        memset(c, 0, sizeof c);
        for (uint64_t turn = 0; turn < TURNS; turn++) {
            uint64_t x = jt_hash_u64(seed, turn);
            talk *a = &c[x % TALKS], *b = &c[x / 8 % TALKS];
            if (x / 64 % 4 == 0) *a = *b;
            if (x / 256 % 4 == 0) a->n = a->n * (x / 1024 % 8) / 8;
            if (a->n > CONTEXT / 2) a->n = 0;
            talk_ask(a, x % 5, 1 + (int)(x / 4096 % 40));
            int two = a != b && b->n && x / 8192 % 3 == 0, tokens = 3 + (int)(x / 65536 % 9);
            jt_request r[2] = {talk_request(a, p[x / 1048576 % PIPELINES], tokens), talk_request(b, p[x / 16777216 % PIPELINES], tokens)};
            jt_job job[2];
            r[0].choice = (uint32_t)(x % 3);
            for (int i = 0; i < 1 + two; i++) assert_int_equal(jt_driver_submit(d, &r[i], &job[i], NULL), JT_OK);
            finish_all(d, job, t, 1 + two);
            for (int i = 0; i < 1 + two; i++) {
                alone(&f, &large, &r[i], &want);
                assert_memory_equal(&t[i], &want, sizeof want);
            }
            talk_answer(a, &t[0]);
            assert_true(counts_of(d).prefix_bytes <= room[seed % 5]);
        }
        if (seed % 5 < 4) hits += counts_of(d).prefix_hits;
        jt_driver_free(d);
        assert_int_equal(f.open + large.open, 0);
    }
    assert_true(hits > 24 * 10);
    for (int i = 0; i < PIPELINES; i++) jt_pipeline_free(p[i]);
    fake_free(&f);
}

/* ---- what may be kept ---- */

struct odd {
    int at;
};

static bool odd_plain;

/* The third token is evaluated as a row of a tree, with a rank of its own unless odd_plain. */
static jt_status odd_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct odd *s = state;
    static const int32_t rank = 500;
    (void)par;
    JT_BEGIN(s);
    jt_work_next(w, JT_MAIN);
    JT_AWAIT(s);
    {
        jt_decision d = jt_work_best(w, r->out);
        jt_work_emit(w, &d);
        jt_work_rows(w, &(jt_row){.slot = JT_MAIN, .parent = JT_LAST, .id = d.id, .want = JT_WANT_DIST, .rank = odd_plain ? NULL : &rank},
                     1);
    }
    JT_AWAIT(s);
    jt_work_keep(w, r->out);
    for (;;) {
        jt_work_next(w, JT_MAIN);
        JT_AWAIT(s);
        {
            jt_decision d = jt_work_best(w, r->out);
            jt_work_emit(w, &d);
            jt_work_push(w, JT_MAIN, &d);
        }
    }
    JT_END(w);
}

static const jt_method odd = {.name = "odd", .kind = JT_STRATEGY, .state_size = sizeof(struct odd), .strategy = {.advance = odd_advance}};

/* Tokens of a second request, with the answer of the first at its end, that are not evaluated again. */
static uint64_t reused_after(fake *f, const char *text, const jt_methods *m) {
    static told t;
    jt_driver *d = keeping(f, 1 << 20);
    jt_pipeline *p = parse_with(text, m);
    talk c = {.n = 0};
    talk_ask(&c, 5, 20);
    jt_request r = talk_request(&c, p, 6);
    run_request(d, &r, &t);
    talk_answer(&c, &t), talk_ask(&c, 6, 4);
    uint64_t before = counts_of(d).prefix_tokens;
    r = talk_request(&c, NULL, 6);
    run_request(d, &r, &t);
    before = counts_of(d).prefix_tokens - before;
    jt_pipeline_free(p);
    jt_driver_free(d);
    return before;
}

static void only_plain_inputs_are_shared(void **state) {
    (void)state;
    fake f;
    jt_methods *m;
    deep_fake(&f);
    assert_int_equal(jt_methods_new(&m, NULL), JT_OK);
    assert_int_equal(jt_methods_add(m, &odd, NULL), JT_OK);
    odd_plain = true;
    assert_int_equal(reused_after(&f, "odd", m), 25);
    odd_plain = false;
    assert_int_equal(reused_after(&f, "odd", m), 20);
    assert_int_equal(reused_after(&f, "soft-thinking:mix=4", NULL), 20);
    assert_int_equal(reused_after(&f, "best-of-n:4 > sample", NULL), 25);
    assert_int_equal(reused_after(&f, "parallel:4 > best-of-n:2 > sample", NULL), 25);
    assert_true(reused_after(&f, "diverse-beam:beams=4,groups=1", NULL) >= 24);
    f.ev.mode = NULL;
    assert_int_equal(reused_after(&f, "greedy", NULL), 0);
    jt_methods_free(m);
    fake_free(&f);
}

static void another_context_is_another_mode(void **state) {
    (void)state;
    static told t;
    fake f;
    deep_fake(&f);
    jt_driver *d = keeping(&f, 1 << 20);
    talk c = {.n = 0};
    talk_ask(&c, 5, 20);
    jt_request r = talk_request(&c, NULL, 6);
    run_request(d, &r, &t);
    r.context = 300;
    run_request(d, &r, &t);
    assert_int_equal(counts_of(d).prefix_hits, 0);
    run_request(d, &r, &t);
    assert_int_equal(counts_of(d).prefix_tokens, 19);
    jt_driver_free(d);
    fake_free(&f);
}

/* ---- memory ---- */

enum { BYTES = 10, PAGE = BYTES * JT_TILE };

static uint64_t hits_of(jt_driver *d, uint64_t what) {
    static told t;
    talk c = {.id = {(int32_t)what}, .n = 1};
    talk_ask(&c, what, 29);
    jt_request r = talk_request(&c, NULL, 2);
    uint64_t before = counts_of(d).prefix_hits;
    run_request(d, &r, &t);
    return counts_of(d).prefix_hits - before;
}

static void what_was_used_longest_ago_goes_first(void **state) {
    (void)state;
    fake f;
    deep_fake(&f);
    f.ev.token_bytes = BYTES;
    jt_driver *d = keeping(&f, 2 * PAGE);
    assert_int_equal(hits_of(d, 1) + hits_of(d, 2), 0);
    assert_int_equal(counts_of(d).prefix_bytes, 2 * PAGE);
    assert_int_equal(hits_of(d, 1), 1);
    assert_int_equal(hits_of(d, 3), 0); /* in place of 2 */
    assert_int_equal(hits_of(d, 1), 1);
    assert_int_equal(hits_of(d, 2), 0); /* in place of 3 */
    assert_int_equal(hits_of(d, 3), 0);
    assert_int_equal(counts_of(d).prefix_bytes, 2 * PAGE);
    jt_driver_set_prefix(d, PAGE);
    assert_int_equal(counts_of(d).prefix_bytes, PAGE);
    assert_int_equal(hits_of(d, 3), 1);
    jt_driver_set_prefix(d, 0);
    assert_int_equal(counts_of(d).prefix_bytes, 0);
    assert_int_equal(hits_of(d, 3), 0);
    jt_driver_free(d);
    f.ev.token_bytes = 0; /* a number of states at most */
    d = keeping(&f, 1 << 20);
    for (uint64_t i = 0; i <= JT_KEPT_MOST; i++) assert_int_equal(hits_of(d, 10 + i), 0);
    assert_int_equal(f.open, JT_KEPT_MOST);
    assert_int_equal(hits_of(d, 11), 1);
    jt_driver_free(d);
    assert_int_equal(f.open, 0);
    fake_free(&f);
}

/* A longer state takes the place of what it begins with, and too long a one is cut. */
static void kept_states_are_few_and_short(void **state) {
    (void)state;
    static told t;
    fake f;
    deep_fake(&f);
    f.ev.token_bytes = BYTES;
    jt_driver *d = keeping(&f, 3 * PAGE);
    talk c = {.n = 0};
    for (int turn = 0; turn < 6; turn++) {
        talk_ask(&c, (uint64_t)turn, 20);
        jt_request r = talk_request(&c, NULL, 5);
        run_request(d, &r, &t);
        talk_answer(&c, &t);
        assert_int_equal(f.open, 1);
        size_t whole = (c.n - 1 + JT_TILE - 1) / JT_TILE;
        assert_int_equal(counts_of(d).prefix_bytes, (whole < 3 ? whole : 3) * PAGE);
    }
    jt_request r = talk_request(&c, NULL, 5);
    uint64_t before = counts_of(d).prefix_tokens;
    run_request(d, &r, &t);
    assert_int_equal(counts_of(d).prefix_tokens - before, 3 * JT_TILE);
    jt_driver_free(d);
    fake_free(&f);
}

/* Jobs come before what is kept; what a job begins from is not dropped for it. */
static void kept_states_give_way_to_jobs(void **state) {
    (void)state;
    enum { NEED = (40 + 8 + 2 * JT_TILE) * BYTES };
    static told t[3], want;
    fake f;
    deep_fake(&f);
    f.ev.token_bytes = BYTES;
    jt_driver *d = keeping(&f, 1 << 20);
    jt_driver_set_cache(d, 2 * NEED + PAGE);
    talk c[3] = {{.n = 0}, {.n = 0}, {.n = 0}};
    jt_job job[3];
    for (int i = 0; i < 3; i++) talk_ask(&c[i], (uint64_t)i, 40);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++) {
            jt_request r = talk_request(&c[i], NULL, 8);
            assert_int_equal(jt_driver_submit(d, &r, &job[i], NULL), JT_OK);
        }
        assert_int_equal(counts_of(d).waiting, 1);
        memset(t, 0, sizeof t);
        for (jt_event e;;) {
            assert_int_equal(jt_driver_next(d, &e, NULL), JT_OK);
            if (!e.job) break;
            told_note(&t[e.job == job[0] ? 0 : e.job == job[1] ? 1 : 2], &e);
            jt_driver_counts n = counts_of(d);
            assert_true(n.cache + n.prefix_bytes <= 2 * NEED + PAGE);
        }
        for (int i = 0; i < 3; i++) {
            jt_request r = talk_request(&c[i], NULL, 8);
            alone(&f, NULL, &r, &want);
            assert_memory_equal(&t[i], &want, sizeof want);
        }
    }
    assert_int_equal(counts_of(d).prefix_hits, 1); /* in the second round the first job's needs take the place of the others' states */
    jt_driver_free(d);

    d = keeping(&f, 1 << 20); /* nothing fits beside the job but what it begins from is there */
    jt_driver_set_cache(d, NEED);
    jt_request r = talk_request(&c[0], NULL, 8);
    run_request(d, &r, &t[0]);
    assert_true(counts_of(d).prefix_bytes > 0);
    assert_int_equal(jt_driver_submit(d, &r, &job[0], NULL), JT_OK);
    assert_int_equal(counts_of(d).prefix_bytes, 0);
    finish_all(d, job, t, 1);
    assert_int_equal(counts_of(d).prefix_tokens, 39);
    jt_driver_free(d);

    f.ev.memory = 8 * 3 * PAGE; /* as made: an eighth of the memory, or of the limit */
    d = driver_of(&f);
    run_request(d, &r, &t[0]);
    assert_int_equal(counts_of(d).prefix_bytes, 2 * PAGE);
    jt_driver_set_cache(d, 8 * PAGE);
    assert_int_equal(counts_of(d).prefix_bytes, 0);
    jt_driver_free(d);
    assert_int_equal(f.open, 0);
    fake_free(&f);
}

/* A failed evaluation for want of memory drops what is kept and is tried again. */
static void kept_memory_is_given_to_evaluations(void **state) {
    (void)state;
    static told t, want;
    fake f;
    deep_fake(&f);
    jt_driver *d = keeping(&f, 1 << 20);
    talk c = {.n = 0};
    talk_ask(&c, 1, 30);
    jt_request r = talk_request(&c, NULL, 3);
    run_request(d, &r, &want);
    jt_job job;
    talk_ask(&c, 2, 3);
    assert_int_equal(jt_driver_submit(d, &r, &job, NULL), JT_OK);
    f.hungry = 1;
    finish_all(d, &job, &t, 1);
    assert_memory_equal(&t, &want, sizeof want);
    assert_int_equal(f.hungry, 0);
    jt_driver_free(d);
    fake_free(&f);
}

/* ---- failures ---- */

static int two_turns(fake *f, fake *large, const jt_pipeline *p, long fail, long *asked, told *t) {
    jt_driver *d = NULL;
    talk c = {.n = 0};
    int made = 0;
    if (fail >= 0) alloc_fail_at(fail);
    jt_status e = jt_driver_new_with(&f->ev, &d, NULL);
    if (e == JT_OK) e = jt_driver_add_with(d, "large", &large->ev, NULL);
    memset(t, 0, 2 * sizeof *t);
    if (e == JT_OK) jt_driver_set_prefix(d, 1 << 20);
    for (int turn = 0; e == JT_OK && turn < 2; turn++) {
        talk_ask(&c, (uint64_t)turn, 9);
        jt_request r = talk_request(&c, p, 4);
        jt_job job;
        if (jt_driver_submit(d, &r, &job, NULL) != JT_OK) break;
        finish_all(d, &job, &t[turn], 1), made++;
        talk_answer(&c, &t[turn]);
        if (t[turn].reason == JT_END_ERROR) break;
    }
    *asked = alloc_count();
    alloc_fail_at(-1);
    jt_driver_free(d);
    assert_int_equal(f->open + large->open, 0);
    return made;
}

static void failed_allocations_are_clean(void **state) {
    (void)state;
    static told want[2], t[2];
    fake f, large;
    deep_fake(&f), deep_fake(&large);
    jt_tokenizer_free(large.tokenizer);
    large.ev.tokenizer = f.tokenizer, large.logit = larger_logit;
    for (int i = 0; i < PIPELINES; i++) {
        jt_pipeline *p = parse_with(pipelines[i], NULL);
        long asked;
        int fine = 0, hurt = 0;
        assert_int_equal(two_turns(&f, &large, p, -1, &asked, want), 2);
        for (long at = 0;; at++) {
            int made = two_turns(&f, &large, p, at, &asked, t);
            for (int k = 0; k < made; k++) {
                if (t[k].reason == JT_END_ERROR)
                    hurt++;
                else
                    fine++, assert_memory_equal(&t[k], &want[k], sizeof *t);
            }
            if (asked <= at) break;
        }
        assert_true(fine > 20 && hurt > 10);
        jt_pipeline_free(p);
    }
    fake_free(&f);
}

/* A job that is cancelled leaves what it has evaluated, however far it came. */
static void cancelled_jobs_leave_what_is_right(void **state) {
    (void)state;
    static told t, want;
    fake f;
    deep_fake(&f);
    f.ev.context = 2000;
    static int32_t prompt[1500];
    for (int i = 0; i < 1500; i++) prompt[i] = 'a' + (int32_t)(jt_hash_u64(8, (uint64_t)i) % 26);
    jt_pipeline *p = parse_with("best-of-n:3 > sample", NULL);
    jt_request r = {.prompt = prompt, .n_prompt = 1500, .pipeline = p, .max_tokens = 5, .ignore_end = 1};
    alone(&f, NULL, &r, &want);
    for (int after = 0; after < 12; after++) {
        jt_driver *d = keeping(&f, 1 << 20);
        jt_job job;
        assert_int_equal(jt_driver_submit(d, &r, &job, NULL), JT_OK);
        for (int k = 0; k < after; k++) jt_driver_round(d);
        jt_driver_cancel(d, job);
        finish_all(d, &job, &t, 1);
        uint64_t rows = counts_of(d).rows;
        run_request(d, &r, &t);
        assert_memory_equal(&t, &want, sizeof want);
        if (after > 1) assert_true(counts_of(d).rows - rows < 1000);
        jt_driver_free(d);
        assert_int_equal(f.open, 0);
    }
    jt_pipeline_free(p);
    fake_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_evaluates_only_what_is_new),   cmocka_unit_test(branches_that_run_share_too),
        cmocka_unit_test(random_conversations_say_the_same),   cmocka_unit_test(only_plain_inputs_are_shared),
        cmocka_unit_test(another_context_is_another_mode),     cmocka_unit_test(what_was_used_longest_ago_goes_first),
        cmocka_unit_test(kept_states_are_few_and_short),       cmocka_unit_test(kept_states_give_way_to_jobs),
        cmocka_unit_test(kept_memory_is_given_to_evaluations), cmocka_unit_test(failed_allocations_are_clean),
        cmocka_unit_test(cancelled_jobs_leave_what_is_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
