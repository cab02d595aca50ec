/* filters_text.c: filters that give text. */
#include <stdio.h>
#include <string.h>

#include "text/jinja/chars.h"
#include "text/jinja/node.h"
#include "text/jinja/strings.h"

/* Text as soft_str gives it: Markup stays Markup. */
static const jt_jstr *soft(jt_jrun *r, jt_jval v) { return jt_jtext(r, v); }

static bool give_text(jt_jrun *r, const jt_jstr *s, bool markup, jt_jval *out) {
    if (s) s = jt_jstr_as(r, s, markup);
    *out = jt_jstring(s);
    return s != NULL;
}

static bool arg_int(jt_jrun *r, jt_jval v, const char *what, int64_t *out) {
    return v.kind == JT_J_MISSING || jt_jwant_int(r, v, what, out);
}

static bool f_case(jt_jrun *r, const char *what, const jt_jargs *a, jt_jcase how, jt_jval *out) {
    jt_jval v[1];
    const jt_jstr *s;
    if (!jt_jargs_bind(r, what, a, "s", 1, v) || !(s = soft(r, v[0]))) return false;
    return give_text(r, jt_jstr_case(r, s, how), s->markup, out);
}
static bool f_upper(jt_jrun *r, const jt_jargs *a, jt_jval *out) { return f_case(r, "upper", a, JT_J_UPPER, out); }
static bool f_lower(jt_jrun *r, const jt_jargs *a, jt_jval *out) { return f_case(r, "lower", a, JT_J_LOWER, out); }
static bool f_capitalize(jt_jrun *r, const jt_jargs *a, jt_jval *out) { return f_case(r, "capitalize", a, JT_J_CAPITAL, out); }

static bool opens_word(char c) { return c && strchr("-({[<", c); }

/* Words begin behind white space, hyphens and opening brackets. */
static bool f_title(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[1];
    const jt_jstr *s, *part;
    jt_jbuf b = {.r = r};
    if (!jt_jargs_bind(r, "title", a, "s", 1, v) || !(s = soft(r, v[0])) || !jt_jstep(r, s->n / 8)) return false;
    for (size_t at = 0; at < s->n;) {
        size_t end = at;
        while (end < s->n && (opens_word(s->s[end]) || jt_jspace_past(s, end) > end))
            end = opens_word(s->s[end]) ? end + 1 : jt_jspace_past(s, end);
        if (!jt_jbuf_part(&b, s, at, end)) return false;
        at = end;
        while (end < s->n && !opens_word(s->s[end])) {
            size_t space = jt_jspace_past(s, end);
            if (space > end) break;
            end++;
            while (end < s->n && ((unsigned char)s->s[end] & 0xc0) == 0x80) end++;
        }
        size_t first = at + (at < end);
        while (first < end && ((unsigned char)s->s[first] & 0xc0) == 0x80) first++;
        if (!(part = jt_jstr_cut(r, s, at, first)) || !(part = jt_jstr_case(r, part, JT_J_UPPER)) || !jt_jbuf_str(&b, part)) return false;
        if (!(part = jt_jstr_cut(r, s, first, end)) || !(part = jt_jstr_case(r, part, JT_J_LOWER)) || !jt_jbuf_str(&b, part)) return false;
        at = end;
    }
    return give_text(r, jt_jbuf_end(&b), false, out);
}

static bool f_trim(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[2];
    const jt_jstr *s, *chars = NULL;
    if (!jt_jargs_bind(r, "trim", a, "value chars", 1, v) || !(s = soft(r, v[0]))) return false;
    if (v[1].kind != JT_J_MISSING && v[1].kind != JT_J_NONE && !jt_jwant_str(r, v[1], "trim", &chars)) return false;
    return give_text(r, jt_jstr_strip(r, s, chars, true, true), s->markup, out);
}

static bool f_replace(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[4];
    int64_t most = -1;
    if (!jt_jargs_bind(r, "replace", a, "s old new count", 3, v)) return false;
    if (v[3].kind != JT_J_NONE && !arg_int(r, v[3], "replace", &most)) return false;
    const jt_jstr *s = jt_jtext(r, v[0]), *from = jt_jtext(r, v[1]), *to = jt_jtext(r, v[2]);
    return s && from && to && give_text(r, jt_jstr_replace(r, s, from, to, most), false, out);
}

