/* safetensors.h: reading and writing safetensors files.
 *
 * Follows the format of the Hugging Face safetensors project: eight bytes of header
 * length, a JSON header (at most 100 MB), then the tensors' bytes without holes.
 * Nothing in a file is trusted: header, names, dtypes, shapes and offsets are
 * checked against its size; overlaps, holes and trailing bytes are refused with
 * the tensor's name and the byte offsets.
 *
 * A reader does not change once opened; any number of threads may use it. */
#ifndef JT_MODEL_SAFETENSORS_H
#define JT_MODEL_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/str.h"
#include "jeton/status.h"
#include "tensor/format.h"

enum { JT_ST_DIMS = 8 };

/* A dtype of the format. */
typedef struct jt_st_dtype {
    const char *name;     /* "F32" */
    int bits;             /* an element; 4 and 6 occur */
    char kind;            /* 'f' float, 'i' signed, 'u' unsigned, 'b' bool, 'c' complex */
    const char *computed; /* name of the jt_format with the same bytes ("f32"), NULL: none */
} jt_st_dtype;
/* NULL: no such dtype. */
const jt_st_dtype *jt_st_dtype_named(const char *name);

typedef struct jt_st_tensor {
    const char *name;
    const jt_st_dtype *dtype;
    int n_dims;
    uint64_t dim[JT_ST_DIMS]; /* outermost first, as written; a dimension may be 0; the unused are 1 */
    uint64_t elements, bytes;
    const uint8_t *data; /* in the map; the format promises no alignment */
    bool aligned;        /* data lies at a multiple of the element's size */
    int file;            /* which shard */
} jt_st_tensor;

typedef struct jt_safetensors jt_safetensors;

/* Opens one file, or a folder with model.safetensors or else with
 * model.safetensors.index.json and its shards (all mapped; names are unique over
 * all; a name in the index must be in its shard). */
jt_status jt_safetensors_open(const char *path, jt_safetensors **out, jt_error *err);
/* One file's bytes in memory, which stay the caller's and must outlive *out. */
jt_status jt_safetensors_parse(const void *p, size_t n, jt_safetensors **out, jt_error *err);
void jt_safetensors_free(jt_safetensors *f);
/* Bytes of all files together. */
uint64_t jt_safetensors_file_bytes(const jt_safetensors *f);
/* Keeps the mapped files in memory (see jt_map_lock). */
jt_status jt_safetensors_lock(const jt_safetensors *f, jt_error *err);

size_t jt_safetensors_tensors(const jt_safetensors *f);
/* In order of shard and offset. */
const jt_st_tensor *jt_safetensors_tensor_at(const jt_safetensors *f, size_t i);
/* O(1); NULL when there is none of that name. */
const jt_st_tensor *jt_safetensors_tensor_named(const jt_safetensors *f, const char *name);
/* A string of a header's __metadata__ (the first shard that has it), or NULL. */
const char *jt_safetensors_metadata(const jt_safetensors *f, const char *key);
/* The i-th of them; false past the last. */
bool jt_safetensors_metadata_at(const jt_safetensors *f, size_t i, const char **key, const char **text);

/* Elements [first, first + n) as float32 (from F64, F32, F16, BF16) or as int64 (from
 * every integer type and BOOL). JT_INVALID when out of range, JT_UNSUPPORTED for
 * another dtype, JT_FORMAT when a U64 does not fit. */
jt_status jt_st_read_f32(const jt_st_tensor *t, uint64_t first, uint64_t n, float *out, jt_error *err);
jt_status jt_st_read_i64(const jt_st_tensor *t, uint64_t first, uint64_t n, int64_t *out, jt_error *err);

/* ---- writing ---- */

/* What will be written; F16, BF16, F32, F64, I32 and I64. */
typedef struct jt_st_spec {
    const char *name, *dtype;
    int n_dims;
    uint64_t dim[JT_ST_DIMS];
} jt_st_spec;

/* Old files say gamma and beta of what is now a norm's weight and bias: where `name` is no tensor and its old form is, it becomes
 * that. */
void jt_safetensors_old_name(const jt_safetensors *f, char *name, size_t cap);

typedef struct jt_st_writer jt_st_writer;

/* Starts a file with these tensors (names unique). Their data follow in calls of
 * jt_st_write, for each tensor in order but interleaved as the caller likes; to a
 * pipe or device only tensor by tensor, the longest dtypes first (that is how they lie
 * in the file). The file appears, whole, at jt_st_commit (see jt_file_create). */
jt_status jt_st_create(const char *path, const jt_st_spec *spec, size_t n, jt_st_writer **out, jt_error *err);
/* The same with a __metadata__: the text of a JSON object of strings, or NULL. */
jt_status jt_st_create_with(const char *path, const jt_st_spec *spec, size_t n, const char *metadata, jt_st_writer **out, jt_error *err);
/* Appends n bytes (little endian, as in memory) to tensor `i` of the spec. */
jt_status jt_st_write(jt_st_writer *w, size_t i, const void *p, size_t n, jt_error *err);
/* Ends the file; JT_INVALID if a tensor is incomplete. Frees w, also on failure. */
jt_status jt_st_commit(jt_st_writer *w, jt_error *err);
/* Removes what was written and frees w. NULL is fine. */
void jt_st_abandon(jt_st_writer *w);

/* A folder's weights: model.safetensors, or, with `part_bytes` above 0 and more than that to write, shards of at most that
 * many bytes (or one tensor) and model.safetensors.index.json. The __metadata__ is `metadata` (members of a JSON
 * object, each after a comma; may be empty) and says "format": "pt", which transformers asks for. Used like a jt_st_writer; to be committed
 * before it can be opened. */
typedef struct jt_st_set jt_st_set;
jt_status jt_st_set_create(const char *folder, const jt_st_spec *spec, size_t n, uint64_t part_bytes, const jt_str *metadata,
                           jt_st_set **out, jt_error *err);
jt_status jt_st_set_write(jt_st_set *w, size_t i, const void *p, size_t n, jt_error *err);
size_t jt_st_set_files(const jt_st_set *w);
jt_status jt_st_set_commit(jt_st_set *w, jt_error *err);
void jt_st_set_abandon(jt_st_set *w);

#endif
