/* Taps, keys, groups, layers and adapters of slots: every row is evaluated with those of its own position, whatever was forked, truncated
 * and evaluated in between; what taps read comes back to the strategy that set them. */
#include "harness.h"

static jt_methods *mine;
static struct jt_adapter adapter_number[3] = {{11}, {12}, {13}};
static const char *const adapter_name[3] = {"red", "green", "blue"};

static jt_driver *coloured(fake *f) {
    jt_driver *d = driver_of(f);
    for (int i = 0; i < 3; i++)
        assert_int_equal(jt_driver_know(d, adapter_name[i], 0, &(jt_wear){&adapter_number[i], (float)(i + 1)}, NULL), JT_OK);
    return d;
}

static void run_coloured(fake *f, const char *text, int tokens, told *t) {
    jt_driver *d = coloured(f);
    jt_pipeline *p = parse_with(text, mine);
    jt_request r = request_of(p, 3, tokens);
    run_request(d, &r, t);
    jt_driver_free(d);
    jt_pipeline_free(p);
    assert_int_equal(f->open, 0);
}

/* ---- random programs against a slow reference ---- */

/* What is in force, as one event a position and kind: value 0 is none, -1 no event. */
enum { PLACES = 4, PROGRAM = 50, KINDS = 5, GROUP = 4, FAR = FAKE_CONTEXT + 40, TREE = 5 };
struct event {
    int value, made, end; /* end: of groups */
};
struct place {
    bool used;
    int n;
    int32_t id[FAKE_CONTEXT];
    struct event event[KINDS][FAR];
};
struct program {
    int at, step;
    bool tree;
    struct place place[PLACES];
};

static uint64_t program_seed;
static int program_trees;
static uint64_t pick(const struct program *s, int what) {
    return jt_hash_u64(jt_hash_u64(program_seed, (uint64_t)s->step), (uint64_t)what) >> 8;
}

static int place_value(const struct place *p, int kind, int position) {
    int v = 0;
    for (int k = 0; k <= position; k++)
        if (p->event[kind][k].value >= 0) v = p->event[kind][k].value;
    return v;
}

static jt_layers layers_of(int value) {
    jt_layers l = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    if (value) l.word[0] = (uint64_t)value;
    return l;
}

static const int32_t key_depth[4] = {9, 1, 2, 3};
static jt_keys keys_of(int value) { return (jt_keys){.depth = &key_depth[value], .n = 1, .local = 5 * value}; }

/* How many inputs position p is evaluated with, and which of them it is: found by walking from the first. */
static int place_group(const struct place *p, int position, int *at) {
    int from = 0, size = 0, end = 0, begin = 0, rows = 0;
    for (int k = 0; k < p->n; k++) {
        bool border = false;
        for (int kind = 0; kind < KINDS; kind++) border |= kind != 2 && p->event[kind][k].value >= 0;
        if (p->event[GROUP][k].value >= 0) from = k, size = p->event[GROUP][k].value, end = p->event[GROUP][k].end;
        if (border || size < 2 || k >= end || (k - from) % size == 0) {
            if (k > position) break;
            begin = k;
        }
        rows = k + 1 - begin;
    }
    *at = position - begin;
    return position < p->n ? rows : 1;
}

static const float tap_vec[2] = {1, 2};
static jt_tap tap_of(int value) {
    return (jt_tap){.site = "residual", .op = JT_TAP_ADD, .value = (float)value, .vec = tap_vec, .row_first = value % 7};
}

/* What the fake model holds at the place's position if `id` stands there. */
static int32_t place_node(const struct place *p, int32_t id, int position) {
    int tap = place_value(p, 0, position), adapter = place_value(p, 1, position), layers = place_value(p, 2, position);
    jt_tap t = tap_of(tap);
    jt_layers l = layers_of(layers);
    uint64_t worn = 0;
    if (adapter) {
        float scale = (float)(adapter - 1 + 1) * 0.5f;
        worn = jt_hash_bytes(adapter_number[adapter - 1].number, &scale, sizeof scale);
    }
    int keys = place_value(p, 3, position), at, rows = place_group(p, position, &at);
    jt_keys list = keys_of(keys);
    uint64_t mark = fake_mark(&t, tap ? 1 : 0, worn, layers ? &l : NULL, position);
    return fake_marked(id, fake_mark_keys(mark, &list, keys ? 1 : 0, rows, at));
}

