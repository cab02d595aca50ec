#include "cli/reopen.h"

#include <string.h>

#include "cli/out.h"
#include "core/file.h"

static void reopen_compare(const jt_trace_model *was, jt_model *m, const char *path) {
    char digest[65];
    jt_error err;
    jt_model_info info;
    jt_model_get_info(m, &info);
    if (!jt_trace_digest(path, digest, NULL, &err) && strcmp(digest, was->digest) != 0)
        jt_say("%s is another file than the trace's (%s)", path, was->path);
    if (info.mode != was->mode)
        jt_say("the numeric mode is another than the trace's (%016llx, and was %016llx), so that logits may differ",
               (unsigned long long)info.mode, (unsigned long long)was->mode);
}

static int reopen_model(const jt_args *a, const jt_trace_model *was, const char *name, jt_reopened *out, size_t i) {
    jt_model_options o = jt_session_model_options(a);
    jt_str path = {0};
    if (!jt_arg_given(a, "activations"))
        o.activations = !strcmp(was->activations, "float") ? JT_ACT_FLOAT : !strcmp(was->activations, "bf16") ? JT_ACT_BF16 : JT_ACT_INT8;
    if (!jt_arg_given(a, "kv-type"))
        o.kv_type = !strcmp(was->kv_type, "f16")    ? JT_KV_F16
                    : !strcmp(was->kv_type, "f32")  ? JT_KV_F32
                    : !strcmp(was->kv_type, "q8_0") ? JT_KV_Q8_0
                                                    : JT_KV_AUTO;
    int code = jt_session_path(name ? name : was->path, &path);
    if (!code) code = jt_session_open_on(out->engine, path.s, &o, &out->model[i]);
    if (!code) reopen_compare(was, out->model[i], path.s);
    jt_str_free(&path);
    return code;
}

int jt_reopen(const jt_args *a, const jt_trace *t, const char *name, jt_reopened *out) {
    jt_engine_options o = jt_session_engine_options(a);
    jt_error err;
    int code = JT_EXIT_OK;
    *out = (jt_reopened){.trace = t};
    if (!t->n_model || t->n_model > sizeof out->model / sizeof *out->model || t->n_adapter > sizeof out->adapter / sizeof *out->adapter) {
        jt_say("the trace tells of %zu models and %zu adapters", t->n_model, t->n_adapter);
        return JT_EXIT_FILE;
    }
    if (jt_engine_new(&o, &out->engine, &err)) return jt_fail(&err);
    for (size_t i = 0; i < t->n_model && !code; i++) code = reopen_model(a, &t->model[i], i ? NULL : name, out, i);
    for (size_t i = 0; i < t->n_adapter && !code; i++) {
        const jt_trace_adapter *w = &t->adapter[i];
        if (jt_adapter_open(out->model[0], w->path, &out->adapter[i], &err) ||
            (!*w->name && jt_model_set_adapter(out->model[0], out->adapter[i], w->scale, &err)))
            code = jt_fail(&err);
    }
    return code;
}

int jt_reopened_driver(const jt_reopened *m, jt_driver **out) {
    jt_error err;
    jt_status s = jt_driver_new(m->model[0], out, &err);
    for (size_t i = 1; i < m->trace->n_model && !s; i++) s = jt_driver_add_model(*out, m->trace->model[i].role, m->model[i], &err);
    for (size_t i = 0; i < m->trace->n_adapter && !s; i++)
        if (*m->trace->adapter[i].name)
            s = jt_driver_add_adapter(*out, m->trace->adapter[i].name, m->adapter[i], m->trace->adapter[i].scale, &err);
    return s ? jt_fail(&err) : JT_EXIT_OK;
}

void jt_reopened_close(jt_reopened *m) {
    for (size_t i = 0; i < sizeof m->adapter / sizeof *m->adapter; i++) jt_adapter_free(m->adapter[i]);
    for (size_t i = 0; i < sizeof m->model / sizeof *m->model; i++) jt_model_free(m->model[i]);
    jt_engine_free(m->engine);
    *m = (jt_reopened){0};
}
