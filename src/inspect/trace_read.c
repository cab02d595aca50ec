/* trace_read.c: traces back from JSON lines. A line that is not whole is where a cut
 * file ends; anything else that is not as docs/traces.md has it is an error that names
 * the line. */
#include <math.h>
#include <string.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/mem.h"
#include "inspect/trace.h"

enum { VOCAB_MOST = 1 << 22 };

/* While a job is read; its arrays go into the trace's arena at the end. */
typedef struct trace_job {
    jt_trace_job j;
    jt_trace_token *token; /* [n]: of all answers, in the order of the file */
    size_t n, cap;
    jt_trace_answer *answer;
    size_t cap_answer;
} trace_job;

typedef struct trace_reader {
    jt_trace *t; /* its memory is `arena` */
    jt_arena *arena;
    trace_job *job;
    size_t n_job, cap_job;
    size_t line;
    const char **text; /* [vocab] */
    jt_error *err;
} trace_reader;

/* The trace and the arena that holds all it points to. */
typedef struct trace_box {
    jt_trace t;
    jt_arena arena;
} trace_box;

static jt_status trace_bad(const trace_reader *r, const char *what) {
    return jt_error_set(r->err, JT_FORMAT, "line %zu of the trace: %s", r->line, what);
}

static jt_status trace_short(const trace_reader *r) { return jt_nomem(r->err, "a trace", r->line, 1); }

/* ---- members ---- */

/* An integer within bounds; *out stays when it is absent and `must` is not set. */
static jt_status trace_int(const trace_reader *r, const jt_json *o, const char *name, bool must, int64_t low, int64_t high, int64_t *out) {
    const jt_json *v = jt_json_member(o, name);
    char what[96];
    if (!v && !must) return JT_OK;
    if (v && jt_json_i64(v, out) && *out >= low && *out <= high) return JT_OK;
    snprintf(what, sizeof what, "\"%.40s\" is %s", name, v ? "out of its range" : "missing");
    return trace_bad(r, what);
}

static bool trace_number(const jt_json *v, double *out) {
    size_t n;
    const char *s = jt_json_string(v, &n);
    if (jt_json_kind_of(v) == JT_JSON_NULL) return *out = NAN, true;
    if (s && !strcmp(s, "inf")) return *out = INFINITY, true;
    if (s && !strcmp(s, "-inf")) return *out = -INFINITY, true;
    return jt_json_double(v, out);
}

static jt_status trace_double(const trace_reader *r, const jt_json *o, const char *name, double *out) {
    const jt_json *v = jt_json_member(o, name);
    char what[96];
    if (v && trace_number(v, out)) return JT_OK;
    snprintf(what, sizeof what, "\"%.40s\" is no number", name);
    return trace_bad(r, what);
}

static jt_status trace_float(const trace_reader *r, const jt_json *o, const char *name, float *out) {
    double x = 0;
    jt_status e = trace_double(r, o, name, &x);
    if (e == JT_OK) *out = (float)x;
    return e;
}

static jt_status trace_hex_of(const trace_reader *r, const jt_json *o, const char *name, uint64_t *out) {
    size_t n = 0;
    const char *s = jt_json_string(jt_json_member(o, name), &n);
    char what[96];
    *out = 0;
    bool well = s && n == 16;
    for (size_t i = 0; well && i < n; i++) {
        const char *at = memchr("0123456789abcdef", s[i], 16);
        well = at != NULL;
        if (well) *out = *out << 4 | (uint64_t)(at - "0123456789abcdef") % 16;
    }
    snprintf(what, sizeof what, "\"%.40s\" is not 16 hexadecimal digits", name);
    return well ? JT_OK : trace_bad(r, what);
}

/* A copy of the string; NULL when it is absent and `must` is not set. */
static jt_status trace_string(const trace_reader *r, const jt_json *o, const char *name, bool must, const char **out) {
    size_t n = 0;
    const jt_json *v = jt_json_member(o, name);
    const char *s = jt_json_string(v, &n);
    char what[96];
    if (!v && !must) return JT_OK;
    snprintf(what, sizeof what, "\"%.40s\" is %s", name, v ? "no text" : "missing");
    if (!s) return trace_bad(r, what);
    *out = jt_arena_copy(r->arena, s, n);
    return *out ? JT_OK : trace_short(r);
}