static void place_check(jt_work *w, const jt_out *o, const struct place *p, const int32_t *more, int n_more) {
    int32_t path[FAKE_CONTEXT + TREE];
    jt_dist *d = jt_work_raw(w, o);
    if (!d) return;
    for (int k = 0; k < p->n; k++) path[k] = place_node(p, p->id[k], k);
    for (int k = 0; k < n_more; k++) path[p->n + k] = place_node(p, more[k], p->n + k);
    assert_int_equal(o->position, p->n + n_more);
    for (int32_t id = 0; id < FAKE_VOCAB; id += 20) assert_true(jt_dist_logit(d, id) == fake_logit(path, p->n + n_more, id));
}

static void place_set(jt_work *w, struct program *s, int a) {
    struct place *p = &s->place[a];
    int kind = (int)(pick(s, 20) % KINDS), from = (int)(pick(s, 21) % (uint64_t)(p->n + 12)), value = (int)(pick(s, 22) % 4);
    jt_tap t = tap_of(value);
    jt_layers l = layers_of(value);
    for (int k = from; k < FAR; k++) p->event[kind][k].value = -1;
    if (kind == GROUP) value *= 3;
    p->event[kind][from] = (struct event){value, p->n, p->n};
    if (kind == 0) jt_work_taps(w, (jt_slot)a, from, &t, value ? 1 : 0);
    if (kind == 1) jt_work_adapter(w, (jt_slot)a, from, value ? adapter_name[value - 1] : NULL, 0.5f);
    if (kind == 2) jt_work_layers(w, (jt_slot)a, from, value ? &l : NULL);
    jt_keys list = keys_of(value % 4);
    if (kind == 3) jt_work_keys(w, (jt_slot)a, from, &list, value ? 1 : 0);
    if (kind == GROUP) jt_work_group(w, (jt_slot)a, from, value);
}

static void place_cut(struct place *p, int n) {
    p->n = n;
    for (int kind = 0; kind < KINDS; kind++)
        for (int k = n + 1; k < FAR; k++)
            if (p->event[kind][k].made > n) p->event[kind][k].value = -1;
    for (int k = 0; k < FAR; k++)
        if (p->event[GROUP][k].end > n) p->event[GROUP][k].end = n;
}

/* No taps, keys or adapter change over the tree. */
static bool place_even(const struct place *p) {
    for (int kind = 0; kind < GROUP; kind++)
        for (int k = p->n + 1; kind != 2 && k <= p->n + TREE; k++)
            if (p->event[kind][k].value >= 0) return false;
    return true;
}

static const int tree_up[TREE] = {JT_LAST, 0, JT_LAST, 1, 2};
static int32_t tree_id(int k) { return 'a' + 3 * k; }
static int tree_path(int node, int32_t *id) {
    int n = 0, at[TREE];
    for (int k = node; k >= 0; k = tree_up[k]) at[n++] = k;
    for (int k = 0; k < n; k++) id[k] = tree_id(at[n - 1 - k]);
    return n;
}

