/* cntp: the trials of its card, and texts against the algorithm written out with the driver's random addresses. (adadec is
 * compared with an enumeration in test_sketches_a.c.) */
#include "core/random.h"
#include "harness.h"

enum { SAID = 40 };

/* A text of letters, spaces and marks. */
static float marked_logit(const int32_t *ids, int n, int32_t id) {
    float x = fake_logit(ids, n, id);
    if (id >= FAKE_WORDS) return -60;
    if (id == '.' || id == ',' || id == '\n')
        return (float)(jt_hash_u64(jt_hash_bytes(9, ids, (size_t)n * sizeof *ids), (uint64_t)id) % 10000) / 1100.0f;
    return id >= 'a' && id <= 'h' ? x : x - 15;
}

/* The trials for an entropy between 0.01 and 1.5 nats, 10 at most. */
static int trials_by_hand(double h, bool code) {
    double x = (h - 0.01) / 1.49;
    return code ? (int)(1 + 9 * (x < 0 ? 0 : x > 1 ? 1 : x)) : (int)fmax(1, fmin(10, floor(x * 10)));
}

static void the_cards_trials(void **state) {
    static const struct {
        double h;
        int paper, code;
    } t[] = {{0.005, 1, 1}, {0.18, 1, 2},  {0.31, 2, 2}, {0.50, 3, 3},  {0.75, 4, 5},
             {1.0, 6, 6},   {1.333, 8, 8}, {1.49, 9, 9}, {1.5, 10, 10}, {3, 10, 10}};
    (void)state;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        assert_int_equal(trials_by_hand(t[i].h, false), t[i].paper);
        assert_int_equal(trials_by_hand(t[i].h, true), t[i].code);
    }
}

struct path {
    int32_t ids[FAKE_CONTEXT];
    double sum;
    int n, used;
};

/* One draw after the path at temperature t; the sums are of what is measured. */
static int32_t draw_by_hand(jt_dist *d, struct path *p, double t, bool raw, uint64_t stream, uint32_t attempt, double *entropy) {
    static float x[FAKE_VOCAB];
    for (int32_t id = 0; id < FAKE_VOCAB; id++) x[id] = marked_logit(p->ids, p->n, id);
    assert_int_equal(jt_dist_load(d, x, NULL), JT_OK);
    double raw_sum = jt_dist_log_sum(d);
    jt_dist_divide(d, t);
    if (entropy) *entropy = jt_dist_entropy(d);
    int32_t id = jt_dist_draw(
        d, jt_random_u(&(jt_address){
               .seed = 5, .stream = stream, .position = (uint32_t)p->n, .site = jt_random_site("sample", 0, "draw"), .attempt = attempt}));
    p->sum += (double)(float)(raw ? (double)x[id] - raw_sum : jt_dist_lnp(d, id));
    p->ids[p->n++] = id, p->used++;
    return id;
}

static void cntp_by_hand(const fake *f, double t, bool code, bool raw, int cap, int32_t *answer, int *tried, int *other) {
    uint64_t stream = jt_stream_choice(0);
    struct path main = {.n = 5};
    jt_dist *d;
    assert_int_equal(jt_dist_new(FAKE_VOCAB, f->ev.kernels, &d, NULL), JT_OK);
    memcpy(main.ids, hello, sizeof hello);
    while (main.n < 5 + SAID) {
        struct path best, trial = main;
        double entropy;
        trial.sum = 0, trial.used = 0;
        best = trial;
        (void)draw_by_hand(d, &best, t, raw, stream, 0, &entropy);
        int n = trials_by_hand(entropy, code), chosen = 0;
        for (int i = 0; n > 1 && i < n; i++) {
            struct path p = trial;
            uint64_t s = i ? jt_stream_fork(stream, (uint32_t)i) : stream;
            int32_t id = draw_by_hand(d, &p, t, raw, stream, (uint32_t)i, NULL);
            while (!strchr("\n.,?!:;)]}", id) && p.used < cap && p.n < 5 + SAID) id = draw_by_hand(d, &p, t, raw, s, 0, NULL);
            if (!i || p.sum / p.used > best.sum / best.used) best = p, chosen = i;
        }
        *tried += n > 1, *other += chosen > 0;
        if (chosen) stream = jt_stream_fork(stream, (uint32_t)chosen);
        main = best;
    }
    memcpy(answer, main.ids + 5, SAID * sizeof *answer);
    jt_dist_free(d);
}

static void cntp_is_the_algorithm(void **state) {
    static told t;
    static const double temp[] = {0.6, 1, 1.6};
    fake f;
    int tried = 0, other = 0;
    (void)state;
    fake_make(&f);
    f.logit = marked_logit;
    for (int k = 0; k < 12; k++) {
        int32_t want[SAID];
        char how[120];
        int cap = k % 4 == 3 ? 3 : 64;
        bool code = k & 1, raw = k & 2;
        snprintf(how, sizeof how, "cntp:trials=%s,measure=%s,cap=%d,by=%s | temp:%g", code ? "code" : "paper", raw ? "raw" : "staged", cap,
                 k % 3 ? "text" : "id", temp[k / 4]);
        run_text(&f, how, NULL, 5, SAID, &t);
        cntp_by_hand(&f, temp[k / 4], code, raw, cap, want, &tried, &other);
        assert_int_equal(t.a[0].n, SAID);
        if (memcmp(t.a[0].id, want, sizeof want) != 0) fail_msg("%s", how);
    }
    assert_true(tried > 30 && other > 20);
    fake_free(&f);
}

