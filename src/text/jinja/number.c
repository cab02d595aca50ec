/* number.c: arithmetic as Python does it, and what its operators do to strings and lists. Integers have 64 bits: a result past
 * them is refused, never wrong. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja/value.h"

static bool past_64_bits(jt_jrun *r) { return jt_jfail(r, JT_UNSUPPORTED, "an integer past 64 bits"); }

static bool cannot(jt_jrun *r, jt_jop op, jt_jval a, jt_jval b) {
    static const char *const name[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};
    return jt_jfail(r, JT_FORMAT, "unsupported operand type(s) for %s: '%s' and '%s'", name[op], jt_jkind_name(a), jt_jkind_name(b));
}

static bool int_power(jt_jrun *r, int64_t a, int64_t b, jt_jval *out) {
    int64_t v = 1;
    if (b < 0) {
        if (!a) return jt_jfail(r, JT_FORMAT, "0.0 cannot be raised to a negative power");
        return *out = jt_jreal(pow((double)a, (double)b)), true;
    }
    for (bool over = false; b; b >>= 1) {
        if (b & 1 && (over || __builtin_mul_overflow(v, a, &v))) return past_64_bits(r);
        if (b > 1 && __builtin_mul_overflow(a, a, &a)) over = true;
    }
    return *out = jt_jinteger(v), true;
}

static bool int_operate(jt_jrun *r, jt_jop op, int64_t a, int64_t b, jt_jval *out) {
    int64_t v = 0;
    bool over = false;
    if ((op == JT_J_DIV || op == JT_J_FLOOR || op == JT_J_MOD) && !b)
        return jt_jfail(r, JT_FORMAT, op == JT_J_DIV ? "division by zero" : "integer division or modulo by zero");
    switch (op) {
    case JT_J_ADD: over = __builtin_add_overflow(a, b, &v); break;
    case JT_J_SUB: over = __builtin_sub_overflow(a, b, &v); break;
    case JT_J_MUL: over = __builtin_mul_overflow(a, b, &v); break;
    case JT_J_DIV: return *out = jt_jreal((double)((long double)a / (long double)b)), true;
    case JT_J_FLOOR:
        if (b == -1) {
            over = __builtin_sub_overflow((int64_t)0, a, &v);
            break;
        }
        v = a / b - (a % b != 0 && (a < 0) != (b < 0));
        break;
    case JT_J_MOD: v = b == -1 ? 0 : a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0); break;
    case JT_J_POW: return int_power(r, a, b, out);
    }
    if (over) return past_64_bits(r);
    return *out = jt_jinteger(v), true;
}

static bool float_power(jt_jrun *r, double a, double b, jt_jval *out) {
    if (a == 0 && b < 0) return jt_jfail(r, JT_FORMAT, "0.0 cannot be raised to a negative power");
    if (a < 0 && isfinite(a) && isfinite(b) && b != floor(b))
        return jt_jfail(r, JT_UNSUPPORTED, "a negative number to a broken power is a complex number, which is not supported");
    double v = pow(a, b);
    if (isinf(v) && isfinite(a) && isfinite(b)) return jt_jfail(r, JT_FORMAT, "numerical result out of range");
    return *out = jt_jreal(v), true;
}

static bool float_operate(jt_jrun *r, jt_jop op, double a, double b, jt_jval *out) {
    double v = 0, mod, div;
    if (op == JT_J_POW) return float_power(r, a, b, out);
    if ((op == JT_J_DIV || op == JT_J_FLOOR || op == JT_J_MOD) && b == 0)
        return jt_jfail(r, JT_FORMAT, op == JT_J_DIV ? "float division by zero" : "float floor division or modulo by zero");
    if (op == JT_J_ADD) v = a + b;
    if (op == JT_J_SUB) v = a - b;
    if (op == JT_J_MUL) v = a * b;
    if (op == JT_J_DIV) v = a / b;
    if (op == JT_J_FLOOR || op == JT_J_MOD) {
        mod = fmod(a, b), div = (a - mod) / b;
        if (mod != 0) {
            if ((b < 0) != (mod < 0)) mod += b, div -= 1;
        } else {
            mod = copysign(0, b);
        }
        double whole = div != 0 ? floor(div) : copysign(0, a / b);
        if (div != 0 && div - whole > 0.5) whole += 1;
        v = op == JT_J_MOD ? mod : whole;
    }
    return *out = jt_jreal(v), true;
}

static bool text_add(jt_jrun *r, const jt_jstr *a, const jt_jstr *b, jt_jval *out) {
    bool markup = a->markup || b->markup;
    jt_jbuf t = {.r = r};
    bool ok = markup && !a->markup ? jt_jbuf_escape(&t, a) : jt_jbuf_str(&t, a);
    ok = ok && (markup && !b->markup ? jt_jbuf_escape(&t, b) : jt_jbuf_str(&t, b));
    const jt_jstr *s = ok ? jt_jbuf_end(&t) : NULL;
    if (s) s = jt_jstr_as(r, s, markup);
    *out = jt_jstring(s);
    return s != NULL;
}

static bool text_repeat(jt_jrun *r, const jt_jstr *a, int64_t n, jt_jval *out) {
    jt_jbuf t = {.r = r};
    size_t bytes;
    if (n > 0 && (!jt_mul(a->n, (size_t)n, &bytes) || bytes > r->memory))
        return jt_jfail(r, JT_LIMIT, "a string %lld times is longer than a template may make it", (long long)n);
    for (int64_t i = 0; i < n && a->n; i++)
        if (!jt_jbuf_str(&t, a) || !jt_jstep(r, 1)) return false;
    const jt_jstr *s = jt_jbuf_end(&t);
    if (s) s = jt_jstr_as(r, s, a->markup);
    *out = jt_jstring(s);
    return s != NULL;
}

static bool list_repeat(jt_jrun *r, jt_jval a, int64_t n, jt_jval *out) {
    size_t all;
    if (n < 0) n = 0;
    if (!jt_mul(a.list->n, (size_t)n, &all) || all > r->memory / sizeof(jt_jval))
        return jt_jfail(r, JT_LIMIT, "a list %lld times is longer than a template may make it", (long long)n);
    jt_jlist *l = jt_jlist_new(r, all);
    for (int64_t k = 0; l && k < n && a.list->n; k++)
        for (size_t i = 0; i < a.list->n; i++)
            if (!jt_jstep(r, 1) || !jt_jlist_push(r, l, a.list->v[i])) return false;
    *out = (jt_jval){.kind = a.kind, .list = l};
    return l != NULL;
}

static bool list_add(jt_jrun *r, jt_jval a, jt_jval b, jt_jval *out) {
    jt_jlist *l = jt_jlist_new(r, a.list->n + b.list->n);
    if (!l || !jt_jstep(r, a.list->n + b.list->n)) return false;
    if (a.list->n) memcpy(l->v, a.list->v, a.list->n * sizeof *l->v);
    if (b.list->n) memcpy(l->v + a.list->n, b.list->v, b.list->n * sizeof *l->v);
    l->n = a.list->n + b.list->n;
    *out = (jt_jval){.kind = a.kind, .list = l};
    return true;
}

static bool is_whole(jt_jval v) { return v.kind == JT_J_INT || v.kind == JT_J_BOOL; }
static bool is_list(jt_jval v) { return v.kind == JT_J_LIST || v.kind == JT_J_TUPLE; }

bool jt_joperate(jt_jrun *r, jt_jop op, jt_jval a, jt_jval b, jt_jval *out) {
    if (jt_jis_number(a) && jt_jis_number(b))
        return is_whole(a) && is_whole(b) ? int_operate(r, op, jt_jint(a), jt_jint(b), out)
                                          : float_operate(r, op, jt_jfloat(a), jt_jfloat(b), out);
    if (a.kind == JT_J_STR && op == JT_J_MOD) return jt_jformat_percent(r, a.s, b, out);
    if (a.kind == JT_J_UNDEFINED) return jt_jundefined_used(r, a);
    if (b.kind == JT_J_UNDEFINED) return jt_jundefined_used(r, b);
    if (op == JT_J_ADD && a.kind == JT_J_STR && b.kind == JT_J_STR) return text_add(r, a.s, b.s, out);
    if (op == JT_J_ADD && is_list(a) && a.kind == b.kind) return list_add(r, a, b, out);
    if (op == JT_J_ADD && a.kind == JT_J_STR)
        return jt_jfail(r, JT_FORMAT, "can only concatenate str (not \"%s\") to str", jt_jkind_name(b));
    if (op == JT_J_MUL && a.kind == JT_J_STR && is_whole(b)) return text_repeat(r, a.s, jt_jint(b), out);
    if (op == JT_J_MUL && b.kind == JT_J_STR && is_whole(a)) return text_repeat(r, b.s, jt_jint(a), out);
    if (op == JT_J_MUL && is_list(a) && is_whole(b)) return list_repeat(r, a, jt_jint(b), out);
    if (op == JT_J_MUL && is_list(b) && is_whole(a)) return list_repeat(r, b, jt_jint(a), out);
    if (op == JT_J_SUB && a.kind == JT_J_VIEW && b.kind == JT_J_VIEW)
        return jt_jfail(r, JT_UNSUPPORTED, "the difference of two dicts' keys is a set, which is not supported");
    return cannot(r, op, a, b);
}

bool jt_jsign(jt_jrun *r, bool negative, jt_jval a, jt_jval *out) {
    if (a.kind == JT_J_UNDEFINED) return jt_jundefined_used(r, a);
    if (a.kind == JT_J_FLOAT) return *out = jt_jreal(negative ? -a.f : a.f), true;
    if (!is_whole(a)) return jt_jfail(r, JT_FORMAT, "bad operand type for unary %c: '%s'", negative ? '-' : '+', jt_jkind_name(a));
    if (negative && jt_jint(a) == INT64_MIN) return past_64_bits(r);
    return *out = jt_jinteger(negative ? -jt_jint(a) : jt_jint(a)), true;
}

bool jt_jround(jt_jrun *r, double x, int64_t digits, double *out) {
    char text[400];
    *out = x;
    if (!isfinite(x) || digits > 300 || x == 0) return true;
    if (digits < -308) return *out = copysign(0, x), true;
    if (digits < 0) {
        double unit = pow(10, (double)-digits);
        *out = nearbyint(x / unit) * unit;
        return true;
    }
    if (digits > 20 && fabs(x) > 1e5) return true;
    int n = snprintf(text, sizeof text, "%.*f", (int)digits, x);
    for (int i = 0; i < n && i < (int)sizeof text; i++)
        if (text[i] == ',') text[i] = '.';
    if (n < (int)sizeof text && jt_read_double(text, (size_t)n, out)) return true;
    return jt_jfail(r, JT_FORMAT, "a number that is too large to round");
}
