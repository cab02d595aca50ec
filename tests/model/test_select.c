/* Functions that choose keys: what they may ask, against double precision; what they answer, against the same lists given as
 * data; and TokenSelect as examples/tokenselect.c has it, with the checks of the paper's selection. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "llama_reference.h"
#include "tensor/engine.h"
int example_main(int argc, char **argv);
#define main example_main
#include "../../examples/tokenselect.c"
#undef main

static const char tiny[] = FIXTURES "/hf-tiny/llama";
static const double BOUND = 2e-4;
enum { N = 96, GROUP = 6, WIDTH = REF_HEADS * REF_DIM, KV_WIDTH = REF_KV * REF_DIM };

struct fixture {
    ref_model ref;
    jt_engine *engine, *scalar; /* scalar: its buffers are unreadable outside operators */
    jt_model *model;
    int32_t ids[N], group[N];
};

static int begin(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    ref_open_hf(&f->ref, tiny);
    for (int i = 0; i < N; i++) f->ids[i] = (i * 71 + 5) % REF_VOCAB, f->group[i] = i / GROUP;
    return jt_engine_new(&(jt_engine_options){.threads = 2}, &f->engine, NULL) ||
           jt_engine_new_guarded(&(jt_engine_options){.threads = 1, .kernels = "scalar"}, &f->scalar, NULL) ||
           jt_model_open(f->engine, tiny, &(jt_model_options){.activations = JT_ACT_FLOAT}, &f->model, NULL);
}

static int end(void **state) {
    struct fixture *f = *state;
    jt_model_free(f->model);
    jt_engine_free(f->engine), jt_engine_free(f->scalar);
    ref_close(&f->ref);
    free(f);
    return 0;
}

static jt_state *raw_state(jt_model *m) {
    jt_state *s;
    assert_int_equal(jt_state_new_raw(m, 256, &s, NULL), JT_OK);
    return s;
}

static void set_function(jt_state *s, jt_status (*select)(void *, jt_select *), void *self) {
    const jt_keys k = {.select = select, .self = self};
    assert_int_equal(jt_state_set_keys(s, &k, 1, NULL), JT_OK);
}

/* Rows [from, to) of the fixture's sequence, `cut` rows in an eval; out: NULL, or [to - from]. */
static void eval_rows(const struct fixture *f, jt_state *s, int from, int to, int cut, float (*out)[REF_VOCAB]) {
    jt_want w[N];
    jt_error err = {0};
    for (int i = from, rows; i < to; i += rows) {
        rows = to - i < cut ? to - i : cut;
        jt_span span = {.state = s, .ids = f->ids + i, .n = rows, .group = f->group + i};
        for (int k = 0; k < rows; k++) w[k] = (jt_want){.row = k, .logits = out ? out[i - from + k] : NULL};
        jt_batch b = {.span = &span, .n_span = 1, .want = w, .n_want = out ? rows : 0};
        if (jt_eval(jt_state_model(s), &b, &err)) fail_msg("%s", err.message);
    }
}

