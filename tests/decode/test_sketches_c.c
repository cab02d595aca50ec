/* Methods of speculation that are not built in, written against the interface as a program would: the tree verifier, drafts by
 * token recycling (Luo et al. 2024, arXiv:2408.08696), independent paths of a draft model, and the node rule k-SEQ of SpecTr
 * (Sun et al. 2023, arXiv:2310.15141). Their cores stand between the marks. */
#include "harness.h"
#include "jeton/strategy.h"
#include "step/dist.h"

/* ---- core: trees ---- */

enum { NODES = 82, PATHS = 8, DEPTH = 8 };

/* Node 0 is the end of the slot's inputs. With a node rule: what each node's children were drawn from, and the paths in the
 * order of their draws, repeats kept. */
struct tree {
    int n, paths, depth, path[PATHS][DEPTH];
    int32_t id[NODES], parent[NODES];
    jt_hold q[NODES];
};

/* What a node rule says of candidates: it accepts the i-th with accept[i], else residual / its sum decides. */
struct verdict {
    double accept[PATHS], *residual;
};
typedef void node_rule(jt_dist *p, jt_dist *q, const int32_t *c, int k, struct verdict *v);

/* Results are the nodes, in order. */
static void tree_ask(jt_work *w, jt_slot slot, const struct tree *t, const jt_row *like) {
    jt_work_want(w, slot, like);
    for (int i = 1; i < t->n; i++) {
        jt_row row = *like;
        row.slot = slot, row.parent = t->parent[i] - 1, row.id = t->id[i];
        jt_work_rows(w, &row, 1);
    }
}

static jt_decision tree_settle(jt_work *w, const jt_out *o, const int32_t *c, int k, int depth, const struct verdict *v) {
    for (int i = 0; i < k; i++)
        if (jt_work_u(w, JT_MAIN, "accept", (uint32_t)(depth * PATHS + i)) < v->accept[i]) return jt_work_choose(w, o, c[i]);
    double sum = 0, left;
    int32_t id = -1, last = -1;
    jt_dist *p = jt_work_staged(w, o);
    while ((id = jt_dist_next(p, id)) >= 0) sum += v->residual[id];
    left = sum * jt_work_u(w, JT_MAIN, "residual", (uint32_t)depth);
    while ((id = jt_dist_next(p, id)) >= 0 && left > 0)
        if (v->residual[id] > 0) left -= v->residual[last = id];
    return last < 0 ? jt_work_decide(w, o, 0) : jt_work_choose(w, o, last);
}

/* Decides down the tree while a child agrees; the slot goes on from the last node that did, which is returned. */
static int tree_verify(jt_work *w, const jt_results *r, const struct tree *t, node_rule *rule, double *residual, jt_decision *d) {
    unsigned live = (1u << t->paths) - 1;
    int at = 0, next = 0;
    for (int depth = 0; next >= 0; depth++) {
        int32_t c[PATHS];
        int k = 0;
        at = next, next = -1;
        for (int j = 0; j < t->paths; j++)
            if (live >> j & 1 && depth < t->depth) c[k++] = t->id[t->path[j][depth]];
        if (k) {
            struct verdict v = {.residual = residual};
            jt_dist *p = jt_work_staged(w, &r->out[at]), *q = jt_work_held(w, t->q[at]);
            if (!p || !q) return 0;
            rule(p, q, c, k, &v);
            *d = tree_settle(w, &r->out[at], c, k, depth, &v);
        } else
            *d = jt_work_decide(w, &r->out[at], 0);
        for (int j = 0; j < t->paths; j++)
            if (depth >= t->depth || t->id[t->path[j][depth]] != d->id) live &= ~(1u << j);
        for (int i = at + 1; i < t->n; i++)
            if (t->parent[i] == at && t->id[i] == d->id) next = i;
        jt_work_emit(w, d);
    }
    if (at) jt_work_keep(w, &r->out[at]);
    jt_work_push(w, JT_MAIN, d);
    return at;
}

/* ---- core: recycle ---- */

enum { KEPT = 8, LEVELS = 3 };

#define RECYCLE(X, T)                                                                                                                      \
    X(T, INT, k, 8, JT_RANGE(1, KEPT), "candidates kept per token")                                                                        \
    X(T, INT, nodes, 16, JT_RANGE(1, NODES), "nodes of the tree")
JT_PARAMS(recycle, RECYCLE)

