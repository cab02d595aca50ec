/* head.h: the product with the head, and what is reduced from a row of logits.
 *
 * Logits are made in blocks of at most JT_HEAD_ROWS rows and reduced at once, so
 * that memory does not grow with the number of rows. One routine serves sampler,
 * logprobs and losses. */
#ifndef JT_TENSOR_HEAD_H
#define JT_TENSOR_HEAD_H

#include "tensor/engine.h"
#include "tensor/pack.h"

enum { JT_HEAD_ROWS = 64 };

/* What is wanted of one row; every pointer may be NULL. */
typedef struct jt_head_want {
    float *logits;          /* [vocab] */
    const int32_t *targets; /* [n_targets] */
    int n_targets;
    double *target_logprob; /* [n_targets] */
    double *log_sum_exp, *entropy;
    int n_top;         /* at most vocab */
    int32_t *top_ids;  /* [n_top]: logit down, then id up */
    float *top_logits; /* [n_top] */
} jt_head_want;

typedef struct jt_head_run {
    const jt_engine *engine;
    const jt_matrix *head;
    jt_by by;
    float cap;               /* 0, or logits become cap * tanh(logit / cap) */
    const jt_buffer *hidden; /* rows of head->cols floats, beginning at hidden_at */
    size_t hidden_at;
    int rows; /* at most JT_HEAD_ROWS */
    const jt_head_want *want;
    jt_buffer *work; /* jt_head_work_bytes */
    void **scratch;  /* [threads], jt_matmul_scratch bytes each */
} jt_head_run;

size_t jt_head_work_bytes(const jt_matrix *head, int rows);
void jt_head(const jt_head_run *r);

#endif
