/* branch.c: what a branch is made of. The past and the states of the stages are
 * counted references; who writes while others share makes a copy first, so that a
 * fork costs some pointers. */
#include "decode/driver.h"
#include <assert.h>

#include <limits.h>
#include <string.h>

#include "core/random.h"

/* ---- trails ---- */

static size_t trail_stages(const jt_live *j) { return j->trace ? (size_t)j->most_stage : 0; }

jt_status jt_trail_reserve(const jt_live *j, jt_trail *t, size_t n, jt_error *err) {
    size_t top = (size_t)j->top, stages = trail_stages(j), cap = n > 2 * t->cap ? n : 2 * t->cap;
    if (n <= t->cap) return JT_OK;
    void *p = jt_realloc(t->made, cap, sizeof *t->made);
    if (!p) return jt_nomem(err, "decisions", cap, sizeof *t->made);
    t->made = p;
    if (top) {
        if (!(p = jt_realloc(t->top, cap, top * sizeof *t->top))) return jt_nomem(err, "candidates", cap, top * sizeof *t->top);
        t->top = p;
    }
    if (stages) {
        if (!(p = jt_realloc(t->stage, cap, stages * sizeof *t->stage))) return jt_nomem(err, "a trace", cap, stages * sizeof *t->stage);
        t->stage = p;
    }
    if (j->trace) {
        if (!(p = jt_realloc(t->sheet, cap, sizeof *t->sheet))) return jt_nomem(err, "a trace", cap, sizeof *t->sheet);
        t->sheet = p;
        memset(t->sheet + t->cap, 0, (cap - t->cap) * sizeof *t->sheet);
    }
    t->cap = cap;
    return JT_OK;
}

void jt_trail_copy(const jt_live *j, jt_trail *t, size_t to, const jt_trail *f, size_t from, size_t n) {
    size_t top = (size_t)j->top, stages = trail_stages(j);
    if (!n) return;
    memcpy(t->made + to, f->made + from, n * sizeof *t->made);
    for (size_t i = 0; i < n; i++) {
        bool traced = f->made[from + i].traced;
        if (t->sheet) jt_sheet_set(&t->sheet[to + i], traced && f->sheet ? f->sheet[from + i] : NULL);
        if (!traced) continue;
        if (top) memcpy(t->top + (to + i) * top, f->top + (from + i) * top, top * sizeof *t->top);
        if (stages) memcpy(t->stage + (to + i) * stages, f->stage + (from + i) * stages, stages * sizeof *t->stage);
    }
}

void jt_trail_free(jt_trail *t) {
    for (size_t i = 0; t->sheet && i < t->cap; i++) jt_sheet_put(t->sheet[i]);
    jt_free(t->made), jt_free(t->top), jt_free(t->stage), jt_free(t->sheet);
    *t = (jt_trail){0};
}

/* ---- pasts ---- */

static void past_drop(jt_past *p) {
    if (!p || --p->refs) return;
    jt_trail_free(&p->trail);
    jt_free(p->ids), jt_free(p->blend), jt_free(p->blend_id), jt_free(p->blend_w);
    jt_free(p);
}

static jt_status past_reserve(const jt_live *j, jt_past *p, size_t prompt, size_t n, jt_error *err) {
    if (n <= p->cap) return JT_OK;
    jt_status e = jt_trail_reserve(j, &p->trail, n > prompt ? n - prompt : 0, err);
    if (e == JT_OK) e = jt_grow((void **)&p->ids, &p->cap, n, sizeof *p->ids, err);
    if (e == JT_OK) e = jt_trail_reserve(j, &p->trail, p->cap > prompt ? p->cap - prompt : 0, err);
    return e;
}

