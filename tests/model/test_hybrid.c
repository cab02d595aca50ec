/* Layers with recurrences: what a row gives depends on its path and the numeric mode alone, whatever was forked, cut back,
 * grown as a tree or run in passes; bits are compared with rows evaluated one after another on one thread. Values against
 * transformers are in test_reference.c, for the folders; here for GGUF files. */
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

#include "alloc_wrap.h"
#include "core/random.h"
#include "jeton/adapter.h"
#include "jeton/keys.h"
#include "jeton/model.h"
#include "jeton/tap.h"
#include "model/hybrid_gguf.h"
#include "model/model.h"

enum { VOCAB = HYBRID_VOCAB, LENGTH = 600, CONTEXT = 1024, MODES = 6 };

typedef float row[VOCAB];

typedef struct mode {
    const char *name, *path;
    jt_activations act;
    jt_kv_type kv;
} mode;

typedef struct fixture {
    char gguf[4][64]; /* one and two in F32, one and two in Q8_0 */
    char state[64];
    mode mode[MODES];
    jt_engine *engine;
    jt_model *model[MODES];
    int32_t ids[LENGTH];
    row *ref[MODES]; /* [LENGTH] */
} fixture;

static uint32_t drawn;
static int draw(int n) {
    uint32_t r[4];
    jt_philox((uint32_t[]){drawn++, 0, 0, 0}, (uint32_t[]){4711, 0}, r);
    return (int)(r[0] % (uint32_t)n);
}

static void ok(jt_status st, const jt_error *err) {
    if (st) fail_msg("%s: %s", jt_status_name(st), err->message);
}

static jt_model *open_model(jt_engine *e, const mode *m, int ubatch) {
    jt_error err;
    jt_model *out;
    ok(jt_model_open(e, m->path, &(jt_model_options){.activations = m->act, .kv_type = m->kv, .ubatch = ubatch}, &out, &err), &err);
    return out;
}

static jt_engine *open_engine(int threads, const char *kernels) {
    jt_error err;
    jt_engine *e;
    ok(jt_engine_new(&(jt_engine_options){.threads = threads, .kernels = kernels}, &e, &err), &err);
    return e;
}

static jt_state *state_of(jt_model *m) {
    jt_error err;
    jt_state *s;
    ok(jt_state_new(m, CONTEXT, &s, &err), &err);
    return s;
}

static jt_state *fork_of(const jt_state *s) {
    jt_error err;
    jt_state *t;
    ok(jt_state_fork(s, &t, &err), &err);
    return t;
}

static void cut(jt_state *s, int n) {
    jt_error err;
    ok(jt_state_truncate(s, n, &err), &err);
}

/* Evaluates a span; out [n] gets its rows. */
static jt_status try_eval(const jt_span *p, row *out, jt_error *err) {
    jt_want want[LENGTH];
    for (int i = 0; i < p->n; i++) want[i] = (jt_want){.row = i, .logits = out[i]};
    return jt_eval(jt_state_model(p->state), &(jt_batch){.span = p, .n_span = 1, .want = want, .n_want = out ? p->n : 0}, err);
}

static void eval(const jt_span *p, row *out) {
    jt_error err;
    ok(try_eval(p, out, &err), &err);
}

static void line(jt_state *s, const int32_t *ids, int n, row *out) { eval(&(jt_span){.state = s, .ids = ids, .n = n}, out); }

static int begin(void **state) {
    fixture *f = calloc(1, sizeof *f);
    *state = f;
    if (!f) return 1;
    for (int i = 0; i < 4; i++) {
        snprintf(f->gguf[i], sizeof f->gguf[i], "/tmp/jeton-hybrid-%d-%ld.gguf", i, (long)getpid());
        hybrid_write(i % 2 ? FIXTURES "/hybrid/two" : FIXTURES "/hybrid/one", f->gguf[i], i / 2);
    }
    snprintf(f->state, sizeof f->state, "/tmp/jeton-hybrid-state-%ld", (long)getpid());
    const mode modes[MODES] = {{"one, float, f32", FIXTURES "/hybrid/one", JT_ACT_FLOAT, JT_KV_F32},
                               {"two, float, f16", FIXTURES "/hybrid/two", JT_ACT_FLOAT, JT_KV_F16},
                               {"one, q8_0 int8, f16", f->gguf[2], JT_ACT_INT8, JT_KV_F16},
                               {"two, q8_0 int8, q8_0", f->gguf[3], JT_ACT_INT8, JT_KV_Q8_0},
                               {"one, q8_0 float, q8_0", f->gguf[2], JT_ACT_FLOAT, JT_KV_Q8_0},
                               {"two, q8_0 int8, f32", f->gguf[3], JT_ACT_INT8, JT_KV_F32}};
    memcpy(f->mode, modes, sizeof modes);
    for (int i = 0; i < LENGTH; i++) f->ids[i] = draw(VOCAB);
    f->engine = open_engine(1, NULL);
    for (int m = 0; m < MODES; m++) {
        f->model[m] = open_model(f->engine, &f->mode[m], 0);
        f->ref[m] = calloc(LENGTH, sizeof *f->ref[m]);
        jt_state *s = state_of(f->model[m]);
        for (int i = 0; i < LENGTH; i++) line(s, f->ids + i, 1, f->ref[m] + i);
        jt_state_free(s);
    }
    return 0;
}

