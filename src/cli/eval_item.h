/* eval_item.h: one question of a task: its prompt and choices as texts, then as a request of the driver. */
#ifndef JT_CLI_EVAL_ITEM_H
#define JT_CLI_EVAL_ITEM_H

#include "cli/task.h"
#include "core/str.h"
#include "jeton/decode.h"

typedef struct jt_item {
    jt_str id;      /* JSON; empty: none */
    jt_str context; /* description, examples, question */
    jt_str *choice; /* without the delimiter before them */
    size_t n_choice, gold;
    jt_str target;
    bool has_target;
    uint64_t key; /* of all of this */
} jt_item;

/* Writes item i of `docs`; examples come from `few` (NULL: from the docs, never the item itself). JT_FORMAT and others name the
 * line of the task's file, or the item. */
jt_status jt_item_make(const jt_task *t, const jt_docs *docs, const jt_docs *few, size_t i, jt_item *out, jt_error *err);
void jt_item_free(jt_item *item);

/* An item as a request. Zero-initialised is empty. */
typedef struct jt_item_request {
    jt_request request;    /* prompt and pipeline filled in; the rest is the caller's */
    jt_pipeline *pipeline; /* of this request alone, or NULL */
    jt_message message[2];
    int32_t *prompt;
    int *length; /* of each choice or text, tokens; [answers] */
    size_t answers;
} jt_item_request;
/* `stages`: what likelihoods go through, "" for the model's own; `generate`: the pipeline of answers. The item must outlive it. */
jt_status jt_item_encode(const jt_task *t, const jt_item *item, const jt_tokenizer *tokens, const char *stages, const jt_methods *extra,
                         const jt_pipeline *generate, jt_item_request *out, jt_error *err);
void jt_item_request_free(jt_item_request *r);

#endif
