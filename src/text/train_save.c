/* train_save.c: a trained vocabulary as the tokenizer.json of Hugging Face's `tokenizers`. */
#include <string.h>

#include "text/train.h"

void jt_byte_name(unsigned byte, char to[JT_BYTE_NAME]) {
    static const char digit[] = "0123456789ABCDEF";
    memcpy(to, "<0x  >", JT_BYTE_NAME);
    to[3] = digit[byte >> 4], to[4] = digit[byte & 15];
}

static void save_added(const jt_trained *t, jt_str *o) {
    jt_str_puts(o, "  \"added_tokens\": [");
    for (size_t i = 0; i < t->specials; i++) {
        jt_str_printf(o, "%s\n    {\"id\": %zu, \"content\": ", i ? "," : "", i);
        jt_str_json(o, t->token[i].s, t->token[i].n);
        jt_str_puts(o, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": true}");
    }
    jt_str_puts(o, t->specials ? "\n  ],\n" : "],\n");
}

static const char *save_yes(bool b) { return b ? "true" : "false"; }

static void save_bpe(const jt_trained *t, bool byte_fallback, jt_str *o) {
    jt_str_puts(o, "    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": ");
    if (t->unk >= 0)
        jt_str_json(o, t->token[t->unk].s, t->token[t->unk].n);
    else
        jt_str_puts(o, "null");
    jt_str_puts(o, ",\n    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n");
    jt_str_printf(o, "    \"byte_fallback\": %s,\n    \"ignore_merges\": false,\n    \"vocab\": {", save_yes(byte_fallback));
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

static void save_unigram(const jt_trained *t, bool byte_fallback, jt_str *o) {
    jt_str_printf(o, "    \"type\": \"Unigram\",\n    \"unk_id\": %d,\n    \"vocab\": [", t->unk);
    for (size_t i = 0; i < t->n; i++) {
        jt_str_puts(o, i ? ",\n      [" : "\n      [");
        jt_str_json(o, t->token[i].s, t->token[i].n);
        jt_str_puts(o, ", ");
        jt_str_number(o, t->score[i]);
        jt_str_putc(o, ']');
    }
    jt_str_printf(o, "\n    ],\n    \"byte_fallback\": %s\n", save_yes(byte_fallback));
}

/* What makes text of tokens again; nothing where no step is to be undone. */
static void save_decoder(const jt_train_options *o, const jt_train_pipe *p, jt_str *out) {
    static const char *const scheme[] = {[JT_SCHEME_ALWAYS] = "always", [JT_SCHEME_FIRST] = "first", [JT_SCHEME_NEVER] = "never"};
    if (p->bytes) {
        jt_str_puts(out, "{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, \"use_regex\": true}");
        return;
    }
    if (!o->byte_fallback) {
        if (!p->space.s) {
            jt_str_puts(out, "null");
            return;
        }
        jt_str_puts(out, "{\"type\": \"Metaspace\", \"replacement\": ");
        jt_str_json(out, p->space.s, p->space.n);
        jt_str_printf(out, ", \"prepend_scheme\": \"%s\", \"split\": true}", scheme[p->scheme]);
        return;
    }
    jt_str_puts(out, "{\"type\": \"Sequence\", \"decoders\": [\n");
    if (p->space.s) {
        jt_str_puts(out, "    {\"type\": \"Replace\", \"pattern\": {\"String\": ");
        jt_str_json(out, p->space.s, p->space.n);
        jt_str_puts(out, "}, \"content\": \" \"},\n");
    }
    jt_str_puts(out, "    {\"type\": \"ByteFallback\"},\n    {\"type\": \"Fuse\"}");
    if (p->space.s && p->scheme != JT_SCHEME_NEVER)
        jt_str_puts(out, ",\n    {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}");
    jt_str_puts(out, "\n  ]}");
}

void jt_trained_json(const jt_trained *t, const jt_train_options *o, const jt_train_pipe *p, jt_str *out) {
    jt_str_puts(out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
    save_added(t, out);
    jt_str_puts(out, "  \"normalizer\": ");
    jt_str_puts(out, p->normalizer.n ? p->normalizer.s : "null");
    jt_str_puts(out, ",\n  \"pre_tokenizer\": ");
    jt_str_puts(out, jt_str_c(&p->cut_json));
    jt_str_puts(out, ",\n  \"post_processor\": null,\n  \"decoder\": ");
    save_decoder(o, p, out);
    jt_str_puts(out, ",\n  \"model\": {\n");
    if (o->model == JT_TRAIN_UNIGRAM)
        save_unigram(t, o->byte_fallback, out);
    else
        save_bpe(t, o->byte_fallback, out);
    jt_str_puts(out, "  }\n}\n");
}
