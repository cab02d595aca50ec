/* gguf.c: the walk through a GGUF file (specification: docs/gguf.md of the ggml
 * project). Layout: magic, version, tensor count, metadata count; the metadata
 * (key, type, value); the tensors' descriptions (name, dimensions, type, offset);
 * padding to the alignment; the data.
 *
 * Counts are compared with the bytes that are left before memory is taken for
 * them, so that a small file can only ever cost a small multiple of its size. */
#include "model/gguf.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "model/gguf_read.h"
#include "model/names.h"

enum {
    GGUF_NAME_BYTES = 65535,
    GGUF_ARRAY_LEVELS = 4,
    GGUF_LEAST_VALUE = 8 + 1 + 4 + 1,          /* bytes of the smallest metadata entry */
    GGUF_LEAST_TENSOR = 8 + 1 + 4 + 0 + 4 + 8, /* and of the smallest description of a tensor */
    GGUF_ALIGNMENT = 32,
    GGUF_LEAST_ALIGNMENT = 8
};

/* A place in the file, and words for what is being read there. */
struct gguf_reader {
    const uint8_t *p;
    size_t n, at;
    const char *part; /* "header", "metadata", "tensor" */
    size_t index;     /* which one */
    const char *name; /* its name once known */
    jt_error *err;
};

/* Names come from the file, so only printable ASCII of them reaches a message. */
static jt_status gguf_refuse(const struct gguf_reader *r, size_t at, const char *field, const char *fmt, ...) JT_PRINTF(4, 5);
static jt_status gguf_refuse(const struct gguf_reader *r, size_t at, const char *field, const char *fmt, ...) {
    char what[256], name[72] = "";
    size_t k = 0;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    for (const char *s = r->name; s && *s && k < sizeof name - 4; s++) name[k++] = *s >= 0x20 && *s < 0x7f ? *s : '?';
    if (r->name && strlen(r->name) > k) memcpy(name + k, "...", 3);
    if (r->name) return jt_error_set(r->err, JT_FORMAT, "byte %zu: %s %zu (%s): %s: %s", at, r->part, r->index, name, field, what);
    if (r->part) return jt_error_set(r->err, JT_FORMAT, "byte %zu: %s %zu: %s: %s", at, r->part, r->index, field, what);
    return jt_error_set(r->err, JT_FORMAT, "byte %zu: %s: %s", at, field, what);
}

static jt_status gguf_need(const struct gguf_reader *r, uint64_t bytes, const char *field) {
    if (bytes <= r->n - r->at) return JT_OK;
    return gguf_refuse(r, r->at, field, "needs %" PRIu64 " bytes, %zu are left; the file is cut short or damaged, fetch it again", bytes,
                       r->n - r->at);
}

static jt_status gguf_number(struct gguf_reader *r, int bytes, const char *field, uint64_t *out) {
    jt_status s = gguf_need(r, (uint64_t)bytes, field);
    if (s) return s;
    *out = jt_gguf_le(r->p + r->at, bytes);
    r->at += (size_t)bytes;
    return JT_OK;
}

/* A string's bytes follow its length. */
static jt_status gguf_text(struct gguf_reader *r, const char *field, const char **text, uint64_t *n) {
    jt_status s = gguf_number(r, 8, field, n);
    if (s || (s = gguf_need(r, *n, field))) return s;
    *text = (const char *)r->p + r->at;
    r->at += (size_t)*n;
    return JT_OK;
}

/* A key or tensor name as a string of the arena. */
static jt_status gguf_name(struct gguf_reader *r, jt_arena *arena, const char **out) {
    const char *text;
    uint64_t n;
    size_t at = r->at;
    jt_status s = gguf_text(r, "name", &text, &n);
    if (s) return s;
    if (n == 0 || n > GGUF_NAME_BYTES)
        return gguf_refuse(r, at, "name", "is %" PRIu64 " bytes long, 1 to %d are allowed", n, GGUF_NAME_BYTES);
    if (memchr(text, 0, (size_t)n)) return gguf_refuse(r, at, "name", "contains a NUL byte");
    *out = jt_arena_copy(arena, text, (size_t)n);
    return *out ? JT_OK : jt_nomem(r->err, "a name", (size_t)n, 1);
}

