/* Stages that ban and bias by history and by lists (no-repeat-ngram, bad-words and the like) against transformers' logits
 * processors on 1,000 random distributions and histories each (tests/fixtures/decode/make_bans.py), and their own promises. */
#include "harness.h"

#ifndef FIXTURES
#define FIXTURES "tests/fixtures"
#endif

enum { CASES = 1000, MOST = 24 };

/* Runs all stages of the pipeline after `n` tokens, of which the first `n_prompt` are the prompt. */
static jt_status run_stages(const fake *f, const char *text, jt_dist *d, const int32_t *history, int n, int n_prompt, jt_error *err) {
    static int32_t seen[FAKE_VOCAB], alike[FAKE_CONTEXT];
    static jt_count count[FAKE_VOCAB];
    jt_pipeline *p = parse_with(text, NULL);
    jt_status e = JT_OK;
    for (int i = 0; e == JT_OK && i < p->n_stage; i++) {
        const jt_method *m = p->stage[i].m;
        jt_step s = {.method = m, .vocab = FAKE_VOCAB, .history = history, .n = n, .n_prompt = n_prompt, .err = err};
        jt_setup u = {.vocab = FAKE_VOCAB, .prompt = history, .n_prompt = n_prompt, .context = n + 16};
        if (m->needs & JT_NEEDS_TOKENIZER) s.tokenizer = u.tokenizer = f->tokenizer;
        s.seen = seen, s.count = count, s.alike = alike;
        void *state = calloc(1, (m->state_bytes ? m->state_bytes(p->stage[i].par, &u) : m->state_size) + 1);
        if (m->open) e = m->open(p->stage[i].par, state, &u, err);
        if (e == JT_OK) e = m->stage.run(p->stage[i].par, state, d, &s);
        free(state);
    }
    jt_pipeline_free(p);
    return e;
}

static jt_dist *dist_of(const fake *f) {
    jt_dist *d;
    assert_int_equal(jt_dist_new(FAKE_VOCAB, f->ev.kernels, &d, NULL), JT_OK);
    return d;
}

/* ---- cases as make_bans.py makes them ---- */

static uint64_t at;
static int draw(void) {
    at = at * 6364136223846793005u + 1442695040888963407u;
    return (int)(at >> 33);
}

struct sample {
    float x[FAKE_VOCAB];
    int32_t id[MOST];
    int n, prompt;
    char text[600];
};

/* Some sequences of letters, all different: as ids, or each with a bias. */
static void add_sequences(char *out, size_t cap, bool biased) {
    char made[6][4] = {""};
    size_t n = 0;
    int want = 1 + draw() % 6, have = 0;
    n += (size_t)snprintf(out, cap, biased ? "sequence-bias:" : "bad-words:ids=\"");
    for (int i = 0; i < want; i++) {
        char s[4] = "";
        int len = 1 + draw() % 3;
        bool known = false;
        for (int k = 0; k < len; k++) s[k] = (char)('A' + draw() % 5);
        for (int k = 0; k < have; k++) known |= !strcmp(made[k], s);
        if (!known) memcpy(made[have++], s, sizeof s);
    }
    for (int i = 0; i < have; i++) {
        if (biased) n += (size_t)snprintf(out + n, cap - n, "%s\"%s\"=%.2f", i ? "," : "", made[i], (draw() % 2001 - 1000) / 100.0);
        for (const char *c = made[i]; !biased && *c; c++)
            n += (size_t)snprintf(out + n, cap - n, "%s%d", c > made[i] ? " " : i ? ";" : "", *c);
    }
    if (!biased) snprintf(out + n, cap - n, "\"");
}

