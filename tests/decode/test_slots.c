/* What strategies may ask of the driver: slots, rows, trees, children, followers and what stages are given, each tried by a
 * strategy or stage written here. */
#include "harness.h"

/* A stage that proves what it is given: its state is a hash of the decisions pushed, compared with the history. */
static uint64_t hash_of(const int32_t *ids, int from, int n) {
    uint64_t h = 99;
    for (int i = from; i < n; i++) h = jt_hash_u64(h, (uint64_t)ids[i]);
    return h;
}

static jt_status proof_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    (void)par, (void)u, (void)err;
    *(uint64_t *)state = 99;
    return JT_OK;
}

static jt_status proof_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    int n;
    const int32_t *ids = jt_step_history(s, &n);
    (void)par;
    assert_true(*(const uint64_t *)state == hash_of(ids, jt_step_prompt(s), n));
    for (int k = 0; k < 3; k++) jt_dist_add(d, (int32_t)(jt_hash_u64(*(const uint64_t *)state, (uint64_t)k) % FAKE_VOCAB), 1);
    return JT_OK;
}

static void proof_push(const void *par, void *state, const jt_decision *made, jt_step *s) {
    int n;
    (void)par;
    (void)jt_step_history(s, &n);
    assert_int_equal(n, made->position);
    *(uint64_t *)state = jt_hash_u64(*(uint64_t *)state, (uint64_t)made->id);
}

static const jt_method proof = {.name = "proof",
                                .kind = JT_STAGE,
                                .needs = JT_NEEDS_HISTORY,
                                .state_size = sizeof(uint64_t),
                                .open = proof_open,
                                .stage = {.run = proof_run, .push = proof_push}};

/* ---- a tree that guesses, verified node by node ---- */

enum { NODES = 9 };
struct guess {
    int at;
    int32_t last;
};

static int guess_luck; /* of 4: how often a node's first child is what greedy says */

/* A tree of three levels of up to three children; some guesses are what the model will say. */
static int guess_tree(const int32_t *ids, int n, jt_row *row) {
    static const int up[NODES] = {JT_LAST, JT_LAST, JT_LAST, 0, 0, 1, 3, 3, 6};
    int32_t path[FAKE_CONTEXT + NODES];
    for (int k = 0; k < NODES; k++) {
        int chain[NODES], m = 0;
        for (int q = up[k]; q >= 0; q = up[q]) chain[m++] = q;
        memcpy(path, ids, (size_t)n * sizeof *path);
        for (int q = 0; q < m; q++) path[n + q] = row[chain[m - 1 - q]].id;
        int32_t best = 0;
        for (int32_t id = 1; id < FAKE_VOCAB; id++)
            if (fake_logit(path, n + m, id) > fake_logit(path, n + m, best)) best = id;
        bool first = true;
        for (int q = 0; q < k; q++) first &= up[q] != up[k];
        int32_t other = (int32_t)(jt_hash_u64((uint64_t)n, (uint64_t)k) % FAKE_VOCAB);
        row[k] = (jt_row){.slot = JT_MAIN, .parent = up[k], .id = first && (n + k) % 4 < guess_luck ? best : other, .want = JT_WANT_DIST};
        for (int q = 0; q < k; q++)
            if (up[q] == up[k] && row[q].id == row[k].id) row[k].id = (row[k].id + 1) % FAKE_VOCAB, q = -1;
    }
    return NODES;
}

static int guess_rounds;
static int32_t guess_ids[FAKE_CONTEXT];

static jt_status guess_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct guess *s = state;
    jt_row row[NODES];
    (void)par;
    JT_BEGIN(s);
    memcpy(guess_ids, hello, sizeof hello);
    jt_work_next(w, JT_MAIN);
    for (;;) {
        JT_AWAIT(s);
        guess_rounds++;
        {
            int at = 0, n = jt_work_length(w, JT_MAIN);
            jt_decision d = jt_work_decide(w, &r->out[at], 0);
            jt_work_emit(w, &d);
            guess_ids[n++] = d.id;
            for (int k = 1; k < r->n_out;) { /* out[k]: node k - 1 */
                static const int up[NODES] = {JT_LAST, JT_LAST, JT_LAST, 0, 0, 1, 3, 3, 6};
                if (up[k - 1] != at - 1 || w->i->slot[0]->twig[k - 1].id != d.id) {
                    k++;
                    continue;
                }
                at = k, k = at + 1;
                d = jt_work_decide(w, &r->out[at], 0);
                jt_work_emit(w, &d);
                guess_ids[n++] = d.id;
            }
            if (n + 4 >= FAKE_CONTEXT) at = 0;
            if (r->n_out > 1) jt_work_keep(w, &r->out[at]);
            jt_work_push(w, JT_MAIN, &d);
            jt_work_next(w, JT_MAIN);
            if (n + 4 < FAKE_CONTEXT) jt_work_rows(w, row, guess_tree(guess_ids, n, row));
        }
    }
    JT_END(w);
}

