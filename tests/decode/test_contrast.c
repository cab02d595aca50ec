/* Decoding against another opinion: cfg, contrastive-decoding, dola, contrastive-search. Texts and random distributions against
 * transformers and torch (tests/fixtures/decode/make_contrast.py), and their own promises. */
#include "harness.h"

enum { MOST = 40, CASES = 1000, MODELS = 2 };

static jt_engine *engine;
static const char *const model_name[MODELS] = {"deep", "llama"};
static const char *const model_path[MODELS] = {FIXTURES "/decode/deep", FIXTURES "/hf-tiny/llama"};
static jt_model *model[MODELS], *amateur;

static void ok(jt_status st, const jt_error *err) {
    if (st) fail_msg("%s: %s", jt_status_name(st), err->message);
}

static int setup(void **state) {
    jt_error err;
    (void)state;
    ok(jt_engine_new(&(jt_engine_options){.threads = 1}, &engine, &err), &err);
    jt_model_options o = {.activations = JT_ACT_FLOAT, .kv_type = JT_KV_F32};
    for (int i = 0; i < MODELS; i++) ok(jt_model_open(engine, model_path[i], &o, &model[i], &err), &err);
    ok(jt_model_open(engine, FIXTURES "/decode/shallow", &o, &amateur, &err), &err);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (int i = 0; i < MODELS; i++) jt_model_free(model[i]);
    jt_model_free(amateur);
    jt_engine_free(engine);
    return 0;
}

static jt_driver *driver_on(int i) {
    jt_driver *d;
    jt_error err;
    ok(jt_driver_new(model[i], &d, &err), &err);
    if (i == 0) ok(jt_driver_add_model(d, "amateur", amateur, &err), &err);
    return d;
}

/* ---- texts ---- */

static int numbers(const char *s, double *x) {
    int n = 0;
    for (char *end; *s && *s != ';' && *s != '\n'; s = *end == ',' ? end + 1 : end) x[n++] = strtod(s, &end);
    return n;
}

struct line {
    int model, n_prompt, n;
    char how[400];
    int32_t prompt[MOST];
    double token[MOST], lnp[MOST], gap[MOST];
};

/* The next line: model;pipeline;prompt;tokens;ln p;gaps. A pipeline has no ';'. */
static bool read_line(FILE *f, struct line *l) {
    static char text[4096];
    double prompt[MOST];
    char *part[6] = {text};
    if (!fgets(text, sizeof text, f)) return false;
    for (int i = 1; i < 6; i++) {
        part[i] = strchr(part[i - 1], ';');
        assert_non_null(part[i]);
        *part[i]++ = 0;
    }
    l->model = strcmp(part[0], model_name[0]) != 0;
    assert_string_equal(part[0], model_name[l->model]);
    snprintf(l->how, sizeof l->how, "%s", part[1]);
    l->n_prompt = numbers(part[2], prompt);
    for (int i = 0; i < l->n_prompt; i++) l->prompt[i] = (int32_t)prompt[i];
    l->n = numbers(part[3], l->token);
    assert_int_equal(numbers(part[4], l->lnp), l->n);
    assert_int_equal(numbers(part[5], l->gap), l->n);
    return true;
}

static jt_request request_for(const struct line *l, const jt_pipeline *p) {
    return (jt_request){
        .prompt = l->prompt, .n_prompt = (size_t)l->n_prompt, .pipeline = p, .max_tokens = l->n, .ignore_end = 1, .context = 64};
}