static void make_sample(struct sample *s, int kind, int number) {
    at = (uint64_t)kind * 100000 + (uint64_t)number + 1;
    for (int i = 0; i < 4; i++) draw();
    for (int i = 0; i < FAKE_VOCAB; i++)
        s->x[i] = draw() % 16 ? 0 : -INFINITY, s->x[i] += s->x[i] == 0 ? (float)(draw() % 4001 - 2000) / 256 : 0;
    s->n = 1 + draw() % MOST;
    for (int i = 0; i < s->n; i++) s->id[i] = 65 + draw() % 5;
    s->prompt = 1 + draw() % s->n;
    int n;
    switch (kind) {
    case 0: snprintf(s->text, sizeof s->text, "no-repeat-ngram:%d", 1 + draw() % 4); break;
    case 1: snprintf(s->text, sizeof s->text, "encoder-no-repeat-ngram:%d", 1 + draw() % 4); break;
    case 2: snprintf(s->text, sizeof s->text, "encoder-repetition:%.2f", (25 + draw() % 400) / 100.0); break;
    case 3: snprintf(s->text, sizeof s->text, "min-length:%d", draw() % 20); break;
    case 4:
    case 5: add_sequences(s->text, sizeof s->text, kind == 5); break;
    case 6: snprintf(s->text, sizeof s->text, "forced-end:%d", 1 + draw() % 12); break;
    default: {
        char ids[60];
        size_t m = 0;
        n = 1 + draw() % 4;
        for (int i = 0; i < n; i++) m += (size_t)snprintf(ids + m, sizeof ids - m, "%s%d", i ? " " : "", draw() % FAKE_VOCAB);
        snprintf(s->text, sizeof s->text, "suppress:ids=\"%s\",at=%s", ids, draw() % 2 ? "begin" : "always");
    }
    }
}

/* What the line says becomes of the sample. */
static void expect_line(const char *line, const struct sample *s, float *want) {
    memcpy(want, s->x, sizeof s->x);
    if (!strncmp(line, "all", 3))
        for (int i = 0; i < FAKE_END; i++) want[i] = -INFINITY;
    while (*line >= '0' && *line <= '9') {
        char *end;
        long id = strtol(line, &end, 10);
        want[id] = *end == '=' ? strtof(end + 1, &end) : -INFINITY;
        line = *end == ' ' ? end + 1 : end;
    }
}

static void stages_agree_with_transformers(void **state) {
    static struct sample s;
    static float want[FAKE_VOCAB];
    static char line[4096];
    fake f;
    jt_error err;
    int changed[8] = {0};
    (void)state;
    fake_make(&f);
    jt_dist *d = dist_of(&f);
    FILE *in = fopen(FIXTURES "/decode/bans.txt", "r");
    assert_non_null(in);
    for (int kind = 0; kind < 8; kind++)
        for (int c = 0; c < CASES; c++) {
            make_sample(&s, kind, c);
            assert_non_null(fgets(line, sizeof line, in));
            expect_line(line, &s, want);
            changed[kind] += line[0] != '\n';
            assert_int_equal(jt_dist_load(d, s.x, NULL), JT_OK);
            if (run_stages(&f, s.text, d, s.id, s.n, s.prompt, &err) != JT_OK) fail_msg("%s: %s", s.text, err.message);
            for (int32_t id = 0; id < FAKE_VOCAB; id++) {
                float got = jt_dist_logit(d, id);
                if (got != want[id] && !(fabsf(got - want[id]) <= 2e-6f * fabsf(want[id]) + 2e-6f))
                    fail_msg("%s, case %d: the logit of token %d is %.9g, not %.9g", s.text, c, (int)id, (double)got, (double)want[id]);
            }
        }
    for (int kind = 0; kind < 8; kind++) assert_true(changed[kind] >= 40);
    fclose(in);
    jt_dist_free(d);
    fake_free(&f);
}

/* ---- by hand ---- */

static void expect(const fake *f, jt_dist *d, const char *text, const char *history, int prompt, const char *banned) {
    static float zero[FAKE_VOCAB];
    int32_t x[64];
    int n = (int)strlen(history);
    jt_error err;
    for (int i = 0; i < n; i++) x[i] = (unsigned char)history[i];
    assert_int_equal(jt_dist_load(d, zero, NULL), JT_OK);
    if (run_stages(f, text, d, x, n, prompt, &err) != JT_OK) fail_msg("%s: %s", text, err.message);
    for (int32_t id = 1; id < 256; id++)
        if ((jt_dist_logit(d, id) == -INFINITY) != (strchr(banned, id) != NULL)) fail_msg("%s after %s: token %d", text, history, (int)id);
}

