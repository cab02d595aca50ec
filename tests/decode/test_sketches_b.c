/* Methods that came as sketches, written against the public interface and run: adaptive rejection sampling with a checker
 * (Lipkin et al. 2025, arXiv:2504.05410) as a stage, sequential Monte Carlo over children with a critic (the same paper) and
 * the rollout of TreePO (Li et al. 2025, arXiv:2508.17445) as strategies. */
#include "harness.h"

#include "jeton/strategy.h"

/* ---- awrs: the stage leaves one candidate that the checker accepts ---- */

/* The row's `self`: may the token follow? NULL: any may, and nothing changes. */
struct checker {
    bool (*allows)(struct checker *c, jt_step *s, int32_t id);
    int calls;
    uint64_t ids; /* bit i: token i may follow */
};

static double awrs_gumbel(const jt_step *s, int32_t id) { return -log(-log(jt_step_u(s, "key", (uint32_t)id))); }

static jt_status awrs_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    struct checker *c = jt_step_self(s);
    double left = 1, all = jt_dist_log_sum(d);
    (void)par, (void)state;
    if (!c) return JT_OK;
    for (int32_t i = jt_dist_next(d, -1); i >= 0; i = jt_dist_next(d, i)) jt_dist_add(d, i, (float)awrs_gumbel(s, i));
    for (int k = 0; k < jt_dist_count(d) && left > 1e-5; k++) { /* the order is grown as far as it is looked at */
        int32_t x = jt_dist_top(d, k + 1)[k].id;
        if (c->allows(c, s, x)) {
            jt_dist_only(d, x);
            return JT_OK;
        }
        left -= exp((double)jt_dist_logit(d, x) - awrs_gumbel(s, x) - all);
    }
    jt_dist_only(d, -1);
    return JT_OK;
}

/* A stage cannot give a decision a weight, so awrs with proper weights is a leaf: it gives ln p - ln w as the decision's logprob,
 * and who sums raw - logprob over its tokens has the weight. The estimator is the recursive one: one more look. The checker
 * is chosen by a parameter, for a strategy is not given its row's `self`. */
#define AWRS_PROPER(X, T) X(T, CHOICE, check, 0, JT_ONE_OF("legal|bits"), "what may follow")
JT_PARAMS(awrs_proper, AWRS_PROPER)

struct proper {
    int at;
};

static bool proper_allows(const struct awrs_proper *a, jt_work *w, int32_t id);

static double proper_gumbel(const jt_work *w, int32_t id) { return -log(-log(jt_work_u(w, JT_MAIN, "key", (uint32_t)id))); }

static jt_decision proper_draw(const struct awrs_proper *a, jt_work *w, const jt_out *o) {
    jt_dist *d = jt_work_copy(w, o);
    double left = 1, all = d ? jt_dist_log_sum(d) : 0;
    for (int32_t i = d ? jt_dist_next(d, -1) : -1; i >= 0; i = jt_dist_next(d, i)) jt_dist_add(d, i, (float)proper_gumbel(w, i));
    for (int k = 0; d && k < jt_dist_count(d) && left > 1e-5; k++) {
        int32_t x = jt_dist_top(d, k + 1)[k].id;
        double p = exp((double)jt_dist_logit(d, x) - proper_gumbel(w, x) - all);
        if (proper_allows(a, w, x)) {
            bool more = k + 1 == jt_dist_count(d) || proper_allows(a, w, jt_dist_top(d, k + 2)[k + 1].id);
            jt_decision made = jt_work_choose(w, o, x);
            made.logprob = (float)(made.raw_logprob - log(more ? left : p));
            return made;
        }
        left -= p;
    }
    return (jt_decision){.id = -1, .position = o->position};
}

static jt_status proper_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    const struct awrs_proper *a = par;
    struct proper *s = state;
    JT_BEGIN(s);
    for (;;) {
        jt_work_next(w, JT_MAIN);
        JT_AWAIT(s);
        jt_work_say(w, JT_MAIN, proper_draw(a, w, r->out));
    }
    JT_END(w);
}

/* ---- smc: particles, weighted by what the stages inside took away ---- */

enum { SMC_MOST = 64 };

