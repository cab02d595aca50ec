#include "cli/task.h"

#include <string.h>

#include "core/file.h"
#include "core/hash.h"

static const char *const task_keys[] = {"task",
                                        "output_type",
                                        "data",
                                        "fewshot_data",
                                        "doc_to_text",
                                        "doc_to_target",
                                        "doc_to_choice",
                                        "doc_to_id",
                                        "description",
                                        "target_delimiter",
                                        "fewshot_delimiter",
                                        "num_fewshot",
                                        "fewshot_seed",
                                        "chat",
                                        "system",
                                        "generation_kwargs",
                                        "filters",
                                        "ignore_case",
                                        "ignore_punctuation",
                                        NULL};
static const char *const generation_keys[] = {"until", "max_gen_toks", NULL};
static const char *const filter_keys[] = {"regex", "group_select", "fallback", "remove", "strip", "lower", NULL};

typedef struct task_reading {
    jt_task *t;
    jt_yaml *y;
    jt_error *err;
} task_reading;

static bool is_name(const char *s) {
    size_t n = strlen(s);
    return n && n < 64 && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == n;
}

/* Templates end as they stand: the reference's setting for chats drops a last line break, so a second one stands for it. `list`: the value
 * of the only expression, as JSON. A bare name is the field of that name. */
static jt_status compile(const task_reading *r, const jt_yaml_node *n, bool list, jt_template **out) {
    jt_str s = {0};
    const char *text = n->text;
    size_t len = strlen(text);
    if (n->kind != JT_YAML_SCALAR)
        return jt_yaml_fail(r->y, n, r->err, JT_FORMAT, "\"%s\" takes a text", n->key ? n->key : "doc_to_choice");
    if (list && len > 4 && !memcmp(text, "{{", 2) && !memcmp(text + len - 2, "}}", 2)) {
        jt_str_puts(&s, "{{ (");
        jt_str_add(&s, text + 2, len - 4);
        jt_str_puts(&s, ") | list | tojson }}");
    } else if (is_name(text)) {
        jt_str_printf(&s, "{{ %s%s }}", text, list ? " | list | tojson" : "");
    } else if (list) {
        return jt_yaml_fail(r->y, n, r->err, JT_FORMAT, "\"doc_to_choice\" takes a list, the name of a field, or one {{expression}}");
    } else {
        jt_str_add(&s, text, len);
        if (len && text[len - 1] == '\n') jt_str_putc(&s, '\n');
    }
    jt_error why;
    jt_status st = jt_str_check(&s, r->err);
    if (!st && (st = jt_template_new(jt_str_c(&s), s.n, out, &why)))
        st = jt_yaml_fail(r->y, n, r->err, st, "%s: %s", n->key ? n->key : "doc_to_choice", why.message);
    jt_str_free(&s);
    return st;
}

static jt_status compile_key(const task_reading *r, const char *key, bool must, jt_template **out) {
    const jt_yaml_node *n = jt_yaml_get(r->y->root, key);
    if (!n) return must ? jt_yaml_fail(r->y, r->y->root, r->err, JT_FORMAT, "\"%s\" is missing", key) : JT_OK;
    return compile(r, n, false, out);
}

static jt_status read_choices(const task_reading *r) {
    jt_task *t = r->t;
    const jt_yaml_node *n = jt_yaml_get(r->y->root, "doc_to_choice");
    bool wanted = t->kind == JT_TASK_CHOICE;
    if (!n != !wanted)
        return jt_yaml_fail(r->y, n ? n : r->y->root, r->err, JT_FORMAT,
                            wanted ? "\"doc_to_choice\" is missing" : "\"doc_to_choice\" is for multiple_choice");
    if (!n) return JT_OK;
    if (n->kind != JT_YAML_LIST) return compile(r, n, true, &t->choices);
    if (n->n < 2 || n->n > 256) return jt_yaml_fail(r->y, n, r->err, JT_FORMAT, "\"doc_to_choice\" takes 2 to 256 choices");
    if (!(t->choice = jt_arena_alloc(&r->y->arena, n->n, sizeof *t->choice))) return jt_nomem(r->err, "choices", n->n, sizeof *t->choice);
    for (const jt_yaml_node *c = n->child; c; c = c->next, t->n_choice++) {
        jt_status s = compile(r, c, false, &t->choice[t->n_choice]);
        if (s) return s;
    }
    return JT_OK;
}