static jt_status trace_reason(const trace_reader *r, const jt_json *v, jt_end_reason *out) {
    const char *s = jt_json_string(v, NULL);
    for (jt_end_reason k = JT_END_TOKEN; s && k <= JT_END_ERROR; k++)
        if (!strcmp(s, jt_end_reason_name(k))) return *out = k, JT_OK;
    return trace_bad(r, "the reason of an end is none that there is");
}

/* ---- the head ---- */

static jt_status trace_models(trace_reader *r, const jt_json *o) {
    const jt_json *list = jt_json_member(o, "models"), *worn = jt_json_member(o, "adapters");
    size_t n = jt_json_count(list), m = jt_json_count(worn);
    jt_trace_model *model = jt_arena_alloc(r->arena, n, sizeof *model);
    jt_trace_adapter *adapter = jt_arena_alloc(r->arena, m, sizeof *adapter);
    if (!model || !adapter) return trace_short(r);
    jt_status e = JT_OK;
    for (size_t i = 0; e == JT_OK && i < n; i++) {
        const jt_json *v = jt_json_item(list, i);
        int64_t bytes = 0;
        e = trace_string(r, v, "role", true, &model[i].role);
        if (e == JT_OK) e = trace_string(r, v, "path", true, &model[i].path);
        if (e == JT_OK) e = trace_string(r, v, "name", true, &model[i].name);
        if (e == JT_OK) e = trace_string(r, v, "activations", true, &model[i].activations);
        if (e == JT_OK) e = trace_string(r, v, "kv_type", true, &model[i].kv_type);
        if (e == JT_OK) e = trace_string(r, v, "digest", true, &model[i].digest);
        if (e == JT_OK) e = trace_int(r, v, "bytes", true, 0, INT64_MAX, &bytes);
        if (e == JT_OK) e = trace_hex_of(r, v, "mode", &model[i].mode);
        model[i].bytes = (uint64_t)bytes;
    }
    for (size_t i = 0; e == JT_OK && i < m; i++) {
        const jt_json *v = jt_json_item(worn, i);
        e = trace_string(r, v, "name", true, &adapter[i].name);
        if (e == JT_OK) e = trace_string(r, v, "path", true, &adapter[i].path);
        if (e == JT_OK) e = trace_string(r, v, "digest", true, &adapter[i].digest);
        if (e == JT_OK) e = trace_float(r, v, "scale", &adapter[i].scale);
        if (e == JT_OK) e = trace_hex_of(r, v, "mode", &adapter[i].mode);
    }
    r->t->model = model, r->t->n_model = n, r->t->adapter = adapter, r->t->n_adapter = m;
    return e;
}

static jt_status trace_head_read(trace_reader *r, const jt_json *o) {
    int64_t version = 0, vocab = 0;
    if (!jt_json_i64(jt_json_member(o, "jeton_trace"), &version))
        return trace_bad(r, "it does not begin with \"jeton_trace\"; is it a trace at all?");
    if (version != JT_TRACE_VERSION)
        return jt_error_set(r->err, JT_FORMAT, "the trace has version %lld; this jeton (%s) reads version %d", (long long)version,
                            jt_version(), JT_TRACE_VERSION);
    jt_status e = trace_int(r, o, "vocab", true, 0, INT32_MAX, &vocab);
    if (e == JT_OK) e = trace_string(r, o, "jeton", true, &r->t->jeton);
    if (e == JT_OK && vocab > VOCAB_MOST) e = trace_bad(r, "the vocabulary is larger than any");
    if (e != JT_OK) return e;
    r->t->version = (int)version, r->t->vocab = (int)vocab;
    if (!(r->text = jt_arena_alloc(r->arena, (size_t)vocab, sizeof *r->text))) return trace_short(r);
    r->t->text = r->text;
    return trace_models(r, o);
}

/* ---- requests ---- */

