#include "cli/session.h"

#include <string.h>

#include "cli/hub.h"
#include "cli/interrupt.h"
#include "cli/names.h"
#include "cli/out.h"
#include "cli/progress.h"
#include "cli/store.h"
#include "core/file.h"
#include "core/thread.h"

/* Threads that wait for each other's processor time are slower than none: at most one per processor. */
static int session_threads(int asked) {
    int most = jt_processors();
    if (asked <= most) return asked;
    jt_say("--threads %d: this process may use %d processors; computing with %d", asked, most, most);
    return most;
}

jt_engine_options jt_session_engine_options(const jt_args *a) {
    return (jt_engine_options){.threads = session_threads((int)jt_arg_int(a, "threads")), .kernels = jt_arg_text(a, "kernels")};
}

jt_model_options jt_session_model_options(const jt_args *a) {
    const char *kv = jt_arg_text(a, "kv-type"), *act = jt_arg_text(a, "activations");
    return (jt_model_options){
        .activations = strcmp(act, "float") == 0  ? JT_ACT_FLOAT
                       : strcmp(act, "bf16") == 0 ? JT_ACT_BF16
                                                  : JT_ACT_INT8,
        .kv_type = strcmp(kv, "f16") == 0    ? JT_KV_F16
                   : strcmp(kv, "f32") == 0  ? JT_KV_F32
                   : strcmp(kv, "q8_0") == 0 ? JT_KV_Q8_0
                                             : JT_KV_AUTO,
        .ubatch = (int)jt_arg_int(a, "ubatch"),
        .no_repack = jt_arg_flag(a, "no-repack"),
        .mlock = jt_arg_flag(a, "mlock"),
        .context = (int)jt_arg_int(a, "ctx"),
    };
}

/* A name that no file has: of a model that is on this machine, or nothing. What looks like a path stays one, so that the
 * message is about the file. */
static int session_find(const char *name, jt_str *path) {
    jt_store store = {0};
    const jt_stored *m = NULL;
    jt_error err;
    jt_status s = jt_store_scan(&store, &err);
    if (!s) s = jt_store_find(&store, name, &m, &err);
    bool hub = jt_hub_name_like(name), plain = strchr(name, '/') && !hub;
    jt_str_puts(path, m ? m->path : plain ? name : "");
    jt_store_free(&store);
    if (!s || (s == JT_UNKNOWN && plain)) s = jt_str_check(path, &err);
    if (!s) return JT_EXIT_OK;
    if (s != JT_UNKNOWN) return jt_fail(&err) == JT_EXIT_USAGE ? JT_EXIT_FILE : JT_EXIT_FAILURE;
    bool near = strstr(err.message, "did you mean") != NULL;
    jt_say("%s%s%s%s", err.message,
           near                ? ""
           : hub               ? "; 'jeton pull "
           : strchr(name, ' ') ? "; a prompt is given with -p"
                               : "; 'jeton models' and 'jeton pull --list' list them",
           hub && !near ? name : "", hub && !near ? "' brings one from the hub" : "");
    return JT_EXIT_FILE;
}

int jt_session_path(const char *name, jt_str *path) {
    jt_error err;
    const jt_known_model *m = jt_known_models;
    if (name && jt_file_exists(name)) {
        jt_str_puts(path, name);
        return jt_str_check(path, &err) ? jt_fail(&err) : JT_EXIT_OK;
    }
    if (name && !(m = jt_known_model_find(name))) return session_find(name, path);
    jt_status s = jt_known_model_pull(m, &err);
    if (!s) s = jt_known_model_path(m, path, &err);
    if (s) return jt_fail(&err) == JT_EXIT_INTERRUPTED ? JT_EXIT_INTERRUPTED : JT_EXIT_FILE;
    return JT_EXIT_OK;
}

static int on_progress(void *self, double fraction) {
    jt_progress_set(self, fraction, NULL);
    return jt_interrupted();
}

int jt_session_open_on(jt_engine *e, const char *name, const jt_model_options *o, jt_model **out) {
    jt_str path = {0};
    int code = jt_session_path(name, &path);
    if (code) {
        jt_str_free(&path);
        return code;
    }
    jt_error err;
    jt_progress p;
    jt_model_options mine = o ? *o : (jt_model_options){0};
    if (!mine.progress) mine.progress = on_progress, mine.progress_self = &p;
    jt_progress_begin(&p, "loading");
    jt_status s = jt_model_open(e, path.s, &mine, out, &err);
    jt_progress_end(&p);
    jt_str_free(&path);
    if (!s) return JT_EXIT_OK;
    code = jt_fail(&err);
    return s == JT_CANCELLED ? JT_EXIT_INTERRUPTED : s == JT_NOMEM || code == JT_EXIT_USAGE ? JT_EXIT_FILE : code;
}

/* The bytes of the name in "NAME=PATH", 0: there is none. A file whose own name has a "=" is a path. */
static size_t lora_name(const char *text) {
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    return n && text[n] == '=' && text[n + 1] && !jt_file_exists(text) ? n : 0;
}

