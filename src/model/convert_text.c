/* convert_text.c: the tokenizer on its way between a folder (tokenizer.json, tokenizer_config.json, chat_template.jinja)
 * and the keys of a GGUF file.
 *
 * Byte-level BPE is written out on both sides. Of other tokenizers tokenizer.json goes whole into the key
 * tokenizer.huggingface.json and comes back from there, and keys that tokenizer.json cannot say are kept in the folder
 * in a GGUF file without tensors, tokenizer.gguf. */
#include <string.h>

#include "core/file.h"
#include "model/convert.h"

/* Pre-tokenisers: the name in GGUF, and what tokenizer.json does one after another: D digits one by one, B byte level with
 * its own pattern, b without, S:... a pattern. Of several names of one thing the first is written. */
#define TEXT_LLAMA3                                                                                                                        \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define TEXT_QWEN2                                                                                                                         \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
struct text_pre {
    const char *name, *does;
    bool ignore_merges;
};
static const struct text_pre text_pre[] = {
    {"gpt-2", "B", false},
    {"phi-2", "B", false},
    {"smollm", "DB", false},
    {"starcoder", "DB", false},
    {"refact", "DB", false},
    {"modern-bert", "NB", false}, /* composed first */
    {"llama-bpe", "S:" TEXT_LLAMA3 "b", true},
    {"llama3", "S:" TEXT_LLAMA3 "b", true},
    {"llama-v3", "S:" TEXT_LLAMA3 "b", true},
    {"qwen2", "S:" TEXT_QWEN2 "b", false},
};

/* ---- from a folder ---- */

struct text_in {
    jt_json *tokenizer, *config, *generation; /* NULL: no such file */
    jt_str text, template;                    /* tokenizer.json; chat_template.jinja */
    const jt_json *added;
};

static jt_status text_read(const char *folder, const char *file, jt_str *text, jt_json **json, jt_error *err) {
    jt_str name = {0};
    jt_str_printf(&name, "%s/%s", folder, file);
    jt_status s = jt_str_check(&name, err);
    if (!s && jt_file_exists(name.s)) {
        jt_str own = {0};
        jt_str *to = text ? text : &own;
        s = jt_file_read(name.s, to, err);
        if (!s && json && (s = jt_json_parse(jt_str_c(to), to->n, json, err))) s = jt_error_in(err, s, "%s", name.s);
        jt_str_free(&own);
    }
    jt_str_free(&name);
    return s;
}

static const char *text_type(const jt_json *v) {
    const jt_json *t = v ? jt_json_member(v, "type") : NULL;
    const char *s = t ? jt_json_string(t, NULL) : NULL;
    return s ? s : "";
}

/* Appends what a pre-tokeniser does, '?' for what has no letter. */
static void text_does(const jt_json *v, jt_str *out) {
    const char *type = text_type(v);
    bool yes = true;
    if (!strcmp(type, "Sequence")) {
        const jt_json *all = jt_json_member(v, "pretokenizers");
        for (size_t i = 0; all && i < jt_json_count(all); i++)
            if (strcmp(text_type(jt_json_item(all, i)), "Sequence") != 0) text_does(jt_json_item(all, i), out);
    } else if (!strcmp(type, "Digits")) {
        const jt_json *single = jt_json_member(v, "individual_digits");
        jt_str_putc(out, single && jt_json_bool(single, &yes) && yes ? 'D' : '?');
    } else if (!strcmp(type, "ByteLevel")) {
        const jt_json *regex = jt_json_member(v, "use_regex"), *space = jt_json_member(v, "add_prefix_space");
        bool prefix = false;
        if (regex) jt_json_bool(regex, &yes);
        if (space) jt_json_bool(space, &prefix);
        jt_str_putc(out, prefix ? '?' : yes ? 'B' : 'b');
    } else if (!strcmp(type, "Split")) {
        const jt_json *pattern = jt_json_member(v, "pattern"), *regex = pattern ? jt_json_member(pattern, "Regex") : NULL;
        const char *s = regex ? jt_json_string(regex, NULL) : NULL;
        jt_str_printf(out, "S:%s", s ? s : "?");
    } else {
        jt_str_putc(out, '?');
    }
}

static bool text_byte_level(const jt_json *tokenizer) {
    const jt_json *model = jt_json_member(tokenizer, "model"), *fallback = model ? jt_json_member(model, "byte_fallback") : NULL;
    bool bytes = false;
    if (fallback) jt_json_bool(fallback, &bytes);
    return model && (!strcmp(text_type(model), "BPE") || jt_json_member(model, "merges")) && !bytes &&
           !strcmp(text_type(jt_json_member(tokenizer, "decoder")), "ByteLevel");
}

const char *jt_convert_pre_name(const jt_json *tokenizer) {
    jt_str does = {0};
    const char *name = NULL;
    if (!text_byte_level(tokenizer)) return NULL;
    if (!strcmp(text_type(jt_json_member(tokenizer, "normalizer")), "NFC")) jt_str_putc(&does, 'N');
    text_does(jt_json_member(tokenizer, "pre_tokenizer"), &does);
    if (does.s && does.s[0] == 'N' && strcmp(does.s, "NB") != 0) memmove(does.s, does.s + 1, does.n);
    for (size_t i = 0; !name && i < sizeof text_pre / sizeof *text_pre; i++)
        if (!strcmp(jt_str_c(&does), text_pre[i].does)) name = text_pre[i].name;
    jt_str_free(&does);
    return name;
}

