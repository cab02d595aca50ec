/* key_list.c: which keys a row attends to, from what its state says or a function chose (jeton/keys.h). */
#include "tensor/ops/key_list.h"

jt_key_list jt_key_list_of(const jt_env *e, int row, int layer, int h) {
    const jt_env_row_keys *k = &e->keys[row];
    jt_key_list l = {.raw = k->raw};
    const jt_env_keys *x = NULL;
    for (int i = k->n - 1; i >= 0 && !x; i--) {
        const jt_env_keys *y = &k->keys[i];
        if (layer >= y->layer_first && layer < y->layer_end && k->own >= y->row_first && k->own < y->row_end && (!y->head || y->head[h]))
            x = y;
    }
    if (x && x->select) {
        const jt_env_choice *c = &e->select->choice[k->choice + h];
        x = c->used ? &c->keys : NULL;
    }
    if (!x) return l;
    l.depth = x->depth, l.position = x->position, l.renumber = x->renumber;
    l.from = x->local < k->own ? k->own - x->local : 0;
    int low = 0, high = x->n;
    while (low < high) {
        int mid = low + (high - low) / 2;
        if (x->depth[mid] < l.from)
            low = mid + 1;
        else
            high = mid;
    }
    l.n = low;
    return l;
}

void jt_turn(const jt_env *e, const jt_env_rope *rope, int rot, int interleaved, int position, float *x, int heads, float *scratch) {
    const float *c = scratch;
    if (!rot) return;
    if (position < rope->n_turn)
        c = rope->turn + (size_t)position * (size_t)rot;
    else
        jt_rope_turn(rope, rot / 2, position, scratch, scratch + rot / 2);
    e->engine->kernels->rope(x, heads, e->kv->dim, rot, interleaved, c, c + rot / 2);
}

jt_status jt_keys_check(const jt_keys *k, bool raw, int end, int kv_heads, jt_error *err) {
    if (k->n < 0 || k->local < 0 || (k->n && !k->depth))
        return jt_error_set(err, JT_INVALID, "%d keys with %d local ones: counts are 0 or more, and depths come with them", k->n, k->local);
    for (int i = 0; i < k->n; i++)
        if (k->depth[i] < 0 || k->depth[i] >= end || (i && k->depth[i] <= k->depth[i - 1]))
            return jt_error_set(err, JT_INVALID, "key %d of the list: depth %d must be above the one before it and below %d", i,
                                k->depth[i], end);
    if ((k->position || k->renumber) && !raw)
        return jt_error_set(err, JT_INVALID, "positions for keys need a state whose keys are raw (jt_state_new_raw)");
    for (int i = 0; k->position && i < k->n; i++)
        if (k->position[i] < 0 || k->position[i] >= 1 << 24)
            return jt_error_set(err, JT_INVALID, "key %d of the list: position %d must be between 0 and %d", i, k->position[i],
                                (1 << 24) - 1);
    for (int i = 0; k->heads && i < k->n_heads; i++)
        if (k->heads[i] < 0 || k->heads[i] >= kv_heads)
            return jt_error_set(err, JT_INVALID, "key-value head %d; the model has %d", k->heads[i], kv_heads);
    return JT_OK;
}
