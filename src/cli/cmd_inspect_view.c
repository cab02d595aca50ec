/* jeton inspect view: traces, and runs, in the terminal. */
#include <string.h>
#include <unistd.h>

#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/reopen.h"
#include "cli/view_terminal.h"
#include "core/file.h"
#include "jeton/text.h"

typedef struct viewer {
    const jt_args *args;
    jt_looking view;
    jt_trace *trace, *next; /* what was read; what goes on from it, NULL: nothing yet */
    jt_reopened model;      /* opened when it is first needed */
    jt_driver *driver;
    bool opened;
} viewer;

static jt_status to_text(void *self, const char *s, size_t n, jt_error *err) {
    jt_str_add(self, s, n);
    return jt_str_check(self, err);
}

/* The model of the trace. Standard error is the same terminal, so that nothing may be said. */
static int view_model(viewer *w, jt_error *err) {
    if (w->opened) return JT_EXIT_OK;
    const jt_trace_model *m = w->trace->model;
    const char *path = jt_arg_text(w->args, "model") ? jt_arg_text(w->args, "model") : w->trace->n_model ? m->path : NULL;
    if (!path || !jt_file_exists(path)) {
        jt_error_set(err, JT_NOTFOUND, "the model %.60s is not there; give it with --model", path ? path : "");
        return JT_EXIT_FILE;
    }
    jt_engine_options eo = jt_session_engine_options(w->args);
    jt_model_options mo = jt_session_model_options(w->args);
    if (w->trace->n_model) {
        mo.activations = !strcmp(m->activations, "float") ? JT_ACT_FLOAT : !strcmp(m->activations, "bf16") ? JT_ACT_BF16 : JT_ACT_INT8;
        mo.kv_type = !strcmp(m->kv_type, "f32") ? JT_KV_F32 : !strcmp(m->kv_type, "q8_0") ? JT_KV_Q8_0 : JT_KV_F16;
    }
    if (jt_engine_new(&eo, &w->model.engine, err) || jt_model_open(w->model.engine, path, &mo, &w->model.model[0], err) ||
        jt_driver_new(w->model.model[0], &w->driver, err))
        return JT_EXIT_FILE;
    w->opened = true;
    return JT_EXIT_OK;
}

/* Goes on from the token with the candidate that is pointed at. */
static void view_take(void *self, jt_looking *v) {
    viewer *w = self;
    int32_t id[JT_VIEW_CANDIDATES];
    const jt_trace_token *k = jt_view_token(v);
    int n = k ? jt_view_candidates(k, id) : 0;
    jt_error err = {0};
    jt_str text = {0};
    jt_trace *t = NULL;
    if (v->candidate >= n || view_model(w, &err)) {
        snprintf(v->note, sizeof v->note, " %.150s", err.message);
        return;
    }
    jt_status s =
        jt_trace_continue(&v->trace->job[v->job], jt_view_answer(v), v->at, id[v->candidate], w->driver, NULL, to_text, &text, &err);
    if (!s) s = jt_trace_parse(jt_str_c(&text), text.n, &t, &err);
    jt_str_free(&text);
    if (s) {
        snprintf(v->note, sizeof v->note, " %.150s", err.message);
        return;
    }
    size_t at = v->at;
    jt_view_mode mode = v->mode;
    jt_view_init(v, t, v->name);
    v->at = at, v->mode = mode;
    snprintf(v->note, sizeof v->note, " this is what follows");
    jt_trace_free(w->next);
    w->next = t;
}

