/* scorers.c: numbers for an answer that follow from its tokens and their probabilities. */
#include "jeton/method.h"

static double scorers_sum(const jt_scored *s) {
    double sum = 0;
    for (int i = 0; i < s->n - s->n_prompt; i++) sum += (double)s->raw[i];
    return sum;
}

static jt_status logprob_judge(const void *par, const jt_scored *s, double *out, jt_error *err) {
    (void)par, (void)err;
    *out = scorers_sum(s);
    return JT_OK;
}

static jt_status mean_logprob_judge(const void *par, const jt_scored *s, double *out, jt_error *err) {
    int n = s->n - s->n_prompt;
    (void)par, (void)err;
    *out = n ? scorers_sum(s) / n : 0;
    return JT_OK;
}

static jt_status length_judge(const void *par, const jt_scored *s, double *out, jt_error *err) {
    (void)par, (void)err;
    *out = s->n - s->n_prompt;
    return JT_OK;
}

JT_METHOD(logprob) = {.name = "logprob",
                      .kind = JT_SCORER,
                      .summary = "the log-probability of the answer by the model",
                      .formula = "sum of ln p(x)",
                      .paper = "",
                      .cost = "O(tokens)",
                      .scorer = {logprob_judge}};

JT_METHOD(mean_logprob) = {.name = "mean-logprob",
                           .kind = JT_SCORER,
                           .summary = "the log-probability of the answer by the model, per token",
                           .formula = "mean of ln p(x); 0 for an empty answer",
                           .paper = "",
                           .cost = "O(tokens)",
                           .scorer = {mean_logprob_judge}};

JT_METHOD(length) = {.name = "length",
                     .kind = JT_SCORER,
                     .summary = "the number of tokens of the answer",
                     .formula = "n",
                     .paper = "",
                     .cost = "O(1)",
                     .scorer = {length_judge}};