/* In a function that chooses, where the other threads wait: the eval fails, and with it the test. */
#define must(x)                                                                                                                            \
    do {                                                                                                                                   \
        if (!(x)) {                                                                                                                        \
            print_error("line %d: %s\n", __LINE__, #x);                                                                                    \
            return JT_UNSUPPORTED;                                                                                                         \
        }                                                                                                                                  \
    } while (0)

/* ---- the numbers of the paper's selection ---- */

/* Solves a system of 3 by elimination; no pivot of a Gram matrix of independent vectors is 0. */
static void solve(double a[3][4]) {
    for (int i = 0; i < 3; i++)
        for (int r = 0; r < 3; r++) {
            double by = a[r][i] / a[i][i];
            for (int c = 0; r != i && c < 4; c++) a[r][c] -= by * a[i][c];
        }
}

/* A query of head h with these scores for keys 0 to 2: in their span. The keys are the scores of unit vectors. */
static jt_status query_with_scores(const jt_select *x, int h, const double score[3], float *q) {
    float key[3][REF_DIM], s[3];
    double a[3][4] = {{0}};
    memset(q, 0, WIDTH * sizeof *q);
    for (int j = 0; j < REF_DIM; j++) {
        q[h * REF_DIM + j] = 1;
        jt_select_score(x, q, h, 0, 3, s);
        q[h * REF_DIM + j] = 0;
        for (int k = 0; k < 3; k++) key[k][j] = s[k];
    }
    for (int i = 0; i < 3; i++) {
        a[i][3] = score[i];
        for (int k = 0; k < 3; k++)
            for (int j = 0; j < REF_DIM; j++) a[i][k] += (double)key[i][j] * (double)key[k][j];
    }
    solve(a);
    for (int j = 0; j < REF_DIM; j++) {
        double sum = 0;
        for (int i = 0; i < 3; i++) sum += a[i][3] / a[i][i] * (double)key[i][j];
        q[h * REF_DIM + j] = (float)sum;
    }
    jt_select_score(x, q, h, 0, 3, s);
    for (int k = 0; k < 3; k++) must(fabs((double)s[k] - score[k]) < 1e-4 * (1 + fabs(score[k])));
    return JT_OK;
}

struct vote_case {
    double score[REF_HEADS][3];
    int asked;
    float vote[3];
};

static jt_status ask_vote(void *self, jt_select *x) {
    struct vote_case *v = self;
    float all[WIDTH] = {0}, one[WIDTH];
    if (jt_select_layer(x) != 1 || jt_select_keys(x) < 3) return JT_OK;
    for (int h = 0; h < REF_HEADS; h++) {
        must(!query_with_scores(x, h, v->score[h], one));
        memcpy(all + h * REF_DIM, one + h * REF_DIM, REF_DIM * sizeof *one);
    }
    v->asked++;
    return jt_select_vote(x, all, 0, 3, 1, v->vote);
}

/* Heads without scores give each of the three keys a third. */
static void the_vote_is_the_papers(void **state) {
    static const struct {
        double score[REF_HEADS][3], vote[3];
        int kept[2], k;
    } row[] = {{{{2, 0, 0}, {0, 0, 1}}, {0.9989 + 2. / 3, 0.3184 + 2. / 3, 0.6826 + 2. / 3}, {0, 2}, 2},
               {{{10, 0, -50}, {0, 9.9, -50}, {0, 9.9, -50}, {-50, -50, 0}}, {1.0001, 1.9999, 1}, {1}, 1}};
    const struct fixture *f = *state;
    for (int i = 0; i < 2; i++) {
        struct vote_case v = {0};
        int32_t kept[2];
        memcpy(v.score, row[i].score, sizeof v.score);
        jt_state *s = raw_state(f->model);
        set_function(s, ask_vote, &v);
        eval_rows(f, s, 0, 2 * GROUP, N, NULL);
        assert_int_equal(v.asked, 1);
        for (int k = 0; k < 3; k++) assert_true(fabs((double)v.vote[k] - row[i].vote[k]) < 3e-4);
        assert_int_equal(jt_select_top(v.vote, 3, row[i].k, kept), row[i].k);
        assert_memory_equal(kept, row[i].kept, (size_t)row[i].k * sizeof *kept);
        jt_state_free(s);
    }
}

static int by_value(const void *a, const void *b) {
    const float *x = *(const float *const *)a, *y = *(const float *const *)b;
    if (*x != *y) return *x < *y ? 1 : -1;
    return x < y ? -1 : 1;
}

static void the_largest_are_found(void **state) {
    (void)state;
    float v[200];
    const float *order[200];
    int32_t got[200];
    static const float odd[] = {1, NAN, -INFINITY, 3, 3, INFINITY, -2};
    assert_int_equal(jt_select_top(odd, 7, 3, got), 3);
    assert_memory_equal(got, ((int32_t[]){3, 4, 5}), 3 * sizeof *got);
    assert_int_equal(jt_select_top(odd, 7, 2, got), 2);
    assert_memory_equal(got, ((int32_t[]){3, 5}), 2 * sizeof *got);
    assert_int_equal(jt_select_top(odd, 7, 9, got), 5);
    assert_memory_equal(got, ((int32_t[]){0, 3, 4, 5, 6}), 5 * sizeof *got);
    assert_int_equal(jt_select_top(odd, 7, 0, got), 0);
    for (uint32_t n = 1; n <= 200; n += 7)
        for (int k = 1; k <= (int)n; k += 5) {
            int expected[200], m = 0;
            for (uint32_t i = 0; i < n; i++) v[i] = (float)((i * 2654435761u >> 20) % 37), order[i] = &v[i];
            qsort(order, n, sizeof *order, by_value);
            for (uint32_t i = 0; i < n; i++)
                for (int j = 0; j < k; j++)
                    if (order[j] == &v[i]) expected[m++] = (int)i;
            assert_int_equal(jt_select_top(v, (int)n, k, got), k);
            assert_memory_equal(got, expected, (size_t)k * sizeof *got);
        }
}

/* ---- what a function may ask ---- */

struct asked {
    const struct fixture *f;
    bool raw;
    int calls, called[N / GROUP][REF_LAYERS];
    double k[N][KV_WIDTH], q[N][WIDTH]; /* of layer 0, before the rotation */
};

static void make_queries(struct asked *a) {
    const ref_model *m = &a->f->ref;
    double x[REF_HIDDEN], h[REF_HIDDEN];
    for (int i = 0; i < N; i++) {
        ref_embed(m, a->f->ids[i], x);
        ref_norm(m, m->layer[0][REF_NORM_A], x, h);
        ref_linear(m->layer[0][REF_Q], WIDTH, REF_HIDDEN, h, a->q[i]), ref_linear(m->layer[0][REF_K], KV_WIDTH, REF_HIDDEN, h, a->k[i]);
    }
}

static jt_status ask_all(void *self, jt_select *x) {
    struct asked *a = self;
    const ref_model *m = &a->f->ref;
    static const int places[] = {0, 3, 300, 1};
    int keys = jt_select_keys(x), rows = jt_select_rows(x);
    float q[WIDTH], score[N];
    must(rows == GROUP && keys % GROUP == 0);
    must(a->called[keys / GROUP][jt_select_layer(x)]++ == 0);
    a->calls++;
    if (jt_select_layer(x) != 0) return JT_OK;
    for (int p = 0; p < 4; p++) {
        double mean[WIDTH] = {0}, want[WIDTH];
        for (int i = 0; i < rows; i++) {
            for (int h = 0; h < REF_HEADS; h++) ref_turn(m, a->q[keys + i] + h * REF_DIM, places[p] + i, want + h * REF_DIM);
            for (int j = 0; j < WIDTH; j++) mean[j] += want[j] / rows;
            for (int h = 0; h < REF_HEADS; h++) ref_turn(m, a->q[keys + i] + h * REF_DIM, places[p], want + h * REF_DIM);
            jt_select_query(x, i, places[p], q);
            for (int j = 0; j < WIDTH; j++) must(fabs((double)q[j] - want[j]) <= BOUND);
        }
        jt_select_mean_query(x, places[p], q);
        for (int j = 0; j < WIDTH; j++) must(fabs((double)q[j] - mean[j]) <= BOUND);
    }
    for (int h = 0; h < REF_HEADS; h++) {
        int first = keys / 3;
        jt_select_score(x, q, h, first, keys, score);
        for (int k = first; k < keys; k++) {
            double key[REF_DIM], want = 0;
            ref_turn(m, a->k[k] + h / (REF_HEADS / REF_KV) * REF_DIM, a->raw ? 0 : k, key);
            for (int j = 0; j < REF_DIM; j++) want += (double)q[h * REF_DIM + j] * key[j];
            must(fabs((double)score[k - first] - want) <= BOUND * (1 + fabs(want)));
        }
    }
    return JT_OK;
}

/* Also that a function is called once for each group and layer, and that one without answer changes nothing. */
static void queries_and_scores_are_those_of_the_model(void **state) {
    const struct fixture *f = *state;
    static float want[N][REF_VOCAB], got[N][REF_VOCAB];
    static struct asked a;
    for (int raw = 0; raw < 2; raw++)
        for (int cut = GROUP; cut <= N; cut *= 4) {
            jt_state *s = raw ? raw_state(f->model) : NULL, *t;
            if (!raw) assert_int_equal(jt_state_new(f->model, 256, &s, NULL), JT_OK);
            a = (struct asked){.f = f, .raw = raw};
            make_queries(&a);
            assert_int_equal(jt_state_fork(s, &t, NULL), JT_OK);
            set_function(s, ask_all, &a);
            eval_rows(f, s, 0, N, cut, got);
            eval_rows(f, t, 0, N, N, want);
            assert_int_equal(a.calls, REF_LAYERS * N / GROUP);
            assert_memory_equal(got, want, sizeof got);
            jt_state_free(s), jt_state_free(t);
        }
}

struct tree_case {
    int calls, keys[8], rows[8], hidden;
};

static jt_status ask_in_tree(void *self, jt_select *x) {
    struct tree_case *t = self;
    float q[WIDTH], score[64];
    if (jt_select_layer(x) != 1) return JT_OK;
    t->keys[t->calls] = jt_select_keys(x), t->rows[t->calls++] = jt_select_rows(x);
    jt_select_query(x, 0, 0, q);
    jt_select_score(x, q, 0, 0, jt_select_keys(x), score);
    for (int k = 0; k < jt_select_keys(x); k++) t->hidden += score[k] == -INFINITY;
    return JT_OK;
}

/* Groups on a tree count keys along their own paths; keys of a higher rank, and of rows that skip the layer, have no score; a group
 * of rows that all skip it is not asked about. */
static void groups_of_a_tree(void **state) {
    const struct fixture *f = *state;
    struct tree_case t = {0};
    jt_state *s = raw_state(f->model);
    int32_t rank[20], parent[9] = {19, 20, 20, 19, 23, 10, 25, 25, 19}, group[9] = {1, 1, 1, 2, 2, 3, 3, 3, 4};
    jt_layers layers[20], some[9];
    for (int i = 0; i < 20; i++) rank[i] = i == 4 ? 100 : i, layers[i] = (jt_layers){{i == 7 || i == 8 ? 5 : 7}};
    for (int i = 0; i < 9; i++) some[i] = (jt_layers){{i == 8 ? 5 : 7}};
    jt_span span = {.state = s, .ids = f->ids, .n = 20, .rank = rank, .layers = layers};
    assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1}, NULL), JT_OK);
    set_function(s, ask_in_tree, &t);
    span = (jt_span){.state = s, .ids = f->ids + 20, .n = 9, .parent = parent, .group = group, .layers = some};
    assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1}, NULL), JT_OK);
    assert_int_equal(t.calls, 3);
    assert_memory_equal(t.keys, ((int[]){20, 20, 11}), 3 * sizeof(int));
    assert_memory_equal(t.rows, ((int[]){3, 2, 3}), 3 * sizeof(int));
    assert_int_equal(t.hidden, 9);
    jt_state_free(s);
}

