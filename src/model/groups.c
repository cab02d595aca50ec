/* groups.c: rows that are evaluated as one (jeton/model.h, jt_span.group).
 *
 * A state remembers them apart from its nodes, so that a sequence with groups stays a trunk. */
#include "model/model.h"

jt_status jt_groups_room(jt_state *s, int n, jt_error *err) {
    return jt_grow((void **)&s->group, &s->cap_group, s->n_group + (size_t)n, sizeof *s->group, err);
}

void jt_groups_add(jt_state *s, const jt_span_plan *p, int n) {
    for (int i = 0, rows; p->n_group && i < n; i += rows) {
        for (rows = 1; i + rows < n && p->group[i + rows] == i;) rows++;
        if (rows > 1) s->group[s->n_group++] = (jt_group_span){s->length + i, rows, rows};
    }
}

void jt_groups_truncate(jt_state *s, int n) {
    while (s->n_group && s->group[s->n_group - 1].first >= n) s->n_group--;
    if (!s->n_group) return;
    jt_group_span *g = &s->group[s->n_group - 1];
    if (g->kept > n - g->first) g->kept = n - g->first;
}

/* The nodes of a group lie side by side on a path too, for paths ascend. */
void jt_groups_keep(jt_state *s, int base, const int32_t *slot, int path) {
    size_t n = 0;
    for (size_t i = 0; i < s->n_group; i++) {
        jt_group_span g = s->group[i];
        int end = g.first + g.kept, first = -1, kept = 0;
        if (g.first < base) first = g.first, kept = (end < base ? end : base) - g.first;
        for (int k = 0; k < path; k++)
            if (slot[k] >= g.first && slot[k] < end) first = first < 0 ? base + k : first, kept++;
        if (kept) s->group[n++] = (jt_group_span){first, kept, g.rows};
    }
    s->n_group = n;
}

int jt_state_group(const jt_state *s, int node, int *rows) {
    size_t low = 0, high = s->n_group; /* groups below `low` begin at or before the node */
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (s->group[mid].first <= node)
            low = mid + 1;
        else
            high = mid;
    }
    const jt_group_span *g = low ? &s->group[low - 1] : NULL;
    bool in = g && node < g->first + g->kept;
    if (rows) *rows = in ? g->rows : 1;
    return in ? g->first : node;
}

/* The parent of row i as a node; -1: none. */
static int groups_parent(const jt_span *p, int i) {
    int parent = p->parent ? p->parent[i] : JT_PREVIOUS;
    return parent == JT_PREVIOUS ? p->state->length + i - 1 : parent == JT_NO_PARENT ? -1 : parent;
}

jt_status jt_groups_plan(const jt_span *p, int index, jt_arena *a, jt_span_plan *plan, jt_error *err) {
    size_t n = (size_t)p->n;
    if (!p->group || !n) return JT_OK;
    int32_t *group = jt_arena_alloc(a, n, sizeof *group);
    uint8_t *cut = jt_arena_alloc(a, n, 1);
    if (!group || !cut) return jt_nomem(err, "groups of a span", n, sizeof *group);
    for (int i = 0, first = 0; i < p->n; i++) {
        bool goes_on = i && p->group[i] == p->group[i - 1];
        if (!goes_on) first = i;
        group[i] = first;
        cut[i] = !goes_on && (!plan->cut || plan->cut[i]);
        plan->n_group += goes_on && i == first + 1;
        int parent = groups_parent(p, i);
        if (goes_on && parent < p->state->length + first && parent != groups_parent(p, first))
            return jt_error_set(err, JT_INVALID,
                                "span %d, row %d: its parent %d is neither in its group, which begins at row %d, nor the parent of that",
                                index, i, parent, first);
    }
    plan->group = group, plan->cut = cut;
    return JT_OK;
}
