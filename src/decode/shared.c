/* shared.c: objects that belong to a method and a model and outlive jobs, such as a
 * table of what followed which token. A hook has its method's object alone while it
 * runs. */
#include "decode/driver.h"

jt_status jt_shared_make(jt_driver *d, const jt_method *m, jt_error *err) {
    jt_shared *s = d->shared;
    if (!m->shared_size) return JT_OK;
    while (s && s->method != m) s = s->next;
    if (s) return JT_OK;
    jt_setup u = {.vocab = d->model->ev.vocab,
                  .tokenizer = m->needs & JT_NEEDS_TOKENIZER ? d->model->ev.tokenizer : NULL,
                  .context = d->model->ev.context,
                  .layers = d->model->ev.layers,
                  .hidden = d->model->ev.hidden};
    size_t bytes = m->shared_size(&u);
    jt_status e = JT_OK;
    if (!(s = jt_alloc(1, sizeof *s))) return jt_nomem(err, "an object that jobs share", 1, sizeof *s);
    s->method = m;
    if (!(s->object = jt_alloc(1, bytes))) e = jt_nomem(err, "an object that jobs share", 1, bytes);
    if (e == JT_OK && m->shared_open) e = m->shared_open(s->object, &u, err);
    if (e == JT_OK && pthread_mutex_init(&s->lock, NULL)) {
        if (m->shared_close) m->shared_close(s->object);
        e = jt_nomem(err, "a lock", 1, sizeof s->lock);
    }
    if (e != JT_OK) return jt_free(s->object), jt_free(s), e;
    s->next = d->shared, d->shared = s;
    return JT_OK;
}

jt_shared *jt_shared_enter(jt_driver *d, const jt_method *m) {
    jt_shared *s = m->shared_size ? d->shared : NULL;
    while (s && s->method != m) s = s->next;
    if (s) (void)pthread_mutex_lock(&s->lock);
    return s;
}

void jt_shared_leave(jt_shared *s) {
    if (s) (void)pthread_mutex_unlock(&s->lock);
}

void jt_shared_free(jt_driver *d) {
    for (jt_shared *s = d->shared, *next; s; s = next) {
        next = s->next;
        if (s->method->shared_close) s->method->shared_close(s->object);
        (void)pthread_mutex_destroy(&s->lock);
        jt_free(s->object), jt_free(s);
    }
    d->shared = NULL;
}
