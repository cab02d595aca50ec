/* eval.c: one ragged batch of new rows over any number of states (jeton/model.h).
 *
 * The rows are cut into passes of at most `ubatch`; each pass runs the list of
 * operators once and then the head for the wanted rows. Lengths of states change
 * only when all passes have succeeded, so a failure leaves every state as it was. */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "jeton/tap.h"
#include "model/adapter.h"
#include "model/imatrix.h"
#include "model/model.h"

/* The part of a span that a pass evaluates. */
struct cursor {
    int span, done;           /* next row: row `done` of span `span` */
    int want;                 /* next wanted row */
    int row;                  /* rows of the batch before it */
    const jt_span_plan *plan; /* [spans] */
    jt_span_marks *marks;     /* [spans] or NULL: no layer has a recurrence */
    jt_arena *arena;          /* of the eval */
};

static jt_status eval_check_id(const jt_model *m, int32_t id, int span, int row, jt_error *err) {
    if (id >= 0 && id < m->config.vocab) return JT_OK;
    return jt_error_set(err, JT_INVALID, "span %d, row %d: token id %d is outside the vocabulary of %d", span, row, id, m->config.vocab);
}

static jt_status eval_check_input(const jt_model *m, const jt_input *in, int span, int row, jt_error *err) {
    if (in->n < 0 || (in->n && (!in->ids || !in->w)) || (!in->n && !in->vec))
        return jt_error_set(err, JT_INVALID, "span %d, row %d: an input needs ids with weights, or a vector", span, row);
    for (int i = 0; i < in->n; i++) {
        jt_status s = eval_check_id(m, in->ids[i], span, row, err);
        if (s) return s;
        if (!isfinite(in->w[i]))
            return jt_error_set(err, JT_INVALID, "span %d, row %d: weight %d of the mixture is not finite", span, row, i);
    }
    return JT_OK;
}

/* An encoder's rows are a whole sequence. */
static jt_status eval_check_whole(const jt_model *m, const jt_span *p, int i, jt_error *err) {
    if (p->state->length)
        return jt_error_set(err, JT_INVALID, "span %d: its state holds %d tokens; an encoder reads a sequence whole, from an empty state",
                            i, p->state->length);
    if (p->parent || p->rank || p->position || p->layers || p->group || p->state->keys || p->state->raw)
        return jt_error_set(err, JT_UNSUPPORTED,
                            "span %d: on an encoder rows have no parents, ranks, positions, groups, layers or lists of keys of their own",
                            i);
    for (int k = 0; p->types && k < p->n; k++)
        if (p->types[k] < 0 || p->types[k] >= m->config.types)
            return jt_error_set(err, JT_INVALID, "span %d, row %d: token type %d; the model has %d", i, k, p->types[k], m->config.types);
    return JT_OK;
}

static jt_status eval_check_span(jt_model *m, const jt_batch *b, int i, jt_error *err) {
    jt_status s;
    const jt_span *p = &b->span[i];
    if (!p->state || p->state->model != m) return jt_error_set(err, JT_INVALID, "span %d: its state belongs to another model", i);
    if (p->state->in_batch)
        return jt_error_set(err, JT_INVALID, "spans %d and %d extend the same state; a state may occur once in a batch",
                            p->state->in_batch - 1, i);
    p->state->in_batch = i + 1;
    if (p->n < 0) return jt_error_set(err, JT_INVALID, "span %d: %d rows", i, p->n);
    if (p->types && !m->config.types) return jt_error_set(err, JT_INVALID, "span %d: token types; the model has none", i);
    if (m->config.encoder && (s = eval_check_whole(m, p, i, err))) return s;
    for (int k = 0; k < p->n; k++) {
        s = p->input ? eval_check_input(m, &p->input[k], i, k, err) : eval_check_id(m, p->ids[k], i, k, err);
        if (s) return s;
    }
    return JT_OK;
}

