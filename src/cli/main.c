/* jeton: finds the command, reads its line and the config file, runs it. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/config.h"
#include "cli/help.h"
#include "cli/out.h"
#include "core/file.h"

static int print_help(const jt_command *c, const char *group) {
    jt_str o = {0};
    jt_error err;
    if (c)
        jt_help_command(c, &o);
    else
        jt_help_list(group, &o);
    jt_status s = jt_str_check(&o, &err);
    if (!s) jt_out_str(&o);
    jt_str_free(&o);
    return s ? jt_fail(&err) : JT_EXIT_OK;
}

static int run_command(const jt_command *c, int argc, char **argv) {
    jt_args a;
    jt_error err;
    int code;
    jt_status s = jt_args_init(&a, c, &err);
    if (!s) s = jt_args_parse(&a, argc, argv, &err);
    if (s) {
        code = s == JT_NOMEM ? jt_fail(&err) : jt_fail_usage(&a, "%s", err.message);
    } else if (jt_arg_flag(&a, "help")) {
        code = print_help(c, NULL);
    } else {
        s = jt_config_apply(jt_arg_text(&a, "config"), &a, &err);
        if (s) {
            jt_say("%s", err.message);
            code = s == JT_NOMEM ? JT_EXIT_FAILURE : JT_EXIT_USAGE;
        } else {
            code = c->run(&a);
        }
    }
    jt_args_free(&a);
    return code;
}

static int no_command(const char *name) {
    jt_nearest near = {.to = name};
    for (int i = 0; jt_commands[i]; i++) jt_nearest_add(&near, jt_commands[i]->name);
    for (int i = 0; jt_command_groups[i].name; i++) jt_nearest_add(&near, jt_command_groups[i].name);
    const char *best = jt_nearest_get(&near);
    if (best)
        jt_say("no command \"%s\"; did you mean \"%s\"?", name, best);
    else
        jt_say("no command \"%s\"; 'jeton help' lists them", name);
    return JT_EXIT_USAGE;
}

static int below_group(const jt_command_group *g, int argc, char **argv) {
    if (argc && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)) return print_help(NULL, g->name);
    if (g->fallback && (!argc || argv[0][0] == '-')) return run_command(jt_command_find(g->fallback), argc, argv);
    char name[64];
    if (argc) {
        bool fits = snprintf(name, sizeof name, "%s %s", g->name, argv[0]) < (int)sizeof name;
        const jt_command *c = fits ? jt_command_find(name) : NULL, *other = g->fallback ? jt_command_find(g->fallback) : NULL;
        bool word = !strpbrk(argv[0], "./") && !jt_file_exists(argv[0]); /* "eval pppl" names no file */
        if (!c && other && other->pos && !(word && other->pos->kind == JT_POS_FILE))
            return run_command(other, argc, argv); /* "methods top-p" */
        return c ? run_command(c, argc - 1, argv + 1) : no_command(name);
    }
    jt_say("%s needs a command; 'jeton %s --help' lists them", g->name, g->name);
    return JT_EXIT_USAGE;
}

/* `jeton` alone: a chat, or one answer where nobody can type. */
static int no_arguments(void) {
    char flag[] = "-p", prompt[] = "What is the sun? Answer in one sentence.";
    char *built_in[] = {flag, prompt};
    if (isatty(STDIN_FILENO)) return run_command(jt_command_find("chat"), 0, built_in);
    return run_command(jt_command_find("run"), 2, built_in);
}

static int start(int argc, char **argv) {
    if (argc < 2) return no_arguments();
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) return print_help(NULL, NULL);
    if (strcmp(name, "--version") == 0) return run_command(jt_command_find("version"), argc - 2, argv + 2);
    const jt_command *c = jt_command_find(name);
    if (c) return run_command(c, argc - 2, argv + 2);
    const jt_command_group *g = jt_group_find(name);
    if (g) return below_group(g, argc - 2, argv + 2);
    if (name[0] == '-') return run_command(jt_command_find("chat"), argc - 1, argv + 1);
    return no_command(name);
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of the write, too */
    return jt_out_end(start(argc, argv));
}
