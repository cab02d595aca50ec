/* check-kernels: compares every kernel of every variant with the scalar one, and times it.
 *
 *     check-kernels [--seed N] [--no-time] [--formats NAME,...] [VARIANT ...]
 *
 * Fused operators are timed beside the runs that they replace; that their bits are equal is test_fuse's to say.
 * --formats times the products of these formats alone. Exit status 1 when a variant
 * differs. Rates are for one thread: GOP/s of products (a multiplication and an
 * addition are two) with their share of the measured peak, GB/s of memory touched
 * otherwise. */
#include <time.h>

#include "tensor/kernel_cases.h"
#include "tensor/op.h"
#include "tensor/peak.h"

static void report(const char *what) { fprintf(stderr, "DIFFERS: %s\n", what); }

/* Processor time of this thread, so that what else runs on the machine counts less; where threads work together, of the
 * wall clock. */
static clockid_t bench_clock = CLOCK_THREAD_CPUTIME_ID;
static double now(void) {
    struct timespec t;
    clock_gettime(bench_clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds of one call of `what`, the best of some slices of at least a millisecond. */
#define TIME(seconds, what)                                                                                                                \
    do {                                                                                                                                   \
        long times_ = 1;                                                                                                                   \
        seconds = 1e9;                                                                                                                     \
        for (int slice_ = 0; slice_ < 8;) {                                                                                                \
            double start_ = now();                                                                                                         \
            for (long i_ = 0; i_ < times_; i_++) what;                                                                                     \
            double took_ = now() - start_;                                                                                                 \
            if (took_ < 2e-3) {                                                                                                            \
                times_ *= 2;                                                                                                               \
                continue;                                                                                                                  \
            }                                                                                                                              \
            if (took_ / (double)times_ < seconds) seconds = took_ / (double)times_;                                                        \
            slice_++;                                                                                                                      \
        }                                                                                                                                  \
    } while (0)

static const char *const bench_by[] = {"float", "int8", "bf16"};

/* A product of a matrix of 512 outputs, in cache, for some heights. */
static void time_products(cases *c, const jt_format *f, jt_by by, int cols, double peak) {
    enum { OUTPUTS = 512 };
    static const int heights[] = {1, 4, 16, 64, 256};
    const jt_kernels *k = c->k;
    jt_matrix m;
    size_t cells = (size_t)OUTPUTS * (size_t)cols;
    unsigned char *weights = cases_memory(cells * 4);
    cases_weights(c, f, cells, WEIGHTS_RANDOM, weights);
    if (jt_matrix_init(&m, f, OUTPUTS, cols, weights, NULL)) abort();
    if (by == JT_BY_BF16) jt_matrix_for_bf16(&m);
    if (jt_matrix_alloc_packed(&m, NULL)) abort();
    jt_matrix_pack_panels(k, &m, 0, jt_matrix_panels(&m));
    void *scratch = cases_memory(jt_matmul_scratch(&m, by));
    float *x = cases_floats(c, (size_t)256 * (size_t)cols, FLOATS_PLAIN), *y = cases_memory((size_t)256 * OUTPUTS * 4);
    jt_acts a = cases_acts(c, 256, cols, FLOATS_PLAIN, 0);
    uint16_t *b = cases_bf16(x, 256, cols);
    a.bias = NULL, a.x = x, a.b = b;
    printf("  %-5s %-5s K %-5d", bench_by[by], f->name, cols);
    for (size_t i = 0; i < sizeof heights / sizeof *heights; i++) {
        a.rows = heights[i];
        double s, rate;
        TIME(s, jt_matmul(k, &m, &a, by, 0, jt_matrix_panels(&m), y, OUTPUTS, scratch));
        rate = 2.0 * (double)cells * a.rows / s;
        printf("  %3d: %6.1f (%2.0f%%)", a.rows, rate * 1e-9, 100 * rate / peak);
    }
    void *packed = m.packed;
    m.packed = NULL, a.rows = 64;
    double s;
    TIME(s, jt_matmul(k, &m, &a, by, 0, jt_matrix_panels(&m), y, OUTPUTS, scratch));
    printf("  mapped 64: %6.1f", 2.0 * (double)cells * 64 / s * 1e-9);
    m.packed = packed;
    TIME(s, jt_matrix_pack_panels(k, &m, 0, 1));
    printf("  pack %5.1f GB/s\n", (double)m.panel_bytes / s * 1e-9);
    jt_free(packed);
    jt_free(weights);
    jt_free(scratch);
    jt_free(x);
    jt_free(b);
    jt_free(y);
    jt_free((void *)a.q);
    jt_free((void *)a.d);
    jt_free((void *)a.s);
}

/* One row by a matrix larger than the caches: what a generated token pays. */
static void time_stream(cases *c, const jt_format *f, jt_by by) {
    enum { COLS = 2048, OUTPUTS = 65536 };
    jt_matrix m;
    size_t row = (size_t)COLS / f->block * f->bytes;
    unsigned char *weights = cases_memory(row * OUTPUTS);
    cases_weights(c, f, (size_t)COLS * 64, WEIGHTS_RANDOM, weights);
    for (size_t i = 64; i < OUTPUTS; i += 64) memcpy(weights + i * row, weights, 64 * row);
    if (jt_matrix_init(&m, f, OUTPUTS, COLS, weights, NULL)) abort();
    if (by == JT_BY_BF16) jt_matrix_for_bf16(&m);
    if (jt_matrix_alloc_packed(&m, NULL)) abort();
    jt_matrix_pack_panels(c->k, &m, 0, jt_matrix_panels(&m));
    jt_free(weights);
    void *scratch = cases_memory(jt_matmul_scratch(&m, by));
    jt_acts a = cases_acts(c, 1, COLS, FLOATS_PLAIN, 0);
    float *x = cases_floats(c, COLS, FLOATS_PLAIN), *y = cases_memory(OUTPUTS * 4);
    uint16_t *b = cases_bf16(x, 1, COLS);
    a.bias = NULL, a.x = x, a.b = b;
    double s, bytes = (double)m.panel_bytes * jt_matrix_panels(&m);
    TIME(s, jt_matmul(c->k, &m, &a, by, 0, jt_matrix_panels(&m), y, OUTPUTS, scratch));
    double pass;
    TIME(pass, jt_read_bandwidth(c->k, m.packed, (size_t)bytes & ~(size_t)255, 0));
    double bandwidth = bytes / pass;
    printf("  %-5s %-5s one row from memory %5.1f GB/s, plain reading %5.1f (%2.0f%%)\n", bench_by[by], f->name, bytes / s * 1e-9,
           bandwidth * 1e-9, 100 * bytes / s / bandwidth);
    jt_matrix_free_packed(&m);
    jt_free(scratch);
    jt_free(x);
    jt_free(b);
    jt_free(y);
    jt_free((void *)a.q);
    jt_free((void *)a.d);
    jt_free((void *)a.s);
}

static void time_rows(cases *c) {
    enum { N = 1536, VOCABULARY = 49152 };
    const jt_kernels *k = c->k;
    float *x = cases_floats(c, VOCABULARY, FLOATS_PLAIN), *w = cases_floats(c, VOCABULARY, FLOATS_PLAIN), *y = cases_memory(VOCABULARY * 4);
    float *d = cases_memory(N), *sums = cases_memory(N);
    int8_t *q = cases_memory(N);
    uint16_t *h = cases_memory(N * 2);
    double s, S, T;
    volatile float sink;
#define ROW(name, n, what)                                                                                                                 \
    TIME(s, what);                                                                                                                         \
    printf("  %-10s %6.2f ns for 16 of %d\n", name, s * 16e9 / (n), n);
    ROW("quantise", N, k->quantise(x, N, q, d, sums))
    ROW("rms_norm", N, k->rms_norm(x, w, N, 1e-5f, y, NULL))
    ROW("add", N, k->add(x, w, N, y))
    ROW("swiglu", N, k->swiglu(x, w, N, y))
    ROW("rope", N, k->rope(y, N / 64, 64, 64, 0, x, w))
    ROW("exp", N, k->exp(x, N, y))
    ROW("conv", N, k->conv((const float *[]){x, x + N, x + 2 * N, x + 3 * N}, w, N, w, 4, N, y))
    ROW("recur", 64 * 128, k->recur(&(jt_recur){64, 128, y, y, x, x, w, 0.5f, 0.5f, 1, y + 64 * 128}))
    ROW("to_bf16", N, k->to_bf16(x, N, h))
    ROW("to_f16", N, k->to_f16(x, N, h))
    ROW("from_f16", N, k->from_f16(h, N, y))
    ROW("to_q8", N, k->to_q8(x, N, q, h))
    ROW("max", VOCABULARY, sink = k->max(x, VOCABULARY))
    ROW("sum_exp", VOCABULARY, k->sum_exp(x, VOCABULARY, 3, &S, &T))
#undef ROW
    (void)sink;
    jt_free(x);
    jt_free(w);
    jt_free(y);
    jt_free(d);
    jt_free(sums);
    jt_free(q);
    jt_free(h);
}

enum { ATTENTION_DIM = 64 };

/* Keys and values in `kk` and `vv`, in one type of the cache. */
static void time_attention_type(cases *c, double peak, jt_type type, const void *kk, const void *vv) {
    enum { DIM = ATTENTION_DIM, MOST = 48 };
    static const int queries[] = {1, 3, 6, 12, 48};
    float *x = cases_floats(c, MOST * DIM, FLOATS_PLAIN), *acc = cases_memory(MOST * DIM * 4), m[MOST], l[MOST];
    const float *q[MOST];
    float *to[MOST];
    uint32_t visible[MOST];
    for (int i = 0; i < MOST; i++) q[i] = x + i * DIM, to[i] = acc + i * DIM, m[i] = -INFINITY, l[i] = 0, visible[i] = ~0u;
    printf("  attn_tile dim 64 %-4s, GFLOP/s of 4 * 32 * 64 a query:", jt_format_of(type)->name);
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        jt_attn_tile t = {.nq = queries[i],
                          .dim = DIM,
                          .type = type,
                          .k = kk,
                          .v = vv,
                          .scale = 0.125f,
                          .q = q,
                          .visible = visible,
                          .m = m,
                          .l = l,
                          .acc = to};
        double s;
        TIME(s, c->k->attn_tile(&t));
        double rate = 4.0 * JT_TILE * DIM * queries[i] / s;
        printf("  %d: %.1f (%.0f%%)", queries[i], rate * 1e-9, 100 * rate / peak);
    }
    printf("\n");
    jt_free(x);
    jt_free(acc);
}

static void time_attention(cases *c, double peak) {
    enum { CELLS = ATTENTION_DIM * JT_TILE };
    float *k = cases_floats(c, CELLS, FLOATS_PLAIN), *v = cases_floats(c, CELLS, FLOATS_PLAIN);
    void *kk = cases_memory(CELLS * 4), *vv = cases_memory(CELLS * 4);
    time_attention_type(c, peak, JT_F32, k, v);
    jt_kernels_scalar.to_f16(k, CELLS, kk);
    jt_kernels_scalar.to_f16(v, CELLS, vv);
    time_attention_type(c, peak, JT_F16, kk, vv);
    cases_tile_q8(c, k, ATTENTION_DIM, false, 0, kk);
    cases_tile_q8(c, v, ATTENTION_DIM, true, 0, vv);
    time_attention_type(c, peak, JT_Q8_0, kk, vv);
    jt_free(k);
    jt_free(v);
    jt_free(kk);
    jt_free(vv);
}

/* ---- fused operators against the runs that they replace, in lists as a model has them */

enum { FUSED_HIDDEN = 1024, FUSED_FFN = 4096, FUSED_ROWS = 512, FUSED_THREADS = 2 };

typedef struct fused_bench {
    jt_engine *engine;
    jt_weights weights;
    const jt_weights *set[1];
    float *x; /* what every row is made from */
    const float *vector[FUSED_ROWS];
} fused_bench;

static jt_val fused_input(jt_list *l, int width) {
    return jt_list_node(l, &jt_op_vectors, -1)->out[0] = jt_list_value(l, JT_ROWS_WANTED, JT_ELEM_F32, width);
}

/* A node that reads a and b. */
static jt_opnode *fused_node(jt_list *l, const jt_op *op, jt_val a, jt_val b) {
    jt_opnode *n = jt_list_node(l, op, 0);
    n->in[0] = a, n->in[1] = b;
    return n;
}

static jt_val fused_value(jt_list *l, jt_opnode *n, jt_elem elem, int width) {
    return n->out[0] = jt_list_value(l, JT_ROWS_WANTED, elem, width);
}

static void fused_norm(jt_list *l) {
    jt_opnode *n = fused_node(l, &jt_op_rms_norm, fused_input(l, FUSED_HIDDEN), JT_NOVAL);
    n->weight[0] = (jt_ref){0, 2}, n->f[0] = 1e-5f;
    jt_val y = fused_value(l, n, JT_ELEM_F32, FUSED_HIDDEN);
    fused_value(l, fused_node(l, &jt_op_quantise, y, JT_NOVAL), JT_ELEM_ACT, FUSED_HIDDEN);
}

static void fused_gate(jt_list *l) {
    jt_val x = fused_input(l, FUSED_HIDDEN), y[2];
    x = fused_value(l, fused_node(l, &jt_op_quantise, x, JT_NOVAL), JT_ELEM_ACT, FUSED_HIDDEN);
    for (uint16_t i = 0; i < 2; i++) {
        jt_opnode *n = fused_node(l, &jt_op_matmul, x, JT_NOVAL);
        n->weight[0] = (jt_ref){0, i};
        y[i] = fused_value(l, n, JT_ELEM_F32, FUSED_FFN);
    }
    jt_val z = fused_value(l, fused_node(l, &jt_op_swiglu, y[0], y[1]), JT_ELEM_F32, FUSED_FFN);
    fused_value(l, fused_node(l, &jt_op_quantise, z, JT_NOVAL), JT_ELEM_ACT, FUSED_FFN);
}

static void fused_nodes(const jt_env *e, size_t first) {
    jt_turns taken;
    jt_share share = {0, 1, e->scratch[0], &taken};
    for (size_t i = first; i < e->list->n_node; i++) {
        jt_turns_reset(&taken);
        e->list->node[i].op->forward(e, &e->list->node[i], &share);
    }
}

/* Seconds of the nodes from `first` on; on several threads of all. */
static double fused_seconds(fused_bench *b, void (*build)(jt_list *), bool fuse, int rows, size_t first) {
    jt_list l = {0};
    build(&l);
    if (fuse) jt_list_fuse(&l);
    if (jt_list_plan(&l, NULL)) abort();
    jt_env e = {.engine = b->engine, .list = &l, .set = b->set, .rows = {0, rows}, .vector = b->vector};
    if (jt_buffer_new(b->engine->backend, jt_list_storage(&l, e.rows, e.class_at), "values", &e.storage, NULL)) abort();
    int threads = jt_engine_threads(b->engine);
    void *scratch[FUSED_THREADS];
    for (int i = 0; i < threads; i++) scratch[i] = cases_memory(jt_list_scratch(&l, &e));
    e.scratch = scratch;
    jt_list_run(&e);
    double s;
    bench_clock = threads > 1 ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
    if (threads > 1)
        TIME(s, jt_list_run(&e));
    else
        TIME(s, fused_nodes(&e, first));
    bench_clock = CLOCK_THREAD_CPUTIME_ID;
    for (int i = 0; i < threads; i++) jt_free(scratch[i]);
    jt_buffer_free(e.storage);
    jt_list_free(&l);
    return s;
}

static void fused_line(fused_bench *b, const char *name, void (*build)(jt_list *), size_t first) {
    static const int rows[] = {1, 16, 64, FUSED_ROWS};
    printf("  %-36s", name);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double apart = fused_seconds(b, build, false, rows[i], first), fused = fused_seconds(b, build, true, rows[i], first);
        printf("  %3d: %9.2f us, fused %9.2f (%.2f)", rows[i], apart * 1e6, fused * 1e6, apart / fused);
    }
    printf("\n");
}

