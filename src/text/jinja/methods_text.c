/* methods_text.c: the methods of Python's str. */
#include <string.h>

#include "text/jinja/chars.h"
#include "text/jinja/format.h"
#include "text/jinja/node.h"
#include "text/jinja/strings.h"

static bool m_give(jt_jrun *r, const jt_jval *self, const jt_jstr *s, jt_jval *out) {
    if (s) s = jt_jstr_as(r, s, self->s->markup);
    *out = jt_jstring(s);
    return s != NULL;
}

static bool bare(jt_jrun *r, const char *what, const jt_jargs *a) {
    jt_jval none[1];
    return jt_jargs_bind(r, what, a, "", 0, none);
}

/* An optional integer. */
static bool maybe_int(jt_jrun *r, jt_jval v, const char *what, int64_t *out) {
    return v.kind == JT_J_MISSING || jt_jwant_int(r, v, what, out);
}

/* ---- case ---- */

static bool m_case(jt_jrun *r, const jt_jval *self, const jt_jargs *a, int how, jt_jval *out) {
    return bare(r, "this method", a) && m_give(r, self, jt_jstr_case(r, self->s, (jt_jcase)how), out);
}
static bool m_upper(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_case(r, s, a, JT_J_UPPER, out); }
static bool m_lower(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_case(r, s, a, JT_J_LOWER, out); }
static bool m_title(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_case(r, s, a, JT_J_TITLE, out); }
static bool m_capitalize(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_case(r, s, a, JT_J_CAPITAL, out); }
static bool m_swapcase(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_case(r, s, a, JT_J_SWAP, out); }
static bool m_casefold(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_case(r, s, a, JT_J_FOLD, out); }

/* ---- cutting ---- */

static bool m_strip_at(jt_jrun *r, const jt_jval *self, const jt_jargs *a, bool left, bool right, jt_jval *out) {
    jt_jval v[1];
    const jt_jstr *chars = NULL;
    if (!jt_jargs_bind(r, "strip", a, "/chars", 0, v)) return false;
    if (v[0].kind != JT_J_MISSING && v[0].kind != JT_J_NONE && !jt_jwant_str(r, v[0], "strip()", &chars)) return false;
    return m_give(r, self, jt_jstr_strip(r, self->s, chars, left, right), out);
}
static bool m_strip(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_strip_at(r, s, a, true, true, out); }
static bool m_lstrip(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_strip_at(r, s, a, true, false, out); }
static bool m_rstrip(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_strip_at(r, s, a, false, true, out); }

static bool push_cut(jt_jrun *r, jt_jlist *l, const jt_jstr *s, size_t from, size_t to) {
    const jt_jstr *one = jt_jstr_cut(r, s, from, to);
    return one && jt_jstep(r, 1) && jt_jlist_push(r, l, jt_jstring(one));
}

static bool split_args(jt_jrun *r, const jt_jargs *a, const jt_jstr **sep, int64_t *most) {
    jt_jval v[2];
    *sep = NULL, *most = -1;
    if (!jt_jargs_bind(r, "split", a, "sep maxsplit", 0, v)) return false;
    if (v[0].kind != JT_J_MISSING && v[0].kind != JT_J_NONE && !jt_jwant_str(r, v[0], "split()", sep)) return false;
    if (*sep && !(*sep)->n) return jt_jfail(r, JT_FORMAT, "split(): empty separator");
    return maybe_int(r, v[1], "split()", most);
}

static bool split_words(jt_jrun *r, const jt_jstr *s, int64_t most, jt_jlist *l) {
    for (size_t at = jt_jspace_past(s, 0); at < s->n;) {
        size_t end = most == 0 ? s->n : jt_jspace_next(s, at);
        if (!push_cut(r, l, s, at, end)) return false;
        if (most-- == 0) break;
        at = jt_jspace_past(s, end);
    }
    return true;
}

static bool m_split(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    const jt_jstr *s = self->s, *sep = NULL;
    int64_t most;
    jt_jlist *l = jt_jlist_new(r, 0);
    if (!l || !split_args(r, a, &sep, &most)) return false;
    *out = (jt_jval){.kind = JT_J_LIST, .list = l};
    if (!sep) return split_words(r, s, most, l);
    for (size_t at = 0;;) {
        size_t end = most-- == 0 ? SIZE_MAX : jt_jstr_find(s, sep, at);
        if (!push_cut(r, l, s, at, end == SIZE_MAX ? s->n : end)) return false;
        if (end == SIZE_MAX) return true;
        at = end + sep->n;
    }
}

