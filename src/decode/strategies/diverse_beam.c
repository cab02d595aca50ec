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
    double sum[BEAM_MOST];           /* of live beams, in slot i */
    double score[BEAM_MOST];         /* of finished beams, in slot BEAM_MOST + i */
};

static jt_status diverse_beam_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    const struct diverse_beam *a = par;
    (void)state, (void)u;
    return a->beams % a->groups ? jt_error_set(err, JT_INVALID, "diverse-beam: %d beams are not %d equal groups", a->beams, a->groups)
                                : JT_OK;
}

/* Tokens that earlier groups took at this step. */
struct beam_taken {
    double lambda;
    int n;
    int32_t id[BEAM_MOST];
};

static double beam_key(const void *self, const jt_pick *p) {
    const struct beam_taken *t = self;
    double key = p->sum;
    for (int i = 0; i < t->n; i++) key -= t->id[i] == p->id ? t->lambda : 0;
    return key;
}

/* A finished beam goes to a slot of its own. */
static void beam_finish(const struct diverse_beam *a, struct beam *s, jt_work *w, int to, const jt_pick *p) {
    jt_work_take(w, (jt_slot)(BEAM_MOST + to), p);
    s->score[to] = p->sum / jt_pow(s->length, a->alpha);
}

/* One step of every group; how many beams live on. Twice as many are ranked, since each of those may end a beam. */
static int beam_step(const struct diverse_beam *a, struct beam *s, const jt_results *r, jt_work *w) {
    int B = a->beams / a->groups;
    struct beam_taken taken = {.lambda = a->lambda};
    jt_pick best[2 * BEAM_MOST], next[BEAM_MOST] = {{0}};
    for (int g = 0; g < a->groups; g++) {
        jt_ranking k = {.pick = best, .most = 2 * B, .key = beam_key, .self = &taken};
        int live = 0;
        jt_work_rank(w, &k, r, (jt_slot)(g * B), B, s->sum + g * B, 2 * B + taken.n);
        for (int i = 0; i < k.n && live < B && s->done[g] < B; i++)
            if (jt_work_pick(w, &best[i]))
                beam_finish(a, s, w, g * B + s->done[g]++, &best[i]);
            else
                best[live++] = best[i];
        for (int i = 0; i < live && s->done[g] < B; i++) next[g * B + i] = best[i], taken.id[taken.n++] = best[i].id;
    }
    jt_work_grow(w, 0, a->beams, next);
    for (int i = 0; i < a->beams; i++) s->sum[i] = next[i].sum;
    return taken.n;
}

/* The job ends: live beams are answers as they stand. */
static int beam_cut(const struct diverse_beam *a, struct beam *s, jt_work *w) {
    int B = a->beams / a->groups;
    for (int i = 0; i < a->beams && s->length > 1; i++) {
        int g = i / B, to = g * B + s->done[g];
        if (s->done[g] == B || !jt_work_length(w, (jt_slot)i)) continue;
        s->done[g]++;
        jt_work_fork(w, (jt_slot)(BEAM_MOST + to), (jt_slot)i, -1);
        s->score[to] = s->sum[i] / jt_pow(s->length - 1, a->alpha);
    }
    return 0;
}

static jt_status diverse_beam_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    const struct diverse_beam *a = par;
    struct beam *s = state;
    int32_t group[BEAM_MOST];
    for (int i = 0; i < a->beams; i++) group[i] = i / (a->beams / a->groups);
    JT_BEGIN(s);
    for (int i = 1; i < a->beams; i++)
        if (group[i] > group[i - 1]) jt_work_fork(w, (jt_slot)i, JT_MAIN, -1);
    do {
        jt_work_next_all(w, 0, a->beams);
        s->length++;
        JT_AWAIT(s);
    } while (r->end ? beam_cut(a, s, w) : beam_step(a, s, r, w));
    jt_work_yield_ranked(w, BEAM_MOST, a->beams, s->score, group);
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
                           .neutral = "groups=1,beams=1; greedy (groups=1 alone is beam search)",
                           JT_PARAMETERS(diverse_beam),
                           .state_size = sizeof(struct beam),
                           .open = diverse_beam_open,
                           .strategy = {.advance = diverse_beam_advance, .many = true, .unfinished = true, .width = diverse_beam_width}};
