/* moe.c: Mixtral (Jiang et al. 2024, arXiv 2401.04088), Qwen2-MoE (arXiv 2407.10671), Qwen3-MoE (arXiv 2505.09388) and OLMoE (Muennighoff
 * et al. 2024, arXiv 2409.02060): Llama's blocks with experts in place of the MLP. Mixtral's GGUF files call themselves "llama". */
#include <string.h>

#include "model/families/sparse.h"
#include "model/network.h"
#include "tensor/op.h"

static const jt_block moe_block = {&jt_entry_rms_norm, &jt_entry_attention, &jt_entry_rms_norm, &jt_entry_gated_mlp};

/* ---- Mixtral ---- */

static const jt_role_row moe_mixtral_roles[JT_W_ROLES] = {
    JT_SPARSE_ROWS("ffn_norm.weight"), JT_SPARSE_EXPERTS("block_sparse_moe.gate.weight", "block_sparse_moe.experts.*.w1.weight",
                                                         "block_sparse_moe.experts.*.w3.weight", "block_sparse_moe.experts.*.w2.weight")};

static jt_status moe_mixtral_hf(const jt_json *j, jt_config *c, jt_error *err) {
    int64_t window;
    jt_status s = jt_sparse_read_hf(j, c, err);
    if (!s) s = jt_config_int_or(j, "sliding_window", 1, INT32_MAX, 0, &window, err);
    if (s) return s;
    c->window = window < 1 << 30 ? (int)window : 1 << 30;
    c->router.normalise = true;
    return JT_OK;
}

static bool moe_mixtral_takes(const jt_gguf *g) {
    uint64_t experts;
    return !jt_gguf_get_u64_or(g, "llama.expert_count", 0, &experts, NULL) && experts > 0;
}

static jt_status moe_mixtral_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    jt_status s = jt_sparse_read_gguf(g, false, c, err);
    c->router.normalise = true;
    return s;
}

const jt_family jt_family_mixtral = {.name = "llama",
                                     .hf = "mixtral",
                                     .role = moe_mixtral_roles,
                                     .block = &moe_block,
                                     .final_norm = &jt_entry_rms_norm,
                                     .gguf_interleaves = true,
                                     .takes_gguf = moe_mixtral_takes,
                                     .read_gguf = moe_mixtral_gguf,
                                     .read_hf = moe_mixtral_hf};

/* ---- Qwen3-MoE ---- */

#define MOE_NORMS                                                                                                                          \
    [JT_W_Q_NORM] = {"attn_q_norm.weight", "self_attn.q_norm.weight", .vector = true}, [JT_W_K_NORM] = {"attn_k_norm.weight",              \
                                                                                                        "self_attn.k_norm.weight",         \
                                                                                                        .vector = true}
#define MOE_DENSE                                                                                                                          \
    [JT_W_GATE] = {"ffn_gate.weight", "mlp.gate_proj.weight"}, [JT_W_UP] = {"ffn_up.weight", "mlp.up_proj.weight"},                        \
    [JT_W_DOWN] = {"ffn_down.weight", "mlp.down_proj.weight"}
#define MOE_EXPERTS                                                                                                                        \
    JT_SPARSE_EXPERTS("mlp.gate.weight", "mlp.experts.*.gate_proj.weight", "mlp.experts.*.up_proj.weight", "mlp.experts.*.down_proj.weight")

static const jt_role_row moe_qwen3_roles[JT_W_ROLES] = {JT_SPARSE_ROWS("ffn_norm.weight"), MOE_NORMS, MOE_DENSE, MOE_EXPERTS};

/* Layers that the settings leave dense. */
static jt_status moe_qwen3_dense(const jt_json *j, jt_config *c, jt_error *err) {
    int64_t step, only[256];
    size_t n = 0;
    jt_status s = jt_config_int_or(j, "decoder_sparse_step", 1, INT32_MAX, 1, &step, err);
    if (!s && jt_config_find(j, "mlp_only_layers")) s = jt_config_ints(j, "mlp_only_layers", only, sizeof only / sizeof *only, &n, err);
    if (s) return s;
    for (int l = 0; l < c->layers && l < JT_CONFIG_LAYERS; l++) {
        bool dense = (l + 1) % step != 0;
        for (size_t i = 0; i < n; i++) dense |= only[i] == l;
        if (dense) jt_sparse_set_dense(c, l);
    }
    return JT_OK;
}

static jt_status moe_qwen3_hf(const jt_json *j, jt_config *c, jt_error *err) {
    jt_status s;
    if ((s = jt_sparse_read_hf(j, c, err)) || (s = jt_config_hf_off(j, "attention_bias", err)) ||
        (s = jt_config_hf_off(j, "use_sliding_window", err)) || (s = moe_qwen3_dense(j, c, err)) ||
        (s = jt_config_bool_or(j, "norm_topk_prob", false, &c->router.normalise, err)))
        return s;
    c->qk_norm = JT_QK_HEADS;
    return JT_OK;
}

static jt_status moe_qwen3_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    jt_status s = jt_sparse_read_gguf(g, false, c, err);
    c->router.normalise = true;
    c->qk_norm = JT_QK_HEADS;
    return s;
}

const jt_family jt_family_qwen3_moe = {.name = "qwen3moe",
                                       .hf = "qwen3_moe",
                                       .role = moe_qwen3_roles,
                                       .block = &moe_block,
                                       .final_norm = &jt_entry_rms_norm,
                                       .read_gguf = moe_qwen3_gguf,
                                       .read_hf = moe_qwen3_hf};

