#include "cli/help.h"

#include <string.h>

#include "jeton/engine.h"

enum { WIDTH = 79, OPTION_COLUMN = 28 };

/* Columns of s[0..n), counting characters. */
static int columns(const char *s, size_t n) {
    int c = 0;
    for (size_t i = 0; i < n; i++) c += ((unsigned char)s[i] & 0xC0) != 0x80;
    return c;
}

static void pad(jt_str *out, int n) {
    while (n-- > 0) jt_str_putc(out, ' ');
}

void jt_help_wrap(const char *text, int at, int indent, int width, jt_str *out) {
    bool first = true;
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, " \n");
        int w = columns(p, n);
        if (!first && at + 1 + w > width) {
            jt_str_putc(out, '\n');
            pad(out, indent);
            at = indent;
        } else if (!first) {
            jt_str_putc(out, ' ');
            at++;
        }
        jt_str_add(out, p, n);
        at += w, first = false;
        p += n;
        if (p[0] == '\n' && p[1] == '\n') {
            jt_str_puts(out, "\n\n");
            pad(out, indent);
            at = indent, first = true;
            p += 2;
        } else if (*p) {
            p++;
        }
    }
    jt_str_putc(out, '\n');
}

void jt_help_usage(const jt_command *c, jt_str *out) {
    jt_str_printf(out, "jeton %s", c->name);
    for (const jt_pos *p = c->pos; p && p->metavar; p++)
        jt_str_printf(out, p->optional ? " [%s%s]" : " %s%s", p->metavar, p->many ? "..." : "");
    jt_str_puts(out, " [options]");
}

void jt_help_option_head(const jt_opt *o, jt_str *out) {
    if (o->letter)
        jt_str_printf(out, "-%c, ", o->letter);
    else
        jt_str_puts(out, "    ");
    jt_str_printf(out, "--%s", o->name);
    if (o->metavar) jt_str_printf(out, " %s", o->metavar);
}

/* The help sentence with its default and bounds, as help and man pages show it. */
static void option_text(const jt_opt *o, jt_str *out) {
    jt_str_puts(out, o->help);
    bool bounded = o->min < o->max, open = o->max >= 1e15;
    jt_str b = {0};
    if (bounded && open)
        jt_str_printf(&b, "at least %.15g", o->min);
    else if (bounded)
        jt_str_printf(&b, "%.15g to %.15g", o->min, o->max);
    if (o->type == JT_OPT_LIST) jt_str_puts(&b, "may be given several times");
    if (o->fallback && *o->fallback) jt_str_printf(&b, "%sdefault %s", b.n ? "; " : "", o->fallback);
    if (b.n) jt_str_printf(out, " (%s)", jt_str_c(&b));
    if (b.failed) out->failed = true;
    jt_str_free(&b);
}

static void option_rows(const jt_opt *o, jt_str *out) {
    for (; o && o->name; o++) {
        jt_str head = {0}, text = {0};
        jt_str_puts(&head, "  ");
        jt_help_option_head(o, &head);
        option_text(o, &text);
        int at = columns(jt_str_c(&head), head.n);
        jt_str_puts(out, jt_str_c(&head));
        if (at + 2 > OPTION_COLUMN) jt_str_putc(out, '\n'), at = 0;
        pad(out, OPTION_COLUMN - at);
        jt_help_wrap(jt_str_c(&text), OPTION_COLUMN, OPTION_COLUMN, WIDTH, out);
        if (head.failed || text.failed) out->failed = true;
        jt_str_free(&head);
        jt_str_free(&text);
    }
}

static void two_columns(const char *left, const char *right, int column, jt_str *out) {
    int at = 2 + columns(left, strlen(left));
    jt_str_printf(out, "  %s", left);
    if (at + 2 > column) jt_str_putc(out, '\n'), at = 0;
    pad(out, column - at);
    jt_help_wrap(right, column, column, WIDTH, out);
}

static void exit_codes(jt_str *out) {
    for (const jt_exit_row *r = jt_exit_rows; r->meaning; r++) {
        jt_str_printf(out, "  %3d  ", r->code);
        jt_help_wrap(r->meaning, 7, 7, WIDTH, out);
    }
}

