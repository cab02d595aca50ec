/* logit_suppression.c: tokens that a whole job of texts has used most become less likely
 * (Chung, Kamar, Amershi 2023, arXiv:2306.04140).
 *
 * What was counted is an input, not a hidden state: the counts are a file whose contents
 * stand in the pipeline, so that a text depends on its request alone and can be repeated.
 * After each round of texts their tokens are added to the file; files of several workers
 * are added by writing one behind the other. */
#include <stdlib.h>
#include <string.h>

#include "jeton/method.h"
#include "jeton/text.h"

#define LOGIT_SUPPRESSION(X, T)                                                                                                            \
    X(T, TEXT, counts, 0, JT_FROM_FILE, "lines of a token id and how often it was written; an id may come again")                          \
    X(T, REAL, slope, -7.5, JT_RANGE(-1000, 0), "added to a logit for each percent that the token has of all; 0 changes nothing")          \
    X(T, REAL, floor, -7.5, JT_RANGE(-1000, 0), "the most that is taken off")                                                              \
    X(T, INT, top, 100, JT_RANGE(0, 16777216), "so many of the most frequent tokens; 0: all")                                              \
    X(T, TEXT, protect, 0, JT_FROM_TEXT, "tokens never touched, besides special ones; each character one; empty: newline and \"")          \
    X(T, TEXT, reference, 0, JT_FROM_FILE, "counts of ordinary text: tokens with at most `factor` times their share there stay")           \
    X(T, REAL, factor, 3, JT_RANGE(0, 1000000), "see reference")
JT_PARAMS(logit_suppression, LOGIT_SUPPRESSION)

struct suppressed {
    int32_t id;
    float bias;
    double count;
};

/* State: the tokens with a bias, their number first; behind them room for the reference. */
struct suppression {
    size_t n;
    struct suppressed token[];
};

static size_t suppression_lines(const char *s) {
    size_t n = 1;
    for (; *s; s++) n += *s == '\n';
    return n;
}

static size_t logit_suppression_bytes(const void *par, const jt_setup *u) {
    const struct logit_suppression *a = par;
    (void)u;
    return sizeof(struct suppression) + (suppression_lines(a->counts) + suppression_lines(a->reference)) * sizeof(struct suppressed);
}

static int suppression_by_id(const void *a, const void *b) {
    int32_t x = ((const struct suppressed *)a)->id, y = ((const struct suppressed *)b)->id;
    return (x > y) - (x < y);
}

/* The most frequent first. */
static int suppression_by_count(const void *a, const void *b) {
    double x = ((const struct suppressed *)a)->count, y = ((const struct suppressed *)b)->count;
    return x != y ? (x < y) - (x > y) : suppression_by_id(a, b);
}

/* The counts of a text, by id, each id once; how many, and their sum. */
static jt_status suppression_read(const char *s, int vocab, struct suppressed *t, size_t *n, double *sum, jt_error *err) {
    size_t lines = 0;
    *n = 0, *sum = 0;
    for (const char *at = s; *at; lines++) {
        char *end;
        double count = 0;
        long long id = strtoll(at, &end, 10);
        bool given = end != at;
        if (given) count = strtod(at = end, &end);
        if ((given && (end == at || id < 0 || id >= vocab || !(count >= 0 && count <= 1e15))) || end[strspn(end, " \t\r")] > '\n')
            return jt_error_set(err, JT_INVALID, "logit-suppression: line %zu is no token id (0 to %d) with a count", lines + 1, vocab - 1);
        if (given) t[(*n)++] = (struct suppressed){.id = (int32_t)id, .count = count}, *sum += count;
        at = end + strcspn(end, "\n");
        at += *at == '\n';
    }
    qsort(t, *n, sizeof *t, suppression_by_id);
    size_t k = 0;
    for (size_t i = 0; i < *n; i++)
        if (k && t[k - 1].id == t[i].id)
            t[k - 1].count += t[i].count;
        else
            t[k++] = t[i];
    *n = k;
    return JT_OK;
}

static bool suppression_spares(const struct logit_suppression *a, const jt_tokenizer *t, int32_t id) {
    const char *protect = a->protect[0] ? a->protect : "\n\"";
    size_t n = 0;
    const char *x = t ? jt_token_bytes(t, id, &n) : "";
    return t && (jt_token_is_special(t, id) || jt_token_is_end(t, id) || (n == 1 && *x && strchr(protect, *x)));
}

static jt_status logit_suppression_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    const struct logit_suppression *a = par;
    struct suppression *s = state;
    struct suppressed *ref = s->token + suppression_lines(a->counts);
    size_t n_ref, k = 0;
    double all, all_ref;
    jt_status e = suppression_read(a->counts, u->vocab, s->token, &s->n, &all, err);
    if (e == JT_OK) e = suppression_read(a->reference, u->vocab, ref, &n_ref, &all_ref, err);
    if (e != JT_OK) return e;
    qsort(s->token, s->n, sizeof *s->token, suppression_by_count);
    if (a->top && s->n > (size_t)a->top) s->n = (size_t)a->top;
    for (size_t i = 0; i < s->n; i++) {
        struct suppressed t = s->token[i];
        const struct suppressed *usual = n_ref ? bsearch(&t, ref, n_ref, sizeof t, suppression_by_id) : NULL;
        double share = all > 0 ? t.count / all : 0;
        t.bias = (float)fmax(a->floor, a->slope * 100 * share);
        bool stays = suppression_spares(a, u->tokenizer, t.id) || (usual && share <= a->factor * usual->count / all_ref);
        if (!stays && t.bias < 0) s->token[k++] = t;
    }
    s->n = k;
    return JT_OK;
}

static jt_status logit_suppression_run(const void *par, const void *state, jt_dist *d, jt_step *step) {
    const struct suppression *s = state;
    (void)par, (void)step;
    for (size_t i = 0; i < s->n; i++) jt_dist_add(d, s->token[i].id, s->token[i].bias);
    return JT_OK;
}

JT_METHOD(logit_suppression) = {.name = "logit-suppression",
                                .kind = JT_STAGE,
                                .summary = "makes the tokens less likely that a whole job of texts has used most, by a file of counts",
                                .formula = "l(x) = l(x) + max(floor, slope * percent(x)) for the most frequent tokens",
                                .paper = "Chung, Kamar, Amershi 2023, arXiv:2306.04140",
                                .card = "decoding/logit-suppression",
                                .cost = "O(tokens suppressed)",
                                .neutral = "slope=0",
                                .needs = JT_NEEDS_TOKENIZER,
                                JT_PARAMETERS(logit_suppression),
                                .state_bytes = logit_suppression_bytes,
                                .open = logit_suppression_open,
                                .stage = {.run = logit_suppression_run}};