static jt_status past_blend(jt_past *p, int position, int n, const int32_t *ids, const float *w, size_t used, jt_error *err) {
    size_t at = p->n_blend ? p->blend[p->n_blend - 1].at + p->blend[p->n_blend - 1].used : 0;
    jt_status e = jt_grow((void **)&p->blend, &p->cap_blend, p->n_blend + 1, sizeof *p->blend, err);
    if (e == JT_OK) e = jt_grow((void **)&p->blend_id, &p->cap_blend_id, at + used, sizeof *p->blend_id, err);
    if (e == JT_OK) e = jt_grow((void **)&p->blend_w, &p->cap_blend_w, at + used, sizeof *p->blend_w, err);
    if (e != JT_OK) return e;
    if (n) memcpy(p->blend_id + at, ids, used * sizeof *ids);
    memcpy(p->blend_w + at, w, used * sizeof *w);
    p->blend[p->n_blend++] = (jt_blend){.position = position, .n = n, .at = at, .used = used};
    return JT_OK;
}

static void past_forget_blends(jt_past *p, int n) {
    while (p->n_blend && p->blend[p->n_blend - 1].position >= n) p->n_blend--;
}

jt_status jt_branch_own(const jt_live *j, jt_branch *b, int n, jt_error *err) {
    jt_past *p = b->past, *q;
    size_t prompt = (size_t)b->prompt, have = (size_t)b->n;
    if (p && p->refs == 1) {
        past_forget_blends(p, b->n);
        return past_reserve(j, p, prompt, (size_t)n, err);
    }
    q = jt_alloc(1, sizeof *q);
    if (!q) return jt_nomem(err, "the inputs of a branch", 1, sizeof *q);
    q->refs = 1;
    jt_status e = past_reserve(j, q, prompt, (size_t)n + 32, err);
    for (size_t i = 0; e == JT_OK && p && i < p->n_blend && p->blend[i].position < b->n; i++) {
        const jt_blend *x = &p->blend[i];
        e = past_blend(q, x->position, x->n, p->blend_id + x->at, p->blend_w + x->at, x->used, err);
    }
    if (e != JT_OK) return past_drop(q), e;
    if (p && have) memcpy(q->ids, p->ids, have * sizeof *q->ids);
    if (p && have > prompt) jt_trail_copy(j, &q->trail, 0, &p->trail, 0, have - prompt);
    past_drop(p);
    b->past = q;
    return JT_OK;
}

const jt_blend *jt_branch_blend(const jt_branch *b, int p) {
    size_t low = 0, high = b->past->n_blend;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (b->past->blend[mid].position < p)
            low = mid + 1;
        else
            high = mid;
    }
    return low < b->past->n_blend && b->past->blend[low].position == p ? &b->past->blend[low] : NULL;
}

jt_status jt_branch_append(jt_live *j, jt_branch *b, const jt_made *made, const jt_trail *t, size_t at, const jt_input *in, int hidden,
                           jt_error *err) {
    jt_status e = jt_branch_own(j, b, b->n + 1, err);
    if (e == JT_OK && in)
        e = past_blend(b->past, b->n, in->n, in->ids, in->n ? in->w : in->vec, in->n ? (size_t)in->n : (size_t)hidden, err);
    if (e != JT_OK) return e;
    b->past->ids[b->n] = made->decision.id;
    if (b->n >= b->prompt) {
        size_t k = (size_t)(b->n - b->prompt);
        if (t)
            jt_trail_copy(j, &b->past->trail, k, t, at, 1);
        else
            b->past->trail.made[k] = *made, b->past->trail.made[k].traced = false;
    }
    b->n++;
    return JT_OK;
}

/* ---- stages' states ---- */

static void stages_drop(jt_stages *s) {
    if (s && !--s->refs) jt_free(s);
}

jt_status jt_branch_own_stages(const jt_live *j, jt_branch *b, jt_error *err) {
    if (b->stages->refs == 1) return JT_OK;
    jt_stages *s = jt_alloc(1, sizeof *s + j->stage_bytes);
    if (!s) return jt_nomem(err, "the states of a branch's stages", 1, j->stage_bytes);
    memcpy(s->bytes, b->stages->bytes, j->stage_bytes);
    s->refs = 1;
    stages_drop(b->stages);
    b->stages = s;
    return JT_OK;
}

