/* adapter_peft.c: adapters as Hugging Face PEFT saves them: adapter_config.json and adapter_model.safetensors.
 *
 * The scale is lora_alpha / r, or lora_alpha / sqrt(r) with use_rslora (Kalajdzievski 2023, arXiv 2312.03732); rank_pattern
 * and alpha_pattern give other values to modules whose name ends with a key. A setting that is neither applied nor known
 * to concern training alone must be off. */
#include <math.h>
#include <string.h>

#include "core/file.h"
#include "model/adapter.h"

static const jt_adapter_names adapter_peft_names = {"base_model.model.", {".lora_A.weight", ".lora_B.weight"}, true};
enum { ADAPTER_PEFT_ROOT = sizeof "base_model.model." - 1 }; /* what stands before the names of modules */

/* Read by adapter_peft_settings or adapter_peft_tensor. */
static const char *const adapter_peft_applied[] = {
    "peft_type", "r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "target_modules", "init_lora_weights"};
/* Of training, of where the base came from, or of how the first numbers were drawn. */
static const char *const adapter_peft_idle[] = {"auto_mapping",
                                                "base_model_name_or_path",
                                                "corda_config",
                                                "ensure_weight_tying",
                                                "eva_config",
                                                "exclude_modules",
                                                "inference_mode",
                                                "layers_pattern",
                                                "layers_to_transform",
                                                "loftq_config",
                                                "lora_dropout",
                                                "lora_ga_config",
                                                "megatron_core",
                                                "peft_version",
                                                "qalora_group_size",
                                                "revision",
                                                "task_type"};

static bool adapter_peft_in(const char *const *list, size_t n, const char *key) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i], key)) return true;
    return false;
}

/* Off: null, false, empty, or "none". */
static bool adapter_peft_off(const jt_json *v) {
    bool b = true;
    const char *s;
    switch (jt_json_kind_of(v)) {
    case JT_JSON_NULL: return true;
    case JT_JSON_BOOL: return jt_json_bool(v, &b) && !b;
    case JT_JSON_STRING: return (s = jt_json_string(v, NULL)) && (!*s || !strcmp(s, "none"));
    case JT_JSON_ARRAY:
    case JT_JSON_OBJECT: return !jt_json_count(v);
    default: return false;
    }
}

/* Some ways to begin change the weights of the model, and the adapter is then one for the changed weights. */
static jt_status adapter_peft_start(const jt_json *c, jt_error *err) {
    const jt_json *v = jt_json_member(c, "init_lora_weights");
    const char *s = v ? jt_json_string(v, NULL) : NULL;
    if (!v || !s || !strcmp(s, "gaussian") || !strcmp(s, "eva") || !strcmp(s, "orthogonal")) return JT_OK;
    return jt_error_set(err, JT_UNSUPPORTED,
                        "init_lora_weights is \"%.40s\", which changes the weights of the model; save it as a plain LoRA "
                        "(path_initial_model_for_weight_conversion)",
                        s);
}

