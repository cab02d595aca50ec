/* Adapters: PEFT's logits from files of either kind on models of either kind; the sums of docs/numbers.md bit for bit;
 * sequences with different adapters in one batch as each alone; what this build cannot apply refused by name. */
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
#include "core/random.h"
#include "jeton/adapter.h"
#include "jeton/tap.h"
#include "model/gguf_builder.h"
#include "model/safetensors.h"
#include "model/tiny_adapter.h"
#include "model/tiny_llama.h"

enum { VOCAB = 320, HIDDEN = 64, LAYERS = 3, HEADS = 4, KV = 2, DIM = 16, T = 48 };
static const char hf_folder[] = FIXTURES "/hf-tiny/llama", peft_wide[] = FIXTURES "/lora/wide", gguf_wide[] = FIXTURES "/lora/wide.gguf",
                  peft_narrow[] = FIXTURES "/lora/narrow";

struct fixture {
    jt_engine *engine;
    jt_model *hf, *gguf; /* the same weights, float activations */
    char dir[64], model_path[128], path[128], peft[128];
    int32_t ids[2][T];
};

static void ok(jt_status s, const jt_error *err) {
    if (s) fail_msg("%s: %s", jt_status_name(s), err->message);
}

/* ---- files ---- */

/* The fixture as a GGUF file: rows of q and k in pairs (2i, 2i + 1), as llama.cpp converts Llama. */
static void write_gguf_model(const char *path) {
    static const struct {
        const char *hf, *gguf;
        int rows, cols, heads;
    } layer[] = {{"self_attn.q_proj", "attn_q", HEADS * DIM, HIDDEN, HEADS},
                 {"self_attn.k_proj", "attn_k", KV * DIM, HIDDEN, KV},
                 {"self_attn.v_proj", "attn_v", KV * DIM, HIDDEN, 0},
                 {"self_attn.o_proj", "attn_output", HIDDEN, HEADS * DIM, 0},
                 {"mlp.gate_proj", "ffn_gate", 160, HIDDEN, 0},
                 {"mlp.up_proj", "ffn_up", 160, HIDDEN, 0},
                 {"mlp.down_proj", "ffn_down", HIDDEN, 160, 0},
                 {"input_layernorm", "attn_norm", 0, HIDDEN, 0},
                 {"post_attention_layernorm", "ffn_norm", 0, HIDDEN, 0}};
    static const struct {
        const char *hf, *gguf;
        int rows;
    } whole[] = {{"model.embed_tokens.weight", "token_embd.weight", VOCAB},
                 {"model.norm.weight", "output_norm.weight", 0},
                 {"lm_head.weight", "output.weight", VOCAB}};
    jt_error err;
    jt_safetensors *f;
    gguf_builder b = {0};
    char name[128];
    ok(jt_safetensors_open(hf_folder, &f, &err), &err);
    gb_text(&b, "general.architecture", "llama");
    gb_u32(&b, "llama.embedding_length", HIDDEN);
    gb_u32(&b, "llama.block_count", LAYERS);
    gb_u32(&b, "llama.attention.head_count", HEADS);
    gb_u32(&b, "llama.attention.head_count_kv", KV);
    gb_u32(&b, "llama.feed_forward_length", 160);
    gb_u32(&b, "llama.context_length", 256);
    gb_f32(&b, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    for (int i = 0; i < 3; i++) {
        const jt_st_tensor *t = jt_safetensors_tensor_named(f, whole[i].hf);
        gb_tensor(&b, whole[i].gguf, JT_F32, whole[i].rows ? 2 : 1, (uint64_t[]){HIDDEN, (uint64_t)whole[i].rows}, t->data,
                  (size_t)t->bytes);
    }
    for (int l = 0; l < LAYERS; l++)
        for (size_t i = 0; i < sizeof layer / sizeof *layer; i++) {
            snprintf(name, sizeof name, "model.layers.%d.%s.weight", l, layer[i].hf);
            const jt_st_tensor *t = jt_safetensors_tensor_named(f, name);
            uint8_t *data = malloc((size_t)t->bytes);
            assert_non_null(data);
            size_t row = (size_t)layer[i].cols * 4;
            for (int r = 0; r < (layer[i].rows ? layer[i].rows : 1); r++) {
                int k = r % DIM, from = layer[i].heads ? r - k + k / 2 + k % 2 * (DIM / 2) : r;
                memcpy(data + (size_t)r * row, t->data + (size_t)from * row, row);
            }
            snprintf(name, sizeof name, "blk.%d.%s.weight", l, layer[i].gguf);
            gb_tensor(&b, name, JT_F32, layer[i].rows ? 2 : 1, (uint64_t[]){(uint64_t)layer[i].cols, (uint64_t)layer[i].rows}, data,
                      (size_t)t->bytes);
            free(data);
        }
    jt_safetensors_free(f);
    gb_save(&b, 3, path);
}

static void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fputs(text, f) < 0, 0);
    assert_int_equal(fclose(f), 0);
}

