/* tokenselect.c: a long text with attention to few of its tokens (Wu et al. 2024, arXiv 2411.02886).
 *
 *   example-tokenselect MODEL TEXT [KEYS LOCAL FIRST CHUNK [REUSE]]
 *
 * In each layer a chunk of rows attends to the FIRST keys, to the KEYS with the highest soft vote of the query heads, and
 * to the LOCAL keys before it, at positions that count on without gaps: so a text may be longer than the model was trained
 * for. Keys are kept before the rotation, and the chunks are groups. REUSE: a selection stays while the chunk's mean query
 * has at least this cosine with the one it was made for (2: never). Prints the best next token with all keys and with
 * those, and the share of keys that was attended to. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jeton/keys.h"
#include "jeton/text.h"

enum { LONGEST = 8192, LAYERS = 256 };

/* ---- the method ---- */

struct token_select {
    int first, local, keys, width; /* width: of a row's queries */
    double reuse, read, all;       /* keys attended to, and keys there */
    float *q, *vote;               /* [width], [longest] */
    int32_t *list;                 /* [longest] */
    struct {                       /* of a layer: the last selection, the query and the number of keys it was made for */
        float *q;
        int32_t *pick;
        int n, at;
    } past[LAYERS];
};

static double cosine(const float *a, const float *b, int n) {
    double ab = 0, aa = 0, bb = 0;
    for (int i = 0; i < n; i++) ab += (double)a[i] * b[i], aa += (double)a[i] * a[i], bb += (double)b[i] * b[i];
    return ab / sqrt(aa * bb);
}

static jt_status choose(void *self, jt_select *x) {
    struct token_select *t = self;
    int l = jt_select_layer(x), keys = jt_select_keys(x), old = keys - t->local, n = 0;
    t->all += keys;
    if (t->first + t->keys >= old) return t->read += keys, JT_OK; /* no list: all */
    jt_select_mean_query(x, t->local, t->q);
    if (!t->past[l].at || keys < t->past[l].at || cosine(t->q, t->past[l].q, t->width) < t->reuse) {
        jt_status s = jt_select_vote(x, t->q, t->first, old, 1, t->vote);
        if (s) return s;
        t->past[l].n = jt_select_top(t->vote, old - t->first, t->keys, t->past[l].pick);
        t->past[l].at = keys;
        memcpy(t->past[l].q, t->q, (size_t)t->width * sizeof *t->q);
    }
    while (n < t->first) t->list[n] = n, n++;
    for (int i = 0; i < t->past[l].n; i++) t->list[n++] = t->first + t->past[l].pick[i];
    t->read += n + t->local;
    return jt_select_use(x, &(jt_keys){.depth = t->list, .n = n, .local = t->local, .renumber = 1});
}

/* ---- its use ---- */

static void token_select_free(struct token_select *t) {
    free(t->q), free(t->vote), free(t->list);
    for (int l = 0; l < LAYERS; l++) free(t->past[l].q), free(t->past[l].pick);
}

static int token_select_make(struct token_select *t, const jt_model *m, int longest) {
    jt_model_info i;
    jt_model_get_info(m, &i);
    t->width = i.heads * i.head_dim;
    int ok = i.layers <= LAYERS && (t->q = calloc((size_t)t->width, sizeof *t->q)) != NULL &&
             (t->vote = calloc((size_t)longest, sizeof *t->vote)) != NULL && (t->list = calloc((size_t)longest, sizeof *t->list)) != NULL;
    for (int l = 0; ok && l < i.layers; l++)
        ok = (t->past[l].q = calloc((size_t)t->width, sizeof *t->q)) != NULL &&
             (t->past[l].pick = calloc((size_t)t->keys, sizeof *t->list)) != NULL;
    return ok;
}

/* Evaluates the text in chunks and prints the best next token. t: NULL, or what chooses. */
static jt_status say_best(jt_model *m, const int32_t *ids, int n, int chunk, struct token_select *t, const char *what, jt_error *err) {
    static int32_t group[LONGEST];
    jt_state *state = NULL;
    int32_t id = 0;
    float logit = 0;
    const jt_keys keys = {.select = choose, .self = t};
    jt_want want = {.row = n - 1, .n_top = 1, .top_ids = &id, .top_logits = &logit};
    for (int i = 0; i < n; i++) group[i] = i / chunk;
    jt_status s = jt_state_new_raw(m, LONGEST, &state, err);
    if (!s && t) s = jt_state_set_keys(state, &keys, 1, err);
    jt_span span = {.state = state, .ids = ids, .n = n, .group = group};
    if (!s) s = jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .want = &want, .n_want = 1}, err);
    const jt_tokenizer *tok = jt_model_tokenizer(m);
    size_t bytes = 0;
    const char *text = tok ? jt_token_bytes(tok, id, &bytes) : "";
    if (!s) printf("%s: %8.3f  %6d  %.*s\n", what, (double)logit, id, (int)bytes, text);
    jt_state_free(state);
    return s;
}

int main(int argc, char **argv) {
    static int32_t ids[LONGEST];
    struct token_select t = {.keys = argc > 3 ? atoi(argv[3]) : 256,
                             .local = argc > 4 ? atoi(argv[4]) : 128,
                             .first = argc > 5 ? atoi(argv[5]) : 16,
                             .reuse = argc > 7 ? strtod(argv[7], NULL) : 2};
    int chunk = argc > 6 ? atoi(argv[6]) : 64;
    jt_error err;
    jt_engine *engine = NULL;
    jt_model *model = NULL;
    jt_tokens tokens = {0};
    if (argc < 3 || argc > 8 || t.keys < 1 || t.local < 1 || t.first < 0 || chunk < 1) {
        fprintf(stderr, "Usage: %s MODEL TEXT [KEYS LOCAL FIRST CHUNK [REUSE]]\n", argv[0]);
        return 2;
    }
    jt_status s = jt_engine_new(NULL, &engine, &err);
    if (!s) s = jt_model_open(engine, argv[1], NULL, &model, &err);
    const jt_tokenizer *tok = s ? NULL : jt_model_tokenizer(model);
    if (tok) s = jt_encode(tok, argv[2], strlen(argv[2]), 0, &tokens, &err);
    size_t n = tok ? tokens.n : strlen(argv[2]); /* without a tokenizer, its bytes */
    if (!s && (n < 1 || n > LONGEST)) s = jt_error_set(&err, JT_LIMIT, "the text has %zu tokens; give 1 to %d", n, LONGEST);
    for (size_t i = 0; i < n && !s; i++) ids[i] = tok ? tokens.t[i].id : (unsigned char)argv[2][i];
    if (!s && !token_select_make(&t, model, LONGEST)) s = jt_error_set(&err, JT_NOMEM, "out of memory");
    if (!s) s = say_best(model, ids, (int)n, chunk, NULL, "all keys", &err);
    if (!s) s = say_best(model, ids, (int)n, chunk, &t, "selected", &err);
    if (!s) printf("%.1f %% of the keys before a chunk\n", t.all > 0 ? 100 * t.read / t.all : 100.0);
    if (s) fprintf(stderr, "%s\n", err.message);
    token_select_free(&t);
    jt_tokens_free(&tokens);
    jt_model_free(model);
    jt_engine_free(engine);
    return s != JT_OK;
}