/* ---- answers ---- */

enum { FIRST = 5, LOCAL = 9, KEYS = 14 };

/* TokenSelect that writes down what it chose. */
struct noted {
    struct token_select t;
    int n[N / GROUP][REF_LAYERS];
    int32_t list[N / GROUP][REF_LAYERS][N];
};

static jt_status choose_and_note(void *self, jt_select *x) {
    struct noted *m = self;
    int g = jt_select_keys(x) / GROUP, l = jt_select_layer(x);
    double before = m->t.read;
    jt_status s = choose(&m->t, x);
    m->n[g][l] = -1;
    if (!s && FIRST + m->t.keys < jt_select_keys(x) - LOCAL) {
        m->n[g][l] = (int)(m->t.read - before) - LOCAL;
        memcpy(m->list[g][l], m->t.list, (size_t)m->n[g][l] * sizeof(int32_t));
    }
    return s;
}

static void make_noted(struct noted *m, const jt_model *model, int keys, double reuse) {
    memset(m, 0, sizeof *m);
    m->t.first = FIRST, m->t.local = LOCAL, m->t.keys = keys, m->t.reuse = reuse;
    assert_true(token_select_make(&m->t, model, N));
}

static void all_keys_selected_are_the_plain_bits(void **state) {
    static const jt_kv_type types[] = {JT_KV_F32, JT_KV_F16, JT_KV_Q8_0};
    const struct fixture *f = *state;
    static float want[N][REF_VOCAB], got[N][REF_VOCAB];
    static struct noted m;
    for (int i = 0; i < 3; i++) {
        jt_model *model;
        jt_state *s;
        assert_int_equal(jt_model_open(f->engine, tiny, &(jt_model_options){.kv_type = types[i]}, &model, NULL), JT_OK);
        for (int chosen = 0; chosen < 2; chosen++) {
            make_noted(&m, model, N, 2);
            s = raw_state(model);
            if (chosen) set_function(s, choose_and_note, &m);
            eval_rows(f, s, 0, N, N, chosen ? got : want);
            jt_state_free(s);
            token_select_free(&m.t);
        }
        assert_memory_equal(got, want, sizeof got);
        jt_model_free(model);
    }
}

