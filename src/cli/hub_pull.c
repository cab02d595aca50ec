/* Bringing a model of the hub: its list of files, which of them, what of that is here, the rest. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cli/hub.h"
#include "cli/out.h"
#include "cli/store.h"
#include "core/file.h"

typedef struct pull {
    jt_hub hub;
    jt_hub_name name;
    jt_hub_listing list;
    jt_hub_choice choice;
    bool check;
} pull;

/* The list in pages: each names the next in a header. */
static jt_status list_tree(pull *p, jt_http_answer *a, jt_error *err) {
    jt_str url = {0}, below = {0}, text = {0};
    jt_str_puts(&below, "/tree/");
    jt_http_escape(p->name.revision, strlen(p->name.revision), false, &below);
    jt_str_puts(&below, "?recursive=true");
    jt_hub_api_url(&p->hub, p->name.repo, jt_str_c(&below), &url);
    jt_status s = below.failed || url.failed ? jt_nomem(err, "an address", 1, 1) : JT_OK;
    for (int page = 0; !s && url.n && page < 1000; page++) {
        s = jt_hub_ask(&p->hub, url.s, &text, a, err);
        if (s || a->status / 100 != 2) break;
        s = jt_hub_listing_parse(text.s ? text.s : "", text.n, &p->list, err);
        jt_str_clear(&url);
        /* The next page is on the same hub, so the token may go there. */
        if (!s && strncmp(a->next, p->hub.endpoint.s, p->hub.endpoint.n) == 0 && a->next[p->hub.endpoint.n] == '/')
            jt_str_puts(&url, a->next);
        if (!s) s = jt_str_check(&url, err);
    }
    jt_str_free(&url), jt_str_free(&below), jt_str_free(&text);
    return s;
}

static jt_status list_files(pull *p, jt_http_answer *a, jt_error *err) {
    jt_str url = {0}, below = {0}, text = {0};
    jt_str_puts(&below, "/revision/");
    jt_http_escape(p->name.revision, strlen(p->name.revision), false, &below);
    jt_str_puts(&below, "?blobs=true");
    jt_hub_api_url(&p->hub, p->name.repo, jt_str_c(&below), &url);
    jt_status s = below.failed ? jt_str_check(&below, err) : jt_str_check(&url, err);
    if (!s) s = jt_hub_ask(&p->hub, url.s, &text, a, err);
    if (!s && a->status / 100 == 2)
        s = jt_hub_listing_parse(jt_str_c(&text), text.n, &p->list, err);
    else if (!s && a->status == 404 && !a->error_code[0])
        s = list_tree(p, a, err); /* hubs of others know only this form */
    if (!s && a->status / 100 != 2) s = jt_hub_refused(&p->hub, &p->name, "", a, err);
    jt_str_free(&url), jt_str_free(&below), jt_str_free(&text);
    return s;
}

/* A commit that the list does not name is in the headers of any file. */
static jt_status learn(pull *p, jt_error *err) {
    jt_status s = JT_OK;
    for (size_t i = 0; i < p->choice.n && !s; i++) {
        jt_hub_file *f = &p->list.file[p->choice.file[i]];
        if (f->size < 0 || !f->sum[0] || !p->list.commit[0]) s = jt_hub_learn(&p->hub, &p->name, p->list.commit, f, err);
    }
    return s;
}

static void place(const pull *p, const jt_hub_file *f, jt_str *pointer, jt_str *blob, jt_str *part) {
    jt_str_clear(pointer), jt_str_clear(blob), jt_str_clear(part);
    jt_hub_repo_folder(p->hub.cache.s, p->name.repo, pointer);
    jt_str_printf(pointer, "/snapshots/%s/%s", p->list.commit, f->path);
    jt_hub_repo_folder(p->hub.cache.s, p->name.repo, blob);
    jt_str_printf(blob, "/blobs/%s", f->sum);
    jt_str_printf(part, "%s.incomplete", jt_str_c(blob));
}

static bool whole(const char *path, const jt_hub_file *f) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (f->size < 0 || st.st_size == f->size);
}

/* With --check: a file that is not what its name promises is removed, so that it is brought again. */
static jt_status check_here(const pull *p, const jt_hub_file *f, const char *path, const char *blob, jt_error *err) {
    char mine[65];
    bool same = true;
    if (!p->check) return JT_OK;
    jt_status s = jt_hub_check(path, f->sum, mine, &same, err);
    if (s || same) return s;
    jt_say("%s is damaged; bringing it again", path);
    if (unlink(path) || (unlink(blob) && errno != ENOENT)) return jt_error_set(err, JT_IO, "%s: is damaged and cannot be removed", path);
    return JT_OK;
}