static int end(void **state) {
    fixture *f = *state;
    for (int m = 0; m < MODES; m++) jt_model_free(f->model[m]), free(f->ref[m]);
    jt_engine_free(f->engine);
    for (int i = 0; i < 4; i++) unlink(f->gguf[i]);
    unlink(f->state);
    free(f);
    return 0;
}

static void same(const fixture *f, int m, const row *got, int from, int n, const char *what) {
    for (int i = 0; i < n; i++)
        if (memcmp(got[i], f->ref[m][from + i], sizeof(row))) fail_msg("%s: %s: row %d differs", f->mode[m].name, what, from + i);
}

/* ---- values ---- */

static void gguf_files_give_what_transformers_gives(void **state) {
    fixture *f = *state;
    jt_error err;
    for (int i = 0; i < 2; i++) {
        jt_safetensors *t;
        int64_t ids[40];
        int32_t id[40];
        row want[40], got[40];
        jt_model *m;
        ok(jt_safetensors_open(i ? FIXTURES "/hybrid/two/expected.safetensors" : FIXTURES "/hybrid/one/expected.safetensors", &t, &err),
           &err);
        ok(jt_st_read_i64(jt_safetensors_tensor_named(t, "input_ids"), 0, 40, ids, &err), &err);
        ok(jt_st_read_f32(jt_safetensors_tensor_named(t, "logits"), 0, 40 * VOCAB, want[0], &err), &err);
        for (int k = 0; k < 40; k++) id[k] = (int32_t)ids[k];
        ok(jt_model_open(f->engine, f->gguf[i], &(jt_model_options){.activations = JT_ACT_FLOAT}, &m, &err), &err);
        jt_state *s = state_of(m);
        line(s, id, 40, got);
        for (int k = 0; k < 40; k++)
            for (int j = 0; j < VOCAB; j++) assert_true(fabsf(got[k][j] - want[k][j]) < 2e-4f);
        jt_state_free(s), jt_model_free(m), jt_safetensors_free(t);
    }
}

/* Rows that run no layer leave the others as they are: they are no step of a recurrence, and have no key. */
static void rows_that_skip_all_layers_change_nothing(void **state) {
    fixture *f = *state;
    int32_t ids[60];
    jt_layers layers[60];
    row got[60];
    int real = 0;
    for (int i = 0; i < 60; i++) {
        bool in = i % 3 != 1 && (i < 20 || i > 26);
        ids[i] = in ? f->ids[real] : 5, layers[i] = (jt_layers){{in ? ~(uint64_t)0 : 0}}, real += in;
    }
    jt_state *s = state_of(f->model[0]);
    eval(&(jt_span){.state = s, .ids = ids, .n = 60, .layers = layers}, got);
    for (int i = 0, k = 0; i < 60; i++) {
        if (!layers[i].word[0]) continue;
        for (int j = 0; j < VOCAB; j++) assert_true(fabsf(got[i][j] - f->ref[0][k][j]) < 1e-4f);
        k++;
    }
    jt_state_free(s);
}

/* ---- bits ---- */

static void cuts_of_the_prompt_do_not_matter(void **state) {
    fixture *f = *state;
    row got[70];
    for (int m = 0; m < MODES; m++)
        for (int c = 0; c <= 70; c++) {
            jt_state *s = state_of(f->model[m]);
            line(s, f->ids, c, got), line(s, f->ids + c, 70 - c, got + c);
            same(f, m, got, 0, 70, "cut prompt");
            jt_state_free(s);
        }
}

static void passes_threads_and_kernels_do_not_matter(void **state) {
    fixture *f = *state;
    static const char *const kernels[] = {"scalar", "avx2", "avx512"};
    static const int ubatch[] = {1, 7, 100, 512};
    row *got = calloc(LENGTH, sizeof *got);
    for (int how = 0; how < 4; how++)
        for (int m = 0; m < MODES; m++) {
            jt_engine *e;
            if (jt_engine_new(&(jt_engine_options){.threads = 1 + how % 3, .kernels = how < 3 ? kernels[how] : NULL}, &e, NULL)) continue;
            jt_model *model = open_model(e, &f->mode[m], ubatch[how]);
            jt_state *s = state_of(model);
            line(s, f->ids, LENGTH, got);
            same(f, m, got, 0, LENGTH, how < 3 ? kernels[how] : "512 rows");
            jt_state_free(s), jt_model_free(model), jt_engine_free(e);
        }
    free(got);
}

