/* Names of the hub, lists of files, choosing among them; models that are here. What needs a server is in pull.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "cli/hub.h"
#include "cli/store.h"
#include "core/file.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static void names(void **state) {
    (void)state;
    static const struct {
        const char *text, *repo, *revision, *what;
    } good[] = {
        {"a/b", "a/b", "main", ""},
        {"a/b:Q4_K_M", "a/b", "main", "Q4_K_M"},
        {"a/b@v1.0", "a/b", "v1.0", ""},
        {"a/b@refs/pr/1:x/y.gguf", "a/b", "refs/pr/1", "x/y.gguf"},
        {"A-1/b_2.c:f.gguf", "A-1/b_2.c", "main", "f.gguf"},
        {"hf.co/a/b:q8_0", "a/b", "main", "q8_0"},
        {"hf:a/b", "a/b", "main", ""},
        {"https://huggingface.co/a/b", "a/b", "main", ""},
        {"https://huggingface.co/a/b/blob/main/d/f.gguf", "a/b", "main", "d/f.gguf"},
        {"https://huggingface.co/a/b/resolve/dev/f.gguf?download=true", "a/b", "dev", "f.gguf"},
        {"https://huggingface.co/a/b/tree/dev", "a/b", "dev", ""},
        {"huggingface.co/a/b?x=y", NULL, NULL, NULL},
    };
    static const char *const bad[] = {"",
                                      "a",
                                      "/",
                                      "a/",
                                      "/b",
                                      "a/b/c",
                                      "a/b:",
                                      "a/b@",
                                      "a/b@..",
                                      "a/b@/x",
                                      "../b",
                                      "a/..",
                                      "a--b/c",
                                      "-a/b",
                                      "a./b",
                                      "a/b:../x",
                                      "a/b:/etc/x",
                                      "a/b:x\\y",
                                      "a b/c",
                                      "a/b c",
                                      "a/b:x\n",
                                      "a/b@x y",
                                      "a/b:x/../y",
                                      "a/b:x//y",
                                      "a/b:./x",
                                      "http://other.host/a/b",
                                      "https://huggingface.co/a/b/commits/main",
                                      "a\n/b",
                                      "a/b:x/"};
    jt_hub_name n;
    jt_error err;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        jt_status s = jt_hub_name_parse(good[i].text, &n, &err);
        if (!good[i].repo) {
            assert_int_equal(s, JT_INVALID);
            continue;
        }
        if (s) fail_msg("%s: %s", good[i].text, err.message);
        assert_string_equal(n.repo, good[i].repo);
        assert_string_equal(n.revision, good[i].revision);
        assert_string_equal(n.what, good[i].what);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err.message[0] = 0;
        if (jt_hub_name_parse(bad[i], &n, &err) != JT_INVALID) fail_msg("\"%s\" is taken", bad[i]);
        assert_true(err.message[0]);
    }
    char longer[2000];
    memset(longer, 'x', sizeof longer);
    longer[1] = '/', longer[sizeof longer - 1] = 0;
    assert_int_equal(jt_hub_name_parse(longer, &n, &err), JT_INVALID);
    longer[3] = '@';
    assert_int_equal(jt_hub_name_parse(longer, &n, &err), JT_INVALID);
    longer[3] = ':';
    assert_int_equal(jt_hub_name_parse(longer, &n, &err), JT_INVALID);
    assert_true(jt_hub_name_like("a/b") && jt_hub_name_like("a/b.gguf:x"));
    assert_false(jt_hub_name_like("a/b.gguf"));
    assert_false(jt_hub_name_like("b") || jt_hub_name_like("./b") || jt_hub_name_like("/a/b"));
}

static void kinds_in_names(void **state) {
    (void)state;
    static const struct {
        const char *path, *kind;
    } row[] = {
        {"m-Q4_K_M.gguf", "Q4_K_M"},
        {"m.q8_0.gguf", "q8_0"},
        {"m-UD-Q2_K_XL.gguf", "UD-Q2_K_XL"},
        {"IQ4_XS/m-IQ4_XS-00001-of-00002.gguf", "IQ4_XS"},
        {"Q2_K/part.gguf", "Q2_K"},
        {"m-f16.gguf", "f16"},
        {"m_BF16.gguf", "BF16"},
        {"m-TQ1_0.gguf", "TQ1_0"},
        {"m-MXFP4_MOE.gguf", "MXFP4_MOE"},
        {"gpt-oss-20b-mxfp4.gguf", "mxfp4"},
        {"m.gguf", ""},
        {"Q-model.gguf", ""},
        {"Qwen3-Q.gguf", ""},
        {"m-Q4_K_M", "Q4_K_M"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const char *begin = NULL;
        size_t n = jt_gguf_kind_in_name(row[i].path, &begin);
        if (n != strlen(row[i].kind) || (n && memcmp(begin, row[i].kind, n) != 0)) fail_msg("%s: %.*s", row[i].path, (int)n, begin);
    }
    int part, parts;
    size_t stem;
    assert_true(jt_gguf_part("x/m-00002-of-00010.gguf", &part, &parts, &stem));
    assert_int_equal(part, 2);
    assert_int_equal(parts, 10);
    assert_int_equal(stem, 3);
    assert_false(jt_gguf_part("m-00003-of-00002.gguf", &part, &parts, &stem));
    assert_false(jt_gguf_part("-00001-of-00002.gguf", &part, &parts, &stem));
    assert_false(jt_gguf_part("m-0000a-of-00002.gguf", &part, &parts, &stem));
    assert_true(jt_gguf_is_model_name("a/m.GGUF"));
    assert_false(jt_gguf_is_model_name("a/mmproj-m.gguf") || jt_gguf_is_model_name("m.imatrix.gguf") || jt_gguf_is_model_name("m.txt"));
}

static const char siblings[] = "{\"sha\": \"" COMMIT "\", \"siblings\": ["
                               "{\"rfilename\": \"config.json\", \"size\": 12, \"blobId\": \"" COMMIT "\"},"
                               "{\"rfilename\": \"m-Q4_K_M.gguf\", \"size\": 5, \"blobId\": \"" COMMIT "\","
                               " \"lfs\": {\"sha256\": \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\", \"size\": "
                               "5000000000, \"pointerSize\": 130}},"
                               "{\"rfilename\": \"odd\", \"size\": -4, \"blobId\": \"../../x\", \"lfs\": null}]}";

static void lists(void **state) {
    (void)state;
    jt_hub_listing l = {0};
    jt_error err;
    assert_int_equal(jt_hub_listing_parse(siblings, sizeof siblings - 1, &l, &err), JT_OK);
    assert_string_equal(l.commit, COMMIT);
    assert_int_equal(l.n, 3);
    assert_string_equal(l.file[0].sum, COMMIT);
    assert_int_equal(l.file[0].size, 12);
    assert_int_equal(l.file[1].size, 5000000000);
    assert_int_equal(strlen(l.file[1].sum), 64);
    assert_int_equal(l.file[2].size, -1);
    assert_string_equal(l.file[2].sum, "");
    static const char page[] =
        "[{\"type\": \"directory\", \"path\": \"d\"}, {\"type\": \"file\", \"path\": \"d/e\", \"size\": 3, \"oid\": \"" COMMIT "\"}]";
    assert_int_equal(jt_hub_listing_parse(page, sizeof page - 1, &l, &err), JT_OK);
    assert_int_equal(l.n, 4);
    assert_string_equal(l.file[3].path, "d/e");
    assert_string_equal(l.file[3].sum, COMMIT);
    jt_hub_listing_free(&l);

    static const char *const bad[] = {"",
                                      "{}",
                                      "3",
                                      "{\"siblings\": {}}",
                                      "[3]",
                                      "[{\"path\": 3}]",
                                      "{\"siblings\": [{}]}",
                                      "[{\"path\": \"../x\"}]",
                                      "[{\"path\": \"/x\"}]",
                                      "[{\"path\": \"a/../../x\"}]",
                                      "[{\"path\": \"a\\\\b\"}]",
                                      "[{\"path\": \"a\\u0007\"}]",
                                      "[{\"path\": \"\"}]",
                                      "[{\"path\": \"a//b\"}]",
                                      "[{\"path\": \"a/\"}]",
                                      "[{\"path\": \".\"}]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err.message[0] = 0;
        if (jt_hub_listing_parse(bad[i], strlen(bad[i]), &l, &err) != JT_FORMAT) fail_msg("%s is taken", bad[i]);
        assert_true(err.message[0]);
        jt_hub_listing_free(&l);
    }
}

/* A list of the names in `text`, separated by blanks. */
static jt_hub_listing listing_of(const char *text) {
    jt_hub_listing l = {0};
    jt_str json = {0};
    jt_str_putc(&json, '[');
    while (*text) {
        size_t n = strcspn(text, " ");
        jt_str_printf(&json, "%s{\"path\": \"%.*s\"}", json.n > 1 ? "," : "", (int)n, text);
        text += n + (text[n] == ' ');
    }
    jt_str_putc(&json, ']');
    jt_error err;
    assert_false(json.failed);
    assert_int_equal(jt_hub_listing_parse(json.s, json.n, &l, &err), JT_OK);
    jt_str_free(&json);
    return l;
}