static jt_status program_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct program *s = state;
    (void)par;
    JT_BEGIN(s);
    s->place[0].used = true, s->place[0].n = 5;
    memcpy(s->place[0].id, hello, sizeof hello);
    for (int i = 0; i < PLACES; i++)
        for (int kind = 0; kind < KINDS; kind++)
            for (int k = 0; k < FAR; k++) s->place[i].event[kind][k].value = -1;
    place_set(w, s, 0);
    for (s->step = 1; s->step < PROGRAM; s->step++) {
        s->tree = s->place[0].used && place_even(&s->place[0]) && pick(s, 40) % 2;
        for (int i = 0; i < PLACES; i++)
            if (s->place[i].used) jt_work_next(w, (jt_slot)i);
        for (int k = 0; k < TREE && s->tree; k++)
            jt_work_rows(w, &(jt_row){.slot = 0, .parent = tree_up[k], .id = tree_id(k), .want = JT_WANT_DIST}, 1);
        JT_AWAIT(s);
        for (int k = 0; k < r->n_out; k++) {
            const jt_out *o = &r->out[k];
            int32_t more[TREE];
            place_check(w, o, &s->place[o->slot], more, tree_path(o->node, more));
            if (w->status != JT_OK) return JT_OK;
        }
        if (s->tree && pick(s, 41) % 2) {
            const jt_out *o = &r->out[r->n_out - 1 - (int)(pick(s, 42) % TREE)];
            int32_t more[TREE];
            int n = tree_path(o->node, more);
            jt_work_keep(w, o);
            for (int k = 0; k < n; k++) s->place[0].id[s->place[0].n++] = more[k];
            program_trees++;
        }
        for (int i = 0; i < PLACES; i++) {
            jt_decision made = {.id = (int32_t)(pick(s, 60 + i) % 26 + 'a'), .position = s->place[i].n};
            if (!s->place[i].used || pick(s, 50 + i) % 4 == 0 || s->place[i].n > FAKE_CONTEXT - 15) continue;
            jt_work_push(w, (jt_slot)i, &made);
            s->place[i].id[s->place[i].n++] = made.id;
        }
        {
            int a = (int)(pick(s, 1) % PLACES), b = (int)(pick(s, 2) % PLACES), what = (int)(pick(s, 3) % 5);
            struct place *p = &s->place[a];
            if (what == 0 && p->used && a != b) jt_work_fork(w, (jt_slot)b, (jt_slot)a, s->step), s->place[b] = *p;
            if (what == 1 && p->used && a) jt_work_drop(w, (jt_slot)a), p->used = false;
            if (what == 2 && p->used) {
                int n = 5 + (int)(pick(s, 4) % (uint64_t)(p->n - 4));
                jt_work_truncate(w, (jt_slot)a, n);
                place_cut(p, n);
                if (pick(s, 5) % 2) {
                    jt_work_push(w, (jt_slot)a, &(jt_decision){.id = 'q', .position = n});
                    p->id[p->n++] = 'q';
                }
            }
            if (what > 2 && p->used) place_set(w, s, a);
        }
    }
    JT_END(w);
}

static const jt_method program = {
    .name = "program", .kind = JT_STRATEGY, .state_size = sizeof(struct program), .strategy = {.advance = program_advance}};

static void every_row_has_the_attributes_of_its_position(void **state) {
    (void)state;
    static told t;
    fake f;
    fake_make(&f);
    program_trees = 0;
    for (program_seed = 0; program_seed < 120; program_seed++) {
        run_coloured(&f, "program", 0, &t);
        if (t.reason == JT_END_ERROR) fail_msg("program %d: %s", (int)program_seed, t.message);
    }
    assert_true(program_trees > 100);
    fake_free(&f);
}

/* ---- children, followers and requests ---- */

struct once {
    int at, seen;
    int32_t last;
};

/* The child writes six tokens, the last three of them with "green". */
static jt_status late_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct once *s = state;
    (void)par;
    JT_BEGIN(s);
    jt_work_adapter(w, JT_MAIN, 7, "green", 1);
    jt_work_child(w, JT_MAIN, 2);
    JT_AWAIT(s);
    jt_work_fork(w, 1, JT_MAIN, -1);
    jt_work_adapter(w, 1, 0, NULL, 1); /* the fork alone goes on without, from the prompt on */
    jt_work_child(w, JT_MAIN, 0);
    jt_work_child(w, 1, 0);
    JT_AWAIT(s);
    for (int i = 0; i < r->n_child; i++) jt_work_yield(w, r->child[i].slot, i, NULL, 0);
    JT_END(w);
}

