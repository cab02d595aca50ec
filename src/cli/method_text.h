/* method_text.h: what the rows of methods say, as help, JSON, JSON schema and pages. */
#ifndef JT_CLI_METHOD_TEXT_H
#define JT_CLI_METHOD_TEXT_H

#include "core/str.h"
#include "jeton/method.h"

/* A parameter's name as pipelines write it. */
void jt_method_param_name(const jt_param *p, jt_str *out);
/* "history, a second model (guide)"; nothing if it needs nothing. */
void jt_method_needs(const jt_method *m, jt_str *out);

/* All that the row says, at most 79 columns wide. */
void jt_method_describe(const jt_method *m, jt_str *out);
/* The same as a JSON object. */
void jt_method_json(const jt_method *m, jt_str *out);
/* The same as a page of Markdown, docs/methods/NAME.md. */
void jt_method_page(const jt_method *m, jt_str *out);
/* docs/methods/README.md: every method with its line. */
void jt_methods_index(const jt_methods *extra, jt_str *out);
/* A JSON schema (draft 2020-12) of pipelines in their JSON form. In method_schema.c. */
void jt_methods_schema(const jt_methods *extra, jt_str *out);

#endif
