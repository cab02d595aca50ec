#include "cli/eval_results.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"

int jt_eval_results_metric(const jt_eval_results *r, const char *name) {
    for (int i = 0; i < r->n_metric; i++)
        if (strcmp(r->name[i], name) == 0) return i;
    return -1;
}

static bool read_metrics(jt_eval_results *r, const jt_json *m, jt_eval_row *row) {
    void *iter = NULL;
    const char *name;
    const jt_json *value;
    bool first = !r->n_metric;
    int seen = 0;
    while (jt_json_each(m, &iter, &name, &value)) {
        int at = jt_eval_results_metric(r, name);
        if (at < 0 && (!first || r->n_metric == JT_EVAL_METRICS || strlen(name) >= sizeof r->name[0])) return false;
        if (at < 0) snprintf(r->name[at = r->n_metric++], sizeof r->name[0], "%s", name);
        if (!jt_json_double(value, &row->x[at]) || !isfinite(row->x[at])) return false;
        seen++;
    }
    return seen == r->n_metric && seen;
}

jt_status jt_eval_results_add(jt_eval_results *r, const char *line, size_t n, jt_error *err) {
    jt_json *v = NULL;
    jt_eval_row row = {0};
    jt_status s = jt_json_parse(line, n, &v, err);
    if (s) return s;
    const char *item = jt_json_string(jt_json_member(v, "item"), NULL);
    const jt_json *error = jt_json_member(v, "error");
    char *end = NULL;
    if (error) {
        jt_json_free(v);
        return JT_OK; /* told of apart */
    }
    bool good = item && strlen(item) == 16 && jt_json_i64(jt_json_member(v, "index"), &row.index) && row.index >= 0;
    if (good) row.item = strtoull(item, &end, 16), good = end == item + 16;
    if (!good || !read_metrics(r, jt_json_member(v, "metrics"), &row)) s = jt_error_set(err, JT_FORMAT, "no result of an evaluation");
    if (!s) s = jt_grow((void **)&r->row, &r->cap, r->n + 1, sizeof *r->row, err);
    if (!s) r->row[r->n++] = row;
    jt_json_free(v);
    return s;
}

static int by_index(const void *a, const void *b) {
    const jt_eval_row *x = a, *y = b;
    return (x->index > y->index) - (x->index < y->index);
}

void jt_eval_results_sort(jt_eval_results *r) {
    size_t n = 0;
    if (r->n) qsort(r->row, r->n, sizeof *r->row, by_index);
    for (size_t i = 0; i < r->n; i++)
        if (!n || r->row[n - 1].index != r->row[i].index) r->row[n++] = r->row[i];
    r->n = n;
}

jt_status jt_eval_results_read(const char *path, jt_eval_results *out, jt_error *err) {
    jt_str text = {0};
    size_t line = 1;
    *out = (jt_eval_results){0};
    jt_status s = jt_file_read(path, &text, err);
    for (size_t at = 0; !s && at < text.n; line++) {
        const char *p = text.s + at, *end = memchr(p, '\n', text.n - at);
        if (!end) break;
        at = (size_t)(end - text.s) + 1;
        if ((s = jt_eval_results_add(out, p, (size_t)(end - p), err))) s = jt_error_in(err, s, "%s:%zu", path, line);
    }
    jt_str_free(&text);
    if (s)
        jt_eval_results_free(out);
    else
        jt_eval_results_sort(out);
    return s;
}

void jt_eval_results_free(jt_eval_results *r) {
    jt_free(r->row);
    *r = (jt_eval_results){0};
}

jt_status jt_eval_results_pair(jt_eval_results *a, jt_eval_results *b, jt_error *err) {
    size_t n = 0, i = 0, j = 0;
    while (i < a->n && j < b->n) {
        if (a->row[i].index < b->row[j].index) {
            i++;
        } else if (a->row[i].index > b->row[j].index) {
            j++;
        } else if (a->row[i].item != b->row[j].item) {
            return jt_error_set(err, JT_INVALID, "item %lld of the one was asked otherwise than item %lld of the other",
                                (long long)a->row[i].index, (long long)b->row[j].index);
        } else {
            a->row[n] = a->row[i++], b->row[n++] = b->row[j++];
        }
    }
    a->n = b->n = n;
    return n ? JT_OK : jt_error_set(err, JT_INVALID, "the results have no item in common");
}

