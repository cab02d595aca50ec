#include "text/tokenizer_json.h"

#include <string.h>

#include "text/json_steps.h"
#include "text/vocab.h"

/* What a tokenizer is made from while it is gathered. */
struct json_text {
    jt_tokenizer_spec spec;
    jt_textpipe_spec pipe;
    jt_json_steps steps;
    const jt_json *root, *model, *config;
    jt_view *token, *left, *right;
    int32_t *type;
    double *score;
    jt_added_spec *added;
    size_t n_added;
    jt_words find;
    jt_cut *split;
    size_t n_split;
};

static jt_status json_id(const jt_json *v, size_t vocab, int64_t *id, const char *of, jt_error *err) {
    if (v && jt_json_i64(v, id) && *id >= 0 && (uint64_t)*id < vocab) return JT_OK;
    return jt_error_set(err, JT_FORMAT, "tokenizer.json: the id of \"%.60s\" is none from 0 to %zu", of, vocab ? vocab - 1 : 0);
}

/* How many ids there are. */
static jt_status json_count(const struct json_text *t, size_t *most, jt_error *err) {
    const jt_json *vocab = jt_json_member(t->model, "vocab"), *added = jt_json_member(t->root, "added_tokens"), *v;
    int64_t id = 0;
    size_t n = 0, tokens = (vocab ? jt_json_count(vocab) : 0) + (added ? jt_json_count(added) : 0);
    void *iter = NULL;
    const char *name;
    jt_status s = JT_OK;
    if (vocab && jt_json_kind_of(vocab) == JT_JSON_ARRAY) n = jt_json_count(vocab);
    while (!s && vocab && jt_json_kind_of(vocab) == JT_JSON_OBJECT && jt_json_each(vocab, &iter, &name, &v))
        if (!(s = json_id(v, JT_VOCAB_MOST, &id, name, err)) && (size_t)id >= n) n = (size_t)id + 1;
    for (size_t i = 0; !s && added && i < jt_json_count(added); i++)
        if (!(s = json_id(jt_json_member(jt_json_item(added, i), "id"), JT_VOCAB_MOST, &id, "added_tokens", err)) && (size_t)id >= n)
            n = (size_t)id + 1;
    if (!s && *most && n > *most)
        return jt_error_set(err, JT_FORMAT, "tokenizer.json: the id of a token is none from 0 to %zu: the model has %zu rows", *most - 1,
                            *most);
    if (!s && !n) return jt_error_set(err, JT_FORMAT, "tokenizer.json: the vocabulary is empty");
    if (!s && !*most && n / 16 > tokens + 4096) /* a small file must not ask for much memory */
        return jt_error_set(err, JT_FORMAT, "tokenizer.json: ids go up to %zu, but there are no more than %zu tokens", n - 1, tokens);
    if (!*most) *most = n;
    return s;
}

/* Unigram's list of [piece, score]. */
static jt_status json_pieces(struct json_text *t, const jt_json *vocab, jt_error *err) {
    if (!(t->score = jt_alloc(t->spec.vocab, sizeof *t->score))) return jt_nomem(err, "the scores", t->spec.vocab, sizeof *t->score);
    for (size_t i = 0; i < jt_json_count(vocab); i++) {
        const jt_json *p = jt_json_item(vocab, i), *name = jt_json_item(p, 0), *score = jt_json_item(p, 1);
        t->token[i].s = name ? jt_json_string(name, &t->token[i].n) : NULL;
        if (!t->token[i].s || !score || !jt_json_double(score, &t->score[i]))
            return jt_error_set(err, JT_FORMAT, "tokenizer.json: vocab[%zu] is no pair of a piece and its score", i);
        t->type[i] = JT_TOKEN_NORMAL;
    }
    t->pipe.scores = t->score, t->pipe.model_vocab = jt_json_count(vocab);
    return JT_OK;
}

