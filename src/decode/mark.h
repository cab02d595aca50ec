/* mark.h: places in a pipeline at which strategies read the distribution. */
#ifndef JT_DECODE_MARK_H
#define JT_DECODE_MARK_H

#include "decode/pipeline.h"

/* Whether the stage is mark:name. */
bool jt_mark_is(const jt_node *stage, const char *name);

#endif
