/* jeton eval TASK.yaml: a model's answers to the questions of a task, judged. */
#include <math.h>
#include <string.h>

#include "cli/command.h"
#include "cli/eval_run.h"
#include "cli/eval_text.h"
#include "cli/interrupt.h"
#include "cli/out.h"

typedef struct shown {
    const jt_task *task;
    const jt_model *model;
    const char *decode;
    const jt_eval_told *told;
    jt_measure measure[JT_EVAL_METRICS];
    jt_summary summary[JT_EVAL_METRICS];
    int n;
} shown;

static jt_status summarise(shown *s, uint64_t seed, jt_error *err) {
    jt_status st = JT_OK;
    s->n = s->told->results.n ? jt_measures(&s->told->results, s->measure) : 0;
    for (int i = 0; !st && i < s->n; i++) st = jt_measure_summary(&s->told->results, &s->measure[i], seed, &s->summary[i], err);
    return st;
}

static void print_range(const jt_interval *r, const char *what) {
    char text[64] = "-";
    if (!isnan(r->low)) snprintf(text, sizeof text, "%.4f to %.4f%s", r->low, r->high, what);
    jt_out("  %-28s", text);
}

static void print_table(const shown *s) {
    jt_model_info info;
    jt_model_get_info(s->model, &info);
    jt_out("%s: %zu of %zu items, %s (%s, activations %s, cache %s)%s%s\n", s->task->name, s->told->results.n, s->told->items, info.name,
           info.weight_types, info.activations, info.kv_type, *s->decode ? ", " : "", s->decode);
    if (s->n) jt_out("%-18s %10s  %-28s  %s\n", "measure", "value", "95 % by bootstrap", "95 % by formula");
    for (int i = 0; i < s->n; i++) {
        jt_out("%-18s %10.4f", s->measure[i].name, s->summary[i].value);
        print_range(&s->summary[i].bootstrap, "");
        print_range(&s->summary[i].formula, s->measure[i].proportion ? " (Wilson)" : " (normal)");
        jt_out("\n");
    }
}

static void json_range(const char *name, const jt_interval *r, jt_str *o) {
    jt_str_printf(o, ", \"%s\": [", name);
    jt_str_number(o, r->low);
    jt_str_puts(o, ", ");
    jt_str_number(o, r->high);
    jt_str_putc(o, ']');
}

static jt_status print_json(const shown *s, jt_error *err) {
    jt_str o = {0};
    jt_str_puts(&o, "{\"task\": ");
    jt_str_json(&o, s->task->name, strlen(s->task->name));
    jt_str_printf(&o, ", \"items\": %zu, \"answered\": %zu, \"errors\": %zu, \"decode\": ", s->told->items, s->told->results.n,
                  s->told->bad);
    jt_str_json(&o, s->decode, strlen(s->decode));
    jt_str_puts(&o, ", ");
    jt_eval_mode_json(s->model, &o);
    jt_str_puts(&o, ", \"measures\": {");
    for (int i = 0; i < s->n; i++) {
        jt_str_printf(&o, "%s\"%s\": {\"value\": ", i ? ", " : "", s->measure[i].name);
        jt_str_number(&o, s->summary[i].value);
        jt_str_puts(&o, ", \"standard_error\": ");
        jt_str_number(&o, s->summary[i].error);
        json_range("bootstrap", &s->summary[i].bootstrap, &o);
        json_range(s->measure[i].proportion ? "wilson" : "normal", &s->summary[i].formula, &o);
        jt_str_putc(&o, '}');
    }
    jt_str_puts(&o, "}}\n");
    jt_status st = jt_str_check(&o, err);
    if (!st) jt_out_str(&o);
    jt_str_free(&o);
    return st;
}

static int tell(const jt_args *a, const jt_task *t, const jt_session *s, const jt_eval_told *told) {
    shown v = {.task = t, .model = s->model, .decode = jt_arg_text(a, "decode"), .told = told};
    jt_error err;
    jt_status st = summarise(&v, jt_arg_u64(a, "seed"), &err);
    if (!st && jt_arg_flag(a, "json")) {
        st = print_json(&v, &err);
    } else if (!st) {
        print_table(&v);
    }
    if (st) return jt_fail(&err);
    if (told->had) jt_say("%zu of the results were there before", told->had);
    jt_say("%llu tokens in %.1f s", (unsigned long long)told->tokens, told->seconds);
    if (!told->bad) return JT_EXIT_OK;
    jt_say("%zu items could not be answered and are in no number above", told->bad);
    return JT_EXIT_FAILURE;
}

