/* bench_baseline.c: an earlier `jeton bench --json` to compare with. */
#include <string.h>

#include "cli/bench.h"
#include "core/json.h"

static bool baseline_text_is(const jt_json *root, const char *key, const char *value) {
    size_t n;
    const char *s = jt_json_string(jt_json_member(root, key), &n);
    return s && n == strlen(value) && !memcmp(s, value, n);
}

static void baseline_take(jt_bench *b, const jt_json *o) {
    size_t n;
    const char *name = jt_json_string(jt_json_member(o, "test"), &n);
    for (int i = 0; name && i < b->tests; i++)
        if (strlen(b->test[i].name) == n && !memcmp(b->test[i].name, name, n))
            jt_json_double(jt_json_member(o, "median"), &b->test[i].baseline);
}

jt_status jt_bench_read_baseline(jt_bench *b, jt_error *err) {
    jt_json *root = NULL;
    jt_status st = jt_json_read(b->baseline, &root, err);
    if (st) return st;
    const jt_json *results = jt_json_member(root, "results");
    int64_t threads = 0;
    if (!results || !jt_json_count(results))
        st = jt_error_set(err, JT_FORMAT, "%s holds no results; give a file that jeton bench --json wrote", b->baseline);
    for (size_t i = 0; !st && i < jt_json_count(results); i++) baseline_take(b, jt_json_item(results, i));
    b->other_machine =
        !st && (!baseline_text_is(root, "model", b->info.name) || !baseline_text_is(root, "weights", b->info.weight_types) ||
                !baseline_text_is(root, "activations", b->info.activations) || !baseline_text_is(root, "kv_type", b->info.kv_type) ||
                !baseline_text_is(root, "kernels", jt_engine_kernels(b->session.engine)) ||
                !jt_json_i64(jt_json_member(root, "threads"), &threads) || threads != jt_engine_threads(b->session.engine));
    jt_json_free(root);
    return st;
}
