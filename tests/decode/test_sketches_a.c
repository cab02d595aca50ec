/* AdaDec (arXiv 2506.08980), and SkipDecode (arXiv 2307.02628) and AutoPASTA (arXiv 2409.10790) as rows of one's own: each says
 * the greedy text where it is neutral, and else what an enumeration or a state evaluated by hand says. */
#include <unistd.h>

#include "harness.h"
#include "model/tiny_llama.h"

static jt_methods *mine;

/* ---- SkipDecode: later tokens run fewer layers ---- */

#define SKIPDECODE(X, T)                                                                                                                   \
    X(T, INT, length, JT_REQUIRED, JT_RANGE(1, 1048576), "tokens that the answer is planned to have")                                      \
    X(T, INT, max, 0, JT_RANGE(0, 256), "layers of the first token; 0: all")                                                               \
    X(T, INT, min, 0, JT_RANGE(0, 256), "layers of the last token; 0: a quarter")                                                          \
    X(T, INT, warm, 1, JT_RANGE(0, 8), "bottom layers that always run")
JT_PARAMS(skipdecode, SKIPDECODE)

struct skip {
    int at, all;
};

static jt_status skipdecode_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    (void)par, (void)err;
    ((struct skip *)state)->all = u->layers;
    return JT_OK;
}

static jt_layers active(int n, int warm, int all) {
    jt_layers s = {{0}};
    for (int l = 0; l < all; l++)
        if (l < warm || l >= all - (n - warm)) s.word[l / 64] |= 1ull << l % 64;
    return s;
}

static jt_status skipdecode_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    const struct skipdecode *a = par;
    struct skip *s = state;
    (void)r;
    JT_BEGIN(s);
    for (int g = 0, n, last = s->all; g < a->length; g++, last = n) {
        int high = a->max ? a->max : s->all, low = a->min ? a->min : s->all / 4;
        n = (int)floor(high - (double)(high - low) * g / (a->length > 1 ? a->length - 1 : 1) + .5);
        if (n != last) jt_work_layers(w, JT_MAIN, jt_work_prompt(w, JT_MAIN) + g, (jt_layers[]){active(n, a->warm, s->all)});
    }
    jt_work_child(w, JT_MAIN, 0);
    JT_AWAIT(s);
    jt_work_yield(w, JT_MAIN, 0, NULL, 0);
    JT_END(w);
}

/* ---- the profile of AutoPASTA: the heads that it turns ---- */

enum { PASTA_HEADS = 3 };
static const struct { int layer, head; } pasta_head[PASTA_HEADS] = {{0, 1}, {2, 0}, {2, 3}};

/* ---- AutoPASTA: some heads look at the sentence that the model quotes ---- */

enum { PASTA_QUOTE = 1, PASTA_TALK = 16, PASTA_TEXT = 1 << 16 };
#define AUTOPASTA(X, T)                                                                                                                    \
    X(T, REAL, alpha, 0.01, JT_RANGE(1e-3, 1), "weight of the rest of the prompt; 1 changes nothing")                                      \
    X(T, STAGES, quote, 0, JT_STAGES("top-k:1"), "stages of the quotation")                                                                \
    X(T, INT, limit, 128, JT_RANGE(1, 4096), "tokens of the quotation")                                                                    \
    X(T, INT, keep_sink, 0, JT_RANGE(0, 1), "1 spares the first token")
JT_PARAMS(autopasta, AUTOPASTA)

struct pasta {
    int at;
};

static void trigrams_mark(const char *a, size_t n, int bit, unsigned char in[4096]) {
    for (size_t i = 0; i + 2 < n; i++) in[(uint32_t)(a[i] * 961 + a[i + 1] * 31 + a[i + 2]) & 4095] |= (unsigned char)bit;
}

static double trigrams(const char *a, size_t na, const char *b, size_t nb) {
    unsigned char in[4096] = {0};
    int both = 0, any = 0;
    trigrams_mark(a, na, 1, in), trigrams_mark(b, nb, 2, in);
    for (int i = 0; i < 4096; i++) both += in[i] == 3, any += in[i] > 0;
    return any ? (double)both / any : 0;
}

