/* jeton batch: many requests from a file under one driver, results to a file. */
#include <string.h>
#include <unistd.h>

#include "cli/answer.h"
#include "cli/batch_file.h"
#include "cli/batch_line.h"
#include "cli/batch_result.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/progress.h"
#include "cli/tracing.h"
#include "core/hash.h"

enum {
    JOBS_BY_MEMORY = 64, /* live at most when --jobs does not say it */
    AHEAD = 4            /* with --ordered, results that wait for an earlier one: at most this often the live jobs */
};

/* A line of the input; blank ones are left out. */
typedef struct item {
    const char *s;
    size_t n, line; /* line: its number in the file, from 1 */
    uint64_t key;   /* of the line and everything else that its result follows from */
    jt_str result;  /* with --ordered, while it waits */
} item;

typedef struct live {
    size_t item;
    jt_batch_line line;
    jt_batch_result result;
} live;

typedef struct batch {
    const jt_args *args;
    jt_session session;
    const jt_tokenizer *tokenizer;
    jt_driver *driver;
    jt_batch_defaults standard;
    jt_batch_file out;
    jt_tracing trace;
    jt_pipelines known;
    jt_str in;
    item *item;
    size_t n_item, cap_item;
    bool *done; /* by item: its result is in the file, or waits */
    size_t next, written, finished, bad;
    live *live;  /* [jobs] */
    jt_job *job; /* [jobs]; 0: free */
    size_t jobs, n_live;
    uint64_t tokens;
    bool ordered, stopping;
    jt_progress progress;
} batch;

/* ---- input ---- */

static uint64_t hash_text(uint64_t h, const char *s) { return s ? jt_hash_str(jt_hash_u64(h, 1), s) : jt_hash_u64(h, 0); }

/* What results follow from besides their lines. */
static uint64_t settings_key(const batch *b) {
    const jt_request *r = &b->standard.request;
    jt_model_info info;
    jt_model_get_info(b->session.model, &info);
    uint64_t h = jt_hash_u64(1, info.mode);
    h = hash_text(hash_text(h, b->standard.decode), b->standard.system);
    h = jt_hash_u64(jt_hash_u64(h, r->seed), (uint64_t)r->max_tokens);
    h = jt_hash_u64(jt_hash_u64(h, (uint64_t)r->context), (uint64_t)r->on_full);
    h = jt_hash_bytes(h, &r->max_seconds, sizeof r->max_seconds);
    h = jt_hash_u64(h, (uint64_t)r->ignore_end);
    for (int i = 0; i < b->args->n_pipeline; i++) h = hash_text(hash_text(h, b->args->pipeline[i].name), b->args->pipeline[i].text);
    for (size_t i = 0; i < r->n_stop; i++) h = hash_text(h, r->stop[i]);
    int n;
    const char *const *role = jt_arg_list(b->args, "model2", &n);
    for (int i = 0; i < n; i++) {
        jt_model_get_info(b->session.further[i], &info);
        h = jt_hash_u64(jt_hash_bytes(h, role[i], strcspn(role[i], "=")), info.mode);
    }
    for (int i = -1; i < b->session.n_lora; i++) {
        const jt_session_lora *l = i < 0 ? &b->session.plain : &b->session.lora[i];
        jt_adapter_info adapter;
        if (!l->adapter) continue;
        jt_adapter_get_info(l->adapter, &adapter);
        h = jt_hash_bytes(jt_hash_u64(hash_text(h, l->name), adapter.mode), &l->scale, sizeof l->scale);
    }
    return r->adapter ? hash_text(h, r->adapter) : h;
}

static jt_status split(batch *b, jt_error *err) {
    uint64_t settings = settings_key(b);
    size_t line = 1;
    for (size_t at = 0; at < b->in.n; line++) {
        const char *s = b->in.s + at, *end = memchr(s, '\n', b->in.n - at);
        size_t n = end ? (size_t)(end - s) : b->in.n - at, blank = 0;
        at += n + 1;
        while (blank < n && strchr(" \t\r", s[blank]) && s[blank]) blank++;
        if (blank == n) continue;
        jt_status e = jt_grow((void **)&b->item, &b->cap_item, b->n_item + 1, sizeof *b->item, err);
        if (e) return e;
        b->item[b->n_item++] = (item){.s = s, .n = n, .line = line, .key = jt_hash_bytes(settings, s, n)};
    }
    b->done = jt_alloc(b->n_item, sizeof *b->done);
    return b->done ? JT_OK : jt_nomem(err, "the lines of a batch", b->n_item, sizeof *b->done);
}

/* ---- results ---- */

