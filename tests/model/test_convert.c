/* Converting: every family of the fixtures to GGUF and back with equal numbers and settings; against GGUF files that others
 * wrote; parts, shards, mixtures and fallbacks; tokenizers; what cannot be told refused; failed allocations. */
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

#include "alloc_wrap.h"
#include "core/file.h"
#include "jeton/adapter.h"
#include "jeton/convert.h"
#include "jeton/model.h"
#include "jeton/text.h"
#include "model/config.h"
#include "model/gguf_builder.h"
#include "model/gguf_write.h"
#include "model/imatrix.h"
#include "model/model.h"
#include "model/safetensors.h"

static char dir[64];
static char notes[4096];

static void ok(jt_status s, const jt_error *err) {
    if (s) fail_msg("%s: %s", jt_status_name(s), err->message);
}

static void assert_has(const char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("\"%s\" is not in \"%s\"", part, text);
}

static void on_note(void *self, const char *text) {
    (void)self;
    size_t n = strlen(notes);
    snprintf(notes + n, sizeof notes - n, "%s\n", text);
}

static const char *at(const char *name) {
    static char path[4][256];
    static int k;
    snprintf(path[k = (k + 1) % 4], sizeof *path, "%s/%s", dir, name);
    return path[k];
}

static void remove_all(const char *name) {
    char command[300];
    snprintf(command, sizeof command, "rm -rf %s", at(name));
    if (system(command)) fail();
}

static int setup(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/test_convert.XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

/* ---- round trips ---- */

static float *floats_of(const jt_st_tensor *t) {
    jt_error err;
    float *x = malloc((size_t)t->elements * sizeof *x + 1);
    ok(jt_st_read_f32(t, 0, t->elements, x, &err), &err);
    return x;
}

/* `off`: what numbers may differ by, relative to the larger of 1 and themselves. */
static void same_folders(const char *a, const char *b, double off) {
    jt_safetensors *x, *y;
    jt_error err;
    ok(jt_safetensors_open(a, &x, &err), &err);
    ok(jt_safetensors_open(b, &y, &err), &err);
    assert_int_equal(jt_safetensors_tensors(x), jt_safetensors_tensors(y));
    for (size_t i = 0; i < jt_safetensors_tensors(x); i++) {
        const jt_st_tensor *t = jt_safetensors_tensor_at(x, i), *u = jt_safetensors_tensor_named(y, t->name);
        if (!u) fail_msg("%s: tensor %s is gone", b, t->name);
        assert_int_equal(t->n_dims, u->n_dims);
        for (int k = 0; k < t->n_dims; k++) assert_int_equal(t->dim[k], u->dim[k]);
        float *p = floats_of(t), *q = floats_of(u);
        for (uint64_t k = 0; k < t->elements; k++)
            if (!(fabs((double)p[k] - (double)q[k]) <= off * fmax(1, fabs((double)p[k]))))
                fail_msg("%s: tensor %s, number %llu: %g and %g", b, t->name, (unsigned long long)k, (double)p[k], (double)q[k]);
        free(p), free(q);
    }
    jt_safetensors_free(x), jt_safetensors_free(y);
}

static void there_and_back(const char *folder, double off) {
    jt_error err;
    jt_convert_options o = {.type = "f32", .threads = 1};
    remove_all("a.gguf"), remove_all("b");
    jt_status s = jt_convert(folder, at("a.gguf"), &o, NULL, &err);
    if (s) fail_msg("%s: %s", folder, err.message);
    s = jt_convert(at("a.gguf"), at("b"), &o, NULL, &err);
    if (s) fail_msg("%s: %s", folder, err.message);
    same_folders(folder, at("b"), off);
}

static void test_families(void **state) {
    (void)state;
    static const char *const folder[] = {"hf-tiny/llama",
                                         "families/gemma",
                                         "families/gemma2",
                                         "families/gemma3",
                                         "families/gpt2",
                                         "families/granite",
                                         "families/llama-dynamic",
                                         "families/llama-linear",
                                         "families/llama-tied-mha",
                                         "families/llama-yarn",
                                         "families/llama3-biased",
                                         "families/mistral",
                                         "families/olmo2",
                                         "families/phi3",
                                         "families/phi4-mini",
                                         "families/qwen2",
                                         "families/qwen3",
                                         "families/smollm3",
                                         "families/stablelm",
                                         "families/stablelm-parallel",
                                         "families/starcoder2",
                                         "moe/mixtral",
                                         "moe/olmoe",
                                         "moe/qwen3-moe",
                                         "moe/gpt-oss",
                                         "moe/granite-moe",
                                         "moe/granite-hybrid-moe",
                                         "moe/deepseek-v2",
                                         "moe/deepseek-v3",
                                         "hybrid/one"};
    for (size_t i = 0; i < sizeof folder / sizeof *folder; i++) {
        char path[256];
        snprintf(path, sizeof path, FIXTURES "/%s", folder[i]);
        bool turned = strstr(folder[i], "gemma") || strstr(folder[i], "hybrid"); /* 1 + w, and -exp(x), are rounded */
        there_and_back(path, turned ? 1e-6 : 0);
    }
}

/* GGUF files of the same models, written by other programs (ORIGIN.md beside them). */
static void test_others_files(void **state) {
    (void)state;
    static const char *const name[] = {"moe/mixtral", "moe/olmoe", "moe/qwen3-moe", "moe/gpt-oss", "moe/granite-moe", "moe/deepseek-v2"};
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        char path[256];
        jt_gguf *a, *b;
        jt_error err;
        snprintf(path, sizeof path, FIXTURES "/%s", name[i]);
        remove_all("a.gguf");
        ok(jt_convert(path, at("a.gguf"), NULL, NULL, &err), &err);
        ok(jt_gguf_open(at("a.gguf"), &a, &err), &err);
        snprintf(path, sizeof path, FIXTURES "/%s.gguf", name[i]);
        ok(jt_gguf_open(path, &b, &err), &err);
        assert_int_equal(jt_gguf_tensors(a), jt_gguf_tensors(b));
        for (size_t k = 0; k < jt_gguf_tensors(b); k++) {
            const jt_gguf_tensor *t = jt_gguf_tensor_at(b, k), *u = jt_gguf_tensor_named(a, t->name);
            assert_non_null(u);
            assert_int_equal(t->elements, u->elements);
            for (int d = 0; d < 4; d++) assert_int_equal(t->dim[d], u->dim[d]);
            float *x = malloc(t->elements * 4), *y = malloc(t->elements * 4);
            t->format->expand(t->data, x, t->elements), u->format->expand(u->data, y, u->elements);
            for (uint64_t n = 0; n < t->elements; n++)
                if (x[n] != y[n]) fail_msg("%s: tensor %s differs", path, t->name);
            free(x), free(y);
        }
        jt_gguf_free(a), jt_gguf_free(b);
    }
}