static const jt_method late = {.name = "late",
                               .kind = JT_STRATEGY,
                               .state_size = sizeof(struct once),
                               .strategy = {.advance = late_advance, .inner = true, .many = true}};

/* The main slot decides where its follower on the same model, which has another adapter, agrees. */
static jt_status agree_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct once *s = state;
    (void)par;
    JT_BEGIN(s);
    jt_work_follow(w, 1, NULL, JT_MAIN);
    jt_work_adapter(w, 1, 3, "blue", 1);
    for (;;) {
        jt_work_next(w, JT_MAIN);
        jt_work_next(w, 1);
        JT_AWAIT(s);
        {
            jt_decision a = jt_work_best(w, &r->out[s->seen++ % 2]);
            jt_work_push(w, JT_MAIN, &a);
            jt_work_emit(w, &a);
        }
    }
    JT_END(w);
}

static const jt_method agree = {
    .name = "agree", .kind = JT_STRATEGY, .state_size = sizeof(struct once), .strategy = {.advance = agree_advance}};

/* The likeliest token after ids[0..n), of which those in [first, end) were made with the adapter. */
static int32_t greedy_after(const int32_t *ids, int n, int adapter, int first, int end) {
    int32_t path[FAKE_CONTEXT], best = 0;
    float scale = (float)(adapter + 1);
    uint64_t worn = jt_hash_bytes(adapter_number[adapter].number, &scale, sizeof scale);
    for (int k = 0; k < n; k++) path[k] = k >= first && k < end ? fake_marked(ids[k], fake_mark(NULL, 0, worn, NULL, k)) : ids[k];
    for (int32_t id = 1; id < FAKE_VOCAB; id++)
        if (fake_logit(path, n, id) > fake_logit(path, n, best)) best = id;
    return best;
}

static void children_followers_and_requests_have_theirs(void **state) {
    (void)state;
    static told t[4];
    int32_t ids[FAKE_CONTEXT];
    fake f;
    fake_make(&f);
    run_coloured(&f, "late > greedy", 6, t);
    if (t->reason == JT_END_ERROR) fail_msg("%s", t->message);
    for (int i = 0; i < 2; i++) {
        memcpy(ids, hello, sizeof hello);
        for (int k = 0; k < 6; k++) {
            ids[5 + k] = greedy_after(ids, 5 + k, 1, i && k >= 2 ? 99 : 7, 99);
            assert_int_equal(t->a[i].id[k], ids[5 + k]);
        }
    }
    run_coloured(&f, "agree", 8, t);
    memcpy(ids, hello, sizeof hello);
    for (int k = 0; k < 8; k++) {
        ids[5 + k] = greedy_after(ids, 5 + k, 2, k % 2 ? 3 : 99, 99);
        assert_int_equal(t->a[0].id[k], ids[5 + k]);
    }
    /* Requests with an adapter of their own, together. */
    jt_driver *d = coloured(&f);
    jt_job job[4];
    jt_error err;
    for (int i = 0; i < 4; i++) {
        jt_request r = request_of(NULL, 0, 8);
        if (i < 3) r.adapter = adapter_name[i];
        assert_int_equal(jt_driver_submit(d, &r, &job[i], &err), JT_OK);
    }
    finish_all(d, job, t, 4);
    for (int i = 0; i < 4; i++) {
        memcpy(ids, hello, sizeof hello);
        for (int k = 0; k < 8; k++) {
            ids[5 + k] = greedy_after(ids, 5 + k, i % 3, i < 3 ? 0 : 99, 99);
            assert_int_equal(t[i].a[0].id[k], ids[5 + k]);
        }
    }
    jt_request r = request_of(NULL, 0, 8);
    r.adapter = "gren";
    assert_int_equal(jt_driver_submit(d, &r, job, &err), JT_UNKNOWN);
    assert_non_null(strstr(err.message, "adapter \"gren\" is unknown; the nearest is \"green\""));
    r.adapter = "red", r.adapter_scale = INFINITY;
    assert_int_equal(jt_driver_submit(d, &r, job, &err), JT_INVALID);
    assert_int_equal(jt_driver_know(d, "red", 0, &(jt_wear){&adapter_number[0], 1}, &err), JT_INVALID);
    assert_int_equal(jt_driver_know(d, "", 0, &(jt_wear){&adapter_number[0], 1}, &err), JT_INVALID);
    jt_driver_free(d);
    fake_free(&f);
}

