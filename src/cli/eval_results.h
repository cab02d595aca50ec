/* eval_results.h: the results of `jeton eval`, a line for each item, and what they say
 * together. A line is written by eval_item.c; every line of a file has the same
 * numbers under "metrics". */
#ifndef JT_CLI_EVAL_RESULTS_H
#define JT_CLI_EVAL_RESULTS_H

#include "cli/eval_stat.h"
#include "core/str.h"

enum { JT_EVAL_METRICS = 12 };
typedef struct jt_eval_row {
    int64_t index;
    uint64_t item; /* hash of what was asked, whatever answered */
    double x[JT_EVAL_METRICS];
} jt_eval_row;
typedef struct jt_eval_results {
    char name[JT_EVAL_METRICS][32];
    int n_metric;
    jt_eval_row *row; /* by index */
    size_t n, cap;
} jt_eval_results;

/* Reads a file of results; a cut last line is left out. Errors: JT_FORMAT with the line; of two results of an item the last counts. */
jt_status jt_eval_results_read(const char *path, jt_eval_results *out, jt_error *err);
/* Adds a line; jt_eval_results_sort when all are there. */
jt_status jt_eval_results_add(jt_eval_results *r, const char *line, size_t n, jt_error *err);
void jt_eval_results_sort(jt_eval_results *r);
void jt_eval_results_free(jt_eval_results *r);
int jt_eval_results_metric(const jt_eval_results *r, const char *name); /* -1: none */

/* A number that is told of all items: f(sum of x[over] / sum of x[by]). */
typedef struct jt_measure {
    const char *name;
    int over, by;                                                        /* by -1: the number of items */
    enum { JT_MEASURE_MEAN, JT_MEASURE_PERPLEXITY, JT_MEASURE_BITS } as; /* x; exp(-x); -x / ln 2 */
    bool proportion;                                                     /* every item has 0 or 1 */
} jt_measure;
/* The measures that the results have, into out[0..JT_EVAL_METRICS]; how many. */
int jt_measures(const jt_eval_results *r, jt_measure out[JT_EVAL_METRICS]);

typedef struct jt_summary {
    double value, error;            /* error: standard error of a mean, else NaN */
    jt_interval bootstrap, formula; /* formula: Wilson's of a proportion, else the normal one of a mean, else NaN */
} jt_summary;
jt_status jt_measure_summary(const jt_eval_results *r, const jt_measure *m, uint64_t seed, jt_summary *out, jt_error *err);
/* b - a over the items of both, which must be the same in the same order. */
jt_status jt_measure_paired(const jt_eval_results *a, const jt_eval_results *b, const jt_measure *ma, const jt_measure *mb, uint64_t seed,
                            jt_bootstrap *out, jt_error *err);
/* Keeps the items that both have, by index; JT_INVALID if one of them was asked something else, or none is left. */
jt_status jt_eval_results_pair(jt_eval_results *a, jt_eval_results *b, jt_error *err);

#endif
