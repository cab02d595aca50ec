/* The other forms in which GGUF files have the tensors of a layer: queries, keys and values in one, gates and upper matrices of
 * experts in one, each expert in its own. Files are made anew from those of fixtures, and since the bytes are the same the
 * logits must be, of the file and of the folder that it is converted to. Numbers in FP8. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "jeton/convert.h"
#include "jeton/model.h"
#include "model/fp8.h"
#include "model/gguf_write.h"
#include "model_folder.h"

enum { ROWS = 12, VOCAB = 64, MOST = 128 };

static const char *within(const char *name) {
    static char path[2][256];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

/* ---- a file with its tensors joined or parted ---- */

typedef struct made {
    jt_gguf_spec spec[MOST];
    char name[MOST][64];
    uint8_t *data[MOST];
    size_t bytes[MOST], n;
} made;

/* A tensor with the columns and the format of another. */
static uint8_t *made_add(made *m, const char *name, const jt_gguf_tensor *like, int dims, uint64_t rows, uint64_t planes, size_t bytes) {
    size_t i = m->n++;
    assert_in_range(i, 0, MOST - 1);
    snprintf(m->name[i], sizeof m->name[i], "%s", name);
    m->spec[i] = (jt_gguf_spec){.name = m->name[i], .format = like->format, .n_dims = dims, .dim = {like->dim[0], rows, planes, 1}};
    if (dims == 1) m->spec[i].dim[0] = rows, m->spec[i].dim[1] = 1;
    m->bytes[i] = bytes;
    m->data[i] = malloc(bytes);
    assert_non_null(m->data[i]);
    return m->data[i];
}

/* Tensors below each other in each plane. */
static void made_join(made *m, const char *name, const jt_gguf_tensor *const *t, int n) {
    uint64_t rows = 0, planes = t[0]->n_dims == 3 ? t[0]->dim[2] : 1;
    size_t bytes = 0;
    for (int i = 0; i < n; i++) {
        assert_non_null(t[i]);
        rows += t[i]->n_dims < 2 ? t[i]->dim[0] : t[i]->dim[1], bytes += (size_t)t[i]->bytes;
    }
    uint8_t *to = made_add(m, name, t[0], t[0]->n_dims, rows, planes, bytes);
    for (uint64_t x = 0; x < planes; x++)
        for (int i = 0; i < n; i++) {
            size_t plane = (size_t)(t[i]->bytes / planes);
            memcpy(to, t[i]->data + x * plane, plane);
            to += plane;
        }
}

static void made_apart(made *m, int layer, const char *kind, const jt_gguf_tensor *t) {
    size_t plane = (size_t)(t->bytes / t->dim[2]);
    for (uint64_t x = 0; x < t->dim[2]; x++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%d.%s.%d.weight", layer, kind, (int)x);
        memcpy(made_add(m, name, t, 2, t->dim[1], 1, plane), t->data + x * plane, plane);
    }
}

/* The tensor of a layer; NULL: there is none. */
static const jt_gguf_tensor *of_layer(const jt_gguf *g, int layer, const char *tail) {
    char name[64];
    snprintf(name, sizeof name, "blk.%d.%s", layer, tail);
    return jt_gguf_tensor_named(g, name);
}

/* apart: each expert in its own tensor; else what can be joined is. */
static void made_tensor(made *m, const jt_gguf *g, const jt_gguf_tensor *t, bool apart) {
    static const char *const qkv[][3] = {{"attn_q.weight", "attn_k.weight", "attn_v.weight"},
                                         {"attn_q.bias", "attn_k.bias", "attn_v.bias"}};
    static const char *const kind[] = {"ffn_gate", "ffn_up", "ffn_down"};
    char tail[64], name[64];
    int layer;
    if (sscanf(t->name, "blk.%d.%63s", &layer, tail) != 2) {
        made_join(m, t->name, &t, 1);
        return;
    }
    for (int k = 0; k < 3; k++) {
        snprintf(name, sizeof name, "%s_exps.weight", kind[k]);
        if (strcmp(tail, name) != 0) continue;
        const jt_gguf_tensor *both[] = {t, of_layer(g, layer, "ffn_up_exps.weight")};
        snprintf(name, sizeof name, "blk.%d.ffn_gate_up_exps.weight", layer);
        if (apart)
            made_apart(m, layer, kind[k], t);
        else if (k != 1)
            made_join(m, k ? t->name : name, both, k ? 1 : 2);
        return;
    }
    for (int k = 0; k < 2 && !apart; k++)
        for (int i = 0; i < 3; i++) {
            if (strcmp(tail, qkv[k][i]) != 0) continue;
            const jt_gguf_tensor *all[3];
            for (int p = 0; p < 3; p++) all[p] = of_layer(g, layer, qkv[k][p]);
            snprintf(name, sizeof name, "blk.%d.attn_qkv.%s", layer, k ? "bias" : "weight");
            if (!i) made_join(m, name, all, 3);
            return;
        }
    made_join(m, t->name, &t, 1);
}

