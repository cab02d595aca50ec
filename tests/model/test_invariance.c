/* The promise of docs/numbers.md, bit for bit: what a row gives depends on the tokens before it and on the numeric mode
 * alone. Every test compares with a reference that evaluated one row at a time on one thread with the best kernels.
 * Random tiny models in every format and mode; SmolLM2 too when JETON_TEST_MODEL names its file, in more modes and
 * at every position when JETON_TEST_LONG=1. */
#include <math.h>
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

#include "core/random.h"
#include "jeton/model.h"
#include "model/tiny_llama.h"

typedef struct machine { /* what must not matter */
    int threads, ubatch, no_repack;
    const char *kernels;
} machine;

typedef struct rig {
    jt_engine *engine;
    jt_model *model;
    jt_model_info info;
    size_t row; /* bytes of one row's results */
} rig;

typedef struct suite { /* one model in one numeric mode */
    char name[64], path[256];
    jt_activations act;
    jt_kv_type kv;
    bool big;   /* a real model: fewer tries */
    int length; /* of ids and ref */
    int32_t ids[700];
    uint8_t *ref; /* [length] rows */
    rig base;
    jt_state *full; /* the reference's state, `length` long */
} suite;

enum { CONTEXT = 1024, SUITES = 40 };
static suite suites[SUITES];
static int n_suites;
static bool long_run;

static void ok(jt_status st, const jt_error *err) {
    if (st) fail_msg("%s: %s", jt_status_name(st), err->message);
}

/* ---- rigs and rows ---- */

static void rig_open(const suite *s, machine how, rig *out) {
    jt_error err;
    jt_engine_options eo = {.threads = how.threads, .kernels = how.kernels};
    jt_model_options mo = {.activations = s->act, .kv_type = s->kv, .ubatch = how.ubatch, .no_repack = how.no_repack};
    ok(jt_engine_new(&eo, &out->engine, &err), &err);
    ok(jt_model_open(out->engine, s->path, &mo, &out->model, &err), &err);
    jt_model_get_info(out->model, &out->info);
    out->row = ((size_t)out->info.vocab + (size_t)out->info.hidden) * sizeof(float) + 3 * sizeof(double);
}

static void rig_close(rig *r) {
    jt_model_free(r->model);
    jt_engine_free(r->engine);
}

static jt_state *state_new(rig *r) {
    jt_error err;
    jt_state *s;
    ok(jt_state_new(r->model, CONTEXT, &s, &err), &err);
    return s;
}

static jt_state *fork_at(const jt_state *s, int n) {
    jt_error err;
    jt_state *out;
    ok(jt_state_fork(s, &out, &err), &err);
    ok(jt_state_truncate(out, n, &err), &err);
    return out;
}

/* Evaluates the spans in one batch; every row's logits, final vector, logprob of id 7, log-sum-exp and entropy go to `out`. */
static void eval_spans(rig *r, const jt_span *span, int n_span, uint8_t *out) {
    static const int32_t target[1] = {7};
    int rows = 0;
    for (int i = 0; i < n_span; i++) rows += span[i].n;
    jt_want *want = calloc((size_t)rows, sizeof *want);
    double *number = calloc((size_t)rows, 3 * sizeof *number);
    float *vector = calloc((size_t)rows, r->row);
    assert_non_null(want);
    assert_non_null(number);
    assert_non_null(vector);
    size_t vocab = (size_t)r->info.vocab, width = vocab + (size_t)r->info.hidden;
    for (int i = 0; i < rows; i++)
        want[i] = (jt_want){.row = i,
                            .logits = vector + (size_t)i * width,
                            .final = vector + (size_t)i * width + vocab,
                            .targets = target,
                            .n_targets = 1,
                            .target_logprob = number + 3 * i,
                            .log_sum_exp = number + 3 * i + 1,
                            .entropy = number + 3 * i + 2};
    jt_error err;
    ok(jt_eval(r->model, &(jt_batch){.span = span, .n_span = n_span, .want = want, .n_want = rows}, &err), &err);
    for (int i = 0; i < rows; i++) {
        uint8_t *at = out + (size_t)i * r->row;
        memcpy(at, number + 3 * i, 3 * sizeof *number);
        memcpy(at + 3 * sizeof *number, vector + (size_t)i * width, width * sizeof(float));
    }
    free(want);
    free(number);
    free(vector);
}

static void eval_rows(rig *r, jt_state *s, const int32_t *ids, int n, uint8_t *out) {
    eval_spans(r, &(jt_span){.state = s, .ids = ids, .n = n}, 1, out);
}

