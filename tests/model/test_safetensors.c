/* The safetensors reader and writer, on one file, folders of shards, and damaged files. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "core/file.h"
#include "model/safetensors.h"

#define assert_has(text, part)                                                                                                             \
    do {                                                                                                                                   \
        if (!strstr(text, part)) fail_msg("\"%s\" does not contain \"%s\"", text, part);                                                   \
    } while (0)

/* A file of this header and n bytes of data, 0, 1, 2 ...; free with free. */
static uint8_t *make(const char *header, size_t n, size_t *total) {
    size_t len = strlen(header);
    uint8_t *p = malloc(8 + len + n);
    assert_non_null(p);
    for (int i = 0; i < 8; i++) p[i] = (uint8_t)((uint64_t)len >> (8 * i));
    memcpy(p + 8, header, len);
    for (size_t i = 0; i < n; i++) p[8 + len + i] = (uint8_t)i;
    *total = 8 + len + n;
    return p;
}

static const char SAMPLE[] = "{\"__metadata__\":{\"format\":\"pt\",\"by\":\"hand\"},"
                             "\"b\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[24,32]},"
                             "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
                             "\"none\":{\"dtype\":\"F16\",\"shape\":[4,0],\"data_offsets\":[24,24]},"
                             "\"odd\":{\"dtype\":\"F4\",\"shape\":[2,1],\"data_offsets\":[32,33]},"
                             "\"half\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[33,35]}}   ";

static void test_read(void **state) {
    (void)state;
    size_t n;
    uint8_t *p = make(SAMPLE, 35, &n);
    jt_safetensors *f;
    jt_error e;
    if (jt_safetensors_parse(p, n, &f, &e)) fail_msg("%s", e.message);
    assert_int_equal(jt_safetensors_tensors(f), 5);
    assert_int_equal(jt_safetensors_file_bytes(f), n);
    assert_int_equal(jt_safetensors_lock(f, &e), JT_OK);
    assert_string_equal(jt_safetensors_tensor_at(f, 0)->name, "a");
    assert_string_equal(jt_safetensors_tensor_at(f, 1)->name, "none");
    const jt_st_tensor *a = jt_safetensors_tensor_named(f, "a"), *b = jt_safetensors_tensor_named(f, "b");
    assert_ptr_equal(a->data, p + n - 35);
    assert_int_equal(a->n_dims, 2);
    assert_int_equal(a->dim[0], 2);
    assert_int_equal(a->dim[1], 3);
    assert_int_equal(a->dim[2], 1);
    assert_int_equal(a->elements, 6);
    assert_int_equal(a->bytes, 24);
    assert_string_equal(a->dtype->computed, "f32");
    assert_int_equal(a->aligned, (uintptr_t)a->data % 4 == 0);
    assert_int_equal(b->n_dims, 0);
    assert_int_equal(b->elements, 1);
    assert_int_equal(jt_safetensors_tensor_named(f, "none")->bytes, 0);
    assert_int_equal(jt_safetensors_tensor_named(f, "odd")->bytes, 1);
    assert_int_equal(jt_safetensors_tensor_named(f, "half")->aligned, (uintptr_t)(p + n - 2) % 2 == 0);
    assert_null(jt_safetensors_tensor_named(f, "c"));
    assert_string_equal(jt_safetensors_metadata(f, "by"), "hand");
    assert_null(jt_safetensors_metadata(f, "nothing"));
    jt_safetensors_free(f);
    free(p);
}

static void put(uint8_t *at, uint64_t v, int bytes) {
    for (int i = 0; i < bytes; i++) at[i] = (uint8_t)(v >> (8 * i));
}

