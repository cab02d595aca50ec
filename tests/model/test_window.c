/* Sliding windows: against explicit masks in double precision, on linear sequences and on trees that are forked and cut;
 * and bit for bit over chunks, threads and kernels. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gguf_builder.h"
#include "jeton/model.h"
#include "jeton/tap.h"
#include "model/model.h"
#include "tree_record.h"
#include "windowed_folder.h"

static const double BOUND = 2e-4;

struct fixture {
    ref_model ref;
    jt_engine *engine, *scalar;
    char folder[64];
};

static int begin(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    ref_open_hf(&f->ref, FIXTURES "/hf-tiny/llama");
    snprintf(f->folder, sizeof f->folder, "/tmp/jeton-window-XXXXXX");
    return !mkdtemp(f->folder) || jt_engine_new(&(jt_engine_options){.threads = 2}, &f->engine, NULL) ||
           jt_engine_new(&(jt_engine_options){.threads = 1, .kernels = "scalar"}, &f->scalar, NULL);
}

static int end(void **state) {
    struct fixture *f = *state;
    jt_engine_free(f->engine), jt_engine_free(f->scalar);
    ref_close(&f->ref);
    windowed_remove(f->folder);
    free(f);
    return 0;
}

static jt_model *open_with(const struct fixture *f, jt_engine *e, const char *settings, jt_model_options o) {
    jt_model *m;
    jt_error err;
    windowed_write(f->folder, settings);
    if (jt_model_open(e, f->folder, &o, &m, &err)) fail_msg("%s", err.message);
    return m;
}

static jt_model *open_window(const struct fixture *f, int window, bool middle_sees_all) {
    char text[256];
    snprintf(text, sizeof text, "\"sliding_window\": %d,%s", window,
             middle_sees_all ? "\"layer_types\": [\"sliding_attention\", \"full_attention\", \"sliding_attention\"]," : "");
    return open_with(f, f->engine, text, (jt_model_options){.activations = JT_ACT_FLOAT});
}

/* What a pass is compared with. */
struct windows {
    const struct record *r;
    int window;
    bool middle_sees_all;
};

static double outside(void *self, int node, int key, int layer, int head) {
    const struct windows *w = self;
    (void)head;
    if (layer == 1 && w->middle_sees_all) return 0;
    return w->r->depth[node] - w->r->depth[key] < w->window ? 0 : -INFINITY;
}

