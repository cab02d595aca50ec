/* What an eval reads of the weights, counted in bytes where they are read: each matrix once for a pass of up to 512
 * rows; the head once for every 64 rows that want its product, and not at all where none does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "jeton/model.h"
#include "tensor/engine.h"
#include "tiny_llama.h"

enum { MOST = 513 };

static char path[] = "/tmp/jeton-streaming-XXXXXX";

static bool bf16; /* panels of weights that are not quantised take two bytes a weight */

/* Bytes of one matrix: panels of 16 rows (pack.h), or the rows as the file has them. */
static uint64_t matrix_bytes(const tiny_llama *t, bool packed, int rows, int cols) {
    const jt_format *f = jt_format_of(t->type);
    if (bf16 && packed && !f->quantised) f = jt_format_of(JT_BF16);
    uint64_t row = (uint64_t)(cols / f->block) * f->bytes;
    return (uint64_t)(packed ? (rows + 15) / 16 * 16 : rows) * row;
}

/* All matrices of the layers. */
static uint64_t layer_bytes(const tiny_llama *t, bool packed) {
    int q = t->heads * t->head_dim, kv = t->kv_heads * t->head_dim, h = t->hidden;
    int shape[7][2] = {{q, h}, {kv, h}, {kv, h}, {h, q}, {t->ffn, h}, {t->ffn, h}, {h, t->ffn}};
    uint64_t sum = 0;
    for (int i = 0; i < 7; i++) sum += matrix_bytes(t, packed, shape[i][0], shape[i][1]);
    return sum * (uint64_t)t->layers;
}

/* Evaluates `rows` rows over `sequences` states, the last `wanted` of them with logits. */
static uint64_t read_by(jt_engine *e, jt_model *m, int rows, int sequences, int wanted, int vocab) {
    int32_t ids[MOST];
    jt_state *s[4];
    jt_span span[4];
    jt_want want[MOST];
    float *logits = malloc((size_t)(wanted + 1) * (size_t)vocab * sizeof *logits);
    assert_non_null(logits);
    for (int i = 0; i < rows; i++) ids[i] = i * 37 % 100;
    for (int i = 0, first = 0; i < sequences; i++) {
        int end = rows * (i + 1) / sequences;
        assert_int_equal(jt_state_new(m, MOST, &s[i], NULL), JT_OK);
        span[i] = (jt_span){.state = s[i], .ids = ids + first, .n = end - first};
        first = end;
    }
    for (int i = 0; i < wanted; i++) want[i] = (jt_want){.row = rows - wanted + i, .logits = logits + (size_t)i * (size_t)vocab};
    uint64_t before = jt_engine_streamed(e);
    assert_int_equal(jt_eval(m, &(jt_batch){.span = span, .n_span = sequences, .want = want, .n_want = wanted}, NULL), JT_OK);
    uint64_t read = jt_engine_streamed(e) - before;
    for (int i = 0; i < sequences; i++) jt_state_free(s[i]);
    free(logits);
    return read;
}

static void check(jt_engine *e, jt_type type, jt_activations activations, bool mapped) {
    static const int rows[] = {1, 2, 16, 17, 63, 64, 65, 129, 512, 513};
    tiny_llama t = tiny_llama_of(type);
    tiny_llama_write(path, &t);
    jt_model *m;
    bf16 = activations == JT_ACT_BF16;
    assert_int_equal(jt_model_open(e, path, &(jt_model_options){.activations = activations, .no_repack = mapped}, &m, NULL), JT_OK);
    uint64_t layers = layer_bytes(&t, !mapped), head = matrix_bytes(&t, !mapped, t.vocab, t.hidden);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t times = rows[i] <= 512 ? 1 : 2, heads = times > 1 ? 9 : (uint64_t)((rows[i] + 63) / 64);
        assert_int_equal(read_by(e, m, rows[i], 1, 0, t.vocab), times * layers);
        assert_int_equal(read_by(e, m, rows[i], 1, 1, t.vocab), times * layers + head);
        assert_int_equal(read_by(e, m, rows[i], 1, rows[i], t.vocab), times * layers + heads * head);
        if (rows[i] >= 16) assert_int_equal(read_by(e, m, rows[i], 4, 1, t.vocab), times * layers + head);
    }
    jt_model_free(m);
}

static void every_matrix_is_read_once_a_pass(void **unused) {
    (void)unused;
    static const jt_type type[] = {JT_Q4_0, JT_Q4_1, JT_Q8_0, JT_F16, JT_F32, JT_BF16};
    for (int threads = 1; threads <= 3; threads += 2) {
        jt_engine *e;
        assert_int_equal(jt_engine_new(&(jt_engine_options){.threads = threads}, &e, NULL), JT_OK);
        for (size_t i = 0; i < sizeof type / sizeof *type; i++)
            for (int mapped = 0; mapped < 2; mapped++) {
                check(e, type[i], JT_ACT_INT8, mapped);
                check(e, type[i], threads == 1 ? JT_ACT_FLOAT : JT_ACT_BF16, mapped);
            }
        jt_engine_free(e);
    }
}

/* Rows that are evaluated in several passes, because ubatch is small, read the weights in each. */
static void passes_read_again(void **unused) {
    (void)unused;
    tiny_llama t = tiny_llama_of(JT_Q4_0);
    tiny_llama_write(path, &t);
    jt_engine *e;
    jt_model *m;
    assert_int_equal(jt_engine_new(&(jt_engine_options){.threads = 2}, &e, NULL), JT_OK);
    assert_int_equal(jt_model_open(e, path, &(jt_model_options){.ubatch = 48}, &m, NULL), JT_OK);
    uint64_t layers = layer_bytes(&t, true), head = matrix_bytes(&t, true, t.vocab, t.hidden);
    assert_int_equal(read_by(e, m, 48, 1, 1, t.vocab), layers + head);
    assert_int_equal(read_by(e, m, 49, 1, 1, t.vocab), 2 * layers + head);
    assert_int_equal(read_by(e, m, 144, 1, 144, t.vocab), 3 * (layers + head));
    jt_model_free(m);
    jt_engine_free(e);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_matrix_is_read_once_a_pass), cmocka_unit_test(passes_read_again)};
    return cmocka_run_group_tests(tests, begin, end);
}
