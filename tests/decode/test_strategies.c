/* The strategies, by what their papers and cards say of them. */
#include "harness.h"

/* ---- several runs ---- */

static void parallel_answers_are_those_of_single_requests(void **state) {
    (void)state;
    static told all, one;
    fake f;
    fake_make(&f);
    run_text(&f, "parallel:n=5 > sample | temp:1.2 | frequency-penalty:0.4", NULL, 7, 15, &all);
    assert_int_equal(all.answers, 5);
    assert_int_equal(all.reason, JT_END_LENGTH);
    jt_pipeline *p = parse_with("temp:1.2 | frequency-penalty:0.4", NULL);
    for (uint32_t i = 0; i < 5; i++) {
        jt_driver *d = driver_of(&f);
        jt_request r = request_of(p, 7, 15);
        r.choice = i;
        run_request(d, &r, &one);
        same_said(&all.a[i], &one.a[0]);
        assert_int_equal(all.order[i], i);
        assert_int_equal(all.a[i].reason, JT_END_LENGTH);
        jt_driver_free(d);
    }
    jt_pipeline_free(p);
    fake_free(&f);
}

static double mean(const said *a) {
    double sum = 0;
    for (int i = 0; i < a->n; i++) sum += (double)a->raw[i];
    return sum / a->n;
}

static void best_of_n_is_the_best_of_its_runs(void **state) {
    (void)state;
    static told best, one, plain;
    fake f;
    fake_make(&f);
    for (uint64_t seed = 0; seed < 6; seed++) {
        run_text(&f, "best-of-n:1 > sample | temp:1.1", NULL, seed, 12, &one);
        run_text(&f, "sample | temp:1.1", NULL, seed, 12, &plain);
        same_said(&one.a[0], &plain.a[0]);
        run_text(&f, "best-of-n:6 > sample | temp:1.1", NULL, seed, 12, &best);
        assert_int_equal(best.answers, 1);
        assert_int_equal(best.a[0].n_note, 1);
        assert_true(mean(&best.a[0]) >= mean(&plain.a[0]));
        if (best.a[0].note == 0) same_said(&best.a[0], &plain.a[0]);
        run_text(&f, "best-of-n:6 > greedy", NULL, seed, 12, &best);
        assert_int_equal(best.a[0].note, 0); /* equal runs: the first */
    }
    /* the best of three inside two is the best of two of the best of three, each inside with its own streams */
    run_text(&f, "best-of-n:2 > best-of-n:3 > sample", NULL, 3, 10, &best);
    assert_int_equal(best.a[0].n, 10);
    run_text(&f, "best-of-n:3 > sample", NULL, 3, 10, &one);
    assert_true(mean(&best.a[0]) >= mean(&one.a[0]));
    run_text(&f, "parallel:2 > best-of-n:3 > sample", NULL, 3, 10, &best);
    same_said(&best.a[0], &one.a[0]);
    fake_free(&f);
}

static void nesting_is_refused_where_it_makes_no_sense(void **state) {
    (void)state;
    fake f;
    jt_error err;
    jt_job job;
    jt_pipeline *p = NULL;
    fake_make(&f);
    assert_int_equal(jt_pipeline_parse("diverse-beam > sample", NULL, &p, &err), JT_INVALID);
    assert_non_null(strstr(err.message, "diverse-beam drives no inner strategy, so sample cannot stand inside it"));
    static const char *const text[] = {"best-of-n:2 > diverse-beam",    "best-of-n:2 > parallel > sample", "best-of-n:2", "r2r",
                                       "diverse-beam:beams=5,groups=2", "soft-thinking:end=\"no such\""};
    static const char *const say[] = {
        "diverse-beam gives several answers; it stands outermost", "parallel gives several answers", "write \"best-of-n > sample\"",
        "r2r needs a second model in the role \"large\"",          "5 beams are not 2 equal groups", "\"no such\" is no token"};
    for (int i = 0; i < 6; i++) {
        jt_driver *d = driver_of(&f);
        p = parse_with(text[i], NULL);
        jt_request r = request_of(p, 0, 5);
        assert_int_not_equal(jt_driver_submit(d, &r, &job, &err), JT_OK);
        if (!strstr(err.message, say[i])) fail_msg("%s", err.message);
        jt_pipeline_free(p);
        jt_driver_free(d);
        assert_int_equal(f.open, 0);
    }
    fake_free(&f);
}

