/* jeton run: one prompt, one answer. */
#include <string.h>
#include <unistd.h>

#include "cli/answer.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/tracing.h"

/* The prompt's bytes: an argument, a file, or standard input. */
static int read_prompt(const jt_args *a, jt_str *prompt) {
    const char *text = jt_arg_text(a, "prompt"), *file = jt_arg_text(a, "file");
    jt_error err;
    jt_status s;
    if (text && file) return jt_fail_usage(a, "give the prompt by --prompt or by --file, not by both");
    if (text) {
        jt_str_puts(prompt, text);
        s = jt_str_check(prompt, &err);
    } else {
        if (!file && isatty(STDIN_FILENO)) return jt_fail_usage(a, "no prompt: give one with -p TEXT, with -f FILE, or on standard input");
        s = jt_file_read(file ? file : "-", prompt, &err);
        /* An editor's or echo's last line break is no part of what was said; a raw prompt is taken byte for byte. */
        if (!s && !jt_arg_flag(a, "raw") && prompt->n && prompt->s[prompt->n - 1] == '\n') prompt->s[--prompt->n] = 0;
    }
    if (s) return jt_fail(&err);
    if (!prompt->n) return jt_fail_usage(a, "the prompt is empty; say something");
    if (!jt_arg_flag(a, "raw") && strlen(prompt->s) != prompt->n)
        return jt_fail_usage(a, "the prompt holds a NUL byte, which a chat message cannot; --raw takes any bytes");
    return JT_EXIT_OK;
}

/* The prompt as messages: those of the system, if any, and of the user. How many there are; 0 for a raw one. */
static size_t run_messages(const jt_args *a, const jt_str *prompt, jt_message m[2]) {
    size_t n = 0;
    if (jt_arg_flag(a, "raw")) return 0;
    if (jt_arg_text(a, "system")) m[n++] = (jt_message){"system", jt_arg_text(a, "system")};
    m[n++] = (jt_message){"user", prompt->s};
    return n;
}

/* The prompt's tokens; *ids is freed by the caller. */
static int encode_prompt(const jt_args *a, const jt_tokenizer *t, const jt_str *prompt, int32_t **ids, size_t *n) {
    jt_error err;
    jt_tokens tokens = {0};
    jt_status s;
    if (!t) {
        jt_say("the model's files carry no tokenizer; 'jeton eval logits --ids' works without one");
        return JT_EXIT_FILE;
    }
    if (jt_arg_flag(a, "raw")) {
        if (jt_arg_text(a, "system")) return jt_fail_usage(a, "--system needs the chat format that --raw turns off");
        s = jt_encode(t, prompt->s, prompt->n, JT_ADD_SPECIAL | JT_PARSE_SPECIAL, &tokens, &err);
    } else {
        jt_message m[2];
        s = jt_chat_encode(t, m, (int)run_messages(a, prompt, m), 1, &tokens, &err);
        if (s == JT_UNSUPPORTED) jt_say("a prompt without a chat format is given with --raw");
    }
    int32_t *list = s ? NULL : jt_alloc(tokens.n, sizeof *list);
    if (!s && !list) s = jt_nomem(&err, "the prompt", tokens.n, sizeof *list);
    for (size_t i = 0; list && i < tokens.n; i++) list[i] = tokens.t[i].id;
    *ids = list, *n = tokens.n;
    jt_tokens_free(&tokens);
    if (s) return jt_fail(&err);
    return *n ? JT_EXIT_OK : jt_fail_usage(a, "the prompt gives no tokens; say something");
}

static void json_floats(const char *name, const float *x, size_t n, jt_str *o) {
    jt_str_printf(o, ", \"%s\": [", name);
    for (size_t i = 0; i < n; i++) {
        if (i) jt_str_puts(o, ", ");
        jt_str_number(o, (double)x[i]);
    }
    jt_str_putc(o, ']');
}

static void json_text(const char *name, const char *s, jt_str *o) {
    jt_str_printf(o, ", \"%s\": ", name);
    jt_str_json(o, s, strlen(s));
}

static void json_timing(const char *what, int tokens, double seconds, jt_str *o) {
    jt_str_printf(o, ", \"%s_tokens\": %d, \"%s_seconds\": ", what, tokens, what);
    jt_str_number(o, seconds);
    jt_str_printf(o, ", \"%s_tokens_per_second\": ", what);
    jt_str_number(o, seconds > 0 ? tokens / seconds : 0);
}