/* ---- captures ---- */

static int captured_total, captured_level; /* of what each level is given */
static int32_t captured_ids[64];

/* Reads its own rows, the prompt's from position 3 on and all that it writes. */
static jt_status watch_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    static const jt_tap t = {.site = "residual", .op = JT_TAP_CAPTURE, .layer_first = 2, .layer_end = 3, .row_first = 3, .tag = 7};
    struct once *s = state;
    (void)par;
    JT_BEGIN(s);
    s->last = 3;
    jt_work_taps(w, JT_MAIN, 0, &t, 1);
    for (;;) {
        jt_work_child(w, JT_MAIN, 2);
        JT_AWAIT(s);
        for (int k = 0; k < r->n_captured; k++) {
            const jt_captured *c = &r->captured[k];
            assert_true(c->slot == JT_MAIN && c->node == -1 && c->layer == 2 && c->tag == 7 && c->width == 2);
            assert_int_equal(c->position, s->last++);
            assert_true(c->x[1] == (float)c->position + 1);
            captured_ids[c->position] = (int32_t)c->x[0], captured_total++;
        }
        captured_level += w->i->level;
        if (r->child->why) {
            jt_work_yield(w, JT_MAIN, 0, NULL, 0);
            jt_work_done(w, JT_END_STOP);
            return JT_OK;
        }
    }
    JT_END(w);
}

/* Is given nothing: the taps are another's. */
static jt_status blind_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct once *s = state;
    (void)par;
    assert_int_equal(r->n_captured, 0);
    JT_BEGIN(s);
    jt_work_child(w, JT_MAIN, 0);
    JT_AWAIT(s);
    jt_work_yield(w, JT_MAIN, 0, NULL, 0);
    JT_END(w);
}

/* A tree of three rows, two of them captured; then too much. */
static jt_status greedy_eye_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    static const jt_tap t[2] = {{.site = "residual", .op = JT_TAP_CAPTURE, .row_first = 6, .tag = 1},
                                {.site = "residual", .op = JT_TAP_CAPTURE, .row_first = 5, .row_end = 6, .tag = 2}};
    struct once *s = state;
    (void)par;
    JT_BEGIN(s);
    jt_work_taps(w, JT_MAIN, 5, t, 2);
    for (int k = 0; k < 3; k++)
        jt_work_rows(w, &(jt_row){.slot = 0, .parent = k == 1 ? 0 : JT_LAST, .id = 'x' + k, .want = JT_WANT_ENTROPY}, 1);
    JT_AWAIT(s);
    assert_int_equal(r->n_captured, 3);
    assert_true(r->captured[0].node == 0 && r->captured[0].position == 5 && r->captured[0].tag == 2 && r->captured[0].x[0] == 'x');
    assert_true(r->captured[1].node == 2 && r->captured[1].position == 5 && r->captured[1].tag == 2 && r->captured[1].x[0] == 'z');
    assert_true(r->captured[2].node == 1 && r->captured[2].position == 6 && r->captured[2].tag == 1 && r->captured[2].x[0] == 'y');
    JT_END(w);
}

static const jt_method eyes[] = {
    {.name = "watch", .kind = JT_STRATEGY, .state_size = sizeof(struct once), .strategy = {.advance = watch_advance, .inner = true}},
    {.name = "blind", .kind = JT_STRATEGY, .state_size = sizeof(struct once), .strategy = {.advance = blind_advance, .inner = true}},
    {.name = "eye", .kind = JT_STRATEGY, .state_size = sizeof(struct once), .strategy = {.advance = greedy_eye_advance}},
};

