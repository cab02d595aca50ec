/* presets.h: what `preset:NAME,parameter=value` stands for. */
#ifndef JT_DECODE_PRESETS_H
#define JT_DECODE_PRESETS_H

#include "core/str.h"
#include "jeton/status.h"

/* Appends the stages that the list t[from..end) of a pipeline, "NAME" or "NAME,parameter=value,...", stands for. */
jt_status jt_preset_expand(const char *t, size_t from, size_t end, jt_str *out, jt_error *err);

#endif
