/* config_gguf.c: what the metadata of GGUF files says of decoders, in the keys that llama.cpp's converter writes; every key
 * begins with the name of the architecture. */
#include <math.h>
#include <string.h>

#include "model/config.h"
#include "model/network.h"

enum { CONFIG_GGUF_WINDOW = 1 << 30 /* no depth is above it */, CONFIG_GGUF_KEY = 128 };

/* The architecture's key. */
static const char *config_gguf_key(const jt_config *c, const char *tail, char key[CONFIG_GGUF_KEY]) {
    snprintf(key, CONFIG_GGUF_KEY, "%s.%s", c->family->name, tail);
    return key;
}

jt_status jt_config_gguf_number(const jt_gguf *g, const jt_config *c, const char *tail, uint64_t otherwise, int *out, jt_error *err) {
    char key[CONFIG_GGUF_KEY];
    return jt_config_gguf_int(g, config_gguf_key(c, tail, key), otherwise, out, err);
}

jt_status jt_config_gguf_real(const jt_gguf *g, const jt_config *c, const char *tail, double otherwise, double *out, jt_error *err) {
    char key[CONFIG_GGUF_KEY];
    return jt_gguf_get_double_or(g, config_gguf_key(c, tail, key), otherwise, out, err);
}

bool jt_config_gguf_has(const jt_gguf *g, const jt_config *c, const char *tail) {
    char key[CONFIG_GGUF_KEY];
    return jt_gguf_find(g, config_gguf_key(c, tail, key)) != NULL;
}

static jt_status config_gguf_refuse_one(const jt_gguf *g, const jt_config *c, const char *tail, double unless, jt_error *err) {
    char key[CONFIG_GGUF_KEY];
    double v = unless;
    if (!jt_gguf_find(g, config_gguf_key(c, tail, key))) return JT_OK;
    if (!jt_gguf_get_double_or(g, key, unless, &v, NULL) && v == unless) return JT_OK;
    return jt_error_set(err, JT_UNSUPPORTED, "%s is set, which the %s family does not have in this build", key, c->family->name);
}

jt_status jt_config_gguf_refuse(const jt_gguf *g, const jt_config *c, bool scales, jt_error *err) {
    static const struct {
        const char *tail;
        double unless;
        bool scale;
    } row[] = {{"attention.clamp_kqv", 0},    {"attention.max_alibi_bias", 0},     {"attention.temperature_scale", 0},
               {"rope.scaling.alpha", 0},     {"rope.scaling.yarn_ext_factor", 1}, {"rope.dimension_sections", -1},
               {"attention.output_scale", 1}, {"attention.value_scale", 1},        {"logit_scale", 1, true},
               {"residual_scale", 1, true},   {"embedding_scale", 1, true}};
    jt_status s = JT_OK;
    for (size_t i = 0; i < sizeof row / sizeof *row && !s; i++)
        if ((!row[i].scale || !scales) && (i || !(c->family == &jt_family_olmoe)))
            s = config_gguf_refuse_one(g, c, row[i].tail, row[i].unless, err);
    char key[CONFIG_GGUF_KEY];
    bool causal;
    if (!s) s = jt_gguf_get_bool_or(g, config_gguf_key(c, "attention.causal", key), true, &causal, err);
    if (!s && !causal && !c->encoder)
        s = jt_error_set(err, JT_UNSUPPORTED, "%s is false; the %s family reads from left to right", key, c->family->name);
    return s;
}

jt_status jt_config_gguf_window(const jt_gguf *g, int period, jt_config *c, jt_error *err) {
    char key[CONFIG_GGUF_KEY];
    uint64_t window = 0, p = period > 0 ? (uint64_t)period : 0;
    jt_status s = jt_gguf_get_u64_or(g, config_gguf_key(c, "attention.sliding_window", key), (uint64_t)c->window, &window, err);
    if (s) return s;
    c->window = window < CONFIG_GGUF_WINDOW ? (int)window : CONFIG_GGUF_WINDOW;
    const jt_gguf_value *v = jt_gguf_find(g, config_gguf_key(c, "attention.sliding_window_pattern", key));
    bool list = v && v->type == JT_GGUF_ARRAY;
    if (v && !list && (s = jt_gguf_get_u64(g, key, &p, err))) return s;
    for (int l = 0; l < c->layers && l < JT_CONFIG_LAYERS; l++) {
        bool slides = !p || (uint64_t)l % p < p - 1;
        if (list && !jt_gguf_item_bool(v, (uint64_t)l, &slides)) return jt_error_set(err, JT_FORMAT, "%s has no flag for layer %d", key, l);
        if (!slides) c->whole[l / 64] |= (uint64_t)1 << l % 64;
    }
    return JT_OK;
}