static void a_state_cut_to_any_length_goes_on(void **state) {
    fixture *f = *state;
    row got[5];
    for (int m = 0; m < MODES; m++) {
        jt_state *full = state_of(f->model[m]);
        line(full, f->ids, LENGTH, NULL);
        for (int n = 0; n <= LENGTH - 5; n += m ? 17 : 1) {
            jt_state *s = fork_of(full);
            cut(s, n);
            line(s, f->ids + n, 2, got), line(s, f->ids + n + 2, 1, got + 2);
            cut(s, n + 1 + n % 2);
            line(s, f->ids + n + 1 + n % 2, 3 - n % 2, got + 1 + n % 2);
            same(f, m, got, n, 4, "cut state");
            jt_state_free(s);
        }
        for (int n = LENGTH; n >= 2; n -= n > 40 ? 37 : 1) { /* one state, ever shorter */
            cut(full, n - 1);
            line(full, f->ids + n - 1, 1, got);
            same(f, m, got, n - 1, 1, "ever shorter state");
        }
        jt_state_free(full);
    }
}

/* What a state holds, for comparison: nodes with their ids and layers. */
typedef struct shadow {
    jt_state *s;
    int n, parent[LENGTH];
    int32_t id[LENGTH];
    jt_layers layers[LENGTH];
    row got[LENGTH];
} shadow;

/* The path of a node evaluated by itself gives the node's bits. */
static void check_node(jt_model *m, const shadow *w, int node, const char *name) {
    int32_t ids[LENGTH];
    jt_layers layers[LENGTH];
    int n = 0;
    for (int k = node; k >= 0; k = w->parent[k]) n++;
    for (int k = node, i = n; k >= 0; k = w->parent[k]) i--, ids[i] = w->id[k], layers[i] = w->layers[k];
    row *got = calloc((size_t)n, sizeof *got);
    jt_state *s = state_of(m);
    eval(&(jt_span){.state = s, .ids = ids, .n = n, .layers = layers}, got);
    if (memcmp(got[n - 1], w->got[node], sizeof(row))) fail_msg("%s: node %d differs from its path alone", name, node);
    jt_state_free(s);
    free(got);
}

/* Grows a random tree by n rows. */
static void grow(shadow *w, int n, bool skips) {
    int32_t parent[64];
    int kind = draw(4);
    for (int i = 0; i < n; i++) {
        int at = w->n + i, near = at < 12 ? at : 12;
        parent[i] = kind == 0 || !at ? JT_PREVIOUS : kind == 1 ? at - 1 - draw(near) : i && draw(2) ? w->n + draw(i) : draw(at + 1) - 1;
        if (kind && parent[i] < 0) parent[i] = at ? JT_NO_PARENT : JT_PREVIOUS;
        w->parent[at] = parent[i] == JT_NO_PARENT ? -1 : parent[i] == JT_PREVIOUS ? at - 1 : parent[i];
        w->id[at] = draw(VOCAB);
        w->layers[at] = (jt_layers){{skips && !draw(4) ? (uint64_t)draw(16) : ~(uint64_t)0}};
    }
    eval(&(jt_span){.state = w->s, .ids = w->id + w->n, .n = n, .parent = kind ? parent : NULL, .layers = skips ? w->layers + w->n : NULL},
         w->got + w->n);
    w->n += n;
}

static void keep_path(shadow *w, int node) {
    jt_error err;
    int path[LENGTH], n = 0;
    ok(jt_state_truncate_to(w->s, node, &err), &err);
    for (int k = node; k >= 0; k = w->parent[k]) path[n++] = k;
    for (int i = 0; i < n; i++) { /* no node of a path lies above its depth */
        int k = path[n - 1 - i];
        w->id[i] = w->id[k], w->layers[i] = w->layers[k];
        memmove(w->got[i], w->got[k], sizeof(row));
    }
    for (int i = 0; i < n; i++) w->parent[i] = i - 1;
    w->n = n;
}

static void random_trees_equal_their_paths(void **state) {
    fixture *f = *state;
    static const int ubatch[] = {512, 3, 1, 9};
    for (int round = 0; round < 24; round++) {
        jt_engine *e = open_engine(1 + round % 2, NULL);
        const mode *how = &f->mode[round % MODES];
        jt_model *m = open_model(e, how, ubatch[round / MODES]);
        shadow *w = calloc(2, sizeof *w);
        w->s = state_of(m);
        bool skips = round % 3 == 2;
        for (int step = 0; step < 14; step++) {
            int what = draw(8);
            if (what < 4 || w->n < 2) {
                grow(w, 1 + draw(24), skips);
            } else if (what < 6) {
                keep_path(w, draw(w->n));
            } else if (what == 6) {
                cut(w->s, w->n = 1 + draw(w->n));
            } else { /* a fork goes on; then its origin, which must not have seen it */
                w[1] = w[0];
                w[1].s = fork_of(w->s);
                grow(&w[1], 1 + draw(9), skips);
                check_node(m, &w[1], w[1].n - 1, how->name);
                jt_state_free(draw(2) ? (keep_path(&w[1], draw(w[1].n)), grow(&w[1], 3, skips), w[1].s) : w[1].s);
            }
            for (int k = 0; k < 3 && w->n; k++) check_node(m, w, k ? draw(w->n) : w->n - 1, how->name);
        }
        jt_state_free(w->s);
        free(w);
        jt_model_free(m), jt_engine_free(e);
    }
}

