/* Typed reading of config.json: kinds, defaults, nulls, nested keys; every message names the key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/config_json.h"

#define assert_has(text, part)                                                                                                             \
    do {                                                                                                                                   \
        if (!strstr(text, part)) fail_msg("\"%s\" does not contain \"%s\"", text, part);                                                   \
    } while (0)

static const char TEXT[] =
    "{\"layers\": 30, \"theta\": 1e4, \"tied\": true, \"act\": \"silu\", \"none\": null, \"big\": 9223372036854775807,"
    " \"rope\": {\"factor\": 8, \"type\": \"llama3\", \"inner\": {\"x\": -1}}, \"eos\": [1, 2], \"f\": [0.5, 1], \"mixed\": [1, \"a\"]}";

static void test_getters(void **state) {
    (void)state;
    jt_json *c;
    jt_error e;
    int64_t i = 5, many[4];
    double d = 5, reals[4];
    bool b = false;
    const char *s;
    const jt_json *o;
    size_t n;
    assert_int_equal(jt_json_parse(TEXT, sizeof TEXT - 1, &c, &e), JT_OK);
    assert_int_equal(jt_config_int(c, "layers", 1, 30, &i, &e), JT_OK);
    assert_int_equal(i, 30);
    assert_int_equal(jt_config_int(c, "layers", 1, 29, &i, &e), JT_FORMAT);
    assert_string_equal(e.message, "layers: 30 is not between 1 and 29");
    assert_int_equal(jt_config_int(c, "layers", 31, 99, &i, &e), JT_FORMAT);
    assert_int_equal(jt_config_int(c, "big", 0, INT64_MAX, &i, &e), JT_OK);
    assert_true(i == INT64_MAX);
    assert_int_equal(jt_config_int(c, "theta", 0, 1 << 20, &i, &e), JT_FORMAT);
    assert_string_equal(e.message, "theta: is a number, an integer wanted");
    assert_int_equal(jt_config_int(c, "absent", 0, 9, &i, &e), JT_NOTFOUND);
    assert_has(e.message, "absent is missing");
    assert_int_equal(jt_config_int(c, "none", 0, 9, &i, &e), JT_NOTFOUND);
    assert_int_equal(jt_config_int_or(c, "none", 0, 9, 7, &i, &e), JT_OK);
    assert_int_equal(i, 7);
    assert_int_equal(jt_config_int_or(c, "layers", 0, 9, 7, &i, &e), JT_FORMAT);
    assert_int_equal(jt_config_int(c, "rope.inner.x", -1, 9, &i, &e), JT_OK);
    assert_int_equal(i, -1);
    assert_int_equal(jt_config_int(c, "rope.none.x", -1, 9, &i, &e), JT_NOTFOUND);
    assert_int_equal(jt_config_int(c, "layers.x", -1, 9, &i, &e), JT_NOTFOUND);
    assert_has(e.message, "layers.x");

    assert_int_equal(jt_config_double(c, "theta", &d, &e), JT_OK);
    assert_true(d == 1e4);
    assert_int_equal(jt_config_double(c, "rope.factor", &d, &e), JT_OK);
    assert_true(d == 8);
    assert_int_equal(jt_config_double(c, "act", &d, &e), JT_FORMAT);
    assert_string_equal(e.message, "act: is a string, a number wanted");
    assert_int_equal(jt_config_double(c, "none", &d, &e), JT_NOTFOUND);
    assert_int_equal(jt_config_double_or(c, "none", 3, &d, &e), JT_OK);
    assert_true(d == 3);
    assert_int_equal(jt_config_double_or(c, "tied", 3, &d, &e), JT_FORMAT);
    assert_int_equal(jt_config_double_or(c, "theta", 3, &d, &e), JT_OK);
    assert_true(d == 1e4);

    assert_int_equal(jt_config_bool(c, "tied", &b, &e), JT_OK);
    assert_true(b);
    assert_int_equal(jt_config_bool(c, "layers", &b, &e), JT_FORMAT);
    assert_int_equal(jt_config_bool(c, "absent", &b, &e), JT_NOTFOUND);
    assert_int_equal(jt_config_bool_or(c, "absent", false, &b, &e), JT_OK);
    assert_false(b);
    assert_int_equal(jt_config_bool_or(c, "tied", false, &b, &e), JT_OK);
    assert_true(b);

    assert_int_equal(jt_config_string(c, "rope.type", &s, &e), JT_OK);
    assert_string_equal(s, "llama3");
    assert_int_equal(jt_config_string(c, "rope", &s, &e), JT_FORMAT);
    assert_int_equal(jt_config_string(c, "absent", &s, &e), JT_NOTFOUND);
    assert_int_equal(jt_config_string_or(c, "absent", "x", &s, &e), JT_OK);
    assert_string_equal(s, "x");
    assert_int_equal(jt_config_string_or(c, "act", "x", &s, &e), JT_OK);
    assert_string_equal(s, "silu");

    assert_int_equal(jt_config_object(c, "rope", &o, &e), JT_OK);
    assert_int_equal(jt_config_int(o, "factor", 0, 9, &i, &e), JT_OK);
    assert_int_equal(i, 8);
    assert_int_equal(jt_config_object(c, "eos", &o, &e), JT_FORMAT);
    assert_int_equal(jt_config_object(c, "none", &o, &e), JT_NOTFOUND);

    assert_int_equal(jt_config_ints(c, "eos", many, 4, &n, &e), JT_OK);
    assert_true(n == 2 && many[0] == 1 && many[1] == 2);
    assert_int_equal(jt_config_ints(c, "eos", many, 1, &n, &e), JT_FORMAT);
    assert_string_equal(e.message, "eos: 2 numbers, at most 1 are wanted");
    assert_int_equal(jt_config_ints(c, "eos", NULL, 0, &n, &e), JT_OK);
    assert_int_equal(n, 2);
    assert_int_equal(jt_config_ints(c, "f", many, 4, &n, &e), JT_FORMAT);
    assert_string_equal(e.message, "element 0: f: is a number, an integer wanted");
    assert_int_equal(jt_config_doubles(c, "f", reals, 4, &n, &e), JT_OK);
    assert_true(n == 2 && reals[0] == 0.5 && reals[1] == 1);
    assert_int_equal(jt_config_doubles(c, "mixed", reals, 4, &n, &e), JT_FORMAT);
    assert_int_equal(jt_config_doubles(c, "act", reals, 4, &n, &e), JT_FORMAT);
    assert_int_equal(jt_config_doubles(c, "none", reals, 4, &n, &e), JT_NOTFOUND);

    char lengthy[200];
    memset(lengthy, 'a', sizeof lengthy - 1), lengthy[sizeof lengthy - 1] = 0;
    assert_null(jt_config_find(c, lengthy));
    assert_null(jt_config_find(jt_json_member(c, "eos"), "x"));
    jt_json_free(c);
}

static void test_fixture(void **state) {
    (void)state;
    jt_json *c;
    jt_error e;
    int64_t i;
    double d;
    if (jt_json_read(FIXTURES "/hf-tiny/llama/config.json", &c, &e)) fail_msg("%s", e.message);
    assert_int_equal(jt_config_int(c, "num_key_value_heads", 1, 100, &i, &e), JT_OK);
    assert_int_equal(i, 2);
    assert_int_equal(jt_config_double(c, "rope_parameters.rope_theta", &d, &e), JT_OK);
    assert_true(d == 10000);
    assert_int_equal(jt_config_int_or(c, "pad_token_id", 0, 9, -1, &i, &e), JT_OK);
    assert_int_equal(i, -1);
    jt_json_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_getters), cmocka_unit_test(test_fixture)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
