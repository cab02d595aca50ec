/* op.h: networks as lists of operators.
 *
 * A list is built once per network and layer set and is immutable afterwards. It
 * holds *values* (single assignment: each is written by one node) and *nodes*
 * (an operator with its values, weights and settings). It holds no pointers to
 * data and no row counts: those lie in the *environment*, which is made for each
 * eval and is immutable while the list runs. Weights are named by (set, tensor);
 * the set resolves them to the version in force.
 *
 * A planner gives every value storage: bytes per row at an offset per row, so that
 * one plan serves every row count. A value shares storage with its input only
 * through a declared alias, and then the input dies there; kept and exported
 * values are never aliased or reused. All threads walk the list together; the
 * planner puts a barrier only where a node could meet another thread's work.
 *
 * Only operators, in tensor/ops, touch numbers. The head product is not in the
 * list (jt_head in head.h). */
#ifndef JT_TENSOR_OP_H
#define JT_TENSOR_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jeton/status.h"
#include "tensor/engine.h"
#include "tensor/weights.h"

typedef uint16_t jt_val;
enum { JT_NOVAL = 0xffff, JT_MAX_IN = 4, JT_MAX_OUT = 2, JT_MAX_WEIGHT = 5, JT_MAX_INT = 8, JT_MAX_FLOAT = 3 };

/* Row classes: every value has as many rows as its class has in the environment. */
typedef enum jt_rows { JT_ROWS_ALL, JT_ROWS_WANTED, JT_ROWS_CLASSES } jt_rows;

typedef enum jt_elem {
    JT_ELEM_F32, /* width floats a row */
    JT_ELEM_ACT, /* width activations in 8 bits: q [width], then d [width / 16] and s [width / 32] floats, per row */
    JT_ELEM_BF16 /* width bfloat16, then what jt_bf16_stride adds */
} jt_elem;

/* How the threads share a node. Rows of one class are cut the same way in every
 * node, so that runs of row-wise nodes need no barrier between them. Pieces of the costly
 * nodes go to whoever asks first (jt_turns_take): a thread that is held up does less. */
typedef enum jt_split { JT_SPLIT_ROWS, JT_SPLIT_OTHER } jt_split;

typedef struct jt_value {
    jt_rows rows;
    jt_elem elem;
    int32_t width;
    bool keep;          /* storage is not reused: exported, or needed by a backward pass */
    jt_val alias;       /* the input whose storage it takes, JT_NOVAL if none */
    int32_t born, dies; /* node indexes */
    size_t at, bytes;   /* per row: offset and size in the class's region */
} jt_value;

struct jt_env;
struct jt_opnode;
/* One thread's share: `thread` of `threads`, with this thread's scratch memory. */
typedef struct jt_share {
    int thread, threads;
    void *scratch;
    jt_turns *taken; /* pieces of the node that are taken */
} jt_share;

typedef struct jt_op {
    const char *name;
    jt_split split;
    uint8_t alias_in; /* 1 + index of the input that output 0 may take over in place, 0: none */
    bool effects;     /* writes pages: ordered against everything that reads them */
    bool reads_pages;
    bool passes;               /* something passes through a layer that rows skip (a row, a state): run even when no row runs the layer */
    uint8_t keep_in, keep_out; /* bit masks: what a backward pass needs kept */
    void (*forward)(const struct jt_env *e, const struct jt_opnode *n, const jt_share *s);
    /* Bytes of scratch a thread needs; NULL: none. */
    size_t (*scratch)(const struct jt_env *e, const struct jt_opnode *n);
    /* Gradient of the inputs and weights from those of the outputs; NULL: the operator cannot be trained through. */
    void (*backward)(const struct jt_env *e, const struct jt_opnode *n, const jt_share *s);
} jt_op;

typedef struct jt_opnode {
    const jt_op *op;
    jt_val in[JT_MAX_IN], out[JT_MAX_OUT];
    jt_ref weight[JT_MAX_WEIGHT];
    int32_t i[JT_MAX_INT];
    float f[JT_MAX_FLOAT];
    int16_t layer;  /* -1: outside the layers */
    bool barrier;   /* wait for all threads before it (planner) */
    bool recompute; /* a block border: a backward pass may recompute from here */
} jt_opnode;

