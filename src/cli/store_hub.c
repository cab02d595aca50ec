/* The cache of huggingface_hub: snapshots of repositories as models, and removing them (cli/hub.h says how it is laid out). */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/hub.h"
#include "cli/store.h"
#include "core/file.h"

enum { MAX_DEPTH = 4 };

typedef struct ref {
    const char *name, *commit;
} ref;

/* A repository while it is looked at. */
typedef struct repo {
    jt_store *store;
    jt_store_kind kind;
    const char *folder, *name; /* CACHE/models--ORG--REPO, "ORG/REPO" */
    jt_arena arena;
    ref *ref;
    size_t n_ref, cap_ref;
    const char *main;   /* the commit that a name without a revision means */
    const char *newest; /* the snapshot changed last */
    int64_t newest_time;
    size_t first;         /* the repository's first model in the store */
    const char *snapshot; /* the one looked at */
    bool weights, config; /* of its own folder, not of those below */
    uint64_t bytes;
    int64_t used;
    int depth;
} repo;

static bool has_end(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n > m && strcasecmp(s + n - m, end) == 0;
}

/* ---- refs ---- */

static jt_status add_ref(void *self, const char *folder, const char *name, jt_error *err) {
    repo *r = self;
    jt_str path = {0}, text = {0};
    jt_str_printf(&path, "%s/%s", folder, name);
    jt_status s = jt_str_check(&path, err);
    struct stat st;
    if (!s && stat(path.s, &st) == 0 && S_ISDIR(st.st_mode) && r->depth < MAX_DEPTH) {
        r->depth++;
        s = jt_store_each(path.s, add_ref, r, err);
        r->depth--;
    } else if (!s && stat(path.s, &st) == 0 && S_ISREG(st.st_mode) && st.st_size < 200 && !jt_file_read(path.s, &text, NULL)) {
        while (text.n && strchr("\r\n ", text.s[text.n - 1])) text.s[--text.n] = 0;
        size_t skip = strlen(r->folder) + strlen("/refs/");
        if (jt_is_commit(jt_str_c(&text))) s = jt_grow((void **)&r->ref, &r->cap_ref, r->n_ref + 1, sizeof *r->ref, err);
        if (!s && jt_is_commit(jt_str_c(&text))) {
            ref *f = &r->ref[r->n_ref];
            f->name = jt_arena_copy(&r->arena, path.s + skip, path.n - skip);
            f->commit = jt_arena_copy(&r->arena, text.s, text.n);
            if (!f->name || !f->commit)
                s = jt_nomem(err, "a list of models", 1, 1);
            else if (++r->n_ref && strcmp(f->name, "main") == 0)
                r->main = f->commit;
        }
    }
    jt_str_free(&path), jt_str_free(&text);
    return s;
}

/* ---- snapshots ---- */

/* "ORG/REPO", with "@REVISION" for what is not the main snapshot. */
static void snapshot_name(const repo *r, jt_str *out) {
    jt_str_puts(out, r->name);
    if (r->main && strcmp(r->snapshot, r->main) == 0) return;
    for (size_t i = 0; i < r->n_ref; i++) {
        if (strcmp(r->ref[i].commit, r->snapshot) != 0) continue;
        jt_str_printf(out, "@%s", r->ref[i].name);
        return;
    }
    jt_str_printf(out, "@%.12s", r->snapshot);
}

