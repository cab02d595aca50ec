#include "alloc_wrap.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

static atomic_long seen, fail_at = -1;
static atomic_size_t bytes;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
int __real_posix_memalign(void **p, size_t align, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
int __wrap_posix_memalign(void **p, size_t align, size_t n);

void alloc_fail_at(long n) {
    atomic_store(&seen, 0);
    atomic_store(&bytes, 0);
    atomic_store(&fail_at, n);
}

long alloc_count(void) { return atomic_load(&seen); }

size_t alloc_bytes(void) { return atomic_load(&bytes); }

static int fails(size_t n) {
    atomic_fetch_add(&bytes, n);
    return atomic_fetch_add(&seen, 1) == atomic_load(&fail_at);
}

void *__wrap_malloc(size_t n) {
    if (fails(n)) return errno = ENOMEM, NULL;
    return __real_malloc(n);
}
void *__wrap_calloc(size_t n, size_t size) {
    if (fails(n * size)) return errno = ENOMEM, NULL;
    return __real_calloc(n, size);
}
void *__wrap_realloc(void *p, size_t n) {
    if (fails(n)) return errno = ENOMEM, NULL;
    return __real_realloc(p, n);
}
int __wrap_posix_memalign(void **p, size_t align, size_t n) {
    if (fails(n)) return ENOMEM;
    return __real_posix_memalign(p, align, n);
}
