/* tiny_llama.h: writes a GGUF file of a small Llama with random weights, for tests that compare Jeton with itself.
 * Quantised weights are random blocks as they stand, so that every value of the format occurs. */
#ifndef TESTS_TINY_LLAMA_H
#define TESTS_TINY_LLAMA_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/random.h"
#include "tensor/format.h"

typedef struct tiny_llama {
    jt_type type; /* of every matrix; norms are F32 */
    int vocab, hidden, layers, heads, kv_heads, head_dim, ffn, context;
    int tied; /* no output.weight */
    uint32_t seed;
} tiny_llama;

/* Sizes that no vector width divides evenly, but the blocks of 32 where the format needs them. */
static inline tiny_llama tiny_llama_of(jt_type type) {
    tiny_llama t = {type, 277, 64, 2, 4, 2, 16, 160, 1024, 0, 1};
    if (type == JT_F32 || type == JT_F16 || type == JT_BF16) t = (tiny_llama){type, 101, 52, 2, 2, 1, 26, 70, 1024, 1, 2};
    return t;
}

typedef struct tiny_file {
    FILE *f;
    uint64_t tensors, offset;
    uint32_t draw, seed;
    int fill; /* 0: descriptions, 1: data */
    jt_type type;
    int pooled; /* blocks of tiny_any_block that are there */
    uint8_t pool[128][256];
} tiny_file;

static inline void tiny_put(tiny_file *o, const void *p, size_t n) {
    if (fwrite(p, 1, n, o->f) != n) abort();
}
static inline void tiny_u32(tiny_file *o, uint32_t v) { tiny_put(o, &v, 4); }
static inline void tiny_u64(tiny_file *o, uint64_t v) { tiny_put(o, &v, 8); }
static inline void tiny_str(tiny_file *o, const char *s) {
    tiny_u64(o, strlen(s));
    tiny_put(o, s, strlen(s));
}
static inline void tiny_key_u32(tiny_file *o, const char *key, int v) {
    tiny_str(o, key);
    tiny_u32(o, 4);
    tiny_u32(o, (uint32_t)v);
}
static inline uint32_t tiny_random(tiny_file *o) {
    uint32_t out[4], counter[4] = {o->draw++, 0, 0, 0}, key[2] = {o->seed, 17};
    jt_philox(counter, key, out);
    return out[0];
}
static inline double tiny_unit(tiny_file *o) { return ((double)tiny_random(o) + 0.5) / 4294967296.0 * 2 - 1; }

/* Random bytes that are a block of weights of ordinary size, for formats that nothing else here makes. */
static inline size_t tiny_any_block(const jt_format *f, tiny_file *o, uint8_t out[256]) {
    float x[256];
    uint8_t bytes[16];
    double peak = 0;
    int slot = (int)(tiny_random(o) % 128);
    for (long tries = 0; slot >= o->pooled; tries += !(peak >= 0.02 && peak <= 0.4)) {
        if (tries > 1000000) abort();
        for (size_t i = 0; i < f->bytes; i++) {
            uint32_t counter[4] = {o->draw++, 1, 0, 0}, key[2] = {o->seed, 17}, word[4];
            if (i % 16 == 0) jt_philox(counter, key, word), memcpy(bytes, word, 16);
            o->pool[o->pooled][i] = bytes[i % 16];
        }
        f->expand(o->pool[o->pooled], x, f->block);
        peak = 0;
        for (int i = 0; i < f->block; i++) peak = isfinite(x[i]) ? fmax(peak, fabs((double)x[i])) : INFINITY;
        o->pooled += peak >= 0.02 && peak <= 0.4;
    }
    memcpy(out, o->pool[slot], f->bytes);
    return f->bytes;
}

static inline size_t tiny_block(jt_type type, tiny_file *o, double size, uint8_t out[256]) {
    float x = (float)(size * tiny_unit(o));
    uint16_t h;
    size_t n = 0;
    if (type == JT_F32) return memcpy(out, &x, 4), 4;
    if (type == JT_F16 || type == JT_BF16) {
        h = type == JT_F16 ? jt_f32_to_f16(x) : jt_f32_to_bf16(x);
        return memcpy(out, &h, 2), 2;
    }
    if (type != JT_Q4_0 && type != JT_Q4_1 && type != JT_Q8_0) return tiny_any_block(jt_format_of(type), o, out);
    double levels = type == JT_Q8_0 ? 127 : 7.5, d = size / levels * (1 + 0.5 * tiny_unit(o));
    h = jt_f32_to_f16((float)d);
    memcpy(out, &h, 2), n = 2;
    if (type == JT_Q4_1) {
        h = jt_f32_to_f16((float)(d * (-7.5 + 0.3 * tiny_unit(o))));
        memcpy(out + 2, &h, 2), n = 4;
    }
    int bytes = type == JT_Q8_0 ? 32 : 16;
    for (int i = 0; i < bytes; i++) {
        uint32_t r = tiny_random(o) >> 24;
        if (type == JT_Q8_0 && r == 128) r = 127;
        out[n++] = (uint8_t)r;
    }
    return n;
}

