/* tokenizer_source.h: the tokenizer of a model, or of a tokenizer's own file or folder. */
#ifndef JT_CLI_TOKENIZER_SOURCE_H
#define JT_CLI_TOKENIZER_SOURCE_H

#include "jeton/engine.h"
#include "jeton/model.h"
#include "jeton/text.h"

/* A tokenizer, and the model it belongs to, if any. */
typedef struct jt_tokenizer_source {
    jt_engine *engine;
    jt_model *model;
    jt_tokenizer *own;
} jt_tokenizer_source;

/* `encoding` is for files of tiktoken, NULL for none. Gives a JT_EXIT code, having said what failed; closed in any case. */
int jt_tokenizer_source_open(const char *name, const char *encoding, jt_tokenizer_source *o, const jt_tokenizer **out);
void jt_tokenizer_source_close(jt_tokenizer_source *o);

#endif
