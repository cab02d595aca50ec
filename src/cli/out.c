#include "cli/out.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int out_errno; /* of the first failed write */

static bool note(bool ok) {
    if (!ok && !out_errno) out_errno = errno ? errno : EIO;
    return !out_errno;
}

bool jt_out(const char *fmt, ...) {
    if (out_errno) return false;
    va_list ap;
    va_start(ap, fmt);
    errno = 0;
    bool ok = vprintf(fmt, ap) >= 0;
    va_end(ap);
    return note(ok);
}

bool jt_out_bytes(const void *p, size_t n) {
    if (out_errno) return false;
    errno = 0;
    return note(n == 0 || fwrite(p, 1, n, stdout) == n);
}

bool jt_out_str(const jt_str *s) { return jt_out_bytes(jt_str_c(s), s->n); }

bool jt_out_flush(void) {
    if (out_errno) return false;
    errno = 0;
    return note(fflush(stdout) == 0);
}

int jt_out_end(int code) {
    jt_out_flush();
    if (!out_errno) return code;
    char text[128];
    jt_say("cannot write to standard output: %s", strerror_r(out_errno, text, sizeof text));
    return code == JT_EXIT_OK || code == JT_EXIT_INTERRUPTED ? JT_EXIT_OUTPUT : code;
}

void jt_say(const char *fmt, ...) {
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    fprintf(stderr, "jeton: %s\n", line);
}

int jt_fail(const jt_error *err) {
    jt_say("%s", err->message);
    switch (err->code) {
    case JT_INVALID:
    case JT_UNKNOWN: return JT_EXIT_USAGE;
    case JT_UNSUPPORTED:
    case JT_FORMAT:
    case JT_IO:
    case JT_NOTFOUND:
    case JT_LIMIT: return JT_EXIT_FILE;
    case JT_CANCELLED: return JT_EXIT_INTERRUPTED;
    default: return JT_EXIT_FAILURE;
    }
}

int jt_fail_usage(const jt_args *a, const char *fmt, ...) {
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    jt_say("%s", line);
    fprintf(stderr, "Try 'jeton %s --help'.\n", a->command->name);
    return JT_EXIT_USAGE;
}

const char *jt_size_text(uint64_t bytes, char *out, size_t cap) {
    static const char *const units[] = {"kB", "MB", "GB", "TB"};
    double x = (double)bytes / 1000;
    int i = 0;
    while (x >= 999.95 && i < 3) x /= 1000, i++;
    if (bytes < 1000)
        snprintf(out, cap, "%u bytes", (unsigned)bytes);
    else
        snprintf(out, cap, "%.1f %s", x, units[i]);
    return out;
}

bool jt_colour(int fd) {
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fd) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}