static jt_status trace_ids(const trace_reader *r, const jt_json *list, const int32_t **out, size_t *n) {
    *n = jt_json_count(list);
    int32_t *id = jt_arena_alloc(r->arena, *n, sizeof *id);
    if (!id) return trace_short(r);
    for (size_t i = 0; i < *n; i++) {
        int64_t x;
        if (!jt_json_i64(jt_json_item(list, i), &x) || x < 0 || x >= r->t->vocab) return trace_bad(r, "a token id is none of the model's");
        id[i] = (int32_t)x;
    }
    *out = id;
    return JT_OK;
}

static jt_status trace_strings(const trace_reader *r, const jt_json *list, const char *const **out, size_t *n) {
    *n = jt_json_count(list);
    const char **s = jt_arena_alloc(r->arena, *n, sizeof *s);
    if (!s) return trace_short(r);
    for (size_t i = 0; i < *n; i++) {
        size_t len;
        const char *x = jt_json_string(jt_json_item(list, i), &len);
        if (!x) return trace_bad(r, "a list of texts holds something else");
        if (!(s[i] = jt_arena_copy(r->arena, x, len))) return trace_short(r);
    }
    *out = s;
    return JT_OK;
}

static jt_status trace_messages(const trace_reader *r, const jt_json *list, jt_request *q) {
    q->n_messages = jt_json_count(list);
    jt_message *m = jt_arena_alloc(r->arena, q->n_messages, sizeof *m);
    jt_status e = m ? JT_OK : trace_short(r);
    for (size_t i = 0; e == JT_OK && i < q->n_messages; i++) {
        e = trace_string(r, jt_json_item(list, i), "role", true, &m[i].role);
        if (e == JT_OK) e = trace_string(r, jt_json_item(list, i), "content", true, &m[i].content);
    }
    q->messages = m;
    return e;
}

static jt_status trace_request_read(trace_reader *r, const jt_json *o, jt_trace_job *j) {
    jt_request *q = &j->request;
    size_t n = 0;
    const char *seed = NULL;
    int64_t choice = 0, context = 0, most = 0, candidates = 0, top = 0;
    bool yes = false;
    jt_status e = trace_string(r, o, "pipeline", true, &j->pipeline);
    if (e == JT_OK) e = trace_strings(r, jt_json_member(o, "stages"), &j->stage, &n);
    j->n_stage = (int)n;
    if (e == JT_OK) e = trace_string(r, o, "seed", true, &seed);
    if (e == JT_OK && !jt_read_u64(seed, strlen(seed), &q->seed)) e = trace_bad(r, "the seed is no number");
    if (e == JT_OK) e = trace_int(r, o, "choice", true, 0, UINT32_MAX, &choice);
    if (e == JT_OK) e = trace_int(r, o, "context", true, 0, INT32_MAX, &context);
    if (e == JT_OK) e = trace_int(r, o, "max_tokens", true, 0, INT32_MAX, &most);
    if (e == JT_OK) e = trace_int(r, o, "candidates", true, -1, INT32_MAX, &candidates);
    if (e == JT_OK) e = trace_int(r, o, "top_logprobs", false, 0, 20, &top);
    q->choice = (uint32_t)choice, q->context = (int)context, q->max_tokens = (int)most;
    q->trace = 1, q->trace_candidates = (int)candidates, q->top_logprobs = (int)top;
    q->on_full = jt_json_member(o, "on_full") ? JT_FULL_REFUSE : JT_FULL_STOP;
    if (jt_json_bool(jt_json_member(o, "ignore_end"), &yes)) q->ignore_end = yes;
    if (jt_json_bool(jt_json_member(o, "special"), &yes)) q->special = yes;
    if (e == JT_OK) e = trace_strings(r, jt_json_member(o, "stop"), &q->stop, &q->n_stop);
    if (e == JT_OK) e = trace_ids(r, jt_json_member(o, "stop_ids"), &q->stop_ids, &q->n_stop_ids);
    if (e == JT_OK) e = trace_string(r, o, "adapter", false, &q->adapter);
    if (e == JT_OK && q->adapter) e = trace_float(r, o, "adapter_scale", &q->adapter_scale);
    if (e == JT_OK) e = trace_messages(r, jt_json_member(o, "messages"), q);
    if (e == JT_OK) e = trace_ids(r, jt_json_member(o, "prompt"), &q->prompt, &q->n_prompt);
    if (e == JT_OK && !q->n_prompt) e = trace_bad(r, "the prompt has no tokens");
    return e;
}