static void choices(void **state) {
    (void)state;
    static const struct {
        const char *files, *what, *want; /* what is chosen, or (with "!") words of the message */
    } row[] = {
        {"a.gguf README.md", "", "a.gguf"},
        {"a-Q8_0.gguf a-Q4_K_M.gguf", "", "a-Q4_K_M.gguf"},
        {"a-Q8_0.gguf a-Q6_K.gguf", "", "!Q8_0, Q6_K"},
        {"a-Q8_0.gguf mmproj-a.gguf", "", "a-Q8_0.gguf"},
        {"a-Q8_0.gguf a-Q4_K_M.gguf", "q8_0", "a-Q8_0.gguf"},
        {"a-Q8_0.gguf a-Q4_K_M.gguf", "latest", "a-Q4_K_M.gguf"},
        {"a-IQ4_XS.gguf a-Q4_K_S.gguf", "Q4_K", "!no file and no kind \"Q4_K\""},
        {"a-Q4_K_M.gguf b-Q4_K_M.gguf", "Q4_K_M", "!a-Q4_K_M.gguf, b-Q4_K_M.gguf"},
        {"a-UD-Q4_K_M.gguf a-Q4_K_M.gguf", "Q4_K_M", "a-Q4_K_M.gguf"},
        {"a-UD-Q4_K_M.gguf a-Q8_0.gguf", "Q4_K_M", "a-UD-Q4_K_M.gguf"},
        {"Q8_0/a-00002-of-00002.gguf Q8_0/a-00001-of-00002.gguf", "Q8_0", "Q8_0/a-00001-of-00002.gguf Q8_0/a-00002-of-00002.gguf"},
        {"Q8_0/a-00001-of-00002.gguf", "", "!part 2 of 2"},
        {"d/a.gguf b.gguf", "a.gguf", "d/a.gguf"},
        {"config.json model.safetensors tokenizer.json x.bin README.md 1_Pooling/config.json onnx/model.json", "",
         "/config.json model.safetensors tokenizer.json 1_Pooling/config.json"},
        {"config.json model-00001-of-00002.safetensors model.safetensors.index.json consolidated.safetensors", "",
         "/config.json model-00001-of-00002.safetensors model.safetensors.index.json"},
        {"config.json other.safetensors", "", "/config.json other.safetensors"},
        {"adapter_config.json adapter_model.safetensors", "", "/adapter_config.json adapter_model.safetensors"},
        {"config.json model.safetensors a-Q8_0.gguf", "", "/config.json model.safetensors"},
        {"config.json model.safetensors a-Q8_0.gguf", "Q8_0", "a-Q8_0.gguf"},
        {"config.json pytorch_model.bin", "", "!neither GGUF"},
        {"config.json model.safetensors", "confg.json", "!did you mean \"config.json\"?"},
        {"config.json model.safetensors", "nothing.like", "!no GGUF files"},
        {"", "", "!neither GGUF"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        jt_hub_listing l = listing_of(row[i].files);
        jt_hub_choice c;
        jt_error err = {0};
        jt_str got = {0};
        jt_status s = jt_hub_choose(&l, "o/r", row[i].what, &c, &err);
        if (s) {
            if (row[i].want[0] != '!' || !strstr(err.message, row[i].want + 1))
                fail_msg("%s, %s: %s", row[i].files, row[i].what, err.message);
        } else {
            if (c.folder) jt_str_putc(&got, '/');
            for (size_t k = 0; k < c.n; k++) jt_str_printf(&got, "%s%s", k ? " " : "", l.file[c.file[k]].path);
            if (strcmp(jt_str_c(&got), row[i].want) != 0) fail_msg("%s, %s: %s", row[i].files, row[i].what, jt_str_c(&got));
        }
        jt_str_free(&got);
        jt_hub_listing_free(&l);
    }
}

static void list_and_choose_without_memory(void **state) {
    (void)state;
    for (long i = 0;; i++) {
        jt_hub_listing l = {0};
        jt_hub_choice c;
        jt_error err = {0};
        assert_true(i < 1000);
        alloc_fail_at(i);
        jt_status s = jt_hub_listing_parse(siblings, sizeof siblings - 1, &l, &err);
        if (!s) s = jt_hub_choose(&l, "o/r", "m-Q4_K_M.gguf", &c, &err);
        bool last = alloc_count() <= i;
        alloc_fail_at(-1);
        if (s) assert_int_equal(s, JT_NOMEM);
        jt_hub_listing_free(&l);
        if (!last) continue;
        assert_int_equal(s, JT_OK);
        return;
    }
}

/* ---- models that are here ---- */

static char folder[] = "/tmp/jeton-hub-XXXXXX";

static int make_folder(void **state) {
    (void)state;
    static const char *const unset[] = {"HF_HOME", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "LLAMA_CACHE", "OLLAMA_MODELS"};
    if (!mkdtemp(folder)) return -1;
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++) unsetenv(unset[i]);
    jt_str hub = {0};
    jt_str_printf(&hub, "%s/hub", folder);
    int bad = hub.failed || setenv("HOME", folder, 1) || setenv("HF_HUB_CACHE", hub.s, 1);
    jt_str_free(&hub);
    return bad;
}

