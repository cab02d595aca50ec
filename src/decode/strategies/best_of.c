/* best_of.c: several runs of the strategy inside: all of them as answers, or the one
 * that a scorer finds best, by default the model itself. */
#include "jeton/strategy.h"

enum { BEST_OF_MOST = 256 };

struct best_of {
    int at;
};

#define BEST_OF_N(X, T)                                                                                                                    \
    X(T, INT, n, 8, JT_RANGE(1, BEST_OF_MOST), "runs; 1 is the strategy inside alone")                                                     \
    X(T, METHOD, by, 0, JT_METHOD_OF(JT_SCORER, "mean-logprob"),                                                                           \
      "what the best run has most of: logprob, mean-logprob, length or another scorer")
JT_PARAMS(best_of_n, BEST_OF_N)

static jt_status best_of_n_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    const struct best_of_n *a = par;
    struct best_of *s = state;
    JT_BEGIN(s);
    for (int i = 1; i < a->n; i++) jt_work_fork(w, (jt_slot)i, JT_MAIN, i);
    for (int i = 0; i < a->n; i++) jt_work_child(w, (jt_slot)i, 0);
    JT_AWAIT(s);
    {
        jt_slot best = r->child->slot;
        double most = -INFINITY;
        for (int i = 0; i < r->n_child; i++) { /* runs that say nothing come last */
            double x = r->child[i].tokens ? jt_work_score(w, r->child[i].slot, &a->by) : -INFINITY;
            if (x > most) best = r->child[i].slot, most = x;
        }
        jt_work_yield(w, best, 0, (int32_t[]){best}, 1);
    }
    JT_END(w);
}

static int best_of_n_width(const void *par) { return ((const struct best_of_n *)par)->n; }

JT_METHOD(best_of_n) = {.name = "best-of-n",
                        .kind = JT_STRATEGY,
                        .summary = "runs the strategy inside n times and keeps the run that a scorer finds best",
                        .formula = "the run with the largest score, the first of equal ones; note: its number",
                        .paper = "Stiennon et al. 2020, arXiv:2009.01325",
                        .cost = "n runs, evaluated together; they share the prompt's memory",
                        .neutral = "n=1",
                        JT_PARAMETERS(best_of_n),
                        .state_size = sizeof(struct best_of),
                        .strategy = {.advance = best_of_n_advance, .inner = true, .width = best_of_n_width}};

#define PARALLEL(X, T) X(T, INT, n, 4, JT_RANGE(1, BEST_OF_MOST), "answers; answer i is that of a request whose choice is i higher")
JT_PARAMS(parallel, PARALLEL)

static jt_status parallel_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    const struct parallel *a = par;
    struct best_of *s = state;
    JT_BEGIN(s);
    for (int i = 1; i < a->n; i++) jt_work_fork(w, (jt_slot)i, JT_MAIN, -1), jt_work_as_choice(w, (jt_slot)i, (uint32_t)i);
    for (int i = 0; i < a->n; i++) jt_work_child(w, (jt_slot)i, 0);
    JT_AWAIT(s);
    for (int i = 0; i < r->n_child; i++) jt_work_yield(w, r->child[i].slot, i, NULL, 0);
    JT_END(w);
}

static int parallel_width(const void *par) { return ((const struct parallel *)par)->n; }

JT_METHOD(parallel) = {.name = "parallel",
                       .kind = JT_STRATEGY,
                       .summary = "runs the strategy inside n times and gives every run as an answer",
                       .formula = "answer i draws as choice i of the request",
                       .paper = "",
                       .cost = "n runs, evaluated together; they share the prompt's memory",
                       .neutral = "n=1",
                       JT_PARAMETERS(parallel),
                       .state_size = sizeof(struct best_of),
                       .strategy = {.advance = parallel_advance, .inner = true, .many = true, .width = parallel_width}};
