/* filters_value.c: filters of single values: defaults, numbers, JSON. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja/chars.h"
#include "text/jinja/node.h"
#include "text/jinja/strings.h"

static bool f_default(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[3];
    bool boolean = false, yes = true;
    if (!jt_jargs_bind(r, "default", a, "value default_value boolean", 1, v) || !jt_jtruth(r, v[2], &boolean)) return false;
    if (v[1].kind == JT_J_MISSING && !jt_jval_text(r, "", &v[1])) return false;
    if (v[0].kind != JT_J_UNDEFINED && boolean && !jt_jtruth(r, v[0], &yes)) return false;
    *out = v[0].kind == JT_J_UNDEFINED || !yes ? v[1] : v[0];
    return true;
}

static bool f_attr(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[2];
    const jt_jstr *name;
    bool found;
    if (!jt_jargs_bind(r, "attr", a, "obj name", 2, v) || !jt_jwant_str(r, v[1], "attr", &name)) return false;
    if (v[0].kind == JT_J_UNDEFINED) return jt_jundefined_used(r, v[0]);
    if (!jt_jattribute(r, v[0], name, out, &found)) return false;
    if (!found)
        *out = jt_jundefined(r, "'%s object' has no attribute '%.*s'", jt_jkind_name(v[0]), (int)(name->n < 60 ? name->n : 60), name->s);
    return !r->status;
}

/* ---- numbers ---- */

/* The text as int() and float() read it: without white space around it and single underscores between digits, in ASCII. */
static bool number_text(const jt_jstr *s, char *t, size_t cap) {
    size_t k = 0, from = jt_jspace_past(s, 0), to = jt_jspace_before(s, s->n);
    for (size_t i = from; i < to;) {
        uint32_t cp = 0;
        int w = jt_utf8_next(s->s + i, s->n - i, &cp), d = cp < 0x80 ? -1 : jt_char_digit(cp);
        bool between = i > from && i + 1 < to && s->s[i - 1] != '_' && s->s[i + 1] != '_';
        if (k + 1 >= cap || (cp >= 0x80 && d < 0) || !cp) return false;
        if (cp == '_' && (!between || !strchr("0123456789abcdefABCDEFxXoOB", s->s[i - 1]))) return false;
        if (cp != '_') t[k++] = d >= 0 ? (char)('0' + d) : (char)cp;
        i += (size_t)w;
    }
    t[k] = 0;
    return k > 0;
}

/* 1: read, 0: no integer, -1: past 64 bits. */
static int read_int(const jt_jstr *s, int64_t base, int64_t *out) {
    char t[512];
    size_t at = 0;
    if (!number_text(s, t, sizeof t)) return 0;
    bool negative = t[0] == '-', zero = false;
    at = t[0] == '-' || t[0] == '+';
    char letter = t[at] == '0' ? (char)(t[at + 1] | 32) : 0;
    int64_t of = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
    if (of && (base == of || base == 0)) {
        at += 2, base = of;
    } else if (base == 0) {
        base = 10, zero = t[at] == '0';
    }
    *out = 0;
    if (!t[at]) return 0;
    for (; t[at]; at++) {
        int d = t[at] >= '0' && t[at] <= '9' ? t[at] - '0' : (t[at] | 32) >= 'a' && (t[at] | 32) <= 'z' ? (t[at] | 32) - 'a' + 10 : 99;
        if (d >= base || (zero && d)) return 0;
        if (__builtin_mul_overflow(*out, base, out) || __builtin_sub_overflow(*out, (int64_t)d, out)) return -1;
    }
    if (negative) return 1;
    if (*out == INT64_MIN) return -1;
    *out = -*out;
    return 1;
}