static void grow(const struct fixture *f, const struct windows *win, jt_state *s, struct record *r, int n, const int *parent,
                 const int *rank, uint32_t seed) {
    static float logits[REF_MAX][REF_VOCAB];
    static double x[REF_MAX * REF_HIDDEN], want[REF_MAX * REF_VOCAB];
    static uint8_t mask[REF_MAX * REF_MAX];
    int32_t ids[REF_MAX], par[REF_MAX], rk[REF_MAX];
    jt_want w[REF_MAX];
    int from = r->n;
    for (int i = 0; i < n; i++) {
        int p = parent[i], at = r->n++;
        r->id[at] = (int)((seed * 97u + (uint32_t)at * 31u) % REF_VOCAB), r->parent[at] = p;
        r->depth[at] = r->position[at] = p < 0 ? 0 : r->depth[p] + 1;
        r->rank[at] = rk[i] = rank ? rank[i] : r->depth[at];
        ids[i] = r->id[at], par[i] = p < 0 ? JT_NO_PARENT : p;
        w[i] = (jt_want){.row = i, .logits = logits[i]};
    }
    look(r, from);
    jt_error err = {0};
    jt_span span = {.state = s, .ids = ids, .n = n, .parent = par, .rank = rank ? rk : NULL};
    if (jt_eval(jt_state_model(s), &(jt_batch){.span = &span, .n_span = 1, .want = w, .n_want = n}, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < r->n; i++) {
        ref_embed(&f->ref, r->id[i], x + i * REF_HIDDEN);
        for (int k = 0; k < r->n; k++) mask[i * r->n + k] = r->sees[i][k];
    }
    ref_run(&f->ref,
            &(ref_nodes){
                .n = r->n, .x = x, .position = r->position, .mask = mask, .bias = outside, .self = (void *)(uintptr_t)win, .logits = want});
    for (int i = 0; i < n; i++)
        for (int c = 0; c < REF_VOCAB; c++) {
            double d = fabs((double)logits[i][c] - want[(from + i) * REF_VOCAB + c]);
            if (!(d <= BOUND)) fail_msg("window %d, node %d, logit %d: %g away", win->window, from + i, c, d);
        }
}

static jt_state *new_state(jt_model *m) {
    jt_state *s;
    assert_int_equal(jt_state_new(m, 256, &s, NULL), JT_OK);
    return s;
}

static void windows_of_many_sizes(void **state) {
    static const int sizes[] = {1, 2, 31, 32, 33, 64, 65, 99, 100, 5000};
    const struct fixture *f = *state;
    static struct record r;
    enum { N = 100 };
    int parent[N], rank[N];
    for (int i = 0; i < 20; i++) {
        jt_model *m = open_window(f, sizes[i / 2], i % 2);
        struct windows w = {&r, sizes[i / 2], i % 2};
        for (int kind = 0; kind < 3; kind++) {
            memset(&r, 0, sizeof r);
            jt_state *s = new_state(m);
            chain(parent, N);
            for (int k = 0; k < N; k++) rank[k] = kind == 1 ? k / 16 : k < 40 ? 0 : k; /* blocks, or a prefix */
            grow(f, &w, s, &r, N - 3, parent, kind ? rank : NULL, 5);
            for (int k = N - 3; k < N; k++) grow(f, &w, s, &r, 1, parent + k, NULL, 5); /* one by one from the pages */
            jt_state_free(s);
        }
        jt_model_free(m);
    }
}

/* Trees grown over several evals, with truncations and forks between. */
static void trees_in_windows(void **state) {
    const struct fixture *f = *state;
    static struct record r, copy;
    for (uint32_t seed = 0; seed < 60; seed++) {
        uint32_t at = 0;
        int window = (int[]){1, 5, 31, 32, 33, 40}[pick(seed, &at, 6)], parent[64];
        struct windows w = {&r, window, seed % 2};
        jt_model *m = open_window(f, window, seed % 2);
        memset(&r, 0, sizeof r);
        jt_state *s = new_state(m);
        int first = 30 + (int)pick(seed, &at, 30);
        chain(parent, first);
        grow(f, &w, s, &r, first, parent, NULL, seed);
        for (int round = 0; round < 3; round++) {
            int n = 1 + (int)pick(seed, &at, 12), back = r.n < 6 ? r.n : 6;
            for (int i = 0; i < n; i++) parent[i] = r.n + i - 1 - (int)pick(seed, &at, (uint32_t)(back + i));
            grow(f, &w, s, &r, n, parent, NULL, seed);
            switch (pick(seed, &at, 3)) {
            case 0: {
                int node = r.n - 1 - (int)pick(seed, &at, 12);
                node = node < 0 ? 0 : node;
                assert_int_equal(jt_state_truncate_to(s, node, NULL), JT_OK);
                keep_path(&r, node);
                break;
            }
            case 1: {
                int keep = r.n - (int)pick(seed, &at, 12);
                keep = keep < 1 ? 1 : keep;
                assert_int_equal(jt_state_truncate(s, keep, NULL), JT_OK);
                keep_first(&r, keep);
                break;
            }
            default: {
                jt_state *t;
                int other = r.n - 1;
                assert_int_equal(jt_state_fork(s, &t, NULL), JT_OK);
                copy = r;
                grow(f, &(struct windows){&copy, window, seed % 2}, s, &copy, 1, &other, NULL, seed + 1);
                jt_state_free(s);
                s = t;
            }
            }
        }
        jt_state_free(s);
        jt_model_free(m);
    }
}

/* All logits of a sequence, in pieces of `cut` rows. */
static void logits_of(jt_model *m, const int32_t *ids, int n, int cut, float (*out)[REF_VOCAB]) {
    jt_state *s = new_state(m);
    jt_want w[REF_MAX];
    for (int i = 0; i < n; i += cut) {
        int rows = n - i < cut ? n - i : cut;
        jt_span span = {.state = s, .ids = ids + i, .n = rows};
        for (int k = 0; k < rows; k++) w[k] = (jt_want){.row = k, .logits = out[i + k]};
        assert_int_equal(jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .want = w, .n_want = rows}, NULL), JT_OK);
    }
    jt_state_free(s);
}

