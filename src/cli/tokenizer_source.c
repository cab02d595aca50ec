#include "cli/tokenizer_source.h"

#include <stdio.h>
#include <string.h>

#include "cli/out.h"
#include "cli/session.h"
#include "core/file.h"
#include "text/tiktoken.h"

/* Is this a tokenizer's own file, or a folder with nothing else? */
static bool own_file(const char *path, bool *tiktoken) {
    char first[256];
    jt_str config = {0};
    *tiktoken = false;
    if (jt_is_folder(path)) {
        jt_str_printf(&config, "%s/config.json", path);
        bool model = config.failed || jt_file_exists(jt_str_c(&config));
        jt_str_free(&config);
        return !model;
    }
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(first, 1, sizeof first, f) : 0;
    if (f) fclose(f);
    *tiktoken = jt_tiktoken_is(first, n);
    return n >= 4 && memcmp(first, "GGUF", 4) != 0 && !strstr(path, ".safetensors") && !strstr(path, ".gguf");
}

static int not_tiktoken(const char *name) {
    jt_say("--encoding is for files of tiktoken, which \"%s\" is not", name);
    return JT_EXIT_USAGE;
}

int jt_tokenizer_source_open(const char *name, const char *encoding, jt_tokenizer_source *o, const jt_tokenizer **out) {
    jt_error err;
    bool tiktoken;
    if (own_file(name, &tiktoken)) {
        if (encoding && !tiktoken) return not_tiktoken(name);
        jt_status s = tiktoken ? jt_tokenizer_tiktoken(name, encoding, &o->own, &err) : jt_tokenizer_open(name, &o->own, &err);
        *out = o->own;
        return s ? jt_fail(&err) : JT_EXIT_OK;
    }
    if (encoding) return not_tiktoken(name);
    if (jt_engine_new(&(jt_engine_options){.threads = 1}, &o->engine, &err)) return jt_fail(&err);
    int code = jt_session_open_on(o->engine, name, &(jt_model_options){.vocab_only = 1}, &o->model);
    if (code) return code;
    *out = jt_model_tokenizer(o->model);
    if (*out) return JT_EXIT_OK;
    jt_say("%s: its files carry no tokenizer", name);
    return JT_EXIT_FILE;
}

void jt_tokenizer_source_close(jt_tokenizer_source *o) {
    jt_tokenizer_free(o->own);
    jt_model_free(o->model);
    jt_engine_free(o->engine);
    *o = (jt_tokenizer_source){0};
}
