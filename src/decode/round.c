/* round.c: one round. Every branch that is asked for rows gives a span of its
 * pending inputs, and of its tree when they all fit; long spans share a budget, so
 * that no token waits for more than one piece of a prompt. */
#include "decode/driver.h"

#include <string.h>

/* ---- memory of a round ---- */

static jt_status round_grow(void **p, size_t n, size_t size, jt_error *err) {
    void *q = jt_realloc(*p, n, size);
    if (!q) return jt_nomem(err, "the rows of a driver", n, size);
    *p = q;
    return JT_OK;
}

jt_status jt_round_reserve(jt_side *m, size_t parts, size_t rows, size_t wants, jt_error *err) {
    jt_status e = JT_OK;
    if (parts > m->cap_span) {
        size_t n = parts > 2 * m->cap_span ? parts + 15 : 2 * m->cap_span;
        e = round_grow((void **)&m->part, n, sizeof *m->part, err);
        if (e == JT_OK) e = round_grow((void **)&m->span, n, sizeof *m->span, err);
        if (e == JT_OK) m->cap_span = n;
    }
    if (e == JT_OK) e = jt_grow((void **)&m->want, &m->cap_want, wants, sizeof *m->want, err);
    if (e == JT_OK && rows > m->cap_row) {
        size_t n = rows > 2 * m->cap_row ? rows : 2 * m->cap_row;
        e = round_grow((void **)&m->ids, n, sizeof *m->ids, err);
        if (e == JT_OK) e = round_grow((void **)&m->parent, n, sizeof *m->parent, err);
        if (e == JT_OK) e = round_grow((void **)&m->rank, n, sizeof *m->rank, err);
        if (e == JT_OK) e = round_grow((void **)&m->place, n, sizeof *m->place, err);
        if (e == JT_OK) e = round_grow((void **)&m->group, n, sizeof *m->group, err);
        if (e == JT_OK) e = round_grow((void **)&m->input, n, sizeof *m->input, err);
        if (e == JT_OK) e = round_grow((void **)&m->layers, n, sizeof *m->layers, err);
        if (e == JT_OK) m->cap_row = n;
    }
    return e;
}

/* ---- gathering ---- */

static const float round_one = 1; /* the weight of an input that is its id */

typedef struct round_sum {
    jt_driver *d;
    size_t parts[JT_MODELS], rows[JT_MODELS], wants[JT_MODELS];
    int budget;
    bool beside;
} round_sum;

typedef void round_visit(round_sum *s, jt_live *j, jt_inst *i, jt_slot slot, jt_branch *b, bool shadow);

/* Calls f for every branch that waits for rows, in order. */
static void round_walk(round_sum *s, jt_live *j, jt_inst *i, round_visit *f) {
    for (size_t k = 0; k < i->n_asked; k++) {
        jt_branch *b = i->asked[k].ready ? NULL : i->slot[i->asked[k].slot];
        bool seen = false;
        for (size_t e = 0; e < k; e++) seen |= i->asked[e].slot == i->asked[k].slot;
        if (!b || seen) continue;
        if (b->asked) f(s, j, i, i->asked[k].slot, b, false);
        if (b->shadow && b->shadow->asked) f(s, j, i, i->asked[k].slot, b->shadow, true);
    }
    for (size_t k = 0; k < i->n_ran; k++) {
        jt_branch *b = i->slot[i->ran[k]];
        if (b->run) round_walk(s, j, b->child, f);
    }
}

static void round_walk_all(round_sum *s, round_visit *f) {
    for (jt_live *j = s->d->first; j; j = j->next)
        if (j->admitted && j->end == JT_END_NONE) round_walk(s, j, j->root, f);
}

static const jt_branch *round_tree(const jt_inst *i, jt_slot slot) { return i->slot[slot]; }

static void round_count(round_sum *s, jt_live *j, jt_inst *i, jt_slot slot, jt_branch *b, bool shadow) {
    int pending = b->n - b->evaluated, twigs = round_tree(i, slot)->n_twig;
    (void)j, (void)shadow;
    s->parts[b->model]++;
    int group = jt_group_most(b), most = group > JT_ROWS_ALONE ? group : JT_ROWS_ALONE;
    if (twigs || b->past->n_blend || b->n_attr) s->rows[b->model] += (size_t)((pending < most ? pending : most) + twigs);
    s->wants[b->model] += (size_t)twigs + 1;
    if (pending <= JT_ROWS_SHORT && b->n > b->prompt) s->beside = true;
}

