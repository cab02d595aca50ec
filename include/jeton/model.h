/* model.h: opening a model, and evaluating tokens with it.
 *
 * A model is opened on an engine from a GGUF file or a Hugging Face folder
 * (config.json and safetensors). A jt_state is what one sequence has evaluated on one model: pages of
 * keys and values, or what other layers keep. jt_eval extends any number of states by some rows each, in
 * one ragged batch, and gives logits or numbers reduced from them for the rows
 * that ask.
 *
 * The promise: a row's results depend only on the tokens before it and on the
 * numeric mode (weights, adapter, taps, activation kind, cache type, declared context), bit for
 * bit; not on the batch, on how the prompt is cut, on threads or kernels. Of an encoder (BERT) every row sees the
 * whole sequence, which is evaluated at once (jt_span); what is made of its rows is in jeton/embed.h.
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
    JT_ACT_INT8,  /* activations rounded to 8 bits before products with quantised weights (default); else as JT_ACT_FLOAT */
    JT_ACT_FLOAT, /* weights expanded to float32, activations kept */
    JT_ACT_BF16   /* weights of every format and activations rounded to bfloat16, sums in float32 (docs/numbers.md) */
} jt_activations;

typedef enum jt_kv_type {
    JT_KV_AUTO, /* F32 with float activations, else F16 */
    JT_KV_F16,
    JT_KV_F32,
    JT_KV_Q8_0 /* 8 bits and a scale for every 32 elements of a head's key or value */
} jt_kv_type;

/* How the rows of a sequence become one vector (jeton/embed.h). */
typedef enum jt_pooling {
    JT_POOL_AUTO, /* as the model's files say; else the mean of an encoder, the last row of a decoder */
    JT_POOL_MEAN,
    JT_POOL_CLS, /* the first row */
    JT_POOL_LAST,
    JT_POOL_MAX,
    JT_POOL_POOLER /* the first row through the map that the model has for it (BERT: tanh(W x + b)) */
} jt_pooling;

typedef struct jt_model_options {
    jt_activations activations;
    jt_kv_type kv_type;
    int ubatch;     /* rows evaluated together; 0: 512. Changes speed and memory, never results */
    int no_repack;  /* 1: products read the mapped file; slower, about half the memory */
    int mlock;      /* 1: keep the mapped file in memory, or fail */
    int context;    /* tokens that the caller will declare for its states, for the memory check; 0: none */
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
    const char *name, *family; /* "SmolLM2 135M Instruct", "llama"; never NULL */
    int vocab, hidden, layers, heads, kv_heads, head_dim, context_trained;
    uint64_t parameters, file_bytes, weight_bytes; /* weight_bytes: as held in memory, repacked copies included */
    uint64_t state_bytes_per_token;                /* with the share of what is kept every so many tokens */
    uint64_t read_bytes_per_token;                 /* of these, what every later row reads: keys and values */
    uint64_t recurrent_bytes; /* the states of all recurrences after one token; besides, a jt_state holds up to three of them */
    const char *activations, *kv_type, *weight_types; /* "int8", "f16", "q4_1 210, q8_0 1, f32 61" */
    int encoder;                                      /* 1: rows see the whole sequence; there are no logits of next tokens */
    int types;                                        /* token types of an encoder; 0: none */
    int labels;                                       /* of the head that classifies or ranks; 0: there is none */
    jt_pooling pooling;                               /* of jt_embed, never JT_POOL_AUTO */
    int normalise;                                    /* 1: embeddings have length 1 unless asked otherwise */
    uint64_t mode;                                    /* hash of the numeric mode, the declared context of a state not included */
} jt_model_info;
JT_API void jt_model_get_info(const jt_model *m, jt_model_info *out);
/* The model's tokenizer, owned by the model; NULL when its files carry none. */
JT_API const jt_tokenizer *jt_model_tokenizer(const jt_model *m);
JT_API jt_engine *jt_model_engine(const jt_model *m);
/* The name of label i (0 <= i < labels), "LABEL_0" where the files give none; owned by the model. */
JT_API const char *jt_model_label(const jt_model *m, int i);

