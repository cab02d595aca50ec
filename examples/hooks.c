/* hooks.c: what a stage may ask for beside the logits: a second model, the hidden vector, the other branches.
 *
 *   example-hooks MODEL SECOND_MODEL "Name a colour."
 *
 * Three answers are written at once (parallel). `apart` keeps a branch from a token
 * that a branch before it took at the same step; `contrast` takes a share of the
 * second model's logits off (Li et al. 2022, arXiv:2210.15097); `norm` measures the
 * final hidden vector. Each declares its needs in its row, and a job whose driver
 * cannot give them is refused before the first token. */
#include <stdio.h>
#include <stdlib.h>

#include "jeton/decode.h"

static jt_status apart_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    int here = jt_step_position(s), n;
    (void)par, (void)state;
    if (here >= jt_step_prompt(s) + 3) return JT_OK; /* the first three tokens */
    for (int i = 0; i < jt_step_siblings(s); i++) {
        const int32_t *ids = jt_step_sibling(s, i, &n);
        if (n > here && jt_dist_count(d) > 1) jt_dist_add(d, ids[here], -INFINITY);
    }
    return JT_OK;
}

#define CONTRAST(X, T) X(T, REAL, share, 0.3, JT_RANGE(0, 1), "of the second model's logits, taken off; 0 changes nothing")
JT_PARAMS(contrast, CONTRAST)

static jt_status contrast_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct contrast *a = par;
    jt_dist *second = jt_step_second(s);
    (void)state;
    if (a->share == 0) return JT_OK;
    for (int32_t id = jt_dist_next(d, -1); id >= 0; id = jt_dist_next(d, id))
        jt_dist_add(d, id, (float)(-a->share * (double)jt_dist_logit(second, id)));
    return JT_OK;
}

static jt_status norm_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    int n;
    const float *h = jt_step_hidden(s, &n);
    double sum = 0;
    (void)par, (void)state, (void)d;
    for (int i = 0; i < n; i++) sum += (double)h[i] * (double)h[i];
    *(double *)jt_step_self(s) += sqrt(sum);
    return JT_OK;
}

static double norms;
static const jt_method rows[] = {
    {.name = "apart", .kind = JT_STAGE, .needs = JT_NEEDS_SIBLINGS, .stage = {.run = apart_run}},
    {.name = "contrast",
     .kind = JT_STAGE,
     .needs = JT_NEEDS_MODEL2,
     .role = "amateur",
     JT_PARAMETERS(contrast),
     .stage = {.run = contrast_run}},
    {.name = "norm", .kind = JT_STAGE, .needs = JT_NEEDS_HIDDEN, .self = &norms, .stage = {.run = norm_run}},
};

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "Usage: %s MODEL SECOND_MODEL PROMPT\n", argv[0]);
        return 2;
    }
    jt_error err;
    jt_engine *engine = NULL;
    jt_model *model = NULL, *second = NULL;
    jt_methods *methods = NULL;
    jt_pipeline *pipeline = NULL;
    jt_driver *driver = NULL;
    jt_tokens tokens = {0};
    jt_job job;
    int32_t *ids = NULL;
    jt_message m = {"user", argv[3]};
    jt_status s = jt_methods_new(&methods, &err);
    for (int i = 0; s == JT_OK && i < 3; i++) s = jt_methods_add(methods, &rows[i], &err);
    if (s == JT_OK) s = jt_pipeline_parse("parallel:3 > greedy | top-k:50 | contrast:0.2 | apart | norm", methods, &pipeline, &err);
    if (s == JT_OK) s = jt_engine_new(NULL, &engine, &err);
    if (s == JT_OK) s = jt_model_open(engine, argv[1], NULL, &model, &err);
    if (s == JT_OK) s = jt_model_open(engine, argv[2], &(jt_model_options){.activations = JT_ACT_FLOAT}, &second, &err);
    if (s == JT_OK) s = jt_driver_new(model, &driver, &err);
    if (s == JT_OK) s = jt_driver_add_model(driver, "amateur", second, &err);
    if (s == JT_OK && !jt_model_tokenizer(model)) s = jt_error_set(&err, JT_UNSUPPORTED, "this model has no tokenizer");
    if (s == JT_OK) s = jt_chat_encode(jt_model_tokenizer(model), &m, 1, 1, &tokens, &err);
    if (s == JT_OK && !(ids = malloc(tokens.n * sizeof *ids))) s = jt_error_set(&err, JT_NOMEM, "out of memory");
    for (size_t i = 0; s == JT_OK && i < tokens.n; i++) ids[i] = tokens.t[i].id;
    jt_request r = {.prompt = ids, .n_prompt = tokens.n, .pipeline = pipeline, .max_tokens = 24, .context = 512};
    if (s == JT_OK) s = jt_driver_submit(driver, &r, &job, &err);
    int decided = 0;
    for (jt_event e; s == JT_OK;) {
        s = jt_driver_next(driver, &e, &err);
        if (s != JT_OK || !e.job) break;
        if (e.kind == JT_EVENT_TOKEN && e.answer_tokens == 1) printf("%d: ", e.answer + 1);
        fwrite(e.text, 1, e.n_text, stdout);
        decided += e.kind == JT_EVENT_TOKEN;
        if (e.kind == JT_EVENT_ANSWER) printf("\n");
        if (e.kind == JT_EVENT_END && e.reason == JT_END_ERROR) s = jt_error_set(&err, JT_INVALID, "%s", e.message);
    }
    if (s == JT_OK)
        printf("mean length of the final hidden vector: %.1f over %d tokens\n", decided ? norms / decided : 0, decided);
    else
        fprintf(stderr, "hooks: %s\n", err.message);
    free(ids);
    jt_tokens_free(&tokens);
    jt_driver_free(driver);
    jt_pipeline_free(pipeline);
    jt_methods_free(methods);
    jt_model_free(second), jt_model_free(model);
    jt_engine_free(engine);
    return s != JT_OK;
}
