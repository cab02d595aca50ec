/* replay.c: a job of a trace done again, and compared token by token. */
#include <math.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "decode/driver.h"
#include "inspect/replay.h"
#include "inspect/trace.h"

void jt_replay_note(jt_trace_replayed *out, const jt_trace_token *t, size_t at, const char *what) {
    if (out->n_difference < JT_TRACE_DIFFERENCES) {
        jt_trace_difference *d = &out->difference[out->n_difference];
        *d = (jt_trace_difference){.answer = t->answer, .token = at, .line = t->line, .position = t->decision.position};
        snprintf(d->what, sizeof d->what, "%s", what);
    }
    out->n_difference++;
}

/* What the token's text is in a trace; *text lives until the next call. */
static jt_status replay_text(const jt_driver *d, int32_t id, jt_json **root, const char **text, jt_error *err) {
    jt_str o = {0};
    jt_json_free(*root);
    *root = NULL;
    jt_str_putc(&o, '[');
    jt_trace_piece(d->model->ev.tokenizer, id, &o);
    jt_str_putc(&o, ']');
    jt_status e = jt_str_check(&o, err);
    if (e == JT_OK) e = jt_json_parse(o.s, o.n, root, err);
    if (e == JT_OK) *text = jt_json_string(jt_json_item(*root, 0), NULL);
    jt_str_free(&o);
    return e;
}

typedef struct replay {
    const jt_trace_job *j;
    jt_trace_replayed *out;
    size_t *at; /* [n_answer]: tokens compared */
    jt_json *text;
    bool over; /* all that the trace tells was compared */
} replay;

static jt_status replay_token(replay *r, const jt_driver *d, const jt_event *e, jt_error *err) {
    const jt_trace_job *j = r->j;
    char what[240];
    size_t k = 0;
    while (k < j->n_answer && j->answer[k].answer != e->answer) k++;
    const jt_trace_answer *a = k < j->n_answer ? &j->answer[k] : NULL;
    if (!a || r->at[k] == a->n_token) {
        if (j->reason == JT_END_NONE || j->reason == JT_END_TIME || j->reason == JT_END_CANCELLED || j->reason == JT_END_ERROR)
            return JT_OK;
        jt_trace_token end = {.answer = e->answer, .line = j->line, .decision = {.position = e->decision.position}};
        snprintf(what, sizeof what, "answer %d goes on with token %d, where the trace has nothing more", e->answer, (int)e->decision.id);
        jt_replay_note(r->out, &end, a ? a->n_token : 0, what);
        r->over = true;
        return JT_OK;
    }
    jt_trace_token mine = {.answer = e->answer, .decision = e->decision, .evidence = e->evidence};
    jt_status s = replay_text(d, e->decision.id, &r->text, &mine.text, err);
    if (s != JT_OK) return s;
    r->out->tokens++;
    if (jt_trace_differ(&a->token[r->at[k]], &mine, what))
        jt_replay_note(r->out, &a->token[r->at[k]], r->at[k], what);
    else
        r->out->same++;
    r->at[k]++;
    return JT_OK;
}

/* Whether each token that the trace has was compared. */
static bool replay_over(const replay *r) {
    for (size_t k = 0; k < r->j->n_answer; k++)
        if (r->at[k] < r->j->answer[k].n_token) return false;
    return r->j->reason == JT_END_NONE || r->j->reason == JT_END_TIME || r->j->reason == JT_END_CANCELLED || r->j->reason == JT_END_ERROR;
}

/* Tokens that the trace has and the replay never came to; and other ends. */
static void replay_rest(const replay *r, const jt_event *end) {
    const jt_trace_job *j = r->j;
    char what[240];
    for (size_t k = 0; k < j->n_answer; k++)
        if (r->at[k] < j->answer[k].n_token) {
            snprintf(what, sizeof what, "the replay ended (%s) before this token", jt_end_reason_name(end->reason));
            jt_replay_note(r->out, &j->answer[k].token[r->at[k]], r->at[k], what);
            r->out->tokens += j->answer[k].n_token - r->at[k];
        }
    if (r->out->n_difference || r->over || replay_over(r) || end->reason == j->reason) return;
    jt_trace_token last = {.line = j->line, .decision = {.position = (int32_t)(j->request.n_prompt + j->n_token)}};
    snprintf(what, sizeof what, "the trace ended by %s and the replay by %s", jt_end_reason_name(j->reason),
             jt_end_reason_name(end->reason));
    jt_replay_note(r->out, &last, j->n_token, what);
}

static jt_status replay_run(replay *r, jt_driver *d, const jt_request *q, jt_error *err) {
    jt_job job;
    jt_event e = {0};
    jt_status s = jt_driver_submit(d, q, &job, err), failed = JT_OK;
    if (s != JT_OK) return s;
    for (;;) {
        s = jt_driver_next(d, &e, err);
        if (s != JT_OK) return s;
        if (!e.job) return jt_error_set(err, JT_INVALID, "the driver lost the job of the replay");
        if (e.kind == JT_EVENT_END) break;
        if (failed != JT_OK || r->over || e.kind != JT_EVENT_TOKEN) continue;
        failed = replay_token(r, d, &e, err);
        r->over |= replay_over(r);
        if (r->over || failed != JT_OK) jt_driver_cancel(d, job);
    }
    if (failed != JT_OK) return failed;
    if (e.reason == JT_END_ERROR && r->j->reason != JT_END_ERROR)
        return jt_error_set(err, JT_INVALID, "%s", e.message ? e.message : "the replay failed");
    replay_rest(r, &e);
    return JT_OK;
}

jt_status jt_trace_replay(const jt_trace_job *j, jt_driver *d, const jt_methods *extra, jt_trace_replayed *out, jt_error *err) {
    jt_request q = j->request;
    jt_pipeline *p = NULL;
    replay r = {.j = j, .out = out};
    *out = (jt_trace_replayed){0};
    jt_status s = jt_pipeline_parse(j->pipeline, extra, &p, err);
    if (s == JT_OK && !(r.at = jt_alloc(j->n_answer + 1, sizeof *r.at))) s = jt_nomem(err, "a replay", j->n_answer, sizeof *r.at);
    q.pipeline = p, q.on_full = JT_FULL_STOP, q.trace = 1;
    if (s == JT_OK) s = replay_run(&r, d, &q, err);
    jt_json_free(r.text);
    jt_free(r.at);
    jt_pipeline_free(p);
    return s;
}
