/* plugin_tap.c: a tap in a shared object: a strategy that sets it for the one inside.
 *
 *   jeton run MODEL -p "..." --plugin tap.so --decode "clip:3 > sample | temp:0.8"
 *
 * `clip` bounds the residual stream as it enters each layer: a function that is called for each row. */
#include "jeton/plugin.h"
#include "jeton/strategy.h"

#define CLIP(X, T) X(T, REAL, most, 10, JT_RANGE(0, 1e30), "largest magnitude of an element; 1e30 changes nothing")
JT_PARAMS(clip, CLIP)

struct clip_state {
    int at;
};

/* Parameters live as long as the job, so the tap may point to them. */
static jt_status clip(void *self, int layer, int node, float *x, int width) {
    const struct clip *a = self;
    float most = (float)a->most;
    (void)layer, (void)node;
    for (int i = 0; i < width; i++) x[i] = x[i] > most ? most : x[i] < -most ? -most : x[i];
    return JT_OK;
}

static jt_status advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct clip_state *s = state;
    (void)r;
    JT_BEGIN(s);
    jt_work_taps(w, JT_MAIN, 0, &(jt_tap){.site = "residual", .op = JT_TAP_HOST, .host = clip, .self = (void *)(uintptr_t)par}, 1);
    jt_work_child(w, JT_MAIN, 0);
    JT_AWAIT(s);
    jt_work_forward(w, JT_MAIN);
    JT_END(w);
}

static const jt_method row = {.name = "clip",
                              .kind = JT_STRATEGY,
                              .summary = "bounds the residual stream as it enters each layer",
                              .formula = "x = min(max(x, -most), most)",
                              .paper = "",
                              .cost = "a call for each row and layer",
                              .neutral = "most=1e30",
                              JT_PARAMETERS(clip),
                              .state_size = sizeof(struct clip_state),
                              .strategy = {.advance = advance, .inner = true}};

static const jt_method *const rows[] = {&row, NULL};
JT_PLUGIN("clip", rows);
