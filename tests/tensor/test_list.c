/* The planner and the walk: random lists against a reference that gives every value its own memory. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "core/mem.h"
#include "core/random.h"
#include "tensor/op.h"

enum { WIDTH = 20, VALUES = 40, ROWS = 7 };

static uint32_t pick(uint32_t seed, uint32_t *at, uint32_t below) {
    uint32_t w[4];
    jt_philox((uint32_t[4]){(*at)++, 0, 0, 0}, (uint32_t[2]){seed, 1}, w);
    return w[0] % below;
}

/* A chain of sums, gates, norms and products over earlier values; the last few are exported. The rank of the adapter is
 * WIDTH, so that its low-rank rows are values like others. */
static void build(jt_list *l, uint32_t seed, jt_ref norm) {
    uint32_t at = 0;
    jt_opnode *e = jt_list_node(l, &jt_op_embed, -1);
    e->weight[0] = (jt_ref){0, 0};
    e->out[0] = jt_list_value(l, JT_ROWS_ALL, JT_ELEM_F32, WIDTH);
    for (int i = 1; i < VALUES; i++) {
        jt_val v = jt_list_value(l, JT_ROWS_ALL, JT_ELEM_F32, WIDTH);
        jt_val a = (jt_val)pick(seed, &at, (uint32_t)i), b = (jt_val)pick(seed, &at, (uint32_t)i);
        static const jt_op *const op[] = {&jt_op_add, &jt_op_swiglu, &jt_op_rms_norm, &jt_op_matmul, &jt_op_lora_down, &jt_op_lora_up};
        uint32_t kind = pick(seed, &at, i == 1 ? 5 : 6);
        if (kind == 5 && a == b) b = a ? a - 1 : 1; /* nobody adds a row's product to itself */
        jt_opnode *n = jt_list_node(l, op[kind], i);
        n->in[0] = a;
        if (kind < 2 || kind == 5) n->in[1] = b;
        if (kind == 2) n->weight[0] = norm, n->f[0] = 1e-5f;
        if (kind == 3) n->weight[0] = (jt_ref){0, 2};
        n->out[0] = v;
        if (i % 9 == 8) jt_list_export(l, v, 0, i);
    }
    jt_opnode *g = jt_list_node(l, &jt_op_gather, -1);
    g->in[0] = VALUES - 1;
    g->out[0] = jt_list_value(l, JT_ROWS_WANTED, JT_ELEM_F32, WIDTH);
    jt_list_export(l, g->out[0], 1, 0);
}

/* Row o of the matrices of products and of the adapter. */
static void matrices(float m[3][WIDTH][WIDTH]) {
    for (int i = 0; i < 3 * WIDTH * WIDTH; i++) m[i / WIDTH / WIDTH][i / WIDTH % WIDTH][i % WIDTH] = (float)((i * 29) % 31 - 15) / 90;
}

static float chain(const float *x, const float *w) {
    float s = 0;
    for (int i = 0; i < WIDTH; i++) s = fmaf(x[i], w[i], s);
    return s;
}

static float scale_of(int row) { return row < 3 ? 0.5f : 0.25f; }

static void reference(const jt_kernels *k, const jt_list *l, const float *table, const float *norm, float m[3][WIDTH][WIDTH],
                      const int32_t *id, float out[VALUES][ROWS][WIDTH]) {
    for (size_t i = 0; i <= VALUES - 1; i++) {
        const jt_opnode *n = &l->node[i];
        for (int r = 0; r < ROWS; r++) {
            float *y = out[n->out[0]][r];
            if (n->op == &jt_op_embed)
                memcpy(y, table + id[r] * WIDTH, sizeof out[0][0]);
            else if (n->op == &jt_op_add)
                k->add(out[n->in[0]][r], out[n->in[1]][r], WIDTH, y);
            else if (n->op == &jt_op_swiglu)
                k->swiglu(out[n->in[0]][r], out[n->in[1]][r], WIDTH, y);
            else if (n->op == &jt_op_rms_norm)
                k->rms_norm(out[n->in[0]][r], norm, WIDTH, n->f[0], y, NULL);
            else
                for (int o = 0; o < WIDTH; o++) {
                    const float *x = out[n->in[0]][r];
                    if (n->op == &jt_op_matmul) y[o] = chain(x, m[0][o]);
                    if (n->op == &jt_op_lora_down) y[o] = chain(x, m[1][o]) * (scale_of(r) * 1.5f);
                    if (n->op == &jt_op_lora_up) y[o] = x[o] + chain(out[n->in[1]][r], m[2][o]);
                }
        }
    }
}

static void no_live_values_overlap(const jt_list *l) {
    for (size_t a = 0; a < l->n_value; a++)
        for (size_t b = a + 1; b < l->n_value; b++) {
            const jt_value *x = &l->value[a], *y = &l->value[b];
            bool live = x->born <= y->dies && y->born <= x->dies, meet = x->at < y->at + y->bytes && y->at < x->at + x->bytes;
            if (x->rows != y->rows || !live || !meet) continue;
            assert_true(y->alias == a || x->alias == b);
            assert_true(y->alias == a ? x->dies == y->born && !x->keep : y->dies == x->born && !y->keep);
        }
}

