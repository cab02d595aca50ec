/* Tasks are read, items made and judged, results counted; what is wrong in a file is named with its line. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "cli/eval_judge.h"
#include "cli/eval_results.h"
#include "cli/recipe.h"
#include "core/file.h"

static void ok(jt_status s, const jt_error *e) {
    if (s) fail_msg("%s", e->message);
}

static const char choice_task[] = "task: t\noutput_type: multiple_choice\ndata: d.jsonl\n"
                                  "doc_to_text: \"Q: {{q}}\\nA:\"\ndoc_to_choice: \"{{c.text}}\"\n"
                                  "doc_to_target: \"{{c.label.index(key)}}\"\ndoc_to_id: id\nnum_fewshot: 1\ndescription: \"D \"\n";
static const char generate_task[] =
    "task: t\noutput_type: generate_until\ndata: /d.jsonl\ndoc_to_text: q\ndoc_to_target: a\n"
    "ignore_case: true\nignore_punctuation: true\ngeneration_kwargs: {until: [\"\\n\", Q], max_gen_toks: 7}\n"
    "filters:\n  - regex: \"#### (-?[0-9.,]+)\"\n    group_select: -1\n  - remove: \",\"\n  - lower: true\n";
static const char docs_text[] =
    "{\"id\": \"x\", \"q\": \"one?\", \"c\": {\"text\": [\"a\", \"b c\"], \"label\": [\"A\", \"B\"]}, \"key\": \"B\", \"a\": \"1\"}\n\n"
    "{\"id\": \"y\", \"q\": \"two?\", \"c\": {\"text\": [\"d\", \"e\"], \"label\": [\"A\", \"B\"]}, \"key\": \"A\", \"a\": \"2\"}\n";

static char folder[] = "/tmp/jeton-eval-XXXXXX", docs_path[64];

static jt_status task_of(const char *s, jt_task *t, jt_error *e) { return jt_task_parse("dir/t.yaml", s, strlen(s), t, e); }

static void save(const char *path, const char *s) {
    jt_error e;
    jt_str text = {0};
    jt_str_puts(&text, s);
    ok(jt_file_save(path, &text, &e), &e);
    jt_str_free(&text);
}

static int setup(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(docs_path, sizeof docs_path, "%s/d.jsonl", folder);
    save(docs_path, docs_text);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    unlink(docs_path);
    return rmdir(folder);
}

static void choices_are_made(void **state) {
    jt_task t;
    jt_docs d;
    jt_item item;
    jt_error e;
    (void)state;
    ok(task_of(choice_task, &t, &e), &e);
    assert_string_equal(t.data, "dir/d.jsonl");
    ok(jt_docs_read(docs_path, 0, &d, &e), &e);
    assert_int_equal(d.n, 2);
    ok(jt_item_make(&t, &d, NULL, 0, &item, &e), &e);
    assert_string_equal(jt_str_c(&item.context), "D Q: two?\nA: d\n\nQ: one?\nA:"); /* the example is never the item itself */
    assert_string_equal(jt_str_c(&item.id), "\"x\"");
    assert_int_equal(item.n_choice, 2);
    assert_int_equal(item.gold, 1);
    assert_string_equal(jt_str_c(&item.choice[1]), "b c");
    jt_item_free(&item);
    jt_docs_free(&d);
    jt_task_free(&t);
}

static void gold_is_found(void **state) {
    static const struct {
        const char *target, *doc;
        int want; /* -1: refused */
    } row[] = {
        {"key", "{\"key\": 1}", 1},  {"key", "{\"key\": \"1\"}", 2},     {"key", "{\"key\": \"7\"}", 1},
        {"key", "{\"key\": 4}", -1}, {"key", "{\"key\": \"none\"}", -1}, {"\"{{key}}\"", "{\"key\": \"1\"}", 1},
        {"key", "{\"kay\": 1}", -1}, {"\"{{key}}\"", "{}", -1},
    };
    char text[300], path[80];
    (void)state;
    snprintf(path, sizeof path, "%s/g.jsonl", folder);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        jt_task t;
        jt_docs d;
        jt_item item;
        jt_error e;
        snprintf(text, sizeof text,
                 "task: t\noutput_type: multiple_choice\ndata: d\ndoc_to_text: \"x\"\ndoc_to_choice: [\"{{'six'}}\", \"{{7}}\", "
                 "\"{{1}}\"]\ndoc_to_target: %s\n",
                 row[i].target);
        char *x = strstr(text, "\"x\"");
        assert_non_null(x);
        memcpy(x, "'!'", 3);
        ok(task_of(text, &t, &e), &e);
        save(path, row[i].doc);
        ok(jt_docs_read(path, 0, &d, &e), &e);
        jt_status s = jt_item_make(&t, &d, NULL, 0, &item, &e);
        if (row[i].want < 0) assert_true(s != JT_OK && strstr(e.message, "item 0"));
        if (row[i].want >= 0) {
            ok(s, &e);
            assert_int_equal(item.gold, row[i].want);
            jt_item_free(&item);
        }
        jt_docs_free(&d);
        jt_task_free(&t);
    }
    unlink(path);
}

