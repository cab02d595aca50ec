/* state.c: pages of keys and values of one sequence: shared by forks, copied on write. */
#include <string.h>

#include "model/model.h"

jt_status jt_page_get(jt_model *m, jt_page **out, jt_error *err) {
    jt_page *p = m->free_page;
    if (p) {
        m->free_page = p->next;
    } else {
        if (!(p = jt_alloc(1, sizeof *p))) return jt_nomem(err, "page of the cache", 1, sizeof *p);
        jt_status s = jt_buffer_new(m->engine->backend, m->kv.page_bytes, "page of the cache", &p->buffer, err);
        if (s) {
            jt_free(p);
            return s;
        }
    }
    p->refs = 1, p->next = NULL;
    *out = p;
    return JT_OK;
}

void jt_page_put(jt_model *m, jt_page *p) {
    if (--p->refs) return;
    p->next = m->free_page;
    m->free_page = p;
}

static jt_status room(jt_state *s, size_t pages, jt_error *err) {
    jt_status e = jt_grow((void **)&s->page, &s->cap_page, pages, sizeof *s->page, err);
    return e ? e : jt_grow((void **)&s->buffer, &s->cap_buffer, pages, sizeof *s->buffer, err);
}

jt_status jt_state_reserve(jt_state *s, int n, jt_error *err) {
    if (n <= 0) return JT_OK;
    size_t first = (size_t)s->length / JT_TILE, end = ((size_t)s->length + (size_t)n + JT_TILE - 1) / JT_TILE;
    jt_status e = room(s, end, err);
    for (size_t i = first; i < end && !e; i++) {
        if (i < s->n_page && s->page[i]->refs == 1) continue;
        jt_page *p;
        if ((e = jt_page_get(s->model, &p, err))) break;
        if (i < s->n_page) {
            if (i == first && s->length % JT_TILE) jt_buffer_copy(p->buffer, s->page[i]->buffer);
            jt_page_put(s->model, s->page[i]);
        } else {
            s->n_page = i + 1;
        }
        s->page[i] = p, s->buffer[i] = p->buffer;
    }
    return e;
}

jt_status jt_state_new(jt_model *m, int context, jt_state **out, jt_error *err) {
    if (context < 1 || context > 1 << 24)
        return jt_error_set(err, JT_INVALID, "context=%d: must be between 1 and %d tokens", context, 1 << 24);
    if (m->options.vocab_only)
        return jt_error_set(err, JT_INVALID, "the model was opened for its vocabulary only; open it whole to evaluate");
    jt_state *s = jt_alloc(1, sizeof *s);
    if (!s) return jt_nomem(err, "state", 1, sizeof *s);
    s->model = m, s->context = context;
    *out = s;
    return JT_OK;
}

jt_status jt_state_fork(const jt_state *s, jt_state **out, jt_error *err) {
    jt_state *t = NULL;
    jt_status e = jt_state_new(s->model, s->context, &t, err);
    if (!e) e = room(t, s->n_page, err);
    if (e) {
        jt_state_free(t);
        return e;
    }
    t->length = s->length, t->n_page = s->n_page;
    for (size_t i = 0; i < s->n_page; i++) t->page[i] = s->page[i], t->buffer[i] = s->buffer[i], t->page[i]->refs++;
    *out = t;
    return JT_OK;
}

jt_status jt_state_truncate(jt_state *s, int n, jt_error *err) {
    if (n < 0 || n > s->length) return jt_error_set(err, JT_INVALID, "truncate to %d: the state has %d positions", n, s->length);
    size_t keep = ((size_t)n + JT_TILE - 1) / JT_TILE;
    while (s->n_page > keep) jt_page_put(s->model, s->page[--s->n_page]);
    s->length = n;
    return JT_OK;
}

void jt_state_free(jt_state *s) {
    if (!s) return;
    while (s->n_page) jt_page_put(s->model, s->page[--s->n_page]);
    jt_free(s->page), jt_free(s->buffer);
    jt_free(s);
}

int jt_state_length(const jt_state *s) { return s->length; }
int jt_state_context(const jt_state *s) { return s->context; }
jt_model *jt_state_model(const jt_state *s) { return s->model; }
