/* eval_judge.h: what a model said to an item, judged, as a line of results. */
#ifndef JT_CLI_EVAL_JUDGE_H
#define JT_CLI_EVAL_JUDGE_H

#include "cli/batch_result.h"
#include "cli/eval_item.h"
#include "text/regex.h"

/* A task's filters, made ready. */
typedef struct jt_judge {
    const jt_task *task;
    jt_regex **regex; /* [n_filter]; NULL where the filter has none */
    jt_regex_work work;
} jt_judge;
jt_status jt_judge_open(const jt_task *t, jt_judge *out, jt_error *err);
void jt_judge_close(jt_judge *j);

/* The answer's text after the filters, in order. */
jt_status jt_judge_filter(jt_judge *j, const char *s, size_t n, jt_str *out, jt_error *err);
/* Appends what stands in a line of results behind its beginning (jt_batch_result_begin), the line break included. */
jt_status jt_judge_line(jt_judge *j, const jt_item *item, const jt_item_request *r, const jt_batch_result *b, jt_str *out, jt_error *err);

#endif
