/* jeton pull: brings a model from the Hugging Face hub, or one that is known by a name. */
#include <string.h>

#include "cli/command.h"
#include "cli/hub.h"
#include "cli/interrupt.h"
#include "cli/names.h"
#include "cli/out.h"

static int list(void) {
    for (const jt_known_model *m = jt_known_models; m->name; m++)
        jt_out("%-10s %s, %s%s%s\n", m->name, m->about, m->licence, m == jt_known_models ? ", the default" : "",
               jt_known_model_here(m) ? ", here" : "");
    return JT_EXIT_OK;
}

static jt_status pull_known(const jt_known_model *m, bool check, jt_str *path, jt_error *err) {
    jt_status s = jt_known_model_pull(m, err);
    if (!s) s = jt_known_model_path(m, path, err);
    if (!s && check) s = jt_check_sum(path->s, m->file_sha256, err);
    return s;
}

static int run(const jt_args *a) {
    jt_interrupt_install();
    if (jt_arg_flag(a, "list")) return list();
    const char *name = jt_arg_pos(a, 0);
    const jt_known_model *m = name ? jt_known_model_find(name) : jt_known_models;
    if (!m && !strchr(name, '/'))
        return jt_fail_usage(a, "no model is known as \"%s\"; 'jeton pull --list' lists them, and ORG/REPO is one of the Hugging Face hub",
                             name);
    jt_str path = {0};
    jt_error err;
    jt_status s = m ? pull_known(m, jt_arg_flag(a, "check"), &path, &err) : jt_hub_pull(name, jt_arg_flag(a, "check"), &path, &err);
    if (!s) jt_out("%s\n", path.s);
    jt_str_free(&path);
    if (!s) return JT_EXIT_OK;
    int code = jt_fail(&err);
    if (s == JT_CANCELLED && !m) jt_say("what came is kept; the same command goes on with it");
    return code;
}

static const jt_pos pos[] = {
    {"MODEL", JT_POS_MODEL, true, false, "ORG/REPO[@REVISION][:KIND or :FILE] of the hub, or a known name (default smollm2)"}, {0}};
static const jt_opt opts[] = {
    {"list", 'l', JT_OPT_FLAG, NULL, NULL, 0, 0, "list the models that are known by a name"},
    {"check", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "compute the checksums of files that are already here again"},
    {0},
};
static const jt_example examples[] = {
    {"jeton pull bartowski/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M", "brings the file of that kind, all its parts"},
    {"jeton pull Qwen/Qwen2.5-0.5B-Instruct", "brings the folder of safetensors, settings and tokenizer"},
    {"jeton pull smollm2", "brings the default model and prints where its file is"},
    {0},
};
const jt_command jt_cmd_pull = {
    .name = "pull",
    .summary = "bring a model from the Hugging Face hub",
    .about =
        "Brings what is missing of a model, checks it, and prints the path of its file or folder. ORG/REPO:Q4_K_M means the GGUF file of "
        "that "
        "kind, ORG/REPO:FILE that file, ORG/REPO alone the folder of safetensors with its settings and tokenizer or, of a repository of "
        "GGUF "
        "files, the only one or that of Q4_K_M. What broke off goes on where it stopped; the same command does it.\n\n"
        "Files are kept as Python's huggingface_hub keeps them, so that each finds what the other brought: in HF_HUB_CACHE, else in "
        "HF_HOME/hub, else in ~/.cache/huggingface/hub. Also read: HF_TOKEN or the file HF_TOKEN_PATH (else HF_HOME/token), HF_ENDPOINT, "
        "HF_HUB_OFFLINE=1 (ask nobody, take what is here), HF_HUB_DOWNLOAD_TIMEOUT (seconds without a byte, default 30), https_proxy, "
        "http_proxy, no_proxy, SSL_CERT_FILE, and JETON_RETRY_WAIT (seconds before the second attempt, default 1, doubled for each "
        "further).\n\n"
        "smollm2 is downloaded with 'python3 -m pip' and kept in ~/.cache/jeton/models (XDG_CACHE_HOME is respected).",
    .opt = opts,
    .pos = pos,
    .example = examples,
    .run = run,
};