static void answers_are_filtered(void **state) {
    static const char *const row[][2] = {
        {"so 3 #### 1,234 and #### -2,000.5 END", "-2000.5"},
        {"nothing", "[invalid]"},
        {"#### 7", "7"},
    };
    jt_task t;
    jt_judge j;
    jt_error e;
    (void)state;
    ok(task_of(generate_task, &t, &e), &e);
    assert_string_equal(t.data, "/d.jsonl");
    assert_int_equal(t.n_until, 2);
    assert_int_equal(t.max_tokens, 7);
    ok(jt_judge_open(&t, &j, &e), &e);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        jt_str out = {0};
        ok(jt_judge_filter(&j, row[i][0], strlen(row[i][0]), &out, &e), &e);
        assert_string_equal(jt_str_c(&out), row[i][1]);
        jt_str_free(&out);
    }
    jt_judge_close(&j);
    jt_task_free(&t);
}

/* Two choices with sums -2 and -3, of 1 and 3 characters: the first by acc, the second by acc_norm. */
static void likelihoods_are_judged(void **state) {
    jt_task t;
    jt_docs d;
    jt_item item;
    jt_judge j;
    jt_error e;
    int32_t id[2] = {1, 2};
    float one[1] = {-2}, two[2] = {-1.25F, -1.75F};
    int length[2] = {1, 2};
    jt_batch_answer answer[2] = {{.a = {.id = id, .logprob = one, .raw_logprob = one, .n = 1}},
                                 {.a = {.id = id, .logprob = two, .raw_logprob = two, .n = 2}}};
    jt_batch_result b = {.answer = answer, .n = 2};
    jt_item_request r = {.length = length, .answers = 2};
    jt_str out = {0};
    (void)state;
    ok(task_of(choice_task, &t, &e), &e);
    ok(jt_docs_read(docs_path, 0, &d, &e), &e);
    ok(jt_item_make(&t, &d, NULL, 0, &item, &e), &e);
    ok(jt_judge_open(&t, &j, &e), &e);
    jt_str_puts(&answer[0].note, "1"), jt_str_puts(&answer[1].note, "1");
    ok(jt_judge_line(&j, &item, &r, &b, &out, &e), &e);
    assert_non_null(
        strstr(jt_str_c(&out),
               "\"loglikelihood\": [-2, -3], \"raw_loglikelihood\": [-2, -3], \"tokens\": [1, 2], \"greedy\": [true, false], "
               "\"gold\": 1, \"answer\": 0, \"answer_norm\": 1, \"metrics\": {\"acc\": 0, \"acc_norm\": 1, \"gold_logprob\": -3}}\n"));
    length[1] = 3; /* the answer was cut */
    assert_int_equal(jt_judge_line(&j, &item, &r, &b, &out, &e), JT_INVALID);
    jt_str_free(&answer[0].note), jt_str_free(&answer[1].note);
    jt_str_free(&out);
    jt_judge_close(&j);
    jt_item_free(&item);
    jt_docs_free(&d);
    jt_task_free(&t);
}

/* ---- numbers ---- */

static double mean_of(const void *self, const uint32_t *pick, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += ((const double *)self)[pick[i]];
    return sum / (double)n;
}

