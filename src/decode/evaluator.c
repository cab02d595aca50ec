/* evaluator.c: the driver of a real model. */
#include "core/file.h"
#include "decode/driver.h"
#include "model/adapter.h"

static jt_status model_open_state(void *self, int context, jt_state **out, jt_error *err) { return jt_state_new(self, context, out, err); }

static jt_status model_open_raw(void *self, int context, jt_state **out, jt_error *err) {
    return jt_state_new_raw(self, context, out, err);
}

static void model_close_state(void *self, jt_state *s) {
    (void)self;
    jt_state_free(s);
}

static jt_status model_fork_state(void *self, const jt_state *s, jt_state **out, jt_error *err) {
    (void)self;
    return jt_state_fork(s, out, err);
}

static jt_status model_truncate_state(void *self, jt_state *s, int n, jt_error *err) {
    (void)self;
    return jt_state_truncate(s, n, err);
}

static jt_status model_truncate_state_to(void *self, jt_state *s, int node, jt_error *err) {
    (void)self;
    return jt_state_truncate_to(s, node, err);
}

static jt_status model_evaluate(void *self, const jt_batch *b, jt_error *err) { return jt_eval(self, b, err); }

/* What taps capture would be missing in a job that begins from the state, and the mode does not know what a function of
 * the caller does. */
static uint64_t model_mode(void *self, const jt_state *s) {
    (void)self;
    return s->watched ? 0 : jt_state_mode(s);
}

static jt_status model_set_taps(void *self, jt_state *s, const jt_tap *t, int n, jt_error *err) {
    (void)self;
    return jt_state_set_taps(s, t, n, err);
}

static int model_site_width(void *self, const char *site) { return jt_site_width(self, site); }

static jt_status model_set_keys(void *self, jt_state *s, const jt_keys *k, int n, jt_error *err) {
    (void)self;
    return jt_state_set_keys(s, k, n, err);
}

static jt_status model_set_adapter(void *self, jt_state *s, const jt_wear *w, jt_error *err) {
    const jt_model *m = self;
    return jt_state_set_adapter(s, w ? w->adapter : m->adapter, w ? w->scale : m->adapter_scale, err);
}

static jt_status model_project(void *self, const float *x, bool norm, float *final, float *logits, jt_error *err) {
    jt_want w = {.logits = logits, .final = final};
    return (norm ? jt_project : jt_project_head)(self, x, 1, &w, 1, err);
}

static double model_now(void *self) {
    (void)self;
    return jt_seconds();
}

static jt_evaluator model_evaluator(jt_model *m) {
    jt_model_info info;
    int known;
    jt_model_get_info(m, &info);
    return (jt_evaluator){.self = m,
                          .vocab = info.vocab,
                          .hidden = info.hidden,
                          .layers = info.layers,
                          .context = info.context_trained,
                          .token_bytes = (size_t)info.state_bytes_per_token,
                          .branch_bytes = (size_t)info.recurrent_bytes * 3,
                          .memory = jt_memory_available(),
                          .tokenizer = jt_model_tokenizer(m),
                          .kernels = jt_kernels_pick(jt_engine_kernels(jt_model_engine(m)), &known),
                          .ubatch = m->options.ubatch,
                          .open = model_open_state,
                          .open_raw = model_open_raw,
                          .close = model_close_state,
                          .fork = model_fork_state,
                          .truncate = model_truncate_state,
                          .truncate_to = model_truncate_state_to,
                          .eval = model_evaluate,
                          .mode = model_mode,
                          .set_taps = model_set_taps,
                          .site_width = model_site_width,
                          .set_keys = model_set_keys,
                          .set_adapter = model_set_adapter,
                          .project = model_project,
                          .now = model_now};
}

/* An encoder has no next token to choose. */
static jt_status model_decodes(const jt_model *m, jt_error *err) {
    jt_model_info info;
    jt_model_get_info(m, &info);
    if (!info.encoder) return JT_OK;
    return jt_error_set(err, JT_UNSUPPORTED, "%s is an encoder (%s), which gives vectors and no text; see jeton/embed.h", info.name,
                        info.family);
}

jt_status jt_driver_new(jt_model *m, jt_driver **out, jt_error *err) {
    jt_evaluator ev = model_evaluator(m);
    jt_status s = model_decodes(m, err);
    return s ? s : jt_driver_new_with(&ev, out, err);
}

jt_status jt_driver_add_model(jt_driver *d, const char *role, jt_model *m, jt_error *err) {
    jt_evaluator ev = model_evaluator(m);
    jt_status s = model_decodes(m, err);
    return s ? s : jt_driver_add_with(d, role, &ev, err);
}

jt_status jt_driver_add_adapter(jt_driver *d, const char *name, jt_adapter *a, float scale, jt_error *err) {
    for (int i = 0; a && i < d->n_model; i++)
        if (d->model[i].ev.self == a->model && d->model[i].ev.set_adapter == model_set_adapter)
            return jt_driver_know(d, name, i, &(jt_wear){a, scale}, err);
    return jt_error_set(err, JT_INVALID, "the adapter was opened for a model that this driver does not have; add the model first");
}
