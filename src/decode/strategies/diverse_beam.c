/* diverse_beam.c: beam search in groups (Vijayakumar et al. 2016, arXiv:1610.02424).
 * Groups choose one after another at each step; a token that earlier groups took at
 * this step loses lambda for each time. One group is ordinary beam search. */
#include "jeton/strategy.h"
#include "tensor/scalar_math.h"

enum { BEAM_MOST = 32 };

#define DIVERSE_BEAM(X, T)                                                                                                                 \
    X(T, INT, beams, 4, JT_RANGE(1, BEAM_MOST), "beams, and answers")                                                                      \
    X(T, INT, groups, 2, JT_RANGE(1, BEAM_MOST), "groups of equal size; 1 is beam search")                                                 \
    X(T, REAL, lambda, 0.5, JT_RANGE(0, 100), "taken off ln p of a token for each beam of earlier groups that took it")                    \
    X(T, REAL, alpha, 1, JT_RANGE(0, 4), "finished beams are ordered by sum of ln p / length ^ alpha")
JT_PARAMS(diverse_beam, DIVERSE_BEAM)

struct beam {
    int at, length, done[BEAM_MOST]; /* done: finished beams of each group */
    double sum[BEAM_MOST];           /* of live beams, -INFINITY: none */
    double score[BEAM_MOST];         /* of finished beams, in slot BEAM_MOST + i */
};

struct beam_pick {
    double key, sum;
    int16_t from;
    int32_t id;
};

static jt_status diverse_beam_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    const struct diverse_beam *a = par;
    (void)state, (void)u;
    if (a->beams % a->groups == 0) return JT_OK;
    return jt_error_set(err, JT_INVALID, "diverse-beam: %d beams are not %d equal groups", (int)a->beams, (int)a->groups);
}

/* Puts p in its place among the best `most` of n, earlier ones first where keys are equal; their number. */
static int beam_insert(struct beam_pick *best, int n, int most, struct beam_pick p) {
    int at = n < most ? n : most;
    while (at > 0 && best[at - 1].key < p.key) {
        if (at < most) best[at] = best[at - 1];
        at--;
    }
    if (at < most) best[at] = p;
    return n < most ? n + 1 : most;
}

/* The best 2 B continuations of group g, after `used` choices of earlier groups. Twice as many as live on, since each of B
 * may end a beam. */
static int beam_best(const struct diverse_beam *a, const struct beam *s, const jt_results *r, jt_work *w, int g, const int32_t *id,
                     int used, struct beam_pick *best) {
    int B = a->beams / a->groups, n = 0;
    for (int o = 0; o < r->n_out; o++) {
        int i = r->out[o].slot;
        if (i / B != g) continue;
        jt_dist *d = jt_work_staged(w, &r->out[o]);
        int most = d && jt_dist_count(d) < 2 * B + used ? jt_dist_count(d) : 2 * B + used;
        for (int k = 0; d && k < most; k++) {
            struct beam_pick p = {.from = (int16_t)o, .id = jt_dist_top(d, most)[k].id};
            p.key = p.sum = s->sum[i] + jt_dist_lnp(d, p.id);
            for (int j = 0; j < used; j++) p.key -= id[j] == p.id ? a->lambda : 0;
            n = beam_insert(best, n, 2 * B, p);
        }
    }
    return n;
}

/* A finished beam goes to a slot of its own. */
static void beam_finish(const struct diverse_beam *a, struct beam *s, jt_work *w, int g, jt_slot from, const jt_decision *d, double sum) {
    int to = g * (a->beams / a->groups) + s->done[g]++;
    jt_work_fork(w, (jt_slot)(BEAM_MOST + to), from, -1);
    jt_work_push(w, (jt_slot)(BEAM_MOST + to), d);
    s->score[to] = sum / jt_pow(s->length, a->alpha);
}

/* One step of every group; how many beams live on. */
static int beam_step(const struct diverse_beam *a, struct beam *s, const jt_results *r, jt_work *w) {
    int B = a->beams / a->groups, used = 0;
    int16_t src[BEAM_MOST];
    int32_t id[BEAM_MOST];
    jt_decision made[BEAM_MOST];
    double sum[BEAM_MOST] = {0};
    for (int g = 0; g < a->groups; g++) {
        struct beam_pick best[2 * BEAM_MOST];
        int n = beam_best(a, s, r, w, g, id, used, best), live = 0;
        for (int k = 0; k < n && live < B && s->done[g] < B; k++) {
            const jt_out *o = &r->out[best[k].from];
            jt_decision d = jt_work_choose(w, o, best[k].id);
            int i = g * B + live;
            if (jt_work_ends(w, o->slot, &d))
                beam_finish(a, s, w, g, o->slot, &d, best[k].sum);
            else
                src[i] = o->slot, sum[i] = best[k].sum, made[i] = d, id[used + live++] = d.id;
        }
        if (s->done[g] == B) live = 0; /* the group is complete */
        for (int i = g * B + live; i < (g + 1) * B; i++) src[i] = (int16_t)i, sum[i] = -INFINITY;
        used += live;
    }
    jt_work_arrange(w, 0, a->beams, src);
    for (int i = 0; i < a->beams; i++) {
        s->sum[i] = sum[i];
        if (sum[i] > -INFINITY) jt_work_push(w, (jt_slot)i, &made[i]);
    }
    return used;
}

/* Gives the finished beams as answers, the best first; their number. */
static int beam_answers(const struct diverse_beam *a, struct beam *s, jt_work *w) {
    int B = a->beams / a->groups, n = 0;
    for (;; n++) {
        int best = -1;
        for (int i = 0; i < a->beams; i++)
            if (i % B < s->done[i / B] && s->score[i] > -INFINITY && (best < 0 || s->score[i] > s->score[best])) best = i;
        if (best < 0) return n;
        jt_work_yield(w, (jt_slot)(BEAM_MOST + best), n, (int32_t[]){best / B}, 1);
        s->score[best] = -INFINITY;
    }
}

static jt_status diverse_beam_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    const struct diverse_beam *a = par;
    struct beam *s = state;
    JT_BEGIN(s);
    for (int i = 0; i < a->beams; i++) {
        if (i) jt_work_fork(w, (jt_slot)i, JT_MAIN, -1);
        s->sum[i] = i % (a->beams / a->groups) ? -INFINITY : 0;
    }
    do {
        for (int i = 0; i < a->beams; i++)
            if (s->sum[i] > -INFINITY) jt_work_next(w, (jt_slot)i);
        s->length++;
        JT_AWAIT(s);
    } while (beam_step(a, s, r, w));
    if (!beam_answers(a, s, w)) jt_work_done(w, JT_END_DEAD);
    JT_END(w);
}

/* Live beams and finished ones. */
static int diverse_beam_width(const void *par) { return 2 * ((const struct diverse_beam *)par)->beams; }

JT_METHOD(diverse_beam) = {.name = "diverse-beam",
                           .kind = JT_STRATEGY,
                           .summary = "beam search in groups that avoid each other's tokens; one answer a beam, the best first",
                           .formula = "group g takes the largest sum ln p - lambda * (uses by groups before g); note: the group",
                           .paper = "Vijayakumar et al. 2016, arXiv:1610.02424",
                           .cost = "one row a beam and token",
                           .neutral = "groups=1 is beam search, beams=1,groups=1 greedy",
                           JT_PARAMETERS(diverse_beam),
                           .state_size = sizeof(struct beam),
                           .open = diverse_beam_open,
                           .strategy = {.advance = diverse_beam_advance, .many = true, .width = diverse_beam_width}};
