/* The tokenizer: ids that Hugging Face gives for a small vocabulary, special tokens, and specs that must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "core/mem.h"
#include "core/random.h"
#include "text/vocab.h"
#include "text/vocab_json.h"

static void check_ids(const char *what, const char *text, const jt_tokens *got, const jt_json *want) {
    int same = got->n == jt_json_count(want);
    for (size_t i = 0; same && i < got->n; i++) {
        int64_t id = -1;
        jt_json_i64(jt_json_item(want, i), &id);
        same = got->t[i].id == id;
        if (!same) fail_msg("%s: \"%s\": token %zu is %d, not %ld", what, text, i, got->t[i].id, (long)id);
    }
    if (!same) fail_msg("%s: \"%s\": %zu tokens, not %zu", what, text, got->n, jt_json_count(want));
}

/* Spans go forward through the text and hold the bytes of their tokens, but for bytes that have no token. */
static void check_spans(const jt_tokenizer *t, const char *s, size_t n, const jt_tokens *got) {
    size_t at = 0;
    for (size_t i = 0; i < got->n; i++) {
        size_t m, k = 0;
        const char *bytes = jt_token_bytes(t, got->t[i].id, &m);
        assert_true(got->t[i].begin >= at && got->t[i].end >= got->t[i].begin && got->t[i].end <= n);
        for (; at < got->t[i].begin; at++) assert_int_equal(t->bpe.byte[(unsigned char)s[at]], JT_NO_TOKEN);
        for (; at < got->t[i].end; at++) {
            if (k < m && s[at] == bytes[k])
                k++;
            else
                assert_int_equal(t->bpe.byte[(unsigned char)s[at]], JT_NO_TOKEN);
        }
        assert_int_equal(k, m);
    }
    for (; at < n; at++) assert_int_equal(t->bpe.byte[(unsigned char)s[at]], JT_NO_TOKEN);
}

static void known_ids(void **state) {
    (void)state;
    static const char *const by[] = {"gpt-2", "smollm", "llama-bpe", "ignore"};
    vocab_json v;
    assert_true(vocab_json_open(&v));
    const jt_json *cases = jt_json_member(v.root, "cases");
    int64_t fewer = 0;
    jt_json_i64(jt_json_member(v.root, "merges_with_ignore"), &fewer);
    assert_in_range(jt_json_count(cases), 100, 10000);
    for (size_t k = 0; k < 4; k++) {
        jt_tokenizer *t = NULL;
        jt_error e = {0};
        jt_tokens got = {0};
        jt_tokenizer_spec s = v.spec;
        s.pre = view_of(k < 3 ? by[k] : "gpt-2");
        s.ignore_merges = k == 3;
        if (k == 3) s.n_merges = (size_t)fewer;
        if (jt_tokenizer_new(&s, &t, &e)) fail_msg("%s", e.message);
        /* Llama 3's own flag is not what the fixture was made with: with all merges there, it changes nothing. */
        for (size_t i = 0; i < jt_json_count(cases); i++) {
            const jt_json *c = jt_json_item(cases, i);
            size_t n;
            const char *text = jt_json_string(jt_json_member(c, "text"), &n);
            got.n = 0;
            assert_int_equal(jt_encode(t, text, n, JT_PARSE_SPECIAL, &got, &e), JT_OK);
            check_ids(by[k], text, &got, jt_json_member(c, by[k]));
            check_spans(t, text, n, &got);
        }
        jt_tokens_free(&got);
        jt_tokenizer_free(t);
    }
    vocab_json_close(&v);
}

static jt_tokenizer *small(vocab_json *v) {
    jt_tokenizer *t = NULL;
    jt_error e = {0};
    assert_true(vocab_json_open(v));
    v->spec.bos = 0, v->spec.eos = 1;
    if (jt_tokenizer_new(&v->spec, &t, &e)) fail_msg("%s", e.message);
    return t;
}

