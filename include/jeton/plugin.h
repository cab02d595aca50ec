/* plugin.h: methods in a shared object, given with --plugin FILE.so or jt_methods_load.
 *
 *   #include "jeton/plugin.h"
 *
 *   static const jt_method *const rows[] = {&my_stage, NULL};
 *   JT_PLUGIN("mine", rows);
 *
 *   cc -shared -fPIC -o mine.so mine.c
 *
 * It is not linked with the library: the program that loads it has one. Its rows are
 * those of jeton/method.h (stages, scorers) and jeton/strategy.h (strategies, which may
 * set taps), and stand in pipelines like any other. What a hook returns can fail the
 * run and no more than that. */
#ifndef JETON_PLUGIN_H
#define JETON_PLUGIN_H

#include "jeton/method.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Goes up when a structure or a meaning in method.h, strategy.h, tap.h or keys.h changes. A plugin of another one is refused
 * by its name. */
#define JT_PLUGIN_ABI 1

/* The first two fields never change. */
typedef struct jt_plugin {
    uint32_t abi;
    const char *name;
    uint32_t row_size;
    const jt_method *const *row; /* ends with NULL */
} jt_plugin;

#define JT_PLUGIN_EXPORTED JT_API
#define JT_PLUGIN(called, rows)                                                                                                            \
    extern JT_PLUGIN_EXPORTED const jt_plugin jt_plugin_entry;                                                                             \
    const jt_plugin jt_plugin_entry = {.abi = JT_PLUGIN_ABI, .name = (called), .row_size = (uint32_t)sizeof(jt_method), .row = (rows)}

/* Adds the plugin's rows; it stays loaded until jt_methods_free, which must come after the last pipeline and driver that know
 * them. All of its rows are added or none. Errors: JT_NOTFOUND (no such file), JT_FORMAT (no shared object, or one that
 * exports no jt_plugin_entry), JT_UNSUPPORTED (another ABI), JT_INVALID (a row that is wrong, or whose name is taken). */
JT_API jt_status jt_methods_load(jt_methods *m, const char *path, jt_error *err);

#ifdef __cplusplus
}
#endif
#endif
