/* config.h: what a model is, read from the metadata of its files.
 *
 * A family is a table of names and settings over the block entries of
 * src/model/blocks, not a copy of the forward pass. A setting of a file that the
 * family does not honour is refused by name. */
#ifndef JT_MODEL_CONFIG_H
#define JT_MODEL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "jeton/embed.h"
#include "jeton/status.h"
#include "model/config_json.h"
#include "model/gguf.h"
#include "tensor/op.h"

/* The weights that networks are made of. Layer roles of one name begin the same way in every family's GGUF files. The bias
 * of a norm follows it. */
typedef enum jt_role {
    JT_W_EMBED,
    JT_W_POSITION,   /* learned positions */
    JT_W_ROPE_FREQS, /* what rotary frequencies are divided by; and by the declared context: */
    JT_W_ROPE_LONG,
    JT_W_ROPE_SHORT,
    JT_W_FINAL_NORM,
    JT_W_FINAL_NORM_BIAS,
    JT_W_HEAD,
    JT_W_GLOBAL, /* count of the roles above, which occur once */
    JT_W_ATTN_NORM = JT_W_GLOBAL,
    JT_W_ATTN_NORM_BIAS,
    JT_W_Q,
    JT_W_K,
    JT_W_V,
    JT_W_Q_BIAS,
    JT_W_K_BIAS,
    JT_W_V_BIAS,
    JT_W_Q_NORM,
    JT_W_K_NORM,
    JT_W_O,
    JT_W_O_BIAS,
    JT_W_SINKS, /* of heads (docs/numbers.md, Attention) */
    JT_W_Q_A,   /* latent attention: queries by way of a narrow row, or JT_W_Q at once; keys and values always so */
    JT_W_Q_A_NORM,
    JT_W_Q_B,
    JT_W_KV_A, /* the narrow row, then the rotated part of the key that heads share */
    JT_W_KV_A_NORM,
    JT_W_KV_B,           /* of each head the other part of the key, and the value */
    JT_W_ATTN_POST_NORM, /* of what the mixer adds */
    JT_W_FFN_NORM,
    JT_W_FFN_NORM_BIAS,
    JT_W_GATE,
    JT_W_UP,
    JT_W_GATE_BIAS,
    JT_W_UP_BIAS,
    JT_W_DOWN,
    JT_W_DOWN_BIAS,
    JT_W_ROUTER, /* of mixtures of experts */
    JT_W_ROUTER_BIAS,
    JT_W_ROUTER_CHOICE, /* a bias that counts for the choice alone */
    JT_W_X_GATE,        /* of experts: a weight each, one after the other */
    JT_W_X_UP,
    JT_W_X_GATE_BIAS, /* [experts][outputs] */
    JT_W_X_UP_BIAS,
    JT_W_X_DOWN,
    JT_W_X_DOWN_BIAS,
    JT_W_S_ROUTER, /* how much the experts that all rows go to count */
    JT_W_S_GATE,   /* of these, as one */
    JT_W_S_UP,
    JT_W_S_DOWN,
    JT_W_FFN_POST_NORM, /* of what the MLP adds */
    JT_W_SSM_IN,
    JT_W_SSM_CONV,
    JT_W_SSM_CONV_BIAS,
    JT_W_SSM_DT_BIAS,
    JT_W_SSM_A,
    JT_W_SSM_D,
    JT_W_SSM_NORM,
    JT_W_SSM_OUT,
    JT_W_TAIL,             /* what follows occurs once too; sets of roles have no bits for it */
    JT_W_TYPE = JT_W_TAIL, /* token types */
    JT_W_EMBED_NORM,
    JT_W_EMBED_NORM_BIAS,
    JT_W_POOLED, /* what a pooled row goes through before it is classified */
    JT_W_POOLED_BIAS,
    JT_W_POOLED_NORM,
    JT_W_POOLED_NORM_BIAS,
    JT_W_CLASSES,
    JT_W_CLASSES_BIAS,
    JT_W_ROLES
} jt_role;
_Static_assert(JT_W_TAIL <= 64, "sets of roles are bits of 64");
static inline bool jt_role_once(int r) { return r < JT_W_GLOBAL || r >= JT_W_TAIL; }

