/* BERT and ModernBERT (tests/fixtures/encoders): hidden states, pooled rows and heads as Hugging Face transformers computes them,
 * from folders and through GGUF and back; the same bits in any company; what is refused; failed allocations. Another folder of
 * such models, made with other seeds or --wide: JETON_TEST_ENCODERS=FOLDER. */
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
#include "core/file.h"
#include "jeton/convert.h"
#include "jeton/embed.h"
#include "model/safetensors.h"
#include "model_folder.h"

enum { SEQUENCES = 3, MOST = 64 };
static const double BOUND = 2e-4;
static const char *const names[] = {"bert", "bert-classes", "bert-rank", "modern", "modern-classes", "modern-rank"};
enum { NAMES = sizeof names / sizeof *names };

static const char *fixture(const char *name, char path[256]) {
    const char *own = getenv("JETON_TEST_ENCODERS");
    snprintf(path, 256, "%s/%s", own && *own ? own : FIXTURES "/encoders", name);
    return path;
}

typedef struct machine {
    jt_engine *engine;
    jt_model *model;
    jt_model_info info;
} machine;

static machine machine_open(const char *path, jt_activations act, const char *kernels, int threads, int ubatch) {
    machine m;
    jt_error err;
    ok(jt_engine_new(&(jt_engine_options){.threads = threads, .kernels = kernels}, &m.engine, &err), &err);
    ok(jt_model_open(m.engine, path, &(jt_model_options){.activations = act, .ubatch = ubatch}, &m.model, &err), &err);
    jt_model_get_info(m.model, &m.info);
    return m;
}

static void machine_close(machine *m) {
    jt_model_free(m->model);
    jt_engine_free(m->engine);
}

/* ---- against the reference ---- */

typedef struct sequence {
    int n;
    int32_t ids[MOST], types[MOST];
} sequence;

static jt_safetensors *expected_open(const char *path) {
    char file[300];
    jt_error err;
    jt_safetensors *f;
    snprintf(file, sizeof file, "%s/expected.safetensors", path);
    ok(jt_safetensors_open(file, &f, &err), &err);
    return f;
}

static sequence sequence_read(const jt_safetensors *f, int i, bool types) {
    char name[32];
    sequence s = {0};
    int64_t wide[MOST];
    jt_error err;
    snprintf(name, sizeof name, "ids.%d", i);
    const jt_st_tensor *t = jt_safetensors_tensor_named(f, name);
    assert_non_null(t);
    assert_in_range(t->elements, 1, MOST);
    ok(jt_st_read_i64(t, 0, t->elements, wide, &err), &err);
    s.n = (int)t->elements;
    for (int k = 0; k < s.n; k++) s.ids[k] = (int32_t)wide[k], s.types[k] = types && k >= s.n / 2;
    return s;
}

/* The largest difference from a tensor of the reference; 0 where there is none. */
static double off(const jt_safetensors *f, const char *kind, int i, int k, const float *got, size_t n) {
    char name[48];
    float want[MOST * 128];
    double most = 0;
    jt_error err;
    snprintf(name, sizeof name, k < 0 ? "%s.%d" : "%s.%d.%d", kind, i, k);
    const jt_st_tensor *t = jt_safetensors_tensor_named(f, name);
    if (!t) return 0;
    assert_int_equal(t->elements, n);
    assert_true(n <= sizeof want / sizeof *want);
    ok(jt_st_read_f32(t, 0, t->elements, want, &err), &err);
    for (size_t j = 0; j < n; j++) {
        double d = fabs((double)got[j] - (double)want[j]);
        if (!(d <= most)) most = d;
    }
    return most;
}

static double most_of(double a, double b) { return !(b <= a) ? b : a; }

