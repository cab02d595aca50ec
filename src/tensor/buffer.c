#include "tensor/buffer.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/mem.h"

/* Memory of buffers that were made together; the last to be freed frees it. */
typedef struct buffer_block {
    void *p;
    size_t refs; /* under the backend's lock */
} buffer_block;

struct jt_buffer {
    jt_backend *backend;
    jt_buffer *prev, *next;
    buffer_block *block; /* NULL: the memory is its own */
    char *p;
    size_t bytes, mapped; /* mapped: whole pages, guarded backend only */
    size_t part, stride;  /* of parts, and between two of them; part = 0: it is one */
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

static void buffer_enter(jt_buffer *b) {
    jt_backend *k = b->backend;
    pthread_mutex_lock(&k->lock);
    if ((b->next = k->first)) b->next->prev = b;
    k->first = b;
    if (!k->inside) buffer_protect(b, PROT_NONE);
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
    buffer_enter(b);
    *out = b;
    return JT_OK;
}

static jt_status buffers_apart(jt_backend *k, size_t n, size_t bytes, const char *what, jt_buffer **out, jt_error *err) {
    for (size_t i = 0; i < n; i++) {
        jt_status s = jt_buffer_new(k, bytes, what, &out[i], err);
        if (!s) continue;
        while (i) jt_buffer_free(out[--i]);
        return s;
    }
    return JT_OK;
}

jt_status jt_buffers_new(jt_backend *k, size_t n, size_t bytes, size_t part, const char *what, jt_buffer **out, jt_error *err) {
    size_t each, made = 0;
    if (k->guarded || n < 2) return buffers_apart(k, n, bytes, what, out, err);
    if (!jt_round_up(bytes, JT_ALIGN, &each)) return jt_nomem(err, what, n, bytes);
    if (part % JT_ALIGN || part == bytes) part = 0;
    buffer_block *block = jt_alloc(1, sizeof *block);
    char *p = block ? jt_alloc_large(n, each) : NULL;
    while (p && made < n && (out[made] = jt_alloc(1, sizeof **out))) made++;
    if (made < n) {
        while (made) jt_free(out[--made]);
        jt_free(p), jt_free(block);
        return jt_nomem(err, what, n, each);
    }
    *block = (buffer_block){p, n};
    for (size_t i = 0; i < n; i++) {
        *out[i] =
            (jt_buffer){.backend = k, .block = block, .p = p + i * (part ? part : each), .bytes = bytes, .part = part, .stride = n * part};
        buffer_enter(out[i]);
    }
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
    bool last = b->block && --b->block->refs == 0;
    pthread_mutex_unlock(&k->lock);
    if (k->guarded)
        munmap(b->p, b->mapped);
    else if (!b->block)
        jt_free(b->p);
    if (last) jt_free(b->block->p), jt_free(b->block);
    jt_free(b);
}

size_t jt_buffer_bytes(const jt_buffer *b) { return b->bytes; }

void *jt_buffer_at(const jt_buffer *b, size_t at) { return b->p + (b->part ? at / b->part * b->stride + at % b->part : at); }

/* Bytes from `at` to the end of its part, n at most. */
static size_t buffer_run(const jt_buffer *b, size_t at, size_t n) {
    size_t run = b->part ? b->part - at % b->part : n;
    return run < n ? run : n;
}

void jt_buffer_read(const jt_buffer *b, size_t at, void *to, size_t n) {
    jt_backend_enter(b->backend);
    for (size_t done = 0, run; done < n; done += run)
        memcpy((char *)to + done, jt_buffer_at(b, at + done), run = buffer_run(b, at + done, n - done));
    jt_backend_leave(b->backend);
}

void jt_buffer_write(jt_buffer *b, size_t at, const void *from, size_t n) {
    jt_backend_enter(b->backend);
    for (size_t done = 0, run; done < n; done += run)
        memcpy(jt_buffer_at(b, at + done), (const char *)from + done, run = buffer_run(b, at + done, n - done));
    jt_backend_leave(b->backend);
}

void jt_buffer_copy(jt_buffer *to, const jt_buffer *from) {
    jt_backend_enter(to->backend);
    for (size_t at = 0, run; at < from->bytes; at += run) {
        size_t most = buffer_run(from, at, from->bytes - at);
        run = buffer_run(to, at, most);
        memcpy(jt_buffer_at(to, at), jt_buffer_at(from, at), run);
    }
    jt_backend_leave(to->backend);
}