#define SMC(X, T)                                                                                                                          \
    X(T, INT, n, 5, JT_RANGE(1, SMC_MOST), "particles")                                                                                    \
    X(T, REAL, tau, 0.5, JT_RANGE(0, 1), "resampled below this share of effective ones")                                                   \
    X(T, METHOD, critic, 0, JT_METHOD_OF(JT_SCORER, NULL), "ln of a potential of the text so far")
JT_PARAMS(smc, SMC)

struct particle {
    double lnw, had; /* had: what stages and critic have given so far */
    bool over;
};

struct particles {
    int at, step, live;
    double ln_z; /* of the estimate of the evidence */
    struct particle p[SMC_MOST];
};

static void smc_weigh(const struct smc *a, struct particles *s, const jt_results *r, jt_work *w) {
    for (int j = 0; j < r->n_child; j++) {
        const jt_child_end *e = &r->child[j];
        struct particle *p = &s->p[e->slot];
        double has = e->raw - e->logprob + (a->critic.m ? jt_work_score(w, e->slot, &a->critic) : 0);
        p->lnw += e->why == JT_END_DEAD ? -INFINITY : has - p->had;
        p->had = has, p->over = e->why != JT_END_NONE;
    }
}

/* Stratified, when few count; false: all are dead. */
static bool smc_resample(const struct smc *a, struct particles *s, jt_work *w) {
    struct particle old[SMC_MOST];
    int16_t src[SMC_MOST];
    double top = -INFINITY, z = 0, z2 = 0, cum = 0;
    int k = 0;
    for (int i = 0; i < a->n; i++) top = fmax(top, s->p[i].lnw);
    if (top == -INFINITY) return false;
    for (int i = 0; i < a->n; i++) z += exp(s->p[i].lnw - top), z2 += exp(2 * (s->p[i].lnw - top));
    s->ln_z = top + log(z / a->n);
    if (z * z / z2 >= a->tau * a->n) return true;
    memcpy(old, s->p, sizeof old);
    for (int j = 0; j < a->n; j++) {
        double u = (j + jt_work_u(w, JT_MAIN, "resample", (uint32_t)(s->step * SMC_MOST + j))) / a->n * z;
        while (k < a->n - 1 && cum + exp(old[k].lnw - top) < u) cum += exp(old[k++].lnw - top);
        src[j] = (int16_t)k, s->p[j] = old[k], s->p[j].lnw = s->ln_z;
    }
    jt_work_arrange(w, 0, a->n, src);
    return true;
}

/* One draw by weight, by Gumbel keys. */
static jt_slot smc_pick(const struct smc *a, const struct particles *s, jt_work *w) {
    double best = -INFINITY, g;
    int pick = 0;
    for (int i = 0; i < a->n; i++)
        if ((g = s->p[i].lnw - log(-log(jt_work_u(w, JT_MAIN, "pick", (uint32_t)i)))) > best) best = g, pick = i;
    return (jt_slot)pick;
}

static jt_status smc_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    const struct smc *a = par;
    struct particles *s = state;
    JT_BEGIN(s);
    for (int i = 1; i < a->n; i++) jt_work_fork(w, (jt_slot)i, JT_MAIN, i);
    do {
        s->live = 0;
        for (int i = 0; i < a->n; i++)
            if (!s->p[i].over) jt_work_child(w, (jt_slot)i, 1), s->live++;
        if (!s->live) break;
        JT_AWAIT(s);
        smc_weigh(a, s, r, w);
        s->step++;
    } while (smc_resample(a, s, w));
    if (s->live)
        jt_work_done(w, JT_END_DEAD);
    else
        jt_work_yield(w, smc_pick(a, s, w), 0, (int32_t[]){(int32_t)lrint(s->ln_z * 1e6)}, 1);
    JT_END(w);
}

static int smc_width(const void *par) { return ((const struct smc *)par)->n; }

/* ---- treepo: a tree of segments ---- */

enum { TREE_WIDE = 64, TREE_DEEP = 64, TREE_TEXT = 16384 };

#define TREEPO(X, T)                                                                                                                       \
    X(T, INT, width, 16, JT_RANGE(1, TREE_WIDE), "leaves")                                                                                 \
    X(T, INT, segment, 512, JT_RANGE(1, 65536), "tokens of a segment")                                                                     \
    X(T, INT, depth, 14, JT_RANGE(1, TREE_DEEP), "segments of a leaf")