/* Children by level, in level order; what is not named has none. */
static const int8_t kids[LEVELS][15] = {{8}, {8, 4, 3, 2, 1, 1, 1, 1}, {8, 3, 2, 1, 1, 1, 1, 1, 2, 1, 0, 0, 1, 0, 0}};

/* What last followed each token, 1 + id; 0: nothing yet. */
struct recycled {
    int32_t next[1][KEPT];
};

struct recycling {
    int at, context;
    struct tree t;
};

static void recycle_propose(const struct recycle *a, const struct recycled *m, int most, struct tree *t) {
    int first = 0, end = 1;
    t->n = 1, t->parent[0] = -1;
    for (int level = 0; level < LEVELS; level++, first = end, end = t->n)
        for (int i = first; i < end && i - first < 15; i++)
            for (int c = 0; c < kids[level][i - first] && c < a->k && t->n < most && m->next[t->id[i]][c]; c++)
                t->parent[t->n] = i, t->id[t->n++] = m->next[t->id[i]][c] - 1;
}

/* All nodes in their order, then the path that was accepted: its contexts are real. */
static void recycle_learn(const struct recycle *a, struct recycled *m, const struct tree *t, const jt_out *o, int at) {
    for (int i = 0; i < t->n; i++)
        for (int c = 0; c < a->k && c < o[i].n_top; c++) m->next[t->id[i]][c] = o[i].top_ids[c] + 1;
    for (; at >= 0; at = t->parent[at])
        for (int c = 0; c < a->k && c < o[at].n_top; c++) m->next[t->id[at]][c] = o[at].top_ids[c] + 1;
}

static jt_status recycle_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    const struct recycle *a = par;
    struct recycling *s = state;
    jt_decision d;
    int most, at;
    JT_BEGIN(s);
    jt_work_next(w, JT_MAIN);
    JT_AWAIT(s);
    d = jt_work_decide(w, r->out, 0);
    jt_work_say(w, JT_MAIN, d);
    for (;;) {
        s->t.id[0] = d.id < 0 ? 0 : d.id;
        most = s->context - jt_work_length(w, JT_MAIN);
        recycle_propose(a, jt_work_shared(w), most < a->nodes ? most : a->nodes, &s->t);
        tree_ask(w, JT_MAIN, &s->t, &(jt_row){.want = JT_WANT_DIST | JT_WANT_TOP, .n_top = a->k});
        JT_AWAIT(s);
        at = tree_verify(w, r, &s->t, NULL, NULL, &d);
        recycle_learn(a, jt_work_shared(w), &s->t, r->out, at);
    }
    JT_END(w);
}

/* ---- frame: recycle ---- */

static size_t recycle_shared(const jt_setup *u) { return (size_t)u->vocab * sizeof(int32_t[KEPT]); }

static jt_status recycle_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    (void)par, (void)err;
    ((struct recycling *)state)->context = u->context;
    return JT_OK;
}

/* ---- core: iid ---- */

enum { DRAFT = 1 };

#define IID(X, T)                                                                                                                          \
    X(T, INT, k, 3, JT_RANGE(1, PATHS), "paths")                                                                                           \
    X(T, INT, len, 2, JT_RANGE(1, DEPTH), "tokens of a path")
JT_PARAMS(iid, IID)

struct paths {
    int at, context;
    struct tree t;
    double residual[]; /* [vocab] */
};

/* One more token of each path, drawn after the node where it ends. */
static void iid_grow(jt_work *w, const jt_results *r, int k, struct tree *t) {
    for (int j = 0; j < k; j++) {
        int at = t->depth ? t->path[j][t->depth - 1] : 0, c = at + 1;
        jt_dist *q = jt_work_staged(w, &r->out[at]);
        if (!q) return;
        int32_t id = jt_dist_draw(q, jt_work_u(w, JT_MAIN, "draft", (uint32_t)(t->depth * PATHS + j)));
        if (!t->q[at]) t->q[at] = jt_work_hold(w, &r->out[at], NULL);
        while (c < t->n && (t->parent[c] != at || t->id[c] != id)) c++;
        if (c == t->n) t->parent[t->n] = at, t->id[t->n++] = id;
        t->path[j][t->depth] = c;
    }
    t->paths = k, t->depth++;
}

/* ---- core: k-SEQ ---- */

