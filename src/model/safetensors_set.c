/* safetensors_set.c: the weights of a folder, in one file or in shards with their index, as transformers names them. */
#include <inttypes.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/str.h"
#include "model/safetensors_read.h"

enum { ST_SET_FILES = 1000 };

struct jt_st_set {
    jt_st_writer **file; /* [files] */
    size_t files;
    struct st_set_place {
        size_t file, index;
    } * place; /* [n] */
    jt_str index, index_path;
    jt_arena arena;
};

static uint64_t st_set_bytes(const jt_st_spec *s) {
    const jt_st_dtype *d = jt_st_dtype_named(s->dtype);
    uint64_t b = d ? (uint64_t)d->bits / 8 : 0;
    for (int k = 0; k < s->n_dims && k < JT_ST_DIMS; k++)
        if (!jt_mul_u64(b, s->dim[k], &b)) return UINT64_MAX;
    return b;
}

/* Places the tensors; *total gets the bytes of all. */
static void st_set_divide(jt_st_set *w, const jt_st_spec *spec, size_t n, uint64_t part_bytes, uint64_t *total) {
    uint64_t in = 0;
    size_t index = 0;
    w->files = 1, *total = 0;
    for (size_t i = 0; i < n; i++, index++) {
        uint64_t b = st_set_bytes(&spec[i]);
        if (part_bytes && in && (in >= part_bytes || b > part_bytes - in)) w->files++, in = 0, index = 0;
        w->place[i].file = w->files - 1, w->place[i].index = index;
        if (!jt_add_u64(in, b, &in)) in = UINT64_MAX;
        if (!jt_add_u64(*total, b, total)) *total = UINT64_MAX;
    }
}

static void st_set_name(const jt_st_set *w, size_t i, jt_str *out) {
    if (w->files == 1)
        jt_str_puts(out, "model.safetensors");
    else
        jt_str_printf(out, "model-%05zu-of-%05zu.safetensors", i + 1, w->files);
}

static void st_set_index(jt_st_set *w, const jt_st_spec *spec, size_t n, uint64_t total) {
    jt_str *b = &w->index;
    jt_str_printf(b, "{\n  \"metadata\": {\n    \"total_size\": %" PRIu64 "\n  },\n  \"weight_map\": {", total);
    for (size_t i = 0; i < n; i++) {
        jt_str_puts(b, i ? ",\n    " : "\n    ");
        jt_str_json(b, spec[i].name, strlen(spec[i].name));
        jt_str_puts(b, ": \"");
        st_set_name(w, w->place[i].file, b);
        jt_str_puts(b, "\"");
    }
    jt_str_puts(b, "\n  }\n}\n");
}

static jt_status st_set_start(jt_st_set *w, const char *folder, const jt_st_spec *spec, size_t n, uint64_t part_bytes, const jt_str *more,
                              jt_error *err) {
    uint64_t total;
    jt_str metadata = {0}, name = {0};
    if (!(w->place = jt_arena_alloc(&w->arena, n, sizeof *w->place))) return jt_nomem(err, folder, n, sizeof *w->place);
    st_set_divide(w, spec, n, part_bytes, &total);
    if (w->files > ST_SET_FILES)
        return jt_error_set(err, JT_INVALID, "parts of %" PRIu64 " bytes would be %zu files, at most %d are written; use larger parts",
                            part_bytes, w->files, (int)ST_SET_FILES);
    if (!(w->file = jt_arena_alloc(&w->arena, w->files, sizeof *w->file))) return jt_nomem(err, folder, w->files, sizeof *w->file);
    if (w->files > 1) {
        st_set_index(w, spec, n, total);
        jt_str_printf(&w->index_path, "%s/model.safetensors.index.json", folder);
    }
    jt_str_puts(&metadata, "{\"format\":\"pt\"");
    jt_str_add(&metadata, jt_str_c(more), more->n);
    jt_str_putc(&metadata, '}');
    if (more->failed) metadata.failed = true;
    jt_status s = jt_str_check(&metadata, err);
    if (!s) s = jt_str_check(&w->index, err);
    if (!s) s = jt_str_check(&w->index_path, err);
    for (size_t i = 0, first = 0, end; !s && i < w->files; i++, first = end) {
        for (end = first; end < n && w->place[end].file == i; end++) {
        }
        jt_str_clear(&name);
        jt_str_printf(&name, "%s/", folder);
        st_set_name(w, i, &name);
        s = jt_str_check(&name, err);
        if (!s) s = jt_st_create_with(name.s, spec + first, end - first, metadata.s, &w->file[i], err);
    }
    jt_str_free(&metadata), jt_str_free(&name);
    return s;
}

jt_status jt_st_set_create(const char *folder, const jt_st_spec *spec, size_t n, uint64_t part_bytes, const jt_str *metadata,
                           jt_st_set **out, jt_error *err) {
    jt_st_set *w = jt_alloc(1, sizeof *w);
    if (!w) return jt_nomem(err, folder, 1, sizeof *w);
    jt_status s = st_set_start(w, folder, spec, n, part_bytes, metadata, err);
    if (s)
        jt_st_set_abandon(w);
    else
        *out = w;
    return s;
}

jt_status jt_st_set_write(jt_st_set *w, size_t i, const void *p, size_t n, jt_error *err) {
    return jt_st_write(w->file[w->place[i].file], w->place[i].index, p, n, err);
}

size_t jt_st_set_files(const jt_st_set *w) { return w->files; }

jt_status jt_st_set_commit(jt_st_set *w, jt_error *err) {
    jt_status s = JT_OK;
    for (size_t i = 0; !s && i < w->files; i++) {
        s = jt_st_commit(w->file[i], err);
        w->file[i] = NULL;
    }
    if (!s && w->index.n) s = jt_file_save(jt_str_c(&w->index_path), &w->index, err);
    jt_st_set_abandon(w);
    return s;
}

void jt_st_set_abandon(jt_st_set *w) {
    if (!w) return;
    for (size_t i = 0; w->file && i < w->files; i++) jt_st_abandon(w->file[i]);
    jt_str_free(&w->index), jt_str_free(&w->index_path);
    jt_arena_free(&w->arena);
    jt_free(w);
}
