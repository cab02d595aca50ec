/* Taps: each operation against the same edit written out in the double-precision reference, rows without
 * taps bit for bit untouched, and refusals by name. */
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
#include "jeton/tap.h"
#include "llama_reference.h"

enum { VOCAB = 320, HIDDEN = 64, LAYERS = 3, N = 40 };
static const char folder[] = FIXTURES "/hf-tiny/llama";

struct fixture {
    jt_engine *engine;
    jt_model *model;
    ref_model ref;
};

static int begin(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    ref_open_hf(&f->ref, folder);
    return jt_engine_new(&(jt_engine_options){.threads = 3}, &f->engine, NULL) ||
           jt_model_open(f->engine, folder, &(jt_model_options){.activations = JT_ACT_FLOAT, .ubatch = 16}, &f->model, NULL);
}

static int end(void **state) {
    struct fixture *f = *state;
    jt_model_free(f->model);
    jt_engine_free(f->engine);
    ref_close(&f->ref);
    free(f);
    return 0;
}

struct captured {
    int n, tag[2000], layer[2000], node[2000], span[2000], width[2000];
    float x[2000][HIDDEN];
};

static void capture(void *self, int span, int node, int layer, int tag, const float *x, int width) {
    struct captured *c = self;
    assert_true(c->n < 2000);
    c->span[c->n] = span, c->node[c->n] = node, c->layer[c->n] = layer, c->tag[c->n] = tag, c->width[c->n] = width;
    memcpy(c->x[c->n++], x, HIDDEN * sizeof *x);
}

static void ids_of(int32_t *ids, int seed) {
    for (int i = 0; i < N; i++) ids[i] = (i * 29 + seed * 13 + 1) % VOCAB;
}

