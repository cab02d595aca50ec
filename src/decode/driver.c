/* driver.c: jobs from submission to their last event. */
#include "decode/driver.h"

#include <limits.h>
#include <string.h>

#include "core/random.h"

enum { STOPS_MOST = 64, STOP_LENGTH_MOST = 4096, CONTEXT_MOST = 1 << 24 };

const char *jt_end_reason_name(jt_end_reason r) {
    static const char *const name[] = {[JT_END_NONE] = "none",     [JT_END_TOKEN] = "end",           [JT_END_STOP] = "stop",
                                       [JT_END_LENGTH] = "length", [JT_END_TIME] = "time",           [JT_END_CONTEXT] = "context",
                                       [JT_END_DEAD] = "dead",     [JT_END_CANCELLED] = "cancelled", [JT_END_ERROR] = "error"};
    return (unsigned)r < sizeof name / sizeof *name ? name[r] : "unknown-reason";
}

/* ---- the driver ---- */

jt_status jt_driver_new_with(const jt_evaluator *ev, jt_driver **out, jt_error *err) {
    jt_driver *d = jt_alloc(1, sizeof *d);
    if (!d) return jt_nomem(err, "a driver", 1, sizeof *d);
    d->ev = *ev;
    d->site = jt_random_site("sample", 0, "draw");
    jt_status e = jt_pipeline_parse("greedy", NULL, &d->greedy, err);
    if (e == JT_OK) e = jt_dist_new(ev->vocab, ev->kernels, &d->raw, err);
    if (e == JT_OK) e = jt_dist_new(ev->vocab, ev->kernels, &d->staged, err);
    if (e == JT_OK) e = jt_dist_new(ev->vocab, ev->kernels, &d->before, err);
    if (e == JT_OK &&
        (!(d->seen = jt_alloc((size_t)ev->vocab, sizeof *d->seen)) || !(d->count = jt_alloc((size_t)ev->vocab, sizeof *d->count))))
        e = jt_nomem(err, "the counts of a driver", (size_t)ev->vocab, sizeof *d->count);
    if (e != JT_OK) {
        jt_driver_free(d);
        return e;
    }
    *out = d;
    return JT_OK;
}

static void live_free(jt_driver *d, jt_live *j) {
    if (!j) return;
    if (j->state) d->ev.close(d->ev.self, j->state);
    for (size_t i = 0; j->stop && i < j->n_stop; i++) jt_free(j->stop[i]);
    for (int i = 0; j->stage_state && i < j->pipeline->n_stage; i++) jt_free(j->stage_state[i]);
    jt_free(j->stop), jt_free(j->stop_len), jt_free(j->stop_ids), jt_free(j->ids), jt_free(j->logits);
    jt_free(j->strategy_state), jt_free(j->stage_state), jt_free(j->trace_now), jt_free(j->held);
    jt_free(j->record), jt_free(j->top_all), jt_free(j->stage_all);
    jt_str_free(&j->text);
    jt_free(j);
}

void jt_driver_free(jt_driver *d) {
    if (!d) return;
    live_free(d, d->gone);
    while (d->first) {
        jt_live *j = d->first;
        d->first = j->next;
        live_free(d, j);
    }
    jt_pipeline_free(d->greedy);
    jt_dist_free(d->raw), jt_dist_free(d->staged), jt_dist_free(d->before);
    jt_free(d->seen), jt_free(d->count), jt_free(d->span), jt_free(d->want), jt_free(d->of);
    jt_free(d);
}

void jt_driver_cancel(jt_driver *d, jt_job job) {
    _Atomic uint64_t *cell = &d->cancelled[job % JT_JOBS];
    uint64_t old = atomic_load(cell);
    while (old < job && !atomic_compare_exchange_weak(cell, &old, job)) {
    }
}

bool jt_live_cancelled(const jt_driver *d, const jt_live *j) { return atomic_load(&d->cancelled[j->id % JT_JOBS]) == j->id; }

void jt_live_end(jt_driver *d, jt_live *j, jt_end_reason why) {
    j->end = why;
    j->ended = d->ev.now(d->ev.self);
    j->end_text = j->text.n;
    jt_answer_flush(j);
}

