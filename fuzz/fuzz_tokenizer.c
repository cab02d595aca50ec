/* Any vocabulary of a GGUF file, and any text encoded with it. The input is a list of records that fill a jt_tokenizer_spec, see
 * fill(); what follows the last is the text. Checked: spans, that decoding gives the text back, that a text in pieces gives the same
 * tokens, and that the search in linear time gives what the rule of BPE gives.
 * Covers: src/text/bpe.c src/text/bpe_load.c src/text/bpe_rule.c src/text/chars.c src/text/chat.c
 * Covers: src/text/decode.c src/text/encode.c src/text/pretok_gpt.c src/text/stream.c
 * Covers: src/text/tokenizer.c src/text/trie.c src/text/wordpiece.c src/text/words.c
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
    float scores[MOST];
    jt_arena memory;
} fuzz_vocab;

static jt_view keep(fuzz_vocab *v, const void *p, size_t n) { return (jt_view){jt_arena_copy(&v->memory, p, n), n}; }

static void add_token(fuzz_vocab *v, jt_view s, int32_t type) {
    if (v->spec.vocab == MOST) return;
    v->types[v->spec.vocab] = type;
    v->scores[v->spec.vocab] = (float)(s.n % 4) - (float)(v->spec.vocab / 3);
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
    static const char *const pre[] = {"smollm",       "gpt-2",          "llama-bpe", "starcoder", "qwen2",       "qwen35",   "gpt-4o",
                                      "tekken",       "kimi-k2",        "bloom",     "viking",    "deepseek-v3", "falcon",   "default",
                                      "deepseek-llm", "deepseek-coder", "youtu",     "chameleon", "tiny_aya",    "superbpe", "afmoe",
                                      "exaone-moe",   "minicpm5",       "spark2_5",  "jais-2",    "seed-coder",  "ufakzeka", "laguna"};
    static const char *const model[] = {"gpt2", "llama", "t5", "rwkv", "bert"};
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
        case 7: s->pre = (jt_view){pre[arg % (sizeof pre / sizeof *pre)], strlen(pre[arg % (sizeof pre / sizeof *pre)])}; break;
        case 8: s->pre = keep(v, q, m), at += m; break;
        case 9:
            s->model = m == 1 ? (jt_view){model[*q % 5], strlen(model[*q % 5])} : keep(v, q, m);
            s->scores = kind & 16 ? NULL : v->scores;
            at += m;
            break;
        case 10: s->chat_template = arg % 2 ? (jt_view){smollm2, sizeof smollm2 - 1} : (jt_view){chatml, sizeof chatml - 1}; break;
        case 11: s->chat_template = keep(v, q, m), at += m; break;
        case 12: s->bos = (int8_t)arg, s->eos = at < n ? (int8_t)p[at++] : -1; break;
        case 13: s->eot = (int8_t)arg, s->eom = at < n ? (int8_t)p[at++] : -1, s->unk = s->eom; break;
        case 14:
            s->add_bos = (int)(arg % 3) - 1, s->add_eos = (int)(arg / 4 % 3) - 1, s->ignore_merges = arg & 64;
            s->add_space_prefix = (int)(arg / 8 % 3) - 1, s->remove_extra_spaces = (int)(arg / 2 % 3) - 1, s->nfc = kind & 128;
            s->policy = kind & 64 ? JT_PRETOK_LLAMACPP : JT_PRETOK_HF;
            break;
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

/* The tokens of a text that comes `step` bytes at a time are those of the whole. */
static void check_stream(const jt_tokenizer *t, const char *s, size_t n, int flags, size_t step, const jt_tokens *whole) {
    jt_encoder *x;
    jt_tokens got = {0};
    jt_error e = {0};
    if (jt_encoder_new(t, flags, &x, &e)) abort();
    jt_status st = JT_OK;
    for (size_t i = 0; !st && i < n; i += step) st = jt_encoder_push(x, s + i, n - i < step ? n - i : step, &got, &e);
    if (!st) st = jt_encoder_end(x, &got, &e);
    if (st ? whole != NULL : !whole || got.n != whole->n) abort();
    for (size_t i = 0; !st && i < got.n; i++)
        if (got.t[i].id != whole->t[i].id || got.t[i].begin != whole->t[i].begin || got.t[i].end != whole->t[i].end) abort();
    jt_encoder_free(x);
    jt_tokens_free(&got);
}

