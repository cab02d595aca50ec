/* sparse.h: what families with mixtures of experts read alike. */
#ifndef JT_MODEL_FAMILIES_SPARSE_H
#define JT_MODEL_FAMILIES_SPARSE_H

#include "model/config.h"

/* Names of the weights of an ordinary block with rotary attention; of the norm before the experts, GGUF's is given. */
#define JT_SPARSE_ROWS(norm)                                                                                                               \
    [JT_W_EMBED] = {"token_embd.weight", "model.embed_tokens.weight"},                                                                     \
    [JT_W_FINAL_NORM] = {"output_norm.weight", "model.norm.weight", .vector = true},                                                       \
    [JT_W_HEAD] = {"output.weight", "lm_head.weight", .optional = true},                                                                   \
    [JT_W_ATTN_NORM] = {"attn_norm.weight", "input_layernorm.weight", .vector = true},                                                     \
    [JT_W_Q] = {"attn_q.weight", "self_attn.q_proj.weight"}, [JT_W_K] = {"attn_k.weight", "self_attn.k_proj.weight"},                      \
    [JT_W_V] = {"attn_v.weight", "self_attn.v_proj.weight"}, [JT_W_O] = {"attn_output.weight", "self_attn.o_proj.weight"},                 \
    [JT_W_FFN_NORM] = {norm, "post_attention_layernorm.weight", .vector = true}

/* Names of experts, each a tensor of its own in Hugging Face's files. */
#define JT_SPARSE_EXPERTS(router, gate, up, down)                                                                                          \
    [JT_W_ROUTER] = {"ffn_gate_inp.weight", router}, [JT_W_X_GATE] = {"ffn_gate_exps.weight", gate, .experts = true},                      \
    [JT_W_X_UP] = {"ffn_up_exps.weight", up, .experts = true}, [JT_W_X_DOWN] = {"ffn_down_exps.weight", down, .experts = true}

/* Names of Granite's, stacked in both; and of the shared one. */
#define JT_SPARSE_GRANITE                                                                                                                  \
    [JT_W_ROUTER] = {"ffn_gate_inp.weight", "block_sparse_moe.router.layer.weight"},                                                       \
    [JT_W_X_GATE] = {"ffn_gate_exps.weight", "block_sparse_moe.input_linear.weight", .experts = true, .hf_part = 1},                       \
    [JT_W_X_UP] = {"ffn_up_exps.weight", "block_sparse_moe.input_linear.weight", .experts = true, .hf_part = 2},                           \
    [JT_W_X_DOWN] = {"ffn_down_exps.weight", "block_sparse_moe.output_linear.weight", .experts = true},                                    \
    [JT_W_S_GATE] = {"ffn_gate_shexp.weight", "shared_mlp.input_linear.weight", .optional = true, .hf_stack = jt_sparse_stack},            \
    [JT_W_S_UP] = {"ffn_up_shexp.weight", "shared_mlp.input_linear.weight", .optional = true, .hf_stack = jt_sparse_stack},                \
    [JT_W_S_DOWN] = {"ffn_down_shexp.weight", "shared_mlp.output_linear.weight", .optional = true}
extern const jt_role jt_sparse_stack[];
/* The roles of shared experts, bit by role. */
static const uint64_t jt_sparse_shared = (uint64_t)1 << JT_W_S_GATE | (uint64_t)1 << JT_W_S_UP | (uint64_t)1 << JT_W_S_DOWN;

/* Sizes, norm and rotation; and the experts' number, choice and width. scales: the family has multipliers. */
jt_status jt_sparse_read_hf(const jt_json *j, jt_config *c, jt_error *err);
jt_status jt_sparse_read_gguf(const jt_gguf *g, bool scales, jt_config *c, jt_error *err);
/* The first number of those keys of config.json that is there; otherwise 0. */
jt_status jt_sparse_hf_first(const jt_json *j, const char *const key[], int keys, int *out, jt_error *err);
/* An integer of the family's own; 0 where the file does not give it. */
jt_status jt_sparse_gguf_maybe(const jt_gguf *g, const jt_config *c, const char *key, int *out, jt_error *err);
/* Layers without a router in the file are dense. */
void jt_sparse_gguf_dense(const jt_gguf *g, jt_config *c);
static inline void jt_sparse_set_dense(jt_config *c, int layer) {
    if (layer < JT_CONFIG_LAYERS) c->dense[layer / 64] |= (uint64_t)1 << layer % 64;
}

#endif