static uint8_t *rows_new(const rig *r, int n) {
    uint8_t *p = malloc((size_t)n * r->row);
    assert_non_null(p);
    return p;
}

/* Fails unless got[0..n) are bit for bit want[0..n); what, a and b say where. */
static void same(const suite *s, const rig *r, const uint8_t *got, const uint8_t *want, int n, const char *what, int a, int b) {
    for (int i = 0; i < n; i++) {
        const uint8_t *x = got + (size_t)i * r->row, *y = want + (size_t)i * r->row;
        if (!memcmp(x, y, r->row)) continue;
        size_t at = 0;
        while (x[at] == y[at]) at++;
        fail_msg("%s: %s (%d, %d): row %d of %d differs at byte %zu of %zu", s->name, what, a, b, i, n, at, r->row);
    }
}

/* The suite's ids [from, from + n) on a state that stands at `from` must give the reference's rows. */
static void same_rows(const suite *s, rig *r, jt_state *st, int from, int n, const char *what, int a) {
    uint8_t *got = rows_new(r, n);
    eval_rows(r, st, s->ids + from, n, got);
    same(s, r, got, s->ref + (size_t)from * r->row, n, what, a, from);
    free(got);
}

/* Ids [0, to) in pieces of `step` rows. */
static void in_steps(const suite *s, rig *r, int to, int step, const char *what, int a) {
    jt_state *st = state_new(r);
    for (int from = 0; from < to; from += step) same_rows(s, r, st, from, from + step < to ? step : to - from, what, a);
    jt_state_free(st);
}

/* ---- the tests; each runs over all suites ---- */

static void test_reference_is_sane(void **unused) {
    (void)unused;
    for (int k = 0; k < n_suites; k++) {
        suite *s = &suites[k];
        for (int i = 0; i < s->length; i++) {
            const uint8_t *row = s->ref + (size_t)i * s->base.row;
            double number[3];
            float logit;
            memcpy(number, row, sizeof number);
            memcpy(&logit, row + sizeof number, sizeof logit);
            if (!isfinite(number[0]) || !isfinite(number[1]) || !(number[2] > 0) || !isfinite(logit))
                fail_msg("%s: row %d is not finite", s->name, i);
            if (i) assert_memory_not_equal(row, row - s->base.row, s->base.row);
        }
        /* Modes of one model must differ, or the tests would compare nothing. */
        for (int j = 0; j < k; j++)
            if (!strcmp(suites[j].path, s->path)) {
                assert_true(suites[j].base.info.mode != s->base.info.mode);
                assert_memory_not_equal(suites[j].ref + 40 * s->base.row, s->ref + 40 * s->base.row, s->base.row);
            }
    }
}

static const int batch_sizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 33, 65, 129, 512};
enum { BATCHES = sizeof batch_sizes / sizeof *batch_sizes };

static void test_batch_sizes(void **unused) {
    (void)unused;
    for (int k = 0; k < n_suites; k++) {
        suite *s = &suites[k];
        for (int i = 0; i < BATCHES; i++) {
            int n = batch_sizes[i];
            if (n > s->length) continue;
            if (!s->big) in_steps(s, &s->base, n < 65 ? 130 : s->length, n, "rows a batch", n);
            int from = (s->length - n) * 2 / 3;
            jt_state *st = fork_at(s->full, from);
            same_rows(s, &s->base, st, from, n, "rows a batch from the middle", n);
            jt_state_free(st);
        }
    }
}

/* n sequences of unequal length, one row each: what decoding many chats does. */
static void test_one_row_each(void **unused) {
    (void)unused;
    for (int k = 0; k < n_suites; k++) {
        suite *s = &suites[k];
        for (int i = 0; i < BATCHES && batch_sizes[i] <= (s->big ? 17 : 129); i++) {
            int n = batch_sizes[i];
            jt_span span[129];
            int at[129];
            uint8_t *got = rows_new(&s->base, n);
            for (int j = 0; j < n; j++) {
                at[j] = (j * 37 + n) % (s->length - 1);
                span[j] = (jt_span){.state = fork_at(s->full, at[j]), .ids = s->ids + at[j], .n = 1};
            }
            eval_spans(&s->base, span, n, got);
            for (int j = 0; j < n; j++) {
                same(s, &s->base, got + (size_t)j * s->base.row, s->ref + (size_t)at[j] * s->base.row, 1, "one row each", n, j);
                jt_state_free(span[j].state);
            }
            free(got);
        }
    }
}

