#include "cli/store.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/hub.h"
#include "cli/names.h"
#include "core/file.h"
#include "core/json.h"

const char *jt_store_kind_name(jt_store_kind k) {
    static const char *const names[] = {"jeton", "hub", "llama.cpp", "LM Studio", "Ollama"};
    return names[k];
}

void jt_store_free(jt_store *s) {
    jt_free(s->model);
    jt_arena_free(&s->arena);
    *s = (jt_store){0};
}

static bool copy(jt_store *s, const char **text) {
    if (*text) *text = jt_arena_copy(&s->arena, *text, strlen(*text));
    return *text != NULL;
}

jt_status jt_store_add(jt_store *s, const jt_stored *m, jt_error *err) {
    jt_stored mine = *m;
    jt_status st = jt_grow((void **)&s->model, &s->cap, s->n + 1, sizeof mine, err);
    if (st) return st;
    if (!copy(s, &mine.name) || !copy(s, &mine.type) || !copy(s, &mine.path) || (m->also && !copy(s, &mine.also)) ||
        (m->repo && !copy(s, &mine.repo)))
        return jt_nomem(err, "a list of models", 1, 1);
    s->model[s->n++] = mine;
    return JT_OK;
}

/* ---- folders ---- */

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

jt_status jt_store_each(const char *folder, jt_status (*f)(void *self, const char *folder, const char *name, jt_error *err), void *self,
                        jt_error *err) {
    jt_arena arena = {0};
    const char **name = NULL;
    size_t n = 0, cap = 0;
    jt_status s = JT_OK;
    DIR *d = opendir(folder);
    if (!d) return JT_OK;
    for (struct dirent *e; !s && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        s = jt_grow((void **)&name, &cap, n + 1, sizeof *name, err);
        if (!s && !(name[n++] = jt_arena_copy(&arena, e->d_name, strlen(e->d_name)))) s = jt_nomem(err, folder, 1, 1);
    }
    closedir(d);
    if (!s && n) qsort(name, n, sizeof *name, by_name);
    for (size_t i = 0; i < n && !s; i++) s = f(self, folder, name[i], err);
    jt_free(name);
    jt_arena_free(&arena);
    return s;
}

void jt_remove_tree(const char *path) {
    DIR *d = opendir(path);
    if (d) {
        struct dirent *e;
        while ((e = readdir(d))) {
            if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
            jt_str below = {0};
            struct stat st;
            jt_str_printf(&below, "%s/%s", path, e->d_name);
            if (!below.failed && lstat(below.s, &st) == 0) {
                if (S_ISDIR(st.st_mode))
                    jt_remove_tree(below.s);
                else
                    unlink(below.s);
            }
            jt_str_free(&below);
        }
        closedir(d);
    }
    rmdir(path);
}

/* The path of part `i` of the model whose first part is `path`; of a model in one file there is part 1 alone. */
static bool part_path(const char *path, int i, jt_str *out) {
    int part, parts;
    size_t stem;
    jt_str_clear(out);
    if (!jt_gguf_part(path, &part, &parts, &stem)) {
        jt_str_puts(out, path);
        return i == 1 && !out->failed;
    }
    jt_str_add(out, path, stem);
    jt_str_printf(out, "-%05d-of-%05d.gguf", i, parts);
    return i <= parts && !out->failed;
}

bool jt_store_measure(const char *path, uint64_t *bytes, int64_t *used) {
    jt_str p = {0};
    bool good = true;
    *bytes = 0, *used = 0;
    for (int i = 1; good && part_path(path, i, &p); i++) {
        struct stat st;
        good = stat(p.s, &st) == 0 && S_ISREG(st.st_mode);
        if (!good) break;
        *bytes += (uint64_t)st.st_size;
        int64_t last = st.st_atim.tv_sec > st.st_mtim.tv_sec ? st.st_atim.tv_sec : st.st_mtim.tv_sec;
        if (last > *used) *used = last;
    }
    good &= !p.failed;
    jt_str_free(&p);
    return good;
}