/* A model from GGUF gives the logits of the folder that it came from. */
static void test_same_logits(void **state) {
    (void)state;
    static const char *const folder[] = {"hf-tiny/llama", "families/llama3-biased", "families/phi4-mini"};
    for (int f = 0; f < 3; f++) {
        char path[256];
        jt_error err;
        jt_engine *e;
        jt_model *m[2];
        float logits[2][320];
        int32_t ids[12];
        for (int i = 0; i < 12; i++) ids[i] = (7 + 11 * i) % 64;
        snprintf(path, sizeof path, FIXTURES "/%s", folder[f]);
        remove_all("a.gguf");
        ok(jt_convert(path, at("a.gguf"), &(jt_convert_options){.type = "f32"}, NULL, &err), &err);
        ok(jt_engine_new(&(jt_engine_options){.threads = 1}, &e, &err), &err);
        for (int k = 0; k < 2; k++) {
            jt_state *s;
            ok(jt_model_open(e, k ? at("a.gguf") : path, &(jt_model_options){.activations = JT_ACT_FLOAT}, &m[k], &err), &err);
            ok(jt_state_new(m[k], 64, &s, &err), &err);
            jt_span span = {.state = s, .ids = ids, .n = 12};
            jt_want want = {.row = 11, .logits = logits[k]};
            jt_model_info info;
            jt_model_get_info(m[k], &info);
            assert_true(info.vocab <= 320);
            ok(jt_eval(m[k], &(jt_batch){.span = &span, .n_span = 1, .want = &want, .n_want = 1}, &err), &err);
            jt_state_free(s);
            if (!k) continue;
            for (int i = 0; i < info.vocab; i++) assert_true(fabsf(logits[0][i] - logits[1][i]) < 1e-4f);
        }
        jt_model_free(m[0]), jt_model_free(m[1]);
        jt_engine_free(e);
    }
}

/* ---- parts ---- */

