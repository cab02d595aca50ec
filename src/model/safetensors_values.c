/* safetensors_values.c: elements of a safetensors tensor as float32 or int64. */
#include <inttypes.h>
#include <string.h>

#include "model/safetensors.h"

static uint64_t st_little(const uint8_t *p, int bytes) {
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static jt_status st_in_range(const jt_st_tensor *t, uint64_t first, uint64_t n, jt_error *err) {
    if (first <= t->elements && n <= t->elements - first) return JT_OK;
    return jt_error_set(err, JT_INVALID, "tensor %s: elements %" PRIu64 " and %" PRIu64 " more were asked for, it has %" PRIu64, t->name,
                        first, n, t->elements);
}

static jt_status st_other_type(const jt_st_tensor *t, const char *wanted, jt_error *err) {
    return jt_error_set(err, JT_UNSUPPORTED, "tensor %s: holds %s, %s wanted", t->name, t->dtype->name, wanted);
}

jt_status jt_st_read_f32(const jt_st_tensor *t, uint64_t first, uint64_t n, float *out, jt_error *err) {
    jt_status s = st_in_range(t, first, n, err);
    int bytes = t->dtype->bits / 8;
    bool brain = strcmp(t->dtype->name, "BF16") == 0;
    if (s) return s;
    if (t->dtype->kind != 'f' || bytes < 2) return st_other_type(t, "F64, F32, F16 or BF16", err);
    const uint8_t *p = t->data + first * (uint64_t)bytes;
    for (uint64_t i = 0; i < n; i++, p += bytes) {
        uint64_t bits = st_little(p, bytes);
        if (bytes == 8) {
            double d;
            memcpy(&d, &bits, sizeof d);
            out[i] = (float)d;
        } else if (bytes == 4) {
            uint32_t b = (uint32_t)bits;
            memcpy(&out[i], &b, sizeof b);
        } else {
            out[i] = brain ? jt_bf16_to_f32((uint16_t)bits) : jt_f16_to_f32((uint16_t)bits);
        }
    }
    return JT_OK;
}

jt_status jt_st_read_i64(const jt_st_tensor *t, uint64_t first, uint64_t n, int64_t *out, jt_error *err) {
    jt_status s = st_in_range(t, first, n, err);
    int bytes = t->dtype->bits / 8;
    if (s) return s;
    if (t->dtype->kind == 'f' || t->dtype->kind == 'c') return st_other_type(t, "integers", err);
    const uint8_t *p = t->data + first * (uint64_t)bytes;
    uint64_t sign = UINT64_C(1) << (t->dtype->bits - 1);
    for (uint64_t i = 0; i < n; i++, p += bytes) {
        uint64_t bits = st_little(p, bytes);
        if (t->dtype->kind == 'i')
            bits = (bits ^ sign) - sign;
        else if (bits > INT64_MAX)
            return jt_error_set(err, JT_FORMAT, "tensor %s: element %" PRIu64 ": %" PRIu64 " does not fit in 63 bits", t->name, first + i,
                                bits);
        out[i] = (int64_t)bits;
    }
    return JT_OK;
}

void jt_safetensors_old_name(const jt_safetensors *f, char *name, size_t cap) {
    static const char *const form[][2] = {{"LayerNorm.weight", "gamma"}, {"LayerNorm.bias", "beta"}};
    char old[192];
    size_t n = strlen(name);
    if (jt_safetensors_tensor_named(f, name)) return;
    for (int i = 0; i < 2; i++) {
        size_t k = strlen(form[i][0]);
        if (n < k || strcmp(name + n - k, form[i][0]) != 0) continue;
        snprintf(old, sizeof old, "%.*s%s", (int)(n - k + strlen("LayerNorm.")), name, form[i][1]);
        if (strlen(old) < cap && jt_safetensors_tensor_named(f, old)) memcpy(name, old, strlen(old) + 1);
    }
}
