/* attributes.c: taps, keys, the adapter, layers and groups of a branch. Each entry is in
 * force from its position on until the next of its kind, whatever the order of
 * evaluation: a state has the taps, the keys and the adapter of the rows that it is about
 * to evaluate, and a span ends where they change. Layers and groups are named row by row. */
#include <limits.h>
#include <string.h>

#include "core/str.h"
#include "decode/work.h"

void jt_worn_put(jt_worn *v) {
    if (!v || --v->refs) return;
    jt_arena_free(&v->memory);
    jt_free(v);
}

static jt_status worn_new(jt_worn **out, jt_error *err) {
    jt_worn *v = jt_alloc(1, sizeof *v);
    if (!v) return jt_nomem(err, "an attribute", 1, sizeof *v);
    v->refs = 1;
    *out = v;
    return JT_OK;
}

/* A copy that lives as long as the attribute; NULL: no memory. */
static void *worn_keep(jt_worn *v, const void *from, size_t n, size_t size) {
    void *p = jt_arena_alloc(&v->memory, n + 1, size);
    if (p && n) memcpy(p, from, n * size);
    return p;
}

/* Whether there was memory. What is wrong with a tap is said when a state is given it. */
static bool worn_tap(const jt_evaluator *ev, jt_worn *v, const jt_tap *from, jt_tap *t) {
    int width = from->site ? ev->site_width(ev->self, from->site) : 0, heads = from->n_heads > 0 ? from->n_heads : 0;
    *t = *from;
    t->vec = NULL;
    if (from->site && !(t->site = worn_keep(v, from->site, strlen(from->site), 1))) return false;
    if (from->vec && width && !(t->vec = worn_keep(v, from->vec, (size_t)width, sizeof *from->vec))) return false;
    return !from->heads || (t->heads = worn_keep(v, from->heads, (size_t)heads, sizeof *from->heads));
}

static jt_status worn_taps(const jt_evaluator *ev, const jt_tap *tap, int n, int level, jt_worn **out, jt_error *err) {
    jt_worn *v = NULL;
    jt_status e = n < 0 ? jt_error_set(err, JT_INVALID, "%d taps", n) : worn_new(&v, err);
    if (e != JT_OK) return e;
    v->n = n, v->level = level;
    bool room = (v->tap = jt_arena_alloc(&v->memory, (size_t)n + 1, sizeof *v->tap)) != NULL;
    for (int i = 0; room && i < n; i++) room = worn_tap(ev, v, &tap[i], &v->tap[i]);
    if (!room) return jt_worn_put(v), jt_nomem(err, "taps", (size_t)n, sizeof *tap);
    *out = v;
    return JT_OK;
}

/* Whether there was memory. What is wrong with a list is said when a state is given it. */
static bool worn_list(jt_worn *v, const jt_keys *from, jt_keys *k) {
    size_t heads = from->n_heads > 0 ? (size_t)from->n_heads : 0, n = from->n > 0 && !from->select ? (size_t)from->n : 0;
    *k = *from;
    if (from->heads && !(k->heads = worn_keep(v, from->heads, heads, sizeof *from->heads))) return false;
    if (from->depth && !(k->depth = worn_keep(v, from->depth, n, sizeof *from->depth))) return false;
    return !from->position || (k->position = worn_keep(v, from->position, n, sizeof *from->position));
}

static jt_status worn_keys(const jt_keys *k, int n, jt_worn **out, jt_error *err) {
    jt_worn *v = NULL;
    jt_status e = n < 0 ? jt_error_set(err, JT_INVALID, "%d lists of keys", n) : worn_new(&v, err);
    if (e != JT_OK) return e;
    v->n = n;
    bool room = (v->keys = jt_arena_alloc(&v->memory, (size_t)n + 1, sizeof *v->keys)) != NULL;
    for (int i = 0; room && i < n; i++) room = worn_list(v, &k[i], &v->keys[i]);
    if (!room) return jt_worn_put(v), jt_nomem(err, "lists of keys", (size_t)n, sizeof *k);
    *out = v;
    return JT_OK;
}

/* ---- adapters by name ---- */

