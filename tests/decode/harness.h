/* harness.h: running jobs on the fake model and keeping what they say. */
#ifndef TESTS_DECODE_HARNESS_H
#define TESTS_DECODE_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "fake.h"

enum { ANSWERS = 16 };

/* One answer of a job. */
typedef struct said {
    int32_t id[FAKE_CONTEXT];
    float raw[FAKE_CONTEXT], staged[FAKE_CONTEXT];
    double u[FAKE_CONTEXT];
    int n, note, n_note;
    char text[2048];
    size_t n_text;
    jt_end_reason reason; /* of JT_EVENT_ANSWER */
} said;

typedef struct told {
    said a[ANSWERS];
    int answers;        /* given as a whole */
    int order[ANSWERS]; /* their numbers */
    jt_end_reason reason;
    char message[504];
} told;

static const int32_t hello[] = {'h', 'e', 'l', 'l', 'o'};

static void told_note(told *t, const jt_event *e) {
    assert_in_range(e->answer, 0, ANSWERS - 1);
    said *a = &t->a[e->answer];
    assert_true(a->n_text + e->n_text < sizeof a->text);
    memcpy(a->text + a->n_text, e->text, e->n_text);
    a->n_text += e->n_text;
    if (e->kind == JT_EVENT_TOKEN) {
        assert_int_equal(e->answer_tokens, a->n + 1);
        a->id[a->n] = e->decision.id, a->u[a->n] = e->decision.u;
        a->raw[a->n] = e->decision.raw_logprob, a->staged[a->n] = e->decision.logprob;
        a->n++;
    } else if (e->kind == JT_EVENT_ANSWER) {
        assert_int_equal(e->answer_tokens, a->n);
        a->reason = e->reason, a->n_note = e->n_note;
        if (e->n_note) a->note = e->note[0];
        t->order[t->answers++] = e->answer;
    } else {
        t->reason = e->reason;
        if (e->message) memcpy(t->message, e->message, strlen(e->message) + 1);
    }
}

static jt_pipeline *parse_with(const char *text, const jt_methods *m) {
    jt_pipeline *p = NULL;
    jt_error err;
    if (jt_pipeline_parse(text, m, &p, &err) != JT_OK) fail_msg("%s: %s", text, err.message);
    return p;
}

/* The built-in methods and n of a test's own, for a group setup: 0 when that went well. */
static inline int methods_with(jt_methods **m, const jt_method *rows, size_t n) {
    if (!*m && jt_methods_new(m, NULL) != JT_OK) return 1;
    for (size_t i = 0; i < n; i++)
        if (jt_methods_add(*m, &rows[i], NULL) != JT_OK) return 1;
    return 0;
}

static inline jt_driver *driver_of(fake *f) {
    jt_driver *d = NULL;
    jt_error err;
    if (jt_driver_new_with(&f->ev, &d, &err) != JT_OK) fail_msg("%s", err.message);
    return d;
}

static inline void finish_all(jt_driver *d, const jt_job *job, told *t, int n) {
    memset(t, 0, (size_t)n * sizeof *t);
    for (jt_event e;;) {
        assert_int_equal(jt_driver_next(d, &e, NULL), JT_OK);
        if (!e.job) return;
        int i = 0;
        while (i < n && job[i] != e.job) i++;
        assert_true(i < n);
        assert_int_equal(t[i].reason, JT_END_NONE);
        told_note(&t[i], &e);
    }
}

static inline jt_request request_of(const jt_pipeline *p, uint64_t seed, int tokens) {
    return (jt_request){.prompt = hello, .n_prompt = 5, .pipeline = p, .seed = seed, .max_tokens = tokens, .ignore_end = 1};
}

static inline void run_request(jt_driver *d, const jt_request *r, told *t) {
    jt_job job;
    jt_error err;
    if (jt_driver_submit(d, r, &job, &err) != JT_OK) fail_msg("%s", err.message);
    finish_all(d, &job, t, 1);
}

/* The request alone, on a driver of its own. */
static inline void run_text(fake *f, const char *text, const jt_methods *m, uint64_t seed, int tokens, told *t) {
    jt_driver *d = driver_of(f);
    jt_pipeline *p = parse_with(text, m);
    jt_request r = request_of(p, seed, tokens);
    run_request(d, &r, t);
    jt_driver_free(d);
    jt_pipeline_free(p);
    assert_int_equal(f->open, 0);
}

static inline void same_said(const said *a, const said *b) {
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->id, b->id, (size_t)a->n * sizeof *a->id);
    assert_memory_equal(a->raw, b->raw, (size_t)a->n * sizeof *a->raw);
    assert_memory_equal(a->staged, b->staged, (size_t)a->n * sizeof *a->staged);
    assert_string_equal(a->text, b->text);
}

#endif
