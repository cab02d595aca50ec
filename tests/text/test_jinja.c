/* The template interpreter beside Jinja2: snippets and templates of real models, refusals with their places, what must end in a
 * message, and every allocation failing in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "core/file.h"
#include "core/json.h"
#include "core/str.h"
#include "text/jinja/render.h"

static jt_json *fixture(const char *name) {
    jt_str path = {0};
    jt_json *v = NULL;
    jt_error e = {0};
    jt_str_printf(&path, "%s/chat/%s", FIXTURES, name);
    if (jt_json_read(jt_str_c(&path), &v, &e)) fail_msg("%s", e.message);
    jt_str_free(&path);
    return v;
}

/* Reads and renders; the text's memory is the caller's. */
static jt_status both(const char *source, size_t n, const jt_json *vars, const jt_template_options *o, jt_template_text *out, jt_error *e) {
    jt_template *t = NULL;
    jt_status s = jt_template_new(source, n, &t, e);
    if (!s) s = jt_template_render_json(t, vars, o, out, e);
    jt_template_free(t);
    return s;
}

static void snippets(void **state) {
    (void)state;
    jt_json *all = fixture("snippets.json");
    const jt_json *list = jt_json_member(all, "snippets"), *vars = jt_json_member(all, "vars");
    const jt_template_options o = {.now_given = 1, .now = 1709211907, .now_micro = 1234};
    size_t wrong = 0;
    assert_in_range(jt_json_count(list), 800, 2000);
    for (size_t i = 0; i < jt_json_count(list); i++) {
        const jt_json *v = jt_json_item(list, i);
        size_t n, n_want = 0;
        const char *t = jt_json_string(jt_json_member(v, "t"), &n), *want = NULL;
        if (jt_json_member(v, "x")) want = jt_json_string(jt_json_member(v, "x"), &n_want);
        jt_template_text got = {0};
        jt_error e = {0};
        jt_status s = both(t, n, vars, &o, &got, &e);
        bool ok = want ? !s && got.n == n_want && !memcmp(got.text, want, n_want) : s && e.message[0];
        if (!ok) {
            wrong++;
            print_message("%s\n  want %s\n  got  %s %s\n", t, want ? want : "a refusal", s ? "" : got.text, e.message);
        }
        jt_template_text_free(&got);
    }
    jt_json_free(all);
    assert_int_equal(wrong, 0);
}

/* Templates of real models over ten conversations. */
static void real_templates(void **state) {
    (void)state;
    jt_json *all = fixture("expected.json");
    const jt_json *talks = jt_json_member(all, "conversations"), *cases;
    const jt_template_options o = {.bos = "<s>", .eos = "</s>", .now_given = 1, .now = 1785067200};
    const char *name;
    void *iter = NULL;
    size_t n_cases = 0;
    while (jt_json_each(jt_json_member(all, "templates"), &iter, &name, &cases)) {
        jt_str path = {0}, source = {0};
        jt_error e = {0};
        jt_str_printf(&path, "%s/chat/templates/%s", FIXTURES, name);
        assert_int_equal(jt_file_read(jt_str_c(&path), &source, &e), JT_OK);
        for (size_t i = 0; i < jt_json_count(cases); i++, n_cases++) {
            const jt_json *v = jt_json_item(cases, i), *text = jt_json_member(v, "text");
            int64_t talk = 0;
            size_t n = 0;
            assert_true(jt_json_i64(jt_json_member(v, "case"), &talk));
            jt_template_text got = {0};
            jt_status s = both(jt_str_c(&source), source.n, jt_json_item(talks, (size_t)talk), &o, &got, &e);
            if (text) {
                const char *want = jt_json_string(text, &n);
                if (s) fail_msg("%s: %s", name, e.message);
                assert_int_equal(got.n, n);
                assert_memory_equal(got.text, want, n);
            } else {
                assert_int_not_equal(s, JT_OK);
                assert_non_null(strstr(e.message, "line "));
            }
            jt_template_text_free(&got);
        }
        jt_str_free(&path), jt_str_free(&source);
    }
    assert_int_equal(n_cases, 90);
    jt_json_free(all);
}

