/* shape.c: the pipeline over one row. Stages see the row's own path: at a node of a
 * tree, the inputs of its ancestors are put behind the branch's own, and a copy of
 * the stages' states is pushed along them. */
#include <float.h>
#include <string.h>

#include "core/random.h"
#include "decode/mark.h"
#include "decode/shape.h"

typedef struct jt_shape {
    jt_branch *b; /* that decides: for a follower's row, the branch that it follows */
    int n;        /* inputs before the row's token */
    const jt_asked *row;
    int model; /* of the row */
} jt_shape;

/* For stages: what a vector of the main model says. */
static jt_dist *shape_project(void *self, const float *x, bool norm, jt_error *err) {
    jt_driver *d = self;
    const jt_evaluator *ev = &d->model->ev;
    jt_status e = ev->project(ev->self, x, norm, NULL, d->projection, err);
    if (e == JT_OK) e = jt_dist_load(d->projected, d->projection, err);
    return e == JT_OK ? d->projected : NULL;
}

/* model: whose the row's vectors are. */
static jt_step shape_step(jt_driver *d, jt_live *j, const jt_node *node, const jt_branch *b, int n, const jt_asked *row, int model) {
    return (jt_step){.method = node->m,
                     .occurrence = node->occurrence,
                     .vocab = d->model->ev.vocab,
                     .history = b->past->ids,
                     .n = n,
                     .n_prompt = b->prompt,
                     .seed = j->seed,
                     .stream = b->stream,
                     .tokenizer = d->model->ev.tokenizer,
                     .raw = row ? d->raw : NULL,
                     .second = row && row->room->second ? d->second : NULL,
                     .hidden = row ? row->room->hidden : NULL,
                     .streams =
                         row && row->room->stream ? row->room->stream + (size_t)row->n_stream * (size_t)d->model[model].ev.hidden : NULL,
                     .layer = j->streams[model].layer,
                     .n_layer = j->streams[model].n,
                     .n_hidden = d->model[model].ev.hidden,
                     .seen = d->seen,
                     .count = d->count,
                     .alike = d->alike,
                     .project = row && d->projection && !model ? shape_project : NULL,
                     .project_self = d,
                     .err = &j->error};
}

static bool shape_pushes(const jt_live *j) {
    for (int i = 0; i < j->n_stage; i++)
        if (j->stage[i].m->stage.push) return true;
    return false;
}

/* The place of a stage that needs it in the `arrived` of decisions. */
static int shape_arrival(const jt_live *j, int stage) {
    int n = 0;
    for (int i = 0; i < stage; i++) n += (j->stage[i].m->needs & JT_NEEDS_ARRIVED) != 0;
    return n;
}

/* b->n inputs are there before the decision. */
jt_status jt_shape_push(jt_driver *d, jt_live *j, jt_branch *b, const jt_made *made, jt_error *err) {
    if (!shape_pushes(j)) return JT_OK;
    jt_status e = jt_branch_own_stages(j, b, err);
    for (int i = 0; e == JT_OK && i < j->n_stage; i++) {
        const jt_node *node = &j->stage[i];
        jt_step step = shape_step(d, j, node, b, b->n, NULL, 0);
        if (!node->m->stage.push) continue;
        if (node->m->needs & JT_NEEDS_ARRIVED) step.arrived = (double)made->decision.arrived[shape_arrival(j, i)];
        jt_shared *shared = jt_shared_enter(d, node->m);
        step.shared = shared ? shared->object : NULL;
        node->m->stage.push(node->par, b->stages->bytes + j->stage_at[i], &made->decision, &step);
        jt_shared_leave(shared);
    }
    return e;
}

jt_status jt_shape_replay(jt_driver *d, jt_live *j, jt_branch *b, jt_error *err) {
    int n = b->n;
    if (!shape_pushes(j)) return JT_OK;
    jt_branch fresh = *b;
    fresh.stages = b->fresh, b->fresh->refs++;
    jt_status e = JT_OK;
    for (fresh.n = b->prompt; e == JT_OK && fresh.n < n; fresh.n++)
        e = jt_shape_push(d, j, &fresh, &b->past->trail.made[fresh.n - b->prompt], err);
    jt_stages *old = e == JT_OK ? b->stages : fresh.stages;
    if (e == JT_OK) b->stages = fresh.stages;
    if (!--old->refs) jt_free(old);
    return e;
}

/* ---- one row ---- */

static jt_status shape_gone(const jt_work *w) {
    return jt_error_set(&w->j->error, JT_INVALID, "the strategy %s reads a row that is not there", w->i->node->m->name);
}

