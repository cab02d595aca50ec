/* hybrid_gguf.h: writes a model of tests/fixtures/hybrid as a GGUF file, in F32 or with its matrices in Q8_0 where their
 * rows have whole blocks, as llama.cpp's converter arranges them. */
#ifndef TESTS_HYBRID_GGUF_H
#define TESTS_HYBRID_GGUF_H

#include <math.h>

#include "core/json.h"
#include "model/config_json.h"
#include "model/gguf_builder.h"
#include "model/safetensors.h"
#include "tensor/format.h"

enum { HYBRID_LAYERS = 4, HYBRID_HIDDEN = 32, HYBRID_VOCAB = 96, HYBRID_HEADS = 4, HYBRID_KV = 2, HYBRID_FFN = 48, HYBRID_INNER = 64 };

typedef struct hybrid_writer {
    gguf_builder b;
    jt_safetensors *f;
    jt_json *config;
    int q8;
    void (*change)(const char *name, float *x, int rows, int cols); /* NULL, or gets every matrix of a layer */
} hybrid_writer;

static inline int64_t hybrid_int(const hybrid_writer *w, const char *key) {
    int64_t v;
    if (jt_config_int(w->config, key, 0, INT32_MAX, &v, NULL)) abort();
    return v;
}

static inline float hybrid_float(const hybrid_writer *w, const char *key) {
    double v;
    if (jt_config_double(w->config, key, &v, NULL)) abort();
    return (float)v;
}

/* Adds floats [rows][cols] (rows 0: a vector). */
static inline void hybrid_add(hybrid_writer *w, const char *name, const float *x, uint64_t rows, uint64_t cols, int quantise) {
    uint64_t n = cols * (rows ? rows : 1), dim[2] = {cols, rows};
    if (!quantise || !rows || !w->q8 || cols % 32) {
        gb_tensor(&w->b, name, JT_F32, rows ? 2 : 1, dim, x, (size_t)n * 4);
        return;
    }
    uint8_t *q = calloc((size_t)(n / 32), 34);
    if (!q) abort();
    for (uint64_t i = 0; i < n / 32; i++) {
        float most = 0;
        for (int k = 0; k < 32; k++) most = fmaxf(most, fabsf(x[i * 32 + (uint64_t)k]));
        uint16_t d = jt_f32_to_f16(most / 127);
        float scale = jt_f16_to_f32(d);
        memcpy(q + i * 34, &d, 2);
        for (int k = 0; k < 32; k++) {
            float v = scale > 0 ? rintf(x[i * 32 + (uint64_t)k] / scale) : 0;
            q[i * 34 + 2 + (uint64_t)k] = (uint8_t)(int8_t)fmaxf(-127, fminf(127, v));
        }
    }
    gb_tensor(&w->b, name, JT_Q8_0, 2, dim, q, (size_t)(n / 32) * 34);
    free(q);
}

static inline float *hybrid_read(const hybrid_writer *w, const char *name, uint64_t *n) {
    const jt_st_tensor *t = jt_safetensors_tensor_named(w->f, name);
    if (!t) return NULL;
    float *x = calloc((size_t)t->elements, sizeof *x);
    if (!x || jt_st_read_f32(t, 0, t->elements, x, NULL)) abort();
    *n = t->elements;
    return x;
}

/* The rows of each head so that rotary pairs are neighbours. */
static inline void hybrid_permute(float *x, int rows, int dim) {
    float *y = calloc((size_t)rows * HYBRID_HIDDEN, sizeof *y);
    if (!y) abort();
    for (int r = 0; r < rows; r++) {
        int i = r % dim, to = r - i + i % (dim / 2) * 2 + i / (dim / 2);
        memcpy(y + to * HYBRID_HIDDEN, x + r * HYBRID_HIDDEN, HYBRID_HIDDEN * sizeof *y);
    }
    memcpy(x, y, (size_t)rows * HYBRID_HIDDEN * sizeof *y);
    free(y);
}

static inline void hybrid_layer(hybrid_writer *w, int l) {
    const struct {
        const char *hf, *gguf;
        int cols; /* 0: a vector; -1: columns of 1 */
    } row[] = {{"input_layernorm.weight", "attn_norm.weight", 0},
               {"post_attention_layernorm.weight", "ffn_norm.weight", 0},
               {"self_attn.q_proj.weight", "attn_q.weight", HYBRID_HIDDEN},
               {"self_attn.k_proj.weight", "attn_k.weight", HYBRID_HIDDEN},
               {"self_attn.v_proj.weight", "attn_v.weight", HYBRID_HIDDEN},
               {"self_attn.o_proj.weight", "attn_output.weight", HYBRID_HIDDEN},
               {"shared_mlp.output_linear.weight", "ffn_down.weight", HYBRID_FFN},
               {"mamba.in_proj.weight", "ssm_in.weight", HYBRID_HIDDEN},
               {"mamba.out_proj.weight", "ssm_out.weight", HYBRID_INNER},
               {"mamba.conv1d.weight", "ssm_conv1d.weight", (int)hybrid_int(w, "mamba_d_conv")},
               {"mamba.conv1d.bias", "ssm_conv1d.bias", 0},
               {"mamba.dt_bias", "ssm_dt.bias", 0},
               {"mamba.D", "ssm_d", -1},
               {"mamba.A_log", "ssm_a", -1},
               {"mamba.norm.weight", "ssm_norm.weight", HYBRID_INNER / (int)hybrid_int(w, "mamba_n_groups")}};
    char name[128];
    uint64_t n;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        snprintf(name, sizeof name, "model.layers.%d.%s", l, row[i].hf);
        float *x = hybrid_read(w, name, &n);
        if (!x) continue;
        if (i == 2 || i == 3) hybrid_permute(x, (int)n / HYBRID_HIDDEN, HYBRID_HIDDEN / HYBRID_HEADS);
        for (uint64_t k = 0; i == 13 && k < n; k++) x[k] = -expf(x[k]);
        uint64_t cols = row[i].cols > 0 ? (uint64_t)row[i].cols : row[i].cols < 0 ? 1 : n;
        snprintf(name, sizeof name, "blk.%d.%s", l, row[i].gguf);
        if (w->change && i >= 2 && i < 9) w->change(name, x, (int)(n / cols), (int)cols);
        hybrid_add(w, name, x, row[i].cols ? n / cols : 0, cols, i < 9);
        free(x);
    }
    snprintf(name, sizeof name, "model.layers.%d.shared_mlp.input_linear.weight", l);
    float *x = hybrid_read(w, name, &n);
    for (int half = 0; half < 2; half++) {
        snprintf(name, sizeof name, "blk.%d.%s.weight", l, half ? "ffn_up" : "ffn_gate");
        float *part = x + half * HYBRID_FFN * HYBRID_HIDDEN;
        if (w->change) w->change(name, part, HYBRID_FFN, HYBRID_HIDDEN);
        hybrid_add(w, name, part, HYBRID_FFN, HYBRID_HIDDEN, 1);
    }
    free(x);
}