/* A PEFT folder with the config of `from`, `old` in it replaced by `new`, and a copy of its tensors. */
static void write_peft(const struct fixture *f, const char *from, const char *old, const char *new) {
    char path[256];
    jt_error err;
    jt_str text = {0}, data = {0}, out = {0};
    snprintf(path, sizeof path, "%s/adapter_config.json", from);
    ok(jt_file_read(path, &text, &err), &err);
    const char *at = strstr(text.s, old);
    assert_non_null(at);
    jt_str_add(&out, text.s, (size_t)(at - text.s)), jt_str_puts(&out, new), jt_str_puts(&out, at + strlen(old));
    snprintf(path, sizeof path, "%s/adapter_config.json", f->peft);
    write_text(path, jt_str_c(&out));
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", from);
    ok(jt_file_read(path, &data, &err), &err);
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", f->peft);
    jt_writer w;
    ok(jt_file_create(path, &w, &err), &err);
    ok(jt_file_write(&w, data.s, data.n, &err), &err);
    ok(jt_file_commit(&w, &err), &err);
    jt_str_free(&text), jt_str_free(&data), jt_str_free(&out);
}

struct tensor {
    const char *name;
    int rows, cols; /* cols 0: one dimension */
};

static void write_peft_tensors(const struct fixture *f, const char *config, const struct tensor *t, int n) {
    char path[256];
    jt_error err;
    jt_st_writer *w;
    jt_st_spec spec[8];
    static float x[8192];
    for (int i = 0; i < 8192; i++) x[i] = tiny_adapter_number((uint32_t)i, 1);
    snprintf(path, sizeof path, "%s/adapter_config.json", f->peft);
    write_text(path, config);
    for (int i = 0; i < n; i++) spec[i] = (jt_st_spec){t[i].name, "F32", t[i].cols ? 2 : 1, {(uint64_t)t[i].rows, (uint64_t)t[i].cols}};
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", f->peft);
    ok(jt_st_create(path, spec, (size_t)n, &w, &err), &err);
    for (int i = 0; i < n; i++) ok(jt_st_write(w, (size_t)i, x, (size_t)t[i].rows * (size_t)(t[i].cols ? t[i].cols : 1) * 4, &err), &err);
    ok(jt_st_commit(w, &err), &err);
}

/* ---- set-up ---- */

static int begin(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    snprintf(f->dir, sizeof f->dir, "/tmp/jeton-adapter-%ld", (long)getpid());
    snprintf(f->model_path, sizeof f->model_path, "%s/model.gguf", f->dir);
    snprintf(f->path, sizeof f->path, "%s/adapter.gguf", f->dir);
    snprintf(f->peft, sizeof f->peft, "%s/peft", f->dir);
    if (mkdir(f->dir, 0700) || mkdir(f->peft, 0700)) return 1;
    write_gguf_model(f->model_path);
    jt_safetensors *t;
    char path[256];
    int64_t ids[2 * T];
    snprintf(path, sizeof path, "%s/expected.safetensors", hf_folder);
    if (jt_safetensors_open(path, &t, NULL) || jt_st_read_i64(jt_safetensors_tensor_named(t, "input_ids"), 0, 2 * T, ids, NULL)) return 1;
    for (int i = 0; i < 2 * T; i++) f->ids[i / T][i % T] = (int32_t)ids[i];
    jt_safetensors_free(t);
    jt_model_options o = {.activations = JT_ACT_FLOAT, .ubatch = 16};
    return jt_engine_new(&(jt_engine_options){.threads = 3}, &f->engine, NULL) || jt_model_open(f->engine, hf_folder, &o, &f->hf, NULL) ||
           jt_model_open(f->engine, f->model_path, &o, &f->gguf, NULL);
}

static int end(void **state) {
    struct fixture *f = *state;
    static const char *const file[] = {
        "peft/adapter_config.json", "peft/adapter_model.safetensors", "peft", "model.gguf", "adapter.gguf", "tiny.gguf"};
    char path[160];
    jt_model_free(f->hf), jt_model_free(f->gguf);
    jt_engine_free(f->engine);
    for (size_t i = 0; i < sizeof file / sizeof *file; i++) snprintf(path, sizeof path, "%s/%s", f->dir, file[i]), remove(path);
    rmdir(f->dir);
    free(f);
    return 0;
}

static jt_adapter *adapter(jt_model *m, const char *path) {
    jt_adapter *a;
    jt_error err;
    ok(jt_adapter_open(m, path, &a, &err), &err);
    return a;
}

static jt_state *state_with(jt_model *m, jt_adapter *a, float scale) {
    jt_state *s;
    jt_error err;
    ok(jt_state_new(m, 256, &s, &err), &err);
    ok(jt_state_set_adapter(s, a, scale, &err), &err);
    return s;
}

/* All logits of n ids that are appended to s. */
static void logits_of(jt_state *s, const int32_t *ids, int n, float *out) {
    jt_want w[T];
    jt_error err;
    jt_model_info info;
    jt_model_get_info(jt_state_model(s), &info);
    for (int i = 0; i < n; i++) w[i] = (jt_want){.row = i, .logits = out + (size_t)i * (size_t)info.vocab};
    jt_span span = {.state = s, .ids = ids, .n = n};
    ok(jt_eval(jt_state_model(s), &(jt_batch){.span = &span, .n_span = 1, .want = w, .n_want = n}, &err), &err);
}

/* ---- numbers ---- */

