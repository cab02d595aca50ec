#include "cli/template_file.h"

#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "model/gguf.h"

void jt_template_file_free(jt_template_file *f) {
    jt_str_free(&f->text);
    jt_str_free(&f->bos);
    jt_str_free(&f->eos);
}

static jt_status put(jt_str *to, const char *s, size_t n, jt_error *err) {
    jt_str_clear(to);
    jt_str_add(to, s, n);
    return jt_str_check(to, err);
}

/* ---- GGUF ---- */

static jt_status gguf_token(const jt_gguf *g, const char *key, jt_str *out, jt_error *err) {
    uint64_t id;
    const jt_gguf_value *tokens = jt_gguf_find(g, "tokenizer.ggml.tokens");
    const char *s;
    size_t n;
    if (!tokens || jt_gguf_get_u64(g, key, &id, NULL) || !jt_gguf_item_text(tokens, id, &s, &n)) return JT_OK;
    return put(out, s, n, err);
}

static jt_status gguf_read(const char *path, const char *name, bool tools, jt_template_file *out, jt_error *err) {
    static const char main_key[] = "tokenizer.chat_template";
    jt_gguf *g = NULL;
    jt_str key = {0}, known = {0};
    const char *s = NULL;
    size_t n = 0;
    jt_status st = jt_gguf_open(path, &g, err);
    if (st) return st;
    const char *want[2] = {name ? name : tools ? "tool_use" : "default", "default"};
    for (int i = 0; i < 2 && !s && !(name && i); i++) {
        jt_str_clear(&key);
        jt_str_printf(&key, "%s.%s", main_key, want[i]);
        if (jt_gguf_get_text(g, jt_str_c(&key), &s, &n, NULL)) s = NULL;
        if (!s && !strcmp(want[i], "default") && jt_gguf_get_text(g, main_key, &s, &n, NULL)) s = NULL;
    }
    for (size_t i = 0; i < jt_gguf_values(g); i++) {
        const char *k = jt_gguf_value_at(g, i)->key;
        if (!strncmp(k, main_key, sizeof main_key - 1))
            jt_str_printf(&known, " %s", k[sizeof main_key - 1] ? k + sizeof main_key : "default");
    }
    if (s)
        st = put(&out->text, s, n, err);
    else
        st = jt_error_set(err, JT_UNKNOWN, "%s: no chat template%s%s; there are:%s", path, name ? " is called " : "", name ? name : "",
                          known.n ? jt_str_c(&known) : " none");
    if (!st) st = gguf_token(g, "tokenizer.ggml.bos_token_id", &out->bos, err);
    if (!st) st = gguf_token(g, "tokenizer.ggml.eos_token_id", &out->eos, err);
    jt_str_free(&key), jt_str_free(&known);
    jt_gguf_free(g);
    return st;
}

/* ---- folders ---- */

static const char *token_text(const jt_json *config, const char *key, size_t *n) {
    const jt_json *v = config ? jt_json_member(config, key) : NULL;
    if (v && jt_json_kind_of(v) == JT_JSON_OBJECT) v = jt_json_member(v, "content");
    return v ? jt_json_string(v, n) : NULL;
}

/* One of [{"name", "template"}]. */
static jt_status named(const jt_json *list, const char *path, const char *name, bool tools, jt_str *out, jt_error *err) {
    jt_str known = {0};
    const char *want[2] = {name ? name : tools ? "tool_use" : "default", "default"}, *text = NULL;
    size_t n = 0;
    for (int pass = 0; pass < 2 && !text && !(name && pass); pass++)
        for (size_t i = 0; i < jt_json_count(list) && !text; i++) {
            const jt_json *v = jt_json_item(list, i), *t = jt_json_member(v, "template"), *own = jt_json_member(v, "name");
            const char *called = own ? jt_json_string(own, NULL) : NULL;
            if (!pass && called) jt_str_printf(&known, " %s", called);
            if (t && called && !strcmp(called, want[pass])) text = jt_json_string(t, &n);
        }
    jt_status s = text ? put(out, text, n, err)
                       : jt_error_set(err, JT_UNKNOWN, "%s: no chat template is called %s; there are:%s", path, want[0],
                                      known.n ? jt_str_c(&known) : " none");
    jt_str_free(&known);
    return s;
}