static void test_parts(void **state) {
    (void)state;
    jt_error err;
    jt_convert_info info;
    jt_gguf *g, *whole;
    char first[256];
    ok(jt_convert(FIXTURES "/hf-tiny/llama", at("w.gguf"), NULL, NULL, &err), &err);
    ok(jt_convert(at("w.gguf"), at("p.gguf"), &(jt_convert_options){.part_bytes = 100000}, &info, &err), &err);
    assert_true(info.files > 2);
    snprintf(first, sizeof first, "%s/p-00001-of-%05d.gguf", dir, (int)info.files);
    ok(jt_gguf_open(first, &g, &err), &err);
    ok(jt_gguf_open(at("w.gguf"), &whole, &err), &err);
    assert_int_equal(jt_gguf_tensors(g), jt_gguf_tensors(whole));
    assert_true(jt_gguf_file_bytes(g) > jt_gguf_file_bytes(whole));
    for (size_t i = 0; i < jt_gguf_tensors(whole); i++) {
        const jt_gguf_tensor *t = jt_gguf_tensor_at(whole, i), *u = jt_gguf_tensor_named(g, t->name);
        assert_non_null(u);
        assert_memory_equal(t->data, u->data, t->bytes);
    }
    jt_gguf_free(g);
    /* Another part, a part that is missing, one of another model, one under another name. */
    char second[256], kept[256];
    snprintf(second, sizeof second, "%s/p-00002-of-%05d.gguf", dir, (int)info.files);
    snprintf(kept, sizeof kept, "%s/kept", dir);
    assert_int_equal(jt_gguf_open(second, &g, &err), JT_INVALID);
    assert_has(err.message, "open the first");
    assert_int_equal(rename(second, kept), 0);
    assert_int_equal(jt_gguf_open(first, &g, &err), JT_NOTFOUND);
    assert_has(err.message, "is missing; the model is in");
    assert_int_equal(link(first, second), 0);
    assert_int_equal(jt_gguf_open(first, &g, &err), JT_FORMAT);
    assert_has(err.message, "it is another's");
    unlink(second);
    gguf_builder b = {0};
    gb_int(&b, "split.no", JT_GGUF_U16, 1);
    gb_int(&b, "split.count", JT_GGUF_U16, (int64_t)info.files);
    gb_int(&b, "split.tensors.count", JT_GGUF_I32, 999);
    gb_save(&b, 3, second);
    assert_int_equal(jt_gguf_open(first, &g, &err), JT_FORMAT);
    assert_has(err.message, "another model's");
    gb_int(&b, "split.no", JT_GGUF_U16, 1);
    gb_int(&b, "split.count", JT_GGUF_U16, (int64_t)info.files);
    gb_save(&b, 3, second);
    assert_int_equal(jt_gguf_open(first, &g, &err), JT_FORMAT);
    assert_has(err.message, "split.tensors.count");
    assert_int_equal(rename(first, at("else.gguf")), 0);
    assert_int_equal(jt_gguf_open(at("else.gguf"), &g, &err), JT_FORMAT);
    assert_has(err.message, "give it that name back");
    jt_gguf_free(whole);
}

static void test_shards(void **state) {
    (void)state;
    jt_error err;
    jt_convert_info info;
    ok(jt_convert(FIXTURES "/hf-tiny/llama", at("s"), &(jt_convert_options){.part_bytes = 100000}, &info, &err), &err);
    assert_true(info.files > 2);
    assert_true(jt_file_exists(at("s/model.safetensors.index.json")));
    assert_true(jt_file_exists(at("s/config.json")));
    same_folders(FIXTURES "/hf-tiny/llama", at("s"), 0);
    ok(jt_convert(at("s"), at("s.gguf"), NULL, NULL, &err), &err);
    ok(jt_convert(at("s.gguf"), at("s2"), NULL, &info, &err), &err);
    assert_int_equal(info.files, 1);
    same_folders(FIXTURES "/hf-tiny/llama", at("s2"), 0);
}

/* ---- formats ---- */