typedef struct jt_export {
    jt_val value;
    int16_t site, layer; /* what it is: jt_site of model/, layer index */
} jt_export;

typedef struct jt_list {
    jt_value *value;
    size_t n_value, cap_value;
    jt_opnode *node;
    size_t n_node, cap_node;
    jt_export *exports;
    size_t n_export, cap_export;
    size_t row_bytes[JT_ROWS_CLASSES]; /* storage per row of each class */
    bool planned;
    jt_status status; /* the first failure while building; reported by jt_list_plan */
    jt_opnode spare;  /* what jt_list_node gives after a failed allocation */
} jt_list;

/* ---- building (model/): failures are remembered and reported by jt_list_plan ---- */
jt_val jt_list_value(jt_list *l, jt_rows rows, jt_elem elem, int width);
jt_opnode *jt_list_node(jt_list *l, const jt_op *op, int layer); /* zeroed, values JT_NOVAL; never NULL */
void jt_list_export(jt_list *l, jt_val v, int site, int layer);
/* Before the plan, for a list that only infers: replaces runs of operators by fused ones with the same bits (fuse.c). */
void jt_list_fuse(jt_list *l);
jt_status jt_list_plan(jt_list *l, jt_error *err);
void jt_list_free(jt_list *l);

/* ---- environment ---- */

/* What a row may see: the positions of its lane and of the lanes above, by depth.
 * Depth d of the path lies in slot d and has rank d below `trunk`; above it in
 * slot[d - trunk] with rank[d - trunk]. A row sees the keys of its path whose rank
 * is at most its own. Rotary positions, which keys kept before the rotation need, are told in the same way. */
typedef struct jt_env_path {
    int trunk, more;
    const int32_t *slot, *rank;    /* [more] */
    const int32_t *position;       /* [more]; NULL where no key is raw */
    const uint64_t *const *layers; /* NULL, or [more]: the layers in which the key is there; NULL: all */
} jt_env_path;
static inline int jt_path_slot(const jt_env_path *p, int depth) { return depth < p->trunk ? depth : p->slot[depth - p->trunk]; }

/* A step of the recurrences of one sequence: what a node does to the state that the path before it left. */
typedef struct jt_env_step {
    int32_t slot, depth;     /* of the node; its inputs lie in its slot */
    int32_t row;             /* its row in this eval; -1: an earlier node that runs again, from its inputs alone */
    int32_t from;            /* the state before it: a place where one is kept, or JT_STEP_ON or JT_STEP_ZERO */
    int32_t save;            /* where the state after it is kept; JT_STEP_ON: nowhere, only the next step may go on from it */
    const jt_env_path *path; /* its ancestors, by depth; what is below it is not read */
} jt_env_step;

/* A place: a mark of the environment, or with JT_STEP_LOCAL a place that lasts as long as the operator runs. */
enum { JT_MAX_TAPS = 16 }; /* of a convolution */
enum { JT_STEP_ON = -1, JT_STEP_ZERO = -2, JT_STEP_LOCAL = 1 << 30 };

/* A rotation, for one declared context. */
typedef struct jt_env_rope {
    const float *inv_freq; /* [rot / 2] */
    float by;              /* cosines and sines are multiplied by it */
    const float *turn;     /* [n_turn][rot]: cosines and sines of positions 0 .. n_turn - 1, for raw keys */
    int n_turn;
} jt_env_rope;

/* Rows of one sequence in this eval. */
typedef struct jt_env_seq {
    int first, rows;
    jt_buffer *const *page;  /* enough for the slots of its rows and paths */
    const jt_env_step *step; /* [steps], a node after its parent; none where no layer has a recurrence */
    int steps;
    const jt_env_rope *rope; /* by the number that operators name */
} jt_env_seq;

/* What a row is made from. */
typedef struct jt_env_input {
    int n;             /* 1: the embedding of id[0] unless w is given; 0: the vector */
    const int32_t *id; /* [n] */
    const float *w;    /* [n] weights of a mixture; NULL: one id */
    const float *vec;  /* [width] */
} jt_env_input;

