/* Defaults from the config file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "cli/config.h"

static char path[] = "/tmp/jeton-config-XXXXXX";

static int make_file(void **state) {
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 || close(fd);
}

static int remove_file(void **state) {
    (void)state;
    return unlink(path);
}

static void put(const char *text) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

/* Parses a line of up to three words for `name`, then applies the file. */
static jt_status apply(const char *name, const char *yaml, const char *const *words, jt_args *a, jt_error *err) {
    static char text[3][64];
    char *argv[3];
    int n = 0;
    for (; words && words[n]; n++) {
        memcpy(text[n], words[n], strlen(words[n]) + 1);
        argv[n] = text[n];
    }
    put(yaml);
    const jt_command *c = jt_command_find(name);
    assert_non_null(c);
    jt_status s = jt_args_init(a, c, err);
    if (!s) s = jt_args_parse(a, n, argv, err);
    return s ? s : jt_config_apply(path, a, err);
}

static void innermost_counts(void **state) {
    (void)state;
    static const char yaml[] = "# mine\nthreads: 3\nctx: 512\nrun:\n  ctx: 1024\n  decode: 'temp:0.7 | top-p:0.9'\n  raw: true\n  stop: "
                               "[END, '###']\nchat: {ctx: 64}\n";
    jt_args a;
    jt_error err;
    int n;
    assert_int_equal(apply("run", yaml, NULL, &a, &err), JT_OK);
    assert_int_equal(jt_arg_int(&a, "threads"), 3);
    assert_int_equal(jt_arg_int(&a, "ctx"), 1024);
    assert_string_equal(jt_arg_text(&a, "decode"), "temp:0.7 | top-p:0.9");
    assert_true(jt_arg_flag(&a, "raw") && jt_arg_given(&a, "raw"));
    const char *const *stop = jt_arg_list(&a, "stop", &n);
    assert_int_equal(n, 2);
    assert_string_equal(stop[1], "###");
    jt_args_free(&a);
    assert_int_equal(apply("chat", yaml, NULL, &a, &err), JT_OK);
    assert_int_equal(jt_arg_int(&a, "ctx"), 64);
    jt_args_free(&a);
    assert_int_equal(apply("version", yaml, NULL, &a, &err), JT_OK);
    jt_args_free(&a);
}

static void command_line_counts_before_all(void **state) {
    (void)state;
    jt_args a;
    jt_error err;
    int n;
    const char *const words[] = {"--ctx=7", "--raw=false", "--stop=x", NULL};
    assert_int_equal(apply("run", "ctx: 9\nrun: {ctx: 8, raw: true, stop: [a, b]}\n", words, &a, &err), JT_OK);
    assert_int_equal(jt_arg_int(&a, "ctx"), 7);
    assert_false(jt_arg_flag(&a, "raw"));
    const char *const *stop = jt_arg_list(&a, "stop", &n);
    assert_int_equal(n, 1);
    assert_string_equal(stop[0], "x");
    jt_args_free(&a);
}

static void inner_list_replaces_outer(void **state) {
    (void)state;
    jt_args a;
    jt_error err;
    int n;
    assert_int_equal(apply("run", "stop: [a, b]\nrun: {stop: c}\n", NULL, &a, &err), JT_OK);
    assert_string_equal(jt_arg_list(&a, "stop", &n)[0], "c");
    assert_int_equal(n, 1);
    jt_args_free(&a);
}

static void empty_files_are_fine(void **state) {
    (void)state;
    static const char *const files[] = {"", "# nothing\n", "---\n", "run: {}\n"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        jt_args a;
        jt_error err;
        assert_int_equal(apply("run", files[i], NULL, &a, &err), JT_OK);
        jt_args_free(&a);
    }
}

static void errors_name_the_line(void **state) {
    (void)state;
    static const struct {
        const char *yaml;
        jt_status status;
        const char *part[2];
    } cases[] = {
        {"threads: 1\nthraeds: 2\n", JT_UNKNOWN, {":2: ", "did you mean \"threads\"?"}},
        {"rnu: {ctx: 1}\n", JT_UNKNOWN, {":1: ", "did you mean \"run\"?"}},
        {"run:\n  ctx: 1\n  dcode: x\n", JT_UNKNOWN, {":3: no option \"dcode\" of run", "did you mean \"decode\"?"}},
        {"run:\n  qwertyuiop: x\n", JT_UNKNOWN, {":2: ", "qwertyuiop"}},
        {"help: true\n", JT_UNKNOWN, {":1: ", "help"}},
        {"run: {config: x}\n", JT_UNKNOWN, {":1: ", "config"}},
        {"version: {threads: 1}\n", JT_UNKNOWN, {":1: ", "no option \"threads\" of version"}},
        {"threads: many\n", JT_INVALID, {":1: ", "--threads: \"many\""}},
        {"chat:\n  seed: -4\n", JT_INVALID, {":2: ", "--seed"}},
        {"run:\n  raw: yes\n", JT_INVALID, {":2: ", "neither true nor false"}},
        {"threads:\n", JT_INVALID, {":1: ", "no value"}},
        {"threads: [1, 2]\n", JT_INVALID, {":1: ", "takes one value"}},
        {"threads: 1\nctx: 2\nthreads: 3\n", JT_FORMAT, {":3: ", "set twice"}},
        {"[a]: 1\n", JT_FORMAT, {":1: ", "a key must be"}},
        {"- threads\n", JT_FORMAT, {":1: ", "expected lines such as"}},
        {"threads: 1\n\tctx: 2\n", JT_FORMAT, {":2: ", "not valid YAML"}},
        {"a: \"\n", JT_FORMAT, {"not valid YAML", path}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        jt_args a;
        jt_error err = {0};
        jt_status s = apply("run", cases[i].yaml, NULL, &a, &err);
        if (s != cases[i].status) fail_msg("case %zu: %s: %s", i, jt_status_name(s), err.message);
        for (int k = 0; k < 2; k++)
            if (!strstr(err.message, cases[i].part[k])) fail_msg("case %zu: no \"%s\" in \"%s\"", i, cases[i].part[k], err.message);
        jt_args_free(&a);
    }
}

static void named_file_must_exist(void **state) {
    (void)state;
    jt_args a;
    jt_error err;
    assert_int_equal(jt_args_init(&a, jt_command_find("run"), &err), JT_OK);
    assert_int_equal(jt_config_apply("/nonexistent/config.yaml", &a, &err), JT_NOTFOUND);
    assert_int_equal(jt_config_apply("", &a, &err), JT_OK);
    jt_args_free(&a);
}

static void failed_allocations(void **state) {
    (void)state;
    for (long i = 0;; i++) {
        jt_args a;
        jt_error err = {0};
        assert_int_equal(jt_args_init(&a, jt_command_find("run"), &err), JT_OK);
        put("ctx: 5\nchat: {seed: 3}\nrun: {stop: [a, b], decode: greedy}\n");
        alloc_fail_at(i);
        jt_status s = jt_config_apply(path, &a, &err);
        alloc_fail_at(-1);
        jt_args_free(&a);
        if (s == JT_OK) {
            assert_true(i > 5);
            break;
        }
        if (s != JT_NOMEM && s != JT_IO) fail_msg("allocation %ld: %s: %s", i, jt_status_name(s), err.message);
        assert_true(err.message[0]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(innermost_counts),          cmocka_unit_test(command_line_counts_before_all),
        cmocka_unit_test(inner_list_replaces_outer), cmocka_unit_test(empty_files_are_fine),
        cmocka_unit_test(errors_name_the_line),      cmocka_unit_test(named_file_must_exist),
        cmocka_unit_test(failed_allocations),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