static void special_tokens(void **state) {
    (void)state;
    vocab_json v;
    jt_tokenizer *t = small(&v);
    jt_tokens got = {0};
    jt_error e = {0};
    int32_t note = jt_token_find(t, "<note>", 6);
    size_t n;
    assert_int_equal(jt_tokenizer_vocab(t), v.spec.vocab);
    assert_int_equal(note, (int32_t)v.spec.vocab - 1);
    assert_int_equal(jt_token_find(t, "<|im_start|>", 12), 0);
    assert_int_equal(jt_token_find(t, "<|im_start", 10), -1);
    assert_string_equal(jt_token_bytes(t, jt_token_find(t, " the", 4), &n), " the");
    assert_int_equal(n, 4);
    assert_true(jt_token_is_special(t, 0) && !jt_token_is_special(t, note) && !jt_token_is_special(t, -1));
    assert_true(!jt_token_is_special(t, (int32_t)v.spec.vocab) && !jt_token_is_end(t, (int32_t)v.spec.vocab) && !jt_token_is_end(t, -1));
    assert_true(jt_token_is_end(t, 1) && !jt_token_is_end(t, 0));
    assert_int_equal(jt_tokenizer_bos(t), 0);
    assert_int_equal(jt_tokenizer_eos(t), 1);
    assert_string_equal(jt_token_bytes(t, -5, &n), "");
    assert_int_equal(n, 0);

    /* Control tokens only on demand, user-defined ones always. */
    const char *text = "<|im_start|>a<note>";
    assert_int_equal(jt_encode(t, text, strlen(text), 0, &got, &e), JT_OK);
    for (size_t i = 0; i < got.n; i++) assert_false(jt_token_is_special(t, got.t[i].id));
    assert_int_equal(got.t[got.n - 1].id, note);
    check_spans(t, text, strlen(text), &got);
    got.n = 0;
    assert_int_equal(jt_encode(t, text, strlen(text), JT_PARSE_SPECIAL | JT_ADD_SPECIAL, &got, &e), JT_OK);
    assert_int_equal(got.n, 3); /* the files ask for neither BOS nor EOS */
    assert_int_equal(got.t[0].id, 0);
    assert_int_equal(got.t[2].begin, 13);
    assert_int_equal(got.t[2].end, 19);
    jt_tokens_free(&got);
    jt_tokenizer_free(t);

    v.spec.add_bos = v.spec.add_eos = 1;
    assert_int_equal(jt_tokenizer_new(&v.spec, &t, &e), JT_OK);
    assert_int_equal(jt_encode(t, "a", 1, JT_ADD_SPECIAL, &got, &e), JT_OK);
    assert_int_equal(got.n, 3);
    assert_true(got.t[0].id == 0 && got.t[0].begin == 0 && got.t[0].end == 0 && got.t[2].id == 1 && got.t[2].begin == 1 &&
                got.t[2].end == 1);
    got.n = 0;
    assert_int_equal(jt_encode(t, "", 0, 0, &got, &e), JT_OK);
    assert_int_equal(got.n, 0);
    jt_tokens_free(&got);
    jt_tokenizer_free(t);

    /* Where the file does not say, Llama 3 begins with BOS. */
    v.spec.add_bos = v.spec.add_eos = -1, v.spec.pre = view_of("llama-bpe");
    assert_int_equal(jt_tokenizer_new(&v.spec, &t, &e), JT_OK);
    assert_int_equal(jt_encode(t, "a", 1, JT_ADD_SPECIAL, &got, &e), JT_OK);
    assert_int_equal(got.n, 2);
    jt_tokens_free(&got);
    jt_tokenizer_free(t);
    vocab_json_close(&v);
}

static void bytes_without_tokens(void **state) {
    (void)state;
    vocab_json v;
    jt_tokenizer *t = small(&v);
    jt_tokens got = {0};
    jt_error e = {0};
    assert_int_equal(jt_encode(t, "ab\x04", 3, JT_EVERY_BYTE, &got, &e), JT_UNSUPPORTED);
    assert_non_null(strstr(e.message, "0x04 at offset 2"));
    assert_int_equal(got.n, 0);
    assert_int_equal(jt_encode(t, "<note>\x04", 7, JT_EVERY_BYTE, &got, &e), JT_UNSUPPORTED);
    assert_non_null(strstr(e.message, "offset 6"));
    assert_int_equal(jt_encode(t, "ab", 2, JT_EVERY_BYTE, &got, &e), JT_OK);
    assert_int_equal(jt_encode(t, "a", (size_t)1 << 40, 0, &got, &e), JT_LIMIT);
    jt_tokens_free(&got);
    jt_tokenizer_free(t);
    vocab_json_close(&v);
}