static void test_prompt_cut_anywhere(void **unused) {
    (void)unused;
    for (int k = 0; k < n_suites; k++) {
        suite *s = &suites[k];
        for (int cut = 1; cut < 64; cut += s->big && !long_run ? 21 : 1) {
            jt_state *st = state_new(&s->base);
            same_rows(s, &s->base, st, 0, cut, "prompt cut", cut);
            same_rows(s, &s->base, st, cut, 64 - cut, "prompt cut", cut);
            jt_state_free(st);
        }
    }
}

/* Prompts around the borders of attention tiles, whole. */
static void test_tiles(void **unused) {
    (void)unused;
    static const int length[] = {31, 32, 33, 63, 64, 65, 95, 96, 97};
    for (int k = 0; k < n_suites; k++)
        for (int i = suites[k].big && !long_run ? 3 : 0; i < (suites[k].big && !long_run ? 6 : 9); i++)
            in_steps(&suites[k], &suites[k].base, length[i], length[i], "whole prompt", length[i]);
}

static void on_machine(const suite *s, machine how, int to, int step, const char *what, int a) {
    rig r;
    rig_open(s, how, &r);
    assert_true(r.info.mode == s->base.info.mode);
    in_steps(s, &r, to, step, what, a);
    rig_close(&r);
}

static void test_threads(void **unused) {
    (void)unused;
    for (int k = 0; k < n_suites; k++)
        for (int t = 1; t <= 4; t++) {
            on_machine(&suites[k], (machine){.threads = t}, 70, 35, "threads", t);
            on_machine(&suites[k], (machine){.threads = t}, 6, 1, "threads, row by row", t);
        }
}

static void test_kernels(void **unused) {
    (void)unused;
    for (int k = 0; k < n_suites; k++)
        for (int i = 0; i < jt_kernels_count(); i++) {
            int usable = 0;
            const char *name = jt_kernels_name(i, &usable);
            if (!usable) continue;
            bool slow = suites[k].big && !strcmp(name, "scalar");
            int rows = !slow ? 70 : long_run ? 20 : 2;
            on_machine(&suites[k], (machine){.threads = slow ? 0 : 1, .kernels = name}, rows, rows > 35 ? 35 : rows, name, i);
            if (!slow) on_machine(&suites[k], (machine){.threads = 1, .kernels = name}, 5, 1, name, i);
        }
}

static void test_mapped(void **unused) {
    (void)unused;
    for (int k = 0; k < n_suites; k++) {
        suite *s = &suites[k];
        on_machine(s, (machine){.threads = 1, .no_repack = 1}, 70, 35, "mapped", 0);
        on_machine(s, (machine){.threads = 2, .no_repack = 1}, 4, 1, "mapped", 1);
        for (int i = 0; !s->big && i < jt_kernels_count(); i++) {
            int usable = 0;
            const char *name = jt_kernels_name(i, &usable);
            if (usable) on_machine(s, (machine){.threads = 1, .no_repack = 1, .kernels = name}, 36, 18, "mapped", i + 2);
        }
    }
}

static void test_ubatch(void **unused) {
    (void)unused;
    static const int ubatch[] = {1, 7, 64, 512};
    for (int k = 0; k < n_suites; k++)
        for (int i = 0; i < 4; i++) {
            int n = suites[k].big && !long_run ? 80 : suites[k].length;
            on_machine(&suites[k], (machine){.threads = 1, .ubatch = ubatch[i]}, n, n, "ubatch", ubatch[i]);
        }
}

