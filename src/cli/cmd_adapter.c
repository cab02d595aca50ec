/* jeton adapter list, merge, convert: LoRA adapters as files. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "core/file.h"
#include "core/json.h"
#include "jeton/convert.h"
#include "model/gguf.h"
#include "model/safetensors.h"

/* ---- list ---- */

static void list_tensor(const char *name, uint64_t rows, uint64_t cols, const char *type) {
    jt_out("  %-72s %6llu x %-6llu %s\n", name, (unsigned long long)rows, (unsigned long long)cols, type);
}

static jt_status list_gguf(const char *path, jt_error *err) {
    jt_gguf *g;
    const char *type;
    size_t n;
    jt_error none;
    jt_status s = jt_gguf_open(path, &g, err);
    if (s) return s;
    if (jt_gguf_get_text(g, "general.type", &type, &n, &none) || n != strlen("adapter") || memcmp(type, "adapter", n)) {
        jt_gguf_free(g);
        return jt_error_set(err, JT_UNSUPPORTED, "%s: general.type is not \"adapter\"; 'jeton info' tells what else is in a file", path);
    }
    for (size_t i = 0; i < jt_gguf_values(g); i++) {
        const jt_gguf_value *v = jt_gguf_value_at(g, i);
        jt_str text = {0};
        jt_gguf_print(v, 60, &text);
        jt_out("%-32s %s\n", v->key, jt_str_c(&text));
        jt_str_free(&text);
    }
    for (size_t i = 0; i < jt_gguf_tensors(g); i++) {
        const jt_gguf_tensor *t = jt_gguf_tensor_at(g, i);
        list_tensor(t->name, t->dim[1], t->dim[0], t->format ? t->format->name : "unknown");
    }
    jt_gguf_free(g);
    return JT_OK;
}

static jt_status list_settings(const char *path, jt_error *err) {
    static const char *const key[] = {"peft_type", "base_model_name_or_path", "r", "lora_alpha", "use_rslora"};
    jt_json *j;
    jt_status s = jt_json_read(path, &j, err);
    for (size_t i = 0; !s && i < sizeof key / sizeof *key; i++) {
        const jt_json *v = jt_json_member(j, key[i]);
        double x;
        bool yes;
        if (v && jt_json_string(v, NULL)) jt_out("%-32s %s\n", key[i], jt_json_string(v, NULL));
        if (v && jt_json_double(v, &x)) jt_out("%-32s %g\n", key[i], x);
        if (v && jt_json_bool(v, &yes)) jt_out("%-32s %s\n", key[i], yes ? "true" : "false");
    }
    if (!s) jt_json_free(j);
    return s;
}

static jt_status list_peft(const char *path, jt_error *err) {
    jt_str config = {0}, tensors = {0};
    jt_safetensors *f = NULL;
    jt_str_printf(&config, "%s/adapter_config.json", path);
    jt_str_printf(&tensors, "%s/adapter_model.safetensors", path);
    jt_status s = jt_str_check(&config, err);
    if (!s) s = jt_str_check(&tensors, err);
    if (!s) s = jt_safetensors_open(tensors.s, &f, err);
    if (!s) s = list_settings(config.s, err);
    for (size_t i = 0; !s && i < jt_safetensors_tensors(f); i++) {
        const jt_st_tensor *t = jt_safetensors_tensor_at(f, i);
        list_tensor(t->name, t->dim[0], t->dim[1], t->dtype->name);
    }
    jt_safetensors_free(f);
    jt_str_free(&config), jt_str_free(&tensors);
    return s;
}

static int run_list(const jt_args *a) {
    const char *path = jt_arg_pos(a, 0);
    jt_error err;
    return (jt_is_folder(path) ? list_peft(path, &err) : list_gguf(path, &err)) ? jt_fail(&err) : JT_EXIT_OK;
}

