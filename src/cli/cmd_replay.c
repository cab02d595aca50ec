/* jeton replay: a trace's decisions made again, and compared with what it tells. */
#include <string.h>

#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/pipelines.h"
#include "cli/reopen.h"
#include "core/file.h"

typedef struct replay_sum {
    size_t tokens, same, differences;
} replay_sum;

static void say_job(const jt_args *a, const jt_trace_job *j, const jt_trace_replayed *r, bool first) {
    size_t told = r->n_difference < JT_TRACE_DIFFERENCES ? r->n_difference : JT_TRACE_DIFFERENCES;
    if (jt_arg_flag(a, "json")) {
        jt_str o = {0};
        jt_str_printf(&o, "%s{\"job\": %llu, \"tokens\": %zu, \"same\": %zu, \"differences\": [", first ? "" : ", ",
                      (unsigned long long)j->job, r->tokens, r->same);
        for (size_t i = 0; i < told; i++) {
            const jt_trace_difference *d = &r->difference[i];
            jt_str_printf(&o, "%s{\"answer\": %d, \"token\": %zu, \"position\": %d, \"line\": %zu, \"what\": ", i ? ", " : "", d->answer,
                          d->token, (int)d->position, d->line);
            jt_str_json(&o, d->what, strlen(d->what));
            jt_str_putc(&o, '}');
        }
        jt_str_puts(&o, "]}");
        jt_out_str(&o);
        jt_str_free(&o);
        return;
    }
    for (size_t i = 0; i < told; i++) {
        const jt_trace_difference *d = &r->difference[i];
        jt_out("line %zu: job %llu, answer %d, token %zu (position %d): %s\n", d->line, (unsigned long long)j->job, d->answer, d->token,
               (int)d->position, d->what);
    }
    if (told < r->n_difference) jt_out("... and %zu more\n", r->n_difference - told);
}

/* "here" is the trace, "there" the replay. */
static int replay_jobs(const jt_args *a, const jt_trace *t, const jt_methods *extra, jt_reopened *m, replay_sum *sum) {
    bool alone = jt_arg_flag(a, "without-model");
    for (size_t i = 0; i < t->n_job; i++) {
        const jt_trace_job *j = &t->job[i];
        jt_trace_replayed r;
        jt_error err;
        jt_driver *d = NULL;
        int code = alone ? JT_EXIT_OK : jt_reopened_driver(m, &d);
        if (code) return code;
        jt_status s = alone ? jt_trace_replay_alone(t, j, NULL, extra, &r, &err) : jt_trace_replay(j, d, extra, &r, &err);
        jt_driver_free(d);
        if (s) return jt_fail(&err);
        say_job(a, j, &r, i == 0);
        sum->tokens += r.tokens, sum->same += r.same, sum->differences += r.n_difference;
        if (jt_interrupted()) return JT_EXIT_INTERRUPTED;
    }
    return JT_EXIT_OK;
}

static int replay_trace(const jt_args *a, const jt_trace *t, const jt_methods *extra) {
    jt_reopened m = {0};
    replay_sum sum = {0};
    bool json = jt_arg_flag(a, "json");
    int code = jt_arg_flag(a, "without-model") ? JT_EXIT_OK : jt_reopen(a, t, jt_arg_pos(a, 1), &m);
    if (!code && json) jt_out("{\"complete\": %s, \"jobs\": [", t->complete && !t->altered ? "true" : "false");
    if (!code) code = replay_jobs(a, t, extra, &m, &sum);
    if (!code && json)
        jt_out("], \"tokens\": %zu, \"same\": %zu}\n", sum.tokens, sum.same);
    else if (!code && sum.differences)
        jt_out("%zu of %zu tokens are as the trace tells; in what differs, \"here\" is the trace and \"there\" the replay\n", sum.same,
               sum.tokens);
    else if (!code)
        jt_out("all %zu tokens are as the trace tells, bit for bit\n", sum.tokens);
    jt_reopened_close(&m);
    return code ? code : sum.differences ? JT_EXIT_FAILURE : JT_EXIT_OK;
}

static int run(const jt_args *a) {
    jt_trace *t = NULL;
    jt_pipelines known = {0};
    jt_error err;
    jt_interrupt_install();
    int code = jt_pipelines_open(a, &known, &err) || jt_trace_read(jt_arg_pos(a, 0), &t, &err) ? jt_fail(&err) : JT_EXIT_OK;
    if (!code && t->note) jt_say("%s: %s", jt_arg_pos(a, 0), t->note);
    if (!code) code = replay_trace(a, t, known.extra);
    jt_trace_free(t);
    jt_pipelines_close(&known);
    return code;
}

static const jt_pos pos[] = {
    {"TRACE", JT_POS_FILE, false, false, "a trace, written with --trace by run, batch or chat"},
    {"MODEL", JT_POS_MODEL, true, false, "the model, if it is no longer where the trace says"},
    {0},
};
static const jt_opt opts[] = {
    {"without-model", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "decide from the candidates of a trace that has them all (--trace-candidates all)"},
    {"json", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print one JSON object"},
    JT_PLUGIN_OPT,
    {0},
};
static const jt_example examples[] = {
    {"jeton run -p \"Name a river.\" --trace t.jsonl && jeton replay t.jsonl", "write a trace, and decide again"},
    {"jeton replay t.jsonl model.gguf", "the model lies elsewhere now"},
    {0},
};
const jt_command jt_cmd_replay = {
    .name = "replay",
    .summary = "make the decisions of a trace again, and compare them to the bit",
    .about = "The model is evaluated again from the request that the trace tells; the tokens it tells are not given to what decides. "
             "Candidates, logits, what each stage did, random numbers and tokens are compared bit for bit, and what differs is said at "
             "its token. The exit code is 1 when something differs.\n\n"
             "Activations and cache type are the trace's. A trace that is cut is replayed up to there.",
    .opt = opts,
    .model_options = true,
    .pos = pos,
    .example = examples,
    .run = run,
};
