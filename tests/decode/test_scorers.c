/* Scorers: what they are given, and that strategies choose by them. */
#include "harness.h"

static jt_methods *mine;
enum { RUNS = 6 };

struct runs {
    int at;
};

/* The runs of best-of-n, all of them. */
static jt_status all_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct runs *s = state;
    (void)par, (void)r;
    JT_BEGIN(s);
    for (int i = 1; i < RUNS; i++) jt_work_fork(w, (jt_slot)i, JT_MAIN, i);
    for (int i = 0; i < RUNS; i++) jt_work_child(w, (jt_slot)i, 0);
    JT_AWAIT(s);
    for (int i = 0; i < RUNS; i++) jt_work_yield(w, (jt_slot)i, i, NULL, 0);
    JT_END(w);
}

/* Scores its own slot after each token. */
#define ALONG(X, T) X(T, METHOD, by, 0, JT_METHOD_OF(JT_SCORER, NULL), "the scorer")
JT_PARAMS(along, ALONG)

static double along_score[64];
static jt_status along_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    const struct along *a = par;
    struct runs *s = state;
    JT_BEGIN(s);
    for (;;) {
        along_score[jt_work_length(w, JT_MAIN) - 5] = jt_work_score(w, JT_MAIN, &a->by);
        jt_work_next(w, JT_MAIN);
        JT_AWAIT(s);
        jt_work_say(w, JT_MAIN, jt_work_best(w, r->out));
    }
    JT_END(w);
}

/* The sum of the answer's ids, with everything else it is given checked. */
static jt_status ids_judge(const void *par, const jt_scored *s, double *out, jt_error *err) {
    (void)par, (void)err;
    assert_true(s->n_prompt == 5 && s->n >= 5 && s->tokenizer);
    assert_memory_equal(s->ids, hello, sizeof hello);
    *out = 0;
    for (int i = s->n_prompt; i < s->n; i++) {
        *out += s->ids[i];
        assert_true(s->raw[i - 5] <= 0 && s->staged[i - 5] <= 0);
    }
    return JT_OK;
}

#define ODD(X, T) X(T, INT, how, 0, JT_RANGE(0, 3), "0: fails; 1: fails without a message; 2: no number; 3: infinite")
JT_PARAMS(odd, ODD)
static jt_status odd_judge(const void *par, const jt_scored *s, double *out, jt_error *err) {
    const struct odd *a = par;
    assert_null(s->tokenizer);
    *out = a->how == 2 ? NAN : INFINITY;
    return a->how == 0 ? jt_error_set(err, JT_INVALID, "an odd answer") : a->how == 1 ? JT_INVALID : JT_OK;
}

static const jt_method rows[] = {
    {.name = "all",
     .kind = JT_STRATEGY,
     .state_size = sizeof(struct runs),
     .strategy = {.advance = all_advance, .inner = true, .many = true}},
    {.name = "along", .kind = JT_STRATEGY, JT_PARAMETERS(along), .state_size = sizeof(struct runs), .strategy = {.advance = along_advance}},
    {.name = "ids", .kind = JT_SCORER, .needs = JT_NEEDS_TOKENIZER, .scorer = {ids_judge}},
    {.name = "odd", .kind = JT_SCORER, JT_PARAMETERS(odd), .scorer = {odd_judge}},
};

static double score_of(const said *a, int how) {
    double sum = 0, ids = 0;
    for (int k = 0; k < a->n; k++) sum += (double)a->raw[k], ids += a->id[k];
    return how == 0 ? sum : how == 1 ? (a->n ? sum / a->n : 0) : how == 2 ? a->n : ids;
}

static void run_open(fake *f, const char *text, uint64_t seed, told *t) {
    jt_driver *d = driver_of(f);
    jt_pipeline *p = parse_with(text, mine);
    jt_request r = request_of(p, seed, 30);
    r.ignore_end = 0;
    run_request(d, &r, t);
    jt_driver_free(d);
    jt_pipeline_free(p);
    assert_int_equal(f->open, 0);
}

