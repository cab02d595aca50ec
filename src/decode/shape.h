/* shape.h: the pipeline over one row, for those who push. */
#ifndef JT_DECODE_SHAPE_H
#define JT_DECODE_SHAPE_H

#include "decode/driver.h"

/* The states of the stages at b's end, made anew from its decisions. */
jt_status jt_shape_replay(jt_driver *d, jt_live *j, jt_branch *b, jt_error *err);
/* Whether the decision, made at the position of the row, is one of the row's: it tells the same raw logprob. */
bool jt_shape_is_of(const jt_asked *row, const jt_decision *made);

#endif
