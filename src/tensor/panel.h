/* panel.h: how the integers and scales of each kind of quantised panel lie; pack.h shows the same for people.
 *
 * A group is what shares a header: one block of 32 columns, or eight. All functions are inlined with a constant kind,
 * so that kernels written once for all kinds have no branches left. */
#ifndef JT_TENSOR_PANEL_H
#define JT_TENSOR_PANEL_H

#include "tensor/kernels.h"
#include "tensor/unroll.h"

typedef struct jt_panel_facts {
    int bits;     /* of an integer: 4, 5, 6 or 8 */
    int blocks;   /* of 32 columns in a group */
    int group;    /* bytes of a group */
    int codes;    /* from a group to the integers of its first block */
    int step;     /* from a block's integers to the next one's in the group */
    int by;       /* of jt_acts.bias: minus the offset of unsigned integers, or 1 where minima want the sums of q; 0: no bias */
    bool halves;  /* scales (and minima) are those of 16 columns */
    bool minimum; /* there are minima */
    bool k;       /* scales (and minima) are small integers times those of the group */
} jt_panel_facts;

JT_INLINE jt_panel_facts jt_panel_facts_of(jt_panel_kind kind) {
    switch (kind) {
    case JT_PANEL_I4: return (jt_panel_facts){.bits = 4, .blocks = 1, .group = 288, .step = 256, .by = -8};
    case JT_PANEL_I4M: return (jt_panel_facts){.bits = 4, .blocks = 1, .group = 320, .step = 256, .minimum = true};
    case JT_PANEL_I8: return (jt_panel_facts){.bits = 8, .blocks = 1, .group = 544, .step = 512, .by = -128};
    case JT_PANEL_I8S: return (jt_panel_facts){.bits = 8, .blocks = 1, .group = 640, .step = 512, .by = -128, .halves = true};
    case JT_PANEL_I5: return (jt_panel_facts){.bits = 5, .blocks = 1, .group = 352, .step = 320, .by = -16};
    case JT_PANEL_I5M: return (jt_panel_facts){.bits = 5, .blocks = 1, .group = 384, .step = 320, .minimum = true};
    case JT_PANEL_I4S: return (jt_panel_facts){.bits = 4, .blocks = 1, .group = 384, .step = 256, .by = -8, .halves = true};
    case JT_PANEL_I4SM:
        return (jt_panel_facts){.bits = 4, .blocks = 1, .group = 512, .step = 256, .by = 1, .halves = true, .minimum = true};
    case JT_PANEL_K4: return (jt_panel_facts){.bits = 4, .blocks = 8, .group = 2368, .codes = 320, .step = 256, .minimum = true, .k = true};
    case JT_PANEL_K5: return (jt_panel_facts){.bits = 5, .blocks = 8, .group = 2880, .codes = 320, .step = 320, .minimum = true, .k = true};
    case JT_PANEL_K6:
        return (jt_panel_facts){.bits = 6, .blocks = 8, .group = 3392, .codes = 320, .step = 384, .by = -32, .halves = true, .k = true};
    default: return (jt_panel_facts){.blocks = 1};
    }
}

/* The group of block b, and the block's integers. */
JT_INLINE size_t jt_panel_group(jt_panel_facts f, size_t b) { return b / (size_t)f.blocks * (size_t)f.group; }
JT_INLINE size_t jt_panel_codes(jt_panel_facts f, size_t b) {
    return jt_panel_group(f, b) + (size_t)f.codes + b % (size_t)f.blocks * (size_t)f.step;
}

/* Bytes of a block with its share of the header, and the cache lines that they touch. */
JT_INLINE size_t jt_panel_stride(jt_panel_facts f) { return (size_t)f.group / (size_t)f.blocks; }
JT_INLINE int jt_panel_lines(jt_panel_facts f) { return (int)(jt_panel_stride(f) + 63) / 64; }

/* Where the scales of block j of a group lie, after the start of the group; minima follow. */
enum {
    JT_PANEL_K_MIN = 32,    /* K4, K5: dmin[16] halfs after d[16] */
    JT_PANEL_K_SCALES = 64, /* K4, K5: [8][16] bytes; K6: [8][2][16] signed bytes after d[16] floats */
    JT_PANEL_K_MINIMA = 192 /* K4, K5: [8][16] bytes */
};

#endif
