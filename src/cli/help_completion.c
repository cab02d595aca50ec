/* Completion scripts for the shells, written from the commands' tables. */
#include <string.h>

#include "cli/help.h"
#include "cli/names.h"

/* Text inside single quotes of a shell, where a quote is written as `quote` and the characters of `also` need a backslash. */
static void quoted(const char *s, const char *quote, const char *also, jt_str *out) {
    for (; *s; s++) {
        if (*s == '\'')
            jt_str_puts(out, quote);
        else if (strchr(also, *s))
            jt_str_printf(out, "\\%c", *s);
        else
            jt_str_putc(out, *s);
    }
}

static void choices(const char *metavar, jt_str *out) {
    for (const char *p = metavar; *p; p++) jt_str_putc(out, *p == '|' ? ' ' : *p);
}

static bool has_kind(const jt_command *c, jt_pos_kind kind) {
    for (const jt_pos *p = c->pos; p && p->metavar; p++)
        if (p->kind == kind) return true;
    return false;
}

static bool is_pipeline(const char *metavar) { return metavar && !strcmp(metavar, "PIPELINE"); }

static bool has_pipeline(const jt_command *c) {
    for (const jt_pos *p = c->pos; p && p->metavar; p++)
        if (is_pipeline(p->metavar)) return true;
    return false;
}

static void model_names(jt_str *out) {
    for (const jt_known_model *m = jt_known_models; m->name; m++) jt_str_printf(out, "%s%s", m == jt_known_models ? "" : " ", m->name);
}

static void command_names(const char *group, const char *between, jt_str *out) {
    bool first = true;
    size_t n = group ? strlen(group) : 0;
    for (int i = 0; jt_commands[i]; i++) {
        const char *name = jt_commands[i]->name, *space = strchr(name, ' ');
        if (group && !(strncmp(name, group, n) == 0 && name[n] == ' ')) continue;
        if (!group && space) continue;
        jt_str_printf(out, "%s%s", first ? "" : between, group ? name + n + 1 : name);
        first = false;
    }
    for (const jt_command_group *g = jt_command_groups; g->name && !group; g++) jt_str_printf(out, "%s%s", between, g->name);
}

