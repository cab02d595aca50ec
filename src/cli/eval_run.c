#include "cli/eval_run.h"

#include <string.h>

#include "cli/eval_judge.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/progress.h"
#include "core/file.h"
#include "core/hash.h"

enum { JOBS_GENERATE = 32, JOBS_LIKELIHOOD = 12 }; /* a likelihood holds the logits of up to 64 rows a round */

typedef struct eval_live {
    size_t i;
    jt_item item;
    jt_item_request request;
    jt_batch_result result;
} eval_live;

typedef struct eval {
    const jt_task *task;
    const jt_session *session;
    jt_driver *driver;
    const jt_eval_how *how;
    const jt_tokenizer *tokenizer;
    jt_pipeline *pipeline; /* of answers */
    jt_docs docs, few;
    jt_judge judge;
    jt_batch_file out;
    uint64_t *key; /* of each item's result */
    bool *done;
    size_t next, n, finished;
    eval_live *live; /* [jobs] */
    jt_job *job;     /* [jobs]; 0: free */
    size_t jobs, n_live;
    bool stopping;
    jt_progress bar;
    jt_eval_told *told;
} eval;

/* ---- results ---- */

static uint64_t hash_word(uint64_t h, const char *s) { return s ? jt_hash_str(jt_hash_u64(h, 1), s) : jt_hash_u64(h, 0); }

/* What results follow from besides the items. */
static uint64_t settings_key(const eval *e) {
    jt_model_info info;
    jt_model_get_info(e->session->model, &info);
    uint64_t h = jt_hash_u64(jt_hash_u64(4, info.mode), e->task->key);
    h = jt_hash_u64(hash_word(h, e->how->decode), e->how->seed);
    h = jt_hash_u64(h, (uint64_t)e->session->context);
    for (int i = 0; i < e->session->n_further; i++) {
        jt_model_get_info(e->session->further[i], &info);
        h = jt_hash_u64(h, info.mode);
    }
    for (int i = -1; i < e->session->n_lora; i++) {
        const jt_session_lora *l = i < 0 ? &e->session->plain : &e->session->lora[i];
        jt_adapter_info adapter;
        if (!l->adapter) continue;
        jt_adapter_get_info(l->adapter, &adapter);
        h = jt_hash_bytes(jt_hash_u64(hash_word(h, l->name), adapter.mode), &l->scale, sizeof l->scale);
    }
    for (size_t i = 0; i < e->few.n; i++) h = jt_hash_u64(h, e->few.key[i]);
    for (size_t i = 0; i < e->docs.n && e->task->num_fewshot && !e->few.n; i++) h = jt_hash_u64(h, e->docs.key[i]);
    return h;
}

/* A whole line: to the file, and to the results in memory. */
static int eval_put(eval *e, const jt_str *line, bool bad) {
    jt_error err;
    if (!bad && jt_eval_results_add(&e->told->results, line->s, line->n, &err)) return jt_fail(&err);
    if (e->how->output && jt_batch_file_write(&e->out, line, &err)) {
        jt_say("%s", err.message);
        return JT_EXIT_OUTPUT;
    }
    e->finished++, e->told->bad += bad;
    return JT_EXIT_OK;
}

static int put_wrong(eval *e, size_t i, const jt_item *item, const char *message) {
    jt_str o = {0};
    jt_error err;
    if (!e->told->bad) jt_say("item %zu: %s", i, message);
    jt_batch_result_begin(i, jt_str_c(&item->id), e->key[i], &o);
    jt_batch_result_error(message, &o);
    int code = jt_str_check(&o, &err) ? jt_fail(&err) : eval_put(e, &o, true);
    jt_str_free(&o);
    return code;
}

static int put_judged(eval *e, const eval_live *v) {
    jt_str o = {0};
    jt_error err;
    jt_batch_result_begin(v->i, jt_str_c(&v->item.id), e->key[v->i], &o);
    jt_status s = jt_judge_line(&e->judge, &v->item, &v->request, &v->result, &o, &err);
    int code = s == JT_NOMEM ? jt_fail(&err) : s ? put_wrong(e, v->i, &v->item, err.message) : eval_put(e, &o, false);
    jt_str_free(&o);
    return code;
}

