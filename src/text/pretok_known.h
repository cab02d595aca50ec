/* pretok_known.h: which steps the hand-written pre-tokenisers stand for, so that they are known again in a tokenizer.json. */
#ifndef JT_TEXT_PRETOK_KNOWN_H
#define JT_TEXT_PRETOK_KNOWN_H

#include "text/pretok.h"

/* The function that does all of the steps; NULL if there is none. */
jt_pretok_fn *jt_pretok_known(const jt_cut *split, size_t n);
/* The function that gives what this step by itself gives; NULL if there is none. */
jt_pretok_fn *jt_pretok_known_step(const jt_cut *s);

/* The steps of a name as Hugging Face has them, which are static; NULL if the name is not known. */
const jt_cut *jt_pretok_steps(const char *name, size_t n, size_t *count);

#endif
