/* evidence.c: what a traced decision follows from: the model's first candidates, what
 * each stage left of them and the numbers that it drew. It is written into the driver's
 * memory while the stages run, then packed into one block, which the row, the branch
 * and the answer share. */
#include <string.h>

#include "core/hash.h"
#include "decode/driver.h"

/* Four chains of xor, multiply and shift over the row's words, joined at its end: the same on every machine, and
 * small beside one stage. */
static uint64_t evidence_hash(const float *x, int n) {
    static const uint64_t odd = 0x9e3779b97f4a7c15u;
    uint64_t h[4] = {1, 2, 3, 4}, out = (uint64_t)n;
    int i = 0;
    for (; i + 8 <= n; i += 8) {
        uint32_t w[8];
        memcpy(w, x + i, sizeof w);
        for (int k = 0; k < 4; k++) {
            h[k] = (h[k] ^ (w[2 * k] | (uint64_t)w[2 * k + 1] << 32)) * odd;
            h[k] ^= h[k] >> 29;
        }
    }
    for (int k = 0; k < 4; k++) out = jt_hash_u64(out, h[k]);
    for (; i < n; i++) {
        uint32_t w;
        memcpy(&w, x + i, sizeof w);
        out = jt_hash_u64(out, w);
    }
    return out;
}

void jt_sheet_put(jt_sheet *s) {
    if (s && !--s->refs) jt_free(s);
}

void jt_sheet_set(jt_sheet **at, jt_sheet *s) {
    if (s) s->refs++;
    jt_sheet_put(*at);
    *at = s;
}

/* ---- while the stages run ---- */

/* The first candidates of a dist; their number. */
static jt_status ink_first(jt_driver *d, int most, jt_dist *of, int *n, jt_error *err) {
    jt_ink *k = &d->ink;
    int have = jt_dist_count(of);
    *n = most < have ? most : have;
    jt_status e = jt_grow((void **)&k->cand, &k->cap_cand, k->n_cand + (size_t)*n, sizeof *k->cand, err);
    if (e == JT_OK && *n) memcpy(k->cand + k->n_cand, jt_dist_top(of, *n), (size_t)*n * sizeof *k->cand);
    if (e == JT_OK) k->n_cand += (size_t)*n;
    return e;
}

jt_status jt_ink_begin(jt_driver *d, const jt_live *j, const jt_asked *row, const jt_branch *b, jt_error *err) {
    jt_ink *k = &d->ink;
    k->n_cand = k->n_drawn = 0;
    k->e = (jt_evidence){.stream = b->stream,
                         .logits = evidence_hash(row->room->logits, d->model->ev.vocab),
                         .log_sum = row->room->log_sum,
                         .chain = b->chain};
    k->last = 0;
    return ink_first(d, j->evidence, d->raw, &k->e.n_raw, err);
}

/* Candidates of the list before that are left, but beyond the first. */
static jt_status ink_others(jt_driver *d, jt_dist *left, size_t first, size_t end, jt_error *err) {
    jt_ink *k = &d->ink;
    size_t before = first - k->last;
    jt_status e = jt_grow((void **)&k->cand, &k->cap_cand, end + before, sizeof *k->cand, err);
    if (e != JT_OK) return e;
    for (size_t i = first; i < end; i++) d->seen[k->cand[i].id] = 1;
    for (size_t i = k->last; i < first; i++) {
        int32_t id = k->cand[i].id;
        float x = d->seen[id] ? -INFINITY : jt_dist_logit(left, id);
        if (x > -INFINITY) k->cand[k->n_cand++] = (jt_cand){.id = id, .logit = x};
    }
    for (size_t i = first; i < end; i++) d->seen[k->cand[i].id] = 0;
    return JT_OK;
}

jt_status jt_ink_stage(jt_driver *d, const jt_live *j, const jt_node *node, const jt_stage_trace *t, const jt_draws *draws, jt_error *err) {
    jt_ink *k = &d->ink;
    jt_stage_evidence *s = &k->stage[k->e.n_stage];
    int first = 0, kept = draws->n < JT_DRAWS_KEPT ? (int)draws->n : JT_DRAWS_KEPT;
    size_t from = k->n_cand;
    jt_status e = ink_first(d, j->evidence, d->staged, &first, err);
    if (e == JT_OK && first < jt_dist_count(d->staged)) e = ink_others(d, d->staged, from, from + (size_t)first, err);
    if (e == JT_OK) e = jt_grow((void **)&k->drawn, &k->cap_drawn, k->n_drawn + (size_t)kept, sizeof *k->drawn, err);
    if (e != JT_OK) return e;
    if (kept) memcpy(k->drawn + k->n_drawn, draws->kept, (size_t)kept * sizeof *k->drawn);
    *s = (jt_stage_evidence){.method = t->method,
                             .occurrence = node->occurrence,
                             .before = t->before,
                             .after = t->after,
                             .mass = t->mass,
                             .seconds = t->seconds,
                             .n_cand = (int32_t)(k->n_cand - from),
                             .n_first = first,
                             .n_drawn = kept,
                             .draws = draws->n,
                             .draws_hash = draws->hash};
    k->n_drawn += (size_t)kept, k->last = from, k->e.n_stage++;
    return JT_OK;
}

jt_status jt_ink_end(const jt_driver *d, jt_asked *row, jt_error *err) {
    const jt_ink *k = &d->ink;
    size_t stages = (size_t)k->e.n_stage * sizeof *k->stage, drawn = k->n_drawn * sizeof *k->drawn, cands;
    jt_sheet *s = NULL;
    if (jt_mul(k->n_cand, sizeof *k->cand, &cands)) s = jt_alloc(1, sizeof *s + stages + drawn + cands);
    if (!s) return jt_nomem(err, "the evidence of a decision", k->n_cand, sizeof *k->cand);
    jt_stage_evidence *stage = (void *)(s + 1);
    jt_drawn *u = (void *)(stage + k->e.n_stage);
    jt_cand *c = (void *)(u + k->n_drawn);
    s->refs = 1, s->e = k->e;
    if (stages) memcpy(stage, k->stage, stages);
    if (drawn) memcpy(u, k->drawn, drawn);
    if (cands) memcpy(c, k->cand, cands);
    s->e.raw = c, s->e.stage = stage;
    c += s->e.n_raw;
    for (int i = 0; i < s->e.n_stage; i++) {
        stage[i].cand = c, stage[i].drawn = u;
        c += stage[i].n_cand, u += stage[i].n_drawn;
    }
    jt_sheet_put(*row->trace.sheet);
    *row->trace.sheet = s;
    return JT_OK;
}

void jt_ink_free(jt_ink *k) { jt_free(k->cand), jt_free(k->drawn); }
