/* Reading command lines by their tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "cli/command.h"

static int nothing(const jt_args *a) {
    (void)a;
    return 0;
}

static const jt_opt opts[] = {
    {"count", 'n', JT_OPT_INT, "N", "7", 1, 100, "how many"},
    {"seed", 's', JT_OPT_U64, "N", NULL, 0, 0, "where to begin"},
    {"rate", 'r', JT_OPT_REAL, "X", "0.5", 0, 1, "how fast"},
    {"name", 0, JT_OPT_TEXT, "TEXT", NULL, 0, 0, "what it is called"},
    {"mode", 'm', JT_OPT_CHOICE, "int8|float", "int8", 0, 0, "in which way"},
    {"stop", 0, JT_OPT_LIST, "TEXT", NULL, 0, 0, "where to end"},
    {"all", 'a', JT_OPT_FLAG, NULL, NULL, 0, 0, "everything"},
    {"brief", 'b', JT_OPT_FLAG, NULL, NULL, 0, 0, "in few words"},
    {0},
};
static const jt_pos pos[] = {{"FIRST", JT_POS_FILE, false, false, "a file"}, {"SECOND", JT_POS_TEXT, true, false, "more"}, {0}};
static const jt_command command = {.name = "try", .summary = "try it", .opt = opts, .pos = pos, .run = nothing};

enum { MOST = 16 };
static jt_status parse(jt_args *a, jt_error *err, const char *const *words) {
    static char text[MOST][64];
    char *argv[MOST];
    int n = 0;
    for (; words[n]; n++) {
        assert_true(n < MOST && strlen(words[n]) < sizeof text[0]);
        memcpy(text[n], words[n], strlen(words[n]) + 1);
        argv[n] = text[n];
    }
    jt_status s = jt_args_init(a, &command, err);
    return s ? s : jt_args_parse(a, n, argv, err);
}
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void defaults_stand(void **state) {
    (void)state;
    jt_args a;
    jt_error err;
    assert_int_equal(parse(&a, &err, WORDS("file")), JT_OK);
    assert_int_equal(jt_arg_int(&a, "count"), 7);
    assert_int_equal(jt_arg_u64(&a, "seed"), 0);
    assert_true(jt_arg_real(&a, "rate") == 0.5);
    assert_null(jt_arg_text(&a, "name"));
    assert_string_equal(jt_arg_text(&a, "mode"), "int8");
    assert_false(jt_arg_flag(&a, "all"));
    assert_false(jt_arg_given(&a, "count"));
    assert_string_equal(jt_arg_pos(&a, 0), "file");
    assert_null(jt_arg_pos(&a, 1));
    jt_args_free(&a);
}

static void every_spelling(void **state) {
    (void)state;
    static const char *const lines[][8] = {
        {"--count", "9", "f"}, {"f", "--count=9"}, {"-n", "9", "f"}, {"-n9", "f"}, {"-an9", "f"}, {"-n", "3", "--count", "9", "f"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        jt_args a;
        jt_error err;
        assert_int_equal(parse(&a, &err, lines[i]), JT_OK);
        assert_int_equal(jt_arg_int(&a, "count"), 9);
        assert_true(jt_arg_given(&a, "count"));
        assert_string_equal(jt_arg_pos(&a, 0), "f");
        assert_int_equal(jt_arg_flag(&a, "all"), i == 4);
        jt_args_free(&a);
    }
}

static void values_of_each_type(void **state) {
    (void)state;
    jt_args a;
    jt_error err;
    int n;
    assert_int_equal(
        parse(&a, &err,
              WORDS("-s", "18446744073709551615", "-r1", "--name=", "--mode", "float", "--stop", "one", "-ab", "--stop=two", "x", "y")),
        JT_OK);
    assert_true(jt_arg_u64(&a, "seed") == UINT64_MAX);
    assert_true(jt_arg_real(&a, "rate") == 1);
    assert_string_equal(jt_arg_text(&a, "name"), "");
    assert_string_equal(jt_arg_text(&a, "mode"), "float");
    assert_true(jt_arg_flag(&a, "all") && jt_arg_flag(&a, "brief"));
    const char *const *list = jt_arg_list(&a, "stop", &n);
    assert_int_equal(n, 2);
    assert_string_equal(list[0], "one");
    assert_string_equal(list[1], "two");
    assert_string_equal(jt_arg_pos(&a, 1), "y");
    jt_args_free(&a);
}

static void values_that_look_like_options(void **state) {
    (void)state;
    jt_args a;
    jt_error err;
    assert_int_equal(parse(&a, &err, WORDS("--name", "--all", "-", "--", "-b")), JT_OK);
    assert_string_equal(jt_arg_text(&a, "name"), "--all");
    assert_string_equal(jt_arg_pos(&a, 0), "-");
    assert_string_equal(jt_arg_pos(&a, 1), "-b");
    assert_false(jt_arg_flag(&a, "all") || jt_arg_flag(&a, "brief"));
    jt_args_free(&a);
    assert_int_equal(parse(&a, &err, WORDS("f", "--all", "--all=false")), JT_OK);
    assert_false(jt_arg_flag(&a, "all"));
    jt_args_free(&a);
}

static void what_is_wrong_is_named(void **state) {
    (void)state;
    static const struct {
        const char *words[8];
        jt_status status;
        const char *part[2]; /* both stand in the message */
    } cases[] = {
        {{"f", "--cuont", "3"}, JT_UNKNOWN, {"--cuont", "did you mean --count?"}},
        {{"f", "--bri"}, JT_UNKNOWN, {"--bri", "did you mean --brief?"}},
        {{"f", "--zzzzzzzzzz"}, JT_UNKNOWN, {"--zzzzzzzzzz", "try"}},
        {{"f", "-all"}, JT_UNKNOWN, {"-l", "try"}},
        {{"f", "-name"}, JT_INVALID, {"--count", "\"ame\""}},
        {{"f", "-rate"}, JT_INVALID, {"--rate", "\"ate\""}},
        {{"f", "-count"}, JT_UNKNOWN, {"-count", "did you mean --count?"}},
        {{"f", "--count", "101"}, JT_INVALID, {"--count: \"101\"", "from 1 to 100"}},
        {{"f", "--count", "0"}, JT_INVALID, {"--count", "from 1 to 100"}},
        {{"f", "--count", "3.5"}, JT_INVALID, {"--count", "whole number"}},
        {{"f", "--count", "99999999999999999999"}, JT_INVALID, {"--count", "from 1 to 100"}},
        {{"f", "--count="}, JT_INVALID, {"--count", "\"\""}},
        {{"f", "--seed", "-1"}, JT_INVALID, {"--seed", "2^64"}},
        {{"f", "--rate", "1.5"}, JT_INVALID, {"--rate", "from 0 to 1"}},
        {{"f", "--rate", "nan"}, JT_INVALID, {"--rate", "from 0 to 1"}},
        {{"f", "--mode", "int"}, JT_INVALID, {"--mode", "int8|float"}},
        {{"f", "--mode", ""}, JT_INVALID, {"--mode", "int8|float"}},
        {{"f", "--all=maybe"}, JT_INVALID, {"--all", "neither true nor false"}},
        {{"f", "--name"}, JT_INVALID, {"--name needs a value", "TEXT"}},
        {{"f", "-n"}, JT_INVALID, {"-n needs a value", "N"}},
        {{"--all"}, JT_INVALID, {"FIRST", "a file"}},
        {{"a", "b", "c"}, JT_INVALID, {"\"c\"", "at most 2 arguments"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        jt_args a;
        jt_error err = {0};
        assert_int_equal(parse(&a, &err, cases[i].words), cases[i].status);
        assert_int_equal(err.code, cases[i].status);
        for (int k = 0; k < 2; k++)
            if (!strstr(err.message, cases[i].part[k])) fail_msg("case %zu: no \"%s\" in \"%s\"", i, cases[i].part[k], err.message);
        jt_args_free(&a);
    }
}

static void help_comes_before_complaints(void **state) {
    (void)state;
    jt_args a;
    jt_error err;
    assert_int_equal(parse(&a, &err, WORDS("--help", "--nonsense")), JT_OK);
    assert_true(jt_arg_flag(&a, "help"));
    jt_args_free(&a);
}

static void failed_allocations(void **state) {
    (void)state;
    for (long i = 0;; i++) {
        jt_args a;
        jt_error err = {0};
        alloc_fail_at(i);
        jt_status s = parse(&a, &err, WORDS("--stop", "one", "--stop", "two", "f"));
        alloc_fail_at(-1);
        jt_args_free(&a);
        if (s == JT_OK) {
            assert_true(i > 0);
            break;
        }
        assert_int_equal(s, JT_NOMEM);
        assert_true(err.message[0]);
    }
}

static void nearest_names(void **state) {
    (void)state;
    static const char *const names[] = {"run", "chat", "tokenize", "methods"};
    static const struct {
        const char *typed, *best;
    } cases[] = {{"rnu", "run"}, {"chta", "chat"}, {"tok", "tokenize"}, {"method", "methods"}, {"xyzzy", NULL}, {"q", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        jt_nearest n = {.to = cases[i].typed};
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) jt_nearest_add(&n, names[k]);
        const char *best = jt_nearest_get(&n);
        if (!cases[i].best)
            assert_null(best);
        else
            assert_string_equal(best, cases[i].best);
    }
}

/* What every command's table must hold for help, completion and the config file to work. */
static void tables_are_sound(void **state) {
    (void)state;
    for (int i = 0; jt_commands[i]; i++) {
        const jt_command *c = jt_commands[i];
        jt_args a;
        jt_error err;
        assert_non_null(c->run);
        assert_non_null(c->summary);
        assert_ptr_equal(jt_command_find(c->name), c);
        if (jt_args_init(&a, c, &err)) fail_msg("%s: a default is not valid: %s", c->name, err.message);
        jt_args_free(&a);
        const jt_opt *o;
        for (int j = 0; (o = jt_command_opt(c, j)); j++) {
            if (jt_command_find_opt(c, o->name, strlen(o->name)) != j) fail_msg("%s has --%s twice", c->name, o->name);
            if (!o->help || (o->type != JT_OPT_FLAG) != (o->metavar != NULL)) fail_msg("%s --%s: help or metavar", c->name, o->name);
            if (o->type == JT_OPT_FLAG && o->fallback) fail_msg("%s --%s: a flag is off by default", c->name, o->name);
            const jt_opt *p;
            for (int k = 0; o->letter && k < j && (p = jt_command_opt(c, k)); k++)
                if (p->letter == o->letter) fail_msg("%s: -%c is --%s and --%s", c->name, o->letter, p->name, o->name);
        }
        assert_true(jt_command_find_opt(c, "help", 4) < JT_MAX_OPTS);
        char word[32];
        const char *space = strchr(c->name, ' ');
        if (space) {
            snprintf(word, sizeof word, "%.*s", (int)(space - c->name), c->name);
            assert_non_null(jt_group_find(word));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_stand),         cmocka_unit_test(every_spelling),
        cmocka_unit_test(values_of_each_type),    cmocka_unit_test(values_that_look_like_options),
        cmocka_unit_test(what_is_wrong_is_named), cmocka_unit_test(help_comes_before_complaints),
        cmocka_unit_test(failed_allocations),     cmocka_unit_test(nearest_names),
        cmocka_unit_test(tables_are_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