static void texts_are_those_of_transformers(void **state) {
    static struct line l;
    static told t;
    int lines = 0, compared = 0, broken = 0;
    (void)state;
    FILE *f = fopen(FIXTURES "/decode/contrast.txt", "r");
    assert_non_null(f);
    while (read_line(f, &l)) {
        jt_driver *d = driver_on(l.model);
        jt_pipeline *p = parse_with(l.how, NULL);
        jt_request r = request_for(&l, p);
        int same = 0;
        run_request(d, &r, &t);
        if (t.reason != JT_END_LENGTH) fail_msg("%s: %s", l.how, t.message);
        while (same < l.n && t.a[0].id[same] == (int32_t)l.token[same]) {
            if (fabs((double)t.a[0].staged[same] - l.lnp[same]) > 5e-4 + 2e-4 * fabs(l.lnp[same]))
                fail_msg("%s on %s, token %d: ln p %g, not %g", l.how, model_name[l.model], same, (double)t.a[0].staged[same], l.lnp[same]);
            same++;
        }
        if (same < l.n && l.gap[same] > 1e-3)
            fail_msg("%s on %s: token %d is %d, not %d; the gap is %g", l.how, model_name[l.model], same, (int)t.a[0].id[same],
                     (int)l.token[same], l.gap[same]);
        lines++, compared += same, broken += same < l.n;
        jt_pipeline_free(p);
        jt_driver_free(d);
    }
    fclose(f);
    if (lines < 90 || broken * 10 > lines || compared < 14 * lines) fail_msg("%d lines, %d cut short, %d tokens", lines, broken, compared);
}

/* Alone, beside others in any order, with the prompt in pieces or found evaluated, with threads, and as branches: the same text. */
static void texts_do_not_depend_on_company(void **state) {
    enum { JOBS = 6 };
    static const char *const how[] = {"sample | temp:0.9 | cfg:2,ids=\"5 6 7 8 9 10 11\"", "sample | cfg:0.5",
                                      "sample | contrastive-decoding:0.1", "sample | temp:1.2 | dola:high,relative-top=0.01",
                                      "contrastive-search:4,alpha=0.6 | temp:0.8"};
    static told alone, many[JOBS];
    static const int32_t prompt[] = {9,  8,  7,  6,  5,  4,  3,  9,  9,  12, 13, 40, 41, 42, 43,
                                     44, 45, 46, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30};
    (void)state;
    for (size_t k = 0; k < sizeof how / sizeof *how; k++) {
        jt_pipeline *p = parse_with(how[k], NULL), *plain = parse_with("sample", NULL);
        jt_driver *d = driver_on(0);
        jt_request r = {.prompt = prompt, .n_prompt = 29, .pipeline = p, .seed = 3, .max_tokens = 16, .ignore_end = 1, .context = 80};
        jt_job job[JOBS];
        run_request(d, &r, &alone);
        assert_int_equal(alone.a[0].n, 16);
        for (int i = 0; i < JOBS; i++) {
            r.pipeline = i % 2 ? p : plain;
            r.seed = i == 5 ? 4 : 3;
            assert_int_equal(jt_driver_submit(d, &r, &job[i], NULL), JT_OK);
        }
        finish_all(d, job, many, JOBS);
        same_said(&alone.a[0], &many[1].a[0]);
        same_said(&alone.a[0], &many[3].a[0]);
        jt_driver_free(d);
        jt_pipeline_free(p);
        char text[200];
        snprintf(text, sizeof text, "parallel:3 > %s", how[k]);
        p = parse_with(text, NULL);
        d = driver_on(0);
        r.pipeline = p, r.seed = 3;
        run_request(d, &r, &many[0]);
        jt_pipeline_free(p);
        p = parse_with(how[k], NULL);
        for (uint32_t i = 0; i < 3; i++) {
            r.pipeline = p, r.choice = i;
            run_request(d, &r, &alone);
            same_said(&many[0].a[i], &alone.a[0]);
        }
        jt_driver_free(d);
        jt_pipeline_free(p);
        jt_pipeline_free(plain);
    }
}

