/* tokenizer_folder.c: the tokenizer of a Hugging Face folder: WordPiece and byte-level BPE from tokenizer.json, WordPiece from
 * vocab.txt and tokenizer_config.json. A folder whose tokenizer is of another kind has none here. */
#include <string.h>

#include "core/file.h"
#include "model/convert.h"
#include "model/model.h"
#include "text/pretok.h"
#include "text/tokenizer.h"

/* What a tokenizer is made from while it is gathered. */
struct folder_text {
    jt_tokenizer_spec spec;
    jt_json *tokenizer, *config;
    jt_str vocab; /* vocab.txt */
    jt_view *token, *merge;
    int32_t *type;
    jt_arena arena;
};

static jt_status folder_file(const char *folder, const char *file, jt_json **json, jt_str *text, jt_error *err) {
    jt_str name = {0};
    jt_str_printf(&name, "%s/%s", folder, file);
    jt_status s = jt_str_check(&name, err);
    if (!s && jt_file_exists(name.s)) s = json ? jt_json_read(name.s, json, err) : jt_file_read(name.s, text, err);
    jt_str_free(&name);
    return s;
}

static const char *folder_type(const jt_json *v) {
    const char *s = v ? jt_json_string(jt_json_member(v, "type"), NULL) : NULL;
    return s ? s : "";
}

static jt_status folder_room(struct folder_text *t, size_t n, jt_error *err) {
    if (!(t->token = jt_alloc(n, sizeof *t->token)) || !(t->type = jt_alloc(n, sizeof *t->type)))
        return jt_nomem(err, "the vocabulary", n, sizeof *t->token);
    for (size_t i = 0; i < n; i++) t->type[i] = JT_TOKEN_UNUSED, t->token[i] = (jt_view){"", 0};
    t->spec.tokens = t->token, t->spec.types = t->type, t->spec.vocab = n;
    return JT_OK;
}

static jt_status folder_id(const jt_json *v, size_t vocab, int64_t *id, jt_error *err) {
    if (v && jt_json_i64(v, id) && *id >= 0 && (uint64_t)*id < vocab) return JT_OK;
    return jt_error_set(err, JT_FORMAT, "tokenizer.json: the id of a token is none from 0 to %zu", vocab - 1);
}

/* The vocabulary and the added tokens by id; ids without a token are unused ones. */
static jt_status folder_vocab(struct folder_text *t, size_t most, jt_error *err) {
    const jt_json *vocab = jt_json_member(jt_json_member(t->tokenizer, "model"), "vocab"), *v;
    const jt_json *added = jt_json_member(t->tokenizer, "added_tokens");
    const char *name;
    void *iter = NULL;
    int64_t id = 0;
    bool special;
    jt_status s = folder_room(t, most, err);
    while (!s && vocab && jt_json_each(vocab, &iter, &name, &v)) {
        if ((s = folder_id(v, most, &id, err))) break;
        t->token[id] = (jt_view){name, strlen(name)}, t->type[id] = JT_TOKEN_NORMAL;
    }
    for (size_t i = 0; !s && added && i < jt_json_count(added); i++) {
        const jt_json *a = jt_json_item(added, i), *content = jt_json_member(a, "content"), *sp = jt_json_member(a, "special");
        jt_view text = {.s = content ? jt_json_string(content, &text.n) : NULL};
        if ((s = folder_id(jt_json_member(a, "id"), most, &id, err))) break;
        if (!text.s) return jt_error_set(err, JT_FORMAT, "tokenizer.json: added_tokens: number %zu has no content", i);
        t->token[id] = text, t->type[id] = sp && jt_json_bool(sp, &special) && special ? JT_TOKEN_CONTROL : JT_TOKEN_USER;
    }
    return s;
}

static int32_t folder_find(const struct folder_text *t, const char *s, size_t n) {
    for (size_t i = 0; s && i < t->spec.vocab; i++)
        if (t->token[i].n == n && !memcmp(t->token[i].s, s, n)) return (int32_t)i;
    return -1;
}

/* The id of a token that tokenizer_config.json, or else `otherwise`, names by its text. */
static int32_t folder_special(const struct folder_text *t, const char *key, const char *otherwise) {
    const jt_json *v = t->config ? jt_json_member(t->config, key) : NULL;
    size_t n = 0;
    if (v && jt_json_kind_of(v) == JT_JSON_OBJECT) v = jt_json_member(v, "content");
    const char *s = v ? jt_json_string(v, &n) : NULL;
    if (!s && otherwise) s = otherwise, n = strlen(otherwise);
    return folder_find(t, s, n);
}

/* A member of the normaliser, which may be null. */
static bool folder_switch(const jt_json *j, const char *key, bool otherwise) {
    bool on = otherwise;
    const jt_json *v = j ? jt_json_member(j, key) : NULL;
    return v && jt_json_bool(v, &on) ? on : otherwise;
}

