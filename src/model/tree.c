/* tree.c: what the rows of a span may see, from the tree they grow (jeton/model.h, jt_span).
 *
 * A lane is a run of nodes without branching. Each row gets the path of its lane: all
 * ancestors, and the nodes after it up to the next branching. Rows of one lane share a
 * path; ranks tell which of its keys each of them sees. */
#include "model/model.h"

enum { MAX_POSITION = 1 << 24 };

static bool tree_ordinary(const jt_span *p) {
    return !p->parent && !p->rank && !p->position && !p->layers && p->state->trunk == p->state->length;
}

/* The layers of row i: NULL when it runs all of them. */
static jt_status make_layers(const jt_span *p, int span, int i, const jt_layers **out, jt_error *err) {
    int n = p->state->model->config.layers;
    bool all = true;
    for (int l = 0; l < n; l++) all &= jt_layer_in(p->layers[i].word, l);
    *out = NULL;
    if (n > 256) return jt_error_set(err, JT_UNSUPPORTED, "span %d: sets of layers reach to 256; the model has %d", span, n);
    if (!all && !(*out = jt_state_layers(p->state, &p->layers[i], err))) return JT_NOMEM;
    return JT_OK;
}

static jt_status tree_make_node(const jt_span *p, const jt_tree_node *row, int span, int i, jt_tree_node *out, jt_error *err) {
    const jt_state *s = p->state;
    int at = s->length + i, parent = p->parent ? p->parent[i] : JT_PREVIOUS;
    if (parent == JT_PREVIOUS)
        parent = at - 1;
    else if (parent == JT_NO_PARENT)
        parent = -1;
    else if (parent < 0 || parent >= at)
        return jt_error_set(err, JT_INVALID, "span %d, row %d: parent %d must be a node below %d, JT_PREVIOUS or JT_NO_PARENT", span, i,
                            parent, at);
    int depth = parent < 0 ? 0 : 1 + (parent < s->length ? jt_state_node(s, parent).depth : row[parent - s->length].depth);
    *out = (jt_tree_node){parent, depth, p->rank ? p->rank[i] : depth, p->position ? p->position[i] : depth, NULL};
    if (depth >= s->context)
        return jt_error_set(err, JT_LIMIT, "span %d, row %d: depth %d exceeds the declared context of %d", span, i, depth, s->context);
    int above = parent < 0 ? INT32_MIN : parent < s->length ? jt_state_node(s, parent).rank : row[parent - s->length].rank;
    if (s->model->config.ssm_layers && parent >= 0 && out->rank <= above)
        return jt_error_set(err, JT_UNSUPPORTED,
                            "span %d, row %d: rank %d is not above its parent's %d; a recurrence runs along the path and cannot honour it",
                            span, i, out->rank, above);
    int most = s->model->config.positions ? s->model->config.positions : MAX_POSITION;
    if (out->position >= 0 && out->position < most) return p->layers ? make_layers(p, span, i, &out->layers, err) : JT_OK;
    return jt_error_set(err, JT_INVALID, "span %d, row %d: position %d must be between 0 and %d", span, i, out->position, most - 1);
}

