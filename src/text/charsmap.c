#include "text/charsmap.h"

#include <string.h>

#include "core/mem.h"

struct jt_charsmap {
    const unsigned char *unit; /* as in the file, unaligned */
    size_t units;
    const char *text; /* replacements */
    size_t n;
};

static uint32_t charsmap_u32(const unsigned char *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

jt_status jt_charsmap_new(jt_view v, jt_charsmap **out, jt_error *err) {
    size_t trie = v.n >= 4 ? charsmap_u32((const unsigned char *)v.s) : 0;
    if (v.n < 8 || trie % 4 || trie < 4 || trie > v.n - 4)
        return jt_error_set(err, JT_FORMAT, "precompiled_charsmap: a trie of %zu bytes does not fit into %zu", trie, v.n);
    jt_charsmap *m = jt_alloc(1, sizeof *m);
    if (!m) return jt_nomem(err, "a map of characters", 1, sizeof *m);
    *m = (jt_charsmap){(const unsigned char *)v.s + 4, trie / 4, v.s + 4 + trie, v.n - 4 - trie};
    *out = m;
    return JT_OK;
}

void jt_charsmap_free(jt_charsmap *m) { jt_free(m); }

static uint32_t charsmap_offset(uint32_t unit) { return unit >> 10 << ((unit & 512) >> 6); }

/* Bytes of the longest, or the shortest, string of the map that s[0..n) begins with, and what it becomes; 0: none. */
static size_t charsmap_find(const jt_charsmap *m, const char *s, size_t n, bool shortest, jt_view *to) {
    size_t at = charsmap_offset(charsmap_u32(m->unit)), best = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (!c || (at ^= c) >= m->units) break;
        uint32_t unit = charsmap_u32(m->unit + 4 * at);
        if ((unit & 0x800000ffu) != c) break;
        at ^= charsmap_offset(unit);
        if (at >= m->units) break;
        if (!(unit >> 8 & 1)) continue;
        size_t value = charsmap_u32(m->unit + 4 * at) & 0x7fffffff;
        if (value >= m->n) break;
        const char *end = memchr(m->text + value, 0, m->n - value);
        *to = (jt_view){m->text + value, end ? (size_t)(end - m->text) - value : m->n - value};
        best = i + 1;
        if (shortest) break;
    }
    return best;
}

jt_status jt_charsmap_run(const jt_charsmap *m, jt_flow *f, bool graphemes, jt_error *err) {
    const char *s = jt_str_c(&f->text);
    size_t n = f->text.n, kept = 0;
    for (size_t i = 0, end; i < n; i = end) {
        jt_view to;
        int w = jt_utf8_next(s + i, n - i, NULL);
        size_t hit;
        end = i + (w ? (size_t)w : 1);
        if (graphemes) {
            size_t all = jt_grapheme_end(s, n, i);
            hit = all - i < 6 ? charsmap_find(m, s + i, all - i, true, &to) : 0;
            if (hit) end = all;
            for (; !hit && i < all; i = end) { /* its characters, up to the first that is replaced */
                w = jt_utf8_next(s + i, n - i, NULL);
                end = i + (w ? (size_t)w : 1);
                if (!charsmap_find(m, s + i, end - i, true, &to)) continue;
                jt_flow_keep(f, kept, i);
                jt_flow_put(f, to.s, to.n, jt_flow_of(f, i, end));
                kept = end;
            }
            if (!hit) continue;
        } else {
            hit = charsmap_find(m, s + i, n - i, false, &to);
            if (hit) end = i + hit;
            if (!hit && w) continue;
            if (!hit) to = (jt_view){"\xef\xbf\xbd", 3};
        }
        jt_flow_keep(f, kept, i);
        jt_flow_put(f, to.s, to.n, jt_flow_of(f, i, end));
        kept = end;
    }
    jt_flow_keep(f, kept, n);
    return jt_flow_turn(f, err);
}

/* ---- graphemes ---- */

static int grapheme_kind(uint32_t cp) {
    if (cp < 0x300)
        return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0xad ? JT_GRAPHEME_CONTROL
               : cp == 0xa9 || cp == 0xae                           ? JT_GRAPHEME_PICTURE
                                                                    : 0;
    if (cp >= 0xac00 && cp < 0xd7a4) return (cp - 0xac00) % 28 ? JT_GRAPHEME_LVT : JT_GRAPHEME_LV;
    size_t low = 0, high = jt_grapheme_runs;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (jt_grapheme_table[mid].last < cp)
            low = mid + 1;
        else
            high = mid;
    }
    return low < jt_grapheme_runs && cp >= jt_grapheme_table[low].first ? jt_grapheme_table[low].kind : 0;
}

static bool grapheme_joins(int a, int b) {
    if (a == JT_GRAPHEME_CONTROL || b == JT_GRAPHEME_CONTROL) return false;
    if (b == JT_GRAPHEME_EXTEND || b == JT_GRAPHEME_ZWJ || a == JT_GRAPHEME_PREPEND) return true;
    if (a == JT_GRAPHEME_L) return b == JT_GRAPHEME_L || b == JT_GRAPHEME_V || b == JT_GRAPHEME_LV || b == JT_GRAPHEME_LVT;
    if (a == JT_GRAPHEME_LV || a == JT_GRAPHEME_V) return b == JT_GRAPHEME_V || b == JT_GRAPHEME_T;
    return (a == JT_GRAPHEME_LVT || a == JT_GRAPHEME_T) && b == JT_GRAPHEME_T;
}

size_t jt_grapheme_end(const char *s, size_t n, size_t at) {
    uint32_t cp, next;
    int w = jt_utf8_next(s + at, n - at, &cp), kind;
    if (!w) return at + 1;
    bool newline = cp == '\r';
    size_t end = at + (size_t)w;
    kind = grapheme_kind(cp);
    bool picture = kind == JT_GRAPHEME_PICTURE; /* a picture, and marks after it */
    while (end < n && (w = jt_utf8_next(s + end, n - end, &next))) {
        int k = next < 0x80 && kind != JT_GRAPHEME_PREPEND && !newline ? JT_GRAPHEME_CONTROL : grapheme_kind(next);
        bool together =
            newline ? next == '\n' : grapheme_joins(kind, k) || (picture && kind == JT_GRAPHEME_ZWJ && k == JT_GRAPHEME_PICTURE);
        if (!together) break;
        if (k == JT_GRAPHEME_PICTURE)
            picture = true;
        else if (k != JT_GRAPHEME_EXTEND && k != JT_GRAPHEME_ZWJ)
            picture = false;
        newline = false, kind = k;
        end += (size_t)w;
    }
    return end;
}