static jt_status gguf_bools(const struct gguf_reader *r, uint64_t count) {
    for (uint64_t i = 0; i < count; i++)
        if (r->p[r->at + i] > 1) return gguf_refuse(r, r->at + (size_t)i, "value", "a bool is 0 or 1, here is %d", r->p[r->at + i]);
    return JT_OK;
}

static jt_status gguf_type(struct gguf_reader *r, const char *field, jt_gguf_type *out) {
    uint64_t t;
    size_t at = r->at;
    jt_status s = gguf_number(r, 4, field, &t);
    if (s) return s;
    if (t > JT_GGUF_F64) return gguf_refuse(r, at, field, "%" PRIu64 " is no type of the format", t);
    *out = (jt_gguf_type)t;
    return JT_OK;
}

/* Reads the header of an array and walks its elements. `v` gets the outermost
 * array's description, and its strings' places; NULL inside other arrays. */
static jt_status gguf_array(struct gguf_reader *r, jt_gguf_value *v, jt_arena *arena, int level) {
    jt_gguf_type type = JT_GGUF_U8;
    uint64_t count, bytes, n = 0;
    const char *text;
    size_t at = r->at;
    jt_status s;
    if (level > GGUF_ARRAY_LEVELS) return gguf_refuse(r, at, "array", "arrays lie more than %d deep in each other", GGUF_ARRAY_LEVELS);
    if ((s = gguf_type(r, "element type", &type))) return s;
    at = r->at;
    if ((s = gguf_number(r, 8, "element count", &count))) return s;
    int size = jt_gguf_type_bytes(type), least = size ? size : type == JT_GGUF_STRING ? 8 : 12;
    if (!jt_mul_u64(count, (uint64_t)least, &bytes) || bytes > r->n - r->at)
        return gguf_refuse(r, at, "element count", "%" PRIu64 " elements of at least %d bytes do not fit in the %zu bytes left", count,
                           least, r->n - r->at);
    uint64_t *place = NULL;
    size_t start = r->at;
    if (v) {
        v->element = type, v->count = count, v->at = r->p + start;
        if (type == JT_GGUF_STRING && !(place = jt_arena_alloc(arena, (size_t)count, sizeof *place)))
            return jt_nomem(r->err, "places of an array's strings", (size_t)count, sizeof *place);
        v->string = place;
    }
    if (type == JT_GGUF_BOOL && (s = gguf_bools(r, count))) return s;
    if (size) r->at += (size_t)bytes;
    for (uint64_t i = 0; !size && i < count; i++) {
        s = type == JT_GGUF_STRING ? gguf_text(r, "string of the array", &text, &n) : gguf_array(r, NULL, arena, level + 1);
        if (s) return s;
        if (place) place[i] = r->at - (size_t)n - start;
    }
    return JT_OK;
}

static jt_status gguf_value(struct gguf_reader *r, jt_gguf_value *v, jt_arena *arena) {
    jt_status s = gguf_name(r, arena, &v->key);
    if (s) return s;
    r->name = v->key;
    if ((s = gguf_type(r, "type", &v->type))) return s;
    v->element = v->type, v->count = 1;
    if (v->type == JT_GGUF_ARRAY) {
        if ((s = gguf_array(r, v, arena, 1))) return s;
    } else if (v->type == JT_GGUF_STRING) {
        const char *text;
        uint64_t n;
        if ((s = gguf_text(r, "value", &text, &n))) return s;
        v->at = (const uint8_t *)text;
    } else {
        int size = jt_gguf_type_bytes(v->type);
        if ((s = gguf_need(r, (uint64_t)size, "value"))) return s;
        if (v->type == JT_GGUF_BOOL && (s = gguf_bools(r, 1))) return s;
        v->at = r->p + r->at;
        r->at += (size_t)size;
    }
    v->bytes = (uint64_t)(r->p + r->at - v->at);
    return JT_OK;
}

