/* The dense families of tests/fixtures/families: each with quantised weights, bit for bit on every machinery; settings that are
 * not honoured refused by name; what goes by the declared context; learned positions; failed allocations. That the numbers
 * are right: test_reference.c; under programs of primitives: test_programs.c. */
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
#include <unistd.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "core/file.h"
#include "jeton/convert.h"
#include "jeton/model.h"
#include "model/rope.h"
#include "model/safetensors.h"
#include "model_folder.h"

enum { N = 45, CONTEXT = 64, MOST_VOCAB = 128 };

/* ---- invariance ---- */

typedef struct machine {
    jt_engine *engine;
    jt_model *model;
} machine;

static machine machine_open(const char *path, jt_activations act, jt_kv_type kv, const char *kernels, int threads, int ubatch) {
    machine m;
    jt_error err;
    ok(jt_engine_new(&(jt_engine_options){.threads = threads, .kernels = kernels}, &m.engine, &err), &err);
    jt_model_options o = {.activations = act, .kv_type = kv, .ubatch = ubatch, .no_repack = ubatch == 5};
    ok(jt_model_open(m.engine, path, &o, &m.model, &err), &err);
    return m;
}

static void machine_close(machine *m) {
    jt_model_free(m->model);
    jt_engine_free(m->engine);
}

static jt_state *machine_state(const machine *m, int context) {
    jt_state *s;
    jt_error err;
    ok(jt_state_new(m->model, context, &s, &err), &err);
    return s;
}

/* Logits of rows [from, from + n), whose ids and parents are given. */
static void rows_of(const machine *m, jt_state *s, const int32_t *ids, const int32_t *parent, int n, float (*out)[MOST_VOCAB]) {
    jt_error err;
    jt_want want[N];
    for (int i = 0; i < n; i++) want[i] = (jt_want){.row = i, .logits = out[i]};
    jt_span span = {.state = s, .ids = ids, .parent = parent, .n = n};
    ok(jt_eval(m->model, &(jt_batch){.span = &span, .n_span = 1, .want = want, .n_want = n}, &err), &err);
}

static void same(const char *what, const char *name, float (*a)[MOST_VOCAB], float (*b)[MOST_VOCAB], int n) {
    for (int i = 0; i < n; i++)
        if (memcmp(a[i], b[i], sizeof *a)) fail_msg("%s: %s: row %d differs", name, what, i);
}

/* One model file in one mode: row by row on scalar kernels is what everything else must equal. */
static void invariant(const char *name, const char *path, jt_activations act, jt_kv_type kv) {
    static float want[N][MOST_VOCAB], got[N][MOST_VOCAB];
    int32_t ids[N], parent[N];
    jt_model_info info;
    memset(want, 0, sizeof want), memset(got, 0, sizeof got);
    machine slow = machine_open(path, act, kv, "scalar", 1, 0);
    jt_model_get_info(slow.model, &info);
    assert_in_range(info.vocab, 8, MOST_VOCAB);
    for (int i = 0; i < N; i++) ids[i] = (i * 37 + 11) % info.vocab;
    jt_state *s = machine_state(&slow, CONTEXT);
    for (int i = 0; i < N; i++) rows_of(&slow, s, ids + i, NULL, 1, want + i);
    for (int i = 0; i < N; i++) assert_true(isfinite(want[i][0]) && isfinite(want[i][info.vocab - 1]));
    jt_state_free(s);
    machine_close(&slow);
    for (int k = 0; k < jt_kernels_count(); k++) {
        int usable;
        const char *kernels = jt_kernels_name(k, &usable);
        if (!usable) continue;
        machine m = machine_open(path, act, kv, kernels, 1 + k % 3, k % 2 ? 5 : 0);
        s = machine_state(&m, CONTEXT);
        rows_of(&m, s, ids, NULL, 33, got), rows_of(&m, s, ids + 33, NULL, N - 33, got + 33);
        same(kernels, name, got, want, N);
        /* The same rows as branches of a tree whose trunk they leave: three go on from node 19. */
        ok(jt_state_truncate(s, 20, NULL), NULL);
        for (int i = 0; i < 12; i++) parent[i] = i < 3 ? 19 : 20 + i - 3;
        int32_t branch[12];
        for (int i = 0; i < 12; i++) branch[i] = ids[20 + i / 3];
        memset(got, 0, sizeof got);
        rows_of(&m, s, branch, parent, 12, got);
        for (int i = 0; i < 12; i++)
            if (memcmp(got[i], want[20 + i / 3], sizeof *got)) fail_msg("%s: %s: row %d of the tree differs", name, kernels, i);
        jt_state_free(s);
        machine_close(&m);
    }
}