/* What would never end, or fill the machine, ends in a message. */
static void bombs(void **state) {
    (void)state;
    static const char *const bomb[] = {
        "{{ 'x' * 10**9 * 100 }}",
        "{{ [1] * 10**12 }}",
        "{{ range(10**12) }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
        "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(100) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
        "{% for a in range(10000) %}{% for b in range(10000) %}{% for c in range(10000) %}{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:>1000000000}'.format(1) }}",
        "{{ 'a'.center(10**12) }}",
        "{{ ('a' * 100000)|replace('', 'b' * 100000) }}",
        "{{ ('a ' * 1000000).split(' ')|map('upper')|map('upper')|list|sort|unique|list|length * 0 }}{{ 'x' * 2**40 }}",
        "{{ 2 ** 10000 }}",
        "{{ 'a'.zfill(10**10) }}",
        "{{ '\\t'.expandtabs(10**10) }}",
        "{{ 'a'|indent('x' * 10**11) }}",
        "{{ [1]|batch(10**12, 'x')|list }}",
        "{{ [1]|slice(10**12)|list }}",
        "{{ {'a': 1}|tojson(indent=10**10) }}",
    };
    jt_json *vars = NULL;
    jt_error e = {0};
    assert_int_equal(jt_json_parse("{}", 2, &vars, &e), JT_OK);
    for (size_t i = 0; i < sizeof bomb / sizeof *bomb; i++) {
        jt_template_text got = {0};
        e = (jt_error){0};
        const jt_template_options o = {.steps = 2000000, .memory = 32 << 20, .output = 1 << 20};
        jt_status s = both(bomb[i], strlen(bomb[i]), vars, &o, &got, &e);
        if (s != JT_LIMIT && s != JT_UNSUPPORTED) fail_msg("%s: %d %s", bomb[i], s, e.message);
        if (!strstr(e.message, "line 1, column ")) fail_msg("%s: %s", bomb[i], e.message);
    }
    jt_str deep = {0};
    for (int i = 0; i < 100000; i++) jt_str_puts(&deep, "{{ (");
    jt_template *t = NULL;
    assert_int_not_equal(jt_template_new(jt_str_c(&deep), deep.n, &t, &e), JT_OK);
    jt_str_clear(&deep);
    for (int i = 0; i < 100000; i++) jt_str_puts(&deep, "{% if 1 %}");
    assert_int_not_equal(jt_template_new(jt_str_c(&deep), deep.n, &t, &e), JT_OK);
    jt_str_clear(&deep);
    jt_str_puts(&deep, "{{ 1");
    for (int i = 0; i < 100000; i++) jt_str_puts(&deep, " + 1");
    jt_str_puts(&deep, " }}");
    jt_template_text got = {0};
    assert_int_equal(both(jt_str_c(&deep), deep.n, vars, NULL, &got, &e), JT_LIMIT);
    jt_str_free(&deep);
    jt_json_free(vars);
}

/* A message says where. */
static void places(void **state) {
    (void)state;
    static const struct {
        const char *source, *want;
    } row[] = {
        {"a\n  {{ x| nosuch }}", "line 2, column 9: no filter is called \"nosuch\""},
        {"{% if x %}\n\n{{ é + }}", "line 3, column 8: "},
        {"日本 {{ x.y.z }}", "line 1, column 8: 'x' is undefined"},
        {"{% include 'a' %}", "line 1, column 4: include, import"},
        {"{{ raise_exception('No such thing') }}", "line 1, column 19: the template refuses this conversation: No such thing"},
        {"{% for x in 5 %}{% endfor %}", "line 1, column 13: 'int' object is not iterable"},
        {"\xff", "line 1, column 1: a byte that is not UTF-8"},
    };
    jt_json *vars = NULL;
    jt_error e = {0};
    assert_int_equal(jt_json_parse("{}", 2, &vars, &e), JT_OK);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        jt_template_text got = {0};
        assert_int_not_equal(both(row[i].source, strlen(row[i].source), vars, NULL, &got, &e), JT_OK);
        if (strncmp(e.message, row[i].want, strlen(row[i].want)) != 0) fail_msg("%s: %s", row[i].source, e.message);
    }
    jt_json_free(vars);
}

