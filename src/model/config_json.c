#include "model/config_json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { CONFIG_KEY_PART = 128 };

const jt_json *jt_config_find(const jt_json *c, const char *key) {
    char part[CONFIG_KEY_PART];
    for (;;) {
        size_t n = strcspn(key, ".");
        if (n >= sizeof part) return NULL;
        memcpy(part, key, n);
        part[n] = 0;
        c = jt_json_member(c, part);
        if (!c || jt_json_kind_of(c) == JT_JSON_NULL) return NULL;
        if (!key[n]) return c;
        key += n + 1;
    }
}

static jt_status config_absent(const char *key, jt_error *err) {
    return jt_error_set(err, JT_NOTFOUND, "%s is missing from the configuration, or null", key);
}

static jt_status config_wrong(const char *key, const jt_json *v, const char *wanted, jt_error *err) {
    return jt_error_set(err, JT_FORMAT, "%s: is %s, %s wanted", key, jt_json_kind_name(jt_json_kind_of(v)), wanted);
}

static jt_status config_integer(const char *key, const jt_json *v, int64_t min, int64_t max, int64_t *out, jt_error *err) {
    int64_t x;
    if (!jt_json_i64(v, &x)) return config_wrong(key, v, "an integer", err);
    if (x < min || x > max)
        return jt_error_set(err, JT_FORMAT, "%s: %" PRId64 " is not between %" PRId64 " and %" PRId64, key, x, min, max);
    *out = x;
    return JT_OK;
}

jt_status jt_config_int(const jt_json *c, const char *key, int64_t min, int64_t max, int64_t *out, jt_error *err) {
    const jt_json *v = jt_config_find(c, key);
    return v ? config_integer(key, v, min, max, out, err) : config_absent(key, err);
}

jt_status jt_config_int_or(const jt_json *c, const char *key, int64_t min, int64_t max, int64_t otherwise, int64_t *out, jt_error *err) {
    const jt_json *v = jt_config_find(c, key);
    if (v) return config_integer(key, v, min, max, out, err);
    *out = otherwise;
    return JT_OK;
}

jt_status jt_config_double(const jt_json *c, const char *key, double *out, jt_error *err) {
    const jt_json *v = jt_config_find(c, key);
    if (!v) return config_absent(key, err);
    return jt_json_double(v, out) ? JT_OK : config_wrong(key, v, "a number", err);
}

jt_status jt_config_double_or(const jt_json *c, const char *key, double otherwise, double *out, jt_error *err) {
    if (jt_config_find(c, key)) return jt_config_double(c, key, out, err);
    *out = otherwise;
    return JT_OK;
}

jt_status jt_config_bool(const jt_json *c, const char *key, bool *out, jt_error *err) {
    const jt_json *v = jt_config_find(c, key);
    if (!v) return config_absent(key, err);
    return jt_json_bool(v, out) ? JT_OK : config_wrong(key, v, "true or false", err);
}

jt_status jt_config_bool_or(const jt_json *c, const char *key, bool otherwise, bool *out, jt_error *err) {
    if (jt_config_find(c, key)) return jt_config_bool(c, key, out, err);
    *out = otherwise;
    return JT_OK;
}

jt_status jt_config_string(const jt_json *c, const char *key, const char **out, jt_error *err) {
    const jt_json *v = jt_config_find(c, key);
    if (!v) return config_absent(key, err);
    const char *s = jt_json_string(v, NULL);
    if (!s) return config_wrong(key, v, "a string", err);
    *out = s;
    return JT_OK;
}

jt_status jt_config_string_or(const jt_json *c, const char *key, const char *otherwise, const char **out, jt_error *err) {
    if (jt_config_find(c, key)) return jt_config_string(c, key, out, err);
    *out = otherwise;
    return JT_OK;
}

jt_status jt_config_object(const jt_json *c, const char *key, const jt_json **out, jt_error *err) {
    const jt_json *v = jt_config_find(c, key);
    if (!v) return config_absent(key, err);
    if (jt_json_kind_of(v) != JT_JSON_OBJECT) return config_wrong(key, v, "an object", err);
    *out = v;
    return JT_OK;
}

/* Exactly one of the two outputs may be given. */
static jt_status config_numbers(const jt_json *c, const char *key, double *reals, int64_t *ints, size_t cap, size_t *n, const char *wanted,
                                jt_error *err) {
    const jt_json *v = jt_config_find(c, key);
    if (!v) return config_absent(key, err);
    if (jt_json_kind_of(v) != JT_JSON_ARRAY) return config_wrong(key, v, wanted, err);
    size_t count = jt_json_count(v);
    bool store = reals || ints;
    if (store && count > cap) return jt_error_set(err, JT_FORMAT, "%s: %zu numbers, at most %zu are wanted", key, count, cap);
    for (size_t i = 0; store && i < count; i++) {
        const jt_json *item = jt_json_item(v, i);
        if (reals ? !jt_json_double(item, &reals[i]) : !jt_json_i64(item, &ints[i])) {
            jt_status s = config_wrong(key, item, reals ? "a number" : "an integer", err);
            return jt_error_in(err, s, "element %zu", i);
        }
    }
    *n = count;
    return JT_OK;
}

jt_status jt_config_doubles(const jt_json *c, const char *key, double *out, size_t cap, size_t *n, jt_error *err) {
    return config_numbers(c, key, out, NULL, cap, n, "an array of numbers", err);
}

jt_status jt_config_ints(const jt_json *c, const char *key, int64_t *out, size_t cap, size_t *n, jt_error *err) {
    return config_numbers(c, key, NULL, out, cap, n, "an array of integers", err);
}