/* ---- states ---- */

/* An empty state whose declared context is `context` tokens (1 to 2^24). Memory is
 * taken page by page as it fills. The model must outlive it. */
JT_API jt_status jt_state_new(jt_model *m, int context, jt_state **out, jt_error *err);
/* A second state with the same past: O(1) in tokens; pages are shared until one side writes. */
JT_API jt_status jt_state_fork(const jt_state *s, jt_state **out, jt_error *err);
/* Forgets all but the first n nodes (0 <= n <= length), in the order of their evaluation. */
JT_API jt_status jt_state_truncate(jt_state *s, int n, jt_error *err);
/* Keeps node `node` and its ancestors only, renumbered by depth: node d of the result is
 * the ancestor of depth d. */
JT_API jt_status jt_state_truncate_to(jt_state *s, int node, jt_error *err);
JT_API void jt_state_free(jt_state *s);
/* Nodes held: the number of positions of a linear sequence. */
JT_API int jt_state_length(const jt_state *s);
/* Of node `node` (0 <= node < length): its parent (-1: none) and its depth, the number of its ancestors. */
JT_API int jt_state_parent(const jt_state *s, int node);
JT_API int jt_state_depth(const jt_state *s, int node);
/* The first node of the group that `node` was evaluated with, `node` itself where it was alone; *rows (may be NULL) gets
 * the number of rows that the group had. A state may be truncated inside a group: the rows that stay keep what
 * they were with all of it, and that fewer than *rows nodes have this first node says that it cannot be evaluated again
 * from the inputs that are left. */
JT_API int jt_state_group(const jt_state *s, int node, int *rows);
JT_API int jt_state_context(const jt_state *s);
JT_API jt_model *jt_state_model(const jt_state *s);
/* Hash of the numeric mode of the state: the model's, the declared context, and the taps and adapters that were ever in force. */
JT_API uint64_t jt_state_mode(const jt_state *s);

/* Writes the state to a file, whole or not at all; reading it back gives the same bits. The file is tied to the numeric
 * mode: another model, activation kind, cache type or version is refused (JT_INVALID) and so is a file that is cut, altered
 * or of another format (JT_FORMAT), each with what differs. Taps and the adapter are not saved, only
 * that they were there: the state read back has none. */
JT_API jt_status jt_state_save(const jt_state *s, const char *path, jt_error *err);
JT_API jt_status jt_state_load(jt_model *m, const char *path, jt_state **out, jt_error *err);

/* ---- evaluation ---- */

/* One row's results. Every pointer may be NULL; memory is the caller's. */
typedef struct jt_want {
    int row;                /* index into the rows of the batch, ascending and without repeats */
    float *logits;          /* [vocab] */
    float *final;           /* [hidden]: the vector that the head multiplies (after the final norm) */
    const int32_t *targets; /* [n_targets] ids whose ln p is wanted */
    int n_targets;
    double *target_logprob; /* [n_targets] */
    double *log_sum_exp;    /* ln of the sum of exp(logit) over the vocabulary */
    double *entropy;        /* of softmax(logits), nats */
    int n_top;              /* best candidates wanted, 0 to 4096, not above the vocabulary: logit down, then id up */
    int32_t *top_ids;       /* [n_top] */
    float *top_logits;      /* [n_top] */
    const int *layer;       /* [n_layer]: layers, 0 to the number of layers */
    int n_layer;
    float *stream; /* [n_layer][hidden]: the stream entering each, edits by taps included; of the last what leaves the network */
} jt_want;

/* What a row is made from instead of a token id. Memory is the caller's until jt_eval returns. */
typedef struct jt_input {
    int n;              /* 1 or more: the mixture sum of w[i] * embedding of ids[i]; 0: the vector */
    const int32_t *ids; /* [n] */
    const float *w;     /* [n], finite */
    const float *vec;   /* [hidden]: what enters the first layer */
} jt_input;

/* A set of layers: bit l % 64 of word l / 64. */
typedef struct jt_layers {
    uint64_t word[4];
} jt_layers;

