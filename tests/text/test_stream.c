/* Text in pieces, by several threads, and vocabularies of tiktoken: the tokens of the whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "core/mem.h"
#include "core/random.h"
#include "core/str.h"
#include "text/tiktoken.h"
#include "text/tokenizer.h"
#include "text/vocab.h"
#include "vocab_json.h"

/* The small vocabulary with another pre-tokeniser. */
static jt_tokenizer *small(const char *pre, vocab_json *v, bool nfc) {
    jt_tokenizer *t = NULL;
    jt_error e = {0};
    if (!vocab_json_open(v)) fail_msg("no vocabulary");
    v->spec.pre = view_of(pre), v->spec.nfc = nfc, v->spec.add_bos = 0;
    if (jt_tokenizer_new(&v->spec, &t, &e)) fail_msg("%s: %s", pre, e.message);
    return t;
}

static size_t random_text(uint64_t seed, uint32_t round, char *s, size_t parts) {
    static const char *const part[] = {"the ",
                                       "King",
                                       " of",
                                       "\n",
                                       "\n\n",
                                       "  ",
                                       "'s",
                                       "'",
                                       "'L",
                                       "\xc2\xa0",
                                       "\xe3\x80\x80",
                                       "a",
                                       "1",
                                       "23",
                                       "\xff",
                                       "\xe2\x82",
                                       "\xf0\x9f\x91",
                                       "\xf0\x9f\x91\x8d",
                                       "\xc5\xbf",
                                       "!",
                                       "...",
                                       "/",
                                       "e",
                                       "\xcc\x81",
                                       "\xcc\xa3",
                                       "\xc3\xa9",
                                       "q",
                                       "<note>",
                                       "<note",
                                       "<",
                                       "<|im_",
                                       "<|im_start|>",
                                       "end|>",
                                       "\xe3\x83\xbb",
                                       "\xe6\xbc\xa2",
                                       "Ab",
                                       "\xe1\x84\x92",
                                       "\xe1\x85\xa1",
                                       "\r"};
    size_t n = 0;
    uint32_t w[4];
    for (uint32_t i = 0; i < parts; i++) {
        jt_random_words(&(jt_address){.seed = seed, .position = round, .index = i}, w);
        const char *p = part[w[0] % (sizeof part / sizeof *part)];
        memcpy(s + n, p, strlen(p));
        n += strlen(p);
    }
    return n;
}

static void same(const char *what, const jt_tokens *a, const jt_tokens *b) {
    for (size_t i = 0; i < a->n || i < b->n; i++)
        if (i >= a->n || i >= b->n || a->t[i].id != b->t[i].id || a->t[i].begin != b->t[i].begin || a->t[i].end != b->t[i].end)
            fail_msg("%s: token %zu of %zu and %zu: %d %zu:%zu became %d %zu:%zu", what, i, a->n, b->n, i < a->n ? a->t[i].id : -1,
                     i < a->n ? a->t[i].begin : 0, i < a->n ? a->t[i].end : 0, i < b->n ? b->t[i].id : -1, i < b->n ? b->t[i].begin : 0,
                     i < b->n ? b->t[i].end : 0);
}

static const char *const names[] = {"gpt-2",  "smollm",   "llama-bpe",   "qwen2",      "qwen35",   "gpt-4o",
                                    "tekken", "kimi-k2",  "deepseek-v3", "cl100k",     "falcon",   "bloom",
                                    "viking", "minicpm5", "laguna",      "exaone-moe", "tiny_aya", "superbpe"};

/* Whatever the pieces, the tokens are those of the whole; and text that is settled is given at once. */
static void streams(void **state) {
    (void)state;
    char s[600];
    jt_error e = {0};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        vocab_json v;
        jt_tokenizer *t = small(names[k], &v, k % 3 == 0);
        jt_encoder *enc = NULL;
        jt_tokens whole = {0}, got = {0};
        for (uint32_t round = 0; round < 150; round++) {
            size_t n = random_text(3, round, s, 30);
            int flags = round % 2 ? JT_PARSE_SPECIAL : 0;
            uint32_t w[4];
            whole.n = got.n = 0;
            if (!enc || round < 3) {
                jt_encoder_free(enc);
                assert_int_equal(jt_encoder_new(t, flags, &enc, &e), JT_OK);
            } else if (round > 100) {
                jt_encoder_free(enc);
                assert_int_equal(jt_encoder_new(t, flags, &enc, &e), JT_OK);
            } else {
                flags = JT_PARSE_SPECIAL; /* that of round 1 and 2's encoder, used again */
                if (round == 3) {
                    jt_encoder_free(enc);
                    assert_int_equal(jt_encoder_new(t, flags, &enc, &e), JT_OK);
                }
            }
            if (jt_encode(t, s, n, flags, &whole, &e)) fail_msg("%s", e.message);
            for (size_t at = 0, step; at < n; at += step) {
                jt_random_words(&(jt_address){.seed = 4, .position = round, .index = (uint32_t)at}, w);
                step = round % 3 == 0 ? 1 : 1 + w[0] % 9;
                if (step > n - at) step = n - at;
                if (jt_encoder_push(enc, s + at, step, &got, &e)) fail_msg("%s", e.message);
                for (size_t i = 0; i < got.n; i++)
                    if (i >= whole.n || got.t[i].id != whole.t[i].id)
                        fail_msg("%s: round %u: token %zu came too early", names[k], round, i);
            }
            if (jt_encoder_end(enc, &got, &e)) fail_msg("%s", e.message);
            same(names[k], &whole, &got);
        }
        jt_encoder_free(enc);
        jt_tokens_free(&whole), jt_tokens_free(&got);
        jt_tokenizer_free(t);
        vocab_json_close(&v);
    }
}

