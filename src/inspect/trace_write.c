/* trace_write.c: traces as JSON lines (docs/traces.md), a line at a time. */
#include <math.h>
#include <string.h>

#include "core/hash.h"
#include "core/mem.h"
#include "decode/pipeline.h"
#include "inspect/trace.h"
#include "jeton/text.h"
#include "step/param.h"

enum { TEXTS_MOST = 64 }; /* of one list, whose texts are told */

/* A job that is written. */
typedef struct trace_live {
    jt_job job;
    int top;
} trace_live;

struct jt_trace_writer {
    jt_trace_put put;
    void *self;
    jt_str models, adapters; /* members of the head */
    const jt_tokenizer *tokenizer;
    int vocab;
    jt_str line;
    trace_live *live;
    size_t n_live, cap_live;
    size_t lines, jobs, tokens;
    uint64_t hash;
    bool begun;
    unsigned char *known; /* [vocab]: ids whose text is in the file; NULL: none yet */
};

/* ---- numbers ---- */

static void trace_digits(jt_str *o, int digits, double x) {
    char t[40];
    int n = snprintf(t, sizeof t, "%.*g", digits, x);
    for (int i = 0; i < n; i++)
        if (t[i] == ',') t[i] = '.';
    jt_str_puts(o, t);
}

void jt_trace_put_double(jt_str *o, double x) {
    if (isnan(x))
        jt_str_puts(o, "null");
    else if (isinf(x))
        jt_str_puts(o, x > 0 ? "\"inf\"" : "\"-inf\"");
    else if (x == 0)
        jt_str_puts(o, signbit(x) ? "-0.0" : "0");
    else
        trace_digits(o, 17, x);
}

/* Nine digits read back as the same float, by way of a double too: they lie nearer to it than any border between floats. */
void jt_trace_put_float(jt_str *o, float x) {
    if (!isfinite(x) || x == 0)
        jt_trace_put_double(o, (double)x);
    else
        trace_digits(o, 9, (double)x);
}

const char *jt_chosen_name(jt_chosen c) { return c == JT_CHOSEN_DRAWN ? "draw" : c == JT_CHOSEN_BEST ? "best" : "strategy"; }

void jt_trace_piece(const jt_tokenizer *t, int32_t id, jt_str *o) {
    size_t n = 0;
    const char *s = t && id >= 0 ? jt_token_bytes(t, id, &n) : "";
    if (!n || !memchr(s, 0, n)) return jt_str_json(o, s, n);
    jt_str whole = {0}; /* JSON's readers take no NUL */
    for (size_t i = 0; i < n; i++) jt_str_add(&whole, s[i] ? s + i : "\xEF\xBF\xBD", s[i] ? 1 : 3);
    jt_str_json(o, jt_str_c(&whole), whole.n);
    o->failed |= whole.failed;
    jt_str_free(&whole);
}

/* ---- lines ---- */

/* Sends the line, and forgets it. */
static jt_status trace_send(jt_trace_writer *w, bool last, jt_error *err) {
    jt_str_putc(&w->line, '\n');
    jt_status e = jt_str_check(&w->line, err);
    if (e == JT_OK) e = w->put(w->self, w->line.s, w->line.n, err);
    if (e == JT_OK && !last) w->hash = jt_hash_bytes(w->hash, w->line.s, w->line.n), w->lines++;
    jt_str_clear(&w->line);
    return e;
}

static void trace_text(jt_str *o, const char *name, const char *s) {
    jt_str_printf(o, ",\"%s\":", name);
    jt_str_json(o, s, strlen(s));
}

static void trace_hex(jt_str *o, const char *name, uint64_t x) { jt_str_printf(o, ",\"%s\":\"%016llx\"", name, (unsigned long long)x); }

jt_status jt_trace_writer_new(jt_trace_put put, void *self, jt_trace_writer **out, jt_error *err) {
    jt_trace_writer *w = jt_alloc(1, sizeof *w);
    if (!w) return jt_nomem(err, "a trace", 1, sizeof *w);
    w->put = put, w->self = self;
    *out = w;
    return JT_OK;
}

void jt_trace_writer_of(jt_trace_writer *w, int vocab, const jt_tokenizer *t) { w->vocab = vocab, w->tokenizer = t; }

void jt_trace_writer_free(jt_trace_writer *w) {
    if (!w) return;
    jt_str_free(&w->models), jt_str_free(&w->adapters), jt_str_free(&w->line);
    jt_free(w->live), jt_free(w->known);
    jt_free(w);
}

/* ---- the head ---- */

static jt_status trace_begun(const jt_trace_writer *w, jt_error *err) {
    return w->begun ? jt_error_set(err, JT_INVALID, "models and adapters of a trace come before its first request") : JT_OK;
}

