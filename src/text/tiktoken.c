/* tiktoken.c: see tiktoken.h. Every way to part a token into two others becomes a merge of the token's rank. */
#include "text/tiktoken.h"

#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "text/pretok.h"
#include "text/vocab.h"

typedef struct tiktoken_special {
    const char *text;
    int32_t id; /* -1: after the last token */
} tiktoken_special;

typedef struct tiktoken_encoding {
    const char *name, *pre;
    const char *reserved; /* before the number and "|>", the name of ids from `first` to `last` that have no other */
    int32_t first, last;
    bool by_id; /* the number is the id; else they are counted */
    tiktoken_special special[12];
} tiktoken_encoding;

static const tiktoken_encoding encodings[] = {
    {"gpt2", "gpt-2", .special = {{"<|endoftext|>", 50256}}},
    {"r50k_base", "gpt-2", .special = {{"<|endoftext|>", 50256}}},
    {"p50k_base", "gpt-2", .special = {{"<|endoftext|>", 50256}}},
    {"p50k_edit", "gpt-2",
     .special = {{"<|endoftext|>", 50256}, {"<|fim_prefix|>", 50281}, {"<|fim_middle|>", 50282}, {"<|fim_suffix|>", 50283}}},
    {"cl100k_base", "cl100k",
     .special = {{"<|endoftext|>", 100257},
                 {"<|fim_prefix|>", 100258},
                 {"<|fim_middle|>", 100259},
                 {"<|fim_suffix|>", 100260},
                 {"<|endofprompt|>", 100276}}},
    {"o200k_base", "gpt-4o", .special = {{"<|endoftext|>", 199999}, {"<|endofprompt|>", 200018}}},
    {"o200k_harmony", "gpt-4o", "<|reserved_", 200000, 201087, true,
     .special = {{"<|startoftext|>", 199998},
                 {"<|endoftext|>", 199999},
                 {"<|return|>", 200002},
                 {"<|constrain|>", 200003},
                 {"<|channel|>", 200005},
                 {"<|start|>", 200006},
                 {"<|end|>", 200007},
                 {"<|message|>", 200008},
                 {"<|call|>", 200012},
                 {"<|endofprompt|>", 200018}}},
    {"llama3", "llama-bpe", "<|reserved_special_token_", 128002, 128255,
     .special = {{"<|begin_of_text|>", 128000},
                 {"<|end_of_text|>", 128001},
                 {"<|finetune_right_pad_id|>", 128004},
                 {"<|start_header_id|>", 128006},
                 {"<|end_header_id|>", 128007},
                 {"<|eom_id|>", 128008},
                 {"<|eot_id|>", 128009},
                 {"<|python_tag|>", 128010}}},
    {"qwen", "qwen2", "<|extra_", 151646, 151850, .special = {{"<|endoftext|>", 151643}, {"<|im_start|>", 151644}, {"<|im_end|>", 151645}}},
};

typedef struct tiktoken_file {
    jt_arena arena;
    jt_view *bytes, *written; /* by id; s NULL: none */
    int32_t *type;
    size_t n, cap, written_cap, type_cap; /* ids */
    jt_view *left, *right;
    int32_t *rank;
    size_t merges, merges_cap, right_cap, rank_cap;
} tiktoken_file;

