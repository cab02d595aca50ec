#include "cli/batch_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"

static jt_status other(const char *path, size_t line, const char *what, jt_error *err) {
    return jt_error_set(err, JT_INVALID, "%s:%zu: %s; name another file, or empty this one with --restart", path, line, what);
}

enum { FOUND_GOOD = 1, FOUND_BAD }; /* of each request; 0: nothing */

/* One whole line of the file. */
static jt_status read_result(const jt_batch_file *f, size_t line, const char *s, size_t n, const uint64_t *key, size_t most, char *found,
                             jt_error *err) {
    jt_json *v;
    jt_error wrong;
    jt_status e = jt_json_parse(s, n, &v, &wrong);
    if (e == JT_NOMEM) *err = wrong;
    if (e) return e == JT_NOMEM ? e : other(f->path, line, "no result of a batch", err);
    int64_t index;
    const char *request = jt_json_string(jt_json_member(v, "request"), NULL);
    char want[17] = "";
    if (!request || !jt_json_i64(jt_json_member(v, "index"), &index) || index < 0) {
        e = other(f->path, line, "no result of a batch", err);
    } else {
        bool asked = (uint64_t)index < most;
        if (asked) snprintf(want, sizeof want, "%016llx", (unsigned long long)key[index]);
        if (!asked || strcmp(want, request) != 0)
            e = other(f->path, line, "the result of another request, model or setting", err);
        else
            found[index] = jt_json_member(v, "error") ? FOUND_BAD : FOUND_GOOD;
    }
    jt_json_free(v);
    return e;
}

/* Whether s[0..n) can be the beginning of a result. */
static bool begins_result(const char *s, size_t n) {
    static const char head[] = "{\"index\": ";
    size_t most = sizeof head - 1;
    return memcmp(s, head, n < most ? n : most) == 0;
}

static jt_status resume(jt_batch_file *f, bool retry, const uint64_t *key, size_t n, bool *done, jt_error *err) {
    jt_str text = {0};
    size_t at = 0, line = 1;
    char *found = jt_alloc(n, 1);
    if (!found) return jt_nomem(err, "the results that are there", n, 1);
    jt_status e = jt_file_read(f->path, &text, err);
    for (const char *end; !e && at < text.n && (end = memchr(text.s + at, '\n', text.n - at)); line++) {
        e = read_result(f, line, text.s + at, (size_t)(end - text.s) - at, key, n, found, err);
        at = (size_t)(end - text.s) + 1;
    }
    if (!e && at < text.n) {
        if (!begins_result(text.s + at, text.n - at))
            e = other(f->path, line, "no result of a batch", err);
        else if (ftruncate(f->fd, (off_t)at))
            e = jt_error_set(err, JT_IO, "%s: cannot drop its cut last line: %s", f->path, strerror(errno));
    }
    for (size_t i = 0; !e && i < n; i++) {
        done[i] = found[i] == FOUND_GOOD || (found[i] && !retry);
        f->had += done[i], f->had_bad += done[i] && found[i] == FOUND_BAD;
    }
    jt_str_free(&text);
    jt_free(found);
    return e;
}

jt_status jt_batch_file_open(const char *path, jt_batch_begin how, const uint64_t *key, size_t n, bool *done, jt_batch_file *out,
                             jt_error *err) {
    struct stat st;
    jt_status e = JT_OK;
    *out = (jt_batch_file){.fd = STDOUT_FILENO, .path = path};
    if (strcmp(path, "-") == 0) {
        out->path = "standard output";
        return JT_OK;
    }
    out->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (out->fd < 0) return jt_error_set(err, JT_IO, "%s: cannot be opened for writing: %s", path, strerror(errno));
    if (fstat(out->fd, &st) == 0 && S_ISREG(st.st_mode)) {
        out->seekable = true;
        if (flock(out->fd, LOCK_EX | LOCK_NB))
            e = jt_error_set(err, JT_IO, "%s: %s", path, errno == EWOULDBLOCK ? "another process is writing it" : strerror(errno));
        else if (how != JT_BATCH_RESTART)
            e = resume(out, how == JT_BATCH_RETRY, key, n, done, err);
        else if (ftruncate(out->fd, 0))
            e = jt_error_set(err, JT_IO, "%s: cannot be emptied: %s", path, strerror(errno));
    }
    if (e) jt_batch_file_close(out);
    return e;
}

jt_status jt_batch_file_write(jt_batch_file *f, const jt_str *line, jt_error *err) {
    for (size_t at = 0; at < line->n;) {
        ssize_t w = write(f->fd, line->s + at, line->n - at);
        if (w < 0 && errno == EINTR) continue;
        if (w < 0) return jt_error_set(err, JT_IO, "%s: cannot be written: %s", f->path, strerror(errno));
        at += (size_t)w;
    }
    return JT_OK;
}

void jt_batch_file_close(jt_batch_file *f) {
    if (f->fd >= 0 && f->fd != STDOUT_FILENO) close(f->fd);
    f->fd = -1;
}