/* The row that `o` names, if its branch is still as it was. */
static jt_status shape_find(const jt_work *w, const jt_out *o, const jt_asked **row, jt_branch **b) {
    const jt_inst *i = w->i;
    if (!o || o->row < 0 || (size_t)o->row >= i->n_asked) return shape_gone(w);
    const jt_asked *a = &i->asked[o->row];
    if (!a->ready || (size_t)a->slot >= i->n_slot || !(*b = i->slot[a->slot]) || (*b)->serial != a->serial) return shape_gone(w);
    if (a->node >= (*b)->n_twig) return shape_gone(w);
    int end = (*b)->n, deep = a->node < 0 ? 0 : (*b)->twig[a->node].depth + 1;
    if ((*b)->follows >= 0) {
        if ((size_t)(*b)->follows >= i->n_slot || !(*b = i->slot[(*b)->follows])) return shape_gone(w);
        end = (*b)->n;
    }
    if (a->position != end + deep) return shape_gone(w);
    *row = a;
    return JT_OK;
}

jt_status jt_shape_branch(const jt_work *w, const jt_out *o, jt_branch **b) {
    const jt_asked *row;
    return shape_find(w, o, &row, b);
}

/* The model's row into d->raw; refused if it is broken. */
static jt_status shape_load(jt_driver *d, jt_live *j, jt_dist *to, const float *x, double log_sum, int position) {
    jt_status e = jt_dist_load(to, x, &j->error);
    if (e == JT_OK && jt_dist_count(to) != d->model->ev.vocab) {
        int i = 0;
        while (x[i] >= -FLT_MAX) i++;
        e = jt_error_set(&j->error, JT_INVALID, "the logit of token %d is infinite; the model file may be damaged, or its numbers overflow",
                         i);
    }
    if (e == JT_OK && !isfinite(log_sum)) e = jt_error_set(&j->error, JT_INVALID, "the logits have no finite sum");
    return e == JT_OK ? e : jt_error_in(&j->error, e, "position %d", position);
}

static jt_status shape_raw(jt_work *w, const jt_out *o, const jt_asked **row, jt_branch **b) {
    jt_status e = shape_find(w, o, row, b);
    if (e != JT_OK || w->raw == o->row) return e;
    if (!((*row)->want & JT_WANT_DIST))
        return jt_error_set(&w->j->error, JT_INVALID, "the strategy %s reads the dist of a row that it did not ask for",
                            w->i->node->m->name);
    w->raw = w->staged = -1;
    e = shape_load(w->d, w->j, w->d->raw, (*row)->room->logits, (*row)->room->log_sum, (*row)->position);
    if (e == JT_OK && w->j->model2 >= 0 && (*row)->room->second)
        e = shape_load(w->d, w->j, w->d->second, (*row)->room->second, (*row)->room->log_sum2, (*row)->position);
    if (e == JT_OK) w->raw = o->row;
    return e;
}

/* Probability that survived a stage, under what came in. */
static float shape_mass(jt_dist *before, jt_dist *after) {
    if (jt_dist_count(before) == jt_dist_count(after)) return 1;
    double sum = 0;
    for (int32_t id = jt_dist_next(after, -1); id >= 0; id = jt_dist_next(after, id)) sum += jt_dist_p(before, id);
    return (float)(sum < 1 ? sum : 1);
}

static jt_status shape_run(jt_work *w, int i, const jt_shape *s, const void *state, jt_stage_trace *trace) {
    jt_draws draws;
    jt_driver *d = w->d;
    jt_live *j = w->j;
    const jt_node *node = &j->stage[i];
    jt_step step = shape_step(d, j, node, s->b, s->n, s->row, s->model);
    double start = 0;
    int before = jt_dist_count(d->staged);
    step.kin = j->kin, step.n_kin = j->siblings ? (int)j->n_kin : 0;
    if (trace) {
        draws.n = 0, draws.hash = 0, step.draws = &draws;
        jt_dist_copy(d->before, d->staged);
        start = jt_driver_now(d);
    }
    j->error.message[0] = 0;
    jt_shared *shared = jt_shared_enter(d, node->m);
    step.shared = shared ? shared->object : NULL;
    jt_status e = node->m->stage.run(node->par, state, d->staged, &step);
    jt_shared_leave(shared);
    float took = trace ? (float)(jt_driver_now(d) - start) : 0;
    if (e == JT_OK) e = jt_dist_sound(d->staged, &j->error);
    if (e != JT_OK && !j->error.message[0]) jt_error_set(&j->error, e, "the stage failed without a message");
    if (e != JT_OK) return jt_error_in(&j->error, e, "stage %s, position %d", node->m->name, s->n);
    if (trace)
        *trace = (jt_stage_trace){.method = node->m->name,
                                  .before = before,
                                  .after = jt_dist_count(d->staged),
                                  .mass = shape_mass(d->before, d->staged),
                                  .seconds = took};
    if (trace) e = jt_ink_stage(d, j, node, trace, &draws, &j->error);
    return e;
}