static void bits_do_not_depend_on_chunks_threads_or_kernels(void **state) {
    static const jt_kv_type types[] = {JT_KV_F32, JT_KV_F16, JT_KV_Q8_0};
    static const int cuts[] = {1, 7, 32, 33, 200};
    const struct fixture *f = *state;
    static float want[REF_MAX][REF_VOCAB], got[REF_MAX][REF_VOCAB];
    enum { N = 140 };
    int32_t ids[N];
    for (int i = 0; i < N; i++) ids[i] = (i * 71 + 5) % REF_VOCAB;
    for (int t = 0; t < 3; t++) {
        const char *window = (const char *[]){"\"sliding_window\": 33,", "\"sliding_window\": 50,", "\"sliding_window\": 7,"}[t];
        jt_model *slow = open_with(f, f->scalar, window, (jt_model_options){.activations = JT_ACT_FLOAT, .kv_type = types[t], .ubatch = 5});
        jt_model *fast = open_with(f, f->engine, window, (jt_model_options){.activations = JT_ACT_FLOAT, .kv_type = types[t]});
        logits_of(slow, ids, N, N, want);
        for (int c = 0; c < 5; c++) {
            logits_of(fast, ids, N, cuts[c], got);
            assert_memory_equal(got, want, N * sizeof *want);
        }
        jt_model_free(slow), jt_model_free(fast);
    }
}

/* A window that holds the whole sequence is none: the bits of the plain model, whose mode is another. */
static void a_window_that_is_large_enough_changes_nothing(void **state) {
    const struct fixture *f = *state;
    static float want[REF_MAX][REF_VOCAB], got[REF_MAX][REF_VOCAB];
    jt_model_options o = {.activations = JT_ACT_FLOAT};
    enum { N = 90 };
    int32_t ids[N];
    jt_model *plain, *none = open_with(f, f->engine, "\"sliding_window\": null,", o), *large = open_window(f, N, false);
    jt_model_info a, b, c;
    for (int i = 0; i < N; i++) ids[i] = (i * 31 + 9) % REF_VOCAB;
    assert_int_equal(jt_model_open(f->engine, FIXTURES "/hf-tiny/llama", &o, &plain, NULL), JT_OK);
    logits_of(plain, ids, N, N, want);
    logits_of(none, ids, N, N, got);
    assert_memory_equal(got, want, N * sizeof *want);
    logits_of(large, ids, N, 16, got);
    assert_memory_equal(got, want, N * sizeof *want);
    jt_model_get_info(none, &a), jt_model_get_info(large, &b);
    assert_true(a.mode != b.mode);
    jt_model *other = open_window(f, N, true);
    jt_model_get_info(other, &c);
    assert_true(c.mode != b.mode);
    jt_model_free(plain), jt_model_free(none), jt_model_free(large), jt_model_free(other);
}

/* A row that sees past the window through other rows: a bias hides all within its own window and it gets zeros. */
static void a_bias_may_hide_all_of_a_window(void **state) {
    const struct fixture *f = *state;
    static float got[2][REF_VOCAB];
    jt_model *m = open_window(f, 4, false);
    enum { N = 50 };
    int32_t ids[N];
    for (int i = 0; i < N; i++) ids[i] = i + 3;
    jt_tap taps[2] = {
        {.site = "score", .op = JT_TAP_KEY_BIAS, .value = -INFINITY, .row_first = N - 1, .key_first = N - 4, .key_end = N},
        {.site = "heads", .op = JT_TAP_SCALE, .value = 0, .row_first = N - 1},
    };
    for (int i = 0; i < 2; i++) {
        jt_state *s = new_state(m);
        jt_want w = {.row = N - 1, .logits = got[i]};
        jt_span span = {.state = s, .ids = ids, .n = N};
        assert_int_equal(jt_state_set_taps(s, taps + i, 1, NULL), JT_OK);
        assert_int_equal(jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .want = &w, .n_want = 1}, NULL), JT_OK);
        jt_state_free(s);
    }
    assert_memory_equal(got[0], got[1], sizeof got[0]);
    jt_model_free(m);
}