JT_PARAMS(treepo, TREEPO)

struct limb {
    enum { LIMB_FREE, LIMB_ACTIVE, LIMB_DONE } is;
    bool proper;
    int32_t deep, chain[TREE_DEEP], end[TREE_DEEP];
};

struct tree {
    int at, ended, leaves, nodes; /* ended: in the last round */
    uint32_t draw;
    struct limb b[TREE_WIDE];
};

/* Some 32 bytes of the segment stand in it 8 times. */
static bool tree_repeats(const char *x, int n) {
    for (int i = 0; i + 32 <= n; i++) {
        int c = 0;
        for (int j = i; j + 32 <= n; j++) c += !memcmp(x + i, x + j, 32);
        if (c >= 8) return true;
    }
    return false;
}

/* Never more than `width`: what is done and what is active. */
static int tree_fork(struct tree *s, jt_work *w, int from, int tag) {
    int to = 0;
    while (s->b[to].is != LIMB_FREE) to++;
    jt_work_fork(w, (jt_slot)to, (jt_slot)from, tag);
    s->b[to] = s->b[from], s->b[to].is = LIMB_ACTIVE;
    return to;
}

static int tree_list(const struct tree *s, int is, int *list) {
    int n = 0;
    for (int i = 0; i < TREE_WIDE; i++)
        if ((int)s->b[i].is == is && (is == LIMB_ACTIVE || s->b[i].proper)) list[n++] = i;
    return n;
}

/* No branch is active: one that ended properly is cut where a segment begins, and active again. */
static int tree_again(struct tree *s, jt_work *w, int *list) {
    int n = tree_list(s, LIMB_DONE, list);
    if (!n) return 0;
    int i = list[(int)(jt_work_u(w, JT_MAIN, "leaf", s->draw) * n)], to = tree_fork(s, w, i, ++s->nodes);
    int deep = (int)(jt_work_u(w, JT_MAIN, "cut", s->draw++) * s->b[i].deep);
    jt_work_truncate(w, (jt_slot)to, deep ? s->b[i].end[deep - 1] : jt_work_prompt(w, (jt_slot)to));
    s->b[to].deep = deep, list[0] = to;
    return 1;
}

/* Branches the active ones and runs a segment of each; false: there is nothing to go on from. */
static bool tree_grow(const struct treepo *a, struct tree *s, jt_work *w) {
    int list[TREE_WIDE], n = tree_list(s, LIMB_ACTIVE, list), left = a->width - s->leaves;
    if (!n) n = tree_again(s, w, list);
    if (!n) return false;
    int most = 2 * s->ended + 2 * n < left ? 2 * s->ended + 2 * n : left;
    for (int i = 0; i < n; i++)
        for (int k = 1; k < most / n + (i < most % n); k++) tree_fork(s, w, list[i], s->nodes + k);
    n = tree_list(s, LIMB_ACTIVE, list);
    for (int i = 0; i < n; i++) s->b[list[i]].chain[s->b[list[i]].deep] = ++s->nodes, jt_work_child(w, (jt_slot)list[i], a->segment);
    s->ended = 0;
    return true;
}

static void tree_ends(const struct treepo *a, struct tree *s, const jt_child_end *e, jt_work *w) {
    struct limb *b = &s->b[e->slot];
    char text[TREE_TEXT];
    int first = b->deep ? b->end[b->deep - 1] : jt_work_prompt(w, e->slot), end = jt_work_length(w, e->slot);
    int n = (int)jt_work_text(w, e->slot, first, end, text, sizeof text);
    b->end[b->deep++] = end, b->proper = e->why == JT_END_TOKEN;
    if (e->why == JT_END_NONE && b->deep < a->depth && !tree_repeats(text, n < TREE_TEXT ? n : TREE_TEXT - 1)) return;
    b->is = LIMB_DONE, s->ended++;
    jt_work_yield(w, e->slot, s->leaves++, b->chain, b->deep);
}

static jt_status treepo_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    const struct treepo *a = par;
    struct tree *s = state;
    JT_BEGIN(s);
    s->b[JT_MAIN].is = LIMB_ACTIVE;
    while (s->leaves < a->width && tree_grow(a, s, w)) {
        JT_AWAIT(s);
        for (int i = 0; i < r->n_child; i++) tree_ends(a, s, &r->child[i], w);
    }
    JT_END(w);
}

