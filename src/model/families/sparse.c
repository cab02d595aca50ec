/* sparse.c: reading the settings that families with mixtures of experts have in common. */
#include "model/families/sparse.h"

#include <string.h>

const jt_role jt_sparse_stack[] = {JT_W_S_GATE, JT_W_S_UP, JT_W_ROLES};

/* ---- config.json ---- */

jt_status jt_sparse_hf_first(const jt_json *j, const char *const key[], int keys, int *out, jt_error *err) {
    int64_t v = 0;
    for (int i = 0; i < keys; i++)
        if (jt_config_find(j, key[i])) {
            jt_status s = jt_config_int(j, key[i], 0, INT32_MAX, &v, err);
            if (s) return s;
            break;
        }
    *out = (int)v;
    return JT_OK;
}

jt_status jt_sparse_read_hf(const jt_json *j, jt_config *c, jt_error *err) {
    static const char *const experts[] = {"num_local_experts", "num_experts", "n_routed_experts"}, *const used[] = {"num_experts_per_tok"};
    static const char *const width[] = {"moe_intermediate_size", "intermediate_size"};
    jt_status s;
    double eps;
    const char *act;
    if ((s = jt_config_hf_int(j, "vocab_size", 0, &c->vocab, err)) || (s = jt_config_hf_int(j, "hidden_size", 0, &c->hidden, err)) ||
        (s = jt_config_hf_int(j, "num_hidden_layers", 0, &c->layers, err)) ||
        (s = jt_config_hf_int(j, "num_attention_heads", 0, &c->heads, err)) ||
        (s = jt_config_hf_int(j, "num_key_value_heads", c->heads, &c->kv_heads, err)) ||
        (s = jt_config_hf_int(j, "head_dim", c->hidden / c->heads > 0 ? c->hidden / c->heads : 1, &c->head_dim, err)) ||
        (s = jt_config_hf_int(j, "intermediate_size", 0, &c->ffn, err)) ||
        (s = jt_config_hf_int(j, "max_position_embeddings", 0, &c->context, err)) ||
        (s = jt_config_double_or(j, "rms_norm_eps", 1e-6, &eps, err)) || (s = jt_config_string_or(j, "hidden_act", "silu", &act, err)) ||
        (s = jt_config_hf_tie(j, c, err)) || (s = jt_config_hf_rope(j, c, err)) ||
        (s = jt_sparse_hf_first(j, experts, 3, &c->router.experts, err)) || (s = jt_sparse_hf_first(j, used, 1, &c->router.used, err)) ||
        (s = jt_sparse_hf_first(j, width, 2, &c->expert_ffn, err)))
        return s;
    if (strcmp(act, "silu")) return jt_error_set(err, JT_UNSUPPORTED, "hidden_act \"%.32s\" is not supported by this build", act);
    c->norm_eps = (float)eps;
    return JT_OK;
}

/* ---- GGUF ---- */

jt_status jt_sparse_gguf_maybe(const jt_gguf *g, const jt_config *c, const char *key, int *out, jt_error *err) {
    *out = 0;
    return jt_config_gguf_has(g, c, key) ? jt_config_gguf_number(g, c, key, 0, out, err) : JT_OK;
}

void jt_sparse_gguf_dense(const jt_gguf *g, jt_config *c) {
    char name[64];
    for (int l = 0; c->router.experts && l < c->layers && l < JT_CONFIG_LAYERS; l++) {
        snprintf(name, sizeof name, "blk.%d.ffn_gate_inp.weight", l);
        if (!jt_gguf_tensor_named(g, name)) jt_sparse_set_dense(c, l);
    }
}

/* How experts are chosen follows from the family, but for DeepSeek's. */
static jt_status sparse_gguf_choice(const jt_gguf *g, const jt_config *c, jt_error *err) {
    int gate, groups;
    jt_status s = jt_sparse_gguf_maybe(g, c, "expert_gating_func", &gate, err);
    if (!s) s = jt_sparse_gguf_maybe(g, c, "expert_group_count", &groups, err);
    if (s || c->family == &jt_family_deepseek_v2) return s;
    if (gate > 1 && gate != 3) /* 3: softmax over the chosen */
        return jt_error_set(err, JT_UNSUPPORTED, "%s.expert_gating_func is %d, which this build does not know in this family",
                            c->family->name, gate);
    if (groups > 1)
        return jt_error_set(err, JT_UNSUPPORTED, "%s.expert_group_count is %d, which this build does not know in this family",
                            c->family->name, groups);
    return JT_OK;
}

jt_status jt_sparse_read_gguf(const jt_gguf *g, bool scales, jt_config *c, jt_error *err) {
    jt_status s;
    double eps = 0;
    double scale = 0;
    int value;
    if ((s = jt_config_gguf_vocab(g, &c->family->role[JT_W_EMBED], c, err)) ||
        (s = jt_config_gguf_number(g, c, "embedding_length", 0, &c->hidden, err)) ||
        (s = jt_config_gguf_number(g, c, "block_count", 0, &c->layers, err)) ||
        (s = jt_config_gguf_number(g, c, "attention.head_count", 0, &c->heads, err)) ||
        (s = jt_config_gguf_number(g, c, "context_length", 0, &c->context, err)) ||
        (s = jt_config_gguf_number(g, c, "expert_count", 0, &c->router.experts, err)) ||
        (s = jt_config_gguf_number(g, c, "expert_used_count", 0, &c->router.used, err)) ||
        (s = jt_sparse_gguf_maybe(g, c, "feed_forward_length", &c->ffn, err)) ||
        (s = jt_config_gguf_number(g, c, "expert_feed_forward_length", (uint64_t)c->ffn, &c->expert_ffn, err)))
        return s;
    if (c->heads < 1) return jt_error_set(err, JT_FORMAT, "%s.attention.head_count is %d", c->family->name, c->heads);
    if (!c->ffn) c->ffn = c->expert_ffn;
    if ((s = jt_config_gguf_number(g, c, "attention.head_count_kv", (uint64_t)c->heads, &c->kv_heads, err)) ||
        (s = jt_config_gguf_number(g, c, "attention.key_length", (uint64_t)(c->hidden / c->heads), &c->head_dim, err)) ||
        (s = jt_config_gguf_number(g, c, "attention.value_length", (uint64_t)c->head_dim, &value, err)) ||
        (s = jt_config_gguf_number(g, c, "rope.dimension_count", (uint64_t)c->head_dim, &c->rope_dims, err)) ||
        (s = jt_config_gguf_real(g, c, "attention.layer_norm_rms_epsilon", 1e-6, &eps, err)) || (s = jt_config_gguf_rope(g, c, err)))
        return s;
    if ((s = jt_config_gguf_refuse(g, c, scales, err)) || (s = jt_config_gguf_window(g, 0, c, err)) ||
        (s = jt_config_gguf_real(g, c, "expert_weights_scale", 0, &scale, err)) || (s = sparse_gguf_choice(g, c, err)))
        return s;
    c->norm_eps = (float)eps, c->router.scale = (float)scale;
    c->value_dim = value == c->head_dim ? 0 : value;
    c->rope_interleaved = c->family->gguf_interleaves;
    jt_sparse_gguf_dense(g, c);
    return JT_OK;
}