static int evaluate(const jt_args *a, const jt_pipelines *known, const jt_task *t, jt_session *s, jt_driver *d) {
    jt_eval_told told;
    jt_error err;
    jt_eval_how how = {.extra = known->extra,
                       .seed = jt_arg_u64(a, "seed"),
                       .limit = jt_arg_int(a, "limit"),
                       .jobs = (size_t)jt_arg_int(a, "jobs"),
                       .data = jt_arg_text(a, "data"),
                       .output = jt_arg_text(a, "output"),
                       .begin = jt_arg_flag(a, "restart")        ? JT_BATCH_RESTART
                                : jt_arg_flag(a, "retry-errors") ? JT_BATCH_RETRY
                                                                 : JT_BATCH_RESUME};
    if (jt_pipelines_text(known, jt_arg_text(a, "decode"), &how.decode, &err)) return jt_fail(&err);
    int code = jt_session_furnish(a, s, d);
    if (code) return code;
    code = jt_eval_run(t, s, d, &how, &told);
    if (!code) code = tell(a, t, s, &told);
    if (code == JT_EXIT_INTERRUPTED)
        jt_say("interrupted after %zu of %zu items%s", told.results.n, told.items,
               how.output ? "; the same command goes on where it ended" : "");
    jt_eval_told_free(&told);
    return code;
}

static int run(const jt_args *a) {
    jt_task t;
    jt_session s;
    jt_driver *d = NULL;
    jt_error err;
    jt_pipelines known = {0};
    jt_interrupt_install();
    if (jt_task_read(jt_arg_pos(a, 0), &t, &err)) return jt_fail(&err);
    int code = jt_pipelines_open(a, &known, &err) ? jt_fail(&err) : JT_EXIT_OK;
    if (!code) code = jt_session_open(a, jt_arg_text(a, "model"), &s);
    if (!code) {
        if (jt_driver_new(s.model, &d, &err)) code = jt_fail(&err);
        if (!code) code = evaluate(a, &known, &t, &s, d);
        jt_driver_free(d);
        jt_session_close(&s);
    }
    jt_pipelines_close(&known);
    jt_task_free(&t);
    return code;
}

static const jt_pos pos[] = {
    {"TASK", JT_POS_FILE, false, false, "a YAML file that says how questions become prompts (docs/eval.md)"},
    {0},
};
static const jt_opt opts[] = {
    {"model", 'm', JT_OPT_TEXT, "MODEL", NULL, 0, 0, "a GGUF file, a Hugging Face folder, or a known name (default smollm2)"},
    {"decode", 'd', JT_OPT_TEXT, "PIPELINE", "", 0, 0,
     "how answers are chosen (default greedy); for likelihoods the stages they go through"},
    JT_PLUGIN_OPT,
    {"output", 'o', JT_OPT_FILE, "FILE", NULL, 0, 0, "results, a JSON object an item; what is there already is not done again"},
    {"data", 0, JT_OPT_FILE, "FILE", NULL, 0, 0, "questions, in place of the file that the task names"},
    {"limit", 0, JT_OPT_INT, "N", "0", 0, 1 << 30, "only the first N items; 0: all"},
    {"seed", 's', JT_OPT_U64, "N", "0", 0, 0, "seed of the answers and of the resamples"},
    {"jobs", 'j', JT_OPT_INT, "N", "0", 0, 4096, "items at once at most; 0: by the kind of task. Never changes results"},
    {"json", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print one JSON object"},
    {"adapter", 0, JT_OPT_TEXT, "NAME", NULL, 0, 0, "evaluate with the adapter of --lora NAME=PATH"},
    {"model2", 0, JT_OPT_LIST, "ROLE=MODEL", NULL, 0, 0, "a further model for methods that name its role, such as large=FILE for r2r"},
    {"retry-errors", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "do items again whose result is an error"},
    {"restart", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "empty the file of results first"},
    {0},
};
static const jt_example examples[] = {
    {"jeton eval arc.yaml --model smollm2 -o arc.jsonl", "accuracy with intervals; after a kill the same line goes on"},
    {"jeton eval gsm8k.yaml -d \"temp:0.8 | min-p:0.05\" --limit 200", "the first 200 questions, sampled"},
    {0},
};
const jt_command jt_cmd_eval_task = {
    .name = "eval task",
    .summary = "a model's answers to the questions of a task; \"task\" may be left out",
    .about = "A task is a small YAML file over local data: multiple choice by likelihood (acc, acc_norm), answers compared with the right "
             "one after filters (exact_match), or the perplexity of whole texts. Its words are those of lm-evaluation-harness. Items "
             "run together through one driver, and a result does not depend on what runs beside it.\n\n"
             "Intervals are of 95 %: by the bootstrap over items (10,000 resamples), by Wilson's score for proportions and the "
             "normal distribution for other means.",
    .opt = opts,
    .model_options = true,
    .pos = pos,
    .example = examples,
    .run = run,
};