typedef struct jt_role_row {
    /* Names; of layer roles: what follows "blk.N." and the family's hf_layers. NULL: such files do not have it. */
    const char *gguf, *hf;
    bool vector;
    bool optional;    /* may be absent, unless jt_config.needs has it; the head is the embedding then */
    bool any_shape;   /* of a vector: files give it several dimensions, and the number of elements is what is checked */
    bool transposed;  /* of a vector: files hold it [width][taps], the network wants [taps][width] */
    bool hf_log;      /* Hugging Face's tensor is ln(-x) */
    bool hf_less_one; /* Hugging Face's vector is x - 1 */
    bool hf_by_input; /* Hugging Face's matrix is [inputs][outputs] */
    /* The roles, ending with JT_W_ROLES, whose outputs lie one after the other in the tensor of that name; NULL: it is whole. */
    const jt_role *gguf_stack, *hf_stack;
    /* There is one for each expert: GGUF and Hugging Face stack them along a first dimension, or Hugging Face names each, its
     * number where the name has a star. hf_part: of the outputs that are there, 1, 2: the first or second half (by input, and in
     * vectors: the even or the odd ones); 0: all. */
    bool experts;
    uint8_t hf_part, gguf_part;
    bool hf_heads; /* of a vector: Hugging Face names one for each head, its number where the name has a star */
} jt_role_row;

struct jt_entry;
/* x = x + mixer(norm(x)); x = x + mlp(norm(x)); with post(mixer(...)) and post(mlp(...)) where there are such norms. A norm that
 * is NULL leaves its input as it is. */
typedef struct jt_block {
    const struct jt_entry *mixer_norm, *mixer, *mlp_norm, *mlp;
    const struct jt_entry *mixer_post, *mlp_post;
    bool parallel; /* x = x + mixer(norm(x)) + mlp(norm(x)); with mlp_norm NULL the MLP reads what the mixer reads */
    bool after;    /* x = norm(x + mixer(x)); x = norm(x + mlp(x)) */
} jt_block;

enum { JT_CONFIG_LAYERS = 4096 /* at most */ };
typedef struct jt_config jt_config;
typedef struct jt_family {
    const char *name;                  /* general.architecture of GGUF, where read_gguf is given */
    const char *hf;                    /* model_type of config.json */
    const jt_role_row *role;           /* [JT_W_ROLES] */
    const jt_block *block;             /* of layers with attention */
    const jt_block *recurrent;         /* of layers with a recurrence; NULL: the family has none */
    const struct jt_entry *final_norm; /* NULL: none */
    const struct jt_entry *embed_norm; /* of what enters the first layer; NULL: none */
    const char *hf_part_of;            /* model_type of a config.json whose text_config is of this family; NULL: there is none */
    const char *hf_layers;             /* before the number of a layer; NULL: "model.layers." */
    const char *hf_base;        /* what all names but the head's begin with, and a file of the bare body leaves out; NULL: "model." */
    const char *const *hf_idle; /* NULL, or ends of names of tensors that are no weights; NULL-terminated */
    bool gguf_interleaves; /* GGUF files hold the rows of q and k so that rotary pairs are (2i, 2i + 1), Hugging Face's (i, i + rot / 2) */
    bool (*takes_gguf)(const jt_gguf *g); /* of two families with one name in GGUF: whether a file is this one's; NULL: all others are */
    jt_status (*read_gguf)(const jt_gguf *g, jt_config *c, jt_error *err);
    jt_status (*read_hf)(const jt_json *j, jt_config *c, jt_error *err);
} jt_family;

/* How a row chooses experts (jt_op_route). */
typedef struct jt_router {
    int experts, used; /* 0: the model has none */
    int rule;          /* jt_route_rule */
    bool normalise;
    int groups, groups_used; /* 0: no groups */
    bool two;                /* a group counts by its two best */
    float scale;             /* 0 is read as 1 */
} jt_router;

