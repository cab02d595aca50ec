/* gguf_builder.h: makes small GGUF files in memory, for tests and for first inputs of fuzzers.
 *
 *     gguf_builder b = {0};
 *     gb_text(&b, "general.architecture", "llama");
 *     gb_u32(&b, "llama.block_count", 2);
 *     gb_tensor(&b, "output_norm.weight", JT_F32, 1, (uint64_t[]){64}, data, 256);
 *     size_t n;
 *     uint8_t *file = gb_finish(&b, 3, &n);   (free with free)
 *
 * Metadata must not be added between gb_array and the elements put after it.
 * A failed allocation aborts: call it before alloc_fail_at. */
#ifndef TESTS_MODEL_GGUF_BUILDER_H
#define TESTS_MODEL_GGUF_BUILDER_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/gguf.h"

typedef struct gb_bytes {
    uint8_t *p;
    size_t n, cap;
} gb_bytes;

typedef struct gguf_builder {
    gb_bytes meta, infos, data;
    uint64_t n_values, n_tensors;
    uint32_t alignment; /* 0: 32, and no key in the file; set it before the first tensor */
} gguf_builder;

static inline void gb_put(gb_bytes *b, const void *p, size_t n) {
    if (b->cap - b->n < n) {
        b->cap = 2 * (b->n + n) + 64;
        b->p = realloc(b->p, b->cap);
        if (!b->p) abort();
    }
    if (n && p)
        memcpy(b->p + b->n, p, n);
    else if (n)
        memset(b->p + b->n, 0, n);
    b->n += n;
}
/* The low `bytes` bytes of v, little endian; past 8 they are 0. */
static inline void gb_put_int(gb_bytes *b, uint64_t v, int bytes) {
    for (int i = 0; i < bytes; i++) gb_put(b, &(uint8_t){i < 8 ? (uint8_t)(v >> (8 * i)) : 0}, 1);
}
static inline void gb_put_f32(gb_bytes *b, float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    gb_put_int(b, u, 4);
}
static inline void gb_put_f64(gb_bytes *b, double x) {
    uint64_t u;
    memcpy(&u, &x, 8);
    gb_put_int(b, u, 8);
}
static inline void gb_put_text(gb_bytes *b, const char *s, size_t n) {
    gb_put_int(b, n, 8);
    gb_put(b, s, n);
}

/* Begins a value: its bytes go to b->meta. */
static inline void gb_key(gguf_builder *b, const char *key, uint32_t type) {
    gb_put_text(&b->meta, key, strlen(key));
    gb_put_int(&b->meta, type, 4);
    b->n_values++;
}
static inline void gb_int(gguf_builder *b, const char *key, jt_gguf_type type, int64_t v) {
    static const int bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    gb_key(b, key, type);
    gb_put_int(&b->meta, (uint64_t)v, bytes[type]);
}
static inline void gb_u32(gguf_builder *b, const char *key, uint32_t v) { gb_int(b, key, JT_GGUF_U32, v); }
static inline void gb_bool(gguf_builder *b, const char *key, bool v) { gb_int(b, key, JT_GGUF_BOOL, v); }
static inline void gb_f32(gguf_builder *b, const char *key, float v) {
    gb_key(b, key, JT_GGUF_F32);
    gb_put_f32(&b->meta, v);
}
static inline void gb_f64(gguf_builder *b, const char *key, double v) {
    gb_key(b, key, JT_GGUF_F64);
    gb_put_f64(&b->meta, v);
}
static inline void gb_text(gguf_builder *b, const char *key, const char *s) {
    gb_key(b, key, JT_GGUF_STRING);
    gb_put_text(&b->meta, s, strlen(s));
}
/* Begins an array: `count` elements must follow in b->meta. */
static inline void gb_array(gguf_builder *b, const char *key, jt_gguf_type element, uint64_t count) {
    gb_key(b, key, JT_GGUF_ARRAY);
    gb_put_int(&b->meta, element, 4);
    gb_put_int(&b->meta, count, 8);
}
static inline void gb_texts(gguf_builder *b, const char *key, const char *const *s, size_t n) {
    gb_array(b, key, JT_GGUF_STRING, n);
    for (size_t i = 0; i < n; i++) gb_put_text(&b->meta, s[i], strlen(s[i]));
}
static inline void gb_f32s(gguf_builder *b, const char *key, const float *x, size_t n) {
    gb_array(b, key, JT_GGUF_F32, n);
    for (size_t i = 0; i < n; i++) gb_put_f32(&b->meta, x[i]);
}
static inline void gb_i32s(gguf_builder *b, const char *key, const int32_t *x, size_t n) {
    gb_array(b, key, JT_GGUF_I32, n);
    for (size_t i = 0; i < n; i++) gb_put_int(&b->meta, (uint32_t)x[i], 4);
}

/* Adds a tensor: dim[0] is the row length. p may be NULL (zeros). Its bytes begin at the alignment. */
static inline void gb_tensor(gguf_builder *b, const char *name, uint32_t type, int n_dims, const uint64_t *dim, const void *p,
                             size_t bytes) {
    size_t to = b->alignment ? b->alignment : 32;
    gb_put(&b->data, NULL, (to - b->data.n % to) % to);
    gb_put_text(&b->infos, name, strlen(name));
    gb_put_int(&b->infos, (uint64_t)n_dims, 4);
    for (int i = 0; i < n_dims; i++) gb_put_int(&b->infos, dim[i], 8);
    gb_put_int(&b->infos, type, 4);
    gb_put_int(&b->infos, b->data.n, 8);
    gb_put(&b->data, p, bytes);
    b->n_tensors++;
}

/* The whole file; the builder is empty again. The last tensor is not padded. */
static inline uint8_t *gb_finish(gguf_builder *b, uint32_t version, size_t *n) {
    gb_bytes f = {0};
    size_t to = b->alignment ? b->alignment : 32;
    if (b->alignment) gb_u32(b, "general.alignment", b->alignment);
    gb_put(&f, "GGUF", 4);
    gb_put_int(&f, version, 4);
    gb_put_int(&f, b->n_tensors, 8);
    gb_put_int(&f, b->n_values, 8);
    gb_put(&f, b->meta.p, b->meta.n);
    gb_put(&f, b->infos.p, b->infos.n);
    if (b->n_tensors) gb_put(&f, NULL, (to - f.n % to) % to);
    gb_put(&f, b->data.p, b->data.n);
    free(b->meta.p), free(b->infos.p), free(b->data.p);
    *b = (gguf_builder){0};
    *n = f.n;
    return f.p;
}

/* The same into a file; aborts when it cannot be written. */
static inline void gb_save(gguf_builder *b, uint32_t version, const char *path) {
    size_t n;
    uint8_t *p = gb_finish(b, version, &n);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(p, 1, n, f) != n || fclose(f)) abort();
    free(p);
}

#endif