jt_status jt_store_unlink(const char *path, uint64_t *freed, jt_error *err) {
    jt_str p = {0};
    jt_status s = JT_OK;
    for (int i = 1; !s && part_path(path, i, &p); i++) {
        struct stat st;
        bool file = lstat(p.s, &st) == 0 && S_ISREG(st.st_mode);
        if (unlink(p.s))
            s = jt_error_set(err, JT_IO, "%s: cannot be removed; is the folder writable?", p.s);
        else if (file)
            *freed += (uint64_t)st.st_size;
    }
    if (!s && p.failed) s = jt_str_check(&p, err);
    jt_str_free(&p);
    return s;
}

void jt_store_file_name(const char *repo, const char *file, jt_str *out) {
    const char *begin = file, *slash = strrchr(file, '/');
    size_t n = jt_gguf_kind_in_name(file, &begin);
    if (!n) begin = slash ? slash + 1 : file, n = strlen(begin);
    jt_str_printf(out, "%s:%.*s", repo, (int)n, begin);
}

/* ---- all of them ---- */

static jt_status add_own(void *self, const char *folder, const char *name, jt_error *err) {
    jt_str path = {0}, stem = {0}, kind = {0};
    const char *begin;
    size_t n = jt_gguf_kind_in_name(name, &begin);
    jt_stored m = {.kind = JT_STORE_JETON};
    jt_str_printf(&path, "%s/%s", folder, name);
    jt_str_add(&stem, name, strlen(name) > 5 ? strlen(name) - 5 : 0);
    if (n) jt_str_add(&kind, begin, n);
    jt_status s = path.failed || stem.failed || kind.failed ? jt_nomem(err, name, 1, 1) : JT_OK;
    if (!s && jt_gguf_is_model_name(name) && jt_store_measure(path.s, &m.bytes, &m.used)) {
        m.name = jt_str_c(&stem), m.type = jt_str_c(&kind), m.path = path.s;
        for (const jt_known_model *k = jt_known_models; k->name; k++)
            if (strcmp(k->file, name) == 0) m.also = m.name, m.name = k->name;
        s = jt_store_add(self, &m, err);
    }
    jt_str_free(&path), jt_str_free(&stem), jt_str_free(&kind);
    return s;
}

static jt_status scan_own(jt_store *s, jt_error *err) {
    jt_str folder = {0};
    jt_status st = jt_cache_folder(&folder, err);
    bool homeless = st && st != JT_NOMEM; /* nothing is there */
    if (!st) {
        jt_str_puts(&folder, "/models");
        st = jt_str_check(&folder, err);
    }
    if (!st) st = jt_store_each(folder.s, add_own, s, err);
    jt_str_free(&folder);
    return homeless ? JT_OK : st;
}

/* A folder that an environment variable names, else one below the home folder. */
static jt_status scan_at(jt_store *s, const char *variable, const char *below_home, jt_status (*scan)(jt_store *, const char *, jt_error *),
                         jt_error *err) {
    const char *own = variable ? getenv(variable) : NULL, *home = getenv("HOME"), *xdg = getenv("XDG_CACHE_HOME");
    jt_str folder = {0};
    if (own && *own)
        jt_str_puts(&folder, own);
    else if (strncmp(below_home, ".cache/", 7) == 0 && xdg && xdg[0] == '/')
        jt_str_printf(&folder, "%s/%s", xdg, below_home + 7);
    else if (below_home[0] == '/')
        jt_str_puts(&folder, below_home);
    else if (home && *home)
        jt_str_printf(&folder, "%s/%s", home, below_home);
    jt_status st = jt_str_check(&folder, err);
    if (!st && folder.n) st = scan(s, folder.s, err);
    jt_str_free(&folder);
    return st;
}

