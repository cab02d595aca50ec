/* Pre-tokenisers of all kinds: the pieces of Hugging Face tokenizers; regular expressions: their limits and what they see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "core/json.h"
#include "core/random.h"
#include "text/pretok.h"

static jt_pretok *named(const char *name, int policy) {
    jt_pretok *p = NULL;
    jt_error e = {0};
    if (jt_pretok_named(name, strlen(name), policy, &p, &e)) fail_msg("%s: %s", name, e.message);
    return p;
}

static void same_pieces(const char *name, const jt_pretok *p, const char *s, size_t n, const jt_json *want, jt_pieces *w) {
    jt_error e = {0};
    if (jt_pretok_cut(p, s, n, w, &e)) fail_msg("%s: %s", name, e.message);
    for (size_t i = 0; i < w->n || 2 * i < jt_json_count(want); i++) {
        int64_t begin = -1, end = -1;
        if (2 * i < jt_json_count(want)) jt_json_i64(jt_json_item(want, 2 * i), &begin), jt_json_i64(jt_json_item(want, 2 * i + 1), &end);
        if (i >= w->n || (int64_t)w->p[i].begin != begin || (int64_t)w->p[i].end != end)
            fail_msg("%s: \"%s\": piece %zu is %zu:%zu, not %ld:%ld", name, s, i, i < w->n ? w->p[i].begin : 0, i < w->n ? w->p[i].end : 0,
                     (long)begin, (long)end);
    }
}

static jt_json *cuts(void) {
    jt_json *root = NULL;
    jt_error e = {0};
    if (jt_json_read(FIXTURES "/text/cuts.json", &root, &e)) fail_msg("%s", e.message);
    return root;
}

static void by_name(void **state) {
    (void)state;
    jt_json *root = cuts();
    const jt_json *texts = jt_json_member(root, "texts"), *v;
    const char *name;
    void *iter = NULL;
    jt_pieces w = {0};
    size_t names = 0;
    while (jt_json_each(jt_json_member(root, "named"), &iter, &name, &v)) {
        jt_pretok *p = named(name, JT_PRETOK_HF);
        for (size_t i = 0; i < jt_json_count(texts); i++) {
            size_t n;
            const char *s = jt_json_string(jt_json_item(texts, i), &n);
            same_pieces(name, p, s, n, jt_json_item(v, i), &w);
        }
        jt_pretok_free(p);
        names++;
    }
    assert_in_range(names, 20, 100);
    jt_pieces_free(&w);
    jt_json_free(root);
}

static void by_steps(void **state) {
    (void)state;
    jt_json *root = cuts();
    const jt_json *texts = jt_json_member(root, "texts"), *all = jt_json_member(root, "single");
    jt_pieces w = {0};
    jt_error e = {0};
    for (size_t i = 0; i < jt_json_count(all); i++) {
        const jt_json *c = jt_json_item(all, i), *pieces = jt_json_member(c, "pieces");
        int64_t kind = 0, how = 0;
        jt_cut cut = {0};
        jt_json_i64(jt_json_member(c, "kind"), &kind), jt_json_i64(jt_json_member(c, "behaviour"), &how);
        jt_json_bool(jt_json_member(c, "invert"), &cut.invert);
        cut.kind = (int)kind, cut.behaviour = (int)how;
        cut.pattern.s = jt_json_string(jt_json_member(c, "pattern"), &cut.pattern.n);
        jt_pretok *p = NULL;
        if (jt_pretok_new(&cut, 1, &p, &e)) fail_msg("%s: %s", cut.pattern.s, e.message);
        for (size_t k = 0; k < jt_json_count(pieces); k++) {
            size_t n;
            const char *s = jt_json_string(jt_json_item(texts, k), &n);
            same_pieces(cut.pattern.s, p, s, n, jt_json_item(pieces, k), &w);
        }
        jt_pretok_free(p);
    }
    jt_pieces_free(&w);
    jt_json_free(root);
}

/* Some bytes, characters cut off among them. */
static size_t random_bytes(uint32_t round, char *s) {
    static const char *const parts[] = {
        " ",        "\n",       "'", "'s", "\xc2\xa0", "\xe3\x80\x80", "a",        "1", "\xff", "\xe2\x82", "\xf0\x9f\x91",
        "\xd9\xa3", "\xc5\xbf", "!", "A",  ".",        "\xe3\x83\xbb", "\xcc\x81", "$"};
    size_t n = 0;
    uint32_t r[4];
    for (uint32_t i = 0; i < 24; i++) {
        jt_random_words(&(jt_address){.seed = 9, .position = round, .index = i}, r);
        if (r[0] % 4 == 0) {
            s[n++] = (char)r[1];
        } else {
            const char *p = parts[r[1] % (sizeof parts / sizeof *parts)];
            memcpy(s + n, p, strlen(p));
            n += strlen(p);
        }
    }
    return n;
}

