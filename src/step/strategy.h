/* strategy.h: what a strategy works with.
 *
 * A strategy never evaluates. advance() takes the results of its last requests
 * and writes new ones; the driver merges the requests of all live strategies into
 * one evaluation. A *slot* is the strategy's own number for a branch; JT_MAIN is
 * the request's sequence, whose prompt is pending at the first call (results are
 * empty there). State is flat bytes that name only slots.
 *
 * Bodies are written straight through:
 *
 *   static jt_status advance(const void *par, void *state, const jt_results *r, jt_work *w) {
 *       struct state *s = state;
 *       JT_BEGIN(s);
 *       for (;;) {
 *           jt_work_next(w, JT_MAIN);
 *           JT_AWAIT(s);
 *           jt_decision d = ...;      inside a block: no local lives across JT_AWAIT
 *       }
 *       JT_END(w);
 *   }
 *
 * where struct state has `int at`. Operations apply in written order, evaluations
 * last. A request that fails is kept by the work and ends the job after advance
 * returns, so bodies check nothing. After an end or a limit what a strategy still
 * emits or pushes is discarded. */
#ifndef JT_STEP_STRATEGY_H
#define JT_STEP_STRATEGY_H

#include "jeton/decode.h"

typedef int16_t jt_slot;
enum { JT_MAIN = 0 };

/* A row that was asked for: the distribution after the slot's last input. Dies at the return of advance. */
typedef struct jt_out {
    jt_slot slot;
    int32_t position; /* of the token to be decided */
} jt_out;
struct jt_results {
    const jt_out *out; /* in the order of the requests */
    int n_out;
};

/* Evaluates the slot's pending inputs; one result, for the last. */
void jt_work_next(jt_work *w, jt_slot slot);

/* The dist of a row: the model's, and after the pipeline. Made when asked, the same whenever asked; read only. NULL after a failure. */
jt_dist *jt_work_raw(jt_work *w, const jt_out *o);
jt_dist *jt_work_staged(jt_work *w, const jt_out *o);
/* The pipeline, then the addressed draw of that attempt. A dead decision has id -1. */
jt_decision jt_work_decide(jt_work *w, const jt_out *o, uint32_t attempt);
/* The pipeline, then the first in order. */
jt_decision jt_work_best(jt_work *w, const jt_out *o);

/* Appends the token to the slot's inputs; stages see it. A dead decision is not appended. */
void jt_work_push(jt_work *w, jt_slot slot, const jt_decision *d);
/* Gives the token to the user; ends the job at an end token, stop string or limit, or when the decision is dead. */
void jt_work_emit(jt_work *w, const jt_decision *d);
void jt_work_done(jt_work *w, jt_end_reason why);

/* A saved line is where the body goes on; no switch may stand around an await. A
 * local whose initialisation an await would jump over is an error: the build
 * compiles src/decode/strategies with -Werror=jump-misses-init where it is known. */
#define JT_BEGIN(s)                                                                                                                        \
    switch ((s)->at) {                                                                                                                     \
    case 0:
#define JT_AWAIT(s)                                                                                                                        \
    do {                                                                                                                                   \
        (s)->at = __LINE__;                                                                                                                \
        return JT_OK;                                                                                                                      \
    case __LINE__:;                                                                                                                        \
    } while (0)
#define JT_END(w)                                                                                                                          \
    }                                                                                                                                      \
    jt_work_done(w, JT_END_STOP);                                                                                                          \
    return JT_OK

#endif
