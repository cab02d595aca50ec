/* plugin_strategy.c: a strategy in a shared object.
 *
 *   jeton run MODEL -p "..." --plugin strategy.so --decode "hush:0.5 | temp:0.8"
 *
 * `hush` draws while the model is unsure and takes the best token where it is sure: where the entropy of its own
 * distribution is below h nats. */
#include "jeton/plugin.h"
#include "jeton/strategy.h"

#define HUSH(X, T) X(T, REAL, h, 0.5, JT_RANGE(0, 100), "entropy below which the best token is taken, nats; 0: always drawn")
JT_PARAMS(hush, HUSH)

struct hush_state {
    int at;
};

static jt_status advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    const struct hush *a = par;
    struct hush_state *s = state;
    JT_BEGIN(s);
    for (;;) {
        jt_work_next(w, JT_MAIN);
        JT_AWAIT(s);
        {
            jt_dist *raw = jt_work_raw(w, r->out);
            bool sure = raw && jt_dist_entropy(raw) < a->h;
            jt_work_say(w, JT_MAIN, sure ? jt_work_best(w, r->out) : jt_work_decide(w, r->out, 0));
        }
    }
    JT_END(w);
}

static const jt_method row = {.name = "hush",
                              .kind = JT_STRATEGY,
                              .summary = "draws where the model is unsure, and takes the best token where it is sure",
                              .formula = "x = argmax l if H(raw) < h, else drawn",
                              .paper = "",
                              .cost = "one row a token, and its entropy",
                              .neutral = "h=0",
                              JT_PARAMETERS(hush),
                              .state_size = sizeof(struct hush_state),
                              .strategy = {.advance = advance}};

static const jt_method *const rows[] = {&row, NULL};
JT_PLUGIN("hush", rows);