/* All logits of N tokens on a fresh state with these taps, beside a plain state of other tokens. */
static void run(const struct fixture *f, const jt_tap *t, int n, float logits[N][VOCAB], float plain[VOCAB], struct captured *c,
                float *residual) {
    jt_state *s, *other;
    int32_t ids[N], more[N];
    jt_want w[N + 1];
    ids_of(ids, 1), ids_of(more, 2);
    assert_int_equal(jt_state_new(f->model, 64, &s, NULL), JT_OK);
    assert_int_equal(jt_state_new(f->model, 64, &other, NULL), JT_OK);
    jt_error err;
    if (jt_state_set_taps(s, t, n, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < N; i++) w[i] = (jt_want){.row = i, .logits = logits[i]};
    w[N] = (jt_want){.row = 2 * N - 1, .logits = plain};
    jt_span span[2] = {{.state = s, .ids = ids, .n = N}, {.state = other, .ids = more, .n = N}};
    jt_batch b = {
        .span = span, .n_span = 2, .want = w, .n_want = N + 1, .residual = residual, .captured = c ? capture : NULL, .captured_self = c};
    if (jt_eval(f->model, &b, &err)) fail_msg("%s", err.message);
    jt_state_free(s), jt_state_free(other);
}

static void plain_rows_keep_their_bits_and_neutral_taps_are_the_identity(void **state) {
    const struct fixture *f = *state;
    static float a[N][VOCAB], b[N][VOCAB];
    float p[VOCAB], q[VOCAB], vec[HIDDEN];
    for (int i = 0; i < HIDDEN; i++) vec[i] = (float)i - 20;
    run(f, NULL, 0, a, p, NULL, NULL);
    const jt_tap neutral[] = {{.site = "residual", .op = JT_TAP_SCALE, .value = 1},
                              {.site = "mlp", .op = JT_TAP_ADD, .value = 0, .vec = vec},
                              {.site = "attention", .op = JT_TAP_PROJECT_OUT, .value = 0, .vec = vec},
                              {.site = "residual", .op = JT_TAP_CAPTURE}};
    run(f, neutral, 4, b, q, NULL, NULL);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_equal(p, q, sizeof p);
    const jt_tap strong[] = {{.site = "residual", .op = JT_TAP_ADD, .value = 3, .vec = vec},
                             {.site = "score", .op = JT_TAP_KEY_BIAS, .value = -4, .key_first = 3, .key_end = 9}};
    run(f, strong, 2, b, q, NULL, NULL);
    assert_memory_not_equal(a, b, sizeof a);
    assert_memory_equal(p, q, sizeof p);
}

static void captures_are_the_rows(void **state) {
    const struct fixture *f = *state;
    static float logits[N][VOCAB], residual[(LAYERS + 1) * 2 * N * HIDDEN];
    static struct captured c;
    float plain[VOCAB];
    memset(&c, 0, sizeof c);
    const jt_tap t[] = {{.site = "residual", .op = JT_TAP_CAPTURE, .tag = 5, .row_first = 10, .row_end = 30},
                        {.site = "mlp", .op = JT_TAP_CAPTURE, .tag = 6, .layer_first = 1, .layer_end = 2}};
    run(f, t, 2, logits, plain, &c, residual);
    int five = 0, six = 0;
    for (int i = 0; i < c.n; i++) {
        assert_int_equal(c.span[i], 0);
        assert_int_equal(c.width[i], HIDDEN);
        if (c.tag[i] == 6) {
            assert_int_equal(c.layer[i], 1);
            six++;
            continue;
        }
        assert_true(c.node[i] >= 10 && c.node[i] < 30);
        assert_memory_equal(c.x[i], residual + (c.layer[i] * 2 * N + c.node[i]) * HIDDEN, sizeof c.x[i]);
        five++;
    }
    assert_int_equal(five, 20 * (LAYERS + 1));
    assert_int_equal(six, N);
}

/* Streams of single layers, asked by rows: the residual stream, edits included; nothing else changes. */
static void wanted_streams_are_the_residual(void **state) {
    const struct fixture *f = *state;
    static float logits[N][VOCAB], residual[(LAYERS + 1) * 2 * N * HIDDEN], got[N][VOCAB], stream[N][LAYERS + 2][HIDDEN];
    static const int layer[] = {LAYERS, 1, 0, 1, 2};
    static struct captured c, d;
    float plain[VOCAB], vec[HIDDEN], again[VOCAB];
    int32_t ids[N], more[N];
    jt_want w[N + 1];
    jt_state *s, *other;
    jt_error err;
    memset(&c, 0, sizeof c), memset(&d, 0, sizeof d);
    for (int i = 0; i < HIDDEN; i++) vec[i] = (float)(i % 7) - 3;
    const jt_tap t[] = {{.site = "residual", .op = JT_TAP_CAPTURE, .tag = 5, .row_first = 10, .row_end = 30},
                        {.site = "residual", .op = JT_TAP_ADD, .value = 0.25f, .vec = vec, .layer_first = 1, .layer_end = 2},
                        {.site = "mlp", .op = JT_TAP_CAPTURE, .tag = 6, .layer_first = 1, .layer_end = 2}};
    run(f, t, 3, logits, plain, &c, residual);
    ids_of(ids, 1), ids_of(more, 2);
    for (int way = 0; way < 2; way++) {
        assert_int_equal(jt_state_new(f->model, 64, &s, NULL), JT_OK);
        assert_int_equal(jt_state_new(f->model, 64, &other, NULL), JT_OK);
        assert_int_equal(jt_state_set_taps(s, t, 3, NULL), JT_OK);
        for (int i = 0; i < N; i++)
            w[i] = (jt_want){.row = i, .logits = got[i], .layer = layer, .n_layer = i % 3 ? 5 - i % 2 : 0, .stream = stream[i][0]};
        w[N] = (jt_want){.row = 2 * N - 1, .logits = again};
        jt_span span[2] = {{.state = s, .ids = ids, .n = N}, {.state = other, .ids = more, .n = N}};
        d.n = 0;
        jt_batch b = {.span = span, .n_span = 2, .want = w, .n_want = N + 1, .captured = capture, .captured_self = &d};
        if (way) b.captured = NULL;
        if (jt_eval(f->model, &b, &err)) fail_msg("%s", err.message);
        assert_memory_equal(got, logits, sizeof got);
        assert_memory_equal(again, plain, sizeof plain);
        for (int i = 0; i < N; i++)
            for (int k = 0; k < w[i].n_layer; k++)
                assert_memory_equal(stream[i][k], residual + (layer[k] * 2 * N + i) * HIDDEN, HIDDEN * sizeof(float));
        if (!way)
            assert_true(d.n == c.n && !memcmp(d.x, c.x, (size_t)c.n * sizeof *c.x) && !memcmp(d.tag, c.tag, (size_t)c.n * sizeof(int)));
        jt_state_free(s), jt_state_free(other);
    }
    assert_int_equal(jt_state_new(f->model, 64, &s, NULL), JT_OK);
    static const int outside[] = {LAYERS + 1, -1};
    for (int k = 0; k < 2; k++) {
        w[0] = (jt_want){.row = 0, .layer = &outside[k], .n_layer = 1, .stream = stream[0][0]};
        jt_batch b = {.span = &(jt_span){.state = s, .ids = ids, .n = 1}, .n_span = 1, .want = w, .n_want = 1};
        assert_int_equal(jt_eval(f->model, &b, &err), JT_INVALID);
        assert_non_null(strstr(err.message, "the model has layers 0 to 3"));
    }
    w[0].layer = layer;
    assert_int_equal(jt_project(f->model, vec, 1, w, 1, &err), JT_INVALID);
    bool failed = true; /* every allocation of it */
    for (long i = 0; failed; i++) {
        w[0] = (jt_want){.row = 2, .layer = layer, .n_layer = 5, .stream = stream[0][0]};
        jt_batch b = {.span = &(jt_span){.state = s, .ids = more, .n = 3}, .n_span = 1, .want = w, .n_want = 1};
        alloc_fail_at(i);
        jt_status e = jt_eval(f->model, &b, &err);
        failed = alloc_count() > i;
        alloc_fail_at(-1);
        if (failed) assert_int_equal(e, JT_NOMEM);
        assert_int_equal(jt_state_length(s), failed ? 0 : 3);
    }
    jt_state_free(s);
}

/* The edits, made by a host function on the same rows, give the same logits. */
struct edit {
    jt_tap_op op;
    float value, vec[HIDDEN];
};
static jt_status by_hand(void *self, int layer, int node, float *x, int width) {
    const struct edit *e = self;
    (void)layer, (void)node;
    double xv = 0, vv = 0;
    for (int i = 0; i < width; i++) xv += (double)x[i] * (double)e->vec[i], vv += (double)e->vec[i] * (double)e->vec[i];
    for (int i = 0; i < width; i++) {
        if (e->op == JT_TAP_ADD) x[i] = (float)((double)x[i] + (double)e->value * (double)e->vec[i]);
        if (e->op == JT_TAP_SCALE) x[i] = (float)((double)x[i] * (double)e->value);
        if (e->op == JT_TAP_PROJECT_OUT) x[i] = (float)((double)x[i] - (double)e->value * xv / vv * (double)e->vec[i]);
    }
    return JT_OK;
}

static void edits_equal_the_same_edits_by_hand(void **state) {
    const struct fixture *f = *state;
    static const char *const site[] = {"residual", "query", "heads", "attention", "mlp"};
    static float a[N][VOCAB], b[N][VOCAB], none[N][VOCAB];
    float p[VOCAB];
    run(f, NULL, 0, none, p, NULL, NULL);
    for (int s = 0; s < 5; s++)
        for (jt_tap_op op = JT_TAP_ADD; op <= JT_TAP_PROJECT_OUT; op++) {
            struct edit e = {.op = op, .value = 0.7f};
            for (int i = 0; i < HIDDEN; i++) e.vec[i] = (float)((i * 7 + s) % 11 - 5) / 9;
            jt_tap data = {
                .site = site[s], .op = op, .value = e.value, .vec = e.vec, .layer_first = 1, .layer_end = 3, .row_first = 4, .row_end = 33};
            jt_tap hand = data;
            hand.op = JT_TAP_HOST, hand.host = by_hand, hand.self = &e;
            run(f, &data, 1, a, p, NULL, NULL), run(f, &hand, 1, b, p, NULL, NULL);
            double most = 0, moved = 0;
            for (int i = 0; i < N; i++)
                for (int v = 0; v < VOCAB; v++) {
                    if (fabsf(a[i][v] - b[i][v]) > (float)most) most = fabsf(a[i][v] - b[i][v]);
                    if (fabsf(a[i][v] - none[i][v]) > (float)moved) moved = fabsf(a[i][v] - none[i][v]);
                }
            assert_true(most < 1e-4); /* float32 against double edits */
            assert_true(moved > 1e-3);
            assert_memory_equal(a, none, 4 * sizeof a[0]); /* rows before the first edited one */
        }
}

/* A bias of -inf on keys is the same as not having them: compared with ranks that hide them. */
static void a_bias_hides_keys_as_ranks_do(void **state) {
    const struct fixture *f = *state;
    static float biased[N][VOCAB];
    float plain[VOCAB], hidden[VOCAB];
    const jt_tap t = {.site = "score", .op = JT_TAP_KEY_BIAS, .value = -INFINITY, .key_first = 0, .key_end = 37, .row_first = N - 1};
    run(f, &t, 1, biased, plain, NULL, NULL);
    jt_state *s;
    int32_t ids[N];
    ids_of(ids, 1);
    assert_int_equal(jt_state_new(f->model, 64, &s, NULL), JT_OK);
    jt_span span = {.state = s, .ids = ids, .n = N - 1};
    assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1}, NULL), JT_OK);
    jt_want w = {.row = 0, .logits = hidden};
    const jt_tap heads = {.site = "score",
                          .op = JT_TAP_KEY_BIAS,
                          .value = -INFINITY,
                          .key_first = 0,
                          .key_end = 37,
                          .heads = (int[]){0, 1, 2, 3},
                          .n_heads = 4};
    assert_int_equal(jt_state_set_taps(s, &heads, 1, NULL), JT_OK);
    span = (jt_span){.state = s, .ids = ids + N - 1, .n = 1};
    assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1, .want = &w, .n_want = 1}, NULL), JT_OK);
    assert_memory_equal(hidden, biased[N - 1], sizeof hidden);
    for (int v = 0; v < VOCAB; v++) assert_true(isfinite(hidden[v]));
    jt_state_free(s);
}

