/* What a row may see: trees, ranks and lanes against explicit masks in double precision, and bit
 * for bit against linear sequences where a path is one. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jeton/model.h"
#include "llama_reference.h"
#include "tree_record.h"

/* Float32 against double over three layers: the bound of the fixtures. */
static const double BOUND = 2e-4;

struct fixture {
    ref_model ref;
    jt_engine *engine;
    jt_model *model;
};

static int begin(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    ref_open_hf(&f->ref, FIXTURES "/hf-tiny/llama");
    return jt_engine_new(&(jt_engine_options){.threads = 2}, &f->engine, NULL) ||
           jt_model_open(f->engine, FIXTURES "/hf-tiny/llama", &(jt_model_options){.activations = JT_ACT_FLOAT}, &f->model, NULL);
}

static int end(void **state) {
    struct fixture *f = *state;
    jt_model_free(f->model);
    jt_engine_free(f->engine);
    ref_close(&f->ref);
    free(f);
    return 0;
}

static void reference(const struct fixture *f, const struct record *r, double *logits) {
    static double x[REF_MAX * REF_HIDDEN];
    static uint8_t mask[REF_MAX * REF_MAX];
    const float *table = f->ref.embed;
    for (int i = 0; i < r->n; i++) {
        for (int c = 0; c < REF_HIDDEN; c++) x[i * REF_HIDDEN + c] = (double)table[r->id[i] * REF_HIDDEN + c];
        for (int k = 0; k < r->n; k++) mask[i * r->n + k] = r->sees[i][k];
    }
    ref_forward(&f->ref, r->n, x, r->position, mask, NULL, logits);
}

/* Adds `n` nodes with the given parents (record numbers), ranks and positions (NULL: depth); evaluates them and checks all
 * their logits. */
static void grow_at(const struct fixture *f, jt_state *s, struct record *r, int n, const int *parent, const int *rank, const int *position,
                    uint32_t seed) {
    static float logits[REF_MAX][REF_VOCAB];
    static double want[REF_MAX * REF_VOCAB];
    int32_t ids[REF_MAX], par[REF_MAX], rk[REF_MAX], pos[REF_MAX];
    jt_want w[REF_MAX];
    int from = r->n;
    for (int i = 0; i < n; i++) {
        int p = parent[i], at = r->n++;
        r->id[at] = (int)((seed * 97u + (uint32_t)at * 31u) % REF_VOCAB), r->parent[at] = p;
        r->depth[at] = p < 0 ? 0 : r->depth[p] + 1;
        r->position[at] = pos[i] = position ? position[i] : r->depth[at];
        r->rank[at] = rank ? rank[i] : r->depth[at];
        ids[i] = r->id[at], par[i] = p < 0 ? JT_NO_PARENT : p, rk[i] = r->rank[at];
        w[i] = (jt_want){.row = i, .logits = logits[i]};
    }
    look(r, from);
    jt_error err = {0};
    jt_span span = {.state = s, .ids = ids, .n = n, .parent = par, .rank = rank ? rk : NULL, .position = position ? pos : NULL};
    if (jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1, .want = w, .n_want = n}, &err)) fail_msg("%s", err.message);
    reference(f, r, want);
    for (int i = 0; i < n; i++)
        for (int c = 0; c < REF_VOCAB; c++) {
            double d = fabs((double)logits[i][c] - want[(from + i) * REF_VOCAB + c]);
            if (!(d <= BOUND)) fail_msg("node %d, logit %d: %g away", from + i, c, d);
        }
}

static void grow(const struct fixture *f, jt_state *s, struct record *r, int n, const int *parent, const int *rank, uint32_t seed) {
    grow_at(f, s, r, n, parent, rank, NULL, seed);
}

static jt_state *new_state(const struct fixture *f) {
    jt_state *s;
    assert_int_equal(jt_state_new(f->model, 256, &s, NULL), JT_OK);
    return s;
}