static int treepo_width(const void *par) { return ((const struct treepo *)par)->width; }

/* ---- what the tests need beside them ---- */

static bool bit_allows(struct checker *c, jt_step *s, int32_t id) {
    (void)s;
    c->calls++;
    return id < 64 ? c->ids >> id & 1 : c->ids == UINT64_MAX;
}

static struct checker check = {.allows = bit_allows};

/* What may follow depends on the last token, so that masks lead astray; after "cc" nothing may. */
static bool legal(const int32_t *ids, int n, int32_t id) {
    int32_t last = ids[n - 1];
    if (id < 'a' || id > 'c') return false;
    if (last == 'a') return id == 'b';
    if (last == 'b') return id != 'b';
    return !(last == 'c' && ids[n - 2] == 'c');
}

static bool proper_allows(const struct awrs_proper *a, jt_work *w, int32_t id) {
    char text[FAKE_CONTEXT];
    int n = (int)jt_work_text(w, JT_MAIN, 0, jt_work_length(w, JT_MAIN), text, sizeof text);
    return a->check ? bit_allows(&check, NULL, id) : legal((int32_t[]){text[n - 2], text[n - 1]}, 2, id);
}

static jt_status legal_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    int n;
    const int32_t *ids = jt_step_history(s, &n);
    (void)par, (void)state;
    for (int32_t i = jt_dist_next(d, -1); i >= 0; i = jt_dist_next(d, i))
        if (!legal(ids, n, i)) jt_dist_add(d, i, -INFINITY);
    return JT_OK;
}

/* A potential that comes and goes: of the last token, and of how many there are. */
static double taste(const int32_t *ids, int n) { return ids[n - 1] == 'c' ? -1.2 : ids[n - 1] == 'a' ? 0.1 * n : 0; }

static jt_status taste_judge(const void *par, const jt_scored *s, double *out, jt_error *err) {
    (void)par, (void)err;
    *out = taste(s->ids, s->n);
    return JT_OK;
}

/* One child, forked with tags at lengths of its answer, then run to its end. */
struct fork_at {
    int tokens, tag;
};
static struct fork_at replay[4];
static int n_replay;

struct replayed {
    int at, i;
};

static jt_status replay_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct replayed *s = state;
    (void)par, (void)r;
    JT_BEGIN(s);
    for (; s->i < n_replay; s->i++) {
        if (replay[s->i].tokens) {
            jt_work_child(w, JT_MAIN, replay[s->i].tokens);
            JT_AWAIT(s);
        }
        jt_work_fork(w, 1, JT_MAIN, replay[s->i].tag);
        jt_work_swap(w, JT_MAIN, 1);
    }
    jt_work_child(w, JT_MAIN, 0);
    JT_AWAIT(s);
    jt_work_yield(w, JT_MAIN, 0, NULL, 0);
    JT_END(w);
}

static int replay_width(const void *par) {
    (void)par;
    return 2;
}

static const jt_method rows[] = {
    {.name = "awrs", .kind = JT_STAGE, .self = &check, .stage = {.run = awrs_run}},
    {.name = "awrs-any", .kind = JT_STAGE, .stage = {.run = awrs_run}},
    {.name = "awrs-proper",
     .kind = JT_STRATEGY,
     .needs = JT_NEEDS_TOKENIZER,
     JT_PARAMETERS(awrs_proper),
     .state_size = sizeof(struct proper),
     .strategy = {.advance = proper_advance}},
    {.name = "legal", .kind = JT_STAGE, .needs = JT_NEEDS_HISTORY, .stage = {.run = legal_run}},
    {.name = "taste", .kind = JT_SCORER, .scorer = {.judge = taste_judge}},
    {.name = "smc",
     .kind = JT_STRATEGY,
     JT_PARAMETERS(smc),
     .state_size = sizeof(struct particles),
     .strategy = {.advance = smc_advance, .inner = true, .width = smc_width}},
    {.name = "treepo",
     .kind = JT_STRATEGY,
     JT_PARAMETERS(treepo),
     .state_size = sizeof(struct tree),
     .strategy = {.advance = treepo_advance, .inner = true, .many = true, .width = treepo_width}},
    {.name = "replay",
     .kind = JT_STRATEGY,
     .state_size = sizeof(struct replayed),
     .strategy = {.advance = replay_advance, .inner = true, .width = replay_width}},
};