/* Longest and leftmost: "<a>" inside "<a><b>", "<a" that leads nowhere, one token inside another. */
static void added_tokens(void **state) {
    (void)state;
    jt_view tokens[260] = {{0}};
    int32_t types[260] = {0};
    char spelt[256][4];
    static const char *const more[] = {"<a>", "<a><b>", "b>", "aa"};
    for (int i = 0; i < 256; i++) {
        int plain = (i >= 0x21 && i <= 0x7e) || (i >= 0xa1 && i <= 0xac) || (i >= 0xae);
        int hidden = i <= 0x20 ? i : i <= 0xa0 ? i - 0x7f + 0x21 : 0x43;
        tokens[i] = (jt_view){spelt[i], (size_t)jt_utf8_put(plain ? (uint32_t)i : 0x100u + (uint32_t)hidden, spelt[i])};
        types[i] = JT_TOKEN_NORMAL;
    }
    for (int i = 0; i < 4; i++) tokens[256 + i] = view_of(more[i]), types[256 + i] = JT_TOKEN_USER;
    types[258] = JT_TOKEN_CONTROL;
    jt_tokenizer_spec s;
    jt_tokenizer_spec_init(&s);
    s.model = view_of("gpt2"), s.pre = view_of("gpt-2"), s.tokens = tokens, s.types = types, s.vocab = 260;
    jt_tokenizer *t = NULL;
    jt_error e = {0};
    assert_int_equal(jt_tokenizer_new(&s, &t, &e), JT_OK);
    static const struct {
        const char *text;
        int flags;
        int32_t ids[8];
    } row[] = {
        {"<a><a><b>", 0, {256, 257, -1}},  {"<a><b", 0, {256, '<', 'b', -1}},           {"<a<a>", 0, {'<', 'a', 256, -1}},
        {"b><a>", 0, {'b', '>', 256, -1}}, {"b><a>", JT_PARSE_SPECIAL, {258, 256, -1}}, {"<a><b>b>", JT_PARSE_SPECIAL, {257, 258, -1}},
        {"aaa", 0, {259, 'a', -1}},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        jt_tokens got = {0};
        assert_int_equal(jt_encode(t, row[i].text, strlen(row[i].text), row[i].flags, &got, &e), JT_OK);
        for (size_t k = 0; k < got.n; k++)
            if (got.t[k].id != row[i].ids[k]) fail_msg("\"%s\": token %zu is %d, not %d", row[i].text, k, got.t[k].id, row[i].ids[k]);
        assert_int_equal(row[i].ids[got.n], -1);
        jt_tokens_free(&got);
    }

    /* With all bytes there, any bytes come back. */
    jt_tokens got = {0};
    int32_t ids[4096];
    char text[1024];
    for (uint32_t round = 0; round < 300; round++) {
        uint32_t w[4];
        for (uint32_t i = 0; i < sizeof text; i++) {
            jt_random_words(&(jt_address){.seed = 3, .position = round, .index = i}, w);
            text[i] = (char)(round % 3 ? w[0] : (uint32_t) "<a>b \n'\xe2\x82\xac"[w[0] % 11]);
        }
        got.n = 0;
        assert_int_equal(jt_encode(t, text, sizeof text, round % 2 ? JT_PARSE_SPECIAL | JT_EVERY_BYTE : 0, &got, &e), JT_OK);
        for (size_t i = 0; i < got.n; i++) ids[i] = got.t[i].id;
        char *back;
        size_t n;
        assert_int_equal(jt_decode(t, ids, got.n, 1, &back, &n, &e), JT_OK);
        assert_int_equal(n, sizeof text);
        assert_memory_equal(back, text, n);
        jt_text_free(back);
        check_spans(t, text, sizeof text, &got);
    }
    jt_tokens_free(&got);
    jt_tokenizer_free(t);
}

/* Each of these must fail with the code and a message that holds the text. */
static void refuse(const jt_tokenizer_spec *s, jt_status code, const char *part) {
    jt_tokenizer *t = NULL;
    jt_error e = {0};
    jt_status st = jt_tokenizer_new(s, &t, &e);
    if (st != code || e.code != code || !strstr(e.message, part))
        fail_msg("%s, \"%s\" instead of %s, \"...%s...\"", jt_status_name(st), e.message, jt_status_name(code), part);
    assert_null(t);
    assert_int_equal(jt_tokenizer_new(s, &t, NULL), code);
}

