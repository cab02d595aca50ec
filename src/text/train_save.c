/* train_save.c: a trained vocabulary as the tokenizer.json of Hugging Face's `tokenizers`. */
#include <string.h>

#include "text/train.h"

static const char metaspace[] =
    "{\"type\": \"Metaspace\", \"replacement\": \"\xe2\x96\x81\", \"prepend_scheme\": \"always\", \"split\": true}";

static void save_added(const jt_trained *t, jt_str *o) {
    jt_str_puts(o, "  \"added_tokens\": [");
    for (size_t i = 0; i < t->specials; i++) {
        jt_str_printf(o, "%s\n    {\"id\": %zu, \"content\": ", i ? "," : "", i);
        jt_str_json(o, t->token[i].s, t->token[i].n);
        jt_str_puts(o, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": true}");
    }
    jt_str_puts(o, t->specials ? "\n  ],\n" : "],\n");
}

static const char *yes(bool b) { return b ? "true" : "false"; }

static void save_step(const jt_cut *c, jt_str *o) {
    static const char *const behaviour[] = {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    switch (c->kind) {
    case JT_CUT_DIGITS: jt_str_printf(o, "{\"type\": \"Digits\", \"individual_digits\": %s}", yes(c->individual)); break;
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
        jt_str_printf(o, "}, \"behavior\": \"%s\", \"invert\": %s}", behaviour[c->behaviour], yes(c->invert));
    }
}

/* The bytes that are left as they are at the end become their characters there. */
static void save_cut(const jt_cut *cut, size_t n, jt_str *o) {
    bool spelt = false;
    for (size_t i = 0; i < n; i++) spelt |= cut[i].kind == JT_CUT_BYTE_LEVEL;
    bool one = n == 1 && spelt;
    if (!one) jt_str_puts(o, "{\"type\": \"Sequence\", \"pretokenizers\": [\n    ");
    for (size_t i = 0; i < n; i++) {
        if (i) jt_str_puts(o, ",\n    ");
        save_step(&cut[i], o);
    }
    if (!spelt)
        jt_str_printf(o, "%s{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": false}",
                      n ? ",\n    " : "");
    if (!one) jt_str_puts(o, "\n  ]}");
}

static void save_bpe(const jt_trained *t, jt_str *o) {
    jt_str_puts(o, "    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": ");
    if (t->unk >= 0)
        jt_str_json(o, t->token[t->unk].s, t->token[t->unk].n);
    else
        jt_str_puts(o, "null");
    jt_str_puts(o, ",\n    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n"
                   "    \"byte_fallback\": false,\n    \"ignore_merges\": false,\n    \"vocab\": {");
    for (size_t i = 0; i < t->n; i++) {
        jt_str_puts(o, i ? ",\n      " : "\n      ");
        jt_str_json(o, t->token[i].s, t->token[i].n);
        jt_str_printf(o, ": %zu", i);
    }
    jt_str_puts(o, "\n    },\n    \"merges\": [");
    for (size_t i = 0; i < t->merges; i++) {
        const jt_view *a = &t->token[t->merge[i][0]], *b = &t->token[t->merge[i][1]];
        jt_str_puts(o, i ? ",\n      [" : "\n      [");
        jt_str_json(o, a->s, a->n);
        jt_str_puts(o, ", ");
        jt_str_json(o, b->s, b->n);
        jt_str_putc(o, ']');
    }
    jt_str_puts(o, "\n    ]\n");
}

static void save_unigram(const jt_trained *t, jt_str *o) {
    jt_str_printf(o, "    \"type\": \"Unigram\",\n    \"unk_id\": %d,\n    \"vocab\": [", t->unk);
    for (size_t i = 0; i < t->n; i++) {
        jt_str_puts(o, i ? ",\n      [" : "\n      [");
        jt_str_json(o, t->token[i].s, t->token[i].n);
        jt_str_puts(o, ", ");
        jt_str_number(o, t->score[i]);
        jt_str_putc(o, ']');
    }
    jt_str_puts(o, "\n    ],\n    \"byte_fallback\": false\n");
}

void jt_trained_json(const jt_trained *t, const jt_train_options *o, const jt_cut *cut, size_t n_cut, jt_str *out) {
    jt_str_puts(out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
    save_added(t, out);
    jt_str_puts(out, "  \"normalizer\": null,\n  \"pre_tokenizer\": ");
    if (cut)
        save_cut(cut, n_cut, out);
    else
        jt_str_puts(out, metaspace);
    jt_str_puts(out, ",\n  \"post_processor\": null,\n  \"decoder\": ");
    if (cut)
        jt_str_puts(out, "{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, \"use_regex\": true}");
    else
        jt_str_puts(out, metaspace);
    jt_str_puts(out, ",\n  \"model\": {\n");
    if (o->model == JT_TRAIN_UNIGRAM)
        save_unigram(t, out);
    else
        save_bpe(t, out);
    jt_str_puts(out, "  }\n}\n");
}