static void which_layers(void **state) {
    const struct fixture *f = *state;
    jt_model *m = open_window(f, 12, true);
    assert_int_equal(jt_config_window(&m->config, 0), 12);
    assert_int_equal(jt_config_window(&m->config, 1), 0);
    assert_int_equal(jt_config_window(&m->config, 2), 12);
    jt_model_free(m);
    static const struct {
        const char *settings;
        jt_status status;
        const char *word;
    } wrong[] = {{"\"sliding_window\": 0,", JT_FORMAT, "sliding_window"},
                 {"\"sliding_window\": \"x\",", JT_FORMAT, "sliding_window"},
                 {"\"sliding_window\": 5, \"layer_types\": [\"full_attention\"],", JT_FORMAT, "layer_types"},
                 {"\"sliding_window\": 5, \"layer_types\": [\"full_attention\", \"chunked_attention\", 1],", JT_UNSUPPORTED, "layer 1"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        jt_error err;
        windowed_write(f->folder, wrong[i].settings);
        assert_int_equal(jt_model_open(f->engine, f->folder, &(jt_model_options){.activations = JT_ACT_FLOAT}, &m, &err), wrong[i].status);
        assert_non_null(strstr(err.message, wrong[i].word));
    }
}

/* What the metadata of a GGUF file says; pattern: -1 none, -2 flags that name layers 1 and 4. */
static jt_status gguf_config(int window, int pattern, int flags, jt_config *c, jt_error *err) {
    gguf_builder b = {0};
    size_t n;
    jt_gguf *g;
    gb_text(&b, "general.architecture", "llama");
    gb_u32(&b, "llama.embedding_length", 64), gb_u32(&b, "llama.block_count", 7), gb_u32(&b, "llama.attention.head_count", 4);
    gb_u32(&b, "llama.feed_forward_length", 96), gb_u32(&b, "llama.context_length", 512);
    gb_f32(&b, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    if (window >= 0) gb_u32(&b, "llama.attention.sliding_window", (uint32_t)window);
    if (pattern >= 0) gb_u32(&b, "llama.attention.sliding_window_pattern", (uint32_t)pattern);
    if (pattern == -2) {
        gb_array(&b, "llama.attention.sliding_window_pattern", JT_GGUF_BOOL, (uint64_t)flags);
        for (int i = 0; i < flags; i++) gb_put_int(&b.meta, i == 1 || i == 4, 1);
    }
    static const float data[64 * 8];
    gb_tensor(&b, "token_embd.weight", JT_F32, 2, (uint64_t[]){64, 8}, data, sizeof data);
    uint8_t *file = gb_finish(&b, 3, &n);
    jt_status s = jt_gguf_parse(file, n, &g, err);
    if (!s) s = jt_config_from_gguf(g, c, err), jt_gguf_free(g);
    free(file);
    return s;
}

static void which_layers_of_gguf(void **state) {
    (void)state;
    static const struct {
        int window, pattern, want[7];
    } row[] = {{-1, -1, {0}},
               {0, -1, {0}},
               {9, -1, {9, 9, 9, 9, 9, 9, 9}},
               {9, 0, {9, 9, 9, 9, 9, 9, 9}},
               {9, 1, {0}},
               {9, 3, {9, 9, 0, 9, 9, 0, 9}},
               {9, -2, {0, 9, 0, 0, 9, 0, 0}}};
    jt_config c;
    jt_error err;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        if (gguf_config(row[i].window, row[i].pattern, 7, &c, &err)) fail_msg("%s", err.message);
        for (int l = 0; l < 7; l++) assert_int_equal(jt_config_window(&c, l), row[i].want[l]);
    }
    assert_int_equal(gguf_config(9, -2, 6, &c, &err), JT_FORMAT);
    assert_non_null(strstr(err.message, "layer 6"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_of_many_sizes),
        cmocka_unit_test(trees_in_windows),
        cmocka_unit_test(bits_do_not_depend_on_chunks_threads_or_kernels),
        cmocka_unit_test(a_window_that_is_large_enough_changes_nothing),
        cmocka_unit_test(a_bias_may_hide_all_of_a_window),
        cmocka_unit_test(which_layers),
        cmocka_unit_test(which_layers_of_gguf),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
