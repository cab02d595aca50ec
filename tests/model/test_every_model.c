/* The promise of docs/numbers.md, bit for bit, on every model of tests/fixtures and in every block format: what a row gives
 * does not depend on how its sequence was cut, on company, forks and truncations, kernels, threads, or on where weights lie.
 * Models are found by walking the folder, formats by walking the table, so that what is added is tested. JETON_TEST_LONG=1
 * tries every model in every mode and every format. Fewer models under more programs: test_invariance.c, test_programs.c. */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "jeton/convert.h"
#include "jeton/model.h"
#include "model/gguf.h"
#include "model/tiny_llama.h"

enum { N = 22, CONTEXT = 64, MODELS = 128 };
static char folder[] = "/tmp/jeton-every-XXXXXX";
static char model[MODELS][400]; /* paths of the fixtures */
static int models, compared, different, turn;
static bool long_run;

static const struct mode {
    const char *name;
    jt_activations act;
    jt_kv_type kv;
} mode[] = {{"int8, f16", JT_ACT_INT8, JT_KV_F16},
            {"float, f32", JT_ACT_FLOAT, JT_KV_F32},
            {"int8, q8_0", JT_ACT_INT8, JT_KV_Q8_0},
            {"bf16, f16", JT_ACT_BF16, JT_KV_F16}};
enum { MODES = sizeof mode / sizeof *mode };

static void ok(jt_status st, const jt_error *err) {
    if (st) fail_msg("%s: %s", jt_status_name(st), err->message);
}

static const char *base_name(const char *path) { return strrchr(path, '/') + 1; }

/* ---- what there is ---- */

static bool is_model(const char *path) {
    char inner[512];
    size_t n = strlen(path);
    jt_gguf *g;
    const char *type;
    jt_error err;
    if (!strncmp(path, FIXTURES "/encoders/", sizeof FIXTURES + 9)) return false; /* test_encoders.c has those */
    if (n < 5 || strcmp(path + n - 5, ".gguf")) {
        snprintf(inner, sizeof inner, "%s/config.json", path);
        return !access(inner, R_OK);
    }
    ok(jt_gguf_open(path, &g, &err), &err);
    bool adapter = !jt_gguf_get_text(g, "general.type", &type, &n, &err) && n == 7 && !memcmp(type, "adapter", n);
    jt_gguf_free(g);
    return !adapter;
}

