/* Scripted answers in parts, shown or told apart, and what of them the next prompt holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "chat_vocab.h"
#include "cli/conversation.h"
#include "cli/parts.h"
#include "core/mem.h"

#define TURN(role, x) "<|im_start|>" role "\n" x "<|im_end|>\n"
#define OPEN "<|im_start|>assistant\n"

/* As Qwen 3 has it: reasoning of the last answer only, calls between marks, results of tools as their own role. */
static const char reasoning_template[] =
    "{% if tools %}{{ '<|im_start|>tools\n' + (tools | tojson) + '<|im_end|>\n' }}{% endif %}"
    "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor "
    "%}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.reasoning_content and loop.index0 > ns.last %}{{ '<think>\n' + m.reasoning_content + '\n</think>\n\n' }}{% endif %}"
    "{{ m.content }}{% for c in m.tool_calls or [] %}{{ '\n<tool_call>\n' if m.content or not loop.first else '<tool_call>\n' }}"
    "{{ {'name': c.function.name, 'arguments': c.function.arguments} | tojson }}{{ '\n</tool_call>' }}{% endfor %}{{ '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
/* As DeepSeek's: arguments are put beside text, which an object cannot be. */
static const char text_template[] =
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + (m.content or '') }}{% for c in m.tool_calls or [] %}"
    "{{ '<tool_call>' + c.function.name + c.function.arguments }}{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

static const char *const more[] = {"<think>", "</think>", "<|odd|>"};
static jt_tokenizer *reasoner, *texter;

/* The vocabulary with tokens for the marks and one that marks nothing. */
static int open_reasoner(void **state) {
    jt_error e;
    if (open_all(state)) return 1;
    size_t n = vocab.spec.vocab;
    jt_view *tokens = calloc(n + 3, sizeof *tokens);
    int32_t *types = calloc(n + 3, sizeof *types);
    memcpy(tokens, vocab.tokens, n * sizeof *tokens), memcpy(types, vocab.types, n * sizeof *types);
    for (size_t i = 0; i < 3; i++) tokens[n + i] = view_of(more[i]), types[n + i] = JT_TOKEN_CONTROL;
    jt_tokenizer_spec spec = vocab.spec;
    spec.tokens = tokens, spec.types = types, spec.vocab = n + 3;
    spec.eos = jt_token_find(tokenizer, "<|im_end|>", 10);
    spec.chat_template = view_of(reasoning_template);
    int failed = jt_tokenizer_new(&spec, &reasoner, &e) != JT_OK;
    spec.chat_template = view_of(text_template);
    failed |= jt_tokenizer_new(&spec, &texter, &e) != JT_OK;
    free(tokens), free(types);
    return failed;
}

static int close_reasoner(void **state) {
    jt_tokenizer_free(reasoner);
    jt_tokenizer_free(texter);
    return close_all(state);
}

static jt_tokens written(const jt_tokenizer *t, const char *text) {
    jt_tokens out = {0};
    jt_error e;
    assert_int_equal(jt_encode(t, text, strlen(text), JT_PARSE_SPECIAL, &out, &e), JT_OK);
    return out;
}

static int32_t said[1024];

/* Gives the answer's tokens one by one as the driver does. */
static jt_status say(jt_parts *p, const jt_tokenizer *t, const char *text, size_t *n, jt_error *err) {
    jt_tokens all = written(t, text);
    jt_detok d = {0};
    jt_status s = JT_OK;
    assert_true(all.n < 1024);
    for (size_t i = 0; i < all.n && !s; i++) {
        char out[256];
        jt_event e = {.kind = JT_EVENT_TOKEN, .decision = {.id = all.t[i].id}, .text = out};
        said[i] = all.t[i].id;
        assert_int_equal(jt_detok_push(t, &d, all.t[i].id, 0, out, sizeof out, &e.n_text, NULL), JT_OK);
        s = jt_parts_take(p, &e, err);
    }
    *n = all.n;
    const jt_event end = {.kind = JT_EVENT_END, .text = ""};
    if (!s) s = jt_parts_take(p, &end, err);
    if (!s) s = jt_parts_end(p, err);
    jt_tokens_free(&all);
    return s;
}

static void answer(jt_conversation *c, jt_parts *p, const char *text) {
    jt_error e = {0};
    size_t n;
    const jt_request r = {.prompt = c->id, .n_prompt = c->n};
    assert_int_equal(jt_parts_begin(p, c->tokenizer, &r, &e), JT_OK);
    assert_int_equal(say(p, c->tokenizer, text, &n, &e), JT_OK);
    assert_int_equal(jt_conversation_answer_parts(c, said, n, &p->content, &p->reasoning, &p->calls, &e), JT_OK);
}

static void expect_text(const jt_conversation *c, const char *want) {
    char *s;
    size_t n;
    assert_int_equal(jt_decode(c->tokenizer, c->id, c->n, 1, &s, &n, NULL), JT_OK);
    assert_string_equal(s, want);
    jt_text_free(s);
}