/* ---- measures ---- */

static const struct {
    const char *name, *over, *by;
    int as;
} known_measures[] = {
    {"word_perplexity", "loglikelihood", "words", JT_MEASURE_PERPLEXITY},
    {"byte_perplexity", "loglikelihood", "bytes", JT_MEASURE_PERPLEXITY},
    {"bits_per_byte", "loglikelihood", "bytes", JT_MEASURE_BITS},
    {"token_perplexity", "loglikelihood", "scored", JT_MEASURE_PERPLEXITY},
};
enum { KNOWN_MEASURES = sizeof known_measures / sizeof *known_measures };

static bool zeros_and_ones(const jt_eval_results *r, int at) {
    for (size_t i = 0; i < r->n; i++)
        if (r->row[i].x[at] != 0 && r->row[i].x[at] != 1) return false;
    return r->n > 0;
}

int jt_measures(const jt_eval_results *r, jt_measure out[JT_EVAL_METRICS]) {
    int n = 0, over = jt_eval_results_metric(r, "loglikelihood");
    for (int i = 0; i < KNOWN_MEASURES && over >= 0; i++) {
        int by = jt_eval_results_metric(r, known_measures[i].by);
        if (by >= 0) out[n++] = (jt_measure){.name = known_measures[i].name, .over = over, .by = by, .as = known_measures[i].as};
    }
    for (int i = 0; i < r->n_metric && over < 0; i++)
        out[n++] = (jt_measure){.name = r->name[i], .over = i, .by = -1, .as = JT_MEASURE_MEAN, .proportion = zeros_and_ones(r, i)};
    return n;
}

static double measured(const jt_eval_results *r, const jt_measure *m, const uint32_t *pick, size_t n) {
    double over = 0, by = m->by < 0 ? (double)n : 0;
    for (size_t i = 0; i < n; i++) over += r->row[pick[i]].x[m->over];
    for (size_t i = 0; i < n && m->by >= 0; i++) by += r->row[pick[i]].x[m->by];
    double x = over / by;
    return m->as == JT_MEASURE_MEAN ? x : m->as == JT_MEASURE_PERPLEXITY ? exp(-x) : -x / log(2);
}

typedef struct one_of {
    const jt_eval_results *a, *b;
    const jt_measure *ma, *mb;
} one_of;

static double estimate_one(const void *self, const uint32_t *pick, size_t n) {
    const one_of *o = self;
    return measured(o->a, o->ma, pick, n);
}

static double estimate_difference(const void *self, const uint32_t *pick, size_t n) {
    const one_of *o = self;
    return measured(o->b, o->mb, pick, n) - measured(o->a, o->ma, pick, n);
}

jt_status jt_measure_summary(const jt_eval_results *r, const jt_measure *m, uint64_t seed, jt_summary *out, jt_error *err) {
    one_of o = {.a = r, .ma = m};
    jt_bootstrap b;
    jt_status s = jt_bootstrap_run(estimate_one, &o, r->n, JT_RESAMPLES, seed, &b, err);
    if (s) return s;
    bool mean = m->by < 0 && m->as == JT_MEASURE_MEAN;
    *out = (jt_summary){.value = b.value, .error = NAN, .bootstrap = b.range, .formula = {NAN, NAN}};
    if (mean) {
        out->error = jt_mean_error(&r->row[0].x[m->over], r->n, sizeof *r->row / sizeof(double));
        out->formula = (jt_interval){b.value - 1.959963984540054 * out->error, b.value + 1.959963984540054 * out->error};
    }
    if (mean && m->proportion) out->formula = jt_wilson(b.value * (double)r->n, (double)r->n);
    return JT_OK;
}

jt_status jt_measure_paired(const jt_eval_results *a, const jt_eval_results *b, const jt_measure *ma, const jt_measure *mb, uint64_t seed,
                            jt_bootstrap *out, jt_error *err) {
    one_of o = {a, b, ma, mb};
    return jt_bootstrap_run(estimate_difference, &o, a->n, JT_RESAMPLES, seed, out, err);
}
