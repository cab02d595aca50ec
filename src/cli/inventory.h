/* inventory.h: what is in a model's files, whatever they hold, without computing anything. */
#ifndef JT_CLI_INVENTORY_H
#define JT_CLI_INVENTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/json.h"
#include "jeton/status.h"
#include "model/gguf.h"
#include "model/safetensors.h"

/* A tensor of either kind of file. */
typedef struct jt_item {
    const char *name;
    char type[24];           /* "q4_1", "bf16", "type 99" */
    const jt_format *format; /* NULL: unknown or not a block format */
    int n_dims;
    uint64_t dim[8];          /* as the file writes them */
    uint64_t elements, bytes; /* bytes 0: unknown */
    uint64_t packed;          /* bytes once repacked for products; as in the file when it never is */
} jt_item;

typedef struct jt_inventory {
    jt_gguf *gguf; /* one of the two is there */
    jt_safetensors *parts;
    jt_json *config; /* of a folder */
    char name[128], family[64];
    uint64_t context, layers; /* 0: unknown */
    uint64_t kv_elements;     /* of keys and values that a token adds to the cache; 0: unknown */
    uint64_t kv_blocks;       /* of 32 elements of a head, the last of each maybe short: scales of a cache of 8 bits */
    uint64_t inputs;          /* of recurrences that a token adds, numbers of 4 or 2 bytes */
    uint64_t mark_bytes;      /* of what is kept of recurrences at every 256th token, and three times more; 0: nothing */
    uint64_t file_bytes, parameters, bytes, packed;
    jt_item *item;
    size_t n;
    bool runs; /* this build can run it, else `why` says why not */
    jt_error why;
} jt_inventory;

/* `path`: a GGUF file, or a folder with config.json and safetensors. Free with jt_inventory_free. */
jt_status jt_inventory_open(const char *path, jt_inventory *out, jt_error *err);
void jt_inventory_free(jt_inventory *v);

#endif
