/* granite_hybrid.c: the Granite 4 hybrids: layers of Mamba-2 and a few of attention without positions, a gated MLP in
 * each, and multipliers of the embedding, of what layers add and of the logits. With and without experts beside the MLP, which all
 * rows go to. */
#include <string.h>

#include "model/families/rows.h"
#include "model/families/sparse.h"
#include "model/network.h"
#include "tensor/op.h"

static const jt_role granite_gate_up[] = {JT_W_GATE, JT_W_UP, JT_W_ROLES};
static const jt_role_row granite_roles[JT_W_ROLES] = {
    [JT_W_EMBED] = {"token_embd.weight", "model.embed_tokens.weight", false, false},
    [JT_W_FINAL_NORM] = {"output_norm.weight", "model.norm.weight", true, false},
    [JT_W_HEAD] = {"output.weight", "lm_head.weight", false, true},
    [JT_W_ATTN_NORM] = {"attn_norm.weight", "input_layernorm.weight", true, false},
    [JT_W_Q] = {"attn_q.weight", "self_attn.q_proj.weight", false, false},
    [JT_W_K] = {"attn_k.weight", "self_attn.k_proj.weight", false, false},
    [JT_W_V] = {"attn_v.weight", "self_attn.v_proj.weight", false, false},
    [JT_W_O] = {"attn_output.weight", "self_attn.o_proj.weight", false, false},
    [JT_W_FFN_NORM] = {"ffn_norm.weight", "post_attention_layernorm.weight", true, false},
    [JT_W_GATE] = {"ffn_gate.weight", "shared_mlp.input_linear.weight", .hf_stack = granite_gate_up},
    [JT_W_UP] = {"ffn_up.weight", "shared_mlp.input_linear.weight", .hf_stack = granite_gate_up},
    [JT_W_DOWN] = {"ffn_down.weight", "shared_mlp.output_linear.weight", false, false},
    JT_SPARSE_GRANITE,
    [JT_W_SSM_IN] = {"ssm_in.weight", "mamba.in_proj.weight", false, false},
    [JT_W_SSM_CONV] = {"ssm_conv1d.weight", "mamba.conv1d.weight", true, false, .any_shape = true, .transposed = true},
    [JT_W_SSM_CONV_BIAS] = {"ssm_conv1d.bias", "mamba.conv1d.bias", true, true},
    [JT_W_SSM_DT_BIAS] = {"ssm_dt.bias", "mamba.dt_bias", true, false},
    [JT_W_SSM_A] = {"ssm_a", "mamba.A_log", true, false, .any_shape = true, .hf_log = true},
    [JT_W_SSM_D] = {"ssm_d", "mamba.D", true, false, .any_shape = true},
    [JT_W_SSM_NORM] = {"ssm_norm.weight", "mamba.norm.weight", true, false, .any_shape = true},
    [JT_W_SSM_OUT] = {"ssm_out.weight", "mamba.out_proj.weight", false, false},
};

static const jt_block granite_recurrent = {&jt_entry_rms_norm, &jt_entry_mamba2, &jt_entry_rms_norm, &jt_entry_gated_mlp};

static void granite_set_layer(jt_config *c, int layer, bool recurrent) {
    if (recurrent) c->recurrent[layer / 64] |= (uint64_t)1 << (layer % 64);
}

static jt_status granite_check_layers(const jt_config *c, jt_error *err) {
    if (c->layers < 1 || c->layers > JT_CONFIG_LAYERS)
        return jt_error_set(err, JT_FORMAT, "number of layers is %d; it must be between 1 and %d", c->layers, JT_CONFIG_LAYERS);
    return c->heads < 1 ? jt_error_set(err, JT_FORMAT, "number of heads is %d", c->heads) : JT_OK;
}

/* ---- GGUF ---- */

