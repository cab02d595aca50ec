/* tokenizer.c: making a tokenizer from its spec, and questions about single tokens. */
#include "text/tokenizer.h"

#include <string.h>

#include "core/str.h"
#include "text/sentencepiece.h"
#include "text/textpipe_inside.h"
#include "text/vocab.h"

void jt_tokenizer_spec_init(jt_tokenizer_spec *s) {
    *s = (jt_tokenizer_spec){.bos = -1,
                             .eos = -1,
                             .eot = -1,
                             .eom = -1,
                             .unk = -1,
                             .add_bos = -1,
                             .add_eos = -1,
                             .add_space_prefix = -1,
                             .remove_extra_spaces = -1};
}

static bool view_is(jt_view v, const char *s) { return v.s && v.n == strlen(s) && !memcmp(v.s, s, v.n); }

/* At most 40 bytes of a string from a file, fit for a message. */
typedef struct shown {
    char s[64];
} shown;
static shown show(const char *s, size_t n) {
    shown o;
    size_t k = 0;
    for (size_t i = 0; i < n && i < 40; i++) o.s[k++] = s[i] >= 0x20 && s[i] < 0x7f ? s[i] : '?';
    if (n > 40) memcpy(o.s + k, "...", 3), k += 3;
    o.s[k] = 0;
    return o;
}

static jt_status check_id(const char *key, int32_t id, size_t vocab, jt_error *err) {
    if (id >= -1 && id < (int64_t)vocab) return JT_OK;
    return jt_error_set(err, JT_FORMAT, "tokenizer.ggml.%s: id %d is outside the vocabulary of %zu tokens", key, id, vocab);
}

static jt_status check_spec(const jt_tokenizer_spec *s, jt_error *err) {
    if (!s->pipe && !view_is(s->model, "gpt2") && !view_is(s->model, "bert"))
        return jt_error_set(err, JT_UNSUPPORTED,
                            "tokenizer.ggml.model: \"%s\" is not a tokenizer this build has; known: gpt2, llama, bert, "
                            "t5, rwkv",
                            s->model.s ? show(s->model.s, s->model.n).s : "");
    if (!s->vocab || s->vocab > JT_VOCAB_MOST)
        return jt_error_set(err, s->vocab ? JT_LIMIT : JT_FORMAT, "tokenizer.ggml.tokens: %zu tokens; 1 to %d are possible", s->vocab,
                            JT_VOCAB_MOST);
    if (s->n_merges > JT_VOCAB_MOST)
        return jt_error_set(err, JT_LIMIT, "tokenizer.ggml.merges: %zu merges; at most %d are possible", s->n_merges, JT_VOCAB_MOST);
    size_t all = 0;
    for (size_t i = 0; i < s->vocab; i++) {
        if (s->tokens[i].n > JT_TOKEN_MOST_BYTES || (all += s->tokens[i].n) > INT32_MAX)
            return jt_error_set(err, JT_LIMIT, "tokenizer.ggml.tokens[%zu]: %zu bytes; a token may have %d, all together 2 GiB", i,
                                s->tokens[i].n, JT_TOKEN_MOST_BYTES);
        if (s->types && (s->types[i] < JT_TOKEN_NORMAL || s->types[i] > JT_TOKEN_BYTE))
            return jt_error_set(err, JT_FORMAT, "tokenizer.ggml.token_type[%zu]: type %d is none of 1 to 6", i, s->types[i]);
    }
    const struct {
        const char *key;
        int32_t id;
    } ids[] = {{"bos_token_id", s->bos},
               {"eos_token_id", s->eos},
               {"eot_token_id", s->eot},
               {"eom_token_id", s->eom},
               {"unknown_token_id", s->unk}};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        jt_status st = check_id(ids[i].key, ids[i].id, s->vocab, err);
        if (st != JT_OK) return st;
    }
    if (s->add_bos == 1 && s->bos < 0)
        return jt_error_set(err, JT_FORMAT, "tokenizer.ggml.add_bos_token is set, but there is no bos_token_id");
    if (s->add_eos == 1 && s->eos < 0)
        return jt_error_set(err, JT_FORMAT, "tokenizer.ggml.add_eos_token is set, but there is no eos_token_id");
    return JT_OK;
}

