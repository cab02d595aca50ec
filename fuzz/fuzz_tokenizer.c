/* Any vocabulary, and any text encoded with it. The input is a list of records that fill a jt_tokenizer_spec, see fill(); what
 * follows the last is the text. Checked: spans, that decoding gives the text back, streaming, and that the search in linear time
 * gives what the rule of BPE gives.
 * Covers: src/text/bpe.c src/text/bpe_load.c src/text/bpe_rule.c src/text/byte_level.c src/text/chat.c
 * Covers: src/text/decode.c src/text/encode.c src/text/pretok.c src/text/tokenizer.c src/text/trie.c src/text/words.c
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/bpe_rule.h"
#include "text/vocab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define TURN "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
#define ANSWER "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
static const char smollm2[] = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
                              "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}" TURN ANSWER;
static const char chatml[] = "{% for message in messages %}" TURN ANSWER;

enum { MOST = 600 };

typedef struct fuzz_vocab {
    jt_tokenizer_spec spec;
    jt_view tokens[MOST], merges[MOST];
    int32_t types[MOST];
    jt_arena memory;
} fuzz_vocab;

static jt_view keep(fuzz_vocab *v, const void *p, size_t n) { return (jt_view){jt_arena_copy(&v->memory, p, n), n}; }

static void add_token(fuzz_vocab *v, jt_view s, int32_t type) {
    if (v->spec.vocab == MOST) return;
    v->types[v->spec.vocab] = type;
    v->tokens[v->spec.vocab++] = s;
}

static jt_view spell(fuzz_vocab *v, const uint8_t *p, size_t n) {
    char s[512];
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned b = p[i];
        int plain = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        k += (size_t)jt_utf8_put(plain ? b : 0x100 + (b <= 0x20 ? b : b <= 0xa0 ? b - 0x7f + 0x21 : 0x43), s + k);
    }
    return keep(v, s, k);
}

/* "a b" of two tokens there are, and, unless `bare`, the token that it makes. */
static void add_merge(fuzz_vocab *v, unsigned a, unsigned b, int bare) {
    if (!v->spec.vocab || v->spec.n_merges == MOST) return;
    jt_view l = v->tokens[a % v->spec.vocab], r = v->tokens[b % v->spec.vocab];
    char s[2048];
    if (l.n + r.n + 1 > sizeof s) return;
    memcpy(s, l.s, l.n);
    s[l.n] = ' ';
    memcpy(s + l.n + 1, r.s, r.n);
    v->merges[v->spec.n_merges++] = keep(v, s, l.n + 1 + r.n);
    memmove(s + l.n, s + l.n + 1, r.n);
    if (!bare) add_token(v, keep(v, s, l.n + r.n), JT_TOKEN_NORMAL);
}

/* Reads records (kind, argument, that many bytes) until kind 0; returns where the text begins. */
static size_t fill(fuzz_vocab *v, const uint8_t *p, size_t n) {
    static const char *const pre[] = {"smollm", "gpt-2", "llama-bpe", "starcoder"};
    jt_tokenizer_spec *s = &v->spec;
    size_t at = 0;
    while (at + 2 <= n) {
        unsigned kind = p[at], arg = p[at + 1];
        at += 2;
        if (kind == 0) break;
        size_t m = arg > n - at ? n - at : arg;
        const uint8_t *q = p + at;
        switch (kind % 16) {
        case 1: add_token(v, spell(v, q, m), JT_TOKEN_NORMAL), at += m; break;
        case 2: add_token(v, keep(v, q, m), (int32_t)(kind / 16)), at += m; break;
        case 3: add_merge(v, arg, at < n ? p[at++] : 0, 0); break;
        case 4: add_merge(v, arg, at < n ? p[at++] : 0, 1); break;
        case 5:
            if (s->n_merges < MOST) v->merges[s->n_merges++] = keep(v, q, m);
            at += m;
            break;
        case 6:
            for (unsigned c = 0; c < 256; c++) add_token(v, spell(v, &(uint8_t){(uint8_t)c}, 1), JT_TOKEN_NORMAL);
            break;
        case 7: s->pre = (jt_view){pre[arg % 4], strlen(pre[arg % 4])}; break;
        case 8: s->pre = keep(v, q, m), at += m; break;
        case 9: s->model = keep(v, q, m), at += m; break;
        case 10: s->chat_template = arg % 2 ? (jt_view){smollm2, sizeof smollm2 - 1} : (jt_view){chatml, sizeof chatml - 1}; break;
        case 11: s->chat_template = keep(v, q, m), at += m; break;
        case 12: s->bos = (int8_t)arg, s->eos = at < n ? (int8_t)p[at++] : -1; break;
        case 13: s->eot = (int8_t)arg, s->eom = at < n ? (int8_t)p[at++] : -1, s->unk = s->eom; break;
        case 14: s->add_bos = (int)(arg % 3) - 1, s->add_eos = (int)(arg / 4 % 3) - 1, s->ignore_merges = arg & 64; break;
        default:
            if (arg > 200)
                v->spec.vocab = arg > 220 ? 0 : v->spec.vocab, v->spec.n_merges = 0;
            else
                add_token(v, (jt_view){jt_arena_alloc(&v->memory, 400, arg), 400 * (size_t)arg}, JT_TOKEN_USER);
        }
    }
    return at;
}