static jt_methods *mine;

/* ---- awrs ---- */

static float five(const int32_t *ids, int n, int32_t id) {
    static const double p[5] = {0.5, 0.2, 0.15, 0.1, 0.05};
    (void)ids, (void)n;
    return id < 5 ? (float)log(p[id]) : -60;
}

static void without_a_checker_awrs_is_plain_sampling(void **state) {
    (void)state;
    static told plain, got;
    fake f;
    fake_make(&f);
    for (uint64_t seed = 0; seed < 4; seed++) {
        run_text(&f, "sample | temp:1.2", NULL, seed, 30, &plain);
        run_text(&f, "sample | temp:1.2 | awrs-any", mine, seed, 30, &got);
        same_said(&got.a[0], &plain.a[0]);
        assert_memory_equal(got.a[0].u, plain.a[0].u, sizeof got.a[0].u);
    }
    check = (struct checker){.allows = bit_allows, .ids = UINT64_MAX};
    run_text(&f, "sample | awrs", mine, 3, 30, &got);
    assert_int_equal(check.calls, 30); /* what is always accepted is asked once a token */
    fake_free(&f);
}

/* Chi-square of 12000 draws, fixed seeds, against the exact conditional distribution: 3 tokens, 2 degrees of freedom. 18.42
 * would be passed by chance once in 10000. */
static void awrs_draws_from_the_conditional_distribution(void **state) {
    (void)state;
    enum { JOBS = 80, EACH = 150 };
    static const double want[5] = {0, 0.2 / 0.35, 0, 0.1 / 0.35, 0.05 / 0.35};
    static told got;
    int seen[5] = {0};
    double chi = 0;
    fake f;
    fake_make(&f);
    f.logit = five;
    check = (struct checker){.allows = bit_allows, .ids = 1 << 1 | 1 << 3 | 1 << 4};
    for (uint64_t seed = 0; seed < JOBS; seed++) {
        run_text(&f, "sample | awrs", mine, seed, EACH, &got);
        assert_int_equal(got.a[0].n, EACH);
        for (int k = 0; k < EACH; k++) {
            assert_in_range(got.a[0].id[k], 0, 4);
            seen[got.a[0].id[k]]++;
        }
    }
    for (int i = 0; i < 5; i++) {
        double e = want[i] * JOBS * EACH;
        if (e > 0)
            chi += (seen[i] - e) * (seen[i] - e) / e;
        else
            assert_int_equal(seen[i], 0);
    }
    if (!(chi < 18.42)) fail_msg("chi-square %g", chi);
    /* The two that are refused are asked before an accepted one as often as their keys are larger: x before the set A has
     * the chance p(x) / (p(x) + p(A)). The standard deviation of the sum of a token is below 0.71, so this is 7.7 of the mean. */
    double calls = 1 + 0.5 / 0.85 + 0.15 / 0.5;
    assert_true(fabs((double)check.calls / (JOBS * EACH) - calls) < 0.05);
    check = (struct checker){.allows = bit_allows};
    run_text(&f, "sample | awrs", mine, 0, EACH, &got);
    assert_int_equal(got.reason, JT_END_DEAD);
    assert_int_equal(check.calls, 5); /* no mass is left */
    fake_free(&f);
}

/* By enumeration, p = 0.5 0.2 0.15 0.1 0.05 and tokens 1 and 3 accepted: E[w] = 0.3, E[w; 1] = 0.2, E[w; 3] = 0.1,
 * Var w = 0.044048, and 3.1012 calls a token; 12000 draws, 5 standard errors of the means. The calls lie in 2 to 5, so that
 * their deviation is below 1.5. */
