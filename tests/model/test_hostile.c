/* The published vulnerabilities of GGUF loaders (docs/security.md): files made like those, refused; models that are cut, or
 * whose settings and tensors disagree; weights that are no numbers. */
#include <math.h>
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
#include "core/file.h"
#include "jeton/convert.h"
#include "jeton/model.h"
#include "model/gguf_builder.h"
#include "model/tiny_llama.h"

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
    char own[] = "/tmp/test_hostile.XXXXXX", in[64], out[64];
    assert_non_null(mkdtemp(own));
    snprintf(in, sizeof in, "%s/in.gguf", own), snprintf(out, sizeof out, "%s/out.gguf", own);
    for (uint64_t rows = 2; rows < UINT64_C(1) << 40; rows *= 1 << 12) {
        gguf_builder b = {0};
        jt_error err;
        gb_text(&b, "general.architecture", "llama");
        gb_tensor(&b, "blk.0.ffn_up.weight", JT_F32, 2, (uint64_t[]){64, rows}, NULL, 64 * 4);
        gb_save(&b, 3, in);
        assert_int_equal(jt_convert(in, out, &(jt_convert_options){.type = "q8_0", .pure = 1, .threads = 1}, NULL, &err), JT_FORMAT);
        assert_int_not_equal(access(out, F_OK), 0);
    }
    unlink(in), rmdir(own);
}

/* ---- models that are cut or lie ---- */

static char dir[] = "/tmp/test_hostile_model.XXXXXX";

static void put(const char *path, const void *p, size_t n) {
    unlink(path); /* some file systems wait for the disk when a file is written over */
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_true(fwrite(p, 1, n, f) == n);
    assert_int_equal(fclose(f), 0);
}

/* Opens and, where that works, evaluates a row; a refusal has a message that names the file. */
static jt_status use(const char *path, jt_error *err) {
    static float logits[1024];
    jt_engine *e;
    jt_model *m = NULL;
    jt_state *s = NULL;
    jt_model_info info;
    int32_t id = 3;
    assert_int_equal(jt_engine_new(&(jt_engine_options){.threads = 1}, &e, err), JT_OK);
    jt_status st = jt_model_open(e, path, NULL, &m, err);
    if (st && (!err->message[0] || m)) fail_msg("%s: %s", path, err->message);
    if (!st) {
        jt_model_get_info(m, &info);
        assert_in_range(info.vocab, 4, 1024);
        st = jt_state_new(m, 8, &s, err);
    }
    jt_span span = {.state = s, .ids = &id, .n = 1};
    if (!st) st = jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .want = &(jt_want){.logits = logits}, .n_want = 1}, err);
    jt_state_free(s);
    jt_model_free(m);
    jt_engine_free(e);
    return st;
}

/* `file` cut to n bytes, and the model at `path`, which it belongs to or is. */
static void cut(const jt_str *whole, const char *file, const char *path, size_t n) {
    jt_error err = {0};
    put(file, whole->s, n);
    jt_status st = use(path, &err);
    if (st != JT_FORMAT || !strstr(err.message, dir))
        fail_msg("cut to %zu of %zu bytes: %s: %s", n, whole->n, jt_status_name(st), err.message);
}

static void test_cut_gguf(void **state) {
    (void)state;
    static const char *const name[] = {"mixtral", "gpt-oss-mxfp4", "granite-hybrid-moe", "deepseek-v3"};
    char path[128], from[512];
    jt_error err;
    snprintf(path, sizeof path, "%s/cut.gguf", dir);
    for (int i = 0; i < 4; i++) {
        jt_str whole = {0};
        jt_gguf *g;
        snprintf(from, sizeof from, FIXTURES "/moe/%s.gguf", name[i]);
        assert_int_equal(jt_file_read(from, &whole, &err), JT_OK);
        for (size_t k = 0; k < 16; k++) cut(&whole, path, path, whole.n * k / 16);
        for (size_t n = 0; n < 64; n++) cut(&whole, path, path, n);
        assert_int_equal(jt_gguf_parse((const uint8_t *)whole.s, whole.n, &g, &err), JT_OK);
        for (size_t t = 0; t < jt_gguf_tensors(g); t++) {
            size_t at = (size_t)(jt_gguf_tensor_at(g, t)->data - (const uint8_t *)whole.s);
            for (int d = -1; d <= 1; d++) cut(&whole, path, path, at + (size_t)d);
        }
        for (size_t v = 0; v < jt_gguf_values(g); v++) { /* in each key, and after it */
            const char *key = jt_gguf_value_at(g, v)->key;
            const char *at = memmem(whole.s, whole.n, key, strlen(key));
            assert_non_null(at);
            for (size_t d = 0; d < 14; d++) cut(&whole, path, path, (size_t)(at - whole.s) + strlen(key) - 2 + d);
        }
        jt_gguf_free(g);
        jt_str_free(&whole);
    }
    unlink(path);
}

