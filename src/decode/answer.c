/* answer.c: from emitted tokens to text. Text that could begin a stop string is held
 * back until later tokens decide; so are bytes of an unfinished character. */
#include <string.h>

#include "decode/driver.h"

/* The place of the earliest stop string in `held`, or n_held. */
static size_t answer_stop_at(const jt_live *j) {
    for (size_t at = 0; at < j->n_held; at++)
        for (size_t i = 0; i < j->n_stop; i++)
            if (j->stop_len[i] <= j->n_held - at && !memcmp(j->held + at, j->stop[i], j->stop_len[i])) return at;
    return j->n_held;
}

/* How many bytes at the end of `held` could begin a stop string. */
static size_t answer_undecided(const jt_live *j) {
    for (size_t at = 0; at < j->n_held; at++)
        for (size_t i = 0; i < j->n_stop; i++)
            if (j->stop_len[i] > j->n_held - at && !memcmp(j->held + at, j->stop[i], j->n_held - at)) return j->n_held - at;
    return 0;
}

/* Moves the first n held bytes into j->text. */
static void answer_release(jt_live *j, size_t n) {
    if (!n) return;
    jt_str_add(&j->text, j->held, n);
    memmove(j->held, j->held + n, j->n_held - n);
    j->n_held -= n;
}

/* Appends the token's text to what is held. */
static jt_status answer_hold(jt_driver *d, jt_live *j, int32_t id, jt_error *err) {
    size_t len, need, got = 0;
    if (!d->ev.tokenizer) return JT_OK;
    (void)jt_token_bytes(d->ev.tokenizer, id, &len);
    if (!jt_mul(len, 3, &need) || !jt_add(need, j->n_held + 32, &need)) return jt_nomem(err, "the text of a token", len, 3);
    jt_status e = jt_grow((void **)&j->held, &j->cap_held, need, 1, err);
    if (e == JT_OK) e = jt_detok_push(d->ev.tokenizer, &j->detok, id, j->special, j->held + j->n_held, j->cap_held - j->n_held, &got, err);
    j->n_held += got;
    return e;
}

/* The last unfinished character joins what is held; cap_held was left room for it. */
static void answer_finish_character(jt_live *j) {
    char tail[10];
    size_t n = jt_detok_end(&j->detok, tail);
    if (j->cap_held - j->n_held < n) return;
    memcpy(j->held + j->n_held, tail, n);
    j->n_held += n;
}

void jt_answer_flush(jt_live *j) {
    if (!j->held) return;
    answer_finish_character(j);
    answer_release(j, answer_stop_at(j));
    j->n_held = 0;
}

static jt_status answer_append(void **p, size_t *n, size_t *cap, const void *more, int count, size_t size, jt_error *err) {
    jt_status e = jt_grow(p, cap, *n + (size_t)count, size, err);
    if (e != JT_OK || !count) return e;
    memcpy((char *)*p + *n * size, more, (size_t)count * size);
    *n += (size_t)count;
    return JT_OK;
}

static jt_end_reason answer_ends(const jt_driver *d, const jt_live *j, int32_t id) {
    if (!j->ignore_end && d->ev.tokenizer && jt_token_is_end(d->ev.tokenizer, id)) return JT_END_TOKEN;
    for (size_t i = 0; i < j->n_stop_ids; i++)
        if (j->stop_ids[i] == id) return JT_END_STOP;
    return JT_END_NONE;
}

jt_status jt_answer_take(jt_driver *d, jt_live *j, const jt_decision *made, jt_error *err) {
    bool traced = j->decided == made->position;
    jt_record r = {.decision = *made,
                   .text = j->text.n,
                   .top = j->n_top_all,
                   .stage = j->n_stage_all,
                   .n_top = traced ? j->n_top : 0,
                   .n_stage = traced ? j->n_trace : 0,
                   .answer_tokens = j->n_answer + 1,
                   .eval_seconds = (float)j->eval_seconds};
    jt_end_reason end = answer_ends(d, j, made->id);
    jt_status e = jt_grow((void **)&j->record, &j->cap_record, j->n_record + 1, sizeof *j->record, err);
    if (e == JT_OK) e = answer_append((void **)&j->top_all, &j->n_top_all, &j->cap_top_all, j->top_now, r.n_top, sizeof *j->top_all, err);
    if (e == JT_OK)
        e = answer_append((void **)&j->stage_all, &j->n_stage_all, &j->cap_stage_all, j->trace_now, r.n_stage, sizeof *j->stage_all, err);
    if (e == JT_OK && end == JT_END_NONE) e = answer_hold(d, j, made->id, err);
    /* Room for all that is held, its last character and two NULs, so that from here on, and at a later end, nothing can fail. */
    if (e == JT_OK) e = jt_grow((void **)&j->text.s, &j->text.cap, j->text.n + j->n_held + 16, 1, err);
    if (e != JT_OK) return e;
    size_t stop = answer_stop_at(j);
    bool stopped = stop < j->n_held;
    if (stopped) j->n_held = stop, j->detok = (jt_detok){0}, end = JT_END_STOP;
    j->n_answer++;
    double now = d->ev.now(d->ev.self);
    if (j->n_answer == 1) j->first_token = now;
    if (end == JT_END_NONE && j->max_tokens && j->n_answer >= j->max_tokens) end = JT_END_LENGTH;
    if (end == JT_END_NONE && made->position + 1 >= j->context) end = JT_END_CONTEXT;
    if (end == JT_END_NONE && now >= j->deadline) end = JT_END_TIME;
    if (end == JT_END_NONE)
        answer_release(j, j->n_held - answer_undecided(j));
    else if (stopped)
        answer_release(j, j->n_held);
    else
        jt_answer_flush(j);
    r.n_text = j->text.n - r.text;
    jt_str_putc(&j->text, 0);
    j->record[j->n_record++] = r;
    if (end != JT_END_NONE) jt_live_end(d, j, end);
    return JT_OK;
}
