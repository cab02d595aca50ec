/* WordPiece and the normalisers under it against Hugging Face tokenizers (tests/fixtures/text/wordpiece.json): ids under four
 * normalisers, from both ways of writing a vocabulary; pairs; spans; NFD and NFC; failed allocations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/str.h"
#include "text/normal.h"
#include "text/tokenizer.h"

enum { MOST = 2048 };

typedef struct fixture {
    jt_json *root;
    const jt_json *texts;
    jt_view token[MOST];
    int32_t type[MOST];
    jt_tokenizer_spec spec;
    jt_arena arena;
} fixture;
static fixture f;

static void ok(jt_status st, const jt_error *err) {
    if (st) fail_msg("%s: %s", jt_status_name(st), err->message);
}

static int begin(void **unused) {
    jt_error err;
    (void)unused;
    if (jt_json_read(FIXTURES "/text/wordpiece.json", &f.root, &err)) return -1;
    const jt_json *tokens = jt_json_member(f.root, "tokens");
    int64_t special;
    f.texts = jt_json_member(f.root, "texts");
    if (!jt_json_i64(jt_json_member(f.root, "special"), &special) || jt_json_count(tokens) > MOST) return -1;
    jt_tokenizer_spec_init(&f.spec);
    for (size_t i = 0; i < jt_json_count(tokens); i++) {
        f.token[i].s = jt_json_string(jt_json_item(tokens, i), &f.token[i].n);
        f.type[i] = (int64_t)i < special ? JT_TOKEN_CONTROL : JT_TOKEN_NORMAL;
    }
    f.spec.model = (jt_view){"bert", 4};
    f.spec.tokens = f.token, f.spec.types = f.type, f.spec.vocab = jt_json_count(tokens);
    f.spec.unk = 1, f.spec.bos = 2, f.spec.eos = 3;
    return 0;
}

static int end(void **unused) {
    (void)unused;
    jt_json_free(f.root);
    jt_arena_free(&f.arena);
    return 0;
}

static jt_tokenizer *tokenizer(bool clean, bool cjk, bool strip, bool lower) {
    jt_tokenizer *t;
    jt_error err;
    f.spec.wordpiece = (jt_wordpiece_options){true, clean, cjk, strip, lower, 100, {"##", 2}};
    ok(jt_tokenizer_new(&f.spec, &t, &err), &err);
    return t;
}

static void same_ids(const jt_tokenizer *t, const char *name) {
    const jt_json *want = jt_json_member(jt_json_member(f.root, "ids"), name);
    jt_error err;
    for (size_t i = 0; i < jt_json_count(f.texts); i++) {
        size_t n;
        const char *s = jt_json_string(jt_json_item(f.texts, i), &n);
        const jt_json *ids = jt_json_item(want, i);
        jt_tokens k = {0};
        ok(jt_encode(t, s, n, JT_PARSE_SPECIAL, &k, &err), &err);
        if (k.n != jt_json_count(ids)) fail_msg("%s: text %zu has %zu tokens, not %zu", name, i, k.n, jt_json_count(ids));
        for (size_t j = 0; j < k.n; j++) {
            int64_t id;
            assert_true(jt_json_i64(jt_json_item(ids, j), &id));
            if (id != k.t[j].id) fail_msg("%s: text %zu: token %zu is %d, not %d", name, i, j, k.t[j].id, (int)id);
            assert_true(k.t[j].begin <= k.t[j].end && k.t[j].end <= n);
            if (j) assert_true(k.t[j].end >= k.t[j - 1].begin);
        }
        jt_tokens_free(&k);
    }
}

static void test_ids(void **unused) {
    static const struct {
        const char *name;
        bool clean, cjk, strip, lower;
    } way[] = {{"uncased", true, true, true, true},
               {"cased", true, true, false, false},
               {"plain", false, false, false, true},
               {"accents", false, true, true, false}};
    (void)unused;
    for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
        jt_tokenizer *t = tokenizer(way[i].clean, way[i].cjk, way[i].strip, way[i].lower);
        same_ids(t, way[i].name);
        assert_false(jt_tokenizer_exact(t));
        jt_tokenizer_free(t);
    }
}

/* As GGUF files write it: U+2581 before tokens that begin a word, none before those that go on. */
static void test_gguf_form(void **unused) {
    static jt_view token[MOST];
    jt_tokenizer_spec s = f.spec;
    jt_tokenizer *t;
    jt_error err;
    (void)unused;
    for (size_t i = 0; i < s.vocab; i++) {
        token[i] = f.token[i];
        if (f.type[i] == JT_TOKEN_CONTROL) continue;
        if (token[i].n > 2 && !memcmp(token[i].s, "##", 2)) {
            token[i].s += 2, token[i].n -= 2;
            continue;
        }
        char *x = jt_arena_alloc(&f.arena, token[i].n + 4, 1);
        assert_non_null(x);
        memcpy(x, "\xe2\x96\x81", 3), memcpy(x + 3, token[i].s, token[i].n);
        token[i] = (jt_view){x, token[i].n + 3};
    }
    s.tokens = token, s.unk = -1, s.wordpiece = (jt_wordpiece_options){0};
    ok(jt_tokenizer_new(&s, &t, &err), &err);
    same_ids(t, "uncased");
    jt_tokenizer_free(t);
}