static bool read_float(const jt_jstr *s, double *out) {
    char t[512];
    if (!number_text(s, t, sizeof t)) return false;
    const char *p = t + (t[0] == '-' || t[0] == '+');
    double sign = t[0] == '-' ? -1 : 1;
    if (!strcasecmp(p, "nan")) return *out = NAN, true;
    if (!strcasecmp(p, "inf") || !strcasecmp(p, "infinity")) return *out = sign * INFINITY, true;
    if (!strchr("0123456789.", *p)) return false;
    if (strspn(p, "0123456789.eE+-") != strlen(p)) return false;
    if (jt_read_double(t, strlen(t), out)) return true;
    /* what reads as a number, but past the largest one */
    size_t digits = strspn(p, "0123456789.");
    if (p[digits] != 'e' && p[digits] != 'E') return false;
    size_t e = digits + 1 + (p[digits + 1] == '+');
    if (!p[e] || strspn(p + e, "0123456789") != strlen(p + e)) return false;
    *out = sign * INFINITY;
    return true;
}

static bool f_int(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[3];
    int64_t base = 10, i = 0;
    double f = 0;
    if (!jt_jargs_bind(r, "int", a, "value default base", 1, v)) return false;
    if (v[2].kind != JT_J_MISSING && !jt_jwant_int(r, v[2], "int", &base)) return false;
    jt_jval other = v[1].kind == JT_J_MISSING ? jt_jinteger(0) : v[1];
    if (v[0].kind == JT_J_UNDEFINED) return jt_jundefined_used(r, v[0]);
    if (v[0].kind == JT_J_INT || v[0].kind == JT_J_BOOL) return *out = jt_jinteger(jt_jint(v[0])), true;
    if (v[0].kind != JT_J_STR && v[0].kind != JT_J_FLOAT) return *out = other, true;
    if (v[0].kind == JT_J_STR) {
        if (base != 0 && (base < 2 || base > 36))
            return read_float(v[0].s, &f) ? (*out = jt_jinteger((int64_t)f), true) : (*out = other, true);
        int got = read_int(v[0].s, base, &i);
        if (got < 0) return jt_jfail(r, JT_UNSUPPORTED, "an integer past 64 bits");
        if (got > 0) return *out = jt_jinteger(i), true;
        if (!read_float(v[0].s, &f) || !isfinite(f)) return *out = other, true;
    } else {
        f = v[0].f;
        if (isinf(f)) return jt_jfail(r, JT_FORMAT, "cannot convert float infinity to integer");
        if (isnan(f)) return *out = other, true;
    }
    if (!(fabs(f) < 9.2e18)) return jt_jfail(r, JT_UNSUPPORTED, "an integer past 64 bits");
    *out = jt_jinteger((int64_t)f);
    return true;
}

static bool f_float(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[2];
    double f;
    if (!jt_jargs_bind(r, "float", a, "value default", 1, v)) return false;
    if (v[0].kind == JT_J_UNDEFINED) return jt_jundefined_used(r, v[0]);
    if (jt_jis_number(v[0])) return *out = jt_jreal(jt_jfloat(v[0])), true;
    if (v[0].kind == JT_J_STR && read_float(v[0].s, &f)) return *out = jt_jreal(f), true;
    *out = v[1].kind == JT_J_MISSING ? jt_jreal(0) : v[1];
    return true;
}

static bool f_abs(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[1];
    if (!jt_jargs_bind(r, "abs", a, "/x", 1, v)) return false;
    if (v[0].kind == JT_J_UNDEFINED) return jt_jundefined_used(r, v[0]);
    if (!jt_jis_number(v[0])) return jt_jfail(r, JT_FORMAT, "bad operand type for abs(): '%s'", jt_jkind_name(v[0]));
    if (v[0].kind == JT_J_FLOAT) return *out = jt_jreal(fabs(v[0].f)), true;
    return jt_jsign(r, jt_jint(v[0]) < 0, v[0], out);
}