/* An edit of rows at a site (jeton/tap.h), as operators see it. */
typedef struct jt_env_tap {
    int site, op;               /* jt_site of model/, jt_tap_op */
    int layer_first, layer_end; /* [first, end) */
    int row_first, row_end;     /* depths */
    int key_first, key_end;
    float value, norm; /* norm: vec . vec */
    const float *vec;
    const uint8_t *head; /* [heads] of a key bias: 1 where it acts */
    int capture_at;      /* first of its slots among those of its row */
    int tag;
    jt_status (*host)(void *self, int layer, int node, float *x, int width);
    void *self;
} jt_env_tap;

/* The taps of one row. */
typedef struct jt_env_row_taps {
    const jt_env_tap *tap;
    int n, span, depth, node;
    int capture; /* first slot of the row's captures; a slot is capture_width floats */
} jt_env_row_taps;

struct jt_select;
struct jt_keys;
/* Checks depths below `end`, positions and heads of a jt_keys. */
jt_status jt_keys_check(const struct jt_keys *k, bool raw, int end, int kv_heads, jt_error *err);
/* Which keys rows see (jeton/keys.h), as operators see it. */
typedef struct jt_env_keys {
    int layer_first, layer_end; /* [first, end) */
    int row_first, row_end;     /* depths of the first rows of groups */
    const uint8_t *head;        /* [kv heads]: 1 where it acts; NULL: on all */
    const int32_t *depth;       /* [n] ascending */
    const int32_t *position;    /* [n] or NULL */
    int n, local;
    bool renumber;
    jt_status (*select)(void *self, struct jt_select *x); /* NULL, or chooses instead */
    void *self;
} jt_env_keys;

/* What a function chose for one key-value head in the layer at hand. */
typedef struct jt_env_choice {
    bool used;
    jt_env_keys keys;
    int32_t *depth, *position; /* memory of keys */
    size_t cap_depth, cap_position;
} jt_env_choice;

/* Memory of functions that choose keys, kept by the model. */
typedef struct jt_env_select {
    jt_env_choice *choice; /* [groups with a function][kv heads] */
    size_t n_choice, cap_choice;
    float *x;
    size_t cap_x;
} jt_env_select;

/* The keys of one row. */
typedef struct jt_env_row_keys {
    const jt_env_keys *keys; /* the last that acts counts */
    int n;
    bool raw;   /* keys of its sequence are kept before the rotation */
    int own;    /* depth of the first row of its group */
    int first;  /* that row */
    int choice; /* of its group: index into jt_env_select.choice; -1: no function chooses */
} jt_env_row_keys;

/* A low-rank addition to a weight: W + scale * B A. */
typedef struct jt_lora {
    jt_matrix a, b; /* F32, packed: [rank][inputs] and [outputs][rank]; a.rows = 0: the weight has none */
    double scale;
} jt_lora;

/* The adapter of one row. */
typedef struct jt_env_lora {
    const jt_lora *lora; /* by the index that jt_op_lora_down and _up are set to; NULL: none */
    float scale;         /* times that of the pair */
} jt_env_lora;

/* What a page holds, layer by layer: of a layer with attention the keys and then the values of each head; of a layer with a
 * recurrence the inputs of each position, [JT_TILE][inputs]. */
typedef struct jt_kv_layout {
    int layers, heads, dim;
    int vdim;                  /* of values; 0 is read as dim */
    int inputs;                /* of one position of a layer with a recurrence */
    jt_type type;              /* JT_F16, JT_F32 or JT_Q8_0 */
    jt_type input_type;        /* JT_F16 or JT_F32 */
    const uint64_t *recurrent; /* NULL, or a bit for each layer: it has a recurrence */
    size_t *at;                /* NULL (all layers are alike), or [layers]: where a layer begins; filled by jt_kv_lay_out */
    size_t head_bytes;         /* one head's keys of one page, as in jt_attn_tile */
    size_t value_bytes;        /* and its values */
    size_t row_bytes;          /* one position's inputs */
    size_t page_bytes;
} jt_kv_layout;