static void test_invariance(void **unused) {
    (void)unused;
    static const char *const type[] = {"q8_0", "q4_0", "bf16"};
    static const jt_kv_type kv[] = {JT_KV_F16, JT_KV_F32, JT_KV_Q8_0};
    DIR *d = opendir(FIXTURES "/families");
    int n = 0;
    assert_non_null(d);
    for (struct dirent *x; (x = readdir(d));) {
        char in[512], path[512];
        jt_error err;
        snprintf(in, sizeof in, FIXTURES "/families/%.200s/config.json", x->d_name);
        if (access(in, R_OK)) continue;
        snprintf(in, sizeof in, FIXTURES "/families/%.200s", x->d_name);
        snprintf(path, sizeof path, "%s/model.gguf", folder);
        ok(jt_convert(in, path, &(jt_convert_options){.type = type[n % 3], .threads = 1}, NULL, &err), &err);
        invariant(x->d_name, path, n % 3 == 2 ? JT_ACT_FLOAT : JT_ACT_INT8, kv[n / 3 % 3]);
        unlink(path);
        n++;
    }
    closedir(d);
    assert_true(n >= 20);
}

/* ---- settings ---- */

static const char *config_path(void) {
    static char path[512];
    snprintf(path, sizeof path, "%s/config.json", folder);
    return path;
}

/* A family's config.json with one piece of text replaced, in a folder beside links to its weights; what opening says. */
static jt_status altered(const char *name, const char *from, const char *to, jt_error *err) {
    char path[512], link[512];
    jt_str text = {0};
    snprintf(path, sizeof path, FIXTURES "/families/%s/config.json", name);
    ok(jt_file_read(path, &text, err), err);
    char *at = strstr(text.s, from);
    if (!at) fail_msg("%s: no %s in its settings", name, from);
    FILE *f = fopen(config_path(), "wb");
    assert_non_null(f);
    fprintf(f, "%.*s%s%s", (int)(at - text.s), text.s, to, at + strlen(from));
    fclose(f);
    jt_str_free(&text);
    snprintf(path, sizeof path, FIXTURES "/families/%s/model.safetensors", name);
    snprintf(link, sizeof link, "%s/model.safetensors", folder);
    char *real = realpath(path, NULL);
    assert_non_null(real);
    assert_int_equal(symlink(real, link), 0);
    free(real);
    jt_engine *e;
    jt_model *m = NULL;
    ok(jt_engine_new(&(jt_engine_options){.threads = 1}, &e, err), err);
    jt_status s = jt_model_open(e, folder, NULL, &m, err);
    jt_state *st = NULL;
    if (!s) s = jt_state_new(m, 64, &st, err);
    jt_state_free(st);
    jt_model_free(m);
    jt_engine_free(e);
    unlink(link), unlink(config_path());
    return s;
}