/* ---- beams ---- */

enum { STEPS = 6 };
typedef struct path {
    int32_t id[STEPS];
    double sum;
} path;

static double lnp(const path *p, int n, int32_t id) {
    int32_t ids[5 + STEPS];
    double s = 0;
    memcpy(ids, hello, sizeof hello);
    memcpy(ids + 5, p->id, (size_t)n * sizeof *ids);
    for (int32_t k = 0; k < FAKE_VOCAB; k++) s += exp((double)fake_logit(ids, 5 + n, k));
    return (double)fake_logit(ids, 5 + n, id) - log(s);
}

/* The paper's rule, slowly: groups in order, all continuations of all beams of the group. */
static void search(int beams, int groups, double lambda, path *out) {
    int B = beams / groups;
    static path live[32], next[32];
    int n_live[32] = {0};
    for (int g = 0; g < groups; g++) n_live[g] = 1, live[g * B] = (path){.sum = 0};
    for (int t = 0; t < STEPS; t++) {
        int used[FAKE_VOCAB] = {0};
        for (int g = 0; g < groups; g++) {
            int32_t took[32];
            static bool gone[32][FAKE_VOCAB];
            memset(gone, 0, sizeof gone);
            for (int k = 0; k < B; k++) {
                double best = -INFINITY;
                int from = -1;
                for (int i = 0; i < n_live[g]; i++) {
                    static double l[FAKE_VOCAB];
                    path *p = &live[g * B + i];
                    double s = 0;
                    int32_t ids[5 + STEPS];
                    memcpy(ids, hello, sizeof hello);
                    memcpy(ids + 5, p->id, sizeof p->id);
                    for (int32_t id = 0; id < FAKE_VOCAB; id++) s += exp(l[id] = (double)fake_logit(ids, 5 + t, id));
                    for (int32_t id = 0; id < FAKE_VOCAB; id++) {
                        double key = p->sum + l[id] - log(s) - lambda * used[id];
                        if (!gone[i][id] && key > best) best = key, from = i, took[k] = id;
                    }
                }
                gone[from][took[k]] = true;
                next[g * B + k] = live[g * B + from];
                next[g * B + k].sum += lnp(&live[g * B + from], t, took[k]);
                next[g * B + k].id[t] = took[k];
            }
            for (int k = 0; k < B; k++) used[took[k]]++;
        }
        for (int g = 0; g < groups; g++) n_live[g] = B;
        memcpy(live, next, sizeof live);
    }
    memcpy(out, live, (size_t)beams * sizeof *out);
}

static void beams_are_those_of_a_slow_search(void **state) {
    (void)state;
    static const struct {
        int beams, groups;
        double lambda;
    } t[] = {{1, 1, 0.5}, {3, 1, 0}, {4, 2, 0.5}, {6, 3, 2}, {4, 4, 30}, {8, 2, 0}};
    static told got;
    fake f;
    fake_make(&f);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char text[100];
        path want[32];
        snprintf(text, sizeof text, "diverse-beam:beams=%d,groups=%d,lambda=%g", t[i].beams, t[i].groups, t[i].lambda);
        run_text(&f, text, NULL, 0, STEPS, &got);
        search(t[i].beams, t[i].groups, t[i].lambda, want);
        assert_int_equal(got.answers, t[i].beams);
        double last = INFINITY;
        int B = t[i].beams / t[i].groups, seen[32] = {0};
        for (int k = 0; k < got.answers; k++) { /* every answer is a beam of its group, the best first */
            const said *a = &got.a[k];
            double sum = 0;
            int found = -1;
            for (int q = a->note * B; q < (a->note + 1) * B; q++)
                if (!seen[q] && !memcmp(want[q].id, a->id, sizeof want[q].id)) found = q;
            assert_in_range(found, 0, 31);
            seen[found] = 1;
            for (int q = 0; q < a->n; q++) sum += (double)a->raw[q];
            assert_true(fabs(sum - want[found].sum) < 1e-4);
            assert_true(sum <= last + 1e-9);
            last = sum;
        }
    }
    /* one beam is greedy, with its logprobs */
    static told greedy;
    run_text(&f, "greedy", NULL, 0, STEPS, &greedy);
    run_text(&f, "diverse-beam:beams=1,groups=1", NULL, 0, STEPS, &got);
    same_said(&got.a[0], &greedy.a[0]);
    /* with a large penalty no two groups begin alike; without one all groups are the same */
    run_text(&f, "diverse-beam:beams=4,groups=4,lambda=90", NULL, 0, 3, &got);
    for (int a = 0; a < 4; a++)
        for (int b = 0; b < a; b++) assert_int_not_equal(got.a[a].id[0], got.a[b].id[0]);
    run_text(&f, "diverse-beam:beams=3,groups=3,lambda=0", NULL, 0, 5, &got);
    for (int a = 1; a < 3; a++) assert_memory_equal(got.a[a].id, got.a[0].id, 5 * sizeof(int32_t));
    fake_free(&f);
}

