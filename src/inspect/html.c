/* html.c: a trace as one page that needs nothing else: its data as JSON between the fixed
 * parts of html_page.c, one answer a choice. */
#include <math.h>
#include <string.h>

#include "inspect/html_page.h"
#include "inspect/trace.h"

enum { HTML_CANDIDATES = 200 }; /* of one list; more would make the page slow */

typedef struct html_out {
    jt_trace_put put;
    void *self;
    jt_str o;
    jt_error *err;
} html_out;

static jt_status html_send(html_out *h) {
    jt_status e = jt_str_check(&h->o, h->err);
    if (e == JT_OK && h->o.n) e = h->put(h->self, h->o.s, h->o.n, h->err);
    jt_str_clear(&h->o);
    return e;
}

static void html_lines(html_out *h, const char *const *line) {
    for (; *line; line++) jt_str_puts(&h->o, *line);
}

/* As JSON that no browser takes for the end of the script. */
static void html_text(jt_str *o, const char *s) {
    jt_str t = {0};
    jt_str_json(&t, s, strlen(s));
    for (size_t i = 0; i < t.n; i++)
        if (t.s[i] == '<')
            jt_str_puts(o, "\\u003c");
        else
            jt_str_putc(o, t.s[i]);
    o->failed |= t.failed;
    jt_str_free(&t);
}

static void html_plain(jt_str *o, const char *s) {
    for (; *s; s++)
        if (*s == '<' || *s == '&')
            jt_str_puts(o, *s == '<' ? "&lt;" : "&amp;");
        else
            jt_str_putc(o, *s);
}

static void html_number(jt_str *o, const char *name, float x) {
    jt_str_printf(o, ",\"%s\":", name);
    jt_trace_put_float(o, x);
}

/* `of`: candidates that there are. */
static void html_list(jt_str *o, const jt_cand *c, int n, int of) {
    int most = n < HTML_CANDIDATES ? n : HTML_CANDIDATES;
    jt_str_printf(o, "\"all\":%s,\"ids\":[", most == of ? "true" : "false");
    for (int i = 0; i < most; i++) jt_str_printf(o, "%s%d", i ? "," : "", c[i].id);
    jt_str_puts(o, "],\"x\":[");
    for (int i = 0; i < most; i++) {
        if (i) jt_str_putc(o, ',');
        jt_trace_put_float(o, c[i].logit);
    }
    jt_str_putc(o, ']');
}

static void html_stage(jt_str *o, const jt_stage_evidence *s) {
    jt_str_puts(o, "{\"method\":");
    html_text(o, s->method);
    jt_str_printf(o, ",\"before\":%d,\"after\":%d", (int)s->before, (int)s->after);
    html_number(o, "mass", s->mass);
    html_number(o, "seconds", s->seconds);
    for (int i = 0; i < s->n_drawn; i++) {
        jt_str_puts(o, i ? ",{\"purpose\":" : ",\"drawn\":[{\"purpose\":");
        html_text(o, s->drawn[i].purpose);
        jt_str_puts(o, ",\"u\":");
        jt_trace_put_double(o, s->drawn[i].u);
        jt_str_putc(o, '}');
    }
    if (s->n_drawn) jt_str_putc(o, ']');
    jt_str_putc(o, ',');
    html_list(o, s->cand, s->n_cand, s->after);
    jt_str_putc(o, '}');
}

