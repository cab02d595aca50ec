/* gemma.c: Gemma (Gemma Team 2024, arXiv 2403.08295): norms that multiply by 1 + w, an embedding times sqrt(width), GELU;
 * Gemma 2 (2408.00118): norms after both parts too, soft caps, windows in every second layer; Gemma 3 (2503.19786): norms of
 * queries and keys instead of caps, five layers with a window and a rotation of their own to one without. */
#include <math.h>
#include <string.h>

#include "model/config.h"
#include "model/families/rows.h"

#define GEMMA_ROWS                                                                                                                         \
    [JT_W_EMBED] = {"token_embd.weight", "model.embed_tokens.weight"},                                                                     \
    [JT_W_HEAD] = {"output.weight", "lm_head.weight", .optional = true},                                                                   \
    [JT_W_FINAL_NORM] = {"output_norm.weight", "model.norm.weight", .vector = true, .hf_less_one = true},                                  \
    [JT_W_ATTN_NORM] = {"attn_norm.weight", "input_layernorm.weight", .vector = true, .hf_less_one = true}
#define GEMMA_POST_NORMS                                                                                                                   \
    [JT_W_ATTN_POST_NORM] = {"post_attention_norm.weight", "post_attention_layernorm.weight", .vector = true, .hf_less_one = true},        \
    [JT_W_FFN_NORM] = {"ffn_norm.weight", "pre_feedforward_layernorm.weight", .vector = true, .hf_less_one = true},                        \
    [JT_W_FFN_POST_NORM] = {"post_ffw_norm.weight", "post_feedforward_layernorm.weight", .vector = true, .hf_less_one = true}

static const jt_role_row gemma_roles[JT_W_ROLES] = {
    GEMMA_ROWS, JT_ROWS_ATTENTION,
    JT_ROWS_GATED, [JT_W_FFN_NORM] = {"ffn_norm.weight", "post_attention_layernorm.weight", .vector = true, .hf_less_one = true}};
static const jt_role_row gemma2_roles[JT_W_ROLES] = {GEMMA_ROWS, JT_ROWS_ATTENTION, JT_ROWS_GATED, GEMMA_POST_NORMS};
static const jt_role_row gemma3_roles[JT_W_ROLES] = {
    GEMMA_ROWS,
    JT_ROWS_ATTENTION,
    JT_ROWS_GATED,
    GEMMA_POST_NORMS,
    [JT_W_Q_NORM] = {"attn_q_norm.weight", "self_attn.q_norm.weight", .vector = true, .hf_less_one = true},
    [JT_W_K_NORM] = {"attn_k_norm.weight", "self_attn.k_norm.weight", .vector = true, .hf_less_one = true}};

static const jt_block gemma2_block = {&jt_entry_rms_norm,  &jt_entry_attention, &jt_entry_rms_norm,
                                      &jt_entry_gated_mlp, &jt_entry_rms_norm,  &jt_entry_rms_norm};

enum { GEMMA2_PERIOD = 2, GEMMA3_PERIOD = 6, GEMMA2_27B_LAYERS = 46, GEMMA3_27B_LAYERS = 62 };

static void gemma_common(jt_config *c) {
    c->embed_scale = sqrtf((float)c->hidden);
    c->activation = JT_FN_GELU_TANH;
}

/* ---- GGUF ---- */

static jt_status gemma_read_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    jt_status s = jt_config_gguf_dense(g, 0, false, c, err);
    gemma_common(c);
    return s;
}

/* Files say nothing of the scale of scores, which only the largest models have otherwise. */
static void gemma_gguf_scale(jt_config *c, int largest) {
    int share = c->hidden / c->heads;
    if (!(c->attn_scale > 0) && c->layers == largest) c->attn_scale = 1 / sqrtf((float)share);
}

static jt_status gemma2_read_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    c->window = 4096, c->attn_cap = 50, c->logit_cap = 30;
    jt_status s = jt_config_gguf_dense(g, GEMMA2_PERIOD, false, c, err);
    if (s) return s;
    gemma_common(c);
    gemma_gguf_scale(c, GEMMA2_27B_LAYERS);
    return JT_OK;
}

static jt_status gemma3_read_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    c->qk_norm = JT_QK_HEADS;
    jt_status s = jt_config_gguf_dense(g, GEMMA3_PERIOD, false, c, err);
    if (!s) s = jt_config_gguf_real(g, c, "rope.freq_base_swa", 10000, &c->rope[1].base, err);
    if (s) return s;
    c->rope_two = c->window > 0;
    gemma_common(c);
    gemma_gguf_scale(c, GEMMA3_27B_LAYERS);
    return JT_OK;
}

/* ---- config.json ---- */

