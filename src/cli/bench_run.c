/* bench_run.c: the tests of `jeton bench` and their rounds. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "cli/bench.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "core/file.h"
#include "core/random.h"

enum { FIRST_PROMPT = 16, FIRST_TRIES = 5, MOST_TOKENS = 1 << 20, WARM_TOKENS = 8 };

/* ---- what to run ---- */

/* Calls take() with each number of a list with commas. */
static jt_status bench_each(jt_bench *b, const char *option, int64_t least, int64_t most,
                            jt_status (*take)(jt_bench *b, int value, void *arg, jt_error *err), void *arg, jt_error *err) {
    for (const char *s = jt_arg_text(b->args, option); *s;) {
        size_t n = strcspn(s, ",");
        int64_t v;
        if (!jt_read_i64(s, n, &v) || v < least || v > most)
            return jt_error_set(err, JT_INVALID, "'%.*s' in --%s is no number from %d to %d; give one, or several with commas between",
                                (int)n, s, option, (int)least, (int)most);
        jt_status st = take(b, (int)v, arg, err);
        if (st) return st;
        s += n;
        if (*s == ',') s++;
    }
    return JT_OK;
}

static jt_status bench_add(jt_bench *b, int batch, void *arg, jt_error *err) {
    jt_bench_test *t = arg, *to = &b->test[b->tests];
    if (!t->prompt && !t->gen) return JT_OK;
    if (b->tests == JT_BENCH_TESTS) return jt_error_set(err, JT_INVALID, "more than %d tests", JT_BENCH_TESTS);
    *to = *t;
    to->batch = batch, to->baseline = (double)NAN;
    int n = snprintf(to->name, sizeof to->name, "%s%d", t->gen ? "tg" : "pp", t->gen ? t->gen : t->prompt);
    if (t->depth) n += snprintf(to->name + n, sizeof to->name - (size_t)n, " @ d%d", t->depth);
    if (batch > 1) snprintf(to->name + n, sizeof to->name - (size_t)n, " x%d", batch);
    b->tests++;
    return JT_OK;
}

static jt_status bench_add_depth(jt_bench *b, int depth, void *arg, jt_error *err) {
    jt_bench_test *t = arg;
    t->depth = depth;
    return bench_each(b, "batch", 1, JT_BENCH_BATCH, bench_add, t, err);
}

static jt_status bench_add_prompt(jt_bench *b, int prompt, void *arg, jt_error *err) {
    *(jt_bench_test *)arg = (jt_bench_test){.prompt = prompt};
    return bench_each(b, "depth", 0, MOST_TOKENS, bench_add_depth, arg, err);
}

static jt_status bench_add_gen(jt_bench *b, int gen, void *arg, jt_error *err) {
    *(jt_bench_test *)arg = (jt_bench_test){.gen = gen};
    return bench_each(b, "depth", 0, MOST_TOKENS, bench_add_depth, arg, err);
}

jt_status jt_bench_plan(jt_bench *b, jt_error *err) {
    jt_bench_test *t = jt_alloc(1, sizeof *t);
    if (!t) return jt_nomem(err, "a test", 1, sizeof *t);
    jt_status st = bench_each(b, "prompt", 0, MOST_TOKENS, bench_add_prompt, t, err);
    if (!st) st = bench_each(b, "gen", 0, MOST_TOKENS, bench_add_gen, t, err);
    jt_free(t);
    return st;
}

static int bench_longest(const jt_bench *b) {
    int most = FIRST_PROMPT;
    for (int i = 0; i < b->tests; i++) {
        int n = b->test[i].depth + b->test[i].prompt + b->test[i].gen;
        if (n > most) most = n;
    }
    return most;
}

/* Random ids with a fixed seed, the same for every run of one vocabulary. */
static jt_status bench_make_ids(jt_bench *b, jt_error *err) {
    int n = bench_longest(b);
    b->ids = jt_alloc((size_t)n, sizeof *b->ids);
    if (!b->ids) return jt_nomem(err, "the ids of the tests", (size_t)n, sizeof *b->ids);
    for (int i = 0; i < n; i++) {
        uint32_t w[4], counter[4] = {(uint32_t)i, 0, 0, 0}, key[2] = {0x6a65746f, 0x6e};
        jt_philox(counter, key, w);
        b->ids[i] = (int32_t)(w[0] % (uint32_t)b->info.vocab);
    }
    return JT_OK;
}

/* ---- running ---- */

/* Ids [from, from + n) for each of `many` states; the logits of the last rows if there is room for them. */
static jt_status bench_eval(jt_bench *b, jt_state *const *s, int many, int from, int n, float *logits, jt_error *err) {
    jt_span span[JT_BENCH_BATCH];
    jt_want want[JT_BENCH_BATCH];
    for (int i = 0; i < many; i++) {
        span[i] = (jt_span){.state = s[i], .ids = b->ids + from, .n = n};
        want[i] = (jt_want){.row = i * n + n - 1, .logits = logits ? logits + (size_t)i * (size_t)b->info.vocab : NULL};
    }
    jt_batch batch = {.span = span, .n_span = many, .want = want, .n_want = logits ? many : 0, .cancelled = jt_interrupt_asked};
    return jt_eval(b->session.model, &batch, err);
}

