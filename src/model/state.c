/* state.c: what one sequence has evaluated: pages and marks, shared by forks, pages copied on write. */
#include <string.h>

#include "core/hash.h"
#include "model/adapter.h"
#include "model/model.h"

/* Pages of some size are made several at a time, for huge pages; small ones one by one, and very large ones too. */
enum { STATE_MADE = 8 /* at most */, STATE_MADE_FROM = 256 << 10, STATE_MADE_BYTES = 8 << 20 };

static jt_status state_pages_new(jt_model *m, jt_page **list, size_t bytes, size_t part, const char *what, jt_error *err) {
    jt_buffer *buffer[STATE_MADE];
    jt_page *page[STATE_MADE];
    size_t n = bytes < STATE_MADE_FROM ? 1 : STATE_MADE_BYTES / bytes, made = 0;
    n = n < 1 ? 1 : n > STATE_MADE ? STATE_MADE : n;
    while (made < n && (page[made] = jt_alloc(1, sizeof **page))) made++;
    jt_status s = made == n ? jt_buffers_new(m->engine->backend, n, bytes, part, what, buffer, err) : jt_nomem(err, what, n, sizeof **page);
    while (s && made) jt_free(page[--made]);
    while (made) made--, *page[made] = (jt_page){.buffer = buffer[made], .next = *list}, *list = page[made];
    return s;
}

/* From a free list, or new. */
static jt_status state_page_get(jt_model *m, jt_page **list, size_t bytes, size_t part, const char *what, jt_page **out, jt_error *err) {
    jt_status s = *list ? JT_OK : state_pages_new(m, list, bytes, part, what, err);
    if (s) return s;
    jt_page *p = *list;
    *list = p->next;
    p->refs = 1, p->next = NULL;
    *out = p;
    return JT_OK;
}

static void state_page_put(jt_page **list, jt_page *p) {
    if (--p->refs) return;
    p->next = *list;
    *list = p;
}

jt_status jt_page_get(jt_model *m, jt_page **out, jt_error *err) {
    return state_page_get(m, &m->free_page, m->kv.page_bytes, jt_kv_part(&m->kv), "page of the cache", out, err);
}
void jt_page_put(jt_model *m, jt_page *p) { state_page_put(&m->free_page, p); }
jt_status jt_mark_get(jt_model *m, jt_page **out, jt_error *err) {
    return state_page_get(m, &m->free_mark, m->mark_bytes, 0, "states of recurrences", out, err);
}
void jt_mark_put(jt_model *m, jt_page *p) { state_page_put(&m->free_mark, p); }

static jt_status state_room(jt_state *s, size_t pages, jt_error *err) {
    jt_status e = jt_grow((void **)&s->page, &s->cap_page, pages, sizeof *s->page, err);
    return e ? e : jt_grow((void **)&s->buffer, &s->cap_buffer, pages, sizeof *s->buffer, err);
}

jt_status jt_state_reserve(jt_state *s, int at, int n, jt_error *err) {
    if (n <= 0) return JT_OK;
    size_t first = (size_t)at / JT_TILE, end = ((size_t)at + (size_t)n + JT_TILE - 1) / JT_TILE;
    jt_status e = state_room(s, end, err);
    for (size_t i = first; i < end && !e; i++) {
        if (i < s->n_page && s->page[i]->refs == 1) continue;
        jt_page *p = NULL;
        if ((e = jt_page_get(s->model, &p, err))) break;
        if (i < s->n_page) {
            if (i * JT_TILE < (size_t)s->length) jt_buffer_copy(p->buffer, s->page[i]->buffer);
            jt_page_put(s->model, s->page[i]);
        } else {
            s->n_page = i + 1;
        }
        s->page[i] = p, s->buffer[i] = p->buffer;
    }
    return e;
}

jt_tree_node jt_state_node(const jt_state *s, int node) {
    return node < s->trunk ? (jt_tree_node){node - 1, node, node, node, NULL} : s->node[node - s->trunk];
}

