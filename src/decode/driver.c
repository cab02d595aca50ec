/* driver.c: the driver and its models, and handing out what jobs have said. */
#include "decode/driver.h"

#include <string.h>

#include "core/random.h"

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
    d->model->ev = *ev, d->n_model = 1, d->kept_most = JT_PREFIX_AUTO;
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

int jt_driver_role(const jt_driver *d, const char *role) {
    for (int i = 1; i < d->n_model; i++)
        if (!strcmp(d->model[i].role, role)) return i;
    return -1;
}

/* Tokens are the same if their bytes are. */
static jt_status driver_same_tokens(const jt_evaluator *a, const jt_evaluator *b, const char *role, jt_error *err) {
    if (a->vocab != b->vocab)
        return jt_error_set(err, JT_INVALID, "the model for the role \"%s\" has %d tokens and the main one %d; they must have the same",
                            role, b->vocab, a->vocab);
    for (int32_t id = 0; a->tokenizer && b->tokenizer && a->tokenizer != b->tokenizer && id < a->vocab; id++) {
        size_t n, m;
        const char *x = jt_token_bytes(a->tokenizer, id, &n), *y = jt_token_bytes(b->tokenizer, id, &m);
        if (n != m || memcmp(x, y, n) != 0)
            return jt_error_set(err, JT_INVALID, "token %d of the model for the role \"%s\" is another than the main model's", (int)id,
                                role);
    }
    return JT_OK;
}

jt_status jt_driver_add_with(jt_driver *d, const char *role, const jt_evaluator *ev, jt_error *err) {
    if (!role || !*role || strlen(role) >= sizeof d->model->role)
        return jt_error_set(err, JT_INVALID, "a role has 1 to %zu bytes", sizeof d->model->role - 1);
    if (jt_driver_role(d, role) >= 0 || d->last)
        return jt_error_set(
            err, JT_INVALID,
            d->last ? "the role \"%s\" comes after the first job; add models before it" : "the role \"%s\" has its model already", role);
    if (d->n_model == JT_MODELS) return jt_error_set(err, JT_LIMIT, "a driver has at most %d models", JT_MODELS);
    jt_status e = driver_same_tokens(&d->model->ev, ev, role, err);
    if (e == JT_OK && !d->second) e = jt_dist_new(ev->vocab, d->model->ev.kernels, &d->second, err);
    if (e != JT_OK) return e;
    jt_side *m = &d->model[d->n_model++];
    m->ev = *ev;
    memcpy(m->role, role, strlen(role) + 1);
    return JT_OK;
}

/* Gives back the memory of its branches. */
static void live_retire(jt_driver *d, jt_live *j) {
    if (j->admitted) d->cache_held -= j->need;
    j->admitted = false;
    jt_prefix_unpin(d, j);
    jt_inst_free(d, j, j->root);
    j->root = NULL;
}

void jt_live_free(jt_driver *d, jt_live *j) {
    if (!j) return;
    live_retire(d, j);
    for (size_t i = 0; j->stop && i < j->n_stop; i++) jt_free(j->stop[i]);
    jt_free(j->stop), jt_free(j->stop_len), jt_free(j->stop_ids), jt_free(j->stage_at), jt_free(j->kin);
    jt_free(j->chain), jt_free(j->stage);
    jt_worn_put(j->adapter);
    jt_arena_free(&j->words);
    for (jt_room *m = j->rooms, *next; m; m = next) {
        next = m->next;
        jt_free(m->logits), jt_free(m->second), jt_free(m->hidden), jt_free(m->top_ids), jt_free(m->top_logits);
        jt_free(m->targets), jt_free(m->target_logprob), jt_free(m->layer), jt_free(m->stream), jt_free(m);
    }
    for (int i = 0; i < JT_MODELS; i++) jt_free(j->streams[i].layer);
    for (jt_reply *a = j->first, *next; a; a = next) next = a->next, jt_reply_free(a);
    jt_reply_free(j->main), jt_reply_free(j->given);
    jt_free(j);
}

void jt_driver_free(jt_driver *d) {
    if (!d) return;
    jt_live_free(d, d->gone);
    while (d->first) {
        jt_live *j = d->first;
        d->first = j->next;
        jt_live_free(d, j);
    }
    (void)jt_prefix_clear(d);
    for (int i = 0; i < JT_MODELS; i++) {
        jt_side *m = &d->model[i];
        jt_free(m->part), jt_free(m->span), jt_free(m->want), jt_free(m->ids), jt_free(m->parent);
        jt_free(m->rank), jt_free(m->place), jt_free(m->group), jt_free(m->input), jt_free(m->layers);
    }
    jt_shared_free(d);
    for (jt_known *k = d->known, *next; k; k = next) next = k->next, jt_free(k);
    jt_pipeline_free(d->greedy);
    jt_dist_free(d->raw), jt_dist_free(d->staged), jt_dist_free(d->before), jt_dist_free(d->second), jt_dist_free(d->held);
    jt_dist_free(d->projected), jt_free(d->projection);
    jt_free(d->seen), jt_free(d->count), jt_free(d->alike);
    jt_ink_free(&d->ink);
    jt_free(d);
}