static jt_status find_pretok(jt_tokenizer *t, const jt_tokenizer_spec *s, jt_error *err) {
    if (s->cut) return jt_pretok_new(s->splits, s->n_splits, &t->pretok, err);
    if (s->pre.s) {
        if (!s->plain) t->preset = jt_pretok_find(s->pre.s, s->pre.n);
        return jt_pretok_named(s->pre.s, s->pre.n, s->policy, &t->pretok, err);
    }
    jt_str known = {0};
    jt_pretok_names(&known);
    jt_status st = jt_str_check(&known, err);
    if (st == JT_OK)
        st = jt_error_set(err, JT_UNSUPPORTED,
                          "tokenizer.ggml.pre is missing, so how the text is cut is not known; convert the model again with a "
                          "newer converter, or set the key to one of: %s",
                          jt_str_c(&known));
    jt_str_free(&known);
    return st;
}

bool jt_merge_parts(const jt_tokenizer_spec *s, size_t r, jt_view *left, jt_view *right) {
    jt_view m = s->merges[r];
    *left = m;
    if (s->merges_right) {
        *right = s->merges_right[r];
        return true;
    }
    const char *gap = m.n > 2 ? memchr(m.s + 1, ' ', m.n - 2) : NULL;
    if (gap) *left = (jt_view){m.s, (size_t)(gap - m.s)}, *right = (jt_view){gap + 1, m.n - left->n - 1};
    return gap != NULL;
}

/* Turns "a b" into ids by the tokens' written forms; of equal forms the last id counts. A merge of two tokens
 * into what is no token is left out, since nothing could be written for it; files with such merges exist.
 * *n gets the number of rules, which keep their order. */
static jt_status read_merges(const jt_tokenizer_spec *s, jt_bpe_rule *rules, size_t *n, jt_error *err) {
    jt_words written;
    char both[JT_TOKEN_MOST_BYTES];
    jt_status st = jt_words_init(&written, s->tokens, s->vocab, err);
    *n = 0;
    if (st != JT_OK) return st;
    for (size_t i = 0; i < s->vocab; i++) jt_words_put(&written, (uint32_t)i);
    for (size_t r = 0; r < s->n_merges; r++) {
        jt_view m = s->merges[r];
        jt_view b = {0};
        if (!jt_merge_parts(s, r, &m, &b)) {
            st = jt_error_set(err, JT_FORMAT, "tokenizer.ggml.merges[%zu]: \"%s\" is not two tokens with a space between", r,
                              m.s ? show(m.s, m.n).s : "");
            break;
        }
        jt_bpe_rule rule = {0};
        rule.left = jt_words_get(&written, m.s, m.n);
        rule.right = jt_words_get(&written, b.s, b.n);
        rule.result = JT_NO_TOKEN;
        if (m.n + b.n <= sizeof both) {
            memcpy(both, m.s, m.n);
            memcpy(both + m.n, b.s, b.n);
            rule.result = jt_words_get(&written, both, m.n + b.n);
        }
        if (rule.left == JT_NO_TOKEN || rule.right == JT_NO_TOKEN) {
            st = jt_error_set(err, JT_FORMAT, "tokenizer.ggml.merges[%zu]: \"%s\": the %s part is not a token", r,
                              show(s->merges[r].s, s->merges[r].n).s, rule.left == JT_NO_TOKEN ? "left" : "right");
            break;
        }
        if (rule.result != JT_NO_TOKEN) rules[(*n)++] = rule;
    }
    jt_words_free(&written);
    return st;
}

