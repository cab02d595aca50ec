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

enum { VOCAB = 320, HIDDEN = 64, LAYERS = 3, N = 40 };
static const char folder[] = FIXTURES "/hf-tiny/llama";

struct fixture {
    jt_engine *engine;
    jt_model *model;
};

static int begin(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    return jt_engine_new(&(jt_engine_options){.threads = 3}, &f->engine, NULL) ||
           jt_model_open(f->engine, folder, &(jt_model_options){.activations = JT_ACT_FLOAT, .ubatch = 16}, &f->model, NULL);
}

static int end(void **state) {
    struct fixture *f = *state;
    jt_model_free(f->model);
    jt_engine_free(f->engine);
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
    assert_int_equal(jt_state_set_taps(s, &(jt_tap){.site = "score", .op = JT_TAP_KEY_BIAS, .heads = (int[]){4}, .n_heads = 1}, 1, &err),
                     JT_INVALID);
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
        cmocka_unit_test(edits_equal_the_same_edits_by_hand),
        cmocka_unit_test(a_bias_hides_keys_as_ranks_do),
        cmocka_unit_test(a_failing_function_fails_the_eval),
        cmocka_unit_test(wrong_taps_are_named),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
