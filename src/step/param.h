/* param.h: from "p=0.9,min-keep=2" to a method's parameter struct, and back.
 *
 *   list  = item { "," item }
 *   item  = [ key "=" ] value          without key: the method's first parameter, as the first item
 *   key   = name | id | "quoted"       ids and quoted texts name tokens, for a method that takes biases
 *   value = bare | "quoted" | "@" path | "(" stages ")" | method | "(" method ")"
 *
 * A quoted text knows \" \\ \n \r \t and \xHH. Spaces around keys and values are
 * ignored. Every failure says the byte of the pipeline, what was found and the
 * nearest valid choice. */
#ifndef JT_STEP_PARAM_H
#define JT_STEP_PARAM_H

#include "core/mem.h"
#include "core/str.h"
#include "jeton/method.h"

/* What only the layer above can do, and what methods there are. */
typedef struct jt_param_reading {
    const jt_methods *extra;
    /* Parses text[from..end) as stages alone; what is made lives as long as the arena. */
    jt_status (*stages)(void *self, const char *text, size_t from, size_t end, jt_stages_value *out, jt_error *err);
    void *self;
    int depth; /* of methods in methods' parameters */
} jt_param_reading;

/* Parses the list text[from..end) of the pipeline `text` into a struct for `m`, in the arena with all it points to.
 * What is not given has its default; from == end gives nothing but defaults. */
jt_status jt_params_parse(const jt_method *m, const char *text, size_t from, size_t end, jt_arena *a, jt_param_reading *how, void **out,
                          jt_error *err);
/* Appends ":p=0.9,min-keep=2", every parameter written out; nothing for a method without parameters. */
void jt_params_print(const jt_method *m, const void *par, jt_str *out);

/* Item number i of "a|b|c"; false past the end. */
bool jt_param_choice(const char *list, int i, const char **s, size_t *n);
/* Appends s[0..n) in quotes, as a pipeline has texts. */
void jt_params_quote(jt_str *out, const char *s, size_t n);

/* Sets the message "pipeline, byte N: ..." and returns `code`. */
jt_status jt_pipeline_error(jt_error *err, jt_status code, size_t byte, const char *fmt, ...) JT_PRINTF(4, 5);
/* The end of the quoted text that begins at text[at] == '"', past the closing quote; 0 if it is never closed. */
size_t jt_quoted_end(const char *text, size_t at, size_t end);

#endif
