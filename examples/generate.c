/* generate.c: several prompts answered at once, streamed as they come.
 *
 *   example-generate MODEL.gguf "temp:0.8 | top-p:0.9" "First question" "Second question" ...
 *
 * The answers are the same whether prompts are asked together or one by one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jeton/decode.h"

enum { MOST = 16 };

static int failed(const jt_error *err) {
    fprintf(stderr, "generate: %s\n", err->message);
    return 1;
}

/* Submits one question in the model's chat format. */
static jt_status ask(jt_driver *d, const jt_tokenizer *t, const jt_pipeline *p, const char *question, jt_job *job, jt_error *err) {
    jt_message m = {"user", question};
    jt_tokens tokens = {0};
    jt_status s = jt_chat_encode(t, &m, 1, 1, &tokens, err);
    int32_t *ids = s == JT_OK ? malloc(tokens.n * sizeof *ids) : NULL;
    if (s == JT_OK && !ids) s = jt_error_set(err, JT_NOMEM, "out of memory");
    for (size_t i = 0; s == JT_OK && i < tokens.n; i++) ids[i] = tokens.t[i].id;
    jt_request r = {.prompt = ids, .n_prompt = tokens.n, .pipeline = p, .seed = 1, .max_tokens = 48};
    if (s == JT_OK) s = jt_driver_submit(d, &r, job, err); /* copies the prompt */
    free(ids);
    jt_tokens_free(&tokens);
    return s;
}

int main(int argc, char **argv) {
    int n = argc - 3, code = 1;
    if (n < 1 || n > MOST) {
        fprintf(stderr, "Usage: %s MODEL PIPELINE PROMPT... (1 to %d prompts)\n", argv[0], MOST);
        return 2;
    }
    jt_error err;
    jt_engine *engine = NULL;
    jt_model *model = NULL;
    jt_pipeline *pipeline = NULL;
    jt_driver *driver = NULL;
    jt_job job[MOST];
    char *text[MOST] = {NULL};
    size_t length[MOST] = {0};

    jt_status s = jt_engine_new(NULL, &engine, &err);
    if (s == JT_OK) s = jt_model_open(engine, argv[1], NULL, &model, &err);
    if (s == JT_OK && !jt_model_tokenizer(model)) s = jt_error_set(&err, JT_UNSUPPORTED, "this model has no tokenizer");
    if (s == JT_OK) s = jt_pipeline_parse(argv[2], NULL, &pipeline, &err);
    if (s == JT_OK) s = jt_driver_new(model, &driver, &err);
    for (int i = 0; s == JT_OK && i < n; i++) s = ask(driver, jt_model_tokenizer(model), pipeline, argv[3 + i], &job[i], &err);

    /* Events of all jobs come interleaved; each job's last one is its end. */
    for (jt_event e; s == JT_OK;) {
        s = jt_driver_next(driver, &e, &err);
        if (s != JT_OK || !e.job) break;
        int i = 0;
        while (i + 1 < n && job[i] != e.job) i++;
        char *more = realloc(text[i], length[i] + e.n_text + 1);
        if (!more) {
            s = jt_error_set(&err, JT_NOMEM, "out of memory");
            break;
        }
        text[i] = more;
        memcpy(text[i] + length[i], e.text, e.n_text + 1);
        length[i] += e.n_text;
        if (e.kind == JT_EVENT_END)
            printf("%d (%s, %d tokens): %s\n", i + 1, e.message ? e.message : jt_end_reason_name(e.reason), e.answer_tokens, text[i]);
    }
    code = s == JT_OK ? 0 : failed(&err);
    for (int i = 0; i < n; i++) free(text[i]);
    jt_driver_free(driver);
    jt_pipeline_free(pipeline);
    jt_model_free(model);
    jt_engine_free(engine);
    return code;
}