/* A state taken back to any position and extended, beside a fork that goes another way from there. */
static void test_page_borders(void **unused) {
    (void)unused;
    for (int k = 0; k < n_suites; k++) {
        suite *s = &suites[k];
        rig *r = &s->base;
        int32_t other[40];
        for (int i = 0; i < 40; i++) other[i] = (s->ids[i + 1] + 1) % r->info.vocab;
        for (int p = 1; p <= 98; p += s->big && !long_run ? 31 : 1) {
            int more = p % 3 == 0 ? 33 : 2;
            uint8_t *got = rows_new(r, more), *again = rows_new(r, more);
            jt_state *a = fork_at(s->full, p), *b;
            same_rows(s, r, a, p, 1, "after truncate", p);
            b = fork_at(a, p);
            eval_rows(r, b, other, more, got); /* writes where pages are shared */
            same_rows(s, r, a, p + 1, more, "after a fork wrote", p);
            jt_state_free(a);
            a = fork_at(s->full, s->length);
            jt_error err;
            ok(jt_state_truncate(a, p, &err), &err);
            ok(jt_state_truncate(b, p, &err), &err);
            eval_rows(r, b, other, more, again);
            same(s, r, again, got, more, "the other way again", p, more);
            jt_state_free(b);
            same_rows(s, r, a, p, 1, "truncated twice", p);
            if (!s->big || (long_run && p % 7 == 4)) { /* the other way from nothing */
                b = state_new(r);
                uint8_t *skip = rows_new(r, p);
                eval_rows(r, b, s->ids, p, skip);
                eval_rows(r, b, other, more, again);
                same(s, r, again, got, more, "the other way from nothing", p, more);
                free(skip);
                jt_state_free(b);
            }
            jt_state_free(a);
            free(got);
            free(again);
        }
    }
}

/* Several sequences alone, then in one batch in every rotation, forward and backward. */
static void test_company(void **unused) {
    (void)unused;
    static const int length[5] = {33, 1, 70, 5, 31};
    for (int k = 0; k < n_suites; k++) {
        suite *s = &suites[k];
        rig *r = &s->base;
        uint8_t *alone[5], *got = rows_new(r, 140);
        for (int i = 0; i < 5; i++) {
            jt_state *st = state_new(r);
            alone[i] = rows_new(r, length[i]);
            eval_rows(r, st, s->ids + 11 * i, length[i], alone[i]);
            jt_state_free(st);
        }
        for (int turn = 0; turn < 10; turn += s->big && !long_run ? 7 : 1) {
            jt_span span[5];
            int who[5];
            for (int i = 0; i < 5; i++) {
                int at = (i + turn) % 5;
                who[i] = turn < 5 ? at : 4 - at;
                span[i] = (jt_span){.state = state_new(r), .ids = s->ids + 11 * who[i], .n = length[who[i]]};
            }
            eval_spans(r, span, 5, got);
            size_t row = 0;
            for (int i = 0; i < 5; i++) {
                same(s, r, got + row * r->row, alone[who[i]], length[who[i]], "in company", turn, who[i]);
                row += (size_t)length[who[i]];
                jt_state_free(span[i].state);
            }
        }
        for (int i = 0; i < 5; i++) free(alone[i]);
        free(got);
    }
}

/* Random forks, truncations and extensions of eight sequences; each extension must give what its whole history gives anew. */
static void test_replay(void **unused) {
    (void)unused;
    enum { SLOTS = 8, MOST = 150 };
    for (int k = 0; k < n_suites; k++) {
        suite *s = &suites[k];
        rig *r = &s->base;
        jt_state *st[SLOTS] = {0};
        static int32_t past[SLOTS][MOST];
        uint8_t *got = rows_new(r, MOST), *fresh = rows_new(r, MOST);
        jt_error err;
        for (uint32_t step = 0; step < (s->big ? long_run ? 24 : 6 : 120); step++) {
            uint32_t w[4];
            jt_philox((uint32_t[4]){step, 5, 0, 0}, (uint32_t[2]){3, 9}, w);
            int a = (int)(w[0] % SLOTS), b = (int)(w[1] % SLOTS), n;
            if (!st[a]) st[a] = state_new(r);
            int have = jt_state_length(st[a]);
            if (a != b && w[2] % 3 == 0) { /* b becomes a's past, up to a random position */
                int keep = (int)(w[3] % (uint32_t)(have + 1));
                jt_state_free(st[b]);
                st[b] = fork_at(st[a], keep);
                memcpy(past[b], past[a], (size_t)keep * sizeof **past);
                a = b, have = keep;
            } else if (w[2] % 3 == 1) {
                have = (int)(w[3] % (uint32_t)(have + 1));
                ok(jt_state_truncate(st[a], have, &err), &err);
            }
            n = 1 + (int)(w[1] / 8 % 40);
            if (have + n > MOST) n = MOST - have;
            if (n == 0) continue;
            for (int i = 0; i < n; i++) past[a][have + i] = s->ids[(int)(w[3] / 64 % 500) % (s->length - 40) + i % 40];
            eval_rows(r, st[a], past[a] + have, n, got);
            jt_state *anew = state_new(r);
            eval_rows(r, anew, past[a], have + n, fresh);
            same(s, r, got, fresh + (size_t)have * r->row, n, "replayed", (int)step, have);
            jt_state_free(anew);
        }
        for (int i = 0; i < SLOTS; i++) jt_state_free(st[i]);
        free(got);
        free(fresh);
    }
}

