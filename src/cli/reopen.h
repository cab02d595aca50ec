/* reopen.h: the models and adapters of a trace, opened again as they were. */
#ifndef JT_CLI_REOPEN_H
#define JT_CLI_REOPEN_H

#include "cli/session.h"
#include "jeton/trace.h"

typedef struct jt_reopened {
    const jt_trace *trace;
    jt_engine *engine;
    jt_model *model[8]; /* as in the trace; the main one first */
    jt_adapter *adapter[33];
} jt_reopened;

/* `name`: the main model, NULL: where the trace says. Says when a file is another than the trace's, or the numeric mode is. */
int jt_reopen(const jt_args *a, const jt_trace *t, const char *name, jt_reopened *out);
/* A driver that has all of it. */
int jt_reopened_driver(const jt_reopened *m, jt_driver **out);
void jt_reopened_close(jt_reopened *m);

#endif