static jt_status folder_wordpiece(struct folder_text *t, jt_error *err) {
    const jt_json *model = jt_json_member(t->tokenizer, "model"), *normal = jt_json_member(t->tokenizer, "normalizer");
    jt_wordpiece_options *o = &t->spec.wordpiece;
    int64_t most = 100;
    const char *more = NULL, *unk = NULL;
    bool bert = !strcmp(folder_type(normal), "BertNormalizer"),
         cut = !strcmp(folder_type(jt_json_member(t->tokenizer, "pre_tokenizer")), "BertPreTokenizer");
    if (!cut || (normal && jt_json_kind_of(normal) != JT_JSON_NULL && !bert))
        return jt_error_set(err, JT_UNSUPPORTED,
                            "tokenizer.json: WordPiece with normalizer \"%.40s\" and pre_tokenizer \"%.40s\" is not supported",
                            folder_type(normal), folder_type(jt_json_member(t->tokenizer, "pre_tokenizer")));
    jt_status s = jt_config_int_or(model, "max_input_chars_per_word", 1, 1 << 20, 100, &most, err);
    if (!s) s = jt_config_string_or(model, "continuing_subword_prefix", "##", &more, err);
    if (!s) s = jt_config_string_or(model, "unk_token", "[UNK]", &unk, err);
    if (s) return s;
    *o = (jt_wordpiece_options){.given = true, .most_chars = (int)most, .more = {more, strlen(more)}};
    o->clean = bert && folder_switch(normal, "clean_text", true), o->cjk = bert && folder_switch(normal, "handle_chinese_chars", true);
    o->lower = bert && folder_switch(normal, "lowercase", true), o->strip = bert && folder_switch(normal, "strip_accents", o->lower);
    t->spec.model = (jt_view){"bert", 4};
    t->spec.unk = folder_find(t, unk, strlen(unk));
    t->spec.bos = folder_special(t, "cls_token", "[CLS]"), t->spec.eos = folder_special(t, "sep_token", "[SEP]");
    return JT_OK;
}

/* Whether the post-processor puts a token at the beginning or the end of a text. */
static bool folder_adds(const struct folder_text *t, int32_t id, bool last) {
    const jt_json *post = jt_json_member(t->tokenizer, "post_processor"), *all = jt_config_find(post ? post : t->tokenizer, "single");
    const jt_json *list = post ? jt_json_member(post, "processors") : NULL;
    for (size_t i = 0; !all && list && i < jt_json_count(list); i++) all = jt_json_member(jt_json_item(list, i), "single");
    size_t n = all ? jt_json_count(all) : 0, k = 0;
    const jt_json *one = n ? jt_config_find(jt_json_item(all, last ? n - 1 : 0), "SpecialToken.id") : NULL;
    const char *s = one ? jt_json_string(one, &k) : NULL;
    return s && id >= 0 && folder_find(t, s, k) == id;
}

static jt_status folder_bpe(struct folder_text *t, jt_error *err) {
    const jt_json *model = jt_json_member(t->tokenizer, "model"), *merges = jt_json_member(model, "merges");
    const char *pre = jt_convert_pre_name(t->tokenizer), *normal = folder_type(jt_json_member(t->tokenizer, "normalizer"));
    size_t n = merges ? jt_json_count(merges) : 0, k = 0;
    if (!(t->merge = jt_alloc(n, sizeof *t->merge))) return jt_nomem(err, "the merges", n, sizeof *t->merge);
    for (size_t i = 0; i < n; i++) {
        const jt_json *v = jt_json_item(merges, i), *a = jt_json_item(v, 0), *b = jt_json_item(v, 1);
        jt_view l = {.s = a ? jt_json_string(a, &l.n) : NULL}, r = {.s = b ? jt_json_string(b, &r.n) : NULL};
        if ((t->merge[i].s = jt_json_string(v, &k))) {
            t->merge[i].n = k;
            continue;
        }
        if (!l.s || !r.s) return jt_error_set(err, JT_FORMAT, "tokenizer.json: merge %zu is no pair of tokens", i);
        char *both = jt_arena_alloc(&t->arena, l.n + r.n + 1, 1);
        if (!both) return jt_nomem(err, "the merges", l.n + r.n + 1, 1);
        memcpy(both, l.s, l.n), both[l.n] = ' ', memcpy(both + l.n + 1, r.s, r.n);
        t->merge[i] = (jt_view){both, l.n + r.n + 1};
    }
    t->spec.merges = t->merge, t->spec.n_merges = n;
    t->spec.model = (jt_view){"gpt2", 4}, t->spec.pre = (jt_view){pre, strlen(pre)};
    t->spec.nfc = !strcmp(normal, "NFC");
    t->spec.ignore_merges = folder_switch(model, "ignore_merges", false);
    t->spec.bos = folder_special(t, "bos_token", NULL), t->spec.eos = folder_special(t, "eos_token", NULL);
    int32_t cls = folder_special(t, "cls_token", NULL), sep = folder_special(t, "sep_token", NULL);
    if (folder_adds(t, cls, false)) t->spec.bos = cls;
    if (folder_adds(t, sep, true)) t->spec.eos = sep;
    t->spec.add_bos = folder_adds(t, t->spec.bos, false), t->spec.add_eos = folder_adds(t, t->spec.eos, true);
    const jt_json *chat = t->config ? jt_json_member(t->config, "chat_template") : NULL;
    if (chat) t->spec.chat_template.s = jt_json_string(chat, &t->spec.chat_template.n);
    return JT_OK;
}

