/* Writes the first inputs of fuzz_adapter to the folder named: seeds_adapter FOLDER. */
#include <stdio.h>
#include <string.h>

#include "model/gguf_builder.h"

struct map {
    const char *name;
    int outputs, inputs;
};

/* As fuzz_adapter.c calls them: model 0 and 1 are Llama, 2 Phi-3, 3 GPT-2. */
static const struct map hf_map[4][4] = {
    {{"model.layers.0.self_attn.q_proj", 32, 32}, {"model.layers.0.self_attn.k_proj", 16, 32}, {"model.layers.1.mlp.down_proj", 32, 48}},
    {{"model.layers.0.self_attn.q_proj", 32, 32}, {"model.layers.1.self_attn.k_proj", 16, 32}, {"model.layers.1.mlp.up_proj", 48, 32}},
    {{"model.layers.0.self_attn.qkv_proj", 64, 32}, {"model.layers.1.mlp.gate_up_proj", 64, 32}},
    {{"transformer.h.0.attn.c_attn", 96, 32}, {"transformer.h.1.mlp.c_fc", 32, 32}}};
static const struct map gguf_map[4][4] = {{{"blk.0.attn_q", 32, 32}, {"blk.0.attn_k", 16, 32}, {"blk.1.ffn_down", 32, 48}},
                                          {{"blk.0.attn_q", 32, 32}, {"blk.1.attn_k", 16, 32}, {"blk.1.ffn_up", 48, 32}},
                                          {{"blk.0.attn_qkv", 64, 32}, {"blk.1.ffn_up", 64, 32}},
                                          {{"blk.0.attn_qkv", 96, 32}, {"blk.1.ffn_up", 32, 32}}};
static const char *const architecture[] = {"llama", "llama", "phi3", "gpt2"};

static int save(const char *folder, const char *name, gb_bytes *b) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    int bad = !f || fwrite(b->p, 1, b->n, f) != b->n;
    if (f && fclose(f)) bad = 1;
    if (bad) perror(path);
    free(b->p);
    *b = (gb_bytes){0};
    return bad;
}

static void text(gb_bytes *b, const char *s) { gb_put(b, s, strlen(s)); }

/* Pairs of rank 2 and of the type, whose elements have `size` bytes; `more` are further settings. */
static int save_peft(const char *folder, const char *name, int model, const char *more, const char *type, int size, const char *tail) {
    gb_bytes b = {0};
    char line[400];
    size_t at = 0;
    gb_put_int(&b, (uint64_t)('0' + model), 1);
    snprintf(line, sizeof line, "{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":3%s}", more);
    gb_put(&b, line, strlen(line) + 1);
    for (const struct map *m = hf_map[model]; m->name; m++)
        for (int half = 0; half < 2; half++) {
            size_t end = at + (size_t)(2 * size * (half ? m->outputs : m->inputs));
            snprintf(line, sizeof line,
                     "%s\"base_model.model.%s.lora_%c%s\":{\"dtype\":\"%s\",\"shape\":[%d,%d],\"data_offsets\":[%zu,%zu]}", at ? "," : "{",
                     m->name, half ? 'B' : 'A', tail, type, half ? m->outputs : 2, half ? 2 : m->inputs, at, end);
            text(&b, line);
            at = end;
        }
    gb_put(&b, "}", 2);
    for (size_t i = 0; i < at; i++) gb_put_int(&b, i % 61, 1);
    return save(folder, name, &b);
}

static int save_gguf(const char *folder, const char *name, int model, uint32_t type, int block, int bytes, const char *key, float alpha) {
    gguf_builder g = {0};
    char full[64];
    size_t n;
    gb_text(&g, "general.architecture", architecture[model]), gb_text(&g, "general.type", "adapter"), gb_text(&g, "adapter.type", "lora");
    gb_f32(&g, key, alpha);
    for (const struct map *m = gguf_map[model]; m->name; m++)
        for (int half = 0; half < 2; half++) {
            uint64_t rank = (uint64_t)block, dim[2] = {half ? rank : (uint64_t)m->inputs, half ? (uint64_t)m->outputs : rank};
            snprintf(full, sizeof full, "%s.weight.lora_%c", m->name, half ? 'b' : 'a');
            gb_tensor(&g, full, type, 2, dim, NULL, (size_t)(dim[0] * dim[1]) / (size_t)block * (size_t)bytes);
        }
    gb_bytes b = {0};
    uint8_t *p = gb_finish(&g, 3, &n);
    gb_put_int(&b, (uint64_t)('4' + model), 1);
    gb_put(&b, p, n);
    free(p);
    return save(folder, name, &b);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name, *more;
    } row[] = {
        {"rslora", ",\"use_rslora\":true,\"init_lora_weights\":\"gaussian\""},
        {"patterns", ",\"rank_pattern\":{\"q_proj\":2,\"^model.layers.0.self_attn.k_proj\":2},\"alpha_pattern\":{\"down_proj\":0.5}"},
        {"expression", ",\"rank_pattern\":{\".*q_proj\":2}"},
        {"no-rank", ",\"rank_pattern\":{\"q_proj\":0}"},
        {"targets", ",\"target_modules\":[\"q_proj\",\"k_proj\",\"down_proj\"]"},
        {"no-target", ",\"target_modules\":[\"v_proj\"]"},
        {"pissa", ",\"init_lora_weights\":\"pissa\""},
        {"dora", ",\"use_dora\":true"},
        {"saved", ",\"modules_to_save\":[\"lm_head\"],\"bias\":\"all\""},
        {"off", ",\"bias\":\"none\",\"modules_to_save\":null,\"lora_bias\":false,\"loftq_config\":{},\"layer_replication\":[]"}};
    if (argc != 2) return fprintf(stderr, "usage: seeds_adapter FOLDER\n"), 2;
    const char *to = argv[1];
    int bad = 0;
    for (int m = 0; m < 4; m++) {
        char name[32];
        snprintf(name, sizeof name, "peft-%d", m);
        bad |= save_peft(to, name, m, m == 3 ? ",\"fan_in_fan_out\":true" : "", "F32", 4, ".weight");
        snprintf(name, sizeof name, "gguf-%d", m);
        bad |= save_gguf(to, name, m, JT_F32, 2, 8, "adapter.lora.alpha", 3);
    }
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) bad |= save_peft(to, row[i].name, 0, row[i].more, "BF16", 2, ".weight");
    bad |= save_peft(to, "integers", 0, "", "I16", 2, ".weight");
    bad |= save_peft(to, "names", 0, "", "F16", 2, ".default.weight");
    bad |= save_gguf(to, "gguf-q8", 0, JT_Q8_0, 32, 34, "adapter.lora.alpha", 0);
    bad |= save_gguf(to, "gguf-type", 1, 99, 2, 8, "adapter.lora.alpha", 1);
    bad |= save_gguf(to, "gguf-setting", 0, JT_F16, 2, 4, "adapter.lora.beta", 1);
    bad |= save_gguf(to, "gguf-alpha", 0, JT_F16, 2, 4, "adapter.lora.alpha", 1e38f);
    return bad;
}
