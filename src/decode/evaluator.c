/* evaluator.c: the driver of a real model. */
#include "core/file.h"
#include "decode/driver.h"

static jt_status model_open_state(void *self, int context, jt_state **out, jt_error *err) { return jt_state_new(self, context, out, err); }

static void model_close_state(void *self, jt_state *s) {
    (void)self;
    jt_state_free(s);
}

static jt_status model_evaluate(void *self, const jt_batch *b, jt_error *err) { return jt_eval(self, b, err); }

static double model_now(void *self) {
    (void)self;
    return jt_seconds();
}

jt_status jt_driver_new(jt_model *m, jt_driver **out, jt_error *err) {
    jt_model_info info;
    int known;
    jt_model_get_info(m, &info);
    return jt_driver_new_with(&(jt_evaluator){.self = m,
                                              .vocab = info.vocab,
                                              .context = info.context_trained,
                                              .tokenizer = jt_model_tokenizer(m),
                                              .kernels = jt_kernels_pick(jt_engine_kernels(jt_model_engine(m)), &known),
                                              .open = model_open_state,
                                              .close = model_close_state,
                                              .eval = model_evaluate,
                                              .now = model_now},
                              out, err);
}
