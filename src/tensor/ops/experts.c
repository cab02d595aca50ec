/* experts.c: products of rows with the weights of the experts that they chose (Shazeer et al. 2017, arXiv 1701.06538).
 *
 * The rows of an expert are brought together, so that its weights are read once for all of them. Threads take panels of
 * experts by cost. A row's product is one chain for each output whatever other rows chose, and the sum over its experts
 * goes by ascending index, so that no row's result depends on the others. */
#include "tensor/ops/experts.h"

#include <string.h>

#include "core/mem.h"

enum { EXPERTS_ROWS = 512 /* brought together at once */, EXPERTS_READ = 8 /* rows that cost as much as reading a panel */ };

static size_t experts_up(size_t n) { return (n + JT_ALIGN - 1) & ~(size_t)(JT_ALIGN - 1); }

size_t jt_expert_order_bytes(int rows, int k, int experts) {
    return experts_up(((size_t)experts + 1 + 2 * (size_t)rows * (size_t)k) * sizeof(int32_t));
}

void jt_expert_order_make(jt_expert_order *o, const float *route, int rows, int k, int experts, void *memory) {
    size_t n = (size_t)rows * (size_t)k;
    *o = (jt_expert_order){.experts = experts, .k = k, .start = memory};
    o->at = o->start + experts + 1, o->row = o->at + n;
    memset(o->start, 0, ((size_t)experts + 1) * sizeof *o->start);
    for (size_t i = 0; i < n; i++) o->start[(int)route[i / (size_t)k * 2 * (size_t)k + i % (size_t)k] + 1]++;
    for (int x = 0; x < experts; x++) o->start[x + 1] += o->start[x];
    for (size_t i = 0; i < n; i++) { /* start[x] runs to the end of x, which is the start of the next */
        int place = o->start[(int)route[i / (size_t)k * 2 * (size_t)k + i % (size_t)k]]++;
        o->at[i] = place, o->row[place] = (int32_t)(i / (size_t)k);
    }
    for (int x = experts; x > 0; x--) o->start[x] = o->start[x - 1];
    o->start[0] = 0;
}

/* What a panel of expert x costs: its rows, and as much again as reading it takes. */
static int64_t experts_cost(const jt_expert_order *o, int x) {
    int n = o->start[x + 1] - o->start[x];
    return n ? n + EXPERTS_READ : 0;
}

/* The first panel at or after cost `to`, where panels begin at `base` and cost c each. */
static int experts_panel(int64_t to, int64_t base, int64_t c, int panels) {
    int64_t p = to <= base ? 0 : (to - base + c - 1) / c;
    return p < panels ? (int)p : panels;
}

/* ---- products ---- */

typedef struct experts_work {
    const jt_weight *w; /* [experts] */
    jt_by by;
    int cols;
    bool placed; /* the input lies by place, and need not be brought together */
    jt_expert_order order;
    float *x; /* rows brought together: floats, bfloat16, or the parts of activations in 8 bits */
    uint16_t *b;
    int8_t *q;
    float *d, *s;
    void *scratch; /* of jt_matmul */
} experts_work;

static size_t experts_carve(experts_work *w, const jt_env *e, const jt_opnode *n, char *scratch) {
    int rows = jt_env_rows(e, n->in[0]), most = rows < EXPERTS_ROWS ? rows : EXPERTS_ROWS;
    w->w = &e->set[n->weight[0].set]->w[n->weight[0].tensor];
    const jt_matrix *m = &w->w->matrix;
    w->by = jt_elem_by(e->list->value[n->in[0]].elem);
    w->cols = m->cols, w->placed = n->i[2];
    bool apart = !w->placed || w->by == JT_BY_BF16;
    size_t at = jt_expert_order_bytes(rows, n->i[0], n->i[1]), cells = apart ? (size_t)most * (size_t)m->cols : 0;
    w->x = (float *)(void *)(scratch + at), w->q = (int8_t *)(scratch + at), w->b = (uint16_t *)(void *)(scratch + at);
    if (w->by == JT_BY_INT8) at += experts_up(cells);
    w->d = (float *)(void *)(scratch + at), w->s = w->d + cells / JT_ACT_BLOCK;
    size_t floats = w->by == JT_BY_INT8 ? cells / JT_ACT_BLOCK + cells / 32 : cells;
    at += experts_up(w->by == JT_BY_BF16 ? (size_t)most * jt_bf16_stride(m->cols) * sizeof *w->b : floats * sizeof(float));
    w->scratch = scratch + at;
    return at + jt_matmul_scratch(m, w->by);
}

/* Places [from, from + n): brought together, or where they lie. */
static jt_acts experts_rows(const jt_env *e, const jt_opnode *n, const experts_work *w, int from, int count) {
    size_t cols = (size_t)w->cols, blocks = cols / JT_ACT_BLOCK, sums = cols / 32, wide = jt_bf16_stride(w->cols), k = (size_t)n->i[0];
    jt_acts all = jt_env_acts(e, n->in[0], 0, count);
    if (w->placed && w->by != JT_BY_BF16) {
        size_t f = (size_t)from;
        all.cols = w->cols;
        if (w->by == JT_BY_FLOAT) all.x += f * cols;
        if (w->by == JT_BY_INT8) all.q += f * cols, all.d += f * blocks, all.s += f * sums;
        return all;
    }
    for (size_t i = 0; i < (size_t)count; i++) {
        size_t place = (size_t)from + i, r = (size_t)w->order.row[place];
        if (w->by == JT_BY_FLOAT) memcpy(w->x + i * cols, all.x + r * cols, cols * sizeof *w->x);
        if (w->by == JT_BY_BF16) { /* places of one row lie side by side */
            const uint16_t *b = w->placed ? all.b + place / k * jt_bf16_stride(all.cols) + place % k * cols : all.b + r * wide;
            memcpy(w->b + i * wide, b, cols * sizeof *w->b);
            if (cols % 2) w->b[i * wide + cols] = 0;
        }
        if (w->by != JT_BY_INT8) continue;
        memcpy(w->q + i * cols, all.q + r * cols, cols);
        memcpy(w->d + i * blocks, all.d + r * blocks, blocks * sizeof *w->d);
        memcpy(w->s + i * sums, all.s + r * sums, sums * sizeof *w->s);
    }
    return (jt_acts){.rows = count, .cols = w->cols, .x = w->x, .b = w->b, .q = w->q, .d = w->d, .s = w->s};
}