jt_status jt_state_room(jt_state *s, int n, jt_error *err) {
    return jt_grow((void **)&s->node, &s->cap_node, (size_t)(s->length - s->trunk) + (size_t)n, sizeof *s->node, err);
}

/* Takes leading nodes that have become ordinary into the trunk. */
static void grow_trunk(jt_state *s) {
    int n = 0, more = s->length - s->trunk;
    for (; n < more; n++) {
        const jt_tree_node *x = &s->node[n];
        int at = s->trunk + n;
        if (x->parent != at - 1 || x->depth != at || x->rank != at || x->position != at || x->layers) break;
    }
    if (!n) return;
    memmove(s->node, s->node + n, (size_t)(more - n) * sizeof *s->node);
    s->trunk += n;
}

void jt_state_add(jt_state *s, const jt_tree_node *node, int n) {
    if (!node) {
        s->trunk += n, s->length += n;
        return;
    }
    if (n) memcpy(s->node + (s->length - s->trunk), node, (size_t)n * sizeof *node);
    s->length += n;
    grow_trunk(s);
}

static jt_status state_make(jt_model *m, int context, jt_state **out, jt_error *err) {
    if (context < 1 || context > 1 << 24)
        return jt_error_set(err, JT_INVALID, "context=%d: must be between 1 and %d tokens", context, 1 << 24);
    if (m->options.vocab_only)
        return jt_error_set(err, JT_INVALID, "the model was opened for its vocabulary only; open it whole to evaluate");
    if (m->config.positions && context > m->config.positions)
        return jt_error_set(err, JT_INVALID, "context=%d: the model has learned positions for %d tokens", context, m->config.positions);
    jt_rope_set *rope;
    jt_status e = jt_model_rope(m, context, &rope, err);
    if (e) return e;
    jt_state *s = jt_alloc(1, sizeof *s);
    if (!s) return jt_nomem(err, "state", 1, sizeof *s);
    s->model = m, s->context = context, s->rope = rope;
    *out = s;
    return JT_OK;
}

jt_status jt_state_new(jt_model *m, int context, jt_state **out, jt_error *err) {
    jt_status e = state_make(m, context, out, err);
    return e ? e : jt_state_set_adapter(*out, m->adapter, m->adapter_scale, err);
}

jt_status jt_state_fork(const jt_state *s, jt_state **out, jt_error *err) {
    jt_state *t = NULL;
    jt_status e = state_make(s->model, s->context, &t, err);
    if (!e) e = state_room(t, s->n_page, err);
    if (!e && s->length > s->trunk) e = jt_grow((void **)&t->node, &t->cap_node, (size_t)(s->length - s->trunk), sizeof *t->node, err);
    if (!e && s->n_group) e = jt_groups_room(t, (int)s->n_group, err);
    if (!e) e = jt_marks_fork(&s->marks, &t->marks, err);
    if (e) {
        jt_state_free(t);
        return e;
    }
    if (s->length > s->trunk) memcpy(t->node, s->node, (size_t)(s->length - s->trunk) * sizeof *s->node);
    if (s->n_group) memcpy(t->group, s->group, s->n_group * sizeof *s->group);
    t->length = s->length, t->trunk = s->trunk, t->n_page = s->n_page, t->n_group = s->n_group;
    for (size_t i = 0; i < s->n_page; i++) t->page[i] = s->page[i], t->buffer[i] = s->buffer[i], t->page[i]->refs++;
    if ((t->taps = s->taps)) t->taps->refs++;
    if ((t->adapter = s->adapter)) t->adapter->refs++;
    t->adapter_scale = s->adapter_scale, t->tapped = s->tapped, t->watched = s->watched, t->raw = s->raw;
    if ((t->keys = s->keys)) t->keys->refs++;
    if ((t->sets = s->sets)) t->sets->refs++;
    *out = t;
    return JT_OK;
}

/* The tail of the list that forks share is freed by its last owner. */
static void state_put_sets(jt_layer_set *l) {
    for (jt_layer_set *next; l && !--l->refs; l = next) next = l->next, jt_free(l);
}

