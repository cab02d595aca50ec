/* What goes wrong while files are written: memory that is not there, a disk that is full, a caller who cancels, targets
 * that cannot be written or are the source, sources that are cut short. Each time the call says so, leaves nothing behind
 * and does not touch what stood at the target. */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "core/file.h"
#include "jeton/adapter.h"
#include "jeton/convert.h"
#include "jeton/model.h"
#include "model/gguf.h"
#include "model/imatrix.h"

static const char tiny[] = FIXTURES "/hf-tiny/llama", wide[] = FIXTURES "/lora/wide";
static const char old_text[] = "what stood here before";
static char dir[64];

static void ok(jt_status s, const jt_error *err) {
    if (s) fail_msg("%s: %s", jt_status_name(s), err->message);
}

static const char *at(const char *name) {
    static char path[8][256];
    static int k;
    snprintf(path[k = (k + 1) % 8], sizeof *path, "%s/%s", dir, name);
    return path[k];
}

static void clear(const char *names) {
    char command[300];
    snprintf(command, sizeof command, "cd %s && rm -rf %s", dir, names);
    assert_int_equal(system(command), 0);
}

static int setup(void **state) {
    (void)state;
    jt_error err;
    snprintf(dir, sizeof dir, "/tmp/test_convert_faults.XXXXXX");
    if (!mkdtemp(dir)) return -1;
    ok(jt_convert(tiny, at("m.gguf"), &(jt_convert_options){.threads = 1}, NULL, &err), &err);
    ok(jt_convert(FIXTURES "/families/phi3", at("phi.gguf"), &(jt_convert_options){.threads = 1}, NULL, &err), &err);
    ok(jt_convert_adapter(at("m.gguf"), wide, at("l.gguf"), NULL, &err), &err);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static int entries(void) {
    int n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    while (readdir(d)) n++;
    closedir(d);
    return n;
}

static void write_bytes(const char *path, const void *p, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_true(f && fwrite(p, 1, n, f) == n && !fclose(f));
}

static jt_str bytes_of(const char *path) {
    jt_str s = {0};
    jt_error err;
    ok(jt_file_read(path, &s, &err), &err);
    return s;
}

static void same_bytes(const char *a, const char *b) {
    jt_str x = bytes_of(a), y = bytes_of(b);
    assert_int_equal(x.n, y.n);
    assert_memory_equal(x.s, y.s, x.n);
    jt_str_free(&x), jt_str_free(&y);
}

/* ---- the ways to write files ---- */

static int never(void *self, double fraction) {
    (void)fraction;
    long *left = self;
    return left && (*left)-- == 0;
}

/* Models with the adapter and without, in either kind of file, in parts; adapters; `cancel` counts down. */
enum {
    TO_GGUF,
    TO_PARTS,
    TO_FOLDER,
    TO_FOLDER_PARTS,
    MERGED_GGUF,
    MERGED_FOLDER,
    WAYS_MODEL,
    LORA_GGUF = WAYS_MODEL,
    LORA_FOLDER,
    STACKED,
    WAYS
};
static jt_status write_way(int way, long *cancel, jt_error *err) {
    jt_convert_options o = {.threads = 1, .progress = cancel ? never : NULL, .self = cancel};
    char path[256], in[256];
    snprintf(path, sizeof path, "%s",
             at(way == TO_FOLDER || way == TO_FOLDER_PARTS || way == MERGED_FOLDER || way == LORA_FOLDER ? "out" : "out.gguf"));
    snprintf(in, sizeof in, "%s", at("m.gguf"));
    switch (way) {
    case TO_GGUF: o.type = "q4_k_m"; return jt_convert(tiny, path, &o, NULL, err);
    case TO_PARTS: o.part_bytes = 100000; return jt_convert(tiny, path, &o, NULL, err);
    case TO_FOLDER: return jt_convert(in, path, &o, NULL, err);
    case TO_FOLDER_PARTS: o.part_bytes = 100000; return jt_convert(in, path, &o, NULL, err);
    case MERGED_GGUF: o.adapter = wide; return jt_convert(tiny, path, &o, NULL, err);
    case MERGED_FOLDER: o.adapter = wide; return jt_convert(in, path, &o, NULL, err);
    case LORA_GGUF: return jt_convert_adapter(in, wide, path, NULL, err);
    case LORA_FOLDER: {
        char lora[256];
        snprintf(lora, sizeof lora, "%s", at("l.gguf"));
        return jt_convert_adapter(in, lora, path, NULL, err);
    }
    default: snprintf(in, sizeof in, "%s", at("phi.gguf")); return jt_convert_adapter(in, FIXTURES "/families/phi3/lora", path, NULL, err);
    }
}

/* One file is replaced as a whole; parts and folders must not be there. */
static bool replaces(int way) { return way == TO_GGUF || way == MERGED_GGUF || way == LORA_GGUF || way == STACKED; }

static int begin(int way) {
    clear("out out.gguf out-*");
    if (replaces(way)) write_bytes(at("out.gguf"), old_text, sizeof old_text);
    return entries();
}

static void nothing_happened(int way, int before) {
    if (entries() != before) fail_msg("way %d: %d entries instead of %d", way, entries(), before);
    if (!replaces(way)) return;
    jt_str s = bytes_of(at("out.gguf"));
    assert_int_equal(s.n, sizeof old_text);
    assert_memory_equal(s.s, old_text, s.n);
    jt_str_free(&s);
}

static void test_failed_allocations(void **state) {
    (void)state;
    jt_error err;
    for (int way = 0; way < WAYS; way++) {
        int before = begin(way);
        jt_status s = JT_NOMEM;
        for (long i = 0; s; i++) {
            alloc_fail_at(i);
            s = write_way(way, NULL, &err);
            alloc_fail_at(-1);
            if (!s) continue;
            if (s != JT_NOMEM) fail_msg("way %d, allocation %ld: %s", way, i, err.message);
            nothing_happened(way, before);
        }
    }
}

static void test_cancelled(void **state) {
    (void)state;
    jt_error err;
    for (int way = 0; way < WAYS_MODEL; way++) {
        int before = begin(way);
        jt_status s = JT_CANCELLED;
        for (long i = 0, left; s; i++) {
            left = i;
            if (!(s = write_way(way, &left, &err))) assert_true(i > 10); /* once a tensor */
            if (!s) continue;
            assert_int_equal(s, JT_CANCELLED);
            nothing_happened(way, before);
        }
    }
}

/* The system refuses to let a file grow past a limit, as it does on a full disk. */
static void test_full_disk(void **state) {
    (void)state;
    struct rlimit was, now;
    jt_error err;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    for (int way = 0; way < WAYS; way++) {
        int before = begin(way), refused = 0;
        jt_status s = JT_IO;
        for (rlim_t bytes = 0; s; bytes = bytes ? 2 * bytes : 64) {
            now = was, now.rlim_cur = bytes;
            assert_int_equal(setrlimit(RLIMIT_FSIZE, &now), 0);
            s = write_way(way, NULL, &err);
            assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
            if (!s) continue;
            if (s != JT_IO) fail_msg("way %d, %llu bytes: %s", way, (unsigned long long)bytes, err.message);
            nothing_happened(way, before), refused++;
        }
        assert_true(refused > 3);
    }
    signal(SIGXFSZ, handler);
}

/* ---- importance matrices ---- */

static jt_status collect(jt_model *m, const char *path, jt_error *err) {
    jt_imatrix_sums *sums = NULL;
    jt_state *s = NULL;
    int32_t ids[24];
    static float logits[512];
    for (int i = 0; i < 24; i++) ids[i] = i * 7 % 64;
    jt_span span = {.ids = ids, .n = 24};
    jt_want want = {.row = 23, .logits = logits};
    jt_status st = jt_state_new(m, 32, &s, err);
    span.state = s;
    if (!st) st = jt_imatrix_collect(m, &sums, err);
    if (!st) st = jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .want = &want, .n_want = 1}, err);
    if (!st) st = jt_imatrix_save(sums, path, "text", 1, 24, err);
    jt_imatrix_stop(sums);
    jt_state_free(s);
    return st;
}

