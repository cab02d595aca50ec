/* safetensors.c: reading one safetensors file (format: README of the safetensors project). */
#include "model/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/str.h"
#include "model/safetensors_read.h"

enum { ST_HEADER_BYTES = 100000000 };

const jt_st_dtype *jt_st_dtype_named(const char *name) {
    static const jt_st_dtype row[] = {
        {"BOOL", 8, 'b', NULL},  {"F4", 4, 'f', NULL},      {"F6_E2M3", 6, 'f', NULL}, {"F6_E3M2", 6, 'f', NULL}, {"U8", 8, 'u', NULL},
        {"I8", 8, 'i', NULL},    {"F8_E5M2", 8, 'f', NULL}, {"F8_E4M3", 8, 'f', NULL}, {"F8_E8M0", 8, 'f', NULL}, {"I16", 16, 'i', NULL},
        {"U16", 16, 'u', NULL},  {"F16", 16, 'f', "f16"},   {"BF16", 16, 'f', "bf16"}, {"I32", 32, 'i', NULL},    {"U32", 32, 'u', NULL},
        {"F32", 32, 'f', "f32"}, {"C64", 64, 'c', NULL},    {"F64", 64, 'f', NULL},    {"I64", 64, 'i', NULL},    {"U64", 64, 'u', NULL},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (strcmp(row[i].name, name) == 0) return &row[i];
    return NULL;
}

static jt_status st_refuse(const char *tensor, const char *field, const jt_json *v, const char *wanted, jt_error *err) {
    return jt_error_set(err, JT_FORMAT, "header (byte 8): tensor %s: %s: is %s, %s wanted", jt_st_show(tensor).s, field,
                        v ? jt_json_kind_name(jt_json_kind_of(v)) : "missing", wanted);
}

static bool st_is_kind(const jt_json *v, jt_json_kind k) { return v && jt_json_kind_of(v) == k; }

/* A non-negative integer of an array. */
static bool st_item(const jt_json *array, size_t i, uint64_t *out) {
    int64_t x;
    if (!jt_json_i64(jt_json_item(array, i), &x) || x < 0) return false;
    *out = (uint64_t)x;
    return true;
}

/* Reads one description; the tensor's bytes are [*begin, *end) of the data. */
static jt_status st_tensor(const char *name, const jt_json *v, jt_st_tensor *t, uint64_t *begin, uint64_t *end, jt_error *err) {
    if (jt_json_kind_of(v) != JT_JSON_OBJECT) return st_refuse(name, "description", v, "an object", err);
    const jt_json *dtype = jt_json_member(v, "dtype"), *shape = jt_json_member(v, "shape"), *offsets = jt_json_member(v, "data_offsets");
    if (!st_is_kind(dtype, JT_JSON_STRING)) return st_refuse(name, "dtype", dtype, "a string", err);
    if (!st_is_kind(shape, JT_JSON_ARRAY)) return st_refuse(name, "shape", shape, "an array", err);
    if (!st_is_kind(offsets, JT_JSON_ARRAY)) return st_refuse(name, "data_offsets", offsets, "an array", err);
    const char *type = jt_json_string(dtype, NULL);
    t->dtype = jt_st_dtype_named(type);
    if (!t->dtype)
        return jt_error_set(err, JT_FORMAT, "header (byte 8): tensor %s: dtype: %s is none of the format", jt_st_show(name).s,
                            jt_st_show(type).s);
    if (jt_json_count(shape) > JT_ST_DIMS)
        return jt_error_set(err, JT_FORMAT, "header (byte 8): tensor %s: shape: %zu dimensions, at most %d are read", jt_st_show(name).s,
                            jt_json_count(shape), JT_ST_DIMS);
    t->n_dims = (int)jt_json_count(shape), t->elements = 1;
    for (int i = 0; i < JT_ST_DIMS; i++) t->dim[i] = 1;
    bool fits = true;
    for (int i = 0; i < t->n_dims; i++) {
        if (!st_item(shape, (size_t)i, &t->dim[i]))
            return jt_error_set(err, JT_FORMAT, "header (byte 8): tensor %s: shape: dimension %d is no integer from 0 up",
                                jt_st_show(name).s, i);
        fits = fits && jt_mul_u64(t->elements, t->dim[i], &t->elements);
    }
    uint64_t bits;
    if (!fits || !jt_mul_u64(t->elements, (uint64_t)t->dtype->bits, &bits) || bits % 8)
        return jt_error_set(err, JT_FORMAT, "header (byte 8): tensor %s: shape: %s", jt_st_show(name).s,
                            fits && bits % 8 ? "its elements do not fill whole bytes" : "has more elements than 64 bits can count");
    t->bytes = bits / 8;
    if (jt_json_count(offsets) != 2 || !st_item(offsets, 0, begin) || !st_item(offsets, 1, end) || *end < *begin)
        return jt_error_set(err, JT_FORMAT, "header (byte 8): tensor %s: data_offsets: two integers in ascending order are wanted",
                            jt_st_show(name).s);
    if (*end - *begin != t->bytes)
        return jt_error_set(err, JT_FORMAT,
                            "header (byte 8): tensor %s: data_offsets: %" PRIu64 " to %" PRIu64 " are %" PRIu64
                            " bytes, but shape and dtype make %" PRIu64,
                            jt_st_show(name).s, *begin, *end, *end - *begin, t->bytes);
    return JT_OK;
}

static jt_status st_metadata(const jt_json *v, jt_safetensors *f, jt_error *err) {
    void *iter = NULL;
    const char *key;
    const jt_json *text;
    if (jt_json_kind_of(v) != JT_JSON_OBJECT) return jt_error_set(err, JT_FORMAT, "header (byte 8): __metadata__: is no object");
    struct st_pair *p = jt_arena_alloc(&f->arena, jt_json_count(v), sizeof *p);
    if (!p) return jt_nomem(err, "safetensors metadata", jt_json_count(v), sizeof *p);
    size_t n = 0;
    while (jt_json_each(v, &iter, &key, &text)) {
        size_t bytes;
        const char *s = jt_json_string(text, &bytes);
        if (!s) return jt_error_set(err, JT_FORMAT, "header (byte 8): __metadata__: %s is no string", jt_st_show(key).s);
        p[n].key = jt_arena_copy(&f->arena, key, strlen(key));
        p[n].text = jt_arena_copy(&f->arena, s, bytes);
        if (!p[n].key || !p[n].text) return jt_nomem(err, "safetensors metadata", bytes, 1);
        n++;
    }
    if (!f->metadata) f->metadata = p, f->n_metadata = n;
    return JT_OK;
}

/* A tensor of the shard being read, and where its data lie. */
struct st_extent {
    uint64_t begin, end;
    jt_st_tensor tensor;
};

static int st_by_begin(const void *a, const void *b) {
    const struct st_extent *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return strcmp(x->tensor.name, y->tensor.name);
}

/* The header's members into f; `data` holds `n_data` bytes that begin at byte `start` of the file. */
static jt_status st_header(const jt_json *root, jt_safetensors *f, const uint8_t *data, uint64_t n_data, uint64_t start,
                           struct st_extent **extents, jt_error *err) {
    void *iter = NULL;
    const char *name;
    const jt_json *v;
    jt_status s;
    size_t n = 0, total;
    if (jt_json_kind_of(root) != JT_JSON_OBJECT) return jt_error_set(err, JT_FORMAT, "header (byte 8): is no JSON object");
    struct st_extent *e = *extents = jt_alloc(jt_json_count(root), sizeof *e);
    if (!e) return jt_nomem(err, "list of tensors", jt_json_count(root), sizeof *e);
    while (jt_json_each(root, &iter, &name, &v)) {
        if (strcmp(name, "__metadata__") == 0) {
            if ((s = st_metadata(v, f, err))) return s;
            continue;
        }
        if ((s = st_tensor(name, v, &e[n].tensor, &e[n].begin, &e[n].end, err))) return s;
        if (!(e[n].tensor.name = jt_arena_copy(&f->arena, name, strlen(name))))
            return jt_nomem(err, "a tensor's name", strlen(name) + 1, 1);
        n++;
    }
    qsort(e, n, sizeof *e, st_by_begin);
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (e[i].begin != at)
            return jt_error_set(err, JT_FORMAT, "byte %" PRIu64 ": tensor %s: data_offsets: begins at %" PRIu64 " of the data, %s %" PRIu64,
                                start + at, jt_st_show(e[i].tensor.name).s, e[i].begin,
                                e[i].begin < at ? "inside the tensor before it, which ends at" : "leaving a hole from", at);
        at = e[i].end;
        if (at > n_data)
            return jt_error_set(err, JT_FORMAT,
                                "byte %" PRIu64 ": tensor %s: data_offsets: ends at %" PRIu64 " of the data, but the file has %" PRIu64
                                " bytes of them; it is cut short or damaged, fetch it again",
                                start + e[i].begin, jt_st_show(e[i].tensor.name).s, at, n_data);
    }
    if (at != n_data)
        return jt_error_set(err, JT_FORMAT, "byte %" PRIu64 ": data: %" PRIu64 " bytes belong to no tensor", start + at, n_data - at);
    if (!jt_add(f->n_tensors, n, &total)) return jt_nomem(err, "list of tensors", n, sizeof *f->tensor);
    if ((s = jt_grow((void **)&f->tensor, &f->cap_tensors, total, sizeof *f->tensor, err))) return s;
    for (size_t i = 0; i < n; i++) {
        jt_st_tensor *t = &e[i].tensor;
        uint64_t unit = t->dtype->bits < 8 ? 1 : (uint64_t)t->dtype->bits / 8;
        t->data = data + e[i].begin;
        t->aligned = (uintptr_t)t->data % unit == 0;
        t->file = f->n_maps ? (int)f->n_maps - 1 : 0;
        f->tensor[f->n_tensors++] = *t;
    }
    return JT_OK;
}

