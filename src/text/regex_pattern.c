/* regex_pattern.c: a pattern of Oniguruma (Ruby's syntax, as tokenizer.json means it) or of tiktoken in the words of PCRE2:
 *
 *   \s \S        White_Space spelt out: PCRE2 also counts U+180E
 *   \w \d \b      as Unicode's standard on expressions has them, with the characters that an older PCRE2 does not know yet
 *   \p{L} ...    with those characters, and \p{Han} the script alone
 *   \h \H        a hexadecimal digit (PCRE2: horizontal space)
 *   (?m: ...)    a dot matches line breaks: (?s: ...)
 *   [a&&[^b]]    a, but not b: (?![b])[a]
 *   [a[b]]       a class in a class: its members
 *
 * What else is written differently in the two is refused by PCRE2, or means the same in patterns of tokenizers. */
#include <string.h>

#include "text/regex_pattern.h"
#include "text/regex_unicode.h"

#define PATTERN_SPACE "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define PATTERN_NO_SPACE                                                                                                                   \
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}"  \
    "\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}"

typedef struct pattern_in {
    bool script; /* \p{Han} is the script, not what several scripts use */
    const char *s;
    size_t n, at;
} pattern_in;

static bool pattern_is(const pattern_in *p, const char *text) {
    size_t n = strlen(text);
    return p->n - p->at >= n && !memcmp(p->s + p->at, text, n);
}

/* The characters added to a property since, for the inside of a class. */
static void pattern_new_chars(const char *name, size_t n, jt_str *out) {
    for (size_t i = 0; n && n <= 2 && i < jt_regex_new_count; i++) {
        const jt_regex_new_chars *c = &jt_regex_new_table[i];
        if (memcmp(c->kind, name, n) != 0) continue;
        jt_str_printf(out, "\\x{%x}", (unsigned)c->first);
        if (c->last > c->first) jt_str_printf(out, "-\\x{%x}", (unsigned)c->last);
    }
}

static void pattern_category(const char *name, jt_str *out) {
    jt_str_printf(out, "\\p{%s}", name);
    pattern_new_chars(name, strlen(name), out);
}

/* The members of \w: alphabetic, marks, decimal numbers, connectors; by itself, but not in a class, the numbers of Latin-1. */
static void pattern_word(bool alone, jt_str *out) {
    static const char *const kinds[] = {"L", "M", "Nd", "Nl", "Pc"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) pattern_category(kinds[i], out);
    if (alone) jt_str_puts(out, "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}");
    jt_str_puts(out, "\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}");
}

/* The letters and braces of \p at p->at, which are passed; *n is 0 for what is no general category. */
static const char *pattern_property(pattern_in *p, size_t *n, bool *negative) {
    const char *open = p->s + p->at + 2;
    *negative = p->s[p->at + 1] == 'P';
    *n = 0;
    if (p->at + 2 >= p->n) {
        p->at = p->n;
        return open;
    }
    if (*open != '{') {
        *n = 1;
        p->at += 3;
        return open;
    }
    const char *close = memchr(open, '}', p->n - p->at - 2);
    if (!close) {
        p->at = p->n;
        return open;
    }
    p->at = (size_t)(close - p->s) + 1;
    open++;
    if (*open == '^') open++, *negative = !*negative;
    *n = (size_t)(close - open);
    return open;
}

static void pattern_name(const pattern_in *p, const char *name, size_t n, bool negative, jt_str *out) {
    jt_str_printf(out, "\\%c{%s%.*s}", negative ? 'P' : 'p', p->script && n > 2 && memcmp(name, "Alphabetic", n) != 0 ? "sc:" : "", (int)n,
                  name);
}

/* An escape outside a class. */
static void pattern_escape(pattern_in *p, jt_str *out) {
    char c = p->at + 1 < p->n ? p->s[p->at + 1] : 0;
    if (c == 's' || c == 'S') {
        jt_str_puts(out, c == 's' ? "[" PATTERN_SPACE "]" : "[^" PATTERN_SPACE "]");
    } else if (c == 'w' || c == 'W') {
        jt_str_puts(out, c == 'w' ? "[" : "[^");
        pattern_word(true, out);
        jt_str_putc(out, ']');
    } else if (c == 'd' || c == 'D') {
        jt_str_puts(out, c == 'd' ? "[" : "[^");
        pattern_category("Nd", out);
        jt_str_putc(out, ']');
    } else if (c == 'b' || c == 'B') {
        jt_str word = {0};
        jt_str_putc(&word, '[');
        pattern_word(true, &word);
        jt_str_putc(&word, ']');
        const char *w = jt_str_c(&word);
        jt_str_printf(out, c == 'b' ? "(?:(?<=%s)(?!%s)|(?<!%s)(?=%s))" : "(?:(?<=%s)(?=%s)|(?<!%s)(?!%s))", w, w, w, w);
        out->failed |= word.failed;
        jt_str_free(&word);
    } else if (c == 'h' || c == 'H') {
        jt_str_puts(out, c == 'h' ? "[0-9A-Fa-f]" : "[^0-9A-Fa-f]");
    } else if (c == 'p' || c == 'P') {
        size_t n;
        bool negative;
        const char *name = pattern_property(p, &n, &negative);
        jt_str_puts(out, negative ? "[^" : "[");
        pattern_name(p, name, n, false, out);
        pattern_new_chars(name, n, out);
        jt_str_putc(out, ']');
        return;
    } else {
        jt_str_add(out, p->s + p->at, p->at + 1 < p->n ? 2 : 1);
    }
    p->at += p->at + 1 < p->n ? 2 : 1;
}