static void threads_change_nothing(void **state) {
    static const char *const how[] = {"sample | cfg:2,ids=\"5 6 7 8\" | dola:high", "contrastive-search:3"};
    static told one, more;
    jt_model *m;
    jt_engine *e;
    jt_error err;
    (void)state;
    ok(jt_engine_new(&(jt_engine_options){.threads = 3}, &e, &err), &err);
    ok(jt_model_open(e, model_path[1], &(jt_model_options){.activations = JT_ACT_FLOAT, .kv_type = JT_KV_F32}, &m, &err), &err);
    for (int k = 0; k < 2; k++) {
        jt_driver *d[2] = {driver_on(1), NULL};
        jt_pipeline *p = parse_with(how[k], NULL);
        jt_request r = {.prompt = hello, .n_prompt = 5, .pipeline = p, .seed = 8, .max_tokens = 5, .ignore_end = 1, .context = 60};
        ok(jt_driver_new(m, &d[1], &err), &err);
        run_request(d[0], &r, &one);
        run_request(d[1], &r, &more);
        same_said(&one.a[0], &more.a[0]);
        jt_driver_free(d[0]), jt_driver_free(d[1]);
        jt_pipeline_free(p);
    }
    jt_model_free(m);
    jt_engine_free(e);
}

static void neutral_settings_are_the_plain_text(void **state) {
    static const char *const how[][2] = {{"greedy | cfg:1", "greedy"},
                                         {"sample | temp:1.1 | cfg:1,ids=\"5 6\"", "sample | temp:1.1"},
                                         {"sample | contrastive-decoding:0,beta=0", "sample"},
                                         {"sample | dola:weight=0", "sample"},
                                         {"contrastive-search:1", "greedy"},
                                         {"contrastive-search:5,alpha=0", "greedy"}};
    static told with, plain;
    static const int32_t prompt[] = {9, 8, 7, 6, 5};
    (void)state;
    for (size_t k = 0; k < sizeof how / sizeof *how; k++)
        for (int i = 0; i < 2; i++) {
            jt_driver *d = driver_on(k == 2 ? 0 : (int)k % 2);
            jt_pipeline *p = parse_with(how[k][i], NULL);
            jt_request r = {.prompt = prompt, .n_prompt = 5, .pipeline = p, .seed = 8, .max_tokens = 30, .ignore_end = 1, .context = 60};
            run_request(d, &r, i ? &plain : &with);
            if (i) same_said(&plain.a[0], &with.a[0]);
            jt_pipeline_free(p);
            jt_driver_free(d);
        }
}

/* ---- random distributions ---- */

static uint64_t at;
static int draw(void) {
    at = at * 6364136223846793005u + 1442695040888963407u;
    return (int)(at >> 33);
}

static void draw_logits(float *x) {
    for (int i = 0; i < FAKE_VOCAB; i++) x[i] = (float)(draw() % 4001 - 2000) / 256;
}

static float early[4][FAKE_VOCAB];

/* The "stream" of layer l is the number l alone. */
static jt_dist *say_early(void *self, const float *x, bool norm, jt_error *err) {
    (void)norm;
    return jt_dist_load(self, early[(int)*x], err) == JT_OK ? self : NULL;
}