/* The factor that cosines and sines are multiplied by. */
static jt_status config_gguf_attention(const jt_gguf *g, const jt_config *c, jt_rope *r, jt_error *err) {
    double by, log_by, own;
    jt_status s = jt_config_gguf_real(g, c, "rope.scaling.attn_factor", 1, &by, err);
    if (!s) s = jt_config_gguf_real(g, c, "rope.scaling.yarn_log_multiplier", 0, &log_by, err);
    if (!s) s = jt_config_gguf_real(g, c, "rope.scaling.yarn_attn_factor", 0, &own, err);
    if (s) return s;
    bool given = jt_config_gguf_has(g, c, "rope.scaling.attn_factor");
    if (r->kind != JT_ROPE_YARN) {
        r->attention = given ? by : 0;
        return JT_OK;
    }
    r->attention = jt_rope_mscale(r->factor, 1) * by;
    if (log_by != 0) r->attention /= jt_rope_mscale(r->factor, log_by);
    if (own > 0) r->attention = own;
    return JT_OK;
}

jt_status jt_config_gguf_rope(const jt_gguf *g, jt_config *c, jt_error *err) {
    static const struct {
        const char *name;
        jt_rope_kind kind;
    } kind[] = {{"none", JT_ROPE_PLAIN},    {"linear", JT_ROPE_LINEAR}, {"yarn", JT_ROPE_YARN},
                {"longrope", JT_ROPE_LONG}, {"ntk", JT_ROPE_NTK},       {"dynamic", JT_ROPE_DYNAMIC}};
    char key[CONFIG_GGUF_KEY];
    jt_rope *r = &c->rope[0];
    const char *text = "linear"; /* where a file gives a factor alone */
    size_t n = 6;
    bool known = false;
    jt_status s;
    if ((s = jt_config_gguf_real(g, c, "rope.freq_base", 10000, &r->base, err)) ||
        (s = jt_config_gguf_real(g, c, "rope.scale_linear", 0, &r->factor, err)) ||
        (s = jt_config_gguf_real(g, c, "rope.scaling.factor", r->factor, &r->factor, err)) ||
        (s = jt_config_gguf_real(g, c, "rope.scaling.original_context_length", c->context, &r->original, err)) ||
        (s = jt_config_gguf_real(g, c, "rope.scaling.yarn_beta_fast", 32, &r->high, err)) ||
        (s = jt_config_gguf_real(g, c, "rope.scaling.yarn_beta_slow", 1, &r->low, err)))
        return s;
    config_gguf_key(c, "rope.scaling.type", key);
    if (jt_gguf_find(g, key) && (s = jt_gguf_get_text(g, key, &text, &n, err))) return s;
    if (!jt_gguf_find(g, key) && !(r->factor > 0)) text = "none", n = 4;
    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++)
        if (strlen(kind[i].name) == n && !memcmp(kind[i].name, text, n)) r->kind = kind[i].kind, known = true;
    if (!known) return jt_error_set(err, JT_UNSUPPORTED, "%s \"%.*s\" is not supported by this build", key, (int)(n < 32 ? n : 32), text);
    if (r->kind == JT_ROPE_LONG && !(r->factor > 0)) r->factor = c->context / r->original;
    if (r->kind == JT_ROPE_LONG) c->needs |= (uint64_t)1 << JT_W_ROPE_LONG | (uint64_t)1 << JT_W_ROPE_SHORT;
    return config_gguf_attention(g, c, r, err);
}

/* Heads of keys, which may be told layer by layer where all have as many. */
static jt_status config_gguf_kv_heads(const jt_gguf *g, jt_config *c, jt_error *err) {
    char key[CONFIG_GGUF_KEY];
    uint64_t first = 0, n;
    const jt_gguf_value *v = jt_gguf_find(g, config_gguf_key(c, "attention.head_count_kv", key));
    if (!v || v->type != JT_GGUF_ARRAY)
        return jt_config_gguf_number(g, c, "attention.head_count_kv", (uint64_t)c->heads, &c->kv_heads, err);
    for (int i = 0; i < c->layers; i++) {
        if (!jt_gguf_item_u64(v, (uint64_t)i, &n) || n > INT32_MAX)
            return jt_error_set(err, JT_FORMAT, "%s: item %d is no number of heads", key, i);
        if (!i) first = n;
        if (n != first)
            return jt_error_set(err, JT_UNSUPPORTED, "%s: layers have %llu and %llu heads; this build needs them equal in the %s family",
                                key, (unsigned long long)first, (unsigned long long)n, c->family->name);
        c->kv_heads = (int)n;
    }
    return JT_OK;
}