static void bash(jt_str *o) {
    jt_str_puts(o, "# Completion of jeton for bash.\n");
    jt_help_pipeline_bash(o);
    jt_str_puts(o, "_jeton() {\n"
                   "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd=${COMP_WORDS[1]} words=\n"
                   "    COMPREPLY=()\n"
                   "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                   "        COMPREPLY=($(compgen -W '");
    command_names(NULL, " ", o);
    jt_str_puts(o, "' -- \"$cur\"))\n        return\n    fi\n    case $cmd in\n");
    for (const jt_command_group *g = jt_command_groups; g->name; g++) {
        jt_str_printf(o, "    %s)\n        if [ \"$COMP_CWORD\" -eq 2 ]; then\n            COMPREPLY=($(compgen -W '", g->name);
        command_names(g->name, " ", o);
        if (g->fallback && has_kind(jt_command_find(g->fallback), JT_POS_METHOD)) jt_str_putc(o, ' '), jt_help_method_names(o);
        jt_str_puts(o, "' -- \"$cur\"))\n            return\n        fi\n        cmd=\"$cmd ${COMP_WORDS[2]}\" ;;\n");
    }
    jt_str_puts(o, "    esac\n    case \"$cmd $prev\" in\n");
    for (int i = 0; jt_commands[i]; i++) {
        const jt_opt *p;
        for (int j = 0; (p = jt_command_opt(jt_commands[i], j)); j++) {
            if (p->type == JT_OPT_FLAG) continue;
            jt_str_printf(o, "    '%s --%s'", jt_commands[i]->name, p->name);
            if (p->letter) jt_str_printf(o, "|'%s -%c'", jt_commands[i]->name, p->letter);
            if (p->type == JT_OPT_CHOICE) {
                jt_str_puts(o, ") COMPREPLY=($(compgen -W '");
                choices(p->metavar, o);
                jt_str_puts(o, "' -- \"$cur\")); return ;;\n");
            } else {
                if (is_pipeline(p->metavar))
                    jt_str_puts(o, ") _jeton_pipeline; return ;;\n");
                else
                    jt_str_puts(o, p->type == JT_OPT_FILE ? ") compopt -o default; return ;;\n" : ") return ;;\n");
            }
        }
    }
    jt_str_puts(o, "    esac\n    case $cmd in\n");
    for (int i = 0; jt_commands[i]; i++) {
        const jt_command *c = jt_commands[i];
        const jt_opt *p;
        jt_str_printf(o, "    '%s')\n        case $cur in\n        -*) words='", c->name);
        for (int j = 0; (p = jt_command_opt(c, j)); j++) jt_str_printf(o, "%s--%s", j ? " " : "", p->name);
        jt_str_puts(o, has_pipeline(c) ? "' ;;\n        *) _jeton_pipeline; return; words='" : "' ;;\n        *) words='");
        if (has_kind(c, JT_POS_METHOD)) jt_help_method_names(o);
        if (has_kind(c, JT_POS_MODEL)) model_names(o);
        if (has_kind(c, JT_POS_COMMAND)) command_names(NULL, " ", o);
        jt_str_puts(o, "'");
        if (has_kind(c, JT_POS_MODEL) || has_kind(c, JT_POS_FILE)) jt_str_puts(o, "; compopt -o default");
        jt_str_puts(o, " ;;\n        esac ;;\n");
    }
    jt_str_puts(o, "    esac\n    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\ncomplete -F _jeton jeton\n");
}

static void zsh_arguments(const jt_command *c, jt_str *o) {
    const jt_opt *p;
    jt_str_puts(o, "        _arguments -s");
    for (int j = 0; (p = jt_command_opt(c, j)); j++) {
        for (int form = 0; form < (p->letter ? 2 : 1); form++) {
            const char *more = p->type == JT_OPT_LIST ? "*" : "";
            if (form)
                jt_str_printf(o, " \\\n            '%s-%c[", more, p->letter);
            else
                jt_str_printf(o, " \\\n            '%s--%s%s[", more, p->name, p->type == JT_OPT_FLAG ? "" : "=");
            quoted(p->help, "'\\''", "[]:\\", o);
            jt_str_putc(o, ']');
            if (p->type == JT_OPT_CHOICE) {
                jt_str_printf(o, ":%s:(", p->name);
                choices(p->metavar, o);
                jt_str_putc(o, ')');
            } else if (p->type != JT_OPT_FLAG) {
                jt_str_printf(o, ":%s:%s", p->metavar,
                              is_pipeline(p->metavar)  ? "_jeton_pipeline"
                              : p->type == JT_OPT_FILE ? "_files"
                                                       : "");
            }
            jt_str_putc(o, '\'');
        }
    }
    for (const jt_pos *q = c->pos; q && q->metavar; q++) {
        jt_str_printf(o, " \\\n            '%s:%s:", q->many ? "*" : q->optional ? ":" : "", q->metavar);
        if (q->kind == JT_POS_COMMAND) {
            jt_str_putc(o, '(');
            command_names(NULL, " ", o);
            jt_str_putc(o, ')');
        } else if (q->kind == JT_POS_METHOD) {
            jt_str_putc(o, '(');
            jt_help_method_names(o);
            jt_str_putc(o, ')');
        } else if (q->kind == JT_POS_MODEL || q->kind == JT_POS_FILE || is_pipeline(q->metavar)) {
            jt_str_puts(o, is_pipeline(q->metavar) ? "_jeton_pipeline" : "_files");
        }
        jt_str_putc(o, '\'');
    }
    jt_str_puts(o, " ;;\n");
}

static void zsh(jt_str *o) {
    jt_str_puts(o, "#compdef jeton\n# Completion of jeton for zsh.\n");
    jt_help_pipeline_zsh(o);
    jt_str_puts(o, "_jeton() {\n    local cmd=$words[2] n=1\n"
                   "    if (( CURRENT == 2 )); then\n        compadd ");
    command_names(NULL, " ", o);
    jt_str_puts(o, "\n        return\n    fi\n    case $cmd in\n");
    for (const jt_command_group *g = jt_command_groups; g->name; g++) {
        jt_str_printf(o, "    %s)\n        if (( CURRENT == 3 )); then\n            compadd ", g->name);
        command_names(g->name, " ", o);
        jt_str_puts(o, "\n            return\n        fi\n        cmd=\"$cmd $words[3]\"; n=2 ;;\n");
    }
    jt_str_puts(o, "    esac\n    shift $n words\n    (( CURRENT -= n ))\n    case $cmd in\n");
    for (int i = 0; jt_commands[i]; i++) {
        jt_str_printf(o, "    '%s')\n", jt_commands[i]->name);
        zsh_arguments(jt_commands[i], o);
    }
    jt_str_puts(o, "    esac\n}\nif [ \"$funcstack[1]\" = _jeton ]; then _jeton \"$@\"; else compdef _jeton jeton; fi\n");
}

static void fish(jt_str *o) {
    jt_str_puts(o, "# Completion of jeton for fish.\n");
    jt_help_pipeline_fish(o);
    for (int i = 0; jt_commands[i]; i++) {
        const jt_command *c = jt_commands[i];
        const char *space = strchr(c->name, ' ');
        jt_str cond = {0};
        if (space) {
            int first = (int)(space - c->name);
            jt_str_printf(o, "complete -c jeton -f -n '__fish_seen_subcommand_from %.*s; and not __fish_seen_subcommand_from", first,
                          c->name);
            jt_str_putc(o, ' ');
            jt_str group = {0};
            jt_str_add(&group, c->name, (size_t)first);
            command_names(jt_str_c(&group), " ", o);
            if (group.failed) o->failed = true;
            jt_str_free(&group);
            jt_str_printf(o, "' -a %s -d '", space + 1);
            jt_str_printf(&cond, "__fish_seen_subcommand_from %.*s; and __fish_seen_subcommand_from %s", first, c->name, space + 1);
        } else {
            jt_str_printf(o, "complete -c jeton -f -n __fish_use_subcommand -a %s -d '", c->name);
            jt_str_printf(&cond, "__fish_seen_subcommand_from %s", c->name);
        }
        quoted(c->summary, "\\'", "\\", o);
        jt_str_puts(o, "'\n");
        const jt_opt *p;
        for (int j = 0; (p = jt_command_opt(c, j)); j++) {
            jt_str_printf(o, "complete -c jeton -n '%s' -l %s", jt_str_c(&cond), p->name);
            if (p->letter) jt_str_printf(o, " -s %c", p->letter);
            if (p->type == JT_OPT_CHOICE) {
                jt_str_puts(o, " -x -a '");
                choices(p->metavar, o);
                jt_str_putc(o, '\'');
            } else if (p->type != JT_OPT_FLAG) {
                jt_str_puts(o, is_pipeline(p->metavar) ? " -x -a '(__jeton_pipeline)'" : p->type == JT_OPT_FILE ? " -r -F" : " -x");
            }
            jt_str_puts(o, " -d '");
            quoted(p->help, "\\'", "\\", o);
            jt_str_puts(o, "'\n");
        }
        if (has_kind(c, JT_POS_MODEL) || has_kind(c, JT_POS_FILE)) jt_str_printf(o, "complete -c jeton -n '%s' -F\n", jt_str_c(&cond));
        if (has_pipeline(c)) jt_str_printf(o, "complete -c jeton -n '%s' -f -a '(__jeton_pipeline)'\n", jt_str_c(&cond));
        if (has_kind(c, JT_POS_METHOD)) {
            jt_str_printf(o, "complete -c jeton -n '%s' -f -a '", jt_str_c(&cond));
            jt_help_method_names(o);
            jt_str_puts(o, "'\n");
        }
        if (has_kind(c, JT_POS_MODEL)) {
            jt_str_printf(o, "complete -c jeton -n '%s' -a '", jt_str_c(&cond));
            model_names(o);
            jt_str_puts(o, "'\n");
        }
        if (cond.failed) o->failed = true;
        jt_str_free(&cond);
    }
    for (const jt_command_group *g = jt_command_groups; g->name; g++)
        jt_str_printf(o, "complete -c jeton -f -n __fish_use_subcommand -a %s -d '%s'\n", g->name, g->summary);
}

jt_status jt_help_completion(const char *shell, jt_str *out, jt_error *err) {
    if (strcmp(shell, "bash") == 0)
        bash(out);
    else if (strcmp(shell, "zsh") == 0)
        zsh(out);
    else if (strcmp(shell, "fish") == 0)
        fish(out);
    else
        return jt_error_set(err, JT_UNKNOWN, "no completion for \"%s\"; there is one for bash, zsh and fish", shell);
    return jt_str_check(out, err);
}
