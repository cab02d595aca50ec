/* Any bytes as an importance matrix, in either of its forms. Covers: src/model/imatrix.c */
#include <stdint.h>
#include <stdlib.h>

#include "model/convert.h"
#include "model/imatrix.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The weights of every row of a tensor of that name, as the conversion reads them. */
static void use(const jt_imatrix *m, const jt_imatrix_row *r, uint64_t cols, uint64_t experts) {
    jt_error e = {0};
    jt_convert_tensor t = {
        .name = r->name, .format = jt_format_of(JT_Q8_0), .cols = cols, .rows = 2 * experts, .expert_rows = experts > 1 ? 2 : 0};
    if (jt_imatrix_weights(m, &t, &e)) {
        if (!e.message[0]) abort();
        return;
    }
    for (uint64_t i = 0; i < t.rows; i++) {
        const float *w = t.weight + (t.expert_rows ? i / t.expert_rows * cols : 0);
        if (!(w[0] >= 0 && w[cols - 1] >= 0)) abort();
    }
}

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
        use(m, r, r->cols, r->experts);
        use(m, r, r->cols, 1);
        use(m, r, r->cols, 3);
        if (r->cols % 3 == 0) use(m, r, r->cols / 3, 3);
    }
    jt_imatrix_free(m);
    return 0;
}
