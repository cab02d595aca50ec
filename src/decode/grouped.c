/* grouped.c: inputs of a branch that are evaluated as one (jt_work_group). Where a group
 * begins and ends follows from what was asked and where other attributes change, never
 * from how the driver cuts a prompt: so it is the same whenever it is evaluated again. */
#include "decode/driver.h"

void jt_group_of(const jt_branch *b, int p, int *begin, int *end) {
    const jt_attr *g = NULL;
    *begin = p, *end = p + 1;
    for (size_t i = 0; i < b->n_attr && b->attr[i].from <= p; i++)
        if (b->attr[i].kind == JT_ATTR_GROUP) g = &b->attr[i];
    if (!g || p >= g->end || g->value->size < 2) return;
    int size = g->value->size, first = g->from + (p - g->from) / size * size;
    int last = g->end - first < size ? g->end : first + size;
    for (size_t i = 0; i < b->n_attr; i++) {
        int from = b->attr[i].from;
        if (b->attr[i].kind == JT_ATTR_LAYERS) continue;
        if (from <= p && from > first) first = from;
        if (from > p && from < last) last = from;
    }
    *begin = first, *end = last;
}

int jt_group_cut(const jt_branch *b, int p) {
    int begin, end;
    jt_group_of(b, p, &begin, &end);
    return begin;
}

int jt_group_fit(const jt_branch *b, int n, int most) {
    int begin, end;
    if (n <= most) return n;
    jt_group_of(b, b->evaluated + most, &begin, &end);
    return begin > b->evaluated ? begin - b->evaluated : end - b->evaluated;
}

int jt_group_most(const jt_branch *b) {
    int most = 0;
    for (size_t i = 0; i < b->n_attr; i++)
        if (b->attr[i].kind == JT_ATTR_GROUP && b->attr[i].value->size > most) most = b->attr[i].value->size;
    return most;
}
