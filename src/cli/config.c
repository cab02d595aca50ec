#include "cli/config.h"

#include <string.h>
#include <yaml.h>

#include "core/file.h"

typedef struct config {
    yaml_document_t *doc;
    const char *path;
    jt_args *args;
    jt_error *err;
} config;

static const char *text_of(const yaml_node_t *n) { return n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : NULL; }
static size_t line_of(const yaml_node_t *n) { return n->start_mark.line + 1; }

/* True if command `name` is `scope` or lies below it; everything lies below "". */
static bool within(const char *name, const char *scope) {
    size_t n = strlen(scope);
    return n == 0 || (strncmp(name, scope, n) == 0 && (name[n] == 0 || name[n] == ' '));
}

/* An option of `c` that a config file may set, or -1. */
static int settable(const jt_command *c, const char *name) {
    for (const jt_opt *o = jt_global_opts; o->name; o++)
        if (strcmp(o->name, name) == 0) return -1;
    return jt_command_find_opt(c, name, strlen(name));
}

static jt_status unknown_key(const config *k, const yaml_node_t *key, const char *scope) {
    jt_nearest near = {.to = text_of(key)};
    for (int i = 0; jt_commands[i]; i++) {
        if (!within(jt_commands[i]->name, scope)) continue;
        const jt_opt *o;
        for (int j = 0; (o = jt_command_opt(jt_commands[i], j)); j++)
            if (settable(jt_commands[i], o->name) >= 0) jt_nearest_add(&near, o->name);
    }
    if (!*scope) jt_nearest_add(&near, "pipelines");
    if (!*scope)
        for (int i = 0; jt_commands[i]; i++) jt_nearest_add(&near, jt_commands[i]->name);
    const char *best = jt_nearest_get(&near);
    return jt_error_set(k->err, JT_UNKNOWN, "%s:%zu: %s \"%s\"%s%s%s%s%s%s", k->path, line_of(key),
                        *scope ? "no option" : "no option or command", near.to, *scope ? " of " : "", scope,
                        best ? "; did you mean \"" : "", best ? best : "", best ? "\"" : "",
                        best ? "?" : "; --help of a command lists its options");
}

/* Sets one value of option `opt` in `a`, keeping a copy of the text there. */
static jt_status set_scalar(const config *k, jt_args *a, int opt, const yaml_node_t *value) {
    const char *s = text_of(value);
    if (!s)
        return jt_error_set(k->err, JT_INVALID, "%s:%zu: --%s takes one value", k->path, line_of(value),
                            jt_command_opt(a->command, opt)->name);
    if (!*s && value->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        return jt_error_set(k->err, JT_INVALID, "%s:%zu: \"%s\" has no value", k->path, line_of(value),
                            jt_command_opt(a->command, opt)->name);
    const char *copy = jt_arena_copy(&a->arena, s, strlen(s));
    if (!copy) return jt_nomem(k->err, "the configuration", strlen(s) + 1, 1);
    jt_status st = jt_args_set(a, opt, copy, JT_FROM_CONFIG, k->err);
    return st ? jt_error_in(k->err, st, "%s:%zu", k->path, line_of(value)) : JT_OK;
}

static jt_status set_value(const config *k, jt_args *a, int opt, const yaml_node_t *value) {
    jt_opt_value *v = &a->value[opt];
    if (v->from == JT_FROM_CONFIG) v->from = JT_FROM_DEFAULT, v->n_list = 0; /* an inner setting replaces an outer list */
    if (value->type != YAML_SEQUENCE_NODE || jt_command_opt(a->command, opt)->type != JT_OPT_LIST) return set_scalar(k, a, opt, value);
    for (yaml_node_item_t *i = value->data.sequence.items.start; i < value->data.sequence.items.top; i++) {
        jt_status s = set_scalar(k, a, opt, yaml_document_get_node(k->doc, *i));
        if (s) return s;
    }
    return JT_OK;
}

/* Checks the value by the options of a command that is not running. */
static jt_status check_value(const config *k, const jt_command *c, int opt, const yaml_node_t *value) {
    jt_args *a = jt_alloc(1, sizeof *a);
    if (!a) return jt_nomem(k->err, "the configuration", 1, sizeof *a);
    jt_status s = jt_args_init(a, c, k->err);
    if (!s) s = set_value(k, a, opt, value);
    jt_args_free(a);
    jt_free(a);
    return s;
}

static jt_status apply_option(const config *k, const char *scope, const yaml_node_t *key, const yaml_node_t *value) {
    const char *name = text_of(key);
    const jt_command *now = k->args->command, *other = NULL;
    for (int i = 0; jt_commands[i] && !other; i++)
        if (within(jt_commands[i]->name, scope) && settable(jt_commands[i], name) >= 0) other = jt_commands[i];
    int opt = within(now->name, scope) ? settable(now, name) : -1;
    if (opt < 0) {
        if (!other) return unknown_key(k, key, scope);
        return check_value(k, other, settable(other, name), value);
    }
    if (k->args->value[opt].from == JT_FROM_LINE) return check_value(k, now, opt, value);
    return set_value(k, k->args, opt, value);
}

static bool scope_exists(const char *scope) {
    for (int i = 0; jt_commands[i]; i++)
        if (within(jt_commands[i]->name, scope)) return true;
    return false;
}

static jt_status check_keys(const config *k, const yaml_node_t *map) {
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_document_get_node(k->doc, p->key);
        const char *name = text_of(key);
        if (!name) return jt_error_set(k->err, JT_FORMAT, "%s:%zu: a key must be the name of an option or command", k->path, line_of(key));
        for (yaml_node_pair_t *q = map->data.mapping.pairs.start; q < p; q++)
            if (strcmp(text_of(yaml_document_get_node(k->doc, q->key)), name) == 0)
                return jt_error_set(k->err, JT_FORMAT, "%s:%zu: \"%s\" is set twice", k->path, line_of(key), name);
    }
    return JT_OK;
}

