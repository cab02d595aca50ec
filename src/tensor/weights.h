/* weights.h: sets of weight tensors, resolved by (set, tensor) to the version in force. */
#ifndef JT_TENSOR_WEIGHTS_H
#define JT_TENSOR_WEIGHTS_H

#include "jeton/status.h"
#include "tensor/pack.h"

/* Names a tensor inside a list of operators. */
typedef struct jt_ref {
    uint16_t set, tensor; /* tensor JT_NO_TENSOR: there is none */
} jt_ref;
enum { JT_NO_TENSOR = 0xffff };

typedef struct jt_weight {
    char *name;       /* as in the file; owned */
    uint64_t version; /* raised whenever the numbers change; packed copies belong to one version */
    uint64_t packed_version;
    jt_matrix matrix; /* data as in the file, and its packed copy */
    float *vector;    /* one-dimensional tensors as float32, owned; NULL for matrices */
} jt_weight;

typedef struct jt_weights {
    jt_weight *w;
    size_t n, cap;
} jt_weights;

/* Adds a matrix [rows][cols] (or a vector, rows = 1, vector = true: expanded to float32). `data` stays the file's. */
jt_status jt_weights_add(jt_weights *s, const char *name, const jt_format *f, int rows, int cols, bool vector, const void *data,
                         uint16_t *index, jt_error *err);
void jt_weights_free(jt_weights *s);

#endif
