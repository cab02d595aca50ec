/* Trees on slots that follow another, and rows made from mixtures and vectors: every row is what its model says after the
 * path's inputs, a kept path is not evaluated again, and deciding at a follower's row runs the pipeline on that path. */
#include "harness.h"

static jt_methods *mine;
static fake small, other;

static float other_logit(const int32_t *ids, int n, int32_t id) { return fake_logit(ids, n, (id + 7) % FAKE_VOCAB); }

static jt_driver *two(void) {
    jt_driver *d = driver_of(&small);
    assert_int_equal(jt_driver_add_with(d, "other", &other.ev, NULL), JT_OK);
    return d;
}

static void run_two(const char *text, uint64_t seed, int tokens, told *t) {
    jt_driver *d = two();
    jt_pipeline *p = parse_with(text, mine);
    jt_request r = request_of(p, seed, tokens);
    run_request(d, &r, t);
    jt_driver_free(d);
    jt_pipeline_free(p);
    assert_int_equal(small.open + other.open, 0);
}

/* A stage whose state is a hash of the decisions pushed, and which proves that by the history. */
static jt_status proof_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    (void)par, (void)u, (void)err;
    *(uint64_t *)state = 5;
    return JT_OK;
}

static uint64_t proof_hash(const int32_t *ids, int n) {
    uint64_t h = 5;
    for (int i = 5; i < n; i++) h = jt_hash_u64(h, (uint64_t)ids[i]);
    return h;
}

static jt_status proof_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    int n;
    const int32_t *ids = jt_step_history(s, &n);
    (void)par;
    assert_true(*(const uint64_t *)state == proof_hash(ids, n));
    jt_dist_only(d, (int32_t)(proof_hash(ids, n) % FAKE_VOCAB));
    return JT_OK;
}

static void proof_push(const void *par, void *state, const jt_decision *made, jt_step *s) {
    (void)par, (void)s;
    *(uint64_t *)state = jt_hash_u64(*(uint64_t *)state, (uint64_t)made->id);
}

static const jt_method proof = {.name = "proof",
                                .kind = JT_STAGE,
                                .needs = JT_NEEDS_HISTORY,
                                .state_size = sizeof(uint64_t),
                                .open = proof_open,
                                .stage = {.run = proof_run, .push = proof_push}};

/* Reads the second model, which is there at a follower's rows too. */
static jt_status both_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    int n;
    const int32_t *ids = jt_step_history(s, &n);
    jt_dist *second = jt_step_second(s);
    (void)par, (void)state, (void)d;
    for (int32_t id = 0; id < FAKE_VOCAB; id += 30) assert_true(jt_dist_logit(second, id) == other_logit(ids, n, id));
    return JT_OK;
}

static const jt_method both = {
    .name = "both", .kind = JT_STAGE, .needs = JT_NEEDS_HISTORY | JT_NEEDS_MODEL2, .role = "other", .stage = {.run = both_run}};

/* ---- random trees on a slot and on two that follow it ---- */

enum { SLOTS = 3, TREE = 8, PROGRAM = 30 };
struct program {
    int at, step, n, evaluated, rows;
    bool asked[SLOTS];
    int32_t id[FAKE_CONTEXT], value[FAKE_CONTEXT];
};

static bool program_mixes, program_alone; /* alone: no stage asks the other model too */
static uint64_t program_seed;
static uint64_t pick(const struct program *s, int what) {
    return jt_hash_u64(jt_hash_u64(program_seed, (uint64_t)s->step), (uint64_t)what) >> 8;
}

static int tree_up(const struct program *s, int k) { return (int)(pick(s, 100 + k) % (uint64_t)(k + 1)) - 1; }

