/* finish.c: the end of a job that is out of time or cancelled. What its strategies
 * have is not lost: children end where they stand, and whoever waits for them alone
 * goes on as if they had ended by themselves, the innermost first. */
#include "decode/driver.h"

enum { FINISH_TURNS = 1000 }; /* of one strategy that runs ever more children */

static void finish_inst(jt_driver *d, jt_live *j, jt_inst *i);

static void finish_child(jt_driver *d, jt_live *j, jt_branch *b) {
    jt_status e = jt_inst_listen(d, j, b, &j->error);
    if (e == JT_OK && b->run) finish_inst(d, j, b->child);
    if (e == JT_OK && b->run && j->end == JT_END_NONE) e = jt_inst_listen(d, j, b, &j->error);
    if (e != JT_OK && j->end == JT_END_NONE) jt_live_end(d, j, JT_END_ERROR);
    jt_reply_end(d, j, b->reply, j->last);
    b->run = 0;
}

static void finish_inst(jt_driver *d, jt_live *j, jt_inst *i) {
    for (int turn = 0; turn < FINISH_TURNS && !i->done && j->end == JT_END_NONE; turn++) {
        bool rows = i->n_asked > 0, waits = false, last = rows && i->node->m->strategy.unfinished;
        for (size_t k = 0; k < i->n_ran; k++) {
            jt_branch *b = i->slot[i->ran[k]];
            if (b && b->child && b->run) finish_child(d, j, b);
        }
        for (size_t k = 0; k < i->n_asked; k++) waits |= !i->asked[k].ready;
        if (j->end != JT_END_NONE || (!last && (waits || !i->n_ran))) return;
        if (waits) jt_inst_forget(j, i);
        jt_inst_advance(d, j, i);
        if (last) return;
    }
}

void jt_live_finish(jt_driver *d, jt_live *j, jt_end_reason why) {
    j->last = why;
    j->deadline = INFINITY;
    finish_inst(d, j, j->root);
    if (j->end == JT_END_NONE)
        jt_live_end(d, j, j->zero != JT_END_NONE && why != JT_END_CANCELLED ? j->zero : why);
    else if (j->end == JT_END_ERROR || why == JT_END_CANCELLED)
        j->end = why;
}
