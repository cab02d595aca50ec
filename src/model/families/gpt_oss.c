/* gpt_oss.c: GPT-OSS (OpenAI 2025, arXiv 2508.10925): experts with biases and clamped gates, attention with sinks, biases and
 * a window in every other layer, YaRN. */
#include <string.h>

#include "model/families/sparse.h"
#include "model/network.h"
#include "tensor/op.h"

#define GPT_OSS_BIAS(gguf, hf)                                                                                                             \
    { gguf, hf, .vector = true }

static const jt_role_row gpt_oss_roles[JT_W_ROLES] = {
    JT_SPARSE_ROWS("post_attention_norm.weight"),
    [JT_W_Q_BIAS] = GPT_OSS_BIAS("attn_q.bias", "self_attn.q_proj.bias"),
    [JT_W_K_BIAS] = GPT_OSS_BIAS("attn_k.bias", "self_attn.k_proj.bias"),
    [JT_W_V_BIAS] = GPT_OSS_BIAS("attn_v.bias", "self_attn.v_proj.bias"),
    [JT_W_O_BIAS] = GPT_OSS_BIAS("attn_output.bias", "self_attn.o_proj.bias"),
    [JT_W_SINKS] = GPT_OSS_BIAS("attn_sinks.weight", "self_attn.sinks"),
    [JT_W_ROUTER] = {"ffn_gate_inp.weight", "mlp.router.weight"},
    [JT_W_ROUTER_BIAS] = GPT_OSS_BIAS("ffn_gate_inp.bias", "mlp.router.bias"),
    [JT_W_X_GATE] = {"ffn_gate_exps.weight", "mlp.experts.gate_up_proj", .experts = true, .hf_part = 1, .hf_by_input = true},
    [JT_W_X_UP] = {"ffn_up_exps.weight", "mlp.experts.gate_up_proj", .experts = true, .hf_part = 2, .hf_by_input = true},
    [JT_W_X_GATE_BIAS] = {"ffn_gate_exps.bias", "mlp.experts.gate_up_proj_bias", .vector = true, .experts = true, .hf_part = 1},
    [JT_W_X_UP_BIAS] = {"ffn_up_exps.bias", "mlp.experts.gate_up_proj_bias", .vector = true, .experts = true, .hf_part = 2},
    [JT_W_X_DOWN] = {"ffn_down_exps.weight", "mlp.experts.down_proj", .experts = true, .hf_by_input = true},
    [JT_W_X_DOWN_BIAS] = {"ffn_down_exps.bias", "mlp.experts.down_proj_bias", .vector = true, .experts = true},
};

static const jt_block gpt_oss_block = {&jt_entry_rms_norm, &jt_entry_attention, &jt_entry_rms_norm, &jt_entry_gated_mlp};

static void gpt_oss_set_whole(jt_config *c, int layer) { c->whole[layer / 64] |= (uint64_t)1 << layer % 64; }

static jt_status gpt_oss_hf_window(const jt_json *j, jt_config *c, jt_error *err) {
    int64_t window;
    const jt_json *types = jt_config_find(j, "layer_types");
    jt_status s = jt_config_int_or(j, "sliding_window", 1, 1 << 30, 0, &window, err);
    if (s) return s;
    c->window = (int)window;
    for (int l = 0; window && l < c->layers && l < JT_CONFIG_LAYERS; l++) {
        const char *type = types ? jt_json_string(jt_json_item(types, (size_t)l), NULL) : l % 2 ? "full_attention" : "sliding_attention";
        if (!type || (strcmp(type, "full_attention") && strcmp(type, "sliding_attention")))
            return jt_error_set(err, JT_UNSUPPORTED, "layer_types: layer %d must be \"full_attention\" or \"sliding_attention\"", l);
        if (type[0] == 'f') gpt_oss_set_whole(c, l);
    }
    return JT_OK;
}

static jt_status gpt_oss_hf(const jt_json *j, jt_config *c, jt_error *err) {
    jt_status s;
    double alpha, limit;
    bool bias;
    if ((s = jt_sparse_read_hf(j, c, err)) || (s = gpt_oss_hf_window(j, c, err)) ||
        (s = jt_config_double_or(j, "swiglu_alpha", 1.702, &alpha, err)) || (s = jt_config_double_or(j, "swiglu_limit", 7, &limit, err)) ||
        (s = jt_config_bool_or(j, "attention_bias", true, &bias, err)))
        return s;
    if (!jt_config_find(j, "rope_parameters") && !jt_config_find(j, "rope_scaling")) /* as transformers has it then */
        c->rope[0] =
            (jt_rope){JT_ROPE_YARN, .base = c->rope[0].base, .factor = 32, .original = 4096, .low = 1, .high = 32, .fractions = true};
    if (!(limit > 0)) return jt_error_set(err, JT_UNSUPPORTED, "swiglu_limit is %g, which is not supported by this build", limit);
    if (!bias) return jt_error_set(err, JT_UNSUPPORTED, "attention_bias is false, which is not supported by this build");
    c->glu_alpha = (float)alpha, c->glu_limit = (float)limit;
    c->router.rule = JT_ROUTE_CHOSEN;
    return JT_OK;
}

static jt_status gpt_oss_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    jt_status s = jt_sparse_read_gguf(g, false, c, err);
    if (s) return s;
    for (int l = 1; l < c->layers && l < JT_CONFIG_LAYERS; l += 2) gpt_oss_set_whole(c, l);
    c->rope[0].fractions = true; /* as it was trained; its files do not say so */
    c->glu_alpha = 1.702f, c->glu_limit = 7;
    c->router.rule = JT_ROUTE_CHOSEN;
    return JT_OK;
}

const jt_family jt_family_gpt_oss = {.name = "gpt-oss",
                                     .hf = "gpt_oss",
                                     .role = gpt_oss_roles,
                                     .block = &gpt_oss_block,
                                     .final_norm = &jt_entry_rms_norm,
                                     .read_gguf = gpt_oss_gguf,
                                     .read_hf = gpt_oss_hf};
