/* attention.h: what attention over whole paths and over lists of keys have in common. */
#ifndef JT_TENSOR_OPS_ATTENTION_H
#define JT_TENSOR_OPS_ATTENTION_H

#include "tensor/ops/key_list.h"

enum { JT_ATTENTION_ROWS = 16 }; /* rows of one work item */

/* Queries of an item, and those of them that meet one tile. */
struct jt_attention_work {
    const float **q;
    float **acc, *m, *l, *sum;
    const float **tile_q;
    float **tile_acc, *tile_m, *tile_l;
    uint32_t *visible, *tile_visible;
    const float **tile_bias;
    float *bias; /* [nq][JT_TILE] of the tile at hand, where taps give one */
    uint8_t *biased;
    int32_t *of;
    char *k, *v;          /* a gathered tile */
    float *raw_k, *raw_v; /* the same of raw keys, rotated: [dim][JT_TILE] and [JT_TILE][dim] */
    float *raw, *turn;    /* [dim] of one key, and of its position */
    uint16_t *half;
    const void *next_k, *next_v; /* of jt_attn_tile */
};

/* Sets up the queries of rows [r0, r1) and key-value head h and returns their number; and divides and writes at the end. */
int jt_attention_begin(const jt_env *e, const jt_opnode *n, struct jt_attention_work *w, int r0, int r1, int h);
void jt_attention_end(const jt_env *e, const jt_opnode *n, struct jt_attention_work *w, int nq, int r0, int h);
/* Lets the queries listed in w->of meet one tile. */
void jt_attention_meet(const jt_env *e, const jt_opnode *n, struct jt_attention_work *w, int got, jt_type type, const void *k,
                       const void *v);
/* Rows [r0, r1) of sequence q and key-value head h, by their lists. */
void jt_attention_list_item(const jt_env *e, const jt_opnode *n, struct jt_attention_work *w, const jt_env_seq *q, int r0, int r1, int h);

#endif