jt_status jt_trace_write_model(jt_trace_writer *w, const char *role, jt_model *m, const char *path, jt_error *err) {
    char digest[65];
    uint64_t bytes = 0;
    jt_model_info info;
    jt_status e = trace_begun(w, err);
    if (e == JT_OK) e = jt_trace_digest(path, digest, &bytes, err);
    if (e != JT_OK) return e;
    jt_model_get_info(m, &info);
    jt_str *o = &w->models;
    if (!o->n) w->tokenizer = jt_model_tokenizer(m), w->vocab = info.vocab;
    jt_str_puts(o, o->n ? ",{\"role\":" : "{\"role\":");
    jt_str_json(o, role, strlen(role));
    trace_text(o, "name", info.name);
    trace_text(o, "path", path);
    trace_text(o, "digest", digest);
    jt_str_printf(o, ",\"bytes\":%llu", (unsigned long long)bytes);
    trace_hex(o, "mode", info.mode);
    trace_text(o, "activations", info.activations);
    trace_text(o, "kv_type", info.kv_type);
    jt_str_putc(o, '}');
    return jt_str_check(o, err);
}

jt_status jt_trace_write_adapter(jt_trace_writer *w, const char *name, const jt_adapter *a, const char *path, float scale, jt_error *err) {
    char digest[65];
    jt_adapter_info info;
    jt_status e = trace_begun(w, err);
    if (e == JT_OK) e = jt_trace_digest(path, digest, NULL, err);
    if (e != JT_OK) return e;
    jt_adapter_get_info(a, &info);
    jt_str *o = &w->adapters;
    jt_str_puts(o, o->n ? ",{\"name\":" : "{\"name\":");
    jt_str_json(o, name, strlen(name));
    trace_text(o, "path", path);
    trace_text(o, "digest", digest);
    trace_hex(o, "mode", info.mode);
    jt_str_puts(o, ",\"scale\":");
    jt_trace_put_float(o, scale);
    jt_str_putc(o, '}');
    return jt_str_check(o, err);
}

static jt_status trace_head(jt_trace_writer *w, jt_error *err) {
    jt_str *o = &w->line;
    w->begun = true;
    jt_str_printf(o, "{\"jeton_trace\":%d", JT_TRACE_VERSION);
    trace_text(o, "jeton", jt_version());
    jt_str_printf(o, ",\"vocab\":%d,\"models\":[%s]", w->vocab, jt_str_c(&w->models));
    if (w->adapters.n) jt_str_printf(o, ",\"adapters\":[%s]", w->adapters.s);
    jt_str_putc(o, '}');
    return trace_send(w, false, err);
}

/* ---- requests ---- */

static void trace_request(const jt_request *r, jt_str *o) {
    static const jt_request plain;
    jt_str_printf(o, ",\"seed\":\"%llu\",\"choice\":%u,\"context\":%d", (unsigned long long)r->seed, r->choice, r->context);
    jt_str_printf(o, ",\"max_tokens\":%d,\"candidates\":%d", r->max_tokens, r->trace_candidates);
    if (r->top_logprobs) jt_str_printf(o, ",\"top_logprobs\":%d", r->top_logprobs);
    if (r->on_full != plain.on_full) jt_str_puts(o, ",\"on_full\":\"refuse\"");
    if (r->ignore_end) jt_str_puts(o, ",\"ignore_end\":true");
    if (r->special) jt_str_puts(o, ",\"special\":true");
    for (size_t i = 0; i < r->n_stop; i++) {
        jt_str_puts(o, i ? "," : ",\"stop\":[");
        jt_str_json(o, r->stop[i], strlen(r->stop[i]));
    }
    if (r->n_stop) jt_str_putc(o, ']');
    for (size_t i = 0; i < r->n_stop_ids; i++) jt_str_printf(o, "%s%d", i ? "," : ",\"stop_ids\":[", r->stop_ids[i]);
    if (r->n_stop_ids) jt_str_putc(o, ']');
    if (r->adapter) {
        trace_text(o, "adapter", r->adapter);
        jt_str_puts(o, ",\"adapter_scale\":");
        jt_trace_put_float(o, r->adapter_scale);
    }
    for (size_t i = 0; i < r->n_messages; i++) {
        jt_str_puts(o, i ? ",{\"role\":" : ",\"messages\":[{\"role\":");
        jt_str_json(o, r->messages[i].role, strlen(r->messages[i].role));
        trace_text(o, "content", r->messages[i].content);
        jt_str_putc(o, '}');
    }
    if (r->n_messages) jt_str_putc(o, ']');
    jt_str_puts(o, ",\"prompt\":[");
    for (size_t i = 0; i < r->n_prompt; i++) jt_str_printf(o, "%s%d", i ? "," : "", r->prompt[i]);
    jt_str_putc(o, ']');
}

