#include "cli/batch_result.h"

#include <string.h>

void jt_batch_result_free(jt_batch_result *r) {
    for (size_t i = 0; i < r->n; i++) {
        jt_answer_free(&r->answer[i].a);
        jt_parts_free(&r->answer[i].parts);
        jt_str_free(&r->answer[i].note);
    }
    jt_free(r->answer);
    *r = (jt_batch_result){0};
}

/* The same of an answer's parts, which end with the last event. */
static jt_status take_parts(const jt_tokenizer *t, const jt_event *e, const jt_batch_line *line, jt_batch_answer *b, jt_error *err) {
    jt_status s = b->parts.reader ? JT_OK : jt_parts_begin(&b->parts, t, &line->request, err);
    if (!s) s = jt_parts_take(&b->parts, e, err);
    if (!s && e->kind != JT_EVENT_TOKEN) s = jt_parts_end(&b->parts, err);
    return s;
}

jt_status jt_batch_result_take(const jt_tokenizer *t, const jt_event *e, const jt_batch_line *line, jt_batch_result *r, jt_error *err) {
    bool whole = e->kind == JT_EVENT_ANSWER, end = e->kind == JT_EVENT_END;
    size_t need = (size_t)e->answer + 1;
    if (end) {
        r->reason = e->reason;
        r->prompt_tokens = e->prompt_tokens;
        r->prompt_seconds = e->prompt_seconds, r->answer_seconds = e->answer_seconds;
        if (r->whole) return JT_OK;
    }
    if (need > r->n) {
        jt_status s = jt_grow((void **)&r->answer, &r->cap, need, sizeof *r->answer, err);
        if (s) return s;
        memset(r->answer + r->n, 0, (need - r->n) * sizeof *r->answer);
        r->n = need;
    }
    jt_batch_answer *b = &r->answer[e->answer];
    jt_status s = jt_answer_take(t, e, line->request.top_logprobs > 0, &b->a, err);
    if (!s && line->parted) s = take_parts(t, e, line, b, err);
    r->answer_tokens += !s && e->kind == JT_EVENT_TOKEN;
    if (s || !whole) return s;
    r->whole = true;
    for (int i = 0; i < e->n_note; i++) jt_str_printf(&b->note, "%s%d", i ? ", " : "", e->note[i]);
    return jt_str_check(&b->note, err);
}

void jt_batch_result_begin(size_t index, const char *id, uint64_t request, jt_str *o) {
    jt_str_printf(o, "{\"index\": %zu, \"id\": %s, \"request\": \"%016llx\"", index, *id ? id : "null", (unsigned long long)request);
}

void jt_batch_result_error(const char *message, jt_str *o) {
    jt_str_puts(o, ", \"error\": ");
    jt_str_json(o, message, strlen(message));
    jt_str_puts(o, "}\n");
}

static void write_floats(const char *name, const float *x, size_t n, jt_str *o) {
    jt_str_printf(o, ", \"%s\": [", name);
    for (size_t i = 0; i < n; i++) {
        if (i) jt_str_puts(o, ", ");
        jt_str_number(o, (double)x[i]);
    }
    jt_str_putc(o, ']');
}

static void write_answer(const jt_batch_answer *b, jt_end_reason reason, const jt_batch_line *line, jt_str *o) {
    const jt_answer *a = &b->a;
    jt_str_puts(o, "\"text\": ");
    jt_str_json(o, jt_str_c(&a->text), a->text.n);
    if (line->parted) {
        jt_str_puts(o, ", \"message\": ");
        jt_parts_write(&b->parts, o);
    }
    jt_str_puts(o, ", \"ids\": [");
    for (size_t i = 0; i < a->n; i++) jt_str_printf(o, "%s%d", i ? ", " : "", a->id[i]);
    jt_str_putc(o, ']');
    if (line->logprobs) {
        write_floats("logprobs", a->logprob, a->n, o);
        write_floats("raw_logprobs", a->raw_logprob, a->n, o);
    }
    if (line->request.top_logprobs > 0) jt_str_printf(o, ", \"top\": [%s]", jt_str_c(&a->top));
    jt_str_printf(o, ", \"stop_reason\": \"%s\"", jt_end_reason_name(reason));
}

void jt_batch_result_write(const jt_batch_result *r, const jt_batch_line *line, jt_str *o) {
    const jt_batch_answer none = {0};
    jt_str_puts(o, ", ");
    write_answer(r->n ? &r->answer[0] : &none, r->whole ? r->answer[0].a.reason : r->reason, line, o);
    if (r->n > 1) {
        jt_str_puts(o, ", \"answers\": [");
        for (size_t i = 0; i < r->n; i++) {
            jt_str_puts(o, i ? ", {" : "{");
            write_answer(&r->answer[i], r->answer[i].a.reason, line, o);
            if (r->answer[i].note.n) jt_str_printf(o, ", \"note\": [%s]", r->answer[i].note.s);
            jt_str_putc(o, '}');
        }
        jt_str_putc(o, ']');
    } else if (r->n && r->answer[0].note.n) {
        jt_str_printf(o, ", \"note\": [%s]", r->answer[0].note.s);
    }
    jt_str_printf(o, ", \"timings\": {\"prompt_tokens\": %d, \"prompt_seconds\": ", r->prompt_tokens);
    jt_str_number(o, r->prompt_seconds);
    jt_str_printf(o, ", \"answer_tokens\": %d, \"answer_seconds\": ", r->answer_tokens);
    jt_str_number(o, r->answer_seconds);
    jt_str_puts(o, "}}\n");
}
