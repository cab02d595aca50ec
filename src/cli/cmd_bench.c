/* jeton bench: how fast prompts are read and tokens generated, beside what the
 * machine can do and beside a llama-bench. Tests are named as llama-bench names
 * them: pp512 evaluates a prompt of 512 tokens, tg128 generates 128 one by one. */
#include "cli/bench.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "core/file.h"

static jt_status bench_check(jt_bench *b, jt_error *err) {
    const jt_args *a = b->args;
    if (b->tests == 0 && !jt_arg_flag(a, "first-token"))
        return jt_error_set(err, JT_INVALID, "nothing to measure; give --prompt or --gen a number of tokens");
    if (b->peers > JT_BENCH_PEERS) return jt_error_set(err, JT_INVALID, "%d peers; there may be %d", b->peers, JT_BENCH_PEERS);
    if (jt_arg_text(a, "plot") && (jt_arg_flag(a, "no-limits") || b->tests == 0))
        return jt_error_set(err, JT_INVALID, "--plot needs tests and the machine's limits; leave --no-limits out");
    return JT_OK;
}

static jt_status bench_measure(jt_bench *b, jt_error *err) {
    jt_status st = b->baseline ? jt_bench_read_baseline(b, err) : JT_OK;
    if (!st) st = jt_bench_rounds(b, err);
    return st;
}

static int bench_tell(const jt_bench *b) {
    const char *plot = jt_arg_text(b->args, "plot");
    jt_str s = {0};
    jt_error err;
    jt_status st = JT_OK;
    if (!jt_arg_flag(b->args, "json"))
        jt_bench_print(b);
    else if (!(st = jt_bench_json(b, &s, &err)))
        jt_out_str(&s);
    jt_str_free(&s);
    if (st) return jt_fail(&err);
    return plot && jt_bench_plot(b, plot, &err) ? (jt_fail(&err), JT_EXIT_OUTPUT) : JT_EXIT_OK;
}

static int run(const jt_args *a) {
    jt_str path = {0};
    jt_error err;
    jt_bench *b = jt_alloc(1, sizeof *b);
    if (!b) return jt_nomem(&err, "the results", 1, sizeof *b), jt_fail(&err);
    b->args = a, b->repeat = (int)jt_arg_int(a, "repeat"), b->first_seconds = -1, b->baseline = jt_arg_text(a, "baseline");
    b->peer = jt_arg_list(a, "peer", &b->peers);
    jt_interrupt_install();
    int code = JT_EXIT_OK;
    jt_status st = jt_bench_plan(b, &err);
    if (!st) st = bench_check(b, &err);
    if (!st) code = jt_session_path(jt_arg_pos(a, 0), &path);
    if (!st && !code) {
        b->path = jt_str_c(&path);
        if (b->peers && jt_is_folder(b->path))
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
        st = bench_measure(b, &err);
    }
    if (!st && !code && jt_arg_flag(a, "first-token")) code = jt_bench_first(b);
    if (st) code = jt_fail(&err);
    if (!code) code = bench_tell(b);
    jt_session_close(&b->session);
    jt_free(b->ids);
    jt_free(b);
    jt_str_free(&path);
    return code;
}

static const jt_opt opts[] = {
    {"prompt", 'p', JT_OPT_TEXT, "N,...", "512", 0, 0, "lengths of prompts to evaluate (pp); 0 for none"},
    {"gen", 'n', JT_OPT_TEXT, "N,...", "128", 0, 0, "numbers of tokens to generate one by one (tg); 0 for none"},
    {"depth", 'd', JT_OPT_TEXT, "N,...", "0", 0, 0, "tokens that stand before each test"},
    {"batch", 0, JT_OPT_TEXT, "N,...", "1", 0, 0, "sequences evaluated together"},
    {"repeat", 'r', JT_OPT_INT, "N", "5", 1, JT_BENCH_ROUNDS, "rounds, after one of warming up"},
    {"peer", 0, JT_OPT_LIST, "COMMAND", NULL, 0, 0, "a llama-bench, with flags of its own, to run on the same file in turn"},
    {"baseline", 0, JT_OPT_FILE, "FILE", NULL, 0, 0, "an earlier --json to compare with"},
    {"plot", 0, JT_OPT_FILE, "FILE", NULL, 0, 0, "write the tests under the machine's roofline as SVG"},
    {"operators", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "also tell in which operators the time of each test goes (as many runs again)"},
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
    {"jeton bench model.gguf -p 0 -n 32 -d 0,4096 --batch 1,16", "generation at two depths, alone and 16 together"},
    {"jeton bench model.gguf --peer /usr/local/bin/llama-bench", "beside llama.cpp, with ratios"},
    {"jeton bench model.gguf --peer './llama-bench -fa 1' --plot roof.svg", "with flags of the peer, and a picture"},
    {"jeton bench model.gguf --baseline before.json", "beside what --json printed before"},
    {0},
};
const jt_command jt_cmd_bench = {
    .name = "bench",
    .summary = "speed of prompts and generation, beside the limits of the machine",
    .about = "Prompts are random tokens with a fixed seed. Each round runs every test on fresh states; the table gives the mean and the "
             "standard deviation of the rounds, ratios are of medians. Every length is measured at every depth and batch.\n\n"
             "The limits are measured after each round with the same threads and kernels: bytes read from memory, and operations in 8 bits "
             "and in float "
             "from registers alone, beside what two vector ports at the measured clock allow; a peak below 85 % of that is called "
             "suspect. A test must read the weights once a step and the cache before it, and do the operations of its matrix products "
             "(those of attention left out); the table gives the nearer of the two limits, of reading the median of the rounds.\n\n"
             "A --peer is run as PROGRAM FLAGS -m MODEL -p N -n N -t THREADS -r 1 -o json, with -d N where there is a depth; tests "
             "of several sequences have no peer.",
    .opt = opts,
    .model_options = true,
    .pos = pos,
    .example = examples,
    .run = run,
};
