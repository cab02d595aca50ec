/* encoder.c: heads and pooling of encoders, as config.json and GGUF say. */
#include "model/families/encoder.h"

#include <string.h>

const char *const jt_encoder_idle[] = {".position_ids",
                                       "cls.predictions.bias",
                                       "cls.predictions.transform.dense.weight",
                                       "cls.predictions.transform.dense.bias",
                                       "cls.predictions.transform.LayerNorm.weight",
                                       "cls.predictions.transform.LayerNorm.bias",
                                       "cls.predictions.transform.LayerNorm.gamma",
                                       "cls.predictions.transform.LayerNorm.beta",
                                       "cls.predictions.decoder.weight",
                                       "cls.predictions.decoder.bias",
                                       "cls.seq_relationship.weight",
                                       "cls.seq_relationship.bias",
                                       NULL};

/* Numbers of llama.cpp's pooling_type. */
static const jt_pooling encoder_pooling[] = {JT_POOL_AUTO, JT_POOL_MEAN, JT_POOL_CLS, JT_POOL_LAST};

static jt_status encoder_gguf_pooling(const jt_gguf *g, const char *key, jt_pooling *out, jt_error *err) {
    uint64_t v;
    if (!jt_gguf_find(g, key)) return JT_OK;
    jt_status s = jt_gguf_get_u64(g, key, &v, err);
    if (!s && v > 4) s = jt_error_set(err, JT_UNSUPPORTED, "%s %llu is not supported by this build", key, (unsigned long long)v);
    if (!s && v < 4) *out = encoder_pooling[v]; /* 4: the head's, whatever the embeddings are */
    return s;
}

jt_status jt_encoder_gguf(const jt_gguf *g, jt_config *c, jt_error *err) {
    char key[80];
    const char *act = "gelu";
    size_t n = 4;
    jt_status s = JT_OK;
    const jt_gguf_tensor *head = jt_gguf_tensor_named(g, "cls.output.weight");
    if (head) c->classes = head->n_dims < 2 ? 1 : head->dim[1] < 1 << 20 ? (int)head->dim[1] : 1 << 20;
    c->pooled = head != NULL;
    snprintf(key, sizeof key, "%s.pooling_type", c->family->name);
    s = encoder_gguf_pooling(g, key, &c->pooling, err);
    snprintf(key, sizeof key, "%s.classifier.pooling_type", c->family->name);
    if (!s) s = encoder_gguf_pooling(g, key, &c->classes_pooling, err);
    snprintf(key, sizeof key, "%s.hidden_activation", c->family->name);
    if (!s && jt_gguf_find(g, key)) s = jt_gguf_get_text(g, key, &act, &n, err);
    if (s) return s;
    char name[32];
    snprintf(name, sizeof name, "%.*s", (int)(n < 31 ? n : 31), act);
    return jt_config_hf_activation(name, c, err);
}

jt_status jt_encoder_hf(const jt_json *j, jt_config *c, jt_error *err) {
    const jt_json *list = jt_config_find(j, "architectures"), *labels = jt_config_find(j, "id2label");
    const char *class =
        list && jt_json_kind_of(list) == JT_JSON_ARRAY && jt_json_count(list) ? jt_json_string(jt_json_item(list, 0), NULL) : NULL;
    static const char tail[] = "ForSequenceClassification";
    size_t n = class ? strlen(class) : 0;
    if (n < sizeof tail || strcmp(class + n - (sizeof tail - 1), tail) != 0) return JT_OK;
    c->pooled = true;
    return jt_config_hf_int(j, "num_labels", labels && jt_json_count(labels) ? (int64_t)jt_json_count(labels) : 2, &c->classes, err);
}
