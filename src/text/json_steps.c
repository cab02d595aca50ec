#include "text/json_steps.h"

#include <string.h>

#include "core/str.h"

void jt_json_steps_free(jt_json_steps *s) {
    jt_free(s->normal), jt_free(s->cut), jt_free(s->decode), jt_free(s->single), jt_free(s->pair);
    jt_arena_free(&s->arena);
    *s = (jt_json_steps){0};
}

static const jt_json *member(const jt_json *v, const char *name) { return v ? jt_json_member(v, name) : NULL; }

jt_view jt_json_text(const jt_json *v, const char *name, const char *otherwise) {
    const jt_json *m = member(v, name);
    size_t n = 0;
    const char *p = m ? jt_json_string(m, &n) : NULL;
    return p || !otherwise ? (jt_view){p, n} : (jt_view){otherwise, strlen(otherwise)};
}

bool jt_json_switch(const jt_json *v, const char *name, bool otherwise) {
    bool on;
    const jt_json *m = member(v, name);
    return m && jt_json_bool(m, &on) ? on : otherwise;
}

int64_t jt_json_number(const jt_json *v, const char *name, int64_t otherwise) {
    int64_t x;
    const jt_json *m = member(v, name);
    return m && jt_json_i64(m, &x) ? x : otherwise;
}

const char *jt_json_type(const jt_json *v) { return jt_json_text(v, "type", "").s; }

static bool absent(const jt_json *v) { return !v || jt_json_kind_of(v) == JT_JSON_NULL; }

static jt_status unknown(const char *what, const jt_json *v, jt_error *err) {
    return jt_error_set(err, JT_UNSUPPORTED, "tokenizer.json: %s of type \"%.60s\" is not supported", what, jt_json_type(v));
}

/* {"String": s} or {"Regex": s}. */
static jt_status read_pattern(const jt_json *v, jt_view *to, bool *regex, jt_error *err) {
    const jt_json *p = member(v, "pattern");
    *to = jt_json_text(p, "Regex", NULL);
    *regex = to->s != NULL;
    if (!to->s) *to = jt_json_text(p, "String", NULL);
    if (!to->s && p) to->s = jt_json_string(p, &to->n);
    return to->s ? JT_OK : jt_error_set(err, JT_FORMAT, "tokenizer.json: a step of type %.60s has no pattern", jt_json_type(v));
}

/* A member that is one character. */
static jt_status read_character(const jt_json *v, const char *name, const char *otherwise, jt_view *to, jt_error *err) {
    *to = jt_json_text(v, name, otherwise);
    if (to->n && (size_t)jt_utf8_next(to->s, to->n, NULL) == to->n) return JT_OK;
    return jt_error_set(err, JT_FORMAT, "tokenizer.json: \"%s\" of a step of type %.60s is not one character", name, jt_json_type(v));
}

