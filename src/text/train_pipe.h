/* train_pipe.h: how text becomes pieces while a vocabulary is trained, and what a tokenizer.json says of it.
 *
 * Pieces are either bytes as they stand, which byte-level BPE spells when it needs their symbols (the quick way, for names
 * and regular expressions), or spelt as the model will see them. */
#ifndef JT_TEXT_TRAIN_PIPE_H
#define JT_TEXT_TRAIN_PIPE_H

#include "core/json.h"
#include "text/flow.h"
#include "text/json_steps.h"

typedef struct jt_train_pipe {
    jt_str normalizer, cut_json; /* members of a tokenizer.json */
    jt_json *normalizer_root, *cut_root;
    jt_json_steps steps; /* of both */
    jt_stage *normal, *cut;
    size_t n_normal, n_cut; /* n_cut: 0 unless the pre-tokeniser was given as JSON */
    jt_pretok *pretok;      /* not NULL: pieces are bytes as they stand */
    bool bytes;             /* byte-level: symbols are GPT-2's alphabet of bytes */
    jt_view space;          /* what stands for a space in pieces; s NULL: nothing does */
    int scheme;             /* JT_SCHEME_*: whether one is put in front of texts */
} jt_train_pipe;

/* From the options `pre`, `regex`, `chars`, `normalizer` and `model`. On failure it is still to be freed. */
jt_status jt_train_pipe_init(jt_train_pipe *p, const jt_train_options *o, jt_error *err);
void jt_train_pipe_free(jt_train_pipe *p);

#endif