static void eval_show(eval *e) {
    char note[80];
    snprintf(note, sizeof note, "%zu of %zu items", e->finished, e->n);
    jt_progress_set(&e->bar, e->n ? (double)e->finished / (double)e->n : 1, note);
}

/* ---- jobs ---- */

static void eval_drop(eval *e, size_t k) {
    jt_item_free(&e->live[k].item);
    jt_item_request_free(&e->live[k].request);
    jt_batch_result_free(&e->live[k].result);
    e->job[k] = 0, e->n_live--;
}

static int eval_start(eval *e, size_t i, size_t k, bool *later) {
    jt_error err;
    jt_job job;
    eval_live *v = &e->live[k];
    int code = JT_EXIT_OK;
    *v = (eval_live){.i = i, .request.request = {.seed = e->how->seed, .choice = (uint32_t)i, .context = e->session->context}};
    const char *stages = e->how->decode ? e->how->decode : "";
    jt_status s = jt_item_make(e->task, &e->docs, e->few.n ? &e->few : NULL, i, &v->item, &err);
    if (s && s != JT_NOMEM) return jt_fail(&err); /* a wrong task or file: no item would be right */
    if (!s) s = jt_item_encode(e->task, &v->item, e->tokenizer, stages, e->how->extra, e->pipeline, &v->request, &err);
    if (!s) s = jt_driver_submit(e->driver, &v->request.request, &job, &err);
    e->n_live++;
    if (!s) return e->job[k] = job, JT_EXIT_OK;
    *later = s == JT_NOMEM && e->n_live > 1;
    if (!*later) code = put_wrong(e, i, &v->item, err.message);
    eval_drop(e, k);
    return code;
}

static int eval_fill(eval *e) {
    size_t k = 0;
    while (e->next < e->n && e->n_live < e->jobs && !jt_interrupted()) {
        bool later = false;
        if (e->done[e->next]) {
            e->next++;
            continue;
        }
        while (e->job[k]) k++;
        int code = eval_start(e, e->next, k, &later);
        if (code || later) return code;
        e->next++;
        eval_show(e);
    }
    return JT_EXIT_OK;
}

static int eval_take(eval *e, size_t k, const jt_event *event) {
    static const jt_batch_line plain; /* neither candidates nor parts are asked for */
    jt_error err;
    eval_live *v = &e->live[k];
    int code = JT_EXIT_OK;
    if (!e->stopping && jt_batch_result_take(e->tokenizer, event, &plain, &v->result, &err)) code = jt_fail(&err);
    if (event->kind != JT_EVENT_END) return code;
    e->told->tokens += (uint64_t)v->result.answer_tokens;
    if (!code && !e->stopping && event->reason == JT_END_ERROR)
        code = put_wrong(e, v->i, &v->item, event->message ? event->message : "the answer failed");
    else if (!code && !e->stopping && event->reason != JT_END_CANCELLED)
        code = put_judged(e, v);
    eval_drop(e, k);
    eval_show(e);
    return code;
}

static int eval_work(eval *e) {
    int code = JT_EXIT_OK;
    for (;;) {
        jt_error err;
        jt_event event;
        if ((code || jt_interrupted()) && !e->stopping) {
            e->stopping = true;
            for (size_t k = 0; k < e->jobs; k++)
                if (e->job[k]) jt_driver_cancel(e->driver, e->job[k]);
        }
        int failed = e->stopping ? JT_EXIT_OK : eval_fill(e);
        if (!failed && !e->n_live) break;
        if (!failed && jt_driver_next(e->driver, &event, &err)) failed = jt_fail(&err);
        size_t k = 0;
        while (!failed && k < e->jobs && e->job[k] != event.job) k++;
        if (!failed && event.job && k < e->jobs) failed = eval_take(e, k, &event);
        if (failed && code) break; /* the driver itself cannot go on */
        if (failed) code = failed;
    }
    return code ? code : jt_interrupted() ? JT_EXIT_INTERRUPTED : JT_EXIT_OK;
}

