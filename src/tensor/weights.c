#include "tensor/weights.h"

#include <string.h>

#include "core/mem.h"

jt_status jt_weights_add(jt_weights *s, const char *name, const jt_format *f, int rows, int cols, bool vector, const void *data,
                         uint16_t *index, jt_error *err) {
    if (s->n >= UINT16_MAX) return jt_error_set(err, JT_LIMIT, "tensor %s: more than %d tensors in one set", name, UINT16_MAX);
    jt_weight w = {.version = 1};
    jt_status e = jt_matrix_init(&w.matrix, f, rows, cols, data, err);
    if (e) return jt_error_in(err, e, "tensor %s", name);
    if ((e = jt_grow((void **)&s->w, &s->cap, s->n + 1, sizeof *s->w, err))) return e;
    size_t len = strlen(name) + 1;
    w.name = jt_alloc(len, 1);
    if (!w.name) return jt_nomem(err, name, len, 1);
    memcpy(w.name, name, len);
    if (vector) {
        w.vector = jt_alloc_aligned((size_t)cols, sizeof(float));
        if (!w.vector) {
            jt_free(w.name);
            return jt_nomem(err, name, (size_t)cols, sizeof(float));
        }
        f->expand(data, w.vector, (size_t)cols);
    }
    *index = (uint16_t)s->n;
    s->w[s->n++] = w;
    return JT_OK;
}

void jt_weights_free(jt_weights *s) {
    for (size_t i = 0; i < s->n; i++) {
        jt_matrix_free_packed(&s->w[i].matrix);
        jt_free(s->w[i].name), jt_free(s->w[i].vector);
    }
    jt_free(s->w);
    *s = (jt_weights){0};
}
