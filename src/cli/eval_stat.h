/* eval_stat.h: what can be said of a mean over items: intervals by the bootstrap
 * (Efron 1979, percentile form), by Wilson's score (1927) for proportions, and by the
 * normal distribution. All intervals are of 95 %. Resamples are drawn at random
 * addresses, so that the same numbers give the same interval anywhere. */
#ifndef JT_CLI_EVAL_STAT_H
#define JT_CLI_EVAL_STAT_H

#include <stddef.h>
#include <stdint.h>

#include "jeton/status.h"

typedef struct jt_interval {
    double low, high;
} jt_interval;

jt_interval jt_wilson(double successes, double n);
/* Standard error of the mean of x[0], x[stride] ...; NaN below two. */
double jt_mean_error(const double *x, size_t n, size_t stride);

/* What is estimated from n items (by number, repeats allowed): pick[i] is the i-th item. */
typedef double jt_estimate(const void *self, const uint32_t *pick, size_t n);
enum { JT_RESAMPLES = 10000 };
typedef struct jt_bootstrap {
    double value; /* of the items as they are */
    jt_interval range;
    double sign; /* share of resamples on the other side of 0 from the value, twice, at most 1: a two-sided p-value of "it is 0" */
} jt_bootstrap;
/* Resamples n items with replacement. Errors: JT_NOMEM, JT_INVALID (no items). */
jt_status jt_bootstrap_run(jt_estimate *f, const void *self, size_t n, int resamples, uint64_t seed, jt_bootstrap *out, jt_error *err);

#endif
