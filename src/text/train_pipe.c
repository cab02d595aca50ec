#include "text/train_pipe.h"

#include <string.h>

#include "text/pretok_known.h"

static const char train_block[] = "\xe2\x96\x81"; /* U+2581 */
static const char train_metaspace[] =
    "{\"type\": \"Metaspace\", \"replacement\": \"\xe2\x96\x81\", \"prepend_scheme\": \"always\", \"split\": true}";

void jt_train_pipe_free(jt_train_pipe *p) {
    for (size_t i = 0; i < p->n_normal; i++) jt_stage_free(&p->normal[i]);
    for (size_t i = 0; i < p->n_cut; i++) jt_stage_free(&p->cut[i]);
    jt_free(p->normal), jt_free(p->cut);
    jt_json_steps_free(&p->steps);
    jt_json_free(p->normalizer_root), jt_json_free(p->cut_root);
    jt_str_free(&p->normalizer), jt_str_free(&p->cut_json);
    jt_pretok_free(p->pretok);
    *p = (jt_train_pipe){0};
}

/* What is wrong with an option and not with a file. */
static jt_status pipe_option(jt_status st, const char *what, jt_error *err) {
    if (st != JT_FORMAT && st != JT_UNSUPPORTED) return st;
    if (err) err->code = JT_INVALID;
    return jt_error_in(err, JT_INVALID, "%s", what);
}

static bool pipe_is_json(const char *s) {
    s += strspn(s, " \t\r\n");
    return *s == '{';
}

/* ---- the steps of a name or a regular expression, as JSON ---- */

static const char *step_yes(bool b) { return b ? "true" : "false"; }

static void pipe_step(const jt_cut *c, jt_str *o) {
    static const char *const behaviour[] = {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    switch (c->kind) {
    case JT_CUT_DIGITS: jt_str_printf(o, "{\"type\": \"Digits\", \"individual_digits\": %s}", step_yes(c->individual)); break;
    case JT_CUT_PUNCT: jt_str_printf(o, "{\"type\": \"Punctuation\", \"behavior\": \"%s\"}", behaviour[c->behaviour]); break;
    case JT_CUT_BYTE_LEVEL:
        jt_str_puts(o, "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": true}");
        break;
    case JT_CUT_WORDS: jt_str_puts(o, "{\"type\": \"Whitespace\"}"); break;
    case JT_CUT_SPACES: jt_str_puts(o, "{\"type\": \"WhitespaceSplit\"}"); break;
    case JT_CUT_BERT: jt_str_puts(o, "{\"type\": \"BertPreTokenizer\"}"); break;
    default:
        jt_str_printf(o, "{\"type\": \"Split\", \"pattern\": {\"%s\": ", c->kind == JT_CUT_STRING ? "String" : "Regex");
        jt_str_json(o, c->pattern.s, c->pattern.n);
        jt_str_printf(o, "}, \"behavior\": \"%s\", \"invert\": %s}", behaviour[c->behaviour], step_yes(c->invert));
    }
}

/* The bytes that are left as they are at the end become their characters there. */
static void pipe_steps(const jt_cut *cut, size_t n, jt_str *o) {
    bool spelt = false;
    for (size_t i = 0; i < n; i++) spelt |= cut[i].kind == JT_CUT_BYTE_LEVEL;
    bool one = n == 1 && spelt;
    if (!one) jt_str_puts(o, "{\"type\": \"Sequence\", \"pretokenizers\": [\n    ");
    for (size_t i = 0; i < n; i++) {
        if (i) jt_str_puts(o, ",\n    ");
        pipe_step(&cut[i], o);
    }
    if (!spelt)
        jt_str_printf(o, "%s{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": false}",
                      n ? ",\n    " : "");
    if (!one) jt_str_puts(o, "\n  ]}");
}

static jt_status pipe_regex(jt_train_pipe *p, const char *regex, jt_error *err) {
    const jt_cut cut = {.kind = JT_CUT_REGEX, .pattern = {regex, strlen(regex)}, .behaviour = JT_CUT_ISOLATED};
    pipe_steps(&cut, 1, &p->cut_json);
    return pipe_option(jt_pretok_new(&cut, 1, &p->pretok, err), "the regular expression", err);
}

static jt_status pipe_named(jt_train_pipe *p, const char *name, jt_error *err) {
    size_t n = 0;
    const jt_cut *cut = jt_pretok_steps(name, strlen(name), &n);
    pipe_steps(cut, n, &p->cut_json);
    jt_status st = jt_pretok_named(name, strlen(name), JT_PRETOK_HF, &p->pretok, err);
    if (st == JT_UNSUPPORTED && err) err->code = JT_UNKNOWN;
    return st == JT_UNSUPPORTED ? JT_UNKNOWN : st;
}

/* ---- normalisers by name ---- */

static const struct {
    const char *name, *json;
} pipe_names[] = {
    {"nfc", "{\"type\": \"NFC\"}"},
    {"nfd", "{\"type\": \"NFD\"}"},
    {"nfkc", "{\"type\": \"NFKC\"}"},
    {"nfkd", "{\"type\": \"NFKD\"}"},
    {"lowercase", "{\"type\": \"Lowercase\"}"},
    {"strip-accents", "{\"type\": \"StripAccents\"}"},
    {"strip", "{\"type\": \"Strip\", \"strip_left\": true, \"strip_right\": true}"},
    {"nmt", "{\"type\": \"Nmt\"}"},
    {"bert", "{\"type\": \"BertNormalizer\", \"clean_text\": true, \"handle_chinese_chars\": true, \"strip_accents\": null, "
             "\"lowercase\": true}"},
};

