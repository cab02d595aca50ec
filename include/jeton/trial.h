/* trial.h: the stages of a pipeline over logits that the caller has, without a model.
 *
 * What comes out is what a driver's row would give with the same logits and history, bit
 * for bit: this is how another implementation is compared with this one. Strategies other
 * than greedy and sample, and stages that need what only a model has (streams of layers,
 * raw keys, gradients), are refused by name. */
#ifndef JETON_TRIAL_H
#define JETON_TRIAL_H

#include "jeton/decode.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct jt_trial jt_trial;

/* One decision. Everything belongs to the caller; logits must stay until the next run. */
typedef struct jt_given {
    const float *logits; /* [vocab]; -INFINITY: no candidate */
    const float *raw;    /* [vocab]: the model's own, where it differs; NULL: logits */
    const float *second; /* [vocab]: of a second model; NULL: none */
    const float *hidden; /* [n_hidden]; NULL: none */
    int n_hidden;
    const int32_t *history; /* [n_history]: the tokens before, prompt first; may be NULL */
    int n_history, n_prompt;
    int position; /* of the token decided; n_history, unless there is no history */
    uint64_t seed;
    uint32_t choice;
    int go_on; /* 1: states of stages go on from the run before and what was pushed since; 0: a job of its own begins */
} jt_given;

/* `p` and `t` (may be NULL) must outlive the trial. Errors: JT_UNSUPPORTED, naming the method and what it needs. */
JT_API jt_status jt_trial_new(const jt_pipeline *p, int vocab, const jt_tokenizer *t, jt_trial **out, jt_error *err);
JT_API void jt_trial_free(jt_trial *t);
/* What the stages leave, valid until the next call. Errors: JT_INVALID for logits that are no number or infinite (the message
 * names the token), ids outside of the vocabulary, a need that is not given (by name); what a stage says. */
JT_API jt_status jt_trial_run(jt_trial *t, const jt_given *g, jt_dist **out, jt_error *err);
/* The decision of greedy or sample for the last run; id -1: dead. */
JT_API jt_decision jt_trial_decide(jt_trial *t);
/* Token `id` was accepted at the last run's place: stages that keep state see it. Errors: JT_INVALID for an id outside of the
 * vocabulary. */
JT_API jt_status jt_trial_push(jt_trial *t, const jt_decision *made, jt_error *err);
/* How the last run gave `id`: its place, both logprobs, no random number. For tokens that were chosen elsewhere. */
JT_API jt_decision jt_trial_choose(jt_trial *t, int32_t id);

#ifdef __cplusplus
}
#endif
#endif
