/* pipeline.h: a parsed pipeline, as the driver reads it. */
#ifndef JT_DECODE_PIPELINE_H
#define JT_DECODE_PIPELINE_H

#include "core/json.h"
#include "core/mem.h"
#include "core/str.h"
#include "jeton/decode.h"

enum { JT_PIPELINE_MOST = 64 }; /* methods in one pipeline */

typedef struct jt_node {
    const jt_method *m;
    const void *par;     /* m->param_size bytes in the arena */
    uint32_t occurrence; /* of m in this pipeline, from 0: part of the random address */
} jt_node;

struct jt_pipeline {
    jt_arena arena;
    jt_node strategy[JT_PIPELINE_MOST]; /* outermost first; at least one, but for values of parameters */
    jt_node stage[JT_PIPELINE_MOST];
    int n_strategy, n_stage;
    jt_str text;                /* canonical */
    jt_pipeline *inside, *next; /* values of parameters, which it owns; they have no strategies */
};

/* The JSON form (docs/pipelines.md) as pipeline text, which says what is unknown or out of range; here only what text cannot
 * say is refused. In pipeline_json.c. */
jt_status jt_pipeline_json_text(const jt_json *v, const jt_methods *extra, jt_str *out, jt_error *err);
/* The pipeline in its JSON form, every parameter written out. */
void jt_pipeline_put_json(const jt_pipeline *p, jt_str *out);

#endif