static void proper_weights_are_those_of_the_enumeration(void **state) {
    (void)state;
    enum { JOBS = 80, EACH = 150 };
    static told got;
    double sum[5] = {0}, squares = 0, n = JOBS * EACH;
    fake f;
    fake_make(&f);
    f.logit = five;
    check = (struct checker){.allows = bit_allows, .ids = 1 << 1 | 1 << 3};
    for (uint64_t seed = 0; seed < JOBS; seed++) {
        run_text(&f, "awrs-proper:bits", mine, seed, EACH, &got);
        assert_int_equal(got.a[0].n, EACH);
        for (int k = 0; k < EACH; k++) {
            double w = exp((double)got.a[0].raw[k] - (double)got.a[0].staged[k]);
            sum[got.a[0].id[k]] += w / n, squares += w * w / n;
        }
    }
    double mean = sum[1] + sum[3], error = 5 * sqrt(0.044048 / n);
    assert_true(fabs(mean - 0.3) < error);
    error = 5 * sqrt((0.044048 + 0.09) / n); /* E[w^2] is above the variance of each part */
    assert_true(fabs(sum[1] - 0.2) < error && fabs(sum[3] - 0.1) < error);
    assert_true(fabs(squares - mean * mean - 0.044048) < 0.003);
    assert_true(fabs(check.calls / n - 3.1012) < 5 * 1.5 / sqrt(n));
    check = (struct checker){.allows = bit_allows, .ids = UINT64_MAX};
    run_text(&f, "awrs-proper:bits", mine, 0, EACH, &got); /* all are accepted: w = 1, and two are looked at */
    assert_int_equal(check.calls, 2 * EACH);
    assert_memory_equal(got.a[0].raw, got.a[0].staged, sizeof got.a[0].raw);
    check = (struct checker){.allows = bit_allows};
    run_text(&f, "awrs-proper:bits", mine, 0, EACH, &got);
    assert_int_equal(got.reason, JT_END_DEAD);
    fake_free(&f);
}

/* ---- smc ---- */

static float few(const int32_t *ids, int n, int32_t id) {
    static const double p[4][3] = {{0.7, 0.2, 0.1}, {0.85, 0.1, 0.05}, {0.3, 0.3, 0.4}, {0.25, 0.25, 0.5}};
    int32_t last = ids[n - 1];
    return id >= 'a' && id <= 'c' ? (float)log(p[last >= 'a' && last <= 'c' ? last - 'a' + 1 : 0][id - 'a']) : -60;
}

static void one_particle_is_the_run_inside(void **state) {
    (void)state;
    static told plain, got;
    fake f;
    fake_make(&f);
    for (uint64_t seed = 0; seed < 4; seed++) {
        run_text(&f, "sample | temp:1.2 | frequency-penalty:0.4", NULL, seed, 20, &plain);
        run_text(&f, "smc:n=1,tau=1 > sample | temp:1.2 | frequency-penalty:0.4", mine, seed, 20, &got);
        same_said(&got.a[0], &plain.a[0]);
        assert_memory_equal(got.a[0].u, plain.a[0].u, sizeof got.a[0].u);
    }
    fake_free(&f);
}

enum { SMC_STEPS = 3, SMC_TEXTS = 27, SMC_RUNS = 3000 };

static int text_of(const int32_t *id) { return (id[0] - 'a') * 9 + (id[1] - 'a') * 3 + id[2] - 'a'; }

/* p(text) where all of it is legal, times the last potential. */
static double target(int text, bool critic) {
    int32_t ids[5 + SMC_STEPS];
    double ln = 0;
    memcpy(ids, hello, sizeof hello);
    for (int k = 0; k < SMC_STEPS; k++) {
        int32_t id = 'a' + text / (k == 0 ? 9 : k == 1 ? 3 : 1) % 3;
        if (!legal(ids, 5 + k, id)) return 0;
        ln += (double)few(ids, 5 + k, id);
        ids[5 + k] = id;
    }
    return exp(ln + (critic ? taste(ids, 5 + SMC_STEPS) : 0));
}

/* For any number of particles and whenever it resamples, the mean of Z's estimate where a text is picked is what the text weighs,
 * by enumeration. 5 standard errors of each of 9 texts and 7 settings: by chance less than once in 10000, were they normal. */