/* One model, of which the reference lies in `path`, against it. */
static double against(const machine *m, const char *path) {
    static float residual[9 * MOST * 128], final[MOST * 128];
    float pooled[128], logits[8];
    double most = 0;
    jt_error err;
    jt_safetensors *f = expected_open(path);
    size_t d = (size_t)m->info.hidden;
    assert_true(m->info.encoder && m->info.layers < 9 && d <= 128 && m->info.labels <= 8);
    for (int i = 0; i < SEQUENCES; i++) {
        sequence s = sequence_read(f, i, m->info.types > 1);
        jt_state *state;
        jt_want want[MOST];
        ok(jt_state_new(m->model, s.n, &state, &err), &err);
        for (int k = 0; k < s.n; k++) want[k] = (jt_want){.row = k, .final = final + (size_t)k * d};
        jt_span span = {.state = state, .ids = s.ids, .n = s.n, .types = m->info.types > 1 ? s.types : NULL};
        jt_batch batch = {.span = &span, .n_span = 1, .want = want, .n_want = s.n, .residual = residual};
        ok(jt_eval(m->model, &batch, &err), &err);
        jt_state_free(state);
        for (int k = 0; k < m->info.layers; k++)
            most = most_of(most, off(f, "hidden", i, k, residual + (size_t)k * (size_t)s.n * d, (size_t)s.n * d));
        most = most_of(most, off(f, "last", i, -1, final, (size_t)s.n * d));
        jt_embed_text text = {s.ids, span.types, s.n};
        if (jt_safetensors_tensor_named(f, "pooled.0")) {
            ok(jt_embed(m->model, &text, 1, &(jt_embed_options){.pooling = JT_POOL_POOLER}, pooled, &err), &err);
            most = most_of(most, off(f, "pooled", i, -1, pooled, d));
        }
        if (m->info.labels) {
            ok(jt_classify(m->model, &text, 1, NULL, logits, &err), &err);
            most = most_of(most, off(f, "logits", i, -1, logits, (size_t)m->info.labels));
        }
    }
    jt_safetensors_free(f);
    return most;
}

static void test_reference(void **unused) {
    char path[256];
    (void)unused;
    for (size_t i = 0; i < NAMES; i++) {
        machine m = machine_open(fixture(names[i], path), JT_ACT_FLOAT, NULL, 2, 0);
        double most = against(&m, path);
        if (!(most <= BOUND)) fail_msg("%s: off by %g", names[i], most);
        if (strstr(names[i], "classes")) {
            assert_int_equal(m.info.labels, 3);
            assert_string_equal(jt_model_label(m.model, 1), "glad \"so\"");
            assert_string_equal(jt_model_label(m.model, 3), "");
        }
        machine_close(&m);
    }
}

/* ---- the same bits in any company ---- */

enum { TEXTS = 40 };

static void many_texts(const machine *m, sequence s[TEXTS], jt_embed_text text[TEXTS]) {
    for (int i = 0; i < TEXTS; i++) {
        s[i].n = 1 + i * 29 % 45;
        for (int k = 0; k < s[i].n; k++) s[i].ids[k] = (i * 31 + k * 17 + 3) % m->info.vocab, s[i].types[k] = k * 3 > s[i].n;
        text[i] = (jt_embed_text){s[i].ids, m->info.types > 1 ? s[i].types : NULL, s[i].n};
    }
}

static void one_by_one(const machine *m, const jt_embed_text *text, jt_pooling p, float *out) {
    jt_error err;
    for (int i = 0; i < TEXTS; i++)
        ok(jt_embed(m->model, &text[i], 1, &(jt_embed_options){.pooling = p, .normalise = 1}, out + i * m->info.hidden, &err), &err);
}

/* One model in one mode: text by text on scalar kernels is what everything else must equal. */
static void company(const char *path, const char *name, jt_activations act, jt_pooling p) {
    static sequence s[TEXTS];
    static float want[TEXTS * 128], got[TEXTS * 128], logits[TEXTS * 8], again[TEXTS * 8];
    jt_embed_text text[TEXTS], turned[TEXTS];
    jt_error err;
    machine slow = machine_open(path, act, "scalar", 1, 0);
    size_t d = (size_t)slow.info.hidden, labels = (size_t)slow.info.labels;
    many_texts(&slow, s, text);
    one_by_one(&slow, text, p, want);
    for (size_t k = 0; labels && k < TEXTS; k++) ok(jt_classify(slow.model, &text[k], 1, NULL, logits + k * labels, &err), &err);
    machine_close(&slow);
    for (int k = 0; k < jt_kernels_count(); k++) {
        int usable;
        const char *kernels = jt_kernels_name(k, &usable);
        if (!usable) continue;
        machine m = machine_open(path, act, kernels, 1 + k % 3, k % 2 ? 47 : 0);
        for (int t = 0; t < TEXTS; t++) turned[t] = text[TEXTS - 1 - t];
        ok(jt_embed(m.model, turned, TEXTS, &(jt_embed_options){.pooling = p, .normalise = 1}, got, &err), &err);
        for (size_t t = 0; t < TEXTS; t++)
            if (memcmp(got + t * d, want + (TEXTS - 1 - t) * d, d * sizeof *got)) fail_msg("%s: %s: text %zu", name, kernels, t);
        if (labels) ok(jt_classify(m.model, turned, TEXTS, NULL, again, &err), &err);
        for (size_t t = 0; labels && t < TEXTS; t++)
            assert_memory_equal(again + t * labels, logits + (TEXTS - 1 - t) * labels, labels * sizeof *again);
        machine_close(&m);
    }
}

