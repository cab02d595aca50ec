/* rope.c: rotary frequencies of a model for the context that a state declares, so that a token's numbers never change as its
 * sequence grows (jt_rope_kind says which papers). */
#include "model/rope.h"

#include <math.h>
#include <string.h>

#include "model/model.h"
#include "tensor/scalar_math.h"

static const double rope_two_pi = 6.283185307179586;

/* The base after NTK's stretching by `factor`. */
static double rope_ntk(const jt_rope *r, double factor, int rot) {
    return rot > 2 ? r->base * jt_pow(factor, (double)rot / (rot - 2)) : r->base;
}

/* 0 for dimensions that turn often enough to be left alone, 1 for those that are stretched whole. */
static double rope_yarn_ramp(const jt_rope *r, int i, int rot) {
    double low = rot * jt_log(r->original / (r->high * rope_two_pi)) / (2 * jt_log(r->base));
    double high = rot * jt_log(r->original / (r->low * rope_two_pi)) / (2 * jt_log(r->base));
    if (!r->fractions) low = floor(low), high = ceil(high);
    if (low < 0) low = 0;
    if (high > rot - 1) high = rot - 1;
    if (low == high) high += 0.001;
    double t = (i - low) / (high - low);
    return t < 0 ? 0 : t > 1 ? 1 : t;
}

static double rope_llama3(const jt_rope *r, double f) {
    double wave = rope_two_pi / f, smooth = (r->original / wave - r->low) / (r->high - r->low);
    if (wave < r->original / r->high) return f;
    return wave > r->original / r->low ? f / r->factor : (1 - smooth) * f / r->factor + smooth * f;
}

double jt_rope_frequency(const jt_rope *r, const float *stretch, int i, int rot, int context) {
    double base = r->base, step = -2.0 * i / rot;
    if (r->kind == JT_ROPE_NTK) base = rope_ntk(r, r->factor, rot);
    if (r->kind == JT_ROPE_DYNAMIC && context > r->original) base = rope_ntk(r, 1 + r->factor * (context / r->original - 1), rot);
    double f = jt_pow(base, step);
    switch (r->kind) {
    case JT_ROPE_LINEAR: f /= r->factor; break;
    case JT_ROPE_YARN: {
        double ramp = rope_yarn_ramp(r, i, rot);
        f = f / r->factor * ramp + f * (1 - ramp);
        break;
    }
    case JT_ROPE_LLAMA3: f = rope_llama3(r, f); break;
    case JT_ROPE_PLAIN:
    case JT_ROPE_NTK:
    case JT_ROPE_DYNAMIC:
    case JT_ROPE_LONG: break;
    }
    return stretch ? f / (double)stretch[i] : f;
}

double jt_rope_mscale(double factor, double mscale) { return factor > 1 ? 0.1 * mscale * jt_log(factor) + 1 : 1; }

double jt_rope_attention(const jt_rope *r) {
    if (r->attention > 0) return r->attention;
    if (r->kind == JT_ROPE_YARN) return jt_rope_mscale(r->factor, 1);
    if (r->kind == JT_ROPE_LONG) return r->factor > 1 ? sqrt(1 + jt_log(r->factor) / jt_log(r->original)) : 1;
    return 1;
}

/* What of the declared context a rope goes by. */
static uint64_t rope_key(const jt_rope *r, int context) {
    if (r->kind == JT_ROPE_DYNAMIC) return context > r->original ? (uint64_t)context : 0;
    return r->kind == JT_ROPE_LONG && context > r->original;
}

/* Divisors of the first rope's frequencies, from the file's tensors or its settings; NULL: it has none. */
static const float *rope_stretch(const jt_model *m, int context) {
    const jt_config *c = &m->config;
    bool far = context > c->rope[0].original, longer = c->rope[0].kind == JT_ROPE_LONG;
    jt_role role = !longer ? JT_W_ROPE_FREQS : far ? JT_W_ROPE_LONG : JT_W_ROPE_SHORT;
    if (jt_net_has(m->ref, 0, role)) return m->weights.w[m->ref[role].tensor].vector;
    return !longer ? NULL : far ? c->rope_long : c->rope_short;
}

static jt_status rope_fill(const jt_model *m, jt_rope_set *s, int context, jt_error *err) {
    const jt_config *c = &m->config;
    size_t half = (size_t)c->rope_dims / 2;
    if (!(s->freq = jt_alloc(JT_ROPES * half, sizeof *s->freq)))
        return jt_nomem(err, "rotary frequencies", JT_ROPES * half, sizeof *s->freq);
    for (int k = 0; k <= c->rope_two; k++) {
        float *f = s->freq + (size_t)k * half;
        const float *stretch = k ? NULL : rope_stretch(m, context);
        for (size_t i = 0; stretch && i < half; i++)
            if (!(stretch[i] > 0))
                return jt_error_set(err, JT_FORMAT, "divisor %zu of the rotary frequencies is %g", i, (double)stretch[i]);
        s->rope[k] = (jt_env_rope){.inv_freq = f};
        for (size_t i = 0; i < half; i++) f[i] = (float)jt_rope_frequency(&c->rope[k], stretch, (int)i, c->rope_dims, context);
        s->rope[k].by = (float)jt_rope_attention(&c->rope[k]);
    }
    return JT_OK;
}

jt_status jt_model_rope(jt_model *m, int context, jt_rope_set **out, jt_error *err) {
    uint64_t key[JT_ROPES];
    for (int k = 0; k < JT_ROPES; k++) key[k] = rope_key(&m->config.rope[k], context);
    for (jt_rope_set *s = m->ropes; s; s = s->next)
        if (!memcmp(s->key, key, sizeof key)) {
            *out = s;
            return JT_OK;
        }
    jt_rope_set *s = jt_alloc(1, sizeof *s);
    if (!s) return jt_nomem(err, "rotary frequencies", 1, sizeof *s);
    memcpy(s->key, key, sizeof key);
    jt_status e = rope_fill(m, s, context, err);
    if (e) {
        jt_free(s->freq);
        jt_free(s);
        return e;
    }
    s->next = m->ropes, m->ropes = *out = s;
    return JT_OK;
}

jt_status jt_rope_turns(jt_rope_set *s, int rot, int n, jt_error *err) {
    enum { STEP = 1024 };
    int want = (n + STEP - 1) / STEP * STEP;
    jt_status e = JT_OK;
    for (int k = 0; k < JT_ROPES && rot && !e; k++) {
        jt_env_rope *r = &s->rope[k];
        if (!r->inv_freq || n <= r->n_turn) continue;
        e = jt_grow((void **)&s->turn[k], &s->cap_turn[k], (size_t)want * (size_t)rot, sizeof *s->turn[k], err);
        r->turn = s->turn[k];
        for (; !e && r->n_turn < want; r->n_turn++) {
            float *c = s->turn[k] + (size_t)r->n_turn * (size_t)rot;
            jt_rope_turn(r, rot / 2, r->n_turn, c, c + rot / 2);
        }
    }
    return e;
}

void jt_ropes_free(jt_rope_set *s) {
    for (jt_rope_set *next; s; s = next) {
        next = s->next;
        for (int k = 0; k < JT_ROPES; k++) jt_free(s->turn[k]);
        jt_free(s->freq);
        jt_free(s);
    }
}
