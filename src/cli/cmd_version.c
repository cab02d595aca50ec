/* jeton version: what this program is, how it was built, and which kernels it uses here. */
#include <string.h>

#include "cli/command.h"
#include "cli/out.h"
#include "jeton/engine.h"

static int run(const jt_args *a) {
    jt_str o = {0};
    if (jt_arg_flag(a, "json")) {
        jt_str_puts(&o, "{\"version\": ");
        jt_str_json(&o, jt_version(), strlen(jt_version()));
        jt_str_puts(&o, ", \"build\": ");
        jt_str_json(&o, jt_build_info(), strlen(jt_build_info()));
        jt_str_puts(&o, ", \"kernels\": [");
    } else {
        jt_str_printf(&o, "jeton %s\n%s\nkernels:", jt_version(), jt_build_info());
    }
    bool chosen = false;
    for (int i = 0; i < jt_kernels_count(); i++) {
        int usable = 0;
        const char *name = jt_kernels_name(i, &usable);
        bool use = usable && !chosen;
        chosen |= use;
        if (jt_arg_flag(a, "json")) {
            jt_str_puts(&o, i ? ", {\"name\": " : "{\"name\": ");
            jt_str_json(&o, name, strlen(name));
            jt_str_printf(&o, ", \"usable\": %s, \"chosen\": %s}", usable ? "true" : "false", use ? "true" : "false");
        } else {
            jt_str_printf(&o, " %s%s", name, use ? " (chosen)" : usable ? "" : " (not on this processor)");
        }
    }
    jt_str_puts(&o, jt_arg_flag(a, "json") ? "]}\n" : "\n");
    jt_error err;
    jt_status s = jt_str_check(&o, &err);
    if (!s) jt_out_str(&o);
    jt_str_free(&o);
    return s ? jt_fail(&err) : JT_EXIT_OK;
}

static const jt_opt opts[] = {{"json", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print one JSON object"}, {0}};
const jt_command jt_cmd_version = {
    .name = "version",
    .summary = "say the version, the flags of the build and the kernels chosen",
    .opt = opts,
    .run = run,
};
