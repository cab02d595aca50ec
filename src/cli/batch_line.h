/* batch_line.h: one line of `jeton batch`: a JSON object that says what to answer and how. */
#ifndef JT_CLI_BATCH_LINE_H
#define JT_CLI_BATCH_LINE_H

#include "cli/pipelines.h"
#include "core/mem.h"
#include "core/str.h"
#include "jeton/decode.h"

/* What lines leave unsaid. */
typedef struct jt_batch_defaults {
    jt_request request; /* all but prompt and pipeline */
    const char *decode, *system;
    const jt_pipelines *known; /* NULL: no names and plugins */
} jt_batch_defaults;

typedef struct jt_batch_line {
    jt_str id;          /* as JSON; empty: the line has none */
    jt_request request; /* its pointers lead into what follows */
    jt_pipeline *pipeline;
    int32_t *prompt;
    jt_arena arena;
    bool logprobs;
    bool parted; /* the prompt is of the chat format: the answer has parts */
} jt_batch_line;

/* Reads the line s[0..n). JT_FORMAT or JT_UNKNOWN name the key that is wrong; `id` is set as soon as it is known, also on
 * failure. Free with jt_batch_line_free whatever follows. */
jt_status jt_batch_line_read(const char *s, size_t n, const jt_batch_defaults *standard, const jt_tokenizer *t, jt_batch_line *out,
                             jt_error *err);
void jt_batch_line_free(jt_batch_line *l);

#endif
