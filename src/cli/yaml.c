#include "cli/yaml.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "cli/command.h"
#include "core/file.h"

enum { YAML_BYTES = 1 << 20, YAML_DEPTH = 16, YAML_VALUES = 20000 };

typedef struct yaml_reading {
    jt_yaml *y;
    yaml_parser_t parser;
    jt_error *err;
    size_t values;
} yaml_reading;

jt_status jt_yaml_fail(const jt_yaml *y, const jt_yaml_node *n, jt_error *err, jt_status code, const char *fmt, ...) {
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return jt_error_set(err, code, "%s:%zu: %s", y->path, n ? n->line : (size_t)1, text);
}

static jt_status at_line(const yaml_reading *r, const yaml_mark_t *mark, jt_status code, const char *what) {
    return jt_error_set(r->err, code, "%s:%zu: %s", r->y->path, mark->line + 1, what);
}

static jt_status next_event(yaml_reading *r, yaml_event_t *e) {
    const yaml_parser_t *p = &r->parser;
    char text[200];
    if (yaml_parser_parse(&r->parser, e)) return JT_OK;
    if (p->error == YAML_MEMORY_ERROR) return jt_nomem(r->err, r->y->path, 1, 1);
    snprintf(text, sizeof text, "not valid YAML: %.150s", p->problem ? p->problem : "unreadable");
    return at_line(r, p->error == YAML_READER_ERROR ? &p->mark : &p->problem_mark, JT_FORMAT, text);
}

static jt_status node_new(yaml_reading *r, const yaml_event_t *e, jt_yaml_node **out) {
    if (++r->values > YAML_VALUES) return at_line(r, &e->start_mark, JT_LIMIT, "more than 20000 values; such a file is small");
    *out = jt_arena_alloc(&r->y->arena, 1, sizeof **out);
    if (!*out) return jt_nomem(r->err, r->y->path, 1, sizeof **out);
    (*out)->line = e->start_mark.line + 1;
    return JT_OK;
}

static jt_status refuse_tricks(const yaml_reading *r, const yaml_event_t *e) {
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (e->type == YAML_ALIAS_EVENT) return at_line(r, &e->start_mark, JT_FORMAT, "an alias (*name); write the value out");
    if (e->type == YAML_SCALAR_EVENT) anchor = e->data.scalar.anchor, tag = e->data.scalar.tag;
    if (e->type == YAML_SEQUENCE_START_EVENT) anchor = e->data.sequence_start.anchor, tag = e->data.sequence_start.tag;
    if (e->type == YAML_MAPPING_START_EVENT) anchor = e->data.mapping_start.anchor, tag = e->data.mapping_start.tag;
    if (anchor) return at_line(r, &e->start_mark, JT_FORMAT, "an anchor (&name); write the value out where it is used");
    if (tag) return at_line(r, &e->start_mark, JT_FORMAT, "a tag (!name); values have no types but their own");
    return JT_OK;
}

static jt_status read_scalar(const yaml_reading *r, const yaml_event_t *e, jt_yaml_node *n) {
    const char *s = (const char *)e->data.scalar.value;
    size_t len = e->data.scalar.length;
    if (memchr(s, 0, len)) return at_line(r, &e->start_mark, JT_FORMAT, "a text with a zero byte in it");
    n->kind = JT_YAML_SCALAR;
    n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    n->text = jt_arena_copy(&r->y->arena, s, len);
    return n->text ? JT_OK : jt_nomem(r->err, r->y->path, len, 1);
}

static jt_status read_node(yaml_reading *r, yaml_event_t *e, int depth, jt_yaml_node **out);

/* The value of a key, whose event is *e. */
static jt_status read_member(yaml_reading *r, yaml_event_t *e, const jt_yaml_node *map, int depth, jt_yaml_node **out) {
    jt_yaml_node *key = NULL;
    yaml_event_t value;
    if (e->type != YAML_SCALAR_EVENT) return at_line(r, &e->start_mark, JT_FORMAT, "a key must be a word");
    jt_status s = read_node(r, e, depth, &key);
    for (const jt_yaml_node *m = map->child; !s && m; m = m->next)
        if (strcmp(m->key, key->text) == 0) s = jt_yaml_fail(r->y, key, r->err, JT_FORMAT, "\"%.60s\" is there twice", key->text);
    if (s || (s = next_event(r, &value))) return s;
    s = read_node(r, &value, depth, out);
    yaml_event_delete(&value);
    if (!s) (*out)->key = key->text;
    return s;
}

static jt_status read_children(yaml_reading *r, jt_yaml_node *n, yaml_event_type_t end, int depth) {
    jt_yaml_node **tail = &n->child;
    for (;;) {
        yaml_event_t e;
        jt_yaml_node *child = NULL;
        jt_status s = next_event(r, &e);
        if (s) return s;
        bool over = e.type == end;
        if (!over) s = n->kind == JT_YAML_MAP ? read_member(r, &e, n, depth, &child) : read_node(r, &e, depth, &child);
        yaml_event_delete(&e);
        if (s || over) return s;
        *tail = child, tail = &child->next, n->n++;
    }
}

