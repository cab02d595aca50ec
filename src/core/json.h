/* json.h: reading JSON. The only file that knows the JSON library (jansson).
 *
 * A value is part of its document: valid until the document's root is freed. A
 * name that occurs twice in one object, a NUL inside a string and nesting past
 * 2048 levels are refused. An integer that 64 bits do not hold is a
 * real. Parsed documents may be read from several threads. */
#ifndef JT_CORE_JSON_H
#define JT_CORE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/str.h"
#include "jeton/status.h"

typedef struct jt_json jt_json;

typedef enum jt_json_kind {
    JT_JSON_NULL,
    JT_JSON_BOOL,
    JT_JSON_INT,
    JT_JSON_REAL,
    JT_JSON_STRING,
    JT_JSON_ARRAY,
    JT_JSON_OBJECT
} jt_json_kind;

/* One value with nothing but white space around it. JT_FORMAT names line and column. */
jt_status jt_json_parse(const char *s, size_t n, jt_json **out, jt_error *err);
/* The same for a whole file. */
jt_status jt_json_read(const char *path, jt_json **out, jt_error *err);
void jt_json_free(jt_json *root);

jt_json_kind jt_json_kind_of(const jt_json *v);
const char *jt_json_kind_name(jt_json_kind k);
/* A member of an object; NULL when absent or `v` is no object. */
const jt_json *jt_json_member(const jt_json *v, const char *name);
/* Members of an object or elements of an array; 0 for others. */
size_t jt_json_count(const jt_json *v);
const jt_json *jt_json_item(const jt_json *v, size_t i);
/* Walks an object in the order of the text: start with *iter = NULL; false at the end. */
bool jt_json_each(const jt_json *object, void **iter, const char **name, const jt_json **value);

/* false when the value is of another kind; a double may also be an integer. */
bool jt_json_i64(const jt_json *v, int64_t *out);
bool jt_json_double(const jt_json *v, double *out);
bool jt_json_bool(const jt_json *v, bool *out);
/* NULL when it is no string; *n (may be NULL) gets its length. */
const char *jt_json_string(const jt_json *v, size_t *n);

/* Appends a value as text, members in order, with a space behind commas and colons. */
void jt_json_write(const jt_json *v, jt_str *o);

#endif