/* 'a' then <end>, or 'b' 'c' <end>: the longer one is likelier per token. */
static float short_or_long(const int32_t *ids, int n, int32_t id) {
    int32_t last = ids[n - 1];
    if (n == 5) return id == 'a' ? 1.0f : id == 'b' ? 0.9f : -30;
    if (last == 'a') return id == FAKE_END ? 0 : id == 'x' ? 0 : -30;
    if (last == 'b') return id == 'c' ? 0 : -30;
    return id == FAKE_END ? 0 : -30;
}

static void beams_end_and_are_ordered_by_length(void **state) {
    (void)state;
    static told got;
    fake f;
    fake_make(&f);
    f.logit = short_or_long;
    jt_driver *d = driver_of(&f);
    for (int alpha = 0; alpha < 2; alpha++) {
        jt_pipeline *p = parse_with(alpha ? "diverse-beam:beams=2,groups=1,alpha=4" : "diverse-beam:beams=2,groups=1,alpha=0", NULL);
        jt_request r = request_of(p, 0, 10);
        r.ignore_end = 0;
        run_request(d, &r, &got);
        assert_int_equal(got.answers, 2);
        assert_int_equal(got.a[0].reason, JT_END_TOKEN);
        assert_string_equal(got.a[0].text, "bc");
        jt_pipeline_free(p);
    }
    jt_driver_free(d);
    fake_free(&f);
}

/* ---- soft thinking ---- */

static void soft_thinking_with_one_token_is_greedy(void **state) {
    (void)state;
    static told soft, greedy;
    fake f;
    fake_make(&f);
    run_text(&f, "soft-thinking:mix=1,tau=0,think=()", NULL, 0, 20, &soft);
    run_text(&f, "greedy", NULL, 0, 20, &greedy);
    same_said(&soft.a[0], &greedy.a[0]);
    run_text(&f, "soft-thinking:mix=1,tau=0", NULL, 0, 20, &soft); /* the same tokens, with logprobs after the stages of thinking */
    assert_memory_equal(soft.a[0].id, greedy.a[0].id, sizeof greedy.a[0].id);
    assert_memory_equal(soft.a[0].raw, greedy.a[0].raw, sizeof greedy.a[0].raw);
    assert_true(soft.a[0].staged[0] > greedy.a[0].staged[0]);
    run_text(&f, "soft-thinking:mix=5,tau=0", NULL, 0, 20, &soft);
    assert_int_equal(soft.a[0].id[0], greedy.a[0].id[0]);
    assert_memory_not_equal(soft.a[0].id, greedy.a[0].id, 20 * sizeof(int32_t)); /* what is fed is a mixture */
    fake_free(&f);
}

static float five(const int32_t *ids, int n, int32_t id) {
    static const double p[5] = {0.5, 0.2, 0.15, 0.1, 0.05};
    (void)ids, (void)n;
    return id < 5 ? (float)log(p[id]) : -60;
}