static bool f_round(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[3];
    int64_t digits = 0;
    if (!jt_jargs_bind(r, "round", a, "value precision method", 1, v)) return false;
    if (v[1].kind != JT_J_MISSING && !jt_jwant_int(r, v[1], "round", &digits)) return false;
    const char *how = v[2].kind == JT_J_MISSING ? "common" : NULL;
    for (int i = 0; v[2].kind == JT_J_STR && i < 3; i++)
        if (jt_jstr_is(v[2].s, ((const char *const[]){"common", "ceil", "floor"})[i]))
            how = ((const char *const[]){"common", "ceil", "floor"})[i];
    if (!how) return jt_jfail(r, JT_FORMAT, "method must be common, ceil or floor");
    if (v[0].kind == JT_J_UNDEFINED) return jt_jundefined_used(r, v[0]);
    if (!jt_jis_number(v[0])) return jt_jfail(r, JT_FORMAT, "type %s doesn't define __round__ method", jt_jkind_name(v[0]));
    if (*how != 'c' || how[1] == 'e') {
        double x = jt_jfloat(v[0]), unit = pow(10, (double)digits), y = x * unit;
        if (!isfinite(y)) return jt_jfail(r, JT_FORMAT, "cannot convert float infinity or NaN to integer");
        return *out = jt_jreal((*how == 'f' ? floor(y) : ceil(y)) / unit), true;
    }
    if (v[0].kind == JT_J_FLOAT) {
        double x;
        if (!jt_jround(r, v[0].f, digits, &x)) return false;
        return *out = jt_jreal(x), true;
    }
    int64_t i = jt_jint(v[0]), unit = 1;
    for (; digits < 0 && unit < INT64_MAX / 20; digits++) unit *= 10;
    if (digits < 0) return *out = jt_jinteger(0), true;
    int64_t rest = i % unit, down = i - rest, half = rest < 0 ? -rest : rest;
    if (2 * half > unit || (2 * half == unit && down / unit % 2)) {
        if (__builtin_add_overflow(down, rest < 0 ? -unit : unit, &down)) return jt_jfail(r, JT_UNSUPPORTED, "an integer past 64 bits");
    }
    *out = jt_jinteger(down);
    return true;
}

static bool f_filesizeformat(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    static const char prefix[] = "kMGTPEZY";
    jt_jval v[2];
    bool binary = false;
    double x;
    char t[64];
    if (!jt_jargs_bind(r, "filesizeformat", a, "value binary", 1, v) || !jt_jtruth(r, v[1], &binary)) return false;
    if (v[0].kind == JT_J_UNDEFINED) return jt_jundefined_used(r, v[0]);
    if (jt_jis_number(v[0]))
        x = jt_jfloat(v[0]);
    else if (v[0].kind != JT_J_STR || !read_float(v[0].s, &x))
        return jt_jfail(r, JT_FORMAT, "filesizeformat: the value is no number");
    if (!isfinite(x)) return jt_jfail(r, JT_UNSUPPORTED, "filesizeformat: the value is not finite");
    long double base = binary ? 1024 : 1000, unit; /* exact up to the largest unit */
    if (x == 1) {
        snprintf(t, sizeof t, "1 Byte");
    } else if (x < base) {
        if (x < -9e18) return jt_jfail(r, JT_UNSUPPORTED, "an integer past 64 bits");
        snprintf(t, sizeof t, "%lld Bytes", (long long)x);
    } else {
        int i = 0;
        for (unit = base * base; i < 7 && x >= unit; i++) unit *= base;
        snprintf(t, sizeof t, "%.1f %c%sB", (double)(base * x) / (double)unit, binary ? prefix[i] & (i ? 255 : 223) : prefix[i],
                 binary ? "i" : "");
        for (char *c = t; *c; c++)
            if (*c == ',') *c = '.';
    }
    return jt_jval_text(r, t, out);
}

/* ---- JSON ---- */

static bool json_separators(jt_jrun *r, jt_jval v, jt_jdumps *how) {
    if (v.kind == JT_J_MISSING || v.kind == JT_J_NONE) return true;
    jt_jlist *l = jt_jlist_of(r, v);
    if (!l) return false;
    if (l->n != 2) return jt_jfail(r, JT_FORMAT, "tojson: separators are two texts");
    return jt_jwant_str(r, l->v[0], "tojson", &how->comma) && jt_jwant_str(r, l->v[1], "tojson", &how->colon);
}

