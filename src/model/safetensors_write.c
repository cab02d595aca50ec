/* safetensors_write.c: writing a safetensors file piece by piece.
 *
 * The header is complete before the first datum, so the tensors and their shapes
 * are declared first. Tensors with longer elements come first, and the header is
 * padded to 8 bytes, so that all data are aligned. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/str.h"
#include "model/names.h"
#include "model/safetensors.h"

struct st_part {
    const char *name; /* in the arena */
    uint64_t begin, bytes, done;
};

struct jt_st_writer {
    jt_writer file;
    struct st_part *part;
    size_t n;
    uint64_t data, at; /* where the data begin and where the file now stands */
    jt_arena arena;
};

static jt_status st_check_spec(const jt_st_spec *spec, size_t n, uint64_t *bytes, jt_error *err) {
    jt_names names = {0};
    jt_status s = jt_names_new(n, &names, err);
    for (size_t i = 0; s == JT_OK && i < n; i++) {
        const jt_st_dtype *d = jt_st_dtype_named(spec[i].dtype);
        size_t first = i;
        bool known = d && (d->kind == 'f' ? d->bits >= 16 : d->kind == 'i' && d->bits >= 32);
        if (!known)
            s = jt_error_set(err, JT_INVALID, "tensor %s: dtype %s is not written; use F16, BF16, F32, F64, I32 or I64", spec[i].name,
                             spec[i].dtype);
        else if (spec[i].n_dims < 0 || spec[i].n_dims > JT_ST_DIMS)
            s = jt_error_set(err, JT_INVALID, "tensor %s: %d dimensions, 0 to %d are written", spec[i].name, spec[i].n_dims, JT_ST_DIMS);
        else if (!spec[i].name[0] || strcmp(spec[i].name, "__metadata__") == 0)
            s = jt_error_set(err, JT_INVALID, "tensor %zu: \"%s\" is no name for a tensor", i, spec[i].name);
        else if (!jt_names_add(&names, spec[i].name, &first))
            s = jt_error_set(err, JT_INVALID, "tensor %s: is named twice, as number %zu and %zu", spec[i].name, first, i);
        if (s) break;
        bytes[i] = (uint64_t)d->bits / 8;
        for (int k = 0; k < spec[i].n_dims; k++)
            if (!jt_mul_u64(bytes[i], spec[i].dim[k], &bytes[i])) {
                s = jt_error_set(err, JT_INVALID, "tensor %s: its shape makes more bytes than 64 bits can count", spec[i].name);
                break;
            }
    }
    jt_names_free(&names);
    return s;
}