/* ---- suites ---- */

static char folder[] = "/tmp/jeton-invariance-XXXXXX";

static void add_suite(const char *name, const char *path, jt_activations act, jt_kv_type kv, bool big) {
    suite *s = &suites[n_suites++];
    *s = (suite){.act = act, .kv = kv, .big = big, .length = big ? long_run ? 512 : 130 : 520};
    snprintf(s->name, sizeof s->name, "%s, %s, %s", name,
             act == JT_ACT_INT8   ? "int8"
             : act == JT_ACT_BF16 ? "bf16"
                                  : "float",
             kv == JT_KV_F16   ? "f16"
             : kv == JT_KV_F32 ? "f32"
                               : "q8_0");
    snprintf(s->path, sizeof s->path, "%s", path);
}

static void add_tiny(jt_type type, jt_activations act, jt_kv_type kv) {
    char path[256];
    tiny_llama t = tiny_llama_of(type);
    const char *name = jt_format_of(type)->name;
    snprintf(path, sizeof path, "%s/%s.gguf", folder, name);
    if (access(path, R_OK)) tiny_llama_write(path, &t);
    add_suite(name, path, act, kv, false);
}

static int setup(void **unused) {
    (void)unused;
    static const jt_type quantised[] = {JT_Q4_1, JT_Q8_0, JT_Q4_0}, plain[] = {JT_F32, JT_F16, JT_BF16};
    const char *model = getenv("JETON_TEST_MODEL"), *env = getenv("JETON_TEST_LONG");
    long_run = env && *env && strcmp(env, "0") != 0;
    if (!mkdtemp(folder)) return -1;
    for (int i = 0; i < 3; i++)
        for (int mode = 0; mode < 5 + !i; mode++) {
            static const jt_kv_type types[] = {JT_KV_F16, JT_KV_F32, JT_KV_Q8_0};
            jt_activations act = mode & 1 ? JT_ACT_FLOAT : JT_ACT_INT8;
            jt_kv_type kv = types[mode / 2];
            add_tiny(quantised[i], act, kv);
            if (act == JT_ACT_FLOAT) add_tiny(plain[i], act, kv);
        }
    add_tiny(JT_F16, JT_ACT_BF16, JT_KV_F16), add_tiny(JT_BF16, JT_ACT_BF16, JT_KV_F32), add_tiny(JT_F32, JT_ACT_BF16, JT_KV_Q8_0);
    add_tiny(JT_Q4_1, JT_ACT_BF16, JT_KV_F16);
    if (model && *model) {
        add_suite("model", model, JT_ACT_INT8, JT_KV_F16, true);
        add_suite("model", model, JT_ACT_INT8, JT_KV_Q8_0, true);
        if (long_run) add_suite("model", model, JT_ACT_FLOAT, JT_KV_F32, true), add_suite("model", model, JT_ACT_BF16, JT_KV_F16, true);
    }
    for (int k = 0; k < n_suites; k++) {
        suite *s = &suites[k];
        rig_open(s, (machine){.threads = 1}, &s->base);
        for (int i = 0; i < s->length; i++) {
            uint32_t w[4];
            jt_philox((uint32_t[4]){(uint32_t)i, 0, 0, 0}, (uint32_t[2]){1, 2}, w);
            s->ids[i] = (int32_t)(w[0] % (uint32_t)s->base.info.vocab);
        }
        s->ref = rows_new(&s->base, s->length);
        s->full = state_new(&s->base);
        for (int i = 0; i < s->length; i++) eval_rows(&s->base, s->full, s->ids + i, 1, s->ref + (size_t)i * s->base.row);
    }
    return 0;
}

static int teardown(void **unused) {
    (void)unused;
    for (int k = 0; k < n_suites; k++) {
        jt_state_free(suites[k].full);
        free(suites[k].ref);
        rig_close(&suites[k].base);
        if (!suites[k].big) unlink(suites[k].path);
    }
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_is_sane),
        cmocka_unit_test(test_batch_sizes),
        cmocka_unit_test(test_one_row_each),
        cmocka_unit_test(test_prompt_cut_anywhere),
        cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_kernels),
        cmocka_unit_test(test_mapped),
        cmocka_unit_test(test_ubatch),
        cmocka_unit_test(test_page_borders),
        cmocka_unit_test(test_company),
        cmocka_unit_test(test_replay),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
