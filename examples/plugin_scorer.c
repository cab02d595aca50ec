/* plugin_scorer.c: a scorer in a shared object.
 *
 *   jeton run MODEL -p "..." --plugin scorer.so --decode "best-of-n:n=8,by=fresh > sample | temp:1"
 *
 * `fresh` is the share of the answer's tokens that did not come up in it before. */
#include "jeton/plugin.h"

static jt_status judge(const void *par, const jt_scored *s, double *out, jt_error *err) {
    int fresh = 0, n = s->n - s->n_prompt;
    (void)par, (void)err;
    for (int i = s->n_prompt; i < s->n; i++) {
        int k = s->n_prompt;
        while (k < i && s->ids[k] != s->ids[i]) k++;
        fresh += k == i;
    }
    *out = n ? (double)fresh / n : 0;
    return JT_OK;
}

static const jt_method row = {.name = "fresh",
                              .kind = JT_SCORER,
                              .summary = "the share of the answer's tokens that are new in it",
                              .formula = "distinct tokens / tokens",
                              .paper = "Li et al. 2016, arXiv:1510.03055 (distinct-1)",
                              .cost = "O(tokens^2)",
                              .scorer = {judge}};

static const jt_method *const rows[] = {&row, NULL};
JT_PLUGIN("fresh", rows);
