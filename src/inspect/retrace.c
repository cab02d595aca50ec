/* retrace.c: an answer that goes on from one of its tokens with another candidate. */
#include <string.h>

#include "core/mem.h"
#include "decode/work.h"
#include "inspect/trace.h"
#include "inspect/view.h"

typedef struct retrace_par {
    const jt_trace_answer *a;
    size_t at;
    int32_t id;
    bool best;
} retrace_par;

typedef struct retrace_state {
    int at;
    size_t token;
} retrace_state;

static jt_decision retrace_decide(const retrace_par *p, const jt_results *r, jt_work *w, size_t token) {
    if (token < p->at) return jt_work_choose(w, r->out, p->a->token[token].decision.id);
    if (token == p->at) return jt_work_choose(w, r->out, p->id);
    return p->best ? jt_work_best(w, r->out) : jt_work_decide(w, r->out, 0);
}

static jt_status retrace_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    retrace_state *s = state;
    JT_BEGIN(s);
    for (;; s->token++) {
        jt_work_next(w, JT_MAIN);
        JT_AWAIT(s);
        jt_work_say(w, JT_MAIN, retrace_decide(par, r, w, s->token));
    }
    JT_END(w);
}

static const jt_method retrace_row = {.name = "go-on",
                                      .kind = JT_STRATEGY,
                                      .param_size = sizeof(retrace_par),
                                      .state_size = sizeof(retrace_state),
                                      .strategy = {.advance = retrace_advance}};

static jt_status retrace_run(jt_driver *d, const jt_request *q, jt_trace_writer *w, jt_error *err) {
    jt_job job;
    jt_event e = {0};
    jt_status s = jt_driver_submit(d, q, &job, err);
    if (s == JT_OK) s = jt_trace_write_request(w, job, q, err);
    while (s == JT_OK) {
        s = jt_driver_next(d, &e, err);
        if (s == JT_OK && !e.job) break;
        if (s == JT_OK) s = jt_trace_write_event(w, &e, err);
        if (s == JT_OK && e.kind == JT_EVENT_END && e.reason == JT_END_ERROR) s = jt_error_set(err, JT_INVALID, "%s", e.message);
    }
    return s == JT_OK ? jt_trace_write_end(w, err) : s;
}

jt_status jt_trace_continue(const jt_trace_job *j, const jt_trace_answer *a, size_t at, int32_t id, jt_driver *d, const jt_methods *extra,
                            jt_trace_put put, void *self, jt_error *err) {
    retrace_par par = {.a = a, .at = at, .id = id};
    jt_request q = j->request;
    jt_pipeline *p = NULL;
    jt_trace_writer *w = NULL;
    jt_status s = jt_pipeline_parse(j->pipeline, extra, &p, err);
    if (s == JT_OK) s = jt_trace_writer_new(put, self, &w, err);
    if (s == JT_OK) {
        jt_trace_writer_of(w, d->model->ev.vocab, d->model->ev.tokenizer);
        par.best = !strcmp(p->strategy[p->n_strategy - 1].m->name, "greedy");
        p->strategy[0] = (jt_node){.m = &retrace_row, .par = &par}, p->n_strategy = 1;
        q.pipeline = p, q.trace = 1, q.on_full = JT_FULL_STOP;
        q.choice += (uint32_t)(a->answer > 0 ? a->answer : 0);
        s = retrace_run(d, &q, w, err);
    }
    jt_trace_writer_free(w);
    jt_pipeline_free(p);
    return s;
}
