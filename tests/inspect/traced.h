/* traced.h: traces of runs on the fake model, in memory. */
#ifndef TESTS_INSPECT_TRACED_H
#define TESTS_INSPECT_TRACED_H

#include "../decode/harness.h"
#include "core/str.h"
#include "inspect/trace.h"
#include "jeton/trace.h"

static inline jt_status into_string(void *self, const char *s, size_t n, jt_error *err) {
    jt_str_add(self, s, n);
    return jt_str_check(self, err);
}

/* The request's trace. JT_OK, or why there is none. */
static inline jt_status traced_run(fake *f, jt_driver *d, const jt_request *r, bool footer, jt_str *o, jt_error *err) {
    jt_trace_writer *w = NULL;
    jt_job job = 0;
    jt_event e = {0};
    jt_status s = jt_trace_writer_new(into_string, o, &w, err);
    if (w) jt_trace_writer_of(w, FAKE_VOCAB, f->tokenizer);
    if (s == JT_OK) s = jt_driver_submit(d, r, &job, err);
    if (s == JT_OK) s = jt_trace_write_request(w, job, r, err);
    while (s == JT_OK && (s = jt_driver_next(d, &e, err)) == JT_OK && e.job) s = jt_trace_write_event(w, &e, err);
    if (s == JT_OK && footer) s = jt_trace_write_end(w, err);
    jt_trace_writer_free(w);
    return s;
}

/* One job of a pipeline, as a trace that was read back. */
static inline jt_trace *traced(fake *f, const char *pipeline, uint64_t seed, int tokens, int candidates, jt_str *text) {
    jt_driver *d = driver_of(f);
    jt_pipeline *p = parse_with(pipeline, NULL);
    jt_request r = request_of(p, seed, tokens);
    jt_trace *t = NULL;
    jt_error err;
    r.trace = 1, r.trace_candidates = candidates;
    if (traced_run(f, d, &r, true, text, &err) != JT_OK) fail_msg("%s: %s", pipeline, err.message);
    jt_driver_free(d);
    jt_pipeline_free(p);
    if (jt_trace_parse(text->s, text->n, &t, &err) != JT_OK) fail_msg("%s: %s", pipeline, err.message);
    return t;
}

#endif