/* ---- against double precision ---- */

/* Edits and biases of one list of taps on rows without branches, as the reference wants them. */
struct slow {
    const jt_tap *t;
    int n;
};

static bool slow_acts(const jt_tap *t, const char *site, int layer, int depth) {
    return !strcmp(t->site, site) && (!t->layer_end || (layer >= t->layer_first && layer < t->layer_end)) && depth >= t->row_first &&
           (!t->row_end || depth < t->row_end);
}

static double slow_bias(void *self, int node, int key, int layer, int head) {
    const struct slow *f = self;
    double sum = 0;
    for (int i = 0; i < f->n; i++) {
        const jt_tap *t = &f->t[i];
        bool on = !t->heads;
        for (int k = 0; t->heads && k < t->n_heads; k++) on |= t->heads[k] == head;
        if (on && slow_acts(t, "score", layer, node) && key >= t->key_first && (!t->key_end || key < t->key_end)) sum += (double)t->value;
    }
    return sum;
}

static void slow_edit(void *self, int node, int layer, int site, double *x, int width) {
    const struct slow *f = self;
    for (int i = 0; i < f->n; i++) {
        const jt_tap *t = &f->t[i];
        if (!slow_acts(t, jt_site_name(site), layer, node)) continue;
        for (int c = 0; c < width && t->op == JT_TAP_ADD; c++) x[c] += (double)t->value * (double)t->vec[c];
        for (int c = 0; c < width && t->op == JT_TAP_SCALE; c++) x[c] *= (double)t->value;
    }
}

