#include "cli/branches.h"

#include <string.h>

#include "core/file.h"
#include "core/mem.h"

jt_status jt_branches_begin(jt_branches *b, const jt_tokenizer *t, jt_error *err) {
    *b = (jt_branches){0};
    jt_status s = jt_grow((void **)&b->talk, &b->cap, 1, sizeof *b->talk, err);
    if (s) return s;
    b->talk[0] = (jt_conversation){.tokenizer = t};
    b->n = 1;
    return JT_OK;
}

void jt_branches_free(jt_branches *b) {
    for (size_t i = 0; i < b->n; i++) jt_conversation_free(&b->talk[i]);
    jt_free(b->talk);
    *b = (jt_branches){0};
}

jt_status jt_branches_fork(jt_branches *b, jt_error *err) {
    jt_status s = jt_grow((void **)&b->talk, &b->cap, b->n + 1, sizeof *b->talk, err);
    if (!s) s = jt_conversation_copy(&b->talk[b->at], &b->talk[b->n], err);
    if (!s) b->at = b->n++;
    return s;
}

jt_status jt_branches_save(const jt_branches *b, const char *path, const char *model, jt_error *err) {
    if (b->n == 1) return jt_conversation_save(&b->talk[0], path, model, err);
    jt_str o = {0};
    jt_str_puts(&o, "{\"jeton_chat\": 2, \"model\": ");
    jt_str_json(&o, model, strlen(model));
    jt_str_printf(&o, ",\n \"at\": %zu, \"branches\": [", b->at);
    for (size_t i = 0; i < b->n; i++) {
        jt_str_puts(&o, i ? ",\n {" : "\n {");
        jt_conversation_write(&b->talk[i], &o);
        jt_str_putc(&o, '}');
    }
    jt_str_puts(&o, "]}\n");
    jt_status s = jt_file_save(path, &o, err);
    jt_str_free(&o);
    return s;
}

static jt_status bad(const char *path, const char *what, jt_error *err) {
    return jt_error_set(err, JT_FORMAT, "%s: not a chat saved by jeton: %s", path, what);
}

static jt_status load_branches(const jt_json *root, const char *path, bool again, jt_branches *r, const jt_tokenizer *t, jt_error *err) {
    const jt_json *list = jt_json_member(root, "branches");
    size_t n = jt_json_count(list);
    int64_t at;
    if (!list || jt_json_kind_of(list) != JT_JSON_ARRAY || !n) return bad(path, "\"branches\" is no list of branches", err);
    if (!jt_json_i64(jt_json_member(root, "at"), &at) || at < 0 || (uint64_t)at >= n) return bad(path, "\"at\" names no branch", err);
    jt_status s = jt_grow((void **)&r->talk, &r->cap, n, sizeof *r->talk, err);
    for (size_t i = 0; !s && i < n; i++) {
        r->talk[i] = (jt_conversation){.tokenizer = t};
        s = jt_conversation_read(jt_json_item(list, i), again, path, &r->talk[i], err);
        if (!s) r->n++;
    }
    r->at = (size_t)at;
    return s;
}

jt_status jt_branches_load(jt_branches *b, const char *path, const char *model, int *again, jt_error *err) {
    jt_json *root;
    int64_t version = 0;
    const jt_tokenizer *t = b->talk[b->at].tokenizer;
    jt_branches r = {0};
    jt_status s = jt_json_read(path, &root, err);
    if (s) return s;
    if (!jt_json_i64(jt_json_member(root, "jeton_chat"), &version) || version < 1 || version > 2) {
        s = bad(path, "\"jeton_chat\" is neither 1 nor 2", err);
    } else if (version == 1) {
        s = jt_branches_begin(&r, t, err);
        if (!s) s = jt_conversation_load(&r.talk[0], path, model, again, err);
    } else {
        const char *name = jt_json_string(jt_json_member(root, "model"), NULL);
        *again = name && strcmp(name, model) != 0;
        s = name ? load_branches(root, path, *again, &r, t, err) : bad(path, "\"model\" is missing", err);
    }
    jt_json_free(root);
    if (s) {
        jt_branches_free(&r);
        return s;
    }
    jt_branches_free(b);
    *b = r;
    return JT_OK;
}