static int base64_value(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Bytes of s[0..n), to out with room for n; -1 for what is no base64. */
static int64_t base64_read(const char *s, size_t n, char *out) {
    size_t k = 0;
    uint32_t bits = 0;
    if (n % 4 == 0 && n && s[n - 1] == '=') n -= n > 1 && s[n - 2] == '=' ? 2 : 1;
    if (n % 4 == 1) return -1;
    for (size_t i = 0; i < n; i++) {
        int v = base64_value(s[i]);
        if (v < 0) return -1;
        bits = bits << 6 | (uint32_t)v;
        if (i % 4) out[k++] = (char)(bits >> (6 - i % 4 * 2));
    }
    return (int64_t)k;
}

/* A line's length without its end, and where its number begins; false if it is not of two words. */
static bool tiktoken_line(const char *s, size_t n, size_t *space, int64_t *rank) {
    const char *gap = memchr(s, ' ', n);
    if (!gap || gap == s) return false;
    *space = (size_t)(gap - s);
    return jt_read_i64(gap + 1, n - *space - 1, rank) && *rank >= 0 && *rank < JT_VOCAB_MOST;
}

bool jt_tiktoken_is(const char *s, size_t n) {
    const char *end = memchr(s, '\n', n);
    char out[64];
    size_t line = end ? (size_t)(end - s) : n, space;
    int64_t rank;
    if (line && s[line - 1] == '\r') line--;
    return line && tiktoken_line(s, line, &space, &rank) && space <= sizeof out && base64_read(s, space, out) > 0;
}

static jt_status tiktoken_room(tiktoken_file *f, size_t n, jt_error *err) {
    jt_status st = JT_OK;
    if (n > f->cap) st = jt_grow((void **)&f->bytes, &f->cap, n, sizeof *f->bytes, err);
    if (!st && n > f->written_cap) st = jt_grow((void **)&f->written, &f->written_cap, n, sizeof *f->written, err);
    if (!st && n > f->type_cap) st = jt_grow((void **)&f->type, &f->type_cap, n, sizeof *f->type, err);
    for (; !st && f->n < n; f->n++) {
        f->bytes[f->n] = (jt_view){0}, f->written[f->n] = (jt_view){"", 0};
        f->type[f->n] = JT_TOKEN_UNUSED;
    }
    return st;
}

static jt_status tiktoken_token(tiktoken_file *f, const char *s, size_t n, size_t id, jt_error *err) {
    jt_status st = tiktoken_room(f, id + 1, err);
    if (st) return st;
    char *copy = jt_arena_copy(&f->arena, s, n), *spelt = jt_arena_alloc(&f->arena, 2 * n + 1, 1);
    if (!copy || !spelt) return jt_nomem(err, "the vocabulary", n, 3);
    f->bytes[id] = (jt_view){copy, n};
    f->written[id] = (jt_view){spelt, jt_byte_level_write(s, n, spelt)};
    f->type[id] = JT_TOKEN_NORMAL;
    return JT_OK;
}

static jt_status tiktoken_lines(tiktoken_file *f, const char *s, size_t n, const char *name, jt_error *err) {
    char bytes[JT_TOKEN_MOST_BYTES / 2];
    size_t number = 0;
    for (size_t at = 0, line; at < n; at += line + 1) {
        const char *p = s + at, *end = memchr(p, '\n', n - at);
        line = end ? (size_t)(end - p) : n - at;
        number++;
        size_t len = line && p[line - 1] == '\r' ? line - 1 : line, space;
        int64_t rank, k = -1;
        if (!len) continue;
        if (tiktoken_line(p, len, &space, &rank) && space <= sizeof bytes) k = base64_read(p, space, bytes);
        if (k <= 0) return jt_error_set(err, JT_FORMAT, "%s: line %zu is not a token in base64 and its rank", name, number);
        if ((size_t)rank < f->n && f->bytes[rank].s)
            return jt_error_set(err, JT_FORMAT, "%s: line %zu: a token of rank %d was there before", name, number, (int)rank);
        jt_status st = tiktoken_token(f, bytes, (size_t)k, (size_t)rank, err);
        if (st) return st;
    }
    return f->n ? JT_OK : jt_error_set(err, JT_FORMAT, "%s: no tokens", name);
}

static jt_status tiktoken_merge(tiktoken_file *f, size_t left, size_t right, size_t whole, jt_error *err) {
    size_t n = f->merges + 1;
    jt_status st = JT_OK;
    if (n > f->merges_cap) st = jt_grow((void **)&f->left, &f->merges_cap, n, sizeof *f->left, err);
    if (!st && n > f->right_cap) st = jt_grow((void **)&f->right, &f->right_cap, n, sizeof *f->right, err);
    if (!st && n > f->rank_cap) st = jt_grow((void **)&f->rank, &f->rank_cap, n, sizeof *f->rank, err);
    if (st) return st;
    f->left[f->merges] = f->written[left], f->right[f->merges] = f->written[right], f->rank[f->merges] = (int32_t)whole;
    f->merges = n;
    return JT_OK;
}

static jt_status tiktoken_merges(tiktoken_file *f, jt_error *err) {
    jt_words all;
    jt_status st = jt_words_init(&all, f->bytes, f->n, err);
    if (st) return st;
    for (size_t i = 0; i < f->n; i++)
        if (f->bytes[i].s) jt_words_put(&all, (uint32_t)i);
    for (size_t i = 0; !st && i < f->n; i++) {
        jt_view v = f->bytes[i];
        for (size_t k = 1; !st && k < v.n; k++) {
            uint32_t left = jt_words_get(&all, v.s, k), right = left == JT_NO_TOKEN ? left : jt_words_get(&all, v.s + k, v.n - k);
            if (right != JT_NO_TOKEN) st = tiktoken_merge(f, left, right, i, err);
        }
    }
    jt_words_free(&all);
    return st;
}

static jt_status tiktoken_add(tiktoken_file *f, const char *text, size_t id, jt_error *err) {
    jt_status st = tiktoken_room(f, id + 1, err);
    if (st || f->bytes[id].s) return st;
    size_t n = strlen(text);
    char *copy = jt_arena_copy(&f->arena, text, n);
    if (!copy) return jt_nomem(err, "the vocabulary", n, 1);
    f->written[id] = (jt_view){copy, n}, f->type[id] = JT_TOKEN_CONTROL;
    return JT_OK;
}

static jt_status tiktoken_specials(tiktoken_file *f, const tiktoken_encoding *e, jt_error *err) {
    size_t named = 0;
    jt_status st = JT_OK;
    for (; !st && named < sizeof e->special / sizeof *e->special && e->special[named].text; named++)
        st = tiktoken_add(f, e->special[named].text, (size_t)e->special[named].id, err);
    for (int32_t id = e->first, count = 0; !st && e->reserved && id <= e->last; id++) {
        jt_str s = {0};
        bool other = false;
        for (size_t i = 0; i < named; i++) other |= e->special[i].id == id;
        if (other) continue;
        jt_str_printf(&s, "%s%d|>", e->reserved, e->by_id ? id : count++);
        if (!(st = jt_str_check(&s, err))) st = tiktoken_add(f, jt_str_c(&s), (size_t)id, err);
        jt_str_free(&s);
    }
    return st;
}

static int32_t tiktoken_find(const tiktoken_file *f, const char *text) {
    size_t n = strlen(text);
    for (size_t i = f->n; i-- > 0;)
        if (f->type[i] == JT_TOKEN_CONTROL && f->written[i].n == n && !memcmp(f->written[i].s, text, n)) return (int32_t)i;
    return -1;
}

/* The encoding that a file's name tells: the part before ".tiktoken". */
static const tiktoken_encoding *tiktoken_by_name(const char *path, size_t n) {
    for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++)
        if (strlen(encodings[i].name) == n && !memcmp(encodings[i].name, path, n)) return &encodings[i];
    return NULL;
}

