/* olmo2.c: OLMo 2 (OLMo Team 2024, arXiv 2501.00656): norms of what attention and MLP add instead of what they read, and of
 * all queries, and all keys, as one row; OLMo 3 (arXiv 2512.13961): the same with a window in three of four layers. */
#include "model/config.h"
#include "model/families/rows.h"

static const jt_role_row olmo2_roles[JT_W_ROLES] = {
    JT_ROWS_EMBEDDING,
    JT_ROWS_ATTENTION,
    JT_ROWS_QK_NORMS,
    JT_ROWS_GATED,
    [JT_W_ATTN_POST_NORM] = {"post_attention_norm.weight", "post_attention_layernorm.weight", .vector = true},
    [JT_W_FFN_POST_NORM] = {"post_ffw_norm.weight", "post_feedforward_layernorm.weight", .vector = true}};

static const jt_block olmo2_block = {
    .mixer = &jt_entry_attention, .mlp = &jt_entry_gated_mlp, .mixer_post = &jt_entry_rms_norm, .mlp_post = &jt_entry_rms_norm};

enum { OLMO3_PERIOD = 4 };

/* Files with a window are of OLMo 3, whose layers with one leave the stretching of the rotation out. */
static jt_status olmo2_read_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    c->qk_norm = JT_QK_WHOLE;
    jt_status s = jt_config_gguf_dense(g, OLMO3_PERIOD, false, c, err);
    c->rope[1] = (jt_rope){.base = c->rope[0].base};
    c->rope_two = c->window > 0;
    return s;
}

static jt_status olmo2_read_hf(const jt_json *j, jt_config *c, jt_error *err) {
    c->qk_norm = JT_QK_WHOLE;
    jt_status s = jt_config_hf_dense(j, &(jt_hf_defaults){.eps = 1e-5}, c, err);
    return s ? s : jt_config_hf_off(j, "attention_bias", err);
}

static jt_status olmo3_read_hf(const jt_json *j, jt_config *c, jt_error *err) {
    c->qk_norm = JT_QK_WHOLE;
    jt_status s = jt_config_hf_dense(j, &(jt_hf_defaults){.eps = 1e-5, .rope_base = 500000, .rope_local = 500000}, c, err);
    if (!s) s = jt_config_hf_off(j, "attention_bias", err);
    if (s) return s;
    if (!jt_config_find(j, "rope_parameters.sliding_attention")) c->rope[1].base = c->rope[0].base;
    return jt_config_hf_window(j, 4096, OLMO3_PERIOD, c, err);
}

const jt_family jt_family_olmo2 = {.name = "olmo2",
                                   .hf = "olmo2",
                                   .role = olmo2_roles,
                                   .block = &olmo2_block,
                                   .final_norm = &jt_entry_rms_norm,
                                   .read_gguf = olmo2_read_gguf,
                                   .read_hf = olmo2_read_hf};
/* Its GGUF files call themselves "olmo2". */
const jt_family jt_family_olmo3 = {
    .name = "olmo2", .hf = "olmo3", .role = olmo2_roles, .block = &olmo2_block, .final_norm = &jt_entry_rms_norm, .read_hf = olmo3_read_hf};
