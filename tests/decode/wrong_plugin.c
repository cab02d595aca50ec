/* Plugins that are wrong, each in one way, by the macro that is defined; without one it is none at all. */
#include <math.h>

#include "jeton/plugin.h"
#include "jeton/strategy.h"

#if defined(WRONG_ABI) || defined(WRONG_SIZE) || defined(WRONG_EMPTY) || defined(WRONG_ROW) || defined(WRONG_TAKEN)
static jt_status run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    (void)par, (void)state, (void)d, (void)s;
    return JT_OK;
}
#endif

#if defined(WRONG_ABI) || defined(WRONG_SIZE)
static const jt_method good = {.name = "good", .kind = JT_STAGE, .stage = {.run = run}};
static const jt_method *const rows[] = {&good, NULL};
#endif

#if defined(WRONG_ABI)
extern JT_PLUGIN_EXPORTED const jt_plugin jt_plugin_entry;
const jt_plugin jt_plugin_entry = {.abi = JT_PLUGIN_ABI + 7, .name = "from-tomorrow", .row_size = sizeof(jt_method), .row = rows};
#elif defined(WRONG_SIZE)
extern JT_PLUGIN_EXPORTED const jt_plugin jt_plugin_entry;
const jt_plugin jt_plugin_entry = {.abi = JT_PLUGIN_ABI, .name = "other-rows", .row_size = sizeof(jt_method) - 8, .row = rows};
#elif defined(WRONG_EMPTY)
static const jt_method *const rows[] = {NULL};
JT_PLUGIN("empty", rows);
static const jt_method unused = {.stage = {.run = run}};
extern JT_API const jt_method *jt_unused_row;
const jt_method *jt_unused_row = &unused;
#elif defined(WRONG_ROW)
static const jt_method first = {.name = "first", .kind = JT_STAGE, .stage = {.run = run}};
static const jt_method second = {.name = "No Name", .kind = JT_STAGE, .stage = {.run = run}};
static const jt_method *const rows[] = {&first, &second, NULL};
JT_PLUGIN("one-broken-row", rows);
#elif defined(WRONG_TAKEN)
static const jt_method first = {.name = "top-p", .kind = JT_STAGE, .stage = {.run = run}};
static const jt_method *const rows[] = {&first, NULL};
JT_PLUGIN("another-top-p", rows);
#elif defined(WRONG_HOOKS)
/* Everything that a hook can return or try and must not. */
#define WRONG(X, T)                                                                                                                        \
    X(T, CHOICE, how, 0, JT_ONE_OF("nan-logit|nan-added|no-token|nan-divided|wild-status|error|map"), "what the stage does wrong")
JT_PARAMS(wrong, WRONG)

static float not_a_number(float logit, const void *par) {
    (void)logit, (void)par;
    return NAN;
}

static jt_status wrong_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    (void)state;
    switch (((const struct wrong *)par)->how) {
    case 0: jt_dist_set(d, 3, NAN); break;
    case 1: jt_dist_add(d, 3, NAN); break;
    case 2: jt_dist_set(d, 1 << 30, 1); break;
    case 3: jt_dist_divide(d, NAN); break;
    case 4: return (jt_status)12345;
    case 5: return jt_error_set(jt_step_error(s), JT_INVALID, "this is what went wrong");
    case 6: jt_dist_map(d, not_a_number, NULL); break;
    }
    return JT_OK;
}

static const jt_method stage = {.name = "wrong", .kind = JT_STAGE, JT_PARAMETERS(wrong), .stage = {.run = wrong_run}};

#define ASTRAY(X, T)                                                                                                                       \
    X(T, CHOICE, how, 0, JT_ONE_OF("no-token|no-slot|wild-status|nothing|no-row|negative-slot|past-pushed"), "what the strategy does wrong")
JT_PARAMS(astray, ASTRAY)

static jt_status astray_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    jt_decision made = {.id = 1 << 30};
    (void)state, (void)r;
    switch (((const struct astray *)par)->how) {
    case 0: jt_work_emit(w, &made); break;
    case 1: jt_work_next(w, 200); break;
    case 2: return (jt_status)-77;
    case 3: break;
    case 4: (void)jt_work_decide(w, &(jt_out){.row = 99}, 0); break;
    case 5: jt_work_next(w, -5); break;
    case 6: jt_work_push(w, JT_MAIN, &made); break;
    }
    return JT_OK;
}

static const jt_method strategy = {
    .name = "astray", .kind = JT_STRATEGY, JT_PARAMETERS(astray), .state_size = 8, .strategy = {.advance = astray_advance}};

static jt_status judge(const void *par, const jt_scored *s, double *out, jt_error *err) {
    (void)par, (void)s, (void)err;
    *out = NAN;
    return JT_OK;
}

static const jt_method scorer = {.name = "no-number", .kind = JT_SCORER, .scorer = {judge}};
static const jt_method *const rows[] = {&stage, &strategy, &scorer, NULL};
JT_PLUGIN("wrong-hooks", rows);
#endif
