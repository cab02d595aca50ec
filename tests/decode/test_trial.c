/* Trials: what stages leave of given logits is what a driver's rows give for the same, state and draws included; what cannot
 * be given is refused by name. */
#include "harness.h"
#include "jeton/trial.h"

static jt_trial *trial_of(const jt_pipeline *p, const jt_tokenizer *t) {
    jt_trial *x = NULL;
    jt_error err;
    if (jt_trial_new(p, FAKE_VOCAB, t, &x, &err) != JT_OK) fail_msg("%s", err.message);
    return x;
}

static void as_a_driver_decides(void **state) {
    (void)state;
    static told t;
    static float logits[FAKE_VOCAB];
    static const char *const text[] = {"sample",
                                       "greedy | repeat-penalty:1.3",
                                       "temp:1.3 | top-p:0.9 | min-p:0.01",
                                       "mirostat-2 | temp:1.1",
                                       "top-k:20 | mirostat-1:4",
                                       "dry:2 | xtc:0.9 | frequency-penalty:0.7 | temp:1.5",
                                       "adaptive-p | top-n-sigma:2",
                                       "top-k:40 | top-k:30 | xtc:0.5 | xtc:1"};
    fake f;
    jt_error err;
    fake_make(&f);
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        jt_pipeline *p = parse_with(text[i], NULL);
        jt_trial *x = trial_of(p, f.tokenizer);
        int32_t history[64];
        memcpy(history, hello, sizeof hello);
        run_text(&f, text[i], NULL, 9, 20, &t);
        if (t.reason == JT_END_ERROR) fail_msg("%s: %s", text[i], t.message);
        assert_int_equal(t.a[0].n, 20);
        for (int k = 0; k < 20; k++) {
            jt_dist *d;
            jt_given g = {
                .logits = logits, .history = history, .n_history = 5 + k, .n_prompt = 5, .position = 5 + k, .seed = 9, .go_on = k > 0};
            for (int32_t id = 0; id < FAKE_VOCAB; id++) logits[id] = fake_logit(history, 5 + k, id);
            if (jt_trial_run(x, &g, &d, &err) != JT_OK) fail_msg("%s: %s", text[i], err.message);
            jt_decision made = jt_trial_decide(x);
            if (made.id != t.a[0].id[k]) fail_msg("%s: token %d is %d, the driver's is %d", text[i], k, (int)made.id, (int)t.a[0].id[k]);
            assert_true(made.u == t.a[0].u[k] || (isnan(made.u) && isnan(t.a[0].u[k])));
            assert_true(fabsf(made.raw_logprob - t.a[0].raw[k]) < 1e-5f);
            if (strcmp(text[i], "sample") != 0 && made.logprob != t.a[0].staged[k])
                fail_msg("%s: token %d has the logprob %.9g, the driver's %.9g", text[i], k, (double)made.logprob,
                         (double)t.a[0].staged[k]);
            assert_int_equal(jt_trial_push(x, &made, &err), JT_OK);
            history[5 + k] = made.id;
        }
        jt_trial_free(x);
        jt_pipeline_free(p);
    }
    fake_free(&f);
}

static void refusals(void **state) {
    (void)state;
    static const float two[2] = {1, 2}, nan[2] = {1, NAN}, inf[2] = {INFINITY, 0};
    static const int32_t wild[] = {0, 7};
    static const struct {
        const char *text, *say;
        jt_given g;
    } bad[] = {{"temp:1", "the logit of token 1 is not a number", {.logits = nan}},
               {"temp:1", "the logit of token 0 is infinite", {.logits = inf}},
               {"temp:1",
                "history token 1 is 7, outside of the vocabulary (0 to 1)",
                {.logits = two, .history = wild, .n_history = 2, .position = 2}},
               {"repeat-penalty:2", "stage repeat-penalty reads the history", {.logits = two, .position = 9}},
               {"temp:1", "a prompt of 3 tokens in a history of 0", {.logits = two, .n_prompt = 3}}};
    jt_error err;
    jt_dist *d;
    jt_trial *x = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        jt_pipeline *p = parse_with(bad[i].text, NULL);
        assert_int_equal(jt_trial_new(p, 2, NULL, &x, &err), JT_OK);
        assert_int_equal(jt_trial_run(x, &bad[i].g, &d, &err), JT_INVALID);
        if (!strstr(err.message, bad[i].say)) fail_msg("%s: %s", bad[i].text, err.message);
        assert_int_equal(jt_trial_decide(x).id, -1);
        assert_int_equal(jt_trial_push(x, &(jt_decision){.id = 0}, &err), JT_INVALID);
        jt_trial_free(x);
        jt_pipeline_free(p);
    }
    jt_pipeline *p = parse_with("diverse-beam", NULL);
    assert_int_equal(jt_trial_new(p, 2, NULL, &x, &err), JT_UNSUPPORTED);
    assert_non_null(strstr(err.message, "strategy diverse-beam needs a model"));
    jt_pipeline_free(p);
}

/* Masked candidates stay out, and a dead distribution decides for nothing. */
static void masks(void **state) {
    (void)state;
    static const float some[4] = {-INFINITY, 1, -INFINITY, 3}, none[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
    jt_pipeline *p = parse_with("temp:2 | top-p:0.99", NULL);
    jt_trial *x = NULL;
    jt_dist *d;
    assert_int_equal(jt_trial_new(p, 4, NULL, &x, NULL), JT_OK);
    assert_int_equal(jt_trial_run(x, &(jt_given){.logits = some}, &d, NULL), JT_OK);
    assert_int_equal(jt_dist_count(d), 2);
    assert_true(jt_dist_top(d, 2)[0].id == 3 && jt_dist_top(d, 2)[0].logit == 1.5f && jt_dist_top(d, 2)[1].id == 1);
    assert_int_equal(jt_trial_run(x, &(jt_given){.logits = none}, &d, NULL), JT_OK);
    assert_int_equal(jt_dist_count(d), 0);
    assert_int_equal(jt_trial_decide(x).id, -1);
    jt_trial_free(x);
    jt_pipeline_free(p);
}

static void failed_allocations(void **state) {
    (void)state;
    static const float x[3] = {1, 2, 3};
    jt_pipeline *p = parse_with("dry | mirostat-2 | temp:0.7", NULL);
    bool done = false;
    for (long i = 0; !done; i++) {
        jt_trial *t = NULL;
        jt_dist *d;
        alloc_fail_at(i);
        jt_status e = jt_trial_new(p, 3, NULL, &t, NULL);
        if (e == JT_OK) e = jt_trial_run(t, &(jt_given){.logits = x}, &d, NULL);
        done = alloc_count() <= i;
        alloc_fail_at(-1);
        assert_int_equal(e, done ? JT_OK : JT_NOMEM);
        jt_trial_free(t);
    }
    jt_pipeline_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_a_driver_decides), cmocka_unit_test(refusals), cmocka_unit_test(masks),
                                       cmocka_unit_test(failed_allocations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