static void logits_are_those_of_peft(void **state) {
    const struct fixture *f = *state;
    static const struct {
        const char *path, *expected;
        bool gguf;
    } row[] = {{peft_wide, "logits.wide", false}, {gguf_wide, "logits.wide", false},     {peft_wide, "logits.wide", true},
               {gguf_wide, "logits.wide", true},  {peft_narrow, "logits.narrow", false}, {peft_narrow, "logits.narrow", true}};
    static float got[T * VOCAB], want[2 * 4 * VOCAB];
    jt_safetensors *t;
    jt_error err;
    int64_t at[4];
    ok(jt_safetensors_open(FIXTURES "/lora/expected.safetensors", &t, &err), &err);
    ok(jt_st_read_i64(jt_safetensors_tensor_named(t, "rows"), 0, 4, at, &err), &err);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        jt_model *m = row[i].gguf ? f->gguf : f->hf;
        jt_adapter *a = adapter(m, row[i].path);
        ok(jt_st_read_f32(jt_safetensors_tensor_named(t, row[i].expected), 0, 2 * 4 * VOCAB, want, &err), &err);
        for (int k = 0; k < 2; k++) {
            jt_state *s = state_with(m, a, 1);
            logits_of(s, f->ids[k], T, got);
            float most = 0;
            for (int r = 0; r < 4; r++)
                for (int v = 0; v < VOCAB; v++) most = fmaxf(most, fabsf(got[at[r] * VOCAB + v] - want[(k * 4 + r) * VOCAB + v]));
            if (!(most < 2e-4f))
                fail_msg("%s on the %s model: a logit is off by %g", row[i].path, row[i].gguf ? "GGUF" : "HF", (double)most);
            jt_state_free(s);
        }
        jt_adapter_free(a);
    }
    jt_safetensors_free(t);
}

static void info_tells_what_is_there(void **state) {
    const struct fixture *f = *state;
    jt_adapter_info i, j;
    jt_adapter *a = adapter(f->hf, peft_narrow), *b = adapter(f->gguf, peft_wide), *c = adapter(f->gguf, gguf_wide);
    jt_adapter_get_info(a, &i);
    assert_string_equal(i.name, "narrow");
    assert_int_equal(i.pairs, 9);
    assert_int_equal(i.rank_min, 2);
    assert_int_equal(i.rank_max, 18);
    assert_int_equal(i.parameters, 2 * 3 * 128 + 18 * 128 + 3 * 2 * 96 + 3 * 3 * 224);
    jt_adapter_get_info(b, &i), jt_adapter_get_info(c, &j);
    assert_int_equal(i.pairs, 21);
    assert_int_equal(i.mode, j.mode); /* the same numbers from either kind of file */
    assert_string_equal(j.name, "wide.gguf");
    jt_adapter_free(a), jt_adapter_free(b), jt_adapter_free(c);
}

struct captured {
    float heads[T][64], attention[T][64];
};
static void capture(void *self, int span, int node, int layer, int tag, const float *x, int width) {
    struct captured *c = self;
    (void)span, (void)layer;
    assert_int_equal(width, 64);
    memcpy(tag ? c->attention[node] : c->heads[node], x, 64 * sizeof *x);
}

/* The output projection of the last layer, in 8-bit mode: its input and output are sites, so the adapter's part can be
 * written out and must be equal to the bit. */
static void sums_are_as_the_contract_says(void **state) {
    const struct fixture *f = *state;
    static struct captured plain, with;
    static const int ranks[] = {1, 16, 23};
    char path[128];
    jt_error err;
    jt_model *m;
    tiny_llama t = tiny_llama_of(JT_Q8_0);
    t.layers = 1;
    snprintf(path, sizeof path, "%s/tiny.gguf", f->dir);
    tiny_llama_write(path, &t);
    ok(jt_model_open(f->engine, path, &(jt_model_options){.ubatch = 24}, &m, &err), &err);
    const jt_tap tap[] = {{.site = "heads", .op = JT_TAP_CAPTURE}, {.site = "attention", .op = JT_TAP_CAPTURE, .tag = 1}};
    for (int k = 0; k < 3; k++) {
        int rank = ranks[k];
        tiny_adapter_write(f->path, &t, rank, 8, JT_F32, 100);
        jt_adapter *a = adapter(m, f->path);
        for (int turn = 0; turn < 2; turn++) {
            jt_state *s = state_with(m, turn ? a : NULL, 0.7f);
            ok(jt_state_set_taps(s, tap, 2, &err), &err);
            int32_t ids[T];
            for (int i = 0; i < T; i++) ids[i] = (i * 31 + 4) % t.vocab;
            jt_span span = {.state = s, .ids = ids, .n = T};
            jt_batch b = {.span = &span, .n_span = 1, .captured = capture, .captured_self = turn ? &with : &plain};
            ok(jt_eval(m, &b, &err), &err);
            jt_state_free(s);
        }
        assert_memory_equal(plain.heads, with.heads, sizeof plain.heads);
        float scale = (float)((double)0.7f * (3.5 / rank));
        for (int i = 0; i < T; i++) {
            float low[32];
            for (int o = 0; o < rank; o++) {
                low[o] = 0;
                for (int c = 0; c < 64; c++)
                    low[o] = fmaf(plain.heads[i][c], tiny_adapter_number((uint32_t)(o * 64 + c), 106) * 0.2f, low[o]);
                low[o] *= scale;
            }
            for (int o = 0; o < 64; o++) {
                float sum = 0;
                for (int c = 0; c < rank; c++) sum = fmaf(low[c], tiny_adapter_number((uint32_t)(o * rank + c), 107) * 0.3f, sum);
                plain.attention[i][o] += sum;
            }
        }
        assert_memory_equal(plain.attention, with.attention, sizeof with.attention);
        jt_adapter_free(a);
    }
    jt_model_free(m);
}