static int noted_place(const struct noted *m, int node, int key, int layer) {
    int g = node / GROUP, own = g * GROUP, from = own - LOCAL, n = m->n[g][layer];
    if (n < 0) return key;
    for (int i = 0; i < n; i++)
        if (m->list[g][layer][i] == key) return i;
    return key >= from ? n + key - from : -1;
}

static double noted_hidden(void *self, int node, int key, int layer, int head) {
    (void)head;
    return noted_place(self, node, key, layer) < 0 ? -INFINITY : 0;
}
static int noted_places(void *self, int node, int key, int layer, int head) {
    int place = noted_place(self, node, key, layer);
    (void)head;
    return place < 0 ? 0 : place;
}

/* The selection of the first layer by the paper's rule, in double precision, and how far the last key taken is above the first left. */
static double selection_of(const struct asked *a, const struct noted *m, int g, int32_t *list) {
    int own = g * GROUP, old = own - LOCAL, n = 0;
    double vote[N] = {0}, least = INFINITY, most = -INFINITY;
    for (int h = 0; h < REF_HEADS; h++) {
        double q[REF_DIM] = {0}, one[REF_DIM], s[N], total = 0;
        for (int i = 0; i < GROUP; i++) {
            ref_turn(&a->f->ref, a->q[own + i] + h * REF_DIM, LOCAL + i, one);
            for (int j = 0; j < REF_DIM; j++) q[j] += one[j] / GROUP;
        }
        for (int k = FIRST; k < old; k++) {
            s[k] = 0;
            for (int j = 0; j < REF_DIM; j++) s[k] += q[j] * a->k[k][h / (REF_HEADS / REF_KV) * REF_DIM + j];
            total += exp(s[k]);
        }
        for (int k = FIRST; k < old; k++) vote[k] += exp(s[k]) / total;
    }
    for (int i = 0; i < FIRST; i++) list[n++] = i;
    for (int k = FIRST; k < old; k++) {
        int above = 0;
        for (int j = FIRST; j < old; j++) above += vote[j] > vote[k];
        if (above < m->t.keys)
            list[n++] = k, least = fmin(least, vote[k]);
        else
            most = fmax(most, vote[k]);
    }
    return least - most;
}

