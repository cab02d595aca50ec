/* guidance.c: decoding against another opinion: what the model says without the prompt,
 * or after a negative one (classifier-free guidance), or what a smaller model says
 * (contrastive decoding). What both find likely for reasons of their own counts less. */
#include <string.h>

#include "decode/sequences.h"
#include "jeton/text.h"
#include "tensor/scalar_math.h"

#define CFG(X, T)                                                                                                                          \
    X(T, REAL, scale, 1.5, JT_RANGE(0, 100), "how far to go from the other opinion; 1 changes nothing, 0 is the other opinion")            \
    X(T, TEXT, negative, 0, JT_FROM_FILE, "the other prompt; empty: the last token of the prompt alone")                                   \
    X(T, TEXT, ids, 0, JT_FROM_FILE, "the other prompt as token ids")                                                                      \
    X(T, CHOICE, as, 0, JT_ONE_OF("text|chat"), "the other prompt as it stands, or as a user's message in the model's chat format")
JT_PARAMS(cfg, CFG)

static jt_status cfg_prompt(const void *par, const jt_setup *u, int32_t *ids, int most, int *n, jt_error *err) {
    const struct cfg *a = par;
    const jt_message m = {"user", a->negative};
    jt_tokens t = {0};
    ids[0] = u->prompt[u->n_prompt - 1], *n = 1;
    if (a->ids[0] && a->negative[0]) return jt_error_set(err, JT_INVALID, "cfg: a negative prompt and ids are given; give one of them");
    if (a->ids[0]) return jt_ids_read("cfg", a->ids, u, ids, most, n, err);
    if (!a->negative[0]) return JT_OK;
    if (!u->tokenizer) return jt_error_set(err, JT_UNSUPPORTED, "cfg: this model has no tokenizer for the negative prompt");
    jt_status e = a->as ? jt_chat_encode(u->tokenizer, &m, 1, 1, &t, err)
                        : jt_encode(u->tokenizer, a->negative, strlen(a->negative), JT_ADD_SPECIAL | JT_PARSE_SPECIAL, &t, err);
    if (e == JT_OK && t.n > (size_t)most)
        e = jt_error_set(err, JT_LIMIT, "cfg: the negative prompt has %zu tokens and the declared context %d", t.n, most);
    for (size_t i = 0; e == JT_OK && i < t.n; i++) ids[i] = t.t[i].id;
    *n = (int)t.n;
    jt_tokens_free(&t);
    return e;
}

/* l = a * l - b * second, over the candidates. */
static void guidance_mix(jt_dist *d, jt_dist *second, double a, double b, double zero, double zero2) {
    for (int32_t id = jt_dist_next(d, -1); id >= 0; id = jt_dist_next(d, id)) {
        double l = a * ((double)jt_dist_logit(d, id) - zero) - b * ((double)jt_dist_logit(second, id) - zero2);
        jt_dist_set(d, id, (float)fmin(fmax(l, -3e38), 3e38));
    }
}

static jt_status cfg_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct cfg *a = par;
    jt_dist *second = jt_step_second(s);
    (void)state;
    if (a->scale != 1 && jt_dist_count(d)) guidance_mix(d, second, a->scale, a->scale - 1, jt_dist_log_sum(d), jt_dist_log_sum(second));
    return JT_OK;
}

JT_METHOD(cfg) = {.name = "cfg",
                  .kind = JT_STAGE,
                  .summary = "classifier-free guidance: away from what the model says without the prompt, or after a negative one",
                  .formula = "l = ln q + scale * (ln p - ln q), q: after the other prompt and the same answer",
                  .paper = "Sanchez et al. 2023, arXiv:2306.17806",
                  .cost = "a second sequence on the same model: one more row a token; O(vocabulary)",
                  .neutral = "scale=1",
                  .needs = JT_NEEDS_PROMPT2 | JT_NEEDS_TOKENIZER,
                  JT_PARAMETERS(cfg),
                  .prompt2 = cfg_prompt,
                  .stage = {.run = cfg_run}};

#define CONTRASTIVE_DECODING(X, T)                                                                                                         \
    X(T, REAL, alpha, 0.1, JT_RANGE(0, 1), "tokens stay that are at least so many times as likely as the most likely; 0: all")             \
    X(T, REAL, beta, 0.5, JT_RANGE(0, 100), "weight of the amateur's logits")                                                              \
    X(T, REAL, temp, 1, JT_RANGE(0.01, 100), "temperature of the amateur")                                                                 \
    X(T, CHOICE, form, 0, JT_ONE_OF("scaled|ratio"), "scaled: (1 + beta) expert - beta amateur; ratio: expert - amateur, beta unused")
JT_PARAMS(contrastive_decoding, CONTRASTIVE_DECODING)

static bool contrastive_keep(const jt_walk *w, const void *par) {
    return (double)w->logit >= (double)w->max + jt_log(((const struct contrastive_decoding *)par)->alpha);
}

static jt_status contrastive_decoding_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct contrastive_decoding *a = par;
    double expert = a->form ? 1 : 1 + a->beta, amateur = (a->form ? 1 : a->beta) / a->temp;
    (void)state;
    if (a->alpha > 0) jt_dist_cut(d, jt_dist_walk(d, JT_WALK_ORDER, contrastive_keep, a));
    if (amateur != 0) guidance_mix(d, jt_step_second(s), expert, amateur, 0, 0);
    return JT_OK;
}

JT_METHOD(contrastive_decoding) = {.name = "contrastive-decoding",
                                   .kind = JT_STAGE,
                                   .summary = "takes off what a smaller model (role \"amateur\") says, among the plausible tokens",
                                   .formula = "l = (1 + beta) l - beta a / temp, or l - a / temp, where p(x) >= alpha max p",
                                   .paper = "Li et al. 2022, arXiv:2210.15097; O'Brien and Lewis 2023, arXiv:2309.09117",
                                   .cost = "one row of the amateur a token; O(candidates)",
                                   .neutral = "alpha=0,beta=0",
                                   .needs = JT_NEEDS_MODEL2,
                                   .role = "amateur",
                                   JT_PARAMETERS(contrastive_decoding),
                                   .stage = {.run = contrastive_decoding_run}};
