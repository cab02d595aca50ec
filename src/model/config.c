#include "model/config.h"

#include <math.h>
#include <string.h>

#include "tensor/op.h"

const jt_family *const jt_families[] = {&jt_family_llama,
                                        &jt_family_mistral,
                                        &jt_family_granite_hybrid,
                                        &jt_family_smollm3,
                                        &jt_family_granite,
                                        &jt_family_qwen2,
                                        &jt_family_qwen3,
                                        &jt_family_gemma,
                                        &jt_family_gemma2,
                                        &jt_family_gemma3,
                                        &jt_family_phi3,
                                        &jt_family_olmo2,
                                        &jt_family_gpt2,
                                        &jt_family_stablelm,
                                        &jt_family_starcoder2,
                                        &jt_family_mixtral,
                                        &jt_family_qwen3_moe,
                                        &jt_family_olmoe,
                                        &jt_family_gpt_oss,
                                        &jt_family_granite_moe,
                                        &jt_family_granite_moe_shared,
                                        &jt_family_deepseek_v2,
                                        &jt_family_deepseek_v3,
                                        &jt_family_ministral,
                                        &jt_family_olmo3,
                                        &jt_family_qwen2_moe,
                                        &jt_family_bert,
                                        &jt_family_modern_bert,
                                        NULL};

static void list_families(bool hf, char *out, size_t cap) {
    size_t n = 0;
    out[0] = 0;
    for (int i = 0; jt_families[i]; i++) {
        if (!hf && (!jt_families[i]->read_gguf || jt_families[i]->takes_gguf)) continue;
        int k = snprintf(out + n, cap - n, "%s%s", n ? ", " : "", hf ? jt_families[i]->hf : jt_families[i]->name);
        if (k < 0 || (size_t)k >= cap - n) break;
        n += (size_t)k;
    }
}

static jt_status config_check_rope(const jt_rope *r, jt_error *err) {
    if (!(r->base > 1 && r->base < 1e12)) return jt_error_set(err, JT_FORMAT, "rotary base is %g; it must be in (1, 1e12)", r->base);
    if (r->kind == JT_ROPE_PLAIN) return JT_OK;
    if (r->kind != JT_ROPE_LONG && !(r->factor > 0 && r->factor < 1e6))
        return jt_error_set(err, JT_FORMAT, "the factor of the rotary scaling is %g; it must be in (0, 1e6)", r->factor);
    if (r->kind >= JT_ROPE_DYNAMIC && !(r->original > 1 && r->original < 1e9))
        return jt_error_set(err, JT_FORMAT, "the original context of the rotary scaling is %g; it must be in (1, 1e9)", r->original);
    bool borders = r->kind == JT_ROPE_YARN || r->kind == JT_ROPE_LLAMA3;
    if (borders && !(r->low > 0 && r->high > r->low && r->high < 1e6))
        return jt_error_set(err, JT_FORMAT, "the borders of the rotary scaling are %g and %g; they must ascend from above 0", r->low,
                            r->high);
    if (!(r->attention >= 0 && r->attention < 1e3))
        return jt_error_set(err, JT_FORMAT, "the attention factor of the rotary scaling is %g; it must be in [0, 1000)", r->attention);
    return JT_OK;
}