static void smc_weighs_texts_as_enumeration_does(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool critic;
    } how[] = {{"smc:n=3,tau=1 > sample | legal", false},         {"smc:n=3,tau=0.7 > sample | legal", false},
               {"smc:n=2,tau=0 > sample | legal", false},         {"smc:n=3,tau=1,critic=taste > sample | legal", true},
               {"smc:n=4,critic=taste > sample | legal", true},   {"smc:n=3,tau=0.7 > awrs-proper", false},
               {"smc:n=3,tau=1,critic=taste > awrs-proper", true}};
    static told got;
    fake f;
    fake_make(&f);
    f.logit = few;
    for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
        double sum[SMC_TEXTS] = {0}, squares[SMC_TEXTS] = {0};
        for (uint64_t seed = 0; seed < SMC_RUNS; seed++) {
            run_text(&f, how[i].text, mine, seed, SMC_STEPS, &got);
            if (got.reason == JT_END_DEAD) continue; /* all particles are: Z is 0 */
            assert_int_equal(got.a[0].n, SMC_STEPS);
            assert_int_equal(got.a[0].n_note, 1);
            double z = exp(got.a[0].note * 1e-6);
            sum[text_of(got.a[0].id)] += z, squares[text_of(got.a[0].id)] += z * z;
        }
        for (int x = 0; x < SMC_TEXTS; x++) {
            double want = target(x, how[i].critic), mean = sum[x] / SMC_RUNS;
            double error = sqrt((squares[x] / SMC_RUNS - mean * mean) / SMC_RUNS);
            if (!(fabs(mean - want) <= 5 * error + 1e-9)) fail_msg("%s: text %d: %g +- %g, not %g", how[i].text, x, mean, error, want);
        }
    }
    fake_free(&f);
}

/* ---- treepo ---- */

static void same_as_replay(fake *f, const said *a, const char *inner, const jt_request *like, int n, const struct fork_at *at) {
    static told one;
    char text[100];
    snprintf(text, sizeof text, "replay > %s", inner);
    n_replay = n;
    if (n) memcpy(replay, at, (size_t)n * sizeof *at);
    jt_driver *d = driver_of(f);
    jt_pipeline *p = parse_with(text, mine);
    jt_request r = *like;
    r.pipeline = p, r.max_tokens = a->n;
    run_request(d, &r, &one);
    same_said(a, &one.a[0]);
    jt_driver_free(d);
    jt_pipeline_free(p);
}

static void one_leaf_is_the_run_inside(void **state) {
    (void)state;
    static told plain, got;
    fake f;
    fake_make(&f);
    run_text(&f, "sample | temp:1.2", NULL, 5, 24, &plain);
    run_text(&f, "treepo:width=1,segment=4 > sample | temp:1.2", mine, 5, 24, &got);
    assert_int_equal(got.answers, 1);
    assert_int_equal(got.a[0].n_note, 6); /* the run ends with the last token of a segment */
    same_said(&got.a[0], &plain.a[0]);
    fake_free(&f);
}

/* Two segments of three tokens: the root forks with tag 1, then both forks with tag 3, since nodes 1 and 2 are there. */
static void leaves_are_single_runs_with_the_streams_of_their_tags(void **state) {
    (void)state;
    static const struct fork_at at[4][2] = {{{0, 0}}, {{0, 1}}, {{3, 3}}, {{0, 1}, {3, 3}}};
    static const int n[4] = {0, 1, 1, 2}, root[4] = {1, 2, 1, 2};
    static told got;
    fake f;
    fake_make(&f);
    jt_request like = request_of(NULL, 8, 40);
    run_text(&f, "treepo:width=4,segment=3,depth=2 > sample | temp:1.2", mine, 8, 40, &got);
    assert_int_equal(got.answers, 4);
    /* A segment is evaluated once for all leaves that share it, but for its last token, which stood unevaluated at the fork, as
     * did the prompt, that is too short to be looked for elsewhere; the last token of a leaf is not evaluated. */
    assert_int_equal(f.rows, 2 * (5 + 2) + 4 * (1 + 2));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(got.a[i].n, 6);
        assert_int_equal(got.a[i].n_note, 2);
        assert_int_equal(got.a[i].note, root[i]);
        same_as_replay(&f, &got.a[i], "sample | temp:1.2", &like, n[i], at[i]);
        for (int k = 0; k < i; k++) assert_memory_not_equal(got.a[i].id, got.a[k].id, 6 * sizeof(int32_t));
    }
    static told three; /* of two branches the first takes what does not divide */
    run_text(&f, "treepo:width=3,segment=3,depth=2 > sample | temp:1.2", mine, 8, 40, &three);
    assert_int_equal(three.answers, 3);
    for (int i = 0; i < 3; i++) same_said(&three.a[i], &got.a[i]);
    fake_free(&f);
}

