/* replay_alone.c: deciding again from the logits that a trace has, without the model.
 *
 * The driver's own code does it: one job for each answer, on an evaluator that gives
 * the logits of the trace, under a strategy that lets the pipeline decide each token and
 * then goes on with the trace's. So what stages see before a token is what they saw,
 * whatever is found to differ at one before. */
#include <math.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "decode/work.h"
#include "inspect/replay.h"
#include "inspect/trace.h"

/* The states that the driver asks for are lengths. */
typedef struct alone_seat {
    int n;
} alone_seat;

typedef struct alone {
    const jt_trace *t;
    const jt_trace_job *j;
    const jt_trace_answer *a;
    jt_trace_replayed *out;
    jt_json *text;
    jt_status failed;
    jt_error *err;
} alone;

/* ---- the evaluator ---- */

static jt_status alone_open(void *self, int context, jt_state **out, jt_error *err) {
    (void)self, (void)context;
    alone_seat *s = jt_alloc(1, sizeof *s);
    *out = (jt_state *)(void *)s;
    return s ? JT_OK : jt_nomem(err, "a replay", 1, sizeof *s);
}

static alone_seat *alone_at(jt_state *s) { return (alone_seat *)(void *)s; }

static void alone_close(void *self, jt_state *s) {
    (void)self;
    jt_free(s);
}

static jt_status alone_fork(void *self, const jt_state *s, jt_state **out, jt_error *err) {
    jt_status e = alone_open(self, 0, out, err);
    if (e == JT_OK) *alone_at(*out) = *(const alone_seat *)(const void *)s;
    return e;
}

static jt_status alone_truncate(void *self, jt_state *s, int n, jt_error *err) {
    (void)self, (void)err;
    alone_at(s)->n = n;
    return JT_OK;
}

static const jt_trace_token *alone_token(const alone *x, int position) {
    for (size_t i = 0; i < x->a->n_token; i++)
        if (x->a->token[i].decision.position == position) return &x->a->token[i];
    return NULL;
}

static const float alone_missing = -1e30f; /* of a token that an altered list leaves out: it shows in the comparison */

static jt_status alone_eval(void *self, const jt_batch *b, jt_error *err) {
    const alone *x = self;
    int first = 0, w = 0;
    for (int i = 0; i < b->n_span; first += b->span[i++].n) {
        for (; w < b->n_want && b->want[w].row < first + b->span[i].n; w++) {
            int position = alone_at(b->span[i].state)->n + b->want[w].row - first + 1;
            const jt_trace_token *t = alone_token(x, position);
            if (!t || !t->evidence) return jt_error_set(err, JT_INVALID, "the trace has no logits for position %d", position);
            for (int k = 0; k < x->t->vocab && b->want[w].logits; k++) b->want[w].logits[k] = alone_missing;
            for (int k = 0; k < t->evidence->n_raw && b->want[w].logits; k++)
                b->want[w].logits[t->evidence->raw[k].id] = t->evidence->raw[k].logit;
            if (b->want[w].log_sum_exp) *b->want[w].log_sum_exp = t->evidence->log_sum;
            if (b->want[w].entropy) *b->want[w].entropy = (double)t->decision.entropy;
        }
        alone_at(b->span[i].state)->n += b->span[i].n;
    }
    return JT_OK;
}

static double alone_now(void *self) {
    (void)self;
    return jt_seconds();
}

/* ---- the strategy ---- */

typedef struct alone_state {
    int at;
    size_t token;
} alone_state;

typedef struct alone_par {
    alone *x;
} alone_par;

