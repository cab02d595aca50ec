/* Traces as files: read back what was written, cut anywhere, altered, of other versions,
 * and without memory. */
#include "traced.h"

#include <unistd.h>

#include "core/file.h"

static const char pipeline[] = "temp:1.5 | top-k:6 | top-p:0.9";

static void what_was_written_is_read(void **state) {
    (void)state;
    fake f;
    fake_make(&f);
    jt_str o = {0};
    jt_trace *t = traced(&f, pipeline, 4, 10, 0, &o);
    const jt_trace_job *j = t->job;
    assert_true(t->complete && !t->altered && !t->note);
    assert_int_equal(t->vocab, FAKE_VOCAB);
    assert_int_equal(t->n_job, 1);
    assert_int_equal(j->request.seed, 4);
    assert_int_equal(j->request.n_prompt, 5);
    assert_memory_equal(j->request.prompt, hello, sizeof hello);
    assert_int_equal(j->n_stage, 3);
    assert_string_equal(j->stage[0], "temp:t=1.5");
    assert_int_equal(j->n_answer, 1);
    assert_int_equal(j->answer->n_token, 10);
    assert_int_equal(j->reason, JT_END_LENGTH);
    for (int i = 0; i < 10; i++) {
        const jt_trace_token *k = &j->answer->token[i];
        assert_int_equal(k->decision.position, 5 + i);
        assert_int_equal(k->decision.by, JT_CHOSEN_DRAWN);
        assert_int_equal(k->evidence->n_raw, 20);
        assert_int_equal(k->evidence->n_stage, 3);
        assert_int_equal(k->evidence->stage[1].after, 6);
        assert_int_equal(k->evidence->stage[1].n_cand, 6);
        assert_true(t->text[k->decision.id] != NULL);
        for (int c = 0; c < 6; c++) /* temp divides, top-k only cuts */
            assert_true(k->evidence->stage[1].cand[c].logit == k->evidence->raw[c].logit / 1.5f);
    }
    jt_trace_free(t);
    jt_str_free(&o);
    fake_free(&f);
}

static void cut_traces_are_read_up_to_there(void **state) {
    (void)state;
    fake f;
    fake_make(&f);
    jt_str o = {0};
    jt_trace *t = traced(&f, pipeline, 4, 6, 0, &o), *cut;
    size_t tokens = 0, head = (size_t)(strchr(o.s, '\n') - o.s) + 1;
    jt_error err;
    jt_trace_free(t);
    for (size_t n = 0; n < o.n; n += n < head ? 7 : 3) {
        if (n < head) {
            assert_int_equal(jt_trace_parse(o.s, n, &cut, &err), JT_FORMAT);
            continue;
        }
        if (jt_trace_parse(o.s, n, &cut, &err) != JT_OK) fail_msg("%zu bytes: %s", n, err.message);
        assert_true(!cut->complete && cut->note);
        size_t now = cut->n_job ? cut->job->n_token : 0;
        assert_true(now >= tokens && now <= 6);
        tokens = now;
        jt_trace_free(cut);
    }
    assert_int_equal(tokens, 6);
    jt_str_free(&o);
    fake_free(&f);
}

static void refused(const char *text, const char *part) {
    jt_trace *t = NULL;
    jt_error err;
    assert_int_equal(jt_trace_parse(text, strlen(text), &t, &err), JT_FORMAT);
    if (!strstr(err.message, part)) fail_msg("\"%s\" does not speak of %s", err.message, part);
}

#define HEAD "{\"jeton_trace\":1,\"jeton\":\"0\",\"vocab\":10,\"models\":[]}\n"
#define JOB                                                                                                                                \
    "{\"job\":1,\"pipeline\":\"greedy\",\"stages\":[],\"seed\":\"1\",\"choice\":0,\"context\":9,\"max_tokens\":3,\"candidates\":0,"        \
    "\"prompt\":[1]}\n"

static void what_is_no_trace_is_refused(void **state) {
    (void)state;
    refused("", "empty");
    refused("\n", "line 1");
    refused("{}\n", "jeton_trace");
    refused("{\"jeton_trace\":2}\n", "version 2");
    refused("{\"jeton_trace\":1,\"jeton\":\"0\",\"vocab\":-1}\n", "vocab");
    refused("{\"jeton_trace\":1,\"jeton\":\"0\",\"vocab\":2000000000,\"models\":[]}\n", "vocabulary");
    refused(HEAD "[]\n", "line 2");
    refused(HEAD "{\"job\":1,\"answer\":0,\"position\":1}\n", "never began");
    refused(HEAD JOB JOB, "runs already");
    refused(HEAD JOB "{\"job\":1,\"answer\":0,\"by\":\"luck\"}\n", "line 3");
    refused(HEAD JOB "{\"job\":1,\"done\":\"tired\"}\n", "reason");
    refused(HEAD JOB "{\"job\":1,\"done\":\"length\"}\n{\"job\":1,\"answer\":0,\"end\":\"length\"}\n", "ended");
    refused(HEAD "{\"texts\":[[11,\"x\"]]}\n", "no token");
    refused(HEAD "{\"lines\":1,\"hash\":\"0000000000000000\"}\n{}\n", "follows");
}

static void altered_bytes_are_seen(void **state) {
    (void)state;
    fake f;
    fake_make(&f);
    jt_str o = {0};
    jt_trace *t = traced(&f, pipeline, 4, 4, 0, &o), *other = NULL;
    char *at = strstr(o.s, "\"mass\":");
    assert_non_null(at);
    at[7] = at[7] == '1' ? '2' : '1';
    assert_int_equal(jt_trace_parse(o.s, o.n, &other, NULL), JT_OK);
    assert_true(other->complete && other->altered && other->note);
    jt_trace_free(other), jt_trace_free(t);
    jt_str_free(&o);
    fake_free(&f);
}