static void named_masks(void **state) {
    const struct fixture *f = *state;
    enum { N = 70 };
    int parent[N], rank[N];
    chain(parent, N);
    for (int kind = 0; kind < 5; kind++) {
        static struct record r;
        memset(&r, 0, sizeof r);
        for (int i = 0; i < N; i++)
            rank[i] = kind == 0   ? i                /* causal */
                      : kind == 1 ? 0                /* bidirectional */
                      : kind == 2 ? (i < 40 ? 0 : i) /* prefix */
                      : kind == 3 ? i / 16           /* blocks */
                                  : i / 8 + i % 8;   /* anti-diagonals of a grid of rows of 8 */
        jt_state *s = new_state(f);
        grow(f, s, &r, N, parent, rank, (uint32_t)kind);
        jt_state_free(s);
    }
}

static void blocks_over_several_evals(void **state) {
    const struct fixture *f = *state;
    static struct record r;
    memset(&r, 0, sizeof r);
    jt_state *s = new_state(f);
    for (int b = 0; b < 6; b++) {
        int parent[16], rank[16];
        for (int i = 0; i < 16; i++) parent[i] = b * 16 + i - 1, rank[i] = b;
        grow(f, s, &r, 16, parent, rank, 3);
    }
    jt_state_free(s);
}

static void random_trees(void **state) {
    const struct fixture *f = *state;
    for (uint32_t seed = 0; seed < 200; seed++) {
        static struct record r;
        uint32_t at = 0;
        memset(&r, 0, sizeof r);
        jt_state *s = new_state(f);
        int first = 1 + (int)pick(seed, &at, 45), parent[64];
        chain(parent, first);
        grow(f, s, &r, first, parent, NULL, seed);
        for (int round = 0; round < 3; round++) {
            int n = 1 + (int)pick(seed, &at, 12), back = r.n < 6 ? r.n : 6;
            for (int i = 0; i < n; i++) parent[i] = r.n + i - 1 - (int)pick(seed, &at, (uint32_t)(back + i));
            grow(f, s, &r, n, parent, NULL, seed);
            switch (pick(seed, &at, 4)) {
            case 0: {
                int node = (int)pick(seed, &at, (uint32_t)r.n);
                assert_int_equal(jt_state_truncate_to(s, node, NULL), JT_OK);
                keep_path(&r, node);
                break;
            }
            case 1: {
                int keep = 1 + (int)pick(seed, &at, (uint32_t)r.n);
                assert_int_equal(jt_state_truncate(s, keep, NULL), JT_OK);
                keep_first(&r, keep);
                break;
            }
            case 2: { /* go on with a fork; the original writes over its own pages and goes */
                jt_state *t;
                int other = r.n - 1;
                assert_int_equal(jt_state_fork(s, &t, NULL), JT_OK);
                static struct record copy;
                copy = r;
                grow(f, s, &copy, 1, &other, NULL, seed + 1);
                jt_state_free(s);
                s = t;
                break;
            }
            default: break;
            }
            assert_int_equal(jt_state_length(s), r.n);
            for (int i = 0; i < r.n; i++) {
                assert_int_equal(jt_state_parent(s, i), r.parent[i]);
                assert_int_equal(jt_state_depth(s, i), r.depth[i]);
            }
        }
        jt_state_free(s);
    }
}