struct text_token {
    const char *s;
    size_t n;
    int type;
};

/* The vocabulary by id; ids without a token get a name of their own. */
static jt_status text_vocab(const jt_conversion *c, const struct text_in *in, struct text_token **out, size_t *n, jt_error *err) {
    const jt_json *vocab = jt_json_member(jt_json_member(in->tokenizer, "model"), "vocab"), *v;
    const char *name;
    void *iter = NULL;
    int64_t id;
    bool special;
    *n = (size_t)c->config.vocab;
    struct text_token *t = *out = jt_alloc(*n, sizeof *t);
    if (!t) return jt_nomem(err, "vocabulary", *n, sizeof *t);
    while (vocab && jt_json_each(vocab, &iter, &name, &v)) {
        if (!jt_json_i64(v, &id) || id < 0 || (uint64_t)id >= *n)
            return jt_error_set(err, JT_FORMAT, "tokenizer.json: vocab: the id of a token is none from 0 to %zu", *n - 1);
        t[id] = (struct text_token){name, strlen(name), 1};
    }
    for (size_t i = 0; in->added && i < jt_json_count(in->added); i++) {
        const jt_json *a = jt_json_item(in->added, i), *content = jt_json_member(a, "content"), *sp = jt_json_member(a, "special");
        struct text_token k = {.type = 4};
        if (!jt_json_member(a, "id") || !jt_json_i64(jt_json_member(a, "id"), &id) || id < 0 || (uint64_t)id >= *n || !content ||
            !(k.s = jt_json_string(content, &k.n)))
            return jt_error_set(err, JT_FORMAT, "tokenizer.json: added_tokens: number %zu is no token with an id from 0 to %zu", i, *n - 1);
        if (sp && jt_json_bool(sp, &special) && special) k.type = 3;
        t[id] = k;
    }
    return JT_OK;
}

static void text_merges(const jt_json *merges, jt_gguf_meta *m) {
    size_t n = merges ? jt_json_count(merges) : 0;
    jt_gguf_meta_array(m, "tokenizer.ggml.merges", JT_GGUF_STRING, n);
    for (size_t i = 0; i < n; i++) {
        const jt_json *v = jt_json_item(merges, i);
        jt_str pair = {0};
        size_t len = 0, k = 0;
        const char *s = jt_json_string(v, &len), *second;
        if (s) {
            jt_gguf_meta_item_text(m, s, len);
            continue;
        }
        const jt_json *a = jt_json_item(v, 0), *b = jt_json_item(v, 1);
        s = a ? jt_json_string(a, &len) : NULL, second = b ? jt_json_string(b, &k) : NULL;
        jt_str_add(&pair, s ? s : "", s ? len : 0);
        jt_str_putc(&pair, ' ');
        jt_str_add(&pair, second ? second : "", second ? k : 0);
        jt_gguf_meta_item_text(m, jt_str_c(&pair), pair.n);
        if (pair.failed) m->bytes.failed = true;
        jt_str_free(&pair);
    }
}

/* The id of a special token that tokenizer_config.json names by its text; else the id that config.json gives. */
static bool text_special(const jt_conversion *c, const struct text_in *in, const struct text_token *t, size_t n, const char *key,
                         int64_t *id) {
    static const char *const usual[][2] = {
        {"unk_token", "[UNK]"}, {"pad_token", "[PAD]"}, {"cls_token", "[CLS]"}, {"sep_token", "[SEP]"}, {"mask_token", "[MASK]"}};
    char id_key[40];
    const jt_json *v = in->config ? jt_json_member(in->config, key) : NULL;
    size_t len;
    if (v && jt_json_kind_of(v) == JT_JSON_OBJECT) v = jt_json_member(v, "content");
    const char *s = v ? jt_json_string(v, &len) : NULL;
    for (size_t k = 0; !s && c->config.types && k < sizeof usual / sizeof *usual; k++)
        if (!strcmp(usual[k][0], key)) s = usual[k][1], len = strlen(s);
    for (size_t i = 0; s && t && i < n; i++)
        if (t[i].s && t[i].n == len && !memcmp(t[i].s, s, len)) {
            *id = (int64_t)i;
            return true;
        }
    snprintf(id_key, sizeof id_key, "%s_id", key);
    for (int k = 0; k < 2; k++) {
        const jt_json *j = k ? in->generation : c->json;
        v = j ? jt_json_member(j, id_key) : NULL;
        if (v && jt_json_kind_of(v) == JT_JSON_ARRAY) v = jt_json_item(v, 0);
        if (v && jt_json_i64(v, id) && *id >= 0 && *id < c->config.vocab) return true;
    }
    return false;
}

