/* tracing.h: --trace, of every command that answers: the trace of what a driver does,
 * written in place as it goes, so that a run that is killed leaves what it had. */
#ifndef JT_CLI_TRACING_H
#define JT_CLI_TRACING_H

#include <stdio.h>

#include "cli/session.h"
#include "jeton/trace.h"

#define JT_TRACING_OPTS                                                                                                                    \
    {"trace", 0, JT_OPT_FILE, "FILE",                                                                                                      \
     NULL,    0, 0,           "write how every token was chosen, as JSON lines: for 'jeton replay' and 'jeton inspect'"},                  \
    {                                                                                                                                      \
        "trace-candidates", 0, JT_OPT_TEXT, "N|all", "20", 0, 0,                                                                           \
            "with --trace, candidates told before and after each stage; all: replayed without the model too"                               \
    }

typedef struct jt_tracing {
    FILE *f; /* NULL: there is no trace */
    const char *path;
    jt_trace_writer *w;
    int candidates; /* for jt_request.trace_candidates */
} jt_tracing;

/* Begins the trace that --trace asks for, if it does, with what the session has open; `model` is the name that it was opened by.
 * A JT_EXIT code, having said what failed. Free with jt_tracing_close whatever follows. */
int jt_tracing_open(const jt_args *a, const jt_session *s, const char *model, jt_tracing *t);
/* The request gets what it needs. */
void jt_tracing_request(const jt_tracing *t, jt_request *r);
/* Writes the last line; JT_EXIT_OUTPUT, said, when that fails. */
int jt_tracing_end(jt_tracing *t);
void jt_tracing_close(jt_tracing *t);

#endif