static const jt_method guess = {
    .name = "guess", .kind = JT_STRATEGY, .state_size = sizeof(struct guess), .strategy = {.advance = guess_advance}};

static jt_methods *mine;

static void verified_trees_give_the_plain_text(void **state) {
    (void)state;
    static told plain, tree;
    static const char *const stages[] = {"| proof", "| temp:0.3 | proof | repeat-penalty:1.2", "| dry:0.4,allowed=1 | temp:0.2 | proof"};
    fake f;
    fake_make(&f);
    for (int i = 0; i < 3; i++)
        for (guess_luck = 0; guess_luck <= 4; guess_luck += 2) {
            char a[100], b[100];
            snprintf(a, sizeof a, "sample %s", stages[i]), snprintf(b, sizeof b, "guess %s", stages[i]);
            run_text(&f, a, mine, 4, 40, &plain);
            guess_rounds = 0;
            run_text(&f, b, mine, 4, 40, &tree);
            if (tree.reason == JT_END_ERROR) fail_msg("%s", tree.message);
            same_said(&tree.a[0], &plain.a[0]);
            assert_memory_equal(tree.a[0].u, plain.a[0].u, 40 * sizeof(double));
            if (guess_luck == 4 && i) assert_true(guess_rounds < 40);
        }
    guess_luck = 4;
    run_text(&f, "best-of-n:3 > sample | temp:0.2 | proof", mine, 4, 20, &plain);
    fake_free(&f);
}

/* ---- random programs against a slow reference ---- */

enum { PLACES = 6, PROGRAM = 60 };
struct program {
    int at, step, n[PLACES];
    bool used[PLACES];
    int32_t ids[PLACES][FAKE_CONTEXT];
};

static uint64_t program_seed;
static uint64_t pick(const struct program *s, int what) {
    return jt_hash_u64(jt_hash_u64(program_seed, (uint64_t)s->step), (uint64_t)what) >> 8;
}

static void program_copy(struct program *s, int to, int from) {
    s->n[to] = s->n[from], s->used[to] = s->used[from];
    memcpy(s->ids[to], s->ids[from], sizeof s->ids[to]);
}

static jt_status program_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct program *s = state;
    (void)par;
    JT_BEGIN(s);
    s->used[0] = true, s->n[0] = 5;
    memcpy(s->ids[0], hello, sizeof hello);
    for (s->step = 0; s->step < PROGRAM; s->step++) {
        for (int i = 0; i < PLACES; i++)
            if (s->used[i] && pick(s, 50 + i) % 3) jt_work_next(w, (jt_slot)i);
        {
            bool any = false;
            for (int i = 0; i < PLACES; i++) any |= s->used[i] && pick(s, 50 + i) % 3;
            if (!any) continue;
        }
        JT_AWAIT(s);
        for (int k = 0; k < r->n_out; k++) { /* every row is what the model says after the slot's own tokens */
            int i = r->out[k].slot;
            jt_dist *d = jt_work_raw(w, &r->out[k]);
            if (!d) return JT_OK;
            assert_int_equal(r->out[k].position, s->n[i]);
            for (int32_t id = 0; id < FAKE_VOCAB; id += 40) assert_true(jt_dist_logit(d, id) == fake_logit(s->ids[i], s->n[i], id));
            jt_decision made = jt_work_decide(w, &r->out[k], 0);
            if (s->n[i] + 2 < FAKE_CONTEXT) jt_work_push(w, (jt_slot)i, &made), s->ids[i][s->n[i]++] = made.id;
        }
        {
            int a = (int)(pick(s, 1) % PLACES), b = (int)(pick(s, 2) % PLACES), other = 0;
            for (int i = 0; i < PLACES; i++) other += s->used[i];
            switch (pick(s, 3) % 6) { /* no await inside */
            case 0:
                if (s->used[a] && a != b) jt_work_fork(w, (jt_slot)b, (jt_slot)a, s->step), program_copy(s, b, a);
                break;
            case 1:
                if (s->used[a] && other > 1) jt_work_drop(w, (jt_slot)a), s->used[a] = false;
                break;
            case 2: {
                struct program t = *s;
                jt_work_swap(w, (jt_slot)a, (jt_slot)b);
                program_copy(s, a, b);
                s->n[b] = t.n[a], s->used[b] = t.used[a], memcpy(s->ids[b], t.ids[a], sizeof t.ids[a]);
                break;
            }
            case 3:
                if (s->used[a]) {
                    int n = 5 + (int)(pick(s, 4) % (uint64_t)(s->n[a] - 4));
                    jt_work_truncate(w, (jt_slot)a, n), s->n[a] = n;
                }
                break;
            case 4: {
                struct program t = *s;
                int16_t src[PLACES];
                for (int i = 0; i < PLACES; i++) src[i] = (int16_t)(pick(s, 10 + i) % PLACES);
                if (other < PLACES) break;
                jt_work_arrange(w, 0, PLACES, src);
                for (int i = 0; i < PLACES; i++) s->n[i] = t.n[src[i]], memcpy(s->ids[i], t.ids[src[i]], sizeof t.ids[0]);
                break;
            }
            default:
                if (s->used[a] && s->n[a] + 2 < FAKE_CONTEXT) { /* a token that nobody decided */
                    jt_decision made = {.id = (int32_t)(pick(s, 5) % FAKE_VOCAB), .position = s->n[a]};
                    jt_work_push(w, (jt_slot)a, &made), s->ids[a][s->n[a]++] = made.id;
                }
            }
        }
        for (int i = 0; i < PLACES && w->status == JT_OK; i++) assert_int_equal(jt_work_length(w, (jt_slot)i), s->used[i] ? s->n[i] : 0);
    }
    for (int i = 0, n = 0; i < PLACES; i++)
        if (s->used[i] && s->n[i] > 5) jt_work_yield(w, (jt_slot)i, n++, NULL, 0);
    JT_END(w);
}

