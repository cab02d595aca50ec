/* Replays: equal to the bit on random pipelines of the methods there are, and every
 * change of a trace found at its token. */
#include "traced.h"

#include "core/random.h"

/* A value of a parameter in its range, as text; false: the parameter is left out. */
static bool some_value(const jt_param *p, uint64_t *h, jt_str *o) {
    *h = jt_hash_u64(*h, 1);
    double u = (double)(*h >> 11) * 0x1p-53, low = p->low, high = p->high;
    if (p->type == JT_PARAM_CHOICE) return false;
    if (p->type != JT_PARAM_REAL && p->type != JT_PARAM_INT) return false;
    if (!isnan(p->def) && u < 0.4) return false;
    if (high > 40) high = low + 40;
    if (low < -4) low = -4;
    if (high < low) high = low;
    double x = low + (high - low) * u;
    jt_str_printf(o, p->type == JT_PARAM_INT ? "%.0f" : "%.3g", p->type == JT_PARAM_INT ? floor(x) : x);
    return true;
}

static void some_stage(const jt_method *m, uint64_t *h, jt_str *o) {
    jt_str_puts(o, m->name);
    for (int i = 0, n = 0; i < m->n_param; i++) {
        jt_str v = {0};
        if (some_value(&m->param[i], h, &v)) {
            jt_str_printf(o, "%s", n++ ? "," : ":");
            for (const char *c = m->param[i].name; *c; c++) jt_str_putc(o, *c == '_' ? '-' : *c);
            jt_str_printf(o, "=%s", v.s);
        }
        jt_str_free(&v);
    }
}

/* Whether the driver of these tests can run it as it stands. */
static bool can_run(fake *f, const char *text) {
    jt_pipeline *p = NULL;
    jt_driver *d = driver_of(f);
    jt_job job;
    bool well = jt_pipeline_parse(text, NULL, &p, NULL) == JT_OK;
    if (well) {
        jt_request r = request_of(p, 1, 2);
        well = jt_driver_submit(d, &r, &job, NULL) == JT_OK;
        for (jt_event e = {0}; well && e.kind != JT_EVENT_END;) {
            assert_int_equal(jt_driver_next(d, &e, NULL), JT_OK);
            if (e.kind == JT_EVENT_END && e.reason == JT_END_ERROR) well = false;
        }
    }
    jt_driver_free(d);
    jt_pipeline_free(p);
    return well;
}

static void replay_is(fake *f, const jt_trace *t, const char *text) {
    jt_trace_replayed r;
    jt_error err;
    jt_driver *d = driver_of(f);
    assert_int_equal(t->n_job, 1);
    if (jt_trace_replay(t->job, d, NULL, &r, &err) != JT_OK) fail_msg("%s: %s", text, err.message);
    if (r.n_difference) fail_msg("%s: token %zu: %s", text, r.difference[0].token, r.difference[0].what);
    assert_int_equal(r.tokens, t->job->n_token);
    assert_int_equal(r.same, r.tokens);
    jt_driver_free(d);
}

/* Of the 100 pipelines 1 to 8 stages each; what needs another model and the like is left out. */
static void random_pipelines_are_replayed(void **state) {
    (void)state;
    fake f;
    const jt_method *stage[256];
    int n = 0, done = 0, alone = 0;
    uint64_t h = 1;
    fake_make(&f);
    for (int i = 0; jt_method_at(NULL, i) && n < 256; i++) {
        const jt_method *m = jt_method_at(NULL, i);
        jt_str one = {0};
        some_stage(m, &h, &one);
        if (m->kind == JT_STAGE && strcmp(m->name, "mark") != 0 && can_run(&f, one.s)) stage[n++] = m;
        jt_str_free(&one);
    }
    assert_true(n > 5);
    for (int tries = 0; done < 100 && tries < 1000; tries++) {
        jt_str pipeline = {0}, text = {0};
        int length = 1 + tries % 8;
        for (int i = 0; i < length; i++) {
            h = jt_hash_u64(h, 2);
            if (i) jt_str_puts(&pipeline, " | ");
            some_stage(stage[h % (uint64_t)n], &h, &pipeline);
        }
        if (can_run(&f, pipeline.s)) {
            jt_trace_replayed r;
            jt_error err;
            jt_trace *t = traced(&f, pipeline.s, h, 6, done % 2 ? JT_TRACE_ALL : 0, &text);
            replay_is(&f, t, pipeline.s);
            if (done % 2) {
                jt_status s = jt_trace_replay_alone(t, t->job, f.tokenizer, NULL, &r, &err);
                if (s != JT_OK && s != JT_UNSUPPORTED) fail_msg("%s: %s", pipeline.s, err.message);
                if (s == JT_OK && r.n_difference)
                    fail_msg("%s, alone: token %zu: %s", pipeline.s, r.difference[0].token, r.difference[0].what);
                if (s == JT_OK) assert_int_equal(r.same, t->job->n_token);
                alone += s == JT_OK;
            }
            jt_trace_free(t);
            done++;
        }
        jt_str_free(&pipeline), jt_str_free(&text);
    }
    assert_int_equal(done, 100);
    assert_true(alone > 25);
    fake_free(&f);
}

