/* out.h: standard output with every failed write noticed, and messages on
 * standard error. SIGPIPE is ignored by main, so that a closed pipe is an error
 * like a full disk. */
#ifndef JT_CLI_OUT_H
#define JT_CLI_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/command.h"
#include "core/str.h"
#include "jeton/status.h"

/* False when this or an earlier write failed: stop working, and return the code of jt_out_end. */
bool jt_out(const char *fmt, ...) JT_PRINTF(1, 2);
bool jt_out_bytes(const void *p, size_t n);
bool jt_out_str(const jt_str *s);
bool jt_out_flush(void);
/* Flushes; if anything failed says so once and returns JT_EXIT_OUTPUT, else `code`. main calls it last. */
int jt_out_end(int code);

/* One line "jeton: ..." on standard error. */
void jt_say(const char *fmt, ...) JT_PRINTF(1, 2);
/* Says err's message; the exit code that suits its code (file problems JT_EXIT_FILE, names and parameters JT_EXIT_USAGE ...). */
int jt_fail(const jt_error *err);
/* The same for what is wrong with the command line itself, with a hint at --help. Returns JT_EXIT_USAGE. */
int jt_fail_usage(const jt_args *a, const char *fmt, ...) JT_PRINTF(2, 3);

/* "94.4 MB", "1.2 GB" (powers of ten) in out[0..cap), which is returned. */
const char *jt_size_text(uint64_t bytes, char *out, size_t cap);

/* True if escape sequences may be written to the terminal `fd` (a terminal, NO_COLOR unset, TERM not "dumb"). */
bool jt_colour(int fd);

#endif
