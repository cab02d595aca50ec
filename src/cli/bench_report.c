/* bench_report.c: what `jeton bench` found, as a table and as JSON. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "cli/bench.h"
#include "cli/out.h"

static double report_mean(const double *x, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i];
    return sum / n;
}

static double report_deviation(const double *x, int n) {
    double m = report_mean(x, n), sum = 0;
    for (int i = 0; i < n; i++) sum += (x[i] - m) * (x[i] - m);
    return n > 1 ? sqrt(sum / (n - 1)) : 0;
}

static bool report_suspect(double measured, double ports) { return measured < JT_LIMIT_SUSPECT * ports; }

/* A test above a limit shows that the limit is wrong, or does not apply. */
static bool report_beyond(const jt_bench *b) {
    const char *name;
    for (int i = 0; i < b->tests; i++)
        if (jt_bench_fraction(b, &b->test[i], &name) > 1) return true;
    return false;
}

static void report_limits(const jt_bench *b) {
    const jt_limits *l = &b->limits;
    jt_out("limits at %.2f GHz: read %.1f GB/s; int8 %.0f GOP/s, ports and clock allow %.0f; float %.0f GFLOP/s, they allow %.0f",
           l->clock / 1e9, l->read / 1e9, l->int8 / 1e9, l->int8_ports / 1e9, l->flt / 1e9, l->flt_ports / 1e9);
    if (b->demand.by == JT_BY_BF16) jt_out("; bf16 %.0f", l->bf16 / 1e9);
    jt_out("\n");
    if (report_suspect(l->int8, l->int8_ports))
        jt_out("suspect: the int8 peak is %.0f %% of what ports and clock allow; the machine may be busy\n", 100 * l->int8 / l->int8_ports);
    if (report_suspect(l->flt, l->flt_ports))
        jt_out("suspect: the float peak is %.0f %% of what ports and clock allow; the machine may be busy\n", 100 * l->flt / l->flt_ports);
    if (report_beyond(b))
        jt_out(
            "suspect: a test lies above its limit; the machine was busy while the limit was measured, or the weights lie in its cache\n");
    jt_out("a generated token reads %.1f MB of weights and %" PRIu64 " bytes of cache for each token before it; a prompt's token takes "
           "%.3f GOP in products\n",
           b->demand.bytes / 1e6, b->info.read_bytes_per_token, b->demand.prompt_ops / 1e9);
}

static void report_ratio(double x) {
    if (isnan(x))
        jt_out(" %6s |", "-");
    else
        jt_out(" %5.2fx |", x);
}

static void report_row(const jt_bench *b, const jt_bench_test *t) {
    char cell[32] = "-";
    const char *name;
    double of = jt_bench_fraction(b, t, &name), median = jt_bench_median(t->speed, b->repeat);
    if (!isnan(of)) snprintf(cell, sizeof cell, "%.1f %% %s", 100 * of, name);
    jt_out("| %-18s | %9.2f ± %7.2f | %12s |", t->name, report_mean(t->speed, b->repeat), report_deviation(t->speed, b->repeat), cell);
    for (int p = 0; p < b->peers; p++) {
        double peer = jt_bench_median(t->peer[p], b->repeat);
        if (isnan(peer))
            jt_out(" %9s |", "-");
        else
            jt_out(" %9.2f |", peer);
        report_ratio(median / peer);
    }
    if (b->baseline) report_ratio(median / t->baseline);
    jt_out("\n");
}

/* Where a test's time goes. */
static void report_operators(const jt_bench *b, const jt_bench_test *t) {
    double products, all = jt_bench_op_seconds(t, &products);
    if (!all) return;
    jt_out("%s: ", t->name);
    for (const jt_op_time *o = t->op; o->name; o++)
        if (o->seconds >= 0.005 * all) jt_out("%s %.1f %%, ", o->name, 100 * o->seconds / all);
    jt_out("of %.3f s", all);
    if (b->have_limits && t->prompt && products)
        jt_out("; products alone at %.1f %% of the %s peak",
               100 * jt_bench_ops(b, t) * t->prompt * t->batch / products / jt_limits_peak(&b->limits, b->demand.by),
               jt_by_name(b->demand.by));
    jt_out("\n");
}

void jt_bench_print(const jt_bench *b) {
    jt_out("%s, %s, %.1f MiB, %.1f M parameters; %s activations, %s cache, %d threads, %s kernels\n\n", b->info.name, b->demand.format,
           (double)b->info.file_bytes / 1048576, (double)b->info.parameters / 1e6, b->info.activations, b->info.kv_type,
           jt_engine_threads(b->session.engine), jt_engine_kernels(b->session.engine));
    jt_out("| %-18s | %19s | %12s |", "test", "tokens/s", "of limit");
    for (int p = 0; p < b->peers; p++) jt_out("    peer %d |  ratio |", p + 1);
    jt_out("%s\n| ------------------ | ------------------: | -----------: |", b->baseline ? "  then  |" : "");
    for (int p = 0; p < b->peers; p++) jt_out(" --------: | -----: |");
    jt_out("%s\n", b->baseline ? " -----: |" : "");
    for (int i = 0; i < b->tests; i++) report_row(b, &b->test[i]);
    jt_out("\n");
    for (int p = 0; p < b->peers; p++) jt_out("peer %d: %s, median of %d alternating rounds\n", p + 1, b->peer[p], b->repeat);
    if (b->baseline) jt_out("then: the ratio to the medians in %s\n", b->baseline);
    if (b->other_machine) jt_out("beware: that run had another model, mode, kernels or number of threads\n");
    for (int i = 0; i < b->tests; i++) report_operators(b, &b->test[i]);
    if (b->have_limits) report_limits(b);
    jt_out("memory: %.1f MiB at most, file %.1f MiB; opened in %.3f s\n", (double)b->peak_bytes / 1048576,
           (double)b->info.file_bytes / 1048576, b->open_seconds);
    if (b->first_seconds >= 0) jt_out("start to first token: %.3f s (engine, model, a prompt of 16 tokens)\n", b->first_seconds);
}

