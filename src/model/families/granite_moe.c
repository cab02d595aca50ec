/* granite_moe.c: Granite 3 with experts, with and without a shared one (IBM 2024): Llama's blocks with multipliers. */
#include "model/families/sparse.h"
#include "model/network.h"
#include "tensor/op.h"

static const jt_role_row granite_moe_roles[JT_W_ROLES] = {JT_SPARSE_ROWS("ffn_norm.weight"), JT_SPARSE_GRANITE};

static const jt_block granite_moe_block = {&jt_entry_rms_norm, &jt_entry_attention, &jt_entry_rms_norm, &jt_entry_gated_mlp};

static jt_status granite_moe_hf(const jt_json *j, jt_config *c, jt_error *err) {
    static const char *const shared[] = {"shared_intermediate_size"};
    jt_status s;
    if ((s = jt_sparse_read_hf(j, c, err)) || (s = jt_config_hf_off(j, "attention_bias", err)) ||
        (s = jt_sparse_hf_first(j, shared, 1, &c->shared_ffn, err)) || (s = jt_config_hf_multipliers(j, c, err)))
        return s;
    c->router.rule = JT_ROUTE_CHOSEN;
    if (c->shared_ffn) c->needs |= jt_sparse_shared;
    return JT_OK;
}

static jt_status granite_moe_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    static const char *const key[] = {"attention.scale", "embedding_scale", "residual_scale", "logit_scale"};
    float *const to[] = {&c->attn_scale, &c->embed_scale, &c->residual_scale, &c->logit_scale};
    jt_status s = jt_sparse_read_gguf(g, true, c, err);
    if (!s) s = jt_sparse_gguf_maybe(g, c, "expert_shared_feed_forward_length", &c->shared_ffn, err);
    for (int i = 0; i < 4 && !s; i++) {
        double v;
        s = jt_config_gguf_real(g, c, key[i], 0, &v, err);
        if (!s) *to[i] = (float)v;
    }
    c->router.rule = JT_ROUTE_CHOSEN;
    if (c->shared_ffn) c->needs |= jt_sparse_shared;
    return s;
}

const jt_family jt_family_granite_moe = {.name = "granitemoe",
                                         .hf = "granitemoe",
                                         .role = granite_moe_roles,
                                         .block = &granite_moe_block,
                                         .final_norm = &jt_entry_rms_norm,
                                         .gguf_interleaves = true,
                                         .read_gguf = granite_moe_gguf,
                                         .read_hf = granite_moe_hf};
/* Its GGUF files call themselves "granitemoe". */
const jt_family jt_family_granite_moe_shared = {.name = "granitemoe",
                                                .hf = "granitemoeshared",
                                                .role = granite_moe_roles,
                                                .block = &granite_moe_block,
                                                .final_norm = &jt_entry_rms_norm,
                                                .gguf_interleaves = true,
                                                .read_hf = granite_moe_hf};