static jt_status bench_test_once(jt_bench *b, const jt_state *base, const jt_bench_test *t, float *logits, double *speed, jt_error *err) {
    jt_state *s[JT_BENCH_BATCH] = {NULL};
    jt_status st = JT_OK;
    for (int i = 0; i < t->batch && !st; i++) {
        st = jt_state_fork(base, &s[i], err);
        if (!st) st = jt_state_truncate(s[i], t->depth, err);
    }
    double start = jt_seconds();
    if (t->prompt && !st) st = bench_eval(b, s, t->batch, t->depth, t->prompt, logits, err);
    for (int i = 0; i < t->gen && !st; i++) st = bench_eval(b, s, t->batch, t->depth + i, 1, logits, err);
    *speed = (double)t->batch * (t->prompt + t->gen) / (jt_seconds() - start);
    for (int i = 0; i < t->batch; i++) jt_state_free(s[i]);
    return st;
}

static jt_status bench_peers(jt_bench *b, int round, jt_error *err) {
    for (int p = 0; p < b->peers; p++)
        for (int i = 0; i < b->tests; i++) {
            jt_bench_test *t = &b->test[i];
            jt_peer_test x = {.prompt = t->prompt, .gen = t->gen, .depth = t->depth, .tokens_per_second = (double)NAN};
            jt_progress_set(&b->bar, (round + 1.5) / (b->repeat + 1), "peer");
            jt_status st = t->batch > 1 ? JT_OK : jt_peer_run(b->peer[p], b->path, jt_engine_threads(b->session.engine), &x, err);
            if (!st && jt_interrupted()) st = jt_error_set(err, JT_CANCELLED, "interrupted");
            if (st) return st;
            t->peer[p][round] = x.tokens_per_second;
        }
    return JT_OK;
}

/* Runs a test `repeat` times and keeps the operators' times of the run in the middle. */
static jt_status bench_operators(jt_bench *b, const jt_state *base, jt_bench_test *t, float *logits, jt_error *err) {
    jt_engine *e = b->session.engine;
    jt_op_time(*run)[JT_OP_TIMES] = jt_alloc((size_t)b->repeat, sizeof *run);
    double speed[JT_BENCH_ROUNDS], middle;
    jt_status st = run ? JT_OK : jt_nomem(err, "times of operators", (size_t)b->repeat, sizeof *run);
    for (int r = 0; !st && r < b->repeat; r++) {
        if (!(st = jt_engine_time(e, true, err))) st = bench_test_once(b, base, t, logits, &speed[r], err);
        if (!st) memcpy(run[r], e->time, (JT_OP_TIMES - 1) * sizeof *e->time);
        (void)jt_engine_time(e, false, NULL);
    }
    if (!st) middle = jt_bench_median(speed, b->repeat - !(b->repeat % 2));
    for (int r = 0; !st && r < b->repeat; r++)
        if (speed[r] == middle) memcpy(t->op, run[r], sizeof t->op);
    jt_free(run);
    return st;
}

static jt_status bench_limits(jt_bench *b, int round, jt_error *err) {
    struct rusage use; /* of the tests, not of what measures the limits */
    if (round == 0 && !getrusage(RUSAGE_SELF, &use)) b->peak_bytes = (uint64_t)use.ru_maxrss * 1024;
    if (jt_arg_flag(b->args, "no-limits")) return JT_OK;
    jt_progress_set(&b->bar, (round + 1.9) / (b->repeat + 1), "limits");
    jt_status st = jt_limits_measure(b->session.engine, &b->limits, &b->read[round], err);
    if (!st) b->have_limits = true, b->limits.read = jt_bench_median(b->read, round + 1);
    return st;
}

double jt_bench_op_seconds(const jt_bench_test *t, double *products) {
    static const char *const product[] = {"matmul", "gated", "experts", "head"};
    double all = 0;
    *products = 0;
    for (const jt_op_time *o = t->op; o->name; o++) {
        all += o->seconds;
        for (size_t i = 0; i < sizeof product / sizeof *product; i++)
            if (!strcmp(o->name, product[i])) *products += o->seconds;
    }
    return all;
}

static jt_status bench_rounds_on(jt_bench *b, const jt_state *base, float *logits, jt_error *err) {
    jt_status st = JT_OK;
    for (int round = -1; !st && round < b->repeat; round++) {
        for (int i = 0; !st && i < b->tests; i++) {
            jt_bench_test *t = &b->test[i];
            double unused;
            int gen = t->gen;
            if (round < 0 && t->gen > WARM_TOKENS) t->gen = WARM_TOKENS;
            jt_progress_set(&b->bar, (round + 1 + (double)i / b->tests) / (b->repeat + 1), t->name);
            st = bench_test_once(b, base, t, logits, round < 0 ? &unused : &t->speed[round], err);
            t->gen = gen;
        }
        if (!st && round >= 0) st = bench_limits(b, round, err);
        if (!st && round >= 0) st = bench_peers(b, round, err);
    }
    return st;
}

