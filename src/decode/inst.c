/* inst.c: instances of strategies. A slot may hold a child: an instance of the next
 * strategy of the pipeline, whose main slot is what the slot's branch was. A child
 * runs until it has said what the level above asked for; what it says beyond that
 * waits in it. */
#include "decode/driver.h"
#include <assert.h>

#include <string.h>

enum { ADVANCES_MOST = 100000 }; /* without an evaluation between them: the strategy goes round in a circle */

/* ---- making and freeing ---- */

jt_status jt_inst_slots(jt_inst *i, jt_slot most, jt_error *err) {
    size_t need = (size_t)most + 1;
    if (most < 0 || most >= JT_SLOTS) return jt_error_set(err, JT_LIMIT, "slot %d; a strategy has slots 0 to %d", most, JT_SLOTS - 1);
    if (need <= i->n_slot) return JT_OK;
    jt_status e = jt_grow((void **)&i->slot, &i->cap_slot, need, sizeof *i->slot, err);
    if (e == JT_OK)
        while (i->n_slot < need) i->slot[i->n_slot++] = NULL;
    return e;
}

/* The job's state of a method: flat bytes, opened. */
static jt_status inst_state(const jt_driver *d, const jt_live *j, const jt_node *node, const jt_branch *main, jt_inst *i, jt_error *err) {
    const jt_method *m = node->m;
    jt_setup u = {.vocab = d->model->ev.vocab,
                  .tokenizer = m->needs & JT_NEEDS_TOKENIZER ? d->model->ev.tokenizer : NULL,
                  .prompt = main->past->ids,
                  .n_prompt = main->prompt,
                  .context = j->context,
                  .layers = d->model->ev.layers,
                  .hidden = d->model->ev.hidden};
    i->bytes = m->state_bytes ? m->state_bytes(node->par, &u) : m->state_size;
    i->state = jt_alloc(1, i->bytes);
    if (!i->state) return jt_nomem(err, "the state of a strategy", 1, i->bytes);
    return m->open ? m->open(node->par, i->state, &u, err) : JT_OK;
}

jt_status jt_inst_new(jt_driver *d, jt_live *j, int level, jt_branch *main, jt_inst **out, jt_error *err) {
    jt_inst *i = jt_alloc(1, sizeof *i);
    if (!i) return jt_nomem(err, "a strategy", 1, sizeof *i);
    i->node = &j->pipeline->strategy[level], i->level = level;
    jt_status e = inst_state(d, j, i->node, main, i, err);
    if (e == JT_OK) e = jt_inst_slots(i, JT_MAIN, err);
    if (e != JT_OK) return jt_inst_free(d, j, i), e;
    i->slot[JT_MAIN] = main;
    *out = i;
    return JT_OK;
}

static void inst_room_back(jt_live *j, jt_asked *a) {
    if (a->room) a->room->next = j->rooms, j->rooms = a->room;
    a->room = NULL;
}

void jt_inst_free(jt_driver *d, jt_live *j, jt_inst *i) {
    if (!i) return;
    for (size_t k = 0; k < i->n_slot; k++) jt_branch_free(d, j, i->slot[k]);
    for (size_t k = 0; k < i->cap_asked; k++) {
        if (k < i->n_asked + i->n_late) inst_room_back(j, &i->asked[k]);
        jt_trail_free(&i->asked[k].trace);
    }
    jt_trail_free(&i->emitted);
    jt_free(i->caught.row), jt_free(i->caught.x), jt_free(i->caught.out);
    jt_free(i->state), jt_free(i->slot), jt_free(i->asked), jt_free(i->ran), jt_free(i->out), jt_free(i->ends);
    jt_free(i);
}

