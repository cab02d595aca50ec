/* trace.h: what writing, reading and comparing traces have in common. */
#ifndef JT_INSPECT_TRACE_H
#define JT_INSPECT_TRACE_H

#include "core/str.h"
#include "jeton/trace.h"

/* Nine digits of a float, seventeen of a double, which read back as the same; "-0.0", null for NaN, "inf" and "-inf" in quotes. */
void jt_trace_put_float(jt_str *o, float x);
void jt_trace_put_double(jt_str *o, double x);
const char *jt_chosen_name(jt_chosen c); /* "draw" */

/* The first thing in which `b` differs from `a`, into what; false: nothing does. Seconds are not compared. */
bool jt_trace_differ(const jt_trace_token *a, const jt_trace_token *b, char what[240]);

/* Of a driver whose main model is no jt_model. */
void jt_trace_writer_of(jt_trace_writer *w, int vocab, const jt_tokenizer *t);

/* The text of a token as a trace has it. */
void jt_trace_piece(const jt_tokenizer *t, int32_t id, jt_str *o);

#endif