static void examples_by_hand(void **state) {
    fake f;
    (void)state;
    fake_make(&f);
    jt_dist *d = dist_of(&f);
    expect(&f, d, "no-repeat-ngram:2", "abcab", 1, "c");
    expect(&f, d, "no-repeat-ngram:2", "abcadca", 1, "bd");
    expect(&f, d, "no-repeat-ngram:3", "abcab", 1, "c");
    expect(&f, d, "no-repeat-ngram:4", "abcab", 1, "");
    expect(&f, d, "no-repeat-ngram:1", "abcab", 1, "abc");
    expect(&f, d, "no-repeat-ngram:9", "abcab", 1, "");
    expect(&f, d, "encoder-no-repeat-ngram:2", "abacad", 3, "");
    expect(&f, d, "encoder-no-repeat-ngram:2", "abacada", 4, "bc");
    expect(&f, d, "bad-words:\"xy\"", "ax", 1, "y");
    expect(&f, d, "bad-words:\"xy\"", "ay", 1, "");
    expect(&f, d, "bad-words:\"xyz\\nq\"", "xy", 1, "zq"); /* one token is banned everywhere; " q" after a space */
    expect(&f, d, "bad-words:\"xyz\\nq\",forms=exact", "xy", 1, "zq");
    expect(&f, d, "bad-words:\" q\"", "x ", 1, "q");
    expect(&f, d, "bad-words:\" q\"", "x", 1, "");
    expect(&f, d, "bad-words:\"qr\"", "q", 1, "r");
    expect(&f, d, "bad-words:ids=\"113 114; 120\"", "q", 1, "rx");
    expect(&f, d, "suppress:\"97,98\",texts=\"c\"", "abc", 1, "abc");
    expect(&f, d, "suppress:texts=\"c\\nd\",at=begin", "abc", 3, "cd");
    expect(&f, d, "suppress:texts=\"c\\nd\",at=begin", "abc", 2, "");
    expect(&f, d, "sequence-bias:\"xy\"=-inf,122=-inf", "ax", 1, "yz");
    expect(&f, d, "min-length:3", "abc", 1, "");
    jt_dist_free(d);
    fake_free(&f);
}

static void biases_add_up(void **state) {
    static float zero[FAKE_VOCAB];
    static const int32_t x[] = {'a', 'b'};
    fake f;
    jt_error err;
    (void)state;
    fake_make(&f);
    jt_dist *d = dist_of(&f);
    assert_int_equal(jt_dist_load(d, zero, NULL), JT_OK);
    assert_int_equal(run_stages(&f, "sequence-bias:\"abc\"=2,\"bc\"=0.5,\"c\"=-1,\"cc\"=9,100=3", d, x, 2, 1, &err), JT_OK);
    assert_true(jt_dist_logit(d, 'c') == 1.5f && jt_dist_logit(d, 'd') == 3 && jt_dist_logit(d, 'b') == 0);
    jt_dist_free(d);
    fake_free(&f);
}

/* ---- counts of a whole job ---- */

static void expect_biases(const fake *f, const char *text, const int32_t *id, const float *bias, int n) {
    static float zero[FAKE_VOCAB];
    static const int32_t x[] = {'a', 'b'};
    float want[FAKE_VOCAB] = {0};
    jt_error err;
    jt_dist *d = dist_of(f);
    for (int i = 0; i < n; i++) want[id[i]] = bias[i];
    assert_int_equal(jt_dist_load(d, zero, NULL), JT_OK);
    if (run_stages(f, text, d, x, 2, 1, &err) != JT_OK) fail_msg("%s: %s", text, err.message);
    for (int32_t i = 0; i < FAKE_VOCAB; i++)
        if (fabsf(jt_dist_logit(d, i) - want[i]) > 1e-5f) fail_msg("%s: the logit of %d is %g", text, (int)i, (double)jt_dist_logit(d, i));
    jt_dist_free(d);
}

