/* convert_config.c: the settings of a model as keys of a GGUF file and as config.json, both from the settings that were
 * read. What was written is read again and must give the same settings: one that has no place there is refused. */
#include <math.h>
#include <string.h>

#include "core/file.h"
#include "model/convert.h"
#include "model/network.h"
#include "model/rope.h"

/* What the two sides call a family. */
struct settings_names {
    const char *hf, *gguf, *class; /* model_type, general.architecture, architectures[0] */
    int period;                    /* of GGUF files that do not say which layers have a window: the last of so many has none */
};
static const struct settings_names settings_names[] = {
    {"llama", "llama", "LlamaForCausalLM", 0},
    {"mistral", "llama", "MistralForCausalLM", 0},
    {"mixtral", "llama", "MixtralForCausalLM", 0},
    {"smollm3", "smollm3", "SmolLM3ForCausalLM", 0},
    {"granite", "granite", "GraniteForCausalLM", 0},
    {"granitemoehybrid", "granitehybrid", "GraniteMoeHybridForCausalLM", 0},
    {"qwen2", "qwen2", "Qwen2ForCausalLM", 0},
    {"qwen3", "qwen3", "Qwen3ForCausalLM", 0},
    {"qwen3_moe", "qwen3moe", "Qwen3MoeForCausalLM", 0},
    {"olmoe", "olmoe", "OlmoeForCausalLM", 0},
    {"gemma", "gemma", "GemmaForCausalLM", 0},
    {"gemma2", "gemma2", "Gemma2ForCausalLM", 2},
    {"gemma3_text", "gemma3", "Gemma3ForCausalLM", 6},
    {"phi3", "phi3", "Phi3ForCausalLM", 0},
    {"olmo2", "olmo2", "Olmo2ForCausalLM", 4},
    {"gpt2", "gpt2", "GPT2LMHeadModel", 0},
    {"stablelm", "stablelm", "StableLmForCausalLM", 0},
    {"starcoder2", "starcoder2", "Starcoder2ForCausalLM", 0},
    {"gpt_oss", "gpt-oss", "GptOssForCausalLM", 2},
    {"granitemoe", "granitemoe", "GraniteMoeForCausalLM", 0},
    {"granitemoeshared", "granitemoe", "GraniteMoeSharedForCausalLM", 0},
    {"deepseek_v2", "deepseek2", "DeepseekV2ForCausalLM", 0},
    {"ministral", "llama", "MinistralForCausalLM", 0},
    {"qwen2_moe", "qwen2moe", "Qwen2MoeForCausalLM", 0},
    {"olmo3", "olmo2", "Olmo3ForCausalLM", 4},
    {"deepseek_v3", "deepseek2", "DeepseekV3ForCausalLM", 0},
    {"bert", "bert", "Bert", 0},
    {"modernbert", "modern-bert", "ModernBert", 0},
};

static const struct settings_names *settings_named(const jt_conversion *c) {
    const char *hf = c->config.family->hf;
    if (!strcmp(hf, "llama") && c->config.window) hf = "mistral";
    for (int i = 0; !strcmp(hf, "mistral") && i < c->config.layers; i++)
        if (c->config.window && !jt_config_window(&c->config, i)) hf = "ministral";
    bool plain = !c->config.ssm_layers && !c->config.router.experts;
    if (!strcmp(hf, "granitemoehybrid") && plain) hf = "granite"; /* as llama.cpp does it */
    if (!strcmp(hf, "olmo2") && c->config.window) hf = "olmo3";
    if (!strcmp(hf, "granitemoe") && c->config.shared_ffn) hf = "granitemoeshared";
    if (!strcmp(hf, "deepseek_v2") && c->config.router.rule == JT_ROUTE_SIGMOID) hf = "deepseek_v3";
    for (size_t i = 0; i < sizeof settings_names / sizeof *settings_names; i++)
        if (!strcmp(settings_names[i].hf, hf)) return &settings_names[i];
    return NULL;
}

const char *jt_convert_gguf_name(const jt_conversion *c) {
    const struct settings_names *n = settings_named(c);
    return n ? n->gguf : NULL;
}

static bool settings_is(const struct settings_names *n, const char *hf) { return !strncmp(n->hf, hf, strlen(hf)); }

static jt_status settings_unknown(const jt_conversion *c, jt_error *err) {
    return jt_error_set(err, JT_UNSUPPORTED, "this build does not convert the settings of the %s family", c->config.family->name);
}

/* A rope as both kinds of files can tell it. */
static jt_rope settings_rope(const jt_rope *r, bool there) {
    jt_rope o = {.base = (double)(float)r->base, .kind = r->kind};
    if (!there) return (jt_rope){0};
    o.attention = jt_rope_attention(r);
    if (r->kind == JT_ROPE_LLAMA3) o.kind = JT_ROPE_PLAIN; /* its divisors are a tensor */
    if (o.kind != JT_ROPE_PLAIN && o.kind != JT_ROPE_LONG) o.factor = (double)(float)r->factor;
    if (o.kind == JT_ROPE_DYNAMIC || o.kind == JT_ROPE_YARN || o.kind == JT_ROPE_LONG) o.original = r->original;
    if (o.kind == JT_ROPE_YARN) o.low = r->low, o.high = r->high, o.fractions = r->fractions;
    return o;
}

static bool settings_same_rope(const jt_rope *a, const jt_rope *b) {
    return a->kind == b->kind && a->base == b->base && a->factor == b->factor && a->original == b->original && a->low == b->low &&
           a->high == b->high && a->fractions == b->fractions && fabs(a->attention - b->attention) <= 1e-5;
}

/* The settings apart from what follows from the kind of file. */
static void settings_plain(const jt_config *from, jt_config *to) {
    memcpy(to, from, sizeof *to);
    if (to->ssm_layers == to->layers) to->kv_heads = to->heads;
    if (!to->ssm_layers) to->ssm_heads = to->ssm_head_dim = to->ssm_state = to->ssm_groups = to->ssm_taps = 0;
    to->fp8 = false, to->fp8_rows = to->fp8_cols = 0;
    to->family = NULL, to->rope_interleaved = false, to->tied = false, to->needs = 0, to->spare_layers = 0, to->part = false;
    to->pooling = JT_POOL_AUTO; /* stands in a file of its own */
    memset(to->rope, 0, sizeof to->rope);
    memset(to->rope_long, 0, sizeof to->rope_long), memset(to->rope_short, 0, sizeof to->rope_short);
    if (!to->window) memset(to->whole, 0, sizeof to->whole);
    for (int i = 0; i < to->layers && i < JT_CONFIG_LAYERS; i++)
        if (!to->rope_dims || !jt_config_rotates(from, i)) to->still[i / 64] |= (uint64_t)1 << i % 64;
}

