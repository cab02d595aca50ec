/* Any text as a chat template, behind a NUL any JSON as its conversation, and what comes out as an answer of some family: each is
 * refused with a message, or gives text that is UTF-8, spans that lie in it, and parts that do not depend on the pieces.
 * Covers: src/text/jinja/call.c src/text/jinja/chars.c src/text/jinja/eval.c src/text/jinja/exec.c src/text/jinja/filters_list.c
 * src/text/jinja/filters_text.c src/text/jinja/filters_value.c src/text/jinja/format.c src/text/jinja/globals.c src/text/jinja/iter.c
 * src/text/jinja/json.c src/text/jinja/lexer.c src/text/jinja/methods_text.c src/text/jinja/number.c src/text/jinja/parse.c
 * src/text/jinja/parse_expression.c src/text/jinja/render.c src/text/jinja/strings.c src/text/jinja/tests.c src/text/jinja/text.c
 * src/text/jinja/value.c src/text/chat_reader.c src/text/chat_calls.c */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/str.h"
#include "jeton/reader.h"
#include "text/chat_reader.h"
#include "text/jinja/render.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char talk[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"H\xc3\xb6i <|x|>\"}, {\"role\": \"assistant\", \"content\": [{\"type\": "
    "\"text\", \"text\": \"Yo\"}], \"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\": {\"x\": 1.5}}}]}], "
    "\"tools\": [{\"a\": [1, 2, null]}], \"s\": \"abc abc\", \"n\": 5, \"f\": 2.5, \"l\": [3, 1, 2], \"d\": {\"b\": 1, \"a\": 2}}";

static void check_text(const jt_template_text *t) {
    for (size_t i = 0; i < t->n;) {
        int w = jt_utf8_next(t->text + i, t->n - i, NULL);
        if (!w) abort();
        i += (size_t)w;
    }
    for (size_t i = 0; i < t->n_generation; i++)
        if (t->generation[i].begin > t->generation[i].end || t->generation[i].end > t->n) abort();
    for (size_t i = 0; i < t->n; i++)
        if (t->from[i] > 1) abort();
}

/* Content and reasoning of an answer that comes in pieces of `step` bytes. */
static jt_str read_answer(const char *family, const char *s, size_t n, size_t step) {
    jt_reader *r = NULL;
    jt_error e = {0};
    jt_str all = {0};
    if (jt_reader_new(family, s, n / 2, NULL, NULL, &r, &e)) abort();
    for (size_t i = 0; i < n; i += step)
        if (jt_reader_push(r, s + i, n - i < step ? n - i : step, &e)) abort();
    if (jt_reader_end(r, &e)) abort();
    for (int part = 0; part < 2; part++) {
        size_t k;
        const char *said = jt_reader_text(r, (jt_reader_part)part, &k);
        jt_str_add(&all, said, k);
        jt_str_putc(&all, '|');
    }
    for (size_t i = 0; i < jt_reader_calls(r); i++) jt_str_puts(&all, jt_reader_call_at(r, i).arguments);
    jt_reader_free(r);
    return all;
}

static void check_answer(const char *s, size_t n) {
    for (const jt_reader_style *f = jt_reader_families; f->name; f++) {
        jt_str whole = read_answer(f->name, s, n, n + 1), bytes = read_answer(f->name, s, n, 1);
        if (whole.n != bytes.n || memcmp(jt_str_c(&whole), jt_str_c(&bytes), whole.n) != 0) abort();
        jt_str_free(&whole), jt_str_free(&bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n > 16384) return 0;
    const char *s = (const char *)data, *nul = n ? memchr(s, 0, n) : NULL;
    size_t n_template = nul ? (size_t)(nul - s) : n;
    const jt_template_options o = {.bos = "<s>", .now_given = 1, .hf = (int)(n & 1), .steps = 200000, .memory = 8 << 20, .output = 1 << 20};
    jt_template *t = NULL;
    jt_template_text text = {0};
    jt_error e = {0};
    jt_status st = jt_template_new(s, n_template, &t, &e);
    if (!st)
        st = nul ? jt_template_render(t, nul + 1, n - n_template - 1, &o, &text, &e)
                 : jt_template_render(t, talk, sizeof talk - 1, &o, &text, &e);
    if (st && !e.message[0]) abort();
    if (!st) check_text(&text);
    jt_template_text_free(&text);
    jt_template_free(t);
    if (n < 1024) check_answer(s, n);
    return 0;
}