/* The logits of ids_of(1) with these taps, and with layers that rows run (NULL: all). */
static void slow_run(const struct fixture *f, const jt_tap *t, int n, const unsigned *runs, double logits[N * VOCAB]) {
    static double x[N * HIDDEN];
    uint8_t mask[N * N];
    int32_t ids[N];
    int position[N];
    ids_of(ids, 1);
    for (int i = 0; i < N; i++) {
        position[i] = i;
        ref_embed(&f->ref, ids[i], x + i * HIDDEN);
        for (int k = 0; k < N; k++) mask[i * N + k] = k <= i;
    }
    ref_run(&f->ref, &(ref_nodes){.n = N,
                                  .x = x,
                                  .position = position,
                                  .mask = mask,
                                  .runs = runs,
                                  .edit = slow_edit,
                                  .bias = slow_bias,
                                  .self = &(struct slow){t, n},
                                  .logits = logits});
}

static void near_all(float got[N][VOCAB], const double *want) {
    for (int i = 0; i < N; i++)
        for (int c = 0; c < VOCAB; c++)
            if (!(fabs((double)got[i][c] - want[i * VOCAB + c]) <= 2e-4))
                fail_msg("row %d, logit %d: %g, not %g", i, c, (double)got[i][c], want[i * VOCAB + c]);
}

