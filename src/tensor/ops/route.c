/* route.c: which experts a row goes to, and with what weights.
 *
 * Softmax over all experts (Mixtral, Qwen, OLMoE, DeepSeek-V2), over the chosen ones (GPT-OSS, Granite), or sigmoids
 * with a bias that counts for the choice alone (DeepSeek-V3: arXiv 2412.19437); chosen among the best groups where
 * there are groups. Scores are float32; of equals the first is chosen. */
#include <math.h>
#include <string.h>

#include "tensor/op.h"

typedef struct route_work {
    float *score, *choice, *group; /* [experts], [experts], [groups] */
    uint8_t *taken;                /* [experts] or [groups] */
} route_work;

static size_t route_carve(route_work *w, float *p, size_t experts) {
    w->score = p, w->choice = p + experts, w->group = p + 2 * experts;
    w->taken = (uint8_t *)(p + 3 * experts);
    return experts * (3 * sizeof *p + 1);
}

/* Marks the k best of n. NaN comes after all numbers. */
static void route_best(const float *v, int n, int k, uint8_t *taken) {
    memset(taken, 0, (size_t)n);
    for (int j = 0; j < k; j++) {
        int best = -1;
        for (int i = 0; i < n; i++)
            if (!taken[i] && (best < 0 || v[i] > v[best] || (isnan(v[best]) && !isnan(v[i])))) best = i;
        taken[best] = 1;
    }
}

/* Experts of groups that are not among the best become -inf. */
static void route_groups(const jt_opnode *n, route_work *w, int experts) {
    int groups = n->i[3], size = experts / groups;
    if (size < 1) return;
    for (int g = 0; g < groups; g++) {
        const float *c = w->choice + g * size;
        float a = -INFINITY, b = -INFINITY; /* the two best */
        for (int i = 0; i < size; i++) {
            if (c[i] > a)
                b = a, a = c[i];
            else if (c[i] > b)
                b = c[i];
        }
        w->group[g] = n->i[5] && size > 1 ? a + b : a;
    }
    route_best(w->group, groups, n->i[4], w->taken);
    for (int i = 0; i < experts; i++)
        if (!w->taken[i / size]) w->choice[i] = -INFINITY;
}

static const float *route_bias(const jt_env *e, jt_ref r) { return r.tensor == JT_NO_TENSOR ? NULL : e->set[r.set]->w[r.tensor].vector; }

/* Scores of all experts from logits z. */
static void route_scores(const jt_kernels *k, int rule, const float *z, int n, float *score) {
    double total;
    if (rule == JT_ROUTE_CHOSEN) {
        memcpy(score, z, (size_t)n * sizeof *z);
    } else if (rule == JT_ROUTE_SIGMOID) {
        for (int i = 0; i < n; i++) score[i] = -z[i];
        k->exp(score, n, score);
        for (int i = 0; i < n; i++) score[i] = 1.0f / (1.0f + score[i]);
    } else {
        float m = k->max(z, n);
        k->sum_exp(z, n, m, &total, NULL);
        for (int i = 0; i < n; i++) score[i] = z[i] - m;
        k->exp(score, n, score);
        for (int i = 0; i < n; i++) score[i] /= (float)total;
    }
}

static void route_row(const jt_env *e, const jt_opnode *n, route_work *w, const float *z, int experts, float *out) {
    const jt_kernels *kernels = e->engine->kernels;
    const float *bias = route_bias(e, n->weight[0]), *choice = route_bias(e, n->weight[1]);
    int k = n->i[0], rule = n->i[1];
    float *weight = out + k, total = 0;
    memcpy(w->choice, z, (size_t)experts * sizeof *z);
    if (bias) kernels->add(w->choice, bias, experts, w->choice);
    route_scores(kernels, rule, w->choice, experts, w->score);
    memcpy(w->choice, w->score, (size_t)experts * sizeof *z);
    if (choice) kernels->add(w->choice, choice, experts, w->choice);
    if (n->i[3] > 1) route_groups(n, w, experts);
    route_best(w->choice, experts, k, w->taken);
    for (int i = 0, j = 0; i < experts; i++)
        if (w->taken[i]) out[j] = (float)i, weight[j] = w->score[i], j++;
    if (rule == JT_ROUTE_CHOSEN) {
        float m = kernels->max(weight, k);
        for (int j = 0; j < k; j++) weight[j] -= m;
        kernels->exp(weight, k, weight);
    }
    for (int j = 0; j < k; j++) total += weight[j];
    if (rule == JT_ROUTE_CHOSEN || n->i[2])
        for (int j = 0; j < k; j++) weight[j] /= total + 1e-20f;
    for (int j = 0; n->f[0] != 1 && j < k; j++) weight[j] *= n->f[0];
}

static void route_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    const float *x = jt_env_f32(e, n->in[0]);
    float *y = jt_env_f32(e, n->out[0]);
    size_t experts = (size_t)e->list->value[n->in[0]].width, width = 2 * (size_t)n->i[0];
    int first, end;
    route_work w;
    route_carve(&w, s->scratch, experts);
    jt_share_rows(s, jt_env_rows(e, n->in[0]), &first, &end);
    for (size_t r = (size_t)first; r < (size_t)end; r++) route_row(e, n, &w, x + r * experts, (int)experts, y + r * width);
}

static size_t route_scratch(const jt_env *e, const jt_opnode *n) {
    route_work w;
    float none;
    return route_carve(&w, &none, (size_t)e->list->value[n->in[0]].width);
}

const jt_op jt_op_route = {.name = "route", .split = JT_SPLIT_ROWS, .forward = route_forward, .scratch = route_scratch};