static void test_elements(void **state) {
    (void)state;
    static const struct {
        const char *dtype;
        int bytes;
        uint64_t bits;
        double real;     /* NAN: refused */
        int64_t integer; /* -7: refused */
    } row[] = {
        {"F64", 8, 0x3ff8000000000000, 1.5, -7},
        {"F32", 4, 0xc0200000, -2.5, -7},
        {"F16", 2, 0x3e00, 1.5, -7},
        {"BF16", 2, 0xbf80, -1, -7},
        {"F8_E4M3", 1, 1, NAN, -7},
        {"C64", 8, 1, NAN, -7},
        {"I64", 8, UINT64_MAX - 2, NAN, -3},
        {"I32", 4, 0xfffffffe, NAN, -2},
        {"I16", 2, 0x8000, NAN, -32768},
        {"I8", 1, 0x80, NAN, -128},
        {"U8", 1, 0xff, NAN, 255},
        {"U16", 2, 0xffff, NAN, 65535},
        {"U32", 4, 0xffffffff, NAN, 4294967295},
        {"U64", 8, INT64_MAX, NAN, INT64_MAX},
        {"BOOL", 1, 1, NAN, 1},
        {"F4", 0, 0, NAN, -7},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char header[200];
        int bytes = row[i].bytes ? row[i].bytes : 1;
        snprintf(header, sizeof header, "{\"x\":{\"dtype\":\"%s\",\"shape\":[2],\"data_offsets\":[0,%d]}}", row[i].dtype,
                 row[i].bytes ? 2 * bytes : 1);
        size_t n;
        uint8_t *p = make(header, row[i].bytes ? 2 * (size_t)bytes : 1, &n);
        put(p + n - bytes, row[i].bits, row[i].bytes);
        jt_safetensors *f;
        jt_error e;
        if (jt_safetensors_parse(p, n, &f, &e)) fail_msg("%s: %s", row[i].dtype, e.message);
        const jt_st_tensor *t = jt_safetensors_tensor_at(f, 0);
        float x;
        int64_t k;
        assert_int_equal(jt_st_read_f32(t, 1, 1, &x, &e), isnan(row[i].real) ? JT_UNSUPPORTED : JT_OK);
        assert_true(isnan(row[i].real) || x == (float)row[i].real);
        assert_int_equal(jt_st_read_i64(t, 1, 1, &k, &e), row[i].integer == -7 ? JT_UNSUPPORTED : JT_OK);
        assert_true(row[i].integer == -7 || k == row[i].integer);
        assert_int_equal(jt_st_read_f32(t, 1, 2, &x, &e), JT_INVALID);
        assert_int_equal(jt_st_read_i64(t, 3, 0, &k, &e), JT_INVALID);
        assert_int_equal(jt_st_read_i64(t, 1, UINT64_MAX, &k, &e), JT_INVALID);
        jt_safetensors_free(f);
        free(p);
    }
    size_t n;
    uint8_t *p = make("{\"x\":{\"dtype\":\"U64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, &n);
    put(p + n - 8, UINT64_C(1) << 63, 8);
    jt_safetensors *f;
    jt_error e;
    int64_t k;
    assert_int_equal(jt_safetensors_parse(p, n, &f, &e), JT_OK);
    assert_int_equal(jt_st_read_i64(jt_safetensors_tensor_at(f, 0), 0, 1, &k, &e), JT_FORMAT);
    assert_has(e.message, "9223372036854775808 does not fit");
    jt_safetensors_free(f);
    free(p);
    assert_null(jt_st_dtype_named("F31"));
}

/* ---- refusals ---- */

static jt_status parse_copy(const uint8_t *p, size_t n, jt_error *e) {
    jt_safetensors *f = NULL;
    uint8_t *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, p, n);
    jt_status s = jt_safetensors_parse(copy, n, &f, e);
    if (s) assert_null(f);
    jt_safetensors_free(f);
    free(copy);
    return s;
}

