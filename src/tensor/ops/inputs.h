/* inputs.h: what the operators of recurrent layers share: the inputs in the pages, and the convolution over them. */
#ifndef JT_TENSOR_OPS_INPUTS_H
#define JT_TENSOR_OPS_INPUTS_H

#include <string.h>

#include "tensor/op.h"

/* The inputs of a slot, of the layout's input type. */
static inline void *jt_input_at(const jt_env *e, const jt_env_seq *q, int layer, int slot) {
    return jt_buffer_at(q->page[slot / JT_TILE], jt_kv_layer_at(e->kv, layer) + (size_t)(slot % JT_TILE) * e->kv->row_bytes);
}

/* The convolution of a layer. */
typedef struct jt_conv_of {
    const float *w, *bias; /* [taps][width]; [width] or NULL */
    int layer, taps, width;
} jt_conv_of;

/* From the node's weights `at` and `at + 1`. */
static inline jt_conv_of jt_conv_make(const jt_env *e, const jt_opnode *n, int at, int taps) {
    jt_ref w = n->weight[at], b = n->weight[at + 1];
    const jt_weight *m = &e->set[w.set]->w[w.tensor];
    return (jt_conv_of){m->vector, b.tensor == JT_NO_TENSOR ? NULL : e->set[b.set]->w[b.tensor].vector, n->layer, taps,
                        m->matrix.cols / taps};
}

/* Outputs [first, first + n) of the node at `depth` of a path, in `slot`; the positions before it are those of its path that
 * ran the layer. `room` is for [taps][n] floats. */
void jt_conv_at(const jt_env *e, const jt_env_seq *q, const jt_conv_of *c, const jt_env_path *p, int depth, int slot, int first, int n,
                float *y, float *room);

#endif
