/* Lines of a batch are checked, and files of results go on where they end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "chat_vocab.h"
#include "cli/batch_file.h"
#include "cli/batch_line.h"

static const char *const stops[] = {"END"};
static const jt_batch_defaults standard = {.request = {.seed = 9, .max_tokens = 50, .context = 100, .stop = stops, .n_stop = 1},
                                           .decode = "greedy"};

static jt_status read_line(const char *s, jt_batch_line *l, jt_error *e) {
    return jt_batch_line_read(s, strlen(s), &standard, tokenizer, l, e);
}

static void expect_prompt(const char *line, const char *want) {
    jt_batch_line l;
    jt_error e;
    char *s;
    size_t n;
    if (read_line(line, &l, &e)) fail_msg("%s", e.message);
    assert_int_equal(jt_decode(tokenizer, l.request.prompt, l.request.n_prompt, 1, &s, &n, &e), JT_OK);
    assert_string_equal(s, want);
    jt_text_free(s);
    jt_batch_line_free(&l);
}

static void prompts(void **state) {
    (void)state;
    expect_prompt("{\"prompt\": \"Hi\"}", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
    expect_prompt("{\"prompt\": \"Hi\", \"raw\": true}", "Hi");
    expect_prompt("{\"prompt\": \"Hi\", \"system\": \"S\"}",
                  "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
    expect_prompt("{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}, "
                  "{\"content\": \"c\", \"role\": \"user\"}], \"system\": \"S\"}",
                  "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nc"
                  "<|im_end|>\n<|im_start|>assistant\n");
    /* The template asks for content, which a message of calls has not; what it does not ask for changes nothing. */
    expect_prompt(
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"\", \"reasoning_content\": "
        "\"r\", \"tool_calls\": [{\"id\": \"1\", \"type\": \"function\", \"function\": {\"name\": \"f\", \"arguments\": \"{}\"}}]}, "
        "{\"role\": "
        "\"tool\", \"content\": \"b\", \"tool_call_id\": \"1\", \"name\": \"f\"}], \"tools\": [{\"type\": \"function\", \"function\": "
        "{\"name\": \"f\"}}], \"template_args\": {\"enable_thinking\": false}}",
        "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n<|im_end|>\n<|im_start|>tool\nb<|im_end|>\n<|im_start|>assistant\n");
    jt_batch_line l;
    jt_error e;
    static const char *const said[] = {"system", "S", "user", "a"};
    assert_int_equal(read_line("{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"system\": \"S\"}", &l, &e), JT_OK);
    assert_int_equal(l.request.n_messages, 2);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(l.request.messages[i].role, said[2 * i]);
        assert_string_equal(l.request.messages[i].content, said[2 * i + 1]);
    }
    jt_batch_line_free(&l);
    assert_int_equal(read_line("{\"prompt\": [5, 0, 7]}", &l, &e), JT_OK);
    assert_int_equal(l.request.n_messages, 0);
    assert_int_equal(l.request.n_prompt, 3);
    assert_int_equal(l.request.prompt[2], 7);
    jt_batch_line_free(&l);
}

static void settings(void **state) {
    (void)state;
    jt_batch_line l;
    jt_error e;
    assert_int_equal(read_line("{\"prompt\": \"x\"}", &l, &e), JT_OK);
    assert_int_equal(l.id.n, 0);
    assert_true(l.request.seed == 9 && l.request.max_tokens == 50 && l.request.n_stop == 1 && l.request.context == 100 && !l.logprobs);
    assert_string_equal(jt_pipeline_text(l.request.pipeline), "greedy");
    jt_batch_line_free(&l);
    assert_int_equal(
        read_line("{\"id\": \"a\\\"\", \"prompt\": \"x\", \"seed\": 4, \"choice\": 2, \"max_tokens\": 0, \"stop\": [\"p\", \"q\"], "
                  "\"stop_ids\": [3], \"max_seconds\": 1.5, \"ignore_end\": true, \"special\": true, \"logprobs\": 3, \"decode\": "
                  "\"temp:0.5\"}",
                  &l, &e),
        JT_OK);
    assert_string_equal(l.id.s, "\"a\\\"\"");
    const jt_request *r = &l.request;
    assert_true(r->seed == 4 && r->choice == 2 && r->max_tokens == 0 && r->max_seconds == 1.5 && r->ignore_end && r->special);
    assert_true(r->n_stop == 2 && !strcmp(r->stop[1], "q") && r->n_stop_ids == 1 && r->stop_ids[0] == 3);
    assert_true(l.logprobs && r->top_logprobs == 3);
    assert_non_null(strstr(jt_pipeline_text(r->pipeline), "temp"));
    jt_batch_line_free(&l);
    assert_int_equal(read_line("{\"id\": 12, \"prompt\": \"x\", \"stop\": \"p\", \"logprobs\": true}", &l, &e), JT_OK);
    assert_string_equal(l.id.s, "12");
    assert_true(l.request.n_stop == 1 && l.logprobs && l.request.top_logprobs == 0);
    jt_batch_line_free(&l);
}