static bool rsplit_words(jt_jrun *r, const jt_jstr *s, int64_t most, jt_jlist *l) {
    for (size_t end = jt_jspace_before(s, s->n); end > 0;) {
        size_t at = most == 0 ? 0 : jt_jspace_last(s, end);
        if (!push_cut(r, l, s, at, end)) return false;
        if (most-- == 0) break;
        end = jt_jspace_before(s, at);
    }
    return true;
}

static bool m_rsplit(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    const jt_jstr *s = self->s, *sep = NULL;
    int64_t most;
    jt_jlist *l = jt_jlist_new(r, 0);
    if (!l || !split_args(r, a, &sep, &most)) return false;
    if (!sep && !rsplit_words(r, s, most, l)) return false;
    for (size_t end = s->n; sep;) {
        size_t at = most-- == 0 ? SIZE_MAX : jt_jstr_find_last(s, sep, end);
        if (!push_cut(r, l, s, at == SIZE_MAX ? 0 : at + sep->n, end)) return false;
        if (at == SIZE_MAX) break;
        end = at;
    }
    for (size_t i = 0; 2 * i + 1 < l->n; i++) {
        jt_jval v = l->v[i];
        l->v[i] = l->v[l->n - 1 - i], l->v[l->n - 1 - i] = v;
    }
    *out = (jt_jval){.kind = JT_J_LIST, .list = l};
    return true;
}

static bool m_splitlines(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    jt_jval v[1];
    bool keep = false;
    if (!jt_jargs_bind(r, "splitlines", a, "keepends", 0, v) || !jt_jtruth(r, v[0], &keep)) return false;
    jt_jlist *l = jt_jstr_lines(r, self->s, keep);
    *out = (jt_jval){.kind = JT_J_LIST, .list = l};
    return l != NULL;
}

static bool m_partition_at(jt_jrun *r, const jt_jval *self, const jt_jargs *a, bool last, jt_jval *out) {
    jt_jval v[1];
    const jt_jstr *s = self->s, *sep = NULL;
    jt_jlist *l = jt_jlist_new(r, 3);
    if (!l || !jt_jargs_bind(r, "partition", a, "/sep", 1, v) || !jt_jwant_str(r, v[0], "partition()", &sep)) return false;
    if (!sep->n) return jt_jfail(r, JT_FORMAT, "partition(): empty separator");
    size_t at = last ? jt_jstr_find_last(s, sep, s->n) : jt_jstr_find(s, sep, 0);
    bool none = at == SIZE_MAX;
    size_t a1 = none ? (last ? 0 : s->n) : at, a2 = none ? a1 : at + sep->n;
    *out = (jt_jval){.kind = JT_J_TUPLE, .list = l};
    return push_cut(r, l, s, 0, a1) && push_cut(r, l, s, a1, a2) && push_cut(r, l, s, a2, s->n);
}
static bool m_partition(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_partition_at(r, s, a, false, out); }
static bool m_rpartition(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_partition_at(r, s, a, true, out); }

static bool m_remove(jt_jrun *r, const jt_jval *self, const jt_jargs *a, bool end, jt_jval *out) {
    jt_jval v[1];
    const jt_jstr *s = self->s, *x = NULL;
    if (!jt_jargs_bind(r, "removeprefix", a, "/text", 1, v) || !jt_jwant_str(r, v[0], "removeprefix()", &x)) return false;
    bool has = x->n <= s->n && x->n && !memcmp(s->s + (end ? s->n - x->n : 0), x->s, x->n);
    return m_give(r, self, has ? jt_jstr_cut(r, s, end ? 0 : x->n, end ? s->n - x->n : s->n) : s, out);
}
static bool m_removeprefix(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_remove(r, s, a, false, out); }
static bool m_removesuffix(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_remove(r, s, a, true, out); }

/* ---- looking ---- */

/* The part [start, end) of the text that v[0], v[1] name in characters, in bytes; false in *ok when start lies behind the text. */
static bool part_of(jt_jrun *r, const jt_jstr *s, const jt_jval *v, size_t *from, size_t *to, bool *ok) {
    int64_t n = (int64_t)s->len, start = 0, end = n;
    if (v[0].kind != JT_J_NONE && !maybe_int(r, v[0], "a place in a text", &start)) return false;
    if (v[1].kind != JT_J_NONE && !maybe_int(r, v[1], "a place in a text", &end)) return false;
    if (end > n) end = n;
    if (end < 0 && (end += n) < 0) end = 0;
    if (start < 0 && (start += n) < 0) start = 0;
    *ok = start <= n && start <= end;
    *from = *ok ? jt_jstr_place(s, (size_t)start) : 0, *to = *ok ? jt_jstr_place(s, (size_t)end) : 0;
    return jt_jstep(r, s->n / 32);
}

