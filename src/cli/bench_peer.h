/* bench_peer.h: running llama.cpp's llama-bench on the same file, for comparison. */
#ifndef JT_CLI_BENCH_PEER_H
#define JT_CLI_BENCH_PEER_H

#include "jeton/status.h"

/* One test: a prompt of `prompt` tokens, or `gen` generated ones; the other is 0. Behind `depth` tokens. */
typedef struct jt_peer_test {
    int prompt, gen, depth;
    double tokens_per_second; /* filled */
} jt_peer_test;

/* Runs `command`, a program and flags with spaces between, for the test with one repetition (after its own warm-up) and
 * waits for it. Errors: JT_NOTFOUND and JT_IO when it cannot be run or fails, JT_FORMAT when it prints something else than
 * llama-bench does. */
jt_status jt_peer_run(const char *command, const char *model, int threads, jt_peer_test *test, jt_error *err);

#endif
