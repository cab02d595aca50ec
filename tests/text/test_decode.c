/* Decoding: bytes come back whole or as a stream of whole characters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "core/random.h"
#include "core/str.h"
#include "text/vocab_json.h"

/* A vocabulary of every byte (id = byte), one control token 256 and one long token 257. */
static jt_tokenizer *bytes_only(void) {
    static const char *const more[] = {"<end>", "\xc3\xa9\xc3\xa2\xc4\xa4\xc2\xac"}; /* the second is spelt e9 e2 82 ac */
    jt_view tokens[258];
    int32_t types[258];
    char spelt[256][4];
    for (int i = 0; i < 256; i++) {
        int plain = (i >= 0x21 && i <= 0x7e) || (i >= 0xa1 && i <= 0xac) || (i >= 0xae);
        int hidden = i <= 0x20 ? i : i <= 0xa0 ? i - 0x7f + 0x21 : 0x43;
        tokens[i] = (jt_view){spelt[i], (size_t)jt_utf8_put(plain ? (uint32_t)i : 0x100u + (uint32_t)hidden, spelt[i])};
        types[i] = JT_TOKEN_NORMAL;
    }
    for (int i = 0; i < 2; i++) tokens[256 + i] = view_of(more[i]), types[256 + i] = i ? JT_TOKEN_NORMAL : JT_TOKEN_CONTROL;
    jt_tokenizer_spec s;
    jt_tokenizer_spec_init(&s);
    s.model = view_of("gpt2"), s.pre = view_of("gpt-2"), s.tokens = tokens, s.types = types, s.vocab = 258;
    jt_tokenizer *t = NULL;
    jt_error e = {0};
    if (jt_tokenizer_new(&s, &t, &e)) fail_msg("%s", e.message);
    return t;
}

static void at_once(void **state) {
    (void)state;
    jt_tokenizer *t = bytes_only();
    jt_error e = {0};
    char *s;
    size_t n;
    const int32_t ids[] = {'a', 256, 0, 0xff, 257};
    assert_int_equal(jt_decode(t, ids, 5, 0, &s, &n, &e), JT_OK);
    assert_int_equal(n, 7);
    assert_memory_equal(s, "a\0\xff\xe9\xe2\x82\xac", 8);
    jt_text_free(s);
    assert_int_equal(jt_decode(t, ids, 5, 1, &s, &n, &e), JT_OK);
    assert_int_equal(n, 12);
    assert_memory_equal(s, "a<end>\0\xff\xe9\xe2\x82\xac", 13);
    jt_text_free(s);
    assert_int_equal(jt_decode(t, NULL, 0, 1, &s, &n, &e), JT_OK);
    assert_string_equal(s, "");
    jt_text_free(s);
    assert_int_equal(jt_decode(t, (const int32_t[]){1, 258}, 2, 1, &s, &n, &e), JT_INVALID);
    assert_non_null(strstr(e.message, "token 1: id 258"));
    assert_int_equal(jt_decode(t, (const int32_t[]){-1}, 1, 1, &s, &n, &e), JT_INVALID);
    alloc_fail_at(0);
    jt_status st = jt_decode(t, ids, 5, 0, &s, &n, &e);
    alloc_fail_at(-1);
    assert_int_equal(st, JT_NOMEM);
    jt_tokenizer_free(t);
}

/* Streams one byte a token: what came out after each, with | between. */
static void stream(const jt_tokenizer *t, const char *bytes, size_t n, jt_str *out) {
    jt_detok d = {0};
    jt_error e = {0};
    char text[32], end[10];
    size_t k;
    jt_str_clear(out);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(jt_detok_push(t, &d, (unsigned char)bytes[i], 0, text, sizeof text, &k, &e), JT_OK);
        jt_str_add(out, text, k);
        jt_str_putc(out, '|');
    }
    k = jt_detok_end(&d, end);
    assert_int_equal(strlen(end), k);
    jt_str_add(out, end, k);
    assert_int_equal(jt_detok_end(&d, end), 0);
}

