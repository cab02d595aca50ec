#include "cli/pipelines.h"

#include <string.h>

#include "jeton/plugin.h"

jt_status jt_pipelines_open(const jt_args *a, jt_pipelines *out, jt_error *err) {
    int n;
    const char *const *file = jt_arg_list(a, "plugin", &n);
    *out = (jt_pipelines){.args = a};
    jt_status s = n ? jt_methods_new(&out->extra, err) : JT_OK;
    for (int i = 0; !s && i < n; i++) s = jt_methods_load(out->extra, file[i], err);
    return s;
}

void jt_pipelines_close(jt_pipelines *p) {
    jt_methods_free(p->extra);
    p->extra = NULL;
}

jt_status jt_pipelines_text(const jt_pipelines *p, const char *text, const char **out, jt_error *err) {
    size_t n = strcspn(text, " \t\r\n|>:,=");
    const jt_args *a = p ? p->args : NULL;
    if (text[0] != '@') return *out = text, JT_OK;
    if (text[n])
        return jt_error_set(err, JT_INVALID, "\"%.60s\": the name of a pipeline stands alone; write \"%.*s\", or its text", text,
                            (int)(n > 40 ? 40 : n), text);
    jt_nearest near = {.to = text + 1};
    for (int i = 0; a && i < a->n_pipeline; i++) {
        if (!strcmp(a->pipeline[i].name, text + 1)) return *out = a->pipeline[i].text, JT_OK;
        jt_nearest_add(&near, a->pipeline[i].name);
    }
    if (!near.best)
        return jt_error_set(err, JT_UNKNOWN, "no pipeline \"%.40s\": the config file names none; it does so below \"pipelines:\"", text);
    return jt_error_set(err, JT_UNKNOWN, "no pipeline \"%.40s\" in the config file; the nearest is \"@%s\"", text, near.best);
}

jt_status jt_pipelines_parse(const jt_pipelines *p, const char *text, jt_pipeline **out, jt_error *err) {
    const char *as;
    jt_status s = jt_pipelines_text(p, text, &as, err);
    if (!s) s = jt_pipeline_parse(as, p ? p->extra : NULL, out, err);
    return s && text[0] == '@' ? jt_error_in(err, s, "%.40s", text) : s;
}