static void time_fused(cases *c, const jt_format *f, int threads) {
    fused_bench b = {0};
    size_t cells = (size_t)FUSED_FFN * FUSED_HIDDEN;
    unsigned char *data = cases_memory(cells / f->block * f->bytes);
    float *norm = cases_floats(c, FUSED_HIDDEN, FLOATS_PLAIN);
    uint16_t index;
    cases_weights(c, f, cells, WEIGHTS_RANDOM, data);
    if (jt_engine_new(&(jt_engine_options){.threads = threads, .kernels = c->k->name}, &b.engine, NULL)) abort();
    for (int i = 0; i < 2; i++)
        if (jt_weights_add(&b.weights, i ? "up" : "gate", f, FUSED_FFN, FUSED_HIDDEN, false, data, &index, NULL)) abort();
    if (jt_weights_add(&b.weights, "norm", jt_format_of(JT_F32), 1, FUSED_HIDDEN, true, norm, &index, NULL)) abort();
    for (int i = 0; i < 2; i++) {
        jt_matrix *m = &b.weights.w[i].matrix;
        if (jt_matrix_alloc_packed(m, NULL)) abort();
        jt_matrix_pack_panels(c->k, m, 0, jt_matrix_panels(m));
    }
    b.set[0] = &b.weights;
    b.x = cases_floats(c, (size_t)FUSED_ROWS * FUSED_HIDDEN, FLOATS_PLAIN);
    for (int i = 0; i < FUSED_ROWS; i++) b.vector[i] = b.x + (size_t)i * FUSED_HIDDEN;
    printf("  fused operators, weights %s, threads %d, by rows (how many times as fast):\n", f->name, threads);
    fused_line(&b, "gate, up, swiglu, quantise 1024 4096", fused_gate, 2);
    fused_line(&b, "rms-norm, quantise 1024", fused_norm, 1);
    jt_weights_free(&b.weights);
    jt_engine_free(b.engine);
    jt_free(data), jt_free(norm), jt_free(b.x);
}

