/* view_terminal.h: the one file that knows ncurses: a jt_looking on the terminal. */
#ifndef JT_CLI_VIEW_TERMINAL_H
#define JT_CLI_VIEW_TERMINAL_H

#include "inspect/view.h"

/* Shows the view until a key ends it. `take` (may be NULL) is called for JT_VIEW_TAKE and may give the view another trace; what it
 * wants to say goes into v->note. A JT_EXIT code; standard input and output are terminals. */
int jt_view_terminal(jt_looking *v, void (*take)(void *self, jt_looking *v), void *self);

#endif