/* ---- submitting ---- */

static jt_status submit_method(const jt_method *m, jt_error *err) {
    static const struct {
        uint32_t need;
        const char *what;
    } missing[] = {{JT_NEEDS_HIDDEN, "the hidden state of a layer"},
                   {JT_NEEDS_MODEL2, "a second model"},
                   {JT_NEEDS_SIBLINGS, "the other branches of the request"},
                   {JT_NEEDS_GRADIENTS, "gradients"}};
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++)
        if (m->needs & missing[i].need)
            return jt_error_set(err, JT_UNSUPPORTED, "%s %s needs %s, which this build cannot give", jt_kind_name(m->kind), m->name,
                                missing[i].what);
    if (m->kind == JT_STRATEGY && m->strategy.inner)
        return jt_error_set(err, JT_UNSUPPORTED, "strategy %s drives an inner strategy, which this build cannot give", m->name);
    return JT_OK;
}

/* Everything about the request that needs no memory to judge. */
static jt_status submit_check(const jt_driver *d, const jt_request *r, const jt_pipeline *p, int *context, jt_error *err) {
    if (!r->prompt || !r->n_prompt) return jt_error_set(err, JT_INVALID, "the prompt is empty; give at least one token");
    for (size_t i = 0; i < r->n_prompt; i++)
        if (r->prompt[i] < 0 || r->prompt[i] >= d->ev.vocab)
            return jt_error_set(err, JT_INVALID, "prompt token %zu is %d, outside of the vocabulary (0 to %d)", i, (int)r->prompt[i],
                                d->ev.vocab - 1);
    if (r->max_tokens < 0) return jt_error_set(err, JT_INVALID, "max_tokens is %d; give 0 (no limit) or more", r->max_tokens);
    if (r->context < 0 || r->context > CONTEXT_MOST)
        return jt_error_set(err, JT_INVALID, "context is %d; give 0 (the trained context) to %d", r->context, CONTEXT_MOST);
    if (!(r->max_seconds >= 0)) return jt_error_set(err, JT_INVALID, "max_seconds is %g; give 0 (no limit) or more", r->max_seconds);
    if (r->top_logprobs < 0 || r->top_logprobs > JT_TOP_MOST)
        return jt_error_set(err, JT_INVALID, "top_logprobs is %d; give 0 to %d", r->top_logprobs, JT_TOP_MOST);
    if (r->on_full != JT_FULL_STOP && r->on_full != JT_FULL_REFUSE)
        return jt_error_set(err, JT_INVALID, "on_full is %d; give JT_FULL_STOP or JT_FULL_REFUSE", (int)r->on_full);
    *context = r->context ? r->context : d->ev.context;
    if (r->n_prompt >= (size_t)*context)
        return jt_error_set(err, JT_LIMIT, "the prompt has %zu tokens and the declared context %d; shorten the prompt or declare more",
                            r->n_prompt, *context);
    size_t room = (size_t)*context - r->n_prompt;
    if (r->on_full == JT_FULL_REFUSE && (!r->max_tokens || (size_t)r->max_tokens > room))
        return jt_error_set(err, JT_LIMIT, "the declared context of %d tokens leaves %zu for the answer; set max_tokens to that or less",
                            *context, room);
    if (r->n_stop > STOPS_MOST) return jt_error_set(err, JT_LIMIT, "%zu stop strings; at most %d are taken", r->n_stop, STOPS_MOST);
    if (r->n_stop && !d->ev.tokenizer)
        return jt_error_set(err, JT_UNSUPPORTED, "stop strings need a tokenizer, which this model's files lack");
    for (size_t i = 0; i < r->n_stop; i++) {
        if (!r->stop[i] || !r->stop[i][0]) return jt_error_set(err, JT_INVALID, "stop string %zu is empty", i);
        if (strlen(r->stop[i]) > STOP_LENGTH_MOST)
            return jt_error_set(err, JT_LIMIT, "stop string %zu is longer than %d bytes", i, STOP_LENGTH_MOST);
    }
    for (size_t i = 0; i < r->n_stop_ids; i++)
        if (r->stop_ids[i] < 0 || r->stop_ids[i] >= d->ev.vocab)
            return jt_error_set(err, JT_INVALID, "stop id %d is outside of the vocabulary (0 to %d)", (int)r->stop_ids[i], d->ev.vocab - 1);
    if (p->n_strategy > 1)
        return jt_error_set(err, JT_UNSUPPORTED, "%s inside %s: strategies inside strategies are more than this build can give",
                            p->strategy[1].m->name, p->strategy[0].m->name);
    jt_status e = submit_method(p->strategy[0].m, err);
    for (int i = 0; e == JT_OK && i < p->n_stage; i++) e = submit_method(p->stage[i].m, err);
    return e;
}

