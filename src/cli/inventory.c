#include "cli/inventory.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "model/config.h"
#include "tensor/pack.h"

static void put(char *out, size_t cap, const char *s, size_t n) {
    if (n >= cap) n = jt_utf8_whole(s, cap - 1);
    memcpy(out, s, n);
    out[n] = 0;
}

/* What the matrix takes once packed: 16 rows a panel, the last one filled up. */
static uint64_t packed_bytes(const jt_item *t, uint64_t rows, uint64_t cols) {
    if (!t->format || t->format->panel == JT_PANEL_NONE || t->n_dims != 2 || cols > INT32_MAX || rows > INT32_MAX) return t->bytes;
    uint64_t panel = jt_panel_bytes(t->format->panel, (int)cols), all;
    return panel && jt_mul_u64(panel, (rows + 15) / 16, &all) ? all : t->bytes;
}

static jt_status add_up(jt_inventory *v, const jt_item *t, jt_error *err) {
    bool ok = jt_add_u64(v->parameters, t->elements, &v->parameters) && jt_add_u64(v->bytes, t->bytes, &v->bytes) &&
              jt_add_u64(v->packed, t->packed, &v->packed);
    if (ok && v->runs && (!t->format || !t->format->expand)) {
        v->runs = false;
        jt_error_set(&v->why, JT_UNSUPPORTED, "tensor %s is of type %s, which this build cannot compute with", t->name, t->type);
    }
    return ok ? JT_OK : jt_error_set(err, JT_FORMAT, "tensor %s: the sizes add up to more than 2^64", t->name);
}

static jt_status list_gguf(jt_inventory *v, jt_error *err) {
    v->n = jt_gguf_tensors(v->gguf);
    v->item = jt_alloc(v->n, sizeof *v->item);
    if (!v->item) return jt_nomem(err, "the list of tensors", v->n, sizeof *v->item);
    for (size_t i = 0; i < v->n; i++) {
        const jt_gguf_tensor *g = jt_gguf_tensor_at(v->gguf, i);
        jt_item *t = &v->item[i];
        *t = (jt_item){.name = g->name, .format = g->format, .n_dims = g->n_dims, .elements = g->elements, .bytes = g->bytes};
        for (int d = 0; d < g->n_dims; d++) t->dim[d] = g->dim[d];
        if (g->format)
            snprintf(t->type, sizeof t->type, "%s", g->format->name);
        else
            snprintf(t->type, sizeof t->type, "type %u", g->type);
        t->packed = packed_bytes(t, g->dim[1], g->dim[0]);
        jt_status s = add_up(v, t, err);
        if (s) return s;
    }
    return JT_OK;
}

static jt_status list_parts(jt_inventory *v, jt_error *err) {
    v->n = jt_safetensors_tensors(v->parts);
    v->item = jt_alloc(v->n, sizeof *v->item);
    if (!v->item) return jt_nomem(err, "the list of tensors", v->n, sizeof *v->item);
    for (size_t i = 0; i < v->n; i++) {
        const jt_st_tensor *p = jt_safetensors_tensor_at(v->parts, i);
        jt_item *t = &v->item[i];
        *t = (jt_item){.name = p->name, .n_dims = p->n_dims, .elements = p->elements, .bytes = p->bytes};
        t->format = p->dtype->computed ? jt_format_named(p->dtype->computed) : NULL;
        for (int d = 0; d < p->n_dims; d++) t->dim[d] = p->dim[d];
        for (size_t k = 0; p->dtype->name[k] && k + 1 < sizeof t->type; k++) t->type[k] = (char)tolower((unsigned char)p->dtype->name[k]);
        t->packed = packed_bytes(t, p->dim[0], p->dim[1]);
        jt_status s = add_up(v, t, err);
        if (s) return s;
    }
    return JT_OK;
}

/* A number under "<family>.<key>"; an array (a number a layer) is added up over the layers, `each` times a single number. */
static bool family_number(const jt_inventory *v, const char *key, uint64_t each, uint64_t *out) {
    char name[160];
    snprintf(name, sizeof name, "%s.%s", v->family, key);
    const jt_gguf_value *k = jt_gguf_find(v->gguf, name);
    uint64_t x, sum = 0;
    if (!k) return false;
    for (uint64_t i = 0; i < k->count; i++)
        if (!jt_gguf_item_u64(k, i, &x) || !jt_add_u64(sum, x, &sum)) return false;
    if (k->type != JT_GGUF_ARRAY && !jt_mul_u64(sum, each, &sum)) return false;
    *out = sum;
    return true;
}

/* What a token adds to the cache: `heads` of all layers, with keys and values of these lengths. */
static void cache_of(jt_inventory *v, uint64_t heads, uint64_t key, uint64_t value) {
    uint64_t both, elements, blocks;
    if (!key || !jt_add_u64(key, value, &both) || !jt_mul_u64(heads, both, &elements)) return;
    if (!jt_mul_u64(heads, key / 32 + !!(key % 32) + value / 32 + !!(value % 32), &blocks)) return;
    v->kv_elements = elements, v->kv_blocks = blocks;
}