static double kseq_beta(jt_dist *p, jt_dist *q, double rho) {
    double b = 0;
    for (int32_t x = jt_dist_next(q, -1); x >= 0; x = jt_dist_next(q, x)) b += fmin(jt_dist_p(q, x), jt_dist_p(p, x) / rho);
    return b;
}

static void kseq(jt_dist *p, jt_dist *q, const int32_t *c, int k, struct verdict *v) {
    double lo = 1, hi = k;
    for (int i = 0; i < 40 && hi - lo > 1e-9; i++) {
        double m = (lo + hi) / 2, b = kseq_beta(p, q, m);
        if (1 - pow(1 - b, k) >= m * b)
            lo = m;
        else
            hi = m;
    }
    double b = kseq_beta(p, q, hi), all = 1 - pow(1 - b, k), f = b > 0 ? all / b : 0;
    for (int i = 0; i < k; i++) v->accept[i] = fmin(1, jt_dist_p(p, c[i]) / (hi * jt_dist_p(q, c[i])));
    for (int32_t x = 0; x < jt_dist_vocab(p); x++) {
        double px = jt_dist_p(p, x);
        v->residual[x] = 1 - all < 1e-13 ? px : fmax(0, px - f * fmin(jt_dist_p(q, x), px / hi));
    }
}

/* ---- core: iid, verified by k-SEQ ---- */

static jt_status iid_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    const struct iid *a = par;
    struct paths *s = state;
    jt_decision d;
    JT_BEGIN(s);
    jt_work_follow(w, DRAFT, "other", JT_MAIN);
    for (;;) {
        s->t = (struct tree){.n = 1};
        while (s->t.depth < a->len && jt_work_length(w, JT_MAIN) + s->t.n + a->k <= s->context) {
            tree_ask(w, DRAFT, &s->t, &(jt_row){.want = JT_WANT_DIST});
            JT_AWAIT(s);
            iid_grow(w, r, a->k, &s->t);
        }
        tree_ask(w, JT_MAIN, &s->t, &(jt_row){.want = JT_WANT_DIST});
        JT_AWAIT(s);
        tree_verify(w, r, &s->t, kseq, s->residual, &d);
        for (int i = 0; i < s->t.n; i++)
            if (s->t.q[i]) jt_work_release(w, s->t.q[i]);
    }
    JT_END(w);
}

/* ---- frame: iid ---- */

static size_t iid_bytes(const void *par, const jt_setup *u) {
    (void)par;
    return sizeof(struct paths) + (size_t)u->vocab * sizeof(double);
}

static jt_status iid_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    (void)par, (void)err;
    ((struct paths *)state)->context = u->context;
    return JT_OK;
}

static const jt_method method[] = {{.name = "recycle",
                                    .kind = JT_STRATEGY,
                                    JT_PARAMETERS(recycle),
                                    .state_size = sizeof(struct recycling),
                                    .open = recycle_open,
                                    .shared_size = recycle_shared,
                                    .strategy = {.advance = recycle_advance}},
                                   {.name = "iid",
                                    .kind = JT_STRATEGY,
                                    .needs = JT_NEEDS_MODEL2,
                                    .role = "other",
                                    JT_PARAMETERS(iid),
                                    .state_bytes = iid_bytes,
                                    .open = iid_open,
                                    .strategy = {.advance = iid_advance}}};

/* ---- recycling ---- */

static jt_methods *mine;
static fake small, other;

/* A model that says the alphabet over and over, most of the time. */
static float rote_logit(const int32_t *ids, int n, int32_t id) {
    int32_t last = ids[n - 1];
    return fake_logit(ids, n, id) + (id == (last >= 'a' && last < 'z' ? last + 1 : 'a') ? 9 : 0);
}

static void the_worked_tree(void **state) {
    (void)state;
    static struct { int32_t next[10][KEPT]; } m = {.next = {[3] = {2, 3}, [5] = {8, 10}, [7] = {4, 6}, [9] = {6, 3}}};
    static const int32_t id[] = {5, 7, 9, 3, 5, 5, 2, 1, 2, 7, 9, 7, 9}, parent[] = {-1, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5};
    struct tree t = {.id = {5}};
    recycle_propose(&(struct recycle){.k = 2}, (const struct recycled *)&m, 6, &t);
    assert_int_equal(t.n, 6);
    assert_memory_equal(t.id, id, 6 * sizeof *id);
    assert_memory_equal(t.parent, parent, 6 * sizeof *id);
    recycle_propose(&(struct recycle){.k = 2}, (const struct recycled *)&m, NODES, &t);
    assert_int_equal(t.n, 13);
    assert_memory_equal(t.id, id, sizeof id);
    assert_memory_equal(t.parent, parent, sizeof parent);
}

