/* captures.c: rows that taps read, on their way to the strategy that set the taps.
 * They are taken while an evaluation runs, stay when it has succeeded, and go with the
 * next advance of that strategy. Their order follows from slots and positions, never
 * from how prompts were cut. */
#include <stdlib.h>
#include <string.h>

#include "decode/driver.h"

enum { CAUGHT_MOST = 16 << 20 }; /* floats that wait in one strategy: 64 MiB */

/* The strategy of that level around `in`, and its slot. */
static jt_inst *catch_above(jt_inst *top, const jt_inst *in, int level, jt_slot *slot) {
    if (top == in) return top;
    for (size_t k = 0; k < top->n_slot; k++) {
        jt_inst *c = top->slot[k] ? top->slot[k]->child : NULL, *found = c ? catch_above(c, in, level, slot) : NULL;
        if (!found) continue;
        if (top->level != level) return found;
        *slot = (jt_slot)k;
        return top;
    }
    return NULL;
}

void jt_catch_row(jt_live *j, const jt_part *p, int node, int layer, int tag, const float *x, int width) {
    const jt_branch *b = p->branch;
    jt_slot slot = p->slot;
    const jt_worn *v = b->on[JT_ATTR_TAPS];
    jt_inst *i = v && j->end == JT_END_NONE && j->caught == JT_OK ? catch_above(j->root, p->inst, v->level, &slot) : NULL;
    if (!i) return;
    jt_catch *c = &i->caught;
    size_t n = c->n + c->n_late, at = c->n_x + c->n_x_late;
    if (at + (size_t)width > CAUGHT_MOST)
        j->caught =
            jt_error_set(&j->error, JT_LIMIT, "the strategy %s captures more than %d MiB at once; give its taps fewer rows or layers",
                         i->node->m->name, CAUGHT_MOST >> 18);
    if (j->caught == JT_OK) j->caught = jt_grow((void **)&c->row, &c->cap, n + 1, sizeof *c->row, &j->error);
    if (j->caught == JT_OK) j->caught = jt_grow((void **)&c->x, &c->cap_x, at + (size_t)width, sizeof *c->x, &j->error);
    if (j->caught != JT_OK) return;
    memcpy(c->x + at, x, (size_t)width * sizeof *x);
    int twig = node - b->n;
    jt_captured row = {.slot = slot, .position = node, .node = -1, .layer = layer, .tag = tag, .width = width};
    if (twig >= 0) row.node = twig, row.position = b->n + b->twig[twig].depth;
    c->row[n] = (jt_caught){.c = row, .at = at};
    c->n_late++, c->n_x_late += (size_t)width;
    j->catching = true;
}

static void catch_settle(jt_inst *i, bool stays) {
    jt_catch *c = &i->caught;
    if (stays) c->n += c->n_late, c->n_x += c->n_x_late;
    c->n_late = c->n_x_late = 0;
    for (size_t k = 0; k < i->n_slot; k++)
        if (i->slot[k] && i->slot[k]->child) catch_settle(i->slot[k]->child, stays);
}

void jt_catch_settle(jt_live *j, bool stays) {
    if (j->catching) catch_settle(j->root, stays);
    j->catching = false;
}

static int catch_order(const void *x, const void *y) {
    const jt_caught *a = x, *b = y;
    if (a->c.slot != b->c.slot) return a->c.slot < b->c.slot ? -1 : 1;
    if (a->c.position != b->c.position) return a->c.position < b->c.position ? -1 : 1;
    if (a->c.node != b->c.node) return a->c.node < b->c.node ? -1 : 1;
    return a->at < b->at ? -1 : 1;
}

jt_status jt_catch_results(jt_inst *i, jt_results *r, jt_error *err) {
    jt_catch *c = &i->caught;
    jt_status e = c->n ? jt_grow((void **)&c->out, &c->cap_out, c->n, sizeof *c->out, err) : JT_OK;
    if (e != JT_OK) return e;
    if (c->n) qsort(c->row, c->n, sizeof *c->row, catch_order);
    for (size_t k = 0; k < c->n; k++) {
        c->out[k] = c->row[k].c;
        c->out[k].x = c->x + c->row[k].at;
    }
    r->captured = c->out, r->n_captured = (int)c->n;
    return JT_OK;
}

jt_status jt_catch_copy(const jt_inst *from, jt_inst *to, jt_error *err) {
    const jt_catch *f = &from->caught;
    jt_catch *c = &to->caught;
    if (!f->n) return JT_OK;
    jt_status e = jt_grow((void **)&c->row, &c->cap, f->n, sizeof *c->row, err);
    if (e == JT_OK) e = jt_grow((void **)&c->x, &c->cap_x, f->n_x, sizeof *c->x, err);
    if (e != JT_OK) return e;
    memcpy(c->row, f->row, f->n * sizeof *c->row), memcpy(c->x, f->x, f->n_x * sizeof *c->x);
    c->n = f->n, c->n_x = f->n_x;
    return JT_OK;
}