static void given_at_once(void **state) {
    (void)state;
    static const struct {
        const char *pre, *text;
        size_t given; /* bytes */
    } row[] = {{"llama-bpe", "Hello the", 5}, {"llama-bpe", "Hello ", 5},    {"llama-bpe", "Hello", 0},   {"llama-bpe", "12 3", 3},
               {"llama-bpe", "1234", 3},      {"gpt-2", "King <no", 4},      {"gpt-2", "King <ni", 6},    {"gpt-2", "King <note>", 11},
               {"qwen2", "King e", 4},        {"qwen2", "e\xcc\x81 the", 3}, {"gpt-2", "a\n\n\nb c", 5},  {"laguna", "the King\n", 8},
               {"gpt-4o", "King's", 0},       {"gpt-4o", "King's ", 6},      {"gpt-2", "King\xe2\x82", 0}};
    jt_error e = {0};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        vocab_json v;
        jt_tokenizer *t = small(row[i].pre, &v, true);
        jt_encoder *enc = NULL;
        jt_tokens got = {0};
        assert_int_equal(jt_encoder_new(t, 0, &enc, &e), JT_OK);
        assert_int_equal(jt_encoder_push(enc, row[i].text, strlen(row[i].text), &got, &e), JT_OK);
        size_t given = got.n ? got.t[got.n - 1].end : 0;
        if (given != row[i].given) fail_msg("%s: \"%s\": %zu bytes given, not %zu", row[i].pre, row[i].text, given, row[i].given);
        jt_encoder_free(enc);
        jt_tokens_free(&got);
        jt_tokenizer_free(t);
        vocab_json_close(&v);
    }
}

static void threads(void **state) {
    (void)state;
    enum { SIZE = 400000 };
    char *s = jt_alloc(SIZE + 600, 1);
    size_t n = 0;
    jt_error e = {0};
    for (uint32_t round = 0; n < SIZE; round++) n += random_text(8, round, s + n, 30);
    for (size_t k = 0; k < sizeof names / sizeof *names; k += 2) {
        vocab_json v;
        jt_tokenizer *t = small(names[k], &v, k % 3 == 0);
        jt_tokens one = {0}, many = {0};
        assert_int_equal(jt_encode(t, s, n, JT_PARSE_SPECIAL | JT_ADD_SPECIAL, &one, &e), JT_OK);
        for (int count = 2; count < 6; count++) {
            many.n = 0;
            assert_int_equal(jt_encode_threads(t, s, n, JT_PARSE_SPECIAL | JT_ADD_SPECIAL, count, &many, &e), JT_OK);
            same(names[k], &one, &many);
        }
        assert_int_equal(jt_encode_threads(t, s, n, 0, -1, &many, &e), JT_INVALID);
        jt_tokens_free(&one), jt_tokens_free(&many);
        jt_tokenizer_free(t);
        vocab_json_close(&v);
    }
    jt_free(s);
}

/* ranks: a b c d, ab, cd, abc, bcd, then "abcd" by (abc d) and (a bcd) at once, é */
static const char ranks[] = "YQ== 0\nYg== 1\nYw== 2\nZA== 3\nYWI= 4\nY2Q= 5\r\nYWJj 6\nYmNk 7\n\nYWJjZA== 8\nw6k= 9\nw6k 11\n";