/* Paused children wait for rows that they have asked for and that are not evaluated: requests are copied without results. */
static jt_status inst_fork_asked(const jt_driver *d, jt_live *j, const jt_inst *from, jt_inst *i, jt_error *err) {
    jt_status e = jt_grow((void **)&i->asked, &i->cap_asked, from->n_asked, sizeof *i->asked, err);
    if (e != JT_OK) return e;
    memset(i->asked, 0, i->cap_asked * sizeof *i->asked);
    for (size_t k = 0; e == JT_OK && k < from->n_asked; k++) {
        const jt_asked *f = &from->asked[k];
        jt_asked *a = &i->asked[k];
        *a = (jt_asked){.slot = f->slot,
                        .node = f->node,
                        .n_top = f->n_top,
                        .n_targets = f->n_targets,
                        .n_stream = f->n_stream,
                        .want = f->want,
                        .serial = i->slot[f->slot] ? i->slot[f->slot]->serial : 0,
                        .position = f->position,
                        .newest = {.position = -1}};
        i->n_asked++;
        const jt_branch *b = i->slot[f->slot];
        e = jt_inst_room(d, j, a, b ? b->model : 0, &(jt_row){.targets = f->room->targets, .stream = f->room->layer}, err);
        for (jt_branch *x = i->slot[f->slot]; x; x = x->shadow) x->asked = true;
    }
    return e;
}

static jt_status inst_fork_twigs(const jt_inst *from, jt_inst *i, jt_error *err) {
    jt_status e = JT_OK;
    for (size_t k = 0; e == JT_OK && k < from->n_slot; k++) {
        const jt_branch *f = from->slot[k];
        if (!f || !f->n_twig || f->grown) continue;
        e = jt_tree_copy(f, i->slot[k], err);
    }
    return e;
}

jt_status jt_inst_fork(jt_driver *d, jt_live *j, const jt_inst *from, int tag, jt_inst **out, jt_error *err) {
    jt_inst *i = jt_alloc(1, sizeof *i);
    if (!i) return jt_nomem(err, "a strategy", 1, sizeof *i);
    i->node = from->node, i->level = from->level, i->bytes = from->bytes;
    i->done = from->done, i->end = from->end;
    jt_status e = JT_OK;
    if (!(i->state = jt_alloc(1, i->bytes))) e = jt_nomem(err, "the state of a strategy", 1, i->bytes);
    if (e == JT_OK) e = jt_inst_slots(i, (jt_slot)(from->n_slot - 1), err);
    if (e == JT_OK) memcpy(i->state, from->state, i->bytes);
    for (size_t k = 0; e == JT_OK && k < from->n_slot; k++)
        if (from->slot[k]) {
            e = jt_branch_fork(d, j, from->slot[k], tag, &i->slot[k], err);
            if (e == JT_OK) i->slot[k]->run = from->slot[k]->run;
        }
    if (e == JT_OK) e = inst_fork_twigs(from, i, err);
    if (e == JT_OK && from->n_asked) e = inst_fork_asked(d, j, from, i, err);
    if (e == JT_OK) e = jt_catch_copy(from, i, err);
    if (e == JT_OK && from->n_ran) {
        e = jt_grow((void **)&i->ran, &i->cap_ran, from->n_ran, sizeof *i->ran, err);
        if (e == JT_OK) memcpy(i->ran, from->ran, from->n_ran * sizeof *i->ran), i->n_ran = from->n_ran;
    }
    size_t left = (size_t)(from->n_emitted - from->taken);
    if (e == JT_OK && left) e = jt_trail_reserve(j, &i->emitted, left, err);
    if (e == JT_OK && left) jt_trail_copy(j, &i->emitted, 0, &from->emitted, (size_t)from->taken, left), i->n_emitted = (int)left;
    if (e != JT_OK) return jt_inst_free(d, j, i), e;
    *out = i;
    return JT_OK;
}

void jt_inst_unseat(jt_driver *d, jt_live *j, jt_branch *b) {
    jt_inst_free(d, j, b->child);
    jt_trail_free(&b->said);
    jt_reply_free(b->reply);
    b->child = NULL, b->reply = NULL, b->n_said = b->forwarded = b->run = 0;
}

void jt_inst_leaves(jt_inst *i, void (*f)(void *self, jt_branch *b), void *self) {
    for (size_t k = 0; k < i->n_slot; k++) {
        jt_branch *b = i->slot[k];
        if (b && b->child)
            jt_inst_leaves(b->child, f, self);
        else if (b)
            f(self, b);
    }
}

