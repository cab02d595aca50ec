/* Lists of a repository's files, and which of them make a model. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "cli/command.h"
#include "cli/hub.h"
#include "core/json.h"

enum { MAX_FILES = 200000 };

/* A sum is kept only when it is one that can be computed here. */
static void put_sum(const jt_json *v, char out[65]) {
    size_t n;
    const char *s = jt_json_string(v, &n);
    if (!s || (n != 40 && n != 64) || !jt_is_commit(s)) return;
    memcpy(out, s, n + 1);
}

/* An entry of either kind of answer: siblings say rfilename, size, blobId, lfs {sha256, size}; trees say type, path, size,
 * oid, lfs {oid, size}. */
static jt_status read_entry(const jt_json *e, jt_hub_listing *out, size_t *cap, jt_error *err) {
    const jt_json *lfs = jt_json_member(e, "lfs");
    const char *type = jt_json_string(jt_json_member(e, "type"), NULL);
    if (type && strcmp(type, "file") != 0) return JT_OK;
    size_t n;
    const char *path = jt_json_string(jt_json_member(e, "rfilename"), &n);
    if (!path) path = jt_json_string(jt_json_member(e, "path"), &n);
    if (!path) return jt_error_set(err, JT_FORMAT, "a file of the list has no name");
    if (!jt_hub_path_safe(path))
        return jt_error_set(err, JT_FORMAT,
                            "the list names \"%.100s\", which leads out of its folder or is no file name; nothing is brought", path);
    jt_hub_file f = {.size = -1};
    int64_t size;
    const jt_json *of = lfs && jt_json_kind_of(lfs) == JT_JSON_OBJECT ? lfs : e;
    if (jt_json_i64(jt_json_member(of, "size"), &size) && size >= 0) f.size = size;
    if (f.size < 0 && jt_json_i64(jt_json_member(e, "size"), &size) && size >= 0) f.size = size;
    if (of == lfs) {
        put_sum(jt_json_member(lfs, "sha256"), f.sum);
        if (!f.sum[0]) put_sum(jt_json_member(lfs, "oid"), f.sum);
    } else {
        put_sum(jt_json_member(e, "blobId"), f.sum);
        if (!f.sum[0]) put_sum(jt_json_member(e, "oid"), f.sum);
    }
    f.path = jt_arena_copy(&out->arena, path, n);
    if (!f.path) return jt_nomem(err, "a list of files", n, 1);
    jt_status s = jt_grow((void **)&out->file, cap, out->n + 1, sizeof f, err);
    if (!s) out->file[out->n++] = f;
    return s;
}

jt_status jt_hub_listing_parse(const char *json, size_t n, jt_hub_listing *out, jt_error *err) {
    jt_json *root = NULL;
    jt_status s = jt_json_parse(json, n, &root, err);
    if (s) return jt_error_in(err, s, "the hub's list of files");
    const jt_json *files = root;
    if (jt_json_kind_of(root) == JT_JSON_OBJECT) {
        const char *commit = jt_json_string(jt_json_member(root, "sha"), NULL);
        files = jt_json_member(root, "siblings");
        if (commit && jt_is_commit(commit)) memcpy(out->commit, commit, strlen(commit) + 1);
    }
    size_t cap = out->n;
    if (!files || jt_json_kind_of(files) != JT_JSON_ARRAY)
        s = jt_error_set(err, JT_FORMAT, "the hub's list of files holds no array of files");
    else if (jt_json_count(files) > MAX_FILES)
        s = jt_error_set(err, JT_LIMIT, "the hub lists more than %d files", MAX_FILES);
    for (size_t i = 0; !s && i < jt_json_count(files); i++) s = read_entry(jt_json_item(files, i), out, &cap, err);
    jt_json_free(root);
    return s;
}

void jt_hub_listing_free(jt_hub_listing *l) {
    jt_free(l->file);
    jt_arena_free(&l->arena);
    *l = (jt_hub_listing){0};
}

/* ---- choosing ---- */

typedef struct chooser {
    jt_hub_listing *list;
    const char *repo, *what;
    jt_hub_choice *out;
    jt_error *err;
} chooser;

static bool choice_add(chooser *c, size_t i) {
    if (!c->out->file) c->out->file = jt_arena_alloc(&c->list->arena, c->list->n, sizeof *c->out->file);
    if (c->out->file) c->out->file[c->out->n++] = i;
    return c->out->file != NULL;
}