/* Draft and verify around the depths at which marks are left for good: a tree, the path of one leaf, and so on. */
static void trees_across_marks_equal_the_line(void **state) {
    fixture *f = *state;
    for (int m = 0; m < MODES; m++) {
        jt_state *s = state_of(f->model[m]);
        row got[12];
        int n = 240;
        line(s, f->ids, n, NULL);
        while (n < 290 || (n > 500 && n < 530)) {
            int32_t ids[12], parent[12];
            for (int i = 0; i < 6; i++) { /* the line, and beside it wrong guesses */
                ids[2 * i] = (f->ids[n + i] + 1) % VOCAB, ids[2 * i + 1] = f->ids[n + i];
                parent[2 * i] = parent[2 * i + 1] = i ? n + 2 * i - 1 : n - 1;
            }
            eval(&(jt_span){.state = s, .ids = ids, .n = 12, .parent = parent}, got);
            int take = 1 + n % 6;
            for (int i = 0; i < take; i++) same(f, m, got + 2 * i + 1, n + i, 1, "accepted row");
            jt_error err;
            ok(jt_state_truncate_to(s, n + 2 * take - 1, &err), &err);
            n += take;
            if (n >= 290 && n < 500) line(s, f->ids + n, 505 - n, NULL), n = 505;
        }
        jt_state_free(s);
    }
}

static void a_batch_of_several_states_equals_each(void **state) {
    fixture *f = *state;
    for (int m = 0; m < MODES; m++) {
        jt_state *s[3];
        row got[21];
        jt_want want[21];
        jt_span span[3];
        jt_error err;
        static const int at[] = {0, 254, 31};
        for (int k = 0; k < 3; k++) {
            s[k] = state_of(f->model[m]);
            line(s[k], f->ids, at[k] + 2, NULL), cut(s[k], at[k]);
            span[k] = (jt_span){.state = s[k], .ids = f->ids + at[k], .n = 7};
        }
        for (int i = 0; i < 21; i++) want[i] = (jt_want){.row = i, .logits = got[i]};
        ok(jt_eval(f->model[m], &(jt_batch){.span = span, .n_span = 3, .want = want, .n_want = 21}, &err), &err);
        for (int k = 0; k < 3; k++) same(f, m, got + 7 * k, at[k], 7, "batch"), jt_state_free(s[k]);
    }
}

static void a_state_read_from_a_file_goes_on(void **state) {
    fixture *f = *state;
    row got[8];
    jt_error err;
    for (int m = 0; m < MODES; m++) {
        jt_state *s = state_of(f->model[m]), *t;
        line(s, f->ids, 300, NULL);
        ok(jt_state_save(s, f->state, &err), &err);
        ok(jt_state_load(f->model[m], f->state, &t, &err), &err);
        line(t, f->ids + 300, 4, got), line(t, f->ids + 304, 4, got + 4);
        same(f, m, got, 300, 8, "state of a file");
        cut(t, 257);
        line(t, f->ids + 257, 8, got);
        same(f, m, got, 257, 8, "state of a file, cut");
        jt_state_free(s), jt_state_free(t);
    }
}

static void has_marks(const jt_state *s, const int *node, size_t n) {
    assert_int_equal(s->marks.n, n);
    for (size_t i = 0; i < n; i++) assert_int_equal(s->marks.at[i].node, node[i]);
}
#define HAS_MARKS(s, ...) has_marks(s, (int[]){__VA_ARGS__}, sizeof((int[]){__VA_ARGS__}) / sizeof(int))