static void test_imatrix(void **state) {
    (void)state;
    jt_error err;
    jt_engine *e;
    jt_model *m;
    jt_imatrix *x;
    struct rlimit was, now;
    char path[256], out[256];
    snprintf(path, sizeof path, "%s", at("i.gguf")), snprintf(out, sizeof out, "%s", at("out.gguf"));
    clear("out.gguf");
    ok(jt_engine_new(&(jt_engine_options){.threads = 1}, &e, &err), &err);
    static const char *const model[] = {FIXTURES "/hf-tiny/llama", FIXTURES "/moe/mixtral"};
    for (int k = 0; k < 2; k++) {
        clear("i.gguf");
        int before = entries();
        ok(jt_model_open(e, model[k], &(jt_model_options){.activations = JT_ACT_FLOAT}, &m, &err), &err);
        jt_status s = JT_NOMEM;
        for (long i = 0; s; i++) {
            alloc_fail_at(i);
            s = collect(m, path, &err);
            alloc_fail_at(-1);
            if (s && s != JT_NOMEM) fail_msg("allocation %ld: %s", i, err.message);
            if (s) assert_int_equal(entries(), before);
        }
        unlink(path);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
        void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
        now = was, now.rlim_cur = 1000;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &now), 0);
        s = collect(m, path, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
        signal(SIGXFSZ, handler);
        assert_int_equal(s, JT_IO);
        assert_int_equal(entries(), before);
        ok(collect(m, path, &err), &err);
        jt_model_free(m);
        s = JT_NOMEM;
        for (long i = 0; s; i++) {
            alloc_fail_at(i);
            s = jt_imatrix_open(path, &x, &err);
            alloc_fail_at(-1);
            if (s) assert_int_equal(s, JT_NOMEM);
        }
        jt_imatrix_free(x);
        s = JT_NOMEM;
        for (long i = 0; s; i++) {
            jt_convert_options o = {.threads = 1, .type = "q4_0", .imatrix = path};
            alloc_fail_at(i);
            s = jt_convert(model[k], out, &o, NULL, &err);
            alloc_fail_at(-1);
            if (s) assert_int_equal(s, JT_NOMEM);
            if (s) assert_false(jt_file_exists(out));
        }
        clear("out.gguf");
    }
    /* Cut short anywhere, it is refused by what is wrong. */
    jt_str whole = bytes_of(path);
    for (size_t n = 0; n < whole.n; n += 1 + n / 7) {
        jt_error why = {0};
        assert_int_equal(jt_imatrix_parse(whole.s, n, &x, &why), JT_FORMAT);
        assert_true(why.message[0]);
    }
    jt_str_free(&whole);
    jt_engine_free(e);
}