static void neutral_settings_are_sampling(void **state) {
    static const char *const how[] = {"cntp:most=1 | temp:1.3", "cntp:low=50,high=60 | temp:1.3"};
    told plain, t;
    fake f;
    (void)state;
    fake_make(&f);
    run_text(&f, "sample | temp:1.3", NULL, 5, 60, &plain);
    for (int k = 0; k < 2; k++) {
        run_text(&f, how[k], NULL, 5, 60, &t);
        same_said(&plain.a[0], &t.a[0]);
    }
    run_text(&f, "greedy", NULL, 5, 60, &plain);
    run_text(&f, "cntp | temp:0", NULL, 5, 60, &t);
    assert_string_equal(plain.a[0].text, t.a[0].text);
    fake_free(&f);
}

/* Beside others, and inside another strategy, it writes what it writes alone; penalties go with each trial. */
static void texts_do_not_depend_on_company(void **state) {
    static const char *const how[] = {"cntp | temp:1.2 | repeat-penalty:1.3 | no-repeat-ngram:3", "adadec:tau=0.5 | frequency-penalty:0.5"};
    static told alone[2], many[6];
    fake f;
    (void)state;
    fake_make(&f);
    f.logit = marked_logit;
    for (int k = 0; k < 2; k++) {
        jt_driver *d = driver_of(&f);
        jt_pipeline *p = parse_with(how[k], NULL);
        jt_job job[6];
        char text[200];
        run_text(&f, how[k], NULL, 9, SAID, &alone[0]);
        for (int i = 0; i < 6; i++) {
            jt_request r = request_of(p, i % 2 ? 9 : (uint64_t)i, SAID);
            assert_int_equal(jt_driver_submit(d, &r, &job[i], NULL), JT_OK);
        }
        finish_all(d, job, many, 6);
        for (int i = 1; i < 6; i += 2) same_said(&alone[0].a[0], &many[i].a[0]);
        snprintf(text, sizeof text, "parallel:2 > %s", how[k]);
        run_text(&f, text, NULL, 9, SAID, &many[0]);
        for (uint32_t c = 0; c < 2; c++) {
            jt_request r = request_of(p, 9, SAID);
            r.choice = c;
            run_request(d, &r, &alone[1]);
            same_said(&many[0].a[c], &alone[1].a[0]);
        }
        jt_pipeline_free(p);
        jt_driver_free(d);
    }
    fake_free(&f);
}

static void answers_end_where_they_should(void **state) {
    static const char *const how[] = {"cntp | temp:1.5", "adadec:tau=0"};
    told t;
    fake f;
    (void)state;
    fake_make(&f);
    for (int k = 0; k < 2; k++) {
        jt_driver *d = driver_of(&f);
        jt_pipeline *p = parse_with(how[k], NULL);
        jt_request r = request_of(p, 3, 0);
        r.context = 60;
        run_request(d, &r, &t);
        assert_true(t.reason == JT_END_CONTEXT && t.a[0].n == 55);
        r.stop = (const char *const[]){"e"}, r.n_stop = 1, r.context = 190;
        run_request(d, &r, &t);
        assert_true(t.reason == JT_END_STOP || t.reason == JT_END_CONTEXT);
        assert_null(strchr(t.a[0].text, 'e'));
        jt_pipeline_free(p);
        p = parse_with(k ? "adadec:tau=0 | top-k:1 | no-repeat-ngram:1" : "cntp | temp:1.5 | top-k:2 | no-repeat-ngram:1", NULL);
        r = request_of(p, 3, 100);
        run_request(d, &r, &t);
        assert_int_equal(t.reason, JT_END_DEAD);
        jt_pipeline_free(p);
        jt_driver_free(d);
    }
    fake_free(&f);
}

static void failed_allocations_are_clean(void **state) {
    static const char *const how[] = {"cntp:most=3,cap=3 | temp:1.5", "adadec:tau=0,len=2"};
    told t;
    jt_error err;
    fake f;
    (void)state;
    fake_make(&f);
    for (int k = 0; k < 2; k++) {
        jt_pipeline *p = parse_with(how[k], NULL);
        jt_request r = request_of(p, 1, 4);
        bool well = false;
        for (int n = 0; !well && n < 4000; n++) {
            jt_driver *d = driver_of(&f);
            jt_job job;
            alloc_fail_at(n);
            jt_status e = jt_driver_submit(d, &r, &job, &err);
            if (e == JT_OK) finish_all(d, &job, &t, 1), well = t.reason == JT_END_LENGTH && alloc_count() <= n;
            alloc_fail_at(-1);
            jt_driver_free(d);
            assert_int_equal(f.open, 0);
        }
        assert_true(well);
        jt_pipeline_free(p);
    }
    fake_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cards_trials),
        cmocka_unit_test(cntp_is_the_algorithm),
        cmocka_unit_test(neutral_settings_are_sampling),
        cmocka_unit_test(texts_do_not_depend_on_company),
        cmocka_unit_test(answers_end_where_they_should),
        cmocka_unit_test(failed_allocations_are_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
