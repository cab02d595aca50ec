/* adapter_gguf.c: adapters in GGUF files, as llama.cpp's convert_lora_to_gguf writes them: tensors NAME.lora_a
 * [rank][inputs] and NAME.lora_b [outputs][rank] for weights NAME; scale = alpha / rank, or 1 when alpha is absent or 0. */
#include <string.h>

#include "model/adapter.h"

static const jt_adapter_names adapter_gguf_names = {"blk.", {".lora_a", ".lora_b"}, false};

static jt_status adapter_gguf_word(const jt_gguf *g, const char *key, const char *want, const char *why, jt_error *err) {
    const char *s;
    size_t n;
    jt_status e = jt_gguf_get_text(g, key, &s, &n, err);
    if (e) return e;
    if (n == strlen(want) && !memcmp(s, want, n)) return JT_OK;
    return jt_error_set(err, JT_INVALID, "%s is \"%.*s\", not \"%s\": %s", key, (int)(n < 64 ? n : 64), s, want, why);
}

/* Settings of adapters that are not known may change the numbers. */
static jt_status adapter_gguf_settings(const jt_gguf *g, jt_error *err) {
    for (size_t i = 0; i < jt_gguf_values(g); i++) {
        const char *key = jt_gguf_value_at(g, i)->key;
        if (!strncmp(key, "adapter.", 8) && strcmp(key, "adapter.type") && strcmp(key, "adapter.lora.alpha"))
            return jt_error_set(err, JT_UNSUPPORTED, "%.200s is set, which this build does not apply to an adapter", key);
    }
    return JT_OK;
}

static jt_status adapter_gguf_tensor(jt_adapter *a, const jt_gguf_tensor *t, double alpha, jt_error *err) {
    jt_adapter_place p;
    jt_status s = jt_adapter_find(a, t->name, &p, err);
    if (s) return s;
    if (!t->format || !t->format->expand)
        return jt_error_set(err, JT_UNSUPPORTED, "tensor %s is of type %s (%u), which this build cannot compute with", t->name,
                            t->format ? t->format->name : "unknown", t->type);
    if ((s = jt_adapter_check(a, &p, t->name, t->n_dims, t->dim[1], t->dim[0], err))) return s;
    float *x = t->elements <= SIZE_MAX ? jt_alloc((size_t)t->elements, sizeof *x) : NULL;
    if (!x) return jt_nomem(err, t->name, (size_t)t->elements, sizeof *x);
    t->format->expand(t->data, x, (size_t)t->elements);
    s = jt_adapter_add(a, &p, (int)t->dim[1], (int)t->dim[0], x, true, err);
    jt_free(x);
    jt_lora *l = jt_adapter_lora(a, &p);
    if (!s && l->a.rows) l->scale = alpha != 0 ? alpha / l->a.rows : 1;
    return s;
}

static jt_status adapter_gguf_read(jt_adapter *a, const jt_gguf *g, jt_error *err) {
    double alpha;
    jt_status s = adapter_gguf_word(g, "general.type", "adapter", "the file holds no adapter", err);
    if (!s) s = adapter_gguf_word(g, "general.architecture", a->model->config.family->name, "the adapter belongs to another model", err);
    if (!s) s = adapter_gguf_word(g, "adapter.type", "lora", "this build applies LoRA alone", err);
    if (!s) s = adapter_gguf_settings(g, err);
    if (!s) s = jt_gguf_get_double_or(g, "adapter.lora.alpha", 0, &alpha, err);
    for (size_t i = 0; i < jt_gguf_tensors(g) && !s; i++) s = adapter_gguf_tensor(a, jt_gguf_tensor_at(g, i), alpha, err);
    return s;
}

jt_status jt_adapter_read_gguf(jt_adapter *a, const char *path, jt_error *err) {
    jt_gguf *g = NULL;
    a->names = &adapter_gguf_names;
    jt_status s = jt_gguf_open(path, &g, err);
    if (s) return s;
    if ((s = adapter_gguf_read(a, g, err))) s = jt_error_in(err, s, "%s", path);
    jt_gguf_free(g);
    return s;
}
