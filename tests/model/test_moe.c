/* Mixtures of experts and latent attention: logits, hidden states and greedy continuations as Hugging Face transformers
 * computes them (tests/fixtures/moe, a folder and a GGUF file of each model), and the promise of docs/numbers.md: what a row
 * gives does not depend on batch, chunks, threads, kernels or on where weights lie. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "jeton/adapter.h"
#include "jeton/keys.h"
#include "jeton/tap.h"
#include "model/gguf_builder.h"
#include "model/model.h"

static const double BOUND = 2e-4, GAP = 1e-3;
static const char *const models[] = {"mixtral",     "qwen3-moe",          "olmoe",       "gpt-oss",    "gpt-oss-mxfp4",
                                     "granite-moe", "granite-hybrid-moe", "deepseek-v2", "deepseek-v3"};
enum { MODELS = sizeof models / sizeof *models, CONTEXT = 64 };

static void ok(jt_status st, const jt_error *err) {
    if (st) fail_msg("%s: %s", jt_status_name(st), err->message);
}

/* What the reference says of a model. */
typedef struct expected {
    int rows, seqs, vocab, layers, hidden, n_next;
    int64_t ids[64], next[32];
    float *logits, *stream, gap[32];
} expected;

static float *read_floats(const jt_safetensors *f, const char *name, float *to) {
    jt_error err;
    const jt_st_tensor *t = jt_safetensors_tensor_named(f, name);
    assert_non_null(t);
    if (!to) to = malloc((size_t)t->elements * sizeof *to);
    assert_non_null(to);
    ok(jt_st_read_f32(t, 0, t->elements, to, &err), &err);
    return to;
}

static int read_ids(const jt_safetensors *f, const char *name, int64_t *to) {
    jt_error err;
    const jt_st_tensor *t = jt_safetensors_tensor_named(f, name);
    assert_non_null(t);
    assert_true(t->elements <= 64);
    ok(jt_st_read_i64(t, 0, t->elements, to, &err), &err);
    return (int)t->elements;
}

static void expected_read(const char *name, expected *x) {
    char path[512];
    jt_error err;
    jt_safetensors *f;
    snprintf(path, sizeof path, FIXTURES "/moe/%s/expected.safetensors", name);
    ok(jt_safetensors_open(path, &f, &err), &err);
    read_ids(f, "input_ids", x->ids);
    const uint64_t *dim = jt_safetensors_tensor_named(f, "input_ids")->dim;
    x->seqs = (int)dim[0], x->rows = (int)dim[1];
    x->vocab = (int)jt_safetensors_tensor_named(f, "logits")->dim[2];
    x->layers = (int)jt_safetensors_tensor_named(f, "hidden")->dim[0];
    x->hidden = (int)jt_safetensors_tensor_named(f, "hidden")->dim[3];
    x->logits = read_floats(f, "logits", NULL), x->stream = read_floats(f, "hidden", NULL);
    x->n_next = read_ids(f, "generated", x->next);
    read_floats(f, "generated_gap", x->gap);
    jt_safetensors_free(f);
}

static void expected_free(expected *x) { free(x->logits), free(x->stream); }

typedef struct machine {
    int threads, ubatch, no_repack;
    const char *kernels;
    jt_activations act;
    jt_kv_type kv;
} machine;

typedef struct rig {
    jt_engine *engine;
    jt_model *model;
    jt_model_info info;
} rig;

static void rig_open(const char *name, bool gguf, machine how, rig *out) {
    char path[512];
    jt_error err;
    jt_engine_options eo = {.threads = how.threads, .kernels = how.kernels};
    jt_model_options mo = {.activations = how.act, .kv_type = how.kv, .ubatch = how.ubatch, .no_repack = how.no_repack};
    snprintf(path, sizeof path, FIXTURES "/moe/%s%s", name, gguf ? ".gguf" : "");
    ok(jt_engine_new(&eo, &out->engine, &err), &err);
    ok(jt_model_open(out->engine, path, &mo, &out->model, &err), &err);
    jt_model_get_info(out->model, &out->info);
}

