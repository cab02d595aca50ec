/* deepseek.c: DeepSeek-V2 (arXiv 2405.04434) and V3 (arXiv 2412.19437): latent attention, experts of which some are shared,
 * the first layers dense. GGUF files call both "deepseek2". */
#include <math.h>
#include <string.h>

#include "model/families/sparse.h"
#include "model/network.h"
#include "tensor/op.h"
#include "tensor/scalar_math.h"

static const jt_role_row deepseek_roles[JT_W_ROLES] = {
    [JT_W_EMBED] = {"token_embd.weight", "model.embed_tokens.weight"},
    [JT_W_FINAL_NORM] = {"output_norm.weight", "model.norm.weight", .vector = true},
    [JT_W_HEAD] = {"output.weight", "lm_head.weight", .optional = true},
    [JT_W_ATTN_NORM] = {"attn_norm.weight", "input_layernorm.weight", .vector = true},
    [JT_W_Q] = {"attn_q.weight", "self_attn.q_proj.weight", .optional = true},
    [JT_W_Q_A] = {"attn_q_a.weight", "self_attn.q_a_proj.weight", .optional = true},
    [JT_W_Q_A_NORM] = {"attn_q_a_norm.weight", "self_attn.q_a_layernorm.weight", .vector = true, .optional = true},
    [JT_W_Q_B] = {"attn_q_b.weight", "self_attn.q_b_proj.weight", .optional = true},
    [JT_W_KV_A] = {"attn_kv_a_mqa.weight", "self_attn.kv_a_proj_with_mqa.weight"},
    [JT_W_KV_A_NORM] = {"attn_kv_a_norm.weight", "self_attn.kv_a_layernorm.weight", .vector = true},
    [JT_W_KV_B] = {"attn_kv_b.weight", "self_attn.kv_b_proj.weight"},
    [JT_W_O] = {"attn_output.weight", "self_attn.o_proj.weight"},
    [JT_W_FFN_NORM] = {"ffn_norm.weight", "post_attention_layernorm.weight", .vector = true},
    [JT_W_GATE] = {"ffn_gate.weight", "mlp.gate_proj.weight"},
    [JT_W_UP] = {"ffn_up.weight", "mlp.up_proj.weight"},
    [JT_W_DOWN] = {"ffn_down.weight", "mlp.down_proj.weight"},
    JT_SPARSE_EXPERTS("mlp.gate.weight", "mlp.experts.*.gate_proj.weight", "mlp.experts.*.up_proj.weight",
                      "mlp.experts.*.down_proj.weight"),
    [JT_W_ROUTER_CHOICE] = {"exp_probs_b.bias", "mlp.gate.e_score_correction_bias", .vector = true, .optional = true},
    [JT_W_S_GATE] = {"ffn_gate_shexp.weight", "mlp.shared_experts.gate_proj.weight", .optional = true},
    [JT_W_S_UP] = {"ffn_up_shexp.weight", "mlp.shared_experts.up_proj.weight", .optional = true},
    [JT_W_S_DOWN] = {"ffn_down_shexp.weight", "mlp.shared_experts.down_proj.weight", .optional = true},
};

static const jt_block deepseek_block = {&jt_entry_rms_norm, &jt_entry_latent, &jt_entry_rms_norm, &jt_entry_gated_mlp};

#define BIT(role) ((uint64_t)1 << (role))

/* What follows from the sizes read: `factor` is YaRN's of the scores, squared by both sides of the product. */
static void deepseek_finish(jt_config *c, int nope, double factor) {
    c->head_dim = nope + c->rope_dims, c->rope_at = nope;
    c->kv_heads = c->heads;
    c->attn_scale = (float)(factor * factor / sqrt((double)(c->head_dim > 0 ? c->head_dim : 1)));
    c->needs |= c->q_rank ? BIT(JT_W_Q_A) | BIT(JT_W_Q_A_NORM) | BIT(JT_W_Q_B) : BIT(JT_W_Q);
    if (c->shared_ffn) c->needs |= jt_sparse_shared;
    if (c->router.groups <= 1) c->router.groups = c->router.groups_used = 0;
}

/* ---- config.json ---- */

