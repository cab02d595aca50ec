/* work.c: what strategies ask for. Every request checks its slots; the first that
 * fails is kept, and later ones do nothing. */
#include "decode/work.h"

#include <string.h>

#include "core/random.h"
#include "decode/shape.h"

jt_branch *jt_work_branch(jt_work *w, jt_slot slot, bool leaf) {
    jt_branch *b = jt_work_lives(w) ? jt_work_at(w, slot) : NULL;
    if (jt_work_lives(w) && (!b || (leaf && b->child)))
        jt_work_fail(w, jt_error_set(&w->j->error, JT_INVALID, "the strategy %s uses slot %d, which %s", w->i->node->m->name, slot,
                                     b ? "a child runs" : "is empty"));
    return w->status == JT_OK ? b : NULL;
}

/* What hangs at the end of the slot goes before it is written. */
jt_branch *jt_work_write(jt_work *w, jt_slot slot) {
    jt_branch *b = jt_work_branch(w, slot, true);
    if (b && b->follows >= 0) {
        jt_work_fail(w, jt_error_set(&w->j->error, JT_INVALID, "the strategy %s writes to slot %d, which follows another",
                                     w->i->node->m->name, slot));
        return NULL;
    }
    if (b && b->n_twig) jt_work_fail(w, jt_branch_prune(w->d, b, &w->j->error));
    return w->status == JT_OK ? b : NULL;
}

/* ---- rows ---- */

jt_asked *jt_work_ask(jt_work *w, jt_slot slot, int node, const jt_row *like) {
    jt_inst *i = w->i;
    size_t old = i->cap_asked, n = i->n_asked + i->n_late;
    if (w->status != JT_OK) return NULL;
    for (size_t k = i->n_asked; k < n; k++)
        if (i->asked[k].slot == slot && i->asked[k].node == node) {
            jt_work_fail(
                w, jt_error_set(&w->j->error, JT_INVALID, "the strategy %s asks twice for one row of slot %d", i->node->m->name, slot));
            return NULL;
        }
    const jt_branch *b = jt_work_at(w, slot);
    int layers = b ? w->d->model[b->model].ev.layers : 0;
    for (int k = 0; like->want & JT_WANT_STREAM && k < like->n_stream; k++)
        if (like->stream[k] < 0 || like->stream[k] > layers) {
            jt_work_fail(w, jt_error_set(&w->j->error, JT_INVALID, "the strategy %s asks for the stream of layer %d; the model has 0 to %d",
                                         i->node->m->name, like->stream[k], layers));
            return NULL;
        }
    if (like->n_top < 0 || like->n_top > 4096 || like->n_top > w->d->model->ev.vocab || like->n_targets < 0 || like->n_stream < 0) {
        jt_work_fail(
            w, jt_error_set(&w->j->error, JT_LIMIT, "the strategy %s asks for %d candidates of a row", i->node->m->name, like->n_top));
        return NULL;
    }
    jt_work_fail(w, jt_grow((void **)&i->asked, &i->cap_asked, n + 1, sizeof *i->asked, &w->j->error));
    if (w->status != JT_OK) return NULL;
    if (i->cap_asked > old) memset(i->asked + old, 0, (i->cap_asked - old) * sizeof *i->asked);
    jt_asked *a = &i->asked[n];
    jt_trail trace = a->trace;
    *a = (jt_asked){.slot = slot,
                    .node = node,
                    .want = like->want,
                    .n_top = like->want & JT_WANT_TOP ? like->n_top : 0,
                    .n_targets = like->want & JT_WANT_TARGETS ? like->n_targets : 0,
                    .n_stream = like->want & JT_WANT_STREAM ? like->n_stream : 0,
                    .newest = {.position = -1},
                    .trace = trace};
    i->n_late++;
    if (a->n_targets || a->n_stream) jt_work_fail(w, jt_inst_room(w->d, w->j, a, b ? b->model : 0, like, &w->j->error));
    return a;
}