static void show(batch *b) {
    char note[96];
    jt_driver_counts c;
    jt_driver_stats(b->driver, &c);
    snprintf(note, sizeof note, "%zu of %zu, %zu running", b->finished, b->n_item, b->n_live - (size_t)c.waiting);
    jt_progress_set(&b->progress, b->n_item ? (double)b->finished / (double)b->n_item : 1, note);
}

static int output_failed(const jt_error *err) {
    jt_say("%s", err->message);
    return JT_EXIT_OUTPUT;
}

/* Takes over `o`, the whole line of item i: writes it, or keeps it until its turn. */
static int put(batch *b, size_t i, jt_str *o) {
    jt_error err;
    int code = jt_str_check(o, &err) ? jt_fail(&err) : JT_EXIT_OK;
    if (!code && !b->ordered && jt_batch_file_write(&b->out, o, &err)) code = output_failed(&err);
    if (code || !b->ordered) {
        jt_str_free(o);
    } else {
        b->item[i].result = *o;
    }
    if (code) return code;
    b->done[i] = true, b->finished++;
    for (; b->ordered && b->written < b->n_item && b->done[b->written]; b->written++) {
        jt_str *waits = &b->item[b->written].result;
        if (!code && waits->n && jt_batch_file_write(&b->out, waits, &err)) code = output_failed(&err);
        jt_str_free(waits);
    }
    return code;
}

static int put_error(batch *b, size_t i, const jt_batch_line *l, const char *message) {
    char text[600];
    jt_str o = {0};
    snprintf(text, sizeof text, "line %zu: %s", b->item[i].line, message);
    jt_batch_result_begin(i, jt_str_c(&l->id), b->item[i].key, &o);
    jt_batch_result_error(text, &o);
    b->bad++;
    return put(b, i, &o);
}

static int put_result(batch *b, const live *v) {
    jt_str o = {0};
    jt_batch_result_begin(v->item, jt_str_c(&v->line.id), b->item[v->item].key, &o);
    jt_batch_result_write(&v->result, &v->line, &o);
    b->tokens += (uint64_t)v->result.answer_tokens;
    return put(b, v->item, &o);
}

/* ---- jobs ---- */

static void drop(batch *b, size_t k) {
    jt_batch_line_free(&b->live[k].line);
    jt_batch_result_free(&b->live[k].result);
    b->job[k] = 0;
    b->n_live--;
}

/* Starts item i in the free place k; what is wrong with it becomes its result. *later: memory is short while others hold it. */
static int start(batch *b, size_t i, size_t k, bool *later) {
    jt_error err;
    jt_job job;
    live *v = &b->live[k];
    int code = JT_EXIT_OK;
    *v = (live){.item = i};
    jt_status e = jt_batch_line_read(b->item[i].s, b->item[i].n, &b->standard, b->tokenizer, &v->line, &err);
    jt_tracing_request(&b->trace, &v->line.request);
    if (!e) e = jt_driver_submit(b->driver, &v->line.request, &job, &err);
    if (!e) {
        b->job[k] = job, b->n_live++;
        return b->trace.w && jt_trace_write_request(b->trace.w, job, &v->line.request, &err) ? output_failed(&err) : JT_EXIT_OK;
    }
    *later = e == JT_NOMEM && b->n_live > 0;
    if (!*later) code = put_error(b, i, &v->line, err.message);
    jt_batch_line_free(&v->line);
    return code;
}

static int fill(batch *b) {
    size_t k = 0;
    while (b->next < b->n_item && b->n_live < b->jobs && !jt_interrupted()) {
        bool later = false;
        if (b->done[b->next]) {
            b->next++;
            continue;
        }
        if (b->ordered && b->next >= b->written + AHEAD * b->jobs) break;
        while (b->job[k]) k++;
        int code = start(b, b->next, k, &later);
        if (code) return code;
        if (later) break;
        b->next++;
        show(b);
    }
    return JT_EXIT_OK;
}

/* An event of the job in place k. */
static int take(batch *b, size_t k, const jt_event *e) {
    jt_error err;
    live *v = &b->live[k];
    bool end = e->kind == JT_EVENT_END;
    int code = JT_EXIT_OK;
    if (!b->stopping && b->trace.w && jt_trace_write_event(b->trace.w, e, &err)) code = output_failed(&err);
    if (!code && !b->stopping && jt_batch_result_take(b->tokenizer, e, &v->line, &v->result, &err)) code = jt_fail(&err);
    if (!end) return code;
    if (!code && !b->stopping && e->reason == JT_END_ERROR)
        code = put_error(b, v->item, &v->line, e->message ? e->message : "the answer failed");
    else if (!code && !b->stopping && e->reason != JT_END_CANCELLED)
        code = put_result(b, v);
    drop(b, k);
    show(b);
    return code;
}

