/* normal_steps.c: the normalisers of Hugging Face tokenizers and of SentencePiece, each on text that remembers where it came
 * from (flow.h). Bytes that are not UTF-8 pass through all of them. */
#include <string.h>

#include "core/mem.h"
#include "text/charsmap.h"
#include "text/flow.h"
#include "text/unicode.h"
#include "text/vocab.h"

/* Puts the characters of the text into f->chars, with the spans of the original. */
static jt_status steps_read(jt_flow *f, jt_error *err) {
    jt_status s = jt_normal_read(&f->chars, jt_str_c(&f->text), f->text.n, 0, err);
    for (size_t i = 0; !s && i < f->chars.n; i++) {
        jt_normal_char *c = &f->chars.c[i];
        jt_flow_span span = jt_flow_of(f, c->begin, c->end);
        c->begin = span.begin, c->end = span.end;
    }
    return s;
}

static void steps_swap(jt_flow *f) {
    jt_normal x = f->chars;
    f->chars = f->spare, f->spare = x;
}

static jt_status steps_write(jt_flow *f, jt_error *err) {
    for (size_t i = 0; i < f->chars.n; i++) {
        const jt_normal_char *c = &f->chars.c[i];
        jt_flow_put_char(f, c->cp, (jt_flow_span){(uint32_t)c->begin, (uint32_t)c->end});
    }
    return jt_flow_turn(f, err);
}

static bool steps_plain(const jt_flow *f) {
    unsigned char any = 0;
    for (size_t i = 0; i < f->text.n; i++) any |= (unsigned char)f->text.s[i];
    return any < 0x80;
}

static jt_status steps_form(const jt_stage *g, jt_flow *f, jt_error *err) {
    if (steps_plain(f)) return JT_OK;
    bool compat = g->step.kind == JT_STEP_NFKC || g->step.kind == JT_STEP_NFKD;
    jt_status s = steps_read(f, err);
    if (!s) s = (compat ? jt_normal_nfkd : jt_normal_nfd)(&f->chars, &f->spare, err);
    if (s) return s;
    steps_swap(f);
    if (g->step.kind == JT_STEP_NFC || g->step.kind == JT_STEP_NFKC) jt_normal_compose(&f->chars);
    return steps_write(f, err);
}

/* The character at `at` and its width; a byte that is not UTF-8 is JT_NORMAL_BYTE and more. */
static uint32_t steps_char(const jt_flow *f, size_t at, size_t *width) {
    uint32_t cp;
    int w = jt_utf8_next(f->text.s + at, f->text.n - at, &cp);
    *width = w ? (size_t)w : 1;
    return w ? cp : (uint32_t)JT_NORMAL_BYTE + (unsigned char)f->text.s[at];
}

static bool steps_white(uint32_t cp) { return cp < JT_NORMAL_BYTE && jt_unicode_class(cp) == JT_CLASS_SPACE; }

static void steps_put_lower(jt_flow *f, uint32_t cp, jt_flow_span from) {
    uint32_t more = 0, low = cp < JT_NORMAL_BYTE ? jt_normal_lower_of(cp, &more) : cp;
    jt_flow_put_char(f, low, from);
    if (more) jt_flow_put_char(f, more, from);
}

static jt_status steps_lower(jt_flow *f, jt_error *err) {
    for (size_t i = 0, w; i < f->text.n; i += w) {
        uint32_t cp = steps_char(f, i, &w);
        steps_put_lower(f, cp, jt_flow_of(f, i, i + w));
    }
    return jt_flow_turn(f, err);
}

static jt_status steps_accents(jt_flow *f, unsigned kind, jt_error *err) {
    for (size_t i = 0, w; i < f->text.n; i += w) {
        uint32_t cp = steps_char(f, i, &w);
        if (cp >= JT_NORMAL_BYTE || !(jt_normal_kind_of(cp) & kind)) jt_flow_keep(f, i, i + w);
    }
    return jt_flow_turn(f, err);
}

