/* The GGUF reader: what a valid file says, and that no damaged one is believed. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "model/gguf_sample.h"

#define assert_has(text, part)                                                                                                             \
    do {                                                                                                                                   \
        if (!strstr(text, part)) fail_msg("\"%s\" does not contain \"%s\"", text, part);                                                   \
    } while (0)

/* Calls every accessor on everything; reads every byte that they lead to. */
static uint64_t walk(const jt_gguf *g) {
    uint64_t sum = 0, u;
    int64_t i;
    double d;
    bool b;
    const char *s;
    size_t n;
    jt_str text = {0};
    for (size_t k = 0; k < jt_gguf_values(g); k++) {
        const jt_gguf_value *v = jt_gguf_value_at(g, k);
        assert_ptr_equal(jt_gguf_find(g, v->key), v);
        for (uint64_t j = 0; j <= v->count; j++) {
            if (jt_gguf_item_text(v, j, &s, &n))
                for (size_t c = 0; c < n; c++) sum += (uint8_t)s[c];
            if (jt_gguf_item_u64(v, j, &u)) sum += u;
            if (jt_gguf_item_i64(v, j, &i)) sum += (uint64_t)i;
            if (jt_gguf_item_double(v, j, &d)) sum += d > 1;
            if (jt_gguf_item_bool(v, j, &b)) sum += b;
        }
        jt_str_clear(&text);
        jt_gguf_print(v, 30, &text);
        sum += text.n;
    }
    for (size_t k = 0; k < jt_gguf_tensors(g); k++) {
        const jt_gguf_tensor *t = jt_gguf_tensor_at(g, k);
        assert_ptr_equal(jt_gguf_tensor_named(g, t->name), t);
        for (uint64_t j = 0; j < t->bytes; j++) sum += t->data[j];
    }
    jt_str_free(&text);
    return sum;
}

static jt_gguf *open_sample(uint8_t **file, uint32_t version) {
    size_t n;
    jt_gguf *g = NULL;
    jt_error e = {0};
    *file = gguf_sample(version, &n);
    if (jt_gguf_parse(*file, n, &g, &e)) fail_msg("%s", e.message);
    return g;
}

