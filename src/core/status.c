/* status.c: names of status codes, and how messages are made (jeton/status.h). */
#include "jeton/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *jt_status_name(jt_status s) {
    switch (s) {
    case JT_OK: return "ok";
    case JT_NOMEM: return "no-memory";
    case JT_INVALID: return "invalid";
    case JT_UNKNOWN: return "unknown";
    case JT_UNSUPPORTED: return "unsupported";
    case JT_FORMAT: return "format";
    case JT_IO: return "io";
    case JT_NOTFOUND: return "not-found";
    case JT_LIMIT: return "limit";
    case JT_CANCELLED: return "cancelled";
    case JT_DEAD: return "dead";
    }
    return "unknown-status";
}

jt_status jt_error_set(jt_error *err, jt_status code, const char *fmt, ...) {
    if (!err) return code;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->message, sizeof err->message, fmt, ap);
    va_end(ap);
    err->code = code;
    return code;
}

jt_status jt_error_in(jt_error *err, jt_status code, const char *fmt, ...) {
    if (!err) return code;
    char old[sizeof err->message];
    memcpy(old, err->message, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->message, sizeof err->message, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof err->message) snprintf(err->message + n, sizeof err->message - (size_t)n, ": %s", old);
    return err->code;
}