static void rig_close(rig *r) {
    jt_model_free(r->model);
    jt_engine_free(r->engine);
}

static jt_state *state_new(rig *r) {
    jt_error err;
    jt_state *s;
    ok(jt_state_new(r->model, CONTEXT, &s, &err), &err);
    return s;
}

/* Logits of ids on a state, in pieces of `step` rows. */
static void run_rows(rig *r, jt_state *s, const int64_t *ids, int n, int step, float *logits) {
    jt_error err;
    size_t vocab = (size_t)r->info.vocab;
    int32_t narrow[CONTEXT];
    for (int i = 0; i < n; i++) narrow[i] = (int32_t)ids[i];
    for (int from = 0; from < n; from += step) {
        jt_want want[CONTEXT] = {0};
        int rows = from + step < n ? step : n - from;
        for (int i = 0; i < rows; i++) want[i].row = i, want[i].logits = logits + (size_t)(from + i) * vocab;
        jt_span span = {.state = s, .ids = narrow + from, .n = rows};
        ok(jt_eval(r->model, &(jt_batch){.span = &span, .n_span = 1, .want = want, .n_want = rows}, &err), &err);
    }
}

static double apart(const float *a, const float *b, size_t n) {
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= most)) most = d;
    }
    return most;
}

static void as_reference(const char *name, bool gguf) {
    expected x;
    rig r;
    jt_error err;
    expected_read(name, &x);
    rig_open(name, gguf, (machine){.act = JT_ACT_FLOAT}, &r);
    assert_int_equal(r.info.vocab, x.vocab);
    assert_int_equal(r.info.layers, x.layers);
    size_t vocab = (size_t)x.vocab, rows = (size_t)x.rows, width = (size_t)x.hidden;
    float *got = calloc((rows * (size_t)x.layers + rows) * width + rows * vocab, sizeof *got), *stream = got + rows * vocab;
    assert_non_null(got);
    for (int k = 0; k < x.seqs; k++) {
        jt_state *s = state_new(&r);
        run_rows(&r, s, x.ids + k * x.rows, x.rows, x.rows, got);
        double d = apart(got, x.logits + (size_t)k * rows * vocab, rows * vocab);
        if (!(d <= BOUND)) fail_msg("%s%s, sequence %d: a logit is off by %g", name, gguf ? ".gguf" : "", k, d);
        jt_state_free(s);
    }
    int32_t ids[CONTEXT];
    for (int i = 0; i < x.rows; i++) ids[i] = (int32_t)x.ids[i];
    jt_state *s = state_new(&r);
    jt_span span = {.state = s, .ids = ids, .n = x.rows};
    ok(jt_eval(r.model, &(jt_batch){.span = &span, .n_span = 1, .residual = stream}, &err), &err);
    double d = apart(stream, x.stream, rows * (size_t)x.layers * width);
    if (!(d <= BOUND)) fail_msg("%s%s: the stream is off by %g", name, gguf ? ".gguf" : "", d);
    ok(jt_state_truncate(s, 0, &err), &err);
    run_rows(&r, s, x.ids, 8, 8, got);
    for (int i = 0; i < x.n_next; i++) {
        const float *last = got + (i ? 0 : 7 * vocab);
        int64_t best = 0;
        for (int t = 1; t < x.vocab; t++)
            if (last[t] > last[best]) best = t;
        if (best != x.next[i]) {
            if ((double)x.gap[i] >= GAP) fail_msg("%s: token %d is %d, not %d", name, i, (int)best, (int)x.next[i]);
            break;
        }
        run_rows(&r, s, &best, 1, 1, got);
    }
    jt_state_free(s);
    free(got);
    rig_close(&r);
    expected_free(&x);
}