jt_status jt_driver_know(jt_driver *d, const char *name, int model, const jt_wear *w, jt_error *err) {
    jt_known *k = d->known, **at = &d->known;
    if (!name || !*name || strlen(name) >= sizeof k->name)
        return jt_error_set(err, JT_INVALID, "the name of an adapter has 1 to %zu bytes", sizeof k->name - 1);
    for (; k; at = &k->next, k = k->next)
        if (k->model == model && !strcmp(k->name, name))
            return jt_error_set(err, JT_INVALID, "there is an adapter \"%s\" already; give this one another name", name);
    if (!(k = jt_alloc(1, sizeof *k))) return jt_nomem(err, "an adapter of a driver", 1, sizeof *k);
    memcpy(k->name, name, strlen(name) + 1);
    k->model = model, k->wear = *w;
    *at = k;
    return JT_OK;
}

static jt_status worn_unknown(const jt_driver *d, int model, const char *name, jt_error *err) {
    const char *best = NULL;
    for (const jt_known *k = d->known; k; k = k->next)
        if (k->model == model && (!best || jt_edit_distance(name, k->name) < jt_edit_distance(name, best))) best = k->name;
    if (!best)
        return jt_error_set(err, JT_UNKNOWN,
                            "adapter \"%.60s\" is unknown; none was named for this model (--lora NAME=PATH, or jt_driver_add_adapter)",
                            name);
    return jt_error_set(err, JT_UNKNOWN, "adapter \"%.60s\" is unknown; the nearest is \"%s\"", name, best);
}

jt_status jt_worn_adapter(const jt_driver *d, int model, const char *name, float scale, jt_worn **out, jt_error *err) {
    const jt_known *k = d->known;
    while (name && k && (k->model != model || strcmp(k->name, name) != 0)) k = k->next;
    if (name && !k) return worn_unknown(d, model, name, err);
    if (name && !isfinite(scale)) return jt_error_set(err, JT_INVALID, "the scale of adapter \"%s\" is not finite", name);
    jt_status e = worn_new(out, err);
    if (e == JT_OK && name) (*out)->wear = (jt_wear){.adapter = k->wear.adapter, .scale = k->wear.scale * scale};
    return e;
}

/* ---- of a branch ---- */

const jt_worn *jt_attr_at(const jt_branch *b, jt_attr_kind kind, int position) {
    const jt_worn *v = NULL;
    for (size_t i = 0; i < b->n_attr && b->attr[i].from <= position; i++)
        if (b->attr[i].kind == kind) v = b->attr[i].value;
    return v;
}

int jt_attr_border(const jt_branch *b, int position) {
    for (size_t i = 0; i < b->n_attr; i++)
        if (b->attr[i].kind < JT_ATTR_LAYERS && b->attr[i].from > position) return b->attr[i].from;
    return INT_MAX;
}

int jt_attr_even(const jt_branch *b) {
    for (size_t i = 0; i < b->n_attr; i++)
        if (b->attr[i].kind >= JT_ATTR_LAYERS || b->attr[i].from > 0) return b->attr[i].from;
    return INT_MAX;
}

/* Gives the state a value; NULL: what a new one has. */
static jt_status attr_wear(jt_driver *d, jt_branch *b, jt_attr_kind kind, jt_worn *v, jt_error *err) {
    const jt_evaluator *ev = &d->model[b->model].ev;
    jt_status e = JT_OK;
    if (kind == JT_ATTR_TAPS) e = ev->set_taps(ev->self, b->state, v ? v->tap : NULL, v ? v->n : 0, err);
    if (kind == JT_ATTR_ADAPTER) e = ev->set_adapter(ev->self, b->state, v ? &v->wear : NULL, err);
    if (kind == JT_ATTR_KEYS) e = ev->set_keys(ev->self, b->state, v ? v->keys : NULL, v ? v->n : 0, err);
    if (e != JT_OK) return e;
    if (v) v->refs++;
    jt_worn_put(b->on[kind]);
    b->on[kind] = v, b->late |= b->evaluated > 0;
    return JT_OK;
}

jt_status jt_attr_apply(jt_driver *d, jt_branch *b, int position, jt_error *err) {
    jt_status e = JT_OK;
    for (int kind = 0; kind < JT_ATTR_LAYERS && e == JT_OK; kind++) {
        const jt_worn *v = jt_attr_at(b, kind, position);
        if (v != b->on[kind]) e = attr_wear(d, b, kind, (jt_worn *)(uintptr_t)v, err);
    }
    return e;
}

