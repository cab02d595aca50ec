/* rank.c: what beam searches and their relatives share: the best continuations of some
 * rows, slots that go on with them, and answers in the order of a score. All of it is
 * made of what strategies may ask for themselves. */
#include "decode/driver.h"

static void rank_insert(jt_ranking *k, const jt_pick *p) {
    int at = k->n < k->most ? k->n++ : k->most;
    for (; at > 0 && k->pick[at - 1].key < p->key; at--)
        if (at < k->most) k->pick[at] = k->pick[at - 1];
    if (at < k->most) k->pick[at] = *p;
}

static void rank_row(jt_work *w, jt_ranking *k, const jt_out *o, double sum, int n) {
    jt_dist *d = jt_work_staged(w, o);
    if (!d) return;
    if (n > jt_dist_count(d)) n = jt_dist_count(d);
    for (int i = 0; i < n; i++) {
        jt_pick p = {.out = o, .id = jt_dist_top(d, n)[i].id};
        p.key = p.sum = sum + jt_dist_lnp(d, p.id);
        if (k->key) p.key = k->key(k->self, &p);
        rank_insert(k, &p);
    }
}

void jt_work_rank(jt_work *w, jt_ranking *k, const jt_results *r, jt_slot first, int n, const double *sum, int top) {
    for (int i = 0; i < r->n_out; i++) {
        int at = r->out[i].slot - first;
        if (at >= 0 && at < n) rank_row(w, k, &r->out[i], sum[at], top);
    }
}

jt_end_reason jt_work_pick(jt_work *w, jt_pick *p) {
    p->made = jt_work_choose(w, p->out, p->id);
    return jt_work_ends(w, p->out->slot, &p->made);
}

void jt_work_take(jt_work *w, jt_slot to, const jt_pick *p) {
    jt_work_fork(w, to, p->out->slot, -1);
    jt_work_push(w, to, &p->made);
}

void jt_work_grow(jt_work *w, jt_slot first, int n, const jt_pick *pick) {
    int16_t *src = n > 0 ? jt_alloc((size_t)n, sizeof *src) : NULL;
    if (n > 0 && !src && w->status == JT_OK) w->status = jt_nomem(&w->j->error, "slots", (size_t)n, sizeof *src);
    if (!src) return;
    for (int i = 0; i < n; i++) src[i] = (int16_t)(pick[i].out ? pick[i].out->slot - first : i);
    jt_work_arrange(w, first, n, src);
    for (int i = 0; i < n; i++)
        if (pick[i].out)
            jt_work_push(w, (jt_slot)(first + i), &pick[i].made);
        else if (jt_work_length(w, (jt_slot)(first + i)))
            jt_work_drop(w, (jt_slot)(first + i));
    jt_free(src);
}

/* Whether slot i comes before slot j. */
static bool rank_before(const double *score, int i, int j) { return score[i] > score[j] || (score[i] == score[j] && i < j); }

void jt_work_yield_ranked(jt_work *w, jt_slot first, int n, const double *score, const int32_t *note) {
    for (int last = -1, given = 0;; given++) {
        int best = -1;
        for (int i = 0; i < n; i++)
            if (jt_work_length(w, (jt_slot)(first + i)) && (last < 0 || rank_before(score, last, i)) &&
                (best < 0 || rank_before(score, i, best)))
                best = i;
        if (best < 0 && !given) jt_work_done(w, JT_END_DEAD);
        if (best < 0) return;
        jt_work_yield(w, (jt_slot)(first + best), given, note ? &note[best] : NULL, note ? 1 : 0);
        last = best;
    }
}