/* Row k of the step's tree. Siblings differ. */
static jt_row tree_row(const struct program *s, int k, jt_input *in, int32_t *ids, float *w) {
    jt_row r = {.parent = tree_up(s, k), .id = (int32_t)(pick(s, 200) % 200 + (uint64_t)k), .want = JT_WANT_DIST};
    *in = (jt_input){.n = (int)(pick(s, 300 + k) % 3), .ids = ids, .w = w, .vec = w};
    for (int q = 0; q < 3; q++) ids[q] = (int32_t)(pick(s, 400 + 3 * k + q) % FAKE_VOCAB), w[q] = (float)(pick(s, 500 + 3 * k + q) % 9) + 2;
    if (program_mixes && pick(s, 600 + k) % 2) r.input = in;
    return r;
}

static int tree_path(const struct program *s, int node, int32_t *id, int32_t *value) {
    int at[TREE], n = 0;
    for (int k = node; k >= 0; k = tree_up(s, k)) at[n++] = k;
    for (int k = 0; k < n; k++) {
        int32_t ids[3];
        float w[3];
        jt_input in;
        jt_row r = tree_row(s, at[n - 1 - k], &in, ids, w);
        id[k] = r.id, value[k] = r.input ? fake_mixed(r.input) : r.id;
    }
    return n;
}

static void program_check(jt_work *w, const jt_out *o, const struct program *s) {
    int32_t id[FAKE_CONTEXT + TREE], value[FAKE_CONTEXT + TREE];
    memcpy(id, s->id, sizeof s->id), memcpy(value, s->value, sizeof s->value);
    int n = s->n + tree_path(s, o->node, id + s->n, value + s->n);
    jt_dist *d = jt_work_raw(w, o);
    if (!d) return;
    assert_int_equal(o->position, n);
    for (int32_t k = 0; k < FAKE_VOCAB; k += 25)
        assert_true(jt_dist_logit(d, k) == (o->slot == 1 ? other_logit(value, n, k) : fake_logit(value, n, k)));
    jt_decision best = jt_work_best(w, o);
    if (w->status != JT_OK) return;
    assert_int_equal(best.id, (int32_t)(proof_hash(id, n) % FAKE_VOCAB));
}

static jt_status program_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct program *s = state;
    (void)par;
    JT_BEGIN(s);
    memcpy(s->id, hello, sizeof hello), memcpy(s->value, hello, sizeof hello);
    s->n = 5;
    jt_work_follow(w, 1, "other", JT_MAIN);
    jt_work_follow(w, 2, NULL, JT_MAIN);
    for (s->step = 0; s->step < PROGRAM; s->step++) {
        for (int i = 0; i < SLOTS; i++) {
            s->asked[i] = !i || pick(s, 10 + i) % 4;
            int rows = i == 2 ? 3 : TREE; /* the last one has a part of the tree */
            for (int k = 0; k < rows && s->asked[i]; k++) {
                int32_t ids[3];
                float weight[3];
                jt_input in;
                jt_row row = tree_row(s, k, &in, ids, weight);
                row.slot = (jt_slot)i;
                jt_work_rows(w, &row, 1);
            }
        }
        s->rows = other.rows;
        JT_AWAIT(s);
        if (s->asked[1] && program_alone) assert_in_range(other.rows - s->rows, TREE, s->n - s->evaluated + TREE);
        if (s->asked[1]) s->evaluated = s->n;
        for (int k = 0; k < r->n_out; k++) {
            program_check(w, &r->out[k], s);
            if (w->status != JT_OK) return JT_OK;
        }
        if (s->n > FAKE_CONTEXT - 40) {
            jt_work_truncate(w, JT_MAIN, 20), s->n = 20;
            if (s->evaluated > 20) s->evaluated = 20;
        } else if (pick(s, 1) % 4) {
            const jt_out *o = &r->out[pick(s, 2) % TREE];
            int n = tree_path(s, o->node, s->id + s->n, s->value + s->n);
            jt_work_keep(w, o);
            s->n += n;
            if (s->asked[1]) s->evaluated = s->n;
        }
        if (pick(s, 3) % 3) {
            jt_decision made = {.id = (int32_t)(pick(s, 4) % 50 + 210), .position = s->n}; /* none of the tree */
            jt_work_push(w, JT_MAIN, &made);
            s->id[s->n] = s->value[s->n] = made.id, s->n++;
        }
        if (pick(s, 5) % 5 == 0 && s->n > 9) {
            jt_work_truncate(w, JT_MAIN, s->n - 3), s->n -= 3;
            if (s->evaluated > s->n) s->evaluated = s->n;
        }
    }
    JT_END(w);
}

