/* Routes and products of experts against a plain reference: every rule of choice, groups, biases, ties and NaN; many rows,
 * one row, experts that nobody chose, outputs that are no whole panels; any number of threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "core/random.h"
#include "tensor/op.h"

enum { WIDE = 32, OUT = 40, MOST = 24 /* experts */, MORE = 600 /* rows */ };

typedef struct setting {
    int rows, experts, used, rule, normalise, groups, groups_used, two;
    float scale;
    int bias, choice; /* whether there are such */
    int flaw;         /* 1: equal logits; 2: a NaN in some */
} setting;

static float number(uint32_t i, uint32_t seed) {
    uint32_t w[4];
    jt_philox((uint32_t[4]){i, 0, 0, 0}, (uint32_t[2]){seed, 9}, w);
    return (float)((double)w[0] / 4294967296.0 * 2 - 1);
}

/* What the contract says, written anew: weights of all experts for one row, 0 where not chosen; chosen[] in ascending order. */
static void reference_route(const setting *s, const float *logits, const float *bias, const float *choice, int *chosen, double *weight) {
    double score[MOST], rank[MOST], group[MOST], total = 0, most = -INFINITY;
    int taken[MOST] = {0}, size = s->groups > 1 ? s->experts / s->groups : s->experts, open[MOST] = {0};
    for (int x = 0; x < s->experts; x++) {
        score[x] = (double)(logits[x] + (s->bias ? bias[x] : 0));
        if (score[x] > most) most = score[x];
    }
    for (int x = 0; x < s->experts; x++) total += isnan(score[x]) ? NAN : exp(score[x] - most);
    for (int x = 0; x < s->experts; x++) {
        if (s->rule == JT_ROUTE_SOFTMAX) score[x] = exp(score[x] - most) / total;
        if (s->rule == JT_ROUTE_SIGMOID) score[x] = 1 / (1 + exp(-score[x]));
        rank[x] = score[x] + (s->choice ? (double)choice[x] : 0);
    }
    for (int g = 0; g * size < s->experts; g++) {
        double a = -INFINITY, b = -INFINITY;
        for (int x = g * size; x < (g + 1) * size; x++) {
            if (rank[x] > a)
                b = a, a = rank[x];
            else if (rank[x] > b)
                b = rank[x];
        }
        group[g] = s->two ? a + b : a;
    }
    for (int k = 0; s->groups > 1 && k < s->groups_used; k++) {
        int best = -1;
        for (int g = 0; g < s->groups; g++)
            if (!open[g] && (best < 0 || group[g] > group[best])) best = g;
        open[best] = 1;
    }
    for (int k = 0; k < s->used; k++) {
        int best = -1;
        for (int x = 0; x < s->experts; x++) {
            if (taken[x] || (s->groups > 1 && !open[x / size])) continue;
            if (best < 0 || rank[x] > rank[best] || (isnan(rank[best]) && !isnan(rank[x]))) best = x;
        }
        taken[best] = 1;
    }
    total = 0, most = -INFINITY;
    for (int x = 0; x < s->experts; x++)
        if (taken[x] && score[x] > most) most = score[x];
    for (int x = 0, n = 0; x < s->experts; x++) {
        if (!taken[x]) continue;
        chosen[n] = x, weight[n] = s->rule == JT_ROUTE_CHOSEN ? exp(score[x] - most) : score[x];
        total += weight[n++];
    }
    for (int k = 0; k < s->used; k++) {
        if (s->rule == JT_ROUTE_CHOSEN || s->normalise) weight[k] /= total;
        weight[k] *= (double)s->scale;
    }
}

typedef struct rig {
    jt_weights weights;
    float x[MORE * WIDE], router[MOST * WIDE], bias[MOST], choice[MOST], experts[MOST * OUT * WIDE], biases[MOST * OUT];
} rig;