static jt_status settings_same(const jt_config *was, const jt_config *is, const char *where, jt_error *err) {
    jt_config a, b;
    settings_plain(was, &a), settings_plain(is, &b);
    if (fabs((double)(a.attn_scale - b.attn_scale)) <= 1e-6 * fabs((double)a.attn_scale)) b.attn_scale = a.attn_scale; /* it was rounded */
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
               {"number of rotary dimensions", a.rope_dims, b.rope_dims},
               {"limit of queries, keys and values", (double)a.qkv_clip, (double)b.qkv_clip},
               {"cap of scores", (double)a.attn_cap, (double)b.attn_cap},
               {"cap of logits", (double)a.logit_cap, (double)b.logit_cap},
               {"multiplier of the embedding", (double)a.embed_scale, (double)b.embed_scale},
               {"multiplier of what layers add", (double)a.residual_scale, (double)b.residual_scale},
               {"multiplier of the logits", (double)a.logit_scale, (double)b.logit_scale},
               {"activation", a.activation, b.activation},
               {"number of learned positions", a.positions, b.positions},
               {"number of experts", a.router.experts, b.router.experts},
               {"number of experts used", a.router.used, b.router.used},
               {"width of experts", a.expert_ffn, b.expert_ffn},
               {"normalisation of the experts' weights", a.router.normalise, b.router.normalise},
               {"epsilon of the norms of narrow rows", (double)a.latent_eps, (double)b.latent_eps},
               {"window", a.window, b.window}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (row[i].a != row[i].b)
            return jt_error_set(err, JT_UNSUPPORTED, "the model's %s is %g, but %s would say %g; it has no place for that", row[i].name,
                                row[i].a, where, row[i].b);
    for (int i = 0; i < JT_ROPES; i++) {
        bool there = was->rope_dims && (!i || was->rope_two);
        jt_rope x = settings_rope(&was->rope[i], there), y = settings_rope(&is->rope[i], there);
        if (!settings_same_rope(&x, &y))
            return jt_error_set(err, JT_UNSUPPORTED, "the scaling of the model's rotary positions has no place in %s", where);
    }
    if (memcmp(a.whole, b.whole, sizeof a.whole) != 0)
        return jt_error_set(err, JT_UNSUPPORTED, "which of the model's layers have a window has no place in %s", where);
    if (memcmp(a.still, b.still, sizeof a.still) != 0)
        return jt_error_set(err, JT_UNSUPPORTED, "which of the model's layers have no positions has no place in %s", where);
    const void *whole_a = &a, *whole_b = &b;
    if (memcmp(whole_a, whole_b, sizeof a) != 0)
        return jt_error_set(err, JT_UNSUPPORTED, "a setting of the model has no place in %s as this build writes it", where);
    return JT_OK;
}

/* ---- GGUF ---- */

/* Keys are NAME.key. */
struct settings_gguf {
    jt_gguf_meta *m;
    const char *name;
    char key[96];
};

static const char *settings_key(struct settings_gguf *g, const char *key) {
    snprintf(g->key, sizeof g->key, "%s.%s", g->name, key);
    return g->key;
}
static void settings_u32(struct settings_gguf *g, const char *key, int v) { jt_gguf_meta_u32(g->m, settings_key(g, key), (uint64_t)v); }
static void settings_f32(struct settings_gguf *g, const char *key, double v) { jt_gguf_meta_f32(g->m, settings_key(g, key), v); }

static void settings_gguf_recurrence(struct settings_gguf *g, const jt_config *c) {
    jt_gguf_meta_array(g->m, settings_key(g, "attention.head_count_kv"), JT_GGUF_I32, (uint64_t)c->layers);
    for (int i = 0; i < c->layers; i++) jt_gguf_meta_item(g->m, JT_GGUF_I32, jt_config_recurrent(c, i) ? 0 : (uint64_t)c->kv_heads);
    settings_u32(g, "ssm.conv_kernel", c->ssm_taps);
    settings_u32(g, "ssm.state_size", c->ssm_state);
    settings_u32(g, "ssm.group_count", c->ssm_groups);
    settings_u32(g, "ssm.inner_size", jt_config_ssm_inner(c));
    settings_u32(g, "ssm.time_step_rank", c->ssm_heads);
}

static void settings_gguf_window(struct settings_gguf *g, const jt_config *c, int period) {
    bool usual = !c->encoder;
    for (int i = 0; i < c->layers; i++) usual = usual && (jt_config_window(c, i) != 0) == (!period || i % period < period - 1);
    settings_u32(g, "attention.sliding_window", c->encoder ? 2 * (c->window - 1) : c->window);
    if (usual) return;
    jt_gguf_meta_array(g->m, settings_key(g, "attention.sliding_window_pattern"), JT_GGUF_BOOL, (uint64_t)c->layers);
    for (int i = 0; i < c->layers; i++) jt_gguf_meta_item(g->m, JT_GGUF_BOOL, jt_config_window(c, i) != 0);
}

static void settings_gguf_rope(struct settings_gguf *g, const jt_config *c) {
    static const char *const type[] = {
        [JT_ROPE_LINEAR] = "linear", [JT_ROPE_NTK] = "ntk", [JT_ROPE_DYNAMIC] = "dynamic", [JT_ROPE_YARN] = "yarn"};
    const jt_rope *r = &c->rope[0];
    settings_f32(g, "rope.freq_base", r->base);
    settings_u32(g, "rope.dimension_count", c->rope_dims);
    if (c->rope_two && (c->encoder || !strcmp(g->name, "gemma3"))) settings_f32(g, "rope.freq_base_swa", c->rope[1].base);
    if (r->kind == JT_ROPE_LONG) {
        settings_u32(g, "rope.scaling.original_context_length", (int)r->original);
        settings_f32(g, "rope.scaling.attn_factor", jt_rope_attention(r));
    }
    if (r->kind == JT_ROPE_PLAIN || r->kind == JT_ROPE_LLAMA3 || r->kind == JT_ROPE_LONG) return;
    jt_gguf_meta_text(g->m, settings_key(g, "rope.scaling.type"), type[r->kind], strlen(type[r->kind]));
    settings_f32(g, "rope.scaling.factor", r->factor);
    if (r->kind == JT_ROPE_LINEAR || r->kind == JT_ROPE_NTK) return;
    settings_u32(g, "rope.scaling.original_context_length", (int)r->original);
    if (r->kind != JT_ROPE_YARN) return;
    double by = jt_rope_attention(r) / (r->factor > 1 ? 0.1 * log(r->factor) + 1 : 1);
    if (fabs(by - 1) > 1e-6 && !c->kv_rank) settings_f32(g, "rope.scaling.attn_factor", by);
    if (r->high != 32) settings_f32(g, "rope.scaling.yarn_beta_fast", r->high);
    if (r->low != 1) settings_f32(g, "rope.scaling.yarn_beta_slow", r->low);
}

