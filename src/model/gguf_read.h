/* gguf_read.h: what gguf.c and gguf_value.c share: little-endian numbers at any
 * address, and the sizes of the value types. */
#ifndef JT_MODEL_GGUF_READ_H
#define JT_MODEL_GGUF_READ_H

#include <stdint.h>

#include "model/gguf.h"

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
