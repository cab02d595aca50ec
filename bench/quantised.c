/* quantised: how much of a model is lost in few bits, of pairs of files side by side.
 *
 *     quantised REFERENCE TEXT CHUNKS [--int8] MINE THEIRS [MINE THEIRS ...]
 *
 * The first CHUNKS windows of 512 tokens of TEXT are evaluated by REFERENCE (an F16 file) and by each file of the pairs;
 * second halves are compared. A line a pair: mean KL(reference || file) of both, their ratio; perplexity of both and the
 * ratio. The error of a ratio is that of its difference over windows, which is far smaller than that of either number.
 * Activations are float, so that the weights alone differ; --int8 takes the ordinary mode. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "jeton/model.h"
#include "jeton/text.h"
#include "score/score.h"

enum { CHUNK = 512, FIRST = CHUNK / 2, ROWS = CHUNK - 1 - FIRST, MOST = 1024 };

static jt_error err;
static jt_engine *engine;
static jt_model_options options = {.activations = JT_ACT_FLOAT};

static void must(jt_status s) {
    if (!s) return;
    fprintf(stderr, "quantised: %s\n", err.message);
    exit(1);
}

static void *room(size_t n, size_t size) {
    void *p = calloc(n, size);
    if (p) return p;
    fprintf(stderr, "quantised: out of memory\n");
    exit(1);
}

/* Logits of the second half of a window: [ROWS][vocab]. */
static void logits_of(jt_model *m, jt_state *s, const int32_t *ids, int vocab, float *out) {
    jt_want want[ROWS];
    for (int i = 0; i < ROWS; i++) want[i] = (jt_want){.row = FIRST + i, .logits = out + (size_t)i * (size_t)vocab};
    jt_span span = {.state = s, .ids = ids, .n = CHUNK - 1};
    must(jt_state_truncate(s, 0, &err));
    must(jt_eval(m, &(jt_batch){.span = &span, .n_span = 1, .want = want, .n_want = ROWS}, &err));
}

/* Means over each window: of KL, and of -ln p. */
typedef struct means {
    double kl[MOST], nll[MOST];
} means;

static jt_windows read_text(const jt_model *m, const char *path, size_t chunks) {
    jt_str text = {0};
    jt_tokens t = {0};
    must(jt_file_read(path, &text, &err));
    must(jt_encode(jt_model_tokenizer(m), jt_str_c(&text), text.n, 0, &t, &err));
    int32_t *ids = room(t.n, sizeof *ids);
    for (size_t i = 0; i < t.n; i++) ids[i] = t.t[i].id;
    jt_windows w = jt_windows_halves(ids, t.n, CHUNK, chunks);
    jt_tokens_free(&t);
    jt_str_free(&text);
    return w;
}

static void compare(const char *path, const jt_windows *w, int vocab, const float *reference, means *out) {
    jt_model *m;
    jt_state *s;
    size_t all = (size_t)ROWS * (size_t)vocab;
    float *got = room(all, sizeof *got);
    must(jt_model_open(engine, path, &options, &m, &err));
    must(jt_state_new(m, CHUNK, &s, &err));
    for (size_t i = 0; i < w->n; i++) {
        const int32_t *ids = w->ids + i * CHUNK;
        logits_of(m, s, ids, vocab, got);
        out->kl[i] = out->nll[i] = 0;
        for (int r = 0; r < ROWS; r++) {
            size_t at = (size_t)r * (size_t)vocab;
            jt_kl_row k = jt_kl_compare(reference + i * all + at, got + at, vocab, ids[FIRST + r + 1]);
            out->kl[i] += k.kl / ROWS, out->nll[i] -= k.logprob_b / ROWS;
        }
    }
    jt_state_free(s);
    jt_model_free(m);
    free(got);
}

static double mean_of(const double *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    return sum / (double)n;
}

/* Standard error of the mean of a - times * b. */
static double error_of(const double *a, const double *b, double times, size_t n) {
    double mean = mean_of(a, n) - times * mean_of(b, n), sum = 0;
    for (size_t i = 0; i < n; i++) sum += pow(a[i] - times * b[i] - mean, 2);
    return n > 1 ? sqrt(sum / (double)(n - 1) / (double)n) : NAN;
}

static const char *base_name(const char *path) { return strrchr(path, '/') ? strrchr(path, '/') + 1 : path; }

int main(int argc, char **argv) {
    long chunks = argc > 3 ? strtol(argv[3], NULL, 10) : 0;
    int at = 4;
    if (argc > 4 && !strcmp(argv[4], "--int8")) options.activations = JT_ACT_INT8, at++;
    if (chunks < 1 || chunks > MOST || argc <= at || (argc - at) % 2) {
        fprintf(stderr, "usage: quantised REFERENCE TEXT CHUNKS [--int8] MINE THEIRS [MINE THEIRS ...]\n");
        return 2;
    }
    jt_model *m;
    jt_state *s;
    jt_model_info info;
    must(jt_engine_new(&(jt_engine_options){.threads = 0}, &engine, &err));
    must(jt_model_open(engine, argv[1], &(jt_model_options){.activations = JT_ACT_FLOAT}, &m, &err));
    must(jt_state_new(m, CHUNK, &s, &err));
    jt_model_get_info(m, &info);
    jt_windows w = read_text(m, argv[2], (size_t)chunks);
    size_t all = (size_t)ROWS * (size_t)info.vocab;
    float *reference = room(w.n * all, sizeof *reference);
    for (size_t i = 0; i < w.n; i++) logits_of(m, s, w.ids + i * CHUNK, info.vocab, reference + i * all);
    jt_state_free(s);
    jt_model_free(m);
    means *x = room(2, sizeof *x);
    printf("%-22s %9s %9s %17s %9s %9s %19s\n", "file", "kl", "kl theirs", "ratio", "ppl", "theirs", "ratio");
    for (; at < argc; at += 2) {
        for (int k = 0; k < 2; k++) compare(argv[at + k], &w, info.vocab, reference, &x[k]);
        double a = mean_of(x[0].kl, w.n), b = mean_of(x[1].kl, w.n), p = mean_of(x[0].nll, w.n), q = mean_of(x[1].nll, w.n);
        double ratio = exp(p - q);
        printf("%-22s %9.5f %9.5f  %.4f +/- %.4f %9.4f %9.4f  %.5f +/- %.5f\n", base_name(argv[at]), a, b, a / b,
               error_of(x[0].kl, x[1].kl, a / b, w.n) / b, exp(p), exp(q), ratio, error_of(x[0].nll, x[1].nll, 1, w.n) * ratio);
        fflush(stdout);
    }
    jt_engine_free(engine);
    free(x);
    free(reference);
    return 0;
}
