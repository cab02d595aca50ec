/* sparse.c: reading the settings that families with mixtures of experts have in common. */
#include "model/families/sparse.h"

#include <string.h>

#include "tensor/scalar_math.h"

double jt_sparse_yarn(double factor, double mscale) { return factor > 1 ? 0.1 * mscale * jt_log(factor) + 1 : 1; }

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

/* The object of the rotary scaling: transformers 5 writes rope_parameters, earlier versions rope_scaling. */
static const jt_json *sparse_hf_scaling(const jt_json *j, const char **type) {
    static const char *const object[] = {"rope_parameters", "rope_scaling"}, *const key[] = {"rope_type", "type"};
    for (int i = 0; i < 4; i++) {
        const jt_json *o = jt_config_find(j, object[i / 2]), *t = o ? jt_config_find(o, key[i % 2]) : NULL;
        if (t && (*type = jt_json_string(t, NULL))) return o;
    }
    return NULL;
}

static jt_status sparse_hf_yarn(const jt_json *j, const jt_json *o, jt_config *c, jt_error *err) {
    jt_rope *r = &c->rope[0];
    jt_status s;
    double mscale, all;
    bool truncate;
    if ((s = jt_config_double_or(j, "rope_theta", 10000, &r->base, err)) ||
        (s = jt_config_double_or(o, "rope_theta", r->base, &r->base, err)) || (s = jt_config_double(o, "factor", &r->factor, err)) ||
        (s = jt_config_double_or(o, "original_max_position_embeddings", c->context, &r->original, err)) ||
        (s = jt_config_double_or(o, "beta_fast", 32, &r->high, err)) || (s = jt_config_double_or(o, "beta_slow", 1, &r->low, err)) ||
        (s = jt_config_double_or(o, "attention_factor", 0, &r->attention, err)) ||
        (s = jt_config_bool_or(o, "truncate", true, &truncate, err)) || (s = jt_config_double_or(o, "mscale", 0, &mscale, err)) ||
        (s = jt_config_double_or(o, "mscale_all_dim", 0, &all, err)))
        return s;
    r->kind = JT_ROPE_YARN;
    r->fractions = !truncate;
    if (!r->attention && mscale && all) r->attention = jt_sparse_yarn(r->factor, mscale) / jt_sparse_yarn(r->factor, all);
    return JT_OK;
}

static jt_status sparse_hf_rope(const jt_json *j, jt_config *c, jt_error *err) {
    const char *type = "default";
    const jt_json *o = sparse_hf_scaling(j, &type);
    return o && !strcmp(type, "yarn") ? sparse_hf_yarn(j, o, c, err) : jt_config_hf_rope(j, c, err);
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
        (s = jt_config_bool_or(j, "tie_word_embeddings", false, &c->tied, err)) || (s = sparse_hf_rope(j, c, err)) ||
        (s = jt_sparse_hf_first(j, experts, 3, &c->router.experts, err)) || (s = jt_sparse_hf_first(j, used, 1, &c->router.used, err)) ||
        (s = jt_sparse_hf_first(j, width, 2, &c->expert_ffn, err)))
        return s;
    if (strcmp(act, "silu")) return jt_error_set(err, JT_UNSUPPORTED, "hidden_act \"%.32s\" is not supported by this build", act);
    c->norm_eps = (float)eps;
    c->rope_dims = c->head_dim;
    return JT_OK;
}

/* ---- GGUF ---- */

enum { SPARSE_KEY = 128 };

static void sparse_key(const jt_config *c, const char *key, char out[SPARSE_KEY]) {
    snprintf(out, SPARSE_KEY, "%s.%s", c->family->name, key);
}

jt_status jt_sparse_gguf_int(const jt_gguf *g, const jt_config *c, const char *key, uint64_t otherwise, int *out, jt_error *err) {
    char full[SPARSE_KEY];
    uint64_t v;
    sparse_key(c, key, full);
    jt_status s = jt_gguf_get_u64_or(g, full, otherwise, &v, err);
    if (s) return s;
    if (v > INT32_MAX) return jt_error_set(err, JT_FORMAT, "%s is %llu, too large", full, (unsigned long long)v);
    *out = (int)v;
    return JT_OK;
}

jt_status jt_sparse_gguf_double(const jt_gguf *g, const jt_config *c, const char *key, double otherwise, double *out, jt_error *err) {
    char full[SPARSE_KEY];
    sparse_key(c, key, full);
    return jt_gguf_get_double_or(g, full, otherwise, out, err);
}

