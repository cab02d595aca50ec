/* adadec.c: greedy decoding that pauses where the model is unsure and ranks the likeliest
 * tokens by how they go on (AdaDec, arXiv:2506.08980). */
#include "jeton/strategy.h"

enum { ADADEC_MOST = 16, ADADEC_TEXT = 4096 };

#define ADADEC(X, T)                                                                                                                       \
    X(T, REAL, tau, 1, JT_RANGE(0, 1e9), "entropy of the model from which it looks ahead, nats")                                           \
    X(T, INT, b, 3, JT_RANGE(1, ADADEC_MOST), "candidates; 1 is greedy")                                                                   \
    X(T, INT, len, 5, JT_RANGE(0, 64), "tokens of a look ahead")                                                                           \
    X(T, CHOICE, stop, 0, JT_ONE_OF("end|code"), "a look ahead stops at the answer's end, or too where an indented block is left")
JT_PARAMS(adadec, ADADEC)

/* Candidate i lives in slot i, from 1 on. */
struct ada {
    int at, step, from, used[ADADEC_MOST + 1];
    bool live[ADADEC_MOST + 1];
    double sum[ADADEC_MOST + 1];
};

/* A line that is not indented, or four blank lines. */
static bool adadec_left(jt_work *w, jt_slot slot) {
    char x[ADADEC_TEXT];
    int end = jt_work_length(w, slot), first = jt_work_prompt(w, slot), blank = 0, n;
    bool begins = true; /* what is looked at begins where the answer does */
    while ((n = (int)jt_work_text(w, slot, first, end, x, sizeof x)) >= ADADEC_TEXT && first < end)
        first += (end - first + 1) / 2, begins = false;
    for (int i = 0; i < n && i < ADADEC_TEXT; i++) {
        bool starts = i ? x[i - 1] == '\n' : begins;
        if (starts && x[i] != '\n' && x[i] != ' ' && x[i] != '\t') return true;
        blank = x[i] == '\n' ? blank + 1 : 0;
        if (blank >= 5) return true;
    }
    return false;
}

/* The candidate goes on with what was decided for it. */
static void adadec_push(const struct adadec *a, struct ada *s, int i, jt_decision d, jt_work *w) {
    jt_end_reason end = jt_work_ends(w, (jt_slot)i, &d);
    s->used[i]++;
    s->sum[i] += d.id < 0 ? -INFINITY : (double)d.logprob;
    jt_work_push(w, (jt_slot)i, &d);
    s->live[i] = !end && s->used[i] <= a->len && !(a->stop && adadec_left(w, (jt_slot)i));
}

/* The likeliest tokens become candidates; how many. */
static int adadec_fork(const struct adadec *a, struct ada *s, const jt_out *o, jt_work *w) {
    jt_dist *d = jt_work_staged(w, o);
    int n = d && jt_dist_count(d) < a->b ? jt_dist_count(d) : a->b;
    jt_cand best[ADADEC_MOST];
    for (int i = 0; d && i < n; i++) best[i] = jt_dist_top(d, n)[i];
    for (int i = 1; d && i <= n; i++) {
        s->sum[i] = s->used[i] = 0;
        jt_work_fork(w, (jt_slot)i, JT_MAIN, -1);
        adadec_push(a, s, i, jt_work_choose(w, o, best[i - 1].id), w);
    }
    return n;
}

/* Asks for the next token of each candidate that goes on; whether there is one. */
static bool adadec_ask(const struct ada *s, jt_work *w) {
    bool any = false;
    for (int i = 1; i <= ADADEC_MOST; i++)
        if (s->live[i]) jt_work_next(w, (jt_slot)i), any = true;
    return any;
}

/* The best candidate's token becomes the answer's. */
static void adadec_take(struct ada *s, jt_work *w) {
    int best = 1;
    for (int i = 2; i <= ADADEC_MOST && s->used[i]; i++)
        if (s->sum[i] / s->used[i] > s->sum[best] / s->used[best]) best = i;
    s->from = jt_work_length(w, JT_MAIN);
    jt_work_swap(w, JT_MAIN, (jt_slot)best);
    jt_work_truncate(w, JT_MAIN, s->from + 1);
    for (int i = 1; i <= ADADEC_MOST && s->used[i]; i++) jt_work_drop(w, (jt_slot)i), s->used[i] = 0;
    jt_work_tell(w, JT_MAIN, s->from);
}

static jt_status adadec_advance(const void *par, void *state, const jt_results *r, jt_work *w) {
    const struct adadec *a = par;
    struct ada *s = state;
    JT_BEGIN(s);
    for (;;) {
        jt_work_want(w, JT_MAIN, &(jt_row){.want = JT_WANT_DIST | JT_WANT_ENTROPY});
        JT_AWAIT(s);
        if (r->out->entropy < a->tau || a->b == 1 || adadec_fork(a, s, r->out, w) < 1) {
            jt_work_say(w, JT_MAIN, jt_work_best(w, r->out));
            continue;
        }
        while (adadec_ask(s, w)) {
            JT_AWAIT(s);
            for (int i = 0; i < r->n_out; i++) adadec_push(a, s, r->out[i].slot, jt_work_best(w, &r->out[i]), w);
        }
        adadec_take(s, w);
    }
    JT_END(w);
}

static int adadec_width(const void *par) { return 1 + ((const struct adadec *)par)->b; }

JT_METHOD(adadec) = {.name = "adadec",
                     .kind = JT_STRATEGY,
                     .summary = "greedy; where the model is unsure it takes the token whose greedy continuation is likeliest",
                     .formula = "if H >= tau: the c with the largest mean ln p of c and its look ahead",
                     .paper = "He et al. 2025, arXiv:2506.08980",
                     .card = "decoding/adadec",
                     .cost = "one row a token; b * len rows more where it looks ahead",
                     .neutral = "b=1; greedy, as are len=0 and tau=1e9",
                     JT_PARAMETERS(adadec),
                     .needs = JT_NEEDS_TOKENIZER,
                     .state_size = sizeof(struct ada),
                     .strategy = {.advance = adadec_advance, .width = adadec_width}};
