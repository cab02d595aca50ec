#include "cli/interrupt.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/command.h"

static volatile sig_atomic_t times, to_end;
static jt_driver *volatile watched;
static volatile jt_job watched_job;
static const volatile jt_job *volatile watched_jobs;
static volatile size_t watched_count;

static void handler(int sig) {
    if (sig == SIGTERM) to_end = 1;
    if (times >= 2) _exit(JT_EXIT_INTERRUPTED);
    times = times + 1;
    jt_driver *d = watched;
    if (!d) return;
    for (size_t i = 0; i < watched_count; i++)
        if (watched_jobs[i]) jt_driver_cancel(d, watched_jobs[i]);
}

void jt_interrupt_install(void) {
    struct sigaction a = {.sa_handler = handler}; /* no SA_RESTART: a read of the keyboard is to end */
    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

bool jt_interrupted(void) { return times > 0; }
void jt_interrupt_clear(void) { times = 0; }
bool jt_interrupt_to_end(void) { return to_end; }
int jt_interrupt_asked(void *unused) {
    (void)unused;
    return times > 0;
}

/* The handler must never see jobs with another driver: the driver is taken away first. */
void jt_interrupt_watch_all(jt_driver *d, const volatile jt_job *jobs, size_t n) {
    watched = NULL;
    watched_jobs = jobs, watched_count = n;
    watched = d;
    for (size_t i = 0; d && times && i < n; i++)
        if (jobs[i]) jt_driver_cancel(d, jobs[i]);
}

void jt_interrupt_watch(jt_driver *d, jt_job job) {
    watched = NULL;
    watched_job = job;
    jt_interrupt_watch_all(d, &watched_job, 1);
}