static void rig_fill(rig *r, const setting *s) {
    uint16_t index;
    for (int i = 0; i < MORE * WIDE; i++) r->x[i] = number((uint32_t)i, 1);
    for (int i = 0; i < MOST * WIDE; i++) r->router[i] = s->flaw == 1 ? 0 : number((uint32_t)i, 2);
    for (int i = 0; i < MOST; i++) r->bias[i] = number((uint32_t)i, 3), r->choice[i] = number((uint32_t)i, 4) / 4;
    for (int i = 0; i < MOST * OUT * WIDE; i++) r->experts[i] = number((uint32_t)i, 5);
    for (int i = 0; i < MOST * OUT; i++) r->biases[i] = number((uint32_t)i, 6);
    if (s->flaw == 2) r->router[3 * WIDE] = NAN;
    const jt_format *f = jt_format_of(JT_F32);
    assert_int_equal(jt_weights_add(&r->weights, "router", f, s->experts, WIDE, false, r->router, &index, NULL), JT_OK);
    assert_int_equal(jt_weights_add(&r->weights, "bias", f, 1, s->experts, true, r->bias, &index, NULL), JT_OK);
    assert_int_equal(jt_weights_add(&r->weights, "choice", f, 1, s->experts, true, r->choice, &index, NULL), JT_OK);
    assert_int_equal(jt_weights_add(&r->weights, "biases", f, 1, s->experts * OUT, true, r->biases, &index, NULL), JT_OK);
    for (int x = 0; x < s->experts; x++)
        assert_int_equal(jt_weights_add(&r->weights, "expert", f, OUT, WIDE, false, r->experts + x * OUT * WIDE, &index, NULL), JT_OK);
}

/* The route and the weighted sum of products of every row. */
static void run(jt_engine *e, const rig *r, const setting *s, float *route, float *sum) {
    jt_list l = {0};
    const jt_weights *set[1] = {&r->weights};
    jt_opnode *n = jt_list_node(&l, &jt_op_vectors, -1);
    jt_val x = n->out[0] = jt_list_value(&l, JT_ROWS_WANTED, JT_ELEM_F32, WIDE);
    n = jt_list_node(&l, &jt_op_matmul, -1);
    n->in[0] = x;
    jt_val z = n->out[0] = jt_list_value(&l, JT_ROWS_WANTED, JT_ELEM_F32, s->experts);
    n = jt_list_node(&l, &jt_op_route, -1);
    n->in[0] = z;
    n->weight[0] = (jt_ref){0, s->bias ? 1 : JT_NO_TENSOR}, n->weight[1] = (jt_ref){0, s->choice ? 2 : JT_NO_TENSOR};
    n->i[0] = s->used, n->i[1] = s->rule, n->i[2] = s->normalise, n->i[3] = s->groups, n->i[4] = s->groups_used, n->i[5] = s->two;
    n->f[0] = s->scale;
    jt_val way = n->out[0] = jt_list_value(&l, JT_ROWS_WANTED, JT_ELEM_F32, 2 * s->used);
    n = jt_list_node(&l, &jt_op_experts, -1);
    n->in[0] = x, n->in[1] = way;
    n->weight[0] = (jt_ref){0, 4}, n->weight[1] = (jt_ref){0, 3};
    n->i[0] = s->used, n->i[1] = s->experts;
    jt_val y = n->out[0] = jt_list_value(&l, JT_ROWS_WANTED, JT_ELEM_F32, s->used * OUT);
    n = jt_list_node(&l, &jt_op_experts_sum, -1);
    n->in[0] = y, n->in[1] = way;
    n->i[0] = s->used, n->i[1] = s->experts;
    jt_val out = n->out[0] = jt_list_value(&l, JT_ROWS_WANTED, JT_ELEM_F32, OUT);
    jt_list_export(&l, way, 0, 0), jt_list_export(&l, out, 0, 0);
    assert_int_equal(jt_list_plan(&l, NULL), JT_OK);
    const float *vector[MORE];
    for (int i = 0; i < s->rows; i++) vector[i] = r->x + i * WIDE;
    jt_env env = {.engine = e, .list = &l, .set = set, .rows = {s->rows, s->rows}, .vector = vector};
    assert_int_equal(jt_buffer_new(e->backend, jt_list_storage(&l, env.rows, env.class_at), "values", &env.storage, NULL), JT_OK);
    void *scratch[8];
    for (int i = 0; i < jt_engine_threads(e); i++) assert_non_null(scratch[i] = jt_alloc_aligned(jt_list_scratch(&l, &env) + 64, 1));
    env.scratch = scratch;
    jt_list_run(&env);
    jt_buffer_read(env.storage, jt_env_at(&env, way), route, (size_t)s->rows * 2 * (size_t)s->used * sizeof *route);
    jt_buffer_read(env.storage, jt_env_at(&env, out), sum, (size_t)s->rows * OUT * sizeof *sum);
    for (int i = 0; i < jt_engine_threads(e); i++) jt_free(scratch[i]);
    jt_buffer_free(env.storage);
    jt_list_free(&l);
}

