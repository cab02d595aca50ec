/* Pipelines drawn from the table of methods, each stage of the table in at least one: the text is the same alone, beside all
 * others, on two threads with prompts cut into small pieces, and in a branch of a fork. New stages are tested here without a
 * line of their own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "decode/random_pipeline.h"
#include "jeton/decode.h"
#include "model/tiny_llama.h"

enum { TOKENS = 14, CASES = 128, TEXT = 1400 };

typedef struct answer {
    int32_t id[TOKENS];
    float raw[TOKENS], staged[TOKENS];
    double u[TOKENS];
    int n;
    jt_end_reason reason;
} answer;

typedef struct pipe_case {
    char text[TEXT];
    jt_pipeline *plain, *forked;
} pipe_case;

static pipe_case *cases;
static int n_cases;

static void ok(jt_status st, const jt_error *err) {
    if (st) fail_msg("%s: %s", jt_status_name(st), err->message);
}

static jt_status submit(jt_driver *d, const jt_pipeline *p, int k, uint32_t choice, int vocab, jt_job *job, jt_error *err) {
    int32_t ids[64];
    int n = 1 + k * 7 % 40;
    for (int i = 0; i < n; i++) ids[i] = (i * 37 + k * 11 + 3) % vocab;
    jt_request r = {.prompt = ids, .n_prompt = (size_t)n, .pipeline = p, .seed = (uint64_t)k, .choice = choice, .max_tokens = TOKENS};
    r.context = 128, r.ignore_end = 1;
    return jt_driver_submit(d, &r, job, err);
}

/* Everything that n jobs say, answer i of job k in out[k * each + i]. */
static void gather(jt_driver *d, const jt_job *job, int n, int each, answer *out) {
    jt_error err;
    memset(out, 0, (size_t)(n * each) * sizeof *out);
    for (jt_event e;;) {
        ok(jt_driver_next(d, &e, &err), &err);
        if (!e.job) return;
        int k = 0;
        while (k < n && job[k] != e.job) k++;
        assert_true(k < n && e.answer < each);
        answer *a = &out[k * each + e.answer];
        if (e.kind == JT_EVENT_TOKEN) {
            assert_true(a->n < TOKENS);
            a->id[a->n] = e.decision.id, a->u[a->n] = e.decision.u;
            a->raw[a->n] = e.decision.raw_logprob, a->staged[a->n++] = e.decision.logprob;
        } else if (e.kind == JT_EVENT_ANSWER || each == 1) {
            if (e.reason == JT_END_ERROR) fail_msg("%s: %s", cases[k].text, e.message ? e.message : "");
            a->reason = e.reason;
        }
    }
}

static void same(const answer *a, const answer *b, const char *text, const char *how) {
    if (a->n != b->n || memcmp(a->id, b->id, sizeof a->id) || memcmp(a->raw, b->raw, sizeof a->raw) ||
        memcmp(a->staged, b->staged, sizeof a->staged) || memcmp(a->u, b->u, sizeof a->u) || a->reason != b->reason)
        fail_msg("%s: another answer %s", text, how);
}

static void alone(jt_model *m, int vocab, uint32_t choice, answer *out) {
    jt_error err;
    for (int k = 0; k < n_cases; k++) {
        jt_driver *d;
        jt_job job;
        ok(jt_driver_new(m, &d, &err), &err);
        ok(submit(d, cases[k].plain, k, choice, vocab, &job, &err), &err);
        gather(d, &job, 1, 1, &out[k]);
        jt_driver_free(d);
    }
}

static void together(jt_model *m, int vocab, bool forked, answer *out) {
    jt_error err;
    jt_driver *d;
    jt_job job[CASES];
    ok(jt_driver_new(m, &d, &err), &err);
    for (int k = 0; k < n_cases; k++) ok(submit(d, forked ? cases[k].forked : cases[k].plain, k, 0, vocab, &job[k], &err), &err);
    gather(d, job, n_cases, forked ? 2 : 1, out);
    jt_driver_free(d);
}