static jt_status read_filter(const task_reading *r, const jt_yaml_node *n, jt_task_filter *f) {
    bool strip = false, lower = false;
    const char *regex = NULL, *removed = NULL;
    f->fallback = "[invalid]";
    jt_status s = jt_yaml_keys(r->y, n, filter_keys, "a filter", r->err);
    if (!s) s = jt_yaml_text(r->y, n, "regex", false, &regex, r->err);
    if (!s) s = jt_yaml_text(r->y, n, "remove", false, &removed, r->err);
    if (!s) s = jt_yaml_text(r->y, n, "fallback", false, &f->fallback, r->err);
    if (!s) s = jt_yaml_int(r->y, n, "group_select", -1, 1000, &f->select, r->err);
    if (!s) s = jt_yaml_bool(r->y, n, "strip", &strip, r->err);
    if (!s) s = jt_yaml_bool(r->y, n, "lower", &lower, r->err);
    if (!s && (regex != NULL) + (removed != NULL) + strip + lower != 1)
        s = jt_yaml_fail(r->y, n, r->err, JT_FORMAT, "a filter is one of regex, remove, strip, lower");
    if (!s && !regex && (jt_yaml_get(n, "group_select") || jt_yaml_get(n, "fallback")))
        s = jt_yaml_fail(r->y, n, r->err, JT_FORMAT, "\"group_select\" and \"fallback\" go with \"regex\"");
    f->kind = regex ? JT_FILTER_REGEX : removed ? JT_FILTER_REMOVE : strip ? JT_FILTER_STRIP : JT_FILTER_LOWER;
    f->pattern = regex ? regex : removed;
    return s;
}

static jt_status read_generation(const task_reading *r) {
    jt_task *t = r->t;
    static const char *const only[] = {"generation_kwargs", "filters", "ignore_case", "ignore_punctuation", "chat", "system", NULL};
    const jt_yaml_node *root = r->y->root, *g = jt_yaml_get(root, "generation_kwargs"), *f = jt_yaml_get(root, "filters");
    for (const char *const *k = only; *k && t->kind != JT_TASK_GENERATE; k++)
        if (jt_yaml_get(root, *k)) return jt_yaml_fail(r->y, jt_yaml_get(root, *k), r->err, JT_FORMAT, "\"%s\" is for generate_until", *k);
    jt_status s = g ? jt_yaml_keys(r->y, g, generation_keys, "generation_kwargs", r->err) : JT_OK;
    if (!s && g) s = jt_yaml_texts(r->y, g, "until", &t->until, &t->n_until, r->err);
    if (!s && g) s = jt_yaml_int(r->y, g, "max_gen_toks", 1, 1 << 20, &t->max_tokens, r->err);
    for (size_t i = 0; !s && i < t->n_until; i++)
        if (!*t->until[i]) s = jt_yaml_fail(r->y, jt_yaml_get(g, "until"), r->err, JT_FORMAT, "\"until\" has an empty text");
    if (!s) s = jt_yaml_bool(r->y, root, "ignore_case", &t->ignore_case, r->err);
    if (!s) s = jt_yaml_bool(r->y, root, "ignore_punctuation", &t->ignore_punctuation, r->err);
    if (!s) s = jt_yaml_bool(r->y, root, "chat", &t->chat, r->err);
    if (!s) s = jt_yaml_text(r->y, root, "system", false, &t->system, r->err);
    if (!s && t->system && !t->chat) s = jt_yaml_fail(r->y, jt_yaml_get(root, "system"), r->err, JT_FORMAT, "\"system\" needs chat: true");
    if (s || !f) return s;
    if (f->kind != JT_YAML_LIST) return jt_yaml_fail(r->y, f, r->err, JT_FORMAT, "\"filters\" takes a list, such as \"- regex: ...\"");
    if (!(t->filter = jt_arena_alloc(&r->y->arena, f->n + 1, sizeof *t->filter)))
        return jt_nomem(r->err, "filters", f->n, sizeof *t->filter);
    for (const jt_yaml_node *c = f->child; c && !s; c = c->next) s = read_filter(r, c, &t->filter[t->n_filter++]);
    return s;
}

