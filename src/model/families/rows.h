/* rows.h: the rows of role tables that many families have in common. */
#ifndef JT_MODEL_FAMILIES_ROWS_H
#define JT_MODEL_FAMILIES_ROWS_H

#include "model/network.h"

#define JT_ROWS_EMBEDDING                                                                                                                  \
    [JT_W_EMBED] = {"token_embd.weight", "model.embed_tokens.weight"},                                                                     \
    [JT_W_HEAD] = {"output.weight", "lm_head.weight", .optional = true},                                                                   \
    [JT_W_ROPE_FREQS] = {"rope_freqs.weight", NULL, .vector = true, .optional = true},                                                     \
    [JT_W_ROPE_LONG] = {"rope_factors_long.weight", NULL, .vector = true, .optional = true},                                               \
    [JT_W_ROPE_SHORT] = {"rope_factors_short.weight", NULL, .vector = true, .optional = true},                                             \
    [JT_W_FINAL_NORM] = {"output_norm.weight", "model.norm.weight", .vector = true}

#define JT_ROWS_ATTENTION                                                                                                                  \
    [JT_W_Q] = {"attn_q.weight", "self_attn.q_proj.weight"}, [JT_W_K] = {"attn_k.weight", "self_attn.k_proj.weight"},                      \
    [JT_W_V] = {"attn_v.weight", "self_attn.v_proj.weight"}, [JT_W_O] = {"attn_output.weight", "self_attn.o_proj.weight"}

/* Which are there is for the settings, or for the file to say. */
#define JT_ROWS_ATTENTION_BIASES                                                                                                           \
    [JT_W_Q_BIAS] = {"attn_q.bias", "self_attn.q_proj.bias", .vector = true, .optional = true},                                            \
    [JT_W_K_BIAS] = {"attn_k.bias", "self_attn.k_proj.bias", .vector = true, .optional = true},                                            \
    [JT_W_V_BIAS] = {"attn_v.bias", "self_attn.v_proj.bias", .vector = true, .optional = true}

#define JT_ROWS_OUTPUT_BIAS [JT_W_O_BIAS] = {"attn_output.bias", "self_attn.o_proj.bias", .vector = true, .optional = true}

#define JT_ROWS_QK_NORMS                                                                                                                   \
    [JT_W_Q_NORM] = {"attn_q_norm.weight", "self_attn.q_norm.weight", .vector = true}, [JT_W_K_NORM] = {"attn_k_norm.weight",              \
                                                                                                        "self_attn.k_norm.weight",         \
                                                                                                        .vector = true}

/* Norms before the mixer and before the MLP. */
#define JT_ROWS_NORMS                                                                                                                      \
    [JT_W_ATTN_NORM] = {"attn_norm.weight", "input_layernorm.weight", .vector = true}, [JT_W_FFN_NORM] = {                                 \
                                                                                           "ffn_norm.weight",                              \
                                                                                           "post_attention_layernorm.weight",              \
                                                                                           .vector = true}

#define JT_ROWS_NORM_BIASES                                                                                                                \
    [JT_W_FINAL_NORM_BIAS] = {"output_norm.bias", "model.norm.bias", .vector = true},                                                      \
    [JT_W_ATTN_NORM_BIAS] = {"attn_norm.bias", "input_layernorm.bias", .vector = true},                                                    \
    [JT_W_FFN_NORM_BIAS] = {"ffn_norm.bias", "post_attention_layernorm.bias", .vector = true}

#define JT_ROWS_GATED                                                                                                                      \
    [JT_W_GATE] = {"ffn_gate.weight", "mlp.gate_proj.weight"}, [JT_W_UP] = {"ffn_up.weight", "mlp.up_proj.weight"},                        \
    [JT_W_DOWN] = {"ffn_down.weight", "mlp.down_proj.weight"}

#define JT_ROWS_GATED_BIASES                                                                                                               \
    [JT_W_GATE_BIAS] = {"ffn_gate.bias", "mlp.gate_proj.bias", .vector = true, .optional = true},                                          \
    [JT_W_UP_BIAS] = {"ffn_up.bias", "mlp.up_proj.bias", .vector = true, .optional = true},                                                \
    [JT_W_DOWN_BIAS] = {"ffn_down.bias", "mlp.down_proj.bias", .vector = true, .optional = true}

/* RMS norms before both parts, attention, gated MLP; written by llama.c. */
extern const jt_block jt_block_llama;

/* Qwen's window, where use_sliding_window switches it on, over the layers from max_window_layers on (qwen.c). */
jt_status jt_qwen_hf_window(const jt_json *j, jt_config *c, jt_error *err);

#endif