static void finite_biases_act_on_their_heads_layers_rows_and_keys(void **state) {
    const struct fixture *f = *state;
    static float got[N][VOCAB];
    static double want[N * VOCAB];
    float plain[VOCAB];
    const int two[] = {1, 2}, one[] = {3};
    const jt_tap t[] = {
        {.site = "score", .op = JT_TAP_KEY_BIAS, .value = 1.5f, .key_first = 3, .key_end = 34, .row_first = 6, .heads = two, .n_heads = 2},
        {.site = "score", .op = JT_TAP_KEY_BIAS, .value = -2.25f, .key_first = 0, .key_end = 8, .layer_first = 1, .layer_end = 2},
        {.site = "score", .op = JT_TAP_KEY_BIAS, .value = 4, .key_first = 20, .row_end = 36, .heads = one, .n_heads = 1},
        {.site = "score",
         .op = JT_TAP_KEY_BIAS,
         .value = -INFINITY,
         .key_first = 5,
         .key_end = 6,
         .row_first = 6,
         .heads = one,
         .n_heads = 1}};
    for (int n = 1; n <= 4; n++) {
        run(f, t, n, got, plain, NULL, NULL);
        slow_run(f, t, n, NULL, want);
        near_all(got, want);
    }
}

/* A row whose keys are all taken away gets nothing from the mixer. */
static void a_row_may_see_no_key(void **state) {
    const struct fixture *f = *state;
    static float got[N][VOCAB];
    static double want[N * VOCAB];
    float plain[VOCAB];
    const int one[] = {2};
    const jt_tap t[] = {
        {.site = "score",
         .op = JT_TAP_KEY_BIAS,
         .value = -INFINITY,
         .key_first = 0,
         .key_end = N,
         .row_first = 20,
         .heads = one,
         .n_heads = 1},
        {.site = "score", .op = JT_TAP_KEY_BIAS, .value = -INFINITY, .key_first = 0, .key_end = N, .layer_first = 1, .layer_end = 2}};
    run(f, t, 2, got, plain, NULL, NULL);
    slow_run(f, t, 2, NULL, want);
    near_all(got, want);
}