/* The path that ends at new row i: its ancestors and itself. */
static const jt_env_path *tree_make_path(const jt_state *s, const jt_tree_node *row, int i, jt_arena *a) {
    int at = s->length + i, more = 0;
    for (int k = at; k >= s->trunk; k = k < s->length ? s->node[k - s->trunk].parent : row[k - s->length].parent) {
        more++;
        at = k < s->length ? s->node[k - s->trunk].parent : row[k - s->length].parent;
    }
    jt_env_path *p = jt_arena_alloc(a, 1, sizeof *p);
    int32_t *slot = jt_arena_alloc(a, (size_t)more, sizeof *slot), *rank = jt_arena_alloc(a, (size_t)more, sizeof *rank);
    int32_t *position = s->raw ? jt_arena_alloc(a, (size_t)more, sizeof *position) : NULL;
    const uint64_t **layers = jt_arena_alloc(a, (size_t)more, sizeof *layers);
    if (!p || !slot || !rank || !layers || (s->raw && !position)) return NULL;
    bool skips = false;
    for (int k = s->length + i, d = more - 1; d >= 0; d--) {
        const jt_tree_node *x = k < s->length ? &s->node[k - s->trunk] : &row[k - s->length];
        slot[d] = k, rank[d] = x->rank, layers[d] = x->layers ? x->layers->word : NULL, skips |= x->layers != NULL;
        if (position) position[d] = x->position;
        k = x->parent;
    }
    *p = (jt_env_path){at + 1, more, slot, rank, position, skips ? layers : NULL};
    if (skips) return p;
    while (p->more && p->slot[0] == p->trunk && p->rank[0] == p->trunk && (!position || p->position[0] == p->trunk)) {
        p->trunk++, p->more--, p->slot++, p->rank++;
        if (position) p->position++;
    }
    return p;
}

static bool make_paths(const jt_span *p, const jt_tree_node *row, const jt_env_path **path, int32_t *children, int32_t *child,
                       jt_arena *a) {
    int base = p->state->length;
    for (int i = 0; i < p->n; i++)
        if (row[i].parent >= base) children[row[i].parent - base]++, child[row[i].parent - base] = i;
    for (int i = p->n - 1; i >= 0; i--) {
        path[i] = children[i] == 1 ? path[child[i]] : tree_make_path(p->state, row, i, a);
        if (!path[i]) return false;
    }
    return true;
}

/* A pass may begin at a row when no earlier row of the span sees it or one after it. */
static void mark_cuts(const jt_span *p, uint8_t *cut, int32_t *least) {
    int32_t most = INT32_MIN;
    for (int i = p->n - 1; i >= 0; i--) least[i] = i + 1 < p->n && least[i + 1] < p->rank[i] ? least[i + 1] : p->rank[i];
    for (int i = 0; i < p->n; i++) {
        cut[i] = most < least[i];
        if (p->rank[i] > most) most = p->rank[i];
    }
}

jt_status jt_span_plan_make(const jt_span *p, int index, jt_arena *a, jt_span_plan *out, jt_error *err) {
    const jt_state *s = p->state;
    size_t n = (size_t)p->n;
    *out = (jt_span_plan){0};
    if (tree_ordinary(p)) {
        if (p->n > s->context - s->length)
            return jt_error_set(err, JT_LIMIT, "span %d: %d + %d tokens exceed the declared context of %d", index, s->length, p->n,
                                s->context);
        uint8_t *whole = s->model->config.encoder ? jt_arena_alloc(a, n + 1, 1) : NULL;
        if (s->model->config.encoder && !whole) return jt_nomem(err, "plan of a span", n, 1);
        if (whole) whole[0] = whole[n] = 1;
        out->cut = whole;
        return jt_groups_plan(p, index, a, out, err);
    }
    jt_tree_node *node = jt_arena_alloc(a, n, sizeof *node);
    const jt_env_path **path = jt_arena_alloc(a, n, sizeof *path);
    uint8_t *cut = p->rank ? jt_arena_alloc(a, n, 1) : NULL;
    int32_t *children = jt_arena_alloc(a, n, sizeof *children), *child = jt_arena_alloc(a, n, sizeof *child);
    if (!node || !path || !children || !child || (p->rank && !cut)) return jt_nomem(err, "tree of a span", n, sizeof *node);
    for (int i = 0; i < p->n; i++) {
        jt_status f = tree_make_node(p, node, index, i, &node[i], err);
        if (f) return f;
    }
    if (cut) mark_cuts(p, cut, child);
    if (cut)
        for (int i = 0; i < p->n; i++) child[i] = 0;
    if (!make_paths(p, node, path, children, child, a)) return jt_nomem(err, "paths of a tree", n, sizeof(int32_t));
    *out = (jt_span_plan){.node = node, .path = path, .cut = cut};
    return jt_groups_plan(p, index, a, out, err);
}
