/* The driver on a model whose logits are a hash of all tokens before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "fake.h"

/* One finished job. */
typedef struct answer {
    int32_t id[FAKE_CONTEXT];
    jt_decision made[FAKE_CONTEXT];
    int n;
    char text[4096];
    size_t n_text;
    jt_end_reason reason;
    char message[504];
} answer;

static void note(answer *a, const jt_event *e) {
    assert_true(a->n_text + e->n_text < sizeof a->text);
    assert_int_equal(strlen(e->text), e->n_text);
    memcpy(a->text + a->n_text, e->text, e->n_text);
    a->n_text += e->n_text;
    a->text[a->n_text] = 0;
    if (e->kind == JT_EVENT_TOKEN) {
        assert_int_equal(e->answer_tokens, a->n + 1);
        jt_decision *m = &a->made[a->n]; /* by fields: answers are compared byte by byte, padding included */
        m->id = e->decision.id, m->position = e->decision.position, m->u = e->decision.u, m->attempt = e->decision.attempt;
        m->raw_logprob = e->decision.raw_logprob, m->logprob = e->decision.logprob, m->entropy = e->decision.entropy;
        m->candidates = e->decision.candidates;
        a->id[a->n++] = e->decision.id;
    } else {
        assert_int_equal(e->answer_tokens, a->n);
        a->reason = e->reason;
        assert_true(e->prompt_seconds >= 0 && e->answer_seconds >= 0);
        if (e->message) memcpy(a->message, e->message, strlen(e->message) + 1);
    }
}

static jt_driver *start(fake *f) {
    jt_driver *d = NULL;
    assert_int_equal(jt_driver_new_with(&f->ev, &d, NULL), JT_OK);
    return d;
}

static jt_pipeline *parse(const char *text) {
    jt_pipeline *p = NULL;
    jt_error err;
    if (jt_pipeline_parse(text, NULL, &p, &err) != JT_OK) fail_msg("%s", err.message);
    return p;
}

static jt_job submit(jt_driver *d, const jt_request *r) {
    jt_job job = 0;
    jt_error err;
    if (jt_driver_submit(d, r, &job, &err) != JT_OK) fail_msg("%s", err.message);
    return job;
}

/* Runs until no job is left; job[i]'s answer goes to a[i]. */
static void finish(jt_driver *d, const jt_job *job, answer *a, int n) {
    jt_event e;
    memset(a, 0, (size_t)n * sizeof *a);
    for (;;) {
        assert_int_equal(jt_driver_next(d, &e, NULL), JT_OK);
        if (!e.job) return;
        int i = 0;
        while (i < n && job[i] != e.job) i++;
        assert_true(i < n);
        assert_int_equal(a[i].reason, JT_END_NONE);
        note(&a[i], &e);
    }
}

static void run_one(fake *f, const jt_request *r, answer *a) {
    jt_driver *d = start(f);
    jt_job job = submit(d, r);
    finish(d, &job, a, 1);
    jt_driver_free(d);
    assert_int_equal(f->open, 0);
}

static const int32_t hello[] = {'h', 'e', 'l', 'l', 'o'};
static jt_request request(const jt_pipeline *p, uint64_t seed) {
    return (jt_request){.prompt = hello, .n_prompt = 5, .pipeline = p, .seed = seed, .max_tokens = 20, .ignore_end = 1};
}

static int32_t argmax(const int32_t *ids, int n) {
    int32_t best = 0;
    for (int32_t id = 1; id < FAKE_VOCAB; id++)
        if (fake_logit(ids, n, id) > fake_logit(ids, n, best)) best = id;
    return best;
}

static void greedy_follows_the_model(void **state) {
    (void)state;
    fake f;
    answer a;
    fake_make(&f);
    jt_request r = request(NULL, 0);
    run_one(&f, &r, &a);
    int32_t ids[64];
    memcpy(ids, hello, sizeof hello);
    assert_int_equal(a.n, 20);
    assert_int_equal(a.reason, JT_END_LENGTH);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(a.id[i], argmax(ids, 5 + i));
        ids[5 + i] = a.id[i];
        assert_int_equal(a.made[i].position, 5 + i);
        assert_true(isnan(a.made[i].u) && a.made[i].logprob == a.made[i].raw_logprob && a.made[i].candidates == FAKE_VOCAB);
    }
    /* temp:0 under sample is greedy too */
    jt_pipeline *p = parse("temp:0");
    answer b;
    r.pipeline = p;
    run_one(&f, &r, &b);
    assert_memory_equal(a.id, b.id, sizeof a.id);
    assert_true(b.made[3].logprob == 0 && b.made[3].raw_logprob == a.made[3].raw_logprob && b.made[3].u > 0);
    jt_pipeline_free(p);
    fake_free(&f);
}