static void test_values(void **state) {
    (void)state;
    uint8_t *file;
    jt_error e;
    uint64_t u;
    int64_t i;
    double d;
    bool b;
    const char *s;
    size_t n;
    const jt_gguf_value *v;
    for (uint32_t version = 2; version <= 3; version++) {
        jt_gguf *g = open_sample(&file, version);
        assert_int_equal(jt_gguf_version(g), version);
        assert_int_equal(jt_gguf_alignment(g), 64);
        assert_int_equal(jt_gguf_values(g), 22);
        assert_string_equal(jt_gguf_value_at(g, 2)->key, "u8");

        assert_int_equal(jt_gguf_get_text(g, "general.architecture", &s, &n, &e), JT_OK);
        assert_int_equal(n, 5);
        assert_memory_equal(s, "llama", 5);
        assert_int_equal(jt_gguf_get_text(g, "empty", &s, &n, &e), JT_OK);
        assert_int_equal(n, 0);

        static const struct {
            const char *key;
            int64_t x;
        } whole[] = {{"u8", 200},         {"i8", -100},         {"u16", 60000},    {"i16", -30000},
                     {"u32", 4000000000}, {"i32", -2000000000}, {"i64", INT64_MIN}};
        for (size_t k = 0; k < sizeof whole / sizeof *whole; k++) {
            assert_int_equal(jt_gguf_get_i64(g, whole[k].key, &i, &e), JT_OK);
            assert_true(i == whole[k].x);
            assert_int_equal(jt_gguf_get_double(g, whole[k].key, &d, &e), JT_OK);
            assert_true(d == (double)whole[k].x);
            assert_int_equal(jt_gguf_get_u64(g, whole[k].key, &u, &e), whole[k].x < 0 ? JT_FORMAT : JT_OK);
            assert_true(whole[k].x < 0 || u == (uint64_t)whole[k].x);
        }
        assert_int_equal(jt_gguf_get_u64(g, "u64", &u, &e), JT_OK);
        assert_true(u == UINT64_MAX);
        assert_int_equal(jt_gguf_get_i64(g, "u64", &i, &e), JT_FORMAT);
        assert_has(e.message, "metadata key u64");
        assert_has(e.message, "18446744073709551615");
        assert_int_equal(jt_gguf_get_double(g, "f32", &d, &e), JT_OK);
        assert_true(d == (double)1e-5f);
        assert_int_equal(jt_gguf_get_double(g, "f64", &d, &e), JT_OK);
        assert_true(d == 0.1);
        assert_int_equal(jt_gguf_get_bool(g, "yes", &b, &e), JT_OK);
        assert_true(b);
        assert_int_equal(jt_gguf_get_bool(g, "no", &b, &e), JT_OK);
        assert_false(b);

        assert_int_equal(jt_gguf_get_array(g, "tokens", JT_GGUF_STRING, &v, &e), JT_OK);
        assert_int_equal(v->count, 4);
        assert_true(jt_gguf_item_text(v, 2, &s, &n));
        assert_int_equal(n, 3);
        assert_memory_equal(s, "h\xc3\xa9", 3);
        assert_true(jt_gguf_item_text(v, 1, &s, &n));
        assert_int_equal(n, 0);
        assert_false(jt_gguf_item_text(v, 4, &s, &n));
        assert_false(jt_gguf_item_u64(v, 0, &u));
        assert_int_equal(jt_gguf_get_array(g, "types", JT_GGUF_I32, &v, &e), JT_OK);
        assert_true(jt_gguf_item_i64(v, 1, &i) && i == -2);
        assert_false(jt_gguf_item_i64(v, 3, &i));
        assert_int_equal(jt_gguf_get_array(g, "scores", JT_GGUF_F32, &v, &e), JT_OK);
        assert_true(jt_gguf_item_double(v, 1, &d) && d == -1);
        assert_false(jt_gguf_item_double(v, 2, &d));
        assert_int_equal(jt_gguf_get_array(g, "bools", JT_GGUF_BOOL, &v, &e), JT_OK);
        assert_true(jt_gguf_item_bool(v, 0, &b) && !b);
        assert_true(jt_gguf_item_bool(v, 1, &b) && b);
        assert_int_equal(jt_gguf_get_array(g, "none", JT_GGUF_U64, &v, &e), JT_OK);
        assert_int_equal(v->count, 0);
        assert_int_equal(jt_gguf_get_array(g, "nested", JT_GGUF_ARRAY, &v, &e), JT_OK);
        assert_int_equal(v->count, 2);
        assert_int_equal(v->bytes, 4 + 8 + 3 + 4 + 8 + 8 + 1);
        walk(g);
        jt_gguf_free(g);
        free(file);
    }
}

static void test_getter_errors(void **state) {
    (void)state;
    uint8_t *file;
    jt_gguf *g = open_sample(&file, 3);
    jt_error e;
    uint64_t u = 7;
    int64_t i;
    double d = 7;
    bool b = true;
    const char *s;
    size_t n;
    const jt_gguf_value *v;
    assert_int_equal(jt_gguf_get_u64(g, "absent", &u, &e), JT_NOTFOUND);
    assert_string_equal(e.message, "metadata key absent is missing from the file");
    assert_int_equal(jt_gguf_get_i64(g, "absent", &i, &e), JT_NOTFOUND);
    assert_int_equal(jt_gguf_get_double(g, "absent", &d, &e), JT_NOTFOUND);
    assert_int_equal(jt_gguf_get_bool(g, "absent", &b, &e), JT_NOTFOUND);
    assert_int_equal(jt_gguf_get_text(g, "absent", &s, &n, &e), JT_NOTFOUND);
    assert_int_equal(jt_gguf_get_array(g, "absent", JT_GGUF_U8, &v, &e), JT_NOTFOUND);
    assert_int_equal(jt_gguf_get_u64(g, "f32", &u, &e), JT_FORMAT);
    assert_string_equal(e.message, "metadata key f32: a non-negative integer wanted, the file has f32 1e-05");
    assert_int_equal(jt_gguf_get_u64(g, "types", &u, &e), JT_FORMAT);
    assert_string_equal(e.message, "metadata key types: a non-negative integer wanted, the file has array i32");
    assert_int_equal(jt_gguf_get_double(g, "yes", &d, &e), JT_FORMAT);
    assert_int_equal(jt_gguf_get_bool(g, "u8", &b, &e), JT_FORMAT);
    assert_int_equal(jt_gguf_get_text(g, "tokens", &s, &n, &e), JT_FORMAT);
    assert_int_equal(jt_gguf_get_array(g, "u8", JT_GGUF_U8, &v, &e), JT_FORMAT);
    assert_int_equal(jt_gguf_get_array(g, "types", JT_GGUF_U32, &v, &e), JT_FORMAT);
    assert_has(e.message, "an array of u32 wanted");
    assert_true(u == 7 && d == 7 && b);

    assert_int_equal(jt_gguf_get_u64_or(g, "absent", 9, &u, &e), JT_OK);
    assert_int_equal(u, 9);
    assert_int_equal(jt_gguf_get_u64_or(g, "u8", 9, &u, &e), JT_OK);
    assert_int_equal(u, 200);
    assert_int_equal(jt_gguf_get_u64_or(g, "f32", 9, &u, &e), JT_FORMAT);
    assert_int_equal(jt_gguf_get_double_or(g, "absent", 9, &d, &e), JT_OK);
    assert_true(d == 9);
    assert_int_equal(jt_gguf_get_double_or(g, "f64", 9, &d, &e), JT_OK);
    assert_true(d == 0.1);
    assert_int_equal(jt_gguf_get_bool_or(g, "absent", false, &b, &e), JT_OK);
    assert_false(b);
    assert_int_equal(jt_gguf_get_bool_or(g, "yes", false, &b, &e), JT_OK);
    assert_true(b);
    assert_int_equal(jt_gguf_get_bool_or(g, "empty", false, &b, NULL), JT_FORMAT);
    jt_gguf_free(g);
    free(file);
}