static void stop(batch *b) {
    b->stopping = true;
    for (size_t k = 0; k < b->jobs; k++)
        if (b->job[k]) jt_driver_cancel(b->driver, b->job[k]);
}

static int work(batch *b) {
    int code = JT_EXIT_OK;
    for (;;) {
        jt_error err;
        jt_event e;
        if (jt_interrupted() && !b->stopping) stop(b);
        int failed = b->stopping ? JT_EXIT_OK : fill(b);
        if (!failed && !b->n_live) break;
        if (!failed && jt_driver_next(b->driver, &e, &err)) failed = jt_fail(&err);
        size_t k = 0;
        while (!failed && k < b->jobs && b->job[k] != e.job) k++;
        if (!failed && e.job && k < b->jobs) failed = take(b, k, &e);
        if (failed && code) break; /* the driver itself cannot go on */
        if (failed) code = failed, stop(b);
    }
    return code ? code : jt_interrupted() ? JT_EXIT_INTERRUPTED : JT_EXIT_OK;
}

/* ---- the command ---- */

static int prepare(batch *b) {
    const jt_args *a = b->args;
    jt_error err;
    jt_pipeline *p;
    const char *in = jt_arg_pos(a, 0);
    if (jt_pipelines_open(a, &b->known, &err) || jt_pipelines_parse(&b->known, jt_arg_text(a, "decode"), &p, &err)) return jt_fail(&err);
    jt_pipeline_free(p);
    if (jt_file_read(in, &b->in, &err)) return jt_fail(&err);
    int code = jt_session_open(a, jt_arg_pos(a, 2), &b->session);
    if (code) return code;
    b->tokenizer = jt_model_tokenizer(b->session.model);
    if (jt_driver_new(b->session.model, &b->driver, &err)) return jt_fail(&err);
    code = jt_session_furnish(a, &b->session, b->driver);
    if (code) return code;
    code = jt_tracing_open(a, &b->session, jt_arg_pos(a, 2), &b->trace);
    if (code) return code;
    jt_answer_request(a, b->session.context, &b->standard.request);
    b->standard.known = &b->known;
    if (jt_pipelines_text(&b->known, jt_arg_text(a, "decode"), &b->standard.decode, &err)) return jt_fail(&err);
    b->standard.system = jt_arg_text(a, "system");
    b->ordered = jt_arg_flag(a, "ordered");
    b->jobs = jt_arg_int(a, "jobs") ? (size_t)jt_arg_int(a, "jobs") : JOBS_BY_MEMORY;
    uint64_t cache = (uint64_t)jt_arg_int(a, "cache-memory") << 20;
    jt_driver_set_cache(b->driver, cache ? cache : jt_memory_available() / 4 * 3);
    jt_status s = split(b, &err);
    b->live = jt_alloc(b->jobs, sizeof *b->live);
    b->job = jt_alloc(b->jobs, sizeof *b->job);
    if (!s && (!b->live || !b->job)) s = jt_nomem(&err, "the jobs of a batch", b->jobs, sizeof *b->live);
    jt_batch_begin how = jt_arg_flag(a, "restart") ? JT_BATCH_RESTART : jt_arg_flag(a, "retry-errors") ? JT_BATCH_RETRY : JT_BATCH_RESUME;
    uint64_t *key = jt_alloc(b->n_item, sizeof *key);
    if (!s && !key) s = jt_nomem(&err, "the lines of a batch", b->n_item, sizeof *key);
    for (size_t i = 0; !s && i < b->n_item; i++) key[i] = b->item[i].key;
    if (!s && jt_batch_file_open(jt_arg_pos(a, 1), how, key, b->n_item, b->done, &b->out, &err)) {
        code = err.code == JT_IO ? output_failed(&err) : jt_fail(&err);
    } else if (s) {
        code = jt_fail(&err);
    }
    jt_free(key);
    b->finished = b->out.had, b->bad = b->out.had_bad;
    while (b->written < b->n_item && !code && b->done[b->written]) b->written++;
    return code;
}

static int report(const batch *b, double seconds, int code) {
    jt_driver_counts c;
    jt_driver_stats(b->driver, &c);
    size_t now = b->finished - b->out.had;
    jt_say("%zu of %zu lines have results%s; now %zu, %llu tokens in %.2f s (%.1f a second), %.1f sequences an evaluation", b->finished,
           b->n_item, b->out.had ? " (some from before)" : "", now, (unsigned long long)b->tokens, seconds,
           seconds > 0 ? (double)b->tokens / seconds : 0, c.evals ? (double)c.sequences / (double)c.evals : 0);
    if (c.prefix_tokens)
        jt_say("%llu tokens of prompts began as others did and were not evaluated again", (unsigned long long)c.prefix_tokens);
    if (b->bad) jt_say("%zu of the results are errors", b->bad);
    if (code == JT_EXIT_INTERRUPTED && b->out.seekable) jt_say("interrupted; the same command goes on where it ended");
    return code ? code : b->bad ? JT_EXIT_FAILURE : JT_EXIT_OK;
}

