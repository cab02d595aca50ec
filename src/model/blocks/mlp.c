/* mlp.c: down(act(up(x))), the MLP of the first transformers (Vaswani et al. 2017, arXiv 1706.03762). */
#include "model/network.h"

static jt_val mlp_build(jt_net *n, int layer, jt_role role, jt_val x) {
    (void)role;
    jt_val up = jt_net_linear_biased(n, layer, JT_W_UP, JT_W_UP_BIAS, x);
    return jt_net_linear_biased(n, layer, JT_W_DOWN, JT_W_DOWN_BIAS, jt_net_activate(n, layer, up, JT_NOVAL));
}

const jt_entry jt_entry_mlp = {.name = "mlp",
                               .roles = (uint64_t)1 << JT_W_UP | (uint64_t)1 << JT_W_DOWN | (uint64_t)1 << JT_W_UP_BIAS |
                                        (uint64_t)1 << JT_W_DOWN_BIAS,
                               .build = mlp_build};