/* Keys are names of modules, or ends of such; regular expressions beyond that are refused. */
static jt_status adapter_peft_pattern(const jt_json *c, const char *key, bool whole, jt_error *err) {
    const jt_json *p, *v;
    const char *name;
    void *iter = NULL;
    if (!jt_config_find(c, key)) return JT_OK;
    jt_status s = jt_config_object(c, key, &p, err);
    while (!s && jt_json_each(p, &iter, &name, &v)) {
        int64_t n;
        double x;
        const char *plain = name + (*name == '^');
        if (!*plain || plain[strspn(plain, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.")])
            s = jt_error_set(err, JT_UNSUPPORTED,
                             "%s: \"%.100s\" is a regular expression, which this build does not read; write names of modules", key, name);
        else if (whole ? !jt_json_i64(v, &n) || n < 1 : !jt_json_double(v, &x))
            s = jt_error_set(err, JT_FORMAT, "%s: \"%.100s\" is no %s", key, name, whole ? "positive integer" : "number");
    }
    return s;
}

/* `turned`: the model's files have maps by input, of which PEFT says so. */
static jt_status adapter_peft_settings(const jt_json *c, bool turned, jt_error *err) {
    const char *name, *type;
    const jt_json *v;
    void *iter = NULL;
    jt_status s = jt_config_string(c, "peft_type", &type, err);
    if (s) return s;
    if (strcmp(type, "LORA")) return jt_error_set(err, JT_UNSUPPORTED, "peft_type is \"%.40s\"; this build applies \"LORA\" alone", type);
    while (jt_json_each(c, &iter, &name, &v))
        if (!adapter_peft_in(adapter_peft_applied, sizeof adapter_peft_applied / sizeof *adapter_peft_applied, name) &&
            !adapter_peft_in(adapter_peft_idle, sizeof adapter_peft_idle / sizeof *adapter_peft_idle, name) && !adapter_peft_off(v) &&
            !(turned && !strcmp(name, "fan_in_fan_out")))
            return jt_error_set(err, JT_UNSUPPORTED, "%.100s is set, which this build does not apply to an adapter", name);
    if ((s = adapter_peft_start(c, err)) || (s = adapter_peft_pattern(c, "rank_pattern", true, err))) return s;
    return adapter_peft_pattern(c, "alpha_pattern", false, err);
}

/* Whether a key of a pattern, or an entry of target_modules, means module `name`. */
static bool adapter_peft_means(const char *key, const char *name) {
    if (*key == '^') return !strcmp(key + 1, name);
    size_t k = strlen(key), n = strlen(name);
    return k <= n && !strcmp(name + n - k, key) && (k == n || name[n - k - 1] == '.');
}

/* The value of the first key that means the module; NULL: none does. */
static const jt_json *adapter_peft_value(const jt_json *c, const char *pattern, const char *module) {
    const jt_json *p = jt_json_member(c, pattern), *v;
    const char *key;
    void *iter = NULL;
    while (p && jt_json_each(p, &iter, &key, &v))
        if (adapter_peft_means(key, module)) return v;
    return NULL;
}

/* A module that target_modules leaves out would not be changed by PEFT. A text there is a regular expression or
 * "all-linear", and the tensors say what it meant. */
static jt_status adapter_peft_target(const jt_json *c, const char *module, jt_error *err) {
    const jt_json *t = jt_json_member(c, "target_modules");
    if (!t || jt_json_kind_of(t) != JT_JSON_ARRAY) return JT_OK;
    for (size_t i = 0; i < jt_json_count(t); i++) {
        const char *s = jt_json_string(jt_json_item(t, i), NULL);
        if (s && adapter_peft_means(s, module)) return JT_OK;
    }
    return jt_error_set(err, JT_FORMAT, "target_modules does not name module %.200s, for which there are tensors", module);
}

/* Checks the pair's rank against the settings and sets its scale. */
static jt_status adapter_peft_scale(jt_lora *l, const jt_json *c, const char *module, jt_error *err) {
    int64_t r, rank = l->a.rows ? l->a.rows : l->b.cols;
    double alpha;
    bool root;
    jt_status s = jt_config_int(c, "r", 1, INT32_MAX, &r, err);
    if (!s) s = jt_config_double(c, "lora_alpha", &alpha, err);
    if (!s) s = jt_config_bool_or(c, "use_rslora", false, &root, err);
    if (s) return s;
    const jt_json *other = adapter_peft_value(c, "rank_pattern", module);
    if (other) jt_json_i64(other, &r);
    if ((other = adapter_peft_value(c, "alpha_pattern", module))) jt_json_double(other, &alpha);
    if (r != rank)
        return jt_error_set(err, JT_FORMAT, "the tensors of module %.200s have rank %lld; r and rank_pattern say %lld", module,
                            (long long)rank, (long long)r);
    l->scale = alpha / (root ? sqrt((double)r) : (double)r);
    return JT_OK;
}

static jt_status adapter_peft_tensor(jt_adapter *a, const jt_st_tensor *t, const jt_json *c, jt_error *err) {
    jt_adapter_place p;
    char module[256];
    jt_status s = jt_adapter_find(a, t->name, &p, err);
    if (!s) s = jt_adapter_check(a, &p, t->name, t->n_dims, t->dim[0], t->dim[1], err);
    if (s) return s;
    size_t n = strlen(t->name) - ADAPTER_PEFT_ROOT - strlen(a->names->tail[p.half]);
    if (n >= sizeof module) return jt_error_set(err, JT_FORMAT, "tensor %.200s has too long a name", t->name);
    memcpy(module, t->name + ADAPTER_PEFT_ROOT, n);
    module[n] = 0;
    float *x = t->elements <= SIZE_MAX ? jt_alloc((size_t)t->elements, sizeof *x) : NULL;
    if (!x) return jt_nomem(err, t->name, (size_t)t->elements, sizeof *x);
    s = jt_st_read_f32(t, 0, t->elements, x, err);
    if (s) s = jt_error_in(err, s, "tensor %.200s", t->name);
    if (!s) s = jt_adapter_add(a, &p, (int)t->dim[0], (int)t->dim[1], x, false, err);
    jt_free(x);
    if (!s) s = adapter_peft_target(c, module, err);
    return s ? s : adapter_peft_scale(jt_adapter_lora(a, &p), c, module, err);
}

static jt_status adapter_peft_read(jt_adapter *a, const char *config, const char *tensors, jt_error *err) {
    jt_json *c = NULL;
    jt_safetensors *f = NULL;
    jt_status s = jt_json_read(config, &c, err);
    if (!s && (s = adapter_peft_settings(c, a->model->config.family->role[JT_W_O].hf_by_input, err))) s = jt_error_in(err, s, "%s", config);
    if (!s) s = jt_safetensors_open(tensors, &f, err);
    for (size_t i = 0; !s && i < jt_safetensors_tensors(f); i++)
        if ((s = adapter_peft_tensor(a, jt_safetensors_tensor_at(f, i), c, err))) s = jt_error_in(err, s, "%s", tensors);
    jt_safetensors_free(f);
    jt_json_free(c);
    return s;
}

jt_status jt_adapter_read_peft(jt_adapter *a, const char *path, jt_error *err) {
    jt_str config = {0}, tensors = {0}, pickled = {0};
    a->names = &adapter_peft_names;
    jt_str_printf(&config, "%s/adapter_config.json", path);
    jt_str_printf(&tensors, "%s/adapter_model.safetensors", path);
    jt_str_printf(&pickled, "%s/adapter_model.bin", path);
    jt_status s = jt_str_check(&config, err);
    if (!s) s = jt_str_check(&tensors, err);
    if (!s) s = jt_str_check(&pickled, err);
    if (!s && !jt_file_exists(tensors.s) && jt_file_exists(pickled.s))
        s = jt_error_set(err, JT_UNSUPPORTED, "%s holds a Python program's objects, which are not read; save the adapter as safetensors",
                         pickled.s);
    if (!s) s = adapter_peft_read(a, config.s, tensors.s, err);
    jt_str_free(&config), jt_str_free(&tensors), jt_str_free(&pickled);
    return s;
}
