/* help.h: help, man pages and completions, written from the commands' tables. */
#ifndef JT_CLI_HELP_H
#define JT_CLI_HELP_H

#include "cli/command.h"

/* Every command with its summary; `group`: only those below a two-level name, NULL for all. */
void jt_help_list(const char *group, jt_str *out);
/* Usage, options, examples and exit codes of one command, at most 80 columns wide. */
void jt_help_command(const jt_command *c, jt_str *out);
/* A man page in roff: of one command, or of jeton itself (NULL). */
void jt_help_man(const jt_command *c, jt_str *out);
/* A completion script for "bash", "zsh" or "fish". */
jt_status jt_help_completion(const char *shell, jt_str *out, jt_error *err);

/* For those scripts: the functions that complete a pipeline, and the names of all methods. In help_pipeline.c. */
void jt_help_pipeline_bash(jt_str *out);
void jt_help_pipeline_zsh(jt_str *out);
void jt_help_pipeline_fish(jt_str *out);
void jt_help_method_names(jt_str *out);

/* Text wrapped to `width` columns; lines after the first begin with `indent` spaces. `at` is the column of the first word. */
void jt_help_wrap(const char *text, int at, int indent, int width, jt_str *out);
/* "jeton run [MODEL] [options]". */
void jt_help_usage(const jt_command *c, jt_str *out);
/* "-t, --threads N". */
void jt_help_option_head(const jt_opt *o, jt_str *out);

#endif
