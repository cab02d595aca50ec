/* prefix.c: what begins alike is evaluated once. A branch whose first tokens another
 * has evaluated goes on from a fork of its state, cut back to what they have in
 * common. The other may be running, or kept after its job has ended: so that the runs
 * of a best-of-n share their prompt, and a chat evaluates only what each turn adds.
 *
 * A state is found by comparing the tokens that it was made from: a few dozen
 * comparisons of integers cost less than a row, and nothing can be taken for what it is
 * not. It must have been evaluated in the same numeric mode (taps and adapters
 * included), from ids alone, one after another. */
#include <string.h>

#include "decode/driver.h"

/* The numeric mode of all that is evaluated; 0: not of one, or the state's own. */
static uint64_t prefix_mode(const jt_driver *d, const jt_branch *b) {
    const jt_evaluator *ev = &d->model[b->model].ev;
    return ev->mode && b->state && !b->late ? ev->mode(ev->self, b->state) : 0;
}

static uint64_t prefix_limit(const jt_driver *d) {
    if (d->kept_most != JT_PREFIX_AUTO) return d->kept_most;
    return (d->cache_most ? d->cache_most : d->model->ev.memory) / 8;
}

/* Whole pages, as the needs of jobs are counted. */
static uint64_t prefix_bytes(const jt_driver *d, int model, int n) {
    const jt_evaluator *ev = &d->model[model].ev;
    return (uint64_t)ev->token_bytes * (((uint64_t)n + JT_TILE - 1) / JT_TILE * JT_TILE) + ev->branch_bytes;
}

static void prefix_put(jt_driver *d, jt_kept *k) {
    if (!k || --k->refs) return;
    const jt_evaluator *ev = &d->model[k->model].ev;
    if (k->state) ev->close(ev->self, k->state);
    jt_free(k->ids);
    jt_free(k);
}

static void prefix_unlink(jt_driver *d, jt_kept **at) {
    jt_kept *k = *at;
    *at = k->next, d->n_kept--;
    d->kept_held -= k->bytes;
    prefix_put(d, k);
}

static void prefix_drop_oldest(jt_driver *d) {
    jt_kept **at = &d->kept;
    while ((*at)->next) at = &(*at)->next;
    prefix_unlink(d, at);
}

void jt_prefix_give_way(jt_driver *d, uint64_t more) {
    uint64_t limit = prefix_limit(d);
    while (d->kept &&
           (d->n_kept > JT_KEPT_MOST || d->kept_held > limit || (d->cache_most && d->cache_held + more + d->kept_held > d->cache_most)))
        prefix_drop_oldest(d);
}

bool jt_prefix_clear(jt_driver *d) {
    bool any = d->kept != NULL;
    while (d->kept) prefix_unlink(d, &d->kept);
    return any;
}

void jt_driver_set_prefix(jt_driver *d, uint64_t bytes) {
    d->kept_most = bytes;
    if (!bytes) (void)jt_prefix_clear(d);
    jt_prefix_give_way(d, 0);
}

/* ---- beginning ---- */

/* How many tokens both begin with. */
static int prefix_common(const int32_t *a, int n, const int32_t *b, int m) {
    int most = n < m ? n : m, i = 0;
    while (i + 16 <= most && !memcmp(a + i, b + i, 16 * sizeof *a)) i += 16;
    while (i < most && a[i] == b[i]) i++;
    return i;
}

/* Puts it at the front. */
static jt_kept *prefix_touch(jt_driver *d, jt_kept **at) {
    jt_kept *k = *at;
    *at = k->next;
    k->next = d->kept;
    return d->kept = k;
}

/* The first inputs, n at most, that are plain: ids, evaluated with the ranks, places and layers of a text and the taps and
 * adapter of the first. */
static int prefix_plain(const jt_branch *b, int n) {
    if (n > b->bent) n = b->bent;
    if (n > jt_attr_even(b)) n = jt_attr_even(b);
    if (b->past->n_blend && b->past->blend[0].position < n) n = b->past->blend[0].position;
    return n;
}

/* A search for what has most in common with ids[0..n). */
typedef struct prefix_search {
    const jt_driver *d;
    const jt_live *job; /* whose branches are looked at */
    int model, n, same;
    uint64_t mode;
    const int32_t *ids;
    const jt_branch *self;
    const jt_state *state; /* the best, with `same` tokens in common */
    const jt_live *of;     /* its job; NULL: it is kept */
} prefix_search;

static prefix_search prefix_search_of(const jt_driver *d, const jt_branch *b) {
    return (prefix_search){.d = d,
                           .model = b->model,
                           .n = prefix_plain(b, b->n - 1),
                           .same = b->evaluated,
                           .mode = prefix_mode(d, b),
                           .ids = b->past->ids,
                           .self = b};
}

static bool prefix_better(prefix_search *s, const int32_t *ids, int n, const jt_state *state) {
    if (n <= s->same || s->n <= s->same || ids[s->same] != s->ids[s->same]) return false; /* most end here */
    int same = prefix_common(ids, n, s->ids, s->n);
    if (same <= s->same) return false;
    s->same = same, s->state = state;
    return true;
}

/* Among what is kept. */
static jt_kept *prefix_search_kept(prefix_search *s, jt_driver *d) {
    jt_kept **best = NULL;
    for (jt_kept **at = &d->kept; s->mode && *at; at = &(*at)->next)
        if ((*at)->model == s->model && (*at)->mode == s->mode && prefix_better(s, (*at)->ids, (*at)->n, (*at)->state)) best = at;
    return best ? prefix_touch(d, best) : NULL;
}