/* DeepSeek's factor of scores for YaRN, which both kinds of files tell as that of a logarithm; 0: there is none. */
static double settings_mscale(const jt_config *c) {
    double by = sqrt((double)c->attn_scale * sqrt(c->head_dim)), log_factor = c->rope[0].factor > 1 ? log(c->rope[0].factor) : 0;
    if (!c->kv_rank || c->rope[0].kind != JT_ROPE_YARN || !(log_factor > 0) || !(by > 1.0001)) return 0;
    return round((by - 1) / (0.1 * log_factor) * 1e5) / 1e5;
}

static int settings_first_dense(const jt_config *c) {
    int n = 0;
    while (n < c->layers && !jt_config_sparse(c, n)) n++;
    return n;
}

static void settings_gguf_latent(struct settings_gguf *g, const jt_config *c) {
    const jt_router *r = &c->router;
    double mscale = settings_mscale(c);
    if (c->q_rank) settings_u32(g, "attention.q_lora_rank", c->q_rank);
    settings_u32(g, "attention.kv_lora_rank", c->kv_rank);
    if (mscale > 0) settings_f32(g, "rope.scaling.yarn_log_multiplier", 0.1 * mscale);
    settings_u32(g, "leading_dense_block_count", settings_first_dense(c));
    settings_u32(g, "expert_shared_count", c->shared_ffn / c->expert_ffn);
    settings_f32(g, "expert_weights_scale", (double)r->scale);
    jt_gguf_meta_bool(g->m, settings_key(g, "expert_weights_norm"), r->normalise);
    settings_u32(g, "expert_gating_func", r->rule == JT_ROUTE_SIGMOID ? 2 : 1);
    if (!r->groups) return;
    settings_u32(g, "expert_group_count", r->groups);
    settings_u32(g, "expert_group_used_count", r->groups_used);
}

static void settings_gguf_experts(struct settings_gguf *g, const jt_config *c, const struct settings_names *names) {
    bool granite = settings_is(names, "granite"), llama = !strcmp(names->gguf, "llama") || !strcmp(names->gguf, "olmoe");
    settings_u32(g, "expert_count", c->router.experts);
    settings_u32(g, "expert_used_count", c->router.used);
    if (!granite && (!llama || c->expert_ffn != c->ffn)) settings_u32(g, "expert_feed_forward_length", c->expert_ffn);
    if ((granite && c->shared_ffn) || c->shared_gate) settings_u32(g, "expert_shared_feed_forward_length", c->shared_ffn);
    if (c->kv_rank) settings_gguf_latent(g, c);
}

/* llama.cpp's number of a way of pooling. */
static int settings_pooling(jt_pooling p) { return p == JT_POOL_MEAN ? 1 : p == JT_POOL_CLS ? 2 : p == JT_POOL_LAST ? 3 : 0; }

static void settings_gguf_encoder(struct settings_gguf *g, const jt_conversion *c) {
    static const char *const act[] = {[JT_FN_SILU] = "silu", [JT_FN_GELU_TANH] = "gelu_pytorch_tanh"};
    const jt_config *k = &c->config;
    const jt_json *labels = jt_config_find(c->json, "id2label");
    char name[24];
    jt_gguf_meta_bool(g->m, settings_key(g, "attention.causal"), false);
    if (settings_pooling(k->pooling)) settings_u32(g, "pooling_type", settings_pooling(k->pooling));
    settings_u32(g, "classifier.pooling_type", settings_pooling(k->classes_pooling));
    if (k->activation != JT_FN_GELU)
        jt_gguf_meta_text(g->m, settings_key(g, "hidden_activation"), act[k->activation], strlen(act[k->activation]));
    if (!k->classes || !labels) return;
    jt_gguf_meta_array(g->m, settings_key(g, "classifier.output_labels"), JT_GGUF_STRING, (uint64_t)k->classes);
    for (int i = 0; i < k->classes; i++) {
        size_t n = 0;
        snprintf(name, sizeof name, "%d", i);
        const char *s = jt_json_string(jt_json_member(labels, name), &n);
        jt_gguf_meta_item_text(g->m, s ? s : name, s ? n : strlen(name));
    }
}

