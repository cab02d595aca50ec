/* modern_bert.c: ModernBERT (Warner et al. 2024, arXiv 2412.13663): an encoder with rotary positions, norms before each part and
 * none before the first mixer, gated MLPs, and windows on both sides in all but every third layer, which have a rotation of
 * their own. */
#include <string.h>

#include "model/families/encoder.h"
#include "model/families/rows.h"

static const jt_role modern_qkv[] = {JT_W_Q, JT_W_K, JT_W_V, JT_W_ROLES};
static const jt_role modern_qkv_bias[] = {JT_W_Q_BIAS, JT_W_K_BIAS, JT_W_V_BIAS, JT_W_ROLES};
static const jt_role modern_up[] = {JT_W_GATE, JT_W_UP, JT_W_ROLES};
static const jt_role modern_up_bias[] = {JT_W_GATE_BIAS, JT_W_UP_BIAS, JT_W_ROLES};

#define MODERN_QKV                                                                                                                         \
    { "attn_qkv.weight", "attn.Wqkv.weight", .gguf_stack = modern_qkv, .hf_stack = modern_qkv }
#define MODERN_QKV_BIAS                                                                                                                    \
    { "attn_qkv.bias", "attn.Wqkv.bias", .vector = true, .optional = true, .gguf_stack = modern_qkv_bias, .hf_stack = modern_qkv_bias }
#define MODERN_UP                                                                                                                          \
    { "ffn_up.weight", "mlp.Wi.weight", .gguf_stack = modern_up, .hf_stack = modern_up }
#define MODERN_UP_BIAS                                                                                                                     \
    { "ffn_up.bias", "mlp.Wi.bias", .vector = true, .optional = true, .gguf_stack = modern_up_bias, .hf_stack = modern_up_bias }

static const jt_role_row modern_roles[JT_W_ROLES] = {
    [JT_W_EMBED] = {"token_embd.weight", "model.embeddings.tok_embeddings.weight"},
    [JT_W_EMBED_NORM] = {"token_embd_norm.weight", "model.embeddings.norm.weight", .vector = true},
    [JT_W_EMBED_NORM_BIAS] = {"token_embd_norm.bias", "model.embeddings.norm.bias", .vector = true, .optional = true},
    [JT_W_FINAL_NORM] = {"output_norm.weight", "model.final_norm.weight", .vector = true},
    [JT_W_FINAL_NORM_BIAS] = {"output_norm.bias", "model.final_norm.bias", .vector = true, .optional = true},
    [JT_W_ATTN_NORM] = {"attn_norm.weight", "attn_norm.weight", .vector = true},
    [JT_W_ATTN_NORM_BIAS] = {"attn_norm.bias", "attn_norm.bias", .vector = true, .optional = true},
    [JT_W_Q] = MODERN_QKV,
    [JT_W_K] = MODERN_QKV,
    [JT_W_V] = MODERN_QKV,
    [JT_W_Q_BIAS] = MODERN_QKV_BIAS,
    [JT_W_K_BIAS] = MODERN_QKV_BIAS,
    [JT_W_V_BIAS] = MODERN_QKV_BIAS,
    [JT_W_O] = {"attn_output.weight", "attn.Wo.weight"},
    [JT_W_O_BIAS] = {"attn_output.bias", "attn.Wo.bias", .vector = true, .optional = true},
    [JT_W_FFN_NORM] = {"ffn_norm.weight", "mlp_norm.weight", .vector = true},
    [JT_W_FFN_NORM_BIAS] = {"ffn_norm.bias", "mlp_norm.bias", .vector = true, .optional = true},
    [JT_W_GATE] = MODERN_UP,
    [JT_W_UP] = MODERN_UP,
    [JT_W_GATE_BIAS] = MODERN_UP_BIAS,
    [JT_W_UP_BIAS] = MODERN_UP_BIAS,
    [JT_W_DOWN] = {"ffn_down.weight", "mlp.Wo.weight"},
    [JT_W_DOWN_BIAS] = {"ffn_down.bias", "mlp.Wo.bias", .vector = true, .optional = true},
    [JT_W_POOLED] = {"cls.weight", "head.dense.weight", .optional = true},
    [JT_W_POOLED_BIAS] = {"cls.bias", "head.dense.bias", .vector = true, .optional = true},
    [JT_W_POOLED_NORM] = {"cls.norm.weight", "head.norm.weight", .vector = true, .optional = true},
    [JT_W_POOLED_NORM_BIAS] = {"cls.norm.bias", "head.norm.bias", .vector = true, .optional = true},
    [JT_W_CLASSES] = {"cls.output.weight", "classifier.weight", .optional = true},
    [JT_W_CLASSES_BIAS] = {"cls.output.bias", "classifier.bias", .vector = true, .optional = true}};

static const jt_block modern_block = {&jt_entry_layer_norm, &jt_entry_attention, &jt_entry_layer_norm, &jt_entry_gated_mlp};

enum { MODERN_PERIOD = 3 };

static void modern_whole(jt_config *c, int layer) { c->whole[layer / 64] |= (uint64_t)1 << layer % 64; }

/* The window is told as the width of both sides together. */
static int modern_window(int both) { return both / 2 + 1; }