/* The logits along any path of a tree are those of the linear sequence, bit for bit, however its nodes were laid. */
static void paths_of(const struct fixture *f, uint32_t seeds) {
    static float tree[REF_MAX][REF_VOCAB], line[REF_MAX][REF_VOCAB];
    for (uint32_t seed = 0; seed < seeds; seed++) {
        uint32_t at = 0;
        int trunk = 20 + (int)pick(seed, &at, 50), n = 2 + (int)pick(seed, &at, 62);
        int32_t ids[REF_MAX], parent[REF_MAX];
        jt_want w[REF_MAX];
        for (int i = 0; i < trunk + n; i++) ids[i] = (int32_t)pick(seed, &at, REF_VOCAB);
        jt_state *s = new_state(f);
        jt_span span = {.state = s, .ids = ids, .n = trunk};
        assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1}, NULL), JT_OK);
        for (int i = 0; i < n; i++) {
            parent[i] = trunk - 1 + (int)pick(seed, &at, (uint32_t)i + 1);
            w[i] = (jt_want){.row = i, .logits = tree[i]};
        }
        span = (jt_span){.state = s, .ids = ids + trunk, .n = n, .parent = parent};
        assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1, .want = w, .n_want = n}, NULL), JT_OK);
        for (int node = trunk; node < trunk + n; node++) {
            int path[REF_MAX], m = 0;
            int32_t seq[REF_MAX], next = 77;
            for (int i = node; i >= trunk; i = parent[i - trunk]) path[m++] = i;
            for (int i = 0; i < trunk; i++) seq[i] = ids[i];
            for (int i = 0; i < m; i++) seq[trunk + i] = ids[path[m - 1 - i]];
            jt_state *l = new_state(f), *t;
            jt_want last = {.row = trunk + m - 1, .logits = line[0]};
            span = (jt_span){.state = l, .ids = seq, .n = trunk + m};
            assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1, .want = &last, .n_want = 1}, NULL), JT_OK);
            assert_memory_equal(line[0], tree[node - trunk], sizeof line[0]);
            /* and it goes on as the linear one does after the rest of the tree is dropped */
            assert_int_equal(jt_state_fork(s, &t, NULL), JT_OK);
            assert_int_equal(jt_state_truncate_to(t, node, NULL), JT_OK);
            jt_span two[2] = {{.state = l, .ids = &next, .n = 1}, {.state = t, .ids = &next, .n = 1}};
            jt_want both[2] = {{.row = 0, .logits = line[0]}, {.row = 1, .logits = line[1]}};
            assert_int_equal(jt_eval(f->model, &(jt_batch){.span = two, .n_span = 2, .want = both, .n_want = 2}, NULL), JT_OK);
            assert_memory_equal(line[0], line[1], sizeof line[0]);
            jt_state_free(l), jt_state_free(t);
        }
        jt_state_free(s);
    }
}

static void paths_equal_linear_sequences(void **state) {
    static const jt_kv_type types[] = {JT_KV_F32, JT_KV_F16, JT_KV_Q8_0};
    struct fixture f = *(struct fixture *)*state;
    for (int i = 0; i < 3; i++) {
        jt_model_options o = {.activations = JT_ACT_FLOAT, .kv_type = types[i]};
        assert_int_equal(jt_model_open(f.engine, FIXTURES "/hf-tiny/llama", &o, &f.model, NULL), JT_OK);
        paths_of(&f, i ? 8 : 24);
        jt_model_free(f.model);
    }
}

/* Positions out of order, twice the same, with gaps and far away; on a trunk, on a tree and after a truncation to a node. */
static void positions_are_given(void **state) {
    const struct fixture *f = *state;
    static struct record r;
    for (uint32_t seed = 0; seed < 8; seed++) {
        enum { N = 40, MORE = 12 };
        int parent[N], position[N];
        uint32_t at = 0;
        memset(&r, 0, sizeof r);
        jt_state *s = new_state(f);
        chain(parent, N);
        for (int i = 0; i < N; i++) position[i] = seed & 1 ? i : (int)pick(seed, &at, i % 5 ? 60 : 5000);
        grow_at(f, s, &r, N, parent, NULL, position, seed);
        for (int i = 0; i < MORE; i++) parent[i] = N - 1 + (i ? (int)pick(seed, &at, (uint32_t)i) : 0), position[i] = 7 * i % 10;
        grow_at(f, s, &r, MORE, parent, NULL, position, seed);
        assert_int_equal(jt_state_truncate_to(s, N + 5, NULL), JT_OK);
        keep_path(&r, N + 5);
        parent[0] = r.n - 1, parent[1] = r.n;
        grow(f, s, &r, 2, parent, NULL, seed); /* and by default the depth again */
        jt_state_free(s);
    }
    int32_t id = 1, wrong[] = {-1, 1 << 24};
    for (int i = 0; i < 2; i++) {
        jt_state *s = new_state(f);
        jt_span span = {.state = s, .ids = &id, .n = 1, .position = &wrong[i]};
        assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1}, NULL), JT_INVALID);
        jt_state_free(s);
    }
}