static int print_json(const jt_session *s, const jt_request *r, const jt_answer *w, const jt_parts *parts, double load_seconds) {
    jt_str o = {0};
    jt_model_info info;
    jt_model_get_info(s->model, &info);
    jt_str_puts(&o, "{\"text\": ");
    jt_str_json(&o, jt_str_c(&w->text), w->text.n);
    if (parts) {
        jt_str_puts(&o, ", \"message\": ");
        jt_parts_write(parts, &o);
    }
    jt_str_puts(&o, ", \"ids\": [");
    for (size_t i = 0; i < w->n; i++) jt_str_printf(&o, "%s%d", i ? ", " : "", w->id[i]);
    jt_str_puts(&o, "], \"prompt_ids\": [");
    for (size_t i = 0; i < r->n_prompt; i++) jt_str_printf(&o, "%s%d", i ? ", " : "", r->prompt[i]);
    jt_str_putc(&o, ']');
    json_floats("logprobs", w->logprob, w->n, &o);
    json_floats("raw_logprobs", w->raw_logprob, w->n, &o);
    if (r->top_logprobs > 0) jt_str_printf(&o, ", \"top\": [%s]", jt_str_c(&w->top));
    json_text("stop_reason", jt_end_reason_name(w->reason), &o);
    json_text("model", info.name, &o);
    json_text("pipeline", jt_pipeline_text(r->pipeline), &o);
    jt_str_printf(&o, ", \"seed\": %llu, \"context\": %d", (unsigned long long)r->seed, s->context);
    json_text("activations", info.activations, &o);
    json_text("kv_type", info.kv_type, &o);
    jt_str_printf(&o, ", \"mode\": \"%016llx\", \"timings\": {\"load_seconds\": ", (unsigned long long)info.mode);
    jt_str_number(&o, load_seconds);
    json_timing("prompt", w->prompt_tokens, w->prompt_seconds, &o);
    json_timing("answer", w->answer_tokens, w->answer_seconds, &o);
    jt_str_printf(&o, ", \"threads\": %d, \"kernels\": \"%s\"}}\n", jt_engine_threads(s->engine), jt_engine_kernels(s->engine));
    jt_error err;
    jt_status st = jt_str_check(&o, &err);
    if (!st) jt_out_str(&o);
    jt_str_free(&o);
    return st ? jt_fail(&err) : JT_EXIT_OK;
}

static void say_timings(const jt_answer *w, double load_seconds) {
    char before[48];
    snprintf(before, sizeof before, "loaded in %.2f s; ", load_seconds);
    jt_answer_say_timings(w, before);
}

/* What is said once the answer is complete. */
static int report(const jt_args *a, const jt_session *s, const jt_request *r, const jt_answer *w, const jt_parts *parts,
                  jt_parts_show *show, double load_seconds) {
    int code = JT_EXIT_OK;
    bool json = jt_arg_flag(a, "json"), limit = w->reason == JT_END_LENGTH || w->reason == JT_END_TIME || w->reason == JT_END_CONTEXT;
    if (json)
        code = print_json(s, r, w, parts, load_seconds);
    else if (parts && show->said)
        jt_parts_show_end(show);
    else if (!parts && w->text.n && w->text.s[w->text.n - 1] != '\n')
        jt_out("\n");
    jt_out_flush();
    if (jt_arg_flag(a, "timings")) say_timings(w, load_seconds);
    if (w->reason == JT_END_DEAD) jt_say("the pipeline left no candidate token, so the answer ends here");
    if (parts && !json && show->hide && parts->reasoning.n && !show->said)
        jt_say("the answer is reasoning only; --reasoning show prints it");
    if (limit && !json && isatty(STDERR_FILENO) && !jt_arg_given(a, "tokens"))
        jt_say("the answer was ended by a limit (%s)", jt_end_reason_name(w->reason));
    return code ? code : w->reason == JT_END_CANCELLED ? JT_EXIT_INTERRUPTED : JT_EXIT_OK;
}