static void text_specials(const jt_conversion *c, const struct text_in *in, const struct text_token *t, size_t n, jt_gguf_meta *m) {
    static const char *const id[][2] = {
        {"bos_token", "tokenizer.ggml.bos_token_id"},     {"eos_token", "tokenizer.ggml.eos_token_id"},
        {"unk_token", "tokenizer.ggml.unknown_token_id"}, {"pad_token", "tokenizer.ggml.padding_token_id"},
        {"cls_token", "tokenizer.ggml.cls_token_id"},     {"sep_token", "tokenizer.ggml.seperator_token_id"},
        {"mask_token", "tokenizer.ggml.mask_token_id"}};
    static const char *const flag[][2] = {{"add_bos_token", "tokenizer.ggml.add_bos_token"},
                                          {"add_eos_token", "tokenizer.ggml.add_eos_token"}};
    int64_t v;
    bool yes;
    for (int i = 0; i < (c->config.encoder ? 7 : 4); i++)
        if (text_special(c, in, t, n, id[i][0], &v)) jt_gguf_meta_u32(m, id[i][1], (uint64_t)v);
    for (int i = 0; i < 2; i++) {
        const jt_json *j = in->config ? jt_json_member(in->config, flag[i][0]) : NULL;
        if (j && jt_json_bool(j, &yes)) jt_gguf_meta_bool(m, flag[i][1], yes);
    }
}

static void text_template(const struct text_in *in, jt_gguf_meta *m) {
    const jt_json *v = in->config ? jt_json_member(in->config, "chat_template") : NULL;
    size_t n = in->template.n;
    const char *s = n ? jt_str_c(&in->template) : v ? jt_json_string(v, &n) : NULL;
    for (size_t i = 0; !s && v && i < jt_json_count(v); i++) {
        const jt_json *one = jt_json_item(v, i), *name = jt_json_member(one, "name"), *text = jt_json_member(one, "template");
        const char *called = name ? jt_json_string(name, NULL) : NULL;
        if (called && !strcmp(called, "default") && text) s = jt_json_string(text, &n);
    }
    if (s) jt_gguf_meta_text(m, "tokenizer.chat_template", s, n);
}

/* Encoders read a text between two tokens, whatever tokenizer_config.json says of others. */
static void text_framed(const struct text_in *in, jt_gguf_meta *m) {
    static const char *const key[] = {"add_bos_token", "add_eos_token"};
    char name[48];
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "tokenizer.ggml.%s", key[i]);
        if (!in->config || !jt_json_member(in->config, key[i])) jt_gguf_meta_bool(m, name, true);
    }
}

/* A member of the normaliser that may be null or absent. */
static bool text_switch(const jt_json *j, const char *key, bool otherwise) {
    bool on = otherwise;
    const jt_json *v = j ? jt_json_member(j, key) : NULL;
    return v && jt_json_bool(v, &on) ? on : otherwise;
}

/* Tokens that begin a word get U+2581, those that go on lose their signs. */
static void text_piece(const struct text_token *t, jt_gguf_meta *m) {
    jt_str o = {0};
    if (t->type == 3) {
        jt_gguf_meta_item_text(m, t->s, t->n);
        return;
    }
    bool goes_on = t->n > 2 && !memcmp(t->s, "##", 2);
    if (!goes_on) jt_str_puts(&o, "\xe2\x96\x81");
    jt_str_add(&o, t->s + (goes_on ? 2 : 0), t->n - (goes_on ? 2 : 0));
    jt_gguf_meta_item_text(m, jt_str_c(&o), o.n);
    if (o.failed) m->bytes.failed = true;
    jt_str_free(&o);
}

static jt_status text_wordpiece(const jt_conversion *c, const struct text_in *in, jt_gguf_meta *m, jt_error *err) {
    const jt_json *model = jt_json_member(in->tokenizer, "model"), *normal = jt_json_member(in->tokenizer, "normalizer");
    struct text_token *t = NULL;
    size_t n;
    char hole[32];
    int64_t most;
    const char *more;
    jt_status s = jt_config_int_or(model, "max_input_chars_per_word", 1, INT32_MAX, 100, &most, err);
    if (!s) s = jt_config_string_or(model, "continuing_subword_prefix", "##", &more, err);
    if (s) return s;
    bool lower = text_switch(normal, "lowercase", true), strip = text_switch(normal, "strip_accents", lower);
    if (strcmp(text_type(normal), "BertNormalizer") != 0 || !text_switch(normal, "clean_text", true) ||
        !text_switch(normal, "handle_chinese_chars", true) || most != 100 || strcmp(more, "##") != 0)
        return jt_error_set(err, JT_UNSUPPORTED, "tokenizer.json: this WordPiece is not cut as BERT's is, which GGUF has no place for");
    if ((s = text_vocab(c, in, &t, &n, err))) {
        jt_free(t);
        return s;
    }
    jt_gguf_meta_text(m, "tokenizer.ggml.model", "bert", 4);
    jt_gguf_meta_u32(m, "tokenizer.ggml.token_type_count", (uint64_t)(c->config.types ? c->config.types : 1));
    jt_gguf_meta_array(m, "tokenizer.ggml.tokens", JT_GGUF_STRING, n);
    for (size_t i = 0; i < n; i++) {
        int len = snprintf(hole, sizeof hole, "[PAD%zu]", i);
        struct text_token empty = {hole, (size_t)len, 3};
        text_piece(t[i].s ? &t[i] : &empty, m);
    }
    jt_gguf_meta_array(m, "tokenizer.ggml.token_type", JT_GGUF_I32, n);
    for (size_t i = 0; i < n; i++) jt_gguf_meta_item(m, JT_GGUF_I32, (uint64_t)(t[i].s ? t[i].type : 5));
    text_specials(c, in, t, n, m);
    jt_gguf_meta_bool(m, "tokenizer.ggml.normalizer.lowercase", lower);
    jt_gguf_meta_bool(m, "tokenizer.ggml.normalizer.strip_accents", strip);
    jt_free(t);
    return JT_OK;
}