/* Half the scale of a state is half of lora_alpha. */
static void scales_multiply(void **state) {
    const struct fixture *f = *state;
    static float x[T * VOCAB], y[T * VOCAB];
    write_peft(f, peft_wide, "\"lora_alpha\": 5", "\"lora_alpha\": 2.5");
    jt_adapter *a = adapter(f->hf, peft_wide), *b = adapter(f->hf, f->peft);
    jt_state *s = state_with(f->hf, a, 0.5f), *t = state_with(f->hf, b, 1);
    logits_of(s, f->ids[0], T, x), logits_of(t, f->ids[0], T, y);
    assert_memory_equal(x, y, sizeof x);
    jt_state_free(s), jt_state_free(t);
    jt_adapter_free(a), jt_adapter_free(b);
}

static void no_scale_and_no_adapter_are_the_identity(void **state) {
    const struct fixture *f = *state;
    static float x[T * VOCAB], y[T * VOCAB], z[T * VOCAB];
    jt_adapter *a = adapter(f->hf, peft_wide);
    jt_state *s = state_with(f->hf, NULL, 1), *t = state_with(f->hf, a, 0), *u = state_with(f->hf, a, 1);
    assert_int_equal(jt_state_mode(s), jt_state_mode(t));
    assert_int_not_equal(jt_state_mode(s), jt_state_mode(u));
    ok(jt_state_set_adapter(u, NULL, 1, NULL), NULL);
    logits_of(s, f->ids[1], T, x), logits_of(t, f->ids[1], T, y), logits_of(u, f->ids[1], T, z);
    assert_memory_equal(x, y, sizeof x);
    assert_memory_equal(x, z, sizeof x);
    jt_state_free(s), jt_state_free(t), jt_state_free(u);
    jt_adapter_free(a);
}

/* ---- batches ---- */

enum { KINDS = 6, EACH = 20 };
struct company {
    jt_engine *engine;
    jt_model *model;
    jt_adapter *adapter[3];
    int vocab;
};

static void company_open(struct company *c, const struct fixture *f, const tiny_llama *t, jt_activations act, int threads, int ubatch,
                         const char *kernels, int no_repack) {
    char path[128];
    jt_error err;
    static const struct {
        int rank;
        unsigned maps;
        jt_type type;
    } row[3] = {{4, 127, JT_F32}, {33, 5, JT_F16}, {16, 96, JT_F32}};
    snprintf(path, sizeof path, "%s/tiny.gguf", f->dir);
    ok(jt_engine_new(&(jt_engine_options){.threads = threads, .kernels = kernels}, &c->engine, &err), &err);
    ok(jt_model_open(c->engine, path, &(jt_model_options){.activations = act, .ubatch = ubatch, .no_repack = no_repack}, &c->model, &err),
       &err);
    for (int i = 0; i < 3; i++) {
        tiny_adapter_write(f->path, t, row[i].rank, row[i].maps, row[i].type, 1000u * (unsigned)(i + 1));
        c->adapter[i] = adapter(c->model, f->path);
    }
    c->vocab = t->vocab;
}

static void company_close(struct company *c) {
    for (int i = 0; i < 3; i++) jt_adapter_free(c->adapter[i]);
    jt_model_free(c->model);
    jt_engine_free(c->engine);
}

static jt_state *member(const struct company *c, int i) {
    static const float scale[KINDS] = {1, 1, 0, 0.25f, -1.5f, 1};
    static const int which[KINDS] = {0, 1, -1, 0, 2, 0};
    return state_with(c->model, which[i] < 0 ? NULL : c->adapter[which[i]], scale[i]);
}

static int32_t token(const struct company *c, int i, int k) { return (i * 53 + k * 17 + 3) % c->vocab; }

/* Everyone's rows in one batch, after `alone` rows each in a batch of their own. */
static void together(const struct company *c, int alone, float *out) {
    jt_state *s[KINDS];
    jt_span span[KINDS];
    jt_want w[KINDS * EACH];
    int32_t ids[KINDS][EACH];
    jt_error err;
    for (int i = 0; i < KINDS; i++) {
        s[i] = member(c, i);
        for (int k = 0; k < EACH; k++) ids[i][k] = token(c, i, k);
        for (int k = 0; k < alone; k++) logits_of(s[i], &ids[i][k], 1, out + (size_t)(i * EACH + k) * (size_t)c->vocab);
        span[i] = (jt_span){.state = s[i], .ids = ids[i] + alone, .n = EACH - alone};
        for (int k = 0; k < EACH - alone; k++)
            w[i * (EACH - alone) + k] =
                (jt_want){.row = i * (EACH - alone) + k, .logits = out + (size_t)(i * EACH + alone + k) * (size_t)c->vocab};
    }
    ok(jt_eval(c->model, &(jt_batch){.span = span, .n_span = KINDS, .want = w, .n_want = KINDS * (EACH - alone)}, &err), &err);
    for (int i = 0; i < KINDS; i++) jt_state_free(s[i]);
}

