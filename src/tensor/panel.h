/* panel.h: how the integers and scales of each kind of quantised panel lie; pack.h shows the same for people.
 *
 * A group is what shares a header: one block of 32 columns, or eight. All functions are inlined with a constant kind,
 * so that kernels written once for all kinds have no branches left. */
#ifndef JT_TENSOR_PANEL_H
#define JT_TENSOR_PANEL_H

#include "tensor/formats/formats.h"
#include "tensor/kernels.h"
#include "tensor/unroll.h"

typedef struct jt_panel_facts {
    int bits;     /* of an integer: 2, 3, 4, 5, 6 or 8 */
    int blocks;   /* of 32 columns in a group */
    int group;    /* bytes of a group */
    int codes;    /* from a group to the integers of its first block */
    int step;     /* from a block's integers to the next one's in the group, or to its scales */
    int by;       /* of jt_acts.bias: minus the offset of unsigned integers, or 1 where minima want the sums of q; 0: no bias */
    bool halves;  /* the products of 16 columns are added by themselves */
    bool apart;   /* they have scales (and minima) of their own */
    bool minimum; /* there are minima */
    bool k;       /* scales (and minima) are small integers times those of the group, or those of the group */
    bool lookup;  /* integers are places in a table of 16 signed bytes */
} jt_panel_facts;

JT_INLINE jt_panel_facts jt_panel_facts_of(jt_panel_kind kind) {
    switch (kind) {
    case JT_PANEL_I4: return (jt_panel_facts){.bits = 4, .blocks = 1, .group = 288, .step = 256, .by = -8};
    case JT_PANEL_I4M: return (jt_panel_facts){.bits = 4, .blocks = 1, .group = 320, .step = 256, .minimum = true};
    case JT_PANEL_I8: return (jt_panel_facts){.bits = 8, .blocks = 1, .group = 544, .step = 512, .by = -128};
    case JT_PANEL_I5: return (jt_panel_facts){.bits = 5, .blocks = 1, .group = 352, .step = 320, .by = -16};
    case JT_PANEL_I5M: return (jt_panel_facts){.bits = 5, .blocks = 1, .group = 384, .step = 320, .minimum = true};
    case JT_PANEL_L4:
        return (jt_panel_facts){.bits = 4, .blocks = 1, .group = 288, .step = 256, .by = -128, .halves = true, .lookup = true};
    case JT_PANEL_L4E:
        return (jt_panel_facts){.bits = 4, .blocks = 1, .group = 272, .step = 256, .by = -12, .halves = true, .lookup = true};
    case JT_PANEL_L4N:
        return (jt_panel_facts){
            .bits = 4, .blocks = 1, .group = 288, .step = 256, .by = -12, .halves = true, .apart = true, .lookup = true};
    case JT_PANEL_K2:
        return (jt_panel_facts){.bits = 2,
                                .blocks = 8,
                                .group = 1600,
                                .codes = 576,
                                .step = 128,
                                .by = 1,
                                .halves = true,
                                .apart = true,
                                .minimum = true,
                                .k = true};
    case JT_PANEL_K3:
        return (jt_panel_facts){
            .bits = 3, .blocks = 8, .group = 1856, .codes = 320, .step = 192, .by = -4, .halves = true, .apart = true, .k = true};
    case JT_PANEL_K4: return (jt_panel_facts){.bits = 4, .blocks = 8, .group = 2368, .codes = 320, .step = 256, .minimum = true, .k = true};
    case JT_PANEL_K5: return (jt_panel_facts){.bits = 5, .blocks = 8, .group = 2880, .codes = 320, .step = 320, .minimum = true, .k = true};
    case JT_PANEL_K6:
        return (jt_panel_facts){
            .bits = 6, .blocks = 8, .group = 3392, .codes = 320, .step = 384, .by = -32, .halves = true, .apart = true, .k = true};
    case JT_PANEL_T2:
        return (jt_panel_facts){.bits = 2, .blocks = 8, .group = 1088, .codes = 64, .step = 128, .by = -1, .halves = true, .k = true};
    case JT_PANEL_KL4:
        return (jt_panel_facts){
            .bits = 4, .blocks = 8, .group = 2240, .codes = 192, .step = 256, .by = -128, .halves = true, .k = true, .lookup = true};
    case JT_PANEL_KL3:
        return (jt_panel_facts){
            .bits = 3, .blocks = 8, .group = 1728, .codes = 192, .step = 192, .by = -128, .halves = true, .k = true, .lookup = true};
    case JT_PANEL_KL3H:
        return (jt_panel_facts){.bits = 3,
                                .blocks = 8,
                                .group = 1856,
                                .codes = 320,
                                .step = 192,
                                .by = -128,
                                .halves = true,
                                .apart = true,
                                .k = true,
                                .lookup = true};
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

/* The header of a group of k kinds begins with d[16] halfs. Small integers [8][16], or [8][2][16] where halves have scales
 * apart, begin at JT_PANEL_K_SCALES, and as many minima come after them. */
enum {
    JT_PANEL_K_MIN = 32,   /* with minima: dmin[16] halfs */
    JT_PANEL_K_TABLE = 32, /* else: 16 values where there is a lookup */
    JT_PANEL_K_UNIT = 48,  /* and a float that d is multiplied by */
    JT_PANEL_K_SCALES = 64
};
JT_INLINE int jt_panel_parts(jt_panel_facts f) { return f.apart ? 2 : 1; }
JT_INLINE size_t jt_panel_minima(jt_panel_facts f) { return JT_PANEL_K_SCALES + 128 * (size_t)jt_panel_parts(f); }

/* The 16 values of a lookup, in a group. */
JT_INLINE const char *jt_panel_table(jt_panel_kind kind, const char *group) {
    if (kind == JT_PANEL_L4) return (const char *)jt_values_iq4;
    return kind == JT_PANEL_L4E || kind == JT_PANEL_L4N ? (const char *)jt_values_fp4 : group + JT_PANEL_K_TABLE;
}

#endif
