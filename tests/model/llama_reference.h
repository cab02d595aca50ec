/* llama_reference.h: the Llama forward pass written out in double precision, one node at a time, with an explicit mask.
 * It shares nothing with the engine but the file reader. */
#ifndef TESTS_LLAMA_REFERENCE_H
#define TESTS_LLAMA_REFERENCE_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/safetensors.h"

enum { REF_VOCAB = 320, REF_HIDDEN = 64, REF_LAYERS = 3, REF_HEADS = 4, REF_KV = 2, REF_DIM = 16, REF_FFN = 160, REF_MAX = 256 };

typedef struct ref_model {
    jt_safetensors *file;
} ref_model;

static inline const float *ref_weight(const ref_model *m, int layer, const char *name) {
    char full[128];
    if (layer < 0)
        snprintf(full, sizeof full, "%s", name);
    else
        snprintf(full, sizeof full, "model.layers.%d.%s", layer, name);
    const jt_st_tensor *t = jt_safetensors_tensor_named(m->file, full);
    return t ? (const float *)(const void *)t->data : NULL;
}

static inline void ref_linear(const float *w, int rows, int cols, const double *x, double *y) {
    for (int o = 0; o < rows; o++) {
        y[o] = 0;
        for (int i = 0; i < cols; i++) y[o] += (double)w[o * cols + i] * x[i];
    }
}

static inline void ref_norm(const float *w, const double *x, double *y) {
    double ss = 0;
    for (int i = 0; i < REF_HIDDEN; i++) ss += x[i] * x[i];
    for (int i = 0; i < REF_HIDDEN; i++) y[i] = x[i] / sqrt(ss / REF_HIDDEN + 1e-5) * (double)w[i];
}

static inline void ref_rope(double *x, int heads, int position) {
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < REF_DIM / 2; i++) {
            double t = position * pow(10000.0, -2.0 * i / REF_DIM), *a = x + h * REF_DIM + i, *b = a + REF_DIM / 2, p = *a, q = *b;
            *a = p * cos(t) - q * sin(t), *b = q * cos(t) + p * sin(t);
        }
}

/* Logits [n][REF_VOCAB] of n nodes with embeddings x [n][REF_HIDDEN] (overwritten), rotary positions and mask [n][n]. */
/* runs (may be NULL): [n], bit l: node i runs layer l; a node that does not has no key there. */
static inline void ref_forward(const ref_model *m, int n, double *x, const int *position, const uint8_t *mask, const unsigned *runs,
                               double *logits) {
    static double k[REF_MAX][REF_KV * REF_DIM], v[REF_MAX][REF_KV * REF_DIM], q[REF_MAX][REF_HEADS * REF_DIM];
    double h[REF_HIDDEN], o[REF_HEADS * REF_DIM], g[REF_FFN], u[REF_FFN], d[REF_HIDDEN], s[REF_MAX];
    for (int l = 0; l < REF_LAYERS; l++) {
        for (int i = 0; i < n; i++) {
            ref_norm(ref_weight(m, l, "input_layernorm.weight"), x + i * REF_HIDDEN, h);
            ref_linear(ref_weight(m, l, "self_attn.q_proj.weight"), REF_HEADS * REF_DIM, REF_HIDDEN, h, q[i]);
            ref_linear(ref_weight(m, l, "self_attn.k_proj.weight"), REF_KV * REF_DIM, REF_HIDDEN, h, k[i]);
            ref_linear(ref_weight(m, l, "self_attn.v_proj.weight"), REF_KV * REF_DIM, REF_HIDDEN, h, v[i]);
            ref_rope(q[i], REF_HEADS, position[i]), ref_rope(k[i], REF_KV, position[i]);
        }
        for (int i = 0; i < n; i++) {
            if (runs && !(runs[i] >> l & 1)) continue;
            for (int a = 0; a < REF_HEADS; a++) {
                int kv = a / (REF_HEADS / REF_KV);
                double most = -INFINITY, total = 0;
                for (int j = 0; j < n; j++) {
                    s[j] = 0;
                    for (int c = 0; c < REF_DIM; c++) s[j] += q[i][a * REF_DIM + c] * k[j][kv * REF_DIM + c];
                    s[j] /= 4; /* the square root of the head size */
                    if (mask[i * n + j] && (!runs || runs[j] >> l & 1) && s[j] > most) most = s[j];
                }
                for (int c = 0; c < REF_DIM; c++) o[a * REF_DIM + c] = 0;
                for (int j = 0; j < n; j++) {
                    if (!mask[i * n + j] || (runs && !(runs[j] >> l & 1))) continue;
                    double p = exp(s[j] - most);
                    total += p;
                    for (int c = 0; c < REF_DIM; c++) o[a * REF_DIM + c] += p * v[j][kv * REF_DIM + c];
                }
                for (int c = 0; c < REF_DIM; c++) o[a * REF_DIM + c] /= total;
            }
            ref_linear(ref_weight(m, l, "self_attn.o_proj.weight"), REF_HIDDEN, REF_HEADS * REF_DIM, o, d);
            for (int c = 0; c < REF_HIDDEN; c++) x[i * REF_HIDDEN + c] += d[c];
        }
        for (int i = 0; i < n; i++) {
            if (runs && !(runs[i] >> l & 1)) continue;
            ref_norm(ref_weight(m, l, "post_attention_layernorm.weight"), x + i * REF_HIDDEN, h);
            ref_linear(ref_weight(m, l, "mlp.gate_proj.weight"), REF_FFN, REF_HIDDEN, h, g);
            ref_linear(ref_weight(m, l, "mlp.up_proj.weight"), REF_FFN, REF_HIDDEN, h, u);
            for (int c = 0; c < REF_FFN; c++) g[c] = g[c] / (1 + exp(-g[c])) * u[c];
            ref_linear(ref_weight(m, l, "mlp.down_proj.weight"), REF_HIDDEN, REF_FFN, g, d);
            for (int c = 0; c < REF_HIDDEN; c++) x[i * REF_HIDDEN + c] += d[c];
        }
    }
    for (int i = 0; i < n; i++) {
        ref_norm(ref_weight(m, -1, "model.norm.weight"), x + i * REF_HIDDEN, h);
        ref_linear(ref_weight(m, -1, "lm_head.weight"), REF_VOCAB, REF_HIDDEN, h, logits + i * REF_VOCAB);
    }
}

#endif