static void test_folders(void **unused) {
    (void)unused;
    for (int i = 0; i < MODELS; i++) as_reference(models[i], false);
}

static void test_gguf_files(void **unused) {
    (void)unused;
    for (int i = 0; i < MODELS; i++) as_reference(models[i], true);
}

/* ---- invariance ---- */

static void same_bits(const char *name, machine how, int step, const int64_t *ids, int n, const float *want) {
    rig r;
    rig_open(name, true, how, &r);
    float *got = calloc((size_t)n * (size_t)r.info.vocab, sizeof *got);
    assert_non_null(got);
    jt_state *s = state_new(&r);
    run_rows(&r, s, ids, n, step, got);
    if (memcmp(got, want, (size_t)n * (size_t)r.info.vocab * sizeof *got))
        fail_msg("%s, %s, %d threads, kernels %s, ubatch %d, mapped %d, step %d: other bits", name,
                 how.act == JT_ACT_INT8   ? "int8"
                 : how.act == JT_ACT_BF16 ? "bf16"
                                          : "float",
                 how.threads, how.kernels ? how.kernels : "auto", how.ubatch, how.no_repack, step);
    jt_state_free(s);
    free(got);
    rig_close(&r);
}

static void invariant(const char *name, jt_activations act, jt_kv_type kv) {
    expected x;
    rig r;
    expected_read(name, &x);
    int n = 2 * x.rows;
    machine one = {.threads = 1, .act = act, .kv = kv};
    rig_open(name, true, one, &r);
    float *want = calloc((size_t)n * (size_t)x.vocab, sizeof *want);
    assert_non_null(want);
    jt_state *s = state_new(&r);
    run_rows(&r, s, x.ids, n, 1, want);
    jt_state_free(s);
    static const int steps[] = {2, 7, 48};
    for (int i = 0; i < 3; i++) same_bits(name, one, steps[i], x.ids, n, want);
    for (int t = 1; t <= 4; t++) same_bits(name, (machine){.threads = t, .act = act, .kv = kv}, n, x.ids, n, want);
    same_bits(name, (machine){.threads = 2, .ubatch = 5, .act = act, .kv = kv}, n, x.ids, n, want);
    same_bits(name, (machine){.threads = 2, .no_repack = 1, .act = act, .kv = kv}, n, x.ids, n, want);
    for (int i = 0, usable; i < jt_kernels_count(); i++) {
        const char *kernels = jt_kernels_name(i, &usable);
        if (!usable) continue;
        same_bits(name, (machine){.threads = 1, .kernels = kernels, .act = act, .kv = kv}, n, x.ids, n, want);
        same_bits(name, (machine){.threads = 1, .kernels = kernels, .no_repack = 1, .act = act, .kv = kv}, 9, x.ids, n, want);
    }
    free(want);
    rig_close(&r);
    expected_free(&x);
}

static void test_float_does_not_depend_on_company(void **unused) {
    (void)unused;
    for (int i = 0; i < MODELS; i++) invariant(models[i], JT_ACT_FLOAT, JT_KV_F32);
}

static void test_int8_does_not_depend_on_company(void **unused) {
    (void)unused;
    for (int i = 0; i < MODELS; i++) invariant(models[i], JT_ACT_INT8, i % 2 ? JT_KV_Q8_0 : JT_KV_F16);
}

static void test_bf16_does_not_depend_on_company(void **unused) {
    (void)unused;
    for (int i = 0; i < MODELS; i++) invariant(models[i], JT_ACT_BF16, i % 2 ? JT_KV_F32 : JT_KV_F16);
}

