/* rope.c: rotary positions (Su et al. 2021, arXiv 2104.09864): the table of cosines and
 * sines of each row's position, and the rotation of heads by it. */
#include "tensor/op.h"
#include "tensor/scalar_math.h"

static void op_rope_table(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    int half = n->i[0] / 2, first, end;
    float *t = jt_env_f32(e, n->out[0]);
    jt_share_rows(s, jt_env_rows(e, n->out[0]), &first, &end);
    for (int r = first; r < end; r++) {
        float *c = t + (size_t)r * 2 * (size_t)half, *sn = c + half;
        for (int i = 0; i < half; i++) {
            double sine, cosine;
            jt_sincos((double)((float)e->position[r] * e->inv_freq[i]), &sine, &cosine);
            c[i] = (float)cosine, sn[i] = (float)sine;
        }
    }
}

static void rope_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    const float *x = jt_env_f32(e, n->in[0]), *t = jt_env_f32(e, n->in[1]);
    float *y = jt_env_f32(e, n->out[0]);
    int heads = n->i[0], dim = n->i[1], rot = n->i[2], first, end;
    size_t width = (size_t)heads * (size_t)dim;
    jt_share_rows(s, jt_env_rows(e, n->in[0]), &first, &end);
    for (int r = first; r < end; r++) {
        float *row = y + (size_t)r * width;
        const float *from = x + (size_t)r * width, *c = t + (size_t)r * (size_t)rot;
        if (row != from)
            for (size_t i = 0; i < width; i++) row[i] = from[i];
        e->engine->kernels->rope(row, heads, dim, rot, n->i[3], c, c + rot / 2);
    }
}

const jt_op jt_op_rope_table = {.name = "rope-table", .split = JT_SPLIT_ROWS, .forward = op_rope_table};
const jt_op jt_op_rope = {.name = "rope", .split = JT_SPLIT_ROWS, .alias_in = 1, .forward = rope_forward};