static const jt_method program = {
    .name = "program", .kind = JT_STRATEGY, .state_size = sizeof(struct program), .strategy = {.advance = program_advance, .many = true}};

static void random_programs_equal_a_slow_reference(void **state) {
    (void)state;
    static told t, again;
    fake f;
    fake_make(&f);
    for (program_seed = 0; program_seed < 150; program_seed++) {
        run_text(&f, "program | temp:1.2 | proof", mine, 1, 0, &t);
        if (t.reason == JT_END_ERROR) fail_msg("program %d: %s", (int)program_seed, t.message);
        if (program_seed % 10) continue;
        run_text(&f, "program | temp:1.2 | proof", mine, 1, 0, &again);
        assert_memory_equal(&t, &again, sizeof t);
    }
    fake_free(&f);
}

/* ---- wants ---- */

struct once {
    int at, step;
    jt_decision d;
};

static jt_status wants_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    static const int32_t targets[] = {'a', 3, FAKE_END};
    static const int layers[] = {4, 0, 2};
    struct once *s = state;
    const jt_row like = {.want = JT_WANT_ENTROPY | JT_WANT_TOP | JT_WANT_TARGETS | JT_WANT_HIDDEN | JT_WANT_STREAM,
                         .n_top = 7,
                         .targets = targets,
                         .n_targets = 3,
                         .stream = layers,
                         .n_stream = 3};
    (void)par;
    JT_BEGIN(s);
    jt_work_want(w, JT_MAIN, &like);
    JT_AWAIT(s);
    {
        double x[FAKE_VOCAB], z = 0, h = 0;
        for (int32_t id = 0; id < FAKE_VOCAB; id++) z += exp(x[id] = (double)fake_logit(hello, 5, id));
        for (int32_t id = 0; id < FAKE_VOCAB; id++) h -= exp(x[id]) / z * (x[id] - log(z));
        const jt_out *o = r->out;
        assert_true(fabs(o->entropy - h) < 1e-6);
        assert_int_equal(o->n_top, 7);
        for (int k = 0; k < 7; k++)
            assert_true((double)o->top_logits[k] == x[o->top_ids[k]] && (!k || o->top_logits[k] <= o->top_logits[k - 1]));
        for (int k = 0; k < 3; k++) assert_true(fabs(o->target_logprob[k] - (x[targets[k]] - log(z))) < 1e-9);
        assert_true(o->n_hidden == 2 && (double)o->hidden[0] == x[0] && o->hidden[1] == 5 && o->n_stream == 3);
        for (int k = 0; k < 3; k++)
            assert_true(o->stream[2 * k] == fake_logit(hello, 5, 1) + (float)layers[k] && o->stream[2 * k + 1] == 5);
    }
    jt_work_next(w, JT_MAIN); /* again, with nothing pending */
    JT_AWAIT(s);
    {
        jt_decision d = jt_work_best(w, r->out);
        jt_work_emit(w, &d);
    }
    JT_END(w);
}

static jt_status unasked_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct once *s = state;
    (void)par;
    JT_BEGIN(s);
    jt_work_want(w, JT_MAIN, &(jt_row){.want = JT_WANT_ENTROPY});
    JT_AWAIT(s);
    s->d = jt_work_best(w, r->out);
    JT_END(w);
}

