/* mark.c: a place with a name. Strategies read the distribution as it is there. */
#include "decode/mark.h"

#include <string.h>

#define MARK(X, T) X(T, TEXT, name, 0, JT_FROM_TEXT, "what strategies call the place; they say which names they look for")
JT_PARAMS(mark, MARK)

static jt_status mark_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    (void)par, (void)state, (void)d, (void)s;
    return JT_OK;
}

bool jt_mark_is(const jt_node *stage, const char *name) {
    return stage->m->stage.run == mark_run && !strcmp(((const struct mark *)stage->par)->name, name);
}

JT_METHOD(mark) = {.name = "mark",
                   .kind = JT_STAGE,
                   .summary = "changes nothing; strategies read the distribution here",
                   .formula = "l = l",
                   .paper = "",
                   .cost = "the stages before it once more, when a strategy asks",
                   .neutral = "always",
                   JT_PARAMETERS(mark),
                   .stage = {.run = mark_run}};
