/* keys.c: the lists of keys of a state (jeton/keys.h), and what a pass needs to follow them. */
#include <limits.h>
#include <string.h>

#include "core/hash.h"
#include "jeton/keys.h"
#include "model/model.h"

enum { MOST_LISTS = 4096 };

jt_status jt_state_new_raw(jt_model *m, int context, jt_state **out, jt_error *err) {
    jt_status e = jt_state_new(m, context, out, err);
    if (!e) (*out)->raw = true;
    return e;
}

int jt_state_is_raw(const jt_state *s) { return s->raw; }

void jt_key_set_put(jt_key_set *k) {
    if (!k || --k->refs) return;
    jt_arena_free(&k->memory);
    jt_free(k);
}

static jt_status keys_check(const jt_state *s, const jt_keys *k, int i, jt_error *err) {
    int layers = s->model->config.layers;
    if (k->layer_first < 0 || k->layer_end < k->layer_first || k->layer_end > layers)
        return jt_error_set(err, JT_INVALID, "keys %d: layers %d to %d; the model has layers 0 to %d", i, k->layer_first, k->layer_end,
                            layers);
    if (k->row_first < 0 || k->row_end < 0) return jt_error_set(err, JT_INVALID, "keys %d: rows are counted from 0", i);
    jt_status e = jt_keys_check(&(jt_keys){.heads = k->heads, .n_heads = k->n_heads}, s->raw, 0, s->model->config.kv_heads, err);
    if (!e && !k->select) e = jt_keys_check(k, s->raw, s->context, s->model->config.kv_heads, err);
    return e ? jt_error_in(err, e, "keys %d", i) : JT_OK;
}

static const int32_t *keys_numbers(jt_key_set *to, const int32_t *from, int n) {
    int32_t *p = jt_arena_alloc(&to->memory, (size_t)n, sizeof *p);
    if (p && n) memcpy(p, from, (size_t)n * sizeof *p);
    return p;
}

static jt_status keys_copy(const jt_state *s, jt_key_set *to, const jt_keys *k, int i, jt_error *err) {
    jt_status e = keys_check(s, k, i, err);
    bool all = !k->layer_first && !k->layer_end, listed = !k->select && k->n, ok = true;
    jt_env_keys *x = &to->keys[i];
    if (e) return e;
    *x = (jt_env_keys){.layer_first = k->layer_first,
                       .layer_end = all ? s->model->config.layers : k->layer_end,
                       .row_first = k->row_first,
                       .row_end = k->row_end ? k->row_end : INT_MAX,
                       .select = k->select,
                       .self = k->self};
    if (k->heads) {
        uint8_t *h = jt_arena_alloc(&to->memory, (size_t)s->model->config.kv_heads, 1);
        for (int j = 0; h && j < k->n_heads; j++) h[k->heads[j]] = 1;
        ok = (x->head = h) != NULL;
    }
    if (!k->select) x->n = k->n, x->local = k->local, x->renumber = k->renumber;
    if (ok && listed) ok = (x->depth = keys_numbers(to, k->depth, k->n)) != NULL;
    if (ok && listed && k->position) ok = (x->position = keys_numbers(to, k->position, k->n)) != NULL;
    to->select |= k->select != NULL;
    return ok ? JT_OK : jt_nomem(err, "a list of keys", (size_t)k->n, sizeof *k->depth);
}

/* A function counts by its presence: its doing is not known here. */
static uint64_t keys_hash(uint64_t h, const jt_model *m, const jt_env_keys *k) {
    const int word[] = {k->layer_first, k->layer_end, k->row_first, k->row_end, k->n, k->local, k->renumber, k->select != NULL};
    h = jt_hash_bytes(h, word, sizeof word);
    if (k->head) h = jt_hash_bytes(h, k->head, (size_t)m->config.kv_heads);
    if (k->depth) h = jt_hash_bytes(h, k->depth, (size_t)k->n * sizeof *k->depth);
    return k->position ? jt_hash_bytes(h, k->position, (size_t)k->n * sizeof *k->position) : h;
}

jt_status jt_state_set_keys(jt_state *s, const jt_keys *k, int n, jt_error *err) {
    jt_key_set *new = NULL;
    if (n < 0 || n > MOST_LISTS) return jt_error_set(err, JT_INVALID, "%d lists of keys; give 0 to %d", n, MOST_LISTS);
    if (n) {
        if (!(new = jt_alloc(1, sizeof *new))) return jt_nomem(err, "lists of keys", 1, sizeof *new);
        new->refs = 1, new->n = n;
        new->keys = jt_arena_alloc(&new->memory, (size_t)n, sizeof *new->keys);
        jt_status e = new->keys ? JT_OK : jt_nomem(err, "lists of keys", (size_t)n, sizeof *new->keys);
        for (int i = 0; i < n && !e; i++) e = keys_copy(s, new, &k[i], i, err);
        if (e) {
            jt_key_set_put(new);
            return e;
        }
    }
    jt_key_set_put(s->keys);
    s->keys = new;
    if (n) s->watched |= new->select;
    s->tapped = jt_hash_u64(s->tapped, (uint64_t)s->length + ((uint64_t)1 << 32));
    for (int i = 0; i < n; i++) s->tapped = keys_hash(s->tapped, s->model, &new->keys[i]);
    return JT_OK;
}

/* ---- passes ---- */

void jt_keys_set_row(jt_eval_work *w, int at, const jt_state *s, const jt_span_plan *plan, int i) {
    const jt_key_set *k = s->keys;
    int first = plan->group ? at - (i - plan->group[i]) : at;
    w->keys[at] = (jt_env_row_keys){k ? k->keys : NULL, k ? k->n : 0, s->raw, w->depth[first], first, k && k->select ? 0 : -1};
}

jt_status jt_keys_prepare(jt_model *m, const jt_batch *b, jt_env *e, jt_error *err) {
    jt_eval_work *w = &m->work;
    jt_env_select *x = &w->select;
    size_t heads = (size_t)m->config.kv_heads, groups = 0;
    jt_status s = JT_OK;
    for (int i = 0; i < b->n_span && !s; i++)
        if (b->span[i].state->raw)
            s = jt_rope_turns(b->span[i].state->rope, m->config.rope_dims, b->span[i].state->length + b->span[i].n, err);
    for (int r = 0; r < e->rows[JT_ROWS_ALL] && !s; r++) {
        jt_env_row_keys *k = &w->keys[r];
        if (k->choice < 0) continue;
        if (k->first == r) groups++;
        k->choice = (int)((groups - 1) * heads);
    }
    size_t had = x->cap_choice;
    if (!s && groups) s = jt_grow((void **)&x->choice, &x->cap_choice, groups * heads, sizeof *x->choice, err);
    if (!s && x->cap_choice > had) memset(x->choice + had, 0, (x->cap_choice - had) * sizeof *x->choice);
    e->keys = w->keys, e->select = x;
    return s;
}

void jt_keys_free_work(jt_eval_work *w) {
    for (size_t i = 0; i < w->select.cap_choice; i++) jt_free(w->select.choice[i].depth), jt_free(w->select.choice[i].position);
    jt_free(w->select.choice), jt_free(w->select.x), jt_free(w->keys);
}