/* States of recurrences are kept at the end, where the last eval went on from, and at every 256th node. */
static void marks_are_few_and_shared(void **state) {
    fixture *f = *state;
    jt_model *m = open_model(f->engine, &f->mode[0], 64);
    jt_state *s = state_of(m), *t;
    jt_error err;
    line(s, f->ids, 530, NULL);
    HAS_MARKS(s, 255, 511, 529);
    line(s, f->ids + 530, 9, NULL), line(s, f->ids + 539, 1, NULL);
    HAS_MARKS(s, 255, 511, 538, 539);
    t = fork_of(s);
    assert_ptr_equal(t->marks.at[1].page, s->marks.at[1].page);
    cut(t, 300);
    HAS_MARKS(t, 255);
    line(t, f->ids + 300, 1, NULL); /* what runs again ends in a mark */
    HAS_MARKS(t, 255, 299, 300);
    const int32_t parent[] = {300, 301, 301, 303};
    eval(&(jt_span){.state = t, .ids = f->ids, .n = 4, .parent = parent}, NULL);
    HAS_MARKS(t, 255, 300, 304);
    ok(jt_state_truncate_to(t, 304, &err), &err); /* 304 has depth 303 */
    HAS_MARKS(t, 255, 300, 303);
    ok(jt_state_truncate_to(t, 301, &err), &err);
    HAS_MARKS(t, 255, 300);
    jt_state_free(s), jt_state_free(t), jt_model_free(m);
}

/* Raw keys in F32 give the bits of rotated ones, and so does a list of all keys; a short one acts on the attention alone. */
static void lists_of_keys_act_on_the_attention_layers(void **state) {
    fixture *f = *state;
    int32_t depth[70];
    row got[70];
    jt_error err;
    for (int i = 0; i < 70; i++) depth[i] = i;
    for (int m = 0; m < MODES; m++) {
        jt_state *s = NULL;
        if (f->mode[m].kv != JT_KV_F32) continue;
        ok(jt_state_new_raw(f->model[m], CONTEXT, &s, &err), &err);
        line(s, f->ids, 40, got), line(s, f->ids + 40, 30, got + 40);
        same(f, m, got, 0, 70, "raw keys");
        cut(s, 33);
        ok(jt_state_set_keys(s, &(jt_keys){.depth = depth, .n = 70}, 1, &err), &err);
        line(s, f->ids + 33, 37, got);
        same(f, m, got, 33, 37, "all keys by list");
        cut(s, 33);
        ok(jt_state_set_keys(s, &(jt_keys){.depth = depth, .n = 3, .local = 2, .renumber = 1}, 1, &err), &err);
        line(s, f->ids + 33, 1, got);
        assert_true(memcmp(got[0], f->ref[m][33], sizeof(row)) != 0);
        jt_state_free(s);
    }
}

/* ---- failures ---- */

struct countdown {
    int left;
};

static int stop(void *self) { return ((struct countdown *)self)->left-- <= 0; }

static void a_cancelled_eval_changes_nothing(void **state) {
    fixture *f = *state;
    jt_model *m = open_model(f->engine, &f->mode[0], 7);
    jt_state *s = state_of(m);
    row got[60];
    line(s, f->ids, 250, NULL);
    for (int passes = 0; passes < 8; passes++) {
        struct countdown c = {passes};
        jt_span p = {.state = s, .ids = f->ids + 250, .n = 60};
        assert_int_equal(jt_eval(m, &(jt_batch){.span = &p, .n_span = 1, .cancelled = stop, .cancelled_self = &c}, NULL), JT_CANCELLED);
        assert_int_equal(jt_state_length(s), 250);
        jt_state *t = fork_of(s);
        line(t, f->ids + 250, 60, got);
        same(f, 0, got, 250, 60, "after a cancelled eval");
        jt_state_free(t);
    }
    jt_state_free(s), jt_model_free(m);
}

static void failed_allocations_change_nothing(void **state) {
    fixture *f = *state;
    jt_error err;
    row got[20];
    int32_t parent[20];
    int failures = 0;
    for (int i = 0; i < 20; i++) parent[i] = i ? 250 + i / 3 * 2 : 249; /* a tree over several passes */
    for (long at = 0;; at++) {
        jt_engine *e = open_engine(2, NULL);
        jt_model *m = open_model(e, &f->mode[0], 6);
        jt_state *s = state_of(m), *t = NULL;
        line(s, f->ids, 260, NULL);
        cut(s, 250);
        jt_span p = {.state = s, .ids = f->ids + 100, .n = 20, .parent = parent};
        alloc_fail_at(at);
        jt_status st = jt_state_fork(s, &t, &err);
        if (!st) st = try_eval(&p, got, &err);
        if (!st) st = jt_state_truncate_to(s, 264, &err);
        alloc_fail_at(-1);
        if (st) assert_int_equal(st, JT_NOMEM), failures++;
        if (jt_state_length(s) > 250) cut(s, 250);
        line(s, f->ids + 250, 20, got);
        same(f, 0, got, 250, 20, "after a failed allocation");
        if (t) line(t, f->ids + 250, 20, got), same(f, 0, got, 250, 20, "fork after a failed allocation");
        jt_state_free(s), jt_state_free(t), jt_model_free(m), jt_engine_free(e);
        if (!st) break;
    }
    assert_true(failures > 10);
}

