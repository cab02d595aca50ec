/* replay.h: what the two ways to replay share. */
#ifndef JT_INSPECT_REPLAY_H
#define JT_INSPECT_REPLAY_H

#include "jeton/trace.h"

/* One more difference, at token number `at` of its answer. */
void jt_replay_note(jt_trace_replayed *out, const jt_trace_token *t, size_t at, const char *what);

#endif
