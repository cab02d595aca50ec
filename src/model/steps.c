/* steps.c: how the recurrences of a pass run over the nodes of one sequence.
 *
 * The state that a row goes on from is that of its parent: the step before leaves it, or an earlier row of the pass keeps it
 * in a local place, or a mark holds it; else the nodes from the nearest of these down to the parent run again, from their
 * inputs in the pages. The marks that a pass leaves are new pages, which become the state's when the whole eval has
 * succeeded: the last row, the node that the first row went on from, and every JT_MARK_EVERY nodes of a linear run. */
#include <assert.h>
#include <string.h>

#include "model/model.h"

struct stepping {
    const jt_span *p;
    const jt_span_plan *tree;
    jt_span_marks *marks;
    jt_model *m;
    jt_arena *a;
    int first, n, row;              /* its rows: node, number, and the first among those of the pass */
    const jt_env_path *const *path; /* [n] */
    jt_env_step *step;
    size_t steps, cap;
    int32_t *at, *uses; /* [n]: a row's step; rows yet to go on from it by way of a place */
    int32_t *again;     /* NULL, or [first]: 1 + the step of a node that runs again */
    int32_t *spare;     /* [spares] local places free again */
    int spares, locals;
};

static int steps_parent(const jt_span *p, const jt_span_plan *tree, int node) {
    const jt_state *s = p->state;
    if (node < s->length) return jt_state_node(s, node).parent;
    return tree->node ? tree->node[node - s->length].parent : node - 1;
}

static int steps_depth(const struct stepping *w, int node) {
    const jt_state *s = w->p->state;
    if (node < s->length) return jt_state_node(s, node).depth;
    return w->tree->node ? w->tree->node[node - s->length].depth : node;
}

/* Whether a node leaves a mark for good. Depth and node differ by the same number along a linear run. */
static bool steps_keeps(const jt_span *p, const jt_span_plan *tree, int node) {
    const jt_state *s = p->state;
    int depth = node < s->length ? jt_state_node(s, node).depth : tree->node ? tree->node[node - s->length].depth : node;
    return (depth + 1) % JT_MARK_EVERY == 0 && steps_parent(p, tree, node) == node - 1;
}

/* A place of the environment for a page of marks. */
static jt_status steps_place(struct stepping *w, jt_page *page, int32_t *out, jt_error *err) {
    jt_eval_work *k = &w->m->work;
    jt_status s = jt_grow((void **)&k->mark, &k->cap_mark, k->n_mark + 1, sizeof *k->mark, err);
    if (s) return s;
    *out = (int32_t)k->n_mark;
    k->mark[k->n_mark++] = page->buffer;
    return JT_OK;
}

/* A new mark for a node. */
static jt_status steps_mark(struct stepping *w, int node, int32_t *out, jt_error *err) {
    jt_page *page;
    jt_status s = jt_marks_room(&w->marks->made, 1, err);
    if (!s) s = jt_mark_get(w->m, &page, err);
    if (s) return s;
    jt_marks_add(&w->marks->made, node, page);
    return steps_place(w, page, out, err);
}

static jt_env_step *steps_add(struct stepping *w, jt_error *err) {
    if (w->steps == w->cap) {
        size_t cap = 2 * w->cap + (size_t)w->n;
        jt_env_step *more = jt_arena_alloc(w->a, cap, sizeof *more);
        if (!more) {
            jt_nomem(err, "steps of a pass", cap, sizeof *more);
            return NULL;
        }
        if (w->steps) memcpy(more, w->step, w->steps * sizeof *more);
        w->step = more, w->cap = cap;
    }
    return &w->step[w->steps++];
}

/* Where the state after an earlier node is; false: nowhere, the node must run again. */
static jt_status steps_find(struct stepping *w, int node, int32_t *from, bool *found, jt_error *err) {
    *found = true, *from = JT_STEP_ZERO;
    if (node < 0) return JT_OK;
    jt_page *page = jt_marks_find(&w->marks->made, node);
    if (!page) page = jt_marks_find(&w->p->state->marks, node);
    if (page) return steps_place(w, page, from, err);
    *found = w->again && w->again[node];
    if (!*found) return JT_OK;
    size_t k = (size_t)w->again[node] - 1;
    *from = JT_STEP_ON;
    if (k + 1 == w->steps) return JT_OK;
    assert(w->step && k < w->steps);
    if (w->step[k].save == JT_STEP_ON) w->step[k].save = w->locals++ | JT_STEP_LOCAL; /* a place that no step between has used */
    *from = w->step[k].save;
    return JT_OK;
}