/* In a layer that a row skips, edits of the stream itself act, and nothing else is there to edit or to capture. */
static void taps_beside_layers(void **state) {
    const struct fixture *f = *state;
    static float got[N][VOCAB];
    static double want[N * VOCAB];
    static struct captured c;
    float vec[HIDDEN];
    int32_t ids[N];
    unsigned runs[N];
    jt_layers layers[N];
    jt_want w[N];
    jt_state *s;
    memset(&c, 0, sizeof c);
    ids_of(ids, 1);
    for (int i = 0; i < HIDDEN; i++) vec[i] = (float)(i % 7 - 3) / 5;
    for (int i = 0; i < N; i++) {
        runs[i] = i % 8 == 2 ? 0 : (unsigned)(i * 5 + 1) % 8;
        layers[i] = (jt_layers){{runs[i]}};
        w[i] = (jt_want){.row = i, .logits = got[i]};
    }
    const jt_tap t[] = {{.site = "residual", .op = JT_TAP_ADD, .value = 0.5f, .vec = vec},
                        {.site = "mlp", .op = JT_TAP_SCALE, .value = 0.25f},
                        {.site = "attention", .op = JT_TAP_ADD, .value = -1, .vec = vec, .layer_first = 1, .layer_end = 3},
                        {.site = "score", .op = JT_TAP_KEY_BIAS, .value = 1, .key_first = 2, .key_end = 19},
                        {.site = "residual", .op = JT_TAP_CAPTURE, .tag = 7},
                        {.site = "heads", .op = JT_TAP_CAPTURE, .tag = 8}};
    assert_int_equal(jt_state_new(f->model, 64, &s, NULL), JT_OK);
    assert_int_equal(jt_state_set_taps(s, t, 6, NULL), JT_OK);
    jt_span span = {.state = s, .ids = ids, .n = N, .layers = layers};
    jt_batch b = {.span = &span, .n_span = 1, .want = w, .n_want = N, .captured = capture, .captured_self = &c};
    assert_int_equal(jt_eval(f->model, &b, NULL), JT_OK);
    slow_run(f, t, 6, runs, want);
    near_all(got, want);
    int streams = 0, heads = 0, ran = 0;
    for (int i = 0; i < N; i++)
        for (int l = 0; l < LAYERS; l++) ran += runs[i] >> l & 1;
    for (int i = 0; i < c.n; i++) {
        streams += c.tag[i] == 7, heads += c.tag[i] == 8;
        assert_true(c.tag[i] == 7 || runs[c.node[i]] >> c.layer[i] & 1);
    }
    assert_int_equal(streams, N * (LAYERS + 1));
    assert_int_equal(heads, ran);
    jt_state_free(s);
}

/* A fork goes on under the taps of its original until it is given others. On a tree taps act by depth, so that a path
 * gives the bits of the linear sequence under the same taps. */