static void recycling_gives_the_plain_text(void **state) {
    (void)state;
    static told plain, t[2];
    static const char *const stages[] = {"| temp:0", "| temp:0.7", "| temp:1.3 | top-p:0.9",
                                         "| dry:0.4,allowed=1 | temp:0.5 | repeat-penalty:1.2"};
    for (int way = 0; way < 2; way++)
        for (int i = 0; i < 4; i++)
            for (uint64_t seed = 1; seed < 5; seed++) {
                char a[120], b[120];
                small.logit = way ? rote_logit : fake_logit;
                snprintf(a, sizeof a, "sample %s", stages[i]);
                snprintf(b, sizeof b, "recycle:nodes=%d,k=%d %s", seed == 3 ? NODES : 16, seed == 4 ? 2 : 8, stages[i]);
                run_text(&small, a, mine, seed, 60, &plain);
                jt_driver *d = driver_of(&small);
                jt_pipeline *p = parse_with(b, mine);
                jt_request r = request_of(p, seed, 60);
                int evals[2];
                for (int k = 0; k < 2; k++) {
                    evals[k] = small.evals;
                    run_request(d, &r, &t[k]);
                    evals[k] = small.evals - evals[k];
                    if (t[k].reason != JT_END_LENGTH) fail_msg("%s: %s", b, t[k].message);
                    same_said(&t[k].a[0], &plain.a[0]);
                    assert_memory_equal(t[k].a[0].u, plain.a[0].u, 60 * sizeof(double));
                }
                if (way && i < 2) assert_true(evals[0] < 50 && evals[1] < 30); /* the table is kept from job to job */
                jt_driver_free(d);
                jt_pipeline_free(p);
                assert_int_equal(small.open, 0);
            }
    small.logit = fake_logit;
}

static void trees_end_where_the_context_does(void **state) {
    (void)state;
    static told plain, t;
    small.logit = rote_logit;
    run_text(&small, "sample | temp:0.5", mine, 2, 0, &plain);
    run_text(&small, "recycle:nodes=82 | temp:0.5", mine, 2, 0, &t);
    assert_int_equal(plain.reason, JT_END_CONTEXT);
    if (t.reason != JT_END_CONTEXT) fail_msg("%s", t.message);
    same_said(&t.a[0], &plain.a[0]);
    small.logit = fake_logit;
}

/* ---- k-SEQ ---- */

/* Its logits stay in x. */
static jt_dist *dist_of(const double *p, int n, float *x) {
    jt_dist *d;
    for (int i = 0; i < n; i++) x[i] = p[i] > 0 ? (float)log(p[i]) : -INFINITY;
    assert_int_equal(jt_dist_new(n, small.ev.kernels, &d, NULL), JT_OK);
    assert_int_equal(jt_dist_load(d, x, NULL), JT_OK);
    return d;
}

/* What is emitted over all tuples of candidates; the chance that one of them is accepted. With `wrong` the rule is misused. */
static double emitted(jt_dist *p, jt_dist *q, int k, int wrong, double *out) {
    int n = jt_dist_vocab(p), tuples = 1;
    double accepted = 0;
    for (int i = 0; i < n; i++) out[i] = 0;
    for (int i = 0; i < k; i++) tuples *= n;
    for (int t = 0; t < tuples; t++) {
        int32_t c[PATHS];
        double residual[8], all = 1, sum = 0;
        struct verdict v = {.residual = residual};
        for (int i = 0, x = t; i < k; i++, x /= n) c[i] = x % n, all *= jt_dist_p(q, c[i]);
        if (all <= 0) continue;
        for (int i = 1; i < k && wrong == 1; i++)
            if (c[i] < c[0]) c[0] ^= c[i], c[i] ^= c[0], c[0] ^= c[i];
        kseq(p, q, c, k, &v);
        for (int i = 0; i < k && wrong == 2; i++) v.accept[i] = fmin(1, jt_dist_p(p, c[i]) / jt_dist_p(q, c[i]));
        for (int i = 0; i < k; i++) {
            assert_true(v.accept[i] >= 0 && v.accept[i] <= 1);
            out[c[i]] += all * v.accept[i], accepted += all * v.accept[i], all *= 1 - v.accept[i];
        }
        for (int i = 0; i < n; i++) assert_true(residual[i] >= 0), sum += residual[i];
        for (int i = 0; i < n; i++) out[i] += all * residual[i] / sum;
    }
    return accepted;
}

