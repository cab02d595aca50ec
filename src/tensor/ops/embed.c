/* embed.c: what enters the first layer: a row of the embedding table, expanded
 * exactly; a mixture of rows, one chain of fused multiply-adds in the order given; or
 * a vector as it is. Some families multiply what comes from the table by a number,
 * or add the row of a learned table of positions (Vaswani et al. 2017, arXiv 1706.03762), or of token types (Devlin et al.
 * 2018, arXiv 1810.04805). */
#include <math.h>
#include <string.h>

#include "tensor/op.h"

static void op_embed_mixture(const jt_matrix *m, const jt_env_input *in, float *row, float *x) {
    size_t width = (size_t)m->cols;
    memset(x, 0, width * sizeof *x);
    for (int i = 0; i < in->n; i++) {
        jt_matrix_row(m, in->id[i], row);
        for (size_t j = 0; j < width; j++) x[j] = fmaf(in->w[i], row[j], x[j]);
    }
}

static void op_embed_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    const jt_matrix *m = &e->set[n->weight[0].set]->w[n->weight[0].tensor].matrix;
    float *x = jt_env_f32(e, n->out[0]);
    size_t width = (size_t)m->cols;
    int first, end;
    jt_share_rows(s, jt_env_rows(e, n->out[0]), &first, &end);
    for (int r = first; r < end; r++) {
        const jt_env_input *in = &e->input[r];
        float *to = x + (size_t)r * width;
        if (!in->n) {
            memcpy(to, in->vec, width * sizeof *to);
            continue;
        }
        if (in->w)
            op_embed_mixture(m, in, s->scratch, to);
        else
            jt_matrix_row(m, in->id[0], to);
        for (size_t j = 0; n->f[0] != 0 && n->f[0] != 1 && j < width; j++) to[j] *= n->f[0];
    }
}

static size_t op_embed_scratch(const jt_env *e, const jt_opnode *n) {
    return (size_t)e->set[n->weight[0].set]->w[n->weight[0].tensor].matrix.cols * sizeof(float);
}

static void op_embed_position(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    const jt_matrix *m = &e->set[n->weight[0].set]->w[n->weight[0].tensor].matrix;
    const float *x = jt_env_f32(e, n->in[0]);
    float *y = jt_env_f32(e, n->out[0]), *row = s->scratch;
    size_t width = (size_t)m->cols;
    int first, end;
    jt_share_rows(s, jt_env_rows(e, n->out[0]), &first, &end);
    for (int r = first; r < end; r++) {
        jt_matrix_row(m, n->i[0] ? e->type[r] : e->position[r], row);
        e->engine->kernels->add(x + (size_t)r * width, row, m->cols, y + (size_t)r * width);
    }
}

const jt_op jt_op_position = {
    .name = "position", .split = JT_SPLIT_ROWS, .alias_in = 1, .forward = op_embed_position, .scratch = op_embed_scratch};
const jt_op jt_op_embed = {.name = "embed", .split = JT_SPLIT_ROWS, .forward = op_embed_forward, .scratch = op_embed_scratch};
