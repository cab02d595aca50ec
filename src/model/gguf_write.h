/* gguf_write.h: writing a GGUF file (version 3), whole or in parts, piece by piece.
 *
 * The metadata are gathered first, the tensors declared, and their bytes then given
 * in that order, so that no more memory is needed than for the pieces themselves. */
#ifndef JT_MODEL_GGUF_WRITE_H
#define JT_MODEL_GGUF_WRITE_H

#include "model/gguf.h"

/* Metadata being gathered; zero-initialised is empty. A failed append is told by jt_gguf_create. Keys are given once. */
typedef struct jt_gguf_meta {
    jt_str bytes;
    uint64_t count;
    uint64_t alignment; /* general.alignment; 0: the format's 32 */
} jt_gguf_meta;

/* A number of `bytes` bytes, low byte first. */
void jt_gguf_meta_number(jt_gguf_meta *m, const char *key, jt_gguf_type t, uint64_t v);
void jt_gguf_meta_u32(jt_gguf_meta *m, const char *key, uint64_t v);
void jt_gguf_meta_f32(jt_gguf_meta *m, const char *key, double v);
void jt_gguf_meta_bool(jt_gguf_meta *m, const char *key, bool v);
void jt_gguf_meta_text(jt_gguf_meta *m, const char *key, const char *s, size_t n);
/* Begins an array of `count` elements, which follow by jt_gguf_meta_item_*. */
void jt_gguf_meta_array(jt_gguf_meta *m, const char *key, jt_gguf_type element, uint64_t count);
void jt_gguf_meta_item_text(jt_gguf_meta *m, const char *s, size_t n);
void jt_gguf_meta_item(jt_gguf_meta *m, jt_gguf_type t, uint64_t v);
void jt_gguf_meta_item_f32(jt_gguf_meta *m, double v);
/* A value of an open file, as it stands there. */
void jt_gguf_meta_copy(jt_gguf_meta *m, const jt_gguf_value *v);
void jt_gguf_meta_free(jt_gguf_meta *m);

typedef struct jt_gguf_spec {
    const char *name;
    const jt_format *format;
    int n_dims;      /* 0 to 4 */
    uint64_t dim[4]; /* dim[0] is the inner one, a whole number of the format's blocks */
} jt_gguf_spec;

typedef struct jt_gguf_writer jt_gguf_writer;

/* Starts the file. With `part_bytes` above 0 and more than that to write, NAME.gguf becomes
 * NAME-00001-of-0000N.gguf and so on, each with at most that many bytes of tensors, or one tensor; the first has the
 * metadata. The files appear, whole, at jt_gguf_commit. JT_INVALID for a spec that the format cannot hold. */
jt_status jt_gguf_create(const char *path, const jt_gguf_meta *m, const jt_gguf_spec *spec, size_t n, uint64_t part_bytes,
                         jt_gguf_writer **out, jt_error *err);
/* The next bytes of the tensors, which follow each other in the order of the spec. */
jt_status jt_gguf_write(jt_gguf_writer *w, const void *p, size_t n, jt_error *err);
/* Files that are written: 1, or the number of parts. */
size_t jt_gguf_parts(const jt_gguf_writer *w);
/* Ends the files; JT_INVALID if bytes are missing. Frees w, also on failure. */
jt_status jt_gguf_commit(jt_gguf_writer *w, jt_error *err);
/* Removes what was written and frees w. NULL is fine. */
void jt_gguf_abandon(jt_gguf_writer *w);

/* The name of part `i` (from 0) of `n` for a file that would be `path`. */
void jt_gguf_part_name(const char *path, size_t i, size_t n, jt_str *out);

#endif