static void intervals_are_known(void **state) {
    jt_interval w = jt_wilson(7, 10);
    jt_bootstrap b;
    jt_error e;
    double x[400];
    (void)state;
    assert_true(fabs(w.low - 0.3967781) < 1e-6 && fabs(w.high - 0.8922087) < 1e-6); /* statsmodels, method="wilson" */
    w = jt_wilson(0, 20);
    assert_true(w.low == 0 && fabs(w.high - 0.1611252) < 1e-6);
    for (int i = 0; i < 400; i++) x[i] = i % 4 == 0;
    assert_true(fabs(jt_mean_error(x, 400, 1) - sqrt(0.25 * 0.75 * 400 / 399 / 400)) < 1e-12);
    ok(jt_bootstrap_run(mean_of, x, 400, JT_RESAMPLES, 5, &b, &e), &e);
    /* The mean of a resample is a binomial of 400 at 0.25: its 2.5 and 97.5 % points are 0.2100 and 0.2925. */
    assert_true(b.value == 0.25 && fabs(b.range.low - 0.21) <= 0.005 && fabs(b.range.high - 0.2925) <= 0.005 && b.sign == 0);
    jt_bootstrap again;
    ok(jt_bootstrap_run(mean_of, x, 400, JT_RESAMPLES, 5, &again, &e), &e);
    assert_memory_equal(&b, &again, sizeof b);
    for (int i = 0; i < 400; i++) x[i] = 3;
    ok(jt_bootstrap_run(mean_of, x, 400, 100, 5, &b, &e), &e);
    assert_true(b.value == 3 && b.range.low == 3 && b.range.high == 3);
    assert_int_equal(jt_bootstrap_run(mean_of, x, 0, 100, 5, &b, &e), JT_INVALID);
}

static void add_line(jt_eval_results *r, int index, int item, double acc) {
    char line[160];
    jt_error e;
    int n = snprintf(line, sizeof line, "{\"index\": %d, \"item\": \"%016x\", \"metrics\": {\"acc\": %g, \"tokens\": 3}}", index,
                     (unsigned)item, acc);
    ok(jt_eval_results_add(r, line, (size_t)n, &e), &e);
}

/* Of 200 items 120 are alike, A alone has 20 and B alone 60: the difference is 0.2, and its variance (80 - 40 * 40 / 200) / 200. */
static void pairs_are_compared(void **state) {
    jt_eval_results a = {0}, b = {0};
    jt_measure m[JT_EVAL_METRICS];
    jt_bootstrap d;
    jt_error e;
    (void)state;
    for (int i = 199; i >= 0; i--) add_line(&a, i, i + 1, i < 20 || i >= 140), add_line(&b, i, i + 1, i >= 80 || (i >= 20 && i < 80));
    add_line(&a, 300, 1, 1);
    jt_eval_results_sort(&a), jt_eval_results_sort(&b);
    ok(jt_eval_results_pair(&a, &b, &e), &e);
    assert_int_equal(a.n, 200);
    assert_int_equal(jt_measures(&a, m), 2);
    assert_true(m[0].proportion && !m[1].proportion);
    ok(jt_measure_paired(&a, &b, &m[0], &m[0], 1, &d, &e), &e);
    double value = 0, squares = 0;
    for (int i = 0; i < 200; i++) {
        double x = b.row[i].x[0] - a.row[i].x[0];
        value += x / 200, squares += x * x;
    }
    double half = 1.96 * sqrt((squares / 200 - value * value) / 200);
    assert_true(fabs(d.value - value) < 1e-12 && value > 0.1);
    assert_true(fabs(d.range.low - (value - half)) < 0.01 && fabs(d.range.high - (value + half)) < 0.01 && d.sign == 0);
    ok(jt_measure_paired(&a, &a, &m[0], &m[0], 1, &d, &e), &e);
    assert_true(d.value == 0 && d.range.low == 0 && d.range.high == 0 && d.sign == 1);
    b.row[7].item = 999;
    assert_int_equal(jt_eval_results_pair(&a, &b, &e), JT_INVALID);
    jt_eval_results_free(&a);
    jt_eval_results_free(&b);
}

/* ---- what is wrong ---- */

static const char head[] = "task: t\noutput_type: generate_until\ndata: d\n";

