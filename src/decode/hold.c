/* hold.c: dists that outlive the advance which read them: the drafts' of a verifier,
 * the candidates of a window. A held dist keeps its form, so that it has the same bits
 * when it is read again. */
#include <string.h>

#include "decode/work.h"

enum { HELD_MOST_MIB = 1024 }; /* where the driver has no limit */

static void held_put(jt_driver *d, jt_held *h) {
    if (!h || --h->refs) return;
    d->held_bytes -= h->bytes;
    jt_free(h->cand), jt_free(h->x);
    jt_free(h);
}

static jt_status held_check(const jt_work *w, size_t bytes) {
    const jt_driver *d = w->d;
    uint64_t most = d->cache_most ? d->cache_most : (uint64_t)HELD_MOST_MIB << 20;
    if ((d->cache_most ? d->cache_held : 0) + d->held_bytes + bytes <= most) return JT_OK;
    return jt_error_set(&w->j->error, JT_LIMIT, "the strategy %s holds more distributions than the limit of %.1f MiB leaves room for",
                        w->i->node->m->name, (double)most / 1048576);
}

static jt_status held_new(jt_work *w, const jt_dist *from, jt_held **out) {
    size_t n = (size_t)(from->listed ? from->count : from->vocab), size = from->listed ? sizeof(jt_cand) : sizeof(float);
    jt_held *h = jt_alloc(1, sizeof *h);
    if (!h) return jt_nomem(&w->j->error, "a held distribution", 1, sizeof *h);
    h->refs = 1, h->n = (int)n;
    jt_status e = held_check(w, n * size);
    void *p = e == JT_OK ? jt_alloc(n, size) : NULL;
    if (e == JT_OK && !p) e = jt_nomem(&w->j->error, "a held distribution", n, size);
    if (e != JT_OK) return jt_free(h), e;
    if (n) memcpy(p, from->listed ? (const void *)from->cand : (const void *)from->x, n * size);
    if (from->listed)
        h->cand = p;
    else
        h->x = p;
    w->d->held_bytes += h->bytes = n * size;
    *out = h;
    return JT_OK;
}

/* ---- of a branch ---- */

jt_status jt_grips_copy(const jt_grips *from, jt_grips *to, jt_error *err) {
    jt_status e = from->n ? jt_grow((void **)&to->grip, &to->cap, from->n, sizeof *to->grip, err) : JT_OK;
    for (size_t i = 0; e == JT_OK && i < from->n; i++) {
        to->grip[to->n++] = from->grip[i];
        from->grip[i].held->refs++;
    }
    return e;
}

void jt_grips_truncate(jt_driver *d, jt_grips *g, int n) {
    size_t keep = 0;
    for (size_t i = 0; i < g->n; i++)
        if (g->grip[i].position > n)
            held_put(d, g->grip[i].held);
        else
            g->grip[keep++] = g->grip[i];
    g->n = keep;
}

void jt_grips_free(jt_driver *d, jt_grips *g) {
    for (size_t i = 0; i < g->n; i++) held_put(d, g->grip[i].held);
    jt_free(g->grip);
    *g = (jt_grips){0};
}

/* ---- what strategies ask ---- */

jt_hold jt_work_hold(jt_work *w, const jt_out *o, jt_dist *dist) {
    jt_branch *b = NULL;
    jt_held *h = NULL;
    if (!jt_work_lives(w)) return 0;
    if (!dist) dist = jt_work_staged(w, o);
    if (!dist) return 0;
    jt_work_fail(w, jt_shape_branch(w, o, &b));
    if (w->status == JT_OK)
        jt_work_fail(w, jt_grow((void **)&b->grips.grip, &b->grips.cap, b->grips.n + 1, sizeof *b->grips.grip, &w->j->error));
    if (w->status == JT_OK && !w->d->held)
        jt_work_fail(w, jt_dist_new(w->d->model->ev.vocab, w->d->model->ev.kernels, &w->d->held, &w->j->error));
    if (w->status == JT_OK) jt_work_fail(w, held_new(w, dist, &h));
    if (w->status != JT_OK) return 0;
    b->grips.grip[b->grips.n++] = (jt_grip){.hold = ++w->j->hold, .position = o->position, .held = h};
    return w->j->hold;
}

jt_dist *jt_work_held(jt_work *w, jt_hold hold) {
    const jt_held *h = NULL;
    for (size_t k = 0; k < w->i->n_slot && !h; k++)
        for (size_t i = 0; w->i->slot[k] && i < w->i->slot[k]->grips.n && !h; i++)
            if (w->i->slot[k]->grips.grip[i].hold == hold) h = w->i->slot[k]->grips.grip[i].held;
    if (!h && w->status == JT_OK)
        w->status = jt_error_set(&w->j->error, JT_INVALID, "the strategy %s reads a held distribution that is gone", w->i->node->m->name);
    if (w->status == JT_OK && h->cand) jt_dist_load_list(w->d->held, h->cand, h->n);
    if (w->status == JT_OK && h->x) w->status = jt_dist_load(w->d->held, h->x, &w->j->error);
    return w->status == JT_OK ? w->d->held : NULL;
}

void jt_work_release(jt_work *w, jt_hold hold) {
    for (size_t k = 0; k < w->i->n_slot; k++) {
        jt_grips *g = w->i->slot[k] ? &w->i->slot[k]->grips : NULL;
        size_t keep = 0;
        for (size_t i = 0; g && i < g->n; i++)
            if (g->grip[i].hold == hold)
                held_put(w->d, g->grip[i].held);
            else
                g->grip[keep++] = g->grip[i];
        if (g) g->n = keep;
    }
}

void *jt_work_shared(jt_work *w) { return w->shared; }
