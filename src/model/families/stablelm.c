/* stablelm.c: StableLM 2 (Bellagente et al. 2024, arXiv 2402.17834): layer norms, a rotation of part of each head, and in some
 * models attention and MLP beside each other, and norms of each head. */
#include "model/config.h"
#include "model/families/rows.h"

#define STABLELM_NORM(gguf, hf)                                                                                                            \
    { gguf, hf, .vector = true, .any_shape = true, .hf_heads = true }

static const jt_role_row stablelm_roles[JT_W_ROLES] = {
    JT_ROWS_EMBEDDING,
    JT_ROWS_NORMS,
    JT_ROWS_NORM_BIASES,
    JT_ROWS_ATTENTION,
    JT_ROWS_ATTENTION_BIASES,
    JT_ROWS_GATED,
    [JT_W_Q_NORM] = STABLELM_NORM("attn_q_norm.weight", "self_attn.q_layernorm.norms.*.weight"),
    [JT_W_K_NORM] = STABLELM_NORM("attn_k_norm.weight", "self_attn.k_layernorm.norms.*.weight")};
static const jt_role stablelm_biases[] = {JT_W_Q_BIAS, JT_W_K_BIAS, JT_W_V_BIAS, JT_W_ROLES};

static const jt_block stablelm_block = {&jt_entry_layer_norm, &jt_entry_attention, &jt_entry_layer_norm, &jt_entry_gated_mlp};
static const jt_block stablelm_parallel = {
    .mixer_norm = &jt_entry_layer_norm, .mixer = &jt_entry_attention, .mlp = &jt_entry_gated_mlp, .parallel = true};

/* Files of the parallel form have no second norm. */
static jt_status stablelm_read_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    if (jt_gguf_tensor_named(g, "blk.0.attn_q_norm.weight")) c->qk_norm = JT_QK_EACH;
    if (!jt_gguf_tensor_named(g, "blk.0.ffn_norm.weight")) c->block = &stablelm_parallel;
    return jt_config_gguf_dense(g, 0, false, c, err);
}

static jt_status stablelm_read_hf(const jt_json *j, jt_config *c, jt_error *err) {
    bool parallel, norms;
    jt_status s = jt_config_hf_dense(j, &(jt_hf_defaults){.eps_key = "layer_norm_eps", .eps = 1e-5, .rope_part = 0.25}, c, err);
    if (!s) s = jt_config_bool_or(j, "use_parallel_residual", false, &parallel, err);
    if (!s) s = jt_config_bool_or(j, "qk_layernorm", false, &norms, err);
    if (s) return s;
    if (norms) c->qk_norm = JT_QK_EACH;
    if (parallel) c->block = &stablelm_parallel;
    return jt_config_hf_biases(j, "use_qkv_bias", false, stablelm_biases, c, err);
}

const jt_family jt_family_stablelm = {.name = "stablelm",
                                      .hf = "stablelm",
                                      .role = stablelm_roles,
                                      .block = &stablelm_block,
                                      .final_norm = &jt_entry_layer_norm,
                                      .read_gguf = stablelm_read_gguf,
                                      .read_hf = stablelm_read_hf};
