/* no_repeat_ngram.c: tokens that would complete an n-gram which was there before are
 * banned: one of the whole text so far, or one of the prompt. */
#include <string.h>

#include "jeton/method.h"

/* Bans what followed the last size - 1 tokens wherever they stood, with what followed, before `end`. */
static void ngram_ban(jt_dist *d, const jt_step *s, int size, bool prompt) {
    int n, alike = size - 1;
    const int32_t *x = jt_step_history(s, &n);
    int end = prompt ? jt_step_prompt(s) : n;
    if (!size || n < alike) return;
    for (int i = 0; i + alike < end; i++)
        if (!alike || !memcmp(x + i, x + n - alike, (size_t)alike * sizeof *x)) jt_dist_add(d, x[i + alike], -INFINITY);
}

#define NO_REPEAT_NGRAM(X, T) X(T, INT, size, 3, JT_RANGE(0, 1048576), "tokens of an n-gram; 0 changes nothing")
JT_PARAMS(no_repeat_ngram, NO_REPEAT_NGRAM)

static jt_status no_repeat_ngram_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    (void)state;
    ngram_ban(d, s, ((const struct no_repeat_ngram *)par)->size, false);
    return JT_OK;
}

JT_METHOD(no_repeat_ngram) = {.name = "no-repeat-ngram",
                              .kind = JT_STAGE,
                              .summary = "bans tokens that would complete an n-gram of the text so far, prompt included",
                              .formula = "ban x if the last size - 1 tokens and x stood together before",
                              .paper = "Paulus, Xiong, Socher 2017, arXiv:1705.04304",
                              .card = "decoding/common-samplers",
                              .cost = "O(tokens) a token",
                              .neutral = "size=0",
                              .needs = JT_NEEDS_HISTORY,
                              JT_PARAMETERS(no_repeat_ngram),
                              .stage = {.run = no_repeat_ngram_run}};

#define ENCODER_NO_REPEAT_NGRAM(X, T) X(T, INT, size, 3, JT_RANGE(0, 1048576), "tokens of an n-gram; 0 changes nothing")
JT_PARAMS(encoder_no_repeat_ngram, ENCODER_NO_REPEAT_NGRAM)

static jt_status encoder_no_repeat_ngram_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    (void)state;
    ngram_ban(d, s, ((const struct encoder_no_repeat_ngram *)par)->size, true);
    return JT_OK;
}

JT_METHOD(encoder_no_repeat_ngram) = {.name = "encoder-no-repeat-ngram",
                                      .kind = JT_STAGE,
                                      .summary = "bans tokens that would complete an n-gram of the prompt",
                                      .formula = "ban x if the last size - 1 tokens and x stand together in the prompt",
                                      .paper = "Paulus, Xiong, Socher 2017, arXiv:1705.04304",
                                      .card = "decoding/common-samplers",
                                      .cost = "O(tokens of the prompt) a token",
                                      .neutral = "size=0",
                                      .needs = JT_NEEDS_HISTORY,
                                      JT_PARAMETERS(encoder_no_repeat_ngram),
                                      .stage = {.run = encoder_no_repeat_ngram_run}};
