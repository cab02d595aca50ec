/* config_hf.c: what Hugging Face's config.json says of decoders. Keys that a file leaves out have the defaults of
 * transformers' class for the family. */
#include <string.h>

#include "model/config.h"
#include "model/network.h"

enum { CONFIG_HF_WINDOW = 1 << 30 /* no depth is above it */ };

static jt_status config_hf_stretch(const jt_json *p, const char *key, const jt_config *c, float *out, jt_error *err) {
    double x[JT_ROPE_PAIRS];
    size_t n;
    jt_status s = jt_config_doubles(p, key, x, JT_ROPE_PAIRS, &n, err);
    if (s) return s;
    if (n != (size_t)c->rope_dims / 2)
        return jt_error_set(err, JT_FORMAT, "%s has %zu numbers for %d pairs of dimensions", key, n, c->rope_dims / 2);
    for (size_t i = 0; i < n; i++) {
        out[i] = (float)x[i];
        if (!(out[i] > 0)) return jt_error_set(err, JT_FORMAT, "%s: number %zu is %g; it must be above 0", key, i, x[i]);
    }
    return JT_OK;
}

/* The settings of a kind of rope; p is the object that has them. */
static jt_status config_hf_rope_kind(const jt_json *p, jt_config *c, jt_rope *r, jt_error *err) {
    jt_status s = JT_OK;
    double mscale, mscale_all;
    bool whole;
    bool needs_factor = r->kind == JT_ROPE_LINEAR || r->kind == JT_ROPE_NTK || r->kind == JT_ROPE_DYNAMIC || r->kind == JT_ROPE_LLAMA3;
    if (needs_factor) return jt_config_double(p, "factor", &r->factor, err);
    if (r->kind == JT_ROPE_PLAIN) return JT_OK;
    if ((s = jt_config_double_or(p, "factor", c->context / r->original, &r->factor, err)) ||
        (s = jt_config_double_or(p, "attention_factor", 0, &r->attention, err)))
        return s;
    if (r->kind == JT_ROPE_LONG) {
        if ((s = config_hf_stretch(p, "long_factor", c, c->rope_long, err))) return s;
        return config_hf_stretch(p, "short_factor", c, c->rope_short, err);
    }
    if ((s = jt_config_double_or(p, "beta_fast", 32, &r->high, err)) || (s = jt_config_double_or(p, "beta_slow", 1, &r->low, err)) ||
        (s = jt_config_bool_or(p, "truncate", true, &whole, err)) || (s = jt_config_double_or(p, "mscale", 0, &mscale, err)) ||
        (s = jt_config_double_or(p, "mscale_all_dim", 0, &mscale_all, err)))
        return s;
    r->fractions = !whole;
    if (!(r->attention > 0) && mscale != 0 && mscale_all != 0)
        r->attention = jt_rope_mscale(r->factor, mscale) / jt_rope_mscale(r->factor, mscale_all);
    return JT_OK;
}

/* Reads one rope from the object that has its settings; NULL: it is plain. c->rope_dims must be known. */
static jt_status config_hf_rope_read(const jt_json *j, const jt_json *p, jt_config *c, jt_rope *r, jt_error *err) {
    static const struct {
        const char *name;
        jt_rope_kind kind;
    } kind[] = {{"default", JT_ROPE_PLAIN}, {"linear", JT_ROPE_LINEAR}, {"ntk", JT_ROPE_NTK},       {"dynamic", JT_ROPE_DYNAMIC},
                {"yarn", JT_ROPE_YARN},     {"llama3", JT_ROPE_LLAMA3}, {"longrope", JT_ROPE_LONG}, {"su", JT_ROPE_LONG}};
    const char *type;
    bool known = false;
    jt_status s;
    r->kind = JT_ROPE_PLAIN;
    if (!p) return JT_OK;
    if ((s = jt_config_string_or(p, "type", "default", &type, err)) || (s = jt_config_string_or(p, "rope_type", type, &type, err)))
        return s;
    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++)
        if (!strcmp(kind[i].name, type)) r->kind = kind[i].kind, known = true;
    if (!known || jt_config_find(p, "mrope_section"))
        return jt_error_set(err, JT_UNSUPPORTED, "rope_type \"%.32s\" is not supported by this build", known ? "mrope" : type);
    if (r->kind == JT_ROPE_YARN && jt_config_find(p, "long_factor")) r->kind = JT_ROPE_LONG;
    if ((s = jt_config_double_or(p, "rope_theta", r->base, &r->base, err)) ||
        (s = jt_config_double_or(j, "original_max_position_embeddings", c->context, &r->original, err)) ||
        (s = jt_config_double_or(p, "original_max_position_embeddings", r->original, &r->original, err)))
        return s;
    if (r->kind == JT_ROPE_DYNAMIC) r->original = c->context;
    if (r->kind == JT_ROPE_LLAMA3 &&
        ((s = jt_config_double(p, "low_freq_factor", &r->low, err)) || (s = jt_config_double(p, "high_freq_factor", &r->high, err))))
        return s;
    return config_hf_rope_kind(p, c, r, err);
}