static void settings_gguf_keys(struct settings_gguf *g, const jt_config *c, const struct settings_names *names) {
    bool granite = settings_is(names, "granite"), layer_norm = !c->family->final_norm || c->family->final_norm->biased;
    settings_u32(g, "vocab_size", c->vocab);
    settings_u32(g, "context_length", c->context);
    settings_u32(g, "embedding_length", c->hidden);
    settings_u32(g, "block_count", c->layers);
    settings_u32(g, "feed_forward_length", granite && c->router.experts ? c->expert_ffn : c->ffn);
    settings_u32(g, "attention.head_count", c->heads);
    if (c->ssm_layers)
        settings_gguf_recurrence(g, c);
    else
        settings_u32(g, "attention.head_count_kv", c->kv_heads);
    settings_u32(g, "attention.key_length", c->head_dim);
    settings_u32(g, "attention.value_length", jt_config_value_dim(c));
    settings_f32(g, layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", (double)c->norm_eps);
    if (c->rope_dims)
        settings_gguf_rope(g, c);
    else if (granite)
        jt_gguf_meta_bool(g->m, settings_key(g, "rope.scaling.finetuned"), false);
    if (c->window) settings_gguf_window(g, c, names->period);
    if (granite && c->embed_scale != 1) settings_f32(g, "embedding_scale", (double)c->embed_scale);
    if (granite && c->residual_scale != 1) settings_f32(g, "residual_scale", (double)c->residual_scale);
    if (granite && c->logit_scale != 1) settings_f32(g, "logit_scale", (double)c->logit_scale);
    if (!c->kv_rank && c->attn_scale != 1.0f / sqrtf((float)c->head_dim)) settings_f32(g, "attention.scale", (double)c->attn_scale);
    if (c->attn_cap > 0 || settings_is(names, "gemma2")) settings_f32(g, "attn_logit_softcapping", (double)c->attn_cap);
    if (c->logit_cap > 0 || settings_is(names, "gemma2")) settings_f32(g, "final_logit_softcapping", (double)c->logit_cap);
    if (settings_is(names, "stablelm")) jt_gguf_meta_bool(g->m, settings_key(g, "use_parallel_residual"), c->block->parallel);
    if (c->qkv_clip > 0) settings_f32(g, "attention.clamp_kqv", (double)c->qkv_clip);
    if (c->router.experts) settings_gguf_experts(g, c, names);
}

static void settings_bytes(jt_str *b, uint64_t v, int n) {
    for (int i = 0; i < n; i++) jt_str_putc(b, (char)(v >> (8 * i) & 255));
}

/* Reads the keys again, with tensors of the names and shapes that will be there, and of no known type. */
static jt_status settings_gguf_check(const jt_conversion *c, const jt_gguf_meta *m, jt_error *err) {
    jt_str b = {0};
    jt_gguf *g = NULL;
    jt_config *again = jt_alloc(1, sizeof *again);
    if (!again) return jt_nomem(err, "settings", 1, sizeof *again);
    jt_str_puts(&b, "GGUF");
    settings_bytes(&b, 3, 4), settings_bytes(&b, c->n, 8), settings_bytes(&b, m->count, 8);
    jt_str_add(&b, m->bytes.s, m->bytes.n);
    for (size_t i = 0; i < c->n; i++) {
        const jt_convert_tensor *t = &c->made[i];
        settings_bytes(&b, strlen(t->name), 8);
        jt_str_puts(&b, t->name);
        settings_bytes(&b, (uint64_t)t->n_dims, 4);
        for (int k = t->n_dims; k-- > 0;) settings_bytes(&b, t->dim[k], 8);
        settings_bytes(&b, 9999, 4), settings_bytes(&b, i * 32, 8);
    }
    for (size_t i = 0; i < c->n + 2; i++)
        for (int k = 0; k < 32; k++) jt_str_putc(&b, 0);
    if (m->bytes.failed) b.failed = true;
    jt_status s = jt_str_check(&b, err);
    if (!s) s = jt_gguf_parse(b.s, b.n, &g, err);
    if (!s) s = jt_config_from_gguf(g, again, err);
    if (!s) s = settings_same(&c->config, again, "the GGUF file", err);
    jt_gguf_free(g);
    jt_str_free(&b);
    jt_free(again);
    return s;
}

/* What the input says of itself, and the name of the model: if it has none, the last part of its folder's path. */
static void settings_general(const jt_conversion *c, jt_gguf_meta *m) {
    static const char *const own[] = {"general.architecture", "general.type", "general.file_type", "general.quantization_version"};
    const char *key, *text, *path = c->in;
    bool named = false;
    for (size_t i = 0; jt_safetensors_metadata_at(c->tensors, i, &key, &text); i++) {
        bool skip = strncmp(key, "general.", 8) != 0;
        for (size_t k = 0; k < sizeof own / sizeof *own; k++) skip = skip || !strcmp(key, own[k]);
        if (skip) continue;
        jt_gguf_meta_text(m, key, text, strlen(text));
        named = named || !strcmp(key, "general.name");
    }
    if (named) return;
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    size_t from = n;
    while (from && path[from - 1] != '/') from--;
    jt_gguf_meta_text(m, "general.name", path + from, n - from);
}

static void settings_copy(const jt_conversion *c, jt_gguf_meta *m) {
    for (size_t i = 0; i < jt_gguf_values(c->gguf); i++) {
        const jt_gguf_value *v = jt_gguf_value_at(c->gguf, i);
        bool changed = c->file_type >= 0 && (!strcmp(v->key, "general.file_type") || !strcmp(v->key, "general.quantization_version"));
        if (!changed && strncmp(v->key, "split.", 6) != 0 && strcmp(v->key, "general.alignment") != 0) jt_gguf_meta_copy(m, v);
    }
}

/* The type of most numbers, for a folder whose types stay as they are. */
static int settings_file_type(const jt_conversion *c) {
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
        settings_copy(c, m);
    } else {
        const struct settings_names *names = settings_named(c);
        if (!names) return settings_unknown(c, err);
        struct settings_gguf g = {.m = m, .name = names->gguf};
        jt_gguf_meta_text(m, "general.architecture", names->gguf, strlen(names->gguf));
        jt_gguf_meta_text(m, "general.type", "model", 5);
        settings_general(c, m);
        settings_gguf_keys(&g, &c->config, names);
        if (c->config.encoder) settings_gguf_encoder(&g, c);
        s = settings_gguf_check(c, m, err);
    }
    if (c->tensors || c->file_type >= 0) {
        jt_gguf_meta_u32(m, "general.file_type", (uint64_t)settings_file_type(c));
        jt_gguf_meta_u32(m, "general.quantization_version", 2);
    }
    return s;
}

/* ---- config.json ---- */

static void settings_int(jt_str *o, const char *key, int64_t v) { jt_str_printf(o, ",\n  \"%s\": %lld", key, (long long)v); }
static void settings_bool(jt_str *o, const char *key, bool v) { jt_str_printf(o, ",\n  \"%s\": %s", key, v ? "true" : "false"); }
static void settings_text(jt_str *o, const char *key, const char *v) { jt_str_printf(o, ",\n  \"%s\": \"%s\"", key, v); }

/* The shortest decimal that is the same float32. */
static void settings_number(jt_str *o, float v) {
    char t[40];
    double back;
    bool whole = fabsf(v) < 1e9f && v == floorf(v);
    for (int digits = whole ? 0 : 1; digits <= 9; digits++) {
        int n = snprintf(t, sizeof t, whole ? "%.*f" : "%.*g", digits, (double)v);
        for (int i = 0; i < n; i++)
            if (t[i] == ',') t[i] = '.';
        if (jt_read_double(t, (size_t)n, &back) && (float)back == v) break;
    }
    jt_str_printf(o, "%s%s", t, strpbrk(t, ".e") ? "" : ".0");
}
static void settings_real(jt_str *o, const char *key, float v) {
    jt_str_printf(o, ",\n  \"%s\": ", key);
    settings_number(o, v);
}

