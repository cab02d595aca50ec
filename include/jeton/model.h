/* model.h: opening a model, and evaluating tokens with it.
 *
 * A model is opened on an engine from a GGUF file or a Hugging Face folder
 * (config.json and safetensors). A jt_state is what one sequence has evaluated on one model: pages of
 * keys and values. jt_eval extends any number of states by some rows each, in
 * one ragged batch, and gives logits or numbers reduced from them for the rows
 * that ask.
 *
 * The promise: a row's results depend only on the tokens before it and on the
 * numeric mode (weights, activation kind, cache type, declared context), bit for
 * bit; not on the batch, on how the prompt is cut, on threads or kernels.
 *
 * Threads: different models may be used from different threads, even on one
 * engine. Calls on one model and on its states must not overlap. */
#ifndef JETON_MODEL_H
#define JETON_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "jeton/engine.h"
#include "jeton/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct jt_model jt_model;
typedef struct jt_state jt_state;
typedef struct jt_tokenizer jt_tokenizer;

typedef enum jt_activations {
    JT_ACT_INT8, /* activations rounded to 8 bits before products with quantised weights (default) */
    JT_ACT_FLOAT /* weights expanded to float32, activations kept */
} jt_activations;

typedef enum jt_kv_type {
    JT_KV_AUTO, /* F16 with int8 activations, F32 with float */
    JT_KV_F16,
    JT_KV_F32
} jt_kv_type;

typedef struct jt_model_options {
    jt_activations activations;
    jt_kv_type kv_type;
    int ubatch;    /* rows evaluated together; 0: 512. Changes speed and memory, never results */
    int no_repack; /* 1: products read the mapped file; slower, about half the memory */
    int mlock;     /* 1: keep the mapped file in memory, or fail */
    int context;   /* tokens that the caller will declare for its states, for the memory check; 0: none */
    int vocab_only; /* 1: tokenizer and metadata only; jt_eval is refused */
    /* Called now and then while loading, with a fraction 0..1; nonzero cancels (JT_CANCELLED). May be NULL. */
    int (*progress)(void *self, double fraction);
    void *progress_self;
} jt_model_options;

/* Opens `path` (a GGUF file or a Hugging Face folder). `o` may be NULL. Too little
 * memory is refused before loading, with the sizes. */
JT_API jt_status jt_model_open(jt_engine *e, const char *path, const jt_model_options *o, jt_model **out, jt_error *err);
JT_API void jt_model_free(jt_model *m);

typedef struct jt_model_info {
    const char *name, *family;  /* "SmolLM2 135M Instruct", "llama"; never NULL */
    int vocab, hidden, layers, heads, kv_heads, head_dim, context_trained;
    uint64_t parameters, file_bytes, weight_bytes; /* weight_bytes: as held in memory, repacked copies included */
    uint64_t state_bytes_per_token;
    const char *activations, *kv_type, *weight_types; /* "int8", "f16", "q4_1 210, q8_0 1, f32 61" */
    uint64_t mode; /* hash of the numeric mode, the declared context of a state not included */
} jt_model_info;
JT_API void jt_model_get_info(const jt_model *m, jt_model_info *out);
/* The model's tokenizer, owned by the model; NULL when its files carry none. */
JT_API const jt_tokenizer *jt_model_tokenizer(const jt_model *m);
JT_API jt_engine *jt_model_engine(const jt_model *m);

/* ---- states ---- */

/* An empty state whose declared context is `context` tokens (1 to 2^24). Memory is
 * taken page by page as it fills. The model must outlive it. */
JT_API jt_status jt_state_new(jt_model *m, int context, jt_state **out, jt_error *err);
/* A second state with the same past: O(1) in tokens; pages are shared until one side writes. */
JT_API jt_status jt_state_fork(const jt_state *s, jt_state **out, jt_error *err);
/* Forgets all but the first n positions (0 <= n <= length). */
JT_API jt_status jt_state_truncate(jt_state *s, int n, jt_error *err);
JT_API void jt_state_free(jt_state *s);
JT_API int jt_state_length(const jt_state *s);
JT_API int jt_state_context(const jt_state *s);
JT_API jt_model *jt_state_model(const jt_state *s);

/* ---- evaluation ---- */

/* One row's results. Every pointer may be NULL; memory is the caller's. */
typedef struct jt_want {
    int row;            /* index into the rows of the batch, ascending and without repeats */
    float *logits;      /* [vocab] */
    float *final;       /* [hidden]: the vector that the head multiplies (after the final norm) */
    const int32_t *targets; /* [n_targets] ids whose ln p is wanted */
    int n_targets;
    double *target_logprob; /* [n_targets] */
    double *log_sum_exp;    /* ln of the sum of exp(logit) over the vocabulary */
    double *entropy;        /* of softmax(logits), nats */
} jt_want;

/* Consecutive rows of one sequence: `n` tokens appended to `state`. */
typedef struct jt_span {
    jt_state *state;
    const int32_t *ids; /* [n], each in [0, vocab) */
    int n;
} jt_span;

typedef struct jt_batch {
    const jt_span *span; /* rows of span 0 first, then span 1 ...; a state occurs in one span at most */
    int n_span;
    const jt_want *want;
    int n_want;
    /* NULL, or [layers + 1][rows][hidden]: the residual stream entering each layer; the last is what leaves the last layer. */
    float *residual;
    /* Called between passes; nonzero stops with JT_CANCELLED. NULL: never. */
    int (*cancelled)(void *self);
    void *cancelled_self;
} jt_batch;

/* Evaluates the batch. On any failure no state has changed. Errors: JT_INVALID (a bad
 * id, a state of another model), JT_LIMIT (a declared context is exceeded), JT_NOMEM,
 * JT_CANCELLED. */
JT_API jt_status jt_eval(jt_model *m, const jt_batch *b, jt_error *err);

#ifdef __cplusplus
}
#endif
#endif