static jt_status config_gguf_sizes(const jt_gguf *g, jt_config *c, jt_error *err) {
    char key[CONFIG_GGUF_KEY];
    int value_dim;
    jt_status s;
    if ((s = jt_config_gguf_vocab(g, &c->family->role[JT_W_EMBED], c, err)) ||
        (s = jt_config_gguf_number(g, c, "embedding_length", 0, &c->hidden, err)) ||
        (s = jt_config_gguf_number(g, c, "block_count", 0, &c->layers, err)) ||
        (s = jt_config_gguf_number(g, c, "attention.head_count", 0, &c->heads, err)) ||
        (s = jt_config_gguf_number(g, c, "feed_forward_length", 0, &c->ffn, err)) ||
        (s = jt_config_gguf_number(g, c, "context_length", 0, &c->context, err)))
        return s;
    config_gguf_key(c, "attention.head_count", key);
    if (c->heads < 1) return jt_error_set(err, JT_FORMAT, "%s is 0", key);
    if ((s = config_gguf_kv_heads(g, c, err)) ||
        (s = jt_config_gguf_number(g, c, "attention.key_length", (uint64_t)(c->hidden / c->heads), &c->head_dim, err)) ||
        (s = jt_config_gguf_number(g, c, "attention.value_length", (uint64_t)c->head_dim, &value_dim, err)))
        return s;
    config_gguf_key(c, "attention.value_length", key);
    if (value_dim != c->head_dim)
        return jt_error_set(err, JT_UNSUPPORTED, "%s %d differs from key_length %d; this build needs them equal", key, value_dim,
                            c->head_dim);
    return JT_OK;
}

/* Multipliers and caps; 0: not there. */
static jt_status config_gguf_scales(const jt_gguf *g, jt_config *c, bool scales, jt_error *err) {
    const struct {
        const char *tail;
        float *to;
        bool scale;
    } row[] = {{"attention.scale", &c->attn_scale},          {"attn_logit_softcapping", &c->attn_cap},
               {"final_logit_softcapping", &c->logit_cap},   {"embedding_scale", &c->embed_scale, true},
               {"residual_scale", &c->residual_scale, true}, {"logit_scale", &c->logit_scale, true}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        double v;
        jt_status s = row[i].scale && !scales ? JT_OK : jt_config_gguf_real(g, c, row[i].tail, (double)*row[i].to, &v, err);
        if (s) return s;
        if (!row[i].scale || scales) *row[i].to = (float)v;
    }
    return JT_OK;
}

jt_status jt_config_gguf_dense(const jt_gguf *g, int period, bool scales, jt_config *c, jt_error *err) {
    char key[CONFIG_GGUF_KEY];
    jt_status s;
    double eps;
    uint64_t experts;
    bool layer_norm = !c->family->final_norm || c->family->final_norm->biased;
    if ((s = config_gguf_sizes(g, c, err))) return s;
    config_gguf_key(c, layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", key);
    if ((s = jt_gguf_get_double(g, key, &eps, err)) ||
        (s = jt_gguf_get_u64_or(g, config_gguf_key(c, "expert_count", key), 0, &experts, err)))
        return s;
    if (experts)
        return jt_error_set(err, JT_UNSUPPORTED, "%s is %llu; mixtures of experts are not supported by this build in the %s family", key,
                            (unsigned long long)experts, c->family->name);
    c->norm_eps = (float)eps;
    if ((s = jt_config_gguf_refuse(g, c, scales, err)) || (s = config_gguf_scales(g, c, scales, err)) ||
        (s = jt_config_gguf_window(g, period, c, err)))
        return s;
    if (c->positions) return JT_OK;
    if ((s = jt_config_gguf_number(g, c, "rope.dimension_count", (uint64_t)c->head_dim, &c->rope_dims, err)) ||
        (s = jt_config_gguf_rope(g, c, err)))
        return s;
    config_gguf_key(c, "rope.dimension_count", key);
    if (c->rope_dims < 1) return jt_error_set(err, JT_FORMAT, "%s is %d", key, c->rope_dims);
    c->rope_interleaved = c->family->gguf_interleaves;
    return JT_OK;
}
