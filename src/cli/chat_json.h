/* chat_json.h: conversations as the JSON that chat templates take. */
#ifndef JT_CLI_CHAT_JSON_H
#define JT_CLI_CHAT_JSON_H

#include <stdbool.h>

#include "core/json.h"
#include "jeton/text.h"

/* Appends the tokens of a conversation (jt_chat_encode_json). Arguments of tool calls may be objects or, as in the OpenAI
 * interface, text. Most templates want objects and get them; to one that refuses the conversation so, text is given. */
jt_status jt_chat_json_encode(const jt_tokenizer *t, const jt_json *conversation, jt_tokens *out, jt_error *err);

/* A list of tools as templates want it: JT_FORMAT unless it is a list of objects {"type": "function", "function": {"name": ...}}. */
jt_status jt_chat_json_tools(const jt_json *tools, jt_error *err);

#endif
