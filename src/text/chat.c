/* chat.c: conversations in the format a model was trained on.
 *
 * A model file carries its format as a Jinja template. Until there is an
 * interpreter for it, a template is known by the SHA-256 of its text and written
 * by hand; any other is refused. All of these are ChatML: each turn is
 *     <|im_start|>ROLE\nCONTENT<|im_end|>\n
 * and a conversation may be given a system turn when it does not begin with one.
 * Only the two markers are special tokens: role and content are encoded as plain
 * text, so nothing a message says can end its turn. */
#include <stdio.h>
#include <string.h>

#include "core/hash.h"
#include "core/str.h"
#include "text/vocab.h"

struct jt_chat {
    const char *name;
    const char *sha256; /* of the template */
    const char *system; /* of the turn put before a conversation without one; NULL: none */
};

static const struct jt_chat chat_formats[] = {
    {"chatml-smollm2", "872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788",
     "You are a helpful AI assistant named SmolLM, trained by Hugging Face"},
    {"chatml", "153280e3ff55d19da1398bdb3914ee2a51b80429bfaedde11d7d216c39db80f3", NULL},
};

static const char open_mark[] = "<|im_start|>", close_mark[] = "<|im_end|>";

void jt_chat_find(jt_tokenizer *t, jt_view text) {
    if (!text.s) {
        snprintf(t->chat_why, sizeof t->chat_why, "the model has no chat template; give it the prompt as plain text");
        return;
    }
    uint8_t digest[32];
    char hex[65];
    jt_sha256 h;
    jt_sha256_init(&h);
    jt_sha256_add(&h, text.s, text.n);
    jt_sha256_end(&h, digest);
    jt_sha256_hex(digest, hex);
    const struct jt_chat *found = NULL;
    for (size_t i = 0; i < sizeof chat_formats / sizeof *chat_formats; i++)
        if (!strcmp(chat_formats[i].sha256, hex)) found = &chat_formats[i];
    if (!found) {
        snprintf(t->chat_why, sizeof t->chat_why,
                 "the model's chat template (%zu bytes, SHA-256 %s) is not one this build can write; give it the prompt as plain text",
                 text.n, hex);
        return;
    }
    t->chat_open = jt_token_find(t, open_mark, sizeof open_mark - 1);
    t->chat_close = jt_token_find(t, close_mark, sizeof close_mark - 1);
    if (t->chat_open < 0 || t->chat_close < 0) {
        snprintf(t->chat_why, sizeof t->chat_why, "the model's chat template is %s, but its vocabulary has no token %s", found->name,
                 t->chat_open < 0 ? open_mark : close_mark);
        return;
    }
    t->types[t->chat_open] = t->types[t->chat_close] = JT_TOKEN_CONTROL;
    t->chat = found;
}

const char *jt_chat_format(const jt_tokenizer *t) { return t->chat ? t->chat->name : NULL; }

/* Where the text written so far ends, for spans, and what is needed to go on. */
typedef struct chat_writer {
    const jt_tokenizer *t;
    size_t at;
    jt_str text;
    jt_bpe_work work;
    jt_tokens *out;
} chat_writer;

static jt_status chat_mark(chat_writer *w, int32_t id, jt_error *err) {
    size_t n;
    jt_token_bytes(w->t, id, &n);
    w->at += n;
    return jt_tokens_push(w->out, (uint32_t)id, w->at - n, w->at, err);
}

/* Encodes a, newline, b as one text, which is what stands between two markers. */
static jt_status chat_text(chat_writer *w, const char *a, const char *b, jt_error *err) {
    jt_str_clear(&w->text);
    jt_str_puts(&w->text, a);
    jt_str_putc(&w->text, '\n');
    jt_str_puts(&w->text, b);
    jt_status st = jt_str_check(&w->text, err);
    if (st == JT_OK) st = jt_encode_part(w->t, w->text.s, w->text.n, w->at, 0, &w->work, w->out, err);
    w->at += w->text.n;
    return st;
}

static jt_status chat_turn(chat_writer *w, const char *role, const char *content, jt_error *err) {
    jt_status st = chat_mark(w, w->t->chat_open, err);
    if (st == JT_OK) st = chat_text(w, role, content, err);
    if (st == JT_OK) st = chat_mark(w, w->t->chat_close, err);
    return st == JT_OK ? chat_text(w, "", "", err) : st;
}

jt_status jt_chat_encode(const jt_tokenizer *t, const jt_message *m, int n, int answer, jt_tokens *out, jt_error *err) {
    if (!t->chat) return jt_error_set(err, JT_UNSUPPORTED, "%s", t->chat_why);
    if (n < 0) return jt_error_set(err, JT_INVALID, "a conversation of %d messages", n);
    for (int i = 0; i < n; i++)
        if (!m[i].role || !m[i].content) return jt_error_set(err, JT_INVALID, "message %d has no %s", i, m[i].role ? "content" : "role");
    size_t before = out->n;
    chat_writer w = {.t = t, .out = out};
    jt_status st = JT_OK;
    if (n && t->chat->system && strcmp(m[0].role, "system")) st = chat_turn(&w, "system", t->chat->system, err);
    for (int i = 0; i < n && st == JT_OK; i++) st = chat_turn(&w, m[i].role, m[i].content, err);
    if (st == JT_OK && answer) st = chat_mark(&w, t->chat_open, err);
    if (st == JT_OK && answer) st = chat_text(&w, "assistant", "", err);
    jt_str_free(&w.text);
    jt_bpe_work_free(&w.work);
    if (st != JT_OK) out->n = before;
    return st;
}