/* A child of the last node, asked with a larger rank, is seen by nobody though it shares the lane. */
static void an_only_child_is_hidden_by_its_rank(void **state) {
    const struct fixture *f = *state;
    static struct record r;
    enum { N = 34 };
    int parent[N], rank[N], position = 50;
    memset(&r, 0, sizeof r);
    jt_state *s = new_state(f);
    chain(parent, N);
    grow(f, s, &r, N, parent, NULL, 4);
    parent[0] = N - 1, rank[0] = 1000;
    grow_at(f, s, &r, 1, parent, rank, &position, 4);
    for (int i = 0; i < 3; i++) parent[i] = N + i; /* its descendants, in the same lane, do not see it */
    grow(f, s, &r, 3, parent, NULL, 4);
    assert_int_equal(r.sees[N + 1][N], 0);
    assert_int_equal(r.sees[N + 3][N + 2], 1);
    jt_state_free(s);
}

/* Paths of their own in one state: apart from each other, forked, cut, and kept alone. */
static void several_roots(void **state) {
    const struct fixture *f = *state;
    static struct record r, copy;
    enum { N = 37 };
    int parent[64];
    for (int kept = 0; kept < 3; kept++) {
        memset(&r, 0, sizeof r);
        jt_state *s = new_state(f), *t;
        chain(parent, N);
        grow(f, s, &r, N, parent, NULL, 9);
        for (int i = 0; i < 33; i++) parent[i] = i % 11 ? N + i - 1 : -1; /* three roots with a path of 11 each */
        grow(f, s, &r, 33, parent, NULL, 9);
        for (int i = 0; i < 4; i++) parent[i] = (int[]){N - 1, N + 10, N + 21, N + 21}[i];
        grow(f, s, &r, 4, parent, NULL, 9);
        for (int i = 0; i < r.n; i++) assert_int_equal(jt_state_depth(s, i), r.depth[i]);
        assert_int_equal(jt_state_fork(s, &t, NULL), JT_OK);
        int node = (int[]){N - 1, N + 21, N + 36}[kept];
        copy = r;
        assert_int_equal(jt_state_truncate_to(t, node, NULL), JT_OK);
        keep_path(&copy, node);
        parent[0] = copy.n - 1, parent[1] = -1, parent[2] = copy.n;
        grow(f, t, &copy, 3, parent, NULL, 2);
        jt_state_free(t);
        assert_int_equal(jt_state_truncate(s, N + 5, NULL), JT_OK);
        keep_first(&r, N + 5);
        parent[0] = N + 4, parent[1] = N - 1;
        grow(f, s, &r, 2, parent, NULL, 3);
        jt_state_free(s);
    }
}

/* Rows of a block with given ranks, some of them with skipped layers, are cut off; what is left saw them, and what comes
 * after sees what is left by the same rule. Also on a fork, cut before its original. */
