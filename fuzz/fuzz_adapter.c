/* Any bytes as a LoRA adapter. The first, '0' to '7', names the model (see open_models) and the container: below '4' a PEFT
 * folder, whose adapter_config.json and header of tensors end with a zero byte each, and whose data follow; from '4' a GGUF
 * file. What opens is used. Covers: src/model/adapter.c src/model/adapter_peft.c src/model/adapter_gguf.c */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jeton/model.h"
#include "model/adapter.h"
#include "model/tiny_llama.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MODELS = 4, VOCAB = 40 };
static char folder[64];
static jt_model *whole;          /* model 0, a small Llama as GGUF; of the others there are the settings: */
static jt_config config[MODELS]; /* a folder of Llama, of Phi-3 (stacked maps), of GPT-2 (maps by input) */
static jt_state *state;          /* of model 0 */

static const char *const settings[MODELS] = {
    [1] = "{\"model_type\":\"llama\",\"hidden_size\":32,\"intermediate_size\":48,\"num_attention_heads\":2,\"num_key_value_heads\":1,"
          "\"num_hidden_layers\":2,\"vocab_size\":64,\"rms_norm_eps\":1e-5,\"max_position_embeddings\":64,\"hidden_act\":\"silu\"}",
    [2] = "{\"model_type\":\"phi3\",\"hidden_size\":32,\"intermediate_size\":32,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
          "\"num_hidden_layers\":2,\"vocab_size\":64,\"rms_norm_eps\":1e-5,\"max_position_embeddings\":64,\"hidden_act\":\"silu\","
          "\"original_max_position_embeddings\":64,\"rope_theta\":10000.0,\"sliding_window\":24,\"tie_word_embeddings\":false}",
    [3] = "{\"model_type\":\"gpt2\",\"n_embd\":32,\"n_head\":4,\"n_inner\":32,\"n_layer\":2,\"n_positions\":64,\"vocab_size\":64,"
          "\"layer_norm_epsilon\":1e-5,\"activation_function\":\"gelu_new\"}",
};

static char *path_of(char out[160], const char *name) {
    snprintf(out, 160, "%s/%s", folder, name);
    return out;
}

static void remove_folder(void) {
    static const char *const name[] = {"adapter_config.json", "adapter_model.safetensors", "adapter.gguf"};
    char path[160];
    for (int i = 0; i < 3; i++) (void)unlink(path_of(path, name[i]));
    (void)rmdir(folder);
}

static void open_models(void) {
    char path[160];
    jt_engine *e;
    jt_error err;
    snprintf(folder, sizeof folder, "/tmp/fuzz_adapter.XXXXXX");
    if (!mkdtemp(folder)) abort();
    atexit(remove_folder);
    tiny_llama_write(path_of(path, "model.gguf"), &(tiny_llama){JT_F32, VOCAB, 32, 2, 2, 1, 16, 48, 64, 1, 3});
    if (jt_engine_new(&(jt_engine_options){.threads = 1}, &e, &err) || jt_model_open(e, path, NULL, &whole, &err) ||
        jt_state_new(whole, 16, &state, &err))
        abort();
    (void)unlink(path);
    for (int i = 1; i < MODELS; i++) {
        jt_json *j;
        if (jt_json_parse(settings[i], strlen(settings[i]), &j, &err) || jt_config_from_hf(j, &config[i], &err)) abort();
        jt_json_free(j);
    }
}

static void put(const char *name, const void *first, size_t n_first, const uint8_t *p, size_t n) {
    char path[160];
    (void)unlink(path_of(path, name)); /* some file systems wait for the disk when a file is written over */
    FILE *f = fopen(path, "wb");
    if (!f || (n_first && fwrite(first, 1, n_first, f) != n_first) || (n && fwrite(p, 1, n, f) != n) || fclose(f)) abort();
}

/* The bytes before the next zero; they and it are taken. */
static const uint8_t *piece(const uint8_t **p, size_t *left, size_t *n) {
    const uint8_t *at = *p, *zero = memchr(at, 0, *left);
    *n = zero ? (size_t)(zero - at) : *left;
    *p += *n + (zero != NULL), *left -= *n + (zero != NULL);
    return at;
}

static void put_peft(const uint8_t *p, size_t left) {
    uint8_t head[8 + 8192];
    size_t n;
    const uint8_t *text = piece(&p, &left, &n);
    put("adapter_config.json", NULL, 0, text, n);
    text = piece(&p, &left, &n);
    if (n > sizeof head - 8) n = sizeof head - 8;
    for (int i = 0; i < 8; i++) head[i] = (uint8_t)(n >> (8 * i));
    memcpy(head + 8, text, n);
    put("adapter_model.safetensors", head, n + 8, p, left);
}

static void use_whole(jt_adapter *a) {
    float logits[VOCAB];
    jt_error err;
    jt_span span = {.state = state, .ids = (int32_t[]){5}, .n = 1};
    jt_want want = {.logits = logits};
    if (jt_state_set_adapter(state, a, 0.5f, &err) ||
        jt_eval(whole, &(jt_batch){.span = &span, .n_span = 1, .want = &want, .n_want = 1}, &err))
        abort();
    if (jt_state_truncate(state, 0, &err) || jt_state_set_adapter(state, NULL, 0, &err)) abort();
    if (jt_state_set_adapter(state, a, NAN, &err) != JT_INVALID) abort();
    if (jt_model_set_adapter(whole, a, 1, &err) || jt_model_set_adapter(whole, NULL, 1, &err)) abort();
}

/* Every number of every half is there. */
static void use_raw(const jt_adapter *a, const jt_config *c, int pairs) {
    for (int layer = 0; layer < c->layers; layer++)
        for (int r = JT_W_GLOBAL; r < JT_W_ROLES; r++) {
            const float *half[2];
            const jt_lora *l = jt_adapter_pair(a, layer, (jt_role)r, &half[0], &half[1]);
            double sum = 0;
            if (!l) continue;
            pairs--;
            for (int i = 0; i < l->a.rows * l->a.cols; i++) sum += (double)half[0][i];
            for (int i = 0; i < l->b.rows * l->b.cols; i++) sum += (double)half[1][i];
            if (l->a.rows != l->b.cols || (sum > 0 && sum < 0)) abort();
        }
    if (pairs) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    char path[160];
    if (!n || data[0] < '0' || data[0] > '7') return 0;
    if (!folder[0]) open_models();
    int model = (data[0] - '0') % MODELS, gguf = data[0] >= '4';
    if (gguf)
        put("adapter.gguf", NULL, 0, data + 1, n - 1), path_of(path, "adapter.gguf");
    else
        put_peft(data + 1, n - 1), snprintf(path, sizeof path, "%s", folder);
    jt_adapter *a = NULL;
    jt_error e = {0};
    if (model ? jt_adapter_open_raw(&config[model], false, path, &a, &e) : jt_adapter_open(whole, path, &a, &e)) {
        if (a || !e.message[0]) abort();
        return 0;
    }
    jt_adapter_info info;
    jt_adapter_get_info(a, &info);
    if (info.pairs < 1 || info.rank_min < 1 || info.rank_max < info.rank_min || !info.name) abort();
    if (model)
        use_raw(a, &config[model], info.pairs);
    else
        use_whole(a);
    jt_adapter_free(a);
    return 0;
}