static inline bool jt_kv_recurrent(const jt_kv_layout *kv, int layer) {
    return kv->recurrent && (kv->recurrent[layer / 64] >> (layer % 64) & 1);
}
/* Bytes of a layer where all are alike, else 0. Pages that are made together keep the parts of one layer side by side. */
static inline size_t jt_kv_part(const jt_kv_layout *kv) { return kv->at ? 0 : (size_t)kv->heads * (kv->head_bytes + kv->value_bytes); }
static inline size_t jt_kv_layer_at(const jt_kv_layout *kv, int layer) { return kv->at ? kv->at[layer] : (size_t)layer * jt_kv_part(kv); }

typedef struct jt_env {
    const jt_engine *engine;
    const jt_list *list;
    const jt_weights *const *set; /* weight sets, by jt_ref.set */
    int rows[JT_ROWS_CLASSES];
    const jt_env_input *input;      /* [rows] */
    const int32_t *position;        /* [rows]: rotary position */
    const int32_t *type;            /* [rows]: token type */
    const int32_t *row_seq;         /* [rows]: index into seq */
    const int32_t *slot;            /* [rows]: where its key goes */
    const int32_t *rank;            /* [rows] */
    const int32_t *depth;           /* [rows]: along its path */
    const jt_env_path *const *path; /* [rows] */
    const uint64_t *const *layers;  /* NULL, or [rows]: the layers that a row runs; NULL: all */
    const uint64_t *off;            /* NULL, or the layers that no row runs */
    const int32_t *wanted;          /* [wanted]: row of each wanted row, ascending */
    const float *const *vector;     /* [wanted]: for jt_op_vectors */
    const jt_env_seq *seq;
    int n_seq;
    const jt_env_row_taps *taps; /* [rows]; NULL: no row has any */
    const jt_env_lora *lora;     /* [rows], for jt_op_lora_down and _up */
    const jt_env_row_keys *keys; /* [rows]; NULL: rows see all keys of their paths, which are rotated */
    jt_env_select *select;       /* with keys */
    jt_status *select_status;    /* the first failure of a function that chooses keys */
    jt_error *select_error;      /* and what the library said of it */
    jt_buffer *capture;          /* slots of captured rows */
    int capture_width;
    jt_status *host_status; /* the first failure of a host tap */
    jt_buffer *const *mark; /* states of recurrences: [recurrent layers][heads][dim][state] floats each */
    int step_locals;        /* local places that steps name */
    const jt_kv_layout *kv;
    jt_buffer *storage;               /* values */
    size_t class_at[JT_ROWS_CLASSES]; /* where each class's region begins */
    void **scratch;                   /* [threads] */
    /* NULL, or called by the first thread before each operator, whose inputs are there. */
    void (*watch)(void *self, const struct jt_env *e, const jt_opnode *n);
    void *watch_self;
} jt_env;

/* Where a head's keys, or values, begin in a layer's part of a page. */
static inline size_t jt_kv_head_at(const jt_kv_layout *kv, int head, bool values) {
    return (size_t)head * (kv->head_bytes + kv->value_bytes) + (values ? kv->head_bytes : 0);
}
static inline int jt_kv_dim(const jt_kv_layout *kv, bool values) { return values ? kv->vdim : kv->dim; }
/* Sizes and offsets from the counts, types and kinds of layers. */
void jt_kv_lay_out(jt_kv_layout *kv);
/* Copies one position of one head's keys, or values, to another slot of the same or of another page's. */
void jt_kv_copy(const jt_kv_layout *kv, bool values, void *to, int to_slot, const void *from, int from_slot);
/* One position of one head's keys, or values, as float32 [dim or vdim], exactly. `scratch`: as many halves. */
void jt_kv_read(const jt_kv_layout *kv, const jt_kernels *k, bool values, const void *from, int slot, float *x, uint16_t *scratch);
/* Cosines [half] and sines [half] of a rotary position. */
void jt_rope_turn(const jt_env_rope *rope, int half, int position, float *c, float *s);
/* Copies one position of all layers to another slot, within a page or between two of one layout. */
void jt_page_move(const jt_kv_layout *kv, jt_buffer *to, int to_slot, const jt_buffer *from, int from_slot);

/* Bytes of storage for the row counts given, and of one thread's scratch. */
size_t jt_list_storage(const jt_list *l, const int rows[JT_ROWS_CLASSES], size_t class_at[JT_ROWS_CLASSES]);
size_t jt_list_scratch(const jt_list *l, const jt_env *e);
/* Runs the list on all threads of the engine. */
void jt_list_run(const jt_env *e);