static jt_status text_bpe(const jt_conversion *c, const struct text_in *in, const char *pre, jt_gguf_meta *m, jt_error *err) {
    struct text_token *t = NULL;
    size_t n;
    char hole[32];
    jt_status s = text_vocab(c, in, &t, &n, err);
    if (!s) {
        jt_gguf_meta_text(m, "tokenizer.ggml.model", "gpt2", 4);
        jt_gguf_meta_text(m, "tokenizer.ggml.pre", pre, strlen(pre));
        jt_gguf_meta_array(m, "tokenizer.ggml.tokens", JT_GGUF_STRING, n);
        for (size_t i = 0; i < n; i++) {
            int len = snprintf(hole, sizeof hole, "[PAD%zu]", i);
            jt_gguf_meta_item_text(m, t[i].s ? t[i].s : hole, t[i].s ? t[i].n : (size_t)len);
        }
        jt_gguf_meta_array(m, "tokenizer.ggml.token_type", JT_GGUF_I32, n);
        for (size_t i = 0; i < n; i++) jt_gguf_meta_item(m, JT_GGUF_I32, (uint64_t)(t[i].s ? t[i].type : 5));
        text_merges(jt_json_member(jt_json_member(in->tokenizer, "model"), "merges"), m);
        text_specials(c, in, t, n, m);
        if (c->config.encoder) text_framed(in, m);
    }
    jt_free(t);
    return s;
}

/* The keys of tokenizer.gguf, if the folder has it. */
static jt_status text_carried(const jt_conversion *c, jt_gguf_meta *m, bool *found, jt_error *err) {
    jt_str name = {0};
    jt_gguf *g = NULL;
    jt_str_printf(&name, "%s/tokenizer.gguf", c->in);
    jt_status s = jt_str_check(&name, err);
    *found = !s && jt_file_exists(name.s);
    if (*found) s = jt_gguf_open(name.s, &g, err);
    for (size_t i = 0; !s && g && i < jt_gguf_values(g); i++)
        if (!strncmp(jt_gguf_value_at(g, i)->key, "tokenizer.", 10)) jt_gguf_meta_copy(m, jt_gguf_value_at(g, i));
    jt_gguf_free(g);
    jt_str_free(&name);
    return s;
}

static jt_status text_write_gguf(jt_conversion *c, const struct text_in *in, jt_gguf_meta *m, jt_error *err) {
    if (!in->tokenizer) {
        jt_gguf_meta_text(m, "tokenizer.ggml.model", "none", 4);
        jt_convert_note(c, "%s has no tokenizer.json; the file gets no tokenizer", c->in);
        return JT_OK;
    }
    const char *pre = text_byte_level(in->tokenizer) && c->options->pre ? c->options->pre : jt_convert_pre_name(in->tokenizer);
    text_template(in, m);
    if (!strcmp(text_type(jt_json_member(in->tokenizer, "model")), "WordPiece")) return text_wordpiece(c, in, m, err);
    if (pre) return text_bpe(c, in, pre, m, err);
    if (text_byte_level(in->tokenizer))
        return jt_error_set(err, JT_UNSUPPORTED,
                            "tokenizer.json cuts text in a way that this build has no name for; name it as llama.cpp does with --pre");
    jt_gguf_meta_text(m, "tokenizer.ggml.model", "none", 4);
    jt_gguf_meta_text(m, "tokenizer.huggingface.json", in->text.s, in->text.n);
    text_specials(c, in, NULL, 0, m);
    jt_convert_note(c, "the tokenizer is no byte-level BPE; tokenizer.json is kept whole in the key tokenizer.huggingface.json");
    return JT_OK;
}