static jt_status empty_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    (void)par, (void)state, (void)r;
    jt_work_next(w, 3);
    return JT_OK;
}

static jt_status twice_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    (void)par, (void)state, (void)r;
    jt_work_next(w, JT_MAIN), jt_work_next(w, JT_MAIN);
    return JT_OK;
}

static jt_status childless_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    (void)par, (void)state, (void)r;
    jt_work_child(w, JT_MAIN, 1);
    return JT_OK;
}

static jt_status stale_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct once *s = state;
    (void)par;
    JT_BEGIN(s);
    jt_work_next(w, JT_MAIN);
    JT_AWAIT(s);
    s->d = jt_work_best(w, r->out);
    jt_work_push(w, JT_MAIN, &s->d);
    s->d = jt_work_best(w, r->out);
    JT_END(w);
}

static jt_status bad_tree_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    (void)par, (void)state, (void)r;
    jt_work_rows(w, &(jt_row){.slot = JT_MAIN, .parent = 0, .id = 1, .want = JT_WANT_DIST}, 1);
    return JT_OK;
}

static const jt_method plain_rows[] = {
    {.name = "wants", .kind = JT_STRATEGY, .state_size = sizeof(struct once), .strategy = {.advance = wants_advance}},
    {.name = "unasked", .kind = JT_STRATEGY, .state_size = sizeof(struct once), .strategy = {.advance = unasked_advance}},
    {.name = "empty", .kind = JT_STRATEGY, .state_size = sizeof(struct once), .strategy = {.advance = empty_advance}},
    {.name = "twice", .kind = JT_STRATEGY, .state_size = sizeof(struct once), .strategy = {.advance = twice_advance}},
    {.name = "childless", .kind = JT_STRATEGY, .state_size = sizeof(struct once), .strategy = {.advance = childless_advance}},
    {.name = "stale", .kind = JT_STRATEGY, .state_size = sizeof(struct once), .strategy = {.advance = stale_advance}},
    {.name = "bad-tree", .kind = JT_STRATEGY, .state_size = sizeof(struct once), .strategy = {.advance = bad_tree_advance}},
};

static void wants_are_what_the_model_says(void **state) {
    (void)state;
    static told t, greedy;
    fake f;
    fake_make(&f);
    run_text(&f, "wants", mine, 0, 1, &t);
    run_text(&f, "greedy", mine, 0, 1, &greedy);
    same_said(&t.a[0], &greedy.a[0]);
    static const char *const say[] = {"reads the dist of a row that it did not ask for",
                                      "uses slot 3, which is empty",
                                      "asks twice for one row",
                                      "runs slot 0, which can have no child",
                                      "reads a row that is not there",
                                      "asks for token 1 under row 0 of 0"};
    for (int i = 0; i < 6; i++) {
        run_text(&f, plain_rows[i + 1].name, mine, 0, 5, &t);
        assert_int_equal(t.reason, JT_END_ERROR);
        if (!strstr(t.message, say[i])) fail_msg("%s", t.message);
    }
    fake_free(&f);
}

/* ---- children ---- */

/* Runs the strategy inside three tokens at a time and says what it says; now and then the slot is cut back by two. */
struct stutter {
    int at, turn, cut;
};

static jt_status stutter_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct stutter *s = state;
    (void)par;
    JT_BEGIN(s);
    for (;; s->turn++) {
        jt_work_child(w, JT_MAIN, 3);
        JT_AWAIT(s);
        assert_true(r->n_child == 1 && r->child->slot == JT_MAIN);
        assert_int_equal(jt_work_length(w, JT_MAIN), 5 + r->child->tokens);
        if (!r->child->why && s->turn % 3 == 2) {
            s->cut = r->child->tokens;
            jt_work_fork(w, 1, JT_MAIN, -1); /* a copy of the same stream goes on alike */
            jt_work_truncate(w, JT_MAIN, 5 + s->cut - 2);
            jt_work_child(w, JT_MAIN, 4);
            jt_work_child(w, 1, 2);
            JT_AWAIT(s);
            assert_true(r->n_child == 2 && r->child[1].slot == 1);
            if (!r->child[1].why) assert_int_equal(r->child[1].tokens, s->cut + 2);
            if (!r->end) assert_int_equal(r->child[0].tokens, r->child[1].tokens);
            if (!r->end) assert_true(r->child[0].raw == r->child[1].raw);
            jt_work_drop(w, 1);
        }
        if (r->child->why) {
            jt_work_yield(w, JT_MAIN, 0, NULL, 0);
            jt_work_done(w, JT_END_STOP);
            return JT_OK;
        }
    }
    JT_END(w);
}