/* Several sequences in one batch, and two branches of a tree, give what each gives alone. */
static void test_batches_and_trees(void **unused) {
    (void)unused;
    for (int k = 0; k < MODELS; k++) {
        expected x;
        rig r;
        jt_error err;
        expected_read(models[k], &x);
        rig_open(models[k], true, (machine){.threads = 2, .act = JT_ACT_INT8}, &r);
        size_t vocab = (size_t)x.vocab;
        float *alone = calloc(3 * (size_t)x.rows * vocab, sizeof *alone), *together = calloc(2 * (size_t)x.rows * vocab, sizeof *together);
        assert_non_null(alone);
        assert_non_null(together);
        jt_state *s[3];
        int32_t ids[2 * CONTEXT];
        jt_want want[2 * CONTEXT] = {0};
        for (int i = 0; i < 2 * x.rows; i++) ids[i] = (int32_t)x.ids[i], want[i].row = i, want[i].logits = together + (size_t)i * vocab;
        for (int i = 0; i < 2; i++)
            s[i] = state_new(&r), run_rows(&r, s[i], x.ids + i * x.rows, x.rows, x.rows, alone + (size_t)(i * x.rows) * vocab),
            jt_state_free(s[i]);
        for (int i = 0; i < 2; i++) s[i] = state_new(&r);
        jt_span span[2] = {{.state = s[0], .ids = ids, .n = x.rows}, {.state = s[1], .ids = ids + x.rows, .n = x.rows}};
        ok(jt_eval(r.model, &(jt_batch){.span = span, .n_span = 2, .want = want, .n_want = 2 * x.rows}, &err), &err);
        assert_memory_equal(alone, together, 2 * (size_t)x.rows * vocab * sizeof *alone);
        /* rows 0 .. 4 of the first, then two children of row 4 */
        int32_t parent[7] = {JT_NO_PARENT, 0, 1, 2, 3, 4, 4}, tree[7];
        for (int i = 0; i < 6; i++) tree[i] = ids[i];
        tree[6] = ids[5] == 7 ? 8 : 7;
        s[2] = state_new(&r);
        jt_span branch = {.state = s[2], .ids = tree, .n = 7, .parent = parent};
        for (int i = 0; i < 7; i++) want[i].row = i;
        ok(jt_eval(r.model, &(jt_batch){.span = &branch, .n_span = 1, .want = want, .n_want = 7}, &err), &err);
        assert_memory_equal(alone, together, 6 * vocab * sizeof *alone);
        ok(jt_state_truncate(s[0], 5, &err), &err);
        int64_t other = tree[6];
        run_rows(&r, s[0], &other, 1, 1, alone);
        assert_memory_equal(alone, together + 6 * vocab, vocab * sizeof *alone);
        for (int i = 0; i < 3; i++) jt_state_free(s[i]);
        free(alone);
        free(together);
        rig_close(&r);
        expected_free(&x);
    }
}

/* Weights are read once in a pass, of experts those that some row goes to. */
static void test_only_chosen_experts_are_read(void **unused) {
    (void)unused;
    static const jt_role role[] = {JT_W_X_GATE, JT_W_X_UP, JT_W_X_DOWN};
    for (int k = 0; k < MODELS; k++) {
        expected x;
        rig r;
        expected_read(models[k], &x);
        rig_open(models[k], true, (machine){.threads = 2, .act = JT_ACT_INT8}, &r);
        const jt_model *m = r.model;
        const jt_config *c = &m->config;
        uint64_t all = 0, experts = 0;
        for (size_t i = 0; i < m->weights.n; i++) {
            const jt_matrix *w = &m->weights.w[i].matrix;
            if (!m->weights.w[i].vector && i != m->ref[JT_W_EMBED].tensor) all += (uint64_t)jt_matrix_panels(w) * w->panel_bytes;
        }
        for (int l = 0; l < c->layers; l++)
            for (int i = 0; i < 3; i++) {
                jt_ref ref = m->ref[jt_net_ref_index(l, role[i])];
                if (ref.tensor == JT_NO_TENSOR) continue;
                const jt_matrix *w = &m->weights.w[ref.tensor].matrix;
                experts += (uint64_t)jt_matrix_panels(w) * w->panel_bytes * (uint64_t)c->router.experts;
            }
        float *got = calloc((size_t)x.rows * (size_t)x.vocab, sizeof *got);
        assert_non_null(got);
        jt_state *s = state_new(&r);
        uint64_t before = jt_engine_streamed(r.engine);
        run_rows(&r, s, x.ids, 1, 1, got);
        uint64_t one = jt_engine_streamed(r.engine) - before;
        assert_int_equal(one, all - experts / (uint64_t)c->router.experts * (uint64_t)(c->router.experts - c->router.used));
        run_rows(&r, s, x.ids + 1, x.rows - 1, x.rows, got);
        uint64_t many = jt_engine_streamed(r.engine) - before - one;
        assert_true(many > one && many <= all);
        jt_state_free(s);
        free(got);
        rig_close(&r);
        expected_free(&x);
    }
}

