/* fuse.c: runs of operators replaced by one that does the same without a pass through memory between them.
 *
 * For lists that only infer: values between the operators of a run are gone afterwards, so a run is left as it is where
 * one of them is kept, or read by anybody else. A fused operator gives the bits of the run that it replaces. */
#include "tensor/op.h"

/* The node that writes v; NULL if there is none. */
static jt_opnode *fuse_writer(jt_list *l, jt_val v) {
    for (size_t i = 0; i < l->n_node && v != JT_NOVAL; i++)
        if (l->node[i].op && (l->node[i].out[0] == v || l->node[i].out[1] == v)) return &l->node[i];
    return NULL;
}

/* The writer of v when it is `op` and nobody but one node reads v. */
static jt_opnode *fuse_only_for_one(jt_list *l, jt_val v, const jt_op *op) {
    jt_opnode *w = fuse_writer(l, v);
    if (!w || w->op != op || w->out[0] != v || w->out[1] != JT_NOVAL || l->value[v].keep) return NULL;
    int readers = 0;
    for (size_t i = 0; i < l->n_node; i++)
        for (int k = 0; k < JT_MAX_IN; k++) readers += l->node[i].op && l->node[i].in[k] == v;
    return readers == 1 ? w : NULL;
}

/* Takes a node out of the list; `to` is what now does its work. */
static void fuse_take(jt_opnode *to, jt_opnode *from) {
    to->recompute |= from->recompute;
    from->op = NULL;
}

/* rms-norm, quantise */
static void fuse_norm(jt_list *l, jt_opnode *q) {
    jt_opnode *norm = fuse_only_for_one(l, q->in[0], &jt_op_rms_norm);
    if (!norm) return;
    q->op = &jt_op_rms_norm_quantise;
    q->in[0] = norm->in[0], q->weight[0] = norm->weight[0], q->f[0] = norm->f[0];
    fuse_take(q, norm);
}

/* matmul gate, matmul up, swiglu */
static void fuse_gate(jt_list *l, jt_opnode *n) {
    jt_opnode *gate = fuse_only_for_one(l, n->in[0], &jt_op_matmul), *up = fuse_only_for_one(l, n->in[1], &jt_op_matmul);
    if (!gate || !up || gate == up || gate->in[0] != up->in[0] || gate->i[0] || up->i[0]) return;
    n->op = &jt_op_gated;
    n->in[0] = gate->in[0], n->in[1] = JT_NOVAL;
    n->weight[0] = gate->weight[0], n->weight[1] = up->weight[0];
    fuse_take(n, gate);
    fuse_take(n, up);
}

/* the three before, quantise */
static void fuse_gate_quantise(jt_list *l, jt_opnode *q) {
    jt_opnode *gated = fuse_only_for_one(l, q->in[0], &jt_op_gated);
    if (!gated) return;
    q->op = &jt_op_gated;
    q->in[0] = gated->in[0], q->weight[0] = gated->weight[0], q->weight[1] = gated->weight[1];
    fuse_take(q, gated);
}

void jt_list_fuse(jt_list *l) {
    for (size_t i = 0; i < l->n_node && !l->status; i++) {
        jt_opnode *n = &l->node[i];
        if (n->op == &jt_op_swiglu) fuse_gate(l, n);
        if (n->op == &jt_op_quantise) fuse_norm(l, n);
        if (n->op == &jt_op_quantise) fuse_gate_quantise(l, n);
    }
    size_t kept = 0;
    for (size_t i = 0; i < l->n_node; i++)
        if (l->node[i].op) l->node[kept++] = l->node[i];
    l->n_node = kept;
}
