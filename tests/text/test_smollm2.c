/* The tokenizer of SmolLM2 itself: ids that Hugging Face gives. Reads the model named by JETON_TEST_MODEL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/json.h"
#include "core/random.h"
#include "model/model.h"
#include "model/safetensors.h"
#include "text/vocab.h"

typedef struct fixture {
    jt_gguf *gguf;
    jt_tokenizer *t;
    jt_json *root;
} fixture;

static int setup(void **state) {
    static fixture f;
    jt_error e = {0};
    const char *path = getenv("JETON_TEST_MODEL");
    *state = NULL;
    if (!path || !*path) return 0;
    if (jt_gguf_open(path, &f.gguf, &e) || jt_model_load_tokenizer(f.gguf, &f.t, &e) ||
        jt_json_read(FIXTURES "/text/smollm2.json", &f.root, &e)) {
        print_error("%s\n", e.message);
        return -1;
    }
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    if (!f) return 0;
    jt_json_free(f->root);
    jt_tokenizer_free(f->t);
    jt_gguf_free(f->gguf);
    return 0;
}

static fixture *need(void **state) {
    if (!*state) skip();
    return *state;
}

static void check_ids(const char *text, const jt_tokens *got, const jt_json *want) {
    assert_int_equal(got->n, jt_json_count(want));
    for (size_t i = 0; i < got->n; i++) {
        int64_t id = -1;
        jt_json_i64(jt_json_item(want, i), &id);
        if (got->t[i].id != id) fail_msg("\"%s\": token %zu is %d, not %ld", text, i, got->t[i].id, (long)id);
    }
}

static void known_ids(void **state) {
    fixture *f = need(state);
    const jt_json *cases = jt_json_member(f->root, "cases");
    assert_in_range(jt_json_count(cases), 100, 10000);
    for (size_t i = 0; i < jt_json_count(cases); i++) {
        const jt_json *c = jt_json_item(cases, i);
        size_t n;
        bool special = false;
        const char *text = jt_json_string(jt_json_member(c, "text"), &n);
        jt_json_bool(jt_json_member(c, "special"), &special);
        for (int parse = special; parse < 2; parse++) {
            jt_tokens got = {0};
            jt_error e = {0};
            assert_int_equal(jt_encode(f->t, text, n, parse ? JT_PARSE_SPECIAL | JT_ADD_SPECIAL : 0, &got, &e), JT_OK);
            check_ids(text, &got, jt_json_member(c, "ids"));
            jt_tokens_free(&got);
        }
    }
}

static void chat(void **state) {
    fixture *f = need(state);
    const jt_json *cases = jt_json_member(f->root, "chat");
    assert_string_equal(jt_chat_format(f->t), "template");
    assert_in_range(jt_json_count(cases), 8, 100);
    for (size_t i = 0; i < jt_json_count(cases); i++) {
        const jt_json *c = jt_json_item(cases, i), *said = jt_json_member(c, "messages");
        jt_message m[8];
        bool answer = false;
        int n = (int)jt_json_count(said);
        for (int k = 0; k < n; k++) {
            const jt_json *pair = jt_json_item(said, (size_t)k);
            m[k] = (jt_message){jt_json_string(jt_json_item(pair, 0), NULL), jt_json_string(jt_json_item(pair, 1), NULL)};
        }
        jt_json_bool(jt_json_member(c, "answer"), &answer);
        const char *text = jt_json_string(jt_json_member(c, "text"), NULL);
        jt_tokens got = {0};
        jt_error e = {0};
        assert_int_equal(jt_chat_encode(f->t, m, n, answer, &got, &e), JT_OK);
        check_ids(text, &got, jt_json_member(c, "ids"));
        int32_t *ids = calloc(got.n + 1, sizeof *ids);
        for (size_t k = 0; k < got.n; k++) ids[k] = got.t[k].id;
        char *back;
        size_t back_n;
        assert_int_equal(jt_decode(f->t, ids, got.n, 1, &back, &back_n, &e), JT_OK);
        assert_string_equal(back, text);
        jt_text_free(back);
        free(ids);
        jt_tokens_free(&got);
    }
}

/* The first 10,240 ids of WikiText-2 (test): their text must give them again. */
static void wikitext(void **state) {
    fixture *f = need(state);
    jt_safetensors *file = NULL;
    jt_error e = {0};
    if (jt_safetensors_open(FIXTURES "/smollm2/reference.safetensors", &file, &e)) fail_msg("%s", e.message);
    const jt_st_tensor *x = jt_safetensors_tensor_named(file, "ids");
    assert_non_null(x);
    enum { N = 20 * 512 };
    int32_t *ids = calloc(N, sizeof *ids);
    memcpy(ids, x->data, N * sizeof *ids);
    char *text;
    size_t n;
    assert_int_equal(jt_decode(f->t, ids, N, 1, &text, &n, &e), JT_OK);
    assert_in_range(n, 30000, 60000);
    jt_tokens got = {0};
    assert_int_equal(jt_encode(f->t, text, n, 0, &got, &e), JT_OK);
    for (size_t i = 0; i + 8 < N; i++) assert_int_equal(got.t[i].id, ids[i]); /* the text ends inside a word, perhaps */
    jt_tokens_free(&got);
    jt_text_free(text);
    free(ids);
    jt_safetensors_free(file);
}

