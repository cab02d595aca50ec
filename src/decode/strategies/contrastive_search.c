/* contrastive_search.c: of the likeliest tokens the one whose hidden vector is least like
 * those of all tokens before it (Su et al. 2022, arXiv:2202.06417). Every candidate is a
 * branch, so that the one that is taken is evaluated already. */
#include "jeton/strategy.h"

enum { CONTRASTIVE_MOST = 64, CONTRASTIVE_ROOM = 1 << 28 };

#define CONTRASTIVE_SEARCH(X, T)                                                                                                           \
    X(T, INT, k, 4, JT_RANGE(1, CONTRASTIVE_MOST), "candidates; 1 is greedy")                                                              \
    X(T, REAL, alpha, 0.6, JT_RANGE(0, 1), "weight of the degeneration penalty; 0 is greedy")
JT_PARAMS(contrastive_search, CONTRASTIVE_SEARCH)

struct contrast {
    int at, hidden, layers, n, k, bank; /* n: positions whose vectors are there; k: candidates, in slots from `bank` on */
    double p[CONTRASTIVE_MOST];
    float x[]; /* [context + 1][hidden]: final hidden vectors of length 1; the last is room for one */
};

static size_t contrastive_search_bytes(const void *par, const jt_setup *u) {
    size_t n = ((size_t)u->context + 1) * (size_t)u->hidden;
    (void)par;
    return sizeof(struct contrast) + (n < CONTRASTIVE_ROOM ? n : 0) * sizeof(float);
}

static jt_status contrastive_search_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    struct contrast *s = state;
    (void)par;
    s->hidden = u->hidden, s->layers = u->layers;
    if (((size_t)u->context + 1) * (size_t)u->hidden < CONTRASTIVE_ROOM) return JT_OK;
    return jt_error_set(err, JT_LIMIT, "contrastive-search keeps %d vectors of %d floats; declare a shorter context", u->context,
                        u->hidden);
}

/* The vector with length 1 into `to`. */
static void contrast_unit(const struct contrast *s, const float *h, float *to) {
    double sum = 0;
    for (int i = 0; i < s->hidden; i++) sum += (double)h[i] * (double)h[i];
    double by = sum > 0 ? 1 / sqrt(sum) : 0;
    for (int i = 0; i < s->hidden; i++) to[i] = (float)((double)h[i] * by);
}

/* The largest cosine of h with the vectors that are there. */
static double contrast_alike(struct contrast *s, const float *h) {
    size_t width = (size_t)s->hidden;
    float *unit = s->x + (size_t)s->n * width;
    double most = -1;
    contrast_unit(s, h, unit);
    for (int j = 0; j < s->n; j++) {
        double dot = 0;
        for (size_t i = 0; i < width; i++) dot += (double)s->x[(size_t)j * width + i] * (double)unit[i];
        most = dot > most ? dot : most;
    }
    return most;
}

/* The prompt's vectors, as they left the last layer. */
static void contrast_prompt(struct contrast *s, const jt_results *r, jt_work *w) {
    for (int i = 0; i < r->n_captured; i++) {
        float *to = s->x + (size_t)s->n++ * (size_t)s->hidden;
        jt_work_norm(w, r->captured[i].x, to);
        contrast_unit(s, to, to);
    }
}

/* The candidates after a row become branches of its slot; the branches of the row are those of the other bank. */
static void contrast_fork(const struct contrastive_search *a, struct contrast *s, const jt_out *o, jt_work *w) {
    jt_dist *d = jt_work_staged(w, o);
    int32_t id[CONTRASTIVE_MOST];
    s->k = d ? jt_dist_count(d) : 0;
    if (s->k > a->k) s->k = a->k;
    s->bank = s->bank == 1 ? 1 + CONTRASTIVE_MOST : 1;
    for (int i = 0; i < s->k; i++) id[i] = jt_dist_top(d, s->k)[i].id, s->p[i] = jt_dist_p_at(d, i);
    for (int i = 0; i < s->k; i++) {
        jt_slot slot = (jt_slot)(s->bank + i);
        jt_decision made = jt_work_choose(w, o, id[i]);
        jt_work_fork(w, slot, o->slot, -1);
        jt_work_push(w, slot, &made);
        jt_work_want(w, slot, &(jt_row){.want = JT_WANT_DIST | JT_WANT_HIDDEN});
    }
    if (d && !s->k) jt_work_done(w, JT_END_DEAD);
}

/* The candidate with the highest score, first of equal ones. */
static const jt_out *contrast_best(const struct contrastive_search *a, struct contrast *s, const jt_results *r) {
    int best = 0;
    double most = -INFINITY;
    for (int i = 0; i < s->k; i++) {
        double score = (1 - a->alpha) * s->p[i] - a->alpha * contrast_alike(s, r->out[i].hidden);
        if (score > most) most = score, best = i;
    }
    contrast_unit(s, r->out[best].hidden, s->x + (size_t)s->n++ * (size_t)s->hidden);
    return &r->out[best];
}

static jt_status contrastive_search_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    const struct contrastive_search *a = par;
    struct contrast *s = state;
    int prompt = jt_work_length(w, JT_MAIN), old = s->bank;
    const jt_tap last = {.site = "residual", .layer_first = s->layers, .layer_end = s->layers + 1, .row_end = prompt};
    JT_BEGIN(s);
    jt_work_taps(w, JT_MAIN, 0, &last, 1);
    jt_work_next(w, JT_MAIN);
    JT_AWAIT(s);
    contrast_prompt(s, r, w);
    contrast_fork(a, s, r->out, w);
    for (;;) {
        JT_AWAIT(s);
        const jt_out *best = contrast_best(a, s, r);
        int k = s->k;
        jt_work_tell(w, best->slot, prompt);
        contrast_fork(a, s, best, w);
        jt_work_swap(w, JT_MAIN, best->slot);
        for (int i = 0; i < k; i++) jt_work_drop(w, (jt_slot)(old + i));
    }
    JT_END(w);
}

static int contrastive_search_width(const void *par) { return 1 + 2 * ((const struct contrastive_search *)par)->k; }

JT_METHOD(contrastive_search) = {.name = "contrastive-search",
                                 .kind = JT_STRATEGY,
                                 .summary = "takes a likely token whose hidden vector is unlike those before it",
                                 .formula = "the v of the k likeliest with the largest (1 - alpha) p(v) - alpha max cos(h(v), h(x))",
                                 .paper = "Su et al. 2022, arXiv:2202.06417",
                                 .cost = "k rows a token, O(k tokens hidden); keeps a vector of every token",
                                 .neutral = "alpha=0; greedy, as is k=1",
                                 JT_PARAMETERS(contrastive_search),
                                 .state_bytes = contrastive_search_bytes,
                                 .open = contrastive_search_open,
                                 .strategy = {.advance = contrastive_search_advance, .width = contrastive_search_width}};
