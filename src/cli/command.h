/* command.h: a command is one table, and everything said about it comes from
 * that table: parsing, --help, the man page, completions, defaults in the
 * config file.
 *
 * A command is one file cmd_<name>.c that defines
 *     const jt_command jt_cmd_<name> = {...};
 * and one line in commands.c. Two-level commands have a space in their name
 * ("eval ppl"). Its function gets parsed, checked values by name:
 *     int n = (int)jt_arg_int(a, "tokens");
 * Asking for an option that the command does not have is a bug (assert).
 *
 * Syntax: --name VALUE, --name=VALUE, -x VALUE, -xVALUE, grouped flags -ab,
 * --flag, --flag=false; options and arguments in any order, "--" ends options.
 * The last of several settings counts (a JT_OPT_LIST collects them). Values come
 * from the command line, else the config file, else the row's default. */
#ifndef JT_CLI_COMMAND_H
#define JT_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/mem.h"
#include "core/str.h"
#include "jeton/status.h"

/* What `jeton` gives back to the shell; jt_exit_rows says it in words. */
enum { JT_EXIT_OK = 0, JT_EXIT_FAILURE = 1, JT_EXIT_USAGE = 2, JT_EXIT_FILE = 3, JT_EXIT_OUTPUT = 4, JT_EXIT_INTERRUPTED = 130 };
typedef struct jt_exit_row {
    int code;
    const char *meaning;
} jt_exit_row;
extern const jt_exit_row jt_exit_rows[]; /* ends with meaning NULL */

typedef enum jt_opt_type {
    JT_OPT_FLAG,   /* no value */
    JT_OPT_INT,    /* min..max */
    JT_OPT_U64,    /* 0 to 2^64 - 1 */
    JT_OPT_REAL,   /* min..max */
    JT_OPT_TEXT,   /* any text */
    JT_OPT_FILE,   /* text that completes as a file name; "-" is a standard stream where the help says so */
    JT_OPT_CHOICE, /* one of the words in metavar: "int8|float" */
    JT_OPT_LIST    /* text, may be given several times */
} jt_opt_type;

typedef struct jt_opt {
    const char *name; /* without dashes */
    char letter;      /* 0: none */
    jt_opt_type type;
    const char *metavar;  /* "N", "FILE"; the choices of a JT_OPT_CHOICE; NULL for flags */
    const char *fallback; /* the default, as a user would write it; NULL: none (flag off, text NULL, number 0) */
    double min, max;      /* of numbers, both included; min == max: no bounds */
    const char *help;     /* lower case, no full stop, one sentence */
} jt_opt;

typedef enum jt_pos_kind { JT_POS_TEXT, JT_POS_MODEL, JT_POS_FILE, JT_POS_METHOD, JT_POS_COMMAND } jt_pos_kind;
typedef struct jt_pos {
    const char *metavar; /* "MODEL" */
    jt_pos_kind kind;    /* what completes it */
    bool optional, many; /* many: only the last */
    const char *help;
} jt_pos;

typedef struct jt_example {
    const char *line, *what;
} jt_example;

typedef struct jt_args jt_args;
typedef struct jt_command {
    const char *name;             /* "run", "eval ppl" */
    const char *summary;          /* one line, lower case, no full stop */
    const char *about;            /* paragraphs separated by "\n\n", or NULL */
    const jt_opt *opt;            /* ends with name NULL; may be NULL */
    bool model_options;           /* also has jt_model_opts */
    bool encoders;                /* takes models that are encoders, too */
    const jt_pos *pos;            /* ends with metavar NULL; may be NULL */
    const jt_example *example;    /* ends with line NULL; may be NULL */
    int (*run)(const jt_args *a); /* returns a JT_EXIT code, having said on stderr what failed */
} jt_command;

/* What several commands have in common under the first word of two-level names. */
typedef struct jt_command_group {
    const char *name, *summary;
    const char *fallback; /* the command that the first word alone means, or NULL */
} jt_command_group;

extern const jt_command *const jt_commands[];      /* ends with NULL, in the order of help */
extern const jt_command_group jt_command_groups[]; /* ends with name NULL */
extern const jt_opt jt_model_opts[];               /* --threads, --ctx ... of every model command */
extern const jt_opt jt_global_opts[];              /* --help, --config */

/* The i-th option of a command: its own, the model options, the global ones; NULL past the end. */
const jt_opt *jt_command_opt(const jt_command *c, int i);
/* Number of i-th option by name, -1 if the command has none. */
int jt_command_find_opt(const jt_command *c, const char *name, size_t n);
/* The command by its full name, NULL if there is none. */
const jt_command *jt_command_find(const char *name);
const jt_command_group *jt_group_find(const char *name);

/* ---- values ---- */

enum { JT_MAX_OPTS = 64 };
typedef enum jt_from { JT_FROM_DEFAULT, JT_FROM_CONFIG, JT_FROM_LINE } jt_from;
typedef struct jt_opt_value {
    jt_from from;
    bool flag;
    int64_t i;
    uint64_t u;
    double x;
    const char *s;     /* the value as written; NULL when there is none */
    const char **list; /* of a JT_OPT_LIST */
    int n_list;
} jt_opt_value;

/* A pipeline with a name, of the config file. */
typedef struct jt_named_pipeline {
    const char *name, *text;
} jt_named_pipeline;

struct jt_args {
    const jt_command *command;
    jt_opt_value value[JT_MAX_OPTS]; /* by the number of jt_command_opt */
    const char **pos;
    int n_pos;
    const jt_named_pipeline *pipeline;
    int n_pipeline;
    jt_arena arena;
};

/* Sets every value to its default. Free with jt_args_free whatever follows. */
jt_status jt_args_init(jt_args *a, const jt_command *c, jt_error *err);
/* Sets option `opt` from text; JT_INVALID names the option and what it takes. */
jt_status jt_args_set(jt_args *a, int opt, const char *value, jt_from from, jt_error *err);
/* Reads argv[0..argc), what follows the command's name. JT_UNKNOWN for an option
 * that the command does not have, with the nearest; JT_INVALID for the rest.
 * Stops at --help, without a check of what is missing. Strings of argv must outlive `a`. */
jt_status jt_args_parse(jt_args *a, int argc, char **argv, jt_error *err);
void jt_args_free(jt_args *a);

bool jt_arg_given(const jt_args *a, const char *name); /* on the command line or in the config file */
bool jt_arg_flag(const jt_args *a, const char *name);
int64_t jt_arg_int(const jt_args *a, const char *name);
uint64_t jt_arg_u64(const jt_args *a, const char *name);
double jt_arg_real(const jt_args *a, const char *name);
const char *jt_arg_text(const jt_args *a, const char *name); /* text, file or choice; NULL: not set */
const char *const *jt_arg_list(const jt_args *a, const char *name, int *n);
/* The i-th positional argument, NULL if not given. */
const char *jt_arg_pos(const jt_args *a, int i);

/* The name in a list that is nearest to `s` and near enough to be worth saying, or NULL: feed names one by one. */
typedef struct jt_nearest {
    const char *to, *best;
    int distance;
} jt_nearest;
void jt_nearest_add(jt_nearest *n, const char *name);
const char *jt_nearest_get(const jt_nearest *n);

#endif