static void shares_of_a_job_are_suppressed(void **state) {
    static const int32_t id[] = {'p', 'q', 'r', 's', 't'};
    static const float card[] = {-1.5f, -4.5f, -7.5f, -7.5f, -7.5f}, low[] = {-0.2f, -0.6f, -1, -3, -5}, few[] = {0, 0, 0, -7.5f, -7.5f};
    static const float usual[] = {-1.5f, -4.5f, 0, -7.5f, 0};
    fake f;
    (void)state;
    fake_make(&f);
    /* shares of 0.2, 0.6, 1, 3 and 95.2 percent; two workers' files one behind the other, in any order */
    expect_biases(&f, "logit-suppression:\"112 2\\n113 6\\n114 10\\n115 30\\n116 952\"", id, card, 5);
    expect_biases(&f, "logit-suppression:\"116 900\\n115 20\\n113 6\\n\\n115 10\\n114 10\\n116 52\\n112 2\\n\"", id, card, 5);
    expect_biases(&f, "logit-suppression:\"112 2\\n113 6\\n114 10\\n115 30\\n116 952\",slope=-1,floor=-5", id, low, 5);
    expect_biases(&f, "logit-suppression:\"112 2\\n113 6\\n114 10\\n115 30\\n116 952\",top=2", id, few, 5);
    expect_biases(&f, "logit-suppression:\"112 2\\n113 6\\n114 10\\n115 30\\n116 952\",reference=\"116 40\\n114 1\\n112 0\\n1 59\"", id,
                  usual, 5);
    /* an end token, a newline and a quote are never touched; without counts nothing is */
    expect_biases(&f, "logit-suppression:\"264 100\\n10 100\\n34 100\\n261 100\\n112 1\"", id, (const float[]){-1.870324f}, 1);
    expect_biases(&f, "logit-suppression:\"112 100\",protect=\"pq\"", id, card, 0);
    expect_biases(&f, "logit-suppression:\"\"", id, card, 0);
    expect_biases(&f, "logit-suppression:\"112 0\"", id, card, 0);
    fake_free(&f);
}

static const char *const neutral[] = {"no-repeat-ngram:0",
                                      "encoder-no-repeat-ngram:0",
                                      "encoder-repetition:1",
                                      "min-length:0",
                                      "forced-end:0",
                                      "bad-words:\"\"",
                                      "sequence-bias:\"ab\"=0,\"c\"=0",
                                      "suppress:\"\"",
                                      "forced-prefix:\"\"",
                                      "logit-suppression:\"104 7\\n101 9\",slope=0"};
enum { NEUTRAL = sizeof neutral / sizeof *neutral };

static void neutral_settings_change_no_bit(void **state) {
    static float x[FAKE_VOCAB];
    static const int32_t history[] = {'a', 'b', 'a', 'b', 'c', 'a'};
    fake f;
    jt_error err;
    told plain, with;
    (void)state;
    fake_make(&f);
    jt_dist *d = dist_of(&f);
    for (int32_t i = 0; i < FAKE_VOCAB; i++) x[i] = fake_logit(history, 6, i);
    for (int k = 0; k < NEUTRAL; k++) {
        char how[100];
        assert_int_equal(jt_dist_load(d, x, NULL), JT_OK);
        assert_int_equal(run_stages(&f, neutral[k], d, history, 6, 3, &err), JT_OK);
        for (int32_t i = 0; i < FAKE_VOCAB; i++) assert_true(jt_dist_logit(d, i) == x[i]);
        assert_true(!d->listed && d->x == x);
        snprintf(how, sizeof how, "sample | temp:1.1 | %s", neutral[k]);
        run_text(&f, "sample | temp:1.1", NULL, 7, 30, &plain);
        run_text(&f, how, NULL, 7, 30, &with);
        same_said(&plain.a[0], &with.a[0]);
    }
    jt_dist_free(d);
    fake_free(&f);
}

/* ---- in jobs ---- */

static void answers_have_the_length_that_is_asked(void **state) {
    fake f;
    told t;
    (void)state;
    fake_make(&f);
    for (int n = 1; n < 12; n += 3) {
        char how[120];
        jt_driver *d = driver_of(&f);
        snprintf(how, sizeof how, "sample | logit-bias:264=30 | min-length:%d", n);
        jt_pipeline *p = parse_with(how, NULL);
        jt_request r = request_of(p, 3, 40);
        r.ignore_end = 0;
        run_request(d, &r, &t);
        assert_int_equal(t.reason, JT_END_TOKEN);
        assert_int_equal(t.a[0].n, n + 1);
        jt_pipeline_free(p);
        snprintf(how, sizeof how, "sample | temp:1.2 | forced-end:%d | suppress:264", n);
        p = parse_with(how, NULL);
        r = request_of(p, 3, 40);
        r.ignore_end = 0;
        run_request(d, &r, &t); /* nothing is left: no token is written */
        assert_int_equal(t.reason, JT_END_DEAD);
        assert_int_equal(t.a[0].n, n - 1);
        jt_pipeline_free(p);
        snprintf(how, sizeof how, "sample | temp:1.2 | logit-bias:264=-20 | forced-end:%d", n);
        p = parse_with(how, NULL);
        r = request_of(p, 3, 40);
        r.ignore_end = 0;
        run_request(d, &r, &t);
        assert_int_equal(t.reason, JT_END_TOKEN);
        assert_int_equal(t.a[0].n, n);
        assert_int_equal(t.a[0].id[n - 1], FAKE_END);
        jt_pipeline_free(p);
        jt_driver_free(d);
    }
    fake_free(&f);
}

