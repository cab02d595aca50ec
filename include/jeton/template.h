/* template.h: chat templates, as model files carry them (Jinja2), and the conversations that they write.
 *
 * What is understood is Jinja 3.1 as Hugging Face transformers sets it up for chat templates (docs/templates.md has the
 * list): its statements, filters, tests and globals, and the methods of Python's strings, lists and dicts. A template gives
 * the same text, byte for byte, or is refused by a message with line and column. Templates come from strangers: steps, depth,
 * memory and output are bounded, and nothing outside the conversation can be reached.
 *
 * A jt_template is immutable after it is made and may be used from any number of threads. */
#ifndef JETON_TEMPLATE_H
#define JETON_TEMPLATE_H

#include <stddef.h>
#include <stdint.h>

#include "jeton/status.h"
#include "jeton/text.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct jt_template jt_template;

/* Reads a template. Errors: JT_FORMAT and JT_UNSUPPORTED with line and column (columns count characters), JT_LIMIT (more than
 * 4 MiB, or tags nested too deeply), JT_NOMEM. `source` is not needed afterwards. */
JT_API jt_status jt_template_new(const char *source, size_t n, jt_template **out, jt_error *err);
/* NULL is fine. */
JT_API void jt_template_free(jt_template *t);

/* Zero-initialised is a template without tokens of beginning and end, at the time of the clock, with the limits that are
 * ordinary. */
typedef struct jt_template_options {
    const char *bos, *eos; /* bos_token and eos_token, unless the conversation has its own; NULL: not defined */
    int now_given;         /* 1: `now` and `now_micro` are the time of strftime_now; 0: this machine's clock and time zone */
    int64_t now;           /* seconds from 1970-01-01T00:00 to the time on the wall */
    int32_t now_micro;     /* microseconds behind them */
    int hf;                /* 1: what transformers' apply_chat_template does to its input: absent tools and documents are None,
                              members of messages that are null are left out, reasoning has all its names */
    int strict;            /* 1: writing a value that is not defined is an error, not an empty text */
    uint64_t steps;        /* 0: 20 million */
    size_t memory;         /* bytes; 0: 256 MiB and 64 times the conversation */
    size_t output;         /* bytes; 0: 64 MiB */
} jt_template_options;

typedef struct jt_template_span {
    size_t begin, end; /* bytes of the text */
} jt_template_span;

/* What a template wrote. */
typedef struct jt_template_text {
    char *text; /* NUL-terminated; may hold NUL */
    size_t n;
    uint8_t *from;                /* a byte for each byte of the text: 1 where the conversation said it, 0 where the template did */
    jt_template_span *generation; /* what stands in {% generation %}: the assistant's own words */
    size_t n_generation;
} jt_template_text;
JT_API void jt_template_text_free(jt_template_text *t);

/* Renders a conversation: a JSON object whose members are the template's variables (messages, tools, add_generation_prompt and
 * whatever else the template asks for). "continue_final_message": true, or the name of a member of the last message, leaves
 * the last message open, as transformers does. Errors: JT_INVALID (the template's own raise_exception), JT_FORMAT and
 * JT_UNSUPPORTED (with line and column of the template, or of the JSON), JT_LIMIT, JT_NOMEM. *out is untouched on failure. */
JT_API jt_status jt_template_render(const jt_template *t, const char *conversation, size_t n, const jt_template_options *o,
                                    jt_template_text *out, jt_error *err);

/* 1 if the template says by {% generation %} what the assistant's own words are. */
JT_API int jt_template_marks(const jt_template *t);

/* Appends the tokens of a text that a template wrote, as jt_chat_encode makes them: special tokens only where the template wrote all
 * of their bytes; spans are of the text. *mask (may be NULL) gets a byte for each of them, 1 where the token holds a byte of
 * {% generation %}, for losses on the assistant's words alone; free it with jt_mask_free. Errors: JT_NOMEM, JT_LIMIT. On failure
 * `out` is unchanged. */
JT_API jt_status jt_template_tokens(const jt_tokenizer *t, const jt_template_text *text, jt_tokens *out, uint8_t **mask, jt_error *err);
JT_API void jt_mask_free(uint8_t *mask);

#ifdef __cplusplus
}
#endif
#endif
