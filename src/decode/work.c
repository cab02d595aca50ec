/* work.c: what strategies ask for, and the pipeline over one row. */
#include <float.h>

#include "core/random.h"
#include "decode/driver.h"

static jt_step work_step(const jt_work *w, const jt_node *node) {
    jt_driver *d = w->d;
    jt_live *j = w->j;
    return (jt_step){.method = node->m,
                     .occurrence = node->occurrence,
                     .vocab = d->ev.vocab,
                     .history = j->ids,
                     .n = j->n,
                     .n_prompt = j->n_prompt,
                     .seed = j->seed,
                     .stream = j->stream,
                     .tokenizer = d->ev.tokenizer,
                     .raw = d->raw,
                     .seen = d->seen,
                     .count = d->count,
                     .err = &j->error};
}

static void work_fail(jt_work *w, jt_status e) {
    if (w->status == JT_OK) w->status = e;
}

void jt_work_next(jt_work *w, jt_slot slot) {
    if (slot != JT_MAIN)
        work_fail(w, jt_error_set(&w->j->error, JT_UNSUPPORTED, "the strategy %s asks for slot %d; this driver has the main slot alone",
                                  w->j->pipeline->strategy[0].m->name, slot));
    w->asked = true;
}

/* Probability that survived a stage, under what came in. */
static float work_mass(jt_dist *before, jt_dist *after) {
    if (jt_dist_count(before) == jt_dist_count(after)) return 1;
    double sum = 0;
    for (int32_t id = jt_dist_next(after, -1); id >= 0; id = jt_dist_next(after, id)) sum += jt_dist_p(before, id);
    return (float)(sum < 1 ? sum : 1);
}

static jt_status work_run_stage(jt_work *w, int i) {
    jt_driver *d = w->d;
    jt_live *j = w->j;
    const jt_node *node = &j->pipeline->stage[i];
    jt_step step = work_step(w, node);
    double start = 0;
    int before = jt_dist_count(d->staged);
    if (j->trace) {
        jt_dist_copy(d->before, d->staged);
        start = d->ev.now(d->ev.self);
    }
    j->error.message[0] = 0;
    jt_status e = node->m->stage.run(node->par, j->stage_state[i], d->staged, &step);
    if (e != JT_OK && !j->error.message[0]) jt_error_set(&j->error, e, "the stage failed without a message");
    if (e != JT_OK) return jt_error_in(&j->error, e, "stage %s, position %d", node->m->name, j->n);
    if (j->trace)
        j->trace_now[i] = (jt_stage_trace){.method = node->m->name,
                                           .before = before,
                                           .after = jt_dist_count(d->staged),
                                           .mass = work_mass(d->before, d->staged),
                                           .seconds = (float)(d->ev.now(d->ev.self) - start)};
    return e;
}

/* The model's row into d->raw; refused if it is broken. */
static jt_status work_load(jt_work *w) {
    jt_driver *d = w->d;
    jt_live *j = w->j;
    jt_status e = jt_dist_load(d->raw, j->logits, &j->error);
    if (e == JT_OK && jt_dist_count(d->raw) != d->ev.vocab) {
        int i = 0;
        while (j->logits[i] >= -FLT_MAX) i++;
        e = jt_error_set(&j->error, JT_INVALID, "the logit of token %d is infinite; the model file may be damaged, or its numbers overflow",
                         i);
    }
    if (e == JT_OK && !isfinite(j->log_sum)) e = jt_error_set(&j->error, JT_INVALID, "the logits have no finite sum");
    return e == JT_OK ? e : jt_error_in(&j->error, e, "position %d", j->n);
}

/* A row can be read until something is pushed after it. */
static jt_status work_there(const jt_work *w, const jt_out *o) {
    if (w->j->started && o->position == w->j->n) return JT_OK;
    return jt_error_set(&w->j->error, JT_INVALID, "the strategy %s reads a row that is not there", w->j->pipeline->strategy[0].m->name);
}

/* The pipeline over the row, once. */
static jt_status work_stage(jt_work *w, const jt_out *o) {
    jt_driver *d = w->d;
    jt_live *j = w->j;
    if (w->staged) return JT_OK;
    jt_status e = work_there(w, o);
    if (e == JT_OK) e = work_load(w);
    if (e == JT_OK) jt_dist_view(d->staged, d->raw);
    for (int i = 0; e == JT_OK && i < j->pipeline->n_stage; i++) e = work_run_stage(w, i);
    w->staged = e == JT_OK;
    return e;
}

jt_dist *jt_work_raw(jt_work *w, const jt_out *o) {
    jt_status e = w->status;
    if (e == JT_OK) e = work_there(w, o);
    if (e == JT_OK && !w->staged) e = work_load(w);
    work_fail(w, e);
    return w->status == JT_OK ? w->d->raw : NULL;
}

jt_dist *jt_work_staged(jt_work *w, const jt_out *o) {
    if (w->status == JT_OK) w->status = work_stage(w, o);
    return w->status == JT_OK ? w->d->staged : NULL;
}

