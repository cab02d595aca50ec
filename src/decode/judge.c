/* judge.c: what stands in a slot, for scorers. */
#include <string.h>

#include "decode/work.h"

const jt_past *jt_judge_past(const jt_branch *b) {
    while (b && b->child) b = b->child->slot[JT_MAIN];
    return b ? b->past : NULL;
}

static jt_status judge_fill(const jt_work *w, const jt_branch *b, int n, int32_t *ids, float *raw, float *staged) {
    const jt_past *p = jt_judge_past(b);
    const jt_trail *t = b->child ? &b->said : &b->past->trail;
    int prompt = b->prompt;
    if (!p) return jt_error_set(&w->j->error, JT_INVALID, "the strategy %s scores a child whose main slot is gone", w->i->node->m->name);
    memcpy(ids, p->ids, (size_t)prompt * sizeof *ids);
    for (int k = 0; k < n; k++) {
        ids[prompt + k] = t->made[k].decision.id;
        raw[k] = t->made[k].decision.raw_logprob, staged[k] = t->made[k].decision.logprob;
    }
    return JT_OK;
}

double jt_work_score(jt_work *w, jt_slot slot, const jt_method_value *scorer) {
    const jt_branch *b = jt_work_branch(w, slot, false);
    const jt_method *m = scorer ? scorer->m : NULL;
    jt_error *err = &w->j->error;
    double out = NAN;
    if (!b) return NAN;
    if (!m || m->kind != JT_SCORER || b->follows >= 0) {
        jt_work_fail(w, jt_error_set(err, JT_INVALID, "the strategy %s scores slot %d without a scorer", w->i->node->m->name, slot));
        return NAN;
    }
    int prompt = b->prompt, n = jt_work_length(w, slot) - prompt;
    int32_t *ids = jt_alloc((size_t)prompt + (size_t)n, sizeof *ids);
    float *raw = jt_alloc(2 * (size_t)n, sizeof *raw);
    jt_status e = ids && raw ? judge_fill(w, b, n, ids, raw, raw + n) : jt_nomem(err, "an answer to score", (size_t)n, sizeof *raw);
    jt_scored s = {.ids = ids,
                   .n = prompt + n,
                   .n_prompt = prompt,
                   .raw = raw,
                   .staged = raw + n,
                   .tokenizer = m->needs & JT_NEEDS_TOKENIZER ? w->d->model->ev.tokenizer : NULL,
                   .ended = b->reply && b->reply->end != JT_END_NONE};
    if (e == JT_OK) {
        err->message[0] = 0;
        e = m->scorer.judge(scorer->par, &s, &out, err);
        if (e != JT_OK && !err->message[0]) jt_error_set(err, e, "it failed without a message");
        if (e == JT_OK && !(out < INFINITY)) e = jt_error_set(err, JT_INVALID, "it gives no number");
        if (e != JT_OK) jt_error_in(err, e, "scorer %s", m->name);
    }
    jt_free(ids), jt_free(raw);
    jt_work_fail(w, e);
    return e == JT_OK ? out : NAN;
}