static void bad_tasks_are_refused(void **state) {
    static const char *const bad[][2] = {
        {"", "t.yaml:1: "},
        {"- a\n", "t.yaml:1: "},
        {"task: t\n", "\"output_type\" is missing"},
        {"task: t\noutput_typ: x\n", "t.yaml:2: a task has no key \"output_typ\"; did you mean \"output_type\"?"},
        {"task: t\noutput_type: maybe\n", "t.yaml:2: \"output_type\" takes one of"},
        {"task: [a]\n", "t.yaml:1: \"task\" takes text, not a list"},
        {"task: t\ntask: u\n", "t.yaml:2: \"task\" is there twice"},
        {"task: &a t\ndata: *a\n", "t.yaml:1: an anchor"},
        {"task: t\ndata: *a\n", "alias"},
        {"task: !!str t\n", "t.yaml:1: a tag"},
        {"? [a]\n: b\n", "t.yaml:1: a key must be a word"},
        {"task: t\n---\ntask: u\n", "t.yaml:3: a second document"},
        {"task: \"\\0\"\n", "t.yaml:1: a text with a zero byte"},
        {"task: t\n  bad: [\n", "not valid YAML"},
        {"a: [[[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]]\n", "t.yaml:1: more than 16 levels"},
        {"@doc_to_text: \"{{\"\n", "t.yaml:4: doc_to_text: "},
        {"@doc_to_text: q\nnum_fewshot: 2000\n", "t.yaml:5: \"num_fewshot\" takes a whole number from 0 to 1000, not \"2000\""},
        {"@doc_to_text: q\nnum_fewshot: \"2\"\n", "t.yaml:5: \"num_fewshot\" takes"},
        {"@doc_to_text: q\nnum_fewshot: 2\n", "needs \"doc_to_target\""},
        {"@doc_to_text: q\ndoc_to_choice: c\n", "t.yaml:5: \"doc_to_choice\" is for multiple_choice"},
        {"@doc_to_text: q\nfilters: {regex: a}\n", "t.yaml:5: \"filters\" takes a list"},
        {"@doc_to_text: q\nfilters:\n- {regex: a, strip: true}\n", "t.yaml:6: a filter is one of"},
        {"@doc_to_text: q\nfilters:\n- {remove: a, fallback: b}\n", "t.yaml:6: \"group_select\" and \"fallback\" go with"},
        {"@doc_to_text: q\nchat: yes\n", "t.yaml:5: \"chat\" takes true or false, not \"yes\""},
        {"@doc_to_text: q\nsystem: s\n", "t.yaml:5: \"system\" needs chat: true"},
        {"@doc_to_text: q\ngeneration_kwargs:\n  until: [{a: b}]\n", "t.yaml:6: \"until\" takes text or a list of texts"},
        {"@doc_to_text: q\ngeneration_kwargs:\n  until: \"\"\n", "t.yaml:6: \"until\" has an empty text"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[600];
        jt_task t;
        jt_error e = {0};
        snprintf(text, sizeof text, "%s%s", bad[i][0][0] == '@' ? head : "", bad[i][0] + (bad[i][0][0] == '@'));
        assert_true(task_of(text, &t, &e) != JT_OK);
        if (!strstr(e.message, bad[i][1]) || !strstr(e.message, "t.yaml:")) fail_msg("%s: %s", bad[i][0], e.message);
    }
}

static void large_files_are_refused(void **state) {
    jt_str s = {0};
    jt_yaml y;
    jt_error e;
    (void)state;
    for (int i = 0; i < 20001; i++) jt_str_puts(&s, i ? ",a" : "a: [a");
    jt_str_puts(&s, "]\n");
    assert_int_equal(jt_yaml_parse("t.yaml", s.s, s.n, &y, &e), JT_LIMIT);
    assert_non_null(strstr(e.message, "t.yaml:1: more than 20000 values"));
    jt_yaml_free(&y);
    jt_str_clear(&s);
    while (s.n < 1 << 20) jt_str_puts(&s, "# a comment that goes on and on\n");
    jt_str_puts(&s, "a: b\n");
    assert_int_equal(jt_yaml_parse("t.yaml", s.s, s.n, &y, &e), JT_LIMIT);
    jt_yaml_free(&y);
    jt_str_free(&s);
}

static const char good_recipe[] = "recipe: r\nmethod: top-p\nclaim: c\nsource: s\nmodel: m\ntask: t.yaml\nseeds: [1, 2]\neffects:\n"
                                  "- {what: w, measure: acc, direction: lower, at_least: 0.1, with: top-p:0.5, without: greedy}\n"
                                  "neutral: {with: top-p:1, without: \"temp:1\"}\n";

static void recipes_are_read(void **state) {
    static const char *const bad[][3] = {
        {"seeds: [1, 2]", "seeds: [1, 1]", "r.yaml:7: the seed 1 is there twice"},
        {"seeds: [1, 2]", "seeds: 1", "r.yaml:7: \"seeds\" takes a list"},
        {"at_least: 0.1", "at_least: 0", "r.yaml:9: \"at_least\" takes a number from 1e-09"},
        {"with: top-p:0.5", "with: greedy", "r.yaml:9: \"with\" and \"without\" are the same pipeline"},
        {"with: top-p:0.5", "with: top-q:0.5", "the nearest is"},
        {"with: top-p:0.5", "with: \"top-p:2\"", "r.yaml:9: "},
        {"direction: lower, ", "", "r.yaml:9: \"direction\" is missing"},
        {"neutral:", "natural:", "r.yaml:10: a recipe has no key \"natural\"; did you mean \"neutral\"?"},
    };
    jt_recipe r;
    jt_error e;
    (void)state;
    ok(jt_recipe_parse("d/r.yaml", good_recipe, strlen(good_recipe), &r, &e), &e);
    assert_int_equal(r.n_arm, 4);
    assert_int_equal(r.n_seed, 2);
    assert_string_equal(r.task, "d/t.yaml");
    assert_true(r.effect[0].lower && r.effect[0].at_least == 0.1);
    jt_recipe_free(&r);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[800];
        const char *at = strstr(good_recipe, bad[i][0]);
        assert_non_null(at);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good_recipe), good_recipe, bad[i][1], at + strlen(bad[i][0]));
        assert_true(jt_recipe_parse("d/r.yaml", text, strlen(text), &r, &e) != JT_OK);
        if (!strstr(e.message, bad[i][2]) || !strstr(e.message, "d/r.yaml:")) fail_msg("%s: %s", bad[i][1], e.message);
    }
}