/* ---- room for results ---- */

static jt_status inst_floats(float **p, int n, const char *what, jt_error *err) {
    if (*p) return JT_OK;
    *p = jt_alloc_aligned((size_t)n, sizeof **p);
    return *p ? JT_OK : jt_nomem(err, what, (size_t)n, sizeof **p);
}

/* Layers that the strategy wants, then those of the stages; and room for their streams. */
static jt_status inst_room_streams(const jt_live *j, jt_room *m, const jt_asked *a, int model, int width, const int *layer, jt_error *err) {
    const jt_streams *more = &j->streams[model];
    size_t own = (size_t)a->n_stream, n = own + (size_t)(a->want & JT_WANT_DIST && more->n > 0 ? more->n : 0), size;
    if (!n) return JT_OK;
    if (!jt_mul(n, (size_t)width, &size)) return jt_nomem(err, "streams of a row", n, (size_t)width);
    jt_status e = jt_grow((void **)&m->layer, &m->cap_layer, n, sizeof *m->layer, err);
    if (e == JT_OK) e = jt_grow((void **)&m->stream, &m->cap_stream, size, sizeof *m->stream, err);
    if (e != JT_OK) return e;
    if (layer && own) memcpy(m->layer, layer, own * sizeof *layer);
    if (n > own) memcpy(m->layer + own, more->layer, (n - own) * sizeof *layer);
    return JT_OK;
}

jt_status jt_inst_room(const jt_driver *d, jt_live *j, jt_asked *a, int model, const jt_row *like, jt_error *err) {
    jt_room *m = j->rooms;
    bool dist = a->want & JT_WANT_DIST;
    if (m)
        j->rooms = m->next;
    else if (!(m = jt_alloc(1, sizeof *m)))
        return jt_nomem(err, "a row", 1, sizeof *m);
    m->next = NULL, a->room = m;
    jt_status e = dist ? inst_floats(&m->logits, j->vocab, "the logits of a row", err) : JT_OK;
    if (e == JT_OK && dist && j->model2 >= 0) e = inst_floats(&m->second, j->vocab, "the second logits of a row", err);
    if (e == JT_OK && (a->want & JT_WANT_HIDDEN || (dist && j->needs_hidden)))
        e = inst_floats(&m->hidden, j->hidden, "a hidden vector", err);
    if (e == JT_OK) e = inst_room_streams(j, m, a, model, d->model[model].ev.hidden, like ? like->stream : NULL, err);
    if (e == JT_OK && a->n_top) e = jt_grow((void **)&m->top_ids, &m->cap_top, (size_t)a->n_top, sizeof *m->top_ids, err);
    if (e == JT_OK && a->n_top) e = jt_grow((void **)&m->top_logits, &m->cap_top_logits, (size_t)a->n_top, sizeof *m->top_logits, err);
    if (e == JT_OK && a->n_targets) {
        size_t n = (size_t)a->n_targets;
        assert(like);
        e = jt_grow((void **)&m->targets, &m->cap_targets, n, sizeof *m->targets, err);
        if (e == JT_OK) e = jt_grow((void **)&m->target_logprob, &m->cap_logprob, n, sizeof *m->target_logprob, err);
        if (e == JT_OK) memcpy(m->targets, like->targets, n * sizeof *m->targets);
    }
    return e;
}

/* ---- emitting ---- */

jt_status jt_inst_emit(jt_driver *d, jt_live *j, jt_inst *i, const jt_trail *t, size_t at, jt_error *err) {
    if (i->done || j->end != JT_END_NONE) return JT_OK;
    if (i->level == 0) {
        jt_status e = jt_reply_take(d, j, j->main, t, at, err);
        if (e == JT_OK && j->main->end != JT_END_NONE) jt_live_end(d, j, j->main->end);
        return e;
    }
    if (i->taken == i->n_emitted) i->taken = i->n_emitted = 0;
    jt_status e = jt_trail_reserve(j, &i->emitted, (size_t)i->n_emitted + 1, err);
    if (e == JT_OK) jt_trail_copy(j, &i->emitted, (size_t)i->n_emitted++, t, at, 1);
    return e;
}