static void a_prefix_is_written_first(void **state) {
    fake f;
    told t;
    (void)state;
    fake_make(&f);
    run_text(&f, "sample | temp:1.5 | forced-prefix:\"So it is\\nthat\"", NULL, 5, 30, &t);
    assert_int_equal(strncmp(t.a[0].text, "So it is\nthat", 13), 0);
    assert_int_equal(t.a[0].n, 30);
    assert_true(t.a[0].staged[0] == 0 && t.a[0].raw[0] < 0);
    run_text(&f, "greedy | forced-prefix:ids=\"66 67\"", NULL, 5, 6, &t);
    assert_int_equal(strncmp(t.a[0].text, "BC", 2), 0);
    run_text(&f, "greedy | suppress:66 | forced-prefix:ids=\"66\"", NULL, 5, 6, &t);
    assert_int_equal(t.reason, JT_END_DEAD);
    fake_free(&f);
}

/* Bans that leave nothing end the answer, whichever the strategy. */
static void nothing_left_is_no_token(void **state) {
    static const char *const how[] = {"greedy", "sample | temp:2", "best-of-n:2 > sample"};
    static const char bans[] = "| top-k:1 | no-repeat-ngram:1 | bad-words:ids=\"104;101;108;111\"";
    fake f;
    told t;
    (void)state;
    fake_make(&f);
    for (size_t k = 0; k < sizeof how / sizeof *how; k++) {
        char text[200];
        snprintf(text, sizeof text, "%s %s", how[k], bans);
        run_text(&f, text, NULL, 1, 199, &t);
        assert_int_equal(t.reason, JT_END_DEAD);
    }
    fake_free(&f);
}

static const char *const lively[] = {
    "temp:0.7 | no-repeat-ngram:2 | logit-suppression:\"101 5\\n102 90\"",
    "temp:0.7 | encoder-no-repeat-ngram:2 | encoder-repetition:3",
    "bad-words:\"e\\nth\" | sequence-bias:\" t\"=6,\"ab\"=-4 | min-length:4",
    "suppress:\"101 116\" | forced-prefix:\"the\" | no-repeat-ngram:3 | temp:1.3",
};
enum { LIVELY = sizeof lively / sizeof *lively };

/* Alone, beside others, in another order, and as branches: the same text. */
static void texts_do_not_depend_on_company(void **state) {
    static told alone[LIVELY], beside[2 * LIVELY], branch;
    fake f;
    (void)state;
    fake_make(&f);
    jt_pipeline *p[LIVELY];
    jt_driver *d = driver_of(&f);
    jt_job job[2 * LIVELY];
    for (int k = 0; k < LIVELY; k++) run_text(&f, lively[k], NULL, 11, 40, &alone[k]), p[k] = parse_with(lively[k], NULL);
    for (int k = 0; k < 2 * LIVELY; k++) {
        jt_request r = request_of(p[(2 * LIVELY - 1 - k) % LIVELY], k < LIVELY ? 11 : 12, 40);
        assert_int_equal(jt_driver_submit(d, &r, &job[k], NULL), JT_OK);
    }
    finish_all(d, job, beside, 2 * LIVELY);
    for (int k = 0; k < LIVELY; k++) same_said(&alone[LIVELY - 1 - k].a[0], &beside[k].a[0]);
    for (int k = 0; k < LIVELY; k++) {
        char how[300];
        snprintf(how, sizeof how, "parallel:3 > sample | %s", lively[k]);
        run_text(&f, how, NULL, 11, 40, &branch);
        for (uint32_t i = 0; i < 3; i++) {
            jt_request r = request_of(p[k], 11, 40);
            r.choice = i;
            run_request(d, &r, &beside[0]);
            same_said(&branch.a[i], &beside[0].a[0]);
        }
        jt_pipeline_free(p[k]);
    }
    jt_driver_free(d);
    fake_free(&f);
}