static void convert_to(const char *from, const char *to, const char *type) {
    jt_error err;
    ok(jt_convert(from, to, &(jt_convert_options){.type = type, .threads = 1}, NULL, &err), &err);
}

static void test_company(void **unused) {
    char path[256], gguf[300];
    (void)unused;
    snprintf(gguf, sizeof gguf, "%s/q.gguf", folder);
    for (size_t i = 0; i < NAMES; i++) {
        company(fixture(names[i], path), names[i], JT_ACT_FLOAT, i % 2 ? JT_POOL_MAX : JT_POOL_MEAN);
        company(fixture(names[i], path), names[i], JT_ACT_BF16, JT_POOL_MEAN);
        convert_to(path, gguf, "q8_0");
        company(gguf, names[i], JT_ACT_INT8, i % 2 ? JT_POOL_MEAN : JT_POOL_LAST);
        unlink(gguf);
    }
}

/* ---- through GGUF and back ---- */

static void put(const char *in, const char *file, const char *text) {
    char path[400];
    jt_error err;
    snprintf(path, sizeof path, "%s/%s", in, file);
    ok(jt_file_save(path, &(jt_str){.s = (char *)(uintptr_t)text, .n = strlen(text)}, &err), &err);
}

static void pools(const char *path, jt_pooling way, int normalise) {
    machine m = machine_open(path, JT_ACT_FLOAT, NULL, 1, 0);
    assert_int_equal(m.info.pooling, way);
    assert_int_equal(m.info.normalise, normalise);
    machine_close(&m);
}

static void test_converted(void **unused) {
    char path[256], gguf[300], back[300], deep[400];
    jt_error err;
    (void)unused;
    for (size_t i = 0; i < NAMES; i++) {
        snprintf(gguf, sizeof gguf, "%s/a.gguf", folder), snprintf(back, sizeof back, "%s/back", folder);
        convert_to(fixture(names[i], path), gguf, "f32");
        machine m = machine_open(gguf, JT_ACT_FLOAT, NULL, 1, 0);
        double most = against(&m, path);
        if (!(most <= BOUND)) fail_msg("%s as GGUF: off by %g", names[i], most);
        if (strstr(names[i], "classes")) assert_string_equal(jt_model_label(m.model, 1), "glad \"so\"");
        assert_true(!m.info.types == !jt_model_tokenizer(m.model) || getenv("JETON_TEST_ENCODERS"));
        machine_close(&m);
        convert_to(gguf, back, NULL);
        m = machine_open(back, JT_ACT_FLOAT, NULL, 1, 0);
        most = against(&m, path);
        if (!(most <= BOUND)) fail_msg("%s from GGUF: off by %g", names[i], most);
        if (strstr(names[i], "classes")) assert_string_equal(jt_model_label(m.model, 1), "glad \"so\"");
        machine_close(&m);
        jt_folder_remove(back);
        unlink(gguf);
    }
    /* A folder says how it pools; so do the file and the folder made of it. */
    static const struct {
        const char *key;
        jt_pooling way;
    } way[] = {{"cls_token", JT_POOL_CLS}, {"mean_tokens", JT_POOL_MEAN}, {"lasttoken", JT_POOL_LAST}};
    for (size_t i = 0; i < 3; i++) {
        char text[200];
        snprintf(back, sizeof back, "%s/pools", folder), snprintf(deep, sizeof deep, "%s/1_Pooling", back);
        convert_to(fixture("modern", path), back, "f16");
        ok(jt_make_folder(deep, &err), &err);
        put(back, "modules.json", "[{\"type\": \"a.Transformer\", \"path\": \"\"}, {\"type\": \"a.Pooling\", \"path\": \"1_Pooling\"}]");
        snprintf(text, sizeof text, "{\"pooling_mode_max_tokens\": false, \"pooling_mode_%s\": true}", way[i].key);
        put(back, "1_Pooling/config.json", text);
        pools(back, way[i].way, 0);
        snprintf(gguf, sizeof gguf, "%s/a.gguf", folder);
        convert_to(back, gguf, NULL);
        jt_folder_remove(deep), jt_folder_remove(back);
        pools(gguf, way[i].way, 1);
        convert_to(gguf, back, NULL);
        pools(back, way[i].way, 1);
        jt_folder_remove(deep), jt_folder_remove(back);
        unlink(gguf);
    }
}