/* ---- before and after ---- */

static jt_status eval_read(eval *e, jt_error *err) {
    const jt_task *t = e->task;
    const char *decode = e->how->decode;
    jt_status s = jt_docs_read(e->how->data ? e->how->data : t->data, (size_t)e->how->limit, &e->docs, err);
    if (!s && t->num_fewshot && t->fewshot_data) s = jt_docs_read(t->fewshot_data, 0, &e->few, err);
    if (!s && t->kind == JT_TASK_GENERATE && decode && *decode) s = jt_pipeline_parse(decode, e->how->extra, &e->pipeline, err);
    if (!s) s = jt_judge_open(t, &e->judge, err);
    e->n = e->docs.n;
    e->jobs = e->how->jobs ? e->how->jobs : t->kind == JT_TASK_GENERATE ? JOBS_GENERATE : JOBS_LIKELIHOOD;
    e->key = jt_alloc(e->n, sizeof *e->key), e->done = jt_alloc(e->n, sizeof *e->done);
    e->live = jt_alloc(e->jobs, sizeof *e->live), e->job = jt_alloc(e->jobs, sizeof *e->job);
    if (!s && (!e->key || !e->done || !e->live || !e->job)) s = jt_nomem(err, "the items", e->n, sizeof *e->key);
    return s;
}

static int eval_prepare(eval *e) {
    jt_error err;
    if (eval_read(e, &err)) return jt_fail(&err);
    uint64_t settings = settings_key(e);
    for (size_t i = 0; i < e->n; i++) e->key[i] = jt_hash_u64(jt_hash_u64(settings, e->docs.key[i]), i);
    e->told->items = e->n;
    if (!e->how->output) return JT_EXIT_OK;
    if (jt_batch_file_open(e->how->output, e->how->begin, e->key, e->n, e->done, &e->out, &err)) {
        if (err.code != JT_IO) return jt_fail(&err);
        jt_say("%s", err.message);
        return JT_EXIT_OUTPUT;
    }
    e->finished = e->told->had = e->out.had, e->told->bad = e->out.had_bad;
    if (e->out.had && jt_eval_results_read(e->how->output, &e->told->results, &err)) return jt_fail(&err);
    return JT_EXIT_OK;
}

int jt_eval_run(const jt_task *t, const jt_session *s, jt_driver *d, const jt_eval_how *how, jt_eval_told *out) {
    eval e = {.task = t, .session = s, .driver = d, .how = how, .told = out, .out = {.fd = -1}};
    *out = (jt_eval_told){0};
    e.tokenizer = jt_model_tokenizer(s->model);
    int code = eval_prepare(&e);
    double begin = jt_seconds();
    if (!code) {
        jt_progress_begin(&e.bar, how->what ? how->what : t->name);
        jt_interrupt_watch_all(d, e.job, e.jobs);
        code = eval_work(&e);
        jt_interrupt_watch_all(NULL, NULL, 0);
        jt_progress_end(&e.bar);
    }
    out->seconds = jt_seconds() - begin;
    jt_eval_results_sort(&out->results);
    jt_batch_file_close(&e.out);
    for (size_t k = 0; e.job && e.live && k < e.jobs; k++)
        if (e.job[k]) eval_drop(&e, k);
    jt_judge_close(&e.judge);
    jt_pipeline_free(e.pipeline);
    jt_docs_free(&e.docs);
    jt_docs_free(&e.few);
    jt_free(e.key), jt_free(e.done), jt_free(e.live), jt_free(e.job);
    return code;
}

void jt_eval_told_free(jt_eval_told *t) {
    jt_eval_results_free(&t->results);
    *t = (jt_eval_told){0};
}