/* Which ids stand for bytes, and their bytes: normal tokens that are spelt in the alphabet, and whatever a merge names.
 * Others keep their written form. Of tokens with equal bytes only the last takes part. */
static jt_status read_names(jt_tokenizer *t, const jt_tokenizer_spec *s, const jt_bpe_rule *rule, size_t n_rules, uint8_t *part,
                            jt_error *err) {
    jt_words seen = {0};
    char bytes[JT_TOKEN_MOST_BYTES];
    uint8_t *merged = jt_alloc(s->vocab, 1);
    jt_status st = merged ? JT_OK : jt_nomem(err, "the vocabulary", s->vocab, 1);
    for (size_t r = 0; merged && r < n_rules; r++) merged[rule[r].left] = merged[rule[r].right] = merged[rule[r].result] = 1;
    for (size_t i = 0; i < s->vocab && st == JT_OK; i++) {
        jt_view w = s->tokens[i];
        t->types[i] = s->types ? (uint8_t)s->types[i] : JT_TOKEN_NORMAL;
        bool spelt = t->types[i] == JT_TOKEN_NORMAL || t->types[i] == JT_TOKEN_UNUSED || t->types[i] == JT_TOKEN_BYTE;
        size_t n = spelt || merged[i] ? jt_byte_level_read(w.s, w.n, bytes) : SIZE_MAX;
        if (n == SIZE_MAX && merged[i])
            st = jt_error_set(err, JT_UNSUPPORTED,
                              "tokenizer.ggml.tokens[%zu]: \"%s\" is named by a merge, but is not spelt in the byte alphabet of gpt2", i,
                              show(w.s, w.n).s);
        if (n != SIZE_MAX && n) part[i] = t->types[i] == JT_TOKEN_NORMAL ? JT_BPE_WHOLE : JT_BPE_RULES;
        const char *from = n == SIZE_MAX ? w.s : bytes;
        t->names[i].n = n == SIZE_MAX ? w.n : n;
        t->names[i].s = jt_arena_copy(&t->strings, from, t->names[i].n);
        if (st == JT_OK && !t->names[i].s) st = jt_nomem(err, "the vocabulary", t->names[i].n, 1);
    }
    if (st == JT_OK) st = jt_words_init(&seen, t->names, s->vocab, err);
    for (size_t i = s->vocab; st == JT_OK && i-- > 0;) {
        if (!part[i]) continue;
        if (jt_words_get(&seen, t->names[i].s, t->names[i].n) != JT_NO_TOKEN)
            part[i] = JT_BPE_NOT;
        else
            jt_words_put(&seen, (uint32_t)i);
    }
    jt_words_free(&seen);
    jt_free(merged);
    return st;
}

static jt_status load_bpe(jt_tokenizer *t, const jt_tokenizer_spec *s, jt_error *err) {
    uint8_t *part = jt_alloc(s->vocab, 1);
    jt_bpe_rule *rule = jt_alloc(s->n_merges, sizeof *rule);
    jt_status st = JT_OK;
    if (!part || !rule) st = jt_nomem(err, "the merges", s->n_merges, sizeof *rule);
    size_t n_rules = 0;
    if (st == JT_OK) st = read_merges(s, rule, &n_rules, err);
    if (st == JT_OK) st = read_names(t, s, rule, n_rules, part, err);
    if (st == JT_OK) {
        jt_bpe_how how = {.ignore_merges = s->ignore_merges || (t->preset && t->preset->ignore_merges)};
        if (n_rules == s->n_merges) how.rank = s->merge_rank;
        st = jt_bpe_init(&t->bpe, t->names, part, t->vocab, rule, n_rules, &how, err);
        rule = NULL;
    }
    jt_free(part), jt_free(rule);
    return st;
}