void jt_work_want(jt_work *w, jt_slot slot, const jt_row *like) {
    jt_branch *b = jt_work_branch(w, slot, true);
    if (b && b->grown && b->follows < 0) jt_work_fail(w, jt_branch_prune(w->d, b, &w->j->error));
    if (b) jt_work_ask(w, slot, -1, like);
}

void jt_work_next(jt_work *w, jt_slot slot) { jt_work_want(w, slot, &(jt_row){.want = JT_WANT_DIST}); }

void jt_work_next_all(jt_work *w, jt_slot first, int n) {
    for (int i = 0; i < n; i++)
        if (jt_work_at(w, (jt_slot)(first + i))) jt_work_next(w, (jt_slot)(first + i));
}

/* ---- writing ---- */

/* The row's own record of this decision, with its trace; else one made of the decision alone. */
static const jt_trail *work_record(const jt_work *w, const jt_decision *d, jt_made *bare, jt_trail *one) {
    for (size_t k = 0; k < w->i->n_asked; k++) {
        const jt_asked *a = &w->i->asked[k];
        if (a->trace.cap && a->newest.position == d->position && a->newest.raw_logprob == d->raw_logprob && a->newest.id == d->id)
            return &a->trace;
    }
    for (size_t k = 0; w->j->trace && k < w->i->n_asked; k++) { /* one of several picks of a row */
        const jt_asked *a = &w->i->asked[k];
        if (!a->trace.cap || !*a->trace.sheet || a->newest.position != d->position || !jt_shape_is_of(a, d)) continue;
        *bare = *a->trace.made, bare->decision = *d;
        *one = a->trace, one->made = bare;
        return one;
    }
    *bare = (jt_made){.decision = *d};
    for (size_t k = 0; k < w->i->n_asked; k++)
        if (w->i->asked[k].position == d->position) bare->eval_seconds = w->i->asked[k].eval_seconds;
    *one = (jt_trail){.made = bare};
    return one;
}

void jt_work_push_input(jt_work *w, jt_slot slot, const jt_decision *made, const jt_input *in) {
    jt_branch *b = jt_work_lives(w) && made->id >= 0 ? jt_work_write(w, slot) : NULL;
    jt_live *j = w->j;
    jt_made bare;
    jt_trail one;
    if (!b) return;
    if (made->id >= w->d->model->ev.vocab || b->n >= j->context) {
        jt_work_fail(w, jt_error_set(&j->error, JT_LIMIT,
                                     "the strategy %s pushes token %d at position %d of slot %d; the declared context has %d",
                                     w->i->node->m->name, (int)made->id, b->n, slot, j->context));
        return;
    }
    const jt_trail *t = work_record(w, made, &bare, &one);
    jt_work_fail(w, jt_shape_push(w->d, j, b, t->made, &j->error));
    if (w->status == JT_OK) jt_work_fail(w, jt_branch_append(j, b, t->made, t, 0, in, w->d->model[b->model].ev.hidden, &j->error));
}

void jt_work_push(jt_work *w, jt_slot slot, const jt_decision *made) { jt_work_push_input(w, slot, made, NULL); }

void jt_work_tell(jt_work *w, jt_slot slot, int from) {
    const jt_branch *b = jt_work_branch(w, slot, true);
    for (int p = b && from < b->prompt ? b->prompt : from; b && p < b->n && jt_work_lives(w); p++)
        jt_work_fail(w, jt_inst_emit(w->d, w->j, w->i, &b->past->trail, (size_t)(p - b->prompt), &w->j->error));
}

void jt_work_norm(jt_work *w, const float *x, float *out) {
    const jt_evaluator *ev = &w->d->model->ev;
    if (!jt_work_lives(w)) return;
    jt_work_fail(w, ev->project ? ev->project(ev->self, x, true, out, NULL, &w->j->error)
                                : jt_error_set(&w->j->error, JT_UNSUPPORTED, "this model has no final norm that the strategy %s could use",
                                               w->i->node->m->name));
}