static int remove_folder(void **state) {
    (void)state;
    jt_remove_tree(folder);
    return 0;
}

static void put(const char *path, const char *text) {
    jt_str full = {0}, above = {0}, t = {0};
    jt_str_printf(&full, "%s/%s", folder, path);
    assert_false(full.failed);
    jt_str_add(&above, full.s, (size_t)(strrchr(full.s, '/') - full.s));
    jt_str_puts(&t, text);
    assert_int_equal(jt_make_folder(above.s, NULL), JT_OK);
    assert_int_equal(jt_file_save(full.s, &t, NULL), JT_OK);
    jt_str_free(&full), jt_str_free(&above), jt_str_free(&t);
}

static void link_to(const char *path, const char *target) {
    jt_str full = {0};
    put(path, "");
    jt_str_printf(&full, "%s/%s", folder, path);
    assert_false(full.failed);
    assert_int_equal(unlink(full.s), 0);
    assert_int_equal(symlink(target, full.s), 0);
    jt_str_free(&full);
}

#define REPO "hub/models--org--repo/"
static void fill(void) {
    put(REPO "refs/main", COMMIT);
    put(REPO "blobs/one", "12345");
    put(REPO "blobs/two", "123");
    link_to(REPO "snapshots/" COMMIT "/m-Q8_0.gguf", "../../blobs/one");
    link_to(REPO "snapshots/" COMMIT "/d/m-Q4_K_M.gguf", "../../../blobs/two");
    link_to(REPO "snapshots/1111111111111111111111111111111111111111/m-Q8_0.gguf", "../../blobs/one");
    link_to(REPO "snapshots/1111111111111111111111111111111111111111/evil-Q2_K.gguf", "../../../../outside");
    put("outside", "mine");
    put(".cache/llama.cpp/a_b_c-Q6_K.gguf", "1");
    put(".cache/llama.cpp/manifest=a=b=latest.json", "{\"ggufFile\": {\"rfilename\": \"c-Q6_K.gguf\"}}");
    put(".lmstudio/models/p/r/f-F16.gguf", "12");
}

