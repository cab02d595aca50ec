/* pack_codes.h: the pieces of packing of formats with jt_format.codes that all variants share. Inlined, so that each is compiled
 * for its instruction set and for one kind. */
#ifndef JT_TENSOR_PACK_CODES_H
#define JT_TENSOR_PACK_CODES_H

#include <string.h>

#include "tensor/panel.h"

/* Places of values in the table that was asked for last. */
typedef struct jt_ref_places {
    const int8_t *values;
    uint8_t of[256];
} jt_ref_places;

JT_INLINE void jt_ref_places_of(jt_ref_places *p, const int8_t *values) {
    if (values == p->values || !values) return;
    p->values = values;
    for (int i = 15; i >= 0; i--) p->of[(uint8_t)values[i]] = (uint8_t)i;
}

/* The header of a group for row o. */
JT_INLINE void jt_ref_pack_header(jt_panel_kind kind, const jt_codes *c, size_t o, unsigned char *out) {
    jt_panel_facts f = jt_panel_facts_of(kind);
    size_t parts = (size_t)jt_panel_parts(f), every = f.apart ? 1 : 2;
    memcpy(out + 2 * o, &c->d, 2);
    if (f.minimum) {
        memcpy(out + JT_PANEL_K_MIN + 2 * o, &c->dmin, 2);
    } else if (!o) {
        memset(out + JT_PANEL_K_TABLE, 0, JT_PANEL_K_SCALES - JT_PANEL_K_TABLE);
        if (c->values) memcpy(out + JT_PANEL_K_TABLE, c->values, 16);
        memcpy(out + JT_PANEL_K_UNIT, &c->unit, sizeof c->unit);
    }
    for (size_t j = 0; j < 8 * parts && kind != JT_PANEL_T2; j++) {
        out[JT_PANEL_K_SCALES + 16 * j + o] = (unsigned char)c->small[every * j];
        if (f.minimum) out[jt_panel_minima(f) + 16 * j + o] = c->least[every * j];
    }
}

/* Scales of block j of a block of the file, for row o, that come after its integers. */
JT_INLINE void jt_ref_pack_scales(jt_panel_kind kind, const jt_codes *c, size_t j, size_t o, unsigned char *out) {
    if (kind == JT_PANEL_L4E || kind == JT_PANEL_L4N) {
        out[o] = (unsigned char)c->small[2 * j];
        if (kind == JT_PANEL_L4N) out[16 + o] = (unsigned char)c->small[2 * j + 1];
        return;
    }
    memcpy(out + 2 * o, &c->d, 2);
    if (jt_panel_facts_of(kind).minimum) memcpy(out + 32 + 2 * o, &c->dmin, 2);
}

#endif