static void forks_inherit_taps_and_trees_are_tapped_by_depth(void **state) {
    const struct fixture *f = *state;
    enum { TREE = 9, TRUNK = N - 5 };
    static const int32_t parent[TREE] = {TRUNK - 1, TRUNK, TRUNK, TRUNK + 1, TRUNK + 2, TRUNK + 4, TRUNK + 4, TRUNK - 1, TRUNK + 7};
    static float tree[2][TREE][VOCAB], line[VOCAB], free_of[VOCAB];
    float vec[HIDDEN];
    int32_t ids[N], more[TREE];
    jt_want w[TREE];
    jt_state *s, *t;
    const int one[] = {1};
    ids_of(ids, 1);
    for (int i = 0; i < HIDDEN; i++) vec[i] = (float)(i % 5 - 2) / 3;
    const jt_tap taps[] = {
        {.site = "residual", .op = JT_TAP_ADD, .value = 0.8f, .vec = vec, .row_first = TRUNK + 1, .row_end = TRUNK + 3},
        {.site = "score", .op = JT_TAP_KEY_BIAS, .value = 2, .key_first = TRUNK - 2, .key_end = TRUNK + 2, .heads = one, .n_heads = 1}};
    assert_int_equal(jt_state_new(f->model, 64, &s, NULL), JT_OK);
    assert_int_equal(jt_state_set_taps(s, taps, 2, NULL), JT_OK);
    jt_span span = {.state = s, .ids = ids, .n = TRUNK};
    assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1}, NULL), JT_OK);
    assert_int_equal(jt_state_fork(s, &t, NULL), JT_OK);
    assert_true(jt_state_mode(s) == jt_state_mode(t));
    for (int i = 0; i < TREE; i++) more[i] = (i * 91 + 3) % VOCAB;
    jt_state *both[2] = {s, t};
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < TREE; i++) w[i] = (jt_want){.row = i, .logits = tree[k][i]};
        span = (jt_span){.state = both[k], .ids = more, .n = TREE, .parent = parent};
        assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1, .want = w, .n_want = TREE}, NULL), JT_OK);
    }
    assert_memory_equal(tree[0], tree[1], sizeof tree[0]);
    for (int node = 0; node < TREE; node++) {
        int32_t seq[N + TREE];
        int path[TREE], n = 0;
        for (int i = node; i >= 0; i = parent[i] - TRUNK) path[n++] = i;
        memcpy(seq, ids, TRUNK * sizeof *seq);
        for (int i = 0; i < n; i++) seq[TRUNK + i] = more[path[n - 1 - i]];
        for (int tapped = 0; tapped < 2; tapped++) {
            jt_state *l;
            w[0] = (jt_want){.row = TRUNK + n - 1, .logits = tapped ? line : free_of};
            assert_int_equal(jt_state_new(f->model, 64, &l, NULL), JT_OK);
            assert_int_equal(jt_state_set_taps(l, taps, tapped ? 2 : 0, NULL), JT_OK);
            span = (jt_span){.state = l, .ids = seq, .n = TRUNK + n};
            assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1, .want = w, .n_want = 1}, NULL), JT_OK);
            jt_state_free(l);
        }
        assert_memory_equal(line, tree[0][node], sizeof line);
        assert_memory_not_equal(free_of, line, sizeof line);
    }
    /* Taps that are cleared on the fork stay on its original. */
    assert_int_equal(jt_state_truncate(s, TRUNK, NULL), JT_OK);
    assert_int_equal(jt_state_truncate(t, TRUNK, NULL), JT_OK);
    assert_int_equal(jt_state_set_taps(t, NULL, 0, NULL), JT_OK);
    assert_true(jt_state_mode(s) != jt_state_mode(t));
    jt_span two[2] = {{.state = s, .ids = more, .n = 2}, {.state = t, .ids = more, .n = 2}};
    jt_want last[2] = {{.row = 1, .logits = line}, {.row = 3, .logits = free_of}};
    assert_int_equal(jt_eval(f->model, &(jt_batch){.span = two, .n_span = 2, .want = last, .n_want = 2}, NULL), JT_OK);
    assert_memory_equal(line, tree[0][1], sizeof line);
    assert_memory_not_equal(line, free_of, sizeof line);
    jt_state_free(s), jt_state_free(t);
}

static jt_status refuse(void *self, int layer, int node, float *x, int width) {
    (void)self, (void)x, (void)width;
    return layer == 1 && node == 20 ? JT_LIMIT : JT_OK;
}

static void a_failing_function_fails_the_eval(void **state) {
    const struct fixture *f = *state;
    jt_state *s;
    jt_error err;
    int32_t ids[N];
    ids_of(ids, 1);
    assert_int_equal(jt_state_new(f->model, 64, &s, NULL), JT_OK);
    assert_int_equal(jt_state_set_taps(s, &(jt_tap){.site = "mlp", .op = JT_TAP_HOST, .host = refuse}, 1, NULL), JT_OK);
    jt_span span = {.state = s, .ids = ids, .n = N};
    assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1}, &err), JT_LIMIT);
    assert_int_equal(jt_state_length(s), 0);
    jt_state_free(s);
}