/* The twigs from the branch's end to `node`, oldest first, into path; their number. */
static int shape_path(const jt_branch *b, int node, int *path) {
    int n = 0;
    for (int t = node; t >= 0; t = b->twig[t].parent) n++;
    for (int t = node, k = n; t >= 0; t = b->twig[t].parent) path[--k] = t;
    return n;
}

/* The branch as it is at the row: at a node of a tree, its own or its follower's, a copy that has the path pushed. */
static jt_status shape_walk(jt_work *w, const jt_asked *row, jt_branch *b, jt_branch *at) {
    jt_live *j = w->j;
    const jt_branch *tree = w->i->slot[row->slot];
    int path[JT_ROWS_TREE], n = shape_path(tree, row->node, path);
    jt_status e = jt_branch_own(j, b, b->n + n, &j->error);
    *at = *b;
    at->stages->refs++;
    for (int k = 0; e == JT_OK && k < n; k++) {
        const jt_made made = tree->twig[path[k]].made;
        e = jt_shape_push(w->d, j, at, &made, &j->error);
        at->past->ids[at->n++] = made.decision.id;
    }
    return e;
}

struct shape_kin {
    jt_live *j;
    const jt_branch *self;
    jt_status e;
};

static void shape_kin_one(void *self, jt_branch *b) {
    struct shape_kin *k = self;
    jt_live *j = k->j;
    if (b == k->self || b->follows >= 0 || k->e != JT_OK) return;
    k->e = jt_grow((void **)&j->kin, &j->cap_kin, j->n_kin + 1, sizeof *j->kin, &j->error);
    if (k->e == JT_OK) j->kin[j->n_kin++] = (jt_kin){.ids = b->past->ids, .n = b->n};
}

static jt_status shape_siblings(jt_live *j, const jt_branch *b) {
    struct shape_kin k = {.j = j, .self = b};
    j->n_kin = 0;
    if (j->siblings) jt_inst_leaves(j->root, shape_kin_one, &k);
    return k.e;
}

/* Whether the row has its evidence: staging it again, after another row, gives the same. */
static bool shape_told(const jt_live *j, const jt_asked *row, const jt_branch *b) {
    return row->trace.cap && *row->trace.sheet && (*row->trace.sheet)->e.chain == b->chain && !j->siblings;
}

/* The stages over the row, once; up to the mark, if one is named. With `made` they run again, and what arrived of its token is
 * noted there. */
static jt_status shape_stage(jt_work *w, const jt_out *o, const char *mark, jt_decision *made) {
    jt_driver *d = w->d;
    jt_live *j = w->j;
    const jt_asked *row;
    jt_branch *b, at;
    jt_status e = shape_raw(w, o, &row, &b);
    if (e != JT_OK || (!mark && !made && w->staged == o->row)) return e;
    const jt_chain *c = jt_chain_of(j, b);
    bool trace = j->trace && !mark && !made && !shape_told(j, row, b);
    jt_asked *told = &w->i->asked[o->row];
    w->staged = -1;
    jt_dist_view(d->staged, d->raw);
    if (trace) e = jt_trail_reserve(j, &told->trace, 1, &j->error);
    if (trace && e == JT_OK) e = jt_ink_begin(d, j, row, b, &j->error);
    if (c->first == c->end) {
        if (trace && e == JT_OK) e = jt_ink_end(d, told, &j->error);
        if (e == JT_OK) w->staged = o->row;
        return e;
    }
    if (e == JT_OK) e = shape_siblings(j, b);
    if (e != JT_OK) return e;
    e = shape_walk(w, row, b, &at);
    jt_shape s = {.b = &at, .n = at.n, .row = row, .model = w->i->slot[row->slot]->model};
    int i = c->first;
    for (; e == JT_OK && i < c->end && !(mark && jt_mark_is(&j->stage[i], mark)); i++) {
        if (made && j->stage[i].m->needs & JT_NEEDS_ARRIVED) made->arrived[shape_arrival(j, i)] = (float)jt_dist_p(d->staged, made->id);
        e = shape_run(w, i, &s, at.stages->bytes + j->stage_at[i], trace ? &row->trace.stage[i - c->first] : NULL);
    }
    if (!--at.stages->refs) jt_free(at.stages);
    if (trace && e == JT_OK) e = jt_ink_end(d, told, &j->error);
    if (e == JT_OK && !mark) w->staged = o->row;
    return e;
}

jt_dist *jt_work_raw(jt_work *w, const jt_out *o) {
    const jt_asked *row;
    jt_branch *b;
    if (w->status == JT_OK) w->status = shape_raw(w, o, &row, &b);
    return w->status == JT_OK ? w->d->raw : NULL;
}

