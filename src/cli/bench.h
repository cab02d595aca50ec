/* bench.h: the parts of `jeton bench`.
 *
 *   cmd_bench.c       the command
 *   bench_run.c       tests and rounds
 *   bench_report.c    the table and the JSON
 *   bench_baseline.c  an earlier JSON to compare with
 *   bench_plot.c      the roofline
 *   bench_machine.c   what the machine can do at most
 *   bench_peer.c      llama-bench beside it */
#ifndef JT_CLI_BENCH_H
#define JT_CLI_BENCH_H

#include "cli/bench_machine.h"
#include "cli/bench_peer.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "tensor/engine.h"

enum { JT_BENCH_TESTS = 64, JT_BENCH_ROUNDS = 100, JT_BENCH_PEERS = 4, JT_BENCH_BATCH = 64 };

/* `batch` sequences, each behind `depth` tokens, evaluate a prompt together or generate one by one; of prompt and gen one is 0. */
typedef struct jt_bench_test {
    int prompt, gen, depth, batch;
    char name[48];                                /* "pp512", "tg64 @ d4096 x16" */
    double speed[JT_BENCH_ROUNDS];                /* tokens a second of all sequences together */
    double peer[JT_BENCH_PEERS][JT_BENCH_ROUNDS]; /* NaN: no such test there */
    double baseline;                              /* its median in the earlier run; NaN: not there */
    jt_op_time op[JT_OP_TIMES];                   /* with --operators: of the run with the median time, ending with a name that is NULL */
} jt_bench_test;

typedef struct jt_bench {
    const jt_args *args;
    const char *path;
    jt_session session;
    jt_model_info info;
    jt_demand demand;
    jt_limits limits;
    double read[JT_BENCH_ROUNDS]; /* bytes a second, measured in each round */
    bool have_limits;
    jt_bench_test test[JT_BENCH_TESTS];
    int tests, repeat;
    const char *const *peer; /* programs with their flags */
    int peers;
    const char *baseline;
    bool other_machine;                 /* the baseline comes from other kernels, threads or another model */
    int32_t *ids;                       /* as many as the longest sequence */
    double open_seconds, first_seconds; /* first: negative when not measured */
    uint64_t peak_bytes;
    jt_progress bar;
} jt_bench;

/* The tests that the options name: every length at every depth and batch. */
jt_status jt_bench_plan(jt_bench *b, jt_error *err);
/* Ids, a round of warming up, then the rounds that count; peers run after each. */
jt_status jt_bench_rounds(jt_bench *b, jt_error *err);
/* Median of the seconds from nothing to the first token, in first_seconds. Returns a JT_EXIT code. */
int jt_bench_first(jt_bench *b);

/* Seconds of all operators of a test, and of its products of matrices. */
double jt_bench_op_seconds(const jt_bench_test *t, double *products);
double jt_bench_median(const double *x, int n);
/* Bytes that must be read and operations that must be done for each token of a test, attention's operations left out. */
double jt_bench_bytes(const jt_bench *b, const jt_bench_test *t);
double jt_bench_ops(const jt_bench *b, const jt_bench_test *t);
/* The part of the nearer limit that was reached, and its name ("read", "int8", "float", "bf16"); NaN when limits were not measured.
 * Of reading it is the median of the rounds' parts, each of what its own round could read. */
double jt_bench_fraction(const jt_bench *b, const jt_bench_test *t, const char **name);

void jt_bench_print(const jt_bench *b);
jt_status jt_bench_json(const jt_bench *b, jt_str *out, jt_error *err);
/* Reads an earlier --json and fills the tests' baseline. Errors: JT_IO, JT_FORMAT. */
jt_status jt_bench_read_baseline(jt_bench *b, jt_error *err);
/* Tests and peers under the roofline of the machine, as SVG. Needs the limits. */
jt_status jt_bench_plot(const jt_bench *b, const char *path, jt_error *err);

#endif
