/* tree.c: rows that hang at the end of a slot as a tree, and going on from one of
 * them. A follower has trees of its own: when the slot that it follows goes a path of
 * such a tree, the path is there already. */
#include <limits.h>
#include <string.h>

#include "decode/work.h"

static const float tree_one = 1; /* the weight of an input that is its id */

jt_input jt_tree_input(const jt_branch *b, const jt_twig *t) {
    if (!t->mixed) return (jt_input){.n = 1, .ids = &t->id, .w = &tree_one};
    return (jt_input){.n = t->n_mix, .ids = b->mix_id + t->mix_at, .w = b->mix_w + t->mix_at, .vec = b->mix_w + t->mix_at};
}

static jt_status tree_room(jt_branch *b, size_t twigs, size_t mix, jt_error *err) {
    jt_status e = jt_grow((void **)&b->twig, &b->cap_twig, twigs, sizeof *b->twig, err);
    if (e == JT_OK && mix) e = jt_grow((void **)&b->mix_id, &b->cap_mix_id, mix, sizeof *b->mix_id, err);
    if (e == JT_OK && mix) e = jt_grow((void **)&b->mix_w, &b->cap_mix_w, mix, sizeof *b->mix_w, err);
    return e;
}

jt_status jt_tree_copy(const jt_branch *from, jt_branch *to, jt_error *err) {
    jt_status e = tree_room(to, (size_t)from->n_twig, from->n_mix, err);
    if (e != JT_OK) return e;
    memcpy(to->twig, from->twig, (size_t)from->n_twig * sizeof *to->twig);
    if (from->n_mix) memcpy(to->mix_id, from->mix_id, from->n_mix * sizeof *to->mix_id);
    if (from->n_mix) memcpy(to->mix_w, from->mix_w, from->n_mix * sizeof *to->mix_w);
    to->n_twig = from->n_twig, to->n_mix = from->n_mix;
    return JT_OK;
}

/* ---- asking ---- */

/* The decision at `node` whose token is this, if it was made. */
static jt_made tree_decided(const jt_work *w, jt_slot slot, int node, int32_t id, int32_t position) {
    for (size_t k = 0; k < w->i->n_asked; k++) {
        const jt_asked *a = &w->i->asked[k];
        if (a->slot == slot && a->node == node && a->newest.position == position && a->newest.id == id)
            return (jt_made){.decision = a->newest, .eval_seconds = a->eval_seconds};
    }
    return (jt_made){.decision = {.id = id, .position = position, .raw_logprob = NAN, .logprob = NAN, .u = NAN, .entropy = NAN}};
}

/* The slot's branch, where a tree may grow: what was evaluated of an earlier one is gone. */
static jt_branch *tree_slot(jt_work *w, jt_slot slot) {
    jt_branch *b = jt_work_branch(w, slot, true);
    if (!b) return NULL;
    if (b->follows < 0) return b->grown ? jt_work_write(w, slot) : b;
    if (b->n_twig && !b->grown) return b;
    jt_branch *of = jt_work_branch(w, (jt_slot)b->follows, true);
    if (of) jt_work_fail(w, jt_branch_sync(w->d, w->j, b, of, &w->j->error));
    return w->status == JT_OK ? b : NULL;
}

static jt_status tree_check(const jt_work *w, const jt_branch *b, const jt_row *r) {
    jt_live *j = w->j;
    const char *name = w->i->node->m->name;
    const jt_input *in = r->input;
    if (r->id < 0 || r->id >= w->d->model->ev.vocab || r->parent < JT_LAST || r->parent >= b->n_twig || b->n_twig == JT_ROWS_TREE ||
        b->n + b->n_twig + 1 > j->context)
        return jt_error_set(&j->error, JT_LIMIT,
                            "the strategy %s asks for token %d under row %d of %d at position %d; a tree has %d rows and the declared "
                            "context %d",
                            name, (int)r->id, r->parent, b->n_twig, b->n, JT_ROWS_TREE, j->context);
    if (in && (in->n < 0 || (in->n ? !in->ids || !in->w : !in->vec)))
        return jt_error_set(&j->error, JT_INVALID, "the strategy %s asks for a row that is neither a mixture nor a vector", name);
    if (in && !in->n && b->shadow && w->d->model[b->model].ev.hidden != w->d->model[b->shadow->model].ev.hidden)
        return jt_error_set(&j->error, JT_INVALID, "a vector made for one model cannot be the input of another of another width");
    return JT_OK;
}

static void tree_row(jt_work *w, const jt_row *r) {
    jt_branch *b = tree_slot(w, r->slot);
    jt_error *err = &w->j->error;
    if (!b) return;
    jt_work_fail(w, tree_check(w, b, r));
    if (w->status != JT_OK) return;
    size_t at = b->n_twig ? b->n_mix : 0, used = 0;
    if (r->input) used = r->input->n ? (size_t)r->input->n : (size_t)w->d->model[b->model].ev.hidden;
    jt_work_fail(w, tree_room(b, (size_t)b->n_twig + 1, at + used, err));
    if (w->status != JT_OK) return;
    jt_twig *t = &b->twig[b->n_twig++];
    *t = (jt_twig){.parent = r->parent, .id = r->id, .depth = r->parent < 0 ? 0 : b->twig[r->parent].depth + 1};
    t->ranked = r->rank, t->placed = r->place, t->layered = r->layers, t->mixed = r->input, t->grouped = r->group;
    t->rank = r->rank ? *r->rank : b->n + t->depth, t->place = r->place ? *r->place : b->n + t->depth;
    if (r->layers) t->layers = *r->layers;
    if (r->group) t->group = *r->group;
    if (r->input) {
        t->n_mix = r->input->n, t->mix_at = at, t->mix_used = used;
        if (t->n_mix) memcpy(b->mix_id + at, r->input->ids, used * sizeof *b->mix_id);
        memcpy(b->mix_w + at, t->n_mix ? r->input->w : r->input->vec, used * sizeof *b->mix_w);
    }
    b->n_mix = at + used;
    t->made = tree_decided(w, r->slot, r->parent, r->id, b->n + t->depth);
    if (r->want) jt_work_ask(w, r->slot, b->n_twig - 1, r);
}