static jt_status folder_path(const char *folder, const char *file, jt_str *out, jt_error *err) {
    jt_str_clear(out);
    jt_str_printf(out, "%s/%s", folder, file);
    return jt_str_check(out, err);
}

static jt_status folder_template(const char *folder, const jt_json *config, const char *name, bool tools, jt_str *out, jt_error *err) {
    jt_str path = {0}, other = {0};
    const char *file = name ? name : tools ? "tool_use" : "default";
    jt_status s = JT_OK;
    jt_json *json = NULL;
    jt_str_printf(&other, "%s/additional_chat_templates/%s.jinja", folder, file);
    s = jt_str_check(&other, err);
    if (!s) s = folder_path(folder, "chat_template.jinja", &path, err);
    const jt_json *v = config ? jt_json_member(config, "chat_template") : NULL;
    bool plain = !name || !strcmp(name, "default");
    if (!s && !strchr(file, '/') && jt_file_exists(jt_str_c(&other))) {
        s = jt_file_read(jt_str_c(&other), out, err);
    } else if (!s && plain && jt_file_exists(jt_str_c(&path))) {
        s = jt_file_read(jt_str_c(&path), out, err);
    } else if (!s) {
        s = folder_path(folder, "chat_template.json", &path, err);
        if (!s && !v && jt_file_exists(jt_str_c(&path)) && !(s = jt_json_read(jt_str_c(&path), &json, err)))
            v = jt_json_member(json, "chat_template");
        size_t n;
        const char *text = v ? jt_json_string(v, &n) : NULL;
        if (!s && text && plain)
            s = put(out, text, n, err);
        else if (!s && v && jt_json_kind_of(v) == JT_JSON_ARRAY)
            s = named(v, folder, name, tools, out, err);
        else if (!s)
            s = jt_error_set(err, JT_UNKNOWN, "%s: no chat template%s%s", folder, name ? " is called " : " in its files", name ? name : "");
    }
    jt_json_free(json);
    jt_str_free(&path), jt_str_free(&other);
    return s;
}

static jt_status folder_read(const char *folder, const char *name, bool tools, jt_template_file *out, jt_error *err) {
    jt_str path = {0};
    jt_json *config = NULL;
    jt_status s = folder_path(folder, "tokenizer_config.json", &path, err);
    if (!s && jt_file_exists(jt_str_c(&path))) s = jt_json_read(jt_str_c(&path), &config, err);
    if (!s) s = folder_template(folder, config, name, tools, &out->text, err);
    size_t n;
    const char *token = token_text(config, "bos_token", &n);
    if (!s && token) s = put(&out->bos, token, n, err);
    token = token_text(config, "eos_token", &n);
    if (!s && token) s = put(&out->eos, token, n, err);
    jt_json_free(config);
    jt_str_free(&path);
    return s;
}

jt_status jt_template_file_read(const char *path, const char *name, bool tools, jt_template_file *out, jt_error *err) {
    *out = (jt_template_file){0};
    jt_map map;
    jt_status s;
    if (jt_is_folder(path)) {
        s = folder_read(path, name, tools, out, err);
    } else if (!strcmp(path, "-")) {
        s = jt_file_read(path, &out->text, err);
    } else if (!(s = jt_map_open(path, &map, err))) {
        bool gguf = map.n >= 4 && !memcmp(map.p, "GGUF", 4);
        jt_map_close(&map);
        if (!gguf && name)
            s = jt_error_set(err, JT_INVALID, "%s is one template; a name chooses among those of a model", path);
        else
            s = gguf ? gguf_read(path, name, tools, out, err) : jt_file_read(path, &out->text, err);
    }
    if (s) jt_template_file_free(out);
    return s;
}