/* A tokenizer.json of vocab.txt, which holds a token a line. */
static jt_status text_lines(struct text_in *in, const jt_str *lines, jt_error *err) {
    static const char *const special[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    bool lower = text_switch(in->config, "do_lower_case", true), strip = text_switch(in->config, "strip_accents", lower), any = false;
    jt_str added = {0};
    jt_str_puts(&in->text, "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{");
    for (size_t at = 0, i = 0; at < lines->n; i++) {
        const char *line = lines->s + at, *end = memchr(line, '\n', lines->n - at);
        size_t n = end ? (size_t)(end - line) : lines->n - at;
        at += n + 1;
        if (n && line[n - 1] == '\r') n--;
        if (i) jt_str_putc(&in->text, ',');
        jt_str_json(&in->text, line, n);
        jt_str_printf(&in->text, ":%zu", i);
        for (size_t k = 0; k < sizeof special / sizeof *special; k++) {
            if (strlen(special[k]) != n || memcmp(special[k], line, n) != 0) continue;
            jt_str_printf(&added, "%s{\"id\":%zu,\"content\":\"%s\",\"special\":true}", any ? "," : "", i, special[k]);
            any = true;
        }
    }
    jt_str_printf(&in->text, "}},\"added_tokens\":[%s],\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":%s,\"strip_accents\":%s}}",
                  jt_str_c(&added), lower ? "true" : "false", strip ? "true" : "false");
    if (added.failed) in->text.failed = true;
    jt_str_free(&added);
    jt_status s = jt_str_check(&in->text, err);
    return s ? s : jt_json_parse(in->text.s, in->text.n, &in->tokenizer, err);
}

jt_status jt_convert_text_gguf(jt_conversion *c, jt_gguf_meta *m, jt_error *err) {
    struct text_in in = {0};
    jt_str lines = {0};
    bool carried;
    jt_status s = text_carried(c, m, &carried, err);
    if (s || carried) return s;
    s = text_read(c->in, "tokenizer.json", &in.text, &in.tokenizer, err);
    if (!s) s = text_read(c->in, "tokenizer_config.json", NULL, &in.config, err);
    if (!s && !in.tokenizer && c->config.types) s = text_read(c->in, "vocab.txt", &lines, NULL, err);
    if (!s && lines.n && (s = text_lines(&in, &lines, err))) s = jt_error_in(err, s, "vocab.txt");
    jt_str_free(&lines);
    if (!s) s = text_read(c->in, "generation_config.json", NULL, &in.generation, err);
    if (!s) s = text_read(c->in, "chat_template.jinja", &in.template, NULL, err);
    if (in.tokenizer) in.added = jt_json_member(in.tokenizer, "added_tokens");
    if (!s) s = text_write_gguf(c, &in, m, err);
    jt_json_free(in.tokenizer), jt_json_free(in.config), jt_json_free(in.generation);
    jt_str_free(&in.text), jt_str_free(&in.template);
    return s;
}

/* ---- to a folder ---- */

static jt_status text_save(const char *folder, const char *file, const jt_str *text, jt_error *err) {
    jt_str name = {0};
    jt_str_printf(&name, "%s/%s", folder, file);
    jt_status s = jt_str_check(&name, err);
    if (!s) s = jt_file_save(name.s, text, err);
    jt_str_free(&name);
    return s;
}

static bool text_get(const jt_gguf *g, const char *key, const char **s, size_t *n) { return jt_gguf_get_text(g, key, s, n, NULL) == JT_OK; }

static int text_token_type(const jt_gguf *g, uint64_t i) {
    const jt_gguf_value *v = jt_gguf_find(g, "tokenizer.ggml.token_type");
    int64_t t = 1;
    if (v && v->type == JT_GGUF_ARRAY) jt_gguf_item_i64(v, i, &t);
    return (int)t;
}

/* The text of a special token; NULL: there is none. */
static const char *text_of_special(const jt_gguf *g, const char *key, uint64_t *id, size_t *n) {
    const jt_gguf_value *v = jt_gguf_find(g, "tokenizer.ggml.tokens");
    const char *s = NULL;
    if (!v || jt_gguf_get_u64(g, key, id, NULL) || !jt_gguf_item_text(v, *id, &s, n)) return NULL;
    return s;
}

static void text_json_pre(const struct text_pre *p, jt_str *o) {
    const char *s = p->does + (p->does[0] == 'N');
    bool several = s[1] != 0;
    if (several) jt_str_puts(o, "{\"type\":\"Sequence\",\"pretokenizers\":[");
    if (*s == 'D') jt_str_puts(o, "{\"type\":\"Digits\",\"individual_digits\":true},"), s++;
    if (*s == 'S') {
        size_t n = strlen(s) - 3;
        jt_str_puts(o, "{\"type\":\"Split\",\"pattern\":{\"Regex\":");
        jt_str_json(o, s + 2, n);
        jt_str_puts(o, "},\"behavior\":\"Isolated\",\"invert\":false},");
        s += n + 2;
    }
    jt_str_printf(o, "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":%s}",
                  *s == 'B' ? "true" : "false");
    if (several) jt_str_puts(o, "]}");
}

/* [CLS] A [SEP] B [SEP]. */
static void text_json_framed(const char *bos, uint64_t bos_id, const char *eos, uint64_t eos_id, jt_str *o) {
    jt_str_printf(o,
                  "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":%s,\"type_id\":0}},{\"Sequence\":{\"id\":\"A\","
                  "\"type_id\":0}},{\"SpecialToken\":{\"id\":%s,\"type_id\":0}}],",
                  bos, eos);
    jt_str_printf(o,
                  "\"pair\":[{\"SpecialToken\":{\"id\":%s,\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},"
                  "{\"SpecialToken\":{\"id\":%s,\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_id\":1}},"
                  "{\"SpecialToken\":{\"id\":%s,\"type_id\":1}}],",
                  bos, eos, eos);
    jt_str_printf(o, "\"special_tokens\":{%s:{\"id\":%s,\"ids\":[%llu],\"tokens\":[%s]},%s:{\"id\":%s,\"ids\":[%llu],\"tokens\":[%s]}}}",
                  bos, bos, (unsigned long long)bos_id, bos, eos, eos, (unsigned long long)eos_id, eos);
}

