/* render.h: what other files of src/text ask of a template. */
#ifndef JT_TEXT_JINJA_RENDER_H
#define JT_TEXT_JINJA_RENDER_H

#include <stdbool.h>

#include "core/json.h"
#include "jeton/template.h"

/* jt_template_render of a conversation that has been read. */
jt_status jt_template_render_json(const jt_template *t, const jt_json *conversation, const jt_template_options *o, jt_template_text *out,
                                  jt_error *err);
/* The template's source, as it was given. */
const char *jt_template_source(const jt_template *t, size_t *n);

#endif
