/* layer_norm.c: the normaliser with a mean and, where the model has one, a bias (Ba et al. 2016, arXiv 1607.06450). */
#include "model/network.h"

static jt_val layer_norm_build(jt_net *n, int layer, jt_role role, jt_val x) {
    jt_opnode *p = jt_list_node(n->list, &jt_op_layer_norm, layer);
    p->in[0] = x;
    p->f[0] = n->config->norm_eps;
    p->weight[0] = n->ref[jt_net_ref_index(layer, role)];
    p->weight[1] = n->ref[jt_net_ref_index(layer, (jt_role)(role + 1))];
    p->out[0] = jt_list_value(n->list, role == JT_W_FINAL_NORM ? JT_ROWS_WANTED : n->rows, JT_ELEM_F32, n->config->hidden);
    return p->out[0];
}

const jt_entry jt_entry_layer_norm = {.name = "layer-norm", .biased = true, .build = layer_norm_build};