/* The frame of an encoder's texts; false: the file names no tokens for it. */
static bool text_json_frame(const jt_gguf *g, jt_str *o) {
    jt_str a = {0}, b = {0};
    uint64_t first, last;
    size_t n, k;
    const char *bos = text_of_special(g, "tokenizer.ggml.cls_token_id", &first, &n);
    const char *eos = text_of_special(g, "tokenizer.ggml.seperator_token_id", &last, &k);
    if (!bos) bos = text_of_special(g, "tokenizer.ggml.bos_token_id", &first, &n);
    if (!eos) eos = text_of_special(g, "tokenizer.ggml.eos_token_id", &last, &k);
    if (bos && eos) {
        jt_str_json(&a, bos, n), jt_str_json(&b, eos, k);
        text_json_framed(jt_str_c(&a), first, jt_str_c(&b), last, o);
        if (a.failed || b.failed) o->failed = true;
    }
    jt_str_free(&a), jt_str_free(&b);
    return bos && eos;
}

static void text_json_bos(const jt_gguf *g, jt_str *o) {
    bool add = false;
    uint64_t id;
    size_t n;
    const char *s = text_of_special(g, "tokenizer.ggml.bos_token_id", &id, &n);
    jt_gguf_get_bool_or(g, "tokenizer.ggml.add_bos_token", false, &add, NULL);
    if (!s || !add) {
        jt_str_puts(o, "null");
        return;
    }
    jt_str bos = {0};
    jt_str_json(&bos, s, n);
    const char *b = jt_str_c(&bos);
    jt_str_printf(o,
                  "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":%s,\"type_id\":0}},{\"Sequence\":{\"id\":\"A\","
                  "\"type_id\":0}}],\"pair\":[{\"SpecialToken\":{\"id\":%s,\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},"
                  "{\"SpecialToken\":{\"id\":%s,\"type_id\":1}},{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}],\"special_tokens\":{%s:"
                  "{\"id\":%s,\"ids\":[%llu],\"tokens\":[%s]}}}",
                  b, b, b, b, b, (unsigned long long)id, b);
    if (bos.failed) o->failed = true;
    jt_str_free(&bos);
}