/* Opens "PATH" or "PATH:SCALE". */
static int lora_open(const char *text, jt_model *m, jt_session_lora *out) {
    const char *colon = strrchr(text, ':');
    jt_str path = {0};
    jt_error err;
    double scale = 1;
    bool scaled = colon && !jt_file_exists(text) && jt_read_double(colon + 1, strlen(colon + 1), &scale);
    jt_str_add(&path, text, scaled ? (size_t)(colon - text) : strlen(text));
    jt_status s = jt_str_check(&path, &err);
    if (!s) s = jt_adapter_open(m, jt_str_c(&path), &out->adapter, &err);
    out->scale = (float)scale;
    if (s)
        jt_str_free(&path);
    else
        out->path = path;
    return s ? jt_fail(&err) : JT_EXIT_OK;
}

int jt_session_adapt(const jt_args *a, jt_model *m, jt_session_lora *out) {
    int n, code = JT_EXIT_OK;
    const char *const *list = jt_arg_list(a, "lora", &n), *plain = NULL;
    bool names = jt_command_find_opt(a->command, "adapter", 7) >= 0;
    jt_error err;
    *out = (jt_session_lora){0};
    for (int i = 0; i < n; i++) {
        size_t name = lora_name(list[i]);
        if (name && !names) return jt_fail_usage(a, "--lora: %s takes an adapter without a name, not \"%s\"", a->command->name, list[i]);
        if (!name && plain) return jt_fail_usage(a, "--lora: \"%s\" and \"%s\"; all but one must have names: NAME=PATH", plain, list[i]);
        if (!name) plain = list[i];
    }
    if (plain) code = lora_open(plain, m, out);
    if (!code && plain && jt_model_set_adapter(m, out->adapter, out->scale, &err)) code = jt_fail(&err);
    return code;
}

static int session_add_adapters(const jt_args *a, jt_session *s, jt_driver *d) {
    enum { MOST = sizeof s->lora / sizeof *s->lora };
    int n, code = JT_EXIT_OK;
    const char *const *list = jt_arg_list(a, "lora", &n);
    for (int i = 0; i < n && !code; i++) {
        size_t name = lora_name(list[i]);
        jt_session_lora *l = &s->lora[s->n_lora];
        jt_error err;
        if (!name) continue;
        if (s->n_lora == MOST) return jt_fail_usage(a, "--lora is given more than %d names", MOST);
        if (name >= sizeof l->name)
            return jt_fail_usage(a, "--lora: the name in \"%s\" is longer than %zu bytes", list[i], sizeof l->name - 1);
        memcpy(l->name, list[i], name);
        l->name[name] = 0;
        code = lora_open(list[i] + name + 1, s->model, l);
        if (!code) s->n_lora++;
        if (!code && jt_driver_add_adapter(d, l->name, l->adapter, l->scale, &err)) code = jt_fail(&err);
    }
    return code;
}

int jt_session_open(const jt_args *a, const char *name, jt_session *out) {
    *out = (jt_session){0};
    jt_error err;
    jt_engine_options eo = jt_session_engine_options(a);
    if (jt_engine_new(&eo, &out->engine, &err)) return jt_fail(&err);
    jt_model_options mo = jt_session_model_options(a);
    int code = jt_session_open_on(out->engine, name, &mo, &out->model);
    if (!code) code = jt_session_adapt(a, out->model, &out->plain);
    if (code) {
        jt_session_close(out);
        return code;
    }
    jt_model_info info;
    jt_model_get_info(out->model, &info);
    out->context = mo.context ? mo.context : info.context_trained;
    if (!info.encoder || a->command->encoders) return JT_EXIT_OK;
    jt_say("%s is an encoder (%s), which gives vectors and no text; 'jeton embed' and 'jeton classify' read it", info.name, info.family);
    jt_session_close(out);
    return JT_EXIT_FILE;
}

int jt_session_add_models(const char *const *list, int n, const jt_args *a, jt_session *s, jt_driver *d) {
    enum { MOST = sizeof s->further / sizeof *s->further };
    jt_model_options mo = jt_session_model_options(a);
    int code = JT_EXIT_OK;
    if (n > MOST) return jt_fail_usage(a, "--model2 is given %d times; at most %d are taken", n, MOST);
    for (int i = 0; i < n && !code; i++) {
        const char *eq = strchr(list[i], '=');
        char role[64];
        jt_error err;
        if (!eq || eq == list[i] || !eq[1] || (size_t)(eq - list[i]) >= sizeof role)
            return jt_fail_usage(a, "--model2: \"%s\" is not ROLE=MODEL, such as large=model.gguf", list[i]);
        memcpy(role, list[i], (size_t)(eq - list[i]));
        role[eq - list[i]] = 0;
        code = jt_session_open_on(s->engine, eq + 1, &mo, &s->further[s->n_further]);
        if (!code && jt_driver_add_model(d, role, s->further[s->n_further++], &err)) code = jt_fail(&err);
    }
    return code;
}

int jt_session_furnish(const jt_args *a, jt_session *s, jt_driver *d) {
    int n;
    const char *const *list = jt_arg_list(a, "model2", &n);
    int code = jt_session_add_models(list, n, a, s, d);
    return code ? code : session_add_adapters(a, s, d);
}

void jt_session_close(jt_session *s) {
    for (int i = 0; i < s->n_lora; i++) jt_adapter_free(s->lora[i].adapter), jt_str_free(&s->lora[i].path);
    jt_adapter_free(s->plain.adapter);
    jt_str_free(&s->plain.path);
    for (int i = 0; i < s->n_further; i++) jt_model_free(s->further[i]);
    jt_model_free(s->model);
    jt_engine_free(s->engine);
    *s = (jt_session){0};
}
