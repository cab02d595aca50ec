/* tiny_adapter.h: writes GGUF files of LoRA adapters with random numbers, for the models of tiny_llama.h. */
#ifndef TESTS_TINY_ADAPTER_H
#define TESTS_TINY_ADAPTER_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/random.h"
#include "gguf_builder.h"
#include "tiny_llama.h"

/* Numbers that every run makes alike. */
static inline float tiny_adapter_number(uint32_t i, uint32_t seed) {
    uint32_t out[4], counter[4] = {i, 0, 0, 0}, key[2] = {seed, 5};
    jt_philox(counter, key, out);
    return (float)((double)out[0] / 4294967296.0 * 2 - 1);
}

/* An adapter of a model of tiny_llama.h: the maps whose bit in `maps` is set, in layers [0, layers). */
static inline void tiny_adapter_write(const char *path, const tiny_llama *m, int rank, unsigned maps, jt_type type, uint32_t seed) {
    static const char *const name[] = {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"};
    int q = m->heads * m->head_dim, kv = m->kv_heads * m->head_dim, h = m->hidden;
    const int shape[7][2] = {{q, h}, {kv, h}, {kv, h}, {h, q}, {m->ffn, h}, {m->ffn, h}, {h, m->ffn}};
    gguf_builder b = {0};
    gb_text(&b, "general.architecture", "llama"), gb_text(&b, "general.type", "adapter"), gb_text(&b, "adapter.type", "lora");
    gb_f32(&b, "adapter.lora.alpha", 3.5f);
    for (int l = 0; l < m->layers; l++)
        for (int i = 0; i < 7; i++)
            for (int half = 0; half < 2 && (maps >> i & 1); half++) {
                int rows = half ? shape[i][0] : rank, cols = half ? rank : shape[i][1];
                char full[64];
                float *x = malloc((size_t)rows * (size_t)cols * 4);
                uint16_t *y = malloc((size_t)rows * (size_t)cols * 2);
                if (!x || !y) abort();
                for (int k = 0; k < rows * cols; k++) {
                    x[k] = tiny_adapter_number((uint32_t)k, seed + (uint32_t)(l * 14 + i * 2 + half)) * (half ? 0.3f : 0.2f);
                    y[k] = jt_f32_to_f16(x[k]);
                }
                snprintf(full, sizeof full, "blk.%d.%s.weight.lora_%c", l, name[i], half ? 'b' : 'a');
                gb_tensor(&b, full, type, 2, (uint64_t[]){(uint64_t)cols, (uint64_t)rows}, type == JT_F16 ? (void *)y : (void *)x,
                          (size_t)rows * (size_t)cols * (type == JT_F16 ? 2 : 4));
                free(x);
                free(y);
            }
    gb_save(&b, 3, path);
}

#endif