static void test_print(void **state) {
    (void)state;
    uint8_t *file;
    jt_gguf *g = open_sample(&file, 3);
    static const struct {
        const char *key, *text;
    } want[] = {{"general.name", "\"a \\\"tiny\\\" model\\n\""},
                {"i8", "-100"},
                {"i64", "-9223372036854775808"},
                {"f32", "1e-05"},
                {"f64", "0.1"},
                {"yes", "true"},
                {"tokens", "[string x 4] [\"<s>\", \"\", \"h\xc3\xa9\", \"\xef\xbf\xbd\"]"},
                {"scores", "[f32 x 2] [0.5, -1]"},
                {"types", "[i32 x 3] [1, -2, 3]"},
                {"bools", "[bool x 2] [false, true]"},
                {"none", "[u64 x 0] []"},
                {"nested", "[array x 2] [array, array]"}};
    for (size_t k = 0; k < sizeof want / sizeof *want; k++) {
        jt_str s = {0};
        jt_gguf_print(jt_gguf_find(g, want[k].key), 60, &s);
        assert_string_equal(jt_str_c(&s), want[k].text);
        jt_str_free(&s);
    }
    jt_str s = {0};
    jt_gguf_print(jt_gguf_find(g, "general.name"), 3, &s);
    assert_string_equal(jt_str_c(&s), "\"a \\\"\"... (15 bytes)");
    jt_str_clear(&s);
    jt_gguf_print(jt_gguf_find(g, "types"), 1, &s);
    assert_string_equal(jt_str_c(&s), "[i32 x 3] [1, ...]");
    jt_str_free(&s);
    jt_gguf_free(g);
    free(file);

    gguf_builder b = {0};
    size_t n;
    gb_f32(&b, "a", INFINITY), gb_f32(&b, "b", -INFINITY), gb_f64(&b, "c", NAN), gb_f32(&b, "d", FLT_MAX);
    file = gb_finish(&b, 3, &n);
    assert_int_equal(jt_gguf_parse(file, n, &g, NULL), JT_OK);
    static const char *const odd[] = {"inf", "-inf", "nan", "3.4028235e+38"};
    for (size_t k = 0; k < 4; k++) {
        jt_str t = {0};
        jt_gguf_print(jt_gguf_value_at(g, k), 60, &t);
        assert_string_equal(jt_str_c(&t), odd[k]);
        jt_str_free(&t);
    }
    assert_string_equal(jt_gguf_type_name(JT_GGUF_F64), "f64");
    assert_string_equal(jt_gguf_type_name((jt_gguf_type)13), "unknown");
    jt_gguf_free(g);
    free(file);
}

