/* pipelines.h: pipelines on the command line: plugins (--plugin), and names that the config file gives (@name). */
#ifndef JT_CLI_PIPELINES_H
#define JT_CLI_PIPELINES_H

#include "cli/command.h"
#include "jeton/decode.h"

/* The row of an option table. */
#define JT_PLUGIN_OPT                                                                                                                      \
    { "plugin", 0, JT_OPT_LIST, "FILE", NULL, 0, 0, "a shared object with further methods (jeton/plugin.h)" }

typedef struct jt_pipelines {
    const jt_args *args;
    jt_methods *extra; /* the plugins' methods; NULL: none */
} jt_pipelines;

/* Loads what --plugin names. Close after the last pipeline and driver; zero-initialised is closed. */
jt_status jt_pipelines_open(const jt_args *a, jt_pipelines *out, jt_error *err);
void jt_pipelines_close(jt_pipelines *p);

/* The text that "@name" stands for; other text is itself. JT_UNKNOWN with the nearest name. `p` may be NULL: no names. */
jt_status jt_pipelines_text(const jt_pipelines *p, const char *text, const char **out, jt_error *err);
/* jt_pipeline_parse with names and plugins. */
jt_status jt_pipelines_parse(const jt_pipelines *p, const char *text, jt_pipeline **out, jt_error *err);

#endif
