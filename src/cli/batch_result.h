/* batch_result.h: what a job of `jeton batch` said, and its line of results. */
#ifndef JT_CLI_BATCH_RESULT_H
#define JT_CLI_BATCH_RESULT_H

#include "cli/answer.h"
#include "cli/batch_line.h"

/* One answer; a strategy may give several. */
typedef struct jt_batch_answer {
    jt_answer a;
    jt_parts parts; /* where lines have such */
    jt_str note;    /* JSON numbers, separated */
} jt_batch_answer;

typedef struct jt_batch_result {
    jt_batch_answer *answer; /* by number */
    size_t n, cap;
    bool whole; /* the strategy gave its answers as wholes, with reasons of their own */
    jt_end_reason reason;
    int prompt_tokens, answer_tokens; /* answer_tokens: of all answers */
    double prompt_seconds, answer_seconds;
} jt_batch_result;
void jt_batch_result_free(jt_batch_result *r);

/* Takes an event of the job for `line`. */
jt_status jt_batch_result_take(const jt_tokenizer *t, const jt_event *e, const jt_batch_line *line, jt_batch_result *r, jt_error *err);

/* Begins a line: {"index": ..., "id": ..., "request": "..."; `id` is JSON, "" for none. Then one of the two ends it. */
void jt_batch_result_begin(size_t index, const char *id, uint64_t request, jt_str *o);
void jt_batch_result_write(const jt_batch_result *r, const jt_batch_line *line, jt_str *o);
void jt_batch_result_error(const char *message, jt_str *o);

#endif