static void test_tensors(void **state) {
    (void)state;
    uint8_t *file;
    jt_gguf *g = open_sample(&file, 3);
    assert_int_equal(jt_gguf_tensors(g), 5);
    const jt_gguf_tensor *t = jt_gguf_tensor_at(g, 2);
    assert_string_equal(t->name, "row");
    assert_int_equal(t->n_dims, 1);
    assert_int_equal(t->dim[0], 32);
    assert_int_equal(t->dim[3], 1);
    assert_int_equal(t->elements, 32);
    assert_int_equal(t->bytes, 128);
    assert_string_equal(t->format->name, "f32");
    assert_int_equal(t->offset % 64, 0);
    assert_ptr_equal(t->data, file + t->offset);
    float x[32];
    memcpy(x, t->data, sizeof x);
    assert_true(x[31] == 7.75f);
    t = jt_gguf_tensor_named(g, "q8");
    assert_non_null(t);
    assert_int_equal(t->bytes, 68);
    assert_int_equal(t->data[67], 67);
    t = jt_gguf_tensor_named(g, "scalar");
    assert_int_equal(t->n_dims, 0);
    assert_int_equal(t->elements, 1);
    assert_int_equal(t->bytes, 4);
    t = jt_gguf_tensor_named(g, "four");
    assert_int_equal(t->elements, 6);
    assert_int_equal(t->bytes, 12);
    t = jt_gguf_tensor_named(g, "unknown");
    assert_int_equal(t->type, 4);
    assert_null(t->format);
    assert_null(t->data);
    assert_int_equal(t->bytes, 0);
    assert_null(jt_gguf_tensor_named(g, "ro"));
    assert_null(jt_gguf_find(g, ""));
    jt_gguf_free(g);
    free(file);
}

static void test_empty_and_vocabulary_only(void **state) {
    (void)state;
    gguf_builder b = {0};
    size_t n;
    jt_gguf *g;
    uint8_t *file = gb_finish(&b, 3, &n);
    assert_int_equal(n, 24);
    assert_int_equal(jt_gguf_parse(file, n, &g, NULL), JT_OK);
    assert_int_equal(jt_gguf_tensors(g) + jt_gguf_values(g), 0);
    assert_int_equal(jt_gguf_alignment(g), 32);
    assert_null(jt_gguf_find(g, "general.alignment"));
    jt_gguf_free(g);
    free(file);
    gb_texts(&b, "tokenizer.ggml.tokens", (const char *const[]){"a", "b"}, 2);
    file = gb_finish(&b, 3, &n);
    assert_int_equal(jt_gguf_parse(file, n, &g, NULL), JT_OK);
    assert_int_equal(jt_gguf_find(g, "tokenizer.ggml.tokens")->count, 2);
    jt_gguf_free(g);
    free(file);
}

/* ---- refusals ---- */

/* Parses an exact copy, so that a sanitizer sees a read past its end. */
static jt_status parse_copy(const uint8_t *p, size_t n, jt_error *e) {
    jt_gguf *g = NULL;
    uint8_t *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    if (n) memcpy(copy, p, n);
    jt_status s = jt_gguf_parse(copy, n, &g, e);
    if (s == JT_OK)
        walk(g);
    else
        assert_null(g);
    jt_gguf_free(g);
    free(copy);
    return s;
}

static void test_every_truncation(void **state) {
    (void)state;
    size_t n;
    uint8_t *file = gguf_sample(3, &n);
    jt_error e;
    for (size_t k = 0; k < n; k++) {
        e = (jt_error){0};
        assert_int_equal(parse_copy(file, k, &e), JT_FORMAT);
        size_t at;
        int used = 0;
        if (sscanf(e.message, "byte %zu: %n", &at, &used) != 1 || !used || at > k || strlen(e.message + used) < 10)
            fail_msg("%zu bytes: \"%s\" names no byte and field", k, e.message);
    }
    assert_int_equal(parse_copy(file, n, &e), JT_OK);
    free(file);
}

static void test_every_byte_changed(void **state) {
    (void)state;
    size_t n, refused = 0, read = 0;
    uint8_t *file = gguf_sample(2, &n);
    static const uint8_t change[] = {0x01, 0x02, 0x40, 0x80, 0xff};
    for (size_t k = 0; k < n; k++)
        for (size_t c = 0; c < sizeof change; c++) {
            jt_error e = {0};
            file[k] ^= change[c];
            if (parse_copy(file, n, &e)) {
                assert_true(e.message[0] != 0);
                refused++;
            } else {
                read++;
            }
            file[k] ^= change[c];
        }
    assert_true(refused > 1000 && read > 1000);
    free(file);
}

