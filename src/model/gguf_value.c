/* gguf_value.c: reading and printing the metadata values of an opened GGUF file. */
#include "core/mem.h"
#include "model/gguf.h"
#include "model/gguf_read.h"

#include <math.h>
#include <string.h>

const char *jt_gguf_type_name(jt_gguf_type t) {
    static const char *const name[] = {"u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};
    return (unsigned)t < sizeof name / sizeof *name ? name[t] : "unknown";
}

/* An integer as sign and magnitude. */
static bool gguf_integer(const jt_gguf_value *v, uint64_t i, bool *negative, uint64_t *magnitude) {
    int size = jt_gguf_type_bytes(v->element);
    if (i >= v->count || !size || v->element == JT_GGUF_F32 || v->element == JT_GGUF_F64 || v->element == JT_GGUF_BOOL) return false;
    uint64_t x = jt_gguf_le(v->at + (size_t)i * (size_t)size, size), sign = UINT64_C(1) << (8 * size - 1);
    bool has_sign = v->element == JT_GGUF_I8 || v->element == JT_GGUF_I16 || v->element == JT_GGUF_I32 || v->element == JT_GGUF_I64;
    *negative = has_sign && (x & sign);
    *magnitude = *negative ? (sign << 1) - x : x;
    return true;
}

bool jt_gguf_item_u64(const jt_gguf_value *v, uint64_t i, uint64_t *out) {
    bool negative;
    uint64_t x;
    if (!gguf_integer(v, i, &negative, &x) || negative) return false;
    *out = x;
    return true;
}

bool jt_gguf_item_i64(const jt_gguf_value *v, uint64_t i, int64_t *out) {
    bool negative;
    uint64_t x;
    if (!gguf_integer(v, i, &negative, &x) || x > (uint64_t)INT64_MAX + (negative ? 1u : 0u)) return false;
    *out = negative ? (int64_t)(0 - x) : (int64_t)x;
    return true;
}

bool jt_gguf_item_double(const jt_gguf_value *v, uint64_t i, double *out) {
    bool negative;
    uint64_t x;
    if (gguf_integer(v, i, &negative, &x)) {
        *out = negative ? -(double)x : (double)x;
        return true;
    }
    if (i >= v->count) return false;
    if (v->element == JT_GGUF_F32) {
        uint32_t bits = (uint32_t)jt_gguf_le(v->at + (size_t)i * 4, 4);
        float f;
        memcpy(&f, &bits, sizeof f);
        *out = (double)f;
        return true;
    }
    if (v->element != JT_GGUF_F64) return false;
    x = jt_gguf_le(v->at + (size_t)i * 8, 8);
    memcpy(out, &x, sizeof *out);
    return true;
}

bool jt_gguf_item_bool(const jt_gguf_value *v, uint64_t i, bool *out) {
    if (v->element != JT_GGUF_BOOL || i >= v->count) return false;
    *out = v->at[i] != 0;
    return true;
}

bool jt_gguf_item_text(const jt_gguf_value *v, uint64_t i, const char **s, size_t *n) {
    if (v->element != JT_GGUF_STRING || i >= v->count) return false;
    const uint8_t *p = v->string ? v->at + v->string[i] : v->at;
    *s = (const char *)p, *n = (size_t)jt_gguf_le(p - 8, 8);
    return true;
}

static jt_status gguf_absent(const char *key, jt_error *err) {
    return jt_error_set(err, JT_NOTFOUND, "metadata key %s is missing from the file", key);
}

/* The value of a key that is no array; `wanted` is for the message. */
static jt_status gguf_wrong(const jt_gguf_value *v, const char *wanted, jt_error *err) {
    jt_str text = {0};
    jt_gguf_print(v, 40, &text);
    jt_status s = jt_error_set(err, JT_FORMAT, "metadata key %s: %s wanted, the file has %s %s", v->key, wanted, jt_gguf_type_name(v->type),
                               v->type == JT_GGUF_ARRAY ? jt_gguf_type_name(v->element) : jt_str_c(&text));
    jt_str_free(&text);
    return s;
}

jt_status jt_gguf_get_u64(const jt_gguf *g, const char *key, uint64_t *out, jt_error *err) {
    const jt_gguf_value *v = jt_gguf_find(g, key);
    if (!v) return gguf_absent(key, err);
    return v->type != JT_GGUF_ARRAY && jt_gguf_item_u64(v, 0, out) ? JT_OK : gguf_wrong(v, "a non-negative integer", err);
}

jt_status jt_gguf_get_i64(const jt_gguf *g, const char *key, int64_t *out, jt_error *err) {
    const jt_gguf_value *v = jt_gguf_find(g, key);
    if (!v) return gguf_absent(key, err);
    return v->type != JT_GGUF_ARRAY && jt_gguf_item_i64(v, 0, out) ? JT_OK : gguf_wrong(v, "an integer of 64 bits with sign", err);
}

jt_status jt_gguf_get_double(const jt_gguf *g, const char *key, double *out, jt_error *err) {
    const jt_gguf_value *v = jt_gguf_find(g, key);
    if (!v) return gguf_absent(key, err);
    return v->type != JT_GGUF_ARRAY && jt_gguf_item_double(v, 0, out) ? JT_OK : gguf_wrong(v, "a number", err);
}

jt_status jt_gguf_get_bool(const jt_gguf *g, const char *key, bool *out, jt_error *err) {
    const jt_gguf_value *v = jt_gguf_find(g, key);
    if (!v) return gguf_absent(key, err);
    return v->type != JT_GGUF_ARRAY && jt_gguf_item_bool(v, 0, out) ? JT_OK : gguf_wrong(v, "a bool", err);
}

jt_status jt_gguf_get_text(const jt_gguf *g, const char *key, const char **s, size_t *n, jt_error *err) {
    const jt_gguf_value *v = jt_gguf_find(g, key);
    if (!v) return gguf_absent(key, err);
    return v->type != JT_GGUF_ARRAY && jt_gguf_item_text(v, 0, s, n) ? JT_OK : gguf_wrong(v, "a string", err);
}

jt_status jt_gguf_get_array(const jt_gguf *g, const char *key, jt_gguf_type element, const jt_gguf_value **out, jt_error *err) {
    const jt_gguf_value *v = jt_gguf_find(g, key);
    if (!v) return gguf_absent(key, err);
    if (v->type != JT_GGUF_ARRAY || v->element != element) {
        char wanted[32];
        snprintf(wanted, sizeof wanted, "an array of %s", jt_gguf_type_name(element));
        return gguf_wrong(v, wanted, err);
    }
    *out = v;
    return JT_OK;
}

jt_status jt_gguf_get_u64_or(const jt_gguf *g, const char *key, uint64_t otherwise, uint64_t *out, jt_error *err) {
    if (jt_gguf_find(g, key)) return jt_gguf_get_u64(g, key, out, err);
    *out = otherwise;
    return JT_OK;
}

jt_status jt_gguf_get_double_or(const jt_gguf *g, const char *key, double otherwise, double *out, jt_error *err) {
    if (jt_gguf_find(g, key)) return jt_gguf_get_double(g, key, out, err);
    *out = otherwise;
    return JT_OK;
}

jt_status jt_gguf_get_bool_or(const jt_gguf *g, const char *key, bool otherwise, bool *out, jt_error *err) {
    if (jt_gguf_find(g, key)) return jt_gguf_get_bool(g, key, out, err);
    *out = otherwise;
    return JT_OK;
}

/* The shortest decimal that is the same float32. */
static void gguf_print_float(float x, jt_str *out) {
    char t[32];
    double back;
    if (!isfinite(x)) {
        jt_str_puts(out, isnan(x) ? "nan" : x < 0 ? "-inf" : "inf");
        return;
    }
    for (int digits = 1; digits <= 9; digits++) {
        int n = snprintf(t, sizeof t, "%.*g", digits, (double)x);
        for (int i = 0; i < n; i++)
            if (t[i] == ',') t[i] = '.';
        if (jt_read_double(t, (size_t)n, &back) && (float)back == x) break;
    }
    jt_str_puts(out, t);
}

static void gguf_print_item(const jt_gguf_value *v, uint64_t i, size_t width, jt_str *out) {
    const char *s;
    size_t n;
    bool negative = false, yes;
    uint64_t x;
    double d;
    if (jt_gguf_item_text(v, i, &s, &n)) {
        size_t shown = n <= width ? n : jt_utf8_whole(s, width);
        jt_str_json(out, s, shown);
        if (shown < n) jt_str_printf(out, "... (%zu bytes)", n);
    } else if (jt_gguf_item_bool(v, i, &yes)) {
        jt_str_puts(out, yes ? "true" : "false");
    } else if (gguf_integer(v, i, &negative, &x)) {
        jt_str_printf(out, "%s%llu", negative ? "-" : "", (unsigned long long)x);
    } else if (jt_gguf_item_double(v, i, &d)) {
        if (v->element == JT_GGUF_F32)
            gguf_print_float((float)d, out);
        else if (isfinite(d))
            jt_str_number(out, d);
        else
            gguf_print_float((float)d, out);
    } else {
        jt_str_puts(out, "array");
    }
}

void jt_gguf_print(const jt_gguf_value *v, size_t width, jt_str *out) {
    if (v->type != JT_GGUF_ARRAY) {
        gguf_print_item(v, 0, width, out);
        return;
    }
    jt_str_printf(out, "[%s x %llu] [", jt_gguf_type_name(v->element), (unsigned long long)v->count);
    size_t start = out->n;
    for (uint64_t i = 0; i < v->count; i++) {
        if (i) jt_str_puts(out, ", ");
        if (out->n - start >= width || out->failed) {
            jt_str_puts(out, "...");
            break;
        }
        gguf_print_item(v, i, width - (out->n - start), out);
    }
    jt_str_putc(out, ']');
}
