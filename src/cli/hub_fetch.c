/* Bringing one file of the hub: resumed where it broke off, checked, and only then given its name. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/hub.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/progress.h"
#include "core/file.h"
#include "core/hash.h"

enum { PIECE = 1 << 18, SAY_EVERY = 10 };

static jt_status sys(jt_error *err, const char *path, const char *what) {
    char text[128];
    const char *why = strerror_r(errno, text, sizeof text);
    return jt_error_set(err, JT_IO, "%s: cannot %s: %s", path, what, why);
}

/* ---- sums ---- */

/* SHA-256 of the bytes, or (40 digits) SHA-1 of "blob SIZE\0" and the bytes. */
typedef struct sum {
    bool git;
    jt_sha256 sha256;
    jt_sha1 sha1;
} sum;

static void sum_begin(sum *s, const char *want, uint64_t size) {
    s->git = strlen(want) == 40;
    if (s->git) {
        char head[32];
        int n = snprintf(head, sizeof head, "blob %llu", (unsigned long long)size);
        jt_sha1_init(&s->sha1);
        jt_sha1_add(&s->sha1, head, (size_t)n + 1);
    } else {
        jt_sha256_init(&s->sha256);
    }
}

static void sum_add(sum *s, const void *p, size_t n) {
    if (s->git)
        jt_sha1_add(&s->sha1, p, n);
    else
        jt_sha256_add(&s->sha256, p, n);
}

static void sum_end(sum *s, char out[65]) {
    uint8_t digest[32];
    if (s->git)
        jt_sha1_end(&s->sha1, digest);
    else
        jt_sha256_end(&s->sha256, digest);
    jt_hex(digest, s->git ? 20 : 32, out);
}

/* Adds the first `size` bytes of a file, with a progress bar. */
static jt_status sum_file(sum *sm, int fd, const char *path, uint64_t size, jt_error *err) {
    uint8_t *buf = jt_alloc(PIECE, 1);
    if (!buf) return jt_nomem(err, path, PIECE, 1);
    jt_progress bar;
    jt_status s = JT_OK;
    jt_progress_begin(&bar, "checking");
    for (uint64_t at = 0; at < size && !s;) {
        size_t want = size - at < PIECE ? (size_t)(size - at) : PIECE;
        ssize_t got = pread(fd, buf, want, (off_t)at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0)
            s = sys(err, path, "read");
        else if (got == 0)
            s = jt_error_set(err, JT_IO, "%s: became shorter while it was read", path);
        else
            sum_add(sm, buf, (size_t)got), at += (uint64_t)got;
        jt_progress_set(&bar, (double)at / (double)size, NULL);
        if (!s && jt_interrupted()) s = jt_error_set(err, JT_CANCELLED, "interrupted");
    }
    jt_progress_end(&bar);
    jt_free(buf);
    return s;
}

jt_status jt_hub_check(const char *path, const char *want, char *mine, bool *same, jt_error *err) {
    struct stat st;
    sum sm;
    char hex[65];
    *same = true;
    if (!jt_is_commit(want)) return JT_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return sys(err, path, "open");
    jt_status s = fstat(fd, &st) ? sys(err, path, "stat") : JT_OK;
    if (!s) {
        sum_begin(&sm, want, (uint64_t)st.st_size);
        s = sum_file(&sm, fd, path, (uint64_t)st.st_size, err);
    }
    close(fd);
    if (s) return s;
    sum_end(&sm, hex);
    *same = strcmp(hex, want) == 0;
    if (mine) memcpy(mine, hex, sizeof hex);
    return JT_OK;
}

/* ---- the part that is here ---- */

typedef struct part {
    const jt_hub_file *f;
    const char *path; /* of the unfinished file */
    int fd;
    uint64_t have; /* bytes of it that are here and in the sum */
    sum sum;
    bool resumed, again; /* a range was asked for; what came is to be thrown away */
    char etag[160];      /* of the host that gave the bytes; "": not known, or weak */
    jt_progress bar;
    double began, said;
    uint64_t began_at;
} part;

static jt_status part_restart(part *p, jt_error *err) {
    if (ftruncate(p->fd, 0) || lseek(p->fd, 0, SEEK_SET) < 0) return sys(err, p->path, "empty");
    p->have = 0;
    p->etag[0] = 0;
    p->again = false;
    p->bar.from = 0;
    p->began = jt_seconds(), p->began_at = 0;
    sum_begin(&p->sum, p->f->sum, p->f->size < 0 ? 0 : (uint64_t)p->f->size);
    return JT_OK;
}