static jt_status eval_check_want(const jt_model *m, const jt_want *want, int n, int rows, jt_error *err) {
    for (int i = 0, last = -1; i < n; i++) {
        const jt_want *w = &want[i];
        if (w->row <= last || w->row >= rows)
            return jt_error_set(err, JT_INVALID, "want %d: row %d must be above %d and below the %d rows of the batch", i, w->row, last,
                                rows);
        last = w->row;
        if (m->config.encoder && (w->logits || w->n_targets || w->log_sum_exp || w->entropy || w->n_top))
            return jt_error_set(err, JT_UNSUPPORTED, "want %d: the %s family is an encoder; it has no logits of next tokens", i,
                                m->config.family->name);
        if (w->n_targets < 0 || (w->n_targets && (!w->targets || !w->target_logprob)))
            return jt_error_set(err, JT_INVALID, "want %d: %d targets without their arrays", i, w->n_targets);
        if (w->n_top < 0 || w->n_top > 4096 || w->n_top > m->config.vocab || (w->n_top && (!w->top_ids || !w->top_logits)))
            return jt_error_set(err, JT_INVALID, "want %d: %d best candidates; give 0 to %d, and their arrays", i, w->n_top,
                                m->config.vocab < 4096 ? m->config.vocab : 4096);
        if (w->n_layer < 0 || (w->n_layer && (!w->layer || !w->stream)))
            return jt_error_set(err, JT_INVALID, "want %d: streams of %d layers without their arrays", i, w->n_layer);
        for (int k = 0; k < w->n_layer; k++)
            if (w->layer[k] < 0 || w->layer[k] > m->config.layers)
                return jt_error_set(err, JT_INVALID, "want %d: the stream of layer %d; the model has layers 0 to %d", i, w->layer[k],
                                    m->config.layers);
        for (int k = 0; k < w->n_targets; k++)
            if (w->targets[k] < 0 || w->targets[k] >= m->config.vocab)
                return jt_error_set(err, JT_INVALID, "want %d: target id %d is outside the vocabulary of %d", i, w->targets[k],
                                    m->config.vocab);
    }
    return JT_OK;
}

static jt_status eval_check(jt_model *m, const jt_batch *b, int *rows, jt_error *err) {
    jt_status s = JT_OK;
    int64_t n = 0;
    int seen = 0;
    if (m->options.vocab_only)
        return jt_error_set(err, JT_INVALID, "the model was opened for its vocabulary only; open it whole to evaluate");
    for (; seen < b->n_span && !s; seen++) {
        s = eval_check_span(m, b, seen, err);
        if (!s && (n += b->span[seen].n) > INT32_MAX) s = jt_error_set(err, JT_LIMIT, "more than %d rows in one batch", INT32_MAX);
    }
    for (int i = 0; i < seen; i++)
        if (b->span[i].state && b->span[i].state->model == m) b->span[i].state->in_batch = 0;
    *rows = (int)n;
    return s ? s : eval_check_want(m, b->want, b->n_want, (int)n, err);
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
    jt_eval_work *w = &m->work;
    if (bytes <= w->scratch_bytes) return JT_OK;
    for (int i = 0; i < jt_engine_threads(m->engine); i++) {
        void *p = jt_alloc_large(bytes, 1);
        if (!p) return jt_nomem(err, "scratch of a thread", bytes, 1);
        jt_free(w->scratch[i]);
        w->scratch[i] = p;
    }
    w->scratch_bytes = bytes;
    return JT_OK;
}

static jt_status eval_room(jt_model *m, size_t storage, size_t scratch, jt_error *err) {
    jt_status s = grow_buffer(m, &m->work.storage, storage, "activations", err);
    return s ? s : grow_scratch(m, scratch, err);
}

/* How many of the next rows of a span, at most `room`, a pass may take. */
static int take_rows(const jt_span *p, const jt_span_plan *plan, int done, int room) {
    int take = p->n - done;
    if (take <= room) return take;
    for (take = room; plan->cut && take && !plan->cut[done + take];) take--;
    return take;
}