void jt_work_say(jt_work *w, jt_slot slot, jt_decision made) {
    jt_work_push(w, slot, &made);
    jt_work_emit(w, &made);
    const jt_branch *b = w->i->level ? NULL : jt_work_at(w, slot); /* what the outermost strategy has said is not given again */
    if (b && b->past && b->past->refs == 1 && b->past->trail.sheet && b->n > b->prompt)
        jt_sheet_set(&b->past->trail.sheet[b->n - b->prompt - 1], NULL);
}

jt_end_reason jt_work_ends(const jt_work *w, jt_slot slot, const jt_decision *made) {
    const jt_branch *b = jt_work_at(w, slot);
    if (made->id < 0) return JT_END_DEAD;
    return jt_reply_why(w->d, w->j, made, b ? jt_work_length(w, slot) - b->prompt + 1 : 1);
}

double jt_work_u(const jt_work *w, jt_slot slot, const char *purpose, uint32_t index) {
    const jt_branch *b = jt_work_at(w, slot);
    return jt_random_u(&(jt_address){.seed = w->j->seed,
                                     .stream = b ? b->stream : w->j->stream,
                                     .position = (uint32_t)jt_work_length(w, slot),
                                     .site = jt_random_site(w->i->node->m->name, w->i->node->occurrence, purpose),
                                     .index = index});
}

/* ---- slots ---- */

void jt_work_drop(jt_work *w, jt_slot slot) {
    jt_branch *b = jt_work_branch(w, slot, false);
    if (!b) return;
    w->i->slot[slot] = NULL;
    jt_branch_free(w->d, w->j, b);
}

void jt_work_fork(jt_work *w, jt_slot to, jt_slot from, int tag) {
    jt_branch *b = jt_work_branch(w, from, false), *made = NULL;
    if (!b) return;
    if (to == from) {
        jt_work_fail(w, jt_error_set(&w->j->error, JT_INVALID, "the strategy %s forks slot %d onto itself", w->i->node->m->name, to));
        return;
    }
    jt_work_fail(w, jt_inst_slots(w->i, to, &w->j->error));
    if (w->status == JT_OK) jt_work_fail(w, jt_branch_fork(w->d, w->j, b, tag, &made, &w->j->error));
    if (w->status != JT_OK) return;
    jt_branch_free(w->d, w->j, w->i->slot[to]);
    w->i->slot[to] = made;
}

void jt_work_swap(jt_work *w, jt_slot a, jt_slot b) {
    if (!jt_work_lives(w)) return;
    jt_work_fail(w, jt_inst_slots(w->i, a > b ? a : b, &w->j->error));
    if (w->status != JT_OK || a < 0 || b < 0) return;
    jt_branch *t = w->i->slot[a];
    w->i->slot[a] = w->i->slot[b], w->i->slot[b] = t;
}

void jt_work_arrange(jt_work *w, jt_slot first, int n, const int16_t *src) {
    if (!jt_work_lives(w) || n < 1) return;
    jt_branch **now = jt_alloc((size_t)n, sizeof *now);
    if (!now) return jt_work_fail(w, jt_nomem(&w->j->error, "slots", (size_t)n, sizeof *now));
    bool fit = first >= 0 && n <= JT_SLOTS - first;
    jt_work_fail(w, jt_inst_slots(w->i, (jt_slot)(fit ? first + n - 1 : -1), &w->j->error));
    for (int k = 0; k < n && w->status == JT_OK; k++) {
        if (src[k] == k) continue;
        jt_branch *from = src[k] >= 0 && src[k] < n ? jt_work_branch(w, (jt_slot)(first + src[k]), false) : NULL;
        if (!from && w->status == JT_OK)
            jt_work_fail(w,
                         jt_error_set(&w->j->error, JT_INVALID, "the strategy %s arranges slot %d of %d", w->i->node->m->name, src[k], n));
        if (from) jt_work_fail(w, jt_branch_fork(w->d, w->j, from, k, &now[k], &w->j->error));
    }
    for (int k = 0; k < n; k++) {
        if (src[k] == k) continue;
        bool well = w->status == JT_OK;
        jt_branch_free(w->d, w->j, well ? w->i->slot[first + k] : now[k]);
        if (well) w->i->slot[first + k] = now[k];
    }
    jt_free(now);
}