static void part_tell(part *p) {
    char note[64], left[32] = "", has[32], all[32];
    double now = jt_seconds(), took = now - p->began, size = (double)p->f->size,
           speed = took > 0 ? (double)(p->have - p->began_at) / took : 0;
    if (p->bar.terminal) {
        snprintf(note, sizeof note, "%.1f MB/s", speed / 1e6);
        if (p->f->size > 0) jt_progress_set(&p->bar, (double)p->have / size, note);
        return;
    }
    if (now - p->said < SAY_EVERY) return;
    p->said = now;
    if (p->f->size > 0 && speed > 0) snprintf(left, sizeof left, ", %.0f s left", (size - (double)p->have) / speed);
    jt_say("%s: %s of %s, %.1f MB/s%s", p->f->path, jt_size_text(p->have, has, sizeof has),
           jt_size_text(p->f->size < 0 ? p->have : (uint64_t)p->f->size, all, sizeof all), speed / 1e6, left);
}

static jt_status on_begin(void *self, const jt_http_answer *a, jt_error *err) {
    part *p = self;
    jt_status s = JT_OK;
    int64_t whole = a->status == 206 ? a->total : a->length;
    if (a->status == 206 && (a->from < 0 || (uint64_t)a->from != p->have)) {
        p->again = true;
        return jt_error_set(err, JT_IO, "%s: sends another part of %s than was asked for", a->host, p->f->path);
    }
    if (a->status != 206 && p->have) {
        if (p->etag[0] && !a->weak && a->etag[0] && strcmp(p->etag, a->etag) == 0)
            jt_say("%s sends no parts of files: %s begins anew", a->host, p->f->path);
        else
            jt_say("%s begins anew", p->f->path);
        s = part_restart(p, err);
    }
    if (!s && p->f->size >= 0 && whole >= 0 && whole != p->f->size)
        s = jt_error_set(err, JT_FORMAT, "%s: %s has %lld bytes there and %lld in the hub's list; try again later", a->host, p->f->path,
                         (long long)whole, (long long)p->f->size);
    p->etag[0] = 0;
    if (!a->weak) memcpy(p->etag, a->etag, sizeof p->etag);
    return s;
}