/* ---- tokens ---- */

/* The list that v tells, after `from`, in the arena. */
static jt_status trace_cands(const trace_reader *r, const jt_json *v, const jt_cand *from, int32_t n_from, const jt_cand **out,
                             int32_t *n) {
    const jt_json *ids = jt_json_member(v, "ids"), *x = jt_json_member(v, "x");
    int64_t many = 0;
    jt_status e = trace_int(r, v, "n", true, 0, r->t->vocab, &many);
    if (e != JT_OK) return e;
    if (((!ids || !x) && many > n_from) || (ids && jt_json_count(ids) != (size_t)many) || (x && jt_json_count(x) != (size_t)many))
        return trace_bad(r, "a list of candidates has another length than it says");
    jt_cand *c = jt_arena_alloc(r->arena, (size_t)many, sizeof *c);
    if (!c) return trace_short(r);
    for (int64_t i = 0; i < many; i++) {
        int64_t id = 0;
        double logit = 0;
        if (i < n_from) c[i] = from[i];
        if (ids && (!jt_json_i64(jt_json_item(ids, (size_t)i), &id) || id < 0 || id >= r->t->vocab))
            return trace_bad(r, "a candidate is none of the model's tokens");
        if (x && !trace_number(jt_json_item(x, (size_t)i), &logit)) return trace_bad(r, "a logit is no number");
        if (ids) c[i].id = (int32_t)id;
        if (x) c[i].logit = (float)logit;
    }
    *out = c, *n = (int32_t)many;
    return JT_OK;
}

static jt_status trace_drawn(const trace_reader *r, const jt_json *v, jt_stage_evidence *s) {
    const jt_json *list = jt_json_member(v, "drawn");
    size_t n = jt_json_count(list);
    jt_drawn *d = jt_arena_alloc(r->arena, n, sizeof *d);
    int64_t draws = 0, index = 0;
    jt_status e = d ? trace_int(r, v, "draws", false, 0, UINT32_MAX, &draws) : trace_short(r);
    if (e == JT_OK && draws) e = trace_hex_of(r, v, "draws_hash", &s->draws_hash);
    for (size_t i = 0; e == JT_OK && i < n; i++) {
        const jt_json *x = jt_json_item(list, i);
        size_t len = 0;
        const char *purpose = jt_json_string(jt_json_member(x, "purpose"), &len);
        if (!purpose || len >= sizeof d->purpose) return trace_bad(r, "a draw has no purpose, or one that is too long");
        memcpy(d[i].purpose, purpose, len);
        e = trace_int(r, x, "index", true, 0, UINT32_MAX, &index);
        if (e == JT_OK) e = trace_double(r, x, "u", &d[i].u);
        d[i].index = (uint32_t)index;
    }
    s->drawn = d, s->n_drawn = (int32_t)n, s->draws = (uint32_t)draws;
    return e;
}

static jt_status trace_stage_read(const trace_reader *r, const jt_json *v, const jt_cand *from, int32_t n_from, jt_stage_evidence *s) {
    int64_t occurrence = 0, before = 0, after = 0, first;
    jt_status e = trace_string(r, v, "method", true, &s->method);
    if (e == JT_OK) e = trace_int(r, v, "occurrence", false, 0, UINT32_MAX, &occurrence);
    if (e == JT_OK) e = trace_int(r, v, "before", true, 0, INT32_MAX, &before);
    if (e == JT_OK) e = trace_int(r, v, "after", true, 0, INT32_MAX, &after);
    if (e == JT_OK) e = trace_float(r, v, "mass", &s->mass);
    if (e == JT_OK) e = trace_float(r, v, "seconds", &s->seconds);
    if (e == JT_OK) e = trace_cands(r, v, from, n_from, &s->cand, &s->n_cand);
    first = s->n_cand;
    if (e == JT_OK) e = trace_int(r, v, "first", false, 0, s->n_cand, &first);
    if (e == JT_OK) e = trace_drawn(r, v, s);
    s->occurrence = (uint32_t)occurrence, s->before = (int32_t)before, s->after = (int32_t)after, s->n_first = (int32_t)first;
    return e;
}

