/* config.h: what a model is, read from the metadata of its files.
 *
 * A family is a table of names and settings over the block entries of
 * src/model/blocks, not a copy of the forward pass. A setting of a file that the
 * family does not honour is refused by name. */
#ifndef JT_MODEL_CONFIG_H
#define JT_MODEL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "jeton/status.h"
#include "model/config_json.h"
#include "model/gguf.h"

/* The weights that networks are made of. Names in GGUF are the same for every family. */
typedef enum jt_role {
    JT_W_EMBED,
    JT_W_FINAL_NORM,
    JT_W_HEAD,
    JT_W_GLOBAL, /* count of the roles above, which occur once */
    JT_W_ATTN_NORM = JT_W_GLOBAL,
    JT_W_Q,
    JT_W_K,
    JT_W_V,
    JT_W_O,
    JT_W_FFN_NORM,
    JT_W_GATE,
    JT_W_UP,
    JT_W_DOWN,
    JT_W_SSM_IN,
    JT_W_SSM_CONV,
    JT_W_SSM_CONV_BIAS,
    JT_W_SSM_DT_BIAS,
    JT_W_SSM_A,
    JT_W_SSM_D,
    JT_W_SSM_NORM,
    JT_W_SSM_OUT,
    JT_W_ROLES
} jt_role;

typedef struct jt_role_row {
    const char *gguf, *hf; /* names; of layer roles: what follows "blk.N." and "model.layers.N." */
    bool vector;
    bool optional;   /* may be absent; the head is the embedding then */
    bool any_shape;  /* of a vector: files give it several dimensions, and the number of elements is what is checked */
    bool transposed; /* of a vector: files hold it [width][taps], the network wants [taps][width] */
    bool hf_log;     /* Hugging Face's tensor is ln(-x) */
    uint8_t hf_half; /* 1, 2: it is that half of the rows of Hugging Face's tensor; 0: all */
} jt_role_row;

struct jt_entry;
/* x = x + mixer(norm(x)); x = x + mlp(norm(x)). */
typedef struct jt_block {
    const struct jt_entry *mixer_norm, *mixer, *mlp_norm, *mlp;
} jt_block;

enum { JT_CONFIG_LAYERS = 4096 /* at most */ };
typedef struct jt_config jt_config;
typedef struct jt_family {
    const char *name;          /* general.architecture of GGUF, where read_gguf is given */
    const char *hf;            /* model_type of config.json */
    const jt_role_row *role;   /* [JT_W_ROLES] */
    const jt_block *block;     /* of layers with attention */
    const jt_block *recurrent; /* of layers with a recurrence; NULL: the family has none */
    const struct jt_entry *final_norm;
    bool gguf_interleaves; /* GGUF files hold the rows of q and k so that rotary pairs are (2i, 2i + 1), Hugging Face's (i, i + rot / 2) */
    jt_status (*read_gguf)(const jt_gguf *g, jt_config *c, jt_error *err);
    jt_status (*read_hf)(const jt_json *j, jt_config *c, jt_error *err);
} jt_family;

struct jt_config {
    const jt_family *family;
    int vocab, hidden, layers, heads, kv_heads, head_dim, ffn, context;
    float norm_eps, attn_scale;
    double rope_base;
    int rope_dims;                         /* 0: no rotation */
    bool rope_interleaved;                 /* pairs (2i, 2i + 1); GGUF permutes Llama's weights to this form */
    int window;                            /* of layers with a sliding window; 0: no layer has one */
    uint64_t whole[JT_CONFIG_LAYERS / 64]; /* bit l: layer l sees all depths though there is a window */
    /* Multipliers; 0 is read as 1. */
    float embed_scale, residual_scale;
    float logit_scale; /* logits are divided by it */
    /* Layers with a recurrence (Mamba-2): a bit for each layer, and their sizes; the convolution has ssm_taps taps. */
    uint64_t recurrent[JT_CONFIG_LAYERS / 64];
    int ssm_layers, ssm_heads, ssm_head_dim, ssm_state, ssm_groups, ssm_taps;
};

/* The window of a layer: a key is seen when depth[q] - depth[k] < window. 0: no window. */
static inline int jt_config_window(const jt_config *c, int layer) { return c->whole[layer / 64] >> (layer % 64) & 1 ? 0 : c->window; }

extern const jt_family *const jt_families[]; /* NULL-terminated */
extern const jt_family jt_family_llama, jt_family_mistral, jt_family_granite_hybrid;

/* Reads and checks; *c is set on success. */
jt_status jt_config_from_gguf(const jt_gguf *g, jt_config *c, jt_error *err);
jt_status jt_config_from_hf(const jt_json *j, jt_config *c, jt_error *err);
static inline bool jt_config_recurrent(const jt_config *c, int layer) { return c->recurrent[layer / 64] >> (layer % 64) & 1; }
static inline const jt_block *jt_config_block(const jt_config *c, int layer) {
    return jt_config_recurrent(c, layer) ? c->family->recurrent : c->family->block;
}
/* Of layers with a recurrence: the width of its output, and of what its convolution runs over. */
static inline int jt_config_ssm_inner(const jt_config *c) { return c->ssm_heads * c->ssm_head_dim; }
static inline int jt_config_ssm_conv(const jt_config *c) { return jt_config_ssm_inner(c) + 2 * c->ssm_groups * c->ssm_state; }
/* Reading GGUF: an integer of at most 31 bits; otherwise 0: the key must be there. */
jt_status jt_config_gguf_int(const jt_gguf *g, const char *key, uint64_t otherwise, int *out, jt_error *err);
/* The vocabulary size, from the embedding table; and the rows of q and k are as in Llama's files. */
jt_status jt_config_gguf_vocab(const jt_gguf *g, const jt_role_row *embed, jt_config *c, jt_error *err);
/* Reading config.json: an integer of 1 or more; and refusing a switch that is on. */
jt_status jt_config_hf_int(const jt_json *j, const char *key, int64_t otherwise, int *out, jt_error *err);
jt_status jt_config_hf_off(const jt_json *j, const char *key, jt_error *err);
/* The rotary base, whose scaling is refused. */
jt_status jt_config_hf_rope(const jt_json *j, jt_config *c, jt_error *err);
/* Expected shape of a weight: a matrix [rows][cols], or a vector with rows = 1. */
void jt_config_shape(const jt_config *c, jt_role r, int *rows, int *cols);

#endif