static float fed_weights[8];
static int fed_n;
static jt_status watch_eval(void *self, const jt_batch *b, jt_error *err) {
    if (b->span[0].input) {
        fed_n = b->span[0].input[0].n;
        memcpy(fed_weights, b->span[0].input[0].w, (size_t)fed_n * sizeof *fed_weights);
    }
    return fake_eval(self, b, err);
}

static void soft_weights_are_the_cards(void **state) {
    (void)state;
    static told t;
    static const float want[3] = {0.5882f, 0.2353f, 0.1765f};
    fake f;
    fake_make(&f);
    f.logit = five, f.ev.eval = watch_eval;
    run_text(&f, "soft-thinking:mix=3,think=(top-k:30),tau=0", NULL, 0, 3, &t);
    assert_int_equal(fed_n, 3);
    for (int i = 0; i < 3; i++) assert_true(fabsf(fed_weights[i] - want[i]) < 1e-4f);
    run_text(&f, "soft-thinking:mix=10,think=(top-k:30 | top-p:0.69),tau=0", NULL, 0, 3, &t);
    assert_int_equal(fed_n, 2);
    run_text(&f, "soft-thinking:mix=10,think=(top-k:30 | min-p:0.25),tau=0", NULL, 0, 3, &t);
    assert_int_equal(fed_n, 3);
    fake_free(&f);
}

static int warm_at; /* the step that is not cold */
static float cold_steps(const int32_t *ids, int n, int32_t id) {
    (void)ids;
    return n - 5 == warm_at && id < 3 ? 20 : id == 'q' ? 20 : 0;
}

static void cold_steps_end_thinking(void **state) {
    (void)state;
    static told t;
    fake f;
    fake_make(&f);
    f.logit = cold_steps;
    warm_at = -1;
    run_text(&f, "soft-thinking:end=stop,length=4,tau=0.5", NULL, 0, 12, &t);
    for (int i = 0; i < 12; i++) assert_int_equal(t.a[0].id[i], i == 3 ? FAKE_WORDS + 2 : 'q');
    warm_at = 2; /* the count begins again */
    run_text(&f, "soft-thinking:end=stop,length=4,tau=0.5", NULL, 0, 12, &t);
    for (int i = 3; i < 12; i++) assert_int_equal(t.a[0].id[i], i == 6 ? FAKE_WORDS + 2 : 'q');
    fake_free(&f);
}

/* ---- two models ---- */

static float large_logit(const int32_t *ids, int n, int32_t id) { return fake_logit(ids, n, id ^ 1) + 0.01f * (float)(id % 7); }

static void two_models(fake *small, fake *large) {
    fake_make(small);
    fake_make(large);
    jt_tokenizer_free(large->tokenizer);
    large->tokenizer = NULL, large->ev.tokenizer = small->tokenizer;
    large->logit = large_logit;
}

static void r2r_routes_between_its_models(void **state) {
    (void)state;
    static told small_alone, large_alone, t;
    fake small, large;
    jt_error err;
    two_models(&small, &large);
    run_text(&small, "temp:0.9 | repeat-penalty:1.2", NULL, 5, 25, &small_alone);
    run_text(&large, "temp:0.9 | repeat-penalty:1.2", NULL, 5, 25, &large_alone);
    static const char *const text[] = {"r2r:theta=0 | temp:0.9 | repeat-penalty:1.2", "r2r:theta=1e9 | temp:0.9 | repeat-penalty:1.2",
                                       "r2r:theta=2.4 | temp:0.9 | repeat-penalty:1.2", "r2r:theta=2.4,window=3"};
    for (int i = 0; i < 4; i++) {
        jt_driver *d = driver_of(&small);
        assert_int_equal(jt_driver_add_with(d, "large", &large.ev, &err), JT_OK);
        assert_int_equal(jt_driver_add_with(d, "large", &large.ev, &err), JT_INVALID);
        jt_pipeline *p = parse_with(text[i], NULL);
        jt_request r = request_of(p, 5, 25);
        large.evals = large.rows = 0;
        run_request(d, &r, &t);
        assert_int_equal(t.a[0].n, 25);
        if (i == 0) same_said(&t.a[0], &large_alone.a[0]);
        if (i == 1) same_said(&t.a[0], &small_alone.a[0]), assert_int_equal(large.evals, 0);
        if (i > 1) assert_true(large.evals > 0 && large.evals < 25 && large.rows > large.evals && large.rows <= 29);
        jt_driver_free(d);
        jt_pipeline_free(p);
        assert_int_equal(small.open + large.open, 0);
    }
    fake_free(&small);
}

