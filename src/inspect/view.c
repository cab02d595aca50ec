/* view.c: what the inspector's keys do, and how remarkable a token is. */
#include "inspect/view.h"

#include <math.h>
#include <string.h>

void jt_view_init(jt_looking *v, const jt_trace *t, const char *name) { *v = (jt_looking){.trace = t, .name = name}; }

const jt_trace_answer *jt_view_answer(const jt_looking *v) {
    if (v->job >= v->trace->n_job || v->answer >= v->trace->job[v->job].n_answer) return NULL;
    return &v->trace->job[v->job].answer[v->answer];
}

const jt_trace_token *jt_view_token(const jt_looking *v) {
    const jt_trace_answer *a = jt_view_answer(v);
    return a && v->at < a->n_token ? &a->token[v->at] : NULL;
}

static int view_add(const jt_cand *c, int n_cand, int32_t *id, int n) {
    for (int i = 0; i < n_cand && n < JT_VIEW_CANDIDATES; i++) {
        int k = 0;
        while (k < n && id[k] != c[i].id) k++;
        if (k == n) id[n++] = c[i].id;
    }
    return n;
}

int jt_view_candidates(const jt_trace_token *k, int32_t id[JT_VIEW_CANDIDATES]) {
    const jt_evidence *e = k->evidence;
    int n = 0;
    if (!e) return 0;
    n = view_add(e->raw, e->n_raw < JT_VIEW_CANDIDATES / 2 ? e->n_raw : JT_VIEW_CANDIDATES / 2, id, n);
    for (int i = 0; i < e->n_stage; i++) {
        int most = e->stage[i].n_cand < JT_VIEW_CANDIDATES / 2 ? e->stage[i].n_cand : JT_VIEW_CANDIDATES / 2;
        n = view_add(e->stage[i].cand, most, id, n);
    }
    return n;
}

static int view_above(double x, const double *border) {
    int n = 0;
    while (n < 4 && x > border[n]) n++;
    return n;
}

int jt_view_level(const jt_trace_answer *a, const jt_trace_token *k, jt_view_mode m) {
    static const double improbable[] = {0.6931, 1.6094, 2.9957, 4.6052}, nats[] = {0.5, 1.5, 3, 5}, ranks[] = {0, 1, 4, 9},
                        times[] = {1.1, 1.5, 2, 4};
    double sum = 0;
    int rank = 0;
    switch (m) {
    case JT_VIEW_ENTROPY: return isnan(k->decision.entropy) ? 0 : view_above((double)k->decision.entropy, nats);
    case JT_VIEW_RANK:
        while (k->evidence && rank < k->evidence->n_raw && k->evidence->raw[rank].id != k->decision.id) rank++;
        return k->evidence ? view_above(rank, ranks) : 0;
    case JT_VIEW_COST:
        for (size_t i = 0; i < a->n_token; i++) sum += (double)a->token[i].eval_seconds;
        return sum > 0 ? view_above((double)k->eval_seconds * (double)a->n_token / sum, times) : 0;
    default: return isnan(k->decision.raw_logprob) ? 0 : view_above(-(double)k->decision.raw_logprob, improbable);
    }
}

/* ---- keys ---- */

static void view_go(jt_looking *v, long to) {
    const jt_trace_answer *a = jt_view_answer(v);
    long n = a ? (long)a->n_token : 0;
    if (to >= n) to = n - 1;
    v->at = to > 0 ? (size_t)to : 0;
    v->candidate = 0;
}

static void view_point(jt_looking *v, int to) {
    int32_t id[JT_VIEW_CANDIDATES];
    const jt_trace_token *k = jt_view_token(v);
    int n = k ? jt_view_candidates(k, id) : 0;
    if (to >= n) to = n - 1;
    v->candidate = to > 0 ? to : 0;
}

/* The next answer, of the next job after the last. */
static void view_next(jt_looking *v) {
    const jt_trace *t = v->trace;
    v->answer++;
    for (size_t tries = 0; tries <= t->n_job && !jt_view_answer(v); tries++) v->job = v->job + 1 < t->n_job ? v->job + 1 : 0, v->answer = 0;
    view_go(v, 0);
}

jt_view_act jt_view_press(jt_looking *v, int key) {
    const jt_trace_token *k = jt_view_token(v);
    long at = (long)v->at;
    v->note[0] = 0;
    switch (key) {
    case 'q': return JT_VIEW_QUIT;
    case JT_KEY_LEFT:
    case 'h': view_go(v, at - 1); break;
    case JT_KEY_RIGHT:
    case 'l': view_go(v, at + 1); break;
    case JT_KEY_PAGE_UP: view_go(v, at - 20); break;
    case JT_KEY_PAGE_DOWN: view_go(v, at + 20); break;
    case JT_KEY_HOME: view_go(v, 0); break;
    case JT_KEY_END: view_go(v, INT32_MAX); break;
    case JT_KEY_UP:
    case 'k': view_point(v, v->candidate - 1); break;
    case JT_KEY_DOWN:
    case 'j': view_point(v, v->candidate + 1); break;
    case 'c': v->mode = v->mode + 1 < JT_VIEW_MODES ? v->mode + 1 : JT_VIEW_PROBABILITY; break;
    case '1':
    case '2':
    case '3':
    case '4': v->mode = (jt_view_mode)(key - '1'); break;
    case '<':
        if (v->column) v->column--;
        break;
    case '>':
        if (k && k->evidence && v->column + 1 < k->evidence->n_stage) v->column++;
        break;
    case '\t': view_next(v); break;
    case JT_KEY_ENTER:
        if (k && k->evidence && k->evidence->n_raw) return JT_VIEW_TAKE;
        break;
    default: break;
    }
    return JT_VIEW_STAY;
}
