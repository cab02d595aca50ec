/* words.c: see words.h. Open addressing, linear probing, at most half full. */
#include "text/words.h"

#include "core/mem.h"

jt_status jt_words_init(jt_words *w, const jt_view *names, size_t count, jt_error *err) {
    size_t slots = 16;
    while (slots < count * 2) slots *= 2;
    *w = (jt_words){.slot = jt_alloc(slots, sizeof *w->slot), .mask = slots - 1, .names = names};
    if (!w->slot) return jt_nomem(err, "the table of tokens", slots, sizeof *w->slot);
    for (size_t i = 0; i < slots; i++) w->slot[i].id = JT_NO_TOKEN;
    return JT_OK;
}

void jt_words_free(jt_words *w) {
    jt_free(w->slot);
    *w = (jt_words){0};
}

void jt_words_put(jt_words *w, uint32_t id) {
    const jt_view *name = &w->names[id];
    uint64_t key = jt_word_key(name->s, name->n), i = jt_word_home(key, name->n);
    for (;; i++) {
        jt_word_slot *p = &w->slot[i & w->mask];
        if (p->id != JT_NO_TOKEN && (p->key != key || p->n != name->n || (name->n > 8 && memcmp(w->names[p->id].s, name->s, name->n))))
            continue;
        *p = (jt_word_slot){key, id, (uint32_t)name->n};
        return;
    }
}