/* ---- branches ---- */

static jt_status branch_make(jt_driver *d, jt_live *j, int model, int context, jt_branch **out, jt_error *err) {
    jt_branch *b = jt_alloc(1, sizeof *b);
    if (!b) return jt_nomem(err, "a branch", 1, sizeof *b);
    b->serial = ++j->serial, b->model = model, b->follows = -1, b->prompt = j->n_prompt, b->bent = INT_MAX, b->stream = j->stream;
    const jt_evaluator *ev = &d->model[model].ev;
    jt_status e = (j->raw_keys ? ev->open_raw : ev->open)(ev->self, context, &b->state, err);
    if (e != JT_OK) return jt_free(b), e;
    *out = b;
    return JT_OK;
}

jt_status jt_branch_new(jt_driver *d, jt_live *j, int model, jt_branch **out, jt_error *err) {
    return branch_make(d, j, model, j->context, out, err);
}

/* What the stage puts in the place of the prompt. The answer has as much room behind it as behind the prompt. */
static jt_status branch_apart(jt_driver *d, jt_live *j, const jt_setup *u, jt_branch **out, jt_error *err) {
    const jt_method *m = j->prompt2->m;
    int32_t *ids = jt_alloc((size_t)j->context, sizeof *ids);
    jt_branch *b = NULL;
    int n = 0;
    jt_status e = ids ? m->prompt2(j->prompt2->par, u, ids, j->context, &n, err) : jt_nomem(err, "a prompt", 1, (size_t)j->context);
    if (e == JT_OK && (n < 1 || n >= j->context))
        e = jt_error_set(err, JT_LIMIT, "the other prompt of stage %s has %d tokens and the declared context %d", m->name, n, j->context);
    if (e == JT_OK) e = branch_make(d, j, 0, j->context + (n > u->n_prompt ? n - u->n_prompt : 0), &b, err);
    if (e == JT_OK) b->prompt = n, b->apart = true, e = jt_branch_own(j, b, n, err);
    for (int i = 0; e == JT_OK && i < n; i++) {
        if (ids[i] < 0 || ids[i] >= u->vocab)
            e = jt_error_set(err, JT_INVALID, "the other prompt of stage %s has token %d, outside of the vocabulary", m->name, (int)ids[i]);
        else
            b->past->ids[b->n++] = ids[i];
    }
    if (e == JT_OK && j->adapter) e = jt_attr_set(d, b, JT_ATTR_ADAPTER, 0, 0, j->adapter, err);
    jt_free(ids);
    if (e != JT_OK) return jt_branch_free(d, j, b), e;
    j->n_prompt2 = n;
    *out = b;
    return JT_OK;
}

jt_status jt_branch_second(jt_driver *d, jt_live *j, const int32_t *ids, int n, jt_branch **out, jt_error *err) {
    jt_branch *b = NULL;
    if (j->model2 < 0) return JT_OK;
    if (j->prompt2) {
        jt_setup u = {.vocab = d->model->ev.vocab,
                      .tokenizer = j->prompt2->m->needs & JT_NEEDS_TOKENIZER ? d->model->ev.tokenizer : NULL,
                      .prompt = ids,
                      .n_prompt = n,
                      .context = j->context,
                      .layers = d->model->ev.layers,
                      .hidden = d->model->ev.hidden};
        return branch_apart(d, j, &u, out, err);
    }
    jt_status e = branch_make(d, j, j->model2, j->context, &b, err);
    if (e == JT_OK) b->prompt = n, e = jt_branch_own(j, b, n, err);
    if (e != JT_OK) return jt_branch_free(d, j, b), e;
    memcpy(b->past->ids, ids, (size_t)n * sizeof *ids);
    b->n = n;
    *out = b;
    return JT_OK;
}

