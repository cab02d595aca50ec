/* embed_files.c: what stands beside a model's settings: how sentence-transformers folders pool (modules.json, and the folder of
 * its Pooling module), and the names of labels. */
#include <string.h>

#include "core/file.h"
#include "model/model.h"

static jt_status files_json(const char *folder, const char *file, jt_json **out, jt_error *err) {
    jt_str name = {0};
    *out = NULL;
    jt_str_printf(&name, "%s/%s", folder, file);
    jt_status s = jt_str_check(&name, err);
    if (!s && jt_file_exists(name.s)) s = jt_json_read(name.s, out, err);
    jt_str_free(&name);
    return s;
}

/* Both spellings: a switch for each way, or its name. */
static jt_status files_pooling(const jt_json *j, jt_pooling *out, jt_error *err) {
    static const struct {
        const char *key, *name;
        jt_pooling pooling;
    } way[] = {{"pooling_mode_mean_tokens", "mean", JT_POOL_MEAN},
               {"pooling_mode_cls_token", "cls", JT_POOL_CLS},
               {"pooling_mode_lasttoken", "lasttoken", JT_POOL_LAST},
               {"pooling_mode_max_tokens", "max", JT_POOL_MAX},
               {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", JT_POOL_AUTO},
               {"pooling_mode_weightedmean_tokens", "weightedmean", JT_POOL_AUTO}};
    const char *name = NULL;
    jt_status s = jt_config_string_or(j, "pooling_mode", NULL, &name, err);
    int found = 0;
    for (size_t i = 0; !s && i < sizeof way / sizeof *way; i++) {
        bool on = false;
        if (!name && (s = jt_config_bool_or(j, way[i].key, false, &on, err))) return s;
        if (name ? strcmp(name, way[i].name) != 0 : !on) continue;
        if (way[i].pooling == JT_POOL_AUTO)
            return jt_error_set(err, JT_UNSUPPORTED, "pooling by %s is not supported by this build", name ? name : way[i].key);
        *out = way[i].pooling, found++;
    }
    if (!s && found != 1)
        s = jt_error_set(err, JT_UNSUPPORTED, "%d ways of pooling at once%s%.40s are not supported by this build", found, name ? ": " : "",
                         name ? name : "");
    return s;
}

static jt_status files_module(const char *folder, const jt_json *module, bool encoder, jt_pooling *pooling, bool *normalise,
                              jt_error *err) {
    const char *type, *path, *tail;
    jt_json *j = NULL;
    jt_str file = {0};
    jt_status s = jt_config_string(module, "type", &type, err);
    if (!s) s = jt_config_string_or(module, "path", "", &path, err);
    if (s) return s;
    tail = strrchr(type, '.') ? strrchr(type, '.') + 1 : type;
    if (!strcmp(tail, "Transformer")) return JT_OK;
    if (!strcmp(tail, "Normalize")) {
        *normalise = true;
        return JT_OK;
    }
    if (strcmp(tail, "Pooling") != 0)
        return encoder ? jt_error_set(err, JT_UNSUPPORTED, "module \"%.64s\" is not supported by this build", type) : JT_OK;
    jt_str_printf(&file, "%s/config.json", path);
    s = jt_str_check(&file, err);
    if (!s) s = files_json(folder, file.s, &j, err);
    if (!s && j) s = files_pooling(j, pooling, err);
    jt_json_free(j);
    if (s) jt_error_in(err, s, "%s", jt_str_c(&file));
    jt_str_free(&file);
    return s;
}

/* The name of label i, NULL: the files give none. */
static const char *files_label(const jt_model *m, int i, size_t *n) {
    char key[80];
    const char *s = NULL;
    if (m->gguf) {
        snprintf(key, sizeof key, "%s.classifier.output_labels", m->config.family->name);
        const jt_gguf_value *v = jt_gguf_find(m->gguf, key);
        return v && v->type == JT_GGUF_ARRAY && v->element == JT_GGUF_STRING && jt_gguf_item_text(v, (uint64_t)i, &s, n) ? s : NULL;
    }
    snprintf(key, sizeof key, "id2label.%d", i);
    const jt_json *v = jt_config_find(m->config_json, key);
    return v ? jt_json_string(v, n) : NULL;
}

static jt_status files_labels(jt_model *m, jt_error *err) {
    size_t n = (size_t)m->config.classes;
    m->label = jt_arena_alloc(&m->text, n + 1, sizeof *m->label);
    if (!m->label) return jt_nomem(err, "names of labels", n, sizeof *m->label);
    for (int i = 0; i < m->config.classes; i++) {
        char plain[32];
        size_t k = 0;
        const char *s = files_label(m, i, &k);
        if (!s) k = (size_t)snprintf(plain, sizeof plain, "LABEL_%d", i), s = plain;
        if (!(m->label[i] = jt_arena_copy(&m->text, s, k))) return jt_nomem(err, "names of labels", k, 1);
    }
    return JT_OK;
}

jt_status jt_folder_pooling(const char *folder, bool encoder, jt_pooling *pooling, bool *normalise, jt_error *err) {
    jt_json *modules = NULL;
    jt_status s = files_json(folder, "modules.json", &modules, err);
    for (size_t i = 0; modules && !s && i < jt_json_count(modules); i++)
        if ((s = files_module(folder, jt_json_item(modules, i), encoder, pooling, normalise, err))) s = jt_error_in(err, s, "modules.json");
    jt_json_free(modules);
    return s;
}

jt_status jt_model_load_pooling(jt_model *m, const char *path, jt_error *err) {
    jt_status s = files_labels(m, err);
    m->normalise = m->gguf != NULL;
    return s || m->gguf ? s : jt_folder_pooling(path, m->config.encoder, &m->config.pooling, &m->normalise, err);
}