static jt_status read_node(yaml_reading *r, yaml_event_t *e, int depth, jt_yaml_node **out) {
    if (depth > YAML_DEPTH) return at_line(r, &e->start_mark, JT_LIMIT, "more than 16 levels");
    jt_status s = refuse_tricks(r, e);
    if (!s) s = node_new(r, e, out);
    if (s) return s;
    if (e->type == YAML_SCALAR_EVENT) return read_scalar(r, e, *out);
    (*out)->kind = e->type == YAML_MAPPING_START_EVENT ? JT_YAML_MAP : JT_YAML_LIST;
    return read_children(r, *out, e->type == YAML_MAPPING_START_EVENT ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT, depth + 1);
}

static jt_status read_document(yaml_reading *r) {
    for (;;) {
        yaml_event_t e;
        jt_status s = next_event(r, &e);
        if (s) return s;
        bool over = e.type == YAML_STREAM_END_EVENT;
        bool value = e.type == YAML_SCALAR_EVENT || e.type == YAML_MAPPING_START_EVENT || e.type == YAML_SEQUENCE_START_EVENT ||
                     e.type == YAML_ALIAS_EVENT;
        if (value && r->y->root) s = at_line(r, &e.start_mark, JT_FORMAT, "a second document; a file has one");
        if (!s && value) s = read_node(r, &e, 1, &r->y->root);
        yaml_event_delete(&e);
        if (s || over) return s;
    }
}

jt_status jt_yaml_parse(const char *path, const char *s, size_t n, jt_yaml *out, jt_error *err) {
    yaml_reading r = {.y = out, .err = err};
    *out = (jt_yaml){0};
    out->path = jt_arena_copy(&out->arena, path, strlen(path));
    if (!out->path) return jt_nomem(err, "a file's name", strlen(path), 1);
    if (n > YAML_BYTES) return jt_error_set(err, JT_LIMIT, "%s:1: %zu bytes; such a file has 1048576 at most", path, n);
    if (!yaml_parser_initialize(&r.parser)) return jt_nomem(err, path, 1, 1);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)s, n);
    jt_status st = read_document(&r);
    yaml_parser_delete(&r.parser);
    if (!st && (!out->root || out->root->kind != JT_YAML_MAP))
        st = jt_yaml_fail(out, out->root, err, JT_FORMAT, "expected lines such as \"name: value\"");
    return st;
}

jt_status jt_yaml_read(const char *path, jt_yaml *out, jt_error *err) {
    jt_str text = {0};
    *out = (jt_yaml){0};
    jt_status s = jt_file_read(path, &text, err);
    if (!s) s = jt_yaml_parse(path, jt_str_c(&text), text.n, out, err);
    jt_str_free(&text);
    return s;
}

void jt_yaml_free(jt_yaml *y) {
    jt_arena_free(&y->arena);
    *y = (jt_yaml){0};
}

/* ---- members ---- */

static bool empty(const jt_yaml_node *n) {
    return n->kind == JT_YAML_SCALAR && n->plain && (!*n->text || !strcmp(n->text, "null") || !strcmp(n->text, "~"));
}

const jt_yaml_node *jt_yaml_get(const jt_yaml_node *map, const char *key) {
    if (!map || map->kind != JT_YAML_MAP) return NULL;
    for (const jt_yaml_node *m = map->child; m; m = m->next)
        if (strcmp(m->key, key) == 0) return empty(m) ? NULL : m;
    return NULL;
}

jt_status jt_yaml_keys(const jt_yaml *y, const jt_yaml_node *map, const char *const *known, const char *what, jt_error *err) {
    if (map->kind != JT_YAML_MAP) return jt_yaml_fail(y, map, err, JT_FORMAT, "%s has lines such as \"name: value\"", what);
    for (const jt_yaml_node *m = map->child; m; m = m->next) {
        jt_nearest near = {.to = m->key};
        const char *const *k = known;
        while (*k && strcmp(*k, m->key) != 0) jt_nearest_add(&near, *k++);
        if (*k) continue;
        const char *best = jt_nearest_get(&near);
        return jt_yaml_fail(y, m, err, JT_UNKNOWN, "%s has no key \"%.60s\"%s%s%s", what, m->key, best ? "; did you mean \"" : "",
                            best ? best : "", best ? "\"?" : "");
    }
    return JT_OK;
}

static jt_status wants(const jt_yaml *y, const jt_yaml_node *n, const char *what, jt_error *err) {
    if (n->kind != JT_YAML_SCALAR)
        return jt_yaml_fail(y, n, err, JT_FORMAT, "\"%s\" takes %s, not a %s", n->key, what, n->kind == JT_YAML_MAP ? "map" : "list");
    return jt_yaml_fail(y, n, err, JT_FORMAT, "\"%s\" takes %s, not \"%.60s\"", n->key, what, n->text);
}