/* A model of `layers` layers with rows of `cols`, zeros. */
static void write_llama(const char *path, int layers, uint32_t cols, bool head) {
    gguf_builder b = {0};
    const uint32_t ffn = 512, vocab = 64;
    gb_text(&b, "general.architecture", "llama");
    gb_text(&b, "general.license", "mit");
    gb_u32(&b, "llama.block_count", (uint32_t)layers);
    gb_u32(&b, "llama.embedding_length", cols);
    gb_u32(&b, "llama.feed_forward_length", ffn);
    gb_u32(&b, "llama.attention.head_count", 4);
    gb_u32(&b, "llama.attention.head_count_kv", 4);
    gb_u32(&b, "llama.context_length", 128);
    gb_f32(&b, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    for (int k = 0; k < 1 + head; k++)
        gb_tensor(&b, k ? "output.weight" : "token_embd.weight", JT_F32, 2, (uint64_t[]){cols, vocab}, NULL, (size_t)cols * vocab * 4);
    gb_tensor(&b, "output_norm.weight", JT_F32, 1, (uint64_t[]){cols}, NULL, (size_t)cols * 4);
    for (int i = 0; i < layers; i++) {
        static const char *const square[] = {"attn_q", "attn_k", "attn_v", "attn_output"};
        char name[64];
        for (int k = 0; k < 4; k++) {
            snprintf(name, sizeof name, "blk.%d.%s.weight", i, square[k]);
            gb_tensor(&b, name, JT_F32, 2, (uint64_t[]){cols, cols}, NULL, (size_t)cols * cols * 4);
        }
        for (int k = 0; k < 3; k++) {
            snprintf(name, sizeof name, "blk.%d.%s.weight", i, k == 0 ? "ffn_gate" : k == 1 ? "ffn_up" : "ffn_down");
            uint64_t dim[] = {k == 2 ? ffn : cols, k == 2 ? cols : ffn};
            gb_tensor(&b, name, JT_F32, 2, dim, NULL, (size_t)cols * ffn * 4);
        }
        for (int k = 0; k < 2; k++) {
            snprintf(name, sizeof name, "blk.%d.%s.weight", i, k ? "ffn_norm" : "attn_norm");
            gb_tensor(&b, name, JT_F32, 1, (uint64_t[]){cols}, NULL, (size_t)cols * 4);
        }
    }
    gb_save(&b, 3, path);
}

static const char *type_of(const jt_gguf *g, const char *name) {
    const jt_gguf_tensor *t = jt_gguf_tensor_named(g, name);
    assert_non_null(t);
    return t->format->name;
}

/* As llama-quantize chooses for the same shapes (8 layers). */
static void test_mixtures(void **state) {
    (void)state;
    static const struct {
        const char *type, *embed, *head, *q, *v0, *v3, *down0, *down3, *o;
        uint32_t file_type;
    } row[] = {{"q4_k_m", "q4_k", "q6_k", "q4_k", "q6_k", "q6_k", "q6_k", "q6_k", "q4_k", 15},
               {"Q4_K_S", "q4_k", "q6_k", "q4_k", "q5_k", "q5_k", "q5_k", "q4_k", "q4_k", 14},
               {"q3_k_m", "q3_k", "q6_k", "q3_k", "q5_k", "q4_k", "q4_k", "q4_k", "q4_k", 12},
               {"q3_k_l", "q3_k", "q6_k", "q3_k", "q5_k", "q5_k", "q5_k", "q5_k", "q5_k", 13},
               {"q2_k", "q2_k", "q6_k", "q2_k", "q3_k", "q3_k", "q3_k", "q3_k", "q3_k", 10},
               {"q5_k_m", "q5_k", "q6_k", "q5_k", "q6_k", "q6_k", "q6_k", "q6_k", "q5_k", 17},
               {"q8_0", "q8_0", "q8_0", "q8_0", "q8_0", "q8_0", "q8_0", "q8_0", "q8_0", 7},
               {"q4_0", "q4_0", "q6_k", "q4_0", "q4_0", "q4_0", "q4_0", "q4_0", "q4_0", 2},
               {"iq4_xs", "iq4_xs", "q6_k", "iq4_xs", "iq4_xs", "iq4_xs", "q5_k", "iq4_xs", "iq4_xs", 30}};
    write_llama(at("m.gguf"), 8, 256, true);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        jt_error err;
        jt_gguf *g;
        uint64_t file_type;
        const char *license;
        size_t n;
        ok(jt_convert(at("m.gguf"), at("q.gguf"), &(jt_convert_options){.type = row[i].type}, NULL, &err), &err);
        ok(jt_gguf_open(at("q.gguf"), &g, &err), &err);
        assert_string_equal(type_of(g, "token_embd.weight"), row[i].embed);
        assert_string_equal(type_of(g, "output.weight"), row[i].head);
        assert_string_equal(type_of(g, "blk.3.attn_q.weight"), row[i].q);
        assert_string_equal(type_of(g, "blk.0.attn_v.weight"), row[i].v0);
        assert_string_equal(type_of(g, "blk.3.attn_v.weight"), row[i].v3);
        assert_string_equal(type_of(g, "blk.0.ffn_down.weight"), row[i].down0);
        assert_string_equal(type_of(g, "blk.3.ffn_down.weight"), row[i].down3);
        assert_string_equal(type_of(g, "blk.3.attn_output.weight"), row[i].o);
        assert_string_equal(type_of(g, "blk.3.attn_norm.weight"), "f32");
        ok(jt_gguf_get_u64(g, "general.file_type", &file_type, &err), &err);
        assert_int_equal(file_type, row[i].file_type);
        ok(jt_gguf_get_text(g, "general.license", &license, &n, &err), &err);
        assert_memory_equal(license, "mit", 3);
        jt_gguf_free(g);
    }
}

static void test_choices(void **state) {
    (void)state;
    jt_error err;
    jt_gguf *g;
    jt_convert_info info;
    static const char *const by[] = {"ffn_down=q8_0", "blk\\.1\\..*=Q4_0"};
    write_llama(at("m.gguf"), 2, 96, false);
    notes[0] = 0;
    jt_convert_options o = {.type = "q4_k_m", .tensor_type = by, .n_tensor_type = 2, .note = on_note};
    ok(jt_convert(at("m.gguf"), at("q.gguf"), &o, &info, &err), &err);
    ok(jt_gguf_open(at("q.gguf"), &g, &err), &err);
    assert_string_equal(type_of(g, "blk.0.ffn_down.weight"), "q8_0");
    assert_string_equal(type_of(g, "blk.1.ffn_down.weight"), "q8_0");
    assert_string_equal(type_of(g, "blk.1.attn_q.weight"), "q4_0");
    assert_string_equal(type_of(g, "blk.0.attn_q.weight"), "q5_0"); /* 96 is no multiple of 256 */
    assert_string_equal(type_of(g, "token_embd.weight"), "q8_0");   /* tied, so that it counts as the head */
    assert_has(notes, "blk.0.attn_q.weight and ");
    assert_has(notes, " more: rows of 96 are no whole blocks of q4_k; stored as q5_0");
    assert_true(info.fallbacks > 2);
    jt_gguf_free(g);
    ok(jt_convert(at("m.gguf"), at("q.gguf"), &(jt_convert_options){.type = "q8_0", .pure = 1}, &info, &err), &err);
    ok(jt_gguf_open(at("q.gguf"), &g, &err), &err);
    assert_string_equal(type_of(g, "token_embd.weight"), "q8_0");
    assert_int_equal(info.fallbacks, 0);
    jt_gguf_free(g);
}

