/* attention.c: rotary attention with grouped key-value heads (Ainslie et al. 2023, arXiv 2305.13245); biases, and norms of
 * queries and keys (Dehghani et al. 2023, arXiv 2302.05442), where the model has them. */
#include "model/network.h"

static jt_val block_attention_rotate(jt_net *n, const jt_op *op, int layer, jt_val x, int heads, bool keys) {
    const jt_config *c = n->config;
    bool rotates = jt_config_rotates(c, layer);
    int rope = jt_config_rope(c, layer);
    if (!rotates && op != &jt_op_select) return x;
    jt_val y = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, heads * c->head_dim);
    jt_opnode *p = jt_list_node(n->list, op, layer);
    p->in[0] = x, p->in[1] = op == &jt_op_select ? JT_NOVAL : n->rope[rope];
    p->i[0] = heads, p->i[1] = c->head_dim, p->i[2] = rotates ? c->rope_dims : 0, p->i[3] = c->rope_interleaved, p->i[4] = keys;
    p->i[5] = rope;
    return p->out[0] = y;
}

static void block_attention_write(jt_net *n, int layer, jt_val k, jt_val v) {
    jt_opnode *w = jt_list_node(n->list, &jt_op_page_write, layer);
    w->in[0] = k, w->in[1] = v;
}

/* The norm of queries or keys. */
static jt_val block_attention_norm(jt_net *n, int layer, jt_role role, jt_val x, int heads) {
    const jt_config *c = n->config;
    if (c->qk_norm == JT_QK_PLAIN) return x;
    jt_val y = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, heads * c->head_dim);
    const jt_op *op = c->qk_norm == JT_QK_EACH ? &jt_op_head_layer_norm : &jt_op_head_norm;
    if (c->qk_norm == JT_QK_WHOLE) op = &jt_op_rms_norm;
    jt_opnode *p = jt_list_node(n->list, op, layer);
    p->in[0] = x;
    p->i[0] = heads;
    p->f[0] = c->norm_eps;
    p->weight[0] = n->ref[jt_net_ref_index(layer, role)];
    return p->out[0] = y;
}

static jt_val block_attention_clip(jt_net *n, int layer, jt_val x) {
    if (!(n->config->qkv_clip > 0)) return x;
    jt_val y = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, jt_net_width(n, x));
    jt_opnode *p = jt_list_node(n->list, &jt_op_clamp, layer);
    p->in[0] = x;
    p->f[0] = n->config->qkv_clip;
    return p->out[0] = y;
}

static jt_val attention_build(jt_net *n, int layer, jt_role role, jt_val x) {
    const jt_config *c = n->config;
    const jt_op *rope = n->keys ? &jt_op_rope_keys : &jt_op_rope;
    (void)role;
    jt_val q = jt_net_linear_biased(n, layer, JT_W_Q, JT_W_Q_BIAS, x), k = jt_net_linear_biased(n, layer, JT_W_K, JT_W_K_BIAS, x);
    jt_val v = jt_net_linear_biased(n, layer, JT_W_V, JT_W_V_BIAS, x);
    q = block_attention_norm(n, layer, JT_W_Q_NORM, q, c->heads), k = block_attention_norm(n, layer, JT_W_K_NORM, k, c->kv_heads);
    q = block_attention_clip(n, layer, q), k = block_attention_clip(n, layer, k), v = block_attention_clip(n, layer, v);
    if (n->keys) { /* keys are chosen by queries before the rotation, among all keys */
        block_attention_write(n, layer, block_attention_rotate(n, rope, layer, k, c->kv_heads, true), v);
        q = block_attention_rotate(n, &jt_op_select, layer, q, c->heads, false);
    }
    q = jt_net_tap(n, layer, JT_SITE_QUERY, block_attention_rotate(n, rope, layer, q, c->heads, false));
    if (!n->keys) block_attention_write(n, layer, block_attention_rotate(n, rope, layer, k, c->kv_heads, true), v);
    jt_val y = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, c->heads * c->head_dim);
    jt_opnode *a = jt_list_node(n->list, &jt_op_attention, layer);
    a->in[0] = q;
    a->i[0] = c->heads, a->i[1] = jt_config_window(c, layer), a->i[2] = jt_config_rotates(c, layer) ? c->rope_dims : 0;
    a->i[3] = c->rope_interleaved, a->i[4] = jt_config_rope(c, layer);
    a->f[0] = c->attn_scale, a->f[1] = c->attn_cap;
    a->weight[0] = n->ref[jt_net_ref_index(layer, JT_W_SINKS)],
    a->i[7] = (jt_net_has(n->ref, layer, JT_W_SINKS) ? JT_ATTENTION_SINKS : 0) | (c->encoder ? JT_ATTENTION_AHEAD : 0);
    a->out[0] = y;
    return jt_net_linear_biased(n, layer, JT_W_O, JT_W_O_BIAS, jt_net_tap(n, layer, JT_SITE_HEADS, y));
}

const jt_entry jt_entry_attention = {.name = "attention",
                                     .state = JT_STATE_PAGED,
                                     .roles = (uint64_t)1 << JT_W_Q | (uint64_t)1 << JT_W_K | (uint64_t)1 << JT_W_V |
                                              (uint64_t)1 << JT_W_Q_BIAS | (uint64_t)1 << JT_W_K_BIAS | (uint64_t)1 << JT_W_V_BIAS |
                                              (uint64_t)1 << JT_W_Q_NORM | (uint64_t)1 << JT_W_K_NORM | (uint64_t)1 << JT_W_O |
                                              (uint64_t)1 << JT_W_O_BIAS | (uint64_t)1 << JT_W_SINKS,
                                     .build = attention_build};
