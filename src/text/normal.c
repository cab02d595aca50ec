#include "text/normal.h"

#include <string.h>

#include "core/mem.h"

/* Hangul syllables are computed (The Unicode Standard, 3.12). */
enum { HANGUL = 0xAC00, HANGUL_L = 0x1100, HANGUL_V = 0x1161, HANGUL_T = 0x11A7, HANGUL_LS = 19, HANGUL_VS = 21, HANGUL_TS = 28 };
enum { HANGUL_ALL = HANGUL_LS * HANGUL_VS * HANGUL_TS };

void jt_normal_free(jt_normal *t) {
    jt_free(t->c);
    *t = (jt_normal){0};
}

jt_status jt_normal_push(jt_normal *t, uint32_t cp, size_t begin, size_t end, jt_error *err) {
    jt_status s = t->n < t->cap ? JT_OK : jt_grow((void **)&t->c, &t->cap, t->n + 1, sizeof *t->c, err);
    if (!s) t->c[t->n++] = (jt_normal_char){cp, 0, begin, end};
    return s;
}

jt_status jt_normal_read(jt_normal *t, const char *s, size_t n, size_t base, jt_error *err) {
    jt_status st = JT_OK;
    t->n = 0;
    for (size_t i = 0; i < n && !st;) {
        uint32_t cp;
        int w = jt_utf8_next(s + i, n - i, &cp);
        size_t width = w ? (size_t)w : 1;
        st = jt_normal_push(t, w ? cp : (uint32_t)JT_NORMAL_BYTE + (unsigned char)s[i], base + i, base + i + width, err);
        i += width;
    }
    return st;
}

void jt_normal_write(uint32_t cp, jt_str *out) {
    char utf8[4];
    if (cp >= JT_NORMAL_BYTE)
        jt_str_putc(out, (char)(cp - JT_NORMAL_BYTE));
    else
        jt_str_add(out, utf8, (size_t)jt_utf8_put(cp, utf8));
}

/* The low byte of the last entry that begins at or before a character. */
static unsigned normal_border(const uint32_t *t, size_t n, uint32_t cp) {
    size_t low = 0, high = n;
    while (high - low > 1) {
        size_t mid = (low + high) / 2;
        if (t[mid] >> 8 <= cp)
            low = mid;
        else
            high = mid;
    }
    return t[low] & 255;
}

unsigned jt_normal_kind_of(uint32_t cp) { return normal_border(jt_normal_kind, jt_normal_sizes[3], cp); }
static unsigned normal_ccc_of(uint32_t cp) { return cp < 0x300 ? 0 : normal_border(jt_normal_ccc, jt_normal_sizes[2], cp); }

uint32_t jt_normal_lower_of(uint32_t cp, uint32_t *more) {
    size_t low = 0, high = jt_normal_sizes[4]; /* runs below `low` begin at or before it */
    *more = 0;
    if (cp == 0x130) { /* the only one that becomes two */
        *more = 0x307;
        return 'i';
    }
    if (cp < 0x80) return cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (jt_normal_lower[mid].first <= cp)
            low = mid + 1;
        else
            high = mid;
    }
    const jt_normal_run *r = low ? &jt_normal_lower[low - 1] : NULL;
    if (!r || cp > r->last || (cp - r->first) % (uint32_t)r->step) return cp;
    return (uint32_t)((int32_t)cp + r->by);
}

/* ---- decomposition ---- */

static bool normal_step_of(uint32_t cp, uint32_t *a, uint32_t *b) {
    size_t low = 0, high = jt_normal_sizes[0];
    while (low < high) {
        size_t mid = (low + high) / 2;
        uint32_t at = (uint32_t)(jt_normal_step[mid] >> 42);
        if (at == cp) {
            *a = (uint32_t)(jt_normal_step[mid] >> 21) & 0x1fffff, *b = (uint32_t)jt_normal_step[mid] & 0x1fffff;
            return true;
        }
        if (at < cp)
            low = mid + 1;
        else
            high = mid;
    }
    return false;
}

/* Appends the decomposition of c; no character has more than MOST steps. */
static jt_status normal_apart(jt_normal *to, jt_normal_char c, jt_error *err) {
    enum { MOST = 8 };
    uint32_t tail[MOST], a, b;
    int n = 0;
    jt_status s;
    if (c.cp >= HANGUL && c.cp < HANGUL + HANGUL_ALL) {
        uint32_t i = c.cp - HANGUL, t = i % HANGUL_TS;
        s = jt_normal_push(to, HANGUL_L + i / (HANGUL_VS * HANGUL_TS), c.begin, c.end, err);
        if (!s) s = jt_normal_push(to, HANGUL_V + i / HANGUL_TS % HANGUL_VS, c.begin, c.end, err);
        return s || !t ? s : jt_normal_push(to, HANGUL_T + t, c.begin, c.end, err);
    }
    for (a = c.cp; c.cp >= 0xc0 && n < MOST && normal_step_of(a, &a, &b);)
        if (b) tail[n++] = b;
    s = jt_normal_push(to, a, c.begin, c.end, err);
    while (!s && n) s = jt_normal_push(to, tail[--n], c.begin, c.end, err);
    return s;
}

