#include "model/network.h"

/* Maps that have their input in common; all their low-rank rows are made at once, before the first product. */
static const uint64_t network_common[] = {
    (uint64_t)1 << JT_W_Q | (uint64_t)1 << JT_W_K | (uint64_t)1 << JT_W_V,
    (uint64_t)1 << JT_W_GATE | (uint64_t)1 << JT_W_UP,
    (uint64_t)1 << JT_W_S_GATE | (uint64_t)1 << JT_W_S_UP,
};

/* The low-rank row of an adapter for role r; JT_NOVAL where the list has none. */
static jt_val network_lora_down(jt_net *n, int layer, jt_role r, jt_val x) {
    if (!n->lora_rank || r >= JT_W_TAIL || !(n->lora_roles >> r & 1)) return JT_NOVAL;
    uint64_t roles = (uint64_t)1 << r;
    for (size_t i = 0; i < sizeof network_common / sizeof *network_common; i++)
        if (network_common[i] >> r & 1) roles = network_common[i] & n->lora_roles;
    if (n->lora_from != x) n->lora_from = x, n->lora_made = 0;
    for (int k = 0; k < JT_W_TAIL; k++) {
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

jt_val jt_net_rounded(jt_net *n, int layer, const jt_matrix *m, jt_val x) {
    if (!n->bf16 && !(n->int8 && m->format->quantised)) return x;
    if (n->act_from != x) {
        jt_opnode *q = jt_list_node(n->list, &jt_op_quantise, layer);
        q->in[0] = x;
        q->out[0] = jt_list_value(n->list, n->rows, n->bf16 ? JT_ELEM_BF16 : JT_ELEM_ACT, jt_net_width(n, x));
        n->act_from = x, n->act = q->out[0];
    }
    return n->act;
}

jt_val jt_net_rms_norm(jt_net *n, int layer, jt_role r, jt_val x, float eps) {
    jt_opnode *p = jt_list_node(n->list, &jt_op_rms_norm, layer);
    p->in[0] = x;
    p->weight[0] = n->ref[jt_net_ref_index(layer, r)];
    p->f[0] = eps;
    return p->out[0] = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, jt_net_width(n, x));
}

jt_val jt_net_linear(jt_net *n, int layer, jt_role r, jt_val x) { return jt_net_linear_biased(n, layer, r, JT_W_ROLES, x); }

jt_val jt_net_linear_biased(jt_net *n, int layer, jt_role r, jt_role bias, jt_val x) {
    jt_ref ref = n->ref[jt_net_ref_index(layer, r)];
    const jt_matrix *m = &n->weights->w[ref.tensor].matrix;
    jt_val t = network_lora_down(n, layer, r, x);
    x = jt_net_rounded(n, layer, m, x);
    jt_opnode *p = jt_list_node(n->list, &jt_op_matmul, layer);
    p->in[0] = x;
    p->weight[0] = ref;
    if (bias != JT_W_ROLES && jt_net_has(n->ref, layer, bias)) p->i[0] = 1, p->weight[1] = n->ref[jt_net_ref_index(layer, bias)];
    jt_val y = p->out[0] = jt_list_value(n->list, n->rows, JT_ELEM_F32, m->rows);
    return t == JT_NOVAL ? y : network_lora_up(n, layer, r, y, t, m->rows);
}

jt_val jt_net_activate(jt_net *n, int layer, jt_val x, jt_val up) {
    bool silu = n->config->activation == JT_FN_SILU && up != JT_NOVAL;
    jt_opnode *p = jt_list_node(n->list, silu ? &jt_op_swiglu : &jt_op_activate, layer);
    p->in[0] = x, p->in[1] = up;
    p->i[0] = (int32_t)n->config->activation;
    return p->out[0] = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, jt_net_width(n, x));
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

static jt_val network_norm(jt_net *n, int layer, const jt_entry *norm, jt_role role, jt_val x) {
    return norm ? norm->build(n, layer, role, x) : x;
}

static jt_status network_end(jt_net *n, jt_val x, jt_val *final, jt_error *err) {
    x = network_norm(n, -1, n->config->family->final_norm, JT_W_FINAL_NORM, x);
    *final = jt_net_scale(n, -1, JT_ROWS_WANTED, x, 1 / n->config->logit_scale);
    if (!n->list->status) n->list->value[*final].keep = true;
    if (n->fuse) jt_list_fuse(n->list);
    return jt_list_plan(n->list, err);
}

/* Adds the rows of a table, by token type or by position. */
static jt_val network_table(jt_net *n, jt_role role, bool type, jt_val x) {
    jt_opnode *p = jt_list_node(n->list, &jt_op_position, -1);
    p->in[0] = x;
    p->i[0] = type;
    p->weight[0] = n->ref[jt_net_ref_index(0, role)];
    return p->out[0] = jt_list_value(n->list, JT_ROWS_ALL, JT_ELEM_F32, n->config->hidden);
}

/* What enters the first layer. */
static jt_val network_begin(jt_net *n) {
    const jt_config *c = n->config;
    jt_list *l = n->list;
    for (int i = 0; i < JT_ROPES && c->rope_dims; i++) {
        if (i && !c->rope_two) break;
        jt_opnode *t = jt_list_node(l, &jt_op_rope_table, -1);
        t->i[0] = c->rope_dims, t->i[1] = i;
        n->rope[i] = t->out[0] = jt_list_value(l, JT_ROWS_ALL, JT_ELEM_F32, c->rope_dims);
    }
    jt_opnode *e = jt_list_node(l, &jt_op_embed, -1);
    e->weight[0] = n->ref[JT_W_EMBED];
    e->f[0] = c->embed_scale;
    jt_val x = e->out[0] = jt_list_value(l, JT_ROWS_ALL, JT_ELEM_F32, c->hidden);
    if (c->types) x = network_table(n, JT_W_TYPE, true, x);
    if (c->positions) x = network_table(n, JT_W_POSITION, false, x);
    return network_norm(n, -1, c->family->embed_norm, JT_W_EMBED_NORM, x);
}

/* What a part of a block adds to the stream. */
static jt_val network_part(jt_net *n, int layer, const jt_entry *part, const jt_entry *post, jt_role role, jt_site site, jt_val x) {
    jt_val y = network_norm(n, layer, post, role, part->build(n, layer, JT_W_ROLES, x));
    return jt_net_tap(n, layer, site, jt_net_scale(n, layer, JT_ROWS_ALL, y, n->config->residual_scale));
}

static jt_val network_block_after(jt_net *n, int layer, const jt_block *b, jt_val x) {
    x = jt_net_add(n, layer, x, network_part(n, layer, b->mixer, NULL, JT_W_ROLES, JT_SITE_ATTENTION, x));
    x = network_norm(n, layer, b->mixer_norm, JT_W_ATTN_NORM, x);
    x = jt_net_add(n, layer, x, network_part(n, layer, b->mlp, NULL, JT_W_ROLES, JT_SITE_MLP, x));
    return network_norm(n, layer, b->mlp_norm, JT_W_FFN_NORM, x);
}

static jt_val network_block(jt_net *n, int layer, jt_val x) {
    const jt_block *b = jt_config_block(n->config, layer);
    if (b->after) return network_block_after(n, layer, b, x);
    jt_val in = network_norm(n, layer, jt_layer_mixer_norm(n->config, layer), JT_W_ATTN_NORM, x);
    jt_val mlp_in = b->parallel ? (b->mlp_norm ? network_norm(n, layer, b->mlp_norm, JT_W_FFN_NORM, x) : in) : JT_NOVAL;
    x = jt_net_add(n, layer, x, network_part(n, layer, b->mixer, b->mixer_post, JT_W_ATTN_POST_NORM, JT_SITE_ATTENTION, in));
    if (!b->parallel) mlp_in = network_norm(n, layer, b->mlp_norm, JT_W_FFN_NORM, x);
    return jt_net_add(n, layer, x,
                      network_part(n, layer, jt_layer_mlp(n->config, layer), b->mlp_post, JT_W_FFN_POST_NORM, JT_SITE_MLP, mlp_in));
}

jt_status jt_network_build(jt_net *n, bool residual, jt_val *final, jt_error *err) {
    const jt_config *c = n->config;
    jt_list *l = n->list;
    n->act_from = n->act = n->lora_from = JT_NOVAL;
    jt_val x = network_begin(n);
    for (int i = 0; i < c->layers && !l->status; i++) {
        x = jt_net_tap(n, i, JT_SITE_RESIDUAL, x);
        if (residual) jt_list_export(l, x, JT_SITE_RESIDUAL, i);
        size_t border = l->n_node;
        x = network_block(n, i, x);
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

/* A map with its bias, of wanted rows. */
static jt_val network_pooled_map(jt_net *n, jt_role role, jt_val x) { return jt_net_linear_biased(n, -1, role, (jt_role)(role + 1), x); }

jt_status jt_network_build_pooled(jt_net *n, bool classes, jt_val *final, jt_error *err) {
    const jt_config *c = n->config;
    n->act_from = n->act = n->lora_from = JT_NOVAL;
    n->rows = JT_ROWS_WANTED;
    jt_val x = jt_list_value(n->list, n->rows, JT_ELEM_F32, c->hidden);
    jt_list_node(n->list, &jt_op_vectors, -1)->out[0] = x;
    if (c->pooled) {
        x = network_pooled_map(n, JT_W_POOLED, x);
        jt_opnode *p = jt_list_node(n->list, &jt_op_activate, -1);
        p->in[0] = x, p->in[1] = JT_NOVAL;
        p->i[0] = (int32_t)c->pooled_act;
        x = p->out[0] = jt_list_value(n->list, n->rows, JT_ELEM_F32, c->hidden);
        if (jt_net_has(n->ref, -1, JT_W_POOLED_NORM)) x = network_norm(n, -1, &jt_entry_layer_norm, JT_W_POOLED_NORM, x);
    }
    *final = classes ? network_pooled_map(n, JT_W_CLASSES, x) : x;
    if (!n->list->status) n->list->value[*final].keep = true;
    return jt_list_plan(n->list, err);
}
