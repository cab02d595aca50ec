/* tests.c: what stands behind "is". */
#include <string.h>

#include "text/jinja/chars.h"
#include "text/jinja/node.h"
#include "text/jinja/strings.h"

/* The value, and that nothing else was given. */
static bool only(jt_jrun *r, const char *what, const jt_jargs *a, jt_jval *v) { return jt_jargs_bind(r, what, a, "value", 1, v); }
static bool two(jt_jrun *r, const char *what, const jt_jargs *a, jt_jval v[2]) { return jt_jargs_bind(r, what, a, "value other", 2, v); }

static bool remainder_is(jt_jrun *r, jt_jval v, jt_jval by, int64_t want, jt_jval *out) {
    jt_jval rest;
    bool same;
    if (!jt_joperate(r, JT_J_MOD, v, by, &rest) || !jt_jequal(r, rest, jt_jinteger(want), &same)) return false;
    return *out = jt_jbool(same), true;
}
static bool t_odd(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v;
    return only(r, "odd", a, &v) && remainder_is(r, v, jt_jinteger(2), 1, out);
}
static bool t_even(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v;
    return only(r, "even", a, &v) && remainder_is(r, v, jt_jinteger(2), 0, out);
}
static bool t_divisibleby(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[2];
    return two(r, "divisibleby", a, v) && remainder_is(r, v[0], v[1], 0, out);
}