void jt_branch_free(jt_driver *d, jt_live *j, jt_branch *b) {
    if (!b) return;
    jt_branch_free(d, j, b->shadow);
    jt_inst_free(d, j, b->child);
    jt_trail_free(&b->said);
    jt_reply_free(b->reply);
    if (b->state) d->model[b->model].ev.close(d->model[b->model].ev.self, b->state);
    past_drop(b->past);
    stages_drop(b->stages), stages_drop(b->fresh);
    jt_attr_free(b);
    jt_grips_free(d, &b->grips);
    jt_free(b->twig), jt_free(b->mix_id), jt_free(b->mix_w);
    jt_free(b);
}

void jt_branch_restream(jt_branch *b, int tag) {
    b->stream = jt_stream_fork(b->stream, (uint32_t)tag);
    for (size_t i = 0; b->child && i < b->child->n_slot; i++)
        if (b->child->slot[i]) jt_branch_restream(b->child->slot[i], tag);
}

jt_status jt_branch_fork(jt_driver *d, jt_live *j, const jt_branch *from, int tag, jt_branch **out, jt_error *err) {
    const jt_evaluator *ev = &d->model[from->model].ev;
    jt_branch *b = jt_alloc(1, sizeof *b);
    if (!b) return jt_nomem(err, "a branch", 1, sizeof *b);
    b->serial = ++j->serial, b->model = from->model, b->stream = from->stream, b->follows = from->follows;
    b->n = from->n, b->evaluated = from->evaluated, b->bent = from->bent;
    b->chain = from->chain;
    if ((b->past = from->past)) b->past->refs++;
    if ((b->stages = from->stages)) b->stages->refs++;
    if ((b->fresh = from->fresh)) b->fresh->refs++;
    b->prompt = from->prompt, b->apart = from->apart;
    jt_status e = from->state ? ev->fork(ev->self, from->state, &b->state, err) : JT_OK;
    if (e == JT_OK) e = jt_attr_copy(from, b, err);
    if (e == JT_OK) e = jt_grips_copy(&from->grips, &b->grips, err);
    if (e == JT_OK && from->grown) e = ev->truncate(ev->self, b->state, b->evaluated, err);
    if (e == JT_OK && from->shadow) e = jt_branch_fork(d, j, from->shadow, -1, &b->shadow, err);
    if (e == JT_OK && from->reply) e = jt_reply_copy(from->reply, &b->reply, err);
    if (e == JT_OK && from->n_said) e = jt_trail_reserve(j, &b->said, (size_t)from->n_said, err);
    if (e == JT_OK) {
        jt_trail_copy(j, &b->said, 0, &from->said, 0, (size_t)from->n_said);
        b->n_said = from->n_said, b->forwarded = from->forwarded;
    }
    if (e == JT_OK && from->child) e = jt_inst_fork(d, j, from->child, -1, &b->child, err);
    if (e != JT_OK) return jt_branch_free(d, j, b), e;
    if (tag >= 0) jt_branch_restream(b, tag);
    *out = b;
    return JT_OK;
}

jt_status jt_branch_prune(jt_driver *d, jt_branch *b, jt_error *err) {
    const jt_evaluator *ev = &d->model[b->model].ev;
    jt_status e = b->grown ? ev->truncate(ev->self, b->state, b->evaluated, err) : JT_OK;
    if (e == JT_OK) b->grown = false;
    if (e == JT_OK && b->shadow) e = jt_branch_prune(d, b->shadow, err);
    if (e == JT_OK) b->n_twig = 0;
    return e;
}

jt_status jt_branch_truncate(jt_driver *d, jt_branch *b, int n, jt_error *err) {
    const jt_evaluator *ev = &d->model[b->model].ev;
    jt_status e = jt_branch_prune(d, b, err);
    int stays = n < b->n ? jt_group_cut(b, n) : n; /* what is left of a group is another group */
    if (e == JT_OK && stays < b->evaluated) {
        e = ev->truncate(ev->self, b->state, stays, err);
        if (e == JT_OK) b->evaluated = stays;
    }
    int keep = b->shadow && b->shadow->apart ? (n > b->prompt ? n - b->prompt : 0) + b->shadow->prompt : n;
    if (e == JT_OK && b->shadow) e = jt_branch_truncate(d, b->shadow, keep, err);
    if (e == JT_OK && n < b->n) {
        b->n = n;
        jt_grips_truncate(d, &b->grips, n);
        jt_attr_truncate(b, n);
    }
    if (e == JT_OK && n <= b->bent) b->bent = INT_MAX;
    return e;
}

