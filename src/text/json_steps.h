/* json_steps.h: the steps of a tokenizer.json as plain data (textpipe.h), read by json_steps.c for tokenizer_json.c. */
#ifndef JT_TEXT_JSON_STEPS_H
#define JT_TEXT_JSON_STEPS_H

#include "core/json.h"
#include "core/mem.h"
#include "text/textpipe.h"

/* Lists that grow; strings point into the document or the arena. Zero-initialised is empty. */
typedef struct jt_json_steps {
    jt_text_step *normal, *cut;
    jt_decode_step *decode;
    jt_template_item *single, *pair;
    size_t n_normal, n_cut, n_decode, n_single, n_pair;
    size_t cap_normal, cap_cut, cap_decode, cap_single, cap_pair;
    jt_arena arena;
} jt_json_steps;
void jt_json_steps_free(jt_json_steps *s);

/* Each reads one member of the document, which may be NULL or null. Errors: JT_UNSUPPORTED for an unknown type, JT_FORMAT. */
jt_status jt_json_normalizer(jt_json_steps *s, const jt_json *v, jt_error *err);
jt_status jt_json_pre_tokenizer(jt_json_steps *s, const jt_json *v, jt_error *err);
jt_status jt_json_decoder(jt_json_steps *s, const jt_json *v, jt_error *err);
/* `find` gives the id of a token, or -1. */
typedef int32_t jt_json_find(const void *who, jt_view name);
jt_status jt_json_post(jt_json_steps *s, const jt_json *v, jt_json_find *find, const void *who, jt_error *err);

/* Members with a value to take when they are absent or null. */
jt_view jt_json_text(const jt_json *v, const char *name, const char *otherwise);
bool jt_json_switch(const jt_json *v, const char *name, bool otherwise);
int64_t jt_json_number(const jt_json *v, const char *name, int64_t otherwise);
const char *jt_json_type(const jt_json *v);

#endif
