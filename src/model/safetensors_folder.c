/* safetensors_folder.c: opening a safetensors file by its path, or a folder with one
 * file or with shards and their index (model.safetensors.index.json: "weight_map"
 * gives each tensor's file). */
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/str.h"
#include "model/safetensors_read.h"

enum { ST_SHARDS = 65536 };

static jt_status st_open_one(jt_safetensors *f, const char *path, jt_error *err) {
    jt_status s = jt_grow((void **)&f->map, &f->cap_maps, f->n_maps + 1, sizeof *f->map, err);
    if (s || (s = jt_map_open(path, &f->map[f->n_maps], err))) return s;
    jt_map *m = &f->map[f->n_maps++];
    return (s = jt_safetensors_add(f, m->p, m->n, err)) ? jt_error_in(err, s, "%s", path) : JT_OK;
}

/* The name of a shard must be that of a file in the folder, nowhere else. */
static bool st_plain_name(const char *s) { return s && s[0] && s[0] != '.' && !strchr(s, '/') && !strchr(s, '\\'); }

struct st_shard {
    const char *file, *tensor;
    int index;
};

static int st_by_file(const void *a, const void *b) {
    const struct st_shard *x = a, *y = b;
    int c = strcmp(x->file, y->file);
    return c ? c : strcmp(x->tensor, y->tensor);
}

/* Opens the shards that the index names, in the order of their names. */
static jt_status st_open_shards(jt_safetensors *f, const char *folder, const jt_json *root, struct st_shard **shards, jt_error *err) {
    const jt_json *map = jt_json_member(root, "weight_map"), *v;
    void *iter = NULL;
    const char *name;
    size_t n = 0;
    jt_status s = JT_OK;
    if (!map || jt_json_kind_of(map) != JT_JSON_OBJECT || !jt_json_count(map))
        return jt_error_set(err, JT_FORMAT, "weight_map: an object that names tensors is wanted");
    struct st_shard *o = *shards = jt_alloc(jt_json_count(map), sizeof *o);
    if (!o) return jt_nomem(err, "list of shards", jt_json_count(map), sizeof *o);
    while (jt_json_each(map, &iter, &name, &v)) {
        const char *file = jt_json_string(v, NULL);
        if (!st_plain_name(file))
            return jt_error_set(err, JT_FORMAT, "weight_map: %s: the name of a file in the same folder is wanted%s%s", jt_st_show(name).s,
                                file ? ", not " : "", file ? jt_st_show(file).s : "");
        o[n].tensor = name, o[n++].file = file;
    }
    qsort(o, n, sizeof *o, st_by_file);
    for (size_t i = 0; s == JT_OK && i < n; i++) {
        if (i == 0 || strcmp(o[i].file, o[i - 1].file) != 0) {
            jt_str path = {0};
            if (f->n_maps == ST_SHARDS) return jt_error_set(err, JT_LIMIT, "weight_map: more than %d shards", ST_SHARDS);
            jt_str_printf(&path, "%s/%s", folder, o[i].file);
            if ((s = jt_str_check(&path, err)) == JT_OK) s = st_open_one(f, jt_str_c(&path), err);
            jt_str_free(&path);
        }
        o[i].index = (int)f->n_maps - 1;
    }
    if (s || (s = jt_safetensors_index(f, err))) return s;
    for (size_t i = 0; i < n; i++) {
        const jt_st_tensor *t = jt_safetensors_tensor_named(f, o[i].tensor);
        if (!t || t->file != o[i].index)
            return jt_error_set(err, JT_FORMAT, "weight_map: tensor %s is not in %s", jt_st_show(o[i].tensor).s, jt_st_show(o[i].file).s);
    }
    return JT_OK;
}

static jt_status st_open_index(jt_safetensors *f, const char *folder, const char *index, jt_error *err) {
    jt_json *root;
    struct st_shard *o = NULL;
    jt_status s = jt_json_read(index, &root, err);
    if (s) return s;
    if ((s = st_open_shards(f, folder, root, &o, err))) s = jt_error_in(err, s, "%s", index);
    jt_free(o);
    jt_json_free(root);
    return s;
}

static jt_status st_open_folder(jt_safetensors *f, const char *path, jt_error *err) {
    jt_str one = {0}, index = {0};
    jt_str_printf(&one, "%s/model.safetensors", path);
    jt_str_printf(&index, "%s/model.safetensors.index.json", path);
    jt_status s = jt_str_check(&one, err);
    if (s == JT_OK) s = jt_str_check(&index, err);
    if (s == JT_OK) {
        if (jt_file_exists(jt_str_c(&one))) {
            if ((s = st_open_one(f, jt_str_c(&one), err)) == JT_OK) s = jt_safetensors_index(f, err);
        } else if (jt_file_exists(jt_str_c(&index))) {
            s = st_open_index(f, path, jt_str_c(&index), err);
        } else {
            s = jt_error_set(err, JT_NOTFOUND, "%s: has neither model.safetensors nor model.safetensors.index.json", path);
        }
    }
    jt_str_free(&one);
    jt_str_free(&index);
    return s;
}

jt_status jt_safetensors_open(const char *path, jt_safetensors **out, jt_error *err) {
    jt_safetensors *f = jt_alloc(1, sizeof *f);
    if (!f) return jt_nomem(err, path, 1, sizeof *f);
    jt_status s = jt_is_folder(path) ? st_open_folder(f, path, err) : st_open_one(f, path, err);
    if (s == JT_OK && !f->names.place) s = jt_safetensors_index(f, err);
    if (s)
        jt_safetensors_free(f);
    else
        *out = f;
    return s;
}
