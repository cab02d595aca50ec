/* sequences.h: lists of token sequences that a stage is given as text, kept in its state.
 *
 * Flat, in int32: for each sequence its length and its ids, and a 0 behind the last:
 *
 *   for (const int32_t *s = state; *s; s += 1 + *s)    s[1 .. *s] is a sequence
 *
 * The list is made when a job begins, so that a text which is no token of the model, or
 * an id outside of the vocabulary, is refused there. */
#ifndef JT_DECODE_SEQUENCES_H
#define JT_DECODE_SEQUENCES_H

#include "jeton/method.h"

typedef enum jt_sequence_kind {
    JT_SEQUENCES,        /* texts in lines; lists of ids in lines or parted by ';' */
    JT_SEQUENCES_SPACED, /* the same, and each text once more with a space before it */
    JT_SEQUENCES_SINGLE, /* each text is exactly one token, each id a sequence of its own */
    JT_SEQUENCES_WHOLE   /* all of the text is one sequence, and so are all ids */
} jt_sequence_kind;

/* What a list of these texts and ids needs at most. */
size_t jt_sequences_bytes(const char *texts, const char *ids);
/* Fills `state`, of so many bytes. `name` is the method's, for messages. */
jt_status jt_sequences_open(const char *name, jt_sequence_kind kind, const char *texts, const char *ids, const jt_setup *u, void *state,
                            jt_error *err);
/* Appends the tokens of one text as a sequence; `state` has room for so many ints. */
jt_status jt_sequences_add(const char *name, const char *text, size_t n, bool single, const jt_setup *u, int32_t *state, size_t room,
                           jt_error *err);
jt_status jt_sequences_add_id(const char *name, int32_t id, const jt_setup *u, int32_t *state, size_t room, jt_error *err);
/* The ids of a text, whatever parts them, into ids[most]. */
jt_status jt_ids_read(const char *name, const char *text, const jt_setup *u, int32_t *ids, int most, int *n, jt_error *err);
/* Whether history[0..n) ends in all but the last of the sequence s, as it stands in the list. */
bool jt_sequence_follows(const int32_t *s, const int32_t *history, int n);

#endif