/* What was evaluated from `from` on is pending again, the tree too. */
static jt_status attr_reopen(jt_driver *d, jt_branch *b, int from, jt_error *err) {
    const jt_evaluator *ev = &d->model[b->model].ev;
    if (from >= b->evaluated && !(b->grown && from == b->n)) return JT_OK;
    jt_status e = ev->truncate(ev->self, b->state, from < b->evaluated ? from : b->evaluated, err);
    if (e != JT_OK) return e;
    if (from < b->evaluated) b->evaluated = from;
    b->grown = false;
    return JT_OK;
}

jt_status jt_attr_set(jt_driver *d, jt_branch *b, jt_attr_kind kind, int from, int made, jt_worn *v, jt_error *err) {
    size_t n = 0;
    jt_status e = jt_grow((void **)&b->attr, &b->cap_attr, b->n_attr + 1, sizeof *b->attr, err);
    if (e == JT_OK) e = attr_reopen(d, b, jt_group_cut(b, from), err);
    if (e == JT_OK && kind < JT_ATTR_LAYERS) e = attr_wear(d, b, kind, v, err); /* refused here if it is wrong */
    if (e != JT_OK) return e;
    for (size_t i = 0; i < b->n_attr; i++)
        if (b->attr[i].kind == kind && b->attr[i].from >= from)
            jt_worn_put(b->attr[i].value);
        else
            b->attr[n++] = b->attr[i];
    size_t at = n++;
    for (; at && b->attr[at - 1].from > from; at--) b->attr[at] = b->attr[at - 1];
    b->attr[at] = (jt_attr){.kind = kind, .from = from, .made = made, .end = b->n, .value = v};
    b->n_attr = n;
    v->refs++;
    return JT_OK;
}

jt_status jt_attr_copy(const jt_branch *from, jt_branch *to, jt_error *err) {
    jt_status e = from->n_attr ? jt_grow((void **)&to->attr, &to->cap_attr, from->n_attr, sizeof *to->attr, err) : JT_OK;
    if (e != JT_OK) return e;
    for (size_t i = 0; i < from->n_attr; i++) {
        to->attr[to->n_attr++] = from->attr[i];
        from->attr[i].value->refs++;
    }
    to->late = from->late;
    for (int k = 0; k < JT_ATTR_LAYERS; k++)
        if ((to->on[k] = from->on[k])) to->on[k]->refs++;
    return JT_OK;
}

void jt_attr_truncate(jt_branch *b, int n) {
    size_t keep = 0;
    for (size_t i = 0; i < b->n_attr; i++)
        if (b->attr[i].from > n && b->attr[i].made > n)
            jt_worn_put(b->attr[i].value);
        else
            b->attr[keep++] = b->attr[i];
    b->n_attr = keep;
    for (size_t i = 0; i < keep; i++)
        if (b->attr[i].end > n) b->attr[i].end = n;
}

void jt_attr_free(jt_branch *b) {
    for (size_t i = 0; i < b->n_attr; i++) jt_worn_put(b->attr[i].value);
    for (int k = 0; k < JT_ATTR_LAYERS; k++) jt_worn_put(b->on[k]);
    jt_free(b->attr);
}

/* ---- what strategies ask ---- */

/* For the branch, or for all that its child has on the same model. `of`: the child that has it, NULL: the strategy itself. */
static void attr_spread(jt_work *w, jt_inst *of, jt_slot slot, jt_branch *b, jt_attr_kind kind, int from, int made, jt_worn *v) {
    jt_live *j = w->j;
    jt_inst *c = b->child;
    for (size_t k = 0; c && k < c->n_slot && w->status == JT_OK; k++)
        if (c->slot[k] && c->slot[k]->follows < 0) attr_spread(w, c, (jt_slot)k, c->slot[k], kind, from, made, v);
    if (c || w->status != JT_OK) return;
    bool anew = jt_group_cut(b, from) < b->evaluated || (b->grown && from == b->n);
    if (anew && !of && b->grown) w->status = jt_branch_prune(w->d, b, &j->error);
    if (w->status == JT_OK) w->status = jt_attr_set(w->d, b, kind, from, made, v, &j->error);
    if (w->status != JT_OK) jt_error_in(&j->error, w->status, "the strategy %s", w->i->node->m->name);
    if (!anew) return;
    if (!of) b->serial = ++j->serial; /* the strategy's rows are gone; a child gets its own anew */
    for (size_t k = 0; of && k < of->n_asked; k++)
        if (of->asked[k].slot == slot) of->asked[k].ready = false, b->asked = true;
}

