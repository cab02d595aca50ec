/* tap.c: what a model would say if it ended at each of its layers, and what it says when a layer's stream is pushed.
 *
 *   example-tap MODEL "The capital of France is" [LAYER STRENGTH]
 *
 * A tap captures the stream that enters each layer (and what leaves the last) at the text's last position; jt_project
 * gives the logits of each (the logit lens). With LAYER and STRENGTH the direction in which that layer moved the stream
 * is added to it once more, STRENGTH times, on a fork, which leaves the original as it was. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jeton/tap.h"
#include "jeton/text.h"

enum { WIDEST = 16384, LONGEST = 4096 };

/* Called for each captured row, layer by layer. */
static void keep(void *self, int span, int node, int layer, int tag, const float *x, int width) {
    float *stream = self;
    (void)span, (void)node, (void)tag;
    memcpy(stream + (size_t)layer * (size_t)width, x, (size_t)width * sizeof *x);
}

static void say(const jt_model *m, const char *what, int layer, int32_t id, float logit) {
    const jt_tokenizer *t = jt_model_tokenizer(m);
    size_t n = 0;
    const char *bytes = t ? jt_token_bytes(t, id, &n) : "";
    printf("%s %3d: %8.3f  %6d  %.*s\n", what, layer, (double)logit, id, (int)n, bytes);
}

int main(int argc, char **argv) {
    static int32_t ids[LONGEST];
    static float push[WIDEST];
    jt_error err;
    jt_engine *engine = NULL;
    jt_model *model = NULL;
    jt_state *state = NULL, *fork = NULL;
    jt_model_info info = {0};
    jt_tokens tokens = {0};
    int32_t best;
    float logit, *stream = NULL;
    if (argc != 3 && argc != 5) {
        fprintf(stderr, "Usage: %s MODEL TEXT [LAYER STRENGTH]\n", argv[0]);
        return 2;
    }
    jt_status s = jt_engine_new(NULL, &engine, &err);
    if (s == JT_OK) s = jt_model_open(engine, argv[1], NULL, &model, &err);
    const jt_tokenizer *t = s ? NULL : jt_model_tokenizer(model);
    if (t) s = jt_encode(t, argv[2], strlen(argv[2]), 0, &tokens, &err);
    size_t given = t ? tokens.n : strlen(argv[2]); /* without a tokenizer, its bytes */
    if (s == JT_OK) jt_model_get_info(model, &info);
    if (s == JT_OK && (given < 1 || given > LONGEST || info.hidden > WIDEST))
        s = jt_error_set(&err, JT_LIMIT, "the text or the model is too large");
    int n = (int)given, layer = argc == 5 ? atoi(argv[3]) : 0;
    for (int i = 0; i < n && s == JT_OK; i++) ids[i] = t ? tokens.t[i].id : (unsigned char)argv[2][i];
    if (s == JT_OK && (layer < 0 || layer >= info.layers))
        s = jt_error_set(&err, JT_INVALID, "layer %d: the model has %d", layer, info.layers);
    size_t width = (size_t)info.hidden, n_stream = (size_t)info.layers + 1;
    if (s == JT_OK && !(stream = calloc(n_stream, width * sizeof *stream))) s = jt_error_set(&err, JT_NOMEM, "out of memory");

    /* The text but for its last token; then a fork of that for each of the two ways to go on. */
    if (s == JT_OK) s = jt_state_new(model, LONGEST, &state, &err);
    jt_span begin = {.state = state, .ids = ids, .n = n - 1}, last = {.state = state, .ids = ids + n - 1, .n = 1};
    if (s == JT_OK) s = jt_eval(model, &(jt_batch){.span = &begin, .n_span = 1}, &err);
    if (s == JT_OK) s = jt_state_fork(state, &fork, &err);
    jt_tap lens = {.site = "residual", .op = JT_TAP_CAPTURE};
    if (s == JT_OK) s = jt_state_set_taps(state, &lens, 1, &err);
    if (s == JT_OK) s = jt_eval(model, &(jt_batch){.span = &last, .n_span = 1, .captured = keep, .captured_self = stream}, &err);
    for (int l = 0; l <= info.layers && s == JT_OK; l++) {
        jt_want want = {.row = l, .n_top = 1, .top_ids = &best, .top_logits = &logit};
        s = jt_project(model, stream, info.layers + 1, &want, 1, &err);
        if (s == JT_OK) say(model, l < info.layers ? "before layer" : "at the end  ", l, best, logit);
    }
    if (s == JT_OK && argc == 5) {
        for (size_t i = 0; i < width; i++) push[i] = stream[((size_t)layer + 1) * width + i] - stream[(size_t)layer * width + i];
        jt_tap add = {.site = "residual", .op = JT_TAP_ADD, .vec = push, .value = strtof(argv[4], NULL)};
        add.layer_first = layer + 1, add.layer_end = layer + 2;
        jt_want want = {.row = 0, .n_top = 1, .top_ids = &best, .top_logits = &logit};
        last.state = fork;
        s = jt_state_set_taps(fork, &add, 1, &err);
        if (s == JT_OK) s = jt_eval(model, &(jt_batch){.span = &last, .n_span = 1, .want = &want, .n_want = 1}, &err);
        if (s == JT_OK) say(model, "pushed after", layer, best, logit);
    }
    if (s) fprintf(stderr, "tap: %s\n", err.message);
    free(stream), jt_tokens_free(&tokens);
    jt_state_free(fork), jt_state_free(state), jt_model_free(model), jt_engine_free(engine);
    return s != JT_OK;
}
