/* pack.c: weight matrices in panels, and products over them.
 *
 * The loops here choose only who computes which output and when; the order of
 * every sum belongs to the kernels. Panels go in groups that stay in the second-level
 * cache while blocks of 64 rows of activations pass by, so that weights come from
 * memory once for a whole pass. */
#include "tensor/pack.h"

#include <string.h>

#include "core/mem.h"
#include "tensor/panel.h"

enum { ROW_BLOCK = 64, GROUP_BYTES = 128 << 10 };

size_t jt_panel_bytes(jt_panel_kind kind, int cols) {
    size_t n = (size_t)cols;
    switch (kind) {
    case JT_PANEL_F32: return n * JT_PANEL * 4;
    case JT_PANEL_F16:
    case JT_PANEL_BF16: return n * JT_PANEL * 2;
    case JT_PANEL_PAIRS: return (n + 1) / 2 * JT_PANEL * 4;
    case JT_PANEL_NONE: return 0;
    default: return jt_panel_group(jt_panel_facts_of(kind), n / 32);
    }
}

jt_status jt_matrix_init(jt_matrix *m, const jt_format *f, int rows, int cols, const void *data, jt_error *err) {
    if (!f->expand || f->panel == JT_PANEL_NONE)
        return jt_error_set(err, JT_UNSUPPORTED, "weights in format %s cannot be computed with; convert the model to q8_0 or f16", f->name);
    if (rows < 1 || cols < 1) return jt_error_set(err, JT_INVALID, "a matrix of %d rows by %d columns is empty", rows, cols);
    if (cols % f->block)
        return jt_error_set(err, JT_INVALID, "a matrix of %d columns cannot be in format %s, whose blocks have %d", cols, f->name,
                            f->block);
    *m = (jt_matrix){.format = f,
                     .rows = rows,
                     .cols = cols,
                     .data = data,
                     .row_bytes = (size_t)cols / f->block * f->bytes,
                     .panel = f->panel,
                     .panel_bytes = jt_panel_bytes(f->panel, cols)};
    return JT_OK;
}

void jt_matrix_for_bf16(jt_matrix *m) {
    if (m->format->quantised) return;
    m->panel = JT_PANEL_PAIRS;
    m->panel_bytes = jt_panel_bytes(m->panel, m->cols);
}

jt_status jt_matrix_alloc_packed(jt_matrix *m, jt_error *err) {
    size_t panels = (size_t)jt_matrix_panels(m);
    void *p = jt_alloc_unset(panels, m->panel_bytes);
    if (!p) return jt_nomem(err, "packing a weight matrix", panels, m->panel_bytes);
    m->packed = p;
    return JT_OK;
}

/* The 16 rows of a panel, NULL past the end. */
static void panel_rows(const jt_matrix *m, int panel, const void *rows[JT_PANEL]) {
    for (int o = 0; o < JT_PANEL; o++) {
        int row = panel * JT_PANEL + o;
        rows[o] = row < m->rows ? (const char *)m->data + (size_t)row * m->row_bytes : NULL;
    }
}

static void pack_rows(const jt_kernels *k, const jt_matrix *m, const void *const rows[JT_PANEL], char *out) {
    if (m->panel != JT_PANEL_PAIRS) {
        k->pack_panel(m->format, rows, m->cols, out);
        return;
    }
    enum { CHUNK = 256 };
    _Alignas(64) char part[CHUNK * JT_PANEL * sizeof(float)];
    for (int c = 0; c < m->cols; c += CHUNK) {
        int n = m->cols - c < CHUNK ? m->cols - c : CHUNK;
        const void *at[JT_PANEL];
        for (int o = 0; o < JT_PANEL; o++) at[o] = rows[o] ? (const char *)rows[o] + (size_t)c * m->format->bytes : NULL;
        k->pack_panel(m->format, at, n, part);
        k->panel_pairs(m->format->panel, part, n, out + jt_panel_bytes(JT_PANEL_PAIRS, c));
    }
}

void jt_matrix_pack_panels(const jt_kernels *k, jt_matrix *m, int first, int end) {
    for (int p = first; p < end; p++) {
        const void *rows[JT_PANEL];
        panel_rows(m, p, rows);
        pack_rows(k, m, rows, (char *)m->packed + (size_t)p * m->panel_bytes);
    }
}

