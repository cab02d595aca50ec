/* Any bytes as an importance matrix, in either of its forms. Covers: src/model/imatrix.c */
#include <stdint.h>
#include <stdlib.h>

#include "model/imatrix.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    jt_imatrix *m = NULL;
    jt_error e = {0};
    if (jt_imatrix_parse(data, n, &m, &e)) {
        if (m || !e.message[0]) abort();
        return 0;
    }
    for (size_t i = 0; i < jt_imatrix_rows(m); i++) {
        const jt_imatrix_row *r = jt_imatrix_row_at(m, i);
        if (jt_imatrix_find(m, r->name) != r) abort();
        for (uint64_t k = 0; k < r->cols * r->experts; k++)
            if (!(r->mean[k] >= 0)) abort();
    }
    jt_imatrix_free(m);
    return 0;
}
