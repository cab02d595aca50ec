/* Lists of keys, raw keys and positions of keys: against explicit masks in double precision on random trees with groups,
 * windows and ranks; bit for bit against plain evaluation where they say the same; over chunks, threads and kernels. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "jeton/keys.h"
#include "jeton/tap.h"
#include "tensor/engine.h"
#include "tree_record.h"
#include "windowed_folder.h"

static const double BOUND = 2e-4;
enum { WINDOW = 29, SETS = 64, LISTS = 2, LONGEST = 64 };

struct fixture {
    ref_model ref;
    jt_engine *engine, *scalar; /* scalar: its buffers are unreadable outside operators */
    jt_model *model, *windowed; /* windowed: but for layer 1 */
    char folder[64], path[64];
};

static int begin(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    jt_model_options o = {.activations = JT_ACT_FLOAT};
    *state = f;
    ref_open_hf(&f->ref, FIXTURES "/hf-tiny/llama");
    snprintf(f->folder, sizeof f->folder, "/tmp/jeton-keys-XXXXXX");
    snprintf(f->path, sizeof f->path, "/tmp/jeton-keys-%ld", (long)getpid());
    if (!mkdtemp(f->folder)) return -1;
    windowed_write(f->folder,
                   "\"sliding_window\": 29, \"layer_types\": [\"sliding_attention\", \"full_attention\", \"sliding_attention\"],");
    return jt_engine_new(&(jt_engine_options){.threads = 2}, &f->engine, NULL) ||
           jt_engine_new_guarded(&(jt_engine_options){.threads = 1, .kernels = "scalar"}, &f->scalar, NULL) ||
           jt_model_open(f->engine, FIXTURES "/hf-tiny/llama", &o, &f->model, NULL) ||
           jt_model_open(f->engine, f->folder, &o, &f->windowed, NULL);
}

static int end(void **state) {
    struct fixture *f = *state;
    jt_model_free(f->model), jt_model_free(f->windowed);
    jt_engine_free(f->engine), jt_engine_free(f->scalar);
    ref_close(&f->ref);
    windowed_remove(f->folder);
    unlink(f->path);
    free(f);
    return 0;
}

/* Lists set at one time, with their memory. */
struct set {
    int n;
    jt_keys k[LISTS];
    int32_t depth[LISTS][LONGEST], position[LISTS][LONGEST];
    int head[LISTS][1];
};

/* Beside the tree: the set in force when a node was evaluated (-1: none), the depth of the first row of its group, and the
 * bias of keys, if any. */
struct told {
    struct record r;
    int set[REF_MAX], own[REF_MAX];
    struct set sets[SETS];
    int n_sets;
    bool raw, windowed;
    const jt_tap *tap;
};

static void told_keep_path(struct told *t, int node) {
    int path[REF_MAX], n = 0, set[REF_MAX] = {0}, own[REF_MAX] = {0};
    for (int i = node; i >= 0; i = t->r.parent[i]) path[n++] = i;
    for (int i = 0; i < n; i++) set[i] = t->set[path[n - 1 - i]], own[i] = t->own[path[n - 1 - i]];
    memcpy(t->set, set, sizeof set), memcpy(t->own, own, sizeof own);
    keep_path(&t->r, node);
}

/* The list that a node follows; NULL: none. */
static const jt_keys *list_at(const struct told *t, int node, int layer, int head) {
    const struct set *s = t->set[node] < 0 ? NULL : &t->sets[t->set[node]];
    int kv = head / (REF_HEADS / REF_KV), own = t->own[node];
    for (int i = s ? s->n - 1 : -1; i >= 0; i--) {
        const jt_keys *k = &s->k[i];
        if ((k->layer_first || k->layer_end) && (layer < k->layer_first || layer >= k->layer_end)) continue;
        if (own < k->row_first || (k->row_end && own >= k->row_end) || (k->heads && k->heads[0] != kv)) continue;
        return k;
    }
    return NULL;
}

/* The place of a depth in the order of a list; -1: it is not there. */
static int place_in(const jt_keys *k, int own, int depth, int *entry) {
    int from = own - k->local < 0 ? 0 : own - k->local, n = 0;
    *entry = -1;
    for (int i = 0; i < k->n && k->depth[i] < from; i++, n++)
        if (k->depth[i] == depth) *entry = i;
    return depth >= from ? n + depth - from : *entry;
}

