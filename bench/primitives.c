/* primitives: what fork, truncate and eval cost on a model.
 *
 *     primitives MODEL [TOKENS [THREADS]]
 *
 * A sequence of TOKENS (4000) is forked and cut back; then prompts of 512 tokens are evaluated, one sequence, 16 and 64
 * sequences are decoded together behind 512 tokens, and trees are evaluated. Wall time, the best of a few tries; with
 * THREADS 1 processor time, so that what else runs on the machine counts less. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "jeton/model.h"

enum { PROMPT = 512, STEPS = 16, MOST = 64, TRIES = 3 };

static jt_model *model;
static jt_error err;
static clockid_t watch = CLOCK_MONOTONIC;

static double now(void) {
    struct timespec t;
    clock_gettime(watch, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(jt_status s) {
    if (!s) return;
    fprintf(stderr, "primitives: %s\n", err.message);
    exit(1);
}

static jt_state *new_state(int context) {
    jt_state *s;
    must(jt_state_new(model, context, &s, &err));
    return s;
}

static jt_state *fork_of(const jt_state *s) {
    jt_state *t;
    must(jt_state_fork(s, &t, &err));
    return t;
}

/* n tokens for each of `many` states in one batch, the best candidate of each last row wanted, as decoding does. */
static void extend(jt_state *const *s, int many, int n, const int32_t *parent) {
    static int32_t ids[1 << 16], top[MOST];
    static float logit[MOST];
    jt_span span[MOST];
    jt_want want[MOST];
    for (int i = 0; i < n; i++) ids[i] = (i * 37 + 11) % 300;
    for (int i = 0; i < many; i++) {
        span[i] = (jt_span){.state = s[i], .ids = ids, .n = n, .parent = parent};
        want[i] = (jt_want){.row = i * n + n - 1, .n_top = 1, .top_ids = &top[i], .top_logits = &logit[i]};
    }
    must(jt_eval(model, &(jt_batch){.span = span, .n_span = many, .want = want, .n_want = many}, &err));
}

/* Seconds of one call of `what`, the best of some runs. */
#define TIME(seconds, times, what)                                                                                                         \
    do {                                                                                                                                   \
        seconds = 1e9;                                                                                                                     \
        for (int try_ = 0; try_ < TRIES; try_++) {                                                                                         \
            double start_ = now();                                                                                                         \
            for (int i = 0; i < (times); i++) what;                                                                                        \
            double took_ = (now() - start_) / (times);                                                                                     \
            if (took_ < seconds) seconds = took_;                                                                                          \
        }                                                                                                                                  \
    } while (0)

static void memory_calls(int tokens) {
    enum { FORKS = 256, CUT = 64 };
    static jt_state *fork[FORKS];
    int32_t parent[MOST];
    double make = 1e9, drop = 1e9, cut = 1e9, keep = 1e9;
    jt_state *s = new_state(tokens + PROMPT);
    for (int at = 0; at < tokens; at += PROMPT) extend(&s, 1, tokens - at < PROMPT ? tokens - at : PROMPT, NULL);
    for (int i = 0; i < MOST; i++) parent[i] = tokens - 1 + (i + 1) / 2;
    for (int try_ = 0; try_ < 20; try_++) {
        double t[4];
        t[0] = now();
        for (int i = 0; i < FORKS; i++) fork[i] = fork_of(s);
        t[1] = now();
        for (int i = 0; i < FORKS; i++) must(jt_state_truncate(fork[i], tokens - CUT, &err));
        t[2] = now();
        for (int i = 0; i < FORKS; i++) jt_state_free(fork[i]);
        t[3] = now();
        if (t[1] - t[0] < make) make = t[1] - t[0];
        if (t[2] - t[1] < cut) cut = t[2] - t[1];
        if (t[3] - t[2] < drop) drop = t[3] - t[2];
    }
    for (int try_ = 0; try_ < TRIES; try_++) {
        jt_state *t = fork_of(s);
        extend(&t, 1, MOST, parent);
        double start = now();
        must(jt_state_truncate_to(t, tokens + MOST - 1, &err));
        if (now() - start < keep) keep = now() - start;
        jt_state_free(t);
    }
    printf("a sequence of %d tokens\n", tokens);
    printf("  fork                             %9.3f us\n", 1e6 * make / FORKS);
    printf("  truncate by %d                   %9.3f us\n", CUT, 1e6 * cut / FORKS);
    printf("  free                             %9.3f us\n", 1e6 * drop / FORKS);
    printf("  keep a leaf of a tree of %d      %9.3f us\n", MOST, 1e6 * keep);
    jt_state_free(s);
}

static void evals(void) {
    static const int together[] = {1, 4, 16, 64}, nodes[] = {1, 4, 16, 64};
    jt_state *base = new_state(2048), *s[MOST];
    int32_t parent[MOST];
    double prompt, seconds;
    extend(&base, 1, PROMPT, NULL);
    TIME(prompt, 1, {
        must(jt_state_truncate(base, 0, &err));
        extend(&base, 1, PROMPT, NULL);
    });
    printf("rows a second\n  prompt of %d                    %9.1f\n", PROMPT, PROMPT / prompt);
    for (int k = 0; k < 4; k++) {
        for (int i = 0; i < together[k]; i++) s[i] = fork_of(base);
        TIME(seconds, STEPS, extend(s, together[k], 1, NULL));
        double rate = together[k] / seconds;
        printf("  %2d sequences decoded together    %9.1f  %5.1f %% of prompts\n", together[k], rate, 100 * rate * prompt / PROMPT);
        for (int i = 0; i < together[k]; i++) jt_state_free(s[i]);
    }
    for (int k = 0; k < 4; k++) {
        for (int i = 0; i < nodes[k]; i++) parent[i] = PROMPT - 1 + (i + 1) / 2;
        TIME(seconds, STEPS, {
            extend(&base, 1, nodes[k], parent);
            must(jt_state_truncate(base, PROMPT, &err));
        });
        printf("  tree of %2d nodes                 %9.1f  %6.2f ms an eval\n", nodes[k], nodes[k] / seconds, 1e3 * seconds);
    }
    jt_state_free(base);
}

int main(int argc, char **argv) {
    jt_engine *engine;
    jt_model_info info;
    int tokens = argc > 2 ? atoi(argv[2]) : 4000, threads = argc > 3 ? atoi(argv[3]) : 0;
    if (argc < 2 || argc > 4 || tokens < 100 || tokens > 1 << 16) {
        fprintf(stderr, "Usage: %s MODEL [TOKENS, 100 to %d [THREADS]]\n", argv[0], 1 << 16);
        return 2;
    }
    if (threads == 1) watch = CLOCK_THREAD_CPUTIME_ID;
    must(jt_engine_new(&(jt_engine_options){.threads = threads}, &engine, &err));
    must(jt_model_open(engine, argv[1], NULL, &model, &err));
    jt_model_get_info(model, &info);
    printf("%s, %s, %s cache, %d threads, %s\n", info.name, info.activations, info.kv_type, jt_engine_threads(engine),
           jt_engine_kernels(engine));
    memory_calls(tokens);
    evals();
    jt_model_free(model);
    jt_engine_free(engine);
    return 0;
}