static jt_status deepseek_hf_sizes(const jt_json *j, bool three, jt_config *c, int *nope, jt_error *err) {
    static const char *const rank[] = {"q_lora_rank"};
    int64_t first, every;
    int shared, rot;
    jt_status s;
    if ((s = jt_config_hf_int(j, "kv_lora_rank", 0, &c->kv_rank, err)) || (s = jt_sparse_hf_first(j, rank, 1, &c->q_rank, err)) ||
        (s = jt_config_hf_int(j, "qk_rope_head_dim", 0, &rot, err)) || (s = jt_config_hf_int(j, "qk_nope_head_dim", 0, nope, err)) ||
        (s = jt_config_hf_int(j, "v_head_dim", 0, &c->value_dim, err)) || (s = jt_config_hf_off(j, "attention_bias", err)) ||
        (s = jt_config_hf_off(j, "mlp_bias", err)) ||
        (s = jt_config_int_or(j, "first_k_dense_replace", 0, INT32_MAX, three ? 3 : 0, &first, err)) ||
        (s = jt_config_int_or(j, "moe_layer_freq", 1, INT32_MAX, 1, &every, err)))
        return s;
    static const char *const count[] = {"n_shared_experts"}, *const groups[] = {"n_group"}, *const used[] = {"topk_group"};
    if ((s = jt_sparse_hf_first(j, count, 1, &shared, err)) || (s = jt_sparse_hf_first(j, groups, 1, &c->router.groups, err)) ||
        (s = jt_sparse_hf_first(j, used, 1, &c->router.groups_used, err)))
        return s;
    int64_t width = (int64_t)shared * c->expert_ffn;
    if (width > INT32_MAX) return jt_error_set(err, JT_FORMAT, "n_shared_experts is %d, too large", shared);
    c->shared_ffn = (int)width, c->rope_dims = rot;
    for (int l = 0; l < c->layers && l < JT_CONFIG_LAYERS; l++)
        if (l < first || l % every) jt_sparse_set_dense(c, l);
    return JT_OK;
}

static jt_status deepseek_hf(const jt_json *j, jt_config *c, bool three, jt_error *err) {
    static const char *const extra[] = {"num_nextn_predict_layers"};
    jt_status s;
    int nope;
    double scale, all, factor;
    const char *method, *score, *rule = three ? "sigmoid" : "softmax";
    if ((s = jt_sparse_read_hf(j, c, err)) || (s = deepseek_hf_sizes(j, three, c, &nope, err)) ||
        (s = jt_config_double_or(j, "routed_scaling_factor", three ? 2.5 : 1, &scale, err)) ||
        (s = jt_config_double_or(j, "rope_scaling.mscale_all_dim", 0, &all, err)) ||
        (s = jt_config_double_or(j, "rope_parameters.mscale_all_dim", all, &all, err)) ||
        (s = jt_config_string_or(j, "topk_method", three ? "noaux_tc" : "greedy", &method, err)) ||
        (s = jt_config_string_or(j, "scoring_func", rule, &score, err)) ||
        (s = jt_config_bool_or(j, "norm_topk_prob", three, &c->router.normalise, err)) ||
        (s = jt_config_bool_or(j, "rope_interleave", true, &c->rope_interleaved, err)) ||
        (s = jt_sparse_hf_first(j, extra, 1, &c->spare_layers, err)))
        return s;
    if (strcmp(score, rule)) return jt_error_set(err, JT_UNSUPPORTED, "scoring_func \"%.32s\" is not supported by this build", score);
    if (three ? strcmp(method, "noaux_tc") : strcmp(method, "greedy") && strcmp(method, "group_limited_greedy"))
        return jt_error_set(err, JT_UNSUPPORTED, "topk_method \"%.32s\" is not supported by this build", method);
    if (!three && c->router.normalise)
        return jt_error_set(err, JT_UNSUPPORTED, "norm_topk_prob is true, which is not supported by this build in DeepSeek-V2");
    if (!three && method[1] == 'r' && method[2] == 'e') c->router.groups = 0;
    factor = c->rope[0].kind == JT_ROPE_YARN && all ? jt_rope_mscale(c->rope[0].factor, all) : 1;
    c->router.rule = three ? JT_ROUTE_SIGMOID : JT_ROUTE_SOFTMAX, c->router.two = three, c->router.scale = (float)scale;
    if (three) c->needs |= BIT(JT_W_ROUTER_CHOICE);
    c->latent_eps = 1e-6f; /* whatever rms_norm_eps says */
    deepseek_finish(c, nope, factor);
    return JT_OK;
}

