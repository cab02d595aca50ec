/* yaml.h: small files that people write (tasks, recipes) as a tree. The only file
 * besides the configuration that knows the YAML library (libyaml).
 *
 * What is read is one document of maps, lists and scalars. Anchors, aliases, tags,
 * keys that are no text and keys that occur twice are refused, and so is what is
 * larger than any such file: 1 MiB, 16 levels, 20,000 values. Every
 * message begins with "file:line: ". */
#ifndef JT_CLI_YAML_H
#define JT_CLI_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/mem.h"
#include "jeton/status.h"

typedef enum jt_yaml_kind { JT_YAML_SCALAR, JT_YAML_LIST, JT_YAML_MAP } jt_yaml_kind;

typedef struct jt_yaml_node jt_yaml_node;
struct jt_yaml_node {
    jt_yaml_kind kind;
    size_t line;      /* from 1 */
    const char *key;  /* of a member of a map, else NULL */
    const char *text; /* of a scalar */
    bool plain;       /* a scalar without quotes: only such are numbers, truth values and nothing */
    jt_yaml_node *child, *next;
    size_t n; /* children */
};

typedef struct jt_yaml {
    const char *path; /* as messages name it; a copy */
    jt_yaml_node *root;
    jt_arena arena;
} jt_yaml;

/* Zero-initialised is empty; free whatever follows. */
jt_status jt_yaml_parse(const char *path, const char *s, size_t n, jt_yaml *out, jt_error *err);
jt_status jt_yaml_read(const char *path, jt_yaml *out, jt_error *err);
void jt_yaml_free(jt_yaml *y);

/* A member of a map; NULL when absent, or left empty. */
const jt_yaml_node *jt_yaml_get(const jt_yaml_node *map, const char *key);
/* A message at the node. */
jt_status jt_yaml_fail(const jt_yaml *y, const jt_yaml_node *n, jt_error *err, jt_status code, const char *fmt, ...) JT_PRINTF(5, 6);
/* Refuses what is no map, and keys of it that are not in `known` (ends with NULL), with the nearest; `what` is "a task". */
jt_status jt_yaml_keys(const jt_yaml *y, const jt_yaml_node *map, const char *const *known, const char *what, jt_error *err);

/* Members of a map as what they must be. Without the member nothing is written; where `must` is said, that is refused. */
jt_status jt_yaml_text(const jt_yaml *y, const jt_yaml_node *map, const char *key, bool must, const char **out, jt_error *err);
jt_status jt_yaml_int(const jt_yaml *y, const jt_yaml_node *map, const char *key, int64_t low, int64_t high, int64_t *out, jt_error *err);
jt_status jt_yaml_real(const jt_yaml *y, const jt_yaml_node *map, const char *key, double low, double high, double *out, jt_error *err);
jt_status jt_yaml_bool(const jt_yaml *y, const jt_yaml_node *map, const char *key, bool *out, jt_error *err);
/* One of the words of `choices` ("a|b"), by number. */
jt_status jt_yaml_choice(const jt_yaml *y, const jt_yaml_node *map, const char *key, bool must, const char *choices, int *out,
                         jt_error *err);
/* A text or a list of texts; the array is the tree's. */
jt_status jt_yaml_texts(jt_yaml *y, const jt_yaml_node *map, const char *key, const char ***out, size_t *n, jt_error *err);
/* `path` as written in the file: beside it, unless it is absolute. The tree's. */
const char *jt_yaml_beside(jt_yaml *y, const char *path);

#endif