/* The branch of the innermost main slot, without its transcript's inputs past `n`, takes the place of the slot's child. */
static void work_unseat(jt_work *w, jt_branch *b, int n) {
    jt_live *j = w->j;
    jt_branch *m = b, **at = NULL;
    while (m->child && m->child->slot[JT_MAIN]) at = &m->child->slot[JT_MAIN], m = *at;
    if (!at || m->child || m->follows >= 0) {
        jt_work_fail(w,
                     jt_error_set(&j->error, JT_INVALID, "the strategy %s truncates a child whose main slot is gone", w->i->node->m->name));
        return;
    }
    jt_trail said = b->said;
    int same = b->prompt;
    while (same < n && same < m->n && m->past->ids[same] == said.made[same - b->prompt].decision.id && !jt_branch_blend(m, same)) same++;
    jt_work_fail(w, jt_branch_truncate(w->d, m, same, &j->error));
    if (w->status == JT_OK) jt_work_fail(w, jt_shape_replay(w->d, j, m, &j->error));
    for (int p = same; p < n && w->status == JT_OK; p++) {
        jt_work_fail(w, jt_shape_push(w->d, j, m, &said.made[p - b->prompt], &j->error));
        if (w->status == JT_OK)
            jt_work_fail(w, jt_branch_append(j, m, &said.made[p - b->prompt], &said, (size_t)(p - b->prompt), NULL, 0, &j->error));
    }
    if (w->status != JT_OK) return;
    *at = NULL;
    jt_inst_unseat(w->d, j, b);
    jt_branch shell = *b;
    jt_grips_free(w->d, &m->grips);
    *b = *m;
    b->grips = shell.grips;
    jt_grips_truncate(w->d, &b->grips, n);
    b->stream = shell.stream, b->asked = false;
    jt_free(m);
}

void jt_work_truncate(jt_work *w, jt_slot slot, int n) {
    jt_branch *b = jt_work_branch(w, slot, false);
    jt_live *j = w->j;
    if (!b) return;
    if (n < b->prompt || n > jt_work_length(w, slot) || b->follows >= 0) {
        jt_work_fail(w, jt_error_set(&j->error, JT_INVALID, "the strategy %s truncates slot %d of %d inputs to %d", w->i->node->m->name,
                                     slot, jt_work_length(w, slot), n));
        return;
    }
    if (b->child) return work_unseat(w, b, n);
    jt_work_fail(w, jt_branch_truncate(w->d, b, n, &j->error));
    if (w->status == JT_OK) jt_work_fail(w, jt_shape_replay(w->d, j, b, &j->error));
    b->serial = ++j->serial;
}

int jt_work_length(const jt_work *w, jt_slot slot) {
    const jt_branch *b = jt_work_at(w, slot);
    if (b && b->follows >= 0) b = jt_work_at(w, (jt_slot)b->follows);
    return !b ? 0 : b->child ? b->prompt + b->n_said : b->n;
}

void jt_work_follow(jt_work *w, jt_slot slot, const char *role, jt_slot of) {
    jt_live *j = w->j;
    jt_branch *from = jt_work_branch(w, of, true), *b = NULL;
    if (!from) return;
    int model = role ? jt_driver_role(w->d, role) : from->model;
    if (model < 0 || slot == of) {
        jt_work_fail(w, jt_error_set(&j->error, JT_INVALID, "the strategy %s follows slot %d in slot %d on the model \"%s\", %s",
                                     w->i->node->m->name, of, slot, role ? role : "of that slot",
                                     model < 0 ? "which this driver lacks" : "which is itself"));
        return;
    }
    jt_work_fail(w, jt_inst_slots(w->i, slot, &j->error));
    if (w->status != JT_OK) return;
    b = w->i->slot[slot];
    if (!b || b->model != model || b->follows < 0) {
        jt_work_fail(w, jt_branch_new(w->d, j, model, &b, &j->error));
        if (w->status != JT_OK) return;
        jt_branch_free(w->d, j, w->i->slot[slot]);
        w->i->slot[slot] = b;
    }
    b->follows = of;
    if (j->model2 >= 0 && !b->shadow) jt_work_fail(w, jt_branch_second(w->d, j, from->past->ids, from->prompt, &b->shadow, &j->error));
}