static jt_status write_all(part *p, const char *b, size_t n, jt_error *err) {
    char has[32];
    while (n) {
        ssize_t w = write(p->fd, b, n);
        if (w < 0 && errno == EINTR) continue;
        if (w < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
            return jt_error_set(err, JT_IO,
                                "%s: the disk is full (or a limit is reached) after %s; what came is kept: make room and call again",
                                p->path, jt_size_text(p->have, has, sizeof has));
        if (w < 0) return sys(err, p->path, "write");
        sum_add(&p->sum, b, (size_t)w);
        p->have += (uint64_t)w;
        b += w, n -= (size_t)w;
    }
    return JT_OK;
}

static jt_status on_data(void *self, const void *b, size_t n, jt_error *err) {
    part *p = self;
    if (p->f->size >= 0 && n > (uint64_t)p->f->size - p->have) {
        p->again = true;
        return jt_error_set(err, JT_FORMAT, "%s: more comes than the %lld bytes of the hub's list", p->f->path, (long long)p->f->size);
    }
    jt_status s = write_all(p, b, n, err);
    part_tell(p);
    return s;
}

/* Asks for what is missing, as often as it takes. */
static jt_status bring(jt_hub *h, const jt_hub_name *name, const char *url, part *p, jt_error *err) {
    for (int attempt = 1, restarts = 0;;) {
        if (p->f->size >= 0 && p->have == (uint64_t)p->f->size) return JT_OK;
        jt_http_request r = {.url = url, .token = jt_str_c(&h->token), .from = p->have, .begin = on_begin, .data = on_data, .self = p};
        char etag[sizeof p->etag], why[512];
        memcpy(etag, p->etag, sizeof etag);
        if (etag[0]) r.if_range = etag;
        jt_http_answer a;
        jt_error e = {0};
        uint64_t before = p->have;
        p->resumed |= before > 0;
        jt_status s = jt_http_get(h->http, &r, &a, &e);
        if (!s && a.status / 100 == 2 && (p->f->size < 0 || p->have == (uint64_t)p->f->size)) return JT_OK;
        if (!s && a.status == 416 && before && !restarts++) {
            if ((s = part_restart(p, err))) return s;
            continue;
        }
        if (!s && a.status / 100 == 2)
            snprintf(why, sizeof why, "%s ended %s too early", a.host, p->f->path);
        else if (!s && a.transient)
            snprintf(why, sizeof why, "%s answers with status %d", a.host, a.status);
        else if (!s)
            return jt_hub_refused(h, name, p->f->path, &a, err);
        else if (s == JT_IO && a.transient)
            snprintf(why, sizeof why, "%s", e.message);
        else if (p->again && before && !restarts++) {
            if ((s = part_restart(p, err))) return s;
            continue;
        } else {
            if (p->again) (void)ftruncate(p->fd, 0);
            if (err) *err = e;
            return s;
        }
        attempt = p->have > before ? 1 : attempt + 1;
        if (attempt > JT_HUB_ATTEMPTS)
            return jt_error_set(err, JT_IO, "%s; given up after %d attempts (what came is kept: the same command goes on)", why,
                                JT_HUB_ATTEMPTS);
        jt_progress_end(&p->bar);
        if ((s = jt_hub_wait(h, attempt > 1 ? attempt - 1 : 1, &a, why, err))) return s;
    }
}

/* ---- locks and places ---- */

/* huggingface_hub locks the same file. Whoever had it may have removed it. */
static jt_status lock_blob(const jt_hub *h, const char *repo, const char *blob, int *fd, jt_error *err) {
    jt_str path = {0}, folder = {0};
    jt_hub_repo_folder("", repo, &folder);
    jt_str_printf(&path, "%s/.locks%s", h->cache.s, jt_str_c(&folder));
    jt_status s = folder.failed ? jt_str_check(&folder, err) : jt_str_check(&path, err);
    if (!s) s = jt_make_folder(path.s, err);
    jt_str_printf(&path, "/%s.lock", blob);
    if (!s) s = jt_str_check(&path, err);
    *fd = -1;
    bool told = false;
    while (!s && *fd < 0) {
        struct stat mine, there;
        *fd = open(path.s, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (*fd < 0) {
            s = sys(err, path.s, "open");
            break;
        }
        while (!s && flock(*fd, told ? LOCK_EX : LOCK_EX | LOCK_NB)) {
            if (errno == EWOULDBLOCK && !told)
                jt_say("waiting for another process that is bringing the same file"), told = true;
            else if (errno == ENOLCK || errno == EOPNOTSUPP || errno == ENOSYS)
                break; /* a file system without locks */
            else if (errno != EINTR)
                s = sys(err, path.s, "lock");
            if (!s && jt_interrupted()) s = jt_error_set(err, JT_CANCELLED, "interrupted");
        }
        bool gone = fstat(*fd, &mine) || stat(path.s, &there) || mine.st_ino != there.st_ino || mine.st_dev != there.st_dev;
        if (s || gone) close(*fd), *fd = -1;
    }
    jt_str_free(&folder);
    jt_str_free(&path);
    return s;
}

static void blob_path(const jt_hub *h, const char *repo, const char *blob, const char *end, jt_str *out) {
    jt_hub_repo_folder(h->cache.s, repo, out);
    jt_str_printf(out, "/blobs/%s%s", blob, end);
}

jt_status jt_hub_link(const jt_hub *h, const char *repo, const char *commit, const jt_hub_file *f, jt_error *err) {
    jt_str path = {0}, target = {0}, temp = {0}, folder = {0}, blob = {0};
    jt_hub_repo_folder(h->cache.s, repo, &path);
    jt_str_printf(&path, "/snapshots/%s/%s", commit, f->path);
    jt_str_puts(&target, "../../");
    for (const char *p = f->path; *p; p++)
        if (*p == '/') jt_str_puts(&target, "../");
    jt_str_printf(&target, "blobs/%s", f->sum);
    jt_str_printf(&temp, "%s.%lld.link", jt_str_c(&path), (long long)getpid());
    blob_path(h, repo, f->sum, "", &blob);
    const char *slash = strrchr(jt_str_c(&path), '/');
    if (slash) jt_str_add(&folder, path.s, (size_t)(slash - path.s));
    bool failed = path.failed || target.failed || temp.failed || folder.failed || blob.failed || !slash;
    jt_status s = failed ? jt_nomem(err, f->path, 1, 1) : jt_make_folder(folder.s, err);
    if (!s) {
        (void)unlink(temp.s);
        if (symlink(target.s, temp.s)) {
            /* A file system without links: the file itself takes the place. */
            if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS)
                s = sys(err, temp.s, "make the link");
            else if (rename(blob.s, path.s))
                s = sys(err, path.s, "put in place");
        } else if (rename(temp.s, path.s)) {
            s = sys(err, path.s, "put in place");
            (void)unlink(temp.s);
        }
    }
    jt_str_free(&path), jt_str_free(&target), jt_str_free(&temp), jt_str_free(&folder), jt_str_free(&blob);
    return s;
}

/* ---- the whole ---- */

/* Opens the unfinished file and takes what is there into the sum. */
static jt_status part_open(part *p, jt_error *err) {
    struct stat st;
    p->fd = open(p->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (p->fd < 0) return sys(err, p->path, "open");
    if (fstat(p->fd, &st)) return sys(err, p->path, "stat");
    if (!S_ISREG(st.st_mode)) return jt_error_set(err, JT_IO, "%s: is no ordinary file", p->path);
    jt_status s = JT_OK;
    uint64_t here = (uint64_t)st.st_size;
    if (p->f->size < 0 || here > (uint64_t)p->f->size) {
        s = part_restart(p, err);
    } else {
        sum_begin(&p->sum, p->f->sum, (uint64_t)p->f->size);
        if (here) s = sum_file(&p->sum, p->fd, p->path, here, err);
        if (!s && lseek(p->fd, (off_t)here, SEEK_SET) < 0) s = sys(err, p->path, "read");
        p->have = here;
        p->resumed = here > 0;
    }
    return s;
}

static jt_status part_bring(jt_hub *h, const jt_hub_name *name, const char *url, part *p, jt_error *err) {
    char mine[65];
    for (int attempt = 0;; attempt++) {
        jt_progress_begin(&p->bar, "bringing");
        p->bar.from = p->f->size > 0 ? (double)p->have / (double)p->f->size : 0;
        p->began = p->said = jt_seconds(), p->began_at = p->have;
        jt_status s = bring(h, name, url, p, err);
        jt_progress_end(&p->bar);
        if (s) return s;
        sum_end(&p->sum, mine);
        if (p->sum.git && p->f->size < 0) {
            bool same;
            if ((s = jt_hub_check(p->path, p->f->sum, mine, &same, err))) return s;
        }
        if (strcmp(mine, p->f->sum) == 0) return JT_OK;
        if (!p->resumed || attempt) {
            (void)unlink(p->path);
            return jt_error_set(err, JT_FORMAT, "%s: damaged on its way: its sum is %s, not %s; it is thrown away, try again", p->f->path,
                                mine, p->f->sum);
        }
        jt_say("%s: the parts do not fit together; it is brought again as a whole", p->f->path);
        if ((s = part_restart(p, err))) return s;
        p->resumed = false;
    }
}

static jt_status fetch_locked(jt_hub *h, const jt_hub_name *name, const char *commit, const jt_hub_file *f, const char *blob,
                              const char *path, jt_error *err) {
    part p = {.f = f, .path = path, .fd = -1};
    jt_str url = {0};
    struct stat st;
    jt_status s = JT_OK;
    if (stat(blob, &st) == 0 && S_ISREG(st.st_mode) && (f->size < 0 || st.st_size == f->size))
        return JT_OK; /* another process was faster */
    if (!h->http) s = jt_http_new(h->timeout, &h->http, err);
    jt_hub_file_url(h, name->repo, commit, f->path, &url);
    if (!s) s = jt_str_check(&url, err);
    if (!s) s = part_open(&p, err);
    if (!s) s = part_bring(h, name, url.s, &p, err);
    if (!s && fsync(p.fd)) s = sys(err, path, "write to disk");
    if (p.fd >= 0 && close(p.fd) && !s) s = sys(err, path, "write to disk");
    if (!s && rename(path, blob)) s = sys(err, blob, "put in place");
    jt_str_free(&url);
    return s;
}

jt_status jt_hub_fetch(jt_hub *h, const jt_hub_name *name, const char *commit, const jt_hub_file *f, size_t at, size_t of, jt_error *err) {
    jt_str blob = {0}, path = {0}, folder = {0};
    char size[32], count[48] = "";
    int lock;
    jt_hub_repo_folder(h->cache.s, name->repo, &folder);
    jt_str_puts(&folder, "/blobs");
    blob_path(h, name->repo, f->sum, "", &blob);
    blob_path(h, name->repo, f->sum, ".incomplete", &path);
    if (of > 1) snprintf(count, sizeof count, " (%zu of %zu)", at + 1, of);
    jt_status s = blob.failed || path.failed || folder.failed ? jt_nomem(err, f->path, 1, 1) : jt_make_folder(folder.s, err);
    if (!s) s = lock_blob(h, name->repo, f->sum, &lock, err);
    if (!s) {
        jt_say("bringing %s%s%s%s", f->path, count, f->size < 0 ? "" : ", ",
               f->size < 0 ? "" : jt_size_text((uint64_t)f->size, size, sizeof size));
        s = fetch_locked(h, name, commit, f, blob.s, path.s, err);
        if (!s) s = jt_hub_link(h, name->repo, commit, f, err);
        close(lock);
    }
    jt_str_free(&blob), jt_str_free(&path), jt_str_free(&folder);
    return s;
}
