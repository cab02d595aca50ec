/* Pipeline text: what is read, what is refused and where, and the canonical spelling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "decode/pipeline.h"

static jt_status nothing(const void *par, const void *state, jt_dist *d, jt_step *s) {
    (void)par, (void)state, (void)d, (void)s;
    return JT_OK;
}

static jt_status no_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    (void)par, (void)state, (void)r, (void)w;
    return JT_OK;
}

#define TEXTS(X, T)                                                                                                                        \
    X(T, TEXT, said, 0, JT_FROM_TEXT, "a text")                                                                                            \
    X(T, TEXT, from, 0, JT_FROM_FILE, "a text or file")                                                                                    \
    X(T, INT, how_many, 3, JT_RANGE(-5, 5), "a number")
JT_PARAMS(texts, TEXTS)
static const jt_method texts_row = {.name = "texts", .kind = JT_STAGE, JT_PARAMETERS(texts), .stage = {.run = nothing}};
static const jt_method outer_row = {.name = "outer", .kind = JT_STRATEGY, .strategy = {.advance = no_advance, .inner = true}};

#define HOLDS(X, T)                                                                                                                        \
    X(T, STAGES, then, 0, JT_STAGES("temp:0.5 | top-k"), "stages")                                                                         \
    X(T, STAGES, or, 0, JT_STAGES(NULL), "stages, or none")                                                                                \
    X(T, METHOD, by, 0, JT_METHOD_OF(JT_STAGE, "top-p"), "a stage")                                                                        \
    X(T, METHOD, in, 0, JT_METHOD_OF(JT_STRATEGY, NULL), "a strategy, or none")
JT_PARAMS(holds, HOLDS)
static const jt_method holds_row = {.name = "holds", .kind = JT_STAGE, JT_PARAMETERS(holds), .stage = {.run = nothing}};
#define MUST(X, T)                                                                                                                         \
    X(T, STAGES, then, JT_REQUIRED, JT_STAGES(NULL), "stages") X(T, METHOD, by, JT_REQUIRED, JT_METHOD_OF(JT_STAGE, NULL), "a stage")
JT_PARAMS(must, MUST)
static const jt_method must_row = {.name = "must", .kind = JT_STAGE, JT_PARAMETERS(must), .stage = {.run = nothing}};
#define ROUND(X, T) X(T, METHOD, again, 0, JT_METHOD_OF(JT_STAGE, "round"), "itself")
JT_PARAMS(round, ROUND)
static const jt_method round_row = {.name = "round", .kind = JT_STAGE, JT_PARAMETERS(round), .stage = {.run = nothing}};
#define TURN(X, T) X(T, STAGES, again, 0, JT_STAGES("turn"), "itself")
JT_PARAMS(turn, TURN)
static const jt_method turn_row = {.name = "turn", .kind = JT_STAGE, JT_PARAMETERS(turn), .stage = {.run = nothing}};

static jt_methods *mine;

static int setup(void **state) {
    (void)state;
    static const jt_method *const row[] = {&texts_row, &outer_row, &holds_row, &must_row, &round_row, &turn_row};
    int failed = jt_methods_new(&mine, NULL) != JT_OK;
    for (size_t i = 0; !failed && i < sizeof row / sizeof *row; i++) failed = jt_methods_add(mine, row[i], NULL) != JT_OK;
    return failed;
}

static int teardown(void **state) {
    (void)state;
    jt_methods_free(mine);
    return 0;
}

static void canonical_spelling(void **state) {
    (void)state;
    static const char *const t[][2] = {
        {"", "greedy"},
        {"  \n ", "greedy"},
        {"greedy", "greedy"},
        {"sample", "sample"},
        {"temp", "sample | temp:t=0.8"},
        {"sample|temp:1", "sample | temp:t=1"},
        {" greedy | temp : 0.50 ", "greedy | temp:t=0.5"},
        {"temp:t=1e-3", "sample | temp:t=0.001"},
        {"top-k", "sample | top-k:k=40,ties=exact"},
        {"top-k:7,ties=keep", "sample | top-k:k=7,ties=keep"},
        {"top-k:ties=keep", "sample | top-k:k=40,ties=keep"},
        {"top-p:0.9,min-keep=2 | top-p:min_keep=3", "sample | top-p:p=0.9,min-keep=2 | top-p:p=0.95,min-keep=3"},
        {"min-p : m = 0.1 , min-keep = 4", "sample | min-p:m=0.1,min-keep=4"},
        {"repeat-penalty:1.1", "sample | repeat-penalty:penalty=1.1,window=64,scope=all,base=logits"},
        {"frequency-penalty:-2", "sample | frequency-penalty:penalty=-2,window=-1,scope=output"},
        {"presence-penalty:2,scope=all,window=0", "sample | presence-penalty:penalty=2,window=0,scope=all"},
        {"logit-bias:198=-100,\"a \\\"b\\\"\"=2.5,7=-inf", "sample | logit-bias:198=-100,\"a \\\"b\\\"\"=2.5,7=-inf"},
        {"logit-bias:\"\\n\\t\\r\\\\\\x41\\xff|>,(=\"=0", "sample | logit-bias:\"\\n\\t\\r\\\\A\\xff|>,(=\"=0"},
        {"texts", "sample | texts:said=\"\",from=\"\",how-many=3"},
        {"texts:hello there,how-many=-5", "sample | texts:said=\"hello there\",from=\"\",how-many=-5"},
        {"texts:\"a|b>c\",from=x", "sample | texts:said=\"a|b>c\",from=\"x\",how-many=3"},
        {"outer > sample | temp:0", "outer > sample | temp:t=0"},
        {"outer > outer > greedy", "outer > outer > greedy"},
        {"holds", "sample | holds:then=(temp:t=0.5 | top-k:k=40,ties=exact),by=(top-p:p=0.95,min-keep=1)"},
        {"holds:(), by = dry", "sample | holds:then=(),by=(dry:multiplier=0.8,base=1.75,allowed=2,window=-1,breakers=\"\")"},
        {"holds: ( temp:1|top-k : 3,ties=keep ) ,or=(top-p),in=greedy",
         "sample | holds:then=(temp:t=1 | top-k:k=3,ties=keep),or=(top-p:p=0.95,min-keep=1),by=(top-p:p=0.95,min-keep=1),in=(greedy)"},
        {"temp:2 | must:by=( top-k : 4 ),then=(must:(texts:\"(\"),by=temp) | temp:3",
         "sample | temp:t=2 | must:then=(must:then=(texts:said=\"(\",from=\"\",how-many=3),by=(temp:t=0.8)),by=(top-k:k=4,ties=exact) | "
         "temp:t=3"},
        {"outer > greedy | must:(must:(temp),by=temp),by=(must:then=(),by=temp)",
         "outer > greedy | must:then=(must:then=(temp:t=0.8),by=(temp:t=0.8)),by=(must:then=(),by=(temp:t=0.8))"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        jt_pipeline *p, *q;
        jt_error err;
        if (jt_pipeline_parse(t[i][0], mine, &p, &err) != JT_OK) fail_msg("%s: %s", t[i][0], err.message);
        assert_string_equal(jt_pipeline_text(p), t[i][1]);
        assert_int_equal(jt_pipeline_parse(jt_pipeline_text(p), mine, &q, &err), JT_OK);
        assert_string_equal(jt_pipeline_text(q), t[i][1]);
        jt_pipeline_free(p), jt_pipeline_free(q);
    }
}

static void occurrences_are_counted(void **state) {
    (void)state;
    jt_pipeline *p;
    assert_int_equal(jt_pipeline_parse("temp:1 | top-k:3 | temp:2 | temp:3", NULL, &p, NULL), JT_OK);
    assert_true(p->n_stage == 4 && p->stage[0].occurrence == 0 && p->stage[1].occurrence == 0 && p->stage[2].occurrence == 1 &&
                p->stage[3].occurrence == 2);
    jt_pipeline_free(p);
}

static const struct {
    const char *text;
    jt_status status;
    const char *message;
} bad[] = {
    {"topp:0.9", JT_UNKNOWN, "pipeline, byte 0: unknown method \"topp\"; the nearest is \"top-p\""},
    {"temp:1 | tpo-k", JT_UNKNOWN, "pipeline, byte 9: unknown method \"tpo-k\"; the nearest is \"top-k\""},
    {"Temp", JT_UNKNOWN, "the nearest is \"temp\""},
    {"a-name-that-is-much-longer-than-any-method-could-ever-have", JT_UNKNOWN, "...\"; the nearest is"},
    {"|", JT_INVALID, "byte 0: the name of a method is missing"},
    {"temp:1 |", JT_INVALID, "byte 8: the name of a method is missing"},
    {"temp:1 || top-k", JT_INVALID, "byte 8: the name of a method is missing"},
    {"temp |  :3", JT_INVALID, "byte 8: the name of a method is missing"},
    {"temp:1 | sample", JT_INVALID, "byte 9: sample is a strategy; strategies stand before the first \"|\""},
    {"sample > temp", JT_INVALID, "byte 9: temp is a stage; write \"|\" before a stage"},
    {"temp > sample", JT_INVALID, "byte 5: \">\" joins strategies"},
    {"sample > greedy", JT_INVALID, "byte 9: sample drives no inner strategy, so greedy cannot stand inside it"},
    {"(temp)", JT_UNSUPPORTED, "byte 0: a pipeline in parentheses stands only as a parameter's value"},
    {"temp:(top-k:3)", JT_UNSUPPORTED, "byte 5: temp: t takes no pipeline in parentheses"},
    {"temp:((1)", JT_INVALID, "byte 5: the parenthesis that opens here is never closed"},
    {"temp:1)", JT_INVALID, "byte 6: \")\" closes nothing"},
    {"temp:((((((((((((((((((((((((((((((((((", JT_LIMIT, "parentheses more than 32 deep"},
    {"temp:\"1", JT_INVALID, "byte 5: the quoted text that begins here is never closed"},
    {"temp(1)", JT_INVALID, "byte 4: temp is followed by '('; write temp:parameter=value"},
    {"temp \"x\"", JT_INVALID, "byte 5: temp is followed by '\"'"},
    {"temp:", JT_INVALID, "byte 5: temp: a value is missing after \":\""},
    {"temp: ", JT_INVALID, "byte 5: temp: a value is missing here"},
    {"temp:t=", JT_INVALID, "byte 7: temp: the value of t is missing"},
    {"temp:=1", JT_INVALID, "byte 5: temp: a name is missing before \"=\""},
    {"temp:abc", JT_INVALID, "byte 5: temp: t=abc is not a number"},
    {"temp:nan", JT_INVALID, "t=nan is not a number"},
    {"temp:0x10", JT_INVALID, "t=0x10 is not a number"},
    {"temp:-1", JT_INVALID, "byte 5: temp: t=-1 is out of range (0 to 100); the nearest valid value is 0"},
    {"temp:inf", JT_INVALID, "the nearest valid value is 100"},
    {"temp:1,2", JT_INVALID, "byte 7: temp: a value without a name; write name=value"},
    {"temp:1,", JT_INVALID, "byte 7: temp: a value is missing here"},
    {"temp:,t=1", JT_INVALID, "byte 5: temp: a value is missing here"},
    {"temp:1,t=1", JT_INVALID, "byte 7: temp: t is given twice"},
    {"temp:temperature=1", JT_UNKNOWN, "byte 5: temp has no parameter \"temperature\"; the nearest is \"t\""},
    {"temp:@file", JT_UNSUPPORTED, "byte 5: temp: t takes no @file"},
    {"top-p:0.9,min-kep=2", JT_UNKNOWN, "byte 10: top-p has no parameter \"min-kep\"; the nearest is \"min-keep\""},
    {"top-p:1.5", JT_INVALID, "p=1.5 is out of range (0 to 1); the nearest valid value is 1"},
    {"top-p:p=0.5,min-keep=0", JT_INVALID, "the nearest valid value is 1"},
    {"top-p:p=0.5,min-keep=1.5", JT_INVALID, "byte 21: top-p: min-keep=1.5 is not a whole number"},
    {"top-k:99999999999999999999", JT_INVALID, "is not a whole number"},
    {"top-k:99999999999", JT_INVALID, "the nearest valid value is 16777216"},
    {"top-k:4,ties=keeps", JT_UNKNOWN, "byte 13: top-k: ties=keeps is no choice; the nearest is \"keep\""},
    {"repeat-penalty", JT_INVALID, "byte 14: repeat-penalty needs a value for penalty (0.01 to 100)"},
    {"repeat-penalty:window=3", JT_INVALID, "repeat-penalty needs a value for penalty"},
    {"repeat-penalty:0", JT_INVALID, "the nearest valid value is 0.01"},
    {"logit-bias", JT_INVALID, "logit-bias needs a value for bias (token=bias, bias -inf or -10000 to 10000)"},
    {"logit-bias:5", JT_INVALID, "byte 11: logit-bias: a value without a name; write token=value"},
    {"logit-bias:hello=1", JT_UNKNOWN,
     "byte 11: logit-bias: the key hello is no token id; write the text of a token in quotes, as \"hello\"=1"},
    {"logit-bias:5x=1", JT_INVALID, "byte 11: logit-bias: 5x is no token id"},
    {"logit-bias:99999999999=1", JT_INVALID, "is no token id"},
    {"logit-bias:5=inf", JT_INVALID, "the nearest valid value is 10000"},
    {"logit-bias:5=1,5=2", JT_INVALID, "byte 15: logit-bias: this token is given twice"},
    {"logit-bias:\"a\"=1,\"a\"=2", JT_INVALID, "this token is given twice"},
    {"logit-bias:\"\"=1", JT_INVALID, "the text of a token is empty"},
    {"logit-bias:\"a\"b=1", JT_INVALID, "text after the closing quote"},
    {"logit-bias:\"\\q\"=1", JT_INVALID, "byte 12: unknown escape"},
    {"logit-bias:\"\\x4\"=1", JT_INVALID, "unknown escape"},
    {"greedy:1", JT_UNKNOWN, "byte 7: greedy takes no parameters"},
    {"greedy:a=1", JT_UNKNOWN, "byte 7: greedy takes no parameters"},
    {"texts:\"a\\x00b\"", JT_INVALID, "texts: said may not hold a NUL byte"},
    {"texts:@x", JT_UNSUPPORTED, "texts: said takes no @file"},
    {"holds:then=temp", JT_INVALID, "byte 11: holds: then takes stages in parentheses, such as (temp:0.8 | top-p:0.9)"},
    {"holds:(temp)(temp)", JT_INVALID, "byte 6: holds: then takes stages in parentheses"},
    {"holds:(temp) x", JT_INVALID, "byte 6: holds: then takes stages in parentheses"},
    {"top-k:3 | holds:then=(temp:1 | tpo-k)", JT_UNKNOWN, "byte 31: unknown method \"tpo-k\"; the nearest is \"top-k\""},
    {"holds:(temp:-1)", JT_INVALID, "byte 12: temp: t=-1 is out of range (0 to 100); the nearest valid value is 0"},
    {"holds:(temp |)", JT_INVALID, "byte 13: the name of a method is missing"},
    {"holds:(> temp)", JT_INVALID, "byte 7: the name of a method is missing"},
    {"holds:(temp > temp)", JT_INVALID, "byte 12: \">\" joins strategies"},
    {"holds:(greedy | temp)", JT_INVALID, "byte 7: greedy is a strategy; in parentheses there are stages alone"},
    {"holds:((temp))", JT_UNSUPPORTED, "byte 7: a pipeline in parentheses stands only as a parameter's value"},
    {"holds:(holds:(holds:(tmp)))", JT_UNKNOWN, "byte 21: unknown method \"tmp\""},
    {"holds:(temp),then=(temp)", JT_INVALID, "byte 13: holds: then is given twice"},
    {"holds:by=(temp", JT_INVALID, "byte 9: the parenthesis that opens here is never closed"},
    {"holds:by=topp", JT_UNKNOWN, "byte 9: holds: by=topp is no stage; the nearest is \"top-p\""},
    {"holds:by=()", JT_UNKNOWN, "byte 10: holds: by= is no stage"},
    {"holds:by=greedy", JT_UNKNOWN, "byte 9: holds: by=greedy is no stage"},
    {"holds:in=temp", JT_UNKNOWN, "byte 9: holds: in=temp is no strategy"},
    {"holds:in=gredy", JT_UNKNOWN, "is no strategy; the nearest is \"greedy\""},
    {"holds:by=temp:3", JT_INVALID, "byte 13: holds: a method with parameters is written by=(temp:parameter=value)"},
    {"holds:by=(temp:)", JT_INVALID, "byte 14: holds: a method with parameters is written by=(temp:parameter=value)"},
    {"holds:by=(temp(3))", JT_INVALID, "byte 14: holds: a method with parameters is written"},
    {"holds:by=(temp:x=3)", JT_UNKNOWN, "byte 15: temp has no parameter \"x\"; the nearest is \"t\""},
    {"holds:by=a-name-that-is-much-longer-than-any-method-could-ever-have", JT_UNKNOWN, "... is no stage"},
    {"must:by=temp", JT_INVALID, "must needs a value for then (stages in parentheses)"},
    {"must:()", JT_INVALID, "must needs a value for by (a stage)"},
    {"round", JT_LIMIT, "methods more than 32 deep in the parameters of others"},
    {"turn", JT_LIMIT, "methods more than 32 deep in the parameters of others"},
    {"texts:from=@/nowhere/at/all", JT_NOTFOUND, "pipeline, byte 11: texts: "},
};

static void refusals_say_where_and_what_is_nearest(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        jt_pipeline *p = NULL;
        jt_error err = {0};
        jt_status s = jt_pipeline_parse(bad[i].text, mine, &p, &err);
        if (s != bad[i].status || !strstr(err.message, bad[i].message))
            fail_msg("%s gave %s: %s", bad[i].text, jt_status_name(s), err.message);
        assert_null(p);
        assert_int_equal(jt_pipeline_parse(bad[i].text, mine, &p, NULL), s);
    }
    assert_int_equal(jt_pipeline_parse(NULL, mine, NULL, NULL), JT_INVALID);
}

static void too_many_methods(void **state) {
    (void)state;
    char t[2000] = "temp";
    jt_error err;
    jt_pipeline *p;
    for (int i = 1; i < 64; i++) strncat(t, "|temp", sizeof t - strlen(t) - 1);
    assert_int_equal(jt_pipeline_parse(t, NULL, &p, &err), JT_OK);
    jt_pipeline_free(p);
    strncat(t, "|temp", sizeof t - strlen(t) - 1);
    assert_int_equal(jt_pipeline_parse(t, NULL, &p, &err), JT_LIMIT);
    assert_non_null(strstr(err.message, "more than 64 methods"));
}

static void many_biases(void **state) {
    (void)state;
    static char t[60000] = "logit-bias:";
    jt_error err;
    jt_pipeline *p;
    size_t n = strlen(t);
    for (int i = 0; i < 4096; i++) n += (size_t)snprintf(t + n, sizeof t - n, "%d=1,", i);
    t[n - 1] = 0;
    assert_int_equal(jt_pipeline_parse(t, NULL, &p, &err), JT_OK);
    jt_bias_list list;
    memcpy(&list, p->stage[0].par, sizeof list);
    assert_int_equal(list.n, 4096);
    for (int i = 0; i < 4096; i++) assert_true(list.b[i].id == i && !list.b[i].text && list.b[i].value == 1);
    jt_pipeline_free(p);
    snprintf(t + n - 1, sizeof t - n, ",4096=1");
    assert_int_equal(jt_pipeline_parse(t, NULL, &p, &err), JT_LIMIT);
}

static void files_stand_for_their_contents(void **state) {
    (void)state;
    char path[] = "/tmp/jeton-test-XXXXXX", t[64];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *f = fdopen(fd, "w");
    fputs("two\nlines | and > \"marks\"", f);
    fclose(f);
    jt_pipeline *p;
    jt_error err;
    snprintf(t, sizeof t, "texts:from=@%s", path);
    assert_int_equal(jt_pipeline_parse(t, mine, &p, &err), JT_OK);
    assert_string_equal(((const struct texts *)p->stage[0].par)->from, "two\nlines | and > \"marks\"");
    assert_string_equal(jt_pipeline_text(p), "sample | texts:said=\"\",from=\"two\\nlines | and > \\\"marks\\\"\",how-many=3");
    jt_pipeline_free(p);
    f = fopen(path, "w");
    fwrite("a\0b", 1, 3, f);
    fclose(f);
    assert_int_equal(jt_pipeline_parse(t, mine, &p, &err), JT_INVALID);
    assert_non_null(strstr(err.message, "the file has a NUL byte"));
    remove(path);
}

static void failed_allocations(void **state) {
    (void)state;
    static const char *const t[] = {
        "temp:0.8 | logit-bias:1=1,2=2,\"a\"=3 | texts:hello",    "", "nothing", "temp:-1", "texts:from=@/dev/null",
        "holds:(holds:(temp | logit-bias:3=1),by=dry),in=(r2r:3)"};
    for (size_t k = 0; k < sizeof t / sizeof *t; k++)
        for (long i = 0;; i++) {
            jt_pipeline *p = NULL;
            jt_error err = {0};
            alloc_fail_at(i);
            jt_status s = jt_pipeline_parse(t[k], mine, &p, &err);
            long asked = alloc_count();
            alloc_fail_at(-1);
            jt_pipeline_free(p);
            if (s != JT_OK) assert_true(err.message[0] != 0);
            if (asked <= i) {
                assert_int_equal(s, k == 2 ? JT_UNKNOWN : k == 3 ? JT_INVALID : JT_OK);
                break;
            }
        }
}

/* ---- sets of methods ---- */

