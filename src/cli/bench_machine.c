#include "cli/bench_machine.h"

#include <math.h>

#include "core/file.h"
#include "core/mem.h"
#include "model/model.h"
#include "tensor/engine.h"
#include "tensor/peak.h"

enum { TRIES = 2 };
/* Seconds of one measurement. Memory is read as long as a test takes: neighbours leave more of it for a moment than they do for longer. */
static const double LOOP = 0.1, READ = 0.5;

typedef struct probe {
    const jt_kernels *kernels;
    jt_pool *pool;
    uint8_t *buffer; /* [threads][bytes] */
    size_t bytes;
    double *clock, *int8, *flt, *bf16, *read; /* [threads] */
} probe;

static void measure(void *arg, int thread, int threads) {
    probe *p = arg;
    uint8_t *mine = p->buffer + (size_t)thread * p->bytes;
    (void)threads;
    memset(mine, thread + 1, p->bytes);
    jt_pool_barrier(p->pool);
    p->clock[thread] = jt_core_clock(LOOP / 4);
    p->int8[thread] = jt_peak_int8(p->kernels, LOOP);
    p->flt[thread] = jt_peak_float(p->kernels, LOOP);
    p->bf16[thread] = jt_peak_bf16(p->kernels, LOOP);
    jt_pool_barrier(p->pool);
    p->read[thread] = jt_read_bandwidth(p->kernels, mine, p->bytes, READ);
}

static double best(double a, const double *x, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i];
    return sum > a ? sum : a;
}

static size_t buffer_bytes(int threads) {
    uint64_t all = 256u << 20, spare = jt_memory_available() / 4;
    if (spare && all > spare) all = spare;
    return (size_t)(all / (uint64_t)threads) & ~(size_t)4095;
}

jt_status jt_limits_measure(jt_engine *e, jt_limits *out, double *read, jt_error *err) {
    int n = jt_pool_threads(e->pool);
    probe p = {.kernels = e->kernels, .pool = e->pool, .bytes = buffer_bytes(n)};
    if (p.bytes == 0) return jt_error_set(err, JT_NOMEM, "too little free memory to measure how fast it is read");
    double *x = jt_alloc((size_t)n, 5 * sizeof *x), int8, flt, bf16;
    p.buffer = jt_alloc_large((size_t)n, p.bytes);
    if (!x || !p.buffer) {
        jt_free(x);
        jt_free(p.buffer);
        return jt_nomem(err, "the buffer that is read", (size_t)n, p.bytes);
    }
    p.clock = x, p.int8 = x + n, p.flt = x + 2 * n, p.bf16 = x + 3 * n, p.read = x + 4 * n;
    *read = 0, out->clock *= n;
    for (int i = 0; i < TRIES; i++) {
        jt_pool_run(p.pool, measure, &p);
        out->clock = best(out->clock, p.clock, n);
        out->int8 = best(out->int8, p.int8, n);
        out->flt = best(out->flt, p.flt, n);
        out->bf16 = best(out->bf16, p.bf16, n);
        *read = best(*read, p.read, n);
    }
    jt_peak_per_cycle(e->kernels, &int8, &flt, &bf16);
    out->int8_ports = int8 * out->clock;
    out->flt_ports = flt * out->clock;
    out->clock /= n;
    jt_free(x);
    jt_free(p.buffer);
    return JT_OK;
}

double jt_limits_peak(const jt_limits *l, jt_by by) { return by == JT_BY_INT8 ? l->int8 : by == JT_BY_BF16 ? l->bf16 : l->flt; }
const char *jt_by_name(jt_by by) { return by == JT_BY_INT8 ? "int8" : by == JT_BY_BF16 ? "bf16" : "float"; }

static double demand_held(const jt_matrix *x) {
    return x->packed ? (double)jt_matrix_panels(x) * (double)x->panel_bytes : (double)x->row_bytes * x->rows;
}

/* Of experts only those count that a token goes to. */
static void demand_experts(const jt_model *m, jt_demand *d) {
    static const jt_role role[] = {JT_W_X_GATE, JT_W_X_UP, JT_W_X_DOWN};
    int experts = m->config.router.experts;
    double ops = 0;
    for (int l = 0; l < m->config.layers; l++)
        for (int r = 0; r < 3; r++) {
            jt_ref ref = m->ref[jt_net_ref_index(l, role[r])];
            for (int x = 0; ref.tensor != JT_NO_TENSOR && x < experts; x++) {
                const jt_matrix *w = &m->weights.w[ref.tensor + x].matrix;
                d->expert_bytes += demand_held(w), ops += 2.0 * w->rows * w->cols;
            }
        }
    d->expert_part = experts ? (double)m->config.router.used / experts : 1;
    d->bytes -= (1 - d->expert_part) * d->expert_bytes;
    d->prompt_ops -= (1 - d->expert_part) * ops;
}

double jt_demand_bytes(const jt_demand *d, double rows) {
    return d->bytes + d->expert_bytes * (1 - d->expert_part - pow(1 - d->expert_part, rows));
}

jt_demand jt_demand_of(const jt_model *m) {
    jt_demand d = {.format = "none"};
    const jt_weight *head = &m->weights.w[m->ref[JT_W_HEAD].tensor], *embed = &m->weights.w[m->ref[JT_W_EMBED].tensor];
    double quantised = 0, most = 0;
    int formats;
    const jt_format *f = jt_formats(&formats);
    for (int i = 0; i < formats; i++) {
        double bytes = 0;
        for (size_t k = 0; k < m->weights.n; k++)
            if (!m->weights.w[k].vector && m->weights.w[k].matrix.format == &f[i])
                bytes += (double)m->weights.w[k].matrix.row_bytes * m->weights.w[k].matrix.rows;
        if (bytes > most) most = bytes, d.format = f[i].name;
    }
    for (size_t k = 0; k < m->weights.n; k++) {
        const jt_weight *w = &m->weights.w[k];
        const jt_matrix *x = &w->matrix;
        if (w->vector || (w == embed && w != head)) continue;
        d.bytes += demand_held(x);
        if (w == head) {
            d.head_ops = 2.0 * x->rows * x->cols;
            continue;
        }
        d.prompt_ops += 2.0 * x->rows * x->cols;
        if (x->format->quantised) quantised += 2.0 * x->rows * x->cols;
    }
    d.by = m->options.activations == JT_ACT_BF16                                   ? JT_BY_BF16
           : m->options.activations == JT_ACT_INT8 && quantised > d.prompt_ops / 2 ? JT_BY_INT8
                                                                                   : JT_BY_FLOAT;
    demand_experts(m, &d);
    return d;
}
