#include "model/config.h"

#include <math.h>
#include <string.h>

const jt_family *const jt_families[] = {&jt_family_llama, &jt_family_mistral, NULL};

static void list_families(bool hf, char *out, size_t cap) {
    size_t n = 0;
    out[0] = 0;
    for (int i = 0; jt_families[i]; i++) {
        if (!hf && !jt_families[i]->read_gguf) continue;
        int k = snprintf(out + n, cap - n, "%s%s", n ? ", " : "", hf ? jt_families[i]->hf : jt_families[i]->name);
        if (k < 0 || (size_t)k >= cap - n) break;
        n += (size_t)k;
    }
}

/* Limits that keep every product of sizes far from overflow. */
static jt_status config_check(const jt_config *c, jt_error *err) {
    enum { BIG = 1 << 24 };
    const struct {
        const char *name;
        int v;
    } row[] = {{"vocabulary size", c->vocab}, {"hidden size", c->hidden},     {"number of layers", c->layers},
               {"number of heads", c->heads}, {"head size", c->head_dim},     {"number of key-value heads", c->kv_heads},
               {"feed-forward size", c->ffn}, {"context length", c->context}, {"rotary dimensions", c->rope_dims}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (row[i].v < 1 || row[i].v > BIG)
            return jt_error_set(err, JT_FORMAT, "%s is %d; it must be between 1 and %d", row[i].name, row[i].v, (int)BIG);
    if (c->layers > JT_CONFIG_LAYERS)
        return jt_error_set(err, JT_FORMAT, "number of layers is %d; at most %d are supported", c->layers, (int)JT_CONFIG_LAYERS);
    if (c->head_dim > 1024) return jt_error_set(err, JT_FORMAT, "head size is %d; at most 1024 is supported", c->head_dim);
    if (c->heads > 1024) return jt_error_set(err, JT_FORMAT, "number of heads is %d; at most 1024 are supported", c->heads);
    if (c->heads % c->kv_heads)
        return jt_error_set(err, JT_FORMAT, "%d heads cannot share %d key-value heads evenly", c->heads, c->kv_heads);
    if (c->rope_dims > c->head_dim || c->rope_dims % 2)
        return jt_error_set(err, JT_FORMAT, "rotary dimensions are %d; they must be even and at most the head size %d", c->rope_dims,
                            c->head_dim);
    if (!(c->norm_eps >= 0 && c->norm_eps < 1))
        return jt_error_set(err, JT_FORMAT, "norm epsilon is %g; it must be in [0, 1)", (double)c->norm_eps);
    if (!(c->rope_base > 1 && c->rope_base < 1e12))
        return jt_error_set(err, JT_FORMAT, "rotary base is %g; it must be in (1, 1e12)", c->rope_base);
    return JT_OK;
}

static jt_status config_finish(jt_config *c, jt_error *err) {
    jt_status s = config_check(c, err);
    if (s) return s;
    c->attn_scale = 1.0f / sqrtf((float)c->head_dim);
    return JT_OK;
}

jt_status jt_config_from_gguf(const jt_gguf *g, jt_config *out, jt_error *err) {
    const char *s;
    size_t n;
    char have[256];
    jt_config c = {0};
    jt_status e = jt_gguf_get_text(g, "general.architecture", &s, &n, err);
    if (e) return e;
    for (int i = 0; jt_families[i]; i++)
        if (jt_families[i]->read_gguf && strlen(jt_families[i]->name) == n && !memcmp(jt_families[i]->name, s, n))
            c.family = jt_families[i];
    if (!c.family) {
        list_families(false, have, sizeof have);
        return jt_error_set(err, JT_UNSUPPORTED, "architecture \"%.*s\" is not supported; this build knows %s", (int)(n < 64 ? n : 64), s,
                            have);
    }
    if ((e = c.family->read_gguf(g, &c, err)) || (e = config_finish(&c, err))) return e;
    *out = c;
    return JT_OK;
}

jt_status jt_config_from_hf(const jt_json *j, jt_config *out, jt_error *err) {
    const char *type;
    char have[256];
    jt_config c = {0};
    jt_status e = jt_config_string(j, "model_type", &type, err);
    if (e) return e;
    for (int i = 0; jt_families[i]; i++)
        if (!strcmp(jt_families[i]->hf, type)) c.family = jt_families[i];
    if (!c.family) {
        list_families(true, have, sizeof have);
        return jt_error_set(err, JT_UNSUPPORTED, "model_type \"%.64s\" is not supported; this build knows %s", type, have);
    }
    if ((e = c.family->read_hf(j, &c, err)) || (e = config_finish(&c, err))) return e;
    *out = c;
    return JT_OK;
}

void jt_config_shape(const jt_config *c, jt_role r, int *rows, int *cols) {
    int q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    *rows = 1, *cols = c->hidden;
    switch (r) {
    case JT_W_EMBED:
    case JT_W_HEAD: *rows = c->vocab; break;
    case JT_W_Q: *rows = q; break;
    case JT_W_K:
    case JT_W_V: *rows = kv; break;
    case JT_W_O: *rows = c->hidden, *cols = q; break;
    case JT_W_GATE:
    case JT_W_UP: *rows = c->ffn; break;
    case JT_W_DOWN: *rows = c->hidden, *cols = c->ffn; break;
    case JT_W_FINAL_NORM:
    case JT_W_ATTN_NORM:
    case JT_W_FFN_NORM:
    case JT_W_ROLES: break;
    }
}