static void what_is_not_honoured_is_refused(void **state) {
    fixture *f = *state;
    jt_error err;
    jt_state *s = state_of(f->model[0]);
    static const int32_t flat[] = {0, 1, 1}, high[] = {0, 5, 9};
    row got[3];
    jt_span p = {.state = s, .ids = f->ids, .n = 3, .rank = flat};
    assert_int_equal(try_eval(&p, got, &err), JT_UNSUPPORTED);
    assert_non_null(strstr(err.message, "row 2: rank 1"));
    p.rank = high;
    eval(&p, got); /* in order along the path: as it is by itself */
    same(f, 0, got, 0, 3, "ranks in order");
    p = (jt_span){.state = s, .ids = f->ids, .n = 1}; /* its depth is below the rank of what is before it */
    assert_int_equal(try_eval(&p, got, &err), JT_UNSUPPORTED);
    jt_state_free(s);
}

static void settings_that_are_not_known_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *change, *says;
    } setting[] = {{"\"num_local_experts\": 4, \"intermediate_size\": 8, \"num_experts_per_tok\": 5", "number of experts used is 5"},
                   {"\"layer_types\": [\"attention\"]", "layer_types"},
                   {"\"layer_types\": [\"mamba\", \"sliding_attention\"]", "layer 1 is of kind \"sliding_attention\""},
                   {"\"mamba_proj_bias\": true", "mamba_proj_bias"},
                   {"\"time_step_limit\": [0.01, 0.1]", "time_step_limit"},
                   {"\"time_step_limit\": [0.0, 0.1]", "time_step_limit"},
                   {"\"hidden_act\": \"gelu\"", "hidden_act"},
                   {"\"logits_scaling\": 0", "logits_scaling"},
                   {"\"position_embedding_type\": \"alibi\"", "alibi"},
                   {"\"mamba_d_head\": 7", "mamba_d_head"},
                   {"\"mamba_n_groups\": 3", "groups"},
                   {"\"mamba_d_conv\": 40", "convolution"}};
    for (size_t i = 0; i < sizeof setting / sizeof *setting; i++) {
        char text[1024];
        jt_json *j;
        jt_config c;
        jt_error err;
        snprintf(text, sizeof text,
                 "{\"model_type\": \"granitemoehybrid\", \"vocab_size\": 9, \"hidden_size\": 8, \"num_hidden_layers\": 2, "
                 "\"num_attention_heads\": 2, %s\"mamba_n_heads\": 4, \"mamba_d_state\": 4, %s}",
                 i ? "\"num_local_experts\": 0, " : "", setting[i].change);
        ok(jt_json_parse(text, strlen(text), &j, &err), &err);
        assert_int_not_equal(jt_config_from_hf(j, &c, &err), JT_OK);
        if (!strstr(err.message, setting[i].says)) fail_msg("\"%s\" does not say \"%s\"", err.message, setting[i].says);
        jt_json_free(j);
    }
}

static void settings_of_gguf_files_are_refused_by_name(void **state) {
    (void)state;
    static const struct {
        const char *key;
        uint32_t value;
        jt_status status;
        const char *says;
    } row_of[] = {{"granitehybrid.expert_count", 4, JT_FORMAT, "number of experts used is 0"},
                  {"granitehybrid.expert_count", 0, JT_OK, ""},
                  {"granitehybrid.attention.key_length", 0, JT_FORMAT, "head size is 0"},
                  {"granitehybrid.attention.key_length", 5000, JT_FORMAT, "head size is 5000"},
                  {"granitehybrid.rope.dimension_count", 6, JT_OK, ""}};
    for (size_t i = 0; i < sizeof row_of / sizeof *row_of; i++) {
        size_t n;
        jt_gguf *g;
        jt_config c;
        jt_error err = {0};
        uint8_t *file = hybrid_head(FIXTURES "/hybrid/two", row_of[i].key, row_of[i].value, &n);
        ok(jt_gguf_parse(file, n, &g, &err), &err);
        jt_status got = jt_config_from_gguf(g, &c, &err);
        if (got != row_of[i].status) fail_msg("%zu: %d, \"%s\"", i, (int)got, err.message);
        if (!strstr(err.message, row_of[i].says)) fail_msg("\"%s\" does not say \"%s\"", err.message, row_of[i].says);
        if (i == 4) assert_int_equal(c.rope_dims, 6);
        jt_gguf_free(g);
        free(file);
    }
}

static void opening_survives_failed_allocations(void **state) {
    fixture *f = *state;
    const char *path[] = {FIXTURES "/hybrid/two", f->gguf[2]};
    for (int i = 0; i < 2; i++) {
        jt_status s = JT_NOMEM;
        long at = 0;
        for (; s; at++) {
            jt_error err;
            jt_model *m;
            alloc_fail_at(at);
            s = jt_model_open(f->engine, path[i], NULL, &m, &err);
            alloc_fail_at(-1);
            if (s)
                assert_int_equal(s, JT_NOMEM);
            else
                jt_model_free(m);
        }
        assert_true(at > 100);
    }
}