static void truncated_after_ranks_and_layers(void **state) {
    const struct fixture *f = *state;
    enum { TRUNK = 29, BLOCK = 8, LEFT = 5, MORE = 6, N = TRUNK + BLOCK + MORE };
    static double x[N * REF_HIDDEN], want[N * REF_VOCAB];
    static uint8_t mask[N * N];
    static float logits[2][MORE][REF_VOCAB];
    for (int high = 0; high < 2; high++) { /* the block's rank: the depth of its first row, or of its last */
        int32_t ids[N], rank[N];
        int position[N];
        unsigned runs[N];
        jt_layers layers[BLOCK];
        jt_want w[MORE];
        for (int i = 0; i < N; i++) {
            bool block = i >= TRUNK && i < TRUNK + BLOCK, more = i >= TRUNK + BLOCK;
            ids[i] = (i * 53 + 7) % REF_VOCAB;
            position[i] = more ? i - BLOCK + LEFT : i;
            rank[i] = block ? TRUNK + high * (BLOCK - 1) : position[i];
            runs[i] = block && i % 3 == 0 ? 5 : 7;
            if (block) layers[i - TRUNK] = (jt_layers){{runs[i]}};
            ref_embed(&f->ref, ids[i], x + i * REF_HIDDEN);
        }
        for (int i = 0; i < N; i++)
            for (int k = 0; k < N; k++) {
                bool there = i < TRUNK + BLOCK ? k < TRUNK + BLOCK : k < TRUNK + LEFT || k >= TRUNK + BLOCK;
                mask[i * N + k] = there && rank[k] <= rank[i];
            }
        for (int i = 0; i < TRUNK; i++) memset(mask + i * N + TRUNK, 0, N - TRUNK);
        ref_forward(&f->ref, N, x, position, mask, runs, want);
        jt_state *s[2] = {new_state(f)};
        jt_span span = {.state = s[0], .ids = ids, .n = TRUNK};
        assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1}, NULL), JT_OK);
        span = (jt_span){.state = s[0], .ids = ids + TRUNK, .n = BLOCK, .rank = rank + TRUNK, .layers = layers};
        assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1}, NULL), JT_OK);
        assert_int_equal(jt_state_fork(s[0], &s[1], NULL), JT_OK);
        for (int t = 1; t >= 0; t--) {
            if (t) /* by node or by count, it is the same */
                assert_int_equal(jt_state_truncate_to(s[t], TRUNK + LEFT - 1, NULL), JT_OK);
            else
                assert_int_equal(jt_state_truncate(s[t], TRUNK + LEFT, NULL), JT_OK);
            for (int i = 0; i < MORE; i++) w[i] = (jt_want){.row = i, .logits = logits[t][i]};
            span = (jt_span){.state = s[t], .ids = ids + TRUNK + BLOCK, .n = MORE};
            assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1, .want = w, .n_want = MORE}, NULL), JT_OK);
            jt_state_free(s[t]);
        }
        assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
        for (int i = 0; i < MORE; i++)
            for (int c = 0; c < REF_VOCAB; c++) {
                double d = fabs((double)logits[0][i][c] - want[(TRUNK + BLOCK + i) * REF_VOCAB + c]);
                if (!(d <= BOUND)) fail_msg("rank %d, row %d, logit %d: %g away", rank[TRUNK], i, c, d);
            }
    }
}

static void mixtures_and_vectors(void **state) {
    const struct fixture *f = *state;
    static double want[3 * REF_VOCAB], x[3 * REF_HIDDEN];
    static float logits[4][REF_VOCAB];
    const float *table = f->ref.embed;
    int32_t a[1] = {5}, b[3] = {9, 200, 31};
    float one[1] = {1}, part[3] = {0.5f, 0.3f, 0.2f}, vec[REF_HIDDEN];
    for (int c = 0; c < REF_HIDDEN; c++) {
        vec[c] = table[17 * REF_HIDDEN + c];
        x[c] = (double)table[5 * REF_HIDDEN + c];
        x[REF_HIDDEN + c] = 0;
        for (int i = 0; i < 3; i++) x[REF_HIDDEN + c] += (double)part[i] * (double)table[b[i] * REF_HIDDEN + c];
        x[2 * REF_HIDDEN + c] = (double)vec[c];
    }
    static const uint8_t causal[9] = {1, 0, 0, 1, 1, 0, 1, 1, 1};
    ref_forward(&f->ref, 3, x, (int[3]){0, 1, 2}, causal, NULL, want);
    jt_input in[3] = {{1, a, one, NULL}, {3, b, part, NULL}, {0, NULL, NULL, vec}};
    jt_want w[3];
    for (int i = 0; i < 3; i++) w[i] = (jt_want){.row = i, .logits = logits[i]};
    jt_state *s = new_state(f), *t = new_state(f);
    jt_span span = {.state = s, .n = 3, .input = in};
    assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1, .want = w, .n_want = 3}, NULL), JT_OK);
    for (int i = 0; i < 3; i++)
        for (int c = 0; c < REF_VOCAB; c++) assert_true(fabs((double)logits[i][c] - want[i * REF_VOCAB + c]) <= BOUND);
    /* an embedding given as a vector, or as a mixture of one, is the token */
    int32_t id = 5;
    w[0].logits = logits[3];
    span = (jt_span){.state = t, .ids = &id, .n = 1};
    assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1, .want = w, .n_want = 1}, NULL), JT_OK);
    assert_memory_equal(logits[0], logits[3], sizeof logits[0]);
    jt_error err;
    part[1] = NAN;
    assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &(jt_span){.state = t, .n = 3, .input = in}, .n_span = 1}, &err), JT_INVALID);
    assert_non_null(strstr(err.message, "row 1: weight 1"));
    jt_state_free(s), jt_state_free(t);
}

