/* network.h: a network as a list of blocks of entries.
 *
 * An entry (mixer, normaliser, MLP ...) is one file in src/model/blocks: the weights
 * it needs, the state it keeps, and how it composes operators. It touches no
 * numbers and has no backward of its own. */
#ifndef JT_MODEL_NETWORK_H
#define JT_MODEL_NETWORK_H

#include "model/config.h"
#include "tensor/op.h"

/* Sites, in the order of jt_site_name. */
typedef enum jt_site { JT_SITE_RESIDUAL, JT_SITE_QUERY, JT_SITE_HEADS, JT_SITE_ATTENTION, JT_SITE_MLP, JT_SITE_SCORE, JT_SITES } jt_site;

/* What a layer keeps of the past. */
typedef enum jt_state_kind {
    JT_STATE_NONE,
    JT_STATE_PAGED,     /* keys and values of every position */
    JT_STATE_RECURRENCE /* inputs of every position in pages; a window of them, and a state that follows from them, in marks */
} jt_state_kind;

/* A network under construction. */
typedef struct jt_net {
    jt_list *list;
    const jt_config *config;
    const jt_weights *weights;
    const jt_ref *ref;   /* [JT_W_GLOBAL], then [JT_W_ROLES - JT_W_GLOBAL] for each layer */
    jt_rows rows;        /* of values that are made; JT_ROWS_ALL in layers */
    bool int8;           /* rows are rounded to 8 bits where weights are quantised */
    bool bf16;           /* rows and weights are rounded to bfloat16 */
    bool fuse;           /* runs of operators become fused ones */
    bool taps;           /* the list gets a node at every site */
    bool keys;           /* rows may have lists of keys, or raw keys */
    int lora_rank;       /* 0: no nodes for adapters; else room for the largest rank */
    uint64_t lora_roles; /* bit r: weights of role r get them */
    jt_val lora_from;    /* the value whose low-rank rows were last made, and those rows by role */
    uint64_t lora_made;  /* bit r: lora_low[r] is there */
    jt_val lora_low[JT_W_ROLES];
    jt_val rope[JT_ROPES]; /* tables of the rotations */
    jt_val act_from, act;  /* the value last rounded, and what it became */
} jt_net;

typedef struct jt_entry {
    const char *name;
    jt_state_kind state;
    uint64_t roles; /* bit r: it has the weight of role r (a normaliser: that which it is given) */
    bool biased;    /* a normaliser that has a bias, too: the role after its weight's */
    /* Appends the entry's nodes for input x; `role` is the norm's weight (normalisers only). */
    jt_val (*build)(jt_net *n, int layer, jt_role role, jt_val x);
} jt_entry;

extern const jt_entry jt_entry_rms_norm, jt_entry_layer_norm, jt_entry_attention, jt_entry_mamba2, jt_entry_gated_mlp, jt_entry_mlp,
    jt_entry_latent, jt_entry_experts;

static inline size_t jt_net_ref_index(int layer, jt_role r) {
    if (r >= JT_W_TAIL) layer = 0;
    return r < JT_W_GLOBAL ? (size_t)r : (size_t)JT_W_GLOBAL + (size_t)layer * (JT_W_ROLES - JT_W_GLOBAL) + (size_t)(r - JT_W_GLOBAL);
}
static inline bool jt_net_has(const jt_ref *ref, int layer, jt_role r) { return ref[jt_net_ref_index(layer, r)].tensor != JT_NO_TENSOR; }
static inline uint64_t jt_norm_roles(const jt_entry *norm, jt_role r) { return norm ? (uint64_t)(norm->biased ? 3 : 1) << r : 0; }
/* What a layer's block is made of; in layers with experts they are its MLP. */
static inline const jt_entry *jt_layer_mlp(const jt_config *c, int layer) {
    return jt_config_sparse(c, layer) ? &jt_entry_experts : jt_config_block(c, layer)->mlp;
}
static inline const jt_entry *jt_layer_mixer_norm(const jt_config *c, int layer) {
    return c->bare_first && !layer ? NULL : jt_config_block(c, layer)->mixer_norm;
}
/* The weights that a layer has, bit by role. */
static inline uint64_t jt_layer_roles(const jt_config *c, int layer) {
    const jt_block *b = jt_config_block(c, layer);
    return b->mixer->roles | jt_layer_mlp(c, layer)->roles | jt_norm_roles(jt_layer_mixer_norm(c, layer), JT_W_ATTN_NORM) |
           jt_norm_roles(b->mlp_norm, JT_W_FFN_NORM) | jt_norm_roles(b->mixer_post, JT_W_ATTN_POST_NORM) |
           jt_norm_roles(b->mlp_post, JT_W_FFN_POST_NORM);
}
/* x W^T for the weight of a role, plus the bias of role `bias` where the model has it, with what adapters add; rounds x first
 * where the mode asks for it. JT_W_ROLES: no bias. */
jt_val jt_net_linear_biased(jt_net *n, int layer, jt_role r, jt_role bias, jt_val x);
jt_val jt_net_linear(jt_net *n, int layer, jt_role r, jt_val x);
/* x as products with a matrix want it in the network's mode: rounded, or as it is; made once for all that read it in turn. */
jt_val jt_net_rounded(jt_net *n, int layer, const jt_matrix *m, jt_val x);
/* The RMS norm of x with the weight of a role. */
jt_val jt_net_rms_norm(jt_net *n, int layer, jt_role r, jt_val x, float eps);
/* The width of a value; 1 in a list that has failed. */
static inline int jt_net_width(const jt_net *n, jt_val v) { return v == JT_NOVAL || n->list->status ? 1 : n->list->value[v].width; }
/* act(x), or act(x) * up where `up` is not JT_NOVAL. */
jt_val jt_net_activate(jt_net *n, int layer, jt_val x, jt_val up);
/* The value after the taps of a site; x itself in a list without taps. */
jt_val jt_net_tap(jt_net *n, int layer, jt_site site, jt_val x);
/* The value times a number; itself when that is 1. */
jt_val jt_net_scale(jt_net *n, int layer, jt_rows rows, jt_val x, float by);
/* The sum of two values, in place of `a` when it dies there. */
jt_val jt_net_add(jt_net *n, int layer, jt_val a, jt_val b);

/* Builds and plans the whole network: *final gets the value of the wanted rows after the
 * final norm. residual: the stream entering each layer, and leaving the last, is exported. */
jt_status jt_network_build(jt_net *n, bool residual, jt_val *final, jt_error *err);

/* The map of pooled rows given from outside, and with `classes` the head that classifies them. */
jt_status jt_network_build_pooled(jt_net *n, bool classes, jt_val *final, jt_error *err);

/* The final norm alone, of vectors given from outside. */
jt_status jt_network_build_end(jt_net *n, jt_val *final, jt_error *err);

#endif