/* Lets the nodes from the nearest known state down to `node` run again. */
static jt_status steps_again(struct stepping *w, int node, const jt_env_path *path, jt_error *err) {
    int top = node, n = 0;
    int32_t from = 0;
    bool found = false;
    if (!w->again && !(w->again = jt_arena_alloc(w->a, (size_t)w->first, sizeof *w->again)))
        return jt_nomem(err, "nodes that run again", (size_t)w->first, sizeof *w->again);
    for (; !found; n++) {
        top = steps_parent(w->p, w->tree, top);
        jt_status s = steps_find(w, top, &from, &found, err);
        if (s) return s;
    }
    size_t first = w->steps;
    for (int i = 0; i < n; i++)
        if (!steps_add(w, err)) return JT_NOMEM;
    for (int i = n - 1, k = node; i >= 0; i--, k = steps_parent(w->p, w->tree, k)) {
        jt_env_step *t = &w->step[first + (size_t)i];
        *t = (jt_env_step){k, steps_depth(w, k), -1, i ? JT_STEP_ON : from, JT_STEP_ON, path};
        w->again[k] = (int32_t)(first + (size_t)i) + 1;
        if (k != w->marks->anchor && !steps_keeps(w->p, w->tree, k)) continue;
        jt_status s = steps_mark(w, k, &t->save, err);
        if (s) return s;
    }
    return JT_OK;
}

static jt_status steps_row(struct stepping *w, int i, jt_error *err) {
    int node = w->first + i, parent = steps_parent(w->p, w->tree, node), up = parent - w->first;
    int32_t from = JT_STEP_ON, save = JT_STEP_ON;
    jt_status s = JT_OK;
    if (up < 0) {
        bool found;
        s = steps_find(w, parent, &from, &found, err);
        if (!s && !found) s = steps_again(w, parent, w->path[i], err), from = JT_STEP_ON;
    } else if (up != i - 1) {
        from = w->step[w->at[up]].save;
        if (!--w->uses[up] && from & JT_STEP_LOCAL) w->spare[w->spares++] = from;
    }
    if (!s && (i + 1 == w->n || steps_keeps(w->p, w->tree, node)))
        s = steps_mark(w, node, &save, err);
    else if (w->uses[i])
        save = w->spares ? w->spare[--w->spares] : w->locals++ | JT_STEP_LOCAL;
    if (s) return s;
    jt_env_step *t = steps_add(w, err);
    if (!t) return JT_NOMEM;
    *t = (jt_env_step){node, steps_depth(w, node), w->row + i, from, save, w->path[i]};
    w->at[i] = (int32_t)w->steps - 1;
    return JT_OK;
}

/* Lets go of the marks that passes before the last one left at their ends. */
static void steps_prune(struct stepping *w) {
    jt_marks *m = &w->marks->made;
    size_t to = 0;
    for (size_t i = 0; i < m->n; i++) {
        int node = m->at[i].node;
        if (node == w->marks->anchor || node == w->marks->end || steps_keeps(w->p, w->tree, node))
            m->at[to++] = m->at[i];
        else
            jt_mark_put(w->m, m->at[i].page);
    }
    m->n = to;
}

jt_status jt_steps_plan(const jt_span *p, const jt_span_plan *plan, jt_span_marks *made, int done, int n, int row,
                        const jt_env_path *const *path, jt_arena *a, jt_env_seq *seq, int *locals, jt_error *err) {
    struct stepping w = {.p = p, .tree = plan, .marks = made, .m = p->state->model, .a = a, .first = p->state->length + done, .n = n};
    w.row = row, w.path = path;
    size_t rows = (size_t)n;
    w.at = jt_arena_alloc(a, 3 * rows, sizeof *w.at);
    if (!w.at) return jt_nomem(err, "steps of a pass", 3 * rows, sizeof *w.at);
    w.uses = w.at + n, w.spare = w.uses + n;
    if (!done) made->anchor = steps_parent(p, plan, w.first);
    steps_prune(&w);
    for (int i = 0; i < n; i++) {
        int up = steps_parent(p, plan, w.first + i) - w.first;
        if (up >= 0 && up != i - 1) w.uses[up]++;
    }
    jt_status s = JT_OK;
    for (int i = 0; i < n && !s; i++) s = steps_row(&w, i, err);
    made->end = w.first + n - 1;
    seq->step = w.step, seq->steps = (int)w.steps;
    if (w.locals > *locals) *locals = w.locals;
    return s;
}

jt_status jt_steps_room(const jt_span *p, jt_span_marks *made, jt_error *err) {
    return made->made.n ? jt_marks_room(&p->state->marks, made->made.n, err) : JT_OK;
}

void jt_steps_commit(const jt_span *p, const jt_span_plan *plan, jt_span_marks *made) {
    jt_marks *from = &made->made, *to = &p->state->marks;
    size_t kept = 0;
    if (!p->n) return;
    for (size_t i = 0; i < to->n; i++) {
        if (to->at[i].node == made->anchor || steps_keeps(p, plan, to->at[i].node))
            to->at[kept++] = to->at[i];
        else
            jt_mark_put(p->state->model, to->at[i].page);
    }
    to->n = kept;
    for (size_t i = 0; i < from->n; i++) {
        int node = from->at[i].node;
        if (node == made->anchor || node == made->end || steps_keeps(p, plan, node))
            jt_marks_add(to, node, from->at[i].page);
        else
            jt_mark_put(p->state->model, from->at[i].page);
    }
    from->n = 0;
}