static size_t chars_before(const jt_jstr *s, size_t at) {
    size_t n = 0;
    if (s->len == s->n) return at;
    for (size_t i = 0; i < at; i++) n += ((unsigned char)s->s[i] & 0xc0) != 0x80;
    return n;
}

static bool m_find_at(jt_jrun *r, const jt_jval *self, const jt_jargs *a, bool last, bool must, jt_jval *out) {
    jt_jval v[3];
    const jt_jstr *s = self->s, *x = NULL;
    size_t from, to, at = SIZE_MAX;
    bool ok;
    if (!jt_jargs_bind(r, "find", a, "/sub start end", 1, v) || !jt_jwant_str(r, v[0], "find()", &x) ||
        !part_of(r, s, v + 1, &from, &to, &ok))
        return false;
    if (ok) {
        jt_jstr part = {.s = s->s, .n = to};
        at = last ? jt_jstr_find_last(&part, x, to) : jt_jstr_find(&part, x, from);
        if (at != SIZE_MAX && at < from) at = SIZE_MAX;
    }
    if (at == SIZE_MAX && must) return jt_jfail(r, JT_FORMAT, "substring not found");
    *out = jt_jinteger(at == SIZE_MAX ? -1 : (int64_t)chars_before(s, at));
    return true;
}
static bool m_find(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_find_at(r, s, a, false, false, out); }
static bool m_rfind(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_find_at(r, s, a, true, false, out); }
static bool m_index(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_find_at(r, s, a, false, true, out); }
static bool m_rindex(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_find_at(r, s, a, true, true, out); }

static bool m_count(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    jt_jval v[3];
    const jt_jstr *s = self->s, *x = NULL;
    size_t from, to;
    bool ok;
    int64_t n = 0;
    if (!jt_jargs_bind(r, "count", a, "/sub start end", 1, v) || !jt_jwant_str(r, v[0], "count()", &x) ||
        !part_of(r, s, v + 1, &from, &to, &ok))
        return false;
    jt_jstr part = {.s = s->s, .n = to};
    if (ok && !x->n) n = (int64_t)(chars_before(s, to) - chars_before(s, from)) + 1;
    for (size_t at = from; ok && x->n && (at = jt_jstr_find(&part, x, at)) != SIZE_MAX; at += x->n) n++;
    *out = jt_jinteger(n);
    return true;
}

static bool m_ends(jt_jrun *r, const jt_jval *self, const jt_jargs *a, bool end, jt_jval *out) {
    jt_jval v[3];
    const jt_jstr *s = self->s;
    size_t from, to;
    bool ok, yes = false;
    if (!jt_jargs_bind(r, end ? "endswith" : "startswith", a, "/affix start end", 1, v) || !part_of(r, s, v + 1, &from, &to, &ok))
        return false;
    if (v[0].kind == JT_J_UNDEFINED) return jt_jundefined_used(r, v[0]);
    if (v[0].kind != JT_J_STR && v[0].kind != JT_J_TUPLE)
        return jt_jfail(r, JT_FORMAT, "startswith and endswith want a str or a tuple of str, not %s", jt_jkind_name(v[0]));
    size_t n = v[0].kind == JT_J_STR ? 1 : v[0].list->n;
    for (size_t i = 0; !yes && i < n; i++) {
        const jt_jstr *x = NULL;
        if (!jt_jwant_str(r, v[0].kind == JT_J_STR ? v[0] : v[0].list->v[i], "startswith and endswith", &x)) return false;
        yes = ok && x->n <= to - from && (!x->n || !memcmp(s->s + (end ? to - x->n : from), x->s, x->n));
    }
    *out = jt_jbool(yes);
    return true;
}
static bool m_startswith(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_ends(r, s, a, false, out); }
static bool m_endswith(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_ends(r, s, a, true, out); }

static bool m_is(jt_jrun *r, const jt_jval *self, const jt_jargs *a, unsigned kind, jt_jval *out) {
    if (!bare(r, "this method", a)) return false;
    *out = jt_jbool(jt_jstr_all(self->s, kind));
    return jt_jstep(r, self->s->n / 16);
}
static bool m_isalpha(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_is(r, s, a, JT_CHAR_ALPHA, out); }
static bool m_isdecimal(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_is(r, s, a, JT_CHAR_DECIMAL, out); }
static bool m_isdigit(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_is(r, s, a, JT_CHAR_DIGIT, out); }
static bool m_isnumeric(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_is(r, s, a, JT_CHAR_NUMERIC, out); }
static bool m_isalnum(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_is(r, s, a, JT_CHAR_ALNUM, out); }
static bool m_isspace(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_is(r, s, a, JT_CHAR_SPACE, out); }

