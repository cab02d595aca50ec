/* trace_part.c: where two runs part, and by what: the model's logits, a stage or the draw. */
#include <stdint.h>
#include <string.h>

#include "core/mem.h"
#include "inspect/trace.h"

/* The first stage that made something else of what it was given, from 1. */
static int part_stage(const jt_evidence *a, const jt_evidence *b) {
    int n = a->n_stage < b->n_stage ? a->n_stage : b->n_stage;
    for (int i = 0; i < n; i++) {
        const jt_stage_evidence *x = &a->stage[i], *y = &b->stage[i];
        if (strcmp(x->method, y->method) != 0 || x->after != y->after || x->n_cand != y->n_cand || x->draws_hash != y->draws_hash ||
            (x->n_cand && memcmp(x->cand, y->cand, (size_t)x->n_cand * sizeof *x->cand) != 0))
            return i + 1;
    }
    return a->n_stage == b->n_stage ? 0 : n + 1;
}

static void part_why(const jt_trace_token *a, const jt_trace_token *b, jt_trace_parting *out) {
    out->a = a, out->b = b;
    (void)jt_trace_differ(a, b, out->what);
    out->draw =
        !jt_same_double(a->decision.u, b->decision.u) || a->decision.by != b->decision.by || a->decision.attempt != b->decision.attempt;
    if (!a->evidence || !b->evidence) return;
    out->logits = a->evidence->logits != b->evidence->logits;
    if (!out->logits) out->stage = part_stage(a->evidence, b->evidence);
}

void jt_trace_part(const jt_trace_answer *a, const jt_trace_answer *b, jt_trace_parting *out) {
    char what[240];
    *out = (jt_trace_parting){.tokens = {a->n_token, b->n_token}, .differs = SIZE_MAX, .parts = SIZE_MAX};
    out->both = a->n_token < b->n_token ? a->n_token : b->n_token;
    for (size_t i = 0; i < out->both; i++) {
        bool same = a->token[i].decision.id == b->token[i].decision.id, other = jt_trace_differ(&a->token[i], &b->token[i], what);
        out->alike += same, out->identical += !other;
        if (other && out->differs == SIZE_MAX) out->differs = i;
        if (!same && out->parts == SIZE_MAX) out->parts = i;
    }
    size_t at = out->parts != SIZE_MAX ? out->parts : out->differs;
    if (at != SIZE_MAX) part_why(&a->token[at], &b->token[at], out);
}
