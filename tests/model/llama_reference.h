/* llama_reference.h: the Llama forward pass written out in double precision, one node at a time, with an explicit mask.
 * It shares nothing with the engine but the readers of files and of block formats. */
#ifndef TESTS_LLAMA_REFERENCE_H
#define TESTS_LLAMA_REFERENCE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/gguf.h"
#include "model/safetensors.h"

/* Sizes of tests/fixtures/hf-tiny/llama, and the most nodes that a pass may have. */
enum { REF_VOCAB = 320, REF_HIDDEN = 64, REF_LAYERS = 3, REF_HEADS = 4, REF_KV = 2, REF_DIM = 16, REF_FFN = 160, REF_MAX = 256 };

enum { REF_NORM_A, REF_Q, REF_K, REF_V, REF_O, REF_NORM_M, REF_GATE, REF_UP, REF_DOWN, REF_ROLES };

typedef struct ref_model {
    int vocab, hidden, layers, heads, kv, dim, ffn;
    bool interleaved; /* how pairs of the rotation lie: neighbours, or halves */
    bool half;        /* keys and values are rounded to F16 */
    float *embed, *norm, *head, *layer[4][REF_ROLES];
    float *a[4][REF_ROLES], *b[4][REF_ROLES]; /* an adapter's halves; NULL: none */
    int rank;
    double adapter_scale;
} ref_model;

/* Where an edit may stand, in the order of jt_site_name. */
enum { REF_RESIDUAL, REF_QUERY, REF_HEADS_OUT, REF_ATTENTION, REF_MLP };

/* Nodes of one pass. */
typedef struct ref_nodes {
    int n;
    double *x;            /* [n][hidden]: what enters the first layer; overwritten */
    const int *position;  /* [n] */
    const uint8_t *mask;  /* [n][n]: i sees j */
    const float *adapter; /* NULL, or [n]: what multiplies the adapter's scale for the node; 0: none */
    const unsigned *runs; /* NULL, or [n]: bit l: the node runs layer l; where it does not, it has no key */
    void (*edit)(void *self, int node, int layer, int site, double *x, int width); /* NULL, or called at every site */
    double (*bias)(void *self, int node, int key, int layer, int head);            /* NULL, or added to the score */
    /* NULL, or where a key stands for a query (key = node: where the query itself stands): keys are kept before the rotation. */
    int (*place)(void *self, int node, int key, int layer, int head);
    void *self;
    double *final;  /* NULL, or [n][hidden]: after the final norm */
    double *logits; /* [n][vocab] */
} ref_nodes;

static inline float *ref_floats(size_t n) {
    float *p = malloc(n * sizeof *p);
    if (!p) abort();
    return p;
}

static inline float *ref_read_hf(const jt_safetensors *f, const char *name) {
    const jt_st_tensor *t = jt_safetensors_tensor_named(f, name);
    if (!t) abort();
    float *p = ref_floats((size_t)t->elements);
    if (jt_st_read_f32(t, 0, t->elements, p, NULL)) abort();
    return p;
}

static inline float *ref_read_gguf(const jt_gguf *f, const char *name) {
    const jt_gguf_tensor *t = jt_gguf_tensor_named(f, name);
    if (!t || !t->format || !t->format->expand) abort();
    float *p = ref_floats((size_t)t->elements);
    t->format->expand(t->data, p, (size_t)t->elements);
    return p;
}

