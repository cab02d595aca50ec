/* conversation.h: a chat as tokens, and as the parts that the template makes a prompt of. What was said stays the very tokens that
 * were evaluated and chosen, wherever the template writes the same text. */
#ifndef JT_CLI_CONVERSATION_H
#define JT_CLI_CONVERSATION_H

#include <stddef.h>
#include <stdint.h>

#include "core/json.h"
#include "core/str.h"
#include "jeton/status.h"
#include "jeton/text.h"

/* One question and its answer. */
typedef struct jt_turn {
    jt_str user, answer;     /* user: what was asked, or a JSON list of texts, the results of the calls in the answer before */
    jt_str reasoning, calls; /* of the answer; calls: JSON, separated by commas, as in jt_parts */
    bool tool;               /* user is results of tools */
    size_t begin, open, end; /* tokens: before the question, before the answer, after the answer and its close */
    uint32_t choice;         /* how often the answer was asked for again */
} jt_turn;

typedef struct jt_conversation {
    const jt_tokenizer *tokenizer;
    jt_str system; /* empty: the model's own */
    jt_str tools;  /* a JSON list of what the model may call; empty: nothing */
    int32_t *id;   /* the conversation */
    size_t n, cap;
    jt_turn *turn;
    size_t n_turn, cap_turn;
} jt_conversation;

void jt_conversation_free(jt_conversation *c);
/* No turns; the system message stays. */
void jt_conversation_clear(jt_conversation *c);
/* What the model may call, read from a JSON list of tools; no turns are left. On failure nothing changes. */
jt_status jt_conversation_tools(jt_conversation *c, const char *json, size_t n, jt_error *err);
/* Adds a question and the opening of the answer: id[0..n) is then the prompt. On failure nothing changes. */
jt_status jt_conversation_ask(jt_conversation *c, const char *user, jt_error *err);
/* The same with the results of the calls in the last answer, a JSON list of texts. */
jt_status jt_conversation_results(jt_conversation *c, const char *results, jt_error *err);
/* Calls in the last answer, 0 if there is none. */
size_t jt_conversation_calls(const jt_conversation *c);
/* Adds the answer to the last question. `ids` may end in the token that ended it. On failure the question is taken back. */
jt_status jt_conversation_answer(jt_conversation *c, const int32_t *ids, size_t n, const char *text, size_t n_text, jt_error *err);
/* The same for an answer in parts; `calls` as in jt_parts. */
jt_status jt_conversation_answer_parts(jt_conversation *c, const int32_t *ids, size_t n, const jt_str *content, const jt_str *reasoning,
                                       const jt_str *calls, jt_error *err);
/* Takes back the last question and its answer. */
void jt_conversation_undo(jt_conversation *c);
/* Takes back the last answer, and counts one more choice; its question waits for another. */
void jt_conversation_reopen(jt_conversation *c);

/* What was said as messages, up to the question that waits for an answer; *out is freed by the caller, its texts are the
 * conversation's. */
jt_status jt_conversation_messages(const jt_conversation *c, jt_message **out, size_t *n, jt_error *err);

/* The same turns and tokens once more, into an empty *out. */
jt_status jt_conversation_copy(const jt_conversation *c, jt_conversation *out, jt_error *err);

/* The members "system", "turns" and "ids" of a saved conversation; and one read from an object that has them, into an empty
 * *out that knows its tokenizer. `again`: tokens are made from the text. `path` is for messages. */
void jt_conversation_write(const jt_conversation *c, jt_str *o);
jt_status jt_conversation_read(const jt_json *v, bool again, const char *path, jt_conversation *out, jt_error *err);

/* JSON: {"jeton_chat": 1, "model", "system", "turns": [{"user", "answer", "choice", "begin", "open", "end"}], "ids"}, with "tools", and
 * "reasoning", "calls" and "tool" of a turn, where there are such. Loading checks everything; with another model's file (by name) tokens
 * are made again from the text, and *again is set. On failure `c` is unchanged. */
jt_status jt_conversation_save(const jt_conversation *c, const char *path, const char *model, jt_error *err);
jt_status jt_conversation_load(jt_conversation *c, const char *path, const char *model, int *again, jt_error *err);

#endif