static double hidden(void *self, int node, int key, int layer, int head) {
    const struct told *t = self;
    const jt_keys *k = list_at(t, node, layer, head);
    int entry, depth = t->r.depth[key];
    if (t->windowed && layer != 1 && t->r.depth[node] - depth >= WINDOW) return -INFINITY;
    if (k && place_in(k, t->own[node], depth, &entry) < 0) return -INFINITY;
    return t->tap && depth >= t->tap->key_first && depth < t->tap->key_end ? (double)t->tap->value : 0;
}

static int placed(void *self, int node, int key, int layer, int head) {
    const struct told *t = self;
    const jt_keys *k = list_at(t, node, layer, head);
    int entry, place = k ? place_in(k, t->own[node], t->r.depth[key], &entry) : 0;
    if (!k || place < 0) return t->r.position[key];
    return k->renumber ? place : entry >= 0 && k->position ? k->position[entry] : t->r.position[key];
}

/* Adds rows and checks all their logits. group: NULL, or as in jt_span. */
static void grow(const struct fixture *f, jt_state *s, struct told *t, int n, const int *parent, const int *rank, const int *position,
                 const int32_t *group, uint32_t seed) {
    static float logits[REF_MAX][REF_VOCAB];
    static double x[REF_MAX * REF_HIDDEN], want[REF_MAX * REF_VOCAB];
    static uint8_t mask[REF_MAX * REF_MAX];
    int32_t ids[REF_MAX], par[REF_MAX], rk[REF_MAX], pos[REF_MAX];
    jt_want w[REF_MAX];
    struct record *r = &t->r;
    int from = r->n;
    for (int i = 0, first = from; i < n; i++) {
        int p = parent[i], at = r->n++;
        if (!group || !i || group[i] != group[i - 1]) first = at;
        r->id[at] = (int)((seed * 97u + (uint32_t)at * 31u) % REF_VOCAB), r->parent[at] = p;
        r->depth[at] = p < 0 ? 0 : r->depth[p] + 1;
        r->position[at] = pos[i] = position ? position[i] : r->depth[at];
        r->rank[at] = rk[i] = rank ? rank[i] : r->depth[at];
        t->set[at] = t->n_sets - 1, t->own[at] = r->depth[first];
        ids[i] = r->id[at], par[i] = p < 0 ? JT_NO_PARENT : p;
        w[i] = (jt_want){.row = i, .logits = logits[i]};
    }
    look(r, from);
    jt_error err = {0};
    jt_span span = {
        .state = s, .ids = ids, .n = n, .parent = par, .rank = rank ? rk : NULL, .position = position ? pos : NULL, .group = group};
    if (jt_eval(jt_state_model(s), &(jt_batch){.span = &span, .n_span = 1, .want = w, .n_want = n}, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < r->n; i++) {
        ref_embed(&f->ref, r->id[i], x + i * REF_HIDDEN);
        for (int k = 0; k < r->n; k++) mask[i * r->n + k] = r->sees[i][k];
    }
    ref_run(&f->ref, &(ref_nodes){.n = r->n,
                                  .x = x,
                                  .position = r->position,
                                  .mask = mask,
                                  .bias = hidden,
                                  .place = t->raw ? placed : NULL,
                                  .self = t,
                                  .logits = want});
    for (int i = 0; i < n; i++)
        for (int c = 0; c < REF_VOCAB; c++) {
            double d = fabs((double)logits[i][c] - want[(from + i) * REF_VOCAB + c]);
            if (!(d <= BOUND)) fail_msg("seed %u, node %d, logit %d: %g away", seed, from + i, c, d);
        }
}

static jt_state *new_state(jt_model *m, bool raw) {
    jt_state *s;
    assert_int_equal(raw ? jt_state_new_raw(m, 256, &s, NULL) : jt_state_new(m, 256, &s, NULL), JT_OK);
    assert_int_equal(jt_state_is_raw(s), raw);
    return s;
}

/* Sets random lists over depths below `longest`. */
static void random_lists(jt_state *s, struct told *t, uint32_t seed, uint32_t *at, int longest) {
    struct set *set = &t->sets[t->n_sets];
    assert_true(t->n_sets < SETS);
    *set = (struct set){.n = 1 + (int)pick(seed, at, LISTS)};
    for (int i = 0; i < set->n; i++) {
        jt_keys *k = &set->k[i];
        uint32_t often = 1 + pick(seed, at, 4);
        for (int d = 0; d < longest && k->n < LONGEST; d++)
            if (!pick(seed, at, often)) set->position[i][k->n] = (int32_t)pick(seed, at, 200), set->depth[i][k->n++] = d;
        k->depth = set->depth[i];
        if (t->raw && !pick(seed, at, 3)) k->position = set->position[i];
        if (t->raw && !pick(seed, at, 2)) k->renumber = 1;
        if (pick(seed, at, 2)) k->local = (int)pick(seed, at, 20);
        if (pick(seed, at, 2)) k->layer_first = (int)pick(seed, at, 3), k->layer_end = 1 + k->layer_first;
        if (!pick(seed, at, 3)) k->heads = set->head[i], k->n_heads = 1, set->head[i][0] = (int)pick(seed, at, REF_KV);
        if (!pick(seed, at, 3)) k->row_first = (int)pick(seed, at, 40);
        if (!pick(seed, at, 4)) k->row_end = k->row_first + 1 + (int)pick(seed, at, 40);
    }
    jt_error err = {0};
    if (jt_state_set_keys(s, set->k, set->n, &err)) fail_msg("%s", err.message);
    t->n_sets++;
}

/* Parents of n rows in groups: a chain, or trees that hang from the end. */
static void random_rows(const struct told *t, uint32_t seed, uint32_t *at, int n, bool tree, int *parent, int32_t *group) {
    int base = t->r.n;
    for (int i = 0; i < n;) {
        int rows = 1 + (int)pick(seed, at, 6), first = i, up = base + i - 1;
        if (tree) up -= (int)pick(seed, at, base + i < 5 ? (uint32_t)(base + i + 1) : 5);
        for (; i < n && i < first + rows; i++) {
            bool inside = i > first && (!tree || pick(seed, at, 3));
            parent[i] = !inside ? up : tree ? base + first + (int)pick(seed, at, (uint32_t)(i - first)) : base + i - 1;
            group[i] = first;
        }
    }
}

static void random_lists_on_random_trees(void **state) {
    const struct fixture *f = *state;
    static struct told t, copy;
    for (uint32_t seed = 0; seed < 96; seed++) {
        uint32_t at = 0;
        int parent[64], rank[64], position[64];
        int32_t group[64];
        memset(&t, 0, sizeof t);
        t.raw = seed % 2, t.windowed = seed % 3 == 0;
        jt_tap bias = {.site = "score", .op = JT_TAP_KEY_BIAS, .value = seed % 8 ? 1.5f : -INFINITY, .key_first = 3, .key_end = 20};
        if (seed % 4 == 0) t.tap = &bias;
        jt_state *s = new_state(t.windowed ? f->windowed : f->model, t.raw);
        assert_int_equal(jt_state_set_taps(s, &bias, t.tap != NULL, NULL), JT_OK);
        if (seed % 5) random_lists(s, &t, seed, &at, 40);
        int first = 1 + (int)pick(seed, &at, 50);
        random_rows(&t, seed, &at, first, false, parent, group);
        for (int i = 0; i < first; i++) position[i] = (int)pick(seed, &at, 90), rank[i] = i < 16 ? 15 : i;
        grow(f, s, &t, first, parent, seed % 7 == 3 && first >= 16 ? rank : NULL, seed % 6 == 1 ? position : NULL, seed % 4 ? group : NULL,
             seed);
        for (int round = 0; round < 3; round++) {
            int n = 1 + (int)pick(seed, &at, 14);
            if (!pick(seed, &at, 2)) random_lists(s, &t, seed, &at, 60);
            random_rows(&t, seed, &at, n, pick(seed, &at, 3) != 0, parent, group);
            grow(f, s, &t, n, parent, NULL, NULL, pick(seed, &at, 3) ? group : NULL, seed);
            switch (pick(seed, &at, 4)) {
            case 0: {
                int node = (int)pick(seed, &at, (uint32_t)t.r.n);
                assert_int_equal(jt_state_truncate_to(s, node, NULL), JT_OK);
                told_keep_path(&t, node);
                break;
            }
            case 1: {
                int keep = 1 + (int)pick(seed, &at, (uint32_t)t.r.n);
                assert_int_equal(jt_state_truncate(s, keep, NULL), JT_OK);
                keep_first(&t.r, keep);
                break;
            }
            case 2: {
                jt_state *u;
                int other = t.r.n - 1;
                assert_int_equal(jt_state_fork(s, &u, NULL), JT_OK);
                copy = t;
                for (int i = 0; i < copy.n_sets; i++) /* the copy's lists point into itself */
                    for (int k = 0; k < LISTS; k++) {
                        jt_keys *x = &copy.sets[i].k[k];
                        x->depth = copy.sets[i].depth[k];
                        if (x->position) x->position = copy.sets[i].position[k];
                        if (x->heads) x->heads = copy.sets[i].head[k];
                    }
                grow(f, s, &copy, 1, &other, NULL, NULL, NULL, seed + 1);
                jt_state_free(s);
                s = u;
                break;
            }
            default: break;
            }
        }
        jt_state_free(s);
    }
}

/* Logits of a tree of 20 rows, given positions and a tail, on a state that is then cut to a path. */
static void odd_program(jt_model *m, bool raw, const jt_keys *keys, int n_keys, bool grouped, float (*out)[REF_VOCAB]) {
    jt_state *s = new_state(m, raw);
    int32_t ids[REF_MAX], parent[20], position[90], group[90];
    jt_want w[REF_MAX];
    jt_error err = {0};
    for (int i = 0; i < REF_MAX; i++) ids[i] = (i * 53 + 19) % REF_VOCAB;
    for (int i = 0; i < 20; i++) parent[i] = 69 + (i ? (i * 7) % i : 0);
    for (int i = 0; i < 90; i++) position[i] = i % 9 ? i : 3 * i, group[i] = i / 7;
    if (jt_state_set_keys(s, keys, n_keys, &err)) fail_msg("%s", err.message);
    jt_span part[4] = {{.state = s, .ids = ids, .n = 40, .group = grouped ? group : NULL},
                       {.state = s, .ids = ids + 40, .n = 30, .position = position + 40},
                       {.state = s, .ids = ids + 70, .n = 20, .parent = parent},
                       {.state = s, .ids = ids + 90, .n = 5}};
    for (int p = 0, at = 0; p < 4; at += part[p++].n) {
        for (int i = 0; i < part[p].n; i++) w[i] = (jt_want){.row = i, .logits = out[at + i]};
        if (p == 3) assert_int_equal(jt_state_truncate_to(s, 85, NULL), JT_OK);
        if (jt_eval(m, &(jt_batch){.span = &part[p], .n_span = 1, .want = w, .n_want = part[p].n}, &err)) fail_msg("%s", err.message);
    }
    jt_state_free(s);
}

static const jt_kv_type types[] = {JT_KV_F32, JT_KV_F16, JT_KV_Q8_0};
/* Rounding of a key before the rotation instead of after it: half a unit of 11 bits in every element of keys of like size,
 * or half a step of 127, either way; through three layers to logits of size 3. Measured: 1e-3 and 2.3e-2. */
static const double raw_bound[] = {0, 5e-3, 0.1};

static void raw_keys_give_the_same(void **state) {
    const struct fixture *f = *state;
    static float want[95][REF_VOCAB], got[95][REF_VOCAB];
    for (int t = 0; t < 3; t++)
        for (int windowed = 0; windowed < 2; windowed++) {
            jt_model *m;
            double most = 0;
            jt_model_options o = {.activations = JT_ACT_FLOAT, .kv_type = types[t]};
            assert_int_equal(jt_model_open(f->engine, windowed ? f->folder : FIXTURES "/hf-tiny/llama", &o, &m, NULL), JT_OK);
            odd_program(m, false, NULL, 0, false, want);
            odd_program(m, true, NULL, 0, false, got);
            for (int i = 0; i < 95; i++)
                for (int c = 0; c < REF_VOCAB; c++) most = fmax(most, fabs((double)got[i][c] - (double)want[i][c]));
            if (t)
                assert_true(most > 0 && most < raw_bound[t]);
            else
                assert_memory_equal(got, want, sizeof got);
            jt_model_free(m);
        }
}

/* Lists that hold all keys, said in several ways. */
static void a_list_of_all_keys_is_no_list(void **state) {
    const struct fixture *f = *state;
    static float want[95][REF_VOCAB], got[95][REF_VOCAB];
    int32_t all[256];
    for (int i = 0; i < 256; i++) all[i] = i;
    const jt_keys ways[] = {{.depth = all, .n = 256},
                            {.depth = all, .n = 256, .local = 3},
                            {.local = 1000},
                            {.depth = all, .n = 50, .local = 60},
                            {.depth = all, .n = 256, .heads = (int[]){1}, .n_heads = 1, .layer_first = 1, .layer_end = 3},
                            {.row_first = 200}};
    for (int t = 0; t < 3; t++)
        for (int raw = 0; raw < 2; raw++) {
            jt_model *m;
            jt_model_options o = {.activations = JT_ACT_FLOAT, .kv_type = types[t]};
            assert_int_equal(jt_model_open(f->engine, f->folder, &o, &m, NULL), JT_OK);
            odd_program(m, raw, NULL, 0, false, want);
            for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
                odd_program(m, raw, &ways[i], 1, i % 2, got);
                assert_memory_equal(got, want, sizeof got);
            }
            jt_model_free(m);
        }
}

