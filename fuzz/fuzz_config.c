/* Any bytes as a model's settings: a GGUF file, if they begin as one does, else a config.json.
 * Covers: src/model/config.c src/model/config_hf.c src/model/config_json.c src/model/config_gguf.c */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static jt_status read_gguf(const uint8_t *data, size_t n, jt_config *c, jt_error *e) {
    jt_gguf *g = NULL;
    jt_status s = jt_gguf_parse(data, n, &g, e);
    if (!s) s = jt_config_from_gguf(g, c, e);
    jt_gguf_free(g);
    return s;
}

static jt_status read_json(const uint8_t *data, size_t n, jt_config *c, jt_error *e) {
    jt_json *j = NULL;
    jt_status s = jt_json_parse((const char *)data, n, &j, e);
    if (!s) s = jt_config_from_hf(j, c, e);
    jt_json_free(j);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    jt_config *c = calloc(1, sizeof *c);
    jt_error e = {0};
    if (!c) abort();
    if (n >= 4 && !memcmp(data, "GGUF", 4) ? read_gguf(data, n, c, &e) : read_json(data, n, c, &e)) {
        if (!e.message[0]) abort();
    } else {
        if (c->layers < 1 || c->layers > JT_CONFIG_LAYERS || c->kv_heads < 1) abort();
        for (int r = 0; r < JT_W_ROLES; r++) {
            int rows, cols;
            jt_config_shape(c, (jt_role)r, &rows, &cols);
            if (rows < 0 || cols < 0) abort();
        }
    }
    free(c);
    return 0;
}
