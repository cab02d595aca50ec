/* text.c: str() and repr() of values. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja/chars.h"
#include "text/jinja/node.h"

void jt_jfloat_text(double x, char out[40]) {
    char t[40], digits[20] = "0";
    int exponent = 0, n = 0;
    if (isnan(x) || isinf(x)) {
        snprintf(out, 40, "%s", isnan(x) ? "nan" : x < 0 ? "-inf" : "inf");
        return;
    }
    for (int p = 0; p <= 16; p++) {
        double back;
        int w = snprintf(t, sizeof t, "%.*e", p, x);
        for (int i = 0; i < w; i++)
            if (t[i] == ',') t[i] = '.';
        if (jt_read_double(t, (size_t)w, &back) && back == x) break;
    }
    const char *e = strchr(t, 'e');
    for (const char *c = t; c < e; c++)
        if (*c >= '0' && *c <= '9') digits[n++] = *c;
    while (n > 1 && digits[n - 1] == '0') n--;
    for (const char *c = e + 2; *c; c++) exponent = exponent * 10 + (*c - '0');
    if (e[1] == '-') exponent = -exponent;
    const char *sign = signbit(x) ? "-" : "";
    if (exponent < -4 || exponent >= 16)
        snprintf(out, 40, "%s%c%s%.*se%c%02d", sign, digits[0], n > 1 ? "." : "", n - 1, digits + 1, exponent < 0 ? '-' : '+',
                 exponent < 0 ? -exponent : exponent);
    else if (exponent < 0)
        snprintf(out, 40, "%s0.%.*s%.*s", sign, -exponent - 1, "0000", n, digits);
    else if (n <= exponent + 1)
        snprintf(out, 40, "%s%.*s%.*s.0", sign, n, digits, exponent + 1 - n, "00000000000000000");
    else
        snprintf(out, 40, "%s%.*s.%.*s", sign, exponent + 1, digits, n - exponent - 1, digits + exponent + 1);
}

/* repr() of a string: single quotes unless only single quotes are in it. */
static bool repr_text(jt_jbuf *b, const jt_jstr *s) {
    char quote = memchr(s->s, '\'', s->n) && !memchr(s->s, '"', s->n) ? '"' : '\'';
    char t[16];
    bool ok = jt_jbuf_char(b, (unsigned char)quote, false);
    for (size_t i = 0; ok && i < s->n;) {
        uint32_t cp;
        size_t run = i;
        while (run < s->n && s->s[run] >= 0x20 && s->s[run] < 0x7f && s->s[run] != '\'' && s->s[run] != '\\') run++;
        if (run > i) {
            ok = jt_jbuf_part(b, s, i, run);
            i = run;
            continue;
        }
        size_t w = (size_t)jt_utf8_next(s->s + i, s->n - i, &cp);
        if (!w) w = 1, cp = 0xfffd;
        const char *name = cp == '\n' ? "\\n" : cp == '\r' ? "\\r" : cp == '\t' ? "\\t" : cp == '\\' ? "\\\\" : NULL;
        if (name)
            ok = jt_jbuf_puts(b, name);
        else if (cp == (unsigned char)quote)
            ok = jt_jbuf_puts(b, "\\") && jt_jbuf_part(b, s, i, i + w);
        else if (jt_char_kind(cp) & JT_CHAR_PRINTABLE)
            ok = jt_jbuf_part(b, s, i, i + w);
        else
            ok = snprintf(t, sizeof t, cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x", cp) > 0 && jt_jbuf_puts(b, t);
        i += w;
    }
    return ok && jt_jbuf_char(b, (unsigned char)quote, false);
}

static bool repr_items(jt_jbuf *b, const jt_jlist *l, const char *open, const char *close) {
    bool ok = jt_jenter(b->r);
    if (!ok) return false;
    ok = jt_jbuf_puts(b, open);
    for (size_t i = 0; ok && i < l->n; i++) ok = (!i || jt_jbuf_puts(b, ", ")) && jt_jbuf_repr(b, l->v[i]);
    return jt_jleave(b->r, ok && jt_jbuf_puts(b, close));
}

static bool repr_pairs(jt_jbuf *b, const jt_jdict *d) {
    bool ok = jt_jenter(b->r);
    if (!ok) return false;
    ok = jt_jbuf_puts(b, "{");
    for (size_t i = 0; ok && i < d->n; i++)
        ok = (!i || jt_jbuf_puts(b, ", ")) && jt_jbuf_repr(b, d->p[i].key) && jt_jbuf_puts(b, ": ") && jt_jbuf_repr(b, d->p[i].value);
    return jt_jleave(b->r, ok && jt_jbuf_puts(b, "}"));
}

static bool repr_view(jt_jbuf *b, const struct jt_jview *v) {
    static const char *const open[] = {"dict_keys([", "dict_values([", "dict_items(["};
    bool ok = jt_jenter(b->r);
    if (!ok) return false;
    ok = jt_jbuf_puts(b, open[v->kind]);
    for (size_t i = 0; ok && i < v->dict->n; i++) {
        const jt_jpair *p = &v->dict->p[i];
        ok = !i || jt_jbuf_puts(b, ", ");
        if (v->kind == JT_J_ITEMS)
            ok = ok && jt_jbuf_puts(b, "(") && jt_jbuf_repr(b, p->key) && jt_jbuf_puts(b, ", ") && jt_jbuf_repr(b, p->value) &&
                 jt_jbuf_puts(b, ")");
        else
            ok = ok && jt_jbuf_repr(b, v->kind == JT_J_KEYS ? p->key : p->value);
    }
    return jt_jleave(b->r, ok && jt_jbuf_puts(b, "])"));
}

bool jt_jbuf_repr(jt_jbuf *b, jt_jval v) {
    char t[120];
    size_t n;
    switch (v.kind) {
    case JT_J_UNDEFINED: return jt_jbuf_puts(b, "Undefined");
    case JT_J_NONE: return jt_jbuf_puts(b, "None");
    case JT_J_BOOL: return jt_jbuf_puts(b, v.b ? "True" : "False");
    case JT_J_INT: snprintf(t, sizeof t, "%lld", (long long)v.i); return jt_jbuf_puts(b, t);
    case JT_J_FLOAT: jt_jfloat_text(v.f, t); return jt_jbuf_puts(b, t);
    case JT_J_STR:
        if (!v.s->markup) return repr_text(b, v.s);
        return jt_jbuf_puts(b, "Markup(") && repr_text(b, v.s) && jt_jbuf_puts(b, ")");
    case JT_J_LIST: return repr_items(b, v.list, "[", "]");
    case JT_J_TUPLE: return repr_items(b, v.list, "(", v.list->n == 1 ? ",)" : ")");
    case JT_J_DICT: return repr_pairs(b, v.dict);
    case JT_J_VIEW: return repr_view(b, v.view);
    case JT_J_NAMESPACE: return jt_jbuf_puts(b, "<Namespace ") && repr_pairs(b, v.dict) && jt_jbuf_puts(b, ">");
    case JT_J_RANGE:
        if (v.range->step == 1)
            snprintf(t, sizeof t, "range(%lld, %lld)", (long long)v.range->start, (long long)v.range->stop);
        else
            snprintf(t, sizeof t, "range(%lld, %lld, %lld)", (long long)v.range->start, (long long)v.range->stop, (long long)v.range->step);
        return jt_jbuf_puts(b, t);
    case JT_J_LOOP:
        if (!jt_jloop_length(b->r, v.loop, &n)) return false;
        snprintf(t, sizeof t, "<LoopContext %lld/%zu>", (long long)v.loop->index0 + 1, n);
        return jt_jbuf_puts(b, t);
    case JT_J_MACRO:
        if (!v.macro->node->name) return jt_jbuf_puts(b, "<Macro anonymous>");
        return jt_jbuf_puts(b, "<Macro ") && repr_text(b, v.macro->node->name) && jt_jbuf_puts(b, ">");
    default:
        return jt_jfail(b->r, JT_UNSUPPORTED, "the text of a '%s' names a place in memory, which would be another one every time",
                        jt_jkind_name(v));
    }
}

bool jt_jbuf_text(jt_jbuf *b, jt_jval v) {
    if (v.kind == JT_J_STR) return jt_jbuf_str(b, v.s);
    if (v.kind == JT_J_UNDEFINED) return !b->r->strict || jt_jundefined_used(b->r, v);
    return jt_jbuf_repr(b, v);
}

const jt_jstr *jt_jtext(jt_jrun *r, jt_jval v) {
    jt_jbuf b = {.r = r};
    if (v.kind == JT_J_STR) return v.s;
    return jt_jbuf_text(&b, v) ? jt_jbuf_end(&b) : NULL;
}

bool jt_jbuf_escape(jt_jbuf *b, const jt_jstr *s) {
    bool ok = true;
    for (size_t i = 0; ok && i < s->n;) {
        size_t run = i;
        while (run < s->n && !strchr("&<>'\"", s->s[run] ? s->s[run] : 'x')) run++;
        ok = jt_jbuf_part(b, s, i, run);
        i = run;
        if (i == s->n || !ok) break;
        const char *name = s->s[i] == '&'    ? "&amp;"
                           : s->s[i] == '<'  ? "&lt;"
                           : s->s[i] == '>'  ? "&gt;"
                           : s->s[i] == '\'' ? "&#39;"
                                             : "&#34;";
        for (; ok && *name; name++) ok = jt_jbuf_char(b, (unsigned char)*name, s->m && s->m[i]);
        i++;
    }
    return ok;
}

const jt_jstr *jt_jescape(jt_jrun *r, jt_jval v) {
    if (v.kind == JT_J_STR && v.s->markup) return v.s;
    const jt_jstr *s = jt_jtext(r, v);
    jt_jbuf b = {.r = r};
    if (!s || !jt_jbuf_escape(&b, s)) return NULL;
    s = jt_jbuf_end(&b);
    return s ? jt_jstr_as(r, s, true) : NULL;
}