/* A sequence in pieces of `cut` rows, or of whole groups of 6, under lists. */
static void in_pieces(jt_model *m, bool raw, int cut, float (*out)[REF_VOCAB]) {
    enum { N = 96 };
    int32_t ids[N], group[N], some[24], position[24];
    jt_want w[N];
    jt_state *s = new_state(m, raw);
    for (int i = 0; i < N; i++) ids[i] = (i * 71 + 5) % REF_VOCAB, group[i] = i / 6;
    for (int i = 0; i < 24; i++) some[i] = i * 3, position[i] = i / 4;
    const jt_keys lists[] = {{.depth = some, .n = 24, .local = 9, .renumber = raw},
                             {.layer_first = 1, .layer_end = 2, .depth = some, .n = 24, .position = raw ? position : NULL},
                             {.layer_first = 2, .layer_end = 3, .heads = (int[]){1}, .n_heads = 1, .depth = some, .n = 2, .local = 40}};
    assert_int_equal(jt_state_set_keys(s, lists, 3, NULL), JT_OK);
    for (int i = 0; i < N; i += cut) {
        int rows = N - i < cut ? N - i : cut;
        jt_span span = {.state = s, .ids = ids + i, .n = rows, .group = group + i};
        for (int k = 0; k < rows; k++) w[k] = (jt_want){.row = k, .logits = out[i + k]};
        assert_int_equal(jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .want = w, .n_want = rows}, NULL), JT_OK);
    }
    jt_state_free(s);
}