static void marks_that_are_tokens_part_the_answer(void **state) {
    (void)state;
    jt_conversation c = {.tokenizer = reasoner};
    jt_parts p = {0};
    jt_error e = {0};
    assert_int_equal(jt_conversation_ask(&c, "Hi", &e), JT_OK);
    answer(&c, &p, "<think>\nhm\n</think>\n\nYes<|odd|>, so.<|im_end|>");
    assert_string_equal(jt_str_c(&p.reasoning), "hm");
    assert_string_equal(jt_str_c(&p.content), "Yes, so.");
    assert_int_equal(p.n_calls, 0);
    jt_str o = {0};
    jt_parts_write(&p, &o);
    assert_string_equal(o.s, "{\"role\": \"assistant\", \"content\": \"Yes, so.\", \"reasoning_content\": \"hm\"}");
    jt_str_free(&o);
    /* What nobody marks comes through as it is. */
    jt_conversation_undo(&c);
    assert_int_equal(jt_conversation_ask(&c, "Hi", &e), JT_OK);
    answer(&c, &p, "\n Yes \n\n<|im_end|>");
    assert_string_equal(jt_str_c(&p.content), "\n Yes \n\n");
    assert_string_equal(jt_str_c(&p.reasoning), "");
    jt_conversation_free(&c);
    jt_parts_free(&p);
}

static void a_stop_string_cuts_marks_too(void **state) {
    (void)state;
    jt_parts p = {0};
    jt_error e = {0};
    const int32_t prompt[1] = {0};
    const jt_request r = {.prompt = prompt, .n_prompt = 1};
    assert_int_equal(jt_parts_begin(&p, reasoner, &r, &e), JT_OK);
    jt_tokens all = written(reasoner, "ab<think>");
    for (size_t i = 0; i < all.n; i++) { /* the text stops behind "a": what comes later never was */
        const jt_event ev = {.kind = JT_EVENT_TOKEN, .decision = {.id = all.t[i].id}, .text = "a", .n_text = i == 0};
        assert_int_equal(jt_parts_take(&p, &ev, &e), JT_OK);
    }
    assert_int_equal(jt_parts_end(&p, &e), JT_OK);
    assert_string_equal(jt_str_c(&p.content), "a");
    assert_null(p.reasoning.s);
    jt_tokens_free(&all);
    jt_parts_free(&p);
}

static void earlier_reasoning_goes_where_the_template_says(void **state) {
    (void)state;
    jt_conversation c = {.tokenizer = reasoner};
    jt_parts p = {0};
    jt_error e = {0};
    assert_int_equal(jt_conversation_ask(&c, "Hi", &e), JT_OK);
    answer(&c, &p, "<think>\nhm\n</think>\n\nYes.<|im_end|>");
    expect_text(&c, TURN("user", "Hi") OPEN "<think>\nhm\n</think>\n\nYes.<|im_end|>\n");
    assert_int_equal(jt_conversation_ask(&c, "And?", &e), JT_OK);
    expect_text(&c, TURN("user", "Hi") TURN("assistant", "Yes.") TURN("user", "And?") OPEN);
    answer(&c, &p, "No.<|im_end|>");
    size_t n = c.n;
    assert_int_equal(jt_conversation_ask(&c, "So?", &e), JT_OK);
    expect_text(&c, TURN("user", "Hi") TURN("assistant", "Yes.") TURN("user", "And?") TURN("assistant", "No.") TURN("user", "So?") OPEN);
    assert_int_equal(c.turn[2].begin, n);
    jt_conversation_free(&c);
    jt_parts_free(&p);
}

#define TOOLS "[{\"type\": \"function\", \"function\": {\"name\": \"f\"}}]"
#define CALLS                                                                                                                              \
    "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1.0}}\n</tool_call>\n<tool_call>\n{\"name\": \"g\", \"arguments\": "            \
    "{}}\n</tool_call>"