static const jt_method stutter = {
    .name = "stutter", .kind = JT_STRATEGY, .state_size = sizeof(struct stutter), .strategy = {.advance = stutter_advance, .inner = true}};

static jt_status echo_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct once *s = state;
    (void)par;
    JT_BEGIN(s);
    do {
        jt_work_child(w, JT_MAIN, 2);
        JT_AWAIT(s);
        jt_work_forward(w, JT_MAIN);
    } while (!r->child->why);
    jt_work_done(w, r->child->why);
    return JT_OK;
    JT_END(w);
}

static const jt_method echo = {
    .name = "echo", .kind = JT_STRATEGY, .state_size = sizeof(struct once), .strategy = {.advance = echo_advance, .inner = true}};

static void children_pause_and_go_on(void **state) {
    (void)state;
    static told plain, t;
    static const char *const inner[] = {"sample | temp:0.9 | dry:0.4,allowed=1 | proof", "greedy | proof", "guess | temp:0.3 | proof"};
    fake f;
    fake_make(&f);
    guess_luck = 4;
    for (int i = 0; i < 3; i++) {
        char text[120];
        run_text(&f, inner[i], mine, 6, 31, &plain);
        snprintf(text, sizeof text, "echo > %s", inner[i]);
        run_text(&f, text, mine, 6, 31, &t);
        if (t.reason == JT_END_ERROR) fail_msg("%s", t.message);
        same_said(&t.a[0], &plain.a[0]);
        assert_int_equal(t.reason, plain.reason);
        if (i == 2) break; /* guess keeps its guesses in one place for all branches */
        snprintf(text, sizeof text, "stutter > %s", inner[i]);
        run_text(&f, text, mine, 6, 31, &t);
        if (t.reason == JT_END_ERROR) fail_msg("%s", t.message);
        same_said(&t.a[0], &plain.a[0]);
        snprintf(text, sizeof text, "stutter > echo > %s", inner[i]);
        run_text(&f, text, mine, 6, 31, &t);
        if (t.reason == JT_END_ERROR) fail_msg("%s", t.message);
        same_said(&t.a[0], &plain.a[0]);
        snprintf(text, sizeof text, "echo > stutter > %s", inner[i]);
        run_text(&f, text, mine, 6, 31, &t);
        same_said(&t.a[0], &plain.a[0]);
    }
    fake_free(&f);
}

/* Stop strings and end tokens end a child as they end an answer. */
static void children_end_as_answers_do(void **state) {
    (void)state;
    static told plain, t;
    fake f;
    fake_make(&f);
    for (uint64_t seed = 0; seed < 20; seed++) {
        static const char *const stop[] = {"e", "th"};
        jt_pipeline *p[2] = {parse_with("sample", mine), parse_with("parallel:1 > echo > sample", mine)};
        told *to[2] = {&plain, &t};
        for (int i = 0; i < 2; i++) {
            jt_driver *d = driver_of(&f);
            jt_request r = request_of(p[i], seed, 0);
            r.ignore_end = 0, r.stop = stop, r.n_stop = seed % 3;
            if (r.n_stop > 2) r.n_stop = 2;
            run_request(d, &r, to[i]);
            jt_driver_free(d);
            jt_pipeline_free(p[i]);
        }
        same_said(&t.a[0], &plain.a[0]);
        assert_int_equal(t.a[0].reason, plain.reason);
        assert_int_equal(t.reason, plain.reason);
    }
    fake_free(&f);
}

/* ---- what stages are given ---- */

static jt_status contrast_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    jt_dist *second = jt_step_second(s);
    (void)par, (void)state;
    if (!second) return jt_error_set(jt_step_error(s), JT_INVALID, "no second model");
    for (int32_t id = jt_dist_next(d, -1); id >= 0; id = jt_dist_next(d, id)) jt_dist_add(d, id, -0.5f * jt_dist_logit(second, id));
    return JT_OK;
}

static jt_status hidden_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    int n, m;
    const float *h = jt_step_hidden(s, &n);
    const int32_t *ids = jt_step_history(s, &m);
    (void)par, (void)state, (void)d;
    if (!h || n != 2 || h[0] != fake_logit(ids, m, 0) || h[1] != (float)m)
        return jt_error_set(jt_step_error(s), JT_INVALID, "the hidden vector is another's");
    return JT_OK;
}

/* The layers of the slice and the last. */
static int stream_layer(const void *par, int layers, int i) {
    (void)par;
    return i == 0 ? 1 : i == 1 ? layers : -1;
}
static int deep_layer(const void *par, int layers, int i) {
    (void)par;
    return i ? -1 : layers + 1;
}

