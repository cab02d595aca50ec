/* method_list.h: the built-in methods, as the build wrote them from the method files. */
#ifndef JT_STEP_METHOD_LIST_H
#define JT_STEP_METHOD_LIST_H

#include "jeton/method.h"

/* NULL-terminated, in the order of the files' paths. */
extern const jt_method *const jt_method_list[];

#endif