static bool m_isprintable(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    *out = jt_jbool(!self->s->n || jt_jstr_all(self->s, JT_CHAR_PRINTABLE));
    return bare(r, "isprintable", a) && jt_jstep(r, self->s->n / 16);
}

static bool m_isascii(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    *out = jt_jbool(self->s->n == self->s->len);
    return bare(r, "isascii", a);
}

static bool m_isidentifier(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    uint32_t cp = 0;
    bool yes = self->s->n && jt_utf8_next(self->s->s, self->s->n, &cp) && jt_char_kind(cp) & JT_CHAR_NAME_START;
    *out = jt_jbool(yes && jt_jstr_all(self->s, JT_CHAR_NAME));
    return bare(r, "isidentifier", a);
}

static bool m_islower(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    *out = jt_jbool(jt_jstr_cased(self->s, JT_CHAR_LOWER, JT_CHAR_UPPER | JT_CHAR_TITLE));
    return bare(r, "islower", a);
}
static bool m_isupper(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    *out = jt_jbool(jt_jstr_cased(self->s, JT_CHAR_UPPER, JT_CHAR_LOWER | JT_CHAR_TITLE));
    return bare(r, "isupper", a);
}

static bool m_istitle(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    bool any = false, before = false, yes = true;
    uint32_t cp;
    int w;
    for (size_t i = 0; yes && i < self->s->n; i += (size_t)w) {
        w = jt_utf8_next(self->s->s + i, self->s->n - i, &cp);
        unsigned k = jt_char_kind(cp);
        if (k & (JT_CHAR_UPPER | JT_CHAR_TITLE))
            yes = !before, before = any = true;
        else if (k & JT_CHAR_LOWER)
            yes = before, before = any = true;
        else
            before = false;
    }
    *out = jt_jbool(yes && any);
    return bare(r, "istitle", a);
}

/* ---- making ---- */

/* The text, escaped where the method is one of Markup and the text is not. */
static const jt_jstr *as_self(jt_jrun *r, const jt_jval *self, const jt_jstr *x) {
    return self->s->markup && !x->markup ? jt_jescape(r, jt_jstring(x)) : x;
}

static bool m_replace(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    jt_jval v[3];
    const jt_jstr *from, *to;
    int64_t most = -1;
    if (!jt_jargs_bind(r, "replace", a, self->s->markup ? "old new count" : "/old new count", 2, v)) return false;
    if (!jt_jwant_str(r, v[0], "replace()", &from) || !jt_jwant_str(r, v[1], "replace()", &to) || !maybe_int(r, v[2], "replace()", &most))
        return false;
    if (!(to = as_self(r, self, to))) return false;
    return m_give(r, self, jt_jstr_replace(r, self->s, from, to, most), out);
}

static bool m_join(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    jt_jval v[1], one;
    jt_jbuf b = {.r = r};
    if (!jt_jargs_bind(r, "join", a, "/items", 1, v)) return false;
    jt_jiter *it = jt_jiter_new(r, v[0]);
    bool done = false;
    for (size_t i = 0; it; i++) {
        if (!jt_jiter_next(r, it, &one, &done)) return false;
        if (done) break;
        const jt_jstr *x = NULL;
        if (self->s->markup) {
            if (!(x = jt_jescape(r, one))) return false;
        } else {
            if (one.kind != JT_J_STR)
                return jt_jfail(r, JT_FORMAT, "sequence item %zu: expected str instance, %s found", i, jt_jkind_name(one));
            x = one.s;
        }
        if ((i && !jt_jbuf_str(&b, self->s)) || !jt_jbuf_str(&b, x)) return false;
    }
    return it && m_give(r, self, jt_jbuf_end(&b), out);
}