jt_status jt_safetensors_add(jt_safetensors *f, const uint8_t *p, size_t n, jt_error *err) {
    uint64_t header = 0;
    jt_json *root;
    struct st_extent *e = NULL;
    if (n < 8) return jt_error_set(err, JT_FORMAT, "byte 0: header length: needs 8 bytes, the file has %zu", n);
    for (int i = 0; i < 8; i++) header |= (uint64_t)p[i] << (8 * i);
    if (header > ST_HEADER_BYTES)
        return jt_error_set(err, JT_FORMAT, "byte 0: header length: %" PRIu64 " bytes, the format allows %d; this is no safetensors file",
                            header, ST_HEADER_BYTES);
    if (header > n - 8)
        return jt_error_set(err, JT_FORMAT,
                            "byte 0: header length: %" PRIu64
                            " bytes, the file has %zu after it; it is cut short or damaged, fetch it again",
                            header, n - 8);
    if (header == 0 || p[8] != '{')
        return jt_error_set(err, JT_FORMAT, "byte 8: header: does not begin with {; this is no safetensors file");
    jt_status s = jt_json_parse((const char *)p + 8, (size_t)header, &root, err);
    if (s) return jt_error_in(err, s, "header (byte 8)");
    s = st_header(root, f, p + 8 + header, n - 8 - header, 8 + header, &e, err);
    jt_free(e);
    jt_json_free(root);
    if (s == JT_OK) f->file_bytes += n;
    return s;
}