static void check_pair(const jt_tokenizer *t, const char *s, size_t n) {
    jt_tokens got = {0};
    size_t second;
    jt_error e = {0};
    jt_status st = jt_encode_pair(t, s, n / 2, s + n / 2, n - n / 2, 0, &got, &second, &e);
    if (st ? got.n || !e.message[0] : second > got.n) abort();
    jt_tokens_free(&got);
}

/* Text of tokens is UTF-8. */
static void check_text(const jt_tokenizer *t, const int32_t *ids, size_t n, int special) {
    char *text;
    size_t k;
    jt_error e = {0};
    if (jt_decode_text(t, ids, n, special, &text, &k, &e)) return;
    for (size_t i = 0, w; i < k; i += w)
        if (!(w = (size_t)jt_utf8_next(text + i, k - i, NULL))) abort();
    jt_text_free(text);
}

static void use(const jt_tokenizer *t, const char *s, size_t n, int merges_count) {
    jt_error e = {0};
    for (int flags = 0; flags < 8; flags++) {
        jt_tokens got = {0};
        jt_status st = jt_encode(t, s, n, flags, &got, &e);
        check_stream(t, s, n, flags, 1 + (size_t)flags * 3 + n / 64, st ? NULL : &got);
        if (st == JT_UNSUPPORTED && got.n == 0 && (t->pipe || (flags & JT_EVERY_BYTE && !t->bpe.all_bytes))) {
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
            if ((x.begin < at && jt_tokenizer_exact(t)) || x.end < x.begin || x.end > n) abort();
            at = x.end;
            covered += x.end - x.begin;
            jt_detok narrow = d;
            if (jt_detok_push(t, &narrow, x.id, flags & 1, out, 0, &k, &e) && !e.message[0]) abort();
            if (jt_detok_push(t, &d, x.id, flags & 1, out, sizeof out, &k, &e) != JT_OK) abort();
            for (size_t j = 0, w; j < k; j += w)
                if (!(w = (size_t)jt_utf8_next(out + j, k - j, NULL))) abort();
        }
        char end[10], *back;
        if (jt_detok_end(&d, end) > 9) abort();
        if (jt_decode(t, ids, got.n, 1, &back, &back_n, &e) != JT_OK) abort();
        if (jt_tokenizer_exact(t) && t->bpe.all_bytes && !(flags & JT_ADD_SPECIAL) &&
            (covered != n || back_n != n || (n && memcmp(back, s, n))))
            abort();
        jt_text_free(back);
        if (got.n && jt_decode(t, ids, got.n, 0, &back, &back_n, &e) == JT_OK) jt_text_free(back);
        if (ids) check_text(t, ids, got.n, flags & 1);
        jt_free(ids);
        jt_tokens_free(&got);
    }
    check_pair(t, s, n);
    char *none;
    size_t none_n;
    if (jt_decode(t, &(int32_t){(int32_t)t->vocab}, 1, 0, &none, &none_n, &e) != JT_INVALID) abort();
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
    jt_tokens got = {0};
    if (jt_chat_encode_json(t, s, n, &got, &e) && (got.n || !e.message[0])) abort();
    jt_tokens_free(&got);
    size_t k;
    if (!jt_chat_template(t, &k) != !jt_chat_format(t)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    fuzz_vocab *v = jt_alloc(1, sizeof *v);
    if (!v) return 0;
    jt_tokenizer_spec_init(&v->spec);
    v->spec.model = (jt_view){"gpt2", 4}, v->spec.pre = (jt_view){"smollm", 6};
    v->spec.tokens = v->tokens, v->spec.types = v->types, v->spec.merges = v->merges, v->spec.scores = v->scores;
    size_t at = fill(v, data, n);
    jt_tokenizer *t = NULL;
    jt_error e = {0};
    if (jt_tokenizer_new(&v->spec, &t, &e) != JT_OK) {
        if (t || !e.message[0]) abort();
    } else {
        const jt_preset *known = jt_pretok_find(v->spec.pre.s, v->spec.pre.n);
        bool by_rules = !t->pipe && !t->piece && !v->spec.ignore_merges && known && !known->ignore_merges;
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