void jt_work_as_choice(jt_work *w, jt_slot slot, uint32_t i) {
    jt_branch *b = jt_work_branch(w, slot, true);
    if (b) b->stream = jt_stream_choice(w->j->choice + i);
}

/* ---- children ---- */

/* The slot's branch moves into a new instance of the next strategy; what it has decided begins the transcript. */
static void work_seat(jt_work *w, jt_branch *b) {
    jt_live *j = w->j;
    jt_branch *m = jt_alloc(1, sizeof *m);
    jt_inst *c = NULL;
    jt_status e = m ? JT_OK : jt_nomem(&j->error, "a child", 1, sizeof *m);
    int n = b->n - b->prompt;
    jt_reply *a = e == JT_OK ? jt_alloc(1, sizeof *a) : NULL;
    if (e == JT_OK && !a) e = jt_nomem(&j->error, "a transcript", 1, sizeof *a);
    if (a) a->silent = true;
    if (e == JT_OK && n) e = jt_trail_reserve(j, &b->said, (size_t)n, &j->error);
    if (e == JT_OK) e = jt_inst_new(w->d, j, w->i->level + 1, b, &c, &j->error);
    if (c) c->slot[JT_MAIN] = NULL;
    for (int k = 0; e == JT_OK && k < n && a->end == JT_END_NONE; k++) {
        e = jt_reply_take(w->d, j, a, &b->past->trail, (size_t)k, &j->error);
        if (e == JT_OK) jt_trail_copy(j, &b->said, (size_t)k, &b->past->trail, (size_t)k, 1), b->n_said = k + 1;
    }
    if (e != JT_OK || !c) {
        jt_free(m);
        jt_reply_free(a);
        jt_inst_free(w->d, j, c);
        return jt_work_fail(w, e);
    }
    jt_branch shell = {.serial = b->serial,
                       .follows = -1,
                       .prompt = b->prompt,
                       .stream = b->stream,
                       .child = c,
                       .said = b->said,
                       .n_said = b->n_said,
                       .reply = a};
    shell.model = b->model, shell.forwarded = b->n_said;
    *m = *b;
    m->said = (jt_trail){0}, m->n_said = 0;
    shell.grips = b->grips, m->grips = (jt_grips){0}; /* they are the strategy's, not the child's */
    *b = shell;
    c->slot[JT_MAIN] = m;
}

void jt_work_child(jt_work *w, jt_slot slot, int n) {
    jt_branch *b = jt_work_branch(w, slot, false);
    jt_inst *i = w->i;
    jt_live *j = w->j;
    if (!b) return;
    if (!i->node->m->strategy.inner || i->level + 1 >= j->pipeline->n_strategy || b->follows >= 0 || n < 0 ||
        (b->reply && b->reply->end != JT_END_NONE)) {
        jt_work_fail(w, jt_error_set(&j->error, JT_INVALID, "the strategy %s runs slot %d, %s", i->node->m->name, slot,
                                     b->reply && b->reply->end != JT_END_NONE ? "which has ended" : "which can have no child"));
        return;
    }
    if (!b->child && b->n_twig) jt_work_fail(w, jt_branch_prune(w->d, b, &j->error));
    if (!b->child && w->status == JT_OK) work_seat(w, b);
    size_t at = i->n_ran + i->n_ran_late;
    if (w->status == JT_OK) jt_work_fail(w, jt_grow((void **)&i->ran, &i->cap_ran, at + 1, sizeof *i->ran, &j->error));
    if (w->status != JT_OK) return;
    i->ran[at] = slot, i->n_ran_late++;
    b->run = n ? n : -1;
}