static void expect(const uint8_t *p, size_t n, jt_status code, const char *message) {
    jt_error e = {0};
    jt_status s = parse_copy(p, n, &e);
    if (s != code) fail_msg("\"%s\" wanted, got %s: %s", message, jt_status_name(s), e.message);
    assert_has(e.message, message);
}

static void expect_builder(gguf_builder *b, const char *message) {
    size_t n;
    uint8_t *p = gb_finish(b, 3, &n);
    expect(p, n, JT_FORMAT, message);
    free(p);
}

static void expect_header(const char *magic, uint32_t version, uint64_t tensors, uint64_t values, jt_status code, const char *message) {
    gb_bytes f = {0};
    gb_put(&f, magic, 4);
    gb_put_int(&f, version, 4);
    gb_put_int(&f, tensors, 8);
    gb_put_int(&f, values, 8);
    gb_put(&f, NULL, 100);
    expect(f.p, f.n, code, message);
    free(f.p);
}

static void test_refused_headers(void **state) {
    (void)state;
    expect(NULL, 0, JT_FORMAT, "byte 0: magic: needs 4 bytes, 0 are left");
    expect_header("GGML", 3, 0, 0, JT_FORMAT, "byte 0: magic");
    expect_header("GGUF", 0x03000000, 0, 0, JT_UNSUPPORTED, "byte 4: version: this is a big-endian GGUF file");
    expect_header("GGUF", 0x02000000, 0, 0, JT_UNSUPPORTED, "big-endian");
    expect_header("GGUF", 1, 0, 0, JT_UNSUPPORTED, "byte 4: version: GGUF version 1");
    expect_header("GGUF", 4, 0, 0, JT_UNSUPPORTED, "byte 4: version: GGUF version 4 is not known");
    expect_header("GGUF", 3, 5, 0, JT_FORMAT, "byte 8: tensor count: 5 tensors do not fit in the 100 bytes left");
    expect_header("GGUF", 3, UINT64_MAX / 25 + 2, 0, JT_FORMAT, "byte 8: tensor count");
    expect_header("GGUF", 3, 0, 8, JT_FORMAT, "byte 16: metadata count: 8 values and 0 tensors do not fit in the 100 bytes left");
    expect_header("GGUF", 3, 3, 3, JT_FORMAT, "byte 16: metadata count");
    expect_header("GGUF", 3, 0, UINT64_MAX / 14 + 2, JT_FORMAT, "byte 16: metadata count");
}

static void test_refused_metadata(void **state) {
    (void)state;
    gguf_builder b = {0};
    gb_u32(&b, "", 1);
    expect_builder(&b, "byte 24: metadata 0: name: is 0 bytes long");
    char *name = malloc(65537);
    assert_non_null(name);
    memset(name, 'a', 65536), name[65536] = 0;
    gb_u32(&b, name, 1);
    expect_builder(&b, "name: is 65536 bytes long, 1 to 65535 are allowed");
    gb_int(&b, name + 1, JT_GGUF_BOOL, 3);
    expect_builder(&b, "aaa...): value: a bool is 0 or 1, here is 3");
    free(name);
    gb_put_text(&b.meta, "a\0b", 3), gb_put_int(&b.meta, 0, 9), b.n_values = 1;
    expect_builder(&b, "byte 24: metadata 0: name: contains a NUL byte");
    gb_put_int(&b.meta, UINT64_MAX, 8), gb_put(&b.meta, NULL, 20), b.n_values = 1;
    expect_builder(&b, "byte 32: metadata 0: name: needs 18446744073709551615 bytes, 20 are left");
    gb_u32(&b, "a", 1), gb_u32(&b, "b", 2), gb_u32(&b, "a", 1);
    expect_builder(&b, "metadata 2 (a): name: was already that of metadata 0");
    gb_key(&b, "\x1b[2J\xff", 13), gb_put(&b.meta, NULL, 8);
    expect_builder(&b, "metadata 0 (?[2J?): type: 13 is no type of the format");
    gb_key(&b, "x", JT_GGUF_STRING), gb_put_int(&b.meta, 9, 8), gb_put(&b.meta, "12345678", 8);
    expect_builder(&b, "byte 45: metadata 0 (x): value: needs 9 bytes, 8 are left");
    gb_array(&b, "x", (jt_gguf_type)99, 1);
    expect_builder(&b, "byte 37: metadata 0 (x): element type: 99 is no type");
    gb_array(&b, "x", JT_GGUF_U64, UINT64_C(1) << 61);
    expect_builder(&b, "byte 41: metadata 0 (x): element count: 2305843009213693952 elements of at least 8 bytes");
    gb_array(&b, "x", JT_GGUF_STRING, UINT64_C(1) << 60);
    expect_builder(&b, "element count");
    gb_array(&b, "x", JT_GGUF_STRING, 2), gb_put_text(&b.meta, "ab", 2), gb_put_int(&b.meta, 1, 8);
    expect_builder(&b, "string of the array: needs 1 bytes, 0 are left");
    gb_array(&b, "x", JT_GGUF_BOOL, 3), gb_put_int(&b.meta, 0x020100, 3);
    expect_builder(&b, "byte 51: metadata 0 (x): value: a bool is 0 or 1");
    gb_array(&b, "x", JT_GGUF_ARRAY, 1);
    for (int i = 0; i < 4; i++) gb_put_int(&b.meta, JT_GGUF_ARRAY, 4), gb_put_int(&b.meta, 1, 8);
    gb_put_int(&b.meta, JT_GGUF_U8, 4), gb_put_int(&b.meta, 0, 8);
    expect_builder(&b, "more than 4 deep");
    gb_array(&b, "x", JT_GGUF_ARRAY, 2), gb_put_int(&b.meta, JT_GGUF_U8, 4), gb_put_int(&b.meta, 12, 8), gb_put(&b.meta, NULL, 12);
    expect_builder(&b, "element type: needs 4 bytes");
}