/* What came from the conversation stays known as such, whatever was done to it. */
static void origins(void **state) {
    (void)state;
    static const struct {
        const char *source, *text, *from; /* from: 1 where the conversation said it */
    } row[] = {
        {"<{{ s }}>", "<aBc>", "01110"},
        {"{{ 'x' ~ s|upper ~ 'y' }}", "xABCy", "01110"},
        {"{{ s.replace('B', '--') }}", "a--c", "1001"},
        {"{{ s[::-1] }}{{ s[1:] }}", "cBaBc", "11111"},
        {"{{ {'k': s}|tojson }}", "{\"k\": \"aBc\"}", "0000000111 00"},
        {"{% set x %}[{{ s|trim }}]{% endset %}{{ x }}{{ [s] }}", "[aBc]['aBc']", "011100011100"},
        {"{{ s.split('B')|join('|') }}", "a|c", "101"},
        {"{{ '%s-%s' % (s, 1) }}{{ '{}'.format(s) }}", "aBc-1aBc", "11100111"},
        {"{% for c in s %}{{ c }},{% endfor %}", "a,B,c,", "101010"},
        {"{% macro m(x) %}({{ x }}){% endmacro %}{{ m(s)|replace('(', '') }}", "aBc)", "1110"},
        {"{{ messages[0].role }}{{ messages[1].role }}", "userevil", "00001111"},
        {"{{ ('<'|safe) + s }}{{ s|e }}{{ 'a' if s == 'aBc' }}", "<aBcaBca", "01111110"},
        {"{% for k in d %}{{ k }}{% endfor %}{{ s|indent(2, true) }}", "key  aBc", "11100111"},
    };
    static const char talk[] = "{\"s\": \"aBc\", \"d\": {\"key\": 1}, \"messages\": [{\"role\": \"user\"}, {\"role\": \"evil\"}]}";
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        jt_template *t = NULL;
        jt_template_text got = {0};
        jt_error e = {0};
        assert_int_equal(jt_template_new(row[i].source, strlen(row[i].source), &t, &e), JT_OK);
        if (jt_template_render(t, talk, strlen(talk), NULL, &got, &e)) fail_msg("%s: %s", row[i].source, e.message);
        assert_string_equal(got.text, row[i].text);
        for (size_t k = 0, f = 0; k < got.n; k++, f++) {
            if (row[i].from[f] == ' ') f++;
            if (got.from[k] != row[i].from[f] - '0') fail_msg("%s: byte %zu", row[i].source, k);
        }
        jt_template_text_free(&got);
        jt_template_free(t);
    }
}