/* A tensor [rows][cols], or a norm of `cols` when rows is 0. */
static inline void tiny_tensor(tiny_file *o, const char *name, int rows, int cols) {
    jt_type type = rows ? o->type : JT_F32;
    uint64_t count = (uint64_t)cols * (uint64_t)(rows ? rows : 1), bytes;
    const jt_format *f = jt_format_of(type);
    if (!jt_format_bytes(f, count, &bytes)) abort();
    if (!o->fill) {
        tiny_str(o, name);
        tiny_u32(o, rows ? 2 : 1);
        tiny_u64(o, (uint64_t)cols);
        if (rows) tiny_u64(o, (uint64_t)rows);
        tiny_u32(o, type);
        tiny_u64(o, o->offset);
        o->tensors++;
    } else {
        for (uint64_t i = 0; i < count / f->block; i++) {
            uint8_t block[256];
            float norm = (float)(1 + 0.2 * tiny_unit(o));
            if (rows)
                tiny_put(o, block, tiny_block(type, o, 2.5 / sqrt((double)cols), block));
            else
                tiny_put(o, &norm, 4);
        }
        static const uint8_t zero[32];
        tiny_put(o, zero, (size_t)((32 - bytes % 32) % 32));
    }
    o->offset += (bytes + 31) / 32 * 32;
}

static inline void tiny_tensors(tiny_file *o, const tiny_llama *t) {
    static const char *const name[] = {"attn_norm", "attn_q",   "attn_k", "attn_v",  "attn_output",
                                       "ffn_norm",  "ffn_gate", "ffn_up", "ffn_down"};
    int q = t->heads * t->head_dim, kv = t->kv_heads * t->head_dim, h = t->hidden;
    int shape[9][2] = {{0, h}, {q, h}, {kv, h}, {kv, h}, {h, q}, {0, h}, {t->ffn, h}, {t->ffn, h}, {h, t->ffn}};
    char full[64];
    tiny_tensor(o, "token_embd.weight", t->vocab, h);
    for (int l = 0; l < t->layers; l++)
        for (int i = 0; i < 9; i++) {
            snprintf(full, sizeof full, "blk.%d.%s.weight", l, name[i]);
            tiny_tensor(o, full, shape[i][0], shape[i][1]);
        }
    tiny_tensor(o, "output_norm.weight", 0, h);
    if (!t->tied) tiny_tensor(o, "output.weight", t->vocab, h);
}

/* Writes the file; aborts when that fails. */
static inline void tiny_llama_write(const char *path, const tiny_llama *t) {
    tiny_file o = {.f = fopen(path, "wb"), .seed = t->seed, .type = t->type};
    float eps = 1e-5f;
    if (!o.f) abort();
    tiny_put(&o, "GGUF", 4);
    tiny_u32(&o, 3);
    tiny_u64(&o, (uint64_t)(2 + 9 * t->layers + !t->tied));
    tiny_u64(&o, 10);
    tiny_str(&o, "general.architecture"), tiny_u32(&o, 8), tiny_str(&o, "llama");
    tiny_str(&o, "general.name"), tiny_u32(&o, 8), tiny_str(&o, "tiny");
    tiny_key_u32(&o, "llama.embedding_length", t->hidden);
    tiny_key_u32(&o, "llama.block_count", t->layers);
    tiny_key_u32(&o, "llama.attention.head_count", t->heads);
    tiny_key_u32(&o, "llama.attention.head_count_kv", t->kv_heads);
    tiny_key_u32(&o, "llama.attention.key_length", t->head_dim);
    tiny_key_u32(&o, "llama.feed_forward_length", t->ffn);
    tiny_key_u32(&o, "llama.context_length", t->context);
    tiny_str(&o, "llama.attention.layer_norm_rms_epsilon"), tiny_u32(&o, 6), tiny_put(&o, &eps, 4);
    tiny_tensors(&o, t);
    while (ftell(o.f) % 32) tiny_put(&o, "", 1);
    o.fill = 1;
    tiny_tensors(&o, t);
    if (fclose(o.f)) abort();
}

#endif