static jt_status trace_pipeline(const jt_pipeline *p, jt_str *o, jt_error *err) {
    jt_str text = {0};
    trace_text(o, "pipeline", p ? jt_pipeline_text(p) : "greedy");
    jt_str_puts(o, ",\"stages\":[");
    for (int i = 0; p && i < p->n_stage; i++) {
        jt_str_clear(&text);
        jt_str_puts(&text, p->stage[i].m->name);
        jt_params_print(p->stage[i].m, p->stage[i].par, &text);
        if (i) jt_str_putc(o, ',');
        jt_str_json(o, jt_str_c(&text), text.n);
    }
    jt_str_putc(o, ']');
    jt_status e = jt_str_check(&text, err);
    jt_str_free(&text);
    return e;
}

jt_status jt_trace_write_request(jt_trace_writer *w, jt_job job, const jt_request *r, jt_error *err) {
    jt_status e = w->begun ? JT_OK : trace_head(w, err);
    if (e == JT_OK) e = jt_grow((void **)&w->live, &w->cap_live, w->n_live + 1, sizeof *w->live, err);
    if (e != JT_OK) return e;
    jt_str_printf(&w->line, "{\"job\":%llu", (unsigned long long)job);
    e = trace_pipeline(r->pipeline, &w->line, err);
    trace_request(r, &w->line);
    jt_str_putc(&w->line, '}');
    if (e != JT_OK) return jt_str_clear(&w->line), e;
    w->live[w->n_live++] = (trace_live){.job = job, .top = r->top_logprobs};
    w->jobs++;
    return trace_send(w, false, err);
}

/* ---- tokens ---- */

/* Candidates after those that came before, saying only what differs: "n" of the same order, their ids, their logits. */
static void trace_list(const jt_cand *c, int n, const jt_cand *from, int n_from, jt_str *o) {
    bool ids = n > n_from, x = n > n_from;
    for (int i = 0; i < n && i < n_from; i++) {
        ids |= c[i].id != from[i].id;
        x |= !jt_same_float(c[i].logit, from[i].logit);
    }
    jt_str_printf(o, ",\"n\":%d", n);
    for (int i = 0; ids && i < n; i++) jt_str_printf(o, "%s%d", i ? "," : ",\"ids\":[", c[i].id);
    if (ids && n) jt_str_putc(o, ']');
    for (int i = 0; (ids || x) && i < n; i++) {
        jt_str_puts(o, i ? "," : ",\"x\":[");
        jt_trace_put_float(o, c[i].logit);
    }
    if ((ids || x) && n) jt_str_putc(o, ']');
}

static void trace_stage(const jt_stage_evidence *s, const jt_cand *from, int n_from, jt_str *o) {
    jt_str_puts(o, "{\"method\":");
    jt_str_json(o, s->method, strlen(s->method));
    if (s->occurrence) jt_str_printf(o, ",\"occurrence\":%u", s->occurrence);
    jt_str_printf(o, ",\"before\":%d,\"after\":%d,\"mass\":", s->before, s->after);
    jt_trace_put_float(o, s->mass);
    jt_str_puts(o, ",\"seconds\":");
    jt_trace_put_float(o, s->seconds);
    if (s->n_first != s->n_cand) jt_str_printf(o, ",\"first\":%d", s->n_first);
    trace_list(s->cand, s->n_cand, from, n_from, o);
    for (int i = 0; i < s->n_drawn; i++) {
        jt_str_puts(o, i ? ",{\"purpose\":" : ",\"drawn\":[{\"purpose\":");
        jt_str_json(o, s->drawn[i].purpose, strlen(s->drawn[i].purpose));
        jt_str_printf(o, ",\"index\":%u,\"u\":", s->drawn[i].index);
        jt_trace_put_double(o, s->drawn[i].u);
        jt_str_putc(o, '}');
    }
    if (s->n_drawn) jt_str_putc(o, ']');
    if (s->draws) {
        jt_str_printf(o, ",\"draws\":%u", s->draws);
        trace_hex(o, "draws_hash", s->draws_hash);
    }
    jt_str_putc(o, '}');
}

static void trace_evidence(const jt_evidence *v, jt_str *o) {
    const jt_cand *from = v->raw;
    int n = v->n_raw;
    trace_hex(o, "stream", v->stream);
    trace_hex(o, "logits", v->logits);
    jt_str_puts(o, ",\"log_sum\":");
    jt_trace_put_double(o, v->log_sum);
    if (v->chain) jt_str_printf(o, ",\"chain\":%d", v->chain);
    jt_str_puts(o, ",\"raw\":{\"of\":\"model\"");
    trace_list(from, n, NULL, 0, o);
    jt_str_puts(o, "},\"stages\":[");
    for (int i = 0; i < v->n_stage; i++) {
        if (i) jt_str_putc(o, ',');
        trace_stage(&v->stage[i], from, n, o);
        from = v->stage[i].cand, n = v->stage[i].n_cand;
    }
    jt_str_putc(o, ']');
}

