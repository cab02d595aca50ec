/* Training: merges worked out by hand, those of Hugging Face's BpeTrainer, its UnigramTrainer as a yardstick, any number of
 * threads, hostile text, and allocations that fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "core/file.h"
#include "core/json.h"
#include "text/train.h"

static char folder[64], in[96], out[96];

static int setup(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/jeton-test-train-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(in, sizeof in, "%s/text", folder);
    snprintf(out, sizeof out, "%s/tokenizer.json", folder);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    jt_folder_remove(folder);
    return 0;
}

static void put(const char *s, size_t n) {
    jt_str text = {0};
    jt_error e = {0};
    jt_str_add(&text, s, n);
    assert_int_equal(jt_file_save(in, &text, &e), JT_OK);
    jt_str_free(&text);
}

static jt_status train(const char *file, const jt_train_options *o, jt_error *e) { return jt_tokenizer_train(&file, 1, out, o, NULL, e); }

/* Trains and reads what was written. */
static jt_json *trained(const char *file, const jt_train_options *o) {
    jt_json *root = NULL;
    jt_error e = {0};
    if (train(file, o, &e)) fail_msg("%s", e.message);
    assert_int_equal(jt_json_read(out, &root, &e), JT_OK);
    return root;
}

static const jt_json *model_of(const jt_json *root, const char *name) { return jt_json_member(jt_json_member(root, "model"), name); }

/* "a b" of merge number i. */
static const char *merge_of(const jt_json *root, size_t i, char *buffer, size_t cap) {
    const jt_json *m = jt_json_item(model_of(root, "merges"), i);
    const char *a = jt_json_string(jt_json_item(m, 0), NULL), *b = jt_json_string(jt_json_item(m, 1), NULL);
    snprintf(buffer, cap, "%s %s", a ? a : "?", b ? b : "?");
    return buffer;
}

static void check_merges(const jt_json *root, const char *const *want, size_t n) {
    char got[256];
    assert_int_equal(jt_json_count(model_of(root, "merges")), n);
    for (size_t i = 0; i < n; i++) assert_string_equal(merge_of(root, i, got, sizeof got), want[i]);
}

static void by_hand(void **state) {
    (void)state;
    static const char *const merges[] = {"a a", "a b", "aa ab", "a c", "d aaab"};
    put("aaabdaaabac", 11);
    jt_train_options o = {.vocab = 9, .seen_bytes = 1};
    jt_json *root = trained(in, &o);
    check_merges(root, merges, 5);
    assert_int_equal(jt_json_count(model_of(root, "vocab")), 9);
    jt_json_free(root);
    /* Only the pairs that occur twice, and no token of four symbols. */
    o.min_frequency = 2;
    check_merges(root = trained(in, &o), merges, 3);
    jt_json_free(root);
    o.max_token_length = 4;
    check_merges(root = trained(in, &o), merges, 2);
    jt_json_free(root);
}

/* abc comes from a + bc and from ab + c, is one token, and the vocabulary is as large as it was asked to be. */
static void same_token_twice(void **state) {
    (void)state;
    char got[64];
    put("abx abx abx abx bcy bcy bcy bcy abc abc", 39);
    jt_json *root = trained(in, &(jt_train_options){.vocab = 300});
    const jt_json *vocab = model_of(root, "vocab");
    void *iter = NULL;
    const char *name;
    const jt_json *id;
    int64_t number, at = 0;
    while (jt_json_each(vocab, &iter, &name, &id)) {
        assert_true(jt_json_i64(id, &number));
        assert_int_equal(number, at++);
    }
    for (size_t i = 0, n = jt_json_count(model_of(root, "merges")); i < n; i++)
        for (size_t k = 0; k < i; k++) {
            char other[64];
            assert_string_not_equal(merge_of(root, i, got, sizeof got), merge_of(root, k, other, sizeof other));
        }
    jt_json_free(root);
}