static void eval_set_row(jt_eval_work *w, int at, const jt_span *p, int span, const jt_span_plan *plan, int i, const jt_env_path *trunk) {
    const jt_input *in = p->input ? &p->input[i] : NULL;
    int slot = p->state->length + i;
    w->input[at] = in ? (jt_env_input){in->n, in->ids, in->w, in->vec} : (jt_env_input){.n = 1, .id = &p->ids[i]};
    w->slot[at] = slot;
    w->position[at] = plan->node ? plan->node[i].position : slot;
    w->type[at] = p->types ? p->types[i] : 0;
    w->rank[at] = plan->node ? plan->node[i].rank : p->state->model->config.encoder ? p->n - 1 : slot;
    w->depth[at] = plan->node ? plan->node[i].depth : slot;
    w->path[at] = plan->node ? plan->path[i] : trunk;
    w->layers[at] = plan->node && plan->node[i].layers ? plan->node[i].layers->word : NULL;
    const jt_taps *taps = p->state->taps;
    w->taps[at] = (jt_env_row_taps){taps ? taps->tap : NULL, taps ? taps->n : 0, span, w->depth[at], slot, 0};
    jt_keys_set_row(w, at, p->state, plan, i);
    const jt_adapter *adapter = p->state->adapter;
    w->lora[at] = (jt_env_lora){adapter ? adapter->lora : NULL, p->state->adapter_scale};
}

/* Fills the environment with the next rows, at most ubatch, reserving their pages. */
static jt_status next_pass(jt_model *m, const jt_batch *b, struct cursor *c, jt_env *e, jt_error *err) {
    jt_eval_work *w = &m->work;
    int n = 0, seqs = 0, first_row = c->row;
    w->n_mark = 0;
    while (c->span < b->n_span && n < m->options.ubatch) {
        const jt_span *p = &b->span[c->span];
        const jt_span_plan *plan = &c->plan[c->span];
        int take = take_rows(p, plan, c->done, m->options.ubatch - n);
        if (!take && p->n > c->done) {
            if (n) break;
            return jt_error_set(
                err, JT_LIMIT,
                "span %d: rows from %d on see each other or are a group and must be evaluated together, but ubatch is %d; raise it",
                c->span, c->done, m->options.ubatch);
        }
        if (take) {
            jt_status f = c->done ? JT_OK : jt_state_reserve(p->state, p->state->length, p->n, err);
            if (f) return f;
            w->seq[seqs] = (jt_env_seq){.first = n, .rows = take, .page = p->state->buffer, .rope = p->state->rope->rope};
            w->trunk[seqs] = (jt_env_path){.trunk = p->state->length + p->n};
            for (int i = 0; i < take; i++) eval_set_row(w, n + i, p, c->span, plan, c->done + i, &w->trunk[seqs]), w->row_seq[n + i] = seqs;
            if (c->marks)
                f = jt_steps_plan(p, plan, &c->marks[c->span], c->done, take, n, w->path + n, c->arena, &w->seq[seqs], &e->step_locals,
                                  err);
            if (f) return f;
            seqs++, n += take, c->done += take, c->row += take;
        }
        if (c->done == p->n) c->span++, c->done = 0;
    }
    int wanted = 0;
    while (c->want + wanted < b->n_want && b->want[c->want + wanted].row < c->row)
        w->wanted[wanted] = b->want[c->want + wanted].row - first_row, wanted++;
    e->rows[JT_ROWS_ALL] = n, e->rows[JT_ROWS_WANTED] = wanted;
    e->n_seq = seqs;
    e->mark = w->mark;
    return JT_OK;
}

