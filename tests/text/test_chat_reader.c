/* Answers of each family parted into reasoning, calls and content, the same in whatever pieces they come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "core/file.h"
#include "core/str.h"
#include "jeton/reader.h"

typedef struct row {
    const char *family, *prompt, *answer, *content, *reasoning, *calls; /* calls: name(arguments)#id; each ends in a newline */
} row;

static const row rows[] = {
    {"plain", NULL, "Hello there.", "Hello there.", "", ""},
    {"plain", NULL, "<think>\nhm, hm\n</think>\n\nDone. ", "Done. ", "hm, hm", ""},
    {"plain", "<|im_start|>assistant\n<think>\n", "so\n</think>\n\nYes", "Yes", "so", ""},
    {"plain", "assistant\n<think>\n", "<think>\nso\n</think>\nYes", "Yes", "so", ""},
    {"plain", NULL, "a < b and <thin ice", "a < b and <thin ice", "", ""},
    {"plain", NULL, "<think>never ends", "", "never ends", ""},
    {"hermes", NULL,
     "<think>\nx\n</think>\n\nLet me see.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1, \"b\": [\"x\", null, true, "
     "1.5]}}\n</tool_call><|im_end|>",
     "Let me see.", "x", "f({\"a\": 1, \"b\": [\"x\", null, true, 1.5]})#\n"},
    {"hermes", NULL,
     "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"name\": \"g\", \"arguments\": {\"s\": "
     "\"}\\\"{\"}}\n</tool_call>",
     "", "", "f({})#\ng({\"s\": \"}\\\"{\"})#\n"},
    {"hermes", NULL, "x <tool_call>not json</tool_call> y", "x<tool_call>not json</tool_call> y", "", ""},
    {"hermes", NULL,
     "<tool_call>\n<function=get>\n<parameter=city>\nZ\xc3\xbcrich\n</parameter>\n<parameter=n>\n3\n</parameter>\n</function>\n</"
     "tool_call>",
     "", "", "get({\"city\": \"Z\xc3\xbcrich\", \"n\": 3})#\n"},
    {"hermes", NULL, "<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}</tool_call>", "", "", "f({\"a\": 1})#\n"},
    {"hermes", NULL, "<tool_call>{\"name\": \"f\", \"arguments\": {}}", "", "", "f({})#\n"},
    {"llama3", NULL, "{\"name\": \"f\", \"parameters\": {\"x\": 1}}<|eot_id|>", "", "", "f({\"x\": 1})#\n"},
    {"llama3", NULL, " {\"name\": \"f\", \"parameters\": {\"x\": 1}}", "", "", "f({\"x\": 1})#\n"},
    {"llama3", NULL, "{\"x\": 1} is JSON", "{\"x\": 1} is JSON", "", ""},
    {"llama3", NULL, "Sure: {\"name\": 1}", "Sure: {\"name\": 1}", "", ""},
    {"llama3", NULL, "<|python_tag|>{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {}}<|eom_id|>", "", "",
     "f({})#\ng({})#\n"},
    {"llama3", NULL, "<|python_tag|>print(1 + 1)<|eom_id|>", "<|python_tag|>print(1 + 1)", "", ""},
    {"mistral", NULL, "[THINK]a b[/THINK]ok[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"x\": 1}, \"id\": \"abc123456\"}]</s>", "ok",
     "a b", "f({\"x\": 1})#abc123456\n"},
    {"mistral", NULL, "[TOOL_CALLS]f[CALL_ID]id1[ARGS]{\"x\": 1}[TOOL_CALLS]g[ARGS]{}</s>", "", "", "f({\"x\": 1})#id1\ng({})#\n"},
    {"deepseek", "<think>\n",
     "r\n</think>\n\nok<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"x\": "
     "1}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜><"
     "｜end▁of▁sentence｜>",
     "ok", "r", "f({\"x\": 1})#\ng({})#\n"},
    {"deepseek", NULL, "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"x\": 1}<｜tool▁call▁end｜><｜tool▁calls▁end｜>", "",
     "", "f({\"x\": 1})#\n"},
    {"harmony", "<|start|>assistant",
     "<|channel|>analysis<|message|>think it over<|end|><|start|>assistant<|channel|>final<|message|>The answer.<|return|>", "The answer.",
     "think it over", ""},
    {"harmony", NULL, "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{\"x\": 1}<|call|>", "", "", "f({\"x\": 1})#\n"},
    {"harmony", NULL, "<|start|>assistant to=functions.f<|channel|>commentary json<|message|>{\"x\": 1}<|call|>", "", "",
     "f({\"x\": 1})#\n"},
    {"harmony", NULL,
     "<|channel|>commentary<|message|>I will look.<|end|><|start|>assistant<|channel|>commentary to=functions.f<|message|>{}<|call|>",
     "I will look.", "", "f({})#\n"},
    {"harmony", NULL, "<|channel|>commentary to=functions.f<|message|>{broken<|call|>", "{broken", "", ""},
    {"command-r", NULL,
     "<|START_THINKING|>plan<|END_THINKING|><|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \"tool_name\": \"f\", \"parameters\": {\"x\": "
     "1}}\n]<|END_ACTION|>",
     "", "plan", "f({\"x\": 1})#0\n"},
    {"command-r", NULL, "<|START_RESPONSE|>Hi.<|END_RESPONSE|><|END_OF_TURN_TOKEN|>", "Hi.", "", ""},
    {"command-r", NULL, "Action: ```json\n[{\"tool_name\": \"f\", \"parameters\": {}}]\n```", "", "", "f({})#\n"},
    {"granite", NULL, "<|tool_call|>[{\"name\": \"f\", \"arguments\": {\"x\": 1}}]<|end_of_text|>", "", "", "f({\"x\": 1})#\n"},
    {"granite", NULL, "<think>t</think><response>Hi</response>", "Hi", "t", ""},
    {"phi", NULL, "<|tool_call|>[{\"name\": \"f\", \"arguments\": {}}]<|/tool_call|><|end|>", "", "", "f({})#\n"},
    {"gemma", NULL, "Hi.<end_of_turn>", "Hi.", "", ""},
    {"glm", NULL,
     "\n<think>t</think>\nok\n<tool_call>f\n<arg_key>x</arg_key>\n<arg_value>1</arg_value>\n<arg_key>y</arg_key>\n<arg_value>a "
     "b</arg_value>\n</tool_call>",
     "ok", "t", "f({\"x\": 1, \"y\": \"a b\"})#\n"},
    {"glm", NULL, "<tool_call>now\n</tool_call>", "", "", "now({})#\n"},
    {"kimi", NULL,
     "ok<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{\"x\": "
     "1}<|tool_call_end|><|tool_calls_section_end|><|im_end|>",
     "ok", "", "f({\"x\": 1})#functions.f:0\n"},
};