/* A token a line. */
static jt_status folder_lines(struct folder_text *t, jt_error *err) {
    size_t n = 0, i = 0;
    for (size_t k = 0; k < t->vocab.n; k++) n += t->vocab.s[k] == '\n';
    n += t->vocab.n && t->vocab.s[t->vocab.n - 1] != '\n';
    jt_status s = n ? folder_room(t, n, err) : jt_error_set(err, JT_FORMAT, "vocab.txt is empty");
    if (s) return s;
    for (size_t at = 0; at < t->vocab.n; i++) {
        const char *line = t->vocab.s + at, *end = memchr(line, '\n', t->vocab.n - at);
        size_t len = end ? (size_t)(end - line) : t->vocab.n - at;
        at += len + 1;
        if (len && line[len - 1] == '\r') len--;
        t->token[i] = (jt_view){line, len}, t->type[i] = JT_TOKEN_NORMAL;
    }
    static const char *const special[][2] = {
        {"cls_token", "[CLS]"}, {"sep_token", "[SEP]"}, {"unk_token", "[UNK]"}, {"pad_token", "[PAD]"}, {"mask_token", "[MASK]"}};
    for (size_t k = 0; k < sizeof special / sizeof *special; k++) {
        int32_t id = folder_special(t, special[k][0], special[k][1]);
        if (id >= 0) t->type[id] = JT_TOKEN_CONTROL;
    }
    jt_wordpiece_options *o = &t->spec.wordpiece;
    *o = (jt_wordpiece_options){.given = true, .clean = true, .more = {"##", 2}};
    o->lower = folder_switch(t->config, "do_lower_case", true), o->strip = folder_switch(t->config, "strip_accents", o->lower);
    o->cjk = folder_switch(t->config, "tokenize_chinese_chars", true);
    t->spec.model = (jt_view){"bert", 4};
    t->spec.unk = folder_special(t, "unk_token", "[UNK]");
    t->spec.bos = folder_special(t, "cls_token", "[CLS]"), t->spec.eos = folder_special(t, "sep_token", "[SEP]");
    return JT_OK;
}

static jt_status folder_read(struct folder_text *t, const jt_config *c, const char *path, bool *known, jt_error *err) {
    jt_status s = folder_file(path, "tokenizer.json", &t->tokenizer, NULL, err);
    if (!s) s = folder_file(path, "tokenizer_config.json", &t->config, NULL, err);
    if (s) return s;
    const jt_json *model = t->tokenizer ? jt_json_member(t->tokenizer, "model") : NULL;
    const char *normal = t->tokenizer ? folder_type(jt_json_member(t->tokenizer, "normalizer")) : "";
    bool piece = model && (!strcmp(folder_type(model), "WordPiece") || (!*folder_type(model) && c->types));
    const char *pre = model && !piece ? jt_convert_pre_name(t->tokenizer) : NULL;
    bool bpe = pre && jt_pretok_find(pre, strlen(pre)) && (!*normal || !strcmp(normal, "NFC"));
    *known = piece || bpe;
    if (*known && !(s = folder_vocab(t, (size_t)c->vocab, err))) s = piece ? folder_wordpiece(t, err) : folder_bpe(t, err);
    if (model || s || !c->types) return s;
    s = folder_file(path, "vocab.txt", NULL, &t->vocab, err);
    *known = !s && t->vocab.s;
    return *known ? folder_lines(t, err) : s;
}

jt_status jt_model_load_folder_tokenizer(const jt_config *c, const char *path, jt_tokenizer **out, jt_error *err) {
    struct folder_text t = {0};
    bool known = false;
    jt_tokenizer_spec_init(&t.spec);
    *out = NULL;
    jt_status s = folder_read(&t, c, path, &known, err);
    if (!s && known) s = jt_tokenizer_new(&t.spec, out, err);
    jt_json_free(t.tokenizer), jt_json_free(t.config);
    jt_str_free(&t.vocab);
    jt_free(t.token), jt_free(t.merge), jt_free(t.type);
    jt_arena_free(&t.arena);
    return s;
}
