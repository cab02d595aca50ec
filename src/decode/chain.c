/* chain.c: the stages of a job. A strategy may have stages as a parameter, for a phase
 * or a branch of its own; they form chains beside the pipeline's. All chains are opened
 * when the job is submitted, so that what can be refused is refused there, and all their
 * stages see every decision, so that a slot can go from one chain to another at any
 * place and be truncated over it. */
#include <string.h>

#include "decode/work.h"

/* Calls f for each chain, the pipeline's own first. */
static void chain_walk(const jt_pipeline *p, void (*f)(jt_live *j, const jt_pipeline *p), jt_live *j) {
    f(j, p);
    for (int i = 0; i < p->n_strategy; i++)
        for (int k = 0; k < p->strategy[i].m->n_param; k++) {
            const jt_param *x = &p->strategy[i].m->param[k];
            jt_stages_value v = {0};
            if (x->type == JT_PARAM_STAGES) memcpy(&v, (const char *)p->strategy[i].par + x->offset, sizeof v);
            if (v.pipeline) f(j, v.pipeline);
        }
}

static void chain_count(jt_live *j, const jt_pipeline *p) {
    j->n_chain++, j->n_stage += p->n_stage;
    if (p->n_stage > j->most_stage) j->most_stage = p->n_stage;
}

/* Its stages draw at addresses of their own. */
static void chain_add(jt_live *j, const jt_pipeline *p) {
    jt_chain *c = &j->chain[j->n_chain];
    *c = (jt_chain){.p = p, .first = j->n_stage, .end = j->n_stage + p->n_stage};
    for (int i = 0; i < p->n_stage; i++) {
        j->stage[j->n_stage] = p->stage[i];
        j->stage[j->n_stage++].occurrence += (uint32_t)(j->n_chain * JT_PIPELINE_MOST);
    }
    j->n_chain++;
}

jt_status jt_chain_collect(jt_live *j, jt_error *err) {
    chain_walk(j->pipeline, chain_count, j);
    j->chain = jt_alloc((size_t)j->n_chain, sizeof *j->chain);
    j->stage = jt_alloc((size_t)j->n_stage, sizeof *j->stage);
    if (!j->chain || !j->stage) return jt_nomem(err, "the stages of a job", (size_t)j->n_stage, sizeof *j->stage);
    j->n_chain = j->n_stage = 0;
    chain_walk(j->pipeline, chain_add, j);
    return JT_OK;
}

const jt_chain *jt_chain_of(const jt_live *j, const jt_branch *b) { return &j->chain[b->chain]; }

static void chain_put(void *self, jt_branch *b) { b->chain = *(const int *)self; }

void jt_work_stages(jt_work *w, jt_slot slot, const jt_stages_value *v) {
    jt_branch *b = jt_work_branch(w, slot, false);
    int k = 0;
    if (!b) return;
    while (v && k < w->j->n_chain && w->j->chain[k].p != v->pipeline) k++;
    if (k == w->j->n_chain) {
        jt_work_fail(w,
                     jt_error_set(&w->j->error, JT_INVALID, "the strategy %s gives slot %d stages that are no parameter of the pipeline's",
                                  w->i->node->m->name, slot));
        return;
    }
    w->staged = -1;
    if (b->child)
        jt_inst_leaves(b->child, chain_put, &k);
    else
        chain_put(&k, b);
}
