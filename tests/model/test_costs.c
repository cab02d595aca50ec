/* What the primitives cost in memory, counted in bytes asked of the allocator: forks that write nothing, forks that write,
 * truncation, and reductions over a prompt. With JETON_TEST_LONG=1 and JETON_TEST_MODEL also a prompt of 8,192 tokens. */
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
#include "jeton/model.h"
#include "tiny_llama.h"

enum { PAGE = 32, FORKS = 256, MIB = 1 << 20 };

static jt_engine *engine;
static char path[] = "/tmp/jeton-costs-XXXXXX";

static int begin(void **unused) {
    (void)unused;
    tiny_llama t = {JT_Q8_0, 320, 32, 2, 4, 2, 8, 32, 8192, 0, 1};
    int fd = mkstemp(path);
    if (fd < 0) return -1;
    close(fd);
    tiny_llama_write(path, &t);
    return jt_engine_new(&(jt_engine_options){.threads = 2}, &engine, NULL);
}

static int end(void **unused) {
    (void)unused;
    jt_engine_free(engine);
    return unlink(path);
}

/* A model that has no pages to give again. */
static jt_model *fresh(const char *from, jt_model_info *info) {
    jt_model *m;
    assert_int_equal(jt_model_open(engine, from, NULL, &m, NULL), JT_OK);
    jt_model_get_info(m, info);
    return m;
}

static void extend(jt_model *m, jt_state *s, int n) {
    int32_t *ids = malloc((size_t)n * sizeof *ids);
    assert_non_null(ids);
    for (int i = 0; i < n; i++) ids[i] = (i * 37 + 11) % 300;
    jt_span span = {.state = s, .ids = ids, .n = n};
    assert_int_equal(jt_eval(m, &(jt_batch){.span = &span, .n_span = 1}, NULL), JT_OK);
    free(ids);
}

static jt_state *sequence(jt_model *model, int n) {
    jt_state *s;
    assert_int_equal(jt_state_new(model, 8192, &s, NULL), JT_OK);
    extend(model, s, n);
    return s;
}

/* 4,000 tokens end with a page, so that every fork begins a new one; 4,010 tokens end within one that each must copy. */
static void forks_share_pages_until_they_write(void **unused) {
    (void)unused;
    static const int length[] = {4000, 4010};
    for (int i = 0; i < 2; i++) {
        jt_model_info info;
        jt_model *model = fresh(path, &info);
        size_t page = info.state_bytes_per_token * PAGE;
        jt_state *s = sequence(model, length[i]), *fork[FORKS];
        alloc_fail_at(-1);
        for (int k = 0; k < FORKS; k++) assert_int_equal(jt_state_fork(s, &fork[k], NULL), JT_OK);
        size_t forks = alloc_bytes();
        assert_true(forks > FORKS * sizeof(void *) && forks < MIB);
        extend(model, fork[0], 1); /* what the first eval makes for all */
        for (int k = 1; k < FORKS; k++) {
            alloc_fail_at(-1);
            extend(model, fork[k], 1);
            size_t first = alloc_bytes();
            alloc_fail_at(-1);
            extend(model, fork[k], 1); /* the same without a page to make */
            first -= alloc_bytes();
            assert_true(first >= page && first < page + 8192); /* one page, and tables */
        }
        alloc_fail_at(-1);
        for (int k = 0; k < FORKS; k++) {
            assert_int_equal(jt_state_truncate(fork[k], length[i] / 2, NULL), JT_OK);
            jt_state_free(fork[k]);
        }
        assert_int_equal(alloc_count(), 0);
        extend(model, s, 100 * PAGE);
        assert_true(alloc_bytes() < 50 * page); /* pages that were given back are taken first */
        jt_state_free(s);
        jt_model_free(model);
    }
}

static void forks_of_a_tree_copy_its_nodes_alone(void **unused) {
    (void)unused;
    jt_model_info info;
    jt_model *model = fresh(path, &info);
    jt_state *s = sequence(model, 1000), *t;
    int32_t ids[64] = {0}, parent[64];
    for (int i = 0; i < 64; i++) parent[i] = 999 + i / 2;
    jt_span span = {.state = s, .ids = ids, .n = 64, .parent = parent};
    assert_int_equal(jt_eval(model, &(jt_batch){.span = &span, .n_span = 1}, NULL), JT_OK);
    alloc_fail_at(-1);
    assert_int_equal(jt_state_fork(s, &t, NULL), JT_OK);
    assert_true(alloc_bytes() < 8192);
    jt_state_free(s);
    alloc_fail_at(-1);
    assert_int_equal(jt_state_truncate_to(t, 1063, NULL), JT_OK); /* its pages are its own now */
    assert_true(alloc_bytes() < 1024);
    jt_state_free(t);
    jt_model_free(model);
}

/* Bytes that evaluating n rows asks for beyond the cache, when every row's reductions are wanted. */
static size_t reductions(const char *from, int n) {
    jt_state *s;
    jt_model_info info;
    jt_model *m = fresh(from, &info);
    enum { BEST = 4 };
    struct row {
        int32_t target[2], top[BEST];
        double logprob[2], lse, entropy;
        float logits[BEST];
    } *row = calloc((size_t)n, sizeof *row);
    jt_want *want = calloc((size_t)n, sizeof *want);
    int32_t *ids = calloc((size_t)n, sizeof *ids);
    assert_true(row && want && ids);
    for (int i = 0; i < n; i++) {
        ids[i] = row[i].target[0] = (i * 37 + 11) % 300, row[i].target[1] = i % 100;
        want[i] = (jt_want){.row = i,
                            .targets = row[i].target,
                            .n_targets = 2,
                            .target_logprob = row[i].logprob,
                            .log_sum_exp = &row[i].lse,
                            .entropy = &row[i].entropy,
                            .n_top = BEST,
                            .top_ids = row[i].top,
                            .top_logits = row[i].logits};
    }
    assert_int_equal(jt_state_new(m, n, &s, NULL), JT_OK);
    jt_span span = {.state = s, .ids = ids, .n = n};
    alloc_fail_at(-1);
    assert_int_equal(jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .want = want, .n_want = n}, NULL), JT_OK);
    size_t bytes = alloc_bytes(), cache = (size_t)info.state_bytes_per_token * (size_t)((n + PAGE - 1) / PAGE * PAGE);
    for (int i = 0; i < n; i++) assert_true(row[i].entropy > 0 && row[i].logprob[0] < 0 && row[i].lse > (double)row[i].logits[0]);
    jt_state_free(s);
    jt_model_free(m);
    free(row), free(want), free(ids);
    assert_true(bytes > cache);
    return bytes - cache;
}

static void reductions_take_no_memory_per_row(void **unused) {
    (void)unused;
    size_t few = reductions(path, 600), many = reductions(path, 4000);
    assert_true(few < 8 * MIB && many < few + 65536); /* the page tables alone grow */
}

static void reductions_over_a_long_prompt(void **unused) {
    (void)unused;
    const char *real = getenv("JETON_TEST_MODEL"), *lengthy = getenv("JETON_TEST_LONG");
    if (!real || !*real || !lengthy || strcmp(lengthy, "1") != 0) skip();
    size_t bytes = reductions(real, 8192);
    print_message("8,192 tokens: %.1f MiB beyond the cache\n", (double)bytes / MIB);
    assert_true(bytes < 64 * (size_t)MIB);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forks_share_pages_until_they_write),
        cmocka_unit_test(forks_of_a_tree_copy_its_nodes_alone),
        cmocka_unit_test(reductions_take_no_memory_per_row),
        cmocka_unit_test(reductions_over_a_long_prompt),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