jt_dist *jt_work_staged(jt_work *w, const jt_out *o) {
    if (w->status == JT_OK) w->status = shape_stage(w, o, NULL, NULL);
    return w->status == JT_OK ? w->d->staged : NULL;
}

jt_dist *jt_work_marked(jt_work *w, const jt_out *o, const char *name) {
    if (w->status == JT_OK) w->status = shape_stage(w, o, name, NULL);
    return w->status == JT_OK ? w->d->staged : NULL;
}

jt_dist *jt_work_copy(jt_work *w, const jt_out *o) {
    if (!jt_work_raw(w, o)) return NULL;
    jt_dist_view(w->d->before, w->d->raw);
    return w->d->before;
}

/* ---- decisions ---- */

/* What a row's decisions go through: the stages of its branch, or of the one that it follows. */
static int shape_stages(const jt_work *w, const jt_asked *row) {
    const jt_branch *b = w->i->slot[row->slot];
    const jt_chain *c = jt_chain_of(w->j, b->follows >= 0 ? w->i->slot[b->follows] : b);
    return c->end - c->first;
}

static float shape_raw_logprob(const jt_asked *row, int32_t id) { return (float)((double)row->room->logits[id] - row->room->log_sum); }

bool jt_shape_is_of(const jt_asked *row, const jt_decision *made) {
    return row->room && row->room->logits && made->id >= 0 && shape_raw_logprob(row, made->id) == made->raw_logprob;
}

static const jt_decision shape_nothing = {.id = -1, .position = -1, .raw_logprob = NAN, .logprob = NAN, .u = NAN, .entropy = NAN};

/* Fills in what is recorded of a decision for `id` at the row that is staged. */
static jt_decision shape_record(jt_work *w, const jt_out *o, int32_t id, double u, uint32_t attempt, jt_chosen by) {
    jt_driver *d = w->d;
    jt_live *j = w->j;
    jt_asked *row = &w->i->asked[o->row];
    int stages = shape_stages(w, row);
    jt_decision made = {
        .id = id, .position = row->position, .raw_logprob = NAN, .logprob = NAN, .u = u, .attempt = attempt, .entropy = NAN, .by = by};
    made.candidates = jt_dist_count(d->staged);
    if (j->trace) made.entropy = (float)row->room->entropy;
    if (id >= 0) {
        made.raw_logprob = shape_raw_logprob(row, id);
        made.logprob = stages ? (float)jt_dist_lnp(d->staged, id) : made.raw_logprob;
    }
    if (id >= 0 && j->arrivals) w->status = shape_stage(w, o, NULL, &made);
    if (w->status != JT_OK) return shape_nothing;
    if (j->top || j->trace) {
        w->status = jt_trail_reserve(j, &row->trace, 1, &j->error);
        if (w->status != JT_OK) return shape_nothing;
        const jt_cand *c = jt_dist_top(d->raw, j->top);
        for (int i = 0; i < j->top; i++) {
            float raw = shape_raw_logprob(row, c[i].id);
            row->trace.top[i] =
                (jt_candidate){.id = c[i].id, .raw_logprob = raw, .logprob = stages ? (float)jt_dist_lnp(d->staged, c[i].id) : raw};
        }
        row->trace.made[0] =
            (jt_made){.decision = made, .eval_seconds = row->eval_seconds, .n_stage = j->trace ? stages : 0, .traced = true};
    }
    row->newest = made;
    return made;
}

jt_decision jt_work_decide(jt_work *w, const jt_out *o, uint32_t attempt) {
    jt_dist *staged = jt_work_staged(w, o);
    const jt_asked *row;
    jt_branch *b;
    if (!staged || shape_find(w, o, &row, &b) != JT_OK) return shape_nothing;
    double u = jt_random_u(&(jt_address){
        .seed = w->j->seed, .stream = b->stream, .position = (uint32_t)row->position, .site = w->d->site, .attempt = attempt});
    return shape_record(w, o, jt_dist_draw(staged, u), u, attempt, JT_CHOSEN_DRAWN);
}

jt_decision jt_work_best(jt_work *w, const jt_out *o) {
    jt_dist *staged = jt_work_staged(w, o);
    if (!staged) return shape_nothing;
    return shape_record(w, o, jt_dist_count(staged) ? jt_dist_top(staged, 1)->id : -1, NAN, 0, JT_CHOSEN_BEST);
}

jt_decision jt_work_choose(jt_work *w, const jt_out *o, int32_t id) {
    if (!jt_work_staged(w, o)) return shape_nothing;
    if (id < 0 || id >= w->d->model->ev.vocab) {
        w->status = jt_error_set(&w->j->error, JT_INVALID, "the strategy %s chooses token %d, outside of the vocabulary",
                                 w->i->node->m->name, (int)id);
        return shape_nothing;
    }
    return shape_record(w, o, id, NAN, 0, JT_CHOSEN_STRATEGY);
}
