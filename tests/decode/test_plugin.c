/* Plugins: the examples work as built-in methods do, what is wrong with one is told by name and adds nothing, and what its
 * hooks return can fail a run and no more. */
#include "harness.h"
#include "jeton/plugin.h"

#define AT(name) PLUGINS "/" name ".so"

static jt_methods *set(void) {
    jt_methods *m = NULL;
    assert_int_equal(jt_methods_new(&m, NULL), JT_OK);
    return m;
}

static jt_methods *with(const char *path) {
    jt_methods *m = set();
    jt_error err;
    if (jt_methods_load(m, path, &err) != JT_OK) fail_msg("%s", err.message);
    return m;
}

static int count(const jt_methods *m) {
    int n = 0;
    while (jt_method_at(m, n)) n++;
    return n;
}

static void examples_run(void **state) {
    (void)state;
    static told t, plain;
    static const char *const path[] = {AT("plugin_stage"), AT("plugin_strategy"), AT("plugin_scorer"), AT("plugin_tap")};
    static const char *const name[] = {"floor", "hush", "fresh", "clip"};
    static const struct {
        const char *text, *as; /* the same answer without a plugin; NULL: another */
    } run[] = {{"floor:0 | temp:1.3", "temp:1.3"},
               {"temp:1.3 | floor:1", "greedy"},
               {"hush:0 | temp:1.2", "sample | temp:1.2"},
               {"hush:100 | temp:1.2", "greedy | temp:1.2"},
               {"best-of-n:n=1,by=fresh > sample | temp:1.3", "sample | temp:1.3"},
               {"best-of-n:n=4,by=fresh > clip:2 > hush | floor:0.001", NULL}};
    jt_methods *m = set();
    jt_error err;
    fake f;
    fake_make(&f);
    for (int i = 0; i < 4; i++) {
        if (jt_methods_load(m, path[i], &err) != JT_OK) fail_msg("%s", err.message);
        const jt_method *row = jt_method_find(m, name[i]);
        assert_non_null(row);
        assert_true(row->summary && row->formula && row->paper && row->cost);
    }
    for (size_t i = 0; i < sizeof run / sizeof *run; i++) {
        run_text(&f, run[i].text, m, 5, 20, &t);
        if (t.reason == JT_END_ERROR) fail_msg("%s: %s", run[i].text, t.message);
        if (!run[i].as) continue;
        run_text(&f, run[i].as, NULL, 5, 20, &plain);
        assert_int_equal(t.a[0].n, plain.a[0].n);
        assert_memory_equal(t.a[0].id, plain.a[0].id, (size_t)t.a[0].n * sizeof *t.a[0].id);
    }
    fake_free(&f);
    jt_methods_free(m);
}

static void wrong_plugins_are_refused_by_name(void **state) {
    (void)state;
    static const struct {
        const char *path, *say[3];
        jt_status status;
    } bad[] = {{AT("wrong_abi"), {"from-tomorrow", "ABI 8", "this is 1"}, JT_UNSUPPORTED},
               {AT("wrong_size"), {"other-rows", "rows of", "headers"}, JT_UNSUPPORTED},
               {AT("wrong_symbol"), {"wrong_symbol.so is no plugin", "jt_plugin_entry", "JT_PLUGIN"}, JT_FORMAT},
               {AT("wrong_empty"), {"\"empty\"", "no rows", ""}, JT_INVALID},
               {AT("wrong_row"), {"one-broken-row", "name must be lower case", ""}, JT_INVALID},
               {AT("wrong_taken"), {"another-top-p", "\"top-p\" already", ""}, JT_INVALID},
               {AT("nothing"), {"there is no plugin", "nothing.so", ""}, JT_NOTFOUND},
               {FIXTURES "/reference.py", {"cannot be loaded", "reference.py", ""}, JT_FORMAT}};
    jt_methods *m = with(AT("plugin_stage"));
    int had = count(m);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        jt_error err = {JT_OK, ""};
        assert_int_equal(jt_methods_load(m, bad[i].path, &err), bad[i].status);
        for (int k = 0; k < 3; k++)
            if (!strstr(err.message, bad[i].say[k])) fail_msg("%s: \"%s\" is not in: %s", bad[i].path, bad[i].say[k], err.message);
        assert_int_equal(count(m), had);
    }
    assert_int_equal(jt_methods_load(m, AT("plugin_stage"), NULL), JT_INVALID); /* its name is taken, by itself */
    assert_int_equal(count(m), had);
    jt_methods_free(m);
}