static void calls_and_results_make_the_next_prompt(void **state) {
    (void)state;
    static const char head[] = TURN("tools", TOOLS) TURN("user", "Hi") OPEN "<think>\nhm\n</think>\n\n" CALLS "<|im_end|>\n";
    static const char tail[] = TURN("tool", "one") TURN("tool", "two \"2\"") OPEN;
    jt_conversation c = {.tokenizer = reasoner}, r = {.tokenizer = reasoner};
    jt_parts p = {.number = 7};
    jt_error e = {0};
    int again;
    char want[1024];
    assert_int_equal(jt_conversation_tools(&c, "{}", 2, &e), JT_FORMAT);
    assert_int_equal(jt_conversation_tools(&c, "[{}]", 4, &e), JT_FORMAT);
    assert_int_equal(jt_conversation_tools(&c, TOOLS, strlen(TOOLS), &e), JT_OK);
    assert_int_equal(jt_conversation_ask(&c, "Hi", &e), JT_OK);
    assert_int_equal(jt_conversation_calls(&c), 0);
    answer(&c, &p, "<think>\nhm\n</think>\n\n" CALLS "<|im_end|>");
    assert_int_equal(p.n_calls, 2);
    assert_string_equal(jt_str_c(&p.calls),
                        "{\"id\": \"call00007\", \"type\": \"function\", \"function\": {\"name\": \"f\", \"arguments\": {\"a\": 1.0}}}, "
                        "{\"id\": \"call00008\", \"type\": \"function\", \"function\": {\"name\": \"g\", \"arguments\": {}}}");
    jt_str o = {0};
    jt_parts_write(&p, &o);
    assert_non_null(strstr(o.s, "\"content\": null, \"reasoning_content\": \"hm\", \"tool_calls\": [{\"id\": \"call00007\""));
    assert_non_null(strstr(o.s, "\"arguments\": \"{\\\"a\\\": 1.0}\"}}"));
    jt_str_free(&o);
    expect_text(&c, head);
    assert_int_equal(jt_conversation_calls(&c), 2);
    assert_int_equal(jt_conversation_results(&c, "[\"one\", \"two \\\"2\\\"\"]", &e), JT_OK);
    snprintf(want, sizeof want, "%s%s", head, tail);
    expect_text(&c, want);
    answer(&c, &p, "Done.<|im_end|>");
    /* a file holds all of it */
    assert_int_equal(jt_conversation_save(&c, path, "tiny", &e), JT_OK);
    for (int other = 0; other < 2; other++) {
        assert_int_equal(jt_conversation_load(&r, path, other ? "other" : "tiny", &again, &e), JT_OK);
        assert_int_equal(again, other);
        assert_string_equal(jt_str_c(&r.tools), jt_str_c(&c.tools));
        assert_int_equal(r.n_turn, 2);
        assert_string_equal(jt_str_c(&r.turn[0].reasoning), "hm");
        assert_string_equal(jt_str_c(&r.turn[0].calls), jt_str_c(&c.turn[0].calls));
        assert_true(r.turn[1].tool);
        jt_conversation_undo(&r);
        assert_int_equal(jt_conversation_results(&r, "[\"one\", \"two \\\"2\\\"\"]", &e), JT_OK);
        expect_text(&r, want);
    }
    jt_conversation_free(&c);
    jt_conversation_free(&r);
    jt_parts_free(&p);
}

static void a_template_that_joins_arguments_gets_text(void **state) {
    (void)state;
    jt_conversation c = {.tokenizer = texter};
    jt_parts p = {0};
    jt_error e = {0};
    assert_int_equal(jt_conversation_ask(&c, "Hi", &e), JT_OK);
    answer(&c, &p, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call><|im_end|>");
    assert_int_equal(jt_conversation_results(&c, "[\"r\"]", &e), JT_OK);
    expect_text(&c, TURN("user", "Hi") TURN("assistant", "<tool_call>f{\"a\": 1}") TURN("tool", "r") OPEN);
    jt_conversation_free(&c);
    jt_parts_free(&p);
}

static void memory_may_end_anywhere(void **state) {
    (void)state;
    const int32_t prompt[1] = {0};
    const jt_request r = {.prompt = prompt, .n_prompt = 1};
    jt_status s = JT_NOMEM;
    for (long i = 0; s; i++) {
        jt_parts p = {0};
        jt_conversation c = {.tokenizer = reasoner};
        jt_error e = {0};
        size_t n = 0;
        jt_tokens all = written(reasoner, "<think>\nhm\n</think>\n\n" CALLS);
        alloc_fail_at(i);
        s = jt_parts_begin(&p, reasoner, &r, &e);
        for (size_t k = 0; !s && k < all.n; k++) {
            size_t len;
            const char *text = jt_token_bytes(reasoner, all.t[k].id, &len);
            const jt_event ev = {.kind = JT_EVENT_TOKEN,
                                 .decision = {.id = all.t[k].id},
                                 .text = text,
                                 .n_text = jt_token_is_special(reasoner, all.t[k].id) ? 0 : len};
            said[n++] = all.t[k].id;
            s = jt_parts_take(&p, &ev, &e);
        }
        if (!s) s = jt_parts_end(&p, &e);
        if (!s) s = jt_conversation_ask(&c, "Hi", &e);
        if (!s) s = jt_conversation_answer_parts(&c, said, n, &p.content, &p.reasoning, &p.calls, &e);
        if (!s) s = jt_conversation_results(&c, "[\"r\", \"s\"]", &e);
        alloc_fail_at(-1);
        if (s) assert_int_equal(s, JT_NOMEM);
        if (!s) assert_int_equal(p.n_calls, 2);
        jt_tokens_free(&all);
        jt_parts_free(&p);
        jt_conversation_free(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marks_that_are_tokens_part_the_answer),          cmocka_unit_test(a_stop_string_cuts_marks_too),
        cmocka_unit_test(earlier_reasoning_goes_where_the_template_says), cmocka_unit_test(calls_and_results_make_the_next_prompt),
        cmocka_unit_test(a_template_that_joins_arguments_gets_text),      cmocka_unit_test(memory_may_end_anywhere),
    };
    return cmocka_run_group_tests(tests, open_reasoner, close_reasoner);
}
