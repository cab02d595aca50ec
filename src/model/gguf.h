/* gguf.h: reading a GGUF file: metadata and tensors, versions 2 and 3. Of a file in parts
 * the first is opened, and finds the others beside it.
 *
 * Follows the GGUF specification of the ggml project. Little endian only; a
 * big-endian file is refused by name. The file is memory-mapped and nothing in
 * it is trusted: every count, length, offset, alignment, product, type and
 * duplicated name is checked against the file's size before it is used, and a
 * refusal (JT_FORMAT) names the byte offset and the field. Any valid file opens:
 * tensors of types that Jeton cannot compute with, or does not know, and files
 * with no tensors at all, are listed like others.
 *
 * A jt_gguf does not change once opened; any number of threads may read it.
 * What the accessors return is owned by it and valid until jt_gguf_free. */
#ifndef JT_MODEL_GGUF_H
#define JT_MODEL_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/str.h"
#include "jeton/status.h"
#include "tensor/format.h"

typedef struct jt_gguf jt_gguf;

/* Types of metadata values; numbers are those of the format. */
typedef enum jt_gguf_type {
    JT_GGUF_U8 = 0,
    JT_GGUF_I8 = 1,
    JT_GGUF_U16 = 2,
    JT_GGUF_I16 = 3,
    JT_GGUF_U32 = 4,
    JT_GGUF_I32 = 5,
    JT_GGUF_F32 = 6,
    JT_GGUF_BOOL = 7,
    JT_GGUF_STRING = 8,
    JT_GGUF_ARRAY = 9,
    JT_GGUF_U64 = 10,
    JT_GGUF_I64 = 11,
    JT_GGUF_F64 = 12
} jt_gguf_type;
/* "u32", "string" ...; "unknown" for no type of the format. Static storage. */
const char *jt_gguf_type_name(jt_gguf_type t);

/* A tensor as the file describes it. */
typedef struct jt_gguf_tensor {
    const char *name;
    int n_dims;              /* 0 to 4 */
    uint64_t dim[4];         /* dim[0] is the inner one (a row); the unused are 1; none is 0 */
    uint64_t elements;       /* their product */
    uint32_t type;           /* the number in the file */
    const jt_format *format; /* NULL: a type this build does not know; then data is NULL and bytes 0 */
    const uint8_t *data;     /* in the map, aligned to jt_gguf_alignment() within the file */
    uint64_t bytes;
    uint64_t offset; /* of its first byte from the start of the file */
} jt_gguf_tensor;

/* A metadata value. `at` is where its bytes begin (after the type): use the accessors. */
typedef struct jt_gguf_value {
    const char *key;
    jt_gguf_type type;
    jt_gguf_type element;   /* of an array; else equal to type */
    uint64_t count;         /* of an array's elements; else 1 */
    const uint8_t *at;      /* of an array: its first element; of a string: its first byte */
    uint64_t bytes;         /* from `at` to the end of the value */
    const uint64_t *string; /* of an array of strings: where string i begins, from `at` */
} jt_gguf_value;

/* Opens a file by memory map. Errors: JT_NOTFOUND, JT_IO, JT_FORMAT, JT_NOMEM,
 * JT_UNSUPPORTED (version 1, big endian). */
jt_status jt_gguf_open(const char *path, jt_gguf **out, jt_error *err);
/* The same for n bytes in memory, which stay the caller's and must outlive *out. */
jt_status jt_gguf_parse(const void *p, size_t n, jt_gguf **out, jt_error *err);
void jt_gguf_free(jt_gguf *g);

uint32_t jt_gguf_version(const jt_gguf *g);
uint64_t jt_gguf_alignment(const jt_gguf *g);
uint64_t jt_gguf_file_bytes(const jt_gguf *g);
/* Keeps the mapped file in memory (see jt_map_lock). */
jt_status jt_gguf_lock(const jt_gguf *g, jt_error *err);

/* ---- tensors, in the order of the file ---- */
size_t jt_gguf_tensors(const jt_gguf *g);
const jt_gguf_tensor *jt_gguf_tensor_at(const jt_gguf *g, size_t i);
/* O(1); NULL when there is none of that name. */
const jt_gguf_tensor *jt_gguf_tensor_named(const jt_gguf *g, const char *name);

/* ---- metadata, in the order of the file ---- */
size_t jt_gguf_values(const jt_gguf *g);
const jt_gguf_value *jt_gguf_value_at(const jt_gguf *g, size_t i);
/* O(1); NULL when the key is absent. */
const jt_gguf_value *jt_gguf_find(const jt_gguf *g, const char *key);

/* Typed getters. An absent key is JT_NOTFOUND, another type or a number that does
 * not fit JT_FORMAT; the message names the key. *out is set on success only.
 * u64 and i64 take every integer type; double takes integers and floats; text is a
 * view into the file (length in *n, no NUL at its end, not necessarily UTF-8). */
jt_status jt_gguf_get_u64(const jt_gguf *g, const char *key, uint64_t *out, jt_error *err);
jt_status jt_gguf_get_i64(const jt_gguf *g, const char *key, int64_t *out, jt_error *err);
jt_status jt_gguf_get_double(const jt_gguf *g, const char *key, double *out, jt_error *err);
jt_status jt_gguf_get_bool(const jt_gguf *g, const char *key, bool *out, jt_error *err);
jt_status jt_gguf_get_text(const jt_gguf *g, const char *key, const char **s, size_t *n, jt_error *err);
/* An array with elements of type `element`. */
jt_status jt_gguf_get_array(const jt_gguf *g, const char *key, jt_gguf_type element, const jt_gguf_value **out, jt_error *err);

/* The same, but an absent key gives `otherwise`; a wrong type is still an error. */
jt_status jt_gguf_get_u64_or(const jt_gguf *g, const char *key, uint64_t otherwise, uint64_t *out, jt_error *err);
jt_status jt_gguf_get_double_or(const jt_gguf *g, const char *key, double otherwise, double *out, jt_error *err);
jt_status jt_gguf_get_bool_or(const jt_gguf *g, const char *key, bool otherwise, bool *out, jt_error *err);

/* Element i of an array, or the value itself with i = 0. false when i is out of
 * range, the type is another or the number does not fit; O(1). */
bool jt_gguf_item_u64(const jt_gguf_value *v, uint64_t i, uint64_t *out);
bool jt_gguf_item_i64(const jt_gguf_value *v, uint64_t i, int64_t *out);
bool jt_gguf_item_double(const jt_gguf_value *v, uint64_t i, double *out);
bool jt_gguf_item_bool(const jt_gguf_value *v, uint64_t i, bool *out);
bool jt_gguf_item_text(const jt_gguf_value *v, uint64_t i, const char **s, size_t *n);

/* Appends the value for people to read, strings and arrays shortened to about
 * `width` bytes: numbers in decimal, strings as JSON, "[u32 x 512] [1, 2, 3, ...". */
void jt_gguf_print(const jt_gguf_value *v, size_t width, jt_str *out);

#endif
