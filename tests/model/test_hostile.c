/* The published vulnerabilities of GGUF loaders (docs/security.md): files made like those, refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "jeton/convert.h"
#include "model/gguf_builder.h"

/* Refused as a file that does not follow its format, without taking memory by what it says. */
static void refused(gguf_builder *b, const char *part) {
    size_t n;
    uint8_t *p = gb_finish(b, 3, &n);
    jt_gguf *g = NULL;
    jt_error err = {0};
    alloc_fail_at(-1);
    size_t before = alloc_bytes();
    assert_int_equal(jt_gguf_parse(p, n, &g, &err), JT_FORMAT);
    assert_true(alloc_bytes() - before < 64 * n + 65536);
    assert_null(g);
    if (!strstr(err.message, part)) fail_msg("\"%s\" is not in \"%s\"", part, err.message);
    free(p);
}

/* CVE-2024-21802: lengths and counts that are longer than the file, among them those that wrap. */
static void test_hostile_metadata(void **state) {
    (void)state;
    static const uint64_t length[] = {100, UINT64_C(1) << 32, UINT64_MAX - 7, UINT64_MAX};
    for (int i = 0; i < 4; i++) {
        gguf_builder b = {0};
        gb_key(&b, "general.name", JT_GGUF_STRING);
        gb_put_int(&b.meta, length[i], 8);
        refused(&b, "value");
        for (uint32_t type = JT_GGUF_U8; type <= JT_GGUF_F64; type++) {
            gb_array(&b, "a", (jt_gguf_type)type, length[i]);
            refused(&b, "element count");
        }
        gb_put_int(&b.meta, length[i], 8); /* the length of a key */
        gb_put(&b.meta, NULL, 64);
        b.n_values = 1;
        refused(&b, "name");
        b.n_values = length[i];
        refused(&b, "metadata count");
        b.n_tensors = length[i];
        refused(&b, "tensor count");
    }
}

/* CVE-2025-53630, CVE-2026-27940, CVE-2026-33298: products and sums that wrap, sizes past the file. */
static void test_hostile_sizes(void **state) {
    (void)state;
    static const struct {
        uint64_t dim[4], offset;
    } bad[] = {{{UINT64_C(1) << 32, UINT64_C(1) << 32, 1, 1}, 0},
               {{UINT64_C(1) << 31, UINT64_C(1) << 31, 1, 1}, 0},
               {{UINT64_C(1) << 61, 4, 1, 1}, 0},
               {{UINT64_C(1) << 60, 1, 1, 1}, 0},
               {{3, UINT64_C(0x5555555555555556), 1, 1}, 0}, /* 3 times that is 2 */
               {{1024, 1024, 1024, 1024}, 0},
               {{8, 1, 1, 1}, UINT64_MAX - 31},
               {{8, 1, 1, 1}, UINT64_C(1) << 63},
               {{8, 1, 1, 1}, 64}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int type = 0; type < 3; type++) {
            static const uint32_t types[] = {JT_F32, JT_F16, 26 /* i32 */};
            gguf_builder b = {0};
            gb_tensor(&b, "x", types[type], 4, bad[i].dim, NULL, 32);
            uint64_t offset = bad[i].offset;
            for (int k = 0; k < 8; k++) b.infos.p[b.infos.n - 8 + (size_t)k] = (uint8_t)(offset >> 8 * k);
            refused(&b, "x");
        }
    /* Two that are whole by themselves and lie in each other. */
    gguf_builder b = {0};
    gb_tensor(&b, "x", JT_F32, 1, (uint64_t[]){16}, NULL, 64);
    gb_tensor(&b, "y", JT_F32, 1, (uint64_t[]){16}, NULL, 64);
    memset(b.infos.p + b.infos.n - 8, 0, 8);
    refused(&b, "lie inside those of tensor");
}

/* CVE-2026-7482: a shape that promises more than the file holds, on its way into fewer bits. */
static void test_hostile_conversion(void **state) {
    (void)state;
    char dir[] = "/tmp/test_hostile.XXXXXX", in[64], out[64];
    assert_non_null(mkdtemp(dir));
    snprintf(in, sizeof in, "%s/in.gguf", dir), snprintf(out, sizeof out, "%s/out.gguf", dir);
    for (uint64_t rows = 2; rows < UINT64_C(1) << 40; rows *= 1 << 12) {
        gguf_builder b = {0};
        jt_error err;
        gb_text(&b, "general.architecture", "llama");
        gb_tensor(&b, "blk.0.ffn_up.weight", JT_F32, 2, (uint64_t[]){64, rows}, NULL, 64 * 4);
        gb_save(&b, 3, in);
        assert_int_equal(jt_convert(in, out, &(jt_convert_options){.type = "q8_0", .pure = 1, .threads = 1}, NULL, &err), JT_FORMAT);
        assert_int_not_equal(access(out, F_OK), 0);
    }
    unlink(in), rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_metadata),
        cmocka_unit_test(test_hostile_sizes),
        cmocka_unit_test(test_hostile_conversion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