static void find_models(const char *path) {
    if (!strcmp(base_name(path), "encoders")) return; /* they see sequences whole, and cannot go on */
    DIR *d = opendir(path);
    if (is_model(path)) {
        assert_true(models < MODELS);
        snprintf(model[models++], sizeof *model, "%s", path);
    }
    for (struct dirent *x; d && (x = readdir(d));) {
        char inner[400];
        struct stat st;
        int n = snprintf(inner, sizeof inner, "%s/%s", path, x->d_name);
        assert_in_range(n, 1, sizeof inner - 1);
        if (*x->d_name == '.' || stat(inner, &st)) continue;
        if (S_ISDIR(st.st_mode) || (strlen(inner) > 5 && !strcmp(inner + strlen(inner) - 5, ".gguf"))) find_models(inner);
    }
    if (d) closedir(d);
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

static int setup(void **unused) {
    (void)unused;
    const char *env = getenv("JETON_TEST_LONG");
    long_run = env && *env && strcmp(env, "0") != 0;
    find_models(FIXTURES);
    qsort(model, (size_t)models, sizeof *model, by_name);
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **unused) {
    (void)unused;
    print_message("%d rows compared\n", compared);
    return rmdir(folder);
}

/* ---- one model on one machinery ---- */

typedef struct how {
    const char *kernels; /* NULL: the best */
    int threads, no_repack, ubatch;
    unsigned ways;
} how;

typedef struct rig {
    jt_engine *engine;
    jt_model *model;
    jt_model_info info;
    size_t row; /* floats of a row: logits, and the vector that the head multiplies */
    int32_t ids[N], other[N];
    const float *want; /* [N][row] */
    char what[700];
} rig;

static void rig_open(const char *path, const struct mode *m, how h, rig *r) {
    jt_error err;
    *r = (rig){0};
    ok(jt_engine_new(&(jt_engine_options){.threads = h.threads, .kernels = h.kernels}, &r->engine, &err), &err);
    jt_model_options o = {.activations = m->act, .kv_type = m->kv, .ubatch = h.ubatch, .no_repack = h.no_repack};
    jt_status s = jt_model_open(r->engine, path, &o, &r->model, &err);
    if (s) fail_msg("%s: %s: %s", path, jt_status_name(s), err.message);
    jt_model_get_info(r->model, &r->info);
    r->row = (size_t)r->info.vocab + (size_t)r->info.hidden;
    for (int i = 0; i < N; i++) r->ids[i] = (i * 37 + 11) % r->info.vocab, r->other[i] = (i * 41 + 5) % r->info.vocab;
    snprintf(r->what, sizeof r->what, "%s, %s, kernels %s, threads %d, %s, ubatch %d", path, m->name, h.kernels ? h.kernels : "best",
             h.threads, h.no_repack ? "mapped" : "packed", h.ubatch);
}

static void rig_close(rig *r) {
    jt_model_free(r->model);
    jt_engine_free(r->engine);
}

static jt_state *state_new(const rig *r) {
    jt_state *s;
    jt_error err;
    ok(jt_state_new(r->model, CONTEXT, &s, &err), &err);
    return s;
}

/* Evaluates the spans; the results of rows [from, from + n) of the batch go to `out`. */
static void eval_spans(const rig *r, const jt_span *span, int n_span, int from, int n, float *out) {
    jt_want want[N];
    jt_error err;
    for (int i = 0; i < n; i++)
        want[i] = (jt_want){.row = from + i, .logits = out + (size_t)i * r->row, .final = out + (size_t)i * r->row + r->info.vocab};
    ok(jt_eval(r->model, &(jt_batch){.span = span, .n_span = n_span, .want = want, .n_want = n}, &err), &err);
}

static void check(const rig *r, const float *got, int first, int n, const char *way) {
    for (int i = 0; i < n; i++) {
        compared++;
        if (!memcmp(got + (size_t)i * r->row, r->want + (size_t)(first + i) * r->row, r->row * sizeof *got)) continue;
        different++;
        print_error("%s: %s: row %d differs\n", r->what, way, first + i);
        return;
    }
}

/* Rows [from, to) of the sequence, which `s` holds up to `from`, in pieces. */
static void go_on(const rig *r, jt_state *s, int from, int to, int step, const char *way) {
    float *got = malloc((size_t)N * r->row * sizeof *got);
    assert_non_null(got);
    for (int n; from < to; from += n) {
        n = from + step < to ? step : to - from;
        eval_spans(r, &(jt_span){.state = s, .ids = r->ids + from, .n = n}, 1, 0, n, got);
        check(r, got, from, n, way);
    }
    free(got);
}

/* ---- ways to the same rows ---- */

enum { WHOLE = 1, ONES = 2, THREES = 4, SEVENS = 8, COMPANY = 16, FORK = 32, TRUNCATE = 64, TREE = 128, ALL = 255 };

static void way_pieces(const rig *r, int step, const char *way) {
    jt_state *s = state_new(r);
    go_on(r, s, 0, N, step, way);
    jt_state_free(s);
}

/* Between two other sequences, of which one begins later. */
static void way_company(const rig *r) {
    jt_state *s[3] = {state_new(r), state_new(r), state_new(r)};
    float *got = malloc((size_t)N * r->row * sizeof *got);
    assert_non_null(got);
    for (int from = 0, n; from < N; from += n) {
        n = N - from < 5 ? N - from : 5;
        jt_span span[3] = {{.state = s[0], .ids = r->other + from % 7, .n = 3},
                           {.state = s[1], .ids = r->ids + from, .n = n},
                           {.state = s[2], .ids = r->other + from, .n = 1}};
        eval_spans(r, span, from ? 3 : 2, 3, n, got);
        check(r, got, from, n, "in company");
    }
    free(got);
    for (int i = 0; i < 3; i++) jt_state_free(s[i]);
}

/* A fork goes another way, comes back and goes on, and so does what it was forked from. */
static void way_fork(const rig *r) {
    jt_state *s = state_new(r), *f;
    jt_error err;
    float *got = malloc((size_t)N * r->row * sizeof *got);
    assert_non_null(got);
    go_on(r, s, 0, 11, 11, "before a fork");
    ok(jt_state_fork(s, &f, &err), &err);
    eval_spans(r, &(jt_span){.state = f, .ids = r->other, .n = 6}, 1, 0, 6, got);
    go_on(r, s, 11, N, 4, "after a fork went another way");
    ok(jt_state_truncate(f, 7, &err), &err);
    jt_state_free(s);
    go_on(r, f, 7, N, N, "a fork come back");
    jt_state_free(f);
    free(got);
}

static void way_truncate(const rig *r) {
    static const int to[] = {N - 1, N / 2, 1, 0};
    jt_state *s = state_new(r);
    jt_error err;
    go_on(r, s, 0, N, N, "before truncation");
    for (size_t i = 0; i < sizeof to / sizeof *to; i++) {
        ok(jt_state_truncate(s, to[i], &err), &err);
        go_on(r, s, to[i], N, 6, "after truncation");
    }
    jt_state_free(s);
}

/* Three equal branches of four rows each, row by row beside each other, leave a trunk that went on another way. */
static void way_tree(const rig *r) {
    enum { TRUNK = 9, BRANCH = 12 };
    int32_t ids[BRANCH], parent[BRANCH];
    jt_state *s = state_new(r);
    float *got = malloc((size_t)N * r->row * sizeof *got);
    assert_non_null(got);
    go_on(r, s, 0, TRUNK, TRUNK, "trunk");
    eval_spans(r, &(jt_span){.state = s, .ids = r->other, .n = 2}, 1, 0, 2, got);
    for (int i = 0; i < BRANCH; i++) ids[i] = r->ids[TRUNK + i / 3], parent[i] = i < 3 ? TRUNK - 1 : TRUNK + 2 + i - 3;
    eval_spans(r, &(jt_span){.state = s, .ids = ids, .parent = parent, .n = BRANCH}, 1, 0, BRANCH, got);
    for (int i = 0; i < BRANCH; i++) check(r, got + (size_t)i * r->row, TRUNK + i / 3, 1, "branch of a tree");
    jt_state_free(s);
    free(got);
}

static void all_ways(const char *path, const struct mode *m, how h, const float *want) {
    rig r;
    rig_open(path, m, h, &r);
    r.want = want;
    if (h.ways & WHOLE) way_pieces(&r, N, "whole");
    if (h.ways & ONES) way_pieces(&r, 1, "row by row");
    if (h.ways & THREES) way_pieces(&r, 3, "pieces of 3");
    if (h.ways & SEVENS) way_pieces(&r, 7, "pieces of 7");
    if (h.ways & COMPANY) way_company(&r);
    if (h.ways & FORK) way_fork(&r);
    if (h.ways & TRUNCATE) way_truncate(&r);
    if (h.ways & TREE) way_tree(&r);
    rig_close(&r);
}

/* Row by row on the scalar kernels is what everything else must equal. */
static void try_model(const char *path, const struct mode *m) {
    /* With more threads than idle processors each of an eval's barriers may wait for a time slice: one eval in the ordinary run. */
    static const how table[] = {
        {.threads = 2}, {.threads = 4}, {.threads = 2, .no_repack = 1}, {.threads = 4, .no_repack = 1}, {.threads = 1, .ubatch = 5}};
    rig r;
    rig_open(path, m, (how){.kernels = "scalar", .threads = 1}, &r);
    float *want = calloc((size_t)N * r.row, sizeof *want);
    assert_non_null(want);
    jt_state *s = state_new(&r);
    for (int i = 0; i < N; i++) eval_spans(&r, &(jt_span){.state = s, .ids = r.ids + i, .n = 1}, 1, 0, 1, want + (size_t)i * r.row);
    for (size_t i = 0; i < (size_t)N * r.row; i++)
        if (!isfinite(want[i])) fail_msg("%s: number %zu is not finite", path, i);
    int others = 0;
    for (int i = 1; i < N; i++) others += memcmp(want, want + (size_t)i * r.row, r.row * sizeof *want) != 0;
    if (others < N - 4) fail_msg("%s: only %d rows differ from the first", path, others);
    jt_state_free(s);
    rig_close(&r);
    /* Every variant is tried, the best one in all ways; of the rest of the table a part in the ordinary run. */
    int best = 0;
    for (int k = 0, usable; k < jt_kernels_count(); k++) {
        jt_kernels_name(k, &usable);
        if (usable) best = k;
    }
    for (int k = 0, usable; k < jt_kernels_count(); k++) {
        const char *kernels = jt_kernels_name(k, &usable);
        if (!usable) continue;
        unsigned few = k == 0 ? 0 : WHOLE | SEVENS | TREE;
        all_ways(path, m, (how){.kernels = kernels, .threads = 1, .ways = long_run || k == best ? ALL : few}, want);
        few = k == best ? WHOLE | ONES | FORK : WHOLE;
        all_ways(path, m, (how){.kernels = kernels, .threads = 1, .no_repack = 1, .ways = long_run ? ALL : few}, want);
    }
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        how h = table[i];
        h.ways = long_run ? ALL : WHOLE;
        if (long_run || (i + (size_t)turn) % 5 < 2) all_ways(path, m, h, want);
    }
    turn++;
    free(want);
}