static jt_train_options case_options(const jt_json *c) {
    static const char *const special[] = {"<unk>", "<s>", "</s>"};
    jt_train_options o = {0};
    int64_t x;
    bool yes;
    if (jt_json_i64(jt_json_member(c, "vocab"), &x)) o.vocab = (size_t)x;
    if (jt_json_i64(jt_json_member(c, "min_frequency"), &x)) o.min_frequency = (uint64_t)x;
    if (jt_json_i64(jt_json_member(c, "max_token_length"), &x)) o.max_token_length = (size_t)x;
    if (jt_json_i64(jt_json_member(c, "limit_alphabet"), &x)) o.limit_alphabet = (size_t)x;
    if (jt_json_bool(jt_json_member(c, "chars"), &yes)) o.chars = yes;
    if (jt_json_bool(jt_json_member(c, "seen_bytes"), &yes)) o.seen_bytes = yes;
    if (jt_json_bool(jt_json_member(c, "byte_fallback"), &yes)) o.byte_fallback = yes;
    o.pre = jt_json_string(jt_json_member(c, "pre"), NULL);
    o.normalizer = jt_json_string(jt_json_member(c, "normalizer"), NULL);
    o.special = o.chars ? special : special + 1;
    o.n_special = o.chars ? 3 : 2;
    return o;
}

/* The same merges and the same first tokens, on any number of threads. */
static void as_hugging_face(void **state) {
    (void)state;
    static const int threads[] = {1, 2, 5};
    jt_json *want = NULL;
    jt_error e = {0};
    assert_int_equal(jt_json_read(FIXTURES "/train/bpe.json", &want, &e), JT_OK);
    assert_int_equal(jt_json_count(want), 8);
    for (size_t i = 0; i < jt_json_count(want); i++) {
        const jt_json *c = jt_json_item(want, i), *merges = jt_json_member(c, "merges"), *first = jt_json_member(c, "first");
        for (size_t k = 0; k < 3; k++) {
            jt_train_options o = case_options(c);
            int64_t tokens = 0, id;
            char got[256];
            o.threads = threads[k];
            jt_json *root = trained(FIXTURES "/train/text.txt", &o);
            jt_json_i64(jt_json_member(c, "tokens"), &tokens);
            assert_int_equal(jt_json_count(model_of(root, "vocab")), tokens);
            assert_int_equal(jt_json_count(model_of(root, "merges")), jt_json_count(merges));
            for (size_t m = 0; m < jt_json_count(merges); m++)
                assert_string_equal(merge_of(root, m, got, sizeof got), jt_json_string(jt_json_item(merges, m), NULL));
            for (size_t m = 0; m < jt_json_count(first); m++) {
                const char *s = jt_json_string(jt_json_item(first, m), NULL);
                assert_true(jt_json_i64(jt_json_member(model_of(root, "vocab"), s), &id));
                assert_int_equal(id, m);
            }
            jt_json_free(root);
        }
    }
    jt_json_free(want);
}

/* What is written is a tokenizer: text comes back, and special tokens are tokens. */
static void opens(void **state) {
    (void)state;
    static const char *const special[] = {"<s>"};
    static const char text[] = "What, na\xc3\xafve <s> 123? \xff\xfe\x80 \xf0\x9f\x98\x80\r\n";
    static const char *const names[] = {"gpt-2", "llama-bpe", "qwen2", "gpt-4o", "smollm", "deepseek-v3", "falcon", "superbpe"};
    for (size_t i = 0; i <= sizeof names / sizeof *names; i++) {
        bool named = i < sizeof names / sizeof *names;
        jt_train_options o = {.vocab = 600, .special = special, .n_special = 1};
        if (named)
            o.pre = names[i];
        else
            o.regex = "\\p{L}+|[0-9]";
        jt_tokenizer *t = NULL;
        jt_tokens k = {0};
        jt_error e = {0};
        int32_t ids[200];
        char *back = NULL;
        size_t n = 0;
        jt_json_free(trained(FIXTURES "/train/text.txt", &o));
        if (jt_tokenizer_open(out, &t, &e)) fail_msg("%s", e.message);
        assert_int_equal(jt_tokenizer_vocab(t), 600);
        assert_int_equal(jt_token_find(t, "<s>", 3), 0);
        assert_true(jt_token_is_special(t, 0));
        assert_int_equal(jt_encode(t, text, sizeof text - 1, JT_PARSE_SPECIAL, &k, &e), JT_OK);
        assert_in_range(k.n, 5, 200);
        for (size_t j = 0; j < k.n; j++) ids[j] = k.t[j].id;
        assert_int_equal(jt_decode(t, ids, k.n, 1, &back, &n, &e), JT_OK);
        assert_int_equal(n, sizeof text - 1);
        assert_memory_equal(back, text, n);
        jt_text_free(back);
        jt_tokens_free(&k);
        jt_tokenizer_free(t);
    }
}

