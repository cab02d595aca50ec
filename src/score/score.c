/* Windows of a text through one model or two; see score.h. A window is evaluated
 * in pieces, so that memory does not grow with its length, and where whole rows of
 * logits are wanted the pieces are short, so that it hardly grows with the
 * vocabulary either. Cutting changes no result (docs/numbers.md). */
#include "score/score.h"

#include "core/mem.h"

enum {
    PIECE_ROWS = 512, /* rows of one evaluation */
    LOGIT_ROWS = 64   /* rows of logits held at a time */
};

jt_windows jt_windows_halves(const int32_t *ids, size_t n_ids, int length, size_t max) {
    size_t n = n_ids / (size_t)length;
    if (max && n > max) n = max;
    return (jt_windows){.ids = ids, .n = n, .length = length, .first = length / 2};
}

static jt_status windows_check(const jt_windows *w, jt_error *err) {
    size_t rows;
    if (w->length < 2 || w->length > 1 << 24)
        return jt_error_set(err, JT_INVALID, "a window of %d tokens cannot be scored; choose 2 to %d", w->length, 1 << 24);
    if (w->first < 0 || w->first > w->length - 2)
        return jt_error_set(err, JT_INVALID, "first scored row %d is outside a window of %d tokens; choose 0 to %d", w->first, w->length,
                            w->length - 2);
    if (!jt_mul(w->n, (size_t)w->length, &rows))
        return jt_error_set(err, JT_INVALID, "%zu windows of %d tokens are too many", w->n, w->length);
    return JT_OK;
}

static void free_states(jt_state **s, int n) {
    for (int i = 0; i < n; i++) jt_state_free(s[i]);
}

static jt_status new_states(jt_model *m, int n, int length, jt_state **s, jt_error *err) {
    for (int i = 0; i < n; i++) {
        jt_status st = jt_state_new(m, length, &s[i], err);
        if (st) return free_states(s, i), st;
    }
    return JT_OK;
}

/* Rows [from, to) of windows [first, first + n), every state standing at `from`. */
static jt_status eval_piece(jt_model *m, jt_state **s, const jt_windows *w, size_t first, int n, int from, int to, const jt_want *want,
                            int n_want, jt_error *err) {
    jt_span span[PIECE_ROWS];
    for (int i = 0; i < n; i++)
        span[i] = (jt_span){.state = s[i], .ids = w->ids + (first + (size_t)i) * (size_t)w->length + from, .n = to - from};
    return jt_eval(m, &(jt_batch){.span = span, .n_span = n, .want = want, .n_want = n_want}, err);
}

static jt_status rewind_states(jt_state **s, int n, jt_error *err) {
    for (int i = 0; i < n; i++) {
        jt_status st = jt_state_truncate(s[i], 0, err);
        if (st) return st;
    }
    return JT_OK;
}

static jt_status tell(const jt_watch *watch, size_t done, jt_error *err) {
    if (watch && watch->step && watch->step(watch->self, done)) return jt_error_set(err, JT_CANCELLED, "scoring was cancelled");
    return JT_OK;
}

static int smaller(size_t a, size_t b) { return (int)(a < b ? a : b); }

/* One group of windows that share batches; logprob and entropy are those of its first window. */
static jt_status score_group(jt_model *m, jt_state **s, const jt_windows *w, size_t first, int n, jt_want *want, double *logprob,
                             double *entropy, const jt_watch *watch, jt_error *err) {
    int rows = w->length - 1, scored = jt_windows_scored(w), piece = PIECE_ROWS / n;
    for (int from = 0; from < rows; from += piece) {
        int to = smaller((size_t)from + (size_t)piece, (size_t)rows), wants = 0;
        for (int i = 0; i < n; i++)
            for (int t = from > w->first ? from : w->first; t < to; t++) {
                size_t at = (size_t)i * (size_t)scored + (size_t)(t - w->first);
                want[wants++] = (jt_want){.row = i * (to - from) + (t - from),
                                          .targets = w->ids + (first + (size_t)i) * (size_t)w->length + t + 1,
                                          .n_targets = 1,
                                          .target_logprob = logprob + at,
                                          .entropy = entropy ? entropy + at : NULL};
            }
        jt_status st = eval_piece(m, s, w, first, n, from, to, want, wants, err);
        if (!st && to < rows) st = tell(watch, first, err);
        if (st) return st;
    }
    return JT_OK;
}