/* Heads of keys by layer: none means a recurrence. */
static jt_status granite_gguf_layers(const jt_gguf *g, jt_config *c, jt_error *err) {
    static const char key[] = "granitehybrid.attention.head_count_kv";
    const jt_gguf_value *v = jt_gguf_find(g, key);
    if (!v) return jt_error_set(err, JT_FORMAT, "%s is missing: which layers have attention is not known", key);
    if (v->type == JT_GGUF_ARRAY && v->count != (uint64_t)c->layers)
        return jt_error_set(err, JT_FORMAT, "%s has %llu items for %d layers", key, (unsigned long long)v->count, c->layers);
    c->kv_heads = 0;
    for (int i = 0; i < c->layers; i++) {
        uint64_t n;
        if (!jt_gguf_item_u64(v, v->type == JT_GGUF_ARRAY ? (uint64_t)i : 0, &n) || n > INT32_MAX)
            return jt_error_set(err, JT_FORMAT, "%s: item %d is no number of heads", key, i);
        granite_set_layer(c, i, !n);
        if (n && c->kv_heads && (int)n != c->kv_heads)
            return jt_error_set(err, JT_UNSUPPORTED, "%s: layers have %d and %d heads; this build needs them equal", key, c->kv_heads,
                                (int)n);
        if (n) c->kv_heads = (int)n;
    }
    if (!c->kv_heads) c->kv_heads = c->heads;
    return JT_OK;
}

static jt_status granite_gguf_recurrence(const jt_gguf *g, jt_config *c, jt_error *err) {
    int inner = 0;
    jt_status s;
    if ((s = jt_config_gguf_int(g, "granitehybrid.ssm.inner_size", 0, &inner, err)) ||
        (s = jt_config_gguf_int(g, "granitehybrid.ssm.time_step_rank", 0, &c->ssm_heads, err)) ||
        (s = jt_config_gguf_int(g, "granitehybrid.ssm.state_size", 0, &c->ssm_state, err)) ||
        (s = jt_config_gguf_int(g, "granitehybrid.ssm.group_count", 0, &c->ssm_groups, err)) ||
        (s = jt_config_gguf_int(g, "granitehybrid.ssm.conv_kernel", 0, &c->ssm_taps, err)))
        return s;
    if (c->ssm_heads < 1 || inner % c->ssm_heads)
        return jt_error_set(err, JT_FORMAT, "granitehybrid.ssm.inner_size %d cannot be shared by %d heads evenly", inner, c->ssm_heads);
    c->ssm_head_dim = inner / c->ssm_heads;
    return JT_OK;
}

static jt_status granite_gguf_scales(const jt_gguf *g, jt_config *c, jt_error *err) {
    const struct {
        const char *key;
        float *to;
    } row[] = {{"granitehybrid.attention.scale", &c->attn_scale},
               {"granitehybrid.embedding_scale", &c->embed_scale},
               {"granitehybrid.residual_scale", &c->residual_scale},
               {"granitehybrid.logit_scale", &c->logit_scale}};
    for (int i = 0; i < 4; i++) {
        double v;
        jt_status s = jt_gguf_get_double_or(g, row[i].key, 0, &v, err);
        if (s) return s;
        *row[i].to = (float)v;
    }
    return JT_OK;
}

static jt_status granite_gguf_experts(const jt_gguf *g, jt_config *c, jt_error *err) {
    jt_status s;
    if ((s = jt_sparse_gguf_maybe(g, c, "expert_count", &c->router.experts, err)) || !c->router.experts) return s;
    if ((s = jt_sparse_gguf_maybe(g, c, "expert_used_count", &c->router.used, err)) ||
        (s = jt_config_gguf_number(g, c, "expert_feed_forward_length", (uint64_t)c->ffn, &c->expert_ffn, err)) ||
        (s = jt_sparse_gguf_maybe(g, c, "expert_shared_feed_forward_length", &c->shared_ffn, err)))
        return s;
    c->router.rule = JT_ROUTE_CHOSEN;
    if (c->shared_ffn) c->ffn = c->shared_ffn, c->needs |= jt_sparse_shared;
    return JT_OK;
}