static void refusals(void **state) {
    (void)state;
    static const struct {
        const char *line, *says;
    } row[] = {
        {"{\"promt\": \"x\"}", "did you mean \"prompt\""},
        {"{\"prompt\": \"x\", \"tools\": {}}", "a list of tools"},
        {"{\"prompt\": \"x\", \"tools\": [{\"function\": {}}]}", "tool 1 is no object"},
        {"{\"prompt\": \"x\", \"raw\": true, \"tools\": []}", "\"tools\" needs the chat format"},
        {"{\"prompt\": [1], \"template_args\": {}}", "\"template_args\" needs the chat format"},
        {"{\"prompt\": \"x\", \"template_args\": {\"tools\": 1}}", "cannot set \"tools\""},
        {"{\"prompt\": \"x\", \"template_args\": []}", "\"template_args\" takes an object"},
        {"{\"prompt\": \"x\", \"documents\": 1}", "a list of documents"},
        {"{\"messages\": [{\"role\": \"assistant\", \"content\": null}]}", "message 1"},
        {"{\"messages\": [{\"role\": \"assistant\", \"content\": \"\", \"tool_calls\": 1}]}", "a list of calls"},
        {"{\"messages\": [{\"role\": \"assistant\", \"tool_calls\": [{}]}]}", "call 1 of message 1"},
        {"{\"prompt\": \"x\", \"zzzzzzzz\": 1}", "no key \"zzzzzzzz\""},
        {"5", "object"},
        {"{", "JSON"},
        {"{}", "\"prompt\" or \"messages\""},
        {"{\"prompt\": \"x\", \"messages\": []}", "not both"},
        {"{\"prompt\": \"\"}", "empty"},
        {"{\"prompt\": 5}", "\"prompt\""},
        {"{\"prompt\": [1, -1]}", "token ids"},
        {"{\"prompt\": [1], \"system\": \"s\"}", "system"},
        {"{\"messages\": []}", "not empty"},
        {"{\"messages\": [{\"role\": \"user\"}]}", "message 1"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"x\", \"contnt\": \"\"}]}", "\"content\""},
        {"{\"messages\": [{\"role\": \"system\", \"content\": \"x\"}], \"system\": \"s\"}", "give one"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"raw\": true}", "raw"},
        {"{\"prompt\": \"x\", \"system\": \"s\", \"raw\": true}", "raw"},
        {"{\"prompt\": \"x\", \"id\": [1]}", "\"id\""},
        {"{\"prompt\": \"x\", \"seed\": -1}", "\"seed\""},
        {"{\"prompt\": \"x\", \"seed\": 1.5}", "\"seed\""},
        {"{\"prompt\": \"x\", \"max_tokens\": 99999999}", "\"max_tokens\""},
        {"{\"prompt\": \"x\", \"max_seconds\": \"1\"}", "\"max_seconds\""},
        {"{\"prompt\": \"x\", \"stop\": [1]}", "\"stop\""},
        {"{\"prompt\": \"x\", \"stop_ids\": 1}", "\"stop_ids\""},
        {"{\"prompt\": \"x\", \"logprobs\": 21}", "\"logprobs\""},
        {"{\"prompt\": \"x\", \"ignore_end\": 1}", "\"ignore_end\""},
        {"{\"prompt\": \"x\", \"decode\": \"top-q:1\"}", "top-q"},
        {"{\"prompt\": \"x\", \"decode\": 1}", "\"decode\""},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        jt_batch_line l;
        jt_error e;
        if (read_line(row[i].line, &l, &e) == JT_OK) fail_msg("%s is taken", row[i].line);
        if (!strstr(e.message, row[i].says)) fail_msg("%s: %s", row[i].line, e.message);
        jt_batch_line_free(&l);
    }
    jt_batch_line l; /* the id is there though the line is wrong */
    jt_error e;
    assert_int_equal(read_line("{\"id\": \"q\", \"promt\": 1}", &l, &e), JT_UNKNOWN);
    assert_string_equal(l.id.s, "\"q\"");
    jt_batch_line_free(&l);
}