static void refused_specs(void **state) {
    (void)state;
    jt_view tokens[] = {{"a", 1}, {"b", 1}, {"ab", 2}, {"", 0}, {"\xe2\x96\x81", 3}, {"a\xe2\x96\x81", 4}, {"\xff", 1}, {"a\0b", 3}};
    int32_t types[] = {1, 1, 1, 1, 1, 1, 1, 1};
    jt_view merge[] = {{"a b", 3}};
    jt_tokenizer_spec good, s;
    jt_tokenizer_spec_init(&good);
    good.model = view_of("gpt2"), good.pre = view_of("smollm"), good.tokens = tokens, good.types = types, good.vocab = 8;
    good.merges = merge, good.n_merges = 1;
    jt_tokenizer *t = NULL;
    jt_error e = {0};
    assert_int_equal(jt_tokenizer_new(&good, &t, &e), JT_OK);
    assert_int_equal(jt_token_find(t, "", 0), 3);
    assert_int_equal(jt_token_find(t, "a\0b", 3), 7);
    assert_int_equal(jt_token_find(t, "\xff", 1), 6); /* not the alphabet's spelling: the bytes as they are, and not a byte */
    assert_int_equal(t->bpe.byte[0xff], JT_NO_TOKEN);
    char *big = calloc(1, 20000);
    assert_int_equal(jt_token_find(t, big, 20000), -1);
    jt_tokenizer_free(t), t = NULL;
    jt_tokenizer_free(NULL);

    s = good, s.model = view_of("llamas"), refuse(&s, JT_UNSUPPORTED, "\"llamas\" is not a tokenizer this build has; known: gpt2");
    s = good, s.model = (jt_view){0}, refuse(&s, JT_UNSUPPORTED, "tokenizer.ggml.model");
    s = good, s.pre = view_of("tekkan"), refuse(&s, JT_UNSUPPORTED, "\"tekkan\" is not a pre-tokeniser this build has; nearest: tekken, ");
    s = good, s.pre = (jt_view){0}, refuse(&s, JT_UNSUPPORTED, "tokenizer.ggml.pre is missing");
    s = good, s.pre = view_of("\x1b[31m a name that goes on and on and on and on and on"), refuse(&s, JT_UNSUPPORTED, "\"?[31m a name");
    s = good, s.vocab = 0, refuse(&s, JT_FORMAT, "0 tokens");
    s = good, s.vocab = (size_t)1 << 25, refuse(&s, JT_LIMIT, "33554432 tokens");
    s = good, s.n_merges = (size_t)1 << 25, refuse(&s, JT_LIMIT, "33554432 merges");
    s = good, s.bos = 8, refuse(&s, JT_FORMAT, "bos_token_id: id 8 is outside");
    s = good, s.eos = -2, refuse(&s, JT_FORMAT, "eos_token_id: id -2");
    s = good, s.eot = 100, refuse(&s, JT_FORMAT, "eot_token_id");
    s = good, s.eom = INT32_MAX, refuse(&s, JT_FORMAT, "eom_token_id");
    s = good, s.unk = INT32_MIN, refuse(&s, JT_FORMAT, "unknown_token_id");
    s = good, s.add_bos = 1, refuse(&s, JT_FORMAT, "no bos_token_id");
    s = good, s.add_eos = 1, refuse(&s, JT_FORMAT, "no eos_token_id");
    s = good, types[2] = 7, refuse(&s, JT_FORMAT, "token_type[2]: type 7");
    types[2] = 0, refuse(&s, JT_FORMAT, "token_type[2]: type 0");
    types[2] = 1;
    tokens[3] = (jt_view){big, 16385}, refuse(&s, JT_LIMIT, "tokens[3]: 16385 bytes");
    tokens[3] = (jt_view){"", 0};

    static const struct {
        const char *merge;
        jt_status code;
        const char *part;
    } row[] = {
        {"", JT_FORMAT, "merges[0]: \"\" is not two tokens"},
        {"ab", JT_FORMAT, "not two tokens"},
        {"a ", JT_FORMAT, "not two tokens"},
        {" b", JT_FORMAT, "not two tokens"},
        {" ", JT_FORMAT, "not two tokens"},
        {"a c", JT_FORMAT, "\"a c\": the right part is not a token"},
        {"c a", JT_FORMAT, "the left part is not a token"},
        {"a \xe2\x96\x81", JT_UNSUPPORTED, "not spelt in the byte alphabet"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) merge[0] = view_of(row[i].merge), refuse(&s, row[i].code, row[i].part);
    memset(big, 'x', 20000);
    big[19999] = 0, big[10000] = ' ';
    merge[0] = view_of(big), refuse(&s, JT_FORMAT, "the left part is not a token");
    free(big);
}

/* A merge into what is no token never fires; those after it do. */
static void merges_into_nothing_are_left_out(void **state) {
    (void)state;
    jt_view tokens[] = {{"a", 1}, {"b", 1}, {"ab", 2}}, merge[] = {{"b a", 3}, {"a b", 3}};
    jt_tokenizer_spec s;
    jt_tokenizer *t;
    jt_tokens out = {0};
    jt_tokenizer_spec_init(&s);
    s.model = (jt_view){"gpt2", 4}, s.pre = (jt_view){"gpt-2", 5};
    s.tokens = tokens, s.vocab = 3, s.merges = merge, s.n_merges = 2;
    assert_int_equal(jt_tokenizer_new(&s, &t, NULL), JT_OK);
    assert_int_equal(jt_encode(t, "abab", 4, 0, &out, NULL), JT_OK);
    assert_int_equal(out.n, 2);
    assert_int_equal(out.t[0].id, 2);
    assert_int_equal(out.t[1].id, 2);
    jt_tokens_free(&out);
    jt_tokenizer_free(t);
}

/* Of equal tokens the last id counts, as where Hugging Face reads the list into a table; all decode. */
static void equal_tokens(void **state) {
    (void)state;
    jt_view tokens[] = {{"a", 1}, {"b", 1}, {"ab", 2}, {"a", 1}, {"ab", 2}, {"<x>", 3}, {"<x>", 3}};
    int32_t types[] = {1, 1, 1, 1, 1, 3, 1};
    jt_view merge[] = {{"a b", 3}};
    jt_tokenizer_spec s;
    jt_tokenizer_spec_init(&s);
    s.model = view_of("gpt2"), s.pre = view_of("smollm"), s.tokens = tokens, s.types = types, s.vocab = 7, s.merges = merge, s.n_merges = 1;
    jt_tokenizer *t = NULL;
    jt_error e = {0};
    assert_int_equal(jt_tokenizer_new(&s, &t, &e), JT_OK);
    jt_tokens got = {0};
    assert_int_equal(jt_encode(t, "aba", 3, 0, &got, &e), JT_OK);
    assert_int_equal(got.n, 2);
    assert_int_equal(got.t[0].id, 4);
    assert_int_equal(got.t[1].id, 3);
    assert_int_equal(jt_token_find(t, "<x>", 3), 5); /* the special one */
    char *text;
    size_t n;
    assert_int_equal(jt_decode(t, (const int32_t[]){0, 1, 2, 3, 4, 6}, 6, 0, &text, &n, &e), JT_OK);
    assert_string_equal(text, "ababaab<x>");
    jt_text_free(text);
    jt_tokens_free(&got);
    jt_tokenizer_free(t);
}

static void failing_allocations(void **state) {
    (void)state;
    vocab_json v;
    assert_true(vocab_json_open(&v));
    char text[4000];
    for (size_t i = 0; i < sizeof text; i++) text[i] = "the cat sat<note>\x04 12\n"[i % 22];
    v.spec.add_bos = 1, v.spec.bos = 0, v.spec.add_eos = 1, v.spec.eos = 1;
    for (long at = 0;; at++) {
        assert_in_range(at, 0, 10000);
        jt_tokenizer *t = NULL;
        jt_error e = {0};
        jt_tokens got = {0};
        alloc_fail_at(at);
        jt_status st = jt_tokenizer_new(&v.spec, &t, &e);
        if (st == JT_OK) st = jt_encode(t, text, sizeof text, JT_PARSE_SPECIAL | JT_ADD_SPECIAL, &got, &e);
        long asked = alloc_count();
        alloc_fail_at(-1);
        if (st != JT_OK) assert_int_equal(got.n, 0);
        jt_tokens_free(&got);
        jt_tokenizer_free(t);
        if (asked <= at) {
            assert_int_equal(st, JT_OK);
            break;
        }
        /* A failed shrinking of a table is no failure. */
        if (st != JT_OK) {
            assert_int_equal(st, JT_NOMEM);
            assert_int_equal(e.code, JT_NOMEM);
        }
    }
    v.spec.pre = view_of("none such");
    jt_status st = JT_NOMEM;
    for (long at = 0; st == JT_NOMEM; at++) {
        jt_tokenizer *t = NULL;
        assert_in_range(at, 0, 100);
        alloc_fail_at(at);
        st = jt_tokenizer_new(&v.spec, &t, NULL);
        alloc_fail_at(-1);
    }
    assert_int_equal(st, JT_UNSUPPORTED);
    vocab_json_close(&v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_ids),
        cmocka_unit_test(special_tokens),
        cmocka_unit_test(bytes_without_tokens),
        cmocka_unit_test(added_tokens),
        cmocka_unit_test(refused_specs),
        cmocka_unit_test(equal_tokens),
        cmocka_unit_test(merges_into_nothing_are_left_out),
        cmocka_unit_test(failing_allocations),
    };
    return cmocka_run_group_tests_name("tokenizer", tests, NULL, NULL);
}