static void tiktoken(void **state) {
    (void)state;
    jt_tokenizer *t = NULL;
    jt_tokens k = {0};
    jt_error e = {0};
    assert_true(jt_tiktoken_is(ranks, sizeof ranks - 1));
    assert_false(jt_tiktoken_is("{\"model\": 1}", 12));
    assert_false(jt_tiktoken_is("", 0));
    assert_int_equal(jt_tokenizer_tiktoken_text(ranks, sizeof ranks - 1, "x", "gpt2", &t, &e), JT_OK);
    assert_int_equal(jt_tokenizer_vocab(t), 50257);
    assert_int_equal(jt_token_find(t, "<|endoftext|>", 13), 50256);
    /* ab and cd come first, then nothing joins them but the whole, which is looked up first. */
    static const struct {
        const char *text;
        int32_t id[6];
        size_t n;
    } row[] = {{"abcd", {8}, 1}, {"abcdab", {8, 4}, 2}, {"bcd", {7}, 1}, {"bcda", {7, 0}, 2}, {"<|endoftext|>ab", {50256, 4}, 2},
               {"abc", {6}, 1}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        k.n = 0;
        assert_int_equal(jt_encode(t, row[i].text, strlen(row[i].text), JT_PARSE_SPECIAL, &k, &e), JT_OK);
        for (size_t j = 0; j < row[i].n || j < k.n; j++)
            if (j >= row[i].n || j >= k.n || k.t[j].id != row[i].id[j])
                fail_msg("%s: token %zu is %d", row[i].text, j, j < k.n ? k.t[j].id : -1);
    }
    jt_tokens_free(&k);
    jt_tokenizer_free(t);
    static const struct {
        const char *text, *encoding, *name;
        jt_status status;
        const char *says;
    } bad[] = {{"YQ== 0\nYQ 0\n", "gpt2", "x", JT_FORMAT, "x: line 2: a token of rank 0 was there before"},
               {"YQ== 0\nY!== 1\n", "gpt2", "x", JT_FORMAT, "x: line 2 is not a token in base64 and its rank"},
               {"YQ== x\n", "gpt2", "x", JT_FORMAT, "x: line 1 is not"},
               {"YQ== 99999999999\n", "gpt2", "x", JT_FORMAT, "x: line 1 is not"},
               {"", "gpt2", "x", JT_FORMAT, "no tokens"},
               {"YQ== 0\n", "cl100", "x", JT_UNSUPPORTED, "\"cl100\" is not"},
               {"YQ== 0\n", NULL, "some/where/mine.txt", JT_UNSUPPORTED, "name its encoding: gpt2, "}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        t = NULL;
        jt_status st = jt_tokenizer_tiktoken_text(bad[i].text, strlen(bad[i].text), bad[i].name, bad[i].encoding, &t, &e);
        if (st != bad[i].status || !strstr(e.message, bad[i].says)) fail_msg("%zu: %d \"%s\"", i, st, e.message);
        assert_null(t);
    }
    assert_int_equal(jt_tokenizer_tiktoken_text(ranks, sizeof ranks - 1, "dir/o200k_harmony.tiktoken", NULL, &t, &e), JT_OK);
    assert_int_equal(jt_token_find(t, "<|call|>", 8), 200012);
    assert_int_equal(jt_token_find(t, "<|reserved_200013|>", 19), 200013);
    jt_tokenizer_free(t);
    assert_int_equal(jt_tokenizer_tiktoken_text(ranks, sizeof ranks - 1, "x", "llama3", &t, &e), JT_OK);
    assert_int_equal(jt_token_find(t, "<|reserved_special_token_3|>", 28), 128011);
    assert_int_equal(jt_tokenizer_bos(t), 128000);
    jt_tokenizer_free(t);
}

static void failing_allocations(void **state) {
    (void)state;
    static const char s[] = "the King's e\xcc\x81 <note> 12 \xf0\x9f\x91\x8d\n";
    vocab_json v;
    jt_tokenizer *t = small("qwen2", &v, true), *made;
    jt_tokens want = {0};
    jt_error e = {0};
    assert_int_equal(jt_encode(t, s, sizeof s - 1, 0, &want, &e), JT_OK);
    for (long i = 0;; i++) { /* a call that failed is made again: nothing is lost or there twice */
        jt_encoder *enc = NULL;
        jt_tokens got = {0};
        bool failed = false;
        alloc_fail_at(i);
        if (jt_encoder_new(t, 0, &enc, &e)) {
            alloc_fail_at(-1);
            assert_int_equal(jt_encoder_new(t, 0, &enc, &e), JT_OK);
            failed = true;
        }
        for (size_t at = 0; at + 1 < sizeof s; at += 3)
            if (jt_encoder_push(enc, s + at, at + 3 < sizeof s ? 3 : sizeof s - 1 - at, &got, &e)) at -= 3, failed = true;
        while (jt_encoder_end(enc, &got, &e)) failed = true;
        alloc_fail_at(-1);
        same("after a failure", &want, &got);
        jt_tokens_free(&got);
        jt_encoder_free(enc);
        if (!failed) break;
    }
    for (long i = 0;; i++) {
        made = NULL;
        alloc_fail_at(i);
        jt_status st = jt_tokenizer_tiktoken_text(ranks, sizeof ranks - 1, "x", "gpt-2", &made, &e);
        alloc_fail_at(-1);
        jt_tokenizer_free(made);
        if (!st) break;
        assert_int_equal(st, JT_NOMEM);
    }
    jt_tokens_free(&want);
    jt_tokenizer_free(t);
    vocab_json_close(&v);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(streams), cmocka_unit_test(given_at_once), cmocka_unit_test(threads),
                                       cmocka_unit_test(tiktoken), cmocka_unit_test(failing_allocations)};
    return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