/* Every name there is cuts any bytes without losing one; what is said to be settled stays when text is added; and the borders
 * at which long texts are parted change no piece. */
static void any_bytes(void **state) {
    (void)state;
    jt_str all = {0};
    jt_pretok_names(&all);
    char s[400], name[64];
    size_t count = 0;
    jt_pieces w = {.ask = true}, more = {0};
    jt_error e = {0};
    for (const char *at = jt_str_c(&all); *at; count++) {
        size_t len = strcspn(at, ",");
        memcpy(name, at, len), name[len] = 0;
        at += len + (at[len] ? 2 : 0);
        jt_pretok *p = named(name, count % 2 ? JT_PRETOK_HF : JT_PRETOK_LLAMACPP);
        for (uint32_t round = 0; round < 200; round++) {
            size_t n = random_bytes(round, s), part = n / 2, end = 0;
            assert_int_equal(jt_pretok_cut(p, s, n, &more, &e), JT_OK);
            for (size_t i = 0; i < more.n; i++) {
                assert_int_equal(more.p[i].begin, end);
                assert_true(more.p[i].end > end);
                end = more.p[i].end;
            }
            assert_int_equal(end, n);
            assert_int_equal(jt_pretok_cut(p, s, part, &w, &e), JT_OK);
            for (size_t i = 0; i < w.n && w.p[i].end <= w.open; i++)
                if (w.p[i].begin != more.p[i].begin || w.p[i].end != more.p[i].end)
                    fail_msg("%s: round %u: piece %zu, said to be settled, changes", name, round, i);
            size_t border = jt_pretok_border(p, s, n, part);
            if (border == n) continue;
            assert_int_equal(jt_pretok_cut(p, s, border, &w, &e), JT_OK);
            for (size_t i = 0; i < w.n; i++) assert_true(w.p[i].begin == more.p[i].begin && w.p[i].end == more.p[i].end);
            size_t first = w.n;
            assert_int_equal(jt_pretok_cut(p, s + border, n - border, &w, &e), JT_OK);
            for (size_t i = 0; i < w.n; i++) assert_int_equal(w.p[i].end + border, more.p[first + i].end);
        }
        jt_pretok_free(p);
    }
    assert_in_range(count, 70, 200);
    jt_pieces_free(&w), jt_pieces_free(&more);
    jt_str_free(&all);
}

static void whose_cutting(void **state) {
    (void)state;
    static const char s[] = "x'\xc5\xbf";
    jt_pretok *hf = named("llama-bpe", JT_PRETOK_HF), *other = named("llama-bpe", JT_PRETOK_LLAMACPP);
    jt_pieces w = {0};
    jt_error e = {0};
    assert_int_equal(jt_pretok_cut(hf, s, 4, &w, &e), JT_OK);
    assert_int_equal(w.n, 2); /* U+017F folds to s */
    assert_int_equal(w.p[1].end, 4);
    assert_int_equal(jt_pretok_cut(other, s, 4, &w, &e), JT_OK);
    assert_int_equal(w.n, 2);
    jt_pieces_free(&w);
    jt_pretok_free(hf), jt_pretok_free(other);
    hf = NULL;
    assert_int_equal(jt_pretok_named("qwen-2", 6, JT_PRETOK_HF, &hf, &e), JT_UNSUPPORTED);
    assert_non_null(strstr(e.message, "\"qwen-2\" is not a pre-tokeniser this build has; nearest: qwen2, "));
    assert_int_equal(jt_pretok_named("gemma4", 6, JT_PRETOK_HF, &hf, &e), JT_UNSUPPORTED);
    assert_null(hf);
}