/* True if a model of this repository that is in the store already has the same bytes. */
static bool there_already(const repo *r, const char *path) {
    struct stat a, b;
    if (stat(path, &a)) return false;
    for (size_t i = r->first; i < r->store->n; i++)
        if (stat(r->store->model[i].path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino) return true;
    return false;
}

static jt_status add_gguf(repo *r, const char *path, jt_error *err) {
    jt_str repo_name = {0}, name = {0}, also = {0}, kind = {0};
    const char *file = path + strlen(r->folder) + strlen("/snapshots/") + strlen(r->snapshot) + 1, *begin;
    jt_stored m = {.kind = r->kind, .path = path, .repo = r->folder};
    snapshot_name(r, &repo_name);
    jt_store_file_name(jt_str_c(&repo_name), file, &name);
    jt_str_printf(&also, "%s:%s", jt_str_c(&repo_name), file);
    size_t n = jt_gguf_kind_in_name(file, &begin);
    if (n) jt_str_add(&kind, begin, n);
    jt_status s = repo_name.failed || name.failed || also.failed || kind.failed ? jt_nomem(err, path, 1, 1) : JT_OK;
    m.name = jt_str_c(&name), m.also = jt_str_c(&also), m.type = jt_str_c(&kind);
    if (!s && jt_store_measure(path, &m.bytes, &m.used) && !there_already(r, path)) s = jt_store_add(r->store, &m, err);
    jt_str_free(&repo_name), jt_str_free(&name), jt_str_free(&also), jt_str_free(&kind);
    return s;
}

static jt_status add_file(void *self, const char *folder, const char *name, jt_error *err) {
    repo *r = self;
    jt_str path = {0};
    struct stat st;
    int part = 1, parts;
    size_t stem;
    jt_str_printf(&path, "%s/%s", folder, name);
    jt_status s = jt_str_check(&path, err);
    if (s || stat(path.s, &st)) {
    } else if (S_ISDIR(st.st_mode) && r->depth < MAX_DEPTH) {
        r->depth++;
        s = jt_store_each(path.s, add_file, r, err);
        r->depth--;
    } else if (S_ISREG(st.st_mode) && has_end(name, ".gguf")) {
        if (jt_gguf_is_model_name(name) && (!jt_gguf_part(name, &part, &parts, &stem) || part == 1)) s = add_gguf(r, path.s, err);
    } else if (S_ISREG(st.st_mode)) {
        r->bytes += (uint64_t)st.st_size;
        int64_t last = st.st_atim.tv_sec > st.st_mtim.tv_sec ? st.st_atim.tv_sec : st.st_mtim.tv_sec;
        if (last > r->used && has_end(name, ".safetensors")) r->used = last;
        if (!r->depth) r->weights |= has_end(name, ".safetensors");
        if (!r->depth) r->config |= strcmp(name, "config.json") == 0 || strcmp(name, "adapter_config.json") == 0;
    }
    jt_str_free(&path);
    return s;
}

static jt_status add_snapshot(repo *r, const char *commit, jt_error *err) {
    jt_str path = {0}, name = {0};
    r->snapshot = commit, r->weights = r->config = false, r->bytes = 0, r->used = 0;
    jt_str_printf(&path, "%s/snapshots/%s", r->folder, commit);
    snapshot_name(r, &name);
    jt_status s = path.failed || name.failed ? jt_nomem(err, commit, 1, 1) : jt_store_each(path.s, add_file, r, err);
    if (!s && r->weights && r->config) {
        jt_stored m = {r->kind, name.s, NULL, "safetensors", path.s, r->folder, r->bytes, r->used};
        s = jt_store_add(r->store, &m, err);
    }
    jt_str_free(&path), jt_str_free(&name);
    return s;
}

static jt_status add_other(void *self, const char *folder, const char *name, jt_error *err) {
    repo *r = self;
    (void)folder;
    return jt_is_commit(name) && strcmp(name, r->main) != 0 ? add_snapshot(r, name, err) : JT_OK;
}

static jt_status find_newest(void *self, const char *folder, const char *name, jt_error *err) {
    repo *r = self;
    struct stat st;
    jt_str path = {0};
    jt_str_printf(&path, "%s/%s", folder, name);
    jt_status s = jt_str_check(&path, err);
    if (!s && jt_is_commit(name) && stat(path.s, &st) == 0 && (!r->newest || st.st_mtim.tv_sec > r->newest_time)) {
        r->newest_time = st.st_mtim.tv_sec;
        r->newest = jt_arena_copy(&r->arena, name, strlen(name));
        if (!r->newest) s = jt_nomem(err, name, 1, 1);
    }
    jt_str_free(&path);
    return s;
}

typedef struct scan {
    jt_store *store;
    jt_store_kind kind;
} scan;

static jt_status add_repo(void *self, const char *cache, const char *name, jt_error *err) {
    const scan *c = self;
    if (strncmp(name, "models--", 8) != 0) return JT_OK;
    jt_str folder = {0}, id = {0}, refs = {0}, snapshots = {0};
    const char *rest = name + 8, *dashes = strstr(rest, "--");
    jt_str_printf(&folder, "%s/%s", cache, name);
    jt_str_printf(&refs, "%s/refs", jt_str_c(&folder));
    jt_str_printf(&snapshots, "%s/snapshots", jt_str_c(&folder));
    jt_str_add(&id, rest, dashes ? (size_t)(dashes - rest) : strlen(rest));
    if (dashes) jt_str_printf(&id, "/%s", dashes + 2);
    repo r = {.store = c->store, .kind = c->kind, .folder = jt_str_c(&folder), .name = jt_str_c(&id), .first = c->store->n};
    jt_status s = folder.failed || id.failed || refs.failed || snapshots.failed ? jt_nomem(err, name, 1, 1) : JT_OK;
    if (!s) s = jt_store_each(refs.s, add_ref, &r, err);
    if (!s && !r.main) s = jt_store_each(snapshots.s, find_newest, &r, err);
    if (!r.main) r.main = r.newest;
    if (!s && r.main) s = add_snapshot(&r, r.main, err);
    if (!s && r.main) s = jt_store_each(snapshots.s, add_other, &r, err);
    jt_free(r.ref);
    jt_arena_free(&r.arena);
    jt_str_free(&folder), jt_str_free(&id), jt_str_free(&refs), jt_str_free(&snapshots);
    return s;
}

jt_status jt_store_scan_hub(jt_store *s, jt_store_kind kind, const char *cache, jt_error *err) {
    scan c = {s, kind};
    return jt_store_each(cache, add_repo, &c, err);
}

/* ---- removing ---- */

typedef struct removal {
    jt_str snapshot, blobs; /* CACHE/models--ORG--REPO/snapshots/COMMIT and .../blobs */
    const char **blob;      /* that links led to */
    size_t n, cap;
    bool *used; /* by a link that is still there */
    size_t commits;
    jt_arena arena;
    uint64_t freed;
    int depth;
} removal;

/* Removes one file of a snapshot, and notes the blob that it led to. */
static jt_status remove_pointer(removal *r, const char *path, jt_error *err) {
    struct stat st;
    if (lstat(path, &st)) return JT_OK;
    char *to = S_ISLNK(st.st_mode) ? realpath(path, NULL) : NULL;
    jt_status s = JT_OK;
    if (to && strncmp(to, r->blobs.s, r->blobs.n) == 0 && to[r->blobs.n] == '/' && !strchr(to + r->blobs.n + 1, '/')) {
        s = jt_grow((void **)&r->blob, &r->cap, r->n + 1, sizeof *r->blob, err);
        if (!s && !(r->blob[r->n++] = jt_arena_copy(&r->arena, to, strlen(to)))) s = jt_nomem(err, path, 1, 1);
    }
    free(to);
    if (!s && unlink(path)) s = jt_error_set(err, JT_IO, "%s: cannot be removed; is the folder writable?", path);
    if (!s && S_ISREG(st.st_mode)) r->freed += (uint64_t)st.st_size;
    return s;
}

typedef jt_status removal_step(void *self, const char *folder, const char *name, jt_error *err);

/* One name below snapshots: `again` for what is in a folder, which goes when nothing is left in it, `file` for anything else. */
static jt_status remove_walk(removal *r, const char *folder, const char *name, removal_step *again,
                             jt_status (*file)(removal *r, const char *path, jt_error *err), jt_error *err) {
    jt_str path = {0};
    struct stat st;
    jt_str_printf(&path, "%s/%s", folder, name);
    jt_status s = jt_str_check(&path, err);
    if (!s && lstat(path.s, &st) == 0) {
        if (!S_ISDIR(st.st_mode)) {
            s = file(r, path.s, err);
        } else if (r->depth == 2 * MAX_DEPTH) {
            s = jt_error_set(err, JT_LIMIT, "%s: folders nest too deeply; nothing more is removed", path.s);
        } else {
            r->depth++;
            s = jt_store_each(path.s, again, r, err);
            r->depth--;
            (void)rmdir(path.s);
        }
    }
    jt_str_free(&path);
    return s;
}

/* All of a snapshot but GGUF files, which are models by themselves. */
static jt_status remove_other(removal *r, const char *path, jt_error *err) {
    return has_end(path, ".gguf") ? JT_OK : remove_pointer(r, path, err);
}
static jt_status remove_file(void *self, const char *folder, const char *name, jt_error *err) {
    return remove_walk(self, folder, name, remove_file, remove_other, err);
}

static jt_status remove_parts(removal *r, const char *path, jt_error *err) {
    int part, parts;
    size_t stem;
    if (!jt_gguf_part(path, &part, &parts, &stem)) return remove_pointer(r, path, err);
    jt_status s = JT_OK;
    for (int i = 1; i <= parts && !s; i++) {
        jt_str p = {0};
        jt_str_add(&p, path, stem);
        jt_str_printf(&p, "-%05d-of-%05d.gguf", i, parts);
        s = jt_str_check(&p, err);
        if (!s) s = remove_pointer(r, p.s, err);
        jt_str_free(&p);
    }
    return s;
}

/* Marks the blob that a link of any snapshot still leads to. */
static jt_status mark_blob(removal *r, const char *path, jt_error *err) {
    char *to = realpath(path, NULL);
    (void)err;
    for (size_t i = 0; to && i < r->n; i++) r->used[i] |= strcmp(r->blob[i], to) == 0;
    free(to);
    r->commits++;
    return JT_OK;
}
static jt_status mark_used(void *self, const char *folder, const char *name, jt_error *err) {
    return remove_walk(self, folder, name, mark_used, mark_blob, err);
}

/* Refs to the commit whose snapshot is gone. */
static jt_status remove_ref(void *self, const char *folder, const char *name, jt_error *err) {
    const removal *r = self;
    const char *commit = strrchr(r->snapshot.s, '/') + 1;
    jt_str path = {0}, text = {0};
    struct stat st;
    jt_str_printf(&path, "%s/%s", folder, name);
    jt_status s = jt_str_check(&path, err);
    if (!s && lstat(path.s, &st) == 0 && S_ISDIR(st.st_mode))
        s = jt_store_each(path.s, remove_ref, self, err);
    else if (!s && !jt_file_read(path.s, &text, NULL) && strncmp(jt_str_c(&text), commit, strlen(commit)) == 0)
        (void)unlink(path.s);
    jt_str_free(&path), jt_str_free(&text);
    return s;
}

static jt_status sweep(removal *r, const char *repo_folder, jt_error *err) {
    jt_str snapshots = {0}, refs = {0};
    jt_str_printf(&snapshots, "%s/snapshots", repo_folder);
    jt_str_printf(&refs, "%s/refs", repo_folder);
    r->used = jt_alloc(r->n, sizeof *r->used);
    jt_status s = snapshots.failed || refs.failed || !r->used ? jt_nomem(err, repo_folder, 1, 1) : JT_OK;
    if (!s) s = jt_store_each(snapshots.s, mark_used, r, err);
    for (size_t i = 0; i < r->n && !s; i++) {
        struct stat st;
        bool file = stat(r->blob[i], &st) == 0;
        if (!r->used[i] && file && unlink(r->blob[i]) == 0) r->freed += (uint64_t)st.st_size;
    }
    if (!s && !jt_is_folder(r->snapshot.s)) s = jt_store_each(refs.s, remove_ref, r, err);
    jt_free(r->used);
    jt_str_free(&snapshots), jt_str_free(&refs);
    return s;
}

/* With the last file of a repository goes what is left of it: refs, unfinished files, locks. */
static jt_status remove_rest(const char *repo_folder, jt_error *err) {
    jt_str locks = {0};
    const char *slash = strrchr(repo_folder, '/');
    if (slash) jt_str_printf(&locks, "%.*s/.locks%s", (int)(slash - repo_folder), repo_folder, slash);
    jt_status s = jt_str_check(&locks, err);
    if (!s) jt_remove_tree(repo_folder);
    if (!s && locks.n) jt_remove_tree(locks.s);
    jt_str_free(&locks);
    return s;
}

jt_status jt_store_remove_hub(const jt_stored *m, uint64_t *freed, jt_error *err) {
    removal r = {0};
    jt_str prefix = {0};
    char *real = realpath(m->repo, NULL);
    jt_str_printf(&r.blobs, "%s/blobs", real ? real : m->repo);
    jt_str_printf(&prefix, "%s/snapshots/", m->repo);
    size_t at = prefix.n, end = at < strlen(m->path) ? at + strcspn(m->path + at, "/") : 0;
    if (end) jt_str_add(&r.snapshot, m->path, end);
    jt_status s = r.blobs.failed || prefix.failed || r.snapshot.failed ? jt_nomem(err, m->path, 1, 1) : JT_OK;
    free(real);
    if (!s && (!end || strncmp(m->path, prefix.s, at) != 0)) s = jt_error_set(err, JT_INVALID, "%s: lies in no snapshot", m->path);
    if (!s && m->path[end])
        s = remove_parts(&r, m->path, err);
    else if (!s)
        s = jt_store_each(m->path, remove_file, &r, err);
    if (!s) s = sweep(&r, m->repo, err);
    if (!s && !r.commits) s = remove_rest(m->repo, err);
    *freed = r.freed;
    jt_free(r.blob);
    jt_arena_free(&r.arena);
    jt_str_free(&r.blobs), jt_str_free(&r.snapshot), jt_str_free(&prefix);
    return s;
}
