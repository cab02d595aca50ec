/* The text of slots, byte spans, and slots whose prompt is a conversation written anew: they answer as a request with that
 * prompt does. */
#include "harness.h"

static const char chatml[] =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
static jt_methods *mine;
static fake chat;
static struct jt_adapter red = {7};

static const jt_message talk[] = {{"system", "be \xc3\xa4"}, {"user", "the abc"}};
static const jt_message more[] = {{"system", "be \xc3\xa4"}, {"user", "the abc"}, {"assistant", "no"}, {"user", "quote"}};
enum { TALK = 2, MORE = 4 };

static void ids_of(const jt_message *m, int n, jt_tokens *t, int32_t *ids) {
    jt_error err;
    t->n = 0;
    if (jt_chat_encode(chat.tokenizer, m, n, 1, t, &err) != JT_OK) fail_msg("%s", err.message);
    for (size_t i = 0; i < t->n; i++) ids[i] = t->t[i].id;
}

/* A stage that proves its prompt and the decisions since, whichever slot it runs on. */
struct proof {
    int prompt;
    uint64_t sum;
};
static jt_status proof_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    struct proof *s = state;
    (void)par, (void)err;
    s->prompt = u->n_prompt;
    s->sum = jt_hash_bytes(1, u->prompt, (size_t)u->n_prompt * sizeof *u->prompt);
    return JT_OK;
}
static jt_status proof_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct proof *p = state;
    int n;
    const int32_t *ids = jt_step_history(s, &n);
    uint64_t sum = jt_hash_bytes(1, ids, (size_t)p->prompt * sizeof *ids);
    (void)par, (void)d;
    assert_int_equal(jt_step_prompt(s), p->prompt);
    for (int i = p->prompt; i < n; i++) sum = jt_hash_u64(sum, (uint64_t)ids[i]);
    assert_true(sum == p->sum);
    return JT_OK;
}
static void proof_push(const void *par, void *state, const jt_decision *made, jt_step *s) {
    (void)par, (void)s;
    ((struct proof *)state)->sum = jt_hash_u64(((struct proof *)state)->sum, (uint64_t)made->id);
}
static const jt_method proof = {.name = "proof",
                                .kind = JT_STAGE,
                                .needs = JT_NEEDS_HISTORY,
                                .state_size = sizeof(struct proof),
                                .open = proof_open,
                                .stage = {.run = proof_run, .push = proof_push}};

struct ask {
    int at, prompt;
};

/* Checks the slot's text against its tokens' bytes, and every span of it. */
static void check_text(const jt_work *w, jt_slot slot) {
    static char text[4096], part[4096];
    int n = jt_work_length(w, slot);
    size_t all = jt_work_text(w, slot, 0, n, text, sizeof text);
    assert_true(all == strlen(text) && jt_work_byte(w, slot, n) == all && jt_work_byte(w, slot, 0) == 0);
    assert_true(jt_work_text(w, slot, 0, n, part, 5) == all && !strncmp(part, text, 4) && !part[4]);
    for (int p = 0; p < n; p++) {
        size_t from = jt_work_byte(w, slot, p), to = jt_work_byte(w, slot, p + 1);
        int first, end;
        assert_true(jt_work_text(w, slot, p, p + 1, part, sizeof part) == to - from && !memcmp(part, text + from, to - from));
        for (size_t b = from; b < to; b++) {
            jt_work_span(w, slot, b, b + 1, &first, &end);
            assert_true(first == p && end == p + 1);
        }
        jt_work_span(w, slot, 0, to, &first, &end);
        assert_true(first == 0 && end == p + 1);
    }
}

/* Asks with one message more in a slot of its own, then goes on with the request's own prompt. */
static jt_status ask_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct ask *s = state;
    int n;
    const jt_message *m = jt_work_messages(w, &n);
    (void)par, (void)r;
    assert_true(n == TALK && !strcmp(m[0].content, talk[0].content) && !strcmp(m[1].role, "user"));
    JT_BEGIN(s);
    {
        jt_message again[MORE] = {m[0], m[1], more[2], more[3]};
        char text[200];
        jt_work_open(w, 1, again, MORE, 5);
        if (w->status != JT_OK) return JT_OK;
        s->prompt = jt_work_prompt(w, 1);
        assert_int_equal(jt_work_length(w, 1), s->prompt);
        assert_true(jt_work_text(w, 1, 0, s->prompt, text, sizeof text) < sizeof text);
        assert_string_equal(text, "<|im_start|>system\nbe \xc3\xa4<|im_end|>\n<|im_start|>user\nthe abc<|im_end|>\n"
                                  "<|im_start|>assistant\nno<|im_end|>\n<|im_start|>user\nquote<|im_end|>\n<|im_start|>assistant\n");
        check_text(w, 1);
        jt_work_fork(w, 2, 1, 6);
        jt_work_child(w, 1, 6);
        jt_work_child(w, 2, 0);
    }
    JT_AWAIT(s);
    check_text(w, 1);
    assert_int_equal(jt_work_prompt(w, 1), s->prompt);
    assert_int_equal(jt_work_length(w, 1), s->prompt + r->child[0].tokens);
    if (!r->child[0].why) jt_work_truncate(w, 1, s->prompt + 3); /* the child begins anew from there */
    jt_work_child(w, 0, 0);
    if (!r->child[0].why) jt_work_child(w, 1, 0);
    JT_AWAIT(s);
    for (int i = 0; i < 3; i++) jt_work_yield(w, (jt_slot)i, i, NULL, 0);
    JT_END(w);
}

