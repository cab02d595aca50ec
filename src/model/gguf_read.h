/* gguf_read.h: what the files that read GGUF share: little-endian numbers at any
 * address, the sizes of the value types, and the inside of a jt_gguf. */
#ifndef JT_MODEL_GGUF_READ_H
#define JT_MODEL_GGUF_READ_H

#include <stdint.h>

#include "core/file.h"
#include "core/mem.h"
#include "model/gguf.h"
#include "model/names.h"

struct jt_gguf {
    jt_map map; /* base NULL when the bytes are the caller's */
    const uint8_t *p;
    size_t n;
    uint32_t version;
    uint64_t alignment;
    size_t n_tensors, n_values;
    jt_gguf_tensor *tensor;
    jt_gguf_value *value;
    jt_names tensor_names, keys;
    struct jt_gguf **part; /* the further files of a split one; their tensors are in `tensor` too */
    size_t n_parts;
    jt_arena arena;
};

/* Opens the other files of a split one, g being that at `path`; nothing to do for a whole one. */
jt_status jt_gguf_open_parts(const char *path, jt_gguf *g, jt_error *err);
/* What split.count of a file says, 1 if it says nothing. */
jt_status jt_gguf_split_count(const jt_gguf *g, size_t *count, jt_error *err);
/* Adds parts 1 .. n of a split file to g, which is part 0; they become g's on success. */
jt_status jt_gguf_join(jt_gguf *g, jt_gguf *const *part, size_t n, jt_error *err);

static inline uint64_t jt_gguf_le(const uint8_t *p, int bytes) {
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/* Bytes of a value of fixed size; 0 for strings, arrays and unknown types. */
static inline int jt_gguf_type_bytes(uint32_t t) {
    switch (t) {
    case JT_GGUF_U8:
    case JT_GGUF_I8:
    case JT_GGUF_BOOL: return 1;
    case JT_GGUF_U16:
    case JT_GGUF_I16: return 2;
    case JT_GGUF_U32:
    case JT_GGUF_I32:
    case JT_GGUF_F32: return 4;
    case JT_GGUF_U64:
    case JT_GGUF_I64:
    case JT_GGUF_F64: return 8;
    default: return 0;
    }
}

#endif
