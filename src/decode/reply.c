/* reply.c: from emitted tokens to text. Text that could begin a stop string is held
 * back until later tokens decide; so are bytes of an unfinished character. */
#include <string.h>

#include "decode/driver.h"

/* The place of the earliest stop string in `held`, or n_held. */
static size_t reply_stop_at(const jt_live *j, const jt_reply *a) {
    for (size_t at = 0; at < a->n_held; at++)
        for (size_t i = 0; i < j->n_stop; i++)
            if (j->stop_len[i] <= a->n_held - at && !memcmp(a->held + at, j->stop[i], j->stop_len[i])) return at;
    return a->n_held;
}

/* How many bytes at the end of `held` could begin a stop string. */
static size_t reply_undecided(const jt_live *j, const jt_reply *a) {
    for (size_t at = 0; at < a->n_held; at++)
        for (size_t i = 0; i < j->n_stop; i++)
            if (j->stop_len[i] > a->n_held - at && !memcmp(a->held + at, j->stop[i], a->n_held - at)) return a->n_held - at;
    return 0;
}

/* Moves the first n held bytes into a->text. */
static void reply_release(jt_reply *a, size_t n) {
    if (!n) return;
    jt_str_add(&a->text, a->held, n);
    memmove(a->held, a->held + n, a->n_held - n);
    a->n_held -= n;
}

/* Appends the token's text to what is held. */
static jt_status reply_hold(const jt_driver *d, const jt_live *j, jt_reply *a, int32_t id, jt_error *err) {
    size_t len, need, got = 0;
    if (!d->model->ev.tokenizer) return JT_OK;
    (void)jt_token_bytes(d->model->ev.tokenizer, id, &len);
    if (!jt_mul(len, 3, &need) || !jt_add(need, a->n_held + 32, &need)) return jt_nomem(err, "the text of a token", len, 3);
    jt_status e = jt_grow((void **)&a->held, &a->cap_held, need, 1, err);
    if (e == JT_OK)
        e = jt_detok_push(d->model->ev.tokenizer, &a->detok, id, j->special, a->held + a->n_held, a->cap_held - a->n_held, &got, err);
    a->n_held += got;
    return e;
}

/* The last unfinished character joins what is held; cap_held was left room for it. */
static void reply_finish_character(jt_reply *a) {
    char tail[10];
    size_t n = jt_detok_end(&a->detok, tail);
    if (a->cap_held - a->n_held < n) return;
    memcpy(a->held + a->n_held, tail, n);
    a->n_held += n;
}

static void reply_flush(const jt_live *j, jt_reply *a) {
    if (!a->held) return;
    reply_finish_character(a);
    reply_release(a, reply_stop_at(j, a));
    a->n_held = 0;
}

void jt_reply_end(jt_driver *d, const jt_live *j, jt_reply *a, jt_end_reason why) {
    if (a->end != JT_END_NONE) return;
    a->end = why;
    a->ended = jt_driver_now(d);
    a->end_text = a->text.n;
    reply_flush(j, a);
}

static jt_status reply_append(void **p, size_t *n, size_t *cap, const void *more, int count, size_t size, jt_error *err) {
    jt_status e = jt_grow(p, cap, *n + (size_t)count, size, err);
    if (e != JT_OK || !count) return e;
    memcpy((char *)*p + *n * size, more, (size_t)count * size);
    *n += (size_t)count;
    return JT_OK;
}

jt_end_reason jt_reply_why(const jt_driver *d, const jt_live *j, const jt_decision *made, int n) {
    if (!j->ignore_end && d->model->ev.tokenizer && jt_token_is_end(d->model->ev.tokenizer, made->id)) return JT_END_TOKEN;
    for (size_t i = 0; i < j->n_stop_ids; i++)
        if (j->stop_ids[i] == made->id) return JT_END_STOP;
    if (j->max_tokens && n >= j->max_tokens) return JT_END_LENGTH;
    if (made->position + 1 >= j->context) return JT_END_CONTEXT;
    return JT_END_NONE;
}

