/* likelihood.c: how likely given texts are after the prompt: each is an answer whose
 * tokens are fixed, with the logprobs that the model and the stages give them. The
 * prompt is evaluated once for all. */
#include <string.h>

#include "jeton/strategy.h"

enum { LIKELIHOOD_ROWS = 64, LIKELIHOOD_MOST = 1024 }; /* rows of a round; answers */

#define LIKELIHOOD(X, T)                                                                                                                   \
    X(T, TEXT, ids, JT_REQUIRED, JT_FROM_FILE, "token ids with blanks between them, answers parted by ';': \"12 7; 12 9 4\"")
JT_PARAMS(likelihood, LIKELIHOOD)

struct likelihood_answer {
    int first, n;            /* of likely.id */
    int made, first_choices; /* tokens decided; those that the pipeline has first, too */
};

/* Behind it the answers, then the ids. */
struct likely {
    int at, n, next; /* next: the first answer that may not be whole */
};

static struct likelihood_answer *likely_answers(struct likely *s) { return (struct likelihood_answer *)(void *)(s + 1); }
static int32_t *likely_ids(struct likely *s) { return (int32_t *)(void *)(likely_answers(s) + s->n); }

static bool likely_digit(char c) { return c >= '0' && c <= '9'; }

/* Answers of the text, and the ids in it; an answer without ids counts. */
static int likely_count(const char *s, size_t *ids) {
    int n = 1;
    *ids = 0;
    for (; *s; s++) {
        n += *s == ';';
        *ids += likely_digit(*s) && !likely_digit(s[1]);
    }
    return n;
}

static size_t likelihood_bytes(const void *par, const jt_setup *u) {
    size_t ids;
    int n = likely_count(((const struct likelihood *)par)->ids, &ids);
    (void)u;
    return sizeof(struct likely) + (size_t)n * sizeof(struct likelihood_answer) + ids * sizeof(int32_t);
}

static int likelihood_width(const void *par) {
    size_t ids;
    int n = likely_count(((const struct likelihood *)par)->ids, &ids) + 1;
    return n < LIKELIHOOD_MOST ? n : LIKELIHOOD_MOST;
}

static jt_status likelihood_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    const char *p = ((const struct likelihood *)par)->ids;
    struct likely *s = state;
    size_t ids;
    int at = 0;
    s->n = likely_count(p, &ids);
    if (s->n > LIKELIHOOD_MOST) return jt_error_set(err, JT_LIMIT, "likelihood: %d answers; %d are possible", s->n, LIKELIHOOD_MOST);
    for (int i = 0; i < s->n; i++, p += *p == ';') {
        struct likelihood_answer *a = &likely_answers(s)[i];
        for (a->first = at; *p && *p != ';';) {
            int64_t id = 0;
            if (*p == ' ') {
                p++;
                continue;
            }
            if (!likely_digit(*p)) return jt_error_set(err, JT_INVALID, "likelihood: '%c' where a token id or ';' is wanted", *p);
            for (; likely_digit(*p) && id < INT32_MAX; p++) id = id * 10 + (*p - '0');
            if (id >= u->vocab)
                return jt_error_set(err, JT_INVALID, "likelihood: token %lld of a vocabulary of %d", (long long)id, u->vocab);
            likely_ids(s)[at++] = (int32_t)id;
        }
        a->n = at - a->first;
        if (!a->n) return jt_error_set(err, JT_INVALID, "likelihood: answer %d has no tokens", i);
        if (u->n_prompt + a->n + 1 > u->context)
            return jt_error_set(err, JT_LIMIT, "likelihood: a prompt of %d tokens and an answer of %d, with a context of %d", u->n_prompt,
                                a->n, u->context);
    }
    return JT_OK;
}

/* The decision for the answer's next token. */
static jt_decision likely_choose(struct likely *s, struct likelihood_answer *a, const jt_out *o, jt_work *w) {
    int32_t id = likely_ids(s)[a->first + a->made++];
    jt_dist *d = jt_work_staged(w, o);
    a->first_choices += d && jt_dist_count(d) && jt_dist_top(d, 1)->id == id;
    return jt_work_choose(w, o, id);
}

/* Tokens of answer i that the rows of this round decide: its last token was pushed and waits to be evaluated. */
static int likely_piece(const struct likelihood_answer *a, int left) { return a->n - a->made < left ? a->n - a->made : left; }

/* Whether there is an answer that is not whole; the first one is next. */
static bool likely_more(struct likely *s) {
    while (s->next < s->n && likely_answers(s)[s->next].made == likely_answers(s)[s->next].n) s->next++;
    return s->next < s->n;
}

static void likely_ask(struct likely *s, jt_work *w) {
    int left = LIKELIHOOD_ROWS;
    for (int i = s->next; i < s->n && left; i++) {
        const struct likelihood_answer *a = &likely_answers(s)[i];
        int piece = likely_piece(a, left);
        left -= piece;
        if (piece) jt_work_next(w, (jt_slot)(i + 1));
        for (int k = 0; k < piece - 1; k++)
            jt_work_rows(
                w, &(jt_row){.slot = (jt_slot)(i + 1), .parent = k - 1, .id = likely_ids(s)[a->first + a->made + k], .want = JT_WANT_DIST},
                1);
    }
}

static void likely_take(struct likely *s, const jt_results *r, jt_work *w) {
    int left = LIKELIHOOD_ROWS, at = 0;
    for (int i = s->next; i < s->n && left; i++) {
        struct likelihood_answer *a = &likely_answers(s)[i];
        int piece = likely_piece(a, left);
        jt_decision last = {.id = -1};
        left -= piece;
        for (int k = 0; k < piece; k++) last = likely_choose(s, a, &r->out[at++], w);
        if (piece > 1) jt_work_keep(w, &r->out[at - 1]);
        if (piece) jt_work_push(w, (jt_slot)(i + 1), &last);
    }
}

static jt_status likelihood_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    struct likely *s = state;
    (void)par;
    JT_BEGIN(s);
    jt_work_next(w, JT_MAIN);
    JT_AWAIT(s);
    for (int i = 0; i < s->n; i++) {
        jt_decision d = likely_choose(s, &likely_answers(s)[i], r->out, w);
        jt_work_fork(w, (jt_slot)(i + 1), JT_MAIN, -1);
        jt_work_push(w, (jt_slot)(i + 1), &d);
    }
    while (likely_more(s)) {
        likely_ask(s, w);
        JT_AWAIT(s);
        likely_take(s, r, w);
    }
    for (int i = 0; i < s->n; i++) jt_work_yield(w, (jt_slot)(i + 1), i, (int32_t[]){likely_answers(s)[i].first_choices}, 1);
    JT_END(w);
}

JT_METHOD(likelihood) = {.name = "likelihood",
                         .kind = JT_STRATEGY,
                         .summary = "gives the logprobs of given answers instead of writing one",
                         .formula = "ln p of each given token after those before it; note: how many of them the pipeline has first",
                         .paper = "",
                         .cost = "a row for each token but the last of an answer; the prompt once",
                         .example = "likelihood:ids=\"464 4 5;464 9\"",
                         JT_PARAMETERS(likelihood),
                         .state_bytes = likelihood_bytes,
                         .open = likelihood_open,
                         .strategy = {.advance = likelihood_advance, .many = true, .width = likelihood_width}};