static jt_status tiktoken_encoding_of(const char *name, const char *encoding, const tiktoken_encoding **out, jt_error *err) {
    const char *slash = strrchr(name, '/'), *file = slash ? slash + 1 : name, *dot = strstr(file, ".tiktoken");
    *out = NULL;
    if (encoding) *out = tiktoken_by_name(encoding, strlen(encoding));
    if (!encoding && dot) *out = tiktoken_by_name(file, (size_t)(dot - file));
    if (encoding || *out) return JT_OK;
    jt_str known = {0};
    for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++) jt_str_printf(&known, "%s%s", i ? ", " : "", encodings[i].name);
    jt_status st = jt_str_check(&known, err);
    if (!st)
        st = jt_error_set(err, JT_UNSUPPORTED,
                          "%s: a file of tiktoken does not say how text is cut; name its encoding: %s, or a value of tokenizer.ggml.pre",
                          name, jt_str_c(&known));
    jt_str_free(&known);
    return st;
}

jt_status jt_tokenizer_tiktoken_text(const char *s, size_t n, const char *name, const char *encoding, jt_tokenizer **out, jt_error *err) {
    tiktoken_file f = {0};
    const tiktoken_encoding *e;
    jt_status st = tiktoken_encoding_of(name, encoding, &e, err);
    if (!st) st = tiktoken_lines(&f, s, n, name, err);
    if (!st) st = tiktoken_merges(&f, err);
    if (!st && e) st = tiktoken_specials(&f, e, err);
    if (!st) {
        jt_tokenizer_spec spec;
        jt_tokenizer_spec_init(&spec);
        const char *pre = e ? e->pre : encoding;
        spec.model = (jt_view){"gpt2", 4}, spec.pre = (jt_view){pre, strlen(pre)}, spec.plain = true;
        spec.tokens = f.written, spec.types = f.type, spec.vocab = f.n;
        spec.merges = f.left, spec.merges_right = f.right, spec.n_merges = f.merges, spec.merge_rank = f.rank;
        spec.ignore_merges = true;
        spec.bos = tiktoken_find(&f, "<|begin_of_text|>"), spec.eos = tiktoken_find(&f, "<|end_of_text|>");
        if (spec.eos < 0) spec.eos = tiktoken_find(&f, "<|endoftext|>");
        st = jt_tokenizer_new(&spec, out, err);
        if (st == JT_UNSUPPORTED || st == JT_FORMAT) st = jt_error_in(err, st, "%s", name);
    }
    jt_arena_free(&f.arena);
    jt_free(f.bytes), jt_free(f.written), jt_free(f.type);
    jt_free(f.left), jt_free(f.right), jt_free(f.rank);
    return st;
}

jt_status jt_tokenizer_tiktoken(const char *path, const char *encoding, jt_tokenizer **out, jt_error *err) {
    jt_str text = {0};
    jt_status st = jt_file_read(path, &text, err);
    if (!st) st = jt_tokenizer_tiktoken_text(jt_str_c(&text), text.n, path, encoding, out, err);
    jt_str_free(&text);
    return st;
}