void jt_work_rows(jt_work *w, const jt_row *row, int n) {
    for (int k = 0; k < n && jt_work_lives(w); k++) tree_row(w, &row[k]);
}

/* ---- going on ---- */

/* The states keep the path of n rows that ends in `node`. */
static jt_status tree_settle(jt_driver *d, jt_branch *b, int node, int n, jt_error *err) {
    jt_status e = JT_OK;
    int bent = INT_MAX;
    for (int t = node; t >= 0; t = b->twig[t].parent)
        if (b->twig[t].ranked || b->twig[t].placed || b->twig[t].layered || b->twig[t].grouped) bent = b->n + b->twig[t].depth;
    for (jt_branch *x = b; x && e == JT_OK; x = x->shadow) {
        const jt_evaluator *ev = &d->model[x->model].ev;
        int more = x->n - b->n; /* not 0 for a shadow with a prompt of its own */
        e = ev->truncate_to(ev->self, x->state, x->n + node, err);
        if (e == JT_OK) x->grown = false, x->evaluated = x->n + n;
        if (e == JT_OK && bent < INT_MAX && bent + more < x->bent) x->bent = bent + more;
    }
    return e;
}

/* Appends the rows of the path, which runs backwards, to what the branch and its shadow were given. */
static jt_status tree_append(jt_driver *d, jt_live *j, jt_branch *b, const jt_twig *t, const jt_made *made, jt_error *err) {
    jt_input in = jt_tree_input(b, t);
    jt_status e = JT_OK;
    for (jt_branch *x = b; x && e == JT_OK; x = x->shadow)
        e = jt_branch_append(j, x, made, NULL, 0, t->mixed ? &in : NULL, d->model[x->model].ev.hidden, err);
    return e;
}

void jt_work_keep(jt_work *w, const jt_out *o) {
    jt_branch *b = jt_work_branch(w, o->slot, true);
    jt_live *j = w->j;
    int path[JT_ROWS_TREE], n = 0;
    if (!b) return;
    if (o->row < 0 || (size_t)o->row >= w->i->n_asked || w->i->asked[o->row].serial != b->serial || o->node >= b->n_twig || !b->grown ||
        b->follows >= 0) {
        jt_work_fail(w, jt_error_set(&j->error, JT_INVALID, "the strategy %s keeps a row that is not there", w->i->node->m->name));
        return;
    }
    for (int t = o->node; t >= 0; t = b->twig[t].parent) path[n++] = t;
    jt_work_fail(w, n ? tree_settle(w->d, b, o->node, n, &j->error) : jt_branch_prune(w->d, b, &j->error));
    if (!n) return;
    for (int k = n - 1; k >= 0 && w->status == JT_OK; k--) {
        const jt_twig *t = &b->twig[path[k]];
        jt_made made = t->made;
        if (isnan(made.decision.raw_logprob)) /* decided since the row was asked for */
            made = tree_decided(w, o->slot, t->parent, made.decision.id, made.decision.position);
        jt_work_fail(w, jt_shape_push(w->d, j, b, &made, &j->error));
        if (w->status == JT_OK) jt_work_fail(w, tree_append(w->d, j, b, t, &made, &j->error));
    }
    b->n_twig = 0;
    b->serial = ++j->serial;
    if (b->shadow) b->shadow->n_twig = 0;
}

/* Whether the row is what stands at input p of `of`. */
static bool tree_same(const jt_branch *b, const jt_twig *t, const jt_branch *of, int p) {
    const jt_blend *x = of->past->n_blend ? jt_branch_blend(of, p) : NULL;
    if (t->id != of->past->ids[p] || t->mixed != (x != NULL)) return false;
    if (!x) return true;
    return x->n == t->n_mix && x->used == t->mix_used &&
           (!x->n || !memcmp(of->past->blend_id + x->at, b->mix_id + t->mix_at, x->used * 4)) &&
           !memcmp(of->past->blend_w + x->at, b->mix_w + t->mix_at, x->used * 4);
}

jt_status jt_tree_follow(jt_driver *d, jt_live *j, jt_branch *b, const jt_branch *of, jt_error *err) {
    int path[JT_ROWS_TREE], n = 0, node = JT_LAST;
    for (int k = 0; k < b->n_twig && b->n + n < of->n; k++)
        if (b->twig[k].parent == node && tree_same(b, &b->twig[k], of, b->n + n)) path[n++] = node = k; /* children stand later */
    if (!n) return JT_OK;
    jt_status e = tree_settle(d, b, node, n, err);
    for (int k = 0; k < n && e == JT_OK; k++) e = tree_append(d, j, b, &b->twig[path[k]], &b->twig[path[k]].made, err);
    b->n_twig = 0;
    if (b->shadow) b->shadow->n_twig = 0;
    return e;
}