static jt_status steps_nmt(jt_flow *f, jt_error *err) {
    for (size_t i = 0, w; i < f->text.n; i += w) {
        uint32_t c = steps_char(f, i, &w);
        if ((c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f || c == 0x8f || c == 0x9f) continue;
        bool space = c == 9 || c == 10 || c == 12 || c == 13 || c == 0x1680 || (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 ||
                     c == 0x2581 || c == 0xfeff || c == 0xfffd;
        if (space)
            jt_flow_put(f, " ", 1, jt_flow_of(f, i, i + w));
        else
            jt_flow_keep(f, i, i + w);
    }
    return jt_flow_turn(f, err);
}

/* memmem, which finds nothing where the needle is empty. */
static size_t normal_find(const char *s, size_t n, size_t at, jt_view what) {
    const char *p = what.n && what.n <= n - at ? memmem(s + at, n - at, what.s, what.n) : NULL;
    return p ? (size_t)(p - s) : n;
}

static jt_status steps_replace_text(const jt_stage *g, jt_flow *f, jt_error *err) {
    const char *s = jt_str_c(&f->text);
    size_t n = f->text.n, at = 0, hit = normal_find(s, n, 0, g->step.a);
    if (hit == n) return JT_OK;
    for (; hit < n; hit = normal_find(s, n, at, g->step.a)) {
        jt_flow_keep(f, at, hit);
        at = hit + g->step.a.n;
        if (g->step.b.n) jt_flow_put(f, g->step.b.s, g->step.b.n, jt_flow_of(f, hit, at));
    }
    jt_flow_keep(f, at, n);
    return jt_flow_turn(f, err);
}

static jt_status steps_replace(const jt_stage *g, jt_flow *f, jt_error *err) {
    if (!g->regex) return steps_replace_text(g, f, err);
    const char *s;
    size_t n = f->text.n, at = 0, from = 0;
    jt_status st = n ? jt_regex_text(&f->regex, f->text.s, n, &s, err) : JT_OK;
    while (!st && from < n) {
        jt_regex_match m;
        if ((st = jt_regex_next(g->regex, &f->regex, s, n, from, false, &m, err)) || !m.found) break;
        jt_flow_keep(f, at, m.begin);
        jt_flow_span span = m.end > m.begin ? jt_flow_of(f, m.begin, m.end)
                            : m.begin < n   ? (jt_flow_span){f->from[m.begin].begin, f->from[m.begin].begin}
                                            : (jt_flow_span){f->from[n - 1].end, f->from[n - 1].end};
        jt_flow_put(f, g->step.b.s, g->step.b.n, span);
        at = from = m.end;
        if (m.end == m.begin && m.end < n) { /* an empty match stands before a character, which stays */
            size_t w;
            steps_char(f, m.end, &w);
            from += w;
        } else if (m.end == m.begin) {
            break;
        }
    }
    if (st) {
        jt_str_clear(&f->next);
        return st;
    }
    jt_flow_keep(f, at, n);
    return jt_flow_turn(f, err);
}

static jt_status steps_prepend(const jt_stage *g, jt_flow *f, jt_error *err) {
    if (!f->text.n) return JT_OK;
    jt_flow_put(f, g->step.a.s, g->step.a.n, (jt_flow_span){f->from[0].begin, f->from[0].begin});
    jt_flow_keep(f, 0, f->text.n);
    return jt_flow_turn(f, err);
}

static jt_status steps_strip(const jt_stage *g, jt_flow *f, jt_error *err) {
    size_t begin = 0, end = 0, w;
    for (size_t i = 0; i < f->text.n; i += w) {
        bool white = steps_white(steps_char(f, i, &w));
        if (!white) end = i + w;
        if (white && begin == i && g->step.left) begin = i + w;
    }
    if (!g->step.right) end = f->text.n;
    if (begin < end) jt_flow_keep(f, begin, end);
    return jt_flow_turn(f, err);
}

static jt_status steps_clean(const jt_stage *g, jt_flow *f, jt_error *err) {
    const jt_wordpiece_options *o = &g->step.bert;
    for (size_t i = 0, w; i < f->text.n; i += w) {
        uint32_t cp = steps_char(f, i, &w);
        unsigned kind = cp < JT_NORMAL_BYTE ? jt_normal_kind_of(cp) : 0;
        if (o->clean && kind & JT_NORMAL_GONE) continue;
        jt_flow_span at = jt_flow_of(f, i, i + w);
        bool apart = o->cjk && kind & JT_NORMAL_CJK;
        if (apart) jt_flow_put(f, " ", 1, (jt_flow_span){at.begin, at.begin});
        if (o->clean && kind & JT_NORMAL_SPACE)
            jt_flow_put(f, " ", 1, at);
        else
            jt_flow_keep(f, i, i + w);
        if (apart) jt_flow_put(f, " ", 1, (jt_flow_span){at.end, at.end});
    }
    return jt_flow_turn(f, err);
}

static jt_status steps_bert(const jt_stage *g, jt_flow *f, jt_error *err) {
    const jt_wordpiece_options *o = &g->step.bert;
    jt_status s = steps_clean(g, f, err);
    if (!s && o->strip) s = steps_form(&(jt_stage){.step.kind = JT_STEP_NFD}, f, err);
    if (!s && o->strip) s = steps_accents(f, JT_NORMAL_ACCENT, err);
    return s || !o->lower ? s : steps_lower(f, err);
}

/* Runs of spaces become one, with the span of the first; those at the ends go. */
static jt_status steps_collapse(jt_flow *f, jt_error *err) {
    size_t n = f->text.n, at = 0;
    const char *s = jt_str_c(&f->text);
    while (at < n && s[at] == ' ') at++;
    for (;;) { /* at the end U+2581 goes as well, wherever it came from */
        if (n > at && s[n - 1] == ' ')
            n--;
        else if (n >= at + 3 && !memcmp(s + n - 3, "\xe2\x96\x81", 3))
            n -= 3;
        else
            break;
    }
    for (size_t end; at < n; at = end) {
        for (end = at; end < n && !(s[end] == ' ' && s[end - 1] == ' '); end++) continue;
        jt_flow_keep(f, at, end);
        while (end < n && s[end] == ' ') end++;
    }
    return jt_flow_turn(f, err);
}

static jt_status steps_bytes(jt_flow *f, jt_error *err) {
    for (size_t i = 0; i < f->text.n; i++) jt_flow_put_char(f, jt_byte_level_char((unsigned char)f->text.s[i]), f->from[i]);
    return jt_flow_turn(f, err);
}

jt_status jt_stage_normal(const jt_stage *g, jt_flow *f, jt_error *err) {
    switch (g->step.kind) {
    case JT_STEP_NFC:
    case JT_STEP_NFD:
    case JT_STEP_NFKC:
    case JT_STEP_NFKD: return steps_form(g, f, err);
    case JT_STEP_LOWER: return steps_lower(f, err);
    case JT_STEP_STRIP_ACCENTS: return steps_accents(f, JT_NORMAL_MARK, err);
    case JT_STEP_NMT: return steps_nmt(f, err);
    case JT_STEP_REPLACE: return steps_replace(g, f, err);
    case JT_STEP_PREPEND: return steps_prepend(g, f, err);
    case JT_STEP_STRIP: return steps_strip(g, f, err);
    case JT_STEP_BERT: return steps_bert(g, f, err);
    case JT_STEP_CHARSMAP: return jt_charsmap_run(g->map, f, g->step.graphemes, err);
    case JT_STEP_COLLAPSE: return steps_collapse(f, err);
    default: return steps_bytes(f, err);
    }
}