static void company_changes_nothing(void **state) {
    const struct fixture *f = *state;
    static const struct {
        jt_type type;
        jt_activations act;
    } mode[] = {{JT_Q4_1, JT_ACT_INT8}, {JT_Q8_0, JT_ACT_FLOAT}, {JT_F16, JT_ACT_INT8}, {JT_F16, JT_ACT_BF16}};
    static const struct {
        int threads, ubatch, no_repack, alone;
        const char *kernels;
    } how[] = {{1, 512, 0, 0, NULL}, {3, 512, 0, 3, NULL}, {2, 7, 1, 0, "scalar"}, {4, 33, 0, EACH - 1, NULL}};
    char path[128];
    snprintf(path, sizeof path, "%s/tiny.gguf", f->dir);
    for (int k = 0; k < 3; k++) {
        tiny_llama t = tiny_llama_of(mode[k].type);
        tiny_llama_write(path, &t);
        size_t bytes = (size_t)(KINDS * EACH) * (size_t)t.vocab * sizeof(float);
        float *want = malloc(bytes), *got = malloc(bytes);
        assert_non_null(want);
        assert_non_null(got);
        struct company c;
        company_open(&c, f, &t, mode[k].act, 1, 512, NULL, 0);
        for (int i = 0; i < KINDS; i++) {
            jt_state *s = member(&c, i);
            for (int j = 0; j < EACH; j++) {
                int32_t id = token(&c, i, j);
                logits_of(s, &id, 1, want + (size_t)(i * EACH + j) * (size_t)t.vocab);
            }
            jt_state_free(s);
        }
        company_close(&c);
        for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
            company_open(&c, f, &t, mode[k].act, how[i].threads, how[i].ubatch, how[i].kernels, how[i].no_repack);
            together(&c, how[i].alone, got);
            company_close(&c);
            for (int r = 0; r < KINDS * EACH; r++)
                if (memcmp(got + (size_t)r * (size_t)t.vocab, want + (size_t)r * (size_t)t.vocab, (size_t)t.vocab * sizeof *got))
                    fail_msg("mode %d, machine %zu: row %d of member %d differs", k, i, r % EACH, r / EACH);
        }
        free(want);
        free(got);
    }
}

/* An adapter with a larger rank and other weights, opened later, makes another list and changes nothing for the first. */
static void later_adapters_change_nothing(void **state) {
    const struct fixture *f = *state;
    static float x[T * VOCAB], y[T * VOCAB];
    jt_model *m;
    jt_error err;
    ok(jt_model_open(f->engine, hf_folder, NULL, &m, &err), &err);
    jt_adapter *a = adapter(m, peft_wide);
    jt_state *s = state_with(m, a, 1), *t = state_with(m, a, 1);
    logits_of(s, f->ids[0], T, x);
    jt_adapter *b = adapter(m, peft_narrow);
    logits_of(t, f->ids[0], T, y);
    assert_memory_equal(x, y, sizeof x);
    jt_state_free(s), jt_state_free(t);
    jt_adapter_free(a), jt_adapter_free(b);
    jt_model_free(m);
}

static void forks_inherit(void **state) {
    const struct fixture *f = *state;
    static float x[T * VOCAB], y[T * VOCAB];
    jt_state *fork;
    jt_error err;
    jt_adapter *a = adapter(f->hf, peft_wide), *b = adapter(f->hf, peft_narrow);
    jt_state *s = state_with(f->hf, a, 1), *t = state_with(f->hf, a, 1);
    logits_of(s, f->ids[0], T, x);
    logits_of(t, f->ids[0], 20, y);
    ok(jt_state_fork(t, &fork, &err), &err);
    assert_int_equal(jt_state_mode(fork), jt_state_mode(s));
    jt_adapter_free(a); /* its states keep it */
    ok(jt_state_set_adapter(t, b, 1, &err), &err);
    assert_int_not_equal(jt_state_mode(fork), jt_state_mode(t));
    jt_state_free(s);
    logits_of(t, f->ids[0] + 20, T - 20, y + 20 * VOCAB);
    assert_memory_not_equal(x + 20 * VOCAB, y + 20 * VOCAB, VOCAB * sizeof *x);
    jt_state_free(t);
    logits_of(fork, f->ids[0] + 20, T - 20, y + 20 * VOCAB);
    assert_memory_equal(x, y, sizeof x);
    jt_state_free(fork);
    jt_adapter_free(b);
}

/* New states begin with the model's adapter; forks and states from files do not. */
static void models_give_adapters_to_new_states(void **state) {
    const struct fixture *f = *state;
    static float x[T * VOCAB], y[T * VOCAB];
    jt_state *s, *fork, *plain = state_with(f->hf, NULL, 0), *loaded;
    jt_error err;
    jt_adapter *a = adapter(f->hf, peft_wide);
    jt_state *t = state_with(f->hf, a, 0.5f);
    ok(jt_model_set_adapter(f->hf, a, 0.5f, &err), &err);
    assert_int_equal(jt_model_set_adapter(f->gguf, a, 1, &err), JT_INVALID);
    ok(jt_state_new(f->hf, 256, &s, &err), &err);
    ok(jt_state_fork(plain, &fork, &err), &err);
    assert_int_equal(jt_state_mode(fork), jt_state_mode(plain));
    ok(jt_state_save(plain, f->path, &err), &err);
    ok(jt_state_load(f->hf, f->path, &loaded, &err), &err);
    assert_int_equal(jt_state_mode(loaded), jt_state_mode(plain));
    ok(jt_model_set_adapter(f->hf, NULL, 1, &err), &err);
    jt_adapter_free(a);
    assert_int_equal(jt_state_mode(s), jt_state_mode(t));
    logits_of(s, f->ids[0], T, x), logits_of(t, f->ids[0], T, y);
    assert_memory_equal(x, y, sizeof x);
    logits_of(fork, f->ids[0], T, x), logits_of(loaded, f->ids[0], T, y);
    assert_memory_equal(x, y, sizeof x);
    logits_of(plain, f->ids[0], T, y);
    assert_memory_equal(x, y, sizeof x);
    jt_state_free(s), jt_state_free(t), jt_state_free(fork), jt_state_free(plain), jt_state_free(loaded);
}

/* ---- refusals ---- */