static void test_refused(void **state) {
    (void)state;
#define X(rest) "{\"x\":{" rest "}}"
    static const struct {
        const char *header;
        size_t data;
        const char *message;
    } bad[] = {
        {"", 0, "byte 8: header: does not begin with {"},
        {"[]", 0, "byte 8: header: does not begin with {"},
        {" {}", 0, "does not begin with {"},
        {"{", 0, "header (byte 8): JSON: line 1"},
        {"{}x", 0, "header (byte 8): JSON: line 1"},
        {"{\"a\":1,\"a\":2}", 0, "duplicate"},
        {"{\"a\\u0000b\":1}", 0, "header (byte 8): JSON"},
        {"{\"\x01\":1}", 0, "header (byte 8): JSON"},
        {"{\"x\":3}", 0, "tensor x: description: is an integer, an object wanted"},
        {X(""), 0, "tensor x: dtype: is missing, a string wanted"},
        {X("\"dtype\":1"), 0, "tensor x: dtype: is an integer"},
        {X("\"dtype\":\"F31\",\"shape\":[],\"data_offsets\":[0,4]"), 4, "tensor x: dtype: F31 is none of the format"},
        {X("\"dtype\":\"F32\",\"data_offsets\":[0,4]"), 4, "tensor x: shape: is missing, an array wanted"},
        {X("\"dtype\":\"F32\",\"shape\":{},\"data_offsets\":[0,4]"), 4, "tensor x: shape: is an object"},
        {X("\"dtype\":\"F32\",\"shape\":[]"), 4, "tensor x: data_offsets: is missing"},
        {X("\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]"), 4, "tensor x: shape: 9 dimensions, at most 8"},
        {X("\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]"), 4, "tensor x: shape: dimension 0 is no integer from 0 up"},
        {X("\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]"), 4, "dimension 0 is no integer"},
        {X("\"dtype\":\"F32\",\"shape\":[1,\"1\"],\"data_offsets\":[0,4]"), 4, "dimension 1 is no integer"},
        {X("\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]"), 0, "more elements than 64 bits can count"},
        {X("\"dtype\":\"F32\",\"shape\":[9223372036854775807],\"data_offsets\":[0,0]"), 0, "more elements than 64 bits can count"},
        {X("\"dtype\":\"F32\",\"shape\":[9223372036854775808],\"data_offsets\":[0,0]"), 0, "shape: dimension 0 is no integer from 0 up"},
        {X("\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]"), 1, "its elements do not fill whole bytes"},
        {X("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]"), 4, "two integers in ascending order"},
        {X("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,4]"), 4, "two integers in ascending order"},
        {X("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]"), 4, "two integers in ascending order"},
        {X("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]"), 4, "two integers in ascending order"},
        {X("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4.5]"), 4, "two integers in ascending order"},
        {X("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]"), 4,
         "tensor x: data_offsets: 0 to 4 are 4 bytes, but shape and dtype make 8"},
        {X("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]"), 8, "begins at 4 of the data, leaving a hole from 0"},
        {X("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]"), 7, "ends at 8 of the data, but the file has 7 bytes of them"},
        {X("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]"), 9, "data: 1 bytes belong to no tensor"},
        {"{}", 1, "byte 10: data: 1 bytes belong to no tensor"},
        {"{\"x\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"y\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}", 6,
         "tensor y: data_offsets: begins at 2 of the data, inside the tensor before it, which ends at 4"},
        {"{\"x\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"y\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4,
         "tensor y: data_offsets: begins at 0"},
        {"{\"\\u001b[2J\":{}}", 0, "tensor ?[2J: dtype"},
        {"{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":{}}", 0,
         "aaa...: dtype"},
        {"{\"__metadata__\":[]}", 0, "__metadata__: is no object"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__: a is no string"},
    };
#undef X
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        size_t n;
        uint8_t *p = make(bad[i].header, bad[i].data, &n);
        jt_error e = {0};
        jt_status s = parse_copy(p, n, &e);
        if (s != JT_FORMAT) fail_msg("%s: %s %s", bad[i].header, jt_status_name(s), e.message);
        assert_has(e.message, bad[i].message);
        free(p);
    }
    uint8_t wide[16] = {0x01, 0xe1, 0xf5, 0x05};
    jt_error e;
    assert_int_equal(parse_copy(wide, 16, &e), JT_FORMAT);
    assert_has(e.message, "byte 0: header length: 100000001 bytes, the format allows 100000000");
    wide[0] = 0;
    assert_int_equal(parse_copy(wide, 16, &e), JT_FORMAT);
    assert_has(e.message, "byte 0: header length: 100000000 bytes, the file has 8 after it");
}

static void test_every_truncation_and_change(void **state) {
    (void)state;
    size_t n, refused = 0;
    uint8_t *p = make(SAMPLE, 35, &n);
    jt_error e;
    for (size_t k = 0; k < n; k++) {
        e = (jt_error){0};
        assert_int_equal(parse_copy(p, k, &e), JT_FORMAT);
        assert_has(e.message, "byte ");
    }
    for (size_t k = 0; k < n; k++)
        for (int bit = 0; bit < 8; bit++) {
            e = (jt_error){0};
            p[k] ^= (uint8_t)(1 << bit);
            if (parse_copy(p, n, &e)) assert_true(e.message[0] && ++refused);
            p[k] ^= (uint8_t)(1 << bit);
        }
    assert_true(refused > 1000);
    free(p);
}