/* Norms of queries and keys: none, RMS of each head by one weight, RMS of all heads as one row, layer norms of each head by weights of
 * its own. */
typedef enum jt_qk_norm { JT_QK_PLAIN, JT_QK_HEADS, JT_QK_WHOLE, JT_QK_EACH } jt_qk_norm;

/* How rotary frequencies base^(-2i / rot) are stretched. */
typedef enum jt_rope_kind {
    JT_ROPE_PLAIN,
    JT_ROPE_LINEAR,  /* / factor */
    JT_ROPE_NTK,     /* base * factor^(rot / (rot - 2)) */
    JT_ROPE_DYNAMIC, /* the same with 1 + factor * (context / original - 1) for a declared context above the original */
    JT_ROPE_YARN,    /* Peng et al. 2023, arXiv 2309.00071 */
    JT_ROPE_LLAMA3,  /* / factor for waves longer than original / low, as they are below original / high, mixed between */
    JT_ROPE_LONG     /* Ding et al. 2024, arXiv 2402.13753: / short[i], or / long[i] for a declared context above the original */
} jt_rope_kind;

enum { JT_ROPES = 2, JT_ROPE_PAIRS = 512 };
typedef struct jt_rope {
    jt_rope_kind kind;
    double base, factor, original; /* original: the context before stretching */
    double low, high;              /* of llama3; of yarn the slow and the fast number of turns */
    double attention;              /* cosines and sines are multiplied by it; 0: the kind's own */
    bool fractions;                /* yarn: the borders of the ramp are not rounded to whole dimensions */
} jt_rope;

struct jt_config {
    const jt_family *family;
    const jt_block *block; /* of layers with attention; the family's unless its reader sets another */
    bool part;             /* Hugging Face's model has other parts (images, say), which are left aside */
    uint64_t needs;        /* roles that are there though their rows are optional */
    int vocab, hidden, layers, heads, kv_heads, head_dim, ffn, context;
    float norm_eps, attn_scale;
    jt_rope rope[JT_ROPES]; /* rope[1]: of layers with a window, where rope_two */
    bool rope_two;
    float rope_long[JT_ROPE_PAIRS], rope_short[JT_ROPE_PAIRS]; /* of JT_ROPE_LONG, unless the file has tensors for them */
    int rope_dims;                                             /* 0: no rotation */
    bool rope_interleaved;                                     /* pairs (2i, 2i + 1); GGUF permutes Llama's weights to this form */
    uint64_t still[JT_CONFIG_LAYERS / 64];                     /* bit l: layer l has no rotation */
    int positions;                                             /* learned ones; 0: none */
    jt_activation activation;
    jt_qk_norm qk_norm;
    float qkv_clip;                        /* queries, keys and values stay within it both ways; 0: they are free */
    float attn_cap, logit_cap;             /* x becomes cap * tanh(x / cap), of scores and of logits; 0: no cap */
    bool tied;                             /* the head is the embedding, whatever the file has */
    int window;                            /* of layers with a sliding window; 0: no layer has one */
    uint64_t whole[JT_CONFIG_LAYERS / 64]; /* bit l: layer l sees all depths though there is a window */
    /* Multipliers; 0 is read as 1. */
    float embed_scale, residual_scale;
    float logit_scale; /* logits are divided by it */
    /* Layers with a recurrence (Mamba-2): a bit for each layer, and their sizes; the convolution has ssm_taps taps. */
    uint64_t recurrent[JT_CONFIG_LAYERS / 64];
    /* Mixtures of experts, in layers whose bit is not set in `dense`: their width, that of the experts all rows go to (0: none). */
    jt_router router;
    int expert_ffn, shared_ffn;
    bool shared_gate; /* the latter counts by a gate of its own */
    uint64_t dense[JT_CONFIG_LAYERS / 64];
    float glu_alpha, glu_limit; /* of a clamped gate (jt_op_swiglu_clamped); 0: the plain one */
    /* Latent attention: widths of the narrow rows (q_rank 0: queries have none), dimensions of values where they are not
     * head_dim, and the first dimension of a head that is turned. */
    int q_rank, kv_rank, value_dim, rope_at;
    float latent_eps;
    bool fp8; /* weights may be FP8 (E4M3) with a scale for each fp8_rows by fp8_cols of them (0: one for all) */
    int fp8_rows, fp8_cols;
    /* Encoders: every row sees the whole sequence, in layers with a window what is nearer than that on both sides. */
    bool encoder;
    bool bare_first;            /* the first layer's mixer has no norm */
    int types;                  /* token types; 0: none */
    int classes;                /* outputs of the head that classifies; 0: there is none */
    bool pooled;                /* the map of pooled rows is there */
    jt_activation pooled_act;   /* and what follows it */
    jt_pooling pooling;         /* of embeddings, as the files say; JT_POOL_AUTO: they say nothing */
    jt_pooling classes_pooling; /* of what is classified */
    int spare_layers;           /* that Hugging Face's files have after the last, for guessing several tokens; not read */
    int ssm_layers, ssm_heads, ssm_head_dim, ssm_state, ssm_groups, ssm_taps;
};