static void failed_allocations_are_clean(void **state) {
    (void)state;
    fake f;
    fake_make(&f);
    jt_str o = {0};
    jt_trace *t = traced(&f, pipeline, 4, 3, 0, &o);
    jt_trace_free(t);
    jt_status s = JT_NOMEM;
    for (int i = 0; s != JT_OK; i += 1 + i / 40) { /* reading */
        jt_error err;
        t = NULL;
        alloc_fail_at(i);
        s = jt_trace_parse(o.s, o.n, &t, &err);
        alloc_fail_at(-1);
        if (s != JT_OK) assert_int_equal(s, JT_NOMEM);
        assert_true(i < 100000);
    }
    jt_trace_free(t);
    s = JT_NOMEM;
    for (int i = 0; s != JT_OK; i += 1 + i / 40) { /* running and writing */
        jt_error err = {0};
        jt_str w = {0};
        jt_driver *d = NULL;
        jt_pipeline *p = parse_with(pipeline, NULL);
        jt_request r = request_of(p, 4, 3);
        r.trace = 1;
        alloc_fail_at(i);
        s = jt_driver_new_with(&f.ev, &d, &err);
        if (s == JT_OK) s = traced_run(&f, d, &r, true, &w, &err);
        alloc_fail_at(-1);
        if (s == JT_OK && strstr(w.s, "\"done\":\"error\"")) s = JT_NOMEM;
        jt_driver_free(d);
        jt_pipeline_free(p);
        jt_str_free(&w);
        assert_true(i < 100000);
    }
    assert_int_equal(f.open, 0);
    jt_str_free(&o);
    fake_free(&f);
}

static void files_are_told_apart(void **state) {
    (void)state;
    char path[] = "/tmp/jeton-digest-XXXXXX", a[65], b[65], c[65];
    uint64_t bytes;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    static unsigned char block[1 << 16];
    for (int i = 0; i < 100; i++) assert_int_equal(write(fd, block, sizeof block), sizeof block);
    assert_int_equal(jt_trace_digest(path, a, &bytes, NULL), JT_OK);
    assert_int_equal(bytes, 100 << 16);
    assert_int_equal(pwrite(fd, "x", 1, 5), 1); /* in the header */
    assert_int_equal(jt_trace_digest(path, b, &bytes, NULL), JT_OK);
    assert_int_equal(pwrite(fd, "x", 1, (100 << 16) - 1), 1); /* the last byte */
    assert_int_equal(jt_trace_digest(path, c, &bytes, NULL), JT_OK);
    assert_true(strcmp(a, b) != 0 && strcmp(b, c) != 0 && strlen(a) == 64);
    close(fd);
    assert_int_equal(unlink(path), 0);
    assert_int_not_equal(jt_trace_digest(path, a, &bytes, NULL), JT_OK);
}

static void runs_part_where_they_do(void **state) {
    (void)state;
    fake f;
    fake_make(&f);
    jt_str o[3] = {{0}};
    jt_trace *a = traced(&f, pipeline, 4, 10, 0, &o[0]), *b = traced(&f, pipeline, 5, 10, 0, &o[1]);
    jt_trace *c = traced(&f, "temp:1.5 | top-k:2 | top-p:0.9", 4, 10, 0, &o[2]);
    jt_trace_parting p;
    jt_trace_part(a->job->answer, a->job->answer, &p);
    assert_true(p.differs == SIZE_MAX && p.parts == SIZE_MAX && p.identical == 10 && p.alike == 10 && !p.a);
    jt_trace_part(a->job->answer, b->job->answer, &p); /* another seed */
    assert_true(p.differs == 0 && p.parts != SIZE_MAX && p.draw && !p.logits && !p.stage);
    jt_trace_part(a->job->answer, c->job->answer, &p); /* another stage */
    assert_true(p.differs == 0 && p.parts != SIZE_MAX && p.stage == 2 && !p.draw && !p.logits);
    jt_trace_free(a), jt_trace_free(b), jt_trace_free(c);
    for (int i = 0; i < 3; i++) jt_str_free(&o[i]);
    fake_free(&f);
}

static void pages_hold_what_they_need(void **state) {
    (void)state;
    fake f;
    fake_make(&f);
    jt_str o = {0}, page = {0};
    jt_trace *t = traced(&f, pipeline, 4, 10, 0, &o);
    assert_int_equal(jt_trace_html(t, "a <b> & c", into_string, &page, NULL), JT_OK);
    assert_non_null(strstr(page.s, "<title>a &lt;b> &amp; c</title>"));
    assert_null(strstr(page.s, "http"));
    assert_null(strstr(page.s, "src="));
    assert_int_equal(strncmp(page.s, "<!doctype html>", 15), 0);
    assert_string_equal(page.s + page.n - 8, "</html>\n");
    jt_trace_free(t);
    jt_str_free(&o), jt_str_free(&page);
    fake_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),     cmocka_unit_test(cut_traces_are_read_up_to_there),
        cmocka_unit_test(what_is_no_trace_is_refused),  cmocka_unit_test(altered_bytes_are_seen),
        cmocka_unit_test(failed_allocations_are_clean), cmocka_unit_test(files_are_told_apart),
        cmocka_unit_test(runs_part_where_they_do),      cmocka_unit_test(pages_hold_what_they_need),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
