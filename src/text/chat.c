/* chat.c: conversations in the format a model was trained on, which is its own chat template (src/text/jinja).
 *
 * A template's text is parted into tokens knowing which bytes the template wrote and which a message said (jt_template_text):
 * a special token is taken only where the template wrote all of it, so that nothing a message says can end its turn. The text
 * between special tokens is encoded in one piece, as the reference tokenizers do. */
#include <stdio.h>
#include <string.h>

#include "core/str.h"
#include "text/jinja/render.h"
#include "text/vocab.h"

struct jt_chat {
    jt_template *template;
    jt_added special; /* control and unknown tokens */
};

/* "<|im_end|>" and the like: what marks turns, whatever the vocabulary calls it. */
static bool chat_is_marker(jt_view v) {
    static const char *const open[] = {"<|", "<\xef\xbd\x9c", "<start_of_turn", "<end_of_turn"}, *const close[] = {"|>", "\xef\xbd\x9c>",
                                                                                                                   ">", ">"};
    for (size_t i = 0; i < sizeof open / sizeof *open; i++) {
        size_t a = strlen(open[i]), b = strlen(close[i]);
        if (v.n >= a + b && !memcmp(v.s, open[i], a) && !memcmp(v.s + v.n - b, close[i], b)) return true;
    }
    return false;
}

/* Markers that the template writes become control tokens, which plain text never gives. */
static void chat_promote(jt_tokenizer *t, jt_view text) {
    for (size_t i = 0; i < t->vocab; i++)
        if (!jt_type_special(t->types[i]) && chat_is_marker(t->names[i]) && memmem(text.s, text.n, t->names[i].s, t->names[i].n))
            t->types[i] = JT_TOKEN_CONTROL;
}

/* Special tokens, of equal ones the first. */
static jt_status chat_specials(const jt_tokenizer *t, jt_added *out, jt_error *err) {
    uint32_t *ids = jt_alloc(t->vocab, sizeof *ids);
    size_t n = 0;
    jt_words seen = {0};
    if (!ids) return jt_nomem(err, "the special tokens", t->vocab, sizeof *ids);
    jt_status s = jt_words_init(&seen, t->names, t->vocab, err);
    for (size_t i = 0; !s && i < t->vocab; i++) {
        const jt_view *v = &t->names[i];
        if (!v->n || !jt_type_special(t->types[i]) || jt_words_get(&seen, v->s, v->n) != JT_NO_TOKEN) continue;
        jt_words_put(&seen, (uint32_t)i);
        ids[n++] = (uint32_t)i;
    }
    if (!s) s = jt_added_init(out, t->names, ids, n, t->added_flags, err);
    jt_words_free(&seen);
    jt_free(ids);
    return s;
}

jt_status jt_chat_find(jt_tokenizer *t, jt_view text, jt_error *err) {
    jt_error why = {0};
    jt_template *template = NULL;
    if (!text.s) {
        snprintf(t->chat_why, sizeof t->chat_why, "the model has no chat template; give it the prompt as plain text");
        return JT_OK;
    }
    jt_status s = jt_template_new(text.s, text.n, &template, &why);
    if (s == JT_NOMEM) return jt_error_set(err, s, "%s", why.message);
    if (s) {
        int n = (int)jt_utf8_whole(why.message, strlen(why.message) < 150 ? strlen(why.message) : 150);
        snprintf(t->chat_why, sizeof t->chat_why, "the model's chat template cannot be read (%.*s); give it the prompt as plain text", n,
                 why.message);
        return JT_OK;
    }
    if (!(t->chat = jt_alloc(1, sizeof *t->chat))) {
        jt_template_free(template);
        return jt_nomem(err, "a chat template", 1, sizeof *t->chat);
    }
    t->chat->template = template;
    chat_promote(t, text);
    return chat_specials(t, &t->chat->special, err);
}

void jt_chat_free(struct jt_chat *c) {
    if (!c) return;
    jt_template_free(c->template);
    jt_added_free(&c->special);
    jt_free(c);
}

const char *jt_chat_format(const jt_tokenizer *t) { return t->chat ? "template" : NULL; }

const char *jt_chat_template(const jt_tokenizer *t, size_t *n) {
    *n = 0;
    return t->chat ? jt_template_source(t->chat->template, n) : NULL;
}

static jt_status chat_token(const jt_tokenizer *t, int32_t id, jt_str *out, jt_error *err) {
    if (id < 0) return JT_OK;
    jt_str_add(out, t->names[id].s, t->names[id].n);
    return jt_str_check(out, err);
}

/* The first byte of [begin, end) that a message said, or `end`. */
static size_t chat_said(const uint8_t *from, size_t begin, size_t end) {
    const uint8_t *p = memchr(from + begin, 1, end - begin);
    return p ? (size_t)(p - from) : end;
}

/* The next special token of which no message said a byte; of several at one place the longest such. */
static jt_added_hit chat_next(const jt_tokenizer *t, const jt_added *a, const jt_template_text *text, size_t at, size_t floor) {
    for (;;) {
        jt_added_hit h = jt_added_next(a, t->names, text->text, text->n, at, floor);
        if (h.id == JT_NO_TOKEN) return h;
        size_t own = h.next - t->names[h.id].n, said = chat_said(text->from, own, h.next);
        if (said == h.next) return h;
        if (said > own) {
            h = jt_added_next(a, t->names, text->text, said, own, floor);
            if (h.id != JT_NO_TOKEN && h.next - t->names[h.id].n == own) return h;
        }
        at = own + 1;
    }
}

