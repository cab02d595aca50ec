/* Any bytes as a GGUF file: what opens is walked by every accessor. Covers: src/model/gguf.c src/model/gguf_value.c */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/str.h"
#include "model/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void use_value(const jt_gguf *g, const jt_gguf_value *v) {
    uint64_t u, sum = 0;
    int64_t i;
    double d;
    bool b;
    const char *s;
    size_t len;
    const jt_gguf_value *a;
    jt_error e = {0};
    jt_str text = {0};
    if (jt_gguf_find(g, v->key) != v) abort();
    for (uint64_t k = 0; k <= v->count; k++) {
        if (jt_gguf_item_text(v, k, &s, &len))
            for (size_t c = 0; c < len; c++) sum += (uint8_t)s[c];
        if (jt_gguf_item_u64(v, k, &u)) sum += u;
        if (jt_gguf_item_i64(v, k, &i)) sum += (uint64_t)i;
        if (jt_gguf_item_double(v, k, &d)) sum += d > 0;
        if (jt_gguf_item_bool(v, k, &b)) sum += b;
    }
    (void)jt_gguf_get_u64(g, v->key, &u, &e);
    (void)jt_gguf_get_i64(g, v->key, &i, &e);
    (void)jt_gguf_get_double_or(g, v->key, 0, &d, &e);
    (void)jt_gguf_get_bool_or(g, v->key, false, &b, &e);
    (void)jt_gguf_get_u64_or(g, "?", sum, &u, &e);
    (void)jt_gguf_get_text(g, v->key, &s, &len, &e);
    (void)jt_gguf_get_array(g, v->key, JT_GGUF_STRING, &a, &e);
    jt_gguf_print(v, 40, &text);
    jt_str_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    jt_gguf *g = NULL;
    jt_error e = {0};
    if (jt_gguf_parse(data, n, &g, &e) != JT_OK) {
        if (g || !e.message[0]) abort();
        return 0;
    }
    for (size_t i = 0; i < jt_gguf_values(g); i++) use_value(g, jt_gguf_value_at(g, i));
    for (size_t i = 0; i < jt_gguf_tensors(g); i++) {
        const jt_gguf_tensor *t = jt_gguf_tensor_at(g, i);
        if (jt_gguf_tensor_named(g, t->name) != t) abort();
        if (t->bytes && (t->data < data || t->bytes > (uint64_t)(data + n - t->data))) abort();
    }
    jt_gguf_free(g);
    return 0;
}
