/* r2r.c: a small model writes, and a large one is asked for the tokens of which the
 * small one is unsure (Fu et al. 2025, arXiv:2505.21600, with the entropy as the
 * router). The large model has the same inputs and evaluates them when it is asked. */
#include "jeton/strategy.h"

enum { R2R_LARGE = 1, R2R_WINDOW = 3 };

#define R2R(X, T)                                                                                                                          \
    X(T, REAL, theta, 0.45, JT_RANGE(0, 1e9), "entropy of the small model, nats, from which the large one decides; 0: always")             \
    X(T, INT, window, 0, JT_RANGE(0, R2R_WINDOW), "the large model stays until the mean of this many last entropies is below theta; 0: off")
JT_PARAMS(r2r, R2R)

struct routed {
    int at, n;
    bool large;
    double last[R2R_WINDOW];
};

static bool routed_large(const struct r2r *a, struct routed *s, double h) {
    int n = s->n < a->window ? s->n + 1 : a->window;
    double sum = 0;
    s->last[s->n++ % R2R_WINDOW] = h;
    for (int i = 1; i <= n; i++) sum += s->last[(s->n - i) % R2R_WINDOW];
    return h >= a->theta || (n && s->large && sum / n >= a->theta);
}

static jt_status r2r_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    const struct r2r *a = par;
    struct routed *s = state;
    JT_BEGIN(s);
    jt_work_follow(w, R2R_LARGE, "large", JT_MAIN);
    for (;;) {
        jt_work_want(w, JT_MAIN, &(jt_row){.want = JT_WANT_DIST | JT_WANT_ENTROPY});
        JT_AWAIT(s);
        s->large = routed_large(a, s, r->out->entropy);
        if (s->large) {
            jt_work_next(w, R2R_LARGE);
            JT_AWAIT(s);
        }
        jt_work_say(w, JT_MAIN, jt_work_decide(w, r->out, 0));
    }
    JT_END(w);
}

JT_METHOD(r2r) = {.name = "r2r",
                  .kind = JT_STRATEGY,
                  .summary = "lets a large model (role \"large\") decide where the small one is unsure",
                  .formula = "the large model decides if H(small) >= theta",
                  .paper = "Fu et al. 2025, arXiv:2505.21600",
                  .cost = "one row of the small model a token; the large one catches up when asked",
                  .neutral = "theta=1e9; the small model alone (theta=0 is the large one)",
                  .needs = JT_NEEDS_MODEL2,
                  .role = "large",
                  JT_PARAMETERS(r2r),
                  .state_size = sizeof(struct routed),
                  .strategy = {.advance = r2r_advance}};