/* The value of a character in base 64, or -1. */
static int base64_of(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static jt_status read_base64(jt_json_steps *s, jt_view v, jt_view *to, jt_error *err) {
    char *out = jt_arena_alloc(&s->arena, v.n / 4 + 1, 3);
    size_t n = 0;
    uint32_t bits = 0;
    int have = 0;
    if (!out) return jt_nomem(err, "precompiled_charsmap", v.n, 1);
    for (size_t i = 0; i < v.n && v.s[i] != '='; i++) {
        int d = base64_of(v.s[i]);
        if (d < 0) return jt_error_set(err, JT_FORMAT, "tokenizer.json: precompiled_charsmap is not in base 64");
        bits = bits << 6 | (uint32_t)d;
        if ((have += 6) >= 8) have -= 8, out[n++] = (char)(bits >> have);
    }
    *to = (jt_view){out, n};
    return JT_OK;
}

/* ---- normalisers ---- */

static jt_status add_normal(jt_json_steps *s, jt_text_step k, jt_error *err) {
    jt_status st = jt_grow((void **)&s->normal, &s->cap_normal, s->n_normal + 1, sizeof k, err);
    if (!st) s->normal[s->n_normal++] = k;
    return st;
}

static jt_status each_of(jt_json_steps *s, const jt_json *v, const char *list,
                         jt_status (*read)(jt_json_steps *, const jt_json *, jt_error *), jt_error *err) {
    const jt_json *all = member(v, list);
    jt_status st = all ? JT_OK : jt_error_set(err, JT_FORMAT, "tokenizer.json: a Sequence has no %s", list);
    for (size_t i = 0; all && i < jt_json_count(all) && !st; i++) {
        if (!strcmp(jt_json_type(jt_json_item(all, i)), "Sequence"))
            return jt_error_set(err, JT_UNSUPPORTED, "tokenizer.json: a Sequence inside a Sequence is not supported");
        st = read(s, jt_json_item(all, i), err);
    }
    return st;
}

jt_status jt_json_normalizer(jt_json_steps *s, const jt_json *v, jt_error *err) {
    static const struct {
        const char *type;
        int kind;
    } plain[] = {{"NFC", JT_STEP_NFC},   {"NFD", JT_STEP_NFD},         {"NFKC", JT_STEP_NFKC},
                 {"NFKD", JT_STEP_NFKD}, {"Lowercase", JT_STEP_LOWER}, {"StripAccents", JT_STEP_STRIP_ACCENTS},
                 {"Nmt", JT_STEP_NMT},   {"ByteLevel", JT_STEP_BYTES}};
    if (absent(v)) return JT_OK;
    const char *type = jt_json_type(v);
    jt_text_step k = {0};
    jt_status st = JT_OK;
    if (!strcmp(type, "Sequence")) return each_of(s, v, "normalizers", jt_json_normalizer, err);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (!strcmp(type, plain[i].type)) return add_normal(s, (jt_text_step){.kind = plain[i].kind}, err);
    if (!strcmp(type, "Replace")) {
        k.kind = JT_STEP_REPLACE, k.b = jt_json_text(v, "content", "");
        st = read_pattern(v, &k.a, &k.regex, err);
    } else if (!strcmp(type, "Prepend")) {
        k.kind = JT_STEP_PREPEND, k.a = jt_json_text(v, "prepend", "");
    } else if (!strcmp(type, "Strip")) {
        k.kind = JT_STEP_STRIP, k.left = jt_json_switch(v, "strip_left", true), k.right = jt_json_switch(v, "strip_right", true);
    } else if (!strcmp(type, "BertNormalizer")) {
        k.kind = JT_STEP_BERT;
        k.bert.given = true, k.bert.clean = jt_json_switch(v, "clean_text", true),
        k.bert.cjk = jt_json_switch(v, "handle_chinese_chars", true);
        k.bert.lower = jt_json_switch(v, "lowercase", true), k.bert.strip = jt_json_switch(v, "strip_accents", k.bert.lower);
    } else if (!strcmp(type, "Precompiled")) {
        jt_view map = jt_json_text(v, "precompiled_charsmap", "");
        if (!map.n) return JT_OK;
        k.kind = JT_STEP_CHARSMAP, k.graphemes = true;
        st = read_base64(s, map, &k.a, err);
    } else {
        return unknown("normalizer", v, err);
    }
    return st ? st : add_normal(s, k, err);
}

/* ---- pre-tokenisers ---- */

static jt_status add_cut(jt_json_steps *s, jt_text_step k, jt_error *err) {
    jt_status st = jt_grow((void **)&s->cut, &s->cap_cut, s->n_cut + 1, sizeof k, err);
    if (!st) s->cut[s->n_cut++] = k;
    return st;
}

static jt_status read_behaviour(const jt_json *v, int *to, jt_error *err) {
    static const char *const names[] = {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    static const int values[] = {JT_CUT_ISOLATED, JT_CUT_REMOVED, JT_CUT_PREVIOUS, JT_CUT_NEXT, JT_CUT_CONTIGUOUS};
    jt_view b = jt_json_text(v, "behavior", "Isolated");
    for (size_t i = 0; i < 5; i++)
        if (!strcmp(b.s, names[i])) {
            *to = values[i];
            return JT_OK;
        }
    return jt_error_set(err, JT_UNSUPPORTED, "tokenizer.json: behavior \"%.60s\" of %.60s is not supported", b.s, jt_json_type(v));
}

static int read_scheme(const jt_json *v) {
    jt_view scheme = jt_json_text(v, "prepend_scheme", "always");
    if (!jt_json_switch(v, "add_prefix_space", true) || !strcmp(scheme.s, "never")) return JT_SCHEME_NEVER;
    return !strcmp(scheme.s, "first") ? JT_SCHEME_FIRST : JT_SCHEME_ALWAYS;
}

static jt_status read_byte_level(jt_json_steps *s, const jt_json *v, jt_error *err) {
    jt_status st = jt_json_switch(v, "add_prefix_space", true) ? add_cut(s, (jt_text_step){.kind = JT_STEP_PREFIX}, err) : JT_OK;
    if (!st && jt_json_switch(v, "use_regex", true))
        st = add_cut(s, (jt_text_step){.kind = JT_STEP_SPLIT, .split = {.kind = JT_CUT_BYTE_LEVEL}}, err);
    return st ? st : add_cut(s, (jt_text_step){.kind = JT_STEP_BYTES}, err);
}

jt_status jt_json_pre_tokenizer(jt_json_steps *s, const jt_json *v, jt_error *err) {
    if (absent(v)) return JT_OK;
    const char *type = jt_json_type(v);
    jt_text_step k = {.kind = JT_STEP_SPLIT};
    jt_status st = JT_OK;
    bool regex;
    if (!strcmp(type, "Sequence")) return each_of(s, v, "pretokenizers", jt_json_pre_tokenizer, err);
    if (!strcmp(type, "ByteLevel")) return read_byte_level(s, v, err);
    if (!strcmp(type, "Metaspace")) {
        k.kind = JT_STEP_METASPACE, k.scheme = read_scheme(v), k.cut = jt_json_switch(v, "split", true);
        st = read_character(v, "replacement", "\xe2\x96\x81", &k.a, err);
    } else if (!strcmp(type, "Split")) {
        st = read_pattern(v, &k.split.pattern, &regex, err);
        if (st) return st;
        if (!k.split.pattern.n) { /* it matches between any two characters */
            k.kind = JT_STEP_FIXED, k.count = 1;
            return add_cut(s, k, err);
        }
        k.split.kind = regex ? JT_CUT_REGEX : JT_CUT_STRING, k.split.invert = jt_json_switch(v, "invert", false);
        st = read_behaviour(v, &k.split.behaviour, err);
    } else if (!strcmp(type, "CharDelimiterSplit")) {
        k.split = (jt_cut){.kind = JT_CUT_STRING, .behaviour = JT_CUT_REMOVED};
        st = read_character(v, "delimiter", " ", &k.split.pattern, err);
    } else if (!strcmp(type, "Digits")) {
        k.split = (jt_cut){.kind = JT_CUT_DIGITS, .individual = jt_json_switch(v, "individual_digits", false)};
    } else if (!strcmp(type, "Punctuation")) {
        k.split.kind = JT_CUT_PUNCT;
        st = read_behaviour(v, &k.split.behaviour, err);
    } else if (!strcmp(type, "Whitespace")) {
        k.split.kind = JT_CUT_WORDS;
    } else if (!strcmp(type, "WhitespaceSplit")) {
        k.split.kind = JT_CUT_SPACES;
    } else if (!strcmp(type, "BertPreTokenizer")) {
        k.split.kind = JT_CUT_BERT;
    } else if (!strcmp(type, "FixedLength")) {
        k.kind = JT_STEP_FIXED, k.count = jt_json_number(v, "length", 5);
        if (k.count < 1) st = jt_error_set(err, JT_FORMAT, "tokenizer.json: FixedLength of no characters");
    } else {
        return unknown("pre_tokenizer", v, err);
    }
    return st ? st : add_cut(s, k, err);
}

/* ---- decoders ---- */

jt_status jt_json_decoder(jt_json_steps *s, const jt_json *v, jt_error *err) {
    if (absent(v)) return JT_OK;
    const char *type = jt_json_type(v);
    jt_decode_step k = {0};
    jt_status st = JT_OK;
    if (!strcmp(type, "Sequence")) return each_of(s, v, "decoders", jt_json_decoder, err);
    if (!strcmp(type, "ByteLevel")) {
        k.kind = JT_DECODE_BYTES;
    } else if (!strcmp(type, "Metaspace")) {
        k.kind = JT_DECODE_METASPACE, k.scheme = read_scheme(v);
        st = read_character(v, "replacement", "\xe2\x96\x81", &k.a, err);
    } else if (!strcmp(type, "ByteFallback")) {
        k.kind = JT_DECODE_FALLBACK;
    } else if (!strcmp(type, "Fuse")) {
        k.kind = JT_DECODE_FUSE;
    } else if (!strcmp(type, "Replace")) {
        k.kind = JT_DECODE_REPLACE, k.b = jt_json_text(v, "content", "");
        st = read_pattern(v, &k.a, &k.regex, err);
    } else if (!strcmp(type, "Strip")) {
        k.kind = JT_DECODE_STRIP, k.a = jt_json_text(v, "content", " ");
        k.start = jt_json_number(v, "start", 0), k.stop = jt_json_number(v, "stop", 0);
    } else if (!strcmp(type, "WordPiece")) {
        k.kind = JT_DECODE_WORDPIECE, k.a = jt_json_text(v, "prefix", "##"), k.cleanup = jt_json_switch(v, "cleanup", true);
    } else if (!strcmp(type, "BPEDecoder")) {
        k.kind = JT_DECODE_SUFFIX, k.a = jt_json_text(v, "suffix", "</w>");
    } else if (!strcmp(type, "CTC")) {
        k.kind = JT_DECODE_CTC, k.a = jt_json_text(v, "pad_token", "<pad>"), k.b = jt_json_text(v, "word_delimiter_token", "|");
        k.cleanup = jt_json_switch(v, "cleanup", true);
    } else {
        return unknown("decoder", v, err);
    }
    if (!st) st = jt_grow((void **)&s->decode, &s->cap_decode, s->n_decode + 1, sizeof k, err);
    if (!st) s->decode[s->n_decode++] = k;
    return st;
}

/* ---- what stands around texts ---- */

static jt_status add_item(jt_template_item **list, size_t *n, size_t *cap, int64_t id, int text, jt_error *err) {
    jt_status st = jt_grow((void **)list, cap, *n + 1, sizeof **list, err);
    if (!st) (*list)[(*n)++] = (jt_template_item){(int32_t)id, text};
    return st;
}

static jt_status read_template(const jt_json *post, const char *name, jt_template_item **list, size_t *n, size_t *cap, jt_json_find *find,
                               const void *who, jt_error *err) {
    const jt_json *items = member(post, name), *special = member(post, "special_tokens");
    jt_status st = JT_OK;
    for (size_t i = 0; items && i < jt_json_count(items) && !st; i++) {
        const jt_json *item = jt_json_item(items, i), *text = member(item, "Sequence"), *tok = member(item, "SpecialToken");
        jt_view id = jt_json_text(text ? text : tok, "id", NULL);
        if (!id.s)
            return jt_error_set(err, JT_FORMAT, "tokenizer.json: post_processor: item %zu of \"%s\" is no text and no token", i, name);
        if (text) {
            st = add_item(list, n, cap, -1, id.n == 1 && id.s[0] == 'B', err);
            continue;
        }
        const jt_json *ids = member(member(special, id.s), "ids");
        for (size_t k = 0; ids && k < jt_json_count(ids) && !st; k++) {
            int64_t x = -1;
            if (!jt_json_i64(jt_json_item(ids, k), &x) || x < 0 || x > INT32_MAX)
                return jt_error_set(err, JT_FORMAT, "tokenizer.json: post_processor: a token has no id");
            st = add_item(list, n, cap, x, 0, err);
        }
        if (!ids && !st) {
            int32_t x = find(who, id);
            st = x >= 0 ? add_item(list, n, cap, x, 0, err)
                        : jt_error_set(err, JT_FORMAT, "tokenizer.json: post_processor: \"%.60s\" is no token", id.s);
        }
    }
    return st;
}

/* BertProcessing and RobertaProcessing: cls A sep, cls A sep [sep] B sep. */
static jt_status read_pair_of(jt_json_steps *s, const jt_json *v, bool twice, jt_error *err) {
    int64_t cls = -1, sep = -1;
    const jt_json *a = member(v, "cls"), *b = member(v, "sep");
    a = a ? jt_json_item(a, 1) : NULL, b = b ? jt_json_item(b, 1) : NULL;
    if (!a || !b || !jt_json_i64(a, &cls) || !jt_json_i64(b, &sep) || cls < 0 || sep < 0 || cls > INT32_MAX || sep > INT32_MAX)
        return jt_error_set(err, JT_FORMAT, "tokenizer.json: post_processor %.60s lacks cls or sep", jt_json_type(v));
    const int64_t single[] = {cls, -1, sep}, pair[] = {cls, -1, sep, sep, -2, sep};
    jt_status st = JT_OK;
    for (int i = 0; i < 3 && !st; i++) st = add_item(&s->single, &s->n_single, &s->cap_single, single[i], 0, err);
    for (int i = 0; i < 6 && !st; i++)
        if (i != 3 || twice) st = add_item(&s->pair, &s->n_pair, &s->cap_pair, pair[i] < 0 ? -1 : pair[i], pair[i] == -2, err);
    return st;
}

jt_status jt_json_post(jt_json_steps *s, const jt_json *v, jt_json_find *find, const void *who, jt_error *err) {
    if (absent(v)) return JT_OK;
    const char *type = jt_json_type(v);
    jt_status st = JT_OK;
    if (!strcmp(type, "Sequence")) {
        const jt_json *all = member(v, "processors");
        for (size_t i = 0; all && i < jt_json_count(all) && !st; i++) {
            if (!strcmp(jt_json_type(jt_json_item(all, i)), "Sequence"))
                return jt_error_set(err, JT_UNSUPPORTED, "tokenizer.json: a Sequence inside a Sequence is not supported");
            st = jt_json_post(s, jt_json_item(all, i), find, who, err);
        }
        return st;
    }
    if (!strcmp(type, "ByteLevel")) return JT_OK; /* it trims spans, which here always hold the whole token */
    if (s->n_single) return jt_error_set(err, JT_UNSUPPORTED, "tokenizer.json: two post_processors that add tokens are not supported");
    if (!strcmp(type, "BertProcessing")) return read_pair_of(s, v, false, err);
    if (!strcmp(type, "RobertaProcessing")) return read_pair_of(s, v, true, err);
    if (strcmp(type, "TemplateProcessing") != 0) return unknown("post_processor", v, err);
    st = read_template(v, "single", &s->single, &s->n_single, &s->cap_single, find, who, err);
    return st ? st : read_template(v, "pair", &s->pair, &s->n_pair, &s->cap_pair, find, who, err);
}