/* ---- adapters ---- */

enum { RANK = 3 };

static bool adapted(const char *name) { return strstr(name, "ssm_in") || strstr(name, "ssm_out") || strstr(name, "attn_v"); }

/* Element i of half A or B of a weight's adapter. */
static float adapter_at(const char *name, int half, int i) {
    uint32_t r[4], h = (uint32_t)half;
    for (const char *c = name; *c; c++) h = h * 31 + (uint8_t)*c;
    jt_philox((uint32_t[]){(uint32_t)i, 1, 0, 0}, (uint32_t[]){h, 9}, r);
    return ((float)(r[0] % 2001) / 1000 - 1) * 0.2f;
}

static void merge(const char *name, float *x, int rows, int cols) {
    for (int r = 0; adapted(name) && r < rows; r++)
        for (int c = 0; c < cols; c++)
            for (int k = 0; k < RANK; k++) x[r * cols + c] += adapter_at(name, 1, r * RANK + k) * adapter_at(name, 0, k * cols + c);
}

static gguf_builder adapter_file;
static void collect(const char *name, float *x, int rows, int cols) {
    (void)x;
    for (int half = 0; adapted(name) && half < 2; half++) {
        int m = half ? rows : RANK, n = half ? RANK : cols;
        float *y = calloc((size_t)(m * n), sizeof *y);
        char full[128];
        for (int i = 0; i < m * n; i++) y[i] = adapter_at(name, half, i);
        snprintf(full, sizeof full, "%s.lora_%c", name, half ? 'b' : 'a');
        gb_tensor(&adapter_file, full, JT_F32, 2, (uint64_t[]){(uint64_t)n, (uint64_t)m}, y, (size_t)(m * n) * 4);
        free(y);
    }
}

/* On the projections of recurrent layers an adapter is its product added to the weight, and states with and without share a batch. */
static void adapters_act_on_recurrent_layers(void **state) {
    fixture *f = *state;
    jt_error err;
    char path[80], merged[80];
    jt_adapter *a;
    jt_model *m;
    row got[60], want[30];
    snprintf(path, sizeof path, "%s-adapter", f->gguf[0]), snprintf(merged, sizeof merged, "%s-merged", f->gguf[0]);
    hybrid_write_with(FIXTURES "/hybrid/one", merged, 0, merge);
    gb_text(&adapter_file, "general.architecture", "granitehybrid"), gb_text(&adapter_file, "general.type", "adapter");
    gb_text(&adapter_file, "adapter.type", "lora"), gb_f32(&adapter_file, "adapter.lora.alpha", RANK);
    hybrid_write_with(FIXTURES "/hybrid/one", path, 0, collect);
    gb_save(&adapter_file, 3, path);
    mode how = {"merged", merged, JT_ACT_FLOAT, JT_KV_F32};
    m = open_model(f->engine, &how, 0);
    jt_state *s = state_of(m), *t;
    line(s, f->ids, 30, want);
    jt_state_free(s), jt_model_free(m);
    ok(jt_adapter_open(f->model[0], path, &a, &err), &err);
    jt_adapter_info info;
    jt_adapter_get_info(a, &info);
    assert_int_equal(info.pairs, 7);
    s = state_of(f->model[0]), t = state_of(f->model[0]);
    ok(jt_state_set_adapter(s, a, 1, &err), &err);
    jt_span span[2] = {{.state = s, .ids = f->ids, .n = 30}, {.state = t, .ids = f->ids, .n = 30}};
    jt_want w[60];
    for (int i = 0; i < 60; i++) w[i] = (jt_want){.row = i, .logits = got[i]};
    ok(jt_eval(f->model[0], &(jt_batch){.span = span, .n_span = 2, .want = w, .n_want = 60}, &err), &err);
    double moved = 0;
    for (int i = 0; i < 30; i++)
        for (int j = 0; j < VOCAB; j++) {
            assert_true(fabsf(got[i][j] - want[i][j]) < 1e-4f);
            moved = fmax(moved, fabs((double)(got[i][j] - got[30 + i][j])));
        }
    assert_true(moved > 0.1);
    same(f, 0, got + 30, 0, 30, "beside an adapter");
    jt_state_free(s), jt_state_free(t), jt_adapter_free(a);
    gb_text(&adapter_file, "general.architecture", "granitehybrid"), gb_text(&adapter_file, "general.type", "adapter");
    gb_text(&adapter_file, "adapter.type", "lora"), gb_f32(&adapter_file, "adapter.lora.alpha", RANK);
    collect("blk.0.attn_v.weight", NULL, 16, HYBRID_HIDDEN); /* layer 0 has no attention */
    gb_save(&adapter_file, 3, path);
    assert_int_equal(jt_adapter_open(f->model[0], path, &a, &err), JT_FORMAT);
    assert_non_null(strstr(err.message, "layer 0 of the model does not have"));
    unlink(path), unlink(merged);
}