jt_status jt_safetensors_index(jt_safetensors *f, jt_error *err) {
    jt_status s = jt_names_new(f->n_tensors, &f->names, err);
    for (size_t i = 0; s == JT_OK && i < f->n_tensors; i++) {
        size_t first = i;
        if (!jt_names_add(&f->names, f->tensor[i].name, &first))
            return jt_error_set(err, JT_FORMAT, "tensor %s: is in shard %d and again in shard %d", jt_st_show(f->tensor[i].name).s,
                                f->tensor[first].file, f->tensor[i].file);
    }
    return s;
}

jt_status jt_safetensors_parse(const void *p, size_t n, jt_safetensors **out, jt_error *err) {
    jt_safetensors *f = jt_alloc(1, sizeof *f);
    if (!f) return jt_nomem(err, "safetensors file", 1, sizeof *f);
    jt_status s = jt_safetensors_add(f, p, n, err);
    if (s == JT_OK) s = jt_safetensors_index(f, err);
    if (s)
        jt_safetensors_free(f);
    else
        *out = f;
    return s;
}

void jt_safetensors_free(jt_safetensors *f) {
    if (!f) return;
    for (size_t i = 0; i < f->n_maps; i++) jt_map_close(&f->map[i]);
    jt_names_free(&f->names);
    jt_arena_free(&f->arena);
    jt_free(f->tensor);
    jt_free(f->map);
    jt_free(f);
}

uint64_t jt_safetensors_file_bytes(const jt_safetensors *f) { return f->file_bytes; }

jt_status jt_safetensors_lock(const jt_safetensors *f, jt_error *err) {
    jt_status s = JT_OK;
    for (size_t i = 0; s == JT_OK && i < f->n_maps; i++) s = jt_map_lock(&f->map[i], err);
    return s;
}

size_t jt_safetensors_tensors(const jt_safetensors *f) { return f->n_tensors; }
const jt_st_tensor *jt_safetensors_tensor_at(const jt_safetensors *f, size_t i) { return &f->tensor[i]; }

const jt_st_tensor *jt_safetensors_tensor_named(const jt_safetensors *f, const char *name) {
    size_t i;
    return jt_names_find(&f->names, name, &i) ? &f->tensor[i] : NULL;
}

const char *jt_safetensors_metadata(const jt_safetensors *f, const char *key) {
    for (size_t i = 0; i < f->n_metadata; i++)
        if (strcmp(f->metadata[i].key, key) == 0) return f->metadata[i].text;
    return NULL;
}

bool jt_safetensors_metadata_at(const jt_safetensors *f, size_t i, const char **key, const char **text) {
    if (i >= f->n_metadata) return false;
    *key = f->metadata[i].key, *text = f->metadata[i].text;
    return true;
}
