/* bad_words.c: texts of several tokens that are not to be written, or are to be written
 * more or less often: their last token is banned, or biased, where the ones before it stand. */
#include "decode/sequences.h"

#define BAD_WORDS(X, T)                                                                                                                    \
    X(T, TEXT, words, 0, JT_FROM_FILE, "texts in lines; each is banned as it stands and with a space before it")                           \
    X(T, TEXT, ids, 0, JT_FROM_FILE, "further sequences of token ids, in lines or parted by ';'")                                          \
    X(T, CHOICE, forms, 0, JT_ONE_OF("both|exact"), "exact: texts as they stand alone")
JT_PARAMS(bad_words, BAD_WORDS)

static size_t bad_words_bytes(const void *par, const jt_setup *u) {
    const struct bad_words *a = par;
    (void)u;
    return jt_sequences_bytes(a->words, a->ids);
}

static jt_status bad_words_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    const struct bad_words *a = par;
    return jt_sequences_open("bad-words", a->forms ? JT_SEQUENCES : JT_SEQUENCES_SPACED, a->words, a->ids, u, state, err);
}

static jt_status bad_words_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    int n;
    const int32_t *x = jt_step_history(s, &n);
    (void)par;
    for (const int32_t *w = state; *w; w += 1 + *w)
        if (jt_sequence_follows(w, x, n)) jt_dist_add(d, w[*w], -INFINITY);
    return JT_OK;
}

JT_METHOD(bad_words) = {.name = "bad-words",
                        .kind = JT_STAGE,
                        .summary = "bans texts of one or several tokens",
                        .formula = "ban t(n) if the text so far ends in t(1) .. t(n - 1)",
                        .paper = "",
                        .card = "decoding/common-samplers",
                        .cost = "O(texts)",
                        .neutral = "words=\"\"",
                        .needs = JT_NEEDS_HISTORY | JT_NEEDS_TOKENIZER,
                        JT_PARAMETERS(bad_words),
                        .state_bytes = bad_words_bytes,
                        .open = bad_words_open,
                        .stage = {.run = bad_words_run}};

#define SEQUENCE_BIAS(X, T)                                                                                                                \
    X(T, BIAS, bias, JT_REQUIRED, JT_RANGE(-10000, 10000), "added to the last token of the text where the ones before it stand")
JT_PARAMS(sequence_bias, SEQUENCE_BIAS)

/* State: room for one text after the other; a text of n bytes is at most n + 2 tokens. */
static size_t sequence_bias_bytes(const void *par, const jt_setup *u) {
    const struct sequence_bias *a = par;
    size_t n = 2;
    (void)u;
    for (int i = 0; i < a->bias.n; i++) n += a->bias.b[i].n_text + 4;
    return n * sizeof(int32_t);
}

static jt_status sequence_bias_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    const struct sequence_bias *a = par;
    size_t room = sequence_bias_bytes(par, u) / sizeof(int32_t);
    jt_status e = JT_OK;
    for (int i = 0; e == JT_OK && i < a->bias.n; i++) {
        const jt_bias *b = a->bias.b + i;
        e = b->text ? jt_sequences_add("sequence-bias", b->text, b->n_text, false, u, state, room, err)
                    : jt_sequences_add_id("sequence-bias", b->id, u, state, room, err);
    }
    return e;
}

static jt_status sequence_bias_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const jt_bias *b = ((const struct sequence_bias *)par)->bias.b;
    int n;
    const int32_t *x = jt_step_history(s, &n);
    for (const int32_t *w = state; *w; w += 1 + *w, b++)
        if (b->value != 0 && jt_sequence_follows(w, x, n)) jt_dist_add(d, w[*w], (float)b->value);
    return JT_OK;
}

JT_METHOD(sequence_bias) = {.name = "sequence-bias",
                            .kind = JT_STAGE,
                            .summary = "makes texts of one or several tokens more or less likely",
                            .formula = "l(t(n)) = l(t(n)) + b if the text so far ends in t(1) .. t(n - 1)",
                            .paper = "",
                            .card = "decoding/common-samplers",
                            .cost = "O(texts)",
                            .neutral = "0=0",
                            .needs = JT_NEEDS_HISTORY | JT_NEEDS_TOKENIZER,
                            JT_PARAMETERS(sequence_bias),
                            .state_bytes = sequence_bias_bytes,
                            .open = sequence_bias_open,
                            .stage = {.run = sequence_bias_run}};