static bool pipeline_name(const char *s) {
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-_");
    return n && n <= 40 && !s[n];
}

/* "pipelines": what they hold is read when one is used, since plugins may be needed for it. */
static jt_status apply_pipelines(const config *k, const yaml_node_t *map) {
    jt_status s = check_keys(k, map);
    size_t n = (size_t)(map->data.mapping.pairs.top - map->data.mapping.pairs.start);
    jt_named_pipeline *list = s ? NULL : jt_arena_alloc(&k->args->arena, n + 1, sizeof *list);
    if (!s && !list) s = jt_nomem(k->err, "the configuration", n, sizeof *list);
    for (size_t i = 0; !s && i < n; i++) {
        const yaml_node_t *key = yaml_document_get_node(k->doc, map->data.mapping.pairs.start[i].key);
        const yaml_node_t *value = yaml_document_get_node(k->doc, map->data.mapping.pairs.start[i].value);
        const char *name = text_of(key), *text = text_of(value);
        if (!pipeline_name(name))
            return jt_error_set(k->err, JT_INVALID,
                                "%s:%zu: \"%.60s\" is no name of a pipeline; it takes lower case letters, digits, - and _", k->path,
                                line_of(key), name);
        if (!text) return jt_error_set(k->err, JT_INVALID, "%s:%zu: the pipeline %s is no text", k->path, line_of(value), name);
        if (text[0] == '@')
            return jt_error_set(k->err, JT_INVALID, "%s:%zu: the pipeline %s is another's name; write its text", k->path, line_of(value),
                                name);
        list[i] = (jt_named_pipeline){.name = jt_arena_copy(&k->args->arena, name, strlen(name)),
                                      .text = jt_arena_copy(&k->args->arena, text, strlen(text))};
        if (!list[i].name || !list[i].text) s = jt_nomem(k->err, "the configuration", strlen(text), 1);
    }
    if (!s) k->args->pipeline = list, k->args->n_pipeline = (int)n;
    return s;
}

/* Options first, then what lies deeper, so that the innermost setting counts. */
static jt_status apply_map(const config *k, const char *scope, const yaml_node_t *map) {
    jt_status s = check_keys(k, map);
    yaml_node_pair_t *begin = map->data.mapping.pairs.start, *end = map->data.mapping.pairs.top;
    for (yaml_node_pair_t *p = begin; p < end && !s; p++) {
        const yaml_node_t *value = yaml_document_get_node(k->doc, p->value);
        if (value->type != YAML_MAPPING_NODE) s = apply_option(k, scope, yaml_document_get_node(k->doc, p->key), value);
    }
    for (yaml_node_pair_t *p = begin; p < end && !s; p++) {
        const yaml_node_t *key = yaml_document_get_node(k->doc, p->key), *value = yaml_document_get_node(k->doc, p->value);
        if (value->type != YAML_MAPPING_NODE) continue;
        if (!*scope && !strcmp(text_of(key), "pipelines")) {
            s = apply_pipelines(k, value);
            continue;
        }
        jt_str below = {0};
        jt_str_printf(&below, "%s%s%s", scope, *scope ? " " : "", text_of(key));
        s = jt_str_check(&below, k->err);
        if (!s) s = scope_exists(below.s) ? apply_map(k, below.s, value) : unknown_key(k, key, scope);
        jt_str_free(&below);
    }
    return s;
}

static jt_status apply_text(const char *path, const jt_str *text, jt_args *a, jt_error *err) {
    yaml_parser_t parser;
    yaml_document_t doc;
    if (!yaml_parser_initialize(&parser)) return jt_nomem(err, "the configuration", 1, 1);
    yaml_parser_set_input_string(&parser, (const unsigned char *)jt_str_c(text), text->n);
    jt_status s = JT_OK;
    if (!yaml_parser_load(&parser, &doc)) {
        if (parser.error == YAML_MEMORY_ERROR)
            s = jt_nomem(err, path, text->n, 1);
        else
            s = jt_error_set(err, JT_FORMAT, "%s:%zu: not valid YAML: %s", path,
                             (parser.error == YAML_READER_ERROR ? parser.mark : parser.problem_mark).line + 1,
                             parser.problem ? parser.problem : "unreadable");
    } else {
        const yaml_node_t *root = yaml_document_get_root_node(&doc);
        if (root && root->type == YAML_MAPPING_NODE)
            s = apply_map(&(config){&doc, path, a, err}, "", root);
        else if (root && !(text_of(root) && !*text_of(root)))
            s = jt_error_set(err, JT_FORMAT, "%s:%zu: expected lines such as \"threads: 2\"", path, line_of(root));
        yaml_document_delete(&doc);
    }
    yaml_parser_delete(&parser);
    return s;
}

jt_status jt_config_apply(const char *path, jt_args *a, jt_error *err) {
    jt_str where = {0}, text = {0};
    jt_status s = JT_OK;
    bool must = path != NULL;
    if (path && !*path) return JT_OK;
    if (path) {
        jt_str_puts(&where, path);
        s = jt_str_check(&where, err);
    } else {
        s = jt_config_folder(&where, NULL);
        if (s != JT_NOMEM && s) return JT_OK; /* no home: no configuration */
        jt_str_puts(&where, "/config.yaml");
        s = jt_str_check(&where, err);
    }
    if (!s && (must || jt_file_exists(where.s))) {
        s = jt_file_read(where.s, &text, err);
        if (!s) s = apply_text(where.s, &text, a, err);
    }
    jt_str_free(&where);
    jt_str_free(&text);
    return s;
}