static jt_status trace_evidence_read(const trace_reader *r, const jt_json *o, const jt_evidence **out) {
    const jt_json *raw = jt_json_member(o, "raw"), *list = jt_json_member(o, "stages");
    size_t n = jt_json_count(list);
    int64_t chain = 0;
    if (!raw) return JT_OK;
    jt_evidence *v = jt_arena_alloc(r->arena, 1, sizeof *v);
    jt_stage_evidence *s = jt_arena_alloc(r->arena, n, sizeof *s);
    if (!v || !s) return trace_short(r);
    jt_status e = trace_hex_of(r, o, "stream", &v->stream);
    if (e == JT_OK) e = trace_hex_of(r, o, "logits", &v->logits);
    if (e == JT_OK) e = trace_double(r, o, "log_sum", &v->log_sum);
    if (e == JT_OK) e = trace_int(r, o, "chain", false, 0, 1 << 16, &chain);
    if (e == JT_OK) e = trace_cands(r, raw, NULL, 0, &v->raw, &v->n_raw);
    const jt_cand *from = v->raw;
    int32_t n_from = v->n_raw;
    for (size_t i = 0; e == JT_OK && i < n; i++) {
        e = trace_stage_read(r, jt_json_item(list, i), from, n_from, &s[i]);
        from = s[i].cand, n_from = s[i].n_cand;
    }
    v->chain = (int32_t)chain, v->stage = s, v->n_stage = (int32_t)n;
    *out = v;
    return e;
}

static jt_status trace_token_read(trace_reader *r, const jt_json *o, trace_job *j) {
    jt_status e = jt_grow((void **)&j->token, &j->cap, j->n + 1, sizeof *j->token, r->err);
    if (e != JT_OK) return e;
    jt_trace_token *t = &j->token[j->n];
    jt_decision *d = &t->decision;
    int64_t answer = 0, position = 0, id = 0, attempt = 0, candidates = 0;
    const char *by = jt_json_string(jt_json_member(o, "by"), NULL);
    *t = (jt_trace_token){.line = r->line};
    while (by && d->by < JT_CHOSEN_STRATEGY && strcmp(by, jt_chosen_name(d->by)) != 0) d->by++;
    if (!by || strcmp(by, jt_chosen_name(d->by)) != 0) return trace_bad(r, "\"by\" is none of draw, best, strategy");
    e = trace_int(r, o, "answer", true, 0, INT32_MAX, &answer);
    if (e == JT_OK) e = trace_int(r, o, "position", true, 0, INT32_MAX, &position);
    if (e == JT_OK) e = trace_int(r, o, "id", true, -1, (int64_t)r->t->vocab - 1, &id);
    if (e == JT_OK) e = trace_int(r, o, "attempt", true, 0, UINT32_MAX, &attempt);
    if (e == JT_OK) e = trace_int(r, o, "candidates", true, 0, INT32_MAX, &candidates);
    if (e == JT_OK) e = trace_double(r, o, "u", &d->u);
    if (e == JT_OK) e = trace_float(r, o, "raw_logprob", &d->raw_logprob);
    if (e == JT_OK) e = trace_float(r, o, "logprob", &d->logprob);
    if (e == JT_OK) e = trace_float(r, o, "entropy", &d->entropy);
    if (e == JT_OK) e = trace_float(r, o, "eval_seconds", &t->eval_seconds);
    if (e == JT_OK) e = trace_string(r, o, "text", true, &t->text);
    if (e == JT_OK) e = trace_evidence_read(r, o, &t->evidence);
    t->answer = (int)answer, d->position = (int32_t)position, d->id = (int32_t)id;
    d->attempt = (uint32_t)attempt, d->candidates = (int32_t)candidates;
    if (e == JT_OK) j->n++;
    return e;
}

