/* mamba2.c: the mixer of Mamba-2 (Dao and Gu 2024, arXiv 2405.21060): a projection to gate, input, B, C and step size; a
 * short convolution; a selective state space with a scalar decay per head; a gated norm. */
#include "model/network.h"

static jt_val mamba2_build(jt_net *n, int layer, jt_role role, jt_val x) {
    const jt_config *c = n->config;
    const jt_ref *ref = n->ref;
    int inner = jt_config_ssm_inner(c), conv = jt_config_ssm_conv(c), nth = 0;
    (void)role;
    for (int i = 0; i < layer; i++) nth += jt_config_recurrent(c, i);
    jt_val in = jt_net_linear(n, layer, JT_W_SSM_IN, x);
    jt_opnode *w = jt_list_node(n->list, &jt_op_input_write, layer);
    w->in[0] = in;
    w->i[0] = inner;
    jt_opnode *k = jt_list_node(n->list, &jt_op_conv, layer);
    k->weight[0] = ref[jt_net_ref_index(layer, JT_W_SSM_CONV)], k->weight[1] = ref[jt_net_ref_index(layer, JT_W_SSM_CONV_BIAS)];
    k->i[0] = c->ssm_taps;
    jt_val mixed = k->out[0] = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, conv);
    jt_opnode *r = jt_list_node(n->list, &jt_op_recurrence, layer);
    static const jt_role needs[] = {JT_W_SSM_A, JT_W_SSM_D, JT_W_SSM_DT_BIAS, JT_W_SSM_CONV, JT_W_SSM_CONV_BIAS};
    for (int i = 0; i < 5; i++) r->weight[i] = ref[jt_net_ref_index(layer, needs[i])];
    r->in[0] = mixed;
    r->i[0] = c->ssm_heads, r->i[1] = c->ssm_head_dim, r->i[2] = c->ssm_state, r->i[3] = c->ssm_groups, r->i[4] = c->ssm_taps,
    r->i[5] = nth;
    jt_val y = r->out[0] = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, inner);
    jt_opnode *g = jt_list_node(n->list, &jt_op_gated_norm, layer);
    g->in[0] = y, g->in[1] = in;
    g->i[0] = c->ssm_groups;
    g->f[0] = c->norm_eps;
    g->weight[0] = ref[jt_net_ref_index(layer, JT_W_SSM_NORM)];
    y = g->out[0] = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, inner);
    return jt_net_linear(n, layer, JT_W_SSM_OUT, y);
}

const jt_entry jt_entry_mamba2 = {.name = "mamba-2",
                                  .state = JT_STATE_RECURRENCE,
                                  .roles = (uint64_t)1 << JT_W_SSM_IN | (uint64_t)1 << JT_W_SSM_CONV | (uint64_t)1 << JT_W_SSM_CONV_BIAS |
                                           (uint64_t)1 << JT_W_SSM_DT_BIAS | (uint64_t)1 << JT_W_SSM_A | (uint64_t)1 << JT_W_SSM_D |
                                           (uint64_t)1 << JT_W_SSM_NORM | (uint64_t)1 << JT_W_SSM_OUT,
                                  .build = mamba2_build};