static jt_status stream_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    int n, m, none;
    const int32_t *ids = jt_step_history(s, &m);
    (void)par, (void)state, (void)d;
    for (int layer = 1; layer <= 4; layer += 3) {
        const float *x = jt_step_stream(s, layer, &n);
        if (!x || n != 2 || x[0] != fake_logit(ids, m, 1) + (float)layer || x[1] != (float)m)
            return jt_error_set(jt_step_error(s), JT_INVALID, "the stream of layer %d is another's", layer);
    }
    return jt_step_stream(s, 2, &none) || none ? jt_error_set(jt_step_error(s), JT_INVALID, "a stream nobody declared") : JT_OK;
}

/* Bans what a branch before this one took at the same step, and counts what it sees. */
static int kin_most;
static jt_status apart_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    int here = jt_step_position(s), n;
    (void)par, (void)state;
    if (jt_step_siblings(s) > kin_most) kin_most = jt_step_siblings(s);
    for (int i = 0; i < jt_step_siblings(s); i++) {
        const int32_t *ids = jt_step_sibling(s, i, &n);
        assert_true(n == here || n == here + 1);
        assert_memory_equal(ids, hello, sizeof hello);
        if (n == here + 1) jt_dist_add(d, ids[here], -INFINITY);
    }
    return JT_OK;
}

static const jt_method hooks[] = {
    {.name = "contrast", .kind = JT_STAGE, .needs = JT_NEEDS_MODEL2, .role = "amateur", .stage = {.run = contrast_run}},
    {.name = "hidden", .kind = JT_STAGE, .needs = JT_NEEDS_HIDDEN | JT_NEEDS_HISTORY, .stage = {.run = hidden_run}},
    {.name = "stream", .kind = JT_STAGE, .needs = JT_NEEDS_STREAM | JT_NEEDS_HISTORY, .stream = stream_layer, .stage = {.run = stream_run}},
    {.name = "deep", .kind = JT_STAGE, .needs = JT_NEEDS_STREAM, .stream = deep_layer, .stage = {.run = stream_run}},
    {.name = "apart", .kind = JT_STAGE, .needs = JT_NEEDS_SIBLINGS, .stage = {.run = apart_run}},
    {.name = "gradients", .kind = JT_STAGE, .needs = JT_NEEDS_GRADIENTS, .stage = {.run = apart_run}},
    {.name = "other", .kind = JT_STAGE, .needs = JT_NEEDS_MODEL2, .stage = {.run = contrast_run}},
};

static float amateur_logit(const int32_t *ids, int n, int32_t id) { return fake_logit(ids, n, (id + 3) % FAKE_VOCAB); }

static void stages_get_a_second_model(void **state) {
    (void)state;
    static told t, tree;
    fake f, amateur;
    jt_error err;
    jt_job job;
    fake_make(&f), fake_make(&amateur);
    amateur.logit = amateur_logit;
    guess_luck = 3;
    static const char *const text[] = {"greedy | contrast", "guess | contrast | top-k:1", "best-of-n:3 > greedy | contrast"};
    for (int i = 0; i < 3; i++) {
        jt_pipeline *p = parse_with(text[i], mine);
        jt_request r = request_of(p, 0, 16);
        jt_driver *d = driver_of(&f);
        assert_int_equal(jt_driver_submit(d, &r, &job, &err), JT_UNSUPPORTED);
        assert_non_null(strstr(err.message, "stage contrast needs a second model in the role \"amateur\""));
        assert_int_equal(jt_driver_add_with(d, "amateur", &amateur.ev, &err), JT_OK);
        assert_int_equal(jt_driver_add_with(d, "guide", &amateur.ev, &err), JT_OK);
        run_request(d, &r, i ? &tree : &t);
        if (i) {
            if (tree.reason == JT_END_ERROR) fail_msg("%s", tree.message);
            assert_memory_equal(tree.a[0].id, t.a[0].id, 16 * sizeof(int32_t));
        }
        int32_t ids[64];
        memcpy(ids, hello, sizeof hello);
        for (int k = 0; k < 16; k++) {
            int32_t best = 0;
            float top = -INFINITY;
            for (int32_t id = 0; id < FAKE_VOCAB; id++) {
                float x = fake_logit(ids, 5 + k, id) + -0.5f * amateur_logit(ids, 5 + k, id);
                if (x > top) top = x, best = id;
            }
            assert_int_equal(t.a[0].id[k], best);
            ids[5 + k] = best;
        }
        jt_pipeline_free(p);
        p = parse_with("contrast | other", mine), r.pipeline = p;
        jt_status e = jt_driver_submit(d, &r, &job, &err);
        assert_int_equal(e, JT_UNSUPPORTED);
        assert_non_null(strstr(err.message, "the stages contrast and other read different second models"));
        jt_pipeline_free(p);
        jt_driver_free(d);
        assert_int_equal(f.open + amateur.open, 0);
    }
    fake_free(&f), fake_free(&amateur);
}