static void test_pairs(void **unused) {
    jt_tokenizer *t = tokenizer(true, true, true, true);
    const jt_json *pairs = jt_json_member(f.root, "pairs"), *want = jt_json_member(f.root, "pair_ids");
    jt_error err;
    (void)unused;
    for (size_t i = 0; i < jt_json_count(pairs); i++) {
        size_t n, m, second;
        const char *a = jt_json_string(jt_json_item(jt_json_item(pairs, i), 0), &n);
        const char *b = jt_json_string(jt_json_item(jt_json_item(pairs, i), 1), &m);
        const jt_json *ids = jt_json_item(jt_json_item(want, i), 0), *types = jt_json_item(jt_json_item(want, i), 1);
        jt_tokens k = {0};
        ok(jt_encode_pair(t, a, n, b, m, JT_ADD_SPECIAL, &k, &second, &err), &err);
        assert_int_equal(k.n, jt_json_count(ids));
        for (size_t j = 0; j < k.n; j++) {
            int64_t id = -1, type = -1;
            assert_true(jt_json_i64(jt_json_item(ids, j), &id) && jt_json_i64(jt_json_item(types, j), &type));
            assert_int_equal(id, k.t[j].id);
            assert_int_equal(type, j >= second);
        }
        jt_tokens_free(&k);
    }
    jt_tokenizer_free(t);
}

/* Spans are bytes of the original, whatever was removed and folded. */
static void test_spans(void **unused) {
    static const char text[] = "  A\xcc\x81"
                               "b \xc3\x89, x\xff";
    jt_tokenizer *t = tokenizer(true, true, true, true);
    jt_tokens k = {0};
    jt_error err;
    char *back;
    size_t n;
    (void)unused;
    ok(jt_encode(t, text, strlen(text), JT_ADD_SPECIAL, &k, &err), &err);
    assert_true(k.n >= 6);
    assert_int_equal(k.t[0].id, 2);
    assert_int_equal(k.t[1].begin, 2);
    assert_int_equal(k.t[k.n - 1].id, 3);
    assert_int_equal(k.t[k.n - 2].begin, 11);
    assert_int_equal(k.t[k.n - 2].end, 12);
    int32_t ids[16];
    for (size_t i = 0; i < k.n; i++) ids[i] = k.t[i].id;
    ok(jt_decode(t, ids, k.n, 0, &back, &n, &err), &err);
    assert_string_equal(back, "ab e , x");
    jt_text_free(back);
    jt_tokens_free(&k);
    jt_tokenizer_free(t);
}