static jt_status chat_tokens(const jt_tokenizer *t, const jt_added *special, const jt_template_text *text, jt_tokens *out, jt_error *err) {
    jt_bpe_work w = {0};
    jt_status s = JT_OK;
    size_t before = out->n;
    if (text->n > (size_t)1 << 31) return jt_error_set(err, JT_LIMIT, "a conversation of more than 2 GiB");
    for (size_t at = 0, next = 0; !s;) {
        jt_added_hit h = chat_next(t, special, text, next, at);
        if (h.begin > at) s = jt_encode_part(t, text->text + at, h.begin - at, at, 0, &w, out, err);
        if (s || h.id == JT_NO_TOKEN) break;
        s = jt_tokens_push(out, h.id, h.begin, h.end, err);
        at = h.end, next = h.next;
    }
    jt_bpe_work_free(&w);
    if (s) out->n = before;
    return s;
}

static void chat_mask(const jt_template_text *text, const jt_token *t, size_t n, uint8_t *mask) {
    for (size_t i = 0; i < text->n_generation; i++) {
        const jt_template_span *g = &text->generation[i];
        size_t low = 0, high = n;
        while (low < high) { /* the first token that ends behind the beginning */
            size_t mid = low + (high - low) / 2;
            if (t[mid].end > g->begin)
                high = mid;
            else
                low = mid + 1;
        }
        for (; low < n && t[low].begin < g->end; low++) mask[low] |= t[low].end > g->begin && t[low].end > t[low].begin;
    }
}

jt_status jt_template_tokens(const jt_tokenizer *t, const jt_template_text *text, jt_tokens *out, uint8_t **mask, jt_error *err) {
    jt_added own = {0};
    size_t before = out->n;
    jt_status s = t->chat ? JT_OK : chat_specials(t, &own, err);
    if (!s) s = chat_tokens(t, t->chat ? &t->chat->special : &own, text, out, err);
    uint8_t *m = s || !mask ? NULL : jt_alloc(out->n - before + 1, 1);
    if (!s && mask && !m) out->n = before, s = jt_nomem(err, "a mask", out->n - before + 1, 1);
    if (m) {
        chat_mask(text, out->t + before, out->n - before, m);
        *mask = m;
    }
    jt_added_free(&own);
    return s;
}

void jt_mask_free(uint8_t *mask) { jt_free(mask); }

/* The tokens of a conversation given as JSON. */
static jt_status chat_write(const jt_tokenizer *t, const char *json, size_t n, jt_tokens *out, jt_error *err) {
    jt_template_text text = {0};
    jt_str bos = {0}, eos = {0};
    jt_status s = chat_token(t, t->bos, &bos, err);
    if (!s) s = chat_token(t, t->eos, &eos, err);
    const jt_template_options o = {.bos = bos.s, .eos = eos.s, .hf = 1};
    if (!s) s = jt_template_render(t->chat->template, json, n, &o, &text, err);
    if (!s) s = chat_tokens(t, &t->chat->special, &text, out, err);
    jt_template_text_free(&text);
    jt_str_free(&bos), jt_str_free(&eos);
    return s;
}

jt_status jt_chat_encode_json(const jt_tokenizer *t, const char *conversation, size_t n, jt_tokens *out, jt_error *err) {
    if (!t->chat) return jt_error_set(err, JT_UNSUPPORTED, "%s", t->chat_why);
    return chat_write(t, conversation, n, out, err);
}

static jt_status chat_is_text(const char *s, int message, jt_error *err) {
    size_t n = strlen(s);
    for (size_t i = 0; i < n;) {
        int w = (unsigned char)s[i] < 0x80 ? 1 : jt_utf8_next(s + i, n - i, NULL);
        if (!w) return jt_error_set(err, JT_INVALID, "message %d: byte %zu is not UTF-8; chat templates take text only", message, i);
        i += (size_t)w;
    }
    return JT_OK;
}

jt_status jt_chat_encode(const jt_tokenizer *t, const jt_message *m, int n, int answer, jt_tokens *out, jt_error *err) {
    if (!t->chat) return jt_error_set(err, JT_UNSUPPORTED, "%s", t->chat_why);
    if (n < 0) return jt_error_set(err, JT_INVALID, "a conversation of %d messages", n);
    jt_str json = {0};
    jt_status s = JT_OK;
    jt_str_puts(&json, "{\"messages\": [");
    for (int i = 0; i < n && !s; i++) {
        if (!m[i].role || !m[i].content) s = jt_error_set(err, JT_INVALID, "message %d has no %s", i, m[i].role ? "content" : "role");
        if (!s) s = chat_is_text(m[i].role, i, err);
        if (!s) s = chat_is_text(m[i].content, i, err);
        if (s) break;
        jt_str_puts(&json, i ? ", {\"role\": " : "{\"role\": ");
        jt_str_json(&json, m[i].role, strlen(m[i].role));
        jt_str_puts(&json, ", \"content\": ");
        jt_str_json(&json, m[i].content, strlen(m[i].content));
        jt_str_putc(&json, '}');
    }
    jt_str_printf(&json, "], \"add_generation_prompt\": %s}", answer ? "true" : "false");
    if (!s) s = jt_str_check(&json, err);
    if (!s) s = chat_write(t, jt_str_c(&json), json.n, out, err);
    jt_str_free(&json);
    return s;
}
