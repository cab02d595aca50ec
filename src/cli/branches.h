/* branches.h: the conversations of one chat, each begun as a copy of another. */
#ifndef JT_CLI_BRANCHES_H
#define JT_CLI_BRANCHES_H

#include "cli/conversation.h"

typedef struct jt_branches {
    jt_conversation *talk; /* [n]; at least one once begun */
    size_t n, cap, at;     /* at: the one that goes on */
} jt_branches;

/* One empty conversation. */
jt_status jt_branches_begin(jt_branches *b, const jt_tokenizer *t, jt_error *err);
void jt_branches_free(jt_branches *b);
/* Adds a copy of the one that goes on, and goes on with the copy. On failure nothing changes. */
jt_status jt_branches_fork(jt_branches *b, jt_error *err);

/* A file of one branch is that of jt_conversation_save; of several, JSON: {"jeton_chat": 2, "model", "at", "branches":
 * [{"system", "turns", "ids"}, ...]}. Loading takes both; on failure `b` is unchanged. */
jt_status jt_branches_save(const jt_branches *b, const char *path, const char *model, jt_error *err);
jt_status jt_branches_load(jt_branches *b, const char *path, const char *model, int *again, jt_error *err);

#endif