static jt_model *open_model(const char *path, int threads, int ubatch, jt_engine **e) {
    jt_error err;
    jt_model *m;
    ok(jt_engine_new(&(jt_engine_options){.threads = threads}, e, &err), &err);
    ok(jt_model_open(*e, path, &(jt_model_options){.ubatch = ubatch}, &m, &err), &err);
    return m;
}

/* Cases that the driver takes: each stage of the table with others around it, in an order of chance. */
static void draw_cases(jt_model *m, int vocab, uint64_t seed) {
    const jt_method *method;
    draws d = {seed};
    jt_error err;
    n_cases = 0;
    for (int i = 0; (method = jt_method_at(NULL, i)) && n_cases < CASES; i++) {
        if (!method_is_plain(method)) continue;
        pipe_case *c = &cases[n_cases];
        char other[TEXT / 2], with[TEXT];
        jt_driver *driver;
        jt_job job;
        draw_pipeline(&d, draw_below(&d, 4), vocab, other, sizeof other);
        c->text[0] = 0;
        if (draw_below(&d, 2) && *other) snprintf(c->text, TEXT, "%s | ", other), *other = 0;
        draw_method(&d, method, vocab, c->text, TEXT);
        if (*other) snprintf(c->text + strlen(c->text), TEXT - strlen(c->text), " | %s", other);
        snprintf(with, sizeof with, "parallel:2 > sample | %.1300s", c->text);
        if (jt_pipeline_parse(c->text, NULL, &c->plain, &err)) fail_msg("%s: %s", c->text, err.message);
        if (jt_pipeline_parse(with, NULL, &c->forked, &err)) fail_msg("%s: %s", with, err.message);
        ok(jt_driver_new(m, &driver, &err), &err);
        jt_status e = submit(driver, c->plain, n_cases, 0, vocab, &job, &err);
        jt_driver_free(driver);
        if (e == JT_OK) {
            n_cases++;
        } else { /* a stage that wants text without a tokenizer, say: by name */
            assert_true(strlen(err.message) > 10);
            jt_pipeline_free(c->plain), jt_pipeline_free(c->forked);
        }
    }
    assert_true(n_cases >= 20);
}

static void same_text(void **unused) {
    (void)unused;
    char path[] = "/tmp/jeton-random-XXXXXX";
    tiny_llama t = tiny_llama_of(JT_F32);
    int fd = mkstemp(path), rounds = getenv("JETON_TEST_LONG") ? 20 : 1;
    answer *first = calloc(CASES, sizeof *first), *second = calloc(CASES, sizeof *second), *got = calloc(2 * CASES, sizeof *got);
    cases = calloc(CASES, sizeof *cases);
    assert_true(fd >= 0 && close(fd) == 0 && first && second && got && cases);
    tiny_llama_write(path, &t);
    for (int round = 0; round < rounds; round++) {
        jt_engine *e, *f;
        jt_model *m = open_model(path, 1, 0, &e), *cut = open_model(path, 2, 3, &f);
        jt_model_info info;
        jt_model_get_info(m, &info);
        draw_cases(m, info.vocab, (uint64_t)round + 11);
        alone(m, info.vocab, 0, first);
        alone(m, info.vocab, 1, second);
        together(m, info.vocab, false, got);
        for (int k = 0; k < n_cases; k++) same(&first[k], &got[k], cases[k].text, "beside others");
        together(cut, info.vocab, false, got);
        for (int k = 0; k < n_cases; k++) same(&first[k], &got[k], cases[k].text, "with its prompt in pieces, on two threads");
        together(m, info.vocab, true, got);
        for (int k = 0; k < n_cases; k++) {
            same(&first[k], &got[2 * k], cases[k].text, "in the first branch of a fork");
            same(&second[k], &got[2 * k + 1], cases[k].text, "in the second branch of a fork");
        }
        for (int k = 0; k < n_cases; k++) jt_pipeline_free(cases[k].plain), jt_pipeline_free(cases[k].forked);
        jt_model_free(m), jt_model_free(cut);
        jt_engine_free(e), jt_engine_free(f);
    }
    unlink(path);
    free(first), free(second), free(got), free(cases);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
