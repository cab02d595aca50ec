/* work.h: what the requests of strategies have in common. */
#ifndef JT_DECODE_WORK_H
#define JT_DECODE_WORK_H

#include "decode/driver.h"

/* Whether requests still count. */
static inline bool jt_work_lives(const jt_work *w) { return w->status == JT_OK && !w->i->done && w->j->end == JT_END_NONE; }

/* Keeps the first failure. */
static inline void jt_work_fail(jt_work *w, jt_status e) {
    if (w->status == JT_OK) w->status = e;
}

static inline jt_branch *jt_work_at(const jt_work *w, jt_slot slot) {
    return slot >= 0 && (size_t)slot < w->i->n_slot ? w->i->slot[slot] : NULL;
}

/* The inputs that begin with the slot's prompt: its own, or those of the main slot of its child, however deep. NULL: gone. */
const jt_past *jt_judge_past(const jt_branch *b);
/* The slot's branch, or a failure. leaf: no child may be in it. */
jt_branch *jt_work_branch(jt_work *w, jt_slot slot, bool leaf);
/* The same for one that is written: its tree is gone. */
jt_branch *jt_work_write(jt_work *w, jt_slot slot);
/* Asks for a row of the slot, with the wants of `like`. */
jt_asked *jt_work_ask(jt_work *w, jt_slot slot, int node, const jt_row *like);

#endif