/* With byte tokens, characters that were never seen come back; text that spells a byte's name is no byte. */
static void byte_fallback(void **state) {
    (void)state;
    static const char seen[] = "to be or not to be <0x41> \xc3\xa9\n0x4x<\n>1 caf";
    static const char text[] = "caf\xc3\xa9 <0x41> \xf0\x9f\x98\x80 \xed\x95\x9c, to be";
    for (int model = 0; model < 2; model++) {
        jt_train_options o = {.model = model ? JT_TRAIN_UNIGRAM : JT_TRAIN_BPE, .vocab = 700, .chars = !model, .byte_fallback = 1};
        jt_tokenizer *t = NULL;
        jt_tokens k = {0};
        jt_error e = {0};
        int32_t ids[100];
        char *back = NULL;
        size_t n = 0;
        put(seen, sizeof seen - 1);
        jt_json *root = trained(in, &o);
        jt_json_free(root);
        if (jt_tokenizer_open(out, &t, &e)) fail_msg("%s", e.message);
        assert_int_equal(jt_encode(t, text, sizeof text - 1, 0, &k, &e), JT_OK);
        assert_in_range(k.n, 5, 100);
        size_t bytes = 0;
        for (size_t i = 0; i < k.n; i++) ids[i] = k.t[i].id, bytes += ids[i] >= 1 && ids[i] <= 256;
        assert_int_equal(bytes, 8); /* the two characters, and the comma */
        assert_int_equal(jt_decode_text(t, ids, k.n, 1, &back, &n, &e), JT_OK);
        assert_int_equal(n, sizeof text - 1);
        assert_memory_equal(back, text, n);
        jt_text_free(back);
        jt_tokens_free(&k);
        jt_tokenizer_free(t);
    }
}

/* What is written normalises as the text was when it was counted, and gives text back with its own decoder. */
static void normalised(void **state) {
    (void)state;
    static const char json[] = "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Lowercase\"}, {\"type\": \"Replace\", \"pattern\": "
                               "{\"String\": \" \"}, \"content\": \"\xe2\x96\x81\"}]}",
                      cut[] = "{\"type\": \"Split\", \"pattern\": {\"String\": \"\xe2\x96\x81\"}, \"behavior\": \"MergedWithNext\"}";
    const jt_train_options options[] = {
        {.vocab = 400, .normalizer = "nfkc,lowercase"},
        {.vocab = 400, .normalizer = "nfkc,lowercase", .chars = 1},
        {.model = JT_TRAIN_UNIGRAM, .vocab = 40, .normalizer = "nfkc,lowercase"},
        {.vocab = 400, .normalizer = json, .chars = 1, .pre = cut},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        jt_tokenizer *t = NULL;
        jt_tokens k[2] = {{0}};
        jt_error e = {0};
        int32_t ids[64];
        char *back = NULL;
        size_t n = 0;
        put("To BE or nOT to be\nto be\n", 26);
        jt_json_free(trained(in, &options[i]));
        if (jt_tokenizer_open(out, &t, &e)) fail_msg("%s", e.message);
        assert_int_equal(jt_encode(t, "TO Be oR", 8, 0, &k[0], &e), JT_OK);
        assert_int_equal(jt_encode(t, "to be or", 8, 0, &k[1], &e), JT_OK);
        assert_int_equal(k[0].n, k[1].n);
        assert_in_range(k[0].n, 1, 8);
        for (size_t j = 0; j < k[0].n; j++) assert_int_equal(ids[j] = k[0].t[j].id, k[1].t[j].id);
        assert_int_equal(jt_decode_text(t, ids, k[0].n, 1, &back, &n, &e), JT_OK);
        assert_string_equal(back, "to be or");
        jt_text_free(back);
        jt_tokens_free(&k[0]), jt_tokens_free(&k[1]);
        jt_tokenizer_free(t);
    }
}