/* tests/fixtures/hf-tiny/llama. */
static inline void ref_open_hf(ref_model *m, const char *folder) {
    static const char *const name[] = {"input_layernorm",  "self_attn.q_proj", "self_attn.k_proj",
                                       "self_attn.v_proj", "self_attn.o_proj", "post_attention_layernorm",
                                       "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};
    jt_safetensors *f;
    char full[128];
    if (jt_safetensors_open(folder, &f, NULL)) abort();
    *m = (ref_model){REF_VOCAB, REF_HIDDEN, REF_LAYERS, REF_HEADS, REF_KV,   REF_DIM,  REF_FFN, false, false,
                     NULL,      NULL,       NULL,       {{NULL}},  {{NULL}}, {{NULL}}, 0,       0};
    m->embed = ref_read_hf(f, "model.embed_tokens.weight");
    m->norm = ref_read_hf(f, "model.norm.weight"), m->head = ref_read_hf(f, "lm_head.weight");
    for (int l = 0; l < m->layers; l++)
        for (int i = 0; i < REF_ROLES; i++) {
            snprintf(full, sizeof full, "model.layers.%d.%s.weight", l, name[i]);
            m->layer[l][i] = ref_read_hf(f, full);
        }
    jt_safetensors_free(f);
}

/* A GGUF file of the Llama family; the sizes in *m are given. */
static inline void ref_open_gguf(ref_model *m, const char *path) {
    static const char *const name[] = {"attn_norm", "attn_q",   "attn_k", "attn_v",  "attn_output",
                                       "ffn_norm",  "ffn_gate", "ffn_up", "ffn_down"};
    jt_gguf *f;
    char full[128];
    if (jt_gguf_open(path, &f, NULL)) abort();
    m->interleaved = true;
    m->embed = ref_read_gguf(f, "token_embd.weight");
    m->norm = ref_read_gguf(f, "output_norm.weight"), m->head = ref_read_gguf(f, "output.weight");
    for (int l = 0; l < m->layers; l++)
        for (int i = 0; i < REF_ROLES; i++) {
            snprintf(full, sizeof full, "blk.%d.%s.weight", l, name[i]);
            m->layer[l][i] = ref_read_gguf(f, full);
        }
    jt_gguf_free(f);
}

/* An adapter of tiny_adapter.h, of every map. */
static inline void ref_open_adapter(ref_model *m, const char *path, int rank, double alpha) {
    static const char *const name[] = {NULL, "attn_q", "attn_k", "attn_v", "attn_output", NULL, "ffn_gate", "ffn_up", "ffn_down"};
    jt_gguf *f;
    char full[128];
    if (jt_gguf_open(path, &f, NULL)) abort();
    m->rank = rank, m->adapter_scale = alpha / rank;
    for (int l = 0; l < m->layers; l++)
        for (int i = 0; i < REF_ROLES; i++) {
            if (!name[i]) continue;
            snprintf(full, sizeof full, "blk.%d.%s.weight.lora_a", l, name[i]);
            m->a[l][i] = ref_read_gguf(f, full);
            snprintf(full, sizeof full, "blk.%d.%s.weight.lora_b", l, name[i]);
            m->b[l][i] = ref_read_gguf(f, full);
        }
    jt_gguf_free(f);
}

static inline void ref_close(ref_model *m) {
    free(m->embed), free(m->norm), free(m->head);
    for (int l = 0; l < m->layers; l++)
        for (int i = 0; i < REF_ROLES; i++) free(m->layer[l][i]), free(m->a[l][i]), free(m->b[l][i]);
}

/* Four outputs at a time, so that their sums need not wait for one another. */
static inline void ref_linear(const float *w, int rows, int cols, const double *x, double *y) {
    int o = 0;
    for (; o + 4 <= rows; o += 4) {
        const float *a = w + (size_t)o * (size_t)cols, *b = a + cols, *c = b + cols, *d = c + cols;
        double s[4] = {0};
        for (int i = 0; i < cols; i++)
            s[0] += (double)a[i] * x[i], s[1] += (double)b[i] * x[i], s[2] += (double)c[i] * x[i], s[3] += (double)d[i] * x[i];
        memcpy(y + o, s, sizeof s);
    }
    for (; o < rows; o++) {
        y[o] = 0;
        for (int i = 0; i < cols; i++) y[o] += (double)w[(size_t)o * (size_t)cols + (size_t)i] * x[i];
    }
}

/* A map of layer l, with the node's adapter. */
static inline void ref_map(const ref_model *m, const ref_nodes *r, int node, int l, int role, int rows, int cols, const double *x,
                           double *y) {
    double low[REF_HIDDEN], add[REF_FFN];
    ref_linear(m->layer[l][role], rows, cols, x, y);
    if (!r->adapter || r->adapter[node] == 0 || !m->a[l][role]) return;
    ref_linear(m->a[l][role], m->rank, cols, x, low);
    ref_linear(m->b[l][role], rows, m->rank, low, add);
    for (int i = 0; i < rows; i++) y[i] += (double)r->adapter[node] * m->adapter_scale * add[i];
}

static inline void ref_norm(const ref_model *m, const float *w, const double *x, double *y) {
    double ss = 0;
    for (int i = 0; i < m->hidden; i++) ss += x[i] * x[i];
    for (int i = 0; i < m->hidden; i++) y[i] = x[i] / sqrt(ss / m->hidden + 1e-5) * (double)w[i];
}

static inline void ref_rope(const ref_model *m, double *x, int heads, int position) {
    for (int i = 0; i < m->dim / 2; i++) {
        double t = position * pow(10000.0, -2.0 * i / m->dim), c = cos(t), s = sin(t);
        for (int h = 0; h < heads; h++) {
            double *a = x + h * m->dim + (m->interleaved ? 2 * i : i), *b = a + (m->interleaved ? 1 : m->dim / 2), p = *a, q = *b;
            *a = p * c - q * s, *b = q * c + p * s;
        }
    }
}

/* One head turned to a position, with the cosines and sines kept from call to call. */
static inline void ref_turn(const ref_model *m, const double *x, int position, double *y) {
    enum { MOST = 2048, HALF = 64 };
    static double c[MOST][HALF], s[MOST][HALF];
    static int dim[MOST];
    if (position < 0 || position >= MOST || m->dim > 2 * HALF) abort();
    for (int i = 0; dim[position] != m->dim && i < m->dim / 2; i++) {
        double t = position * pow(10000.0, -2.0 * i / m->dim);
        c[position][i] = cos(t), s[position][i] = sin(t);
    }
    dim[position] = m->dim;
    for (int i = 0; i < m->dim / 2; i++) {
        int a = m->interleaved ? 2 * i : i, b = a + (m->interleaved ? 1 : m->dim / 2);
        y[a] = x[a] * c[position][i] - x[b] * s[position][i], y[b] = x[b] * c[position][i] + x[a] * s[position][i];
    }
}

static inline void ref_round(const ref_model *m, double *x, int n) {
    for (int i = 0; m->half && i < n; i++) x[i] = (double)jt_f16_to_f32(jt_f32_to_f16((float)x[i]));
}

static inline bool ref_runs(const ref_nodes *r, int node, int layer) { return !r->runs || r->runs[node] >> layer & 1; }

static inline void ref_edit(const ref_nodes *r, int node, int layer, int site, double *x, int width) {
    if (r->edit) r->edit(r->self, node, layer, site, x, width);
}

/* Query head `a` of node i over all keys and values [n][kv * dim], into o [dim]. */
static inline void ref_attend(const ref_model *m, const ref_nodes *r, int i, int layer, int a, const double *q, const double *k,
                              const double *v, double *o) {
    int at = a / (m->heads / m->kv) * m->dim, width = m->kv * m->dim;
    double s[REF_MAX], most = -INFINITY, total = 0, turned[REF_HIDDEN];
    const double *query = q + a * m->dim;
    for (int j = 0; j < r->n; j++) {
        s[j] = -INFINITY;
        if (!r->mask[i * r->n + j] || !ref_runs(r, j, layer)) continue;
        s[j] = 0;
        const double *key = k + j * width + at;
        if (r->place) ref_turn(m, key, r->place(r->self, i, j, layer, a), turned), key = turned;
        for (int c = 0; c < m->dim; c++) s[j] += query[c] * key[c];
        s[j] /= sqrt(m->dim);
        if (r->bias) s[j] += r->bias(r->self, i, j, layer, a);
        if (s[j] > most) most = s[j];
    }
    for (int c = 0; c < m->dim; c++) o[c] = 0;
    for (int j = 0; j < r->n; j++) {
        if (!(s[j] > -INFINITY)) continue;
        double p = exp(s[j] - most);
        total += p;
        for (int c = 0; c < m->dim; c++) o[c] += p * v[j * width + at + c];
    }
    for (int c = 0; total > 0 && c < m->dim; c++) o[c] /= total; /* a query that sees nothing gets zeros */
}

/* What enters the first layer for token `id`. */
static inline void ref_embed(const ref_model *m, int id, double *x) {
    for (int c = 0; c < m->hidden; c++) x[c] = (double)m->embed[id * m->hidden + c];
}

static inline void ref_layer(const ref_model *m, const ref_nodes *r, int l, double *q, double *k, double *v) {
    const float *const *w = (const float *const *)m->layer[l];
    int width = m->heads * m->dim, kv = m->kv * m->dim;
    double h[REF_HIDDEN], o[REF_HIDDEN], g[REF_FFN], u[REF_FFN], d[REF_HIDDEN];
    for (int i = 0; i < r->n; i++) {
        ref_edit(r, i, l, REF_RESIDUAL, r->x + i * m->hidden, m->hidden);
        if (!ref_runs(r, i, l)) continue;
        ref_norm(m, w[REF_NORM_A], r->x + i * m->hidden, h);
        ref_map(m, r, i, l, REF_Q, width, m->hidden, h, q + i * width);
        ref_map(m, r, i, l, REF_K, kv, m->hidden, h, k + i * kv), ref_map(m, r, i, l, REF_V, kv, m->hidden, h, v + i * kv);
        if (!r->place) ref_rope(m, q + i * width, m->heads, r->position[i]), ref_rope(m, k + i * kv, m->kv, r->position[i]);
        ref_round(m, k + i * kv, kv), ref_round(m, v + i * kv, kv);
        for (int a = 0; r->place && a < m->heads; a++) {
            ref_turn(m, q + i * width + a * m->dim, r->place(r->self, i, i, l, a), h);
            memcpy(q + i * width + a * m->dim, h, (size_t)m->dim * sizeof *h);
        }
        ref_edit(r, i, l, REF_QUERY, q + i * width, width);
    }
    for (int i = 0; i < r->n; i++) {
        double *x = r->x + i * m->hidden;
        if (!ref_runs(r, i, l)) continue;
        for (int a = 0; a < m->heads; a++) ref_attend(m, r, i, l, a, q + i * width, k, v, o + a * m->dim);
        ref_edit(r, i, l, REF_HEADS_OUT, o, width);
        ref_map(m, r, i, l, REF_O, m->hidden, width, o, d);
        ref_edit(r, i, l, REF_ATTENTION, d, m->hidden);
        for (int c = 0; c < m->hidden; c++) x[c] += d[c];
        ref_norm(m, w[REF_NORM_M], x, h);
        ref_map(m, r, i, l, REF_GATE, m->ffn, m->hidden, h, g), ref_map(m, r, i, l, REF_UP, m->ffn, m->hidden, h, u);
        for (int c = 0; c < m->ffn; c++) g[c] = g[c] / (1 + exp(-g[c])) * u[c];
        ref_map(m, r, i, l, REF_DOWN, m->hidden, m->ffn, g, d);
        ref_edit(r, i, l, REF_MLP, d, m->hidden);
        for (int c = 0; c < m->hidden; c++) x[c] += d[c];
    }
}

static inline void ref_run(const ref_model *m, const ref_nodes *r) {
    static double q[REF_MAX * REF_HIDDEN], k[REF_MAX * REF_HIDDEN], v[REF_MAX * REF_HIDDEN];
    double h[REF_HIDDEN];
    if (r->n > REF_MAX) abort();
    for (int l = 0; l < m->layers; l++) ref_layer(m, r, l, q, k, v);
    for (int i = 0; i < r->n; i++) {
        ref_edit(r, i, m->layers, REF_RESIDUAL, r->x + i * m->hidden, m->hidden);
        ref_norm(m, m->norm, r->x + i * m->hidden, h);
        if (r->final) memcpy(r->final + i * m->hidden, h, (size_t)m->hidden * sizeof *h);
        ref_linear(m->head, m->vocab, m->hidden, h, r->logits + i * m->vocab);
    }
}

/* The same without edits. */
static inline void ref_forward(const ref_model *m, int n, double *x, const int *position, const uint8_t *mask, const unsigned *runs,
                               double *logits) {
    ref_run(m, &(ref_nodes){.n = n, .x = x, .position = position, .mask = mask, .runs = runs, .logits = logits});
}

#endif