static void finding(void **state) {
    (void)state;
    static const struct {
        const char *name, *want; /* the end of the path; NULL: not found; "!": several */
    } row[] = {
        {"org/repo:Q8_0", COMMIT "/m-Q8_0.gguf"},
        {"Org/Repo:q8_0", COMMIT "/m-Q8_0.gguf"},
        {"org/repo:d/m-Q4_K_M.gguf", "/d/m-Q4_K_M.gguf"},
        {"org/repo", "/d/m-Q4_K_M.gguf"},
        {"hf.co/org/repo:Q8_0", COMMIT "/m-Q8_0.gguf"},
        {"repo:Q8_0", COMMIT "/m-Q8_0.gguf"},
        {"repo", "/d/m-Q4_K_M.gguf"},
        {"m-Q8_0", COMMIT "/m-Q8_0.gguf"},
        {"a/b", "a_b_c-Q6_K.gguf"},
        {"p/r:F16", "p/r/f-F16.gguf"},
        {"f-F16.gguf", "p/r/f-F16.gguf"},
        {"org/repo@111111111111:Q2_K", "evil-Q2_K.gguf"},
        {"org/repo:Q5_0", NULL},
        {"nothing", NULL},
    };
    jt_store s = {0};
    jt_error err;
    fill();
    assert_int_equal(jt_store_scan(&s, &err), JT_OK);
    assert_int_equal(s.n, 5);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const jt_stored *m = NULL;
        jt_status st = jt_store_find(&s, row[i].name, &m, &err);
        if (!row[i].want) {
            if (st != JT_UNKNOWN) fail_msg("%s is found", row[i].name);
            continue;
        }
        if (st) fail_msg("%s: %s", row[i].name, err.message);
        size_t n = strlen(m->path), k = strlen(row[i].want);
        if (n < k || strcmp(m->path + n - k, row[i].want) != 0) fail_msg("%s: %s", row[i].name, m->path);
    }
    jt_store_free(&s);
}

