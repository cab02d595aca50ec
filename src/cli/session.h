/* session.h: what every model command does first: find the model's file, bring
 * it if it is a known name that is not there, and open it as the options say.
 * All of these say on standard error what failed and return a JT_EXIT code. */
#ifndef JT_CLI_SESSION_H
#define JT_CLI_SESSION_H

#include "cli/command.h"
#include "jeton/adapter.h"
#include "jeton/decode.h"
#include "jeton/engine.h"
#include "jeton/model.h"

/* The options of `a` (a command with model_options) as the library takes them. */
jt_engine_options jt_session_engine_options(const jt_args *a);
jt_model_options jt_session_model_options(const jt_args *a);

/* The file or folder of `name`: a path, a known name, brought first if need be, or a model that is on this machine
 * (cli/store.h); NULL: the default model. */
int jt_session_path(const char *name, jt_str *path);

/* Opens `name` on `e`, with a progress bar. `o` may be NULL for the defaults. */
int jt_session_open_on(jt_engine *e, const char *name, const jt_model_options *o, jt_model **out);

typedef struct jt_session_lora {
    char name[64]; /* "": the model's own */
    jt_adapter *adapter;
    jt_str path;
    float scale;
} jt_session_lora;
/* Gives the model the adapter of --lora that has no name, if there is one; the caller frees `out` before the model. Names are
 * refused where the command has no --adapter. */
int jt_session_adapt(const jt_args *a, jt_model *m, jt_session_lora *out);

/* An engine and one model, the usual case. */
typedef struct jt_session {
    jt_engine *engine;
    jt_model *model;
    int context;          /* --ctx, or the context the model was trained with */
    jt_model *further[8]; /* of --model2 */
    int n_further;
    jt_session_lora plain, lora[32]; /* of --lora */
    int n_lora;
} jt_session;
int jt_session_open(const jt_args *a, const char *name, jt_session *out);
/* Opens the models of --model2 and the adapters of --lora NAME=PATH and adds each to the driver. The driver is freed before
 * the session is closed. */
int jt_session_furnish(const jt_args *a, jt_session *s, jt_driver *d);
/* The models alone, list[0..n) being "ROLE=MODEL". */
int jt_session_add_models(const char *const *list, int n, const jt_args *a, jt_session *s, jt_driver *d);
void jt_session_close(jt_session *s);

#endif