static void check_row(const rig *r, const setting *s, int row, const float *route, const float *sum) {
    float z[MOST];
    int chosen[MOST];
    double weight[MOST];
    for (int x = 0; x < s->experts; x++) {
        z[x] = 0;
        for (int k = 0; k < WIDE; k++) z[x] = fmaf(r->x[row * WIDE + k], r->router[x * WIDE + k], z[x]);
    }
    reference_route(s, z, r->bias, r->choice, chosen, weight);
    for (int k = 0; k < s->used; k++) {
        assert_int_equal((int)route[k], chosen[k]);
        bool same = fabs((double)route[s->used + k] - weight[k]) <= 1e-5 || (isnan(route[s->used + k]) && isnan(weight[k]));
        if (!same) fail_msg("row %d, choice %d: weight %g, not %g", row, k, (double)route[s->used + k], weight[k]);
    }
    for (int o = 0; o < OUT; o++) { /* to the bit, from the weights as they are */
        float y = 0;
        for (int k = 0; k < s->used; k++) {
            float c = 0;
            for (int i = 0; i < WIDE; i++) c = fmaf(r->x[row * WIDE + i], r->experts[(chosen[k] * OUT + o) * WIDE + i], c);
            c += r->biases[chosen[k] * OUT + o];
            volatile float part = route[s->used + k] * c; /* rounded before the sum */
            y = k ? y + part : part;
        }
        assert_true(y == sum[o] || (isnan(y) && isnan(sum[o])));
    }
}

static const setting settings[] = {
    {.rows = 600, .experts = 8, .used = 2, .rule = JT_ROUTE_SOFTMAX, .normalise = 1, .scale = 1},
    {.rows = 33, .experts = 24, .used = 5, .rule = JT_ROUTE_SOFTMAX, .scale = 1, .bias = 1},
    {.rows = 1, .experts = 24, .used = 4, .rule = JT_ROUTE_CHOSEN, .scale = 1, .bias = 1},
    {.rows = 90,
     .experts = 12,
     .used = 4,
     .rule = JT_ROUTE_SIGMOID,
     .normalise = 1,
     .groups = 4,
     .groups_used = 2,
     .two = 1,
     .scale = 2.5f,
     .choice = 1},
    {.rows = 17, .experts = 24, .used = 3, .rule = JT_ROUTE_SOFTMAX, .groups = 3, .groups_used = 1, .scale = 16},
    {.rows = 5, .experts = 6, .used = 6, .rule = JT_ROUTE_CHOSEN, .scale = 1},
    {.rows = 4, .experts = 1, .used = 1, .rule = JT_ROUTE_SOFTMAX, .scale = 1},
    {.rows = 40, .experts = 9, .used = 3, .rule = JT_ROUTE_CHOSEN, .scale = 1, .flaw = 1},
    {.rows = 40, .experts = 9, .used = 3, .rule = JT_ROUTE_SIGMOID, .normalise = 1, .scale = 1, .flaw = 2},
};

static void test_as_the_contract_says(void **unused) {
    (void)unused;
    float *route = calloc(2 * MORE * 8, sizeof *route), *sum = calloc(2 * MORE * OUT, sizeof *sum);
    assert_non_null(route);
    assert_non_null(sum);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        const setting *s = &settings[i];
        rig *r = calloc(1, sizeof *r);
        assert_non_null(r);
        rig_fill(r, s);
        for (int t = 1; t <= 5; t += 2) {
            jt_engine *e;
            assert_int_equal(jt_engine_new(&(jt_engine_options){.threads = t}, &e, NULL), JT_OK);
            float *way = t > 1 ? route + MORE * 8 : route, *y = t > 1 ? sum + MORE * OUT : sum;
            run(e, r, s, way, y);
            if (t > 1) {
                assert_memory_equal(way, route, (size_t)s->rows * 2 * (size_t)s->used * sizeof *way);
                assert_memory_equal(y, sum, (size_t)s->rows * OUT * sizeof *y);
            }
            jt_engine_free(e);
        }
        for (int row = 0; row < s->rows; row++) check_row(r, s, row, route + row * 2 * s->used, sum + row * OUT);
        jt_weights_free(&r->weights);
        free(r);
    }
    free(route);
    free(sum);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_as_the_contract_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