/* The inputs of the prompt's sentence that is most like the quotation. */
static void pasta_find(jt_work *w, int *first, int *end) {
    char text[PASTA_TEXT], quote[4096];
    size_t from = 0, to = 0, nq = jt_work_text(w, PASTA_QUOTE, jt_work_prompt(w, PASTA_QUOTE), jt_work_length(w, PASTA_QUOTE), quote, 4096);
    double x, top = -1;
    jt_work_text(w, JT_MAIN, 0, jt_work_prompt(w, JT_MAIN), text, sizeof text);
    for (size_t i = 0, len; text[i]; i += len) {
        len = strcspn(text + i, ".!?\n") + 1, len -= !text[i + len - 1];
        if ((x = trigrams(text + i, len, quote, nq < 4095 ? nq : 4095)) > top) top = x, from = i, to = i + len;
    }
    jt_work_span(w, JT_MAIN, from, to, first, end);
}

static jt_status autopasta_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    const struct autopasta *a = par;
    struct pasta *s = state;
    (void)r;
    JT_BEGIN(s);
    {
        int n, k = 0;
        jt_message talk[PASTA_TALK + 1];
        for (const jt_message *m = jt_work_messages(w, &n); k < n && k < PASTA_TALK; k++) talk[k] = m[k];
        talk[k++] = (jt_message){"user", "Quote the one sentence of the passage that best supports the answer."};
        jt_work_open(w, PASTA_QUOTE, talk, k, 0);
        jt_work_stages(w, PASTA_QUOTE, &a->quote);
        jt_work_child(w, PASTA_QUOTE, a->limit);
    }
    JT_AWAIT(s);
    {
        int n = 0, edge[4] = {a->keep_sink, 0, 0, jt_work_prompt(w, JT_MAIN)};
        jt_tap tap[2 * PASTA_HEADS];
        pasta_find(w, &edge[1], &edge[2]);
        for (int i = 0; i < 2 * PASTA_HEADS; i++)
            if (edge[i % 2 * 2] < edge[i % 2 * 2 + 1])
                tap[n++] = (jt_tap){.site = "score",
                                    .op = JT_TAP_KEY_BIAS,
                                    .layer_first = pasta_head[i / 2].layer,
                                    .layer_end = pasta_head[i / 2].layer + 1,
                                    .value = (float)log(a->alpha),
                                    .key_first = edge[i % 2 * 2],
                                    .key_end = edge[i % 2 * 2 + 1],
                                    .heads = &pasta_head[i / 2].head,
                                    .n_heads = 1};
        jt_work_taps(w, JT_MAIN, 0, tap, a->alpha < 1 ? n : 0);
        jt_work_drop(w, PASTA_QUOTE);
        jt_work_child(w, JT_MAIN, 0);
    }
    JT_AWAIT(s);
    jt_work_yield(w, JT_MAIN, 0, NULL, 0);
    JT_END(w);
}

/* ---- AdaDec is what an enumeration finds ---- */

/* Indented lines, short enough that a look ahead often leaves them. */
static float code_logit(const int32_t *ids, int n, int32_t id) {
    float x = fake_logit(ids, n, id);
    if (id >= FAKE_WORDS) return -60;
    if (n == 5) return id == ' ' ? 40 : x;
    if (id == '\n' || id == ' ') return (float)(jt_hash_u64(jt_hash_bytes(9, ids, (size_t)n * sizeof *ids), (uint64_t)id) % 10000) / 950.0f;
    return id >= 'a' && id <= 'e' ? x : x - 15;
}

static bool left_by_hand(const int32_t *x, int n) {
    for (int i = 0; i < n; i++) {
        if ((!i || x[i - 1] == '\n') && !strchr("\n\t ", (int)x[i])) return true;
        if (i >= 4 && x[i] == '\n' && x[i - 1] == '\n' && x[i - 2] == '\n' && x[i - 3] == '\n' && x[i - 4] == '\n') return true;
    }
    return false;
}