jt_status jt_reply_take(jt_driver *d, jt_live *j, jt_reply *a, const jt_trail *t, size_t at, jt_error *err) {
    const jt_made *m = &t->made[at];
    bool traced = m->traced && !a->silent;
    jt_record r = {.decision = m->decision,
                   .text = a->text.n,
                   .top = a->n_top,
                   .stage = a->n_stage,
                   .n_top = traced ? j->top : 0,
                   .n_stage = traced ? m->n_stage : 0,
                   .answer_tokens = a->n + 1,
                   .eval_seconds = m->eval_seconds};
    jt_end_reason end = jt_reply_why(d, j, &m->decision, a->n + 1);
    bool mute = end == JT_END_TOKEN || end == JT_END_STOP;
    jt_status e = a->silent ? JT_OK : jt_grow((void **)&a->record, &a->cap_record, a->n_record + 1, sizeof *a->record, err);
    if (e == JT_OK)
        e = reply_append((void **)&a->top, &a->n_top, &a->cap_top, r.n_top ? t->top + at * (size_t)j->top : NULL, r.n_top, sizeof *a->top,
                         err);
    if (e == JT_OK)
        e = reply_append((void **)&a->stage, &a->n_stage, &a->cap_stage, r.n_stage ? t->stage + at * (size_t)j->most_stage : NULL,
                         r.n_stage, sizeof *a->stage, err);
    if (e == JT_OK && !mute) e = reply_hold(d, j, a, m->decision.id, err);
    /* Room for all that is held, its last character and two NULs, so that from here on, and at a later end, nothing can fail. */
    if (e == JT_OK) e = jt_grow((void **)&a->text.s, &a->text.cap, a->text.n + a->n_held + 16, 1, err);
    if (e != JT_OK) return e;
    size_t stop = reply_stop_at(j, a);
    bool stopped = stop < a->n_held;
    if (stopped) a->n_held = stop, a->detok = (jt_detok){0}, end = JT_END_STOP;
    a->n++;
    double now = jt_driver_now(d);
    if (a->n == 1) a->first = now;
    if (end == JT_END_NONE && !a->whole && now >= j->deadline) end = JT_END_TIME;
    if (end == JT_END_NONE)
        reply_release(a, a->n_held - reply_undecided(j, a));
    else if (stopped)
        reply_release(a, a->n_held);
    else
        reply_flush(j, a);
    r.n_text = a->text.n - r.text;
    jt_str_putc(&a->text, 0);
    if (a->silent) {
        jt_str_clear(&a->text);
    } else {
        if (traced && t->sheet) jt_sheet_set(&r.sheet, t->sheet[at]);
        a->record[a->n_record++] = r;
    }
    if (end != JT_END_NONE) jt_reply_end(d, j, a, end);
    return JT_OK;
}

jt_status jt_reply_copy(const jt_reply *from, jt_reply **out, jt_error *err) {
    jt_reply *a = jt_alloc(1, sizeof *a);
    if (!a) return jt_nomem(err, "a transcript", 1, sizeof *a);
    *a = (jt_reply){.silent = true, .detok = from->detok, .n = from->n, .first = from->first, .ended = from->ended, .end = from->end};
    jt_status e = from->n_held ? jt_grow((void **)&a->held, &a->cap_held, from->n_held, 1, err) : JT_OK;
    if (e == JT_OK && from->n_held) memcpy(a->held, from->held, from->n_held), a->n_held = from->n_held;
    if (e == JT_OK)
        *out = a;
    else
        jt_reply_free(a);
    return e;
}

void jt_reply_release(jt_reply *a) {
    for (size_t i = 0; i < a->n_record; i++) jt_sheet_set(&a->record[i].sheet, NULL);
}

void jt_reply_free(jt_reply *a) {
    if (!a) return;
    jt_reply_release(a);
    jt_free(a->held), jt_free(a->record), jt_free(a->top), jt_free(a->stage), jt_free(a->note);
    jt_str_free(&a->text);
    jt_free(a);
}