static void stages_get_hidden_vectors_and_siblings(void **state) {
    (void)state;
    static told t, again[2];
    fake f;
    jt_error err;
    jt_job job[2];
    fake_make(&f);
    run_text(&f, "sample | hidden", mine, 3, 10, &t);
    assert_int_equal(t.reason, JT_END_LENGTH);
    run_text(&f, "parallel:4 > sample | hidden", mine, 3, 10, &t);
    assert_int_equal(t.reason, JT_END_LENGTH);
    guess_luck = 3;
    static const char *const streams[] = {"sample | stream", "guess | stream | hidden", "best-of-n:3 > sample | hidden | stream"};
    for (int i = 0; i < 3; i++) {
        run_text(&f, streams[i], mine, 3, 10, &t);
        if (t.reason != JT_END_LENGTH) fail_msg("%s: %s", streams[i], t.message);
    }
    kin_most = 0;
    run_text(&f, "parallel:4 > greedy | apart", mine, 3, 10, &t);
    assert_int_equal(kin_most, 3);
    for (int k = 0; k < 10; k++)
        for (int a = 0; a < 4; a++)
            for (int b = 0; b < a; b++) assert_int_not_equal(t.a[a].id[k], t.a[b].id[k]);
    jt_pipeline *p = parse_with("parallel:4 > greedy | apart", mine), *g = parse_with("gradients", mine);
    jt_driver *d = driver_of(&f);
    jt_request r = request_of(p, 3, 10);
    for (int i = 0; i < 2; i++) assert_int_equal(jt_driver_submit(d, &r, &job[i], &err), JT_OK);
    finish_all(d, job, again, 2);
    for (int i = 0; i < 2; i++) assert_memory_equal(&again[i], &t, sizeof t);
    r.pipeline = g;
    assert_int_equal(jt_driver_submit(d, &r, job, &err), JT_UNSUPPORTED);
    assert_non_null(strstr(err.message, "stage gradients needs gradients"));
    jt_pipeline_free(g);
    g = parse_with("deep", mine), r.pipeline = g;
    assert_int_equal(jt_driver_submit(d, &r, job, &err), JT_UNSUPPORTED);
    assert_non_null(strstr(err.message, "stage deep needs the stream of layer 5; the model has layers 0 to 4"));
    jt_method bad = hooks[2];
    bad.name = "unnamed", bad.stream = NULL;
    assert_int_equal(jt_methods_add(mine, &bad, &err), JT_INVALID);
    jt_driver_free(d);
    jt_pipeline_free(p), jt_pipeline_free(g);
    fake_free(&f);
}

/* ---- fairness ---- */

static void a_long_prompt_holds_nobody_up_for_more_than_a_piece(void **state) {
    (void)state;
    static int32_t prompt[3000];
    enum { TALKERS = 12 };
    fake f;
    jt_event e;
    jt_job talk[TALKERS], late[2];
    int waited[TALKERS] = {0}, rows_at[TALKERS] = {0}, most = 0;
    bool begun[2] = {false};
    fake_make(&f);
    f.ev.context = 4000;
    jt_driver *d = driver_of(&f);
    jt_pipeline *p = parse_with("sample", mine), *two = parse_with("parallel:2 > sample", mine);
    jt_request r = request_of(p, 1, 60);
    for (int i = 0; i < TALKERS; i++) assert_int_equal(jt_driver_submit(d, &r, &talk[i], NULL), JT_OK);
    for (int i = 0; i < TALKERS; i++) assert_int_equal(jt_driver_next(d, &e, NULL), JT_OK);
    r.prompt = prompt, r.n_prompt = 3000, r.pipeline = two, r.max_tokens = 2;
    for (int i = 0; i < 2; i++) assert_int_equal(jt_driver_submit(d, &r, &late[i], NULL), JT_OK);
    for (int i = 0; i < TALKERS; i++) rows_at[i] = f.rows;
    for (;;) {
        assert_int_equal(jt_driver_next(d, &e, NULL), JT_OK);
        if (!e.job) break;
        for (int i = 0; i < 2; i++) begun[i] |= e.job == late[i];
        for (int i = 0; i < TALKERS && e.kind == JT_EVENT_TOKEN; i++)
            if (e.job == talk[i]) { /* rows that were evaluated since its last token */
                waited[i] = f.rows - rows_at[i], rows_at[i] = f.rows;
                if (waited[i] > most) most = waited[i];
            }
    }
    assert_true(begun[0] && begun[1]);
    assert_true(most > JT_ROWS_BESIDE && most <= JT_ROWS_BESIDE + TALKERS + 4);
    jt_driver_free(d);
    jt_pipeline_free(p), jt_pipeline_free(two);
    fake_free(&f);
}