static float two_then_end(const int32_t *ids, int n, int32_t id) {
    return n < 7 ? (id == FAKE_END ? -60 : fake_logit(ids, n, id)) : id == FAKE_END ? 0 : -60;
}

/* Two leaves end in their first segment; one of them is cut to the prompt (tag 3) and forked (tag 4). */
static void a_leaf_is_cut_when_no_branch_is_left(void **state) {
    (void)state;
    static told got;
    bool first = false, second = false;
    fake f;
    fake_make(&f);
    f.logit = two_then_end;
    jt_driver *d = driver_of(&f);
    jt_pipeline *p = parse_with("treepo:width=4,segment=8 > sample", mine);
    for (uint64_t seed = 0; seed < 8; seed++) {
        jt_request r = request_of(p, seed, 40);
        r.ignore_end = 0;
        run_request(d, &r, &got);
        assert_int_equal(got.answers, 4);
        for (int i = 0; i < 4; i++) assert_int_equal(got.a[i].reason, JT_END_TOKEN);
        same_as_replay(&f, &got.a[0], "sample", &r, 0, NULL);
        same_as_replay(&f, &got.a[1], "sample", &r, 1, (struct fork_at[]){{0, 1}});
        static told cut;
        n_replay = 1, replay[0] = (struct fork_at){0, 3};
        jt_pipeline *q = parse_with("replay > sample", mine);
        r.pipeline = q;
        jt_driver *own = driver_of(&f);
        run_request(own, &r, &cut);
        jt_driver_free(own), jt_pipeline_free(q);
        bool of_first = !memcmp(cut.a[0].id, got.a[2].id, 3 * sizeof(int32_t));
        first |= of_first, second |= !of_first;
        if (of_first)
            same_as_replay(&f, &got.a[3], "sample", &r, 2, (struct fork_at[]){{0, 3}, {0, 4}});
        else {
            same_as_replay(&f, &got.a[2], "sample", &r, 2, (struct fork_at[]){{0, 1}, {0, 3}});
            same_as_replay(&f, &got.a[3], "sample", &r, 3, (struct fork_at[]){{0, 1}, {0, 3}, {0, 4}});
        }
    }
    assert_true(first && second);
    jt_driver_free(d), jt_pipeline_free(p);
    assert_int_equal(f.open, 0);
    fake_free(&f);
}

static void a_segment_that_repeats_itself_ends_its_leaf(void **state) {
    (void)state;
    static told got;
    char text[300];
    memset(text, 'x', sizeof text);
    assert_false(tree_repeats(text, 38));
    assert_true(tree_repeats(text, 39));
    fake f;
    fake_make(&f);
    f.logit = five; /* five bytes: some 32 of them do not come back */
    run_text(&f, "treepo:width=1,segment=40 > sample", mine, 0, 120, &got);
    assert_int_equal(got.a[0].n, 120);
    run_text(&f, "treepo:width=1,segment=39 > greedy", mine, 0, 120, &got);
    assert_int_equal(got.a[0].n, 39);
    fake_free(&f);
}

static int setup(void **state) {
    (void)state;
    jt_error err;
    assert_int_equal(jt_methods_new(&mine, &err), JT_OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (jt_methods_add(mine, &rows[i], &err) != JT_OK) fail_msg("%s", err.message);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    jt_methods_free(mine);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(without_a_checker_awrs_is_plain_sampling),
                                       cmocka_unit_test(awrs_draws_from_the_conditional_distribution),
                                       cmocka_unit_test(proper_weights_are_those_of_the_enumeration),
                                       cmocka_unit_test(one_particle_is_the_run_inside),
                                       cmocka_unit_test(smc_weighs_texts_as_enumeration_does),
                                       cmocka_unit_test(one_leaf_is_the_run_inside),
                                       cmocka_unit_test(leaves_are_single_runs_with_the_streams_of_their_tags),
                                       cmocka_unit_test(a_leaf_is_cut_when_no_branch_is_left),
                                       cmocka_unit_test(a_segment_that_repeats_itself_ends_its_leaf)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
