#include "cli/parts.h"

#include <string.h>

#include "core/mem.h"

enum { PROMPT_END = 48 }; /* tokens of the prompt that the reader is shown */

static void parts_call(jt_parts *p, const jt_reader_call *c) {
    char made[32];
    snprintf(made, sizeof made, "call%05zu", p->number % 100000);
    const char *id = *c->id ? c->id : made;
    p->number += !*c->id;
    for (int text = 0; text < 2; text++) {
        jt_str *o = text ? &p->calls_text : &p->calls;
        if (o->n) jt_str_puts(o, ", ");
        jt_str_puts(o, "{\"id\": ");
        jt_str_json(o, id, strlen(id));
        jt_str_puts(o, ", \"type\": \"function\", \"function\": {\"name\": ");
        jt_str_json(o, c->name, strlen(c->name));
        jt_str_puts(o, ", \"arguments\": ");
        if (text)
            jt_str_json(o, c->arguments, strlen(c->arguments));
        else
            jt_str_puts(o, c->arguments);
        jt_str_puts(o, "}}");
    }
    p->n_calls++;
}

static void parts_hear(void *self, jt_reader_part part, size_t call, const char *s, size_t n) {
    jt_parts *p = self;
    if (part == JT_PART_CALL) {
        const jt_reader_call c = jt_reader_call_at(p->reader, call);
        parts_call(p, &c);
    } else {
        jt_str_add(part == JT_PART_CONTENT ? &p->content : &p->reasoning, s, n);
    }
    if (p->fn) p->fn(p->self, part, call, s, n);
}

static jt_status parts_check(const jt_parts *p, jt_error *err) {
    const jt_str *const all[] = {&p->content, &p->reasoning, &p->calls, &p->calls_text};
    jt_status s = JT_OK;
    for (size_t i = 0; !s && i < sizeof all / sizeof *all; i++) s = jt_str_check(all[i], err);
    return s;
}

static jt_status parts_reader(jt_parts *p, jt_error *err) {
    jt_reader_free(p->reader);
    p->reader = NULL;
    p->detok = (jt_detok){0};
    p->n_mark = p->next = p->made = p->given = 0;
    return jt_reader_new(p->family, jt_str_c(&p->prompt), p->prompt.n, parts_hear, p, &p->reader, err);
}

jt_status jt_parts_begin(jt_parts *p, const jt_tokenizer *t, const jt_request *r, jt_error *err) {
    size_t n = 0, from = r->n_prompt > PROMPT_END ? r->n_prompt - PROMPT_END : 0;
    const char *source = jt_chat_template(t, &n);
    char *text = NULL;
    p->tokenizer = t;
    p->special = r->special != 0;
    p->family = jt_reader_family(source ? source : "", n);
    jt_str_clear(&p->content), jt_str_clear(&p->reasoning), jt_str_clear(&p->calls), jt_str_clear(&p->calls_text);
    jt_str_clear(&p->prompt);
    p->n_calls = 0;
    jt_status s = jt_decode(t, r->prompt + from, r->n_prompt - from, 1, &text, &n, err);
    if (s) return s;
    jt_str_add(&p->prompt, text, n);
    jt_text_free(text);
    s = jt_str_check(&p->prompt, err);
    return s ? s : parts_reader(p, err);
}

/* Notes what a token is to the text. */
static jt_status parts_token(jt_parts *p, int32_t id, jt_error *err) {
    size_t n, got = 0, cap = p->scratch.cap;
    (void)jt_token_bytes(p->tokenizer, id, &n);
    if (jt_token_is_special(p->tokenizer, id)) {
        if (jt_token_is_end(p->tokenizer, id)) return JT_OK;
        jt_status s = jt_grow((void **)&p->mark, &p->cap_mark, p->n_mark + 1, sizeof *p->mark, err);
        if (!s) p->mark[p->n_mark++] = (jt_parts_mark){p->made, id};
        return s;
    }
    jt_status s = jt_grow((void **)&p->scratch.s, &cap, 3 * n + 16, 1, err);
    p->scratch.cap = cap;
    if (!s) s = jt_detok_push(p->tokenizer, &p->detok, id, 0, p->scratch.s, cap, &got, err);
    p->made += got;
    return s;
}

jt_status jt_parts_take(jt_parts *p, const jt_event *e, jt_error *err) {
    jt_status s = JT_OK;
    if (e->kind == JT_EVENT_TOKEN && e->decision.id >= 0 && !p->special) s = parts_token(p, e->decision.id, err);
    const char *text = e->text;
    for (size_t left = e->n_text; !s;) {
        if (p->next < p->n_mark && p->mark[p->next].at <= p->given) {
            size_t n;
            const char *mark = jt_token_bytes(p->tokenizer, p->mark[p->next++].id, &n);
            if (n && jt_reader_knows(p->reader, mark, n)) s = jt_reader_push(p->reader, mark, n, err);
            continue;
        }
        size_t n = left;
        if (p->next < p->n_mark && p->mark[p->next].at - p->given < n) n = p->mark[p->next].at - p->given;
        if (!n) break;
        s = jt_reader_push(p->reader, text, n, err);
        text += n, left -= n, p->given += n;
    }
    return s ? s : parts_check(p, err);
}

jt_status jt_parts_end(jt_parts *p, jt_error *err) {
    jt_status s = p->reader ? jt_reader_end(p->reader, err) : JT_OK;
    return s ? s : parts_check(p, err);
}

jt_status jt_parts_again(jt_parts *p, jt_error *err) {
    jt_status s = jt_parts_end(p, err);
    if (s) return s;
    jt_str_puts(&p->content, "\n\n");
    if (p->fn) p->fn(p->self, JT_PART_CONTENT, 0, "\n\n", 2);
    return parts_reader(p, err);
}

void jt_parts_free(jt_parts *p) {
    jt_reader_free(p->reader);
    jt_str_free(&p->content), jt_str_free(&p->reasoning), jt_str_free(&p->calls), jt_str_free(&p->calls_text);
    jt_str_free(&p->prompt), jt_str_free(&p->scratch);
    jt_free(p->mark);
    *p = (jt_parts){0};
}

void jt_parts_write(const jt_parts *p, jt_str *o) {
    jt_str_puts(o, "{\"role\": \"assistant\", \"content\": ");
    if (p->content.n || !p->n_calls)
        jt_str_json(o, jt_str_c(&p->content), p->content.n);
    else
        jt_str_puts(o, "null");
    if (p->reasoning.n) {
        jt_str_puts(o, ", \"reasoning_content\": ");
        jt_str_json(o, p->reasoning.s, p->reasoning.n);
    }
    if (p->n_calls) jt_str_printf(o, ", \"tool_calls\": [%s]", jt_str_c(&p->calls_text));
    jt_str_putc(o, '}');
}
