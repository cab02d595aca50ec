#include "text/jinja/lexer.h"

#include <math.h>
#include <string.h>

#include "text/jinja/chars.h"

typedef struct jlexer {
    jt_jrun *r;
    const char *s;
    size_t n, at;
    size_t counted; /* up to here lines and columns were counted */
    unsigned line, column;
    bool line_starting; /* what was read last ended in a newline */
    jt_jtoken *t;
    size_t n_t, cap_t;
    jt_jnode place; /* of messages */
} jlexer;

/* Line and column of a place; cheap for one behind the last one asked for. */
static void lex_locate(jlexer *x, size_t at) {
    if (at < x->counted || !x->line) x->counted = 0, x->line = x->column = 1;
    for (; x->counted < at; x->counted++) {
        unsigned char c = (unsigned char)x->s[x->counted];
        if (c == '\n')
            x->line++, x->column = 1;
        else
            x->column += (c & 0xc0) != 0x80;
    }
    x->place.line = x->line, x->place.column = x->column;
}

static bool lex_push(jlexer *x, jt_jtoken_kind kind, size_t at, jt_jtoken **out) {
    if (x->n_t == x->cap_t) {
        size_t cap = x->cap_t ? 2 * x->cap_t : 64;
        jt_jtoken *t = jt_jalloc(x->r, cap, sizeof *t);
        if (!t) return false;
        if (x->n_t) memcpy(t, x->t, x->n_t * sizeof *t);
        x->t = t, x->cap_t = cap;
    }
    lex_locate(x, at);
    *out = &x->t[x->n_t++];
    (*out)->kind = kind, (*out)->line = x->place.line, (*out)->column = x->place.column;
    return true;
}

static bool lex_fail(jlexer *x, size_t at, const char *what) {
    lex_locate(x, at);
    return jt_jfail(x->r, JT_FORMAT, "%s", what);
}

static bool lex_is(const jlexer *x, size_t at, const char *text) {
    size_t n = strlen(text);
    return x->n - at >= n && !memcmp(x->s + at, text, n);
}

/* The character at `at` and its length. */
static uint32_t lex_char(const jlexer *x, size_t at, int *n) {
    uint32_t cp = 0;
    *n = at < x->n ? jt_utf8_next(x->s + at, x->n - at, &cp) : 0;
    return cp;
}

static size_t skip_space(const jlexer *x, size_t at) {
    int n;
    for (uint32_t cp; at < x->n; at += (size_t)n) {
        cp = lex_char(x, at, &n);
        if (!(jt_char_kind(cp) & JT_CHAR_SPACE)) break;
    }
    return at;
}

/* Where [from, to) ends without the white space at its end. */
static size_t back_over_space(const jlexer *x, size_t from, size_t to) {
    while (to > from) {
        size_t at = to - 1;
        int n;
        while (at > from && ((unsigned char)x->s[at] & 0xc0) == 0x80) at--;
        if (!(jt_char_kind(lex_char(x, at, &n)) & JT_CHAR_SPACE)) break;
        to = at;
    }
    return to;
}

/* ---- text outside tags ---- */

/* The text [from, to) before a tag whose opening is followed by `sign`; `print` tags leave the white space of their line. */
static bool lex_data(jlexer *x, size_t from, size_t to, char sign, bool print) {
    jt_jtoken *t;
    size_t end = to;
    if (sign == '-') {
        end = back_over_space(x, from, to);
    } else if (sign != '+' && !print) {
        size_t line = to;
        while (line > from && x->s[line - 1] != '\n') line--;
        if ((line > from || x->line_starting) && back_over_space(x, line, to) == line) end = line;
    }
    if (end == from) return true;
    if (!lex_push(x, JT_JT_DATA, from, &t)) return false;
    t->value = jt_jstring(jt_jstr_new(x->r, x->s + from, end - from, NULL));
    return t->value.s != NULL;
}

/* The end of a comment or a block at `at`: "-" takes white space behind it, none a newline, "+" nothing. 0 if it is none. */
static size_t tag_end(const jlexer *x, size_t at, const char *mark, bool newline) {
    if (lex_is(x, at, "+") && lex_is(x, at + 1, mark) && newline) return at + 3;
    if (lex_is(x, at, "-") && lex_is(x, at + 1, mark)) return skip_space(x, at + 3);
    if (!lex_is(x, at, mark)) return 0;
    return at + 2 + (newline && lex_is(x, at + 2, "\n"));
}

static void lex_past(jlexer *x, size_t end) {
    x->at = end;
    x->line_starting = end > 0 && x->s[end - 1] == '\n';
}

