/* eval.c: one ragged batch of new rows over any number of states (jeton/model.h).
 *
 * The rows are cut into passes of at most `ubatch`; each pass runs the list of
 * operators once and then the head for the wanted rows. Lengths of states change
 * only when all passes have succeeded, so a failure leaves every state as it was. */
#include <string.h>

#include "model/model.h"

/* The part of a span that a pass evaluates. */
struct cursor {
    int span, done; /* next row: row `done` of span `span` */
    int want;       /* next wanted row */
    int row;        /* rows of the batch before it */
};

static jt_status check_span(jt_model *m, const jt_batch *b, int i, jt_error *err) {
    const jt_span *p = &b->span[i];
    if (!p->state || p->state->model != m) return jt_error_set(err, JT_INVALID, "span %d: its state belongs to another model", i);
    if (p->state->in_batch)
        return jt_error_set(err, JT_INVALID, "spans %d and %d extend the same state; a state may occur once in a batch",
                            p->state->in_batch - 1, i);
    p->state->in_batch = i + 1;
    if (p->n < 0) return jt_error_set(err, JT_INVALID, "span %d: %d rows", i, p->n);
    if (p->n > p->state->context - p->state->length)
        return jt_error_set(err, JT_LIMIT, "span %d: %d + %d tokens exceed the declared context of %d", i, p->state->length, p->n,
                            p->state->context);
    for (int k = 0; k < p->n; k++)
        if (p->ids[k] < 0 || p->ids[k] >= m->config.vocab)
            return jt_error_set(err, JT_INVALID, "span %d, row %d: token id %d is outside the vocabulary of %d", i, k, p->ids[k],
                                m->config.vocab);
    return JT_OK;
}

static jt_status check_want(const jt_model *m, const jt_batch *b, int rows, jt_error *err) {
    for (int i = 0, last = -1; i < b->n_want; i++) {
        const jt_want *w = &b->want[i];
        if (w->row <= last || w->row >= rows)
            return jt_error_set(err, JT_INVALID, "want %d: row %d must be above %d and below the %d rows of the batch", i, w->row, last,
                                rows);
        last = w->row;
        if (w->n_targets < 0 || (w->n_targets && (!w->targets || !w->target_logprob)))
            return jt_error_set(err, JT_INVALID, "want %d: %d targets without their arrays", i, w->n_targets);
        for (int k = 0; k < w->n_targets; k++)
            if (w->targets[k] < 0 || w->targets[k] >= m->config.vocab)
                return jt_error_set(err, JT_INVALID, "want %d: target id %d is outside the vocabulary of %d", i, w->targets[k],
                                    m->config.vocab);
    }
    return JT_OK;
}

static jt_status check(jt_model *m, const jt_batch *b, int *rows, jt_error *err) {
    jt_status s = JT_OK;
    int64_t n = 0;
    int seen = 0;
    if (m->options.vocab_only)
        return jt_error_set(err, JT_INVALID, "the model was opened for its vocabulary only; open it whole to evaluate");
    for (; seen < b->n_span && !s; seen++) {
        s = check_span(m, b, seen, err);
        if (!s && (n += b->span[seen].n) > INT32_MAX) s = jt_error_set(err, JT_LIMIT, "more than %d rows in one batch", INT32_MAX);
    }
    for (int i = 0; i < seen; i++)
        if (b->span[i].state && b->span[i].state->model == m) b->span[i].state->in_batch = 0;
    *rows = (int)n;
    return s ? s : check_want(m, b, (int)n, err);
}

/* Grows a buffer that lives as long as the model. */
static jt_status grow_buffer(jt_model *m, jt_buffer **b, size_t bytes, const char *what, jt_error *err) {
    jt_buffer *n;
    if (*b && jt_buffer_bytes(*b) >= bytes) return JT_OK;
    jt_status s = jt_buffer_new(m->engine->backend, bytes, what, &n, err);
    if (s) return s;
    jt_buffer_free(*b);
    *b = n;
    return JT_OK;
}

static jt_status grow_scratch(jt_model *m, size_t bytes, jt_error *err) {
    jt_work *w = &m->work;
    if (bytes <= w->scratch_bytes) return JT_OK;
    for (int i = 0; i < jt_engine_threads(m->engine); i++) {
        void *p = jt_alloc_aligned(bytes, 1);
        if (!p) return jt_nomem(err, "scratch of a thread", bytes, 1);
        jt_free(w->scratch[i]);
        w->scratch[i] = p;
    }
    w->scratch_bytes = bytes;
    return JT_OK;
}

/* Fills the environment with the next rows, at most ubatch, reserving their pages. */
static jt_status next_pass(jt_model *m, const jt_batch *b, struct cursor *c, jt_env *e, jt_error *err) {
    jt_work *w = &m->work;
    int n = 0, seqs = 0, first_row = c->row;
    while (c->span < b->n_span && n < m->options.ubatch) {
        const jt_span *p = &b->span[c->span];
        int take = p->n - c->done;
        if (take > m->options.ubatch - n) take = m->options.ubatch - n;
        if (take) {
            jt_state *s = p->state;
            if (c->done == 0) { /* pages of the whole span at once: `length` does not move while passes run */
                jt_status f = jt_state_reserve(s, p->n, err);
                if (f) return f;
            }
            w->seq[seqs] = (jt_env_seq){.first = n, .rows = take, .past = s->length + c->done, .page = s->buffer};
            for (int i = 0; i < take; i++) {
                w->id[n + i] = p->ids[c->done + i];
                w->position[n + i] = s->length + c->done + i;
                w->row_seq[n + i] = seqs;
            }
            seqs++, n += take, c->done += take, c->row += take;
        }
        if (c->done == p->n) c->span++, c->done = 0;
    }
    int wanted = 0;
    while (c->want + wanted < b->n_want && b->want[c->want + wanted].row < c->row)
        w->wanted[wanted] = b->want[c->want + wanted].row - first_row, wanted++;
    e->rows[JT_ROWS_ALL] = n, e->rows[JT_ROWS_WANTED] = wanted;
    e->n_seq = seqs;
    return JT_OK;
}