static jt_status json_vocab(struct json_text *t, size_t vocab_most, jt_error *err) {
    const jt_json *vocab = jt_json_member(t->model, "vocab"), *added = jt_json_member(t->root, "added_tokens"), *v;
    const char *name;
    void *iter = NULL;
    int64_t id = 0;
    jt_status s = json_count(t, &vocab_most, err);
    size_t n = vocab_most, n_added = added ? jt_json_count(added) : 0;
    if (s) return s;
    t->token = jt_alloc(n, sizeof *t->token), t->type = jt_alloc(n, sizeof *t->type), t->added = jt_alloc(n_added, sizeof *t->added);
    if (!t->token || !t->type || !t->added) return jt_nomem(err, "the vocabulary", n, sizeof *t->token);
    for (size_t i = 0; i < n; i++) t->type[i] = JT_TOKEN_UNUSED, t->token[i] = (jt_view){"", 0};
    t->spec.tokens = t->token, t->spec.types = t->type, t->spec.vocab = n;
    if (vocab && jt_json_kind_of(vocab) == JT_JSON_ARRAY) s = json_pieces(t, vocab, err);
    while (!s && vocab && jt_json_kind_of(vocab) == JT_JSON_OBJECT && jt_json_each(vocab, &iter, &name, &v)) {
        if ((s = json_id(v, n, &id, name, err))) break;
        t->token[id] = (jt_view){name, strlen(name)}, t->type[id] = JT_TOKEN_NORMAL;
    }
    for (size_t i = 0; !s && i < n_added; i++) {
        const jt_json *a = jt_json_item(added, i);
        jt_added_spec k = {.content = jt_json_text(a, "content", NULL)};
        if (!k.content.s) return jt_error_set(err, JT_FORMAT, "tokenizer.json: added_tokens: number %zu has no content", i);
        if ((s = json_id(jt_json_member(a, "id"), n, &id, k.content.s, err))) break;
        k.id = (int32_t)id, k.special = jt_json_switch(a, "special", false);
        k.single_word = jt_json_switch(a, "single_word", false), k.lstrip = jt_json_switch(a, "lstrip", false);
        k.rstrip = jt_json_switch(a, "rstrip", false), k.normalized = jt_json_switch(a, "normalized", !k.special);
        t->added[t->n_added++] = k;
        t->token[id] = k.content, t->type[id] = k.special ? JT_TOKEN_CONTROL : JT_TOKEN_USER;
    }
    t->spec.added = t->added, t->spec.n_added = t->n_added;
    return s;
}

static jt_status json_names(struct json_text *t, jt_error *err) {
    jt_status s = jt_words_init(&t->find, t->token, t->spec.vocab, err);
    for (size_t i = 0; !s && i < t->spec.vocab; i++)
        if (t->token[i].n) jt_words_put(&t->find, (uint32_t)i);
    return s;
}

static int32_t json_find(const void *who, jt_view name) {
    const struct json_text *t = who;
    uint32_t id = name.s && name.n <= JT_TOKEN_MOST_BYTES ? jt_words_get(&t->find, name.s, name.n) : JT_NO_TOKEN;
    return id == JT_NO_TOKEN ? -1 : (int32_t)id;
}

/* The id of a token that tokenizer_config.json names, as text or as an object with its content; -1: it names none. */
static int32_t json_special(const struct json_text *t, const char *key) {
    const jt_json *v = t->config ? jt_json_member(t->config, key) : NULL;
    jt_view name = {0};
    if (v && jt_json_kind_of(v) == JT_JSON_OBJECT)
        name = jt_json_text(v, "content", NULL);
    else if (v)
        name.s = jt_json_string(v, &name.n);
    return json_find(t, name);
}

static jt_status json_merges(struct json_text *t, jt_error *err) {
    const jt_json *merges = jt_json_member(t->model, "merges");
    size_t n = merges ? jt_json_count(merges) : 0;
    t->left = jt_alloc(n, sizeof *t->left), t->right = jt_alloc(n, sizeof *t->right);
    if (!t->left || !t->right) return jt_nomem(err, "the merges", n, sizeof *t->left);
    for (size_t i = 0; i < n; i++) {
        const jt_json *v = jt_json_item(merges, i), *a = jt_json_item(v, 0), *b = jt_json_item(v, 1);
        jt_view l = {0}, r = {0}, both = {0};
        if (a) l.s = jt_json_string(a, &l.n);
        if (b) r.s = jt_json_string(b, &r.n);
        both.s = jt_json_string(v, &both.n);
        const char *gap = both.s && both.n > 2 ? memchr(both.s + 1, ' ', both.n - 2) : NULL;
        if (gap) l = (jt_view){both.s, (size_t)(gap - both.s)}, r = (jt_view){gap + 1, both.n - l.n - 1};
        if (!l.s || !r.s) return jt_error_set(err, JT_FORMAT, "tokenizer.json: merge %zu is no pair of tokens", i);
        t->left[i] = l, t->right[i] = r;
    }
    t->spec.merges = t->left, t->spec.n_merges = n, t->spec.merges_right = t->right;
    return JT_OK;
}

/* ---- which way ---- */

static bool json_all_bytes(const struct json_text *t) {
    for (unsigned b = 0; b < 256; b++) {
        char c[4];
        int n = jt_utf8_put(jt_byte_level_char((unsigned char)b), c);
        if (json_find(t, (jt_view){c, (size_t)n}) < 0) return false;
    }
    return true;
}

static bool ascii(jt_view v) {
    for (size_t i = 0; i < v.n; i++)
        if ((unsigned char)v.s[i] >= 0x80) return false;
    return true;
}