static jt_status deepseek_v2_hf(const jt_json *j, jt_config *c, jt_error *err) { return deepseek_hf(j, c, false, err); }
static jt_status deepseek_v3_hf(const jt_json *j, jt_config *c, jt_error *err) { return deepseek_hf(j, c, true, err); }

/* ---- GGUF ---- */

static jt_status deepseek_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    jt_status s;
    int key, gate, shared;
    double scale, log_mul;
    if ((s = jt_sparse_read_gguf(g, false, c, err)) || (s = jt_sparse_gguf_maybe(g, c, "attention.kv_lora_rank", &c->kv_rank, err)) ||
        (s = jt_sparse_gguf_maybe(g, c, "attention.q_lora_rank", &c->q_rank, err)) ||
        (s = jt_config_gguf_number(g, c, "attention.key_length_mla", (uint64_t)c->head_dim, &key, err)) ||
        (s = jt_config_gguf_number(g, c, "attention.value_length_mla", (uint64_t)jt_config_value_dim(c), &c->value_dim, err)) ||
        (s = jt_sparse_gguf_maybe(g, c, "expert_shared_count", &shared, err)) ||
        (s = jt_config_gguf_number(g, c, "expert_gating_func", 1, &gate, err)) ||
        (s = jt_sparse_gguf_maybe(g, c, "expert_group_count", &c->router.groups, err)) ||
        (s = jt_sparse_gguf_maybe(g, c, "expert_group_used_count", &c->router.groups_used, err)) ||
        (s = jt_config_gguf_real(g, c, "expert_weights_scale", 1, &scale, err)) ||
        (s = jt_config_gguf_real(g, c, "rope.scaling.yarn_log_multiplier", 0, &log_mul, err)) ||
        (s = jt_gguf_get_bool_or(g, "deepseek2.expert_weights_norm", false, &c->router.normalise, err)))
        return s;
    if (c->kv_rank < 1) return jt_error_set(err, JT_FORMAT, "deepseek2.attention.kv_lora_rank is %d", c->kv_rank);
    if (gate != 1 && gate != 2)
        return jt_error_set(err, JT_UNSUPPORTED, "deepseek2.expert_gating_func is %d; this build knows 1 (softmax) and 2 (sigmoid)", gate);
    if ((int64_t)shared * c->expert_ffn > INT32_MAX)
        return jt_error_set(err, JT_FORMAT, "deepseek2.expert_shared_count is %d, too large", shared);
    c->shared_ffn = shared * c->expert_ffn;
    c->router.rule = gate == 2 ? JT_ROUTE_SIGMOID : JT_ROUTE_SOFTMAX, c->router.two = gate == 2, c->router.scale = (float)scale;
    c->rope_interleaved = true;
    c->latent_eps = c->norm_eps;
    bool yarn = c->rope[0].kind == JT_ROPE_YARN && log_mul > 0 && c->rope[0].factor > 1;
    if (yarn) c->rope[0].attention = 1; /* it is in the scores instead */
    deepseek_finish(c, key - c->rope_dims, yarn ? 1 + log_mul * jt_log(c->rope[0].factor) : 1);
    return JT_OK;
}

const jt_family jt_family_deepseek_v2 = {.name = "deepseek2",
                                         .hf = "deepseek_v2",
                                         .role = deepseek_roles,
                                         .block = &deepseek_block,
                                         .final_norm = &jt_entry_rms_norm,
                                         .read_gguf = deepseek_gguf,
                                         .read_hf = deepseek_v2_hf};
const jt_family jt_family_deepseek_v3 = {.name = "deepseek2",
                                         .hf = "deepseek_v3",
                                         .role = deepseek_roles,
                                         .block = &deepseek_block,
                                         .final_norm = &jt_entry_rms_norm,
                                         .read_hf = deepseek_v3_hf};
#undef BIT