/* Merges [at, mid) and [mid, end), both ascending by class, by way of `spare`. */
static void normal_merge(jt_normal_char *c, size_t at, size_t mid, size_t end, jt_normal_char *spare) {
    size_t n = mid - at, i = 0;
    memcpy(spare, c + at, n * sizeof *spare);
    while (i < n) c[at++] = mid < end && c[mid].ccc < spare[i].ccc ? c[mid++] : spare[i++];
}

/* Sorts a run of marks by class, equal ones as they stand. */
static void normal_sort(jt_normal_char *c, size_t n, jt_normal_char *spare) {
    for (size_t width = 1; width < n; width *= 2)
        for (size_t at = 0; at + width < n; at += 2 * width)
            normal_merge(c, at, at + width, at + 2 * width < n ? at + 2 * width : n, spare);
}

static jt_status normal_order(jt_normal *t, jt_error *err) {
    for (size_t i = 0, end; i < t->n; i = end) {
        bool sorted = true;
        end = i + 1;
        if (!t->c[i].ccc) continue;
        for (; end < t->n && t->c[end].ccc; end++) sorted = sorted && t->c[end - 1].ccc <= t->c[end].ccc;
        if (sorted) continue;
        size_t all = t->n, run = end - i;
        jt_status s = jt_grow((void **)&t->c, &t->cap, all + run, sizeof *t->c, err);
        if (s) return s;
        normal_sort(t->c + i, run, t->c + all);
    }
    return JT_OK;
}

/* Appends the compatibility decomposition of c. */
static jt_status normal_apart_compat(jt_normal *to, jt_normal_char c, jt_error *err) {
    size_t low = 0, high = jt_normal_sizes[5];
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (jt_normal_compat[mid] < c.cp)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == jt_normal_sizes[5] || jt_normal_compat[low] != c.cp) return normal_apart(to, c, err);
    jt_status s = JT_OK;
    for (size_t i = jt_normal_compat_at[low]; !s && i < jt_normal_compat_at[low + 1]; i++)
        s = jt_normal_push(to, jt_normal_compat_to[i], c.begin, c.end, err);
    return s;
}

static jt_status normal_decompose(const jt_normal *from, jt_normal *to, bool compat, jt_error *err) {
    jt_status s = JT_OK;
    to->n = 0;
    for (size_t i = 0; i < from->n && !s; i++) s = (compat ? normal_apart_compat : normal_apart)(to, from->c[i], err);
    for (size_t i = 0; i < to->n; i++) to->c[i].ccc = normal_ccc_of(to->c[i].cp);
    return s ? s : normal_order(to, err);
}

jt_status jt_normal_nfd(const jt_normal *from, jt_normal *to, jt_error *err) { return normal_decompose(from, to, false, err); }
jt_status jt_normal_nfkd(const jt_normal *from, jt_normal *to, jt_error *err) { return normal_decompose(from, to, true, err); }

/* ---- composition ---- */

/* The character that a and b make; 0: none. */
static uint32_t normal_together(uint32_t a, uint32_t b) {
    if (a >= HANGUL_L && a < HANGUL_L + HANGUL_LS && b >= HANGUL_V && b < HANGUL_V + HANGUL_VS)
        return HANGUL + ((a - HANGUL_L) * HANGUL_VS + b - HANGUL_V) * HANGUL_TS;
    if (a >= HANGUL && a < HANGUL + HANGUL_ALL && !((a - HANGUL) % HANGUL_TS) && b > HANGUL_T && b < HANGUL_T + HANGUL_TS)
        return a + b - HANGUL_T;
    uint64_t want = (uint64_t)a << 21 | b, mask = ((uint64_t)1 << 42) - 1;
    size_t low = 0, high = jt_normal_sizes[1];
    while (low < high) {
        size_t mid = (low + high) / 2;
        uint64_t at = jt_normal_step[jt_normal_pair[mid]];
        if ((at & mask) == want) return (uint32_t)(at >> 42);
        if ((at & mask) < want)
            low = mid + 1;
        else
            high = mid;
    }
    return 0;
}

void jt_normal_compose(jt_normal *t) {
    size_t n = 0, starter = SIZE_MAX;
    for (size_t i = 0; i < t->n; i++) {
        jt_normal_char c = t->c[i];
        /* What stands between a starter and c keeps c from it unless its class is lower, and not 0. */
        bool blocked = starter != SIZE_MAX && n > starter + 1 && (!t->c[n - 1].ccc || t->c[n - 1].ccc >= c.ccc);
        uint32_t made = starter == SIZE_MAX || blocked ? 0 : normal_together(t->c[starter].cp, c.cp);
        if (made) {
            t->c[starter].cp = made;
            if (c.end > t->c[starter].end) t->c[starter].end = c.end;
            continue;
        }
        if (!c.ccc) starter = n;
        t->c[n++] = c;
    }
    t->n = n;
}