static const jt_method program = {
    .name = "program", .kind = JT_STRATEGY, .state_size = sizeof(struct program), .strategy = {.advance = program_advance}};

static void trees_of_followers_are_what_their_models_say(void **state) {
    (void)state;
    static told t;
    for (program_seed = 0; program_seed < 100; program_seed++) {
        program_mixes = program_seed % 2, program_alone = program_seed % 4 > 0;
        run_two(program_alone ? "program | proof" : "program | both | proof", 1, 0, &t);
        if (t.reason == JT_END_ERROR) fail_msg("program %d: %s", (int)program_seed, t.message);
    }
}

/* ---- a draft that follows, verified ---- */

struct draft {
    int at, depth, of[4];
    int32_t id[4];
};

/* Four tokens of the follower, one after another as a growing chain, then all at once on the main slot. */
static jt_status draft_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct draft *s = state;
    (void)par;
    JT_BEGIN(s);
    jt_work_follow(w, 1, "other", JT_MAIN);
    for (;;) {
        jt_work_next(w, 1);
        JT_AWAIT(s);
        s->id[0] = jt_work_best(w, r->out).id;
        for (s->depth = 1; s->depth < 4; s->depth++) {
            for (int k = 0; k < s->depth; k++)
                jt_work_rows(w, &(jt_row){.slot = 1, .parent = k - 1, .id = s->id[k], .want = k == s->depth - 1 ? JT_WANT_DIST : 0}, 1);
            JT_AWAIT(s);
            s->id[s->depth] = jt_work_best(w, r->out).id;
        }
        jt_work_next(w, JT_MAIN);
        for (int k = 0; k < 4; k++) jt_work_rows(w, &(jt_row){.slot = 0, .parent = k - 1, .id = s->id[k], .want = JT_WANT_DIST}, 1);
        JT_AWAIT(s);
        {
            int n = 0;
            jt_decision d = jt_work_decide(w, r->out, 0);
            jt_work_emit(w, &d);
            while (n < 4 && d.id == s->id[n]) {
                d = jt_work_decide(w, &r->out[++n], 0);
                jt_work_emit(w, &d);
            }
            if (n) jt_work_keep(w, &r->out[n]);
            jt_work_push(w, JT_MAIN, &d);
        }
    }
    JT_END(w);
}

static const jt_method draft = {
    .name = "draft", .kind = JT_STRATEGY, .state_size = sizeof(struct draft), .strategy = {.advance = draft_advance}};

static void drafts_of_a_follower_give_the_plain_text(void **state) {
    (void)state;
    static told plain, t;
    static const char *const stages[] = {"temp:0.3", "temp:0.7 | repeat-penalty:1.2", "top-k:1", "temp:0.3 | both"};
    for (int way = 0; way < 2; way++) {
        other.logit = way ? fake_logit : other_logit;
        for (int i = 0; i < 4 - way; i++) {
            char a[80], b[80];
            snprintf(a, sizeof a, "sample | %s", stages[i]), snprintf(b, sizeof b, "draft | %s", stages[i]);
            run_two(a, 3, 40, &plain);
            int evals = small.evals;
            run_two(b, 3, 40, &t);
            if (t.reason == JT_END_ERROR) fail_msg("%s", t.message);
            same_said(&t.a[0], &plain.a[0]);
            if (way && i == 2) assert_true(small.evals - evals < 12); /* drafts are right, five tokens an evaluation */
        }
    }
    other.logit = other_logit;
}

/* ---- refusals ---- */

