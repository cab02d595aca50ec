/* random_pipeline.h: pipelines drawn from the table of methods, so that a test that uses them covers each new method. */
#ifndef JT_TEST_RANDOM_PIPELINE_H
#define JT_TEST_RANDOM_PIPELINE_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "jeton/decode.h"

typedef struct draws {
    uint64_t s;
} draws;

static inline uint32_t draw_word(draws *d) {
    d->s = d->s * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(d->s >> 33);
}
static inline int draw_below(draws *d, int n) { return (int)(draw_word(d) % (uint32_t)n); }
static inline double draw_unit(draws *d) { return draw_word(d) / 2147483648.0; }

/* A value in the range: an end, the default, or one near the default. Whole numbers stay small, so that states do. */
static inline double draw_value(draws *d, const jt_param *p) {
    double def = isnan(p->def) ? fmin(fmax(1, p->low), p->high) : p->def, x = def;
    switch (draw_below(d, 6)) {
    case 0: x = p->low; break;
    case 1: x = fmin(p->high, 64); break;
    case 2: break;
    default: x = def == 0 ? draw_unit(d) : def * (0.5 + draw_unit(d)); break;
    }
    if (p->type == JT_PARAM_INT) x = floor(x);
    if (!isfinite(x)) x = def;
    return fmin(fmax(x, p->low), p->high);
}

/* Can a driver of a model without tokenizer and second model run it, and give the same answer every time? */
static inline bool method_is_plain(const jt_method *m) {
    return m->kind == JT_STAGE && !(m->needs & (JT_NEEDS_MODEL2 | JT_NEEDS_GRADIENTS | JT_NEEDS_RAW_KEYS)) && !m->shared_size;
}

/* "name:key=value,..." with ids below vocab, appended to out[cap]. */
static inline void draw_method(draws *d, const jt_method *m, int vocab, char *out, size_t cap) {
    const char *join = ":";
    size_t n = strlen(out);
#define PUT(...) (n += (size_t)snprintf(out + (n < cap ? n : cap), n < cap ? cap - n : 0, __VA_ARGS__))
    PUT("%s", m->name);
    for (int i = 0; i < m->n_param; i++) {
        const jt_param *p = &m->param[i];
        if (p->type == JT_PARAM_BIAS) {
            for (int k = 0; k < 3; k++, join = ",") PUT("%s%d=%g", join, k * 5 % vocab, fmin(p->high, 4.0 * draw_unit(d) - 2));
            continue;
        }
        if (p->type == JT_PARAM_STAGES || p->type == JT_PARAM_METHOD || p->type == JT_PARAM_TEXT) continue;
        if (!isnan(p->def) && draw_below(d, 2)) continue;
        PUT("%s%s=", join, p->name), join = ",";
        if (p->type == JT_PARAM_CHOICE) {
            int choices = 1;
            const char *c = p->choices;
            for (const char *s = c; *s; s++) choices += *s == '|';
            for (int k = draw_below(d, choices); k; k--) c = strchr(c, '|') + 1;
            PUT("%.*s", (int)strcspn(c, "|"), c);
        } else {
            PUT("%.9g", draw_value(d, p));
        }
    }
#undef PUT
}

/* A pipeline of n stages, any of those that method_is_plain takes. */
static inline void draw_pipeline(draws *d, int n, int vocab, char *out, size_t cap) {
    const jt_method *m;
    int all = 0;
    *out = 0;
    for (int i = 0; (m = jt_method_at(NULL, i)); i++) all += method_is_plain(m);
    for (int k = 0; k < n; k++) {
        int i = -1;
        for (int at = draw_below(d, all); at >= 0;) at -= method_is_plain(jt_method_at(NULL, ++i));
        if (k) snprintf(out + strlen(out), cap - strlen(out), " | ");
        draw_method(d, jt_method_at(NULL, i), vocab, out, cap);
    }
}

#endif