static void every_built_in_row_is_complete(void **state) {
    (void)state;
    const jt_method *m;
    int n = 0;
    for (; (m = jt_method_at(NULL, n)); n++) {
        char text[80];
        assert_true(m->summary && *m->summary && m->formula && *m->formula && m->paper && m->cost && *m->cost);
        assert_true(m->kind != JT_STAGE || (m->neutral && *m->neutral));
        assert_ptr_equal(jt_method_find(NULL, m->name), m);
        assert_ptr_equal(jt_method_nearest(NULL, m->name), m);
        for (int i = 0; i < m->n_param; i++) {
            assert_true(m->param[i].help && *m->param[i].help);
            assert_true(jt_param_range(&m->param[i], text, sizeof text) > 0 && *text);
            assert_true(jt_param_default(&m->param[i], text, sizeof text) > 0 && *text);
        }
    }
    assert_true(n >= 10);
    assert_null(jt_method_at(NULL, -1));
    assert_null(jt_method_at(mine, n + 6));
    assert_ptr_equal(jt_method_at(mine, n), &texts_row);
    assert_null(jt_method_find(NULL, "texts"));
    assert_string_equal(jt_kind_name(JT_STAGE), "stage");
    assert_string_equal(jt_kind_name(JT_STRATEGY), "strategy");
    assert_string_equal(jt_kind_name((jt_kind)9), "unknown-kind");
}