/* Limits that keep every product of sizes far from overflow. */
static jt_status config_check(const jt_config *c, jt_error *err) {
    enum { BIG = 1 << 24 };
    const struct {
        const char *name;
        int v;
    } row[] = {{"vocabulary size", c->vocab}, {"hidden size", c->hidden},    {"number of layers", c->layers},
               {"number of heads", c->heads}, {"head size", c->head_dim},    {"number of key-value heads", c->kv_heads},
               {"feed-forward size", c->ffn}, {"context length", c->context}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (row[i].v < 1 || row[i].v > BIG)
            return jt_error_set(err, JT_FORMAT, "%s is %d; it must be between 1 and %d", row[i].name, row[i].v, (int)BIG);
    if (c->layers > JT_CONFIG_LAYERS)
        return jt_error_set(err, JT_FORMAT, "number of layers is %d; at most %d are supported", c->layers, (int)JT_CONFIG_LAYERS);
    if (c->head_dim > 1024) return jt_error_set(err, JT_FORMAT, "head size is %d; at most 1024 is supported", c->head_dim);
    if (c->heads > 1024) return jt_error_set(err, JT_FORMAT, "number of heads is %d; at most 1024 are supported", c->heads);
    if (c->heads % c->kv_heads)
        return jt_error_set(err, JT_FORMAT, "%d heads cannot share %d key-value heads evenly", c->heads, c->kv_heads);
    if (c->rope_dims < 0 || c->rope_dims > c->head_dim || c->rope_dims % 2)
        return jt_error_set(err, JT_FORMAT, "rotary dimensions are %d; they must be even and at most the head size %d", c->rope_dims,
                            c->head_dim);
    if (!(c->norm_eps >= 0 && c->norm_eps < 1))
        return jt_error_set(err, JT_FORMAT, "norm epsilon is %g; it must be in [0, 1)", (double)c->norm_eps);
    if (c->rope_dims / 2 > JT_ROPE_PAIRS)
        return jt_error_set(err, JT_FORMAT, "rotary dimensions are %d; at most %d are supported", c->rope_dims, 2 * JT_ROPE_PAIRS);
    for (int k = 0; k <= c->rope_two && c->rope_dims; k++) {
        jt_status s = config_check_rope(&c->rope[k], err);
        if (s) return s;
    }
    return JT_OK;
}

static jt_status config_check_recurrence(const jt_config *c, jt_error *err) {
    const struct {
        const char *name;
        int v, most;
    } row[] = {{"number of heads of the recurrence", c->ssm_heads, 4096},
               {"head size of the recurrence", c->ssm_head_dim, 1024},
               {"state size of the recurrence", c->ssm_state, 1024},
               {"number of groups of the recurrence", c->ssm_groups, 4096},
               {"size of the convolution", c->ssm_taps, JT_MAX_TAPS}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (row[i].v < 1 || row[i].v > row[i].most)
            return jt_error_set(err, JT_FORMAT, "%s is %d; it must be between 1 and %d", row[i].name, row[i].v, row[i].most);
    if (c->ssm_heads % c->ssm_groups)
        return jt_error_set(err, JT_FORMAT, "%d heads of the recurrence cannot share %d groups evenly", c->ssm_heads, c->ssm_groups);
    return JT_OK;
}

static jt_status config_check_experts(const jt_config *c, jt_error *err) {
    const jt_router *r = &c->router;
    const struct {
        const char *name;
        int v, least, most;
    } row[] = {{"number of experts", r->experts, 1, 4096},
               {"number of experts used", r->used, 1, r->experts},
               {"feed-forward size of experts", c->expert_ffn, 1, 1 << 24},
               {"feed-forward size of shared experts", c->shared_ffn, 0, 1 << 24},
               {"number of groups of experts", r->groups, 0, r->experts},
               {"number of groups of experts used", r->groups_used, r->groups > 1, r->groups}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (row[i].v < row[i].least || row[i].v > row[i].most)
            return jt_error_set(err, JT_FORMAT, "%s is %d; it must be between %d and %d", row[i].name, row[i].v, row[i].least, row[i].most);
    if (r->groups > 1 && (r->experts % r->groups || r->experts / r->groups * r->groups_used < r->used))
        return jt_error_set(err, JT_FORMAT, "%d of %d experts cannot be chosen from %d of %d groups", r->used, r->experts, r->groups_used,
                            r->groups);
    int64_t width = c->expert_ffn > c->hidden ? c->expert_ffn : c->hidden;
    if (width * r->used > 1 << 28)
        return jt_error_set(err, JT_LIMIT, "%d experts of width %lld for each row are more than this build has room for", r->used,
                            (long long)width);
    if (!(r->scale > -1e6f && r->scale < 1e6f))
        return jt_error_set(err, JT_FORMAT, "the scale of the experts' weights is %g; it cannot be meant", (double)r->scale);
    return JT_OK;
}

static jt_status config_check_latent(const jt_config *c, jt_error *err) {
    enum { BIG = 1 << 20 };
    if (c->value_dim < 0 || c->value_dim > 1024)
        return jt_error_set(err, JT_FORMAT, "head size of values is %d; at most 1024 is supported", c->value_dim);
    if (c->q_rank < 0 || c->q_rank > BIG || c->kv_rank < 0 || c->kv_rank > BIG)
        return jt_error_set(err, JT_FORMAT, "ranks of the attention are %d and %d; they must be between 1 and %d", c->q_rank, c->kv_rank,
                            (int)BIG);
    if (c->kv_rank && (c->rope_at < 1 || c->rope_dims < 2 || c->rope_at + c->rope_dims != c->head_dim))
        return jt_error_set(err, JT_FORMAT, "%d rotary dimensions do not fit a head of %d", c->rope_dims, c->head_dim);
    return JT_OK;
}

static jt_status config_check_caps(const jt_config *c, jt_error *err) {
    const struct {
        const char *name;
        float v;
    } row[] = {{"scores", c->attn_cap}, {"logits", c->logit_cap}};
    for (int i = 0; i < 2; i++)
        if (!(row[i].v >= 0 && row[i].v < 1e6f))
            return jt_error_set(err, JT_FORMAT, "the soft cap of the %s is %g; it must be in [0, 1e6)", row[i].name, (double)row[i].v);
    return JT_OK;
}

static jt_status config_finish(jt_config *c, jt_error *err) {
    jt_status s = config_check(c, err);
    if (!s) s = config_check_caps(c, err);
    if (!s && c->router.experts) s = config_check_experts(c, err);
    if (!s) s = config_check_latent(c, err);
    if (!s && (c->types < 0 || c->types > 1 << 16 || c->classes < 0 || c->classes > 1 << 20))
        s = jt_error_set(err, JT_FORMAT, "%d token types and %d labels; there may be at most %d and %d", c->types, c->classes, 1 << 16,
                         1 << 20);
    if (s) return s;
    if (!c->router.scale) c->router.scale = 1;
    for (int i = 0; i < c->layers; i++) c->ssm_layers += jt_config_recurrent(c, i);
    if (c->ssm_layers && (s = config_check_recurrence(c, err))) return s;
    float *const scale[] = {&c->embed_scale, &c->residual_scale, &c->logit_scale, &c->attn_scale};
    static const char *const name[] = {"embedding", "residual", "logits", "attention"};
    if (!c->attn_scale) c->attn_scale = 1.0f / sqrtf((float)c->head_dim);
    for (int i = 0; i < 4; i++) {
        if (!*scale[i]) *scale[i] = 1;
        if (!(*scale[i] > -1e6f && *scale[i] < 1e6f))
            return jt_error_set(err, JT_FORMAT, "the multiplier of the %s is %g; it cannot be meant", name[i], (double)*scale[i]);
    }
    return JT_OK;
}

/* ---- what families share ---- */

jt_status jt_config_gguf_int(const jt_gguf *g, const char *key, uint64_t otherwise, int *out, jt_error *err) {
    uint64_t v = otherwise;
    jt_status s = otherwise ? jt_gguf_get_u64_or(g, key, otherwise, &v, err) : jt_gguf_get_u64(g, key, &v, err);
    if (s) return s;
    if (v > INT32_MAX) return jt_error_set(err, JT_FORMAT, "%s is %llu, too large", key, (unsigned long long)v);
    *out = (int)v;
    return JT_OK;
}

jt_status jt_config_gguf_vocab(const jt_gguf *g, const jt_role_row *row, jt_config *c, jt_error *err) {
    const jt_gguf_tensor *embed = jt_gguf_tensor_named(g, row->gguf);
    if (!embed || embed->n_dims != 2 || embed->dim[1] > INT32_MAX)
        return jt_error_set(err, JT_FORMAT, "tensor %s with two dimensions is missing; the file holds no model that can be run", row->gguf);
    c->vocab = (int)embed->dim[1];
    return JT_OK;
}

jt_status jt_config_hf_int(const jt_json *j, const char *key, int64_t otherwise, int *out, jt_error *err) {
    int64_t v;
    jt_status s = otherwise ? jt_config_int_or(j, key, 1, INT32_MAX, otherwise, &v, err) : jt_config_int(j, key, 1, INT32_MAX, &v, err);
    if (!s) *out = (int)v;
    return s;
}

jt_status jt_config_hf_off(const jt_json *j, const char *key, jt_error *err) {
    bool v;
    jt_status s = jt_config_bool_or(j, key, false, &v, err);
    return s ? s : v ? jt_error_set(err, JT_UNSUPPORTED, "%s is true, which is not supported by this build", key) : JT_OK;
}

jt_status jt_config_hf_only(const jt_json *j, const char *key, const char *word, jt_error *err) {
    const char *v;
    jt_status s = jt_config_string_or(j, key, word, &v, err);
    return s || !strcmp(v, word) ? s : jt_error_set(err, JT_UNSUPPORTED, "%s \"%.32s\" is not supported by this build", key, v);
}

/* ---- ---- */

jt_status jt_config_from_gguf(const jt_gguf *g, jt_config *out, jt_error *err) {
    const char *s;
    size_t n;
    char have[256];
    jt_config c = {0};
    jt_status e = jt_gguf_get_text(g, "general.architecture", &s, &n, err);
    if (e) return e;
    for (int i = 0; jt_families[i]; i++)
        if (jt_families[i]->read_gguf && strlen(jt_families[i]->name) == n && !memcmp(jt_families[i]->name, s, n) &&
            (!jt_families[i]->takes_gguf || jt_families[i]->takes_gguf(g)))
            c.family = jt_families[i];
    if (!c.family) {
        list_families(false, have, sizeof have);
        return jt_error_set(err, JT_UNSUPPORTED, "architecture \"%.*s\" is not supported; this build knows %s", (int)(n < 64 ? n : 64), s,
                            have);
    }
    c.block = c.family->block;
    if ((e = c.family->read_gguf(g, &c, err)) || (e = config_finish(&c, err))) return e;
    *out = c;
    return JT_OK;
}

/* Weights with fewer bits, as quantization_config tells them. */
static jt_status config_hf_quantised(const jt_json *j, jt_config *c, jt_error *err) {
    const jt_json *q = jt_config_find(j, "quantization_config");
    const char *method, *format;
    int64_t tile[2] = {0};
    size_t n = 0;
    jt_status s;
    if (!q) return JT_OK;
    if ((s = jt_config_string_or(q, "quant_method", "", &method, err))) return s;
    if (!strcmp(method, "mxfp4")) return JT_OK;
    if (strcmp(method, "fp8") != 0)
        return jt_error_set(err, JT_UNSUPPORTED, "quantization_config: quant_method \"%.32s\" is not supported by this build", method);
    if ((s = jt_config_string_or(q, "fmt", "e4m3", &format, err)) ||
        (jt_config_find(q, "weight_block_size") && (s = jt_config_ints(q, "weight_block_size", tile, 2, &n, err))))
        return s;
    if (strcmp(format, "e4m3") != 0)
        return jt_error_set(err, JT_UNSUPPORTED, "quantization_config: fmt \"%.32s\" is not supported by this build", format);
    if (n && (n != 2 || tile[0] < 1 || tile[1] < 1 || tile[0] > 1 << 24 || tile[1] > 1 << 24))
        return jt_error_set(err, JT_FORMAT, "quantization_config: weight_block_size must be two numbers above 0");
    c->fp8 = true, c->fp8_rows = (int)tile[0], c->fp8_cols = (int)tile[1];
    return JT_OK;
}

jt_status jt_config_from_hf(const jt_json *j, jt_config *out, jt_error *err) {
    const char *type;
    char have[256];
    jt_config c = {0};
    jt_status e = jt_config_string(j, "model_type", &type, err);
    if (e || (e = config_hf_quantised(j, &c, err))) return e;
    for (int i = 0; jt_families[i]; i++)
        if (!strcmp(jt_families[i]->hf, type)) c.family = jt_families[i];
    const jt_json *text = jt_config_find(j, "text_config");
    for (int i = 0; text && jt_families[i]; i++)
        if (jt_families[i]->hf_part_of && !strcmp(jt_families[i]->hf_part_of, type)) c.family = jt_families[i], c.part = true, j = text;
    if (!c.family) {
        list_families(true, have, sizeof have);
        return jt_error_set(err, JT_UNSUPPORTED, "model_type \"%.64s\" is not supported; this build knows %s", type, have);
    }
    c.block = c.family->block;
    if ((e = c.family->read_hf(j, &c, err)) || (e = config_finish(&c, err))) return e;
    *out = c;
    return JT_OK;
}

void jt_config_shape(const jt_config *c, jt_role r, int *rows, int *cols) {
    int q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim, vdim = jt_config_value_dim(c);
    int inner = jt_config_ssm_inner(c), conv = jt_config_ssm_conv(c);
    *rows = 1, *cols = c->hidden;
    switch (r) {
    case JT_W_EMBED:
    case JT_W_HEAD: *rows = c->vocab; break;
    case JT_W_POSITION: *rows = c->positions; break;
    case JT_W_TYPE: *rows = c->types; break;
    case JT_W_CLASSES: *rows = c->classes; break;
    case JT_W_CLASSES_BIAS: *cols = c->classes; break;
    case JT_W_POOLED: *rows = c->hidden; break;
    case JT_W_ROPE_FREQS:
    case JT_W_ROPE_LONG:
    case JT_W_ROPE_SHORT: *cols = c->rope_dims / 2; break;
    case JT_W_Q_BIAS: *cols = q; break;
    case JT_W_K_BIAS: *cols = kv; break;
    case JT_W_V_BIAS: *cols = c->kv_heads * vdim; break;
    case JT_W_SINKS: *cols = c->heads; break;
    case JT_W_Q_A: *rows = c->q_rank; break;
    case JT_W_Q_A_NORM: *cols = c->q_rank; break;
    case JT_W_Q_B: *rows = q, *cols = c->q_rank; break;
    case JT_W_KV_A: *rows = c->kv_rank + c->rope_dims; break;
    case JT_W_KV_A_NORM: *cols = c->kv_rank; break;
    case JT_W_KV_B: *rows = c->heads * (c->rope_at + vdim), *cols = c->kv_rank; break;
    case JT_W_ROUTER: *rows = c->router.experts; break;
    case JT_W_ROUTER_BIAS:
    case JT_W_ROUTER_CHOICE: *cols = c->router.experts; break;
    case JT_W_X_GATE:
    case JT_W_X_UP: *rows = c->expert_ffn; break;
    case JT_W_X_DOWN: *cols = c->expert_ffn, *rows = c->hidden; break;
    case JT_W_X_GATE_BIAS:
    case JT_W_X_UP_BIAS: *cols = c->expert_ffn; break;
    case JT_W_S_GATE:
    case JT_W_S_UP: *rows = c->shared_ffn; break;
    case JT_W_S_DOWN: *cols = c->shared_ffn, *rows = c->hidden; break;
    case JT_W_Q_NORM: *cols = c->qk_norm == JT_QK_HEADS ? c->head_dim : q; break;
    case JT_W_K_NORM: *cols = c->qk_norm == JT_QK_HEADS ? c->head_dim : kv; break;
    case JT_W_GATE_BIAS:
    case JT_W_UP_BIAS: *cols = c->ffn; break;
    case JT_W_Q: *rows = q; break;
    case JT_W_K: *rows = kv; break;
    case JT_W_V: *rows = c->kv_heads * vdim; break;
    case JT_W_O: *rows = c->hidden, *cols = c->heads * vdim; break;
    case JT_W_GATE:
    case JT_W_UP: *rows = c->ffn; break;
    case JT_W_DOWN: *rows = c->hidden, *cols = c->ffn; break;
    case JT_W_SSM_IN: *rows = inner + conv + c->ssm_heads; break;
    case JT_W_SSM_OUT: *rows = c->hidden, *cols = inner; break;
    case JT_W_SSM_CONV: *cols = conv * c->ssm_taps; break;
    case JT_W_SSM_CONV_BIAS: *cols = conv; break;
    case JT_W_SSM_DT_BIAS:
    case JT_W_SSM_A:
    case JT_W_SSM_D: *cols = c->ssm_heads; break;
    case JT_W_SSM_NORM: *cols = inner; break;
    case JT_W_EMBED_NORM:
    case JT_W_EMBED_NORM_BIAS:
    case JT_W_POOLED_BIAS:
    case JT_W_POOLED_NORM:
    case JT_W_POOLED_NORM_BIAS:
    case JT_W_FINAL_NORM:
    case JT_W_FINAL_NORM_BIAS:
    case JT_W_ATTN_NORM:
    case JT_W_ATTN_NORM_BIAS:
    case JT_W_ATTN_POST_NORM:
    case JT_W_FFN_NORM:
    case JT_W_FFN_NORM_BIAS:
    case JT_W_FFN_POST_NORM:
    case JT_W_O_BIAS:
    case JT_W_DOWN_BIAS:
    case JT_W_X_DOWN_BIAS:
    case JT_W_S_ROUTER:
    case JT_W_ROLES: break;
    }
}
