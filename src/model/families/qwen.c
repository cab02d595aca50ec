/* qwen.c: Qwen 2 and 2.5 (Yang et al. 2024, arXiv 2407.10671): Llama's blocks with biases of queries, keys and values; Qwen 3
 * (Yang et al. 2025, arXiv 2505.09388): norms of queries and keys instead. */
#include "model/config.h"
#include "model/families/rows.h"

static const jt_role_row qwen2_roles[JT_W_ROLES] = {JT_ROWS_EMBEDDING, JT_ROWS_NORMS, JT_ROWS_ATTENTION, JT_ROWS_ATTENTION_BIASES,
                                                    JT_ROWS_GATED};
static const jt_role_row qwen3_roles[JT_W_ROLES] = {JT_ROWS_EMBEDDING,   JT_ROWS_NORMS,    JT_ROWS_ATTENTION, JT_ROWS_ATTENTION_BIASES,
                                                    JT_ROWS_OUTPUT_BIAS, JT_ROWS_QK_NORMS, JT_ROWS_GATED};

static const uint64_t qwen2_biases = (uint64_t)1 << JT_W_Q_BIAS | (uint64_t)1 << JT_W_K_BIAS | (uint64_t)1 << JT_W_V_BIAS;
static const jt_role qwen3_biases[] = {JT_W_Q_BIAS, JT_W_K_BIAS, JT_W_V_BIAS, JT_W_O_BIAS, JT_W_ROLES};

static jt_status qwen2_read_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    c->needs |= qwen2_biases;
    return jt_config_gguf_dense(g, 0, false, c, err);
}

static jt_status qwen3_read_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    c->qk_norm = JT_QK_HEADS;
    return jt_config_gguf_dense(g, 0, false, c, err);
}

jt_status jt_qwen_hf_window(const jt_json *j, jt_config *c, jt_error *err) {
    int64_t first;
    bool on;
    jt_status s = jt_config_bool_or(j, "use_sliding_window", false, &on, err);
    if (!s) s = jt_config_int_or(j, "max_window_layers", 0, INT32_MAX, 28, &first, err);
    if (s || !on) return s;
    if ((s = jt_config_hf_window(j, 4096, 0, c, err)) || jt_config_find(j, "layer_types")) return s;
    for (int l = 0; l < c->layers && l < first && l < JT_CONFIG_LAYERS; l++) c->whole[l / 64] |= (uint64_t)1 << l % 64;
    return JT_OK;
}

static jt_status qwen2_read_hf(const jt_json *j, jt_config *c, jt_error *err) {
    jt_status s = jt_config_hf_dense(j, &(jt_hf_defaults){0}, c, err);
    if (!s) s = jt_config_hf_off(j, "use_mrope", err);
    c->needs |= qwen2_biases;
    return s ? s : jt_qwen_hf_window(j, c, err);
}

static jt_status qwen3_read_hf(const jt_json *j, jt_config *c, jt_error *err) {
    jt_status s = jt_config_hf_dense(j, &(jt_hf_defaults){.head_dim = 128}, c, err);
    c->qk_norm = JT_QK_HEADS;
    if (!s) s = jt_config_hf_biases(j, "attention_bias", false, qwen3_biases, c, err);
    return s ? s : jt_qwen_hf_window(j, c, err);
}

const jt_family jt_family_qwen2 = {.name = "qwen2",
                                   .hf = "qwen2",
                                   .role = qwen2_roles,
                                   .block = &jt_block_llama,
                                   .final_norm = &jt_entry_rms_norm,
                                   .read_gguf = qwen2_read_gguf,
                                   .read_hf = qwen2_read_hf};
const jt_family jt_family_qwen3 = {.name = "qwen3",
                                   .hf = "qwen3",
                                   .role = qwen3_roles,
                                   .block = &jt_block_llama,
                                   .final_norm = &jt_entry_rms_norm,
                                   .read_gguf = qwen3_read_gguf,
                                   .read_hf = qwen3_read_hf};
