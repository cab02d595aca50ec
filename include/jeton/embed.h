/* embed.h: one vector for a whole text, and the heads that classify texts or rank pairs of them.
 *
 * A text is a row of token ids, special tokens included (jt_encode, jt_encode_pair). Rows of any number of texts
 * share batches; what comes out depends on the text and the numeric mode alone, bit for bit. Encoders see a
 * text as a whole; of a decoder a row sees what is before it, so that its last row stands for the text. */
#ifndef JETON_EMBED_H
#define JETON_EMBED_H

#include "jeton/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct jt_embed_text {
    const int32_t *ids;   /* [n], n >= 1; at most as many as the model has positions for (JT_LIMIT) */
    const int32_t *types; /* [n] or NULL: token types, 0 where they are not given */
    int n;
} jt_embed_text;

typedef struct jt_embed_options {
    jt_pooling pooling; /* JT_POOL_AUTO: the model's. JT_POOL_POOLER: JT_UNSUPPORTED where the model has no pooler */
    int normalise;      /* 1: vectors are divided by their length; 0: they are as they come; -1: as the model's files say */
    /* Called between batches with the number of texts done; nonzero stops with JT_CANCELLED. May be NULL. */
    int (*progress)(void *self, int done);
    void *progress_self;
} jt_embed_options;

/* Writes out[n][hidden]. `o` may be NULL for the model's own way. */
JT_API jt_status jt_embed(jt_model *m, const jt_embed_text *text, int n, const jt_embed_options *o, float *out, jt_error *err);
/* Writes out[n][labels]: what the model's head says, before any softmax or sigmoid. JT_UNSUPPORTED where it has none. `o`
 * may be NULL; its pooling and normalise are not read. */
JT_API jt_status jt_classify(jt_model *m, const jt_embed_text *text, int n, const jt_embed_options *o, float *out, jt_error *err);

#ifdef __cplusplus
}
#endif
#endif