/* Whether the inputs run some layers only, or are in groups. */
static bool round_planned(const jt_branch *b, int n) {
    for (size_t i = 0; i < b->n_attr; i++)
        if (b->attr[i].kind >= JT_ATTR_LAYERS && b->attr[i].from < b->evaluated + n) return true;
    return false;
}

static void round_layers(jt_side *m, const jt_branch *b, int position, size_t row, bool *layered) {
    const jt_worn *v = b->n_attr ? jt_attr_at(b, JT_ATTR_LAYERS, position) : NULL;
    memset(&m->layers[row], 0xff, sizeof *m->layers);
    if (v) m->layers[row] = v->layers, *layered = true;
}

static bool round_blended(const jt_branch *b, int n) {
    for (int p = b->evaluated; b->past->n_blend && p < b->evaluated + n; p++)
        if (jt_branch_blend(b, p)) return true;
    return false;
}

/* Rows of a span that is more than ids one after another. */
static void round_fill(jt_side *m, const jt_branch *b, const jt_branch *tree, int n, int twigs, jt_span *span) {
    size_t at = m->n_row;
    int more = b->n - tree->n; /* not 0 for a shadow with a prompt of its own */
    bool ranked = false, placed = false, layered = false, grouped = false, blended = round_blended(b, n);
    for (int k = 0, first = 0, end = 0; k < n; k++) {
        int p = b->evaluated + k;
        if (p >= end) jt_group_of(b, p, &first, &end);
        m->group[at + (size_t)k] = first, grouped |= first < p;
        const jt_blend *x = blended ? jt_branch_blend(b, p) : NULL;
        m->ids[at + (size_t)k] = b->past->ids[p];
        m->parent[at + (size_t)k] = JT_PREVIOUS;
        m->rank[at + (size_t)k] = m->place[at + (size_t)k] = p;
        round_layers(m, b, p, at + (size_t)k, &layered);
        m->input[at + (size_t)k] =
            x ? (jt_input){.n = x->n, .ids = b->past->blend_id + x->at, .w = b->past->blend_w + x->at, .vec = b->past->blend_w + x->at}
              : (jt_input){.n = 1, .ids = &b->past->ids[p], .w = &round_one};
    }
    for (int k = 0; k < twigs; k++) {
        const jt_twig *t = &tree->twig[k];
        size_t r = at + (size_t)(n + k);
        m->ids[r] = t->id;
        m->parent[r] = t->parent < 0 ? b->n - 1 : b->n + t->parent;
        m->rank[r] = t->rank + more, m->place[r] = t->place + more;
        m->group[r] = k && t->grouped && t[-1].grouped && t->group == t[-1].group ? m->group[r - 1] : b->n + k;
        round_layers(m, b, b->n + t->depth, r, &layered);
        if (t->layered) m->layers[r] = t->layers;
        m->input[r] = jt_tree_input(tree, t);
        blended |= t->mixed;
        ranked |= t->ranked, placed |= t->placed, layered |= t->layered, grouped |= t->grouped;
    }
    span->ids = m->ids + at;
    span->parent = twigs ? m->parent + at : NULL;
    span->rank = ranked ? m->rank + at : NULL;
    span->position = placed ? m->place + at : NULL;
    span->group = grouped ? m->group + at : NULL;
    span->layers = layered ? m->layers + at : NULL;
    span->input = blended ? m->input + at : NULL;
    m->n_row += (size_t)(n + twigs);
}

/* Whether an earlier part evaluates what the branch begins with: it then goes on from there in a later round. */
static bool round_waits(const round_sum *s, const jt_branch *b) {
    const jt_side *m = &s->d->model[b->model];
    for (size_t k = 0; k < m->n_part; k++) {
        const jt_branch *of = m->part[k].branch;
        int had = of->evaluated > b->evaluated ? of->evaluated : b->evaluated;
        if (m->part[k].inputs > JT_ROWS_SHORT && jt_prefix_alike(s->d, b, of) > had + JT_ROWS_SHORT) return true;
    }
    return false;
}

