/* rope.c: rotary positions (Su et al. 2021, arXiv 2104.09864): the table of cosines and
 * sines of each row's position, and the rotation of heads by it. */
#include <string.h>

#include "tensor/ops/key_list.h"
#include "tensor/scalar_math.h"

void jt_rope_turn(const jt_env_rope *rope, int half, int position, float *c, float *s) {
    for (int i = 0; i < half; i++) {
        double sine, cosine;
        jt_sincos((double)((float)position * rope->inv_freq[i]), &sine, &cosine);
        c[i] = (float)cosine * rope->by, s[i] = (float)sine * rope->by;
    }
}

static void op_rope_table(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    int half = n->i[0] / 2, first, end;
    float *t = jt_env_f32(e, n->out[0]);
    jt_share_rows(s, jt_env_rows(e, n->out[0]), &first, &end);
    for (int r = first; r < end; r++) {
        float *c = t + (size_t)r * 2 * (size_t)half;
        jt_rope_turn(&e->seq[e->row_seq[r]].rope[n->i[1]], half, e->position[r], c, c + half);
    }
}

/* Row r of the output, with what the input has there. */
static float *rope_row(const float *x, float *y, size_t width, int r) {
    float *row = y + (size_t)r * width;
    const float *from = x + (size_t)r * width;
    if (row != from) memcpy(row, from, width * sizeof *row);
    return row;
}

static void rope_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    const float *x = jt_env_f32(e, n->in[0]), *t = jt_env_f32(e, n->in[1]);
    float *y = jt_env_f32(e, n->out[0]);
    int heads = n->i[0], dim = n->i[1], rot = n->i[2], first, end;
    size_t width = (size_t)heads * (size_t)dim;
    jt_share_rows(s, jt_env_rows(e, n->in[0]), &first, &end);
    for (int r = first; r < end; r++) {
        const float *c = t + (size_t)r * (size_t)rot;
        float *row = rope_row(x, y, width, r);
        e->engine->kernels->rope(row + n->i[6], heads, dim, rot, n->i[3], c, c + rot / 2);
    }
}

/* Query heads of one row, each key-value head's by where its list puts the row. */
static void rope_queries(const jt_env *e, const jt_opnode *n, int r, float *row, const float *own, float *scratch) {
    int group = n->i[0] / e->kv->heads, dim = n->i[1], rot = n->i[2];
    for (int h = 0; h < e->kv->heads; h++) {
        jt_key_list l = jt_key_list_of(e, r, n->layer, h);
        float *x = row + (size_t)h * (size_t)group * (size_t)dim + n->i[6];
        if (l.renumber)
            jt_turn(e, &e->seq[e->row_seq[r]].rope[n->i[5]], rot, n->i[3], jt_key_list_place(&l, e->depth[r]), x, group, scratch);
        else
            e->engine->kernels->rope(x, group, dim, rot, n->i[3], own, own + rot / 2);
    }
}

static void rope_keys_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    const float *x = jt_env_f32(e, n->in[0]), *t = jt_env_f32(e, n->in[1]);
    float *y = jt_env_f32(e, n->out[0]);
    int heads = n->i[0], dim = n->i[1], rot = n->i[2], first, end;
    size_t width = (size_t)heads * (size_t)dim;
    jt_share_rows(s, jt_env_rows(e, n->in[0]), &first, &end);
    for (int r = first; r < end; r++) {
        const float *c = t + (size_t)r * (size_t)rot;
        float *row = rope_row(x, y, width, r);
        if (!e->keys[r].raw)
            e->engine->kernels->rope(row + n->i[6], heads, dim, rot, n->i[3], c, c + rot / 2);
        else if (!n->i[4])
            rope_queries(e, n, r, row, c, s->scratch);
    }
}

static size_t rope_keys_scratch(const jt_env *e, const jt_opnode *n) {
    (void)e;
    return (size_t)n->i[2] * sizeof(float);
}

const jt_op jt_op_rope_table = {.name = "rope-table", .split = JT_SPLIT_ROWS, .forward = op_rope_table};
const jt_op jt_op_rope = {.name = "rope", .split = JT_SPLIT_ROWS, .alias_in = 1, .forward = rope_forward};
const jt_op jt_op_rope_keys = {
    .name = "rope-keys", .split = JT_SPLIT_ROWS, .alias_in = 1, .forward = rope_keys_forward, .scratch = rope_keys_scratch};
