/* tap.c: reading and editing rows at a site (jeton/tap.h). Rows without taps are not touched.
 *
 * The first thread runs the host's functions, row by row; the others share the rest. */
#include <math.h>
#include <string.h>

#include "jeton/tap.h"
#include "tensor/op.h"

/* Sum of a[i] * b[i] over 16 virtual accumulators (docs/numbers.md). */
static float op_tap_dot(const float *a, const float *b, int n) {
    float s[16] = {0};
    for (int i = 0; i < n; i++) s[i % 16] = fmaf(a[i], b[i], s[i % 16]);
    for (int h = 8; h; h /= 2)
        for (int j = 0; j < h; j++) s[j] += s[j + h];
    return s[0];
}

static void op_tap_apply(const jt_env *e, const jt_env_tap *t, const jt_env_row_taps *r, int layer, float *x, int width) {
    switch ((jt_tap_op)t->op) {
    case JT_TAP_CAPTURE: {
        size_t slot = (size_t)(r->capture + t->capture_at + layer - t->layer_first);
        memcpy(jt_buffer_at(e->capture, slot * (size_t)e->capture_width * sizeof *x), x, (size_t)width * sizeof *x);
        break;
    }
    case JT_TAP_ADD:
        for (int i = 0; i < width; i++) x[i] = fmaf(t->value, t->vec[i], x[i]);
        break;
    case JT_TAP_SCALE:
        for (int i = 0; i < width; i++) x[i] *= t->value;
        break;
    case JT_TAP_PROJECT_OUT: {
        float by = -t->value * (op_tap_dot(x, t->vec, width) / t->norm);
        for (int i = 0; i < width; i++) x[i] = fmaf(by, t->vec[i], x[i]);
        break;
    }
    case JT_TAP_HOST:
        if (!*e->host_status) *e->host_status = t->host(t->self, layer, r->node, x, width);
        break;
    case JT_TAP_KEY_BIAS: break; /* attention's own */
    }
}

static bool op_tap_acts(const jt_env_tap *t, const jt_env_row_taps *r, int site, int layer) {
    return t->site == site && layer >= t->layer_first && layer < t->layer_end && r->depth >= t->row_first && r->depth < t->row_end;
}

static void op_tap_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    const float *from = jt_env_f32(e, n->in[0]);
    float *x = jt_env_f32(e, n->out[0]);
    int width = e->list->value[n->in[0]].width, rows = jt_env_rows(e, n->in[0]), turn = 0;
    for (int r = 0; r < rows; r++) {
        const jt_env_row_taps *taps = e->taps ? &e->taps[r] : NULL;
        bool host = false, moved = x != from;
        for (int i = 0; taps && i < taps->n; i++) host |= taps->tap[i].op == JT_TAP_HOST;
        if ((host ? 0 : turn++ % s->threads) != s->thread) continue;
        if (moved) memcpy(x + (size_t)r * (size_t)width, from + (size_t)r * (size_t)width, (size_t)width * sizeof *x);
        if (n->i[0] && e->layers && !jt_layer_in(e->layers[r], n->layer)) continue; /* only the stream itself, site 0, is there */
        for (int i = 0; taps && i < taps->n; i++)
            if (op_tap_acts(&taps->tap[i], taps, n->i[0], n->layer))
                op_tap_apply(e, &taps->tap[i], taps, n->layer, x + (size_t)r * (size_t)width, width);
    }
}

const jt_op jt_op_tap = {.name = "tap", .split = JT_SPLIT_OTHER, .alias_in = 1, .passes = true, .forward = op_tap_forward};