static void made_write(const char *from, const char *to, bool apart) {
    static made m;
    jt_error err;
    jt_gguf *g;
    jt_gguf_meta meta = {0};
    jt_gguf_writer *w;
    m.n = 0;
    ok(jt_gguf_open(from, &g, &err), &err);
    for (size_t i = 0; i < jt_gguf_values(g); i++) jt_gguf_meta_copy(&meta, jt_gguf_value_at(g, i));
    for (size_t i = 0; i < jt_gguf_tensors(g); i++) made_tensor(&m, g, jt_gguf_tensor_at(g, i), apart);
    assert_true(m.n != jt_gguf_tensors(g));
    ok(jt_gguf_create(to, &meta, m.spec, m.n, 0, &w, &err), &err);
    for (size_t i = 0; i < m.n; i++) {
        ok(jt_gguf_write(w, m.data[i], m.bytes[i], &err), &err);
        free(m.data[i]);
    }
    ok(jt_gguf_commit(w, &err), &err);
    jt_gguf_meta_free(&meta);
    jt_gguf_free(g);
}

/* ---- what it gives ---- */

static void logits_of(const char *path, jt_activations act, float (*out)[VOCAB]) {
    static const int32_t ids[ROWS] = {5, 9, 33, 4, 17, 8, 3, 40, 21, 62, 7, 11};
    jt_error err;
    jt_engine *e;
    jt_model *m;
    jt_state *s;
    jt_want want[ROWS];
    ok(jt_engine_new(&(jt_engine_options){.threads = 1}, &e, &err), &err);
    ok(jt_model_open(e, path, &(jt_model_options){.activations = act}, &m, &err), &err);
    ok(jt_state_new(m, ROWS, &s, &err), &err);
    for (int i = 0; i < ROWS; i++) want[i] = (jt_want){.row = i, .logits = out[i]};
    jt_span span = {.state = s, .ids = ids, .n = ROWS};
    ok(jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .want = want, .n_want = ROWS}, &err), &err);
    jt_state_free(s);
    jt_model_free(m);
    jt_engine_free(e);
}

/* Removes what `jt_convert` writes into a folder. */
static void remove_folder(const char *path) {
    static const char *const file[] = {"config.json", "model.safetensors", "generation_config.json", "tokenizer.gguf"};
    char name[512];
    for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
        snprintf(name, sizeof name, "%s/%s", path, file[i]);
        unlink(name);
    }
    assert_int_equal(rmdir(path), 0);
}

static void same(const char *file) {
    static float want[ROWS][VOCAB], got[ROWS][VOCAB];
    jt_error err;
    for (int apart = 0; apart < 2; apart++) {
        const char *to = within("other.gguf");
        made_write(file, to, apart);
        for (int act = 0; act < 2; act++) {
            logits_of(file, act ? JT_ACT_FLOAT : JT_ACT_INT8, want);
            logits_of(to, act ? JT_ACT_FLOAT : JT_ACT_INT8, got);
            assert_memory_equal(got, want, sizeof got);
        }
        const char *back = within("back");
        ok(jt_convert(to, back, &(jt_convert_options){.type = "f32", .threads = 1}, NULL, &err), &err);
        logits_of(back, JT_ACT_FLOAT, got);
        for (int i = 0; i < ROWS; i++)
            for (int k = 0; k < VOCAB; k++) assert_true(fabsf(got[i][k] - want[i][k]) < 1e-5f);
        remove_folder(back);
        unlink(to);
    }
}

static void test_mixtures(void **unused) {
    (void)unused;
    same(FIXTURES "/moe/mixtral.gguf");
    same(FIXTURES "/moe/qwen3-moe.gguf");
}