/* The window of a layer: a key is seen when depth[q] - depth[k] < window. 0: no window. */
static inline int jt_config_window(const jt_config *c, int layer) { return c->whole[layer / 64] >> (layer % 64) & 1 ? 0 : c->window; }

/* Whether a layer rotates queries and keys, and by which of the ropes. */
static inline bool jt_config_rotates(const jt_config *c, int layer) { return c->rope_dims && !(c->still[layer / 64] >> (layer % 64) & 1); }
static inline int jt_config_rope(const jt_config *c, int layer) { return c->rope_two && jt_config_window(c, layer) ? 1 : 0; }

extern const jt_family *const jt_families[]; /* NULL-terminated */
extern const jt_family jt_family_llama, jt_family_mistral, jt_family_granite_hybrid, jt_family_smollm3, jt_family_granite, jt_family_qwen2,
    jt_family_qwen3, jt_family_gemma, jt_family_gemma2, jt_family_gemma3, jt_family_phi3, jt_family_olmo2, jt_family_gpt2,
    jt_family_stablelm, jt_family_starcoder2;
extern const jt_family jt_family_ministral, jt_family_olmo3, jt_family_qwen2_moe;
extern const jt_family jt_family_bert, jt_family_modern_bert;
extern const jt_family jt_family_mixtral, jt_family_qwen3_moe, jt_family_olmoe, jt_family_gpt_oss;
extern const jt_family jt_family_granite_moe, jt_family_granite_moe_shared, jt_family_deepseek_v2, jt_family_deepseek_v3;

/* Reads and checks; *c is set on success. */
jt_status jt_config_from_gguf(const jt_gguf *g, jt_config *c, jt_error *err);
jt_status jt_config_from_hf(const jt_json *j, jt_config *c, jt_error *err);
/* Whether an optional role must be there. */
static inline bool jt_config_needs(const jt_config *c, int r) { return r < JT_W_TAIL && (c->needs >> r & 1); }
static inline bool jt_config_recurrent(const jt_config *c, int layer) { return c->recurrent[layer / 64] >> (layer % 64) & 1; }
static inline const jt_block *jt_config_block(const jt_config *c, int layer) {
    return jt_config_recurrent(c, layer) ? c->family->recurrent : c->block;
}
static inline bool jt_config_sparse(const jt_config *c, int layer) {
    return c->router.experts && !(c->dense[layer / 64] >> (layer % 64) & 1);
}
static inline int jt_config_value_dim(const jt_config *c) { return c->value_dim ? c->value_dim : c->head_dim; }
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
/* Refuses any word but one. */
jt_status jt_config_hf_only(const jt_json *j, const char *key, const char *word, jt_error *err);
/* Reading GGUF: keys after the family's name, with the default where they are absent (a number that is 0: it must be there). */
jt_status jt_config_gguf_number(const jt_gguf *g, const jt_config *c, const char *tail, uint64_t otherwise, int *out, jt_error *err);
jt_status jt_config_gguf_real(const jt_gguf *g, const jt_config *c, const char *tail, double otherwise, double *out, jt_error *err);
/* Refuses settings that would change the numbers and are nobody's here. scales: the family has multipliers. */
jt_status jt_config_gguf_refuse(const jt_gguf *g, const jt_config *c, bool scales, jt_error *err);
bool jt_config_gguf_has(const jt_gguf *g, const jt_config *c, const char *tail);
/* Base and scaling of the rotation. c->context must be known. */
jt_status jt_config_gguf_rope(const jt_gguf *g, jt_config *c, jt_error *err);
/* The window (c->window where the file gives none), over all layers but for those that the pattern leaves out: one number p
 * (the last layer of each p sees all), a flag for each layer, or `period` where the file gives none (0: all have it). */