static void alone_compare(alone *x, jt_work *w, size_t at, jt_decision made) {
    const jt_trace_token *t = &x->a->token[at];
    jt_trace_token mine = {.answer = x->a->answer, .decision = made};
    const jt_asked *row = &w->i->asked[0];
    char what[240];
    jt_str o = {0};
    if (x->failed != JT_OK || w->status != JT_OK) return;
    mine.evidence = row->trace.cap && *row->trace.sheet ? &(*row->trace.sheet)->e : NULL;
    mine.text = t->text;
    if (w->d->model->ev.tokenizer) {
        jt_json_free(x->text);
        x->text = NULL;
        jt_str_putc(&o, '[');
        jt_trace_piece(w->d->model->ev.tokenizer, made.id, &o);
        jt_str_putc(&o, ']');
        x->failed = jt_str_check(&o, x->err);
        if (x->failed == JT_OK) x->failed = jt_json_parse(o.s, o.n, &x->text, x->err);
        if (x->failed == JT_OK) mine.text = jt_json_string(jt_json_item(x->text, 0), NULL);
        jt_str_free(&o);
        if (x->failed != JT_OK) return;
    }
    x->out->tokens++;
    if (jt_trace_differ(t, &mine, what))
        jt_replay_note(x->out, t, at, what);
    else
        x->out->same++;
}

/* The decision that the pipeline makes where the trace has its token `at`. */
static jt_decision alone_decide(const alone *x, const jt_results *r, jt_work *w, size_t at) {
    const jt_trace_token *t = &x->a->token[at];
    jt_branch *b = jt_work_at(w, JT_MAIN);
    if (b) b->stream = t->evidence->stream;
    if (t->decision.by == JT_CHOSEN_DRAWN) return jt_work_decide(w, r->out, t->decision.attempt);
    return t->decision.by == JT_CHOSEN_BEST ? jt_work_best(w, r->out) : jt_work_choose(w, r->out, t->decision.id);
}

/* Decides, compares, and pushes the trace's token. */
static void alone_go_on(alone *x, const jt_results *r, jt_work *w, size_t at) {
    jt_decision made = alone_decide(x, r, w, at);
    alone_compare(x, w, at, made);
    if (made.id != x->a->token[at].decision.id) made = jt_work_choose(w, r->out, x->a->token[at].decision.id);
    jt_work_push(w, JT_MAIN, &made);
}

static jt_status alone_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    alone *x = ((const alone_par *)par)->x;
    alone_state *s = state;
    JT_BEGIN(s);
    for (; s->token < x->a->n_token; s->token++) {
        if (x->a->token[s->token].evidence) {
            jt_work_next(w, JT_MAIN);
            JT_AWAIT(s);
            alone_go_on(x, r, w, s->token);
        } else {
            x->out->tokens++, x->out->same++; /* no pipeline decided it */
            jt_work_push(w, JT_MAIN, &x->a->token[s->token].decision);
        }
    }
    JT_END(w);
}

static const jt_method alone_row = {.name = "replay",
                                    .kind = JT_STRATEGY,
                                    .param_size = sizeof(alone_par),
                                    .state_size = sizeof(alone_state),
                                    .strategy = {.advance = alone_advance}};

/* ---- what cannot be done again ---- */

static jt_status alone_check(const jt_trace *t, const jt_trace_job *j, const jt_pipeline *p, const jt_tokenizer *tokenizer, jt_error *err) {
    enum {
        NO = JT_NEEDS_HIDDEN | JT_NEEDS_MODEL2 | JT_NEEDS_SIBLINGS | JT_NEEDS_GRADIENTS | JT_NEEDS_STREAM | JT_NEEDS_RAW_KEYS |
             JT_NEEDS_PROMPT2 | JT_NEEDS_PROJECT
    };
    for (int i = 0; i < p->n_stage; i++) {
        const jt_method *m = p->stage[i].m;
        if (m->needs & NO || m->shared_size)
            return jt_error_set(err, JT_UNSUPPORTED, "stage %s needs more than logits and tokens; replay it with the model", m->name);
        if (m->needs & JT_NEEDS_TOKENIZER && !tokenizer)
            return jt_error_set(err, JT_UNSUPPORTED, "stage %s needs the tokenizer; give the model", m->name);
    }
    if (t->vocab < 1) return jt_error_set(err, JT_FORMAT, "the trace says nothing of the model's vocabulary");
    for (size_t i = 0; i < j->n_answer; i++)
        for (size_t k = 0; k < j->answer[i].n_token; k++) {
            const jt_trace_token *x = &j->answer[i].token[k];
            if (x->evidence && x->evidence->n_raw != t->vocab)
                return jt_error_set(err, JT_UNSUPPORTED,
                                    "line %zu has %d of the model's %d candidates; write the trace with all of them, or give the model",
                                    x->line, (int)x->evidence->n_raw, t->vocab);
            if (x->evidence && x->evidence->chain)
                return jt_error_set(err, JT_UNSUPPORTED, "line %zu was decided by the stages of a strategy's parameter; give the model",
                                    x->line);
            if (x->decision.position != (int32_t)(j->request.n_prompt + k))
                return jt_error_set(err, JT_FORMAT, "line %zu: the position is %d and should be %zu", x->line, (int)x->decision.position,
                                    j->request.n_prompt + k);
            if (x->decision.id < 0) return jt_error_set(err, JT_FORMAT, "line %zu: no token is chosen", x->line);
        }
    return JT_OK;
}

