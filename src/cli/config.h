/* config.h: defaults from ~/.config/jeton/config.yaml.
 *
 *     threads: 2              # for every command that has the option
 *     run:                    # for one command
 *       decode: temp:0.7 | top-p:0.9
 *       stop: [END, "###"]
 *     eval:                   # for all below a two-level name, or one of them
 *       ppl: {chunk: 512}
 *
 *     pipelines:              # names for --decode @creative
 *       creative: temp:1.2 | min-p:0.02
 *
 * Another key is the long name of an option or of a command; anything else is refused
 * with its line and the nearest name. The innermost setting counts, the command
 * line before all. */
#ifndef JT_CLI_CONFIG_H
#define JT_CLI_CONFIG_H

#include "cli/command.h"

/* Reads the file, checks all of it, and sets what applies to `a` and was not given on the command line. `path` NULL: the
 * user's file, which need not exist; "": none. Messages begin with file and line. */
jt_status jt_config_apply(const char *path, jt_args *a, jt_error *err);

#endif