/* ---- little memory, and cancelling ---- */

static void failures_and_cancels_are_clean(void **state) {
    (void)state;
    static const char *const text[] = {"guess | temp:0.3 | proof",        "stutter > sample | proof", "program | proof",
                                       "echo > echo > greedy | contrast", "guess | contrast",         "parallel:3 > greedy | apart"};
    static told want, t[2], plain;
    fake f, amateur;
    fake_make(&f), fake_make(&amateur);
    amateur.logit = amateur_logit;
    guess_luck = 3, program_seed = 5;
    for (int i = 0; i < 6; i++) {
        jt_pipeline *p = parse_with(text[i], mine);
        jt_request r = request_of(p, 2, 14), q = request_of(NULL, 0, 5);
        int ways = 0;
        for (long at = -1;; at++) {
            jt_driver *d = NULL;
            jt_job job[2] = {0};
            jt_error err;
            if (at >= 0) alloc_fail_at(at);
            jt_status e = jt_driver_new_with(&f.ev, &d, &err);
            if (e == JT_OK) e = jt_driver_add_with(d, "amateur", &amateur.ev, &err);
            memset(t, 0, sizeof t);
            if (e == JT_OK) {
                (void)jt_driver_submit(d, &r, &job[0], &err);
                (void)jt_driver_submit(d, &q, &job[1], &err);
                finish_all(d, job, t, 2);
            }
            long asked = alloc_count();
            alloc_fail_at(-1);
            jt_driver_free(d);
            assert_int_equal(f.open + amateur.open, 0);
            if (at < 0) {
                want = t[0], plain = t[1];
                if (t[0].reason == JT_END_ERROR) fail_msg("%s", t[0].message);
                continue;
            }
            if (job[0] && t[0].reason != JT_END_ERROR) assert_memory_equal(&t[0], &want, sizeof want);
            if (job[0] && t[0].reason == JT_END_ERROR) {
                ways++;
                if (!strstr(t[0].message, "out of memory")) fail_msg("%s", t[0].message);
            }
            if (job[1] && t[1].reason != JT_END_ERROR) assert_memory_equal(&t[1], &plain, sizeof want);
            assert_true(t[0].reason != JT_END_ERROR || t[1].reason != JT_END_ERROR);
            if (asked <= at) break;
        }
        assert_true(ways > 5);
        for (int after = 0; after < 20; after++) {
            jt_driver *d = driver_of(&f);
            jt_job job[2];
            assert_int_equal(jt_driver_add_with(d, "amateur", &amateur.ev, NULL), JT_OK);
            assert_int_equal(jt_driver_submit(d, &r, &job[0], NULL), JT_OK);
            assert_int_equal(jt_driver_submit(d, &q, &job[1], NULL), JT_OK);
            for (int k = 0; k < after; k++) jt_driver_round(d);
            jt_driver_cancel(d, job[0]);
            if (after % 2) {
                finish_all(d, job, t, 2);
                assert_memory_equal(&t[1], &plain, sizeof plain);
            }
            jt_driver_free(d);
            assert_int_equal(f.open + amateur.open, 0);
        }
        jt_pipeline_free(p);
    }
    fake_free(&f), fake_free(&amateur);
}

static int setup(void **state) {
    (void)state;
    if (jt_methods_new(&mine, NULL) != JT_OK) return 1;
    const jt_method *const all[] = {&proof, &guess, &program, &stutter, &echo};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (jt_methods_add(mine, all[i], NULL) != JT_OK) return 1;
    for (size_t i = 0; i < sizeof plain_rows / sizeof *plain_rows; i++)
        if (jt_methods_add(mine, &plain_rows[i], NULL) != JT_OK) return 1;
    for (size_t i = 0; i < sizeof hooks / sizeof *hooks; i++)
        if (jt_methods_add(mine, &hooks[i], NULL) != JT_OK) return 1;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    jt_methods_free(mine);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verified_trees_give_the_plain_text),
        cmocka_unit_test(random_programs_equal_a_slow_reference),
        cmocka_unit_test(wants_are_what_the_model_says),
        cmocka_unit_test(children_pause_and_go_on),
        cmocka_unit_test(children_end_as_answers_do),
        cmocka_unit_test(stages_get_a_second_model),
        cmocka_unit_test(stages_get_hidden_vectors_and_siblings),
        cmocka_unit_test(a_long_prompt_holds_nobody_up_for_more_than_a_piece),
        cmocka_unit_test(failures_and_cancels_are_clean),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
