/* logit_bias.c: adds constants to chosen tokens' logits; -inf bans a token.
 *
 *   logit-bias:198=-100,"hello"=2.5,"\n"=-inf
 *
 * A key is a token id, or the text of one token in quotes; a text that is not
 * exactly one token of the model is refused when the job begins. */
#include "jeton/method.h"
#include "jeton/text.h"

#define LOGIT_BIAS(X, T) X(T, BIAS, bias, JT_REQUIRED, JT_RANGE(-10000, 10000), "added to the token's logit; -inf bans it")
JT_PARAMS(logit_bias, LOGIT_BIAS)

static size_t logit_bias_bytes(const void *par, const jt_setup *u) {
    (void)u;
    return (size_t)((const struct logit_bias *)par)->bias.n * sizeof(int32_t);
}

static jt_status logit_bias_token(const jt_tokenizer *t, const jt_bias *b, int32_t *id, jt_error *err) {
    int shown = b->n_text > 60 ? 60 : (int)b->n_text;
    if (!t)
        return jt_error_set(err, JT_UNSUPPORTED, "logit-bias: this model has no tokenizer; give the id in place of \"%.*s\"", shown,
                            b->text);
    *id = jt_token_find(t, b->text, b->n_text);
    if (*id >= 0) return JT_OK;
    jt_tokens out = {0};
    jt_status e = jt_encode(t, b->text, b->n_text, 0, &out, err);
    if (e == JT_OK && out.n != 1)
        e = jt_error_set(err, JT_INVALID, "logit-bias: \"%.*s\" is %zu tokens of this model, not one; give token ids", shown, b->text,
                         out.n);
    if (e == JT_OK) *id = out.t[0].id;
    jt_tokens_free(&out);
    return e;
}

/* State: the ids, in the order of the list. */
static jt_status logit_bias_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    const struct logit_bias *a = par;
    int32_t *id = state;
    for (int i = 0; i < a->bias.n; i++) {
        const jt_bias *b = a->bias.b + i;
        id[i] = b->id;
        if (b->text) {
            jt_status e = logit_bias_token(u->tokenizer, b, id + i, err);
            if (e != JT_OK) return e;
        }
        if (id[i] < 0 || id[i] >= u->vocab)
            return jt_error_set(err, JT_INVALID, "logit-bias: token %d is outside of the vocabulary (0 to %d)", (int)id[i], u->vocab - 1);
        for (int j = 0; j < i; j++)
            if (id[j] == id[i]) return jt_error_set(err, JT_INVALID, "logit-bias: token %d is given twice", (int)id[i]);
    }
    return JT_OK;
}

static jt_status logit_bias_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct logit_bias *a = par;
    const int32_t *id = state;
    (void)s;
    for (int i = 0; i < a->bias.n; i++)
        if (a->bias.b[i].value != 0) jt_dist_add(d, id[i], (float)a->bias.b[i].value);
    return JT_OK;
}

JT_METHOD(logit_bias) = {.name = "logit-bias",
                         .kind = JT_STAGE,
                         .summary = "adds constants to the logits of chosen tokens, or bans them",
                         .formula = "l(x) = l(x) + b(x)",
                         .paper = "",
                         .cost = "O(tokens named)",
                         .neutral = "0=0",
                         .card = "decoding/common-samplers",
                         .needs = JT_NEEDS_TOKENIZER,
                         JT_PARAMETERS(logit_bias),
                         .state_bytes = logit_bias_bytes,
                         .open = logit_bias_open,
                         .stage = {.run = logit_bias_run}};
