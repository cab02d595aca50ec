/* step.h: what a hook is given at one position, from the driver's side. Hooks see
 * the accessors of jeton/method.h, which give only what the row declares. */
#ifndef JT_STEP_STEP_H
#define JT_STEP_STEP_H

#include "jeton/decode.h"
#include "jeton/method.h"

/* The numbers that one run of a stage draws. */
enum { JT_DRAWS_KEPT = 16 };
typedef struct jt_draws {
    jt_drawn kept[JT_DRAWS_KEPT]; /* the first of them */
    uint32_t n;
    uint64_t hash;
} jt_draws;

/* All tokens of another branch. */
typedef struct jt_kin {
    const int32_t *ids;
    int n;
} jt_kin;

struct jt_step {
    const jt_method *method; /* whose hook is running */
    uint32_t occurrence;     /* which of several stages of that name in the pipeline, from 0 */
    int vocab;
    const int32_t *history;
    int n, n_prompt; /* tokens in history; of those, the prompt's */
    uint64_t seed, stream;
    const jt_tokenizer *tokenizer;
    jt_dist *raw, *second;
    const float *hidden;
    const int *layer; /* [n_layer]: of the streams */
    const float *streams;
    int n_hidden, n_layer, n_kin;
    const jt_kin *kin;
    double arrived;  /* probability of the accepted token before this stage; 0: unknown */
    int32_t *seen;   /* [vocab], all zero between calls */
    jt_count *count; /* [vocab] */
    int32_t *alike;  /* [n] at least */
    void *shared;
    jt_draws *draws; /* NULL: nobody asks what is drawn */
    jt_dist *(*project)(void *self, const float *x, bool norm, jt_error *err);
    void *project_self;
    jt_error *err;
};

#endif
