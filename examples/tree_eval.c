/* tree_eval.c: many guesses about the next tokens, checked in one eval, as speculative decoding does.
 *
 *   example-tree_eval MODEL "Once upon a time" [TOKENS]
 *
 * Where a word was followed by some tokens earlier in the text, those are guessed to follow it again. Every guess is a
 * path of a tree below the newest token; all of them are evaluated in one batch. The path that says what the model says is
 * kept, the rest is dropped. The text is that of plain greedy decoding, bit for bit, with fewer evals. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jeton/model.h"
#include "jeton/text.h"

enum { MOST = 1024, GUESSES = 4, DEEP = 4, ROWS = 1 + GUESSES * DEEP };

/* The newest token as row 0, and below it what followed the same token earlier. Returns the rows. */
static int grow(const int32_t *text, int n, int length, int32_t *id, int32_t *parent) {
    int rows = 1;
    id[0] = text[n - 1], parent[0] = JT_PREVIOUS;
    for (int at = n - 2, guess = 0; at >= 0 && guess < GUESSES; at--) {
        if (text[at] != text[n - 1]) continue;
        for (int k = 1; k <= DEEP && at + k < n; k++, rows++) id[rows] = text[at + k], parent[rows] = k == 1 ? length : length + rows - 1;
        guess++;
    }
    return rows;
}

int main(int argc, char **argv) {
    static int32_t text[MOST + DEEP + 2];
    jt_error err;
    jt_engine *engine = NULL;
    jt_model *model = NULL;
    jt_state *state = NULL;
    jt_tokens tokens = {0};
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "Usage: %s MODEL TEXT [TOKENS]\n", argv[0]);
        return 2;
    }
    jt_status s = jt_engine_new(NULL, &engine, &err);
    if (s == JT_OK) s = jt_model_open(engine, argv[1], NULL, &model, &err);
    const jt_tokenizer *t = s ? NULL : jt_model_tokenizer(model);
    if (t) s = jt_encode(t, argv[2], strlen(argv[2]), 0, &tokens, &err);
    size_t given = t ? tokens.n : strlen(argv[2]); /* without a tokenizer, its bytes */
    int n = (int)given, more = argc > 3 ? atoi(argv[3]) : 40, evals = 0;
    if (s == JT_OK && (given < 1 || more < 1 || given + (size_t)more > MOST)) s = jt_error_set(&err, JT_LIMIT, "give 1 to %d tokens", MOST);
    for (int i = 0; i < n && s == JT_OK; i++) text[i] = t ? tokens.t[i].id : (unsigned char)argv[2][i];
    if (s == JT_OK) s = jt_state_new(model, MOST + DEEP + 1, &state, &err);
    jt_span begin = {.state = state, .ids = text, .n = n - 1};
    if (s == JT_OK) s = jt_eval(model, &(jt_batch){.span = &begin, .n_span = 1}, &err);
    for (int end = n + more; s == JT_OK && n < end; evals++) {
        int32_t id[ROWS], parent[ROWS], best[ROWS] = {0};
        float logit[ROWS];
        jt_want want[ROWS];
        int length = jt_state_length(state), rows = grow(text, n, length, id, parent), at = 0;
        for (int i = 0; i < rows; i++) want[i] = (jt_want){.row = i, .n_top = 1, .top_ids = &best[i], .top_logits = &logit[i]};
        jt_span tree = {.state = state, .ids = id, .n = rows, .parent = parent};
        s = jt_eval(model, &(jt_batch){.span = &tree, .n_span = 1, .want = want, .n_want = rows}, &err);
        if (s) break;
        for (int row = 1; row < rows; row++) /* down the tree, as long as a guess is what the model says */
            if (parent[row] == length + at && id[row] == best[at]) text[n++] = best[at], at = row;
        text[n++] = best[at];
        s = jt_state_truncate_to(state, length + at, &err);
    }
    if (n > (int)given + more) n = (int)given + more;
    for (int i = 0; i < n && s == JT_OK; i++) {
        size_t bytes = 0;
        const char *piece = t ? jt_token_bytes(t, text[i], &bytes) : "";
        if (t)
            fwrite(piece, 1, bytes, stdout);
        else
            printf("%d ", text[i]);
    }
    if (s == JT_OK) printf("\n%d tokens in %d evals\n", more, evals);
    if (s) fprintf(stderr, "tree_eval: %s\n", err.message);
    jt_tokens_free(&tokens);
    jt_state_free(state);
    jt_model_free(model);
    jt_engine_free(engine);
    return s != JT_OK;
}