static jt_status regex(const char *pattern, const char *s, size_t n, jt_regex_match *m, jt_error *e) {
    jt_regex *r = NULL;
    jt_regex_work w = {0};
    const char *use;
    jt_status st = jt_regex_new(pattern, strlen(pattern), &r, e);
    if (!st) st = jt_regex_text(&w, s, n, &use, e);
    if (!st) st = jt_regex_next(r, &w, use, n, 0, true, m, e);
    jt_regex_work_free(&w);
    jt_regex_free(r);
    return st;
}

static void expressions(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *text;
        size_t begin, end;
        bool found, open;
    } row[] = {{"b+", "abbc", 1, 3, true, false},
               {"b+", "abb", 1, 3, true, true},
               {"x", "abb", 0, 0, false, true},
               {"(?i:'s)", "a'\xc5\xbf.", 1, 4, true, false},
               {"\\s", "\xe1\xa0\x8e\xc2\x85.", 3, 5, true, false},
               {"a$", "ba\nc", 1, 2, true, false},
               {"\\p{Han}", "\xe3\x80\x81\xe6\xbc\xa2.", 3, 6, true, false},
               {"[^\\s\\p{L}]",
                "a\xff"
                "b",
                1, 2, true, false},
               {"\\p{L}", "\xf0\x91\x9b\x80.", 0, 0, false, true}, /* U+116C0, a number */
               {"\\p{L}", "\xf0\xb2\x8e\xaf.", 0, 4, true, false}, /* U+323AF, of Unicode 15 */
               {"\\p{^L}+", "a12b", 1, 3, true, false}};
    jt_error e = {0};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        jt_regex_match m = {0};
        if (regex(row[i].pattern, row[i].text, strlen(row[i].text), &m, &e)) fail_msg("%s: %s", row[i].pattern, e.message);
        if (m.found != row[i].found || m.begin != row[i].begin || m.end != row[i].end || m.open != row[i].open)
            fail_msg("%s: %d %zu:%zu open %d", row[i].pattern, m.found, m.begin, m.end, m.open);
    }
    jt_regex_match m;
    assert_int_equal(regex("(", "a", 1, &m, &e), JT_FORMAT);
    assert_non_null(strstr(e.message, "regular expression \"(\": "));
    assert_int_equal(regex("[a", "a", 1, &m, &e), JT_UNSUPPORTED);
    assert_int_equal(regex("[a&&b]", "a", 1, &m, &e), JT_UNSUPPORTED);
    assert_int_equal(regex("\\p{Nonesuch}", "a", 1, &m, &e), JT_FORMAT);
    char bad[64];
    memset(bad, 'a', sizeof bad);
    assert_int_equal(regex("(?:a+)+(?:a+)+[bc]", bad, sizeof bad, &m, &e), JT_LIMIT); /* ends, instead of going on for ever */
}

static void failing_allocations(void **state) {
    (void)state;
    static const char s[] = "Hello, world! 123 \xe6\xbc\xa2 \xff";
    for (long i = 0;; i++) {
        jt_pretok *p = NULL;
        jt_pieces w = {0};
        jt_error e = {0};
        alloc_fail_at(i);
        jt_status st = jt_pretok_named("tiny_aya", 8, JT_PRETOK_HF, &p, &e);
        if (!st) st = jt_pretok_cut(p, s, sizeof s - 1, &w, &e);
        alloc_fail_at(-1);
        jt_pieces_free(&w);
        jt_pretok_free(p);
        if (!st) break;
        assert_int_equal(st, JT_NOMEM);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(by_name),     cmocka_unit_test(by_steps),
                                       cmocka_unit_test(any_bytes),   cmocka_unit_test(whose_cutting),
                                       cmocka_unit_test(expressions), cmocka_unit_test(failing_allocations)};
    return cmocka_run_group_tests_name("cut", tests, NULL, NULL);
}
