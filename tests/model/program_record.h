/* program_record.h: what a test knows of the sequences it made, kept beside the engine: every row ever evaluated with
 * its inputs and with what it saw, and for each sequence the rows it holds. Nothing computed is kept. */
#ifndef TESTS_PROGRAM_RECORD_H
#define TESTS_PROGRAM_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "jeton/model.h"

enum { REC_NODES = 128, REC_ALL = REC_NODES, REC_PLAIN = 0, REC_VECTOR = 3 };

typedef struct rec_row {
    int n_in; /* REC_PLAIN: the token id[0]; 1 or 2: a mixture of as many ids; REC_VECTOR: the vector that `seed` names */
    int32_t id[2];
    float w[2];
    uint32_t seed;
    int depth, rank, position;
    unsigned runs;  /* bit l: it runs layer l */
    int taps, eval; /* the set of taps in force (-1: none), and the number of its eval */
    float adapter;  /* the adapter's scale in force; 0: none */
    int keys;       /* the set of lists of keys in force, -1: none */
    int own;        /* depth of the first row of its group */
    int group;      /* a number that its group alone has */
    bool raw;       /* keys are kept before the rotation */
    int up;         /* row of its parent, -1: none */
    int sees_at, n_sees;
} rec_row;

/* All rows of a program. Rows are never changed, so that sequences may share them. */
typedef struct rec_pool {
    rec_row *row;
    int n, cap;
    int *sees; /* rows, as sees_at of each says */
    int n_sees, cap_sees;
} rec_pool;

/* A sequence: its nodes, as rows of the pool, and their parents, as nodes. */
typedef struct rec_seq {
    int n, row[REC_NODES], parent[REC_NODES];
    int taps, keys;
    float adapter;
    bool raw;
} rec_seq;

static inline rec_row *rec_add(rec_pool *p) {
    if (p->n == p->cap) {
        p->cap = p->cap ? 2 * p->cap : 1024;
        if (!(p->row = realloc(p->row, (size_t)p->cap * sizeof *p->row))) abort();
    }
    return memset(&p->row[p->n++], 0, sizeof *p->row);
}

static inline void rec_free(rec_pool *p) {
    free(p->row), free(p->sees);
    *p = (rec_pool){0};
}

static inline void rec_append(rec_seq *s, int row, int parent) { s->row[s->n] = row, s->parent[s->n++] = parent; }

/* Euler intervals of the lanes that the nodes lie in. */
static inline void rec_lanes(const rec_seq *s, int in[REC_NODES], int out[REC_NODES]) {
    int children[REC_NODES] = {0}, lane[REC_NODES], up[REC_NODES], n = 0, clock = 0;
    int begin[REC_NODES], end[REC_NODES], stack[REC_NODES], next[REC_NODES];
    for (int i = 0; i < s->n; i++)
        if (s->parent[i] >= 0) children[s->parent[i]]++;
    for (int i = 0; i < s->n; i++) {
        int p = s->parent[i];
        lane[i] = p >= 0 && children[p] == 1 ? lane[p] : n;
        if (lane[i] == n) up[n++] = p < 0 ? -1 : lane[p];
    }
    for (int root = 0; root < n; root++) {
        int top = 0;
        if (up[root] >= 0) continue;
        stack[0] = root, next[0] = 0, begin[root] = clock++;
        while (top >= 0) {
            int l = stack[top], c = next[top];
            while (c < n && up[c] != l) c++;
            next[top] = c + 1;
            if (c < n)
                stack[++top] = c, next[top] = 0, begin[c] = clock++;
            else
                end[l] = clock++, top--;
        }
    }
    for (int i = 0; i < s->n; i++) in[i] = begin[lane[i]], out[i] = end[lane[i]];
}

/* What nodes [from, n) see now, by the rule of docs/primitives.md but for the layers: sees[i - from][k]. */
static inline void rec_look(const rec_pool *p, const rec_seq *s, int from, uint8_t (*sees)[REC_NODES]) {
    int in[REC_NODES], out[REC_NODES];
    rec_lanes(s, in, out);
    for (int q = from; q < s->n; q++)
        for (int k = 0; k < s->n; k++)
            sees[q - from][k] = p->row[s->row[k]].rank <= p->row[s->row[q]].rank && in[k] <= in[q] && in[q] < out[k];
}

/* Writes down what nodes [from, n) see. */
static inline void rec_saw(rec_pool *p, const rec_seq *s, int from) {
    uint8_t sees[REC_NODES][REC_NODES];
    rec_look(p, s, from, sees);
    for (int q = from; q < s->n; q++) {
        rec_row *r = &p->row[s->row[q]];
        if (p->n_sees + s->n > p->cap_sees) {
            p->cap_sees = 2 * p->cap_sees + 65536;
            if (!(p->sees = realloc(p->sees, (size_t)p->cap_sees * sizeof *p->sees))) abort();
        }
        r->sees_at = p->n_sees, r->n_sees = 0;
        for (int k = 0; k < s->n; k++)
            if (sees[q - from][k]) p->sees[p->n_sees++] = s->row[k], r->n_sees++;
    }
}

/* The ancestors of `node`, as jt_state_truncate_to keeps them. */
static inline void rec_keep_path(rec_seq *s, int node) {
    int path[REC_NODES], n = 0;
    for (int i = node; i >= 0; i = s->parent[i]) path[n++] = s->row[i];
    s->n = 0;
    for (int i = n - 1; i >= 0; i--) rec_append(s, path[i], s->n - 1);
}

/* All rows on which what is computed for `row` rests, its ancestors included, ascending: rows it saw, those they saw and
 * so on. Returns how many, or -1 when they are more than `most`. */
static inline int rec_closure(const rec_pool *p, int row, int *out, int most) {
    int n = 1;
    out[0] = row;
    for (int i = 0; i < n; i++) {
        const rec_row *r = &p->row[out[i]];
        for (int k = -1; k < r->n_sees; k++) {
            int x = k < 0 ? r->up : p->sees[r->sees_at + k], at = 0;
            while (at < n && out[at] != x) at++;
            if (x < 0 || at < n) continue;
            if (n == most) return -1;
            out[n++] = x;
        }
    }
    for (int i = 1; i < n; i++)
        for (int k = i; k && out[k] < out[k - 1]; k--) {
            int t = out[k];
            out[k] = out[k - 1], out[k - 1] = t;
        }
    return n;
}

#endif
