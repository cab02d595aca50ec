/* imatrix.c: reading importance matrices.
 *
 * GGUF: general.type "imatrix"; for each matrix NAME.in_sum2 [experts][cols], sums of squares, and NAME.counts
 * [experts][1], how many rows were summed. .dat: int32 entries; each int32 length, name, int32 calls, int32 numbers,
 * float32 numbers (mean squares times calls; at the end calls of the last chunk and a name, which are not needed). */
#include "model/imatrix.h"

#include <string.h>

#include "core/file.h"
#include "model/convert.h"
#include "model/gguf_read.h"

struct jt_imatrix {
    jt_imatrix_row *row;
    size_t n, cap;
    jt_names names;
    jt_arena arena;
};

static float imatrix_float(const uint8_t *p) {
    uint32_t bits = (uint32_t)jt_gguf_le(p, 4);
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static jt_status imatrix_add(jt_imatrix *m, const char *name, size_t n, uint64_t cols, uint64_t experts, float **mean, jt_error *err) {
    jt_status s = jt_grow((void **)&m->row, &m->cap, m->n + 1, sizeof *m->row, err);
    if (s) return s;
    uint64_t all;
    jt_imatrix_row *r = &m->row[m->n];
    if (!jt_mul_u64(cols, experts, &all) || all > SIZE_MAX / sizeof **mean) return jt_nomem(err, "importance matrix", SIZE_MAX, 1);
    *r = (jt_imatrix_row){.name = jt_arena_copy(&m->arena, name, n), .cols = cols, .experts = experts};
    r->mean = *mean = jt_arena_alloc(&m->arena, (size_t)all, sizeof **mean);
    if (!r->name || !*mean) return jt_nomem(err, "importance matrix", (size_t)all, sizeof **mean);
    m->n++;
    return JT_OK;
}

static jt_status imatrix_gguf(jt_imatrix *m, const jt_gguf *g, jt_error *err) {
    static const char tail[] = ".in_sum2";
    for (size_t i = 0; i < jt_gguf_tensors(g); i++) {
        const jt_gguf_tensor *t = jt_gguf_tensor_at(g, i);
        size_t n = strlen(t->name);
        if (n <= sizeof tail - 1 || strcmp(t->name + n - (sizeof tail - 1), tail) != 0) continue;
        jt_str name = {0};
        jt_str_add(&name, t->name, n - (sizeof tail - 1));
        jt_str_puts(&name, ".counts");
        const jt_gguf_tensor *counts = jt_gguf_tensor_named(g, jt_str_c(&name));
        bool failed = name.failed;
        jt_str_free(&name);
        if (failed) return jt_nomem(err, "a tensor's name", n, 1);
        uint64_t cols = t->dim[0], experts = t->elements / cols;
        if (!counts || t->type != JT_F32 || counts->type != JT_F32 || counts->elements != experts)
            return jt_error_set(err, JT_FORMAT, "tensor %.200s has no partner in .counts with %llu numbers of type f32", t->name,
                                (unsigned long long)experts);
        float *mean;
        jt_status s = imatrix_add(m, t->name, n - (sizeof tail - 1), cols, experts, &mean, err);
        if (s) return s;
        for (uint64_t k = 0; k < t->elements; k++) {
            float count = imatrix_float(counts->data + k / cols * 4);
            mean[k] = count > 0 ? imatrix_float(t->data + k * 4) / count : 1;
        }
    }
    return m->n ? JT_OK : jt_error_set(err, JT_FORMAT, "it holds no tensors named *.in_sum2; it is no importance matrix");
}

/* A positive int32 at *at. */
static bool imatrix_int(const uint8_t *p, size_t n, size_t *at, int32_t *out) {
    if (n - *at < 4) return false;
    *out = (int32_t)jt_gguf_le(p + *at, 4);
    *at += 4;
    return *out > 0;
}

static jt_status imatrix_dat(jt_imatrix *m, const uint8_t *p, size_t n, jt_error *err) {
    size_t at = 0;
    int32_t entries = 0, length, calls, numbers;
    if (!imatrix_int(p, n, &at, &entries)) return jt_error_set(err, JT_FORMAT, "byte 0: is no importance matrix, neither GGUF nor .dat");
    for (int32_t i = 0; i < entries; i++) {
        if (!imatrix_int(p, n, &at, &length) || (size_t)length > n - at)
            return jt_error_set(err, JT_FORMAT, "byte %zu: entry %d: name: does not fit in the file", at, i);
        const char *name = (const char *)p + at;
        at += (size_t)length;
        if (memchr(name, 0, (size_t)length)) return jt_error_set(err, JT_FORMAT, "byte %zu: entry %d: name: contains a NUL byte", at, i);
        if (!imatrix_int(p, n, &at, &calls) || !imatrix_int(p, n, &at, &numbers) || (size_t)numbers > (n - at) / 4)
            return jt_error_set(err, JT_FORMAT, "byte %zu: entry %d: numbers: do not fit in the file", at, i);
        float *mean;
        jt_status s = imatrix_add(m, name, (size_t)length, (uint64_t)numbers, 1, &mean, err);
        if (s) return s;
        for (int32_t k = 0; k < numbers; k++) mean[k] = imatrix_float(p + at + (size_t)k * 4) / (float)calls;
        at += (size_t)numbers * 4;
    }
    return JT_OK;
}

static jt_status imatrix_finish(jt_imatrix *m, jt_error *err) {
    jt_status s = jt_names_new(m->n, &m->names, err);
    for (size_t i = 0; !s && i < m->n; i++) {
        size_t first = i;
        if (!jt_names_add(&m->names, m->row[i].name, &first))
            return jt_error_set(err, JT_FORMAT, "%.200s: is in the importance matrix twice", m->row[i].name);
        for (uint64_t k = 0; k < m->row[i].cols * m->row[i].experts; k++)
            if (!(m->row[i].mean[k] >= 0 && m->row[i].mean[k] < 1e30f))
                return jt_error_set(err, JT_FORMAT, "%.200s: number %llu of the importance matrix is %g", m->row[i].name,
                                    (unsigned long long)k, (double)m->row[i].mean[k]);
    }
    return s;
}

jt_status jt_imatrix_parse(const void *p, size_t n, jt_imatrix **out, jt_error *err) {
    jt_imatrix *m = jt_alloc(1, sizeof *m);
    jt_gguf *g = NULL;
    jt_status s;
    if (!m) return jt_nomem(err, "importance matrix", 1, sizeof *m);
    if (n >= 4 && !memcmp(p, "GGUF", 4)) {
        s = jt_gguf_parse(p, n, &g, err);
        if (!s) s = imatrix_gguf(m, g, err);
        jt_gguf_free(g);
    } else {
        s = imatrix_dat(m, p, n, err);
    }
    if (!s) s = imatrix_finish(m, err);
    if (s)
        jt_imatrix_free(m);
    else
        *out = m;
    return s;
}

jt_status jt_imatrix_open(const char *path, jt_imatrix **out, jt_error *err) {
    jt_map map;
    jt_status s = jt_map_open(path, &map, err);
    if (s) return s;
    if ((s = jt_imatrix_parse(map.p, map.n, out, err))) s = jt_error_in(err, s, "%s", path);
    jt_map_close(&map);
    return s;
}

void jt_imatrix_free(jt_imatrix *m) {
    if (!m) return;
    jt_names_free(&m->names);
    jt_arena_free(&m->arena);
    jt_free(m->row);
    jt_free(m);
}

size_t jt_imatrix_rows(const jt_imatrix *m) { return m->n; }
const jt_imatrix_row *jt_imatrix_row_at(const jt_imatrix *m, size_t i) { return &m->row[i]; }

const jt_imatrix_row *jt_imatrix_find(const jt_imatrix *m, const char *name) {
    size_t i;
    return jt_names_find(&m->names, name, &i) ? &m->row[i] : NULL;
}

jt_status jt_imatrix_weights(const jt_imatrix *m, jt_convert_tensor *t, jt_error *err) {
    const jt_imatrix_row *r = jt_imatrix_find(m, t->name);
    if (!r || t->format->block == 1) return JT_OK;
    uint64_t experts = t->expert_rows ? t->rows / t->expert_rows : 1;
    if (r->cols != t->cols * (experts == r->experts ? 1 : experts) && (r->cols != t->cols || r->experts != 1))
        return jt_error_set(err, JT_INVALID, "the importance matrix has %llu columns for %.200s, which has %llu; it is another model's",
                            (unsigned long long)r->cols, t->name, (unsigned long long)t->cols);
    t->weight = r->mean;
    if (r->cols * r->experts == t->cols) t->expert_rows = 0;
    return JT_OK;
}
