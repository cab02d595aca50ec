/* custom_stage.c: a stage of one's own, in a pipeline beside the built-in ones.
 *
 *   example-custom_stage MODEL.gguf "Write a story" [PIPELINE]
 *
 * `lipogram` removes every token that holds a letter, after Perec's novel without
 * an e. It has a parameter with a range and a default, a state that is made once
 * per answer, and is validated, printed and traced like any other stage. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jeton/decode.h"

/* The struct `lipogram` and the table `lipogram_param` come from this one list. */
#define LIPOGRAM(X, T)                                                                                                                     \
    X(T, CHOICE, letter, 4, JT_ONE_OF("a|b|c|d|e|f|g|h|i|j|k|l|m|n|o|p|q|r|s|t|u|v|w|x|y|z"), "the letter to do without")                  \
    X(T, REAL, penalty, 100, JT_RANGE(0, 1000), "taken off the logit of each token with the letter; 0 changes nothing")
JT_PARAMS(lipogram, LIPOGRAM)

enum { MOST_IDS = 1 << 18 };

/* State: one byte per token id, 1 where the token holds the letter. */
static jt_status lipogram_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    const struct lipogram *a = par;
    char *has = state;
    if (!u->tokenizer) return jt_error_set(err, JT_UNSUPPORTED, "lipogram: this model has no tokenizer");
    if (u->vocab > MOST_IDS) return jt_error_set(err, JT_LIMIT, "lipogram: the vocabulary has more than %d tokens", MOST_IDS);
    for (int32_t id = 0; id < u->vocab; id++) {
        size_t n;
        const char *s = jt_token_bytes(u->tokenizer, id, &n);
        if (jt_token_is_special(u->tokenizer, id)) continue;
        for (size_t i = 0; i < n; i++) has[id] |= (s[i] | 32) == 'a' + a->letter;
    }
    return JT_OK;
}

static jt_status lipogram_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct lipogram *a = par;
    const char *has = state;
    (void)s;
    if (a->penalty == 0) return JT_OK;
    for (int32_t id = jt_dist_next(d, -1); id >= 0; id = jt_dist_next(d, id))
        if (has[id]) jt_dist_add(d, id, (float)-a->penalty);
    return JT_OK;
}

static const jt_method lipogram = {.name = "lipogram",
                                   .kind = JT_STAGE,
                                   .summary = "writes without a letter",
                                   .formula = "l(x) = l(x) - penalty if x holds the letter",
                                   .paper = "Perec 1969, La Disparition",
                                   .cost = "one pass over the candidates",
                                   .neutral = "penalty=0",
                                   .needs = JT_NEEDS_TOKENIZER,
                                   JT_PARAMETERS(lipogram),
                                   .state_size = MOST_IDS,
                                   .open = lipogram_open,
                                   .stage = {.run = lipogram_run}};

int main(int argc, char **argv) {
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "Usage: %s MODEL PROMPT [PIPELINE]\n", argv[0]);
        return 2;
    }
    jt_error err;
    jt_engine *engine = NULL;
    jt_model *model = NULL;
    jt_methods *methods = NULL;
    jt_pipeline *pipeline = NULL;
    jt_driver *driver = NULL;
    jt_tokens tokens = {0};
    int32_t *ids = NULL;

    jt_status s = jt_methods_new(&methods, &err);
    if (s == JT_OK) s = jt_methods_add(methods, &lipogram, &err);
    if (s == JT_OK) s = jt_pipeline_parse(argc > 3 ? argv[3] : "lipogram:e | temp:0.8 | top-p:0.9", methods, &pipeline, &err);
    if (s == JT_OK) printf("%s\n\n", jt_pipeline_text(pipeline));
    if (s == JT_OK) s = jt_engine_new(NULL, &engine, &err);
    if (s == JT_OK) s = jt_model_open(engine, argv[1], NULL, &model, &err);
    if (s == JT_OK) s = jt_driver_new(model, &driver, &err);
    if (s == JT_OK && !jt_model_tokenizer(model)) s = jt_error_set(&err, JT_UNSUPPORTED, "this model has no tokenizer");
    jt_message m = {"user", argv[2]};
    if (s == JT_OK) s = jt_chat_encode(jt_model_tokenizer(model), &m, 1, 1, &tokens, &err);
    if (s == JT_OK && !(ids = malloc(tokens.n * sizeof *ids))) s = jt_error_set(&err, JT_NOMEM, "out of memory");
    for (size_t i = 0; s == JT_OK && i < tokens.n; i++) ids[i] = tokens.t[i].id;

    jt_request r = {.prompt = ids, .n_prompt = tokens.n, .pipeline = pipeline, .seed = 1, .max_tokens = 60, .trace = 1};
    jt_job job;
    double mass = 0;
    int decided = 0;
    if (s == JT_OK) s = jt_driver_submit(driver, &r, &job, &err);
    for (jt_event e; s == JT_OK;) {
        s = jt_driver_next(driver, &e, &err);
        if (s != JT_OK || !e.job) break;
        fwrite(e.text, 1, e.n_text, stdout);
        fflush(stdout);
        if (e.kind == JT_EVENT_TOKEN) {
            mass += exp((double)e.decision.raw_logprob); /* what the model itself gave the token */
            decided++;
        } else if (e.reason == JT_END_ERROR) {
            s = jt_error_set(&err, JT_INVALID, "%s", e.message);
        }
    }
    if (s == JT_OK)
        printf("\n\nmean probability by the model: %.3f over %d tokens\n", decided ? mass / decided : 0, decided);
    else
        fprintf(stderr, "custom_stage: %s\n", err.message);
    free(ids);
    jt_tokens_free(&tokens);
    jt_driver_free(driver);
    jt_pipeline_free(pipeline);
    jt_methods_free(methods);
    jt_model_free(model);
    jt_engine_free(engine);
    return s != JT_OK;
}