/* ---- targets ---- */

static void test_onto_itself(void **state) {
    (void)state;
    jt_error err;
    jt_convert_info info;
    char first[256], second[256];
    jt_convert_options q = {.threads = 1, .type = "q8_0"}, parts = {.threads = 1, .part_bytes = 100000};
    clear("out* p* s*");
    ok(jt_convert(at("m.gguf"), at("out.gguf"), &q, NULL, &err), &err);
    ok(jt_convert(at("m.gguf"), at("same.gguf"), NULL, NULL, &err), &err);
    int before = entries();
    ok(jt_convert(at("same.gguf"), at("same.gguf"), &q, NULL, &err), &err);
    same_bytes(at("same.gguf"), at("out.gguf"));
    assert_int_equal(entries(), before);
    ok(jt_convert(at("m.gguf"), at("p.gguf"), &parts, &info, &err), &err);
    ok(jt_convert(at("m.gguf"), at("s.gguf"), &parts, &info, &err), &err);
    snprintf(first, sizeof first, "%s/s-00001-of-%05d.gguf", dir, (int)info.files);
    before = entries();
    ok(jt_convert(first, at("s.gguf"), &parts, NULL, &err), &err);
    assert_int_equal(entries(), before);
    for (int i = 1; i <= (int)info.files; i++) {
        snprintf(first, sizeof first, "%s/p-%05d-of-%05d.gguf", dir, i, (int)info.files);
        snprintf(second, sizeof second, "%s/s-%05d-of-%05d.gguf", dir, i, (int)info.files);
        same_bytes(first, second);
    }
    ok(jt_convert_adapter(at("m.gguf"), at("l.gguf"), at("out.gguf"), NULL, &err), &err);
    before = entries();
    ok(jt_convert_adapter(at("m.gguf"), at("out.gguf"), at("out.gguf"), NULL, &err), &err);
    same_bytes(at("l.gguf"), at("out.gguf"));
    assert_int_equal(entries(), before);
    clear("out* p-* s*");
    ok(jt_convert(at("m.gguf"), at("out"), NULL, NULL, &err), &err);
    before = entries();
    assert_int_equal(jt_convert(at("out"), at("out"), NULL, NULL, &err), JT_INVALID); /* a folder is never replaced */
    assert_non_null(strstr(err.message, "exists already"));
    assert_int_equal(entries(), before);
}