static void round_take(round_sum *s, jt_live *j, jt_inst *i, jt_slot slot, jt_branch *b, bool shadow) {
    jt_side *m = &s->d->model[b->model];
    const jt_branch *tree = round_tree(i, slot);
    int n = b->n - b->evaluated, twigs = tree->n_twig;
    if (n > JT_ROWS_SHORT) {
        if (round_waits(s, b)) return;
        jt_prefix_begin(s->d, j, b);
        n = b->n - b->evaluated;
    }
    if (n > JT_ROWS_SHORT) {
        if (s->budget <= 0) return;
        n = jt_group_fit(b, n, s->budget);
        s->budget -= n;
    }
    int border = jt_attr_border(b, b->evaluated);
    if (n > border - b->evaluated) n = border - b->evaluated; /* then come other taps or keys, or another adapter */
    bool last = n == b->n - b->evaluated;
    if (!last || (n && border <= b->n)) twigs = 0;
    bool plain = !twigs && !round_blended(b, n) && !round_planned(b, n);
    if (m->n_part == m->cap_span || (!plain && m->n_row + (size_t)(n + twigs) > m->cap_row) || m->n_want + (size_t)twigs + 1 > m->cap_want)
        return; /* memory was short; it comes in a later round */
    if (jt_attr_apply(s->d, b, b->evaluated, &j->error) != JT_OK) return jt_live_end(s->d, j, JT_END_ERROR);
    jt_span span = {.state = b->state, .ids = b->past->ids + b->evaluated, .n = n + twigs};
    if (!plain) round_fill(m, b, tree, n, twigs, &span);
    m->n_want += (size_t)twigs + 1;
    m->part[m->n_part] = (jt_part){.job = j,
                                   .branch = b,
                                   .inst = i,
                                   .slot = slot,
                                   .shadow = shadow,
                                   .inputs = n,
                                   .last = last,
                                   .tree = twigs > 0,
                                   .whole = last && twigs == tree->n_twig};
    m->span[m->n_part++] = span;
}

/* ---- evaluating ---- */

/* Stops an evaluation when none of its jobs wants it any more. */
static int round_unwanted(void *self) {
    jt_driver *d = self;
    double now = jt_driver_now(d);
    for (size_t k = d->run_first; k < d->run_end; k++) {
        const jt_live *j = d->running->part[k].job;
        if (j->end == JT_END_NONE && !jt_live_cancelled(d, j) && now < j->deadline) return 0;
    }
    return 1;
}

static void round_want(jt_side *m, const jt_part *p, const jt_asked *a, int row) {
    jt_room *r = a->room;
    jt_want *w = &m->want[m->n_want];
    bool dist = a->want & JT_WANT_DIST;
    *w = (jt_want){.row = row};
    if (dist) w->logits = p->shadow ? r->second : r->logits, w->log_sum_exp = p->shadow ? &r->log_sum2 : &r->log_sum;
    if (!p->shadow) {
        if (a->want & JT_WANT_ENTROPY || (dist && p->job->trace)) w->entropy = &r->entropy;
        w->final = (a->want & JT_WANT_HIDDEN || (dist && p->job->needs_hidden)) ? r->hidden : NULL;
        w->n_layer = a->n_stream + (dist && p->job->streams[p->branch->model].n > 0 ? p->job->streams[p->branch->model].n : 0);
        w->layer = r->layer, w->stream = r->stream;
        w->n_top = a->n_top, w->top_ids = r->top_ids, w->top_logits = r->top_logits;
        w->n_targets = a->n_targets, w->targets = r->targets, w->target_logprob = r->target_logprob;
    }
    if (dist || !p->shadow) m->n_want++;
}

/* The wanted rows of a part whose first row is number `row` of the batch, ascending. */
static void round_wants(jt_side *m, const jt_part *p, int row) {
    const jt_asked *of[JT_ROWS_TREE + 1] = {NULL};
    int most = -1;
    for (size_t k = 0; k < p->inst->n_asked; k++) {
        const jt_asked *a = &p->inst->asked[k];
        if (a->slot != p->slot) continue;
        of[a->node + 1] = a;
        if (a->node > most) most = a->node;
    }
    if (of[0] && p->last && p->inputs) round_want(m, p, of[0], row + p->inputs - 1);
    for (int k = 0; p->tree && k <= most; k++)
        if (of[k + 1]) round_want(m, p, of[k + 1], row + p->inputs + k);
}

static void round_captured(void *self, int span, int node, int layer, int tag, const float *x, int width) {
    const jt_driver *d = self;
    const jt_part *p = &d->running->part[d->run_first + (size_t)span];
    if (!p->shadow) jt_catch_row(p->job, p, node, layer, tag, x, width);
}

