/* convert_config.c: the settings of a model as keys of a GGUF file and as config.json, both from the settings that were
 * read. What was written is read again and must give the same settings: one that has no place there is refused. */
#include <math.h>
#include <string.h>

#include "core/file.h"
#include "model/convert.h"

/* What the two sides call a family. */
struct config_names {
    const char *hf, *gguf, *class; /* model_type, general.architecture, architectures[0] */
};
static const struct config_names config_names[] = {
    {"llama", "llama", "LlamaForCausalLM"},
    {"mistral", "llama", "MistralForCausalLM"},
    {"granitemoehybrid", "granitehybrid", "GraniteMoeHybridForCausalLM"},
};

static const struct config_names *config_named(const jt_conversion *c) {
    const char *hf = c->config.family->hf;
    if (!strcmp(hf, "llama") && c->config.window) hf = "mistral";
    for (size_t i = 0; i < sizeof config_names / sizeof *config_names; i++)
        if (!strcmp(config_names[i].hf, hf)) return &config_names[i];
    return NULL;
}

static jt_status config_unknown(const jt_conversion *c, jt_error *err) {
    return jt_error_set(err, JT_UNSUPPORTED, "this build does not convert the settings of the %s family", c->config.family->name);
}

/* The settings apart from what follows from the kind of file. */
static void config_plain(const jt_config *from, jt_config *to) {
    memset(to, 0, sizeof *to);
    memcpy(to, from, sizeof *to);
    to->family = NULL, to->rope_interleaved = false, to->tied = false;
    for (int i = 0; i < JT_ROPES; i++) to->rope[i].base = (double)(float)to->rope[i].base;
    if (!to->rope_dims) memset(to->rope, 0, sizeof to->rope);
}