/* Byte-level BPE whose text is composed at most, and cut: it has a way of its own. */
static jt_status json_byte_level(struct json_text *t, bool *yes, jt_error *err) {
    const jt_json_steps *s = &t->steps;
    size_t n = s->n_cut;
    *yes = t->pipe.model == JT_PIECES_BPE && !t->pipe.byte_fallback && !t->pipe.more.n && !t->pipe.end.n && n &&
           s->cut[n - 1].kind == JT_STEP_BYTES && (!s->n_normal || (s->n_normal == 1 && s->normal[0].kind == JT_STEP_NFC)) &&
           (t->spec.unk < 0 || json_all_bytes(t));
    for (size_t i = 0; *yes && i + 1 < n; i++) *yes = s->cut[i].kind == JT_STEP_SPLIT;
    for (size_t i = 0; *yes && s->n_normal && i < t->n_added; i++) *yes = !t->added[i].normalized || ascii(t->added[i].content);
    if (!*yes) return JT_OK;
    if (!(t->split = jt_alloc(n, sizeof *t->split))) return jt_nomem(err, "the steps of a tokenizer", n, sizeof *t->split);
    for (size_t i = 0; i + 1 < n; i++) t->split[t->n_split++] = s->cut[i].split;
    t->spec.model = (jt_view){"gpt2", 4}, t->spec.cut = true, t->spec.splits = t->split, t->spec.n_splits = t->n_split;
    t->spec.nfc = s->n_normal;
    return JT_OK;
}

/* WordPiece as BERT has it. */
static bool json_bert(struct json_text *t) {
    const jt_json_steps *s = &t->steps;
    bool yes = t->pipe.model == JT_PIECES_WORDPIECE && s->n_cut == 1 && s->cut[0].kind == JT_STEP_SPLIT &&
               s->cut[0].split.kind == JT_CUT_BERT && (!s->n_normal || (s->n_normal == 1 && s->normal[0].kind == JT_STEP_BERT)) &&
               t->pipe.more.n && t->pipe.most_chars <= 1 << 20 && t->spec.unk >= 0;
    for (size_t i = 0; i < t->n_added; i++) yes = yes && t->added[i].special && !(t->added[i].normalized && s->n_normal);
    if (!yes) return false;
    t->spec.wordpiece = s->n_normal ? s->normal[0].bert : (jt_wordpiece_options){0};
    t->spec.wordpiece.tidy = s->n_decode && s->decode[0].kind == JT_DECODE_WORDPIECE && s->decode[0].cleanup;
    t->spec.wordpiece.given = true, t->spec.wordpiece.most_chars = (int)t->pipe.most_chars, t->spec.wordpiece.more = t->pipe.more;
    t->spec.model = (jt_view){"bert", 4};
    return true;
}

/* ---- models ---- */

static jt_status json_model(struct json_text *t, jt_error *err) {
    const jt_json *m = t->model;
    jt_textpipe_spec *p = &t->pipe;
    jt_view type = jt_json_text(m, "type", NULL), unk = jt_json_text(m, "unk_token", NULL);
    const jt_json *vocab = jt_json_member(m, "vocab");
    if (!type.s) { /* files before it was written */
        const char *guess = jt_json_member(m, "merges")                        ? "BPE"
                            : vocab && jt_json_kind_of(vocab) == JT_JSON_ARRAY ? "Unigram"
                                                                               : "WordPiece";
        type = (jt_view){guess, strlen(guess)};
    }
    p->fuse_unk = jt_json_switch(m, "fuse_unk", false), p->byte_fallback = jt_json_switch(m, "byte_fallback", false);
    t->spec.unk = json_find(t, unk);
    if (!strcmp(type.s, "BPE")) {
        p->model = JT_PIECES_BPE;
        p->more = jt_json_text(m, "continuing_subword_prefix", ""), p->end = jt_json_text(m, "end_of_word_suffix", "");
        t->spec.ignore_merges = jt_json_switch(m, "ignore_merges", false);
        if (unk.s && t->spec.unk < 0) return jt_error_set(err, JT_FORMAT, "tokenizer.json: the unk_token \"%.60s\" is no token", unk.s);
        return json_merges(t, err);
    }
    if (!strcmp(type.s, "WordPiece")) {
        p->model = JT_PIECES_WORDPIECE, p->more = jt_json_text(m, "continuing_subword_prefix", "##");
        p->most_chars = jt_json_number(m, "max_input_chars_per_word", 100);
        if (p->most_chars < 0) return jt_error_set(err, JT_FORMAT, "tokenizer.json: max_input_chars_per_word is below 0");
        t->spec.unk = json_find(t, jt_json_text(m, "unk_token", "[UNK]"));
    } else if (!strcmp(type.s, "WordLevel")) {
        p->model = JT_PIECES_WORDLEVEL;
        t->spec.unk = json_find(t, jt_json_text(m, "unk_token", "<unk>"));
    } else if (!strcmp(type.s, "Unigram")) {
        int64_t id = jt_json_number(m, "unk_id", -1);
        p->model = JT_PIECES_UNIGRAM, p->in_double = p->fuse_unk = true;
        if (!t->score) return jt_error_set(err, JT_FORMAT, "tokenizer.json: a Unigram's vocab is a list of pieces with scores");
        if (id >= (int64_t)p->model_vocab || id < -1)
            return jt_error_set(err, JT_FORMAT, "tokenizer.json: unk_id is outside the vocabulary");
        t->spec.unk = (int32_t)id;
    } else {
        return jt_error_set(err, JT_UNSUPPORTED,
                            "tokenizer.json: model type \"%.60s\" is not supported; known: BPE, Unigram, WordPiece, WordLevel", type.s);
    }
    return JT_OK;
}