/* Evaluates parts first .. first + n - 1 as one batch, and notes what is there. */
static jt_status round_eval(jt_driver *d, jt_side *m, size_t first, size_t n, jt_error *err) {
    int row = 0;
    m->n_want = 0;
    for (size_t k = first; k < first + n; k++) {
        if (m->part[k].last) round_wants(m, &m->part[k], row);
        row += m->span[k].n;
    }
    jt_batch b = {.span = m->span + first,
                  .n_span = (int)n,
                  .want = m->want,
                  .n_want = (int)m->n_want,
                  .captured = round_captured,
                  .captured_self = d,
                  .cancelled = round_unwanted,
                  .cancelled_self = d};
    double start = jt_driver_now(d);
    d->running = m, d->run_first = first, d->run_end = first + n;
    jt_status e = m->ev.eval(m->ev.self, &b, err);
    float took = (float)(jt_driver_now(d) - start);
    for (size_t k = first; k < first + n; k++) jt_catch_settle(m->part[k].job, e == JT_OK);
    if (e != JT_OK) return e;
    d->counts.evals++, d->counts.sequences += n, d->counts.rows += (uint64_t)row;
    for (size_t k = first; k < first + n; k++) {
        const jt_part *p = &m->part[k];
        jt_branch *x = p->branch, *owner = p->inst->slot[p->slot];
        x->evaluated += p->inputs;
        p->job->advances = 0;
        jt_prefix_unpin(d, p->job);
        if (p->job->caught != JT_OK && p->job->end == JT_END_NONE) jt_live_end(d, p->job, JT_END_ERROR);
        x->grown |= p->tree;
        if (!p->whole) continue;
        x->asked = false;
        for (size_t q = 0; q < p->inst->n_asked; q++) {
            jt_asked *a = &p->inst->asked[q];
            if (a->slot != p->slot) continue;
            a->eval_seconds = took;
            a->ready = !owner->asked && (!owner->shadow || !owner->shadow->asked);
        }
    }
    return e;
}

static void round_model(jt_driver *d, jt_side *m) {
    jt_error err = {0};
    if (!m->n_part) return;
    jt_status e = round_eval(d, m, 0, m->n_part, &err);
    d->running = m, d->run_first = 0, d->run_end = m->n_part;
    if (e == JT_NOMEM && jt_prefix_clear(d)) e = round_eval(d, m, 0, m->n_part, &err);
    if (e == JT_OK || round_unwanted(d)) return;
    for (size_t k = 0; k < m->n_part; k++) { /* one job's failure is not the others' */
        jt_live *j = m->part[k].job;
        if (j->end != JT_END_NONE) continue;
        if (m->n_part == 1)
            j->error = err;
        else
            e = round_eval(d, m, k, 1, &j->error);
        bool unwanted = jt_live_cancelled(d, j) || jt_driver_now(d) >= j->deadline;
        if (e != JT_OK && !unwanted) jt_live_end(d, j, JT_END_ERROR);
    }
}

void jt_driver_round(jt_driver *d) {
    jt_admit_waiting(d);
    double now = jt_driver_now(d);
    round_sum s = {.d = d};
    for (jt_live *j = d->first; j; j = j->next) {
        if (!j->admitted || j->end != JT_END_NONE) continue;
        if (jt_live_cancelled(d, j))
            jt_live_finish(d, j, JT_END_CANCELLED);
        else if (now >= j->deadline)
            jt_live_finish(d, j, JT_END_TIME);
        else
            jt_inst_settle(d, j);
    }
    round_walk_all(&s, round_count);
    s.budget = s.beside ? JT_ROWS_BESIDE : JT_ROWS_ALONE;
    for (int k = 0; k < d->n_model; k++) {
        jt_side *m = &d->model[k];
        m->n_part = m->n_row = m->n_want = 0;
        (void)jt_round_reserve(m, s.parts[k], s.rows[k], s.wants[k], NULL); /* what does not fit comes later */
    }
    round_walk_all(&s, round_take);
    bool any = false;
    for (int k = 0; k < d->n_model; k++) {
        any |= d->model[k].n_part > 0;
        round_model(d, &d->model[k]);
    }
    d->counts.rounds += any;
    for (jt_live *j = d->first; j; j = j->next)
        if (j->admitted && j->end == JT_END_NONE) jt_inst_settle(d, j);
}