static void check_rule(const jt_tokenizer *t, const char *s, size_t n) {
    jt_bpe_work w = {0};
    jt_tokens got = {0};
    jt_error e = {0};
    jt_pieces pieces = {0};
    int32_t last;
    if (jt_pretok_cut(t->pretok, s, n, &pieces, &e)) abort();
    size_t before = 0;
    for (size_t p = 0; p < pieces.n; p++) {
        char kept[512];
        size_t m = 0, i = 0, at = pieces.p[p].begin, end = pieces.p[p].end;
        if (at != before || end <= at || end > n) abort();
        before = end;
        for (size_t k = at; k < end && m < sizeof kept; k++)
            if (t->bpe.byte[(unsigned char)s[k]] != JT_NO_TOKEN) kept[m++] = s[k];
        if (!m || m == sizeof kept) continue;
        got.n = 0;
        if (jt_bpe_encode(&t->bpe, s + at, end - at, at, &w, &got, &e) || jt_bpe_rule_run(&t->bpe, kept, m, &w, &last, &e)) abort();
        for (uint32_t k = 0; k != UINT32_MAX; k = w.symbol[k].next, i++)
            if (i == got.n || got.t[i].id != (int32_t)w.symbol[k].id) abort();
        if (i != got.n) abort();
    }
    if (before != n) abort();
    jt_pieces_free(&pieces);
    jt_bpe_work_free(&w);
    jt_tokens_free(&got);
}

static void use(const jt_tokenizer *t, const char *s, size_t n, int merges_count) {
    jt_error e = {0};
    for (int flags = 0; flags < 8; flags++) {
        jt_tokens got = {0};
        jt_status st = jt_encode(t, s, n, flags, &got, &e);
        if (st == JT_UNSUPPORTED && flags & JT_EVERY_BYTE && !t->bpe.all_bytes && got.n == 0) {
            jt_tokens_free(&got);
            continue;
        }
        if (st != JT_OK) abort();
        int32_t *ids = jt_alloc(got.n, sizeof *ids);
        size_t covered = 0, at = 0, back_n, k;
        jt_detok d = {0};
        for (size_t i = 0; ids && i < got.n; i++) {
            char out[3 * JT_TOKEN_MOST_BYTES + 16];
            jt_token x = got.t[i];
            ids[i] = x.id;
            if (x.begin < at || x.end < x.begin || x.end > n) abort();
            at = x.end;
            covered += x.end - x.begin;
            if (jt_detok_push(t, &d, x.id, flags & 1, out, sizeof out, &k, &e) != JT_OK) abort();
            for (size_t j = 0, w; j < k; j += w)
                if (!(w = (size_t)jt_utf8_next(out + j, k - j, NULL))) abort();
        }
        char end[10], *back;
        if (jt_detok_end(&d, end) > 9) abort();
        if (jt_decode(t, ids, got.n, 1, &back, &back_n, &e) != JT_OK) abort();
        if (t->bpe.all_bytes && !(flags & JT_ADD_SPECIAL) && (covered != n || back_n != n || (n && memcmp(back, s, n)))) abort();
        jt_text_free(back);
        if (got.n && jt_decode(t, ids, got.n, 0, &back, &back_n, &e) == JT_OK) jt_text_free(back);
        jt_free(ids);
        jt_tokens_free(&got);
    }
    if (merges_count) check_rule(t, s, n);
    char *copy = jt_alloc(n + 1, 1);
    if (copy && n) memcpy(copy, s, n);
    const jt_message m[] = {{"user", copy}, {copy, "x"}, {"system", NULL}};
    for (int i = -1; i <= 3; i++) {
        jt_tokens got = {0};
        jt_status st = jt_chat_encode(t, m, i, i % 2, &got, &e);
        if (st == JT_OK && (!jt_chat_format(t) || i < 0 || i > 2)) abort();
        if (st != JT_OK && !e.message[0]) abort();
        jt_tokens_free(&got);
    }
    jt_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    fuzz_vocab *v = jt_alloc(1, sizeof *v);
    if (!v) return 0;
    jt_tokenizer_spec_init(&v->spec);
    v->spec.model = (jt_view){"gpt2", 4}, v->spec.pre = (jt_view){"smollm", 6};
    v->spec.tokens = v->tokens, v->spec.types = v->types, v->spec.merges = v->merges;
    size_t at = fill(v, data, n);
    jt_tokenizer *t = NULL;
    jt_error e = {0};
    if (jt_tokenizer_new(&v->spec, &t, &e) != JT_OK) {
        if (t || !e.message[0]) abort();
    } else {
        const jt_preset *known = jt_pretok_find(v->spec.pre.s, v->spec.pre.n);
        bool by_rules = !v->spec.ignore_merges && known && !known->ignore_merges;
        jt_arena_free(&v->memory); /* nothing of the spec may be needed from here on */
        for (int32_t id = -2; id < jt_tokenizer_vocab(t) + 2; id++) {
            size_t k;
            const char *s = jt_token_bytes(t, id, &k);
            int32_t found = jt_token_find(t, s, k);
            if (k && (found < 0 || t->names[found].n != k || memcmp(t->names[found].s, s, k))) abort();
            if (jt_token_is_special(t, id) + jt_token_is_end(t, id) > 2) abort();
        }
        if (jt_tokenizer_bos(t) >= jt_tokenizer_vocab(t) || jt_tokenizer_eos(t) >= jt_tokenizer_vocab(t)) abort();
        use(t, (const char *)data + at, n - at, by_rules);
    }
    jt_tokenizer_free(t);
    jt_arena_free(&v->memory);
    jt_free(v);
    return 0;
}