/* Whether a list with commas holds the name. */
static bool has_name(const char *list, const char *name) {
    size_t n = strlen(name);
    for (const char *p = list; (p = strstr(p, name)); p += n)
        if ((p == list || p[-1] == ',') && (!p[n] || p[n] == ',')) return true;
    return false;
}

static void time_variant(cases *c, const char *formats) {
    double int8 = jt_peak_int8(c->k, 0.2), flt = jt_peak_float(c->k, 0.2), bf16 = jt_peak_bf16(c->k, 0.2), clock = jt_core_clock(0.1);
    double int8_cycle, float_cycle, bf16_cycle;
    jt_peak_per_cycle(c->k, &int8_cycle, &float_cycle, &bf16_cycle);
    printf("  clock %.2f GHz; peaks of one thread: int8 %.1f GOP/s (%.0f%% of %.0f a cycle), float %.1f (%.0f%% of %.0f), bf16 %.1f "
           "(%.0f%% of %.0f)\n",
           clock * 1e-9, int8 * 1e-9, 100 * int8 / clock / int8_cycle, int8_cycle, flt * 1e-9, 100 * flt / clock / float_cycle, float_cycle,
           bf16 * 1e-9, 100 * bf16 / clock / bf16_cycle, bf16_cycle);
    printf("  GOP/s by rows of activations:\n");
    int n;
    const jt_format *f = jt_formats(&n);
    bool wanted[64];
    for (int i = 0; i < n && i < 64; i++) wanted[i] = f[i].panel != JT_PANEL_NONE && (!formats || has_name(formats, f[i].name));
    for (int i = 0; i < n; i++)
        if (wanted[i] && f[i].quantised)
            time_products(c, &f[i], JT_BY_INT8, f[i].block > 32 ? 512 : 576, int8), time_products(c, &f[i], JT_BY_INT8, 1536, int8);
    for (int i = 0; i < n; i++)
        if (wanted[i]) time_products(c, &f[i], JT_BY_FLOAT, f[i].block > 32 ? 512 : 576, flt);
    for (int i = 0; i < n; i++)
        if (wanted[i] && (!f[i].quantised || f[i].type == JT_Q8_0))
            time_products(c, &f[i], JT_BY_BF16, 576, bf16), time_products(c, &f[i], JT_BY_BF16, 2048, bf16);
    for (int i = 0; i < n; i++)
        if (wanted[i] && c->k != &jt_kernels_scalar) time_stream(c, &f[i], f[i].quantised ? JT_BY_INT8 : JT_BY_FLOAT);
    for (int i = 0; i < n; i++)
        if (wanted[i] && f[i].type == JT_F16 && c->k != &jt_kernels_scalar) time_stream(c, &f[i], JT_BY_BF16);
    if (formats) return;
    time_rows(c);
    time_attention(c, flt);
    for (int i = 0; i < n; i++)
        for (int t = 1; t <= FUSED_THREADS && wanted[i] && f[i].quantised && !f[i].codes && c->k != &jt_kernels_scalar; t++)
            time_fused(c, &f[i], t);
}

