/* Groups of rows: their borders are kept by forks, truncations and files, no pass parts them, and by themselves they
 * change no bit. */
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
#include "tree_record.h"

static const char folder[] = FIXTURES "/hf-tiny/llama";

struct fixture {
    jt_engine *engine;
    jt_model *model, *small; /* at most 10 rows in a pass */
    char path[64];
};

static int begin(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    snprintf(f->path, sizeof f->path, "/tmp/jeton-groups-%ld", (long)getpid());
    return jt_engine_new(NULL, &f->engine, NULL) || jt_model_open(f->engine, folder, NULL, &f->model, NULL) ||
           jt_model_open(f->engine, folder, &(jt_model_options){.ubatch = 10}, &f->small, NULL);
}

static int end(void **state) {
    struct fixture *f = *state;
    unlink(f->path);
    jt_model_free(f->model), jt_model_free(f->small);
    jt_engine_free(f->engine);
    free(f);
    return 0;
}

/* What the test knows of a state: for each node a number of its group, of which no two are the same, and the group's rows. */
struct known {
    int n, parent[REF_MAX], group[REF_MAX], rows[REF_MAX];
};

static void same_groups(const jt_state *s, const struct known *k) {
    assert_int_equal(jt_state_length(s), k->n);
    for (int i = 0; i < k->n; i++) {
        int first = 0, rows;
        while (k->group[first] != k->group[i]) first++;
        assert_int_equal(jt_state_group(s, i, &rows), first);
        assert_int_equal(rows, k->rows[i]);
        assert_int_equal(jt_state_group(s, i, NULL), first);
    }
}

static void known_keep_path(struct known *k, int node) {
    struct known out = {0};
    int path[REF_MAX], n = 0;
    for (int i = node; i >= 0; i = k->parent[i]) path[n++] = i;
    for (int i = 0; i < n; i++) {
        int from = path[n - 1 - i];
        out.parent[i] = i - 1, out.group[i] = k->group[from], out.rows[i] = k->rows[from];
    }
    out.n = n;
    *k = out;
}

/* Rows in groups of random sizes; each row of a tree hangs from its group, or from where the group does. */
static void grow(jt_state *s, struct known *k, uint32_t seed, uint32_t *at, int *groups, bool tree) {
    int32_t ids[64], parent[64], group[64];
    int n = 0, base = k->n;
    for (int g = 1 + (int)pick(seed, at, 4); g && base + n < 200; g--) {
        int rows = 1 + (int)pick(seed, at, 9), up = base + n - 1 - (tree ? (int)pick(seed, at, 4) : 0), first = n;
        if (up < -1) up = -1;
        for (int i = 0; i < rows; i++, n++) {
            int p = i && pick(seed, at, 3) ? base + first + (int)pick(seed, at, (uint32_t)i) : up;
            if (!tree && i) p = base + n - 1;
            ids[n] = (int32_t)pick(seed, at, REF_VOCAB), parent[n] = p < 0 ? JT_NO_PARENT : p;
            group[n] = *groups % 2 ? -7 : 1000; /* numbers need only differ from the neighbour's */
            k->parent[base + n] = p, k->group[base + n] = *groups, k->rows[base + n] = rows;
        }
        (*groups)++;
    }
    jt_error err = {0};
    jt_span span = {.state = s, .ids = ids, .n = n, .parent = tree ? parent : NULL, .group = group};
    if (jt_eval(jt_state_model(s), &(jt_batch){.span = &span, .n_span = 1}, &err)) fail_msg("%s", err.message);
    k->n += n;
}

static void borders_are_kept(void **state) {
    const struct fixture *f = *state;
    for (uint32_t seed = 0; seed < 60; seed++) {
        uint32_t at = 0;
        int groups = 0;
        struct known k = {0};
        jt_state *s, *t;
        assert_int_equal(jt_state_new(f->model, 256, &s, NULL), JT_OK);
        for (int round = 0; round < 8; round++) {
            if (k.n < 150) grow(s, &k, seed, &at, &groups, seed % 3 && round);
            same_groups(s, &k);
            int node = (int)pick(seed, &at, (uint32_t)k.n);
            switch (pick(seed, &at, 5)) {
            case 0:
                assert_int_equal(jt_state_truncate(s, node + 1, NULL), JT_OK);
                k.n = node + 1;
                break;
            case 1:
                assert_int_equal(jt_state_truncate_to(s, node, NULL), JT_OK);
                known_keep_path(&k, node);
                break;
            case 2: {
                struct known other = k;
                int more = groups;
                assert_int_equal(jt_state_fork(s, &t, NULL), JT_OK);
                grow(s, &other, seed, &at, &more, false);
                same_groups(s, &other);
                jt_state_free(s);
                s = t;
                break;
            }
            case 3:
                assert_int_equal(jt_state_save(s, f->path, NULL), JT_OK);
                jt_state_free(s);
                assert_int_equal(jt_state_load(f->model, f->path, &s, NULL), JT_OK);
                break;
            default: break;
            }
            same_groups(s, &k);
        }
        jt_state_free(s);
    }
}

static int count_passes(void *self) { return ++*(int *)self, 0; }

