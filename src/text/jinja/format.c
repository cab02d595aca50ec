#include "text/jinja/format.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja/strings.h"

enum { MOST_PRECISION = 300 };

/* ---- numbers ---- */

static bool put_grouped(jt_jbuf *b, const char *t, char group, int every) {
    size_t sign = *t == '-', digits = strspn(t + sign, "0123456789abcdefABCDEF");
    bool ok = jt_jbuf_add(b, t, sign, NULL);
    for (size_t i = 0; ok && i < digits; i++) {
        if (group && i && (digits - i) % (size_t)every == 0) ok = jt_jbuf_char(b, (unsigned char)group, false);
        ok = ok && jt_jbuf_add(b, t + sign + i, 1, NULL);
    }
    return ok && jt_jbuf_puts(b, t + sign + digits);
}

static const jt_jstr *format_int(jt_jrun *r, const jt_jfield *f, int64_t v) {
    jt_jbuf b = {.r = r};
    char t[80];
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    unsigned base = f->type == 'b' ? 2 : f->type == 'o' ? 8 : f->type == 'x' || f->type == 'X' ? 16 : 10;
    size_t at = sizeof t - 1;
    t[at] = 0;
    do t[--at] = (f->type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[u % base];
    while (u /= base);
    if (v < 0 && !jt_jbuf_puts(&b, "-")) return NULL;
    if (f->alternate && base != 10 && (!jt_jbuf_puts(&b, "0") || !jt_jbuf_char(&b, (unsigned char)f->type, false))) return NULL;
    return put_grouped(&b, t + at, f->group, base == 10 ? 3 : 4) ? jt_jbuf_end(&b) : NULL;
}

/* %g as Python has it: without a type, 1 is "1.0" and the exponent comes one digit earlier. */
static void general(char *t, size_t n, double x, int precision, bool bare, bool alternate, bool upper) {
    char e[400];
    if (precision == 0) precision = 1;
    snprintf(e, sizeof e, "%.*e", precision - 1, x);
    int exponent = (int)strtol(strchr(e, 'e') + 1, NULL, 10), decimals = precision - 1 - exponent;
    bool exp = exponent < -4 || exponent >= precision - bare;
    if (exp)
        snprintf(t, n, "%s", e);
    else
        snprintf(t, n, "%.*f", decimals > 0 ? decimals : 0, x);
    char *tail = exp ? strchr(t, 'e') : t + strlen(t), *end = tail;
    if (!alternate && memchr(t, '.', (size_t)(tail - t))) {
        while (end[-1] == '0') end--;
        if (end[-1] == '.') end--;
    }
    memmove(end, tail, strlen(tail) + 1);
    if (bare && !exp && !strchr(t, '.') && strlen(t) + 3 < n) memcpy(t + strlen(t), ".0", 3);
    for (char *c = t; upper && *c; c++)
        if (*c == 'e') *c = 'E';
}

static const jt_jstr *format_float(jt_jrun *r, const jt_jfield *f, double x) {
    jt_jbuf b = {.r = r};
    char t[800];
    char type = f->type;
    int precision = f->precision < 0 ? 6 : (int)f->precision;
    bool upper = type == 'E' || type == 'F' || type == 'G';
    if (type == '%') x *= 100;
    if (!isfinite(x)) {
        const char *name = isnan(x) ? (upper ? "NAN" : "nan") : x < 0 ? (upper ? "-INF" : "-inf") : (upper ? "INF" : "inf");
        return jt_jbuf_puts(&b, name) && (type != '%' || jt_jbuf_puts(&b, "%")) ? jt_jbuf_end(&b) : NULL;
    }
    if (type == 0 && f->precision < 0)
        jt_jfloat_text(x, t);
    else if (type == 0 || type == 'g' || type == 'G' || type == 'n')
        general(t, sizeof t, x, precision, type == 0, f->alternate, upper);
    else if (type == 'e' || type == 'E')
        snprintf(t, sizeof t, upper ? "%.*E" : "%.*e", precision, x);
    else
        snprintf(t, sizeof t, "%.*f", precision, x);
    for (char *c = t; *c; c++)
        if (*c == ',') *c = '.';
    if (f->alternate && precision == 0 && !strchr(t, '.')) memcpy(t + strlen(t), ".", 2);
    return put_grouped(&b, t, f->group, 3) && (type != '%' || jt_jbuf_puts(&b, "%")) ? jt_jbuf_end(&b) : NULL;
}

const jt_jstr *jt_jfield_number(jt_jrun *r, const jt_jfield *f, jt_jval v) {
    if (f->precision > MOST_PRECISION) return jt_jfail_set(r, JT_LIMIT, "more than %d digits behind the point", MOST_PRECISION), NULL;
    bool real = v.kind == JT_J_FLOAT || (f->type && strchr("eEfFgG%", f->type));
    if (real) return format_float(r, f, jt_jfloat(v));
    if (f->type == 'c') {
        jt_jbuf b = {.r = r};
        int64_t cp = jt_jint(v);
        if (cp < 0 || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
            return jt_jfail_set(r, JT_FORMAT, "%%c arg not in range(0x110000)"), NULL;
        return jt_jbuf_char(&b, (uint32_t)cp, false) ? jt_jbuf_end(&b) : NULL;
    }
    return format_int(r, f, jt_jint(v));
}

bool jt_jfield_put(jt_jbuf *b, const jt_jfield *f, const jt_jstr *digits, bool number) {
    jt_jbuf sign = {.r = b->r};
    size_t own = number && digits->n && digits->s[0] == '-';
    if (number && own && !jt_jbuf_puts(&sign, "-")) return false;
    if (number && !own && f->sign && !jt_jbuf_char(&sign, (unsigned char)f->sign, false)) return false;
    const jt_jstr *rest = jt_jstr_cut(b->r, digits, own, digits->n);
    if (!rest) return false;
    if (number && f->alternate && f->type && strchr("xXob", f->type) && rest->n > 2 && rest->s[0] == '0') {
        if (!jt_jbuf_part(&sign, rest, 0, 2) || !(rest = jt_jstr_cut(b->r, rest, 2, rest->n))) return false;
    }
    char align = f->align ? f->align : number ? '>' : '<';
    int64_t more = f->width - (int64_t)(sign.n + rest->len);
    if (align == '=') {
        const jt_jstr *padded = jt_jstr_pad(b->r, rest, more > 0 ? f->width - (int64_t)sign.n : 0, f->fill, '>');
        return padded && jt_jbuf_add(b, sign.s, sign.n, NULL) && jt_jbuf_str(b, padded);
    }
    if (!jt_jbuf_str(&sign, rest)) return false;
    const jt_jstr *whole = jt_jbuf_end(&sign);
    if (!whole || more <= 0) return jt_jbuf_str(b, whole);
    int64_t left = align == '<' ? 0 : align == '>' ? more : more / 2;
    whole = jt_jstr_pad(b->r, whole, (int64_t)whole->len + left, f->fill, '>');
    if (whole) whole = jt_jstr_pad(b->r, whole, f->width, f->fill, '<');
    return jt_jbuf_str(b, whole);
}

/* ---- format specs ---- */

static bool spec_number(const jt_jstr *s, size_t *at, int64_t *out) {
    bool any = false;
    for (*out = 0; *at < s->n && s->s[*at] >= '0' && s->s[*at] <= '9' && *out < 100000000000000; ++*at)
        *out = *out * 10 + (s->s[*at] - '0'), any = true;
    return any;
}

/* [[fill]align][sign][#][0][width][grouping][.precision][type] */
static bool read_spec(jt_jrun *r, const jt_jstr *s, bool number, jt_jfield *f) {
    size_t at = 0, w = 1;
    *f = (jt_jfield){.precision = -1};
    while (w < s->n && ((unsigned char)s->s[w] & 0xc0) == 0x80) w++;
    if (w < s->n && strchr("<>^=", s->s[w]) && s->s[w]) {
        if (!(f->fill = jt_jstr_cut(r, s, 0, w))) return false;
        f->align = s->s[w], at = w + 1;
    } else if (s->n && s->s[0] && strchr("<>^=", s->s[0])) {
        f->align = s->s[0], at = 1;
    }
    if (at < s->n && s->s[at] && strchr("+- ", s->s[at])) f->sign = s->s[at] == '-' ? 0 : s->s[at], at++;
    if (at < s->n && s->s[at] == '#') f->alternate = true, at++;
    if (at < s->n && s->s[at] == '0') {
        if (!f->fill && !(f->fill = jt_jstr_cut(r, s, at, at + 1))) return false;
        if (!f->align) f->align = number ? '=' : '<';
        at++;
    }
    spec_number(s, &at, &f->width);
    if (at < s->n && (s->s[at] == ',' || s->s[at] == '_')) f->group = s->s[at++];
    if (at < s->n && s->s[at] == '.') {
        at++;
        if (!spec_number(s, &at, &f->precision)) return jt_jfail(r, JT_FORMAT, "Format specifier missing precision");
    }
    if (at < s->n) f->type = s->s[at++];
    if (at < s->n || (f->type && !strchr("bcdeEfFgGnosxX%", f->type))) return jt_jfail(r, JT_FORMAT, "Invalid format specifier");
    return true;
}

static bool put_with_spec(jt_jbuf *b, jt_jval v, const jt_jstr *spec) {
    jt_jrun *r = b->r;
    jt_jfield f;
    if (!spec->n) return jt_jbuf_text(b, v);
    if (!jt_jis_number(v) && v.kind != JT_J_STR)
        return jt_jfail(r, JT_FORMAT, "unsupported format string passed to %s.__format__", jt_jkind_name(v));
    if (!read_spec(r, spec, v.kind != JT_J_STR, &f)) return false;
    if (v.kind == JT_J_STR) {
        const jt_jstr *s = v.s;
        if ((f.type && f.type != 's') || f.sign || f.alternate || f.align == '=' || f.group)
            return jt_jfail(r, JT_FORMAT, "a format spec that texts do not have");
        if (f.precision >= 0 && (size_t)f.precision < s->len) s = jt_jstr_cut(r, s, 0, jt_jstr_place(s, (size_t)f.precision));
        return s && jt_jfield_put(b, &f, s, false);
    }
    bool real = v.kind == JT_J_FLOAT;
    if (f.type == 's' || (real && f.type && strchr("bcdoxX", f.type)))
        return jt_jfail(r, JT_FORMAT, "Unknown format code '%c' for object of type '%s'", f.type, jt_jkind_name(v));
    if (!real && f.precision >= 0 && !(f.type && strchr("eEfFgG%", f.type)))
        return jt_jfail(r, JT_FORMAT, "Precision not allowed in integer format specifier");
    const jt_jstr *digits = jt_jfield_number(r, &f, v);
    return digits && jt_jfield_put(b, &f, digits, true);
}

/* ---- str.format ---- */

typedef struct braces {
    jt_jrun *r;
    const jt_jargs *a;
    size_t next;   /* of fields without a name */
    bool by_place; /* a field had a number */
    bool markup;
} braces;

/* The value of "name.member[item]" in s[at..end). */
static bool field_value(braces *x, const jt_jstr *s, size_t at, size_t end, jt_jval *out) {
    jt_jrun *r = x->r;
    size_t stop = at;
    while (stop < end && s->s[stop] != '.' && s->s[stop] != '[') stop++;
    int64_t place;
    bool number = jt_read_i64(s->s + at, stop - at, &place) && s->s[at] >= '0' && s->s[at] <= '9';
    if (stop == at) {
        if (x->by_place) return jt_jfail(r, JT_FORMAT, "cannot switch from manual field specification to automatic field numbering");
        place = (int64_t)x->next++, number = true;
    } else if (number) {
        if (x->next) return jt_jfail(r, JT_FORMAT, "cannot switch from automatic field numbering to manual field specification");
        x->by_place = true;
    }
    const jt_jval *v = number ? NULL : x->a->named ? jt_jdict_text(x->a->named, s->s + at, stop - at) : NULL;
    if (number && (uint64_t)place < x->a->n_pos) v = &x->a->pos[place];
    if (!v)
        return jt_jfail(r, JT_FORMAT, "format(): nothing was given for the field \"%.*s\"", (int)(stop - at < 60 ? stop - at : 60),
                        s->s + at);
    *out = *v;
    for (at = stop; at < end;) {
        bool item = s->s[at++] == '[';
        stop = at;
        while (stop < end && (item ? s->s[stop] != ']' : s->s[stop] != '.' && s->s[stop] != '[')) stop++;
        const jt_jstr *name = jt_jstr_cut(r, s, at, stop);
        if (!name) return false;
        if (stop == at || (item && stop == end)) return jt_jfail(r, JT_FORMAT, "a field of a format string that does not end or is empty");
        int64_t i;
        bool number_item = item && name->s[0] >= '0' && name->s[0] <= '9' && jt_read_i64(name->s, name->n, &i);
        if (!(item ? jt_jget_item(r, *out, number_item ? jt_jinteger(i) : jt_jstring(name), out) : jt_jget_attr(r, *out, name, out)))
            return false;
        at = stop + item;
    }
    return true;
}

static bool put_braces(braces *x, const jt_jstr *s, int depth, jt_jbuf *b);

/* One field in s[at..end): name!conversion:spec. */
static bool put_field(braces *x, const jt_jstr *s, size_t at, size_t end, int depth, jt_jbuf *b) {
    jt_jrun *r = x->r;
    size_t name = at, bracket = 0;
    while (name < end && (bracket || (s->s[name] != '!' && s->s[name] != ':'))) {
        bracket = s->s[name] == '[' ? 1 : s->s[name] == ']' ? 0 : bracket;
        name++;
    }
    jt_jval v;
    if (!field_value(x, s, at, name, &v)) return false;
    char conversion = 0;
    at = name;
    if (at < end && s->s[at] == '!') {
        conversion = at + 1 < end ? s->s[at + 1] : 0;
        at += 2;
        if (conversion != 'r' && conversion != 's' && conversion != 'a')
            return jt_jfail(r, JT_FORMAT, "a conversion that is none of !r, !s and !a");
        if (at < end && s->s[at] != ':') return jt_jfail(r, JT_FORMAT, "expected ':' after conversion specifier");
    }
    jt_jbuf text = {.r = r}, spec = {.r = r};
    if (conversion == 'a') return jt_jfail(r, JT_UNSUPPORTED, "the conversion !a is not supported; use !r");
    if (conversion) {
        if (!(conversion == 'r' ? jt_jbuf_repr(&text, v) : jt_jbuf_text(&text, v))) return false;
        v = jt_jstring(jt_jbuf_end(&text));
        if (!v.s) return false;
    }
    if (at < end) {
        const jt_jstr *inner = jt_jstr_cut(r, s, at + 1, end);
        if (!inner || !put_braces(x, inner, depth + 1, &spec)) return false;
    }
    const jt_jstr *how = jt_jbuf_end(&spec);
    if (!x->markup || depth) return how && put_with_spec(b, v, how);
    if (v.kind == JT_J_STR && v.s->markup && how && !how->n) return jt_jbuf_str(b, v.s);
    jt_jbuf plain = {.r = r};
    if (!how || !put_with_spec(&plain, v, how)) return false;
    const jt_jstr *o = jt_jbuf_end(&plain);
    return o && jt_jbuf_escape(b, o);
}

static bool put_braces(braces *x, const jt_jstr *s, int depth, jt_jbuf *b) {
    if (depth > 2) return jt_jfail(x->r, JT_FORMAT, "Max string recursion exceeded");
    for (size_t at = 0; at < s->n;) {
        size_t run = at;
        while (run < s->n && s->s[run] != '{' && s->s[run] != '}') run++;
        if (!jt_jbuf_part(b, s, at, run)) return false;
        at = run;
        if (at == s->n) break;
        char c = s->s[at];
        if (at + 1 < s->n && s->s[at + 1] == c) {
            if (!jt_jbuf_part(b, s, at, at + 1)) return false;
            at += 2;
            continue;
        }
        if (c == '}') return jt_jfail(x->r, JT_FORMAT, "Single '}' encountered in format string");
        size_t end = at + 1, open = 1;
        for (; end < s->n; end++) {
            if (s->s[end] == '{') open++;
            if (s->s[end] == '}' && !--open) break;
        }
        if (end >= s->n) return jt_jfail(x->r, JT_FORMAT, "expected '}' before end of string");
        if (!put_field(x, s, at + 1, end, depth, b)) return false;
        at = end + 1;
    }
    return true;
}

bool jt_jformat_braces(jt_jrun *r, const jt_jstr *format, const jt_jargs *a, jt_jval *out) {
    braces x = {.r = r, .a = a, .markup = format->markup};
    jt_jbuf b = {.r = r};
    if (!put_braces(&x, format, 0, &b)) return false;
    const jt_jstr *s = jt_jbuf_end(&b);
    if (s) s = jt_jstr_as(r, s, format->markup);
    *out = jt_jstring(s);
    return s != NULL;
}

/* ---- the % operator ---- */

typedef struct percent {
    jt_jval with;
    size_t next, n; /* values of a tuple */
    bool markup;
} percent;

static bool percent_next(jt_jrun *r, percent *p, jt_jval *out) {
    if (p->next >= p->n) return jt_jfail(r, JT_FORMAT, "not enough arguments for format string");
    *out = p->with.kind == JT_J_TUPLE ? p->with.list->v[p->next] : p->with;
    p->next++;
    return true;
}

static bool percent_put(jt_jrun *r, const percent *p, jt_jfield *f, jt_jval v, jt_jbuf *b) {
    jt_jbuf text = {.r = r};
    const jt_jstr *s;
    switch (f->type) {
    case 's':
    case 'r':
    case 'a':
        if (f->type == 'a') return jt_jfail(r, JT_UNSUPPORTED, "%%a is not supported; use %%r");
        if (!(f->type == 's' ? jt_jbuf_text(&text, v) : jt_jbuf_repr(&text, v)) || !(s = jt_jbuf_end(&text))) return false;
        if (p->markup && !(v.kind == JT_J_STR && v.s->markup && f->type == 's') && !(s = jt_jescape(r, jt_jstring(s)))) return false;
        if (f->precision >= 0 && (size_t)f->precision < s->len) s = jt_jstr_cut(r, s, 0, jt_jstr_place(s, (size_t)f->precision));
        if (!f->align) f->align = '>';
        f->fill = NULL;
        if (f->align == '=') f->align = '>';
        return s && jt_jfield_put(b, f, s, false);
    case 'c':
        if (v.kind == JT_J_STR && v.s->len == 1) return jt_jfield_put(b, f, v.s, false);
        break;
    default: break;
    }
    if (!strchr("diouxXeEfFgGc", f->type)) return jt_jfail(r, JT_FORMAT, "unsupported format character '%c'", f->type);
    if (v.kind == JT_J_UNDEFINED) return jt_jundefined_used(r, v);
    if (!jt_jis_number(v) || (v.kind == JT_J_FLOAT && strchr("xXoc", f->type)))
        return jt_jfail(r, JT_FORMAT, "%%%c format: a number is required, not %s", f->type, jt_jkind_name(v));
    if (f->type == 'i' || f->type == 'u') f->type = 'd';
    if (f->type == 'd' && v.kind == JT_J_FLOAT) {
        if (!(fabs(v.f) < 9e18)) return jt_jfail(r, JT_UNSUPPORTED, "an integer past 64 bits");
        v = jt_jinteger((int64_t)v.f);
    }
    if (f->precision >= 0 && strchr("doxX", f->type)) { /* so many digits at least */
        jt_jfield digits = {.fill = NULL, .align = '=', .type = f->type, .alternate = false, .precision = -1};
        if (!(s = jt_jfield_number(r, &digits, v))) return false;
        jt_jbuf zeros = {.r = r};
        size_t own = s->s[0] == '-', have = s->n - own;
        if (!jt_jbuf_part(&zeros, s, 0, own) || !jt_jbuf_fill(&zeros, '0', (size_t)f->precision > have ? (size_t)f->precision - have : 0) ||
            !jt_jbuf_part(&zeros, s, own, s->n) || !(s = jt_jbuf_end(&zeros)))
            return false;
        return jt_jfield_put(b, f, s, true);
    }
    s = jt_jfield_number(r, f, v);
    return s && jt_jfield_put(b, f, s, true);
}

/* The flags, width and precision behind a "%". */
static bool percent_field(jt_jrun *r, percent *p, const jt_jstr *s, size_t *at, jt_jfield *f) {
    static const jt_jstr zero = {.s = "0", .n = 1, .len = 1};
    *f = (jt_jfield){.precision = -1};
    bool left = false, zeros = false;
    for (; *at < s->n && s->s[*at] && strchr("-+ #0", s->s[*at]); ++*at) {
        char c = s->s[*at];
        if (c == '-') left = true;
        if (c == '+' || (c == ' ' && !f->sign)) f->sign = c;
        if (c == '#') f->alternate = true;
        if (c == '0') zeros = true;
    }
    for (int part = 0; part < 2; part++) {
        int64_t *out = part ? &f->precision : &f->width;
        if (part) {
            if (*at >= s->n || s->s[*at] != '.') break;
            ++*at;
        }
        if (*at < s->n && s->s[*at] == '*') {
            jt_jval v;
            ++*at;
            if (!percent_next(r, p, &v) || !jt_jwant_int(r, v, "* wants int", out)) return false;
            if (!part && *out < 0) left = true, *out = *out == INT64_MIN ? 0 : -*out;
            if (part && *out < 0) *out = 0;
        } else {
            spec_number(s, at, out);
        }
    }
    f->align = left ? '<' : zeros ? '=' : 0;
    if (zeros && !left) f->fill = &zero;
    while (*at < s->n && s->s[*at] && strchr("hlL", s->s[*at])) ++*at;
    if (*at >= s->n) return jt_jfail(r, JT_FORMAT, "incomplete format");
    f->type = s->s[(*at)++];
    return true;
}

bool jt_jformat_percent(jt_jrun *r, const jt_jstr *s, jt_jval with, jt_jval *out) {
    percent p = {with, 0, with.kind == JT_J_TUPLE ? with.list->n : 1, s->markup};
    jt_jbuf b = {.r = r};
    jt_jfield f;
    bool keyed = false;
    for (size_t at = 0; at < s->n;) {
        const char *c = memchr(s->s + at, '%', s->n - at);
        size_t run = c ? (size_t)(c - s->s) : s->n;
        if (!jt_jbuf_part(&b, s, at, run)) return false;
        at = run + 1;
        if (!c) break;
        if (at < s->n && s->s[at] == '%') {
            if (!jt_jbuf_puts(&b, "%")) return false;
            at++;
            continue;
        }
        jt_jval v = {.kind = JT_J_MISSING};
        if (at < s->n && s->s[at] == '(') {
            size_t end = ++at, open = 1;
            for (; end < s->n; end++) {
                if (s->s[end] == '(') open++;
                if (s->s[end] == ')' && !--open) break;
            }
            if (end >= s->n) return jt_jfail(r, JT_FORMAT, "incomplete format key");
            if (with.kind != JT_J_DICT) return jt_jfail(r, JT_FORMAT, "format requires a mapping");
            const jt_jval *got = jt_jdict_text(with.dict, s->s + at, end - at);
            if (!got) return jt_jfail(r, JT_FORMAT, "the mapping has no \"%.*s\"", (int)(end - at < 60 ? end - at : 60), s->s + at);
            v = *got, at = end + 1, keyed = true;
        }
        if (!percent_field(r, &p, s, &at, &f)) return false;
        if (f.type == '%') {
            if (!jt_jbuf_puts(&b, "%")) return false;
            continue;
        }
        if (v.kind == JT_J_MISSING && !percent_next(r, &p, &v)) return false;
        if (!percent_put(r, &p, &f, v, &b)) return false;
    }
    bool open = with.kind == JT_J_DICT || with.kind == JT_J_LIST || with.kind == JT_J_RANGE; /* mappings may be left over */
    if (!keyed && p.next < p.n && !open) return jt_jfail(r, JT_FORMAT, "not all arguments converted during string formatting");
    const jt_jstr *o = jt_jbuf_end(&b);
    if (o) o = jt_jstr_as(r, o, s->markup);
    *out = jt_jstring(o);
    return o != NULL;
}
