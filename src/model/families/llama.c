/* llama.c: the Llama family (Touvron et al. 2023, arXiv 2302.13971; SmolLM2 and others of
 * the same shape): pre-norm blocks, rotary attention with grouped heads, gated MLP. */
#include <string.h>

#include "model/config.h"
#include "model/network.h"

enum { LLAMA_WINDOW = 1 << 30 }; /* no depth is above it */

static const jt_role_row llama_roles[JT_W_ROLES] = {
    [JT_W_EMBED] = {"token_embd.weight", "model.embed_tokens.weight", false, false},
    [JT_W_FINAL_NORM] = {"output_norm.weight", "model.norm.weight", true, false},
    [JT_W_HEAD] = {"output.weight", "lm_head.weight", false, true},
    [JT_W_ATTN_NORM] = {"attn_norm.weight", "input_layernorm.weight", true, false},
    [JT_W_Q] = {"attn_q.weight", "self_attn.q_proj.weight", false, false},
    [JT_W_K] = {"attn_k.weight", "self_attn.k_proj.weight", false, false},
    [JT_W_V] = {"attn_v.weight", "self_attn.v_proj.weight", false, false},
    [JT_W_O] = {"attn_output.weight", "self_attn.o_proj.weight", false, false},
    [JT_W_FFN_NORM] = {"ffn_norm.weight", "post_attention_layernorm.weight", true, false},
    [JT_W_GATE] = {"ffn_gate.weight", "mlp.gate_proj.weight", false, false},
    [JT_W_UP] = {"ffn_up.weight", "mlp.up_proj.weight", false, false},
    [JT_W_DOWN] = {"ffn_down.weight", "mlp.down_proj.weight", false, false},
};

static const jt_block llama_block = {&jt_entry_rms_norm, &jt_entry_attention, &jt_entry_rms_norm, &jt_entry_gated_mlp};

/* A window over all layers, but for those that the pattern leaves out: one number p (the last layer of each p sees all)
 * or a flag for each layer. */
static jt_status llama_gguf_window(const jt_gguf *g, jt_config *c, jt_error *err) {
    static const char key[] = "llama.attention.sliding_window_pattern";
    uint64_t window = 0, p = 0;
    jt_status s = jt_gguf_get_u64_or(g, "llama.attention.sliding_window", 0, &window, err);
    if (s) return s;
    c->window = window < LLAMA_WINDOW ? (int)window : LLAMA_WINDOW;
    const jt_gguf_value *v = jt_gguf_find(g, key);
    if (!v) return JT_OK;
    bool list = v->type == JT_GGUF_ARRAY;
    if (!list && (s = jt_gguf_get_u64(g, key, &p, err))) return s;
    for (int l = 0; l < c->layers && l < JT_CONFIG_LAYERS; l++) {
        bool slides = !p || (uint64_t)l % p < p - 1;
        if (list && !jt_gguf_item_bool(v, (uint64_t)l, &slides)) return jt_error_set(err, JT_FORMAT, "%s has no flag for layer %d", key, l);
        if (!slides) c->whole[l / 64] |= (uint64_t)1 << l % 64;
    }
    return JT_OK;
}