static void prefix_search_branch(void *self, jt_branch *b) {
    prefix_search *s = self;
    for (; b; b = b->shadow) {
        if (b == s->self || b->model != s->model || !b->past || b->evaluated <= s->same || !b->state) continue;
        if (prefix_mode(s->d, b) != s->mode) continue;
        if (prefix_better(s, b->past->ids, prefix_plain(b, b->evaluated < b->n ? b->evaluated : b->n), b->state)) s->of = s->job;
    }
}

void jt_prefix_pin(jt_driver *d, jt_live *j) {
    prefix_search s = prefix_search_of(d, j->root->slot[JT_MAIN]);
    if (!(j->pin = prefix_search_kept(&s, d))) return;
    j->pin->refs++;
}

void jt_prefix_unpin(jt_driver *d, jt_live *j) {
    prefix_put(d, j->pin);
    j->pin = NULL;
}

void jt_prefix_begin(jt_driver *d, jt_live *j, jt_branch *b) {
    const jt_evaluator *ev = &d->model[b->model].ev;
    jt_state *made = NULL;
    if (b->grown || b->n - 1 <= b->evaluated) return;
    prefix_search s = prefix_search_of(d, b);
    if (!s.mode) return;
    (void)prefix_search_kept(&s, d);
    const jt_kept *k = j->pin;
    if (k && k->model == s.model && k->mode == s.mode) (void)prefix_better(&s, k->ids, k->n, k->state);
    for (jt_live *l = d->first; l; l = l->next) {
        s.job = l;
        if (l->root && l->end == JT_END_NONE) jt_inst_leaves(l->root, prefix_search_branch, &s);
    }
    if (!s.state || ev->fork(ev->self, s.state, &made, NULL) != JT_OK) return; /* the branch can evaluate everything itself */
    if (ev->truncate(ev->self, made, s.same, NULL) != JT_OK) return ev->close(ev->self, made);
    d->counts.prefix_hits++, d->counts.prefix_tokens += (uint64_t)(s.same - b->evaluated);
    if (!b->model && !b->apart && s.of != j && s.same > j->reused) j->reused = s.same < j->n_prompt ? s.same : j->n_prompt;
    ev->close(ev->self, b->state);
    b->state = made, b->evaluated = s.same;
}

int jt_prefix_alike(const jt_driver *d, const jt_branch *b, const jt_branch *of) {
    uint64_t mode = b->model == of->model ? prefix_mode(d, b) : 0;
    if (!mode || prefix_mode(d, of) != mode) return 0;
    return prefix_common(b->past->ids, prefix_plain(b, b->n - 1), of->past->ids, prefix_plain(of, of->n));
}

/* ---- keeping ---- */

/* Takes over k, unless what is kept has all of it already. */
static void prefix_add(jt_driver *d, jt_kept *k) {
    for (jt_kept **at = &d->kept; *at;) {
        int common = (*at)->model == k->model && (*at)->mode == k->mode ? prefix_common((*at)->ids, (*at)->n, k->ids, k->n) : 0;
        if (common == k->n) {
            (void)prefix_touch(d, at);
            return prefix_put(d, k);
        }
        if (common && common == (*at)->n)
            prefix_unlink(d, at);
        else
            at = &(*at)->next;
    }
    k->next = d->kept, d->kept = k;
    d->n_kept++, d->kept_held += k->bytes;
}

/* Takes the branch's state. What does not fit is cut off. */
static void prefix_take(jt_driver *d, jt_branch *b) {
    const jt_evaluator *ev = &d->model[b->model].ev;
    uint64_t limit = prefix_limit(d), page = prefix_bytes(d, b->model, 1), mode = prefix_mode(d, b);
    int n = b->evaluated < b->n ? b->evaluated : b->n;
    if (!mode || !limit || !b->past) return;
    n = prefix_plain(b, n);
    if (page && (uint64_t)n > limit / page * JT_TILE) n = (int)(limit / page) * JT_TILE;
    if (n < 1 || ev->truncate(ev->self, b->state, n, NULL) != JT_OK) return;
    jt_kept *k = jt_alloc(1, sizeof *k);
    int32_t *ids = jt_alloc((size_t)n, sizeof *ids);
    if (!k || !ids) {
        jt_free(k), jt_free(ids);
        return;
    }
    memcpy(ids, b->past->ids, (size_t)n * sizeof *ids);
    *k =
        (jt_kept){.refs = 1, .model = b->model, .n = n, .mode = mode, .bytes = prefix_bytes(d, b->model, n), .state = b->state, .ids = ids};
    b->state = NULL;
    prefix_add(d, k);
}

/* Finds the branch on the main model that has evaluated most. */
static void prefix_longest(void *self, jt_branch *b) {
    jt_branch **best = self;
    if (!b->model && b->follows < 0 && b->evaluated > (*best)->evaluated) *best = b;
}

/* The branches that the answer stands in, on each model, from the answer that was given or the main slot. */
void jt_prefix_keep(jt_driver *d, jt_live *j) {
    jt_inst *i = j->root;
    jt_branch *b = NULL;
    if (j->end == JT_END_ERROR) return; /* what failed may have left a state behind its inputs */
    for (jt_slot slot = JT_MAIN; i; i = b && b->child ? b->child : NULL, slot = JT_MAIN) {
        for (size_t k = 0; k < i->n_slot; k++)
            if (i->slot[k] && i->slot[k]->chosen) slot = (jt_slot)k;
        b = i->slot[slot];
        for (size_t k = 0; k < i->n_slot; k++)
            if (i->slot[k] && i->slot[k]->follows == slot && i->slot[k]->state) prefix_take(d, i->slot[k]);
    }
    if (b && b->evaluated < j->n_prompt) jt_inst_leaves(j->root, prefix_longest, &b); /* it may have waited for another */
    if (b && b->shadow) prefix_take(d, b->shadow);
    if (b && b->state && b->follows < 0) prefix_take(d, b);
}