/* A test of the value's kind. */
#define KIND_TEST(name, condition)                                                                                                         \
    static bool t_##name(jt_jrun *r, const jt_jargs *a, jt_jval *out) {                                                                    \
        jt_jval v;                                                                                                                         \
        if (!only(r, #name, a, &v)) return false;                                                                                          \
        *out = jt_jbool(condition);                                                                                                        \
        return true;                                                                                                                       \
    }
KIND_TEST(defined, v.kind != JT_J_UNDEFINED)
KIND_TEST(undefined, v.kind == JT_J_UNDEFINED)
KIND_TEST(none, v.kind == JT_J_NONE)
KIND_TEST(boolean, v.kind == JT_J_BOOL)
KIND_TEST(false, v.kind == JT_J_BOOL && !v.b)
KIND_TEST(true, v.kind == JT_J_BOOL && v.b)
KIND_TEST(integer, v.kind == JT_J_INT)
KIND_TEST(float, v.kind == JT_J_FLOAT)
KIND_TEST(string, v.kind == JT_J_STR)
KIND_TEST(mapping, v.kind == JT_J_DICT)
KIND_TEST(number, jt_jis_number(v))
KIND_TEST(iterable, jt_jiterable(v))
KIND_TEST(escaped, v.kind == JT_J_STR && v.s->markup)
KIND_TEST(sequence, v.kind == JT_J_STR || v.kind == JT_J_LIST || v.kind == JT_J_TUPLE || v.kind == JT_J_DICT || v.kind == JT_J_RANGE ||
                        v.kind == JT_J_UNDEFINED)
KIND_TEST(callable, v.kind == JT_J_MACRO || v.kind == JT_J_FUNCTION || v.kind == JT_J_METHOD || v.kind == JT_J_LOOP ||
                        v.kind == JT_J_JOINER || v.kind == JT_J_UNDEFINED)

static bool case_test(jt_jrun *r, const char *what, const jt_jargs *a, unsigned kind, unsigned not, jt_jval *out) {
    jt_jval v;
    if (!only(r, what, a, &v)) return false;
    const jt_jstr *s = jt_jtext(r, v);
    *out = jt_jbool(s && jt_jstr_cased(s, kind, not ));
    return s && jt_jstep(r, s->n / 16);
}
static bool t_lower(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    return case_test(r, "lower", a, JT_CHAR_LOWER, JT_CHAR_UPPER | JT_CHAR_TITLE, out);
}
static bool t_upper(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    return case_test(r, "upper", a, JT_CHAR_UPPER, JT_CHAR_LOWER | JT_CHAR_TITLE, out);
}

static bool t_filter(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v;
    uint64_t hash;
    if (!only(r, "filter", a, &v) || !jt_jhash(r, v, &hash)) return false;
    return *out = jt_jbool(v.kind == JT_J_STR && jt_jfilter_find(v.s)), true;
}
static bool t_test(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v;
    uint64_t hash;
    if (!only(r, "test", a, &v) || !jt_jhash(r, v, &hash)) return false;
    return *out = jt_jbool(v.kind == JT_J_STR && jt_jtest_find(v.s)), true;
}

static bool t_sameas(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[2];
    if (!two(r, "sameas", a, v)) return false;
    *out = jt_jbool(jt_jsame(v[0], v[1]));
    return true;
}

static bool t_in(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[2];
    bool yes;
    if (!two(r, "in", a, v) || !jt_jin(r, v[0], v[1], &yes)) return false;
    return *out = jt_jbool(yes), true;
}

static bool t_eq(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[2];
    bool yes;
    if (!two(r, "eq", a, v) || !jt_jequal(r, v[0], v[1], &yes)) return false;
    return *out = jt_jbool(yes), true;
}
static bool t_ne(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    if (!t_eq(r, a, out)) return false;
    out->b = !out->b;
    return true;
}
static bool order_test(jt_jrun *r, const jt_jargs *a, const char *op, bool back, bool equal, jt_jval *out) {
    jt_jval v[2];
    bool yes;
    if (!two(r, op, a, v) || !jt_jless(r, v[back], v[!back], op, &yes)) return false;
    if (!yes && equal && !jt_jequal(r, v[0], v[1], &yes)) return false;
    return *out = jt_jbool(yes), true;
}
static bool t_lt(jt_jrun *r, const jt_jargs *a, jt_jval *out) { return order_test(r, a, "<", false, false, out); }
static bool t_le(jt_jrun *r, const jt_jargs *a, jt_jval *out) { return order_test(r, a, "<=", false, true, out); }
static bool t_gt(jt_jrun *r, const jt_jargs *a, jt_jval *out) { return order_test(r, a, ">", true, false, out); }
static bool t_ge(jt_jrun *r, const jt_jargs *a, jt_jval *out) { return order_test(r, a, ">=", true, true, out); }

const jt_jfunction jt_jtests[] = {
    {"odd", t_odd},
    {"even", t_even},
    {"divisibleby", t_divisibleby},
    {"defined", t_defined},
    {"undefined", t_undefined},
    {"filter", t_filter},
    {"test", t_test},
    {"none", t_none},
    {"boolean", t_boolean},
    {"false", t_false},
    {"true", t_true},
    {"integer", t_integer},
    {"float", t_float},
    {"lower", t_lower},
    {"upper", t_upper},
    {"string", t_string},
    {"mapping", t_mapping},
    {"number", t_number},
    {"sequence", t_sequence},
    {"iterable", t_iterable},
    {"callable", t_callable},
    {"sameas", t_sameas},
    {"escaped", t_escaped},
    {"in", t_in},
    {"==", t_eq},
    {"eq", t_eq},
    {"equalto", t_eq},
    {"!=", t_ne},
    {"ne", t_ne},
    {">", t_gt},
    {"gt", t_gt},
    {"greaterthan", t_gt},
    {">=", t_ge},
    {"ge", t_ge},
    {"<", t_lt},
    {"lt", t_lt},
    {"lessthan", t_lt},
    {"<=", t_le},
    {"le", t_le},
    {0},
};

static const jt_jfunction *function_find(const jt_jfunction *t, const jt_jstr *name) {
    for (; t->name; t++)
        if (jt_jstr_is(name, t->name)) return t;
    return NULL;
}

const jt_jfunction *jt_jtest_find(const jt_jstr *name) { return function_find(jt_jtests, name); }

const jt_jfunction *jt_jfilter_find(const jt_jstr *name) {
    const jt_jfunction *f = function_find(jt_jfilters_text, name);
    if (!f) f = function_find(jt_jfilters_list, name);
    return f ? f : function_find(jt_jfilters_value, name);
}
