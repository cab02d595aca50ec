/* jeton methods: what a pipeline can hold, from the rows of the methods. */
#include <string.h>

#include "cli/command.h"
#include "cli/help.h"
#include "cli/method_text.h"
#include "cli/out.h"
#include "cli/pipelines.h"
#include "core/file.h"

enum { WIDTH = 79 };

static void list_kind(const jt_methods *extra, jt_kind kind, const char *title, jt_str *o) {
    jt_str_printf(o, "%s\n", title);
    const jt_method *m;
    for (int i = 0; (m = jt_method_at(extra, i)); i++) {
        if (m->kind != kind) continue;
        jt_str_printf(o, "  %-20s ", m->name);
        jt_help_wrap(m->summary, 23, 23, WIDTH, o);
    }
}

/* DIR/NAME.md for each method, and DIR/README.md. */
static jt_status write_pages(const jt_methods *extra, const char *folder, jt_error *err) {
    const jt_method *m = NULL;
    jt_status s = jt_make_folder(folder, err);
    for (int i = -1; !s && (i < 0 || (m = jt_method_at(extra, i))); i++) {
        jt_str page = {0}, path = {0};
        jt_str_printf(&path, "%s/%s.md", folder, m ? m->name : "README");
        if (m)
            jt_method_page(m, &page);
        else
            jt_methods_index(extra, &page);
        s = jt_str_check(&path, err);
        if (!s) s = jt_file_save(path.s, &page, err);
        jt_str_free(&page);
        jt_str_free(&path);
    }
    return s;
}

static void list_named(const jt_args *a, jt_str *o) {
    if (a->n_pipeline) jt_str_puts(o, "\nPipelines of the config file\n");
    for (int i = 0; i < a->n_pipeline; i++) jt_str_printf(o, "  @%-19s %s\n", a->pipeline[i].name, a->pipeline[i].text);
}

static void list_all(const jt_args *a, const jt_methods *extra, jt_str *o) {
    list_kind(extra, JT_STRATEGY, "Strategies drive the loop; the first of a pipeline, before the first |", o);
    list_kind(extra, JT_STAGE, "\nStages shape the distribution of the next token, in the order written", o);
    list_kind(extra, JT_SCORER, "\nScorers give a number for an answer; strategies take one as a parameter", o);
    list_named(a, o);
    jt_str_puts(o, "\n'jeton methods NAME' shows parameters, formula and paper, 'jeton methods check PIPELINE' what a pipeline does.\n"
                   "A pipeline: sample | temp:0.8 | top-p:0.9\n");
}

static int show(const jt_args *a, const jt_methods *extra) {
    const char *name = jt_arg_pos(a, 0), *folder = jt_arg_text(a, "markdown");
    const jt_method *m = name ? jt_method_find(extra, name) : NULL;
    if (name && !m) {
        const jt_method *near = jt_method_nearest(extra, name);
        return jt_fail_usage(a, near ? "no method \"%s\"; the nearest is \"%s\"" : "no method \"%s\"", name, near ? near->name : "");
    }
    jt_str o = {0};
    jt_error err;
    if (folder) return write_pages(extra, folder, &err) ? jt_fail(&err) : JT_EXIT_OK;
    if (jt_arg_flag(a, "schema")) {
        jt_methods_schema(extra, &o);
    } else if (jt_arg_flag(a, "json")) {
        jt_str_puts(&o, m ? "" : "[");
        if (m) jt_method_json(m, &o);
        for (int i = 0; !name && (m = jt_method_at(extra, i)); i++) {
            if (i) jt_str_puts(&o, ",\n ");
            jt_method_json(m, &o);
        }
        jt_str_puts(&o, name ? "\n" : "]\n");
    } else if (m) {
        jt_method_describe(m, &o);
    } else {
        list_all(a, extra, &o);
    }
    jt_status s = jt_str_check(&o, &err);
    if (!s) jt_out_str(&o);
    jt_str_free(&o);
    return s ? jt_fail(&err) : JT_EXIT_OK;
}

static int run(const jt_args *a) {
    jt_pipelines known = {0};
    jt_error err;
    int code = jt_pipelines_open(a, &known, &err) ? jt_fail(&err) : show(a, known.extra);
    jt_pipelines_close(&known);
    return code;
}

static const jt_pos pos[] = {{"NAME", JT_POS_METHOD, true, false, "the method to describe (default: list all)"}, {0}};
static const jt_opt opts[] = {{"json", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print JSON: an object for one method, a list for all"},
                              {"schema", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print a JSON schema of pipelines in their JSON form"},
                              {"markdown", 0, JT_OPT_FILE, "DIR", NULL, 0, 0, "write a page for each method into this folder"},
                              JT_PLUGIN_OPT,
                              {0}};
static const jt_example examples[] = {{"jeton methods min-p", "its parameters, ranges, formula and paper"}, {0}};
const jt_command jt_cmd_methods_list = {
    .name = "methods list",
    .summary = "list the methods that pipelines are made of",
    .opt = opts,
    .pos = pos,
    .example = examples,
    .run = run,
};