static void test_refusals(void **unused) {
    (void)unused;
    static const struct {
        const char *name, *from, *to;
        jt_status status;
        const char *part;
    } row[] = {
        {"llama-yarn", "\"rope_type\": \"yarn\"", "\"rope_type\": \"spiral\"", JT_UNSUPPORTED, "\"spiral\""},
        {"llama-linear", "\"rope_type\": \"linear\"", "\"rope_type\": \"default\", \"mrope_section\": [2, 3, 3]", JT_UNSUPPORTED, "mrope"},
        {"llama-linear", "\"factor\": 4.0", "\"factor\": 0", JT_FORMAT, "factor of the rotary scaling is 0"},
        {"llama-linear", "\"factor\": 4.0,", "", JT_NOTFOUND, "factor is missing"},
        {"llama3-biased", "\"low_freq_factor\": 1.0", "\"low_freq_factor\": 9", JT_FORMAT, "borders of the rotary scaling"},
        {"llama3-biased", "\"hidden_act\": \"silu\"", "\"hidden_act\": \"relu\"", JT_UNSUPPORTED, "hidden_act \"relu\""},
        {"llama-linear", "\"attention_bias\": false", "\"attention_bias\": true", JT_FORMAT, "self_attn.q_proj.bias is missing"},
        {"llama3-biased", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1", JT_UNSUPPORTED, "model.layers.1."},
        {"llama-tied-mha", "\"num_key_value_heads\": 4", "\"num_key_value_heads\": 3", JT_FORMAT, "4 heads cannot share 3"},
        {"mistral", "\"model_type\": \"mistral\"", "\"model_type\": \"llama\"", JT_UNSUPPORTED, "sliding_window is set"},
        {"qwen2", "\"sliding_attention\"", "\"chunked_attention\"", JT_UNSUPPORTED, "layer_types: layer"},
        {"qwen3", "\"attention_bias\": false", "\"attention_bias\": true", JT_FORMAT, "self_attn.q_proj.bias is missing"},
        {"gemma", "\"attention_bias\": false", "\"attention_bias\": true", JT_UNSUPPORTED, "attention_bias is true"},
        {"gemma3", "\"use_bidirectional_attention\": false", "\"use_bidirectional_attention\": true", JT_UNSUPPORTED,
         "use_bidirectional_attention"},
        {"gemma3", "\"query_pre_attn_scalar\": 6", "\"query_pre_attn_scalar\": -6", JT_FORMAT, "query_pre_attn_scalar"},
        {"gemma2", "\"attn_logit_softcapping\": 5.0", "\"attn_logit_softcapping\": -5.0", JT_FORMAT, "soft cap of the scores is -5"},
        {"phi4-mini", "\"partial_rotary_factor\": 0.75", "\"partial_rotary_factor\": 0.5", JT_FORMAT, "_factor has 3 numbers for 2 pairs"},
        {"phi4-mini", "\"partial_rotary_factor\": 0.75", "\"partial_rotary_factor\": 1.5", JT_FORMAT, "partial_rotary_factor is 1.5"},
        {"phi4-mini", "1.02", "-1.02", JT_FORMAT, "short_factor: number 1 is -1.02"},
        {"stablelm", "\"qk_layernorm\": false", "\"qk_layernorm\": true", JT_FORMAT, "q_layernorm.norms.*.weight is missing"},
        {"stablelm-heads", "\"qk_layernorm\": true", "\"qk_layernorm\": false", JT_UNSUPPORTED, "_layernorm.norms.0.weight has no place"},
        {"stablelm-heads", "\"num_attention_heads\": 4", "\"num_attention_heads\": 8", JT_FORMAT, "the model's settings ask for"},
        {"mistral", "\"sliding_window\": 8", "\"sliding_window\": 8, \"layer_types\": [\"full_attention\", \"sliding_attention\"]",
         JT_UNSUPPORTED, "layer 0 has no window"},
        {"llama-linear", "\"model_type\"", "\"rope_interleaved\": true, \"model_type\"", JT_UNSUPPORTED, "rope_interleaved is true"},
        {"qwen2", "\"model_type\"", "\"use_mrope\": true, \"model_type\"", JT_UNSUPPORTED, "use_mrope is true"},
        {"phi4-mini", "\"model_type\"", "\"lm_head_bias\": true, \"model_type\"", JT_UNSUPPORTED, "lm_head_bias is true"},
        {"starcoder2", "\"model_type\"", "\"mlp_type\": \"gated\", \"model_type\"", JT_UNSUPPORTED, "mlp_type \"gated\""},
        {"starcoder2", "\"model_type\"", "\"norm_type\": \"rms_norm\", \"model_type\"", JT_UNSUPPORTED, "norm_type \"rms_norm\""},
        {"llama-linear", "\"model_type\"", "\"quantization_config\": {\"quant_method\": \"gptq\"}, \"model_type\"", JT_UNSUPPORTED,
         "quant_method \"gptq\""},
        {"olmoe-clip", "\"clip_qkv\": 0.7", "\"clip_qkv\": -0.7", JT_UNSUPPORTED, "clip_qkv is -0.7"},
        {"qwen2-moe", "\"shared_expert_intermediate_size\": 40", "\"shared_expert_intermediate_size\": 48", JT_FORMAT, "shared_expert"},
        {"qwen2-moe", "\"qkv_bias\": true", "\"qkv_bias\": false", JT_OK, ""},
        {"qwen3-fp8", "\"quant_method\": \"fp8\"", "\"quant_method\": \"awq\"", JT_UNSUPPORTED, "quant_method \"awq\""},
        {"qwen3-fp8", "\"fmt\": \"e4m3\"", "\"fmt\": \"e5m2\"", JT_UNSUPPORTED, "fmt \"e5m2\""},
        {"qwen3-fp8", "\"weight_block_size\": [", "\"weight_block_size\": [8,", JT_FORMAT, "weight_block_size"},
        {"qwen3-fp8", "    24,", "    -24,", JT_FORMAT, "weight_block_size must be two numbers above 0"},
        {"qwen3-fp8", "    24,", "    7,", JT_FORMAT, "_scale_inv has"},
        {"qwen3-fp8", "\"quantization_config\"", "\"quantisation\"", JT_UNSUPPORTED, "dtype F8_E4M3"},
        {"starcoder2", "\"hidden_size\": 32", "\"hidden_size\": 64", JT_FORMAT, "the model's settings ask for"},
        {"gpt2", "\"scale_attn_by_inverse_layer_idx\": false", "\"scale_attn_by_inverse_layer_idx\": true", JT_UNSUPPORTED,
         "scale_attn_by_inverse_layer_idx"},
        {"gpt2", "\"n_positions\": 64", "\"n_positions\": 63", JT_FORMAT, "transformer.wpe.weight"},
        {"gpt2", "\"model_type\": \"gpt2\"", "\"model_type\": \"gpt9\"", JT_UNSUPPORTED, "model_type \"gpt9\""},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        jt_error err = {0};
        jt_status s = altered(row[i].name, row[i].from, row[i].to, &err);
        if (s != row[i].status || !strstr(err.message, row[i].part))
            fail_msg("%s with %s: %s: %s", row[i].name, row[i].to, jt_status_name(s), err.message);
    }
    jt_error err;
    ok(altered("gemma2", "\"final_logit_softcapping\": 6.0", "\"final_logit_softcapping\": null", &err), &err);
    ok(altered("llama-linear", "\"rope_type\": \"linear\"", "\"type\": \"linear\"", &err), &err);
}

/* ---- rotations ---- */

static double frequency(jt_rope r, int i, int context) { return jt_rope_frequency(&r, NULL, i, 8, context); }

/* Worked out by hand from the papers, for 8 dimensions. */
static void test_frequencies(void **unused) {
    (void)unused;
    jt_rope r = {.base = 10000};
    const double plain[] = {1, 0.1, 0.01, 0.001};
    for (int i = 0; i < 4; i++) assert_true(fabs(frequency(r, i, 64) / plain[i] - 1) < 1e-12);
    r = (jt_rope){.kind = JT_ROPE_NTK, .base = 10000, .factor = 8}; /* base * 8^(8 / 6) = base * 16 */
    for (int i = 0; i < 4; i++) assert_true(fabs(frequency(r, i, 64) / (plain[i] / pow(2, i)) - 1) < 1e-12);
    r = (jt_rope){.kind = JT_ROPE_DYNAMIC, .base = 10000, .factor = 7, .original = 32};
    for (int i = 0; i < 4; i++) { /* twice the original context: 7 * 2 - 6 = 8 */
        assert_true(fabs(frequency(r, i, 32) / plain[i] - 1) < 1e-12);
        assert_true(fabs(frequency(r, i, 64) / (plain[i] / pow(2, i)) - 1) < 1e-12);
    }
    r = (jt_rope){.kind = JT_ROPE_LLAMA3, .base = 10000, .factor = 4, .original = 64, .low = 1, .high = 4};
    double turns = 64 * 0.1 / (2 * 3.14159265358979323846), smooth = (turns - 1) / 3; /* wave 62.8: between 16 and 64 */
    assert_true(fabs(frequency(r, 0, 9) - 1) < 1e-12);
    assert_true(fabs(frequency(r, 1, 9) - 0.1 * ((1 - smooth) / 4 + smooth)) < 1e-12);
    assert_true(fabs(frequency(r, 2, 9) - 0.0025) < 1e-12);
    r = (jt_rope){.kind = JT_ROPE_YARN, .base = 10000, .factor = 4, .original = 4096, .low = 1, .high = 32};
    /* Dimensions that turn 32 times and once in 4,096 positions: 8 ln(4096 / (2 pi 32)) / (2 ln 10000) = 1.3, and 2.8: 1 to 3. */
    assert_true(fabs(frequency(r, 1, 9) - 0.1) < 1e-12);
    assert_true(fabs(frequency(r, 2, 9) - 0.01 * (0.5 + 0.125)) < 1e-12);
    assert_true(fabs(frequency(r, 3, 9) - 0.00025) < 1e-12);
    assert_true(fabs(jt_rope_attention(&r) - (0.1 * log(4) + 1)) < 1e-12);
}

/* Sequences of one batch may have declared contexts that make other rotations of one model. */
static void test_contexts(void **unused) {
    (void)unused;
    static const char *const name[] = {"llama-dynamic", "phi4-mini"};
    static float alone[2][8][MOST_VOCAB], together[2][8][MOST_VOCAB];
    static const int32_t ids[8] = {5, 9, 33, 4, 17, 8, 3, 40};
    static const int context[2] = {32, 48};
    for (int k = 0; k < 2; k++) {
        char path[512];
        jt_error err;
        snprintf(path, sizeof path, FIXTURES "/families/%s", name[k]);
        machine m = machine_open(path, JT_ACT_FLOAT, JT_KV_AUTO, "auto", 2, 0);
        jt_span span[2];
        jt_want want[16];
        for (int i = 0; i < 2; i++) {
            jt_state *s = machine_state(&m, context[i]);
            rows_of(&m, s, ids, NULL, 8, alone[i]);
            jt_state_free(s);
            span[i] = (jt_span){.state = machine_state(&m, context[i]), .ids = ids, .n = 8};
        }
        for (int i = 0; i < 16; i++) want[i] = (jt_want){.row = i, .logits = together[i / 8][i % 8]};
        ok(jt_eval(m.model, &(jt_batch){.span = span, .n_span = 2, .want = want, .n_want = 16}, &err), &err);
        assert_memory_equal(alone, together, sizeof alone);
        assert_memory_not_equal(alone[0][7], alone[1][7], sizeof alone[0][7]);
        assert_true(jt_state_mode(span[0].state) != jt_state_mode(span[1].state));
        for (int i = 0; i < 2; i++) jt_state_free(span[i].state);
        machine_close(&m);
    }
}

static void test_learned_positions(void **unused) {
    (void)unused;
    jt_error err;
    machine m = machine_open(FIXTURES "/families/gpt2", JT_ACT_FLOAT, JT_KV_AUTO, "auto", 1, 0);
    jt_state *s;
    assert_int_equal(jt_state_new(m.model, 65, &s, &err), JT_INVALID);
    assert_non_null(strstr(err.message, "learned positions for 64"));
    s = machine_state(&m, 64);
    static float first[1][MOST_VOCAB], moved[1][MOST_VOCAB];
    int32_t id = 7, position = 64;
    jt_want want = {.logits = moved[0]};
    jt_span span = {.state = s, .ids = &id, .n = 1, .position = &position};
    assert_int_equal(jt_eval(m.model, &(jt_batch){.span = &span, .n_span = 1, .want = &want, .n_want = 1}, &err), JT_INVALID);
    assert_non_null(strstr(err.message, "position 64 must be between 0 and 63"));
    position = 63;
    ok(jt_eval(m.model, &(jt_batch){.span = &span, .n_span = 1, .want = &want, .n_want = 1}, &err), &err);
    ok(jt_state_truncate(s, 0, &err), &err);
    rows_of(&m, s, &id, NULL, 1, first);
    assert_memory_not_equal(first, moved, sizeof first);
    jt_state_free(s);
    machine_close(&m);
}

/* ---- a model of text within one of more ---- */

/* The fixture gemma3 as folders of models with images have it: names that begin with `before`, settings inside others. */
static void within_write(const char *before) {
    char path[512];
    jt_error err;
    jt_str text = {0};
    jt_safetensors *f;
    jt_st_writer *w;
    jt_st_spec spec[128];
    static char name[128][256];
    ok(jt_file_read(FIXTURES "/families/gemma3/config.json", &text, &err), &err);
    FILE *c = fopen(config_path(), "wb");
    assert_non_null(c);
    fprintf(c, "{\"model_type\": \"gemma3\", \"text_config\": %s, \"vision_config\": {}}", text.s);
    fclose(c);
    jt_str_free(&text);
    ok(jt_safetensors_open(FIXTURES "/families/gemma3", &f, &err), &err);
    size_t n = jt_safetensors_tensors(f);
    assert_in_range(n, 1, 127);
    for (size_t i = 0; i < n; i++) {
        const jt_st_tensor *t = jt_safetensors_tensor_at(f, i);
        snprintf(name[i], sizeof name[i], "%s%s", before, t->name + strlen("model."));
        spec[i] = (jt_st_spec){.name = name[i], .dtype = t->dtype->name, .n_dims = t->n_dims};
        memcpy(spec[i].dim, t->dim, sizeof spec[i].dim);
    }
    spec[n] = (jt_st_spec){.name = "model.vision_tower.conv.weight", .dtype = "F32", .n_dims = 1, .dim = {1}};
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    ok(jt_st_create(path, spec, n + 1, &w, &err), &err);
    for (size_t i = 0; i < n; i++) {
        const jt_st_tensor *t = jt_safetensors_tensor_at(f, i);
        ok(jt_st_write(w, i, t->data, (size_t)t->bytes, &err), &err);
    }
    ok(jt_st_write(w, n, &(float){1}, sizeof(float), &err), &err);
    ok(jt_st_commit(w, &err), &err);
    jt_safetensors_free(f);
}

static char noted[1024];
static void within_note(void *self, const char *text) {
    (void)self;
    size_t n = strlen(noted);
    snprintf(noted + n, sizeof noted - n, "%s\n", text);
}

static void test_text_within(void **unused) {
    (void)unused;
    static const char *const before[] = {"language_model.model.", "model.language_model.", "model.", ""};
    static float want[8][MOST_VOCAB], got[8][MOST_VOCAB];
    static const int32_t ids[8] = {5, 9, 33, 4, 17, 8, 3, 40};
    char path[512];
    machine m = machine_open(FIXTURES "/families/gemma3", JT_ACT_FLOAT, JT_KV_AUTO, "auto", 1, 0);
    jt_state *s = machine_state(&m, 16);
    rows_of(&m, s, ids, NULL, 8, want);
    jt_state_free(s);
    machine_close(&m);
    for (int i = 0; i < 4; i++) {
        within_write(before[i]);
        m = machine_open(folder, JT_ACT_FLOAT, JT_KV_AUTO, "auto", 1, 0);
        s = machine_state(&m, 16);
        rows_of(&m, s, ids, NULL, 8, got);
        assert_memory_equal(got, want, sizeof got);
        jt_state_free(s);
        machine_close(&m);
        /* The part for text as a GGUF file of its own. */
        jt_error err;
        char gguf[512];
        noted[0] = 0;
        snprintf(gguf, sizeof gguf, "%s.gguf", folder);
        jt_convert_options o = {.type = "f32", .threads = 1, .note = within_note};
        ok(jt_convert(folder, gguf, &o, NULL, &err), &err);
        assert_non_null(strstr(noted, "vision_tower"));
        m = machine_open(gguf, JT_ACT_FLOAT, JT_KV_AUTO, "auto", 1, 0);
        s = machine_state(&m, 16);
        rows_of(&m, s, ids, NULL, 8, got);
        for (int r = 0; r < 8; r++)
            for (int k = 0; k < 64; k++) assert_true(fabsf(got[r][k] - want[r][k]) < 1e-4f);
        jt_state_free(s);
        machine_close(&m);
        snprintf(path, sizeof path, "%s/model.safetensors", folder);
        unlink(path), unlink(config_path()), unlink(gguf);
    }
}

/* ---- memory ---- */

static void test_failed_allocations(void **unused) {
    (void)unused;
    static const char *const name[] = {"gpt2", "phi4-mini", "gemma3", "stablelm-heads", "qwen3-fp8", "qwen2-moe"};
    jt_error err;
    jt_engine *e;
    ok(jt_engine_new(&(jt_engine_options){.threads = 1}, &e, &err), &err);
    for (int k = 0; k < 6; k++) {
        char path[512];
        snprintf(path, sizeof path, FIXTURES "/families/%s", name[k]);
        jt_status s = JT_NOMEM;
        for (long at = 0; s == JT_NOMEM; at += at < 60 ? 1 : 13) {
            jt_model *m = NULL;
            jt_state *a = NULL, *b = NULL;
            alloc_fail_at(at);
            s = jt_model_open(e, path, NULL, &m, &err);
            if (!s) s = jt_state_new(m, 16, &a, &err);
            if (!s) s = jt_state_new(m, 60, &b, &err);
            alloc_fail_at(-1);
            if (s && s != JT_NOMEM) fail_msg("%s: %s", name[k], err.message);
            jt_state_free(a), jt_state_free(b);
            jt_model_free(m);
        }
        assert_int_equal(s, JT_OK);
    }
    jt_engine_free(e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_invariance),         cmocka_unit_test(test_refusals),          cmocka_unit_test(test_frequencies),
        cmocka_unit_test(test_contexts),           cmocka_unit_test(test_learned_positions), cmocka_unit_test(test_text_within),
        cmocka_unit_test(test_failed_allocations),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
