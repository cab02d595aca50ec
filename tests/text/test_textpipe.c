/* Pipelines of every kind against what Hugging Face tokenizers and SentencePiece give (tests/fixtures/tokenizers). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "core/file.h"
#include "core/mem.h"
#include "text/sentencepiece.h"
#include "text/tokenizer_json.h"
#include "text/vocab.h"

#define FOLDER FIXTURES "/tokenizers/"

static jt_json *open_cases(const char *path) {
    jt_json *j = NULL;
    jt_error e = {0};
    if (jt_json_read(path, &j, &e)) fail_msg("%s", e.message);
    return j;
}

static void check_ids(const char *name, const char *text, const jt_tokens *got, const jt_json *want) {
    int same = got->n == jt_json_count(want);
    for (size_t i = 0; same && i < got->n; i++) {
        int64_t id = -1;
        jt_json_i64(jt_json_item(want, i), &id);
        same = got->t[i].id == id;
        if (!same) fail_msg("%s: \"%s\": token %zu is %d, not %ld", name, text, i, got->t[i].id, (long)id);
    }
    if (!same) fail_msg("%s: \"%s\": %zu tokens, not %zu", name, text, got->n, jt_json_count(want));
}

static void check_spans(const char *name, const jt_tokens *got, size_t n) {
    for (size_t i = 0; i < got->n; i++)
        if (got->t[i].begin > got->t[i].end || got->t[i].end > n)
            fail_msg("%s: token %zu has the span %zu to %zu", name, i, got->t[i].begin, got->t[i].end);
}

static int32_t *ids_of(const jt_tokens *t) {
    int32_t *ids = malloc((t->n + 1) * sizeof *ids);
    for (size_t i = 0; i < t->n; i++) ids[i] = t->t[i].id;
    return ids;
}

/* One case: ids without special tokens and with, spans, and the text of the ids. */
static void check_case(const jt_tokenizer *t, const char *name, const jt_json *c, int flags, bool spans) {
    size_t n, k;
    char *back;
    const char *text = jt_json_string(jt_json_member(c, "text"), &n), *want = jt_json_string(jt_json_member(c, "decoded"), NULL);
    jt_tokens got = {0};
    jt_error e = {0};
    if (jt_encode(t, text, n, flags, &got, &e)) fail_msg("%s: \"%s\": %s", name, text, e.message);
    check_ids(name, text, &got, jt_json_member(c, "ids"));
    if (spans) check_spans(name, &got, n);
    int32_t *ids = ids_of(&got);
    assert_int_equal(jt_decode_text(t, ids, got.n, 0, &back, &k, &e), JT_OK);
    if (strcmp(back, want) != 0) fail_msg("%s: \"%s\" decoded is \"%s\", not \"%s\"", name, text, back, want);
    jt_text_free(back);
    free(ids);
    if (jt_json_member(c, "special")) {
        got.n = 0;
        assert_int_equal(jt_encode(t, text, n, flags | JT_ADD_SPECIAL, &got, &e), JT_OK);
        check_ids(name, text, &got, jt_json_member(c, "special"));
    }
    jt_tokens_free(&got);
}

static void every_part(void **state) {
    (void)state;
    jt_json *all = open_cases(FOLDER "tokenizers.json");
    size_t cases = 0;
    for (size_t i = 0; i < jt_json_count(all); i++) {
        const jt_json *one = jt_json_item(all, i), *list = jt_json_member(one, "cases");
        const char *name = jt_json_string(jt_json_member(one, "name"), NULL);
        jt_tokenizer *t = NULL;
        jt_error e = {0};
        if (jt_tokenizer_json(jt_json_member(one, "tokenizer"), NULL, 0, &t, &e)) fail_msg("%s: %s", name, e.message);
        for (size_t k = 0; k < jt_json_count(list); k++, cases++) check_case(t, name, jt_json_item(list, k), JT_PARSE_SPECIAL, true);
        jt_tokenizer_free(t);
    }
    assert_in_range(cases, 700, 100000);
    jt_json_free(all);
}