static char sign_at(const jlexer *x, size_t at) { return at < x->n && (x->s[at] == '-' || x->s[at] == '+') ? x->s[at] : 0; }

/* "{% raw %}" at `at`: where its text begins, or 0. */
static size_t raw_begin(const jlexer *x, size_t at) {
    size_t i = skip_space(x, at + 2 + (sign_at(x, at + 2) != 0));
    if (!lex_is(x, i, "raw")) return 0;
    i = skip_space(x, i + 3);
    if (lex_is(x, i, "-%}")) return skip_space(x, i + 3);
    return lex_is(x, i, "%}") ? i + 2 : 0;
}

static bool lex_raw(jlexer *x, size_t from) {
    size_t begin = x->at;
    lex_past(x, from);
    if (from == x->n) return true; /* nothing is left to be raw */
    for (size_t i = from; i + 1 < x->n; i++) {
        if (!lex_is(x, i, "{%")) continue;
        char sign = sign_at(x, i + 2);
        size_t k = skip_space(x, i + 2 + (sign != 0));
        if (!lex_is(x, k, "endraw")) continue;
        k = skip_space(x, k + 6);
        size_t end = tag_end(x, k, "%}", true);
        if (!end) continue;
        if (!lex_data(x, from, i, sign, false)) return false;
        lex_past(x, end);
        return true;
    }
    return lex_fail(x, begin, "{% raw %} without {% endraw %}");
}

static bool lex_comment(jlexer *x) {
    size_t begin = x->at, from = begin + 2 + (sign_at(x, begin + 2) != 0);
    if (from == x->n) return x->at = from, true; /* nothing is left to be a comment */
    for (size_t i = from; i < x->n; i++) {
        size_t end = tag_end(x, i, "#}", true);
        if (!end) continue;
        lex_past(x, end);
        return true;
    }
    return lex_fail(x, begin, "a comment that does not end; #} is missing");
}

/* ---- inside tags ---- */

static bool lex_hex(jlexer *x, size_t at, size_t end, int digits, uint32_t *out) {
    *out = 0;
    for (int i = 0; i < digits; i++) {
        char c = at + (size_t)i < end ? x->s[at + (size_t)i] : 0;
        int v = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (v < 0) return lex_fail(x, at, "a \\ in a string that is not followed by enough hexadecimal digits");
        *out = *out << 4 | (uint32_t)v;
    }
    if (*out > 0x10ffff || (*out >= 0xd800 && *out < 0xe000)) return lex_fail(x, at, "a \\ in a string names no character");
    return true;
}

/* One escape at x->s[i] (after the backslash), as Python reads it; *i moves behind it. */
static bool lex_escape(jlexer *x, size_t *i, size_t end, jt_jbuf *b) {
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    char c = x->s[*i];
    const char *p = c ? strchr(from, c) : NULL;
    uint32_t cp = 0;
    if (p) return ++*i, jt_jbuf_char(b, (unsigned char)to[p - from], false);
    if (c == '\n') return ++*i, true;
    if (c >= '0' && c <= '7') {
        for (int k = 0; k < 3 && *i < end && x->s[*i] >= '0' && x->s[*i] <= '7'; k++) cp = cp * 8 + (uint32_t)(x->s[(*i)++] - '0');
        return jt_jbuf_char(b, cp, false);
    }
    if (c == 'x' || c == 'u' || c == 'U') {
        int digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        if (!lex_hex(x, *i + 1, end, digits, &cp)) return false;
        *i += 1 + (size_t)digits;
        return jt_jbuf_char(b, cp, false);
    }
    if (c == 'N') return lex_fail(x, *i, "\\N{...} in a string: names of characters are not supported; write the character itself");
    return jt_jbuf_char(b, '\\', false);
}

static bool lex_string(jlexer *x) {
    char quote = x->s[x->at];
    size_t begin = x->at, end = begin + 1;
    while (end < x->n && x->s[end] != quote) end += x->s[end] == '\\' ? 2 : 1;
    if (end >= x->n) return lex_fail(x, begin, "a string that does not end");
    jt_jtoken *t;
    jt_jbuf b = {.r = x->r};
    if (!lex_push(x, JT_JT_STRING, begin, &t)) return false;
    for (size_t i = begin + 1; i < end;) {
        const char *p = memchr(x->s + i, '\\', end - i);
        size_t stop = p ? (size_t)(p - x->s) : end;
        if (!jt_jbuf_add(&b, x->s + i, stop - i, NULL)) return false;
        i = stop;
        if (p && (i++, !lex_escape(x, &i, end, &b))) return false;
    }
    x->at = end + 1;
    t->value = jt_jstring(jt_jbuf_end(&b));
    return t->value.s != NULL;
}