jt_status jt_config_gguf_window(const jt_gguf *g, int period, jt_config *c, jt_error *err);
/* All settings of a decoder without experts; `scales`: the family has multipliers. */
jt_status jt_config_gguf_dense(const jt_gguf *g, int period, bool scales, jt_config *c, jt_error *err);

/* Reading config.json: what a family's files leave out, and how they call what differs. Zeros: as Llama. */
typedef struct jt_hf_defaults {
    const char *eps_key, *act_key, *act;
    double eps, rope_base, rope_part;
    double rope_local;                   /* the base of layers with a window; 0: they have that of the others */
    int head_dim;                        /* 0: the width by the number of heads */
    int vocab, heads, kv_heads, context; /* 0: they must be there; as many as heads */
} jt_hf_defaults;
/* All settings of a decoder but its window and biases. */
jt_status jt_config_hf_dense(const jt_json *j, const jt_hf_defaults *d, jt_config *c, jt_error *err);
/* Base and scaling of the rotations, and how many dimensions they turn. c->context and c->head_dim must be known. */
jt_status jt_config_hf_ropes(const jt_json *j, double base, double local, double part, jt_config *c, jt_error *err);
jt_status jt_config_hf_rope(const jt_json *j, jt_config *c, jt_error *err); /* the same with Llama's defaults */
jt_status jt_config_hf_activation(const char *name, jt_config *c, jt_error *err);
/* sliding_window, or `otherwise`; over all layers but for those that layer_types, or else `period`, leaves out as above. */
jt_status jt_config_hf_window(const jt_json *j, int64_t otherwise, int period, jt_config *c, jt_error *err);
/* A head tied to the embedding or not; where the file does not say, its tensors do. */
jt_status jt_config_hf_tie(const jt_json *j, jt_config *c, jt_error *err);
/* Granite's multipliers, of which none may be 0. */
jt_status jt_config_hf_multipliers(const jt_json *j, jt_config *c, jt_error *err);
/* A switch that gives the roles, which end with JT_W_ROLES, biases. */
jt_status jt_config_hf_biases(const jt_json *j, const char *key, bool otherwise, const jt_role *roles, jt_config *c, jt_error *err);
/* 0.1 mscale ln(factor) + 1 for factors above 1. */
double jt_rope_mscale(double factor, double mscale);
/* What modules.json of a sentence-transformers folder says (embed_files.c); what it does not say stays as it is. */
jt_status jt_folder_pooling(const char *folder, bool encoder, jt_pooling *pooling, bool *normalise, jt_error *err);
/* The row of a role as an open GGUF file has it: where the usual tensor of a layer is missing, queries, keys and values may lie in
 * one, experts' halves in one, or each expert in its own. NULL: the family's. */
jt_role_row jt_config_row(const jt_gguf *g, const jt_config *c, int layer, jt_role r);
/* Whether the settings leave a role of the family in place. */
static inline bool jt_config_has(const jt_config *c, jt_role r) {
    if (r == JT_W_Q_NORM || r == JT_W_K_NORM) return c->qk_norm != JT_QK_PLAIN;
    return r != JT_W_S_ROUTER || c->shared_gate;
}
/* Expected shape of a weight: a matrix [rows][cols], or a vector with rows = 1. */
void jt_config_shape(const jt_config *c, jt_role r, int *rows, int *cols);

#endif