/* ---- one job ---- */

static jt_status alone_answer(alone *x, jt_driver *d, const jt_pipeline *p, jt_error *err) {
    jt_request q = {.prompt = x->j->request.prompt,
                    .n_prompt = x->j->request.n_prompt,
                    .pipeline = p,
                    .seed = x->j->request.seed,
                    .choice = x->j->request.choice,
                    .context = x->j->request.context,
                    .ignore_end = 1,
                    .trace = 1,
                    .trace_candidates = x->j->request.trace_candidates,
                    .top_logprobs = x->j->request.top_logprobs};
    jt_job job;
    jt_event e = {0};
    jt_status s = jt_driver_submit(d, &q, &job, err);
    do {
        if (s == JT_OK) s = jt_driver_next(d, &e, err);
    } while (s == JT_OK && e.kind != JT_EVENT_END);
    if (s == JT_OK && x->failed != JT_OK) s = x->failed;
    if (s == JT_OK && e.reason == JT_END_ERROR) s = jt_error_set(err, JT_INVALID, "%s", e.message ? e.message : "the replay failed");
    return s;
}

jt_status jt_trace_replay_alone(const jt_trace *t, const jt_trace_job *j, const jt_tokenizer *tokenizer, const jt_methods *extra,
                                jt_trace_replayed *out, jt_error *err) {
    alone x = {.t = t, .j = j, .out = out, .err = err};
    alone_par par = {.x = &x};
    int least = (int)(j->request.n_prompt + j->n_token) + 1; /* where the trained context was meant, which is the model's */
    int known;
    jt_evaluator ev = {.self = &x,
                       .vocab = t->vocab,
                       .hidden = 1,
                       .layers = 1,
                       .context = j->request.context ? j->request.context : least,
                       .ubatch = 512,
                       .tokenizer = tokenizer,
                       .kernels = jt_kernels_pick(NULL, &known),
                       .open = alone_open,
                       .close = alone_close,
                       .fork = alone_fork,
                       .truncate = alone_truncate,
                       .truncate_to = alone_truncate,
                       .eval = alone_eval,
                       .now = alone_now};
    jt_pipeline *p = NULL;
    jt_driver *d = NULL;
    *out = (jt_trace_replayed){0};
    jt_status s = jt_pipeline_parse(j->pipeline, extra, &p, err);
    if (s == JT_OK) s = alone_check(t, j, p, tokenizer, err);
    if (s == JT_OK) s = jt_driver_new_with(&ev, &d, err);
    if (s == JT_OK) p->strategy[0] = (jt_node){.m = &alone_row, .par = &par}, p->n_strategy = 1;
    for (size_t i = 0; s == JT_OK && i < j->n_answer; i++) {
        x.a = &j->answer[i];
        s = alone_answer(&x, d, p, err);
    }
    jt_driver_free(d);
    jt_pipeline_free(p);
    jt_json_free(x.text);
    return s;
}
