/* rms_norm.c: the normaliser of Llama and most models after it. */
#include "model/network.h"

static jt_val rms_norm_build(jt_net *n, int layer, jt_role role, jt_val x) {
    jt_opnode *p = jt_list_node(n->list, &jt_op_rms_norm, layer);
    p->in[0] = x;
    p->f[0] = n->config->norm_eps;
    p->weight[0] = n->ref[jt_net_ref_index(layer, role)];
    p->out[0] = jt_list_value(n->list, role == JT_W_FINAL_NORM ? JT_ROWS_WANTED : JT_ROWS_ALL, JT_ELEM_F32, n->config->hidden);
    return p->out[0];
}

const jt_entry jt_entry_rms_norm = {.name = "rms-norm", .build = rms_norm_build};
