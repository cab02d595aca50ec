/* jeton methods: what a pipeline can hold, from the rows of the methods. */
#include <math.h>
#include <string.h>

#include "cli/command.h"
#include "cli/help.h"
#include "cli/out.h"
#include "jeton/method.h"

enum { WIDTH = 79 };

/* C name as pipelines write it. */
static void param_name(const jt_param *p, jt_str *o) {
    for (const char *s = p->name; *s; s++) jt_str_putc(o, *s == '_' ? '-' : *s);
}

static void print_row(const char *left, const char *right, jt_str *o) {
    if (!right || !*right) return;
    jt_str_printf(o, "  %-10s", left);
    for (const char *line = right; *line;) { /* formulas keep their lines */
        size_t n = strcspn(line, "\n");
        if (line != right) jt_str_puts(o, "            ");
        jt_str one = {0};
        jt_str_add(&one, line, n);
        jt_help_wrap(jt_str_c(&one), 12, 12, WIDTH, o);
        if (one.failed) o->failed = true;
        jt_str_free(&one);
        line += n + (line[n] == '\n');
    }
}

static void describe(const jt_method *m, jt_str *o) {
    jt_str_printf(o, "%s (%s): ", m->name, jt_kind_name(m->kind));
    jt_help_wrap(m->summary, (int)strlen(m->name) + 12, 0, WIDTH, o);
    print_row("formula", m->formula, o);
    print_row("paper", m->paper && *m->paper ? m->paper : "folklore", o);
    print_row("cost", m->cost, o);
    print_row("neutral", m->neutral, o);
    if (m->n_param) jt_str_puts(o, "  parameters (the first may go without its name):\n");
    for (int i = 0; i < m->n_param; i++) {
        const jt_param *p = &m->param[i];
        char range[256], def[256];
        jt_param_range(p, range, sizeof range);
        jt_param_default(p, def, sizeof def);
        jt_str text = {0};
        if (isnan(p->def))
            jt_str_printf(&text, "%s (%s%srequired)", p->help, range, *range ? "; " : "");
        else
            jt_str_printf(&text, "%s (%s%sdefault %s)", p->help, range, *range ? "; " : "", *def ? def : "none");
        jt_str name = {0};
        param_name(p, &name);
        jt_str_printf(o, "    %-14s ", jt_str_c(&name));
        jt_help_wrap(jt_str_c(&text), 19, 19, WIDTH, o);
        if (text.failed || name.failed) o->failed = true;
        jt_str_free(&text);
        jt_str_free(&name);
    }
}

static void json_text(const char *name, const char *s, jt_str *o) {
    jt_str_printf(o, ", \"%s\": ", name);
    if (s)
        jt_str_json(o, s, strlen(s));
    else
        jt_str_puts(o, "null");
}

static void json_method(const jt_method *m, jt_str *o) {
    static const char *const types[] = {"real", "int", "choice", "text", "bias", "stages", "method"};
    jt_str_puts(o, "{\"name\": ");
    jt_str_json(o, m->name, strlen(m->name));
    json_text("kind", jt_kind_name(m->kind), o);
    json_text("summary", m->summary, o);
    json_text("formula", m->formula, o);
    json_text("paper", m->paper, o);
    json_text("cost", m->cost, o);
    json_text("neutral", m->neutral, o);
    jt_str_puts(o, ", \"parameters\": [");
    for (int i = 0; i < m->n_param; i++) {
        const jt_param *p = &m->param[i];
        char text[256];
        jt_str name = {0};
        param_name(p, &name);
        jt_str_puts(o, i ? ", {\"name\": " : "{\"name\": ");
        jt_str_json(o, jt_str_c(&name), name.n);
        if (name.failed) o->failed = true;
        jt_str_free(&name);
        json_text("type", types[p->type], o);
        jt_str_printf(o, ", \"required\": %s", isnan(p->def) ? "true" : "false");
        jt_param_default(p, text, sizeof text);
        json_text("default", isnan(p->def) ? NULL : text, o);
        jt_param_range(p, text, sizeof text);
        json_text("range", text, o);
        json_text("help", p->help, o);
        jt_str_putc(o, '}');
    }
    jt_str_puts(o, "]}");
}

static void list_kind(jt_kind kind, const char *title, jt_str *o) {
    jt_str_printf(o, "%s\n", title);
    const jt_method *m;
    for (int i = 0; (m = jt_method_at(NULL, i)); i++) {
        if (m->kind != kind) continue;
        jt_str_printf(o, "  %-20s ", m->name);
        jt_help_wrap(m->summary, 23, 23, WIDTH, o);
    }
}

static int run(const jt_args *a) {
    const char *name = jt_arg_pos(a, 0);
    const jt_method *m = name ? jt_method_find(NULL, name) : NULL;
    if (name && !m) {
        const jt_method *near = jt_method_nearest(NULL, name);
        return jt_fail_usage(a, near ? "no method \"%s\"; the nearest is \"%s\"" : "no method \"%s\"", name, near ? near->name : "");
    }
    jt_str o = {0};
    jt_error err;
    if (jt_arg_flag(a, "json")) {
        jt_str_puts(&o, m ? "" : "[");
        if (m) json_method(m, &o);
        for (int i = 0; !name && (m = jt_method_at(NULL, i)); i++) {
            if (i) jt_str_puts(&o, ",\n ");
            json_method(m, &o);
        }
        jt_str_puts(&o, name ? "\n" : "]\n");
    } else if (m) {
        describe(m, &o);
    } else {
        list_kind(JT_STRATEGY, "Strategies drive the loop; the first of a pipeline, before the first |", &o);
        list_kind(JT_STAGE, "\nStages shape the distribution of the next token, in the order written", &o);
        list_kind(JT_SCORER, "\nScorers give a number for an answer; strategies take one as a parameter", &o);
        jt_str_puts(&o, "\n'jeton methods NAME' shows parameters, formula and paper. A pipeline: sample | temp:0.8 | top-p:0.9\n");
    }
    jt_status s = jt_str_check(&o, &err);
    if (!s) jt_out_str(&o);
    jt_str_free(&o);
    return s ? jt_fail(&err) : JT_EXIT_OK;
}

static const jt_pos pos[] = {{"NAME", JT_POS_METHOD, true, false, "the method to describe (default: list all)"}, {0}};
static const jt_opt opts[] = {{"json", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print JSON: an object for one method, a list for all"}, {0}};
static const jt_example examples[] = {{"jeton methods min-p", "its parameters, ranges, formula and paper"}, {0}};
const jt_command jt_cmd_methods_list = {
    .name = "methods list",
    .summary = "list the methods that pipelines are made of",
    .opt = opts,
    .pos = pos,
    .example = examples,
    .run = run,
};
