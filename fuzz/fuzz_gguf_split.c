/* Any bytes as the two files of a GGUF model in parts: the first four say how long the first is. Covers:
 * src/model/gguf_split.c */
#include <stdint.h>
#include <stdlib.h>

#include "model/gguf_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    jt_gguf *a = NULL, *b = NULL;
    jt_error e = {0};
    size_t count;
    if (n < 4) return 0;
    size_t first = (size_t)jt_gguf_le(data, 4), all = n - 4;
    if (first > all) first = all;
    if (!jt_gguf_parse(data + 4, first, &a, &e) && !jt_gguf_parse(data + 4 + first, all - first, &b, &e)) {
        (void)jt_gguf_split_count(a, &count, &e);
        e.message[0] = 0;
        if (jt_gguf_join(a, &b, 1, &e)) {
            if (!e.message[0]) abort();
        } else {
            b = NULL;
            for (size_t i = 0; i < jt_gguf_tensors(a); i++) {
                const jt_gguf_tensor *t = jt_gguf_tensor_at(a, i);
                if (jt_gguf_tensor_named(a, t->name) != t) abort();
                if (t->data && (t->data < data || t->bytes > (uint64_t)(data + n - t->data))) abort();
            }
        }
    }
    jt_gguf_free(a), jt_gguf_free(b);
    return 0;
}
