/* test_buffer.c: buffers made together: apart in memory, freed in any order, none left after a failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "core/mem.h"
#include "tensor/buffer.h"

enum { N = 5 };

static void fill(jt_buffer *b, int value, size_t bytes) {
    char *x = jt_alloc(bytes, 1);
    memset(x, value, bytes);
    jt_buffer_write(b, 0, x, bytes);
    jt_free(x);
}

static void all_are(const jt_buffer *b, int value, size_t bytes) {
    char *x = jt_alloc(bytes, 1);
    jt_buffer_read(b, 0, x, bytes);
    for (size_t i = 0; i < bytes; i++) assert_int_equal(x[i], value);
    jt_free(x);
}

static void test_together(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 100, 4096, (1 << 20) + 8};
    static const int orders[][N] = {{0, 1, 2, 3, 4}, {4, 3, 2, 1, 0}, {2, 0, 4, 1, 3}};
    for (int guarded = 0; guarded < 2; guarded++)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
            for (size_t o = 0; o < sizeof orders / sizeof *orders; o++) {
                jt_backend *back;
                jt_buffer *b[N];
                assert_int_equal(jt_backend_new(guarded, &back, NULL), JT_OK);
                assert_int_equal(jt_buffers_new(back, N, sizes[k], 0, "test", b, NULL), JT_OK);
                for (int i = 0; i < N; i++) {
                    assert_int_equal(jt_buffer_bytes(b[i]), sizes[k]);
                    all_are(b[i], 0, sizes[k]);
                    assert_int_equal((uintptr_t)jt_buffer_at(b[i], 0) % JT_ALIGN, 0);
                }
                for (int i = 0; i < N; i++) fill(b[i], i + 1, sizes[k]);
                for (int i = 0; i < N; i++) {
                    for (int left = i; left < N; left++) all_are(b[orders[o][left]], orders[o][left] + 1, sizes[k]);
                    jt_buffer_free(b[orders[o][i]]);
                }
                jt_backend_free(back);
            }
}

/* A buffer in parts holds the same bytes, to one who reads across parts too; parts of one index lie side by side. */
static void test_parts(void **state) {
    (void)state;
    enum { PARTS = 3, MOST = 512 };
    for (int guarded = 0; guarded < 2; guarded++)
        for (size_t part = 0; part <= MOST; part += 32) {
            size_t bytes = PARTS * (part ? part : MOST);
            unsigned char x[PARTS * MOST], y[PARTS * MOST];
            jt_backend *back;
            jt_buffer *b[N], *alone;
            assert_int_equal(jt_backend_new(guarded, &back, NULL), JT_OK);
            assert_int_equal(jt_buffers_new(back, N, bytes, part, "test", b, NULL), JT_OK);
            assert_int_equal(jt_buffer_new(back, bytes, "test", &alone, NULL), JT_OK);
            for (int i = 0; i < N; i++) {
                for (size_t j = 0; j < bytes; j++) x[j] = (unsigned char)(j * 7 + j / 256 + (size_t)i * 31);
                jt_buffer_write(b[i], 5, x + 5, bytes - 9);
                jt_buffer_write(b[i], 0, x, 5);
                jt_buffer_write(b[i], bytes - 4, x + bytes - 4, 4);
            }
            for (int i = 0; i < N; i++) {
                for (size_t j = 0; j < bytes; j++) x[j] = (unsigned char)(j * 7 + j / 256 + (size_t)i * 31);
                jt_buffer_read(b[i], 3, y + 3, bytes - 3);
                assert_memory_equal(y + 3, x + 3, bytes - 3);
                jt_buffer_copy(alone, b[i]);
                jt_buffer_copy(b[(i + 1) % N], alone);
                jt_buffer_read(b[(i + 1) % N], 0, y, bytes);
                assert_memory_equal(y, x, bytes);
                for (size_t j = 0; j < bytes; j++) x[j] = (unsigned char)(j * 7 + j / 256 + (size_t)(i + 1) * 31);
                jt_buffer_write(b[(i + 1) % N], 0, x, bytes);
            }
            for (size_t p = 0; !guarded && part && part % JT_ALIGN == 0 && p < PARTS; p++)
                for (int i = 1; i < N; i++) assert_ptr_equal(jt_buffer_at(b[i], p * part), (char *)jt_buffer_at(b[i - 1], p * part) + part);
            jt_buffer_free(alone);
            for (int i = 0; i < N; i++) jt_buffer_free(b[i]);
            jt_backend_free(back);
        }
}

static void test_every_allocation_fails(void **state) {
    (void)state;
    for (int guarded = 0; guarded < 2; guarded++) {
        jt_backend *back;
        jt_buffer *b[N];
        assert_int_equal(jt_backend_new(guarded, &back, NULL), JT_OK);
        long i = 0;
        for (jt_status s = JT_NOMEM; s; i++) {
            jt_error e = {0};
            alloc_fail_at(i);
            s = jt_buffers_new(back, N, 1024, 256, "test", b, &e);
            alloc_fail_at(-1);
            assert_true(s == JT_OK || (s == JT_NOMEM && e.message[0]));
        }
        assert_true(i > N);
        for (int k = 0; k < N; k++) jt_buffer_free(b[k]);
        jt_backend_free(back);
    }
    jt_backend *back;
    jt_buffer *b[2];
    assert_int_equal(jt_backend_new(false, &back, NULL), JT_OK);
    assert_int_equal(jt_buffers_new(back, 2, SIZE_MAX - 3, 0, "test", b, NULL), JT_NOMEM);
    jt_backend_free(back);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_together), cmocka_unit_test(test_parts),
                                       cmocka_unit_test(test_every_allocation_fails)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