double jt_driver_now(const jt_driver *d) { return d->model->ev.now(d->model->ev.self); }
void jt_driver_stats(const jt_driver *d, jt_driver_counts *out) {
    *out = d->counts;
    out->cache = d->cache_held, out->held = d->held_bytes, out->prefix_bytes = d->kept_held;
    for (const jt_live *j = d->first; j; j = j->next) out->waiting += !j->admitted && j->end == JT_END_NONE;
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
    j->ended = jt_driver_now(d);
    jt_reply_end(d, j, j->main, why);
}

/* ---- handing out ---- */

static void give_common(const jt_live *j, const jt_reply *a, jt_event *e) {
    *e = (jt_event){.job = j->id, .answer = a->index, .prompt_tokens = j->n_prompt};
    e->decision = (jt_decision){.id = -1, .position = -1, .raw_logprob = NAN, .logprob = NAN, .u = NAN, .entropy = NAN};
}

static void give_token(const jt_live *j, jt_reply *a, jt_event *e) {
    const jt_record *r = &a->record[a->handed++];
    give_common(j, a, e);
    e->kind = JT_EVENT_TOKEN;
    e->decision = r->decision;
    e->text = jt_str_c(&a->text) + r->text, e->n_text = r->n_text;
    e->n_top = r->n_top, e->n_stage = r->n_stage;
    if (r->n_top) e->top = a->top + r->top;
    if (r->n_stage) e->stage = a->stage + r->stage;
    if (r->sheet) e->evidence = &r->sheet->e;
    e->eval_seconds = r->eval_seconds;
    e->answer_tokens = r->answer_tokens;
}

/* The end of an answer, with the text that was held back. */
static void give_answer(const jt_live *j, const jt_reply *a, jt_event *e) {
    give_common(j, a, e);
    e->kind = JT_EVENT_ANSWER;
    e->reason = a->end;
    e->text = jt_str_c(&a->text) + a->end_text, e->n_text = a->text.n - a->end_text;
    e->note = a->note, e->n_note = a->n_note;
    e->answer_tokens = a->n;
    e->prompt_seconds = (a->n ? a->first : a->ended) - j->submitted;
    e->answer_seconds = a->n ? a->ended - a->first : 0;
}

static void give_end(const jt_live *j, jt_event *e) {
    bool whole = j->zero != JT_END_NONE;
    give_answer(j, j->main, e);
    e->kind = JT_EVENT_END;
    e->reason = j->end;
    e->reused_tokens = j->reused;
    if (whole) {
        e->answer_tokens = j->zero_tokens;
        e->prompt_seconds = (j->zero_tokens ? j->zero_first : j->ended) - j->submitted;
        e->answer_seconds = j->zero_tokens ? j->ended - j->zero_first : 0;
    }
    if (j->end == JT_END_ERROR) e->message = j->error.message;
}

/* The job's next event; false if it has none yet. */
static bool give(jt_live *j, jt_event *e) {
    if (j->main->handed < j->main->n_record) return give_token(j, j->main, e), true;
    jt_reply *a = j->first;
    if (a && a->handed < a->n_record) return give_token(j, a, e), true;
    if (!a) return false;
    give_answer(j, a, e);
    j->first = a->next, j->given = a;
    return true;
}

jt_status jt_driver_next(jt_driver *d, jt_event *e, jt_error *err) {
    (void)err;
    jt_live_free(d, d->gone);
    d->gone = NULL;
    for (;;) {
        for (jt_live **at = &d->first; *at; at = &(*at)->next) {
            jt_live *j = *at;
            jt_reply_free(j->given);
            j->given = NULL;
            if (give(j, e)) return JT_OK;
            if (j->end != JT_END_NONE) {
                give_end(j, e);
                *at = j->next, d->gone = j, d->n_live--;
                jt_prefix_keep(d, j);
                live_retire(d, j);
                jt_prefix_give_way(d, 0);
                return JT_OK;
            }
            jt_reply_release(j->main);
            j->main->n_record = j->main->handed = j->main->n_top = j->main->n_stage = 0;
            jt_str_clear(&j->main->text);
        }
        if (!d->first) {
            *e = (jt_event){.kind = JT_EVENT_END, .decision = {.id = -1, .position = -1}};
            return JT_OK;
        }
        jt_driver_round(d);
    }
}
