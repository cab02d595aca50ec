/* jeton eval compare: two files of results over the same items, as pairs. */
#include <string.h>

#include "cli/command.h"
#include "cli/eval_results.h"
#include "cli/out.h"

typedef struct pair {
    jt_eval_results a, b;
    size_t n_a, n_b; /* items, before those of both were kept */
} pair;

typedef struct difference {
    const char *name;
    double a, b;
    jt_bootstrap d;
    bool proportion;
    size_t only_a, only_b; /* items that only one has right */
} difference;

static double alone(const jt_eval_results *r, const jt_measure *m, uint64_t seed, jt_status *st, jt_error *err) {
    jt_summary s = {0};
    if (!*st) *st = jt_measure_summary(r, m, seed, &s, err);
    return s.value;
}

static jt_status compare(const pair *p, const jt_measure *ma, const jt_measure *mb, uint64_t seed, difference *out, jt_error *err) {
    *out = (difference){.name = ma->name, .proportion = ma->proportion && mb->proportion};
    jt_status st = jt_measure_paired(&p->a, &p->b, ma, mb, seed, &out->d, err);
    out->a = alone(&p->a, ma, seed, &st, err), out->b = alone(&p->b, mb, seed, &st, err);
    for (size_t i = 0; i < p->a.n; i++) {
        out->only_a += p->a.row[i].x[ma->over] > p->b.row[i].x[mb->over];
        out->only_b += p->a.row[i].x[ma->over] < p->b.row[i].x[mb->over];
    }
    return st;
}

static void print_row(const difference *d) {
    jt_out("%-18s %10.4f %10.4f %+10.4f  %+.4f to %+.4f  %.4f", d->name, d->a, d->b, d->d.value, d->d.range.low, d->d.range.high,
           d->d.sign);
    if (d->proportion) jt_out("  %zu only in A, %zu only in B", d->only_a, d->only_b);
    jt_out("\n");
}

static void json_row(const difference *d, bool first, jt_str *o) {
    jt_str_printf(o, "%s\"%s\": {\"a\": ", first ? "" : ", ", d->name);
    jt_str_number(o, d->a);
    jt_str_puts(o, ", \"b\": ");
    jt_str_number(o, d->b);
    jt_str_puts(o, ", \"difference\": ");
    jt_str_number(o, d->d.value);
    jt_str_puts(o, ", \"interval\": [");
    jt_str_number(o, d->d.range.low);
    jt_str_puts(o, ", ");
    jt_str_number(o, d->d.range.high);
    jt_str_puts(o, "], \"p\": ");
    jt_str_number(o, d->d.sign);
    if (d->proportion) jt_str_printf(o, ", \"only_a\": %zu, \"only_b\": %zu", d->only_a, d->only_b);
    jt_str_putc(o, '}');
}

static jt_status compare_all(const jt_args *a, const pair *p, jt_error *err) {
    jt_measure ma[JT_EVAL_METRICS], mb[JT_EVAL_METRICS];
    int na = jt_measures(&p->a, ma), nb = jt_measures(&p->b, mb), rows = 0;
    bool json = jt_arg_flag(a, "json");
    jt_str o = {0};
    jt_status st = JT_OK;
    if (json)
        jt_str_printf(&o, "{\"items\": %zu, \"measures\": {", p->a.n);
    else
        jt_out("%zu items of both (%zu and %zu)\n%-18s %10s %10s %10s  %s  %s\n", p->a.n, p->n_a, p->n_b, "measure", "A", "B", "B - A",
               "95 % by paired bootstrap", "p");
    for (int i = 0; i < na && !st; i++)
        for (int k = 0; k < nb && !st; k++) {
            difference d;
            if (strcmp(ma[i].name, mb[k].name) != 0) continue;
            st = compare(p, &ma[i], &mb[k], jt_arg_u64(a, "seed"), &d, err);
            if (!st && json) json_row(&d, !rows, &o);
            if (!st && !json) print_row(&d);
            rows++;
        }
    if (!st && !rows) st = jt_error_set(err, JT_INVALID, "the results have no measure in common");
    jt_str_puts(&o, "}}\n");
    if (!st) st = jt_str_check(&o, err);
    if (!st && json) jt_out_str(&o);
    jt_str_free(&o);
    return st;
}

static int run(const jt_args *a) {
    pair p = {0};
    jt_error err;
    jt_status s = jt_eval_results_read(jt_arg_pos(a, 0), &p.a, &err);
    if (!s) s = jt_eval_results_read(jt_arg_pos(a, 1), &p.b, &err);
    p.n_a = p.a.n, p.n_b = p.b.n;
    if (!s) s = jt_eval_results_pair(&p.a, &p.b, &err);
    if (!s) s = compare_all(a, &p, &err);
    jt_eval_results_free(&p.a);
    jt_eval_results_free(&p.b);
    return s ? jt_fail(&err) : JT_EXIT_OK;
}

static const jt_pos pos[] = {
    {"A", JT_POS_FILE, false, false, "results of 'jeton eval TASK -o A'"},
    {"B", JT_POS_FILE, false, false, "results of another model, pipeline or mode over the same items"},
    {0},
};
static const jt_opt opts[] = {
    {"seed", 's', JT_OPT_U64, "N", "0", 0, 0, "seed of the resamples"},
    {"json", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print one JSON object"},
    {0},
};
static const jt_example examples[] = {
    {"jeton eval compare greedy.jsonl sampled.jsonl", "each measure's difference, with its interval over the items of both"},
    {0},
};
const jt_command jt_cmd_eval_compare = {
    .name = "eval compare",
    .summary = "two results of a task, paired over the same items",
    .about =
        "Items that both files have are paired; an item that was asked otherwise is refused. The interval is of 95 %, by the bootstrap "
        "over pairs (10,000 resamples); p is twice the share of resamples in which the difference has the other sign, or is 0.",
    .opt = opts,
    .pos = pos,
    .example = examples,
    .run = run,
};