/* ---- what is refused ---- */

static void test_refused(void **unused) {
    static float out[128];
    char path[256];
    jt_error err;
    int32_t ids[MOST] = {3, 4, 5, 6}, rank[2] = {0, 0}, types[2] = {0, 2};
    jt_state *s;
    (void)unused;
    machine m = machine_open(fixture("bert", path), JT_ACT_FLOAT, NULL, 1, 8);
    ok(jt_state_new(m.model, 40, &s, &err), &err);
    jt_span span = {.state = s, .ids = ids, .n = 2};
    jt_want want = {.row = 0, .logits = out};
    jt_batch b = {.span = &span, .n_span = 1, .want = &want, .n_want = 1};
    assert_int_equal(jt_eval(m.model, &b, &err), JT_UNSUPPORTED);
    assert_non_null(strstr(err.message, "encoder"));
    want = (jt_want){.row = 0, .final = out};
    span.rank = rank;
    assert_int_equal(jt_eval(m.model, &b, &err), JT_UNSUPPORTED);
    span.rank = NULL, span.types = types;
    assert_int_equal(jt_eval(m.model, &b, &err), JT_INVALID);
    assert_non_null(strstr(err.message, "token type 2"));
    span.types = NULL, span.n = 9;
    assert_int_equal(jt_eval(m.model, &b, &err), JT_LIMIT);
    span.n = 2;
    ok(jt_eval(m.model, &b, &err), &err);
    assert_int_equal(jt_eval(m.model, &b, &err), JT_INVALID);
    assert_non_null(strstr(err.message, "whole"));
    jt_state_free(s);
    jt_embed_text text = {ids, NULL, 49};
    assert_int_equal(jt_embed(m.model, &text, 1, NULL, out, &err), JT_LIMIT);
    text.n = 0;
    assert_int_equal(jt_embed(m.model, &text, 1, NULL, out, &err), JT_INVALID);
    text.n = 2;
    assert_int_equal(jt_classify(m.model, &text, 1, NULL, out, &err), JT_UNSUPPORTED);
    machine_close(&m);
    m = machine_open(fixture("modern", path), JT_ACT_FLOAT, NULL, 1, 0);
    text.types = types;
    assert_int_equal(jt_embed(m.model, &text, 1, NULL, out, &err), JT_INVALID);
    text.types = NULL;
    assert_int_equal(jt_embed(m.model, &text, 1, &(jt_embed_options){.pooling = JT_POOL_POOLER}, out, &err), JT_UNSUPPORTED);
    machine_close(&m);
}

static void test_failed_allocations(void **unused) {
    static float want[3 * 128], got[3 * 128];
    char path[256];
    jt_error err;
    int32_t ids[12] = {1, 7, 9, 4, 2, 8, 3, 3, 5, 6, 11, 2};
    jt_embed_text text[3] = {{ids, NULL, 12}, {ids + 3, NULL, 4}, {ids + 1, NULL, 7}};
    (void)unused;
    machine m = machine_open(fixture("modern-classes", path), JT_ACT_FLOAT, NULL, 1, 0);
    ok(jt_embed(m.model, text, 3, NULL, want, &err), &err);
    machine_close(&m);
    ok(jt_engine_new(&(jt_engine_options){.threads = 1}, &m.engine, &err), &err);
    for (int i = 0, done = 0; !done; i++) {
        alloc_fail_at(i);
        jt_status s = jt_model_open(m.engine, path, &(jt_model_options){.activations = JT_ACT_FLOAT}, &m.model, &err);
        alloc_fail_at(-1);
        done = !s;
        if (s) assert_int_equal(s, JT_NOMEM);
    }
    for (int i = 0, done = 0; !done; i++) {
        alloc_fail_at(i);
        jt_status s = jt_embed(m.model, text, 3, NULL, got, &err);
        alloc_fail_at(-1);
        done = !s;
        if (s) assert_int_equal(s, JT_NOMEM);
    }
    assert_memory_equal(want, got, 3 * (size_t)32 * sizeof *got);
    for (int i = 0, done = 0; !done; i++) {
        alloc_fail_at(i);
        jt_status s = jt_classify(m.model, text, 3, NULL, got, &err);
        alloc_fail_at(-1);
        done = !s;
        if (s) assert_int_equal(s, JT_NOMEM);
    }
    machine_close(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),          cmocka_unit_test(test_company),
        cmocka_unit_test(test_converted),          cmocka_unit_test(test_refused),
        cmocka_unit_test(test_failed_allocations),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
