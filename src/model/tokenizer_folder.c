/* tokenizer_folder.c: the tokenizer of a Hugging Face folder: tokenizer.json, or tokenizer.model of SentencePiece, or the
 * vocab.txt of BERT; tokenizer_config.json beside them. A folder whose tokenizer.json has a part that is not known has none
 * here. */
#include <string.h>

#include "core/file.h"
#include "model/convert.h"
#include "model/model.h"
#include "text/sentencepiece.h"
#include "text/tokenizer_json.h"

/* What a tokenizer is made from while it is gathered. */
struct folder_text {
    jt_tokenizer_spec spec;
    jt_json *tokenizer, *config;
    jt_str vocab; /* vocab.txt */
    jt_view *token;
    int32_t *type;
};

static jt_status folder_file(const char *folder, const char *file, jt_json **json, jt_str *text, jt_error *err) {
    jt_str name = {0};
    jt_str_printf(&name, "%s/%s", folder, file);
    jt_status s = jt_str_check(&name, err);
    if (!s && jt_file_exists(name.s)) s = json ? jt_json_read(name.s, json, err) : jt_file_read(name.s, text, err);
    jt_str_free(&name);
    return s;
}

static jt_status folder_room(struct folder_text *t, size_t n, jt_error *err) {
    if (!(t->token = jt_alloc(n, sizeof *t->token)) || !(t->type = jt_alloc(n, sizeof *t->type)))
        return jt_nomem(err, "the vocabulary", n, sizeof *t->token);
    for (size_t i = 0; i < n; i++) t->type[i] = JT_TOKEN_UNUSED, t->token[i] = (jt_view){"", 0};
    t->spec.tokens = t->token, t->spec.types = t->type, t->spec.vocab = n;
    return JT_OK;
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

static jt_status folder_pieces(const char *path, const jt_json *config, size_t vocab, jt_tokenizer **out, jt_error *err) {
    jt_str name = {0};
    jt_map map;
    jt_str_printf(&name, "%s/tokenizer.model", path);
    jt_status s = jt_str_check(&name, err);
    bool there = !s && jt_file_exists(name.s);
    if (there && !(s = jt_map_open(name.s, &map, err))) {
        s = jt_tokenizer_sentencepiece((const char *)map.p, map.n, config, vocab, out, err);
        jt_map_close(&map);
    }
    jt_str_free(&name);
    return s;
}

static jt_status folder_words(struct folder_text *t, const char *path, jt_tokenizer **out, jt_error *err) {
    jt_status s = folder_file(path, "vocab.txt", NULL, &t->vocab, err);
    if (s || !t->vocab.s) return s;
    s = folder_lines(t, err);
    return s ? s : jt_tokenizer_new(&t->spec, out, err);
}

jt_status jt_model_load_folder_tokenizer(const jt_config *c, const char *path, jt_tokenizer **out, jt_error *err) {
    struct folder_text t = {0};
    jt_tokenizer_spec_init(&t.spec);
    *out = NULL;
    jt_status s = folder_file(path, "tokenizer.json", &t.tokenizer, NULL, err);
    if (!s) s = folder_file(path, "tokenizer_config.json", &t.config, NULL, err);
    if (!s && t.tokenizer) s = jt_tokenizer_json(t.tokenizer, t.config, (size_t)c->vocab, out, err);
    if (!s && !t.tokenizer) s = folder_pieces(path, t.config, (size_t)c->vocab, out, err);
    if (!s && !t.tokenizer && !*out && c->types) s = folder_words(&t, path, out, err);
    if (s == JT_UNSUPPORTED && t.tokenizer) s = JT_OK;
    jt_json_free(t.tokenizer), jt_json_free(t.config);
    jt_str_free(&t.vocab);
    jt_free(t.token), jt_free(t.type);
    return s;
}
