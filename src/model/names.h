/* names.h: a table from name to index, for the tensors and keys of a file.
 *
 * Open addressing with a fixed number of places, at most half of them used; the
 * names stay the caller's. */
#ifndef JT_MODEL_NAMES_H
#define JT_MODEL_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jeton/status.h"

typedef struct jt_names {
    struct jt_names_place {
        const char *name; /* NULL: free */
        size_t index;
    } * place;
    size_t mask;   /* places - 1 */
    uint64_t seed; /* of the hash: unknown to whoever made the file, so that names cannot be made to collide */
} jt_names;

/* Room for n names. Zero-initialised is empty, and finds nothing. */
jt_status jt_names_new(size_t n, jt_names *out, jt_error *err);
void jt_names_free(jt_names *t);
/* Adds a name; if it is there already *index gets the earlier one's and false is returned. */
bool jt_names_add(jt_names *t, const char *name, size_t *index);
bool jt_names_find(const jt_names *t, const char *name, size_t *index);

#endif