/* transformers 5 writes rope_parameters, where ropes differ by kind of layer one for each; earlier versions rope_theta and
 * rope_scaling, and rope_local_base_freq for layers with a window. */
jt_status jt_config_hf_ropes(const jt_json *j, double base, double local, double part, jt_config *c, jt_error *err) {
    const jt_json *p = jt_config_find(j, "rope_parameters"), *whole, *near = NULL;
    jt_status s;
    if ((s = jt_config_double_or(j, "rope_theta", base, &c->rope[0].base, err)) ||
        (s = jt_config_double_or(j, "rope_local_base_freq", local, &c->rope[1].base, err)) ||
        (s = jt_config_double_or(j, "partial_rotary_factor", part, &part, err)))
        return s;
    if (!p) p = jt_config_find(j, "rope_scaling");
    if (p && jt_json_kind_of(p) != JT_JSON_OBJECT)
        return jt_error_set(err, JT_FORMAT, "the settings of the rotary positions are no object");
    whole = p ? jt_config_find(p, "full_attention") : NULL;
    near = p ? jt_config_find(p, "sliding_attention") : NULL;
    if (!whole && !near)
        whole = p;
    else if (!(local > 0))
        return jt_error_set(err, JT_UNSUPPORTED, "rope_parameters differ by kind of layer, which the %s family does not have in this build",
                            c->family->name);
    if (whole && (s = jt_config_double_or(whole, "partial_rotary_factor", part, &part, err))) return s;
    if (!(part > 0 && part <= 1)) return jt_error_set(err, JT_FORMAT, "partial_rotary_factor is %g; it must be in (0, 1]", part);
    c->rope_dims = (int)((double)c->head_dim * part);
    c->rope_two = local > 0;
    if ((s = config_hf_rope_read(j, whole, c, &c->rope[0], err)) || !c->rope_two) return s;
    double part_near = part;
    if (near && (s = jt_config_double_or(near, "partial_rotary_factor", part, &part_near, err))) return s;
    if (part_near != part)
        return jt_error_set(err, JT_UNSUPPORTED, "partial_rotary_factor differs by kind of layer, which this build does not have");
    if ((s = config_hf_rope_read(j, near, c, &c->rope[1], err))) return s;
    if (c->rope[1].kind == JT_ROPE_LONG)
        return jt_error_set(err, JT_UNSUPPORTED, "rope_type \"longrope\" of layers with a window is not supported by this build");
    return JT_OK;
}

jt_status jt_config_hf_rope(const jt_json *j, jt_config *c, jt_error *err) { return jt_config_hf_ropes(j, 10000, 0, 1, c, err); }