static void bits_do_not_depend_on_chunks_threads_or_kernels(void **state) {
    const struct fixture *f = *state;
    static float want[96][REF_VOCAB], got[96][REF_VOCAB];
    for (int t = 0; t < 3; t++)
        for (int act = 0; act < 2; act++)
            for (int raw = 0; raw < 2; raw++) {
                jt_model *slow, *fast;
                jt_model_options o = {.activations = act ? JT_ACT_INT8 : JT_ACT_FLOAT, .kv_type = types[t], .ubatch = 7};
                assert_int_equal(jt_model_open(f->scalar, f->folder, &o, &slow, NULL), JT_OK);
                o.ubatch = 0;
                assert_int_equal(jt_model_open(f->engine, f->folder, &o, &fast, NULL), JT_OK);
                in_pieces(slow, raw, 96, want);
                for (int cut = 6; cut <= 96; cut *= 2) {
                    in_pieces(fast, raw, cut, got);
                    assert_memory_equal(got, want, sizeof got);
                }
                jt_model_free(slow), jt_model_free(fast);
            }
}

/* States of all kinds in one batch: each gets the bits that it gets alone. */
static void company_changes_nothing(void **state) {
    const struct fixture *f = *state;
    enum { KINDS = 5, N = 50, ROWS = 3 };
    static float want[KINDS][ROWS][REF_VOCAB], got[KINDS][ROWS][REF_VOCAB];
    int32_t ids[N + ROWS], some[8] = {0, 1, 2, 11, 12, 30, 31, 32};
    const jt_keys list = {.depth = some, .n = 8, .local = 4}, moved = {.depth = some, .n = 8, .local = 4, .renumber = 1};
    float push[REF_HIDDEN] = {1, 2};
    const jt_tap tap = {.site = "mlp", .op = JT_TAP_ADD, .value = 1, .vec = push};
    for (int i = 0; i < N + ROWS; i++) ids[i] = (i * 13 + 2) % REF_VOCAB;
    for (int together = 0; together < 2; together++) {
        jt_state *s[KINDS];
        jt_span span[KINDS];
        jt_want w[KINDS * ROWS];
        for (int k = 0; k < KINDS; k++) {
            s[k] = new_state(f->model, k >= 3);
            jt_span first = {.state = s[k], .ids = ids, .n = N};
            assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &first, .n_span = 1}, NULL), JT_OK);
            if (k == 1) assert_int_equal(jt_state_set_taps(s[k], &tap, 1, NULL), JT_OK);
            if (k == 2) assert_int_equal(jt_state_set_keys(s[k], &list, 1, NULL), JT_OK);
            if (k == 4) assert_int_equal(jt_state_set_keys(s[k], &moved, 1, NULL), JT_OK);
            span[k] = (jt_span){.state = s[k], .ids = ids + N, .n = ROWS};
            for (int r = 0; r < ROWS; r++)
                w[k * ROWS + r] = (jt_want){.row = together ? k * ROWS + r : r, .logits = together ? got[k][r] : want[k][r]};
            if (!together)
                assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &span[k], .n_span = 1, .want = w + k * ROWS, .n_want = ROWS}, NULL),
                                 JT_OK);
        }
        if (together)
            assert_int_equal(jt_eval(f->model, &(jt_batch){.span = span, .n_span = KINDS, .want = w, .n_want = KINDS * ROWS}, NULL), JT_OK);
        for (int k = 0; k < KINDS; k++) jt_state_free(s[k]);
    }
    assert_memory_equal(got, want, sizeof got);
    assert_memory_not_equal(want[2], want[0], sizeof want[0]);
    assert_memory_not_equal(want[4], want[2], sizeof want[0]);
    assert_memory_equal(want[3], want[0], sizeof want[0]); /* the cache is F32 */
}