/* The answer of that number, made if it is new. */
static jt_trace_answer *trace_answer_of(const trace_reader *r, trace_job *j, int answer) {
    for (size_t i = 0; i < j->j.n_answer; i++)
        if (j->answer[i].answer == answer) return &j->answer[i];
    if (jt_grow((void **)&j->answer, &j->cap_answer, j->j.n_answer + 1, sizeof *j->answer, r->err) != JT_OK) return NULL;
    j->answer[j->j.n_answer] = (jt_trace_answer){.answer = answer};
    return &j->answer[j->j.n_answer++];
}

/* ---- lines ---- */

static trace_job *trace_job_of(const trace_reader *r, uint64_t id) {
    for (size_t i = r->n_job; i--;)
        if (r->job[i].j.job == id) return &r->job[i];
    return NULL;
}

static jt_status trace_job_line(trace_reader *r, const jt_json *o, int64_t id) {
    trace_job *j = trace_job_of(r, (uint64_t)id);
    const jt_json *end = jt_json_member(o, "end"), *done = jt_json_member(o, "done");
    int64_t answer = 0;
    if (jt_json_member(o, "prompt")) {
        if (j && j->j.reason == JT_END_NONE) return trace_bad(r, "a job begins that runs already");
        jt_status e = jt_grow((void **)&r->job, &r->cap_job, r->n_job + 1, sizeof *r->job, r->err);
        if (e != JT_OK) return e;
        r->job[r->n_job] = (trace_job){.j = {.job = (uint64_t)id, .line = r->line}};
        return trace_request_read(r, o, &r->job[r->n_job++].j);
    }
    if (!j) return trace_bad(r, "it belongs to a job that never began");
    if (j->j.reason != JT_END_NONE) return trace_bad(r, "it belongs to a job that has ended");
    if (done) {
        jt_status e = trace_reason(r, done, &j->j.reason);
        return e == JT_OK ? trace_string(r, o, "message", false, &j->j.message) : e;
    }
    jt_status e = trace_int(r, o, "answer", true, 0, INT32_MAX, &answer);
    jt_trace_answer *a = e == JT_OK ? trace_answer_of(r, j, (int)answer) : NULL;
    if (e == JT_OK && !a) e = JT_NOMEM;
    if (e != JT_OK || !a) return e;
    if (a->reason != JT_END_NONE) return trace_bad(r, "it belongs to an answer that has ended");
    if (end) return trace_reason(r, end, &a->reason);
    return trace_token_read(r, o, j);
}

static jt_status trace_texts_read(trace_reader *r, const jt_json *list) {
    for (size_t i = 0; i < jt_json_count(list); i++) {
        const jt_json *pair = jt_json_item(list, i);
        int64_t id;
        size_t n;
        const char *s = jt_json_string(jt_json_item(pair, 1), &n);
        if (!jt_json_i64(jt_json_item(pair, 0), &id) || id < 0 || id >= r->t->vocab || !s)
            return trace_bad(r, "a text belongs to no token");
        if (!(r->text[id] = jt_arena_copy(r->arena, s, n))) return trace_short(r);
    }
    return JT_OK;
}

static jt_status trace_footer(trace_reader *r, const jt_json *o, uint64_t hash) {
    int64_t lines = 0;
    uint64_t told = 0;
    jt_status e = trace_int(r, o, "lines", true, 0, INT64_MAX, &lines);
    if (e == JT_OK) e = trace_hex_of(r, o, "hash", &told);
    r->t->complete = e == JT_OK;
    r->t->altered = told != hash || (size_t)lines + 1 != r->line;
    if (r->t->altered) r->t->note = "the trace was altered after it was written: its checksum is another";
    return e;
}

static jt_status trace_line(trace_reader *r, const char *s, size_t n, uint64_t hash) {
    jt_json *o = NULL;
    int64_t id;
    jt_status e = jt_json_parse(s, n, &o, r->err);
    if (e != JT_OK) return e == JT_NOMEM ? e : trace_bad(r, "it is no JSON");
    if (jt_json_kind_of(o) != JT_JSON_OBJECT)
        e = trace_bad(r, "it is no JSON object");
    else if (r->line == 1)
        e = trace_head_read(r, o);
    else if (jt_json_i64(jt_json_member(o, "job"), &id))
        e = trace_job_line(r, o, id);
    else if (jt_json_member(o, "texts"))
        e = trace_texts_read(r, jt_json_member(o, "texts"));
    else if (jt_json_member(o, "lines"))
        e = trace_footer(r, o, hash);
    else
        e = trace_bad(r, "it is neither a request, a token, an end nor the last line");
    jt_json_free(o);
    return e;
}

