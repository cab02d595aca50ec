/* experts.h: what a router chose, and the order of rows by expert that follows from it.
 *
 * A route is a value of width 2 k: the indexes of the k chosen experts, ascending, as floats (exact), then their weights.
 * The products of a layer's experts lie by *place*: all rows that chose the first expert, ascending, then those of the
 * next; a value of k * width columns a row holds them as [rows * k places][width]. The order follows from the routes
 * alone, so every operator, and every thread, makes it anew. */
#ifndef JT_TENSOR_OPS_EXPERTS_H
#define JT_TENSOR_OPS_EXPERTS_H

#include "tensor/op.h"

typedef struct jt_expert_order {
    int experts, k;
    int32_t *start; /* [experts + 1]: the places of an expert */
    int32_t *at;    /* [rows * k]: the place of choice j of row r, at r * k + j */
    int32_t *row;   /* [rows * k]: the row of a place */
} jt_expert_order;

/* Bytes of memory for an order; and making it there. */
size_t jt_expert_order_bytes(int rows, int k, int experts);
void jt_expert_order_make(jt_expert_order *o, const float *route, int rows, int k, int experts, void *memory);

#endif
