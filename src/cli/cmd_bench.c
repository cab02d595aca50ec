/* jeton bench: how fast prompts are read and tokens generated, beside what the
 * machine can do and beside a llama-bench. Tests are named as llama-bench names
 * them: pp512 evaluates a prompt of 512 tokens, tg128 generates 128 one by one. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <sys/resource.h>

#include "cli/bench_machine.h"
#include "cli/bench_peer.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "core/file.h"
#include "core/random.h"

enum { MAX_TESTS = 32, MAX_REPEAT = 100, FIRST_PROMPT = 16, FIRST_TRIES = 5 };

typedef struct bench_test {
    int prompt, gen; /* one of them is 0 */
    char name[16];
    double speed[MAX_REPEAT], peer[MAX_REPEAT]; /* tokens a second of each round */
} bench_test;

typedef struct bench {
    const jt_args *args;
    const char *path;
    jt_session session;
    jt_model_info info;
    jt_demand demand;
    jt_limits limits;
    bool have_limits;
    bench_test test[MAX_TESTS];
    int tests, repeat;
    const char *peer;
    int32_t *ids;                       /* of the longest test */
    double open_seconds, first_seconds; /* first: negative when not measured */
    uint64_t peak_bytes;
    jt_progress bar;
} bench;

/* ---- what to run ---- */

static jt_status add_tests(bench *b, const char *list, bool gen, jt_error *err) {
    for (const char *s = list; *s;) {
        size_t n = strcspn(s, ",");
        int64_t v;
        if (!jt_read_i64(s, n, &v) || v < 0 || v > 1 << 20)
            return jt_error_set(err, JT_INVALID, "'%.*s' in --%s is no number of tokens; give 0 to %d, with commas between several", (int)n,
                                s, gen ? "gen" : "prompt", 1 << 20);
        if (v > 0 && b->tests == MAX_TESTS) return jt_error_set(err, JT_INVALID, "more than %d tests", MAX_TESTS);
        if (v > 0) {
            bench_test *t = &b->test[b->tests++];
            *t = (bench_test){.prompt = gen ? 0 : (int)v, .gen = gen ? (int)v : 0};
            snprintf(t->name, sizeof t->name, "%s%d", gen ? "tg" : "pp", (int)v);
        }
        s += n;
        if (*s == ',') s++;
    }
    return JT_OK;
}

