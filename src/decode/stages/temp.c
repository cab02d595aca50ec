/* temp.c: temperature (Ackley, Hinton, Sejnowski 1985). */
#include "jeton/method.h"

#define TEMP(X, T) X(T, REAL, t, 0.8, JT_RANGE(0, 100), "temperature; 1 changes nothing, 0 leaves the most likely token alone")
JT_PARAMS(temp, TEMP)

static jt_status temp_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct temp *a = par;
    (void)state, (void)s;
    if (a->t == 0)
        jt_dist_cut(d, 1);
    else
        jt_dist_divide(d, a->t);
    return JT_OK;
}

JT_METHOD(temp) = {.name = "temp",
                   .kind = JT_STAGE,
                   .summary = "sharpens (below 1) or flattens (above 1) the distribution",
                   .formula = "l = l / t",
                   .paper = "Ackley, Hinton, Sejnowski 1985, Cognitive Science 9",
                   .cost = "one pass over the candidates",
                   .neutral = "t=1",
                   JT_PARAMETERS(temp),
                   .stage = {.run = temp_run}};