/* Beginning and end of text: as tokenizer_config.json calls them, else what the template puts there. */
static void json_ends(struct json_text *t) {
    const jt_template_item *one = t->steps.single;
    size_t n = t->steps.n_single;
    static const char *const keys[2][2] = {{"bos_token", "cls_token"}, {"eos_token", "sep_token"}};
    for (int end = 0; end < 2; end++) {
        int32_t *to = end ? &t->spec.eos : &t->spec.bos, there = n ? one[end ? n - 1 : 0].id : -1, second = json_special(t, keys[end][1]);
        *to = json_special(t, keys[end][0]);
        if (*to < 0 || (there >= 0 && there == second)) *to = there >= 0 ? there : second >= 0 && *to < 0 ? second : *to;
    }
}

static jt_status json_chat(struct json_text *t) {
    const jt_json *v = t->config ? jt_json_member(t->config, "chat_template") : NULL;
    if (v) t->spec.chat_template.s = jt_json_string(v, &t->spec.chat_template.n);
    return JT_OK;
}

static jt_status json_read(struct json_text *t, size_t vocab, jt_error *err) {
    const jt_json *r = t->root;
    if (!(t->model = jt_json_member(r, "model"))) return jt_error_set(err, JT_FORMAT, "tokenizer.json: there is no model");
    jt_status s = json_vocab(t, vocab, err);
    if (!s) s = json_names(t, err);
    if (!s) s = json_model(t, err);
    if (!s) s = jt_json_normalizer(&t->steps, jt_json_member(r, "normalizer"), err);
    if (!s) s = jt_json_pre_tokenizer(&t->steps, jt_json_member(r, "pre_tokenizer"), err);
    if (!s) s = jt_json_decoder(&t->steps, jt_json_member(r, "decoder"), err);
    if (!s) s = jt_json_post(&t->steps, jt_json_member(r, "post_processor"), json_find, t, err);
    if (!s) s = json_chat(t);
    return s;
}

static jt_status json_make(struct json_text *t, jt_tokenizer **out, jt_error *err) {
    jt_json_steps *s = &t->steps;
    bool bytes = false;
    json_ends(t);
    t->spec.add_bos = t->spec.add_eos = 0;
    t->spec.single = s->single, t->spec.n_single = s->n_single, t->spec.pair = s->pair, t->spec.n_pair = s->n_pair;
    jt_status st = json_byte_level(t, &bytes, err);
    if (st) return st;
    if (!bytes && !json_bert(t)) {
        t->pipe.normal = s->normal, t->pipe.n_normal = s->n_normal, t->pipe.cut = s->cut, t->pipe.n_cut = s->n_cut;
        t->pipe.decode = s->decode, t->pipe.n_decode = s->n_decode;
        t->spec.pipe = &t->pipe;
    }
    return jt_tokenizer_new(&t->spec, out, err);
}

jt_status jt_tokenizer_json(const jt_json *root, const jt_json *config, size_t vocab, jt_tokenizer **out, jt_error *err) {
    struct json_text t = {.root = root, .config = config};
    *out = NULL;
    jt_tokenizer_spec_init(&t.spec);
    jt_status s = vocab > JT_VOCAB_MOST
                      ? jt_error_set(err, JT_LIMIT, "a vocabulary of %zu tokens; at most %d are possible", vocab, JT_VOCAB_MOST)
                      : json_read(&t, vocab, err);
    if (!s) s = json_make(&t, out, err);
    jt_json_steps_free(&t.steps);
    jt_words_free(&t.find);
    jt_free(t.token), jt_free(t.type), jt_free(t.score), jt_free(t.added), jt_free(t.left), jt_free(t.right), jt_free(t.split);
    return s;
}