static void text_json_added(const jt_gguf *g, const jt_gguf_value *tokens, jt_str *o) {
    const char *s;
    size_t n;
    bool any = false;
    jt_str_puts(o, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[");
    for (uint64_t i = 0; i < tokens->count; i++) {
        int type = text_token_type(g, i);
        if ((type != 3 && type != 4 && type != 2) || !jt_gguf_item_text(tokens, i, &s, &n)) continue;
        jt_str_printf(o, "%s{\"id\":%llu,\"content\":", any ? "," : "", (unsigned long long)i);
        jt_str_json(o, s, n);
        jt_str_printf(o, ",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":%s}",
                      type == 4 ? "false" : "true");
        any = true;
    }
    jt_str_puts(o, "],");
}

/* A token of WordPiece as tokenizer.json has it. */
static void text_json_token(const char *s, size_t n, bool special, jt_str *o) {
    jt_str t = {0};
    bool begins = n >= 3 && !memcmp(s, "\xe2\x96\x81", 3);
    if (!special && !begins) jt_str_puts(&t, "##");
    jt_str_add(&t, s + (begins && !special ? 3 : 0), n - (begins && !special ? 3 : 0));
    jt_str_json(o, jt_str_c(&t), t.n);
    if (t.failed) o->failed = true;
    jt_str_free(&t);
}

static void text_json_wordpiece(const jt_gguf *g, const jt_gguf_value *tokens, jt_str *o) {
    bool lower = true, strip;
    uint64_t id;
    const char *s;
    size_t n;
    jt_gguf_get_bool_or(g, "tokenizer.ggml.normalizer.lowercase", true, &lower, NULL);
    strip = lower;
    jt_gguf_get_bool_or(g, "tokenizer.ggml.normalizer.strip_accents", lower, &strip, NULL);
    text_json_added(g, tokens, o);
    jt_str_printf(o,
                  "\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,\"strip_accents\":%s,"
                  "\"lowercase\":%s},",
                  strip ? "true" : "false", lower ? "true" : "false");
    jt_str_puts(o, "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"post_processor\":");
    if (!text_json_frame(g, o)) jt_str_puts(o, "null");
    jt_str_puts(
        o, ",\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true},\"model\":{\"type\":\"WordPiece\",\"unk_token\":");
    s = text_of_special(g, "tokenizer.ggml.unknown_token_id", &id, &n);
    jt_str_json(o, s ? s : "[UNK]", s ? n : 5);
    jt_str_puts(o, ",\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":100,\"vocab\":{");
    for (uint64_t i = 0, k = 0; i < tokens->count; i++) {
        int type = text_token_type(g, i);
        if (type == 5 || !jt_gguf_item_text(tokens, i, &s, &n)) continue;
        if (k++) jt_str_putc(o, ',');
        text_json_token(s, n, type == 3 || type == 2, o);
        jt_str_printf(o, ":%llu", (unsigned long long)i);
    }
    jt_str_puts(o, "}}}\n");
}

static void text_json(const jt_gguf *g, const struct text_pre *p, const jt_gguf_value *tokens, bool framed, jt_str *o) {
    const jt_gguf_value *merges = jt_gguf_find(g, "tokenizer.ggml.merges");
    const char *s;
    size_t n;
    text_json_added(g, tokens, o);
    jt_str_printf(o, "\"normalizer\":%s,\"pre_tokenizer\":", p->does[0] == 'N' ? "{\"type\":\"NFC\"}" : "null");
    text_json_pre(p, o);
    jt_str_puts(o, ",\"post_processor\":");
    if (!framed || !text_json_frame(g, o)) text_json_bos(g, o);
    jt_str_printf(o,
                  ",\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true},\"model\":"
                  "{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,"
                  "\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":%s,\"vocab\":{",
                  p->ignore_merges ? "true" : "false");
    for (uint64_t i = 0, k = 0; i < tokens->count; i++) {
        if (text_token_type(g, i) == 5 || !jt_gguf_item_text(tokens, i, &s, &n)) continue;
        if (k++) jt_str_putc(o, ',');
        jt_str_json(o, s, n);
        jt_str_printf(o, ":%llu", (unsigned long long)i);
    }
    jt_str_puts(o, "},\"merges\":[");
    for (uint64_t i = 0; merges && i < merges->count; i++) {
        if (i) jt_str_putc(o, ',');
        if (jt_gguf_item_text(merges, i, &s, &n)) jt_str_json(o, s, n);
    }
    jt_str_puts(o, "]}}\n");
}

static void text_json_config(const jt_conversion *c, jt_str *o) {
    static const char *const id[][2] = {
        {"bos_token", "tokenizer.ggml.bos_token_id"},     {"eos_token", "tokenizer.ggml.eos_token_id"},
        {"unk_token", "tokenizer.ggml.unknown_token_id"}, {"pad_token", "tokenizer.ggml.padding_token_id"},
        {"cls_token", "tokenizer.ggml.cls_token_id"},     {"sep_token", "tokenizer.ggml.seperator_token_id"},
        {"mask_token", "tokenizer.ggml.mask_token_id"}};
    static const char *const flag[][2] = {{"add_bos_token", "tokenizer.ggml.add_bos_token"},
                                          {"add_eos_token", "tokenizer.ggml.add_eos_token"}};
    uint64_t at;
    size_t n;
    bool yes;
    const char *s;
    jt_str_printf(o, "{\"tokenizer_class\": \"PreTrainedTokenizerFast\", \"clean_up_tokenization_spaces\": false, \"model_max_length\": %d",
                  c->config.context);
    for (int i = 0; i < (c->config.encoder ? 7 : 4); i++) {
        if (!(s = text_of_special(c->gguf, id[i][1], &at, &n))) continue;
        jt_str_printf(o, ", \"%s\": ", id[i][0]);
        jt_str_json(o, s, n);
    }
    for (int i = 0; i < 2; i++)
        if (!jt_gguf_get_bool(c->gguf, flag[i][1], &yes, NULL)) jt_str_printf(o, ", \"%s\": %s", flag[i][0], yes ? "true" : "false");
    if (text_get(c->gguf, "tokenizer.chat_template", &s, &n)) {
        jt_str_puts(o, ", \"chat_template\": ");
        jt_str_json(o, s, n);
    }
    jt_str_puts(o, "}\n");
}

/* Keys that tokenizer.json cannot say. */
static jt_status text_carry(const jt_conversion *c, const char *folder, jt_error *err) {
    jt_gguf_meta m = {0};
    jt_gguf_writer *w = NULL;
    jt_str name = {0};
    const jt_gguf_value *arch = jt_gguf_find(c->gguf, "general.architecture");
    if (arch) jt_gguf_meta_copy(&m, arch);
    for (size_t i = 0; i < jt_gguf_values(c->gguf); i++)
        if (!strncmp(jt_gguf_value_at(c->gguf, i)->key, "tokenizer.", 10)) jt_gguf_meta_copy(&m, jt_gguf_value_at(c->gguf, i));
    jt_str_printf(&name, "%s/tokenizer.gguf", folder);
    jt_status s = jt_str_check(&name, err);
    if (!s) s = jt_gguf_create(name.s, &m, NULL, 0, 0, &w, err);
    if (!s) s = jt_gguf_commit(w, err);
    jt_gguf_meta_free(&m);
    jt_str_free(&name);
    jt_convert_note(c, "the tokenizer is none that this build writes as tokenizer.json; its keys are kept in tokenizer.gguf");
    return s;
}

/* Small files of a folder that becomes another. */
static jt_status text_copy(const jt_conversion *c, const char *folder, jt_error *err) {
    static const char *const file[] = {
        "tokenizer.json", "tokenizer_config.json",    "tokenizer.model",   "tokenizer.gguf",      "vocab.json",
        "merges.txt",     "special_tokens_map.json",  "added_tokens.json", "chat_template.jinja", "generation_config.json",
        "vocab.txt",      "sentence_bert_config.json"};
    jt_status s = JT_OK;
    for (size_t i = 0; !s && i < sizeof file / sizeof *file; i++) {
        jt_str text = {0};
        s = text_read(c->in, file[i], &text, NULL, err);
        if (!s && text.n) s = text_save(folder, file[i], &text, err);
        jt_str_free(&text);
    }
    return s;
}

jt_status jt_convert_text_hf(jt_conversion *c, const char *folder, jt_error *err) {
    const char *model, *pre, *whole;
    size_t n_model, n_pre, n_whole;
    const struct text_pre *p = NULL;
    jt_str text = {0};
    if (c->tensors) return text_copy(c, folder, err);
    if (!text_get(c->gguf, "tokenizer.ggml.model", &model, &n_model)) return JT_OK;
    const jt_gguf_value *tokens = jt_gguf_find(c->gguf, "tokenizer.ggml.tokens");
    bool bpe = n_model == 4 && !memcmp(model, "gpt2", 4) && tokens && tokens->element == JT_GGUF_STRING;
    bool kept = text_get(c->gguf, "tokenizer.huggingface.json", &whole, &n_whole);
    if (bpe && text_get(c->gguf, "tokenizer.ggml.pre", &pre, &n_pre))
        for (size_t i = 0; !p && i < sizeof text_pre / sizeof *text_pre; i++)
            if (strlen(text_pre[i].name) == n_pre && !memcmp(text_pre[i].name, pre, n_pre)) p = &text_pre[i];
    bool piece = n_model == 4 && !memcmp(model, "bert", 4) && tokens && tokens->element == JT_GGUF_STRING;
    if (!p && !kept && !piece) {
        if (n_model == 4 && !memcmp(model, "none", 4)) return JT_OK;
        return text_carry(c, folder, err);
    }
    if (kept)
        jt_str_add(&text, whole, n_whole);
    else if (piece)
        text_json_wordpiece(c->gguf, tokens, &text);
    else
        text_json(c->gguf, p, tokens, c->config.encoder, &text);
    jt_status s = jt_str_check(&text, err);
    if (!s) s = text_save(folder, "tokenizer.json", &text, err);
    jt_str_clear(&text);
    text_json_config(c, &text);
    if (!s) s = text_save(folder, "tokenizer_config.json", &text, err);
    jt_str_free(&text);
    return s;
}

/* modules.json and its pooling, where the files say how rows become one; those of a folder as they are told by what was read. */
jt_status jt_convert_pooling_hf(const jt_conversion *c, const char *folder, jt_error *err) {
    static const char *const way[] = {
        [JT_POOL_MEAN] = "mean_tokens", [JT_POOL_CLS] = "cls_token", [JT_POOL_LAST] = "lasttoken", [JT_POOL_MAX] = "max_tokens"};
    jt_pooling p = c->config.pooling;
    jt_str text = {0}, path = {0};
    bool normal = c->gguf != NULL;
    jt_pooling again = JT_POOL_AUTO;
    jt_status s = c->tensors ? jt_folder_pooling(c->in, c->config.encoder, &again, &normal, err) : JT_OK;
    if (s || !c->has_config || !c->config.encoder || p == JT_POOL_AUTO || p == JT_POOL_POOLER) return s;
    jt_str_puts(&text, "[{\"idx\": 0, \"name\": \"0\", \"path\": \"\", \"type\": \"sentence_transformers.models.Transformer\"},\n"
                       " {\"idx\": 1, \"name\": \"1\", \"path\": \"1_Pooling\", \"type\": \"sentence_transformers.models.Pooling\"}");
    if (normal)
        jt_str_puts(&text,
                    ",\n {\"idx\": 2, \"name\": \"2\", \"path\": \"2_Normalize\", \"type\": \"sentence_transformers.models.Normalize\"}");
    jt_str_puts(&text, "]\n");
    s = text_save(folder, "modules.json", &text, err);
    jt_str_printf(&path, "%s/1_Pooling", folder);
    if (!s) s = jt_str_check(&path, err);
    if (!s) s = jt_make_folder(path.s, err);
    jt_str_clear(&text);
    jt_str_printf(&text, "{\"word_embedding_dimension\": %d", c->config.hidden);
    for (int i = JT_POOL_MEAN; i <= JT_POOL_MAX; i++)
        jt_str_printf(&text, ", \"pooling_mode_%s\": %s", way[i], p == (jt_pooling)i ? "true" : "false");
    jt_str_puts(&text, "}\n");
    if (!s) s = text_save(folder, "1_Pooling/config.json", &text, err);
    jt_str_free(&text), jt_str_free(&path);
    return s;
}