/* ---- folders ---- */

static void save(const char *folder, const char *name, const void *p, size_t n) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void save_shard(const char *folder, const char *name, const char *header, size_t data) {
    size_t n;
    uint8_t *p = make(header, data, &n);
    save(folder, name, p, n);
    free(p);
}

static void drop(const char *folder, const char *name) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
}

static void test_folder(void **state) {
    (void)state;
    static const char INDEX[] = "model.safetensors.index.json";
    static const struct {
        const char *text, *message;
        jt_status code;
    } bad[] = {
        {"{", "JSON", JT_FORMAT},
        {"[]", "weight_map: an object that names tensors is wanted", JT_FORMAT},
        {"{\"weight_map\":{}}", "weight_map: an object that names tensors is wanted", JT_FORMAT},
        {"{\"weight_map\":{\"a\":1}}", "weight_map: a: the name of a file in the same folder is wanted", JT_FORMAT},
        {"{\"weight_map\":{\"a\":\"../1.safetensors\"}}", "is wanted, not ../1.safetensors", JT_FORMAT},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "is wanted, not /etc/passwd", JT_FORMAT},
        {"{\"weight_map\":{\"a\":\"\"}}", "is wanted, not ", JT_FORMAT},
        {"{\"weight_map\":{\"a\":\"9.safetensors\"}}", "9.safetensors: cannot open", JT_NOTFOUND},
        {"{\"weight_map\":{\"b\":\"1.safetensors\"}}", "tensor b is not in 1.safetensors", JT_FORMAT},
        {"{\"weight_map\":{\"a\":\"2.safetensors\",\"b\":\"1.safetensors\"}}", "is not in", JT_FORMAT},
        {"{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"3.safetensors\"}}", "tensor a: is in shard 0 and again in shard 1", JT_FORMAT},
        {"{\"weight_map\":{\"a\":\"bad.safetensors\"}}", "bad.safetensors: byte 0", JT_FORMAT},
    };
    char folder[] = "/tmp/jeton-test-st-XXXXXX";
    assert_non_null(mkdtemp(folder));
    jt_safetensors *f = NULL;
    jt_error e;
    assert_int_equal(jt_safetensors_open(folder, &f, &e), JT_NOTFOUND);
    assert_has(e.message, "has neither model.safetensors nor");
    save_shard(folder, "1.safetensors", "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2);
    save_shard(
        folder, "2.safetensors",
        "{\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},\"extra\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[3,4]}}",
        4);
    save_shard(
        folder, "3.safetensors",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[3,4]}}", 4);
    save(folder, "bad.safetensors", "x", 1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        save(folder, INDEX, bad[i].text, strlen(bad[i].text));
        e = (jt_error){0};
        jt_status s = jt_safetensors_open(folder, &f, &e);
        if (s != bad[i].code) fail_msg("%s: %s %s", bad[i].text, jt_status_name(s), e.message);
        assert_has(e.message, bad[i].message);
        assert_has(e.message, folder);
    }
    static const char good[] = "{\"metadata\":{\"total_size\":6},\"weight_map\":{\"b\":\"2.safetensors\",\"a\":\"1.safetensors\"}}";
    save(folder, INDEX, good, sizeof good - 1);
    long i = 0;
    for (;; i++) {
        e = (jt_error){0};
        alloc_fail_at(i);
        jt_status s = jt_safetensors_open(folder, &f, &e);
        alloc_fail_at(-1);
        if (s == JT_OK) break;
        assert_int_equal(s, JT_NOMEM);
        assert_has(e.message, "out of memory");
    }
    assert_true(i >= 8);
    assert_int_equal(jt_safetensors_tensors(f), 3);
    assert_int_equal(jt_safetensors_tensor_named(f, "a")->file, 0);
    assert_int_equal(jt_safetensors_tensor_named(f, "b")->file, 1);
    assert_int_equal(jt_safetensors_tensor_named(f, "extra")->data[0], 3);
    assert_int_equal(jt_safetensors_lock(f, &e), JT_OK);
    jt_safetensors_free(f);
    /* A single file is preferred to an index. */
    save_shard(folder, "model.safetensors", "{\"one\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1);
    assert_int_equal(jt_safetensors_open(folder, &f, &e), JT_OK);
    assert_int_equal(jt_safetensors_tensors(f), 1);
    assert_non_null(jt_safetensors_tensor_named(f, "one"));
    jt_safetensors_free(f);
    static const char *const all[] = {"1.safetensors", "2.safetensors", "3.safetensors", "bad.safetensors", "model.safetensors", INDEX};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) drop(folder, all[k]);
    rmdir(folder);
    jt_safetensors_free(NULL);
}