/* ---- JSON ---- */

static void report_number(jt_str *s, const char *key, double x) {
    jt_str_printf(s, ", \"%s\": ", key);
    if (isnan(x))
        jt_str_puts(s, "null");
    else
        jt_str_number(s, x);
}

static void report_whole(jt_str *s, const char *key, uint64_t x) { jt_str_printf(s, ", \"%s\": %" PRIu64, key, x); }

static void report_text(jt_str *s, const char *key, const char *value) {
    jt_str_printf(s, ", \"%s\": ", key);
    jt_str_json(s, value, strlen(value));
}

static void report_test_json(const jt_bench *b, const jt_bench_test *t, jt_str *s) {
    double median = jt_bench_median(t->speed, b->repeat);
    jt_str_printf(s, "{\"test\": \"%s\", \"n_prompt\": %d, \"n_gen\": %d, \"n_depth\": %d, \"n_batch\": %d", t->name, t->prompt, t->gen,
                  t->depth, t->batch);
    report_number(s, "tokens_per_second", report_mean(t->speed, b->repeat));
    report_number(s, "stddev", report_deviation(t->speed, b->repeat));
    report_number(s, "median", median);
    jt_str_puts(s, ", \"samples\": [");
    for (int i = 0; i < b->repeat; i++) {
        if (i) jt_str_puts(s, ", ");
        jt_str_number(s, t->speed[i]);
    }
    jt_str_printf(s, "], \"threads\": %d", jt_engine_threads(b->session.engine));
    report_text(s, "format", b->demand.format);
    if (b->have_limits) {
        const char *name;
        double of = jt_bench_fraction(b, t, &name);
        report_text(s, "limit", name);
        report_number(s, "of_limit", of);
    }
    if (t->op->name) jt_str_puts(s, ", \"operators\": {");
    for (const jt_op_time *o = t->op; o->name; o++) {
        jt_str_printf(s, "%s\"%s\": ", o == t->op ? "" : ", ", o->name);
        jt_str_number(s, o->seconds);
    }
    if (t->op->name) jt_str_puts(s, "}");
    if (b->baseline) report_number(s, "ratio_to_baseline", median / t->baseline);
    jt_str_puts(s, b->peers ? ", \"peers\": [" : "");
    for (int p = 0; p < b->peers; p++) {
        double peer = jt_bench_median(t->peer[p], b->repeat);
        jt_str_puts(s, p ? ", {\"command\": " : "{\"command\": ");
        jt_str_json(s, b->peer[p], strlen(b->peer[p]));
        report_number(s, "tokens_per_second", peer);
        report_number(s, "ratio", median / peer);
        jt_str_puts(s, "}");
    }
    jt_str_puts(s, b->peers ? "]}" : "}");
}

static void report_limits_json(const jt_bench *b, jt_str *s) {
    const jt_limits *l = &b->limits;
    jt_str_puts(s, ", \"machine\": {\"read_bytes_per_second\": ");
    jt_str_number(s, l->read);
    report_number(s, "int8_ops_per_second", l->int8);
    report_number(s, "int8_ops_allowed", l->int8_ports);
    report_number(s, "float_ops_per_second", l->flt);
    report_number(s, "float_ops_allowed", l->flt_ports);
    report_number(s, "bf16_ops_per_second", l->bf16);
    report_number(s, "clock_hz", l->clock);
    jt_str_printf(s, ", \"suspect\": %s}",
                  report_suspect(l->int8, l->int8_ports) || report_suspect(l->flt, l->flt_ports) || report_beyond(b) ? "true" : "false");
}

jt_status jt_bench_json(const jt_bench *b, jt_str *s, jt_error *err) {
    jt_str_puts(s, "{\"model\": ");
    jt_str_json(s, b->info.name, strlen(b->info.name));
    report_text(s, "format", b->demand.format);
    report_text(s, "weights", b->info.weight_types);
    report_text(s, "activations", b->info.activations);
    report_text(s, "kv_type", b->info.kv_type);
    report_text(s, "kernels", jt_engine_kernels(b->session.engine));
    report_text(s, "version", jt_version());
    jt_str_printf(s, ", \"threads\": %d", jt_engine_threads(b->session.engine));
    report_whole(s, "parameters", b->info.parameters);
    report_whole(s, "file_bytes", b->info.file_bytes);
    report_whole(s, "peak_bytes", b->peak_bytes);
    report_whole(s, "bytes_per_token", (uint64_t)b->demand.bytes);
    report_whole(s, "ops_per_prompt_token", (uint64_t)b->demand.prompt_ops);
    report_number(s, "open_seconds", b->open_seconds);
    if (b->first_seconds >= 0) report_number(s, "first_token_seconds", b->first_seconds);
    if (b->have_limits) report_limits_json(b, s);
    jt_str_puts(s, ", \"results\": [");
    for (int i = 0; i < b->tests; i++) {
        if (i) jt_str_puts(s, ", ");
        report_test_json(b, &b->test[i], s);
    }
    jt_str_puts(s, "]}\n");
    return jt_str_check(s, err);
}