static void the_selection_is_the_papers(void **state) {
    const struct fixture *f = *state;
    static float got[N][REF_VOCAB];
    static double x[N * REF_HIDDEN], want[N * REF_VOCAB];
    static uint8_t mask[N * N];
    static struct noted m;
    static struct asked a;
    int position[N], checked = 0;
    a = (struct asked){.f = f};
    make_queries(&a);
    make_noted(&m, f->model, KEYS, 2);
    jt_state *s = raw_state(f->model);
    set_function(s, choose_and_note, &m);
    eval_rows(f, s, 0, N, N, got);
    for (int g = 0; g < N / GROUP; g++) {
        int32_t list[N];
        if (m.n[g][0] < 0 || selection_of(&a, &m, g, list) < 1e-4) continue;
        assert_int_equal(m.n[g][0], FIRST + KEYS);
        assert_memory_equal(m.list[g][0], list, (FIRST + KEYS) * sizeof *list);
        checked++;
    }
    assert_true(checked > 5);
    /* and what is attended to with it, at positions that count on */
    for (int i = 0; i < N; i++) {
        position[i] = i;
        ref_embed(&f->ref, f->ids[i], x + i * REF_HIDDEN);
        for (int k = 0; k < N; k++) mask[i * N + k] = k <= i;
    }
    ref_run(
        &f->ref,
        &(ref_nodes){
            .n = N, .x = x, .position = position, .mask = mask, .bias = noted_hidden, .place = noted_places, .self = &m, .logits = want});
    for (int i = 0; i < N; i++)
        for (int c = 0; c < REF_VOCAB; c++) assert_true(fabs((double)got[i][c] - want[i * REF_VOCAB + c]) <= BOUND);
    jt_state_free(s);
    token_select_free(&m.t);
}