/* What a model that this build runs keeps of its recurrences, and of latent attention, which it expands. */
static void recurrences_of(jt_inventory *v, const jt_config *c) {
    uint64_t layers = (uint64_t)c->ssm_layers, inner = (uint64_t)jt_config_ssm_inner(c), heads = (uint64_t)(c->layers - c->ssm_layers);
    if (layers || c->kv_rank) cache_of(v, heads * (uint64_t)c->kv_heads, (uint64_t)c->head_dim, (uint64_t)jt_config_value_dim(c));
    if (!layers) return;
    v->inputs = layers * ((uint64_t)jt_config_ssm_conv(c) + (uint64_t)c->ssm_heads);
    v->mark_bytes = layers * inner * (uint64_t)c->ssm_state * sizeof(float);
}

static void describe_gguf(jt_inventory *v) {
    const char *s;
    size_t n;
    uint64_t heads = 0, kv = 0, key = 0, value = 0, hidden = 0;
    if (!jt_gguf_get_text(v->gguf, "general.name", &s, &n, NULL)) put(v->name, sizeof v->name, s, n);
    if (!jt_gguf_get_text(v->gguf, "general.architecture", &s, &n, NULL)) put(v->family, sizeof v->family, s, n);
    family_number(v, "context_length", 1, &v->context);
    if (!family_number(v, "block_count", 1, &v->layers)) return;
    bool known = family_number(v, "attention.head_count_kv", v->layers, &kv) || family_number(v, "attention.head_count", v->layers, &kv);
    if (!known) return;
    bool head = family_number(v, "attention.head_count", 1, &heads) && heads && family_number(v, "embedding_length", 1, &hidden);
    if (!family_number(v, "attention.key_length", 1, &key)) key = head ? hidden / heads : 0;
    if (!family_number(v, "attention.value_length", 1, &value)) value = key;
    cache_of(v, kv, key, value);
}

static void describe_config(jt_inventory *v) {
    const char *s;
    int64_t layers = 0, heads = 0, kv = 0, dim = 0, hidden = 0, context = 0;
    const int64_t most = 1 << 24;
    if (!jt_config_string(v->config, "model_type", &s, NULL)) put(v->family, sizeof v->family, s, strlen(s));
    jt_config_int_or(v->config, "max_position_embeddings", 0, INT32_MAX, 0, &context, NULL);
    jt_config_int_or(v->config, "num_hidden_layers", 0, most, 0, &layers, NULL);
    jt_config_int_or(v->config, "num_attention_heads", 0, most, 0, &heads, NULL);
    jt_config_int_or(v->config, "num_key_value_heads", 0, most, heads, &kv, NULL);
    jt_config_int_or(v->config, "hidden_size", 0, most, 0, &hidden, NULL);
    jt_config_int_or(v->config, "head_dim", 0, most, heads ? hidden / heads : 0, &dim, NULL);
    v->context = (uint64_t)context;
    v->layers = (uint64_t)layers;
    uint64_t all;
    if (jt_mul_u64(v->layers, (uint64_t)kv, &all)) cache_of(v, all, (uint64_t)dim, (uint64_t)dim);
}

static jt_status open_folder(const char *path, jt_inventory *v, jt_error *err) {
    jt_str config = {0};
    jt_config c;
    jt_str_printf(&config, "%s/config.json", path);
    jt_status s = jt_str_check(&config, err);
    if (!s) s = jt_json_read(config.s, &v->config, err);
    jt_str_free(&config);
    if (!s) s = jt_safetensors_open(path, &v->parts, err);
    if (s) return s;
    v->runs = !jt_config_from_hf(v->config, &c, &v->why);
    v->file_bytes = jt_safetensors_file_bytes(v->parts);
    describe_config(v);
    if (v->runs) recurrences_of(v, &c);
    size_t end = strlen(path), begin;
    while (end > 1 && path[end - 1] == '/') end--;
    for (begin = end; begin && path[begin - 1] != '/'; begin--) {
    }
    put(v->name, sizeof v->name, path + begin, end - begin);
    return list_parts(v, err);
}

static jt_status open_gguf(const char *path, jt_inventory *v, jt_error *err) {
    jt_config c;
    jt_status s = jt_gguf_open(path, &v->gguf, err);
    if (s) return s;
    v->runs = !jt_config_from_gguf(v->gguf, &c, &v->why);
    v->file_bytes = jt_gguf_file_bytes(v->gguf);
    describe_gguf(v);
    if (v->runs) recurrences_of(v, &c);
    return list_gguf(v, err);
}

jt_status jt_inventory_open(const char *path, jt_inventory *out, jt_error *err) {
    jt_inventory v = {0};
    jt_status s = jt_is_folder(path) ? open_folder(path, &v, err) : open_gguf(path, &v, err);
    if (s)
        jt_inventory_free(&v);
    else
        *out = v;
    return s;
}

void jt_inventory_free(jt_inventory *v) {
    jt_free(v->item);
    jt_gguf_free(v->gguf);
    jt_safetensors_free(v->parts);
    jt_json_free(v->config);
    *v = (jt_inventory){0};
}
