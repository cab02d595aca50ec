#include "core/str.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

static bool str_room(jt_str *b, size_t more) {
    size_t need;
    if (b->failed) return false;
    if (!jt_add(b->n, more, &need) || !jt_add(need, 1, &need) || jt_grow((void **)&b->s, &b->cap, need, 1, NULL) != JT_OK) {
        b->failed = true;
        return false;
    }
    return true;
}

void jt_str_add(jt_str *b, const char *s, size_t n) {
    if (!str_room(b, n)) return;
    if (n) memcpy(b->s + b->n, s, n);
    b->s[b->n += n] = 0;
}

void jt_str_puts(jt_str *b, const char *s) { jt_str_add(b, s, strlen(s)); }
void jt_str_putc(jt_str *b, char c) { jt_str_add(b, &c, 1); }

void jt_str_printf(jt_str *b, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) b->failed = true;
    if (n < 0 || !str_room(b, (size_t)n)) return;
    va_start(ap, fmt);
    vsnprintf(b->s + b->n, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->n += (size_t)n;
}

void jt_str_json(jt_str *b, const char *s, size_t n) {
    jt_str_putc(b, '"');
    for (size_t i = 0; i < n;) {
        unsigned char c = (unsigned char)s[i];
        int w = jt_utf8_next(s + i, n - i, NULL);
        if (c == '"' || c == '\\')
            jt_str_printf(b, "\\%c", c);
        else if (c == '\n')
            jt_str_puts(b, "\\n");
        else if (c == '\t')
            jt_str_puts(b, "\\t");
        else if (c == '\r')
            jt_str_puts(b, "\\r");
        else if (c < 0x20 || c == 0x7f)
            jt_str_printf(b, "\\u%04x", c);
        else if (w == 0)
            jt_str_puts(b, "\xef\xbf\xbd");
        else
            jt_str_add(b, s + i, (size_t)w);
        i += w ? (size_t)w : 1;
    }
    jt_str_putc(b, '"');
}

void jt_str_number(jt_str *b, double x) {
    char t[40];
    if (!isfinite(x)) {
        jt_str_puts(b, "null");
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        double back;
        int n = snprintf(t, sizeof t, "%.*g", digits, x);
        for (int i = 0; i < n; i++)
            if (t[i] == ',') t[i] = '.';
        if (jt_read_double(t, (size_t)n, &back) && back == x) break;
    }
    jt_str_puts(b, t);
}

void jt_str_clear(jt_str *b) {
    b->n = 0, b->failed = false;
    if (b->s) b->s[0] = 0;
}

void jt_str_free(jt_str *b) {
    jt_free(b->s);
    *b = (jt_str){0};
}

const char *jt_str_c(const jt_str *b) { return b->s ? b->s : ""; }

jt_status jt_str_check(const jt_str *b, jt_error *err) { return b->failed ? jt_nomem(err, "building a text", b->n, 1) : JT_OK; }

bool jt_read_u64(const char *s, size_t n, uint64_t *out) {
    uint64_t v = 0;
    if (!n) return false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') return false;
        if (!jt_mul_u64(v, 10, &v) || !jt_add_u64(v, (uint64_t)(s[i] - '0'), &v)) return false;
    }
    *out = v;
    return true;
}

bool jt_read_i64(const char *s, size_t n, int64_t *out) {
    uint64_t v;
    bool neg = n && s[0] == '-';
    size_t skip = n && (s[0] == '-' || s[0] == '+') ? 1 : 0;
    if (!jt_read_u64(s + skip, n - skip, &v)) return false;
    if (v > (uint64_t)INT64_MAX + (neg ? 1u : 0u)) return false;
    *out = neg ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

/* The decimal digits are turned into the nearest double by strtod; only its
 * locale dependence is removed, by writing the locale's own decimal point. */
bool jt_read_double(const char *s, size_t n, double *out) {
    char t[512], *end;
    if (!n || n >= sizeof t - 8) return false;
    const char *point = localeconv()->decimal_point;
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        bool ok = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.' || c == 'e' || c == 'E' || c == 'i' || c == 'n' || c == 'f';
        if (!ok) return false;
        if (c == '.') {
            for (const char *p = point; *p && k < sizeof t - 1; p++) t[k++] = *p;
        } else if (k < sizeof t - 1) {
            t[k++] = c;
        }
    }
    t[k] = 0;
    errno = 0;
    double v = strtod(t, &end);
    if (end != t + k || isnan(v) || (errno == ERANGE && isinf(v))) return false;
    *out = v;
    return true;
}