static jt_status modern_read_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    static const char key[] = "modern-bert.attention.sliding_window_pattern";
    uint64_t both = 0, period = MODERN_PERIOD;
    jt_status s;
    c->encoder = c->bare_first = true;
    c->classes_pooling = JT_POOL_MEAN;
    if ((s = jt_encoder_gguf(g, c, err)) || (s = jt_config_gguf_dense(g, 0, false, c, err)) ||
        (s = jt_gguf_get_u64_or(g, "modern-bert.attention.sliding_window", 0, &both, err)) ||
        (s = jt_config_gguf_real(g, c, "rope.freq_base_swa", 10000, &c->rope[1].base, err)))
        return s;
    c->pooled_act = JT_FN_GELU;
    const jt_gguf_value *v = jt_gguf_find(g, key);
    bool list = v && v->type == JT_GGUF_ARRAY;
    if (v && !list && (s = jt_gguf_get_u64(g, key, &period, err))) return s;
    c->window = both && both < 1 << 24 ? modern_window((int)both) : 0;
    c->rope_two = c->window > 0;
    memset(c->whole, 0, sizeof c->whole);
    for (int l = 0; l < c->layers && l < JT_CONFIG_LAYERS; l++) {
        bool slides = period && (uint64_t)l % period != 0;
        if (list && !jt_gguf_item_bool(v, (uint64_t)l, &slides)) return jt_error_set(err, JT_FORMAT, "%s has no flag for layer %d", key, l);
        if (c->window && !slides) modern_whole(c, l);
    }
    return JT_OK;
}

/* Which layers see all: layer_types, or every so many from the first on. */
static jt_status modern_hf_window(const jt_json *j, jt_config *c, jt_error *err) {
    const jt_json *types = jt_config_find(j, "layer_types");
    int both, period;
    jt_status s = jt_config_hf_int(j, "local_attention", 128, &both, err);
    if (!s) s = jt_config_hf_int(j, "global_attn_every_n_layers", MODERN_PERIOD, &period, err);
    if (s) return s;
    c->window = modern_window(both < 1 << 24 ? both : 1 << 24);
    for (int l = 0; l < c->layers && l < JT_CONFIG_LAYERS; l++) {
        bool slides = l % period != 0;
        const char *type = types && jt_json_kind_of(types) == JT_JSON_ARRAY ? jt_json_string(jt_json_item(types, (size_t)l), NULL) : NULL;
        if (types && (!type || (strcmp(type, "full_attention") && strcmp(type, "sliding_attention"))))
            return jt_error_set(err, JT_UNSUPPORTED, "layer_types: layer %d must be \"full_attention\" or \"sliding_attention\"", l);
        if (type) slides = type[0] == 's';
        if (!slides) modern_whole(c, l);
    }
    return JT_OK;
}

static jt_status modern_hf_head(const jt_json *j, jt_config *c, jt_error *err) {
    const char *pooling, *act;
    jt_activation own = c->activation;
    jt_status s = jt_encoder_hf(j, c, err);
    if (!s) s = jt_config_string_or(j, "classifier_pooling", "cls", &pooling, err);
    if (!s) s = jt_config_string_or(j, "classifier_activation", "gelu", &act, err);
    if (!s) s = jt_config_hf_activation(act, c, err);
    if (s) return s;
    c->pooled_act = c->activation, c->activation = own;
    c->classes_pooling = !strcmp(pooling, "mean") ? JT_POOL_MEAN : JT_POOL_CLS;
    return strcmp(pooling, "mean") && strcmp(pooling, "cls")
               ? jt_error_set(err, JT_UNSUPPORTED, "classifier_pooling \"%.32s\" is not supported by this build", pooling)
               : JT_OK;
}

static jt_status modern_read_hf(const jt_json *j, jt_config *c, jt_error *err) {
    double global, local;
    c->encoder = c->bare_first = true;
    jt_status s = jt_config_double_or(j, "global_rope_theta", 160000, &global, err);
    if (!s) s = jt_config_double_or(j, "local_rope_theta", 10000, &local, err);
    if (s) return s;
    const jt_hf_defaults d = {.eps_key = "norm_eps",
                              .eps = 1e-5,
                              .act_key = "hidden_activation",
                              .act = "gelu",
                              .rope_base = global,
                              .rope_local = local,
                              .vocab = 50368,
                              .context = 8192};
    if ((s = jt_config_hf_dense(j, &d, c, err)) || (s = modern_hf_window(j, c, err))) return s;
    c->needs = 0, c->tied = false;
    static const jt_role attention[] = {JT_W_Q_BIAS, JT_W_K_BIAS, JT_W_V_BIAS, JT_W_O_BIAS, JT_W_ROLES};
    static const jt_role mlp[] = {JT_W_GATE_BIAS, JT_W_UP_BIAS, JT_W_DOWN_BIAS, JT_W_ROLES};
    static const jt_role norm[] = {JT_W_FINAL_NORM_BIAS, JT_W_ATTN_NORM_BIAS, JT_W_FFN_NORM_BIAS, JT_W_ROLES};
    if ((s = jt_config_hf_biases(j, "attention_bias", false, attention, c, err)) ||
        (s = jt_config_hf_biases(j, "mlp_bias", false, mlp, c, err)) || (s = jt_config_hf_biases(j, "norm_bias", false, norm, c, err)))
        return s;
    return modern_hf_head(j, c, err);
}

/* The head that guesses masked words has the names of the one that classifies. */
static const char *const modern_idle[] = {
    "head.dense.weight", "head.dense.bias", "head.norm.weight", "head.norm.bias", "decoder.weight", "decoder.bias", NULL};

const jt_family jt_family_modern_bert = {.name = "modern-bert",
                                         .hf = "modernbert",
                                         .role = modern_roles,
                                         .block = &modern_block,
                                         .embed_norm = &jt_entry_layer_norm,
                                         .final_norm = &jt_entry_layer_norm,
                                         .hf_idle = modern_idle,
                                         .read_gguf = modern_read_gguf,
                                         .read_hf = modern_read_hf};