static void sentencepiece_models(void **state) {
    (void)state;
    jt_json *all = open_cases(FOLDER "sentencepiece.json");
    for (size_t i = 0; i < jt_json_count(all); i++) {
        const jt_json *one = jt_json_item(all, i), *list = jt_json_member(one, "cases");
        const char *name = jt_json_string(jt_json_member(one, "name"), NULL);
        jt_tokenizer *t = NULL;
        jt_error e = {0};
        jt_str path = {0};
        jt_str_printf(&path, FOLDER "%s.model", name);
        if (jt_tokenizer_open(jt_str_c(&path), &t, &e)) fail_msg("%s: %s", name, e.message);
        for (size_t k = 0; k < jt_json_count(list); k++) {
            const jt_json *c = jt_json_item(list, k);
            jt_tokens got = {0};
            size_t n;
            const char *text = jt_json_string(jt_json_member(c, "text"), &n);
            assert_int_equal(jt_encode(t, text, n, 0, &got, &e), JT_OK);
            check_ids(name, text, &got, jt_json_member(c, "ids"));
            check_spans(name, &got, n);
            jt_tokens_free(&got);
        }
        jt_tokenizer_free(t);
        jt_str_free(&path);
    }
    jt_json_free(all);
}

/* Bytes that are no text come back where the vocabulary has a token for each byte; a long run takes no longer than a short one. */
static void any_bytes(void **state) {
    (void)state;
    jt_tokenizer *t = NULL;
    jt_error e = {0};
    enum { N = 300000 };
    char *s = malloc(N), *back;
    size_t n;
    if (jt_tokenizer_open(FOLDER "bpe.model", &t, &e)) fail_msg("%s", e.message);
    for (int how = 0; how < 3; how++) {
        for (size_t i = 0; i < N; i++) s[i] = how == 0 ? 'a' : how == 1 ? ' ' : (char)(i * i * 31 + i / 7);
        jt_tokens got = {0};
        assert_int_equal(jt_encode(t, s, N, 0, &got, &e), JT_OK);
        check_spans("bpe", &got, N);
        int32_t *ids = ids_of(&got);
        assert_int_equal(jt_decode(t, ids, got.n, 1, &back, &n, &e), JT_OK);
        assert_int_equal(n, N);
        assert_memory_equal(back, s, N);
        jt_text_free(back);
        free(ids);
        jt_tokens_free(&got);
    }
    free(s);
    jt_tokenizer_free(t);
}

static void refuse(const char *text, jt_status code, const char *part) {
    jt_json *j = NULL;
    jt_tokenizer *t = NULL;
    jt_error e = {0};
    assert_int_equal(jt_json_parse(text, strlen(text), &j, &e), JT_OK);
    jt_status s = jt_tokenizer_json(j, NULL, 0, &t, &e);
    if (s != code || !strstr(e.message, part)) fail_msg("%s: %d \"%s\"", text, s, e.message);
    assert_null(t);
    jt_json_free(j);
}