/* ln p of all tokens after ids[0..n), and the entropy. */
static double lnp_by_hand(const int32_t *ids, int n, double *p) {
    double sum = 0, entropy = 0;
    for (int32_t id = 0; id < FAKE_VOCAB; id++) p[id] = (double)code_logit(ids, n, id), sum += exp(p[id]);
    for (int32_t id = 0; id < FAKE_VOCAB; id++) p[id] -= log(sum), entropy -= exp(p[id]) * p[id];
    return entropy;
}

static int32_t most(const double *p) {
    int32_t best = 0;
    for (int32_t id = 1; id < FAKE_VOCAB; id++)
        if (p[id] > p[best]) best = id;
    return best;
}

/* The answer by the paper's words; how often the choice was another than greedy's, and how often a look ahead was cut. */
static void ada_by_hand(double tau, int b, int len, int tokens, int32_t *answer, int *other, int *cut) {
    int32_t ids[FAKE_CONTEXT];
    double p[FAKE_VOCAB], q[FAKE_VOCAB];
    memcpy(ids, hello, sizeof hello);
    for (int n = 5; n < 5 + tokens; n++) {
        double entropy = lnp_by_hand(ids, n, p), top = -INFINITY;
        int32_t greedy = most(p), best = greedy;
        for (int i = 0; i < b && b > 1 && entropy >= tau; i++) {
            int used = 1;
            double sum;
            int32_t c = ids[n] = most(p);
            sum = p[c], p[c] = -INFINITY;
            while (used <= len && n - 5 + used < tokens && !left_by_hand(ids + 5, n - 5 + used)) {
                lnp_by_hand(ids, n + used, q);
                ids[n + used] = most(q), sum += q[ids[n + used]], used++;
            }
            *cut += used <= len;
            if (sum / used > top) top = sum / used, best = c;
        }
        *other += best != greedy;
        ids[n] = answer[n - 5] = best;
    }
}

static void adadec_is_the_enumerated_choice(void **state) {
    enum { SAID = 40 };
    static told t;
    static const double tau[] = {0, 0.8, 1e9};
    fake f;
    int others = 0, cuts = 0;
    (void)state;
    fake_make(&f);
    f.logit = code_logit;
    for (int i = 0; i < 3; i++)
        for (int b = 1; b < 5; b++)
            for (int len = 0; len < 7; len += 3) {
                int32_t want[SAID];
                char how[80];
                int other = 0;
                snprintf(how, sizeof how, "adadec:tau=%g,b=%d,len=%d,stop=code", tau[i], b, len);
                run_text(&f, how, mine, 1, SAID, &t);
                ada_by_hand(tau[i], b, len, SAID, want, &other, &cuts);
                assert_int_equal(t.a[0].n, SAID);
                if (memcmp(t.a[0].id, want, sizeof want) != 0) fail_msg("%s", how);
                if (b == 1 || !len || i == 2) {
                    told plain;
                    run_text(&f, "greedy", NULL, 1, SAID, &plain);
                    assert_string_equal(t.a[0].text, plain.a[0].text);
                    assert_memory_equal(t.a[0].raw, plain.a[0].raw, sizeof plain.a[0].raw);
                }
                others += other;
            }
    assert_true(others > 20 && cuts > 20);
    fake_free(&f);
}

/* ---- the others are a state evaluated by hand ---- */

enum { LAYERS = 6, TOKENS = 10, ROOM = 400 };
static const char chatml[] =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
static const jt_message talk = {"user", "one cat sat. two dogs ran! red fox hid? who hid"};
static jt_engine *engine;
static jt_model *model;
static jt_tokenizer *tokenizer;
static int32_t prompt[ROOM];
static int n_prompt;

static void ok(jt_status st, const jt_error *err) {
    if (st) fail_msg("%s: %s", jt_status_name(st), err->message);
}

