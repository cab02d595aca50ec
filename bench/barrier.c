/* barrier.c: what a barrier of the thread pool costs, and what starting a run costs, by number of threads.
 * usage: barrier [MOST_THREADS] */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/str.h"
#include "core/thread.h"

enum { BARRIERS = 20000, RUNS = 5000, REPEAT = 7 };

static void barriers(void *arg, int thread, int threads) {
    (void)thread, (void)threads;
    for (int i = 0; i < BARRIERS; i++) jt_pool_barrier(arg);
}

static void nothing(void *arg, int thread, int threads) { (void)arg, (void)thread, (void)threads; }

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    int64_t most = jt_processors();
    if (argc > 1 && !jt_read_i64(argv[1], strlen(argv[1]), &most)) return 2;
    printf("medians of %d, on %d processors\n threads   barrier, ns   run, us\n", REPEAT, jt_processors());
    for (int threads = 1; threads <= most; threads++) {
        jt_pool *p;
        jt_error err;
        double bar[REPEAT], run[REPEAT];
        if (jt_pool_new(threads, &p, &err)) {
            fprintf(stderr, "barrier: %s\n", err.message);
            return 1;
        }
        for (int r = 0; r < REPEAT; r++) {
            double t = jt_seconds();
            jt_pool_run(p, barriers, p);
            bar[r] = (jt_seconds() - t) / BARRIERS * 1e9;
            t = jt_seconds();
            for (int i = 0; i < RUNS; i++) jt_pool_run(p, nothing, NULL);
            run[r] = (jt_seconds() - t) / RUNS * 1e6;
        }
        jt_pool_free(p);
        qsort(bar, REPEAT, sizeof *bar, by_value), qsort(run, REPEAT, sizeof *run, by_value);
        printf("%8d %13.0f %9.2f\n", threads, bar[REPEAT / 2], run[REPEAT / 2]);
    }
    return 0;
}
