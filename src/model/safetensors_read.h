/* safetensors_read.h: what safetensors.c and safetensors_folder.c share. */
#ifndef JT_MODEL_SAFETENSORS_READ_H
#define JT_MODEL_SAFETENSORS_READ_H

#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "model/names.h"
#include "model/safetensors.h"

struct st_pair {
    const char *key, *text;
};

struct jt_safetensors {
    jt_map *map; /* one for each shard; none when the bytes are the caller's */
    size_t n_maps, cap_maps;
    uint64_t file_bytes;
    jt_st_tensor *tensor;
    size_t n_tensors, cap_tensors;
    struct st_pair *metadata; /* of the first file that has it */
    size_t n_metadata;
    jt_names names;
    jt_arena arena;
};

/* A name from the file, fit for a message. */
struct jt_st_shown {
    char s[96];
};
static inline struct jt_st_shown jt_st_show(const char *name) {
    struct jt_st_shown o = {{0}};
    size_t k = 0;
    for (; name[k] && k < sizeof o.s - 4; k++) o.s[k] = name[k] >= 0x20 && name[k] < 0x7f ? name[k] : '?';
    if (name[k]) memcpy(o.s + k, "...", 4);
    return o;
}

/* Adds the tensors of one file's bytes to f; its map, if any, is the last of f->map. */
jt_status jt_safetensors_add(jt_safetensors *f, const uint8_t *p, size_t n, jt_error *err);
/* Makes the table of names; a name of two shards is refused. */
jt_status jt_safetensors_index(jt_safetensors *f, jt_error *err);

#endif