/* Places the tensors and writes the header's text. */
static jt_status st_lay_out(jt_st_writer *w, const jt_st_spec *spec, const char *metadata, jt_str *header, jt_error *err) {
    uint64_t at = 0;
    bool any = metadata != NULL;
    jt_str_puts(header, "{");
    if (metadata) jt_str_printf(header, "\"__metadata__\":%s", metadata);
    for (int bits = 64; bits >= 16; bits /= 2) {
        for (size_t i = 0; i < w->n; i++) {
            struct st_part *p = &w->part[i];
            if (jt_st_dtype_named(spec[i].dtype)->bits != bits) continue;
            p->begin = at;
            if (!jt_add_u64(at, p->bytes, &at) || at > INT64_MAX)
                return jt_error_set(err, JT_INVALID, "tensor %s: with it the file is larger than 63 bits can count", spec[i].name);
            if (any) jt_str_puts(header, ",");
            any = true;
            jt_str_json(header, spec[i].name, strlen(spec[i].name));
            jt_str_printf(header, ":{\"dtype\":\"%s\",\"shape\":[", spec[i].dtype);
            for (int k = 0; k < spec[i].n_dims; k++) jt_str_printf(header, "%s%" PRIu64, k ? "," : "", spec[i].dim[k]);
            jt_str_printf(header, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", p->begin, at);
        }
    }
    jt_str_puts(header, "}");
    while (header->n % 8 && !header->failed) jt_str_putc(header, ' ');
    return jt_str_check(header, err);
}

static jt_status st_start(jt_st_writer *w, const char *path, const jt_st_spec *spec, const char *metadata, jt_error *err) {
    jt_str header = {0};
    uint64_t *bytes = jt_arena_alloc(&w->arena, w->n, sizeof *bytes);
    uint8_t length[8];
    w->part = jt_arena_alloc(&w->arena, w->n, sizeof *w->part);
    if (!bytes || !w->part) return jt_nomem(err, path, w->n, sizeof *w->part);
    jt_status s = st_check_spec(spec, w->n, bytes, err);
    for (size_t i = 0; s == JT_OK && i < w->n; i++) {
        w->part[i].bytes = bytes[i];
        w->part[i].name = jt_arena_copy(&w->arena, spec[i].name, strlen(spec[i].name));
        if (!w->part[i].name) s = jt_nomem(err, path, strlen(spec[i].name) + 1, 1);
    }
    if (s == JT_OK) s = st_lay_out(w, spec, metadata, &header, err);
    if (s == JT_OK) s = jt_file_create(path, &w->file, err);
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)((uint64_t)header.n >> (8 * i));
    if (s == JT_OK) s = jt_file_write(&w->file, length, sizeof length, err);
    if (s == JT_OK) s = jt_file_write(&w->file, header.s, header.n, err);
    w->data = 8 + header.n, w->at = 0;
    jt_str_free(&header);
    return s;
}

jt_status jt_st_create(const char *path, const jt_st_spec *spec, size_t n, jt_st_writer **out, jt_error *err) {
    return jt_st_create_with(path, spec, n, NULL, out, err);
}

jt_status jt_st_create_with(const char *path, const jt_st_spec *spec, size_t n, const char *metadata, jt_st_writer **out, jt_error *err) {
    jt_st_writer *w = jt_alloc(1, sizeof *w);
    if (!w) return jt_nomem(err, path, 1, sizeof *w);
    w->n = n;
    jt_status s = st_start(w, path, spec, metadata, err);
    if (s)
        jt_st_abandon(w);
    else
        *out = w;
    return s;
}

jt_status jt_st_write(jt_st_writer *w, size_t i, const void *p, size_t n, jt_error *err) {
    struct st_part *t = &w->part[i];
    if (n > t->bytes - t->done)
        return jt_error_set(err, JT_INVALID, "tensor %s: %zu bytes more than the %" PRIu64 " of its shape", t->name,
                            n - (size_t)(t->bytes - t->done), t->bytes);
    uint64_t want = t->begin + t->done;
    if (n && want != w->at) {
        if (fseeko(w->file.f, (off_t)(w->data + want), SEEK_SET)) {
            /* Seeking also writes what is buffered. */
            bool pipe = errno == ESPIPE;
            w->file.failed = true;
            return jt_error_set(err, JT_IO, "%s: %s", w->file.path,
                                pipe ? "cannot be written out of order; name an ordinary file" : "cannot write (is the disk full?)");
        }
        w->at = want;
    }
    jt_status s = jt_file_write(&w->file, p, n, err);
    if (s) return s;
    t->done += n, w->at += n;
    return JT_OK;
}

jt_status jt_st_commit(jt_st_writer *w, jt_error *err) {
    jt_status s = JT_OK;
    for (size_t i = 0; s == JT_OK && i < w->n; i++)
        if (w->part[i].done != w->part[i].bytes)
            s = jt_error_set(err, JT_INVALID, "tensor %s: %" PRIu64 " of its %" PRIu64 " bytes were written", w->part[i].name,
                             w->part[i].done, w->part[i].bytes);
    if (s == JT_OK) s = jt_file_commit(&w->file, err);
    jt_st_abandon(w);
    return s;
}

void jt_st_abandon(jt_st_writer *w) {
    if (!w) return;
    jt_file_abandon(&w->file);
    jt_arena_free(&w->arena);
    jt_free(w);
}
