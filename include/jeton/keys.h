/* keys.h: which keys of its past a sequence attends to, layer by layer, and where they stand.
 *
 * A jt_keys is data on a state, as a tap is (jeton/tap.h). It acts on the groups (jt_span.group)
 * that are evaluated while it is set. In the layers and key-value heads that it names a row then
 * attends to
 *
 *   - the keys of `depth`, a list of depths along the row's path, as far as they lie before
 *   - the last `local` keys before the row's group, and
 *   - the keys of its group and what lies after it by rank,
 *
 * in this order, all intersected with what the row may see (ranks, lanes, windows, skipped layers).
 * Tiles and accumulators follow from a key's place in that order (docs/numbers.md), so that a list
 * of all keys gives the bits of none. Setting keys is part of the numeric mode of the positions
 * evaluated under them. Forks inherit them. Layers with a recurrence in the place of attention have no keys: nothing is
 * done there.
 *
 * A state may keep its keys *raw*: before the rotation by their positions. They are rotated when
 * they are read, which takes longer, and so may be given other positions than those at which they
 * were evaluated. Raw keys in a cache of type F32 give the bits of rotated ones; in F16 and Q8_0 they
 * are rounded before the rotation instead of after it, which is another numeric mode. */
#ifndef JETON_KEYS_H
#define JETON_KEYS_H

#include <stdint.h>

#include "jeton/model.h"
#include "jeton/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct jt_select jt_select;

typedef struct jt_keys {
    int layer_first, layer_end; /* layers [first, end); both 0: all */
    const int *heads;           /* key-value heads, copied; NULL: all */
    int n_heads;
    int row_first, row_end;  /* depths; a group counts by its first row; end 0: no end */
    const int32_t *depth;    /* [n] ascending, without repeats, copied */
    const int32_t *position; /* [n] or NULL; raw keys alone: their rotary positions, 0 to 2^24; default those they were evaluated at */
    int n;
    int local;    /* 0 or more */
    int renumber; /* 1, raw keys alone: the position of every key is its place in the order above, and that of a query its own key's */
    /* Chooses the list instead, once for each group and layer, before attention, on one thread. It calls jt_select_use for
     * the heads it restricts; the others attend to all keys. depth, position, n, local and renumber above are not read.
     * In a layer the groups of a sequence come in order; a pass of many rows runs a layer for all of them before the next one.
     * Its doing is not known to the numeric mode, only that it is there. A failure makes the eval fail with its status. */
    jt_status (*select)(void *self, jt_select *x);
    void *self;
} jt_keys;

/* Replaces the state's keys (n = 0: none, rows see all). Where several act on one head of a layer the last counts. On failure
 * the old ones stay. Errors: JT_INVALID (layers, heads, depths out of order, positions without raw keys ...). */
JT_API jt_status jt_state_set_keys(jt_state *s, const jt_keys *k, int n, jt_error *err);

/* As jt_state_new, with raw keys; forks and files keep that. */
JT_API jt_status jt_state_new_raw(jt_model *m, int context, jt_state **out, jt_error *err);
JT_API int jt_state_is_raw(const jt_state *s);

/* ---- for functions that choose: one layer and one group of rows ---- */

JT_API int jt_select_layer(const jt_select *x);
JT_API int jt_select_rows(const jt_select *x); /* of the group */
/* Keys before the group on its path: depths 0 to this - 1. */
JT_API int jt_select_keys(const jt_select *x);
/* The queries of row `row` of the group, [heads * dim], rotated to `position` (0: as they are), whatever the row's own is. */
JT_API void jt_select_query(const jt_select *x, int row, int position, float *q);
/* Their mean over the group, row i at position + i. Rows that skip the layer take no part. */
JT_API void jt_select_mean_query(const jt_select *x, int position, float *q);
/* score[k - first] = q . key k for keys [first, end) and query head `head`; -INFINITY for a key that no row of the group
 * may see. Raw keys are read as they are, others as they were rotated. The cache is 0 to jt_select_keys. */
JT_API void jt_select_score(const jt_select *x, const float *q, int head, int first, int end, float *score);
/* vote[k - first] = the sum over all query heads of softmax(scale * score) over the keys of [first, end). JT_NOMEM. */
JT_API jt_status jt_select_vote(const jt_select *x, const float *q, int first, int end, float scale, float *vote);
/* Writes the indexes of the k largest of n numbers, ascending; of equals the lower index. Those that are -INFINITY or NaN are never
 * taken. Returns how many. */
JT_API int jt_select_top(const float *v, int n, int k, int32_t *index);
/* The answer: heads, depth (below jt_select_keys), position, n, local and renumber of `k`, copied. JT_INVALID, JT_NOMEM. */
JT_API jt_status jt_select_use(jt_select *x, const jt_keys *k);

#ifdef __cplusplus
}
#endif
#endif