static void refused(jt_model *m, const char *path, jt_status want, const char *part) {
    jt_adapter *a = NULL;
    jt_error err = {0};
    jt_status s = jt_adapter_open(m, path, &a, &err);
    if (s != want || !strstr(err.message, part))
        fail_msg("wanted %s with \"%s\", got %s: %s", jt_status_name(want), part, jt_status_name(s), err.message);
    assert_null(a);
}

static void settings_are_refused_by_name(void **state) {
    const struct fixture *f = *state;
    static const struct {
        const char *old, *new;
        jt_status status;
        const char *part;
    } row[] = {{"\"bias\": \"none\"", "\"bias\": \"lora_only\"", JT_UNSUPPORTED, "bias is set"},
               {"\"use_dora\": false", "\"use_dora\": true", JT_UNSUPPORTED, "use_dora is set"},
               {"\"lora_bias\": false", "\"lora_bias\": true", JT_UNSUPPORTED, "lora_bias is set"},
               {"\"fan_in_fan_out\": false", "\"fan_in_fan_out\": true", JT_UNSUPPORTED, "fan_in_fan_out is set"},
               {"\"modules_to_save\": null", "\"modules_to_save\": [\"lm_head\"]", JT_UNSUPPORTED, "modules_to_save is set"},
               {"\"layer_replication\": null", "\"layer_replication\": [[0, 2]]", JT_UNSUPPORTED, "layer_replication is set"},
               {"\"alora_invocation_tokens\": null", "\"alora_invocation_tokens\": [4]", JT_UNSUPPORTED, "alora_invocation_tokens is set"},
               {"\"trainable_token_indices\": null", "\"trainable_token_indices\": [4]", JT_UNSUPPORTED, "trainable_token_indices is set"},
               {"\"use_qalora\": false", "\"use_qalora\": true", JT_UNSUPPORTED, "use_qalora is set"},
               {"\"bias\": \"none\"", "\"bias\": \"none\", \"of_tomorrow\": 1", JT_UNSUPPORTED, "of_tomorrow is set"},
               {"\"init_lora_weights\": true", "\"init_lora_weights\": \"pissa_niter_4\"", JT_UNSUPPORTED, "init_lora_weights"},
               {"\"peft_type\": \"LORA\"", "\"peft_type\": \"LOHA\"", JT_UNSUPPORTED, "peft_type is \"LOHA\""},
               {"\"peft_type\": \"LORA\"", "\"peft_type\": 3", JT_FORMAT, "peft_type"},
               {"\"r\": 2", "\"r\": 4", JT_FORMAT, "r and rank_pattern say 4"},
               {"\"r\": 2", "\"r\": -2", JT_FORMAT, "r: -2"},
               {"\"r\": 2,", "", JT_NOTFOUND, "r is missing"},
               {"\"lora_alpha\": 5", "\"lora_alpha\": \"5\"", JT_FORMAT, "lora_alpha"},
               {"\"lora_alpha\": 5", "\"lora_alpha\": 1e300", JT_FORMAT, "scale of layer 0"},
               {"\"down_proj\": 3", "\"down_proj\": 2", JT_FORMAT, "down_proj have rank 3"},
               {"\"down_proj\": 3", "\"down_.*\": 3", JT_UNSUPPORTED, "\"down_.*\" is a regular expression"},
               {"\"down_proj\": 3", "\"down_proj\": \"3\"", JT_FORMAT, "is no positive integer"},
               {"\"alpha_pattern\": {}", "\"alpha_pattern\": {\"q_proj\": []}", JT_FORMAT, "is no number"},
               {"\"alpha_pattern\": {}", "\"alpha_pattern\": 3", JT_FORMAT, "alpha_pattern"},
               {"\"v_proj\"", "\"w_proj\"", JT_FORMAT, "target_modules does not name module model.layers.0.self_attn.v_proj"},
               {"\"use_rslora\": false", "\"use_rslora\": 1", JT_FORMAT, "use_rslora"},
               {"{", "[", JT_FORMAT, "adapter_config.json"}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        write_peft(f, peft_wide, row[i].old, row[i].new);
        refused(f->hf, f->peft, row[i].status, row[i].part);
    }
    write_peft(f, peft_wide, "\"use_rslora\": false", "\"use_rslora\": null, \"enable_lora\": null");
    jt_adapter_free(adapter(f->hf, f->peft));
    write_peft(f, peft_wide, "\"down_proj\": 3", "\"^model.layers.0.mlp.down_proj\": 3, \"mlp.down_proj\": 3, \"own_proj\": 9");
    jt_adapter_free(adapter(f->hf, f->peft));
    char path[160];
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", f->peft);
    remove(path);
    refused(f->hf, f->peft, JT_NOTFOUND, "adapter_model.safetensors");
    snprintf(path, sizeof path, "%s/adapter_model.bin", f->peft);
    write_text(path, "pickle");
    refused(f->hf, f->peft, JT_UNSUPPORTED, "save the adapter as safetensors");
    remove(path);
    refused(f->hf, "/nowhere/adapter", JT_NOTFOUND, "/nowhere/adapter");
    refused(f->hf, f->dir, JT_NOTFOUND, "adapter_config.json");
}

#define AT "base_model.model.model.layers."
static const char small_config[] = "{\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": 8, \"target_modules\": \"all-linear\"}";

