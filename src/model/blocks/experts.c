/* experts.c: a mixture of experts in place of the MLP (Shazeer et al. 2017, arXiv 1701.06538): a router chooses a few gated
 * MLPs for each row and weighs what they give; beside them, in some families, one that every row goes to (DeepSeekMoE:
 * arXiv 2401.06066). */
#include "model/network.h"

/* Logits of a router, in float32 whatever the mode. */
static jt_val experts_logits(jt_net *n, int layer, jt_role role, jt_val x, int width) {
    jt_opnode *p = jt_list_node(n->list, &jt_op_matmul, layer);
    p->in[0] = x;
    p->weight[0] = n->ref[jt_net_ref_index(layer, role)];
    return p->out[0] = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, width);
}

/* The router's choice. */
static jt_val experts_route(jt_net *n, int layer, jt_val x) {
    const jt_router *r = &n->config->router;
    jt_val z = experts_logits(n, layer, JT_W_ROUTER, x, r->experts);
    jt_opnode *p = jt_list_node(n->list, &jt_op_route, layer);
    p->in[0] = z;
    p->weight[0] = n->ref[jt_net_ref_index(layer, JT_W_ROUTER_BIAS)];
    p->weight[1] = n->ref[jt_net_ref_index(layer, JT_W_ROUTER_CHOICE)];
    p->i[0] = r->used, p->i[1] = r->rule, p->i[2] = r->normalise, p->i[3] = r->groups, p->i[4] = r->groups_used, p->i[5] = r->two;
    p->f[0] = r->scale;
    return p->out[0] = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, 2 * r->used);
}

/* Products of rows, or of rows by place, with the experts' weights of a role. */
static jt_val experts_linear(jt_net *n, int layer, jt_role role, jt_role bias, jt_val x, jt_val route, bool placed) {
    const jt_router *r = &n->config->router;
    jt_ref ref = n->ref[jt_net_ref_index(layer, role)];
    const jt_matrix *m = &n->weights->w[ref.tensor].matrix;
    x = jt_net_rounded(n, layer, m, x);
    jt_opnode *p = jt_list_node(n->list, &jt_op_experts, layer);
    p->in[0] = x, p->in[1] = route;
    p->weight[0] = ref, p->weight[1] = n->ref[jt_net_ref_index(layer, bias)];
    p->i[0] = r->used, p->i[1] = r->experts, p->i[2] = placed;
    return p->out[0] = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, r->used * m->rows);
}

static jt_val experts_gate(jt_net *n, int layer, jt_val gate, jt_val up) {
    const jt_config *c = n->config;
    if (c->glu_limit <= 0) return jt_net_activate(n, layer, gate, up);
    jt_opnode *p = jt_list_node(n->list, &jt_op_swiglu_clamped, layer);
    p->in[0] = gate, p->in[1] = up;
    p->f[0] = c->glu_alpha, p->f[1] = c->glu_limit;
    return p->out[0] = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, jt_net_width(n, gate));
}

static jt_val experts_build(jt_net *n, int layer, jt_role role, jt_val x) {
    const jt_config *c = n->config;
    (void)role;
    jt_val route = experts_route(n, layer, x);
    jt_val gate_of_shared = c->shared_gate ? experts_logits(n, layer, JT_W_S_ROUTER, x, 1) : JT_NOVAL;
    jt_val gate = experts_linear(n, layer, JT_W_X_GATE, JT_W_X_GATE_BIAS, x, route, false);
    jt_val up = experts_linear(n, layer, JT_W_X_UP, JT_W_X_UP_BIAS, x, route, false);
    jt_val shared_gate = JT_NOVAL, shared_up = JT_NOVAL;
    if (c->shared_ffn) shared_gate = jt_net_linear(n, layer, JT_W_S_GATE, x), shared_up = jt_net_linear(n, layer, JT_W_S_UP, x);
    jt_val y = experts_linear(n, layer, JT_W_X_DOWN, JT_W_X_DOWN_BIAS, experts_gate(n, layer, gate, up), route, true);
    jt_opnode *p = jt_list_node(n->list, &jt_op_experts_sum, layer);
    p->in[0] = y, p->in[1] = route;
    p->i[0] = c->router.used, p->i[1] = c->router.experts;
    y = p->out[0] = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, c->hidden);
    if (!c->shared_ffn) return y;
    jt_val shared = jt_net_linear(n, layer, JT_W_S_DOWN, jt_net_activate(n, layer, shared_gate, shared_up));
    if (!c->shared_gate) return jt_net_add(n, layer, y, shared);
    p = jt_list_node(n->list, &jt_op_add_gated, layer);
    p->in[0] = y, p->in[1] = shared, p->in[2] = gate_of_shared;
    return p->out[0] = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, c->hidden);
}

#define BIT(role) ((uint64_t)1 << (role))
const jt_entry jt_entry_experts = {.name = "experts",
                                   .roles = BIT(JT_W_ROUTER) | BIT(JT_W_ROUTER_BIAS) | BIT(JT_W_ROUTER_CHOICE) | BIT(JT_W_X_GATE) |
                                            BIT(JT_W_X_UP) | BIT(JT_W_X_GATE_BIAS) | BIT(JT_W_X_UP_BIAS) | BIT(JT_W_X_DOWN) |
                                            BIT(JT_W_X_DOWN_BIAS) | BIT(JT_W_S_ROUTER) | BIT(JT_W_S_GATE) | BIT(JT_W_S_UP) |
                                            BIT(JT_W_S_DOWN),
                                   .build = experts_build};
#undef BIT
