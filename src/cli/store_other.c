/* The folders of llama.cpp, LM Studio and Ollama. */
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "cli/hub.h"
#include "cli/store.h"
#include "core/file.h"
#include "core/json.h"

enum { MAX_MANIFEST = 1 << 20 };

static bool small_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= MAX_MANIFEST;
}

static bool first_part(const char *name) {
    int part, parts;
    size_t stem;
    return jt_gguf_is_model_name(name) && (!jt_gguf_part(name, &part, &parts, &stem) || part == 1);
}

/* Adds a GGUF file as REPO:KIND, or by its own name when no repository is known. */
static jt_status add_file(jt_store *s, jt_store_kind kind, const char *repo, const char *folder, const char *file, jt_error *err) {
    jt_str path = {0}, name = {0}, also = {0}, type = {0};
    const char *begin;
    size_t n = jt_gguf_kind_in_name(file, &begin), stem = strlen(file) - strlen(".gguf");
    jt_stored m = {.kind = kind};
    jt_str_printf(&path, "%s/%s", folder, file);
    if (repo) {
        jt_store_file_name(repo, file, &name);
        jt_str_printf(&also, "%s:%s", repo, file);
    } else {
        jt_str_add(&name, file, stem);
    }
    if (n) jt_str_add(&type, begin, n);
    jt_status st = path.failed || name.failed || also.failed || type.failed ? jt_nomem(err, file, 1, 1) : JT_OK;
    m.name = jt_str_c(&name), m.also = also.n ? also.s : NULL, m.type = jt_str_c(&type), m.path = jt_str_c(&path);
    if (!st && jt_store_measure(path.s, &m.bytes, &m.used)) st = jt_store_add(s, &m, err);
    jt_str_free(&path), jt_str_free(&name), jt_str_free(&also), jt_str_free(&type);
    return st;
}

/* ---- llama.cpp: files as ORG_REPO_FILE, and for some of them a manifest that says what is what ---- */

typedef struct flat {
    jt_store *store;
    const char *file; /* looked for */
    jt_str repo;      /* found */
} flat;

/* manifest=ORG=REPO=TAG.json, whose ggufFile.rfilename is the file. */
static jt_status read_manifest(void *self, const char *folder, const char *name, jt_error *err) {
    flat *f = self;
    size_t n = strlen(name);
    if (f->repo.n || strncmp(name, "manifest=", 9) != 0 || n < 6 || strcmp(name + n - 5, ".json") != 0) return JT_OK;
    const char *org = name + 9, *eq = strchr(org, '='), *end = eq ? strchr(eq + 1, '=') : NULL;
    if (!end) return JT_OK;
    jt_str path = {0}, want = {0};
    jt_json *root = NULL;
    jt_str_printf(&path, "%s/%s", folder, name);
    jt_status s = jt_str_check(&path, err);
    if (!s && small_file(path.s) && !jt_json_read(path.s, &root, NULL)) {
        const jt_json *file = jt_json_member(root, "ggufFile");
        const char *file_name = file ? jt_json_string(jt_json_member(file, "rfilename"), NULL) : NULL;
        jt_str_printf(&want, "%.*s_%.*s_", (int)(eq - org), org, (int)(end - eq) - 1, eq + 1);
        for (const char *c = file_name ? file_name : ""; *c; c++) jt_str_putc(&want, *c == '/' ? '_' : *c);
        s = jt_str_check(&want, err);
        if (!s && strcmp(want.s, f->file) == 0) jt_str_printf(&f->repo, "%.*s/%.*s", (int)(eq - org), org, (int)(end - eq) - 1, eq + 1);
    }
    jt_json_free(root);
    jt_str_free(&path), jt_str_free(&want);
    return s ? s : jt_str_check(&f->repo, err);
}

static jt_status add_flat(void *self, const char *folder, const char *name, jt_error *err) {
    if (!first_part(name)) return JT_OK;
    flat f = {self, name, {0}};
    jt_status s = jt_store_each(folder, read_manifest, &f, err);
    if (!s) s = add_file(self, JT_STORE_LLAMA, f.repo.n ? f.repo.s : NULL, folder, name, err);
    jt_str_free(&f.repo);
    return s;
}

jt_status jt_store_scan_llama(jt_store *s, const char *folder, jt_error *err) {
    jt_status st = jt_store_each(folder, add_flat, s, err);
    jt_str cache = {0};
    /* Since 2026 llama.cpp keeps files as the hub does, below LLAMA_CACHE or in the hub's own folder. */
    jt_status no_cache = st ? st : jt_hub_cache(&cache, err);
    bool hub = !no_cache && strcmp(cache.s, folder) == 0;
    jt_str_free(&cache);
    if (no_cache == JT_NOMEM) return no_cache;
    return st || hub ? st : jt_store_scan_hub(s, JT_STORE_LLAMA, folder, err);
}

/* ---- LM Studio: ORG/REPO/FILE ---- */

typedef struct level {
    jt_store *store;
    const char *root; /* the folder whose path is left out of names */
    int depth;
} level;

static jt_status walk_lmstudio(void *self, const char *folder, const char *name, jt_error *err) {
    level *l = self;
    jt_str path = {0};
    jt_str_printf(&path, "%s/%s", folder, name);
    jt_status s = jt_str_check(&path, err);
    if (!s && l->depth < 2 && jt_is_folder(path.s)) {
        level below = {l->store, l->root, l->depth + 1};
        s = jt_store_each(path.s, walk_lmstudio, &below, err);
    } else if (!s && l->depth == 2 && first_part(name)) {
        s = add_file(l->store, JT_STORE_LMSTUDIO, folder + strlen(l->root) + 1, folder, name, err);
    }
    jt_str_free(&path);
    return s;
}

