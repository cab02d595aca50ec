/* Any bytes as a model's config.json. Covers: src/model/config.c src/model/config_hf.c src/model/config_json.c */
#include <stdint.h>
#include <stdlib.h>

#include "model/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    jt_json *j = NULL;
    jt_config *c = calloc(1, sizeof *c);
    jt_error e = {0};
    if (!c) abort();
    if (!jt_json_parse((const char *)data, n, &j, &e)) {
        if (jt_config_from_hf(j, c, &e)) {
            if (!e.message[0]) abort();
        } else {
            if (c->layers < 1 || c->layers > JT_CONFIG_LAYERS || c->kv_heads < 1) abort();
            for (int r = 0; r < JT_W_ROLES; r++) {
                int rows, cols;
                jt_config_shape(c, (jt_role)r, &rows, &cols);
                if (rows < 0 || cols < 0) abort();
            }
        }
    }
    jt_json_free(j);
    free(c);
    return 0;
}
