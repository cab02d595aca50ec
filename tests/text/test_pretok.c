/* Pre-tokenisers: the pieces that Hugging Face's regular expressions give, and nothing lost on any bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/json.h"
#include "core/random.h"
#include "text/pretok.h"
#include "text/unicode.h"

static jt_pretok *named(const char *name) {
    jt_pretok *p = NULL;
    jt_error e = {0};
    if (jt_pretok_named(name, strlen(name), JT_PRETOK_HF, &p, &e)) fail_msg("%s", e.message);
    return p;
}

static void known_pieces(void **state) {
    (void)state;
    static const char *const names[] = {"gpt-2", "smollm", "llama-bpe"};
    jt_json *root = NULL;
    jt_error e = {0};
    if (jt_json_read(FIXTURES "/text/pieces.json", &root, &e)) fail_msg("%s", e.message);
    assert_in_range(jt_json_count(root), 300, 10000);
    for (size_t i = 0; i < jt_json_count(root); i++) {
        const jt_json *c = jt_json_item(root, i);
        size_t n;
        const char *s = jt_json_string(jt_json_member(c, "text"), &n);
        for (size_t k = 0; k < 3; k++) {
            const jt_json *ends = jt_json_member(c, names[k]);
            jt_pretok *p = named(names[k]);
            size_t at = 0, piece = 0;
            jt_scan x = {s, n, false};
            for (; at < n; piece++) {
                int64_t want = -1;
                at = jt_pretok_whole(p)(&x, at);
                jt_json_i64(jt_json_item(ends, piece), &want);
                if ((int64_t)at != want)
                    fail_msg("%s: text %zu \"%s\": piece %zu ends at %zu, not %ld", names[k], i, s, piece, at, (long)want);
            }
            assert_int_equal(piece, jt_json_count(ends));
            jt_pretok_free(p);
        }
    }
    jt_json_free(root);
}

/* Every call moves on and stays inside; a piece never ends within a character. */
static void any_bytes(void **state) {
    (void)state;
    static const char *const parts[] = {
        " ", "\n", "'", "'s", "\xc2\xa0", "\xe3\x80\x80", "a", "1", "\xff", "\xe2\x82", "\xf0\x9f\x91", "\xd9\xa3", "\xc5\xbf", "!", "\0"};
    char s[200];
    for (uint32_t round = 0; round < 20000; round++) {
        size_t n = 0;
        uint32_t w[4];
        for (uint32_t i = 0; i < 30; i++) {
            jt_random_words(&(jt_address){.seed = 5, .position = round, .index = i}, w);
            if (w[0] % 3 == 0) {
                s[n++] = (char)w[1];
            } else {
                const char *p = parts[w[1] % (sizeof parts / sizeof *parts)];
                size_t m = *p ? strlen(p) : 1;
                memcpy(s + n, p, m);
                n += m;
            }
        }
        const char *names[] = {"gpt-2", "smollm", "llama-bpe"};
        for (size_t k = 0; k < 3; k++) {
            jt_pretok *p = named(names[k]);
            size_t whole = 0;
            jt_scan x = {s, n, false};
            for (size_t at = 0; at < n;) {
                size_t end = jt_pretok_whole(p)(&x, at);
                assert_true(end > at && end <= n);
                at = end;
                while (whole < at) {
                    int width = jt_utf8_next(s + whole, n - whole, NULL);
                    whole += width ? (size_t)width : 1;
                }
                assert_int_equal(whole, at);
            }
            jt_pretok_free(p);
        }
    }
}

static void classes(void **state) {
    (void)state;
    static const struct {
        uint32_t cp;
        unsigned class;
    } row[] = {{'a', JT_CLASS_LOWER},      {'0', JT_CLASS_NUMBER},      {' ', JT_CLASS_SPACE},       {'\n', JT_CLASS_SPACE},
               {0x1c, JT_CLASS_OTHER},     {'!', JT_CLASS_PUNCT},       {'$', JT_CLASS_SYMBOL},      {0x85, JT_CLASS_SPACE},
               {0xbd, JT_CLASS_NUMBER},    {0x301, JT_CLASS_MARK},      {0x180e, JT_CLASS_OTHER},    {0x200b, JT_CLASS_OTHER},
               {0x3000, JT_CLASS_SPACE},   {0x4e00, JT_CLASS_LETTER},   {0x1f44d, JT_CLASS_SYMBOL},  {0x1c89, JT_CLASS_UPPER},
               {0x323b0, JT_CLASS_OTHER},  {0x11de0, JT_CLASS_DIGIT17}, {0x16ff4, JT_CLASS_DIGIT17}, {0xe000, JT_CLASS_OTHER},
               {0x10ffff, JT_CLASS_OTHER}, {0xd7ff, JT_CLASS_OTHER}};
    size_t count[10] = {0};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (jt_unicode_class(row[i].cp) != row[i].class) fail_msg("U+%04X is of class %u", row[i].cp, jt_unicode_class(row[i].cp));
    for (uint32_t c = 0; c < 0x110000; c++) count[jt_unicode_class(c)]++;
    assert_int_equal(count[JT_CLASS_LETTER] + count[JT_CLASS_UPPER] + count[JT_CLASS_LOWER],
                     141028); /* Unicode 16.0, DerivedGeneralCategory */
    assert_int_equal(count[JT_CLASS_MARK], 2501);
    assert_int_equal(count[JT_CLASS_NUMBER], 1911);
    assert_int_equal(count[JT_CLASS_PUNCT], 855);
    assert_int_equal(count[JT_CLASS_SYMBOL], 8514);
    assert_int_equal(count[JT_CLASS_SPACE], 25);
    assert_int_equal(count[JT_CLASS_DIGIT17], 13);
}

static void names(void **state) {
    (void)state;
    jt_str s = {0};
    jt_pretok_names(&s);
    assert_non_null(strstr(jt_str_c(&s), "smollm, "));
    jt_str_free(&s);
    assert_null(jt_pretok_find("smollm2", 7));
    assert_null(jt_pretok_find("smoll", 5));
    assert_null(jt_pretok_find("", 0));
    assert_true(jt_pretok_find("llama-bpe", 9)->ignore_merges);
    assert_false(jt_pretok_find("gpt-2", 5)->ignore_merges);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_pieces), cmocka_unit_test(any_bytes), cmocka_unit_test(classes),
                                       cmocka_unit_test(names)};
    return cmocka_run_group_tests_name("pretok", tests, NULL, NULL);
}