static void real_run(const char *how, told *t) {
    jt_error err;
    jt_driver *d;
    jt_pipeline *p = parse_with(how, mine);
    ok(jt_driver_new(model, &d, &err), &err);
    d->model[0].ev.tokenizer = tokenizer;
    jt_request r = request_of(p, 1, TOKENS);
    r.prompt = prompt, r.n_prompt = (size_t)n_prompt, r.context = ROOM, r.messages = &talk, r.n_messages = 1;
    run_request(d, &r, t);
    if (t->reason == JT_END_ERROR) fail_msg("%s: %s", how, t->message);
    assert_int_equal(t->a[0].n, TOKENS);
    jt_driver_free(d);
    jt_pipeline_free(p);
}

/* Greedy on a state with these taps; token g is evaluated with the layers word[g]. */
static void real_by_hand(const jt_tap *tap, int n_tap, const uint64_t word[TOKENS], told *t) {
    jt_error err;
    jt_state *s;
    float x[FAKE_VOCAB];
    memset(t, 0, sizeof *t);
    ok(jt_state_new(model, ROOM, &s, &err), &err);
    ok(jt_state_set_taps(s, tap, n_tap, &err), &err);
    for (int g = -1; g < TOKENS - 1; g++) {
        jt_layers on = {{g < 0 ? 0 : word[g]}};
        double sum;
        jt_span span = {.state = s, .ids = g < 0 ? prompt : &t->a[0].id[g], .n = g < 0 ? n_prompt : 1, .layers = g < 0 ? NULL : &on};
        jt_want want = {.row = span.n - 1, .logits = x, .log_sum_exp = &sum};
        ok(jt_eval(model, &(jt_batch){.span = &span, .n_span = 1, .want = &want, .n_want = 1}, &err), &err);
        int32_t best = 0;
        for (int32_t id = 1; id < FAKE_VOCAB; id++)
            if (x[id] > x[best]) best = id;
        t->a[0].id[g + 1] = best, t->a[0].raw[g + 1] = (float)((double)x[best] - sum);
    }
    jt_state_free(s);
}

static void same_as_by_hand(const told *t, const told *want) {
    assert_memory_equal(t->a[0].id, want->a[0].id, TOKENS * sizeof *want->a[0].id);
    for (int k = 0; k < TOKENS; k++) assert_float_equal(t->a[0].raw[k], want->a[0].raw[k], 1e-6f);
}

static const uint64_t every[TOKENS] = {0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f};

static void skipdecode_runs_the_planned_layers(void **state) {
    /* Six layers to two in eight tokens: 6, 5.43, 4.86, 4.29, 3.71, 3.14, 2.57, 2, rounded; then it stays. */
    static const uint64_t plan[TOKENS] = {0x3f, 0x3d, 0x3d, 0x39, 0x39, 0x31, 0x31, 0x21, 0x21, 0x21};
    static told plain, t, want;
    (void)state;
    real_run("greedy", &plain);
    real_by_hand(NULL, 0, every, &want);
    same_as_by_hand(&plain, &want);
    real_run("skipdecode:length=8,min=6 > greedy", &t);
    same_said(&t.a[0], &plain.a[0]);
    real_run("skipdecode:length=8,min=2 > greedy", &t);
    real_by_hand(NULL, 0, plan, &want);
    same_as_by_hand(&t, &want);
    assert_memory_not_equal(t.a[0].raw, plain.a[0].raw, sizeof plain.a[0].raw);
}

/* A stage that leaves the next byte of a text alone. */
static const char *dictated;
static jt_status dictate_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    (void)par, (void)state;
    jt_dist_only(d, dictated[jt_step_position(s) - jt_step_prompt(s)]);
    return JT_OK;
}

