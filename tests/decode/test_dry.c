/* The stage dry: the worked example, and random histories against the rule applied slowly. */
#include "harness.h"

/* Runs the stage after `n` tokens, of which the first `n_prompt` are the prompt. */
static void run_dry(const fake *f, const char *text, const int32_t *history, int n, int n_prompt, float *out) {
    static int32_t seen[FAKE_VOCAB], alike[FAKE_CONTEXT];
    static jt_count count[FAKE_VOCAB];
    static float zero[FAKE_VOCAB];
    jt_pipeline *p = parse_with(text, NULL);
    const jt_method *m = p->stage[0].m;
    const void *par = p->stage[0].par;
    jt_error err;
    jt_dist *d;
    jt_setup u = {.vocab = FAKE_VOCAB, .tokenizer = f->tokenizer, .prompt = history, .n_prompt = n_prompt, .context = n};
    void *state = calloc(1, m->state_bytes(par, &u));
    assert_int_equal(m->open(par, state, &u, &err), JT_OK);
    jt_step s = {.method = m, .vocab = FAKE_VOCAB, .history = history, .n = n, .n_prompt = n_prompt, .err = &err};
    s.seen = seen, s.count = count, s.alike = alike;
    assert_int_equal(jt_dist_new(FAKE_VOCAB, f->ev.kernels, &d, NULL), JT_OK);
    assert_int_equal(jt_dist_load(d, zero, NULL), JT_OK);
    assert_int_equal(m->stage.run(par, state, d, &s), JT_OK);
    for (int32_t id = 0; id < FAKE_VOCAB; id++) out[id] = jt_dist_logit(d, id);
    jt_dist_free(d);
    free(state);
    jt_pipeline_free(p);
}

static void the_worked_example(void **state) {
    (void)state;
    static const int32_t x[] = {'a', 'b', 'c', 'c', 'b', 'c', 'y', 'a', 'b', 'c'};
    float got[FAKE_VOCAB];
    fake f;
    fake_make(&f);
    for (int prompt = 1; prompt <= 10; prompt += 3) {
        run_dry(&f, "dry:0.8", x, 10, prompt, got);
        for (int32_t id = 0; id < FAKE_VOCAB; id++) assert_true(fabsf(got[id] - (id == 'c' ? -1.4f : id == 'y' ? -0.8f : 0)) < 1e-6f);
    }
    run_dry(&f, "dry:0.8,allowed=3", x, 10, 10, got);
    assert_true(fabsf(got['c'] + 0.8f) < 1e-6f && got['y'] == 0);
    assert_true(got['b'] == 0);
    run_dry(&f, "dry:0.8,allowed=1", x, 10, 10, got); /* b followed one c */
    assert_true(fabsf(got['b'] + 0.8f) < 1e-6f);
    fake_free(&f);
}

static void lengths_and_growth(void **state) {
    (void)state;
    static const int32_t x[] = {'p', 'q', 'r', 's', 't', 'u', 'v', '-', 'p', 'q', 'r', 's', 't', 'u'};
    float got[FAKE_VOCAB];
    fake f;
    fake_make(&f);
    run_dry(&f, "dry:0.8", x, 12, 12, got); /* p q r s, then t */
    assert_true(fabsf(got['t'] + 2.45f) < 1e-5f);
    run_dry(&f, "dry:0.8", x, 14, 12, got);
    assert_true(fabsf(got['v'] + 7.503125f) < 1e-4f && got['t'] == 0);
    run_dry(&f, "dry:0.8,window=6", x, 14, 14, got);
    for (int32_t id = 0; id < FAKE_VOCAB; id++) assert_true(got[id] == 0);
    run_dry(&f, "dry:0", x, 14, 14, got);
    for (int32_t id = 0; id < FAKE_VOCAB; id++) assert_true(got[id] == 0);
    fake_free(&f);
}

static void random_histories(void **state) {
    (void)state;
    enum { N = 60 };
    fake f;
    fake_make(&f);
    for (uint64_t t = 0; t < 300; t++) {
        int32_t x[N], n = 3 + (int32_t)(jt_hash_u64(t, 1) % (N - 3)), prompt = 1 + (int32_t)(jt_hash_u64(t, 2) % (uint64_t)n);
        int window = t % 3 ? -1 : (int)(jt_hash_u64(t, 3) % N);
        float got[FAKE_VOCAB];
        char text[60];
        for (int k = 0; k < n; k++) x[k] = (int32_t) "aaabb:"[jt_hash_u64(t, 10 + (uint64_t)k) % (t % 2 ? 6 : 5)];
        snprintf(text, sizeof text, "dry:1,base=1.5,allowed=1,window=%d", window);
        run_dry(&f, text, x, n, prompt, got);
        int first = window < 0 || window > n ? 0 : n - window;
        for (const char *c = "abc:"; *c; c++) {
            int longest = 0;
            for (int i = first; i + 1 < n; i++) {
                int len = 0;
                while (i - len >= first && x[i - len] == x[n - 1 - len] && x[i - len] != ':') len++;
                if (x[i + 1] == *c && len > longest) longest = len;
            }
            double want = longest && *c != ':' ? -pow(1.5, longest - 1) : 0;
            if (fabs((double)got[(int)*c] - want) > 1e-4 * fabs(want))
                fail_msg("history %d: %c %g %g", (int)t, *c, (double)got[(int)*c], want);
        }
    }
    fake_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_worked_example), cmocka_unit_test(lengths_and_growth),
                                       cmocka_unit_test(random_histories)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