static bool f_center(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[2];
    int64_t width = 80;
    const jt_jstr *s;
    if (!jt_jargs_bind(r, "center", a, "value width", 1, v) || !arg_int(r, v[1], "center", &width) || !(s = soft(r, v[0]))) return false;
    return give_text(r, jt_jstr_pad(r, s, width, NULL, '^'), s->markup, out);
}

static bool f_indent(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[4];
    const jt_jstr *s, *in;
    bool first = false, blank = false;
    int64_t width = 4;
    jt_jbuf space = {.r = r}, b = {.r = r}, whole = {.r = r};
    if (!jt_jargs_bind(r, "indent", a, "s width first blank", 1, v) || !jt_jwant_str(r, v[0], "indent", &s)) return false;
    if (!jt_jtruth(r, v[2], &first) || !jt_jtruth(r, v[3], &blank)) return false;
    if (v[1].kind == JT_J_STR) {
        in = v[1].s;
        if (s->markup && !in->markup && !(in = jt_jescape(r, v[1]))) return false;
    } else {
        if (!arg_int(r, v[1], "indent", &width)) return false;
        if (!jt_jbuf_fill(&space, ' ', width > 0 ? (size_t)width : 0) || !(in = jt_jbuf_end(&space))) return false;
    }
    if (!jt_jbuf_str(&whole, s) || !jt_jbuf_puts(&whole, "\n")) return false;
    const jt_jstr *all = jt_jbuf_end(&whole);
    jt_jlist *l = all ? jt_jstr_lines(r, all, false) : NULL;
    if (!l || (first && !jt_jbuf_str(&b, in))) return false;
    for (size_t i = 0; i < l->n; i++) {
        const jt_jstr *line = l->v[i].s;
        if (i && (!jt_jbuf_puts(&b, "\n") || ((blank || line->n) && !jt_jbuf_str(&b, in)))) return false;
        if (!jt_jbuf_str(&b, line)) return false;
    }
    return give_text(r, jt_jbuf_end(&b), s->markup, out);
}

static bool f_truncate(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[5];
    int64_t length = 255, leeway = 5;
    size_t len = 0;
    bool kill = false;
    const jt_jstr *s, *end;
    jt_jbuf b = {.r = r};
    if (!jt_jargs_bind(r, "truncate", a, "s length killwords end leeway", 1, v) || !arg_int(r, v[1], "truncate", &length) ||
        !jt_jtruth(r, v[2], &kill))
        return false;
    if (v[3].kind == JT_J_MISSING && !jt_jval_text(r, "...", &v[3])) return false;
    if (v[4].kind != JT_J_NONE && !arg_int(r, v[4], "truncate", &leeway)) return false;
    if (!jt_jwant_str(r, v[3], "truncate", &end)) return false;
    if (length < (int64_t)end->len) return jt_jfail(r, JT_FORMAT, "truncate: expected length >= %zu", end->len);
    if (leeway < 0) return jt_jfail(r, JT_FORMAT, "truncate: expected leeway >= 0");
    if (!jt_jlen(r, v[0], &len)) return false;
    if ((int64_t)len <= length || (int64_t)len - length <= leeway) return *out = v[0], true;
    if (!jt_jwant_str(r, v[0], "truncate", &s)) return false;
    size_t stop = jt_jstr_place(s, (size_t)length - end->len);
    if (!kill) {
        size_t at = stop;
        while (at && s->s[at - 1] != ' ') at--;
        if (at) stop = at - 1;
    }
    return jt_jbuf_part(&b, s, 0, stop) && jt_jbuf_str(&b, end) && give_text(r, jt_jbuf_end(&b), s->markup, out);
}

static bool f_wordcount(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[1];
    const jt_jstr *s;
    int64_t n = 0;
    bool in = false;
    uint32_t cp;
    int w;
    if (!jt_jargs_bind(r, "wordcount", a, "s", 1, v) || !(s = soft(r, v[0])) || !jt_jstep(r, s->n / 8)) return false;
    for (size_t i = 0; i < s->n; i += (size_t)w) {
        w = jt_utf8_next(s->s + i, s->n - i, &cp);
        bool word = cp == '_' || jt_char_kind(cp) & JT_CHAR_ALNUM;
        n += word && !in;
        in = word;
    }
    *out = jt_jinteger(n);
    return true;
}