/* What a function chose, given as data. */
static void an_answer_is_the_list_given_as_data(void **state) {
    const struct fixture *f = *state;
    static float want[GROUP][REF_VOCAB], got[GROUP][REF_VOCAB];
    static struct noted m;
    make_noted(&m, f->model, KEYS, 2);
    jt_state *s = raw_state(f->model), *t;
    set_function(s, choose_and_note, &m);
    eval_rows(f, s, 0, N - GROUP, N, NULL);
    assert_int_equal(jt_state_fork(s, &t, NULL), JT_OK);
    eval_rows(f, s, N - GROUP, N, N, want);
    jt_keys k[REF_LAYERS];
    for (int l = 0; l < REF_LAYERS; l++)
        k[l] = (jt_keys){.layer_first = l,
                         .layer_end = l + 1,
                         .depth = m.list[N / GROUP - 1][l],
                         .n = m.n[N / GROUP - 1][l],
                         .local = LOCAL,
                         .renumber = 1};
    assert_int_equal(jt_state_set_keys(t, k, REF_LAYERS, NULL), JT_OK);
    eval_rows(f, t, N - GROUP, N, N, got);
    assert_memory_equal(got, want, sizeof got);
    jt_state_free(s), jt_state_free(t);
    token_select_free(&m.t);
}

static void bits_do_not_depend_on_chunks_threads_or_kernels(void **state) {
    static const jt_kv_type types[] = {JT_KV_F32, JT_KV_F16, JT_KV_Q8_0};
    const struct fixture *f = *state;
    static float want[N][REF_VOCAB], got[N][REF_VOCAB];
    static struct noted m;
    for (int i = 0; i < 6; i++) {
        jt_model *slow, *fast;
        jt_model_options o = {.activations = i < 3 ? JT_ACT_INT8 : JT_ACT_FLOAT, .kv_type = types[i % 3], .ubatch = 7};
        assert_int_equal(jt_model_open(f->scalar, tiny, &o, &slow, NULL), JT_OK);
        o.ubatch = 0;
        assert_int_equal(jt_model_open(f->engine, tiny, &o, &fast, NULL), JT_OK);
        for (int cut = 0; cut <= N; cut = cut ? cut * 4 : GROUP) {
            make_noted(&m, f->model, KEYS, 0.9);
            jt_state *s = raw_state(cut ? fast : slow);
            set_function(s, choose_and_note, &m);
            eval_rows(f, s, 0, N, cut ? cut : N, cut ? got : want);
            if (cut) assert_memory_equal(got, want, sizeof got);
            jt_state_free(s);
            token_select_free(&m.t);
        }
        jt_model_free(slow), jt_model_free(fast);
    }
}

/* A selection stays while the query is similar: for ever below -1, never above 1. */
static void selections_are_kept_while_queries_are_alike(void **state) {
    const struct fixture *f = *state;
    static struct noted m;
    for (int kept = 0; kept < 2; kept++) {
        int first = 0, changes = 0;
        make_noted(&m, f->model, KEYS, kept ? -2 : 2);
        jt_state *s = raw_state(f->model);
        set_function(s, choose_and_note, &m);
        eval_rows(f, s, 0, N, N, NULL);
        while (m.n[first][1] < 0) first++;
        for (int g = first + 1; g < N / GROUP; g++)
            changes += memcmp(m.list[g][1], m.list[g - 1][1], (FIRST + KEYS) * sizeof(int32_t)) != 0;
        assert_true(kept ? changes == 0 : changes > 3);
        jt_state_free(s);
        token_select_free(&m.t);
    }
}

/* ---- failures ---- */