void jt_help_command(const jt_command *c, jt_str *out) {
    jt_str_puts(out, "Usage: ");
    jt_help_usage(c, out);
    jt_str_printf(out, "\n\njeton %s: ", c->name);
    jt_help_wrap(c->summary, 8 + columns(c->name, strlen(c->name)), 0, WIDTH, out);
    if (c->about) {
        jt_str_putc(out, '\n');
        jt_help_wrap(c->about, 0, 0, WIDTH, out);
    }
    if (c->pos && c->pos->metavar) {
        jt_str_puts(out, "\nArguments:\n");
        for (const jt_pos *p = c->pos; p->metavar; p++) two_columns(p->metavar, p->help, OPTION_COLUMN, out);
    }
    jt_str_puts(out, "\nOptions:\n");
    option_rows(c->opt, out);
    option_rows(jt_global_opts, out);
    if (c->model_options) {
        jt_str_puts(out, "\nModel options:\n");
        option_rows(jt_model_opts, out);
    }
    if (c->example && c->example->line) {
        jt_str_puts(out, "\nExamples:\n");
        for (const jt_example *e = c->example; e->line; e++) {
            jt_str_printf(out, "  %s\n      ", e->line);
            jt_help_wrap(e->what, 6, 6, WIDTH, out);
        }
    }
    jt_str_puts(out, "\nExit codes:\n");
    exit_codes(out);
}

static bool in_group(const jt_command *c, const char *group) {
    size_t n = group ? strlen(group) : 0;
    return !group || (strncmp(c->name, group, n) == 0 && c->name[n] == ' ');
}

void jt_help_list(const char *group, jt_str *out) {
    if (group)
        jt_str_printf(out, "Usage: jeton %s COMMAND [options]\n\njeton %s: %s\n", group, group, jt_group_find(group)->summary);
    else
        jt_str_puts(out, "Usage: jeton [COMMAND] [options]\n\n");
    if (!group)
        jt_help_wrap("Jeton runs language models; every token is a decision you can program. Without a command it brings the default "
                     "model, if need be, "
                     "and opens a chat.",
                     0, 0, WIDTH, out);
    jt_str_puts(out, "\nCommands:\n");
    for (int i = 0; jt_commands[i]; i++)
        if (in_group(jt_commands[i], group)) two_columns(jt_commands[i]->name, jt_commands[i]->summary, 20, out);
    jt_str_printf(out, "\n'jeton %s%sCOMMAND --help' says more.\nDefaults of options may be set in ~/.config/jeton/config.yaml.\n",
                  group ? group : "", group ? " " : "");
}

/* ---- man pages ---- */

/* Text with what roff would take for itself escaped. */
static void roff(const char *s, jt_str *out) {
    bool line_start = true;
    for (; *s; s++) {
        if (line_start && (*s == '.' || *s == '\'')) jt_str_puts(out, "\\&");
        line_start = *s == '\n';
        if (*s == '\\')
            jt_str_puts(out, "\\e");
        else if (*s == '-')
            jt_str_puts(out, "\\-");
        else if (s[0] == '\n' && s[1] == '\n')
            jt_str_puts(out, "\n.PP\n"), s++, line_start = true;
        else
            jt_str_putc(out, *s);
    }
}

static void man_head(const char *page, const char *summary, jt_str *out) {
    jt_str_puts(out, ".TH \"");
    for (const char *p = page; *p; p++) jt_str_putc(out, *p == ' ' ? '-' : *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p);
    jt_str_printf(out, "\" \"1\" \"\" \"Jeton %s\" \"Jeton\"\n.SH NAME\n", jt_version());
    for (const char *p = page; *p; p++) *p == ' ' || *p == '-' ? jt_str_puts(out, "\\-") : jt_str_putc(out, *p);
    jt_str_puts(out, " \\- ");
    roff(summary, out);
    jt_str_puts(out, "\n");
}

