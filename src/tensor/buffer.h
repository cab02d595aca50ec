/* buffer.h: memory that a backend owns.
 *
 * Above tensor/ a buffer is an opaque handle: it is filled and read by copying,
 * and only operators see its address (jt_buffer_at, for tensor/ alone). A guarded
 * backend makes every buffer unreadable except while operators run, and so proves
 * that nothing else looks inside. */
#ifndef JT_TENSOR_BUFFER_H
#define JT_TENSOR_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

#include "jeton/status.h"

typedef struct jt_backend jt_backend;
typedef struct jt_buffer jt_buffer;

/* The CPU's memory; guarded: unreadable outside operators (slow, for tests). */
jt_status jt_backend_new(bool guarded, jt_backend **out, jt_error *err);
void jt_backend_free(jt_backend *b); /* all its buffers must be freed */

/* `bytes` bytes, zeroed, aligned to 64. `what` names it in messages. */
jt_status jt_buffer_new(jt_backend *b, size_t bytes, const char *what, jt_buffer **out, jt_error *err);
/* The same for n buffers together, which huge pages can hold; each is freed by itself. On failure there is none. A buffer
 * consists of parts of `part` bytes (of which `bytes` is a multiple; where that is no multiple of 64, or 0, of one part):
 * the buffers' parts of one index lie side by side, so that who reads one part of each reads one run of memory. */
jt_status jt_buffers_new(jt_backend *b, size_t n, size_t bytes, size_t part, const char *what, jt_buffer **out, jt_error *err);
void jt_buffer_free(jt_buffer *b);
size_t jt_buffer_bytes(const jt_buffer *b);
void jt_buffer_read(const jt_buffer *b, size_t at, void *to, size_t n);
void jt_buffer_write(jt_buffer *b, size_t at, const void *from, size_t n);
void jt_buffer_copy(jt_buffer *to, const jt_buffer *from); /* same size */

/* For operators: the address, valid between jt_backend_enter and jt_backend_leave, and to the end of its part. */
void *jt_buffer_at(const jt_buffer *b, size_t at);
void jt_backend_enter(jt_backend *b);
void jt_backend_leave(jt_backend *b);

#endif