static void test_no_place(void **state) {
    (void)state;
    static const char *const place[] = {"nothing/out.gguf", "m.gguf/out.gguf", "m.gguf/out", "shut/out.gguf", "shut/out"};
    jt_error err;
    clear("shut");
    assert_int_equal(mkdir(at("shut"), 0555), 0);
    int before = entries(), n = geteuid() ? 5 : 3; /* to root every folder is open */
    for (int i = 0; i < n; i++) {
        for (int lora = 0; lora < 2; lora++) {
            jt_status st =
                lora ? jt_convert_adapter(tiny, wide, at(place[i]), NULL, &err) : jt_convert(tiny, at(place[i]), NULL, NULL, &err);
            if (st != JT_IO && st != JT_NOTFOUND) fail_msg("%s: %s", place[i], st ? err.message : "written");
            assert_non_null(strstr(err.message, place[i]));
        }
        if (entries() != before) fail_msg("%s left something behind", place[i]);
    }
}

/* ---- sources ---- */

/* Converts what is opened with its file cut to n bytes; `lora`: it is an adapter of m.gguf. */
static void cut(const char *file, const char *whole, const char *opened, bool lora) {
    jt_error err;
    char path[256], model[256];
    jt_str s = bytes_of(whole);
    snprintf(path, sizeof path, "%s", at(file)), snprintf(model, sizeof model, "%s", at(opened));
    clear("out.gguf");
    for (size_t n = 0; n < s.n; n += 1 + n / 5) {
        write_bytes(path, s.s, n);
        int before = entries();
        jt_status st = lora ? jt_convert_adapter(at("m.gguf"), model, at("out.gguf"), NULL, &err)
                            : jt_convert(model, at("out.gguf"), &(jt_convert_options){.threads = 1, .type = "q8_0"}, NULL, &err);
        if (st != JT_FORMAT) fail_msg("%s cut to %zu bytes: %s, %s", whole, n, jt_status_name(st), st ? err.message : "");
        assert_int_equal(entries(), before);
    }
    jt_str_free(&s);
}

static void copy(const char *from, const char *to) {
    jt_str s = bytes_of(from);
    write_bytes(to, s.s, s.n);
    jt_str_free(&s);
}

static void test_cut_short(void **state) {
    (void)state;
    clear("cut cut.gguf");
    cut("cut.gguf", at("m.gguf"), "cut.gguf", false);
    cut("cut.gguf", at("l.gguf"), "cut.gguf", true);
    assert_int_equal(mkdir(at("cut"), 0777), 0);
    copy(FIXTURES "/hf-tiny/llama/config.json", at("cut/config.json"));
    cut("cut/model.safetensors", FIXTURES "/hf-tiny/llama/model.safetensors", "cut", false);
    clear("cut");
    assert_int_equal(mkdir(at("cut"), 0777), 0);
    copy(FIXTURES "/lora/wide/adapter_config.json", at("cut/adapter_config.json"));
    cut("cut/adapter_model.safetensors", FIXTURES "/lora/wide/adapter_model.safetensors", "cut", true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failed_allocations), cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_full_disk),          cmocka_unit_test(test_imatrix),
        cmocka_unit_test(test_onto_itself),        cmocka_unit_test(test_no_place),
        cmocka_unit_test(test_cut_short),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