static jt_status run_head(jt_model *m, const jt_batch *b, const jt_env *e, jt_val final, int first_want, jt_error *err) {
    jt_work *w = &m->work;
    const jt_matrix *head = &m->weights.w[m->ref[JT_W_HEAD].tensor].matrix;
    size_t at = jt_env_at(e, final), row_bytes = (size_t)m->config.hidden * sizeof(float);
    int wanted = e->rows[JT_ROWS_WANTED], block = wanted < JT_HEAD_ROWS ? wanted : JT_HEAD_ROWS;
    bool product = false;
    for (int i = 0; i < wanted; i++) {
        const jt_want *x = &b->want[first_want + i];
        if (x->final) jt_buffer_read(e->storage, at + (size_t)i * row_bytes, x->final, row_bytes);
        product |= x->logits || x->n_targets || x->log_sum_exp || x->entropy;
    }
    if (!product) return JT_OK;
    int int8 = m->options.activations == JT_ACT_INT8 && head->format->quantised;
    jt_status s = grow_buffer(m, &w->head, jt_head_work_bytes(head, block), "logits", err);
    if (!s) s = grow_scratch(m, jt_matmul_scratch(head, int8), err);
    for (int i = 0; i < wanted && !s; i += block) {
        int rows = wanted - i < block ? wanted - i : block;
        for (int k = 0; k < rows; k++) {
            const jt_want *x = &b->want[first_want + i + k];
            w->want[k] = (jt_head_want){.logits = x->logits,
                                        .targets = x->targets,
                                        .n_targets = x->n_targets,
                                        .target_logprob = x->target_logprob,
                                        .log_sum_exp = x->log_sum_exp,
                                        .entropy = x->entropy};
        }
        jt_head_run r = {.engine = m->engine,
                         .head = head,
                         .int8 = int8,
                         .hidden = e->storage,
                         .hidden_at = at + (size_t)i * row_bytes,
                         .rows = rows,
                         .want = w->want,
                         .work = w->head,
                         .scratch = w->scratch};
        jt_head(&r);
    }
    return s;
}

static void read_residual(const jt_model *m, const jt_batch *b, const jt_env *e, int first_row, int rows) {
    size_t d = (size_t)m->config.hidden, n = (size_t)e->rows[JT_ROWS_ALL];
    for (size_t i = 0; i < e->list->n_export; i++) {
        const jt_export *x = &e->list->exports[i];
        float *to = b->residual + ((size_t)x->layer * (size_t)rows + (size_t)first_row) * d;
        jt_buffer_read(e->storage, jt_env_at(e, x->value), to, n * d * sizeof *to);
    }
}

static jt_status pass(jt_model *m, const jt_batch *b, struct cursor *c, int rows, const jt_graph *g, jt_error *err) {
    jt_work *w = &m->work;
    jt_env e = {.engine = m->engine,
                .list = &g->list,
                .set = m->set,
                .id = w->id,
                .position = w->position,
                .row_seq = w->row_seq,
                .wanted = w->wanted,
                .seq = w->seq,
                .kv = &m->kv,
                .inv_freq = m->inv_freq,
                .scratch = w->scratch};
    int first_row = c->row;
    jt_status s = next_pass(m, b, c, &e, err);
    if (s) return s;
    size_t bytes = jt_list_storage(&g->list, e.rows, e.class_at);
    if ((s = grow_buffer(m, &w->storage, bytes, "activations", err)) || (s = grow_scratch(m, jt_list_scratch(&g->list, &e), err))) return s;
    e.storage = w->storage;
    jt_list_run(&e);
    if (b->residual) read_residual(m, b, &e, first_row, rows);
    s = run_head(m, b, &e, g->final, c->want, err);
    c->want += e.rows[JT_ROWS_WANTED];
    return s;
}

jt_status jt_eval(jt_model *m, const jt_batch *b, jt_error *err) {
    int rows = 0;
    jt_status s = check(m, b, &rows, err);
    if (s) return s;
    jt_graph *g = b->residual ? &m->traced : &m->plain;
    if (!g->list.planned && (s = jt_model_build(m, b->residual != NULL, g, err))) return s;
    struct cursor c = {0};
    while (c.row < rows && !s) {
        if (b->cancelled && b->cancelled(b->cancelled_self))
            return jt_error_set(err, JT_CANCELLED, "cancelled before row %d of %d", c.row, rows);
        s = pass(m, b, &c, rows, g, err);
    }
    for (int i = 0; i < b->n_span && !s; i++) b->span[i].state->length += b->span[i].n;
    return s;
}