typedef struct heard {
    jt_str part[2];
    size_t calls;
} heard;

static void hear(void *self, jt_reader_part part, size_t call, const char *s, size_t n) {
    heard *h = self;
    if (part != JT_PART_CALL)
        jt_str_add(&h->part[part], s, n);
    else
        assert_int_equal(call, h->calls++);
}

static void expect(const row *w, size_t step) {
    jt_reader *r = NULL;
    jt_error e = {0};
    heard h = {0};
    jt_str calls = {0};
    size_t n = strlen(w->answer), n_content, n_reasoning;
    assert_int_equal(jt_reader_new(w->family, w->prompt, w->prompt ? strlen(w->prompt) : 0, hear, &h, &r, &e), JT_OK);
    for (size_t i = 0; i < n; i += step) assert_int_equal(jt_reader_push(r, w->answer + i, n - i < step ? n - i : step, &e), JT_OK);
    assert_int_equal(jt_reader_end(r, &e), JT_OK);
    const char *content = jt_reader_text(r, JT_PART_CONTENT, &n_content), *reasoning = jt_reader_text(r, JT_PART_REASONING, &n_reasoning);
    for (size_t i = 0; i < jt_reader_calls(r); i++) {
        jt_reader_call c = jt_reader_call_at(r, i);
        jt_str_printf(&calls, "%s(%s)#%s\n", c.name, c.arguments, c.id);
    }
    if (strcmp(content, w->content) != 0 || strcmp(reasoning, w->reasoning) != 0 || strcmp(jt_str_c(&calls), w->calls) != 0)
        fail_msg("%s by %zu: %s\n  content   [%s]\n  reasoning [%s]\n  calls     [%s]", w->family, step, w->answer, content, reasoning,
                 jt_str_c(&calls));
    assert_string_equal(jt_str_c(&h.part[0]), content);
    assert_string_equal(jt_str_c(&h.part[1]), reasoning);
    assert_int_equal(h.calls, jt_reader_calls(r));
    jt_str_free(&h.part[0]), jt_str_free(&h.part[1]), jt_str_free(&calls);
    jt_reader_free(r);
}

static void answers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t step = 1; step < 12; step++) expect(&rows[i], step == 11 ? 100000 : step);
}

static void families(void **state) {
    (void)state;
    static const char *const want[][2] = {{"SmolLM2-135M-Instruct", "hermes"},
                                          {"Qwen-Qwen3-0.6B", "hermes"},
                                          {"HuggingFaceTB-SmolLM3-3B", "hermes"},
                                          {"openai-gpt-oss-120b", "harmony"},
                                          {"ibm-granite-granite-3.3-2B-Instruct", "granite"},
                                          {"deepseek-ai-DeepSeek-V3.1", "deepseek"},
                                          {"GLM-4.6", "glm"},
                                          {"microsoft-Phi-3.5-mini-instruct", "phi"},
                                          {"mistralai-Ministral-3-14B-Reasoning-2512", "mistral"}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        jt_str path = {0}, text = {0};
        jt_error e;
        jt_str_printf(&path, "%s/chat/templates/%s.jinja", FIXTURES, want[i][0]);
        assert_int_equal(jt_file_read(jt_str_c(&path), &text, &e), JT_OK);
        assert_string_equal(jt_reader_family(jt_str_c(&text), text.n), want[i][1]);
        jt_str_free(&path), jt_str_free(&text);
    }
    assert_string_equal(jt_reader_family("x", 1), "plain");
    jt_reader *r = NULL;
    jt_error e = {0};
    assert_int_equal(jt_reader_new("nosuch", NULL, 0, NULL, NULL, &r, &e), JT_UNKNOWN);
    assert_non_null(strstr(e.message, "nosuch"));
}

static void failing_allocations(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        jt_status s = JT_NOMEM;
        for (long at = 0; s; at++) {
            jt_reader *r = NULL;
            jt_error e = {0};
            assert_in_range(at, 0, 500);
            alloc_fail_at(at);
            s = jt_reader_new(rows[i].family, NULL, 0, NULL, NULL, &r, &e);
            for (size_t k = 0; !s && k < strlen(rows[i].answer); k += 20) {
                size_t n = strlen(rows[i].answer + k);
                s = jt_reader_push(r, rows[i].answer + k, n < 20 ? n : 20, &e);
            }
            if (!s) s = jt_reader_end(r, &e);
            alloc_fail_at(-1);
            assert_true(!s || s == JT_NOMEM);
            jt_reader_free(r);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers), cmocka_unit_test(families), cmocka_unit_test(failing_allocations)};
    return cmocka_run_group_tests_name("chat_reader", tests, NULL, NULL);
}