/* A key without the comma before it that all others have. */
static void settings_pair(jt_str *o, const char *key, double v) {
    jt_str_printf(o, ", \"%s\": ", key);
    settings_number(o, (float)v);
}

/* The divisors of the rotary frequencies in the GGUF file; NULL: it has none. */
static const jt_gguf_tensor *settings_divisors(const jt_conversion *c, jt_role r) {
    const char *name = c->config.family->role[r].gguf;
    const jt_gguf_tensor *t = name ? jt_gguf_tensor_named(c->gguf, name) : NULL;
    return t && t->type == JT_F32 && t->elements == (uint64_t)c->config.rope_dims / 2 ? t : NULL;
}

static void settings_hf_factors(const jt_conversion *c, const char *key, jt_role r, jt_str *o) {
    const jt_gguf_tensor *t = settings_divisors(c, r);
    jt_str_printf(o, ", \"%s\": [", key);
    for (uint64_t i = 0; t && i < t->elements; i++) {
        float v;
        jt_format_of(JT_F32)->expand(t->data + i * 4, &v, 1);
        if (i) jt_str_puts(o, ", ");
        settings_number(o, v);
    }
    jt_str_puts(o, "]");
}

/* Finds llama3's settings whose divisors are those of the file: factor is the largest of them; of low, high and original
 * only ratios count, so low is 1; the other two follow from two divisors between 1 and factor. */
static bool settings_fit_llama3(const jt_conversion *c, jt_rope *out) {
    const jt_gguf_tensor *t = settings_divisors(c, JT_W_ROPE_FREQS);
    double wave[2] = {0}, smooth[2] = {0}, first = 0, last = 0;
    int n = 0, half = c->config.rope_dims / 2;
    float d[JT_ROPE_PAIRS];
    jt_rope plain = {.kind = JT_ROPE_PLAIN, .base = c->config.rope[0].base};
    if (!t || half < 1 || half > JT_ROPE_PAIRS) return false;
    jt_format_of(JT_F32)->expand(t->data, d, (size_t)half);
    *out = (jt_rope){.kind = JT_ROPE_LLAMA3, .base = plain.base, .factor = 1, .low = 1, .high = 4, .original = 8192};
    for (int i = 0; i < half; i++)
        if ((double)d[i] > out->factor) out->factor = (double)d[i];
    for (int i = 0; i < half; i++) {
        double w = 6.283185307179586 / jt_rope_frequency(&plain, NULL, i, c->config.rope_dims, 0);
        if (d[i] <= 1) first = w;
        if ((double)d[i] >= out->factor && !(last > 0)) last = w;
        if (d[i] > 1.0001f && (double)d[i] < out->factor * 0.9999) {
            int at = n ? 1 : 0;
            wave[at] = w, smooth[at] = (1 / (double)d[i] - 1 / out->factor) / (1 - 1 / out->factor), n++;
        }
    }
    static const double usual[][3] = {{1, 4, 8192}, {1, 4, 32}};
    for (int k = -1; k < 2; k++) {
        if (k < 0 && n < 1) continue;
        if (k >= 0) out->low = usual[k][0], out->high = usual[k][1], out->original = usual[k][2];
        if (k < 0 && n > 1) {
            double span = (wave[1] - wave[0]) / (wave[0] * smooth[0] - wave[1] * smooth[1]);
            out->high = round(1e4 * (1 + span)) / 1e4, out->original = round(wave[0] * (1 + smooth[0] * span));
        } else if (k < 0) { /* one between: with the usual high */
            out->original = round(wave[0] * (1 + 3 * smooth[0]));
        }
        bool fits = out->high > out->low && out->original > 0;
        for (int i = 0; i < half && fits; i++) {
            double by =
                jt_rope_frequency(&plain, NULL, i, c->config.rope_dims, 0) / jt_rope_frequency(out, NULL, i, c->config.rope_dims, 0);
            fits = fabs(by - (double)d[i]) <= 1e-5 * by;
        }
        if (fits) return true;
    }
    if (n) return false;
    /* None between: any border there. */
    out->low = 1, out->high = 1.001, out->original = first > 0 && last > 0 ? sqrt(first * last) : first > 0 ? first * 2 : last / 2;
    return true;
}

static jt_status settings_hf_rope(const jt_conversion *c, jt_str *o, jt_error *err) {
    static const char *const type[] = {
        [JT_ROPE_PLAIN] = "default", [JT_ROPE_LINEAR] = "linear", [JT_ROPE_NTK] = "ntk",      [JT_ROPE_DYNAMIC] = "dynamic",
        [JT_ROPE_YARN] = "yarn",     [JT_ROPE_LLAMA3] = "llama3", [JT_ROPE_LONG] = "longrope"};
    const jt_config *k = &c->config;
    jt_rope r = k->rope[0];
    jt_str body = {0};
    const char *divisors = k->family->role[JT_W_ROPE_FREQS].gguf;
    if (divisors && jt_gguf_tensor_named(c->gguf, divisors) && (r.kind != JT_ROPE_PLAIN || !settings_fit_llama3(c, &r)))
        return jt_error_set(err, JT_UNSUPPORTED, "tensor %s: no settings of config.json give these rotary frequencies", divisors);
    jt_str_printf(&body, "{\"rope_type\": \"%s\"", type[r.kind]);
    settings_pair(&body, "rope_theta", r.base);
    if (r.kind != JT_ROPE_PLAIN && r.factor > 0) settings_pair(&body, "factor", r.factor);
    if (r.kind == JT_ROPE_YARN || r.kind == JT_ROPE_LLAMA3 || r.kind == JT_ROPE_LONG)
        jt_str_printf(&body, ", \"original_max_position_embeddings\": %d", (int)r.original);
    if (r.kind == JT_ROPE_LLAMA3) settings_pair(&body, "low_freq_factor", r.low), settings_pair(&body, "high_freq_factor", r.high);
    if (r.kind == JT_ROPE_YARN) settings_pair(&body, "beta_fast", r.high), settings_pair(&body, "beta_slow", r.low);
    if (r.kind == JT_ROPE_YARN && r.fractions) jt_str_puts(&body, ", \"truncate\": false");
    if (r.kind == JT_ROPE_YARN || r.kind == JT_ROPE_LONG) settings_pair(&body, "attention_factor", jt_rope_attention(&r));
    if (r.kind == JT_ROPE_LONG) {
        settings_hf_factors(c, "short_factor", JT_W_ROPE_SHORT, &body);
        settings_hf_factors(c, "long_factor", JT_W_ROPE_LONG, &body);
        settings_int(o, "original_max_position_embeddings", (int64_t)r.original);
    }
    double mscale = settings_mscale(k);
    if (mscale > 0) settings_pair(&body, "mscale", mscale), settings_pair(&body, "mscale_all_dim", mscale);
    bool part = (k->rope_dims != k->head_dim || settings_is(settings_named(c), "stablelm")) && !k->kv_rank;
    if (part) settings_pair(&body, "partial_rotary_factor", (double)k->rope_dims / k->head_dim);
    jt_str_puts(&body, "}");
    settings_real(o, "rope_theta", (float)r.base);
    if (part) settings_real(o, "partial_rotary_factor", (float)k->rope_dims / (float)k->head_dim);
    if (r.kind != JT_ROPE_PLAIN) jt_str_printf(o, ",\n  \"rope_scaling\": %s", jt_str_c(&body));
    if (k->rope_two) {
        settings_real(o, "rope_local_base_freq", (float)k->rope[1].base);
        jt_str_printf(o, ",\n  \"rope_parameters\": {\"full_attention\": %s, \"sliding_attention\": {\"rope_type\": \"default\"",
                      jt_str_c(&body));
        settings_pair(o, "rope_theta", k->rope[1].base);
        jt_str_puts(o, "}}");
    } else {
        jt_str_printf(o, ",\n  \"rope_parameters\": %s", jt_str_c(&body));
    }
    if (body.failed) o->failed = true;
    jt_str_free(&body);
    return JT_OK;
}

