#include "tensor/head.h"

#include <string.h>

#include "core/mem.h"
#include "tensor/scalar_math.h"

/* Parts of the work buffer: rounded rows, then logits. */
struct parts {
    uint16_t *b;
    int8_t *q;
    float *d, *s, *logits;
};

/* Room for rows in 8 bits or in bfloat16, which takes more. */
static size_t act_bytes(size_t rows, size_t cols) { return rows * jt_bf16_stride((int)cols) * sizeof(uint16_t); }

static struct parts head_parts_of(const jt_head_run *r) {
    struct parts p;
    size_t rows = (size_t)r->rows, cols = (size_t)r->head->cols;
    char *at = jt_buffer_at(r->work, 0);
    p.b = (uint16_t *)(void *)at;
    p.q = (int8_t *)at;
    p.d = (float *)(at + rows * cols);
    p.s = p.d + rows * (cols / JT_ACT_BLOCK);
    p.logits = (float *)(at + act_bytes(rows, cols));
    return p;
}

size_t jt_head_work_bytes(const jt_matrix *head, int rows) {
    return act_bytes((size_t)rows, (size_t)head->cols) + (size_t)rows * (size_t)head->rows * sizeof(float);
}

/* Candidate a before candidate b. */
static bool head_better(float za, int32_t a, float zb, int32_t b) { return za > zb || (za == zb && a < b); }

/* Puts (z, id) at place i of a heap whose root is the worst of n candidates. */
static void head_sift(float *zs, int32_t *ids, int n, int i, float z, int32_t id) {
    for (int c; (c = 2 * i + 1) < n; i = c) {
        if (c + 1 < n && head_better(zs[c], ids[c], zs[c + 1], ids[c + 1])) c++;
        if (!head_better(z, id, zs[c], ids[c])) break;
        zs[i] = zs[c], ids[i] = ids[c];
    }
    zs[i] = z, ids[i] = id;
}

/* NaN is never among the best while there are numbers. */
static void head_top(const float *z, int vocab, const jt_head_want *w) {
    int n = w->n_top;
    float *zs = w->top_logits;
    int32_t *ids = w->top_ids;
    for (int i = 0; i < n; i++) zs[i] = z[i], ids[i] = i;
    for (int i = n / 2 - 1; i >= 0; i--) head_sift(zs, ids, n, i, zs[i], ids[i]);
    for (int i = n; i < vocab; i++)
        if (head_better(z[i], i, zs[0], ids[0])) head_sift(zs, ids, n, 0, z[i], i);
    for (int m = n - 1; m > 0; m--) { /* the worst goes last */
        float worst = zs[0];
        int32_t id = ids[0];
        head_sift(zs, ids, m, 0, zs[m], ids[m]);
        zs[m] = worst, ids[m] = id;
    }
}

static void head_reduce(const jt_head_run *r, float *z, const jt_head_want *w) {
    const jt_kernels *k = r->engine->kernels;
    int vocab = r->head->rows;
    if (r->cap > 0) jt_soft_cap(k->exp, r->cap, z, vocab);
    if (w->logits) memcpy(w->logits, z, (size_t)vocab * sizeof *z);
    if (w->n_top) head_top(z, vocab, w);
    if (!w->n_targets && !w->log_sum_exp && !w->entropy) return;
    double S, T;
    float m = k->max(z, vocab);
    k->sum_exp(z, vocab, m, &S, w->entropy ? &T : NULL);
    double ln = jt_log(S), lse = (double)m + ln;
    if (w->log_sum_exp) *w->log_sum_exp = lse;
    if (w->entropy) *w->entropy = ln - T / S;
    for (int i = 0; i < w->n_targets; i++) w->target_logprob[i] = (double)z[w->targets[i]] - lse;
}

typedef struct head_work {
    const jt_head_run *run;
    jt_turns taken; /* panels */
} head_work;

static void head_run(void *arg, int thread, int threads) {
    head_work *w = arg;
    const jt_head_run *r = w->run;
    const jt_kernels *k = r->engine->kernels;
    struct parts p = head_parts_of(r);
    size_t cols = (size_t)r->head->cols, vocab = (size_t)r->head->rows;
    const float *x = jt_buffer_at(r->hidden, r->hidden_at);
    jt_acts a = {.rows = r->rows, .cols = r->head->cols, .x = x, .b = p.b, .q = p.q, .d = p.d, .s = p.s};
    if (r->by != JT_BY_FLOAT) {
        for (size_t i = (size_t)thread; i < (size_t)r->rows; i += (size_t)threads)
            if (r->by == JT_BY_BF16)
                k->to_bf16(x + i * cols, r->head->cols, p.b + i * jt_bf16_stride(r->head->cols));
            else
                k->quantise(x + i * cols, r->head->cols, p.q + i * cols, p.d + i * (cols / JT_ACT_BLOCK), p.s + i * (cols / 32));
        jt_pool_barrier(r->engine->pool);
    }
    int panels = jt_matrix_panels(r->head), least = jt_matmul_least(r->head, r->rows, threads), first, end;
    while (jt_turns_part(&w->taken, panels, least, threads, &first, &end))
        jt_engine_count(r->engine, thread, jt_matmul(k, r->head, &a, r->by, first, end, p.logits, r->head->rows, r->scratch[thread]));
    jt_pool_barrier(r->engine->pool);
    for (size_t i = (size_t)thread; i < (size_t)r->rows; i += (size_t)threads) head_reduce(r, p.logits + i * vocab, &r->want[i]);
}

void jt_head(const jt_head_run *r) {
    jt_backend_enter(r->engine->backend);
    head_work w = {.run = r};
    jt_turns_reset(&w.taken);
    double since = r->engine->time ? jt_engine_clock() : 0;
    jt_pool_run(r->engine->pool, head_run, &w);
    if (r->engine->time) jt_engine_timed(r->engine, "head", jt_engine_clock() - since);
    jt_backend_leave(r->engine->backend);
}