const jt_layers *jt_state_layers(jt_state *s, const jt_layers *l, jt_error *err) {
    for (jt_layer_set *x = s->sets; x; x = x->next)
        if (!memcmp(&x->layers, l, sizeof *l)) return &x->layers;
    jt_layer_set *x = jt_alloc(1, sizeof *x);
    if (!x) {
        jt_nomem(err, "set of layers", 1, sizeof *x);
        return NULL;
    }
    *x = (jt_layer_set){*l, 1, s->sets};
    s->sets = x;
    return &x->layers;
}

static void drop_pages(jt_state *s) {
    size_t keep = ((size_t)s->length + JT_TILE - 1) / JT_TILE;
    while (s->n_page > keep) jt_page_put(s->model, s->page[--s->n_page]);
}

jt_status jt_state_truncate(jt_state *s, int n, jt_error *err) {
    if (n < 0 || n > s->length) return jt_error_set(err, JT_INVALID, "truncate to %d: the state has %d nodes", n, s->length);
    s->length = n;
    if (s->trunk > n) s->trunk = n;
    jt_groups_truncate(s, n);
    jt_marks_cut(&s->marks, s->model, n);
    drop_pages(s);
    return JT_OK;
}

jt_status jt_state_truncate_to(jt_state *s, int node, jt_error *err) {
    if (node < 0 || node >= s->length) return jt_error_set(err, JT_INVALID, "truncate to node %d: the state has %d nodes", node, s->length);
    int path = 0, base = node;
    for (; base >= s->trunk; base = s->node[base - s->trunk].parent) path++;
    if (!path) return jt_state_truncate(s, node + 1, err);
    base++; /* depth of the path's first node outside the trunk; no depth lies above its slot */
    int32_t *slot = jt_alloc((size_t)path, sizeof *slot);
    if (!slot) return jt_nomem(err, "path of a tree", (size_t)path, sizeof *slot);
    for (int i = path - 1, at = node; i >= 0; i--) slot[i] = at, at = s->node[at - s->trunk].parent;
    jt_status e = jt_state_reserve(s, base, path, err);
    if (e) {
        jt_free(slot);
        return e;
    }
    jt_backend_enter(s->model->engine->backend);
    for (int i = 0; i < path; i++)
        if (slot[i] != base + i)
            jt_page_move(&s->model->kv, s->buffer[(base + i) / JT_TILE], (base + i) % JT_TILE, s->buffer[slot[i] / JT_TILE],
                         slot[i] % JT_TILE);
    jt_backend_leave(s->model->engine->backend);
    for (int i = 0; i < path; i++) { /* in place: entry i is written after every entry it could overwrite was read */
        jt_tree_node x = s->node[slot[i] - s->trunk];
        x.parent = base + i - 1;
        s->node[i] = x;
    }
    jt_groups_keep(s, base, slot, path);
    s->trunk = base, s->length = base + path;
    jt_marks_keep(&s->marks, s->model, base, slot, path);
    jt_free(slot);
    grow_trunk(s);
    drop_pages(s);
    return JT_OK;
}

void jt_state_free(jt_state *s) {
    if (!s) return;
    while (s->n_page) jt_page_put(s->model, s->page[--s->n_page]);
    jt_marks_free(&s->marks, s->model);
    jt_taps_put(s->taps), jt_adapter_free(s->adapter), jt_key_set_put(s->keys);
    state_put_sets(s->sets);
    jt_free(s->page), jt_free(s->buffer), jt_free(s->node), jt_free(s->group);
    jt_free(s);
}

int jt_state_length(const jt_state *s) { return s->length; }
int jt_state_context(const jt_state *s) { return s->context; }
int jt_state_parent(const jt_state *s, int node) { return jt_state_node(s, node).parent; }
int jt_state_depth(const jt_state *s, int node) { return jt_state_node(s, node).depth; }
uint64_t jt_state_mode(const jt_state *s) {
    uint64_t h = jt_hash_u64(jt_hash_u64(s->model->info.mode, (uint64_t)s->context), s->tapped);
    return s->raw ? jt_hash_str(h, "raw keys") : h;
}
jt_model *jt_state_model(const jt_state *s) { return s->model; }