static void settings_hf_multipliers(jt_str *o, const jt_config *c) {
    settings_real(o, "embedding_multiplier", c->embed_scale);
    settings_real(o, "residual_multiplier", c->residual_scale);
    settings_real(o, "logits_scaling", c->logit_scale);
    settings_real(o, "attention_multiplier", c->attn_scale);
}

static void settings_hf_hybrid(jt_str *o, const jt_config *c) {
    settings_int(o, "shared_intermediate_size", c->ffn);
    if (!c->router.experts) settings_int(o, "num_local_experts", 0), settings_int(o, "num_experts_per_tok", 0);
    settings_text(o, "position_embedding_type", c->rope_dims ? "rope" : "nope");
    settings_int(o, "mamba_n_heads", c->ssm_heads);
    settings_int(o, "mamba_d_head", c->ssm_head_dim);
    settings_int(o, "mamba_d_state", c->ssm_state);
    settings_int(o, "mamba_n_groups", c->ssm_groups);
    settings_int(o, "mamba_d_conv", c->ssm_taps);
    settings_int(o, "mamba_expand", jt_config_ssm_inner(c) / c->hidden);
    settings_bool(o, "mamba_proj_bias", false);
    settings_bool(o, "mamba_conv_bias", true);
    jt_str_puts(o, ",\n  \"layer_types\": [");
    for (int i = 0; i < c->layers; i++) jt_str_printf(o, "%s\"%s\"", i ? ", " : "", jt_config_recurrent(c, i) ? "mamba" : "attention");
    jt_str_puts(o, "]");
}

static void settings_hf_windows(jt_str *o, const jt_config *c, const struct settings_names *names) {
    bool all = true;
    for (int i = 0; i < c->layers; i++) all = all && jt_config_window(c, i);
    if (settings_is(names, "qwen") || settings_is(names, "smollm3")) {
        settings_bool(o, "use_sliding_window", c->window > 0);
        if (settings_is(names, "qwen")) settings_int(o, "max_window_layers", c->window ? 0 : c->layers);
    }
    if (!c->window) {
        jt_str_puts(o, ",\n  \"sliding_window\": null");
        return;
    }
    settings_int(o, "sliding_window", c->window);
    if (all && !names->period) return;
    jt_str_puts(o, ",\n  \"layer_types\": [");
    for (int i = 0; i < c->layers; i++) jt_str_printf(o, "%s\"%s_attention\"", i ? ", " : "", jt_config_window(c, i) ? "sliding" : "full");
    jt_str_puts(o, "]");
}

static void settings_hf_ids(jt_str *o, const jt_gguf *g) {
    static const char *const row[][2] = {{"bos_token_id", "tokenizer.ggml.bos_token_id"},
                                         {"eos_token_id", "tokenizer.ggml.eos_token_id"},
                                         {"pad_token_id", "tokenizer.ggml.padding_token_id"}};
    for (int i = 0; i < 3; i++) {
        uint64_t id;
        if (!jt_gguf_get_u64(g, row[i][1], &id, NULL) && id < INT32_MAX)
            settings_int(o, row[i][0], (int64_t)id);
        else
            jt_str_printf(o, ",\n  \"%s\": null", row[i][0]);
    }
}

/* As transformers calls the type of most numbers. */
static const char *settings_dtype(const jt_conversion *c) {
    int t = settings_file_type(&(jt_conversion){.file_type = -1, .made = c->made, .n = c->n});
    return t == 0 ? "float32" : t == 1 ? "float16" : "bfloat16";
}

/* Whether the first layer's role has a tensor in the GGUF file. */
static bool settings_has(const jt_conversion *c, jt_role r) {
    char name[128];
    const char *tail = jt_config_row(c->gguf, &c->config, 0, r).gguf;
    snprintf(name, sizeof name, "blk.0.%s", tail ? tail : "");
    return tail && jt_gguf_tensor_named(c->gguf, name);
}

static void settings_hf_gpt2(const jt_conversion *c, jt_str *o) {
    const jt_config *k = &c->config;
    settings_int(o, "n_embd", k->hidden);
    settings_int(o, "n_layer", k->layers);
    settings_int(o, "n_head", k->heads);
    settings_int(o, "n_positions", k->positions);
    settings_int(o, "n_inner", k->ffn);
    settings_real(o, "layer_norm_epsilon", k->norm_eps);
    settings_text(o, "activation_function", k->activation == JT_FN_GELU_TANH ? "gelu_new" : k->activation == JT_FN_GELU ? "gelu" : "silu");
    settings_bool(o, "scale_attn_weights", k->attn_scale != 1);
}

