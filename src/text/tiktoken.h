/* tiktoken.h: vocabularies of tiktoken: a line for each token, its bytes in base64 and its rank, which is its id.
 *
 * Two neighbours merge when their bytes together are a token, the one of lowest rank first, leftmost on a tie; a piece that is a token
 * is that token. The file says neither how text is cut nor which special tokens there are, so its encoding must be named:
 * gpt2, r50k_base, p50k_base, p50k_edit, cl100k_base, o200k_base, o200k_harmony, llama3, qwen, or a value of
 * tokenizer.ggml.pre, which has no special tokens. */
#ifndef JT_TEXT_TIKTOKEN_H
#define JT_TEXT_TIKTOKEN_H

#include "text/tokenizer.h"

/* Does the file begin like one? */
bool jt_tiktoken_is(const char *s, size_t n);
/* `encoding` NULL: by the name of the file, where that says it. Errors: JT_FORMAT with the line, JT_UNSUPPORTED for another
 * encoding. */
jt_status jt_tokenizer_tiktoken(const char *path, const char *encoding, jt_tokenizer **out, jt_error *err);
/* The same for the text of a file; `name` is for messages. */
jt_status jt_tokenizer_tiktoken_text(const char *s, size_t n, const char *name, const char *encoding, jt_tokenizer **out, jt_error *err);

#endif