static void test_refusals(void **state) {
    (void)state;
    jt_error err;
    static const char *const bad[] = {"ffn_down", "=q8_0", "x=q9_9", "(=q8_0", "nonesuch=q8_0"};
    write_llama(at("m.gguf"), 2, 96, false);
    assert_int_equal(jt_convert(at("m.gguf"), at("q.gguf"), &(jt_convert_options){.type = "q9_k"}, NULL, &err), JT_UNKNOWN);
    assert_has(err.message, "this build writes");
    assert_int_equal(jt_convert(at("m.gguf"), at("q.gguf"), &(jt_convert_options){.type = "iq2_xs"}, NULL, &err), JT_UNKNOWN);
    assert_has(err.message, "is read, but not written");
    for (int i = 0; i < 5; i++) {
        jt_convert_options o = {.tensor_type = &bad[i], .n_tensor_type = 1};
        assert_true(jt_convert(at("m.gguf"), at("q.gguf"), &o, NULL, &err) != JT_OK);
    }
    assert_has(err.message, "matches the name of no tensor");
    assert_int_equal(jt_convert(at("m.gguf"), at("f"), &(jt_convert_options){.type = "q8_0"}, NULL, &err), JT_UNSUPPORTED);
    assert_has(err.message, "needs a name that ends in .gguf");
    assert_int_equal(mkdir(at("there"), 0777), 0);
    assert_int_equal(jt_convert(at("m.gguf"), at("there"), NULL, NULL, &err), JT_INVALID);
    assert_has(err.message, "exists already");
    assert_int_equal(jt_convert(at("nothing.gguf"), at("f"), NULL, NULL, &err), JT_NOTFOUND);
    /* Settings and tensors that have no place on the other side. */
    gguf_builder b = {0};
    gb_text(&b, "general.architecture", "nonesuch");
    gb_tensor(&b, "x.weight", JT_F32, 1, (uint64_t[]){4}, NULL, 16);
    gb_save(&b, 3, at("n.gguf"));
    assert_int_equal(jt_convert(at("n.gguf"), at("f"), NULL, NULL, &err), JT_UNSUPPORTED);
    ok(jt_convert(at("n.gguf"), at("n2.gguf"), NULL, NULL, &err), &err); /* GGUF to GGUF asks for no family */
    assert_false(jt_file_exists(at("f")));
}

/* ---- tokenizers ---- */