/* What a token of WordPiece stands for in a word, and whether it begins one; special tokens stand for nothing. */
static jt_view wordpiece_core(const jt_tokenizer_spec *s, size_t i, bool *begins) {
    static const char space[] = "\xe2\x96\x81"; /* U+2581 */
    const jt_view *more = &s->wordpiece.more;
    jt_view v = s->tokens[i];
    int type = s->types ? s->types[i] : JT_TOKEN_NORMAL;
    size_t n = more->s ? more->n : 3;
    bool marked = v.n >= n && !memcmp(v.s, more->s ? more->s : space, n);
    *begins = more->s ? !marked : marked;
    if (jt_type_special(type) || type == JT_TOKEN_UNUSED) return (jt_view){"", 0};
    return marked ? (jt_view){v.s + n, v.n - n} : v;
}

static jt_status load_wordpiece(jt_tokenizer *t, const jt_tokenizer_spec *s, jt_error *err) {
    jt_wordpiece_options o = s->wordpiece;
    jt_view *core = jt_alloc(s->vocab, sizeof *core);
    uint8_t *begins = jt_alloc(s->vocab, 1);
    jt_status st = core && begins ? JT_OK : jt_nomem(err, "the vocabulary", s->vocab, sizeof *core);
    int32_t unk = s->unk;
    for (size_t i = 0; st == JT_OK && i < s->vocab; i++) {
        bool first;
        jt_view c = wordpiece_core(s, i, &first), w = s->tokens[i];
        size_t space = c.n && first;
        char *name = jt_arena_alloc(&t->strings, (c.n ? c.n + space : w.n) + 1, 1);
        if (!name) {
            st = jt_nomem(err, "the vocabulary", w.n + 2, 1);
            break;
        }
        memcpy(name, " ", space);
        memcpy(name + space, c.n ? c.s : w.s, c.n ? c.n : w.n);
        t->types[i] = s->types ? (uint8_t)s->types[i] : JT_TOKEN_NORMAL;
        t->names[i] = (jt_view){name, c.n ? c.n + space : w.n};
        core[i] = (jt_view){name + space, c.n}, begins[i] = first;
        if (unk < 0 && view_is(w, "[UNK]")) unk = (int32_t)i;
    }
    if (st == JT_OK && unk < 0)
        st = jt_error_set(err, JT_FORMAT, "tokenizer.ggml.unknown_token_id is missing, and no token is called [UNK]");
    if (!o.given) o.clean = o.cjk = o.strip = o.lower = true;
    if (o.most_chars <= 0) o.most_chars = 100;
    if (st == JT_OK && !(t->piece = jt_alloc(1, sizeof *t->piece))) st = jt_nomem(err, "a tokenizer", 1, sizeof *t->piece);
    if (st == JT_OK)
        st = jt_wordpiece_init(t->piece, core, begins, s->vocab, (uint32_t)unk, &o, err);
    else
        jt_free(core);
    jt_free(begins);
    return st;
}

static jt_status find_added(const jt_tokenizer *t, jt_added *a, bool special, jt_error *err) {
    uint32_t *ids = jt_alloc(t->vocab, sizeof *ids);
    size_t n = 0;
    jt_words seen = {0};
    jt_status st = ids ? jt_words_init(&seen, t->names, t->vocab, err) : jt_nomem(err, "the special tokens", t->vocab, sizeof *ids);
    for (size_t i = 0; st == JT_OK && i < t->vocab; i++) {
        const jt_view *v = &t->names[i];
        if (!v->n || !(t->types[i] == JT_TOKEN_USER || (special && jt_type_special(t->types[i])))) continue;
        if (jt_words_get(&seen, v->s, v->n) != JT_NO_TOKEN) continue;
        jt_words_put(&seen, (uint32_t)i);
        ids[n++] = (uint32_t)i;
    }
    if (st == JT_OK) st = jt_added_init(a, t->names, ids, n, t->added_flags, err);
    jt_words_free(&seen);
    jt_free(ids);
    return st;
}