static void logprobs_are_those_of_the_distributions(void **state) {
    (void)state;
    fake f;
    answer a;
    fake_make(&f);
    jt_pipeline *p = parse("temp:0.7 | top-k:3");
    jt_request r = request(p, 5);
    run_one(&f, &r, &a);
    int32_t ids[64];
    memcpy(ids, hello, sizeof hello);
    for (int i = 0; i < a.n; i++) {
        double x[FAKE_VOCAB], s = 0, top[3] = {-1e9, -1e9, -1e9};
        for (int id = 0; id < FAKE_VOCAB; id++) {
            double v = x[id] = (double)fake_logit(ids, 5 + i, id);
            s += exp(v);
            for (int k = 0; k < 3; k++)
                if (v > top[k]) {
                    double t = top[k];
                    top[k] = v, v = t;
                }
        }
        double mine = x[a.id[i]], s3 = exp(top[0] / 0.7) + exp(top[1] / 0.7) + exp(top[2] / 0.7);
        assert_true(fabs((double)a.made[i].raw_logprob - (mine - log(s))) < 1e-5);
        assert_true(fabs((double)a.made[i].logprob - (mine / 0.7 - log(s3))) < 1e-5);
        assert_int_equal(a.made[i].candidates, 3);
        assert_true(mine >= top[2]);
        ids[5 + i] = a.id[i];
    }
    jt_pipeline_free(p);
    fake_free(&f);
}

/* The same request gives the same answer alone, twice, in another order and beside others, however prompts are cut. */
static void answers_do_not_depend_on_company(void **state) {
    (void)state;
    enum { N = 7 };
    static const char *const text[N] = {"sample",
                                        "greedy",
                                        "temp:0.8 | top-p:0.9",
                                        "temp:1.3 | min-p:0.02",
                                        "repeat-penalty:1.3 | temp:0.9",
                                        "top-k:5 | frequency-penalty:0.5 | presence-penalty:0.3",
                                        "logit-bias:97=3,\" \"=-inf | temp:0.6"};
    static int32_t prompt[N][1200];
    jt_pipeline *p[N];
    jt_request r[N];
    static answer alone[N], again[N];
    answer a;
    fake f;
    fake_make(&f);
    f.ev.context = 2000;
    for (int i = 0; i < N; i++) {
        int n = (int[]){1, 5, 129, 700, 1150, 9, 8}[i];
        for (int k = 0; k < n; k++) prompt[i][k] = (int32_t)(jt_hash_u64((uint64_t)i, (uint64_t)k) % FAKE_VOCAB);
        p[i] = parse(text[i]);
        r[i] = (jt_request){
            .prompt = prompt[i], .n_prompt = (size_t)n, .pipeline = p[i], .seed = 40 + (uint64_t)i % 3, .max_tokens = 10 + i * 3};
        run_one(&f, &r[i], &alone[i]);
        run_one(&f, &r[i], &a);
        assert_memory_equal(&a, &alone[i], sizeof a);
    }
    for (int way = 0; way < 4; way++) {
        jt_driver *d = start(&f);
        jt_job job[N] = {0};
        int order[N];
        for (int i = 0; i < N; i++) order[i] = way & 1 ? N - 1 - i : i;
        memset(again, 0, sizeof again);
        int given = 0;
        for (jt_event e;;) { /* in ways 2 and 3 jobs arrive one by one while others run */
            if (given < N && (way < 2 || !given || (given < N && again[order[given - 1]].n >= 2))) {
                job[order[given]] = submit(d, &r[order[given]]);
                given++;
                continue;
            }
            assert_int_equal(jt_driver_next(d, &e, NULL), JT_OK);
            if (!e.job) break;
            for (int i = 0; i < N; i++)
                if (job[i] == e.job) note(&again[i], &e);
        }
        jt_driver_free(d);
        assert_int_equal(given, N);
        for (int i = 0; i < N; i++) assert_memory_equal(&again[i], &alone[i], sizeof a);
    }
    assert_true(f.most_rows <= JT_ROWS_ALONE + N * JT_ROWS_SHORT);
    for (int i = 0; i < N; i++) jt_pipeline_free(p[i]);
    fake_free(&f);
}