static jt_status config_same(const jt_config *was, const jt_config *is, const char *where, jt_error *err) {
    jt_config a, b;
    config_plain(was, &a), config_plain(is, &b);
    const struct {
        const char *name;
        double a, b;
    } row[] = {{"vocabulary size", a.vocab, b.vocab},
               {"hidden size", a.hidden, b.hidden},
               {"number of layers", a.layers, b.layers},
               {"number of heads", a.heads, b.heads},
               {"number of key-value heads", a.kv_heads, b.kv_heads},
               {"head size", a.head_dim, b.head_dim},
               {"feed-forward size", a.ffn, b.ffn},
               {"context length", a.context, b.context},
               {"norm epsilon", (double)a.norm_eps, (double)b.norm_eps},
               {"scale of attention", (double)a.attn_scale, (double)b.attn_scale},
               {"rotary base", a.rope[0].base, b.rope[0].base},
               {"number of rotary dimensions", a.rope_dims, b.rope_dims},
               {"window", a.window, b.window}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (row[i].a != row[i].b)
            return jt_error_set(err, JT_UNSUPPORTED, "the model's %s is %g, but %s would say %g; it has no place for that", row[i].name,
                                row[i].a, where, row[i].b);
    if (memcmp(&a, &b, sizeof a) != 0)
        return jt_error_set(err, JT_UNSUPPORTED, "a setting of the model has no place in %s as this build writes it", where);
    return JT_OK;
}

/* ---- GGUF ---- */

/* Keys are NAME.key. */
struct config_gguf {
    jt_gguf_meta *m;
    const char *name;
    char key[96];
};

static const char *config_key(struct config_gguf *g, const char *key) {
    snprintf(g->key, sizeof g->key, "%s.%s", g->name, key);
    return g->key;
}
static void config_u32(struct config_gguf *g, const char *key, int v) { jt_gguf_meta_u32(g->m, config_key(g, key), (uint64_t)v); }
static void config_f32(struct config_gguf *g, const char *key, double v) { jt_gguf_meta_f32(g->m, config_key(g, key), v); }

static void config_gguf_recurrence(struct config_gguf *g, const jt_config *c) {
    jt_gguf_meta_array(g->m, config_key(g, "attention.head_count_kv"), JT_GGUF_I32, (uint64_t)c->layers);
    for (int i = 0; i < c->layers; i++) jt_gguf_meta_item(g->m, JT_GGUF_I32, jt_config_recurrent(c, i) ? 0 : (uint64_t)c->kv_heads);
    config_u32(g, "ssm.conv_kernel", c->ssm_taps);
    config_u32(g, "ssm.state_size", c->ssm_state);
    config_u32(g, "ssm.group_count", c->ssm_groups);
    config_u32(g, "ssm.inner_size", jt_config_ssm_inner(c));
    config_u32(g, "ssm.time_step_rank", c->ssm_heads);
}

static void config_gguf_window(struct config_gguf *g, const jt_config *c) {
    bool all = true;
    for (int i = 0; i < c->layers; i++) all = all && jt_config_window(c, i);
    config_u32(g, "attention.sliding_window", c->window);
    if (all) return;
    jt_gguf_meta_array(g->m, config_key(g, "attention.sliding_window_pattern"), JT_GGUF_BOOL, (uint64_t)c->layers);
    for (int i = 0; i < c->layers; i++) jt_gguf_meta_item(g->m, JT_GGUF_BOOL, jt_config_window(c, i) != 0);
}

static void config_gguf_keys(struct config_gguf *g, const jt_config *c) {
    config_u32(g, "vocab_size", c->vocab);
    config_u32(g, "context_length", c->context);
    config_u32(g, "embedding_length", c->hidden);
    config_u32(g, "block_count", c->layers);
    config_u32(g, "feed_forward_length", c->ffn);
    config_u32(g, "attention.head_count", c->heads);
    if (c->ssm_layers)
        config_gguf_recurrence(g, c);
    else
        config_u32(g, "attention.head_count_kv", c->kv_heads);
    config_u32(g, "attention.key_length", c->head_dim);
    config_u32(g, "attention.value_length", c->head_dim);
    config_f32(g, "attention.layer_norm_rms_epsilon", (double)c->norm_eps);
    config_f32(g, "rope.freq_base", c->rope[0].base);
    if (c->rope_dims)
        config_u32(g, "rope.dimension_count", c->rope_dims);
    else
        jt_gguf_meta_bool(g->m, config_key(g, "rope.scaling.finetuned"), false);
    if (c->window) config_gguf_window(g, c);
    if (c->embed_scale != 1) config_f32(g, "embedding_scale", (double)c->embed_scale);
    if (c->residual_scale != 1) config_f32(g, "residual_scale", (double)c->residual_scale);
    if (c->logit_scale != 1) config_f32(g, "logit_scale", (double)c->logit_scale);
    if (c->attn_scale != 1.0f / sqrtf((float)c->head_dim)) config_f32(g, "attention.scale", (double)c->attn_scale);
}

/* Reads the keys again, with an embedding of the right shape and of no known type. */
static jt_status config_gguf_check(const jt_conversion *c, const jt_gguf_meta *m, jt_error *err) {
    static const char name[] = "token_embd.weight";
    jt_str b = {0};
    jt_gguf *g = NULL;
    jt_config again;
    const uint64_t head[] = {1, m->count}, tail[] = {sizeof name - 1, (uint64_t)c->config.hidden, (uint64_t)c->config.vocab, 0};
    const uint32_t version = 3, dims = 2, type = 9999;
    jt_str_puts(&b, "GGUF");
    jt_str_add(&b, (const char *)&version, 4);
    jt_str_add(&b, (const char *)head, sizeof head);
    jt_str_add(&b, m->bytes.s, m->bytes.n);
    jt_str_add(&b, (const char *)&tail[0], 8);
    jt_str_add(&b, name, sizeof name - 1);
    jt_str_add(&b, (const char *)&dims, 4);
    jt_str_add(&b, (const char *)&tail[1], 16);
    jt_str_add(&b, (const char *)&type, 4);
    jt_str_add(&b, (const char *)&tail[3], 8);
    for (int i = 0; i < 64; i++) jt_str_putc(&b, 0);
    if (m->bytes.failed) b.failed = true;
    jt_status s = jt_str_check(&b, err);
    if (!s) s = jt_gguf_parse(b.s, b.n, &g, err);
    if (!s) s = jt_config_from_gguf(g, &again, err);
    if (!s) s = config_same(&c->config, &again, "the GGUF file", err);
    jt_gguf_free(g);
    jt_str_free(&b);
    return s;
}

/* The name of the model: the last part of its folder's path. */
static void config_name(const char *path, jt_gguf_meta *m) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    size_t from = n;
    while (from && path[from - 1] != '/') from--;
    jt_gguf_meta_text(m, "general.name", path + from, n - from);
}