static void files_and_modes(void **state) {
    const struct fixture *f = *state;
    float a[REF_VOCAB], b[REF_VOCAB];
    int32_t ids[40], some[3] = {0, 4, 9};
    jt_state *plain = new_state(f->model, false), *raw = new_state(f->model, true), *back, *fork;
    for (int i = 0; i < 40; i++) ids[i] = i * 3;
    assert_true(jt_state_mode(plain) != jt_state_mode(raw));
    const jt_keys one = {.depth = some, .n = 3}, two = {.depth = some, .n = 2}, moved = {.depth = some, .n = 3, .position = some};
    jt_state *other[3] = {new_state(f->model, true), new_state(f->model, true), new_state(f->model, true)};
    assert_int_equal(jt_state_set_keys(other[0], &one, 1, NULL), JT_OK);
    assert_int_equal(jt_state_set_keys(other[1], &two, 1, NULL), JT_OK);
    assert_int_equal(jt_state_set_keys(other[2], &moved, 1, NULL), JT_OK);
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < i; k++) assert_true(jt_state_mode(other[i]) != jt_state_mode(other[k]));
    jt_span span = {.state = raw, .ids = ids, .n = 39};
    assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1}, NULL), JT_OK);
    assert_int_equal(jt_state_save(raw, f->path, NULL), JT_OK);
    assert_int_equal(jt_state_load(f->model, f->path, &back, NULL), JT_OK);
    assert_int_equal(jt_state_fork(back, &fork, NULL), JT_OK);
    assert_int_equal(jt_state_is_raw(fork), 1);
    assert_true(jt_state_mode(fork) == jt_state_mode(raw));
    jt_state *two_states[2] = {raw, fork};
    for (int i = 0; i < 2; i++) { /* the keys are raw in both: a list moves them alike */
        jt_want w = {.row = 0, .logits = i ? b : a};
        span = (jt_span){.state = two_states[i], .ids = ids + 39, .n = 1};
        assert_int_equal(jt_state_set_keys(two_states[i], &moved, 1, NULL), JT_OK);
        assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1, .want = &w, .n_want = 1}, NULL), JT_OK);
    }
    assert_memory_equal(a, b, sizeof a);
    jt_state_free(plain), jt_state_free(raw), jt_state_free(back), jt_state_free(fork);
    for (int i = 0; i < 3; i++) jt_state_free(other[i]);
}

