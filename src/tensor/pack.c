/* pack.c: weight matrices in panels, and products over them.
 *
 * The loops here choose only who computes which output and when; the order of
 * every sum belongs to the kernels. Rows of activations go in blocks of 64, so
 * that a block stays in the second-level cache while all panels pass by. */
#include "tensor/pack.h"

#include <string.h>

#include "core/mem.h"

enum { ROW_BLOCK = 64 };

size_t jt_panel_bytes(jt_panel_kind kind, int cols) {
    size_t n = (size_t)cols;
    switch (kind) {
    case JT_PANEL_F32: return n * JT_PANEL * 4;
    case JT_PANEL_F16:
    case JT_PANEL_BF16: return n * JT_PANEL * 2;
    case JT_PANEL_I4: return n / 32 * (256 + 32);
    case JT_PANEL_I4M: return n / 32 * (256 + 64);
    case JT_PANEL_I8: return n / 32 * (512 + 32);
    case JT_PANEL_NONE: break;
    }
    return 0;
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
                     .panel_bytes = jt_panel_bytes(f->panel, cols)};
    return JT_OK;
}

jt_status jt_matrix_alloc_packed(jt_matrix *m, jt_error *err) {
    size_t panels = (size_t)jt_matrix_panels(m);
    void *p = jt_alloc_aligned(panels, m->panel_bytes);
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

void jt_matrix_pack_panels(const jt_kernels *k, jt_matrix *m, int first, int end) {
    for (int p = first; p < end; p++) {
        const void *rows[JT_PANEL];
        panel_rows(m, p, rows);
        k->pack_panel(m->format, rows, m->cols, (char *)m->packed + (size_t)p * m->panel_bytes);
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
static size_t bias_bytes(const jt_matrix *m, int int8) {
    bool wanted = int8 && m->format->panel != JT_PANEL_I4M;
    return wanted ? ROW_BLOCK * ((size_t)m->cols / JT_ACT_BLOCK) * sizeof(int32_t) : 0;
}
static size_t mapped_bytes(const jt_matrix *m) { return (m->panel_bytes + JT_ALIGN - 1) & ~(size_t)(JT_ALIGN - 1); }
static size_t expanded_bytes(const jt_matrix *m, int int8) {
    return !int8 && m->format->quantised ? jt_panel_bytes(JT_PANEL_F32, m->cols) : 0;
}

size_t jt_matmul_scratch(const jt_matrix *m, int int8) {
    return bias_bytes(m, int8) + mapped_bytes(m) + expanded_bytes(m, int8) + JT_ALIGN;
}

static void panel_product(const jt_kernels *k, jt_panel_kind kind, const void *panel, const jt_acts *a, int int8, int row, int rows,
                          float *y, int ldy, int outputs) {
    void (*product)(jt_panel_kind, const void *, const jt_acts *, int, int, float *, int) = int8 ? k->panel_i8 : k->panel_f32;
    if (outputs == JT_PANEL) {
        product(kind, panel, a, row, rows, y, ldy);
        return;
    }
    float part[ROW_BLOCK * JT_PANEL];
    product(kind, panel, a, row, rows, part, JT_PANEL);
    for (int r = 0; r < rows; r++) memcpy(y + (size_t)r * (size_t)ldy, part + r * JT_PANEL, (size_t)outputs * sizeof *y);
}

size_t jt_matmul(const jt_kernels *k, const jt_matrix *m, const jt_acts *a, int int8, int first, int end, float *y, int ldy,
                 void *scratch) {
    int32_t *bias = (int32_t *)(((uintptr_t)scratch + JT_ALIGN - 1) & ~(uintptr_t)(JT_ALIGN - 1));
    char *mapped = (char *)bias + bias_bytes(m, int8);
    float *expanded = (float *)(mapped + mapped_bytes(m));
    size_t read = 0;
    for (int row = 0; row < a->rows; row += ROW_BLOCK) {
        int rows = a->rows - row < ROW_BLOCK ? a->rows - row : ROW_BLOCK;
        /* The block as activations of its own, so that the bias needs room for one block only. */
        size_t at = (size_t)row * (size_t)m->cols;
        jt_acts block = {.rows = rows, .cols = m->cols};
        if (int8) {
            block.q = a->q + at, block.d = a->d + at / JT_ACT_BLOCK, block.s = a->s + at / 32;
            if (bias_bytes(m, int8)) {
                int by = m->format->panel == JT_PANEL_I4 ? -8 : -128;
                for (int r = 0; r < rows; r++)
                    k->block_sums(block.q + (size_t)r * (size_t)m->cols, m->cols, by, bias + r * (m->cols / JT_ACT_BLOCK));
                block.bias = bias;
            }
        } else {
            block.x = a->x + at;
        }
        for (int p = first; p < end; p++) {
            const void *panel = mapped;
            jt_panel_kind kind = m->format->panel;
            int left = m->rows - p * JT_PANEL, outputs = left < JT_PANEL ? left : JT_PANEL;
            read += m->packed ? m->panel_bytes : (size_t)outputs * m->row_bytes;
            if (m->packed) {
                panel = (const char *)m->packed + (size_t)p * m->panel_bytes;
            } else {
                const void *from[JT_PANEL];
                panel_rows(m, p, from);
                k->pack_panel(m->format, from, m->cols, mapped);
            }
            if (expanded_bytes(m, int8)) {
                k->panel_expand(kind, panel, m->cols, expanded);
                panel = expanded, kind = JT_PANEL_F32;
            }
            panel_product(k, kind, panel, &block, int8, 0, rows, y + (size_t)row * (size_t)ldy + (size_t)p * JT_PANEL, ldy, outputs);
        }
    }
    return read;
}