static void long_prompts_come_in_pieces_beside_others(void **state) {
    (void)state;
    static int32_t prompt[1000];
    fake f;
    fake_make(&f);
    f.ev.context = 2000;
    jt_driver *d = start(&f);
    jt_request r = request(NULL, 1);
    jt_job a = submit(d, &r);
    jt_event e;
    assert_int_equal(jt_driver_next(d, &e, NULL), JT_OK);
    assert_true(e.job == a);
    r.prompt = prompt, r.n_prompt = 1000;
    jt_job b = submit(d, &r);
    int before = 0;
    f.most_rows = 0;
    for (;;) {
        assert_int_equal(jt_driver_next(d, &e, NULL), JT_OK);
        if (e.job == b) break;
        before++;
    }
    assert_int_equal(before, 8); /* a token of the first for each piece of 128 */
    assert_int_equal(f.most_rows, JT_ROWS_BESIDE + 1);
    jt_driver_free(d);
    fake_free(&f);
}

static void seeds_and_choices_differ(void **state) {
    (void)state;
    fake f;
    answer a, b, c;
    fake_make(&f);
    jt_pipeline *p = parse("sample");
    jt_request r = request(p, 1);
    run_one(&f, &r, &a);
    r.seed = 2;
    run_one(&f, &r, &b);
    r.seed = 1, r.choice = 1;
    run_one(&f, &r, &c);
    assert_memory_not_equal(a.id, b.id, sizeof a.id);
    assert_memory_not_equal(a.id, c.id, sizeof a.id);
    jt_pipeline_free(p);
    fake_free(&f);
}

/* ---- ends ---- */

static const char *script; /* what the scripted model says after the prompt, then <end> */
static const int32_t *script_ids;
static float scripted(const int32_t *ids, int n, int32_t id) {
    (void)ids;
    int32_t next = script_ids ? script_ids[n - 5] : script[n - 5] ? (int32_t)(unsigned char)script[n - 5] : FAKE_END;
    return id == next ? 10 : 0;
}

static void say(fake *f, const char *text, const char *const *stop, size_t n_stop, int max, answer *a) {
    script = text, script_ids = NULL;
    f->logit = scripted;
    jt_request r = {.prompt = hello, .n_prompt = 5, .max_tokens = max, .stop = stop, .n_stop = n_stop};
    run_one(f, &r, a);
}

static void stop_strings_across_tokens(void **state) {
    (void)state;
    fake f;
    answer a;
    fake_make(&f);
    const char *const one[] = {"xyz"}, *const two[] = {"yz!", "xyz"}, *const nested[] = {"bcd", "abcde"}, *const same[] = {"aab"};
    say(&f, "hello wxyz there", NULL, 0, 0, &a);
    assert_string_equal(a.text, "hello wxyz there");
    assert_true(a.reason == JT_END_TOKEN && a.n == 17 && a.id[16] == FAKE_END);
    say(&f, "hello wxyz there", one, 1, 0, &a);
    assert_string_equal(a.text, "hello w");
    assert_true(a.reason == JT_END_STOP && a.n == 10);
    say(&f, "hello wxy there xy", one, 1, 0, &a); /* never completed: everything comes out */
    assert_string_equal(a.text, "hello wxy there xy");
    assert_int_equal(a.reason, JT_END_TOKEN);
    say(&f, "hello wxyz there", one, 1, 9, &a);
    assert_string_equal(a.text, "hello wxy");
    assert_int_equal(a.reason, JT_END_LENGTH);
    say(&f, "axyz!", two, 2, 0, &a);
    assert_string_equal(a.text, "a");
    say(&f, "aabcdef", nested, 2, 0, &a); /* the one that is complete first ends it */
    assert_string_equal(a.text, "aa");
    say(&f, "aaab", same, 1, 0, &a);
    assert_string_equal(a.text, "a");

    /* a token that holds the stop and more, and one that begins it */
    static const int32_t ids[] = {'a', FAKE_WORDS + 3, FAKE_WORDS + 4, 'b', FAKE_END}, more[] = {'x', FAKE_WORDS + 1, FAKE_END};
    const char *const stop[] = {"stop"}, *const e[] = {"h"};
    jt_request r = {.prompt = hello, .n_prompt = 5, .stop = stop, .n_stop = 1};
    script_ids = ids;
    run_one(&f, &r, &a);
    assert_string_equal(a.text, "a ");
    assert_int_equal(a.reason, JT_END_STOP);
    script_ids = more, r.stop = e;
    run_one(&f, &r, &a);
    assert_string_equal(a.text, "x t");
    fake_free(&f);
}