/* ---- writing ---- */

static const jt_st_spec SPEC[] = {
    {"logits", "F32", 3, {1, 2, 3}}, {"ids", "I64", 1, {2}}, {"n\"ame", "I32", 0, {0}}, {"p", "F64", 2, {1, 1}}, {"none", "F32", 1, {0}}};
static const float LOGITS[6] = {0.5f, 1, 2, 3, 4, 5};
static const int64_t IDS[2] = {-1, INT64_MAX};
static const int32_t NAME = -5;
static const double P = 0.1;

static jt_status write_sample(const char *path, jt_error *e) {
    jt_st_writer *w = NULL;
    jt_status s = jt_st_create(path, SPEC, 5, &w, e);
    if (s) {
        assert_null(w);
        return s;
    }
    if ((s = jt_st_write(w, 0, LOGITS, 8, e)) || (s = jt_st_write(w, 1, IDS, 16, e)) || (s = jt_st_write(w, 0, LOGITS + 2, 16, e)) ||
        (s = jt_st_write(w, 3, &P, 8, e)) || (s = jt_st_write(w, 2, &NAME, 4, e)) || (s = jt_st_write(w, 4, NULL, 0, e))) {
        jt_st_abandon(w);
        return s;
    }
    return jt_st_commit(w, e);
}

static void test_write(void **state) {
    (void)state;
    char folder[] = "/tmp/jeton-test-stw-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/out.safetensors", folder);
    jt_error e;
    jt_safetensors *f;
    long i = 0;
    for (;; i++) {
        e = (jt_error){0};
        alloc_fail_at(i);
        jt_status s = write_sample(path, &e);
        alloc_fail_at(-1);
        if (s == JT_OK) break;
        assert_int_equal(s, JT_NOMEM);
        assert_false(jt_file_exists(path));
    }
    assert_true(i >= 6);
    if (jt_safetensors_open(path, &f, &e)) fail_msg("%s", e.message);
    assert_int_equal(jt_safetensors_tensors(f), 5);
    float x[6];
    int64_t k[2];
    const jt_st_tensor *t = jt_safetensors_tensor_named(f, "logits");
    assert_int_equal(t->n_dims, 3);
    assert_int_equal(t->dim[2], 3);
    assert_true(t->aligned);
    assert_int_equal(jt_st_read_f32(t, 0, 6, x, &e), JT_OK);
    assert_memory_equal(x, LOGITS, sizeof x);
    t = jt_safetensors_tensor_named(f, "ids");
    assert_true(t->aligned);
    assert_int_equal(jt_st_read_i64(t, 0, 2, k, &e), JT_OK);
    assert_memory_equal(k, IDS, sizeof k);
    assert_int_equal(jt_st_read_i64(jt_safetensors_tensor_named(f, "n\"ame"), 0, 1, k, &e), JT_OK);
    assert_int_equal(k[0], -5);
    double p;
    assert_int_equal(jt_safetensors_tensor_named(f, "p")->bytes, 8);
    memcpy(&p, jt_safetensors_tensor_named(f, "p")->data, 8);
    assert_true(p == P);
    jt_safetensors_free(f);
    unlink(path);
    assert_int_equal(rmdir(folder), 0); /* no temporary file is left */
}