/* Ends of answers: what the file says, and control tokens that models end a turn with whatever their file says. */
static void find_ends(jt_tokenizer *t, const jt_tokenizer_spec *s) {
    static const char *const names[] = {"<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>",
                                        "<|eom_id|>", "<|end|>",       "<end_of_turn>",   "</s>"};
    const int32_t ids[] = {s->eos, s->eot, s->eom};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (ids[i] >= 0) t->ends[ids[i]] = 1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int32_t id = jt_token_find(t, names[i], strlen(names[i]));
        if (id >= 0 && t->types[id] == JT_TOKEN_CONTROL) t->ends[id] = 1;
    }
}

static jt_status find_flags(jt_tokenizer *t, const jt_tokenizer_spec *s, jt_error *err) {
    if (!(t->added_flags = jt_alloc(t->vocab, 1))) return jt_nomem(err, "the added tokens", t->vocab, 1);
    for (size_t i = 0; i < s->n_added; i++) {
        const jt_added_spec *a = &s->added[i];
        t->added_flags[a->id] =
            (uint8_t)((a->single_word ? JT_ADDED_WORD : 0) | (a->lstrip ? JT_ADDED_LEFT : 0) | (a->rstrip ? JT_ADDED_RIGHT : 0));
    }
    return JT_OK;
}

static jt_status copy_template(const jt_template_item *from, size_t n, size_t vocab, jt_template_item **to, size_t *n_to, jt_error *err) {
    if (!n) return JT_OK;
    if (!(*to = jt_alloc(n, sizeof **to))) return jt_nomem(err, "the template of a text", n, sizeof **to);
    for (size_t i = 0; i < n; i++)
        if (from[i].id >= (int64_t)vocab)
            return jt_error_set(err, JT_FORMAT, "post_processor: id %d is outside the vocabulary", from[i].id);
    memcpy(*to, from, n * sizeof **to);
    *n_to = n;
    return JT_OK;
}

static jt_status check_added(const jt_tokenizer_spec *s, jt_error *err) {
    for (size_t i = 0; i < s->n_added; i++)
        if (s->added[i].id < 0 || (size_t)s->added[i].id >= s->vocab || s->added[i].content.n > JT_TOKEN_MOST_BYTES)
            return jt_error_set(err, JT_FORMAT, "added_tokens: number %zu has an id outside the vocabulary, or is too long", i);
    return JT_OK;
}

static jt_status build_tokenizer(jt_tokenizer *t, const jt_tokenizer_spec *s, jt_error *err) {
    jt_status st = check_spec(s, err);
    bool piece = view_is(s->model, "bert");
    if (st == JT_OK) st = check_added(s, err);
    if (st != JT_OK || (!piece && !s->pipe && (st = find_pretok(t, s, err)) != JT_OK)) return st;
    t->vocab = s->vocab;
    t->names = jt_alloc(s->vocab, sizeof *t->names);
    t->types = jt_alloc(s->vocab, 1);
    t->ends = jt_alloc(s->vocab, 1);
    if (!t->names || !t->types || !t->ends) return jt_nomem(err, "the vocabulary", s->vocab, sizeof *t->names);
    if ((st = s->pipe ? jt_textpipe_new(t, s, err) : piece ? load_wordpiece(t, s, err) : load_bpe(t, s, err)) != JT_OK) return st;
    if ((st = find_flags(t, s, err)) != JT_OK) return st;
    t->nfc = s->nfc || (!piece && t->preset && t->preset->nfc && s->policy == JT_PRETOK_HF);
    if ((st = jt_words_init(&t->find, t->names, t->vocab, err)) != JT_OK) return st;
    for (size_t i = 0; i < t->vocab; i++)
        if (t->types[i] == JT_TOKEN_BYTE) jt_words_put(&t->find, (uint32_t)i);
    for (int special = 0; special < 2; special++)
        for (size_t i = 0; i < t->vocab; i++)
            if (jt_type_special(t->types[i]) == special && (t->types[i] != JT_TOKEN_BYTE || !t->pipe)) jt_words_put(&t->find, (uint32_t)i);
    if ((st = jt_chat_find(t, s->chat_template, err)) != JT_OK) return st;
    if (t->pipe && (st = jt_textpipe_added(t, s, err)) != JT_OK) return st;
    if (!t->pipe && (st = find_added(t, &t->user, false, err)) != JT_OK) return st;
    if (!t->pipe && (st = find_added(t, &t->all, true, err)) != JT_OK) return st;
    if ((st = copy_template(s->single, s->n_single, t->vocab, &t->single, &t->n_single, err)) != JT_OK) return st;
    if ((st = copy_template(s->pair, s->n_pair, t->vocab, &t->pair, &t->n_pair, err)) != JT_OK) return st;
    t->bos = s->bos, t->eos = s->eos;
    t->add_bos = s->bos >= 0 && (s->add_bos < 0 ? piece || (t->preset && t->preset->add_bos) : s->add_bos);
    t->add_eos = s->eos >= 0 && (s->add_eos < 0 ? piece : s->add_eos);
    find_ends(t, s);
    return JT_OK;
}