static void strategies_with_branches_are_replayed(void **state) {
    (void)state;
    static const char *const text[] = {"greedy", "sample | temp:1.3", "best-of-n:n=3 > sample | temp:1.2 | top-k:8",
                                       "diverse-beam:beams=4,groups=2 | top-k:20", "best-of-n:n=2 > greedy"};
    fake f;
    fake_make(&f);
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        jt_str o = {0};
        jt_trace *t = traced(&f, text[i], i, 8, 0, &o);
        replay_is(&f, t, text[i]);
        for (size_t a = 0; a < t->job->n_answer; a++)
            for (size_t k = 0; k < t->job->answer[a].n_token; k++)
                if (!t->job->answer[a].token[k].evidence) fail_msg("%s: answer %zu, token %zu has no evidence", text[i], a, k);
        jt_trace_free(t);
        jt_str_free(&o);
    }
    fake_free(&f);
}

/* ---- altered traces ---- */

/* The text with the first `from` after the line's beginning replaced. */
static jt_str altered(const jt_str *o, size_t line, const char *from, const char *to) {
    jt_str s = {0};
    const char *at = o->s;
    for (size_t i = 1; i < line; i++) at = strchr(at, '\n') + 1;
    const char *found = strstr(at, from);
    assert_non_null(found);
    jt_str_add(&s, o->s, (size_t)(found - o->s));
    jt_str_puts(&s, to);
    jt_str_puts(&s, found + strlen(from));
    return s;
}

static void is_found(fake *f, const jt_str *o, size_t line, const char *part, bool alone) {
    jt_trace *t = NULL;
    jt_trace_replayed r;
    jt_error err;
    jt_driver *d = driver_of(f);
    if (jt_trace_parse(o->s, o->n, &t, &err) != JT_OK) fail_msg("%s", err.message);
    if (jt_trace_replay(t->job, d, NULL, &r, &err) != JT_OK) fail_msg("%s", err.message);
    assert_int_equal(r.n_difference, 1);
    assert_int_equal(r.difference[0].line, line);
    if (!strstr(r.difference[0].what, part)) fail_msg("\"%s\" does not speak of %s", r.difference[0].what, part);
    if (alone) {
        if (jt_trace_replay_alone(t, t->job, f->tokenizer, NULL, &r, &err) != JT_OK) fail_msg("%s", err.message);
        assert_true(r.n_difference >= 1);
        assert_int_equal(r.difference[0].line, line);
    }
    jt_driver_free(d);
    jt_trace_free(t);
}

static void changes_are_found_at_their_token(void **state) {
    (void)state;
    fake f;
    fake_make(&f);
    jt_str o = {0};
    char from[64], to[64];
    jt_trace *t = traced(&f, "temp:1.5 | top-k:6 | top-p:0.9", 4, 10, JT_TRACE_ALL, &o);
    const jt_trace_token *x = &t->job->answer[0].token[4];
    size_t line = x->line;
    char where[32];
    snprintf(where, sizeof where, "line %zu", line);
    jt_str a;

    snprintf(from, sizeof from, "\"u\":%.6g", x->decision.u);
    from[8] = 0;
    snprintf(to, sizeof to, "%s", from);
    to[7] = from[7] == '9' ? '8' : '9';
    a = altered(&o, x->line, from, to);
    is_found(&f, &a, x->line, "the draw", true);
    jt_str_free(&a);

    snprintf(from, sizeof from, "\"id\":%d,", x->decision.id);
    snprintf(to, sizeof to, "\"id\":%d,", x->decision.id == 'a' ? 'b' : 'a');
    a = altered(&o, x->line, from, to);
    is_found(&f, &a, x->line, "the token is", true);
    jt_str_free(&a);

    snprintf(from, sizeof from, "\"ids\":[%d,", x->evidence->raw[0].id);
    snprintf(to, sizeof to, "\"ids\":[%d,", x->evidence->raw[0].id == 'a' ? 'b' : 'a');
    a = altered(&o, x->line, from, to);
    is_found(&f, &a, x->line, "the model's candidates", true);
    jt_str_free(&a);

    a = altered(&o, x->line, "\"x\":[", "\"x\":[1");
    is_found(&f, &a, x->line, "the model's candidates", true);
    jt_str_free(&a);

    a = altered(&o, x->line, "\"method\":\"top-k\",\"before\":265", "\"method\":\"top-k\",\"before\":264");
    is_found(&f, &a, x->line, "stage 2, top-k", true);
    jt_str_free(&a);

    a = altered(&o, x->line, "\"logits\":\"", "\"logits\":\"0");
    jt_trace *none = NULL;
    jt_error err;
    assert_int_equal(jt_trace_parse(a.s, a.n, &none, &err), JT_FORMAT);
    assert_non_null(strstr(err.message, where));
    jt_str_free(&a);

    jt_trace_free(t);
    jt_str_free(&o);
    fake_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_pipelines_are_replayed),
        cmocka_unit_test(strategies_with_branches_are_replayed),
        cmocka_unit_test(changes_are_found_at_their_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