/* ---- Qwen2-MoE (Qwen1.5-MoE-A2.7B and Qwen2-57B-A14B): biases of queries, keys and values, an expert for all rows with a gate ---- */

#define MOE_BIAS(gguf, hf)                                                                                                                 \
    { gguf, hf, .vector = true, .optional = true }
static const jt_role_row moe_qwen2_roles[JT_W_ROLES] = {
    JT_SPARSE_ROWS("ffn_norm.weight"),
    MOE_DENSE,
    MOE_EXPERTS,
    [JT_W_Q_BIAS] = MOE_BIAS("attn_q.bias", "self_attn.q_proj.bias"),
    [JT_W_K_BIAS] = MOE_BIAS("attn_k.bias", "self_attn.k_proj.bias"),
    [JT_W_V_BIAS] = MOE_BIAS("attn_v.bias", "self_attn.v_proj.bias"),
    [JT_W_S_ROUTER] = {"ffn_gate_inp_shexp.weight", "mlp.shared_expert_gate.weight", .any_shape = true},
    [JT_W_S_GATE] = {"ffn_gate_shexp.weight", "mlp.shared_expert.gate_proj.weight"},
    [JT_W_S_UP] = {"ffn_up_shexp.weight", "mlp.shared_expert.up_proj.weight"},
    [JT_W_S_DOWN] = {"ffn_down_shexp.weight", "mlp.shared_expert.down_proj.weight"},
};
static const jt_role moe_qwen2_biases[] = {JT_W_Q_BIAS, JT_W_K_BIAS, JT_W_V_BIAS, JT_W_ROLES};

static jt_status moe_qwen2_hf(const jt_json *j, jt_config *c, jt_error *err) {
    jt_status s;
    bool slides;
    if ((s = jt_sparse_read_hf(j, c, err)) || (s = moe_qwen3_dense(j, c, err)) ||
        (s = jt_config_hf_int(j, "shared_expert_intermediate_size", 5632, &c->shared_ffn, err)) ||
        (s = jt_config_bool_or(j, "use_sliding_window", false, &slides, err)) ||
        (s = jt_config_bool_or(j, "norm_topk_prob", false, &c->router.normalise, err)) ||
        (s = jt_config_hf_biases(j, "qkv_bias", true, moe_qwen2_biases, c, err)))
        return s;
    c->shared_gate = true;
    if (!slides) return JT_OK;
    if (!jt_config_find(j, "layer_types"))
        return jt_error_set(err, JT_UNSUPPORTED, "use_sliding_window is true without layer_types, which is not supported by this build");
    return jt_config_hf_window(j, 0, 0, c, err);
}

static jt_status moe_qwen2_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    jt_status s = jt_sparse_read_gguf(g, false, c, err);
    if (!s) s = jt_config_gguf_number(g, c, "expert_shared_feed_forward_length", (uint64_t)c->ffn, &c->shared_ffn, err);
    c->shared_gate = true;
    return s;
}

const jt_family jt_family_qwen2_moe = {.name = "qwen2moe",
                                       .hf = "qwen2_moe",
                                       .role = moe_qwen2_roles,
                                       .block = &moe_block,
                                       .final_norm = &jt_entry_rms_norm,
                                       .read_gguf = moe_qwen2_gguf,
                                       .read_hf = moe_qwen2_hf};

/* ---- OLMoE ---- */

static const jt_role_row moe_olmoe_roles[JT_W_ROLES] = {JT_SPARSE_ROWS("ffn_norm.weight"), MOE_NORMS, MOE_EXPERTS};

static jt_status moe_olmoe_clip(jt_config *c, const char *key, bool set, double clip, jt_error *err) {
    if (set && !(clip > 0 && clip < 1e6))
        return jt_error_set(err, JT_UNSUPPORTED, "%s is %g; this build needs a number in (0, 1e6)", key, clip);
    c->qkv_clip = (float)clip;
    return JT_OK;
}

static jt_status moe_olmoe_hf(const jt_json *j, jt_config *c, jt_error *err) {
    jt_status s;
    double clip;
    if ((s = jt_sparse_read_hf(j, c, err)) || (s = jt_config_hf_off(j, "attention_bias", err)) ||
        (s = jt_config_bool_or(j, "norm_topk_prob", false, &c->router.normalise, err)) ||
        (s = jt_config_double_or(j, "clip_qkv", 0, &clip, err)))
        return s;
    c->qk_norm = JT_QK_WHOLE;
    return moe_olmoe_clip(c, "clip_qkv", jt_config_find(j, "clip_qkv"), clip, err);
}

static jt_status moe_olmoe_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    double clip;
    jt_status s = jt_config_gguf_real(g, c, "attention.clamp_kqv", 0, &clip, err);
    if (!s) s = jt_sparse_read_gguf(g, false, c, err);
    c->qk_norm = JT_QK_WHOLE;
    return s ? s : moe_olmoe_clip(c, "olmoe.attention.clamp_kqv", clip != 0, clip, err);
}

const jt_family jt_family_olmoe = {.name = "olmoe",
                                   .hf = "olmoe",
                                   .role = moe_olmoe_roles,
                                   .block = &moe_block,
                                   .final_norm = &jt_entry_rms_norm,
                                   .read_gguf = moe_olmoe_gguf,
                                   .read_hf = moe_olmoe_hf};