jt_status jt_inst_listen(jt_driver *d, jt_live *j, jt_branch *b, jt_error *err) {
    jt_inst *c = b->child;
    jt_status e = JT_OK;
    while (e == JT_OK && c->taken < c->n_emitted && b->run && b->reply->end == JT_END_NONE) {
        e = jt_trail_reserve(j, &b->said, (size_t)b->n_said + 1, err);
        if (e == JT_OK) e = jt_reply_take(d, j, b->reply, &c->emitted, (size_t)c->taken, err);
        if (e != JT_OK) break;
        jt_trail_copy(j, &b->said, (size_t)b->n_said++, &c->emitted, (size_t)c->taken++, 1);
        if (b->run > 0) b->run--;
    }
    if (c->done && c->taken == c->n_emitted && b->reply->end == JT_END_NONE) jt_reply_end(d, j, b->reply, c->end);
    if (b->reply->end != JT_END_NONE) b->run = 0;
    return e;
}

/* ---- advancing ---- */

/* Whether all rows that the instance and those inside it wait for are there. */
static bool inst_ready(const jt_inst *i) {
    for (size_t k = 0; k < i->n_asked; k++)
        if (!i->asked[k].ready) return false;
    for (size_t k = 0; k < i->n_ran; k++) {
        const jt_branch *b = i->slot[i->ran[k]];
        if (b && b->run && !inst_ready(b->child)) return false;
    }
    return true;
}

/* The results that advance sees. */
static jt_status inst_results(const jt_driver *d, const jt_live *j, jt_inst *i, jt_results *r, jt_error *err) {
    jt_status e = jt_grow((void **)&i->out, &i->cap_out, i->n_asked, sizeof *i->out, err);
    if (e == JT_OK) e = jt_grow((void **)&i->ends, &i->cap_ends, i->n_ran, sizeof *i->ends, err);
    if (e != JT_OK) return e;
    int n = 0;
    for (size_t k = 0; k < i->n_asked; k++) {
        const jt_asked *a = &i->asked[k];
        i->out[n++] = (jt_out){.slot = a->slot,
                               .row = (int)k,
                               .position = a->position,
                               .node = a->node,
                               .entropy = a->want & JT_WANT_ENTROPY ? a->room->entropy : NAN,
                               .top_ids = a->room->top_ids,
                               .top_logits = a->room->top_logits,
                               .n_top = a->n_top,
                               .target_logprob = a->n_targets ? a->room->target_logprob : NULL,
                               .hidden = a->want & JT_WANT_HIDDEN ? a->room->hidden : NULL,
                               .stream = a->n_stream ? a->room->stream : NULL,
                               .n_stream = a->n_stream};
        if (i->slot[a->slot] && (a->want & JT_WANT_HIDDEN || a->n_stream))
            i->out[n - 1].n_hidden = d->model[i->slot[a->slot]->model].ev.hidden;
    }
    for (size_t k = 0; k < i->n_ran; k++) {
        const jt_branch *b = i->slot[i->ran[k]];
        i->ends[k] = (jt_child_end){.slot = i->ran[k], .why = b->reply->end, .tokens = b->n_said};
        for (int t = 0; t < b->n_said; t++) {
            i->ends[k].logprob += (double)b->said.made[t].decision.logprob;
            i->ends[k].raw += (double)b->said.made[t].decision.raw_logprob;
        }
    }
    *r = (jt_results){.out = i->out, .n_out = n, .child = i->ends, .n_child = (int)i->n_ran, .end = j->last};
    return jt_catch_results(i, r, err);
}

void jt_inst_forget(jt_live *j, jt_inst *i) {
    for (size_t k = 0; k < i->n_asked; k++) inst_room_back(j, &i->asked[k]);
    i->n_asked = 0;
}

