/* key_list.h: the keys of one row, layer and key-value head in the order of attention (jeton/keys.h). */
#ifndef JT_TENSOR_OPS_KEY_LIST_H
#define JT_TENSOR_OPS_KEY_LIST_H

#include "jeton/keys.h"
#include "tensor/op.h"

/* Entry i < n is depth[i]; the others are all depths from `from` on. */
typedef struct jt_key_list {
    const int32_t *depth, *position; /* [n]; position NULL: their own */
    int n, from;
    bool renumber, raw;
} jt_key_list;

/* e->keys must be there. */
jt_key_list jt_key_list_of(const jt_env *e, int row, int layer, int h);
/* Whether the keys are all those of the path, in the pages as they are read. */
static inline bool jt_key_list_plain(const jt_key_list *l) { return !l->raw && !l->n && !l->from; }
static inline int jt_key_list_depth(const jt_key_list *l, int i) { return i < l->n ? l->depth[i] : l->from + i - l->n; }
/* The place of the row's own key, at `depth`. */
static inline int jt_key_list_place(const jt_key_list *l, int depth) { return l->n + depth - l->from; }

static inline int jt_path_rank(const jt_env_path *p, int d) { return d < p->trunk ? d : p->rank[d - p->trunk]; }
static inline int jt_path_position(const jt_env_path *p, int d) { return d < p->trunk || !p->position ? d : p->position[d - p->trunk]; }
/* A head's keys (or values) in the page of a slot. */
static inline const char *jt_page_head(const jt_env *e, const jt_env_seq *q, int slot, int layer, int h, bool values) {
    return jt_buffer_at(q->page[slot / JT_TILE], jt_kv_layer_at(e->kv, layer) + jt_kv_head_at(e->kv, h, values));
}
/* Rotates heads [heads][dim] to a position. scratch: [rot]. */
void jt_turn(const jt_env *e, const jt_env_rope *rope, int rot, int interleaved, int position, float *x, int heads, float *scratch);

#endif