static jt_status granite_read_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    jt_status s;
    double eps = 0;
    bool rotates = true;
    if ((s = jt_config_gguf_vocab(g, &granite_roles[JT_W_EMBED], c, err)) ||
        (s = jt_config_gguf_int(g, "granitehybrid.embedding_length", 0, &c->hidden, err)) ||
        (s = jt_config_gguf_int(g, "granitehybrid.block_count", 0, &c->layers, err)) ||
        (s = jt_config_gguf_int(g, "granitehybrid.attention.head_count", 0, &c->heads, err)) ||
        (s = jt_config_gguf_int(g, "granitehybrid.feed_forward_length", 0, &c->ffn, err)) ||
        (s = jt_config_gguf_int(g, "granitehybrid.context_length", 0, &c->context, err)) || (s = granite_check_layers(c, err)) ||
        (s = jt_config_gguf_int(g, "granitehybrid.attention.key_length", (uint64_t)(c->hidden / c->heads), &c->head_dim, err)) ||
        (s = jt_gguf_get_double(g, "granitehybrid.attention.layer_norm_rms_epsilon", &eps, err)) ||
        (s = jt_gguf_get_double_or(g, "granitehybrid.rope.freq_base", 10000, &c->rope[0].base, err)) ||
        (s = jt_gguf_get_bool_or(g, "granitehybrid.rope.scaling.finetuned", true, &rotates, err)) ||
        (s = granite_gguf_experts(g, c, err)) || (s = granite_gguf_layers(g, c, err)) || (s = granite_gguf_recurrence(g, c, err)) ||
        (s = granite_gguf_scales(g, c, err)) || (s = jt_config_gguf_refuse(g, c, true, err)))
        return s;
    if (jt_gguf_find(g, "granitehybrid.rope.scaling.type") && rotates)
        return jt_error_set(err, JT_UNSUPPORTED, "granitehybrid.rope.scaling.type is not supported by this build");
    if (rotates &&
        (s = jt_config_gguf_int(g, "granitehybrid.rope.dimension_count", c->head_dim > 0 ? (uint64_t)c->head_dim : 1, &c->rope_dims, err)))
        return s;
    c->norm_eps = (float)eps;
    c->rope_interleaved = true;
    return JT_OK;
}

/* ---- config.json ---- */

static jt_status granite_hf_layers(const jt_json *j, jt_config *c, jt_error *err) {
    const jt_json *list = jt_config_find(j, "layer_types");
    const char *key = list ? "layer_types" : "layers_block_type";
    if (!list) list = jt_config_find(j, key);
    if (list && (jt_json_kind_of(list) != JT_JSON_ARRAY || jt_json_count(list) != (size_t)c->layers))
        return jt_error_set(err, JT_FORMAT, "%s must be an array of %d kinds of layers", key, c->layers);
    for (int i = 0; i < c->layers; i++) {
        const char *kind = list ? jt_json_string(jt_json_item(list, (size_t)i), NULL) : "mamba";
        bool recurrent = kind && (!strcmp(kind, "mamba") || !strcmp(kind, "linear_attention"));
        if (!kind || (!recurrent && strcmp(kind, "attention") && strcmp(kind, "full_attention")))
            return jt_error_set(err, JT_UNSUPPORTED, "%s: layer %d is of kind \"%.32s\"; this build knows attention and mamba", key, i,
                                kind ? kind : "");
        granite_set_layer(c, i, recurrent);
    }
    return JT_OK;
}

static jt_status granite_hf_recurrence(const jt_json *j, jt_config *c, jt_error *err) {
    jt_status s;
    int expand;
    double least;
    bool proj;
    const jt_json *d = jt_config_find(j, "mamba_d_head"), *limit = jt_config_find(j, "time_step_limit");
    bool automatic = !d || jt_json_kind_of(d) == JT_JSON_STRING;
    if ((s = jt_config_hf_int(j, "mamba_n_heads", 128, &c->ssm_heads, err)) ||
        (s = jt_config_hf_int(j, "mamba_n_groups", 1, &c->ssm_groups, err)) ||
        (s = jt_config_hf_int(j, "mamba_d_state", 256, &c->ssm_state, err)) ||
        (s = jt_config_hf_int(j, "mamba_d_conv", 4, &c->ssm_taps, err)) || (s = jt_config_hf_int(j, "mamba_expand", 2, &expand, err)) ||
        (s = jt_config_bool_or(j, "mamba_proj_bias", false, &proj, err)))
        return s;
    if (proj) return jt_error_set(err, JT_UNSUPPORTED, "mamba_proj_bias is true, which is not supported by this build");
    int64_t inner = (int64_t)expand * c->hidden;
    if (!automatic && (s = jt_config_hf_int(j, "mamba_d_head", 0, &c->ssm_head_dim, err))) return s;
    if (automatic) c->ssm_head_dim = (int)(inner / c->ssm_heads);
    if ((int64_t)c->ssm_head_dim * c->ssm_heads != inner)
        return jt_error_set(err, JT_FORMAT, "mamba_expand * hidden_size is %lld, which is not mamba_n_heads %d * mamba_d_head %d",
                            (long long)inner, c->ssm_heads, c->ssm_head_dim);
    if (!limit) return JT_OK;
    /* The upper end is written as Infinity, which JSON does not have, or as a word or an object for it. */
    if (jt_json_kind_of(limit) != JT_JSON_ARRAY || jt_json_count(limit) != 2 || !jt_json_double(jt_json_item(limit, 0), &least) ||
        least > 0 || jt_json_double(jt_json_item(limit, 1), &least))
        return jt_error_set(err, JT_UNSUPPORTED, "time_step_limit: a step that is cut is not supported by this build");
    return JT_OK;
}