static double furthest(jt_dist *p, const double *out) {
    double far = 0;
    for (int i = 0; i < jt_dist_vocab(p); i++) far = fmax(far, fabs(out[i] - jt_dist_p(p, i)));
    return far;
}

static void kseq_emits_what_the_model_says(void **state) {
    (void)state;
    static const double P[] = {.40, .25, .20, .10, .05}, Q[] = {.25, .35, .10, .10, .20},
                        want[] = {.75, .874159, .940281, .967860, .980248};
    double out[8];
    float x[8], y[8];
    jt_dist *p = dist_of(P, 5, x), *q = dist_of(Q, 5, y);
    for (int k = 1; k <= 5; k++) {
        double accepted = emitted(p, q, k, 0, out);
        if (fabs(accepted - want[k - 1]) >= 2e-6) fail_msg("%d candidates: accepts %.9f", k, accepted);
        assert_true(furthest(p, out) < 1e-12);
    }
    emitted(p, q, 3, 1, out);
    assert_true(furthest(p, out) > 1e-3);
    emitted(p, q, 2, 2, out);
    assert_true(furthest(p, out) > 1e-3);
    jt_dist_free(p), jt_dist_free(q);
    for (uint64_t seed = 0; seed < 200; seed++) { /* zeros too; every tenth the same, every eleventh with nothing in common */
        double a[4], b[4];
        for (uint64_t i = 0; i < 4; i++) {
            uint64_t h = jt_hash_u64(seed, i), g = jt_hash_u64(seed + 1000, i);
            a[i] = i && h % 5 == 0 ? 0 : (double)(h % 997 + 1), b[i] = i != 1 && g % 5 == 0 ? 0 : (double)(g % 997 + 1);
            if (seed % 10 == 0) b[i] = a[i];
            if (seed % 11 == 0) a[i] = i % 2 ? 0 : a[i], b[i] = i % 2 ? b[i] : 0;
        }
        p = dist_of(a, 4, x), q = dist_of(b, 4, y);
        double before = 0;
        for (int k = 1; k <= 4; k++) {
            double accepted = emitted(p, q, k, 0, out);
            if (furthest(p, out) >= 1e-12) fail_msg("%d, %d candidates: off by %g", (int)seed, k, furthest(p, out));
            assert_true(accepted >= before - 1e-9);
            before = accepted;
        }
        if (seed % 11 == 0) assert_true(before == 0);
        if (seed % 10 == 0 && seed % 11) assert_true(before > 1 - 1e-9);
        jt_dist_free(p), jt_dist_free(q);
    }
}

/* ---- the whole of it ---- */

static float near_logit(const int32_t *ids, int n, int32_t id) {
    return fake_logit(ids, n, id) + (float)(jt_hash_u64((uint64_t)id, (uint64_t)ids[n - 1]) % 100) / 50.0f;
}

static void run_two(const char *text, uint64_t seed, int tokens, told *t) {
    jt_driver *d = driver_of(&small);
    jt_pipeline *p = parse_with(text, mine);
    jt_request r = request_of(p, seed, tokens);
    assert_int_equal(jt_driver_add_with(d, "other", &other.ev, NULL), JT_OK);
    run_request(d, &r, t);
    if (t->reason == JT_END_ERROR) fail_msg("%s: %s", text, t->message);
    jt_driver_free(d);
    jt_pipeline_free(p);
    assert_int_equal(small.open + other.open, 0);
}

/* The BEST likeliest after the tokens, and their chances among themselves. */
enum { BEST = 3 };
static void best_of(const int32_t *ids, int n, int32_t *best, double *p) {
    double sum = 0;
    for (int k = 0; k < BEST; k++) {
        float top = -INFINITY;
        for (int32_t id = 0; id < FAKE_VOCAB; id++) {
            bool had = false;
            for (int i = 0; i < k; i++) had |= best[i] == id;
            float x = fake_logit(ids, n, id);
            if (!had && x > top) top = x, best[k] = id;
        }
        sum += p[k] = exp((double)top);
    }
    for (int k = 0; k < BEST; k++) p[k] /= sum;
}