static void captures_reach_who_set_the_taps(void **state) {
    (void)state;
    static told t, plain;
    static const char *const text[] = {"watch > sample", "blind > watch > sample", "watch > blind > sample",
                                       "watch > blind > blind > sample"};
    fake f;
    fake_make(&f);
    run_coloured(&f, "sample", 11, &plain);
    for (int i = 0; i < 4; i++) {
        captured_total = captured_level = 0;
        run_coloured(&f, text[i], 11, &t);
        if (t.reason == JT_END_ERROR) fail_msg("%s", t.message);
        same_said(&t.a[0], &plain.a[0]);
        assert_int_equal(captured_total, 5 + 10 - 3); /* the last token is never evaluated */
        assert_true((captured_level > 0) == (i == 1));
        for (int k = 3; k < 15; k++) assert_int_equal(captured_ids[k], k < 5 ? hello[k] : plain.a[0].id[k - 5]);
    }
    run_coloured(&f, "eye", 4, &t);
    if (t.reason == JT_END_ERROR) fail_msg("%s", t.message);
    fake_free(&f);
}

/* ---- refusals ---- */

static int refusal;
static jt_status refused_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    static const jt_tap t = {.site = "residul", .op = JT_TAP_CAPTURE};
    (void)par, (void)state, (void)r;
    if (refusal == 0) jt_work_taps(w, JT_MAIN, 0, &t, 1);
    if (refusal == 1) jt_work_taps(w, JT_MAIN, -1, &t, 0);
    if (refusal == 2) jt_work_taps(w, JT_MAIN, 0, &t, -1);
    if (refusal == 3) jt_work_adapter(w, JT_MAIN, 0, "rad", 1);
    if (refusal == 4) jt_work_adapter(w, JT_MAIN, 0, "red", NAN);
    if (refusal == 5) jt_work_layers(w, 4, 0, NULL);
    if (refusal == 6) {
        jt_work_adapter(w, JT_MAIN, 6, "red", 1);
        jt_work_rows(w, &(jt_row){.slot = 0, .parent = JT_LAST, .id = 1}, 1);
        jt_work_rows(w, &(jt_row){.slot = 0, .parent = 0, .id = 1, .want = JT_WANT_DIST}, 1);
    }
    if (refusal == 7) jt_work_group(w, JT_MAIN, 0, -1);
    if (refusal == 8) jt_work_group(w, JT_MAIN, 0, 65);
    if (refusal == 9) jt_work_keys(w, JT_MAIN, 0, NULL, -1);
    if (refusal == 10) jt_work_keys(w, JT_MAIN, 0, &(jt_keys){.depth = key_depth, .position = key_depth, .n = 4}, 1);
    jt_work_next(w, JT_MAIN);
    return JT_OK;
}

static const jt_method refused = {.name = "refused", .kind = JT_STRATEGY, .state_size = 8, .strategy = {.advance = refused_advance}};

static void what_is_wrong_ends_the_job_by_name(void **state) {
    (void)state;
    static told t;
    static const char *const say[] = {"strategy refused: the fake has no such site",
                                      "sets an attribute of slot 0 from position -1 on",
                                      "strategy refused: -1 taps",
                                      "adapter \"rad\" is unknown; the nearest is \"red\"",
                                      "scale of adapter \"red\" is not finite",
                                      "uses slot 4, which is empty",
                                      "a tree over position 6, where the slot's taps, keys or adapter change",
                                      "strategy refused: groups of -1 inputs",
                                      "strategy refused: groups of 65 inputs; they are evaluated together, and ubatch is 64: raise it",
                                      "strategy refused: -1 lists of keys",
                                      "strategy refused: the fake has no such keys"};
    static const jt_method raw = {.name = "raw", .kind = JT_STRATEGY, .needs = JT_NEEDS_RAW_KEYS, .strategy = {.advance = refused_advance}};
    fake f;
    fake_make(&f);
    for (refusal = 0; refusal < 11; refusal++) {
        run_coloured(&f, "refused", 4, &t);
        assert_int_equal(t.reason, JT_END_ERROR);
        if (!strstr(t.message, say[refusal])) fail_msg("%d: %s", refusal, t.message);
    }
    jt_methods *with = NULL;
    jt_error err;
    jt_job job;
    assert_int_equal(jt_methods_new(&with, NULL), JT_OK);
    assert_int_equal(jt_methods_add(with, &raw, NULL), JT_OK);
    f.ev.open_raw = NULL;
    jt_driver *d = driver_of(&f);
    jt_pipeline *p = parse_with("raw", with);
    jt_request r = request_of(p, 0, 4);
    assert_int_equal(jt_driver_submit(d, &r, &job, &err), JT_UNSUPPORTED);
    assert_non_null(strstr(err.message, "strategy raw needs raw keys, which a model of this driver cannot keep"));
    jt_driver_free(d);
    jt_pipeline_free(p);
    jt_methods_free(with);
    fake_free(&f);
}

