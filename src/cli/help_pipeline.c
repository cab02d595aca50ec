/* Completion inside a pipeline, for scripts of the shells: names of methods, and of their parameters behind ':' and ','. The
 * last method of the word is completed, so that a pipeline in quotes is, too. */
#include "cli/help.h"
#include "cli/method_text.h"

void jt_help_method_names(jt_str *o) {
    const jt_method *m;
    for (int i = 0; (m = jt_method_at(NULL, i)); i++) jt_str_printf(o, "%s%s", i ? " " : "", m->name);
}

/* "t= min-keep=". */
static void params(const jt_method *m, jt_str *o) {
    for (int i = 0; i < m->n_param; i++) {
        if (m->param[i].type == JT_PARAM_BIAS) continue;
        if (i) jt_str_putc(o, ' ');
        jt_method_param_name(&m->param[i], o);
        jt_str_putc(o, '=');
    }
}

static void cases(const char *before, const char *between, const char *after, jt_str *o) {
    const jt_method *m;
    for (int i = 0; (m = jt_method_at(NULL, i)); i++) {
        if (!m->n_param) continue;
        jt_str_printf(o, "%s%s%s", before, m->name, between);
        params(m, o);
        jt_str_puts(o, after);
    }
}

void jt_help_pipeline_bash(jt_str *o) {
    jt_str_puts(o, "_jeton_params() {\n    case $1 in\n");
    cases("    ", ") echo '", "' ;;\n", o);
    jt_str_puts(o, "    esac\n}\n"
                   "_jeton_pipeline() {\n"
                   "    local marks=' |>(' quotes=\\\"\\' head tail key\n"
                   "    local text=${cur#[\"$quotes\"]}\n"
                   "    tail=${text##*[\"$marks\"]}\n"
                   "    head=${text%\"$tail\"}\n"
                   "    if [[ $tail == *:* ]]; then\n"
                   "        key=${tail##*[:,]}\n"
                   "        head=$head${tail%\"$key\"}\n"
                   "        COMPREPLY=($(compgen -W \"$(_jeton_params \"${tail%%:*}\")\" -- \"$key\"))\n"
                   "    else\n"
                   "        COMPREPLY=($(compgen -W '");
    jt_help_method_names(o);
    jt_str_puts(o, "' -- \"$tail\"))\n"
                   "    fi\n"
                   "    COMPREPLY=(\"${COMPREPLY[@]/#/$head}\")\n"
                   "    compopt -o nospace\n"
                   "}\n");
}

void jt_help_pipeline_zsh(jt_str *o) {
    jt_str_puts(o, "_jeton_params() {\n    case $1 in\n");
    cases("    ", ") echo '", "' ;;\n", o);
    jt_str_puts(o, "    esac\n}\n"
                   "_jeton_pipeline() {\n"
                   "    compset -P '*[|>( ]'\n"
                   "    if [[ $PREFIX == *:* ]]; then\n"
                   "        local method=${PREFIX%%:*}\n"
                   "        compset -P '*[:,]'\n"
                   "        compadd -S '' -- $(_jeton_params $method)\n"
                   "    else\n"
                   "        compadd -S '' -- ");
    jt_help_method_names(o);
    jt_str_puts(o, "\n    fi\n}\n");
}

void jt_help_pipeline_fish(jt_str *o) {
    jt_str_puts(o, "function __jeton_params\n    switch $argv[1]\n");
    cases("    case ", "\n        string split ' ' '", "'\n", o);
    jt_str_puts(o, "    end\nend\n"
                   "function __jeton_pipeline\n"
                   "    set -l text (commandline -ct | string replace -r \"^[\\\"']\" '')\n"
                   "    set -l head (string replace -r '[^|>( ]*$' '' -- \"$text\")\n"
                   "    set -l tail (string replace -r '^.*[|>( ]' '' -- \"$text\")\n"
                   "    if string match -q '*:*' -- \"$tail\"\n"
                   "        set -l method (string replace -r ':.*' '' -- \"$tail\")\n"
                   "        set -l begin (string replace -r '[^:,]*$' '' -- \"$tail\")\n"
                   "        for k in (__jeton_params $method)\n            echo \"$head$begin$k\"\n        end\n"
                   "    else\n"
                   "        for m in ");
    jt_help_method_names(o);
    jt_str_puts(o, "\n            echo \"$head$m\"\n        end\n    end\nend\n");
}