/* Logits of n rows and the passes that it took. */
static int passes(jt_model *m, int n, const int32_t *group, const int32_t *rank, float (*out)[REF_VOCAB], jt_status want) {
    jt_state *s;
    jt_want w[REF_MAX];
    int32_t ids[REF_MAX];
    int count = 0;
    jt_error err = {0};
    for (int i = 0; i < n; i++) ids[i] = (i * 37 + 4) % REF_VOCAB, w[i] = (jt_want){.row = i, .logits = out[i]};
    assert_int_equal(jt_state_new(m, 256, &s, NULL), JT_OK);
    jt_span span = {.state = s, .ids = ids, .n = n, .group = group, .rank = rank};
    jt_batch b = {.span = &span, .n_span = 1, .want = w, .n_want = n, .cancelled = count_passes, .cancelled_self = &count};
    assert_int_equal(jt_eval(m, &b, &err), want);
    if (want) {
        assert_non_null(strstr(err.message, "ubatch is 10"));
        assert_int_equal(jt_state_length(s), 0);
    }
    jt_state_free(s);
    return count;
}

static void no_pass_parts_a_group(void **state) {
    const struct fixture *f = *state;
    static float want[REF_MAX][REF_VOCAB], got[REF_MAX][REF_VOCAB];
    enum { N = 48 };
    int32_t group[N], rank[N];
    assert_int_equal(passes(f->small, N, NULL, NULL, want, JT_OK), 5);
    for (int size = 1; size <= 10; size++) {
        for (int i = 0; i < N; i++) group[i] = i / size;
        int each = 10 / size * size;
        assert_int_equal(passes(f->small, N, group, NULL, got, JT_OK), (N + each - 1) / each);
        assert_memory_equal(got, want, N * sizeof *want);
    }
    for (int i = 0; i < N; i++) group[i] = i < 3 ? i : i / 11 + 100;
    passes(f->small, N, group, NULL, got, JT_LIMIT);
    /* blocks of rows that see each other, in groups that end elsewhere: a pass ends where both do */
    for (int i = 0; i < N; i++) rank[i] = i / 4, group[i] = i / 6;
    passes(f->small, N, group, rank, got, JT_LIMIT);
    for (int i = 0; i < N; i++) group[i] = i / 2;
    assert_int_equal(passes(f->small, N, group, rank, got, JT_OK), N / 8);
    passes(f->model, N, NULL, rank, want, JT_OK);
    assert_memory_equal(got, want, N * sizeof *want);
}

static void rows_of_a_group_hang_together(void **state) {
    const struct fixture *f = *state;
    int32_t ids[6] = {1, 2, 3, 4, 5, 6}, group[6] = {1, 1, 1, 2, 2, 2};
    static const int32_t wrong[][6] = {{JT_NO_PARENT, 0, 1, 2, 1, 4},
                                       {JT_NO_PARENT, 0, 1, JT_PREVIOUS, JT_NO_PARENT, 4},
                                       {JT_PREVIOUS, 0, JT_PREVIOUS, JT_NO_PARENT, 2, JT_PREVIOUS}};
    static const int32_t right[6] = {JT_NO_PARENT, JT_NO_PARENT, JT_PREVIOUS, 1, 1, 3};
    static const int row[] = {4, 4, 4};
    jt_error err;
    jt_state *s;
    char word[16];
    assert_int_equal(jt_state_new(f->model, 64, &s, NULL), JT_OK);
    jt_span span = {.state = s, .ids = ids, .n = 6, .group = group};
    for (int i = 0; i < 3; i++) {
        span.parent = wrong[i];
        assert_int_equal(jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1}, &err), JT_INVALID);
        snprintf(word, sizeof word, "row %d", row[i]);
        assert_non_null(strstr(err.message, word));
        assert_int_equal(jt_state_length(s), 0);
    }
    span.parent = right;
    if (jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1}, &err)) fail_msg("%s", err.message);
    jt_state_free(s);
}

static void failed_allocations_are_clean(void **state) {
    const struct fixture *f = *state;
    int32_t ids[20], group[20];
    jt_state *s, *t;
    jt_error err;
    for (int i = 0; i < 20; i++) ids[i] = i, group[i] = i / 3;
    for (long i = 0;; i++) {
        assert_int_equal(jt_state_new(f->model, 64, &s, NULL), JT_OK);
        jt_span span = {.state = s, .ids = ids, .n = 20, .group = group};
        alloc_fail_at(i);
        jt_status e = jt_eval(f->model, &(jt_batch){.span = &span, .n_span = 1}, &err);
        if (!e) e = jt_state_fork(s, &t, &err);
        bool failed = alloc_count() > i;
        alloc_fail_at(-1);
        assert_int_equal(e, failed ? JT_NOMEM : JT_OK);
        if (!failed) break;
        assert_true(jt_state_length(s) == 0 || jt_state_length(s) == 20);
        jt_state_free(s);
    }
    assert_int_equal(jt_state_group(t, 19, NULL), 18);
    jt_state_free(s), jt_state_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(borders_are_kept),
        cmocka_unit_test(no_pass_parts_a_group),
        cmocka_unit_test(rows_of_a_group_hang_together),
        cmocka_unit_test(failed_allocations_are_clean),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
