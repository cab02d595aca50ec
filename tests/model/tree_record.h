/* tree_record.h: the tree that a test has grown in a state, kept beside it: parents, ranks, and what each node saw. */
#ifndef TESTS_TREE_RECORD_H
#define TESTS_TREE_RECORD_H

#include <stdint.h>
#include <string.h>

#include "core/random.h"
#include "llama_reference.h"

/* Every node ever evaluated, as the test keeps it: parents by node number, and what each saw when it was evaluated. */
struct record {
    int n, id[REF_MAX], parent[REF_MAX], depth[REF_MAX], rank[REF_MAX], position[REF_MAX];
    uint8_t sees[REF_MAX][REF_MAX];
};

/* Lanes by their definition: Euler intervals of the runs between branchings. */
static inline void lanes(const struct record *r, int in[REF_MAX], int out[REF_MAX]) {
    int children[REF_MAX] = {0}, lane[REF_MAX], up[REF_MAX], n = 0, clock = 0;
    for (int i = 0; i < r->n; i++)
        if (r->parent[i] >= 0) children[r->parent[i]]++;
    for (int i = 0; i < r->n; i++) {
        int p = r->parent[i];
        if (p >= 0 && children[p] == 1)
            lane[i] = lane[p];
        else
            lane[i] = n, up[n++] = p < 0 ? -1 : lane[p];
    }
    int lin[REF_MAX], lout[REF_MAX], stack[REF_MAX], next[REF_MAX];
    for (int root = 0; root < n; root++) {
        if (up[root] >= 0) continue;
        int top = 0;
        stack[0] = root, next[0] = 0, lin[root] = clock++;
        while (top >= 0) {
            int l = stack[top], c = next[top];
            while (c < n && up[c] != l) c++;
            next[top] = c + 1;
            if (c < n)
                stack[++top] = c, next[top] = 0, lin[c] = clock++;
            else
                lout[l] = clock++, top--;
        }
    }
    for (int i = 0; i < r->n; i++) in[i] = lin[lane[i]], out[i] = lout[lane[i]];
}

/* Fills in what nodes [from, n) see now. */
static inline void look(struct record *r, int from) {
    int in[REF_MAX], out[REF_MAX];
    lanes(r, in, out);
    for (int q = from; q < r->n; q++)
        for (int k = 0; k < r->n; k++) r->sees[q][k] = r->rank[k] <= r->rank[q] && in[k] <= in[q] && in[q] < out[k];
}

static inline void chain(int *parent, int n) {
    for (int i = 0; i < n; i++) parent[i] = i - 1;
}

static inline uint32_t pick(uint32_t seed, uint32_t *at, uint32_t below) {
    uint32_t w[4];
    jt_philox((uint32_t[4]){(*at)++, 7, 0, 0}, (uint32_t[2]){seed, 2}, w);
    return w[0] % below;
}

/* The record after truncate_to: the ancestors of `node`. */
static inline void keep_path(struct record *r, int node) {
    static struct record k;
    int path[REF_MAX], n = 0;
    for (int i = node; i >= 0; i = r->parent[i]) path[n++] = i;
    memset(&k, 0, sizeof k);
    for (int i = 0; i < n; i++) {
        int from = path[n - 1 - i];
        k.id[i] = r->id[from], k.parent[i] = i - 1, k.depth[i] = i, k.rank[i] = r->rank[from], k.position[i] = r->position[from];
        for (int j = 0; j < n; j++) k.sees[i][j] = r->sees[from][path[n - 1 - j]];
    }
    k.n = n;
    *r = k;
}

/* Keeps nodes [0, n). */
static inline void keep_first(struct record *r, int n) { r->n = n; }

#endif