/* What the advance asked for takes the place of what it read. */
static void inst_turn(jt_live *j, jt_inst *i) {
    for (size_t k = 0; k < i->n_asked; k++) inst_room_back(j, &i->asked[k]);
    for (size_t k = 0; k < i->n_asked; k++)
        if (i->asked[k].trace.cap && i->asked[k].trace.sheet) jt_sheet_set(i->asked[k].trace.sheet, NULL);
    for (size_t k = 0; i->n_asked && k < i->n_late; k++) { /* traces stay with their entry's memory */
        jt_trail old = i->asked[k].trace, later = i->asked[i->n_asked + k].trace;
        i->asked[k] = i->asked[i->n_asked + k];
        i->asked[i->n_asked + k].room = NULL;
        i->asked[k].trace = old, i->asked[i->n_asked + k].trace = later;
    }
    i->n_asked = i->n_late, i->n_late = 0;
    for (size_t k = 0; k < i->n_ran_late; k++) i->ran[k] = i->ran[i->n_ran + k];
    i->n_ran = i->n_ran_late, i->n_ran_late = 0;
    i->caught.n = i->caught.n_x = 0;
}

/* Nothing is pending, but the row at the end is wanted: its input is evaluated again, and its group. */
static jt_status inst_again(jt_driver *d, jt_branch *b, jt_error *err) {
    const jt_evaluator *ev = &d->model[b->model].ev;
    if (b->evaluated < b->n) return JT_OK;
    int n = jt_group_cut(b, b->n - 1);
    jt_status e = ev->truncate(ev->self, b->state, n, err);
    if (e == JT_OK) b->evaluated = n;
    return e;
}

/* Taps, keys and adapter of the first rows to evaluate; a tree has those of one position. */
static jt_status inst_resolve_attributes(jt_driver *d, const jt_inst *i, jt_branch *b, jt_error *err) {
    int deep = 0;
    for (int k = 0; k < b->n_twig; k++) deep = b->twig[k].depth > deep ? b->twig[k].depth : deep;
    if (b->n_twig && jt_attr_border(b, b->n) <= b->n + deep)
        return jt_error_set(err, JT_UNSUPPORTED,
                            "the strategy %s asks for a tree over position %d, where the slot's taps, keys or adapter change",
                            i->node->m->name, jt_attr_border(b, b->n));
    return jt_attr_apply(d, b, b->evaluated, err);
}

/* The row's place, now that the slots are as the advance left them. */
static jt_status inst_resolve_row(jt_driver *d, jt_live *j, jt_inst *i, jt_asked *a, jt_error *err) {
    jt_branch *b = i->slot[a->slot];
    if (!b || b->child || a->node >= b->n_twig)
        return jt_error_set(err, JT_INVALID, "the strategy %s asks for a row of slot %d, which is %s", i->node->m->name, a->slot,
                            b && b->child ? "its child's" : "empty by then");
    jt_status e = JT_OK;
    if (b->follows >= 0) {
        const jt_branch *of = i->slot[b->follows];
        if (!of || of->child || of->follows >= 0)
            return jt_error_set(err, JT_INVALID, "the strategy %s lets slot %d follow slot %d, which has no inputs of its own",
                                i->node->m->name, a->slot, b->follows);
        if (b->n_twig && !b->grown && !jt_branch_alike(b, of))
            return jt_error_set(err, JT_INVALID, "the strategy %s asks for a tree on slot %d and then writes to slot %d, which it follows",
                                i->node->m->name, a->slot, b->follows);
        if (!b->n_twig || b->grown) e = jt_branch_sync(d, j, b, of, err);
    }
    if (e == JT_OK) e = inst_resolve_attributes(d, i, b, err);
    if (e == JT_OK && j->streams[b->model].n < 0 && a->want & JT_WANT_DIST)
        e = jt_error_set(err, JT_UNSUPPORTED, "a stage needs streams of layers that the model of slot %d has not", a->slot);
    if (e == JT_OK && !a->room) e = jt_inst_room(d, j, a, b->model, NULL, err);
    if (e == JT_OK && b->shadow) e = jt_branch_sync(d, j, b->shadow, b, err);
    for (jt_branch *x = b; e == JT_OK && x; x = x->shadow) {
        jt_prefix_begin(d, j, x);
        if (a->node < 0) e = inst_again(d, x, err);
        x->asked = e == JT_OK;
    }
    size_t rows = (size_t)jt_group_most(b) + JT_ROWS_ALONE + JT_ROWS_TREE;
    if (e == JT_OK) e = jt_round_reserve(&d->model[b->model], 1, rows, JT_ROWS_TREE + 1, err);
    if (e == JT_OK && b->shadow) e = jt_round_reserve(&d->model[j->model2], 1, JT_ROWS_ALONE + JT_ROWS_TREE, JT_ROWS_TREE + 1, err);
    a->serial = b->serial;
    a->position = b->n + (a->node < 0 ? 0 : b->twig[a->node].depth + 1);
    return e;
}

