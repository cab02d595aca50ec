/* adapter.h: LoRA adapters (Hu et al. 2021, arXiv 2106.09685) in the forward pass.
 *
 * An adapter adds scale * B A to weights of a model, without changing them: y = W x + scale * B (A x).
 * It is set on a state, so that sequences with different adapters, and with none, share a batch; rows of states
 * without an adapter keep their bits. A x is made from the float32 row, also where W x rounds it to 8 bits.
 *
 * Threads: as the model's; an adapter may be used by any number of states of its model. */
#ifndef JETON_ADAPTER_H
#define JETON_ADAPTER_H

#include <stdint.h>

#include "jeton/model.h"
#include "jeton/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct jt_adapter jt_adapter;

/* Opens a PEFT folder (adapter_config.json and adapter_model.safetensors) or a GGUF file whose general.type is
 * "adapter", for model `m`, which must outlive it. The files may be of the other kind than the model's. The numbers
 * are copied; the files are closed again.
 *
 * What would give other numbers than its maker meant is refused by name: settings that this build does not apply
 * (DoRA, biases, saved modules, ...: JT_UNSUPPORTED), tensors that belong to no linear map inside the layers
 * (embeddings, heads, norms: JT_UNSUPPORTED), wrong shapes, missing partners, ranks that contradict the settings
 * (JT_FORMAT), another architecture (JT_INVALID). */
JT_API jt_status jt_adapter_open(jt_model *m, const char *path, jt_adapter **out, jt_error *err);
/* States that have it keep it alive. */
JT_API void jt_adapter_free(jt_adapter *a);

typedef struct jt_adapter_info {
    const char *name; /* of the file or folder */
    int pairs;        /* weights that it adds to */
    int rank_min, rank_max;
    uint64_t parameters, bytes; /* numbers of the files; memory held */
    uint64_t mode;              /* hash of its numbers and scales */
} jt_adapter_info;
JT_API void jt_adapter_get_info(const jt_adapter *a, jt_adapter_info *out);

/* Sets the adapter for the rows evaluated from now on, in place of the one before; NULL: none. `scale` multiplies the
 * scale of its files (lora_alpha / r, or as they say); 1 is what its maker meant, 0 is no adapter. What lies in the
 * pages stays as it was made. Forks inherit the adapter. Setting another adapter or scale changes jt_state_mode.
 * Errors: JT_INVALID (an adapter of another model, a scale that is not finite); the old adapter stays. */
JT_API jt_status jt_state_set_adapter(jt_state *s, jt_adapter *a, float scale, jt_error *err);
/* The same for states of the model that are made from now on by jt_state_new; those that are there keep theirs. */
JT_API jt_status jt_model_set_adapter(jt_model *m, jt_adapter *a, float scale, jt_error *err);

#ifdef __cplusplus
}
#endif
#endif