/* In one of the modes, or in all. */
static void try_modes(const char *path, int which) {
    for (int i = 0; i < MODES; i++)
        if (long_run || i == which % MODES) try_model(path, &mode[i]);
}

/* ---- tests ---- */

static void test_fixtures(void **unused) {
    (void)unused;
    int before = different;
    assert_true(models >= 40);
    for (int i = 0; i < models; i++) try_modes(model[i], i);
    assert_int_equal(different, before);
}

/* A model converted to a format, and tried. */
static void try_converted(const char *in, const char *type, int which, bool pure) {
    char out[500];
    jt_error err;
    snprintf(out, sizeof out, "%s/%s-%s.gguf", folder, base_name(in), type);
    static const char *const matrices[] = {"weight=mxfp4"}; /* it is no type of whole files */
    bool mx = !strcmp(type, "mxfp4");
    jt_convert_options o = {.type = mx ? NULL : type, .pure = pure, .threads = 1};
    if (mx) o.tensor_type = matrices, o.n_tensor_type = 1;
    jt_status s = jt_convert(in, out, &o, NULL, &err);
    if (s) fail_msg("%s as %s: %s", in, type, err.message);
    try_modes(out, which);
    unlink(out);
}

/* The fixtures' rows are short: formats whose blocks divide them. */
static void test_fixtures_in_formats(void **unused) {
    (void)unused;
    static const char *const type[] = {"q8_0", "q4_0", "bf16", "q4_1", "q5_0", "q5_1", "iq4_nl", "mxfp4", "f16", "f32"};
    enum { TYPES = sizeof type / sizeof *type };
    int before = different;
    for (int i = 0; i < models; i++) {
        size_t n = strlen(model[i]);
        if (n > 5 && !strcmp(model[i] + n - 5, ".gguf")) continue; /* the folder beside it is the same model */
        for (int k = 0; k < TYPES; k++)
            if (long_run || k == i % TYPES) try_converted(model[i], type[k], i + k, false);
    }
    assert_int_equal(different, before);
}

