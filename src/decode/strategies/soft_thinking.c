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
    X(T, STAGES, think, 0, JT_STAGES("temp:0.6 | mark:hot | top-k:30 | top-p:0.95 | min-p:0.001"),                                         \
      "stages while thinking; what they leave is mixed, and entropy is taken at mark:hot, or after them")                                  \
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

/* One token of thinking; whether thinking goes on. */
static bool soft_think(const struct soft_thinking *a, struct soft *s, const jt_out *o, jt_work *w) {
    int32_t ids[SOFT_MOST];
    float weight[SOFT_MOST];
    jt_dist *d = jt_work_marked(w, o, "hot");
    s->cold = d && jt_dist_entropy(d) < a->tau ? s->cold + 1 : 0;
    bool cold = s->cold >= a->length;
    jt_decision shown = cold && s->end >= 0 ? jt_work_choose(w, o, s->end) : jt_work_best(w, o);
    bool stop = cold || shown.id == s->end || !(d = jt_work_staged(w, o));
    jt_input in = {.n = stop ? 0 : jt_dist_weights(d, a->mix, ids, weight), .ids = ids, .w = weight};
    jt_work_push_input(w, JT_MAIN, &shown, stop ? NULL : &in);
    jt_work_emit(w, &shown);
    return !stop;
}

static jt_status soft_thinking_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    const struct soft_thinking *a = par;
    struct soft *s = state;
    JT_BEGIN(s);
    jt_work_stages(w, JT_MAIN, &a->think);
    do {
        jt_work_next(w, JT_MAIN);
        JT_AWAIT(s);
    } while (soft_think(a, s, r->out, w));
    jt_work_stages(w, JT_MAIN, NULL);
    for (;;) {
        jt_work_next(w, JT_MAIN);
        JT_AWAIT(s);
        jt_work_say(w, JT_MAIN, jt_work_decide(w, r->out, 0));
    }
    JT_END(w);
}

JT_METHOD(soft_thinking) = {.name = "soft-thinking",
                            .kind = JT_STRATEGY,
                            .summary = "thinks in mixtures of token embeddings, then writes with the stages",
                            .formula = "input = sum of w(i) E(i), w the cut distribution made to sum to 1",
                            .paper = "Zhang et al. 2025, arXiv:2505.15778",
                            .cost = "one row a token",
                            .neutral = "mix=1; feeds the likeliest token, as greedy does",
                            .card = "decoding/soft-thinking",
                            .needs = JT_NEEDS_TOKENIZER,
                            JT_PARAMETERS(soft_thinking),
                            .state_size = sizeof(struct soft),
                            .open = soft_thinking_open,
                            .strategy = {.advance = soft_thinking_advance}};