static void test_refused_alignment(void **state) {
    (void)state;
    static const uint32_t bad[] = {0, 4, 24, 33, 0xffffffff};
    gguf_builder b = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char want[64];
        snprintf(want, sizeof want, "(general.alignment): value: alignment %u is no power of two", (unsigned)bad[i]);
        gb_u32(&b, "general.alignment", bad[i]);
        expect_builder(&b, want);
    }
    gb_int(&b, "general.alignment", JT_GGUF_U64, 32);
    expect_builder(&b, "is of type u64, u32 wanted");
    gb_u32(&b, "general.alignment", 0x80000000), gb_tensor(&b, "t", JT_F32, 1, (uint64_t[]){8}, NULL, 32);
    expect_builder(&b, "tensor 0 (t): offset: 32 bytes at 0 of the data, which begin at byte 2147483648, do not fit");
}

/* One tensor with the fields as given and 64 bytes of data. */
static void tensor_info(gguf_builder *b, const char *name, uint32_t type, uint32_t n_dims, const uint64_t *dim, uint64_t offset) {
    gb_put_text(&b->infos, name, strlen(name));
    gb_put_int(&b->infos, n_dims, 4);
    for (uint32_t i = 0; i < n_dims && i < 4; i++) gb_put_int(&b->infos, dim[i], 8);
    gb_put_int(&b->infos, type, 4);
    gb_put_int(&b->infos, offset, 8);
    if (!b->data.n) gb_put(&b->data, NULL, 64);
    b->n_tensors++;
}

