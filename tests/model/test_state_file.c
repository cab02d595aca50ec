/* States in files: the same bits back; every cut, every altered byte and another model refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "core/file.h"
#include "jeton/model.h"
#include "jeton/tap.h"

enum { VOCAB = 320 };
static const char folder[] = FIXTURES "/hf-tiny/llama";

struct fixture {
    jt_engine *engine;
    jt_model *model;
    char path[64];
};

static int begin(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    snprintf(f->path, sizeof f->path, "/tmp/jeton-state-%ld", (long)getpid());
    return jt_engine_new(NULL, &f->engine, NULL) || jt_model_open(f->engine, folder, NULL, &f->model, NULL);
}

static int end(void **state) {
    struct fixture *f = *state;
    unlink(f->path);
    jt_model_free(f->model);
    jt_engine_free(f->engine);
    free(f);
    return 0;
}

/* A tree with ranks, skipped layers and a few pages. */
static jt_state *grown(const struct fixture *f) {
    jt_state *s;
    int32_t ids[60], parent[10], rank[10], group[45];
    jt_layers layers[10];
    for (int i = 0; i < 60; i++) ids[i] = (i * 37 + 11) % VOCAB;
    for (int i = 0; i < 10; i++) parent[i] = 40 + i / 2, rank[i] = 50 + i, layers[i] = (jt_layers){{i % 3 ? 7u : 5u}};
    assert_int_equal(jt_state_new(f->model, 100, &s, NULL), JT_OK);
    for (int i = 0; i < 45; i++) group[i] = i / 20;
    jt_span a = {.state = s, .ids = ids, .n = 45, .group = group};
    assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &a, .n_span = 1}, NULL), JT_OK);
    a = (jt_span){.state = s, .ids = ids + 45, .n = 10, .parent = parent, .rank = rank, .layers = layers};
    assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &a, .n_span = 1}, NULL), JT_OK);
    return s;
}

static void next(const struct fixture *f, jt_state *s, float logits[VOCAB]) {
    int32_t id = 9;
    jt_want w = {.row = 0, .logits = logits};
    jt_span a = {.state = s, .ids = &id, .n = 1};
    assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &a, .n_span = 1, .want = &w, .n_want = 1}, NULL), JT_OK);
}

static void goes_on_with_the_same_bits(const struct fixture *f) {
    float a[VOCAB], b[VOCAB];
    jt_state *s = grown(f), *t;
    jt_error err;
    if (jt_state_save(s, f->path, &err)) fail_msg("%s", err.message);
    if (jt_state_load(f->model, f->path, &t, &err)) fail_msg("%s", err.message);
    assert_int_equal(jt_state_length(t), 55);
    assert_int_equal(jt_state_context(t), 100);
    assert_true(jt_state_mode(s) == jt_state_mode(t));
    for (int i = 0; i < 55; i++) {
        assert_int_equal(jt_state_parent(s, i), jt_state_parent(t, i));
        assert_int_equal(jt_state_depth(s, i), jt_state_depth(t, i));
        assert_int_equal(jt_state_group(s, i, NULL), jt_state_group(t, i, NULL));
    }
    next(f, s, a), next(f, t, b);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(jt_state_truncate_to(s, 51, NULL), JT_OK);
    assert_int_equal(jt_state_truncate_to(t, 51, NULL), JT_OK);
    next(f, s, a), next(f, t, b);
    assert_memory_equal(a, b, sizeof a);
    jt_state_free(s), jt_state_free(t);
}

static void a_saved_state_goes_on_with_the_same_bits(void **state) {
    static const jt_kv_type types[] = {JT_KV_F16, JT_KV_F32, JT_KV_Q8_0};
    struct fixture f = *(struct fixture *)*state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(jt_model_open(f.engine, folder, &(jt_model_options){.kv_type = types[i]}, &f.model, NULL), JT_OK);
        goes_on_with_the_same_bits(&f);
        jt_model_free(f.model);
    }
}

static void write_file(const char *path, const char *p, size_t n) {
    FILE *o = fopen(path, "wb");
    assert_non_null(o);
    assert_int_equal(fwrite(p, 1, n, o), n);
    assert_int_equal(fclose(o), 0);
}

static void cuts_and_altered_bytes_are_refused(void **state) {
    const struct fixture *f = *state;
    jt_state *s = grown(f), *t;
    jt_str all = {0};
    jt_error err;
    assert_int_equal(jt_state_save(s, f->path, NULL), JT_OK);
    assert_int_equal(jt_file_read(f->path, &all, NULL), JT_OK);
    for (size_t n = 0; n < all.n; n += n < 400 ? 1 : 997) {
        write_file(f->path, all.s, n);
        assert_int_equal(jt_state_load(f->model, f->path, &t, &err), JT_FORMAT);
        assert_non_null(strstr(err.message, f->path));
    }
    for (size_t i = 0; i < all.n; i += i < 400 ? 1 : 997) {
        all.s[i] ^= 0x41;
        write_file(f->path, all.s, all.n);
        assert_int_not_equal(jt_state_load(f->model, f->path, &t, &err), JT_OK);
        all.s[i] ^= 0x41;
    }
    jt_str_free(&all);
    jt_state_free(s);
}

static void another_mode_is_refused(void **state) {
    const struct fixture *f = *state;
    jt_state *s = grown(f), *t;
    jt_model *other;
    jt_error err;
    assert_int_equal(jt_state_save(s, f->path, NULL), JT_OK);
    for (jt_kv_type type = JT_KV_F32; type <= JT_KV_Q8_0; type++) {
        assert_int_equal(jt_model_open(f->engine, folder, &(jt_model_options){.kv_type = type}, &other, NULL), JT_OK);
        assert_int_equal(jt_state_load(other, f->path, &t, &err), JT_INVALID);
        assert_non_null(strstr(err.message, "numeric mode"));
        jt_model_free(other);
    }
    float vec[64] = {1};
    uint64_t before = jt_state_mode(s);
    assert_int_equal(jt_state_set_taps(s, &(jt_tap){.site = "mlp", .op = JT_TAP_ADD, .vec = vec}, 1, NULL), JT_OK);
    assert_true(jt_state_mode(s) != before);
    jt_state_free(s);
}

static void failures_leave_nothing_behind(void **state) {
    const struct fixture *f = *state;
    jt_state *s = grown(f), *t;
    jt_error err;
    assert_int_equal(jt_state_save(s, "/dev/full", &err), JT_IO);
    assert_int_equal(jt_state_save(s, "/nowhere/at/all", &err), JT_NOTFOUND);
    assert_int_equal(jt_state_load(f->model, "/nowhere/at/all", &t, &err), JT_NOTFOUND);
    assert_int_equal(jt_state_save(s, f->path, NULL), JT_OK);
    for (long i = 0;; i++) {
        alloc_fail_at(i);
        jt_status e = jt_state_load(f->model, f->path, &t, &err);
        bool failed = alloc_count() > i;
        alloc_fail_at(-1);
        assert_int_equal(e, failed ? JT_NOMEM : JT_OK);
        if (!failed) break;
    }
    jt_state_free(s), jt_state_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_saved_state_goes_on_with_the_same_bits),
        cmocka_unit_test(cuts_and_altered_bytes_are_refused),
        cmocka_unit_test(another_mode_is_refused),
        cmocka_unit_test(failures_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
