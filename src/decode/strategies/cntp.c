/* cntp.c: cautious next token prediction (arXiv:2507.03038): where the choice is open,
 * several continuations are drawn up to the next punctuation mark, and the one that is
 * likeliest per token stays. */
#include <string.h>

#include "jeton/strategy.h"
#include "jeton/text.h"

enum { CNTP_MOST = 32 };

#define CNTP(X, T)                                                                                                                         \
    X(T, INT, most, 10, JT_RANGE(1, CNTP_MOST), "trials where the choice is open; 1 is sampling")                                          \
    X(T, REAL, low, 0.01, JT_RANGE(0, 1e9), "entropy after the stages up to which one token is drawn, nats")                               \
    X(T, REAL, high, 1.5, JT_RANGE(0, 1e9), "entropy from which all trials are made")                                                      \
    X(T, INT, cap, 64, JT_RANGE(1, 4096), "tokens of a trial at most")                                                                     \
    X(T, TEXT, marks, 0, JT_FROM_TEXT, "characters that end a trial; empty: newline . , ? ! : ; ) ] and }")                                \
    X(T, CHOICE, by, 0, JT_ONE_OF("text|id"), "tokens that end in a mark and spaces, or only the tokens of the marks alone")               \
    X(T, CHOICE, trials, 0, JT_ONE_OF("paper|code"), "how many: floor(x most), or 1 + floor(x (most - 1)); x: place between low and high") \
    X(T, CHOICE, measure, 0, JT_ONE_OF("staged|raw"), "ln p after the stages, or by the model")
JT_PARAMS(cntp, CNTP)

/* Trial i lives in slot 1 + i. */
struct cntp_state {
    int at, n, from, used[CNTP_MOST];
    bool live[CNTP_MOST];
    double sum[CNTP_MOST];
    unsigned char ends[]; /* [vocab]: whether the token ends a trial */
};

static size_t cntp_bytes(const void *par, const jt_setup *u) {
    (void)par;
    return sizeof(struct cntp_state) + (size_t)u->vocab;
}

static jt_status cntp_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    const struct cntp *a = par;
    struct cntp_state *s = state;
    const char *marks = a->marks[0] ? a->marks : "\n.,?!:;)]}";
    jt_tokens t = {0};
    jt_status e = JT_OK;
    if (!(a->high > a->low)) return jt_error_set(err, JT_INVALID, "cntp: high=%g is not above low=%g", a->high, a->low);
    if (!u->tokenizer) return jt_error_set(err, JT_UNSUPPORTED, "cntp: marks are text, and this model has no tokenizer");
    for (const char *m = marks; a->by && e == JT_OK && *m; m++) {
        e = jt_encode(u->tokenizer, m, 1, 0, &t, err);
        if (e == JT_OK && t.n) s->ends[t.t[0].id] = 1;
        t.n = 0;
    }
    jt_tokens_free(&t);
    for (int32_t id = 0; !a->by && id < u->vocab; id++) {
        size_t n;
        const char *x = jt_token_bytes(u->tokenizer, id, &n);
        while (n && x[n - 1] == ' ') n--;
        s->ends[id] = n && x[n - 1] && strchr(marks, x[n - 1]);
    }
    return e;
}

static int cntp_trials(const struct cntp *a, double entropy) {
    double x = (entropy - a->low) / (a->high - a->low);
    double n = a->trials ? 1 + (a->most - 1) * fmin(fmax(x, 0), 1) : floor(x * a->most);
    return n < 1 ? 1 : n > a->most ? a->most : (int)n;
}

/* The trial goes on with what was drawn for it. */
static void cntp_push(const struct cntp *a, struct cntp_state *s, int i, jt_decision d, jt_work *w) {
    jt_end_reason end = jt_work_ends(w, (jt_slot)(1 + i), &d);
    s->used[i]++;
    s->sum[i] += d.id < 0 ? -INFINITY : (double)(a->measure ? d.raw_logprob : d.logprob);
    jt_work_push(w, (jt_slot)(1 + i), &d);
    s->live[i] = !end && !s->ends[d.id] && s->used[i] < a->cap;
}

/* Trials begin with draws of their own, the first with that of sampling. */
static void cntp_fork(const struct cntp *a, struct cntp_state *s, const jt_out *o, jt_work *w) {
    for (int i = 0; i < s->n; i++) {
        s->sum[i] = s->used[i] = 0;
        jt_work_fork(w, (jt_slot)(1 + i), JT_MAIN, i ? i : -1);
        cntp_push(a, s, i, jt_work_decide(w, o, (uint32_t)i), w);
    }
}

/* One token where the choice is clear, else trials; whether there are any. */
static bool cntp_begin(const struct cntp *a, struct cntp_state *s, const jt_out *o, jt_work *w) {
    jt_dist *d = jt_work_staged(w, o);
    s->n = d && a->most > 1 ? cntp_trials(a, jt_dist_entropy(d)) : 1;
    if (s->n > 1)
        cntp_fork(a, s, o, w);
    else
        jt_work_say(w, JT_MAIN, jt_work_decide(w, o, 0));
    return s->n > 1;
}

static bool cntp_ask(const struct cntp_state *s, jt_work *w) {
    bool any = false;
    for (int i = 0; i < s->n; i++)
        if (s->live[i]) jt_work_next(w, (jt_slot)(1 + i)), any = true;
    return any;
}

/* The trial with the lowest perplexity is what the answer goes on with. */
static void cntp_take(struct cntp_state *s, jt_work *w) {
    int best = 0;
    for (int i = 1; i < s->n; i++)
        if (s->sum[i] / s->used[i] > s->sum[best] / s->used[best]) best = i;
    s->from = jt_work_length(w, JT_MAIN);
    jt_work_swap(w, JT_MAIN, (jt_slot)(1 + best));
    for (int i = 0; i < s->n; i++) jt_work_drop(w, (jt_slot)(1 + i));
    if (s->sum[best] == -INFINITY) jt_work_done(w, JT_END_DEAD);
    jt_work_tell(w, JT_MAIN, s->from);
}

static jt_status cntp_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    const struct cntp *a = par;
    struct cntp_state *s = state;
    JT_BEGIN(s);
    for (;;) {
        jt_work_next(w, JT_MAIN);
        JT_AWAIT(s);
        if (!cntp_begin(a, s, r->out, w)) continue;
        while (cntp_ask(s, w)) {
            JT_AWAIT(s);
            for (int i = 0; i < r->n_out; i++) cntp_push(a, s, r->out[i].slot - 1, jt_work_decide(w, &r->out[i], 0), w);
        }
        cntp_take(s, w);
    }
    JT_END(w);
}

static int cntp_width(const void *par) { return 1 + ((const struct cntp *)par)->most; }

JT_METHOD(cntp) = {.name = "cntp",
                   .kind = JT_STRATEGY,
                   .summary = "where the choice is open it draws several continuations up to a punctuation mark and keeps the likeliest",
                   .formula = "n = floor(most (H - low) / (high - low)) trials; the one with the lowest exp(-mean ln p) stays",
                   .paper = "Wang et al. 2025, arXiv:2507.03038",
                   .card = "decoding/cntp",
                   .cost = "up to `most` rows a token where the choice is open",
                   .neutral = "most=1; sampling",
                   .needs = JT_NEEDS_TOKENIZER,
                   JT_PARAMETERS(cntp),
                   .state_bytes = cntp_bytes,
                   .open = cntp_open,
                   .strategy = {.advance = cntp_advance, .width = cntp_width}};