static void mistakes_are_refused(void **state) {
    const struct fixture *f = *state;
    int32_t down[2] = {4, 2}, twice[2] = {4, 4}, far[1] = {256}, minus[1] = {-1}, fine[2] = {1, 2}, high[2] = {0, 1 << 24};
    const struct {
        jt_keys k;
        const char *word;
        bool raw;
    } row[] = {{{.depth = down, .n = 2}, "depth 2", false},
               {{.depth = twice, .n = 2}, "depth 4", false},
               {{.depth = far, .n = 1}, "below 256", false},
               {{.depth = minus, .n = 1}, "depth -1", false},
               {{.n = 2}, "depths come", false},
               {{.n = -1}, "0 or more", false},
               {{.local = -1}, "0 or more", false},
               {{.depth = fine, .n = 2, .position = fine}, "raw", false},
               {{.renumber = 1}, "raw", false},
               {{.depth = fine, .n = 2, .position = high}, "16777216", true},
               {{.depth = fine, .n = 2, .position = minus}, "position -1", true},
               {{.layer_first = 3, .layer_end = 2}, "layers", false},
               {{.layer_first = 0, .layer_end = 4}, "layers", false},
               {{.row_first = -1}, "rows", false},
               {{.heads = (int[]){2}, .n_heads = 1}, "head 2", false}};
    jt_state *s[2] = {new_state(f->model, false), new_state(f->model, true)};
    jt_error err;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        uint64_t mode = jt_state_mode(s[row[i].raw]);
        assert_int_equal(jt_state_set_keys(s[row[i].raw], &row[i].k, 1, &err), JT_INVALID);
        if (!strstr(err.message, row[i].word)) fail_msg("%zu: %s", i, err.message);
        assert_true(jt_state_mode(s[row[i].raw]) == mode);
    }
    assert_int_equal(jt_state_set_keys(s[0], NULL, -1, &err), JT_INVALID);
    jt_state_free(s[0]), jt_state_free(s[1]);
}