/* `offset` is left as the file has it, relative to the data; *field is where it stands. */
static jt_status gguf_tensor(struct gguf_reader *r, jt_gguf_tensor *t, size_t *field, jt_arena *arena) {
    uint64_t dims, type;
    size_t at;
    jt_status s = gguf_name(r, arena, &t->name);
    if (s) return s;
    r->name = t->name, at = r->at;
    if ((s = gguf_number(r, 4, "number of dimensions", &dims))) return s;
    if (dims > 4) return gguf_refuse(r, at, "number of dimensions", "%" PRIu64 ", at most 4 are allowed", dims);
    t->n_dims = (int)dims, t->elements = 1;
    for (int i = 0; i < 4; i++) t->dim[i] = 1;
    for (int i = 0; i < t->n_dims; i++) {
        at = r->at;
        if ((s = gguf_number(r, 8, "dimension", &t->dim[i]))) return s;
        if (t->dim[i] == 0) return gguf_refuse(r, at, "dimension", "number %d is 0", i);
        if (!jt_mul_u64(t->elements, t->dim[i], &t->elements) || t->elements > INT64_MAX)
            return gguf_refuse(r, at, "dimension", "with %" PRIu64 " as number %d the tensor has more elements than 63 bits can count",
                               t->dim[i], i);
    }
    at = r->at;
    if ((s = gguf_number(r, 4, "type", &type))) return s;
    t->type = (uint32_t)type, t->format = jt_format_of(t->type);
    if (t->format && t->dim[0] % t->format->block)
        return gguf_refuse(r, at, "type", "%s has blocks of %d, but rows are %" PRIu64 " long", t->format->name, t->format->block,
                           t->dim[0]);
    if (t->format && !jt_format_bytes(t->format, t->elements, &t->bytes))
        return gguf_refuse(r, at, "type", "%" PRIu64 " elements of %s are more bytes than 64 bits can count", t->elements, t->format->name);
    *field = r->at;
    return gguf_number(r, 8, "offset", &t->offset);
}

/* Where a tensor lies, for finding overlaps. A tensor of unknown extent takes one byte at least. */
struct gguf_extent {
    uint64_t begin, end;
    size_t index, field;
};