jt_status jt_config_hf_activation(const char *name, jt_config *c, jt_error *err) {
    static const struct {
        const char *name;
        jt_activation fn;
    } row[] = {{"silu", JT_FN_SILU},          {"swish", JT_FN_SILU},          {"gelu_pytorch_tanh", JT_FN_GELU_TANH},
               {"gelu_new", JT_FN_GELU_TANH}, {"gelu_fast", JT_FN_GELU_TANH}, {"gelu", JT_FN_GELU}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (!strcmp(row[i].name, name)) {
            c->activation = row[i].fn;
            return JT_OK;
        }
    return jt_error_set(err, JT_UNSUPPORTED, "hidden_act \"%.32s\" is not supported by this build", name);
}

jt_status jt_config_hf_window(const jt_json *j, int64_t otherwise, int period, jt_config *c, jt_error *err) {
    const jt_json *types = jt_config_find(j, "layer_types");
    int64_t window = 0;
    bool none = !jt_config_find(j, "sliding_window") && jt_json_member(j, "sliding_window");
    jt_status s = none ? JT_OK : jt_config_int_or(j, "sliding_window", 1, INT32_MAX, otherwise, &window, err);
    if (s) return s;
    c->window = window < CONFIG_HF_WINDOW ? (int)window : CONFIG_HF_WINDOW;
    if (types && (jt_json_kind_of(types) != JT_JSON_ARRAY || jt_json_count(types) < (size_t)c->layers))
        return jt_error_set(err, JT_FORMAT, "layer_types must be an array of %d kinds of layers", c->layers);
    for (int l = 0; l < c->layers && l < JT_CONFIG_LAYERS; l++) {
        bool slides = !period || l % period < period - 1;
        const char *type = types ? jt_json_string(jt_json_item(types, (size_t)l), NULL) : NULL;
        if (types && (!type || (strcmp(type, "full_attention") && strcmp(type, "sliding_attention"))))
            return jt_error_set(err, JT_UNSUPPORTED, "layer_types: layer %d must be \"full_attention\" or \"sliding_attention\"", l);
        if (type) slides = type[0] == 's';
        if (slides && types && !c->window)
            return jt_error_set(err, JT_FORMAT, "layer_types: layer %d has a window, but sliding_window is not set", l);
        if (!slides) c->whole[l / 64] |= (uint64_t)1 << l % 64;
    }
    return JT_OK;
}

jt_status jt_config_hf_tie(const jt_json *j, jt_config *c, jt_error *err) {
    if (!jt_config_find(j, "tie_word_embeddings")) return JT_OK;
    jt_status s = jt_config_bool(j, "tie_word_embeddings", &c->tied, err);
    if (!s && !c->tied) c->needs |= (uint64_t)1 << JT_W_HEAD;
    return s;
}

jt_status jt_config_hf_multipliers(const jt_json *j, jt_config *c, jt_error *err) {
    const struct {
        const char *key;
        float *to;
    } row[] = {{"attention_multiplier", &c->attn_scale},
               {"embedding_multiplier", &c->embed_scale},
               {"residual_multiplier", &c->residual_scale},
               {"logits_scaling", &c->logit_scale}};
    for (int i = 0; i < 4; i++) {
        double v;
        jt_status s = jt_config_double_or(j, row[i].key, 1, &v, err);
        if (s) return s;
        if (v == 0) return jt_error_set(err, JT_UNSUPPORTED, "%s is 0, which is not supported by this build", row[i].key);
        *row[i].to = (float)v;
    }
    return JT_OK;
}

jt_status jt_config_hf_biases(const jt_json *j, const char *key, bool otherwise, const jt_role *roles, jt_config *c, jt_error *err) {
    bool on;
    jt_status s = jt_config_bool_or(j, key, otherwise, &on, err);
    for (; !s && *roles != JT_W_ROLES; roles++) {
        if (on) c->needs |= (uint64_t)1 << *roles;
        if (on && !c->family->role[*roles].hf)
            return jt_error_set(err, JT_UNSUPPORTED, "%s is true, which the %s family does not have in this build", key, c->family->hf);
    }
    return s;
}

jt_status jt_config_hf_dense(const jt_json *j, const jt_hf_defaults *d, jt_config *c, jt_error *err) {
    jt_status s;
    double eps;
    const char *act;
    if ((s = jt_config_hf_int(j, "vocab_size", d->vocab, &c->vocab, err)) || (s = jt_config_hf_int(j, "hidden_size", 0, &c->hidden, err)) ||
        (s = jt_config_hf_int(j, "num_hidden_layers", 0, &c->layers, err)) ||
        (s = jt_config_hf_int(j, "num_attention_heads", d->heads, &c->heads, err)) ||
        (s = jt_config_hf_int(j, "num_key_value_heads", d->kv_heads ? d->kv_heads : c->heads, &c->kv_heads, err)))
        return s;
    int head_dim = d->head_dim ? d->head_dim : c->hidden / c->heads > 0 ? c->hidden / c->heads : 1;
    if ((s = jt_config_hf_int(j, "head_dim", head_dim, &c->head_dim, err)) ||
        (s = jt_config_hf_int(j, "intermediate_size", 0, &c->ffn, err)) ||
        (s = jt_config_hf_int(j, "max_position_embeddings", d->context, &c->context, err)) ||
        (s = jt_config_double_or(j, d->eps_key ? d->eps_key : "rms_norm_eps", d->eps > 0 ? d->eps : 1e-6, &eps, err)) ||
        (s = jt_config_string_or(j, d->act_key ? d->act_key : "hidden_act", d->act ? d->act : "silu", &act, err)) ||
        (s = jt_config_hf_activation(act, c, err)) ||
        (s = jt_config_hf_ropes(j, d->rope_base > 0 ? d->rope_base : 10000, d->rope_local, d->rope_part > 0 ? d->rope_part : 1, c, err)) ||
        (s = jt_config_hf_tie(j, c, err)))
        return s;
    c->norm_eps = (float)eps;
    c->rope_interleaved = false;
    return JT_OK;
}