static const jt_pos list_pos[] = {{"ADAPTER", JT_POS_FILE, false, false, "a PEFT folder or a GGUF file"}, {0}};
static const jt_example list_examples[] = {{"jeton adapter list my-lora/", "settings and tensors"}, {0}};
const jt_command jt_cmd_adapter_list = {
    .name = "adapter list",
    .summary = "settings and tensors of an adapter",
    .pos = list_pos,
    .example = list_examples,
    .run = run_list,
};

/* ---- merge and convert ---- */

static void on_note(void *self, const char *text) {
    (void)self;
    jt_say("%s", text);
}

static int on_progress(void *self, double fraction) {
    jt_progress_set(self, fraction, NULL);
    return jt_interrupted();
}

static void print_info(const char *out, const jt_convert_info *i) {
    jt_out("%s: %llu tensors, %.1f MiB\n", out, (unsigned long long)i->tensors, (double)i->bytes_out / (1024.0 * 1024.0));
}

static int run_either(const jt_args *a, bool merge) {
    jt_convert_info info;
    jt_str in = {0};
    jt_error err;
    jt_progress bar;
    const char *out = jt_arg_pos(a, 2);
    jt_interrupt_install();
    int code = jt_session_path(jt_arg_pos(a, 0), &in);
    if (!code && jt_file_exists(out)) {
        jt_say("%s: exists already; name another", out);
        code = JT_EXIT_USAGE;
    }
    if (!code) {
        jt_convert_options o = {.adapter = jt_arg_pos(a, 1), .note = on_note, .progress = on_progress, .self = &bar};
        if (merge) o.type = jt_arg_text(a, "type"), o.adapter_scale = (float)jt_arg_real(a, "scale");
        jt_progress_begin(&bar, merge ? "merging" : "converting");
        jt_status s = merge ? jt_convert(in.s, out, &o, &info, &err) : jt_convert_adapter(in.s, o.adapter, out, &info, &err);
        jt_progress_end(&bar);
        if (s)
            code = jt_fail(&err);
        else
            print_info(out, &info);
    }
    jt_str_free(&in);
    return code;
}

static int run_merge(const jt_args *a) { return run_either(a, true); }
static int run_convert(const jt_args *a) { return run_either(a, false); }

static const jt_pos merge_pos[] = {
    {"MODEL", JT_POS_MODEL, false, false, "the model: a GGUF file, a folder of safetensors, or a known name"},
    {"ADAPTER", JT_POS_FILE, false, false, "a PEFT folder or a GGUF file"},
    {"OUT", JT_POS_FILE, false, false, "a GGUF file if the name ends in .gguf, else a new folder"},
    {0},
};
static const jt_opt merge_opts[] = {
    {"scale", 0, JT_OPT_REAL, "X", "1", -100, 100, "times the adapter's own scale"},
    {"type", 't', JT_OPT_TEXT, "TYPE", NULL, 0, 0, "format of the matrices, as of jeton convert (default as they are)"},
    {0},
};
/* Both take the same arguments. */
#define ADAPTER_WRITES(command, what, says, options, line, gives)                                                                          \
    {                                                                                                                                      \
        .name = "adapter " #command, .summary = what, .about = says, .opt = options, .pos = merge_pos,                                     \
        .example = (const jt_example[]){{"jeton adapter " #command " " line, gives}, {0}}, .run = run_##command                            \
    }
const jt_command jt_cmd_adapter_merge = ADAPTER_WRITES(
    merge, "add an adapter to the weights of a model", "The sums are made in float32; a weight in few bits is rounded to them again.",
    merge_opts, "model.gguf my-lora/ merged.gguf --type q8_0", "one file with the adapter in its weights");
const jt_command jt_cmd_adapter_convert =
    ADAPTER_WRITES(convert, "write an adapter in the other container",
                   "Of the model only the settings are read: they say which weights the adapter belongs to and how their rows lie.", NULL,
                   "model.gguf my-lora/ my-lora.gguf", "for programs that read adapters as GGUF");