static bool f_tojson(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    static const jt_jstr comma = {.s = ",", .n = 1, .len = 1}, comma_space = {.s = ", ", .n = 2, .len = 2},
                         colon = {.s = ": ", .n = 2, .len = 2};
    jt_jval v[5];
    jt_jdumps how = {.comma = &comma_space, .colon = &colon};
    jt_jbuf space = {.r = r}, b = {.r = r};
    int64_t n;
    if (!jt_jargs_bind(r, "tojson", a, "x ensure_ascii indent separators sort_keys", 1, v) || !jt_jtruth(r, v[1], &how.ascii) ||
        !jt_jtruth(r, v[4], &how.sort))
        return false;
    if (v[2].kind == JT_J_STR) {
        how.indent = v[2].s;
    } else if (v[2].kind != JT_J_MISSING && v[2].kind != JT_J_NONE) {
        if (!jt_jwant_int(r, v[2], "tojson", &n) || !jt_jbuf_fill(&space, ' ', n > 0 ? (size_t)n : 0) ||
            !(how.indent = jt_jbuf_end(&space)))
            return false;
    }
    if (how.indent) how.comma = &comma;
    if (!json_separators(r, v[3], &how) || !jt_jbuf_json(&b, v[0], &how)) return false;
    *out = jt_jstring(jt_jbuf_end(&b));
    return out->s != NULL;
}

/* pprint, of what fits into a line: repr() with the members of dicts in order. */
static bool in_order(jt_jrun *r, jt_jval v, jt_jval *out) {
    *out = v;
    if (v.kind != JT_J_DICT && v.kind != JT_J_LIST && v.kind != JT_J_TUPLE) return true;
    if (!jt_jenter(r)) return false;
    jt_jlist *l = jt_jlist_new(r, 0);
    jt_jdict *d = v.kind == JT_J_DICT ? jt_jdict_new(r) : NULL;
    bool ok = l && (d || v.kind != JT_J_DICT);
    for (size_t i = 0; ok && !d && i < v.list->n; i++) {
        jt_jval one;
        ok = in_order(r, v.list->v[i], &one) && jt_jlist_push(r, l, one);
    }
    bool *used = d ? jt_jalloc(r, v.dict->n, sizeof *used) : NULL;
    if (d && !used) ok = false;
    if (ok && d && v.dict->n > 64) ok = jt_jfail(r, JT_UNSUPPORTED, "pprint of what is longer than a line is not supported; use tojson");
    for (size_t n = 0; ok && d && n < v.dict->n; n++) {
        size_t least = SIZE_MAX;
        for (size_t i = 0; ok && i < v.dict->n; i++) {
            bool less = least == SIZE_MAX;
            if (used[i]) continue;
            if (!less) ok = jt_jless(r, v.dict->p[i].key, v.dict->p[least].key, "<", &less);
            if (less) least = i;
        }
        jt_jval one;
        used[least] = true;
        ok = ok && in_order(r, v.dict->p[least].value, &one) && jt_jdict_set(r, d, v.dict->p[least].key, one);
    }
    *out = d ? (jt_jval){.kind = JT_J_DICT, .dict = d} : (jt_jval){.kind = v.kind, .list = l};
    return jt_jleave(r, ok);
}

static bool f_pprint(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[1];
    jt_jbuf b = {.r = r};
    if (!jt_jargs_bind(r, "pprint", a, "value", 1, v) || !in_order(r, v[0], &v[0]) || !jt_jbuf_repr(&b, v[0])) return false;
    *out = jt_jstring(jt_jbuf_end(&b));
    if (!out->s) return false;
    return out->s->len <= 80 || jt_jfail(r, JT_UNSUPPORTED, "pprint of what is longer than a line is not supported; use tojson");
}

const jt_jfunction jt_jfilters_value[] = {
    {"default", f_default},
    {"d", f_default},
    {"attr", f_attr},
    {"int", f_int},
    {"float", f_float},
    {"abs", f_abs},
    {"round", f_round},
    {"filesizeformat", f_filesizeformat},
    {"tojson", f_tojson},
    {"pprint", f_pprint},
    {0},
};