static double score_of(const jt_json *root, const char *text) {
    jt_tokenizer *t = NULL;
    jt_error e = {0};
    jt_tokens k = {0};
    double sum = 0, x;
    if (jt_tokenizer_open(out, &t, &e)) fail_msg("%s", e.message);
    for (const char *s = text; *s;) {
        const char *line = strchr(s, '\n');
        size_t n = line ? (size_t)(line - s) + 1 : strlen(s);
        assert_int_equal(jt_encode(t, s, n, 0, &k, &e), JT_OK);
        s += n;
    }
    for (size_t i = 0; i < k.n; i++) {
        assert_true(jt_json_double(jt_json_item(jt_json_item(model_of(root, "vocab"), (size_t)k.t[i].id), 1), &x));
        sum += x;
    }
    jt_tokens_free(&k);
    jt_tokenizer_free(t);
    return sum;
}

/* As good a model of text that it has not seen, from nearly the same pieces; and the same file on any number of threads. */
static void unigram(void **state) {
    (void)state;
    jt_json *want = NULL;
    jt_error e = {0};
    int64_t size = 0;
    double score = 0;
    jt_str text[3] = {{0}};
    assert_int_equal(jt_json_read(FIXTURES "/train/unigram.json", &want, &e), JT_OK);
    jt_json_i64(jt_json_member(want, "vocab"), &size);
    jt_json_double(jt_json_member(want, "score"), &score);
    const jt_json *tokens = jt_json_member(want, "tokens");
    for (int k = 0; k < 3; k++) {
        jt_train_options o = {.model = JT_TRAIN_UNIGRAM, .vocab = (size_t)size, .threads = 2 * k + 1};
        jt_json *root = trained(FIXTURES "/train/text.txt", &o);
        const jt_json *vocab = model_of(root, "vocab");
        size_t common = 0, letters = 0, n = jt_json_count(vocab);
        assert_int_equal(n, size);
        assert_int_equal(jt_file_read(out, &text[k], &e), JT_OK);
        for (size_t i = 0; i < jt_json_count(tokens) && !k; i++) {
            size_t len, other_len;
            const char *s = jt_json_string(jt_json_item(tokens, i), &len);
            bool found = false;
            for (size_t j = 0; j < n && !found; j++) {
                const char *other = jt_json_string(jt_json_item(jt_json_item(vocab, j), 0), &other_len);
                found = other_len == len && !memcmp(s, other, len);
            }
            common += found;
            bool letter = (size_t)jt_utf8_next(s, len, NULL) == len;
            letters += letter;
            assert_true(found || !letter);
        }
        if (!k) {
            double got = score_of(root, jt_json_string(jt_json_member(want, "held"), NULL));
            assert_true(common * 100 >= (size_t)size * 95);
            assert_true(letters > 80);
            assert_true(got < 0 && got > score * 1.01 && got < score * 0.99);
        }
        jt_json_free(root);
    }
    for (int k = 1; k < 3; k++) {
        assert_int_equal(text[k].n, text[0].n);
        assert_memory_equal(text[k].s, text[0].s, text[0].n);
    }
    for (int k = 0; k < 3; k++) jt_str_free(&text[k]);
    jt_json_free(want);
}

static void repeats(void **state) {
    (void)state;
    /* abcab|abc|bc|: "ab" and "bc" occur three times and twice with different symbols after them. */
    static const uint32_t s[] = {1, 2, 3, 1, 2, 0, 1, 2, 3, 0, 2, 3, 0};
    jt_repeat *r = NULL;
    size_t n = 0, found = 0;
    jt_error e = {0};
    assert_int_equal(jt_repeats_find(s, sizeof s / sizeof *s, 16, &r, &n, &e), JT_OK);
    for (size_t i = 0; i < n; i++) {
        uint32_t want = 0;
        for (size_t at = 0; at + r[i].n <= sizeof s / sizeof *s; at++) want += !memcmp(s + at, s + r[i].at, r[i].n * sizeof *s);
        assert_int_equal(r[i].count, want);
        for (uint32_t k = 0; k < r[i].n; k++) assert_int_not_equal(s[r[i].at + k], 0);
        found |= r[i].n == 2 && s[r[i].at] == 1 ? 1 : r[i].n == 2 && s[r[i].at] == 2 ? 2 : r[i].n == 3 ? 4 : 8;
    }
    assert_int_equal(found, 1 | 2 | 4);
    jt_free(r);
}