static jt_status no_memory(const chooser *c) { return jt_nomem(c->err, "a list of files", c->list->n, sizeof(size_t)); }

/* A file, with all its parts when it is one of several. */
static jt_status choose_file(chooser *c, size_t which) {
    const char *path = c->list->file[which].path;
    int part, parts, p, q;
    size_t stem, other;
    if (!jt_gguf_part(path, &part, &parts, &stem)) return choice_add(c, which) ? JT_OK : no_memory(c);
    for (int want = 1; want <= parts; want++) {
        size_t i = 0;
        while (i < c->list->n && !(jt_gguf_part(c->list->file[i].path, &p, &q, &other) && p == want && q == parts && other == stem &&
                                   memcmp(c->list->file[i].path, path, stem) == 0))
            i++;
        if (i == c->list->n)
            return jt_error_set(c->err, JT_FORMAT, "%s: part %d of %d of %s is missing on the hub", c->repo, want, parts, path);
        if (!choice_add(c, i)) return no_memory(c);
    }
    return JT_OK;
}

/* A model in one GGUF file or the first of its parts. */
static bool is_model_file(const jt_hub_file *f) {
    int part, parts;
    size_t stem;
    return jt_gguf_is_model_name(f->path) && (!jt_gguf_part(f->path, &part, &parts, &stem) || part == 1);
}

/* True when `kind` stands in the path between dots, dashes, slashes or its ends, and "_" before it is a border, too. */
static bool has_kind(const char *path, const char *kind) {
    size_t n = strlen(kind);
    for (const char *p = path; (p = strcasestr(p, kind)); p++)
        if ((p == path || strchr("-._/", p[-1])) && p[n] && strchr("-./", p[n])) return true;
    return false;
}

/* What there is, in few words: the kinds of GGUF files, else their names. */
static void list_choices(const chooser *c, const char *kind, jt_str *out) {
    size_t count = 0;
    for (size_t i = 0; i < c->list->n && out->n < 300; i++) {
        const char *path = c->list->file[i].path, *begin;
        if (!is_model_file(&c->list->file[i]) || (kind && !has_kind(path, kind))) continue;
        size_t n = kind ? 0 : jt_gguf_kind_in_name(path, &begin);
        if (!n) begin = path, n = strlen(path);
        jt_str_printf(out, "%s%.*s", count++ ? ", " : "", (int)n, begin);
    }
    if (out->n >= 300) jt_str_puts(out, " ...");
}

static jt_status say_choices(chooser *c, jt_status code, const char *kind, const char *what, const char *then) {
    jt_str o = {0};
    list_choices(c, kind, &o);
    jt_status s = jt_str_check(&o, c->err);
    if (!s) s = jt_error_set(c->err, code, "%s: %s%s%s", c->repo, what, jt_str_c(&o), then);
    jt_str_free(&o);
    return s;
}

/* The one GGUF model whose name has `kind` in it. *found: 0, 1 or more. Of "UD-Q4_K_M" and "Q4_K_M" the latter is asked for
 * by "Q4_K_M". */
static size_t find_kind(const chooser *c, const char *kind, size_t *found) {
    size_t which[2] = {0, 0}, count[2] = {0, 0};
    for (size_t i = 0; i < c->list->n; i++) {
        const char *begin;
        if (!is_model_file(&c->list->file[i]) || (kind && !has_kind(c->list->file[i].path, kind))) continue;
        size_t n = kind ? jt_gguf_kind_in_name(c->list->file[i].path, &begin) : 0;
        bool exact = n && n == strlen(kind) && strncasecmp(begin, kind, n) == 0;
        if (!count[exact]++) which[exact] = i;
    }
    *found = count[count[1] > 0];
    return which[count[1] > 0];
}

static bool is_folder_file(const char *path, bool plain_names) {
    static const char *const ends[] = {".json", ".txt", ".jinja", ".model", ".tiktoken", NULL};
    static const char *const not [] = {"requirements.txt", "README.txt", "LICENSE.txt", "license.txt", NULL};
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
    if (!dot) return false;
    /* Folders of sentence-transformers, such as 1_Pooling/config.json; further chat templates. */
    if (slash && strncmp(path, "additional_chat_templates/", 26) == 0) return strcmp(dot, ".jinja") == 0;
    if (slash && !(isdigit((unsigned char)path[0]) && path[1] == '_' && !memchr(path, '/', (size_t)(slash - path)))) return false;
    if (strcmp(dot, ".safetensors") == 0)
        return slash || !plain_names || strcmp(base, "model.safetensors") == 0 || strncmp(base, "model-", 6) == 0 ||
               strcmp(base, "adapter_model.safetensors") == 0;
    for (int i = 0; not [i]; i++)
        if (strcmp(base, not [i]) == 0) return false;
    for (int i = 0; ends[i]; i++)
        if (strcmp(dot, ends[i]) == 0) return true;
    return false;
}