static bool m_pad(jt_jrun *r, const jt_jval *self, const jt_jargs *a, char side, jt_jval *out) {
    jt_jval v[2];
    int64_t width;
    const jt_jstr *fill = NULL;
    if (!jt_jargs_bind(r, "center", a, "/width fillchar", 1, v) || !jt_jwant_int(r, v[0], "center()", &width)) return false;
    if (v[1].kind != JT_J_MISSING && !jt_jwant_str(r, v[1], "center()", &fill)) return false;
    if (fill && fill->len != 1) return jt_jfail(r, JT_FORMAT, "the fill character must be exactly one character long");
    return m_give(r, self, jt_jstr_pad(r, self->s, width, fill, side), out);
}
static bool m_center(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_pad(r, s, a, '^', out); }
static bool m_ljust(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_pad(r, s, a, '<', out); }
static bool m_rjust(jt_jrun *r, const jt_jval *s, const jt_jargs *a, jt_jval *out) { return m_pad(r, s, a, '>', out); }

static bool m_zfill(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    jt_jval v[1];
    int64_t width;
    const jt_jstr *s = self->s;
    jt_jbuf b = {.r = r};
    if (!jt_jargs_bind(r, "zfill", a, "/width", 1, v) || !jt_jwant_int(r, v[0], "zfill()", &width)) return false;
    size_t sign = s->n && (s->s[0] == '-' || s->s[0] == '+');
    size_t more = width > (int64_t)s->len ? (size_t)width - s->len : 0;
    return jt_jbuf_part(&b, s, 0, sign) && jt_jbuf_fill(&b, '0', more) && jt_jbuf_part(&b, s, sign, s->n) &&
           m_give(r, self, jt_jbuf_end(&b), out);
}

static bool m_expandtabs(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    jt_jval v[1];
    int64_t size = 8, column = 0;
    const jt_jstr *s = self->s;
    jt_jbuf b = {.r = r};
    if (!jt_jargs_bind(r, "expandtabs", a, "tabsize", 0, v) || !maybe_int(r, v[0], "expandtabs()", &size)) return false;
    for (size_t i = 0; i < s->n; i++) {
        char c = s->s[i];
        bool ok;
        if (c == '\t') {
            int64_t more = size > 0 ? size - column % size : 0;
            column += more;
            ok = jt_jbuf_fill(&b, ' ', (size_t)more);
        } else {
            column = c == '\n' || c == '\r' ? 0 : column + (((unsigned char)c & 0xc0) != 0x80);
            ok = jt_jbuf_part(&b, s, i, i + 1);
        }
        if (!ok) return false;
    }
    return m_give(r, self, jt_jbuf_end(&b), out);
}

static bool m_format(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) { return jt_jformat_braces(r, self->s, a, out); }

static bool m_format_map(jt_jrun *r, const jt_jval *self, const jt_jargs *a, jt_jval *out) {
    jt_jval v[1];
    if (!jt_jargs_bind(r, "format_map", a, "/mapping", 1, v)) return false;
    if (v[0].kind != JT_J_DICT) return jt_jfail(r, JT_FORMAT, "format_map() wants a dict, not %s", jt_jkind_name(v[0]));
    return jt_jformat_braces(r, self->s, &(jt_jargs){.named = v[0].dict}, out);
}

const jt_jmethod_row jt_jmethods_text[] = {
    {"strip", m_strip},
    {"lstrip", m_lstrip},
    {"rstrip", m_rstrip},
    {"split", m_split},
    {"rsplit", m_rsplit},
    {"splitlines", m_splitlines},
    {"startswith", m_startswith},
    {"endswith", m_endswith},
    {"replace", m_replace},
    {"join", m_join},
    {"upper", m_upper},
    {"lower", m_lower},
    {"title", m_title},
    {"capitalize", m_capitalize},
    {"swapcase", m_swapcase},
    {"casefold", m_casefold},
    {"find", m_find},
    {"rfind", m_rfind},
    {"index", m_index},
    {"rindex", m_rindex},
    {"count", m_count},
    {"format", m_format},
    {"format_map", m_format_map},
    {"partition", m_partition},
    {"rpartition", m_rpartition},
    {"removeprefix", m_removeprefix},
    {"removesuffix", m_removesuffix},
    {"center", m_center},
    {"ljust", m_ljust},
    {"rjust", m_rjust},
    {"zfill", m_zfill},
    {"expandtabs", m_expandtabs},
    {"isalpha", m_isalpha},
    {"isdecimal", m_isdecimal},
    {"isdigit", m_isdigit},
    {"isnumeric", m_isnumeric},
    {"isalnum", m_isalnum},
    {"isspace", m_isspace},
    {"isprintable", m_isprintable},
    {"isascii", m_isascii},
    {"isidentifier", m_isidentifier},
    {"islower", m_islower},
    {"isupper", m_isupper},
    {"istitle", m_istitle},
    {"encode", NULL},
    {"maketrans", NULL},
    {"translate", NULL},
    {0},
};