static void test_cut_safetensors(void **state) {
    (void)state;
    char path[128], config[128];
    jt_str whole = {0}, text = {0};
    jt_error err;
    assert_int_equal(jt_file_read(FIXTURES "/families/qwen2/model.safetensors", &whole, &err), JT_OK);
    assert_int_equal(jt_file_read(FIXTURES "/families/qwen2/config.json", &text, &err), JT_OK);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    snprintf(config, sizeof config, "%s/config.json", dir);
    put(config, text.s, text.n);
    size_t header = 8 + (size_t)(uint8_t)whole.s[0] + ((size_t)(uint8_t)whole.s[1] << 8);
    for (size_t k = 0; k < 16; k++) cut(&whole, path, dir, whole.n * k / 16);
    for (size_t n = 0; n < 24; n++) cut(&whole, path, dir, n);
    for (size_t n = 8; n < header; n += 37) cut(&whole, path, dir, n);
    for (size_t n = header - 3; n < header + 3; n++) cut(&whole, path, dir, n);
    for (size_t n = whole.n - 5; n < whole.n; n++) cut(&whole, path, dir, n);
    /* Settings that end before they are told. */
    put(path, whole.s, whole.n);
    assert_int_equal(use(dir, &err), JT_OK);
    size_t end = text.n;
    while (end && text.s[end - 1] != '}') end--;
    for (size_t n = 0; n < end; n += 1 + n / 16) cut(&text, config, dir, n);
    unlink(path), unlink(config);
    jt_str_free(&whole), jt_str_free(&text);
}

/* Overwrites the 32 bits of a key's value. */
static void patch(jt_str *file, const char *key, uint32_t v) {
    char *at = memmem(file->s, file->n, key, strlen(key));
    if (!at) fail_msg("no key %s", key);
    memcpy(at + strlen(key) + 4, &v, 4);
}

/* Settings of a Llama that its tensors, or sense, do not bear out. */
static void test_lying_settings(void **state) {
    (void)state;
    static const struct {
        const char *key;
        uint32_t value;
    } row[] = {{"embedding_length", 0},
               {"embedding_length", 63},
               {"embedding_length", 128},
               {"embedding_length", 0x80000000},
               {"block_count", 0},
               {"block_count", 1},
               {"block_count", 3},
               {"block_count", 5000},
               {"block_count", UINT32_MAX},
               {"attention.head_count", 0},
               {"attention.head_count", 3},
               {"attention.head_count", 5},
               {"attention.head_count", 0x7fffffff},
               {"attention.head_count_kv", 3},
               {"attention.head_count_kv", 4},
               {"attention.head_count_kv", 0x7fffffff},
               {"attention.key_length", 0},
               {"attention.key_length", 15},
               {"attention.key_length", 0x40000000},
               {"feed_forward_length", 0},
               {"feed_forward_length", 161},
               {"feed_forward_length", UINT32_MAX},
               {"context_length", 0},
               {"context_length", UINT32_MAX},
               {"layer_norm_rms_epsilon", 0x7fc00000},  /* NaN */
               {"layer_norm_rms_epsilon", 0x7f800000},  /* infinite */
               {"layer_norm_rms_epsilon", 0xbf800000}}; /* -1 */
    char path[128];
    jt_error err;
    tiny_llama t = tiny_llama_of(JT_Q8_0);
    snprintf(path, sizeof path, "%s/lies.gguf", dir);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        jt_str file = {0};
        tiny_llama_write(path, &t);
        assert_int_equal(use(path, &err), JT_OK);
        assert_int_equal(jt_file_read(path, &file, &err), JT_OK);
        patch(&file, row[i].key, row[i].value);
        put(path, file.s, file.n);
        err = (jt_error){0};
        jt_status st = use(path, &err);
        if (st != JT_FORMAT && st != JT_UNSUPPORTED && st != JT_NOTFOUND && st != JT_LIMIT)
            fail_msg("%s = %u: %s: %s", row[i].key, row[i].value, jt_status_name(st), err.message);
        jt_str_free(&file);
    }
    unlink(path);
}