void jt_matrix_free_packed(jt_matrix *m) {
    jt_free(m->packed);
    m->packed = NULL;
}

void jt_matrix_row(const jt_matrix *m, int row, float *out) {
    m->format->expand((const char *)m->data + (size_t)row * m->row_bytes, out, (size_t)m->cols);
}

/* The parts of a thread's scratch, in this order; each begins on a cache line. */
static size_t bias_bytes(const jt_matrix *m, jt_by by) {
    bool wanted = by == JT_BY_INT8 && jt_panel_facts_of(m->panel).by;
    return wanted ? JT_PASS_ROWS * ((size_t)m->cols / JT_ACT_BLOCK) * sizeof(int32_t) : 0;
}
static size_t mapped_bytes(const jt_matrix *m) { return (m->panel_bytes + JT_ALIGN - 1) & ~(size_t)(JT_ALIGN - 1); }
/* Panels of quantised weights as floats, and those as pairs. */
static size_t expanded_bytes(const jt_matrix *m, jt_by by) {
    if (by == JT_BY_INT8 || !m->format->quantised) return 0;
    return jt_panel_bytes(JT_PANEL_F32, m->cols) + (by == JT_BY_BF16 ? jt_panel_bytes(JT_PANEL_PAIRS, m->cols) : 0);
}

size_t jt_matmul_scratch(const jt_matrix *m, jt_by by) { return bias_bytes(m, by) + mapped_bytes(m) + expanded_bytes(m, by) + JT_ALIGN; }

static void panel_whole(const jt_kernels *k, jt_panel_kind kind, const void *panel, const jt_acts *a, jt_by by, int row, int rows, float *y,
                        int ldy) {
    if (by == JT_BY_BF16)
        k->panel_bf16(panel, a, row, rows, y, ldy);
    else
        (by == JT_BY_INT8 ? k->panel_i8 : k->panel_f32)(kind, panel, a, row, rows, y, ldy);
}

static void panel_product(const jt_kernels *k, jt_panel_kind kind, const void *panel, const jt_acts *a, jt_by by, int row, int rows,
                          float *y, int ldy, int outputs) {
    if (outputs == JT_PANEL) {
        panel_whole(k, kind, panel, a, by, row, rows, y, ldy);
        return;
    }
    float part[ROW_BLOCK * JT_PANEL];
    panel_whole(k, kind, panel, a, by, row, rows, part, JT_PANEL);
    for (int r = 0; r < rows; r++) memcpy(y + (size_t)r * (size_t)ldy, part + r * JT_PANEL, (size_t)outputs * sizeof *y);
}

/* A product under way: at most JT_PASS_ROWS rows of activations. */
typedef struct pack_pass {
    const jt_kernels *k;
    const jt_matrix *m;
    const jt_acts *a;
    jt_by by;
    int ldy;
    float *y;
    int first;       /* the panel with which y begins */
    char *mapped;    /* room for a panel packed when it is used */
    float *expanded; /* and for one expanded, then for it as pairs */
} pack_pass;

const int32_t *jt_matmul_bias(const jt_kernels *k, const jt_matrix *m, const jt_acts *a, int32_t *out) {
    if (!bias_bytes(m, JT_BY_INT8)) return NULL;
    int by = jt_panel_facts_of(m->panel).by;
    size_t cols = (size_t)m->cols;
    for (size_t r = 0; r < (size_t)a->rows; r++) k->block_sums(a->q + r * cols, m->cols, by, out + r * (cols / JT_ACT_BLOCK));
    return out;
}

/* Panels [first, end), packed, for all rows of the pass. */
static void pack_group(const pack_pass *p, jt_panel_kind kind, const char *panel, size_t panel_bytes, int first, int end) {
    for (int row = 0; row < p->a->rows; row += ROW_BLOCK) {
        int rows = p->a->rows - row < ROW_BLOCK ? p->a->rows - row : ROW_BLOCK;
        for (int i = first; i < end; i++) {
            int left = p->m->rows - i * JT_PANEL;
            const char *at = panel + (size_t)(i - first) * panel_bytes;
            float *y = p->y + (size_t)row * (size_t)p->ldy + (size_t)(i - p->first) * JT_PANEL;
            bool pair = p->by == JT_BY_INT8 && p->k->pair_i8 && i + 1 < end && left >= 2 * JT_PANEL;
            if (pair && p->k->pair_i8(kind, at, p->a, row, rows, y, p->ldy))
                i++;
            else
                panel_product(p->k, kind, at, p->a, p->by, row, rows, y, p->ldy, left < JT_PANEL ? left : JT_PANEL);
        }
    }
}