int jt_utf8_next(const char *s, size_t n, uint32_t *cp) {
    if (!n) return 0;
    const unsigned char *p = (const unsigned char *)s;
    unsigned c = p[0];
    uint32_t v;
    int len;
    if (c < 0x80) {
        if (cp) *cp = c;
        return 1;
    }
    if (c >= 0xc2 && c <= 0xdf)
        len = 2, v = c & 0x1f;
    else if (c >= 0xe0 && c <= 0xef)
        len = 3, v = c & 0x0f;
    else if (c >= 0xf0 && c <= 0xf4)
        len = 4, v = c & 0x07;
    else
        return 0;
    if (n < (size_t)len) return 0;
    for (int i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
        v = v << 6 | (p[i] & 0x3fu);
    }
    if ((len == 3 && v < 0x800) || (len == 4 && (v < 0x10000 || v > 0x10ffff)) || (v >= 0xd800 && v <= 0xdfff)) return 0;
    if (cp) *cp = v;
    return len;
}

size_t jt_utf8_whole(const char *s, size_t n) {
    const unsigned char *p = (const unsigned char *)s;
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        unsigned c = p[n - back];
        if ((c & 0xc0) == 0x80) continue;
        size_t len = c >= 0xf0 && c <= 0xf4 ? 4 : c >= 0xe0 && c <= 0xef ? 3 : c >= 0xc2 && c <= 0xdf ? 2 : 1;
        if (len <= back) return n;
        if (back >= 2) { /* the second byte decides overlong forms and surrogates */
            unsigned d = p[n - back + 1];
            if ((c == 0xe0 && d < 0xa0) || (c == 0xed && d > 0x9f) || (c == 0xf0 && d < 0x90) || (c == 0xf4 && d > 0x8f)) return n;
        }
        return n - back;
    }
    return n;
}

int jt_utf8_put(uint32_t cp, char out[4]) {
    if (cp < 0x80) return out[0] = (char)cp, 1;
    if (cp < 0x800) return out[0] = (char)(0xc0 | cp >> 6), out[1] = (char)(0x80 | (cp & 0x3f)), 2;
    if (cp < 0x10000)
        return out[0] = (char)(0xe0 | cp >> 12), out[1] = (char)(0x80 | (cp >> 6 & 0x3f)), out[2] = (char)(0x80 | (cp & 0x3f)), 3;
    out[0] = (char)(0xf0 | cp >> 18), out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3f)), out[3] = (char)(0x80 | (cp & 0x3f));
    return 4;
}

int jt_edit_distance(const char *a, const char *b) {
    enum { MAX = 64 };
    size_t n = strnlen(a, MAX), m = strnlen(b, MAX);
    int d[3][MAX + 1];
    for (size_t j = 0; j <= m; j++) d[0][j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int *row = d[i % 3], *up = d[(i + 2) % 3], *up2 = d[(i + 1) % 3];
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int cost = a[i - 1] != b[j - 1];
            int v = up[j - 1] + cost;
            if (up[j] + 1 < v) v = up[j] + 1;
            if (row[j - 1] + 1 < v) v = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && up2[j - 2] + 1 < v) v = up2[j - 2] + 1;
            row[j] = v;
        }
    }
    return d[n % 3][m];
}
