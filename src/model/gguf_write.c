/* gguf_write.c: writing GGUF files (specification: docs/gguf.md of the ggml project), in parts named as
 * llama.cpp's gguf-split names them, with its keys split.no, split.count and split.tensors.count. */
#include "model/gguf_write.h"

#include <inttypes.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "model/gguf_read.h"
#include "model/names.h"

enum { GGUF_WRITE_ALIGNMENT = 32, GGUF_MOST_PARTS = 1000 };

/* ---- metadata ---- */

static void gguf_put(jt_str *b, uint64_t v, int bytes) {
    char t[8];
    for (int i = 0; i < bytes; i++) t[i] = (char)(v >> (8 * i) & 255);
    jt_str_add(b, t, (size_t)bytes);
}

static void gguf_put_text(jt_str *b, const char *s, size_t n) {
    gguf_put(b, n, 8);
    jt_str_add(b, s, n);
}

static uint32_t gguf_float_bits(double v) {
    float f = (float)v;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static void gguf_key(jt_gguf_meta *m, const char *key, jt_gguf_type t) {
    gguf_put_text(&m->bytes, key, strlen(key));
    gguf_put(&m->bytes, t, 4);
    m->count++;
}

void jt_gguf_meta_number(jt_gguf_meta *m, const char *key, jt_gguf_type t, uint64_t v) {
    if (!strcmp(key, "general.alignment")) m->alignment = v;
    gguf_key(m, key, t);
    gguf_put(&m->bytes, v, jt_gguf_type_bytes(t));
}

void jt_gguf_meta_u32(jt_gguf_meta *m, const char *key, uint64_t v) { jt_gguf_meta_number(m, key, JT_GGUF_U32, v); }
void jt_gguf_meta_f32(jt_gguf_meta *m, const char *key, double v) { jt_gguf_meta_number(m, key, JT_GGUF_F32, gguf_float_bits(v)); }
void jt_gguf_meta_bool(jt_gguf_meta *m, const char *key, bool v) { jt_gguf_meta_number(m, key, JT_GGUF_BOOL, v); }

void jt_gguf_meta_text(jt_gguf_meta *m, const char *key, const char *s, size_t n) {
    gguf_key(m, key, JT_GGUF_STRING);
    gguf_put_text(&m->bytes, s, n);
}

void jt_gguf_meta_array(jt_gguf_meta *m, const char *key, jt_gguf_type element, uint64_t count) {
    gguf_key(m, key, JT_GGUF_ARRAY);
    gguf_put(&m->bytes, element, 4);
    gguf_put(&m->bytes, count, 8);
}

void jt_gguf_meta_item_text(jt_gguf_meta *m, const char *s, size_t n) { gguf_put_text(&m->bytes, s, n); }
void jt_gguf_meta_item(jt_gguf_meta *m, jt_gguf_type t, uint64_t v) { gguf_put(&m->bytes, v, jt_gguf_type_bytes(t)); }
void jt_gguf_meta_item_f32(jt_gguf_meta *m, double v) { gguf_put(&m->bytes, gguf_float_bits(v), 4); }

void jt_gguf_meta_copy(jt_gguf_meta *m, const jt_gguf_value *v) {
    if (!strcmp(v->key, "general.alignment")) jt_gguf_item_u64(v, 0, &m->alignment);
    if (v->type == JT_GGUF_ARRAY)
        jt_gguf_meta_array(m, v->key, v->element, v->count);
    else
        gguf_key(m, v->key, v->type);
    if (v->type == JT_GGUF_STRING) gguf_put(&m->bytes, v->bytes, 8);
    jt_str_add(&m->bytes, (const char *)v->at, (size_t)v->bytes);
}

void jt_gguf_meta_free(jt_gguf_meta *m) {
    jt_str_free(&m->bytes);
    *m = (jt_gguf_meta){0};
}

/* ---- files ---- */

/* A file of the set, with tensors [first, end). */
struct gguf_part {
    jt_writer file;
    size_t first, end;
};

struct jt_gguf_writer {
    jt_str path;
    jt_gguf_spec *spec; /* names in the arena */
    uint64_t *bytes;    /* of each tensor */
    size_t n, n_parts;
    struct gguf_part *part;
    jt_str meta; /* a copy: what the first part has */
    uint64_t count, alignment;
    size_t at, in; /* the tensor being written, and the part that has it */
    uint64_t done; /* bytes of that tensor */
    jt_arena arena;
};

void jt_gguf_part_name(const char *path, size_t i, size_t n, jt_str *out) {
    size_t len = strlen(path);
    if (len > 5 && !strcmp(path + len - 5, ".gguf")) len -= 5;
    jt_str_add(out, path, len);
    jt_str_printf(out, "-%05zu-of-%05zu.gguf", i + 1, n);
}

static jt_status gguf_check_spec(jt_gguf_writer *w, jt_error *err) {
    jt_names names = {0};
    jt_status s = jt_names_new(w->n, &names, err);
    for (size_t i = 0; s == JT_OK && i < w->n; i++) {
        const jt_gguf_spec *t = &w->spec[i];
        uint64_t elements = 1;
        size_t first = i;
        bool fits = t->n_dims >= 0 && t->n_dims <= 4 && t->name[0] && strlen(t->name) < 64 * 1024;
        for (int k = 0; fits && k < t->n_dims; k++) fits = t->dim[k] > 0 && jt_mul_u64(elements, t->dim[k], &elements);
        if (!fits || elements > INT64_MAX)
            s = jt_error_set(err, JT_INVALID, "tensor %.200s: its shape is none that GGUF holds", t->name);
        else if ((t->n_dims ? t->dim[0] : 1) % t->format->block || !jt_format_bytes(t->format, elements, &w->bytes[i]))
            s = jt_error_set(err, JT_INVALID, "tensor %.200s: rows of %" PRIu64 " are no whole blocks of %s", t->name, t->dim[0],
                             t->format->name);
        else if (!jt_names_add(&names, t->name, &first))
            s = jt_error_set(err, JT_INVALID, "tensor %.200s: is named twice", t->name);
    }
    jt_names_free(&names);
    return s;
}

static uint64_t gguf_padded(const jt_gguf_writer *w, uint64_t bytes) { return (bytes + w->alignment - 1) / w->alignment * w->alignment; }

/* Gives each tensor its part. */
static jt_status gguf_divide(jt_gguf_writer *w, uint64_t part_bytes, jt_error *err) {
    uint64_t in = 0;
    size_t parts = 1;
    for (int pass = 0; pass < 2; pass++) {
        parts = 1, in = 0;
        for (size_t i = 0; i < w->n; i++) {
            uint64_t b = gguf_padded(w, w->bytes[i]);
            if (part_bytes && in && b > part_bytes - (in < part_bytes ? in : part_bytes)) parts++, in = 0;
            in += b;
            if (!pass) continue;
            if (!w->part[parts - 1].end) w->part[parts - 1].first = i;
            w->part[parts - 1].end = i + 1;
        }
        if (parts > GGUF_MOST_PARTS)
            return jt_error_set(err, JT_INVALID, "parts of %" PRIu64 " bytes would be %zu files, at most %d are written; use larger parts",
                                part_bytes, parts, (int)GGUF_MOST_PARTS);
        if (!pass && !(w->part = jt_arena_alloc(&w->arena, parts, sizeof *w->part)))
            return jt_nomem(err, "list of parts", parts, sizeof *w->part);
    }
    w->n_parts = parts;
    return JT_OK;
}

/* Creates the file of a part and writes all that stands before its data. */
static jt_status gguf_begin(jt_gguf_writer *w, jt_error *err) {
    struct gguf_part *p = &w->part[w->in];
    jt_gguf_meta m = {0};
    jt_str head = {0}, name = {0};
    uint64_t at = 0;
    if (w->n_parts > 1) {
        jt_gguf_meta_number(&m, "split.no", JT_GGUF_U16, w->in);
        jt_gguf_meta_number(&m, "split.count", JT_GGUF_U16, w->n_parts);
        jt_gguf_meta_number(&m, "split.tensors.count", JT_GGUF_I32, w->n);
        jt_gguf_part_name(w->path.s, w->in, w->n_parts, &name);
        if (w->in && w->alignment != GGUF_WRITE_ALIGNMENT) jt_gguf_meta_u32(&m, "general.alignment", w->alignment);
    } else {
        jt_str_puts(&name, w->path.s);
    }
    jt_str_puts(&head, "GGUF");
    gguf_put(&head, 3, 4);
    gguf_put(&head, p->end - p->first, 8);
    gguf_put(&head, m.count + (w->in ? 0 : w->count), 8);
    if (!w->in) jt_str_add(&head, w->meta.s, w->meta.n);
    jt_str_add(&head, m.bytes.s, m.bytes.n);
    for (size_t i = p->first; i < p->end; i++) {
        const jt_gguf_spec *t = &w->spec[i];
        gguf_put_text(&head, t->name, strlen(t->name));
        gguf_put(&head, (uint64_t)t->n_dims, 4);
        for (int k = 0; k < t->n_dims; k++) gguf_put(&head, t->dim[k], 8);
        gguf_put(&head, t->format->type, 4);
        gguf_put(&head, at, 8);
        at += gguf_padded(w, w->bytes[i]);
    }
    if (w->n) /* of a file without tensors nothing follows */
        while (head.n % w->alignment && !head.failed) jt_str_putc(&head, 0);
    if (m.bytes.failed) head.failed = true;
    jt_status s = jt_str_check(&head, err);
    if (!s) s = jt_str_check(&name, err);
    if (!s) s = jt_file_create(name.s, &p->file, err);
    if (!s) s = jt_file_write(&p->file, head.s, head.n, err);
    jt_gguf_meta_free(&m);
    jt_str_free(&head), jt_str_free(&name);
    return s;
}

static jt_status gguf_start(jt_gguf_writer *w, const char *path, const jt_gguf_meta *m, const jt_gguf_spec *spec, uint64_t part_bytes,
                            jt_error *err) {
    w->spec = jt_arena_alloc(&w->arena, w->n, sizeof *w->spec);
    w->bytes = jt_arena_alloc(&w->arena, w->n, sizeof *w->bytes);
    if (!w->spec || !w->bytes) return jt_nomem(err, "list of tensors", w->n, sizeof *w->spec);
    for (size_t i = 0; i < w->n; i++) {
        w->spec[i] = spec[i];
        w->spec[i].name = jt_arena_copy(&w->arena, spec[i].name, strlen(spec[i].name));
        if (!w->spec[i].name) return jt_nomem(err, "a tensor's name", strlen(spec[i].name) + 1, 1);
    }
    w->alignment = m->alignment ? m->alignment : GGUF_WRITE_ALIGNMENT;
    if (w->alignment < 8 || w->alignment & (w->alignment - 1) || w->alignment > 1 << 20)
        return jt_error_set(err, JT_INVALID, "alignment %" PRIu64 " is no power of two from 8 up to 2^20", w->alignment);
    w->count = m->count;
    jt_str_puts(&w->path, path);
    jt_str_add(&w->meta, m->bytes.s, m->bytes.n);
    if (m->bytes.failed) w->meta.failed = true;
    jt_status s = jt_str_check(&w->meta, err);
    if (!s) s = jt_str_check(&w->path, err);
    if (!s) s = gguf_check_spec(w, err);
    if (!s) s = gguf_divide(w, part_bytes, err);
    return s ? s : gguf_begin(w, err);
}

jt_status jt_gguf_create(const char *path, const jt_gguf_meta *m, const jt_gguf_spec *spec, size_t n, uint64_t part_bytes,
                         jt_gguf_writer **out, jt_error *err) {
    jt_gguf_writer *w = jt_alloc(1, sizeof *w);
    if (!w) return jt_nomem(err, path, 1, sizeof *w);
    w->n = n;
    jt_status s = gguf_start(w, path, m, spec, part_bytes, err);
    if (s)
        jt_gguf_abandon(w);
    else
        *out = w;
    return s;
}

/* Ends a tensor whose bytes are all there. */
static jt_status gguf_next(jt_gguf_writer *w, jt_error *err) {
    static const char zero[64] = {0};
    jt_status s = JT_OK;
    uint64_t pad = gguf_padded(w, w->done) - w->done;
    while (!s && pad) {
        size_t k = pad < sizeof zero ? (size_t)pad : sizeof zero;
        s = jt_file_write(&w->part[w->in].file, zero, k, err);
        pad -= k;
    }
    w->at++, w->done = 0;
    if (s || w->at == w->n || w->at < w->part[w->in].end) return s;
    w->in++;
    return gguf_begin(w, err);
}

jt_status jt_gguf_write(jt_gguf_writer *w, const void *p, size_t n, jt_error *err) {
    const char *from = p;
    while (n) {
        if (w->at == w->n) return jt_error_set(err, JT_INVALID, "%zu bytes more than the tensors have", n);
        uint64_t left = w->bytes[w->at] - w->done;
        size_t k = n < left ? n : (size_t)left;
        jt_status s = jt_file_write(&w->part[w->in].file, from, k, err);
        if (s) return s;
        w->done += k, from += k, n -= k;
        if (w->done == w->bytes[w->at] && (s = gguf_next(w, err))) return s;
    }
    return JT_OK;
}

size_t jt_gguf_parts(const jt_gguf_writer *w) { return w->n_parts; }

jt_status jt_gguf_commit(jt_gguf_writer *w, jt_error *err) {
    jt_status s = JT_OK;
    if (w->at < w->n)
        s = jt_error_set(err, JT_INVALID, "tensor %.200s: %" PRIu64 " of its %" PRIu64 " bytes were written", w->spec[w->at].name, w->done,
                         w->bytes[w->at]);
    for (size_t i = 0; !s && i < w->n_parts; i++) s = jt_file_commit(&w->part[i].file, err);
    jt_gguf_abandon(w);
    return s;
}

void jt_gguf_abandon(jt_gguf_writer *w) {
    if (!w) return;
    for (size_t i = 0; w->part && i < w->n_parts; i++) jt_file_abandon(&w->part[i].file);
    jt_str_free(&w->path), jt_str_free(&w->meta);
    jt_arena_free(&w->arena);
    jt_free(w);
}
