/* interrupt.h: Ctrl-C (SIGINT) and SIGTERM end work cleanly. The handler sets a
 * flag and cancels the watched job; a third signal before the flag is cleared
 * ends the process at once. */
#ifndef JT_CLI_INTERRUPT_H
#define JT_CLI_INTERRUPT_H

#include <stdbool.h>

#include "jeton/decode.h"

void jt_interrupt_install(void);
bool jt_interrupted(void);
void jt_interrupt_clear(void);
/* SIGTERM was received: the program is to end, not only the answer. */
bool jt_interrupt_to_end(void);
/* The job that a signal cancels; NULL for none. */
void jt_interrupt_watch(jt_driver *d, jt_job job);
/* The same for jobs[0..n), where 0 is none; the array may change meanwhile. */
void jt_interrupt_watch_all(jt_driver *d, const volatile jt_job *jobs, size_t n);
/* For the `cancelled` members of the library: gives jt_interrupted(). */
int jt_interrupt_asked(void *unused);

#endif
