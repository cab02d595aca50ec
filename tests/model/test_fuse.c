/* Fused operators give the bits of the runs that they replace, and replace them only where nobody else reads between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "jeton/tap.h"
#include "model/model.h"
#include "tiny_llama.h"

enum { MOST = 600 };

static char path[] = "/tmp/jeton-fuse-XXXXXX";

/* Nodes of an operator in one of the model's lists. */
static int count(const jt_model *m, int kind, const jt_op *op) {
    const jt_list *l = &m->graph[kind].list;
    int n = 0;
    for (size_t i = 0; i < l->n_node; i++) n += l->node[i].op == op;
    return n;
}

/* Logits of `rows` rows, in two evals, so that the second reads what the first appended. */
static float *logits_of(jt_model *m, int rows, int vocab) {
    int32_t ids[MOST];
    jt_want want[MOST];
    jt_state *s;
    size_t v = (size_t)vocab;
    float *y = malloc((size_t)(rows + 3) * v * sizeof *y);
    assert_non_null(y);
    for (int i = 0; i < rows; i++) ids[i] = i * 37 % 100, want[i] = (jt_want){.row = i, .logits = y + (size_t)i * v};
    assert_int_equal(jt_state_new(m, MOST + 8, &s, NULL), JT_OK);
    jt_span span = {.state = s, .ids = ids, .n = rows};
    assert_int_equal(jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .want = want, .n_want = rows}, NULL), JT_OK);
    for (int i = 0; i < 3; i++) want[i].logits = y + (size_t)(rows + i) * v, want[i].row = i;
    int32_t more[3] = {5, 6, 7};
    span = (jt_span){.state = s, .ids = more, .n = 3};
    assert_int_equal(jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .want = want, .n_want = 3}, NULL), JT_OK);
    jt_state_free(s);
    return y;
}

static jt_model *open_as(jt_engine *e, const jt_model_options *o, bool unfused) {
    jt_model *m;
    e->unfused = unfused;
    assert_int_equal(jt_model_open(e, path, o, &m, NULL), JT_OK);
    return m;
}

static void check(jt_engine *e, jt_type type, const jt_model_options *o) {
    static const int rows[] = {1, 2, 17, 65, 130};
    tiny_llama t = tiny_llama_of(type);
    tiny_llama_write(path, &t);
    bool long_ones = type == JT_Q4_0 || type == JT_F16, rounded = o->activations == JT_ACT_BF16;
    if (o->activations == JT_ACT_INT8) rounded = jt_format_of(type)->quantised;
    float *y[2][sizeof rows / sizeof *rows + 1] = {{0}};
    for (int unfused = 0; unfused < 2; unfused++) {
        jt_model *m = open_as(e, o, unfused);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) y[unfused][i] = logits_of(m, rows[i], t.vocab);
        if (long_ones) y[unfused][sizeof rows / sizeof *rows] = logits_of(m, MOST, t.vocab); /* two rounds of 512 rows and less */
        assert_int_equal(count(m, 0, &jt_op_gated), unfused ? 0 : t.layers);
        assert_int_equal(count(m, 0, &jt_op_swiglu), unfused ? t.layers : 0);
        assert_int_equal(count(m, 0, &jt_op_rms_norm_quantise), unfused || !rounded ? 0 : 2 * t.layers);
        assert_int_equal(count(m, 0, &jt_op_quantise), !rounded ? 0 : unfused ? 4 * t.layers : t.layers);
        jt_model_free(m);
    }
    for (size_t i = 0; i <= sizeof rows / sizeof *rows; i++) {
        size_t n = (size_t)(i < sizeof rows / sizeof *rows ? rows[i] : MOST) + 3;
        if (y[0][i]) assert_memory_equal(y[0][i], y[1][i], n * (size_t)t.vocab * sizeof(float));
        free(y[0][i]), free(y[1][i]);
    }
}