static jt_status submit_state(const jt_driver *d, const jt_live *j, const jt_node *node, void **out, jt_error *err) {
    const jt_method *m = node->m;
    size_t bytes = m->state_bytes ? m->state_bytes(node->par) : m->state_size;
    jt_setup u = {.vocab = d->ev.vocab,
                  .tokenizer = m->needs & JT_NEEDS_TOKENIZER ? d->ev.tokenizer : NULL,
                  .prompt = j->ids,
                  .n_prompt = j->n_prompt};
    *out = jt_alloc(1, bytes);
    if (!*out) return jt_nomem(err, "the state of a method", 1, bytes);
    return m->open ? m->open(node->par, *out, &u, err) : JT_OK;
}

/* Copies the request into a job and makes its state. */
static jt_status submit_fill(jt_driver *d, jt_live *j, const jt_request *r, jt_error *err) {
    size_t vocab = (size_t)d->ev.vocab, stages = (size_t)j->pipeline->n_stage;
    j->seed = r->seed, j->stream = jt_stream_choice(r->choice);
    j->max_tokens = r->max_tokens;
    j->n = j->n_prompt = (int)r->n_prompt;
    j->ignore_end = r->ignore_end, j->special = r->special, j->trace = r->trace;
    j->top = r->trace && r->top_logprobs < JT_TOP_TRACED ? JT_TOP_TRACED : r->top_logprobs;
    j->submitted = d->ev.now(d->ev.self);
    j->deadline = r->max_seconds > 0 ? j->submitted + r->max_seconds : INFINITY;
    j->ids = jt_alloc((size_t)j->context, sizeof *j->ids);
    j->logits = jt_alloc_aligned(vocab, sizeof *j->logits);
    j->stage_state = jt_alloc(stages, sizeof *j->stage_state);
    j->trace_now = jt_alloc(stages, sizeof *j->trace_now);
    j->stop = jt_alloc(r->n_stop, sizeof *j->stop);
    j->stop_len = jt_alloc(r->n_stop, sizeof *j->stop_len);
    j->stop_ids = jt_alloc(r->n_stop_ids, sizeof *j->stop_ids);
    if (!j->ids || !j->logits || !j->stage_state || !j->trace_now || !j->stop || !j->stop_len || !j->stop_ids)
        return jt_nomem(err, "a job", vocab + (size_t)j->context, sizeof *j->logits);
    memcpy(j->ids, r->prompt, r->n_prompt * sizeof *j->ids);
    if (r->n_stop_ids) memcpy(j->stop_ids, r->stop_ids, r->n_stop_ids * sizeof *j->stop_ids);
    j->n_stop_ids = r->n_stop_ids, j->n_stop = r->n_stop;
    for (size_t i = 0; i < r->n_stop; i++) {
        j->stop_len[i] = strlen(r->stop[i]);
        j->stop[i] = jt_alloc(j->stop_len[i] + 1, 1);
        if (!j->stop[i]) return jt_nomem(err, "a stop string", j->stop_len[i], 1);
        memcpy(j->stop[i], r->stop[i], j->stop_len[i]);
    }
    jt_status e = submit_state(d, j, &j->pipeline->strategy[0], &j->strategy_state, err);
    for (size_t i = 0; e == JT_OK && i < stages; i++) e = submit_state(d, j, &j->pipeline->stage[i], &j->stage_state[i], err);
    if (e == JT_OK) e = d->ev.open(d->ev.self, j->context, &j->state, err);
    return e;
}

