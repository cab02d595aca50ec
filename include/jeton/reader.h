/* reader.h: a model's answer parted into reasoning, tool calls and content, as it streams in.
 *
 * Models mark these in their text in ways that their chat template shows; each way is a family (docs/templates.md has the
 * table). A reader is fed the answer's text with special tokens written out, in pieces of any size, and gives the same
 * parts whatever the pieces are. A call that cannot be read stays in the content, marks and all: nothing is lost. One reader,
 * one thread at a time. */
#ifndef JETON_READER_H
#define JETON_READER_H

#include <stddef.h>

#include "jeton/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct jt_reader jt_reader;

/* The family of a chat template: "hermes", "llama3", "mistral", "deepseek", "harmony", "command-r", "granite", "phi", "gemma",
 * "glm", "kimi", or "plain" for any other. Static storage. */
JT_API const char *jt_reader_family(const char *chat_template, size_t n);

typedef enum jt_reader_part { JT_PART_CONTENT, JT_PART_REASONING, JT_PART_CALL } jt_reader_part;
/* Called with what is new: bytes of content or reasoning; for a call its number is in `call`, and s is its name. */
typedef void jt_reader_fn(void *self, jt_reader_part part, size_t call, const char *s, size_t n);

/* `prompt` (may be NULL) is what the template wrote: an answer to one that ends in the mark of reasoning begins in it.
 * Errors: JT_UNKNOWN for no family, JT_NOMEM. */
JT_API jt_status jt_reader_new(const char *family, const char *prompt, size_t n_prompt, jt_reader_fn *fn, void *self, jt_reader **out,
                               jt_error *err);
JT_API void jt_reader_free(jt_reader *r);
/* 1 if a special token that is written s[0..n) may be part of a mark here. Those that are not mark nothing and are left out by
 * callers who show no special tokens. */
JT_API int jt_reader_knows(const jt_reader *r, const char *s, size_t n);
/* JT_NOMEM, JT_LIMIT (an answer of more than 64 MiB). */
JT_API jt_status jt_reader_push(jt_reader *r, const char *s, size_t n, jt_error *err);
/* The answer has ended: what was held back is decided. */
JT_API jt_status jt_reader_end(jt_reader *r, jt_error *err);

/* All that was read so far, NUL-terminated; the reader's. */
JT_API const char *jt_reader_text(const jt_reader *r, jt_reader_part part, size_t *n);
/* A tool call: arguments are JSON; id is "" where the model gives none. */
typedef struct jt_reader_call {
    const char *name, *arguments, *id;
} jt_reader_call;
JT_API size_t jt_reader_calls(const jt_reader *r);
JT_API jt_reader_call jt_reader_call_at(const jt_reader *r, size_t i);

#ifdef __cplusplus
}
#endif
#endif