static float work_logprob(jt_work *w, int32_t id, float raw) {
    return w->j->pipeline->n_stage ? (float)jt_dist_lnp(w->d->staged, id) : raw;
}

static float work_raw_logprob(const jt_work *w, int32_t id) { return (float)((double)w->j->logits[id] - w->j->log_sum); }

/* Fills in what is recorded of a decision for `id` at the row. */
static jt_decision work_record(jt_work *w, int32_t id, double u, uint32_t attempt) {
    jt_driver *d = w->d;
    jt_live *j = w->j;
    jt_decision made = {.id = id, .position = j->n, .raw_logprob = NAN, .logprob = NAN, .u = u, .attempt = attempt, .entropy = NAN};
    made.candidates = jt_dist_count(d->staged);
    if (j->trace) made.entropy = (float)j->entropy;
    if (id >= 0) {
        made.raw_logprob = work_raw_logprob(w, id);
        made.logprob = work_logprob(w, id, made.raw_logprob);
    }
    j->decided = j->n;
    j->n_trace = j->trace ? j->pipeline->n_stage : 0;
    j->n_top = j->top < d->ev.vocab ? j->top : d->ev.vocab;
    const jt_cand *c = jt_dist_top(d->raw, j->n_top);
    for (int i = 0; i < j->n_top; i++) {
        float raw = work_raw_logprob(w, c[i].id);
        j->top_now[i] = (jt_candidate){.id = c[i].id, .raw_logprob = raw, .logprob = work_logprob(w, c[i].id, raw)};
    }
    return made;
}

static const jt_decision work_nothing = {.id = -1, .position = -1, .raw_logprob = NAN, .logprob = NAN, .u = NAN, .entropy = NAN};

jt_decision jt_work_decide(jt_work *w, const jt_out *o, uint32_t attempt) {
    jt_dist *staged = jt_work_staged(w, o);
    if (!staged) return work_nothing;
    jt_live *j = w->j;
    double u = jt_random_u(
        &(jt_address){.seed = j->seed, .stream = j->stream, .position = (uint32_t)j->n, .site = w->d->site, .attempt = attempt});
    return work_record(w, jt_dist_draw(staged, u), u, attempt);
}

jt_decision jt_work_best(jt_work *w, const jt_out *o) {
    jt_dist *staged = jt_work_staged(w, o);
    if (!staged) return work_nothing;
    return work_record(w, jt_dist_count(staged) ? jt_dist_top(staged, 1)->id : -1, NAN, 0);
}

void jt_work_push(jt_work *w, jt_slot slot, const jt_decision *made) {
    jt_live *j = w->j;
    if (w->status != JT_OK || j->end != JT_END_NONE || made->id < 0) return;
    if (slot != JT_MAIN || made->id >= w->d->ev.vocab || j->n >= j->context) {
        work_fail(w, jt_error_set(&j->error, JT_LIMIT,
                                  "the strategy %s pushes token %d at position %d of slot %d; the declared context has %d",
                                  j->pipeline->strategy[0].m->name, (int)made->id, j->n, slot, j->context));
        return;
    }
    for (int i = 0; i < j->pipeline->n_stage; i++) {
        const jt_node *node = &j->pipeline->stage[i];
        jt_step step = work_step(w, node);
        if (node->m->stage.push) node->m->stage.push(node->par, j->stage_state[i], made, &step);
    }
    j->ids[j->n++] = made->id;
    w->staged = false;
}

void jt_work_emit(jt_work *w, const jt_decision *made) {
    if (w->status != JT_OK || w->j->end != JT_END_NONE) return;
    if (made->id < 0)
        jt_live_end(w->d, w->j, JT_END_DEAD);
    else
        work_fail(w, jt_answer_take(w->d, w->j, made, &w->j->error));
}

void jt_work_done(jt_work *w, jt_end_reason why) {
    if (w->status == JT_OK && w->j->end == JT_END_NONE) jt_live_end(w->d, w->j, why);
}

void jt_live_advance(jt_driver *d, jt_live *j) {
    const jt_node *s = &j->pipeline->strategy[0];
    jt_work w = {.d = d, .j = j};
    jt_out out = {.slot = JT_MAIN, .position = j->n};
    jt_results r = {.out = &out, .n_out = j->started};
    j->error.message[0] = 0;
    j->decided = -1;
    jt_status e = s->m->strategy.advance(s->par, j->strategy_state, &r, &w);
    if (e != JT_OK && !j->error.message[0]) jt_error_set(&j->error, e, "the strategy %s failed without a message", s->m->name);
    if (e == JT_OK) e = w.status;
    if (e == JT_OK && !w.asked && j->end == JT_END_NONE)
        e = jt_error_set(&j->error, JT_INVALID, "the strategy %s asks for nothing and is not done", s->m->name);
    j->started = true, j->waits = w.asked;
    if (e != JT_OK && j->end == JT_END_NONE) jt_live_end(d, j, JT_END_ERROR);
}