void jt_sparse_gguf_dense(const jt_gguf *g, jt_config *c) {
    char name[64];
    for (int l = 0; c->router.experts && l < c->layers && l < JT_CONFIG_LAYERS; l++) {
        snprintf(name, sizeof name, "blk.%d.ffn_gate_inp.weight", l);
        if (!jt_gguf_tensor_named(g, name)) jt_sparse_set_dense(c, l);
    }
}

static jt_status sparse_gguf_rope(const jt_gguf *g, jt_config *c, jt_error *err) {
    jt_rope *r = &c->rope[0];
    char key[SPARSE_KEY];
    const char *text = "none";
    size_t n = 4;
    jt_status s = jt_sparse_gguf_double(g, c, "rope.freq_base", 10000, &r->base, err);
    if (s) return s;
    sparse_key(c, "rope.scaling.type", key);
    if (jt_gguf_find(g, key) && (s = jt_gguf_get_text(g, key, &text, &n, err))) return s;
    if (n != 4 || (memcmp(text, "none", 4) && memcmp(text, "yarn", 4)))
        return jt_error_set(err, JT_UNSUPPORTED, "%s \"%.*s\" is not supported by this build", key, (int)(n < 32 ? n : 32), text);
    if (!memcmp(text, "none", 4)) return JT_OK;
    r->kind = JT_ROPE_YARN;
    r->fractions = !strcmp(c->family->name, "gpt-oss"); /* as it was trained; its files do not say so */
    if ((s = jt_sparse_gguf_double(g, c, "rope.scaling.factor", 1, &r->factor, err)) ||
        (s = jt_sparse_gguf_double(g, c, "rope.scaling.original_context_length", c->context, &r->original, err)) ||
        (s = jt_sparse_gguf_double(g, c, "rope.scaling.yarn_beta_fast", 32, &r->high, err)))
        return s;
    return jt_sparse_gguf_double(g, c, "rope.scaling.yarn_beta_slow", 1, &r->low, err);
}

jt_status jt_sparse_read_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    jt_status s;
    double eps = 0;
    int value;
    if ((s = jt_config_gguf_vocab(g, &c->family->role[JT_W_EMBED], c, err)) ||
        (s = jt_sparse_gguf_int(g, c, "embedding_length", 0, &c->hidden, err)) ||
        (s = jt_sparse_gguf_int(g, c, "block_count", 0, &c->layers, err)) ||
        (s = jt_sparse_gguf_int(g, c, "attention.head_count", 0, &c->heads, err)) ||
        (s = jt_sparse_gguf_int(g, c, "context_length", 0, &c->context, err)) ||
        (s = jt_sparse_gguf_int(g, c, "expert_count", 0, &c->router.experts, err)) ||
        (s = jt_sparse_gguf_int(g, c, "expert_used_count", 0, &c->router.used, err)) ||
        (s = jt_sparse_gguf_int(g, c, "feed_forward_length", 0, &c->ffn, err)) ||
        (s = jt_sparse_gguf_int(g, c, "expert_feed_forward_length", (uint64_t)c->ffn, &c->expert_ffn, err)))
        return s;
    if (c->heads < 1) return jt_error_set(err, JT_FORMAT, "%s.attention.head_count is %d", c->family->name, c->heads);
    if (!c->ffn) c->ffn = c->expert_ffn;
    if ((s = jt_sparse_gguf_int(g, c, "attention.head_count_kv", (uint64_t)c->heads, &c->kv_heads, err)) ||
        (s = jt_sparse_gguf_int(g, c, "attention.key_length", (uint64_t)(c->hidden / c->heads), &c->head_dim, err)) ||
        (s = jt_sparse_gguf_int(g, c, "attention.value_length", (uint64_t)c->head_dim, &value, err)) ||
        (s = jt_sparse_gguf_int(g, c, "rope.dimension_count", (uint64_t)c->head_dim, &c->rope_dims, err)) ||
        (s = jt_sparse_gguf_double(g, c, "attention.layer_norm_rms_epsilon", 1e-6, &eps, err)) || (s = sparse_gguf_rope(g, c, err)))
        return s;
    c->norm_eps = (float)eps;
    c->value_dim = value == c->head_dim ? 0 : value;
    c->rope_interleaved = c->family->gguf_interleaves;
    jt_sparse_gguf_dense(g, c);
    return JT_OK;
}