static void test_tokenizer(void **state) {
    (void)state;
    static const char *const token[] = {"<s>", "</s>", "a", "b", "ab", "\xc4\xa0", "\u0120a", "<x>"};
    static const int32_t type[] = {3, 3, 1, 1, 1, 1, 1, 4};
    static const char *const merge[] = {"a b", "\xc4\xa0 a"};
    jt_error err;
    jt_gguf *a, *z;
    gguf_builder b = {0};
    gb_text(&b, "general.architecture", "llama");
    gb_text(&b, "general.name", "tiny");
    gb_u32(&b, "llama.block_count", 1), gb_u32(&b, "llama.embedding_length", 8), gb_u32(&b, "llama.feed_forward_length", 8);
    gb_u32(&b, "llama.attention.head_count", 2), gb_u32(&b, "llama.context_length", 16);
    gb_f32(&b, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    gb_text(&b, "tokenizer.ggml.model", "gpt2"), gb_text(&b, "tokenizer.ggml.pre", "smollm");
    gb_texts(&b, "tokenizer.ggml.tokens", token, 8), gb_i32s(&b, "tokenizer.ggml.token_type", type, 8);
    gb_texts(&b, "tokenizer.ggml.merges", merge, 2);
    gb_u32(&b, "tokenizer.ggml.bos_token_id", 0), gb_u32(&b, "tokenizer.ggml.eos_token_id", 1);
    gb_bool(&b, "tokenizer.ggml.add_bos_token", true);
    gb_text(&b, "tokenizer.chat_template", "{{ \"x\" }}\n");
    gb_tensor(&b, "token_embd.weight", JT_F16, 2, (uint64_t[]){8, 8}, NULL, 128);
    static const char *const square[] = {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"};
    char name[64];
    for (int k = 0; k < 7; k++) {
        snprintf(name, sizeof name, "blk.0.%s.weight", square[k]);
        gb_tensor(&b, name, JT_F16, 2, (uint64_t[]){8, 8}, NULL, 128);
    }
    gb_tensor(&b, "blk.0.attn_norm.weight", JT_F32, 1, (uint64_t[]){8}, NULL, 32);
    gb_tensor(&b, "blk.0.ffn_norm.weight", JT_F32, 1, (uint64_t[]){8}, NULL, 32);
    gb_tensor(&b, "output_norm.weight", JT_F32, 1, (uint64_t[]){8}, NULL, 32);
    gb_save(&b, 3, at("t.gguf"));
    ok(jt_convert(at("t.gguf"), at("t"), NULL, NULL, &err), &err);
    assert_true(jt_file_exists(at("t/tokenizer.json")) && jt_file_exists(at("t/tokenizer_config.json")));
    ok(jt_convert(at("t"), at("t2.gguf"), NULL, NULL, &err), &err);
    ok(jt_gguf_open(at("t.gguf"), &a, &err), &err);
    ok(jt_gguf_open(at("t2.gguf"), &z, &err), &err);
    for (size_t i = 0; i < jt_gguf_values(a); i++) {
        const jt_gguf_value *v = jt_gguf_value_at(a, i), *w = jt_gguf_find(z, v->key);
        if (strncmp(v->key, "tokenizer.", 10) != 0 && strcmp(v->key, "general.name") != 0) continue;
        if (!w || w->bytes != v->bytes || memcmp(v->at, w->at, v->bytes) != 0) fail_msg("%s differs", v->key);
    }
    jt_gguf_free(a), jt_gguf_free(z);
}

/* Keys that tokenizer.json cannot say come back. */
static void test_tokenizer_carried(void **state) {
    (void)state;
    static const char *const token[] = {"<unk>", "a"};
    static const float score[] = {0, -1};
    jt_error err;
    jt_gguf *z;
    gguf_builder b = {0};
    write_llama(at("m.gguf"), 1, 96, false);
    ok(jt_convert(at("m.gguf"), at("c"), NULL, NULL, &err), &err);
    gb_text(&b, "tokenizer.ggml.model", "llama");
    gb_texts(&b, "tokenizer.ggml.tokens", token, 2);
    gb_f32s(&b, "tokenizer.ggml.scores", score, 2);
    gb_save(&b, 3, at("c/tokenizer.gguf"));
    ok(jt_convert(at("c"), at("c.gguf"), NULL, NULL, &err), &err);
    notes[0] = 0;
    ok(jt_convert(at("c.gguf"), at("d"), &(jt_convert_options){.note = on_note}, NULL, &err), &err);
    assert_has(notes, "its keys are kept in tokenizer.gguf");
    ok(jt_gguf_open(at("d/tokenizer.gguf"), &z, &err), &err);
    const jt_gguf_value *v = jt_gguf_find(z, "tokenizer.ggml.scores");
    double x;
    assert_true(v && jt_gguf_item_double(v, 1, &x) && x == -1);
    jt_gguf_free(z);
}

/* ---- adapters ---- */

/* Logits of the last of some tokens, and how many. */
static int logits_of(const char *model, const char *adapter, float *out) {
    jt_error err;
    jt_engine *e;
    jt_model *m;
    jt_state *s;
    jt_adapter *a = NULL;
    jt_model_info info;
    int32_t ids[] = {5, 9, 200, 31, 77, 4, 18, 300};
    ok(jt_engine_new(&(jt_engine_options){.threads = 1}, &e, &err), &err);
    ok(jt_model_open(e, model, &(jt_model_options){.activations = JT_ACT_FLOAT}, &m, &err), &err);
    jt_model_get_info(m, &info);
    for (int i = 0; i < 8; i++) ids[i] %= info.vocab;
    if (adapter) ok(jt_adapter_open(m, adapter, &a, &err), &err);
    if (a) ok(jt_model_set_adapter(m, a, 1, &err), &err);
    ok(jt_state_new(m, 64, &s, &err), &err);
    jt_span span = {.state = s, .ids = ids, .n = 8};
    jt_want want = {.row = 7, .logits = out};
    ok(jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .want = &want, .n_want = 1}, &err), &err);
    jt_state_free(s);
    jt_adapter_free(a);
    jt_model_free(m);
    jt_engine_free(e);
    return info.vocab;
}

static void same_logits(const float *a, const float *b, int n) {
    for (int i = 0; i < n; i++)
        if (!(fabsf(a[i] - b[i]) < 5e-5f)) fail_msg("logit %d: %g and %g", i, (double)a[i], (double)b[i]);
}

