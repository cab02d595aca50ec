/* latent.c: parts of rows that latent attention is made of (DeepSeek-V2, arXiv 2405.04434). */
#include <string.h>

#include "tensor/op.h"

static void latent_split_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    const float *x = jt_env_f32(e, n->in[0]), *p = jt_env_f32(e, n->in[1]);
    float *k = jt_env_f32(e, n->out[0]), *v = jt_env_f32(e, n->out[1]);
    size_t heads = (size_t)n->i[0], nope = (size_t)n->i[1], rot = (size_t)n->i[2], vdim = (size_t)n->i[3];
    size_t shared = (size_t)e->list->value[n->in[1]].width;
    int first, end;
    jt_share_rows(s, jt_env_rows(e, n->in[0]), &first, &end);
    for (size_t i = (size_t)first * heads; i < (size_t)end * heads; i++) {
        const float *from = x + i * (nope + vdim), *turned = p + (i / heads + 1) * shared - rot;
        memcpy(k + i * (nope + rot), from, nope * sizeof *k);
        memcpy(k + i * (nope + rot) + nope, turned, rot * sizeof *k);
        memcpy(v + i * vdim, from + nope, vdim * sizeof *v);
    }
}

static void columns_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    size_t from = (size_t)e->list->value[n->in[0]].width, width = (size_t)e->list->value[n->out[0]].width;
    const float *x = jt_env_f32(e, n->in[0]) + n->i[0];
    float *y = jt_env_f32(e, n->out[0]);
    int first, end;
    jt_share_rows(s, jt_env_rows(e, n->in[0]), &first, &end);
    for (size_t r = (size_t)first; r < (size_t)end; r++) memcpy(y + r * width, x + r * from, width * sizeof *y);
}

const jt_op jt_op_latent_split = {.name = "latent-split", .split = JT_SPLIT_ROWS, .forward = latent_split_forward};
const jt_op jt_op_columns = {.name = "columns", .split = JT_SPLIT_ROWS, .forward = columns_forward};