static void characters_come_whole(void **state) {
    (void)state;
    fake f;
    fake_make(&f);
    f.logit = scripted,
    script = "a\xe2\x82\xac"
             "b\xc3",
    script_ids = NULL;
    jt_driver *d = start(&f);
    jt_request r = {.prompt = hello, .n_prompt = 5};
    jt_job job = submit(d, &r);
    static const char *const want[] = {"a", "", "", "\xe2\x82\xac", "b", "", "\xef\xbf\xbd"};
    jt_event e;
    for (int i = 0; i < 7; i++) {
        assert_int_equal(jt_driver_next(d, &e, NULL), JT_OK);
        assert_true(e.job == job && e.kind == JT_EVENT_TOKEN);
        assert_string_equal(e.text, want[i]);
    }
    jt_driver_free(d);
    fake_free(&f);
}

static void special_tokens_are_text_only_when_asked(void **state) {
    (void)state;
    static const int32_t ids[] = {'a', FAKE_WORDS + 5, FAKE_END, 'b', 'c', 'd'};
    fake f;
    answer a;
    fake_make(&f);
    f.logit = scripted, script_ids = ids;
    jt_request r = {.prompt = hello, .n_prompt = 5, .max_tokens = 4, .ignore_end = 1};
    run_one(&f, &r, &a);
    assert_string_equal(a.text, "ab");
    r.special = 1;
    run_one(&f, &r, &a);
    assert_string_equal(a.text, "a<|x|><end>b");
    r.ignore_end = 0;
    run_one(&f, &r, &a);
    assert_string_equal(a.text, "a<|x|>");
    assert_int_equal(a.reason, JT_END_TOKEN);
    static const int32_t stop_ids[] = {FAKE_WORDS + 5};
    r.stop_ids = stop_ids, r.n_stop_ids = 1;
    run_one(&f, &r, &a);
    assert_string_equal(a.text, "a");
    assert_true(a.reason == JT_END_STOP && a.n == 2);
    fake_free(&f);
}

static void context_and_time_end_answers(void **state) {
    (void)state;
    fake f;
    answer a;
    jt_error err;
    jt_job job;
    fake_make(&f);
    jt_request r = request(NULL, 0);
    r.max_tokens = 0;
    run_one(&f, &r, &a);
    assert_true(a.reason == JT_END_CONTEXT && a.n == FAKE_CONTEXT - 5);
    r.context = 6;
    run_one(&f, &r, &a);
    assert_true(a.reason == JT_END_CONTEXT && a.n == 1);
    jt_driver *d = start(&f);
    r.on_full = JT_FULL_REFUSE, r.context = 20;
    assert_int_equal(jt_driver_submit(d, &r, &job, &err), JT_LIMIT);
    r.max_tokens = 16;
    assert_int_equal(jt_driver_submit(d, &r, &job, &err), JT_LIMIT);
    assert_non_null(strstr(err.message, "leaves 15"));
    r.max_tokens = 15;
    assert_int_equal(jt_driver_submit(d, &r, &job, &err), JT_OK);
    finish(d, &job, &a, 1);
    assert_true(a.reason == JT_END_LENGTH && a.n == 15);
    jt_driver_free(d);

    /* the clock goes on by 1 s a look; limits far below and between */
    f.tick = 1;
    r = request(NULL, 0), r.max_seconds = 1e-9;
    run_one(&f, &r, &a);
    assert_true(a.reason == JT_END_TIME && a.n == 0);
    r.max_seconds = 30;
    run_one(&f, &r, &a);
    assert_true(a.reason == JT_END_TIME && a.n > 0 && a.n < 20);
    fake_free(&f);
}

