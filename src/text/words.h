/* words.h: a map from byte strings to token ids, made for many fast look-ups.
 *
 * Slots of 16 bytes hold short strings (up to 8 bytes) themselves, so that the
 * usual look-up touches one cache line; longer ones hold a hash and are compared
 * with the list of names. */
#ifndef JT_TEXT_WORDS_H
#define JT_TEXT_WORDS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "jeton/status.h"
#include "text/tokenizer.h"

#define JT_NO_TOKEN UINT32_MAX

typedef struct jt_word_slot {
    uint64_t key;
    uint32_t id; /* JT_NO_TOKEN: the slot is empty */
    uint32_t n;
} jt_word_slot;

typedef struct jt_words {
    jt_word_slot *slot;
    uint64_t mask;
    const jt_view *names; /* of all ids; belongs to the caller and must outlive the map */
} jt_words;

/* An empty map with room for `count` of the names. */
jt_status jt_words_init(jt_words *w, const jt_view *names, size_t count, jt_error *err);
void jt_words_free(jt_words *w);
/* Makes names[id] lead to `id`, in place of any id it led to before. At most `count` different names. */
void jt_words_put(jt_words *w, uint32_t id);

/* A number that strings of at most 8 bytes and equal length share only when they are equal. */
static inline uint64_t jt_word_key(const char *s, size_t n) {
    uint64_t a = 0, b = 0;
    uint32_t lo, hi;
    if (n >= 8) {
        for (a = 0x9e3779b97f4a7c15u ^ n; n > 8; s += 8, n -= 8) {
            memcpy(&b, s, 8);
            a = (a ^ b) * 0xff51afd7ed558ccdu;
            a ^= a >> 32;
            if (n < 16) s -= 16 - n, n = 16; /* the last word overlaps */
        }
        memcpy(&b, s, 8);
        return a ^ b;
    }
    if (n >= 4) {
        memcpy(&lo, s, 4), memcpy(&hi, s + n - 4, 4);
        return (uint64_t)hi << 32 | lo;
    }
    for (size_t i = 0; i < n; i++) a = a << 8 | (unsigned char)s[i];
    return a;
}

static inline uint64_t jt_word_home(uint64_t key, size_t n) {
    uint64_t h = (key ^ n * 0xd6e8feb86659fd93u) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

/* The id of s[0..n), or JT_NO_TOKEN. */
static inline uint32_t jt_words_get(const jt_words *w, const char *s, size_t n) {
    uint64_t key = jt_word_key(s, n);
    for (uint64_t i = jt_word_home(key, n);; i++) {
        const jt_word_slot *p = &w->slot[i & w->mask];
        if (p->id == JT_NO_TOKEN) return JT_NO_TOKEN;
        if (p->key == key && p->n == n && (n <= 8 || !memcmp(w->names[p->id].s, s, n))) return p->id;
    }
}

#endif