static void the_best_run_has_the_best_score(void **state) {
    (void)state;
    static told all, best;
    static const char *const by[] = {"logprob", "mean-logprob", "length", "ids"};
    bool differ = false;
    fake f;
    fake_make(&f);
    for (uint64_t seed = 0; seed < 6; seed++) {
        int notes[4];
        run_open(&f, "all > sample | temp:1.3", seed, &all);
        for (int how = 0; how < 4; how++) {
            char text[80];
            int want = 0;
            for (int i = 1; i < RUNS; i++)
                if (score_of(&all.a[i], how) > score_of(&all.a[want], how)) want = i;
            snprintf(text, sizeof text, "best-of-n:n=%d,by=%s > sample | temp:1.3", RUNS, by[how]);
            run_open(&f, text, seed, &best);
            if (best.reason == JT_END_ERROR) fail_msg("%s", best.message);
            assert_int_equal(best.a[0].note, want);
            same_said(&best.a[0], &all.a[want]);
            notes[how] = want;
            differ |= how && notes[how] != notes[how - 1];
        }
        run_open(&f, "best-of-n:6 > sample | temp:1.3", seed, &best);
        assert_int_equal(best.a[0].note, notes[1]); /* the default */
    }
    assert_true(differ);
    run_open(&f, "along:ids", 0, &best);
    double sum = 0;
    for (int k = 0; k < best.a[0].n; sum += best.a[0].id[k++]) assert_true(along_score[k] == sum);
    fake_free(&f);
}

static void what_is_wrong_is_refused_by_name(void **state) {
    (void)state;
    static told t;
    static const char *const say[] = {"scorer odd: an odd answer", "scorer odd: it failed without a message",
                                      "scorer odd: it gives no number", "scorer odd: it gives no number", "scores slot 0 without a scorer"};
    static const struct {
        const char *text, *say;
    } bad[] = {{"length", "length is a scorer; it stands as the value of a parameter"},
               {"greedy | mean-logprob", "mean-logprob is a scorer"},
               {"best-of-n:by=temp > sample", "scorer"},
               {"best-of-n:by=lenght > sample", "the nearest is \"length\""}};
    fake f;
    jt_error err;
    fake_make(&f);
    for (int i = 0; i < 5; i++) {
        char text[60];
        snprintf(text, sizeof text, i < 4 ? "best-of-n:n=2,by=(odd:%d) > sample" : "along", i);
        run_open(&f, text, 0, &t);
        assert_int_equal(t.reason, JT_END_ERROR);
        if (!strstr(t.message, say[i])) fail_msg("%s", t.message);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        jt_pipeline *p = NULL;
        assert_int_not_equal(jt_pipeline_parse(bad[i].text, mine, &p, &err), JT_OK);
        if (!strstr(err.message, bad[i].say)) fail_msg("%s", err.message);
    }
    jt_method row = {.name = "nothing", .kind = JT_SCORER};
    assert_int_equal(jt_methods_add(mine, &row, &err), JT_INVALID);
    assert_non_null(strstr(err.message, "a scorer needs a function \"judge\""));
    fake_free(&f);
}

static void failed_allocations_are_clean(void **state) {
    (void)state;
    static told want, t;
    fake f;
    fake_make(&f);
    jt_pipeline *p = parse_with("best-of-n:n=3,by=ids > sample", mine);
    jt_request r = request_of(p, 4, 8);
    for (long at = -1;; at++) {
        jt_driver *d = driver_of(&f);
        jt_job job = 0;
        if (at >= 0) alloc_fail_at(at);
        (void)jt_driver_submit(d, &r, &job, NULL);
        finish_all(d, &job, &t, 1);
        long asked = alloc_count();
        alloc_fail_at(-1);
        jt_driver_free(d);
        assert_int_equal(f.open, 0);
        if (at < 0) want = t;
        if (at < 0) continue;
        if (job && t.reason != JT_END_ERROR) assert_memory_equal(&t, &want, sizeof t);
        if (t.reason == JT_END_ERROR && !strstr(t.message, "out of memory")) fail_msg("%s", t.message);
        if (asked <= at) break;
    }
    jt_pipeline_free(p);
    fake_free(&f);
}

static int setup(void **state) {
    (void)state;
    return methods_with(&mine, rows, sizeof rows / sizeof *rows);
}

static int teardown(void **state) {
    (void)state;
    jt_methods_free(mine);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_run_has_the_best_score),
        cmocka_unit_test(what_is_wrong_is_refused_by_name),
        cmocka_unit_test(failed_allocations_are_clean),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
