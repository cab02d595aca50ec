/* flow.h: text on its way through normalisers and pre-tokenisers, which remembers where each byte came from.
 *
 * A step reads `text` from its beginning to its end, writes what becomes of it with the jt_flow_put functions and then calls
 * jt_flow_turn. Spans are in bytes of the original. */
#ifndef JT_TEXT_FLOW_H
#define JT_TEXT_FLOW_H

#include "core/str.h"
#include "text/normal.h"
#include "text/pretok.h"
#include "text/textpipe.h"

typedef struct jt_flow_span {
    uint32_t begin, end;
} jt_flow_span;

typedef struct jt_flow {
    jt_str text;
    jt_flow_span *from; /* [text.n] */
    size_t cap;
    jt_str next; /* what the step under way has written */
    jt_flow_span *next_from;
    size_t next_cap;
    bool failed, grown; /* memory ran out while writing; the text grew past `most` */
    size_t most;        /* 1,024 times its first length and a little more */
    size_t origin;      /* where the original begins and ends */
    size_t origin_end;

    jt_normal chars, spare;  /* of the normal forms */
    jt_pieces cuts;          /* of one piece by a pre-tokeniser */
    jt_piece *piece, *other; /* of the whole text */
    size_t n, piece_cap, other_n, other_cap;
    jt_regex_work regex;
} jt_flow;

void jt_flow_free(jt_flow *f);
/* Begins with s[0..n), which stands at `base` of a text of less than 4 GiB. */
jt_status jt_flow_begin(jt_flow *f, const char *s, size_t n, size_t base, jt_error *err);
/* Writes bytes that all come from `from`. */
void jt_flow_put(jt_flow *f, const char *s, size_t n, jt_flow_span from);
void jt_flow_put_char(jt_flow *f, uint32_t cp, jt_flow_span from);
/* Writes bytes [begin, end) of the text as they are. */
void jt_flow_keep(jt_flow *f, size_t begin, size_t end);
/* The span of bytes [begin, end), not empty, of the text. */
jt_flow_span jt_flow_of(const jt_flow *f, size_t begin, size_t end);
/* What was written becomes the text. */
jt_status jt_flow_turn(jt_flow *f, jt_error *err);

/* A step with what it needs to run. */
typedef struct jt_stage {
    jt_text_step step; /* its views belong to the stage's owner */
    jt_regex *regex;
    jt_pretok *pretok;
    struct jt_charsmap *map;
} jt_stage;
/* Takes over nothing; views of `s` must outlive the stage. */
jt_status jt_stage_init(jt_stage *g, const jt_text_step *s, jt_error *err);
void jt_stage_free(jt_stage *g);
/* Runs a normaliser on the text (normal_steps.c). */
jt_status jt_stage_normal(const jt_stage *g, jt_flow *f, jt_error *err);
/* Runs a pre-tokeniser on the pieces f->piece[0..f->n) (cut_steps.c). */
jt_status jt_stage_cut(const jt_stage *g, jt_flow *f, jt_error *err);
jt_status jt_flow_piece(jt_flow *f, size_t begin, size_t end, jt_error *err);

#endif