void jt_work_forward(jt_work *w, jt_slot slot) {
    jt_branch *b = jt_work_branch(w, slot, false);
    while (b && b->forwarded < b->n_said && jt_work_lives(w))
        jt_work_fail(w, jt_inst_emit(w->d, w->j, w->i, &b->said, (size_t)b->forwarded++, &w->j->error));
}

/* ---- answers ---- */

void jt_work_emit(jt_work *w, const jt_decision *made) {
    jt_made bare;
    jt_trail one;
    if (!jt_work_lives(w)) return;
    if (made->id < 0) return jt_work_done(w, JT_END_DEAD);
    if (made->id >= w->d->model->ev.vocab)
        return jt_work_fail(w, jt_error_set(&w->j->error, JT_INVALID, "the strategy %s writes token %d, outside of the vocabulary",
                                            w->i->node->m->name, (int)made->id));
    jt_work_fail(w, jt_inst_emit(w->d, w->j, w->i, work_record(w, made, &bare, &one), 0, &w->j->error));
}

static void work_yield_up(jt_work *w, const jt_trail *t, int n, int choice) {
    if (choice)
        return jt_work_fail(w, jt_error_set(&w->j->error, JT_INVALID, "the strategy %s gives answer %d inside another strategy",
                                            w->i->node->m->name, choice));
    for (int k = 0; k < n && jt_work_lives(w); k++) jt_work_fail(w, jt_inst_emit(w->d, w->j, w->i, t, (size_t)k, &w->j->error));
}

void jt_work_yield(jt_work *w, jt_slot slot, int choice, const int32_t *note, int n_note) {
    jt_branch *b = jt_work_branch(w, slot, false);
    jt_live *j = w->j;
    if (!b) return;
    const jt_trail *t = b->child ? &b->said : &b->past->trail;
    int n = b->child ? b->n_said : b->n - b->prompt;
    for (size_t k = 0; !choice && k < w->i->n_slot; k++)
        if (w->i->slot[k]) w->i->slot[k]->chosen = (jt_slot)k == slot;
    if (w->i->level) return work_yield_up(w, t, n, choice);
    jt_reply *a = jt_alloc(1, sizeof *a), **at;
    jt_status e = a ? JT_OK : jt_nomem(&j->error, "an answer", 1, sizeof *a);
    if (a) a->index = choice, a->whole = true;
    if (e == JT_OK && n_note && !(a->note = jt_alloc((size_t)n_note, sizeof *a->note)))
        e = jt_nomem(&j->error, "the notes of an answer", (size_t)n_note, sizeof *a->note);
    for (int k = 0; e == JT_OK && k < n && a->end == JT_END_NONE; k++) e = jt_reply_take(w->d, j, a, t, (size_t)k, &j->error);
    if (e != JT_OK) {
        jt_reply_free(a);
        return jt_work_fail(w, e);
    }
    if (n_note) memcpy(a->note, note, (size_t)n_note * sizeof *note);
    a->n_note = n_note;
    jt_reply_end(w->d, j, a, b->reply && b->reply->end != JT_END_NONE ? b->reply->end : j->last != JT_END_NONE ? j->last : JT_END_STOP);
    for (at = &j->first; *at; at = &(*at)->next) {
    }
    *at = a;
    j->n_yielded++;
    if (!choice) j->zero = a->end, j->zero_tokens = a->n, j->zero_first = a->first;
}

void jt_work_done(jt_work *w, jt_end_reason why) {
    if (!jt_work_lives(w)) return;
    if (w->i->level)
        w->i->done = true, w->i->end = why;
    else
        jt_live_end(w->d, w->j, w->j->zero != JT_END_NONE ? w->j->zero : why);
}