static void opinions_are_those_of_torch(void **state) {
    static const float stream[4] = {0, 1, 2, 3};
    static const int layer[4] = {0, 2, 4, 6};
    static float x[FAKE_VOCAB];
    static char line[200];
    fake f;
    jt_error err;
    jt_dist *d, *raw, *second;
    (void)state;
    fake_make(&f);
    for (int i = 0; i < 3; i++) assert_int_equal(jt_dist_new(FAKE_VOCAB, f.ev.kernels, i == 0 ? &d : i == 1 ? &raw : &second, NULL), JT_OK);
    FILE *in = fopen(FIXTURES "/decode/opinions.txt", "r");
    assert_non_null(in);
    for (int kind = 0; kind < 3; kind++)
        for (int c = 0; c < CASES; c++) {
            char text[200];
            at = (uint64_t)kind * 100000 + (uint64_t)c + 1;
            for (int i = 0; i < 4; i++) draw();
            draw_logits(x);
            for (int i = 0; i < (kind == 2 ? 4 : 1); i++) draw_logits(early[i]);
            double p = draw() % 100 / 100.0, q = draw() % 200 / 100.0;
            int r = 1 + draw() % 4;
            if (kind == 0) snprintf(text, sizeof text, "cfg:%.17g", 3 * q);
            if (kind == 1)
                snprintf(text, sizeof text, "contrastive-decoding:%.17g,beta=%.17g,temp=%.17g,form=%s", p, q, r / 2.0,
                         r % 2 ? "ratio" : "scaled");
            if (kind == 2) snprintf(text, sizeof text, "dola:relative-top=%.17g,weight=%.17g,js=%s", p, q / 2, r % 2 ? "code" : "paper");
            jt_pipeline *pipe = parse_with(text, NULL);
            const jt_method *m = pipe->stage[0].m;
            jt_step s = {.method = m, .vocab = FAKE_VOCAB, .n = 2, .n_prompt = 1, .raw = raw, .second = second, .err = &err};
            s.layer = layer, s.n_layer = 4, s.n_hidden = 1, s.streams = stream, s.project = say_early, s.project_self = second;
            int layers = 16;
            assert_int_equal(jt_dist_load(raw, x, NULL), JT_OK);
            assert_int_equal(jt_dist_load(d, x, NULL), JT_OK);
            assert_int_equal(jt_dist_load(second, early[0], NULL), JT_OK);
            ok(m->stage.run(pipe->stage[0].par, &layers, d, &s), &err);
            assert_non_null(fgets(line, sizeof line, in));
            char *end;
            int count = (int)strtol(line, &end, 10), best = (int)strtol(end, &end, 10);
            double want[2] = {strtod(end + 1, &end), 0};
            want[1] = strtod(end, &end);
            if (jt_dist_count(d) != count || jt_dist_top(d, 1)->id != best)
                fail_msg("%s, case %d: %d tokens and %d, not %d and %d", text, c, jt_dist_count(d), (int)jt_dist_top(d, 1)->id, count,
                         best);
            for (int i = 0; i < 2; i++) {
                double got = jt_dist_lnp(d, i ? 17 : best);
                if (got != want[i] && !(fabs(got - want[i]) <= 3e-5 + 1e-6 * fabs(want[i])))
                    fail_msg("%s, case %d: ln p %.9g, not %.9g", text, c, got, want[i]);
            }
            jt_pipeline_free(pipe);
        }
    fclose(in);
    jt_dist_free(d), jt_dist_free(raw), jt_dist_free(second);
    fake_free(&f);
}

/* ---- the driver's part ---- */

/* Says what the logits of the second sequence should be: those of the fake model after `seen`, whatever the prompt was. */
static bool guided_by_hand(const int32_t *prompt, int n_prompt, const int32_t *other, int n_other, double scale, const said *a) {
    int32_t x[FAKE_CONTEXT], y[FAKE_CONTEXT];
    memcpy(x, prompt, (size_t)n_prompt * sizeof *x), memcpy(y, other, (size_t)n_other * sizeof *y);
    for (int k = 0; k < a->n; k++) {
        int32_t best = 0;
        double most = -INFINITY;
        for (int32_t id = 0; id < FAKE_VOCAB; id++) {
            double l = scale * (double)fake_logit(x, n_prompt + k, id) - (scale - 1) * (double)fake_logit(y, n_other + k, id);
            if (l > most + 1e-9) most = l, best = id;
        }
        if (best != a->id[k]) return false;
        x[n_prompt + k] = y[n_other + k] = best;
    }
    return true;
}

/* Through strategies with trees, forks, followers and children the second sequence is the answer behind the other prompt. */
static void the_other_prompt_goes_with_every_branch(void **state) {
    static const int32_t other[] = {'x', 'y', 'z', 'x', 'y', 'z', 'q', 'q', 'a', 'b', 'c', 'd'};
    static const char *const how[] = {"greedy", "best-of-n:2 > greedy", "diverse-beam:1,groups=1", "adadec:tau=0,b=1", "cntp:most=1"};
    static const char ids[] = "120 121 122 120 121 122 113 113 97 98 99 100";
    fake f;
    told t;
    (void)state;
    fake_make(&f);
    for (size_t k = 0; k < sizeof how / sizeof *how; k++)
        for (int own = 0; own < 2; own++) {
            char text[200];
            const char *end = k == 4 ? " | temp:0" : "";
            if (own)
                snprintf(text, sizeof text, "%s | cfg:1.7,ids=\"%s\"%s", how[k], ids, end);
            else
                snprintf(text, sizeof text, "%s | cfg:1.7%s", how[k], end);
            run_text(&f, text, NULL, 2, 40, &t);
            assert_int_equal(t.a[0].n, 40);
            if (!guided_by_hand(hello, 5, own ? other : hello + 4, own ? 12 : 1, 1.7, &t.a[0])) fail_msg("%s", text);
        }
    fake_free(&f);
}