/* ---- refusals ---- */

static void what_is_wrong_is_refused_by_name(void **state) {
    static const struct {
        const char *text, *says;
    } t[] = {
        {"suppress:999", "suppress: token 999 is outside of the vocabulary (0 to 264)"},
        {"suppress:\"12 x\"", "suppress: \"x\" is no token id"},
        {"suppress:\"-1\"", "suppress: \"-1\" is no token id"},
        {"suppress:texts=\"ab c\"", "suppress: \"ab c\" is 4 tokens of this model, not one"},
        {"bad-words:ids=\"3 265\"", "bad-words: token 265 is outside of the vocabulary"},
        {"forced-prefix:\"a\",ids=3", "forced-prefix: a text and ids are given"},
        {"logit-suppression:\"5 7\\n5\"", "logit-suppression: line 2 is no token id (0 to 264) with a count"},
        {"logit-suppression:\"5 7 9\"", "logit-suppression: line 1 is no"},
        {"logit-suppression:\"5 -7\"", "logit-suppression: line 1 is no"},
        {"logit-suppression:reference=\"300 7\"", "logit-suppression: line 1 is no"},
        {"sequence-bias:400=1", "sequence-bias: token 400 is outside"},
    };
    fake f;
    (void)state;
    fake_make(&f);
    jt_driver *d = driver_of(&f);
    for (size_t k = 0; k < sizeof t / sizeof *t; k++) {
        jt_pipeline *p = parse_with(t[k].text, NULL);
        jt_request r = request_of(p, 1, 4);
        jt_job job;
        jt_error err = {0};
        assert_int_not_equal(jt_driver_submit(d, &r, &job, &err), JT_OK);
        if (!strstr(err.message, t[k].says)) fail_msg("%s: %s", t[k].text, err.message);
        jt_pipeline_free(p);
    }
    jt_driver_free(d);
    f.ev.tokenizer = NULL;
    d = driver_of(&f);
    for (int k = 0; k < 4; k++) {
        static const char *const text[] = {"min-length:2", "forced-end:2", "bad-words:\"a\"", "forced-prefix:\"a\""};
        jt_pipeline *p = parse_with(text[k], NULL);
        jt_request r = request_of(p, 1, 4);
        jt_job job;
        jt_error err = {0};
        assert_int_equal(jt_driver_submit(d, &r, &job, &err), JT_UNSUPPORTED);
        assert_non_null(strstr(err.message, "no tokenizer"));
        jt_pipeline_free(p);
    }
    jt_driver_free(d);
    fake_free(&f);
}

static void failed_allocations_are_clean(void **state) {
    fake f;
    told t;
    jt_error err;
    (void)state;
    fake_make(&f);
    jt_pipeline *p = parse_with(lively[2], NULL);
    jt_request r = request_of(p, 1, 6);
    bool well = false;
    for (int n = 1; !well && n < 4000; n++) {
        jt_driver *d = driver_of(&f);
        jt_job job;
        alloc_fail_at(n);
        jt_status e = jt_driver_submit(d, &r, &job, &err);
        alloc_fail_at(-1);
        if (e == JT_OK) finish_all(d, &job, &t, 1), well = true;
        jt_driver_free(d);
        assert_int_equal(f.open, 0);
    }
    assert_true(well);
    jt_pipeline_free(p);
    fake_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages_agree_with_transformers),
        cmocka_unit_test(examples_by_hand),
        cmocka_unit_test(biases_add_up),
        cmocka_unit_test(shares_of_a_job_are_suppressed),
        cmocka_unit_test(neutral_settings_change_no_bit),
        cmocka_unit_test(answers_have_the_length_that_is_asked),
        cmocka_unit_test(a_prefix_is_written_first),
        cmocka_unit_test(nothing_left_is_no_token),
        cmocka_unit_test(texts_do_not_depend_on_company),
        cmocka_unit_test(what_is_wrong_is_refused_by_name),
        cmocka_unit_test(failed_allocations_are_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