static size_t find_path(const jt_hub_listing *l, const char *path) {
    size_t i = 0;
    while (i < l->n && strcmp(l->file[i].path, path) != 0) i++;
    return i;
}

static bool has_path(const jt_hub_listing *l, const char *path) { return find_path(l, path) < l->n; }

static jt_status choose_folder(chooser *c) {
    bool plain = has_path(c->list, "model.safetensors") || has_path(c->list, "model.safetensors.index.json");
    for (size_t i = 0; i < c->list->n; i++)
        if (is_folder_file(c->list->file[i].path, plain) && !choice_add(c, i)) return no_memory(c);
    c->out->folder = true;
    return JT_OK;
}

static jt_status choose_default(chooser *c) {
    bool config = has_path(c->list, "config.json") || has_path(c->list, "adapter_config.json"), weights = false, gguf = false;
    for (size_t i = 0; i < c->list->n; i++) {
        const char *path = c->list->file[i].path;
        size_t n = strlen(path);
        weights |= n > 12 && strcmp(path + n - 12, ".safetensors") == 0 && !strchr(path, '/');
        gguf |= is_model_file(&c->list->file[i]);
    }
    if (config && weights) return choose_folder(c);
    if (!gguf)
        return jt_error_set(c->err, JT_UNSUPPORTED,
                            "%s has neither GGUF files nor safetensors with a config.json, so nothing in it can be run", c->repo);
    size_t found, which = find_kind(c, NULL, &found);
    if (found == 1) return choose_file(c, which);
    which = find_kind(c, "Q4_K_M", &found);
    if (found == 1) return choose_file(c, which);
    return say_choices(c, JT_UNKNOWN, NULL, "say which file is meant, behind a \":\": ", "");
}

static jt_status choose_named(chooser *c) {
    size_t which = find_path(c->list, c->what), found = 0;
    if (which < c->list->n) return choose_file(c, which);
    /* A file's name without the folders it lies in. */
    for (size_t i = 0; i < c->list->n && strchr(c->what, '.'); i++) {
        const char *slash = strrchr(c->list->file[i].path, '/');
        if (slash && strcmp(slash + 1, c->what) == 0) which = i, found++;
    }
    if (found == 1) return choose_file(c, which);
    which = find_kind(c, strcasecmp(c->what, "latest") == 0 ? "Q4_K_M" : c->what, &found);
    if (found == 1) return choose_file(c, which);
    if (found > 1) return say_choices(c, JT_UNKNOWN, c->what, "more than one file is of that kind; name one of them: ", "");
    jt_nearest near = {.to = c->what};
    for (size_t i = 0; i < c->list->n; i++) {
        const char *path = c->list->file[i].path, *slash = strrchr(path, '/');
        jt_nearest_add(&near, path);
        if (slash) jt_nearest_add(&near, slash + 1);
    }
    const char *best = jt_nearest_get(&near);
    if (best) return jt_error_set(c->err, JT_UNKNOWN, "%s has no file and no kind \"%s\"; did you mean \"%s\"?", c->repo, c->what, best);
    find_kind(c, NULL, &found);
    if (!found) return jt_error_set(c->err, JT_UNKNOWN, "%s has no file \"%s\", and no GGUF files", c->repo, c->what);
    jt_str what = {0};
    jt_str_printf(&what, "has no file and no kind \"%s\"; it has ", c->what);
    jt_status s = jt_str_check(&what, c->err);
    if (!s) s = say_choices(c, JT_UNKNOWN, NULL, what.s, "");
    jt_str_free(&what);
    return s;
}

jt_status jt_hub_choose(jt_hub_listing *l, const char *repo, const char *what, jt_hub_choice *out, jt_error *err) {
    *out = (jt_hub_choice){0};
    chooser c = {l, repo, what, out, err};
    return *what ? choose_named(&c) : choose_default(&c);
}