static void autopasta_answers_with_the_quoted_sentence_in_sight(void **state) {
    static const char *const quote[] = {"a cat sat", "two dog ran", "red foxes hid"};
    static const int begin[] = {0, 12, 26, 39}, head[] = {1, 0, 3}, before = 6; /* <|im_start|>user\n */
    static told plain, t, want, all[3];
    (void)state;
    real_run("greedy", &plain);
    real_run("autopasta:alpha=1,limit=9 > greedy", &t);
    same_said(&t.a[0], &plain.a[0]);
    real_run("autopasta:limit=9 > sample | top-k:1", &t);
    assert_memory_not_equal(t.a[0].raw, plain.a[0].raw, sizeof plain.a[0].raw);
    for (int i = 0; i < 3; i++)
        for (int sink = 0; sink < 2; sink++) {
            jt_tap tap[6];
            char how[100];
            dictated = quote[i];
            for (int k = 0; k < 6; k++)
                tap[k] = (jt_tap){.site = "score",
                                  .op = JT_TAP_KEY_BIAS,
                                  .layer_first = k < 2 ? 0 : 2,
                                  .layer_end = k < 2 ? 1 : 3,
                                  .value = -4.60517019f,
                                  .heads = &head[k / 2],
                                  .n_heads = 1,
                                  .key_first = k % 2 ? before + begin[i + 1] : sink,
                                  .key_end = k % 2 ? n_prompt : before + begin[i]};
            snprintf(how, sizeof how, "autopasta:quote=(dictate),limit=%d,keep-sink=%d > greedy", (int)strlen(quote[i]), sink);
            real_run(how, &t);
            real_by_hand(tap, 6, every, &want);
            same_as_by_hand(&t, &want);
            assert_memory_not_equal(t.a[0].raw, all[0].a[0].raw, sizeof t.a[0].raw);
            if (!sink) all[i] = t;
        }
    assert_memory_not_equal(all[1].a[0].raw, all[2].a[0].raw, sizeof t.a[0].raw);
}

static const jt_method method[] = {{.name = "skipdecode",
                                    .kind = JT_STRATEGY,
                                    JT_PARAMETERS(skipdecode),
                                    .state_size = sizeof(struct skip),
                                    .open = skipdecode_open,
                                    .strategy = {.advance = skipdecode_advance, .inner = true}},
                                   {.name = "autopasta",
                                    .kind = JT_STRATEGY,
                                    .needs = JT_NEEDS_TOKENIZER,
                                    JT_PARAMETERS(autopasta),
                                    .state_size = sizeof(struct pasta),
                                    .strategy = {.advance = autopasta_advance, .inner = true}},
                                   {.name = "dictate", .kind = JT_STAGE, .stage = {.run = dictate_run}}};

static int setup(void **state) {
    (void)state;
    jt_error err;
    tiny_llama t = tiny_llama_of(JT_Q8_0);
    jt_model_options o = {.kv_type = JT_KV_F32};
    jt_tokens ids = {0};
    char path[] = "/tmp/jeton-sketches-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && close(fd) == 0);
    t.layers = LAYERS, t.vocab = FAKE_VOCAB;
    tiny_llama_write(path, &t);
    ok(jt_engine_new(NULL, &engine, &err), &err);
    ok(jt_model_open(engine, path, &o, &model, &err), &err);
    unlink(path);
    ok(jt_methods_new(&mine, &err), &err);
    for (size_t i = 0; i < sizeof method / sizeof *method; i++) ok(jt_methods_add(mine, &method[i], &err), &err);
    tokenizer = fake_tokenizer(chatml);
    ok(jt_chat_encode(tokenizer, &talk, 1, 1, &ids, &err), &err);
    for (size_t i = 0; i < ids.n; i++) prompt[n_prompt++] = ids.t[i].id;
    jt_tokens_free(&ids);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    jt_tokenizer_free(tokenizer);
    jt_methods_free(mine);
    jt_model_free(model);
    jt_engine_free(engine);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(adadec_is_the_enumerated_choice),
                                       cmocka_unit_test(skipdecode_runs_the_planned_layers),
                                       cmocka_unit_test(autopasta_answers_with_the_quoted_sentence_in_sight)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
