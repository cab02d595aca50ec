/* gated_mlp.c: down(silu(gate(x)) * up(x)) (Shazeer 2020, arXiv 2002.05202). */
#include "model/network.h"

static jt_val gated_mlp_build(jt_net *n, int layer, jt_role role, jt_val x) {
    (void)role;
    jt_val gate = jt_net_linear(n, layer, JT_W_GATE, x), up = jt_net_linear(n, layer, JT_W_UP, x);
    jt_val y = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, n->config->ffn);
    jt_opnode *p = jt_list_node(n->list, &jt_op_swiglu, layer);
    p->in[0] = gate, p->in[1] = up;
    p->out[0] = y;
    return jt_net_linear(n, layer, JT_W_DOWN, y);
}

const jt_entry jt_entry_gated_mlp = {
    .name = "gated-mlp", .roles = (uint64_t)1 << JT_W_GATE | (uint64_t)1 << JT_W_UP | (uint64_t)1 << JT_W_DOWN, .build = gated_mlp_build};
