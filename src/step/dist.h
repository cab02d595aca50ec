/* dist.h: the inside of a dist, for the driver and tests. Hooks see jeton/method.h.
 *
 * A dist has one of two forms. *Dense*: `x[id]` for the whole vocabulary, -inf for
 * what is no candidate; it is the model's own row until something writes. *Listed*:
 * cand[0..count) are all the candidates. Loading gives a dense dist, cutting a
 * listed one; the form depends on the operations alone, never on what was read,
 * so that sums have one order and results do not depend on who looked before.
 *
 * A division of a dense dist waits (`by` is not 0) until something other than the order
 * reads it; the order divides what it collects.
 *
 * In both, cand[0..sorted) is the beginning of the order. A dense dist grows it by
 * selection: a threshold that at least n candidates reach, one pass to collect
 * those, and a sort of them alone. */
#ifndef JT_STEP_DIST_H
#define JT_STEP_DIST_H

#include "jeton/method.h"
#include "tensor/kernels.h"

enum { JT_DIST_BLOCK = JT_SCAN, JT_DIST_BINS = 2048 };

struct jt_dist {
    const jt_kernels *k;
    int vocab, count;
    bool listed;
    const float *x;      /* dense: [vocab] by id; may be the caller's row */
    float *own;          /* [vocab]: what x is once it was written to */
    jt_cand *cand, *tmp; /* [vocab] each; tmp is scratch */
    int32_t *where;      /* [vocab]: listed and `indexed`: cand[where[id]].id == id for candidates, else anything */
    float *e;            /* [vocab + 16]: exp(cand[i].logit - max) for i < made */
    const float *top;    /* the largest x of each block of JT_DIST_BLOCK ids, in `block`; NULL: to be made */
    float *block;        /* room for that, and scratch of the same size */
    int32_t *place;      /* [vocab + 16]: scratch, as is value */
    float *value;
    float base, by; /* dense, by > 0: every logit is (x - base) / by */
    uint64_t *bits; /* listed and `by_id`: one bit per id, set for candidates */
    uint32_t *bin;  /* histogram of the selection */
    int sorted, made;
    bool indexed, by_id, has_max, has_sum, has_entropy;
    float max;
    double sum, entropy; /* of exp(logit - max); nats */
    const char *fault;   /* what a hook tried that cannot be, with the id; NULL: nothing */
    int32_t fault_id;
};

/* All memory a dist ever needs, about 40 bytes per id of the vocabulary. Free with jt_dist_free. */
jt_status jt_dist_new(int vocab, const jt_kernels *k, jt_dist **out, jt_error *err);
void jt_dist_free(jt_dist *d);

/* Makes the dist that of logits[0..vocab), which must stay as they are until the
 * next load. -inf marks what is no candidate; NaN and +inf are JT_INVALID, naming the token. */
jt_status jt_dist_load(jt_dist *d, const float *logits, jt_error *err);
/* Makes d the listed dist of these candidates, n of them, in any order. */
void jt_dist_load_list(jt_dist *d, const jt_cand *cand, int n);
/* Makes `to` what a dense `from` is, without a pass; it shares from's row until it writes. */
void jt_dist_view(jt_dist *to, const jt_dist *from);
/* Makes `to` (of the same vocabulary) equal to `from`, with memory of its own. */
void jt_dist_copy(jt_dist *to, const jt_dist *from);

/* JT_INVALID if a hook gave a logit that is no number, named a token outside of the vocabulary, or divided by no positive
 * number since the dist was made; the dist itself was left as it was. */
jt_status jt_dist_sound(const jt_dist *d, jt_error *err);

/* Forgets what was derived from the logits. */
void jt_dist_changed(jt_dist *d);
/* Divides a dense dist, if that waits. */
void jt_dist_settle(jt_dist *d);
/* Gives a dense dist logits of its own, which are about to change. */
void jt_dist_own(jt_dist *d);
/* What x becomes by the division that waits. */
float jt_dist_divided(const jt_dist *d, float x);
/* The largest x of each block. */
const float *jt_dist_blocks(jt_dist *d);
/* Of at least one candidate: the largest logit, and the sum of exp(logit - max). */
float jt_dist_max(jt_dist *d);
double jt_dist_sum(jt_dist *d);
/* Makes e[0..n) for the first n candidates, and the order as far. */
void jt_dist_make(jt_dist *d, int n);
/* Puts the beginning of the order, at least the first n <= count candidates, into cand[0..sorted). In order.c. */
void jt_dist_order(jt_dist *d, int n);
/* Sorts by logit down, then id up. `id_sorted`: a is already sorted by id. tmp: [n]. */
void jt_cand_sort(jt_cand *a, jt_cand *tmp, int n, bool id_sorted);

#endif
