#include "model/network.h"

/* Maps that have their input in common; all their low-rank rows are made at once, before the first product. */
static const uint64_t network_common[] = {
    (uint64_t)1 << JT_W_Q | (uint64_t)1 << JT_W_K | (uint64_t)1 << JT_W_V,
    (uint64_t)1 << JT_W_GATE | (uint64_t)1 << JT_W_UP,
};

/* The low-rank row of an adapter for role r; JT_NOVAL where the list has none. */
static jt_val network_lora_down(jt_net *n, int layer, jt_role r, jt_val x) {
    if (!n->lora_rank || !(n->lora_roles >> r & 1)) return JT_NOVAL;
    uint64_t roles = (uint64_t)1 << r;
    for (size_t i = 0; i < sizeof network_common / sizeof *network_common; i++)
        if (network_common[i] >> r & 1) roles = network_common[i] & n->lora_roles;
    if (n->lora_from != x) n->lora_from = x, n->lora_made = 0;
    for (int k = 0; k < JT_W_ROLES; k++) {
        if (!((roles & ~n->lora_made) >> k & 1)) continue;
        jt_opnode *p = jt_list_node(n->list, &jt_op_lora_down, layer);
        p->in[0] = x;
        p->i[0] = (int32_t)jt_net_ref_index(layer, (jt_role)k);
        n->lora_low[k] = p->out[0] = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, n->lora_rank);
    }
    n->lora_made |= roles;
    return n->lora_low[r];
}

static jt_val network_lora_up(jt_net *n, int layer, jt_role r, jt_val y, jt_val t, int width) {
    jt_opnode *p = jt_list_node(n->list, &jt_op_lora_up, layer);
    p->in[0] = y, p->in[1] = t;
    p->i[0] = (int32_t)jt_net_ref_index(layer, r);
    return p->out[0] = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, width);
}

jt_val jt_net_linear(jt_net *n, int layer, jt_role r, jt_val x) {
    jt_ref ref = n->ref[jt_net_ref_index(layer, r)];
    const jt_matrix *m = &n->weights->w[ref.tensor].matrix;
    jt_val t = network_lora_down(n, layer, r, x);
    if (n->int8 && m->format->quantised) {
        if (n->act_from != x) {
            jt_opnode *q = jt_list_node(n->list, &jt_op_quantise, layer);
            q->in[0] = x;
            q->out[0] = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_ACT, m->cols);
            n->act_from = x, n->act = q->out[0];
        }
        x = n->act;
    }
    jt_opnode *p = jt_list_node(n->list, &jt_op_matmul, layer);
    p->in[0] = x;
    p->weight[0] = ref;
    jt_val y = p->out[0] = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, m->rows);
    return t == JT_NOVAL ? y : network_lora_up(n, layer, r, y, t, m->rows);
}

jt_val jt_net_add(jt_net *n, int layer, jt_val a, jt_val b) {
    jt_opnode *p = jt_list_node(n->list, &jt_op_add, layer);
    p->in[0] = a, p->in[1] = b;
    p->out[0] = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, n->config->hidden);
    return p->out[0];
}

jt_val jt_net_scale(jt_net *n, int layer, jt_rows rows, jt_val x, float by) {
    if (by == 1 || x == JT_NOVAL || n->list->status) return x;
    jt_val y = jt_list_value(n->list, rows, JT_ELEM_F32, n->list->value[x].width);
    jt_opnode *p = jt_list_node(n->list, &jt_op_scale, layer);
    p->in[0] = x, p->out[0] = y;
    p->f[0] = by;
    return y;
}

jt_val jt_net_tap(jt_net *n, int layer, jt_site site, jt_val x) {
    if (!n->taps || x == JT_NOVAL || n->list->status) return x;
    jt_val y = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, n->list->value[x].width);
    jt_opnode *p = jt_list_node(n->list, &jt_op_tap, layer);
    p->in[0] = x, p->out[0] = y;
    p->i[0] = (int32_t)site;
    return y;
}

static jt_status network_end(jt_net *n, jt_val x, jt_val *final, jt_error *err) {
    x = n->config->family->final_norm->build(n, -1, JT_W_FINAL_NORM, x);
    *final = jt_net_scale(n, -1, JT_ROWS_WANTED, x, 1 / n->config->logit_scale);
    if (!n->list->status) n->list->value[*final].keep = true;
    if (n->fuse) jt_list_fuse(n->list);
    return jt_list_plan(n->list, err);
}

jt_status jt_network_build(jt_net *n, bool residual, jt_val *final, jt_error *err) {
    const jt_config *c = n->config;
    jt_list *l = n->list;
    n->act_from = n->act = n->lora_from = JT_NOVAL;
    if (c->rope_dims) {
        jt_opnode *t = jt_list_node(l, &jt_op_rope_table, -1);
        t->i[0] = c->rope_dims;
        n->rope = t->out[0] = jt_list_value(l, JT_ROWS_ALL, JT_ELEM_F32, c->rope_dims);
    }
    jt_opnode *e = jt_list_node(l, &jt_op_embed, -1);
    e->weight[0] = n->ref[JT_W_EMBED];
    e->f[0] = c->embed_scale;
    jt_val x = e->out[0] = jt_list_value(l, JT_ROWS_ALL, JT_ELEM_F32, c->hidden);
    for (int i = 0; i < c->layers && !l->status; i++) {
        const jt_block *b = jt_config_block(c, i);
        x = jt_net_tap(n, i, JT_SITE_RESIDUAL, x);
        if (residual) jt_list_export(l, x, JT_SITE_RESIDUAL, i);
        size_t border = l->n_node;
        jt_val y = b->mixer->build(n, i, JT_W_ROLES, b->mixer_norm->build(n, i, JT_W_ATTN_NORM, x));
        y = jt_net_scale(n, i, JT_ROWS_ALL, y, c->residual_scale);
        x = jt_net_add(n, i, x, jt_net_tap(n, i, JT_SITE_ATTENTION, y));
        y = b->mlp->build(n, i, JT_W_ROLES, b->mlp_norm->build(n, i, JT_W_FFN_NORM, x));
        y = jt_net_scale(n, i, JT_ROWS_ALL, y, c->residual_scale);
        x = jt_net_add(n, i, x, jt_net_tap(n, i, JT_SITE_MLP, y));
        if (!l->status) l->node[border].recompute = true;
    }
    x = jt_net_tap(n, c->layers, JT_SITE_RESIDUAL, x);
    if (residual) jt_list_export(l, x, JT_SITE_RESIDUAL, c->layers);
    jt_opnode *g = jt_list_node(l, &jt_op_gather, -1);
    g->in[0] = x;
    jt_val y = g->out[0] = jt_list_value(l, JT_ROWS_WANTED, JT_ELEM_F32, c->hidden);
    return network_end(n, y, final, err);
}

jt_status jt_network_build_end(jt_net *n, jt_val *final, jt_error *err) {
    jt_val y = jt_list_value(n->list, JT_ROWS_WANTED, JT_ELEM_F32, n->config->hidden);
    jt_list_node(n->list, &jt_op_vectors, -1)->out[0] = y;
    return network_end(n, y, final, err);
}
