/* tap.h: reading and editing named tensors while a sequence is evaluated.
 *
 * A tap is data on a state: {site, layers, rows, operation}. It acts on the rows that are
 * evaluated while it is set; rows of states without taps keep their bits. Setting taps is
 * part of the numeric mode of the positions evaluated under them: what lies in the pages
 * stays as it was made. Forks inherit the taps in force. */
#ifndef JETON_TAP_H
#define JETON_TAP_H

#include <stdint.h>

#include "jeton/model.h"
#include "jeton/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Sites, the same names on every family. Each is a row of floats per position:
 *
 *   "residual"   [hidden]       the stream entering layer l; l = layers: what leaves the last
 *   "query"      [heads * dim]  queries, rotated
 *   "heads"      [heads * dim]  outputs of the heads, before the output projection
 *   "attention"  [hidden]       what the mixer adds to the stream
 *   "mlp"        [hidden]       what the MLP adds to the stream
 *   "score"      -              scores of keys, for JT_TAP_KEY_BIAS alone
 *
 * In a layer that a row skips (jt_span.layers) only "residual" is there to edit or to capture. A layer with a recurrence in
 * the place of attention has no "query", "heads" and "score": taps there do nothing, and capture nothing.
 * jt_site_name(i) gives site i, NULL past the end; jt_site_width its row length in a model. */
JT_API const char *jt_site_name(int i);
JT_API int jt_site_width(const jt_model *m, const char *site);

typedef enum jt_tap_op {
    JT_TAP_CAPTURE,     /* the row is given to jt_batch.captured */
    JT_TAP_ADD,         /* x += value * vec, one fused multiply-add per element */
    JT_TAP_SCALE,       /* x *= value */
    JT_TAP_PROJECT_OUT, /* x -= value * (x . vec) / (vec . vec) * vec */
    JT_TAP_KEY_BIAS,    /* value is added to the scores of keys [key_first, key_end) by depth */
    JT_TAP_HOST         /* host() gets the row and may change it; called by one thread, row by row */
} jt_tap_op;

typedef struct jt_tap {
    const char *site;
    jt_tap_op op;
    int layer_first, layer_end; /* layers [first, end); both 0: all */
    int row_first, row_end;     /* depths of the rows it acts on; end 0: no end */
    float value;                /* finite; a bias of keys may also be -INFINITY: they are not seen. A row that sees no key gets zeros */
    const float *vec;           /* [width of the site], copied */
    int key_first, key_end;     /* JT_TAP_KEY_BIAS; end 0 after a first above 0: no end. No interval may be empty (JT_INVALID) */
    const int *heads;           /* JT_TAP_KEY_BIAS: query heads it acts on, copied; NULL: all */
    int n_heads;
    int tag; /* JT_TAP_CAPTURE: told with what is captured */
    /* JT_TAP_HOST. `row` is the row's node. A failure makes the eval fail with its status and leaves the state as it was. */
    jt_status (*host)(void *self, int layer, int node, float *x, int width);
    void *self;
} jt_tap;

/* Replaces the state's taps (n = 0: none). The arrays are copied. On failure the old taps stay.
 * Errors: JT_UNKNOWN (site, with the nearest name), JT_INVALID (layers, heads, a missing vector ...). */
JT_API jt_status jt_state_set_taps(jt_state *s, const jt_tap *t, int n, jt_error *err);

#ifdef __cplusplus
}
#endif
#endif