static void wrong_taps_are_named(void **state) {
    const struct fixture *f = *state;
    jt_state *s;
    jt_error err;
    float zero[HIDDEN] = {0};
    assert_int_equal(jt_state_new(f->model, 64, &s, NULL), JT_OK);
    assert_int_equal(jt_state_set_taps(s, &(jt_tap){.site = "residul", .op = JT_TAP_CAPTURE}, 1, &err), JT_UNKNOWN);
    assert_non_null(strstr(err.message, "did you mean \"residual\""));
    assert_int_equal(jt_state_set_taps(s, &(jt_tap){.site = "mlp", .op = JT_TAP_SCALE, .layer_end = 4}, 1, &err), JT_INVALID);
    assert_non_null(strstr(err.message, "layers 0 to 3"));
    assert_int_equal(jt_state_set_taps(s, &(jt_tap){.site = "mlp", .op = JT_TAP_ADD}, 1, &err), JT_INVALID);
    assert_int_equal(jt_state_set_taps(s, &(jt_tap){.site = "mlp", .op = JT_TAP_PROJECT_OUT, .vec = zero}, 1, &err), JT_INVALID);
    assert_int_equal(jt_state_set_taps(s, &(jt_tap){.site = "mlp", .op = JT_TAP_KEY_BIAS}, 1, &err), JT_INVALID);
    assert_int_equal(
        jt_state_set_taps(s, &(jt_tap){.site = "score", .op = JT_TAP_KEY_BIAS, .key_end = 9, .heads = (int[]){4}, .n_heads = 1}, 1, &err),
        JT_INVALID);
    assert_non_null(strstr(err.message, "head 4"));
    jt_tap keys = {.site = "score", .op = JT_TAP_KEY_BIAS, .value = 1};
    static const int none[][2] = {{0, 0}, {5, 5}, {5, 3}, {-1, 4}, {0, -1}}, some[][2] = {{0, 1}, {5, 0}, {5, 6}};
    for (int i = 0; i < 5; i++) { /* an interval that came out empty is never taken for all keys */
        keys.key_first = none[i][0], keys.key_end = none[i][1];
        assert_int_equal(jt_state_set_taps(s, &keys, 1, &err), JT_INVALID);
    }
    for (int i = 0; i < 3; i++) {
        keys.key_first = some[i][0], keys.key_end = some[i][1];
        assert_int_equal(jt_state_set_taps(s, &keys, 1, &err), JT_OK);
    }
    keys.value = INFINITY;
    assert_int_equal(jt_state_set_taps(s, &keys, 1, &err), JT_INVALID);
    assert_int_equal(jt_state_set_taps(s, &(jt_tap){.site = "mlp", .op = JT_TAP_SCALE, .value = -INFINITY}, 1, &err), JT_INVALID);
    assert_int_equal(jt_site_width(f->model, "heads"), 64);
    assert_int_equal(jt_site_width(f->model, "nowhere"), 0);
    assert_null(jt_site_name(6));
    for (long i = 0;; i++) {
        float vec[HIDDEN] = {1};
        alloc_fail_at(i);
        jt_status e = jt_state_set_taps(s, &(jt_tap){.site = "mlp", .op = JT_TAP_ADD, .vec = vec}, 1, &err);
        bool failed = alloc_count() > i;
        alloc_fail_at(-1);
        assert_int_equal(e, failed ? JT_NOMEM : JT_OK);
        if (!failed) break;
    }
    jt_state_free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_rows_keep_their_bits_and_neutral_taps_are_the_identity),
        cmocka_unit_test(captures_are_the_rows),
        cmocka_unit_test(wanted_streams_are_the_residual),
        cmocka_unit_test(edits_equal_the_same_edits_by_hand),
        cmocka_unit_test(a_bias_hides_keys_as_ranks_do),
        cmocka_unit_test(finite_biases_act_on_their_heads_layers_rows_and_keys),
        cmocka_unit_test(a_row_may_see_no_key),
        cmocka_unit_test(taps_beside_layers),
        cmocka_unit_test(forks_inherit_taps_and_trees_are_tapped_by_depth),
        cmocka_unit_test(a_failing_function_fails_the_eval),
        cmocka_unit_test(wrong_taps_are_named),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