static void man_options(const jt_opt *o, jt_str *out) {
    for (; o && o->name; o++) {
        jt_str text = {0};
        option_text(o, &text);
        jt_str_puts(out, ".TP\n");
        if (o->letter) jt_str_printf(out, "\\fB\\-%c\\fR, ", o->letter);
        jt_str_puts(out, "\\fB\\-\\-");
        roff(o->name, out);
        jt_str_puts(out, "\\fR");
        if (o->metavar) {
            jt_str_puts(out, " \\fI");
            roff(o->metavar, out);
            jt_str_puts(out, "\\fR");
        }
        jt_str_putc(out, '\n');
        roff(jt_str_c(&text), out);
        jt_str_putc(out, '\n');
        if (text.failed) out->failed = true;
        jt_str_free(&text);
    }
}

static void man_tail(jt_str *out) {
    jt_str_puts(out, ".SH \"EXIT STATUS\"\n");
    for (const jt_exit_row *r = jt_exit_rows; r->meaning; r++) {
        jt_str_printf(out, ".TP\n.B %d\n", r->code);
        roff(r->meaning, out);
        jt_str_putc(out, '\n');
    }
    jt_str_puts(
        out, ".SH FILES\n.TP\n.I ~/.config/jeton/config.yaml\ndefaults of options, for all commands or under a command's name "
             "(XDG_CONFIG_HOME is respected)\n.TP\n.I ~/.cache/jeton/models\nmodels brought by jeton pull (XDG_CACHE_HOME is respected)\n"
             ".SH ENVIRONMENT\n.TP\n.B NO_COLOR\nif set and not empty, no colours are written\n");
}

static void man_main(jt_str *out) {
    man_head("jeton", "run language models, every token a decision you can program", out);
    jt_str_puts(out, ".SH SYNOPSIS\n.B jeton\n[\\fICOMMAND\\fR] [\\fIoptions\\fR]\n.SH DESCRIPTION\n"
                     "Without a command, brings the default model if need be and opens a chat; when standard input is not a terminal, "
                     "answers one built\\-in prompt and ends.\n.SH COMMANDS\n");
    for (int i = 0; jt_commands[i]; i++) {
        jt_str_printf(out, ".TP\n.B %s\n", jt_commands[i]->name);
        roff(jt_commands[i]->summary, out);
        jt_str_putc(out, '\n');
    }
    man_tail(out);
}

void jt_help_man(const jt_command *c, jt_str *out) {
    if (!c) {
        man_main(out);
        return;
    }
    jt_str page = {0};
    jt_str_printf(&page, "jeton %s", c->name);
    man_head(jt_str_c(&page), c->summary, out);
    if (page.failed) out->failed = true;
    jt_str_free(&page);
    jt_str_puts(out, ".SH SYNOPSIS\n.B ");
    jt_str usage = {0};
    jt_help_usage(c, &usage);
    roff(jt_str_c(&usage), out);
    if (usage.failed) out->failed = true;
    jt_str_free(&usage);
    jt_str_puts(out, "\n.SH DESCRIPTION\n");
    roff(c->about ? c->about : c->summary, out);
    jt_str_putc(out, '\n');
    if (c->pos && c->pos->metavar) {
        jt_str_puts(out, ".SH ARGUMENTS\n");
        for (const jt_pos *p = c->pos; p->metavar; p++) {
            jt_str_printf(out, ".TP\n.I %s\n", p->metavar);
            roff(p->help, out);
            jt_str_putc(out, '\n');
        }
    }
    jt_str_puts(out, ".SH OPTIONS\n");
    man_options(c->opt, out);
    man_options(jt_global_opts, out);
    if (c->model_options) {
        jt_str_puts(out, ".SH \"MODEL OPTIONS\"\n");
        man_options(jt_model_opts, out);
    }
    if (c->example && c->example->line) {
        jt_str_puts(out, ".SH EXAMPLES\n");
        for (const jt_example *e = c->example; e->line; e++) {
            jt_str_puts(out, ".PP\n.nf\n");
            roff(e->line, out);
            jt_str_puts(out, "\n.fi\n.RS\n");
            roff(e->what, out);
            jt_str_puts(out, "\n.RE\n");
        }
    }
    man_tail(out);
}
