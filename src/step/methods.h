/* methods.h: the inside of a set of methods. */
#ifndef JT_STEP_METHODS_H
#define JT_STEP_METHODS_H

#include "step/method_list.h"

struct jt_methods {
    const jt_method **row;
    size_t n, cap;
    void **library; /* [n_library]: those that rows came from, closed last first */
    size_t n_library, cap_library;
};

/* Closes the libraries, whose rows are gone with them. In plugin.c. */
void jt_methods_unload(jt_methods *m);

#endif