/* Marks what is to be brought in need[] and sums up its bytes. */
static jt_status look(pull *p, bool *need, size_t *count, uint64_t *bytes, jt_error *err) {
    jt_str pointer = {0}, blob = {0}, part = {0};
    jt_status s = JT_OK;
    *count = 0, *bytes = 0;
    for (size_t i = 0; i < p->choice.n && !s; i++) {
        const jt_hub_file *f = &p->list.file[p->choice.file[i]];
        struct stat st;
        place(p, f, &pointer, &blob, &part);
        if (pointer.failed || blob.failed || part.failed) s = jt_nomem(err, f->path, 1, 1);
        if (!s && whole(pointer.s, f)) s = check_here(p, f, pointer.s, blob.s, err);
        if (!s && !whole(pointer.s, f) && whole(blob.s, f)) {
            s = check_here(p, f, blob.s, blob.s, err);
            if (!s && whole(blob.s, f)) s = jt_hub_link(&p->hub, p->name.repo, p->list.commit, f, err);
        }
        if (s || whole(pointer.s, f)) continue;
        uint64_t here = stat(part.s, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0, size = f->size < 0 ? 0 : (uint64_t)f->size;
        need[i] = true, ++*count;
        if (size > here && !jt_add_u64(*bytes, size - here, bytes))
            s = jt_error_set(err, JT_FORMAT, "%s: its files have no size", p->name.repo);
    }
    jt_str_free(&pointer), jt_str_free(&blob), jt_str_free(&part);
    return s;
}

static jt_status check_space(const pull *p, uint64_t bytes, jt_error *err) {
    struct statvfs v;
    char need[32], have[32];
    jt_status s = jt_make_folder(p->hub.cache.s, err);
    if (s || statvfs(p->hub.cache.s, &v)) return s;
    uint64_t room = (uint64_t)v.f_bavail * v.f_frsize, want;
    if (!jt_add_u64(bytes, 16 << 20, &want) || want <= room) return JT_OK;
    return jt_error_set(err, JT_IO, "%s: %s needs %s of disk, and %s are free; make room, or set HF_HUB_CACHE to another disk",
                        p->hub.cache.s, p->name.repo, jt_size_text(bytes, need, sizeof need), jt_size_text(room, have, sizeof have));
}

static jt_status bring_files(pull *p, jt_error *err) {
    size_t count, at = 0;
    uint64_t bytes;
    char size[32];
    bool *need = jt_alloc(p->choice.n, sizeof *need);
    if (!need) return jt_nomem(err, "a list of files", p->choice.n, sizeof *need);
    jt_status s = look(p, need, &count, &bytes, err);
    if (!s && count) s = check_space(p, bytes, err);
    if (!s && count > 1) jt_say("bringing %zu files of %s, %s", count, p->name.repo, jt_size_text(bytes, size, sizeof size));
    for (size_t i = 0; i < p->choice.n && !s; i++)
        if (need[i]) s = jt_hub_fetch(&p->hub, &p->name, p->list.commit, &p->list.file[p->choice.file[i]], at++, count, err);
    jt_free(need);
    return s;
}

static jt_status write_ref(const pull *p, jt_error *err) {
    jt_str path = {0}, text = {0}, folder = {0};
    if (strcmp(p->name.revision, p->list.commit) == 0) return JT_OK;
    jt_hub_repo_folder(p->hub.cache.s, p->name.repo, &path);
    jt_str_printf(&path, "/refs/%s", p->name.revision);
    jt_str_puts(&text, p->list.commit);
    const char *slash = strrchr(jt_str_c(&path), '/');
    if (slash) jt_str_add(&folder, path.s, (size_t)(slash - path.s));
    jt_status s = path.failed || folder.failed ? jt_nomem(err, "a path", 1, 1) : jt_make_folder(jt_str_c(&folder), err);
    if (!s) s = jt_file_save(path.s, &text, err);
    jt_str_free(&path), jt_str_free(&text), jt_str_free(&folder);
    return s;
}

static jt_status give_path(const pull *p, jt_str *path, jt_error *err) {
    jt_hub_repo_folder(p->hub.cache.s, p->name.repo, path);
    jt_str_printf(path, "/snapshots/%s", p->list.commit);
    if (!p->choice.folder) jt_str_printf(path, "/%s", p->list.file[p->choice.file[0]].path);
    return jt_str_check(path, err);
}

/* What an earlier call brought, without asking anybody. */
static jt_status from_cache(const pull *p, const char *name, const char *why, jt_str *path, jt_error *err) {
    jt_store store = {0};
    const jt_stored *m = NULL;
    jt_error e;
    jt_status s = jt_store_scan_hub(&store, JT_STORE_HUB, p->hub.cache.s, err);
    if (!s && jt_store_find(&store, name, &m, &e)) s = jt_error_set(err, JT_NOTFOUND, "%s, and %s is not here", why, name);
    if (m) jt_str_puts(path, m->path);
    jt_store_free(&store);
    return s ? s : jt_str_check(path, err);
}

static jt_status pull_online(pull *p, const char *name, jt_str *path, jt_error *err) {
    jt_http_answer a = {0};
    jt_error e = {0};
    jt_status s = list_files(p, &a, &e);
    if (s == JT_IO && !a.reached) {
        jt_error none;
        if (!from_cache(p, name, e.message, path, &none)) {
            jt_say("%s; taking what is here, which may not be the newest", e.message);
            return JT_OK;
        }
    }
    if (s && err) *err = e;
    if (!s) s = jt_hub_choose(&p->list, p->name.repo, p->name.what, &p->choice, err);
    if (!s && p->list.commit[0] && jt_is_commit(p->name.revision) && strcmp(p->name.revision, p->list.commit) != 0)
        s = jt_error_set(err, JT_FORMAT, "%s: the hub's list is of commit %s", name, p->list.commit);
    if (!s) s = learn(p, err);
    if (!s) s = bring_files(p, err);
    if (!s) s = write_ref(p, err);
    if (!s) s = give_path(p, path, err);
    return s;
}

jt_status jt_hub_pull(const char *name, bool check, jt_str *path, jt_error *err) {
    pull p = {.check = check};
    jt_status s = jt_hub_name_parse(name, &p.name, err);
    if (s) return s;
    s = jt_hub_open(&p.hub, err);
    if (!s && p.hub.offline)
        s = from_cache(&p, name, "HF_HUB_OFFLINE is set", path, err);
    else if (!s)
        s = pull_online(&p, name, path, err);
    jt_hub_listing_free(&p.list);
    jt_hub_close(&p.hub);
    return s;
}