/* Items of four arms and two seeds: arm 0 has acc 0.2 less than arm 1 at every item, arms 2 and 3 are alike. */
static void effects_are_judged(void **state) {
    jt_recipe r;
    jt_eval_results results[8] = {{{{0}}}};
    jt_effect_found f;
    jt_error e;
    (void)state;
    ok(jt_recipe_parse("r.yaml", good_recipe, strlen(good_recipe), &r, &e), &e);
    for (int arm = 0; arm < 4; arm++)
        for (int seed = 0; seed < 2; seed++)
            for (int i = 0; i < 30; i++) add_line(&results[arm * 2 + seed], i, i + 1, (i % 5) + 0.01 * seed - (arm == 0 ? 0.2 : 0));
    ok(jt_effect_find(&r, &r.effect[0], "acc", results, &f, &e), &e);
    assert_true(fabs(f.b.value - 0.2) < 1e-12 && fabs(f.b.range.low - 0.2) < 1e-9 && fabs(f.b.range.high - 0.2) < 1e-9);
    assert_true(f.cells == 60 && f.equal == 0 && fabs(f.without - f.with - 0.2) < 1e-12);
    assert_int_equal(jt_effect_judge(&r.effect[0], &f), JT_AGREES);
    assert_false(jt_control_holds(&f));
    r.effect[0].at_least = 0.3;
    assert_int_equal(jt_effect_judge(&r.effect[0], &f), JT_DISAGREES);
    f.b.range.high = 0.4;
    assert_int_equal(jt_effect_judge(&r.effect[0], &f), JT_CANNOT_TELL);
    ok(jt_effect_find(&r, &r.neutral, "acc", results, &f, &e), &e);
    assert_true(f.equal == 60 && f.b.value == 0 && jt_control_holds(&f));
    assert_int_equal(jt_effect_find(&r, &r.neutral, "none", results, &f, &e), JT_INVALID);
    results[3].row[4].item = 77;
    assert_int_equal(jt_effect_find(&r, &r.effect[0], "acc", results, &f, &e), JT_INVALID);
    for (int i = 0; i < 8; i++) jt_eval_results_free(&results[i]);
    jt_recipe_free(&r);
}

static void memory_may_fail(void **state) {
    (void)state;
    for (long i = 0, done = 0; !done; i++) {
        jt_task t = {0}, g = {0};
        jt_docs d = {0};
        jt_item item = {0};
        jt_recipe r = {0};
        jt_error e;
        alloc_fail_at(i);
        jt_status s = task_of(choice_task, &t, &e);
        if (!s) s = task_of(generate_task, &g, &e);
        if (!s) s = jt_docs_read(docs_path, 0, &d, &e);
        if (!s) s = jt_item_make(&t, &d, NULL, 0, &item, &e);
        if (!s) s = jt_recipe_parse("r.yaml", good_recipe, strlen(good_recipe), &r, &e);
        alloc_fail_at(-1);
        if (s) assert_int_equal(s, JT_NOMEM);
        done = !s;
        jt_item_free(&item);
        jt_docs_free(&d);
        jt_task_free(&t);
        jt_task_free(&g);
        jt_recipe_free(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(choices_are_made),       cmocka_unit_test(gold_is_found),           cmocka_unit_test(answers_are_filtered),
        cmocka_unit_test(likelihoods_are_judged), cmocka_unit_test(intervals_are_known),     cmocka_unit_test(pairs_are_compared),
        cmocka_unit_test(bad_tasks_are_refused),  cmocka_unit_test(large_files_are_refused), cmocka_unit_test(recipes_are_read),
        cmocka_unit_test(effects_are_judged),     cmocka_unit_test(memory_may_fail),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