/* ---- little memory, and cancelling ---- */

static void failures_and_cancels_are_clean(void **state) {
    (void)state;
    static const char *const text[] = {"program", "late > sample", "watch > blind > sample", "agree"};
    static told want, plain, t[2];
    fake f;
    fake_make(&f);
    program_seed = 3;
    for (int i = 0; i < 4; i++) {
        jt_pipeline *p = parse_with(text[i], mine);
        jt_request r = request_of(p, 2, 9), q = request_of(NULL, 0, 5);
        int failed = 0;
        q.adapter = "red";
        for (long at = -1;; at++) {
            jt_job job[2] = {0};
            jt_error err;
            jt_driver *d = coloured(&f);
            if (at >= 0) alloc_fail_at(at);
            (void)jt_driver_submit(d, &r, &job[0], &err);
            (void)jt_driver_submit(d, &q, &job[1], &err);
            finish_all(d, job, t, 2);
            long asked = alloc_count();
            alloc_fail_at(-1);
            jt_driver_free(d);
            assert_int_equal(f.open, 0);
            if (at < 0) {
                want = t[0], plain = t[1];
                if (t[0].reason == JT_END_ERROR) fail_msg("%s", t[0].message);
                continue;
            }
            for (int k = 0; k < 2; k++) {
                if (!job[k]) continue;
                if (t[k].reason != JT_END_ERROR)
                    assert_memory_equal(&t[k], k ? &plain : &want, sizeof want);
                else if (!strstr(t[k].message, "out of memory"))
                    fail_msg("%s", t[k].message);
                failed += t[k].reason == JT_END_ERROR;
            }
            if (asked <= at) break;
        }
        assert_true(failed > 5);
        for (int after = 0; after < 12; after++) {
            jt_driver *d = coloured(&f);
            jt_job job[2];
            assert_int_equal(jt_driver_submit(d, &r, &job[0], NULL), JT_OK);
            assert_int_equal(jt_driver_submit(d, &q, &job[1], NULL), JT_OK);
            for (int k = 0; k < after; k++) jt_driver_round(d);
            jt_driver_cancel(d, job[0]);
            if (after % 2) {
                finish_all(d, job, t, 2);
                assert_memory_equal(&t[1], &plain, sizeof plain);
            }
            jt_driver_free(d);
            assert_int_equal(f.open, 0);
        }
        jt_pipeline_free(p);
    }
    fake_free(&f);
}

static int setup(void **state) {
    (void)state;
    if (jt_methods_new(&mine, NULL) != JT_OK) return 1;
    const jt_method *const all[] = {&program, &late, &agree, &eyes[0], &eyes[1], &eyes[2], &refused};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (jt_methods_add(mine, all[i], NULL) != JT_OK) return 1;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    jt_methods_free(mine);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_has_the_attributes_of_its_position),
        cmocka_unit_test(children_followers_and_requests_have_theirs),
        cmocka_unit_test(captures_reach_who_set_the_taps),
        cmocka_unit_test(what_is_wrong_ends_the_job_by_name),
        cmocka_unit_test(failures_and_cancels_are_clean),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
