#include "core/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/hash.h"
#include "core/mem.h"

static jt_status sys(jt_error *err, const char *path, const char *what) {
    int e = errno;
    char text[128];
    const char *why = strerror_r(e, text, sizeof text);
    return jt_error_set(err, e == ENOENT ? JT_NOTFOUND : e == ENOMEM ? JT_NOMEM : JT_IO, "%s: cannot %s: %s", path, what, why);
}

jt_status jt_map_open(const char *path, jt_map *out, jt_error *err) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* or a pipe that nobody writes to would be waited for */
    if (fd < 0) return sys(err, path, "open");
    if (fstat(fd, &st)) {
        jt_status s = sys(err, path, "stat");
        close(fd);
        return s;
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return jt_error_set(err, JT_INVALID, "%s: is %s, not an ordinary file; name one", path,
                            S_ISDIR(st.st_mode) ? "a folder" : "a device or pipe");
    }
    if ((uintmax_t)st.st_size > SIZE_MAX) {
        close(fd);
        return jt_error_set(err, JT_LIMIT, "%s: larger than this machine can address", path);
    }
    jt_map m = {(const uint8_t *)"", (size_t)st.st_size, NULL};
    if (m.n) {
        m.base = mmap(NULL, m.n, PROT_READ, MAP_SHARED, fd, 0);
        if (m.base == MAP_FAILED) {
            jt_status s = sys(err, path, "map");
            close(fd);
            return s;
        }
        m.p = m.base;
    }
    close(fd);
    *out = m;
    return JT_OK;
}

jt_status jt_map_lock(const jt_map *m, jt_error *err) {
    if (m->base && mlock(m->base, m->n))
        return jt_error_set(err, JT_LIMIT, "cannot lock %zu bytes in memory: %s; raise the limit (ulimit -l) or leave out --mlock", m->n,
                            errno == ENOMEM || errno == EPERM ? "over the limit of locked memory" : "refused by the system");
    return JT_OK;
}

void jt_map_close(jt_map *m) {
    if (m->base) munmap(m->base, m->n);
    *m = (jt_map){0};
}

void jt_map_release(const void *p, size_t n) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), a = ((uintptr_t)p + page - 1) & ~(page - 1), b = ((uintptr_t)p + n) & ~(page - 1);
    if (b > a) (void)madvise((void *)a, b - a, MADV_DONTNEED);
}

jt_status jt_file_read(const char *path, jt_str *out, jt_error *err) {
    bool in = strcmp(path, "-") == 0;
    FILE *f = in ? stdin : fopen(path, "rbe");
    if (!f) return sys(err, path, "open");
    char buf[65536];
    size_t got;
    while ((got = fread(buf, 1, sizeof buf, f)) > 0) jt_str_add(out, buf, got);
    jt_status s = ferror(f) ? sys(err, in ? "standard input" : path, "read") : jt_str_check(out, err);
    if (in)
        clearerr(f);
    else
        fclose(f);
    return s;
}

/* A new file in the same folder, with the mode that any new file gets. (mkstemp gives
 * 0600, and the mask can only be read by setting it, for all threads.) When the system
 * refuses, w->f stays NULL and errno says why. */
static jt_status create_beside(const char *path, jt_writer *w, jt_error *err) {
    struct timespec t;
    for (unsigned attempt = 0; attempt < 100; attempt++) {
        clock_gettime(CLOCK_REALTIME, &t);
        uint64_t h = jt_hash_u64(jt_hash_u64((uint64_t)t.tv_nsec, (uint64_t)t.tv_sec), (uint64_t)getpid() << 32 | attempt);
        jt_str u = {0};
        jt_str_printf(&u, "%s.%08x.part", path, (unsigned)(h & 0xffffffff));
        if (u.failed) {
            jt_str_free(&u);
            return jt_nomem(err, path, strlen(path) + 16, 1);
        }
        int fd = open(u.s, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0) {
            w->temp = u.s;
            w->f = fdopen(fd, "wb");
            if (!w->f) close(fd), unlink(w->temp);
            return JT_OK;
        }
        int e = errno;
        jt_str_free(&u);
        errno = e;
        if (e != EEXIST) break;
    }
    return JT_OK;
}

jt_status jt_file_create(const char *path, jt_writer *out, jt_error *err) {
    struct stat st, link;
    bool exists = stat(path, &st) == 0;
    if (exists && S_ISDIR(st.st_mode)) return jt_error_set(err, JT_INVALID, "%s: is a folder; name a file in it", path);
    /* A file may lie behind /dev/stderr too; what is renamed over would be the system's own link. */
    bool system = strncmp(path, "/dev/", 5) == 0 || strncmp(path, "/proc/", 6) == 0;
    bool linked = lstat(path, &link) == 0 && S_ISLNK(link.st_mode);
    bool place = system || (linked && !exists) || (exists && !S_ISREG(st.st_mode));
    jt_writer w = {0};
    jt_str t = {0};
    char *target = linked && !place ? realpath(path, NULL) : NULL;
    jt_str_puts(&t, target ? target : path);
    free(target);
    w.path = t.s;
    if (t.failed || !w.path) {
        jt_str_free(&t);
        return jt_nomem(err, path, strlen(path) + 1, 1);
    }
    if (place) {
        w.f = fopen(path, system && exists && S_ISREG(st.st_mode) ? "abe" : "wbe");
    } else {
        jt_status s = create_beside(path, &w, err);
        if (s == JT_NOMEM) {
            jt_free(w.path);
            return s;
        }
    }
    if (!w.f) {
        jt_status s = sys(err, path, "create");
        jt_free(w.path), jt_free(w.temp);
        return s;
    }
    *out = w;
    return JT_OK;
}

