/* starcoder2.c: StarCoder 2 (Lozhkov et al. 2024, arXiv 2402.19173): layer norms, biases everywhere, a plain MLP, and a window. */
#include "model/config.h"
#include "model/families/rows.h"

static const jt_role_row starcoder2_roles[JT_W_ROLES] = {
    JT_ROWS_EMBEDDING,
    JT_ROWS_NORMS,
    JT_ROWS_NORM_BIASES,
    JT_ROWS_ATTENTION,
    JT_ROWS_ATTENTION_BIASES,
    JT_ROWS_OUTPUT_BIAS,
    [JT_W_UP] = {"ffn_up.weight", "mlp.c_fc.weight"},
    [JT_W_UP_BIAS] = {"ffn_up.bias", "mlp.c_fc.bias", .vector = true, .optional = true},
    [JT_W_DOWN] = {"ffn_down.weight", "mlp.c_proj.weight"},
    [JT_W_DOWN_BIAS] = {"ffn_down.bias", "mlp.c_proj.bias", .vector = true, .optional = true}};
static const jt_role starcoder2_biases[] = {JT_W_Q_BIAS, JT_W_K_BIAS, JT_W_V_BIAS, JT_W_O_BIAS, JT_W_UP_BIAS, JT_W_DOWN_BIAS, JT_W_ROLES};

static const jt_block starcoder2_block = {&jt_entry_layer_norm, &jt_entry_attention, &jt_entry_layer_norm, &jt_entry_mlp};

static jt_status starcoder2_read_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    c->activation = JT_FN_GELU_TANH;
    return jt_config_gguf_dense(g, 0, false, c, err);
}

static jt_status starcoder2_read_hf(const jt_json *j, jt_config *c, jt_error *err) {
    static const jt_hf_defaults d = {.eps_key = "norm_epsilon", .eps = 1e-5, .act = "gelu_pytorch_tanh"};
    jt_status s = jt_config_hf_dense(j, &d, c, err);
    if (!s) s = jt_config_hf_only(j, "mlp_type", "default", err);
    if (!s) s = jt_config_hf_only(j, "norm_type", "layer_norm", err);
    if (!s) s = jt_config_hf_biases(j, "use_bias", true, starcoder2_biases, c, err);
    return s ? s : jt_config_hf_window(j, 0, 0, c, err);
}

const jt_family jt_family_starcoder2 = {.name = "starcoder2",
                                        .hf = "starcoder2",
                                        .role = starcoder2_roles,
                                        .block = &starcoder2_block,
                                        .final_norm = &jt_entry_layer_norm,
                                        .read_gguf = starcoder2_read_gguf,
                                        .read_hf = starcoder2_read_hf};
