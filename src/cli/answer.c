#include "cli/answer.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "cli/interrupt.h"
#include "cli/out.h"

void jt_answer_clear(jt_answer *a) {
    jt_str_clear(&a->text);
    jt_str_clear(&a->top);
    a->n = 0;
    a->reason = JT_END_NONE;
    a->prompt_tokens = a->reused_tokens = a->answer_tokens = 0;
    a->prompt_seconds = a->answer_seconds = 0;
}

void jt_answer_free(jt_answer *a) {
    jt_str_free(&a->text);
    jt_str_free(&a->top);
    jt_free(a->id);
    jt_free(a->logprob);
    jt_free(a->raw_logprob);
    *a = (jt_answer){0};
}

void jt_answer_say_timings(const jt_answer *a, const char *before) {
    double p = a->prompt_seconds, t = a->answer_seconds;
    char reused[64] = "";
    int new = a->prompt_tokens - a->reused_tokens;
    if (a->reused_tokens) snprintf(reused, sizeof reused, ", %d of them evaluated before,", a->reused_tokens);
    jt_say("%sprompt %d tokens%s in %.2f s (%.0f a second); answer %d tokens in %.2f s (%.1f a second); ended by %s", before,
           a->prompt_tokens, reused, p, p > 0 ? new / p : 0, a->answer_tokens, t, t > 0 ? a->answer_tokens / t : 0,
           jt_end_reason_name(a->reason));
}

void jt_answer_request(const jt_args *a, int context, jt_request *r) {
    int n;
    *r = (jt_request){
        .seed = jt_arg_u64(a, "seed"),
        .max_tokens = (int)jt_arg_int(a, "tokens"),
        .context = context,
        .on_full = strcmp(jt_arg_text(a, "on-full"), "refuse") == 0 ? JT_FULL_REFUSE : JT_FULL_STOP,
        .max_seconds = jt_arg_real(a, "max-seconds"),
        .stop = jt_arg_list(a, "stop", &n),
        .ignore_end = jt_arg_flag(a, "ignore-end"),
        .adapter = jt_arg_text(a, "adapter"),
    };
    r->n_stop = (size_t)n;
}

bool jt_answer_print(const char *s, size_t n) {
    if (!isatty(STDOUT_FILENO)) return jt_out_bytes(s, n);
    size_t from = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp = 0;
        int len = jt_utf8_next(s + i, n - i, &cp);
        bool control = len && ((cp < 0x20 && cp != '\n' && cp != '\t') || (cp >= 0x7F && cp < 0xA0));
        if (control) {
            char picture[4];
            jt_out_bytes(s + from, i - from);
            int w = jt_utf8_put(cp < 0x20 ? 0x2400 + cp : cp == 0x7F ? 0x2421 : 0xFFFD, picture);
            jt_out_bytes(picture, (size_t)w);
            from = i + (size_t)len;
        }
        i += len ? (size_t)len : 1;
    }
    return jt_out_bytes(s + from, n - from);
}

static void json_piece(const jt_tokenizer *t, int32_t id, jt_str *o) {
    size_t n = 0;
    const char *s = t ? jt_token_bytes(t, id, &n) : "";
    jt_str_json(o, s, n);
}

static void json_candidates(const jt_tokenizer *t, const jt_event *e, jt_str *o) {
    jt_str_putc(o, '[');
    for (int i = 0; i < e->n_top; i++) {
        const jt_candidate *c = &e->top[i];
        jt_str_printf(o, "%s{\"id\": %d, \"text\": ", i ? ", " : "", c->id);
        json_piece(t, c->id, o);
        jt_str_puts(o, ", \"raw_logprob\": ");
        jt_str_number(o, (double)c->raw_logprob);
        jt_str_puts(o, ", \"logprob\": ");
        jt_str_number(o, (double)c->logprob);
        jt_str_putc(o, '}');
    }
    jt_str_putc(o, ']');
}

static jt_status keep_token(const jt_tokenizer *t, const jt_event *e, bool top, jt_answer *out, jt_error *err) {
    jt_status s = jt_grow((void **)&out->id, &out->cap_id, out->n + 1, sizeof *out->id, err);
    if (!s) s = jt_grow((void **)&out->logprob, &out->cap_logprob, out->n + 1, sizeof *out->logprob, err);
    if (!s) s = jt_grow((void **)&out->raw_logprob, &out->cap_raw, out->n + 1, sizeof *out->raw_logprob, err);
    if (s) return s;
    out->id[out->n] = e->decision.id;
    out->logprob[out->n] = e->decision.logprob;
    out->raw_logprob[out->n] = e->decision.raw_logprob;
    out->n++;
    if (!top) return JT_OK;
    if (out->n > 1) jt_str_puts(&out->top, ", ");
    json_candidates(t, e, &out->top);
    return jt_str_check(&out->top, err);
}