static void tensors_are_refused_by_name(void **state) {
    const struct fixture *f = *state;
    static const struct {
        struct tensor t[2];
        jt_status status;
        const char *part;
    } row[] = {
        {{{AT "0.self_attn.q_proj.lora_A.weight", 4, 64}}, JT_FORMAT, "no partner " AT "0.self_attn.q_proj.lora_B.weight"},
        {{{AT "0.self_attn.q_proj.lora_B.weight", 64, 4}}, JT_FORMAT, "no partner " AT "0.self_attn.q_proj.lora_A.weight"},
        {{{AT "0.self_attn.q_proj.lora_A.weight", 4, 63}}, JT_FORMAT, "[rank, 64]"},
        {{{AT "0.self_attn.q_proj.lora_A.weight", 64, 0}}, JT_FORMAT, "1 dimensions"},
        {{{AT "0.self_attn.k_proj.lora_B.weight", 64, 4}}, JT_FORMAT, "[32, rank]"},
        {{{AT "0.self_attn.k_proj.lora_B.weight", 32, 5}}, JT_FORMAT, "have rank 5; r and rank_pattern say 4"},
        {{{AT "0.self_attn.k_proj.lora_A.weight", 4, 64}, {AT "0.self_attn.k_proj.lora_B.weight", 32, 5}}, JT_FORMAT, "its partner 4"},
        {{{AT "3.self_attn.k_proj.lora_A.weight", 4, 64}}, JT_FORMAT, "layers 0 to 2"},
        {{{AT "99999999999.self_attn.k_proj.lora_A.weight", 4, 64}}, JT_UNSUPPORTED, "99999999999"},
        {{{AT "00.self_attn.k_proj.lora_A.weight", 4, 64}}, JT_UNSUPPORTED, "none that an adapter"},
        {{{AT "0.self_attn.k_proj.lora_A.default.weight", 4, 64}}, JT_UNSUPPORTED, "none that an adapter"},
        {{{"model.layers.0.self_attn.k_proj.lora_A.weight", 4, 64}}, JT_UNSUPPORTED, "none that an adapter"},
        {{{AT "0.self_attn.qq_proj.lora_A.weight", 4, 64}}, JT_UNSUPPORTED, "none that an adapter"},
        {{{AT "0.self_attn.q_proj.lora_magnitude_vector", 64, 0}}, JT_UNSUPPORTED, "belongs to DoRA"},
        {{{AT "0.self_attn.q_proj.bias", 64, 0}}, JT_UNSUPPORTED, "is a bias"},
        {{{AT "0.input_layernorm.weight", 64, 0}}, JT_UNSUPPORTED, "belongs to a norm"},
        {{{"base_model.model.lm_head.lora_A.weight", 4, 64}}, JT_UNSUPPORTED, "belongs to the head"},
        {{{"base_model.model.model.embed_tokens.lora_embedding_A", 4, 320}}, JT_UNSUPPORTED, "embedding"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        write_peft_tensors(f, small_config, row[i].t, row[i].t[1].name ? 2 : 1);
        refused(f->hf, f->peft, row[i].status, row[i].part);
    }
    write_peft_tensors(f, small_config, NULL, 0);
    refused(f->hf, f->peft, JT_FORMAT, "no tensors of an adapter");
}

static void gguf_adapters_are_refused_by_name(void **state) {
    const struct fixture *f = *state;
    static const struct {
        const char *arch, *type, *lora, *key, *name;
        int dims, rank, inner;
        uint32_t format;
        jt_status status;
        const char *part;
    } row[] = {{"llama", "model", "lora", NULL, NULL, 2, 4, 64, JT_F32, JT_INVALID, "general.type is \"model\""},
               {NULL, "adapter", "lora", NULL, NULL, 2, 4, 64, JT_F32, JT_NOTFOUND, "general.architecture"},
               {"qwen2", "adapter", "lora", NULL, NULL, 2, 4, 64, JT_F32, JT_INVALID, "\"qwen2\", not \"llama\""},
               {"llama", "adapter", "control", NULL, NULL, 2, 4, 64, JT_F32, JT_INVALID, "adapter.type is \"control\""},
               {"llama", "adapter", "lora", "adapter.alora.invocation_tokens", NULL, 2, 4, 64, JT_F32, JT_UNSUPPORTED, "invocation_tokens"},
               {"llama", "adapter", "lora", NULL, NULL, 2, 4, 64, JT_F32, JT_FORMAT, "no tensors of an adapter"},
               {"llama", "adapter", "lora", NULL, "blk.0.attn_q.weight.lora_a", 2, 4, 64, JT_F32, JT_FORMAT,
                "no partner blk.0.attn_q.weight.lora_b"},
               {"llama", "adapter", "lora", NULL, "blk.0.attn_q.weight.lora_a", 2, 4, 32, JT_F32, JT_FORMAT, "[rank, 64]"},
               {"llama", "adapter", "lora", NULL, "blk.0.attn_q.weight.lora_a", 1, 4, 64, JT_F32, JT_FORMAT, "1 dimensions"},
               {"llama", "adapter", "lora", NULL, "blk.0.attn_q.weight.lora_a", 2, 5000, 64, JT_F32, JT_LIMIT, "rank 5000"},
               {"llama", "adapter", "lora", NULL, "blk.0.attn_q.weight.lora_a", 2, 4, 64, 26, JT_UNSUPPORTED, "is of type"},
               {"llama", "adapter", "lora", NULL, "blk.0.attn_q.weight.lora_c", 2, 4, 64, JT_F32, JT_UNSUPPORTED, "none that an adapter"},
               {"llama", "adapter", "lora", NULL, "blk.3.attn_q.weight.lora_a", 2, 4, 64, JT_F32, JT_FORMAT, "layers 0 to 2"},
               {"llama", "adapter", "lora", NULL, "blk.0.attn_norm.weight", 1, 4, 64, JT_F32, JT_UNSUPPORTED, "belongs to a norm"},
               {"llama", "adapter", "lora", NULL, "output.weight.lora_a", 2, 4, 64, JT_F32, JT_UNSUPPORTED, "belongs to the head"},
               {"llama", "adapter", "lora", NULL, "token_embd.weight.lora_a", 2, 4, 320, JT_F32, JT_UNSUPPORTED, "embedding"}};
    static float zero[5000 * 64];
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        gguf_builder b = {0};
        if (row[i].arch) gb_text(&b, "general.architecture", row[i].arch);
        gb_text(&b, "general.type", row[i].type), gb_text(&b, "adapter.type", row[i].lora);
        if (row[i].key) gb_i32s(&b, row[i].key, (int32_t[]){5}, 1);
        int rank = row[i].dims == 1 ? 1 : row[i].rank;
        if (row[i].name)
            gb_tensor(&b, row[i].name, row[i].format, row[i].dims, (uint64_t[]){(uint64_t)row[i].inner, (uint64_t)rank}, zero,
                      (size_t)rank * (size_t)row[i].inner * 4);
        gb_save(&b, 3, f->path);
        refused(f->hf, f->path, row[i].status, row[i].part);
    }
    refused(f->hf, f->model_path, JT_NOTFOUND, "general.type");
}