jt_status jt_tokenizer_new(const jt_tokenizer_spec *s, jt_tokenizer **out, jt_error *err) {
    jt_tokenizer_spec full = *s;
    jt_textpipe_spec pipe;
    jt_piece_steps steps;
    double *scores = NULL;
    bool pieces = false;
    jt_status st = s->pipe ? JT_OK : jt_textpipe_gguf(&full, &pipe, &steps, &scores, &pieces, err);
    if (pieces) full.pipe = &pipe;
    jt_tokenizer *t = st == JT_OK ? jt_alloc(1, sizeof *t) : NULL;
    if (st == JT_OK) st = t ? build_tokenizer(t, &full, err) : jt_nomem(err, "a tokenizer", 1, sizeof *t);
    if (st != JT_OK)
        jt_tokenizer_free(t);
    else
        *out = t;
    jt_free(scores);
    return st;
}

void jt_tokenizer_free(jt_tokenizer *t) {
    if (!t) return;
    jt_bpe_free(&t->bpe);
    jt_pretok_free(t->pretok);
    if (t->piece) jt_wordpiece_free(t->piece);
    jt_free(t->piece);
    jt_words_free(&t->find);
    jt_added_free(&t->user), jt_added_free(&t->all);
    jt_textpipe_free(t->pipe);
    jt_free(t->added_flags), jt_free(t->single), jt_free(t->pair);
    jt_free(t->names), jt_free(t->types), jt_free(t->ends);
    jt_chat_free(t->chat);
    jt_arena_free(&t->strings);
    jt_free(t);
}

const char *jt_token_bytes(const jt_tokenizer *t, int32_t id, size_t *n) {
    bool known = id >= 0 && (size_t)id < t->vocab;
    *n = known ? t->names[id].n : 0;
    return known ? t->names[id].s : "";
}

int jt_token_is_special(const jt_tokenizer *t, int32_t id) { return id >= 0 && (size_t)id < t->vocab && jt_type_special(t->types[id]); }
int jt_token_is_end(const jt_tokenizer *t, int32_t id) { return id >= 0 && (size_t)id < t->vocab && t->ends[id]; }
int jt_tokenizer_exact(const jt_tokenizer *t) { return !t->piece && !t->pipe && !t->nfc; }
int jt_tokenizer_vocab(const jt_tokenizer *t) { return (int)t->vocab; }
int32_t jt_tokenizer_bos(const jt_tokenizer *t) { return t->bos; }
int32_t jt_tokenizer_eos(const jt_tokenizer *t) { return t->eos; }

int32_t jt_token_find(const jt_tokenizer *t, const char *s, size_t n) {
    if (n > JT_TOKEN_MOST_BYTES) return -1;
    uint32_t id = jt_words_get(&t->find, s, n);
    return id == JT_NO_TOKEN ? -1 : (int32_t)id;
}