/* A merged model, and an adapter in the other container, give the logits of model and adapter. */
static void adapters_of(const char *model, const char *adapter) {
    jt_error err;
    float plain[320], want[320], got[320];
    static const char *const out[] = {"a.gguf", "b"}, *const file[] = {"l.gguf", "l"};
    remove_all("base.gguf");
    ok(jt_convert(model, at("base.gguf"), NULL, NULL, &err), &err);
    int vocab = logits_of(model, NULL, plain);
    logits_of(model, adapter, want);
    assert_memory_not_equal(plain, want, (size_t)vocab * sizeof *plain);
    for (int k = 0; k < 4; k++) { /* from either kind to either */
        jt_convert_options o = {.adapter = adapter, .type = "f32"};
        remove_all(out[k % 2]);
        ok(jt_convert(k / 2 ? at("base.gguf") : model, at(out[k % 2]), &o, NULL, &err), &err);
        logits_of(at(out[k % 2]), NULL, got);
        same_logits(want, got, vocab);
    }
    for (int k = 0; k < 2; k++) {
        jt_convert_info info;
        remove_all(file[k]);
        ok(jt_convert_adapter(k ? at("base.gguf") : model, adapter, at(file[k]), &info, &err), &err);
        assert_true(info.tensors && info.parameters && info.bytes_out == 4 * info.parameters);
        logits_of(model, at(file[k]), got);
        same_logits(want, got, vocab);
        logits_of(at("base.gguf"), at(file[k]), got);
        same_logits(want, got, vocab);
    }
    /* And back from the other container. */
    remove_all("k");
    ok(jt_convert_adapter(model, at("l.gguf"), at("k"), NULL, &err), &err);
    logits_of(model, at("k"), got);
    same_logits(want, got, vocab);
}

static void test_adapters(void **state) {
    (void)state;
    static const char *const adapter[] = {FIXTURES "/lora/wide", FIXTURES "/lora/narrow", FIXTURES "/lora/wide.gguf"};
    static const char *const family[] = {"phi3", "gpt2", "qwen2"}; /* maps in one tensor; such, by input; biases */
    jt_error err;
    char model[256], lora[300];
    for (int i = 0; i < 3; i++) adapters_of(FIXTURES "/hf-tiny/llama", adapter[i]);
    for (int i = 0; i < 3; i++) {
        snprintf(model, sizeof model, FIXTURES "/families/%s", family[i]), snprintf(lora, sizeof lora, "%s/lora", model);
        adapters_of(model, lora);
    }
    write_llama(at("m.gguf"), 2, 96, false);
    jt_convert_options o = {.adapter = adapter[0]};
    assert_int_equal(jt_convert(at("m.gguf"), at("x.gguf"), &o, NULL, &err), JT_FORMAT);
}

/* ---- importance matrices ---- */

static void test_imatrix(void **state) {
    (void)state;
    static const char model[] = FIXTURES "/hf-tiny/llama";
    jt_error err;
    jt_engine *e;
    jt_model *m;
    jt_state *s;
    jt_imatrix_sums *sums;
    jt_imatrix *x;
    int32_t ids[40];
    for (int i = 0; i < 40; i++) ids[i] = i * 7 % 320;
    ok(jt_engine_new(&(jt_engine_options){.threads = 2}, &e, &err), &err);
    for (int act = 0; act < 2; act++) {
        ok(jt_model_open(e, model, &(jt_model_options){.activations = act ? JT_ACT_INT8 : JT_ACT_FLOAT}, &m, &err), &err);
        ok(jt_state_new(m, 64, &s, &err), &err);
        ok(jt_imatrix_collect(m, &sums, &err), &err);
        assert_int_equal(jt_imatrix_save(sums, at("i.gguf"), "t", 0, 0, &err), JT_INVALID);
        jt_span span = {.state = s, .ids = ids, .n = 40};
        jt_want want = {.row = 39, .logits = malloc(320 * sizeof(float))};
        ok(jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .want = &want, .n_want = 1}, &err), &err);
        free(want.logits);
        ok(jt_imatrix_save(sums, at("i.gguf"), "t", 1, 40, &err), &err);
        assert_int_equal(jt_imatrix_met(sums), 3 * 7);
        jt_imatrix_stop(sums);
        jt_state_free(s);
        jt_model_free(m);
        ok(jt_imatrix_open(at("i.gguf"), &x, &err), &err);
        assert_int_equal(jt_imatrix_rows(x), 21);
        const jt_imatrix_row *q = jt_imatrix_find(x, "blk.1.attn_q.weight"), *k = jt_imatrix_find(x, "blk.1.attn_k.weight");
        const jt_imatrix_row *gate = jt_imatrix_find(x, "blk.1.ffn_gate.weight"), *down = jt_imatrix_find(x, "blk.1.ffn_down.weight");
        assert_true(q && k && gate && down);
        assert_int_equal(down->cols, 160);
        assert_memory_equal(q->mean, k->mean, 64 * sizeof(float)); /* one input */
        /* A norm's rows have a mean square of about 1 before its weights, which are near 1 here. */
        double mean = 0;
        for (int i = 0; i < 64; i++) mean += (double)q->mean[i] / 64;
        assert_true(mean > 0.5 && mean < 2);
        jt_imatrix_free(x);
    }
    jt_engine_free(e);
    ok(jt_convert(model, at("w.gguf"), &(jt_convert_options){.type = "q4_0", .imatrix = at("i.gguf")}, NULL, &err), &err);
    ok(jt_convert(model, at("v.gguf"), &(jt_convert_options){.type = "q4_0"}, NULL, &err), &err);
    jt_gguf *a, *b;
    ok(jt_gguf_open(at("w.gguf"), &a, &err), &err);
    ok(jt_gguf_open(at("v.gguf"), &b, &err), &err);
    const jt_gguf_tensor *t = jt_gguf_tensor_named(a, "blk.0.attn_q.weight"), *u = jt_gguf_tensor_named(b, "blk.0.attn_q.weight");
    assert_true(t->bytes == u->bytes && memcmp(t->data, u->data, t->bytes) != 0);
    jt_gguf_free(a), jt_gguf_free(b);
    /* The older form: int32 entries; length, name, calls, numbers, floats. */
    const int32_t head[] = {1, 19}, counts[] = {2, 64};
    float number[64];
    for (int i = 0; i < 64; i++) number[i] = (float)(2 * i);
    FILE *f = fopen(at("i.dat"), "wb");
    assert_true(f && fwrite(head, 4, 2, f) == 2 && fwrite("blk.0.attn_q.weight", 1, 19, f) == 19 && fwrite(counts, 4, 2, f) == 2 &&
                fwrite(number, 4, 64, f) == 64 && !fclose(f));
    ok(jt_imatrix_open(at("i.dat"), &x, &err), &err);
    assert_true(jt_imatrix_find(x, "blk.0.attn_q.weight")->mean[5] == 5);
    jt_imatrix_free(x);
    write_llama(at("m.gguf"), 1, 96, false);
    assert_int_equal(jt_convert(at("m.gguf"), at("x.gguf"), &(jt_convert_options){.type = "q4_0", .imatrix = at("i.dat")}, NULL, &err),
                     JT_INVALID);
    assert_has(err.message, "it is another model's");
}