static void same_normal(const char *name, bool compose) {
    const jt_json *want = jt_json_member(f.root, name);
    jt_normal from = {0}, to = {0};
    jt_str out = {0};
    jt_error err;
    for (size_t i = 0; i < jt_json_count(f.texts); i++) {
        size_t n, m;
        const char *s = jt_json_string(jt_json_item(f.texts, i), &n), *w = jt_json_string(jt_json_item(want, i), &m);
        ok(jt_normal_read(&from, s, n, 0, &err), &err);
        ok(jt_normal_nfd(&from, &to, &err), &err);
        if (compose) jt_normal_compose(&to);
        jt_str_clear(&out);
        for (size_t k = 0; k < to.n; k++) jt_normal_write(to.c[k].cp, &out);
        if (out.n != m || memcmp(jt_str_c(&out), w, m)) fail_msg("%s: text %zu differs", name, i);
    }
    jt_normal_free(&from), jt_normal_free(&to);
    jt_str_free(&out);
}

static void test_normal(void **unused) {
    (void)unused;
    same_normal("nfd", false);
    same_normal("nfc", true);
    jt_normal t = {0};
    jt_str out = {0};
    jt_error err;
    ok(jt_normal_read(&t, "a\xff\xc3", 3, 0, &err), &err);
    for (size_t k = 0; k < t.n; k++) jt_normal_write(t.c[k].cp, &out);
    assert_string_equal(jt_str_c(&out), "a\xff\xc3"); /* bytes that are no characters stay */
    jt_normal_free(&t);
    jt_str_free(&out);
}

/* Many marks in descending order are sorted in less than quadratic time, and stably. */
static void test_marks(void **unused) {
    enum { N = 40000 };
    jt_normal from = {0}, to = {0};
    jt_error err;
    (void)unused;
    ok(jt_normal_push(&from, 'a', 0, 1, &err), &err);
    for (size_t i = 0; i < N; i++) ok(jt_normal_push(&from, i % 2 ? 0x334 : 0x301, i + 1, i + 2, &err), &err);
    ok(jt_normal_nfd(&from, &to, &err), &err);
    assert_int_equal(to.n, N + 1);
    for (size_t i = 1; i < N; i++) {
        assert_true(to.c[i].ccc <= to.c[i + 1].ccc);
        if (to.c[i].ccc == to.c[i + 1].ccc) assert_true(to.c[i].begin < to.c[i + 1].begin);
    }
    jt_normal_free(&from), jt_normal_free(&to);
}

static void test_refused(void **unused) {
    jt_tokenizer_spec s = f.spec;
    jt_tokenizer *t;
    jt_error err;
    static jt_view token[MOST];
    (void)unused;
    memcpy(token, f.token, sizeof token);
    token[1] = (jt_view){"[UN]", 4};
    s.tokens = token, s.unk = -1;
    assert_int_equal(jt_tokenizer_new(&s, &t, &err), JT_FORMAT);
    assert_non_null(strstr(err.message, "unknown"));
    s.model = (jt_view){"t6", 2};
    assert_int_equal(jt_tokenizer_new(&s, &t, &err), JT_UNSUPPORTED);
}

static void test_failed_allocations(void **unused) {
    static const char text[] = "E\xcc\x81t\xc3\xa9, brute? \xe6\x97\xa5 a\xcc\x81\xcc\xb4 unaffable";
    jt_tokenizer *t = NULL;
    jt_tokens k = {0};
    jt_error err;
    size_t second;
    (void)unused;
    f.spec.wordpiece = (jt_wordpiece_options){0};
    f.spec.wordpiece.more = (jt_view){"##", 2};
    for (int i = 0, done = 0; !done; i++) {
        alloc_fail_at(i);
        jt_status s = jt_tokenizer_new(&f.spec, &t, &err);
        alloc_fail_at(-1);
        done = !s;
        if (s) assert_int_equal(s, JT_NOMEM);
    }
    for (int i = 0, done = 0; !done; i++) {
        alloc_fail_at(i);
        jt_status s = jt_encode_pair(t, text, strlen(text), "b", 1, JT_ADD_SPECIAL, &k, &second, &err);
        alloc_fail_at(-1);
        done = !s;
        if (s) assert_int_equal(s, JT_NOMEM);
        if (s) assert_int_equal(k.n, 0);
    }
    jt_tokens_free(&k);
    jt_tokenizer_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),     cmocka_unit_test(test_gguf_form),
        cmocka_unit_test(test_pairs),   cmocka_unit_test(test_spans),
        cmocka_unit_test(test_normal),  cmocka_unit_test(test_marks),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_failed_allocations),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
