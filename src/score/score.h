/* score.h: how well a model predicts a text, and how far two models differ on it.
 *
 * A text is cut into windows of equal length; each is evaluated from an empty
 * state, and the rows from `first` on are scored: row t of a window predicts its
 * id t + 1. Perplexity follows the rule of llama.cpp's perplexity tool: windows
 * of 512 tokens without special tokens, scored from the middle on (rows 256 to
 * 510), exp of the mean of -ln p over all scored rows.
 *
 * Kullback-Leibler divergence is in nats, KL(A || B) = sum of p_A ln(p_A / p_B)
 * over the whole vocabulary, in double precision. */
#ifndef JT_SCORE_SCORE_H
#define JT_SCORE_SCORE_H

#include <stddef.h>
#include <stdint.h>

#include "jeton/model.h"

typedef struct jt_windows {
    const int32_t *ids; /* [n][length] */
    size_t n;
    int length; /* at least 2 */
    int first;  /* first scored row, 0 to length - 2 */
} jt_windows;

/* Scored rows of one window: length - 1 - first. */
static inline int jt_windows_scored(const jt_windows *w) { return w->length - 1 - w->first; }

/* Whole windows of `length` in ids[0..n_ids), scored from the middle on; at most `max` of them (0: all). */
jt_windows jt_windows_halves(const int32_t *ids, size_t n_ids, int length, size_t max);

/* Told after each evaluation how many windows are whole; nonzero stops with JT_CANCELLED. */
typedef struct jt_watch {
    int (*step)(void *self, size_t windows_done);
    void *self;
} jt_watch;

/* ln p of every scored row's next id: logprob [n][scored], and `entropy` of the
 * rows (nats, same shape, may be NULL). Short windows share batches. `watch` may
 * be NULL. Errors: JT_INVALID (a bad window or id), and those of jt_eval. */
jt_status jt_score_windows(jt_model *m, const jt_windows *w, double *logprob, double *entropy, const jt_watch *watch, jt_error *err);

/* ---- perplexity, as running sums; zero-initialised is empty ---- */
typedef struct jt_perplexity {
    double sum, squares; /* of -ln p */
    uint64_t tokens;
} jt_perplexity;
void jt_perplexity_add(jt_perplexity *p, const double *logprob, size_t n);
double jt_perplexity_value(const jt_perplexity *p); /* NaN when empty */
/* Standard error of the value, tokens taken as independent; NaN below two tokens. */
double jt_perplexity_error(const jt_perplexity *p);

/* ---- two models on one text ---- */
typedef struct jt_kl_row {
    double kl;                   /* KL(A || B), never below 0 */
    double logprob_a, logprob_b; /* of the row's next id */
    int32_t top_a, top_b;        /* best ids; the lowest of equals */
} jt_kl_row;

/* Compares two rows of n logits; `target` is the id whose logprobs are wanted. */
jt_kl_row jt_kl_compare(const float *a, const float *b, int n, int32_t target);

/* Every scored row of both models, rows [n][scored]. Besides errors of jt_eval:
 * JT_INVALID when the vocabularies differ in size. */
jt_status jt_score_kl(jt_model *a, jt_model *b, const jt_windows *w, jt_kl_row *rows, const jt_watch *watch, jt_error *err);

enum { JT_KL_PERCENTILES = 9 };
extern const double jt_kl_percentiles[JT_KL_PERCENTILES]; /* 1, 5, 10, 50, 90, 95, 99, 99.9, 100: the last is the maximum */

typedef struct jt_kl_summary {
    size_t rows;
    double mean, mean_error; /* of KL, and its standard error */
    double percentile[JT_KL_PERCENTILES];
    double same_top, same_top_error;   /* fraction of rows with the same best id */
    double perplexity_a, perplexity_b; /* over these rows */
    double ratio, ratio_error;         /* perplexity_b / perplexity_a, error from the paired differences of ln p */
    double logprob_rms;                /* root mean square of logprob_b - logprob_a */
} jt_kl_summary;
/* n >= 1. JT_NOMEM is the only error. */
jt_status jt_kl_summarise(const jt_kl_row *rows, size_t n, jt_kl_summary *out, jt_error *err);

#endif