/* A quantised panel as products of floats or of bfloat16 want it. */
static const char *pack_expand(const pack_pass *p, const char *panel, jt_panel_kind *kind) {
    const jt_matrix *m = p->m;
    p->k->panel_expand(m->panel, panel, m->cols, p->expanded);
    *kind = JT_PANEL_F32;
    if (p->by != JT_BY_BF16) return (const char *)p->expanded;
    char *pairs = (char *)p->expanded + jt_panel_bytes(JT_PANEL_F32, m->cols);
    p->k->panel_pairs(JT_PANEL_F32, p->expanded, m->cols, pairs);
    *kind = JT_PANEL_PAIRS;
    return pairs;
}

static size_t pack_panels(const pack_pass *p, int first, int end) {
    const jt_matrix *m = p->m;
    bool expand = p->by != JT_BY_INT8 && m->format->quantised;
    size_t read = 0;
    int group = m->packed && !expand && m->panel_bytes < GROUP_BYTES ? (int)(GROUP_BYTES / m->panel_bytes + 1) & ~1 : 1;
    for (int i = first; i < end; i += group) {
        int stop = end - i < group ? end : i + group, left = m->rows - i * JT_PANEL;
        const char *panel = m->packed ? (const char *)m->packed + (size_t)i * m->panel_bytes : p->mapped;
        jt_panel_kind kind = m->panel;
        read += m->packed ? (size_t)(stop - i) * m->panel_bytes : (size_t)(left < JT_PANEL ? left : JT_PANEL) * m->row_bytes;
        if (!m->packed) {
            const void *from[JT_PANEL];
            panel_rows(m, i, from);
            pack_rows(p->k, m, from, p->mapped);
        }
        if (expand) panel = pack_expand(p, panel, &kind);
        pack_group(p, kind, panel, m->panel_bytes, i, stop);
    }
    return read;
}

size_t jt_matmul_panels(const jt_kernels *k, const jt_matrix *m, const jt_acts *a, jt_by by, int first, int end, float *y, int ldy,
                        void *scratch) {
    int32_t *bias = (int32_t *)(((uintptr_t)scratch + JT_ALIGN - 1) & ~(uintptr_t)(JT_ALIGN - 1));
    char *mapped = (char *)bias + bias_bytes(m, by);
    size_t read = 0;
    for (int row = 0; row < a->rows; row += JT_PASS_ROWS) {
        size_t at = (size_t)row * (size_t)m->cols;
        jt_acts part = {.rows = a->rows - row < JT_PASS_ROWS ? a->rows - row : JT_PASS_ROWS, .cols = m->cols};
        pack_pass p = {k, m, &part, by, ldy, y + (size_t)row * (size_t)ldy, first, mapped, (float *)(mapped + mapped_bytes(m))};
        if (by == JT_BY_INT8) {
            part.q = a->q + at, part.d = a->d + at / JT_ACT_BLOCK, part.s = a->s + at / 32;
            part.bias = a->bias ? a->bias + at / JT_ACT_BLOCK : jt_matmul_bias(k, m, &part, bias);
        } else if (by == JT_BY_BF16) {
            part.b = a->b + (size_t)row * jt_bf16_stride(m->cols);
        } else {
            part.x = a->x + at;
        }
        read += pack_panels(&p, first, end);
    }
    return read;
}

int jt_matmul_least(const jt_matrix *m, int rows, int threads) {
    const double memory = 15, products = 300, worth = 3000; /* bytes and operations a nanosecond of usual threads; nanoseconds */
    int panels = jt_matrix_panels(m), even = (panels + threads - 1) / threads;
    double read = (double)m->panel_bytes / memory, work = 2.0 * JT_PANEL * m->cols * rows / products, cost = read > work ? read : work;
    if (cost * even < 10 * worth) return even;
    return cost < worth ? (int)(worth / cost) : 1;
}

size_t jt_matmul(const jt_kernels *k, const jt_matrix *m, const jt_acts *a, jt_by by, int first, int end, float *y, int ldy,
                 void *scratch) {
    return jt_matmul_panels(k, m, a, by, first, end, y + (size_t)first * JT_PANEL, ldy, scratch);
}