static const tiny_llama tiny = {JT_F32, 67, 256, 1, 4, 2, 64, 256, CONTEXT, 0, 5};

static void test_formats_of_random_blocks(void **unused) {
    (void)unused;
    int n, tried = 0, before = different;
    const jt_format *f = jt_formats(&n);
    for (int i = 0; i < n; i++) {
        char path[500];
        tiny_llama t = tiny;
        if (!f[i].expand) continue;
        t.type = (jt_type)f[i].type;
        snprintf(path, sizeof path, "%s/random-%s.gguf", folder, f[i].name);
        tiny_llama_write(path, &t);
        try_modes(path, i);
        if (!long_run && i % 2) try_modes(path, i % MODES == 1 ? 0 : 1); /* the other kind of activations */
        unlink(path);
        tried++;
    }
    assert_true(tried >= 25);
    assert_int_equal(different, before);
}

static void test_formats_written(void **unused) {
    (void)unused;
    static const char *const type[] = {"f16",  "bf16", "q8_0", "q4_0", "q4_1",   "q5_0",   "q5_1", "q2_k",
                                       "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs", "mxfp4"};
    char path[500];
    int before = different;
    snprintf(path, sizeof path, "%s/written", folder);
    tiny_llama_write(path, &tiny);
    for (int i = 0; i < (int)(sizeof type / sizeof *type); i++) try_converted(path, type[i], i, true);
    unlink(path);
    assert_int_equal(different, before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fixtures),
        cmocka_unit_test(test_fixtures_in_formats),
        cmocka_unit_test(test_formats_of_random_blocks),
        cmocka_unit_test(test_formats_written),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
