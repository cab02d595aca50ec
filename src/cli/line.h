/* line.h: reading lines of a person (libedit, with history) or of a pipe. The only file that knows libedit. */
#ifndef JT_CLI_LINE_H
#define JT_CLI_LINE_H

#include <stdbool.h>

#include "core/str.h"
#include "jeton/status.h"

typedef struct jt_line jt_line;

typedef enum jt_line_result {
    JT_LINE_OK,
    JT_LINE_CLEARED, /* Ctrl-C: what was typed is dropped */
    JT_LINE_END,     /* Ctrl-D, or the end of the pipe */
    JT_LINE_FAILED   /* with a message */
} jt_line_result;

/* A person is there when standard input and standard error are terminals; the history file is then read. */
jt_status jt_line_new(jt_line **out, jt_error *err);
void jt_line_free(jt_line *l); /* writes the history */
bool jt_line_person(const jt_line *l);
/* Reads one line without its line break. `prompt` is shown to a person. */
jt_line_result jt_line_read(jt_line *l, const char *prompt, jt_str *out, jt_error *err);
/* Puts a text into the history (a person's only). */
void jt_line_remember(jt_line *l, const char *text);

#endif