static void failed_allocations(void **state) {
    (void)state;
    for (int i = 0;; i++) {
        jt_batch_line l;
        jt_error e;
        alloc_fail_at(i);
        jt_status s = read_line(
            "{\"id\": 1, \"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"stop\": [\"a\"], \"stop_ids\": [1]}", &l, &e);
        alloc_fail_at(-1);
        jt_batch_line_free(&l);
        if (!s) break;
    }
}

/* ---- files ---- */

static void put(const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0 && fclose(f) == 0);
}

static void expect_file(const char *want) {
    char have[1024];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    have[fread(have, 1, sizeof have - 1, f)] = 0;
    fclose(f);
    assert_string_equal(have, want);
}

static const uint64_t key[3] = {0xa, 0xb, 0xc};
#define GOOD0 "{\"index\": 0, \"request\": \"000000000000000a\"}\n"
#define BAD1 "{\"index\": 1, \"request\": \"000000000000000b\", \"error\": \"x\"}\n"
#define GOOD1 "{\"index\": 1, \"request\": \"000000000000000b\"}\n"

static void files_go_on(void **state) {
    (void)state;
    static const struct {
        const char *text, *left;
        jt_batch_begin how;
        int done, had, bad; /* done: bits */
    } row[] = {
        {"", "", JT_BATCH_RESUME, 0, 0, 0},
        {GOOD0 BAD1, GOOD0 BAD1, JT_BATCH_RESUME, 3, 2, 1},
        {GOOD0 BAD1, GOOD0 BAD1, JT_BATCH_RETRY, 1, 1, 0},
        {GOOD0 BAD1 GOOD1, GOOD0 BAD1 GOOD1, JT_BATCH_RESUME, 3, 2, 0},
        {GOOD0 BAD1, "", JT_BATCH_RESTART, 0, 0, 0},
        {BAD1 "{\"index\": 0, \"requ", BAD1, JT_BATCH_RESUME, 2, 1, 1},
        {BAD1 "{\"in", BAD1, JT_BATCH_RESUME, 2, 1, 1},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        bool done[3] = {false};
        jt_batch_file f, second;
        jt_error e;
        put(row[i].text);
        if (jt_batch_file_open(path, row[i].how, key, 3, done, &f, &e)) fail_msg("%s", e.message);
        assert_int_equal(done[0] + 2 * done[1] + 4 * done[2], row[i].done);
        assert_int_equal(f.had, row[i].had);
        assert_int_equal(f.had_bad, row[i].bad);
        expect_file(row[i].left);
        assert_int_equal(jt_batch_file_open(path, JT_BATCH_RESTART, key, 3, done, &second, &e), JT_IO);
        assert_non_null(strstr(e.message, "another process"));
        jt_str line = {0};
        char want[1024];
        jt_str_puts(&line, "more\n");
        assert_int_equal(jt_batch_file_write(&f, &line, &e), JT_OK);
        snprintf(want, sizeof want, "%smore\n", row[i].left);
        expect_file(want);
        jt_str_free(&line);
        jt_batch_file_close(&f);
    }
}

static void other_files_are_left_alone(void **state) {
    (void)state;
    static const char *const text[] = {"a note",
                                       "a note\n",
                                       GOOD0 "a note",
                                       "{\"index\": 0}\n",
                                       "{\"index\": 0, \"request\": \"000000000000000b\"}\n",
                                       "{\"index\": 3, \"request\": \"\"}\n",
                                       "{\"index\": -1, \"request\": \"000000000000000a\"}\n",
                                       "\n"};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        bool done[3] = {false};
        jt_batch_file f;
        jt_error e;
        put(text[i]);
        assert_int_equal(jt_batch_file_open(path, JT_BATCH_RESUME, key, 3, done, &f, &e), JT_INVALID);
        assert_int_equal(f.fd, -1);
        expect_file(text[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts),     cmocka_unit_test(settings),
        cmocka_unit_test(refusals),    cmocka_unit_test(failed_allocations),
        cmocka_unit_test(files_go_on), cmocka_unit_test(other_files_are_left_alone),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