static jt_status read_task(const task_reading *r) {
    jt_task *t = r->t;
    jt_yaml *y = r->y;
    int kind = 0;
    t->description = "", t->target_delimiter = " ", t->fewshot_delimiter = "\n\n", t->max_tokens = 256, t->fewshot_seed = -1;
    jt_status s = jt_yaml_keys(y, y->root, task_keys, "a task", r->err);
    if (!s) s = jt_yaml_text(y, y->root, "task", true, &t->name, r->err);
    if (!s) s = jt_yaml_choice(y, y->root, "output_type", true, "multiple_choice|generate_until|loglikelihood_rolling", &kind, r->err);
    t->kind = (jt_task_kind)kind;
    if (!s) s = jt_yaml_text(y, y->root, "data", true, &t->data, r->err);
    if (!s) s = jt_yaml_text(y, y->root, "fewshot_data", false, &t->fewshot_data, r->err);
    if (!s) s = jt_yaml_text(y, y->root, "description", false, &t->description, r->err);
    if (!s) s = jt_yaml_text(y, y->root, "target_delimiter", false, &t->target_delimiter, r->err);
    if (!s) s = jt_yaml_text(y, y->root, "fewshot_delimiter", false, &t->fewshot_delimiter, r->err);
    if (!s) s = jt_yaml_int(y, y->root, "num_fewshot", 0, 1000, &t->num_fewshot, r->err);
    if (!s) s = jt_yaml_int(y, y->root, "fewshot_seed", 0, INT64_MAX, &t->fewshot_seed, r->err);
    if (!s) s = compile_key(r, "doc_to_text", true, &t->text);
    if (!s) s = compile_key(r, "doc_to_target", t->kind == JT_TASK_CHOICE, &t->target);
    if (!s) s = jt_yaml_text(y, y->root, "doc_to_target", false, &t->target_field, r->err);
    if (!s && t->target_field && !is_name(t->target_field)) t->target_field = NULL;
    if (!s) s = compile_key(r, "doc_to_id", false, &t->id);
    if (!s) s = read_choices(r);
    if (!s) s = read_generation(r);
    if (s) return s;
    const jt_yaml_node *few = jt_yaml_get(y->root, "num_fewshot");
    if (t->num_fewshot && t->kind == JT_TASK_ROLLING)
        return jt_yaml_fail(y, few, r->err, JT_FORMAT, "\"num_fewshot\" has no meaning for whole texts");
    if (t->num_fewshot && !t->target) return jt_yaml_fail(y, few, r->err, JT_FORMAT, "\"num_fewshot\" needs \"doc_to_target\"");
    if (!(t->data = jt_yaml_beside(y, t->data))) return jt_nomem(r->err, "a file's name", 1, 1);
    if (t->fewshot_data && !(t->fewshot_data = jt_yaml_beside(y, t->fewshot_data))) return jt_nomem(r->err, "a file's name", 1, 1);
    return JT_OK;
}

jt_status jt_task_parse(const char *path, const char *s, size_t n, jt_task *out, jt_error *err) {
    *out = (jt_task){.key = jt_hash_bytes(1, s, n)};
    jt_status st = jt_yaml_parse(path, s, n, &out->yaml, err);
    if (!st) st = read_task(&(task_reading){out, &out->yaml, err});
    if (st) jt_task_free(out);
    return st;
}

