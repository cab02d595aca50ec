/* soft_thinking.c: while the model thinks, its next input is a mixture of the likely
 * tokens' embeddings and not one of them (Zhang et al. 2025, arXiv:2505.15778). The
 * answer shows the likeliest token of each mixture. Thinking ends when that is the
 * end token, or after `length` steps in a row below `tau` nats (cold stop). Then the
 * pipeline's stages and draws decide. */
#include <string.h>

#include "jeton/strategy.h"
#include "jeton/text.h"

enum { SOFT_MOST = 64 };

#define SOFT_THINKING(X, T)                                                                                                                \
    X(T, TEXT, end, 0, JT_FROM_TEXT, "text of the token that ends thinking, as \"</think>\"; empty: none")                                 \
    X(T, INT, mix, 10, JT_RANGE(1, SOFT_MOST), "tokens mixed at most; 1 is greedy thinking")                                               \
    X(T, REAL, t, 0.6, JT_RANGE(0.01, 100), "temperature while thinking")                                                                  \
    X(T, INT, top_k, 30, JT_RANGE(1, 16777216), "likeliest tokens that may be mixed")                                                      \
    X(T, REAL, top_p, 0.95, JT_RANGE(0, 1), "mass of tokens that may be mixed")                                                            \
    X(T, REAL, min_p, 0.001, JT_RANGE(0, 1), "least probability mixed, as a share of the largest")                                         \
    X(T, REAL, tau, 0.01, JT_RANGE(0, 100), "entropy below which a step is cold, nats; 0: no cold stop")                                   \
    X(T, INT, length, 256, JT_RANGE(1, 1048576), "cold steps in a row that end thinking")
JT_PARAMS(soft_thinking, SOFT_THINKING)

struct soft {
    int at, cold;
    int32_t end; /* -1: none */
};

static jt_status soft_thinking_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    const struct soft_thinking *a = par;
    struct soft *s = state;
    size_t n = strlen(a->end);
    s->end = n && u->tokenizer ? jt_token_find(u->tokenizer, a->end, n) : -1;
    if (n && s->end < 0)
        return jt_error_set(err, JT_INVALID, "soft-thinking: \"%.60s\" is no token of this model; give end=\"\" or a token", a->end);
    return JT_OK;
}

/* The next input while thinking; the decision that shows it. false: it is the token that ends thinking. */
static bool soft_step(const struct soft_thinking *a, struct soft *s, const jt_out *o, jt_work *w, jt_decision *shown, int32_t *ids,
                      float *weight, jt_input *in) {
    jt_dist *d = jt_work_copy(w, o);
    int n = 0;
    double mass = 0;
    if (!d) return *shown = jt_work_choose(w, o, 0), true;
    jt_dist_divide(d, a->t);
    s->cold = jt_dist_entropy(d) < a->tau ? s->cold + 1 : 0;
    jt_dist_cut(d, a->top_k);
    for (double all = 0; n < a->mix && n < jt_dist_count(d); n++) {
        double p = jt_dist_p_at(d, n);
        if (n && (all >= a->top_p || p < a->min_p * jt_dist_p_at(d, 0))) break;
        ids[n] = jt_dist_top(d, n + 1)[n].id;
        all += p, weight[n] = (float)p;
    }
    for (int i = 0; i < n; i++) mass += (double)weight[i];
    for (int i = 0; i < n; i++) weight[i] = n == 1 ? 1 : (float)((double)weight[i] / mass);
    bool stop = s->cold >= a->length && s->end >= 0;
    *in = (jt_input){.n = n, .ids = ids, .w = weight};
    *shown = jt_work_choose(w, o, stop ? s->end : ids[0]);
    return !stop && ids[0] != s->end && s->cold < a->length;
}

static jt_status soft_thinking_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    const struct soft_thinking *a = par;
    struct soft *s = state;
    bool thinks = true;
    JT_BEGIN(s);
    do {
        jt_work_next(w, JT_MAIN);
        JT_AWAIT(s);
        {
            int32_t ids[SOFT_MOST] = {0};
            float weight[SOFT_MOST];
            jt_input in;
            jt_decision d;
            thinks = soft_step(a, s, r->out, w, &d, ids, weight, &in);
            jt_work_push_input(w, JT_MAIN, &d, thinks ? &in : NULL);
            jt_work_emit(w, &d);
        }
    } while (thinks);
    for (;;) {
        jt_work_next(w, JT_MAIN);
        JT_AWAIT(s);
        {
            jt_decision d = jt_work_decide(w, r->out, 0);
            jt_work_push(w, JT_MAIN, &d);
            jt_work_emit(w, &d);
        }
    }
    JT_END(w);
}

JT_METHOD(soft_thinking) = {.name = "soft-thinking",
                            .kind = JT_STRATEGY,
                            .summary = "thinks in mixtures of token embeddings, then writes with the stages",
                            .formula = "input = sum of w(i) E(i), w the cut distribution made to sum to 1",
                            .paper = "Zhang et al. 2025, arXiv:2505.15778",
                            .cost = "one row a token",
                            .neutral = "mix=1 feeds the likeliest token, as greedy does",
                            .needs = JT_NEEDS_TOKENIZER,
                            JT_PARAMETERS(soft_thinking),
                            .state_size = sizeof(struct soft),
                            .open = soft_thinking_open,
                            .strategy = {.advance = soft_thinking_advance}};