int main(int argc, char **argv) {
    static const char *const all[] = {"scalar", "avx2", "avxvnni", "avx512", "avx512bf16", "neon"};
    uint64_t seed = 1;
    bool timing = true;
    const char *formats = NULL;
    int failed = 0, named = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--no-time")) {
            timing = false;
        } else if (!strcmp(argv[i], "--seed") && i + 1 < argc) {
            seed = strtoull(argv[++i], NULL, 10);
        } else if (!strcmp(argv[i], "--formats") && i + 1 < argc) {
            formats = argv[++i];
        } else if (argv[i][0] == '-') {
            fprintf(stderr, "usage: check-kernels [--seed N] [--no-time] [--formats NAME,...] [VARIANT ...]\n");
            return 2;
        } else {
            named++;
        }
    }
    for (size_t v = 0; v < sizeof all / sizeof *all; v++) {
        bool wanted = !named;
        for (int i = 1; i < argc; i++)
            if (!strcmp(argv[i], all[v])) wanted = true;
        const jt_kernels *k = jt_kernels_pick(all[v], NULL);
        if (!wanted) continue;
        if (!k) {
            printf("%s: not on this processor\n", all[v]);
            continue;
        }
        cases c = {.k = k, .random = seed, .report = report};
        if (!formats) cases_run(&c);
        printf("%s: %d comparisons, %d differ\n", k->name, c.compared, c.failed);
        failed += c.failed;
        if (timing) time_variant(&c, formats);
    }
    return failed ? 1 : 0;
}