struct failing {
    int calls, when;
    jt_status with;
    jt_keys wrong;
};

static jt_status fail_then(void *self, jt_select *x) {
    struct failing *f = self;
    if (f->calls++ != f->when) return JT_OK;
    return f->with ? f->with : jt_select_use(x, &f->wrong);
}

static void failures_leave_the_state_as_it_was(void **state) {
    const struct fixture *f = *state;
    int32_t down[2] = {4, 2}, late[1] = {2 * GROUP};
    const struct {
        struct failing f;
        jt_status status;
        const char *word;
    } row[] = {{{.when = 0, .with = JT_LIMIT}, JT_LIMIT, "a function that chooses keys failed"},
               {{.when = 8, .with = JT_UNSUPPORTED}, JT_UNSUPPORTED, "unsupported"},
               {{.when = 7, .wrong = {.depth = down, .n = 2}}, JT_INVALID, "depth 2"},
               {{.when = 7, .wrong = {.depth = late, .n = 1}}, JT_INVALID, "below 12"},
               {{.when = 7, .wrong = {.renumber = 1}}, JT_INVALID, "raw"},
               {{.when = 7, .wrong = {.heads = (int[]){REF_KV}, .n_heads = 1}}, JT_INVALID, "head 2"}};
    jt_state *s;
    jt_error err;
    float want[GROUP][REF_VOCAB], got[GROUP][REF_VOCAB];
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct failing fl = row[i].f;
        assert_int_equal(jt_state_new(f->model, 256, &s, NULL), JT_OK);
        eval_rows(f, s, 0, GROUP, N, NULL);
        const jt_keys k = {.select = fail_then, .self = &fl};
        assert_int_equal(jt_state_set_keys(s, &k, 1, NULL), JT_OK);
        jt_span span = {.state = s, .ids = f->ids + GROUP, .n = 3 * GROUP, .group = f->group + GROUP};
        fl.calls = 0;
        assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1}, &err), row[i].status);
        if (!strstr(err.message, row[i].word)) fail_msg("%zu: %s", i, err.message);
        assert_int_equal(jt_state_length(s), GROUP);
        assert_int_equal(fl.calls, fl.when + 1);
        assert_int_equal(jt_state_set_keys(s, NULL, 0, NULL), JT_OK);
        eval_rows(f, s, GROUP, 2 * GROUP, N, i ? got : want);
        if (i) assert_memory_equal(got, want, sizeof got);
        jt_state_free(s);
    }
}

static void failed_allocations_are_clean(void **state) {
    const struct fixture *f = *state;
    static struct noted m;
    jt_error err;
    for (long i = 0;; i++) {
        jt_model *model;
        assert_int_equal(jt_model_open(f->engine, tiny, NULL, &model, NULL), JT_OK);
        make_noted(&m, model, KEYS, 2);
        jt_state *s = raw_state(model);
        set_function(s, choose_and_note, &m);
        jt_span span = {.state = s, .ids = f->ids, .n = N, .group = f->group};
        alloc_fail_at(i);
        jt_status e = jt_eval(model, &(jt_batch){.span = &span, .n_span = 1}, &err);
        bool failed = alloc_count() > i;
        alloc_fail_at(-1);
        assert_int_equal(e, failed ? JT_NOMEM : JT_OK);
        assert_int_equal(jt_state_length(s), failed ? 0 : N);
        jt_state_free(s);
        token_select_free(&m.t);
        jt_model_free(model);
        if (!failed) break;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vote_is_the_papers),
        cmocka_unit_test(the_largest_are_found),
        cmocka_unit_test(queries_and_scores_are_those_of_the_model),
        cmocka_unit_test(groups_of_a_tree),
        cmocka_unit_test(all_keys_selected_are_the_plain_bits),
        cmocka_unit_test(the_selection_is_the_papers),
        cmocka_unit_test(an_answer_is_the_list_given_as_data),
        cmocka_unit_test(bits_do_not_depend_on_chunks_threads_or_kernels),
        cmocka_unit_test(selections_are_kept_while_queries_are_alike),
        cmocka_unit_test(failures_leave_the_state_as_it_was),
        cmocka_unit_test(failed_allocations_are_clean),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
