/* samplers.c: what a chain of stages costs for one token, beside the same chain of
 * llama.cpp, in turn, in one process and thread; medians of the rounds, in microseconds.
 *
 *   samplers [LIBLLAMA.so [ROUNDS [VOCABULARY]]]        one line of JSON for each distribution, chain and program
 *
 * What is timed begins with the row of logits as the model left it, the check for broken
 * numbers included for Jeton, the filling of the array of candidates for llama.cpp, and
 * ends with a drawn token where the chain ends in "draw". */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/random.h"
#include "decode/pipeline.h"
#include "step/dist.h"
#include "step/step.h"

enum { ROWS = 4, CALLS = 24, MOST_ROUNDS = 99 };

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static double uniform(uint32_t a, uint32_t b) { return jt_random_u(&(jt_address){.seed = 1, .position = a, .index = b}); }

static const char *const kinds[] = {"zipf", "normal3", "flat"};

/* zipf: probabilities fall as rank^-1.3, with noise. The others: independent normal numbers. */
static void fill(float *x, int n, int kind, uint32_t row) {
    for (int i = 0; i < n; i++) {
        double normal = sqrt(-2 * log(uniform((uint32_t)i, 4 * row))) * cos(6.283185307179586 * uniform((uint32_t)i, 4 * row + 1));
        double rank = 1 + n * uniform((uint32_t)i, 4 * row + 2);
        x[i] = (float)(kind == 0 ? 20 - 1.3 * log(rank) + 0.3 * normal : kind == 1 ? 3 * normal : normal);
    }
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *t, int n) {
    qsort(t, (size_t)n, sizeof *t, by_size);
    return n % 2 ? t[n / 2] : (t[n / 2 - 1] + t[n / 2]) / 2;
}

/* ---- llama.cpp, by the names in its library ---- */

typedef struct peer_cand {
    int32_t id;
    float logit, p;
} peer_cand;
typedef struct peer_array {
    peer_cand *data;
    size_t size;
    int64_t selected;
    bool sorted;
} peer_array;
typedef struct peer_chain_params {
    bool no_perf;
} peer_chain_params;

typedef struct peer {
    void *(*chain)(peer_chain_params);
    void (*add)(void *, void *), (*apply)(void *, peer_array *), (*end)(void *);
    void *(*temp)(float), *(*top_k)(int32_t), *(*top_p)(float, size_t), *(*min_p)(float, size_t), *(*typical)(float, size_t);
    void *(*sigma)(float), *(*draw)(uint32_t);
} peer;

static void *peer_name(void *lib, const char *name) {
    void *f = dlsym(lib, name);
    if (!f) fprintf(stderr, "the library has no %s\n", name), exit(1);
    return f;
}

static void peer_open(peer *p, const char *path) {
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!lib) fprintf(stderr, "%s\n", dlerror()), exit(1);
#define PEER(field, name) *(void **)&p->field = peer_name(lib, "llama_sampler_" name);
    PEER(chain, "chain_init")
    PEER(add, "chain_add")
    PEER(apply, "apply")
    PEER(end, "free")
    PEER(temp, "init_temp")
    PEER(top_k, "init_top_k")
    PEER(top_p, "init_top_p")
    PEER(min_p, "init_min_p")
    PEER(typical, "init_typical")
    PEER(sigma, "init_top_n_sigma")
    PEER(draw, "init_dist")
}

/* The samplers of a chain that the library has under the same name; NULL where one is missing. */
static void *peer_make(const peer *p, const char *text) {
    char line[200], *save = NULL;
    void *chain = p->chain((peer_chain_params){.no_perf = true});
    snprintf(line, sizeof line, "%s", text);
    for (char *s = strtok_r(line, " |", &save); s; s = strtok_r(NULL, " |", &save)) {
        float v = strchr(s, ':') ? strtof(strchr(s, ':') + 1, NULL) : 0;
        size_t n = strcspn(s, ":");
#define IS(name) (n == sizeof name - 1 && !strncmp(s, name, n))
        void *one = IS("temp")          ? p->temp(v)
                    : IS("top-k")       ? p->top_k((int32_t)v)
                    : IS("top-p")       ? p->top_p(v, 1)
                    : IS("min-p")       ? p->min_p(v, 1)
                    : IS("typical")     ? p->typical(v, 1)
                    : IS("top-n-sigma") ? p->sigma(v)
                    : IS("draw")        ? p->draw(7)
                                        : NULL;
        if (!one) return p->end(chain), NULL;
        p->add(chain, one);
    }
    return chain;
}