/* A round works in memory that is there before it begins. */
static jt_status submit_reserve(jt_driver *d, jt_error *err) {
    if (d->n_live < d->cap_span) return JT_OK;
    size_t n = d->cap_span ? 2 * d->cap_span : 16;
    void *span = jt_realloc(d->span, n, sizeof *d->span), *want, *of;
    if (span) d->span = span;
    want = span ? jt_realloc(d->want, n, sizeof *d->want) : NULL;
    if (want) d->want = want;
    of = want ? jt_realloc(d->of, n, sizeof *d->of) : NULL;
    if (of) d->of = of;
    if (!of) return jt_nomem(err, "the spans of a driver", n, sizeof *d->span);
    d->cap_span = n;
    return JT_OK;
}

/* Two live jobs never share a cell of `cancelled`. */
static jt_job submit_id(const jt_driver *d) {
    for (jt_job id = d->last + 1;; id++) {
        const jt_live *j = d->first;
        while (j && j->id % JT_JOBS != id % JT_JOBS) j = j->next;
        if (!j) return id;
    }
}

jt_status jt_driver_submit(jt_driver *d, const jt_request *r, jt_job *out, jt_error *err) {
    const jt_pipeline *p = r->pipeline ? r->pipeline : d->greedy;
    int context = 0;
    jt_status e = submit_check(d, r, p, &context, err);
    if (e != JT_OK) return e;
    if (d->n_live == JT_JOBS) return jt_error_set(err, JT_LIMIT, "%d jobs are live, the most of one driver; wait until some end", JT_JOBS);
    e = submit_reserve(d, err);
    if (e != JT_OK) return e;
    jt_live *j = jt_alloc(1, sizeof *j), **at;
    if (!j) return jt_nomem(err, "a job", 1, sizeof *j);
    j->pipeline = p, j->context = context, j->decided = -1;
    e = submit_fill(d, j, r, err);
    if (e != JT_OK) {
        live_free(d, j);
        return e;
    }
    j->id = d->last = submit_id(d);
    for (at = &d->first; *at; at = &(*at)->next) {
    }
    *at = j;
    d->n_live++;
    *out = j->id;
    return JT_OK;
}

/* ---- a round ---- */

/* Stops an evaluation when none of its jobs wants it any more. */
static int round_unwanted(void *self) {
    jt_driver *d = self;
    double now = d->ev.now(d->ev.self);
    for (int i = 0; i < d->n_span; i++)
        if (!jt_live_cancelled(d, d->of[i]) && now < d->of[i]->deadline) return 0;
    return 1;
}

/* Evaluates spans first .. first + n - 1 as one batch. */
static jt_status round_eval(jt_driver *d, int first, int n, jt_error *err) {
    int row = 0, wants = 0, all = d->n_span;
    jt_live **of = d->of;
    for (int i = first; i < first + n; i++) {
        jt_live *j = of[i];
        row += d->span[i].n;
        if (j->evaluated + d->span[i].n == j->n)
            d->want[wants++] =
                (jt_want){.row = row - 1, .logits = j->logits, .log_sum_exp = &j->log_sum, .entropy = j->trace ? &j->entropy : NULL};
    }
    jt_batch b = {.span = d->span + first, .n_span = n, .want = d->want, .n_want = wants, .cancelled = round_unwanted, .cancelled_self = d};
    double start = d->ev.now(d->ev.self);
    d->of = of + first, d->n_span = n;
    jt_status e = d->ev.eval(d->ev.self, &b, err);
    d->of = of, d->n_span = all;
    double took = d->ev.now(d->ev.self) - start;
    for (int i = first; e == JT_OK && i < first + n; i++) {
        of[i]->evaluated += d->span[i].n;
        of[i]->eval_seconds = took;
    }
    return e;
}

/* Takes a span of every job that waits: short ones whole, prompts in pieces, oldest first. */
static void round_gather(jt_driver *d) {
    int budget = JT_ROWS_ALONE;
    for (jt_live *j = d->first; j; j = j->next)
        if (j->end == JT_END_NONE && j->waits && j->n_answer) budget = JT_ROWS_BESIDE;
    d->n_span = 0;
    for (jt_live *j = d->first; j; j = j->next) {
        int n = j->n - j->evaluated;
        if (j->end != JT_END_NONE || !j->waits || !n) continue;
        if (n > JT_ROWS_SHORT) {
            n = n < budget ? n : budget;
            budget -= n;
        }
        if (!n) continue;
        d->of[d->n_span] = j;
        d->span[d->n_span++] = (jt_span){.state = j->state, .ids = j->ids + j->evaluated, .n = n};
    }
}