/* ---- wordwrap ---- */

static bool ascii_white(char c) { return c == ' ' || (c >= 9 && c <= 13); }

/* Where the chunk at `at` ends: white space or none. */
static size_t chunk_end(const jt_jstr *s, size_t at) {
    size_t end = at;
    while (end < s->n && ascii_white(s->s[end]) == ascii_white(s->s[at])) end++;
    return end;
}

static size_t chars_in(const jt_jstr *s, size_t from, size_t to) {
    size_t n = 0;
    for (; from < to; from++) n += ((unsigned char)s->s[from] & 0xc0) != 0x80;
    return n;
}

/* One line of the text in lines of at most `width` characters, as Python's textwrap fills them. */
static bool wrap_line(jt_jbuf *b, const jt_jstr *s, size_t width, bool cut, const jt_jstr *wrap) {
    bool any = false;
    for (size_t at = 0; at < s->n;) {
        if (any && ascii_white(s->s[at])) {
            at = chunk_end(s, at);
            if (at == s->n) break;
        }
        size_t begin = at, len = 0, end;
        for (; at < s->n; at = end) {
            end = chunk_end(s, at);
            size_t n = chars_in(s, at, end);
            if (len + n > width) break;
            len += n;
        }
        if (at < s->n && (end = chunk_end(s, at), chars_in(s, at, end) > width)) {
            if (cut) {
                for (; len < width && at < end; len++) do
                        at++;
                    while (at < end && ((unsigned char)s->s[at] & 0xc0) == 0x80);
            } else if (at == begin) {
                at = end;
            }
        }
        size_t stop = at;
        while (stop > begin && ascii_white(s->s[stop - 1])) stop--;
        if (stop == begin) continue;
        if ((any && !jt_jbuf_str(b, wrap)) || !jt_jbuf_part(b, s, begin, stop) || !jt_jstep(b->r, 1)) return false;
        any = true;
    }
    return true;
}

static bool f_wordwrap(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[5];
    int64_t width = 79;
    bool cut = true, hyphens = true;
    const jt_jstr *s, *wrap;
    jt_jbuf b = {.r = r};
    if (!jt_jargs_bind(r, "wordwrap", a, "s width break_long_words wrapstring break_on_hyphens", 1, v)) return false;
    if (!jt_jwant_str(r, v[0], "wordwrap", &s) || !arg_int(r, v[1], "wordwrap", &width)) return false;
    if (v[2].kind != JT_J_MISSING && !jt_jtruth(r, v[2], &cut)) return false;
    if (v[4].kind != JT_J_MISSING && !jt_jtruth(r, v[4], &hyphens)) return false;
    if ((v[3].kind == JT_J_MISSING || v[3].kind == JT_J_NONE) && !jt_jval_text(r, "\n", &v[3])) return false;
    if (!jt_jwant_str(r, v[3], "wordwrap", &wrap)) return false;
    if (width <= 0) return jt_jfail(r, JT_FORMAT, "wordwrap: the width must be more than 0");
    if (hyphens && memchr(s->s, '-', s->n))
        return jt_jfail(r, JT_UNSUPPORTED, "wordwrap of a text with hyphens is supported with break_on_hyphens=false only");
    jt_jlist *l = jt_jstr_lines(r, s, false);
    if (!l || !jt_jstep(r, s->n)) return false;
    for (size_t i = 0; i < l->n; i++)
        if ((i && !jt_jbuf_str(&b, wrap)) || !wrap_line(&b, l->v[i].s, (size_t)width, cut, wrap)) return false;
    return give_text(r, jt_jbuf_end(&b), false, out);
}

/* ---- marks of HTML ---- */

static bool f_string(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[1];
    const jt_jstr *s;
    return jt_jargs_bind(r, "string", a, "s", 1, v) && (s = soft(r, v[0])) && give_text(r, s, s->markup, out);
}
static bool f_safe(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[1];
    return jt_jargs_bind(r, "safe", a, "value", 1, v) && give_text(r, jt_jtext(r, v[0]), true, out);
}
static bool f_escape(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[1];
    return jt_jargs_bind(r, "escape", a, "s", 1, v) && give_text(r, jt_jescape(r, v[0]), true, out);
}
static bool f_forceescape(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[1];
    jt_jbuf b = {.r = r};
    const jt_jstr *s;
    return jt_jargs_bind(r, "forceescape", a, "value", 1, v) && (s = jt_jtext(r, v[0])) && jt_jbuf_escape(&b, s) &&
           give_text(r, jt_jbuf_end(&b), true, out);
}