/* ---- taps and memory ---- */

static void count(void *self, int span, int node, int layer, int tag, const float *x, int width) {
    (void)span, (void)node, (void)x, (void)width;
    ((int(*)[HYBRID_LAYERS + 1]) self)[tag][layer]++;
}

static void recurrent_layers_have_no_queries(void **state) {
    fixture *f = *state;
    int seen[5][HYBRID_LAYERS + 1] = {{0}};
    jt_error err;
    jt_state *s = state_of(f->model[0]);
    jt_tap taps[5];
    static const char *const site[] = {"residual", "query", "heads", "attention", "mlp"};
    for (int i = 0; i < 5; i++) taps[i] = (jt_tap){.site = site[i], .op = JT_TAP_CAPTURE, .tag = i};
    ok(jt_state_set_taps(s, taps, 5, &err), &err);
    jt_span p = {.state = s, .ids = f->ids, .n = 3};
    ok(jt_eval(f->model[0], &(jt_batch){.span = &p, .n_span = 1, .captured = count, .captured_self = seen}, &err), &err);
    for (int l = 0; l < HYBRID_LAYERS; l++) {
        assert_int_equal(seen[0][l], 3);
        assert_int_equal(seen[1][l], l == 2 ? 3 : 0);
        assert_int_equal(seen[2][l], l == 2 ? 3 : 0);
        assert_int_equal(seen[3][l], 3);
        assert_int_equal(seen[4][l], 3);
    }
    jt_state_free(s);
}

/* A tap that removes what a layer adds is that layer skipped, but for what later rows see of it. */
static void taps_act_on_recurrent_layers(void **state) {
    fixture *f = *state;
    jt_error err;
    row a[1], b[1];
    jt_state *s = state_of(f->model[0]), *t = state_of(f->model[0]);
    jt_tap taps[2] = {{.site = "attention", .op = JT_TAP_SCALE, .layer_first = 1, .layer_end = 2, .value = 0},
                      {.site = "mlp", .op = JT_TAP_SCALE, .layer_first = 1, .layer_end = 2, .value = 0}};
    ok(jt_state_set_taps(s, taps, 2, &err), &err);
    line(s, f->ids, 1, a);
    eval(&(jt_span){.state = t, .ids = f->ids, .n = 1, .layers = &(jt_layers){{13}}}, b);
    for (int i = 0; i < VOCAB; i++) assert_true(a[0][i] == b[0][i]);
    assert_true(memcmp(a[0], f->ref[0][0], sizeof(row)) != 0);
    jt_state_free(s), jt_state_free(t);
}

static void memory_is_told_with_the_marks(void **state) {
    fixture *f = *state;
    jt_model_info i;
    jt_model_get_info(f->model[0], &i);
    /* One layer with keys and values of 2 heads of 8; three with 96 inputs of the convolution and 4 steps; and of 3 * 64 * 16
     * states one 256th. */
    assert_int_equal(i.recurrent_bytes, 4 * 3 * 64 * 16);
    assert_int_equal(i.read_bytes_per_token, 4 * 2 * 2 * 8);
    assert_int_equal(i.state_bytes_per_token, 4 * (2 * 2 * 8 + 3 * (96 + 4)) + 4 * 3 * 64 * 16 / 256);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gguf_files_give_what_transformers_gives),
        cmocka_unit_test(rows_that_skip_all_layers_change_nothing),
        cmocka_unit_test(cuts_of_the_prompt_do_not_matter),
        cmocka_unit_test(passes_threads_and_kernels_do_not_matter),
        cmocka_unit_test(a_state_cut_to_any_length_goes_on),
        cmocka_unit_test(random_trees_equal_their_paths),
        cmocka_unit_test(trees_across_marks_equal_the_line),
        cmocka_unit_test(a_batch_of_several_states_equals_each),
        cmocka_unit_test(a_state_read_from_a_file_goes_on),
        cmocka_unit_test(marks_are_few_and_shared),
        cmocka_unit_test(lists_of_keys_act_on_the_attention_layers),
        cmocka_unit_test(a_cancelled_eval_changes_nothing),
        cmocka_unit_test(failed_allocations_change_nothing),
        cmocka_unit_test(what_is_not_honoured_is_refused),
        cmocka_unit_test(settings_that_are_not_known_are_refused),
        cmocka_unit_test(settings_of_gguf_files_are_refused_by_name),
        cmocka_unit_test(opening_survives_failed_allocations),
        cmocka_unit_test(adapters_act_on_recurrent_layers),
        cmocka_unit_test(recurrent_layers_have_no_queries),
        cmocka_unit_test(taps_act_on_recurrent_layers),
        cmocka_unit_test(memory_is_told_with_the_marks),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