static void cancelling(void **state) {
    (void)state;
    fake f;
    answer a[2];
    jt_event e;
    fake_make(&f);
    jt_driver *d = start(&f);
    jt_request r = request(NULL, 0);
    jt_job job[2] = {submit(d, &r), submit(d, &r)};
    jt_driver_cancel(d, job[0]);
    jt_driver_cancel(d, 999);
    finish(d, job, a, 2);
    assert_true(a[0].reason == JT_END_CANCELLED && a[0].n == 0);
    assert_true(a[1].reason == JT_END_LENGTH && a[1].n == 20);
    /* between tokens, and while an evaluation runs */
    jt_job one = submit(d, &r);
    assert_int_equal(jt_driver_next(d, &e, NULL), JT_OK);
    jt_driver_cancel(d, one);
    assert_int_equal(jt_driver_next(d, &e, NULL), JT_OK);
    assert_true(e.kind == JT_EVENT_END && e.reason == JT_END_CANCELLED && e.answer_tokens == 1);
    f.cancel_in = d, f.cancel_job = submit(d, &r);
    assert_int_equal(jt_driver_next(d, &e, NULL), JT_OK);
    assert_true(e.kind == JT_EVENT_END && e.reason == JT_END_CANCELLED && e.answer_tokens == 0);
    /* one of two is cancelled within the evaluation they share */
    job[0] = submit(d, &r), job[1] = f.cancel_job = submit(d, &r);
    finish(d, job, a, 2);
    assert_true(a[0].reason == JT_END_LENGTH && a[0].n == 20);
    assert_true(a[1].reason == JT_END_CANCELLED && a[1].n == 0);
    jt_driver_free(d);
    assert_int_equal(f.open, 0);
    fake_free(&f);
}

static void one_jobs_failure_is_its_own(void **state) {
    (void)state;
    static const int32_t bad[] = {'h', 7, 'i'};
    fake f;
    answer a[3], alone;
    fake_make(&f);
    jt_request r = request(NULL, 0), q = r;
    run_one(&f, &r, &alone);
    f.fail_at = 7;
    q.prompt = bad, q.n_prompt = 3;
    jt_driver *d = start(&f);
    jt_job job[3] = {submit(d, &r), submit(d, &q), submit(d, &r)};
    finish(d, job, a, 3);
    assert_true(a[1].reason == JT_END_ERROR && a[1].n == 0);
    assert_string_equal(a[1].message, "the fake model fails at token 7");
    assert_memory_equal(&a[0], &alone, sizeof alone);
    assert_memory_equal(&a[2], &alone, sizeof alone);
    jt_driver_free(d);
    fake_free(&f);
}

static float broken_value;
static float broken(const int32_t *ids, int n, int32_t id) { return n == 7 && id == 11 ? broken_value : fake_logit(ids, n, id); }

static void broken_logits_end_the_job(void **state) {
    (void)state;
    static const float value[] = {NAN, INFINITY, -INFINITY};
    fake f;
    answer a;
    fake_make(&f);
    f.logit = broken;
    for (int i = 0; i < 3; i++) {
        broken_value = value[i];
        jt_request r = request(NULL, 0);
        run_one(&f, &r, &a);
        assert_true(a.reason == JT_END_ERROR && a.n == 2);
        assert_non_null(strstr(a.message, "position 7: the logit of token 11 is"));
    }
    fake_free(&f);
}

static void dead_ends(void **state) {
    (void)state;
    fake f;
    answer a;
    char text[8000] = "logit-bias:0=-inf";
    for (int i = 1; i < FAKE_VOCAB; i++) snprintf(text + strlen(text), 20, ",%d=-inf", i);
    fake_make(&f);
    jt_pipeline *p = parse(text);
    jt_request r = request(p, 0);
    run_one(&f, &r, &a);
    assert_true(a.reason == JT_END_DEAD && a.n == 0);
    jt_pipeline_free(p);
    fake_free(&f);
}

/* ---- refusals ---- */

static jt_status needs_more(const void *par, const void *state, jt_dist *d, jt_step *s) {
    (void)par, (void)state, (void)d, (void)s;
    return JT_OK;
}

