/* Perplexity as running sums, and the Kullback-Leibler divergence of two rows of
 * logits with its summary over a text; see score.h. */
#include <math.h>

#include "core/mem.h"
#include "score/score.h"

void jt_perplexity_add(jt_perplexity *p, const double *logprob, size_t n) {
    for (size_t i = 0; i < n; i++) {
        p->sum -= logprob[i];
        p->squares += logprob[i] * logprob[i];
    }
    p->tokens += n;
}

double jt_perplexity_value(const jt_perplexity *p) { return p->tokens ? exp(p->sum / (double)p->tokens) : (double)NAN; }

/* Standard error of a mean from the sums of n values and of their squares. */
static double mean_error(double sum, double squares, double n) {
    if (n < 2) return (double)NAN;
    double mean = sum / n, var = squares / n - mean * mean;
    return var > 0 ? sqrt(var / (n - 1)) : 0;
}

double jt_perplexity_error(const jt_perplexity *p) { return jt_perplexity_value(p) * mean_error(p->sum, p->squares, (double)p->tokens); }

static int32_t best(const float *x, int n) {
    int32_t at = 0;
    for (int i = 1; i < n; i++)
        if (x[i] > x[at]) at = i;
    return at;
}

/* KL = sum p_A (a - b) - lse_A + lse_B with a, b relative to their maxima. */
jt_kl_row jt_kl_compare(const float *a, const float *b, int n, int32_t target) {
    jt_kl_row r = {.top_a = best(a, n), .top_b = best(b, n)};
    double ma = (double)a[r.top_a], mb = (double)b[r.top_b], sa = 0, sb = 0, cross = 0;
    for (int i = 0; i < n; i++) {
        double da = (double)a[i] - ma, db = (double)b[i] - mb, e = exp(da);
        sa += e;
        sb += exp(db);
        if (e != 0) cross += e * (da - db);
    }
    double la = log(sa), lb = log(sb), kl = cross / sa - la + lb;
    r.kl = kl < 0 ? 0 : kl; /* rounding can leave -1e-16 for equal rows */
    r.logprob_a = (double)a[target] - ma - la;
    r.logprob_b = (double)b[target] - mb - lb;
    return r;
}

const double jt_kl_percentiles[JT_KL_PERCENTILES] = {1, 5, 10, 50, 90, 95, 99, 99.9, 100};

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Between the two nearest ranks, linearly. */
static double percentile(const double *sorted, size_t n, double p) {
    double at = p / 100 * (double)(n - 1);
    size_t i = (size_t)at;
    return i + 1 >= n ? sorted[n - 1] : sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]);
}

jt_status jt_kl_summarise(const jt_kl_row *rows, size_t n, jt_kl_summary *out, jt_error *err) {
    double *kl = jt_alloc(n, sizeof *kl), count = (double)n;
    if (!kl) return jt_nomem(err, "the divergences of the rows", n, sizeof *kl);
    double sum = 0, squares = 0, diff = 0, diff2 = 0, a = 0, b = 0;
    size_t same = 0;
    for (size_t i = 0; i < n; i++) {
        double d = rows[i].logprob_a - rows[i].logprob_b;
        kl[i] = rows[i].kl;
        sum += kl[i];
        squares += kl[i] * kl[i];
        diff += d;
        diff2 += d * d;
        a += rows[i].logprob_a;
        b += rows[i].logprob_b;
        same += rows[i].top_a == rows[i].top_b;
    }
    qsort(kl, n, sizeof *kl, by_value);
    *out = (jt_kl_summary){.rows = n, .mean = sum / count, .mean_error = mean_error(sum, squares, count)};
    for (int i = 0; i < JT_KL_PERCENTILES; i++) out->percentile[i] = percentile(kl, n, jt_kl_percentiles[i]);
    jt_free(kl);
    out->same_top = (double)same / count;
    out->same_top_error = mean_error((double)same, (double)same, count);
    out->perplexity_a = exp(-a / count);
    out->perplexity_b = exp(-b / count);
    out->ratio = exp(diff / count);
    out->ratio_error = out->ratio * mean_error(diff, diff2, count);
    out->logprob_rms = sqrt(diff2 / count);
    return JT_OK;
}