static void test_biases(void **unused) {
    (void)unused;
    jt_error err;
    char path[256];
    snprintf(path, sizeof path, "%s/model.gguf", folder);
    ok(jt_convert(FIXTURES "/families/qwen2-moe", path, &(jt_convert_options){.type = "f32", .threads = 1}, NULL, &err), &err);
    same(path);
    unlink(path);
}

/* The expansion of latent attention whole and in two. */
static void test_latent(void **unused) {
    (void)unused;
    static const char *const name[] = {FIXTURES "/moe/deepseek-v2.gguf", FIXTURES "/moe/deepseek-v3.gguf"};
    static float want[ROWS][VOCAB], got[ROWS][VOCAB];
    int parted = 0;
    for (int k = 0; k < 2; k++) {
        jt_error err;
        jt_gguf *g;
        ok(jt_gguf_open(name[k], &g, &err), &err);
        parted += of_layer(g, 0, "attn_k_b.weight") != NULL;
        jt_gguf_free(g);
        const char *back = within("back");
        ok(jt_convert(name[k], back, &(jt_convert_options){.type = "f32", .threads = 1}, NULL, &err), &err);
        logits_of(name[k], JT_ACT_FLOAT, want);
        logits_of(back, JT_ACT_FLOAT, got);
        for (int i = 0; i < ROWS; i++)
            for (int v = 0; v < VOCAB; v++) assert_true(fabsf(got[i][v] - want[i][v]) < 1e-5f);
        remove_folder(back);
    }
    assert_int_equal(parted, 1);
}

/* A file without one of the parts is told what is missing by the usual name. */
static void test_missing(void **unused) {
    (void)unused;
    jt_error err;
    jt_engine *e;
    jt_model *m;
    jt_gguf *g;
    jt_gguf_meta meta = {0};
    jt_gguf_writer *w;
    jt_gguf_spec spec[MOST];
    size_t n = 0;
    const char *to = within("part.gguf");
    ok(jt_gguf_open(FIXTURES "/moe/mixtral.gguf", &g, &err), &err);
    for (size_t i = 0; i < jt_gguf_values(g); i++) jt_gguf_meta_copy(&meta, jt_gguf_value_at(g, i));
    for (int pass = 0; pass < 2; pass++) {
        if (pass) ok(jt_gguf_create(to, &meta, spec, n, 0, &w, &err), &err);
        for (size_t i = 0; i < jt_gguf_tensors(g); i++) {
            const jt_gguf_tensor *t = jt_gguf_tensor_at(g, i);
            if (!strcmp(t->name, "blk.1.ffn_up_exps.weight")) continue;
            if (pass)
                ok(jt_gguf_write(w, t->data, (size_t)t->bytes, &err), &err);
            else
                spec[n++] = (jt_gguf_spec){t->name, t->format, t->n_dims, {t->dim[0], t->dim[1], t->dim[2], t->dim[3]}};
        }
    }
    ok(jt_gguf_commit(w, &err), &err);
    ok(jt_engine_new(&(jt_engine_options){.threads = 1}, &e, &err), &err);
    assert_int_equal(jt_model_open(e, to, NULL, &m, &err), JT_FORMAT);
    assert_non_null(strstr(err.message, "blk.1.ffn_up_exps.weight is missing"));
    jt_engine_free(e);
    jt_gguf_meta_free(&meta);
    jt_gguf_free(g);
    unlink(to);
}

/* ---- FP8 ---- */

/* Numbers of the format, from its paper's table: the largest, the smallest normal one, the smallest of all. */
static void test_fp8_values(void **unused) {
    (void)unused;
    static const struct {
        uint8_t bits;
        float value;
    } row[] = {{0x00, 0},      {0x38, 1},         {0xb8, -1},           {0x7e, 448},
               {0xfe, -448},   {0x08, 0.015625f}, {0x01, 0.001953125f}, {0x07, 0.013671875f},
               {0x3f, 1.875f}, {0x40, 2}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) assert_true(jt_fp8_value(row[i].bits) == row[i].value);
    assert_true(isnan(jt_fp8_value(0x7f)) && isnan(jt_fp8_value(0xff)));
    for (int b = 0; b < 0x7e; b++) assert_true(jt_fp8_value((uint8_t)b) < jt_fp8_value((uint8_t)(b + 1)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mixtures), cmocka_unit_test(test_biases),     cmocka_unit_test(test_latent),
        cmocka_unit_test(test_missing),  cmocka_unit_test(test_fp8_values),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
