#include "text/wordpiece.h"

#include <string.h>

#include "core/mem.h"
#include "core/str.h"

/* Of equal ones the last counts. */
static jt_status wordpiece_trie(jt_wordpiece *w, const uint8_t *begins, size_t count, uint8_t which, jt_trie *t, jt_error *err) {
    uint32_t *ids = jt_alloc(count, sizeof *ids);
    jt_words seen = {0};
    size_t n = 0;
    jt_status s = ids ? jt_words_init(&seen, w->core, count, err) : jt_nomem(err, "the vocabulary", count, sizeof *ids);
    for (size_t i = count; !s && i-- > 0;) {
        const jt_view *v = &w->core[i];
        if (!v->n || begins[i] != which || jt_words_get(&seen, v->s, v->n) != JT_NO_TOKEN) continue;
        jt_words_put(&seen, (uint32_t)i);
        ids[n++] = (uint32_t)i;
    }
    if (!s) s = jt_trie_init(t, w->core, ids, n, NULL, err);
    jt_words_free(&seen);
    jt_free(ids);
    return s;
}

jt_status jt_wordpiece_init(jt_wordpiece *w, jt_view *core, const uint8_t *begins, size_t count, uint32_t unk,
                            const jt_wordpiece_options *o, jt_error *err) {
    *w = (jt_wordpiece){.core = core, .unk = unk, .options = *o};
    jt_status s = wordpiece_trie(w, begins, count, 1, &w->first, err);
    return s ? s : wordpiece_trie(w, begins, count, 0, &w->more, err);
}

void jt_wordpiece_free(jt_wordpiece *w) {
    jt_trie_free(&w->first), jt_trie_free(&w->more);
    jt_free(w->core);
    *w = (jt_wordpiece){0};
}

/* ---- the normaliser ---- */

struct wordpiece_work {
    jt_normal text, other;
    jt_str word;   /* UTF-8 of a word */
    size_t *place; /* [bytes of the word]: the character that a byte is of */
    size_t cap_place;
};

/* Cleans and spaces what is in work->text, into work->other. */
static jt_status wordpiece_clean(const jt_wordpiece *w, struct wordpiece_work *k, jt_error *err) {
    jt_status s = JT_OK;
    k->other.n = 0;
    for (size_t i = 0; i < k->text.n && !s; i++) {
        jt_normal_char c = k->text.c[i];
        if (c.cp >= JT_NORMAL_BYTE) c.cp = 0xfffd;
        unsigned kind = jt_normal_kind_of(c.cp);
        if (w->options.clean && kind & JT_NORMAL_GONE) continue;
        if (w->options.clean && kind & JT_NORMAL_SPACE) c.cp = ' ';
        bool apart = w->options.cjk && kind & JT_NORMAL_CJK;
        if (apart) s = jt_normal_push(&k->other, ' ', c.begin, c.begin, err);
        if (!s) s = jt_normal_push(&k->other, c.cp, c.begin, c.end, err);
        if (apart && !s) s = jt_normal_push(&k->other, ' ', c.end, c.end, err);
    }
    return s;
}

static jt_status wordpiece_normalise(const jt_wordpiece *w, const char *s, size_t n, size_t base, struct wordpiece_work *k, jt_error *err) {
    jt_status st = jt_normal_read(&k->text, s, n, base, err);
    if (!st) st = wordpiece_clean(w, k, err);
    if (st) return st;
    if (w->options.strip) {
        if ((st = jt_normal_nfd(&k->other, &k->text, err))) return st;
        size_t left = 0;
        for (size_t i = 0; i < k->text.n; i++)
            if (!(jt_normal_kind_of(k->text.c[i].cp) & JT_NORMAL_ACCENT)) k->text.c[left++] = k->text.c[i];
        k->text.n = left;
    } else {
        jt_normal swap = k->text;
        k->text = k->other, k->other = swap;
    }
    if (!w->options.lower) return JT_OK;
    k->other.n = 0;
    for (size_t i = 0; i < k->text.n && !st; i++) {
        const jt_normal_char *c = &k->text.c[i];
        uint32_t more, low = jt_normal_lower_of(c->cp, &more);
        st = jt_normal_push(&k->other, low, c->begin, c->end, err);
        if (!st && more) st = jt_normal_push(&k->other, more, c->begin, c->end, err);
    }
    jt_normal swap = k->text;
    k->text = k->other, k->other = swap;
    return st;
}