static void texts_of_drafts_have_the_models_chances(void **state) {
    (void)state;
    enum { RUNS = 3000 };
    static told t;
    int32_t ids[8], first[BEST], then[BEST][BEST];
    int n[BEST][BEST] = {{0}}, evals = small.evals;
    double p[BEST], q[BEST][BEST], chi = 0;
    other.logit = near_logit;
    memcpy(ids, hello, sizeof hello);
    best_of(ids, 5, first, p);
    for (int a = 0; a < BEST; a++) ids[5] = first[a], best_of(ids, 6, then[a], q[a]);
    for (uint64_t seed = 0; seed < RUNS; seed++) {
        int a = 0, b = 0;
        run_two("iid:k=3,len=2 | top-k:3", seed, 2, &t);
        while (a < BEST && first[a] != t.a[0].id[0]) a++;
        assert_true(a < BEST);
        while (b < BEST && then[a][b] != t.a[0].id[1]) b++;
        assert_true(b < BEST);
        n[a][b]++;
    }
    for (int a = 0; a < BEST; a++)
        for (int b = 0; b < BEST; b++) {
            double want = RUNS * p[a] * q[a][b];
            chi += (n[a][b] - want) * (n[a][b] - want) / want;
        }
    if (chi > 26.12) fail_msg("chi square %g, beyond one in a thousand", chi); /* 8 degrees of freedom */
    assert_true(small.evals - evals < 2 * RUNS);
}

static void drafts_of_the_model_itself_are_accepted(void **state) {
    (void)state;
    static told t, again, plain;
    other.logit = fake_logit;
    for (int k = 1; k <= 3; k++) {
        char text[60];
        snprintf(text, sizeof text, "iid:k=%d,len=4 | temp:1.5", k);
        int evals = small.evals;
        run_two(text, 7, 20, &t);
        assert_int_equal(small.evals - evals, 4); /* four drafted tokens and one more each */
        run_two(text, 7, 20, &again);
        assert_memory_equal(&t, &again, sizeof t);
    }
    other.logit = near_logit;
    run_two("iid:k=3,len=3 | top-k:1", 7, 0, &t);
    run_two("sample | top-k:1", 7, 0, &plain);
    assert_int_equal(t.reason, JT_END_CONTEXT);
    same_said(&t.a[0], &plain.a[0]);
}

/* ---- little memory ---- */

static void failures_are_clean(void **state) {
    (void)state;
    static const char *const text[] = {"recycle | temp:0.5", "iid:k=3,len=2 | top-k:5"};
    static told want, t;
    small.logit = rote_logit, other.logit = near_logit;
    for (int i = 0; i < 2; i++) {
        jt_pipeline *p = parse_with(text[i], mine);
        jt_request r = request_of(p, 2, 9);
        int failed = 0;
        for (long at = -1;; at++) {
            jt_job job = 0;
            jt_driver *d = driver_of(&small);
            assert_int_equal(jt_driver_add_with(d, "other", &other.ev, NULL), JT_OK);
            if (at >= 0) alloc_fail_at(at);
            (void)jt_driver_submit(d, &r, &job, NULL);
            finish_all(d, &job, &t, 1);
            long asked = alloc_count();
            alloc_fail_at(-1);
            jt_driver_free(d);
            assert_int_equal(small.open + other.open, 0);
            if (at < 0) {
                want = t;
                continue;
            }
            if (job && t.reason != JT_END_ERROR) assert_memory_equal(&t, &want, sizeof want);
            failed += t.reason == JT_END_ERROR;
            if (asked <= at) break;
        }
        assert_true(failed > 5);
        jt_pipeline_free(p);
    }
    small.logit = other.logit = fake_logit;
}

static int setup(void **state) {
    (void)state;
    fake_make(&small), fake_make(&other);
    return methods_with(&mine, method, sizeof method / sizeof *method);
}

static int teardown(void **state) {
    (void)state;
    jt_methods_free(mine);
    fake_free(&small), fake_free(&other);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_worked_tree),
        cmocka_unit_test(recycling_gives_the_plain_text),
        cmocka_unit_test(trees_end_where_the_context_does),
        cmocka_unit_test(kseq_emits_what_the_model_says),
        cmocka_unit_test(texts_of_drafts_have_the_models_chances),
        cmocka_unit_test(drafts_of_the_model_itself_are_accepted),
        cmocka_unit_test(failures_are_clean),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
