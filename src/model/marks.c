/* marks.c: the nodes after which a state keeps the states of its recurrences, shared by forks. What lies between them
 * follows again from the inputs in the pages (steps.c). */
#include <string.h>

#include "model/model.h"

/* The first mark at or after a node. */
static size_t marks_at(const jt_marks *m, int node) {
    size_t lo = 0, hi = m->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (m->at[mid].node < node)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

jt_page *jt_marks_find(const jt_marks *m, int node) {
    size_t i = marks_at(m, node);
    return i < m->n && m->at[i].node == node ? m->at[i].page : NULL;
}

jt_status jt_marks_room(jt_marks *m, size_t n, jt_error *err) { return jt_grow((void **)&m->at, &m->cap, m->n + n, sizeof *m->at, err); }

void jt_marks_add(jt_marks *m, int node, jt_page *p) {
    size_t i = marks_at(m, node);
    memmove(m->at + i + 1, m->at + i, (m->n++ - i) * sizeof *m->at);
    m->at[i] = (struct jt_mark){node, p};
}

void jt_marks_cut(jt_marks *m, jt_model *model, int n) {
    while (m->n && m->at[m->n - 1].node >= n) jt_mark_put(model, m->at[--m->n].page);
}

void jt_marks_keep(jt_marks *m, jt_model *model, int base, const int32_t *slot, int n) {
    size_t to = 0;
    int k = 0; /* both lists ascend */
    for (size_t i = 0; i < m->n; i++) {
        struct jt_mark x = m->at[i];
        while (k < n && slot[k] < x.node) k++;
        bool moves = x.node >= base && k < n && slot[k] == x.node;
        if (moves) x.node = base + k;
        if (moves || x.node < base)
            m->at[to++] = x;
        else
            jt_mark_put(model, x.page);
    }
    m->n = to;
}

jt_status jt_marks_fork(const jt_marks *from, jt_marks *to, jt_error *err) {
    if (!from->n) return JT_OK;
    jt_status s = jt_marks_room(to, from->n, err);
    if (s) return s;
    memcpy(to->at, from->at, from->n * sizeof *to->at);
    to->n = from->n;
    for (size_t i = 0; i < to->n; i++) to->at[i].page->refs++;
    return JT_OK;
}

void jt_marks_free(jt_marks *m, jt_model *model) {
    jt_marks_cut(m, model, 0);
    jt_free(m->at);
    *m = (jt_marks){0};
}
