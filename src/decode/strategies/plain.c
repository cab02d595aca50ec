/* plain.c: one token after another, each drawn from the staged distribution or the
 * most likely one of it. */
#include "jeton/strategy.h"

struct plain {
    int at;
};

static jt_status plain_advance(void *state, const jt_results *r, jt_work *w, bool draw) {
    struct plain *s = state;
    JT_BEGIN(s);
    for (;;) {
        jt_work_next(w, JT_MAIN);
        JT_AWAIT(s);
        jt_work_say(w, JT_MAIN, draw ? jt_work_decide(w, r->out, 0) : jt_work_best(w, r->out));
    }
    JT_END(w);
}

static jt_status greedy_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    (void)par;
    return plain_advance(state, r, w, false);
}

static jt_status sample_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    (void)par;
    return plain_advance(state, r, w, true);
}

JT_METHOD(greedy) = {.name = "greedy",
                     .kind = JT_STRATEGY,
                     .summary = "the most likely token after the stages, every time",
                     .formula = "x = argmax l, ties to the lower id",
                     .paper = "",
                     .cost = "one row a token",
                     .state_size = sizeof(struct plain),
                     .strategy = {.advance = greedy_advance}};

JT_METHOD(sample) = {.name = "sample",
                     .kind = JT_STRATEGY,
                     .summary = "a token drawn from the distribution that the stages leave",
                     .formula = "x = first in order (logit down, id up) whose running sum of p reaches u",
                     .paper = "",
                     .cost = "one row a token",
                     .state_size = sizeof(struct plain),
                     .strategy = {.advance = sample_advance}};
