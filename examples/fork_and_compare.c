/* fork_and_compare.c: one beginning, several continuations, without evaluating the beginning twice.
 *
 *   example-fork_and_compare MODEL "The capital of France is" " Paris" " Rome" ...
 *
 * The beginning is evaluated once. Each continuation goes on from a fork of it, all of them in one batch, and is scored by
 * the logprob of each of its tokens. A score does not depend on what else is in the batch. */
#include <stdio.h>
#include <string.h>

#include "jeton/model.h"
#include "jeton/text.h"

enum { MOST = 16, LONGEST = 256, ROWS = MOST * LONGEST };

/* The ids of a text; where the model has no tokenizer, its bytes. */
static jt_status ids_of(const jt_model *m, const char *text, int32_t *ids, int *n, jt_error *err) {
    const jt_tokenizer *t = jt_model_tokenizer(m);
    jt_tokens tokens = {0};
    size_t length = strlen(text);
    jt_status s = t ? jt_encode(t, text, length, 0, &tokens, err) : JT_OK;
    if (s == JT_OK && (t ? tokens.n : length) - 1 >= LONGEST) s = jt_error_set(err, JT_LIMIT, "give 1 to %d tokens at a time", LONGEST);
    *n = s ? 0 : (int)(t ? tokens.n : length);
    for (int i = 0; i < *n; i++) ids[i] = t ? tokens.t[i].id : (unsigned char)text[i];
    jt_tokens_free(&tokens);
    return s;
}

int main(int argc, char **argv) {
    static int32_t start[LONGEST], ids[MOST][LONGEST];
    static double logprob[MOST][LONGEST];
    static jt_want want[ROWS];
    jt_error err;
    jt_engine *engine = NULL;
    jt_model *model = NULL;
    jt_state *base = NULL, *fork[MOST] = {NULL};
    jt_span span[MOST];
    int n_start = 0, n = argc - 3, n_want = 0, rows = 0;
    double first[MOST];
    if (n < 1 || n > MOST) {
        fprintf(stderr, "Usage: %s MODEL BEGINNING CONTINUATION... (1 to %d of them)\n", argv[0], MOST);
        return 2;
    }
    jt_status s = jt_engine_new(NULL, &engine, &err);
    if (s == JT_OK) s = jt_model_open(engine, argv[1], NULL, &model, &err);
    if (s == JT_OK) s = jt_state_new(model, 2 * LONGEST, &base, &err);
    if (s == JT_OK) s = ids_of(model, argv[2], start, &n_start, &err);
    for (int i = 0; i < n && s == JT_OK; i++) {
        s = ids_of(model, argv[3 + i], ids[i], &span[i].n, &err);
        if (s) break;
        /* A token's logprob is asked of the row before it: the first one's, of the last row of the beginning. */
        int length = span[i].n;
        for (int k = 0; k + 1 < length; k++)
            want[n_want++] = (jt_want){.row = rows + k, .targets = &ids[i][k + 1], .n_targets = 1, .target_logprob = &logprob[i][k + 1]};
        rows += length;
        span[i] = (jt_span){.ids = ids[i], .n = length};
    }
    int32_t heads[MOST];
    for (int i = 0; i < n && s == JT_OK; i++) heads[i] = ids[i][0];
    jt_span whole = {.state = base, .ids = start, .n = n_start};
    jt_want last = {.row = n_start - 1, .targets = heads, .n_targets = n, .target_logprob = first};
    if (s == JT_OK) s = jt_eval(model, &(jt_batch){.span = &whole, .n_span = 1, .want = &last, .n_want = 1}, &err);
    for (int i = 0; i < n && s == JT_OK; i++) {
        s = jt_state_fork(base, &fork[i], &err); /* shares the pages of the beginning */
        span[i].state = fork[i];
    }
    if (s == JT_OK) s = jt_eval(model, &(jt_batch){.span = span, .n_span = n, .want = want, .n_want = n_want}, &err);
    for (int i = 0; i < n && s == JT_OK; i++) {
        double sum = first[i];
        for (int k = 1; k < span[i].n; k++) sum += logprob[i][k];
        printf("%9.4f  %s%s\n", sum, argv[2], argv[3 + i]);
    }
    if (s) fprintf(stderr, "fork_and_compare: %s\n", err.message);
    for (int i = 0; i < n; i++) jt_state_free(fork[i]);
    jt_state_free(base);
    jt_model_free(model);
    jt_engine_free(engine);
    return s != JT_OK;
}