/* Digits of a base with single underscores between them. */
static size_t lex_digits(const jlexer *x, size_t at, int base) {
    size_t end = at;
    for (size_t i = at; i < x->n; i++) {
        char c = x->s[i];
        int v = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 99;
        if (c == '_' && i + 1 < x->n && (i > at || base != 10) && x->s[i + 1] != '_') continue;
        if (v >= base) break;
        end = i + 1;
    }
    return end;
}

static bool lex_number(jlexer *x) {
    static const struct {
        char letter;
        int base;
    } other[] = {{'b', 2}, {'o', 8}, {'x', 16}};
    size_t begin = x->at, end = lex_digits(x, begin, 10), k = 0;
    char text[256];
    jt_jtoken *t;
    bool real = false;
    int base = 10;
    if (!lex_push(x, JT_JT_NUMBER, begin, &t)) return false;
    for (int i = 0; i < 3; i++)
        if (x->s[begin] == '0' && begin + 1 < x->n && (x->s[begin + 1] | 32) == other[i].letter &&
            lex_digits(x, begin + 2, other[i].base) > begin + 2)
            base = other[i].base, end = lex_digits(x, begin + 2, base);
    if (base == 10) {
        if (lex_is(x, end, ".") && lex_digits(x, end + 1, 10) > end + 1) real = true, end = lex_digits(x, end + 1, 10);
        size_t e = end + 1 + (end + 1 < x->n && (x->s[end + 1] == '+' || x->s[end + 1] == '-'));
        if (end < x->n && (x->s[end] | 32) == 'e' && lex_digits(x, e, 10) > e) real = true, end = lex_digits(x, e, 10);
    }
    for (size_t i = begin + (base == 10 ? 0 : 2); i < end; i++) {
        if (x->s[i] == '_') continue;
        if (k == sizeof text - 1) return lex_fail(x, begin, "a number of more than 255 digits");
        text[k++] = x->s[i];
    }
    text[k] = 0;
    x->at = end;
    if (real) {
        double f = 0;
        if (!jt_read_double(text, k, &f)) f = strchr(text, '-') ? 0 : INFINITY;
        t->value = jt_jreal(f);
        return true;
    }
    if (base == 10 && k > 1 && text[0] == '0' && strspn(text, "0") < k) {
        x->at = begin + 1; /* "01" is the numbers 0 and 1 */
        t->value = jt_jinteger(0);
        return true;
    }
    int64_t v = 0;
    for (size_t i = 0; i < k; i++) {
        int d = text[i] <= '9' ? text[i] - '0' : (text[i] | 32) - 'a' + 10;
        if (__builtin_mul_overflow(v, (int64_t)base, &v) || __builtin_add_overflow(v, (int64_t)d, &v))
            return lex_fail(x, begin, "an integer past 64 bits");
    }
    t->value = jt_jinteger(v);
    return true;
}

static bool lex_name(jlexer *x) {
    size_t begin = x->at;
    int n;
    jt_jtoken *t;
    for (uint32_t cp; x->at < x->n; x->at += (size_t)n) {
        cp = lex_char(x, x->at, &n);
        if (!(jt_char_kind(cp) & (JT_CHAR_NAME | JT_CHAR_ALNUM)) && cp != '_') break;
    }
    if (!lex_push(x, JT_JT_NAME, begin, &t)) return false;
    t->text = jt_jstr_new(x->r, x->s + begin, x->at - begin, NULL);
    return t->text != NULL;
}

