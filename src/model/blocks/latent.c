/* latent.c: multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): keys and values come from a narrow row, but for a
 * rotated part of the key that all heads share; queries may come from a narrow row of their own. Keys and values of every
 * head are expanded and kept as those of other attention are. */
#include "model/network.h"

static jt_val latent_rotate(jt_net *n, const jt_op *op, int layer, jt_val x, int heads, int dim, bool keys) {
    const jt_config *c = n->config;
    jt_opnode *p = jt_list_node(n->list, op, layer);
    p->in[0] = x, p->in[1] = op == &jt_op_select ? JT_NOVAL : n->rope[0];
    p->i[0] = heads, p->i[1] = dim, p->i[2] = c->rope_dims, p->i[3] = c->rope_interleaved, p->i[4] = keys;
    p->i[6] = dim - c->rope_dims;
    return p->out[0] = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, heads * dim);
}

static jt_val latent_columns(jt_net *n, int layer, jt_val x, int first, int width) {
    jt_opnode *p = jt_list_node(n->list, &jt_op_columns, layer);
    p->in[0] = x;
    p->i[0] = first;
    return p->out[0] = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, width);
}

/* Keys and values of all heads, to the pages. */
static void latent_keys(jt_net *n, int layer, jt_val x) {
    const jt_config *c = n->config;
    int vdim = jt_config_value_dim(c);
    jt_val narrow = jt_net_linear(n, layer, JT_W_KV_A, x);
    jt_val turned = latent_columns(n, layer, narrow, c->kv_rank, c->rope_dims);
    turned = latent_rotate(n, n->keys ? &jt_op_rope_keys : &jt_op_rope, layer, turned, 1, c->rope_dims, true);
    jt_val normed = jt_net_rms_norm(n, layer, JT_W_KV_A_NORM, latent_columns(n, layer, narrow, 0, c->kv_rank), c->latent_eps);
    jt_val wide = jt_net_linear(n, layer, JT_W_KV_B, normed);
    jt_val k = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, c->heads * c->head_dim);
    jt_val v = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, c->heads * vdim);
    jt_opnode *p = jt_list_node(n->list, &jt_op_latent_split, layer);
    p->in[0] = wide, p->in[1] = turned;
    p->i[0] = c->heads, p->i[1] = c->rope_at, p->i[2] = c->rope_dims, p->i[3] = vdim;
    p->out[0] = k, p->out[1] = v;
    p = jt_list_node(n->list, &jt_op_page_write, layer);
    p->in[0] = k, p->in[1] = v;
}

static jt_val latent_queries(jt_net *n, int layer, jt_val x) {
    const jt_config *c = n->config;
    if (!c->q_rank) return jt_net_linear(n, layer, JT_W_Q, x);
    jt_val narrow = jt_net_linear(n, layer, JT_W_Q_A, x);
    return jt_net_linear(n, layer, JT_W_Q_B, jt_net_rms_norm(n, layer, JT_W_Q_A_NORM, narrow, c->latent_eps));
}

static jt_val latent_build(jt_net *n, int layer, jt_role role, jt_val x) {
    const jt_config *c = n->config;
    (void)role;
    latent_keys(n, layer, x);
    jt_val q = latent_queries(n, layer, x);
    if (n->keys) q = latent_rotate(n, &jt_op_select, layer, q, c->heads, c->head_dim, false);
    q = latent_rotate(n, n->keys ? &jt_op_rope_keys : &jt_op_rope, layer, q, c->heads, c->head_dim, false);
    q = jt_net_tap(n, layer, JT_SITE_QUERY, q);
    jt_opnode *a = jt_list_node(n->list, &jt_op_attention, layer);
    a->in[0] = q;
    a->i[0] = c->heads, a->i[1] = jt_config_window(c, layer), a->i[2] = c->rope_dims, a->i[3] = c->rope_interleaved, a->i[6] = c->rope_at;
    a->f[0] = c->attn_scale, a->f[1] = c->attn_cap;
    jt_val y = a->out[0] = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, c->heads * jt_config_value_dim(c));
    return jt_net_linear(n, layer, JT_W_O, jt_net_tap(n, layer, JT_SITE_HEADS, y));
}

#define BIT(role) ((uint64_t)1 << (role))
const jt_entry jt_entry_latent = {.name = "latent-attention",
                                  .state = JT_STATE_PAGED,
                                  .roles = BIT(JT_W_Q) | BIT(JT_W_Q_A) | BIT(JT_W_Q_A_NORM) | BIT(JT_W_Q_B) | BIT(JT_W_KV_A) |
                                           BIT(JT_W_KV_A_NORM) | BIT(JT_W_KV_B) | BIT(JT_W_O),
                                  .build = latent_build};
#undef BIT