static void fused_lists_give_the_same_bits(void **unused) {
    (void)unused;
    static const jt_type type[] = {JT_Q4_0, JT_Q4_1, JT_Q8_0, JT_F16, JT_F32, JT_BF16};
    static const jt_kv_type kv[] = {JT_KV_F16, JT_KV_F32, JT_KV_Q8_0};
    for (int threads = 1; threads <= 3; threads += 2)
        for (int best = 0; best < 2; best++) {
            jt_engine *e;
            jt_engine_options o = {.threads = threads, .kernels = best ? "auto" : "scalar"};
            assert_int_equal(jt_engine_new_guarded(&o, &e, NULL), JT_OK);
            for (size_t i = 0; i < sizeof type / sizeof *type; i++) {
                if (!best && threads == 1) continue; /* the slowest, and nothing new */
                check(e, type[i], &(jt_model_options){.kv_type = kv[i % 3]});
                if (!best) continue;
                check(e, type[i], &(jt_model_options){.kv_type = kv[(i + 1) % 3], .activations = JT_ACT_FLOAT});
                check(e, type[i], &(jt_model_options){.kv_type = kv[(i + 2) % 3], .activations = JT_ACT_BF16});
                check(e, type[i], &(jt_model_options){.kv_type = kv[(i + 2) % 3], .no_repack = 1, .ubatch = 48});
            }
            jt_engine_free(e);
        }
}

static void captured(void *self, int span, int node, int layer, int tag, const float *x, int n) {
    (void)span, (void)node, (void)layer, (void)tag, (void)x, (void)n;
    ++*(int *)self;
}

/* A list with taps keeps the operators beside them, and a list that exports the stream is fused where nothing is exported. */
static void what_others_read_is_left(void **unused) {
    (void)unused;
    tiny_llama t = tiny_llama_of(JT_Q8_0);
    tiny_llama_write(path, &t);
    jt_engine *e;
    jt_state *s;
    assert_int_equal(jt_engine_new(NULL, &e, NULL), JT_OK);
    jt_model *m = open_as(e, NULL, false);
    assert_int_equal(jt_state_new(m, 64, &s, NULL), JT_OK);
    jt_tap tap = {.site = "query", .op = JT_TAP_CAPTURE, .layer_end = t.layers, .row_end = 64};
    assert_int_equal(jt_state_set_taps(s, &tap, 1, NULL), JT_OK);
    int32_t ids[3] = {1, 2, 3};
    int got = 0;
    jt_span span = {.state = s, .ids = ids, .n = 3};
    assert_int_equal(jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .captured = captured, .captured_self = &got}, NULL), JT_OK);
    assert_int_equal(got, 3 * t.layers);
    assert_int_equal(count(m, JT_GRAPH_TAPS, &jt_op_gated), t.layers);
    jt_state_free(s);
    jt_model_free(m);
    jt_engine_free(e);

    /* The norm is read by two; the gate's product is kept. */
    jt_list l = {0};
    jt_val x = jt_list_node(&l, &jt_op_embed, -1)->out[0] = jt_list_value(&l, JT_ROWS_ALL, JT_ELEM_F32, 64), y[4];
    for (int i = 0; i < 4; i++) y[i] = jt_list_value(&l, JT_ROWS_ALL, JT_ELEM_F32, 64);
    jt_opnode *n = jt_list_node(&l, &jt_op_rms_norm, 0);
    n->in[0] = x, n->out[0] = y[0];
    n = jt_list_node(&l, &jt_op_quantise, 0);
    n->in[0] = y[0], n->out[0] = jt_list_value(&l, JT_ROWS_ALL, JT_ELEM_ACT, 64);
    for (int i = 1; i < 3; i++) n = jt_list_node(&l, &jt_op_matmul, 0), n->in[0] = y[0], n->out[0] = y[i];
    n = jt_list_node(&l, &jt_op_swiglu, 0);
    n->in[0] = y[1], n->in[1] = y[2], n->out[0] = y[3];
    jt_list_export(&l, y[1], 0, 0);
    jt_list_fuse(&l);
    assert_int_equal(l.n_node, 6);
    l.value[y[1]].keep = false;
    jt_list_fuse(&l);
    assert_int_equal(l.n_node, 4);
    assert_ptr_equal(l.node[3].op, &jt_op_gated);
    jt_list_free(&l);
}

static int begin(void **unused) {
    (void)unused;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int end(void **unused) {
    (void)unused;
    return unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(fused_lists_give_the_same_bits), cmocka_unit_test(what_others_read_is_left)};
    return cmocka_run_group_tests(tests, begin, end);
}
