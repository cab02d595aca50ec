#include "cli/method_text.h"

#include <math.h>
#include <string.h>

#include "cli/help.h"

enum { WIDTH = 79 };

void jt_method_param_name(const jt_param *p, jt_str *o) {
    for (const char *s = p->name; *s; s++) jt_str_putc(o, *s == '_' ? '-' : *s);
}

void jt_method_needs(const jt_method *m, jt_str *o) {
    const char *name, *join = "";
    for (uint32_t bit = 1; (name = jt_need_name(bit)); bit <<= 1)
        if (m->needs & bit) {
            jt_str_printf(o, "%s%s", join, name);
            if (bit == JT_NEEDS_MODEL2) jt_str_printf(o, " (%s)", m->role ? m->role : "guide");
            join = ", ";
        }
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

/* "candidates kept (0 to 10; default 3)". */
static void param_says(const jt_param *p, jt_str *o) {
    char range[256], def[256];
    jt_param_range(p, range, sizeof range);
    jt_param_default(p, def, sizeof def);
    jt_str_printf(o, "%s (%s%s", p->help, range, *range ? "; " : "");
    if (isnan(p->def))
        jt_str_puts(o, "required)");
    else
        jt_str_printf(o, "default %s)", *def ? def : "none");
}

void jt_method_describe(const jt_method *m, jt_str *o) {
    char example[512];
    jt_str needs = {0};
    jt_method_needs(m, &needs);
    jt_method_example(m, example, sizeof example);
    jt_str_printf(o, "%s (%s): ", m->name, jt_kind_name(m->kind));
    jt_help_wrap(m->summary ? m->summary : "", (int)strlen(m->name) + 12, 0, WIDTH, o);
    print_row("formula", m->formula, o);
    print_row("paper", m->paper && *m->paper ? m->paper : "folklore", o);
    print_row("card", m->card, o);
    print_row("needs", jt_str_c(&needs), o);
    print_row("cost", m->cost, o);
    print_row("neutral", m->neutral, o);
    print_row("example", example, o);
    if (m->n_param) jt_str_puts(o, "  parameters (the first may go without its name):\n");
    for (int i = 0; i < m->n_param; i++) {
        jt_str text = {0}, name = {0};
        param_says(&m->param[i], &text);
        jt_method_param_name(&m->param[i], &name);
        jt_str_printf(o, "    %-14s ", jt_str_c(&name));
        jt_help_wrap(jt_str_c(&text), 19, 19, WIDTH, o);
        if (text.failed || name.failed) o->failed = true;
        jt_str_free(&text);
        jt_str_free(&name);
    }
    if (needs.failed) o->failed = true;
    jt_str_free(&needs);
}

/* ---- JSON ---- */

static void json_text(const char *name, const char *s, jt_str *o) {
    jt_str_printf(o, ", \"%s\": ", name);
    if (s)
        jt_str_json(o, s, strlen(s));
    else
        jt_str_puts(o, "null");
}

static void json_param(const jt_param *p, jt_str *o) {
    char text[256];
    const char *s;
    jt_str name = {0};
    jt_method_param_name(p, &name);
    jt_str_puts(o, "{\"name\": ");
    jt_str_json(o, jt_str_c(&name), name.n);
    if (name.failed) o->failed = true;
    jt_str_free(&name);
    json_text("type", jt_param_type_name(p->type), o);
    jt_str_printf(o, ", \"required\": %s", isnan(p->def) ? "true" : "false");
    jt_param_default(p, text, sizeof text);
    json_text("default", isnan(p->def) ? NULL : text, o);
    jt_param_range(p, text, sizeof text);
    json_text("range", text, o);
    if (p->type == JT_PARAM_REAL || p->type == JT_PARAM_INT) {
        jt_str_puts(o, ", \"low\": "), jt_str_number(o, p->low);
        jt_str_puts(o, ", \"high\": "), jt_str_number(o, p->high);
    } else if (p->type == JT_PARAM_CHOICE) {
        jt_str_puts(o, ", \"choices\": [");
        for (s = p->choices; *s; s += s[strcspn(s, "|")] ? strcspn(s, "|") + 1 : strcspn(s, "|")) {
            if (s != p->choices) jt_str_puts(o, ", ");
            jt_str_json(o, s, strcspn(s, "|"));
        }
        jt_str_putc(o, ']');
    }
    json_text("help", p->help, o);
    jt_str_putc(o, '}');
}

void jt_method_json(const jt_method *m, jt_str *o) {
    char example[512];
    const char *name, *join = "";
    jt_method_example(m, example, sizeof example);
    jt_str_puts(o, "{\"name\": ");
    jt_str_json(o, m->name, strlen(m->name));
    json_text("kind", jt_kind_name(m->kind), o);
    json_text("summary", m->summary, o);
    json_text("formula", m->formula, o);
    json_text("paper", m->paper, o);
    json_text("card", m->card, o);
    json_text("cost", m->cost, o);
    json_text("neutral", m->neutral, o);
    json_text("example", example, o);
    jt_str_puts(o, ", \"needs\": [");
    for (uint32_t bit = 1; (name = jt_need_name(bit)); bit <<= 1)
        if (m->needs & bit) jt_str_printf(o, "%s\"%s\"", join, name), join = ", ";
    jt_str_putc(o, ']');
    json_text("role", m->needs & JT_NEEDS_MODEL2 ? m->role ? m->role : "guide" : NULL, o);
    jt_str_puts(o, ", \"parameters\": [");
    for (int i = 0; i < m->n_param; i++) {
        if (i) jt_str_puts(o, ", ");
        json_param(&m->param[i], o);
    }
    jt_str_puts(o, "]}");
}

/* ---- Markdown ---- */

/* Text in a table or a paragraph, with what Markdown would take for itself escaped. */
static void put_escaped(const char *s, jt_str *o) {
    for (; *s; s++) {
        if (strchr("|*_<>[]`\\", *s)) jt_str_putc(o, '\\');
        jt_str_putc(o, *s == '\n' ? ' ' : *s);
    }
}

static void page_row(const char *left, const char *right, jt_str *o) {
    if (!right || !*right) return;
    jt_str_printf(o, "| %s | ", left);
    put_escaped(right, o);
    jt_str_puts(o, " |\n");
}

static void page_params(const jt_method *m, jt_str *o) {
    char text[256];
    jt_str_puts(o, "\n## Parameters\n\nThe first may go without its name.\n\n| parameter | type | range | default | meaning |\n"
                   "| --- | --- | --- | --- | --- |\n");
    for (int i = 0; i < m->n_param; i++) {
        const jt_param *p = &m->param[i];
        jt_str_puts(o, "| `");
        jt_method_param_name(p, o);
        jt_str_printf(o, "` | %s | ", jt_param_type_name(p->type));
        jt_param_range(p, text, sizeof text);
        put_escaped(text, o);
        jt_str_puts(o, " | ");
        jt_param_default(p, text, sizeof text);
        put_escaped(isnan(p->def) ? "required" : *text ? text : "none", o);
        jt_str_puts(o, " | ");
        put_escaped(p->help, o);
        jt_str_puts(o, " |\n");
    }
}

void jt_method_page(const jt_method *m, jt_str *o) {
    char example[512];
    jt_str needs = {0};
    jt_method_needs(m, &needs);
    jt_method_example(m, example, sizeof example);
    jt_str_printf(o, "<!-- Written by 'make docs' from the method's row. -->\n\n# %s\n\nA %s: ", m->name, jt_kind_name(m->kind));
    put_escaped(m->summary ? m->summary : "", o);
    jt_str_puts(o, ".\n");
    if (m->formula) {
        jt_str_puts(o, "\n");
        for (const char *s = m->formula; *s; s += strcspn(s, "\n") + (s[strcspn(s, "\n")] == '\n'))
            jt_str_printf(o, "    %.*s\n", (int)strcspn(s, "\n"), s);
    }
    jt_str_puts(o, "\n| | |\n| --- | --- |\n");
    page_row("paper", m->paper && *m->paper ? m->paper : "folklore", o);
    page_row("card", m->card, o);
    page_row("needs", needs.n ? jt_str_c(&needs) : "nothing but the distribution", o);
    page_row("cost", m->cost, o);
    page_row("neutral", m->neutral ? m->neutral : "none", o);
    jt_str_printf(o, "| example | `` %s `` |\n", example);
    if (m->n_param) page_params(m, o);
    if (needs.failed) o->failed = true;
    jt_str_free(&needs);
}

void jt_methods_index(const jt_methods *extra, jt_str *o) {
    static const char *const title[] = {[JT_STAGE] = "Stages, which shape the distribution of the next token",
                                        [JT_STRATEGY] = "Strategies, which drive the loop",
                                        [JT_SCORER] = "Scorers, which give a number for an answer"};
    static const jt_kind order[] = {JT_STRATEGY, JT_STAGE, JT_SCORER};
    const jt_method *m;
    jt_str_puts(o, "<!-- Written by 'make docs' from the methods' rows. -->\n\n# Methods\n\nWhat pipelines are made of; "
                   "[pipelines.md](../pipelines.md) says how they are written, [write-a-method.md](../write-a-method.md) how one is "
                   "added.\n");
    for (size_t k = 0; k < sizeof order / sizeof *order; k++) {
        jt_str_printf(o, "\n## %s\n\n| method | does | neutral |\n| --- | --- | --- |\n", title[order[k]]);
        for (int i = 0; (m = jt_method_at(extra, i)); i++) {
            if (m->kind != order[k]) continue;
            jt_str_printf(o, "| [%s](%s.md) | ", m->name, m->name);
            put_escaped(m->summary ? m->summary : "", o);
            jt_str_puts(o, " | ");
            put_escaped(m->neutral ? m->neutral : "", o);
            jt_str_puts(o, " |\n");
        }
    }
}
