/* plugin_stage.c: a stage in a shared object.
 *
 *   cc -shared -fPIC -o stage.so plugin_stage.c
 *   jeton run MODEL -p "..." --plugin stage.so --decode "temp:0.9 | floor:0.02"
 *
 * `floor` keeps the candidates whose probability is at least p, and always the first. */
#include "jeton/plugin.h"

#define FLOOR(X, T) X(T, REAL, p, 0.01, JT_RANGE(0, 1), "least probability kept; 0 keeps all")
JT_PARAMS(floor, FLOOR)

static bool keep(const jt_walk *w, const void *par) {
    const struct floor *a = par;
    return w->p >= a->p;
}

static jt_status run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    (void)state, (void)s;
    jt_dist_trim(d, JT_WALK_MASS, 1, keep, par);
    return JT_OK;
}

static const jt_method row = {.name = "floor",
                              .kind = JT_STAGE,
                              .summary = "keeps the tokens that are likely enough by themselves",
                              .formula = "keep x with p(x) >= p",
                              .paper = "Hewitt et al. 2022, arXiv:2210.15191",
                              .cost = "two passes over the candidates and a sort of those kept",
                              .neutral = "p=0",
                              JT_PARAMETERS(floor),
                              .stage = {.run = run}};

static const jt_method *const rows[] = {&row, NULL};
JT_PLUGIN("floor", rows);