static void ranges_and_defaults_in_words(void **state) {
    (void)state;
    char t[80], small[4];
    const jt_method *k = jt_method_find(NULL, "top-k"), *r = jt_method_find(NULL, "repeat-penalty");
    jt_param_range(&k->param[0], t, sizeof t);
    assert_string_equal(t, "0 to 16777216");
    jt_param_range(&k->param[1], t, sizeof t);
    assert_string_equal(t, "exact or keep");
    jt_param_default(&k->param[1], t, sizeof t);
    assert_string_equal(t, "exact");
    jt_param_default(&r->param[0], t, sizeof t);
    assert_string_equal(t, "required");
    jt_param_range(&texts_row.param[1], t, sizeof t);
    assert_string_equal(t, "text or @file");
    jt_param_range(&holds_row.param[0], t, sizeof t);
    assert_string_equal(t, "stages in parentheses");
    jt_param_default(&holds_row.param[0], t, sizeof t);
    assert_string_equal(t, "(temp:0.5 | top-k)");
    jt_param_range(&holds_row.param[3], t, sizeof t);
    assert_string_equal(t, "a strategy");
    assert_int_equal(jt_param_default(&holds_row.param[3], t, sizeof t), 0);
    jt_param_default(&holds_row.param[2], t, sizeof t);
    assert_string_equal(t, "top-p");
    jt_param_default(&must_row.param[1], t, sizeof t);
    assert_string_equal(t, "required");
    assert_int_equal(jt_param_range(&k->param[0], small, sizeof small), 13);
    assert_string_equal(small, "0 t");
    assert_int_equal(jt_param_default(&texts_row.param[0], t, sizeof t), 2);
    assert_string_equal(t, "\"\"");
}

