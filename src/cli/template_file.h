/* template_file.h: the chat template of a file or a model folder, and the tokens that it writes. */
#ifndef JT_CLI_TEMPLATE_FILE_H
#define JT_CLI_TEMPLATE_FILE_H

#include <stdbool.h>

#include "core/str.h"

typedef struct jt_template_file {
    jt_str text;     /* the template's source */
    jt_str bos, eos; /* s NULL: the files name none */
} jt_template_file;

/* `path` is a template, a GGUF file, or a folder with chat_template.jinja or tokenizer_config.json. Of several templates `name`
 * is taken, or else "tool_use" if there are tools, or else "default". Errors name the templates that there are. */
jt_status jt_template_file_read(const char *path, const char *name, bool tools, jt_template_file *out, jt_error *err);
void jt_template_file_free(jt_template_file *f);

#endif