static void what_cannot_be_had_is_refused(void **state) {
    static const struct {
        const char *text, *says;
    } t[] = {
        {"cfg:2 | cfg:3", "the stages cfg and cfg read different second sequences; a pipeline has one"},
        {"contrastive-decoding:0.1", "needs a second model in the role \"amateur\""},
        {"dola:low", "needs the head of a vector, which the model cannot give"},
        {"cfg:2,ids=\"4 999\"", "cfg: token 999 is outside of the vocabulary (0 to 264)"},
        {"cfg:2,negative=\"a\",ids=4", "cfg: a negative prompt and ids are given"},
    };
    fake f;
    (void)state;
    fake_make(&f);
    jt_driver *d = driver_of(&f);
    for (size_t k = 0; k < sizeof t / sizeof *t; k++) {
        jt_pipeline *p = parse_with(t[k].text, NULL);
        jt_request r = request_of(p, 1, 4);
        jt_job job;
        jt_error err = {0};
        assert_int_not_equal(jt_driver_submit(d, &r, &job, &err), JT_OK);
        if (!strstr(err.message, t[k].says)) fail_msg("%s: %s", t[k].text, err.message);
        jt_pipeline_free(p);
    }
    jt_driver_free(d);
    assert_int_equal(f.open, 0);
    fake_free(&f);
    for (int k = 0; k < 3; k++) {
        d = driver_on(k != 2);
        static const char *const text[] = {"dola:layer=4", "dola:low,first=3", "cfg:2 | contrastive-decoding:0.1"};
        static const char *const says[] = {"layer 4", "layer 3", "different second sequences"};
        jt_pipeline *p = parse_with(text[k], NULL);
        jt_request r = {.prompt = (const int32_t[]){5, 6, 7}, .n_prompt = 3, .pipeline = p, .max_tokens = 4};
        jt_job job;
        jt_error err = {0};
        assert_int_not_equal(jt_driver_submit(d, &r, &job, &err), JT_OK);
        if (!strstr(err.message, says[k])) fail_msg("%s: %s", text[k], err.message);
        jt_driver_free(d);
        jt_pipeline_free(p);
    }
}

static void failed_allocations_are_clean(void **state) {
    static const char *const how[] = {"greedy | cfg:1.5,ids=\"97 98 99\"", "best-of-n:2 > greedy | cfg:1.5"};
    fake f;
    told t;
    jt_error err;
    (void)state;
    fake_make(&f);
    for (int k = 0; k < 2; k++) {
        jt_pipeline *p = parse_with(how[k], NULL);
        jt_request r = request_of(p, 1, 4);
        bool well = false;
        for (int n = 0; !well && n < 4000; n++) {
            jt_driver *d = driver_of(&f);
            jt_job job;
            alloc_fail_at(n);
            jt_status e = jt_driver_submit(d, &r, &job, &err);
            if (e == JT_OK) finish_all(d, &job, &t, 1), well = t.reason == JT_END_LENGTH && alloc_count() <= n;
            alloc_fail_at(-1);
            jt_driver_free(d);
            assert_int_equal(f.open, 0);
        }
        assert_true(well);
        jt_pipeline_free(p);
    }
    fake_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_those_of_transformers), cmocka_unit_test(texts_do_not_depend_on_company),
        cmocka_unit_test(threads_change_nothing),          cmocka_unit_test(neutral_settings_are_the_plain_text),
        cmocka_unit_test(opinions_are_those_of_torch),     cmocka_unit_test(the_other_prompt_goes_with_every_branch),
        cmocka_unit_test(what_cannot_be_had_is_refused),   cmocka_unit_test(failed_allocations_are_clean),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