static jt_status read_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    jt_status s;
    const char *text;
    size_t n;
    double eps = 0;
    uint64_t experts = 0;
    if ((s = jt_config_gguf_vocab(g, &llama_roles[JT_W_EMBED], c, err))) return s;
    if ((s = jt_config_gguf_int(g, "llama.embedding_length", 0, &c->hidden, err)) ||
        (s = jt_config_gguf_int(g, "llama.block_count", 0, &c->layers, err)) ||
        (s = jt_config_gguf_int(g, "llama.attention.head_count", 0, &c->heads, err)) ||
        (s = jt_config_gguf_int(g, "llama.feed_forward_length", 0, &c->ffn, err)) ||
        (s = jt_config_gguf_int(g, "llama.context_length", 0, &c->context, err)))
        return s;
    if (c->heads < 1) return jt_error_set(err, JT_FORMAT, "llama.attention.head_count is 0");
    if ((s = jt_config_gguf_int(g, "llama.attention.head_count_kv", (uint64_t)c->heads, &c->kv_heads, err)) ||
        (s = jt_config_gguf_int(g, "llama.attention.key_length", (uint64_t)(c->hidden / c->heads), &c->head_dim, err)) ||
        (s = jt_config_gguf_int(g, "llama.rope.dimension_count", (uint64_t)c->head_dim, &c->rope_dims, err)) ||
        (s = jt_gguf_get_double(g, "llama.attention.layer_norm_rms_epsilon", &eps, err)) ||
        (s = jt_gguf_get_double_or(g, "llama.rope.freq_base", 10000, &c->rope[0].base, err)) ||
        (s = jt_gguf_get_u64_or(g, "llama.expert_count", 0, &experts, err)) || (s = llama_gguf_window(g, c, err)))
        return s;
    int value_dim;
    if ((s = jt_config_gguf_int(g, "llama.attention.value_length", (uint64_t)c->head_dim, &value_dim, err))) return s;
    if (value_dim != c->head_dim)
        return jt_error_set(err, JT_UNSUPPORTED, "llama.attention.value_length %d differs from key_length %d; this build needs them equal",
                            value_dim, c->head_dim);
    if (experts)
        return jt_error_set(err, JT_UNSUPPORTED, "llama.expert_count is %llu; mixtures of experts are not supported by this build",
                            (unsigned long long)experts);
    if (jt_gguf_find(g, "llama.rope.scaling.type")) {
        if ((s = jt_gguf_get_text(g, "llama.rope.scaling.type", &text, &n, err))) return s;
        if (n != 4 || memcmp(text, "none", 4))
            return jt_error_set(err, JT_UNSUPPORTED, "llama.rope.scaling.type \"%.*s\" is not supported by this build",
                                (int)(n < 32 ? n : 32), text);
    }
    if (c->rope_dims < 1) return jt_error_set(err, JT_FORMAT, "llama.rope.dimension_count is %d", c->rope_dims);
    c->norm_eps = (float)eps;
    c->rope_interleaved = true;
    return JT_OK;
}

static jt_status llama_read_hf(const jt_json *j, jt_config *c, jt_error *err) {
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
        (s = jt_config_hf_off(j, "attention_bias", err)) || (s = jt_config_hf_off(j, "mlp_bias", err)) ||
        (s = jt_config_hf_rope(j, c, err)))
        return s;
    if (strcmp(act, "silu")) return jt_error_set(err, JT_UNSUPPORTED, "hidden_act \"%.32s\" is not supported by this build", act);
    c->norm_eps = (float)eps;
    c->rope_dims = c->head_dim;
    c->rope_interleaved = false;
    return JT_OK;
}

static jt_status llama_read_hf_plain(const jt_json *j, jt_config *c, jt_error *err) {
    if (jt_config_find(j, "sliding_window"))
        return jt_error_set(err, JT_UNSUPPORTED, "sliding_window is set, which model_type \"llama\" does not know; \"mistral\" does");
    return llama_read_hf(j, c, err);
}

/* Mistral (Jiang et al. 2023, arXiv 2310.06825): the same blocks, each layer with a window, but for those that layer_types
 * (transformers 4.53 and later) says see all. */
static jt_status mistral_read_hf(const jt_json *j, jt_config *c, jt_error *err) {
    int64_t window;
    jt_status s = llama_read_hf(j, c, err);
    if (!s) s = jt_config_int_or(j, "sliding_window", 1, INT32_MAX, 0, &window, err);
    if (s) return s;
    c->window = window < LLAMA_WINDOW ? (int)window : LLAMA_WINDOW;
    const jt_json *types = jt_config_find(j, "layer_types");
    for (int l = 0; types && l < c->layers && l < JT_CONFIG_LAYERS; l++) {
        const jt_json *item = jt_json_item(types, (size_t)l);
        const char *type = item ? jt_json_string(item, NULL) : NULL;
        if (!type || (strcmp(type, "full_attention") && strcmp(type, "sliding_attention")))
            return jt_error_set(err, JT_UNSUPPORTED, "layer_types: layer %d must be \"full_attention\" or \"sliding_attention\"", l);
        if (type[0] == 'f') c->whole[l / 64] |= (uint64_t)1 << l % 64;
    }
    return JT_OK;
}

const jt_family jt_family_llama = {.name = "llama",
                                   .hf = "llama",
                                   .role = llama_roles,
                                   .block = &llama_block,
                                   .final_norm = &jt_entry_rms_norm,
                                   .gguf_interleaves = true,
                                   .read_gguf = read_gguf,
                                   .read_hf = llama_read_hf_plain};
/* Its GGUF files call themselves "llama". */
const jt_family jt_family_mistral = {.name = "mistral",
                                     .hf = "mistral",
                                     .role = llama_roles,
                                     .block = &llama_block,
                                     .final_norm = &jt_entry_rms_norm,
                                     .gguf_interleaves = true,
                                     .read_hf = mistral_read_hf};