static void settings_hf_gemma(const jt_config *c, jt_str *o) {
    float scalar = 1 / (c->attn_scale * c->attn_scale);
    if (1 / sqrtf(roundf(scalar)) == c->attn_scale) /* transformers takes nothing but an integer */
        settings_int(o, "query_pre_attn_scalar", (int64_t)roundf(scalar));
    else
        settings_real(o, "query_pre_attn_scalar", scalar);
    const float cap[] = {c->attn_cap, c->logit_cap};
    for (int i = 0; i < 2; i++) {
        const char *key = i ? "final_logit_softcapping" : "attn_logit_softcapping";
        if (cap[i] > 0)
            settings_real(o, key, cap[i]);
        else
            jt_str_printf(o, ",\n  \"%s\": null", key);
    }
}

static void settings_hf_latent(const jt_config *c, jt_str *o) {
    const jt_router *r = &c->router;
    bool three = r->rule == JT_ROUTE_SIGMOID;
    if (c->q_rank)
        settings_int(o, "q_lora_rank", c->q_rank);
    else
        jt_str_puts(o, ",\n  \"q_lora_rank\": null");
    settings_int(o, "kv_lora_rank", c->kv_rank);
    settings_int(o, "qk_rope_head_dim", c->rope_dims);
    settings_int(o, "qk_nope_head_dim", c->rope_at);
    settings_int(o, "v_head_dim", jt_config_value_dim(c));
    settings_int(o, "n_shared_experts", c->shared_ffn / c->expert_ffn);
    settings_int(o, "moe_intermediate_size", c->expert_ffn);
    settings_int(o, "first_k_dense_replace", settings_first_dense(c));
    settings_int(o, "n_group", r->groups ? r->groups : 1);
    settings_int(o, "topk_group", r->groups ? r->groups_used : 1);
    settings_real(o, "routed_scaling_factor", r->scale);
    settings_text(o, "scoring_func", three ? "sigmoid" : "softmax");
    settings_text(o, "topk_method", three ? "noaux_tc" : r->groups ? "group_limited_greedy" : "greedy");
    if (three) settings_int(o, "num_nextn_predict_layers", 0);
}

static void settings_hf_experts(const jt_config *c, const struct settings_names *names, jt_str *o) {
    bool any = false;
    bool local = settings_is(names, "mixtral") || settings_is(names, "granite") || settings_is(names, "gpt_oss");
    settings_int(o, local ? "num_local_experts" : c->kv_rank ? "n_routed_experts" : "num_experts", c->router.experts);
    settings_int(o, "num_experts_per_tok", c->router.used);
    if (!local || settings_is(names, "mixtral")) settings_bool(o, "norm_topk_prob", c->router.normalise);
    if (settings_is(names, "granitemoeshared")) settings_int(o, "shared_intermediate_size", c->shared_ffn);
    if (c->shared_gate) settings_int(o, "shared_expert_intermediate_size", c->shared_ffn);
    if (settings_is(names, "olmoe") && c->qkv_clip > 0) settings_real(o, "clip_qkv", c->qkv_clip);
    if (c->glu_limit > 0) settings_real(o, "swiglu_alpha", c->glu_alpha), settings_real(o, "swiglu_limit", c->glu_limit);
    if (c->kv_rank) settings_hf_latent(c, o);
    if (!settings_is(names, "qwen3_moe") && !settings_is(names, "qwen2_moe")) return;
    settings_int(o, "moe_intermediate_size", c->expert_ffn);
    settings_int(o, "decoder_sparse_step", 1);
    jt_str_puts(o, ",\n  \"mlp_only_layers\": [");
    for (int i = 0; i < c->layers; i++) {
        if (jt_config_sparse(c, i)) continue;
        jt_str_printf(o, "%s%d", any ? ", " : "", i);
        any = true;
    }
    jt_str_puts(o, "]");
}

/* What only some families have. */
static void settings_hf_own(const jt_conversion *c, const struct settings_names *names, jt_str *o) {
    const jt_config *k = &c->config;
    if (settings_is(names, "granite")) settings_hf_multipliers(o, k);
    if (k->ssm_layers) settings_hf_hybrid(o, k);
    if (settings_is(names, "gemma2") || settings_is(names, "gemma3")) settings_hf_gemma(k, o);
    if (settings_is(names, "stablelm")) {
        settings_bool(o, "use_parallel_residual", k->block->parallel);
        settings_bool(o, "use_qkv_bias", settings_has(c, JT_W_Q_BIAS));
        settings_bool(o, "qk_layernorm", k->qk_norm == JT_QK_EACH);
    }
    if (settings_is(names, "qwen2_moe")) settings_bool(o, "qkv_bias", settings_has(c, JT_W_Q_BIAS));
    if (settings_is(names, "starcoder2")) settings_bool(o, "use_bias", settings_has(c, JT_W_Q_BIAS));
    if (settings_is(names, "llama") || settings_is(names, "smollm3") || (settings_is(names, "granite") && !k->ssm_layers))
        settings_bool(o, "mlp_bias", settings_has(c, JT_W_GATE_BIAS));
    if (k->router.experts) settings_hf_experts(k, names, o);
    if (!settings_is(names, "smollm3")) return;
    jt_str_puts(o, ",\n  \"no_rope_layers\": [");
    for (int i = 0; i < k->layers; i++) jt_str_printf(o, "%s%d", i ? ", " : "", jt_config_rotates(k, i));
    jt_str_puts(o, "]");
}

static jt_status settings_hf_decoder(const jt_conversion *c, const struct settings_names *names, jt_str *o, jt_error *err) {
    static const char *const act[] = {[JT_FN_SILU] = "silu", [JT_FN_GELU] = "gelu", [JT_FN_GELU_TANH] = "gelu_pytorch_tanh"};
    const jt_config *k = &c->config;
    const char *eps = settings_is(names, "stablelm")     ? "layer_norm_eps"
                      : settings_is(names, "starcoder2") ? "norm_epsilon"
                                                         : "rms_norm_eps";
    settings_int(o, "hidden_size", k->hidden);
    settings_int(o, "intermediate_size", settings_is(names, "granite") && k->router.experts ? k->expert_ffn : k->ffn);
    settings_int(o, "num_hidden_layers", k->layers);
    settings_int(o, "num_attention_heads", k->heads);
    settings_int(o, "num_key_value_heads", k->kv_heads);
    settings_int(o, "head_dim", k->kv_rank ? k->rope_dims : k->head_dim);
    settings_int(o, "max_position_embeddings", k->context);
    settings_real(o, eps, k->norm_eps);
    settings_text(o, settings_is(names, "gemma") ? "hidden_activation" : "hidden_act", act[k->activation]);
    if (settings_is(names, "gemma")) settings_text(o, "hidden_act", act[k->activation]);
    settings_bool(o, "attention_bias", settings_has(c, JT_W_O_BIAS) || (settings_has(c, JT_W_Q_BIAS) && !settings_is(names, "qwen2")));
    jt_status s = k->rope_dims ? settings_hf_rope(c, o, err) : JT_OK;
    if (!s && !k->ssm_layers) settings_hf_windows(o, k, names);
    return s;
}