static void driver_round(jt_driver *d) {
    double now = d->ev.now(d->ev.self);
    for (jt_live *j = d->first; j; j = j->next) {
        if (j->end != JT_END_NONE) continue;
        if (jt_live_cancelled(d, j))
            jt_live_end(d, j, JT_END_CANCELLED);
        else if (now >= j->deadline)
            jt_live_end(d, j, JT_END_TIME);
        else if (!j->started)
            jt_live_advance(d, j);
    }
    round_gather(d);
    if (d->n_span) {
        jt_error err = {0};
        jt_status e = round_eval(d, 0, d->n_span, &err);
        if (e != JT_OK && !round_unwanted(d)) { /* one job's failure is not the others' */
            for (int i = 0; i < d->n_span; i++) {
                jt_live *j = d->of[i];
                if (d->n_span == 1)
                    j->error = err;
                else
                    e = round_eval(d, i, 1, &j->error);
                bool unwanted = jt_live_cancelled(d, j) || d->ev.now(d->ev.self) >= j->deadline;
                if (e != JT_OK && !unwanted) jt_live_end(d, j, JT_END_ERROR);
            }
        }
    }
    for (jt_live *j = d->first; j; j = j->next)
        if (j->end == JT_END_NONE && j->waits && j->evaluated == j->n && !jt_live_cancelled(d, j)) jt_live_advance(d, j);
}

/* ---- handing out ---- */

static void give_common(const jt_live *j, jt_event *e) {
    *e = (jt_event){.job = j->id, .prompt_tokens = j->n_prompt};
    e->decision = (jt_decision){.id = -1, .position = -1, .raw_logprob = NAN, .logprob = NAN, .u = NAN, .entropy = NAN};
}

static void give_token(jt_live *j, jt_event *e) {
    const jt_record *r = &j->record[j->handed++];
    give_common(j, e);
    e->kind = JT_EVENT_TOKEN;
    e->decision = r->decision;
    e->text = jt_str_c(&j->text) + r->text, e->n_text = r->n_text;
    e->n_top = r->n_top, e->n_stage = r->n_stage;
    if (r->n_top) e->top = j->top_all + r->top;
    if (r->n_stage) e->stage = j->stage_all + r->stage;
    e->eval_seconds = r->eval_seconds;
    e->answer_tokens = r->answer_tokens;
}

static void give_end(const jt_live *j, jt_event *e) {
    give_common(j, e);
    e->kind = JT_EVENT_END;
    e->reason = j->end;
    e->text = jt_str_c(&j->text) + j->end_text, e->n_text = j->text.n - j->end_text;
    e->answer_tokens = j->n_answer;
    e->prompt_seconds = (j->n_answer ? j->first_token : j->ended) - j->submitted;
    e->answer_seconds = j->n_answer ? j->ended - j->first_token : 0;
    if (j->end == JT_END_ERROR) e->message = j->error.message;
}

jt_status jt_driver_next(jt_driver *d, jt_event *e, jt_error *err) {
    (void)err;
    live_free(d, d->gone);
    d->gone = NULL;
    for (;;) {
        for (jt_live **at = &d->first; *at; at = &(*at)->next) {
            jt_live *j = *at;
            if (j->handed < j->n_record) return give_token(j, e), JT_OK;
            if (j->end != JT_END_NONE) {
                give_end(j, e);
                *at = j->next, d->gone = j, d->n_live--;
                return JT_OK;
            }
            j->n_record = j->handed = j->n_top_all = j->n_stage_all = 0;
            jt_str_clear(&j->text);
        }
        if (!d->first) {
            *e = (jt_event){.kind = JT_EVENT_END, .decision = {.id = -1, .position = -1}};
            return JT_OK;
        }
        driver_round(d);
    }
}