static void refusals_come_at_submission(void **state) {
    (void)state;
    static const int32_t bad[] = {1, 4000};
    static const char *const empty[] = {""};
    const jt_method hidden = {.name = "hidden", .kind = JT_STAGE, .needs = JT_NEEDS_GRADIENTS, .stage = {.run = needs_more}};
    jt_methods *mine;
    jt_pipeline *p, *two = parse("logit-bias:\"no such\"=1"), *range = parse("logit-bias:300=1"), *twice = parse("logit-bias:97=1,\"a\"=2");
    jt_error err;
    jt_job job;
    fake f;
    fake_make(&f);
    assert_int_equal(jt_methods_new(&mine, NULL), JT_OK);
    assert_int_equal(jt_methods_add(mine, &hidden, NULL), JT_OK);
    assert_int_equal(jt_pipeline_parse("hidden", mine, &p, NULL), JT_OK);
    jt_driver *d = start(&f);
    const struct {
        jt_request r;
        jt_status e;
        const char *say;
    } t[] = {
        {{.n_prompt = 5}, JT_INVALID, "the prompt is empty"},
        {{.prompt = hello}, JT_INVALID, "the prompt is empty"},
        {{.prompt = bad, .n_prompt = 2}, JT_INVALID, "prompt token 1 is 4000"},
        {{.prompt = hello, .n_prompt = 5, .max_tokens = -1}, JT_INVALID, "max_tokens is -1"},
        {{.prompt = hello, .n_prompt = 5, .context = -1}, JT_INVALID, "context is -1"},
        {{.prompt = hello, .n_prompt = 5, .context = 1 << 25}, JT_INVALID, "context is"},
        {{.prompt = hello, .n_prompt = 5, .context = 5}, JT_LIMIT, "the prompt has 5 tokens and the declared context 5"},
        {{.prompt = hello, .n_prompt = 5, .max_seconds = -1}, JT_INVALID, "max_seconds"},
        {{.prompt = hello, .n_prompt = 5, .max_seconds = (double)NAN}, JT_INVALID, "max_seconds"},
        {{.prompt = hello, .n_prompt = 5, .top_logprobs = 21}, JT_INVALID, "give 0 to 20"},
        {{.prompt = hello, .n_prompt = 5, .on_full = (jt_on_full)7}, JT_INVALID, "on_full"},
        {{.prompt = hello, .n_prompt = 5, .stop = empty, .n_stop = 1}, JT_INVALID, "stop string 0 is empty"},
        {{.prompt = hello, .n_prompt = 5, .stop = empty, .n_stop = 65}, JT_LIMIT, "at most 64"},
        {{.prompt = hello, .n_prompt = 5, .stop_ids = bad, .n_stop_ids = 2}, JT_INVALID, "stop id 4000"},
        {{.prompt = hello, .n_prompt = 5, .pipeline = p}, JT_UNSUPPORTED, "stage hidden needs gradients"},
        {{.prompt = hello, .n_prompt = 5, .pipeline = two}, JT_INVALID, "\"no such\" is 7 tokens of this model, not one"},
        {{.prompt = hello, .n_prompt = 5, .pipeline = range}, JT_INVALID, "token 300 is outside of the vocabulary"},
        {{.prompt = hello, .n_prompt = 5, .pipeline = twice}, JT_INVALID, "token 97 is given twice"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        assert_int_equal(jt_driver_submit(d, &t[i].r, &job, &err), t[i].e);
        if (!strstr(err.message, t[i].say)) fail_msg("%s", err.message);
    }
    jt_event e;
    assert_int_equal(jt_driver_next(d, &e, NULL), JT_OK);
    assert_true(!e.job && e.kind == JT_EVENT_END);
    jt_driver_free(d);
    f.ev.tokenizer = NULL;
    d = start(&f);
    static const char *const x[] = {"x"};
    jt_request r = {.prompt = hello, .n_prompt = 5, .stop = x, .n_stop = 1};
    assert_int_equal(jt_driver_submit(d, &r, &job, &err), JT_UNSUPPORTED);
    r.n_stop = 0, r.pipeline = two;
    assert_int_equal(jt_driver_submit(d, &r, &job, &err), JT_UNSUPPORTED);
    jt_driver_free(d);
    assert_int_equal(f.open, 0);
    jt_pipeline_free(p), jt_pipeline_free(two), jt_pipeline_free(range), jt_pipeline_free(twice);
    jt_methods_free(mine);
    fake_free(&f);
}

/* ---- custom stages, traces ---- */

struct counted {
    int pushes, last;
};

static jt_status counted_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct counted *c = state;
    int n;
    (void)par, (void)d;
    assert_int_equal(c->pushes, jt_step_position(s) - jt_step_prompt(s));
    assert_null(jt_step_history(s, &n)); /* not declared */
    assert_int_equal(n, 0);
    assert_null(jt_step_raw(s));
    assert_null(jt_step_tokenizer(s));
    if (jt_step_position(s) == 9) return jt_error_set(jt_step_error(s), JT_INVALID, "nine is enough");
    *(double *)jt_step_self(s) += jt_step_u(s, "x", 0);
    return JT_OK;
}

static void counted_push(const void *par, void *state, const jt_decision *made, jt_step *s) {
    struct counted *c = state;
    (void)par;
    assert_int_equal(made->position, jt_step_position(s));
    c->pushes++, c->last = made->id;
}

