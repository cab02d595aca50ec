/* encoder.h: what the families of encoders have in common. */
#ifndef JT_MODEL_FAMILIES_ENCODER_H
#define JT_MODEL_FAMILIES_ENCODER_H

#include "model/config.h"

/* Names of tensors that guess masked words, which no encoder here does. */
extern const char *const jt_encoder_idle[];

/* The head, the pooling and the activation, as files of each kind say. */
jt_status jt_encoder_gguf(const jt_gguf *g, jt_config *c, jt_error *err);
jt_status jt_encoder_hf(const jt_json *j, jt_config *c, jt_error *err);

#endif