/* LM Studio's settings may name another folder. */
static jt_status scan_lmstudio_settings(jt_store *s, const char *file, jt_error *err) {
    jt_json *root = NULL;
    if (!jt_file_exists(file) || jt_json_read(file, &root, NULL)) return JT_OK;
    const char *folder = jt_json_string(jt_json_member(root, "downloadsFolder"), NULL), *home = getenv("HOME");
    jt_str usual = {0};
    if (home) jt_str_printf(&usual, "%s/.lmstudio/models", home);
    jt_status st = jt_str_check(&usual, err);
    if (!st && folder && folder[0] == '/' && strcmp(folder, jt_str_c(&usual)) != 0) st = jt_store_scan_lmstudio(s, folder, err);
    jt_str_free(&usual);
    jt_json_free(root);
    return st;
}

/* Models that would have one name get those of their files. */
static void tell_apart(jt_store *s) {
    for (size_t i = 0; i < s->n; i++) {
        bool twice = false;
        for (size_t j = i + 1; j < s->n; j++)
            if (s->model[i].kind == s->model[j].kind && strcmp(s->model[i].name, s->model[j].name) == 0 && s->model[j].also)
                s->model[j].name = s->model[j].also, s->model[j].also = NULL, twice = true;
        if (twice && s->model[i].also) s->model[i].name = s->model[i].also, s->model[i].also = NULL;
    }
}

jt_status jt_store_scan(jt_store *s, jt_error *err) {
    jt_str cache = {0};
    jt_status st = scan_own(s, err);
    if (!st) st = jt_hub_cache(&cache, err);
    if (!st)
        st = jt_store_scan_hub(s, JT_STORE_HUB, cache.s, err);
    else if (st != JT_NOMEM)
        st = JT_OK;
    jt_str_free(&cache);
    if (!st) st = scan_at(s, "LLAMA_CACHE", ".cache/llama.cpp", jt_store_scan_llama, err);
    if (!st) st = scan_at(s, NULL, ".lmstudio/models", jt_store_scan_lmstudio, err);
    if (!st) st = scan_at(s, NULL, ".cache/lm-studio/models", jt_store_scan_lmstudio, err);
    if (!st) st = scan_at(s, NULL, ".lmstudio/settings.json", scan_lmstudio_settings, err);
    if (!st) st = scan_at(s, "OLLAMA_MODELS", ".ollama/models", jt_store_scan_ollama, err);
    if (!st && !getenv("OLLAMA_MODELS")) st = scan_at(s, NULL, "/usr/share/ollama/.ollama/models", jt_store_scan_ollama, err);
    if (!st) tell_apart(s);
    return st;
}

/* ---- finding ---- */

/* How well a name fits; 0: not at all, else the smaller the better. */
enum { FITS_NOT, FITS, FITS_CASE, FITS_REPO, FITS_TAIL, FITS_FILE, FITS_TAIL_REPO, RANKS };

static bool equal_n(const char *a, size_t n, const char *b) { return strlen(b) == n && strncasecmp(a, b, n) == 0; }

static int fit(const jt_stored *m, const char *name) {
    if (strcmp(m->name, name) == 0 || (m->also && strcmp(m->also, name) == 0)) return FITS;
    if (strcasecmp(m->name, name) == 0 || (m->also && strcasecmp(m->also, name) == 0)) return FITS_CASE;
    const char *colon = strchr(m->name, ':');
    size_t repo = colon ? (size_t)(colon - m->name) : strlen(m->name), tail = repo;
    if (equal_n(m->name, repo, name)) return FITS_REPO;
    while (tail && m->name[tail - 1] != '/') tail--;
    if (tail && strcasecmp(m->name + tail, name) == 0) return FITS_TAIL;
    const char *base = strrchr(m->path, '/');
    base = base ? base + 1 : m->path;
    size_t n = strlen(base), stem = n > 5 && strcasecmp(base + n - 5, ".gguf") == 0 ? n - 5 : 0;
    if (stem && (equal_n(base, n, name) || equal_n(base, stem, name))) return FITS_FILE;
    if (tail && equal_n(m->name + tail, repo - tail, name)) return FITS_TAIL_REPO;
    return FITS_NOT;
}

/* One of several that fit equally well: when they are files of one repository the usual kind, when they are one model in
 * several places the first. */
