#include "model/names.h"

#include <string.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/mem.h"

jt_status jt_names_new(size_t n, jt_names *out, jt_error *err) {
    size_t places = 8, want;
    if (!jt_mul(n, 2, &want)) return jt_nomem(err, "table of names", n, 2 * sizeof(struct jt_names_place));
    while (places < want)
        if (!jt_mul(places, 2, &places)) return jt_nomem(err, "table of names", n, 2 * sizeof(struct jt_names_place));
    struct jt_names_place *p = jt_alloc(places, sizeof *p);
    if (!p) return jt_nomem(err, "table of names", places, sizeof *p);
    *out = (jt_names){p, places - 1, jt_hash_u64((uintptr_t)p, (uint64_t)(jt_seconds() * 1e9))};
    return JT_OK;
}

void jt_names_free(jt_names *t) {
    jt_free(t->place);
    *t = (jt_names){0};
}

/* The name's place, or the free one where it belongs. */
static struct jt_names_place *names_place(const jt_names *t, const char *name) {
    size_t i = (size_t)jt_hash_str(t->seed, name) & t->mask;
    while (t->place[i].name && strcmp(t->place[i].name, name) != 0) i = (i + 1) & t->mask;
    return &t->place[i];
}

bool jt_names_add(jt_names *t, const char *name, size_t *index) {
    struct jt_names_place *p = names_place(t, name);
    if (p->name) {
        *index = p->index;
        return false;
    }
    *p = (struct jt_names_place){name, *index};
    return true;
}

bool jt_names_find(const jt_names *t, const char *name, size_t *index) {
    if (!t->place) return false;
    const struct jt_names_place *p = names_place(t, name);
    if (!p->name) return false;
    *index = p->index;
    return true;
}