#define SMALL "\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0,\"<unk>\":1},\"unk_token\":\"<unk>\"}"
static void refused(void **state) {
    (void)state;
    refuse("{}", JT_FORMAT, "no model");
    refuse("{\"model\":{\"type\":\"Other\",\"vocab\":{\"a\":0}}}", JT_UNSUPPORTED, "Other");
    refuse("{\"model\":{\"type\":\"BPE\",\"vocab\":{}}}", JT_FORMAT, "empty");
    refuse("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1}}}", JT_FORMAT, "id of \"a\"");
    refuse("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"ab\"]}}", JT_FORMAT, "merge 0");
    refuse("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"x\"}}", JT_FORMAT, "unk_token");
    refuse("{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}}", JT_FORMAT, "vocab[0]");
    refuse("{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",-1]],\"unk_id\":3}}", JT_FORMAT, "unk_id");
    refuse("{" SMALL ",\"normalizer\":{\"type\":\"Rot13\"}}", JT_UNSUPPORTED, "Rot13");
    refuse("{" SMALL ",\"pre_tokenizer\":{\"type\":\"Rot13\"}}", JT_UNSUPPORTED, "Rot13");
    refuse("{" SMALL ",\"decoder\":{\"type\":\"Rot13\"}}", JT_UNSUPPORTED, "Rot13");
    refuse("{" SMALL ",\"post_processor\":{\"type\":\"Rot13\"}}", JT_UNSUPPORTED, "Rot13");
    refuse("{" SMALL ",\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA\"}}", JT_FORMAT, "charsmap");
    refuse("{" SMALL ",\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"!\"}}", JT_FORMAT, "base 64");
    refuse("{" SMALL ",\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"(\"},\"content\":\"\"}}", JT_FORMAT, "(");
    refuse("{" SMALL ",\"added_tokens\":[{\"id\":2}]}", JT_FORMAT, "content");
    refuse("{" SMALL ",\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\"}}", JT_FORMAT, "not one character");
    refuse("{" SMALL ",\"decoder\":{\"type\":\"Metaspace\",\"replacement\":\"ab\"}}", JT_FORMAT, "not one character");
    refuse("{" SMALL ",\"pre_tokenizer\":{\"type\":\"CharDelimiterSplit\",\"delimiter\":\"\"}}", JT_FORMAT, "not one character");
    refuse("{\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0,\"b\":13333333},\"unk_token\":\"a\"}}", JT_FORMAT,
           "ids go up to 13333333");
    refuse("{" SMALL ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}}]}}", JT_FORMAT,
           "\"x\"");
}

/* Every allocation fails once, at making and at use. */
static void failing_allocations(void **state) {
    (void)state;
    static const char *const names[] = {"normal many",   "cut sequence",    "llama bytes", "bpe bytes-some",
                                        "unigram bytes", "wordpiece other", "added lower", "decode replace"};
    jt_json *all = open_cases(FOLDER "tokenizers.json");
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        const jt_json *one = NULL;
        for (size_t i = 0; i < jt_json_count(all); i++)
            if (!strcmp(jt_json_string(jt_json_member(jt_json_item(all, i), "name"), NULL), names[k])) one = jt_json_item(all, i);
        assert_non_null(one);
        static const char text[] = "the caf\xc3\xa9 <s>fox  12 \xe6\x97\xa5\xe2\x96\x81\xef\xac\x81";
        for (int at = 0, done = 0; !done; at += at < 60 ? 1 : 7) {
            jt_tokenizer *t = NULL;
            jt_tokens got = {0};
            jt_error e = {0};
            char *back = NULL;
            size_t n;
            alloc_fail_at(at);
            jt_status s = jt_tokenizer_json(jt_json_member(one, "tokenizer"), NULL, 0, &t, &e);
            if (!s) s = jt_encode(t, text, sizeof text - 1, JT_PARSE_SPECIAL | JT_ADD_SPECIAL, &got, &e);
            int32_t ids[8] = {0};
            for (size_t i = 0; i < 8 && i < got.n; i++) ids[i] = got.t[i].id;
            if (!s) s = jt_decode_text(t, ids, 8, 1, &back, &n, &e);
            alloc_fail_at(-1);
            if (s && (s != JT_NOMEM || !e.message[0])) fail_msg("%s, allocation %d: %s: %s", names[k], at, jt_status_name(s), e.message);
            done = !s;
            jt_text_free(back);
            jt_tokens_free(&got);
            jt_tokenizer_free(t);
        }
    }
    jt_json_free(all);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_part), cmocka_unit_test(sentencepiece_models), cmocka_unit_test(any_bytes),
                                       cmocka_unit_test(refused), cmocka_unit_test(failing_allocations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