jt_status jt_answer_take(const jt_tokenizer *t, const jt_event *e, bool top, jt_answer *out, jt_error *err) {
    jt_status s = JT_OK;
    if (e->kind == JT_EVENT_TOKEN && e->decision.id >= 0) s = keep_token(t, e, top, out, err);
    if (!s && e->n_text) {
        jt_str_add(&out->text, e->text, e->n_text);
        s = jt_str_check(&out->text, err);
    }
    if (e->kind != JT_EVENT_TOKEN) {
        out->reason = e->reason;
        out->prompt_tokens = e->prompt_tokens;
        out->reused_tokens = e->reused_tokens;
        out->answer_tokens = e->answer_tokens;
        out->prompt_seconds = e->prompt_seconds;
        out->answer_seconds = e->answer_seconds;
    }
    return s;
}

/* One event; *failed is set when output cannot be written, and the job is then cancelled by the caller. */
static jt_status take_event(const jt_tokenizer *t, const jt_event *e, const jt_request *r, const jt_answer_sink *sink, jt_answer *out,
                            bool *output_failed, jt_error *err) {
    jt_status s = JT_OK;
    if (e->kind == JT_EVENT_TOKEN && e->answer_tokens == 1 && out->n) { /* one more answer of a strategy that gives several */
        jt_str_puts(&out->text, "\n\n");
        if (sink->print && !jt_answer_print("\n\n", 2)) *output_failed = true;
        if (sink->parts) s = jt_parts_again(sink->parts, err);
    }
    if (sink->trace && jt_trace_write_event(sink->trace, e, err)) {
        *output_failed = true;
        return err->code;
    }
    if (!s) s = jt_answer_take(t, e, r->top_logprobs > 0, out, err);
    if (!s && sink->parts) s = jt_parts_take(sink->parts, e, err);
    if (!s && sink->parts && e->kind == JT_EVENT_END) s = jt_parts_end(sink->parts, err);
    if (!s && sink->show && sink->show->failed) *output_failed = true;
    if (!s && e->n_text && sink->print && !(jt_answer_print(e->text, e->n_text) && jt_out_flush())) *output_failed = true;
    if (e->kind == JT_EVENT_END && e->reason == JT_END_ERROR)
        s = jt_error_set(err, JT_INVALID, "%s", e->message ? e->message : "the answer failed");
    return s;
}

int jt_answer_run(jt_driver *d, const jt_tokenizer *t, const jt_request *r, const jt_answer_sink *sink, jt_answer *out) {
    jt_error err;
    jt_job job;
    jt_answer_clear(out);
    jt_status s = sink->parts ? jt_parts_begin(sink->parts, t, r, &err) : JT_OK;
    if (!s) s = jt_driver_submit(d, r, &job, &err);
    if (s == JT_LIMIT) {
        jt_say("%s", err.message);
        return JT_EXIT_FAILURE;
    }
    if (s) return jt_fail(&err);
    int code = JT_EXIT_OK;
    if (sink->trace && jt_trace_write_request(sink->trace, job, r, &err)) {
        jt_say("%s", err.message);
        code = JT_EXIT_OUTPUT;
        jt_driver_cancel(d, job);
    }
    jt_interrupt_watch(d, job);
    for (bool ended = false; !ended;) {
        jt_event e = {0};
        bool output_failed = false;
        s = jt_driver_next(d, &e, &err);
        if (s) {
            code = jt_fail(&err);
            break;
        }
        if (e.job != job) {
            if (e.job == 0) break; /* no job is left */
            continue;
        }
        ended = e.kind == JT_EVENT_END;
        if (code) continue; /* what comes after a failure only ends the job */
        s = take_event(t, &e, r, sink, out, &output_failed, &err);
        if (s) {
            jt_say("%s", err.message);
            code = output_failed ? JT_EXIT_OUTPUT : JT_EXIT_FAILURE;
        } else if (output_failed) {
            code = JT_EXIT_OUTPUT; /* main says it */
        }
        if (code && !ended) jt_driver_cancel(d, job);
    }
    jt_interrupt_watch(NULL, 0);
    return code;
}