static jt_status pipe_normaliser_named(const char *s, size_t n, jt_str *o, jt_error *err) {
    for (size_t i = 0; i < sizeof pipe_names / sizeof *pipe_names; i++)
        if (strlen(pipe_names[i].name) == n && !memcmp(pipe_names[i].name, s, n)) {
            jt_str_puts(o, pipe_names[i].json);
            return JT_OK;
        }
    jt_str known = {0};
    for (size_t i = 0; i < sizeof pipe_names / sizeof *pipe_names; i++) jt_str_printf(&known, "%s%s", i ? ", " : "", pipe_names[i].name);
    jt_status st = jt_error_set(err, JT_UNKNOWN, "there is no normalizer \"%.*s\"; known: %s, or the JSON of any other",
                                (int)(n < 40 ? n : 40), s, jt_str_c(&known));
    jt_str_free(&known);
    return st;
}

/* "nfkc,lowercase" as JSON. */
static jt_status pipe_normalisers(const char *list, jt_str *o, jt_error *err) {
    jt_status st = JT_OK;
    bool several = strchr(list, ',') != NULL;
    if (several) jt_str_puts(o, "{\"type\": \"Sequence\", \"normalizers\": [");
    for (const char *s = list; !st && s;) {
        size_t n = strcspn(s, ",");
        st = pipe_normaliser_named(s, n, o, err);
        s = s[n] ? s + n + 1 : NULL;
        if (s) jt_str_puts(o, ", ");
    }
    if (several) jt_str_puts(o, "]}");
    return st;
}

/* ---- all of it ---- */

static jt_status pipe_parse(const jt_str *text, jt_json **root, jt_error *err) {
    jt_status st = jt_str_check(text, err);
    return st ? st : jt_json_parse(text->s, text->n, root, err);
}

static jt_status pipe_stages(const jt_text_step *step, size_t n, jt_stage **to, size_t *count, jt_error *err) {
    jt_status st = JT_OK;
    if (!(*to = jt_alloc(n, sizeof **to))) return jt_nomem(err, "the steps of a tokenizer", n, sizeof **to);
    for (size_t i = 0; i < n && !st; i++) st = jt_stage_init(&(*to)[(*count)++], &step[i], err);
    return st;
}

static jt_status pipe_normalizer(jt_train_pipe *p, const char *given, jt_error *err) {
    jt_status st = JT_OK;
    if (pipe_is_json(given))
        jt_str_puts(&p->normalizer, given);
    else
        st = pipe_normalisers(given, &p->normalizer, err);
    if (!st) st = pipe_parse(&p->normalizer, &p->normalizer_root, err);
    if (!st) st = jt_json_normalizer(&p->steps, p->normalizer_root, err);
    if (!st) st = pipe_stages(p->steps.normal, p->steps.n_normal, &p->normal, &p->n_normal, err);
    return pipe_option(st, "the normalizer", err);
}

static jt_status pipe_cut(jt_train_pipe *p, const char *given, jt_error *err) {
    jt_str_puts(&p->cut_json, given);
    jt_status st = pipe_parse(&p->cut_json, &p->cut_root, err);
    if (!st) st = jt_json_pre_tokenizer(&p->steps, p->cut_root, err);
    if (!st && !p->steps.n_cut) st = jt_error_set(err, JT_FORMAT, "it has no steps");
    if (!st) st = pipe_stages(p->steps.cut, p->steps.n_cut, &p->cut, &p->n_cut, err);
    for (size_t i = 0; i < p->steps.n_cut; i++) {
        p->bytes |= p->steps.cut[i].kind == JT_STEP_BYTES;
        if (p->steps.cut[i].kind == JT_STEP_METASPACE) p->space = p->steps.cut[i].a, p->scheme = p->steps.cut[i].scheme;
    }
    return pipe_option(st, "the pre-tokeniser", err);
}

jt_status jt_train_pipe_init(jt_train_pipe *p, const jt_train_options *o, jt_error *err) {
    jt_status st = JT_OK;
    *p = (jt_train_pipe){.scheme = JT_SCHEME_NEVER};
    if (o->normalizer && *o->normalizer) st = pipe_normalizer(p, o->normalizer, err);
    for (size_t i = 0; i < p->steps.n_normal && !st; i++) {
        const jt_text_step *k = &p->steps.normal[i];
        if (k->kind == JT_STEP_REPLACE && !k->regex && k->a.n == 1 && *k->a.s == ' ') p->space = k->b;
        if (k->kind == JT_STEP_PREPEND) p->scheme = JT_SCHEME_ALWAYS;
        if (k->kind == JT_STEP_BYTES)
            st = jt_error_set(err, JT_INVALID, "the normalizer: ByteLevel is given as a pre-tokeniser where a vocabulary is trained");
    }
    if (st) return st;
    if (o->pre && pipe_is_json(o->pre)) return pipe_cut(p, o->pre, err);
    if (o->chars || o->model == JT_TRAIN_UNIGRAM) {
        p->space = (jt_view){train_block, sizeof train_block - 1}, p->scheme = JT_SCHEME_ALWAYS;
        jt_str_puts(&p->cut_json, train_metaspace);
        return JT_OK;
    }
    p->bytes = true;
    return o->regex ? pipe_regex(p, o->regex, err) : pipe_named(p, o->pre ? o->pre : "gpt-2", err);
}