/* Taps see heads of the width of values, and leave rows without effect alone; keys kept raw give the same in float32. */
static void test_taps_and_raw_keys(void **unused) {
    (void)unused;
    for (int k = 0; k < MODELS; k++) {
        expected x;
        rig r;
        jt_error err;
        expected_read(models[k], &x);
        rig_open(models[k], true, (machine){.threads = 2, .act = JT_ACT_FLOAT}, &r);
        size_t n = (size_t)x.rows * (size_t)x.vocab;
        float *want = calloc(3 * n, sizeof *want), *got = want + n, *raw = got + n;
        assert_non_null(want);
        assert_int_equal(jt_site_width(r.model, "heads"), r.model->config.heads * jt_config_value_dim(&r.model->config));
        jt_state *s = state_new(&r), *t = state_new(&r), *u;
        run_rows(&r, s, x.ids, x.rows, x.rows, want);
        jt_tap tap[] = {{.site = "heads", .op = JT_TAP_SCALE, .value = 1},
                        {.site = "mlp", .op = JT_TAP_SCALE, .value = 0.5f, .row_first = 9}};
        ok(jt_state_set_taps(t, tap, 2, &err), &err);
        run_rows(&r, t, x.ids, x.rows, 5, got);
        assert_memory_equal(want, got, 9 * (size_t)x.vocab * sizeof *want);
        assert_memory_not_equal(want + 9 * x.vocab, got + 9 * x.vocab, (size_t)x.vocab * sizeof *want);
        ok(jt_state_new_raw(r.model, CONTEXT, &u, &err), &err);
        run_rows(&r, u, x.ids, x.rows, 7, raw);
        assert_memory_equal(want, raw, n * sizeof *want);
        jt_state_free(s), jt_state_free(t), jt_state_free(u);
        free(want);
        rig_close(&r);
        expected_free(&x);
    }
}

/* A GGUF adapter with one pair of random numbers. */
static void adapter_write(const char *path, const char *arch, const char *weight, int rows, int cols) {
    enum { RANK = 3 };
    static float a[RANK * 256], b[RANK * 256];
    char name[128];
    gguf_builder g = {0};
    assert_true(rows <= 256 && cols <= 256);
    for (int i = 0; i < RANK * 256; i++) a[i] = sinf((float)i), b[i] = cosf((float)(3 * i));
    gb_text(&g, "general.architecture", arch), gb_text(&g, "general.type", "adapter"), gb_text(&g, "adapter.type", "lora");
    gb_f32(&g, "adapter.lora.alpha", 2);
    snprintf(name, sizeof name, "blk.1.%s.weight.lora_a", weight);
    gb_tensor(&g, name, JT_F32, 2, (uint64_t[]){(uint64_t)cols, RANK}, a, (size_t)cols * RANK * 4);
    snprintf(name, sizeof name, "blk.1.%s.weight.lora_b", weight);
    gb_tensor(&g, name, JT_F32, 2, (uint64_t[]){RANK, (uint64_t)rows}, b, (size_t)rows * RANK * 4);
    gb_save(&g, 3, path);
}