jt_status jt_bench_rounds(jt_bench *b, jt_error *err) {
    int batch = 1, depth = 0;
    for (int i = 0; i < b->tests; i++) {
        if (b->test[i].batch > batch) batch = b->test[i].batch;
        if (b->test[i].depth > depth) depth = b->test[i].depth;
    }
    jt_state *base = NULL;
    jt_status st = bench_make_ids(b, err);
    float *logits = st ? NULL : jt_alloc((size_t)batch, (size_t)b->info.vocab * sizeof *logits);
    if (!st && !logits) st = jt_nomem(err, "rows of logits", (size_t)batch, (size_t)b->info.vocab * sizeof *logits);
    if (!st) st = jt_state_new(b->session.model, bench_longest(b), &base, err);
    if (!st) {
        jt_progress_begin(&b->bar, "measuring");
        if (depth) st = bench_eval(b, &base, 1, 0, depth, NULL, err);
        if (!st) st = bench_rounds_on(b, base, logits, err);
        for (int i = 0; !st && i < b->tests && jt_arg_flag(b->args, "operators"); i++)
            st = bench_operators(b, base, &b->test[i], logits, err);
        jt_progress_end(&b->bar);
    }
    jt_state_free(base);
    jt_free(logits);
    return st;
}

/* ---- figures ---- */

static int bench_ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double jt_bench_median(const double *x, int n) {
    double sorted[JT_BENCH_ROUNDS];
    memcpy(sorted, x, (size_t)n * sizeof *x);
    qsort(sorted, (size_t)n, sizeof *sorted, bench_ascending);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

double jt_bench_bytes(const jt_bench *b, const jt_bench_test *t) {
    int rows = t->gen ? t->batch : t->prompt * t->batch, ubatch = (int)jt_arg_int(b->args, "ubatch");
    if (ubatch && rows > ubatch) rows = ubatch;
    /* A chunk of a prompt reads the cache once, a generated token its own sequence's. */
    double cache = (double)b->info.read_bytes_per_token * (t->depth + (t->prompt + t->gen) / 2.0) + (double)b->info.recurrent_bytes;
    return jt_demand_bytes(&b->demand, rows) / rows + (t->gen ? cache : cache * t->batch / rows);
}

double jt_bench_ops(const jt_bench *b, const jt_bench_test *t) {
    return b->demand.prompt_ops + (t->gen ? b->demand.head_ops : b->demand.head_ops / t->prompt);
}

double jt_bench_fraction(const jt_bench *b, const jt_bench_test *t, const char **name) {
    *name = "";
    if (!b->have_limits) return (double)NAN;
    double part[JT_BENCH_ROUNDS];
    for (int i = 0; i < b->repeat; i++) part[i] = t->speed[i] / b->read[i];
    double read = jt_bench_bytes(b, t) * jt_bench_median(part, b->repeat),
           ops = jt_bench_ops(b, t) * jt_bench_median(t->speed, b->repeat) / jt_limits_peak(&b->limits, b->demand.by);
    *name = read > ops ? "read" : jt_by_name(b->demand.by);
    return read > ops ? read : ops;
}

/* From nothing to the first token: an engine, the model, a short prompt and the best of its logits. */
static int bench_first_once(jt_bench *b, double *seconds) {
    double start = jt_seconds();
    jt_session keep = b->session;
    jt_error err;
    int code = jt_session_open(b->args, b->path, &b->session);
    if (!code) {
        float *logits = jt_alloc((size_t)b->info.vocab, sizeof *logits);
        jt_state *s = NULL;
        jt_status st = logits ? jt_state_new(b->session.model, FIRST_PROMPT, &s, &err)
                              : jt_nomem(&err, "a row of logits", (size_t)b->info.vocab, sizeof *logits);
        if (!st) st = bench_eval(b, &s, 1, 0, FIRST_PROMPT, logits, &err);
        int best = 0;
        for (int i = 1; !st && i < b->info.vocab; i++)
            if (logits[i] > logits[best]) best = i;
        *seconds = jt_seconds() - start;
        if (st) code = jt_fail(&err);
        jt_state_free(s);
        jt_free(logits);
        jt_session_close(&b->session);
    }
    b->session = keep;
    return code;
}

int jt_bench_first(jt_bench *b) {
    double seconds[FIRST_TRIES];
    for (int i = 0; i < FIRST_TRIES; i++) {
        int code = bench_first_once(b, &seconds[i]);
        if (code) return code;
    }
    b->first_seconds = jt_bench_median(seconds, FIRST_TRIES);
    return JT_EXIT_OK;
}