jt_status jt_store_scan_lmstudio(jt_store *s, const char *folder, jt_error *err) {
    level l = {s, folder, 0};
    return jt_store_each(folder, walk_lmstudio, &l, err);
}

/* ---- Ollama: a manifest names layers, one of which is a GGUF file ---- */

/* The file of a digest "sha256:HEX"; older versions had ":" in its name. */
static bool blob_of(const char *root, const char *digest, jt_str *out) {
    if (!digest || strncmp(digest, "sha256:", 7) != 0 || strlen(digest) != 71 || !jt_is_commit(digest + 7)) return false;
    for (int form = 0; form < 2; form++) {
        jt_str_clear(out);
        jt_str_printf(out, "%s/blobs/sha256%c%s", root, form ? ':' : '-', digest + 7);
        if (!out->failed && jt_file_exists(out->s)) return true;
    }
    return false;
}

/* The model's settings are a layer of their own, and say the kind. */
static void type_of(const char *root, const jt_json *manifest, jt_str *out) {
    const jt_json *config = jt_json_member(manifest, "config");
    jt_str path = {0};
    jt_json *settings = NULL;
    if (config && blob_of(root, jt_json_string(jt_json_member(config, "digest"), NULL), &path) && small_file(path.s) &&
        !jt_json_read(path.s, &settings, NULL)) {
        const char *type = jt_json_string(jt_json_member(settings, "file_type"), NULL);
        if (type && strlen(type) < 24) jt_str_puts(out, type);
    }
    jt_json_free(settings);
    jt_str_free(&path);
}

/* HOST/SPACE/NAME/TAG as `ollama run` takes it: without the usual host and space. */
static void ollama_name(const char *path, jt_str *name, jt_str *also) {
    static const char usual[] = "registry.ollama.ai/", library[] = "library/", latest[] = ":latest";
    bool hub = strncasecmp(path, "hf.co/", 6) == 0 || strncasecmp(path, "huggingface.co/", 15) == 0;
    if (strncmp(path, usual, sizeof usual - 1) == 0) path += sizeof usual - 1;
    if (strncmp(path, library, sizeof library - 1) == 0) path += sizeof library - 1;
    const char *slash = strrchr(path, '/');
    if (!slash) return;
    jt_str_printf(name, "%.*s:%s", (int)(slash - path), path, slash + 1);
    size_t n = name->n, m = sizeof latest - 1;
    if (hub && !name->failed)
        jt_str_puts(also, strchr(name->s, '/') + 1);
    else if (n > m && strcmp(name->s + n - m, latest) == 0)
        jt_str_add(also, name->s, n - m);
}

static jt_status add_manifest(const level *l, const char *path, jt_error *err) {
    jt_json *root = NULL;
    jt_str file = {0}, name = {0}, also = {0}, type = {0};
    jt_status s = JT_OK;
    if (!small_file(path) || jt_json_read(path, &root, NULL)) return JT_OK;
    const jt_json *layers = jt_json_member(root, "layers");
    int models = 0;
    for (size_t i = 0; layers && i < jt_json_count(layers); i++) {
        const jt_json *layer = jt_json_item(layers, i);
        const char *media = jt_json_string(jt_json_member(layer, "mediaType"), NULL);
        if (media && strcmp(media, "application/vnd.ollama.image.model") == 0 &&
            blob_of(l->root, jt_json_string(jt_json_member(layer, "digest"), NULL), &file))
            models++;
    }
    jt_stored m = {.kind = JT_STORE_OLLAMA};
    if (models == 1 && jt_store_measure(file.s, &m.bytes, &m.used)) {
        type_of(l->root, root, &type);
        ollama_name(path + strlen(l->root) + strlen("/manifests/"), &name, &also);
        s = file.failed || name.failed || also.failed || type.failed ? jt_nomem(err, path, 1, 1) : JT_OK;
        m.name = jt_str_c(&name), m.also = also.n ? also.s : NULL, m.type = jt_str_c(&type), m.path = file.s;
        if (!s && name.n) s = jt_store_add(l->store, &m, err);
    }
    jt_json_free(root);
    jt_str_free(&file), jt_str_free(&name), jt_str_free(&also), jt_str_free(&type);
    return s;
}

static jt_status walk_ollama(void *self, const char *folder, const char *name, jt_error *err) {
    level *l = self;
    jt_str path = {0};
    jt_str_printf(&path, "%s/%s", folder, name);
    jt_status s = jt_str_check(&path, err);
    if (!s && l->depth < 3 && jt_is_folder(path.s)) {
        level below = {l->store, l->root, l->depth + 1};
        s = jt_store_each(path.s, walk_ollama, &below, err);
    } else if (!s && l->depth == 3) {
        s = add_manifest(l, path.s, err);
    }
    jt_str_free(&path);
    return s;
}

jt_status jt_store_scan_ollama(jt_store *s, const char *folder, jt_error *err) {
    jt_str manifests = {0};
    jt_str_printf(&manifests, "%s/manifests", folder);
    level l = {s, folder, 0};
    jt_status st = jt_str_check(&manifests, err);
    if (!st) st = jt_store_each(manifests.s, walk_ollama, &l, err);
    jt_str_free(&manifests);
    return st;
}
