#include "tensor/buffer.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/mem.h"

struct jt_buffer {
    jt_backend *backend;
    jt_buffer *prev, *next;
    char *p;
    size_t bytes, mapped; /* mapped: whole pages, guarded backend only */
};

struct jt_backend {
    bool guarded;
    int inside; /* nested enters */
    jt_buffer *first;
    pthread_mutex_t lock; /* the list and `inside` */
};

jt_status jt_backend_new(bool guarded, jt_backend **out, jt_error *err) {
    jt_backend *b = jt_alloc(1, sizeof *b);
    if (!b) return jt_nomem(err, "backend", 1, sizeof *b);
    if (pthread_mutex_init(&b->lock, NULL)) {
        jt_free(b);
        return jt_error_set(err, JT_NOMEM, "backend: the system refused a lock");
    }
    b->guarded = guarded;
    *out = b;
    return JT_OK;
}

void jt_backend_free(jt_backend *b) {
    if (!b) return;
    pthread_mutex_destroy(&b->lock);
    jt_free(b);
}

static void buffer_protect(const jt_buffer *b, int prot) {
    if (b->backend->guarded) (void)mprotect(b->p, b->mapped, prot);
}

void jt_backend_enter(jt_backend *k) {
    if (!k->guarded) return;
    pthread_mutex_lock(&k->lock);
    if (k->inside++ == 0)
        for (jt_buffer *b = k->first; b; b = b->next) buffer_protect(b, PROT_READ | PROT_WRITE);
    pthread_mutex_unlock(&k->lock);
}

void jt_backend_leave(jt_backend *k) {
    if (!k->guarded) return;
    pthread_mutex_lock(&k->lock);
    if (--k->inside == 0)
        for (jt_buffer *b = k->first; b; b = b->next) buffer_protect(b, PROT_NONE);
    pthread_mutex_unlock(&k->lock);
}

jt_status jt_buffer_new(jt_backend *k, size_t bytes, const char *what, jt_buffer **out, jt_error *err) {
    jt_buffer *b = jt_alloc(1, sizeof *b);
    if (!b) return jt_nomem(err, what, 1, sizeof *b);
    b->backend = k, b->bytes = bytes;
    if (k->guarded) {
        if (jt_round_up(bytes ? bytes : 1, (size_t)sysconf(_SC_PAGESIZE), &b->mapped)) {
            b->p = mmap(NULL, b->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (b->p == MAP_FAILED) b->p = NULL;
        }
    } else {
        b->p = jt_alloc_large(bytes, 1);
    }
    if (!b->p) {
        jt_free(b);
        return jt_nomem(err, what, bytes, 1);
    }
    pthread_mutex_lock(&k->lock);
    if ((b->next = k->first)) b->next->prev = b;
    k->first = b;
    if (!k->inside) buffer_protect(b, PROT_NONE);
    pthread_mutex_unlock(&k->lock);
    *out = b;
    return JT_OK;
}

void jt_buffer_free(jt_buffer *b) {
    if (!b) return;
    jt_backend *k = b->backend;
    pthread_mutex_lock(&k->lock);
    if (b->next) b->next->prev = b->prev;
    if (b->prev)
        b->prev->next = b->next;
    else
        k->first = b->next;
    pthread_mutex_unlock(&k->lock);
    if (k->guarded)
        munmap(b->p, b->mapped);
    else
        jt_free(b->p);
    jt_free(b);
}

size_t jt_buffer_bytes(const jt_buffer *b) { return b->bytes; }

void *jt_buffer_at(const jt_buffer *b, size_t at) { return b->p + at; }

void jt_buffer_read(const jt_buffer *b, size_t at, void *to, size_t n) {
    jt_backend_enter(b->backend);
    if (n) memcpy(to, b->p + at, n);
    jt_backend_leave(b->backend);
}

void jt_buffer_write(jt_buffer *b, size_t at, const void *from, size_t n) {
    jt_backend_enter(b->backend);
    if (n) memcpy(b->p + at, from, n);
    jt_backend_leave(b->backend);
}

void jt_buffer_copy(jt_buffer *to, const jt_buffer *from) {
    jt_backend_enter(to->backend);
    memcpy(to->p, from->p, from->bytes);
    jt_backend_leave(to->backend);
}