static bool lex_operator(jlexer *x, jt_jstr *open) {
    static const char two[] = "// ** == != >= <= ", one[] = "+-/*%~[](){}><=.:|,;";
    char op[3] = {x->s[x->at], x->at + 1 < x->n ? x->s[x->at + 1] : 0, 0};
    char *stack = (char *)(uintptr_t)open->s;
    jt_jtoken *t;
    const char *p = op[1] && op[1] != ' ' ? strstr(two, op) : NULL;
    if (!p || (p - two) % 3) op[1] = 0;
    if (!op[1] && (!op[0] || !strchr(one, op[0]))) {
        lex_locate(x, x->at);
        unsigned char c = (unsigned char)op[0];
        return c > 0x20 && c < 0x7f ? jt_jfail(x->r, JT_FORMAT, "the character '%c' has no meaning here", c)
                                    : jt_jfail(x->r, JT_FORMAT, "the byte 0x%02X has no meaning here", c);
    }
    if (strchr("([{", op[0])) {
        if (open->n == open->len) return lex_fail(x, x->at, "more than 200 brackets inside each other");
        stack[open->n++] = op[0] == '(' ? ')' : op[0] == '[' ? ']' : '}';
    } else if (strchr(")]}", op[0])) {
        if (!open->n || stack[open->n - 1] != op[0]) {
            lex_locate(x, x->at);
            return jt_jfail(x->r, JT_FORMAT, "'%c' closes nothing", op[0]);
        }
        open->n--;
    }
    if (!lex_push(x, JT_JT_OP, x->at, &t)) return false;
    memcpy(t->op, op, sizeof op);
    x->at += op[1] ? 2 : 1;
    return true;
}

/* What stands in a tag that opened at `begin`, up to its end. */
static bool lex_inside(jlexer *x, size_t begin, bool print) {
    char stack[200];
    jt_jstr open = {.s = stack, .len = sizeof stack};
    jt_jtoken *t;
    for (;;) {
        if (x->at >= x->n) return lex_fail(x, begin, print ? "{{ without }}" : "{% without %}");
        size_t end = open.n ? 0 : tag_end(x, x->at, print ? "}}" : "%}", !print);
        if (end) {
            if (!lex_push(x, print ? JT_JT_PRINT_END : JT_JT_BLOCK_END, x->at, &t)) return false;
            lex_past(x, end);
            return true;
        }
        size_t space = skip_space(x, x->at);
        if (space > x->at) {
            x->at = space;
            continue;
        }
        int n;
        uint32_t cp = lex_char(x, x->at, &n);
        bool ok = cp >= '0' && cp <= '9'                                                 ? lex_number(x)
                  : cp == '_' || jt_char_kind(cp) & (JT_CHAR_NAME_START | JT_CHAR_ALNUM) ? lex_name(x)
                  : cp == '"' || cp == '\''                                              ? lex_string(x)
                                                                                         : lex_operator(x, &open);
        if (!ok) return false;
    }
}

static bool lex_all(jlexer *x) {
    jt_jtoken *t;
    while (x->at < x->n) {
        size_t from = x->at, i = from;
        while (i < x->n && !(x->s[i] == '{' && i + 1 < x->n && strchr("{%#", x->s[i + 1]) && x->s[i + 1])) i++;
        if (i == x->n) {
            if (!lex_push(x, JT_JT_DATA, from, &t)) return false;
            t->value = jt_jstring(jt_jstr_new(x->r, x->s + from, i - from, NULL));
            if (!t->value.s) return false;
            x->at = i;
            break;
        }
        char kind = x->s[i + 1], sign = sign_at(x, i + 2);
        if (!lex_data(x, from, i, sign, kind == '{')) return false;
        x->at = i;
        size_t raw = kind == '%' ? raw_begin(x, i) : 0;
        if (raw || kind == '#') {
            if (!(raw ? lex_raw(x, raw) : lex_comment(x))) return false;
            continue;
        }
        if (!lex_push(x, kind == '{' ? JT_JT_PRINT_BEGIN : JT_JT_BLOCK_BEGIN, i, &t)) return false;
        x->at = i + 2 + (sign != 0);
        if (!lex_inside(x, i, kind == '{')) return false;
    }
    return lex_push(x, JT_JT_END, x->n, &t);
}

/* Newlines become "\n", and one at the end is left out. */
static bool lex_newlines(jlexer *x, const char *s, size_t n) {
    char *o = jt_jalloc(x->r, n + 1, 1);
    size_t k = 0;
    if (!o) return false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\r' && i + 1 < n && s[i + 1] == '\n') continue;
        o[k++] = s[i] == '\r' ? '\n' : s[i];
    }
    if (k && o[k - 1] == '\n') k--;
    x->s = o, x->n = k;
    for (size_t i = 0; i < k;) {
        int w = jt_utf8_next(o + i, k - i, NULL);
        if (!w) return lex_fail(x, i, "a byte that is not UTF-8");
        i += (size_t)w;
    }
    return true;
}

bool jt_jlex(jt_jrun *r, const char *source, size_t n, jt_jtoken **out, size_t *n_out) {
    jlexer x = {.r = r, .line_starting = true};
    r->at = &x.place;
    bool ok = lex_newlines(&x, source, n) && lex_all(&x);
    r->at = NULL;
    *out = x.t, *n_out = x.n_t;
    return ok;
}