#define BAD "\xef\xbf\xbd"
static void whole_characters(void **state) {
    (void)state;
    jt_tokenizer *t = bytes_only();
    static const struct {
        const char *bytes, *want;
    } row[] = {
        {"ab", "a|b|"},
        {"\xc3\xa9", "|\xc3\xa9|"},
        {"\xe2\x82\xac!", "||\xe2\x82\xac|!|"},
        {"\xf0\x9f\x91\x8d", "|||\xf0\x9f\x91\x8d|"},
        {"\xff"
         "a",
         BAD "|a|"},
        {"\x80\x80", BAD "|" BAD "|"},
        {"\xc3"
         "a",
         "|" BAD "a|"},
        {"\xe2\x82"
         "a",
         "||" BAD BAD "a|"},
        {"\xf0\x9f\x91"
         "a",
         "|||" BAD BAD BAD "a|"},
        {"\xe2\x82", "||" BAD BAD},
        {"\xf0\x9f\x91", "|||" BAD BAD BAD},
        {"\xe0\x80\x80", "|" BAD BAD "|" BAD "|"},             /* overlong: known at the second byte */
        {"\xed\xa0\x80", "|" BAD BAD "|" BAD "|"},             /* a surrogate */
        {"\xf4\x90\x80\x80", "|" BAD BAD "|" BAD "|" BAD "|"}, /* past U+10FFFF */
        {"\xc0\xaf", BAD "|" BAD "|"},
        {"\xe2\xe2\x82\xac", "|" BAD "||\xe2\x82\xac|"},
        {"\xf0\x9f\xf0\x9f\x91\x8d", "||" BAD BAD "|||\xf0\x9f\x91\x8d|"},
    };
    jt_str got = {0};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        stream(t, row[i].bytes, strlen(row[i].bytes), &got);
        if (strcmp(jt_str_c(&got), row[i].want)) fail_msg("row %zu: \"%s\" instead of \"%s\"", i, jt_str_c(&got), row[i].want);
    }
    jt_str_free(&got);
    jt_tokenizer_free(t);
}

/* What a stream gives, however the bytes are cut, is what is given byte by byte, and always valid. */
static void any_bytes(void **state) {
    (void)state;
    jt_tokenizer *t = bytes_only();
    static const char *const parts[] = {"a",    "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x91\x8d", "\xe2",
                                        "\x82", "\xf0\x9f", "\xff",         "\xe0\x80",         "\xed\xa0"};
    for (uint32_t round = 0; round < 3000; round++) {
        jt_str in = {0}, want = {0}, got = {0};
        jt_detok d = {0}, one = {0};
        jt_error e = {0};
        char text[64], end[10];
        size_t k;
        for (uint32_t i = 0; i < 12; i++) {
            uint32_t w[4];
            jt_random_words(&(jt_address){.seed = 9, .position = round, .index = i}, w);
            if (w[1] % 5 == 0) {
                assert_int_equal(jt_detok_push(t, &d, 257, 0, text, sizeof text, &k, &e), JT_OK);
                jt_str_add(&got, text, k);
                jt_str_puts(&in, "\xe9\xe2\x82\xac");
            } else {
                const char *p = parts[w[0] % 10];
                for (; *p; p++) {
                    assert_int_equal(jt_detok_push(t, &d, (unsigned char)*p, 0, text, sizeof text, &k, &e), JT_OK);
                    jt_str_add(&got, text, k);
                    jt_str_putc(&in, *p);
                }
            }
            for (size_t at = 0; at < got.n;) {
                int w2 = jt_utf8_next(got.s + at, got.n - at, NULL);
                assert_true(w2 > 0);
                at += (size_t)w2;
            }
        }
        jt_str_add(&got, end, jt_detok_end(&d, end));
        for (size_t i = 0; i < in.n; i++) {
            assert_int_equal(jt_detok_push(t, &one, (unsigned char)in.s[i], 0, text, sizeof text, &k, &e), JT_OK);
            jt_str_add(&want, text, k);
        }
        jt_str_add(&want, end, jt_detok_end(&one, end));
        assert_string_equal(jt_str_c(&got), jt_str_c(&want));
        jt_str_free(&in), jt_str_free(&want), jt_str_free(&got);
    }
    jt_tokenizer_free(t);
}

static void room_and_special(void **state) {
    (void)state;
    jt_tokenizer *t = bytes_only();
    jt_detok d = {0};
    jt_error e = {0};
    char text[32];
    size_t k;
    assert_int_equal(jt_detok_push(t, &d, 0xf0, 0, text, 0, &k, &e), JT_OK); /* nothing to write yet */
    assert_int_equal(jt_detok_push(t, &d, 257, 0, text, 8, &k, &e), JT_LIMIT);
    assert_int_equal(d.n, 1);
    assert_int_equal(jt_detok_push(t, &d, 257, 0, text, 9, &k, &e), JT_OK);
    assert_memory_equal(text, BAD BAD "\xe2\x82\xac", 9);
    assert_int_equal(k, 9);
    assert_int_equal(jt_detok_push(t, &d, 256, 0, text, 9, &k, &e), JT_OK);
    assert_int_equal(k, 0);
    assert_int_equal(jt_detok_push(t, &d, 256, 1, text, 9, &k, &e), JT_OK);
    assert_memory_equal(text, "<end>", k);
    assert_int_equal(k, 5);
    assert_int_equal(jt_detok_push(t, &d, 99999, 1, text, 9, &k, &e), JT_OK);
    assert_int_equal(k, 0);
    jt_tokenizer_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(at_once), cmocka_unit_test(whole_characters), cmocka_unit_test(any_bytes),
                                       cmocka_unit_test(room_and_special)};
    return cmocka_run_group_tests_name("decode", tests, NULL, NULL);
}