/* The answers of a job, each with its tokens together, into the arena. */
static jt_status trace_settle(const trace_reader *r, trace_job *j) {
    jt_trace_token *all = jt_arena_alloc(r->arena, j->n, sizeof *all);
    jt_trace_answer *a = jt_arena_alloc(r->arena, j->j.n_answer, sizeof *a);
    size_t at = 0;
    if (!all || !a) return trace_short(r);
    for (size_t i = 0; i < j->j.n_answer; i++) {
        a[i] = j->answer[i];
        a[i].token = all + at;
        for (size_t k = 0; k < j->n; k++)
            if (j->token[k].answer == a[i].answer) all[at++] = j->token[k];
        a[i].n_token = (size_t)(all + at - a[i].token);
        if (a[i].reason == JT_END_NONE && j->j.n_answer == 1) a[i].reason = j->j.reason;
    }
    j->j.answer = a, j->j.n_token = j->n;
    return JT_OK;
}

static jt_status trace_finish(trace_reader *r) {
    jt_trace_job *j = jt_arena_alloc(r->arena, r->n_job, sizeof *j);
    jt_status e = j ? JT_OK : trace_short(r);
    for (size_t i = 0; e == JT_OK && i < r->n_job; i++) {
        e = trace_settle(r, &r->job[i]);
        if (e == JT_OK) j[i] = r->job[i].j;
    }
    r->t->job = j, r->t->n_job = r->n_job;
    return e;
}

static jt_status trace_lines(trace_reader *r, const char *text, size_t n) {
    uint64_t hash = 0;
    size_t at = 0;
    while (at < n) {
        const char *end = memchr(text + at, '\n', n - at);
        size_t len = end ? (size_t)(end - text) - at + 1 : n - at;
        r->line++;
        if (r->t->complete) return trace_bad(r, "something follows the last line");
        if (!end && r->line > 1) break; /* cut inside a line */
        jt_status e = trace_line(r, text + at, len, hash);
        if (e != JT_OK) return e;
        hash = jt_hash_bytes(hash, text + at, len);
        at += len;
        r->t->lines = r->line;
    }
    if (!r->t->lines) return trace_bad(r, "the file is empty");
    if (!r->t->complete) {
        jt_str note = {0};
        jt_str_printf(&note, "the trace is cut: %s after line %zu", at < n ? "it ends inside a line," : "it ends", r->t->lines);
        r->t->note = jt_str_check(&note, r->err) == JT_OK ? jt_arena_copy(r->arena, note.s, note.n) : NULL;
        jt_str_free(&note);
        if (!r->t->note) return trace_short(r);
    }
    return trace_finish(r);
}

jt_status jt_trace_parse(const char *text, size_t n, jt_trace **out, jt_error *err) {
    trace_box *b = jt_alloc(1, sizeof *b);
    if (!b) return jt_nomem(err, "a trace", 1, sizeof *b);
    trace_reader r = {.t = &b->t, .arena = &b->arena, .err = err};
    jt_status e = trace_lines(&r, text, n);
    for (size_t i = 0; i < r.n_job; i++) jt_free(r.job[i].token), jt_free(r.job[i].answer);
    jt_free(r.job);
    if (e != JT_OK) return jt_trace_free(&b->t), e;
    *out = &b->t;
    return JT_OK;
}

jt_status jt_trace_read(const char *path, jt_trace **out, jt_error *err) {
    jt_str text = {0};
    jt_status e = jt_file_read(path, &text, err);
    if (e == JT_OK) {
        e = jt_trace_parse(jt_str_c(&text), text.n, out, err);
        if (e != JT_OK) e = jt_error_in(err, e, "%s", path);
    }
    jt_str_free(&text);
    return e;
}

void jt_trace_free(jt_trace *t) {
    trace_box *b = (trace_box *)(void *)t;
    if (!b) return;
    jt_arena_free(&b->arena);
    jt_free(b);
}