/* Entropies of the card: [.5 .5] and [.83 .17] route at 0.45 nats, [.95 .05] and [.84 .16] do not. */
static double two_way[4] = {0.5, 0.95, 0.84, 0.83};
static float by_step(const int32_t *ids, int n, int32_t id) {
    (void)ids;
    double p = two_way[(n - 5) % 4];
    return id == 'y' ? (float)log(p) : id == 'n' ? (float)log(1 - p) : -80;
}
static float says_l(const int32_t *ids, int n, int32_t id) {
    (void)ids, (void)n;
    return id == 'L' ? 20 : 0;
}

static void r2r_threshold_is_the_cards(void **state) {
    (void)state;
    static told t;
    fake small, large;
    jt_error err;
    two_models(&small, &large);
    small.logit = by_step, large.logit = says_l;
    jt_driver *d = driver_of(&small);
    assert_int_equal(jt_driver_add_with(d, "large", &large.ev, &err), JT_OK);
    jt_pipeline *p = parse_with("r2r | top-k:1", NULL);
    jt_request r = request_of(p, 5, 8);
    run_request(d, &r, &t);
    assert_string_equal(t.a[0].text, "LyyLLyyL");
    jt_pipeline_free(p);
    jt_driver_free(d);
    fake_free(&small);
}

/* ---- in company, and with little memory ---- */

enum { MIXED = 7 };
static const char *const mixed[MIXED] = {"parallel:3 > sample | temp:1.1",
                                         "best-of-n:4 > best-of-n:2 > sample | dry:0.5",
                                         "diverse-beam:beams=4,groups=2",
                                         "soft-thinking:mix=4,end=stop,length=2 | temp:0.7",
                                         "r2r:theta=2.3 | temp:0.8",
                                         "sample | repeat-penalty:1.3",
                                         "best-of-n:3 > r2r:theta=2.4 | top-k:9"};

static void answers_do_not_depend_on_company(void **state) {
    (void)state;
    static told alone[MIXED], got[MIXED];
    static int32_t prompt[700];
    fake small, large;
    jt_pipeline *p[MIXED];
    jt_request r[MIXED];
    jt_driver_counts c;
    two_models(&small, &large);
    small.ev.context = large.ev.context = 800;
    for (int k = 0; k < 700; k++) prompt[k] = (int32_t)(jt_hash_u64(3, (uint64_t)k) % FAKE_VOCAB);
    for (int i = 0; i < MIXED; i++) {
        p[i] = parse_with(mixed[i], NULL);
        r[i] = request_of(p[i], 11, 14);
        if (i % 3 == 1) r[i].prompt = prompt, r[i].n_prompt = 700 - (size_t)i;
        jt_driver *d = driver_of(&small);
        assert_int_equal(jt_driver_add_with(d, "large", &large.ev, NULL), JT_OK);
        run_request(d, &r[i], &alone[i]);
        assert_int_not_equal(alone[i].reason, JT_END_ERROR);
        jt_driver_free(d);
    }
    for (int way = 0; way < 2; way++) {
        jt_driver *d = driver_of(&small);
        jt_job job[MIXED];
        assert_int_equal(jt_driver_add_with(d, "large", &large.ev, NULL), JT_OK);
        for (int i = 0; i < MIXED; i++) {
            int k = way ? MIXED - 1 - i : i;
            assert_int_equal(jt_driver_submit(d, &r[k], &job[k], NULL), JT_OK);
        }
        finish_all(d, job, got, MIXED);
        for (int i = 0; i < MIXED; i++) assert_memory_equal(&got[i], &alone[i], sizeof *got);
        jt_driver_stats(d, &c);
        assert_true(c.sequences > 3 * c.evals && c.evals <= 2 * c.rounds && c.rows > c.sequences);
        jt_driver_free(d);
    }
    assert_int_equal(small.open + large.open, 0);
    for (int i = 0; i < MIXED; i++) jt_pipeline_free(p[i]);
    fake_free(&small);
}