/* ---- failed allocations ---- */

static void test_failed_allocations(void **state) {
    (void)state;
    jt_error err;
    char folder[256], file[256], out[256];
    write_llama(at("m.gguf"), 1, 32, false);
    remove_all("h");
    ok(jt_convert(at("m.gguf"), at("h"), NULL, NULL, &err), &err);
    snprintf(folder, sizeof folder, "%s/h", dir), snprintf(file, sizeof file, "%s/m.gguf", dir);
    for (int way = 0; way < 3; way++) {
        jt_convert_options o = {.threads = 1, .part_bytes = 20000, .type = way == 2 ? "q4_k_m" : NULL};
        snprintf(out, sizeof out, "%s/%s", dir, way == 1 ? "o" : "o.gguf");
        jt_status s = JT_NOMEM;
        for (long i = 0; s; i++) {
            alloc_fail_at(i);
            s = jt_convert(way ? file : folder, out, &o, NULL, &err);
            alloc_fail_at(-1);
            if (s) assert_int_equal(s, JT_NOMEM);
            if (s) assert_false(jt_file_exists(out));
        }
        if (way == 1) remove_all("o");
    }
}

/* Files older than the key that names the pre-tokeniser: an architecture whose models all cut alike says it, others are refused. */
static void files_without_a_pretokeniser(void **state) {
    (void)state;
    static const char *const arch[] = {"gpt2", "starcoder", "llama"}, *const token[] = {"1", "2", "12"}, *const merge[] = {"1 2"};
    for (int i = 0; i < 3; i++) {
        jt_error err;
        jt_gguf *g;
        jt_tokenizer *t = NULL;
        jt_tokens k = {0};
        gguf_builder b = {0};
        gb_text(&b, "general.architecture", arch[i]);
        gb_text(&b, "tokenizer.ggml.model", "gpt2");
        gb_texts(&b, "tokenizer.ggml.tokens", token, 3);
        gb_texts(&b, "tokenizer.ggml.merges", merge, 1);
        gb_save(&b, 3, at("old.gguf"));
        ok(jt_gguf_open(at("old.gguf"), &g, &err), &err);
        if (i < 2) {
            ok(jt_model_load_tokenizer(g, &t, &err), &err);
            ok(jt_encode(t, "12", 2, 0, &k, &err), &err);
            assert_int_equal(k.n, i ? 2 : 1); /* starcoder takes each digit alone */
        } else {
            assert_int_equal(jt_model_load_tokenizer(g, &t, &err), JT_UNSUPPORTED);
            assert_non_null(strstr(err.message, "tokenizer.ggml.pre is missing"));
        }
        jt_tokens_free(&k);
        jt_tokenizer_free(t);
        jt_gguf_free(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_without_a_pretokeniser),
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_others_files),
        cmocka_unit_test(test_same_logits),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_mixtures),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_tokenizer),
        cmocka_unit_test(test_tokenizer_carried),
        cmocka_unit_test(test_adapters),
        cmocka_unit_test(test_imatrix),
        cmocka_unit_test(test_failed_allocations),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