static void config_copy(const jt_conversion *c, jt_gguf_meta *m) {
    for (size_t i = 0; i < jt_gguf_values(c->gguf); i++) {
        const jt_gguf_value *v = jt_gguf_value_at(c->gguf, i);
        bool changed = c->file_type >= 0 && (!strcmp(v->key, "general.file_type") || !strcmp(v->key, "general.quantization_version"));
        if (!changed && strncmp(v->key, "split.", 6) != 0 && strcmp(v->key, "general.alignment") != 0) jt_gguf_meta_copy(m, v);
    }
}

/* The type of most numbers, for a folder whose types stay as they are. */
static int config_file_type(const jt_conversion *c) {
    uint64_t n[3] = {0};
    if (c->file_type >= 0) return c->file_type;
    for (size_t i = 0; i < c->n; i++) {
        uint32_t t = c->made[i].format->type;
        n[t == JT_F32 ? 0 : t == JT_F16 ? 1 : 2] += c->made[i].rows * c->made[i].cols;
    }
    return n[0] >= n[1] && n[0] >= n[2] ? 0 : n[1] >= n[2] ? 1 : 32;
}

jt_status jt_convert_config_gguf(const jt_conversion *c, jt_gguf_meta *m, jt_error *err) {
    jt_status s = JT_OK;
    if (c->gguf) {
        config_copy(c, m);
    } else {
        const struct config_names *names = config_named(c);
        if (!names) return config_unknown(c, err);
        struct config_gguf g = {.m = m, .name = names->gguf};
        jt_gguf_meta_text(m, "general.architecture", names->gguf, strlen(names->gguf));
        jt_gguf_meta_text(m, "general.type", "model", 5);
        config_name(c->in, m);
        config_gguf_keys(&g, &c->config);
        s = config_gguf_check(c, m, err);
    }
    if (c->tensors || c->file_type >= 0) {
        jt_gguf_meta_u32(m, "general.file_type", (uint64_t)config_file_type(c));
        jt_gguf_meta_u32(m, "general.quantization_version", 2);
    }
    return s;
}

/* ---- config.json ---- */

static void config_int(jt_str *o, const char *key, int64_t v) { jt_str_printf(o, ",\n  \"%s\": %lld", key, (long long)v); }
static void config_bool(jt_str *o, const char *key, bool v) { jt_str_printf(o, ",\n  \"%s\": %s", key, v ? "true" : "false"); }
static void config_text(jt_str *o, const char *key, const char *v) { jt_str_printf(o, ",\n  \"%s\": \"%s\"", key, v); }

/* The shortest decimal that is the same float32. */
static void config_real(jt_str *o, const char *key, float v) {
    char t[32];
    double back;
    bool whole = fabsf(v) < 1e9f && v == floorf(v);
    for (int digits = whole ? 0 : 1; digits <= 9; digits++) {
        int n = snprintf(t, sizeof t, whole ? "%.*f" : "%.*g", digits, (double)v);
        for (int i = 0; i < n; i++)
            if (t[i] == ',') t[i] = '.';
        if (jt_read_double(t, (size_t)n, &back) && (float)back == v) break;
    }
    jt_str_printf(o, ",\n  \"%s\": %s%s", key, t, strpbrk(t, ".e") ? "" : ".0");
}

static void config_hf_granite(jt_str *o, const jt_config *c) {
    config_int(o, "shared_intermediate_size", c->ffn);
    config_int(o, "num_local_experts", 0);
    config_int(o, "num_experts_per_tok", 0);
    config_real(o, "embedding_multiplier", c->embed_scale);
    config_real(o, "residual_multiplier", c->residual_scale);
    config_real(o, "logits_scaling", c->logit_scale);
    config_real(o, "attention_multiplier", c->attn_scale);
    config_text(o, "position_embedding_type", c->rope_dims ? "rope" : "nope");
    config_int(o, "mamba_n_heads", c->ssm_heads);
    config_int(o, "mamba_d_head", c->ssm_head_dim);
    config_int(o, "mamba_d_state", c->ssm_state);
    config_int(o, "mamba_n_groups", c->ssm_groups);
    config_int(o, "mamba_d_conv", c->ssm_taps);
    config_int(o, "mamba_expand", jt_config_ssm_inner(c) / c->hidden);
    config_bool(o, "mamba_proj_bias", false);
    config_bool(o, "mamba_conv_bias", true);
    jt_str_puts(o, ",\n  \"layer_types\": [");
    for (int i = 0; i < c->layers; i++) jt_str_printf(o, "%s\"%s\"", i ? ", " : "", jt_config_recurrent(c, i) ? "mamba" : "attention");
    jt_str_puts(o, "]");
}