static int32_t peer_run(const peer *p, void *chain, peer_cand *room, const float *x, int n) {
    for (int i = 0; i < n; i++) room[i] = (peer_cand){.id = i, .logit = x[i]};
    peer_array a = {.data = room, .size = (size_t)n, .selected = -1};
    p->apply(chain, &a);
    return a.selected >= 0 ? a.data[a.selected].id : (int32_t)a.size;
}

/* ---- Jeton ---- */

typedef struct mine {
    jt_pipeline *p;
    bool draw;
} mine;

static mine mine_make(const char *text) {
    char line[200];
    mine m = {0};
    jt_error err;
    snprintf(line, sizeof line, "%s", text);
    char *end = strstr(line, " | draw");
    if ((m.draw = end != NULL)) *end = 0;
    if (jt_pipeline_parse(line, NULL, &m.p, &err) != JT_OK) fprintf(stderr, "%s: %s\n", line, err.message), exit(1);
    return m;
}

static int32_t mine_run(const mine *m, jt_dist *raw, jt_dist *d, const float *x) {
    jt_error err;
    if (jt_dist_load(raw, x, &err) != JT_OK) fprintf(stderr, "%s\n", err.message), exit(1);
    jt_dist_view(d, raw);
    for (int i = 0; i < m->p->n_stage; i++) {
        jt_step s = {.method = m->p->stage[i].m, .vocab = jt_dist_vocab(d), .err = &err};
        m->p->stage[i].m->stage.run(m->p->stage[i].par, NULL, d, &s);
    }
    return m->draw ? jt_dist_draw(d, 0.7) : jt_dist_count(d);
}

int main(int argc, char **argv) {
    static const char *const chains[] = {"temp:0.8 | top-k:40 | top-p:0.95 | min-p:0.05 | draw",
                                         "temp:0.8 | top-k:40 | top-p:0.95 | min-p:0.05",
                                         "top-k:40 | top-p:0.95 | min-p:0.05 | temp:0.8 | draw",
                                         "temp:0.8",
                                         "min-p:0.05",
                                         "top-p:0.95",
                                         "typical:0.95",
                                         "typical:0.2",
                                         "epsilon:0.0003",
                                         "eta:0.0003",
                                         "top-h:0.4",
                                         "top-n-sigma:1",
                                         "tfs:0.95"};
    int rounds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 9, n = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 128256, known;
    if (rounds < 1 || rounds > MOST_ROUNDS || n < 1) return fprintf(stderr, "rounds: 1 to %d; a vocabulary: from 1\n", MOST_ROUNDS), 1;
    peer lib = {0};
    bool beside = argc > 1 && *argv[1];
    if (beside) peer_open(&lib, argv[1]);
    float *x = malloc((size_t)n * ROWS * sizeof *x);
    peer_cand *room = malloc((size_t)n * sizeof *room);
    jt_dist *raw, *d;
    const jt_kernels *k = jt_kernels_pick(getenv("JETON_KERNELS"), &known);
    if (!k || !x || !room || jt_dist_new(n, k, &raw, NULL) != JT_OK || jt_dist_new(n, k, &d, NULL) != JT_OK) return 1;
    for (int kind = 0; kind < 3; kind++) {
        for (int r = 0; r < ROWS; r++) fill(x + (size_t)r * (size_t)n, n, kind, (uint32_t)r);
        for (size_t c = 0; c < sizeof chains / sizeof *chains; c++) {
            mine m = mine_make(chains[c]);
            void *chain = beside ? peer_make(&lib, chains[c]) : NULL;
            double t[2][MOST_ROUNDS];
            long kept[2] = {0};
            for (int r = 0; r < rounds; r++)
                for (int who = 0; who < (chain ? 2 : 1); who++) {
                    double begin = now_us();
                    int calls = who ? 8 : CALLS;
                    for (int i = 0; i < calls; i++) {
                        const float *row = x + (size_t)(i % ROWS) * (size_t)n;
                        int32_t got = who ? peer_run(&lib, chain, room, row, n) : mine_run(&m, raw, d, row);
                        if (!r && i < ROWS) kept[who] += got;
                    }
                    t[who][r] = (now_us() - begin) / calls;
                }
            for (int who = 0; who < (chain ? 2 : 1); who++)
                printf("{\"logits\": \"%s\", \"chain\": \"%s\", \"program\": \"%s\", \"us\": %.1f, \"%s\": %ld}\n", kinds[kind], chains[c],
                       who ? "llama.cpp" : k->name, median(t[who], rounds), m.draw ? "ids" : "kept", kept[who]);
            fflush(stdout);
            if (chain) lib.end(chain);
            jt_pipeline_free(m.p);
        }
    }
    jt_dist_free(raw), jt_dist_free(d);
    free(x), free(room);
    return 0;
}
