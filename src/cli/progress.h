/* progress.h: a bar on standard error for work that takes over a second, only when standard error is a terminal. */
#ifndef JT_CLI_PROGRESS_H
#define JT_CLI_PROGRESS_H

#include <stdbool.h>

typedef struct jt_progress {
    const char *what; /* "loading", "perplexity" */
    double start, drawn_at;
    double from; /* what was done before; set behind jt_progress_begin by who goes on with something */
    bool terminal, drawn;
} jt_progress;

void jt_progress_begin(jt_progress *p, const char *what);
/* Tells the fraction done, 0..1, as often as one likes; `note` (may be NULL) stands behind the bar. Draws at most ten
 * times a second, and nothing for work that will be over within a second. */
void jt_progress_set(jt_progress *p, double fraction, const char *note);
/* Takes the bar off the screen. */
void jt_progress_end(jt_progress *p);

#endif