/* A run of its own, kept in memory. */
static int view_run(const jt_args *a, viewer *w) {
    jt_session s = {0};
    jt_driver *d = NULL;
    jt_pipeline *p = NULL;
    jt_trace_writer *out = NULL;
    jt_str text = {0}, path = {0};
    jt_tokens ids = {0};
    jt_error err;
    jt_job job;
    jt_event e = {0};
    int32_t *prompt = NULL;
    int code = jt_pipeline_parse(jt_arg_text(a, "decode"), NULL, &p, &err) ? jt_fail(&err) : JT_EXIT_OK;
    if (!code) code = jt_session_open(a, jt_arg_text(a, "model"), &s);
    if (!code) code = jt_session_path(jt_arg_text(a, "model"), &path);
    const jt_tokenizer *t = s.model ? jt_model_tokenizer(s.model) : NULL;
    const char *q = jt_arg_text(a, "prompt");
    jt_message m = {"user", q};
    if (!code && !t) jt_say("the model's files carry no tokenizer"), code = JT_EXIT_FILE;
    if (!code && (jt_chat_format(t) ? jt_chat_encode(t, &m, 1, 1, &ids, &err) : jt_encode(t, q, strlen(q), JT_ADD_SPECIAL, &ids, &err)))
        code = jt_fail(&err);
    if (!code && !(prompt = jt_alloc(ids.n, sizeof *prompt))) code = jt_nomem(&err, "the prompt", ids.n, sizeof *prompt), jt_fail(&err);
    for (size_t i = 0; prompt && i < ids.n; i++) prompt[i] = ids.t[i].id;
    jt_request r = {.prompt = prompt,
                    .n_prompt = ids.n,
                    .pipeline = p,
                    .seed = jt_arg_u64(a, "seed"),
                    .max_tokens = (int)jt_arg_int(a, "tokens"),
                    .context = s.context,
                    .trace = 1};
    jt_status z = JT_OK;
    if (!code) z = jt_driver_new(s.model, &d, &err);
    if (!code && !z) z = jt_trace_writer_new(to_text, &text, &out, &err);
    if (!code && !z) z = jt_trace_write_model(out, "", s.model, path.s, &err);
    if (!code && !z) z = jt_driver_submit(d, &r, &job, &err);
    if (!code && !z) z = jt_trace_write_request(out, job, &r, &err);
    while (!code && !z && !jt_interrupted()) {
        z = jt_driver_next(d, &e, &err);
        if (z || !e.job) break;
        z = jt_trace_write_event(out, &e, &err);
        if (e.kind == JT_EVENT_END && e.reason == JT_END_ERROR) z = jt_error_set(&err, JT_INVALID, "%s", e.message);
    }
    if (!code && !z) z = jt_trace_write_end(out, &err);
    if (!code && !z) z = jt_trace_parse(jt_str_c(&text), text.n, &w->trace, &err);
    if (!code && z) code = jt_fail(&err);
    jt_driver_free(d);
    jt_trace_writer_free(out);
    jt_pipeline_free(p);
    jt_tokens_free(&ids);
    jt_free(prompt);
    jt_str_free(&text), jt_str_free(&path);
    jt_session_close(&s);
    return code;
}

static int run(const jt_args *a) {
    viewer w = {.args = a};
    jt_error err;
    const char *file = jt_arg_pos(a, 0), *prompt = jt_arg_text(a, "prompt");
    if (!file == !prompt) return jt_fail_usage(a, "give a trace to look at, or a prompt with -p to run and look at");
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        jt_say("the inspector needs a terminal; 'jeton inspect html' writes a page");
        return JT_EXIT_USAGE;
    }
    int code = JT_EXIT_OK;
    if (file && jt_trace_read(file, &w.trace, &err))
        code = jt_fail(&err);
    else if (!file)
        code = view_run(a, &w);
    if (!code) {
        jt_view_init(&w.view, w.trace, file ? file : prompt);
        code = jt_view_terminal(&w.view, view_take, &w);
    }
    jt_driver_free(w.driver);
    jt_reopened_close(&w.model);
    jt_trace_free(w.next), jt_trace_free(w.trace);
    return code;
}

static const jt_pos pos[] = {
    {"TRACE", JT_POS_FILE, true, false, "a trace, written with --trace by run, batch or chat"},
    {0},
};
static const jt_opt opts[] = {
    {"prompt", 'p', JT_OPT_TEXT, "TEXT", NULL, 0, 0, "in place of a trace: answer this and look at it"},
    {"model", 'm', JT_OPT_TEXT, "MODEL", NULL, 0, 0, "the model of the prompt, or of the trace if it is no longer where that says"},
    {"decode", 'd', JT_OPT_TEXT, "PIPELINE", "temp:0.8 | top-p:0.95", 0, 0, "with -p: how tokens are chosen"},
    {"seed", 's', JT_OPT_U64, "N", "0", 0, 0, "with -p: seed of the random numbers"},
    {"tokens", 'n', JT_OPT_INT, "N", "128", 1, 1 << 24, "with -p: tokens to generate at most"},
    {0},
};
static const jt_example examples[] = {
    {"jeton inspect view t.jsonl", "looks at a trace"},
    {"jeton inspect view -p \"Name a river.\" --decode \"temp:1.2 | top-k:20\"", "answers, and looks at the answer"},
    {0},
};
const jt_command jt_cmd_inspect_view = {
    .name = "inspect view",
    .summary = "look at a trace, or a run, in the terminal",
    .about = "Left and right go from token to token, up and down through the candidates of one; Enter takes the candidate in place of the "
             "token and goes on from there with the trace's pipeline (for that the model must be there). c or 1 to 4 colour tokens by "
             "probability, entropy, rank or cost; without colours they are underlined and bold. < and > turn to other stages, Tab to the "
             "next answer, q leaves.",
    .opt = opts,
    .model_options = true,
    .pos = pos,
    .example = examples,
    .run = run,
};