static void broken_rows_are_refused(void **state) {
    (void)state;
    static const jt_param outside = {.name = "x", .type = JT_PARAM_REAL, .offset = 4, .low = 0, .high = 1},
                          name = {.name = "X", .type = JT_PARAM_INT}, type = {.name = "x", .type = (jt_param_type)9},
                          range = {.name = "x", .type = JT_PARAM_INT, .low = 2, .high = 1},
                          def = {.name = "x", .type = JT_PARAM_REAL, .low = 2, .high = 3}, choices = {.name = "x", .type = JT_PARAM_CHOICE},
                          index = {.name = "x", .type = JT_PARAM_CHOICE, .choices = "a|b", .def = 2},
                          wide = {.name = "x", .type = JT_PARAM_INT, .low = 0, .high = 1e10},
                          twice[2] = {{.name = "x", .type = JT_PARAM_INT}, {.name = "x", .type = JT_PARAM_INT, .offset = 4}};
#define ROW(...)                                                                                                                           \
    { .name = "bad", .kind = JT_STAGE, .param_size = 8, .stage = {.run = nothing}, __VA_ARGS__ }
    const struct {
        jt_method m;
        const char *say;
    } t[] = {
        {{.kind = JT_STAGE}, "a method's name must be"},
        {{.name = "Bad"}, "a method's name must be"},
        {{.name = "a_b"}, "a method's name must be"},
        {{.name = "bad", .kind = (jt_kind)7}, "kind 7 is unknown"},
        {{.name = "bad", .kind = JT_STAGE}, "a stage needs a function \"run\""},
        {{.name = "bad", .kind = JT_STRATEGY}, "a strategy needs a function \"advance\""},
        {{.name = "bad", .kind = JT_STAGE, .n_param = 1, .stage = {.run = nothing}}, "n_param is 1 without a table"},
        {{.name = "temp", .kind = JT_STAGE, .stage = {.run = nothing}}, "there is a method \"temp\" already"},
        {ROW(.param = &outside, .n_param = 1), "parameter 0: the field lies outside"},
        {ROW(.param = &name, .n_param = 1), "a name is not lower case"},
        {ROW(.param = &type, .n_param = 1), "the type is unknown"},
        {ROW(.param = &range, .n_param = 1), "the range is empty"},
        {ROW(.param = &def, .n_param = 1), "the default is out of range"},
        {ROW(.param = &choices, .n_param = 1), "a choice has no choices"},
        {ROW(.param = &index, .n_param = 1), "the default is no index"},
        {ROW(.param = &wide, .n_param = 1), "does not fit 32 bits"},
        {ROW(.param = twice, .n_param = 2), "parameter 1: the name is used twice"},
    };
    jt_methods *m;
    jt_error err;
    assert_int_equal(jt_methods_new(&m, NULL), JT_OK);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        assert_int_equal(jt_methods_add(m, &t[i].m, &err), JT_INVALID);
        if (!strstr(err.message, t[i].say)) fail_msg("%s", err.message);
    }
    assert_int_equal(jt_methods_add(m, NULL, &err), JT_INVALID);
    jt_methods_free(m);
    alloc_fail_at(0);
    assert_int_equal(jt_methods_new(&m, &err), JT_NOMEM);
    alloc_fail_at(1);
    assert_int_equal(jt_methods_new(&m, &err), JT_OK);
    assert_int_equal(jt_methods_add(m, &texts_row, &err), JT_NOMEM);
    alloc_fail_at(-1);
    assert_int_equal(jt_methods_add(m, &texts_row, &err), JT_OK);
    jt_methods_free(m);
    jt_methods_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(canonical_spelling),
        cmocka_unit_test(occurrences_are_counted),
        cmocka_unit_test(refusals_say_where_and_what_is_nearest),
        cmocka_unit_test(too_many_methods),
        cmocka_unit_test(many_biases),
        cmocka_unit_test(files_stand_for_their_contents),
        cmocka_unit_test(failed_allocations),
        cmocka_unit_test(every_built_in_row_is_complete),
        cmocka_unit_test(ranges_and_defaults_in_words),
        cmocka_unit_test(broken_rows_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
