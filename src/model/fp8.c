#include "model/fp8.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool jt_fp8_is(const jt_config *c, const jt_st_tensor *t) { return c->fp8 && !strcmp(t->dtype->name, "F8_E4M3"); }

float jt_fp8_value(uint8_t bits) {
    int exponent = bits >> 3 & 15, mantissa = bits & 7;
    if ((bits & 127) == 127) return NAN;
    float v = exponent ? ldexpf((float)(8 + mantissa), exponent - 10) : ldexpf((float)mantissa, -9);
    return bits >> 7 ? -v : v;
}

static uint64_t fp8_tiles(uint64_t n, uint64_t tile) { return n / tile + (n % tile != 0); }

jt_status jt_fp8_open(const jt_safetensors *f, const jt_config *c, const jt_st_tensor *t, jt_fp8 *out, jt_error *err) {
    char name[256];
    snprintf(name, sizeof name, "%.200s_scale_inv", t->name);
    const jt_st_tensor *scale = jt_safetensors_tensor_named(f, name);
    if (t->n_dims != 2 || !t->elements)
        return jt_error_set(err, JT_UNSUPPORTED, "tensor %s of dtype F8_E4M3 has %d dimensions; this build reads matrices", t->name,
                            t->n_dims);
    if (!scale) return jt_error_set(err, JT_FORMAT, "tensor %s is missing, which has the scales of %s", name, t->name);
    *out = (jt_fp8){.data = t->data, .scale = scale, .rows = t->dim[0], .cols = t->dim[1]};
    out->tile_rows = c->fp8_rows ? (uint64_t)c->fp8_rows : out->rows, out->tile_cols = c->fp8_cols ? (uint64_t)c->fp8_cols : out->cols;
    out->across = fp8_tiles(out->cols, out->tile_cols);
    uint64_t down = fp8_tiles(out->rows, out->tile_rows);
    float first;
    if (scale->elements != down * out->across || (scale->n_dims == 2 && scale->dim[1] != out->across))
        return jt_error_set(err, JT_FORMAT, "tensor %s has %llu scales; the settings ask for [%llu, %llu]", name,
                            (unsigned long long)scale->elements, (unsigned long long)down, (unsigned long long)out->across);
    return jt_st_read_f32(scale, 0, 1, &first, err); /* whether it is a dtype that can be read */
}

void jt_fp8_row(const jt_fp8 *w, uint64_t row, float *out) {
    float value[256], scale = 0;
    for (int i = 0; i < 256; i++) value[i] = jt_fp8_value((uint8_t)i);
    const uint8_t *data = w->data + row * w->cols;
    for (uint64_t i = 0; i < w->cols; i++) {
        if (i % w->tile_cols == 0) (void)jt_st_read_f32(w->scale, row / w->tile_rows * w->across + i / w->tile_cols, 1, &scale, NULL);
        out[i] = value[data[i]] * scale;
    }
}
