/* bytes.c: the text of slots, and slots whose prompt is a conversation written anew. */
#include <string.h>

#include "core/random.h"
#include "decode/work.h"

int jt_work_prompt(const jt_work *w, jt_slot slot) {
    const jt_branch *b = jt_work_at(w, slot);
    return b ? b->prompt : 0;
}

/* The id at position p of the slot, -1: there is none. */
static int32_t bytes_id(const jt_work *w, const jt_branch *b, int p) {
    if (b && b->follows >= 0) b = jt_work_at(w, (jt_slot)b->follows);
    const jt_past *past = b ? jt_judge_past(b) : NULL;
    if (!b || !past || p < 0) return -1;
    if (!b->child) return p < b->n ? past->ids[p] : -1;
    if (p < b->prompt) return past->ids[p];
    return p < b->prompt + b->n_said ? b->said.made[p - b->prompt].decision.id : -1;
}

/* The token's bytes; *n = 0 where there are none. */
static const char *bytes_of(const jt_work *w, const jt_branch *b, int p, size_t *n) {
    const jt_tokenizer *t = w->d->model->ev.tokenizer;
    int32_t id = bytes_id(w, b, p);
    *n = 0;
    return t && id >= 0 ? jt_token_bytes(t, id, n) : "";
}

size_t jt_work_text(const jt_work *w, jt_slot slot, int first, int end, char *out, size_t cap) {
    const jt_branch *b = jt_work_at(w, slot);
    int most = jt_work_length(w, slot);
    size_t all = 0, n;
    for (int p = first < 0 ? 0 : first; p < end && p < most; p++) {
        const char *s = bytes_of(w, b, p, &n);
        if (all < cap) memcpy(out + all, s, n < cap - all ? n : cap - all);
        all += n;
    }
    if (cap) out[all < cap ? all : cap - 1] = 0;
    return all;
}

size_t jt_work_byte(const jt_work *w, jt_slot slot, int position) { return jt_work_text(w, slot, 0, position, NULL, 0); }

void jt_work_span(const jt_work *w, jt_slot slot, size_t from, size_t to, int *first, int *end) {
    const jt_branch *b = jt_work_at(w, slot);
    int most = jt_work_length(w, slot);
    size_t at = 0, n;
    *first = *end = most;
    for (int p = 0; p < most; p++, at += n) {
        (void)bytes_of(w, b, p, &n);
        bool touched = n && at < to && at + n > from;
        if (touched && *first == most) *first = p;
        if (touched) *end = p + 1;
    }
}

const jt_message *jt_work_messages(const jt_work *w, int *n) {
    *n = w->j->n_message;
    return w->j->message;
}

/* A branch with these ids as its prompt. */
static jt_status bytes_branch(jt_work *w, const jt_tokens *t, jt_branch **out) {
    jt_error *err = &w->j->error;
    jt_branch *b = NULL;
    jt_status e = jt_branch_new(w->d, w->j, 0, &b, err);
    if (e != JT_OK) return e;
    b->prompt = (int)t->n;
    e = jt_branch_own(w->j, b, b->prompt, err);
    for (size_t i = 0; e == JT_OK && i < t->n; i++) b->past->ids[b->n++] = t->t[i].id;
    if (e == JT_OK)
        *out = b;
    else
        jt_branch_free(w->d, w->j, b);
    return e;
}

static jt_status bytes_open(jt_work *w, const jt_tokens *t, int tag, jt_branch **out) {
    jt_live *j = w->j;
    jt_branch *b = NULL;
    if (!t->n || t->n >= (size_t)j->context)
        return jt_error_set(&j->error, JT_LIMIT, "the strategy %s opens a slot with a prompt of %zu tokens; the declared context has %d",
                            w->i->node->m->name, t->n, j->context);
    jt_status e = bytes_branch(w, t, &b);
    if (e == JT_OK) e = jt_stages_open(w->d, j, b->past->ids, b->n, &b->fresh, &j->error);
    if (e == JT_OK) b->stages = b->fresh, b->fresh->refs++;
    if (e == JT_OK && j->adapter) e = jt_attr_set(w->d, b, JT_ATTR_ADAPTER, 0, 0, j->adapter, &j->error);
    if (e == JT_OK) e = jt_branch_second(w->d, j, b->past->ids, b->n, &b->shadow, &j->error);
    if (e == JT_OK) jt_branch_restream(b, tag);
    if (e == JT_OK)
        *out = b;
    else
        jt_branch_free(w->d, j, b);
    return e;
}

void jt_work_open(jt_work *w, jt_slot slot, const jt_message *m, int n, int tag) {
    const jt_tokenizer *t = w->d->model->ev.tokenizer;
    jt_error *err = &w->j->error;
    jt_tokens tokens = {0};
    jt_branch *b = NULL;
    if (!jt_work_lives(w)) return;
    jt_status e = t ? jt_chat_encode(t, m, n, 1, &tokens, err) : jt_error_set(err, JT_UNSUPPORTED, "the model's files carry no tokenizer");
    if (e == JT_OK) e = jt_inst_slots(w->i, slot, err);
    if (e == JT_OK) e = bytes_open(w, &tokens, tag, &b);
    jt_tokens_free(&tokens);
    jt_work_fail(w, e);
    if (e != JT_OK) return;
    jt_branch_free(w->d, w->j, w->i->slot[slot]);
    w->i->slot[slot] = b;
}