static void custom_stages_get_what_they_declare(void **state) {
    (void)state;
    double sum = 0;
    const jt_method row = {.name = "counted",
                           .kind = JT_STAGE,
                           .state_size = sizeof(struct counted),
                           .self = &sum,
                           .stage = {.run = counted_run, .push = counted_push}};
    jt_methods *mine;
    jt_pipeline *p;
    fake f;
    answer a;
    fake_make(&f);
    assert_int_equal(jt_methods_new(&mine, NULL), JT_OK);
    assert_int_equal(jt_methods_add(mine, &row, NULL), JT_OK);
    assert_int_equal(jt_pipeline_parse("temp:2 | counted", mine, &p, NULL), JT_OK);
    jt_request r = request(p, 3);
    run_one(&f, &r, &a);
    assert_true(a.reason == JT_END_ERROR && a.n == 4 && sum > 0);
    assert_string_equal(a.message, "stage counted, position 9: nine is enough");
    jt_pipeline_free(p);
    jt_methods_free(mine);
    fake_free(&f);
}

static void traces_tell_what_stages_did(void **state) {
    (void)state;
    fake f;
    answer plain;
    jt_event e;
    fake_make(&f);
    jt_pipeline *p = parse("temp:0.8 | top-k:4 | top-p:0.8");
    jt_request r = request(p, 3);
    run_one(&f, &r, &plain);
    jt_driver *d = start(&f);
    r.trace = 1;
    jt_job job = submit(d, &r);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(jt_driver_next(d, &e, NULL), JT_OK);
        assert_true(e.job == job && e.kind == JT_EVENT_TOKEN && e.decision.id == plain.id[i]);
        assert_true(e.n_top == 10 && e.n_stage == 3 && e.decision.entropy > 0 && e.decision.u > 0 && e.eval_seconds > 0);
        assert_string_equal(e.stage[0].method, "temp");
        assert_true(e.stage[0].before == FAKE_VOCAB && e.stage[0].after == FAKE_VOCAB && e.stage[0].mass == 1);
        assert_string_equal(e.stage[1].method, "top-k");
        assert_true(e.stage[1].after == 4 && e.stage[1].mass > 0 && e.stage[1].mass < 1);
        assert_true(e.stage[2].before == 4 && e.stage[2].mass >= 0.8f && e.stage[2].after == e.decision.candidates);
        int staged = 0;
        for (int k = 0; k < 10; k++) {
            if (k) assert_true(e.top[k].raw_logprob <= e.top[k - 1].raw_logprob);
            staged += e.top[k].logprob > -INFINITY;
            if (e.top[k].id == e.decision.id) assert_true(e.top[k].logprob == e.decision.logprob);
        }
        assert_int_equal(staged, e.decision.candidates);
    }
    jt_driver_free(d);
    /* top_logprobs alone */
    d = start(&f);
    r.trace = 0, r.top_logprobs = 2;
    submit(d, &r);
    assert_int_equal(jt_driver_next(d, &e, NULL), JT_OK);
    assert_true(e.n_top == 2 && e.n_stage == 0 && isnan(e.decision.entropy));
    jt_driver_free(d);
    jt_pipeline_free(p);
    fake_free(&f);
}

static jt_status idle(const void *par, void *state, const jt_results *r, jt_work *w) {
    (void)par, (void)state, (void)r, (void)w;
    return JT_OK;
}

static jt_status reads_too_early(const void *par, void *state, const jt_results *r, jt_work *w) {
    (void)par, (void)state;
    jt_decision d = jt_work_decide(w, r->out, 0);
    assert_int_equal(d.id, -1);
    jt_work_emit(w, &d);
    return JT_OK;
}

static void broken_strategies_end_their_job(void **state) {
    (void)state;
    const jt_method row[2] = {{.name = "idle", .kind = JT_STRATEGY, .strategy = {.advance = idle}},
                              {.name = "early", .kind = JT_STRATEGY, .strategy = {.advance = reads_too_early}}};
    static const char *const want[2] = {"the strategy idle asks for nothing", "the strategy early reads a row that is not there"};
    fake f;
    answer a;
    fake_make(&f);
    for (int i = 0; i < 2; i++) {
        jt_methods *mine;
        jt_pipeline *p;
        assert_int_equal(jt_methods_new(&mine, NULL), JT_OK);
        assert_int_equal(jt_methods_add(mine, &row[i], NULL), JT_OK);
        assert_int_equal(jt_pipeline_parse(row[i].name, mine, &p, NULL), JT_OK);
        jt_request r = request(p, 0);
        run_one(&f, &r, &a);
        assert_int_equal(a.reason, JT_END_ERROR);
        if (!strstr(a.message, want[i])) fail_msg("%s", a.message);
        jt_pipeline_free(p);
        jt_methods_free(mine);
    }
    fake_free(&f);
}

