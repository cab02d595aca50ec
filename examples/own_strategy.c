/* own_strategy.c: a strategy of one's own: it guesses what comes next and verifies the guesses together.
 *
 *   example-own_strategy MODEL "List the numbers from one to twenty" [STAGES]
 *
 * `lookup` looks for the last place where the newest two tokens stood, and asks for
 * what followed there as one chain of rows (prompt lookup, Saxena 2023). Each row is
 * decided with the ordinary pipeline and the random number of its place, so the text
 * is that of `sample`; where a guess agrees, a row is saved. Both are run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jeton/strategy.h"

enum { MOST = 4096, CHAIN = 16 };

#define LOOKUP(X, T) X(T, INT, length, 6, JT_RANGE(1, CHAIN), "tokens guessed at most")
JT_PARAMS(lookup, LOOKUP)

/* State is flat bytes, so that a branch of the strategy is a copy of it. */
struct state {
    int at, n;
    int32_t ids[MOST], guess[CHAIN];
    int guesses;
};

static jt_status lookup_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    struct state *s = state;
    (void)par;
    if (u->context > MOST) return jt_error_set(err, JT_LIMIT, "lookup: a context of at most %d tokens", MOST);
    s->n = u->n_prompt;
    memcpy(s->ids, u->prompt, (size_t)u->n_prompt * sizeof *s->ids);
    return JT_OK;
}

/* What followed the last two tokens the time before. */
static void look_up(struct state *s, int most) {
    s->guesses = 0;
    for (int i = s->n - 3; i >= 1; i--)
        if (s->ids[i] == s->ids[s->n - 1] && s->ids[i - 1] == s->ids[s->n - 2]) {
            while (s->guesses < most && i + 1 + s->guesses < s->n) s->guess[s->guesses] = s->ids[i + 1 + s->guesses], s->guesses++;
            return;
        }
}

static jt_status lookup_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    const struct lookup *a = par;
    struct state *s = state;
    JT_BEGIN(s);
    jt_work_next(w, JT_MAIN);
    for (;;) {
        JT_AWAIT(s);
        {
            int at = 0; /* out[0] is the end of the inputs, out[k] the row of guess k - 1 */
            jt_decision d = jt_work_decide(w, &r->out[0], 0);
            jt_work_emit(w, &d);
            s->ids[s->n++] = d.id;
            while (at + 1 < r->n_out && s->n < MOST && d.id == s->guess[at]) {
                d = jt_work_decide(w, &r->out[++at], 0);
                jt_work_emit(w, &d);
                s->ids[s->n++] = d.id;
            }
            if (r->n_out > 1) jt_work_keep(w, &r->out[at]);
            jt_work_push(w, JT_MAIN, &d);
            look_up(s, MOST - 1 - s->n < a->length ? MOST - 1 - s->n : a->length);
            jt_work_next(w, JT_MAIN);
            for (int k = 0; k < s->guesses; k++)
                jt_work_rows(w, &(jt_row){.slot = JT_MAIN, .parent = k - 1, .id = s->guess[k], .want = JT_WANT_DIST}, 1);
        }
    }
    JT_END(w);
}

static const jt_method lookup = {.name = "lookup",
                                 .kind = JT_STRATEGY,
                                 .summary = "guesses by looking up what followed before; the text is that of sample",
                                 .formula = "a guess is kept if it is what the pipeline draws",
                                 .paper = "Saxena 2023, prompt lookup decoding",
                                 .cost = "up to 1 + length rows a round",
                                 JT_PARAMETERS(lookup),
                                 .state_size = sizeof(struct state),
                                 .open = lookup_open,
                                 .strategy = {.advance = lookup_advance}};

/* Runs one pipeline to its end; the text goes to out, the number of rounds to *rounds. */
static jt_status run(jt_model *m, const jt_methods *methods, const char *strategy, const char *stages, const jt_tokens *t, char *out,
                     size_t cap, unsigned long long *rounds, jt_error *err) {
    char text[512];
    jt_pipeline *p = NULL;
    jt_driver *d = NULL;
    jt_job job;
    jt_driver_counts c;
    size_t n = 0;
    int32_t *ids = malloc((t->n + 1) * sizeof *ids);
    snprintf(text, sizeof text, "%s%s%s", strategy, *stages ? " | " : "", stages);
    jt_status s = ids ? jt_pipeline_parse(text, methods, &p, err) : jt_error_set(err, JT_NOMEM, "out of memory");
    for (size_t i = 0; ids && i < t->n; i++) ids[i] = t->t[i].id;
    if (s == JT_OK) s = jt_driver_new(m, &d, err);
    jt_request r = {.prompt = ids, .n_prompt = t->n, .pipeline = p, .seed = 1, .max_tokens = 80, .context = 1024};
    if (s == JT_OK) s = jt_driver_submit(d, &r, &job, err);
    for (jt_event e; s == JT_OK;) {
        s = jt_driver_next(d, &e, err);
        if (s != JT_OK || !e.job) break;
        for (size_t i = 0; i < e.n_text && n + 1 < cap; i++) out[n++] = e.text[i];
        if (e.kind == JT_EVENT_END && e.reason == JT_END_ERROR) s = jt_error_set(err, JT_INVALID, "%s", e.message);
    }
    out[n] = 0;
    if (s == JT_OK) jt_driver_stats(d, &c), *rounds = c.rounds;
    jt_driver_free(d);
    jt_pipeline_free(p);
    free(ids);
    return s;
}

int main(int argc, char **argv) {
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "Usage: %s MODEL PROMPT [STAGES]\n", argv[0]);
        return 2;
    }
    static char mine[8192], plain[8192];
    const char *stages = argc > 3 ? argv[3] : "temp:0.3";
    unsigned long long rounds[2] = {0, 0};
    jt_error err;
    jt_engine *engine = NULL;
    jt_model *model = NULL;
    jt_methods *methods = NULL;
    jt_tokens tokens = {0};
    jt_message m = {"user", argv[2]};
    jt_status s = jt_methods_new(&methods, &err);
    if (s == JT_OK) s = jt_methods_add(methods, &lookup, &err);
    if (s == JT_OK) s = jt_engine_new(NULL, &engine, &err);
    if (s == JT_OK) s = jt_model_open(engine, argv[1], NULL, &model, &err);
    if (s == JT_OK && !jt_model_tokenizer(model)) s = jt_error_set(&err, JT_UNSUPPORTED, "this model has no tokenizer");
    if (s == JT_OK) s = jt_chat_encode(jt_model_tokenizer(model), &m, 1, 1, &tokens, &err);
    if (s == JT_OK) s = run(model, methods, "lookup", stages, &tokens, mine, sizeof mine, &rounds[0], &err);
    if (s == JT_OK) s = run(model, methods, "sample", stages, &tokens, plain, sizeof plain, &rounds[1], &err);
    if (s == JT_OK)
        printf("%s\n\nlookup: %llu rounds, sample: %llu, the text is %s\n", mine, rounds[0], rounds[1],
               strcmp(mine, plain) ? "ANOTHER" : "the same");
    else
        fprintf(stderr, "own_strategy: %s\n", err.message);
    bool same = s == JT_OK && !strcmp(mine, plain);
    jt_tokens_free(&tokens);
    jt_methods_free(methods);
    jt_model_free(model);
    jt_engine_free(engine);
    return !same;
}
