/* mem.h: memory and checked size arithmetic.
 *
 * Every allocation of the library passes through here, returns NULL on failure
 * and is never larger than the checked product of its factors. Tests make each
 * allocation fail in turn by wrapping malloc, calloc, realloc and
 * posix_memalign at link time. */
#ifndef JT_CORE_MEM_H
#define JT_CORE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "jeton/status.h"

enum {
    JT_ALIGN = 64,     /* bytes: a cache line, and the widest vector */
    JT_HUGE = 2 << 20, /* bytes of a huge page */
};

/* n * size zeroed bytes, NULL when that overflows or memory is short.
 * A zero-sized request gives a valid pointer. Free with jt_free. */
void *jt_alloc(size_t n, size_t size);
/* The same, aligned to JT_ALIGN bytes, contents zeroed. Free with jt_free. */
void *jt_alloc_aligned(size_t n, size_t size);
/* The same for what is read over and over, such as weights: in huge pages where the system has them, which spares the
 * processor most of its address translations. Free with jt_free. */
void *jt_alloc_large(size_t n, size_t size);
/* The same, for who writes all of it: bytes are not cleared, so that the threads that write them first get the pages. */
void *jt_alloc_unset(size_t n, size_t size);
/* Resizes p (of jt_alloc) to n * size bytes; new bytes are not cleared.
 * On failure NULL, and p stays valid. */
void *jt_realloc(void *p, size_t n, size_t size);
void jt_free(void *p);

/* Grows *p (elements of `size` bytes, capacity *cap) to hold at least `need`
 * elements, at least doubling. On failure nothing changes. */
jt_status jt_grow(void **p, size_t *cap, size_t need, size_t size, jt_error *err);

/* Reports a failed allocation of n * size bytes for `what`. */
jt_status jt_nomem(jt_error *err, const char *what, size_t n, size_t size);

/* Checked arithmetic: false on overflow, and then *out is undefined. */
static inline bool jt_mul(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool jt_add(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }
static inline bool jt_mul_u64(uint64_t a, uint64_t b, uint64_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool jt_add_u64(uint64_t a, uint64_t b, uint64_t *out) { return !__builtin_add_overflow(a, b, out); }
/* x rounded up to a multiple of `to` (a power of two); false on overflow. */
static inline bool jt_round_up(size_t x, size_t to, size_t *out) {
    if (!jt_add(x, to - 1, out)) return false;
    *out &= ~(to - 1);
    return true;
}

/* An arena: many small pieces with one lifetime. Zero-initialised is empty. */
typedef struct jt_arena {
    struct jt_arena_block *head;
    size_t used, size; /* of the newest block, bytes */
    size_t total;      /* bytes of all blocks */
} jt_arena;
/* n * size zeroed bytes aligned to 16, valid until jt_arena_free; NULL on failure. */
void *jt_arena_alloc(jt_arena *a, size_t n, size_t size);
/* A copy of n bytes, followed by a NUL. */
char *jt_arena_copy(jt_arena *a, const char *s, size_t n);
void jt_arena_free(jt_arena *a);

/* Whether two numbers have the same bits. */
static inline bool jt_same_float(float a, float b) {
    uint32_t x, y;
    memcpy(&x, &a, sizeof x);
    memcpy(&y, &b, sizeof y);
    return x == y;
}
static inline bool jt_same_double(double a, double b) {
    uint64_t x, y;
    memcpy(&x, &a, sizeof x);
    memcpy(&y, &b, sizeof y);
    return x == y;
}

#endif
