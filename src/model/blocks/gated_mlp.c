/* gated_mlp.c: down(act(gate(x)) * up(x)) (Shazeer 2020, arXiv 2002.05202). */
#include "model/network.h"

static jt_val gated_mlp_build(jt_net *n, int layer, jt_role role, jt_val x) {
    (void)role;
    jt_val gate = jt_net_linear_biased(n, layer, JT_W_GATE, JT_W_GATE_BIAS, x);
    jt_val up = jt_net_linear_biased(n, layer, JT_W_UP, JT_W_UP_BIAS, x);
    return jt_net_linear_biased(n, layer, JT_W_DOWN, JT_W_DOWN_BIAS, jt_net_activate(n, layer, gate, up));
}

const jt_entry jt_entry_gated_mlp = {.name = "gated-mlp",
                                     .roles = (uint64_t)1 << JT_W_GATE | (uint64_t)1 << JT_W_UP | (uint64_t)1 << JT_W_DOWN |
                                              (uint64_t)1 << JT_W_GATE_BIAS | (uint64_t)1 << JT_W_UP_BIAS | (uint64_t)1 << JT_W_DOWN_BIAS,
                                     .build = gated_mlp_build};