/* A number that is absent has the default, and null means none. */
static jt_status gemma_hf_cap(const jt_json *j, const char *key, double otherwise, float *out, jt_error *err) {
    double v = 0;
    jt_status s = jt_json_member(j, key) && !jt_config_find(j, key) ? JT_OK : jt_config_double_or(j, key, otherwise, &v, err);
    *out = (float)v;
    return s;
}

static jt_status gemma_hf(const jt_json *j, const jt_hf_defaults *d, jt_config *c, jt_error *err) {
    bool both;
    jt_status s = jt_config_hf_dense(j, d, c, err);
    if (!s) s = jt_config_hf_off(j, "attention_bias", err);
    if (!s) s = jt_config_bool_or(j, "use_bidirectional_attention", false, &both, err);
    if (!s && both) s = jt_error_set(err, JT_UNSUPPORTED, "use_bidirectional_attention is true, which is not supported by this build");
    if (!s) gemma_common(c);
    return s;
}

/* Its files say "gelu" and mean the form with tanh. */
static jt_status gemma_read_hf(const jt_json *j, jt_config *c, jt_error *err) {
    const char *act;
    jt_status s = gemma_hf(j, &(jt_hf_defaults){.head_dim = 256, .act = "gelu_pytorch_tanh"}, c, err);
    if (!s) s = jt_config_string_or(j, "hidden_act", "gelu", &act, err);
    if (!s) s = jt_config_string_or(j, "hidden_activation", act, &act, err);
    if (s) return s;
    return jt_config_hf_activation(strcmp(act, "gelu") ? act : "gelu_pytorch_tanh", c, err);
}

/* What Gemma 2 and 3 share after the first part. */
static jt_status gemma_hf_later(const jt_json *j, int period, double attn_cap, double logit_cap, jt_config *c, jt_error *err) {
    double scalar;
    const char *act;
    jt_status s = jt_config_double_or(j, "query_pre_attn_scalar", 256, &scalar, err);
    if (!s) s = jt_config_string_or(j, "hidden_activation", "gelu_pytorch_tanh", &act, err);
    if (!s) s = jt_config_hf_activation(act, c, err);
    if (!s) s = gemma_hf_cap(j, "attn_logit_softcapping", attn_cap, &c->attn_cap, err);
    if (!s) s = gemma_hf_cap(j, "final_logit_softcapping", logit_cap, &c->logit_cap, err);
    if (!s) s = jt_config_hf_window(j, 4096, period, c, err);
    if (s) return s;
    if (!(scalar > 0)) return jt_error_set(err, JT_FORMAT, "query_pre_attn_scalar is %g; it must be above 0", scalar);
    c->attn_scale = 1 / sqrtf((float)scalar);
    return JT_OK;
}

static jt_status gemma2_read_hf(const jt_json *j, jt_config *c, jt_error *err) {
    jt_status s = gemma_hf(j, &(jt_hf_defaults){.head_dim = 256, .act_key = "hidden_activation", .act = "gelu_pytorch_tanh"}, c, err);
    return s ? s : gemma_hf_later(j, GEMMA2_PERIOD, 50, 30, c, err);
}

static jt_status gemma3_read_hf(const jt_json *j, jt_config *c, jt_error *err) {
    static const jt_hf_defaults d = {.head_dim = 256,
                                     .act_key = "hidden_activation",
                                     .act = "gelu_pytorch_tanh",
                                     .rope_base = 1000000,
                                     .rope_local = 10000,
                                     .vocab = 262208,
                                     .heads = 8,
                                     .kv_heads = 4,
                                     .context = 131072};
    int period;
    jt_status s = gemma_hf(j, &d, c, err);
    if (!s) s = jt_config_hf_int(j, "sliding_window_pattern", GEMMA3_PERIOD, &period, err);
    c->qk_norm = JT_QK_HEADS;
    return s ? s : gemma_hf_later(j, period, 0, 0, c, err);
}

const jt_family jt_family_gemma = {.name = "gemma",
                                   .hf = "gemma",
                                   .role = gemma_roles,
                                   .block = &jt_block_llama,
                                   .final_norm = &jt_entry_rms_norm,
                                   .read_gguf = gemma_read_gguf,
                                   .read_hf = gemma_read_hf};
const jt_family jt_family_gemma2 = {.name = "gemma2",
                                    .hf = "gemma2",
                                    .role = gemma2_roles,
                                    .block = &gemma2_block,
                                    .final_norm = &jt_entry_rms_norm,
                                    .read_gguf = gemma2_read_gguf,
                                    .read_hf = gemma2_read_hf};
const jt_family jt_family_gemma3 = {.name = "gemma3",
                                    .hf = "gemma3_text",
                                    .hf_part_of = "gemma3",
                                    .role = gemma3_roles,
                                    .block = &gemma2_block,
                                    .final_norm = &jt_entry_rms_norm,
                                    .read_gguf = gemma3_read_gguf,
                                    .read_hf = gemma3_read_hf};