static jt_status granite_hf_experts(const jt_json *j, jt_config *c, jt_error *err) {
    int64_t experts;
    jt_status s = jt_config_int_or(j, "num_local_experts", 0, INT32_MAX, 8, &experts, err);
    c->router.experts = s ? 0 : (int)experts;
    if (s || !experts) return s;
    if ((s = jt_config_hf_int(j, "num_experts_per_tok", 2, &c->router.used, err)) ||
        (s = jt_config_hf_int(j, "intermediate_size", 0, &c->expert_ffn, err)))
        return s;
    c->shared_ffn = c->ffn, c->needs |= jt_sparse_shared;
    c->router.rule = JT_ROUTE_CHOSEN;
    return JT_OK;
}

static jt_status granite_read_hf(const jt_json *j, jt_config *c, jt_error *err) {
    jt_status s;
    double eps;
    const char *act, *positions;
    if ((s = jt_config_hf_int(j, "vocab_size", 0, &c->vocab, err)) || (s = jt_config_hf_int(j, "hidden_size", 0, &c->hidden, err)) ||
        (s = jt_config_hf_int(j, "num_hidden_layers", 0, &c->layers, err)) ||
        (s = jt_config_hf_int(j, "num_attention_heads", 0, &c->heads, err)) || (s = granite_check_layers(c, err)) ||
        (s = jt_config_hf_int(j, "num_key_value_heads", c->heads, &c->kv_heads, err)) ||
        (s = jt_config_hf_int(j, "head_dim", c->hidden / c->heads > 0 ? c->hidden / c->heads : 1, &c->head_dim, err)) ||
        (s = jt_config_hf_int(j, "shared_intermediate_size", 1024, &c->ffn, err)) ||
        (s = jt_config_hf_int(j, "max_position_embeddings", 2048, &c->context, err)) ||
        (s = jt_config_double_or(j, "rms_norm_eps", 1e-6, &eps, err)) || (s = jt_config_string_or(j, "hidden_act", "silu", &act, err)) ||
        (s = jt_config_string_or(j, "position_embedding_type", "nope", &positions, err)) || (s = granite_hf_experts(j, c, err)) ||
        (s = jt_config_hf_off(j, "attention_bias", err)) || (s = jt_config_hf_rope(j, c, err)) || (s = granite_hf_layers(j, c, err)) ||
        (s = granite_hf_recurrence(j, c, err)) || (s = jt_config_hf_multipliers(j, c, err)))
        return s;
    if ((s = jt_config_hf_only(j, "normalization_function", "rmsnorm", err))) return s;
    if (strcmp(act, "silu")) return jt_error_set(err, JT_UNSUPPORTED, "hidden_act \"%.32s\" is not supported by this build", act);
    if (strcmp(positions, "nope") && strcmp(positions, "rope"))
        return jt_error_set(err, JT_UNSUPPORTED, "position_embedding_type \"%.32s\" is not supported by this build", positions);
    c->norm_eps = (float)eps;
    c->rope_dims = positions[0] == 'r' ? c->head_dim : 0;
    return JT_OK;
}

const jt_family jt_family_granite_hybrid = {.name = "granitehybrid",
                                            .hf = "granitemoehybrid",
                                            .role = granite_roles,
                                            .block = &jt_block_llama,
                                            .recurrent = &granite_recurrent,
                                            .final_norm = &jt_entry_rms_norm,
                                            .gguf_interleaves = true,
                                            .read_gguf = granite_read_gguf,
                                            .read_hf = granite_read_hf};