/* Everything after the model is open. */
static int answer(const jt_args *a, jt_session *s, const jt_str *prompt, const jt_pipeline *pipeline, double load_seconds) {
    const jt_tokenizer *t = jt_model_tokenizer(s->model);
    int32_t *ids = NULL;
    size_t n = 0;
    jt_driver *d = NULL;
    jt_tracing trace = {0};
    jt_error err;
    int code = encode_prompt(a, t, prompt, &ids, &n);
    if (!code && jt_driver_new(s->model, &d, &err)) code = jt_fail(&err);
    if (!code) code = jt_session_furnish(a, s, d);
    if (!code) code = jt_tracing_open(a, s, jt_arg_pos(a, 0), &trace);
    if (!code) {
        jt_answer w = {0};
        jt_request r;
        jt_message m[2];
        jt_answer_request(a, s->context, &r);
        r.prompt = ids, r.n_prompt = n, r.pipeline = pipeline;
        r.messages = m, r.n_messages = run_messages(a, prompt, m);
        r.special = jt_arg_flag(a, "special");
        r.top_logprobs = (int)jt_arg_int(a, "logprobs");
        jt_tracing_request(&trace, &r);
        bool parted = !jt_arg_flag(a, "raw") && !r.special, print = !jt_arg_flag(a, "json");
        jt_parts parts = {0};
        jt_parts_show show = jt_parts_show_new(jt_arg_text(a, "reasoning"), &parts);
        if (print) parts.fn = jt_parts_print, parts.self = &show;
        const jt_answer_sink sink = {
            .print = print && !parted, .trace = trace.w, .parts = parted ? &parts : NULL, .show = print && parted ? &show : NULL};
        code = jt_answer_run(d, t, &r, &sink, &w);
        if (!code) code = report(a, s, &r, &w, parted ? &parts : NULL, &show, load_seconds);
        jt_parts_free(&parts);
        if (code != JT_EXIT_OUTPUT && jt_tracing_end(&trace)) code = JT_EXIT_OUTPUT;
        jt_answer_free(&w);
    }
    jt_tracing_close(&trace);
    jt_driver_free(d);
    jt_free(ids);
    return code;
}

static int run(const jt_args *a) {
    jt_interrupt_install();
    jt_str prompt = {0};
    jt_pipeline *pipeline = NULL;
    jt_pipelines known = {0};
    jt_session s = {0};
    jt_error err;
    double start = jt_seconds();
    int code = jt_pipelines_open(a, &known, &err) || jt_pipelines_parse(&known, jt_arg_text(a, "decode"), &pipeline, &err) ? jt_fail(&err)
                                                                                                                           : JT_EXIT_OK;
    if (!code) code = read_prompt(a, &prompt);
    if (!code) code = jt_session_open(a, jt_arg_pos(a, 0), &s);
    if (!code) code = answer(a, &s, &prompt, pipeline, jt_seconds() - start);
    jt_session_close(&s);
    jt_pipeline_free(pipeline);
    jt_pipelines_close(&known);
    jt_str_free(&prompt);
    return code;
}

static const jt_pos pos[] = {
    {"MODEL", JT_POS_MODEL, true, false, "a GGUF file, a Hugging Face folder, or a known name (default smollm2)"},
    {0},
};
static const jt_opt opts[] = {
    {"prompt", 'p', JT_OPT_TEXT, "TEXT", NULL, 0, 0, "what to say to the model"},
    {"file", 'f', JT_OPT_FILE, "FILE", NULL, 0, 0, "read the prompt from a file; without -p and -f it is read from standard input"},
    JT_ANSWER_OPTS("greedy", "512"),
    {"raw", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "continue the prompt as it stands: no chat format, special tokens written in it count"},
    {"special", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print special tokens too, and the answer as it stands, reasoning and calls in it"},
    JT_REASONING_OPT,
    {"json", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print one JSON object: text, message, ids, prompt_ids, logprobs, timings, stop_reason ..."},
    {"logprobs", 0, JT_OPT_INT, "N", "0", 0, 20, "with --json, the N best candidates of each token"},
    JT_TRACING_OPTS,
    {"timings", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "say on standard error how long it took and why the answer ended"},
    {0},
};
static const jt_example examples[] = {
    {"jeton run -p \"Why is the sky blue?\"", "one answer of the default model"},
    {"jeton run smollm2 -p \"A haiku.\" --decode \"temp:0.8 | min-p:0.05\" --seed 7", "sampled; the same text every time"},
    {"jeton run model.gguf -f prompt.txt --raw -n 64 --json", "continues a text; everything about it as JSON"},
    {"echo \"Name three rivers.\" | jeton run --stop \"3.\" --trace trace.jsonl", "a prompt from a pipe, every decision written down"},
    {0},
};
const jt_command jt_cmd_run = {
    .name = "run",
    .summary = "answer one prompt, printing the text as it comes",
    .about = "The prompt is the argument of -p, the contents of -f, or standard input (a last line break is dropped unless --raw). It is "
             "put into the "
             "model's chat format unless --raw is given. The same request gives the same text on every machine.\n\n"
             "Why the answer ended is in stop_reason: end (the model ended it), stop, length, time, context, dead (the pipeline left "
             "nothing) or "
             "cancelled. Where the model reasons first, a pipe gets the answer alone (--reasoning); a tool call is printed as "
             "\"-> name(arguments)\". 'jeton methods' lists what a pipeline can hold.",
    .opt = opts,
    .model_options = true,
    .pos = pos,
    .example = examples,
    .run = run,
};
