#include "cli/tracing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/out.h"
#include "core/file.h"

static jt_status tracing_put(void *self, const char *s, size_t n, jt_error *err) {
    jt_tracing *t = self;
    if (fwrite(s, 1, n, t->f) == n && !fflush(t->f)) return JT_OK;
    return jt_error_set(err, JT_IO, "%s: %s", t->path, strerror(errno));
}

static int tracing_failed(const jt_error *err) {
    jt_say("%s", err->message);
    return JT_EXIT_OUTPUT;
}

/* The file or folder of a model by the name that it was opened with, from the root. */
static int tracing_path(const char *name, jt_str *path) {
    int code = jt_session_path(name, path);
    char *whole = code ? NULL : realpath(path->s, NULL);
    if (whole) {
        jt_str_clear(path);
        jt_str_puts(path, whole);
    }
    free(whole);
    return code;
}

static int tracing_model(jt_trace_writer *w, const char *role, jt_model *m, const char *name) {
    jt_str path = {0};
    jt_error err;
    int code = tracing_path(name, &path);
    if (!code && (jt_str_check(&path, &err) || jt_trace_write_model(w, role, m, path.s, &err))) code = jt_fail(&err);
    jt_str_free(&path);
    return code;
}

static int tracing_adapter(jt_trace_writer *w, const jt_session_lora *l) {
    jt_error err;
    if (!l->adapter) return JT_EXIT_OK;
    return jt_trace_write_adapter(w, l->name, l->adapter, jt_str_c(&l->path), l->scale, &err) ? jt_fail(&err) : JT_EXIT_OK;
}

int jt_tracing_open(const jt_args *a, const jt_session *s, const char *model, jt_tracing *t) {
    const char *many = jt_arg_text(a, "trace-candidates");
    int64_t n = JT_TRACE_ALL;
    int roles, code = JT_EXIT_OK;
    jt_error err;
    *t = (jt_tracing){.path = jt_arg_text(a, "trace")};
    if (strcmp(many, "all") != 0 && (!jt_read_i64(many, strlen(many), &n) || n < 1 || n > INT32_MAX))
        return jt_fail_usage(a, "--trace-candidates is \"%s\"; give a number from 1, or all", many);
    t->candidates = (int)n;
    if (!t->path) return JT_EXIT_OK;
    if (!(t->f = fopen(t->path, "w"))) {
        jt_error_set(&err, JT_IO, "%s: %s", t->path, strerror(errno));
        return tracing_failed(&err);
    }
    if (jt_trace_writer_new(tracing_put, t, &t->w, &err)) return jt_fail(&err);
    code = tracing_model(t->w, "", s->model, model);
    const char *const *list = jt_arg_list(a, "model2", &roles);
    for (int i = 0; i < roles && !code; i++) {
        char role[64];
        snprintf(role, sizeof role, "%.*s", (int)strcspn(list[i], "="), list[i]);
        code = tracing_model(t->w, role, s->further[i], strchr(list[i], '=') + 1);
    }
    if (!code) code = tracing_adapter(t->w, &s->plain);
    for (int i = 0; i < s->n_lora && !code; i++) code = tracing_adapter(t->w, &s->lora[i]);
    return code;
}

void jt_tracing_request(const jt_tracing *t, jt_request *r) {
    if (!t->w) return;
    r->trace = 1, r->trace_candidates = t->candidates;
}

int jt_tracing_end(jt_tracing *t) {
    jt_error err;
    if (!t->w) return JT_EXIT_OK;
    if (jt_trace_write_end(t->w, &err)) return tracing_failed(&err);
    FILE *f = t->f;
    t->f = NULL;
    if (!fclose(f)) return JT_EXIT_OK;
    jt_error_set(&err, JT_IO, "%s: %s", t->path, strerror(errno));
    return tracing_failed(&err);
}

void jt_tracing_close(jt_tracing *t) {
    if (t->f) fclose(t->f);
    jt_trace_writer_free(t->w);
    *t = (jt_tracing){0};
}