/* Random ids with a fixed seed, the same for every run of one vocabulary. */
static jt_status make_ids(bench *b, jt_error *err) {
    int n = FIRST_PROMPT;
    for (int i = 0; i < b->tests; i++)
        if (b->test[i].prompt + b->test[i].gen > n) n = b->test[i].prompt + b->test[i].gen;
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

/* Ids [from, from + n) with the logits of the last row. */
static jt_status eval(bench *b, jt_state *s, int from, int n, float *logits, jt_error *err) {
    jt_span span = {.state = s, .ids = b->ids + from, .n = n};
    jt_want want = {.row = n - 1, .logits = logits};
    jt_batch batch = {.span = &span, .n_span = 1, .want = &want, .n_want = 1, .cancelled = jt_interrupt_asked};
    return jt_eval(b->session.model, &batch, err);
}

static jt_status run_test(bench *b, const bench_test *t, float *logits, double *speed, jt_error *err) {
    jt_state *s;
    jt_status st = jt_state_new(b->session.model, t->prompt + t->gen, &s, err);
    if (st) return st;
    double start = jt_seconds();
    if (t->prompt) st = eval(b, s, 0, t->prompt, logits, err);
    for (int i = 0; !st && i < t->gen; i++) st = eval(b, s, i, 1, logits, err);
    *speed = (t->prompt + t->gen) / (jt_seconds() - start);
    jt_state_free(s);
    return st;
}

static jt_status run_peer(bench *b, int round, jt_error *err) {
    jt_peer_test test[MAX_TESTS];
    for (int i = 0; i < b->tests; i++) test[i] = (jt_peer_test){.prompt = b->test[i].prompt, .gen = b->test[i].gen};
    jt_status st = jt_peer_run(b->peer, b->path, jt_engine_threads(b->session.engine), test, b->tests, err);
    for (int i = 0; !st && i < b->tests; i++) b->test[i].peer[round] = test[i].tokens_per_second;
    return st;
}

/* A round of warming up, then the rounds that count; with a peer it runs after each. */
static jt_status run_rounds(bench *b, jt_error *err) {
    float *logits = jt_alloc((size_t)b->info.vocab, sizeof *logits);
    if (!logits) return jt_nomem(err, "a row of logits", (size_t)b->info.vocab, sizeof *logits);
    jt_status st = JT_OK;
    jt_progress_begin(&b->bar, "measuring");
    for (int round = -1; !st && round < b->repeat; round++) {
        for (int i = 0; !st && i < b->tests; i++) {
            bench_test warm = b->test[i];
            double unused;
            if (round < 0 && warm.gen > 8) warm.gen = 8;
            jt_progress_set(&b->bar, (round + 1 + (double)i / b->tests) / (b->repeat + 1), b->test[i].name);
            st = run_test(b, &warm, logits, round < 0 ? &unused : &b->test[i].speed[round], err);
        }
        if (!st && round >= 0 && b->peer) {
            jt_progress_set(&b->bar, (round + 2.0) / (b->repeat + 1), "peer");
            st = run_peer(b, round, err);
            if (!st && jt_interrupted()) st = jt_error_set(err, JT_CANCELLED, "interrupted");
        }
    }
    jt_progress_end(&b->bar);
    jt_free(logits);
    return st;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *x, int n) {
    double sorted[MAX_REPEAT];
    memcpy(sorted, x, (size_t)n * sizeof *x);
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static double mean(const double *x, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i];
    return sum / n;
}

static double deviation(const double *x, int n) {
    double m = mean(x, n), sum = 0;
    for (int i = 0; i < n; i++) sum += (x[i] - m) * (x[i] - m);
    return n > 1 ? sqrt(sum / (n - 1)) : 0;
}

/* From nothing to the first token: an engine, the model, a short prompt and the best of its logits. */
static int first_token(bench *b, double *seconds) {
    double start = jt_seconds();
    jt_session keep = b->session;
    jt_error err;
    int code = jt_session_open(b->args, b->path, &b->session);
    if (!code) {
        float *logits = jt_alloc((size_t)b->info.vocab, sizeof *logits);
        jt_state *s = NULL;
        jt_status st = logits ? jt_state_new(b->session.model, FIRST_PROMPT, &s, &err)
                              : jt_nomem(&err, "a row of logits", (size_t)b->info.vocab, sizeof *logits);
        if (!st) st = eval(b, s, 0, FIRST_PROMPT, logits, &err);
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

static int first_tokens(bench *b) {
    double seconds[FIRST_TRIES];
    for (int i = 0; i < FIRST_TRIES; i++) {
        int code = first_token(b, &seconds[i]);
        if (code) return code;
    }
    b->first_seconds = median(seconds, FIRST_TRIES);
    return JT_EXIT_OK;
}

/* ---- results ---- */

/* The fraction of what limits the test: operations of a prompt, read bandwidth of generation; NaN when not measured. */
static double fraction(const bench *b, const bench_test *t) {
    if (!b->have_limits) return (double)NAN;
    double speed = median(t->speed, b->repeat);
    if (t->gen) return b->demand.bytes * speed / b->limits.read;
    return b->demand.prompt_ops * speed / (b->demand.int8 ? b->limits.int8 : b->limits.flt);
}

static const char *limit_name(const bench *b, const bench_test *t) { return t->gen ? "read" : b->demand.int8 ? "int8" : "float"; }

static bool suspect(double measured, double ports) { return measured < JT_LIMIT_SUSPECT * ports; }

/* A test above a limit shows that the limit is wrong, or does not apply. */
static bool beyond(const bench *b) {
    for (int i = 0; i < b->tests; i++)
        if (fraction(b, &b->test[i]) > 1) return true;
    return false;
}

static void print_limits(const bench *b) {
    const jt_limits *l = &b->limits;
    jt_out(
        "\nlimits with %d threads at %.2f GHz: read %.1f GB/s; int8 %.0f GOP/s, ports and clock allow %.0f; float %.0f GFLOP/s, they allow "
        "%.0f\n",
        jt_engine_threads(b->session.engine), l->clock / 1e9, l->read / 1e9, l->int8 / 1e9, l->int8_ports / 1e9, l->flt / 1e9,
        l->flt_ports / 1e9);
    if (suspect(l->int8, l->int8_ports))
        jt_out("suspect: the int8 peak is %.0f %% of what ports and clock allow; the machine may be busy\n", 100 * l->int8 / l->int8_ports);
    if (suspect(l->flt, l->flt_ports))
        jt_out("suspect: the float peak is %.0f %% of what ports and clock allow; the machine may be busy\n", 100 * l->flt / l->flt_ports);
    if (beyond(b))
        jt_out(
            "suspect: a test lies above its limit; the machine was busy while the limit was measured, or the weights lie in its cache\n");
    jt_out("a generated token reads %.1f MB of weights; a prompt's token takes %.3f GOP in products\n", b->demand.bytes / 1e6,
           b->demand.prompt_ops / 1e9);
}

static void print_text(const bench *b) {
    char model[64], cell[32];
    snprintf(model, sizeof model, "%.25s %.6s", b->info.name, b->demand.format);
    jt_out("| %-32s | %10s | %8s | %5s | %7s | %8s | %18s | %12s |%s\n", "model", "size", "params", "mode", "threads", "test", "t/s",
           "of limit", b->peer ? "   peer t/s | ratio |" : "");
    jt_out(
        "| -------------------------------- | ---------: | -------: | ----- | ------: | -------: | -----------------: | -----------: |%s\n",
        b->peer ? " ---------: | ----: |" : "");
    for (int i = 0; i < b->tests; i++) {
        const bench_test *t = &b->test[i];
        double of = fraction(b, t);
        jt_out("| %-32s | %6.2f MiB | %6.2f M | %5s | %7d | %8s | ", model, (double)b->info.file_bytes / 1048576,
               (double)b->info.parameters / 1e6, b->info.activations, jt_engine_threads(b->session.engine), t->name);
        jt_out("%9.2f ± %6.2f | ", mean(t->speed, b->repeat), deviation(t->speed, b->repeat));
        if (isnan(of))
            snprintf(cell, sizeof cell, "-");
        else
            snprintf(cell, sizeof cell, "%.1f %% %s", 100 * of, limit_name(b, t));
        jt_out("%12s |", cell);
        if (b->peer) jt_out(" %10.2f | %5.2f |", median(t->peer, b->repeat), median(t->speed, b->repeat) / median(t->peer, b->repeat));
        jt_out("\n");
    }
    if (b->peer) jt_out("\npeer and ratio: medians of %d alternating rounds\n", b->repeat);
    if (b->have_limits) print_limits(b);
    jt_out("memory: %.1f MiB at most, file %.1f MiB; opened in %.3f s\n", (double)b->peak_bytes / 1048576,
           (double)b->info.file_bytes / 1048576, b->open_seconds);
    if (b->first_seconds >= 0)
        jt_out("start to first token: %.3f s (engine, model, a prompt of %d tokens)\n", b->first_seconds, FIRST_PROMPT);
}

static void number(jt_str *s, const char *key, double x) {
    jt_str_printf(s, ", \"%s\": ", key);
    jt_str_number(s, x);
}

static void whole(jt_str *s, const char *key, uint64_t x) { jt_str_printf(s, ", \"%s\": %" PRIu64, key, x); }

static void text(jt_str *s, const char *key, const char *value) {
    jt_str_printf(s, ", \"%s\": ", key);
    jt_str_json(s, value, strlen(value));
}

static void json_test(const bench *b, const bench_test *t, jt_str *s) {
    jt_str_printf(s, "{\"test\": \"%s\", \"n_prompt\": %d, \"n_gen\": %d", t->name, t->prompt, t->gen);
    number(s, "tokens_per_second", mean(t->speed, b->repeat));
    number(s, "stddev", deviation(t->speed, b->repeat));
    number(s, "median", median(t->speed, b->repeat));
    jt_str_puts(s, ", \"samples\": [");
    for (int i = 0; i < b->repeat; i++) {
        if (i) jt_str_puts(s, ", ");
        jt_str_number(s, t->speed[i]);
    }
    jt_str_printf(s, "], \"threads\": %d", jt_engine_threads(b->session.engine));
    text(s, "format", b->demand.format);
    if (b->have_limits) {
        text(s, "limit", limit_name(b, t));
        number(s, "of_limit", fraction(b, t));
    }
    if (b->peer) {
        number(s, "peer_tokens_per_second", median(t->peer, b->repeat));
        number(s, "ratio", median(t->speed, b->repeat) / median(t->peer, b->repeat));
    }
    jt_str_puts(s, "}");
}

static void json_limits(const bench *b, jt_str *s) {
    const jt_limits *l = &b->limits;
    jt_str_puts(s, ", \"machine\": {\"read_bytes_per_second\": ");
    jt_str_number(s, l->read);
    number(s, "int8_ops_per_second", l->int8);
    number(s, "int8_ops_allowed", l->int8_ports);
    number(s, "float_ops_per_second", l->flt);
    number(s, "float_ops_allowed", l->flt_ports);
    number(s, "clock_hz", l->clock);
    jt_str_printf(s, ", \"suspect\": %s}",
                  suspect(l->int8, l->int8_ports) || suspect(l->flt, l->flt_ports) || beyond(b) ? "true" : "false");
}

static jt_status print_json(const bench *b, jt_error *err) {
    jt_str s = {0};
    jt_str_puts(&s, "{\"model\": ");
    jt_str_json(&s, b->info.name, strlen(b->info.name));
    text(&s, "format", b->demand.format);
    text(&s, "weights", b->info.weight_types);
    text(&s, "activations", b->info.activations);
    text(&s, "kv_type", b->info.kv_type);
    text(&s, "kernels", jt_engine_kernels(b->session.engine));
    text(&s, "version", jt_version());
    jt_str_printf(&s, ", \"threads\": %d", jt_engine_threads(b->session.engine));
    whole(&s, "parameters", b->info.parameters);
    whole(&s, "file_bytes", b->info.file_bytes);
    whole(&s, "peak_bytes", b->peak_bytes);
    whole(&s, "bytes_per_token", (uint64_t)b->demand.bytes);
    whole(&s, "ops_per_prompt_token", (uint64_t)b->demand.prompt_ops);
    number(&s, "open_seconds", b->open_seconds);
    if (b->first_seconds >= 0) number(&s, "first_token_seconds", b->first_seconds);
    if (b->have_limits) json_limits(b, &s);
    jt_str_puts(&s, ", \"results\": [");
    for (int i = 0; i < b->tests; i++) {
        if (i) jt_str_puts(&s, ", ");
        json_test(b, &b->test[i], &s);
    }
    jt_str_puts(&s, "]}\n");
    jt_status st = jt_str_check(&s, err);
    if (!st) jt_out_str(&s);
    jt_str_free(&s);
    return st;
}

/* ---- the command ---- */

static jt_status measure(bench *b, jt_error *err) {
    jt_status st = make_ids(b, err);
    if (!st) st = run_rounds(b, err);
    struct rusage use;
    if (!st && !getrusage(RUSAGE_SELF, &use)) b->peak_bytes = (uint64_t)use.ru_maxrss * 1024;
    if (!st && !jt_arg_flag(b->args, "no-limits")) {
        st = jt_limits_measure(b->session.engine, &b->limits, err);
        b->have_limits = !st;
    }
    return st;
}

static int run(const jt_args *a) {
    jt_str path = {0};
    jt_error err;
    bench *b = jt_alloc(1, sizeof *b);
    if (!b) return jt_nomem(&err, "the results", 1, sizeof *b), jt_fail(&err);
    b->args = a, b->repeat = (int)jt_arg_int(a, "repeat"), b->peer = jt_arg_text(a, "peer"), b->first_seconds = -1;
    jt_interrupt_install();
    int code = JT_EXIT_OK;
    jt_status st = add_tests(b, jt_arg_text(a, "prompt"), false, &err);
    if (!st) st = add_tests(b, jt_arg_text(a, "gen"), true, &err);
    if (!st && b->tests == 0 && !jt_arg_flag(a, "first-token"))
        st = jt_error_set(&err, JT_INVALID, "nothing to measure; give --prompt or --gen a number of tokens");
    if (!st) code = jt_session_path(jt_arg_pos(a, 0), &path);
    if (!st && !code) {
        b->path = jt_str_c(&path);
        if (b->peer && jt_is_folder(b->path))
            st = jt_error_set(&err, JT_UNSUPPORTED, "llama-bench reads GGUF files, not folders; leave --peer out");
    }
    if (!st && !code) {
        double start = jt_seconds();
        code = jt_session_open(a, b->path, &b->session);
        b->open_seconds = jt_seconds() - start;
    }
    if (!st && !code) {
        jt_model_get_info(b->session.model, &b->info);
        b->demand = jt_demand_of(b->session.model);
        st = measure(b, &err);
    }
    if (!st && !code && jt_arg_flag(a, "first-token")) code = first_tokens(b);
    if (!st && !code) {
        if (jt_arg_flag(a, "json"))
            st = print_json(b, &err);
        else
            print_text(b);
    }
    if (st) code = jt_fail(&err);
    jt_session_close(&b->session);
    jt_free(b->ids);
    jt_free(b);
    jt_str_free(&path);
    return code;
}

static const jt_opt opts[] = {
    {"prompt", 'p', JT_OPT_TEXT, "N,...", "512", 0, 0, "lengths of prompts to evaluate (pp); 0 for none"},
    {"gen", 'n', JT_OPT_TEXT, "N,...", "128", 0, 0, "numbers of tokens to generate one by one (tg); 0 for none"},
    {"repeat", 'r', JT_OPT_INT, "N", "5", 1, MAX_REPEAT, "rounds, after one of warming up"},
    {"peer", 0, JT_OPT_FILE, "PATH", NULL, 0, 0, "a llama-bench to run on the same file with as many threads, in turn"},
    {"first-token", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "also measure the time from opening the model to the first token"},
    {"no-limits", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "do not measure what the machine can do at most"},
    {"json", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print one JSON object with a list of results"},
    {0},
};
static const jt_pos pos[] = {
    {"MODEL", JT_POS_MODEL, true, false, "a GGUF file, a Hugging Face folder or a known name; the default model if not given"},
    {0},
};
static const jt_example examples[] = {
    {"jeton bench smollm2 --threads 2", "prompts of 512 tokens and 128 generated ones"},
    {"jeton bench model.gguf -p 128,512 -n 32 -r 3 --json", "two prompt lengths, as JSON"},
    {"jeton bench model.gguf --peer /usr/local/bin/llama-bench", "beside llama.cpp, with ratios"},
    {0},
};
const jt_command jt_cmd_bench = {
    .name = "bench",
    .summary = "speed of prompts and generation, beside the limits of the machine",
    .about = "Prompts are random tokens with a fixed seed. Each round runs every test on a fresh state; the table gives the mean and the "
             "standard deviation of the rounds.\n\n"
             "The limits are measured with the same threads and kernels: bytes read from memory, and operations in 8 bits and in float "
             "from registers alone, beside what two vector ports at the measured clock allow; a peak below 85 % of that is called "
             "suspect. Generation is compared with reading all weights once a token, a prompt with the operations of its matrix "
             "products, embedding and head left out.",
    .opt = opts,
    .model_options = true,
    .pos = pos,
    .example = examples,
    .run = run,
};