jt_status jt_score_windows(jt_model *m, const jt_windows *w, double *logprob, double *entropy, const jt_watch *watch, jt_error *err) {
    jt_status st = windows_check(w, err);
    if (st || w->n == 0) return st;
    int group = w->length > PIECE_ROWS ? 1 : smaller((size_t)(PIECE_ROWS / w->length), w->n), scored = jt_windows_scored(w);
    jt_state *s[PIECE_ROWS];
    if ((st = new_states(m, group, w->length, s, err))) return st;
    jt_want *want = jt_alloc(PIECE_ROWS, sizeof *want);
    if (!want) st = jt_nomem(err, "the rows of a batch", PIECE_ROWS, sizeof *want);
    for (size_t i = 0; !st && i < w->n; i += (size_t)group) {
        int n = smaller((size_t)group, w->n - i);
        size_t at = i * (size_t)scored;
        if ((st = rewind_states(s, n, err))) break;
        if ((st = score_group(m, s, w, i, n, want, logprob + at, entropy ? entropy + at : NULL, watch, err))) break;
        st = tell(watch, i + (size_t)n, err);
    }
    jt_free(want);
    free_states(s, group);
    return st;
}

/* One window through both models. `logits` holds LOGIT_ROWS rows of each. */
static jt_status kl_window(jt_model *m[2], jt_state *s[2], const jt_windows *w, size_t i, int vocab, float *logits[2], jt_kl_row *rows,
                           const jt_watch *watch, jt_error *err) {
    const int32_t *ids = w->ids + i * (size_t)w->length;
    jt_want want[LOGIT_ROWS];
    for (int from = 0, to; from < w->length - 1; from = to) {
        int wants = 0;
        to = from < w->first ? smaller((size_t)from + PIECE_ROWS, (size_t)w->first)
                             : smaller((size_t)from + LOGIT_ROWS, (size_t)w->length - 1);
        for (int k = 0; k < 2; k++) {
            if (from >= w->first)
                for (wants = 0; wants < to - from; wants++)
                    want[wants] = (jt_want){.row = wants, .logits = logits[k] + (size_t)wants * (size_t)vocab};
            jt_status st = eval_piece(m[k], &s[k], w, i, 1, from, to, want, wants, err);
            if (!st) st = tell(watch, i, err);
            if (st) return st;
        }
        for (int r = 0; r < wants; r++) {
            size_t at = (size_t)r * (size_t)vocab;
            rows[from + r - w->first] = jt_kl_compare(logits[0] + at, logits[1] + at, vocab, ids[from + r + 1]);
        }
    }
    return JT_OK;
}

jt_status jt_score_kl(jt_model *a, jt_model *b, const jt_windows *w, jt_kl_row *rows, const jt_watch *watch, jt_error *err) {
    jt_status st = windows_check(w, err);
    if (st) return st;
    jt_model *m[2] = {a, b};
    jt_model_info info[2];
    for (int k = 0; k < 2; k++) jt_model_get_info(m[k], &info[k]);
    int vocab = info[0].vocab;
    if (vocab != info[1].vocab)
        return jt_error_set(err, JT_INVALID, "the models have vocabularies of %d and %d tokens and cannot be compared", vocab,
                            info[1].vocab);
    for (size_t i = 0; i < w->n * (size_t)w->length; i++)
        if (w->ids[i] < 0 || w->ids[i] >= vocab)
            return jt_error_set(err, JT_INVALID, "id %d at token %zu of the text is outside the vocabulary of %d", (int)w->ids[i], i,
                                vocab);
    jt_state *s[2] = {NULL, NULL};
    float *logits[2] = {NULL, NULL};
    for (int k = 0; k < 2 && !st; k++) {
        st = jt_state_new(m[k], w->length, &s[k], err);
        if (st) break;
        logits[k] = jt_alloc((size_t)vocab, LOGIT_ROWS * sizeof(float));
        if (!logits[k]) st = jt_nomem(err, "rows of logits", (size_t)vocab, LOGIT_ROWS * sizeof(float));
    }
    for (size_t i = 0; !st && i < w->n; i++) {
        if ((st = rewind_states(s, 2, err))) break;
        if ((st = kl_window(m, s, w, i, vocab, logits, rows + i * (size_t)jt_windows_scored(w), watch, err))) break;
        st = tell(watch, i + 1, err);
    }
    for (int k = 0; k < 2; k++) {
        jt_free(logits[k]);
        jt_state_free(s[k]);
    }
    return st;
}