static void test_refused_tensors(void **state) {
    (void)state;
    gguf_builder b = {0};
    tensor_info(&b, "", JT_F32, 1, (uint64_t[]){8}, 0);
    expect_builder(&b, "byte 24: tensor 0: name: is 0 bytes long");
    tensor_info(&b, "t", JT_F32, 5, (uint64_t[]){1, 1, 1, 1}, 0);
    expect_builder(&b, "byte 33: tensor 0 (t): number of dimensions: 5, at most 4 are allowed");
    tensor_info(&b, "t", JT_F32, 2, (uint64_t[]){8, 0}, 0);
    expect_builder(&b, "byte 45: tensor 0 (t): dimension: number 1 is 0");
    tensor_info(&b, "t", JT_F32, 2, (uint64_t[]){UINT64_C(1) << 32, UINT64_C(1) << 32}, 0);
    expect_builder(&b, "byte 45: tensor 0 (t): dimension: with 4294967296 as number 1");
    tensor_info(&b, "t", 4, 1, (uint64_t[]){UINT64_C(1) << 63}, 0);
    expect_builder(&b, "byte 37: tensor 0 (t): dimension");
    tensor_info(&b, "t", JT_F32, 1, (uint64_t[]){UINT64_C(1) << 62}, 0);
    expect_builder(&b, "byte 45: tensor 0 (t): type: 4611686018427387904 elements of f32 are more bytes than");
    tensor_info(&b, "t", JT_Q4_0, 2, (uint64_t[]){48, 2}, 0);
    expect_builder(&b, "byte 53: tensor 0 (t): type: q4_0 has blocks of 32, but rows are 48 long");
    tensor_info(&b, "t", JT_F32, 1, (uint64_t[]){8}, 16);
    expect_builder(&b, "byte 49: tensor 0 (t): offset: 16 is no multiple of the alignment 32");
    tensor_info(&b, "t", JT_F32, 1, (uint64_t[]){17}, 0);
    expect_builder(&b,
                   "byte 49: tensor 0 (t): offset: 68 bytes at 0 of the data, which begin at byte 64, do not fit in the file's 128 bytes");
    tensor_info(&b, "t", JT_F32, 1, (uint64_t[]){8}, UINT64_MAX - 31);
    expect_builder(&b, "byte 49: tensor 0 (t): offset");
    tensor_info(&b, "t", JT_F32, 1, (uint64_t[]){8}, UINT64_MAX - 95);
    expect_builder(&b, "byte 49: tensor 0 (t): offset");
    tensor_info(&b, "t", 4, 1, (uint64_t[]){8}, 64);
    expect_builder(&b, "byte 49: tensor 0 (t): offset: 1 bytes at 64");
    tensor_info(&b, "t", JT_F32, 1, (uint64_t[]){8}, 0), tensor_info(&b, "t", JT_F32, 1, (uint64_t[]){8}, 32);
    expect_builder(&b, "byte 57: tensor 1 (t): name: was already that of tensor 0");
    tensor_info(&b, "t", JT_F32, 1, (uint64_t[]){8}, 32), tensor_info(&b, "u", JT_F32, 1, (uint64_t[]){9}, 0);
    expect_builder(&b, "tensor 0 (t): offset: its data at byte 128 lie inside those of tensor 1, which end at 132");
    tensor_info(&b, "t", JT_F32, 1, (uint64_t[]){16}, 0), tensor_info(&b, "u", 4, 1, (uint64_t[]){9}, 32);
    expect_builder(&b, "tensor 1 (u): offset: its data at byte 128 lie inside those of tensor 0");
    tensor_info(&b, "t", 4, 1, (uint64_t[]){16}, 0), tensor_info(&b, "u", 5, 1, (uint64_t[]){9}, 0);
    expect_builder(&b, "tensor 1 (u): offset: its data at byte 96 lie inside those of tensor 0");
}

/* ---- files and memory ---- */

static void test_open(void **state) {
    (void)state;
    char path[] = "/tmp/jeton-test-gguf-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    jt_gguf *g = NULL;
    jt_error e;
    assert_int_equal(jt_gguf_open(path, &g, &e), JT_FORMAT);
    assert_has(e.message, path);
    assert_has(e.message, "byte 0: magic");
    gguf_builder b = {0};
    gb_tensor(&b, "t", JT_F32, 1, (uint64_t[]){8}, NULL, 32);
    gb_save(&b, 3, path);
    assert_int_equal(jt_gguf_open(path, &g, &e), JT_OK);
    assert_int_equal(jt_gguf_file_bytes(g), 128 - 32);
    assert_int_equal((uintptr_t)jt_gguf_tensor_at(g, 0)->data % 32, 0);
    assert_int_equal(jt_gguf_lock(g, &e), JT_OK);
    jt_gguf_free(g);
    unlink(path);
    assert_int_equal(jt_gguf_open(path, &g, &e), JT_NOTFOUND);
    assert_int_equal(jt_gguf_open("/tmp", &g, &e), JT_INVALID);
    jt_gguf_free(NULL);
}