static int run(const jt_args *a) {
    jt_interrupt_install();
    batch b = {.args = a, .out = {.fd = -1}};
    int code = prepare(&b);
    if (!code) {
        double begin = jt_seconds();
        jt_progress_begin(&b.progress, "batch");
        jt_interrupt_watch_all(b.driver, b.job, b.jobs);
        code = work(&b);
        jt_interrupt_watch_all(NULL, NULL, 0);
        jt_progress_end(&b.progress);
        code = report(&b, jt_seconds() - begin, code);
        if (code != JT_EXIT_OUTPUT && jt_tracing_end(&b.trace)) code = JT_EXIT_OUTPUT;
    }
    jt_tracing_close(&b.trace);
    jt_batch_file_close(&b.out);
    for (size_t k = 0; b.job && b.live && k < b.jobs; k++)
        if (b.job[k]) drop(&b, k);
    jt_driver_free(b.driver);
    for (size_t i = 0; i < b.n_item; i++) jt_str_free(&b.item[i].result);
    jt_free(b.item), jt_free(b.done), jt_free(b.live), jt_free(b.job);
    jt_str_free(&b.in);
    jt_pipelines_close(&b.known);
    jt_session_close(&b.session);
    return code;
}

static const jt_pos pos[] = {
    {"IN", JT_POS_FILE, false, false, "requests, a JSON object a line; \"-\" is standard input"},
    {"OUT", JT_POS_FILE, false, false, "results, a JSON object a line; \"-\" is standard output. What is there already is not done again"},
    {"MODEL", JT_POS_MODEL, true, false, "a GGUF file, a Hugging Face folder, or a known name (default smollm2)"},
    {0},
};
static const jt_opt opts[] = {
    JT_ANSWER_OPTS("greedy", "512"),
    JT_TRACING_OPTS,
    {"jobs", 'j', JT_OPT_INT, "N", "0", 0, 4096,
     "lines answered together at most; 0: 64, or fewer by --cache-memory. Never changes results"},
    {"cache-memory", 0, JT_OPT_INT, "MIB", "0", 0, 1 << 30,
     "lines wait while the caches that they could need are more; 0: three quarters of what is free"},
    {"ordered", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "write results in the order of the lines, not as they end"},
    {"retry-errors", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "do lines again whose result in OUT is an error; the last result of a line counts"},
    {"restart", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "empty OUT first and do every line again"},
    {0},
};
static const jt_example examples[] = {
    {"jeton batch questions.jsonl answers.jsonl", "every line answered by the default model; after a kill the same line goes on"},
    {"jeton batch in.jsonl out.jsonl model.gguf --decode temp:0.8 --jobs 16", "sampled, sixteen at a time"},
    {"echo '{\"prompt\": \"Name a river.\"}' | jeton batch - - -n 9", "one line through a pipe"},
    {0},
};
const jt_command jt_cmd_batch = {
    .name = "batch",
    .summary = "answer the requests of a file together, resumable",
    .about =
        "A line of IN is a JSON object: \"prompt\" (text, or a list of token ids) or \"messages\" (a list of {\"role\", \"content\"}, with "
        "reasoning_content, tool_calls, tool_call_id and name as in the OpenAI interface), what the chat template takes besides "
        "(\"tools\", \"documents\", and in \"template_args\" any other variable, such as {\"enable_thinking\": false}), "
        "and if they differ from the options here: id, system, raw, decode, seed, choice, max_tokens, stop, stop_ids, max_seconds, "
        "ignore_end, special, adapter (the name of one given with --lora NAME=PATH; \"\": none), "
        "logprobs (true, or the number of best candidates). What is unknown is refused. A line has the same text whatever "
        "runs beside it.\n\n"
        "A line of OUT holds index (of the line in IN, from 0, blank lines not counted), id, request (a checksum), text, message (the "
        "answer as a message: "
        "content, reasoning_content, tool_calls), ids, "
        "stop_reason, answers (if the strategy gives several), timings; or error for a line that could not be answered, which stops "
        "no other. Results come as they end and are written at once. After a kill the same command goes on: lines whose result is in "
        "OUT are left out, a cut last line is dropped, and results of other requests or settings are refused. The exit code is 1 when "
        "some results are errors.",
    .opt = opts,
    .model_options = true,
    .pos = pos,
    .example = examples,
    .run = run,
};