static void test_adapters(void **unused) {
    (void)unused;
    static const char path[] = "/tmp/jeton-test-moe-adapter.gguf";
    static const struct {
        const char *model, *arch, *weight, *says; /* says NULL: it acts */
        int rows, cols;
    } row[] = {{"mixtral", "llama", "attn_q", NULL, 32, 32},
               {"mixtral", "llama", "ffn_gate_exps", "belongs to experts", 32, 32},
               {"mixtral", "llama", "ffn_gate_inp", "belongs to a router", 4, 32},
               {"deepseek-v3", "deepseek2", "attn_kv_a_mqa", NULL, 40, 32},
               {"deepseek-v3", "deepseek2", "attn_q_b", NULL, 96, 32},
               {"deepseek-v2", "deepseek2", "attn_kv_b", NULL, 112, 32},
               {"deepseek-v2", "deepseek2", "ffn_up_shexp", NULL, 64, 32},
               {"gpt-oss", "gpt-oss", "attn_output", NULL, 32, 64}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        expected x;
        rig r;
        jt_error err;
        jt_adapter *a = NULL;
        expected_read(row[i].model, &x);
        rig_open(row[i].model, true, (machine){.threads = 2, .act = JT_ACT_INT8}, &r);
        adapter_write(path, row[i].arch, row[i].weight, row[i].rows, row[i].cols);
        jt_status st = jt_adapter_open(r.model, path, &a, &err);
        if (row[i].says) {
            assert_int_equal(st, JT_UNSUPPORTED);
            assert_non_null(strstr(err.message, row[i].says));
        } else {
            ok(st, &err);
            size_t n = (size_t)x.rows * (size_t)x.vocab;
            float *plain = calloc(3 * n, sizeof *plain), *one = plain + n, *other = one + n;
            assert_non_null(plain);
            for (int k = 0; k < 3; k++) {
                jt_state *s = state_new(&r);
                if (k) ok(jt_state_set_adapter(s, a, 0.5f, &err), &err);
                run_rows(&r, s, x.ids, x.rows, k == 2 ? 1 : x.rows, plain + (size_t)k * n);
                jt_state_free(s);
            }
            assert_memory_equal(one, other, n * sizeof *one);
            assert_memory_not_equal(plain, one, n * sizeof *one);
            free(plain);
        }
        jt_adapter_free(a);
        rig_close(&r);
        expected_free(&x);
    }
    unlink(path);
}

static void test_failed_allocations_are_clean(void **unused) {
    (void)unused;
    jt_error err;
    jt_engine *e;
    ok(jt_engine_new(&(jt_engine_options){.threads = 1}, &e, &err), &err);
    for (int k = 0; k < 2 * MODELS; k++) {
        char path[512];
        snprintf(path, sizeof path, FIXTURES "/moe/%s%s", models[k / 2], k % 2 ? ".gguf" : "");
        for (long i = 0;; i += i > 200 ? 7 : 1) {
            jt_model *m = NULL;
            alloc_fail_at(i);
            jt_status st = jt_model_open(e, path, NULL, &m, &err);
            alloc_fail_at(-1);
            jt_model_free(m);
            if (!st) break;
            assert_int_equal(st, JT_NOMEM);
        }
    }
    jt_engine_free(e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_gguf_files),
        cmocka_unit_test(test_float_does_not_depend_on_company),
        cmocka_unit_test(test_int8_does_not_depend_on_company),
        cmocka_unit_test(test_bf16_does_not_depend_on_company),
        cmocka_unit_test(test_batches_and_trees),
        cmocka_unit_test(test_only_chosen_experts_are_read),
        cmocka_unit_test(test_taps_and_raw_keys),
        cmocka_unit_test(test_adapters),
        cmocka_unit_test(test_failed_allocations_are_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