static inline void hybrid_settings(hybrid_writer *w) {
    int32_t heads[HYBRID_LAYERS];
    const jt_json *types = jt_config_find(w->config, "layer_types");
    for (int i = 0; i < HYBRID_LAYERS; i++)
        heads[i] = strcmp(jt_json_string(jt_json_item(types, (size_t)i), NULL), "full_attention") ? 0 : HYBRID_KV;
    gb_text(&w->b, "general.architecture", "granitehybrid");
#define SET(key, value) gb_u32(&w->b, "granitehybrid." key, (uint32_t)(value))
    SET("embedding_length", HYBRID_HIDDEN);
    SET("block_count", HYBRID_LAYERS);
    SET("context_length", 1024);
    SET("feed_forward_length", HYBRID_FFN);
    SET("attention.head_count", HYBRID_HEADS);
    SET("ssm.conv_kernel", hybrid_int(w, "mamba_d_conv"));
    SET("ssm.state_size", hybrid_int(w, "mamba_d_state"));
    SET("ssm.group_count", hybrid_int(w, "mamba_n_groups"));
    SET("ssm.inner_size", HYBRID_INNER);
    SET("ssm.time_step_rank", hybrid_int(w, "mamba_n_heads"));
#undef SET
    gb_i32s(&w->b, "granitehybrid.attention.head_count_kv", heads, HYBRID_LAYERS);
    gb_f32(&w->b, "granitehybrid.attention.layer_norm_rms_epsilon", hybrid_float(w, "rms_norm_eps"));
    gb_f32(&w->b, "granitehybrid.attention.scale", hybrid_float(w, "attention_multiplier"));
    gb_f32(&w->b, "granitehybrid.embedding_scale", hybrid_float(w, "embedding_multiplier"));
    gb_f32(&w->b, "granitehybrid.residual_scale", hybrid_float(w, "residual_multiplier"));
    gb_f32(&w->b, "granitehybrid.logit_scale", hybrid_float(w, "logits_scaling"));
    gb_bool(&w->b, "granitehybrid.rope.scaling.finetuned", jt_config_find(w->config, "position_embedding_type") != NULL);
}

/* The settings of a folder, one key more, and an embedding table: a file that jt_config_from_gguf reads. Free with free. */
static inline uint8_t *hybrid_head(const char *folder, const char *key, uint32_t value, size_t *n) {
    hybrid_writer w = {0};
    char name[512];
    snprintf(name, sizeof name, "%s/config.json", folder);
    if (jt_json_read(name, &w.config, NULL)) abort();
    hybrid_settings(&w);
    gb_u32(&w.b, key, value);
    hybrid_add(&w, "token_embd.weight", NULL, HYBRID_VOCAB, HYBRID_HIDDEN, 0);
    jt_json_free(w.config);
    return gb_finish(&w.b, 3, n);
}

/* Writes folder `folder`, its matrices changed; aborts when that fails. */
static inline void hybrid_write_with(const char *folder, const char *path, int q8, void (*change)(const char *, float *, int, int)) {
    hybrid_writer w = {.q8 = q8, .change = change};
    char name[512];
    uint64_t n;
    snprintf(name, sizeof name, "%s/config.json", folder);
    if (jt_json_read(name, &w.config, NULL) || jt_safetensors_open(folder, &w.f, NULL)) abort();
    hybrid_settings(&w);
    static const char *const whole[][2] = {{"model.embed_tokens.weight", "token_embd.weight"},
                                           {"model.norm.weight", "output_norm.weight"},
                                           {"lm_head.weight", "output.weight"}};
    for (int i = 0; i < 3; i++) {
        float *x = hybrid_read(&w, whole[i][0], &n);
        if (x) hybrid_add(&w, whole[i][1], x, i == 1 ? 0 : n / HYBRID_HIDDEN, HYBRID_HIDDEN, 1);
        free(x);
    }
    for (int l = 0; l < HYBRID_LAYERS; l++) hybrid_layer(&w, l);
    gb_save(&w.b, 3, path);
    jt_safetensors_free(w.f), jt_json_free(w.config);
}

static inline void hybrid_write(const char *folder, const char *path, int q8) { hybrid_write_with(folder, path, q8, NULL); }

#endif
