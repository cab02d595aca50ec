/* jeton help: the tables of the commands as help, man pages and completions. */
#include "cli/command.h"
#include "cli/help.h"
#include "cli/out.h"

static jt_status write_help(const jt_args *a, const char *name, jt_str *o, jt_error *err) {
    if (jt_arg_text(a, "completion")) return jt_help_completion(jt_arg_text(a, "completion"), o, err);
    const jt_command *c = name ? jt_command_find(name) : NULL;
    if (name && !c && (jt_arg_flag(a, "man") || !jt_group_find(name))) {
        jt_nearest near = {.to = name};
        for (int i = 0; jt_commands[i]; i++) jt_nearest_add(&near, jt_commands[i]->name);
        const char *best = jt_nearest_get(&near);
        if (best) return jt_error_set(err, JT_UNKNOWN, "no command \"%s\"; did you mean \"%s\"?", name, best);
        return jt_error_set(err, JT_UNKNOWN, "no command \"%s\"; 'jeton help' lists them", name);
    }
    if (jt_arg_flag(a, "list")) {
        for (int i = 0; jt_commands[i]; i++) jt_str_printf(o, "%s\n", jt_commands[i]->name);
    } else if (jt_arg_flag(a, "man")) {
        jt_help_man(c, o);
    } else if (c) {
        jt_help_command(c, o);
    } else {
        jt_help_list(name, o);
    }
    return jt_str_check(o, err);
}

static int run(const jt_args *a) {
    jt_str o = {0}, name = {0};
    jt_error err;
    for (int i = 0; i < a->n_pos; i++) jt_str_printf(&name, "%s%s", i ? " " : "", a->pos[i]);
    jt_status s = jt_str_check(&name, &err);
    if (!s) s = write_help(a, a->n_pos ? jt_str_c(&name) : NULL, &o, &err);
    if (!s) jt_out_str(&o);
    jt_str_free(&o);
    jt_str_free(&name);
    return s ? jt_fail(&err) : JT_EXIT_OK;
}

static const jt_pos pos[] = {{"COMMAND", JT_POS_COMMAND, true, true, "the command to explain (\"eval ppl\" may be two words)"}, {0}};
static const jt_opt opts[] = {
    {"man", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print the man page, in roff"},
    {"completion", 0, JT_OPT_CHOICE, "bash|zsh|fish", NULL, 0, 0, "print a completion script for this shell"},
    {"list", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print only the names of the commands, one a line"},
    {0},
};
static const jt_example examples[] = {
    {"jeton help run", "what 'jeton run' can do"},
    {"jeton help --man eval ppl | man -l -", "a man page, shown"},
    {"eval \"$(jeton help --completion bash)\"", "completion in this shell"},
    {0},
};
const jt_command jt_cmd_help = {
    .name = "help",
    .summary = "explain commands; print man pages and completions",
    .opt = opts,
    .pos = pos,
    .example = examples,
    .run = run,
};
