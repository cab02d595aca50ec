/* Any text as a pipeline, JSON too: it is refused with a message, or its canonical spelling and its JSON form read back as
 * itself.
 * Covers: src/decode/pipeline.c src/decode/pipeline_json.c src/step/param.c */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "decode/pipeline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static jt_status fuzz_stage(const void *par, const void *state, jt_dist *d, jt_step *s) {
    (void)par, (void)state, (void)d, (void)s;
    return JT_OK;
}

static jt_status fuzz_strategy(const void *par, void *state, const jt_results *r, jt_work *w) {
    (void)par, (void)state, (void)r, (void)w;
    return JT_OK;
}

/* A parameter of each type, but no files: a fuzzer must not open what it makes up. */
#define FUZZ(X, T)                                                                                                                         \
    X(T, TEXT, text, 0, JT_FROM_TEXT, "text")                                                                                              \
    X(T, REAL, real, 1, JT_RANGE(-1e300, 1e300), "real")                                                                                   \
    X(T, INT, whole, 0, JT_RANGE(-2147483648.0, 2147483647.0), "whole")                                                                    \
    X(T, CHOICE, choice, 0, JT_ONE_OF("a|bc|def"), "choice")                                                                               \
    X(T, BIAS, bias, 0, JT_RANGE(-5, 5), "bias")                                                                                           \
    X(T, STAGES, then, 0, JT_STAGES("temp | top-k"), "stages")                                                                             \
    X(T, METHOD, by, 0, JT_METHOD_OF(JT_STAGE, "top-p"), "another method")
JT_PARAMS(fuzz, FUZZ)
static const jt_method row = {.name = "fuzz", .kind = JT_STAGE, JT_PARAMETERS(fuzz), .stage = {.run = fuzz_stage}};
static const jt_method outer = {.name = "outer", .kind = JT_STRATEGY, .strategy = {.advance = fuzz_strategy, .inner = true}};

/* JSON has no bytes that are not UTF-8, and no NUL in texts. */
static void fuzz_json(const jt_pipeline *p, const jt_methods *m) {
    jt_pipeline *q = NULL;
    jt_str json = {0};
    jt_error err = {JT_OK, ""};
    jt_pipeline_put_json(p, &json);
    if (json.failed) abort();
    if (!strstr(json.s, "\xef\xbf\xbd") && !strstr(json.s, "\\u0000")) {
        if (jt_pipeline_parse(json.s, m, &q, &err) != JT_OK) abort();
        if (strcmp(jt_pipeline_text(p), jt_pipeline_text(q)) != 0) abort();
    }
    jt_pipeline_free(q);
    jt_str_free(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n > 8192) return 0;
    char *text = malloc(n + 1);
    jt_methods *m = NULL;
    jt_pipeline *p = NULL, *q = NULL;
    jt_error err = {JT_OK, ""};
    if (!text || jt_methods_new(&m, NULL) != JT_OK || jt_methods_add(m, &row, NULL) != JT_OK || jt_methods_add(m, &outer, NULL) != JT_OK)
        abort();
    memcpy(text, data, n);
    text[n] = 0;
    if (jt_pipeline_parse(text, m, &p, &err) == JT_OK) {
        if (jt_pipeline_parse(jt_pipeline_text(p), m, &q, &err) != JT_OK) abort();
        if (strcmp(jt_pipeline_text(p), jt_pipeline_text(q))) abort();
        fuzz_json(p, m);
    } else if (!err.message[0] || strlen(err.message) >= sizeof err.message) {
        abort();
    }
    jt_pipeline_free(p);
    jt_pipeline_free(q);
    jt_methods_free(m);
    free(text);
    return 0;
}
