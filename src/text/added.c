#include "text/added.h"

#include "core/str.h"
#include "text/unicode.h"

jt_status jt_added_init(jt_added *a, const jt_view *names, const uint32_t *ids, size_t n, const uint8_t *flags, jt_error *err) {
    *a = (jt_added){.any = n > 0};
    for (size_t i = 0; i < n; i++) {
        a->first[(unsigned char)names[ids[i]].s[0]] = true;
        if (flags && flags[ids[i]]) a->flags = flags;
        if (names[ids[i]].n > a->longest) a->longest = names[ids[i]].n;
    }
    return jt_trie_init(&a->trie, names, ids, n, NULL, err);
}

void jt_added_free(jt_added *a) {
    jt_trie_free(&a->trie);
    *a = (jt_added){0};
}

/* The character that ends before s[at], and its width. */
static uint32_t added_before(const char *s, size_t at, size_t *width) {
    uint32_t cp = 0;
    size_t w = 1;
    while (w < 4 && w < at && ((unsigned char)s[at - w] & 0xc0) == 0x80) w++;
    *width = w;
    if ((size_t)jt_utf8_next(s + at - w, w, &cp) == w) return cp;
    *width = 1;
    return UINT32_MAX;
}

static uint32_t added_after(const char *s, size_t n, size_t at, size_t *width) {
    uint32_t cp;
    int w = jt_utf8_next(s + at, n - at, &cp);
    *width = w ? (size_t)w : 1;
    return w ? cp : UINT32_MAX;
}

static bool added_white(uint32_t cp) { return cp <= 0x10ffff && jt_unicode_class(cp) == JT_CLASS_SPACE; }
/* A character of a word: letters, marks, numbers, what joins them. */
static bool added_word(uint32_t cp) {
    if (cp > 0x10ffff) return false;
    unsigned c = jt_unicode_class(cp);
    return c == JT_CLASS_LETTER || c == JT_CLASS_UPPER || c == JT_CLASS_LOWER || c == JT_CLASS_MARK || c == JT_CLASS_NUMBER || cp == '_' ||
           cp == 0x200c || cp == 0x200d || cp == 0x203f || cp == 0x2040;
}

jt_added_hit jt_added_next(const jt_added *a, const jt_view *names, const char *s, size_t n, size_t at, size_t floor) {
    for (size_t w; a->any && at < n; at++) {
        if (!a->first[(unsigned char)s[at]]) continue;
        uint32_t id = jt_trie_longest(&a->trie, s + at, n - at);
        if (id == JT_NO_TOKEN) continue;
        jt_added_hit h = {id, at, at + names[id].n, at + names[id].n};
        if (!a->flags || !a->flags[id]) return h;
        unsigned how = a->flags[id];
        if (how & JT_ADDED_WORD &&
            ((at && added_word(added_before(s, at, &w))) || (h.end < n && added_word(added_after(s, n, h.end, &w))))) {
            at = h.end - 1;
            continue;
        }
        while (how & JT_ADDED_LEFT && h.begin > floor && added_white(added_before(s, h.begin, &w))) h.begin -= w;
        while (how & JT_ADDED_RIGHT && h.end < n && added_white(added_after(s, n, h.end, &w))) h.end += w;
        if (h.begin < floor) h.begin = floor;
        return h;
    }
    return (jt_added_hit){JT_NO_TOKEN, n, n, n};
}