static int gguf_by_begin(const void *a, const void *b) {
    const struct gguf_extent *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* Places every tensor in the data, which begin at r->at rounded up to the alignment. */
static jt_status gguf_place(struct gguf_reader *r, jt_gguf *g, struct gguf_extent *e) {
    uint64_t data;
    r->name = NULL;
    if (!jt_add_u64(r->at, g->alignment - 1, &data)) return gguf_refuse(r, r->at, "data", "lie past what 64 bits can address");
    data &= ~(g->alignment - 1);
    for (size_t i = 0; i < g->n_tensors; i++) {
        jt_gguf_tensor *t = &g->tensor[i];
        r->index = i, r->name = t->name;
        if (t->offset % g->alignment)
            return gguf_refuse(r, e[i].field, "offset", "%" PRIu64 " is no multiple of the alignment %" PRIu64, t->offset, g->alignment);
        uint64_t begin, end, bytes = t->format ? t->bytes : 1;
        if (!jt_add_u64(data, t->offset, &begin) || !jt_add_u64(begin, bytes, &end) || end > r->n)
            return gguf_refuse(r, e[i].field, "offset",
                               "%" PRIu64 " bytes at %" PRIu64 " of the data, which begin at byte %" PRIu64
                               ", do not fit in the file's %zu bytes; "
                               "it is cut short or damaged, fetch it again",
                               bytes, t->offset, data, r->n);
        t->offset = begin, t->data = t->format ? r->p + begin : NULL;
        e[i].begin = begin, e[i].end = end, e[i].index = i;
    }
    qsort(e, g->n_tensors, sizeof *e, gguf_by_begin);
    for (size_t i = 1; i < g->n_tensors; i++)
        if (e[i].begin < e[i - 1].end) {
            r->index = e[i].index, r->name = g->tensor[e[i].index].name;
            return gguf_refuse(r, e[i].field, "offset",
                               "its data at byte %" PRIu64 " lie inside those of tensor %zu, which end at %" PRIu64, e[i].begin,
                               e[i - 1].index, e[i - 1].end);
        }
    return JT_OK;
}

static jt_status gguf_alignment(struct gguf_reader *r, jt_gguf *g) {
    const jt_gguf_value *v = jt_gguf_find(g, "general.alignment");
    uint64_t a = GGUF_ALIGNMENT;
    if (v) {
        r->index = (size_t)(v - g->value), r->name = v->key;
        size_t at = (size_t)(v->at - r->p);
        if (v->type != JT_GGUF_U32) return gguf_refuse(r, at, "value", "is of type %s, u32 wanted", jt_gguf_type_name(v->type));
        jt_gguf_item_u64(v, 0, &a);
        if (a < GGUF_LEAST_ALIGNMENT || a & (a - 1))
            return gguf_refuse(r, at, "value", "alignment %" PRIu64 " is no power of two from %d up", a, GGUF_LEAST_ALIGNMENT);
    }
    g->alignment = a;
    return JT_OK;
}

static jt_status gguf_header(struct gguf_reader *r, jt_gguf *g) {
    uint64_t version, tensors, values, a, b;
    jt_status s = gguf_need(r, 4, "magic");
    if (s) return s;
    if (memcmp(r->p, "GGUF", 4) != 0) return gguf_refuse(r, 0, "magic", "is not GGUF; this is no GGUF file");
    r->at = 4;
    if ((s = gguf_number(r, 4, "version", &version))) return s;
    if (version == 0x02000000 || version == 0x03000000)
        return jt_error_set(r->err, JT_UNSUPPORTED, "byte 4: version: this is a big-endian GGUF file; convert it to little endian");
    if (version == 1)
        return jt_error_set(r->err, JT_UNSUPPORTED, "byte 4: version: GGUF version 1 is not read; convert the file to version 3");
    if (version != 2 && version != 3)
        return jt_error_set(r->err, JT_UNSUPPORTED, "byte 4: version: GGUF version %" PRIu64 " is not known, 2 and 3 are read", version);
    g->version = (uint32_t)version;
    if ((s = gguf_number(r, 8, "tensor count", &tensors)) || (s = gguf_number(r, 8, "metadata count", &values))) return s;
    size_t left = r->n - r->at;
    if (!jt_mul_u64(tensors, GGUF_LEAST_TENSOR, &a) || a > left)
        return gguf_refuse(r, 8, "tensor count", "%" PRIu64 " tensors do not fit in the %zu bytes left", tensors, left);
    if (!jt_mul_u64(values, GGUF_LEAST_VALUE, &b) || b > left - (size_t)a)
        return gguf_refuse(r, 16, "metadata count", "%" PRIu64 " values and %" PRIu64 " tensors do not fit in the %zu bytes left", values,
                           tensors, left);
    g->n_tensors = (size_t)tensors, g->n_values = (size_t)values;
    return JT_OK;
}

static jt_status gguf_all(struct gguf_reader *r, jt_gguf *g, struct gguf_extent **extents) {
    size_t first;
    jt_status s = gguf_header(r, g);
    if (s) return s;
    g->value = jt_arena_alloc(&g->arena, g->n_values, sizeof *g->value);
    if (!g->value) return jt_nomem(r->err, "metadata", g->n_values, sizeof *g->value);
    g->tensor = jt_arena_alloc(&g->arena, g->n_tensors, sizeof *g->tensor);
    if (!g->tensor) return jt_nomem(r->err, "list of tensors", g->n_tensors, sizeof *g->tensor);
    struct gguf_extent *e = *extents = jt_alloc(g->n_tensors, sizeof *e);
    if (!e) return jt_nomem(r->err, "list of tensors", g->n_tensors, sizeof *e);
    if ((s = jt_names_new(g->n_values, &g->keys, r->err)) || (s = jt_names_new(g->n_tensors, &g->tensor_names, r->err))) return s;
    r->part = "metadata";
    for (size_t i = 0; i < g->n_values; i++) {
        size_t at = r->at;
        r->index = first = i, r->name = NULL;
        if ((s = gguf_value(r, &g->value[i], &g->arena))) return s;
        if (!jt_names_add(&g->keys, g->value[i].key, &first)) return gguf_refuse(r, at, "name", "was already that of metadata %zu", first);
    }
    if ((s = gguf_alignment(r, g))) return s;
    r->part = "tensor";
    for (size_t i = 0; i < g->n_tensors; i++) {
        size_t at = r->at;
        r->index = first = i, r->name = NULL;
        if ((s = gguf_tensor(r, &g->tensor[i], &e[i].field, &g->arena))) return s;
        if (!jt_names_add(&g->tensor_names, g->tensor[i].name, &first))
            return gguf_refuse(r, at, "name", "was already that of tensor %zu", first);
    }
    return g->n_tensors ? gguf_place(r, g, e) : JT_OK;
}

jt_status jt_gguf_parse(const void *p, size_t n, jt_gguf **out, jt_error *err) {
    jt_gguf *g = jt_alloc(1, sizeof *g);
    if (!g) return jt_nomem(err, "GGUF file", 1, sizeof *g);
    struct gguf_reader r = {p, n, 0, NULL, 0, NULL, err};
    struct gguf_extent *e = NULL;
    g->p = p, g->n = n;
    jt_status s = gguf_all(&r, g, &e);
    jt_free(e);
    if (s)
        jt_gguf_free(g);
    else
        *out = g;
    return s;
}

jt_status jt_gguf_open(const char *path, jt_gguf **out, jt_error *err) {
    jt_map m;
    jt_gguf *g;
    jt_status s = jt_map_open(path, &m, err);
    if (s) return s;
    if ((s = jt_gguf_parse(m.p, m.n, &g, err))) {
        jt_map_close(&m);
        return jt_error_in(err, s, "%s", path);
    }
    g->map = m;
    if ((s = jt_gguf_open_parts(path, g, err))) {
        jt_gguf_free(g);
        return s;
    }
    *out = g;
    return JT_OK;
}

void jt_gguf_free(jt_gguf *g) {
    if (!g) return;
    for (size_t i = 0; i < g->n_parts; i++) jt_gguf_free(g->part[i]);
    jt_names_free(&g->keys);
    jt_names_free(&g->tensor_names);
    jt_arena_free(&g->arena);
    jt_map_close(&g->map);
    jt_free(g);
}

uint32_t jt_gguf_version(const jt_gguf *g) { return g->version; }
uint64_t jt_gguf_alignment(const jt_gguf *g) { return g->alignment; }

uint64_t jt_gguf_file_bytes(const jt_gguf *g) {
    uint64_t n = g->n;
    for (size_t i = 0; i < g->n_parts; i++) n += g->part[i]->n;
    return n;
}

jt_status jt_gguf_lock(const jt_gguf *g, jt_error *err) {
    jt_status s = jt_map_lock(&g->map, err);
    for (size_t i = 0; !s && i < g->n_parts; i++) s = jt_map_lock(&g->part[i]->map, err);
    return s;
}

size_t jt_gguf_tensors(const jt_gguf *g) { return g->n_tensors; }
const jt_gguf_tensor *jt_gguf_tensor_at(const jt_gguf *g, size_t i) { return &g->tensor[i]; }
size_t jt_gguf_values(const jt_gguf *g) { return g->n_values; }
const jt_gguf_value *jt_gguf_value_at(const jt_gguf *g, size_t i) { return &g->value[i]; }

const jt_gguf_tensor *jt_gguf_tensor_named(const jt_gguf *g, const char *name) {
    size_t i;
    return jt_names_find(&g->tensor_names, name, &i) ? &g->tensor[i] : NULL;
}

const jt_gguf_value *jt_gguf_find(const jt_gguf *g, const char *key) {
    size_t i;
    return jt_names_find(&g->keys, key, &i) ? &g->value[i] : NULL;
}