static void failed_allocations_are_clean(void **state) {
    const struct fixture *f = *state;
    int32_t ids[40], some[3] = {0, 4, 9};
    const jt_keys list = {.depth = some, .n = 3, .position = some, .heads = (int[]){1}, .n_heads = 1};
    float a[REF_VOCAB], b[REF_VOCAB];
    jt_want w = {.row = 39, .logits = a};
    jt_error err;
    for (int i = 0; i < 40; i++) ids[i] = i;
    for (long i = 0;; i++) {
        jt_model *m;
        jt_state *s = NULL;
        assert_int_equal(jt_model_open(f->engine, FIXTURES "/hf-tiny/llama", NULL, &m, NULL), JT_OK);
        alloc_fail_at(i);
        jt_status e = jt_state_new_raw(m, 100, &s, &err);
        if (!e) e = jt_state_set_keys(s, &list, 1, &err);
        jt_span span = {.state = s, .ids = ids, .n = 40, .parent = (int32_t[40]){JT_NO_PARENT}};
        if (!e) e = jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .want = &w, .n_want = 1}, &err);
        bool failed = alloc_count() > i;
        alloc_fail_at(-1);
        assert_int_equal(e, failed ? JT_NOMEM : JT_OK);
        if (s && e) { /* and what failed works when tried again */
            assert_int_equal(jt_state_length(s), 0);
            assert_int_equal(jt_state_set_keys(s, &list, 1, &err), JT_OK);
            w.logits = b;
            assert_int_equal(jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .want = &w, .n_want = 1}, &err), JT_OK);
            w.logits = a;
        }
        jt_state_free(s);
        jt_model_free(m);
        if (!failed) break;
    }
    assert_memory_equal(a, b, sizeof a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_lists_on_random_trees),  cmocka_unit_test(raw_keys_give_the_same),
        cmocka_unit_test(a_list_of_all_keys_is_no_list), cmocka_unit_test(bits_do_not_depend_on_chunks_threads_or_kernels),
        cmocka_unit_test(company_changes_nothing),       cmocka_unit_test(files_and_modes),
        cmocka_unit_test(mistakes_are_refused),          cmocka_unit_test(failed_allocations_are_clean),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