/* Rows of the slot itself, and of one that follows now the one prompt and now the other. */
static jt_status rows_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct ask *s = state;
    (void)par;
    JT_BEGIN(s);
    jt_work_open(w, 1, more, MORE, 0);
    jt_work_follow(w, 2, NULL, 1);
    for (s->prompt = 0; s->prompt < 8; s->prompt++) {
        jt_work_next(w, 1);
        jt_work_next(w, 2);
        JT_AWAIT(s);
        {
            jt_decision a = jt_work_best(w, &r->out[0]), b = jt_work_best(w, &r->out[1]);
            if (w->status != JT_OK) return JT_OK;
            assert_true(a.id == b.id && a.position == b.position && a.raw_logprob == b.raw_logprob);
            jt_work_push(w, 1, &a);
        }
        if (s->prompt == 3) jt_work_swap(w, 0, 1), jt_work_fork(w, 3, 0, -1); /* slot 1 is the request's own now */
        if (s->prompt == 5) jt_work_swap(w, 0, 1);
    }
    jt_work_yield(w, 1, 0, NULL, 0);
    jt_work_yield(w, 0, 1, NULL, 0);
    JT_END(w);
}

static int refusal;
static jt_status refused_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    static const jt_message none = {"user", NULL};
    static char long_text[300];
    (void)par, (void)state, (void)r;
    memset(long_text, 'x', sizeof long_text - 1);
    if (refusal == 0) jt_work_open(w, 1, &none, 1, 0);
    if (refusal == 1) jt_work_open(w, 1, &(jt_message){"user", long_text}, 1, 0);
    if (refusal == 2) jt_work_open(w, -1, talk, TALK, 0);
    if (refusal == 3) jt_work_open(w, 1, talk, TALK, 0), jt_work_truncate(w, 1, 3);
    jt_work_next(w, JT_MAIN);
    return JT_OK;
}

static const jt_method rows[] = {
    {.name = "ask",
     .kind = JT_STRATEGY,
     .state_size = sizeof(struct ask),
     .strategy = {.advance = ask_advance, .inner = true, .many = true}},
    {.name = "rows", .kind = JT_STRATEGY, .state_size = sizeof(struct ask), .strategy = {.advance = rows_advance, .many = true}},
    {.name = "refused", .kind = JT_STRATEGY, .state_size = 8, .strategy = {.advance = refused_advance}},
};

static jt_driver *red_driver(void) {
    jt_driver *d = driver_of(&chat);
    assert_int_equal(jt_driver_know(d, "red", 0, &(jt_wear){&red, 1}, NULL), JT_OK);
    return d;
}

static void run_ids(const char *text, const int32_t *ids, size_t n, int tokens, const char *adapter, told *t) {
    jt_driver *d = red_driver();
    jt_pipeline *p = parse_with(text, mine);
    jt_request r = request_of(p, 3, tokens);
    r.prompt = ids, r.n_prompt = n, r.messages = talk, r.n_messages = TALK, r.adapter = adapter;
    run_request(d, &r, t);
    jt_driver_free(d);
    jt_pipeline_free(p);
    assert_int_equal(chat.open, 0);
}