/* Weights that are NaN, infinite or too large: rows are evaluated without harm, and no file of fewer bits is made of them. */
static void test_weights_that_are_no_numbers(void **state) {
    (void)state;
    static const char *const type[] = {"q8_0", "q4_0", "q4_1",   "q5_0",   "q5_1", "q2_k", "q3_k", "q4_k",
                                       "q5_k", "q6_k", "iq4_nl", "iq4_xs", "f16",  "bf16", "f32"};
    static const float value[] = {NAN, INFINITY, -INFINITY, 3e38f};
    char path[128], out[128];
    jt_error err;
    snprintf(path, sizeof path, "%s/nan.gguf", dir), snprintf(out, sizeof out, "%s/out.gguf", dir);
    for (int i = 0; i < 4; i++) {
        static uint8_t file[1 << 22];
        tiny_llama t = {JT_F32, 67, 256, 1, 4, 2, 64, 256, 64, 0, 5};
        jt_gguf *g;
        jt_str text = {0};
        tiny_llama_write(path, &t);
        assert_int_equal(jt_file_read(path, &text, &err), JT_OK);
        assert_true(text.n <= sizeof file);
        memcpy(file, text.s, text.n);
        assert_int_equal(jt_gguf_parse(file, text.n, &g, &err), JT_OK);
        const jt_gguf_tensor *w = jt_gguf_tensor_named(g, "blk.0.ffn_up.weight");
        memcpy(file + (w->data - file) + 4 * 1000, &value[i], 4);
        put(path, file, text.n);
        jt_gguf_free(g);
        jt_str_free(&text);
        assert_int_equal(use(path, &err), JT_OK);
        for (size_t k = 0; k < sizeof type / sizeof *type; k++) {
            jt_status st = jt_convert(path, out, &(jt_convert_options){.type = type[k], .pure = 1, .threads = 1}, NULL, &err);
            bool float_kind = strchr("fb", *type[k]) != NULL;
            if (!float_kind && (st != JT_INVALID || !strstr(err.message, "blk.0.ffn_up.weight")))
                fail_msg("%g as %s: %s: %s", (double)value[i], type[k], jt_status_name(st), err.message);
            assert_int_equal(access(out, F_OK) != 0, st != JT_OK);
            unlink(out);
        }
    }
    /* Scales of blocks that are NaN. */
    for (int i = 0; i < 3; i++) {
        tiny_llama t = tiny_llama_of((const jt_type[]){JT_Q8_0, JT_Q4_0, JT_Q4_1}[i]);
        jt_str text = {0};
        tiny_llama_write(path, &t);
        assert_int_equal(jt_file_read(path, &text, &err), JT_OK);
        memset(text.s + text.n / 2, 0x7f, text.n / 4);
        put(path, text.s, text.n);
        jt_str_free(&text);
        assert_int_equal(use(path, &err), JT_OK);
    }
    unlink(path);
}

static int setup(void **state) {
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    return rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_metadata),
        cmocka_unit_test(test_hostile_sizes),
        cmocka_unit_test(test_hostile_conversion),
        cmocka_unit_test(test_cut_gguf),
        cmocka_unit_test(test_cut_safetensors),
        cmocka_unit_test(test_lying_settings),
        cmocka_unit_test(test_weights_that_are_no_numbers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
