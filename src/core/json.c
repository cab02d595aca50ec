#include "core/json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/str.h"

/* A jt_json is a json_t under another name. */
static const json_t *json_of(const jt_json *v) { return (const json_t *)(const void *)v; }
static const jt_json *json_as(const json_t *v) { return (const jt_json *)(const void *)v; }

/* The text with integers that 64 bits may not hold written as reals, which the library takes. */
static bool json_as_reals(const char *s, size_t n, jt_str *out) {
    bool text = false;
    size_t digits = 0;
    for (size_t i = 0; i <= n; i++) {
        char c = i < n ? s[i] : 0;
        if (c >= '0' && c <= '9' && !text) {
            digits++;
        } else {
            size_t begin = i - digits;
            bool whole = begin == 0 || (s[begin - 1] != '.' && s[begin - 1] != 'e' && s[begin - 1] != 'E' && s[begin - 1] != '+');
            if (digits > 18 && whole && c != '.' && c != 'e' && c != 'E') jt_str_puts(out, ".0");
            digits = 0;
        }
        if (i == n) break;
        if (c == '"') text = !text;
        jt_str_putc(out, c);
        if (c == '\\' && text && i + 1 < n) jt_str_putc(out, s[++i]);
    }
    return !out->failed;
}

static json_t *json_load(const char *s, size_t n, json_error_t *e) {
    json_t *v = json_loadb(s, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, e);
    if (v || json_error_code(e) != json_error_numeric_overflow) return v;
    jt_str again = {0};
    json_error_t second;
    if (json_as_reals(s, n, &again)) v = json_loadb(again.s, again.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &second);
    jt_str_free(&again);
    return v;
}

jt_status jt_json_parse(const char *s, size_t n, jt_json **out, jt_error *err) {
    json_error_t e;
    json_t *v = json_load(s, n, &e);
    if (!v && json_error_code(&e) == json_error_out_of_memory)
        return jt_error_set(err, JT_NOMEM, "JSON: out of memory reading %zu bytes", n);
    if (!v) {
        for (char *c = e.text; *c; c++)
            if (*c < 0x20 || *c > 0x7e) *c = '?';
        return jt_error_set(err, JT_FORMAT, "JSON: line %d, column %d (byte %d): %s", e.line, e.column, e.position, e.text);
    }
    *out = (jt_json *)(void *)v;
    return JT_OK;
}

jt_status jt_json_read(const char *path, jt_json **out, jt_error *err) {
    jt_str text = {0};
    jt_status s = jt_file_read(path, &text, err);
    if (s == JT_OK && (s = jt_json_parse(jt_str_c(&text), text.n, out, err))) s = jt_error_in(err, s, "%s", path);
    jt_str_free(&text);
    return s;
}

void jt_json_free(jt_json *root) { json_decref((json_t *)(void *)root); }

jt_json_kind jt_json_kind_of(const jt_json *v) {
    switch (json_typeof(json_of(v))) {
    case JSON_OBJECT: return JT_JSON_OBJECT;
    case JSON_ARRAY: return JT_JSON_ARRAY;
    case JSON_STRING: return JT_JSON_STRING;
    case JSON_INTEGER: return JT_JSON_INT;
    case JSON_REAL: return JT_JSON_REAL;
    case JSON_TRUE:
    case JSON_FALSE: return JT_JSON_BOOL;
    case JSON_NULL: break;
    }
    return JT_JSON_NULL;
}

const char *jt_json_kind_name(jt_json_kind k) {
    static const char *const name[] = {"null", "a bool", "an integer", "a number", "a string", "an array", "an object"};
    return name[k];
}

const jt_json *jt_json_member(const jt_json *v, const char *name) { return json_as(json_object_get(json_of(v), name)); }

size_t jt_json_count(const jt_json *v) { return json_is_object(json_of(v)) ? json_object_size(json_of(v)) : json_array_size(json_of(v)); }

const jt_json *jt_json_item(const jt_json *v, size_t i) { return json_as(json_array_get(json_of(v), i)); }

/* The library's iterator takes an object that may be changed; it is not. */
bool jt_json_each(const jt_json *object, void **iter, const char **name, const jt_json **value) {
    json_t *o = (json_t *)(uintptr_t)object;
    *iter = *iter ? json_object_iter_next(o, *iter) : json_object_iter(o);
    if (!*iter) return false;
    *name = json_object_iter_key(*iter);
    *value = json_as(json_object_iter_value(*iter));
    return true;
}

bool jt_json_i64(const jt_json *v, int64_t *out) {
    if (!json_is_integer(json_of(v))) return false;
    *out = json_integer_value(json_of(v));
    return true;
}

bool jt_json_double(const jt_json *v, double *out) {
    if (!json_is_number(json_of(v))) return false;
    *out = json_number_value(json_of(v));
    return true;
}

bool jt_json_bool(const jt_json *v, bool *out) {
    if (!json_is_boolean(json_of(v))) return false;
    *out = json_is_true(json_of(v));
    return true;
}

const char *jt_json_string(const jt_json *v, size_t *n) {
    const char *s = json_string_value(json_of(v));
    if (n) *n = s ? json_string_length(json_of(v)) : 0;
    return s;
}

/* As a real reads back as one: 2.0 and not 2. */
static void json_write_real(double x, jt_str *o) {
    size_t from = o->n;
    jt_str_number(o, x);
    if (!o->failed && strspn(o->s + from, "-0123456789") == o->n - from) jt_str_puts(o, ".0");
}

void jt_json_write(const jt_json *v, jt_str *o) {
    int64_t i;
    double x;
    bool b;
    size_t n;
    void *iter = NULL;
    const char *name, *s;
    const jt_json *member;
    switch (jt_json_kind_of(v)) {
    case JT_JSON_NULL: jt_str_puts(o, "null"); return;
    case JT_JSON_BOOL: jt_str_puts(o, jt_json_bool(v, &b) && b ? "true" : "false"); return;
    case JT_JSON_INT:
        if (jt_json_i64(v, &i)) jt_str_printf(o, "%lld", (long long)i);
        return;
    case JT_JSON_REAL:
        if (jt_json_double(v, &x)) json_write_real(x, o);
        return;
    case JT_JSON_STRING: s = jt_json_string(v, &n), jt_str_json(o, s, n); return;
    case JT_JSON_ARRAY:
        jt_str_putc(o, '[');
        for (size_t k = 0; k < jt_json_count(v); k++) {
            if (k) jt_str_puts(o, ", ");
            jt_json_write(jt_json_item(v, k), o);
        }
        jt_str_putc(o, ']');
        return;
    case JT_JSON_OBJECT: break;
    }
    jt_str_putc(o, '{');
    for (bool first = true; jt_json_each(v, &iter, &name, &member); first = false) {
        if (!first) jt_str_puts(o, ", ");
        jt_str_json(o, name, strlen(name));
        jt_str_puts(o, ": ");
        jt_json_write(member, o);
    }
    jt_str_putc(o, '}');
}