static int refusal;
static jt_status refused_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    static const jt_input none = {0};
    const jt_decision made = {.id = 'x', .position = 5};
    int *at = state;
    (void)par;
    jt_work_follow(w, 1, "other", JT_MAIN);
    if (refusal == 0) {
        jt_work_rows(w, &(jt_row){.slot = 1, .parent = JT_LAST, .id = 1, .want = JT_WANT_DIST}, 1);
        jt_work_push(w, JT_MAIN, &made);
    }
    if (refusal == 1) jt_work_rows(w, &(jt_row){.slot = 0, .parent = JT_LAST, .id = 1, .input = &none, .want = JT_WANT_DIST}, 1);
    if (refusal == 2 && *at) jt_work_keep(w, r->out);
    if (refusal == 2) jt_work_rows(w, &(jt_row){.slot = 1, .parent = JT_LAST, .id = 1, .want = JT_WANT_DIST}, 1);
    if (refusal == 3) jt_work_push(w, 1, &made);
    ++*at;
    return JT_OK;
}

static const jt_method refused = {.name = "refused", .kind = JT_STRATEGY, .state_size = 8, .strategy = {.advance = refused_advance}};

static void what_is_wrong_ends_the_job_by_name(void **state) {
    (void)state;
    static told t;
    static const char *const say[] = {"asks for a tree on slot 1 and then writes to slot 0, which it follows",
                                      "neither a mixture nor a vector", "keeps a row that is not there",
                                      "writes to slot 1, which follows another"};
    for (refusal = 0; refusal < 4; refusal++) {
        run_two("refused", 0, 3, &t);
        assert_int_equal(t.reason, JT_END_ERROR);
        if (!strstr(t.message, say[refusal])) fail_msg("%d: %s", refusal, t.message);
    }
}

/* ---- little memory, and cancelling ---- */

static void failures_and_cancels_are_clean(void **state) {
    (void)state;
    static const char *const text[] = {"program | proof", "draft | temp:0.5 | both"};
    static told want, t;
    program_seed = 7, program_mixes = true;
    for (int i = 0; i < 2; i++) {
        jt_pipeline *p = parse_with(text[i], mine);
        jt_request r = request_of(p, 2, 14);
        int failed = 0;
        for (long at = -1;; at++) {
            jt_job job = 0;
            jt_driver *d = two();
            if (at >= 0) alloc_fail_at(at);
            (void)jt_driver_submit(d, &r, &job, NULL);
            finish_all(d, &job, &t, 1);
            long asked = alloc_count();
            alloc_fail_at(-1);
            jt_driver_free(d);
            assert_int_equal(small.open + other.open, 0);
            if (at < 0) want = t;
            if (at < 0) continue;
            if (job && t.reason != JT_END_ERROR) assert_memory_equal(&t, &want, sizeof want);
            failed += t.reason == JT_END_ERROR;
            if (t.reason == JT_END_ERROR && !strstr(t.message, "out of memory")) fail_msg("%s", t.message);
            if (asked <= at) break;
        }
        assert_true(failed > 5);
        for (int after = 0; after < 12; after++) {
            jt_driver *d = two();
            jt_job job;
            assert_int_equal(jt_driver_submit(d, &r, &job, NULL), JT_OK);
            for (int k = 0; k < after; k++) jt_driver_round(d);
            jt_driver_cancel(d, job);
            if (after % 2) finish_all(d, &job, &t, 1);
            jt_driver_free(d);
            assert_int_equal(small.open + other.open, 0);
        }
        jt_pipeline_free(p);
    }
}

static int setup(void **state) {
    (void)state;
    fake_make(&small), fake_make(&other);
    other.logit = other_logit;
    if (jt_methods_new(&mine, NULL) != JT_OK) return 1;
    const jt_method *const all[] = {&proof, &both, &program, &draft, &refused};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (jt_methods_add(mine, all[i], NULL) != JT_OK) return 1;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    jt_methods_free(mine);
    fake_free(&small), fake_free(&other);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_of_followers_are_what_their_models_say),
        cmocka_unit_test(drafts_of_a_follower_give_the_plain_text),
        cmocka_unit_test(what_is_wrong_ends_the_job_by_name),
        cmocka_unit_test(failures_and_cancels_are_clean),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
