/* adapter.h: what an open adapter is made of, and what its two readers share. */
#ifndef JT_MODEL_ADAPTER_H
#define JT_MODEL_ADAPTER_H

#include "jeton/adapter.h"
#include "model/model.h"

/* As files name their tensors. */
typedef struct jt_adapter_names {
    const char *head;    /* before the number of the layer; hf: before what the family's names of layers begin with */
    const char *tail[2]; /* after the name of the weight: of A and of B */
    bool hf;             /* weights are named as Hugging Face does, without ".weight" */
} jt_adapter_names;

/* Which half of which pair a tensor is. */
typedef struct jt_adapter_place {
    int layer, half; /* 0: A, 1: B */
    jt_role role;
} jt_adapter_place;

struct jt_adapter {
    jt_model *model;
    int refs;      /* the caller's, and one for each state */
    jt_lora *lora; /* [n], by jt_net_ref_index */
    size_t n;
    const jt_adapter_names *names; /* of the file it came from */
    bool gguf;                     /* halves are kept as GGUF files have them */
    bool raw;                      /* as float32 in raw, not packed; model is then the adapter's own and has settings alone */
    float **raw_half;              /* [2 n]: A and B of each pair */
    jt_adapter_info info;
    jt_arena text;
};

/* Where tensor `name` belongs; JT_UNSUPPORTED or JT_FORMAT names what this build cannot place. */
jt_status jt_adapter_find(const jt_adapter *a, const char *name, jt_adapter_place *out, jt_error *err);
/* Checks the shape [rows][cols] that the file gives for a tensor. */
jt_status jt_adapter_check(const jt_adapter *a, const jt_adapter_place *p, const char *name, int dims, uint64_t rows, uint64_t cols,
                           jt_error *err);
/* Packs the half, for all maps that lie in the tensor it belongs to; `data` [rows][cols] stays the caller's. gguf: q and k lie as GGUF
 * files of the family have them. */
jt_status jt_adapter_add(jt_adapter *a, const jt_adapter_place *p, int rows, int cols, float *data, bool gguf, jt_error *err);
static inline jt_lora *jt_adapter_lora(const jt_adapter *a, const jt_adapter_place *p) {
    return &a->lora[jt_net_ref_index(p->layer, p->role)];
}

/* Opens an adapter by settings alone, its numbers unpacked and arranged as files of the kind have them. Nothing but the
 * functions here, jt_adapter_get_info and jt_adapter_free may then be called. */
jt_status jt_adapter_open_raw(const jt_config *c, bool gguf, const char *path, jt_adapter **out, jt_error *err);
/* The pair of a weight: rows and cols of its halves, its scale, and A [rank][inputs] and B [outputs][rank]; NULL: none. */
const jt_lora *jt_adapter_pair(const jt_adapter *a, int layer, jt_role r, const float **half_a, const float **half_b);

/* The readers: every tensor is added and every pair that has both halves gets its scale. */
jt_status jt_adapter_read_peft(jt_adapter *a, const char *path, jt_error *err);
jt_status jt_adapter_read_gguf(jt_adapter *a, const char *path, jt_error *err);

#endif
