/* status.h: how every Jeton call reports success and failure.
 *
 * A call that can fail returns a jt_status and takes a `jt_error *` as its last
 * argument. On failure the message says what went wrong, where, and what to do.
 * The pointer may be NULL when only the code matters. A successful call leaves
 * the jt_error untouched. What was valid before a failed call is valid after it.
 * The library never exits, aborts or prints, and keeps no global error state, so
 * a jt_error belongs to the caller and may be used from one thread at a time. */
#ifndef JETON_STATUS_H
#define JETON_STATUS_H

#include <stddef.h>

#if defined(__GNUC__)
#define JT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define JT_API __attribute__((visibility("default")))
#else
#define JT_PRINTF(fmt, args)
#define JT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Codes are grouped with gaps; names, never numbers, leave the process. */
typedef enum jt_status {
    JT_OK = 0,
    JT_NOMEM = 10,       /* an allocation failed */
    JT_INVALID = 20,     /* a parameter or argument is wrong */
    JT_UNKNOWN = 21,     /* a name that nothing answers to */
    JT_UNSUPPORTED = 22, /* understood, but this build or model cannot honour it */
    JT_FORMAT = 30,      /* a file or text does not follow its format */
    JT_IO = 40,          /* the operating system refused to read or write */
    JT_NOTFOUND = 41,    /* no such file */
    JT_LIMIT = 50,       /* a declared limit (context, memory, length) is reached */
    JT_CANCELLED = 60,   /* the caller asked to stop */
    JT_DEAD = 70         /* no candidate token is allowed */
} jt_status;

/* A code and its message: one line, no full stop, never empty after a failure. */
typedef struct jt_error {
    jt_status code;
    char message[504];
} jt_error;

/* The code's name, such as "invalid" (static storage; "unknown-status" if none). */
JT_API const char *jt_status_name(jt_status s);

/* Sets `err` (if not NULL) from a printf format and returns `code`. */
JT_API jt_status jt_error_set(jt_error *err, jt_status code, const char *fmt, ...) JT_PRINTF(3, 4);

/* Puts "text: " before the message already in `err`, to say where a lower call
 * failed; returns err's code, or `code` when err is NULL. */
JT_API jt_status jt_error_in(jt_error *err, jt_status code, const char *fmt, ...) JT_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif
#endif