static void trace_token(const jt_trace_writer *w, const jt_event *e, jt_str *o) {
    const jt_decision *d = &e->decision;
    jt_str_printf(o, ",\"answer\":%d,\"position\":%d,\"id\":%d,\"text\":", e->answer, d->position, d->id);
    jt_trace_piece(w->tokenizer, d->id, o);
    jt_str_printf(o, ",\"by\":\"%s\",\"attempt\":%u,\"u\":", jt_chosen_name(d->by), d->attempt);
    jt_trace_put_double(o, d->u);
    jt_str_puts(o, ",\"raw_logprob\":");
    jt_trace_put_float(o, d->raw_logprob);
    jt_str_puts(o, ",\"logprob\":");
    jt_trace_put_float(o, d->logprob);
    jt_str_printf(o, ",\"candidates\":%d,\"entropy\":", d->candidates);
    jt_trace_put_float(o, d->entropy);
    jt_str_puts(o, ",\"eval_seconds\":");
    jt_trace_put_float(o, e->eval_seconds);
    if (e->evidence) trace_evidence(e->evidence, o);
}

/* Texts of candidates that the file has not told yet, of the first of each list. */
static void trace_new_texts(jt_trace_writer *w, const jt_cand *c, int n, jt_str *o) {
    for (int i = 0; i < n && i < TEXTS_MOST; i++) {
        if (w->known[c[i].id]) continue;
        w->known[c[i].id] = 1;
        jt_str_printf(o, "%s[%d,", o->n ? "," : "{\"texts\":[", c[i].id);
        jt_trace_piece(w->tokenizer, c[i].id, o);
        jt_str_putc(o, ']');
    }
}

static jt_status trace_texts(jt_trace_writer *w, const jt_evidence *v, jt_error *err) {
    if (!w->tokenizer || !w->vocab) return JT_OK;
    if (!w->known && !(w->known = jt_alloc((size_t)w->vocab, 1))) return jt_nomem(err, "the texts of a trace", (size_t)w->vocab, 1);
    trace_new_texts(w, v->raw, v->n_raw, &w->line);
    for (int i = 0; i < v->n_stage; i++) trace_new_texts(w, v->stage[i].cand, v->stage[i].n_cand, &w->line);
    if (!w->line.n) return JT_OK;
    jt_str_puts(&w->line, "]}");
    return trace_send(w, false, err);
}

static void trace_end(const jt_event *e, jt_str *o) {
    bool job = e->kind == JT_EVENT_END;
    if (!job) jt_str_printf(o, ",\"answer\":%d", e->answer);
    trace_text(o, job ? "done" : "end", jt_end_reason_name(e->reason));
    if (e->message) trace_text(o, "message", e->message);
    jt_str_printf(o, ",\"prompt_tokens\":%d,\"answer_tokens\":%d,\"prompt_seconds\":", e->prompt_tokens, e->answer_tokens);
    jt_trace_put_double(o, e->prompt_seconds);
    jt_str_puts(o, ",\"answer_seconds\":");
    jt_trace_put_double(o, e->answer_seconds);
}

jt_status jt_trace_write_event(jt_trace_writer *w, const jt_event *e, jt_error *err) {
    size_t k = 0;
    while (k < w->n_live && w->live[k].job != e->job) k++;
    if (k == w->n_live) return JT_OK;
    jt_status s = e->evidence ? trace_texts(w, e->evidence, err) : JT_OK;
    if (s != JT_OK) return s;
    jt_str_printf(&w->line, "{\"job\":%llu", (unsigned long long)e->job);
    if (e->kind == JT_EVENT_TOKEN)
        trace_token(w, e, &w->line), w->tokens++;
    else
        trace_end(e, &w->line);
    jt_str_putc(&w->line, '}');
    if (e->kind == JT_EVENT_END) w->live[k] = w->live[--w->n_live];
    return trace_send(w, false, err);
}

jt_status jt_trace_write_end(jt_trace_writer *w, jt_error *err) {
    jt_status e = w->begun ? JT_OK : trace_head(w, err);
    if (e != JT_OK) return e;
    jt_str_printf(&w->line, "{\"lines\":%zu,\"jobs\":%zu,\"tokens\":%zu", w->lines, w->jobs, w->tokens);
    trace_hex(&w->line, "hash", w->hash);
    jt_str_putc(&w->line, '}');
    return trace_send(w, true, err);
}