static void prepared(void **state) {
    (void)state;
    static const struct {
        const char *source, *talk, *want;
        int hf;
    } row[] = {
        {"{{ tools is defined }}{{ tools is none }}{{ messages[0].x is defined }}", "{\"messages\": [{\"x\": null}]}", "TrueTrueFalse", 1},
        {"{{ tools is defined }}{{ messages[0].x is defined }}", "{\"messages\": [{\"x\": null}]}", "FalseTrue", 0},
        {"{{ messages[0].thinking }}{{ messages[0].reasoning_content }}", "{\"messages\": [{\"reasoning\": \"r\"}]}", "rr", 1},
        {"{% for m in messages %}[{{ m.content }}]{% endfor %}",
         "{\"messages\": [{\"content\": \"a\"}, {\"content\": \"b \"}], \"continue_final_message\": true}", "[a][b ", 0},
        {"{% for m in messages %}[{{ m.content|trim }}]{% endfor %}",
         "{\"messages\": [{\"content\": \"a\"}, {\"content\": \"b \"}], \"continue_final_message\": true}", "[a][b", 0},
        {"{{ messages[0].content[0].text }}!", "{\"messages\": [{\"content\": [{\"text\": \"t\"}]}], \"continue_final_message\": true}",
         "t", 0},
        {"{{ messages[0].reasoning_content }}!",
         "{\"messages\": [{\"reasoning_content\": \"t\"}], \"continue_final_message\": \"reasoning_content\"}", "t", 0},
        {"x", "{\"messages\": [{\"content\": \"a\"}], \"continue_final_message\": true}", NULL, 0},
        {"x", "{\"messages\": [], \"continue_final_message\": true}", NULL, 0},
        {"x", "{\"messages\": [{}], \"continue_final_message\": true}", NULL, 0},
        {"x", "{\"messages\": [{\"content\": []}], \"continue_final_message\": true}", NULL, 0},
        {"x", "{\"messages\": [{\"content\": \"a\"}], \"continue_final_message\": true, \"add_generation_prompt\": true}", NULL, 0},
        {"x", "{\"messages\": [1]}", NULL, 1},
        {"x", "{}", NULL, 1},
        {"x", "[]", NULL, 0},
        {"x", "{", NULL, 0},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        jt_template *t = NULL;
        jt_template_text got = {0};
        jt_error e = {0};
        const jt_template_options o = {.hf = row[i].hf};
        assert_int_equal(jt_template_new(row[i].source, strlen(row[i].source), &t, &e), JT_OK);
        jt_status s = jt_template_render(t, row[i].talk, strlen(row[i].talk), &o, &got, &e);
        if (row[i].want) {
            if (s) fail_msg("%s: %s", row[i].source, e.message);
            assert_string_equal(got.text, row[i].want);
        } else {
            assert_int_not_equal(s, JT_OK);
            assert_true(e.message[0]);
        }
        jt_template_text_free(&got);
        jt_template_free(t);
    }
    jt_template *t = NULL;
    jt_template_text got = {0};
    jt_error e = {0};
    static const char spans[] = "a{% generation %}bc{% endgeneration %}d{% generation %}e{% endgeneration %}";
    assert_int_equal(jt_template_new(spans, sizeof spans - 1, &t, &e), JT_OK);
    assert_int_equal(jt_template_render(t, "{}", 2, NULL, &got, &e), JT_OK);
    assert_string_equal(got.text, "abcde");
    assert_int_equal(got.n_generation, 2);
    assert_true(got.generation[0].begin == 1 && got.generation[0].end == 3 && got.generation[1].begin == 4 && got.generation[1].end == 5);
    jt_template_text_free(&got);
    jt_template_free(t);
}

/* Each allocation fails in turn: at reading, and at rendering. The arenas' blocks are large, so there are few. */
static void failing_allocations(void **state) {
    (void)state;
    jt_str source = {0}, talk = {0};
    jt_error e = {0};
    jt_str_puts(
        &source,
        "{% macro m(x) %}{{ x|upper }}{% endmacro %}{% for m in messages %}{% generation %}{{ m(m.content) if false else m.content * 500 "
        "}}{% endgeneration %}{{ m|tojson }}{% endfor %}");
    for (int i = 0; i < 400; i++) jt_str_puts(&source, "{% set a = [1, 'b', {'c': 2}]|map('string')|list %}");
    jt_str_puts(&talk, "{\"messages\": [");
    for (int i = 0; i < 30; i++) jt_str_printf(&talk, "%s{\"role\": \"user\", \"content\": \"Hi %d\"}", i ? ", " : "", i);
    jt_str_puts(&talk, "]}");
    jt_status st = JT_NOMEM;
    long at = 0;
    for (; st != JT_OK; at++) {
        jt_template *t = NULL;
        jt_template_text got = {0};
        assert_in_range(at, 0, 3000);
        e = (jt_error){0};
        alloc_fail_at(at);
        st = jt_template_new(jt_str_c(&source), source.n, &t, &e);
        if (!st) st = jt_template_render(t, jt_str_c(&talk), talk.n, NULL, &got, &e);
        alloc_fail_at(-1);
        if (st && st != JT_NOMEM) fail_msg("%ld: %s", at, e.message);
        assert_true(!st == !e.message[0]);
        jt_template_text_free(&got);
        jt_template_free(t);
    }
    assert_in_range(at, 20, 3000);
    jt_str_free(&source), jt_str_free(&talk);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(snippets),
                                       cmocka_unit_test(real_templates),
                                       cmocka_unit_test(bombs),
                                       cmocka_unit_test(places),
                                       cmocka_unit_test(origins),
                                       cmocka_unit_test(prepared),
                                       cmocka_unit_test(failing_allocations)};
    return cmocka_run_group_tests_name("jinja", tests, NULL, NULL);
}
