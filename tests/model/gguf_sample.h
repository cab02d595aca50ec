/* gguf_sample.h: one small valid GGUF file with every kind of value and tensor. */
#ifndef TESTS_MODEL_GGUF_SAMPLE_H
#define TESTS_MODEL_GGUF_SAMPLE_H

#include "model/gguf_builder.h"

static inline uint8_t *gguf_sample(uint32_t version, size_t *n) {
    gguf_builder b = {.alignment = 64};
    float row[32];
    uint8_t blocks[2 * 34];
    for (int i = 0; i < 32; i++) row[i] = (float)i / 4;
    for (int i = 0; i < 2 * 34; i++) blocks[i] = (uint8_t)i;
    gb_text(&b, "general.architecture", "llama");
    gb_text(&b, "general.name", "a \"tiny\" model\n");
    gb_int(&b, "u8", JT_GGUF_U8, 200);
    gb_int(&b, "i8", JT_GGUF_I8, -100);
    gb_int(&b, "u16", JT_GGUF_U16, 60000);
    gb_int(&b, "i16", JT_GGUF_I16, -30000);
    gb_u32(&b, "u32", 4000000000u);
    gb_int(&b, "i32", JT_GGUF_I32, -2000000000);
    gb_f32(&b, "f32", 1e-5f);
    gb_bool(&b, "yes", true);
    gb_bool(&b, "no", false);
    gb_int(&b, "u64", JT_GGUF_U64, -1);
    gb_int(&b, "i64", JT_GGUF_I64, INT64_MIN);
    gb_f64(&b, "f64", 0.1);
    gb_text(&b, "empty", "");
    gb_texts(&b, "tokens", (const char *const[]){"<s>", "", "h\xc3\xa9", "\xff"}, 4);
    gb_f32s(&b, "scores", (float[]){0.5f, -1}, 2);
    gb_i32s(&b, "types", (int32_t[]){1, -2, 3}, 3);
    gb_array(&b, "bools", JT_GGUF_BOOL, 2);
    gb_put_int(&b.meta, 0x0100, 2);
    gb_array(&b, "none", JT_GGUF_U64, 0);
    gb_array(&b, "nested", JT_GGUF_ARRAY, 2);
    gb_put_int(&b.meta, JT_GGUF_U8, 4), gb_put_int(&b.meta, 3, 8), gb_put_int(&b.meta, 0x030201, 3);
    gb_put_int(&b.meta, JT_GGUF_STRING, 4), gb_put_int(&b.meta, 1, 8), gb_put_text(&b.meta, "x", 1);
    gb_tensor(&b, "scalar", JT_F32, 0, NULL, row + 1, 4);
    gb_tensor(&b, "unknown", 4, 2, (uint64_t[]){32, 1}, NULL, 20);
    gb_tensor(&b, "row", JT_F32, 1, (uint64_t[]){32}, row, sizeof row);
    gb_tensor(&b, "q8", JT_Q8_0, 2, (uint64_t[]){32, 2}, blocks, sizeof blocks);
    gb_tensor(&b, "four", JT_F16, 4, (uint64_t[]){2, 1, 3, 1}, row, 12);
    return gb_finish(&b, version, n);
}

#endif