static jt_status inst_resolve(jt_driver *d, jt_live *j, jt_inst *i, jt_error *err) {
    jt_status e = JT_OK;
    for (size_t k = 0; e == JT_OK && k < i->n_asked; k++) e = inst_resolve_row(d, j, i, &i->asked[k], err);
    for (size_t k = 0; e == JT_OK && k < i->n_ran; k++)
        if (!i->slot[i->ran[k]] || !i->slot[i->ran[k]]->child)
            e = jt_error_set(err, JT_INVALID, "the strategy %s runs slot %d, which is empty by then", i->node->m->name, i->ran[k]);
    return e;
}

void jt_inst_advance(jt_driver *d, jt_live *j, jt_inst *i) {
    const jt_node *s = i->node;
    jt_work w = {.d = d, .j = j, .i = i, .raw = -1, .staged = -1};
    jt_results r;
    j->error.message[0] = 0;
    jt_status e = inst_results(d, j, i, &r, &j->error);
    if (e == JT_OK) {
        jt_shared *shared = jt_shared_enter(d, s->m);
        w.shared = shared ? shared->object : NULL;
        e = s->m->strategy.advance(s->par, i->state, &r, &w);
        jt_shared_leave(shared);
        if (e != JT_OK && !j->error.message[0]) jt_error_set(&j->error, e, "the strategy %s failed without a message", s->m->name);
    }
    if (e == JT_OK) e = w.status;
    inst_turn(j, i);
    if (e == JT_OK && !i->done && j->end == JT_END_NONE && j->last == JT_END_NONE) {
        e = inst_resolve(d, j, i, &j->error);
        if (e == JT_OK && !i->n_asked && !i->n_ran)
            e = jt_error_set(&j->error, JT_INVALID, "the strategy %s asks for nothing and is not done", s->m->name);
        if (e == JT_OK && ++j->advances > ADVANCES_MOST)
            e = jt_error_set(&j->error, JT_LIMIT, "the strategy %s goes on without evaluating anything", s->m->name);
    }
    if (e != JT_OK && j->end == JT_END_NONE) jt_live_end(d, j, JT_END_ERROR);
}

/* One advance of each instance that can be; whether there was one. */
static bool inst_settle(jt_driver *d, jt_live *j, jt_inst *i) {
    bool waits = false, any = false;
    if (i->done) return false;
    for (size_t k = 0; k < i->n_ran; k++) {
        jt_branch *b = i->slot[i->ran[k]];
        while (b->run && j->end == JT_END_NONE) {
            if (jt_inst_listen(d, j, b, &j->error) != JT_OK) jt_live_end(d, j, JT_END_ERROR);
            if (!b->run || j->end != JT_END_NONE || jt_live_cancelled(d, j) || !inst_settle(d, j, b->child)) break;
            any = true;
        }
        waits |= b->run != 0;
    }
    for (size_t k = 0; k < i->n_asked; k++) waits |= !i->asked[k].ready;
    if (waits || j->end != JT_END_NONE || jt_live_cancelled(d, j)) return any;
    jt_inst_advance(d, j, i);
    return true;
}

void jt_inst_settle(jt_driver *d, jt_live *j) {
    while (j->end == JT_END_NONE && !jt_live_cancelled(d, j) && (!j->siblings || inst_ready(j->root)) && inst_settle(d, j, j->root)) {
    }
}