static void test_write_errors(void **state) {
    (void)state;
    jt_error e;
    jt_st_writer *w = NULL;
    char folder[] = "/tmp/jeton-test-ste-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/out.safetensors", folder);
    static const struct {
        jt_st_spec spec[2];
        const char *message;
    } bad[] = {
        {{{"a", "F8_E5M2", 1, {1}}, {"b", "F32", 1, {1}}}, "tensor a: dtype F8_E5M2 is not written"},
        {{{"a", "U64", 1, {1}}, {"b", "F32", 1, {1}}}, "tensor a: dtype U64 is not written"},
        {{{"a", "X", 1, {1}}, {"b", "F32", 1, {1}}}, "tensor a: dtype X is not written"},
        {{{"a", "F32", 9, {1}}, {"b", "F32", 1, {1}}}, "tensor a: 9 dimensions"},
        {{{"a", "F32", 1, {1}}, {"", "F32", 1, {1}}}, "tensor 1: \"\" is no name"},
        {{{"a", "F32", 1, {1}}, {"__metadata__", "F32", 1, {1}}}, "is no name for a tensor"},
        {{{"a", "F32", 1, {1}}, {"a", "F32", 1, {1}}}, "tensor a: is named twice, as number 0 and 1"},
        {{{"a", "F32", 2, {UINT64_MAX, 2}}, {"b", "F32", 1, {1}}}, "more bytes than 64 bits can count"},
        {{{"a", "F64", 1, {UINT64_C(1) << 59}}, {"b", "F64", 1, {UINT64_C(1) << 59}}}, "tensor b: with it the file is larger than 63 bits"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        e = (jt_error){0};
        assert_int_equal(jt_st_create(path, bad[i].spec, 2, &w, &e), JT_INVALID);
        assert_has(e.message, bad[i].message);
        assert_null(w);
    }
    assert_int_equal(jt_st_create(path, SPEC, 5, &w, &e), JT_OK);
    assert_int_equal(jt_st_write(w, 0, LOGITS, 8, &e), JT_OK);
    assert_int_equal(jt_st_write(w, 0, LOGITS, 20, &e), JT_INVALID);
    assert_has(e.message, "tensor logits: 4 bytes more than the 24 of its shape");
    assert_int_equal(jt_st_commit(w, &e), JT_INVALID);
    assert_has(e.message, "tensor logits: 8 of its 24 bytes were written");
    assert_false(jt_file_exists(path));
    assert_int_equal(jt_st_create("/nonexistent/x", SPEC, 5, &w, &e), JT_NOTFOUND);
    assert_int_equal(write_sample("/dev/full", &e), JT_IO);
    assert_has(e.message, "is the disk full?");
    /* A pipe takes the tensors in the order of the file only. */
    assert_int_equal(mkfifo(path, 0600), 0);
    FILE *other = fopen(path, "r+b");
    assert_non_null(other);
    static const jt_st_spec two[] = {{"a", "F32", 1, {1}}, {"b", "F32", 1, {1}}};
    assert_int_equal(jt_st_create(path, two, 2, &w, &e), JT_OK);
    assert_int_equal(jt_st_write(w, 0, LOGITS, 4, &e), JT_OK);
    assert_int_equal(jt_st_write(w, 1, LOGITS, 4, &e), JT_OK);
    assert_int_equal(jt_st_commit(w, &e), JT_OK);
    assert_int_equal(jt_st_create(path, two, 2, &w, &e), JT_OK);
    assert_int_equal(jt_st_write(w, 1, LOGITS, 4, &e), JT_IO);
    assert_has(e.message, "cannot be written out of order");
    assert_int_equal(jt_st_write(w, 0, LOGITS, 4, &e), JT_OK);
    jt_st_abandon(w);
    fclose(other);
    unlink(path);
    assert_int_equal(rmdir(folder), 0);
    jt_st_abandon(NULL);
}

static void test_every_allocation_fails(void **state) {
    (void)state;
    size_t n;
    uint8_t *p = make(SAMPLE, 35, &n);
    jt_safetensors *f = NULL;
    long i = 0;
    for (;; i++) {
        jt_error e = {0};
        alloc_fail_at(i);
        jt_status s = jt_safetensors_parse(p, n, &f, &e);
        alloc_fail_at(-1);
        if (s == JT_OK) break;
        assert_int_equal(s, JT_NOMEM);
        assert_has(e.message, "out of memory");
        assert_null(f);
    }
    assert_true(i >= 4);
    jt_safetensors_free(f);
    free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),         cmocka_unit_test(test_elements),
        cmocka_unit_test(test_refused),      cmocka_unit_test(test_every_truncation_and_change),
        cmocka_unit_test(test_folder),       cmocka_unit_test(test_write),
        cmocka_unit_test(test_write_errors), cmocka_unit_test(test_every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