/* Panels [first, end) of expert x for all its rows. */
static size_t experts_product(const jt_env *e, const jt_opnode *n, const experts_work *w, int x, int first, int end) {
    const jt_kernels *k = e->engine->kernels;
    const jt_matrix *m = &w->w[x].matrix;
    const float *bias = n->weight[1].tensor == JT_NO_TENSOR ? NULL : e->set[n->weight[1].set]->w[n->weight[1].tensor].vector;
    size_t outputs = (size_t)m->rows, o = (size_t)first * JT_PANEL, read = 0;
    int width = (end * JT_PANEL < m->rows ? end * JT_PANEL : m->rows) - (int)o;
    for (int at = w->order.start[x]; at < w->order.start[x + 1]; at += EXPERTS_ROWS) {
        int left = w->order.start[x + 1] - at, count = left < EXPERTS_ROWS ? left : EXPERTS_ROWS;
        jt_acts a = experts_rows(e, n, w, at, count);
        float *y = jt_env_f32(e, n->out[0]) + (size_t)at * outputs + o;
        read += jt_matmul_panels(k, m, &a, w->by, first, end, y, m->rows, w->scratch);
        for (int i = 0; bias && i < count; i++)
            k->add(y + (size_t)i * outputs, bias + (size_t)x * outputs + o, width, y + (size_t)i * outputs);
    }
    return read;
}

/* The panels that begin within [from, to) of the cost of all. */
static size_t experts_part(const jt_env *e, const jt_opnode *n, const experts_work *w, int panels, int64_t from, int64_t to) {
    size_t read = 0;
    int64_t base = 0;
    for (int x = 0; x < n->i[1] && base < to; x++) {
        int64_t c = experts_cost(&w->order, x);
        if (!c) continue;
        int first = experts_panel(from, base, c, panels), end = experts_panel(to, base, c, panels);
        if (first < end) read += experts_product(e, n, w, x, first, end);
        base += c * panels;
    }
    return read;
}

static void experts_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    experts_work w;
    int rows = jt_env_rows(e, n->in[0]), chosen = 0, first, end;
    if (!rows) return;
    experts_carve(&w, e, n, s->scratch);
    jt_expert_order_make(&w.order, jt_env_f32(e, n->in[1]), rows, n->i[0], n->i[1], s->scratch);
    int panels = jt_matrix_panels(&w.w->matrix);
    int64_t one = 0; /* the cost of a panel of each chosen expert */
    for (int x = 0; x < n->i[1]; x++) one += experts_cost(&w.order, x), chosen += w.order.start[x + 1] > w.order.start[x];
    if (!chosen) return;
    int64_t total = one * panels, unit = total / (1 << 30) + 1;
    int least = jt_matmul_least(&w.w->matrix, (rows * n->i[0] + chosen - 1) / chosen, s->threads);
    int64_t cost = least * (one / chosen) / unit;
    size_t read = 0;
    while (jt_turns_part(s->taken, (int)((total + unit - 1) / unit), cost > 0 ? (int)cost : 1, s->threads, &first, &end))
        read += experts_part(e, n, &w, panels, first * unit, end * unit);
    jt_engine_count(e->engine, s->thread, read);
}

static size_t experts_scratch(const jt_env *e, const jt_opnode *n) {
    experts_work w;
    return experts_carve(&w, e, n, (char *)(uintptr_t)JT_ALIGN);
}

/* ---- the sum over a row's experts ---- */

static void experts_sum_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    const float *x = jt_env_f32(e, n->in[0]), *route = jt_env_f32(e, n->in[1]);
    float *y = jt_env_f32(e, n->out[0]);
    int rows = jt_env_rows(e, n->in[0]), k = n->i[0], first, end;
    size_t width = (size_t)e->list->value[n->out[0]].width;
    jt_expert_order o;
    jt_expert_order_make(&o, route, rows, k, n->i[1], s->scratch);
    jt_share_rows(s, rows, &first, &end);
    for (size_t r = (size_t)first; r < (size_t)end; r++) {
        const float *weight = route + r * 2 * (size_t)k + k;
        float *to = y + r * width;
        for (int j = 0; j < k; j++) {
            const float *from = x + (size_t)o.at[r * (size_t)k + (size_t)j] * width, by = weight[j];
            if (!j)
                for (size_t i = 0; i < width; i++) to[i] = by * from[i];
            else
                for (size_t i = 0; i < width; i++) to[i] += by * from[i];
        }
    }
}

static size_t experts_sum_scratch(const jt_env *e, const jt_opnode *n) {
    return jt_expert_order_bytes(jt_env_rows(e, n->in[0]), n->i[0], n->i[1]);
}

const jt_op jt_op_experts = {.name = "experts", .split = JT_SPLIT_OTHER, .forward = experts_forward, .scratch = experts_scratch};
/* Reads rows by place: not row-wise in its first input. */
const jt_op jt_op_experts_sum = {
    .name = "experts-sum", .split = JT_SPLIT_OTHER, .forward = experts_sum_forward, .scratch = experts_sum_scratch};
