/* rope.h: rotary frequencies for the contexts that states declare. */
#ifndef JT_MODEL_ROPE_H
#define JT_MODEL_ROPE_H

#include "model/config.h"

struct jt_model;
/* The frequencies of one declared context, kept by the model until it is freed. */
typedef struct jt_rope_set {
    uint64_t key[JT_ROPES]; /* what of the context they go by */
    jt_env_rope rope[JT_ROPES];
    float *freq;           /* [JT_ROPES][rot / 2] */
    float *turn[JT_ROPES]; /* tables for raw keys */
    size_t cap_turn[JT_ROPES];
    struct jt_rope_set *next;
} jt_rope_set;

/* Frequency i of rot / 2, in double; `stretch` [rot / 2] divides it, or NULL. */
double jt_rope_frequency(const jt_rope *r, const float *stretch, int i, int rot, int context);
/* What cosines and sines are multiplied by. */
double jt_rope_attention(const jt_rope *r);
/* The set for states of this context, found or made. */
jt_status jt_model_rope(struct jt_model *m, int context, jt_rope_set **out, jt_error *err);
/* Tables of positions 0 .. n - 1 at least. */
jt_status jt_rope_turns(jt_rope_set *s, int rot, int n, jt_error *err);
void jt_ropes_free(jt_rope_set *s);

#endif