static void opened_slots_answer_as_requests(void **state) {
    (void)state;
    static told t, own, other;
    static const char *const stages[] = {"", " | proof", " | repeat-penalty:1.3,scope=output | proof", " | dry:0.6,allowed=1 | proof"};
    jt_tokens tokens = {0};
    int32_t a[200], b[200];
    ids_of(talk, TALK, &tokens, a);
    size_t n = tokens.n;
    ids_of(more, MORE, &tokens, b);
    for (int i = 0; i < 8; i++) {
        char text[90];
        const char *adapter = i >= 4 ? "red" : NULL;
        snprintf(text, sizeof text, "greedy%s", stages[i % 4]);
        run_ids(text, a, n, 15, adapter, &own);
        run_ids(text, b, tokens.n, 15, adapter, &other);
        snprintf(text, sizeof text, "ask > greedy%s", stages[i % 4]);
        run_ids(text, a, n, 15, adapter, &t);
        if (t.reason == JT_END_ERROR) fail_msg("%s", t.message);
        same_said(&t.a[0], &own.a[0]);
        for (int k = 1; k < 3; k++) same_said(&t.a[k], &other.a[0]);
        if (adapter) continue; /* the follower has attributes of its own */
        snprintf(text, sizeof text, "rows%s", stages[i % 4]);
        run_ids(text, a, n, 15, adapter, &t);
        if (t.reason == JT_END_ERROR) fail_msg("%s", t.message);
        assert_int_equal(t.a[0].n + t.a[1].n, 8);
        assert_memory_equal(t.a[0].id, other.a[0].id, (size_t)t.a[0].n * sizeof(int32_t));
        assert_memory_equal(t.a[1].id, own.a[0].id, (size_t)t.a[1].n * sizeof(int32_t));
    }
    jt_tokens_free(&tokens);
}

static void what_is_wrong_is_refused_by_name(void **state) {
    (void)state;
    static told t;
    static const char *const say[] = {"message 0 has no content", "the declared context has 200", "slot -1; a strategy has slots 0 to",
                                      "truncates slot 1 of"};
    int32_t ids[3] = {1, 2, 3};
    jt_error err;
    jt_job job;
    for (refusal = 0; refusal < 4; refusal++) {
        run_ids("refused", ids, 3, 4, NULL, &t);
        assert_int_equal(t.reason, JT_END_ERROR);
        if (!strstr(t.message, say[refusal])) fail_msg("%d: %s", refusal, t.message);
    }
    jt_driver *d = driver_of(&chat);
    jt_request r = request_of(NULL, 0, 3);
    const jt_message bad = {NULL, "x"};
    r.messages = &bad, r.n_messages = 1;
    assert_int_equal(jt_driver_submit(d, &r, &job, &err), JT_INVALID);
    assert_non_null(strstr(err.message, "message 0 has no role"));
    jt_driver_free(d);
    fake plain;
    fake_make(&plain);
    refusal = 3;
    run_text(&plain, "refused", mine, 0, 3, &t);
    assert_true(t.reason == JT_END_ERROR && strstr(t.message, "no chat template"));
    fake_free(&plain);
}

static void failed_allocations_are_clean(void **state) {
    (void)state;
    static told want, t;
    static const char *const text[] = {"ask > greedy | proof", "rows | proof"};
    int32_t ids[3] = {1, 2, 3};
    for (int i = 0; i < 2; i++) {
        jt_pipeline *p = parse_with(text[i], mine);
        jt_request r = request_of(p, 4, 9);
        r.prompt = ids, r.n_prompt = 3, r.messages = talk, r.n_messages = TALK, r.adapter = i ? NULL : "red";
        for (long at = -1;; at++) {
            jt_driver *d = red_driver();
            jt_job job = 0;
            if (at >= 0) alloc_fail_at(at);
            (void)jt_driver_submit(d, &r, &job, NULL);
            finish_all(d, &job, &t, 1);
            long asked = alloc_count();
            alloc_fail_at(-1);
            jt_driver_free(d);
            assert_int_equal(chat.open, 0);
            if (at < 0) want = t;
            if (at < 0) continue;
            if (job && t.reason != JT_END_ERROR) assert_memory_equal(&t, &want, sizeof t);
            if (t.reason == JT_END_ERROR && !strstr(t.message, "out of memory")) fail_msg("%s", t.message);
            if (asked <= at) break;
        }
        jt_pipeline_free(p);
    }
}

static int setup(void **state) {
    (void)state;
    fake_make(&chat);
    jt_tokenizer_free(chat.tokenizer);
    chat.tokenizer = fake_tokenizer(chatml), chat.ev.tokenizer = chat.tokenizer;
    if (jt_methods_new(&mine, NULL) != JT_OK || jt_methods_add(mine, &proof, NULL) != JT_OK) return 1;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (jt_methods_add(mine, &rows[i], NULL) != JT_OK) return 1;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    jt_methods_free(mine);
    fake_free(&chat);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opened_slots_answer_as_requests),
        cmocka_unit_test(what_is_wrong_is_refused_by_name),
        cmocka_unit_test(failed_allocations_are_clean),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
