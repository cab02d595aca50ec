/* trace_compare.c: in what two tokens of traces differ, bit for bit. What comes first in
 * a decision is compared first: what the model said, then stage by stage, then the draw. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "inspect/trace.h"

enum { WHAT = 240 };

static bool same_float(float a, float b) { return jt_same_float(a, b) || (isnan(a) && isnan(b)); }
static bool same_double(double a, double b) { return jt_same_double(a, b) || (isnan(a) && isnan(b)); }

static bool differ_cands(const char *where, const jt_cand *a, int n, const jt_cand *b, int m, char *what) {
    for (int i = 0; i < n && i < m; i++) {
        if (a[i].id != b[i].id) {
            snprintf(what, WHAT, "%.80s: candidate %d is token %d here and %d there", where, i, (int)a[i].id, (int)b[i].id);
            return true;
        }
        if (!same_float(a[i].logit, b[i].logit)) {
            snprintf(what, WHAT, "%.80s: the logit of candidate %d (token %d) is %.9g here and %.9g there", where, i, (int)a[i].id,
                     (double)a[i].logit, (double)b[i].logit);
            return true;
        }
    }
    if (n != m) snprintf(what, WHAT, "%.80s: %d candidates are told here and %d there", where, n, m);
    return n != m;
}

static bool differ_draws(const char *where, const jt_stage_evidence *a, const jt_stage_evidence *b, char *what) {
    for (int i = 0; i < a->n_drawn && i < b->n_drawn; i++) {
        const jt_drawn *x = &a->drawn[i], *y = &b->drawn[i];
        if (strcmp(x->purpose, y->purpose) != 0 || x->index != y->index || !same_double(x->u, y->u)) {
            snprintf(what, WHAT, "%.80s: number %d that it drew is %.17g (%s %u) here and %.17g (%s %u) there", where, i, x->u, x->purpose,
                     x->index, y->u, y->purpose, y->index);
            return true;
        }
    }
    if (a->draws == b->draws && a->n_drawn == b->n_drawn && a->draws_hash == b->draws_hash) return false;
    snprintf(what, WHAT, "%.80s: it drew %u numbers here and %u there, or others", where, a->draws, b->draws);
    return true;
}

static bool differ_stage(int i, const jt_stage_evidence *a, const jt_stage_evidence *b, char *what) {
    char where[96];
    snprintf(where, sizeof where, "stage %d, %.64s", i + 1, a->method);
    if (strcmp(a->method, b->method) != 0 || a->occurrence != b->occurrence) {
        snprintf(what, WHAT, "stage %d is %.64s here and %.64s there", i + 1, a->method, b->method);
        return true;
    }
    if (a->before != b->before || a->after != b->after) {
        snprintf(what, WHAT, "%s: %d candidates became %d here; there %d became %d", where, (int)a->before, (int)a->after, (int)b->before,
                 (int)b->after);
        return true;
    }
    if (differ_draws(where, a, b, what) || differ_cands(where, a->cand, a->n_cand, b->cand, b->n_cand, what)) return true;
    if (a->n_first != b->n_first || !same_float(a->mass, b->mass)) {
        snprintf(what, WHAT, "%s: it kept a mass of %.9g here and %.9g there", where, (double)a->mass, (double)b->mass);
        return true;
    }
    return false;
}

static bool differ_evidence(const jt_evidence *a, const jt_evidence *b, char *what) {
    if (!a || !b) {
        snprintf(what, WHAT, "a pipeline decided it %s only", a ? "here" : "there");
        return a != b;
    }
    if (differ_cands("the model's candidates", a->raw, a->n_raw, b->raw, b->n_raw, what)) return true;
    if (a->logits != b->logits || !same_double(a->log_sum, b->log_sum)) {
        snprintf(what, WHAT, "the model's logits: their hash is %016llx here and %016llx there, the logarithm of their sum %.17g and %.17g",
                 (unsigned long long)a->logits, (unsigned long long)b->logits, a->log_sum, b->log_sum);
        return true;
    }
    if (a->chain != b->chain || a->n_stage != b->n_stage) {
        snprintf(what, WHAT, "the stages: %d (list %d) here and %d (list %d) there", (int)a->n_stage, (int)a->chain, (int)b->n_stage,
                 (int)b->chain);
        return true;
    }
    for (int i = 0; i < a->n_stage; i++)
        if (differ_stage(i, &a->stage[i], &b->stage[i], what)) return true;
    if (a->stream == b->stream) return false;
    snprintf(what, WHAT, "the random stream is %016llx here and %016llx there", (unsigned long long)a->stream,
             (unsigned long long)b->stream);
    return true;
}

static bool differ_float(const char *name, float a, float b, char *what) {
    if (same_float(a, b)) return false;
    snprintf(what, WHAT, "%s is %.9g here and %.9g there", name, (double)a, (double)b);
    return true;
}

bool jt_trace_differ(const jt_trace_token *a, const jt_trace_token *b, char what[240]) {
    const jt_decision *x = &a->decision, *y = &b->decision;
    what[0] = 0;
    if (x->position != y->position) {
        snprintf(what, WHAT, "the position is %d here and %d there", (int)x->position, (int)y->position);
        return true;
    }
    if ((a->evidence || b->evidence) && differ_evidence(a->evidence, b->evidence, what)) return true;
    if (differ_float("the entropy", x->entropy, y->entropy, what)) return true;
    if (x->by != y->by || x->attempt != y->attempt || !same_double(x->u, y->u)) {
        snprintf(what, WHAT, "the draw: %s, attempt %u, number %.17g here and %s, attempt %u, number %.17g there", jt_chosen_name(x->by),
                 x->attempt, x->u, jt_chosen_name(y->by), y->attempt, y->u);
        return true;
    }
    if (x->id != y->id) {
        snprintf(what, WHAT, "the token is %d (%.40s) here and %d (%.40s) there", (int)x->id, a->text, (int)y->id, b->text);
        return true;
    }
    if (strcmp(a->text, b->text) != 0) {
        snprintf(what, WHAT, "the text of token %d is \"%.40s\" here and \"%.40s\" there", (int)x->id, a->text, b->text);
        return true;
    }
    if (x->candidates != y->candidates) {
        snprintf(what, WHAT, "%d candidates were left here and %d there", (int)x->candidates, (int)y->candidates);
        return true;
    }
    return differ_float("the model's logprob", x->raw_logprob, y->raw_logprob, what) ||
           differ_float("the logprob", x->logprob, y->logprob, what);
}
