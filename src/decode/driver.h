/* driver.h: the inside of the driver.
 *
 * A round: jobs that were cancelled or are out of time end; every job that waits
 * for a row gives a span of its pending inputs; the spans are one ragged
 * evaluation; each job whose row is there advances its strategy, which decides,
 * pushes, emits and asks again. What is emitted waits in the job until
 * jt_driver_next has handed it out.
 *
 *   driver.c    jobs: submitting, rounds, handing out
 *   work.c      what strategies ask for; the pipeline over one row
 *   answer.c    text, stop strings and limits of one answer
 *   evaluator.c the driver of a real model */
#ifndef JT_DECODE_DRIVER_H
#define JT_DECODE_DRIVER_H

#include <stdatomic.h>

#include "decode/pipeline.h"
#include "step/dist.h"
#include "step/step.h"
#include "step/strategy.h"

/* What the driver needs from a model. Tests give one whose logits are a function of the tokens alone. */
typedef struct jt_evaluator {
    void *self;
    int vocab, context; /* context: the trained one */
    const jt_tokenizer *tokenizer;
    const jt_kernels *kernels;
    jt_status (*open)(void *self, int context, jt_state **out, jt_error *err);
    void (*close)(void *self, jt_state *s);
    jt_status (*eval)(void *self, const jt_batch *b, jt_error *err);
    double (*now)(void *self); /* seconds */
} jt_evaluator;

jt_status jt_driver_new_with(const jt_evaluator *ev, jt_driver **out, jt_error *err);

enum {
    JT_JOBS = 4096,       /* live jobs at most */
    JT_ROWS_ALONE = 512,  /* prompt rows in a round in which no job waits for its next token */
    JT_ROWS_BESIDE = 128, /* and in one where some do */
    JT_ROWS_SHORT = 8,    /* spans up to this are never put off */
    JT_TOP_TRACED = 10,
    JT_TOP_MOST = 20
};

/* An emitted token that waits to be handed out; text, top and stage lie in the job's arrays. */
typedef struct jt_record {
    jt_decision decision;
    size_t text, n_text, top, stage;
    int n_top, n_stage, answer_tokens;
    float eval_seconds;
} jt_record;

typedef struct jt_live jt_live;
struct jt_live {
    jt_live *next; /* in order of submission */
    jt_job id;
    const jt_pipeline *pipeline;
    uint64_t seed, stream;
    int max_tokens, context, n_prompt, top;
    bool ignore_end, special, trace;
    double submitted, deadline, first_token, eval_seconds;
    char **stop; /* [n_stop], each NUL-terminated */
    size_t *stop_len, n_stop;
    int32_t *stop_ids;
    size_t n_stop_ids;

    jt_state *state;
    int32_t *ids; /* [context]: prompt and answer */
    int n, evaluated;
    float *logits; /* [vocab] of the last row asked for */
    double log_sum, entropy;
    bool waits, started; /* waits: the strategy asked for the row after ids[n - 1] */
    void *strategy_state, **stage_state;

    /* The newest decision, for the trace of the token that is emitted from it. */
    int decided; /* its position, -1: none */
    int n_top, n_trace;
    jt_candidate top_now[JT_TOP_MOST];
    jt_stage_trace *trace_now; /* [stages] */

    jt_detok detok;
    char *held; /* text that could begin a stop string */
    size_t n_held, cap_held;
    int n_answer;

    jt_record *record; /* [n_record], those before `handed` are out */
    size_t n_record, cap_record, handed;
    jt_str text;
    jt_candidate *top_all;
    size_t n_top_all, cap_top_all;
    jt_stage_trace *stage_all;
    size_t n_stage_all, cap_stage_all;

    jt_end_reason end; /* JT_END_NONE: live */
    size_t end_text;   /* where the end event's text begins in `text` */
    double ended;
    jt_error error;
};

struct jt_driver {
    jt_evaluator ev;
    jt_pipeline *greedy;
    jt_dist *raw, *staged, *before; /* before: what a traced stage was given */
    int32_t *seen;
    jt_count *count;
    uint32_t site;         /* of the ordinary draw */
    jt_live *first, *gone; /* gone: its end was handed out; freed by the next call */
    size_t n_live, cap_span;
    jt_job last;
    jt_span *span;
    jt_want *want;
    jt_live **of;                        /* [cap_span]: whose span */
    int n_span;                          /* of the evaluation that runs */
    _Atomic uint64_t cancelled[JT_JOBS]; /* at id % JT_JOBS: the newest job there that was cancelled */
};

struct jt_work {
    jt_driver *d;
    jt_live *j;
    bool staged, asked; /* staged: d->staged is this row's */
    jt_status status;   /* the first failure, its message in j->error */
};

bool jt_live_cancelled(const jt_driver *d, const jt_live *j);
void jt_live_end(jt_driver *d, jt_live *j, jt_end_reason why);
/* Runs the strategy on the row it waited for; ends the job on failure. In work.c. */
void jt_live_advance(jt_driver *d, jt_live *j);
/* Takes a token into the answer: text, stops, limits, a record. In answer.c. */
jt_status jt_answer_take(jt_driver *d, jt_live *j, const jt_decision *made, jt_error *err);
/* Puts the text held back into j->text, at the answer's end. */
void jt_answer_flush(jt_live *j);

#endif
