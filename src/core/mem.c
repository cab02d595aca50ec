#include "core/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void *jt_alloc(size_t n, size_t size) {
    size_t bytes;
    if (!jt_mul(n, size, &bytes)) return NULL;
    return bytes ? calloc(1, bytes) : calloc(1, 1);
}

void *jt_alloc_aligned(size_t n, size_t size) {
    size_t bytes;
    void *p = NULL;
    if (!jt_mul(n, size, &bytes) || !jt_round_up(bytes ? bytes : 1, JT_ALIGN, &bytes)) return NULL;
    if (posix_memalign(&p, JT_ALIGN, bytes)) return NULL;
    memset(p, 0, bytes);
    return p;
}

void *jt_alloc_unset(size_t n, size_t size) {
    size_t bytes;
    void *p = NULL;
    if (!jt_mul(n, size, &bytes) || !jt_round_up(bytes ? bytes : 1, JT_ALIGN, &bytes)) return NULL;
    bool huge = bytes >= 2 * JT_HUGE;
    if (posix_memalign(&p, huge ? JT_HUGE : JT_ALIGN, bytes)) return NULL;
    if (huge) (void)madvise(p, bytes & ~(size_t)(JT_HUGE - 1), MADV_HUGEPAGE); /* a kernel without them ignores the wish */
    return p;
}

void *jt_alloc_large(size_t n, size_t size) {
    void *p = jt_alloc_unset(n, size);
    if (p) memset(p, 0, n * size);
    return p;
}

void *jt_realloc(void *p, size_t n, size_t size) {
    size_t bytes;
    if (!jt_mul(n, size, &bytes)) return NULL;
    return realloc(p, bytes ? bytes : 1);
}

void jt_free(void *p) { free(p); }

jt_status jt_nomem(jt_error *err, const char *what, size_t n, size_t size) {
    size_t bytes;
    if (!jt_mul(n, size, &bytes))
        return jt_error_set(err, JT_NOMEM, "%s: %zu items of %zu bytes are more than this machine can address", what, n, size);
    return jt_error_set(err, JT_NOMEM, "%s: out of memory, %zu bytes wanted; close other programs or use a smaller model or context", what,
                        bytes);
}

jt_status jt_grow(void **p, size_t *cap, size_t need, size_t size, jt_error *err) {
    if (need <= *cap) return JT_OK;
    size_t want = *cap < 8 ? 8 : *cap;
    while (want < need)
        if (!jt_mul(want, 2, &want)) want = need;
    void *q = jt_realloc(*p, want, size);
    if (!q) return jt_nomem(err, "growing an array", want, size);
    *p = q, *cap = want;
    return JT_OK;
}

struct jt_arena_block {
    struct jt_arena_block *next;
    max_align_t data[];
};

void *jt_arena_alloc(jt_arena *a, size_t n, size_t size) {
    size_t bytes, block;
    if (!jt_mul(n, size, &bytes) || !jt_round_up(bytes ? bytes : 1, 16, &bytes)) return NULL;
    if (!a->head || a->size - a->used < bytes) {
        size_t want = bytes > 65536 ? bytes : 65536;
        if (!jt_add(want, sizeof(struct jt_arena_block), &block)) return NULL;
        struct jt_arena_block *b = jt_alloc(1, block);
        if (!b) return NULL;
        b->next = a->head;
        a->head = b, a->size = want, a->used = 0, a->total += block;
    }
    char *p = (char *)a->head->data + a->used;
    a->used += bytes;
    return p;
}

char *jt_arena_copy(jt_arena *a, const char *s, size_t n) {
    size_t bytes;
    char *p = jt_add(n, 1, &bytes) ? jt_arena_alloc(a, bytes, 1) : NULL;
    if (p && n) memcpy(p, s, n);
    return p;
}

void jt_arena_free(jt_arena *a) {
    for (struct jt_arena_block *b = a->head, *next; b; b = next) next = b->next, jt_free(b);
    *a = (jt_arena){0};
}