/* ---- words ---- */

/* The bytes of the original that characters [first, end) came from. */
static void wordpiece_span(const jt_normal *t, size_t first, size_t end, size_t *from, size_t *to) {
    *from = t->c[first].begin, *to = t->c[first].end;
    for (size_t i = first + 1; i < end; i++) {
        if (t->c[i].begin < *from) *from = t->c[i].begin;
        if (t->c[i].end > *to) *to = t->c[i].end;
    }
}

/* The tokens of the word of characters [first, end). */
static jt_status wordpiece_word(const jt_wordpiece *w, struct wordpiece_work *k, size_t first, size_t end, jt_tokens *out, jt_error *err) {
    size_t before = out->n, begin, stop;
    bool known = end - first <= (size_t)w->options.most_chars;
    jt_str_clear(&k->word);
    for (size_t i = first; known && i < end; i++) {
        size_t at = k->word.n;
        char utf8[4];
        jt_str_add(&k->word, utf8, (size_t)jt_utf8_put(k->text.c[i].cp, utf8));
        jt_status s = jt_grow((void **)&k->place, &k->cap_place, k->word.n, sizeof *k->place, err);
        if (s) return s;
        while (at < k->word.n) k->place[at++] = i;
    }
    jt_status s = jt_str_check(&k->word, err);
    for (size_t at = 0; !s && known && at < k->word.n;) {
        uint32_t id = jt_trie_longest(at ? &w->more : &w->first, k->word.s + at, k->word.n - at);
        if (id == JT_NO_TOKEN) {
            known = false;
            break;
        }
        size_t last = at + w->core[id].n - 1;
        wordpiece_span(&k->text, k->place[at], k->place[last] + 1, &begin, &stop);
        s = jt_tokens_push(out, id, begin, stop, err);
        at = last + 1;
    }
    if (s || known) return s;
    out->n = before;
    wordpiece_span(&k->text, first, end, &begin, &stop);
    return jt_tokens_push(out, w->unk, begin, stop, err);
}

static jt_status wordpiece_part(const jt_wordpiece *w, const char *s, size_t n, size_t base, struct wordpiece_work *k, jt_tokens *out,
                                jt_error *err) {
    jt_status st = wordpiece_normalise(w, s, n, base, k, err);
    for (size_t i = 0, end; i < k->text.n && !st; i = end) {
        unsigned kind = jt_normal_kind_of(k->text.c[i].cp);
        end = i + 1;
        if (kind & JT_NORMAL_WHITE) continue;
        while (!(kind & JT_NORMAL_PUNCT) && end < k->text.n &&
               !(jt_normal_kind_of(k->text.c[end].cp) & (JT_NORMAL_WHITE | JT_NORMAL_PUNCT)))
            end++;
        st = wordpiece_word(w, k, i, end, out, err);
    }
    return st;
}

/* A line or a space ends every word and takes part in no character, so that text is taken in parts that end there. */
jt_status jt_wordpiece_encode(const jt_wordpiece *w, const char *s, size_t n, size_t base, jt_tokens *out, jt_error *err) {
    enum { PART = 4096 };
    struct wordpiece_work k = {0};
    jt_status st = JT_OK;
    for (size_t at = 0, end; at < n && !st; at = end) {
        end = n - at > PART ? at + PART : n;
        while (end < n && s[end] != ' ' && s[end] != '\n') end++;
        st = wordpiece_part(w, s + at, end - at, base + at, &k, out, err);
    }
    jt_normal_free(&k.text), jt_normal_free(&k.other);
    jt_str_free(&k.word), jt_free(k.place);
    return st;
}