static jt_status eval_run_head(jt_model *m, const jt_want *want, const jt_env *e, jt_val final, jt_error *err) {
    jt_eval_work *w = &m->work;
    const jt_matrix *head = &m->weights.w[m->ref[JT_W_HEAD].tensor].matrix;
    size_t at = jt_env_at(e, final), row_bytes = (size_t)m->config.hidden * sizeof(float);
    int wanted = e->rows[JT_ROWS_WANTED], block = wanted < JT_HEAD_ROWS ? wanted : JT_HEAD_ROWS;
    bool product = false;
    for (int i = 0; i < wanted; i++) {
        const jt_want *x = &want[i];
        if (x->final) jt_buffer_read(e->storage, at + (size_t)i * row_bytes, x->final, row_bytes);
        product |= x->logits || x->n_targets || x->log_sum_exp || x->entropy || x->n_top;
    }
    if (!product) return JT_OK;
    jt_by by = m->options.activations == JT_ACT_BF16 ? JT_BY_BF16 : JT_BY_FLOAT;
    if (m->options.activations == JT_ACT_INT8 && head->format->quantised) by = JT_BY_INT8;
    jt_status s = grow_buffer(m, &w->head, jt_head_work_bytes(head, block), "logits", err);
    if (!s) s = grow_scratch(m, jt_matmul_scratch(head, by), err);
    for (int i = 0; i < wanted && !s; i += block) {
        int rows = wanted - i < block ? wanted - i : block;
        for (int k = 0; k < rows; k++) {
            const jt_want *x = &want[i + k];
            w->want[k] = (jt_head_want){.logits = x->logits,
                                        .targets = x->targets,
                                        .n_targets = x->n_targets,
                                        .target_logprob = x->target_logprob,
                                        .log_sum_exp = x->log_sum_exp,
                                        .entropy = x->entropy,
                                        .n_top = x->n_top,
                                        .top_ids = x->top_ids,
                                        .top_logits = x->top_logits};
        }
        jt_head_run r = {.engine = m->engine,
                         .head = head,
                         .by = by,
                         .cap = m->config.logit_cap,
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

/* A row that wants streams of layers captures them behind what its state's taps do. */
static jt_status add_streams(const jt_want *want, jt_env_row_taps *row, jt_arena *a, jt_error *err) {
    jt_env_tap *t = jt_arena_alloc(a, (size_t)row->n + (size_t)want->n_layer, sizeof *t);
    int slots = 0;
    if (!t) return jt_nomem(err, "streams of a row", (size_t)row->n + (size_t)want->n_layer, sizeof *t);
    if (row->n) memcpy(t, row->tap, (size_t)row->n * sizeof *t);
    for (int i = 0; i < row->n; i++)
        if (t[i].op == JT_TAP_CAPTURE) slots += t[i].layer_end - t[i].layer_first;
    for (int k = 0; k < want->n_layer; k++)
        t[row->n + k] = (jt_env_tap){.site = JT_SITE_RESIDUAL,
                                     .op = JT_TAP_CAPTURE,
                                     .layer_first = want->layer[k],
                                     .layer_end = want->layer[k] + 1,
                                     .row_end = INT_MAX,
                                     .capture_at = slots + k};
    row->tap = t, row->n += want->n_layer;
    return JT_OK;
}

/* Gives the captures of a pass their slots and makes room for them. */
static jt_status prepare_taps(jt_model *m, jt_env *e, const jt_want *want, jt_arena *a, jt_error *err) {
    jt_eval_work *w = &m->work;
    int slots = 0;
    for (int i = 0; i < e->rows[JT_ROWS_WANTED]; i++) {
        jt_status s = want[i].n_layer ? add_streams(&want[i], &w->taps[w->wanted[i]], a, err) : JT_OK;
        if (s) return s;
    }
    for (int r = 0; r < e->rows[JT_ROWS_ALL]; r++) {
        w->taps[r].capture = slots;
        for (int i = 0; i < w->taps[r].n; i++)
            if (w->taps[r].tap[i].op == JT_TAP_CAPTURE) slots += w->taps[r].tap[i].layer_end - w->taps[r].tap[i].layer_first;
    }
    const jt_config *k = &m->config;
    int heads = k->heads * (k->head_dim > jt_config_value_dim(k) ? k->head_dim : jt_config_value_dim(k));
    e->taps = w->taps;
    e->capture_width = heads > m->config.hidden ? heads : m->config.hidden;
    jt_status s =
        slots ? grow_buffer(m, &w->capture, (size_t)slots * (size_t)e->capture_width * sizeof(float), "captured rows", err) : JT_OK;
    e->capture = w->capture;
    return s;
}

static void read_streams(const jt_model *m, const jt_want *want, const jt_env *e) {
    size_t width = (size_t)m->config.hidden, slot = (size_t)e->capture_width * sizeof(float);
    for (int i = 0; i < e->rows[JT_ROWS_WANTED]; i++) {
        const jt_env_row_taps *row = &m->work.taps[m->work.wanted[i]];
        for (int k = 0; k < want[i].n_layer; k++) {
            const jt_env_tap *t = &row->tap[row->n - want[i].n_layer + k];
            jt_buffer_read(e->capture, (size_t)(row->capture + t->capture_at) * slot, want[i].stream + (size_t)k * width,
                           width * sizeof(float));
        }
    }
}

/* Hands what a pass captured to the caller. */
static jt_status give_captures(jt_model *m, const jt_batch *b, const jt_env *e, jt_error *err) {
    size_t bytes = (size_t)e->capture_width * sizeof(float);
    float *x = b->captured ? jt_alloc((size_t)e->capture_width, sizeof *x) : NULL;
    if (!b->captured) return JT_OK;
    if (!x) return jt_nomem(err, "a captured row", (size_t)e->capture_width, sizeof *x);
    for (int r = 0; r < e->rows[JT_ROWS_ALL]; r++) {
        const jt_env_row_taps *row = &m->work.taps[r];
        const jt_taps *taps = b->span[row->span].state->taps;
        for (int i = 0; taps && i < taps->n; i++) {
            const jt_env_tap *t = &row->tap[i];
            if (t->op != JT_TAP_CAPTURE || row->depth < t->row_first || row->depth >= t->row_end) continue;
            for (int l = t->layer_first; l < t->layer_end; l++) {
                /* In a layer that the row skips only the stream itself is there. */
                if (t->site != JT_SITE_RESIDUAL && !jt_layer_in(m->work.layers[r], l)) continue;
                if ((t->site == JT_SITE_QUERY || t->site == JT_SITE_HEADS) && jt_config_recurrent(&m->config, l)) continue;
                int width = jt_taps_width(m, t->site);
                jt_buffer_read(e->capture, (size_t)(row->capture + t->capture_at + l - t->layer_first) * bytes, x,
                               (size_t)width * sizeof *x);
                b->captured(b->captured_self, row->span, row->node, l, t->tag, x, width);
            }
        }
    }
    jt_free(x);
    return JT_OK;
}

/* Tells the operators of rows that skip layers; `off` gets the layers that no row runs. */
static void set_layers(jt_eval_work *w, jt_env *e, jt_layers *off) {
    jt_layers on = {{0}};
    for (int r = 0; r < e->rows[JT_ROWS_ALL]; r++) {
        if (w->layers[r]) e->layers = w->layers;
        for (int k = 0; k < 4; k++) on.word[k] |= w->layers[r] ? w->layers[r][k] : UINT64_MAX;
    }
    for (int k = 0; k < 4; k++) off->word[k] = ~on.word[k];
    if (e->layers) e->off = off->word;
}

static jt_status eval_pass(jt_model *m, const jt_batch *b, struct cursor *c, int rows, const jt_graph *g, int kind, jt_error *err) {
    jt_eval_work *w = &m->work;
    jt_status host = JT_OK, select = JT_OK;
    jt_error said = {0};
    bool taps = kind & JT_GRAPH_TAPS;
    jt_env e = {.engine = m->engine,
                .list = &g->list,
                .set = m->set,
                .input = w->input,
                .position = w->position,
                .type = w->type,
                .row_seq = w->row_seq,
                .slot = w->slot,
                .rank = w->rank,
                .depth = w->depth,
                .path = w->path,
                .wanted = w->wanted,
                .lora = w->lora,
                .seq = w->seq,
                .host_status = &host,
                .select_status = &select,
                .select_error = &said,
                .kv = &m->kv,
                .scratch = w->scratch};
    int first_row = c->row;
    jt_status s = next_pass(m, b, c, &e, err);
    jt_layers off;
    if (!s && taps) s = prepare_taps(m, &e, b->want + c->want, c->arena, err);
    if (!s && kind & JT_GRAPH_KEYS) s = jt_keys_prepare(m, b, &e, err);
    if (s) return s;
    size_t bytes = jt_list_storage(&g->list, e.rows, e.class_at);
    if ((s = eval_room(m, bytes, jt_list_scratch(&g->list, &e), err))) return s;
    e.storage = w->storage;
    set_layers(w, &e, &off);
    if (m->sums) e.watch = jt_imatrix_watch, e.watch_self = m->sums;
    jt_list_run(&e);
    if (host) return jt_error_set(err, host, "a tap's function failed with \"%s\"", jt_status_name(host));
    if (select)
        return jt_error_set(err, select, "a function that chooses keys failed with \"%s\"%s%s", jt_status_name(select),
                            said.message[0] ? ": " : "", said.message);
    if (b->residual) read_residual(m, b, &e, first_row, rows);
    if (taps) read_streams(m, b->want + c->want, &e);
    if (taps && (s = give_captures(m, b, &e, err))) return s;
    s = eval_run_head(m, b->want + c->want, &e, g->final, err);
    c->want += e.rows[JT_ROWS_WANTED];
    return s;
}

/* What the spans will need to leave marks. */
static jt_status make_marks(const jt_batch *b, struct cursor *c, jt_error *err) {
    if (!(c->marks = jt_arena_alloc(c->arena, (size_t)b->n_span, sizeof *c->marks)))
        return jt_nomem(err, "marks of a batch", (size_t)b->n_span, sizeof *c->marks);
    for (int i = 0; i < b->n_span; i++) c->marks[i].end = -1;
    return JT_OK;
}

/* Plans of all spans and room for their nodes, so that nothing can fail once the last pass has run. */
static jt_status make_plans(const jt_batch *b, jt_arena *a, const jt_span_plan **out, jt_error *err) {
    jt_span_plan *plan = jt_arena_alloc(a, (size_t)b->n_span, sizeof *plan);
    if (!plan) return jt_nomem(err, "plans of a batch", (size_t)b->n_span, sizeof *plan);
    *out = plan;
    jt_status s = JT_OK;
    for (int i = 0; i < b->n_span && !s; i++) {
        s = jt_span_plan_make(&b->span[i], i, a, &plan[i], err);
        if (!s && plan[i].node) s = jt_state_room(b->span[i].state, b->span[i].n, err);
        if (!s && plan[i].n_group) s = jt_groups_room(b->span[i].state, plan[i].n_group, err);
    }
    return s;
}

static jt_status run_passes(jt_model *m, const jt_batch *b, int rows, int kind, jt_arena *a, jt_error *err) {
    struct cursor c = {.arena = a};
    jt_status s = make_plans(b, a, &c.plan, err);
    if (!s && m->mark_bytes) s = make_marks(b, &c, err);
    while (c.row < rows && !s) {
        if (b->cancelled && b->cancelled(b->cancelled_self))
            s = jt_error_set(err, JT_CANCELLED, "cancelled before row %d of %d", c.row, rows);
        else
            s = eval_pass(m, b, &c, rows, &m->graph[kind], kind, err);
    }
    for (int i = 0; c.marks && i < b->n_span && !s; i++) s = jt_steps_room(&b->span[i], &c.marks[i], err);
    for (int i = 0; c.marks && i < b->n_span; i++) {
        if (!s) jt_steps_commit(&b->span[i], &c.plan[i], &c.marks[i]);
        jt_marks_free(&c.marks[i].made, m);
    }
    for (int i = 0; i < b->n_span && !s; i++) {
        jt_groups_add(b->span[i].state, &c.plan[i], b->span[i].n);
        jt_state_add(b->span[i].state, c.plan[i].node, b->span[i].n);
    }
    return s;
}

jt_status jt_eval(jt_model *m, const jt_batch *b, jt_error *err) {
    int rows = 0;
    jt_status s = eval_check(m, b, &rows, err);
    if (s) return s;
    int kind = b->residual ? JT_GRAPH_RESIDUAL : 0;
    for (int i = 0; i < b->n_span; i++)
        kind |= (b->span[i].state->taps ? JT_GRAPH_TAPS : 0) | (b->span[i].state->adapter ? JT_GRAPH_LORA : 0) |
                (b->span[i].state->keys || b->span[i].state->raw ? JT_GRAPH_KEYS : 0);
    for (int i = 0; i < b->n_want; i++) kind |= b->want[i].n_layer ? JT_GRAPH_TAPS : 0;
    if ((s = jt_model_build(m, kind, err))) return s;
    jt_arena a = {0};
    s = run_passes(m, b, rows, kind, &a, err);
    jt_arena_free(&a);
    return s;
}

jt_status jt_eval_vectors(jt_model *m, int kind, int rows, jt_env *e, jt_error *err) {
    jt_status s = jt_model_build(m, kind, err);
    if (s) return s;
    const jt_list *list = &m->graph[kind].list;
    *e = (jt_env){.engine = m->engine,
                  .list = list,
                  .set = m->set,
                  .rows = {0, rows},
                  .vector = m->work.vector,
                  .kv = &m->kv,
                  .scratch = m->work.scratch};
    size_t bytes = jt_list_storage(list, e->rows, e->class_at);
    if ((s = eval_room(m, bytes, jt_list_scratch(list, e), err))) return s;
    e->storage = m->work.storage;
    jt_list_run(e);
    return JT_OK;
}

/* Without `norm` the vectors take the place of what the list made of them. */
static jt_status project(jt_model *m, const float *x, int n, bool norm, const jt_want *want, int n_want, jt_error *err) {
    size_t row_bytes = (size_t)m->config.hidden * sizeof *x;
    jt_status s = m->options.vocab_only
                      ? jt_error_set(err, JT_INVALID, "the model was opened for its vocabulary only; open it whole to evaluate")
                      : eval_check_want(m, want, n_want, n, err);
    for (int i = 0; i < n_want && !s; i++)
        if (want[i].n_layer) s = jt_error_set(err, JT_INVALID, "want %d: a vector that is projected has no streams of layers", i);
    for (int i = 0, rows; i < n_want && !s; i += rows) {
        rows = n_want - i < m->options.ubatch ? n_want - i : m->options.ubatch;
        for (int k = 0; k < rows; k++) m->work.vector[k] = x + (size_t)want[i + k].row * (size_t)m->config.hidden;
        jt_env e;
        s = jt_eval_vectors(m, JT_GRAPH_PROJECT, rows, &e, err);
        jt_val final = m->graph[JT_GRAPH_PROJECT].final;
        for (int k = 0; !s && !norm && k < rows; k++)
            jt_buffer_write(e.storage, jt_env_at(&e, final) + (size_t)k * row_bytes, m->work.vector[k], row_bytes);
        if (!s) s = eval_run_head(m, want + i, &e, final, err);
    }
    return s;
}

jt_status jt_project(jt_model *m, const float *hidden, int n, const jt_want *want, int n_want, jt_error *err) {
    return project(m, hidden, n, true, want, n_want, err);
}

jt_status jt_project_head(jt_model *m, const float *final, int n, const jt_want *want, int n_want, jt_error *err) {
    return project(m, final, n, false, want, n_want, err);
}