static void html_token(jt_str *o, const jt_trace *t, const jt_trace_token *k) {
    const jt_decision *d = &k->decision;
    jt_str_printf(o, "{\"id\":%d,\"position\":%d,\"text\":", (int)d->id, (int)d->position);
    html_text(o, k->text);
    jt_str_printf(o, ",\"by\":\"%s\",\"attempt\":%u,\"candidates\":%d,\"u\":", jt_chosen_name(d->by), d->attempt, (int)d->candidates);
    jt_trace_put_double(o, d->u);
    html_number(o, "raw_logprob", d->raw_logprob);
    html_number(o, "logprob", d->logprob);
    html_number(o, "entropy", d->entropy);
    html_number(o, "eval", k->eval_seconds);
    if (k->evidence) {
        jt_str_printf(o, ",\"stream\":\"%016llx\",\"log_sum\":", (unsigned long long)k->evidence->stream);
        jt_trace_put_double(o, k->evidence->log_sum);
        jt_str_puts(o, ",\"raw\":{");
        html_list(o, k->evidence->raw, k->evidence->n_raw, t->vocab);
        jt_str_puts(o, "},\"stages\":[");
        for (int i = 0; i < k->evidence->n_stage; i++) {
            if (i) jt_str_putc(o, ',');
            html_stage(o, &k->evidence->stage[i]);
        }
        jt_str_putc(o, ']');
    }
    jt_str_putc(o, '}');
}

static jt_status html_answers(html_out *h, const jt_trace *t) {
    jt_status e = JT_OK;
    bool any = false;
    jt_str_puts(&h->o, "\"answers\":[");
    for (size_t i = 0; e == JT_OK && i < t->n_job; i++)
        for (size_t k = 0; e == JT_OK && k < t->job[i].n_answer; k++) {
            const jt_trace_job *j = &t->job[i];
            const jt_trace_answer *a = &j->answer[k];
            jt_str_printf(&h->o, "%s{\"name\":\"job %llu, answer %d\",\"seed\":\"%llu\",\"reason\":\"%s\",\"pipeline\":", any ? "," : "",
                          (unsigned long long)j->job, a->answer, (unsigned long long)j->request.seed, jt_end_reason_name(a->reason));
            html_text(&h->o, j->pipeline);
            jt_str_puts(&h->o, ",\"tokens\":[");
            for (size_t x = 0; e == JT_OK && x < a->n_token; x++) {
                if (x) jt_str_putc(&h->o, ',');
                html_token(&h->o, t, &a->token[x]);
                e = html_send(h);
            }
            jt_str_puts(&h->o, "]}");
            any = true;
        }
    if (!any) jt_str_puts(&h->o, "{\"name\":\"none\",\"seed\":\"\",\"reason\":\"none\",\"pipeline\":\"no answer\",\"tokens\":[]}");
    jt_str_puts(&h->o, "],");
    return e;
}

static void html_about(jt_str *o, const jt_trace *t) {
    jt_str about = {0};
    if (t->n_model)
        jt_str_printf(&about, "%s (%s), mode %016llx, %s activations, %s cache; jeton %s%s%s", t->model->name, t->model->path,
                      (unsigned long long)t->model->mode, t->model->activations, t->model->kv_type, t->jeton, t->note ? "; " : "",
                      t->note ? t->note : "");
    jt_str_puts(o, "\"about\":");
    html_text(o, jt_str_c(&about));
    o->failed |= about.failed;
    jt_str_free(&about);
}

jt_status jt_trace_html(const jt_trace *t, const char *title, jt_trace_put put, void *self, jt_error *err) {
    html_out h = {.put = put, .self = self, .err = err};
    bool any = false;
    html_lines(&h, jt_html_style);
    jt_str_puts(&h.o, "<title>");
    html_plain(&h.o, title);
    jt_str_puts(&h.o, "</title>\n");
    html_lines(&h, jt_html_frame);
    jt_str_puts(&h.o, "<script type='application/json' id='trace'>{");
    jt_status e = html_answers(&h, t);
    jt_str_puts(&h.o, "\"text\":{");
    for (int id = 0; id < t->vocab && e == JT_OK; id++) {
        if (!t->text[id]) continue;
        jt_str_printf(&h.o, "%s\"%d\":", any ? "," : "", id);
        html_text(&h.o, t->text[id]);
        any = true;
    }
    jt_str_puts(&h.o, "},");
    html_about(&h.o, t);
    jt_str_puts(&h.o, "}</script>\n");
    html_lines(&h, jt_html_script);
    if (e == JT_OK) e = html_send(&h);
    jt_str_free(&h.o);
    return e;
}