static void states_refuse_what_is_wrong(void **state) {
    const struct fixture *f = *state;
    jt_error err;
    jt_model *m;
    jt_adapter *a = adapter(f->gguf, gguf_wide), *b = NULL;
    jt_state *s = state_with(f->hf, NULL, 0);
    assert_int_equal(jt_state_set_adapter(s, a, 1, &err), JT_INVALID);
    assert_non_null(strstr(err.message, "wide.gguf was opened for another model"));
    jt_state_free(s);
    s = state_with(f->gguf, a, 1);
    uint64_t mode = jt_state_mode(s);
    assert_int_equal(jt_state_set_adapter(s, a, NAN, &err), JT_INVALID);
    ok(jt_state_set_adapter(s, a, 1, &err), &err);
    assert_int_equal(jt_state_mode(s), mode);
    jt_state_free(s);
    jt_adapter_free(a);
    ok(jt_model_open(f->engine, f->model_path, &(jt_model_options){.vocab_only = 1}, &m, &err), &err);
    assert_int_equal(jt_adapter_open(m, gguf_wide, &b, &err), JT_INVALID);
    jt_model_free(m);
}

static void failed_allocations_leave_nothing(void **state) {
    const struct fixture *f = *state;
    const char *path[] = {peft_narrow, gguf_wide};
    jt_error err;
    for (int k = 0; k < 2; k++)
        for (long i = 0;; i++) {
            jt_adapter *a = NULL;
            alloc_fail_at(i);
            jt_status s = jt_adapter_open(f->hf, path[k], &a, &err);
            bool failed = alloc_count() > i;
            alloc_fail_at(-1);
            jt_adapter_free(a);
            if (!failed) {
                ok(s, &err);
                break;
            }
            if (s != JT_NOMEM) fail_msg("allocation %ld: %s: %s", i, jt_status_name(s), err.message);
        }
    static float x[T * VOCAB], y[T * VOCAB];
    jt_model *m;
    jt_state *s = NULL;
    ok(jt_model_open(f->engine, hf_folder, &(jt_model_options){.activations = JT_ACT_FLOAT}, &m, &err), &err);
    jt_adapter *a = adapter(m, peft_narrow);
    for (long i = 0;; i++) { /* the first eval builds the list */
        int32_t id = f->ids[0][0];
        s = state_with(m, a, 1);
        jt_span span = {.state = s, .ids = &id, .n = 1};
        alloc_fail_at(i);
        jt_status e = jt_eval(m, &(jt_batch){.span = &span, .n_span = 1}, &err);
        bool failed = alloc_count() > i;
        alloc_fail_at(-1);
        assert_int_equal(e, failed ? JT_NOMEM : JT_OK);
        assert_int_equal(jt_state_length(s), failed ? 0 : 1);
        if (!failed) break;
        jt_state_free(s);
    }
    logits_of(s, f->ids[0] + 1, T - 1, x + VOCAB);
    jt_state_free(s);
    jt_adapter_free(a);
    jt_model_free(m);
    a = adapter(f->hf, peft_narrow);
    s = state_with(f->hf, a, 1);
    logits_of(s, f->ids[0], T, y);
    assert_memory_equal(x + VOCAB, y + VOCAB, (T - 1) * VOCAB * sizeof *x);
    jt_state_free(s);
    jt_adapter_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_those_of_peft),
        cmocka_unit_test(info_tells_what_is_there),
        cmocka_unit_test(sums_are_as_the_contract_says),
        cmocka_unit_test(scales_multiply),
        cmocka_unit_test(no_scale_and_no_adapter_are_the_identity),
        cmocka_unit_test(company_changes_nothing),
        cmocka_unit_test(later_adapters_change_nothing),
        cmocka_unit_test(forks_inherit),
        cmocka_unit_test(models_give_adapters_to_new_states),
        cmocka_unit_test(settings_are_refused_by_name),
        cmocka_unit_test(tensors_are_refused_by_name),
        cmocka_unit_test(gguf_adapters_are_refused_by_name),
        cmocka_unit_test(states_refuse_what_is_wrong),
        cmocka_unit_test(failed_allocations_leave_nothing),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
