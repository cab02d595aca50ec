/* jeton convert: a model in another container, or with other block formats. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "core/file.h"
#include "jeton/convert.h"

struct convert_watch {
    jt_progress bar;
    bool quiet;
};

static void on_note(void *self, const char *text) {
    const struct convert_watch *w = self;
    if (!w->quiet) jt_say("%s", text);
}

static int convert_progress(void *self, double fraction) {
    struct convert_watch *w = self;
    jt_progress_set(&w->bar, fraction, NULL);
    return jt_interrupted();
}

/* "5G", "500M", "4096": bytes; 0 is refused. */
static bool read_size(const char *s, uint64_t *out) {
    size_t n = strlen(s);
    int shift = n && (s[n - 1] == 'G' || s[n - 1] == 'g')   ? 30
                : n && (s[n - 1] == 'M' || s[n - 1] == 'm') ? 20
                : n && (s[n - 1] == 'K' || s[n - 1] == 'k') ? 10
                                                            : 0;
    if (!jt_read_u64(s, n - (shift != 0), out) || !*out || *out > UINT64_MAX >> 31) return false;
    *out <<= shift;
    return true;
}

static void convert_print(const jt_args *a, const jt_convert_info *i, double seconds) {
    if (jt_arg_flag(a, "json")) {
        jt_out("{\"tensors\": %llu, \"parameters\": %llu, \"bytes_in\": %llu, \"bytes_out\": %llu, \"files\": %llu, \"fallbacks\": %llu, "
               "\"seconds\": %.3f}\n",
               (unsigned long long)i->tensors, (unsigned long long)i->parameters, (unsigned long long)i->bytes_in,
               (unsigned long long)i->bytes_out, (unsigned long long)i->files, (unsigned long long)i->fallbacks, seconds);
        return;
    }
    const double mib = 1024.0 * 1024.0;
    jt_out("%s: %llu tensors, %.1f MiB (from %.1f MiB) in %llu file%s, %.1f s\n", jt_arg_pos(a, 1), (unsigned long long)i->tensors,
           (double)i->bytes_out / mib, (double)i->bytes_in / mib, (unsigned long long)i->files, i->files == 1 ? "" : "s", seconds);
}

static int run(const jt_args *a) {
    struct convert_watch w = {.quiet = jt_arg_flag(a, "quiet")};
    jt_convert_options o = {.type = jt_arg_text(a, "type"),
                            .pure = jt_arg_flag(a, "pure"),
                            .imatrix = jt_arg_text(a, "imatrix"),
                            .pre = jt_arg_text(a, "pre"),
                            .threads = (int)jt_arg_int(a, "threads"),
                            .note = on_note,
                            .progress = convert_progress,
                            .self = &w};
    jt_convert_info info;
    jt_str in = {0};
    jt_error err;
    const char *size = jt_arg_text(a, "split-size"), *out = jt_arg_pos(a, 1);
    o.tensor_type = jt_arg_list(a, "tensor-type", &o.n_tensor_type);
    if (size && !read_size(size, &o.part_bytes))
        return jt_fail_usage(a, "--split-size: \"%s\" is no number of bytes, such as 2G or 500M", size);
    jt_interrupt_install();
    int code = jt_session_path(jt_arg_pos(a, 0), &in);
    if (!code && jt_file_exists(out) && !jt_arg_flag(a, "force")) {
        jt_say("%s: exists already; name another, or use --force to replace a file", out);
        code = JT_EXIT_USAGE;
    }
    if (!code) {
        double start = jt_seconds();
        jt_progress_begin(&w.bar, "converting");
        jt_status s = jt_convert(in.s, out, &o, &info, &err);
        jt_progress_end(&w.bar);
        if (s)
            code = jt_fail(&err);
        else
            convert_print(a, &info, jt_seconds() - start);
    }
    jt_str_free(&in);
    return code;
}

static const jt_pos pos[] = {
    {"IN", JT_POS_MODEL, false, false, "the model: a GGUF file, a folder of safetensors, or a known name"},
    {"OUT", JT_POS_FILE, false, false, "what to write: a GGUF file if the name ends in .gguf, else a new folder"},
    {0},
};
static const jt_opt opts[] = {
    {"type", 't', JT_OPT_TEXT, "TYPE", NULL, 0, 0, "format of the matrices: f32, f16, bf16, q8_0, q4_k_m ... (default as they are)"},
    {"tensor-type", 0, JT_OPT_LIST, "REGEX=FORMAT", NULL, 0, 0, "format of the tensors whose names match; the first that matches counts"},
    {"pure", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "give every matrix the format of --type, the head and the embedding too"},
    {"imatrix", 0, JT_OPT_FILE, "FILE", NULL, 0, 0, "weigh errors by an importance matrix (jeton eval imatrix)"},
    {"split-size", 0, JT_OPT_TEXT, "SIZE", NULL, 0, 0, "write files of at most that many bytes of tensors, such as 2G or 500M"},
    {"pre", 0, JT_OPT_TEXT, "NAME", NULL, 0, 0, "name of the pre-tokeniser in GGUF, where tokenizer.json does not tell it"},
    {"threads", 0, JT_OPT_INT, "N", "0", 0, 1024, "threads; 0 is one per processor"},
    {"force", 'f', JT_OPT_FLAG, NULL, NULL, 0, 0, "replace a file that exists"},
    {"quiet", 'q', JT_OPT_FLAG, NULL, NULL, 0, 0, "do not say what is stored otherwise than asked"},
    {"json", 0, JT_OPT_FLAG, NULL, NULL, 0, 0, "print one JSON object"},
    {0},
};
static const jt_example examples[] = {
    {"jeton convert my-model/ my-model.gguf --type q8_0", "a Hugging Face folder as one GGUF file"},
    {"jeton convert model.gguf model/ --type bf16", "a GGUF file as a folder that transformers opens"},
    {"jeton convert model.gguf small.gguf --type q4_k_m --imatrix model.imatrix", "fewer bits, more of them where it matters"},
    {0},
};
const jt_command jt_cmd_convert = {
    .name = "convert",
    .summary = "write a model in another container or with fewer bits",
    .about = "Weights stream from the input, so that little memory is needed. The output appears whole or not at all. What the other "
             "form cannot say is refused by name, and what is stored otherwise than asked is told on standard error.\n\n"
             "A mixture such as q4_k_m gives more bits to the tensors where an error costs most, as llama.cpp does.",
    .opt = opts,
    .pos = pos,
    .example = examples,
    .run = run,
};