static void settings_hf_labels(const jt_conversion *c, const struct settings_names *names, jt_str *o) {
    char key[80];
    const char *s = NULL;
    size_t n = 0;
    snprintf(key, sizeof key, "%s.classifier.output_labels", names->gguf);
    const jt_gguf_value *v = jt_gguf_find(c->gguf, key);
    jt_str_puts(o, ",\n  \"id2label\": {");
    for (int i = 0; i < c->config.classes; i++) {
        int k = snprintf(key, sizeof key, "LABEL_%d", i);
        if (!v || v->type != JT_GGUF_ARRAY || v->element != JT_GGUF_STRING || !jt_gguf_item_text(v, (uint64_t)i, &s, &n))
            s = key, n = (size_t)k;
        jt_str_printf(o, "%s\"%d\": ", i ? ", " : "", i);
        jt_str_json(o, s, n);
    }
    jt_str_puts(o, "}");
}

/* Whether a tensor that occurs once is in the GGUF file. */
static bool settings_once(const jt_conversion *c, jt_role r) { return jt_gguf_tensor_named(c->gguf, c->config.family->role[r].gguf); }

static void settings_hf_modern(const jt_conversion *c, const char *act, jt_str *o) {
    const jt_config *k = &c->config;
    settings_real(o, "norm_eps", k->norm_eps);
    settings_text(o, "hidden_activation", act);
    settings_text(o, "classifier_activation", "gelu");
    settings_text(o, "classifier_pooling", k->classes_pooling == JT_POOL_MEAN ? "mean" : "cls");
    settings_bool(o, "classifier_bias", settings_once(c, JT_W_POOLED_BIAS));
    settings_bool(o, "norm_bias", settings_once(c, JT_W_FINAL_NORM_BIAS));
    settings_bool(o, "attention_bias", settings_has(c, JT_W_O_BIAS));
    settings_bool(o, "mlp_bias", settings_has(c, JT_W_DOWN_BIAS));
    settings_real(o, "global_rope_theta", (float)k->rope[0].base);
    settings_real(o, "local_rope_theta", (float)(k->rope_two ? k->rope[1].base : k->rope[0].base));
    settings_int(o, "local_attention", k->window ? 2 * (k->window - 1) : 128);
    jt_str_puts(o, ",\n  \"layer_types\": [");
    for (int i = 0; i < k->layers; i++) jt_str_printf(o, "%s\"%s_attention\"", i ? ", " : "", jt_config_window(k, i) ? "sliding" : "full");
    jt_str_puts(o, "]");
}

static void settings_hf_encoder(const jt_conversion *c, const struct settings_names *names, jt_str *o) {
    static const char *const act[] = {[JT_FN_SILU] = "silu", [JT_FN_GELU] = "gelu", [JT_FN_GELU_TANH] = "gelu_pytorch_tanh"};
    const jt_config *k = &c->config;
    settings_int(o, "hidden_size", k->hidden);
    settings_int(o, "intermediate_size", k->ffn);
    settings_int(o, "num_hidden_layers", k->layers);
    settings_int(o, "num_attention_heads", k->heads);
    settings_int(o, "max_position_embeddings", k->context);
    if (settings_is(names, "bert")) {
        settings_real(o, "layer_norm_eps", k->norm_eps);
        settings_text(o, "hidden_act", act[k->activation]);
        settings_int(o, "type_vocab_size", k->types);
    } else {
        settings_hf_modern(c, act[k->activation], o);
    }
    if (k->classes) settings_hf_labels(c, names, o);
}

static jt_status settings_hf_keys(const jt_conversion *c, const struct settings_names *names, jt_str *o, jt_error *err) {
    const jt_config *k = &c->config;
    jt_status s = JT_OK;
    bool tied = true;
    const char *kind = !k->encoder ? "" : k->classes ? "ForSequenceClassification" : "Model", *head = k->family->role[JT_W_HEAD].hf;
    for (size_t i = 0; i < c->n; i++) tied = tied && (!head || strcmp(c->made[i].name, head) != 0);
    jt_str_printf(o, "{\n  \"architectures\": [\"%s%s\"]", names->class, kind);
    settings_text(o, "model_type", names->hf);
    settings_text(o, "torch_dtype", settings_dtype(c));
    settings_int(o, "vocab_size", k->vocab);
    settings_bool(o, "tie_word_embeddings", tied);
    if (k->encoder)
        settings_hf_encoder(c, names, o);
    else if (k->positions)
        settings_hf_gpt2(c, o);
    else
        s = settings_hf_decoder(c, names, o, err);
    settings_hf_own(c, names, o);
    settings_hf_ids(o, c->gguf);
    jt_str_puts(o, "\n}\n");
    return s;
}

/* config.json of a folder that becomes another: as it was, its bytes. */
static jt_status settings_hf_copy(const jt_conversion *c, jt_str *out, jt_error *err) {
    jt_str name = {0};
    jt_str_printf(&name, "%s/config.json", c->in);
    jt_status s = jt_str_check(&name, err);
    if (!s) s = jt_file_read(name.s, out, err);
    jt_str_free(&name);
    return s;
}

jt_status jt_convert_config_hf(const jt_conversion *c, jt_str *out, jt_error *err) {
    if (c->tensors) return settings_hf_copy(c, out, err);
    const struct settings_names *names = settings_named(c);
    jt_json *j = NULL;
    if (!names) return settings_unknown(c, err);
    jt_config *again = jt_alloc(1, sizeof *again);
    if (!again) return jt_nomem(err, "settings", 1, sizeof *again);
    jt_status s = settings_hf_keys(c, names, out, err);
    if (!s) s = jt_str_check(out, err);
    if (!s) s = jt_json_parse(out->s, out->n, &j, err);
    if (!s) s = jt_config_from_hf(j, again, err);
    if (!s) s = settings_same(&c->config, again, "config.json", err);
    jt_json_free(j);
    jt_free(again);
    return s;
}