static void records(void **state) {
    (void)state;
    static const char *const merges[] = {"a b", "ab \xc4\x8a"};
    static const char good[] = "{\"text\": \"ab\\nab\\n\", \"n\": 1}\n\n  \n{\"text\": \"\"}\n{\"text\": \"ab\\n\"}";
    jt_train_options o = {.vocab = 5, .seen_bytes = 1, .field = "text", .regex = "[^x]+"};
    jt_error e = {0};
    put(good, sizeof good - 1);
    jt_json *root = trained(in, &o);
    check_merges(root, merges, 2);
    jt_json_free(root);
    put("{\"text\": \"a\"}\n{\"txt\": \"a\"}\n", 28);
    assert_int_equal(train(in, &o, &e), JT_FORMAT);
    assert_non_null(strstr(e.message, "byte 14"));
    put("{\"text\": \"a\"}\nnot json\n", 23);
    assert_int_equal(train(in, &o, &e), JT_FORMAT);
}

static void hostile(void **state) {
    (void)state;
    size_t n = getenv("JETON_TEST_LONG") ? 1000000 : 60000;
    char *s = malloc(n);
    assert_non_null(s);
    jt_error e = {0};
    for (int kind = 0; kind < 4; kind++) {
        uint32_t x = 1;
        for (size_t i = 0; i < n; i++) {
            x = x * 1664525 + 1013904223;
            s[i] = kind == 0 ? 'a' : kind == 1 ? (char)(x >> 24) : kind == 2 ? "\xf0\x9f\xe2\x80"[x >> 30] : '\0';
        }
        put(s, kind == 1 ? n / 3 : n);
        for (int model = 0; model < 3; model++) {
            jt_tokenizer *t = NULL;
            jt_train_options o = {
                .model = model == 2 ? JT_TRAIN_UNIGRAM : JT_TRAIN_BPE, .chars = model == 1, .vocab = model == 2 ? 4000 : 400, .threads = 2};
            if (train(in, &o, &e)) fail_msg("kind %d, model %d: %s", kind, model, e.message);
            if (jt_tokenizer_open(out, &t, &e)) fail_msg("kind %d, model %d: %s", kind, model, e.message);
            jt_tokenizer_free(t);
        }
    }
    put(s, 0);
    jt_json *root = trained(in, &(jt_train_options){.vocab = 1000});
    assert_int_equal(jt_json_count(model_of(root, "vocab")), 256);
    jt_json_free(root);
    jt_json_free(trained(in, &(jt_train_options){.model = JT_TRAIN_UNIGRAM, .vocab = 10}));
    free(s);
}

static int cancel(void *self, const char *what, double fraction) {
    (void)self, (void)what, (void)fraction;
    return 1;
}