static void rows_skip_layers(void **state) {
    const struct fixture *f = *state;
    enum { N = 45 };
    static double x[N * REF_HIDDEN], want[N * REF_VOCAB];
    static float logits[N][REF_VOCAB];
    static uint8_t causal[N * N];
    const float *table = f->ref.embed;
    for (uint32_t seed = 0; seed < 6; seed++) {
        uint32_t at = 0;
        int32_t ids[N];
        int position[N];
        unsigned runs[N];
        jt_layers layers[N];
        jt_want w[N];
        for (int i = 0; i < N; i++) {
            ids[i] = (int32_t)pick(seed, &at, REF_VOCAB), position[i] = i;
            runs[i] = seed == 0 ? 5 : i < 3 ? 7 : pick(seed, &at, 8); /* with seed 0 nobody runs layer 1 */
            layers[i] = (jt_layers){{runs[i]}};
            w[i] = (jt_want){.row = i, .logits = logits[i]};
            for (int c = 0; c < REF_HIDDEN; c++) x[i * REF_HIDDEN + c] = (double)table[ids[i] * REF_HIDDEN + c];
            for (int k = 0; k < N; k++) causal[i * N + k] = k <= i;
        }
        ref_forward(&f->ref, N, x, position, causal, runs, want);
        jt_state *s = new_state(f);
        for (int i = 0, n; i < N; i += n) { /* in pieces, so that earlier keys come from pages */
            n = N - i < 17 ? N - i : 17;
            jt_span span = {.state = s, .ids = ids + i, .n = n, .layers = layers + i};
            for (int k = 0; k < n; k++) w[i + k].row = k;
            assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1, .want = w + i, .n_want = n}, NULL), JT_OK);
        }
        for (int i = 0; i < N; i++)
            for (int c = 0; c < REF_VOCAB; c++) assert_true(fabs((double)logits[i][c] - want[i * REF_VOCAB + c]) <= BOUND);
        jt_state_free(s);
    }
}

static void rows_that_see_each_other_are_not_parted(void **state) {
    const struct fixture *f = *state;
    jt_model *small;
    jt_error err;
    int32_t ids[24], rank[24];
    for (int i = 0; i < 24; i++) ids[i] = i, rank[i] = i / 8;
    assert_int_equal(
        jt_model_open(f->engine, FIXTURES "/hf-tiny/llama", &(jt_model_options){.activations = JT_ACT_FLOAT, .ubatch = 10}, &small, NULL),
        JT_OK);
    float got[REF_VOCAB], want[REF_VOCAB];
    jt_want w = {.row = 23, .logits = got};
    jt_state *s, *t = new_state(f);
    assert_int_equal(jt_state_new(small, 64, &s, NULL), JT_OK);
    jt_span span = {.state = s, .ids = ids, .n = 24, .rank = rank};
    assert_int_equal(jt_eval(small, &(jt_batch){.span = &span, .n_span = 1, .want = &w, .n_want = 1}, &err), JT_OK);
    w.logits = want, span.state = t;
    assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1, .want = &w, .n_want = 1}, &err), JT_OK);
    assert_memory_equal(got, want, sizeof got);
    for (int i = 0; i < 24; i++) rank[i] = 0;
    assert_int_equal(jt_state_truncate(s, 0, NULL), JT_OK);
    span.state = s;
    assert_int_equal(jt_eval(small, &(jt_batch){.span = &span, .n_span = 1}, &err), JT_LIMIT);
    assert_non_null(strstr(err.message, "ubatch is 10"));
    assert_int_equal(jt_state_length(s), 0);
    jt_state_free(s), jt_state_free(t);
    jt_model_free(small);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(named_masks),
        cmocka_unit_test(blocks_over_several_evals),
        cmocka_unit_test(random_trees),
        cmocka_unit_test(paths_equal_linear_sequences),
        cmocka_unit_test(positions_are_given),
        cmocka_unit_test(an_only_child_is_hidden_by_its_rank),
        cmocka_unit_test(several_roots),
        cmocka_unit_test(truncated_after_ranks_and_layers),
        cmocka_unit_test(mixtures_and_vectors),
        cmocka_unit_test(rows_skip_layers),
        cmocka_unit_test(rows_that_see_each_other_are_not_parted),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