static jt_status one_of(const jt_store *s, const char *name, int rank, const jt_stored **out, jt_error *err) {
    const jt_stored *first = NULL, *usual = NULL;
    bool same = true, one_usual = true;
    jt_str all = {0};
    for (size_t i = 0; i < s->n; i++) {
        const jt_stored *m = &s->model[i];
        if (fit(m, name) != rank) continue;
        if (!first) first = m;
        same &= strcmp(first->name, m->name) == 0;
        if (strcasecmp(m->type, "Q4_K_M") == 0) {
            if (usual) one_usual &= strcmp(usual->name, m->name) == 0;
            if (!usual) usual = m;
        }
        if (all.n < 300) jt_str_printf(&all, "%s%s", all.n ? ", " : "", m->name);
    }
    *out = rank <= FITS_CASE || same ? first : one_usual ? usual : NULL;
    jt_status st = jt_str_check(&all, err);
    if (!st && !*out) st = jt_error_set(err, JT_INVALID, "%s: several models here are called so; name one of them: %s", name, all.s);
    jt_str_free(&all);
    return st;
}

static jt_status nearest(const jt_store *s, const char *name, jt_error *err) {
    jt_nearest near = {.to = name};
    for (size_t i = 0; i < s->n; i++) {
        const char *tail = strrchr(s->model[i].name, '/');
        jt_nearest_add(&near, s->model[i].name);
        if (tail) jt_nearest_add(&near, tail + 1);
    }
    for (const jt_known_model *k = jt_known_models; k->name; k++) jt_nearest_add(&near, k->name);
    const char *best = jt_nearest_get(&near);
    return jt_error_set(err, JT_UNKNOWN, "%s: no such file, nor a model known by that name%s%s%s", name, best ? "; did you mean \"" : "",
                        best ? best : "", best ? "\"?" : "");
}

jt_status jt_store_find(const jt_store *s, const char *name, const jt_stored **out, jt_error *err) {
    jt_hub_name parsed;
    jt_str plain = {0};
    if (!jt_hub_name_parse(name, &parsed, NULL)) {
        bool main = strcmp(parsed.revision, "main") == 0;
        jt_str_printf(&plain, "%s%s%s%s%s", parsed.repo, main ? "" : "@", main ? "" : parsed.revision, parsed.what[0] ? ":" : "",
                      parsed.what);
    }
    jt_status st = jt_str_check(&plain, err);
    int best = RANKS;
    const char *meant = name;
    for (int form = 0; form < 2 && !st && best == RANKS; form++) {
        if (form && !plain.n) break;
        meant = form ? plain.s : name;
        for (size_t i = 0; i < s->n; i++) {
            int rank = fit(&s->model[i], meant);
            if (rank && rank < best) best = rank;
        }
    }
    if (!st) st = best == RANKS ? nearest(s, name, err) : one_of(s, meant, best, out, err);
    jt_str_free(&plain);
    return st;
}

jt_status jt_store_remove(const jt_stored *m, uint64_t *freed, jt_error *err) {
    *freed = 0;
    if (m->repo) return jt_store_remove_hub(m, freed, err);
    if (m->kind == JT_STORE_OLLAMA)
        return jt_error_set(err, JT_UNSUPPORTED, "%s: belongs to Ollama, whose models share files; 'ollama rm %s' removes it", m->name,
                            m->name);
    jt_status s = jt_store_unlink(m->path, freed, err);
    static const char *const beside[] = {".checked", ".json", ".etag", NULL};
    for (int i = 0; beside[i] && !s; i++) {
        jt_str p = {0};
        jt_str_printf(&p, "%s%s", m->path, beside[i]);
        if (!p.failed) (void)unlink(p.s);
        jt_str_free(&p);
    }
    const char *slash = strrchr(m->path, '/');
    jt_str folder = {0};
    if (slash && m->kind == JT_STORE_LMSTUDIO) jt_str_add(&folder, m->path, (size_t)(slash - m->path));
    if (!s && folder.n) (void)rmdir(folder.s); /* when nothing else is in it */
    jt_str_free(&folder);
    return s;
}
