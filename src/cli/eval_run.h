/* eval_run.h: all items of a task through one driver: what `eval` and `reproduce` share. */
#ifndef JT_CLI_EVAL_RUN_H
#define JT_CLI_EVAL_RUN_H

#include "cli/batch_file.h"
#include "cli/eval_results.h"
#include "cli/pipelines.h"
#include "cli/session.h"
#include "cli/task.h"

typedef struct jt_eval_how {
    const char *decode;      /* pipeline of answers, or the stages that likelihoods go through; NULL or "": greedy, or none */
    const jt_methods *extra; /* plugins' methods; NULL: none */
    uint64_t seed;
    int64_t limit;      /* items from the first on; 0: all */
    size_t jobs;        /* at once at most; 0: by the task */
    const char *data;   /* in place of the task's; NULL: the task's own */
    const char *output; /* file of results; NULL: none is kept */
    jt_batch_begin begin;
    const char *what; /* on the bar of progress */
} jt_eval_how;

typedef struct jt_eval_told {
    jt_eval_results results; /* of all items that have one */
    size_t items, had, bad;  /* in the data; results found there already; that could not be answered */
    uint64_t tokens;         /* evaluated or generated now */
    double seconds;
} jt_eval_told;
void jt_eval_told_free(jt_eval_told *t);

/* Evaluates the task. Says what fails and returns a JT_EXIT code; JT_EXIT_INTERRUPTED leaves a file that the same call goes on with.
 * `d` has the session's models and no jobs. */
int jt_eval_run(const jt_task *t, const jt_session *s, jt_driver *d, const jt_eval_how *how, jt_eval_told *out);

#endif
