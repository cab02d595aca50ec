/* Any bytes as a safetensors file: what opens is read through. Covers: src/model/safetensors.c src/model/safetensors_values.c */
#include <stdint.h>
#include <stdlib.h>

#include "model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    jt_safetensors *f = NULL;
    jt_error e = {0};
    if (jt_safetensors_parse(data, n, &f, &e) != JT_OK) {
        if (f || !e.message[0]) abort();
        return 0;
    }
    for (size_t i = 0; i < jt_safetensors_tensors(f); i++) {
        const jt_st_tensor *t = jt_safetensors_tensor_at(f, i);
        float x[4];
        int64_t k[4];
        if (jt_safetensors_tensor_named(f, t->name) != t) abort();
        if (t->data < data || t->bytes > (uint64_t)(data + n - t->data)) abort();
        uint64_t last = t->elements < 4 ? t->elements : 4;
        if (t->bytes) {
            (void)jt_st_read_f32(t, t->elements - last, last, x, &e);
            (void)jt_st_read_i64(t, t->elements - last, last, k, &e);
        }
        if (jt_st_read_f32(t, t->elements, 1, x, &e) == JT_OK) abort();
    }
    (void)jt_safetensors_metadata(f, "format");
    jt_safetensors_free(f);
    return 0;
}