static void refused(void **state) {
    (void)state;
    static const char *const empty[] = {""}, *const bad[] = {"\xff"}, *const twice[] = {"<s>", "<s>"};
    const struct {
        jt_train_options o;
        jt_status st;
    } cases[] = {
        {{.model = 7}, JT_INVALID},
        {{.pre = "gpt-2", .regex = "a"}, JT_INVALID},
        {{.chars = 1, .pre = "gpt-2"}, JT_INVALID},
        {{.model = JT_TRAIN_UNIGRAM, .min_frequency = 2}, JT_INVALID},
        {{.seeds = 10}, JT_INVALID},
        {{.unk = "<unk>"}, JT_INVALID},
        {{.model = JT_TRAIN_UNIGRAM, .shrink = 1}, JT_INVALID},
        {{.model = JT_TRAIN_UNIGRAM, .vocab = 8}, JT_INVALID},
        {{.special = empty, .n_special = 1}, JT_INVALID},
        {{.special = bad, .n_special = 1}, JT_INVALID},
        {{.special = twice, .n_special = 2}, JT_INVALID},
        {{.model = JT_TRAIN_UNIGRAM, .max_piece = 257}, JT_INVALID},
        {{.alphabet = "\xff"}, JT_INVALID},
        {{.vocab = (size_t)1 << 30}, JT_LIMIT},
        {{.byte_fallback = 1}, JT_INVALID},
        {{.chars = 1, .seen_bytes = 1}, JT_INVALID},
        {{.model = JT_TRAIN_UNIGRAM, .byte_fallback = 1, .vocab = 200}, JT_INVALID},
        {{.normalizer = "nfkc,upper"}, JT_UNKNOWN},
        {{.normalizer = "nfkc,"}, JT_UNKNOWN},
        {{.normalizer = "{\"type\": \"Upper\"}"}, JT_INVALID},
        {{.normalizer = "{\"type\": "}, JT_INVALID},
        {{.normalizer = "{\"type\": \"ByteLevel\"}"}, JT_INVALID},
        {{.pre = "{\"type\": \"Whitespaces\"}"}, JT_INVALID},
        {{.pre = "{\"type\": \"ByteLevel\"}", .chars = 1}, JT_INVALID},
        {{.pre = "{\"type\": \"ByteLevel\"}", .model = JT_TRAIN_UNIGRAM}, JT_INVALID},
        {{.pre = "gpt-3"}, JT_UNKNOWN},
        {{.regex = "("}, JT_INVALID},
        {{.progress = cancel}, JT_CANCELLED},
        {{.model = JT_TRAIN_UNIGRAM, .progress = cancel}, JT_CANCELLED},
    };
    put("text that is short", 18);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        jt_error e = {0};
        unlink(out);
        assert_int_equal(train(in, &cases[i].o, &e), cases[i].st);
        assert_true(e.message[0] != 0);
        assert_false(jt_file_exists(out));
    }
    jt_error e = {0};
    assert_int_equal(train("/nowhere/at/all", NULL, &e), JT_NOTFOUND);
    const char *file = in;
    assert_int_not_equal(jt_tokenizer_train(&file, 1, "/nowhere/at/all", NULL, NULL, &e), JT_OK);
    assert_non_null(strstr(e.message, "/nowhere/at"));
    assert_int_equal(jt_tokenizer_train(&file, 1, "/dev/full", NULL, NULL, &e), JT_IO);
}

static void without_memory(void **state) {
    (void)state;
    static const char *const special[] = {"<s>"};
    static const char text[] = "to be or not to be, that is the question\nthat is it\n";
    put(text, sizeof text - 1);
    for (int model = 0; model < 6; model++) {
        jt_train_options o = {.model = model == 2 || model == 4 ? JT_TRAIN_UNIGRAM : JT_TRAIN_BPE,
                              .chars = model == 1,
                              .byte_fallback = model == 4,
                              .regex = model == 3 ? "[a-z]+" : NULL,
                              .normalizer = model >= 4 ? "nfkc,lowercase" : NULL,
                              .pre = model == 5 ? "{\"type\": \"Whitespace\"}" : NULL,
                              .vocab = model == 2 ? 40 : 300,
                              .special = special,
                              .n_special = 1,
                              .threads = 1};
        jt_status st = JT_NOMEM;
        for (long i = 0; st; i++) {
            jt_error e = {0};
            assert_in_range(i, 0, 100000);
            unlink(out);
            alloc_fail_at(i);
            st = train(in, &o, &e);
            alloc_fail_at(-1);
            if (!st) break;
            assert_true(e.message[0] != 0);
            assert_false(jt_file_exists(out));
        }
        assert_true(jt_file_exists(out));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand), cmocka_unit_test(same_token_twice), cmocka_unit_test(as_hugging_face),
        cmocka_unit_test(opens),   cmocka_unit_test(byte_fallback),    cmocka_unit_test(normalised),
        cmocka_unit_test(unigram), cmocka_unit_test(repeats),          cmocka_unit_test(records),
        cmocka_unit_test(hostile), cmocka_unit_test(refused),          cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