/* [:alpha:] and the like, of n bytes, within a class. */
static void pattern_posix(const pattern_in *p, size_t n, jt_str *out) {
    bool number = pattern_is(p, "[:alnum:]");
    if (number || pattern_is(p, "[:alpha:]")) {
        pattern_category("L", out);
        jt_str_puts(out, p->script ? "\\p{Nl}\\p{Alphabetic}" : "\\p{Nl}\\p{M}");
        if (number) pattern_category("Nd", out);
    } else if (pattern_is(p, "[:punct:]")) {
        pattern_category("P", out), pattern_category("S", out);
    } else if (pattern_is(p, "[:space:]")) {
        jt_str_puts(out, PATTERN_SPACE);
    } else {
        jt_str_add(out, p->s + p->at, n);
    }
}

/* The members of a class from p->at on, up to the bracket that ends it or "&&". A class within, unless negative, adds its
 * members. False for what cannot be said. */
static bool pattern_members(pattern_in *p, jt_str *out, int depth) {
    bool first = true;
    for (; p->at < p->n; first = false) {
        char c = p->s[p->at];
        if (c == ']' && !first) return true;
        if (pattern_is(p, "&&")) return true;
        if (pattern_is(p, "[:")) {
            const char *close = memmem(p->s + p->at, p->n - p->at, ":]", 2);
            if (!close) return false;
            size_t n = (size_t)(close - p->s) + 2 - p->at;
            pattern_posix(p, n, out);
            p->at += n;
        } else if (c == '[') {
            p->at++;
            if (depth > 8 || (p->at < p->n && p->s[p->at] == '^') || !pattern_members(p, out, depth + 1)) return false;
            if (p->at >= p->n || p->s[p->at] != ']') return false;
            p->at++;
        } else if (c == '\\' && p->at + 1 < p->n) {
            char e = p->s[p->at + 1];
            if (e == 'p' || e == 'P') {
                size_t n;
                bool negative;
                const char *name = pattern_property(p, &n, &negative);
                pattern_name(p, name, n, negative, out);
                if (!negative) pattern_new_chars(name, n, out);
                continue;
            }
            if (e == 'w')
                pattern_word(false, out);
            else if (e == 'd')
                pattern_category("Nd", out);
            else if (e == 's' || e == 'S')
                jt_str_puts(out, e == 's' ? PATTERN_SPACE : PATTERN_NO_SPACE);
            else if (e == 'h')
                jt_str_puts(out, "0-9A-Fa-f");
            else if (e == 'H')
                return false;
            else
                jt_str_add(out, p->s + p->at, 2);
            p->at += 2;
        } else {
            jt_str_putc(out, c);
            p->at++;
        }
    }
    return false;
}

/* A class, whose bracket stands at p->at. */
static bool pattern_class(pattern_in *p, jt_str *out) {
    jt_str members = {0}, most = {0};
    bool ok = true, both = false, negative;
    p->at++;
    negative = p->at < p->n && p->s[p->at] == '^';
    if (negative) p->at++;
    ok = pattern_members(p, &members, 0);
    while (ok && pattern_is(p, "&&")) { /* only what is not in a class */
        both = true;
        p->at += 2;
        ok = pattern_is(p, "[^");
        if (!ok) break;
        p->at += 2;
        jt_str_puts(&most, "(?![");
        ok = pattern_members(p, &most, 0) && p->at < p->n && p->s[p->at] == ']';
        jt_str_puts(&most, "])");
        if (ok) p->at++;
    }
    ok = ok && p->at < p->n && p->s[p->at] == ']' && !(both && negative);
    if (ok) p->at++;
    if (ok && both) jt_str_puts(out, "(?:");
    if (ok) jt_str_add(out, jt_str_c(&most), most.n);
    if (ok) jt_str_puts(out, negative ? "[^" : "[");
    if (ok) jt_str_add(out, jt_str_c(&members), members.n);
    if (ok) jt_str_puts(out, both ? "])" : "]");
    if (members.failed || most.failed) ok = false, out->failed = true;
    jt_str_free(&members), jt_str_free(&most);
    return ok;
}

/* The letters of (?im-x: or (?im-x), with Ruby's m as PCRE2's s; false if it is no such group. */
static bool pattern_options(pattern_in *p, jt_str *out) {
    size_t i = p->at + 2;
    while (i < p->n && (strchr("imx-", p->s[i]) && p->s[i])) i++;
    if (i == p->at + 2 || i >= p->n || (p->s[i] != ':' && p->s[i] != ')')) return false;
    for (; p->at < i; p->at++) jt_str_putc(out, p->s[p->at] == 'm' ? 's' : p->s[p->at]);
    return true;
}

jt_status jt_regex_pattern(const char *pattern, size_t n, bool script, jt_str *out, jt_error *err) {
    pattern_in p = {script, pattern, n, 0};
    while (p.at < n) {
        if (p.s[p.at] == '\\') {
            pattern_escape(&p, out);
        } else if (p.s[p.at] == '[') {
            size_t at = p.at;
            if (!pattern_class(&p, out)) {
                jt_status st = jt_str_check(out, err);
                return st ? st : jt_error_set(err, JT_UNSUPPORTED, "regular expression: the class at byte %zu is not supported", at);
            }
        } else if (!pattern_is(&p, "(?") || !pattern_options(&p, out)) {
            jt_str_putc(out, p.s[p.at++]);
        }
    }
    return jt_str_check(out, err);
}