jt_status jt_file_write(jt_writer *w, const void *p, size_t n, jt_error *err) {
    if (n && fwrite(p, 1, n, w->f) != n) {
        w->failed = true;
        return sys(err, w->path, "write (is the disk full?)");
    }
    return JT_OK;
}

jt_status jt_file_commit(jt_writer *w, jt_error *err) {
    jt_status s = JT_OK;
    if (w->failed)
        s = jt_error_set(err, JT_IO, "%s: not kept, an earlier write failed", w->path);
    else if (fflush(w->f))
        s = sys(err, w->path, "write (is the disk full?)");
    else if (w->temp && fsync(fileno(w->f)))
        s = sys(err, w->path, "write to disk");
    if (fclose(w->f) && s == JT_OK) s = sys(err, w->path, "close");
    w->f = NULL;
    if (s == JT_OK && w->temp && rename(w->temp, w->path)) s = sys(err, w->path, "put in place");
    if (s == JT_OK) jt_free(w->temp), w->temp = NULL;
    jt_file_abandon(w);
    return s;
}

void jt_file_abandon(jt_writer *w) {
    if (w->f) fclose(w->f);
    if (w->temp) unlink(w->temp);
    jt_free(w->temp), jt_free(w->path);
    *w = (jt_writer){0};
}

jt_status jt_file_save(const char *path, const jt_str *s, jt_error *err) {
    jt_writer w = {0};
    jt_status e = jt_str_check(s, err);
    if (!e) e = jt_file_create(path, &w, err);
    if (!e) e = jt_file_write(&w, jt_str_c(s), s->n, err);
    if (!e) e = jt_file_commit(&w, err);
    jt_file_abandon(&w);
    return e;
}

jt_status jt_make_folder(const char *path, jt_error *err) {
    jt_str t = {0};
    for (const char *p = path;; p++) {
        if ((*p == '/' || !*p) && p != path && p[-1] != '/') {
            jt_str_clear(&t);
            jt_str_add(&t, path, (size_t)(p - path));
            if (t.failed) {
                jt_str_free(&t);
                return jt_nomem(err, path, 1, 1);
            }
            if (mkdir(t.s, 0777) && errno != EEXIST) {
                jt_status s = sys(err, t.s, "make the folder");
                jt_str_free(&t);
                return s;
            }
        }
        if (!*p) break;
    }
    jt_str_free(&t);
    return jt_is_folder(path) ? JT_OK : jt_error_set(err, JT_IO, "%s: exists and is not a folder", path);
}

void jt_folder_remove(const char *path) {
    DIR *d = opendir(path);
    if (!d) return;
    for (struct dirent *e; (e = readdir(d));) (void)unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    (void)rmdir(path);
}

bool jt_file_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

bool jt_is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static jt_status user_folder(const char *xdg, const char *below_home, jt_str *out, jt_error *err) {
    const char *x = getenv(xdg), *home = getenv("HOME");
    if (x && x[0] == '/')
        jt_str_printf(out, "%s/jeton", x);
    else if (home && home[0])
        jt_str_printf(out, "%s/%s/jeton", home, below_home);
    else
        return jt_error_set(err, JT_INVALID, "neither %s nor HOME is set, so there is no folder for Jeton's files; set one", xdg);
    return jt_str_check(out, err);
}

jt_status jt_cache_folder(jt_str *out, jt_error *err) { return user_folder("XDG_CACHE_HOME", ".cache", out, err); }
jt_status jt_config_folder(jt_str *out, jt_error *err) { return user_folder("XDG_CONFIG_HOME", ".config", out, err); }

uint64_t jt_memory_total(void) {
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

/* MemAvailable counts what the kernel can free; a cgroup may allow less. */
uint64_t jt_memory_available(void) {
    uint64_t best = 0;
    char line[256];
    FILE *f = fopen("/proc/meminfo", "re");
    if (f) {
        unsigned long long kb;
        while (fgets(line, sizeof line, f))
            if (sscanf(line, "MemAvailable: %llu kB", &kb) == 1) best = (uint64_t)kb * 1024;
        fclose(f);
    }
    if (!best) best = jt_memory_total();
    unsigned long long max = 0, now = 0;
    f = fopen("/sys/fs/cgroup/memory.max", "re");
    if (f) {
        if (fscanf(f, "%llu", &max) != 1) max = 0;
        fclose(f);
    }
    f = max ? fopen("/sys/fs/cgroup/memory.current", "re") : NULL;
    if (f) {
        if (fscanf(f, "%llu", &now) == 1 && max > now && max - now < best) best = max - now;
        fclose(f);
    }
    return best;
}

double jt_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