static void test_every_allocation_fails(void **state) {
    (void)state;
    size_t n;
    uint8_t *file = gguf_sample(3, &n);
    jt_gguf *g = NULL;
    jt_error e;
    long i = 0;
    for (;; i++) {
        e = (jt_error){0};
        alloc_fail_at(i);
        jt_status s = jt_gguf_parse(file, n, &g, &e);
        alloc_fail_at(-1);
        if (s == JT_OK) break;
        assert_int_equal(s, JT_NOMEM);
        assert_has(e.message, "out of memory");
        assert_null(g);
    }
    assert_true(i >= 5);
    jt_gguf_free(g);
    /* A value cannot be printed without memory: the text says so and nothing else happens. */
    assert_int_equal(jt_gguf_parse(file, n, &g, &e), JT_OK);
    for (size_t k = 0; k < jt_gguf_values(g); k++) {
        jt_str t = {0};
        alloc_fail_at(0);
        jt_gguf_print(jt_gguf_value_at(g, k), 50, &t);
        alloc_fail_at(-1);
        assert_true(t.failed);
        jt_str_free(&t);
    }
    jt_gguf_free(g);
    free(file);
}

/* Arrays large enough that the arena needs more than one block, each of which may fail. */
static void test_large_file(void **state) {
    (void)state;
    enum { TOKENS = 20000, TENSORS = 3000 };
    gguf_builder b = {0};
    char name[32];
    gb_array(&b, "tokens", JT_GGUF_STRING, TOKENS);
    for (int i = 0; i < TOKENS; i++) {
        int len = snprintf(name, sizeof name, "token %d", i);
        gb_put_text(&b.meta, name, (size_t)len);
    }
    for (int i = 0; i < TENSORS; i++) {
        snprintf(name, sizeof name, "blk.%d.weight", i);
        gb_tensor(&b, name, JT_F32, 1, (uint64_t[]){1 + (uint64_t)i % 9}, NULL, 4 * (1 + (size_t)i % 9));
    }
    size_t n;
    uint8_t *file = gb_finish(&b, 3, &n);
    jt_gguf *g = NULL;
    const char *s;
    size_t len;
    for (long i = 0;; i++) {
        jt_error e = {0};
        alloc_fail_at(i);
        jt_status st = jt_gguf_parse(file, n, &g, &e);
        alloc_fail_at(-1);
        if (st == JT_OK) break;
        assert_int_equal(st, JT_NOMEM);
    }
    assert_int_equal(jt_gguf_tensor_named(g, "blk.2999.weight")->dim[0], 1 + 2999 % 9);
    assert_true(jt_gguf_item_text(jt_gguf_find(g, "tokens"), 19999, &s, &len));
    assert_int_equal(len, 11);
    assert_memory_equal(s, "token 19999", 11);
    jt_gguf_free(g);
    free(file);
}

static void test_real_model(void **state) {
    (void)state;
    const char *path = getenv("JETON_TEST_MODEL");
    if (!path) skip();
    jt_gguf *g;
    jt_error e;
    const char *s;
    size_t n;
    uint64_t u;
    const jt_gguf_value *v;
    if (jt_gguf_open(path, &g, &e)) fail_msg("%s", e.message);
    assert_int_equal(jt_gguf_get_text(g, "general.architecture", &s, &n, &e), JT_OK);
    assert_true(n == 5 && memcmp(s, "llama", 5) == 0);
    assert_int_equal(jt_gguf_tensors(g), 272);
    assert_int_equal(jt_gguf_get_u64(g, "llama.block_count", &u, &e), JT_OK);
    assert_int_equal(u, 30);
    assert_int_equal(jt_gguf_get_array(g, "tokenizer.ggml.tokens", JT_GGUF_STRING, &v, &e), JT_OK);
    assert_int_equal(v->count, 49152);
    const jt_gguf_tensor *t = jt_gguf_tensor_named(g, "token_embd.weight");
    assert_non_null(t);
    assert_int_equal(t->dim[0], 576);
    assert_int_equal(t->dim[1], 49152);
    assert_non_null(t->format);
    t = jt_gguf_tensor_named(g, "blk.29.ffn_down.weight");
    assert_non_null(t);
    assert_string_equal(t->format->name, "q4_1");
    assert_int_equal(t->bytes, 1536 * 576 / 32 * 20);
    walk(g);
    jt_gguf_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_getter_errors),
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_empty_and_vocabulary_only),
        cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_every_byte_changed),
        cmocka_unit_test(test_refused_headers),
        cmocka_unit_test(test_refused_metadata),
        cmocka_unit_test(test_refused_alignment),
        cmocka_unit_test(test_refused_tensors),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_every_allocation_fails),
        cmocka_unit_test(test_large_file),
        cmocka_unit_test(test_real_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