static jt_status member(const jt_yaml *y, const jt_yaml_node *map, const char *key, bool must, const jt_yaml_node **out, jt_error *err) {
    *out = jt_yaml_get(map, key);
    return *out || !must ? JT_OK : jt_yaml_fail(y, map, err, JT_FORMAT, "\"%s\" is missing", key);
}

jt_status jt_yaml_text(const jt_yaml *y, const jt_yaml_node *map, const char *key, bool must, const char **out, jt_error *err) {
    const jt_yaml_node *n;
    jt_status s = member(y, map, key, must, &n, err);
    if (s || !n) return s;
    if (n->kind != JT_YAML_SCALAR) return wants(y, n, "text", err);
    *out = n->text;
    return JT_OK;
}

jt_status jt_yaml_int(const jt_yaml *y, const jt_yaml_node *map, const char *key, int64_t low, int64_t high, int64_t *out, jt_error *err) {
    const jt_yaml_node *n = jt_yaml_get(map, key);
    char want[80];
    int64_t x;
    if (!n) return JT_OK;
    snprintf(want, sizeof want, "a whole number from %lld to %lld", (long long)low, (long long)high);
    if (n->kind != JT_YAML_SCALAR || !n->plain || !jt_read_i64(n->text, strlen(n->text), &x) || x < low || x > high)
        return wants(y, n, want, err);
    *out = x;
    return JT_OK;
}

jt_status jt_yaml_real(const jt_yaml *y, const jt_yaml_node *map, const char *key, double low, double high, double *out, jt_error *err) {
    const jt_yaml_node *n = jt_yaml_get(map, key);
    char want[80];
    double x;
    if (!n) return JT_OK;
    snprintf(want, sizeof want, "a number from %g to %g", low, high);
    if (n->kind != JT_YAML_SCALAR || !n->plain || !jt_read_double(n->text, strlen(n->text), &x) || !(x >= low && x <= high))
        return wants(y, n, want, err);
    *out = x;
    return JT_OK;
}

jt_status jt_yaml_bool(const jt_yaml *y, const jt_yaml_node *map, const char *key, bool *out, jt_error *err) {
    const jt_yaml_node *n = jt_yaml_get(map, key);
    if (!n) return JT_OK;
    bool yes = n->kind == JT_YAML_SCALAR && n->plain && !strcmp(n->text, "true");
    bool no = n->kind == JT_YAML_SCALAR && n->plain && !strcmp(n->text, "false");
    if (!yes && !no) return wants(y, n, "true or false", err);
    *out = yes;
    return JT_OK;
}

jt_status jt_yaml_choice(const jt_yaml *y, const jt_yaml_node *map, const char *key, bool must, const char *choices, int *out,
                         jt_error *err) {
    const jt_yaml_node *n;
    char want[200];
    jt_status s = member(y, map, key, must, &n, err);
    if (s || !n) return s;
    int i = 0;
    for (const char *c = choices; n->kind == JT_YAML_SCALAR; i++) {
        size_t len = strcspn(c, "|");
        if (strlen(n->text) == len && !memcmp(n->text, c, len)) return *out = i, JT_OK;
        if (!c[len]) break;
        c += len + 1;
    }
    snprintf(want, sizeof want, "one of %s", choices);
    return wants(y, n, want, err);
}

jt_status jt_yaml_texts(jt_yaml *y, const jt_yaml_node *map, const char *key, const char ***out, size_t *n, jt_error *err) {
    const jt_yaml_node *m = jt_yaml_get(map, key);
    if (!m) return JT_OK;
    if (m->kind == JT_YAML_MAP) return wants(y, m, "text or a list of texts", err);
    size_t count = m->kind == JT_YAML_LIST ? m->n : 1, i = 0;
    const char **list = jt_arena_alloc(&y->arena, count + 1, sizeof *list);
    if (!list) return jt_nomem(err, y->path, count, sizeof *list);
    if (m->kind == JT_YAML_SCALAR) list[i++] = m->text;
    for (const jt_yaml_node *c = m->child; c; c = c->next) {
        if (c->kind != JT_YAML_SCALAR) return jt_yaml_fail(y, c, err, JT_FORMAT, "\"%s\" takes text or a list of texts", key);
        list[i++] = c->text;
    }
    *out = list, *n = count;
    return JT_OK;
}

const char *jt_yaml_beside(jt_yaml *y, const char *path) {
    const char *slash = strrchr(y->path, '/');
    size_t folder = path[0] == '/' || !slash ? 0 : (size_t)(slash - y->path) + 1, n = strlen(path);
    char *s = jt_arena_alloc(&y->arena, folder + n + 1, 1);
    if (!s) return NULL;
    memcpy(s, y->path, folder);
    memcpy(s + folder, path, n);
    return s;
}