static void specials(void **state) {
    fixture *f = need(state);
    assert_int_equal(jt_tokenizer_vocab(f->t), 49152);
    assert_int_equal(jt_tokenizer_bos(f->t), 1);
    assert_int_equal(jt_tokenizer_eos(f->t), 2);
    for (int32_t i = 0; i < 49152; i++) assert_int_equal(jt_token_is_special(f->t, i), i < 17);
    assert_true(jt_token_is_end(f->t, 0) && jt_token_is_end(f->t, 2) && !jt_token_is_end(f->t, 1));
    assert_int_equal(jt_token_find(f->t, "<|im_end|>", 10), 2);
    assert_int_equal(f->t->bpe.n_improper, 0);
    assert_int_equal(f->t->bpe.n_irregular, 0);
    /* Each ordinary token's bytes, cut into pieces or not, come back. */
    for (int32_t i = 17; i < 49152; i++) {
        size_t n;
        const char *s = jt_token_bytes(f->t, i, &n);
        jt_tokens got = {0};
        jt_error e = {0};
        assert_int_equal(jt_encode(f->t, s, n, JT_EVERY_BYTE, &got, &e), JT_OK);
        assert_int_equal(jt_token_find(f->t, s, n), i);
        size_t at = 0;
        for (size_t k = 0; k < got.n; at = got.t[k++].end) assert_int_equal(got.t[k].begin, at);
        assert_int_equal(at, n);
        jt_tokens_free(&got);
    }
}

/* Random bytes come back, but for the 21 bytes that this vocabulary lacks. */
static void random_bytes(void **state) {
    fixture *f = need(state);
    enum { N = 20000 };
    char *s = malloc(N), *want = malloc(N), *back;
    int32_t *ids = calloc(N, sizeof *ids);
    for (uint32_t round = 0; round < 20; round++) {
        size_t kept = 0, n;
        for (uint32_t i = 0; i < N; i++) {
            uint32_t w[4];
            jt_random_words(&(jt_address){.seed = 21, .position = round, .index = i}, w);
            s[i] = (char)(round % 2 ? w[0] : w[0] % 96 + 32);
            if (f->t->bpe.byte[(unsigned char)s[i]] != JT_NO_TOKEN) want[kept++] = s[i];
        }
        if (round % 2 == 0) assert_int_equal(kept, N);
        jt_tokens got = {0};
        jt_error e = {0};
        assert_int_equal(jt_encode(f->t, s, N, 0, &got, &e), JT_OK);
        for (size_t i = 0; i < got.n; i++) ids[i] = got.t[i].id;
        assert_int_equal(jt_decode(f->t, ids, got.n, 1, &back, &n, &e), JT_OK);
        assert_int_equal(n, kept);
        assert_memory_equal(back, want, n);
        jt_text_free(back);
        jt_tokens_free(&got);
    }
    free(s), free(want), free(ids);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_ids), cmocka_unit_test(chat), cmocka_unit_test(wikitext),
                                       cmocka_unit_test(specials), cmocka_unit_test(random_bytes)};
    return cmocka_run_group_tests_name("smollm2", tests, setup, teardown);
}