/* ---- for operators ---- */
static inline int jt_env_rows(const jt_env *e, jt_val v) { return e->rows[e->list->value[v].rows]; }
static inline size_t jt_env_at(const jt_env *e, jt_val v) {
    const jt_value *x = &e->list->value[v];
    return e->class_at[x->rows] + x->at * (size_t)e->rows[x->rows];
}
static inline float *jt_env_f32(const jt_env *e, jt_val v) { return jt_buffer_at(e->storage, jt_env_at(e, v)); }
/* Whether layer l is in a set; NULL: all are. */
static inline bool jt_layer_in(const uint64_t *set, int l) { return !set || l < 0 || (set[l / 64] >> (l % 64) & 1); }
/* Whether the node at a depth ran a layer. */
static inline bool jt_path_ran(const jt_env_path *p, int depth, int layer) {
    return depth < p->trunk || !p->layers || jt_layer_in(p->layers[depth - p->trunk], layer);
}
/* The parts of an ACT value. */
void jt_env_act(const jt_env *e, jt_val v, int8_t **q, float **d, float **s);
/* How rows of a value meet weights, and `rows` of them from `row` on. */
static inline jt_by jt_elem_by(jt_elem e) { return e == JT_ELEM_ACT ? JT_BY_INT8 : e == JT_ELEM_BF16 ? JT_BY_BF16 : JT_BY_FLOAT; }
jt_acts jt_env_acts(const jt_env *e, jt_val v, int row, int rows);
/* Writes n columns from `first` on of a row of an ACT or BF16 value, rounded; `first` is a multiple of 32. */
void jt_env_round(const jt_env *e, jt_val v, int row, int first, int n, const float *x);
/* This thread's rows [*first, *end) of `rows`. */
static inline void jt_share_rows(const jt_share *s, int rows, int *first, int *end) {
    *first = (int)((int64_t)rows * s->thread / s->threads), *end = (int)((int64_t)rows * (s->thread + 1) / s->threads);
}

/* ---- operators (tensor/ops, one file each); settings in the order given ---- */
extern const jt_op jt_op_embed;           /* out x; weight table; f: what its rows are multiplied by, 0: nothing */
extern const jt_op jt_op_rms_norm;        /* in x; out y, row statistic 1/rms [1] or JT_NOVAL; weight w; f: eps */
extern const jt_op jt_op_layer_norm;      /* in x; out y; weights w, bias or JT_NO_TENSOR; f: eps */
extern const jt_op jt_op_head_norm;       /* in x; out rms_norm of each head; weight w of one head; i: heads; f: eps */
extern const jt_op jt_op_head_layer_norm; /* in x; out layer_norm of each head; weight w of all heads; i: heads; f: eps */
extern const jt_op jt_op_position;        /* in x; out x + table[position] (alias x); weight table; i: 1 for the token type instead */
extern const jt_op jt_op_quantise;        /* in x; out ACT */
extern const jt_op jt_op_matmul;          /* in x (F32 or ACT); out y; weight w, bias; i: 1 where there is a bias */
extern const jt_op jt_op_rope_table;      /* out cos [rot/2], sin [rot/2] in one value of width rot; i: rot, which rope */
extern const jt_op jt_op_rope;            /* in x, table; out y (alias x); i: heads, dim, rot, interleaved, -, which
                                             rope; i[6]: first dimension turned */
/* The same, by what e->keys says: with i[4] = 1 raw keys are left alone, else queries are turned to where their keys lie. */
extern const jt_op jt_op_rope_keys;   /* in x, table; out y (alias x); i: heads, dim, rot, interleaved, keys, which rope; i[6] */
extern const jt_op jt_op_select;      /* in q before the rotation; out q (alias q): functions choose keys; i as jt_op_rope */
extern const jt_op jt_op_page_write;  /* in k, v; effects */
extern const jt_op jt_op_input_write; /* in x; effects; i: the first of its columns that are inputs of the recurrence */
extern const jt_op jt_op_attention;   /* in q; out y, row statistics m and l [2 * heads] or JT_NOVAL; i: heads, window (0: none), rot,
                                          interleaved, which rope; i[6] as above, i[7] 1: weight 0 holds the heads' sinks, 2: the window
                                         reaches as far ahead; f: scale, cap of   the   scores (0: none) */