/* ---- memory ---- */

static void failed_allocations_leave_others_alone(void **state) {
    (void)state;
    static const char *const stop[] = {"zz"};
    fake f;
    answer want[2], a[2];
    fake_make(&f);
    jt_pipeline *p = parse("repeat-penalty:1.2 | logit-bias:\"a\"=1 | temp:0.9 | top-p:0.9");
    jt_request r = request(p, 3), q = request(NULL, 0);
    r.trace = 1, r.stop = stop, r.n_stop = 1;
    run_one(&f, &r, &want[0]);
    run_one(&f, &q, &want[1]);
    int hurt = 0, refused = 0;
    for (long i = 0;; i++) {
        jt_driver *d = NULL;
        jt_job job[2] = {0};
        jt_error err = {0};
        alloc_fail_at(i);
        jt_status e = jt_driver_new_with(&f.ev, &d, &err);
        for (int k = 0; e == JT_OK && k < 2; k++) {
            jt_status s = jt_driver_submit(d, k ? &q : &r, &job[k], &err);
            refused += s != JT_OK;
            assert_true(s == JT_OK || (s == JT_NOMEM && err.message[0]));
        }
        if (e == JT_OK) {
            finish(d, job, a, 2);
            for (int k = 0; k < 2; k++) {
                if (!job[k]) continue;
                hurt += a[k].reason == JT_END_ERROR;
                if (a[k].reason == JT_END_ERROR)
                    assert_non_null(strstr(a[k].message, "out of memory"));
                else
                    assert_memory_equal(&a[k], &want[k], sizeof *a);
            }
            assert_true(a[0].reason != JT_END_ERROR || a[1].reason != JT_END_ERROR);
        } else {
            assert_int_equal(e, JT_NOMEM);
        }
        long asked = alloc_count();
        alloc_fail_at(-1);
        jt_driver_free(d);
        assert_int_equal(f.open, 0);
        if (asked <= i) break;
    }
    assert_true(hurt > 0 && refused > 10);
    jt_pipeline_free(p);
    fake_free(&f);
}

static void no_allocation_per_token(void **state) {
    (void)state;
    fake f;
    jt_event e;
    fake_make(&f);
    f.ev.context = 2000;
    jt_pipeline *p = parse("repeat-penalty:1.2 | temp:0.9 | top-p:0.9");
    jt_request r = request(p, 3);
    r.max_tokens = 400;
    jt_driver *d = start(&f);
    submit(d, &r);
    for (int i = 0; i < 100; i++) assert_int_equal(jt_driver_next(d, &e, NULL), JT_OK);
    int evals = f.evals;
    alloc_fail_at(-1);
    for (int i = 0; i < 200; i++) assert_int_equal(jt_driver_next(d, &e, NULL), JT_OK);
    assert_int_equal(alloc_count(), f.evals - evals); /* the fake model's own, one an evaluation */
    jt_driver_free(d);
    jt_pipeline_free(p);
    fake_free(&f);
}

static void names_of_reasons(void **state) {
    (void)state;
    assert_string_equal(jt_end_reason_name(JT_END_CONTEXT), "context");
    assert_string_equal(jt_end_reason_name((jt_end_reason)99), "unknown-reason");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_follows_the_model),
        cmocka_unit_test(logprobs_are_those_of_the_distributions),
        cmocka_unit_test(answers_do_not_depend_on_company),
        cmocka_unit_test(long_prompts_come_in_pieces_beside_others),
        cmocka_unit_test(seeds_and_choices_differ),
        cmocka_unit_test(stop_strings_across_tokens),
        cmocka_unit_test(characters_come_whole),
        cmocka_unit_test(special_tokens_are_text_only_when_asked),
        cmocka_unit_test(context_and_time_end_answers),
        cmocka_unit_test(cancelling),
        cmocka_unit_test(one_jobs_failure_is_its_own),
        cmocka_unit_test(broken_logits_end_the_job),
        cmocka_unit_test(dead_ends),
        cmocka_unit_test(refusals_come_at_submission),
        cmocka_unit_test(custom_stages_get_what_they_declare),
        cmocka_unit_test(traces_tell_what_stages_did),
        cmocka_unit_test(broken_strategies_end_their_job),
        cmocka_unit_test(failed_allocations_leave_others_alone),
        cmocka_unit_test(no_allocation_per_token),
        cmocka_unit_test(names_of_reasons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