enum {
    JT_PREVIOUS = -1, /* the node before: the end of the state for the first row, else the row before */
    JT_NO_PARENT = -2 /* a row that begins a path of its own */
};

/* Rows of one sequence: `n` nodes appended to `state`, numbered from its length on.
 * Without the optional arrays they continue its last node one after another.
 *
 * What a row may see is data. Nodes between two branchings of the tree form a lane; a row
 * sees the keys of its lane and of the lanes above whose rank is at most its own, those of
 * this batch included. Ranks default to the depth: each row sees its ancestors and itself.
 * Equal ranks in one lane see each other (prefix, block and bidirectional attention). Rows
 * that see later rows belong in one batch, with at most `ubatch` rows (JT_LIMIT). A row
 * keeps what it saw when it was evaluated.
 *
 * A *group* is rows that are evaluated as one: what chooses keys for one of them
 * chooses for all. Its borders are inputs, as ids are. It is never parted (JT_LIMIT when it has
 * more than `ubatch` rows) and ends with its span. Its rows hang together: the parent of each is a
 * row of the group, or the parent of the group's first row (JT_INVALID).
 *
 * On an encoder the rows of a span are a whole sequence: the state is empty (JT_INVALID), no row may be parted from
 * the others (JT_LIMIT above `ubatch` rows), and there are no parents, ranks, positions, sets of layers or groups
 * (JT_UNSUPPORTED). */
typedef struct jt_span {
    jt_state *state;
    const int32_t *ids; /* [n], each in [0, vocab); not read where `input` is given */
    int n;
    const jt_input *input;   /* [n] or NULL */
    const int32_t *parent;   /* [n] or NULL: a node, which may be a row of this span; JT_PREVIOUS; JT_NO_PARENT */
    const int32_t *rank;     /* [n] or NULL */
    const int32_t *position; /* [n] or NULL: rotary positions, 0 to 2^24; default the depth */
    const jt_layers *layers; /* [n] or NULL: the layers that each row runs. In a layer that it skips, the stream passes as it
                              * is, and the row has no key there: no other row sees it in that layer */
    const int32_t *types;    /* [n] or NULL: token types of an encoder, 0 where they are not given */
    const int32_t *group;    /* [n] or NULL: rows next to each other with the same number are a group; default: each row alone */
} jt_span;

typedef struct jt_batch {
    const jt_span *span; /* rows of span 0 first, then span 1 ...; a state occurs in one span at most; at most `context` deep */
    int n_span;
    const jt_want *want;
    int n_want;
    /* NULL, or [layers + 1][rows][hidden]: the residual stream entering each layer; the last is what leaves the last layer. */
    float *residual;
    /* What taps capture (jeton/tap.h): called after each pass on the calling thread, row by row, `width` floats of node
     * `node` of span `span`, valid until it returns. NULL: captures are dropped. */
    void (*captured)(void *self, int span, int node, int layer, int tag, const float *x, int width);
    void *captured_self;
    /* Called between passes; nonzero stops with JT_CANCELLED. NULL: never. */
    int (*cancelled)(void *self);
    void *cancelled_self;
} jt_batch;

/* Evaluates the batch. On any failure no state has changed. Errors: JT_INVALID (a bad
 * id, a state of another model), JT_LIMIT (a declared context is exceeded), JT_UNSUPPORTED (ranks
 * that do not rise along a path, on a model with recurrences), JT_NOMEM, JT_CANCELLED. */
JT_API jt_status jt_eval(jt_model *m, const jt_batch *b, jt_error *err);

/* Final norm and head of `n` vectors [n][hidden] as they leave a layer: what the model would
 * say if it ended there (logit lens). want[i].row is the vector's index. */
JT_API jt_status jt_project(jt_model *m, const float *hidden, int n, const jt_want *want, int n_want, jt_error *err);
/* The head alone of vectors that are normed, or are to be taken as they are. */
JT_API jt_status jt_project_head(jt_model *m, const float *final, int n, const jt_want *want, int n_want, jt_error *err);

#ifdef __cplusplus
}
#endif
#endif