enum { JT_ATTENTION_SINKS = 1, JT_ATTENTION_AHEAD = 2 };
/* Keys and values out of what latent attention expands (DeepSeek-V2, arXiv 2405.04434): in kv [heads][nope + vdim], p, whose
 * last `rot` columns are the rotated part that all heads share; out k [heads][nope + rot], v [heads][vdim]; i: heads, nope,
 * rot, vdim. */
extern const jt_op jt_op_latent_split;
extern const jt_op jt_op_columns;        /* in x; out its columns [first, first + width); i: first */
extern const jt_op jt_op_swiglu;         /* in gate, up; out y (alias gate) */
extern const jt_op jt_op_swiglu_clamped; /* in gate, up; out y (alias gate); f: alpha, limit (GPT-OSS) */
/* In logits [experts]; out route (ops/experts.h); weights: bias of the logits, bias of the choice, or JT_NO_TENSOR; i: experts
 * chosen, jt_route_rule, whether weights are made to sum to 1, groups, groups kept (1 or 0: no groups), whether a group counts
 * by its two best; f: what weights are multiplied by. */
extern const jt_op jt_op_route;
typedef enum jt_route_rule { JT_ROUTE_SOFTMAX, JT_ROUTE_SIGMOID, JT_ROUTE_CHOSEN /* softmax over the chosen */ } jt_route_rule;
/* In x (F32 or ACT), route; out y by place (ops/experts.h); weights: that of the first expert, which the others follow, and
 * biases [experts][outputs] or JT_NO_TENSOR; i: experts chosen, experts, 1: x lies by place. */
extern const jt_op jt_op_experts;
extern const jt_op jt_op_experts_sum; /* in x by place, route; out the weighted sum of each row; i: experts chosen, experts */
/* What an MLP does to its rows (docs/numbers.md). */
typedef enum jt_activation { JT_FN_SILU, JT_FN_GELU_TANH, JT_FN_GELU, JT_FN_TANH } jt_activation;
extern const jt_op jt_op_activate;  /* in x, up or JT_NOVAL; out act(x), times up (alias x); i: jt_activation */
extern const jt_op jt_op_add;       /* in a, b; out y (alias a) */
extern const jt_op jt_op_add_gated; /* in a, b, z [1]; out a + sigmoid(z) b (alias a) */
extern const jt_op jt_op_scale;     /* in x; out y (alias x); f: by */
extern const jt_op jt_op_clamp;     /* in x; out y (alias x): within -f and f */
extern const jt_op jt_op_gather;    /* in x (all rows); out y (wanted rows) */
extern const jt_op jt_op_tap;       /* in x; out y (alias x); i: site */
extern const jt_op jt_op_lora_down; /* in x; out t, room for the rank: scale * (A x); i: index of the pair */
extern const jt_op jt_op_lora_up;   /* in y, t; out y + B t (alias y); i: index of the pair */
/* The causal convolution over a row's inputs and those before it, then SiLU; weights [taps][width], bias or JT_NO_TENSOR. in x (not
 * read: what lies in the pages is); out y; i: taps. */
extern const jt_op jt_op_conv;
/* Mamba-2's recurrence. in c (from jt_op_conv: x, B, C); out y; weights decay A, D, bias of dt, then those of the convolution; i:
 * heads, dim, state, groups, taps, index of the layer among those of its kind. */
extern const jt_op jt_op_recurrence;
extern const jt_op jt_op_gated_norm;        /* in x, z; out rms_norm(x * silu(z)) of each group (alias x); weight w; i: groups; f: eps */
extern const jt_op jt_op_rms_norm_quantise; /* in x; out ACT; weight w; f: eps. As the two in a row */
extern const jt_op jt_op_gated;             /* in x (F32 or ACT); out silu(G x) * (U x) (F32 or ACT); weights G, U */
extern const jt_op jt_op_vectors;           /* out y (wanted rows): the vectors of the environment */

#endif