static void run_seed(jt_engine *e, uint32_t seed) {
    static const int32_t id[ROWS] = {3, 0, 1, 1, 4, 2, 3}, wanted[2] = {1, 6};
    float table[5 * WIDTH], norm[WIDTH], m[3][WIDTH][WIDTH], got[ROWS][WIDTH], want[VALUES][ROWS][WIDTH];
    for (int i = 0; i < 5 * WIDTH; i++) table[i] = (float)((i * 37 + (int)seed) % 23 - 11) / 7;
    for (int i = 0; i < WIDTH; i++) norm[i] = 1 + (float)i / 50;
    jt_weights w = {0};
    const jt_weights *set[1] = {&w};
    uint16_t index;
    assert_int_equal(jt_weights_add(&w, "table", jt_format_of(JT_F32), 5, WIDTH, false, table, &index, NULL), JT_OK);
    assert_int_equal(jt_weights_add(&w, "norm", jt_format_of(JT_F32), 1, WIDTH, true, norm, &index, NULL), JT_OK);
    matrices(m);
    assert_int_equal(jt_weights_add(&w, "product", jt_format_of(JT_F32), WIDTH, WIDTH, false, m[0], &index, NULL), JT_OK);
    jt_lora pair = {.scale = 1.5};
    jt_matrix *half[2] = {&pair.a, &pair.b};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(jt_matrix_init(half[i], jt_format_of(JT_F32), WIDTH, WIDTH, m[1 + i], NULL), JT_OK);
        assert_int_equal(jt_matrix_alloc_packed(half[i], NULL), JT_OK);
        jt_matrix_pack_panels(e->kernels, half[i], 0, 2);
    }
    jt_env_lora lora[ROWS];
    for (int r = 0; r < ROWS; r++) lora[r] = (jt_env_lora){&pair, scale_of(r)};
    jt_list l = {0};
    build(&l, seed, (jt_ref){0, 1});
    assert_int_equal(jt_list_plan(&l, NULL), JT_OK);
    no_live_values_overlap(&l);
    jt_env_input input[ROWS];
    for (int r = 0; r < ROWS; r++) input[r] = (jt_env_input){.n = 1, .id = &id[r]};
    jt_env env = {.engine = e, .list = &l, .set = set, .rows = {ROWS, 2}, .input = input, .wanted = wanted, .lora = lora};
    void *scratch[8] = {0};
    env.scratch = scratch;
    for (int i = 0; i < 8; i++) assert_non_null(scratch[i] = jt_alloc_aligned(jt_list_scratch(&l, &env), 1));
    size_t bytes = jt_list_storage(&l, env.rows, env.class_at);
    assert_int_equal(jt_buffer_new(e->backend, bytes, "storage", &env.storage, NULL), JT_OK);
    jt_list_run(&env);
    reference(&jt_kernels_scalar, &l, table, norm, m, id, want);
    for (size_t i = 0; i < l.n_export; i++) {
        const jt_export *x = &l.exports[i];
        int rows = x->site == 1 ? 2 : ROWS;
        jt_buffer_read(env.storage, jt_env_at(&env, x->value), got, (size_t)rows * sizeof got[0]);
        for (int r = 0; r < rows; r++)
            assert_memory_equal(got[r], x->site == 1 ? want[VALUES - 1][wanted[r]] : want[x->value][r], sizeof got[r]);
    }
    for (int i = 0; i < 8; i++) jt_free(scratch[i]);
    jt_matrix_free_packed(&pair.a), jt_matrix_free_packed(&pair.b);
    jt_buffer_free(env.storage);
    jt_list_free(&l);
    jt_weights_free(&w);
}

static void random_lists_equal_the_reference(void **state) {
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        jt_engine *e;
        assert_int_equal(jt_engine_new_guarded(&(jt_engine_options){.threads = threads}, &e, NULL), JT_OK);
        for (uint32_t seed = 0; seed < 60; seed++) run_seed(e, seed);
        jt_engine_free(e);
    }
}

static void storage_is_reused(void **state) {
    (void)state;
    jt_list l = {0};
    jt_opnode *e = jt_list_node(&l, &jt_op_embed, -1);
    jt_val x = e->out[0] = jt_list_value(&l, JT_ROWS_ALL, JT_ELEM_F32, 16);
    for (int i = 0; i < 50; i++) {
        jt_opnode *n = jt_list_node(&l, &jt_op_add, i);
        n->in[0] = n->in[1] = x;
        x = n->out[0] = jt_list_value(&l, JT_ROWS_ALL, JT_ELEM_F32, 16);
    }
    assert_int_equal(jt_list_plan(&l, NULL), JT_OK);
    assert_int_equal(l.row_bytes[JT_ROWS_ALL], 64);
    for (size_t i = 0; i < l.n_node; i++) assert_false(l.node[i].barrier);
    jt_list_free(&l);
}

static void a_failed_allocation_is_reported_by_the_plan(void **state) {
    (void)state;
    for (long i = 0;; i++) {
        jt_list l = {0};
        alloc_fail_at(i);
        build(&l, 1, (jt_ref){0, 1});
        jt_error err = {0};
        jt_status s = jt_list_plan(&l, &err);
        long asked = alloc_count();
        alloc_fail_at(-1);
        jt_list_free(&l);
        if (asked <= i) {
            assert_int_equal(s, JT_OK);
            break;
        }
        assert_int_equal(s, JT_NOMEM);
        assert_non_null(strstr(err.message, "memory"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_lists_equal_the_reference),
        cmocka_unit_test(storage_is_reused),
        cmocka_unit_test(a_failed_allocation_is_reported_by_the_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