static void hooks_fail_their_run_alone(void **state) {
    (void)state;
    static told t[2];
    static const struct {
        const char *text, *say;
    } bad[] = {{"wrong:nan-logit", "stage wrong, position 5: token 3: its logit is set to what is not a number"},
               {"wrong:nan-added", "token 3: what is added to its logit is not a number"},
               {"wrong:no-token", "token 1073741824: it is outside of the vocabulary"},
               {"wrong:nan-divided", "divided by what is not above 0"},
               {"wrong:wild-status", "stage wrong, position 5: the stage failed without a message"},
               {"wrong:error", "this is what went wrong"},
               {"temp:0.5 | wrong:map", "its logit is mapped to what is not a number"},
               {"astray:no-token", "astray writes token 1073741824, outside of the vocabulary"},
               {"astray:no-slot", "slot 200"},
               {"astray:wild-status", "the strategy astray failed without a message"},
               {"astray:nothing", "asks for nothing and is not done"},
               {"astray:no-row", "row that is not there"},
               {"astray:negative-slot", "slot -5"},
               {"astray:past-pushed", "pushes token 1073741824"},
               {"best-of-n:n=2,by=no-number > sample", "scorer no-number: it gives no number"}};
    jt_methods *m = with(AT("wrong_hooks"));
    fake f;
    fake_make(&f);
    jt_pipeline *well = parse_with("sample | temp:1.2", m);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        jt_driver *d = driver_of(&f);
        jt_pipeline *p = parse_with(bad[i].text, m);
        jt_request r[2] = {request_of(p, 1, 12), request_of(well, 1, 12)};
        jt_job job[2];
        for (int k = 0; k < 2; k++) assert_int_equal(jt_driver_submit(d, &r[k], &job[k], NULL), JT_OK);
        finish_all(d, job, t, 2);
        assert_int_equal(t[0].reason, JT_END_ERROR);
        if (!strstr(t[0].message, bad[i].say)) fail_msg("%s: \"%s\" is not in: %s", bad[i].text, bad[i].say, t[0].message);
        assert_int_equal(t[1].reason, JT_END_LENGTH); /* the job beside it goes on */
        jt_driver_free(d);
        jt_pipeline_free(p);
        assert_int_equal(f.open, 0);
    }
    jt_pipeline_free(well);
    fake_free(&f);
    jt_methods_free(m);
}

/* The loader's own allocations are not counted as failed, so there is one more round than there are failures. */
static void failed_allocations(void **state) {
    (void)state;
    bool loaded = false;
    for (long i = 0; !loaded; i++) {
        jt_methods *m = set();
        jt_error err = {JT_OK, ""};
        alloc_fail_at(i);
        jt_status e = jt_methods_load(m, AT("plugin_tap"), &err);
        loaded = alloc_count() <= i;
        alloc_fail_at(-1);
        if (e != JT_OK) {
            assert_null(jt_method_find(m, "clip"));
            assert_true(err.message[0] != 0);
        }
        assert_true(!loaded || e == JT_OK);
        jt_methods_free(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(examples_run), cmocka_unit_test(wrong_plugins_are_refused_by_name),
                                       cmocka_unit_test(hooks_fail_their_run_alone), cmocka_unit_test(failed_allocations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