static jt_branch *attr_slot(jt_work *w, jt_slot slot, int from) {
    jt_branch *b = jt_work_branch(w, slot, false);
    const jt_branch *of = b && b->follows >= 0 && (!b->n_twig || b->grown) ? jt_work_at(w, (jt_slot)b->follows) : NULL;
    if (of && !of->child && of->follows < 0) jt_work_fail(w, jt_branch_sync(w->d, w->j, b, of, &w->j->error));
    if (w->status != JT_OK) return NULL;
    if (!b || from >= 0) return b;
    w->status = jt_error_set(&w->j->error, JT_INVALID, "the strategy %s sets an attribute of slot %d from position %d on",
                             w->i->node->m->name, slot, from);
    return NULL;
}

static void attr_finish(jt_work *w, jt_slot slot, jt_branch *b, jt_attr_kind kind, int from, jt_status e, jt_worn *v) {
    if (e == JT_OK)
        attr_spread(w, NULL, slot, b, kind, from, jt_work_length(w, slot), v);
    else
        w->status = jt_error_in(&w->j->error, e, "the strategy %s", w->i->node->m->name);
    jt_worn_put(v);
}

void jt_work_taps(jt_work *w, jt_slot slot, int from, const jt_tap *t, int n) {
    jt_branch *b = attr_slot(w, slot, from);
    jt_worn *v = NULL;
    if (!b) return;
    jt_status e = worn_taps(&w->d->model[b->model].ev, t, n, w->i->level, &v, &w->j->error);
    attr_finish(w, slot, b, JT_ATTR_TAPS, from, e, v);
}

void jt_work_keys(jt_work *w, jt_slot slot, int from, const jt_keys *k, int n) {
    jt_branch *b = attr_slot(w, slot, from);
    jt_worn *v = NULL;
    if (!b) return;
    jt_status e = worn_keys(k, n, &v, &w->j->error);
    attr_finish(w, slot, b, JT_ATTR_KEYS, from, e, v);
}

void jt_work_group(jt_work *w, jt_slot slot, int from, int size) {
    jt_branch *b = attr_slot(w, slot, from);
    jt_worn *v = NULL;
    if (!b) return;
    int most = w->d->model[b->model].ev.ubatch;
    jt_status e = JT_OK;
    if (size < 0) e = jt_error_set(&w->j->error, JT_INVALID, "groups of %d inputs", size);
    if (size > most)
        e = jt_error_set(&w->j->error, JT_LIMIT, "groups of %d inputs; they are evaluated together, and ubatch is %d: raise it", size,
                         most);
    if (e == JT_OK) e = worn_new(&v, &w->j->error);
    if (e == JT_OK) v->size = size;
    attr_finish(w, slot, b, JT_ATTR_GROUP, from, e, v);
}

void jt_work_layers(jt_work *w, jt_slot slot, int from, const jt_layers *layers) {
    jt_branch *b = attr_slot(w, slot, from);
    jt_worn *v = NULL;
    if (!b) return;
    jt_status e = worn_new(&v, &w->j->error);
    if (e == JT_OK && layers) v->layers = *layers;
    if (e == JT_OK && !layers) memset(&v->layers, 0xff, sizeof v->layers);
    attr_finish(w, slot, b, JT_ATTR_LAYERS, from, e, v);
}

void jt_work_adapter(jt_work *w, jt_slot slot, int from, const char *name, float scale) {
    jt_branch *b = attr_slot(w, slot, from);
    jt_worn *v = NULL;
    if (!b) return;
    jt_status e = jt_worn_adapter(w->d, b->model, name, scale, &v, &w->j->error);
    attr_finish(w, slot, b, JT_ATTR_ADAPTER, from, e, v);
}
