/* tokenizer_json.h: the tokenizer of a tokenizer.json of Hugging Face. What is not known is refused by name. */
#ifndef JT_TEXT_TOKENIZER_JSON_H
#define JT_TEXT_TOKENIZER_JSON_H

#include "core/json.h"
#include "text/tokenizer.h"

/* `config`: tokenizer_config.json, which names special tokens and may have the chat template; may be NULL. The vocabulary has
 * at least `vocab` ids (0: as many as the file has), and if `vocab` is given no more. */
jt_status jt_tokenizer_json(const jt_json *root, const jt_json *config, size_t vocab, jt_tokenizer **out, jt_error *err);

#endif
