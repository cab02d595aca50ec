/* config_json.h: typed reading of a model's config.json.
 *
 * A key is a path of names joined by dots ("rope_parameters.rope_theta"). A key
 * that is absent, or null, is JT_NOTFOUND from a plain getter and the default from
 * an `_or` getter; a value of another kind or out of range is JT_FORMAT from both.
 * Every message names the key. *out is set on success only. */
#ifndef JT_MODEL_CONFIG_JSON_H
#define JT_MODEL_CONFIG_JSON_H

#include "core/json.h"

/* The value at the path; NULL when it, or an object on the way, is absent or null. */
const jt_json *jt_config_find(const jt_json *c, const char *key);

/* An integer in [min, max]. */
jt_status jt_config_int(const jt_json *c, const char *key, int64_t min, int64_t max, int64_t *out, jt_error *err);
jt_status jt_config_int_or(const jt_json *c, const char *key, int64_t min, int64_t max, int64_t otherwise, int64_t *out, jt_error *err);
/* A finite number; integers too. */
jt_status jt_config_double(const jt_json *c, const char *key, double *out, jt_error *err);
jt_status jt_config_double_or(const jt_json *c, const char *key, double otherwise, double *out, jt_error *err);
jt_status jt_config_bool(const jt_json *c, const char *key, bool *out, jt_error *err);
jt_status jt_config_bool_or(const jt_json *c, const char *key, bool otherwise, bool *out, jt_error *err);
/* Owned by the document. */
jt_status jt_config_string(const jt_json *c, const char *key, const char **out, jt_error *err);
jt_status jt_config_string_or(const jt_json *c, const char *key, const char *otherwise, const char **out, jt_error *err);
/* An object, whose members are read by the same getters with keys relative to it. */
jt_status jt_config_object(const jt_json *c, const char *key, const jt_json **out, jt_error *err);
/* An array of numbers: *n gets its length (also when out is NULL); at most `cap` are
 * written, and a longer array is JT_FORMAT unless out is NULL. */
jt_status jt_config_doubles(const jt_json *c, const char *key, double *out, size_t cap, size_t *n, jt_error *err);
jt_status jt_config_ints(const jt_json *c, const char *key, int64_t *out, size_t cap, size_t *n, jt_error *err);

#endif