static void finding_without_memory(void **state) {
    (void)state;
    for (long i = 0;; i++) {
        jt_store s = {0};
        const jt_stored *m = NULL;
        jt_error err = {0};
        assert_true(i < 5000);
        alloc_fail_at(i);
        jt_status st = jt_store_scan(&s, &err);
        if (!st) st = jt_store_find(&s, "repo", &m, &err);
        bool last = alloc_count() <= i;
        alloc_fail_at(-1);
        if (st && st != JT_NOMEM) fail_msg("allocation %ld: %s", i, err.message);
        jt_store_free(&s);
        if (!last) continue;
        assert_int_equal(st, JT_OK);
        return;
    }
}

static bool here(const char *path) {
    jt_str full = {0};
    jt_str_printf(&full, "%s/%s", folder, path);
    bool is = !full.failed && access(full.s, F_OK) == 0;
    jt_str_free(&full);
    return is;
}

static uint64_t drop(const char *name) {
    jt_store s = {0};
    const jt_stored *m = NULL;
    jt_error err;
    uint64_t freed = 0;
    assert_int_equal(jt_store_scan(&s, &err), JT_OK);
    assert_int_equal(jt_store_find(&s, name, &m, &err), JT_OK);
    assert_int_equal(jt_store_remove(m, &freed, &err), JT_OK);
    jt_store_free(&s);
    return freed;
}

static void removing(void **state) {
    (void)state;
    assert_int_equal(drop("org/repo:Q8_0"), 0); /* the other snapshot has it, too */
    assert_true(here(REPO "blobs/one") && here(REPO "refs/main"));
    assert_int_equal(drop("org/repo:Q4_K_M"), 3);
    assert_false(here(REPO "blobs/two") || here(REPO "snapshots/" COMMIT) || here(REPO "refs/main"));
    assert_int_equal(drop("org/repo:Q2_K"), 0);
    assert_true(here("outside"));
    assert_int_equal(drop("org/repo"), 5);
    assert_false(here("hub/models--org--repo"));
    assert_int_equal(drop("a/b"), 1);
    assert_int_equal(drop("p/r"), 2);
    assert_false(here(".lmstudio/models/p/r"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(kinds_in_names),
        cmocka_unit_test(lists),
        cmocka_unit_test(choices),
        cmocka_unit_test(list_and_choose_without_memory),
        cmocka_unit_test(finding),
        cmocka_unit_test(finding_without_memory),
        cmocka_unit_test(removing),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