static void config_hf_windows(jt_str *o, const jt_config *c) {
    bool all = true;
    for (int i = 0; i < c->layers; i++) all = all && jt_config_window(c, i);
    config_int(o, "sliding_window", c->window);
    if (all) return;
    jt_str_puts(o, ",\n  \"layer_types\": [");
    for (int i = 0; i < c->layers; i++) jt_str_printf(o, "%s\"%s_attention\"", i ? ", " : "", jt_config_window(c, i) ? "sliding" : "full");
    jt_str_puts(o, "]");
}

static void config_hf_ids(jt_str *o, const jt_gguf *g) {
    static const char *const row[][2] = {{"bos_token_id", "tokenizer.ggml.bos_token_id"},
                                         {"eos_token_id", "tokenizer.ggml.eos_token_id"},
                                         {"pad_token_id", "tokenizer.ggml.padding_token_id"}};
    for (int i = 0; i < 3; i++) {
        uint64_t id;
        if (!jt_gguf_get_u64(g, row[i][1], &id, NULL) && id < INT32_MAX) config_int(o, row[i][0], (int64_t)id);
    }
}

/* As transformers calls the type of most numbers. */
static const char *config_dtype(const jt_conversion *c) {
    int t = config_file_type(&(jt_conversion){.file_type = -1, .made = c->made, .n = c->n});
    return t == 0 ? "float32" : t == 1 ? "float16" : "bfloat16";
}

static void config_hf_keys(const jt_conversion *c, const struct config_names *names, jt_str *o) {
    const jt_config *k = &c->config;
    bool tied = true;
    for (size_t i = 0; i < c->n; i++) tied = tied && strcmp(c->made[i].name, k->family->role[JT_W_HEAD].hf) != 0;
    jt_str_printf(o, "{\n  \"architectures\": [\"%s\"]", names->class);
    config_text(o, "model_type", names->hf);
    config_text(o, "torch_dtype", config_dtype(c));
    config_int(o, "vocab_size", k->vocab);
    config_int(o, "hidden_size", k->hidden);
    config_int(o, "intermediate_size", k->ffn);
    config_int(o, "num_hidden_layers", k->layers);
    config_int(o, "num_attention_heads", k->heads);
    config_int(o, "num_key_value_heads", k->kv_heads);
    config_int(o, "head_dim", k->head_dim);
    config_int(o, "max_position_embeddings", k->context);
    config_real(o, "rms_norm_eps", k->norm_eps);
    config_real(o, "rope_theta", (float)k->rope[0].base);
    config_text(o, "hidden_act", "silu");
    config_bool(o, "attention_bias", false);
    if (!strcmp(names->hf, "llama")) config_bool(o, "mlp_bias", false);
    config_bool(o, "tie_word_embeddings", tied);
    if (k->window) config_hf_windows(o, k);
    if (k->ssm_layers) config_hf_granite(o, k);
    config_hf_ids(o, c->gguf);
    jt_str_puts(o, "\n}\n");
}

/* config.json of a folder that becomes another: as it was, its bytes. */
static jt_status config_hf_copy(const jt_conversion *c, jt_str *out, jt_error *err) {
    jt_str name = {0};
    jt_str_printf(&name, "%s/config.json", c->in);
    jt_status s = jt_str_check(&name, err);
    if (!s) s = jt_file_read(name.s, out, err);
    jt_str_free(&name);
    return s;
}

jt_status jt_convert_config_hf(const jt_conversion *c, jt_str *out, jt_error *err) {
    if (c->tensors) return config_hf_copy(c, out, err);
    const struct config_names *names = config_named(c);
    jt_json *j = NULL;
    jt_config again;
    if (!names) return config_unknown(c, err);
    config_hf_keys(c, names, out);
    jt_status s = jt_str_check(out, err);
    if (!s) s = jt_json_parse(out->s, out->n, &j, err);
    if (!s) s = jt_config_from_hf(j, &again, err);
    if (!s) s = config_same(&c->config, &again, "config.json", err);
    jt_json_free(j);
    return s;
}