static void failed_allocations_and_cancels_are_clean(void **state) {
    (void)state;
    static told plain, want[MIXED], t[2];
    fake small, large;
    two_models(&small, &large);
    jt_pipeline *greedy = parse_with("greedy", NULL);
    for (int i = 0; i < MIXED; i++) {
        jt_pipeline *p = parse_with(mixed[i], NULL);
        int hurt = 0;
        for (long at = -1;; at++) {
            jt_driver *d = NULL;
            jt_job job[2] = {0};
            jt_request r = request_of(p, 2, 4), q = request_of(greedy, 0, 6);
            jt_error err;
            if (at >= 0) alloc_fail_at(at);
            jt_status e = jt_driver_new_with(&small.ev, &d, &err);
            if (e == JT_OK) e = jt_driver_add_with(d, "large", &large.ev, &err);
            if (e == JT_OK) {
                (void)jt_driver_submit(d, &r, &job[0], &err);
                (void)jt_driver_submit(d, &q, &job[1], &err);
                finish_all(d, job, t, 2);
            }
            long asked = alloc_count();
            alloc_fail_at(-1);
            jt_driver_free(d);
            assert_int_equal(small.open + large.open, 0);
            if (at < 0) {
                memcpy(&want[i], &t[0], sizeof *t), memcpy(&plain, &t[1], sizeof *t);
                assert_int_not_equal(t[0].reason, JT_END_ERROR);
                continue;
            }
            assert_true(t[0].reason != JT_END_ERROR || t[1].reason != JT_END_ERROR);
            for (int k = 0; e == JT_OK && k < 2; k++) {
                if (!job[k]) continue;
                if (t[k].reason == JT_END_ERROR)
                    hurt++, assert_non_null(strstr(t[k].message, "out of memory"));
                else
                    assert_memory_equal(&t[k], k ? &plain : &want[i], sizeof *t);
            }
            if (asked <= at) break;
        }
        assert_true(hurt > 10);
        for (int after = 0; after < 12; after++) { /* cancelled after so many looks at events or evaluations */
            jt_driver *d = driver_of(&small);
            jt_job job[2];
            jt_request r = request_of(p, 2, 4), q = request_of(greedy, 0, 6);
            assert_int_equal(jt_driver_add_with(d, "large", &large.ev, NULL), JT_OK);
            assert_int_equal(jt_driver_submit(d, &r, &job[0], NULL), JT_OK);
            assert_int_equal(jt_driver_submit(d, &q, &job[1], NULL), JT_OK);
            for (int k = 0; k < after; k++) jt_driver_round(d);
            jt_driver_cancel(d, job[0]);
            finish_all(d, job, t, 2);
            assert_memory_equal(&t[1], &plain, sizeof *t);
            assert_true(t[0].reason == JT_END_CANCELLED || t[0].reason == want[i].reason);
            jt_driver_free(d);
            assert_int_equal(small.open + large.open, 0);
        }
        jt_pipeline_free(p);
    }
    jt_pipeline_free(greedy);
    fake_free(&small);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parallel_answers_are_those_of_single_requests),
        cmocka_unit_test(best_of_n_is_the_best_of_its_runs),
        cmocka_unit_test(nesting_is_refused_where_it_makes_no_sense),
        cmocka_unit_test(beams_are_those_of_a_slow_search),
        cmocka_unit_test(beams_end_and_are_ordered_by_length),
        cmocka_unit_test(soft_thinking_with_one_token_is_greedy),
        cmocka_unit_test(soft_weights_are_the_cards),
        cmocka_unit_test(cold_steps_end_thinking),
        cmocka_unit_test(r2r_routes_between_its_models),
        cmocka_unit_test(r2r_threshold_is_the_cards),
        cmocka_unit_test(answers_do_not_depend_on_company),
        cmocka_unit_test(failed_allocations_and_cancels_are_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