jt_status jt_task_read(const char *path, jt_task *out, jt_error *err) {
    jt_str text = {0};
    *out = (jt_task){0};
    jt_status s = jt_file_read(path, &text, err);
    if (!s) s = jt_task_parse(path, jt_str_c(&text), text.n, out, err);
    jt_str_free(&text);
    return s;
}

void jt_task_free(jt_task *t) {
    jt_template_free(t->text);
    jt_template_free(t->target);
    jt_template_free(t->id);
    jt_template_free(t->choices);
    for (size_t i = 0; i < t->n_choice; i++) jt_template_free(t->choice[i]);
    jt_yaml_free(&t->yaml);
    *t = (jt_task){0};
}

/* ---- data ---- */

static jt_status docs_add(jt_docs *d, const jt_json *doc, uint64_t key, const char *path, size_t at, jt_error *err) {
    if (jt_json_kind_of(doc) != JT_JSON_OBJECT)
        return jt_error_set(err, JT_FORMAT, "%s:%zu: %s where an object {...} is wanted", path, at,
                            jt_json_kind_name(jt_json_kind_of(doc)));
    jt_status s = jt_grow((void **)&d->doc, &d->cap_doc, d->n + 1, sizeof *d->doc, err);
    if (!s) s = jt_grow((void **)&d->key, &d->cap_key, d->n + 1, sizeof *d->key, err);
    if (!s) d->doc[d->n] = doc, d->key[d->n++] = key;
    return s;
}

static jt_status docs_root(jt_docs *d, const char *s, size_t n, jt_error *err) {
    jt_status st = jt_grow((void **)&d->root, &d->cap_root, d->n_root + 1, sizeof(jt_json *), err);
    if (!st) st = jt_json_parse(s, n, &d->root[d->n_root], err);
    if (!st) d->n_root++;
    return st;
}

static jt_status docs_split(const char *path, const jt_str *text, size_t most, jt_docs *d, jt_error *err) {
    size_t line = 1, first = strspn(jt_str_c(text), " \t\r\n");
    jt_status s = JT_OK;
    if (jt_str_c(text)[first] == '[') {
        s = docs_root(d, text->s, text->n, err);
        if (s) return jt_error_in(err, s, "%s", path);
        for (size_t i = 0; !s && i < jt_json_count(d->root[0]) && (!most || i < most); i++)
            s = docs_add(d, jt_json_item(d->root[0], i), jt_hash_u64(jt_hash_bytes(2, text->s, text->n), i), path, i + 1, err);
        return s;
    }
    for (size_t at = 0; !s && at < text->n && (!most || d->n < most); line++) {
        const char *p = text->s + at, *end = memchr(p, '\n', text->n - at);
        size_t n = end ? (size_t)(end - p) : text->n - at, blank = 0;
        at += n + 1;
        while (blank < n && (p[blank] == ' ' || p[blank] == '\t' || p[blank] == '\r')) blank++;
        if (blank == n) continue;
        if ((s = docs_root(d, p, n, err))) return jt_error_in(err, s, "%s:%zu", path, line);
        s = docs_add(d, d->root[d->n_root - 1], jt_hash_bytes(2, p, n), path, line, err);
    }
    return s;
}

jt_status jt_docs_read(const char *path, size_t most, jt_docs *out, jt_error *err) {
    jt_str text = {0};
    *out = (jt_docs){0};
    jt_status s = jt_file_read(path, &text, err);
    if (!s) s = docs_split(path, &text, most, out, err);
    if (!s && !out->n) s = jt_error_set(err, JT_FORMAT, "%s: no data in it", path);
    jt_str_free(&text);
    if (s) jt_docs_free(out);
    return s;
}

void jt_docs_free(jt_docs *d) {
    for (size_t i = 0; i < d->n_root; i++) jt_json_free(d->root[i]);
    jt_free(d->root), jt_free(d->doc), jt_free(d->key);
    *d = (jt_docs){0};
}