/* Appends s without what stands between two marks. */
static const jt_jstr *without(jt_jrun *r, const jt_jstr *s, const char *open, const char *close) {
    jt_jbuf b = {.r = r};
    jt_jstr from = {.s = open, .n = strlen(open)}, to = {.s = close, .n = strlen(close)};
    size_t at = 0;
    for (size_t begin; (begin = jt_jstr_find(s, &from, at)) != SIZE_MAX;) {
        size_t end = jt_jstr_find(s, &to, begin);
        if (end == SIZE_MAX) break;
        if (!jt_jbuf_part(&b, s, at, begin) || !jt_jstep(r, 1)) return NULL;
        at = end + to.n;
    }
    return jt_jbuf_part(&b, s, at, s->n) ? jt_jbuf_end(&b) : NULL;
}

static bool f_striptags(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    static const struct {
        const char *name;
        char c;
    } entity[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&#39;", '\''}, {"&#34;", '"'}};
    jt_jval v[1];
    const jt_jstr *s;
    jt_jbuf words = {.r = r}, b = {.r = r};
    if (!jt_jargs_bind(r, "striptags", a, "value", 1, v) || !(s = jt_jtext(r, v[0])) || !(s = without(r, s, "<!--", "-->")) ||
        !(s = without(r, s, "<", ">")))
        return false;
    for (size_t at = jt_jspace_past(s, 0); at < s->n;) {
        size_t end = jt_jspace_next(s, at);
        if ((words.n && !jt_jbuf_puts(&words, " ")) || !jt_jbuf_part(&words, s, at, end)) return false;
        at = jt_jspace_past(s, end);
    }
    if (!(s = jt_jbuf_end(&words))) return false;
    for (size_t at = 0; at < s->n;) {
        const char *p = memchr(s->s + at, '&', s->n - at);
        size_t stop = p ? (size_t)(p - s->s) : s->n, k = 0;
        if (!jt_jbuf_part(&b, s, at, stop)) return false;
        at = stop;
        if (!p) break;
        for (; k < 6 && (s->n - at < strlen(entity[k].name) || memcmp(p, entity[k].name, strlen(entity[k].name)) != 0); k++) {
        }
        if (k == 6 && at + 1 < s->n && !strchr("\t\n\f <&;", s->s[at + 1]))
            return jt_jfail(r, JT_UNSUPPORTED, "striptags: a character by its HTML name, other than amp, lt, gt and quot");
        if (!(k == 6 ? jt_jbuf_part(&b, s, at, at + 1) : jt_jbuf_char(&b, (unsigned char)entity[k].c, s->m && s->m[at]))) return false;
        at += k == 6 ? 1 : strlen(entity[k].name);
    }
    return give_text(r, jt_jbuf_end(&b), false, out);
}

static bool quote_url(jt_jrun *r, jt_jbuf *b, jt_jval v, bool query) {
    const jt_jstr *s = jt_jtext(r, v);
    char t[8];
    bool ok = s != NULL;
    for (size_t i = 0; ok && i < s->n; i++) {
        unsigned char c = (unsigned char)s->s[i];
        bool plain = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || strchr("_.-~", c ? c : ' ') || (c == '/' && !query);
        if (c >= 0x80) plain = false;
        snprintf(t, sizeof t, "%%%02X", c);
        ok = plain ? jt_jbuf_part(b, s, i, i + 1) : jt_jbuf_puts(b, c == ' ' && query ? "+" : t);
    }
    return ok;
}

static bool f_urlencode(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[1], one;
    jt_jbuf b = {.r = r};
    if (!jt_jargs_bind(r, "urlencode", a, "value", 1, v)) return false;
    if (v[0].kind == JT_J_STR || !jt_jiterable(v[0])) return quote_url(r, &b, v[0], false) && give_text(r, jt_jbuf_end(&b), false, out);
    if (v[0].kind == JT_J_DICT) {
        struct jt_jview *view = jt_jalloc(r, 1, sizeof *view);
        if (!view) return false;
        *view = (struct jt_jview){v[0].dict, JT_J_ITEMS};
        v[0] = (jt_jval){.kind = JT_J_VIEW, .view = view};
    }
    jt_jiter *it = jt_jiter_new(r, v[0]);
    for (bool done = false; it;) {
        if (!jt_jiter_next(r, it, &one, &done)) return false;
        if (done) break;
        jt_jlist *pair = jt_jlist_of(r, one);
        if (!pair) return false;
        if (pair->n != 2) return jt_jfail(r, JT_FORMAT, "urlencode wants pairs of a name and a value");
        if ((b.n && !jt_jbuf_puts(&b, "&")) || !quote_url(r, &b, pair->v[0], true) || !jt_jbuf_puts(&b, "=") ||
            !quote_url(r, &b, pair->v[1], true))
            return false;
    }
    return it && give_text(r, jt_jbuf_end(&b), false, out);
}

static bool f_xmlattr(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[2];
    bool space = true;
    jt_jbuf b = {.r = r};
    if (!jt_jargs_bind(r, "xmlattr", a, "d autospace", 1, v)) return false;
    if (v[1].kind != JT_J_MISSING && !jt_jtruth(r, v[1], &space)) return false;
    if (v[0].kind != JT_J_DICT) return jt_jfail(r, JT_FORMAT, "xmlattr wants a dict, not '%s'", jt_jkind_name(v[0]));
    for (size_t i = 0; i < v[0].dict->n; i++) {
        const jt_jpair *p = &v[0].dict->p[i];
        const jt_jstr *key, *value;
        if (p->value.kind == JT_J_NONE || p->value.kind == JT_J_UNDEFINED) continue;
        if (!jt_jwant_str(r, p->key, "xmlattr", &key)) return false;
        for (size_t k = 0; k < key->n; k++)
            if (ascii_white(key->s[k]) || strchr("/>=", key->s[k] ? key->s[k] : ' '))
                return jt_jfail(r, JT_FORMAT, "xmlattr: invalid character in attribute name");
        if (!(key = jt_jescape(r, p->key)) || !(value = jt_jescape(r, p->value))) return false;
        if (((b.n || space) && !jt_jbuf_puts(&b, " ")) || !jt_jbuf_str(&b, key) || !jt_jbuf_puts(&b, "=\"") || !jt_jbuf_str(&b, value) ||
            !jt_jbuf_puts(&b, "\""))
            return false;
    }
    return give_text(r, jt_jbuf_end(&b), false, out);
}

static bool f_format(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval with = {.kind = JT_J_TUPLE};
    const jt_jstr *s = a->n_pos ? soft(r, a->pos[0]) : NULL;
    if (!a->n_pos) return jt_jfail(r, JT_FORMAT, "format() is missing argument 1");
    if (!s) return false;
    if (a->n_pos > 1 && a->named && a->named->n)
        return jt_jfail(r, JT_FORMAT, "can't handle positional and keyword arguments at the same time");
    jt_jlist *l = jt_jlist_new(r, a->n_pos);
    if (!l) return false;
    for (size_t i = 1; i < a->n_pos; i++) l->v[l->n++] = a->pos[i];
    with.list = l;
    if (a->named && a->named->n) with = (jt_jval){.kind = JT_J_DICT, .dict = (jt_jdict *)(uintptr_t)a->named};
    return jt_jformat_percent(r, s, with, out);
}

static bool f_urlize(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    (void)a, (void)out;
    return jt_jfail(r, JT_UNSUPPORTED, "the filter urlize makes HTML links and is not supported");
}

const jt_jfunction jt_jfilters_text[] = {
    {"upper", f_upper},
    {"lower", f_lower},
    {"capitalize", f_capitalize},
    {"title", f_title},
    {"trim", f_trim},
    {"replace", f_replace},
    {"center", f_center},
    {"indent", f_indent},
    {"truncate", f_truncate},
    {"wordcount", f_wordcount},
    {"wordwrap", f_wordwrap},
    {"string", f_string},
    {"safe", f_safe},
    {"escape", f_escape},
    {"e", f_escape},
    {"forceescape", f_forceescape},
    {"striptags", f_striptags},
    {"urlencode", f_urlencode},
    {"xmlattr", f_xmlattr},
    {"format", f_format},
    {"urlize", f_urlize},
    {0},
};