/* Whether input p of a is input q of b. */
static bool branch_same(const jt_branch *a, int p, const jt_branch *b, int q) {
    assert(a->past && b->past);
    const jt_blend *x = a->past->n_blend ? jt_branch_blend(a, p) : NULL, *y = b->past->n_blend ? jt_branch_blend(b, q) : NULL;
    if (!x || !y) return x == y && a->past->ids[p] == b->past->ids[q];
    return x->n == y->n && x->used == y->used && (!x->n || !memcmp(a->past->blend_id + x->at, b->past->blend_id + y->at, x->used * 4)) &&
           !memcmp(a->past->blend_w + x->at, b->past->blend_w + y->at, x->used * 4);
}

static int branch_common(const jt_branch *a, const jt_branch *b) {
    int same = 0, most = a->n < b->n ? a->n : b->n;
    while (same < most && branch_same(a, same, b, same)) same++;
    return same;
}

/* Of a shadow with a prompt of its own, the inputs that stay beside `of`. */
static int branch_common_apart(const jt_branch *b, const jt_branch *of) {
    int k = 0;
    while (b->prompt + k < b->n && of->prompt + k < of->n && branch_same(b, b->prompt + k, of, of->prompt + k)) k++;
    return b->prompt + k;
}

bool jt_branch_alike(const jt_branch *b, const jt_branch *of) { return b->n == of->n && branch_common(b, of) == b->n; }

/* Appends input p of `of`. */
static jt_status branch_repeat(jt_driver *d, jt_live *j, jt_branch *b, const jt_branch *of, int p, jt_error *err) {
    const jt_blend *x = of->past->n_blend ? jt_branch_blend(of, p) : NULL;
    jt_input in = {0};
    if (x) in = (jt_input){.n = x->n, .ids = of->past->blend_id + x->at, .w = of->past->blend_w + x->at, .vec = of->past->blend_w + x->at};
    if (x && !x->n && d->model[b->model].ev.hidden != d->model[of->model].ev.hidden)
        return jt_error_set(err, JT_INVALID, "a vector made for one model cannot be the input of another of another width");
    jt_made made = {.decision = {.id = of->past->ids[p], .position = p}};
    return jt_branch_append(j, b, &made, NULL, 0, x ? &in : NULL, d->model[b->model].ev.hidden, err);
}

jt_status jt_branch_sync(jt_driver *d, jt_live *j, jt_branch *b, const jt_branch *of, jt_error *err) {
    if (b->apart) {
        int same = branch_common_apart(b, of);
        jt_status e = jt_branch_truncate(d, b, same, err);
        for (int p = of->prompt + same - b->prompt; e == JT_OK && p < of->n; p++) e = branch_repeat(d, j, b, of, p, err);
        return e;
    }
    if (b->prompt != of->prompt && b->past) { /* another text: nothing of it stays */
        jt_status cut = jt_branch_truncate(d, b, 0, err);
        if (cut != JT_OK) return cut;
        past_drop(b->past);
        b->past = NULL;
    }
    b->prompt = of->prompt;
    int same = b->past ? branch_common(b, of) : 0;
    jt_status e = b->grown && same == b->n ? jt_tree_follow(d, j, b, of, err) : JT_OK;
    if (b->n > same) same = branch_common(b, of);
    if (e == JT_OK) e = jt_branch_truncate(d, b, same, err);
    for (int p = same; e == JT_OK && p < of->n; p++) e = branch_repeat(d, j, b, of, p, err);
    return e;
}
